#!/usr/bin/env bats
# Java's file channels on the mount, by ZCFS_PATH. meson leaves this out where there is no JDK.
load ../helper

@test "Java: FileChannel map, transferTo, transferFrom, lock" {
	need_tool java javac
	mount_zcfs "path=${ZCFS_PATH:-auto}"
	javac -d "$BATS_TEST_TMPDIR" "$ZCFS_SRC/tests/tools/Channels.java"
	java -XX:TieredStopAtLevel=1 -cp "$BATS_TEST_TMPDIR" Channels "$MNT"
	zcfs umount "$MNT"
	cmp "$BACKING/sent" "$BACKING/received"
	[ "$(stat -c %s "$BACKING/mapped")" -eq 3145805 ]
}
