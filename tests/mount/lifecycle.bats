#!/usr/bin/env bats
# How a mount begins, lives and ends: nothing lost, nothing left, nobody else's mount touched. tests/cli/mount.bats and
# umount.bats have the commands' own cases.
load ../helper

setup() {
	prepare_file
}

teardown() {
	exec 8>&- 9>&-
	release
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

# hold NAME WORD: a program with the file open and mapped, and a dirty page that says WORD at 4096.
hold() {
	truncate -s 8192 "$BACKING/$1"
	mkfifo "$BATS_TEST_TMPDIR/in"
	: >"$BATS_TEST_TMPDIR/out" # no word of an earlier one
	python3 "$ZCFS_SRC/tests/tools/holder.py" "$MNT/$1" "$2" <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 3>&- &
	holder=$!
	exec 7>"$BATS_TEST_TMPDIR/in"
	wait_until grep -q ready "$BATS_TEST_TMPDIR/out"
}

# Lets it go; sets gave to what its file gave then.
release() {
	[[ -n ${holder-} ]] || return 0
	exec 7>&-
	wait "$holder" || true
	holder=
	rm "$BATS_TEST_TMPDIR/in"
	gave=$(tail -n 1 "$BATS_TEST_TMPDIR/out")
}

page_says() { dd if="$BACKING/$1" bs=1 skip=4096 count="${#2}" status=none | cmp - <(printf %s "$2"); }

@test "SIGTERM and SIGINT write out dirty mapped pages, although the file is open, and end with 0" {
	need_tool python3
	local path signal word pid
	for path in ${ZCFS_PATHS:-splice copy direct}; do
		for signal in TERM INT; do
			word=dirty-$path-$signal
			mount_foreground "path=$path,threads=1"
			hold "held$path$signal" "$word"
			kill -s "$signal" "$pid"
			wait "$pid" # its status is the test's
			page_says "held$path$signal" "$word"
			not_mounted
			release
			[ "$gave" = ENOTCONN ]
		done
	done
}

@test "in the background SIGTERM, SIGINT and SIGHUP end it, and the mount is gone" {
	local signal
	for signal in TERM INT HUP; do
		mount_zcfs
		kill -s "$signal" "$(daemons)"
		wait_until no_daemons
		not_mounted
	done
}

@test "SIGTERM under load: the daemon ends with 0, and what was synced is there" {
	local pid i writers=()
	mount_foreground threads=4
	for i in 1 2 3; do
		: >"$BACKING/load$i"
		# Each round is noted once it is synced. Without the mount the file is not there, which ends it.
		(
			for ((n = 1; ; n++)); do
				printf '%-65536d' "$n" | dd of="$MNT/load$i" bs=64K conv=nocreat,notrunc,fsync iflag=fullblock \
					status=none || break
				echo "$n" >"$BATS_TEST_TMPDIR/synced$i"
			done
		) 2>/dev/null 3>&- &
		writers+=($!)
	done
	done_some() { [ "$(cat "$BATS_TEST_TMPDIR/synced$1")" -gt 10 ]; } 2>/dev/null
	for i in 1 2 3; do wait_until done_some "$i"; done
	kill -TERM "$pid"
	wait "$pid"
	wait "${writers[@]}" || true
	not_mounted
	for i in 1 2 3; do
		[ "$(awk '{ print $1 }' "$BACKING/load$i")" -ge "$(<"$BATS_TEST_TMPDIR/synced$i")" ]
		[ "$(stat -c %s "$BACKING/load$i")" -eq 65536 ]
	done
}

@test "an unmount by anyone ends the daemon: umount, umount -l, umount -f, fusermount3 -u" {
	need_root
	need_tool fusermount3
	local how
	for how in umount 'umount -l' 'umount -f' 'fusermount3 -u'; do
		mount_zcfs
		serves
		# shellcheck disable=SC2086 # a command
		$how "$MNT"
		wait_until no_daemons
		not_mounted
	done
}

@test "a busy mount refuses umount(8), and goes on as if nothing had been" {
	need_root
	need_tool python3
	mount_zcfs
	hold held kept
	run umount "$MNT"
	[ "$status" -ne 0 ]
	serves
	release
	[ "$gave" = alive ]
	umount "$MNT"
	wait_until no_daemons
	page_says held kept
}

@test "detached by umount -l, it serves the open file until that is closed" {
	need_root
	need_tool python3
	mount_zcfs
	hold held lazily
	umount -l "$MNT"
	not_mounted
	[ -n "$(daemons)" ]
	release
	[ "$gave" = alive ]
	wait_until no_daemons
	page_says held lazily
}

@test "after kill -9 a program gets ENOTCONN, zcfs umount clears, and it can be mounted again" {
	need_tool python3
	mount_zcfs
	head -c 1000000 /dev/urandom >"$MNT/written"
	local sum
	sum=$(sha256sum <"$MNT/written")
	hold held page
	kill -KILL "$(daemons)"
	wait_until no_daemons
	run -1 cat "$MNT/file"
	[[ $output == *'not connected'* ]]
	release
	[ "$gave" = ENOTCONN ]
	zcfs umount "$MNT"
	not_mounted
	mount_zcfs
	[ "$(sha256sum <"$MNT/written")" = "$sum" ]
}

@test "after kill -9 the next mount clears what is left, says so in one line, also over its own backing" {
	mount_zcfs
	kill -KILL "$(daemons)"
	wait_until no_daemons
	run zcfs mount "$BACKING" "$MNT/"
	[ "$status" = 0 ]
	[ "$output" = "zcfs: cleared the mount at $(realpath "$BATS_TEST_TMPDIR")/mnt, whose daemon had died" ]
	serves
	[ "$(grep -c " $MNT " /proc/self/mountinfo)" = 1 ]
	zcfs umount "$MNT"
	zcfs mount "$BACKING" "$BACKING"
	kill -KILL "$(daemons)"
	wait_until no_daemons
	cd "$BATS_TEST_TMPDIR"
	run zcfs mount backing backing
	[[ $status == 0 && $output == 'zcfs: cleared the mount at '*/backing,* ]]
	[ "$(<"$BACKING/file")" = hello ]
	zcfs umount "$BACKING"
	[ "$(<"$BACKING/file")" = hello ]
}

@test "over a filesystem's own mountpoint: the daemon ends, the filesystem stays" {
	need_root
	need_tool python3
	mount -t tmpfs tmpfs "$BACKING"
	echo hello >"$BACKING/file"
	rmdir "$MNT"
	ln -s backing "$MNT" # for serves
	local how
	for how in 'kill -TERM' 'kill -INT' umount 'umount -l'; do
		zcfs mount "$BACKING" "$BACKING"
		[ "$(mounts_below "$BACKING" | wc -l)" -eq 2 ]
		exec 9<"$BACKING/file"
		case $how in
		umount) exec 9>&- && umount "$BACKING" ;;
		'umount -l') umount -l "$BACKING" && exec 9>&- ;;
		*) $how "$(daemons)" ;;
		esac
		wait_until no_daemons
		exec 9>&-
		[ "$(mounts_below "$BACKING" | wc -l)" -eq 1 ]
		[ "$(stat -f -c %T "$BACKING")" = tmpfs ]
		serves
	done
}

@test "a detached daemon that is told to end leaves the mount that came after it" {
	need_root
	mount_zcfs
	exec 9<"$MNT/file"
	local first
	first=$(daemons)
	umount -l "$MNT"
	zcfs mount "$BACKING" "$MNT"
	kill -TERM "$first"
	only_one() { [ "$(daemons | wc -l)" -eq 1 ]; }
	wait_until only_one
	exec 9>&-
	serves
	is_mounted "$MNT"
}

@test "names with spaces, commas, backslashes and equal signs are shown and unmounted as they are" {
	local name mnt
	for name in 'a b' 'a,b' 'a,ro' 'a\,b' 'fsname=x,y' 'ü'; do
		mkdir -p "$BATS_TEST_TMPDIR/$name"/{b,m}
		echo hello >"$BATS_TEST_TMPDIR/$name/b/file"
		(cd "$BATS_TEST_TMPDIR/$name" && zcfs mount "../$name/b" m)
		mnt=$BATS_TEST_TMPDIR/$name/m
		[ "$(<"$mnt/file")" = hello ]
		[ "$(findmnt -n -o SOURCE --target "$mnt")" = "$BATS_TEST_TMPDIR/$name/b" ]
		echo written >"$mnt/new"
		[ "$(<"$BATS_TEST_TMPDIR/$name/b/new")" = written ]
		zcfs umount "$mnt"
		not_mounted "$mnt"
	done
}

@test "the mount shows its type, source and options" {
	mount_zcfs 'noexec,nodev,ro,allow_other,max_io=64K'
	local line
	line=$(findmnt -n -o FSTYPE,SOURCE,OPTIONS --target "$MNT")
	[[ $line == fuse.zcfs\ "$BACKING"\ * ]]
	local word
	for word in ro noexec nodev nosuid default_permissions allow_other max_read=65536; do
		[[ ,${line##* }, == *,"$word",* ]]
	done
	run -1 touch "$MNT/new"
	[[ $output == *'Read-only file system'* ]]
}

@test "it keeps nothing of the place it was started in: directory, umask, closed files, limits, ignored signals" {
	mkdir "$BATS_TEST_TMPDIR/start"
	(
		cd "$BATS_TEST_TMPDIR/start" || exit
		umask 077
		ulimit -f 1024 # 512 KiB or 1 MiB, as the shell counts
		trap '' TERM INT HUP PIPE XFSZ
		exec timeout -s KILL 30 "$ZCFS_BUILD/cli/zcfs" mount "$BACKING" "$MNT" <&- >&- 2>&- 3>&-
	)
	rmdir "$BATS_TEST_TMPDIR/start"
	local pid link
	pid=$(daemons)
	[ "$(readlink "/proc/$pid/cwd")" = / ]
	for link in 0 1 2; do
		[ "$(readlink "/proc/$pid/fd/$link")" = /dev/null ]
	done
	serves
	[ "$(ls "$MNT")" = file ]
	(umask 022 && echo new >"$MNT/new")
	[ "$(stat -c %a "$BACKING/new")" = 644 ]
	kill -TERM "$pid"
	wait_until no_daemons
	not_mounted
}

@test "a file size limit it was started under is EFBIG for programs, not its death" {
	(
		ulimit -f 1024
		exec "$ZCFS_BUILD/cli/zcfs" mount "$BACKING" "$MNT" 3>&-
	)
	# Either is right: the limit is the daemon's, or it was lifted.
	run dd if=/dev/zero of="$MNT/large" bs=1M count=4 status=none
	[[ $status -eq 0 || $output == *'File too large'* ]]
	[ -n "$(daemons)" ]
	serves
}

@test "fifty mounts and unmounts answer at once and leave nothing" {
	local i mounts connections
	count_connections() { find /sys/fs/fuse/connections -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }
	mount_zcfs && zcfs umount "$MNT"
	mounts=$(mounts_below "$BATS_TEST_TMPDIR" | wc -l)
	connections=$(count_connections)
	for ((i = 0; i < 50; i++)); do
		zcfs mount "$BACKING" "$MNT"
		serves # at once: mount has returned
		echo "$i" >"$MNT/counter"
		zcfs umount "$MNT"
		[ "$(<"$BACKING/counter")" = "$i" ]
	done
	no_daemons
	[ "$(mounts_below "$BATS_TEST_TMPDIR" | wc -l)" -eq "$mounts" ]
	# Other tests may run beside this one; fifty more would be ours.
	[ "$(count_connections)" -lt $((connections + 50)) ]
}

@test "a mount that worked through a thousand files holds no more descriptors than before" {
	need_root
	mount_zcfs
	local pid
	pid=$(daemons)
	count_fds() { find "/proc/$pid/fd" -mindepth 1 | wc -l; }
	work() {
		mkdir "$MNT/$1"
		(cd "$MNT/$1" && for i in {1..500}; do echo "$i" >"$i"; done && cat ./* >/dev/null)
		rm -r "${MNT:?}/$1"
	}
	work warm
	work one
	work two
	# Workers have three pipes at most; with sixteen of them that is the most that may have come to stay.
	few_fds() { drop_caches && [ "$(count_fds)" -lt 150 ]; }
	wait_until few_fds
}

@test "threads=1 serves a load of everything at once" {
	need_tool fio
	mount_zcfs threads=1
	fio --directory="$MNT" --size=8M --time_based --runtime=2 --bsrange=4k-256k --blockalign=4k --rw=randrw \
		--fsync=32 --output="$BATS_TEST_TMPDIR/fio" --allow_mounted_write=1 \
		--name=psync --ioengine=psync --filename=shared --name=direct --ioengine=libaio --iodepth=16 --direct=1 \
		--filename=shared --name=mapped --ioengine=mmap --filename=shared --name=uring --ioengine=io_uring \
		--iodepth=16 --filename=other 3>&- &
	local load=$! i
	for ((i = 0; i < 100; i++)); do
		mkdir "$MNT/d$i" && echo "$i" >"$MNT/d$i/f" && mv "$MNT/d$i" "$MNT/e$i" && cat "$MNT/e$i/f" >/dev/null &&
			rm -r "$MNT/e$i"
	done
	wait "$load"
	zcfs umount "$MNT"
	[ "$(stat -c %s "$BACKING/shared")" -eq 8388608 ]
}

@test "no worker can start: one line and status 1 instead of a mount that hangs" {
	local how status
	echo 'unshare 1' >"$BATS_TEST_TMPDIR/rules"
	for how in mount 'mount -f'; do
		status=0
		# shellcheck disable=SC2086 # words
		with_shim timeout -s KILL 20 "$ZCFS_BUILD/cli/zcfs" $how "$BACKING" "$MNT" >"$BATS_TEST_TMPDIR/said" 2>&1 3>&- ||
			status=$?
		[ "$status" -eq 1 ]
		[ "$(<"$BATS_TEST_TMPDIR/said")" = \
			"zcfs: $MNT was mounted, but no worker thread can start: Operation not permitted" ]
		wait_until no_daemons
		not_mounted
	done
	mount_zcfs
	serves
}

@test "no further worker can start: those there are serve everybody" {
	local i threads programs=()
	with_shim mount_zcfs
	echo 'unshare 1' >"$RULES"
	count_threads() { find "/proc/$(daemons)/task" -mindepth 1 -maxdepth 1 | wc -l; }
	threads=$(count_threads)
	for i in {1..8}; do
		(for n in {1..50}; do echo "$n" >"$MNT/new$i" && [[ $(<"$MNT/new$i") == "$n" ]] || exit; done) 3>&- &
		programs+=($!)
	done
	for i in "${programs[@]}"; do wait "$i"; done
	has_no_more() { [ "$(count_threads)" -le "$threads" ]; }
	wait_until has_no_more
	zcfs umount "$MNT"
	[ "$(cat "$BACKING"/new* | sort -u)" = 50 ]
}

@test "mount(8) and fstab take names with spaces and give umount(8) what it needs" {
	need_root
	mkdir -p "$BATS_TEST_TMPDIR/sbin" "$BATS_TEST_TMPDIR/m t" "$BATS_TEST_TMPDIR/b k"
	echo hello >"$BATS_TEST_TMPDIR/b k/file"
	ln -s "$ZCFS_BUILD/cli/zcfs" "$BATS_TEST_TMPDIR/sbin/mount.fuse.zcfs"
	printf '%s/b\\040k %s/m\\040t fuse.zcfs path=copy,max_io=64K,nosuid,noauto,user 0 0\n' \
		"$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/fstab"
	# shellcheck disable=SC2016 # expanded inside
	in_namespace '
		mount -t overlay overlay -o "lowerdir=$1/sbin:/usr/sbin" /usr/sbin || exit 77
		cd "$1" && mount --fstab fstab "$1/m t" && grep -q hello "m t/file" &&
			findmnt -n -o OPTIONS "$1/m t" | grep -q max_read=65536 &&
			[ "$(getfattr --only-values -n user.zcfs.path "m t/file")" = copy ] &&
			umount "$1/m t" &&
			mount -t fuse.zcfs "b k" "m t" -r && findmnt -n -o OPTIONS "$1/m t" | grep -q "^ro," && umount "m t"
	' "$BATS_TEST_TMPDIR"
	wait_until no_daemons
}
