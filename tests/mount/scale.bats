#!/usr/bin/env bats
# Many files: known ones cost no descriptors beyond a bound, open ones are as many as the limit lets the daemon have.
load ../helper
load common

# fds: how many descriptors the daemon has.
fds() {
	local pid
	pid=$(daemons)
	find "/proc/$pid/fd" -mindepth 1 -maxdepth 1 | wc -l
}

# limited_mount SOFT HARD: the daemon starts under those limits of descriptors.
limited_mount() { (ulimit -Sn "$1" && ulimit -Hn "$2" && mount_zcfs); }

@test "30,000 known files under a limit of 1,024 descriptors" {
	make_backing
	limited_mount 1024 1024
	mkdir "$BACKING"/d{0..9}
	local i
	for i in {0..9}; do
		(cd "$BACKING/d$i" && seq -f 'f%g' 3000 | split -l 1 -a 4 -d - f)
	done
	[ "$(find "$MNT" -type f -size +0 | wc -l)" -eq 30000 ]
	expect_that "$(fds)" '<=' 1024
	cmp <(cd "$MNT" && find . -type f -exec cat {} + | sort) <(cd "$BACKING" && find . -type f -exec cat {} + | sort)
	expect_that "$(fds)" '<=' 1024
	expect "$MNT" open.buffered=30000
	chmod -R g+w "$MNT/d0"
	for i in {1..9}; do mv "$MNT/d$i/f0000" "$MNT/d0/moved$i"; done
	[ "$(cat "$MNT"/d0/moved* | wc -l)" -eq 9 ]
	rm -r "$MNT"/d?
	[ -z "$(ls "$BACKING")" ]
	expect_that "$(fds)" '<=' 1024
}

@test "5,000 files open at once" {
	(($(ulimit -Hn) > 6000)) || skip 'the hard limit of descriptors is too low'
	make_backing
	limited_mount 1024 "$(ulimit -Hn)" # the daemon raises the soft limit itself
	(ulimit -Sn 6000 && tool fsop openmany "$MNT" 5000)
	[ "$(cat "$BACKING/4999")" = 4999 ]
	expect "$MNT" open.buffered=5000 write.ops=5000
	expect_that "$(fds)" '<=' 5200
}

@test "more open files than the limit: EMFILE for the surplus, the rest goes on" {
	make_backing
	limited_mount 256 256
	run -1 bash -c "ulimit -Sn 6000; '$ZCFS_TOOLS/fsop' openmany '$MNT' 1000"
	[[ $output == *'Too many open files'* || $output == *EMFILE* || $output == *ENFILE* ]] || fail_with "it said: $output"
	echo fine >"$MNT/fine"
	[ "$(cat "$MNT/fine")" = fine ]
	[ "$(cat "$BACKING/fine")" = fine ]
}

@test "a tree of 200 levels" {
	mount_zcfs
	local deep
	deep=$(printf 'dir/%.0s' {1..200})
	mkdir -p "$MNT/$deep"
	echo deep >"$MNT/${deep}f"
	[ "$(cat "$BACKING/${deep}f")" = deep ]
	mv "$MNT/dir/dir" "$MNT/other"
	[ "$(cat "$MNT/other/${deep#dir/dir/}f")" = deep ]
}

@test "many threads of programs at once, more than workers" {
	mount_zcfs threads=3
	local i pids=()
	for i in {1..24}; do
		(head -c 300000 /dev/urandom >"$MNT/$i" && cmp "$MNT/$i" "$BACKING/$i") &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	expect "$MNT" write.bytes=7200000
	[ "$(cat /proc/"$(daemons)"/task/*/comm | grep -c zcfs-worker)" -le 3 ]
}
