"""The same with Open MPI."""

import statistics
import sys
import time

import numpy
from mpi4py import MPI

elements, computation = int(sys.argv[1]), float(sys.argv[2])
gradient, total = numpy.ones(elements, dtype=numpy.float32), numpy.empty(elements, dtype=numpy.float32)
starts = []
while True:
    starts.append(time.monotonic())
    time.sleep(computation)
    MPI.COMM_WORLD.Allreduce(gradient, total)
    if len(starts) % 10 == 0 and MPI.COMM_WORLD.rank == 0:
        print(statistics.median(b - a for a, b in zip(starts[-60:], starts[-59:])), flush=True)
