#!/usr/bin/env bats
# How the ledger is kept and shown: totals, resets, FORGET, deleted files, the bound, JSON, text, names, and who may set what.
load ../helper
load common

setup() { need_tool jq getfattr setfattr; }

# fill NAME BYTES: writes a file of that size through the mount.
fill() { head -c "$2" /dev/zero >"$MNT/$1"; }

@test "the root has the sum of all files" {
	mount_zcfs
	mkdir "$MNT/d"
	fill a 1000 && fill b 20000 && fill d/c 300000
	cat "$MNT/a" "$MNT/d/c" >/dev/null
	expect "$MNT" write.bytes=321000 read.bytes=301000
	expect "$MNT/d" write.bytes=0
	local name sum file
	for name in read.ops read.bytes write.ops write.bytes copy.total_bytes copy.user_bytes syscalls open.buffered \
		write.copy_bytes read.splice_bytes; do
		sum=0
		for file in a b d/c; do sum=$((sum + $(ledger "$MNT/$file" "$name"))); done
		expect "$MNT" "$name=$sum"
	done
	expect_that "$(ledger_json "$MNT" '.["write.latency"].count')" == "$(ledger "$MNT" write.ops)"
}

@test "a file's reset keeps the mount's totals, the root's zeroes everything" {
	mount_zcfs
	fill a 1000 && fill b 500
	setfattr -n user.zcfs.reset -v 1 "$MNT/a"
	expect "$MNT/a" write.bytes=0 write.ops=0
	expect "$MNT" write.bytes=1500
	fill a 30
	expect "$MNT/a" write.bytes=30
	expect "$MNT" write.bytes=1530
	setfattr -n user.zcfs.reset -v 1 "$MNT"
	expect "$MNT" write.bytes=0 write.ops=0 open.buffered=0
	expect "$MNT/b" write.bytes=0
	ledger_json "$MNT" | jq -e '.others["write.bytes"] == 0 and .["write.latency"].count == 0'
}

@test "ledgers survive the kernel's FORGET" {
	mount_zcfs
	fill a 4000
	cat "$MNT/a" >/dev/null
	drop_caches
	expect "$MNT/a" write.bytes=4000 read.bytes=4000
	drop_caches
	expect "$MNT" write.bytes=4000 read.bytes=4000
}

@test "what deleted files counted stays in the totals; a new file of the name starts at zero" {
	mount_zcfs
	fill a 4000 && fill b 100
	rm "$MNT/a"
	expect "$MNT" write.bytes=4100
	fill c 7
	mv "$MNT/c" "$MNT/b"
	expect "$MNT/b" write.bytes=7
	expect "$MNT" write.bytes=4107
	fill a 1
	expect "$MNT/a" write.bytes=1
	expect "$MNT" write.bytes=4108
}

@test "a deleted file that is still open counts on" {
	mount_zcfs
	tool fileio "open A $MNT/f rdwr,creat" 'w A 0 100 1' "sh rm $MNT/f" 'w A 0 1000 2' 'r A 0 1000 2'
	expect "$MNT" write.bytes=1100
}

@test "hard links and new names share one ledger" {
	mount_zcfs
	fill a 10
	ln "$MNT/a" "$MNT/b"
	mv "$MNT/a" "$MNT/c"
	expect "$MNT/b" write.bytes=10
	expect "$MNT/c" write.bytes=10
	rm "$MNT/b"
	expect "$MNT/c" write.bytes=10
	expect "$MNT" write.bytes=10
}

merged() { expect_that "$(ledger_json "$MNT" .merged)" '>=' "$1" 2>/dev/null; }

@test "ledger_files=3 bounds the memory: others take what is merged, totals stay exact" {
	local i sum=0
	mount_zcfs ledger_files=3
	for i in {1..12}; do
		fill "f$i" $((i * 100))
		sum=$((sum + i * 100))
	done
	drop_caches
	fill last 1
	wait_until merged 8
	expect "$MNT" "write.bytes=$((sum + 1))" write.ops=13 open.buffered=13
	for i in {1..12}; do ledger "$MNT/f$i" write.bytes >/dev/null; done
	expect "$MNT" "write.bytes=$((sum + 1))" write.ops=13
	ledger_json "$MNT" | jq -e '.others["write.bytes"] > 0 and .files >= 1 and .merged >= 8'
	[[ $(ledger "$MNT" stats) == *others* ]]
}

# The same value in JSON, in the text and under its own name.
same_everywhere() {
	local text json key value
	text=$(ledger "$1" stats)
	json=$(ledger "$1" stats.json)
	jq -e 'type == "object"' <<<"$json" >/dev/null
	while read -r key value; do
		[[ $(printf '%.2f' "$(ledger "$1" "$key")") == $(printf '%.2f' "$value") ]] || {
			echo "$key: $value in JSON, $(ledger "$1" "$key") by name" >&2
			return 1
		}
		[[ $value == 0 ]] || grep -Eq "^ +${key//./\\.} +${value//./\\.}( +\\(.*\\))?\$" <<<"$text" || {
			echo "$key $value is not in the text: $text" >&2
			return 1
		}
	done < <(jq -r 'to_entries[] | select(.key | contains(".")) | select(.value | type == "number") |
		"\(.key) \(.value)"' <<<"$json")
	while read -r key value; do
		[[ $(ledger "$1" "$key") == "count=$value "* ]]
	done < <(jq -r 'to_entries[] | select(.value | type == "object" and has("count")) |
		"\(.key) \(.value.count)"' <<<"$json")
}

@test "JSON, text and single attributes agree, on a file and on the root" {
	mount_zcfs cache=none
	fill a 1000
	cat "$MNT/a" "$MNT/a" >/dev/null
	sync "$MNT/a"
	same_everywhere "$MNT/a"
	same_everywhere "$MNT"
}

@test "JSON stays valid whatever the file is called" {
	mount_zcfs
	local name=$'q"\\\n\t\xff.x'
	fill "$name" 10
	ledger_json "$MNT/$name" '.["write.bytes"]' | grep -qx 10
}

names() { getfattr --absolute-names -d -m - "$1" 2>/dev/null | grep -v '^# file: '; }

@test "the names are listed on the root only" {
	mount_zcfs
	mkdir "$MNT/d"
	fill a 1
	setfattr -n user.mine -v yes "$MNT/a"
	[[ $(names "$MNT") == *user.zcfs.read.ops=* ]]
	[[ $(names "$MNT/a") != *zcfs* && $(names "$MNT/a") == *user.mine=* ]]
	[[ $(names "$MNT/d") != *zcfs* ]]
	[[ $(names "$BACKING") != *zcfs* ]]
}

@test "list_stats lists them on every file and directory" {
	mount_zcfs list_stats
	mkdir "$MNT/d"
	fill a 1
	setfattr -n user.mine -v yes "$MNT/a"
	[[ $(names "$MNT/a") == *user.mine=* ]]
	[[ $(names "$MNT/a") == *user.zcfs.write.bytes=\"1\"* ]]
	[[ $(names "$MNT/d") == *user.zcfs.read.ops=* ]]
	ln -s a "$MNT/l"
	[[ $(getfattr -h --absolute-names -d -m - "$MNT/l" 2>&1) != *zcfs* ]]
}

@test "every name that is listed can be read" {
	mount_zcfs list_stats
	fill a 1
	local name
	while IFS= read -r name; do
		getfattr --absolute-names -n "$name" "$MNT/a" >/dev/null
	done < <(getfattr --absolute-names -m '^user\.zcfs' "$MNT/a" | grep ^user)
}

@test "cp -a, rsync -X and tar --xattrs carry the files' attributes, not ours" {
	need_tool rsync
	mount_zcfs
	mkdir "$MNT/src"
	fill src/a 1
	setfattr -n user.mine -v yes "$MNT/src/a"
	local copies=$BATS_TEST_TMPDIR/copies
	mkdir -p "$copies"/{rsync,tar}
	cp -a "$MNT/src" "$copies/cp"
	rsync -aX "$MNT/src/" "$copies/rsync/"
	tar --xattrs --xattrs-include='*' -C "$MNT" -cf "$copies/src.tar" src
	tar --xattrs --xattrs-include='*' -C "$copies/tar" -xf "$copies/src.tar"
	cp -a "$MNT/src" "$MNT/copy"
	local file
	for file in "$copies"/{cp,rsync,tar/src}/a "$BACKING/copy/a" "$BACKING/src/a"; do
		[[ $(names "$file") == *user.mine=* && $(names "$file") != *zcfs* ]]
	done
}

@test "setting and removing is refused, unless writable; nothing reaches the backing" {
	mount_zcfs
	fill a 1
	mkdir "$MNT/d"
	fails "Operation not supported" setfattr -n user.zcfs.read.ops -v 1 "$MNT/a"
	fails "Operation not supported" setfattr -n user.zcfs.stats -v 1 "$MNT/a"
	fails "Operation not supported" setfattr -n user.zcfs.nonsense -v 1 "$MNT/a"
	fails "Operation not supported" setfattr -n user.zcfs.read.ops -v 1 "$MNT"
	fails "Operation not supported" setfattr -n user.zcfs.path -v copy "$MNT/d"
	fails "Operation not supported" setfattr -x user.zcfs.read.ops "$MNT/a"
	fails "Operation not supported" setfattr -x user.zcfs.path "$MNT/a"
	fails 'Invalid argument' setfattr -n user.zcfs.path -v nonsense "$MNT/a"
	fails 'No such attribute' getfattr -n user.zcfs.nonsense "$MNT/a"
	[[ $(names "$BACKING/a")$(names "$BACKING/d")$(names "$BACKING") != *zcfs* ]]
}

@test "user.zcfs.path sets the path of the next open" {
	mount_zcfs path=splice,cache=none
	zeros "$BACKING/f" 1M
	[ "$(ledger "$MNT/f" path)" = splice ]
	exec 8<"$MNT/f"
	setfattr -n user.zcfs.path -v copy "$MNT/f"
	[ "$(ledger "$MNT/f" path)" = copy ]
	dd of=/dev/null bs=256K count=1 status=none <&8 # opened before: still spliced
	expect "$MNT/f" read.splice_bytes=262144 read.copy_bytes=0
	exec 8<&-
	dd if="$MNT/f" of=/dev/null bs=256K count=1 status=none
	expect "$MNT/f" read.splice_bytes=262144 read.copy_bytes=262144
	setfattr -n user.zcfs.path -v direct "$MNT/f"
	dd if="$MNT/f" of=/dev/null bs=256K count=1 status=none
	expect "$MNT/f" read.direct_bytes=262144
	setfattr -n user.zcfs.path -v auto "$MNT/f"
	dd if="$MNT/f" of=/dev/null bs=256K count=1 status=none
	expect "$MNT/f" read.splice_bytes=524288
}

@test "io_mode says what was asked for, what it is, and why" {
	mount_zcfs 'path=auto,rule=*.wal:copy'
	fill a 1 && fill b.wal 1
	[[ $(ledger "$MNT/a" io_mode) == *'requested=O_WRONLY path=auto (splice) kernel_cache='* ]]
	dd if="$MNT/a" of=/dev/null iflag=direct bs=4K status=none
	[[ $(ledger "$MNT/a" io_mode) == *'requested=O_RDONLY|O_DIRECT path=auto (direct) kernel_cache=none'* ]]
	[[ $(ledger "$MNT/b.wal" io_mode) == *'path=copy'*'reason=a rule= of the mount' ]]
	setfattr -n user.zcfs.path -v direct "$MNT/a"
	cat "$MNT/a" >/dev/null
	[[ $(ledger "$MNT/a" io_mode) == *'path=direct kernel_cache=none reason=user.zcfs.path was set' ]]
	exec 8<"$MNT/a" 9<"$MNT/b.wal"
	[[ $(ledger "$MNT/a" io_mode) == 'live: 0 cached, 1 direct_io; '* ]]
	[[ $(ledger "$MNT/b.wal" io_mode) == 'live: 1 cached, 0 direct_io; '* ]]
}
