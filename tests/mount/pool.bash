# shellcheck shell=bash
# Mounts with a buffer pool in every mode and page size, and what to ask them. `load pool` after `load common`.

# Dirty pages stay dirty until somebody wants them written.
LAZY=pool_write=back,pool_flush_interval=3600,pool_dirty_max=90

# mount_pool [OPTIONS]: BACKING is on a disk; CONFIG says how, for a failure's sake.
mount_pool() {
	need_disk
	CONFIG=path=pool,pool_size=16M${1:+,$1}
	mount_zcfs "$CONFIG"
}

say_config() { [[ ${BATS_TEST_COMPLETED-} == 1 ]] || echo "last mounted with ${CONFIG-}"; }

# each_pool COMMAND...: on a mount and a backing directory of its own in both write modes, with every page size; page is its.
each_pool() {
	local mode
	for mode in pool_write=through "$LAZY"; do
		for page in 4096 16384 65536; do
			BACKING=$BATS_TEST_TMPDIR/backing-${mode%%,*}-$page
			mount_pool "$mode,pool_page=$((page / 1024))K"
			"$@"
			umount_zcfs
		done
	done
}

# each_page COMMAND...: on a mount and a backing directory of its own with every page size.
each_page() {
	for page in 4096 16384 65536; do
		BACKING=$BATS_TEST_TMPDIR/backing-$page
		mount_pool "pool_page=$((page / 1024))K"
		"$@"
		umount_zcfs
	done
}

# Bytes of the backing file, by any call that reads, writes or splices it; and how many such calls.
bytes_read() { moved 'read|pread64|readv|preadv|preadv2|splice|sendfile' "<$BACKING/$1[^>]*>"; }
bytes_written() { moved 'write|pwrite64|writev|pwritev|pwritev2|splice' "<$BACKING/$1[^>]*>"; }
calls_on() { cat "$BATS_TEST_TMPDIR"/trace/t.* | grep -cE "^($2)\\([0-9]+<$BACKING/$1[^>]*>" || true; }
reads_of() { calls_on "$1" 'p?readv?2?|pread64|splice'; }
writes_of() { calls_on "$1" 'p?writev?2?|pwrite64|splice'; }

# on_disk FILE COPY: what the device has of BACKING/FILE, past the page cache, is COPY.
on_disk() { dd if="$BACKING/$1" bs=1M iflag=direct status=none | cmp - "$2"; }

# written NAME BYTES: random bytes, through the mount; COPY has the same.
written() {
	COPY=$BATS_TEST_TMPDIR/$1.copy
	head -c "$2" /dev/urandom >"$COPY"
	dd if="$COPY" of="$MNT/$1" bs=256K conv=notrunc status=none
}

# pool_counter NAME [FILE]: of the mount, or one file.
pool_counter() { ledger "${2-$MNT}" "pool.$1"; }

nothing_dirty() { [[ $(pool_counter dirty_bytes) == 0 ]]; }
