#!/usr/bin/env bats
# The counters are exact: they equal fio's totals, the program's call counts, and what strace sees.
load ../helper
load common

setup() { need_tool jq getfattr; }

teardown() {
	end_trace
	cleanup_users
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

# adds_up FILE: the ways add up to the bytes, the histograms to the requests.
adds_up() {
	ledger_json "$1" | jq -e '. as $all | ["read", "write"] | all(
		. as $kind |
		([$all | to_entries[] | select(.key | test("^" + $kind + "\\.[a-z_]+_bytes$")).value] | add) ==
			$all[$kind + ".bytes"] and
		([".latency", ".size"] | map($all[$kind + .]) |
			all(.count == $all[$kind + ".ops"] and ([.buckets[][1]] | add // 0) == .count)))' >/dev/null ||
		fail_with "$(ledger "$1" stats)"
}

# job RW BLOCK DIRECT: adds to fio's command line a job on a file of its own; all of them run at once.
fio_jobs=()
job() {
	local name=$1-$2-$3
	zeros "$BACKING/$name" 4M
	fio_jobs+=(--name="$name" --filename="$MNT/$name" --size=4M --rw="$1" --bs="$2" --direct="$3" --ioengine=psync
		--iomem_align=4096 --invalidate=0)
}

# fio_agrees JSON NAME: on the reads and writes of that job.
fio_agrees() {
	local fio zcfs
	fio=$(jq -r --arg n "$2" '.jobs[] | select(.jobname == $n)[("read", "write")] | .total_ios, .io_bytes' "$1")
	zcfs=$(ledger_json "$MNT/$2" '.["read.ops", "read.bytes", "write.ops", "write.bytes"]')
	[[ $fio == "$zcfs" ]] || fail_with "$2: fio has: $fio; the ledger: $zcfs"
	adds_up "$MNT/$2"
}

fio_all() {
	need_tool fio
	need_disk
	mount_zcfs "$1"
	local rw bs direct json=$BATS_TEST_TMPDIR/fio.json file
	for rw in read write randrw; do
		for bs in 4k 512k; do
			for direct in 0 1; do job $rw $bs $direct; done
		done
	done
	job randrw 3001 0
	fio --thread --output-format=json --output="$json" "${fio_jobs[@]}" >/dev/null
	for file in "$MNT"/*; do fio_agrees "$json" "${file##*/}"; done
	expect "$MNT" "read.bytes=$(jq '[.jobs[].read.io_bytes] | add' "$json")" \
		"write.ops=$(jq '[.jobs[].write.total_ios] | add' "$json")"
}

@test "totals equal fio's, by auto" { fio_all path=auto,cache=none; }
@test "totals equal fio's, by splice" { fio_all path=splice,cache=none; }
@test "totals equal fio's, by copy" { fio_all path=copy,cache=none; }
@test "totals equal fio's, by direct" { fio_all path=direct,cache=none; }

@test "dd's calls are counted one by one, and which follow each other" {
	need_disk
	mount_zcfs path=auto
	dd if=/dev/zero of="$MNT/f" bs=4096 count=100 oflag=direct conv=fsync status=none
	expect "$MNT/f" write.ops=100 write.bytes=409600 write.direct_bytes=409600 write.sequential_ops=99 \
		dma.bytes=409600 fsync.ops=1 fdatasync.ops=0 fsync.errors=0 open.direct=1 open.buffered=0
	dd if="$MNT/f" of=/dev/null bs=8192 count=50 iflag=direct status=none
	expect "$MNT/f" read.ops=50 read.bytes=409600 read.sequential_ops=49 open.direct=2
	tool fileio "open A $MNT/f rdonly,direct" 'r A 64K 4K 0' 'r A 0 4K 0' 'r A 4K 8K 0' 'r A 16K 4K 0' 'r A 20K 4K 0'
	expect "$MNT/f" read.ops=55 read.sequential_ops=51 open.direct=3
	ledger_json "$MNT/f" | jq -e '.["fsync.latency"].count == 1 and .["write.size"].buckets == [[4096, 100]] and
		.["read.size"].buckets == [[4096, 4], [8192, 51]]'
	adds_up "$MNT/f"
}

@test "fsync, fdatasync and opens are counted, per open file" {
	mount_zcfs
	tool fileio "open A $MNT/f rdwr,creat" 'w A 0 10 1' 'fsync A' 'fdatasync A' 'fdatasync A' "open B $MNT/f rdonly" \
		"open C $MNT/f rdwr,direct" 'fsync C'
	expect "$MNT/f" fsync.ops=2 fdatasync.ops=2 open.buffered=2 open.direct=1
	ledger_json "$MNT/f" '.["fsync.latency"].count' | grep -qx 4
}

# calls_of_data: the daemon's calls that served READs (opcode 15) and WRITEs (16): per thread, from the receipt of one by
# read(2) up to the reply, both included, but for the memory of a thread that is started meanwhile. Strings in the trace are
# hexadecimal.
calls_of_data() {
	local fuse='\\x2f\\x64\\x65\\x76\\x2f\\x66\\x75\\x73\\x65'
	cat "$BATS_TEST_TMPDIR"/trace/t.* | awk -v fuse="<$fuse>" '
		/^read\(/ && index($0, fuse) && $NF > 40 {
			split($0, part, "\"")
			code = substr(part[2], 17, 4)
			is_data = code == "\\x0f" || code == "\\x10"
		}
		is_data && !/^mmap\(/ { calls++ }
		is_data && /^(write|writev|splice)\(/ && index($0, fuse) { is_data = 0 }
		END { print calls + 0 }'
}

@test "syscalls equals strace's count for O_DIRECT 4K reads and writes, misaligned ones included" {
	need_disk
	mount_zcfs path=auto
	zeros "$BACKING/f" 1M
	trace_daemon -xx -s 8
	tool fileio "open A $MNT/f rdwr,direct" 'r A 0 4K 0' 'r A 64K 4K 0' 'w A 8K 4K 1' 'w A 12K 4K 1' \
		'!EINVAL r A 1 100 0' '!EINVAL w A 1 100 0' 'r A 12K 4K 1'
	end_trace
	expect_that "$(calls_of_data)" == "$(ledger "$MNT/f" syscalls)"
	expect "$MNT/f" syscalls=21 read.ops=4 write.ops=3 dio.misaligned=2
}

@test "syscalls equals strace's count for small reads and writes by copy" {
	mount_zcfs path=copy,cache=none
	zeros "$BACKING/f" 1M
	trace_daemon -xx -s 8
	dd if="$MNT/f" of=/dev/null bs=4K count=100 status=none
	dd if=/dev/zero of="$MNT/f" bs=4K count=100 conv=notrunc status=none
	end_trace
	expect_that "$(calls_of_data)" == "$(ledger "$MNT/f" syscalls)"
	expect "$MNT/f" syscalls=600 read.ops=100 write.ops=100
}

@test "syscalls equals strace's count for large reads by splice" {
	mount_zcfs path=splice,cache=none
	zeros "$BACKING/f" 8M
	trace_daemon -xx -s 8
	dd if="$MNT/f" of=/dev/null bs=256K count=32 status=none
	end_trace
	# Between receipt and reply there are also a write of the header and splices, none of them to /dev/fuse.
	expect_that "$(calls_of_data)" == "$(ledger "$MNT/f" syscalls)"
}

# copies OPTIONS DD_FLAG READ WRITE: CPU copies a byte, in the table of KERNEL-FACTS; the last that went by the named way.
copies() {
	local options=$1 flag=$2 read=$3 write=$4
	mount_zcfs "$options"
	dd if=/dev/zero of="$BACKING/f" bs=1M count=4 status=none
	dd if="$MNT/f" of=/dev/null bs=256K count=16 ${flag:+iflag=$flag} status=none
	# bytes that fell below the threshold of splice were copied: 2 by the daemon for 1 by the kernel
	local spill=0
	if [[ $options == *splice* ]]; then spill=$(ledger "$MNT/f" read.copy_bytes); fi
	expect "$MNT/f" read.bytes=4194304 "copy.total_bytes=$((read * 4194304 + spill))"
	zcfs reset "$MNT/f"
	dd if=/dev/zero of="$MNT/f" bs=256K count=16 ${flag:+oflag=$flag} conv=notrunc status=none
	if [[ $options == *splice* ]]; then
		spill=$(ledger "$MNT/f" write.copy_bytes)
		[[ $options != *none* ]] || spill=0 # 2 either way
	fi
	expect "$MNT/f" write.bytes=4194304 "copy.total_bytes=$((write * 4194304 + spill))"
	umount_zcfs
	rm "$BACKING/f"
}

@test "copy.total_bytes follows the table of copies, path by path, cached and not" {
	need_disk
	copies path=splice,cache=kernel '' 2 2
	copies path=splice,cache=none '' 1 2
	copies path=copy,cache=kernel '' 3 3
	copies path=copy,cache=none '' 2 2
	copies path=direct,cache=kernel '' 1 1
	copies path=direct,cache=none '' 1 1
	copies path=auto direct 1 1
}

@test "write-back of a mapping is counted once, and as no copy of the program's" {
	mount_zcfs path=copy
	tool fileio "open A $MNT/f rdwr,creat" 'trunc A 1M' 'map A 1M shared' 'ms A 0 1M 3' 'msync A'
	expect "$MNT/f" write.bytes=1048576 write.copy_bytes=1048576 copy.user_bytes=$((2 * (1048576 + $(ledger "$MNT/f" read.bytes))))
	adds_up "$MNT/f"
}

@test "copy_file_range is counted apart" {
	mount_zcfs
	tool fileio "open A $BACKING/a rdwr,creat" 'w A 0 1M 2'
	tool fileio "open A $MNT/a rdonly" "open B $MNT/b rdwr,creat" 'cfr A 0 B 0 1M'
	cmp "$BACKING/a" "$BACKING/b"
	expect "$MNT/b" copy_range.bytes=1048576 write.bytes=0 copy.user_bytes=0
	expect "$MNT/a" read.bytes=0
}
