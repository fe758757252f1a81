#!/usr/bin/env bats
# zcfs sim: traces in all formats and compressions, against hit ratios that are known; what cannot be read.
load ../helper

setup() {
	need_tool jq
	cd "$BATS_TEST_TMPDIR" || return
	oltp=$ZCFS_SRC/../shared/traces/OLTP.lis.zst
}

# sim ARGUMENT...: 'policy pages hits' a line.
sim() { zcfs sim --json "$@" | jq -r '.results[] | "\(.policy) \(.pages) \(.hits)"'; }

# hits POLICY PAGES TRACE [ARGUMENT]...
hits() {
	local policy=$1 pages=$2
	shift 2
	sim --policy "$policy" --pages "$pages" "$@" | cut -d' ' -f3
}

policies() { sed -n 's/^policies = \[\(.*\)\]/\1/p' "$ZCFS_SRC/meson.build" | tr -d "',"; }

# Page numbers of a loop over $1 pages, $2 times.
loop() {
	local round
	for ((round = 0; round < $2; round++)); do seq 1 "$1"; done
}

# near WANTED GOT TOLERANCE
near() {
	awk -v wanted="$1" -v got="$2" -v most="$3" 'BEGIN {
		difference = got - wanted
		exit (difference < 0 ? -difference : difference) > most
	}' && return
	printf 'wanted %s within %s, got %s\n' "$1" "$3" "$2" >&2
	return 1
}

@test "the table: a row for each policy, a column for each size, hits in percent" {
	loop 10 10 >trace
	run zcfs sim --policy lru,opt --pages 9,10 trace
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 4 ]
	[[ ${lines[0]} =~ ^PAGES\ +9\ +10$ ]]
	[[ ${lines[1]} =~ ^lru\ +0\.00\ +90\.00$ ]]
	# The first round misses ten times. Later, eight uses of each nine hit until the last round ends.
	[[ ${lines[2]} =~ ^opt\ +80\.00\ +90\.00$ ]]
	[ "${lines[3]}" = 'hits in percent of 100 page references' ]
}

@test "json: exact counts" {
	loop 10 10 >trace
	zcfs sim --json --policy lru --pages 10 trace >out
	jq -e '.references == 100 and (.results | length) == 1' out
	jq -e '.results[0] == {"policy": "lru", "pages": 10, "hits": 90, "misses": 10, "hit_ratio": 0.9}' out
}

@test "without --policy all of them and the optimum, without --pages a series of sizes" {
	loop 5 2 >trace
	local all
	all="$(policies) opt"
	[ "$(sim trace | cut -d' ' -f1 | uniq | xargs)" = "$all" ]
	[ "$(sim -p lru trace | wc -l)" -ge 5 ]
	sim -p lru trace | awk '$2 <= last { exit 1 } { last = $2 }'
	local name
	for name in $all; do
		zcfs sim --help | grep -qE "^  $name +[^ ]+ "
	done
}

@test "no policy is better than the optimum, none is worse than nothing, and each hits all that fits" {
	# A skewed and a looping half, the same each time.
	awk 'BEGIN {
		srand(1)
		for (i = 0; i < 20000; i++) print int(rand() ^ 3 * 1000)
		for (i = 0; i < 20000; i++) print 2000 + i % 700
	}' >trace
	local distinct name pages best
	distinct=$(sort -u trace | wc -l)
	for pages in 1 2 3 10 100 500; do
		best=$(hits opt "$pages" trace)
		for name in $(policies); do
			[ "$(hits "$name" "$pages" trace)" -le "$best" ]
		done
	done
	for name in $(policies) opt; do
		[ "$(hits "$name" "$distinct" trace)" -eq $((40000 - distinct)) ]
	done
}

@test "the optimum is that of a naive search" {
	awk 'BEGIN { srand(2); for (i = 0; i < 400; i++) print int(rand() ^ 2 * 40) }' >trace
	local pages naive
	for pages in 1 2 5 20; do
		naive=$(awk -v pages="$pages" '
			{ page[NR] = $1 }
			END {
				for (now = 1; now <= NR; now++) {
					if (page[now] in cached) { hits++; continue }
					if (n == pages) {
						farthest = -1
						for (key in cached) {
							for (next_use = now + 1; next_use <= NR && page[next_use] != key; next_use++);
							if (next_use > farthest) { farthest = next_use; victim = key }
						}
						delete cached[victim]
						n--
					}
					cached[page[now]]
					n++
				}
				print hits + 0
			}' trace)
		[ "$(hits opt "$pages" trace)" -eq "$naive" ]
	done
}

# N. Megiddo and D. S. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 03, pp. 115-130, whose trace it is.
@test "the OLTP trace of the ARC paper: the published figures" {
	[[ -e $oltp ]] || skip "no ../shared/traces here: it is not in the repository"
	local policy pages wanted most
	zcfs sim --json --pages 1000,5000,15000 "$oltp" >out
	[ "$(jq .references out)" -eq 914145 ]
	ratio() { jq ".results[] | select(.policy == \"$1\" and .pages == $2) | .hit_ratio * 100" out; }
	while read -r policy pages wanted most; do
		near "$wanted" "$(ratio "$policy" "$pages")" "$most"
	done <<-END
		lru 1000 32.83 0.05
		lru 5000 53.65 0.05
		lru 15000 64.63 0.05
		clock 1000 33.27 0.3
		clock 5000 53.83 0.3
		clock 15000 64.77 0.3
		arc 1000 38.95 0.3
		arc 5000 55.25 0.3
		arc 15000 65.40 0.3
		opt 1000 53.61 0.005
		opt 5000 68.27 0.005
		opt 15000 75.14 0.005
	END
	for policy in s3fifo innodb; do
		for pages in 1000 5000 15000; do
			jq -en "$(ratio "$policy" "$pages") >= $(ratio arc "$pages") - 2"
		done
	done
}

@test "the formats agree: numbers, .lis, a capture" {
	loop 40 3 >numbers
	loop 40 3 | awk '{ print $1, 1, 0, NR }' >one.lis
	{
		echo '1 30 0 1'
		echo '31 10 0 2'
		echo '1 40 0 3'
		echo '1 40'
	} >runs.lis
	{
		echo '# zcfs capture 1 page_size=16384'
		# Pages 1 to 40, by requests that begin and end inside of pages.
		echo 'R 7 16385 491519'
		echo "W 7 $((31 * 16384)) $((10 * 16384))"
		echo "R 7 16384 $((40 * 16384))"
		echo 'W 7 100 0'
		echo "R 7 $((2 * 16384 - 1)) $((39 * 16384 + 1))"
	} >capture
	local wanted trace
	wanted=$(sim -p lru,s3fifo,opt -n 10,35,40 numbers)
	[[ $wanted == *'lru 40 80'* ]]
	for trace in one.lis runs.lis capture; do
		[ "$(sim -p lru,s3fifo,opt -n 10,35,40 "$trace")" = "$wanted" ]
	done
}

@test "comments, empty lines, blanks and line ends of DOS are passed over" {
	printf '# numbers\r\n\r\n 1\t\r\n\n2 \r\n#\n1' >trace
	[ "$(hits lru 2 trace)" -eq 1 ]
	[ "$(zcfs sim --json trace | jq .references)" -eq 3 ]
}

@test "a capture: pages are told by file and place, --page-size sets theirs" {
	{
		echo '# zcfs capture 1 page_size=16K'
		echo 'R 1 0 65536'
		echo 'R 2 0 65536'
		echo 'R 1 0 65536'
	} >capture
	[ "$(zcfs sim --json -p lru -n 8 capture | jq -c '[.references, .results[0].hits]')" = '[12,4]' ]
	[ "$(zcfs sim --json -p lru -n 7 capture | jq -c '[.references, .results[0].hits]')" = '[12,0]' ]
	[ "$(zcfs sim --json -p lru -n 2 --page-size 64K capture | jq -c '[.references, .results[0].hits]')" = '[3,1]' ]
	[ "$(zcfs sim --json -p lru -n 32 -s 4096 capture | jq -c '[.references, .results[0].hits]')" = '[48,16]' ]
}

@test "several traces are one after the other, - is standard input" {
	loop 10 1 >one
	[ "$(hits lru 10 one one)" -eq 10 ]
	cp one other
	[ "$(hits lru 10 one - <other)" -eq 10 ]
	[ "$(cat one one | hits opt 5 -)" -eq "$(hits opt 5 one one)" ]
}

@test "zstd and xz are told by what is in the file, whatever its name" {
	need_tool zstd xz
	loop 50000 2 >trace
	zstd -q trace -o a.txt
	xz -c trace >b.lis
	zstd -qc trace trace >twice
	xz -c trace | cat - <(xz -c trace) >twice.zst
	local file
	for file in a.txt b.lis; do
		[ "$(hits lru 50000 "$file")" -eq 50000 ]
		[ "$(hits lru 50000 - <"$file")" -eq 50000 ]
	done
	for file in twice twice.zst; do
		[ "$(hits lru 50000 "$file")" -eq 150000 ]
	done
}

@test "what is compressed and damaged is refused, with the line that was reached" {
	need_tool zstd xz gzip
	seq 1 100000 >trace
	zstd -q trace
	xz -k trace
	head -c $(($(stat -c %s trace.zst) / 2)) trace.zst >short.zst
	head -c $(($(stat -c %s trace.xz) / 2)) trace.xz >short.xz
	gzip -k trace
	{ cat trace.zst && head -c 1000 trace.gz; } >bad.zst
	{ cat short.xz && head -c 30000 trace; } >bad.xz
	fails_with 2 'zcfs sim: short.zst: after line [0-9]*: the file ends in the middle of what zstd compressed' zcfs sim short.zst
	fails_with 2 'zcfs sim: short.xz: after line [0-9]*: the file ends in the middle of what xz compressed' zcfs sim short.xz
	fails_with 2 'zcfs sim: bad.zst: after line [0-9]*: the file cannot be decompressed by zstd: *' zcfs sim bad.zst
	fails_with 2 'zcfs sim: bad.xz: after line [0-9]*: the file cannot be decompressed by xz: *' zcfs sim bad.xz
	fails_with 2 'zcfs sim: trace.gz: *zcat*' zcfs sim trace.gz
}

# bad_trace PATTERN LINE...: a trace of these lines is refused so.
bad_trace() {
	local pattern=$1
	shift
	printf '%s\n' "$@" >bad
	fails_with 2 "zcfs sim: bad: $pattern" zcfs sim bad
}

@test "a bad line is refused with its number" {
	bad_trace 'line 1: neither a page number nor *' x
	bad_trace 'line 1: neither a page number nor *' -1
	bad_trace 'line 1: neither a page number nor *' 1.5
	bad_trace 'line 1: neither a page number nor *' 'R 1 0 4096'
	bad_trace 'line 1: neither a page number nor *' 18446744073709551616
	bad_trace 'line 3: not one page number' 1 2 '3 1'
	bad_trace 'line 4: not one page number' 1 '' '# c' two
	bad_trace "line 2: not 'START COUNT ...' in numbers" '1 1 0 0' 2
	bad_trace "line 2: not 'START COUNT ...' in numbers" '1 1 0 0' '1 1 0 x'
	bad_trace 'line 1: more than 16777216 pages in one request' '0 16777217'
	bad_trace 'line 1: the request ends beyond page 2^64' '18446744073709551615 2'
	local header='# zcfs capture 1 page_size=4096'
	bad_trace "line 2: not 'R FILEID OFFSET LENGTH'*" "$header" 'X 1 0 4096'
	bad_trace "line 2: not 'R FILEID OFFSET LENGTH'*" "$header" 'R 1 0'
	bad_trace "line 2: not 'R FILEID OFFSET LENGTH'*" "$header" 'R 1 0 4096 1'
	bad_trace "line 2: not 'R FILEID OFFSET LENGTH'*" "$header" 'R name 0 4096'
	bad_trace 'line 2: the request ends beyond byte 2^64' "$header" 'R 1 18446744073709551615 2'
	bad_trace 'line 1: a capture of a version that *' '# zcfs capture 2 page_size=4096'
	bad_trace 'line 1: no page_size=SIZE *' '# zcfs capture 1'
	bad_trace 'line 1: no page_size=SIZE *' '# zcfs capture 1 page_size=5000'
	bad_trace 'line 2: it is too long *' 1 "$(printf '%05000d' 1)"
	printf '1\n\0\n' >bad
	fails_with 2 'zcfs sim: bad: line 2: it has a NUL byte in it*' zcfs sim bad
	printf '1\n2 x' | fails_with 2 'zcfs sim: standard input: line 2: not one page number' zcfs sim -
}

@test "the largest page numbers are taken" {
	printf '%s\n' 18446744073709551615 0 18446744073709551615 >trace
	[ "$(hits lru 2 trace)" -eq 1 ]
	echo '18446744073709551614 2 0 0' >trace
	[ "$(zcfs sim --json trace | jq .references)" -eq 2 ]
}

@test "bad arguments are refused in one line" {
	seq 3 >trace
	fails_with 2 'zcfs sim: it takes at least one TRACE*' zcfs sim
	fails_with 2 "zcfs sim: no policy 'x': there are clock, lru, *, opt" zcfs sim --policy x trace
	fails_with 2 "zcfs sim: no policy '': *" zcfs sim --policy lru, trace
	fails_with 2 "zcfs sim: --pages takes *, not '0'" zcfs sim --pages 0 trace
	fails_with 2 "zcfs sim: --pages takes *, not '1K'" zcfs sim --pages 1K trace
	fails_with 2 "zcfs sim: --pages takes *, not ''" zcfs sim --pages 1,,2 trace
	fails_with 2 'zcfs sim: --pages takes at most 24 numbers' zcfs sim --pages "$(seq -s, 25)" trace
	fails_with 2 "zcfs sim: --page-size takes *, not '5000'" zcfs sim --page-size 5000 trace
	fails_with 2 "zcfs sim: --page-size takes *, not '256'" zcfs sim --page-size 256 trace
	fails_with 2 'zcfs sim: cannot open missing: No such file or directory' zcfs sim missing
	fails_with 2 'zcfs sim: .: *Is a directory' zcfs sim .
	: >empty
	fails_with 2 'zcfs sim: there is no page reference in what was given' zcfs sim empty
}

@test "a result that cannot be written is an error" {
	[[ -e /dev/full ]] || skip 'no /dev/full here'
	seq 3 >trace
	local status=0
	zcfs sim trace >/dev/full 2>err || status=$?
	[ "$status" -eq 1 ]
	[[ $(<err) == 'zcfs sim: cannot write the result: '* ]]
}
