#!/usr/bin/env bats
# Names and files without one: descriptors of O_PATH and O_TMPFILE, limits of sizes, names and paths, large directories, hard
# links, files that were unlinked, and what is mounted below. Against the same done natively (tests/tools/naming.py has the steps).
load ../helper
load common

setup() { need_tool python3; }

# steps WHAT DIRECTORY ARGUMENT...: made if need be, and what the steps say there.
steps() {
	[[ $2 == "$BATS_TEST_TMPDIR"/* ]] || fail_with "not a directory of the test's: $2" || return
	mkdir -p "$2"
	timeout -s KILL 100 python3 "$ZCFS_SRC/tests/tools/naming.py" "$@"
}

# as_natively LINES WHAT ARGUMENT...: on the mount the steps say what they say natively, LINES of it.
as_natively() {
	local lines=$1 what=$2 native
	shift 2
	native=$(steps "$what" "$BACKING/native" "$@")
	[[ $(wc -l <<<"$native") -eq $lines && $native != *Traceback* ]]
	diff - <(steps "$what" "$MNT/mount" "$@") <<<"$native"
}

# limited_mount FILES [OPTIONS]: what make_backing made; the daemon starts under that limit of descriptors.
limited_mount() { (ulimit -Sn "$1" && ulimit -Hn "$1" && mount_zcfs "${2-}"); }

@test "O_PATH: fstat, fchdir, openat, linkat, renamed and unlinked meanwhile, and nothing else" {
	mount_zcfs
	as_natively 26 opath
}

@test "O_TMPFILE: used without a name, given two, and none again" {
	mount_zcfs
	as_natively 15 tmpfile
}

no_deleted_files() { ! find "/proc/$(daemons)/fd" -lname '*(deleted)' | grep -q .; }

@test "a file made by O_TMPFILE is gone with its program, killed or not" {
	mount_zcfs
	# shellcheck disable=SC2016 # expanded by that shell, whose parent the program is
	run -137 "$ZCFS_TOOLS/fileio" "open A $MNT rdwr,tmpfile" 'w A 0 1M 1' 'r A 0 1M 1' 'sh kill -KILL $PPID'
	[[ -z $(find "$MNT" "$BACKING" -mindepth 1) ]]
	wait_until no_deleted_files
}

# What differs: the kernel knows no limit of the backing's, so lseek(2) goes beyond it, and only what is done there fails.
but_for_lseek() { sed 's/^\(lseek beyond the end of time\): EINVAL$/\1: 9223372036854775807/'; }

@test "offsets and sizes up to the backing's limit and beyond, O_TRUNC, O_APPEND, O_EXCL: errno as natively" {
	local path cache native
	make_backing
	need_disk
	native=$(steps limits "$BACKING/native")
	[[ $(grep -c EFBIG <<<"$native") -gt 10 ]]
	for path in ${ZCFS_PATHS:-splice copy direct}; do
		for cache in kernel none; do
			mount_zcfs "path=$path,cache=$cache"
			steps limits "$MNT/$path-$cache" >"$BATS_TEST_TMPDIR/seen"
			diff <(but_for_lseek <<<"$native") "$BATS_TEST_TMPDIR/seen" || fail_with "path=$path,cache=$cache"
			umount_zcfs
		done
	done
}

@test "a program's file size limit is EFBIG, and what fits below it is written" {
	mount_zcfs
	local dir
	for dir in "$BACKING" "$MNT"; do
		(
			ulimit -f 100
			trap '' XFSZ
			run ! dd if=/dev/zero of="$dir/limited" bs=64K count=10 status=none
			[[ $output == *'File too large'* ]]
			run ! truncate -s 200K "$dir/limited"
		)
		[ "$(stat -c %s "$dir/limited")" -eq 102400 ]
		rm "$dir/limited"
	done
}

@test "names of every byte, names that are no UTF-8, 255 bytes, and 256 refused by each call" {
	mount_zcfs
	as_natively 16 octets
}

@test "a tree deeper than any path can say, reached by chdir" {
	mount_zcfs 'rule=**/file:copy'
	as_natively 4 deep
	[[ -z $(find "$BACKING/mount" -mindepth 1) ]]
}

# many_files COUNT DIRECTORY...: so many in each.
many_files() {
	python3 -c 'import os, sys
for name in sys.argv[2:]:
    os.makedirs(name)
    for i in range(int(sys.argv[1])):
        os.mknod(f"{name}/name-of-some-length-{i:06d}")' "$@"
}

@test "a directory of 100,000 files: each is listed once, and every place told leads back" {
	local native
	make_backing
	many_files 100000 "$BACKING/d"
	mount_zcfs
	native=$(steps listing "$BACKING/d" 100000 keep)
	[[ $native == $'listed: 100002 different: 100002\nsought: True wrong: 0' ]]
	diff - <(steps listing "$MNT/d" 100000 keep) <<<"$native"
}

@test "a directory that loses files while it is listed: none twice, and of those that stay each" {
	make_backing
	many_files 10000 "$BACKING/mount" "$BACKING/native"
	mount_zcfs
	as_natively 4 listing 10000 remove
	cmp <(find "$MNT/mount" -printf '%f\n' | sort) <(find "$BACKING/mount" -printf '%f\n' | sort)
}

@test "hard links: one inode, one count of links, one ledger, whichever name is read, also after FORGET" {
	need_root
	mount_zcfs attr_timeout=600
	head -c 10000 /dev/zero >"$MNT/a"
	ln "$MNT/a" "$MNT/b"
	mkdir "$MNT/d"
	ln "$MNT/b" "$MNT/d/c"
	[[ $(stat -c '%i %h %d' "$MNT"/{a,b,d/c} | sort -u | wc -l) -eq 1 && $(stat -c %h "$MNT/a") -eq 3 ]]
	drop_caches
	local file sum=0
	for file in a b d/c; do
		dd if="$MNT/$file" of=/dev/null bs=8K iflag=direct count=1 status=none
		sum=$((sum + 8192))
		expect "$MNT/a" "read.bytes=$sum"
		expect "$MNT/b" "read.bytes=$sum"
		expect "$MNT/d/c" "read.bytes=$sum"
		drop_caches
	done
	rm "$MNT/a"
	[[ $(stat -c %h "$MNT/b" "$MNT/d/c" "$BACKING/b" | sort -u) == 2 ]]
	expect "$MNT/d/c" "read.bytes=$sum"
	expect "$MNT" "read.bytes=$sum"
}

@test "unlinked files, open or held by O_PATH: used as before, also when descriptors are scarce" {
	local path
	for path in ${ZCFS_PATHS:-splice copy direct}; do
		make_backing "$path"
		limited_mount 128 "path=$path,attr_timeout=0"
		as_natively 51 orphans 500
		umount_zcfs
	done
}

@test "a descriptor outlives the file's last name underneath, also when descriptors are scarce" {
	make_backing
	limited_mount 128 attr_timeout=0,entry_timeout=0
	mkdir "$BACKING/others"
	(cd "$BACKING/others" && seq 500 | xargs touch)
	tool fileio "open A $MNT/f rdwr,creat" 'w A 0 100K 1' "sh rm $BACKING/f" "sh ls -l $MNT/others | grep -c . | grep -qx 501" \
		'r A 0 100K 1' 'size A 100K' 'w A 50K 4K 2' 'r A 50K 4K 2' 'trunc A 60K' 'size A 60K' 'fsync A'
}

@test "what is mounted below the backing is served; renames and links do not cross, as natively" {
	need_root
	mount_zcfs
	mkdir "$BACKING"/{tmp,bound,source}
	echo from-source >"$BACKING/source/f"
	mount -t tmpfs tmpfs "$BACKING/tmp"
	mount --bind "$BACKING/source" "$BACKING/bound"
	echo in-tmp >"$MNT/tmp/f"
	[ "$(cat "$BACKING/tmp/f" "$MNT/bound/f" | tr '\n' ' ')" = 'in-tmp from-source ' ]
	[ "$(stat -f -c %T "$BACKING/tmp")" = tmpfs ]
	[ "$(stat -f -c '%b %c' "$MNT/tmp")" = "$(stat -f -c '%b %c' "$BACKING/tmp")" ]
	local dir
	for dir in "$BACKING" "$MNT"; do
		fails EXDEV tool fsop rename "$dir/tmp/f" "$dir/g" 0
		fails 'cross-device' ln "$dir/tmp/f" "$dir/g"
		fails EXDEV tool fsop rename "$dir/bound/f" "$dir/g" 0
		fails 'busy' rmdir "$dir/tmp"
	done
	mv "$MNT/tmp/f" "$MNT/moved"
	[ "$(cat "$BACKING/moved")" = in-tmp ]
	cp "$MNT/source/f" "$MNT/tmp/copied"
	cmp "$BACKING/source/f" "$BACKING/tmp/copied"
	expect "$MNT/bound/f" "read.bytes=$(ledger "$MNT/source/f" read.bytes)" # one file by two ways
	umount_zcfs
	umount "$BACKING/tmp" "$BACKING/bound"
}
