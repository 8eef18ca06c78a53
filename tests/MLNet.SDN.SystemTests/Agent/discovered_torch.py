"""A training job that knows nothing of MLNet: PyTorch, Gloo, and a sleep for computation. Prints the seconds of its rounds."""

import statistics
import sys
import time

import torch
import torch.distributed as dist

elements, computation = int(sys.argv[1]), float(sys.argv[2])
dist.init_process_group("gloo")
gradient = torch.ones(elements)
starts = []
while True:
    starts.append(time.monotonic())
    time.sleep(computation)
    dist.all_reduce(gradient)
    gradient.fill_(1)
    if len(starts) % 10 == 0:
        print(statistics.median(b - a for a, b in zip(starts[-60:], starts[-59:])), flush=True)
