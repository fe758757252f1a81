# shellcheck shell=bash
# For tests of the data paths: the tools of tests/tools, expectations on a ledger, and the observers that know better than
# the ledger: strace on the daemon, cachestat(2). `load common` after `load ../helper`.

: "${ZCFS_TOOLS:=$ZCFS_BUILD/tests/tools}"

# tool NAME ARGUMENT...
tool() {
	local name=$1
	shift
	"$ZCFS_TOOLS/$name" "$@"
}

fail_with() {
	printf '%s\n' "$*" >&2
	return 1
}

# expect FILE NAME=VALUE...: the ledger says so.
expect() {
	local file=$1 pair got bad=0
	shift
	for pair; do
		got=$(ledger "$file" "${pair%%=*}")
		if [[ $got != "${pair#*=}" ]]; then
			echo "ledger of $file: ${pair%%=*} is $got, not ${pair#*=}" >&2
			bad=1
		fi
	done
	return "$bad"
}

# expect_that LEFT OP RIGHT: like ((...)), and says what was wrong.
expect_that() {
	# shellcheck disable=SC2086,SC1105 # an operator
	(($1 $2 $3)) && return
	fail_with "not so: $1 $2 $3"
}

# ledger_json FILE [JQ FILTER]
ledger_json() { ledger "$1" stats.json | jq -r "${2:-.}"; }

# The backing must be a filesystem whose O_DIRECT reaches a device.
need_disk() {
	mkdir -p "${BACKING:-$BATS_TEST_TMPDIR/backing}"
	case $(stat -f -c %T "${BACKING:-$BATS_TEST_TMPDIR/backing}") in
	tmpfs | overlayfs) skip "$BATS_TEST_TMPDIR is on no disk" ;;
	esac
}

# zeros FILE SIZE: really written, and not left in the page cache.
zeros() {
	local blocks=$(($(numfmt --from=iec "$2") / 65536))
	dd if=/dev/zero of="$1" bs=64K count="$blocks" oflag=direct conv=notrunc status=none
}

# make_backing [DIRECTORY]: BACKING, before it is mounted, and MNT.
make_backing() {
	# shellcheck disable=SC2034 # for helper.bash and the tests
	BACKING=$BATS_TEST_TMPDIR/${1:-backing} MNT=$BATS_TEST_TMPDIR/mnt
	mkdir -p "$BACKING"
}

# overmount_zcfs [OPTIONS]: BACKING is its own mountpoint.
overmount_zcfs() {
	# shellcheck disable=SC2034 # for helper.bash and the tests
	MNT=$BACKING
	mount_zcfs "$@"
}

# fails WHY COMMAND...: it does, and says why.
fails() {
	local why=$1 said
	shift
	if said=$("$@" 2>&1) || [[ $said != *"$why"* ]]; then
		fail_with "should have failed with '$why', said: $said"
	fi
}

# public_mount [OPTIONS]: mount_zcfs with directories that every user can reach.
public_mount() {
	need_root
	PUBLIC=$(mktemp -d /tmp/zcfs-user-XXXXXX)
	echo "$PUBLIC" >>"$BATS_TEST_TMPDIR/user_dirs" # teardown removes it
	chmod 755 "$PUBLIC"
	cp "$ZCFS_TOOLS/fsop" "$PUBLIC"
	# shellcheck disable=SC2034 # for helper.bash and the tests
	BACKING=$PUBLIC/backing MNT=$PUBLIC/mnt
	mount_zcfs "$@"
}

# as_uid UID GID GROUPS COMMAND...: GROUPS is a list with commas, or empty.
as_uid() {
	local uid=$1 gid=$2 groups=--clear-groups
	[[ -z $3 ]] || groups=--groups=$3
	shift 3
	setpriv --reuid="$uid" --regid="$gid" "$groups" "$@"
}

is_traced() {
	local status key value
	for status in /proc/"$1"/task/*/status; do
		while read -r key value; do
			[[ $key != TracerPid: || $value != 0 ]] || return 1
		done <"$status"
	done
}

# trace_daemon [STRACE OPTION]...: from now on every call of the daemon on a descriptor is written down, a file a thread.
trace_daemon() {
	need_root
	need_tool strace
	local pid
	pid=$(daemons)
	rm -rf "$BATS_TEST_TMPDIR/trace"
	mkdir "$BATS_TEST_TMPDIR/trace"
	strace -ff -y "$@" -e trace=%desc -o "$BATS_TEST_TMPDIR/trace/t" -p "$pid" 2>/dev/null 3>&- &
	STRACE_PID=$!
	wait_until is_traced "$pid"
}

end_trace() {
	[[ ${STRACE_PID-} ]] || return 0
	kill -INT "$STRACE_PID" 2>/dev/null || true
	wait "$STRACE_PID" || true
	STRACE_PID=
}

# moved CALLS PATTERN [LEAST]: the bytes that those calls (separated by |) returned in the trace, of lines that match the
# extended regular expression, counting calls of LEAST bytes at least.
moved() {
	cat "$BATS_TEST_TMPDIR"/trace/t.* | awk -v calls="^($1)\\\\(" -v pattern="$2" -v least="${3:-0}" '
		$0 ~ calls && $0 ~ pattern && $(NF - 1) == "=" && $NF >= least { sum += $NF }
		END { printf "%d\n", sum }'
}

# cached FILE|DESCRIPTOR: how many of its pages are cached.
cached() {
	local status=0 out
	out=$(tool cachestat "$1") || status=$?
	((status != 3)) || skip 'this kernel has no cachestat(2)'
	((status == 0)) || return 1
	echo "${out% *}"
}
