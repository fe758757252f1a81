#!/usr/bin/env bats
# What is mounted below the backing directory: served, or with xdev refused.
load ../helper
load common

setup() {
	need_root
	make_backing
	mkdir "$BACKING/other" "$BACKING/bound" "$BACKING/dir"
	echo in >"$BACKING/dir/file"
	mount -t tmpfs tmpfs "$BACKING/other"
	mount --bind "$BACKING/dir" "$BACKING/bound"
	echo other >"$BACKING/other/file"
}

@test "another filesystem and a bind mount below the backing directory are served" {
	mount_zcfs
	[ "$(<"$MNT/other/file")" = other ]
	[ "$(<"$MNT/bound/file")" = in ]
	echo more >>"$MNT/other/file"
	[ "$(cat "$BACKING/other/file")" = $'other\nmore' ]
	fails 'Invalid cross-device link' python3 -c 'import os, sys; os.rename(*sys.argv[1:])' "$MNT/other/file" "$MNT/dir/file"
	[ "$(<"$MNT/dir/file")" = in ]
}

@test "files of two filesystems below have numbers of their own, though theirs may be the same" {
	mkdir "$BACKING/second"
	mount -t tmpfs tmpfs "$BACKING/second"
	echo one >"$BACKING/other/same"
	touch "$BACKING/second/file"
	echo two >"$BACKING/second/same"
	ln "$BACKING/other/same" "$BACKING/other/link"
	ln "$BACKING/second/same" "$BACKING/second/link"
	[ "$(stat -c %i "$BACKING/other/same")" = "$(stat -c %i "$BACKING/second/same")" ]
	mount_zcfs
	[ "$(stat -c %i "$MNT/other/same")" != "$(stat -c %i "$MNT/second/same")" ]
	[ "$(stat -c %i "$MNT/other/same")" = "$(stat -c %i "$MNT/other/link")" ]
	[ "$(find "$MNT/second/same" -printf %i)" = "$(find "$MNT/second" -name same -printf %i)" ]
	[ "$(python3 -c 'import os, sys; print(*[e.inode() for e in os.scandir(sys.argv[1]) if e.name == "same"])' "$MNT/second")" = "$(stat -c %i "$MNT/second/same")" ]
	tar -C "$MNT" -cf - other second | tar -C "$BATS_TEST_TMPDIR" -xf -
	[ "$(<"$BATS_TEST_TMPDIR/second/link")" = two ]
}

@test "xdev: they are listed and refused with EXDEV, also when they come while it is mounted" {
	mount_zcfs xdev
	[ "$(ls "$MNT")" = $'bound\ndir\nother' ]
	fails 'Invalid cross-device link' ls "$MNT/other"
	fails 'Invalid cross-device link' cat "$MNT/bound/file"
	fails 'Invalid cross-device link' touch "$MNT/other/new"
	[ "$(<"$MNT/dir/file")" = in ]
	[ ! -e "$BACKING/other/new" ]
	mkdir "$BACKING/late"
	mount -t tmpfs tmpfs "$BACKING/late"
	fails 'Invalid cross-device link' ls "$MNT/late"
	umount "$BACKING/late"
	echo again >"$BACKING/late/file"
	wait_until test -e "$MNT/late/file"
}
