#!/usr/bin/env python3
"""What programs see while the system calls of a daemon fail, one kind at a time.

sweep.py RULES BACKING MOUNT PID SECTION [PATH]...: MOUNT shows BACKING, served with one worker and without timeouts by the
daemon PID, whose failshim reads RULES. For each operation of the section (faultops.py), system call and errno it writes a
rule, makes the operation, takes the rule away, and demands that

  - the daemon made that call at all,
  - the program saw exactly that errno, or success where SEEN says so, and never wrong data,
  - everything works afterwards, and the daemon has no more descriptors than before.

Sections: names, attributes, data (of PATHs; files are named x.PATH, so that a rule= of the mount chooses it), flush (of a mount
that is told of close(2)), handles (of one with few descriptors), nth (only the first, second, ... of an operation's calls fails), memory (so do its allocations).
Prints what differs; status 1 if anything did.
"""

import errno
import os
import shutil
import sys
import time

import faultops
from faultops import Wrong

RULES, BACKING, MOUNT, PID, SECTION = sys.argv[1:6]
ERRNOS = ("EIO", "ENOSPC", "EDQUOT", "EINTR", "EAGAIN", "ENOMEM", "EMFILE", "ESTALE", "EROFS")
NTH_MOST = 60

SUCCESS = "success"
AGAIN = SUCCESS  # by calling again
COPIED = SUCCESS  # by copying
# What the program sees: by call, or by call and operation, and errno; where nothing stands here, that errno.
SEEN = {
    ("read", "EINTR"): AGAIN,
    ("write", "EINTR"): AGAIN,
    ("splice", "EINTR"): AGAIN,
    ("splice of a read", "EAGAIN"): COPIED,
    ("splice of a read", "ENOMEM"): COPIED,
    ("splice of a read", "EMFILE"): COPIED,
    ("vmsplice", "EAGAIN"): COPIED,
    ("vmsplice", "ENOMEM"): COPIED,
    ("setxattr", "EAGAIN"): "ENOTSUP",  # so the kernel translates it, on any filesystem
}
# What is not the file's is the daemon's to bear.
ALWAYS_WELL = ("answer", "receive", "receive_read", "fstat", "short_read", "short_write", "handle_take")
# For ever, these are a daemon that receives nothing; and the worker has begun its next when the rule comes.
RECEIPTS = ("receive", "receive_read")
NUMBERS = {
    "vmsplice": ("EAGAIN", "ENOMEM"),  # all that an empty pipe gives
    "short_read": (4096, 12288),  # bytes; whole blocks, as O_DIRECT allows no others
    "short_write": (4096, 12288),
}
# ThreadSanitizer's runtime has one of its own, which the shim does not meet.
MAYBE_HIDDEN = ("fstat",)
bad = []
n_checked = 0


def set_rules(text):
    with open(RULES, "w", encoding="ascii") as f:
        f.write(text)


def take_met():
    """How often rules were met since the last question."""
    try:
        with open(RULES + ".met", "r+", encoding="ascii") as f:
            n = len(f.readlines())
            f.truncate(0)
            return n
    except FileNotFoundError:
        return 0


def n_fds():
    return len(os.listdir(f"/proc/{PID}/fd"))


def wait_for_fds(most):
    """What the kernel releases it releases soon, but by itself."""
    end = time.monotonic() + 10
    while n_fds() > most:
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def outcome(run, prepared):
    try:
        run(prepared)
        return SUCCESS
    except OSError as e:
        return errno.errorcode[e.errno]
    except Wrong as e:
        return str(e)


def one_try(what, run, rule, wanted):
    """The operation on new files under the rule, and without. Whether the rule was met."""
    global n_checked
    n_checked += 1
    faultops.make_work()
    prepared = run.prepare()
    take_met()
    set_rules(rule)
    got = outcome(run, prepared)
    if rule.startswith(RECEIPTS):
        got = outcome(run, prepared)
    set_rules("")
    n_met = take_met()
    if got not in wanted:
        bad.append(f"{what}, rule {rule!r}: the program saw {got}, not {' or '.join(wanted)}")
    again = outcome(run, prepared)
    # What was carried out before it failed cannot be carried out again.
    if again not in (SUCCESS, "EEXIST", "ENOENT", "ENODATA"):
        bad.append(f"{what}, rule {rule!r}: afterwards the program saw {again}")
    if n_fds() > getattr(run, "most_fds", 1 << 20):
        bad.append(f"{what}, rule {rule!r}: afterwards the daemon has {n_fds()} descriptors")
    if prepared is not None:
        os.close(prepared)
    try:
        shutil.rmtree(faultops.WORK)
        faultops.smoke()
    except (OSError, Wrong) as e:
        bad.append(f"{what}, rule {rule!r}: afterwards: {e}")
    return n_met > 0


def wanted_of(what, shim_call, number):
    kind = f"{shim_call} of a {what.split()[0]}"
    if shim_call in ALWAYS_WELL:
        return SUCCESS
    return SEEN.get((shim_call, number), SEEN.get((kind, number), number))


def sweep(what, calls, run):
    for shim_call in calls:
        for number in NUMBERS.get(shim_call, ERRNOS):
            wanted = wanted_of(what, shim_call, number)
            rule = f"{shim_call} {getattr(errno, str(number), number)}"
            # As signals do, which are some, not endless.
            if shim_call in RECEIPTS or (wanted == SUCCESS and number == "EINTR"):
                rule += " 1 3"
            if not one_try(what, run, rule, (wanted,)) and shim_call not in MAYBE_HIDDEN:
                bad.append(f"{what}, rule {rule!r}: the daemon did not make that call")


def sweep_nth(what, shim_call, error, run):
    """Only the first call fails, then only the second, ... until there are no more."""
    for nth in range(1, NTH_MOST):
        rule = f"{shim_call} {getattr(errno, error)} {nth} 1"
        if not one_try(what, run, rule, (SUCCESS, error)):
            return
    bad.append(f"{what}: over {NTH_MOST} calls of {shim_call}")


def sweep_each_nth(what, calls, run):
    for shim_call in {"lookup", "statx", "open", *calls} - set(RECEIPTS) - set(NUMBERS):
        sweep_nth(what, shim_call, "EIO", run)
        sweep_nth(what, shim_call, "EMFILE", run)


def sweep_memory(what, _, run):
    sweep_nth(what, "alloc", "ENOMEM", run)
    one_try(what, run, f"alloc {errno.ENOMEM}", (SUCCESS, "ENOMEM"))


def main():
    faultops.setup(BACKING, MOUNT, sys.argv[6:])
    tables = faultops.tables()
    every = tables["names"] | tables["attributes"] | tables["data"]
    method = {"nth": sweep_each_nth, "memory": sweep_memory}.get(SECTION, sweep)
    faultops.smoke()  # after which the worker has all its pipes
    n_fds_before = n_fds()
    for what, (calls, run) in tables.get(SECTION, every).items():
        method(what, calls, run)
        if not wait_for_fds(n_fds_before):
            bad.append(f"{what}: the daemon has {n_fds()} descriptors, had {n_fds_before}")
            break  # each further wait would be as long
    print(f"{n_checked} checked, {len(bad)} differ")
    print("\n".join(bad))
    return 1 if bad or n_checked == 0 else 0


sys.exit(main())
