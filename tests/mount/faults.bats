#!/usr/bin/env bats
# A backing, a kernel and a memory that fail, one system call at a time: the program sees that error or none, everything works
# afterwards, nothing is left behind.
load ../helper
load common

# In the foreground, so that the daemon's own end is seen: it must come to it by itself, and find its books right.
SWEPT='threads=1,attr_timeout=0,entry_timeout=0,rule=*.splice:splice,rule=*.copy:copy,rule=*.direct:direct'

# sweep SECTION...: tests/tools/sweep.py on a mount of its own.
sweep() {
	need_tool python3
	prepare_file
	with_shim mount_foreground "$SWEPT"
	local section
	for section; do
		# shellcheck disable=SC2086 # a list
		timeout -s KILL 100 python3 "$ZCFS_SRC/tests/tools/sweep.py" "$RULES" "$BACKING" "$MNT" "$(daemons)" "$section" \
			${ZCFS_PATHS:-splice copy direct}
	done
	serves
	zcfs umount "$MNT"
	wait "${pid:?}"
}

@test "each system call on names fails with each errno: the program sees it" { sweep names; }

@test "each system call on attributes, ranges and directories fails with each errno: the program sees it" { sweep attributes; }

@test "file I/O fails, is interrupted, refuses to splice, is short: the errno, or all the data" { sweep data; }

@test "close(2) tells of the error that the backing kept for it" {
	echo 'fstatfs 5' >"$BATS_TEST_TMPDIR/rules" # of an unknown filesystem, which might
	sweep flush
}

@test "file handles fail: known files are used on, and their descriptors let go of later" {
	ulimit -n 64
	sweep handles
}

@test "whichever call of an operation fails, once: that errno or success, and nothing leaks" { sweep nth; }

@test "whichever allocation of an operation fails, or all of them: ENOMEM or success, and nothing leaks" { sweep memory; }

# n_threads: the daemon's.
n_threads() { find "/proc/$(daemons)/task" -mindepth 1 -maxdepth 1 | wc -l; }

# Reads past every cache, so that each is spliced or copied by the daemon; status 1 for wrong data.
read_whole() { timeout -s KILL 30 "$ZCFS_TOOLS/fileio" "open A $MNT/f rdonly" 'r A 0 512K 5' 'r A 512K 512K 5 75712'; }

is_spliced() {
	zcfs reset "$MNT/f"
	read_whole && [ "$(ledger "$MNT/f" read.splice_bytes)" -eq 600000 ]
}

@test "a worker that is refused its pipe copies, and has one again when it is not" {
	local rule
	for rule in 'pipe 24' 'pipe 23' 'pipe 12' 'pipe_size 1' 'pipe_size 12'; do
		with_shim mount_zcfs path=splice,cache=none,threads=1
		tool fileio "open A $BACKING/f rdwr,creat" 'w A 0 600000 5'
		# A splice that is refused costs the worker its pipe.
		printf '%s\n' 'splice 22 1 1' "$rule" >"$RULES"
		read_whole
		read_whole
		expect "$MNT/f" read.bytes=1200000 read.copy_bytes=1200000
		: >"$RULES"
		wait_until is_spliced
		umount_zcfs
	done
}

# programs COUNT N: so many at once, each of N small files; all must end well.
programs() {
	local i programs=()
	for ((i = 0; i < $1; i++)); do
		(for ((n = 0; n < $2; n++)); do echo "$n" >"$MNT/new$i" && [[ $(<"$MNT/new$i") == "$n" ]] || exit; done) 3>&- &
		programs+=($!)
	done
	for i in "${programs[@]}"; do wait "$i"; done
	for ((i = 0; i < $1; i++)); do [ "$(<"$BACKING/new$i")" = $(($2 - 1)) ]; done
}

grows_beyond() { programs 8 5 && (($(n_threads) > $1)); }

@test "threads or their memory are refused: those there serve everybody, and others come when they are not" {
	local rule threads
	# EAGAIN of pthread_create, ENOMEM of mmap, EPERM of unshare
	for rule in 'thread 11' 'map 12' 'unshare 1'; do
		with_shim mount_zcfs attr_timeout=0,entry_timeout=0
		echo "$rule" >"$RULES"
		threads=$(n_threads)
		programs 4 200 # with more attempts at threads than there can ever be threads
		[ -s "$RULES.met" ]
		no_more() { (($(n_threads) <= threads)); }
		wait_until no_more
		: >"$RULES"
		wait_until grows_beyond "$threads"
		umount_zcfs
		rm "$RULES.met"
	done
}
