#!/usr/bin/env bats
# The mount exported by an NFS server in user space (nfs-ganesha with its VFS backend, which knows files by their handles alone),
# used by a client in user space (libnfs): neither the kernel's NFS nor a portmapper takes part.
load ../helper
load common

setup() {
	need_fuse
	need_root
	need_tool ganesha.nfsd python3 mkfs.ext4
	make_backing
	truncate -s 64M "$BATS_TEST_TMPDIR/image"
	mkfs.ext4 -q "$BATS_TEST_TMPDIR/image"
	mount -o loop "$BATS_TEST_TMPDIR/image" "$BACKING"
	SERVER='' CLIENT=''
	head -c 700000 /dev/urandom >"$BATS_TEST_TMPDIR/data"
}

teardown() {
	[[ -z $CLIENT ]] || kill "$CLIENT" 2>/dev/null || true
	[[ -z $SERVER ]] || kill -KILL "$SERVER" 2>/dev/null || true
	cleanup_zcfs "$BATS_TEST_TMPDIR"
	no_findings
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

listens() { (: <"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; }

# start_server: exports MNT as /export, by NFSv4 over TCP only. It finds its plugin in the architecture's directory.
start_server() {
	PORT=$(free_port)
	cat >"$BATS_TEST_TMPDIR/ganesha.conf" <<-END
		NFS_CORE_PARAM {
			NFS_Port = $PORT; Bind_addr = 127.0.0.1; NFS_Protocols = 4;
			Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;
		}
		NFSV4 { Graceless = true; Only_Numeric_Owners = true; }
		EXPORT {
			Export_Id = 1; Path = $MNT; Pseudo = /export; Protocols = 4; Transports = TCP; SecType = sys;
			Access_Type = RW; Squash = None;
			FSAL { Name = VFS; }
		}
	END
	ganesha.nfsd -F -f "$BATS_TEST_TMPDIR/ganesha.conf" -L "$BATS_TEST_TMPDIR/ganesha.log" \
		-p "$BATS_TEST_TMPDIR/ganesha.pid" -N EVENT >/dev/null 2>&1 3>&- &
	SERVER=$!
	client=(timeout 60 python3 "$ZCFS_SRC/tests/tools/nfsclient.py" "nfs://127.0.0.1/export?version=4&nfsport=$PORT")
	WAIT_S=30 wait_until listens || fail_with "$(tail -n 20 "$BATS_TEST_TMPDIR/ganesha.log")"
}

has_ended() { [[ ! -e /proc/$1 ]]; }

stop_server() {
	kill "$SERVER"
	WAIT_S=5 wait_until has_ended "$SERVER" 2>/dev/null || kill -KILL "$SERVER"
	wait "$SERVER" 2>/dev/null || true
	SERVER=
}

# client STEP...: tests/tools/nfsclient.py on the export.
client() { "${client[@]}" "$@" 3>&-; }

forget() { echo 2 >/proc/sys/vm/drop_caches; }

@test "NFS: files and directories are made, written, read, listed, renamed and deleted" {
	mount_zcfs
	echo before >"$MNT/before"
	start_server
	[ "$(client 'ls /')" = $'before\nlost+found' ]
	client "put /file $BATS_TEST_TMPDIR/data" 'mkdir /dir' 'mkdir /dir/sub' "put /dir/sub/file $BATS_TEST_TMPDIR/data"
	cmp "$BACKING/file" "$BATS_TEST_TMPDIR/data"
	cmp "$BACKING/dir/sub/file" "$BATS_TEST_TMPDIR/data"
	client "get /file $BATS_TEST_TMPDIR/back"
	cmp "$BATS_TEST_TMPDIR/back" "$BATS_TEST_TMPDIR/data"
	client 'rename /file /dir/moved' 'unlink /before'
	[ "$(client 'ls /dir')" = $'moved\nsub' ]
	[ ! -e "$BACKING/file" ] && [ ! -e "$BACKING/before" ]
	forget
	client "get /dir/moved $BATS_TEST_TMPDIR/back2" "get /dir/sub/file $BATS_TEST_TMPDIR/back3"
	cmp "$BATS_TEST_TMPDIR/back2" "$BATS_TEST_TMPDIR/data"
	cmp "$BATS_TEST_TMPDIR/back3" "$BATS_TEST_TMPDIR/data"
	expect_that "$(ledger "$MNT" write.bytes)" == 1400007 # and what echo wrote
	stop_server
}

# mount_as DEVICE: mounts with that device number, which the server has in its handles; 1 if another mount has it now, or
# lower ones are free, of which it then takes one.
mount_as() {
	local got filler
	mount_zcfs
	got=$(stat -c %d "$MNT")
	((got != $1)) || return 0
	umount_zcfs
	((got < $1)) || return 1
	filler=$(mktemp -d "$BATS_TEST_TMPDIR/filler-XXXXXX")
	mount -t tmpfs tmpfs "$filler"
	return 1
}

said() { [[ $(<"$BATS_TEST_TMPDIR/said") == *"$1"* ]]; }

@test "NFS: a client's handle holds over restarts of the server and the daemon" {
	mkdir "$BACKING/dir"
	cp "$BATS_TEST_TMPDIR/data" "$BACKING/dir/file"
	mount_zcfs
	start_server
	local port=$PORT device inode
	device=$(stat -c %d "$MNT")
	inode=$(stat -c %i "$BACKING/dir/file")
	mkfifo "$BATS_TEST_TMPDIR/go"
	: >"$BATS_TEST_TMPDIR/said"
	"${client[@]}" 'hold /dir/file' held wait held "get /dir/file $BATS_TEST_TMPDIR/back" \
		<>"$BATS_TEST_TMPDIR/go" >"$BATS_TEST_TMPDIR/said" 2>&1 3>&- &
	CLIENT=$!
	WAIT_S=30 wait_until said ready
	[ "$(head -n 1 "$BATS_TEST_TMPDIR/said")" = "700000 $inode" ]
	stop_server
	umount_zcfs
	mv "$BACKING/dir/file" "$BACKING/moved" # found by its handle, not by its name
	WAIT_S=60 wait_until mount_as "$device"
	free_port() { echo "$port"; }
	start_server
	mv "$BACKING/moved" "$BACKING/dir/file"
	echo >"$BATS_TEST_TMPDIR/go"
	wait "$CLIENT" || fail_with "$(<"$BATS_TEST_TMPDIR/said")"
	CLIENT=
	[ "$(<"$BATS_TEST_TMPDIR/said")" = "700000 $inode"$'\nready\n'"700000 $inode" ]
	cmp "$BATS_TEST_TMPDIR/back" "$BATS_TEST_TMPDIR/data"
	stop_server
}
