#!/usr/bin/env bats
# zcfs mrc: the miss-ratio curve of a mount and of a file, as a table, a plot, JSON and an SVG.
load ../helper

setup() {
	need_fuse
	need_tool jq getfattr
	export LC_ALL=C.UTF-8
	unset COLUMNS
}

# loop FILE PAGES TIMES: reads the first PAGES pages of 16K, one by one, so often.
loop() {
	local i
	for ((i = 0; i < $3; i++)); do
		dd if="$1" of=/dev/null bs=16K count="$2" status=none
	done
}

# A mount without the kernel's cache: 50 pages of `large` are read four times, 8 of `small` twice.
mount_with_loop() {
	mount_zcfs "cache=none${1:+,$1}"
	mkdir "$BACKING/dir"
	head -c $((100 * 16384)) /dev/urandom >"$BACKING/large"
	head -c $((8 * 16384)) /dev/urandom >"$BACKING/small"
	loop "$MNT/large" 50 4
	loop "$MNT/small" 8 2
}

# hits FILE BYTES: the hit ratio of the point with that size.
hits() { zcfs mrc --json "$1" | jq -r --argjson bytes "$2" '.mrc.points[] | select(.[0] == $bytes) | .[1]'; }

@test "a loop hits nothing until it fits, of a file and of the mount" {
	mount_with_loop
	zcfs mrc --json "$MNT/large" | jq -e '.mrc | .page_bytes == 16384 and .references == 200 and
		.sampled == 50 and .rate == 1 and .distinct_bytes == 50 * 16384'
	[ "$(zcfs mrc --json "$MNT/large" | jq '.mrc.points[:-1] | map(.[1]) | max')" = 0 ]
	[ "$(hits "$MNT/large" $((50 * 16384)))" = 0.75 ]
	[ "$(hits "$MNT/small" $((8 * 16384)))" = 0.5 ]
	# Of 216 references the loop's last three rounds hit, and the second of the eight pages.
	zcfs mrc --json "$MNT" | jq -e '.mrc | .references == 216 and .points[-1] == [50 * 16384, 0.7315]'
	zcfs mrc --json "$MNT" | jq -e --arg mnt "$MNT" '.file == $mnt'
}

@test "reads and writes by every data path are seen" {
	local path
	for path in $ZCFS_PATHS; do
		mount_with_loop "path=$path"
		zcfs mrc --json "$MNT/large" | jq -e '.mrc.references == 200'
		dd if=/dev/zero of="$MNT/large" bs=16K count=50 conv=notrunc status=none
		zcfs mrc --json "$MNT/large" | jq -e '.mrc | .references == 250 and .points[-1] == [50 * 16384, 0.8]'
		umount_zcfs
		rm -r "${BACKING:?}"
	done
}

@test "the attribute is what the command prints, and is never listed" {
	mount_with_loop
	[ "$(getfattr --only-values --absolute-names -n user.zcfs.mrc "$MNT/large" | jq -c .)" = \
		"$(zcfs mrc -j "$MNT/large" | jq -c .mrc)" ]
	[[ $(getfattr -d -m - --absolute-names "$MNT") != *mrc* ]]
	run getfattr -n user.zcfs.mrc "$MNT/dir"
	[ "$status" -ne 0 ]
}

@test "reset starts a curve anew" {
	mount_with_loop
	zcfs reset "$MNT/small"
	fails_with 1 'zcfs mrc: * has no curve of its own*' zcfs mrc "$MNT/small"
	loop "$MNT/small" 4 3
	zcfs mrc --json "$MNT/small" | jq -e '.mrc | .references == 12 and .sampled == 4'
	zcfs mrc --json "$MNT/large" | jq -e '.mrc.references == 200'
	zcfs reset "$MNT"
	fails_with 1 'zcfs mrc: *nothing has been read or written*' zcfs mrc "$MNT"
}

@test "a deleted file's pages leave" {
	mount_with_loop attr_timeout=0,entry_timeout=0
	rm "$MNT/large"
	left() { zcfs mrc --json "$MNT" | jq -e '.mrc | .references == 216 and .distinct_bytes == 8 * 16384'; }
	wait_until left
}

@test "the table has a line for each doubling and says where it ends" {
	mount_with_loop
	run zcfs mrc "$MNT/large"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "$MNT/large" ]
	[ "${lines[1]}" = '200 references to 800.0 KiB of pages of 16.0 KiB, estimated from 100 % of the pages' ]
	[ "${lines[2]}" = ' A POOL OF  WOULD HIT' ]
	local size i=3
	for size in 16 32 64 128 256 512; do
		[[ ${lines[i++]} =~ ^\ *$size\.0\ KiB\ +0\.0\ %$ ]]
	done
	[[ ${lines[i]} =~ ^\ *800\.0\ KiB\ +75\.0\ %\ +'a larger one hits no more'$ ]]
}

@test "the pool's size now is marked" {
	mount_with_loop 'path=pool,pool_size=640K'
	run zcfs mrc "$MNT/large"
	[ "$status" -eq 0 ]
	grep -qE '^ *640\.0 KiB +0\.0 % +the pool now$' <<<"$output"
	grep -qF '┊ the pool now, 640.0 KiB' <<<"$output"
	zcfs mrc --json "$MNT" | jq -e '.mrc.pool_bytes == 655360'
	zcfs mrc --svg "$BATS_TEST_TMPDIR/svg" "$MNT" >/dev/null
	grep -qF 'pool now: 640.0 KiB' "$BATS_TEST_TMPDIR/svg"
}

@test "the plot fits the width and takes what characters the locale has" {
	need_tool python3
	mount_with_loop
	local columns
	for columns in 40 57 80 120; do
		COLUMNS=$columns zcfs mrc "$MNT" >"$BATS_TEST_TMPDIR/utf8"
		python3 - "$columns" "$BATS_TEST_TMPDIR/utf8" >"$BATS_TEST_TMPDIR/plot" <<-'END'
			import sys
			lines = open(sys.argv[2], encoding="utf-8").read().splitlines()
			plot = lines[[i for i, l in enumerate(lines) if l.startswith(" 100 % ")][0]:]
			print("\n".join(plot))
			assert len(plot) == 19 and max(map(len, plot)) == int(sys.argv[1])
		END
		grep -qP '[\x{2801}-\x{28ff}]' "$BATS_TEST_TMPDIR/plot"
		grep -qF '└' "$BATS_TEST_TMPDIR/plot"
		LC_ALL=C COLUMNS=$columns zcfs mrc "$MNT" >"$BATS_TEST_TMPDIR/ascii"
		[ -z "$(LC_ALL=C tr -d '\n -~' <"$BATS_TEST_TMPDIR/ascii")" ]
		LC_ALL=C awk -v most="$columns" '/^ +[0-9]+ % [|]/ && length($0) > most { exit 1 }' "$BATS_TEST_TMPDIR/ascii"
		grep -qE '^ +100 % \|' "$BATS_TEST_TMPDIR/ascii"
	done
	# No terminal, no escape sequences; and a width that is none is not taken.
	[[ $(COLUMNS=0 zcfs mrc "$MNT") == "$(COLUMNS=80 zcfs mrc "$MNT")" ]]
	[[ $(COLUMNS=x zcfs mrc "$MNT") == "$(zcfs mrc "$MNT")" ]]
	[[ $(<"$BATS_TEST_TMPDIR/utf8") != *$'\e'* ]]
}

@test "on a terminal the plot is as wide as it" {
	need_tool script
	mount_with_loop
	run script -qec "stty cols 61; '$ZCFS_BUILD/cli/zcfs' mrc '$MNT' >/dev/tty" /dev/null
	[ "$status" -eq 0 ]
	[[ $output == *"$(COLUMNS=61 zcfs mrc "$MNT" | grep '└')"* ]]
}

@test "the curve rises where it does: the plot's last column is higher than its first" {
	mount_with_loop
	LC_ALL=C COLUMNS=80 zcfs mrc "$MNT/large" >"$BATS_TEST_TMPDIR/plot"
	# 0 % is drawn in the lowest row, 75 % in the one that is labelled so, at the right end.
	grep -E "^ +0 % \|[.:']{60,}" "$BATS_TEST_TMPDIR/plot"
	grep -E "^ +75 % \| {50,}[.:']+$|^ {7}\| {50,}[.:']+$" "$BATS_TEST_TMPDIR/plot"
	[ "$(grep -cE "^ +100 % \|$" "$BATS_TEST_TMPDIR/plot")" -eq 1 ]
}

# svg FILE: checks that it is XML that refers to nothing elsewhere, and prints the title and the curve's points.
svg() {
	python3 - "$1" <<-'END'
		import re, sys, xml.dom.minidom
		text = open(sys.argv[1], encoding="utf-8").read()
		svg = xml.dom.minidom.parseString(text.encode()).documentElement
		assert svg.tagName == "svg" and svg.getAttribute("viewBox") and svg.getAttribute("xmlns")
		outside = text.replace(svg.getAttribute("xmlns"), "")
		assert not re.search(r"https?:|href|url\(|@import|<script|<image", outside), "refers to something elsewhere"
		assert "prefers-color-scheme: dark" in text
		words = [t.firstChild.data for t in svg.getElementsByTagName("text")]
		assert any("bytes" in w for w in words) and any("%" in w for w in words), "axes without units"
		x0, y0, x1, y1 = 0, 0, *map(float, svg.getAttribute("viewBox").split()[2:])
		points = [tuple(map(float, p.split(","))) for p in
			svg.getElementsByTagName("polyline")[0].getAttribute("points").split()]
		assert all(x0 <= x <= x1 and y0 <= y <= y1 for x, y in points), "outside of the picture"
		assert all(a[0] < b[0] and a[1] >= b[1] for a, b in zip(points, points[1:])), "does not rise"
		print(svg.getElementsByTagName("title")[0].firstChild.data)
		print(len(points))
	END
}

@test "the SVG is valid, stands alone and has all points" {
	need_tool python3
	mount_with_loop
	zcfs mrc --svg "$BATS_TEST_TMPDIR/a.svg" "$MNT" >/dev/null
	run svg "$BATS_TEST_TMPDIR/a.svg"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "Miss-ratio curve of $MNT" ]
	[ "${lines[1]}" -eq "$(zcfs mrc --json "$MNT" | jq '.mrc.points | length')" ]
	[ "${lines[1]}" -gt 20 ]
}

@test "the SVG and the JSON are valid whatever the name is" {
	need_tool python3
	mount_zcfs cache=none
	local name
	for name in 'a&b<c>"d"' ']]>' $'new\nline' $'bad\xff\xc0byte' $'\x01\x7f' $'\xef\xbf\xbf' '日本' "$(printf 'x%.0s' {1..200})"; do
		head -c 65536 /dev/zero >"$MNT/$name"
		loop "$MNT/$name" 4 2
		zcfs mrc --svg "$BATS_TEST_TMPDIR/a.svg" --json "$MNT/$name" >"$BATS_TEST_TMPDIR/json"
		jq -e '.mrc.points | length > 0' "$BATS_TEST_TMPDIR/json"
		iconv -f UTF-8 -t UTF-8 "$BATS_TEST_TMPDIR/json" >/dev/null
		svg "$BATS_TEST_TMPDIR/a.svg"
		# One line for the name, and nothing that a terminal would act on.
		[ "$(zcfs mrc "$MNT/$name" | sed -n 2p)" = "$(zcfs mrc "$MNT/$name" | grep ' references to ')" ]
	done
}

@test "what has no curve is told in one line" {
	mount_with_loop
	fails_with 2 'zcfs mrc: it takes one MOUNTPOINT or FILE*' zcfs mrc
	fails_with 2 'zcfs mrc: it takes one MOUNTPOINT or FILE*' zcfs mrc "$MNT" "$MNT/large"
	fails_with 2 'zcfs mrc: * is not on a zcfs mount*' zcfs mrc "$BATS_TEST_TMPDIR"
	fails_with 2 'zcfs mrc: *No such file*' zcfs mrc "$MNT/none"
	fails_with 2 'zcfs mrc: * is a directory: *' zcfs mrc "$MNT/dir"
	echo >"$BACKING/idle"
	fails_with 1 'zcfs mrc: * has no curve of its own*' zcfs mrc "$MNT/idle"
	mkfifo "$BACKING/fifo"
	fails_with 2 'zcfs mrc: * neither a file nor a directory*' zcfs mrc "$MNT/fifo"
	fails_with 2 'zcfs mrc: unknown option*' zcfs mrc --plot "$MNT"
	fails_with 2 'zcfs mrc: --svg needs an argument*' zcfs mrc "$MNT" --svg
	fails_with 2 'zcfs mrc: cannot write */none/a.svg: No such file*' \
		zcfs mrc --svg "$BATS_TEST_TMPDIR/none/a.svg" "$MNT"
	fails_with 2 'zcfs mrc: cannot write *: Is a directory' zcfs mrc --svg "$BATS_TEST_TMPDIR" "$MNT"
	fails_with 1 'zcfs mrc: cannot write /dev/full: No space*' zcfs mrc --svg /dev/full "$MNT"
	# shellcheck disable=SC2016 # expanded inside
	fails_with 1 'zcfs mrc: cannot write the result*' bash -c '"$0" mrc "$1" >/dev/full' \
		"$ZCFS_BUILD/cli/zcfs" "$MNT"
}

@test "a mount that was not used, and a dead one" {
	mount_zcfs
	fails_with 1 'zcfs mrc: *nothing has been read or written*' zcfs mrc "$MNT"
	kill -KILL "$(daemons)"
	wait_until no_daemons
	fails_with 1 'zcfs mrc: *daemon*zcfs umount*' zcfs mrc "$MNT"
}
