# shellcheck shell=bash
# What the bats files share: the CLI of the build under test, a mount of the test's own that is gone when the
# test ends, however it ends, and questions to its ledger. `load ../helper` in a .bats file.
#
#   ZCFS_BUILD   the build directory, default build/ of this tree
#   BACKING MNT  set by mount_zcfs; set them before to choose other directories below BATS_TEST_TMPDIR

bats_require_minimum_version 1.5.0

: "${ZCFS_SRC:=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}"
: "${ZCFS_BUILD:=$ZCFS_SRC/build}"
export ZCFS_SRC ZCFS_BUILD

# The CLI. Descriptor 3 is bats': a daemon that kept it would keep bats waiting. What a sanitizer finds in a
# daemon, whose stderr is closed, goes to files that no_findings reads.
zcfs() {
	local log=:log_path=${BATS_TEST_TMPDIR:-/tmp}/finding
	ASAN_OPTIONS=${ASAN_OPTIONS-}$log UBSAN_OPTIONS=${UBSAN_OPTIONS-}$log TSAN_OPTIONS=${TSAN_OPTIONS-}$log \
		"$ZCFS_BUILD/cli/zcfs" "$@" 3>&-
}

# Fails, showing it, if a sanitizer had something to say.
no_findings() {
	local file
	for file in "$BATS_TEST_TMPDIR"/finding.*; do
		[[ -e $file ]] || return 0
		cat "$file" >&2
	done
	return 1
}

# Skips the test where no mount is possible at all.
need_fuse() { [[ -c /dev/fuse ]] || skip 'no /dev/fuse here'; }

need_root() { ((EUID == 0)) || skip 'needs root'; }

# need_tool NAME...: skips the test where a program is missing.
need_tool() {
	local name
	for name; do
		command -v "$name" >/dev/null || skip "no $name here (packaging/check installs it)"
	done
}

# BACKING with one file in it, and MNT, for tests that do the mounting themselves.
prepare_file() {
	need_fuse
	BACKING=$BATS_TEST_TMPDIR/backing MNT=$BATS_TEST_TMPDIR/mnt
	mkdir -p "$BACKING" "$MNT"
	echo hello >"$BACKING/file"
}

# mount_zcfs [OPTIONS]: mounts BACKING on MNT, made if need be below BATS_TEST_TMPDIR.
mount_zcfs() {
	need_fuse
	: "${BACKING:=$BATS_TEST_TMPDIR/backing}" "${MNT:=$BATS_TEST_TMPDIR/mnt}"
	mkdir -p "$BACKING" "$MNT"
	zcfs mount ${1:+-o "$1"} "$BACKING" "$MNT"
}

# mount_foreground [OPTIONS]: what prepare_file made; sets pid, a child's. The signals are as a shell's background job has them,
# SIGINT ignored.
mount_foreground() {
	"$ZCFS_BUILD/cli/zcfs" mount -f ${1:+-o "$1"} "$BACKING" "$MNT" 3>&- &
	# shellcheck disable=SC2034 # for the tests
	pid=$!
	wait_until is_mounted "$MNT"
	wait_until serves
}

# The mount answers with what prepare_file made.
serves() { [[ $(<"$MNT/file") == hello ]]; }

# with_shim COMMAND...: what it starts meets tests/tools/failshim.c; RULES is the file of its rules, empty unless there is one.
with_shim() {
	need_tool cc
	local shim=$BATS_TEST_TMPDIR/failshim.so sanitizer
	RULES=$BATS_TEST_TMPDIR/rules
	: >>"$RULES"
	cc -shared -fPIC -O1 -D_GNU_SOURCE -o "$shim" "$ZCFS_SRC/tests/tools/failshim.c"
	# A sanitizer's runtime has to come first.
	sanitizer=$(ldd "$ZCFS_BUILD/fs/zcfsd" | sed -n 's/.*=> \(.*lib[at]san[^ ]*\) .*/\1/p')
	ZCFS_FAIL=$RULES LD_PRELOAD=${sanitizer:+$sanitizer:}$shim "$@"
}

# umount_zcfs [MOUNTPOINT]: as a user would, and waits for the daemon.
umount_zcfs() { zcfs umount "${1:-$MNT}"; }

# ledger FILE NAME: one value, as `ledger "$MNT/a" read.bytes`.
ledger() { getfattr --only-values --absolute-names -n "user.zcfs.$2" "$1"; }

# wait_until COMMAND...: until it succeeds, at most WAIT_S (10) seconds.
wait_until() {
	local end=$((SECONDS + ${WAIT_S:-10}))
	until "$@"; do
		if ((SECONDS >= end)); then
			printf 'not within %s s: %s\n' "${WAIT_S:-10}" "$*" >&2
			return 1
		fi
		sleep 0.02
	done
}

# Nothing of any file stays in the page cache (kernel-wide: root only).
drop_caches() {
	need_root
	sync
	echo 3 >/proc/sys/vm/drop_caches
}

# is_mounted DIRECTORY: whether something is mounted exactly there; asks only mountinfo.
is_mounted() { mounts_below "$1" | grep -qxF -- "$1"; }

not_mounted() { ! is_mounted "${1:-$MNT}"; }

# mounts_below DIRECTORY: the mountpoints there and below, the last mounted first.
mounts_below() {
	local words target
	while read -ra words; do
		printf -v target '%b' "${words[4]//\\/\\0}"
		case $target/ in "$1"/*) printf '%s\n' "$target" ;; esac
	done </proc/self/mountinfo | tac
}

# The pids of the daemons that serve directories below DIRECTORY (default: the test's own).
daemons() {
	local proc comm args
	for proc in /proc/[0-9]*; do
		{ read -r comm <"$proc/comm" && [[ $comm == zcfsd ]] &&
			mapfile -d '' -t args <"$proc/cmdline"; } 2>/dev/null || continue
		case ${args[*]} in *"${1:-$BATS_TEST_TMPDIR}"*) printf '%s\n' "${proc#/proc/}" ;; esac
	done
}

no_daemons() { [[ -z $(daemons "$@") ]]; }

kill_daemons() {
	local pid
	for pid in $(daemons "$1"); do
		kill -KILL "$pid" 2>/dev/null
	done
	return 0
}

# cleanup_zcfs [DIRECTORY]: ends what the test mounted there, gently first, then by force. What a daemon does not answer cannot
# be killed before it: by SIGKILL timeout(1) leaves it alone, by any other signal it would wait for it.
cleanup_zcfs() {
	local dir=${1:-$BATS_TEST_TMPDIR} target
	cd / || return
	while IFS= read -r target; do
		timeout -s KILL 30 "$ZCFS_BUILD/cli/zcfs" umount "$target" 2>/dev/null 3>&- && continue
		timeout -s KILL 30 umount "$target" 2>/dev/null && continue
		kill_daemons "$dir" # which aborts their connections
		umount -f "$target" 2>/dev/null && continue
		fusermount3 -uz "$target" 2>/dev/null || umount -l "$target"
	done < <(mounts_below "$dir")
	WAIT_S=5 wait_until no_daemons "$dir" 2>/dev/null || kill_daemons "$dir"
}

# Removes what as_user made.
cleanup_users() {
	local dir
	[[ -e $BATS_TEST_TMPDIR/user_dirs ]] || return 0
	while IFS= read -r dir; do
		cleanup_zcfs "$dir"
		rm -rf --one-file-system -- "$dir"
	done <"$BATS_TEST_TMPDIR/user_dirs"
}

# A bats file with a teardown of its own calls all three there.
teardown() {
	cleanup_users
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

# fails_with STATUS PATTERN COMMAND...: it fails so, prints nothing but one line on stderr, and the
# line matches the glob.
fails_with() {
	local status_wanted=$1 pattern=$2 out err got=0
	shift 2
	err=$BATS_TEST_TMPDIR/stderr
	out=$("$@" 2>"$err") || got=$?
	local line
	line=$(<"$err")
	# shellcheck disable=SC2053 # a glob it is
	if [[ $got -eq $status_wanted && -z $out && $line != *$'\n'* && $line == $pattern ]]; then
		return 0
	fi
	printf 'wanted status %s and one line like: %s\ngot status %s, stdout: %s\nstderr: %s\n' \
		"$status_wanted" "$pattern" "$got" "$out" "$line" >&2
	return 1
}

# in_namespace SCRIPT [ARGUMENT]...: bash in a mount namespace of its own, as root.
in_namespace() {
	need_root
	local script=$1
	shift
	unshare --mount --propagation private bash -c "$script" bash "$@" 3>&-
}

# as_user SCRIPT: bash as an unprivileged user in a directory of its own, with backing/ and mnt/ made and
# ZCFS_BUILD a copy that the user can reach; /dev/fuse is one that the user may open.
as_user() {
	need_root
	need_fuse
	local user_dir
	user_dir=$(mktemp -d /tmp/zcfs-user-XXXXXX)
	echo "$user_dir" >>"$BATS_TEST_TMPDIR/user_dirs" # teardown removes it
	mkdir -p "$user_dir"/{backing,mnt,build/cli,build/fs}
	cp "$ZCFS_BUILD/cli/zcfs" "$user_dir/build/cli/"
	cp "$ZCFS_BUILD/fs/zcfsd" "$user_dir/build/fs/"
	mknod -m 666 "$user_dir/fuse" c 10 229
	chown -R nobody "$user_dir"
	local status=0
	# shellcheck disable=SC2016 # expanded inside
	in_namespace '
		mount --bind "$1/fuse" /dev/fuse && cd "$1" || exit 125
		status=0
		ZCFS_BUILD=$1/build setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups \
			bash -c "PATH=\$ZCFS_BUILD/cli:\$PATH; $2" || status=$?
		fusermount3 -uz "$1/mnt" 2>/dev/null
		exit $status
	' "$user_dir" "$1" || status=$?
	return "$status"
}
