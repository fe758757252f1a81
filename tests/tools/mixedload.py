#!/usr/bin/env python3
"""Programs that share a file, each a slot of it, and write down what the file's filesystem promised them.

mixedload.py FILE NOTES KIND SLOT: KIND buffered, direct (O_DIRECT) or mapped fills the slot with 1, 2, 3, ... and, each time
the number is synced, notes it in NOTES; KIND readers (SLOT: how many there are) reads all slots, buffered and O_DIRECT in
turn, and complains of numbers older than the note it saw before. All go on until the file's filesystem gives an error,
which is no failure (nor is SIGBUS, of a mapping); status 1 is for what was wrong.
mixedload.py FILE NOTES check SLOTS: each slot has the noted number, or the one that was being written.
"""

import errno
import mmap
import os
import struct
import sys

SLOT = 65536
PER_SLOT = SLOT // 8
path, notes_path, kind, slot = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
notes = os.open(notes_path, os.O_RDWR)


def noted(i):
    return struct.unpack("<Q", os.pread(notes, 8, i * 8))[0]


def whole(call, fd, mem, i):
    """Transfers the slot; part of it only where the filesystem ended meanwhile, which the rest is then told."""
    done = call(fd, [mem], i * SLOT)
    if done != SLOT:
        rest = call(fd, [memoryview(mem)[done:]], i * SLOT + done)
        sys.exit(f"{call.__name__} of slot {i}: {done}, then {rest}, of {SLOT}")


def read_slot(fd, i):
    mem = mmap.mmap(-1, SLOT)  # aligned
    whole(os.preadv, fd, mem, i)
    return struct.unpack(f"<{PER_SLOT}Q", mem)


def write_slot(fd, data):
    mem = mmap.mmap(-1, SLOT)
    mem[:] = data
    whole(os.pwritev, fd, mem, slot)
    os.fsync(fd)


def write():
    fd = os.open(path, os.O_RDWR | (os.O_DIRECT if kind == "direct" else 0))
    view = mmap.mmap(fd, SLOT, offset=slot * SLOT) if kind == "mapped" else None
    number = 0
    while True:
        number += 1
        data = struct.pack("<Q", number) * PER_SLOT
        if view:
            view[:] = data
            view.flush()
        else:
            write_slot(fd, data)
        os.pwrite(notes, struct.pack("<Q", number), slot * 8)


def read():
    fds = [os.open(path, os.O_RDONLY | flag) for flag in (0, os.O_DIRECT)]
    while True:
        for fd in fds:
            for i in range(slot):
                least = noted(i)
                if min(read_slot(fd, i)) < least:
                    sys.exit(f"slot {i}: stale, {least} was synced")


def check():
    fd = os.open(path, os.O_RDONLY)
    for i in range(slot):
        least, got = noted(i), read_slot(fd, i)
        if not least or min(got) < least or max(got) > least + 1:
            sys.exit(f"slot {i}: {min(got)} to {max(got)}, {least} was synced")


if kind == "check":
    check()
    sys.exit()
try:
    read() if kind == "readers" else write()
except OSError as error:
    os._exit(error.errno == errno.EINVAL)  # a rest that is not aligned
