"""The same with Open MPI."""

import sys
import time

import numpy
from mpi4py import MPI

elements, computation = int(sys.argv[1]), float(sys.argv[2])
gradient, total = numpy.ones(elements, dtype=numpy.float32), numpy.empty(elements, dtype=numpy.float32)
while True:
    if MPI.COMM_WORLD.rank == 0:
        print(time.monotonic(), flush=True)
    time.sleep(computation)
    MPI.COMM_WORLD.Allreduce(gradient, total)
