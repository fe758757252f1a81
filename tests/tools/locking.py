#!/usr/bin/env python3
"""locking.py WHAT FILE [OTHER [HOW]]: processes lock FILE, and what each was told is printed, one line a step.

WHAT is a function below: ranges, owners, waiters, killed, deadlock, leases, mandatory; or, of FILE and OTHER, two names of one
file in two mounts, apart and leases_apart. Nothing that is printed depends on when or where it runs, so two runs can be compared.
"""

import errno
import fcntl
import os
import pickle
import platform
import select
import signal
import socket
import struct
import sys
import time

KINDS = ("flock", "posix", "ofd")
NAMES = {fcntl.F_RDLCK: "read", fcntl.F_WRLCK: "write", fcntl.F_UNLCK: "none"}
OFD_GETLK, OFD_SETLK, OFD_SETLKW = 36, 37, 38
# The system calls a program waits for a lock in.
WAITING = {"aarch64": ("25", "32")}.get(platform.machine(), ("72", "73"))
FLOCK = struct.Struct("hhqqi4x")  # type, whence, start, length, pid


class Program:
    """A process that does what it is told: methods of Actions, by name."""

    def __init__(self):
        self.ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.ours.close()
            Actions().serve(theirs)
        theirs.close()

    def begin(self, name, *args):
        self.ours.sendall(pickle.dumps((name, args)))
        return self

    def end(self):
        answer = self.ours.recv(65536)
        return pickle.loads(answer) if answer else "gone"

    def do(self, name, *args):
        return self.begin(name, *args).end()

    def has_answered(self):
        return bool(select.select([self.ours], [], [], 0)[0])

    def waits(self):
        """Returns once it is blocked for a lock."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with open(f"/proc/{self.pid}/syscall") as f:
                if f.read().split()[0] in WAITING:
                    return
            time.sleep(0.002)
        sys.exit(f"process {self.pid} never waited")

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        return os.waitpid(self.pid, 0)[1]


class Actions:
    def __init__(self):
        self.fds = {}
        self.signals = []

    def serve(self, conn):
        while request := conn.recv(65536):
            name, args = pickle.loads(request)
            try:
                answer = getattr(self, name)(*args)
            except OSError as e:
                answer = errno.errorcode[e.errno]
            conn.sendall(pickle.dumps(answer))
        os._exit(0)

    def open(self, key, path, flags=os.O_RDWR):
        self.fds[key] = os.open(path, flags)
        return "ok"

    def close(self, key):
        os.close(self.fds.pop(key))
        return "ok"

    def dup(self, key, new):
        self.fds[new] = os.dup(self.fds[key])
        return "ok"

    def lock(self, kind, key, how="write", start=0, length=0, wait=False):
        if kind == "flock":
            op = {"read": fcntl.LOCK_SH, "write": fcntl.LOCK_EX, "none": fcntl.LOCK_UN}[how]
            fcntl.flock(self.fds[key], op | (0 if wait else fcntl.LOCK_NB))
            return "ok"
        kind_of = {v: k for k, v in NAMES.items()}[how]
        command = {
            ("posix", False): fcntl.F_SETLK, ("posix", True): fcntl.F_SETLKW,
            ("ofd", False): OFD_SETLK, ("ofd", True): OFD_SETLKW,
        }[kind, wait]
        fcntl.fcntl(self.fds[key], command, FLOCK.pack(kind_of, os.SEEK_SET, start, length, 0))
        return "ok"

    def test(self, kind, key, how="write", start=0, length=0):
        """Who is in the way: the kind of lock, its range, and its process."""
        kind_of = {v: k for k, v in NAMES.items()}[how]
        got = fcntl.fcntl(self.fds[key], fcntl.F_GETLK if kind == "posix" else OFD_GETLK,
                          FLOCK.pack(kind_of, os.SEEK_SET, start, length, 0))
        found, _, at, much, pid = FLOCK.unpack(got)
        return (NAMES[found], at, much, pid) if found != fcntl.F_UNLCK else "free"

    def fork(self, kind, key):
        """What a child of it, with its descriptors, is told when it locks."""
        rd, wr = os.pipe()
        if os.fork() == 0:
            try:
                answer = self.lock(kind, key)
            except OSError as e:
                answer = errno.errorcode[e.errno]
            os.write(wr, answer.encode())
            os._exit(0)
        os.close(wr)
        answer = os.read(rd, 100).decode()
        os.close(rd)
        os.wait()
        return answer

    def lease(self, key, how=None):
        if how is None:
            return NAMES[fcntl.fcntl(self.fds[key], fcntl.F_GETLEASE)]
        signal.signal(signal.SIGIO, lambda number, frame: self.signals.append("SIGIO"))
        fcntl.fcntl(self.fds[key], fcntl.F_SETLEASE, {v: k for k, v in NAMES.items()}[how])
        return "ok"

    def signalled(self, seconds=20):
        """Waits for a signal."""
        end = time.monotonic() + seconds
        while not self.signals and time.monotonic() < end:
            time.sleep(0.002)
        return self.signals.pop() if self.signals else "no signal"

    def write(self, key, text):
        return os.pwrite(self.fds[key], text, 0)

    def truncate(self, key, size):
        os.ftruncate(self.fds[key], size)
        return "ok"


def two(path):
    programs = Program(), Program()
    for p in programs:
        p.do("open", "f", path)
    return programs


def said(what, answer, pids=()):
    """pids: printed by their place there."""
    if isinstance(answer, tuple):
        answer = answer[:3] + (pids.index(answer[3]) if answer[3] in pids else answer[3],)
    print(f"{what}: {answer}")


def ranges(path):
    for kind in ("posix", "ofd"):
        a, b = two(path)
        pids = (a.pid, b.pid)
        for how, start, length in (("write", 0, 10), ("read", 100, 50), ("write", 1 << 40, 0), ("write", 40, 20)):
            said(f"{kind} {how} {start} {length}", a.do("lock", kind, "f", how, start, length))
        for how, start, length in (("write", 10, 30), ("write", 9, 1), ("read", 9, 1), ("read", 120, 10),
                                   ("write", 120, 10), ("read", 1 << 50, 1), ("write", 59, 1), ("write", 60, 1)):
            said(f"other {kind} {how} {start} {length}", b.do("lock", kind, "f", how, start, length))
            said(f"other {kind} test {how} {start} {length}", b.do("test", kind, "f", how, start, length), pids)
        said("split", a.do("lock", kind, "f", "none", 45, 5))
        for start in (44, 45, 49, 50):
            said(f"other after the split {start}", b.do("test", kind, "f", "write", start, 1), pids)
        said("to read", a.do("lock", kind, "f", "read", 0, 10))
        said("other reads too", b.do("lock", kind, "f", "read", 5, 1))
        said("to write again", a.do("lock", kind, "f", "write", 0, 10))
        said("negative length", a.do("lock", kind, "f", "write", 300, -50))
        said("other within it", b.do("lock", kind, "f", "write", 299, 1))
        said("before the file", a.do("lock", kind, "f", "write", 5, -10))
        a.do("open", "r", path, os.O_RDONLY), a.do("open", "w", path, os.O_WRONLY)
        said("write lock, read only", a.do("lock", kind, "r", "write", 500, 1))
        said("read lock, write only", a.do("lock", kind, "w", "read", 500, 1))
        a.kill(), b.kill()


def owners(path):
    for kind in KINDS:
        a, b = two(path)
        a.do("open", "again", path), a.do("dup", "f", "copy")
        said(f"{kind}", a.do("lock", kind, "f"))
        said("by another open of the process", a.do("lock", kind, "again"))
        said("by a copy of the descriptor", a.do("lock", kind, "copy"))
        said("by a child", a.do("fork", kind, "f"))
        said("other, meanwhile", b.do("lock", kind, "f"))
        said("one of two closed", a.do("close", "again"))
        said("other, then", b.do("lock", kind, "f"))
        said("unlocked by other", b.do("lock", kind, "f", "none"))
        said("the copy closed, and the original", (a.do("close", "copy"), a.do("close", "f"), "", 0))
        for third in KINDS:
            said(f"other, {third} while it has {kind}", b.do("lock", third, "f"))
        a.kill(), b.kill()


def waiters(path):
    for kind in KINDS:
        a, b = two(path)
        c = Program()
        c.do("open", "f", path)
        a.do("lock", kind, "f")
        b.begin("lock", kind, "f", "read", 0, 0, True).waits()
        c.begin("lock", kind, "f", "read", 0, 0, True).waits()
        said(f"{kind} released", a.do("lock", kind, "f", "none"))
        said("both readers have it", (b.end(), c.end(), "", 0))
        a.begin("lock", kind, "f", "write", 0, 0, True).waits()
        said("closed", b.do("close", "f"))
        a.waits()
        said("ended", c.kill())
        said("the writer has it", a.end())
        a.kill(), b.kill()


def killed(path):
    for kind in KINDS:
        a, b = two(path)
        a.do("lock", kind, "f")
        b.begin("lock", kind, "f", "write", 0, 0, True).waits()
        said(f"{kind}: the holder is killed", a.kill())
        said("the waiter has it", b.end())
        c, d = two(path)
        c.begin("lock", kind, "f", "write", 0, 0, True).waits()
        said("a waiter is killed", c.kill())
        said("held", d.do("lock", kind, "f"))
        said("released", b.do("lock", kind, "f", "none"))
        said("nobody has it", d.do("lock", kind, "f"))
        b.kill(), d.kill()


def deadlock(path):
    a, b = two(path)
    a.do("lock", "posix", "f", "write", 0, 1), b.do("lock", "posix", "f", "write", 1, 1)
    a.begin("lock", "posix", "f", "write", 1, 1, True).waits()
    said("the second to wait", b.do("lock", "posix", "f", "write", 0, 1, True))
    said("gives way", b.do("lock", "posix", "f", "none", 1, 1))
    said("the first", a.end())
    a.kill(), b.kill()


def leases(path):
    for held, flags in (("read", os.O_RDONLY), ("write", os.O_RDWR)):
        a, b = Program(), Program()
        a.do("open", "f", path, flags)
        said(f"{held} lease", a.do("lease", "f", held))
        said("it has", a.do("lease", "f"))
        if held == "read":
            said("another reads", b.do("open", "r", path, os.O_RDONLY))
        said("another would write", b.do("open", "w", path, os.O_RDWR | os.O_NONBLOCK))
        said("the holder hears", a.do("signalled"))
        b.begin("open", "w", path, os.O_RDWR)
        said("the lease is given back", a.do("lease", "f", "none"))
        said("the other writes", b.end())
        said("a lease now", a.do("lease", "f", held))
        a.kill(), b.kill()
    a, b = Program(), Program()
    a.do("open", "f", path, os.O_RDWR), b.do("open", "f", path, os.O_RDWR)
    said("a write lease on what others have open", a.do("lease", "f", "write"))
    said("a read lease by a writer", a.do("lease", "f", "read"))
    a.kill(), b.kill()


def mandatory(path):
    os.chmod(path, 0o2660)
    a, b = two(path)
    said("locked", a.do("lock", "posix", "f"))
    said("other writes", b.do("write", "f", b"text"))
    said("other cuts", b.do("truncate", "f", 0))
    a.kill(), b.kill()


def apart(path, other):
    for kind in KINDS:
        for first, second in ((path, other), (other, path)):
            a, b = Program(), Program()
            a.do("open", "f", first), b.do("open", "f", second)
            said(f"{kind}", a.do("lock", kind, "f"))
            said("at the other name", b.do("lock", kind, "f"))
            a.kill(), b.kill()


def leases_apart(path, other, how):
    """The lease is on path, and other is opened to write; how: 0 or O_NONBLOCK."""
    a, b = Program(), Program()
    a.do("open", "f", path, os.O_RDONLY)
    said("lease", a.do("lease", "f", "read"))
    b.begin("open", "f", other, os.O_RDWR | (os.O_NONBLOCK if how == "O_NONBLOCK" else 0))
    while (heard := a.do("signalled", 0.01)) != "SIGIO" and not b.has_answered():
        pass
    if heard == "SIGIO":
        said("the holder heard, and gives it back", a.do("lease", "f", "none"))
    said("opened at the other name", b.end())
    said("the holder has", a.do("lease", "f"))
    a.kill(), b.kill()


sys.stdout.reconfigure(line_buffering=True)
globals()[sys.argv[1]](*sys.argv[2:])
