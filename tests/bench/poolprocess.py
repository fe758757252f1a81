"""Rows of tests/bench/pool without a mount: hits of every policy in process, beside RocksDB's clock cache."""
import statistics
import subprocess
from pathlib import Path

import bench

HERE = Path(__file__).resolve().parent
PATTERNS = ("zipf", "uniform")
CONTROL, ROCKS = "control", "rocksdb"
RATE_GOAL, SCALE_GOAL, ROCKS_GOAL = 10e6, 1.7, 1.0


class Driver:
    """A process with a filled cache, which works when it is told to."""

    def __init__(self, stack, *command):
        self.words = [str(word) for word in command]
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(self.end)
        self.line()  # "ready"

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            raise bench.Failure(f"{self.words[0]} {self.words[1]} ended with status {self.process.wait()}")
        return text

    def measure(self, pattern, threads, seconds, is_cpu_time):
        """Lookups of all threads, a second or a second of CPU time."""
        self.process.stdin.write(f"{pattern} {threads} {max(1, int(seconds * 1000))}\n")
        self.process.stdin.flush()
        wall_rate, cpu_rate, misses = self.line().split()
        if int(misses):
            raise bench.Failure(f"{self.words[0]} {self.words[1]}: {misses} lookups missed, though all pages were there")
        return float(cpu_rate if is_cpu_time else wall_rate)

    def finish(self):
        """Its last checks."""
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise bench.Failure(f"{self.words[0]} {self.words[1]} ended with status {self.process.returncode}")

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def compile_poolhits(directory, build):
    program = directory / "poolhits"
    bench.run("cc", "-O2", "-std=gnu17", "-D_GNU_SOURCE", f"-I{bench.SOURCE / 'fs'}", "-o", program, HERE / "poolhits.c",
              Path(build).resolve() / "fs" / "libcore.a", Path(build).resolve() / "fs" / "libevict.a",
              "-lxxhash", "-lm", "-pthread")
    return program


def compile_rocks(directory):
    """None where librocksdb-dev is not there."""
    program = directory / "rocks_cache"
    try:
        bench.run("c++", "-O2", "-std=c++17", "-o", program, HERE / "rocks_cache.cc", "-lrocksdb", "-pthread")
    except (bench.Failure, OSError) as failure:
        bench.say(f"without RocksDB (Debian: librocksdb-dev): {failure}")
        return None
    return program


def measure(stack, args):
    """{(pattern, name): {threads: [rate of each round]}}"""
    directory = bench.scratch(stack)
    poolhits, rocks = compile_poolhits(directory, args.build), compile_rocks(directory)
    policies = args.policies.split(",") if args.policies else bench.run(poolhits, "--policies").split()
    drivers = {name: Driver(stack, poolhits, name, args.pages) for name in [*policies, CONTROL]}
    if rocks:
        drivers[ROCKS] = Driver(stack, rocks, args.pages)
    rates = {}
    seconds = min(args.seconds, 0.3)
    for turn in range(args.rounds):
        names = list(drivers)
        names = names[turn % len(names):] + names[:turn % len(names)]
        for pattern in PATTERNS:
            for name in names:
                for threads in (1, 2):
                    rate = drivers[name].measure(pattern, threads, seconds, args.cpu_time)
                    rates.setdefault((pattern, name), {}).setdefault(threads, []).append(rate)
    for driver in drivers.values():
        driver.finish()
    return rates


def ratios(rates, others):
    return [a / b for a, b in zip(rates, others)]


def has_two_cpus(control):
    """Threads that share nothing do reach the goal now: otherwise it says nothing that the pool's do not."""
    return statistics.median(ratios(control[2], control[1])) >= SCALE_GOAL


def lines(rates, judged):
    """The table: judged(values, goal) gives a cell."""
    rows = []
    for (pattern, name), mine in rates.items():
        is_judged = name not in (CONTROL, ROCKS)
        row = [pattern, name, judged([rate / 1e6 for rate in mine[1]], RATE_GOAL / 1e6 if is_judged else None),
               judged(ratios(mine[2], mine[1]), SCALE_GOAL if is_judged else None)]
        if is_judged and not has_two_cpus(rates[pattern, CONTROL]) and row[-1].endswith("MISSED"):
            row[-1] += "?"
        rocks = rates.get((pattern, ROCKS))
        for threads in (1, 2):
            row.append(judged(ratios(mine[threads], rocks[threads]), ROCKS_GOAL) if rocks and is_judged else "-")
        rows.append(row)
    return rows


def heads(args):
    title = f"in process, {args.pages} pages of 4K" + (", by CPU time" if args.cpu_time else "")
    return [title, "", f"1 thread, M/s (>= {RATE_GOAL / 1e6:g})", f"2 threads:1 (>= {SCALE_GOAL:g})",
            f"to RocksDB, 1 (>= {ROCKS_GOAL:g})", f"to RocksDB, 2 (>= {ROCKS_GOAL:g})"]
