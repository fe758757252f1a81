#!/usr/bin/env bats
# Real programs on the mount, by ZCFS_PATH, and what they left in the backing directory.
load ../helper

setup() { mount_opts=path=${ZCFS_PATH:-auto}; }

# manifest DIRECTORY: names, types, modes, owners, sizes, times, links, extended attributes and contents below it.
manifest() (
	cd "$1" || exit
	find . -mindepth 1 ! -type d -printf '%P %y %m %U %G %s %n %T@ %l\n' | sort
	find . -mindepth 1 -type d -printf '%P %y %m %U %G %T@\n' | sort
	find . -mindepth 1 -type f -links +1 -printf '%i %P\n' | sort |
		awk '{ if ($1 != inode) n++; inode = $1; print n, $2 }' | sort -k 2
	find . -mindepth 1 -print0 | sort -z | xargs -0 getfattr -h -d -m '^(user|system.posix_acl)' -- 2>/dev/null
	find . -mindepth 1 -type f -print0 | sort -z | xargs -0 sha256sum
)

# make_tree DIRECTORY: something of everything that an archive carries.
make_tree() {
	local dir=$1 i
	mkdir -p "$dir"/{a/b/c,empty,'with space'}
	for i in {1..60}; do
		head -c "$((i * i * 37))" /dev/urandom >"$dir/a/$i"
	done
	head -c 3000000 /dev/urandom >"$dir/a/large"
	truncate -s 40M "$dir/sparse"
	printf data | dd of="$dir/sparse" bs=1 seek=20000000 conv=notrunc status=none
	ln "$dir/a/1" "$dir/a/b/hard"
	ln "$dir/a/1" "$dir/with space/hard"
	ln -s ../a/1 "$dir/a/link"
	ln -s nowhere "$dir/a/dangling"
	mkfifo "$dir/fifo"
	chmod 640 "$dir/a/2" && chmod 4755 "$dir/a/3" && chmod 1777 "$dir/empty"
	setfattr -n user.mine -v some "$dir/a/4"
	setfattr -n user.mine -v dir "$dir/a/b"
	if command -v setfacl >/dev/null; then setfacl -m u:12:r-- "$dir/a/5"; fi
	if ((EUID == 0)); then chown 12:34 "$dir/a/6"; fi
	# rsync keeps nanoseconds of regular files only
	find "$dir" -type f -exec touch -h -d '2001-02-03 04:05:06.789012345' {} +
	find "$dir" -depth ! -type f -exec touch -h -d '2002-03-04 05:06:07' {} +
}

is_sparse() { [ "$(stat -c %b "$1")" -lt 1000 ]; }

@test "fio verifies what it wrote: psync, libaio, io_uring, mmap, buffered and direct, mount and backing" {
	need_tool fio
	mount_zcfs "$mount_opts"
	local engine direct jobs=()
	for engine in psync libaio io_uring mmap; do
		for direct in 0 1; do
			jobs+=(--name="$engine-$direct" --ioengine="$engine" --direct="$direct"
				--filename="$engine-$direct")
			[[ $engine == *io* ]] && jobs+=(--iodepth=8)
		done
	done
	# Every block is written and checked by its checksum, in random order, of sizes of whole blocks.
	local common=(--rw=randrw --size=4M --bsrange=4k-128k --blockalign=4k --randseed=7 --verify=crc32c
		--verify_fatal=1 --fsync=64 --fallocate=none --group_reporting --output="$BATS_TEST_TMPDIR/fio"
		--aux-path="$BATS_TEST_TMPDIR" --allow_mounted_write=1 --bwavgtime=100000 --verify_state_save=0)
	fio "${common[@]}" --directory="$MNT" "${jobs[@]}"
	# Read again from the start, first what is cached, then what is not, then underneath.
	fio "${common[@]}" --rw=write --bs=4k --bsrange=4k-4k --directory="$MNT" "${jobs[@]}"
	fio "${common[@]}" --rw=read --bs=4k --bsrange=4k-4k --directory="$MNT" "${jobs[@]}"
	fio "${common[@]}" --rw=read --bs=4k --bsrange=4k-4k --directory="$MNT" --invalidate=1 "${jobs[@]}"
	zcfs umount "$MNT"
	fio "${common[@]}" --rw=read --bs=4k --bsrange=4k-4k --directory="$BACKING" "${jobs[@]}"
}

@test "git: init, commit, clone, gc and fsck, and the backing has the same repository" {
	need_tool git
	mount_zcfs "$mount_opts"
	export HOME=$BATS_TEST_TMPDIR GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat
	git config --global user.name x
	git config --global user.email x@example.org
	git config --global init.defaultBranch main
	git config --global gc.autoDetach false
	git init -q "$MNT/one"
	local n
	for n in 1 2 3; do
		cp -r "$ZCFS_SRC/tests" "$MNT/one/tests$n"
		echo "$n" >"$MNT/one/changes"
		git -C "$MNT/one" add .
		git -C "$MNT/one" commit -q -m "number $n"
		git -C "$MNT/one" mv "tests$n" "moved$n"
	done
	[ -z "$(git -C "$MNT/one" diff)" ]
	git -C "$MNT/one" commit -q -m moved
	git clone -q "$MNT/one" "$MNT/linked"
	git clone -q --no-local "$MNT/one" "$MNT/packed"
	git -C "$MNT/packed" gc -q --aggressive --prune=now
	git -C "$MNT/one" gc -q
	local head repository
	head=$(git -C "$MNT/one" rev-parse HEAD)
	for repository in one linked packed; do
		git -C "$MNT/$repository" fsck --full --strict --no-progress
		[ -z "$(git -C "$MNT/$repository" status --porcelain)" ]
	done
	zcfs umount "$MNT"
	for repository in one linked packed; do
		git -C "$BACKING/$repository" fsck --full --strict --no-progress
		[ "$(git -C "$BACKING/$repository" rev-parse HEAD)" = "$head" ]
		[ -z "$(git -C "$BACKING/$repository" status --porcelain)" ]
	done
}

@test "tar: a tree with attributes, holes and hard links goes in and comes out the same" {
	need_tool tar getfattr setfattr
	mount_zcfs "$mount_opts"
	make_tree "$BATS_TEST_TMPDIR/tree"
	local wanted words=(--xattrs --acls --sparse --numeric-owner)
	wanted=$(manifest "$BATS_TEST_TMPDIR/tree")
	mkdir "$MNT/in" "$BATS_TEST_TMPDIR/out"
	tar -C "$BATS_TEST_TMPDIR/tree" "${words[@]}" -cf - . | tar -C "$MNT/in" "${words[@]}" -xpf -
	diff <(manifest "$MNT/in") - <<<"$wanted"
	tar -C "$MNT/in" "${words[@]}" -cf "$MNT/archive.tar" .
	# The ledger is no part of the files.
	run -1 grep -aF user.zcfs "$MNT/archive.tar"
	tar -C "$BATS_TEST_TMPDIR/out" "${words[@]}" -xpf "$MNT/archive.tar"
	diff <(manifest "$BATS_TEST_TMPDIR/out") - <<<"$wanted"
	is_sparse "$MNT/in/sparse"
	is_sparse "$BATS_TEST_TMPDIR/out/sparse"
	zcfs umount "$MNT"
	diff <(manifest "$BACKING/in") - <<<"$wanted"
	is_sparse "$BACKING/in/sparse"
}

@test "rsync -aHAX: there and back, and a second run has nothing to do" {
	need_tool rsync getfattr setfattr
	mount_zcfs "$mount_opts"
	make_tree "$BATS_TEST_TMPDIR/tree"
	local wanted again
	wanted=$(manifest "$BATS_TEST_TMPDIR/tree")
	rsync -aHAXS "$BATS_TEST_TMPDIR/tree" "$MNT/"
	again=$(rsync -aHAXi "$BATS_TEST_TMPDIR/tree" "$MNT/")
	[ -z "$again" ]
	again=$(rsync -aHAXic "$BATS_TEST_TMPDIR/tree" "$MNT/")
	[ -z "$again" ]
	diff <(manifest "$MNT/tree") - <<<"$wanted"
	rsync -aHAXS "$MNT/tree" "$BATS_TEST_TMPDIR/back/"
	again=$(rsync -aHAXi "$MNT/tree" "$BATS_TEST_TMPDIR/back/")
	[ -z "$again" ]
	diff <(manifest "$BATS_TEST_TMPDIR/back/tree") - <<<"$wanted"
	zcfs umount "$MNT"
	diff <(manifest "$BACKING/tree") - <<<"$wanted"
}

# shares_extents FILE: FILE and its copies through the mount lie on the same blocks.
shares_extents() {
	sync -f "$BACKING"
	filefrag -v "$1" | awk '/^ *[0-9]+:/ { n++; if (!/shared/) bad = 1 } END { exit bad || n == 0 }'
}

# reflinks MKFS...: copies on a loop mount of such a filesystem share their extents.
reflinks() {
	need_root
	need_tool filefrag xfs_io "$1"
	truncate -s 512M "$BATS_TEST_TMPDIR/image"
	"$@" "$BATS_TEST_TMPDIR/image" >/dev/null
	mkdir "$BATS_TEST_TMPDIR/backing"
	mount -o loop "$BATS_TEST_TMPDIR/image" "$BATS_TEST_TMPDIR/backing"
	mount_zcfs "$mount_opts"
	head -c 8M /dev/urandom >"$MNT/file"
	sync -f "$BACKING"
	local used
	used=$(df --output=used -k "$BACKING" | tail -n 1)
	# The kernel hands FICLONE to no FUSE filesystem (there is no remap_file_range in fs/fuse/), so this is refused
	# before the daemon could hear of it; what remains is copy_file_range(2), which cp takes by itself.
	fails_with 1 '*Operation not supported' cp --reflink=always "$MNT/file" "$MNT/refused"
	rm -f "$MNT/refused"
	run -1 shares_extents "$BACKING/file"
	cp --reflink=auto "$MNT/file" "$MNT/copy"
	cmp "$MNT/file" "$MNT/copy"
	cmp "$BACKING/file" "$BACKING/copy"
	shares_extents "$BACKING/file"
	shares_extents "$BACKING/copy"
	xfs_io -f -c "copy_range $MNT/file" "$MNT/ranged"
	cmp "$MNT/file" "$MNT/ranged"
	shares_extents "$BACKING/ranged"
	# Two copies of 8 MiB cost metadata only.
	[ "$(df --output=used -k "$BACKING" | tail -n 1)" -lt $((used + 4096)) ]
	[ "$(ledger "$MNT/copy" copy_range.bytes)" -eq 8388608 ]
	[ "$(ledger "$MNT/copy" write.bytes)" -eq 0 ]
	# Writing to one leaves the other.
	local sum
	sum=$(sha256sum <"$MNT/file")
	printf changed | dd of="$MNT/copy" bs=1 seek=5000 conv=notrunc status=none
	[ "$(sha256sum <"$MNT/file")" = "$sum" ]
	run -1 cmp -s "$MNT/file" "$MNT/copy"
}

@test "copies share extents on btrfs" { reflinks mkfs.btrfs -q; }

@test "copies share extents on xfs" { reflinks mkfs.xfs -q -m reflink=1; }

@test "sendfile and splice from the mount to a socket" {
	need_tool python3
	mount_zcfs "$mount_opts"
	head -c 5000123 /dev/urandom >"$MNT/file"
	python3 - "$MNT/file" "$BACKING/file" <<-'END'
		import hashlib, os, socket, sys, threading

		def received(send):
		    ours, theirs = socket.socketpair()
		    digest = hashlib.sha256()
		    def take():
		        while data := theirs.recv(1 << 20):
		            digest.update(data)
		    taker = threading.Thread(target=take)
		    taker.start()
		    with open(sys.argv[1], "rb", buffering=0) as file:
		        send(file.fileno(), ours.fileno(), os.fstat(file.fileno()).st_size)
		    ours.close()
		    taker.join()
		    return digest.hexdigest()

		def by_sendfile(file, sock, size):
		    at = 0
		    while at < size:
		        n = os.sendfile(sock, file, at, size - at)
		        assert n > 0
		        at += n
		    assert os.sendfile(sock, file, at, 1) == 0

		def by_splice(file, sock, size):
		    rd, wr = os.pipe()
		    at = 0
		    while at < size:
		        n = os.splice(file, wr, size - at, offset_src=at)
		        at += n
		        while n:
		            n -= os.splice(rd, sock, n)
		    os.close(rd), os.close(wr)

		wanted = hashlib.sha256(open(sys.argv[2], "rb").read()).hexdigest()
		ways = [by_sendfile] + ([by_splice] if hasattr(os, "splice") else [])
		for send in ways:
		    assert received(send) == wanted, send.__name__
	END
	# And in: sendfile(2) to a file on the mount.
	python3 - "$BACKING/file" "$MNT/copy" <<-'END'
		import os, sys
		with open(sys.argv[1], "rb") as a, open(sys.argv[2], "wb") as b:
		    while os.sendfile(b.fileno(), a.fileno(), None, 1 << 20):
		        pass
	END
	cmp "$BACKING/file" "$MNT/copy"
	cmp "$BACKING/file" "$BACKING/copy"
}

@test "two programs count to 1000 under POSIX, OFD and flock locks" {
	need_tool python3
	mount_zcfs "$mount_opts"
	local kind other
	for kind in posix ofd flock; do
		printf %08d 0 >"$MNT/$kind"
		python3 "$ZCFS_SRC/tests/tools/counter.py" "$kind" "$MNT/$kind" 500 &
		other=$!
		python3 "$ZCFS_SRC/tests/tools/counter.py" "$kind" "$MNT/$kind" 500
		wait "$other"
		[ "$(<"$MNT/$kind")" = 00001000 ]
		[ "$(<"$BACKING/$kind")" = 00001000 ]
	done
}
