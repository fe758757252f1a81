#!/usr/bin/env bats
# zcfs mount: its command line in every form it is called by, and what it refuses.
load ../helper

setup() {
	prepare_file
}

options_of() { grep -F " $1 fuse.zcfs " /proc/mounts | cut -d ' ' -f 4; }

@test "help shows every option with its default" {
	local help
	help=$(zcfs mount --help)
	grep -qE '^  max_io=SIZE .*' <<<"$help"
	grep -q '\[512K; 4K to 1M\]' <<<"$help"
	grep -q '^  path=auto|' <<<"$help"
	grep -q '^  ro  ' <<<"$help"
	run -1 grep -qE '^.{91}' <<<"$help"
}

@test "the mount answers when the command returns, and the daemon is in the background" {
	run zcfs mount "$BACKING" "$MNT"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	serves
	is_mounted "$MNT"
	[ "$(daemons | wc -l)" -eq 1 ]
}

@test "options may come anywhere, and several -o add up" {
	zcfs mount "$BACKING" -o path=copy "$MNT" -o ro,noexec -o max_io=128K
	serves
	[[ ,$(options_of "$MNT"), == *,ro,* ]]
	[[ ,$(options_of "$MNT"), == *,noexec,* ]]
	[ "$(getfattr --only-values --absolute-names -n user.zcfs.path "$MNT/file")" = copy ]
}

@test "-f stays in the foreground and SIGTERM or SIGINT ends it cleanly" {
	local signal pid
	for signal in TERM INT; do
		# A shell's background job ignores SIGINT; env gives it back.
		env --default-signal=INT "$ZCFS_BUILD/cli/zcfs" mount -f "$BACKING" "$MNT" 3>&- &
		pid=$!
		wait_until is_mounted "$MNT"
		wait_until serves
		kill -s "$signal" "$pid"
		wait "$pid"
		run ! is_mounted "$MNT"
	done
}

@test "an unmount by anyone ends the daemon" {
	need_root
	mount_zcfs
	umount "$MNT"
	wait_until no_daemons
}

@test "a directory can be mounted over itself" {
	zcfs mount "$BACKING" "$BACKING"
	[ "$(<"$BACKING/file")" = hello ]
	is_mounted "$BACKING"
	zcfs umount "$BACKING"
	[ "$(<"$BACKING/file")" = hello ]
}

@test "relative names, spaces, newlines, non-UTF-8 bytes and leading dashes are names" {
	cd "$BATS_TEST_TMPDIR"
	local name
	for name in 'with space' $'new\nline' $'bad\xffbyte' 'back\slash' -dash; do
		mkdir -p -- "./$name/b" "./$name/m"
		echo hello >"./$name/b/file"
		(cd -- "./$name" && zcfs mount b m)
		[ "$(<"./$name/m/file")" = hello ]
		zcfs umount "./$name/m"
	done
	mkdir -- -m
	zcfs mount -- "$BACKING" -m
	[ "$(<./-m/file)" = hello ]
	zcfs umount -- -m
}

@test "it behaves as mount(8)'s helper under the helper's names" {
	local name
	for name in mount.fuse.zcfs mount.zcfs; do
		ln -s "$ZCFS_BUILD/cli/zcfs" "$BATS_TEST_TMPDIR/$name"
		"$BATS_TEST_TMPDIR/$name" "$BACKING" "$MNT" -n -s -v -t fuse.zcfs -o rw,noauto,nofail,x-a.b=c 3>&-
		serves
		[[ ,$(options_of "$MNT"), == *,rw,* ]]
		zcfs umount "$MNT"
		"$BATS_TEST_TMPDIR/$name" "$BACKING" "$MNT" -r 3>&-
		[[ ,$(options_of "$MNT"), == *,ro,* ]]
		zcfs umount "$MNT"
		"$BATS_TEST_TMPDIR/$name" "$BACKING" "$MNT" -f 3>&-
		run ! is_mounted "$MNT"
	done
}

@test "it behaves as mount when called by mount.fuse3: BACKING MOUNTPOINT -o OPTIONS" {
	zcfs "$BACKING" "$MNT" -o rw,ro,dev,suid
	serves
	zcfs umount "$MNT"
	cd "$BATS_TEST_TMPDIR"
	zcfs backing mnt
	serves
}

@test "mount -t fuse.zcfs and fstab work by the helper" {
	need_root
	local fstab=$BATS_TEST_TMPDIR/fstab
	mkdir "$BATS_TEST_TMPDIR/sbin"
	ln -s "$ZCFS_BUILD/cli/zcfs" "$BATS_TEST_TMPDIR/sbin/mount.fuse.zcfs"
	echo "$BACKING $MNT fuse.zcfs ro,noauto,nofail,_netdev,x-systemd.automount 0 0" >"$fstab"
	# shellcheck disable=SC2016 # expanded inside
	in_namespace '
		mount -t overlay overlay -o "lowerdir=$1/sbin:/usr/sbin" /usr/sbin || exit 77
		mount -t fuse.zcfs "$1/backing" "$1/mnt" -o path=copy &&
			grep -q hello "$1/mnt/file" && umount "$1/mnt" &&
			mount --fstab "$1/fstab" "$1/mnt" &&
			grep -q hello "$1/mnt/file" && umount "$1/mnt"
	' "$BATS_TEST_TMPDIR"
}

@test "mount -t fuse.zcfs works by mount.fuse3, where only zcfs is installed" {
	need_root
	need_tool mount.fuse3
	# shellcheck disable=SC2016 # expanded inside
	in_namespace '
		mount -t tmpfs tmpfs /usr/local/bin && ln -s "$2/cli/zcfs" /usr/local/bin/zcfs || exit 77
		mount -t fuse.zcfs "$1/backing" "$1/mnt" -o path=copy,noatime,nofail &&
			grep -q hello "$1/mnt/file" && umount "$1/mnt"
	' "$BATS_TEST_TMPDIR" "$ZCFS_BUILD"
}

@test "a user without privileges mounts by fusermount3" {
	need_tool fusermount3 setpriv
	# shellcheck disable=SC2016 # expanded inside
	as_user '
		set -e
		echo hello >backing/file
		zcfs mount backing mnt
		grep -q hello mnt/file
		echo more >mnt/new
		[ "$(stat -c %U backing/new)" = nobody ]
		zcfs umount mnt
	'
}

@test "too few, too many and empty arguments are refused" {
	fails_with 2 'zcfs mount: too few arguments*' zcfs mount
	fails_with 2 'zcfs mount: too few arguments*' zcfs mount "$BACKING"
	fails_with 2 'zcfs mount: too many arguments*' zcfs mount "$BACKING" "$MNT" "$MNT"
	fails_with 2 'zcfs mount: BACKING is empty*' zcfs mount '' "$MNT"
	fails_with 2 'zcfs mount: MOUNTPOINT is empty*' zcfs mount "$BACKING" ''
	fails_with 2 'zcfs mount: -o needs an argument*' zcfs mount "$BACKING" "$MNT" -o
}

@test "a backing or mountpoint that cannot be is refused with one line and status 2" {
	echo >"$BATS_TEST_TMPDIR/plain"
	fails_with 2 "*$BATS_TEST_TMPDIR/none*" zcfs mount "$BATS_TEST_TMPDIR/none" "$MNT"
	fails_with 2 "*$BATS_TEST_TMPDIR/plain*" zcfs mount "$BATS_TEST_TMPDIR/plain" "$MNT"
	fails_with 2 "*$BATS_TEST_TMPDIR/none*" zcfs mount "$BACKING" "$BATS_TEST_TMPDIR/none"
	fails_with 2 "*$BATS_TEST_TMPDIR/plain*" zcfs mount "$BACKING" "$BATS_TEST_TMPDIR/plain"
	run ! is_mounted "$MNT"
	no_daemons
}

@test "unknown options and bad values are refused with one line that names them and status 2" {
	local word
	for word in nonsense nonsense=1 path=fast path= max_io=3 max_io=1P max_io=x threads=0 threads=-1 \
		attr_timeout=soon rule=nopath 'rule=*.db:fast' 'rule=[:copy' cache=all ro=1 max_read=4096; do
		fails_with 2 "*${word%%=*}*" zcfs mount -o "$word" "$BACKING" "$MNT"
	done
	run ! is_mounted "$MNT"
	no_daemons
}

@test "a mount that fails says why, with status 1" {
	need_root
	# shellcheck disable=SC2016 # expanded inside
	fails_with 1 '*fuse*' in_namespace '
		mount --bind /dev/null /dev/fuse || exit 77
		"$2/cli/zcfs" mount "$1/backing" "$1/mnt"
	' "$BATS_TEST_TMPDIR" "$ZCFS_BUILD"
}

@test "without the daemon it says where it looked" {
	mkdir "$BATS_TEST_TMPDIR/lone"
	cp "$ZCFS_BUILD/cli/zcfs" "$BATS_TEST_TMPDIR/lone/"
	[[ ! -e /usr/libexec/zcfs/zcfsd ]] || skip 'zcfs is installed here'
	fails_with 1 'zcfs mount: the daemon zcfsd is neither*' env PATH=/nonexistent \
		"$BATS_TEST_TMPDIR/lone/zcfs" mount "$BACKING" "$MNT"
}

@test "quickstart begins where nothing is built yet" {
	mkdir "$BATS_TEST_TMPDIR/clone"
	cp -r "$ZCFS_SRC/packaging" "$BATS_TEST_TMPDIR/clone/"
	run "$BATS_TEST_TMPDIR/clone/packaging/quickstart" --help
	[[ $status == 0 && $output == 'usage: packaging/quickstart '* ]]
}
