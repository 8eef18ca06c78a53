"""A parameter server, or one worker, in a job whose other workers are not written in Python. Arguments: which, and where its agent listens and so on (JSON)."""

from __future__ import annotations

import json
import sys
from typing import Any, Callable

import mlnet
import numpy as np

JOB = "ps"
SHAPES = {"weight": ((3, 5), np.float32), "bias": ((7,), np.float64), "head": ((3001,), np.float32)}


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def integers(shape: tuple[int, ...], dtype: Any) -> Any:
    return (np.arange(int(np.prod(shape))) % 11 - 5).astype(dtype).reshape(shape)


def serve(socket: str, **how: Any) -> None:
    """With a rate of 1 and sums, whole numbers stay whole."""
    updates = {key: 0 for key in SHAPES}

    def count(key: str, applied: int) -> None:
        updates[key] = applied

    values = {key: integers(shape, dtype) for key, (shape, dtype) in SHAPES.items()}
    final = mlnet.serve(JOB, optimiser=mlnet.SGD(1.0), parameters=values, average=False, on_update=count, socket=socket, **how)
    say(final={key: v.reshape(-1).tolist() for key, v in final.items()}, updates=updates)


def bulk(rank: int, socket: str, rounds: int) -> None:
    """What is pushed depends on what was pulled, so one wrong value makes all later ones wrong."""
    with mlnet.worker(JOB, rank, socket) as worker:
        for number in range(rounds + 1):
            pulled = {}
            for key, (shape, dtype) in SHAPES.items():
                v = worker.pull(key)
                assert worker.version(key) == number
                pulled[key] = v.reshape(-1).tolist()
                if number < rounds:
                    worker.push(key, (np.mod(v + 3 * rank + number, 5) - 1).astype(dtype))
            say(round=number, pulled=pulled)


def constant(rank: int, socket: str, rounds: int) -> None:
    """Pushes what does not depend on what comes back; says what did."""
    with mlnet.worker(JOB, rank, socket) as worker:
        for number in range(rounds):
            for key, (shape, dtype) in SHAPES.items():
                worker.push(key, np.full(shape, (rank + 1) * (number + 1), dtype))
                v = worker.pull(key)
                say(key=key, clock=number + 1, version=worker.version(key), pulled=v.reshape(-1).tolist())


if __name__ == "__main__":
    parts: dict[str, Callable[..., None]] = {"serve": serve, "bulk": bulk, "constant": constant}
    parts[sys.argv[1]](**json.loads(sys.argv[2]))
