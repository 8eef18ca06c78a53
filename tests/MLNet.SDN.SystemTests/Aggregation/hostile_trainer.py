"""A trainer that means harm to its agent. Each act is tried on connections of its own; after each it prints `did ACT`, and waits for a line of input.

Arguments: the agent's socket, the job, the acts.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from typing import Any, Dict, List, Optional

PATH, JOB = sys.argv[1:3]
LIBC = ctypes.CDLL(None, use_errno=True)
F_ADD_SEALS, F_SEAL_ALL, PUNCH_HOLE = 1033, 15, 3
MADV_REMOVE = 9


class Worker:
    """One connection, which knows the rules and need not keep them."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30)
        self.socket.connect(PATH)
        self.buffer = b""
        self.descriptors: List[int] = []

    def say(self, **message: Any) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def hand(self, descriptor: int, **message: Any) -> None:
        socket.send_fds(self.socket, [json.dumps(message).encode() + b"\n"], [descriptor])

    def hear(self, *types: str) -> Optional[Dict[str, Any]]:
        """The next message of these types; None at the end of the connection."""
        while True:
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                message: Dict[str, Any] = json.loads(line)
                if message["type"] in types or message["type"] in ("refused", "closed"):
                    return message
            try:
                data, descriptors, _, _ = socket.recv_fds(self.socket, 65536, 4)
            except ConnectionResetError:
                return None
            self.descriptors += descriptors
            if not data:
                return None
            self.buffer += data

    def join(self) -> Worker:
        """A rank whose last session is just ending is taken for a moment still."""
        while True:
            self.say(type="join", protocol=2, job=JOB, rank=0)
            answer = self.hear("joined")
            if answer is not None and answer["type"] == "joined":
                return self
            self.__init__()  # type: ignore[misc]
            time.sleep(0.05)

    def open(self, stream: int, size: int) -> Dict[str, Any]:
        self.say(type="open", stream=stream, bytes=size)
        area = self.hear("area", "failed")
        assert area is not None and area["type"] == "area", area
        return area

    def reduce(self, stream: int, number: int, size: int) -> None:
        self.say(type="reduce", stream=stream, round=number, bytes=size, dtype="float32", op="sum")

    def close(self) -> None:
        self.socket.close()


def refused(call: int) -> None:
    assert call == -1 and ctypes.get_errno() in (1, 16), f"{call}, errno {ctypes.get_errno()}"  # EPERM, EBUSY


def scribble() -> None:
    """Random bytes over the whole area, headers included, while rounds run."""
    worker = Worker().join()
    area = worker.open(0, 1 << 20)
    memory = mmap.mmap(worker.descriptors[0], area["bytes"])
    ended = threading.Event()

    def write() -> None:
        chance = random.Random(1)
        while not ended.is_set():
            at = chance.randrange(0, 8192) if chance.random() < 0.5 else chance.randrange(0, area["bytes"] - 4096)
            memory[at:at + 64] = chance.randbytes(64)

    writer = threading.Thread(target=write)
    writer.start()
    for number in range(area["round"], area["round"] + 40):
        worker.reduce(0, number, 1 << 20)
        answer = worker.hear("done", "failed")
        assert answer is not None and answer["type"] in ("done", "failed"), answer
    ended.set()
    writer.join()
    worker.close()


def cut() -> None:
    """Everything that takes memory away under another's mapping."""
    worker = Worker().join()
    area = worker.open(0, 1 << 20)
    descriptor, size = worker.descriptors[0], area["bytes"]
    memory = mmap.mmap(descriptor, size)
    for number in range(area["round"], area["round"] + 5):
        worker.reduce(0, number, 1 << 20)
        refused(LIBC.ftruncate(descriptor, ctypes.c_long(0)))
        refused(LIBC.ftruncate(descriptor, ctypes.c_long(size // 2)))
        refused(LIBC.ftruncate(descriptor, ctypes.c_long(2 * size)))
        try:
            fcntl.fcntl(descriptor, F_ADD_SEALS, F_SEAL_ALL)
            raise AssertionError("a seal was added")
        except PermissionError:
            pass  # as it must be: the agent has sealed the seals
        assert LIBC.fallocate(descriptor, PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(size)) == 0
        memory.madvise(MADV_REMOVE)
        if number == area["round"] + 4:
            memory.close()
            os.close(descriptor)
        worker.hear("done", "failed")
    worker.close()


def address_space() -> None:
    """As many and as large areas as the agent gives."""
    worker = Worker().join()
    given = 0
    for stream in range(5000):
        worker.say(type="open", stream=stream, bytes=1 << 36)
        answer = worker.hear("area", "failed")
        if answer is None or answer["type"] != "area":
            break
        given += 1
        while worker.descriptors:
            os.close(worker.descriptors.pop())
    print(f"{given} areas of 256 GiB", flush=True)
    time.sleep(1)
    worker.close()


def restore() -> None:
    """Memory of other making, cut while the agent looks at it. Only the first session of a rank can hand memory back."""
    def cut_later(descriptor: int) -> None:
        for _ in range(200):
            os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, 8192 + 4 * 4096)

    worker = Worker()
    worker.say(type="join", protocol=2, job=JOB, rank=0, restore=3)
    with tempfile.TemporaryFile() as file:
        plain, unsealed, empty = file.fileno(), os.memfd_create("u", os.MFD_ALLOW_SEALING), os.memfd_create("e")
        for descriptor in (plain, unsealed):
            os.ftruncate(descriptor, 8192 + 4 * 4096)
        cutters = [threading.Thread(target=cut_later, args=(d,)) for d in (plain, unsealed)]
        for cutter in cutters:
            cutter.start()
        for stream, descriptor in enumerate((plain, unsealed, empty)):
            worker.hand(descriptor, type="restore", stream=stream, round=3, capacity=4096)
        answer = worker.hear("joined")
        assert answer is not None and answer["type"] == "joined", answer
        for cutter in cutters:
            cutter.join()
    for descriptor in (unsealed, empty):
        os.close(descriptor)
    worker.close()


def hoard() -> None:
    """Descriptors by the thousand for a job that nobody knows, as another user."""
    descriptor = os.open("/dev/null", os.O_RDONLY)
    held = []
    for _ in range(60):
        worker = Worker()
        held.append(worker)
        try:
            worker.say(type="join", protocol=2, job="nobody's", rank=0, restore=8192)
            for stream in range(100):
                worker.hand(descriptor, type="restore", stream=stream, round=0, capacity=4096)
        except OSError:
            continue  # sent away
    time.sleep(1)
    for worker in held:
        worker.close()


def deaf() -> None:
    """Questions without end, and no ear for the answers."""
    worker = Worker().join()
    try:
        for number in range(200_000):
            worker.say(type="open", stream=number % 4, bytes=4096)
    except OSError:
        pass  # the agent hung up on it, which is what this is for
    worker.close()


def foreign() -> None:
    """Another user, who wants into the job."""
    worker = Worker()
    worker.say(type="join", protocol=2, job=JOB, rank=0)
    answer = worker.hear("joined")
    assert answer is not None and answer["type"] == "refused", answer
    worker.close()


def stranger() -> None:
    """Who does not hold the secret hears the same of a job that exists and of one that does not."""
    heard = []
    for number in (1, 2, 999):
        for role in (1, 2):
            dialled = socket.create_connection((sys.argv[4], 7471), 10)
            own, other = b"n1", b"n0"
            dialled.sendall(b"MLNH" + bytes([2, role, 0, 0, 1, 0, 2, 2]) + number.to_bytes(8, "little") + bytes(32) + (7).to_bytes(8, "little") + own + other)
            got = b""
            while len(got) < 32:
                got += dialled.recv(64)
            dialled.sendall(os.urandom(32))
            try:
                heard.append((len(got), dialled.recv(64)))
            except ConnectionResetError:
                heard.append((len(got), b""))
            dialled.close()
    assert set(heard) == {(32, b"")}, heard


def die() -> None:
    """The end in the middle of a round."""
    child = os.fork()
    if child == 0:
        worker = Worker().join()
        area = worker.open(0, 1 << 20)
        worker.reduce(0, area["round"], 1 << 20)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


for act in sys.argv[3].split(","):
    if act in ("hoard", "foreign", "stranger"):
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            globals()[act]()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, act
    else:
        globals()[act]()
    print(f"did {act}", flush=True)
    sys.stdin.readline()
