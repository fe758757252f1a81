"""Mounts, reads by turns and writes for tests/bench/pool."""
import contextlib
import json
import os
import shlex
import time
from pathlib import Path
from typing import NamedTuple

import bench

HERE = Path(__file__).resolve().parent
# What is read of a hit's file: what fits the processor's caches, and what does not.
SET_MIB = {"hot": 1, "wide": 64}
HIT_FILE_MIB = SET_MIB["wide"]
HIT_POOL_MIB = 2 * HIT_FILE_MIB
MISS_FILE_MIB, MISS_POOL_MIB = 512, 8
ZIPF_FILE_MIB = 256
WRITE_FILE_MIB = 128
WAITING = "fuse_dev_do_read"  # where a thread that waits for a request is


class Turns(NamedTuple):
    """What poolturns says of our mount and the other; nanoseconds a read."""
    mean: tuple
    median: tuple
    ratio: float  # ours to the other's, median over pairs of turns
    device_share: float  # of our bytes, read from a device meanwhile


class Writes(NamedTuple):
    rate: float  # a second
    flushed_rate: float  # the same when the fsync() after the run counts as time
    median_ns: float
    slow_ns: float  # the least of the slowest 0.1 %
    worst_ns: float


def _tasks(mount):
    for pid in mount.pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            yield int(task.name)


def _waiting(mount):
    """Threads of a daemon that wait for requests now, 0 where the kernel does not tell."""
    count = 0
    for task in _tasks(mount):
        with contextlib.suppress(OSError):
            count += Path(f"/proc/{task}/wchan").read_text() == WAITING
    return count


def _device_bytes(mount):
    """Read from devices by a daemon so far."""
    total = 0
    for pid in mount.pids:
        for line in Path(f"/proc/{pid}/io").read_text().splitlines():
            if line.startswith("read_bytes:"):
                total += int(line.split()[1])
    return total


class Mounts:
    """What one place offers; programs are compiled when it is made."""

    def __init__(self, stack, args, backing):
        self.args, self.backing = args, backing
        self.cpus = os.sched_getaffinity(0)
        tools = bench.scratch(stack)
        self.floor_program, self.turns_program = tools / "floor", tools / "poolturns"
        bench.run("cc", "-O2", "-D_GNU_SOURCE", "-pthread", "-o", self.floor_program, HERE / "floor.c")
        bench.run("cc", "-O2", "-D_GNU_SOURCE", "-o", self.turns_program, HERE / "poolturns.c", "-lm")

    def make(self, name, mib):
        """A file of that size on the device, and in no cache of the kernel's."""
        path = self.backing / name
        if not path.exists() or path.stat().st_size != mib << 20:
            bench.make_file(path, f"{mib}m")
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def pool(self, stack, mib, *more, page="16K"):
        options = self.args.pool
        if "path=pool" in options:
            options = ",".join([options, f"pool_size={mib}M", f"pool_page={page}", *more])
        return bench.mount_zcfs(stack, self.args.build, self.backing, options)

    def direct(self, stack):
        return bench.mount_zcfs(stack, self.args.build, self.backing, "path=direct")

    def hit_mounts(self, stack, size):
        """Ours, filled, and the floors for a hot and for a wide set, with as many threads waiting as ours has."""
        self.make("data", HIT_FILE_MIB)
        ours = self.pool(stack, HIT_POOL_MIB, page=f"{size >> 10}K")
        for _ in range(2):
            bench.read_through(ours.directory / "data")
        self.turns(ours, ours, 0, size=size)
        threads = _waiting(ours) or 2
        floors = {}
        for name, ring_mib in (("hot", 0), ("wide", SET_MIB["wide"])):
            command = f"{shlex.quote(str(self.floor_program))} {{mnt}} {HIT_FILE_MIB} {threads} {ring_mib}"
            floors[name] = bench.mount_command(stack, self.backing, command)
        return ours, floors

    def turns(self, ours, other, seed, size, is_on_one=False, set_mib=None, file="data", reads=400, options=()):
        cpus = {min(self.cpus)} if is_on_one else self.cpus
        for task in [*_tasks(ours), *_tasks(other)]:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(task, cpus)
        before = _device_bytes(ours)
        words = bench.run("taskset", "-c", ",".join(map(str, sorted(cpus))), self.turns_program, "-b", size, "-n", reads, "-r", seed,
                          *(["-s", set_mib] if set_mib else []), *options, self.args.seconds,
                          ours.directory / file, other.directory / file).split()
        mean0, mean1, median0, median1, ratio, count = (float(word) for word in words)
        return Turns((mean0, mean1), (median0, median1), ratio, (_device_bytes(ours) - before) / (count * size))

    def write(self, mount, name, turn):
        """fio's random writes of 16K for the time given, then an fsync."""
        path = mount.directory / name
        os.sync()
        text = bench.run("fio", "--name=job", f"--filename={path}", "--output-format=json", "--allow_file_create=0", "--invalidate=0",
                         "--ioengine=psync", "--rw=randwrite", "--bs=16k", "--norandommap", f"--randseed={turn + 1}",
                         "--refill_buffers=0", "--percentile_list=50:99.9", "--time_based",
                         f"--runtime={int(self.args.seconds * 1000)}ms", cwd="/")
        job = json.loads(text[text.index("{"):])["jobs"][0]
        if job["error"]:
            raise bench.Failure(f"fio: writing {path}: {os.strerror(job['error'])}")
        start = time.monotonic()
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
        flush_s = time.monotonic() - start
        side = job["write"]
        ops, seconds, clat = side["total_ios"], side["runtime"] / 1000, side["clat_ns"]
        return Writes(ops / seconds, ops / (seconds + flush_s), clat["percentile"]["50.000000"], clat["percentile"]["99.900000"],
                      clat["max"])
