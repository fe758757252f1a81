#!/usr/bin/env bats
# Many processes at work on the same names (tests/tools/storm.c); afterwards the mount and the backing directory are compared to
# the last attribute (tests/tools/treecmp.c), while still mounted and mounted anew. With ZCFS_LONG=1 there are 50
# such storms, each in a new directory: one that goes on makes paths longer than programs can name.
load ../helper
load common

setup_file() { if [[ ${ZCFS_LONG-} == 1 ]]; then export BATS_TEST_TIMEOUT=3600; fi; }

# operations COUNT: of each process, in this build. Sanitizers make the daemon several times slower.
operations() { if ldd "$ZCFS_BUILD/fs/zcfsd" | grep -q 'lib[at]san'; then echo $(($1 / 4)); else echo "$1"; fi; }

storms() { if [[ ${ZCFS_LONG-} == 1 ]]; then echo 50; else echo 1; fi; }

# The mount shows what is underneath. Only what the backing allocates by itself, later, is heard of after attr_timeout: blocks may
# differ for a moment, and then nothing else may.
same_trees() {
	local found=$BATS_TEST_TMPDIR/found end=$((SECONDS + 30))
	until tool treecmp "$MNT" "$BACKING" >"$found"; do
		if ((SECONDS >= end)) || grep -qv -e ': blocks: ' -e '^[0-9]* differences in' "$found"; then
			fail_with "the mount and the backing: $(head -n 50 "$found")"
			return
		fi
		sleep 0.1
	done
}

# storm OPTIONS COUNT [LIMIT]: on a new mount, with so many descriptors for the daemon.
storm() {
	local i
	make_backing
	(ulimit -n "${3:-$(ulimit -Hn)}" && mount_zcfs "$1")
	for ((i = $(storms); i > 0; i--)); do
		mkdir "$MNT/$i"
		tool storm --ops "$(operations "$2")" "$MNT/$i"
		[[ $1 != *pool_write=back* ]] || zcfs pool flush "$MNT"
		same_trees
		((i == 1)) || rm -r "${MNT:?}/$i"
	done
	umount_zcfs
	mount_zcfs "$1"
	same_trees
	umount_zcfs
	no_findings
}

@test "the comparison finds what differs" {
	mkdir "$BATS_TEST_TMPDIR"/{a,b}
	local a=$BATS_TEST_TMPDIR/a b=$BATS_TEST_TMPDIR/b
	head -c 300000 /dev/urandom >"$a/content"
	: >"$a/only"
	ln -s one "$a/link"
	echo x >"$a/mode"
	cp -a "$a/." "$b"
	rm "$b/only"
	printf x | dd of="$b/content" bs=1 seek=200000 conv=notrunc status=none
	chmod 600 "$b/mode"
	setfattr -n user.some -v 1 "$a/mode"
	setfattr -n user.zcfs.other -v 1 "$a/content"
	ln -sfn two "$b/link"
	run -1 tool treecmp "$a" "$b"
	local words
	for words in './content: contents: ' './content: mtime: ' './content: inode: ' './mode: type and mode: 100644, 100600' \
		'./mode: extended attribute: user.some' './link: target: one, two' '.: name: only, (none)' './content: btime: '; do
		[[ $output == *"$words"* ]] || fail_with "'$words' is not in: $output"
	done
	[[ $output != *user.zcfs* ]]
	run -0 tool treecmp "$a" "$a"
	[[ $output == '5 files are the same' ]]
}

@test "a storm on one tree" { storm path=auto 8000; }

@test "a storm with nothing cached: attr_timeout=0, entry_timeout=0" { storm attr_timeout=0,entry_timeout=0 2500; }

@test "a storm on path direct without pages in the kernel's cache" { storm path=direct,cache=none 3000; }

@test "a storm on the pool" { storm path=pool,pool_size=1M,pool_page=4K 2500; }

@test "a storm on the pool, written back" { storm path=pool,pool_write=back,pool_flush_interval=0.1 2500; }

@test "a storm while the daemon has few descriptors" { storm threads=4 3000 128; }

# on_filesystem MKFS...: the backing is such a filesystem, in an image.
on_filesystem() {
	need_root
	need_tool "$1"
	make_backing
	truncate -s 512M "$BATS_TEST_TMPDIR/image"
	"$@" "$BATS_TEST_TMPDIR/image" >/dev/null
	mount -o loop "$BATS_TEST_TMPDIR/image" "$BACKING"
	storm path=auto 2000
}

@test "a storm over xfs" { on_filesystem mkfs.xfs -q; }

@test "a storm over btrfs" { on_filesystem mkfs.btrfs -q; }
