#!/usr/bin/env bats
# Litmus tests: one inode, changed through the mount or underneath and seen through either, while both go on. First natively,
# which tells what is to be expected, then for each data path with the kernel's cache and without.
load ../helper
load common

S=0.1 ROUNDS=12 # how long a race goes on, and how many changes are made one by one
((!${ZCFS_LONG:-0})) || S=3 ROUNDS=300

# each_mode OPTIONS FUNCTION: FUNCTION with every path, cache=kernel and cache=none; $path and $cache say which.
each_mode() {
	local path cache
	for path in ${ZCFS_PATHS:-splice copy direct}; do
		for cache in kernel none; do
			BACKING=$BATS_TEST_TMPDIR/$path-$cache
			mount_zcfs "path=$path,cache=$cache${1:+,$1}"
			"$2" || fail_with "path=$path,cache=$cache"
			umount_zcfs
		done
	done
}

# natively FUNCTION: with no mount at all, both sides being one directory.
natively() {
	need_disk
	BACKING=$BATS_TEST_TMPDIR/native MNT=$BATS_TEST_TMPDIR/native
	mkdir -p "$BACKING"
	"$1" || fail_with 'natively'
	unset MNT
}

change_and_see() {
	tool litmus visible "$MNT/a" "$MNT/a" "$ROUNDS" live &&
		tool litmus visible "$MNT/b" "$BACKING/b" "$ROUNDS" live &&
		tool litmus visible "$BACKING/c" "$MNT/c" "$ROUNDS" reopen
}

@test "a change by any way is seen by any way: on the mount and underneath at once, from underneath at the next open" {
	natively change_and_see
	each_mode attr_timeout=600 change_and_see
}

see_live() {
	local said
	if [[ $path != pool && ($cache == none || $path == direct) ]]; then
		tool litmus visible "$BACKING/f" "$MNT/f" "$ROUNDS" live unmapped
	else
		! said=$(tool litmus visible "$BACKING/f" "$MNT/f" "$ROUNDS" live unmapped 2>&1) &&
			[[ $said == *', seen buffered: '* ]]
	fi
}

@test "a change underneath is seen by a live descriptor at once where there is no cache, and later where there is one" {
	each_mode attr_timeout=600 see_live
}

punch() {
	tool litmus holes "$MNT/a" "$MNT/a" "$S" &&
		tool litmus holes "$MNT/b" "$BACKING/b" "$S" &&
		tool litmus holes "$BACKING/c" "$MNT/c" "$S" loose
}

@test "holes punched under readers: they see old data or zeros, and zeros once it is done" {
	natively punch
	each_mode '' punch
}

fault() {
	tool litmus faults "$MNT/a" "$MNT/a" "$S" &&
		tool litmus faults "$MNT/b" "$BACKING/b" "$S"
}

fault_and_store() { tool litmus faults "$MNT/s" "$MNT/s" "$S" stores; }

@test "O_DIRECT writes against page faults: no page is older than the last write" {
	natively fault
	each_mode '' fault
}

@test "O_DIRECT writes against stores into the pages between: nothing of either is lost" {
	natively fault_and_store
	each_mode '' fault_and_store
}

# Single writes above max_io are several requests, which may land in any order where they are asynchronous.
extend() {
	local how
	for how in pwrite submit uring; do
		tool fileend extend "$MNT/a" "$MNT/a" "$S" $how 69632 buffered O_DIRECT mapped &&
			tool fileend extend "$MNT/b" "$BACKING/b" "$S" $how 524288 buffered O_DIRECT mapped || return
	done
}

@test "a file made longer by O_DIRECT writes, sync and asynchronous: readers see its old end or what was written" {
	natively extend
	each_mode '' extend
}

extend_below() { tool fileend extend "$BACKING/a" "$MNT/a" "$S" uring 69632 buffered; }

@test "a file made longer underneath, attr_timeout=0: the same" {
	natively extend_below
	each_mode attr_timeout=0 extend_below
}

append() {
	tool fileend append 40 131072 "$MNT/a" "$MNT/a" "$MNT/a" &&
		tool fileend append 40 131072 "$MNT/b" "$BACKING/b" &&
		tool fileend append 20 1048576 "$MNT/c" "$MNT/c"
}

@test "many append, buffered and O_DIRECT, on the mount and underneath: nothing is lost, torn or out of order" {
	natively append
	each_mode '' append
}

# cut SIDES: what truncating, growing and punching on the first of the sides does to a mapping on the second.
cut() {
	local sides=$1
	case $sides in
	mount-mount) tool fileend truncated "$MNT/$sides" "$MNT/$sides" ;;
	mount-below) tool fileend truncated "$MNT/$sides" "$BACKING/$sides" ;;
	below-mount) tool fileend truncated "$BACKING/$sides" "$MNT/$sides" ;;
	esac
}

# What a store beyond the file's end, in its last page, leaves there when the file grows: natively zeros. The kernel's FUSE does
# not zero what is in its own cache, so the store comes to light.
beyond_the_end() {
	if [[ $cache == kernel && $path != direct && $path != pool && $1 == *-mount ]]; then
		sed 's/^\(grown: byte 6000 of 12288\) is 0, read gives 1: 0$/\1 is 99, read gives 1: 99/'
	else
		cat
	fi
}

cut_every_side() {
	local sides
	for sides in mount-mount mount-below below-mount; do
		# What is done underneath the pool sees at the next open only.
		[[ $path != pool || $sides != below-mount ]] || continue
		cut $sides >"$BATS_TEST_TMPDIR/seen" &&
			diff -u <(beyond_the_end $sides <"$BATS_TEST_TMPDIR/expected") "$BATS_TEST_TMPDIR/seen" || return
	done
}

cut_natively() {
	cut mount-mount >"$BATS_TEST_TMPDIR/expected" &&
		[[ $(grep -c SIGBUS "$BATS_TEST_TMPDIR/expected") -gt 10 ]]
}

@test "a file cut, grown and punched under a mapping: SIGBUS, zeros and data where they are natively" {
	natively cut_natively
	each_mode attr_timeout=0 cut_every_side
}

store_below() {
	python3 - "$BACKING/f" "$MNT/f" <<-'END'
		import mmap, os, sys, time

		below, above = sys.argv[1:]
		open(below, "wb").write(b"0" * 4096)
		store = mmap.mmap(os.open(below, os.O_RDWR), 4096)
		store[0:1] = b"1"
		end = time.monotonic() + 10
		seen = [open(above, "rb").read(1)]
		while time.monotonic() < end and b"kernel_cache=fresh" in os.getxattr(above, "user.zcfs.io_mode"):
		    seen = [open(above, "rb").read(1)]
		store[0:1] = b"2"
		seen.append(open(above, "rb").read(1))
		store.flush()
		store[0:1] = b"3"
		seen.append(open(above, "rb").read(1))
		print(b"".join(seen).decode())
	END
}

# What differs: a store underneath changes the file's times only when it is the first to its page since that was written out.
# Where the kernel's cache is kept from open to open by these times, the ones that follow are not seen.
@test "a store into a mapping underneath is seen at the next open when it changes the file's times, without a cache always" {
	need_disk
	need_tool python3
	mount_zcfs path=splice
	[[ $(store_below) == 113 ]]
	umount_zcfs
	mount_zcfs path=splice,cache=none
	[[ $(store_below) == 123 ]]
}
