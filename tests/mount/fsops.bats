#!/usr/bin/env bats
# Every operation of a filesystem: on the mount it does what it does on the backing.
load ../helper
load common

# same WHAT: stat's format gives the same on the mount and underneath.
same() { [ "$(stat -c "$1" "$MNT/$2")" = "$(stat -c "$1" "$BACKING/$2")" ]; }

@test "create, mkdir, symlink, link, unlink, rmdir" {
	mount_zcfs
	mkdir -p "$MNT/a/b/c"
	echo text >"$MNT/a/b/f"
	ln "$MNT/a/b/f" "$MNT/g"
	ln -s 'a/b/../b/f' "$MNT/s"
	ln "$MNT/s" "$MNT/s2"
	[ "$(cat "$MNT/s")" = text ]
	[ "$(readlink "$MNT/s2")" = 'a/b/../b/f' ]
	[ "$(readlink "$BACKING/s")" = 'a/b/../b/f' ]
	[ "$(stat -c %h "$MNT/g")" -eq 2 ]
	[ "$MNT/g" -ef "$MNT/a/b/f" ]
	rm "$MNT/a/b/f"
	[ "$(stat -c %h "$MNT/g")" -eq 1 ]
	fails 'not empty' rmdir "$MNT/a/b"
	rmdir "$MNT/a/b/c" "$MNT/a/b" "$MNT/a"
	fails 'No such file' cat "$MNT/s"
	fails 'File exists' mkdir "$MNT/g"
	fails 'Not a directory' ls "$MNT/g/x"
	rm "$MNT/s" "$MNT/s2" "$MNT/g"
	[ -z "$(ls -A "$BACKING")" ]
}

@test "mknod: fifo, socket, devices; a fifo works" {
	need_root
	mount_zcfs dev
	mkfifo -m 640 "$MNT/fifo"
	mknod -m 600 "$MNT/null" c 1 3
	mknod -m 600 "$MNT/block" b 259 1048575
	same '%F %a %t %T' fifo
	same '%F %a %t %T' null
	same '%F %a %t %T' block
	[ "$(stat -c '%t:%T' "$BACKING/block")" = 103:fffff ]
	echo nothing >"$MNT/null"
	[ "$(head -c 3 "$MNT/null" | wc -c)" -eq 0 ]
	echo through >"$MNT/fifo" &
	[ "$(cat "$MNT/fifo")" = through ]
}

@test "rename: replacing, NOREPLACE, EXCHANGE, across directories" {
	mount_zcfs
	mkdir "$MNT/d" "$MNT/e"
	echo 1 >"$MNT/a" && echo 2 >"$MNT/b" && echo 3 >"$MNT/d/c"
	fails EEXIST tool fsop rename "$MNT/a" "$MNT/b" noreplace
	tool fsop rename "$MNT/a" "$MNT/d/a" noreplace
	[ "$(cat "$BACKING/d/a")" = 1 ]
	tool fsop rename "$MNT/b" "$MNT/d/c" exchange
	[ "$(cat "$MNT/b" "$MNT/d/c" | tr '\n' ' ')" = '3 2 ' ]
	[ "$(cat "$BACKING/b" "$BACKING/d/c" | tr '\n' ' ')" = '3 2 ' ]
	tool fsop rename "$MNT/d" "$MNT/b" exchange
	[ "$(cat "$MNT/b/a" "$MNT/d" | tr '\n' ' ')" = '1 3 ' ]
	mv "$MNT/d" "$MNT/b/a"
	[ "$(cat "$BACKING/b/a")" = 3 ]
	fails EINVAL tool fsop rename "$MNT/b" "$MNT/b/x" 0
	fails EISDIR tool fsop rename "$MNT/b/a" "$MNT/e" 0
	fails ENOENT tool fsop rename "$MNT/none" "$MNT/x" 0
	fails ENOENT tool fsop rename "$MNT/none" "$MNT/e" exchange
}

@test "O_TMPFILE, and linkat that gives it a name" {
	mount_zcfs
	mkdir "$MNT/d"
	tool fsop tmpfile "$MNT/d" "$MNT/d/named" hello
	[ "$(cat "$BACKING/d/named")" = hello ]
	same '%a %h %s %i' d/named
	[ "$(ls "$BACKING/d")" = named ]
	[ "$(tool fsop tmpexcl "$MNT/d")" = ENOENT ]
	fails EEXIST tool fsop tmpfile "$MNT/d" "$MNT/d/named" hello
	expect "$MNT/d/named" write.bytes=5
}

@test "setattr: mode, owner, times to the nanosecond, UTIME_OMIT and UTIME_NOW, of a symlink too" {
	need_root
	mount_zcfs attr_timeout=0
	echo text >"$MNT/f"
	ln -s f "$MNT/s"
	chmod 7751 "$MNT/f"
	same '%a' f && [ "$(stat -c %a "$MNT/f")" = 7751 ]
	chown 1234:4321 "$MNT/f"
	[ "$(stat -c '%u:%g' "$BACKING/f")" = 1234:4321 ]
	[ "$(stat -c %a "$MNT/f")" = 1751 ] # as the kernel does for root's chown of an executable
	chown -h 12:34 "$MNT/s"
	[ "$(stat -c '%u:%g' "$BACKING/s")" = 12:34 ]
	tool fsop times "$MNT/f" 1000000001.123456789 1234567890.987654321
	[ "$(stat -c '%.9X %.9Y' "$BACKING/f")" = '1000000001.123456789 1234567890.987654321' ]
	tool fsop times "$MNT/f" omit 5.000000001
	[ "$(stat -c '%.9X %.9Y' "$MNT/f")" = '1000000001.123456789 5.000000001' ]
	tool fsop times "$MNT/f" 7.000000007 omit
	[ "$(stat -c '%.9X %.9Y' "$BACKING/f")" = '7.000000007 5.000000001' ]
	tool fsop times "$MNT/f" omit now
	expect_that "$(stat -c %Y "$BACKING/f")" '>=' $(($(date +%s) - 60))
	[ "$(stat -c %.9X "$MNT/f")" = 7.000000007 ]
	tool fsop times "$MNT/s" 8.000000008 9.000000009
	[ "$(stat -c '%.9X %.9Y' "$BACKING/s")" = '8.000000008 9.000000009' ]
	same '%.9X %.9Y %.9Z %A %U %G %s %b %B %i %h' f
	truncate -s 3 "$MNT/f"
	[ "$(cat "$BACKING/f")" = tex ]
}

@test "before 1970 and after 2038" {
	mount_zcfs
	: >"$MNT/f"
	touch -d '1935-05-05 05:05:05.5 UTC' "$MNT/f"
	same '%.9Y' f
	touch -d '2200-05-05 05:05:05.5 UTC' "$MNT/f"
	same '%.9Y' f
	[ "$(stat -c %.1Y "$MNT/f")" = "$(date -d '2200-05-05 05:05:05 UTC' +%s).5" ]
}

@test "a directory of 20,000 entries: complete, each once, telldir and seekdir stable" {
	mount_zcfs
	mkdir "$BACKING/d"
	(cd "$BACKING/d" && seq -f 'name-of-some-length-%05g' 20000 | xargs touch)
	[ "$(find "$MNT/d" -type f | sort -u | wc -l)" -eq 20000 ]
	[ "$(tool fsop telldir "$MNT/d")" -eq 20002 ]
	cmp <(ls -l --time-style=full-iso "$MNT/d") <(ls -l --time-style=full-iso "$BACKING/d")
	rm -r "$MNT/d"
	[ ! -e "$BACKING/d" ]
}

@test "statx: birth time, inode number, blocks and block size are the backing's" {
	mount_zcfs
	head -c 100000 /dev/zero >"$MNT/f"
	sync "$MNT/f"
	[ "$(tool fsop btime "$MNT/f")" = "$(tool fsop btime "$BACKING/f")" ]
	[ "$(tool fsop btime "$MNT")" = "$(tool fsop btime "$BACKING")" ]
	same '%i %h %s %b' f
}

@test "xattrs: set, list, get, replace, remove; long ones; trusted for root only" {
	need_root
	need_tool setfattr
	mount_zcfs
	: >"$MNT/f"
	setfattr -n user.one -v 1 "$MNT/f"
	setfattr -n user.one -v 11 "$MNT/f"
	setfattr -n trusted.two -v 2 "$MNT/f"
	setfattr -n user.long -v "$(printf '%02000d' 7)" "$MNT/f"
	[ "$(getfattr --absolute-names -d -m - "$BACKING/f" | tail -n +2)" = \
		"$(getfattr --absolute-names -d -m - "$MNT/f" | tail -n +2)" ]
	[[ $(getfattr --absolute-names -d -m - "$MNT/f") == *'user.one="11"'* ]]
	setfattr -x user.long "$MNT/f"
	fails 'No such attribute' getfattr -n user.long "$MNT/f"
	fails 'No such attribute' setfattr -x user.long "$MNT/f"
	[[ $(getfattr --absolute-names -d -m - "$BACKING/f") != *user.long* ]]
}

@test "fallocate in its modes" {
	need_disk
	mount_zcfs
	tool fileio "open A $MNT/f rdwr,creat" 'w A 0 1M 1' 'falloc A punch 64K 64K' 'r A 64K 64K 0' 'r A 0 64K 1' 'size A 1M' \
		'falloc A keep 2M 1M' 'size A 1M' 'falloc A plain 1M 4K' 'size A 1052672' 'r A 1M 4K 0' \
		'falloc A zero 4K 4K' 'r A 4K 4K 0' 'falloc A zero 100 50' 'r A 100 50 0' 'r A 150 1000 1' \
		'!EOPNOTSUPP falloc A nonsense 0 4K' '!EINVAL falloc A plain 0 0'
	cmp "$MNT/f" "$BACKING/f"
	same '%s %b' f
}

@test "SEEK_DATA and SEEK_HOLE" {
	need_disk
	mount_zcfs
	tool fileio "open A $MNT/f rdwr,creat" 'w A 128K 64K 1' 'trunc A 1M' 'fsync A' 'data A 0 128K' 'hole A 128K 192K' \
		'hole A 0 0' '!ENXIO data A 200K 0' '!ENXIO hole A 1M 0'
}

@test "copy_file_range, within a file and between files" {
	mount_zcfs
	tool fileio "open A $MNT/a rdwr,creat" 'w A 0 1M 1' 'w A 1M 64K 2' "open B $MNT/b rdwr,creat" 'cfr A 0 B 0 1000001' \
		'size B 1000001' 'r B 0 1000001 1' "open C $BACKING/b rdonly" 'r C 0 1000001 1'
	tool fileio "open A $MNT/a rdwr" 'w A 0 4K 0' 'cfr A 0 A 64K 4K' 'r A 64K 4K 0' 'r A 4K 4K 1'
	cp --reflink=auto --sparse=never "$MNT/a" "$MNT/c"
	cmp "$BACKING/a" "$BACKING/c"
}

is_taken() { [ "$(tool fsop try "$1" "$MNT/f")" = taken ]; }

@test "flock, POSIX and OFD locks exclude each other's processes, and waiters get their turn" {
	local kind holder waiter
	mount_zcfs
	: >"$MNT/f"
	mkfifo "$BATS_TEST_TMPDIR/release"
	for kind in flock posix ofd; do
		[ "$(tool fsop try $kind "$MNT/f")" = free ]
		[ "$(tool fsop lock $kind "$MNT/f" "$ZCFS_TOOLS/fsop" try $kind "$MNT/f")" = taken ]
		tool fsop lock $kind "$MNT/f" cat "$BATS_TEST_TMPDIR/release" &
		holder=$!
		wait_until is_taken $kind
		tool fsop wait $kind "$MNT/f" &
		waiter=$!
		echo >"$BATS_TEST_TMPDIR/release"
		wait $holder
		wait $waiter
		[ "$(tool fsop try $kind "$MNT/f")" = free ]
	done
	[ "$(tool fsop lock posix "$MNT/f" "$ZCFS_TOOLS/fsop" try ofd "$MNT/f")" = taken ]
	[ "$(tool fsop lock flock "$MNT/f" "$ZCFS_TOOLS/fsop" try posix "$MNT/f")" = free ]
}

@test "a waiter for a lock can be interrupted, and leaves nothing stuck" {
	local kind
	mount_zcfs
	: >"$MNT/f"
	for kind in flock posix ofd; do
		run -124 tool fsop lock $kind "$MNT/f" timeout 0.1 "$ZCFS_TOOLS/fsop" wait $kind "$MNT/f"
	done
	[ "$(tool fsop try posix "$MNT/f")" = free ]
}

@test "lsattr and chattr" {
	need_root
	need_disk
	need_tool lsattr chattr
	mount_zcfs
	: >"$MNT/f"
	mkdir "$MNT/d"
	chattr +d "$MNT/f"
	[ "$(lsattr "$MNT/f" | cut -d' ' -f1)" = "$(lsattr "$BACKING/f" | cut -d' ' -f1)" ]
	[[ $(lsattr "$BACKING/f" | cut -d' ' -f1) == *d* ]]
	chattr +d "$MNT/d"
	[[ $(lsattr -d "$BACKING/d" | cut -d' ' -f1) == *d* ]]
	lsattr -v "$MNT/f" >/dev/null
}

@test "names of 255 bytes, not of 256; odd bytes in names" {
	mount_zcfs
	local name
	name=$(printf 'n%.0s' {1..255})
	echo long >"$MNT/$name"
	[ "$(cat "$BACKING/$name")" = long ]
	mv "$MNT/$name" "$MNT/${name/n/m}"
	fails 'File name too long' touch "$MNT/n$name"
	fails 'File name too long' mkdir "$MNT/n$name"
	fails 'File name too long' stat "$MNT/n$name"
	fails 'File name too long' mv "$MNT/${name/n/m}" "$MNT/n$name"
	echo odd >"$MNT/"$'a\nb\xff\\ "'
	[ "$(cat "$BACKING/"$'a\nb\xff\\ "')" = odd ]
	mkdir "$MNT/..." "$MNT/ "
	[ -d "$BACKING/..." ]
}

@test "fsync of a directory; statfs is the backing's" {
	mount_zcfs
	mkdir "$MNT/d"
	tool fsop fsyncdir "$MNT/d"
	expect "$MNT/d" fsync.ops=1 fdatasync.ops=1
	sync -f "$MNT/d"
	[ "$(stat -f -c '%b %c %S %l' "$MNT")" = "$(stat -f -c '%b %c %S %l' "$BACKING")" ]
	[ "$(stat -f -c '%b %S' "$MNT/d")" = "$(stat -f -c '%b %S' "$BACKING")" ]
}
