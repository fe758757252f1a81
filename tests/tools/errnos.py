#!/usr/bin/env python3
"""What a program sees where the backing fails.

errnos.py RULES DIRECTORY PATH...: for each errno and each call it writes the rule for failshim into RULES, makes the call
on the mount's files in DIRECTORY, and takes the rule away: the call must have failed with exactly that errno, left nothing
behind, and must succeed afterwards. Files are named x.PATH, so that a rule= of the mount chooses their data path.
Prints what differs; status 1 if anything did.
"""

import errno
import mmap
import os
import sys

ERRNOS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "ESTALE")
SIZES = (4096, 262144)
rules, directory, paths = sys.argv[1], sys.argv[2], sys.argv[3:]
n_checked = 0
bad = []


def set_rule(text):
    with open(rules, "w") as f:
        f.write(text)


def seen(call, *args):
    try:
        call(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    return "success"


def check(what, name, call, *args):
    """call fails with the errno while the rule stands, and works without it."""
    global n_checked
    n_checked += 1
    kind = what.split()[0]
    set_rule(f"{kind} {getattr(errno, name)}\n")
    got = seen(call, *args)
    set_rule("")
    if got != name:
        bad.append(f"{what} {name}: the program saw {got}")
    got = seen(call, *args)
    if got != "success":
        bad.append(f"{what} {name}: afterwards it saw {got}")


def in_directory(name):
    return os.path.join(directory, name)


def close_of_open(path, flags):
    os.close(os.open(path, flags, 0o600))


def check_names(name):
    made = in_directory("made")
    check("open of a new file", name, close_of_open, made, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    check("open to read", name, close_of_open, made, os.O_RDONLY)
    check("open to write", name, close_of_open, made, os.O_RDWR)
    check("open to truncate", name, close_of_open, made, os.O_WRONLY | os.O_TRUNC)
    check("unlink", name, os.unlink, made)
    check("mkdir", name, os.mkdir, made)
    check("unlink as rmdir", name, os.rmdir, made)


def write_and_sync(fd, data, offset):
    if os.pwrite(fd, data, offset) != len(data):
        raise OSError(errno.EPROTO, "a short write")


def read_all(fd, size, offset, wanted):
    """Past what the kernel has cached: a failed page must not have become a page of zeros."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    if os.pread(fd, size, offset) != wanted:
        raise OSError(errno.EBADMSG, "wrong data")


def check_data(name, path, size):
    file = in_directory(f"data{size}.{path}")
    old, new = os.urandom(size), os.urandom(size)
    with open(file, "wb") as f:
        f.write(old)
    fd = os.open(file, os.O_RDWR)
    label = f"{path} {size}"
    check(f"read {label}", name, read_all, fd, size, 0, old)
    check(f"write {label}", name, write_and_sync, fd, new, 0)
    check(f"write appending {label}", name, write_and_sync, fd, old, size)
    check(f"fsync {label}", name, os.fsync, fd)
    check(f"fsync as fdatasync {label}", name, os.fdatasync, fd)
    read_all(fd, 2 * size, 0, new + old)
    os.close(fd)
    os.unlink(file)


def check_mapped(name, path):
    """Write-back has nobody to tell but msync; the kernel keeps of an error only whether it was ENOSPC."""
    global n_checked
    n_checked += 1
    file = in_directory(f"mapped.{path}")
    with open(file, "wb") as f:
        f.write(bytes(8192))
    fd = os.open(file, os.O_RDWR)
    with mmap.mmap(fd, 8192) as m:
        m[0:4] = b"lost"
        set_rule(f"write {getattr(errno, name)}\n")
        got = seen(m.flush)
        set_rule("")
        if got not in ("ENOSPC" if name == "ENOSPC" else "EIO", name):
            bad.append(f"msync {path} {name}: the program saw {got}")
        m[0:4] = b"kept"
        if seen(m.flush) != "success":
            bad.append(f"msync {path} {name}: fails afterwards")
    if os.pread(fd, 4, 0) != b"kept":
        bad.append(f"msync {path} {name}: what was written afterwards is lost")
    os.close(fd)
    os.unlink(file)


for error in ERRNOS:
    check_names(error)
    for data_path in paths:
        for n in SIZES:
            check_data(error, data_path, n)
        check_mapped(error, data_path)
print(f"{n_checked} checked, {len(bad)} differ")
print("\n".join(bad))
sys.exit(1 if bad or n_checked == 0 else 0)
