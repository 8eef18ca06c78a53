"""The Unix socket to the agent: one JSON object per line, memory passed as a file descriptor. See docs/protocol.md."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import AgentUnavailable, MlnetError

_RECEIVE_BYTES = 65536

_open: weakref.WeakSet[Connection] = weakref.WeakSet()


def _close_in_child() -> None:
    # A forked child (a data loader, say) that held on to the socket would hide the death of its parent from the agent.
    for connection in list(_open):
        connection.release()


os.register_at_fork(after_in_child=_close_in_child)


class Connection:
    """A connection to the agent. Not thread-safe."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._buffer = bytearray()
        self._descriptors: list[int] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        _open.add(self)

    def connect(self, deadline: float) -> None:
        """Connects; an agent that is just starting is waited for until the deadline."""
        while True:
            try:
                self._socket.connect(self._path)
                return
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if time.monotonic() >= deadline:
                    self.close()
                    raise AgentUnavailable(
                        f"no agent listens on {self._path} ({error.strerror}): start mlnet-agent on this host, "
                        "or name its socket in MLNET_AGENT_SOCKET"
                    ) from error
                time.sleep(min(0.1, max(0.0, deadline - time.monotonic())))
            except OSError as error:
                self.close()
                raise AgentUnavailable(f"the agent's socket {self._path} cannot be used: {error.strerror}") from error

    @property
    def path(self) -> str:
        return self._path

    def wait_for_end(self, seconds: float) -> bool:
        """Whether the agent closed the connection within the time. Takes nothing from what it said before."""
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLRDHUP)
        except ValueError:
            return True  # closed at this end
        return bool(poll.poll(seconds * 1000))

    def send(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        """Sends a message, and a descriptor with it."""
        line = json.dumps(message).encode() + b"\n"
        try:
            if descriptor is None:
                self._socket.sendall(line)
            else:
                sent = socket.send_fds(self._socket, [line], [descriptor])
                self._socket.sendall(line[sent:])
        except OSError as error:
            # What the agent said before it closed explains more than the broken pipe; it is read next.
            if not self._has_line():
                raise self._gone() from error

    def receive(self, deadline: float | None = None) -> dict[str, Any] | None:
        """The next message; None when the deadline passes first. Ctrl-C interrupts the wait."""
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                message = json.loads(line)
                if not isinstance(message, dict):
                    raise MlnetError(f"the agent on {self._path} sent something that is no message: {line!r}")
                return message
            if not self._wait(deadline):
                return None
            try:
                data, descriptors, flags, _ = socket.recv_fds(self._socket, _RECEIVE_BYTES, 1)
            except OSError as error:
                raise self._gone() from error
            self._descriptors += descriptors
            if flags & socket.MSG_CTRUNC:
                raise MlnetError("a file descriptor from the agent was lost: this process has too many open files")
            if not data:
                raise self._gone()
            self._buffer += data

    def take_descriptor(self) -> int:
        """The descriptor that came with the message just received."""
        if not self._descriptors:
            raise MlnetError(f"the agent on {self._path} named shared memory but passed none")
        return self._descriptors.pop(0)

    @contextmanager
    def ended_at(self, deadline: float) -> Iterator[None]:
        """Ends the connection when the deadline passes first, also for a thread that waits to send."""
        timer = threading.Timer(max(0.0, deadline - time.monotonic()), self.shutdown)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def shutdown(self) -> None:
        """Wakes whoever waits in :meth:`receive`; to be closed afterwards."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # closed already, or never connected

    def close(self) -> None:
        """Ends the connection, at once also where another thread waits on it: that keeps a socket open whose descriptor is closed."""
        self.shutdown()
        self.release()

    def release(self) -> None:
        """Closes this process's descriptors only; the connection lives on in the process that forked it."""
        self._socket.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    def _wait(self, deadline: float | None) -> bool:
        # Not select(): it cannot watch descriptors above 1023, which a trainer with many files open has.
        poll = select.poll()
        if self._socket.fileno() < 0:
            raise self._gone()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000))

    def _has_line(self) -> bool:
        try:
            self._buffer += self._socket.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except OSError:
            pass  # nothing is left to read; the caller raises the error that made it look
        return b"\n" in self._buffer

    def _gone(self) -> AgentUnavailable:
        return AgentUnavailable(f"the agent on {self._path} closed the connection: it ended or was restarted; join again once it runs")
