"""What ratio and counting share: a place to measure, mounts, fio, and their removal whatever happens.

Everything made here is registered with one ExitStack, so it goes in reverse order at the end, after an error and
after Ctrl-C. Nothing is found by name: a daemon is ended only if its command line has our own mountpoint.
"""
import contextlib
import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]


class Failure(Exception):
    """Ends the run with one line for the user."""


def say(text):
    """Progress, apart from the results on stdout."""
    print(text, file=sys.stderr, flush=True)


def run(*command, **more):
    """A command that must succeed; its stdout."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, **more)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise Failure(f"{shlex.join(map(str, command))}: {words[-1] if words else f'status {done.returncode}'}")
    return done.stdout


def needs(*tools):
    """Refuses to start where something is missing."""
    if os.geteuid() != 0:
        raise Failure("needs root: it drops caches and mounts")
    if not os.path.exists("/dev/fuse"):
        raise Failure("there is no /dev/fuse here")
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        raise Failure(f"not installed: {' '.join(missing)} (packaging/check installs what tests need)")


def guarded(main):
    """Runs main(stack); cleans up however it ends; its exit status."""
    def interrupted(number, _frame):
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        with contextlib.ExitStack() as stack:
            try:
                return main(stack)
            finally:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
    except Failure as failure:
        print(f"{Path(sys.argv[0]).name}: {failure}", file=sys.stderr)
        return 2


def drop_caches():
    """No file's page, name or inode stays cached: neither FUSE's nor the backing's."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
    time.sleep(0.05)  # the FORGETs that follow are answered


def read_through(path):
    """One pass over the file, so that every cache on the way has it."""
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass


def retry(action, seconds=10):
    """Until action returns something true; False when the time is over."""
    end = time.monotonic() + seconds
    while not action():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _ignoring_errors(*command):
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, timeout=30,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return done.returncode == 0
    return False


def _is_mounted(path):
    wanted = str(path).encode()
    with open("/proc/self/mountinfo", "rb") as lines:
        return any(line.split()[4] == wanted for line in lines)


def _unmount(path):
    """Gently while something may still be closing, then by force."""
    if retry(lambda: not _is_mounted(path) or _ignoring_errors("umount", path), 5):
        return
    _ignoring_errors("umount", "-f", path)  # FUSE: ends the connection
    if _is_mounted(path):
        _ignoring_errors("umount", "-l", path)


# A place to measure.

def scratch(stack, prefix="zcfs-bench-", parent=None):
    """A directory of our own; gone at the end, but never across a mount that would not go."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()
    stack.callback(_ignoring_errors, "rm", "-rf", "--one-file-system", path)
    return path


def _zram_claim():
    """A zram device that nobody uses, given its size by us: (name, whether we added it)."""
    control = Path("/sys/class/zram-control")
    size = str(4 << 30)
    if Path("/sys/block/zram0").exists():
        try:
            Path("/sys/block/zram0/disksize").write_text(size)
            return "zram0", False
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise Failure(f"cannot set up /dev/zram0: {error.strerror}") from error
    try:
        name = "zram" + (control / "hot_add").read_text().strip()
        Path(f"/sys/block/{name}/disksize").write_text(size)
    except OSError as error:
        raise Failure(f"no free zram device (modprobe zram?): {error}; use --backing DIR") from error
    return name, True


def _zram_free(name, is_ours):
    def is_reset():
        with contextlib.suppress(OSError):
            Path(f"/sys/block/{name}/reset").write_text("1")
            return True
        return False

    if not retry(is_reset, 5):
        say(f"/dev/{name} is still in use; when it is not: echo 1 >/sys/block/{name}/reset")
    elif is_ours:
        with contextlib.suppress(OSError):
            Path("/sys/class/zram-control/hot_remove").write_text(name[len("zram"):])


def zram(stack):
    """ext4 on zram: a device that costs a copy and no waiting, so that what is measured is the filesystem."""
    name, is_ours = _zram_claim()
    stack.callback(_zram_free, name, is_ours)
    # Tables made now and not in the background, beside the measurements.
    run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", f"/dev/{name}")
    directory = scratch(stack)
    stack.callback(_unmount, directory)
    run("mount", f"/dev/{name}", directory)
    return directory


# Mounts.

class Mount:
    """A directory to measure and the processes that serve it."""

    def __init__(self, directory, pids=()):
        self.directory = Path(directory)
        self.pids = list(pids)

    def cpu_ns(self):
        """CPU time of the daemon so far, all threads."""
        total = 0
        for pid in self.pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        return total


def _serving(directory):
    """The processes with exactly this mountpoint as a word of their command line."""
    wanted, found = str(directory).encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def _end_mount(directory):
    _unmount(directory)
    if not retry(lambda: not _serving(directory), 10):
        for pid in _serving(directory):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        _unmount(directory)


def mount_command(stack, backing, command):
    """Mounts by a shell-like command with {backing} and {mnt}, which may stay in the foreground or not."""
    directory = scratch(stack)
    words = [word.replace("{backing}", str(backing)).replace("{mnt}", str(directory))
             for word in shlex.split(command)]
    stack.callback(_end_mount, directory)
    said = stack.enter_context(tempfile.TemporaryFile("w+"))
    try:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, cwd="/",
                                   start_new_session=True)
    except OSError as error:
        raise Failure(f"{words[0]}: {error.strerror}") from error
    retry(lambda: _is_mounted(directory) or process.poll() not in (None, 0))
    if not _is_mounted(directory):
        said.seek(0)
        reason = said.read().strip().splitlines()
        raise Failure(f"{shlex.join(words)}: {reason[-1] if reason else 'does not mount'}")
    os.listdir(directory)
    retry(lambda: process.poll() is not None, 0.5)  # one that went to the background is now only its daemon
    return Mount(directory, _serving(directory))


def mount_zcfs(stack, build, backing, options):
    """Mounts with a build's own zcfs."""
    program = shlex.quote(str(Path(build).resolve() / "cli" / "zcfs"))
    return mount_command(stack, backing, f"{program} mount -o {shlex.quote(options)} {{backing}} {{mnt}}")


# fio.

def make_file(path, size):
    """Incompressible and really allocated: zram then stores pages as they are, and reading one is a copy."""
    run("fio", "--name=make", f"--filename={path}", f"--size={size}", "--rw=write", "--bs=1M", "--refill_buffers",
        "--randseed=1", "--end_fsync=1", "--output-format=json", cwd="/")


def fio(path, options, cpus=None):
    """One job on an existing file: {'bytes', 'ops', 'seconds', 'cpu_ns'}, cpu_ns being fio's own."""
    words = ["fio", "--name=job", f"--filename={path}", "--output-format=json", "--allow_file_create=0",
             "--invalidate=0", "--randseed=1", "--gtod_reduce=1", "--refill_buffers=0", *options]
    if cpus is not None:
        words.append(f"--cpus_allowed={cpus}")
    text = run(*words, cwd="/")
    job = json.loads(text[text.index("{"):])["jobs"][0]
    if job["error"]:
        raise Failure(f"{shlex.join(words)}: {os.strerror(job['error'])}")
    side = max(job["read"], job["write"], key=lambda s: s["io_bytes"])
    seconds = side["runtime"] / 1000
    return {"bytes": side["io_bytes"], "ops": side["total_ios"], "seconds": seconds,
            "cpu_ns": int((job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] * 1e6)}
