#!/usr/bin/env bats
# What cannot work: one clear line and status 2 for a command line, the backing's own errno for a program; and afterwards
# the daemon is up, nothing is lost and nothing was left mounted. mount.bats has the command line's plainer cases.
load ../helper

setup() {
	prepare_file
}

left_nothing() {
	[ -z "$(mounts_below "$BATS_TEST_TMPDIR")" ]
	no_daemons
	[ "$(ls -A "$BACKING")" = file ]
	[ -z "$(ls -A "$MNT")" ]
}

# as_user_after ROOT_SCRIPT SCRIPT: as helper's as_user, but root prepares the namespace first; $1 is the user's directory.
as_user_after() {
	need_root
	local user_dir status=0
	user_dir=$(mktemp -d /tmp/zcfs-user-XXXXXX)
	echo "$user_dir" >>"$BATS_TEST_TMPDIR/user_dirs"
	mkdir -p "$user_dir"/{backing,mnt,build/cli,build/fs}
	cp "$ZCFS_BUILD/cli/zcfs" "$user_dir/build/cli/"
	cp "$ZCFS_BUILD/fs/zcfsd" "$user_dir/build/fs/"
	mknod -m 666 "$user_dir/fuse" c 10 229
	chown -R nobody "$user_dir"
	# shellcheck disable=SC2016 # expanded inside
	in_namespace '
		mount --bind "$1/fuse" /dev/fuse && cd "$1" && eval "$2" || exit 125
		status=0
		setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups \
			env PATH="$1/build/cli:$PATH" bash -c "$3" || status=$?
		grep -F " $1/" /proc/self/mountinfo | grep -q " fuse.zcfs " && status=124
		exit $status
	' "$user_dir" "$1" "$2" || status=$?
	return "$status"
}

@test "a backing that cannot be read is refused" {
	need_tool setpriv
	fails_with 2 '*backing directory backing: Permission denied; you need read*' \
		as_user_after 'chown root backing && chmod 700 backing' 'zcfs mount backing mnt'
	fails_with 2 '*backing directory backing/a/b: Permission denied*' \
		as_user_after 'mkdir -p backing/a/b && chmod 700 backing/a' 'zcfs mount backing/a/b mnt'
}

@test "a mountpoint that is a mount of zcfs already is refused, whatever its name" {
	local name n_good=0
	for name in plain 'with space' $'new\nline' 'back\040slash' $'tab\t'; do
		mkdir "$BATS_TEST_TMPDIR/$name"
		zcfs mount "$BACKING" "$BATS_TEST_TMPDIR/$name"
		# Judged after the umount: a teardown would not find a name of two lines.
		if fails_with 2 '* is busy: zcfs is mounted there already*' \
			zcfs mount "$BACKING" "$BATS_TEST_TMPDIR/$name"; then
			n_good=$((n_good + 1))
		else
			umount "$BATS_TEST_TMPDIR/$name"
		fi
		zcfs umount "$BATS_TEST_TMPDIR/$name"
	done
	[ "$n_good" -eq 5 ]
	left_nothing
}

@test "a mountpoint inside the backing is refused, however it is spelled" {
	mkdir -p "$BACKING/in/side"
	ln -s backing/in "$BATS_TEST_TMPDIR/link"
	local name
	for name in "$BACKING/in" "$BACKING/in/side" "$BATS_TEST_TMPDIR/link" "$BATS_TEST_TMPDIR/link/side/../side/"; do
		fails_with 2 '* lies inside the backing directory*' zcfs mount "$BACKING" "$name"
	done
	cd "$BACKING"
	fails_with 2 '* lies inside the backing directory*' zcfs mount . in
	rm -r "$BACKING/in"
	left_nothing
}

@test "every unknown or bad option is one line that names it, and mounts nothing" {
	local word
	for word in path=auto,path=none rule rule= rule=: rule=a: rule=:copy 'rule=[z-a]:copy' 'rule=a\:copy' cache= \
		max_io=4095 max_io=2M max_io=-4K max_io=4Kx max_io=99999999999999999999 readahead=65M readahead=1 \
		threads=1.5 threads=257 threads= attr_timeout=-1 attr_timeout=nan entry_timeout=inf entry_timeout= \
		ledger_files=0 list_stats=yes allow_other=1 direct_io writeback_cache kernel_cache remount \
		$'new\nline' $'esc\e[31m' '=' ',,=x'; do
		fails_with 2 'zcfs: *' zcfs mount -o "$word" "$BACKING" "$MNT"
	done
	left_nothing
}

@test "/dev/fuse that is absent is told, with status 2" {
	need_root
	# shellcheck disable=SC2016 # expanded inside
	fails_with 2 'zcfs: cannot open /dev/fuse: No such file*modprobe fuse*' in_namespace '
		mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 || exit 125
		"$2/cli/zcfs" mount "$1/backing" "$1/mnt"
	' "$BATS_TEST_TMPDIR" "$ZCFS_BUILD"
	left_nothing
}

@test "/dev/fuse that is forbidden is told, with status 2" {
	need_tool setpriv
	fails_with 2 'zcfs: cannot open /dev/fuse: Permission denied; you need*' \
		as_user_after 'chown root fuse && chmod 600 fuse' 'zcfs mount backing mnt'
}

@test "a user without fusermount3 is told what to install, with status 2" {
	need_tool setpriv fusermount3
	fails_with 2 '*needs fusermount3*install the package fuse3*' \
		as_user_after "mount --bind fuse '$(realpath "$(command -v fusermount3)")'" 'zcfs mount backing mnt'
}

# fusermount3_that SCRIPT: one in PATH before all others.
fusermount3_that() {
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\n%s\n' "$1" >"$BATS_TEST_TMPDIR/bin/fusermount3"
	chmod +x "$BATS_TEST_TMPDIR/bin/fusermount3"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH
}

@test "auto_unmount for root is refused only where fusermount3 cannot watch root's mounts" {
	need_root
	fusermount3_that 'exit 1'
	fails_with 2 'zcfs: auto_unmount for root needs fusermount3 3.15 or newer*' \
		zcfs mount -o auto_unmount "$BACKING" "$MNT"
	left_nothing
	# As 3.15 and later answer: --help ends with 1 there.
	fusermount3_that '[ "$*" = "--auto-unmount --version" ]'
	zcfs mount -o auto_unmount "$BACKING" "$MNT"
	[ "$(<"$MNT/file")" = hello ]
	zcfs umount "$MNT"
	left_nothing
}

@test "allow_other is for root unless /etc/fuse.conf says otherwise" {
	need_tool setpriv fusermount3
	[ -e /etc/fuse.conf ] || skip 'no /etc/fuse.conf here'
	local conf='mount --bind conf /etc/fuse.conf'
	fails_with 2 'zcfs: allow_other is for root unless /etc/fuse.conf *' as_user_after \
		"echo '#user_allow_other' >conf; $conf" 'zcfs mount -o allow_other backing mnt'
	fails_with 2 'zcfs: allow_root is for root unless /etc/fuse.conf *' as_user_after \
		"echo '#user_allow_other' >conf; $conf" 'zcfs mount -o allow_root backing mnt'
	local line
	for line in user_allow_other '  user_allow_other # yes'; do
		as_user_after "echo '$line' >conf; $conf" \
			'zcfs mount -o allow_other backing mnt && echo >mnt/a && zcfs umount mnt'
	done
}

@test "what fusermount3 refuses is one line with its reason, and status 1" {
	need_tool setpriv fusermount3
	fails_with 1 'zcfs: cannot mount */backing on */mnt: fusermount3: *no write access*' \
		as_user_after 'chown root mnt' 'zcfs mount backing mnt'
}

@test "a name over 255 bytes is ENAMETOOLONG, in every call that takes one" {
	need_tool python3
	mount_zcfs
	python3 - "$MNT" <<-'END'
		import errno, os, sys
		os.chdir(sys.argv[1])
		calls = {
		    "open": lambda n: open(n), "create": lambda n: open(n, "x"), "stat": os.stat, "mkdir": os.mkdir,
		    "rmdir": os.rmdir, "unlink": os.unlink, "mkfifo": os.mkfifo, "readlink": os.readlink,
		    "symlink": lambda n: os.symlink("a", n), "link": lambda n: os.link("file", n),
		    "rename": lambda n: os.rename("file", n), "rename from": lambda n: os.rename(n, "x"),
		    "below": lambda n: os.stat(n + "/x"), "getxattr": lambda n: os.getxattr(n, "user.x"),
		}
		for size in 256, 1023, 1024, 1025, 4000:
		    for what, call in calls.items():
		        for letter in "n", "\u00e9":
		            name = (letter * size).encode()[:size].decode(errors="ignore").ljust(size, "n")
		            if len(name.encode()) != size:
		                name = name[:-1]
		            try:
		                call(name)
		                sys.exit(f"{what} of {size} bytes worked")
		            except OSError as e:
		                if e.errno != errno.ENAMETOOLONG:
		                    sys.exit(f"{what} of {size} bytes: {e.strerror}")
		open("l" * 255, "x")
		os.rename("l" * 255, "m" * 255)
		os.unlink("m" * 255)
	END
	zcfs umount "$MNT"
	left_nothing
}

# fill FILE [DD WORD]...: writes until the backing refuses, with the words $refusal; all that dd wrote is there.
fill() {
	local said file=$1
	shift
	said=$(LC_ALL=C dd if="$BATS_TEST_TMPDIR/random" of="$MNT/$file" bs=256K "$@" 2>&1) && return 1
	[[ $said == *"error writing"*": $refusal"* ]] || { echo "$said" && return 1; }
	local bytes
	bytes=$(sed -n 's/^\([0-9]*\) bytes.*/\1/p' <<<"$said")
	[ "$bytes" -gt 0 ]
	[ "$(stat -c %s "$MNT/$file")" -eq "$bytes" ]
	cmp -n "$bytes" "$BATS_TEST_TMPDIR/random" "$MNT/$file"
	cmp -n "$bytes" "$BATS_TEST_TMPDIR/random" "$BACKING/$file"
}

has_room() { [ "$(stat -f -c '%a * %S' "$BACKING" | xargs expr)" -ge 1048576 ]; }

# fills_and_recovers: each path meets the limit, and after making room writes again.
fills_and_recovers() {
	local path
	head -c 24M /dev/urandom >"$BATS_TEST_TMPDIR/random"
	zcfs mount -o 'rule=*.splice:splice,rule=*.copy:copy,rule=*.direct:direct,attr_timeout=0' "$BACKING" "$MNT"
	for path in splice copy direct; do
		fill "big.$path" || return 1
		rm "$MNT/big.$path"
		sync -f "$BACKING"
		wait_until has_room # the kernel tells the daemon later that nobody has the file any more
		dd if="$BATS_TEST_TMPDIR/random" of="$MNT/small.$path" bs=64K count=4 conv=fsync status=none
		cmp -n 262144 "$BATS_TEST_TMPDIR/random" "$BACKING/small.$path"
		rm "$MNT/small.$path"
		sync -f "$BACKING"
	done
	[ "$(daemons | wc -l)" -eq 1 ]
	zcfs umount "$MNT"
}

@test "a full backing is ENOSPC, and nothing that was written is lost" {
	need_root
	need_tool mkfs.ext4
	truncate -s 12M "$BATS_TEST_TMPDIR/image"
	mkfs.ext4 -q -m 0 -O ^has_journal "$BATS_TEST_TMPDIR/image"
	mount -o loop "$BATS_TEST_TMPDIR/image" "$BACKING"
	local refusal='No space left on device'
	fills_and_recovers
}

@test "a full tmpfs is ENOSPC" {
	need_root
	mount -t tmpfs -o size=4M tmpfs "$BACKING"
	local refusal='No space left on device'
	fills_and_recovers
}

@test "a quota exceeded is EDQUOT" {
	need_root
	# btrfs keeps quotas in any kernel that has it; ext4's and xfs's are options of their own.
	need_tool mkfs.btrfs btrfs
	truncate -s 128M "$BATS_TEST_TMPDIR/image"
	mkfs.btrfs -q "$BATS_TEST_TMPDIR/image"
	mkdir "$BATS_TEST_TMPDIR/pool"
	mount -o loop "$BATS_TEST_TMPDIR/image" "$BATS_TEST_TMPDIR/pool"
	btrfs -q quota enable "$BATS_TEST_TMPDIR/pool"
	btrfs -q subvolume create "$BATS_TEST_TMPDIR/pool/sub"
	btrfs -q qgroup limit 8M "$BATS_TEST_TMPDIR/pool/sub"
	rm -r "$BACKING"
	ln -s pool/sub "$BACKING"
	local refusal='Disk quota exceeded'
	fills_and_recovers
}

@test "a read-only backing is EROFS, and reads go on" {
	need_root
	need_tool python3
	mkdir "$BACKING/dir"
	mount --bind "$BACKING" "$BACKING"
	mount -o remount,bind,ro "$BACKING"
	zcfs mount "$BACKING" "$MNT"
	python3 - "$MNT" <<-'END'
		import errno, os, sys
		os.chdir(sys.argv[1])
		calls = {
		    "write": lambda: open("file", "r+"), "truncate": lambda: os.truncate("file", 0),
		    "create": lambda: open("new", "x"), "mkdir": lambda: os.mkdir("new"), "unlink": lambda: os.unlink("file"),
		    "rmdir": lambda: os.rmdir("dir"), "rename": lambda: os.rename("file", "new"),
		    "link": lambda: os.link("file", "new"), "symlink": lambda: os.symlink("a", "new"),
		    "mkfifo": lambda: os.mkfifo("new"), "chmod": lambda: os.chmod("file", 0o600),
		    "chown": lambda: os.chown("file", 1, 1), "utime": lambda: os.utime("file"),
		    "setxattr": lambda: os.setxattr("file", "user.x", b"y"),
		    "tmpfile": lambda: os.open(".", os.O_TMPFILE | os.O_RDWR),
		}
		for what, call in calls.items():
		    try:
		        call()
		        sys.exit(f"{what} worked")
		    except OSError as e:
		        if e.errno != errno.EROFS:
		            sys.exit(f"{what}: {e.strerror}")
		assert open("file").read() == "hello\n"
	END
	[ "$(daemons | wc -l)" -eq 1 ]
	zcfs umount "$MNT"
	umount "$BACKING"
	rmdir "$BACKING/dir"
	left_nothing
}

@test "EIO, ENOSPC, EDQUOT, EROFS and ESTALE of the backing reach the program as they are" {
	need_tool python3
	with_shim mount_zcfs 'rule=*.splice:splice,rule=*.copy:copy,rule=*.direct:direct'
	# shellcheck disable=SC2086 # a list
	python3 "$ZCFS_SRC/tests/tools/errnos.py" "$RULES" "$MNT" ${ZCFS_PATHS:-splice copy direct}
	[ "$(daemons | wc -l)" -eq 1 ]
	[ "$(<"$MNT/file")" = hello ]
	zcfs umount "$MNT"
	left_nothing
}
