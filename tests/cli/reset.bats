#!/usr/bin/env bats
# zcfs reset: zeroes ledgers on zcfs mounts, leaves everything else alone.
load ../helper

setup() { need_tool getfattr; }

mount_with_io() {
	mount_zcfs
	echo one >"$MNT/one"
	echo two >"$MNT/two"
	[ "$(ledger "$MNT/one" write.bytes)" -eq 4 ]
	[ "$(ledger "$MNT/two" write.bytes)" -eq 4 ]
}

@test "a file's ledger is zeroed, the others' are not" {
	mount_with_io
	run zcfs reset "$MNT/one"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[ "$(ledger "$MNT/one" write.bytes)" -eq 0 ]
	[ "$(ledger "$MNT/two" write.bytes)" -eq 4 ]
}

@test "on the mount's root everyone's is" {
	mount_with_io
	zcfs reset "$MNT"
	[ "$(ledger "$MNT/one" write.bytes)" -eq 0 ]
	[ "$(ledger "$MNT/two" write.bytes)" -eq 0 ]
	[ "$(ledger "$MNT" write.bytes)" -eq 0 ]
}

@test "several paths, one of them bad: the others are reset" {
	mount_with_io
	fails_with 2 'zcfs reset: *none*' zcfs reset "$MNT/one" "$MNT/none" "$MNT/two"
	[ "$(ledger "$MNT/one" write.bytes)" -eq 0 ]
	[ "$(ledger "$MNT/two" write.bytes)" -eq 0 ]
}

@test "what is not on a zcfs mount is refused and gets no attribute" {
	fails_with 2 'zcfs reset: * is not on a zcfs mount*' zcfs reset "$BATS_TEST_TMPDIR"
	[[ $(getfattr -d -m - --absolute-names "$BATS_TEST_TMPDIR") != *zcfs* ]]
	fails_with 2 'zcfs reset: *No such file*' zcfs reset "$BATS_TEST_TMPDIR/none"
	fails_with 2 'zcfs reset: it takes at least one PATH*' zcfs reset
}
