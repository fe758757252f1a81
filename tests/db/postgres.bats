#!/usr/bin/env bats
# PostgreSQL's data directory on the mount, by ZCFS_PATH, with page checksums, a crash and its recovery. meson leaves this
# out where there is no server (/usr/lib/postgresql). The server refuses to run as root: nobody runs it, by allow_other.
load ../helper

setup() {
	need_root
	need_tool setpriv
	bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | tail -n 1)
	[ -x "$bin/initdb" ] || skip 'no PostgreSQL server here'
}

# A server that outlives a failed test would keep the mount busy.
teardown() {
	cd /
	[[ ! -e $MNT/pg/postmaster.pid ]] || pg pg_ctl -D "$MNT/pg" -w -m immediate stop
	cleanup_zcfs "$BATS_TEST_TMPDIR"
}

as_nobody() { setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$@" 3>&-; }

pg() { as_nobody env PATH="$bin:$PATH" PGHOST="$MNT/pg" PGDATABASE=postgres "$@"; }

start() { pg pg_ctl -D "$MNT/pg" -w -o "-k '$MNT/pg' -h ''" -l "$MNT/pg/log" start >/dev/null; }

@test "PostgreSQL: initdb, pgbench, a crash and its recovery, checksums on the backing" {
	mount_zcfs "path=${ZCFS_PATH:-auto},allow_other"
	chmod 711 "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test"
	mkdir -m 700 "$MNT/pg"
	chown nobody "$MNT/pg"
	cd "$MNT"
	pg initdb -D "$MNT/pg" --data-checksums --no-sync >/dev/null
	start
	pg pgbench -q -i -s 2 2>/dev/null
	pg pgbench -c 4 -t 200 >/dev/null 2>&1
	pg pg_ctl -D "$MNT/pg" -w -m immediate stop >/dev/null
	start
	[ "$(pg psql -Atc 'SELECT count(*) FROM pgbench_history')" -eq 800 ]
	[ "$(pg psql -Atc 'SELECT sum(abalance) - (SELECT sum(delta) FROM pgbench_history) FROM pgbench_accounts')" -eq 0 ]
	pg pg_ctl -D "$MNT/pg" -w stop >/dev/null
	cd /
	zcfs umount "$MNT"
	pg pg_checksums -D "$BACKING/pg" --check | grep -q '^Bad checksums:  *0$'
}
