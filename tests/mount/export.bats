#!/usr/bin/env bats
# File handles of the mount (name_to_handle_at, open_by_handle_at), by which NFS servers know files: they lead to the same file
# after the kernel has forgotten it and after another daemon has taken over, to no other file, and not out of the backing.
load ../helper
load common

setup() {
	need_fuse
	need_root
	DISK=$BATS_TEST_TMPDIR/disk MNT=$BATS_TEST_TMPDIR/mnt
}

# make_disk FS: DISK is a filesystem of that kind.
make_disk() {
	need_tool "mkfs.$1"
	local image=$BATS_TEST_TMPDIR/image
	truncate -s 320M "$image" # the least that mkfs.xfs takes
	"mkfs.$1" -q "$image"
	mkdir "$DISK"
	mount -o loop "$image" "$DISK"
}

# make_tree DIRECTORY: files of each kind, and what there is to say of them.
make_tree() {
	mkdir -p "$1/dir/deep/er"
	echo content >"$1/dir/file"
	echo top >"$1/top"
	ln -s file "$1/dir/link"
	mkfifo "$1/dir/fifo"
	touch "$1/dir/deep/er"/{a,b,c}
	names=(. dir dir/deep dir/deep/er dir/file dir/link dir/fifo top)
}

# take NAME...: their handles, in the array `handle`.
take() {
	local name
	declare -gA handle=()
	for name; do handle[$name]=$(tool handles take "$MNT/$name"); done
}

# The O_PATH descriptors that the daemon keeps for files it knows.
known() { { grep -l '^flags:.*1[0-7]\{7\}$' "/proc/$(daemons)/fdinfo"/* || true; } 2>/dev/null | wc -l; }

knows_none() { (($(known) <= none)); }

# mount_known [OPTIONS]: mounts BACKING on MNT; none is what `known` says when the kernel knows no file of it.
mount_known() {
	mount_zcfs "$1"
	none=2 # the root's, and /proc/self/fd
}

# The kernel forgets all inodes of the mount, and the daemon all files.
forget() {
	echo 2 >/proc/sys/vm/drop_caches
	wait_until knows_none
}

# resolves NAME...: the handles of names of make_tree lead to those files.
resolves() {
	local name
	for name; do
		[ "$(tool handles stat "$MNT" "${handle[$name]}")" = "$(stat -c '%i' "$BACKING/$name") $(kind "$BACKING/$name")" ] ||
			fail_with "$name: $(tool handles stat "$MNT" "${handle[$name]}" 2>&1)"
		case $name in
		dir/file) [ "$(tool handles cat "$MNT" "${handle[$name]}")" = content ] ;;
		top) [ "$(tool handles cat "$MNT" "${handle[$name]}")" = top ] ;;
		dir/link) [ "$(tool handles readlink "$MNT" "${handle[$name]}")" = file ] ;;
		dir/deep/er) [ "$(tool handles ls "$MNT" "${handle[$name]}" | sort | tr '\n' ' ')" = 'a b c ' ] ;;&
		dir/*) [[ ! -d $BACKING/$name ]] || [ "$(tool handles path "$MNT" "${handle[$name]}")" = "$MNT/$name" ] ;;
		esac
	done
}

kind() {
	if [[ -L $1 ]]; then echo link; elif [[ -d $1 ]]; then echo dir; elif [[ -f $1 ]]; then echo file; else echo other; fi
}

# is_stale NAME...: their handles lead nowhere.
is_stale() {
	local name
	for name; do
		fails ESTALE tool handles stat "$MNT" "${handle[$name]}" || fail_with "$name"
	done
}

remount() {
	umount_zcfs
	mount_known "${1-}"
}

# holds [OPTIONS]: handles of BACKING's files do, whatever happens to the daemon.
holds() {
	make_tree "$BACKING"
	mount_known "$@"
	take "${names[@]}"
	resolves "${names[@]}"
	forget
	resolves "${names[@]}"
	forget
	resolves dir/deep/er # first, so that all above it have to be found
	forget
	resolves dir/file
	tool handles write "$MNT" "${handle[dir/file]}" $'more\n'
	[ "$(<"$BACKING/dir/file")" = $'content\nmore' ]
	echo content >"$BACKING/dir/file"
	remount "$@"
	resolves "${names[@]}"
	forget
	mv "$BACKING/dir/file" "$BACKING/moved"
	[ "$(tool handles cat "$MNT" "${handle[dir/file]}")" = content ]
	mv "$BACKING/moved" "$BACKING/dir/file"
	remount "$@"
	take_again "${names[@]}"
}

# The handles are the same, whoever asks.
take_again() {
	local name
	for name; do [ "$(tool handles take "$MNT/$name")" = "${handle[$name]}" ] || fail_with "$name has another handle"; done
}

# holds_on FS: also where the backing filesystem itself is unmounted meanwhile.
holds_on() {
	make_disk "$1"
	BACKING=$DISK
	holds
	umount_zcfs
	umount "$DISK"
	mount -o loop "$BATS_TEST_TMPDIR/image" "$DISK"
	mount_known
	resolves "${names[@]}"
}

@test "handles outlive FORGET and the daemon: ext4" { holds_on ext4; }

@test "handles outlive FORGET and the daemon: xfs" { holds_on xfs; }

@test "handles outlive FORGET and the daemon: btrfs" { holds_on btrfs; }

# leads_nowhere_on FS: deleted files' handles; where FS gives their inode numbers to new files, those are not met.
leads_nowhere_on() {
	make_disk "$1"
	BACKING=$DISK
	make_tree "$BACKING"
	mount_known
	take "${names[@]}"
	rm "$MNT/dir/file" "$BACKING/dir/link"
	rm -r "$BACKING/dir/deep"
	forget
	is_stale dir/file dir/link dir/deep dir/deep/er
	remount
	is_stale dir/file dir/link dir/deep dir/deep/er
	resolves top dir/fifo
}

@test "handles of deleted files are stale: ext4" { leads_nowhere_on ext4; }

@test "handles of deleted files are stale: xfs" { leads_nowhere_on xfs; }

@test "handles of deleted files are stale: btrfs" { leads_nowhere_on btrfs; }

# reuse NAME DIRECTORY: deletes it there and makes files until one has its inode number: NEW.
reuse() {
	local inode i round
	inode=$(stat -c %i "$2/$1")
	rm "$2/$1"
	for round in {1..20}; do
		for i in {1..50}; do echo new >"$2/new.$1.$round.$i"; done
		NEW=$(cd "$2" && stat -c '%i %n' "new.$1.$round".* | awk -v inode="$inode" '$1 == inode { print $2 }')
		[[ -z $NEW ]] || return 0
	done
	fail_with 'no file got the inode number again'
}

reused_on() {
	local where how name
	make_disk "$1"
	BACKING=$DISK
	mount_known
	for where in "$MNT" "$BACKING"; do
		for how in : forget remount; do
			name=old-$how-${where##*/}
			echo old >"$MNT/$name"
			take "$name"
			[ "$(tool handles cat "$MNT" "${handle[$name]}")" = old ]
			[[ $where == "$MNT" ]] || forget # the kernel would not know that it was deleted
			reuse "$name" "$where"
			$how
			is_stale "$name"
			[ "$(tool handles cat "$MNT" "$(tool handles take "$MNT/$NEW")")" = new ]
			forget
			is_stale "$name"
		done
	done
}

@test "an inode number used again: the old handle does not lead to the new file: ext4" { reused_on ext4; }

@test "an inode number used again: the old handle does not lead to the new file: xfs" { reused_on xfs; }

# inside_on FS: BACKING is a part of FS. The forged handles are those that a mount of all of it gives.
inside_on() {
	local outside
	make_disk "$1"
	make_tree "$DISK/sub"
	mkdir "$DISK/private"
	echo secret | tee "$DISK/private/secret" >"$DISK/secret"
	ln -s secret "$DISK/secretlink"
	BACKING=$DISK
	mount_known
	take . secret secretlink private private/secret sub/dir
	resolves secretlink private sub/dir
	declare -A outside
	for name in "${!handle[@]}"; do outside[$name]=${handle[$name]}; done
	umount_zcfs

	BACKING=$DISK/sub
	mount_known
	take "${names[@]}"
	forget
	resolves . dir dir/deep dir/deep/er
	[ "$(tool handles stat "$MNT" "${outside[sub/dir]}")" = "$(stat -c %i "$BACKING/dir") dir" ]
	for name in secret secretlink private private/secret; do
		fails ESTALE tool handles stat "$MNT" "${outside[$name]}"
	done
	mv "$DISK/sub/dir/deep" "$DISK/private"
	forget
	is_stale dir/deep dir/deep/er
	mv "$DISK/private/deep" "$DISK/sub/dir"
	resolves dir/deep/er
	umount_zcfs

	mount_known nfs_export
	forget
	resolves "${names[@]}"
	[ "$(tool handles cat "$MNT" "${outside[secret]}")" = secret ] # which is why it is an option
}

@test "a handle does not lead out of a backing directory, but by nfs_export: ext4" { inside_on ext4; }

@test "a handle does not lead out of a backing directory, but by nfs_export: xfs" { inside_on xfs; }

@test "a handle does not lead out of a backing directory, but by nfs_export: btrfs" { inside_on btrfs; }

@test "handles hold in a backing directory with nfs_export" {
	make_disk ext4
	BACKING=$DISK/sub
	holds nfs_export
}

@test "a connectable handle leads to the file's path" {
	make_disk ext4
	BACKING=$DISK
	make_tree "$BACKING"
	mount_known
	local h
	h=$(tool handles connectable "$MNT/dir/file" 2>&1) || {
		[[ $h == *EINVAL* ]] && return # before Linux 6.13 there are none
		fail_with "$h"
	}
	forget
	[ "$(tool handles path "$MNT" "$h")" = "$MNT/dir/file" ]
}

# Whoever may send requests to an NFS server may make up handles.
@test "made-up handles lead nowhere, and the daemon goes on" {
	make_disk ext4
	BACKING=$DISK
	make_tree "$BACKING"
	mount_known
	take dir dir/file
	local words id_high id_low generation type
	read -ra words < <(tool handles words "${handle[dir/file]}")
	generation=${words[2]}
	fails ESTALE tool handles stat "$MNT" "$(tool handles forge 129 "${words[0]}" "${words[1]}" $((generation + 1)))"
	for type in 129 130; do
		for id_high in 0 1 32767 2147483648 2147516416 4294967295; do
			for id_low in 0 1 2 3 7 8 16 4096 1048576 3735928559 4294967295; do
				[[ $id_high$id_low == 01 ]] || # the root's
					fails ESTALE tool handles stat "$MNT" "$(tool handles forge "$type" "$id_high" "$id_low" \
						"$generation" "$id_high" "$id_low" "$generation")"
			done
		done
	done
	forget
	[ "$(tool handles stat "$MNT" "$(tool handles forge 130 "${words[@]}" 2147483648 4096 "$generation")")" = \
		"$(stat -c %i "$BACKING/dir/file") file" ]
	fails ESTALE tool handles path "$MNT" "$(tool handles forge 130 2147483648 4096 0 "${words[@]}")"
	[ "$(<"$MNT/dir/file")" = content ]
}

@test "a btrfs subvolume's file and another with the same inode number are not mixed up" {
	need_tool btrfs
	make_disk btrfs
	BACKING=$DISK
	btrfs subvolume create "$DISK/volume" >/dev/null
	local i
	for i in {1..20}; do
		echo "main $i" >"$DISK/main$i"
		echo "volume $i" >"$DISK/volume/file$i"
	done
	mount_known
	take main{1..20} volume/file{1..20}
	forget
	for i in {1..20}; do
		[ "$(tool handles cat "$MNT" "${handle[main$i]}")" = "main $i" ]
		is_stale "volume/file$i" # of a device of its own
	done
	cat "$MNT"/volume/file* >/dev/null
	for i in {1..20}; do
		[ "$(tool handles cat "$MNT" "$(tool handles take "$MNT/volume/file$i")")" = "volume $i" ]
		[ "$(tool handles cat "$MNT" "${handle[main$i]}")" = "main $i" ]
	done
}

@test "a file that is open and deleted keeps its handle as long as it is open" {
	make_disk ext4
	BACKING=$DISK
	mount_known
	echo open >"$MNT/file"
	take file
	exec {fd}<"$MNT/file"
	rm "$MNT/file"
	echo 2 >/proc/sys/vm/drop_caches
	[ "$(tool handles stat "$MNT" "${handle[file]}")" = "$(stat -L -c %i "/proc/self/fd/$fd") file" ]
	[ "$(cat <&"$fd")" = open ]
	exec {fd}<&-
	wait_until is_stale file 2>/dev/null
}
