#!/usr/bin/env bats
# zcfs stat: the ledger as a table and as JSON, equal to what getfattr says.
load ../helper

setup() {
	need_fuse
	need_tool jq getfattr
}

# A mount with two files of I/O and one without.
mount_with_io() {
	mount_zcfs
	mkdir "$BACKING/dir"
	head -c 1000000 /dev/zero >"$BACKING/dir/large"
	head -c 1000 /dev/zero >"$BACKING/small"
	echo >"$BACKING/idle"
	dd if="$MNT/dir/large" of=/dev/null bs=1M status=none
	dd if="$MNT/small" of=/dev/null bs=1M status=none
}

@test "a file: one row, the numbers of the ledger" {
	mount_with_io
	run zcfs stat --bytes "$MNT/dir/large"
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 2 ]
	[[ ${lines[0]} =~ ^PATH\ +READS\ +READ\ +WRITES\ +WRITTEN\ +SPLICE\ +COPY\ +DIRECT\ .*COPIES/B$ ]]
	local -a words
	read -ra words <<<"${lines[1]}"
	[ "${words[0]}" = "$MNT/dir/large" ]
	[ "${words[1]}" = "$(ledger "$MNT/dir/large" read.ops)" ]
	[ "${words[2]}" = "$(ledger "$MNT/dir/large" read.bytes)" ]
	[ "${words[2]}" -eq 1000000 ]
	[ "${words[3]}" -eq 0 ]
	[ "${words[-1]}" = "$(ledger "$MNT/dir/large" copy.per_byte)" ]
}

@test "bytes have units unless asked for exactly" {
	mount_with_io
	zcfs stat "$MNT/dir/large" | grep -q ' 976\.6 KiB '
	zcfs stat -b "$MNT/dir/large" | grep -q ' 1000000 '
}

@test "the mount's root: totals first, then its files, most bytes first, idle ones counted" {
	mount_with_io
	run zcfs stat "$MNT"
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 5 ]
	[[ ${lines[1]} == "$MNT (whole mount) "* ]]
	[[ ${lines[2]} == "$MNT/dir/large "* ]]
	[[ ${lines[3]} == "$MNT/small "* ]]
	[ "${lines[4]}" = "$MNT: 1 file without I/O left out" ]
}

@test "a directory: the files below it, without a row of its own" {
	mount_with_io
	run zcfs stat "$MNT/dir/"
	[ "${#lines[@]}" -eq 2 ]
	[[ ${lines[1]} == "$MNT/dir/large "* ]]
	mkdir "$BACKING/empty"
	run zcfs stat "$MNT/empty"
	[ "$output" = "$MNT/empty: no files with I/O" ]
}

@test "-n lists so many files and counts the others, in a table and in JSON" {
	mount_with_io
	run zcfs stat -n 1 "$MNT"
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 4 ]
	[[ ${lines[1]} == "$MNT (whole mount) "* ]]
	[[ ${lines[2]} == "$MNT/dir/large "* ]]
	[ "${lines[3]}" = "$MNT: 1 more file with I/O, 1 without left out" ]
	[ "$(zcfs stat --top 2 "$MNT")" = "$(zcfs stat "$MNT")" ]
	zcfs stat --json -n 0 "$MNT" | jq -e '.[0] | .files == [] and .more_files == 2 and .idle_files == 1'
	zcfs stat --json "$MNT" | jq -e '.[0] | (.files | length) == 2 and .more_files == 0'
	local bad
	for bad in '' x -1 1x 99999999999999999999; do
		fails_with 2 'zcfs stat: -n takes a whole number*' zcfs stat -n "$bad" "$MNT"
	done
}

@test "JSON equals the attribute, with every counter" {
	mount_with_io
	local wanted got
	wanted=$(ledger "$MNT/dir/large" stats.json | jq -S .)
	got=$(zcfs stat --json "$MNT/dir/large" | jq -S '.[0].stats')
	[ "$got" = "$wanted" ]
	zcfs stat --json "$MNT" | jq -e --arg mnt "$MNT" '
		length == 1 and .[0].file == $mnt and .[0].stats.title == "mount" and .[0].idle_files == 1 and
		([.[0].files[].file] == [$mnt + "/dir/large", $mnt + "/small"]) and
		.[0].files[0].stats["read.bytes"] == 1000000'
}

@test "JSON is one valid array whatever the names are" {
	mount_zcfs
	local name
	for name in 'quote"s' $'new\nline' $'bad\xff\xc0byte' 'back\slash' $'\x01' '日本'; do
		echo x >"$MNT/$name"
	done
	zcfs stat --json "$MNT" "$MNT" >"$BATS_TEST_TMPDIR/json"
	iconv -f UTF-8 -t UTF-8 "$BATS_TEST_TMPDIR/json" >/dev/null
	[ "$(jq -c '[length, (.[0].files | length)]' "$BATS_TEST_TMPDIR/json")" = '[2,6]' ]
	[ "$(jq '[.[0].files[] | select(.file_hex)] | length' "$BATS_TEST_TMPDIR/json")" -eq 1 ]
	local hex
	hex=$(jq -r '.[0].files[] | .file_hex // empty' "$BATS_TEST_TMPDIR/json")
	[[ $hex == *626164ffc062797465 ]]
	jq -e --arg name "$MNT/quote\"s" 'any(.[0].files[]; .file == $name)' "$BATS_TEST_TMPDIR/json"
}

@test "a table has one line a file whatever the names are" {
	mount_zcfs
	local name
	for name in $'new\nline' $'esc\e[31m' $'bad\xffbyte'; do
		echo x >"$MNT/$name"
	done
	run zcfs stat "$MNT"
	[ "${#lines[@]}" -eq 5 ]
	[[ $output == *'new\012line '* ]]
	[[ $output == *'esc\033[31m '* ]]
	[[ $output == *'bad\377byte '* ]]
}

@test "on a terminal, long paths are shortened to its width" {
	need_tool script
	mount_zcfs
	local long
	long=$MNT/$(printf 'x%.0s' {1..200})-the-end
	echo x >"$long"
	run script -qec "stty cols 120; '$ZCFS_BUILD/cli/zcfs' stat '$MNT'" /dev/null
	[ "$status" -eq 0 ]
	[[ $output == *'-the-end '* ]]
	[[ $output != *"$long"* ]]
	zcfs stat "$MNT" | grep -qF "$long "
}

@test "looking changes nothing in the ledger and opens no file" {
	mount_with_io
	local before after
	before=$(ledger "$MNT/dir/large" stats.json)
	zcfs stat "$MNT" "$MNT/dir/large"
	after=$(ledger "$MNT/dir/large" stats.json)
	[ "$before" = "$after" ]
}

@test "a tree deeper than PATH_MAX is listed" {
	mount_zcfs
	local name i
	name=$(printf 'd%.0s' {1..200})
	cd "$MNT"
	for ((i = 0; i < 25; i++)); do
		mkdir "$name"
		cd -P "$name" 2>/dev/null || cd "$name"
	done
	echo deep >file
	cd /
	zcfs stat --json "$MNT" | jq -e '.[0].files | length == 1 and (.[0].file | length > 4096)'
	rm -rf "${MNT:?}/$name"
}

@test "what is not on a zcfs mount is refused with status 2, the rest is shown" {
	mount_with_io
	fails_with 2 'zcfs stat: * is not on a zcfs mount*' zcfs stat "$BATS_TEST_TMPDIR"
	fails_with 2 'zcfs stat: *No such file*' zcfs stat "$MNT/none"
	fails_with 2 'zcfs stat: it takes at least one PATH*' zcfs stat
	mkfifo "$BACKING/fifo"
	fails_with 2 'zcfs stat: * neither a file nor a directory*' zcfs stat "$MNT/fifo"
	run --separate-stderr zcfs stat --json "$BATS_TEST_TMPDIR" "$MNT/small"
	[ "$status" -eq 2 ]
	[ "$(jq length <<<"$output")" -eq 1 ]
	run --separate-stderr zcfs stat --json "$BATS_TEST_TMPDIR"
	[ "$status" -eq 2 ]
	[ "$output" = '[]' ]
}

@test "a dead mount is told as such" {
	mount_zcfs
	kill -KILL "$(daemons)"
	wait_until no_daemons
	fails_with 1 'zcfs stat: *daemon*zcfs umount*' zcfs stat "$MNT"
}

@test "a full output is an error" {
	mount_with_io
	# shellcheck disable=SC2016 # expanded inside
	fails_with 1 'zcfs stat: cannot write*' bash -c '"$0" stat "$1" >/dev/full' \
		"$ZCFS_BUILD/cli/zcfs" "$MNT"
}
