"""A training job that knows nothing of MLNet: PyTorch, Gloo, and a sleep for computation. Prints when each of its rounds begins, in seconds of
the monotonic clock."""

import sys
import time

import torch
import torch.distributed as dist

elements, computation = int(sys.argv[1]), float(sys.argv[2])
dist.init_process_group("gloo")
gradient = torch.ones(elements)
while True:
    print(time.monotonic(), flush=True)
    time.sleep(computation)
    dist.all_reduce(gradient)
    gradient.fill_(1)
