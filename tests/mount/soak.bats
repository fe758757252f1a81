#!/usr/bin/env bats
# Many operations of every kind by several processes, and the daemon is back where it began: tests/soak/run, in small.
load ../helper
load common

# What a sanitizer slows down does less.
is_sanitized() { ldd "$ZCFS_BUILD/fs/zcfsd" | grep -q 'lib[at]san'; }

setup_file() { export BATS_TEST_TIMEOUT=3600; }

@test "after a soak by several processes the daemon has no more descriptors, threads and memory than before" {
	need_fuse
	need_root
	need_disk
	need_tool python3
	local operations=100000
	[[ ${CI-} != true ]] || operations=400000
	[[ ${ZCFS_LONG-} != 1 ]] || operations=4000000
	is_sanitized && operations=$((operations / 5))
	python3 "$ZCFS_SRC/tests/soak/run" --build "$ZCFS_BUILD" --directory "$BATS_TEST_TMPDIR" "$operations" 3>&-
}
