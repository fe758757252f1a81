#!/usr/bin/env bats
# Every byte on every path: files of many sizes, written in every way at odd offsets, read back in every way, from the mount
# and from the backing directory (tests/tools/roundtrip.c has the ways). Run once per path, with $ZCFS_PATH.
load ../helper
load common

: "${ZCFS_PATH:=auto}"

# round METHOD: with the kernel's cache and without.
round() {
	local cache
	for cache in kernel none; do
		mount_zcfs "path=$ZCFS_PATH,cache=$cache"
		tool roundtrip "$1" "$MNT" "$BACKING"
		umount_zcfs
	done
}

@test "buffered writes" { round buffered; }
@test "O_DIRECT writes, and ends within a block" { round direct; }
@test "stores into a shared mapping" { round mmap_shared; }
@test "stores into a private mapping stay private" { round mmap_private; }
@test "pwritev of odd pieces" { round vectors; }
@test "appends by O_APPEND" { round append; }
@test "O_SYNC and O_DSYNC writes" { round osync; }
@test "truncated and extended" { round truncated; }
@test "sparse files" { round sparse; }
@test "random operations through live buffered, O_DIRECT and mapped views" { round mixed; }
@test "concurrent writers of neighbouring odd ranges" { round writers; }

@test "requests as small as max_io=4K allows" {
	mount_zcfs "path=$ZCFS_PATH,max_io=4K"
	tool roundtrip buffered "$MNT" "$BACKING"
	tool roundtrip mixed "$MNT" "$BACKING"
}

@test "requests of 1 MiB, larger than an unprivileged pipe" {
	mount_zcfs "path=$ZCFS_PATH,max_io=1M,cache=none"
	tool roundtrip buffered "$MNT" "$BACKING"
	tool roundtrip vectors "$MNT" "$BACKING"
}

@test "one worker thread is enough" {
	mount_zcfs "path=$ZCFS_PATH,threads=1"
	tool roundtrip mixed "$MNT" "$BACKING"
	tool roundtrip writers "$MNT" "$BACKING"
}

# One worker: each learns by the first large write it receives that the next is better received by pipe.
@test "the bytes go the way that the path names" {
	mount_zcfs "path=$ZCFS_PATH,cache=none,threads=1"
	local way=$ZCFS_PATH written
	[[ $way != auto ]] || way=splice
	written=$way
	[[ $way != pool ]] || way=pool_hit written=pool_miss # what was written through is there for reading
	dd if=/dev/zero of="$MNT/f" bs=256K count=32 status=none
	dd if="$MNT/f" of=/dev/null bs=256K count=32 status=none
	expect "$MNT/f" "read.${way}_bytes=8388608" read.bytes=8388608 write.bytes=8388608
	expect_that "$(ledger "$MNT/f" "write.${written}_bytes")" '>=' $((8388608 - 262144))
}
