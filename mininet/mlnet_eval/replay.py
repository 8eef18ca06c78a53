"""One worker of a job that goes through the motions: waits as long as a round computes, exchanges as many bytes as its gradient has.

    MLNET_JOB=j MLNET_RANK=0 MLNET_AGENT_SOCKET=/run/agent.sock python3 -m mlnet_eval.replay --bytes 4000000 --compute 0.5 --rounds 20 ...

Its traffic is a training job's, its computation takes time but no processor: so tens of workers fit on one machine, and a round takes
what the network makes of it. The numbers exchanged are whole, so every sum is known beforehand, and each is checked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import List, Optional

import numpy as np

from mlnet_eval.fashion_mnist import Floats
from mlnet_eval.trainer import ExchangeFailed, Measurements, await_start, positive, write_file

_PERIOD = 251  # a prime: no shard or chunk begins where another does


class WrongSum(RuntimeError):
    """A result is not the sum of what the workers contributed."""


def contribution(elements: int, rank: int, number: int) -> Floats:
    """What a worker contributes to a round: whole numbers below 2^24, so that sums of thousands of them are exact in float32."""
    values: Floats = (np.arange(elements) % _PERIOD + rank + number % 7).astype(np.float32)
    return values


def total(elements: int, world_size: int, number: int) -> Floats:
    """The sum of all workers' contributions to a round."""
    values: Floats = (world_size * (np.arange(elements) % _PERIOD + number % 7) + world_size * (world_size - 1) // 2).astype(np.float32)
    return values


def work(options: argparse.Namespace) -> None:
    """Joins the job, replays its rounds and writes the report."""
    import mlnet

    elements = options.bytes // 4
    seen = Measurements()
    digest = hashlib.sha256()
    try:
        job = mlnet.join()
        if options.ready:
            write_file(options.ready, "")
        if options.go:
            await_start(options.go, options.start_after)
        started_at = finished_at = time.time()
        begun = time.monotonic()
        for number in range(options.rounds):
            gradient = contribution(elements, job.rank, number)
            time.sleep(max(0.0, begun + options.compute - time.monotonic()))
            computed = time.monotonic()
            result = job.allreduce(gradient, op="sum", stream=0, out=gradient)
            received, finished_at = time.monotonic(), time.time()
            if not np.array_equal(result, total(elements, job.world_size, number)):
                raise WrongSum(f"round {number}: the result is not the sum of {job.world_size} contributions")
            digest.update(result.tobytes())
            seen.compute_seconds.append(computed - begun)
            seen.communication_seconds.append(received - computed)
            if options.progress:
                write_file(options.progress, str(number + 1))
            begun = received  # the sum is checked while the next round is said to compute: it is no part of what the network takes
        job.leave()
    except mlnet.MlnetError as error:
        raise ExchangeFailed(f"{type(error).__name__}: {error}") from error
    seconds = seen.round_seconds()
    write_file(options.result, json.dumps({
        "rank": job.rank, "worldSize": job.world_size, "rounds": options.rounds, "messageBytes": options.bytes, "startedAt": started_at, "finishedAt": finished_at,
        "roundSeconds": {"mean": statistics.fmean(seconds), "p50": statistics.median(seconds), "max": max(seconds)},
        "computeSeconds": sum(seen.compute_seconds), "communicationSeconds": sum(seen.communication_seconds), "resultsSha256": digest.hexdigest()}))


def main(arguments: Optional[List[str]] = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="mlnet_eval.replay", description="Replays one worker of a training job of known size through MLNet.")
    parser.add_argument("--bytes", type=positive, required=True, help="gradient of a round, a multiple of 4")
    parser.add_argument("--compute", type=float, default=0.0, help="computation of a round, seconds (default 0)")
    parser.add_argument("--rounds", type=positive, required=True, help="rounds to replay")
    parser.add_argument("--result", type=Path, required=True, help="file that receives the report, as JSON")
    parser.add_argument("--progress", type=Path, help="file that holds the number of finished rounds")
    parser.add_argument("--ready", type=Path, help="file to make once the job is joined")
    parser.add_argument("--go", type=Path, help="file whose appearance starts the rounds")
    parser.add_argument("--start-after", type=float, default=0.0, metavar="SECONDS", help="begin so long after the file of --go was made (default 0)")
    options = parser.parse_args(arguments)
    if options.bytes % 4:
        parser.error(f"--bytes {options.bytes}: must be a multiple of 4, the bytes of a float32")
    try:
        work(options)
    except (ExchangeFailed, WrongSum, ImportError, OSError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
