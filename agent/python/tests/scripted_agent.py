"""The agent's end of a worker's connection, as far as a script goes."""

from __future__ import annotations

import json
import mmap
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

# Of an area, bytes.
CAPACITY = 4096


class Peer:
    """The agent's end of one worker's connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        self.memory: mmap.mmap | None = None

    def receive(self) -> dict[str, Any]:
        message = json.loads(self._lines.readline() or b'{"type":"eof"}')
        assert isinstance(message, dict)
        return message

    def send(self, **message: Any) -> None:
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def admit(self, world_size: int = 1, rank: int = 0, **more: Any) -> dict[str, Any]:
        request = self.receive()
        assert request["type"] == "join"
        self.send(type="joined", protocol=2, job=request["job"], jobId=1, rank=rank, worldSize=world_size, **more)
        return request

    def give_area(self, first_round: int = 0, capacity: int = CAPACITY) -> dict[str, Any]:
        request = self.receive()
        assert request["type"] == "open"
        descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
        size = 8192 + 4 * capacity
        os.ftruncate(descriptor, size)
        self.memory = mmap.mmap(descriptor, size)
        line = json.dumps({"type": "area", "stream": request["stream"], "capacity": capacity, "bytes": size, "round": first_round}).encode() + b"\n"
        # In two pieces: a reader must not count on whole lines.
        socket.send_fds(self._connection, [line[:7]], [descriptor])
        time.sleep(0.01)
        self._connection.sendall(line[7:])
        os.close(descriptor)
        return request

    def answer(self, factor: float, capacity: int = CAPACITY) -> dict[str, Any]:
        return self.answer_to(self.receive(), lambda source: source * factor, capacity)

    def answer_copy(self) -> dict[str, Any]:
        """The contribution, byte by byte."""
        return self.answer_to(self.receive(), lambda source: source.view(np.uint8), dtype=np.uint8)

    def answer_to(
        self, request: dict[str, Any], result: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], capacity: int = CAPACITY, dtype: type = np.float32
    ) -> dict[str, Any]:
        assert request["type"] == "reduce" and self.memory is not None
        slot = request["round"] % 2
        count = request["bytes"] // np.dtype(dtype).itemsize
        source = np.frombuffer(self.memory, dtype, count, 8192 + 2 * slot * capacity)
        target = np.frombuffer(self.memory, dtype, count, 8192 + (2 * slot + 1) * capacity)
        target[:] = result(source)
        self.send(type="done", stream=request["stream"], round=request["round"])
        return request

    def close(self) -> None:
        self._lines.close()
        self._connection.close()


Script = Callable[[Peer], None]
