#!/usr/bin/env bats
# zcfs umount: ends mounts of zcfs, all of them and no others, and waits for the daemon.
load ../helper

@test "it unmounts, and the daemon is gone when it returns" {
	mount_zcfs
	run zcfs umount "$MNT"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	run ! is_mounted "$MNT"
	no_daemons
}

@test "what was written is in the backing directory afterwards" {
	mount_zcfs
	head -c 3000000 /dev/urandom >"$MNT/file"
	local sum
	sum=$(sha256sum <"$MNT/file")
	zcfs umount "$MNT"
	[ "$(sha256sum <"$BACKING/file")" = "$sum" ]
}

@test "by a relative name, a trailing slash, a symbolic link" {
	mkdir -p "$BATS_TEST_TMPDIR/mnt"
	ln -s mnt "$BATS_TEST_TMPDIR/link"
	cd "$BATS_TEST_TMPDIR"
	local name
	for name in mnt mnt/ ./mnt link link/ "$PWD/mnt"; do
		mount_zcfs
		zcfs umount "$name"
		run ! is_mounted "$MNT"
	done
}

@test "a second mount on a zcfs mount is refused, the first stays" {
	mount_zcfs
	fails_with 2 "zcfs: $MNT is busy: *zcfs umount*" zcfs mount "$BACKING" "$MNT"
	is_mounted "$MNT"
	zcfs umount "$MNT"
	run ! is_mounted "$MNT"
}

@test "a busy mount is refused with what to do, and -l detaches it" {
	mount_zcfs
	exec 9>"$MNT/held"
	fails_with 1 "zcfs umount: $MNT is busy: *fuser -vm*zcfs umount -l*" zcfs umount "$MNT"
	is_mounted "$MNT"
	zcfs umount -l "$MNT"
	run ! is_mounted "$MNT"
	echo still here >&9
	exec 9>&-
	wait_until no_daemons
	[ "$(<"$BACKING/held")" = 'still here' ]
}

@test "a mount whose daemon was killed is cleared" {
	mount_zcfs
	kill -KILL "$(daemons)"
	wait_until no_daemons
	run -1 cat "$MNT"/.
	[[ $output == *'not connected'* ]]
	zcfs umount "$MNT"
	run ! is_mounted "$MNT"
}

@test "a mount whose daemon hangs can be detached" {
	mount_zcfs
	local pid
	pid=$(daemons)
	kill -STOP "$pid"
	timeout 20 "$ZCFS_BUILD/cli/zcfs" umount -l "$MNT" 3>&-
	run ! is_mounted "$MNT"
	kill -KILL "$pid"
}

@test "what is no zcfs mount is refused with status 2" {
	mkdir -p "$BATS_TEST_TMPDIR/plain"
	echo >"$BATS_TEST_TMPDIR/file"
	fails_with 2 'zcfs umount: * is not a mountpoint*' zcfs umount "$BATS_TEST_TMPDIR/plain"
	fails_with 2 'zcfs umount: * is not a mountpoint*' zcfs umount "$BATS_TEST_TMPDIR/file"
	fails_with 2 'zcfs umount: * is not a mountpoint*' zcfs umount .
	fails_with 2 'zcfs umount: /proc is a mount of type proc*' zcfs umount /proc
	fails_with 2 'zcfs umount: *No such file*' zcfs umount "$BATS_TEST_TMPDIR/none"
	fails_with 2 'zcfs umount: *' zcfs umount ''
	fails_with 2 'zcfs umount: it takes one MOUNTPOINT*' zcfs umount
	fails_with 2 'zcfs umount: it takes one MOUNTPOINT*' zcfs umount a b
}

@test "a directory within a mount is not the mount" {
	mount_zcfs
	mkdir "$MNT/below"
	fails_with 2 "zcfs umount: *it lies in the zcfs mount $MNT" zcfs umount "$MNT/below"
	is_mounted "$MNT"
}

@test "a user unmounts by fusermount3: busy, lazy, done" {
	need_tool fusermount3 setpriv
	# shellcheck disable=SC2016 # expanded inside
	as_user '
		set -e
		zcfs mount backing mnt
		exec 9>mnt/held
		status=0
		zcfs umount mnt 2>err || status=$?
		[ "$status" -eq 1 ]
		grep -q "is busy: .fuser" err
		exec 9>&-
		zcfs umount mnt
		zcfs mount backing mnt
		zcfs umount -l mnt
		! grep -q "$PWD/mnt " /proc/mounts
	'
}
