#!/usr/bin/env bats
# A daemon that is killed at any moment, thousands of times in all (tests/tools/killer.c): what was written, or with write-back
# what was synced, is in the backing directory to the byte, every file has its size, and had it at every instant before. A failure
# prints its seed. With ZCFS_LONG=1 each of them takes two minutes.
load ../helper
load common

setup_file() { if [[ ${ZCFS_LONG-} == 1 ]]; then export BATS_TEST_TIMEOUT=3600; fi; }

# kills SECONDS MOUNT-OPTIONS [KILLER-OPTION]...
kills() {
	local seconds=$1 options=$2 log=:log_path=$BATS_TEST_TMPDIR/finding
	shift 2
	need_disk
	[[ ${ZCFS_LONG-} != 1 ]] || seconds=120
	make_backing
	mkdir -p "$MNT"
	if ! ASAN_OPTIONS=${ASAN_OPTIONS-}$log UBSAN_OPTIONS=${UBSAN_OPTIONS-}$log TSAN_OPTIONS=${TSAN_OPTIONS-}$log \
		tool killer --seconds "$seconds" "$@" "$ZCFS_BUILD/cli/zcfs" "$BACKING" "$MNT" "$options" 3>&-; then
		fail_with "with -o $options: $(tail -n 5 "$MNT.log")"
	fi
}

# has_path NAME: of this build.
has_path() { [[ " ${ZCFS_PATHS:-splice copy direct} " == *" $1 "* ]]; }

# kills_pool SECONDS POOL-OPTIONS [KILLER-OPTION]...
kills_pool() {
	has_path pool || skip 'no path=pool here'
	local seconds=$1 options=$2
	shift 2
	kills "$seconds" "path=pool,$options" "$@"
}

@test "the verification finds a byte that is not what was written, and a size" {
	need_disk
	run -1 kills 2 path=copy --cached --spoil data
	[[ $output == *'seed '*', cycle '*': byte '*' and may be: '* ]]
	run -1 kills 2 path=copy --cached --spoil size
	[[ $output == *'seed '*', cycle '*': has size '* ]]
}

@test "splice, and copy: what was written is there" {
	local path
	for path in splice copy; do
		kills 2 "path=$path" --cached
	done
}

@test "without the kernel's cache" { kills 2 path=auto,cache=none; }

@test "direct: also where files end within a block" { kills 2 path=direct; }

# A few frames, so that files larger than the pool move through it; and room for all.
@test "pool, write-through: what was written is there" {
	kills_pool 2 pool_write=through,pool_page=4K,pool_size=64K
	kills_pool 2 pool_write=through,pool_page=16K,pool_size=4M
	kills_pool 2 pool_write=through,pool_page=64K,pool_size=1M
}

@test "pool, write-back that is always at work: what was synced is there" {
	kills_pool 2 pool_write=back,pool_page=4K,pool_size=256K,pool_flush_interval=0.01,pool_dirty_max=20 --back
	kills_pool 2 pool_write=back,pool_page=16K,pool_size=4M,pool_flush_interval=0.01 --back
}

@test "pool, write-back that waits for syncs: what was synced is there" {
	kills_pool 2 pool_write=back,pool_page=16K,pool_size=4M,pool_flush_interval=3600,pool_dirty_max=90 --back
	kills_pool 2 pool_write=back,pool_page=64K,pool_size=4M,pool_flush_interval=3600,pool_dirty_max=90 --back
}

@test "pool, write-back into a few frames: what was synced is there" {
	kills_pool 2 pool_write=back,pool_page=16K,pool_size=64K,pool_flush_interval=0.5 --back --threads 8
	kills_pool 2 pool_write=back,pool_page=4K,pool_size=64K --back
}
