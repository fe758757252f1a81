#!/usr/bin/env bats
# Views of one file agree: buffered, O_DIRECT and mapped, at once, and with what happens underneath in the backing directory.
# Run once per path, with $ZCFS_PATH.
load ../helper
load common

: "${ZCFS_PATH:=auto}"

fresh() {
	need_disk
	mount_zcfs "path=$ZCFS_PATH${1:+,$1}"
	tool fileio "open A $BACKING/f rdwr,creat" 'w A 0 1M 1' 'fsync A'
}

# Three live views of $MNT/f: A buffered, B O_DIRECT, C mapped.
views=()
live_views() {
	views=("open A $MNT/f rdwr" "open B $MNT/f rdwr,direct" "open C $MNT/f rdwr" 'map C 1M shared'
		'r A 0 1M 1' 'r B 0 1M 1' 'mr C 0 1M 1')
}

# see OFF LEN SEED: steps by which all three views see it.
see() { views+=("r A $*" "r B $*" "mr C $*"); }

for_each_cache() {
	local cache
	for cache in kernel none; do
		BACKING=$BATS_TEST_TMPDIR/backing-$cache
		fresh "cache=$cache"
		live_views
		"$@"
		tool fileio "${views[@]}"
		umount_zcfs
	done
}

direct_writes() {
	views+=('w B 4K 64K 2') && see 4K 64K 2
	views+=('w B 0 4K 3') && see 0 4K 3
	views+=('w B 512K 512K 4') && see 512K 512K 4
}

@test "an O_DIRECT write is seen by live buffered and mapped views at once" { for_each_cache direct_writes; }

buffered_writes() {
	views+=('w A 8K 4K 3') && see 8K 4K 3
	views+=('w A 300000 100000 4' 'r A 300000 100000 4' 'mr C 300000 100000 4' 'sh true')
	views+=('w A 292K 128K 5') && see 292K 128K 5
	views+=('wv A 64K 32K 6') && see 64K 32K 6
}

@test "a buffered write is seen by live O_DIRECT and mapped views at once" { for_each_cache buffered_writes; }

stores() {
	views+=('ms C 12K 4K 4' 'msync C') && see 12K 4K 4
	views+=('ms C 128K 200K 5') && see 128K 200K 5
	views+=('ms C 12K 4K 6' 'w B 12K 4K 7') && see 12K 4K 7
	views+=('ms C 16K 4K 8' 'w A 16K 4K 9') && see 16K 4K 9
}

@test "a store into a mapping is seen by live buffered and O_DIRECT views at once" { for_each_cache stores; }

sizes() {
	views+=('trunc A 700K' 'size B 700K' 'eof A 700K' 'eof B 700K' 'w B 700K 4K 2' 'size A 704K'
		'r A 700K 4K 2' 'trunc B 1M' 'r A 704K 320K 0' 'r B 704K 320K 0' 'mr C 704K 320K 0'
		'falloc A punch 64K 64K' 'r B 64K 64K 0' 'r A 64K 64K 0' 'mr C 64K 64K 0'
		'falloc B zero 256K 4K' 'r A 256K 4K 0' 'mr C 256K 4K 0')
}

@test "truncating, extending and punching through one view is seen by the others" { for_each_cache sizes; }

copies() {
	views+=('cfr A 0 B 512K 64K' "open D $BACKING/f rdonly" 'sh true')
	views+=('w A 512K 64K 3') && see 512K 64K 3
	views+=("open E $MNT/g rdwr,creat" 'w E 0 256K 7' 'cfr E 0 A 0 256K') && see 0 256K 7
}

@test "copy_file_range into the file is seen by all views" { for_each_cache copies; }

@test "asynchronous O_DIRECT writes race with buffered readers: nothing stale after completion" {
	local cache
	for cache in kernel none; do
		fresh "cache=$cache"
		tool aiorace "$MNT/race" 1
		umount_zcfs
	done
}

@test "the same with readers through a shared mapping" {
	local cache
	for cache in kernel none; do
		fresh "cache=$cache"
		tool aiorace "$MNT/race" 2 map
		umount_zcfs
	done
}

@test "a change underneath is seen at the next open, also where size stays the same" {
	fresh attr_timeout=600
	tool fileio "open A $MNT/f rdonly" 'r A 0 1M 1' 'close A'
	tool fileio "open A $BACKING/f rdwr" 'w A 0 1M 2'
	tool fileio "open A $MNT/f rdonly" 'r A 0 1M 2' 'map A 1M shared' 'mr A 0 1M 2'
	tool fileio "open A $BACKING/f rdwr" 'w A 5000 10 3'
	tool fileio "open A $MNT/f rdonly" 'r A 5000 10 3' 'close A'
	tool fileio "open A $BACKING/f rdwr" 'trunc A 10000'
	tool fileio "open A $MNT/f rdonly" 'eof A 10000' 'r A 4990 10 2' 'size A 10000'
}

@test "a change underneath is seen by a live descriptor within attr_timeout" {
	fresh attr_timeout=0.1
	if [[ $ZCFS_PATH == pool ]]; then # looks at an open only
		tool fileio "open A $MNT/f rdonly" 'r A 0 1M 1' "open B $BACKING/f rdwr" 'w B 0 1M 2' \
			"open C $MNT/f rdonly" 'r C 0 1M 2' 'r A 0 1M 2' 'w B 4096 1 4' \
			'close C' "open C $MNT/f rdonly" 'r C 4096 1 4' 'r A 4096 1 4'
		return
	fi
	tool fileio "open A $MNT/f rdonly" 'r A 0 1M 1' "open B $BACKING/f rdwr" \
		'w B 0 1M 2' 'until A 0 1M 2' \
		'w B 1M 100 3' 'until A 1M 100 3' \
		'w B 4096 1 4' 'until A 4096 1 4'
}

has_size() { [ "$(stat -c %s "$MNT/f")" -eq "$1" ]; }
has_text() { [ "$(cat "$MNT/f")" = "$1" ]; }
is_gone() { [ ! -e "$1" ]; }

@test "a file longer or shorter underneath: the size is right within attr_timeout" {
	fresh attr_timeout=0.1
	has_size 1048576
	truncate -s 100 "$BACKING/f"
	wait_until has_size 100
	truncate -s 5000000 "$BACKING/f"
	wait_until has_size 5000000
	cmp "$MNT/f" "$BACKING/f"
}

# Reading $MNT/f makes no request: it is all in the kernel's cache, kept from the open before.
reads_nothing() {
	local before
	before=$(ledger "$MNT/f" read.ops)
	cat "$MNT/f" >/dev/null
	[ "$(ledger "$MNT/f" read.ops)" -eq "$before" ]
}

@test "the kernel's cache is kept from open to open while nothing changes, and only then" {
	fresh
	if [[ $ZCFS_PATH == direct || $ZCFS_PATH == pool ]]; then # uses no cache of the kernel's: every read is a request
		run ! reads_nothing
		run ! reads_nothing
		return
	fi
	wait_until reads_nothing # times too fresh are not trusted yet
	reads_nothing
	tool fileio "open A $BACKING/f rdwr" 'w A 0 10 9'
	run ! reads_nothing
	tool fileio "open A $MNT/f rdonly" 'r A 0 10 9'
}

@test "rename and unlink underneath: the name follows, the live descriptor keeps its file" {
	fresh entry_timeout=0.1,attr_timeout=0.1
	tool fileio "open A $MNT/f rdwr" 'r A 0 4K 1' "sh mv $BACKING/f $BACKING/g" 'r A 4K 4K 1' 'w A 0 4K 2' \
		"open B $BACKING/g rdonly" 'r B 0 4K 2' "sh rm $BACKING/g" 'r A 512K 4K 1' 'w A 0 4K 3' 'r A 0 4K 3' \
		'fsync A'
	wait_until is_gone "$MNT/f"
	echo new >"$BACKING/f"
	wait_until has_text new
	echo newer >"$BACKING/h"
	mv "$BACKING/h" "$BACKING/f"
	wait_until has_text newer
}

@test "programs on the mount and underneath append to one file: nothing is overwritten" {
	local i
	mount_zcfs "path=$ZCFS_PATH"
	: >"$BACKING/log"
	for ((i = 0; i < 300; i++)); do echo "below $i" >&8; done 8>>"$BACKING/log" &
	local below=$!
	for ((i = 0; i < 300; i++)); do echo "above $i" >&8; done 8>>"$MNT/log" &
	local above=$!
	for ((i = 0; i < 100; i++)); do echo "again $i" >>"$MNT/log"; done
	wait "$below"
	wait "$above"
	[ "$(wc -l <"$BACKING/log")" -eq 700 ]
	[ "$(sort -u "$BACKING/log" | wc -l)" -eq 700 ]
	cmp "$MNT/log" "$BACKING/log"
}

@test "an append after the file grew underneath lands behind it, and is read back so" {
	fresh attr_timeout=600
	# "until": the kernel hears of it after the write is answered, since it holds the last page locked before (ops/notify.h).
	tool fileio "open A $MNT/f rdwr,append" 'r A 0 1M 1' "open B $BACKING/f rdwr" 'w B 1M 1000 2' \
		'a A 1049576 500 3' "open C $MNT/f rdonly" 'until C 1M 1000 2' 'r C 1049576 500 3' 'r A 1049576 500 3' \
		'size A 1050076'
}
