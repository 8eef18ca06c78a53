"""One rank of ``./run bench allreduce``: reduces as it is told, through MLNet, Gloo or Open MPI.

Each line ``BYTES ROUNDS`` that comes through its named pipe makes it reduce an array of so many bytes so often, after a barrier; it answers with
one JSON line. Waiting for the next line costs no processor time, whatever the library does when it waits.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any, Dict, Protocol

import numpy as np

from mlnet_eval.fashion_mnist import Floats


class Way(Protocol):
    """A library that sums over all ranks."""

    def barrier(self) -> None:
        """Returns when all ranks have called it."""

    def reduce(self, array: Floats) -> None:
        """Replaces the array by the sum."""


class Mlnet:
    def __init__(self, rank: int, world: int) -> None:
        import mlnet

        self._job = mlnet.join()
        self._little = np.zeros(1, np.float32)

    def barrier(self) -> None:
        self._job.allreduce(self._little, stream=1)

    def reduce(self, array: Floats) -> None:
        self._job.allreduce(array, out=array)


class Gloo:
    def __init__(self, rank: int, world: int) -> None:
        import torch
        import torch.distributed

        torch.set_num_threads(1)
        self._torch: Any = torch
        torch.distributed.init_process_group("gloo", init_method=os.environ["BENCH_STORE"], rank=rank, world_size=world)

    def barrier(self) -> None:
        self._torch.distributed.barrier()

    def reduce(self, array: Floats) -> None:
        self._torch.distributed.all_reduce(self._torch.from_numpy(array))


class OpenMpi:
    def __init__(self, rank: int, world: int) -> None:
        from mpi4py import MPI

        self._mpi: Any = MPI

    def barrier(self) -> None:
        self._mpi.COMM_WORLD.Barrier()

    def reduce(self, array: Floats) -> None:
        self._mpi.COMM_WORLD.Allreduce(self._mpi.IN_PLACE, array)


def main() -> int:
    parser = argparse.ArgumentParser(prog="mlnet_eval.allreduce_rank", description=__doc__)
    parser.add_argument("--via", choices=["mlnet", "gloo", "mpi"], required=True)
    parser.add_argument("--rank", type=int, default=int(os.environ.get("OMPI_COMM_WORLD_RANK", "0")))
    parser.add_argument("--world", type=int, required=True)
    parser.add_argument("--pipes", required=True, help="directory of the named pipes VIA-RANK")
    options = parser.parse_args()
    ways: Dict[str, Any] = {"mlnet": Mlnet, "gloo": Gloo, "mpi": OpenMpi}
    way: Way = ways[options.via](options.rank, options.world)
    arrays: Dict[int, Floats] = {}
    with open(os.path.join(options.pipes, f"{options.via}-{options.rank}"), encoding="ascii") as commands:
        for line in commands:
            size, rounds = (int(word) for word in line.split())
            array = arrays.setdefault(size, np.empty(size // 4, np.float32))
            array[:] = options.rank + 1
            way.barrier()
            begun = time.monotonic()
            way.reduce(array)
            first = time.monotonic()
            right = bool((array == options.world * (options.world + 1) / 2).all())
            array[:] = 0  # sums of sums would leave the range of numbers
            way.barrier()
            again = time.monotonic()
            for _ in range(rounds - 1):
                way.reduce(array)
            seconds = (first - begun + time.monotonic() - again) / rounds
            print(json.dumps({"via": options.via, "rank": options.rank, "seconds": seconds, "right": right}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
