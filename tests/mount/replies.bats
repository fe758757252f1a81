#!/usr/bin/env bats
# Spliced replies that turn out otherwise than they began (fs/ops/reply.c): cut short by the file's end, met by a full pipe,
# refused by the file or by /dev/fuse. The bytes are right all the same, and the ledger says how they went.
load ../helper
load common

teardown() {
	end_trace
	[[ -z ${sleeper-} ]] || kill "$sleeper" 2>/dev/null || true
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

# One worker, so that all replies go through the same two pipes.
SPLICED=path=splice,cache=none,threads=1

# in_time NAME ARGUMENT...: the tool, or after 30 s failure. A program whose answer never comes cannot be killed, only left.
in_time() { timeout -s KILL 30 "$ZCFS_TOOLS/$1" "${@:2}"; }

# patterned NAME SIZE...: files in the backing directory, of seed 5.
patterned() {
	while (($# > 1)); do
		tool fileio "open A $BACKING/$1 rdwr,creat" "w A 0 $2 5" 'fsync A'
		shift 2
	done
}

data_read() { moved 'read|pread64|readv|preadv|preadv2' "<$BACKING/"; }
data_sent() { moved 'write|writev|pwrite64' '</dev/fuse>' 4096; }
spliced_in() { moved splice "^splice\\([0-9]+<$BACKING/"; }

@test "reads cut short at the file's end, between whole ones: right to the byte, and all spliced" {
	local size off len want total=0 steps=("open A $BATS_TEST_TMPDIR/mnt/whole rdonly")
	mount_zcfs $SPLICED
	patterned whole 512K
	trace_daemon
	for size in 1 4095 4097 32769 65536 100000 131071 300001; do
		patterned "f$size" "$size"
		steps+=("open B $MNT/f$size rdonly")
		for off in 0 1 511 4096 32767 99999 131070 300000; do
			for len in 32K 77777 128K 512K; do
				len=$(numfmt --from=iec "$len")
				want=$((size <= off ? 0 : size - off < len ? size - off : len))
				steps+=("r B $off $len 5 $want" "r A $off 64K 5")
				total=$((total + want + 65536))
			done
		done
		steps+=('close B')
	done
	in_time fileio "${steps[@]}"
	end_trace
	expect_that "$(spliced_in)" == "$total"
	expect_that "$(data_read)" == 0
	expect_that "$(data_sent)" == 0
	expect "$MNT" "read.bytes=$total" "read.splice_bytes=$total" read.copy_bytes=0 copy.user_bytes=0 "copy.kernel_bytes=$total"
}

@test "a file that grows byte by byte under its readers: they never wait, and never see less or other than was written" {
	local max_io
	for max_io in 64K 512K; do
		mount_zcfs "path=splice,cache=none,max_io=$max_io"
		in_time tailrace "$BACKING/f" "$MNT/f" 2
		expect_that "$(ledger "$MNT/f" read.splice_bytes)" '>' 0
		umount_zcfs
	done
}

@test "a pipe that is full of single bytes: the read is copied instead of waiting for ever" {
	# 32 slots: 64 KiB fit in pages, not in crumbs.
	with_shim mount_zcfs $SPLICED,max_io=64K
	patterned f 100000
	echo 'crumb 1' >"$RULES"
	in_time fileio "open A $MNT/f rdonly" 'r A 0 64K 5' 'r A 65535 64K 5 34465'
	expect "$MNT/f" read.ops=2 read.copy_bytes=100001 read.splice_bytes=0 copy.user_bytes=200002
	zcfs reset "$MNT/f"
	echo 'crumb 5000' >"$RULES"
	in_time fileio "open A $MNT/f rdonly" 'r A 0 64K 5' 'r A 65535 64K 5 34465' 'r A 3 64K 5'
	expect "$MNT/f" read.ops=3 read.copy_bytes=0 read.splice_bytes=$((100001 + 65536)) copy.user_bytes=0
}

# refused_read RULE: 512 KiB at once and to the file's end, copied while the rule stands and spliced without it.
refused_read() {
	local cache bytes=600000 steps=("open A $BATS_TEST_TMPDIR/mnt/f rdonly" 'r A 0 512K 5' 'r A 512K 512K 5 75712')
	for cache in none kernel; do
		with_shim mount_zcfs "path=splice,cache=$cache,threads=1"
		patterned f "$bytes"
		trace_daemon
		echo "$1" >"$RULES"
		in_time fileio "${steps[@]}"
		: >"$RULES"
		end_trace
		expect_that "$(data_read)" == "$bytes"
		expect_that "$(data_sent)" '>=' "$bytes"
		expect "$MNT/f" "read.bytes=$bytes" "read.copy_bytes=$bytes" read.splice_bytes=0 "copy.user_bytes=$((2 * bytes))" \
			"copy.kernel_bytes=$([[ $cache == none ]] && echo 0 || echo "$bytes")"
		[[ $cache == none ]] || drop_caches
		zcfs reset "$MNT/f"
		in_time fileio "${steps[@]}"
		expect "$MNT/f" read.copy_bytes=0 "read.splice_bytes=$bytes" copy.user_bytes=0
		umount_zcfs
	done
}

@test "a file that cannot be spliced is copied, and booked so" {
	local errno
	for errno in 1 12 22 95; do refused_read "splice $errno"; done # EPERM ENOMEM EINVAL EOPNOTSUPP
}

@test "a reply that /dev/fuse does not take spliced is copied, and booked anew" {
	local errno
	for errno in 5 12 22; do refused_read "answer $errno"; done # EIO ENOMEM EINVAL
}

@test "an error of the file is no refusal: the program gets it" {
	with_shim mount_zcfs $SPLICED
	patterned f 600000
	echo 'splice 5' >"$RULES"
	in_time fileio "open A $MNT/f rdonly" '!EIO r A 0 512K 5' 'sh :>'"$RULES" 'r A 0 512K 5'
	expect "$MNT/f" read.ops=2 read.bytes=524288 read.splice_bytes=524288 copy.user_bytes=0
}

@test "a file of a filesystem without splice: one of /proc below the backing directory" {
	need_root
	local size
	mount_zcfs $SPLICED
	env -i "a=$(head -c 100000 /dev/zero | tr '\0' a)" "b=$(seq 1 10000)" sleep 600 3>&- &
	sleeper=$!
	size_of() { wc -c <"/proc/$sleeper/environ"; }
	is_started() { [ "$(size_of)" -gt 100000 ]; }
	wait_until is_started
	size=$(size_of)
	: >"$BACKING/environ"
	mount --bind "/proc/$sleeper/environ" "$BACKING/environ"
	trace_daemon
	dd if="$MNT/environ" of="$BATS_TEST_TMPDIR/got" bs=64K status=none
	end_trace
	cmp "/proc/$sleeper/environ" "$BATS_TEST_TMPDIR/got"
	grep -q "^splice([0-9]*<$BACKING/environ>.* = -1 EINVAL" "$BATS_TEST_TMPDIR"/trace/t.*
	expect_that "$(data_read)" == "$size"
	expect "$MNT" "read.bytes=$size" "read.copy_bytes=$size" read.splice_bytes=0 "copy.user_bytes=$((2 * size))"
	umount_zcfs
	umount "$BACKING/environ"
}

@test "large writes where neither the file nor /dev/fuse can be spliced: copied, and booked so" {
	local rule cache
	for rule in 'splice 22' 'receive 22' 'receive 5' 'receive 12'; do
		for cache in none kernel; do
			with_shim mount_zcfs "path=splice,cache=$cache,threads=1"
			echo "$rule" >"$RULES"
			in_time fileio "open A $MNT/f rdwr,creat,trunc" 'w A 0 1M 5' 'w A 1M 1M 5' 'w A 77 300000 6' 'fsync A'
			: >"$RULES"
			tool fileio "open A $BACKING/f rdonly" 'r A 0 77 5' 'r A 77 300000 6' 'r A 300077 1M 5'
			expect "$MNT/f" write.bytes=2397152 write.copy_bytes=2397152 write.splice_bytes=0
			umount_zcfs
		done
	done
}
