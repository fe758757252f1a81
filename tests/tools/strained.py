#!/usr/bin/env python3
"""Programs on a filesystem that is short of something.

strained.py DIRECTORY ROUNDS HELD [ERRNO]...: eight threads, each ROUNDS times, make a file, write it, read it back, rename,
list and remove it; the first HELD files of each stay open until the end. Every call must succeed or fail with one of the
ERRNOs, and no data may be wrong. Prints how many rounds succeeded and how many failed; status 1 if anything was wrong.
"""

import errno
import os
import sys
import threading

directory, rounds, held_most = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
allowed = {getattr(errno, name) for name in sys.argv[4:]}
lock = threading.Lock()
counts = {"succeeded": 0, "failed": 0}
wrong = []


def write_all(fd, data):
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], done)


def one_round(path, data, held):
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        write_all(fd, data)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        if os.pread(fd, len(data), 0) != data:
            wrong.append(f"{path}: other data than was written")
        os.rename(path, path + "'")
        if os.path.basename(path) + "'" not in os.listdir(directory):
            wrong.append(f"{path}' is not listed")
        os.unlink(path + "'")
        if len(held) < held_most:
            held.append(os.dup(fd))
    finally:
        os.close(fd)


def work(number):
    held = []
    for i in range(rounds):
        outcome = "succeeded"
        data = os.urandom(1000) * (1 + 100 * (i % 4))
        try:
            one_round(f"{directory}/{number}.{i}", data, held)
        except OSError as e:
            outcome = "failed"
            if e.errno not in allowed:
                wrong.append(f"{e.filename}: {errno.errorcode[e.errno]}")
        with lock:
            counts[outcome] += 1
    for fd in held:
        os.close(fd)


threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(counts["succeeded"], counts["failed"])
sys.exit("\n".join(wrong[:20]) if wrong else 0)
