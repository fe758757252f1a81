#!/usr/bin/env python3
"""naming.py WHAT DIRECTORY [ARGUMENT]: operations on names and on files without one, and what each gave, one line a step.

WHAT is a function below: opath, tmpfile, limits, octets, deep, listing, orphans. Nothing that is printed depends on when or
where it runs, so two runs can be compared.
"""

import ctypes
import errno
import mmap
import os
import stat
import sys

libc = ctypes.CDLL(None, use_errno=True)
where = sys.argv[2]
AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, AT_FDCWD = 0x1000, 0x400, -100
NAME = "n" * 200


def at(name):
    return os.path.join(where, name)


def say(what, call, *args, **kwargs):
    """Its answer, or its errno."""
    try:
        answer = call(*args, **kwargs)
    except OSError as e:
        answer = errno.errorcode[e.errno]
    print(f"{what}: {answer}")
    return answer


def must(rc):
    if rc < 0:
        raise OSError(ctypes.get_errno(), "libc")
    return rc


def link_fd(fd, name):
    return must(libc.linkat(fd, b"", AT_FDCWD, at(name).encode(), AT_EMPTY_PATH))


def look(st):
    return stat.filemode(st.st_mode), st.st_nlink, st.st_size


def write_file(name, data=b"text"):
    with open(at(name), "wb") as f:
        f.write(data)


def read_file(name):
    with open(at(name), "rb") as f:
        return f.read()


def reopened(fd, flags=os.O_RDWR):
    return os.open(f"/proc/self/fd/{fd}", flags)


def read_reopened(fd):
    new = reopened(fd)
    try:
        return os.pread(new, 100, 0)
    finally:
        os.close(new)


def opath():
    write_file("f")
    os.mkdir(at("d"))
    os.symlink("f", at("s"))
    file, link = os.open(at("f"), os.O_PATH), os.open(at("s"), os.O_PATH | os.O_NOFOLLOW)
    directory = os.open(at("d"), os.O_PATH | os.O_DIRECTORY)
    say("fstat", lambda: look(os.fstat(file)))
    say("fstat of a symlink", lambda: look(os.fstat(link)))
    say("readlinkat", lambda: os.readlink(b"", dir_fd=link))
    for what, call in (("read", lambda: os.read(file, 1)), ("write", lambda: os.write(file, b"x")),
                       ("fchmod", lambda: os.fchmod(file, 0o600)), ("fchown", lambda: os.fchown(file, 0, 0)),
                       ("ftruncate", lambda: os.ftruncate(file, 0)), ("fsync", lambda: os.fsync(file)),
                       ("fgetxattr", lambda: os.getxattr(file, "user.a")), ("mmap", lambda: mmap.mmap(file, 1)),
                       ("getdents", lambda: os.listdir(directory)), ("lseek", lambda: os.lseek(file, 0, 0))):
        say(what, call)
    say("read through /proc", read_reopened, file)
    say("linkat", link_fd, file, "g")
    say("linkat of a symlink", link_fd, link, "t")
    say("what it is", lambda: (os.readlink(at("t")), os.stat(at("g")).st_nlink))
    os.close(os.open("made", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory))
    say("openat from it", lambda: os.listdir(at("d")))
    here = os.open(".", os.O_PATH)
    os.fchdir(directory)
    say("fchdir to it", os.listdir, ".")
    os.rename("made", "moved")
    os.fchdir(here)
    say("renamed there", lambda: os.listdir(at("d")))
    os.rename(at("d"), at("e"))
    say("after its rename", lambda: os.stat("moved", dir_fd=directory).st_size)
    os.unlink(at("f")), os.unlink(at("g")), os.unlink(at("e/moved")), os.rmdir(at("e"))
    say("unlinked", lambda: look(os.fstat(file)))
    say("unlinked, through /proc", read_reopened, file)
    say("unlinked, linked again", link_fd, file, "back")
    say("of a removed directory", lambda: os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    say("its links", lambda: os.fstat(directory).st_nlink)


def tmpfile():
    fd = os.open(where, os.O_TMPFILE | os.O_RDWR, 0o604)
    say("written", os.write, fd, b"some text")
    say("it is", lambda: look(os.fstat(fd)))
    say("reads", os.pread, fd, 100, 5)
    say("nobody sees it", lambda: os.listdir(where))
    say("read through /proc", read_reopened, fd)
    say("linked", link_fd, fd, "named")
    say("linked twice", link_fd, fd, "again")
    say("it is", lambda: look(os.fstat(fd)))
    say("as named", lambda: (look(os.stat(at("named"))), read_file("again")))
    os.unlink(at("named")), os.unlink(at("again"))
    say("unlinked", lambda: look(os.fstat(fd)))
    say("linked after that", link_fd, fd, "back")
    fd = os.open(where, os.O_TMPFILE | os.O_WRONLY | os.O_EXCL, 0o600)
    say("O_EXCL, linked", link_fd, fd, "never")
    say("to read only", os.open, where, os.O_TMPFILE | os.O_RDONLY)
    say("in a file", lambda: (write_file("file"), os.open(at("file"), os.O_TMPFILE | os.O_RDWR)))
    say("left", lambda: sorted(os.listdir(where)))


def limits():
    fd = os.open(at("f"), os.O_RDWR | os.O_CREAT)
    direct = os.open(at("f"), os.O_RDWR | os.O_DIRECT)
    aligned = mmap.mmap(-1, 4096)
    for off in (2**31 - 1, 2**32, 2**40, 2**43, 2**44 - 8192, 2**44 - 4097, 2**44 - 4096, 2**44, 2**62, 2**63 - 4096, 2**63 - 1):
        say(f"pwrite at {off:#x}", os.pwrite, fd, b"x", off)
        say("the size", lambda: os.fstat(fd).st_size)
        say(f"pread at {off:#x}", os.pread, fd, 2, off)
        say(f"O_DIRECT write at {off & -4096:#x}", os.pwritev, direct, [aligned], off & -4096)
        say("SEEK_DATA", os.lseek, fd, 0, os.SEEK_DATA)
        say("cut there", os.ftruncate, fd, off)
        say("the size", lambda: os.fstat(fd).st_size)
        say("SEEK_END", os.lseek, fd, 0, os.SEEK_END)
        os.ftruncate(fd, 0)
    say("pwrite at -1", lambda: must(libc.pwrite(fd, b"x", ctypes.c_size_t(1), ctypes.c_long(-1))))
    say("ftruncate to -1", lambda: must(libc.ftruncate(fd, ctypes.c_long(-1))))
    say("lseek before the start", os.lseek, fd, -5, os.SEEK_SET)
    say("lseek beyond the end of time", os.lseek, fd, 2**63 - 1, os.SEEK_SET)
    say("fallocate beyond the limit", os.posix_fallocate, fd, 2**44, 4096)
    os.lseek(fd, 0, os.SEEK_SET)
    os.pwrite(fd, b"x" * 10, 0)
    flags = os.O_WRONLY | os.O_TRUNC
    say("O_TRUNC", lambda: (os.close(os.open(at("f"), flags)), os.fstat(fd).st_size))
    say("O_TRUNC to read", lambda: os.pread(fd, 10, 0))
    append = os.open(at("f"), os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"12345")
    say("pwrite of O_APPEND", lambda: (os.pwrite(append, b"ab", 1), read_file("f")))
    say("O_APPEND|O_TRUNC", lambda: (os.close(os.open(at("f"), flags | os.O_APPEND)), os.write(append, b"z"), read_file("f")))
    say("O_CREAT|O_EXCL", os.open, at("f"), os.O_CREAT | os.O_EXCL | os.O_RDWR)
    say("O_DIRECTORY", os.open, at("f"), os.O_DIRECTORY)
    say("a directory to write", os.open, where, os.O_WRONLY)
    say("with a slash", os.open, at("f/"), os.O_RDONLY)


def octets():
    """Names of each byte, and of many that are no UTF-8."""
    names = [bytes([c]) for c in range(1, 256) if c not in b"./"]
    names += [bytes([c, 0xC3]) * 127 + b"e" for c in range(128, 255, 9)] + [b"...", b"\xff" * 255]
    base = where.encode() + b"/"
    for i, name in enumerate(names):
        fd = os.open(base + name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(fd, b"%d" % i)
        os.close(fd)
    print("all listed:", sorted(os.listdir(base)) == sorted(names))
    print("each its own:", all(open(base + n, "rb").read() == b"%d" % i for i, n in enumerate(names)))
    for name in names:
        os.rename(base + name, base + b"other name")
        os.rename(base + b"other name", base + name)
        os.symlink(name, base + b"link")
        if os.readlink(base + b"link") != name:
            print("a symlink to", name)
        os.unlink(base + b"link")
        os.setxattr(base + name, b"user.a", name)
        if os.getxattr(base + name, b"user.a") != name:
            print("an attribute of", name)
        os.unlink(base + name)
    print("left:", os.listdir(base))
    long, target = base + b"n" * 256, base + b"t"
    open(target, "wb").close()
    for what, call in (("open", lambda: os.open(long, os.O_CREAT)), ("link", lambda: os.link(target, long)),
                       ("symlink", lambda: os.symlink(b"x", long)), ("mkfifo", lambda: os.mkfifo(long)),
                       ("unlink", lambda: os.unlink(long)), ("rmdir", lambda: os.rmdir(long)),
                       ("rename from", lambda: os.rename(long, target)), ("below", lambda: os.stat(long + b"/x")),
                       ("target of 4095", lambda: os.symlink(b"x" * 4095, base + b"s")),
                       ("which reads", lambda: len(os.readlink(base + b"s"))),
                       ("target of 4096", lambda: os.symlink(b"x" * 4096, base + b"s2")),
                       ("no target", lambda: os.symlink(b"", base + b"s3")), ("no name", lambda: os.open(b"", 0))):
        say(f"256 bytes, {what}", call)


def deep():
    """Deeper than any path can say: 200 bytes a level, 60 levels."""
    top = os.open(".", os.O_PATH)
    os.chdir(where)
    for level in range(60):
        os.mkdir(NAME)
        os.chdir(NAME)
    with open("bottom", "w") as f:
        f.write("text")
    os.rename("bottom", "file")
    os.link("file", "other")
    os.setxattr("file", "user.a", b"b")
    say("at the bottom", lambda: (sorted(os.listdir(".")), open("other").read(), look(os.stat("file"))))
    say("getcwd", lambda: len(os.getcwd()) > 12000)
    os.unlink("file"), os.unlink("other")
    for level in range(60):
        os.chdir("..")
        if level == 30:
            say("half way up", os.listdir, NAME)
        os.rmdir(NAME)
    say("at the top", os.listdir, ".")
    os.fchdir(top)


class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_ushort), ("type", ctypes.c_ubyte),
                ("name", ctypes.c_char * 256)]


libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.telldir.restype = ctypes.c_long


def entries(d):
    while entry := libc.readdir(d):
        yield entry.contents.name


def listing(count, mode):
    """A directory of `count` empty files, made by somebody else: listed, sought, and (mode remove) listed while it shrinks."""
    d = ctypes.c_void_p(libc.opendir(where.encode()))
    names, places, told = [], {}, libc.telldir(d)
    for name in entries(d):
        if len(names) % 997 == 0:
            places[told] = name
        names.append(name)
        told = libc.telldir(d)
    print("listed:", len(names), "different:", len(set(names)))
    wrong = 0
    for place, name in sorted(places.items(), key=lambda item: item[1][::-1]):
        libc.seekdir(d, ctypes.c_long(place))
        wrong += next(entries(d), None) != name
    print("sought:", len(places) > int(count) // 1000, "wrong:", wrong)
    libc.rewinddir(d)
    if mode == "remove":
        seen, removed = {}, set()
        for name in entries(d):
            seen[name] = seen.get(name, 0) + 1
            # One of two goes: this one, or one that comes later or has been.
            victim = names[(len(seen) * 31) % len(names)] if len(seen) % 2 else name
            if victim not in removed and not victim.startswith(b"."):
                os.unlink(os.path.join(where.encode(), victim))
                removed.add(victim)
        kept = set(names) - removed
        print("removed many:", len(removed) > int(count) // 3, "listed twice:", sum(n > 1 for n in seen.values()),
              "kept, not listed:", len(kept - set(seen)))
        print("left is what was kept:", {n.encode() for n in os.listdir(where)} == kept - {b".", b".."})


def orphans(count):
    """Files without a name, while `count` others are looked at in between."""
    os.mkdir(at("others"))
    for i in range(int(count)):
        os.close(os.open(at(f"others/{i}"), os.O_CREAT | os.O_WRONLY))
    os.mkdir(at("gone"))
    gone, files, paths = os.open(at("gone"), os.O_RDONLY | os.O_DIRECTORY), [], []
    for i in range(20):
        write_file(f"f{i}", b"%08d" % i)
        files.append(os.open(at(f"f{i}"), os.O_RDWR))
        write_file(f"p{i}", b"%08d" % i)
        paths.append(os.open(at(f"p{i}"), os.O_PATH))
    for i in range(20):
        os.unlink(at(f"f{i}")), os.unlink(at(f"p{i}"))
    os.rmdir(at("gone"))
    print("others:", sum(os.stat(at(f"others/{i}")).st_size for i in range(int(count))))
    for i in (0, 7, 19):
        fd = files[i]
        for what, call in (("is", lambda: look(os.fstat(fd))), ("reads", lambda: os.pread(fd, 20, 0)),
                           ("writes", lambda: os.pwrite(fd, b"new", 10)), ("chmod", lambda: os.fchmod(fd, 0o640)),
                           ("utime", lambda: os.utime(fd, ns=(5, 7))), ("times", lambda: os.fstat(fd).st_mtime_ns),
                           ("sync", lambda: (os.fsync(fd), os.fdatasync(fd))), ("cut", lambda: os.ftruncate(fd, 8000)),
                           ("setxattr", lambda: os.setxattr(fd, "user.a", b"b")), ("getxattr", lambda: os.getxattr(fd, "user.a")),
                           ("again by /proc", lambda: read_reopened(fd)), ("is", lambda: look(os.fstat(fd)))):
            say(f"{i} {what}", call)
        with mmap.mmap(fd, 8000) as m:
            m[7000] = 65
            m.flush()
        say("mapped", lambda: os.pread(fd, 2, 7000))
        say("linked again", link_fd, fd, "back")
        say("O_PATH is", lambda: look(os.fstat(paths[i])))
        say("O_PATH reads", lambda: read_reopened(paths[i]))
    say("a directory is", lambda: (os.fstat(gone).st_nlink, os.listdir(gone)))
    say("made in it", os.mkdir, "x", dir_fd=gone)


globals()[sys.argv[1]](*sys.argv[3:])
