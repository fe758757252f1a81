#!/usr/bin/env bats
# What becomes of dirty pages where a mount, a descriptor or a right ends: the next mount, too few descriptors, chattr +i, utimensat.
load ../helper
load common
load pool

teardown() {
	say_config
	chattr -i "$BACKING"/* 2>/dev/null || true
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

# umount(2) returns before the daemon has written its pool; whoever mounts next must not meet its late writes.
@test "a new mount waits until the one before has written its pages" {
	mount_pool "$LAZY,pool_size=64M,pool_page=4K"
	tool fileio "open F $MNT/f rdwr,creat" 'w F 0 40M 1' 'close F'
	umount "$MNT"
	mount_zcfs "path=pool,$LAZY"
	tool fileio "open F $MNT/f rdwr" 'r F 8K 8K 1' 'w F 4K 4K 2' 'fsync F' "open B $BACKING/f rdonly" 'r B 4K 4K 2'
	umount_zcfs
	tool fileio "open B $BACKING/f rdonly" 'r B 4K 4K 2' 'r B 0 4K 1' 'r B 8K 8K 1'
}

@test "a directory that is written back is mounted once" {
	mount_pool "$LAZY"
	mkdir "$BATS_TEST_TMPDIR/second"
	run -1 zcfs mount "$BACKING" "$BATS_TEST_TMPDIR/second"
	[[ ${#lines[@]} -eq 1 && $output == *'is mounted by another zcfs, and one of the two writes back'* ]]
	umount_zcfs
	mount_zcfs path=pool
	zcfs mount "$BACKING" "$BATS_TEST_TMPDIR/second"
	zcfs umount "$BATS_TEST_TMPDIR/second"
}

@test "a file is cut at its open while descriptors run out" {
	need_disk
	(ulimit -n 96 && mount_zcfs "path=pool,$LAZY")
	local i fds=() fd
	for ((i = 0; i < 60; i++)); do : >"$BACKING/$i"; done
	tool fileio "open F $MNT/victim rdwr,creat" 'w F 0 100000 1' 'close F'
	for ((i = 0; i < 60; i++)); do
		if exec {fd}<>"$MNT/$i"; then fds+=("$fd"); fi 2>/dev/null
	done
	timeout 20 sh -c ": >'$MNT/victim'" || [ $? -ne 124 ]
	for fd in "${fds[@]}"; do exec {fd}>&-; done
	timeout 20 sh -c ": >'$MNT/victim'"
	[ ! -s "$BACKING/victim" ]
}

@test "what was written before a file became immutable is written, and nothing after" {
	need_root
	mount_pool "$LAZY"
	tool fileio "open F $MNT/f rdwr,creat" 'w F 0 20000 1' "sh chattr +i $MNT/f" '!EPERM w F 0 100 2' 'fsync F' \
		"open B $BACKING/f rdonly" 'r B 0 20000 1'
}

@test "a time that is set for a file with dirty pages stays" {
	mount_pool "$LAZY"
	written f 30000
	# By a name that the kernel has not looked up before, so that it knows another inode than the one that was written to.
	ln "$BACKING/f" "$BACKING/g"
	rm "$MNT/f"
	python3 -c 'import os, sys; os.utime(sys.argv[1], (1e9, 1e9))' "$MNT/g"
	zcfs pool flush "$MNT"
	[ "$(stat -c %Y "$MNT/g")" -eq 1000000000 ]
	[ "$(stat -c %Y "$BACKING/g")" -eq 1000000000 ]
	on_disk g "$COPY"
}

@test "a pool larger than the memory is refused" {
	BACKING=$BATS_TEST_TMPDIR/backing MNT=$BATS_TEST_TMPDIR/mnt
	mkdir -p "$BACKING" "$MNT"
	run -2 zcfs mount -o pool_size=16T "$BACKING" "$MNT"
	[[ ${#lines[@]} -eq 1 && $output == *"pool_size=16777216M is more than this machine's memory"* ]]
}
