#!/usr/bin/env bats
# Where what is written to a buffer pool is, judged by strace and by reading the device: write-through at once, write-back when it
# is synced, asked for by O_SYNC, over time, in the end; not for deleted files; and nothing is lost where the device has no space
# or fails for a while.
load ../helper
load common
load pool

setup() { need_tool strace; }

teardown() {
	say_config
	end_trace
	exec 8>&-
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

read_on_mount() { dd if="$MNT/$1" bs="${2:-64K}" status=none | cmp - "$COPY"; }

no_page_cached() {
	expect_that "$(cached "$BACKING/$1")" == 0
	exec 8<"$MNT/$1"
	expect_that "$(cached 8)" == 0
	exec 8>&-
}

@test "write-through: a write is on the device when it returns, and can be read from memory" {
	mount_pool pool_write=through
	trace_daemon
	written f 1048583
	on_disk f "$COPY"
	read_on_mount f
	end_trace
	expect "$MNT/f" pool.dirty_bytes=0 write.bytes=1048583
	expect_that "$(bytes_written f)" '>=' 1048583
	# The page at the file's end was not written whole.
	expect_that "$(ledger "$MNT/f" read.pool_miss_bytes)" '<=' 7
	expect_that "$(bytes_read f)" '<=' 7
}

@test "write-back: a write is in the pool when it returns, on the device when it is synced, and neighbours are joined" {
	mount_pool "$LAZY"
	trace_daemon
	written f 1048583
	end_trace
	expect_that "$(bytes_written f)" == 0
	expect_that "$(stat -c %s "$BACKING/f")" == 1048583
	expect_that "$(pool_counter dirty_bytes)" '>=' 1048583
	expect_that "$(pool_counter dirty_bytes "$MNT/f")" '>=' 1048583
	run ! on_disk f "$COPY"
	read_on_mount f
	trace_daemon
	sync "$MNT/f"
	end_trace
	on_disk f "$COPY"
	no_page_cached f
	expect "$MNT" pool.dirty_bytes=0
	expect "$MNT/f" pool.dirty_bytes=0 read.pool_miss_bytes=0
	expect_that "$(bytes_written f)" '>=' 1048583
	expect_that "$(writes_of f)" '<=' 24 # of 65 pages
	expect_that "$(pool_counter flush_bytes "$MNT/f")" '>=' 1048583
	expect_that "$(pool_counter flush_ops "$MNT/f")" '<=' 24
}

# The backing file is synced after the last write to it.
synced_last() {
	cat "$BATS_TEST_TMPDIR"/trace/t.* | sort -n | awk -v file="<$BACKING/$1" '
		index($0, file) && / (pwrite|write|splice)/ { last = "write" }
		index($0, file) && / f(data)?sync\(/ { last = "sync" }
		END { exit last != "sync" }'
}

@test "fsync and fdatasync sync the backing after they wrote; a clean file is synced as well" {
	mount_pool "$LAZY"
	local how
	for how in fsync fdatasync; do
		trace_daemon -ttt
		tool fileio "open A $MNT/f rdwr,creat" 'w A 5000 100000 1' "$how A"
		end_trace
		synced_last f
		trace_daemon -ttt
		tool fileio "open A $MNT/f rdwr,creat" "$how A"
		end_trace
		synced_last f
	done
}

# durable_steps FLAG HOW: D reads the device, B through the page cache.
durable_steps() {
	tool fileio "open A $MNT/f rdwr,creat$1" "open D $BACKING/f rdonly,direct" "open B $BACKING/f rdonly" \
		"w A 0 100000 1$2" 'r D 0 128K 1 100000' "w A 8K 4K 2$2" 'r D 8K 4K 2' "w A 12345 3 3$2" 'r B 12345 3 3' \
		"w A 100000 77 1$2" 'size B 100077' 'r D 96K 8K 1 1773' "w A 300000 5 4$2" 'size B 300005' 'r B 300000 5 4' 'r D 128K 8K 0'
	expect "$MNT/f" pool.dirty_bytes=0
	rm "$MNT/f"
}

@test "write-back: writes by O_SYNC and O_DSYNC, and with RWF_SYNC and RWF_DSYNC, are on the device when they return" {
	mount_pool "$LAZY"
	durable_steps ,dsync ''
	durable_steps ,sync ''
	durable_steps '' ' dsync'
	durable_steps '' ' sync'
}

@test "write-back: dirty pages are written when pool_flush_interval is over, without being asked for" {
	mount_pool pool_write=back,pool_flush_interval=0.2
	written f 300001
	wait_until nothing_dirty
	on_disk f "$COPY"
}

is_below_share() { (($(pool_counter dirty_bytes) <= 4194304 / 4)); }

@test "write-back: beyond pool_dirty_max percent dirty pages are written" {
	mount_pool pool_write=back,pool_flush_interval=3600,pool_dirty_max=25,pool_size=4M
	written f 3145728
	wait_until is_below_share
	read_on_mount f
	sync "$MNT/f"
	on_disk f "$COPY"
}

@test "write-back: an unmount writes everything" {
	mount_pool "$LAZY"
	written f 1048583
	written g 12345
	umount_zcfs
	on_disk g "$COPY"
	on_disk f "${COPY%/*}/f.copy"
}

@test "write-back: SIGTERM writes everything, also under programs that have files open" {
	need_disk
	prepare_file
	mount_foreground "path=pool,$LAZY"
	written f 1048583
	exec 8<>"$MNT/g"
	head -c 12345 "$COPY" >&8
	kill -TERM "${pid:?}"
	wait "$pid"
	on_disk f "$COPY"
	cmp "$BACKING/g" <(head -c 12345 "$COPY")
}

@test "write-back: of a deleted file nothing is written, but who has it open can read it" {
	mount_pool "$LAZY"
	trace_daemon
	written f 1048583
	written g 300001
	exec 8<"$MNT/g"
	rm "$MNT/f" "$MNT/g"
	cmp - "$COPY" <&8
	exec 8<&-
	wait_until nothing_dirty
	zcfs pool flush "$MNT"
	end_trace
	umount_zcfs
	expect_that "$(bytes_written '[fg]')" == 0
}

# fills FILE COPY: random bytes are written to it until there is no space; COPY has what was taken.
fills() {
	python3 - "$1" "$2" <<-'END'
		import errno, os, sys
		fd, copy = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), open(sys.argv[2], "wb")
		try:
		    while True:
		        data = os.urandom(100000)
		        copy.write(data[: os.write(fd, data)])
		except OSError as error:
		    told = error.errno
		copy.close()
		os.fsync(fd)  # no error is left for it
		sys.exit(told != errno.ENOSPC)
	END
}

@test "write-back: no space is told to the write that finds none, and all that was taken reaches the device" {
	need_root
	need_tool mkfs.ext4 python3
	make_backing
	truncate -s 16M "$BATS_TEST_TMPDIR/image"
	mkfs.ext4 -q -m 0 "$BATS_TEST_TMPDIR/image"
	mount -o loop "$BATS_TEST_TMPDIR/image" "$BACKING"
	mount_pool "$LAZY,pool_size=64M"
	fills "$MNT/full" "$BATS_TEST_TMPDIR/full.copy"
	expect_that "$(stat -c %s "$MNT/full")" '>' 4194304
	expect "$MNT" pool.dirty_bytes=0
	on_disk full "$BATS_TEST_TMPDIR/full.copy"
	# A hole gets its space when it is written as well.
	truncate -s 64M "$MNT/sparse"
	fails 'No space left' dd if=/dev/zero of="$MNT/sparse" bs=64K seek=100 count=100 conv=notrunc
	rm "$MNT/full"
	written sparse 1048576
	umount_zcfs
	cmp -n 1048576 "$COPY" "$BACKING/sparse"
}

# The backing refuses writes: F is synced while it does, twice; G only when it does not any more; H only closes. The shell commands
# in between inherit all of them, and their exits, which close them, take no error away.
@test "write-back errors: each handle's next fsync tells it, close does, the pages stay and reach the device later" {
	with_shim mount_pool "$LAZY"
	tool fileio "open F $MNT/f rdwr,creat" "open G $MNT/f rdwr" "open H $MNT/f rdwr" "open B $BACKING/f rdonly" \
		'w F 0 100000 1' "sh echo write 5 >$RULES" '!EIO fsync F' '!EIO fdatasync F' 'r G 0 100000 1' "sh : >$RULES" \
		'!EIO fsync G' 'fsync G' '!EIO close H' 'r B 0 100000 1' 'w G 5000 10 2' 'fsync F' 'r B 5000 10 2' 'close F' 'close G'
	expect "$MNT" pool.dirty_bytes=0
	expect_that "$(ledger "$MNT/f" fsync.errors)" == 3
}

@test "write-back errors: a flusher's failure is told by the next fsync, and what is dirty stays so until it can be written" {
	with_shim mount_pool pool_write=back,pool_flush_interval=0.1
	tool fileio "open F $MNT/f rdwr,creat" "sh echo write 5 >$RULES" 'w F 0 100000 1' "sh timeout 10 sh -c 'until test -s $RULES.met; do :; done'" \
		'!EIO fsync F' 'r F 0 100000 1' "sh : >$RULES" 'w F 200000 10 1'
	wait_until nothing_dirty
	tool fileio "open B $BACKING/f rdonly" 'r B 0 100000 1' 'r B 100000 100000 0' 'r B 200000 10 1'
}

@test "write-back errors: a daemon that ends while the backing refuses says what is lost, and loses no more" {
	need_disk
	prepare_file
	with_shim mount_foreground "path=pool,$LAZY" 2>"$BATS_TEST_TMPDIR/said"
	written g 30000
	sync "$MNT/g"
	written f 30000
	echo 'write 5' >"$RULES"
	kill -TERM "${pid:?}"
	wait "$pid" || true
	grep -q 'Input/output error' "$BATS_TEST_TMPDIR/said" || fail_with "it said: $(<"$BATS_TEST_TMPDIR/said")"
	cmp "$BACKING/g" "$BATS_TEST_TMPDIR/g.copy"
	[ "$(stat -c %s "$BACKING/f")" -eq 30000 ]
}
