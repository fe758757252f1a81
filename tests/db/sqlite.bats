#!/usr/bin/env bats
# SQLite on the mount, by ZCFS_PATH: journal modes, mapped and not, two writers at once, a crash with a hot journal; and
# the same database afterwards in the backing directory.
load ../helper

setup() {
	need_tool sqlite3
	mount_zcfs "path=${ZCFS_PATH:-auto}"
}

sql() { sqlite3 -bail -batch -cmd '.timeout 60000' "$@"; }

# make_db FILE JOURNAL_MODE
make_db() {
	[ "$(sql "$1" "PRAGMA journal_mode=$2")" = "$2" ]
	sql "$1" 'CREATE TABLE t (id INTEGER PRIMARY KEY, who, n, body); CREATE INDEX i ON t (who, n);'
}

# writer FILE WHO MMAP_SIZE: 60 transactions, each of an insert, an update and, now and then, a delete.
writer() {
	local n
	{
		# synchronous=FULL (the default) in both modes: each commit is an fsync through the mount
		echo "PRAGMA mmap_size=$3; PRAGMA cache_size=20;"
		for ((n = 0; n < 60; n++)); do
			echo "BEGIN IMMEDIATE;
				INSERT INTO t (who, n, body) VALUES ('$2', $n, hex(zeroblob($((n * 97 % 3000)))));
				UPDATE t SET body = body || 'x$n' WHERE who = '$2' AND n % 7 = $((n % 7));"
			((n % 10)) || echo "DELETE FROM t WHERE who = '$2' AND n = $((n - 5));"
			echo 'COMMIT;'
		done
	} | sql "$1" >/dev/null
}

# digest FILE: what the rows say, whatever order they came in.
digest() { sql "$1" 'SELECT who, n, body FROM t ORDER BY who, n' | sha256sum; }

intact() { [ "$(sql "$1" 'PRAGMA integrity_check')" = ok ]; }

# race FILE JOURNAL_MODE MMAP_SIZE: two processes write at once.
race() {
	make_db "$1" "$2"
	writer "$1" one "$3" &
	local other=$!
	writer "$1" two "$3"
	wait "$other"
}

# same_as_native JOURNAL_MODE: a race on the mount leaves the rows of a race on the backing, on both sides of the mount.
same_as_native() {
	local size wanted
	mkdir "$BATS_TEST_TMPDIR/native"
	race "$BATS_TEST_TMPDIR/native/db" "$1" 0
	wanted=$(digest "$BATS_TEST_TMPDIR/native/db")
	for size in 0 67108864; do
		race "$MNT/$size.db" "$1" "$size"
		intact "$MNT/$size.db"
		[ "$(digest "$MNT/$size.db")" = "$wanted" ]
		[ "$(sql -cmd "PRAGMA mmap_size=$size" "$MNT/$size.db" 'SELECT count(*) FROM t' | tail -n 1)" -eq 110 ]
	done
	zcfs umount "$MNT"
	for size in 0 67108864; do
		intact "$BACKING/$size.db"
		[ "$(digest "$BACKING/$size.db")" = "$wanted" ]
	done
}

@test "two writers, rollback journal" { same_as_native delete; }

@test "two writers, WAL" { same_as_native wal; }

@test "a writer on the mount and a mapped reader see one another, WAL and rollback" {
	local mode n
	for mode in wal truncate; do
		make_db "$MNT/$mode.db" "$mode"
		# One reader process for all of it: its cache, its map and its view of the -shm file live on.
		coproc READER { sqlite3 -batch -cmd '.timeout 60000' "$MNT/$mode.db"; } 3>&-
		echo 'PRAGMA mmap_size=67108864;' >&"${READER[1]}"
		read -r n <&"${READER[0]}"
		local i
		for ((i = 1; i <= 40; i++)); do
			sql "$MNT/$mode.db" "INSERT INTO t (who, n, body) VALUES ('w', $i, hex(zeroblob(2000)))"
			echo 'SELECT count(*) + 0 * sum(length(body)) FROM t;' >&"${READER[1]}"
			read -r n <&"${READER[0]}"
			[ "$n" -eq "$i" ]
		done
		echo .quit >&"${READER[1]}"
		wait "$READER_PID" || true
		intact "$MNT/$mode.db"
	done
}

@test "a crash in mid-transaction is rolled back, seen through the mount and in the backing" {
	local mode wanted
	for mode in delete wal; do
		make_db "$MNT/$mode.db" "$mode"
		writer "$MNT/$mode.db" one 0
		wanted=$(digest "$MNT/$mode.db")
		# A small cache spills into the database file (or the WAL) before the commit, which never comes.
		run sql "$MNT/$mode.db" <<-'END'
			PRAGMA cache_size=5;
			BEGIN;
			INSERT INTO t (who, n, body) SELECT 'crash', n, hex(zeroblob(3000)) FROM t;
			UPDATE t SET body = 'gone';
			.shell kill -KILL $PPID
		END
		[ "$status" -eq 137 ]
		if [[ $mode == delete ]]; then [ -s "$MNT/$mode.db-journal" ]; fi
		cp "$BACKING/$mode.db"* "$BATS_TEST_TMPDIR/"
		[ "$(digest "$MNT/$mode.db")" = "$wanted" ]
		intact "$MNT/$mode.db"
		[ "$(digest "$BATS_TEST_TMPDIR/$mode.db")" = "$wanted" ]
		intact "$BATS_TEST_TMPDIR/$mode.db"
	done
}

@test "VACUUM, backup and dump agree" {
	make_db "$MNT/db" wal
	writer "$MNT/db" one 0
	local wanted
	wanted=$(digest "$MNT/db")
	sql "$MNT/db" "VACUUM INTO '$MNT/vacuumed'"
	sql "$MNT/db" ".backup '$MNT/backup'"
	sql "$MNT/db" .dump | sql "$MNT/restored"
	sql "$MNT/db" VACUUM
	local copy
	for copy in db vacuumed backup restored; do
		intact "$MNT/$copy"
		[ "$(digest "$MNT/$copy")" = "$wanted" ]
	done
}
