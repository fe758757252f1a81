#!/usr/bin/env bats
# zcfs pool: what it shows is so, flushing writes, dropping forgets, resizing keeps what fits, and bad input is refused.
load ../helper
load ../mount/common

setup() { need_tool jq getfattr setfattr; }

# pool_mount [OPTIONS]: a pool of 256 pages of 16 KiB.
pool_mount() {
	need_disk
	mount_zcfs "path=pool,pool_size=4M,pool_page=16K${1:+,$1}"
}

# back_mount: dirty pages stay until somebody wants them written.
back_mount() { pool_mount pool_write=back,pool_flush_interval=600,pool_dirty_max=90; }

# value KEY: of the JSON.
value() { zcfs pool stat --json "$MNT" | jq -r ".$1"; }

# written NAME BYTES: through the mount, a pattern that zeros are not; keeps a copy.
written() {
	head -c "$2" /dev/urandom >"$BATS_TEST_TMPDIR/$1.copy"
	dd if="$BATS_TEST_TMPDIR/$1.copy" of="$MNT/$1" bs=16K status=none
}

# on_disk NAME: the backing file holds what was written.
on_disk() { dd if="$BACKING/$1" bs=16K iflag=direct status=none | cmp -s - "$BATS_TEST_TMPDIR/$1.copy"; }

not_on_disk() { ! on_disk "$1"; }

@test "stat shows the frames by state, in JSON and as text" {
	pool_mount pool_policy=lru
	zeros "$BACKING/f" 1M
	cat "$MNT/f" >/dev/null
	zcfs pool stat --json "$MNT" | jq -e '
		.page_bytes == 16384 and .size_bytes == 4194304 and .frames == 256 and .policy == "lru" and
		.write == "through" and .verify == "off" and .frames_dirty == 0 and
		.frames_free + .frames_clean + .frames_dirty + .frames_busy == .frames and
		.frames_clean >= 64 and .hits + .misses >= 64 and .files >= 1 and
		(.hit_ratio - .hits / (.hits + .misses) | fabs) <= 0.0001 and
		(.lists | length > 0 and all(.[]; has("name") and has("count")))'
	run zcfs pool stat "$MNT"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = '4.0 MiB in 256 frames of 16.0 KiB, policy lru, write through' ]
	[[ ${lines[1]} == *"free $(value frames_free) "*"clean $(value frames_clean) "*'dirty 0 '* ]]
	[[ $output == *"misses $(value misses) "* ]]
	[[ $output != *' - '* ]]
	expect "$MNT" "pool.resident_bytes=$(($(value frames_clean) * 16384))" "pool.misses=$(value misses)"
}

@test "ghosts show what other policies would have hit, at the pool's present size" {
	pool_mount pool_ghosts=lru,s3fifo,arc
	zeros "$BACKING/f" $((300 * 16384))
	[ "$(zcfs pool stat --json "$MNT" | jq -c '[.ghosts[] | [.policy, .references, .hit_ratio]]')" = \
		'[["lru",0,0],["s3fifo",0,0],["arc",0,0]]' ]
	# Round and round over more pages than there are frames: LRU always drops the page that is due next.
	for _ in 1 2 3 4 5; do
		dd if="$MNT/f" of=/dev/null bs=16K iflag=direct status=none
	done
	zcfs pool stat --json "$MNT" | jq -e '(.ghosts | map({(.policy): .}) | add) as $g |
		$g.lru.references == 1500 and $g.lru.hit_ratio == 0 and $g.s3fifo.hit_ratio > 0.1'
	zcfs pool stat "$MNT" | grep -E '^  ghosts +lru 0\.0000   s3fifo 0\.[1-9][0-9]*   arc 0\.[0-9]+$'
	# What fits is hit by all of them, from the second round on.
	zcfs pool resize "$MNT" 8M
	for _ in 1 2; do
		dd if="$MNT/f" of=/dev/null bs=16K iflag=direct status=none
	done
	zcfs pool stat --json "$MNT" | jq -e '.ghosts | length == 3 and all(.[]; .references == 600 and .hit_ratio == 0.5)'
	zcfs reset "$MNT"
	zcfs pool stat --json "$MNT" | jq -e '.ghosts | all(.[]; .references == 0)'
}

@test "flush writes the dirty pages of a file, on the mountpoint all" {
	back_mount
	written f 128K
	written g 128K
	expect "$MNT" pool.dirty_bytes=262144
	not_on_disk f
	not_on_disk g
	run zcfs pool flush "$MNT/f"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	on_disk f
	not_on_disk g
	expect "$MNT/f" pool.dirty_bytes=0 pool.resident_bytes=131072
	expect "$MNT/g" pool.dirty_bytes=131072
	zcfs pool flush "$MNT"
	on_disk g
	[ "$(value frames_dirty)" -eq 0 ]
	expect "$MNT" pool.dirty_bytes=0 pool.resident_bytes=262144
	expect_that "$(ledger "$MNT" pool.flush_bytes)" '>=' 262144
	cmp "$MNT/g" "$BATS_TEST_TMPDIR/g.copy"
}

@test "drop forgets pages: what has changed underneath is read at once" {
	pool_mount
	tool fileio "open A $BACKING/f rdwr,creat" 'w A 0 64K 1'
	PATH=$ZCFS_TOOLS:$ZCFS_BUILD/cli:$PATH tool fileio "open A $MNT/f rdonly" 'r A 0 64K 1' \
		"sh fileio 'open B $BACKING/f rdwr' 'w B 0 64K 2' 'fsync B'" 'r A 0 64K 1' \
		"sh zcfs pool drop $MNT/f" 'r A 0 64K 2'
	expect "$MNT/f" pool.resident_bytes=65536
	zcfs pool drop "$MNT"
	expect "$MNT/f" pool.resident_bytes=0
	[ "$(value frames_clean)" -eq 0 ]
}

@test "drop writes what is dirty first, also of a file that nobody has open" {
	back_mount
	written f 128K
	not_on_disk f
	zcfs pool drop "$MNT/f"
	on_disk f
	expect "$MNT/f" pool.dirty_bytes=0 pool.resident_bytes=0
	cmp "$MNT/f" "$BATS_TEST_TMPDIR/f.copy"
}

@test "a file that the kernel has forgotten is still found" {
	back_mount
	written f 128K
	drop_caches
	expect "$MNT" pool.resident_bytes=131072
	zcfs pool drop "$MNT/f"
	on_disk f
	expect "$MNT" pool.resident_bytes=0
}

# A file that was changed a moment ago is not trusted to be the same at the next open: reading it brings nothing in any more.
is_settled() {
	local before
	cat "$MNT/$1" >/dev/null
	before=$(value misses)
	cat "$MNT/$1" >/dev/null
	[ "$(value misses)" = "$before" ]
}

@test "resize keeps what still fits, and every byte" {
	pool_mount
	head -c 1M /dev/urandom >"$BACKING/f"
	wait_until is_settled f
	zcfs pool resize "$MNT" 8M
	[ "$(value frames)" -eq 512 ]
	[ "$(ledger "$MNT" pool.resize)" = 8388608 ]
	expect "$MNT" pool.resident_bytes=1048576
	local misses
	misses=$(value misses)
	cmp "$MNT/f" "$BACKING/f"
	[ "$(value misses)" = "$misses" ]
	zcfs pool resize "$MNT" 512K
	[ "$(value frames)" -eq 32 ]
	expect_that "$(ledger "$MNT" pool.resident_bytes)" '<=' 524288
	cmp "$MNT/f" "$BACKING/f"
	fails_with 2 'zcfs pool: * cannot have 100 bytes: *' zcfs pool resize "$MNT" 100
	[ "$(value frames)" -eq 32 ]
}

@test "bad input is refused with one line and status 2" {
	pool_mount
	mkdir "$MNT/d"
	echo x >"$MNT/f"
	fails_with 2 'zcfs pool: it takes stat, flush, drop or resize: *' zcfs pool
	fails_with 2 "zcfs pool: unknown command 'flsh': did you mean 'flush'?" zcfs pool flsh "$MNT"
	fails_with 2 "zcfs pool: unknown command 'empty': *" zcfs pool empty "$MNT"
	local verb
	for verb in stat flush drop; do
		fails_with 2 "zcfs pool: $verb takes *" zcfs pool "$verb"
		fails_with 2 'zcfs pool: * is not on a zcfs mount: *' zcfs pool "$verb" "$BATS_TEST_TMPDIR"
		fails_with 2 'zcfs pool: *No such file*' zcfs pool "$verb" "$MNT/none"
		fails_with 2 'zcfs pool: * is a directory*' zcfs pool "$verb" "$MNT/d"
	done
	fails_with 2 'zcfs pool: * is a file on a zcfs mount: *' zcfs pool stat "$MNT/f"
	fails_with 2 'zcfs pool: * is a file on a zcfs mount: *' zcfs pool resize "$MNT/f" 8M
	fails_with 2 'zcfs pool: stat takes *' zcfs pool stat "$MNT" "$MNT"
	fails_with 2 'zcfs pool: resize takes *' zcfs pool resize "$MNT"
	fails_with 2 "zcfs pool: '8x' is not a size: *" zcfs pool resize "$MNT" 8x
	fails_with 2 'zcfs pool: --json is for stat: *' zcfs pool flush --json "$MNT"
	fails_with 2 'zcfs pool: *none*' zcfs pool flush "$MNT/f" "$MNT/none" "$MNT/f"
	[[ $(getfattr -d -m - --absolute-names "$BATS_TEST_TMPDIR") != *zcfs* ]]
}

@test "a dead mount is told as such, and a full output" {
	pool_mount
	# shellcheck disable=SC2016 # expanded inside
	fails_with 1 'zcfs pool: cannot write*' bash -c '"$0" pool stat "$1" >/dev/full' \
		"$ZCFS_BUILD/cli/zcfs" "$MNT"
	kill -KILL "$(daemons)"
	wait_until no_daemons
	fails_with 1 'zcfs pool: *daemon*zcfs umount*' zcfs pool stat "$MNT"
	fails_with 1 'zcfs pool: *daemon*zcfs umount*' zcfs pool flush "$MNT"
}

@test "a file's owner may flush and drop it, others may not, and the mount is root's" {
	need_disk
	public_mount path=pool,pool_size=4M,allow_other
	echo x >"$MNT/f"
	chmod 666 "$MNT/f"
	chown 1234 "$MNT/f"
	chmod 777 "$MNT"
	local name
	for name in flush drop; do
		as_uid 1234 1234 '' setfattr -n "user.zcfs.pool.$name" -v 1 "$MNT/f"
		fails 'Operation not permitted' as_uid 4321 4321 '' setfattr -n "user.zcfs.pool.$name" -v 1 "$MNT/f"
		fails 'Operation not permitted' as_uid 1234 1234 '' setfattr -n "user.zcfs.pool.$name" -v 1 "$MNT"
	done
	fails 'Operation not permitted' as_uid 1234 1234 '' setfattr -n user.zcfs.pool.resize -v 8M "$MNT"
	[ "$(value size_bytes)" -eq 4194304 ]
	as_uid 1234 1234 '' getfattr -n user.zcfs.pool "$MNT" >/dev/null
}

@test "the pool's names are listed on the root, can be read, and are not settable elsewhere" {
	pool_mount list_stats
	mkdir "$MNT/d"
	echo x >"$MNT/f"
	local listed
	listed=$(getfattr --absolute-names -d -m '^user\.zcfs\.pool' "$MNT")
	[[ $listed == *'user.zcfs.pool="{'*'user.zcfs.pool.drop=""'*'user.zcfs.pool.flush=""'*'user.zcfs.pool.resize="4194304"'* ]]
	[[ $(getfattr --absolute-names -m - "$MNT") != *xxh3* ]]
	listed=$(getfattr --absolute-names -d -m '^user\.zcfs\.pool' "$MNT/f")
	[[ $listed == *user.zcfs.pool.hits=* && $listed != *user.zcfs.pool=* && $listed != *pool.resize* ]]
	fails 'No such attribute' getfattr -n user.zcfs.pool "$MNT/f"
	fails 'Operation not supported' setfattr -n user.zcfs.pool -v 1 "$MNT"
	fails 'Operation not supported' setfattr -n user.zcfs.pool.resize -v 8M "$MNT/f"
	fails 'Operation not supported' setfattr -n user.zcfs.pool.flush -v 1 "$MNT/d"
	fails 'Invalid argument' setfattr -n user.zcfs.pool.resize -v '' "$MNT"
	fails 'Invalid argument' setfattr -n user.zcfs.pool.resize -v 8MM "$MNT"
	[ "$(value frames)" -eq 256 ]
}
