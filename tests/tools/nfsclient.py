#!/usr/bin/env python3
"""nfsclient.py URL STEP...: an NFS client by libnfs that carries out step by step; each STEP is one argument, and the first that
fails ends the program with what libnfs says, and status 1. Paths begin at the export's root.

  'put FILE LOCAL'    makes FILE, which must not be there yet, as LOCAL is, and syncs it
  'get FILE LOCAL'    reads all of FILE into LOCAL
  'ls DIR'            prints the names in DIR, sorted, one a line
  'mkdir DIR'  'unlink FILE'  'rename OLD NEW'
  'hold FILE'         keeps FILE open, by its handle
  'held'              prints the size and the inode number of the held file, asked for by its handle
  'wait'              prints 'ready', waits for a line on the standard input, and connects anew

URL is libnfs' own, as nfs://HOST/EXPORT?version=4&nfsport=PORT. The library's programs are not enough: nfs-cp cannot create files
by NFSv4, and none holds a handle.
"""

import ctypes
import ctypes.util
import os
import re
import sys

PIECE = 65536
WRITE_PIECE = 2048  # libnfs 4 cannot encode 4096 by NFSv4
soname = ctypes.util.find_library("nfs") or sys.exit("nfsclient: no libnfs here")
lib = ctypes.CDLL(soname)
# From version 6 on, the buffer comes before the count.
buffer_first = int(re.search(r"\d+$", soname).group()) >= 16


class Url(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in ("server", "path", "file")]


class Entry(ctypes.Structure):
    _fields_ = [("next", ctypes.c_void_p), ("name", ctypes.c_char_p)]  # and more


Stat = ctypes.c_uint64 * 32
INO, SIZE = 1, 7  # of the words in libnfs' struct nfs_stat_64

lib.nfs_init_context.restype = ctypes.c_void_p
lib.nfs_get_error.restype = ctypes.c_char_p
lib.nfs_parse_url_dir.restype = ctypes.POINTER(Url)
lib.nfs_readdir.restype = ctypes.POINTER(Entry)
nfs = held = None


def call(name, *arguments):
    rc = getattr(lib, name)(nfs, *arguments)
    if rc < 0:
        sys.exit(f"nfsclient: {name}: {os.strerror(-rc)}: {(lib.nfs_get_error(nfs) or b'').decode()}")
    return rc


def connect():
    global nfs
    nfs = ctypes.c_void_p(lib.nfs_init_context())
    url = lib.nfs_parse_url_dir(nfs, sys.argv[1].encode())
    if not url:
        sys.exit(f"nfsclient: {lib.nfs_get_error(nfs).decode()}")
    call("nfs_mount", url.contents.server, url.contents.path)


def handle_of(name, flags):
    fh = ctypes.c_void_p()
    call("nfs_open2", name.encode(), flags, 0o644, ctypes.byref(fh))
    return fh


def transfer(name, fh, memory, count):
    n = ctypes.c_uint64(count)
    return call(name, fh, memory, n) if buffer_first else call(name, fh, n, memory)


def put(name, local):
    with open(local, "rb") as f:
        data = f.read()
    fh = handle_of(name, os.O_RDWR | os.O_CREAT)
    at = 0
    while at < len(data):
        piece = data[at : at + WRITE_PIECE]
        at += transfer("nfs_write", fh, piece, len(piece))
    call("nfs_fsync", fh)
    call("nfs_close", fh)


def get(name, local):
    memory = ctypes.create_string_buffer(PIECE)
    fh = handle_of(name, os.O_RDONLY)
    with open(local, "wb") as f:
        while n := transfer("nfs_read", fh, memory, PIECE):
            f.write(memory.raw[:n])
    call("nfs_close", fh)


def ls(name):
    directory, names = ctypes.c_void_p(), []
    call("nfs_opendir", name.encode(), ctypes.byref(directory))
    while entry := lib.nfs_readdir(nfs, directory):
        names.append(entry.contents.name.decode())
    lib.nfs_closedir(nfs, directory)
    print("\n".join(sorted(set(names) - {".", ".."})), flush=True)


def hold(name):
    global held
    held = handle_of(name, os.O_RDONLY)


def tell_held():
    stat = Stat()
    call("nfs_fstat64", held, ctypes.byref(stat))
    print(stat[SIZE], stat[INO], flush=True)


def wait():
    print("ready", flush=True)
    sys.stdin.readline()
    connect()  # the held file's handle is good for any connection


steps = {"put": put, "get": get, "ls": ls, "hold": hold, "held": tell_held, "wait": wait}
for name in "mkdir", "unlink", "rename":
    steps[name] = lambda *paths, name=name: call("nfs_" + name, *(path.encode() for path in paths))

connect()
for step in sys.argv[2:]:
    words = step.split()
    steps[words[0]](*words[1:])
os._exit(0)  # libnfs' memory is not worth taking down
