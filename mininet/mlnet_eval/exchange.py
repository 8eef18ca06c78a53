"""One worker that does nothing but exchange gradients, through MLNet or through Gloo, as it is told line by line.

    python3 -m mlnet_eval.exchange --via mlnet --rank 0 --world 8 --bytes 4194304 --job j --socket /run/agent.sock
    python3 -m mlnet_eval.exchange --via gloo --rank 0 --world 8 --bytes 4194304 --store /tmp/store

Says ``ready`` once it could exchange. Each line ``ROUNDS AT`` on its standard input makes it exchange so often without a pause, from the
given time of the monotonic clock on; it answers with one JSON object: when it began and when it had the last result. What it contributes
is made before the clock runs; all numbers are whole, so every sum is known, and the last one is checked after the clock has stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Protocol

import numpy as np

from mlnet_eval.fashion_mnist import Floats
from mlnet_eval.replay import contribution, total
from mlnet_eval.trainer import positive


class Exchange(Protocol):
    """A way to sum arrays over all workers."""

    def allreduce(self, array: Floats) -> Floats:
        """The sum; the array itself stays as it is."""

    def leave(self) -> None:
        """Ends this worker's part."""


class ThroughMlnet:
    """The library for trainers, and the agent of this host."""

    def __init__(self, options: argparse.Namespace) -> None:
        import mlnet

        self._job = mlnet.join(job=options.job, rank=options.rank, socket=options.socket)
        self._out = np.empty(options.bytes // 4, np.float32)

    def allreduce(self, array: Floats) -> Floats:
        return self._job.allreduce(array, op="sum", stream=0, out=self._out)

    def leave(self) -> None:
        self._job.leave()


class ThroughGloo:
    """All-reduce of Gloo, as PyTorch calls it. It finds its peers by a file: nothing but gradients is on the fabric."""

    def __init__(self, options: argparse.Namespace) -> None:
        import torch
        import torch.distributed

        torch.set_num_threads(1)
        self._torch: Any = torch
        torch.distributed.init_process_group("gloo", init_method=f"file://{options.store}", rank=options.rank, world_size=options.world)
        self._tensor = torch.empty(options.bytes // 4, dtype=torch.float32)

    def allreduce(self, array: Floats) -> Floats:
        self._tensor.copy_(self._torch.from_numpy(array))  # it sums in place
        self._torch.distributed.all_reduce(self._tensor)
        result: Floats = self._tensor.numpy()
        return result

    def leave(self) -> None:
        self._torch.distributed.destroy_process_group()


def work(options: argparse.Namespace) -> int:
    """Does what it is told until its input ends; returns the exit code."""
    mine = contribution(options.bytes // 4, options.rank, 0)
    expected = total(options.bytes // 4, options.world, 0)
    ways: Dict[str, Callable[[argparse.Namespace], Exchange]] = {"mlnet": ThroughMlnet, "gloo": ThroughGloo}
    exchange = ways[options.via](options)
    exchange.allreduce(mine)
    print("ready", flush=True)
    for line in sys.stdin:
        rounds, at = line.split()
        time.sleep(max(0.0, float(at) - time.monotonic()))
        begun = time.monotonic()
        for _ in range(int(rounds)):
            result = exchange.allreduce(mine)
        ended = time.monotonic()
        if not np.array_equal(result, expected):
            print(f"the result is not the sum of {options.world} contributions", file=sys.stderr)
            return 1
        print(json.dumps({"begun": begun, "ended": ended}), flush=True)
    exchange.leave()
    return 0


def main(arguments: Optional[List[str]] = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="mlnet_eval.exchange", description="Exchanges gradients of known size, when told to.")
    parser.add_argument("--via", choices=["mlnet", "gloo"], required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--world", type=positive, required=True)
    parser.add_argument("--bytes", type=positive, required=True, help="a multiple of 4")
    parser.add_argument("--job", help="with mlnet: the job's name")
    parser.add_argument("--socket", help="with mlnet: where the agent of this host listens")
    parser.add_argument("--store", help="with gloo: a file by which the workers find each other, not there yet")
    return work(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
