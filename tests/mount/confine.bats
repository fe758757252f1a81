#!/usr/bin/env bats
# What the daemon keeps of root's rights (fs/base/confine.c): in each thread the capabilities listed there and no others, and
# each of those is needed: on the mount of a daemon that was started without it, something fails that works otherwise.
load ../helper
load common

teardown() {
	[[ -z ${PUBLIC-} ]] || chattr -i "$PUBLIC/backing/f" 2>/dev/null || true
	cleanup_users
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

KEPT=(chown dac_override dac_read_search fowner fsetid setgid setuid linux_immutable sys_admin sys_resource mknod setfcap)

# number CAPABILITY: as linux/capability.h has it.
number() {
	local names=(chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
		net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin
		sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap) i
	for i in "${!names[@]}"; do [[ ${names[i]} != "$1" ]] || echo "$i"; done
}

# field NAME [STATUS FILE]: a set of capabilities in hexadecimal, or another line's value.
field() { awk -v name="$1:" '$1 == name { print $2 }' "${2:-/proc/$$/status}"; }

# mask CAPABILITY...
mask() {
	local name all=0
	for name; do all=$((all | 1 << $(number "$name"))); done
	echo "$all"
}

has_cap() { ((0x$(field CapEff) >> $(number "$1") & 1)); }

# ThreadSanitizer has a thread of its own, which is older than all others.
has_foreign_thread() { ldd "$ZCFS_BUILD/fs/zcfsd" | grep -q libtsan; }

@test "every thread has the capabilities of the list and no others, for good, and no program it starts has any" {
	need_root
	local pid task set wanted tasks i writers=()
	mount_zcfs threads=4
	for i in 1 2 3 4; do
		dd if=/dev/zero of="$MNT/f$i" bs=1M count=8 status=none 3>&- &
		writers+=($!)
	done
	wait "${writers[@]}"
	pid=$(daemons)
	wanted=$(mask "${KEPT[@]}")
	tasks=("/proc/$pid/task"/*)
	expect_that ${#tasks[@]} '>' 2
	for task in "${tasks[@]}"; do
		[[ $task != "${tasks[1]}" ]] || ! has_foreign_thread || continue
		expect_that 0x"$(field CapPrm "$task/status")" == $((0x$(field CapPrm) & wanted))
		expect_that 0x"$(field CapBnd "$task/status")" == $((0x$(field CapBnd) & wanted))
		expect_that $((0x$(field CapEff "$task/status") & ~wanted)) == 0
		for set in CapInh CapAmb; do expect_that 0x"$(field $set "$task/status")" == 0; done
		[ "$(field NoNewPrivs "$task/status")" = 1 ]
	done
}

@test "a mount of a user keeps the way to fusermount3, which ends it" {
	need_tool fusermount3 setpriv
	# shellcheck disable=SC2016 # expanded inside
	as_user '
		set -e
		zcfs mount backing mnt
		pid=$(pgrep -u nobody -x zcfsd)
		for task in /proc/$pid/task/*; do
			grep -q "^NoNewPrivs:[[:space:]]*0" $task/status
			grep -q "^CapPrm:[[:space:]]*0*$" $task/status
		done
		kill $pid
		for i in $(seq 500); do [ -e /proc/$pid ] || break; sleep 0.02; done
		! grep -q " $PWD/mnt " /proc/self/mountinfo
	'
}

# What each capability is for, on the mount in the present directory: fails without it.
try_chown() { chown 1234 f; }
try_dac_override() { as_uid 1234 2345 '' bash -c 'echo more >>theirs'; }
try_dac_read_search() { [[ $(stat -c %s many/* | wc -l) == 600 ]]; } # more files than descriptors
try_fowner() { chmod 600 theirs; }
try_fsetid() { chgrp 777 f && chmod 2755 f && [[ $(stat -c %a f) == 2755 ]]; }
# shellcheck disable=SC2016 # expanded by that bash
try_setgid() { as_uid 1234 2345 '' bash -c ': >new1 && [[ $(stat -c %g new1) == 2345 ]]'; }
# shellcheck disable=SC2016 # expanded by that bash
try_setuid() { as_uid 1234 2345 '' bash -c ': >new2 && [[ $(stat -c %u new2) == 1234 ]]'; }
try_linux_immutable() { chattr +i f && chattr -i f; }
try_sys_admin() { setfattr -n trusted.x -v y f; }
try_sys_resource() { [[ $(findmnt -n -o OPTIONS --target .) == *max_read=1048576* ]]; }
try_mknod() { mknod null c 1 3; }
try_setfcap() { setcap cap_net_raw+ep f; }

# attempt CAPABILITY [LOST]: what the capability is for, by a daemon started without LOST. It may fail at mounting, too.
attempt() {
	local status=0 bound=()
	[[ -z ${2-} ]] || bound=(--bounding-set="-$2")
	chattr -i "$BACKING/f" 2>/dev/null || true
	rm -f "$BACKING"/{f,theirs,new1,new2,null}
	: >"$BACKING/f"
	: >"$BACKING/theirs"
	chown 1234:2345 "$BACKING/theirs"
	chmod 644 "$BACKING/theirs"
	(
		[[ $1 != dac_read_search ]] || ulimit -n 200
		exec setpriv "${bound[@]}" "$ZCFS_BUILD/cli/zcfs" mount -o dev,allow_other,threads=2,max_io=1M "$BACKING" "$MNT" 3>&-
	) || return 1
	(cd "$MNT" && "try_$1") || status=1
	umount "$MNT"
	return "$status"
}

@test "each capability of the list is needed: without it something fails on the mount that works with it" {
	need_root
	need_disk
	need_tool setpriv chattr setcap setfattr
	public_mount
	umount "$MNT"
	chmod 777 "$BACKING"
	mkdir "$BACKING/many"
	(cd "$BACKING/many" && touch $(seq 600))
	local cap
	for cap in "${KEPT[@]}"; do
		has_cap "$cap" || continue # nobody here can have it
		[[ $cap != sys_resource || $(</proc/sys/fs/pipe-max-size) -le 1048576 ]] || continue # pipes are not limited
		attempt "$cap" || fail_with "$cap: fails also with it"
		run attempt "$cap" "$cap"
		[ "$status" -eq 1 ] || fail_with "$cap: works also without it: $output"
	done
	attempt chown net_admin # what the list does not have is not missed
}
