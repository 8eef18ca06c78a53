"""Workers and a parameter server through real agents. Arguments: what to do, and where the workers' and the server's agents listen (JSON)."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any, Callable

import mlnet
import numpy as np

JOB = "ps"
SHAPES = {"layer.weight": ((37, 11), np.float32), "layer.bias": ((11,), np.float64), "head": ((3001,), np.float32)}


def initial() -> dict[str, Any]:
    return {key: np.linspace(-2, 2, int(np.prod(shape))).astype(dtype).reshape(shape) for key, (shape, dtype) in SHAPES.items()}


def gradient(values: Any, rank: int, number: int) -> Any:
    # Multiples of 1/64 that are small enough: whatever the order of addition, the sum is exact.
    return (np.round(values * 64 * (rank + 1)) / 64 + (number % 5 - rank)).astype(values.dtype)


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")  # in one piece: threads speak
    sys.stdout.flush()


def fails(kind: type[BaseException], text: str, call: Callable[[], Any]) -> None:
    try:
        call()
    except kind as error:
        assert text in str(error), f"{error} does not say: {text}"
    else:
        raise AssertionError(f"no {kind.__name__}: {text}")


class Parts:
    """Threads, one for each part of the job. The first error of any is the program's."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self.errors: list[BaseException] = []

    def start(self, part: Callable[[], None]) -> None:
        def run() -> None:
            try:
                part()
            except BaseException as error:
                self.errors.append(error)

        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def join(self) -> None:
        while any(t.is_alive() for t in self._threads) and not self.errors:
            time.sleep(0.01)
        if self.errors:
            raise self.errors[0]


def bulk(workers: list[str], server: str, rounds: int) -> None:
    """Every pull of every worker has the bits of a run in one process with the same optimiser."""
    n = len(workers)
    values, optimiser = initial(), mlnet.SGD(0.125, momentum=0.5, weight_decay=0.25)
    expected = [{k: v.copy() for k, v in values.items()}]
    for number in range(rounds):
        for key, v in values.items():
            total = sum(gradient(v, rank, number) for rank in range(n))
            optimiser.update(key, v, total / n)
        expected.append({k: v.copy() for k, v in values.items()})

    applied: list[tuple[str, int]] = []

    def serve() -> None:
        final = mlnet.serve(JOB, optimiser=mlnet.SGD(0.125, momentum=0.5, weight_decay=0.25), parameters=initial(), socket=server, on_update=lambda k, r: applied.append((k, r)))
        for key, v in final.items():
            assert v.tobytes() == expected[rounds][key].tobytes(), f"the server ends with another {key}"

    def work(rank: int) -> None:
        with mlnet.worker(JOB, rank, workers[rank]) as worker:
            assert (worker.rank, worker.world_size, [p.key for p in worker.parameters]) == (rank, n, list(SHAPES))
            for number in range(rounds):
                if rank == 0:
                    say(round=number)
                for key in SHAPES:
                    v = worker.pull(key)
                    assert worker.version(key) == number and v.tobytes() == expected[number][key].tobytes(), f"rank {rank} pulled another {key} in round {number}"
                    worker.push(key, gradient(v, rank, number))
            out = np.empty(*SHAPES["head"])
            assert worker.pull("head", out) is out and out.tobytes() == expected[rounds]["head"].tobytes()
            view = worker.pull("layer.bias", copy=False)
            assert not view.flags.writeable and view.tobytes() == expected[rounds]["layer.bias"].tobytes()

    parts = Parts()
    parts.start(serve)
    for rank in range(n):
        parts.start(lambda rank=rank: work(rank))
    parts.join()
    assert sorted(applied) == sorted((k, r + 1) for k in SHAPES for r in range(rounds)), "an update was applied twice, or not at all"
    say(ok=rounds)


class Total:
    """Adds gradients up, and keeps what it had after each."""

    def __init__(self) -> None:
        self.after: dict[int, Any] = {}

    def update(self, key: str, values: Any, gradient: Any) -> None:
        values += gradient
        self.after[len(self.after)] = values.copy()


def stale(workers: list[str], server: str, staleness: int, rounds: int) -> None:
    """Workers run ahead of the slowest as far as they may, and no further; each push is applied once."""
    n = len(workers)
    clocks = [0] * n
    begun = [0] * n  # pushes, counted before: what another's pull brings may have been pushed by a thread that has not come to count it
    leads: list[int] = []
    total = Total()
    total.after[0] = np.zeros(2000)
    final = np.zeros(2000)

    def serve() -> None:
        mlnet.serve(JOB, optimiser=total, parameters={"w": final}, staleness=staleness, average=False, socket=server)

    def work(rank: int) -> None:
        with mlnet.worker(JOB, rank, workers[rank]) as worker:
            assert worker.staleness == staleness
            for number in range(rounds):
                if rank == 0 and number == 0:
                    # The slowest does nothing before the others are stopped by it.
                    while min(clocks[1:]) <= staleness:
                        time.sleep(0.005)
                    time.sleep(0.1)
                    assert clocks[1:] == [staleness + 1] * (n - 1), f"the others ran ahead to {clocks}"
                begun[rank] = number + 1
                worker.push("w", np.full(2000, float(1000 ** (rank % 2) * (number + 1))))
                clocks[rank] = number + 1
                values = worker.pull("w")
                version = worker.version("w")
                leads.append(number + 1 - min(begun))
                assert number + 1 - staleness <= version <= rounds, f"rank {rank} pulled version {version} after {number + 1} pushes"
                assert leads[-1] <= staleness, f"rank {rank} is {leads[-1]} ahead"
                # The last is compared at the end: the server may be about to note it.
                if version in total.after:
                    assert values.tobytes() == total.after[version].tobytes()

    parts = Parts()
    parts.start(serve)
    for rank in range(n):
        parts.start(lambda rank=rank: work(rank))
    parts.join()
    whole = sum(1000 ** (rank % 2) * (number + 1) for rank in range(n) for number in range(rounds))
    assert (final == whole).all(), f"{final[0]} was applied instead of {whole}"
    assert max(leads) > 0, "nobody ever was ahead"
    say(ok=rounds)


def late(workers: list[str], server: str, deadline: float, rounds: int, average: bool) -> None:
    """One worker has nothing to push until the others are done: they do not wait for it, and every gradient is in exactly one update."""
    n = len(workers)
    final = {"w": np.zeros(2000), "b": np.zeros(3, np.float32)}
    applied = {"w": 0, "b": 0}
    done = threading.Barrier(n)
    total = Total()

    def serve() -> None:
        def count(key: str, updates: int) -> None:
            assert updates == applied[key] + 1
            applied[key] = updates

        mlnet.serve(JOB, optimiser=total, parameters=final, deadline=deadline, average=average, on_update=count, socket=server)

    def work(rank: int) -> None:
        with mlnet.worker(JOB, rank, workers[rank]) as worker:
            assert worker.deadline == deadline and worker.version("w") >= 0
            if rank == 0:
                done.wait()
            for number in range(rounds):
                if rank == 1:
                    say(round=number)
                before = worker.version("w")
                worker.push("w", np.full(2000, 1.0 if average else float(1000 ** (rank % 2) * (number + 1))))
                if number % 2 == 0:
                    worker.push("b", np.ones(3, np.float32))
                while rank != 0 and worker.version("w") == before:
                    time.sleep(0.001)
                values = worker.pull("w")
                assert (values == values[0]).all() and worker.pull("w", copy=False).flags.writeable is False
            if rank != 0:
                done.wait()
        fails(mlnet.MlnetError, "this worker has left job", lambda: worker.push("w", np.ones(2000)))

    parts = Parts()
    parts.start(serve)
    for rank in range(n):
        parts.start(lambda rank=rank: work(rank))
    parts.join()
    if average:
        # Each update is the mean of ones, of however many.
        assert (final["w"] == applied["w"]).all() and (final["b"] == applied["b"]).all(), f"{applied} updates moved w by {final['w'][0]} and b by {final['b'][0]}"
        assert rounds <= applied["w"] <= n * rounds
    else:
        whole = sum(1000 ** (rank % 2) * (number + 1) for rank in range(n) for number in range(rounds))
        assert (final["w"] == whole).all(), f"{final['w'][0]} was applied instead of {whole}"
        assert (final["b"] == n * len(range(0, rounds, 2))).all(), f"{final['b'][0]} was applied of b"
    say(ok=rounds)


def early(workers: list[str], server: str) -> None:
    """A worker that gave up waiting for the server, and is started again, is no trouble for those that come later."""
    values = {"w": np.zeros(3)}
    fails(mlnet.NotReady, "its server does not serve yet", lambda: mlnet.worker(JOB, 0, workers[0], timeout=0.5))

    def work(rank: int) -> None:
        with mlnet.worker(JOB, rank, workers[rank]) as worker:
            worker.push("w", np.ones(3))
            assert (worker.pull("w") == len(workers)).all()

    parts = Parts()
    parts.start(lambda: work(0))
    time.sleep(0.3)
    parts.start(lambda: mlnet.serve(JOB, optimiser=Total(), parameters=values, average=False, socket=server) and None)
    for rank in range(1, len(workers)):
        parts.start(lambda rank=rank: work(rank))
    parts.join()
    assert (values["w"] == len(workers)).all()
    say(ok=1)


def serve_only(server: str, deadline: float | None) -> None:
    mlnet.serve(JOB, optimiser=mlnet.SGD(0.5), parameters=initial(), deadline=deadline, socket=server)


def death(workers: list[str], deadline: float | None) -> None:
    """The server is killed by whoever started it, once it is said that everybody trains. Under a deadline one worker does nothing more: its goodbye is the first call to say so."""
    begun = threading.Barrier(len(workers), action=lambda: say(training=True))

    def close_only(rank: int) -> None:
        worker = mlnet.worker(JOB, rank, workers[rank])
        worker.push("head", worker.pull("head"))
        begun.wait()
        while worker._failed is None:
            time.sleep(0.001)
        try:
            worker.close()
        except mlnet.RoundFailed as error:
            worker.close()  # has been said
            say(rank=rank, error=str(error), again=str(error))

    def work(rank: int) -> None:
        if deadline is not None and rank == 1:
            close_only(rank)
            return
        with mlnet.worker(JOB, rank, workers[rank]) as worker:
            number = 0
            try:
                while True:
                    for key in SHAPES:
                        worker.push(key, worker.pull(key))
                    number += 1
                    if number == 3:
                        begun.wait()
            except mlnet.RoundFailed as error:
                again = ""
                try:
                    worker.pull("head")
                except mlnet.RoundFailed as same:
                    again = str(same)
                say(rank=rank, error=str(error), again=again)

    parts = Parts()
    for rank in range(len(workers)):
        parts.start(lambda rank=rank: work(rank))
    parts.join()


def misuse(workers: list[str], server: str) -> None:
    """Every mistake is one clear error, and the last one is the server's to tell."""

    w = np.zeros(4, np.float32)
    for text, call in [
        ("parameters is empty", lambda: mlnet.serve(JOB, optimiser=mlnet.SGD(1), parameters={}, socket=server)),
        ("'w' is of int32", lambda: mlnet.serve(JOB, optimiser=mlnet.SGD(1), parameters={"w": np.zeros(4, np.int32)}, socket=server)),
        ("'w' must be a writable", lambda: mlnet.serve(JOB, optimiser=mlnet.SGD(1), parameters={"w": np.zeros((4, 4))[:, 1]}, socket=server)),
        ("'w' is a list", lambda: mlnet.serve(JOB, optimiser=mlnet.SGD(1), parameters={"w": [1.0]}, socket=server)),
        ("the optimiser is a int", lambda: mlnet.serve(JOB, optimiser=3, parameters={"w": w}, socket=server)),
        ("staleness is -1", lambda: mlnet.serve(JOB, optimiser=mlnet.SGD(1), parameters={"w": w}, staleness=-1, socket=server)),
        ("deadline is 0; it must be seconds above 0", lambda: mlnet.serve(JOB, optimiser=mlnet.SGD(1), parameters={"w": w}, deadline=0, socket=server)),
        ("give one of the two", lambda: mlnet.serve(JOB, optimiser=mlnet.SGD(1), parameters={"w": w}, deadline=0.5, staleness=1, socket=server)),
        ("need 10002 streams", lambda: mlnet.serve(JOB, optimiser=mlnet.SGD(1), parameters={"w": w}, staleness=5000, socket=server)),
    ]:
        fails(ValueError, text, call)
    fails(mlnet.Refused, "has a parameter server: join it with mlnet.worker()", lambda: mlnet.join(JOB, 0, workers[0]))
    fails(mlnet.Refused, "has no parameter server", lambda: mlnet.worker("plain", 0, workers[0]))
    fails(mlnet.Refused, "has no parameter server", lambda: mlnet.serve("plain", optimiser=mlnet.SGD(1), parameters={"w": w}, socket=workers[0]))

    def serve() -> None:
        fails(mlnet.RoundFailed, "some workers pushed 'w' 2 times and others 1 times", lambda: mlnet.serve(JOB, optimiser=mlnet.SGD(1), parameters={"w": w}, staleness=1, socket=server))

    def work(rank: int) -> None:
        with mlnet.worker(JOB, rank, workers[rank]) as worker:
            fails(KeyError, "no parameter 'v'; it has w", lambda: worker.pull("v"))
            fails(mlnet.ShapeMismatch, "the gradient of 'w' is float64 of shape (4,); the parameter is float32 of shape (4,)", lambda: worker.push("w", np.zeros(4)))
            fails(mlnet.ShapeMismatch, "out is float32 of shape (5,)", lambda: worker.pull("w", np.zeros(5, np.float32)))
            assert worker.version("w") == -1
            worker.push("w", w)
            worker.pull("w")
            if rank == 1:
                worker.push("w", w)

    parts = Parts()
    parts.start(serve)
    for rank in range(len(workers)):
        parts.start(lambda rank=rank: work(rank))
    parts.join()
    assert (w == 0).all()
    say(ok=1)


if __name__ == "__main__":
    what, arguments = sys.argv[1], json.loads(sys.argv[2])
    {"bulk": bulk, "stale": stale, "late": late, "early": early, "serve": serve_only, "death": death, "misuse": misuse}[what](**arguments)
