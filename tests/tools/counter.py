#!/usr/bin/env python3
"""counter.py posix|ofd|flock FILE N: adds 1 to the number in FILE, N times, each time under an exclusive lock."""

import fcntl
import os
import struct
import sys

kind, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
fd = os.open(path, os.O_RDWR)


def lock(how):
    if kind == "flock":
        fcntl.flock(fd, {fcntl.F_WRLCK: fcntl.LOCK_EX, fcntl.F_UNLCK: fcntl.LOCK_UN}[how])
    else:
        # struct flock: type, whence, start, length, pid
        command = fcntl.F_OFD_SETLKW if kind == "ofd" else fcntl.F_SETLKW
        fcntl.fcntl(fd, command, struct.pack("hhqqi4x", how, os.SEEK_SET, 0, 0, 0))


if not hasattr(fcntl, "F_OFD_SETLKW"):
    fcntl.F_OFD_SETLKW = 38
for _ in range(count):
    lock(fcntl.F_WRLCK)
    value = int(os.pread(fd, 20, 0))
    os.pwrite(fd, b"%08d" % (value + 1), 0)
    lock(fcntl.F_UNLCK)
