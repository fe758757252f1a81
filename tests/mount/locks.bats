#!/usr/bin/env bats
# Locks and leases: among the mount's users they do what they do natively (tests/tools/locking.py has the steps), and programs
# in the backing directory do not meet them.
load ../helper
load common

setup() { need_tool python3; }

# steps WHAT FILE...: what the processes of locking.py were told.
steps() { timeout -s KILL 30 python3 "$ZCFS_SRC/tests/tools/locking.py" "$@"; }

# as_natively WHAT LINES: the same on the mount as natively, LINES steps at least.
as_natively() {
	local told
	mount_zcfs
	: >"$BACKING/native"
	: >"$BACKING/file"
	told=$(steps "$1" "$BACKING/native")
	[[ $(wc -l <<<"$told") -ge $2 ]]
	diff - <(steps "$1" "$MNT/file") <<<"$told"
}

@test "ranges, shared and exclusive, split and joined, F_GETLK, POSIX and OFD: as natively" { as_natively ranges 60; }

@test "whose a lock is, and what takes it away: descriptors, copies, children, closes: as natively" { as_natively owners 30; }

@test "waiters get their turn when a lock is released, a descriptor closed, a process killed: as natively" {
	as_natively waiters 15
}

@test "a holder killed by SIGKILL has no lock any more, and a waiter killed leaves none" {
	as_natively killed 18
	steps killed "$MNT/file" | awk -F': ' '/^the waiter has it|^nobody has it/ && $NF == "ok" { n++ } END { exit n != 6 }'
}

@test "the second of two that wait for each other gets EDEADLK" {
	as_natively deadlock 3
	[[ $(steps deadlock "$MNT/file") == 'the second to wait: EDEADL'* ]]
}

@test "leases are given, broken by an open, told by SIGIO, and refused on what is open: as natively" {
	as_natively leases 17
}

@test "no lock is mandatory, not on a file marked so either: as natively" { as_natively mandatory 3; }

# told TEXT WHAT ARGUMENT...: the steps said so, whole.
told() {
	local said=$1
	shift
	diff <(steps "$@") - <<<"$said"
}

@test "locks on the mount and on the backing do not meet, and natively they would" {
	mount_zcfs
	: >"$BACKING/file"
	[[ $(steps apart "$BACKING/file" "$BACKING/file" | grep -c '^at the other name: EAGAIN') -eq 6 ]]
	[[ $(steps apart "$MNT/file" "$BACKING/file" | grep -c '^at the other name: ok') -eq 6 ]]
}

@test "a lease on the mount is not broken from underneath" {
	mount_zcfs
	: >"$BACKING/file"
	told $'lease: ok\nopened at the other name: ok\nthe holder has: read' leases_apart "$MNT/file" "$BACKING/file" wait
}

@test "a lease underneath is broken by an open on the mount, which waits for it unless it has O_NONBLOCK" {
	mount_zcfs
	: >"$BACKING/file"
	local broken=$'lease: ok\nthe holder heard, and gives it back: ok\nopened at the other name: ok\nthe holder has: none'
	told "$broken" leases_apart "$BACKING/file" "$BACKING/file" wait
	told "$broken" leases_apart "$BACKING/file" "$MNT/file" wait
	told "${broken/name: ok/name: EAGAIN}" leases_apart "$BACKING/file" "$BACKING/file" O_NONBLOCK
	told "${broken/name: ok/name: EAGAIN}" leases_apart "$BACKING/file" "$MNT/file" O_NONBLOCK
}

@test "two mounts of one backing do not share locks either" {
	mount_zcfs
	: >"$BACKING/file"
	local first=$MNT
	MNT=$BATS_TEST_TMPDIR/second mount_zcfs
	[[ $(steps apart "$first/file" "$BATS_TEST_TMPDIR/second/file" | grep -c '^at the other name: ok') -eq 6 ]]
	zcfs umount "$BATS_TEST_TMPDIR/second"
	zcfs umount "$first"
}
