#!/usr/bin/env bats
# user.zcfs.xxh3: what it is of, who may ask, and that a program that is killed while it waits for it leaves.
load ../helper
load common

setup() { need_tool getfattr; }

# The sums are xxhsum -H2's.
EMPTY=99aa06d3014798d86001c324468d497f
NUMBERS=ce5603dda41a0145b0f70d7e817acca6 # of `seq 400000`, more than two pieces of it

@test "it is the XXH3-128 of the content, whatever path wrote it" {
	local path
	mount_zcfs
	: >"$MNT/empty"
	[ "$(ledger "$MNT/empty" xxh3)" = "$EMPTY" ]
	for path in $ZCFS_PATHS; do
		: >"$MNT/$path"
		setfattr -n user.zcfs.path -v "$path" "$MNT/$path"
		seq 400000 >"$MNT/$path"
		[ "$(ledger "$MNT/$path" xxh3)" = "$NUMBERS" ]
	done
	truncate -s 0 "$MNT/$path"
	[ "$(ledger "$MNT/$path" xxh3)" = "$EMPTY" ]
}

@test "it has what the buffer pool has not written yet" {
	[[ " $ZCFS_PATHS " == *' pool '* ]] || skip 'there is no path=pool'
	need_disk
	mount_zcfs path=pool,pool_size=16M,pool_write=back,pool_flush_interval=600,pool_dirty_max=90
	seq 400000 >"$MNT/f"
	expect_that "$(ledger "$MNT/f" pool.dirty_bytes)" '>' 0
	[ "$(ledger "$MNT/f" xxh3)" = "$NUMBERS" ]
}

@test "only files have it, nothing lists it, nobody sets it" {
	mount_zcfs list_stats
	mkdir "$MNT/d"
	echo x >"$MNT/f"
	fails 'No such attribute' getfattr -n user.zcfs.xxh3 "$MNT/d"
	fails 'No such attribute' getfattr -n user.zcfs.xxh3 "$MNT"
	fails 'Operation not supported' setfattr -n user.zcfs.xxh3 -v 1 "$MNT/f"
	[[ $(getfattr --absolute-names -m - "$MNT/f" "$MNT") != *xxh3* ]]
	[ -z "$(getfattr --absolute-names -d -m xxh3 "$BACKING/f")" ]
}

@test "who may not read the file is not told" {
	public_mount allow_other
	seq 400000 >"$MNT/f"
	chown 1234 "$MNT/f"
	chmod 400 "$MNT/f"
	[[ $(as_uid 1234 1234 '' getfattr --absolute-names -n user.zcfs.xxh3 "$MNT/f") == *"$NUMBERS"* ]]
	fails 'Permission denied' as_uid 4321 4321 '' getfattr -n user.zcfs.xxh3 "$MNT/f"
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }

# The bytes the daemon has read so far, of whatever.
daemon_read() { sed -n 's/^rchar: //p' "/proc/$(daemons)/io"; }

reads_on() { expect_that "$(daemon_read)" '>' "$1" 2>/dev/null; }

# With one worker the mount serves nobody else meanwhile; that it serves again shows that the worker stopped as well.
@test "a killed program leaves, and with it the worker, however large the file" {
	need_root
	mount_zcfs threads=1
	echo small >"$MNT/f"
	truncate -s 1T "$MNT/huge"
	local before
	before=$(daemon_read)
	getfattr --absolute-names -n user.zcfs.xxh3 "$MNT/huge" >/dev/null 2>&1 3>&- &
	local pid=$!
	wait_until reads_on "$((before + 64 * 1024 * 1024))"
	kill -KILL "$pid"
	wait_until is_gone "$pid"
	[ "$(timeout -s KILL 20 cat "$MNT/f")" = small ]
}

@test "some at a time: beyond half of the workers it is refused, and the rest serves" {
	need_root
	mount_zcfs threads=2
	echo small >"$MNT/f"
	truncate -s 1T "$MNT/huge"
	local before
	before=$(daemon_read)
	getfattr --absolute-names -n user.zcfs.xxh3 "$MNT/huge" >/dev/null 2>&1 3>&- &
	local pid=$!
	wait_until reads_on "$((before + 64 * 1024 * 1024))"
	fails 'Resource temporarily unavailable' getfattr -n user.zcfs.xxh3 "$MNT/f"
	[ "$(timeout -s KILL 20 cat "$MNT/f")" = small ]
	kill -KILL "$pid"
	wait_until is_gone "$pid"
	[ "$(WAIT_S=10 wait_until ledger "$MNT/f" xxh3 2>/dev/null)" ]
}
