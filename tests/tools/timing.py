#!/usr/bin/env python3
"""timing.py WHAT DIRECTORY: what operations in DIRECTORY do to times, as stat(2) shows it there directly afterwards.

WHAT is a function below: accesses (who of old and recent access times is moved by which kind of read), changes (who of mtime
and ctime is moved by which operation, of a file and of its directory), settings (what utimensat(2) leaves). One line a
step, and nothing in it depends on when or where, so two runs can be compared.
"""

import ctypes
import errno
import mmap
import os
import sys

NS = 10**9
libc = ctypes.CDLL(None, use_errno=True)
where = sys.argv[2]


def at(name):
    return os.path.join(where, name)


def tick():
    """Returns when the filesystem's clock has moved on, as far as it tells times apart."""
    file = at("tick")
    os.close(os.open(file, os.O_CREAT | os.O_WRONLY))
    os.utime(file)
    before = os.stat(file).st_mtime_ns
    while os.stat(file).st_mtime_ns == before:
        os.utime(file)


def write_file(name, data=b"x" * 8192):
    with open(at(name), "wb") as f:
        f.write(data)


# --- accesses ---


def read_buffered(name):
    with open(at(name), "rb", buffering=0) as f:
        f.read()


def read_noatime(name):
    fd = os.open(at(name), os.O_RDONLY | os.O_NOATIME)
    os.read(fd, 4096)
    os.close(fd)


def read_direct(name):
    fd = os.open(at(name), os.O_RDONLY | os.O_DIRECT)
    os.readv(fd, [mmap.mmap(-1, 4096)])
    os.close(fd)


def read_mapped(name):
    fd = os.open(at(name), os.O_RDONLY)
    with mmap.mmap(fd, 4096, prot=mmap.PROT_READ) as m:
        bytes(m[0:10])
    os.close(fd)


def read_nothing(name):
    os.close(os.open(at(name), os.O_RDONLY))


def list_it(name):
    os.listdir(at(name))


def read_link(name):
    os.readlink(at(name))


def shown(what, before, name):
    print(f"{what}: {'moved' if os.lstat(at(name)).st_atime_ns != before else 'kept'}")


def accesses():
    kinds = {"opened": read_nothing, "noatime": read_noatime, "direct": read_direct, "mapped": read_mapped,
             "buffered": read_buffered, "dir": list_it, "link": read_link}
    os.mkdir(at("dir"))
    now = os.stat(where).st_ctime_ns
    # utimensat(2) itself is a change, so only what is to come is later than that.
    ages = {"older than the change": (now - 7200 * NS, now - 3600 * NS), "a year old": (now - 400 * 86400 * NS, NS),
            "later than the change": (now + 3600 * NS, now - 7200 * NS)}
    for age, times in ages.items():
        os.symlink(age, at(f"link {age}"))
        for kind, read in kinds.items():
            name = kind if kind != "link" else f"link {age}"
            if kind not in ("dir", "link"):
                write_file(name)
            os.utime(at(name), ns=times, follow_symlinks=False)
            tick()
            read(name)
            shown(f"{age}, {kind}", times[0], name)
        before = os.lstat(at(name)).st_atime_ns
        tick()
        os.readlink(at(name))
        shown(f"{age}, link again", before, name)
        with open(at("buffered"), "rb", buffering=0) as f:
            f.read()
            before = os.stat(at("buffered")).st_atime_ns
            tick()
            os.pread(f.fileno(), 4096, 0)
            shown(f"{age}, buffered again", before, "buffered")


# --- changes ---


def moved(before, after):
    words = [n for n, key in (("mtime", "st_mtime_ns"), ("ctime", "st_ctime_ns"))
             if getattr(after, key) != getattr(before, key)]
    if after.st_mtime_ns > after.st_ctime_ns:
        words.append("mtime-after-ctime")
    if after.st_ctime_ns < before.st_ctime_ns:
        words.append("ctime-went-back")
    return " ".join(words) or "nothing"


def show(what, operate, name="f", then=None):
    """then: the name it has afterwards."""
    file, parent = os.stat(at(name)), os.stat(where)
    tick()
    operate()
    tick()
    print(f"{what}: file {moved(file, os.stat(at(then or name)))}, directory {moved(parent, os.stat(where))}")


def opened(flags, operate):
    fd = os.open(at("f"), flags)
    try:
        operate(fd)
    finally:
        os.close(fd)


def write_direct(fd):
    mem = mmap.mmap(-1, 4096)
    os.pwritev(fd, [mem], 0)


def stored(fd):
    with mmap.mmap(fd, 4096) as m:
        before = os.fstat(fd)
        tick()
        m[5] = m[5] ^ 1
        print(f"stored, not yet written out: file {moved(before, os.fstat(fd))}")
        m.flush()


def copied(fd):
    other = os.open(at("tick"), os.O_RDONLY)
    os.copy_file_range(other, fd, 10, 0, 0)
    os.close(other)


def fallocated(fd, mode, off, length):
    if libc.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(length)) < 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def changes():
    tick()
    write_file("f")
    os.mkdir(at("d"))
    os.stat(at("f"))
    rw = os.O_RDWR
    show("opened and closed", lambda: opened(rw, lambda fd: None))
    show("read", lambda: opened(rw, lambda fd: os.read(fd, 10)))
    show("written", lambda: opened(rw, lambda fd: os.write(fd, b"y")))
    show("written, nothing", lambda: opened(rw, lambda fd: os.write(fd, b"")))
    show("written O_DIRECT", lambda: opened(rw | os.O_DIRECT, write_direct))
    show("appended", lambda: opened(rw | os.O_APPEND, lambda fd: os.write(fd, b"y")))
    show("fsync", lambda: opened(rw, os.fsync))
    show("stored and msync", lambda: opened(rw, stored))
    show("ftruncate, the same size", lambda: opened(rw, lambda fd: os.ftruncate(fd, 8193)))
    show("ftruncate, shorter", lambda: opened(rw, lambda fd: os.ftruncate(fd, 5000)))
    show("truncate, the same size", lambda: os.truncate(at("f"), 5000))
    show("truncate, longer", lambda: os.truncate(at("f"), 9000))
    show("fallocate", lambda: opened(rw, lambda fd: fallocated(fd, 0, 9000, 100)))
    show("fallocate, size kept", lambda: opened(rw, lambda fd: fallocated(fd, 1, 100000, 100)))
    show("punched", lambda: opened(rw, lambda fd: fallocated(fd, 3, 0, 4096)))
    write_file("tick", b"z" * 100)
    show("copy_file_range", lambda: opened(rw, copied))
    show("O_TRUNC", lambda: opened(rw | os.O_TRUNC, lambda fd: None))
    show("O_TRUNC, empty", lambda: opened(rw | os.O_TRUNC, lambda fd: None))
    show("chmod", lambda: os.chmod(at("f"), 0o600))
    show("chmod, the same", lambda: os.chmod(at("f"), 0o600))
    show("chown", lambda: os.chown(at("f"), os.getuid(), -1))
    show("setxattr", lambda: os.setxattr(at("f"), "user.a", b"1"))
    show("removexattr", lambda: os.removexattr(at("f"), "user.a"))
    show("link", lambda: os.link(at("f"), at("g")))
    show("unlink of another name", lambda: os.unlink(at("g")))
    show("rename", lambda: os.rename(at("f"), at("g")), "f", "g")
    show("rename to another directory", lambda: os.rename(at("g"), at("d/g")), "g", "d/g")
    show("rename back", lambda: os.rename(at("d/g"), at("f")), "d/g", "f")
    show("made in it", lambda: write_file("d/new"), "d")
    show("made below", lambda: os.mkdir(at("d/sub")), "d")
    show("removed below", lambda: os.rmdir(at("d/sub")), "d")
    show("utimensat", lambda: os.utime(at("f"), ns=(5, 7)))


# --- settings ---


class Timespec(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_long), ("ns", ctypes.c_long)]


NOW, OMIT = (1 << 30) - 1, (1 << 30) - 2


def settings():
    write_file("f")
    os.symlink("f", at("s"))
    words = {NOW: "now", OMIT: "omit"}
    pairs = [((5, 999999999), (7, 1)), ((-1, 5), (-2**31, 0)), ((2**31, 1), (2**32 + 7, 123456789)), ((1, OMIT), (3, 3)),
             ((2, 4), (1, OMIT)), ((0, OMIT), (0, OMIT)), ((-2**31 - 5, 0), (2**34, 5)), ((2**40, 0), (-2**40, 0)),
             ((1, NOW), (9, 9)), ((9, 9), (1, NOW)), ((1, NOW), (1, NOW)), ((5, NS), (5, 0)), ((5, 0), (5, -1))]
    fd = os.open(at("f"), os.O_RDONLY)
    for name, flags in (("f", 0), ("s", 0x100), ("s", 0), ("descriptor", 0)):
        for pair in pairs:
            os.utime(at("f"), ns=(11 * NS + 11, 22 * NS + 22))
            os.utime(at("s"), ns=(33 * NS + 33, 44 * NS + 44), follow_symlinks=False)
            tick()
            before = os.stat(at("tick")).st_mtime_ns
            times = (Timespec * 2)(*pair)
            rc = libc.futimens(fd, times) if name == "descriptor" else libc.utimensat(-100, at(name).encode(), times, flags)
            said = "ok" if rc == 0 else errno.errorcode[ctypes.get_errno()]
            found = []
            link = os.lstat(at("s"))
            for st in (link, os.stat(at("f"))) if flags else (os.stat(at("f")),):
                for ns in (st.st_atime_ns, st.st_mtime_ns):
                    found.append("now" if before <= ns <= before + 600 * NS else ns)
            asked = [words.get(ns, (sec, ns)) for sec, ns in pair]
            print(f"{name} {flags} {asked}: {said} {found}")
    os.close(fd)


globals()[sys.argv[1]]()
