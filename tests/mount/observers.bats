#!/usr/bin/env bats
# What the paths claim, seen from outside: strace on the daemon and cachestat(2) are the judges, the ledger is judged.
load ../helper
load common

M64=67108864

setup() { need_tool strace jq; }

teardown() {
	end_trace
	cleanup_users
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

# read_traced OPTIONS DD ARGUMENT...: 64 MiB of $MNT/f read under strace.
# One worker, so that strace writes each call on one line.
read_traced() {
	mount_zcfs "$1,threads=1"
	shift
	zeros "$BACKING/f" 64M
	trace_daemon
	dd if="$MNT/f" of=/dev/null status=none "$@"
	end_trace
}

# Reads of file data by the daemon, and writes of it to /dev/fuse (small ones there answer other requests).
data_read() { moved 'read|pread64|readv|preadv|preadv2|mmap' "<$BACKING/f>"; }
data_sent() { moved 'write|writev|pwrite64' '</dev/fuse>' 4096; }
spliced_in() { moved splice "^splice\\([0-9]+<$BACKING/f>"; }
spliced_out() { moved splice "</dev/fuse>, NULL, [0-9]+, [A-Z_0]+\\) "; }

for_splice() {
	expect_that "$(spliced_in)" == $M64
	expect_that "$(spliced_out)" == "$((M64 + 16 * $(ledger "$MNT/f" read.ops)))"
	expect_that "$(data_read)" == 0
	expect_that "$(data_sent)" == 0
	expect "$MNT/f" read.ops=128 read.bytes=$M64 read.splice_bytes=$M64 read.copy_bytes=0 copy.user_bytes=0
}

@test "splice, past the cache: every byte is spliced, none read" {
	read_traced path=splice,cache=none bs=1M count=64
	for_splice
}

@test "auto does the same for a buffered open" {
	read_traced path=auto,cache=none bs=1M count=64
	for_splice
}

@test "splice, through the kernel's cache: strace and ledger agree to the byte, next to nothing is copied" {
	read_traced path=splice bs=1M count=64
	local spliced copied
	spliced=$(spliced_in) copied=$(data_read)
	expect_that "$((spliced + copied))" == $M64
	expect_that "$copied" '<=' 65536
	expect_that "$(moved 'pread64|read' "<$BACKING/f>" 16384)" == 0
	expect "$MNT/f" "read.splice_bytes=$spliced" "read.copy_bytes=$copied" "copy.user_bytes=$((2 * copied))"
}

@test "copy: every byte is read and written, none spliced" {
	read_traced path=copy,cache=none bs=1M count=64
	expect_that "$(data_read)" == $M64
	expect_that "$(data_sent)" == "$((M64 + 16 * 128))"
	expect_that "$(spliced_in)" == 0
	expect "$MNT/f" read.copy_bytes=$M64 read.splice_bytes=0 copy.user_bytes=$((2 * M64))
}

@test "small requests of path splice are copied, below the threshold only" {
	mount_zcfs path=splice,cache=none
	zeros "$BACKING/f" 1M
	trace_daemon
	tool fileio "open A $MNT/f rdonly" 'r A 0 32767 0' 'r A 64K 32K 0'
	end_trace
	expect_that "$(data_read)" == 32767
	expect_that "$(spliced_in)" == 32768
	expect "$MNT/f" read.copy_bytes=32767 read.splice_bytes=32768 copy.user_bytes=65534
}

@test "a read that ends with the file is spliced, and right to the byte" {
	mount_zcfs path=splice,cache=none
	tool fileio "open A $BACKING/f rdwr,creat" 'w A 0 100001 5'
	trace_daemon
	tool fileio "open A $MNT/f rdonly" 'r A 0 100001 5'
	dd if="$MNT/f" of="$BATS_TEST_TMPDIR/f" bs=512K status=none
	end_trace
	cmp "$BACKING/f" "$BATS_TEST_TMPDIR/f"
	expect_that "$(data_read)" == 0
	expect "$MNT/f" read.splice_bytes=200002 copy.user_bytes=0
}

@test "large writes of path splice go from pipe to file, and what does not is booked as copied" {
	mount_zcfs path=splice,cache=none
	trace_daemon
	dd if=/dev/zero of="$MNT/f" bs=512K count=128 status=none
	end_trace
	local spliced copied
	spliced=$(moved splice "^splice\\([0-9]+<pipe:.*<$BACKING/f>")
	copied=$(moved 'write|pwrite64|pwritev|pwritev2' "<$BACKING/f>")
	expect_that "$((spliced + copied))" == $M64
	expect_that "$spliced" '>=' $((M64 * 9 / 10))
	expect "$MNT/f" write.ops=128 "write.splice_bytes=$spliced" "write.copy_bytes=$copied" \
		"copy.user_bytes=$((2 * copied))"
}

@test "copy: writes are received and written by memory" {
	mount_zcfs path=copy,cache=none
	trace_daemon
	dd if=/dev/zero of="$MNT/f" bs=512K count=128 status=none
	end_trace
	expect_that "$(moved splice "<$BACKING/f>")" == 0
	expect_that "$(moved 'pwrite64|pwritev|pwritev2' "<$BACKING/f>")" == $M64
	expect "$MNT/f" write.copy_bytes=$M64 copy.user_bytes=$((2 * M64))
}

# Descriptor 8 keeps $MNT/f open, because opening it anew might drop what is cached.
watch_cache() {
	[[ -e $BACKING/f ]] || : >"$BACKING/f"
	exec 8<"$MNT/f"
}

# no_cache: neither the backing file nor the FUSE inode has a page cached.
no_cache() {
	expect_that "$(cached "$BACKING/f")" == 0
	expect_that "$(cached 8)" == 0
}

@test "O_DIRECT: no page of the backing file or the FUSE inode is cached, every byte is DMA" {
	need_disk
	mount_zcfs path=auto
	watch_cache
	trace_daemon
	dd if=/dev/zero of="$MNT/f" bs=1M count=64 oflag=direct status=none
	end_trace
	no_cache
	expect_that "$(moved 'pwrite64|pwritev2' "<$BACKING/f>")" == $M64
	expect "$MNT/f" write.direct_bytes=$M64 write.bytes=$M64 dma.bytes=$M64 copy.user_bytes=$M64
	zcfs reset "$MNT/f"
	dd if="$MNT/f" of=/dev/null bs=1M iflag=direct status=none
	no_cache
	expect "$MNT/f" read.direct_bytes=$M64 read.bytes=$M64 dma.bytes=$M64 copy.user_bytes=$M64
}

@test "path=direct imposed on a buffered program: the caches stay empty as well" {
	need_disk
	mount_zcfs path=direct
	watch_cache
	dd if=/dev/zero of="$MNT/f" bs=1M count=64 status=none
	no_cache
	dd if="$MNT/f" of=/dev/null bs=1M status=none
	no_cache
	expect "$MNT/f" write.direct_bytes=$M64 read.direct_bytes=$M64 dma.bytes=$((2 * M64))
}

@test "path=direct imposed on unaligned writes: at most the ends are cached, and clean" {
	need_disk
	mount_zcfs path=direct
	tool fileio "open A $MNT/f rdwr,creat" 'w A 5 1000001 9' 'r A 5 1000001 9'
	expect_that "$(cached "$BACKING/f")" '<=' 4
	[[ $(tool cachestat "$BACKING/f") == *' 0' ]]
	expect "$MNT/f" write.bytes=1000001
	expect_that "$(ledger "$MNT/f" write.copy_bytes)" '<' $((3 * 2 * 4096))
}

@test "the judge sees caches: a buffered read leaves pages in both" {
	mount_zcfs path=splice
	zeros "$BACKING/f" 1M
	watch_cache
	dd of=/dev/null bs=1M status=none <&8
	expect_that "$(cached 8)" == 256
	expect_that "$(cached "$BACKING/f")" == 256
}

@test "cache=none: the FUSE inode has no page, the backing file has" {
	mount_zcfs path=splice,cache=none
	zeros "$BACKING/f" 1M
	watch_cache
	dd of=/dev/null bs=1M status=none <&8
	expect_that "$(cached 8)" == 0
	expect_that "$(cached "$BACKING/f")" == 256
}

@test "O_DIRECT switched on and off with fcntl changes the path request by request" {
	need_disk
	mount_zcfs path=auto
	zeros "$BACKING/f" 1M
	trace_daemon
	tool fileio "open A $MNT/f rdwr" 'r A 0 64K 0' 'setfl A direct' 'r A 512K 64K 0' 'w A 512K 4K 1' \
		'setfl A 0' 'r A 512K 4K 1' 'setfl A direct' '!EINVAL r A 1 512 0' 'r A 512K 4K 1'
	end_trace
	expect "$MNT/f" read.direct_bytes=$((65536 + 4096)) write.direct_bytes=4096 dma.bytes=$((65536 + 8192)) \
		dio.misaligned=1 open.buffered=1 open.direct=0
	expect_that "$(ledger "$MNT/f" read.splice_bytes)" '>=' 65536
	expect_that "$(moved pread64 "<$BACKING/f>, .*, 65536, 524288")" == 65536
}

@test "and on an open that began with O_DIRECT" {
	need_disk
	mount_zcfs path=auto
	zeros "$BACKING/f" 1M
	tool fileio "open A $MNT/f rdwr,direct" 'r A 0 64K 0' 'setfl A 0' 'r A 1 65535 0' 'w A 1 77 3' \
		'setfl A direct' '!EINVAL w A 1 77 3' 'r A 64K 64K 0'
	expect "$MNT/f" read.direct_bytes=131072 read.splice_bytes=65535 write.copy_bytes=77 dio.misaligned=1
}

# Before the file is opened: times too fresh are not trusted (RACY_NS, node/mode.c).
is_old() { (($(date +%s%N) - $(date -r "$BACKING/f" +%s%N) > 60000000)); }

@test "an O_DIRECT open leaves a buffered reader's cache alone, unless the backing changed" {
	mount_zcfs
	zeros "$BACKING/f" 1M
	wait_until is_old
	watch_cache
	dd of=/dev/null bs=1M status=none <&8
	expect_that "$(cached 8)" == 256
	tool fileio "open A $MNT/f rdonly,direct" 'r A 0 4K 0' 'close A' "open B $MNT/f rdwr,direct" "open C $MNT/f wronly,direct"
	expect_that "$(cached 8)" == 256
	tool fileio "open A $BACKING/f rdwr" 'w A 4K 1 2'
	wait_until is_old
	tool fileio "open A $MNT/f rdonly,direct"
	expect_that "$(cached 8)" == 0
}

# For each write of data to the backing file, what was synced before the worker turned to /dev/fuse again, to answer.
synced() {
	cat "$BATS_TEST_TMPDIR"/trace/t.* | awk -v file="<$BACKING/f>" '
		/^(pwrite|splice)/ && index($0, file) { said = "none"; is_open = 1; next }
		/^f(data)?sync\(/ && index($0, file) && is_open { sub(/\(.*/, ""); said = $0 }
		index($0, "</dev/fuse>") && is_open { print said; is_open = 0 }' | paste -sd ' '
}

sync_steps=('w A 0 256K 1' 'w A 0 4K 2 dsync' 'w A 4K 256K 3 dsync' 'w A 8K 256K 4 sync')

@test "a write with RWF_DSYNC or RWF_SYNC is answered once it is synced, without them nothing is" {
	local path cache how
	for path in ${ZCFS_PATHS:-splice copy direct}; do
		for cache in kernel none; do
			for how in rdwr rdwr,direct rdwr,dsync rdwr,sync; do
				rm -f "$BACKING/f"
				mount_zcfs "path=$path,cache=$cache,threads=1"
				zeros "$BACKING/f" 1M
				trace_daemon
				tool fileio "open A $MNT/f $how" "${sync_steps[@]}"
				end_trace
				umount_zcfs
				case $how in
				# Its backing descriptor syncs each write.
				*dsync) grep -q "^openat(.*O_DSYNC.*<$BACKING/f>" "$BATS_TEST_TMPDIR"/trace/t.* && [[ $(synced) == 'none none none fsync' ]] ;;
				*sync) grep -q "^openat(.*O_SYNC.*<$BACKING/f>" "$BATS_TEST_TMPDIR"/trace/t.* && [[ $(synced) == 'none none none none' ]] ;;
				*) [[ $(synced) == 'none fdatasync fdatasync fsync' ]] ;;
				esac || fail_with "path=$path,cache=$cache $how: $(synced)"
			done
		done
	done
}
