"""Trains a perceptron on Fashion-MNIST: as one worker of a data-parallel job, or alone.

Every round all workers take the next global batch of the same seeded order, each its own part of it, and apply the mean of
their gradients; so they hold the same weights at every round, and training is what one process would do with the whole batch.

    MLNET_JOB=j MLNET_RANK=0 MLNET_AGENT_SOCKET=/run/agent.sock python3 -m mlnet_eval.trainer --hidden 64 --rounds 40 ...
    python3 -m mlnet_eval.trainer --local 16 --hidden 64 --rounds 40 ...     one process that does the work of 16 workers
"""

from __future__ import annotations

import os

# One thread per worker, set before numpy loads its BLAS: tens of workers share few cores.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import argparse  # noqa: E402
import hashlib  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, Dict, List, Optional, Protocol  # noqa: E402

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

from mlnet_eval import fashion_mnist  # noqa: E402
from mlnet_eval.fashion_mnist import DatasetError, Floats, Samples  # noqa: E402
from mlnet_eval.perceptron import NesterovDescent, Perceptron  # noqa: E402

MOMENTUM = 0.9
_POLL_SECONDS = 0.02


class Exchange(Protocol):
    """What reduces gradients: the mean over all workers, or the identity for one that is alone."""

    rank: int
    world_size: int

    def mean(self, gradient: Floats) -> Floats:
        """The mean of every worker's vector, the same bits for all of them."""

    def close(self) -> None:
        """Leaves the job."""


class ExchangeFailed(RuntimeError):
    """The job cannot be joined, or a round of it failed; the message says why."""


class NetworkExchange:
    """One worker of an MLNet job, as the environment names it (``MLNET_JOB``, ``MLNET_RANK``, ``MLNET_AGENT_SOCKET``)."""

    def __init__(self) -> None:
        try:
            import mlnet  # only here: training alone needs no library and no agent
        except ImportError as error:
            raise ExchangeFailed(f"{error}; put agent/python on PYTHONPATH, or train alone with --local.") from error
        self._error = mlnet.MlnetError
        try:
            self._job = mlnet.join()
        except self._error as error:
            raise ExchangeFailed(f"{type(error).__name__}: {error}") from error
        self.rank = self._job.rank
        self.world_size = self._job.world_size

    def mean(self, gradient: Floats) -> Floats:
        """Through the agent of this host; the result takes the gradient's place."""
        try:
            return self._job.allreduce(gradient, op="mean", stream=0, out=gradient)
        except self._error as error:
            raise ExchangeFailed(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Tells the agent that this worker is done."""
        self._job.leave()


class LocalExchange:
    """A worker that is alone; its batch is that of all workers it stands for."""

    rank = 0
    world_size = 1

    def mean(self, gradient: Floats) -> Floats:
        """The vector itself."""
        return gradient

    def close(self) -> None:
        """Nothing to leave."""


@dataclass
class Measurements:
    """What one worker saw of its own training."""

    losses: List[float] = field(default_factory=list)  # of its own part of the batch, one per round
    compute_seconds: List[float] = field(default_factory=list)
    communication_seconds: List[float] = field(default_factory=list)

    def round_seconds(self) -> List[float]:
        """Whole rounds."""
        return [compute + wait for compute, wait in zip(self.compute_seconds, self.communication_seconds)]


class BatchError(ValueError):
    """The global batch exceeds the samples."""


class SampleOrder:
    """Which samples a worker takes in each round: its part of a seeded shuffle of all, reshuffled each epoch."""

    def __init__(self, samples: int, batch: int, rank: int, world_size: int, seed: int) -> None:
        if batch * world_size > samples:
            raise BatchError(f"batch = {batch}: times {world_size} workers exceeds the {samples} samples; lower it.")
        self._samples, self._batch, self._rank, self._world, self._seed = samples, batch, rank, world_size, seed
        self._rounds_per_epoch = samples // (batch * world_size)
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def of_round(self, number: int) -> npt.NDArray[np.int64]:
        """Indices of this worker's samples in round ``number``, counted from 0."""
        epoch, step = divmod(number, self._rounds_per_epoch)
        if epoch != self._epoch:
            # A generator per epoch, not one that runs on: any round can be asked for.
            self._order, self._epoch = np.random.default_rng([self._seed, epoch]).permutation(self._samples), epoch
        start = (step * self._world + self._rank) * self._batch
        return np.sort(self._order[start : start + self._batch])  # sorted: the mapped file is read forwards


def await_start(go: Path, seconds: float) -> None:
    """Returns so many seconds after the file was made."""
    while not go.exists():
        time.sleep(_POLL_SECONDS)
    time.sleep(max(0.0, go.stat().st_mtime + seconds - time.time()))


def train(
    exchange: Exchange, samples: Samples, order: SampleOrder, model: Perceptron, rounds: int, learning_rate: float, progress: Optional[Path] = None
) -> Measurements:
    """Trains the model in place for a number of rounds."""
    descent = NesterovDescent(model.parameters, learning_rate, MOMENTUM)
    seen = Measurements()
    for number in range(rounds):
        begun = time.monotonic()
        indices = order.of_round(number)
        seen.losses.append(model.loss_and_gradient(samples.take(indices), samples.labels[indices]))
        computed = time.monotonic()
        mean = exchange.mean(model.gradient)
        received = time.monotonic()
        descent.apply(mean)
        seen.compute_seconds.append(computed - begun + time.monotonic() - received)
        seen.communication_seconds.append(received - computed)
        if progress is not None:
            write_file(progress, str(number + 1))
    return seen


def accuracy(model: Perceptron, samples: Samples, batch: int = 1_000) -> float:
    """Share of samples whose class the model names, 0..1."""
    right = 0
    for start in range(0, len(samples), batch):
        indices = np.arange(start, min(start + batch, len(samples)))
        right += int(np.count_nonzero(model.predict(samples.take(indices)) == samples.labels[indices]))
    return right / len(samples)


def report(
    exchange: Exchange, model: Perceptron, seen: Measurements, started_at: float, finished_at: float, test: Optional[Samples]
) -> Dict[str, Any]:
    """What a worker hands in: times in seconds (those ending in At since 1970), losses in nats."""
    seconds = seen.round_seconds()
    return {
        "rank": exchange.rank,
        "worldSize": exchange.world_size,
        "rounds": len(seconds),
        "messageBytes": model.parameters.nbytes,
        "startedAt": started_at,
        "finishedAt": finished_at,
        "roundSeconds": {"mean": statistics.fmean(seconds), "p50": statistics.median(seconds), "max": max(seconds)},
        "computeSeconds": sum(seen.compute_seconds),
        "communicationSeconds": sum(seen.communication_seconds),
        "losses": [round(loss, 6) for loss in seen.losses],
        "finalLoss": seen.losses[-1],
        "testAccuracy": None if test is None else accuracy(model, test),
        "weightsSha256": hashlib.sha256(model.parameters.tobytes()).hexdigest(),
    }


def write_file(path: Path, text: str) -> None:
    """Replaces a file as a whole: who reads it sees the old text or the new."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def positive(text: str) -> int:
    """A command line's whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} must be at least 0")
    return value


def _step(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{text} must be above 0 and at most 100")
    return value


def _options(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mlnet_eval.trainer", description="Trains a perceptron on Fashion-MNIST, data-parallel through MLNet.")
    parser.add_argument("--hidden", type=positive, required=True, help="width of the hidden layer")
    parser.add_argument("--rounds", type=positive, required=True, help="rounds to train")
    parser.add_argument("--batch", type=positive, default=64, help="samples per worker and round (default 64)")
    parser.add_argument("--seed", type=_seed, default=1, help="of the initial weights and the order of samples (default 1)")
    parser.add_argument("--learning-rate", type=_step, default=0.05, help="step size (default 0.05)")
    parser.add_argument("--cache", type=Path, required=True, help="directory for the unpacked data set, shared by all workers of a machine")
    parser.add_argument("--result", type=Path, required=True, help="file that receives the report, as JSON")
    parser.add_argument("--progress", type=Path, help="file that holds the number of finished rounds")
    parser.add_argument("--ready", type=Path, help="file to make once everything is loaded and the job is joined")
    parser.add_argument("--go", type=Path, help="file whose appearance starts the training")
    parser.add_argument("--start-after", type=float, default=0.0, metavar="SECONDS", help="begin so long after the file of --go was made (default 0)")
    parser.add_argument("--local", type=positive, metavar="WORKERS", help="train alone, with the batch of so many workers")
    return parser.parse_args(arguments)


def _exchange(alone: bool) -> Exchange:
    if alone:
        return LocalExchange()
    return NetworkExchange()


def _work(options: argparse.Namespace) -> None:
    samples = fashion_mnist.load(options.cache, "train")
    test = fashion_mnist.load(options.cache, "t10k")
    exchange = _exchange(alone=options.local is not None)
    order = SampleOrder(len(samples), options.batch * (options.local or 1), exchange.rank, exchange.world_size, options.seed)
    model = Perceptron(options.hidden, options.seed)
    if options.ready:
        write_file(options.ready, "")
    if options.go:
        await_start(options.go, options.start_after)
    started_at = time.time()
    seen = train(exchange, samples, order, model, options.rounds, options.learning_rate, options.progress)
    finished_at = time.time()
    exchange.close()  # before the test set is looked at: the job is over when its training is
    # One worker is enough to judge the weights, for all have the same.
    summary = report(exchange, model, seen, started_at, finished_at, test if exchange.rank == 0 else None)
    write_file(options.result, json.dumps(summary))


def main(arguments: Optional[List[str]] = None) -> int:
    """The command line; returns the exit code."""
    options = _options(arguments)
    try:
        _work(options)
    except (BatchError, DatasetError, ExchangeFailed, OSError) as error:
        # No goodbye to the others of the job: they must hear that this worker failed.
        print(f"trainer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
