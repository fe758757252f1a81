#!/usr/bin/env bats
# A backing that does not answer: another mount, whose daemon is stopped. Programs that are killed while they wait for it leave,
# those that are not killed wait, and it is all as it was when it answers again. Where only some calls are to hang, a tracer holds
# them up.
load ../helper
load common

setup() {
	need_root
	make_backing bottom
	MNT=$BATS_TEST_TMPDIR/low
	head -c 1M /dev/urandom >"$BACKING/file"
	mkdir "$BACKING/dir" "$BACKING/other"
	echo second >"$BACKING/second"
	mount_zcfs
	low=$(daemons)
	BACKING=$BATS_TEST_TMPDIR/low MNT=$BATS_TEST_TMPDIR/mnt
}

teardown() {
	kill -CONT "$low" 2>/dev/null || true
	[[ -z ${tracer-} ]] || kill -KILL "$tracer" 2>/dev/null || true
	[[ -z ${programs-} ]] || kill -KILL "${programs[@]}" 2>/dev/null || true
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

# waits PID: in the kernel, for an answer, or for somebody who waits for one. Twice, since these are waited for at start-up as well.
waits() {
	local i
	for i in 1 2; do
		[[ $(<"/proc/$1/wchan") =~ ^(request_wait_answer|rwsem_|folio_wait|d_alloc_parallel|lookup_slow) ]] || return
		((i == 2)) || sleep 0.3
	done
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }

start() {
	"$@" >/dev/null 2>&1 3>&- &
	programs+=($!)
}

# One worker is all there is: the others' requests are not even received. The test's own shell has nothing open there, for its
# children would wait at their end, closing it.
@test "killed programs leave a backing that hangs, whatever they asked of it, also when no worker is left" {
	local program
	programs=()
	mount_zcfs threads=1,attr_timeout=0,entry_timeout=0
	kill -STOP "$low"
	start dd if="$MNT/file" of=/dev/null bs=64K iflag=direct
	wait_until waits "${programs[0]}"
	start stat "$MNT/file"
	start cat "$MNT/file"
	start ls "$MNT/dir"
	start touch "$MNT/made"
	start mv "$MNT/dir" "$MNT/moved"
	start dd if=/dev/zero of="$MNT/new" bs=4K count=1 conv=fsync
	for program in "${programs[@]}"; do wait_until waits "$program"; done
	kill -KILL "${programs[@]}"
	for program in "${programs[@]}"; do wait_until is_gone "$program"; done
	programs=()
	kill -CONT "$low"
	cmp "$MNT/file" "$BATS_TEST_TMPDIR/bottom/file"
	echo again >"$MNT/after"
	[ "$(<"$BATS_TEST_TMPDIR/bottom/after")" = again ]
}

@test "killed one after the other, each while its request is served by a worker of its own" {
	local program
	programs=()
	mount_zcfs attr_timeout=0,entry_timeout=0
	cat "$MNT/file" >/dev/null
	kill -STOP "$low"
	start dd if="$MNT/file" of=/dev/null bs=64K iflag=direct
	start stat "$MNT/other"
	start ls "$MNT/dir"
	start cat "$MNT/second"
	for program in "${programs[@]}"; do wait_until waits "$program"; done
	for program in "${programs[@]}"; do
		kill -KILL "$program"
		wait_until is_gone "$program"
	done
	programs=()
	kill -CONT "$low"
	ls "$MNT"
}

@test "a program that was killed while it changes something is not gone before that is done" {
	programs=()
	mount_zcfs attr_timeout=60,entry_timeout=60
	[ ! -e "$MNT/dir/made" ] # which the kernel remembers, so that it asks for nothing but the directory
	kill -STOP "$low"
	start mkdir "$MNT/dir/made"
	wait_until waits "${programs[0]}"
	kill -KILL "${programs[0]}"
	sleep 2.5 # two ticks of the watching thread
	waits "${programs[0]}"
	kill -CONT "$low"
	wait_until is_gone "${programs[0]}"
	programs=()
	[ -d "$BATS_TEST_TMPDIR/bottom/dir/made" ]
}

@test "a signal that does not kill leaves the request alone: no EINTR from a regular file" {
	mount_zcfs
	kill -STOP "$low"
	# By libc's own pread: Python's would try again after EINTR.
	python3 - "$MNT/file" 3>&- <<-'PROGRAM' &
		import ctypes, os, signal, sys
		handled = []
		signal.signal(signal.SIGTERM, lambda *_: handled.append(1))
		fd = os.open(sys.argv[1], os.O_RDONLY)
		got = ctypes.CDLL(None, use_errno=True).pread(fd, ctypes.create_string_buffer(65536), 65536, 0)
		sys.exit(0 if got == 65536 and handled else f"{got} bytes, errno {ctypes.get_errno()}, {len(handled)} signals")
	PROGRAM
	programs=($!)
	wait_until waits "${programs[0]}"
	kill -TERM "${programs[0]}"
	sleep 2.5 # two ticks of the watching thread
	waits "${programs[0]}"
	kill -CONT "$low"
	wait "${programs[0]}"
	programs=()
}

# From now on the daemon's reads of the file do not return, until answer_reads.
hang_reads() {
	strace -f -p "$daemon" -P "$1" -e trace=pread64 -e inject=pread64:delay_enter=1000000000 -o /dev/null 2>/dev/null 3>&- &
	tracer=$!
	wait_until is_traced "$daemon"
}

# Its tracer's end lets a call go on.
answer_reads() {
	kill -KILL "$tracer"
	wait "$tracer" || true
	tracer=
}

# has_open PID FILE
has_open() {
	local fd
	for fd in "/proc/$1/fd"/*; do
		[[ $(readlink "$fd") != "$2" ]] || return 0
	done
	return 1
}

invalidation_waits() {
	local task
	for task in /proc/"$daemon"/task/*; do
		[[ $(<"$task/comm") != zcfs-notify || $(<"$task/wchan") != *folio* ]] || return 0
	done
	return 1
}

# A READ that hangs, of a file of whose pages the kernel is to drop all: something has been appended underneath, and then the
# writer's O_DIRECT append is not where the kernel thinks. The writer has its file open before, for that is invalidation as well.
make_invalidation_wait() {
	need_tool strace
	programs=()
	mount_zcfs path=copy,attr_timeout=60
	daemon=$(daemons "$MNT")
	mkfifo "$BATS_TEST_TMPDIR/input"
	exec 7<>"$BATS_TEST_TMPDIR/input"
	start dd if="$BATS_TEST_TMPDIR/input" of="$MNT/file" bs=4K count=1 iflag=fullblock oflag=append,direct conv=notrunc
	writer=$!
	wait_until has_open "$writer" "$MNT/file"
	hang_reads "$BACKING/file"
	start dd if="$MNT/file" of=/dev/null bs=4K count=1
	reader=$!
	wait_until waits "$reader"
	head -c 4096 /dev/zero >>"$BACKING/file"
	head -c 4096 /dev/zero >&7
	wait_until invalidation_waits
	waits "$writer"
}

@test "a program whose write has been carried out, but waits for a page that is being read, leaves when it is killed" {
	make_invalidation_wait
	kill -KILL "$writer"
	wait_until is_gone "$writer"
	waits "$reader"
	invalidation_waits
	answer_reads
	wait "$reader"
	programs=()
	[ "$(stat -c %s "$BATS_TEST_TMPDIR/bottom/file")" -eq $((1024 * 1024 + 8192)) ]
	cmp "$MNT/file" "$BATS_TEST_TMPDIR/bottom/file"
}

@test "while a write waits for a page that is being read, those of other files go on" {
	make_invalidation_wait
	start tail -f "$MNT/second" # through the cache, so that a write past it invalidates
	wait_until has_open $! "$MNT/second"
	start dd if=/dev/zero of="$MNT/second" bs=4K count=1 oflag=direct conv=notrunc
	wait_until is_gone $!
	cmp -n 4096 "$MNT/second" /dev/zero
	waits "$writer"
	invalidation_waits
	answer_reads
	wait "$writer"
	wait "$reader"
	cmp "$MNT/file" "$BATS_TEST_TMPDIR/bottom/file"
}

@test "a daemon that is told to end lets go who waits for a page that is being read, and ends when the backing answers" {
	make_invalidation_wait
	kill -TERM "$daemon"
	WAIT_S=30 wait_until is_gone "$writer"
	wait_until is_gone "$reader"
	programs=()
	[ "$(daemons "$MNT")" = "$daemon" ]
	answer_reads
	wait_until no_daemons "$MNT"
	not_mounted
}

# switches PID: of its threads by name, which a sanitizer's own has not.
switches() {
	cat /proc/"$1"/task/*/status | awk '
		$1 == "Name:" { is_ours = $2 ~ /^zcfs-/ }
		is_ours && /^voluntary_ctxt_switches/ { n += $2; threads++ }
		END { if (threads < 3) exit 1; print n }'
}

is_asleep() {
	local before
	before=$(switches "$1")
	sleep 2.2 # two ticks of the watching thread
	[ "$(switches "$1")" -eq "$before" ]
}

@test "a mount that nobody uses wakes no thread" {
	mount_zcfs
	cmp "$MNT/file" "$BACKING/file"
	local daemon
	daemon=$(daemons "$MNT")
	WAIT_S=30 wait_until is_asleep "$daemon"
}
