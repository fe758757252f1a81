#!/usr/bin/env bats
# Users: a mount of one's own, without root, by fusermount3; and what becomes of set-id bits and capabilities, whoever changes
# a file.
load ../helper
load common

# by_user [BEFORE [AFTER]]: runs the script on stdin as nobody, in a directory of nobody's with backing/ and mnt/, the CLI and
# the tools in PATH, in a mount namespace of its own; root runs BEFORE and AFTER there, while what the script mounted still is.
by_user() {
	need_root
	need_fuse
	need_tool fusermount3 setpriv
	local dir status=0
	dir=$(mktemp -d /tmp/zcfs-user-XXXXXX)
	echo "$dir" >>"$BATS_TEST_TMPDIR/user_dirs" # teardown removes it
	mkdir -p "$dir"/{backing,mnt,build/cli,build/fs,tools}
	cp "$ZCFS_BUILD/cli/zcfs" "$dir/build/cli/"
	cp "$ZCFS_BUILD/fs/zcfsd" "$dir/build/fs/"
	cp "$ZCFS_TOOLS"/{fileio,fsop} "$dir/tools/"
	mknod -m 666 "$dir/fuse" c 10 229
	chown -R nobody:nogroup "$dir"
	chmod 755 "$dir"
	cat >"$dir/script"
	# shellcheck disable=SC2016 # expanded inside
	in_namespace '
		findmnt -rn -t fuse.zcfs -o TARGET | xargs -r umount -l # copies, which would keep the daemons of other tests waiting
		mount --bind "$1/fuse" /dev/fuse && cd "$1" || exit 125
		user=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
		fails() { # WHY COMMAND...
			said=$("${@:2}" 2>&1) && echo "should have failed: ${*:2}" >&2 && return 1
			[[ $said == *"$1"* ]] || { echo "said: $said" >&2; return 1; }
		}
		export -f fails
		export PATH=$PWD/build/cli:$PWD/tools:$PATH
		(set -eu; eval "$2"; "${user[@]}" bash -eu "$PWD/script"; eval "$3")
		status=$?
		"${user[@]}" fusermount3 -uz mnt 2>/dev/null
		exit $status
	' "$dir" "${1-}" "${2-}" || status=$?
	return "$status"
}

@test "a user's own mount is that user's alone: another user, and root too, is refused" {
	# shellcheck disable=SC2016 # expanded by by_user
	by_user '' '
		for who in "" "setpriv --reuid=1234 --regid=nogroup --clear-groups"; do
			for command in "ls mnt" "cat mnt/f" "touch mnt/new" "stat mnt/f" "getfattr -n user.zcfs.stats mnt"; do
				fails "Permission denied" $who $command
			done
		done
		[[ $(stat -c "%U:%G %a" backing/f) == "nobody:nogroup 644" && $(ls -A backing) == f ]]
	' <<-'END'
		umask 022
		zcfs mount backing mnt
		echo mine >mnt/f
		[[ $(<mnt/f) == mine ]]
	END
}

@test "as a user every data path works: cached, O_DIRECT, mapped, appended, copied, with holes; and the ledger counts" {
	need_disk
	local path
	for path in ${ZCFS_PATHS:-splice copy direct}; do
		by_user <<-END
			zcfs mount -o path=$path backing mnt
			fileio 'open A mnt/f rdwr,creat' 'w A 0 1M 1' 'r A 0 1M 1' 'fsync A' 'open B mnt/f rdwr,direct' \
				'w B 4K 64K 2' 'r B 4K 64K 2' 'r A 4K 64K 2' 'open C mnt/f wronly,append' 'a C 1M 1000 1' \
				'size A 1049576' 'map A 1M shared' 'ms A 100 5000 3' 'msync A' 'unmap A' \
				'open D backing/f rdonly' 'r D 100 3000 3' 'falloc A punch 128K 64K' 'r A 128K 64K 0' 'trunc A 512K' \
				'open E mnt/g rdwr,creat' 'cfr A 0 E 0 100K' 'size E 100K'
			cmp mnt/f backing/f
			[[ \$(getfattr --only-values -n user.zcfs.write.ops mnt/f) -gt 0 ]]
			[[ \$(getfattr --only-values -n user.zcfs.open.direct mnt/f) == 1 ]]
			[[ \$(getfattr --only-values -n user.zcfs.path mnt/f) == $path ]]
			zcfs stat mnt | grep -q whole
			zcfs reset mnt
			[[ \$(getfattr --only-values -n user.zcfs.write.ops mnt) == 0 ]]
			zcfs umount mnt
		END
	done
}

@test "as a user names, links, renames, attributes, times, O_TMPFILE and locks work; what takes root is refused" {
	need_tool setfattr setfacl
	by_user <<-'END'
		zcfs mount backing mnt
		cd mnt
		umask 027
		mkdir -p d/e
		echo text >d/f
		ln d/f hard
		ln -s d/f soft
		mkfifo pipe
		mv d/e e
		[[ $(stat -c %a:%U:%h ../backing/d/f) == 640:nobody:2 && $(stat -c %a ../backing/d) == 750 && $(<soft) == text ]]
		fsop rename d e exchange
		[[ $(<e/f) == text ]]
		fsop rename e d 0
		fsop tmpfile . named temporary
		[[ $(<named) == temporary ]]
		setfattr -n user.a -v b hard
		[[ $(getfattr --only-values -n user.a ../backing/hard) == b ]]
		setfattr -x user.a hard
		setfacl -m u:1234:r hard
		getfacl -c hard | grep -q user:1234:r--
		chmod 6755 hard
		[[ $(stat -c %a hard) == 6755 ]]
		echo more >>hard
		[[ $(stat -c %a hard) == 755 && $(stat -c %a ../backing/hard) == 755 ]]
		fsop times hard 5.000000006 7.000000008
		[[ $(stat -c %.9Y ../backing/hard) == 7.000000008 ]]
		for kind in flock posix ofd; do
			[[ $(fsop lock $kind hard fsop try $kind hard) == taken && $(fsop try $kind hard) == free ]]
		done
		for i in {1..300}; do echo $i >d/$i; done
		[[ $(find d -name '[0-9]*' | wc -l) == 300 && $(cat d/[0-9]* | wc -l) == 300 ]]
		fails 'not permitted' chown 1234 hard
		fails 'not permitted' mknod null c 1 3
		fails 'not permitted' chattr +i hard
		fails 'not permitted' setfattr -n trusted.a -v b hard
		fails 'not permitted' setcap cap_net_raw+ep hard
		rm -r d hard soft pipe named
		[[ -z $(ls -A) ]]
		cd ..
		zcfs umount mnt
		[[ -z $(ls -A backing) ]]
	END
}

@test "as a user: files of others in the directory are what they are on the backing" {
	by_user 'echo secret >backing/secret; chmod 600 backing/secret; echo open >backing/open; chmod 644 backing/open' <<-'END'
		zcfs mount backing mnt
		cd mnt
		fails 'Permission denied' cat secret
		[[ $(<open) == open ]]
		fails 'Permission denied' bash -c 'echo >>open'
		fails 'not permitted' chmod 666 open
		fails EPERM fsop times open 5.0 5.0
		mv open opened # the directory is the user's own
		rm -f secret
		[[ $(ls) == opened && $(<../backing/opened) == open ]]
	END
}

# Differences there are, and why, as extended regular expressions.
known_differences() {
	cat <<-'END'
		^[^,]*, group by supplement, (2767|6666):
		^(chgrp|chown to nobody), (owner in another group|root without CAP_FSETID), (2767|6666):
		^(copy_file_range|fallocate[^,]*), root without CAP_FSETID, (2767|6666):
		^mmap, [^,]*, ([0-7]+) cap: backing done \1 cap mount done \1$
		^[^,]*, root, 6777 cap: backing done 6777 mount done 0777$
		^chown to nobody, (group|group by supplement|other), ([0-7]+)( cap)?: backing EPERM \2( cap)? mount done \2$
	END
	# In this order:
	# S_ISGID of a file that its group may not execute stays for a writer in the group, which by supplement the daemon does not know.
	# The same bit at a chown, and for a uid 0 without CAP_FSETID: the kernel's request does not tell.
	# A store into a mapping takes nothing away, its write-back is a write, which takes the capability (the bits are kept).
	# The kernel asks to clear a capability by a request that looks like chown(-1, -1), which for root clears set-id bits as well.
	# chown(-1, -1) of another's file is no error, and changes no mode.
}

@test "set-id bits and capabilities are left and cleared as on the backing: each way to change a file, by each kind of user" {
	need_disk
	local path bad=0
	for path in ${ZCFS_PATHS:-splice copy direct} auto; do
		public_mount "allow_other,path=$path"
		chmod 777 "$BACKING"
		tool setid "$BACKING" "$MNT" >"$BATS_TEST_TMPDIR/differences" || [ $? -eq 1 ]
		tail -n 1 "$BATS_TEST_TMPDIR/differences" | grep -Eq '^[0-9]+ compared'
		if head -n -1 "$BATS_TEST_TMPDIR/differences" | grep -vEf <(known_differences) >&2; then
			echo "these with path=$path" >&2
			bad=1
		fi
		umount "$MNT"
	done
	[ "$bad" -eq 0 ]
}
