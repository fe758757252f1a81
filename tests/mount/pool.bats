#!/usr/bin/env bats
# What a buffer pool is for, judged from outside by strace and cachestat(2): a page is read from the device once and then served
# from memory, nothing stays in any page cache, read-ahead is for who reads on, and dirty pages reach the device when they should,
# joined, and all of them in the end.
load ../helper
load common
load pool

setup() { need_tool strace jq; }

teardown() {
	say_config
	end_trace
	exec 8>&-
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

# At an open, times too fresh are not trusted (RACY_NS, node/mode.c).
is_old() { (($(date +%s%N) - $(date -r "$BACKING/$1" +%s%N) > 60000000)); }

# source_file NAME BYTES: in the backing directory before anybody opened it, and in no page cache; COPY has the same.
source_file() {
	COPY=$BATS_TEST_TMPDIR/$1.copy
	head -c "$2" /dev/urandom >"$COPY"
	dd if="$COPY" of="$BACKING/$1" bs=1M conv=fsync status=none
	dd if="$BACKING/$1" iflag=nocache count=0 status=none
	wait_until is_old "$1"
}

read_on_mount() { dd if="$MNT/$1" bs="${2:-64K}" status=none | cmp - "$COPY"; }

no_page_cached() {
	expect_that "$(cached "$BACKING/$1")" == 0
	exec 8<"$MNT/$1"
	expect_that "$(cached 8)" == 0
	exec 8>&-
}

opened_direct() { grep -qE "^openat\\(.*O_DIRECT.* = [0-9]+<$BACKING/$1>" "$BATS_TEST_TMPDIR"/trace/t.*; }

read_twice() {
	local size=1048583
	source_file f $size
	trace_daemon
	read_on_mount f
	end_trace
	opened_direct f
	expect_that "$(bytes_read f)" == $size
	no_page_cached f
	expect "$MNT/f" read.bytes=$size
	zcfs reset "$MNT/f"
	trace_daemon
	read_on_mount f
	end_trace
	expect_that "$(reads_of f)" == 0
	expect "$MNT/f" read.pool_hit_bytes=$size read.pool_miss_bytes=0 read.bytes=$size dma.bytes=0 pool.misses=0 pool.hit_ratio=1.0000
	# shellcheck disable=SC2154 # each_page sets it
	expect_that "$(pool_counter hits "$MNT/f")" '>=' $(((size + page - 1) / page))
	expect_that "$(pool_counter resident_bytes "$MNT/f")" '>=' $size
	no_page_cached f
}

@test "a file's pages are read once, by O_DIRECT, and no page cache has any; a second reader makes no call on the backing" {
	each_page read_twice
}

@test "the judge counts: a path that keeps nothing reads twice" {
	need_disk
	mount_zcfs path=direct,cache=none
	source_file f 1048583
	trace_daemon
	read_on_mount f
	read_on_mount f
	end_trace
	expect_that "$(bytes_read f)" '>=' $((2 * 1048583))
	opened_direct f
}

@test "many readers at once: each page is read once" {
	mount_pool pool_size=32M
	source_file f 12345678
	trace_daemon
	local i readers=()
	for i in 1 2 3 4 5 6 7 8; do
		read_on_mount f "$((i * 16))K" 3>&- &
		readers+=($!)
	done
	for i in "${readers[@]}"; do wait "$i"; done
	end_trace
	expect_that "$(bytes_read f)" == 12345678
}

one_byte() {
	source_file f 1048576
	trace_daemon
	dd if="$MNT/f" of=/dev/null bs=1 skip=300000 count=1 status=none
	end_trace
	expect_that "$(reads_of f)" == 1
	expect_that "$(bytes_read f)" == "$page"
	expect "$MNT/f" pool.misses=1 pool.hits=0 "pool.resident_bytes=$page" "dma.bytes=$page" pool.readahead_bytes=0
}

@test "a byte costs a page, of the size that was chosen" { each_page one_byte; }

@test "neighbours that are missing are read in one call, and what is there already is not read again" {
	mount_pool pool_readahead=0
	source_file f 1048576
	trace_daemon
	dd if="$MNT/f" of=/dev/null bs=256K skip=1 count=1 status=none
	end_trace
	expect_that "$(reads_of f)" == 1
	expect_that "$(bytes_read f)" == 262144
	trace_daemon
	dd if="$MNT/f" bs=512K count=1 status=none | cmp -n 524288 - "$COPY"
	dd if="$MNT/f" bs=32K skip=20 count=1 status=none | cmp -n 32768 - "$COPY" 0 655360
	dd if="$MNT/f" bs=128K skip=5 count=1 status=none | cmp -n 131072 - "$COPY" 0 655360
	end_trace
	expect_that "$(bytes_read f)" == $((262144 + 131072))
	expect "$MNT/f" pool.readahead_bytes=0
}

@test "who reads on is read ahead for, each byte still being read once; random readers are not" {
	mount_pool pool_size=64M
	source_file f 16M
	trace_daemon
	local at
	for at in 9 3 14 1 11 6 2 12 8 4; do
		dd if="$MNT/f" of=/dev/null bs=20000 skip=$((at * 50)) count=1 status=none
	done
	end_trace
	expect "$MNT/f" pool.readahead_bytes=0
	expect_that "$(bytes_read f)" '<=' $((10 * 3 * 16384))
	source_file g 16M
	trace_daemon
	read_on_mount g 16K
	end_trace
	expect_that "$(bytes_read g)" == 16777216
	expect_that "$(pool_counter readahead_bytes "$MNT/g")" '>=' 8388608
	expect "$MNT/g" pool.readahead_wasted_bytes=0
	expect_that "$(reads_of g)" '<' 512 # of 1024 pages
}

# scanned POLICY: how many of 128 hot pages are hits after a scan of ten times the pool.
scanned() {
	mount_pool "pool_size=8M,pool_readahead=0,pool_policy=$1"
	source_file hot 2M
	truncate -s 80M "$BACKING/scan"
	local i
	for i in 1 2 3 4; do read_on_mount hot; done
	dd if="$MNT/scan" of=/dev/null bs=256K status=none
	zcfs reset "$MNT/hot"
	read_on_mount hot 16K
	HITS=$((128 - $(pool_counter misses "$MNT/hot")))
	umount_zcfs
}

@test "a scan of ten times the pool leaves the hot pages there, where the policy says so" {
	local policy
	for policy in s3fifo arc; do
		scanned $policy
		expect_that "$HITS" '>=' 115
	done
	scanned lru
	expect_that "$HITS" '<' 115
}

odd_sizes=(0 1 511 512 513 4095 4097 16383 16385 1048583)

# Each file is written, appended to, cut and grown: A and C on the mount, B underneath, where the size is right at once.
write_odd_sizes() {
	local size more longest
	for size in "${odd_sizes[@]}"; do
		more=$((size + 700)) longest=$((size + 17700))
		tool fileio "open A $MNT/$size rdwr,creat" "open B $BACKING/$size rdonly" "open C $MNT/$size rdwr,append" \
			"w A 0 $size 1" "size A $size" "size B $size" "r A 0 2M 1 $size" "eof A $size" \
			"a C $size 700 1" "size A $more" "size B $more" "r A 0 2M 1 $more" \
			"a C $more 17000 1" "size B $longest" "r A $((size / 2)) 2M 1 $((longest - size / 2))" \
			'fsync A' "size B $longest" "r B 0 2M 1 $longest" \
			"trunc A $size" "size B $size" "r A 0 2M 1 $size" "eof A $size" "w A $((size + 5000)) 3 2" "size B $((size + 5003))" \
			"r A 0 $size 1" "r A $size 5000 0" "r A $((size + 5000)) 1M 2 3" 'fdatasync C' "size B $((size + 5003))" \
			"r B 0 $size 1" "r B $size 5000 0" "r B $((size + 5000)) 1M 2 3"
		expect "$MNT/$size" pool.dirty_bytes=0
	done
}

@test "files that end within a block are written, appended to, cut, grown and read to the byte" { each_pool write_odd_sizes; }

# As they were found underneath, nothing of theirs being in the pool.
read_odd_sizes() {
	local size
	for size in "${odd_sizes[@]}"; do
		tool fileio "open A $BACKING/$size rdwr,creat" "w A 0 $size 3"
	done
	wait_until is_old 1048583
	for size in "${odd_sizes[@]}"; do
		tool fileio "open A $MNT/$size rdonly" "r A 0 2M 3 $size" "r A $((size / 3)) 2M 3 $((size - size / 3))" "eof A $size"
		dd if="$MNT/$size" bs=777 status=none | cmp - "$BACKING/$size"
		expect "$MNT/$size" "read.bytes=$((3 * size - size / 3))"
	done
}

@test "files that end within a block are read as they are underneath" { each_page read_odd_sizes; }

# read_with_errors: whoever waits for a page is told, and the next reader gets it.
read_with_errors() {
	source_file f 1048583
	echo 'read 5' >"$RULES"
	fails 'Input/output error' dd if="$MNT/f" of=/dev/null bs=64K
	fails EIO tool fileio "open A $MNT/f rdonly" 'r A 300000 1 1'
	expect "$MNT/f" pool.resident_bytes=0
	: >"$RULES"
	read_on_mount f
}

@test "a page that cannot be read is an error to its reader, is not kept, and is read when it can be" {
	with_shim mount_pool pool_size=16M
	read_with_errors
}

@test "reads that the backing answers in part are completed" {
	with_shim mount_pool pool_readahead=0
	source_file f 100001
	echo 'short_read 4096' >"$RULES"
	read_on_mount f
	read_on_mount f 16K
	[ -s "$RULES.met" ]
}

# spoiled FILE: a byte of the pool's page that begins with this copy is changed in the daemon's memory.
spoiled() {
	python3 - "$(daemons)" "$1" <<-'END'
		import sys
		pid, wanted = sys.argv[1], open(sys.argv[2], "rb").read(64)
		found = 0
		with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "r+b", buffering=0) as mem:
		    for line in maps:
		        span, access = line.split()[:2]
		        if not access.startswith("rw") or "stack" in line:
		            continue
		        start, end = (int(word, 16) for word in span.split("-"))
		        mem.seek(start)
		        data = mem.read(min(end - start, 1 << 26)) or b""
		        at = data.find(wanted)
		        while at >= 0:
		            mem.seek(start + at + 5)
		            mem.write(bytes([data[at + 5] ^ 1]))
		            found += 1
		            at = data.find(wanted, at + 1)
		sys.exit(not found)
	END
}

@test "pool_verify=always: a page whose memory went bad is read again, counted, and not served" {
	need_root
	need_tool python3
	mount_pool pool_verify=always
	source_file f 100001
	read_on_mount f
	expect "$MNT" pool.verify_failures=0
	spoiled "$COPY"
	read_on_mount f
	expect "$MNT" pool.verify_failures=1
	expect "$MNT/f" pool.verify_failures=1
	read_on_mount f
	expect "$MNT" pool.verify_failures=1
}

@test "pool_verify=off serves it, which shows that it was bad" {
	need_root
	need_tool python3
	mount_pool pool_verify=off
	source_file f 100001
	read_on_mount f
	spoiled "$COPY"
	run ! read_on_mount f
	zcfs pool drop "$MNT/f"
	read_on_mount f
}

@test "each policy serves eight writers and every view from a few frames" {
	local policy mode
	for policy in clock lru innodb pg sieve s3fifo arc; do
		for mode in through back; do
			mount_pool "pool_policy=$policy,pool_write=$mode,pool_size=128K,threads=8"
			tool roundtrip writers "$MNT" "$MNT"
			umount_zcfs
		done
	done
	expect_that "$(stat -c %s "$BACKING/roundtrip")" == 1500007
}

@test "files larger than a pool of a few pages, in every view" {
	local options
	for options in pool_write=through,pool_page=4K,pool_size=64K pool_write=back,pool_page=64K,pool_size=256K \
		pool_write=through,pool_page=64K,pool_size=256K pool_write=back,pool_page=4K,pool_size=64K; do
		mount_pool "$options"
		tool fsx --ops 500 "$MNT/file"
		[[ $options != *pool_page=64K,pool_size=256K ]] || tool roundtrip buffered "$MNT" "$MNT"
		[[ $options != *pool_page=4K,pool_size=64K ]] || tool roundtrip mixed "$MNT" "$MNT"
		umount_zcfs
	done
}
