"""What the server of a job and its workers agree on: which parameters there are, and on which streams they travel."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import JobClosed, MlnetError, RoundFailed
from .job import Job

# Beside the streams of the parameters: how it begins and ends.
CONTROL = 2**32 - 1

# What an agent lets a job have, less the one for control.
_MOST_STREAMS = 4096 - 1

_MAGIC = 0x5350544E4C4D  # "MLNTPS"
_VERSION = 2

DTYPES = ("float32", "float64")

# A deadline beyond this is a mistake.
_MOST_SECONDS = 3600

# Before asking again: as long as somebody is gone, every answer is the same.
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Parameter:
    """A tensor that the server owns."""

    key: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def count(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def __str__(self) -> str:
        return f"{self.dtype} of shape {self.shape}"


@dataclass(frozen=True)
class Layout:
    """All parameters of a job in their order, and how far workers may run ahead."""

    parameters: tuple[Parameter, ...]
    staleness: int
    deadline: float | None = None  # seconds that a round waits for late workers; None: for all

    @property
    def width(self) -> int:
        """Rounds of a parameter that may be under way at once. Each needs a stream of its own."""
        return self.staleness + 1

    def push_stream(self, index: int, number: int) -> int:
        return index * 2 * self.width + number % self.width

    def pull_stream(self, index: int, version: int) -> int:
        return (index * 2 + 1) * self.width + version % self.width

    @staticmethod
    def of(values: Mapping[str, npt.NDArray[Any]], staleness: int, deadline: float | None = None) -> Layout:
        """The layout of a server that begins.

        :raises ValueError: there is nothing to serve, a parameter cannot be served, or they are too many.
        """
        if not isinstance(staleness, int) or staleness < 0:
            raise ValueError(f"staleness is {staleness!r}; it must be a number of rounds from 0")
        if deadline is not None:
            if not isinstance(deadline, (int, float)) or not math.isfinite(deadline) or not 0 < deadline <= _MOST_SECONDS:
                raise ValueError(f"deadline is {deadline!r}; it must be seconds above 0, at most {_MOST_SECONDS}, or None for rounds that wait for all")
            if staleness != 0:
                raise ValueError(f"staleness is {staleness} and deadline {deadline:g}: rounds that wait for nobody have no bound on staleness; give one of the two")
        if not values:
            raise ValueError("parameters is empty; name at least one")
        for key, value in values.items():
            if not isinstance(key, str) or not key:
                raise ValueError(f"the parameter key {key!r} is not a name")
            if value.dtype.name not in DTYPES or not value.dtype.isnative:
                raise ValueError(f"parameter {key!r} is of {value.dtype}; make it one of {', '.join(DTYPES)}")
            if value.size == 0 or not value.flags.c_contiguous or not value.flags.writeable:
                raise ValueError(f"parameter {key!r} must be a writable, C-contiguous array with at least one element")
        streams = len(values) * 2 * (staleness + 1)
        if streams > _MOST_STREAMS:
            raise ValueError(
                f"{len(values)} parameters with a staleness of {staleness} need {streams} streams, and a job has {_MOST_STREAMS}: "
                "join small tensors into one, or lower the staleness"
            )
        return Layout(tuple(Parameter(k, v.shape, v.dtype.name) for k, v in values.items()), staleness, deadline)

    def announce(self, job: Job) -> None:
        """Tells all workers. Returns when each has asked."""
        text = json.dumps(
            {
                "staleness": self.staleness,
                "deadline": self.deadline,
                "parameters": [{"key": p.key, "shape": list(p.shape), "dtype": p.dtype} for p in self.parameters],
            }
        ).encode()
        words = np.zeros(-(-len(text) // 4), np.int32)
        words.view(np.uint8)[: len(text)] = np.frombuffer(text, np.uint8)
        while True:
            try:
                job._exchange(np.array([_MAGIC, _VERSION, len(text)], np.int64), "pull", CONTROL).wait()
                job._exchange(words, "pull", CONTROL).wait()
                return
            except JobClosed:
                raise
            except RoundFailed:
                time.sleep(_PAUSE_SECONDS)  # a worker that had asked gave up waiting; all that are there, and it when it is back, ask again

    @staticmethod
    def learn(job: Job, timeout: float) -> Layout:
        """Asks the server.

        :raises TimeoutError: it does not say within the time.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                head = job._exchange(np.zeros(3, np.int64), "pull", CONTROL).wait(max(0.0, deadline - time.monotonic()))
                if head[0] != _MAGIC or head[1] != _VERSION:
                    raise MlnetError(f"the server of job {job.name} speaks version {head[1]} of parameter exchange, this library {_VERSION}: use one version of mlnet")
                size = int(head[2])
                words = job._exchange(np.zeros(-(-size // 4), np.int32), "pull", CONTROL).wait(max(0.0, deadline - time.monotonic()))
                break
            except JobClosed:
                raise
            except RoundFailed:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)
        said = json.loads(words.tobytes()[:size])
        return Layout(tuple(Parameter(p["key"], tuple(p["shape"]), p["dtype"]) for p in said["parameters"]), said["staleness"], said["deadline"])
