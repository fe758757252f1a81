#!/usr/bin/env bats
# Times, sizes and blocks: what stat(2) says on the mount directly after an operation, against the same operation done natively
# (tests/tools/timing.py has the steps), and after changes underneath.
load ../helper
load common

setup() { need_tool python3; }

# steps WHAT DIRECTORY: made, and what the steps say there.
steps() {
	mkdir "$2"
	python3 "$ZCFS_SRC/tests/tools/timing.py" "$1" "$2"
}

# What differs: what the kernel answers from its own caches is no access to the backing. It keeps symlinks always.
from_the_cache() {
	local kept='link again'
	[[ $1 != kernel ]] || kept+='|buffered again'
	sed -E "s/, ($kept): moved\$/, \1: kept/"
}

@test "access times move as the backing's mount options say, except for what the kernel answers from its cache" {
	need_root
	need_tool mkfs.ext4
	make_backing
	truncate -s 32M "$BATS_TEST_TMPDIR/image"
	mkfs.ext4 -q "$BATS_TEST_TMPDIR/image"
	mount -o loop "$BATS_TEST_TMPDIR/image" "$BACKING"
	local option path cache native
	for option in strictatime relatime noatime; do
		mount -o "remount,$option" "$BACKING"
		native=$(steps accesses "$BACKING/native-$option")
		[[ $(wc -l <<<"$native") -eq 27 ]]
		for path in ${ZCFS_PATHS:-splice copy direct}; do
			for cache in kernel none; do
				mount_zcfs "path=$path,cache=$cache,attr_timeout=600"
				steps accesses "$MNT/$option-$path-$cache" >"$BATS_TEST_TMPDIR/seen"
				case $path in # direct uses the kernel's cache never, pool has always one
				direct) cache=none ;;
				pool) cache=kernel ;;
				esac
				diff <(from_the_cache "$cache" <<<"$native") "$BATS_TEST_TMPDIR/seen" || fail_with "$option, $path"
				umount_zcfs
			done
		done
	done
	[[ $(grep -c moved <<<"$native") -eq 0 ]] # the last was noatime
	# What differs: noatime of the mount itself. The daemon's reads are accesses all the same.
	mount -o remount,strictatime "$BACKING"
	mount_zcfs noatime,cache=none
	diff <(steps accesses "$BACKING/again" | from_the_cache none) <(steps accesses "$MNT/noatime")
}

# What differs: a store into a mapping is a change when it is written out, natively when it is made.
written_out() { sed 's/^\(stored, not yet written out: file\) mtime ctime$/\1 nothing/'; }

@test "which operation moves mtime and ctime, of a file and of its directory, is shown at once: as natively" {
	make_backing
	need_disk
	local path cache native
	native=$(steps changes "$BACKING/native")
	[[ $(grep -c 'file mtime ctime\|file ctime' <<<"$native") -gt 25 ]]
	for path in ${ZCFS_PATHS:-splice copy direct}; do
		for cache in kernel none; do
			mount_zcfs "path=$path,cache=$cache,attr_timeout=600"
			diff <(written_out <<<"$native") <(steps changes "$MNT/$path-$cache")
			umount_zcfs
		done
	done
}

@test "utimensat: now, omit, nanoseconds, before 1970 and beyond what the backing can keep, through symlinks and descriptors" {
	mount_zcfs attr_timeout=600
	local native
	native=$(steps settings "$BACKING/native")
	[[ $(grep -c ': ok' <<<"$native") -eq 44 && $(grep -c ': EINVAL' <<<"$native") -eq 8 ]]
	diff - <(steps settings "$MNT/mount") <<<"$native"
}

btimes() { tool fsop btime "$MNT/$1" && tool fsop btime "$BACKING/$1"; }

@test "the birth time stays whatever is done, and is another's when a new file takes the name" {
	mount_zcfs attr_timeout=600
	echo text >"$MNT/f"
	local born
	born=$(tool fsop btime "$BACKING/f")
	echo more >>"$MNT/f" && chmod 600 "$MNT/f" && : >"$MNT/f" && ln "$MNT/f" "$MNT/g" && rm "$MNT/f" && mv "$MNT/g" "$MNT/f"
	touch -d '2001-01-01' "$MNT/f"
	[[ $(btimes f) == "$born"$'\n'"$born" ]]
	echo new >"$MNT/new"
	mv "$MNT/new" "$MNT/f"
	[[ $(btimes f | sort -u | wc -l) -eq 1 && $(btimes f | head -n 1) > $born ]]
}

# sizes_agree AFTER [OPTION]: size and blocks, on the mount and underneath.
sizes_agree() {
	local mount below
	mount=$(stat ${2:+"$2"} -c '%s %b' "$MNT/f") below=$(stat -c '%s %b' "$BACKING/f")
	[[ $mount == "$below" ]] || fail_with "after $1: $mount on the mount, $below underneath"
}

each_write() {
	local step
	: >"$MNT/f"
	for step in 'w A 0 100000 1' 'w A 10M 1 2' 'wv A 200001 70000 3' 'w B 512K 128K 4' 'w B 20M 4K 4' 'map A 1M shared;ms A 4K 8K 5;msync A' \
		'falloc A plain 30M 1M' 'falloc A keep 60M 1M' 'falloc A punch 512K 64K' 'trunc A 25M' 'cfr A 0 A 2M 64K' 'trunc B 5000' \
		'w A 1M 4K 1 sync'; do
		mapfile -d ';' -t steps <<<"$step"
		tool fileio "open A $MNT/f rdwr" "open B $MNT/f rdwr,direct" "${steps[@]%$'\n'}" || return
		sizes_agree "$step" || return
		# fsync(2) lets the backing allocate what it had put off; the kernel asks for that after attr_timeout, or if told to.
		tool fileio "open A $MNT/f rdwr" 'fsync A'
		[[ $(stat -c %s "$MNT/f") == "$(stat -c %s "$BACKING/f")" ]] &&
			sizes_agree "$step and fsync" --cached=never || return
	done
}

@test "size and blocks are right directly after each write, and after fsync, by any path" {
	need_disk
	local path cache steps
	for path in ${ZCFS_PATHS:-splice copy direct}; do
		for cache in kernel none; do
			mount_zcfs "path=$path,cache=$cache,attr_timeout=600"
			each_write || fail_with "path=$path,cache=$cache"
			umount_zcfs
		done
	done
}

# shows FORMAT: what stat says of $MNT/f is what it says underneath.
shows() { [[ $(stat -c "$1" "$MNT/f") == "$(stat -c "$1" "$BACKING/f")" ]]; }

# changes_below COMMAND...: one change after the other in the backing directory, each judged by COMMAND on the mount.
changes_below() {
	local change all='%s %b %a %u %g %h %.9X %.9Y %.9Z'
	echo text >"$BACKING/f"
	for change in 'echo more >>f' 'truncate -s 100000 f' 'truncate -s 3 f' 'chmod 604 f' 'chown 12:34 f' 'ln f g' 'rm g' \
		'touch -d 1990-01-01 f' 'touch -a -d 1995-05-05 f' 'fallocate -n -l 1M f' 'mv f g && mv g f'; do
		shows "$all"
		(cd "$BACKING" && eval "$change")
		"$@" "$all" || fail_with "after $change underneath: $(stat -c "$all" "$MNT/f"), underneath $(stat -c "$all" "$BACKING/f")"
	done
}

# Names are kept for long, so that no lookup brings the attributes.
@test "a change underneath shows at once with attr_timeout=0, a name's with entry_timeout=0" {
	need_root
	mount_zcfs attr_timeout=0,entry_timeout=600
	changes_below shows
	umount_zcfs
	mount_zcfs attr_timeout=600,entry_timeout=0
	shows '%i %s'
	echo another >"$BACKING/h"
	mv "$BACKING/h" "$BACKING/f"
	shows '%i %s %.9Z'
}

@test "a change underneath shows within attr_timeout, and until then the attributes are those of before" {
	need_root
	mount_zcfs attr_timeout=0.3,entry_timeout=600
	changes_below wait_until shows
	umount_zcfs
	mount_zcfs attr_timeout=600,entry_timeout=600
	shows %s
	echo more >>"$BACKING/f"
	run -1 shows %s
}

@test "what a descriptor says of its file is as fresh as what the name says" {
	mount_zcfs attr_timeout=0
	tool fileio "open A $BACKING/f rdwr,creat" "open B $MNT/f rdwr" 'size B 0' 'w A 0 5000 1' 'size B 5000' 'trunc A 17' 'size B 17' \
		'w B 17 3 1' 'size A 20' 'size B 20' "sh rm $BACKING/f" 'trunc A 4' 'size B 4'
}
