#!/usr/bin/env bats
# Who owns what is made, who may do what: users, groups, umask, ACLs, set-id bits; and how a mount may be set up.
load ../helper
load common

@test "files made by another user are that user's, with the umask applied" {
	public_mount allow_other
	chmod 777 "$MNT"
	as_uid 1234 2345 '' bash -c "cd '$MNT' && umask 027 && mkdir d && echo x >f && ln -s f s && mkfifo p && umask 0 && : >all"
	[ "$(stat -c '%u:%g %a' "$BACKING"/{d,f,p,all} | tr '\n' ' ')" = \
		'1234:2345 750 1234:2345 640 1234:2345 640 1234:2345 666 ' ]
	[ "$(stat -c '%u:%g' "$BACKING/s")" = 1234:2345 ]
	as_uid 1234 2345 '' "$PUBLIC/fsop" tmpfile "$MNT/d" "$MNT/d/t" text
	[ "$(stat -c '%u:%g %a' "$BACKING/d/t")" = '1234:2345 640' ]
	echo root >"$MNT/mine"
	[ "$(stat -c %u:%g "$BACKING/mine")" = 0:0 ]
}

@test "without allow_other another user sees nothing" {
	public_mount
	fails 'Permission denied' as_uid 1234 2345 '' ls "$MNT"
}

@test "permissions are checked as on the backing" {
	public_mount allow_other
	echo secret >"$MNT/f"
	chmod 600 "$MNT/f"
	chmod 777 "$MNT"
	fails 'Permission denied' as_uid 1234 2345 '' cat "$MNT/f"
	fails 'Operation not permitted' as_uid 1234 2345 '' chmod 777 "$MNT/f"
	fails 'Operation not permitted' as_uid 1234 2345 '' chown 1234 "$MNT/f"
	chmod +t "$MNT"
	fails 'Operation not permitted' as_uid 1234 2345 '' rm -f "$MNT/f"
	fails 'Operation not permitted' as_uid 1234 2345 '' setfattr -n user.zcfs.reset -v 1 "$MNT"
}

@test "supplementary groups: what they may read, and what a chgrp may give" {
	public_mount allow_other
	mkdir -m 777 "$MNT/d"
	echo shared >"$MNT/f"
	chown 0:777 "$MNT/f"
	chmod 640 "$MNT/f"
	[ "$(as_uid 1234 2345 777,888 cat "$MNT/f")" = shared ]
	fails 'Permission denied' as_uid 1234 2345 888 cat "$MNT/f"
	as_uid 1234 2345 777,888 bash -c "echo >'$MNT/d/mine' && chgrp 888 '$MNT/d/mine'"
	[ "$(stat -c %u:%g "$BACKING/d/mine")" = 1234:888 ]
	fails 'Operation not permitted' as_uid 1234 2345 777 chgrp 999 "$MNT/d/mine"
}

@test "set-group-id directories hand down their group; the bit is for directories" {
	public_mount allow_other
	mkdir "$MNT/d"
	chown 0:777 "$MNT/d"
	chmod 2777 "$MNT/d"
	as_uid 1234 2345 '' bash -c "umask 022; cd '$MNT/d' && echo >f && mkdir sub && echo >sub/g"
	[ "$(stat -c '%u:%g %a' "$BACKING"/d/{f,sub,sub/g} | tr '\n' ' ')" = \
		'1234:777 644 1234:777 2755 1234:777 644 ' ]
}

@test "writing and truncating clear set-id bits of who may not keep them" {
	public_mount allow_other
	local how
	for how in 'echo x >>' 'echo x >' 'truncate -s 1' 'fallocate -l 10'; do
		echo text >"$MNT/f"
		chown 1234:2345 "$MNT/f"
		chmod 6777 "$MNT/f"
		as_uid 999 999 '' bash -c "$how '$MNT/f'"
		[ "$(stat -c %a "$MNT/f")" = 777 ]
		[ "$(stat -c %a "$BACKING/f")" = 777 ]
	done
}

@test "ACLs: kept, applied, and default ACLs inherited in place of the umask" {
	need_tool setfacl getfacl
	public_mount allow_other
	mkdir "$MNT/d"
	echo text >"$MNT/f"
	chmod 600 "$MNT/f"
	setfacl -m u:1234:r "$MNT/f"
	[ "$(as_uid 1234 2345 '' cat "$MNT/f")" = text ]
	fails 'Permission denied' as_uid 1235 2345 '' cat "$MNT/f"
	cmp <(getfacl -cp "$MNT/f") <(getfacl -cp "$BACKING/f")
	setfacl -m d:u:1234:rwx,d:g::rx,d:o::- "$MNT/d"
	chmod 777 "$MNT/d"
	(umask 077 && echo inherited >"$MNT/d/f" && mkdir "$MNT/d/sub")
	mkdir "$BACKING/native"
	getfacl -cp "$BACKING/d" | setfacl --set-file=- "$BACKING/native"
	(umask 077 && echo inherited >"$BACKING/native/f" && mkdir "$BACKING/native/sub")
	cmp <(getfacl -cp "$MNT/d/f") <(getfacl -cp "$BACKING/native/f")
	cmp <(getfacl -cp "$MNT/d/sub") <(getfacl -cp "$BACKING/native/sub")
	[ "$(as_uid 1234 2345 '' cat "$MNT/d/f")" = inherited ]
	setfacl -b "$MNT/f"
	fails 'Permission denied' as_uid 1234 2345 '' cat "$MNT/f"
}

@test "ro: everything can be read, nothing changed" {
	make_backing
	mkdir -p "$BACKING/d"
	echo text >"$BACKING/f"
	mount_zcfs ro
	[ "$(cat "$MNT/f")" = text ]
	local command
	for command in 'touch new' 'mkdir new' 'rm f' 'rmdir d' 'mv f g' 'ln f g' 'ln -s f g' 'chmod 600 f' \
		'truncate -s 0 f' 'setfattr -n user.a -v b f' 'mkfifo p'; do
		fails 'Read-only file system' bash -c "cd '$MNT' && $command"
	done
	fails 'Read-only file system' bash -c "echo >>'$MNT/f'"
	[ "$(cat "$BACKING/f")" = text ]
	[ "$(ledger "$MNT/f" read.bytes)" -eq 5 ]
}

@test "BACKING may be the mountpoint: the covered directory is served" {
	make_backing data
	mkdir "$BACKING/d"
	echo before >"$BACKING/d/f"
	overmount_zcfs
	[ "$(cat "$MNT/d/f")" = before ]
	expect "$MNT/d/f" read.bytes=7
	echo after >"$MNT/d/g"
	umount_zcfs
	[ "$(cat "$BACKING/d/f" "$BACKING/d/g" | tr '\n' ' ')" = 'before after ' ]
}

@test "rule=: the first match wins, by name and by path, for files made and found" {
	make_backing
	mkdir -p "$BACKING/db/x"
	echo found >"$BACKING/db/found.wal"
	mount_zcfs 'path=splice,rule=db/x/*:copy,rule=*.wal:direct,rule=db/**:copy,rule=*:splice'
	local file
	for file in db/x/a.wal db/b.wal db/c top.wal top; do echo made >"$MNT/$file"; done
	[ "$(for file in db/x/a.wal db/b.wal db/found.wal db/c top.wal top; do
		ledger "$MNT/$file" path
		echo
	done | tr '\n' ' ')" = 'copy direct direct copy direct splice ' ]
	cat "$MNT/db/found.wal" "$MNT/db/c" >/dev/null
	expect "$MNT/db/found.wal" read.direct_bytes=6
	expect "$MNT/db/c" read.copy_bytes=5
	mv "$MNT/top" "$MNT/renamed.wal"
	[ "$(ledger "$MNT/renamed.wal" path)" = direct ]
}

@test "nothing outside the backing is reached: symlinks stay text, .. stays inside" {
	mount_zcfs
	echo outside >"$BATS_TEST_TMPDIR/outside"
	ln -s ../outside "$BACKING/link"
	[ "$(readlink "$MNT/link")" = ../outside ]
	[ "$(cat "$MNT/link")" = outside ] # the kernel follows it, from the mountpoint
	echo new >"$MNT/link"
	expect "$MNT" write.bytes=0
	[ "$(stat -c %i "$MNT/..")" = "$(stat -c %i "$BATS_TEST_TMPDIR")" ]
}

# The kernel believes the name is not there, asks to create it, and checks no permission on what is.
@test "a file made underneath meanwhile is opened with the caller's rights, not created over" {
	public_mount allow_other,entry_timeout=60,attr_timeout=60
	chmod 1777 "$BACKING"
	run ! stat "$MNT/x"
	echo secret >"$BACKING/x"
	chmod 600 "$BACKING/x"
	# shellcheck disable=SC2016 # expanded by that bash
	run ! setpriv --reuid=nobody --clear-groups bash -c 'echo over 1<>"$1"' bash "$MNT/x"
	[[ $output == *'Permission denied'* ]]
	[ "$(<"$BACKING/x")" = secret ]
	run ! stat "$MNT/y"
	echo there >"$BACKING/y"
	echo more >>"$MNT/y" # root may: the name is looked up again
	[ "$(<"$BACKING/y")" = $'there\nmore' ]
}

has_free() { (($(stat -f -c %f "$1") >= $2)); }

# fill DIRECTORY UID: the bytes that user can write there, by writes of 64K until there is no space.
fill() {
	local free
	free=$(stat -f -c %f "$1")
	# shellcheck disable=SC2016 # expanded by that bash
	as_uid "$2" "$2" '' bash -c 'dd if=/dev/zero of="$1/fill" bs=64K status=none 2>/dev/null; sync -f "$1"
		stat -c %s "$1/fill"; rm "$1/fill"' bash "$1"
	wait_until has_free "$1" "$free" # a mount's file goes when the kernel has forgotten it
}

@test "the blocks kept for root stay root's: a user meets ENOSPC where the backing says it" {
	need_tool mkfs.ext4
	truncate -s 64M "$BATS_TEST_TMPDIR/image"
	mkfs.ext4 -q -m 25 -O ^has_journal "$BATS_TEST_TMPDIR/image"
	public_mount allow_other
	zcfs umount "$MNT"
	mount -o loop "$BATS_TEST_TMPDIR/image" "$BACKING"
	chmod 777 "$BACKING"
	mount_zcfs allow_other
	local user root
	user=$(fill "$BACKING" 1234)
	root=$(fill "$BACKING" 0)
	expect_that "$((root - user))" '>=' 8388608
	expect_that "$(fill "$MNT" 1234)" == "$user"
	expect_that "$(fill "$MNT" 0)" == "$root"
	expect_that "$(fill "$MNT" 1234)" == "$user"
}
