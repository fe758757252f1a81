#!/usr/bin/env bats
# Nothing but the backing directory is reached through a mount, whatever happens to the tree meanwhile: directories exchanged
# with symlinks to outside, carried out of the backing and back, mounted over. Programs on the mount do every operation there.
# Their root directory is the mount's, so a symlink that they follow themselves leads nowhere: what changes outside, the daemon
# changed.
load ../helper
load common

teardown() {
	local pid
	for pid in ${parties-}; do kill -TERM "$pid" 2>/dev/null || true; done
	while umount -l "$BACKING/over" 2>/dev/null; do :; done
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

# A tree that each operation can do harm to; its marks are what swapper's workers look for.
make_outside() {
	mkdir -p "$1/sub"
	local file
	for file in f0 f1 f2 secret CANARY-name sub/f0 sub/secret; do
		echo "CANARY of $file" >"$1/$file"
		setfattr -n user.mark -v CANARY "$1/$file"
	done
	ln -s secret "$1/link"
	chmod -R a+rwX "$1"
}

# All that can be seen of a tree.
snapshot() {
	find "$1" -printf '%P %y %i %m %U %G %n %s %b %T@ %C@ %A@ %l\n' | sort
	getfattr -R -P -h -d -m - --absolute-names "$1"
	find "$1" -type f -print0 | sort -z | xargs -0 sha256sum
}

make_inside() {
	local dir
	mkdir -p "$BACKING"/{d0,d1,steady,moving,over}/sub "$BATS_TEST_TMPDIR/elsewhere"
	for dir in "$BACKING"/{d0,d1,steady,moving,over}{,/sub}; do
		echo inside | tee "$dir"/{f0,f1,f2,secret} >/dev/null
		ln -s f0 "$dir/link"
	done
	ln -s "$OUTSIDE" "$BACKING/l0"
	ln -s ../outside "$BACKING/l1"
	ln -s ../outside/sub "$BACKING/up"
	ln -s "/proc/self/root$OUTSIDE" "$BACKING/magic"
	ln -s "/proc/$1/cwd" "$BACKING/cwd"
	chmod -R a+rwX "$BACKING"
}

# party OUTPUT COMMAND...: in the background; added to parties.
party() {
	"${@:2}" >"$BATS_TEST_TMPDIR/$1" 2>"$BATS_TEST_TMPDIR/$1.err" 3>&- &
	parties+=" $!"
}

# Until SECONDS: something else is mounted there, and gone again while it is in use.
mount_over() {
	local end=$((SECONDS + $1))
	while ((SECONDS < end)); do
		mount -t tmpfs -o mode=777 over "$BACKING/over"
		mkdir -m 777 "$BACKING/over/sub" 2>/dev/null || true # a worker's may be there
		umount -l "$BACKING/over"
	done
}

# Each operation of the workers has succeeded: else the test would show nothing.
all_done() {
	awk '{ done[$1] += $2 } END { for (op in done) if (done[op] == 0) { print op " never succeeded"; bad = 1 }; exit bad }' \
		"$BATS_TEST_TMPDIR"/{work,swap}* >&2
}

@test "nothing outside the backing is read or changed while directories become symlinks, leave and come back" {
	need_root
	need_tool setfattr getfattr
	local seconds=8 i sitter pid
	((${ZCFS_LONG:-0})) && seconds=60
	make_backing
	OUTSIDE=$BATS_TEST_TMPDIR/outside cached=$BATS_TEST_TMPDIR/cached
	make_outside "$OUTSIDE"
	(cd "$OUTSIDE" && exec sleep 600 3>&-) &
	sitter=$!
	parties=$sitter
	make_inside "$sitter"
	mount_zcfs allow_other,entry_timeout=0,attr_timeout=0
	mkdir "$cached"
	# The other mount remembers names and attributes, and has so few descriptors that it finds files again by their handles.
	(ulimit -n 120 && zcfs mount -o allow_other,threads=4 "$BACKING" "$cached")
	snapshot "$OUTSIDE" >/dev/null # from now on reading changes no access time
	snapshot "$OUTSIDE" >"$BATS_TEST_TMPDIR/before"
	party swap0 tool swapper exchange "$seconds" - "$BACKING/d0" "$BACKING/l0"
	party swap1 tool swapper exchange "$seconds" "$MNT" /d1 /l1
	party swap2 tool swapper carry "$seconds" - "$BACKING/moving" "$BATS_TEST_TMPDIR/elsewhere/moving"
	party over mount_over "$seconds"
	for i in 1 2; do
		party work$i tool swapper work "$seconds" "$MNT" $((i % 2 * 1234)) "$i"
		party work$((i + 2)) tool swapper work "$seconds" "$cached" $((i % 2 * 1234)) $((i + 2))
	done
	for pid in ${parties#"$sitter"}; do wait "$pid" || touch "$BATS_TEST_TMPDIR/failed"; done
	kill "$sitter"
	parties=
	cat "$BATS_TEST_TMPDIR"/*.err >&2
	[ ! -e "$BATS_TEST_TMPDIR/failed" ]
	all_done
	snapshot "$OUTSIDE" >"$BATS_TEST_TMPDIR/after"
	diff "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after" >&2
	echo alive >"$MNT/alive"
	[ "$(<"$cached/alive")" = alive ]
}

# The symlink leads to outside only from the backing directory: from the mount there is nothing where it points.
@test "a symlink made underneath, where the kernel knows nothing or something else, is not followed" {
	need_root
	need_tool setfattr getfattr
	local how name=0
	make_backing deep/backing
	OUTSIDE=$BATS_TEST_TMPDIR/deep/outside
	make_outside "$OUTSIDE"
	mkdir -p "$BACKING"/{d,e}/sub
	echo inside | tee "$BACKING"/{f,d/f0,d/secret,e/f0,e/secret} >/dev/null
	mount_zcfs entry_timeout=60,attr_timeout=60
	snapshot "$OUTSIDE" >/dev/null
	snapshot "$OUTSIDE" >"$BATS_TEST_TMPDIR/before"
	cd "$MNT"
	for how in ': >' 'echo over >>' 'echo over 1<>' 'truncate -s 1' mkdir mkfifo 'ln f' 'ln -s f' 'cp f' 'mv -T d/f0' 'mv -T e' \
		touch 'chmod 600' 'chown 1' 'touch -h' 'setfattr -n user.mark -v x' 'setfattr -h -n trusted.mark -v x' rm rmdir cat; do
		name=$((name + 1))
		for to in ../outside/secret ../outside/none ../outside/sub; do
			run ! stat "$name"
			ln -s $to "$BACKING/$name"
			run bash -c "$how $name"
			rm -rf "${BACKING:?}/$name"
			name=$((name + 1))
		done
	done
	# What was a directory or a file is one elsewhere now; the kernel goes on with what it knows, being open.
	exec 8<d 9<f
	mv "$BACKING/d" "$BACKING/was" && ln -s ../outside "$BACKING/d"
	mv "$BACKING/f" "$BACKING/file" && ln -s ../outside/secret "$BACKING/f"
	for how in 'echo over >d/secret' 'echo over >d/f1' 'mkdir d/new' 'rm d/f2' 'mv d/secret d/moved' 'ln d/sub/f0 d/linked' \
		'chmod 0 d/secret' 'setfattr -n user.mark -v x d/secret' 'cat d/CANARY-name' 'ls d/sub' \
		'echo over >f' 'chmod 0 f' 'mv f g'; do
		run bash -c "$how"
		[[ $output != *"CANARY of"* ]]
	done
	exec 8<&- 9<&-
	cd /
	snapshot "$OUTSIDE" >"$BATS_TEST_TMPDIR/after"
	diff "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after" >&2
	[ "$(<"$BACKING/was/f1")" = over ]
}
