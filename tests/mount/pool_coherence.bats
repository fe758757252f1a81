#!/usr/bin/env bats
# With a buffer pool in between, every view of a file is one: handles on the pool, O_DIRECT ones, mappings, other data paths, other
# names, and what changes size or place of its pages, dirty ones being in the pool all the while. Write-through and write-back,
# with pages of every size; the steps end with a sync and a look underneath.
load ../helper
load common
load pool

teardown() {
	say_config
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

# steps STEP...: with A and B on the pool, D by O_DIRECT and U underneath, all of one file, of which 256K of pattern 1 are in the
# pool, and dirty with write-back. In a step @m is the mount, @b what is underneath.
steps() {
	STEPS=("$@")
	each_pool carry_out
}

carry_out() {
	STEPS=("${STEPS[@]//@m/$MNT}")
	tool fileio "open A $MNT/f rdwr,creat" "open B $MNT/f rdwr" "open D $MNT/f rdwr,direct" "open U $BACKING/f rdonly" \
		'w A 0 256K 1' 'r B 0 256K 1' "${STEPS[@]//@b/$BACKING}"
}

@test "O_DIRECT reads see what is dirty" {
	steps 'r D 0 256K 1' 'w A 5000 3000 2' 'w A 9K 33 3' 'r D 12K 4K 1' 'r B 5000 3000 2' 'w A 64K 8K 4' 'r D 64K 8K 4' \
		'w A 256K 777 5' 'r D 256K 4K 5 777' 'fsync A' 'r U 5000 3000 2' 'r U 9K 33 3' 'r U 64K 8K 4' 'r U 256K 4K 5 777'
}

@test "O_DIRECT writes leave no stale page, and of their neighbours' dirty bytes none is lost" {
	steps 'w D 4K 4K 2' 'r A 4K 4K 2' 'r A 0 4K 1' 'r A 8K 248K 1' 'r D 8K 4K 1' 'w D 64K 128K 3' 'r B 64K 128K 3' \
		'w A 70000 5 4' 'w D 100K 4K 5' 'r A 70000 5 4' 'r A 100K 4K 5' 'r A 104K 4K 3' \
		'w D 256K 8K 6' 'size A 264K' 'r B 256K 64K 6 8K' 'fsync B' \
		'r U 4K 4K 2' 'r U 8K 56K 1' 'r U 70000 5 4' 'r U 100K 4K 5' 'r U 256K 64K 6 8K'
}

@test "O_DIRECT switched on and off with fcntl" {
	steps 'setfl B direct' 'r B 4K 4K 1' 'w B 8K 4K 2' 'r A 8K 4K 2' 'w A 9000 10 3' 'r B 12K 4K 1' 'setfl B 0' 'r B 9000 10 3' \
		'w B 8300 10 4' 'setfl A direct' 'w A 16K 4K 5' 'setfl A 0' 'r A 8300 10 4' 'r A 16K 4K 5' 'r A 20K 4K 1' \
		'fsync A' 'r U 9000 10 3' 'r U 8300 10 4' 'r U 16K 4K 5'
}

@test "truncating: what was beyond is gone, also when the file grows again" {
	steps 'trunc A 100000' 'size B 100000' 'size D 100000' 'size U 100000' 'r B 0 128K 1 100000' 'eof B 100000' \
		'trunc B 200000' 'size U 200000' 'r A 99000 1000 1' 'r A 100000 100000 0' 'w A 150000 10 2' 'trunc D 150005' \
		'trunc A 256K' 'r B 150000 5 2' 'r B 150005 100000 0' 'fdatasync B' 'size U 256K' 'r U 0 100000 1' 'r U 100000 50000 0' \
		'r U 150000 5 2' 'r U 150005 100000 0' 'trunc A 0' 'eof B 0' 'size U 0' 'trunc A 5000' 'r B 0 8K 0 5000' \
		'w B 4999 2 3' 'r A 4999 4K 3 2' 'fsync A' 'size U 5001' 'r U 0 4999 0' 'r U 4999 4K 3 2'
}

@test "opening with O_TRUNC" {
	steps 'open C @m/f rdwr,trunc' 'eof A 0' 'size U 0' 'w C 10000 100 2' 'r A 0 10000 0' 'r B 10000 4K 2 100' 'fsync B' \
		'r U 0 10000 0' 'r U 10000 4K 2 100'
}

@test "fallocate: holes, zeroed ranges, and space beyond the end" {
	steps 'falloc A punch 10000 20000' 'r B 10000 20000 0' 'r D 12K 4K 0' 'r B 0 10000 1' 'r B 30000 10000 1' \
		'falloc B zero 64K 12345' 'r A 64K 12345 0' 'r A 77881 1000 1' 'falloc A keep 256K 64K' 'size B 256K' 'size U 256K' \
		'eof A 256K' 'w A 12000 10 2' 'falloc A punch 12005 100' 'r B 12000 5 2' 'r B 12005 100 0' \
		'falloc A plain 0 300000' 'size U 300000' 'r B 256K 64K 0 37856' 'falloc A zero 290000 20000' 'size U 310000' \
		'r B 290000 64K 0 20000' 'fsync A' 'r U 0 10000 1' 'r U 10000 2000 0' 'r U 12000 5 2' 'r U 12005 17995 0' \
		'r U 30000 35536 1' 'r U 64K 12345 0' 'r U 77881 100000 1' 'r U 256K 64K 0 47856'
}

@test "copy_file_range out of dirty pages, over resident ones, and within a file" {
	steps 'open E @m/g rdwr,creat' 'open V @b/g rdonly' 'w E 0 64K 7' 'cfr E 0 A 0 64K' 'r B 0 64K 7' 'r D 0 64K 7' \
		'w A 128K 10000 8' 'cfr A 128K E 128K 10000' 'size E 141072' 'size V 141072' 'r E 128K 64K 8 10000' 'r E 64K 64K 0' \
		'w E 133000 10 9' 'cfr A 131100 E 131100 1000' 'r E 133000 10 9' 'r E 131100 1900 8' 'w A 192K 16K 0' \
		'cfr A 192K A 20000 9000' 'r B 20000 9000 0' 'r B 29000 1000 7' \
		'fsync A' 'r U 0 20000 7' 'r U 20000 9000 0' 'r U 128K 10000 8' 'r U 138K 10000 1' \
		'fsync E' 'r V 0 64K 7' 'r V 64K 64K 0' 'r V 131072 1928 8' 'r V 133000 10 9'
}

@test "rename over a file, and exchange: a name leads to its file's pages" {
	steps 'open E @m/g rdwr,creat' 'w E 0 128K 7' 'sh mv @m/f @m/g' 'open G @m/g rdwr' 'r G 0 256K 1' 'r E 0 128K 7' \
		'w A 100 4K 2' 'r G 100 4K 2' 'w E 100 10 3' 'r E 100 10 3' 'r G 100 4K 2' 'close E' 'fsync G' 'open V @b/g rdonly' \
		'r V 0 100 1' 'r V 100 4K 2' 'r V 5000 200000 1' 'open H @m/h rdwr,creat' 'w H 0 10 4' 'w G 0 10 5' \
		"sh $ZCFS_TOOLS/fsop rename @m/g @m/h exchange" 'open I @m/g rdonly' 'r I 0 4K 4 10' 'open J @m/h rdonly' 'r J 0 10 5' \
		'fsync I' 'fsync J' 'open K @b/g rdonly' 'r K 0 4K 4 10' 'open L @b/h rdonly' 'r L 0 10 5' 'r L 10 90 1' 'sh rm @m/g @m/h'
}

@test "hard links have the same pages, and a deleted name's handles keep theirs" {
	steps 'sh ln @m/f @m/l' 'open L @m/l rdwr' 'r L 0 256K 1' 'w L 10 10 2' 'r A 10 10 2' 'sh rm @m/f' 'r L 0 10 1' 'w A 20 10 3' \
		'r L 20 10 3' 'close A' 'close B' 'close D' 'r L 20 10 3' 'fsync L' 'r U 20 10 3' 'w L 30 10 4' 'sh rm @m/l' \
		'r L 30 10 4' 'r L 40 200000 1' 'w L 300000 10 5' 'r L 300000 4K 5 10' 'fsync L' 'r U 30 10 4' 'size U 300010'
}

@test "a new file by the name, or with the inode number, of a deleted one has none of its pages" {
	local again=() i
	for i in 1 2 3 4 5 6 7 8; do
		again+=("open N @m/n rdwr,creat,excl" 'eof N 0' "w N 100 4000 $((i + 1))" "trunc N 20000" 'r N 0 100 0'
			"r N 100 4000 $((i + 1))" 'r N 4100 15900 0' 'close N' 'sh rm @m/n')
	done
	steps 'sh rm @m/f' 'open E @m/f rdwr,creat,excl' 'eof E 0' 'w E 0 10 2' 'r E 0 4K 2 10' 'r A 0 256K 1' 'fsync E' \
		'open V @b/f rdonly' 'r V 0 4K 2 10' "${again[@]}"
}

@test "mappings see what is dirty, stores reach the pool, and a write reaches the mapping" {
	steps 'map A 256K shared' 'mr A 0 256K 1' 'w B 5000 3000 2' 'mr A 5000 3000 2' 'w D 64K 4K 3' 'mr A 64K 4K 3' \
		'ms A 100000 50000 4' 'msync A' 'r B 100000 50000 4' 'r D 100K 4K 4' 'ms A 0 4K 5' 'fsync B' 'r B 0 4K 5' 'r D 0 4K 5' \
		'r U 0 4K 5' 'r U 100000 50000 4' 'r U 5000 3000 2' 'w B 200000 10 6' 'mr A 200000 10 6' 'mr A 200010 1000 1' \
		'trunc B 128K' 'trunc B 256K' 'mr A 128K 128K 0' 'r B 128K 128K 0' 'falloc B punch 0 8K' 'mr A 0 8K 0' \
		'ms A 130K 10 7' 'unmap A' 'fsync A' 'r B 130K 10 7' 'r U 130K 10 7' 'r U 100000 31072 4' 'r U 0 8K 0'
}

@test "appends go behind what is dirty" {
	steps 'open C @m/f rdwr,append' 'a C 256K 100 2' 'a C 262244 5000 3' 'size U 267244' 'w A 267244 10 4' 'a C 267254 10 5' \
		'r B 256K 100 2' 'r B 262244 5000 3' 'r B 267244 10 4' 'r B 267254 4K 5 10' 'fsync A' 'r U 256K 100 2' \
		'r U 262244 5000 3' 'r U 267244 10 4' 'r U 267254 4K 5 10'
}

@test "another path for the same file, and back again, while handles of both are open" {
	local path
	for path in splice copy direct auto; do
		steps "sh setfattr -n user.zcfs.path -v $path @m/f" 'open S @m/f rdwr' 'r S 0 256K 1' 'w S 5000 3000 2' 'r A 5000 3000 2' \
			'w A 70000 10000 3' 'r S 70000 10000 3' 'r S 80000 10000 1' 'w S 256K 100 4' 'r A 256K 4K 4 100' \
			'sh setfattr -n user.zcfs.path -v pool @m/f' 'open P @m/f rdwr' 'r P 5000 3000 2' 'r P 70000 10000 3' \
			'r P 256K 4K 4 100' 'w P 5500 10 5' 'r S 5500 10 5' 'w S 5510 10 6' 'r P 5510 10 6' 'trunc S 9000' 'r P 8000 4K 1 1000' \
			'close S' 'w P 9000 10 7' 'r P 8000 1000 1' 'r P 9000 4K 7 10' 'fsync P' 'size U 9010' 'r U 0 5000 1' 'r U 5000 500 2' \
			'r U 5500 10 5' 'r U 5510 10 6' 'r U 5520 2480 2' 'r U 8000 1000 1' 'r U 9000 4K 7 10'
	done
}

# changed STEP...: the file is clean, and not fresh, before W changes it underneath: what is done to it within a few ticks of a
# clock from one's own last change cannot be told from that.
changed() {
	# shellcheck disable=SC2016 # expanded by the step's shell
	local age='$(($(date +%s%N) - $(date -r @b/f +%s%N)))'
	steps 'fsync A' 'close A' 'close B' 'close D' 'open W @b/f rdwr' "sh until [ $age -gt 60000000 ]; do :; done" "$@"
}

@test "a change underneath is seen at the next open: another content, a shorter file, a longer one" {
	changed 'w W 5000 10 2' 'open A @m/f rdwr' 'r A 5000 10 2' 'r A 0 5000 1' 'r A 5010 200000 1' 'close A' \
		'trunc W 7000' 'open A @m/f rdwr' 'size A 7000' 'eof A 7000' 'r A 0 5000 1' 'close A' \
		'trunc W 100000' 'open A @m/f rdwr' 'size A 100000' 'r A 5010 1990 1' 'r A 7000 93000 0' \
		'w A 99990 20 3' 'fsync A' 'r W 5000 10 2' 'r W 99990 4K 3 20'
}

@test "a change underneath is seen after zcfs pool drop, by handles that are open" {
	# shellcheck disable=SC2016
	changed 'open A @m/f rdwr' 'r A 0 256K 1' 'w A 100 10 2' 'fsync A' 'w W 5000 10 3' "sh $ZCFS_BUILD/cli/zcfs pool drop @m/f" \
		'r A 5000 10 3' 'r A 100 10 2' 'r W 100 10 2' 'w W 6000 10 4' "sh $ZCFS_BUILD/cli/zcfs pool drop @m" 'r A 6000 10 4'
}

# With everything at once, for a while; pages of two sizes, and fewer frames than the file needs.
races() {
	local options
	for options in pool_write=through "$LAZY" pool_write=back,pool_flush_interval=0.01,pool_size=128K; do
		mount_pool "$options"
		"$@"
		umount_zcfs
		mount_pool "$options,pool_page=4K"
		"$@"
		umount_zcfs
	done
}

direct_writers() {
	tool aiorace "$MNT/race" 1
	tool litmus faults "$MNT/s" "$MNT/s" 0.2 stores
}

@test "asynchronous O_DIRECT writes beside readers and stores: nothing stale, nothing lost" { races direct_writers; }

appenders() {
	tool fileend append 100 16384 "$MNT/log" "$MNT/log"
	tool fileend extend "$MNT/e" "$MNT/e" 0.3 pwrite 4096 buffered O_DIRECT mapped
	tool fileend extend "$MNT/e" "$MNT/e" 0.3 submit 20480 buffered O_DIRECT mapped
}

@test "files that grow by two kinds of appenders and O_DIRECT writes: readers find what was complete, and it is whole" {
	races appenders
}

tail_readers() { tool tailrace "$MNT/tail" "$MNT/tail" 1 >&2; }

@test "a file that grows by bytes beside a reader of its end" { races tail_readers; }

every_view() {
	tool litmus visible "$MNT/a" "$MNT/a" 10 live
	tool litmus holes "$MNT/h" "$MNT/h" 0.2
}

@test "each way of changing is seen by each way of looking at once; holes are punched beside readers" { races every_view; }

exercise() { tool fsx --ops 1500 "$MNT/file"; }

@test "random operations through buffered, O_DIRECT and mapped handles at once" { races exercise; }
