#!/usr/bin/env bats
# A daemon that is short of descriptors, memory, threads or pipes: programs get an errno that says so, or are served with less;
# it never hangs and never ends. Once there is enough again, service is whole again.
load ../helper
load common

teardown() {
	cleanup_users
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	[[ -z ${GROUP-} ]] || WAIT_S=5 wait_until rmdir "$GROUP"
	no_findings
}

# limit RESOURCE=SOFT: the daemon's, from now on; the hard limit stays, so that the soft one can rise again.
limit() { prlimit --pid "$(daemons)" "--$1:"; }

# strained ROUNDS HELD [ERRNO]...: succeeded and failed are how many rounds of tests/tools/strained.py were.
strained() {
	need_tool python3
	local said
	said=$(timeout -s KILL 60 python3 "$ZCFS_SRC/tests/tools/strained.py" "$MNT" "$@")
	read -r succeeded failed <<<"$said"
}

# Everything works, for everybody, and large reads are spliced.
is_whole() {
	strained 20 20
	((succeeded == 160 && failed == 0))
	zcfs reset "$MNT"
	timeout -s KILL 30 "$ZCFS_TOOLS/fileio" "open A $MNT/large rdonly,direct" 'r A 0 512K 5' 'r A 512K 512K 5'
	[ "$(ledger "$MNT/large" read.splice_bytes)" -eq 1048576 ]
}

# With a file for is_whole.
mount_limits() {
	make_backing
	tool fileio "open A $BACKING/large rdwr,creat" 'w A 0 1M 5'
	mount_zcfs path=splice
	is_whole
}

n_fds() { find "/proc/$(daemons)/fd" -mindepth 1 -maxdepth 1 | wc -l; }

# has_few_fds BEFORE: so many, and those of more workers, with two pipes each; none for what failed and is removed now.
has_few_fds() {
	rm -f "$MNT"/*.*
	(($(n_fds) <= $1 + 4 * 16))
}

is_sanitized() { ldd "$ZCFS_BUILD/fs/zcfsd" | grep -q 'lib[at]san'; }

@test "out of descriptors: EMFILE for the surplus, and whole again once there are more" {
	mount_limits
	local before
	before=$(n_fds)
	limit "nofile=$((before + 12))"
	strained 40 40 EMFILE ENFILE
	expect_that "$failed" '>' 0
	expect_that "$succeeded" '>' 0
	# What was open is closed: so much is free again.
	strained 5 0 EMFILE ENFILE
	expect_that "$succeeded" '>' 0
	limit nofile=2000
	wait_until is_whole
	wait_until has_few_fds "$before"
}

@test "no descriptor at all is to be had: known files are served on" {
	mount_limits
	echo kept >"$MNT/kept"
	exec 7<>"$MNT/kept"
	limit nofile=3
	timeout -s KILL 30 dd if=/dev/zero of="$MNT/large" bs=64K count=1 conv=notrunc status=none || true
	echo more >&7
	[ "$(stat -c %s "$BACKING/kept")" -eq 5 ]
	fails 'Too many open files' timeout -s KILL 30 cat "$MNT/large"
	fails 'Too many open files' timeout -s KILL 30 touch "$MNT/new"
	exec 7>&-
	limit nofile=2000
	tool fileio "open A $BACKING/large rdwr,creat" 'w A 0 1M 5'
	wait_until is_whole
}

@test "no memory is to be had: ENOMEM or service, and whole again once there is" {
	mount_limits
	local before
	before=$(n_fds)
	# Of a sanitizer's runtime either would be the end.
	if ! is_sanitized; then
		limit as=4096 # less than it has, so not a mapping more
		strained 60 40
		limit as=unlimited
		limit data=4096 # and not a page more for malloc()
		# Each of those that stay open takes some memory.
		strained 500 400 ENOMEM
		expect_that "$succeeded" '>' 0
		expect_that "$failed" '>' 0
		limit data=unlimited
	fi
	wait_until is_whole
	wait_until has_few_fds "$before"
}

# memory_group BYTES: GROUP is a control group of so much memory; status 1 where none can be made.
memory_group() {
	local hierarchy mine
	mine=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
	hierarchy=$(findmnt -n -t cgroup -O memory -o TARGET | head -n 1)
	if [[ $hierarchy && -d $hierarchy$mine ]]; then
		mkdir "$hierarchy$mine/zcfs-test-$$" 2>/dev/null || return
		GROUP=$hierarchy$mine/zcfs-test-$$
		echo "$1" >"$GROUP/memory.limit_in_bytes"
		return
	fi
	hierarchy=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
	grep -qw memory "$hierarchy/cgroup.controllers" 2>/dev/null || return
	echo +memory >"$hierarchy/cgroup.subtree_control" 2>/dev/null
	mkdir "$hierarchy/zcfs-test-$$" 2>/dev/null || return
	GROUP=$hierarchy/zcfs-test-$$
	echo "$1" >"$GROUP/memory.max"
}

# In the group that the daemon is in: pages that only the daemon can write out are the group's as well.
in_group() { bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$GROUP" timeout -s KILL 60 "$@"; }

@test "files far larger than the memory that daemon and programs share" {
	local path size=64M memory=$((32 << 20))
	! is_sanitized || memory=$((768 << 20)) size=8M
	prepare_file
	head -c "$size" /dev/urandom >"$BATS_TEST_TMPDIR/random"
	zcfs mount -o 'rule=*.splice:splice,rule=*.copy:copy,rule=*.direct:direct' "$BACKING" "$MNT"
	if memory_group "$memory"; then
		daemons >"$GROUP/cgroup.procs"
	else
		in_group() { timeout -s KILL 60 "$@"; }
	fi
	for path in ${ZCFS_PATHS:-splice copy direct}; do
		in_group dd if="$BATS_TEST_TMPDIR/random" of="$MNT/f.$path" bs=1M conv=fsync status=none
		in_group cmp "$BATS_TEST_TMPDIR/random" "$MNT/f.$path"
		cmp "$BATS_TEST_TMPDIR/random" "$BACKING/f.$path"
		in_group python3 - "$MNT/f.$path" <<-'END'
			import mmap, os, sys
			fd = os.open(sys.argv[1], os.O_RDWR)
			size = os.fstat(fd).st_size
			with mmap.mmap(fd, size) as m:
			    for at in range(0, size, 4096):
			        m[at] = at >> 12 & 255
			    m.flush()
			os.fsync(fd)
		END
		python3 - "$BACKING/f.$path" <<-'END'
			import sys
			data = open(sys.argv[1], "rb").read()
			sys.exit(data[::4096] != bytes(i & 255 for i in range(len(data) // 4096)))
		END
		rm "$MNT/f.$path"
	done
	serves
}

# As as_user, but another user: no other test shares what is counted for this one.
eval "$(declare -f as_user | sed 's/as_user/as_nobody_else/; s/\bnobody\b/bin/g')"

@test "no further thread is to be had for a user: those there serve everybody, and others come when they are" {
	need_tool setpriv prlimit
	# shellcheck disable=SC2016 # expanded inside
	as_nobody_else '
		set -e
		daemon() { pgrep -u "$(id -u)" -x zcfsd; }
		threads() { ls "/proc/$(daemon)/task" | wc -l; }
		programs() {
			for i in 1 2 3 4 5 6 7 8; do
				(for n in $(seq "$1"); do echo "$n" >mnt/$i && [ "$(cat mnt/$i)" = "$n" ] || exit; done) &
			done
			for job in $(jobs -p); do wait "$job"; done
		}
		zcfs mount -o attr_timeout=0,entry_timeout=0 backing mnt
		before=$(threads)
		prlimit --pid "$(daemon)" --nproc=1:
		programs 30
		[ "$(cat backing/* | sort -u)" = 30 ]
		[ "$(threads)" -le "$before" ]
		prlimit --pid "$(daemon)" --nproc="$(ulimit -Hu):"
		for i in $(seq 100); do programs 5; [ "$(threads)" -le "$before" ] || break; done
		[ "$(threads)" -gt "$before" ]
		zcfs umount mnt'
}

# Holds as many pages in pipes as a user may, until its input ends.
# shellcheck disable=SC2089,SC2090 # a program it is
export HOLDER='
import fcntl, os, sys
kept = []
for pages in 256, 16:
    while True:
        pipe = os.pipe()
        kept.append(pipe)
        try:
            fcntl.fcntl(pipe[0], fcntl.F_SETPIPE_SZ, pages * os.sysconf("SC_PAGESIZE"))
        except PermissionError:
            break
print("ready", flush=True)
sys.stdin.read()
'

@test "no pipe of any use is to be had for a user: everything is copied, and spliced when there is" {
	need_tool setpriv python3
	[ "$(cat /proc/sys/fs/pipe-user-pages-soft)" -gt 0 ] # or there is no limit to meet
	# shellcheck disable=SC2016 # expanded inside
	as_nobody_else '
		set -e
		counter() { getfattr --only-values -n "user.zcfs.$1" mnt; }
		head -c 3M /dev/urandom >backing/f
		coproc python3 -c "$HOLDER"
		read -r _ <&"${COPROC[0]}"
		zcfs mount -o path=splice,cache=none backing mnt
		cmp backing/f mnt/f
		dd if=backing/f of=mnt/g bs=1M status=none
		cmp backing/f backing/g
		[ "$(counter read.bytes) $(counter read.copy_bytes)" = "3145728 3145728" ]
		[ "$(counter write.bytes) $(counter write.copy_bytes)" = "3145728 3145728" ]
		exec {COPROC[1]}>&-
		wait
		for i in $(seq 100); do
			dd if=mnt/f bs=512K status=none | cmp - backing/f
			[ "$(counter read.splice_bytes)" -eq 0 ] || break
			sleep 0.1
		done
		[ "$(counter read.splice_bytes)" -gt 0 ]
		zcfs umount mnt'
}
