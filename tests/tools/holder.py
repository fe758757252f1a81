#!/usr/bin/env python3
"""holder.py FILE WORD: maps the file shared, writes WORD into a page of it without msync, keeps file and map open, says
'ready', and waits for its standard input to end. Then it says what an fsync gives: 'alive', or an errno's name.
"""

import errno
import mmap
import os
import sys

path, word = sys.argv[1], sys.argv[2].encode()
fd = os.open(path, os.O_RDWR)
held = mmap.mmap(fd, 8192)
held[4096 : 4096 + len(word)] = word
print("ready", flush=True)
sys.stdin.read()
try:
    os.fsync(fd)
    print("alive", flush=True)
except OSError as e:
    print(errno.errorcode[e.errno], flush=True)
os._exit(0)
