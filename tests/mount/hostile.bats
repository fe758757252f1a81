#!/usr/bin/env bats
# A program without rights tries what is absurd (tests/tools/hostile_data.c, hostile_names.c), on the mount and on the backing
# directory: each attempt ends alike, or is a difference listed here. The daemon stays, says nothing, and holds no more than before.
load ../helper
load common

# What differs, and why, as extended regular expressions.
known_differences() {
	cat <<-'END'
		^p(read|write)v2 with 0x[0-9a-f]+: mount EOPNOTSUPP,
		^fallocate 0x(8|20|40) .*: mount EOPNOTSUPP,
		^lseek [01] to 92233720368547[0-9]{5}: mount 92233720368547[0-9]{5}, backing EINVAL$
		^copy_file_range 0 to 92233720368547[0-9]{5}: mount 0, backing EFBIG$
		^success of ioctl .*: mount 0, backing 1$
		^(FIEMAP|FICLONE): mount EOPNOTSUPP,
	END
	# In this order:
	# The kernel refuses flags of single requests that FUSE does not carry, and to collapse, insert and unshare ranges.
	# It lets positions be set up to the largest there is, and answers a copy of nothing by itself.
	# It forwards few ioctls.
}

# try NAME OPTIONS: one tool as another user; fails if something differs that should not.
try() {
	local said=$BATS_TEST_TMPDIR/said bad=0
	serial=$((serial + 1)) # the kernel may remember directories of this name
	mkdir -m 777 "$BACKING/served$serial" "$BACKING/native"
	as_uid 1234 2345 '' timeout -s KILL 60 "$PUBLIC/hostile_$1" "$MNT/served$serial" "$BACKING/native" >"$said" || bad=1
	rm -r "${BACKING:?}/native" "$MNT/served$serial"
	tail -n 1 "$said" | grep -Eq '^[0-9]{4} tried, ' || bad=1
	if sed '$d' "$said" | grep -vEf <(known_differences) >&2; then bad=1; fi
	((bad == 0)) || fail_with "hostile_$1 with $2: $(tail -n 1 "$said")"
}

count_fds() { find "/proc/$1/fd" -mindepth 1 | wc -l; }

no_more_fds() { drop_caches && [ "$(count_fds "$1")" -le "$2" ]; }

@test "absurd offsets, lengths, names, attributes, ioctls, mappings: answered as by the backing, by a daemon that bears it" {
	need_root
	need_disk
	local options pid fds tool serial=0
	public_mount
	umount "$MNT"
	cp "$ZCFS_TOOLS"/hostile_{data,names} "$PUBLIC"
	for options in path=splice path=copy path=direct path=splice,cache=none path=auto,attr_timeout=0,entry_timeout=0; do
		"$ZCFS_BUILD/cli/zcfs" mount -f -o "allow_other,threads=4,$options" "$BACKING" "$MNT" 2>"$BATS_TEST_TMPDIR/log" 3>&- &
		pid=$!
		wait_until is_mounted "$MNT"
		for tool in data names; do try $tool "$options"; done
		drop_caches
		fds=$(count_fds "$pid")
		for tool in data names; do try $tool "$options"; done
		# Workers started meanwhile bring three pipes at most, and names that the kernel still knows a descriptor each.
		wait_until no_more_fds "$pid" $((fds + 24))
		kill -TERM "$pid"
		wait "$pid"
		[ ! -s "$BATS_TEST_TMPDIR/log" ] || fail_with "the daemon said: $(<"$BATS_TEST_TMPDIR/log")"
	done
}
