"""One process's share of the soak: random operations of every kind on files of its own directory and of one that all share, each
file's content checked whenever it is read. In the own directory nothing may fail; in the shared one names come and go.
"""

import errno
import fcntl
import mmap
import os
import random
import shutil

SUFFIXES = ("splice", "copy", "direct", "auto")  # run's rules give each its path
SIZES = (0, 1, 700, 4096, 5000, 40000, 140000, 600000)
MAX_FILES = 60
BLOCK = 4096
# What names that come and go may answer.
PASSING = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ESTALE, errno.ENOTDIR, errno.EISDIR}


def check(is_so, what):
    if not is_so:
        raise AssertionError(what)


class Load:
    """A file is its path, and all of its bytes are one letter."""

    def __init__(self, top, number, seed):
        self.random = random.Random(seed)
        self.own = os.path.join(top, f"own{number}")
        self.shared = os.path.join(top, "shared")
        self.number, self.made, self.files, self.dirs, self.links = number, 0, {}, [self.own], []
        os.mkdir(self.own)
        os.makedirs(self.shared, exist_ok=True)

    def new_path(self, directory=None):
        self.made += 1
        suffix = self.random.choice(SUFFIXES)
        return os.path.join(directory or self.random.choice(self.dirs), f"f{self.made}.{suffix}")

    def any_file(self):
        return self.random.choice(list(self.files))

    def run(self, operations):
        # What needs a file, and what does not; a name's weight is how often it stands there.
        needy = [self.read] * 6 + [self.overwrite] * 4 + [self.direct, self.mapped, self.truncate, self.rename] * 2
        needy += [self.append, self.link, self.symlink, self.xattrs, self.ledger, self.attributes, self.copy_range]
        needy += [self.allocate, self.unlinked, self.locked, self.replace] + [self.stat, self.unlink] * 4
        free = [self.create] * 3 + [self.listing, self.listing, self.make_dir, self.remove_dir, self.tmpfile, self.share]
        for _ in range(operations):
            if len(self.files) >= MAX_FILES:
                self.unlink()
            elif len(self.files) < 5:
                self.create()
            else:
                self.random.choice(needy if self.random.random() < 0.8 else free)()

    def end(self):
        shutil.rmtree(self.own)

    # Files' contents.

    def create(self):
        path, size, letter = self.new_path(), self.random.choice(SIZES), self.random.randbytes(1)
        with open(path, "xb", buffering=0) as f:
            check(f.write(letter * size) == size, "a short write")
        self.files[path] = (letter, size)

    def read(self):
        path = self.any_file()
        letter, size = self.files[path]
        fd = os.open(path, os.O_RDONLY)
        data = os.pread(fd, size + 1, 0)
        os.close(fd)
        check(data == letter * size, f"{path}: {len(data)} bytes, not {size} of {letter}")

    def overwrite(self):
        path = self.any_file()
        _, size = self.files[path]
        letter = self.random.randbytes(1)
        fd = os.open(path, os.O_RDWR)
        at = 0
        while at < size:
            piece = min(size - at, self.random.choice((1000, 4096, 65536, 524288)))
            check(os.pwrite(fd, letter * piece, at) == piece, "a short write")
            at += piece
        if self.random.random() < 0.02:
            os.fsync(fd)
        os.close(fd)
        self.files[path] = (letter, size)

    def append(self):
        path = self.any_file()
        letter, size = self.files[path]
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        check(os.write(fd, letter * 100) == 100, "a short append")
        os.close(fd)
        self.files[path] = (letter, size + 100)

    def truncate(self):
        path = self.any_file()
        letter, size = self.files[path]
        size = self.random.randrange(size + 1)
        os.truncate(path, size)
        self.files[path] = (letter, size)

    def direct(self):
        path, letter = self.any_file(), self.random.randbytes(1)
        size = BLOCK * self.random.randrange(1, 20)
        memory = mmap.mmap(-1, size)  # aligned
        memory[:] = letter * size
        fd = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_TRUNC)
        check(os.pwritev(fd, [memory], 0) == size, "a short direct write")
        memory[:] = bytes(size)
        check(os.preadv(fd, [memory], 0) == size, "a short direct read")
        check(memory[:] == letter * size, f"{path}: read by O_DIRECT is not what was written")
        os.close(fd)
        memory.close()
        self.files[path] = (letter, size)

    def mapped(self):
        path = self.any_file()
        letter, size = self.files[path]
        if not size:
            return
        fd = os.open(path, os.O_RDWR)
        with mmap.mmap(fd, size) as view:
            check(view[size - 1 : size] == letter, f"{path}: mapped, its last byte is another")
            letter = self.random.randbytes(1)
            view[:] = letter * size
        os.close(fd)
        self.files[path] = (letter, size)

    def copy_range(self):
        source, target = self.any_file(), self.new_path()
        letter, size = self.files[source]
        with open(source, "rb") as a, open(target, "xb") as b:
            left = size
            while left:
                n = os.copy_file_range(a.fileno(), b.fileno(), left)
                check(n > 0, "a short copy_file_range")
                left -= n
        self.files[target] = (letter, size)

    def allocate(self):
        path = self.any_file()
        fd = os.open(path, os.O_RDWR)
        os.posix_fallocate(fd, 0, 50000)
        os.ftruncate(fd, 0)
        os.close(fd)
        self.files[path] = (b"x", 0)

    def unlinked(self):
        path = self.any_file()
        letter, size = self.files.pop(path)
        fd = os.open(path, os.O_RDWR)
        os.unlink(path)
        check(os.fstat(fd).st_nlink == 0, "a deleted file has links")
        os.pwrite(fd, b"rest", size)
        check(os.pread(fd, size + 5, 0) == letter * size + b"rest", "a deleted file's content")
        os.close(fd)

    def tmpfile(self):
        path = self.new_path()
        fd = os.open(self.own, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.write(fd, b"t" * 3000)
        if self.random.random() < 0.5:
            os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=0, follow_symlinks=True)
            self.files[path] = (b"t", 3000)
        os.close(fd)

    # Names and attributes.

    def unlink(self):
        path = self.any_file()
        os.unlink(path)
        del self.files[path]

    def rename(self):
        old, new = self.any_file(), self.new_path()
        os.rename(old, new)
        self.files[new] = self.files.pop(old)

    def replace(self):
        old, new = self.random.sample(list(self.files), 2)
        os.rename(old, new)
        self.files[new] = self.files.pop(old)

    def link(self):
        path, other = self.any_file(), self.new_path()
        os.link(path, other)
        check(os.stat(path).st_nlink == 2, "a link more is not seen")
        os.unlink(other)

    def symlink(self):
        path, other = self.any_file(), self.new_path()
        os.symlink(path, other)
        check(os.readlink(other) == path and os.stat(other).st_size == self.files[path][1], "a symlink leads elsewhere")
        os.unlink(other)

    def make_dir(self):
        if len(self.dirs) < 8:
            self.made += 1
            self.dirs.append(os.path.join(self.random.choice(self.dirs), f"d{self.made}"))
            os.mkdir(self.dirs[-1])

    def remove_dir(self):
        path = self.dirs[-1]
        if path != self.own and not os.listdir(path):
            os.rmdir(path)
            self.dirs.pop()

    def listing(self):
        path = self.random.choice(self.dirs)
        with os.scandir(path) as entries:
            names = {entry.name for entry in entries if entry.stat().st_ino and entry.is_file()}
        check(names == {os.path.basename(f) for f in self.files if os.path.dirname(f) == path}, f"{path}: other names")

    def stat(self):
        path = self.any_file()
        check(os.stat(path).st_size == self.files[path][1], f"{path}: another size")

    def attributes(self):
        path = self.any_file()
        os.chmod(path, 0o640)
        os.utime(path, ns=(10**18, 10**18 + 7))
        check(os.stat(path).st_mtime_ns == 10**18 + 7, "utime")
        os.statvfs(path)

    def xattrs(self):
        path = self.any_file()
        os.setxattr(path, "user.soak", b"value")
        check(os.getxattr(path, "user.soak") == b"value" and "user.soak" in os.listxattr(path), "an attribute is missing")
        os.removexattr(path, "user.soak")

    def ledger(self):
        path = self.any_file()
        check(int(os.getxattr(path, "user.zcfs.read.bytes")) >= 0 and os.getxattr(path, "user.zcfs.stats"), "no ledger")
        os.setxattr(path, "user.zcfs.path", self.random.choice(SUFFIXES[:3]).encode())
        os.getxattr(path, "user.zcfs.io_mode")

    def locked(self):
        with open(self.any_file(), "rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX)

    def share(self):
        """A few names that every process makes, renames, lists and deletes."""
        names = [os.path.join(self.shared, f"{self.random.randrange(6)}.{suffix}") for suffix in self.random.sample(SUFFIXES, 2)]
        steps = (
            lambda: open(names[0], "ab", buffering=0).write(b"s" * 3000),
            lambda: check(not open(names[0], "rb", buffering=0).read().strip(b"s"), f"{names[0]}: other bytes"),
            lambda: os.rename(*names),
            lambda: os.unlink(names[0]),
            lambda: [entry.stat() for entry in os.scandir(self.shared)],
        )
        try:
            self.random.choice(steps)()
        except OSError as error:
            if error.errno not in PASSING:
                raise
