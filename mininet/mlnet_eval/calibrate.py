"""``./run bench calibrate``: small scenarios run on the emulated fabric and in the simulator, job by job.

The jobs are replayed: computation takes time but no processor, and every byte goes through the real controller, agents and queues.
So what differs is what the flow model leaves out: TCP, hashing of flows over links, hand-over from host to host.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence

from . import stopping
from .evaluate import FAULTS, Evaluation, Mode, Trained, prepare, say_stopped
from .ownership import handing_back
from .scenario import Scenario, parse
from .stack import StackError
from .terminal import Terminal, table

MEDIAN_LIMIT = 0.05  # of the jobs' errors
WORST_LIMIT = 0.15

# 8 hosts at 10 Mbit/s, two a rack, which two cores carry with room to spare; rates of the two uplinks of a rack, and of the core.
FABRICS = {
    "full": {"k": 4, "pods": 2, "hostMbps": 10, "rackUplinkMbps": 10, "coreMbps": 10},
    "4:1": {"k": 4, "pods": 2, "hostMbps": 10, "rackUplinkMbps": 2.5, "coreMbps": 2.5},
}
PODS = 2


@dataclass(frozen=True)
class Case:
    """One scenario under one way to plan."""

    name: str
    fabric: str
    strategy: str
    policy: str
    jobs: Sequence[Dict[str, Any]]

    def document(self) -> Dict[str, Any]:
        """As a scenario file."""
        return {"name": self.name, "fabric": FABRICS[self.fabric], "jobs": list(self.jobs)}


def job(name: str, megabytes: float, rounds: int, hosts: Iterable[str] = (), compute: float = 0.3) -> Dict[str, Any]:
    """A replayed job; on all hosts when none are named."""
    members = list(hosts)
    described = {"name": name, "gradientBytes": round(megabytes * 250_000) * 4, "computeSeconds": compute, "rounds": rounds}
    return {**described, "workers": members} if members else described


def pods(*numbers: int) -> List[str]:
    """All hosts of some pods."""
    return [f"h{pod}-{rack}-{index}" for pod in numbers for rack in range(2) for index in range(2)]


def side(index: int) -> List[str]:
    """One host of each rack."""
    return [f"h{pod}-{rack}-{index}" for pod in range(PODS) for rack in range(2)]


def cases() -> List[Case]:
    """One job and several; trees and direct; with and without priorities; on both fabrics."""
    found = []
    for fabric, size in (("full", 1.0), ("4:1", 0.5)):
        def case(name: str, strategy: str, policy: str, *jobs: Dict[str, Any], on: str = fabric) -> None:
            found.append(Case(f"{name}-{on.replace(':', '')}", on, strategy, policy, jobs))

        case("one-direct", "direct-sharded", "fair", job("a", 2 * size, 8))
        case("one-rack", "rack", "srpt", job("a", 2 * size, 8))
        case("one-thin", "rack", "srpt", job("a", 2 * size, 8, side(0)))
        two = job("a", 1.5 * size, 6), job("b", 3 * size, 5)
        case("two-direct-fair", "direct-sharded", "fair", *two)
        case("two-fair", "rack", "fair", *two)
        case("two-srpt", "rack", "srpt", *two)
        # All at once: the controller knows of jobs that start later from the beginning, the simulator's planner only when they come.
        crossed = job("a", 2 * size, 6, side(0)), job("b", 3 * size, 5), job("c", 1 * size, 8, pods(1))
        case("three-srpt", "optimized", "srpt", *crossed)
    return found


def predict(case: Case, binaries: Path, directory: Path) -> Dict[str, float]:
    """Seconds from start to end of each job, by the simulator."""
    scenario, answer = directory / f"{case.name}.json", directory / f"{case.name}.predicted.json"
    scenario.write_text(json.dumps(case.document()))
    program = [str(binaries / "mlnetctl" / "mlnetctl"), "simulate", str(scenario), "--strategy", case.strategy, "--policy", case.policy, "--json", str(answer)]
    run = subprocess.run(program, check=False, capture_output=True, text=True)
    if run.returncode != 0:
        raise StackError(f"the simulator refuses {scenario}: {run.stderr.strip() or run.stdout.strip()}")
    return {str(j["name"]): float(j["completionSeconds"]) for j in json.loads(answer.read_text())["schemes"][0]["jobs"]}


def rows_of(case: Case, predicted: Dict[str, float], trained: Trained) -> List[Dict[str, Any]]:
    """One row per job: predicted against emulated."""
    rows = []
    for outcome, described in zip(trained.outcomes, case.jobs):
        simulated = predicted[described["name"]]
        rows.append({
            "scenario": case.name, "fabric": case.fabric, "strategy": case.strategy, "policy": case.policy, "job": described["name"],
            "emulatedSeconds": outcome.seconds, "simulatedSeconds": simulated, "error": simulated / outcome.seconds - 1, "cpuBusyShare": trained.busy_share})
    return rows


def run(chosen: List[Case], state: Path, terminal: Terminal) -> List[Dict[str, Any]]:
    """All rows; each fabric is brought up once."""
    rows: List[Dict[str, Any]] = []
    directory = state / "calibrate"
    for fabric in FABRICS:
        on_fabric = [c for c in chosen if c.fabric == fabric]
        if not on_fabric:
            continue
        prepare(state, directory)
        evaluation = Evaluation(scenario_of(on_fabric[0]), state, directory, terminal)
        try:
            evaluation.start()
            for case in on_fabric:
                predicted = predict(case, state / "bin", directory)
                evaluation.scenario = scenario_of(case)
                trained = evaluation.train(Mode("run", case.strategy, case.policy))
                evaluation.await_end([o.job_id for o in trained.outcomes])  # the next case is planned without these jobs
                seen = rows_of(case, predicted, trained)
                rows += seen
                for row in seen:
                    terminal.say(f"{row['scenario']} {row['job']}: emulated {row['emulatedSeconds']:.1f} s, simulated {row['simulatedSeconds']:.1f} s ({row['error']:+.1%})")
        finally:
            evaluation.stop()
    return rows


def scenario_of(case: Case) -> Scenario:
    """As the emulation reads it."""
    return parse(case.document(), source=case.name)


def main(arguments: List[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run bench calibrate", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help="only these scenarios (default: all)")
    options = parser.parse_args(arguments)
    known = cases()
    unknown = set(options.names) - {c.name for c in known}
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; known are {', '.join(c.name for c in known)}")
    terminal = Terminal()
    stopping.raise_when_told()
    try:
        rows = run([c for c in known if not options.names or c.name in options.names], options.state, terminal)
    except stopping.Stopped as stopped:
        return say_stopped(stopped)
    except FAULTS as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    path = options.state / "bench" / "calibrate.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    errors = [abs(r["error"]) for r in rows]
    median, worst = statistics.median(errors), max(errors)
    path.write_text(json.dumps({"medianError": median, "worstError": worst, "rows": rows}, indent=1))
    terminal.show("\n" + table(["scenario", "strategy", "policy", "job", "emulated s", "simulated s", "error", "CPU busy"], [
        [r["scenario"], r["strategy"], r["policy"], r["job"], f"{r['emulatedSeconds']:.2f}", f"{r['simulatedSeconds']:.2f}", f"{r['error']:+.1%}", f"{r['cpuBusyShare']:.0%}"]
        for r in rows]) + f"\n\nmedian error {median:.1%} (limit {MEDIAN_LIMIT:.0%}), worst {worst:.1%} (limit {WORST_LIMIT:.0%})\n")
    held = max(median / MEDIAN_LIMIT, worst / WORST_LIMIT)
    print(json.dumps({
        "bench": "calibrate", "ours": median, "peer": None, "peerName": None, "ratio": held, "unit": "median error of a job's time", "better": "lower", "runs": 1,
        "spread": worst - min(errors), "worst": held, "rows": str(path)}))
    return 0


if __name__ == "__main__":
    sys.exit(handing_back(main))
