#!/usr/bin/env bats
# zcfs doctor: a line a probe, a trial mount as the judge, and nothing left behind.
load ../helper

setup() {
	need_fuse
	mkdir "$BATS_TEST_TMPDIR/tmp" "$BATS_TEST_TMPDIR/data"
	echo hello >"$BATS_TEST_TMPDIR/data/file"
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
}

left_nothing() {
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/tmp")" ]
	[ "$(ls -A "$BATS_TEST_TMPDIR/data")" = file ]
	[ -z "$(mounts_below "$BATS_TEST_TMPDIR")" ]
	no_daemons
}

@test "every line is a verdict, and a mount works" {
	run zcfs doctor "$BATS_TEST_TMPDIR/data"
	[ "$status" -eq 0 ]
	[ "${lines[-1]}" = 'A mount works here.' ]
	local subject
	for subject in kernel /dev/fuse 'FUSE features' libfuse 'pipe size' descriptors readahead privileges \
		backing 'file handles' O_DIRECT reflink xattr 'trial mount'; do
		grep -qE "^(ok|degraded|missing|skipped) +$subject  *[^ ]" <<<"$output"
	done
	unset 'lines[-1]'
	run -1 grep -vE '^(ok|degraded|missing|skipped) ' <(printf '%s\n' "${lines[@]}")
	left_nothing
}

@test "on a terminal its lines are broken at the width" {
	need_tool script
	run script -qec "stty cols 100; '$ZCFS_BUILD/cli/zcfs' doctor '$BATS_TEST_TMPDIR/data'" /dev/null
	[ "$status" -eq 0 ]
	local line
	for line in "${lines[@]}"; do
		((${#line} <= 101)) || [[ ${line:26:74} != *' '* ]] # and the carriage return
	done
	((${#lines[@]} > 15))
	left_nothing
}

@test "without a directory it tries one of its own" {
	run zcfs doctor
	[ "$status" -eq 0 ]
	grep -q '^skipped  *backing ' <<<"$output"
	grep -q '^ok  *trial mount .*; read 4 bytes' <<<"$output"
	left_nothing
}

@test "a backing that cannot be written is served, and the probes that write are skipped" {
	need_root
	mount -t tmpfs tmpfs "$BATS_TEST_TMPDIR/data"
	echo hello >"$BATS_TEST_TMPDIR/data/file"
	mount -o remount,ro "$BATS_TEST_TMPDIR/data"
	run zcfs doctor "$BATS_TEST_TMPDIR/data"
	[ "$status" -eq 0 ]
	grep -q '^degraded  *backing .*read-only' <<<"$output"
	grep -q '^skipped  *O_DIRECT, xattr .*Read-only file system' <<<"$output"
	umount "$BATS_TEST_TMPDIR/data"
	left_nothing
}

@test "where no mount is possible it says why, with status 1" {
	need_root
	# shellcheck disable=SC2016 # expanded inside
	run in_namespace '
		mount --bind /dev/null /dev/fuse || exit 77
		"$2/cli/zcfs" doctor "$1/data"
	' "$BATS_TEST_TMPDIR" "$ZCFS_BUILD"
	[ "$status" -eq 1 ]
	grep -q '^missing  *trial mount .*does not work: ' <<<"$output"
	[[ ${lines[-1]} == 'A mount does not work here'* ]]
	left_nothing
}

@test "a user without privileges is told what differs" {
	need_tool fusermount3 setpriv
	# shellcheck disable=SC2016 # expanded inside
	run as_user 'unset TMPDIR; echo hello >backing/file; zcfs doctor backing'
	[ "$status" -eq 0 ]
	grep -q '^degraded  *privileges .*the mount acts as you' <<<"$output"
	grep -q '^ok  *fusermount3 ' <<<"$output"
	grep -qE '^(ok|degraded)  *allow_other ' <<<"$output"
	grep -q '^degraded  *file handles ' <<<"$output"
}

@test "bad arguments are refused" {
	fails_with 2 'zcfs doctor: cannot open the directory*' zcfs doctor "$BATS_TEST_TMPDIR/none"
	fails_with 2 'zcfs doctor: cannot open the directory*' zcfs doctor "$BATS_TEST_TMPDIR/data/file"
	fails_with 2 'zcfs doctor: it takes one BACKING*' zcfs doctor a b
}
