"""At most one fabric per machine: its bridge, management subnet and routes exist once in the root network namespace.

The lock is a listening socket in that namespace's abstract Unix address space: it guards exactly what must not be shared,
the kernel frees it when its holder dies however it dies, and no file is left behind.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Optional, Type

# Every process of a run carries this in its environment, set before it starts, and is found by it.
RUN_ID_VARIABLE = "MLNET_RUN_ID"

_ADDRESS = "\0mlnet-fabric"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class FabricBusy(RuntimeError):
    """Another process runs a fabric."""


def check_run_id(run_id: str) -> str:
    """The run id, if it can be one; ValueError otherwise."""
    if not _RUN_ID.fullmatch(run_id):
        raise ValueError(f"run id = {run_id!r}: must be 1-64 characters of letters, digits, '.', '_' and '-', starting with a letter or digit.")
    return run_id


class RunLock:
    """Held while a fabric is built, runs or is cleaned up. Not reentrant: whoever holds it owns all links and processes of ours."""

    def __init__(self) -> None:
        self._socket: Optional[socket.socket] = None

    def acquire(self, patience_seconds: float = 1.0) -> None:
        """Takes the lock.

        Args:
            patience_seconds: how long a holder that is just dying is waited for.

        Raises:
            FabricBusy: it is held; the message names the process that does.
        """
        self._socket = _listen(patience_seconds)

    def release(self) -> None:
        """Gives it back; does nothing when it is not held."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> RunLock:
        self.acquire()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.release()


def holder() -> Optional[int]:
    """The process that holds the lock now, as the kernel knows it; -1 when it cannot be told; None when the lock is free."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a holder never accepts: should its backlog ever be full, do not wait
        try:
            probe.connect(_ADDRESS)
        except OSError as error:
            return -1 if error.errno == errno.EAGAIN else None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid: int = struct.unpack("3i", credentials)[0]
        return pid


def _listen(patience_seconds: float) -> socket.socket:
    deadline = time.monotonic() + patience_seconds
    while True:
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(_ADDRESS)
            lock.listen(socket.SOMAXCONN)  # each question of holder() stays in the backlog
            return lock
        except OSError as error:
            lock.close()
            if error.errno != errno.EADDRINUSE:
                raise
        if time.monotonic() >= deadline:
            raise FabricBusy(f"another fabric runs on this machine ({_describe(holder())}); stop it first: only one fits.")
        time.sleep(0.05)


def _describe(pid: Optional[int]) -> str:
    if pid is None or pid <= 0:
        return "its process could not be named"
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        command = "gone"
    return f"process {pid}: {command[:120]}"
