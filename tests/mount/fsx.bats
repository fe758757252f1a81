#!/usr/bin/env bats
# Random operations on one file against a model (tests/tools/fsx.c), on every path, through every kind of descriptor. A failure
# prints the line that does the same again. With ZCFS_LONG=1 each of them is 200,000 operations.
load ../helper
load common

setup_file() { if [[ ${ZCFS_LONG-} == 1 ]]; then export BATS_TEST_TIMEOUT=3600; fi; }

# operations COUNT: how many, in this build. Sanitizers make the daemon several times slower.
operations() {
	if [[ ${ZCFS_LONG-} == 1 ]]; then
		echo 200000
	elif ldd "$ZCFS_BUILD/fs/zcfsd" | grep -q 'lib[at]san'; then
		echo $(($1 / 4))
	else
		echo "$1"
	fi
}

# on_each_path COMMAND...: with the file's mount and its name underneath in BACKING and MNT, auto and each of the paths, with
# and without pages in the kernel's cache.
on_each_path() {
	local path cache
	BACKING=$BATS_TEST_TMPDIR/backing
	need_disk
	for path in auto ${ZCFS_PATHS:-splice copy direct}; do
		for cache in kernel none; do
			echo "path=$path,cache=$cache"
			mount_zcfs "path=$path,cache=$cache"
			"$@"
			umount_zcfs
			no_findings
		done
	done
}

fsx() { tool fsx "$@" --check "$BACKING/file" "$MNT/file"; }

@test "the exerciser finds what it is there to find" {
	BACKING=$BATS_TEST_TMPDIR/backing
	mount_zcfs
	# Something else is underneath than what is written here.
	: >"$BACKING/other"
	run -1 tool fsx --seed 1 --ops 2000 --check "$BACKING/other" "$MNT/file"
	[[ ${lines[0]} == 'fsx --seed 1 --ops 2000 --mode mixed' ]]
	[[ $output == *'the last operations:'*'backing: the size is 0'*'again: --seed 1 --ops'* ]]
	# And with the same size another content, which the last operation compared.
	local last
	last=$(sed -n 's/^again: --seed 1 --ops \([0-9]*\) .*/\1/p' <<<"$output")
	expect_that "$last" '>' 10
	tool fsx --seed 1 --ops "$((last - 1))" --check "$BACKING/file" "$MNT/file"
}

@test "buffered" { on_each_path fsx --mode buffered --ops "$(operations 3000)"; }

@test "O_DIRECT" { on_each_path fsx --mode direct --ops "$(operations 3000)"; }

@test "mapped" { on_each_path fsx --mode mmap --ops "$(operations 3000)"; }

@test "buffered, O_DIRECT and mapped descriptors open at once" { on_each_path fsx --mode mixed --ops "$(operations 4000)"; }

# Through the kernel's cache a buffered write of no whole pages may be late by one for a moment; where that holds none none may.
race() {
	# shellcheck disable=SC2154 # on_each_path has it
	if [[ $cache == kernel && $path != direct && $path != pool ]]; then set -- --lag; fi
	fsx --race "$@" --ops "$(operations 5400)"
}

@test "a reader and a writer at once, each kind against each" { on_each_path race; }

# written_back COMMAND...: path pool as it writes back, in pools of few and of many frames.
written_back() {
	local options
	BACKING=$BATS_TEST_TMPDIR/backing
	need_disk
	for options in pool_flush_interval=0.05 pool_size=64K,pool_page=4K,pool_flush_interval=0.02 \
		pool_size=1M,pool_page=64K,pool_policy=arc,pool_verify=always; do
		echo "path=pool,pool_write=back,$options"
		mount_zcfs "path=pool,pool_write=back,$options"
		"$@"
		umount_zcfs
		no_findings
	done
}

@test "the pool written back: buffered" { written_back fsx --lag --mode buffered --ops "$(operations 3000)"; }

@test "the pool written back: mapped" { written_back fsx --lag --mode mmap --ops "$(operations 2000)"; }

@test "the pool written back: all kinds of descriptors" { written_back fsx --lag --mode mixed --ops "$(operations 3000)"; }

@test "the pool written back: a reader and a writer at once" { written_back fsx --race --ops "$(operations 3600)"; }
