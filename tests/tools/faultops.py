"""The operations that sweep.py makes on a mount, and what must come of each; no program of its own.

setup() says where. OPERATION.prepare() opens what OPERATION(prepared) needs; that raises OSError where the program was given an
error, and Wrong where it was given what no program may get.
"""

import ctypes
import mmap
import os

SMALL, LARGE = 4096, 262144
PATTERN = os.urandom(LARGE)
OTHER = os.urandom(LARGE)
FS_IOC_GETFLAGS = 0x80086601
SEEK_DATA = 3
AT_FDCWD = -100
FEW, MANY = 64, 40
LONG = ("pread", "pwrite", "write", "lseek", "copy_file_range", "readlink", "getxattr", "listxattr")
libc = ctypes.CDLL(None, use_errno=True)
WORK = BELOW = MOUNT = BACKING = None
PATHS = []


class Wrong(Exception):
    """Neither success nor an error."""


def setup(backing, mount, paths):
    global WORK, BELOW, MOUNT, BACKING
    MOUNT, BACKING = mount, backing
    WORK, BELOW = f"{mount}/work", f"{backing}/work"
    PATHS[:] = paths


def call(name, *args):
    """Of the C library, because Python's own functions call again after EINTR. The result, or OSError."""
    function = getattr(libc, name)
    function.restype = ctypes.c_long if name in LONG else ctypes.c_int
    result = function(*(ctypes.c_long(a) if isinstance(a, int) else a for a in args))
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


def at(name):
    return os.fsencode(os.path.join(WORK, name))


def make_work():
    """In the backing directory, so that the daemon begins with files it has not seen."""
    os.mkdir(BELOW)
    os.mkdir(f"{BELOW}/dir")
    os.symlink("target", f"{BELOW}/symlink")
    for name in ["file", *(f"f.{p}" for p in PATHS)]:
        with open(f"{BELOW}/{name}", "wb") as f:
            f.write(PATTERN)
        os.setxattr(f"{BELOW}/{name}", "user.kept", b"value")


def smoke():
    """Of everything a little, as programs would."""
    a, b = os.path.join(MOUNT, "smoke"), os.path.join(MOUNT, "smoked")
    with open(a, "xb") as f:
        f.write(OTHER[:70000])
    with open(a, "rb") as f:
        if f.read() != OTHER[:70000]:
            raise Wrong("other data than was written")
    os.rename(a, b)
    if sorted(os.listdir(MOUNT)) != sorted(os.listdir(BACKING)) or "smoked" not in os.listdir(MOUNT):
        raise Wrong(f"the mount lists {os.listdir(MOUNT)}")
    if os.stat(b).st_size != 70000:
        raise Wrong("another size")
    os.unlink(b)


def checked_read(fd, size, align=1):
    """On, after a short count, until there is all. Bytes of O_DIRECT come into memory that is aligned."""
    memory = mmap.mmap(-1, LARGE)
    start, done = ctypes.addressof(ctypes.c_char.from_buffer(memory)), 0
    while done < size:
        n = call("pread", fd, ctypes.c_void_p(start + done), size - done, done)
        if n == 0 or n % align:
            raise Wrong(f"{n} bytes after {done} of {size}")
        done += n
    if memory[:size] != PATTERN[:size]:
        raise Wrong("wrong data")


def checked_write(fd, name, size, off=0, is_append=False):
    memory = mmap.mmap(-1, LARGE)
    memory[:size] = OTHER[:size]
    start, done = ctypes.addressof(ctypes.c_char.from_buffer(memory)), 0
    while done < size:
        rest = (fd, ctypes.c_void_p(start + done), size - done)
        n = call("write", *rest) if is_append else call("pwrite", *rest, off + done)
        if n == 0:
            raise Wrong(f"nothing was written after {done} of {size}")
        done += n
    with open(f"{BELOW}/{name}", "rb") as f:
        if f.read(off) != PATTERN[:off] or f.read(size) != OTHER[:size]:
            raise Wrong("other data than was written")


def opened(name, flags):
    fd = call("open", at(name), flags, 0o600)
    os.close(fd)


def listed(prepared):
    names = os.listdir(prepared)
    if sorted(names) != sorted(os.listdir(BELOW)):
        raise Wrong(f"listed {names}")


def flags_of(fd):
    word = ctypes.c_long()
    call("ioctl", fd, FS_IOC_GETFLAGS, ctypes.byref(word))


def of_file(function, flags=os.O_RDWR, name="file"):
    """An operation on an open file."""

    def run(fd):
        function(fd)

    run.prepare = lambda: os.open(at(name), flags)
    return run


def plain(function):
    def run(_):
        function()

    run.prepare = lambda: None
    return run


def copied(fd):
    out = call("open", at("copy"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        start = ctypes.c_longlong(0)
        n = call("copy_file_range", fd, ctypes.byref(start), out, None, SMALL, 0)
        with open(f"{BELOW}/copy", "rb") as f:
            if n != SMALL or f.read() != PATTERN[:SMALL]:
                raise Wrong("copied otherwise")
    finally:
        os.close(out)


def link_read():
    buf = ctypes.create_string_buffer(100)
    if call("readlink", at("symlink"), buf, 100) != 6 or buf.value != b"target":
        raise Wrong(f"target {buf.value!r}")


def attribute_read():
    buf = ctypes.create_string_buffer(100)
    if call("getxattr", at("file"), b"user.kept", buf, 100) != 5 or buf.value != b"value":
        raise Wrong(f"attribute {buf.value!r}")


def statfs():
    call("statvfs", at("file"), ctypes.create_string_buffer(256))


def stat():
    """By lstat, which in this libc is a function."""
    if os.lstat(at("file")).st_size != LARGE:
        raise Wrong("another size")


NAMES = {
    "stat": (("lookup", "statx"), plain(stat)),
    "open": (("lookup", "statx", "open"), plain(lambda: opened("file", os.O_RDONLY))),
    "open to write": (("open",), plain(lambda: opened("file", os.O_RDWR))),
    "open to truncate": (("open",), plain(lambda: opened("file", os.O_WRONLY | os.O_TRUNC))),
    "create": (("open", "lookup", "statx"), plain(lambda: opened("new", os.O_CREAT | os.O_EXCL | os.O_WRONLY))),
    "tmpfile": (("open", "lookup", "statx"), plain(lambda: opened(".", os.O_TMPFILE | os.O_RDWR))),
    "mkdir": (("mkdir", "lookup", "statx"), plain(lambda: call("mkdir", at("new"), 0o700))),
    "mkfifo": (("mknod",), plain(lambda: call("mkfifo", at("new"), 0o600))),
    "symlink": (("symlink",), plain(lambda: call("symlink", b"target", at("new")))),
    "link": (("link", "statx"), plain(lambda: call("link", at("file"), at("new")))),
    "unlink": (("unlink",), plain(lambda: call("unlink", at("file")))),
    "rmdir": (("unlink",), plain(lambda: call("rmdir", at("dir")))),
    "rename": (("rename",), plain(lambda: call("rename", at("file"), at("new")))),
    "rename over": (("rename",), plain(lambda: call("rename", at("file"), at("f.splice")))),
    "readlink": (("readlink",), plain(link_read)),
}
ATTRIBUTES = {
    "statfs": (("statvfs",), plain(statfs)),
    "fstat": (("statx",), of_file(lambda fd: call("fstat", fd, ctypes.create_string_buffer(256)))),
    "chmod": (("chmod", "statx"), plain(lambda: call("chmod", at("file"), 0o640))),
    "fchmod": (("chmod",), of_file(lambda fd: call("fchmod", fd, 0o640))),
    "chown": (("chown",), plain(lambda: call("chown", at("file"), os.getuid(), os.getgid()))),
    "utimensat": (("utimens",), plain(lambda: call("utimensat", AT_FDCWD, at("file"), None, 0))),
    "truncate": (("truncate", "open"), plain(lambda: call("truncate", at("file"), 100))),
    "ftruncate": (("truncate",), of_file(lambda fd: call("ftruncate", fd, 100))),
    "getxattr": (("getxattr",), plain(attribute_read)),
    "setxattr": (("setxattr",), plain(lambda: call("setxattr", at("file"), b"user.new", b"v", 1, 0))),
    "listxattr": (("listxattr",), plain(lambda: call("listxattr", at("file"), ctypes.create_string_buffer(999), 999))),
    "removexattr": (("removexattr",), plain(lambda: call("removexattr", at("file"), b"user.kept"))),
    "ioctl": (("ioctl",), of_file(flags_of)),
    "ioctl of a directory": (("ioctl",), of_file(flags_of, os.O_RDONLY, "dir")),
    "fsync": (("fsync",), of_file(lambda fd: call("fsync", fd))),
    "fdatasync": (("fsync",), of_file(lambda fd: call("fdatasync", fd))),
    "fsync of a directory": (("fsync",), of_file(lambda fd: call("fsync", fd), os.O_RDONLY, "dir")),
    "fallocate": (("fallocate",), of_file(lambda fd: call("fallocate", fd, 0, 0, 2 * LARGE))),
    "seek to data": (("seek",), of_file(lambda fd: call("lseek", fd, 0, SEEK_DATA))),
    "copy_file_range": (("copy",), of_file(copied)),
    "open of a directory": (("open",), plain(lambda: opened("dir", os.O_RDONLY | os.O_DIRECTORY))),
    "list": (("getdents",), of_file(listed, os.O_RDONLY, ".")),
}


def data_operations():
    """Those of PATHS; each is (calls, operation), by name."""
    found = {}
    for path in PATHS:
        name = f"f.{path}"
        for size in SMALL, LARGE:
            is_spliced = path == "splice" and size == LARGE
            label = f"{size} bytes, path {path}"
            found[f"read of {label}"] = (
                ("read", "receive_read", "short_read"),
                of_file(lambda fd, s=size: checked_read(fd, s), os.O_RDONLY, name),
            )
            # The kernel reads the pages of a read-ahead that failed again, one by one; of O_DIRECT it does not.
            found[f"read past the cache of {label}"] = (
                ("read", "short_read", *(("splice", "vmsplice", "answer") if is_spliced else ())),
                of_file(lambda fd, s=size: checked_read(fd, s), os.O_RDONLY | os.O_DIRECT, name),
            )
            found[f"write of {label}"] = (
                ("write", "short_write", *(("splice", "receive") if is_spliced else ())),
                warmed(lambda fd, s=size, n=name: checked_write(fd, n, s), os.O_RDWR, name),
            )
            found[f"append of {label}"] = (
                ("write", "fstat", "short_write"),
                of_file(lambda fd, s=size, n=name: checked_write(fd, n, s, LARGE, True), os.O_WRONLY | os.O_APPEND, name),
            )
    for size in SMALL, LARGE:
        found[f"O_DIRECT read of {size} bytes"] = (
            ("read",),
            of_file(lambda fd, s=size: checked_read(fd, s, 512), os.O_RDONLY | os.O_DIRECT),
        )
        found[f"O_DIRECT write of {size} bytes"] = (
            ("write",),
            of_file(lambda fd, s=size: checked_write(fd, "file", s), os.O_RDWR | os.O_DIRECT),
        )
    if "direct" in PATHS:
        odd = of_file(lambda fd: checked_write(fd, "f.direct", 9000, 100), os.O_RDWR, "f.direct")
        found["write of odd ends, path direct"] = (("write", "sync_range"), odd)
    return found


def warmed(function, flags, name):
    """After some large writes, upon which the daemon receives the next by pipe."""

    def prepare():
        fd = os.open(at(name), flags)
        for _ in range(3):
            os.pwrite(fd, PATTERN, 0)
        return fd

    run = of_file(function)
    run.prepare = prepare
    return run


def make_many():
    for i in range(MANY):
        os.makedirs(f"{BELOW}/many/{i}/inside")


def look_up_many():
    """By access(2), as os.stat() would call again after EINTR."""
    for i in range(MANY):
        call("access", at(f"many/{i}/"), os.F_OK)


def stand_in_first():
    """In a directory that the daemon lets go of, because all others are looked up after it."""
    make_many()
    first = os.open(at("many/0"), os.O_PATH)
    look_up_many()
    return first


def look_from(first):
    call("faccessat", first, b"inside", os.F_OK, 0)


def handle_operations():
    """In a mount whose limit of descriptors is FEW, half of which are for what was looked up."""
    from_first, of_many = of_file(look_from), plain(look_up_many)
    from_first.prepare, of_many.prepare = stand_in_first, make_many
    of_many.most_fds = FEW * 3 // 4
    return {"use of what was let go": (("handle_open",), from_first), "use of many": (("handle_take",), of_many)}


# Where close(2) is told of: in a mount whose backing may have kept an error for it.
FLUSH = {"close": (("dup",), plain(lambda: closed("file")))}


def closed(name):
    fd = os.open(at(name), os.O_RDWR)
    call("close", fd)


def tables():
    """Rows of (the calls of failshim that an operation makes, the operation), by its name."""
    return {"names": NAMES, "attributes": ATTRIBUTES, "data": data_operations(), "flush": FLUSH, "handles": handle_operations()}
