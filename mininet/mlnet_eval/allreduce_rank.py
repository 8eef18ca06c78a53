"""One rank of ``./run bench allreduce``: reduces as it is told, through MLNet, Gloo or Open MPI.

Each line ``WHERE BYTES ROUNDS`` that comes through its named pipe makes it reduce an array of so many bytes so often, after a barrier; it answers with
one JSON line. Waiting for the next line costs no processor time, whatever the library does when it waits.

WHERE says where the numbers lie: ``in-place`` in an array of numpy's, which is replaced by the sum; ``library`` in memory that the library allocates, where
each may use what suits it best: the contribution in one place and the sum in another (MLNet, Open MPI), or one tensor (Gloo, which knows no other way).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any, Callable, Dict, Protocol, Tuple

import numpy as np

from mlnet_eval.fashion_mnist import Floats


class Way(Protocol):
    """A library that sums over all ranks."""

    def barrier(self) -> None:
        """Returns when all ranks have called it."""

    def reduce(self, array: Floats) -> None:
        """Replaces the array by the sum."""

    def place(self, count: int) -> Floats:
        """Where the next contribution of so many numbers goes, in memory of the library; its content counts only once it is written."""

    def sum_of_place(self, count: int) -> Floats:
        """Sums over all ranks what lies in the place; the sum lies in memory of the library."""


class Mlnet:
    def __init__(self, rank: int, world: int) -> None:
        import mlnet

        self._job = mlnet.join()
        self._little = np.zeros(1, np.float32)

    def barrier(self) -> None:
        self._job.allreduce(self._little, stream=1)

    def reduce(self, array: Floats) -> None:
        self._job.allreduce(array, out=array)

    def place(self, count: int) -> Floats:
        place: Floats = self._job.contribution(count, np.float32)
        return place

    def sum_of_place(self, count: int) -> Floats:
        result: Floats = self._job.allreduce(self.place(count), copy=False)
        return result


class Gloo:
    def __init__(self, rank: int, world: int) -> None:
        import torch
        import torch.distributed

        torch.set_num_threads(1)
        self._torch: Any = torch
        torch.distributed.init_process_group("gloo", init_method=os.environ["BENCH_STORE"], rank=rank, world_size=world)
        self._tensors: Dict[int, Any] = {}

    def barrier(self) -> None:
        self._torch.distributed.barrier()

    def reduce(self, array: Floats) -> None:
        self._torch.distributed.all_reduce(self._torch.from_numpy(array))

    def place(self, count: int) -> Floats:
        tensor = self._tensors.setdefault(count, self._torch.empty(count))
        place: Floats = tensor.numpy()
        return place

    def sum_of_place(self, count: int) -> Floats:
        place = self.place(count)
        self._torch.distributed.all_reduce(self._tensors[count])
        return place


class OpenMpi:
    def __init__(self, rank: int, world: int) -> None:
        from mpi4py import MPI

        self._mpi: Any = MPI
        self._buffers: Dict[int, Tuple[Floats, Floats]] = {}

    def barrier(self) -> None:
        self._mpi.COMM_WORLD.Barrier()

    def reduce(self, array: Floats) -> None:
        self._mpi.COMM_WORLD.Allreduce(self._mpi.IN_PLACE, array)

    def place(self, count: int) -> Floats:
        if count not in self._buffers:
            send, receive = (np.frombuffer(self._mpi.Alloc_mem(4 * count), np.float32) for _ in range(2))
            receive[:] = 0  # its pages are there before anything is measured
            self._buffers[count] = (send, receive)
        return self._buffers[count][0]

    def sum_of_place(self, count: int) -> Floats:
        send, receive = self._buffers[count]
        self._mpi.COMM_WORLD.Allreduce(send, receive)
        return receive


def in_place(way: Way, array: Floats, rank: int, world: int, rounds: int) -> Tuple[float, bool]:
    """Seconds of one of so many rounds, and whether the first gave the sum."""
    array[:] = rank + 1
    first = timed(way, lambda: way.reduce(array))
    right = bool((array == world * (world + 1) / 2).all())
    array[:] = 0  # sums of sums would leave the range of numbers
    return (first + timed(way, lambda: way.reduce(array), rounds - 1)) / rounds, right


def in_library(way: Way, array: Floats, rank: int, world: int, rounds: int) -> Tuple[float, bool]:
    """As above. What a trainer does to have its numbers there is not counted, for no library: they are written once, and later rounds send what lies there."""
    way.place(array.size)[:] = rank + 1
    sums = [array]
    first = timed(way, lambda: sums.append(way.sum_of_place(array.size)))
    right = bool((sums.pop() == world * (world + 1) / 2).all())
    way.place(array.size)[:] = 0
    return (first + timed(way, lambda: way.sum_of_place(array.size), rounds - 1)) / rounds, right


def timed(way: Way, reduce: Callable[[], object], rounds: int = 1) -> float:
    """Seconds of so many rounds, from when all ranks are there."""
    way.barrier()
    begun = time.monotonic()
    for _ in range(rounds):
        reduce()
    return time.monotonic() - begun


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
            where, size, rounds = line.split()
            count = int(size) // 4
            seconds, right = (in_place if where == "in-place" else in_library)(way, arrays.setdefault(count, np.empty(count, np.float32)), options.rank, options.world, int(rounds))
            print(json.dumps({"via": options.via, "rank": options.rank, "seconds": seconds, "right": right}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
