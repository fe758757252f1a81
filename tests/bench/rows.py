"""What ratio measures: one line a row."""
from typing import NamedTuple

# How the caches stand when a measurement begins.
COLD = "cold"  # dropped, and the work ends before anything is touched twice
WARM = "warm"  # a read pass went before
DROPPED = "dropped"  # dropped, then --seconds of work: for O_DIRECT, which uses no cache anyway
CLEAN = "clean"  # all dirty pages written


class Row(NamedTuple):
    """One kind of work, by fio."""
    key: str
    title: str
    caches: str
    fio: str
    cache: str = "kernel"  # the mount's cache= option
    file: str = "data"
    passes: str = ""  # COLD: what one pass is


READ = "--ioengine=psync --rw=read"
RANDOM = "--ioengine=psync --rw=randread --bs=4k"
DIRECT = "--ioengine=libaio --direct=1"
SOME = "--io_size=64m"  # a quarter of the file, no block twice

MAIN = [
    Row("seq-cold", "sequential read 1M, cold", COLD, f"{READ} --bs=1m"),
    Row("seq-warm", "sequential read 1M, warm", WARM, f"{READ} --bs=1m"),
    Row("seq-none", "sequential read 1M, warm backing, cache=none", WARM, f"{READ} --bs=1m", "none"),
    Row("rand-cold", "random read 4K, cold", COLD, RANDOM, passes=SOME),
    Row("rand-warm", "random read 4K, warm", WARM, RANDOM),
    Row("rand-none", "random read 4K, warm backing, cache=none", WARM, RANDOM, "none"),
    Row("mmap-cold", "mmap random read 4K, cold", COLD, "--ioengine=mmap --rw=randread --bs=4k", passes=SOME),
    Row("mmap-warm", "mmap random read 4K, warm", WARM, "--ioengine=mmap --rw=randread --bs=4k"),
    *(Row(f"dio-{size}-d{depth}", f"O_DIRECT {kind} read {size.upper()}, depth {depth}", DROPPED,
          f"{DIRECT} --rw={rw} --bs={size} --iodepth={depth}")
      for size, rw, kind in (("4k", "randread", "random"), ("16k", "randread", "random"), ("1m", "read", "sequential"))
      for depth in (1, 16)),
    *(Row(f"dio-write-d{depth}", f"O_DIRECT random write 4K, depth {depth}", CLEAN,
          f"{DIRECT} --rw=randwrite --bs=4k --iodepth={depth}", file="written")
      for depth in (1, 16)),
    Row("write-seq", "buffered sequential write 1M", CLEAN, "--ioengine=psync --rw=write --bs=1m", file="written"),
    Row("write-rand", "buffered random write 8K", CLEAN, "--ioengine=psync --rw=randwrite --bs=8k", file="written"),
    Row("write-sync", "random write 4K, fdatasync each", CLEAN,
        "--ioengine=psync --rw=randwrite --bs=4k --fdatasync=1", file="written"),
]

# Phases of smallfiles, in their order; caches are dropped before those that say so.
SMALL = [("small-create", "create", "create {n} files of 4K", False), ("small-stat", "stat", "stat {n} files, cold", True),
         ("small-read", "read", "open + read {n} files, data cold", True),
         ("small-unlink", "unlink", "unlink {n} files", False)]

SPLICE_SIZES = ["4k", "8k", "16k", "32k", "64k", "128k", "512k", "1m"]
SPLICE = [Row(f"none-{size}", f"sequential read {size.upper()}, warm backing, cache=none", WARM,
              f"{READ} --bs={size}", "none") for size in SPLICE_SIZES]
