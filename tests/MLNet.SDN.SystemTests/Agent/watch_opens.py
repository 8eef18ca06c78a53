"""Prints each opening of /proc/PID/environ and /proc/PID/fd, of any process given, by whomever (inotify(7))."""

import ctypes
import os
import struct
import sys

IN_OPEN = 0x20
libc = ctypes.CDLL(None, use_errno=True)
notifier = libc.inotify_init()
watched = {}
for pid in sys.argv[1:]:
    for name in ("environ", "fd"):
        watch = libc.inotify_add_watch(notifier, f"/proc/{pid}/{name}".encode(), IN_OPEN)
        if watch < 0:
            raise OSError(ctypes.get_errno(), f"/proc/{pid}/{name}")
        watched[watch] = f"{pid} {name}"
print("ready", flush=True)
while True:
    events = os.read(notifier, 65536)
    while events:
        watch, _, _, length = struct.unpack_from("iIII", events)
        events = events[16 + length:]
        if watch in watched:
            print(watched[watch], flush=True)
