#!/usr/bin/env bats
# What was said to be written is there, and what could not be written is told: write-back that meets a full backing or a
# limit, and a mount that ends under writers of every kind.
load ../helper
load common

setup() {
	prepare_file
}

teardown() {
	[[ -z ${programs-} ]] || kill -KILL "${programs[@]}" 2>/dev/null || true
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

# writes_part ERRNO MEND: MNT/mapped is a hole of 2 MiB whose first 320 KiB can be written, but no more. Of a request that is
# written in part msync and fsync say ERRNO; after the shell command MEND it is written whole. By one worker, whom the first
# request teaches to receive the next ones by pipe.
writes_part() {
	tool fileio "open A $MNT/mapped rdwr" 'map A 2M shared' "open B $BACKING/mapped rdonly" \
		'ms A 0 128K 1' 'msync A' 'r B 0 128K 1' \
		'ms A 128K 400K 2' "!$1 msync A" 'ms A 128K 400K 3' "!$1 fsync A" 'mr A 128K 400K 3' \
		"sh $2" 'ms A 128K 400K 4' 'msync A' 'r B 0 128K 1' 'r B 128K 400K 4'
}

# The kernel gets the error of a backing that took a part and then none; where only the part is known it is EIO.
errno_of() { [[ $1 == direct || $1 == pool ]] && echo EIO || echo "$2"; }

@test "write-back that fits in part, the backing being full: msync and fsync say so" {
	need_root
	local path
	mount -t tmpfs -o size=1M tmpfs "$BACKING"
	for path in ${ZCFS_PATHS:-splice copy direct}; do
		mount_zcfs "path=$path,threads=1"
		truncate -s 2M "$BACKING/mapped"
		head -c $((1048576 - 327680)) /dev/zero >"$BACKING/rest"
		writes_part "$(errno_of "$path" ENOSPC)" "rm $BACKING/rest"
		umount_zcfs
		rm "$BACKING/mapped"
	done
}

@test "write-back that fits in part, the daemon having a file size limit: msync and fsync say so" {
	need_tool prlimit
	local path
	for path in ${ZCFS_PATHS:-splice copy direct}; do
		truncate -s 2M "$BACKING/mapped"
		(ulimit -S -f 320 && mount_zcfs "path=$path,threads=1")
		writes_part "$(errno_of "$path" EFBIG)" "prlimit --pid $(daemons) --fsize=unlimited:"
		umount_zcfs
		rm "$BACKING/mapped"
	done
}

# mixed_load: programs that use MNT/a and MNT/b in every way; returns when each has noted its fifth number.
mixed_load() {
	local file kind
	programs=()
	for file in a b; do
		truncate -s 256K "$BACKING/$file"
		truncate -s 4096 "$BATS_TEST_TMPDIR/notes-$file"
		for kind in 'buffered 0' 'direct 1' 'mapped 2' 'buffered 3' 'readers 4'; do
			# shellcheck disable=SC2086 # two words
			python3 "$ZCFS_SRC/tests/tools/mixedload.py" "$MNT/$file" "$BATS_TEST_TMPDIR/notes-$file" $kind 3>&- &
			programs+=($!)
		done
	done
	for file in a b; do WAIT_S=30 wait_until has_noted "$file"; done
}

has_noted() { [[ $(od -An -v -t u8 -w8 -N 32 "$BATS_TEST_TMPDIR/notes-$1" | awk '$1 > 5' | wc -l) -eq 4 ]]; }

has_ended() { [[ ! -e /proc/$1 ]]; }

# load_ends: each of its programs did, of the mount's end: with 0, or by SIGBUS for a mapping.
load_ends() {
	local program file status
	for program in "${programs[@]}"; do
		WAIT_S=20 wait_until has_ended "$program"
		status=0
		wait "$program" || status=$?
		((status == 0 || status == 128 + $(kill -l BUS))) || fail_with "a program ended with $status"
	done
	programs=()
	for file in a b; do
		python3 "$ZCFS_SRC/tests/tools/mixedload.py" "$BACKING/$file" "$BATS_TEST_TMPDIR/notes-$file" check 4
	done
}

@test "SIGTERM under writers and readers of every kind on the same files: the daemon ends with 0, what was synced is there" {
	need_disk
	need_tool python3
	local path
	for path in ${ZCFS_PATHS:-splice copy direct}; do
		mount_foreground "path=$path,threads=4"
		mixed_load
		# shellcheck disable=SC2154 # set by mount_foreground
		kill -TERM "$pid"
		WAIT_S=20 wait_until has_ended "$pid"
		wait "$pid" # its status is the test's
		not_mounted
		load_ends
	done
}

@test "an abort by umount -f under the same load" {
	need_root
	need_disk
	need_tool python3
	mount_foreground threads=4
	mixed_load
	umount -f "$MNT" || true # aborted first, then too busy to be unmounted
	WAIT_S=20 wait_until has_ended "$pid"
	wait "$pid"
	load_ends
}
