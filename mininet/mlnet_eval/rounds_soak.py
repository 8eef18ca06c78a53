"""Kills agents under a running job, again and again, and sees whether anybody notices.

All hosts of a small fabric reduce whole numbers round by round, and check every sum. Meanwhile agents are killed (kill -9), by turns and at random times,
and started anew. No worker may hear of it, every result must be exact and the same on all workers, and each kill may cost one round that is tried again.
A second job, on hosts whose agents are left alone, must not feel anything.
"""

from __future__ import annotations

import argparse
import bisect
import json
import random
import re
import sys
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Dict, List, Optional, Set, Tuple

from . import stopping
from .evaluate import prepare, say_stopped
from .fabric import Fabric, FabricError
from .ownership import handing_back
from .run_lock import FabricBusy
from .scenario import FabricShape, ScenarioJob
from .stack import Stack, StackError
from .training import JobOutcome, Training

# A round is redone when somebody who waited for it entered another attempt, and in an attempt after the first chunks were summed. Where all chunks of a round
# were held by somebody, the attempt only gives its results to those who lack them: workers that have them may already be in the next round, which is the one redone.
_SUMMED_AGAIN = re.compile(r"Job (\S+): round (\d+) of stream (\d+) is summed in attempt (\d+)")
_TRIED_AGAIN = re.compile(r"^(\S+Z) .*Job (\S+): round (\d+) of stream (\d+) is tried again", re.MULTILINE)


@dataclass(frozen=True)
class Soak:
    """What came of a soak."""

    kills: int
    killed: JobOutcome
    calm: JobOutcome
    tried_again: Dict[str, int]  # rounds, by job: redone, or only their results given out again
    redone: Dict[str, int]  # rounds, by job
    of_each_kill: Tuple[int, ...]  # rounds of the killed job that were redone between one kill and the next


def soak(binaries: Path, directory: Path, rounds: int, kills: int, seed: int) -> Soak:
    """Runs it; raises StackError when a worker ended in any way but well."""
    chance = random.Random(seed)
    fabric = Fabric(FabricShape(k=4, pods=1, hosts_per_rack=3, host_mbps=50, rack_uplink_mbps=25, core_mbps=25), uuid.uuid4().hex[:8])
    stack = Stack(fabric, directory, binaries, None)
    training: Optional[Training] = None
    try:
        fabric.start()
        stack.start_controller()
        stack.start_agents()
        stack.wait_for_agents()
        hosts = list(fabric.hosts)
        calm, killed = hosts[-2:], hosts[:-2]
        training = Training(stack, directory, directory / "soak")
        training.submit(
            [_job("killed", killed, rounds, 120_000), _job("calm", calm, rounds, 120_000)], lambda job: job.name)
        training.launch()
        training.start()
        job = training.jobs[0]
        killed_at: List[datetime] = []
        for number in range(kills):
            due = (number + 1) * rounds // (kills + 1)
            while job.rounds_done() < due:
                if any(p.poll() not in (None, 0) for j in training.jobs for p in j.processes):
                    training.wait(lambda _: None, 1)  # names the worker and its last words
                time.sleep(0.02)
            victim = chance.choice(killed)
            time.sleep(chance.random() * 0.3)
            killed_at.append(datetime.now(timezone.utc))
            stack.kill_agent(victim)
            time.sleep(chance.random())
            stack.start_agent(victim)
            print(f"\rkill {number + 1} of {kills}: {victim} at round {job.rounds_done()}", end="", file=sys.stderr, flush=True)
        training.wait(lambda _: None, 600)
        print(file=sys.stderr)
        outcomes = training.outcomes()
        again: Dict[str, Dict[Tuple[str, str], datetime]] = {"killed": {}, "calm": {}}
        summed: Dict[str, Set[Tuple[str, str]]] = {"killed": set(), "calm": set()}
        for host in hosts:
            for when, name, number_text, stream in _TRIED_AGAIN.findall(stack.agent_log(host)):
                said = datetime.fromisoformat(when.replace("Z", "+00:00"))
                again[name][number_text, stream] = min(said, again[name].get((number_text, stream), said))
            for name, number_text, stream, _ in _SUMMED_AGAIN.findall(stack.agent_log(host)):
                summed[name].add((number_text, stream))
        tried = {name: len(found) for name, found in again.items()}
        again = {name: {key: said for key, said in found.items() if key in summed[name]} for name, found in again.items()}
        return Soak(
            kills, outcomes[0], outcomes[1], tried, {name: len(found) for name, found in again.items()}, redone_by_kill(killed_at, list(again["killed"].values())))
    finally:
        if training is not None:
            training.end()
        stack.stop()
        fabric.stop()


def faults(seen: Soak) -> List[str]:
    """What must not have been; empty when all is well. That every sum was exact the workers have seen to themselves."""
    found = []
    for outcome in (seen.killed, seen.calm):
        if len(outcome.weight_hashes) != 1:
            found.append(f"workers of {outcome.name} have different results: {len(outcome.weight_hashes)} kinds")
    if seen.tried_again["calm"] > 0:
        found.append(f"{seen.tried_again['calm']} rounds of the job on other hosts were tried again")
    if sum(seen.of_each_kill) != seen.redone["killed"]:
        found.append(f"{seen.redone['killed'] - sum(seen.of_each_kill)} rounds were redone before the first kill")
    found += [f"{count} rounds were redone for kill {number}" for number, count in enumerate(seen.of_each_kill, 1) if count > 1]
    return found


def redone_by_kill(killed_at: List[datetime], tried_again: List[datetime]) -> Tuple[int, ...]:
    """How many rounds were first tried again after each kill and before the next."""
    counts = [0] * len(killed_at)
    for said in tried_again:
        # The log counts milliseconds.
        after = bisect.bisect_right(killed_at, said + timedelta(milliseconds=1))
        if after > 0:
            counts[after - 1] += 1
    return tuple(counts)


def _job(name: str, hosts: List[str], rounds: int, size: int) -> ScenarioJob:
    return ScenarioJob(name=name, workers=tuple(hosts), rounds=rounds, gradient_bytes=size, compute_seconds=0.1)


def main(arguments: List[str]) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="./run soak rounds", description="kills agents under a running job and sees whether anybody notices")
    parser.add_argument("--state", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=500, help="rounds of both jobs (default 500)")
    parser.add_argument("--kills", type=int, default=50, help="agents killed meanwhile (default 50)")
    parser.add_argument("--seed", type=int, default=1, help="of who is killed when (default 1)")
    options = parser.parse_args(arguments)
    directory = options.state / "soak"
    stopping.raise_when_told()
    try:
        prepare(options.state, directory)
        seen = soak(options.state / "bin", directory, options.rounds, options.kills, options.seed)
    except stopping.Stopped as stopped:
        return say_stopped(stopped)
    except (FabricBusy, FabricError, StackError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    wrong = faults(seen)
    for fault in wrong:
        print(f"soak: {fault}", file=sys.stderr)
    print(json.dumps({"soak": "rounds", "rounds": seen.killed.rounds, "kills": seen.kills, "triedAgain": seen.tried_again, "redone": seen.redone, "mostOfOneKill": max(seen.of_each_kill, default=0), "seconds": round(seen.killed.seconds, 1), "faults": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(handing_back(main))
