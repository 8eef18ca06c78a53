"""Runs a scenario on the emulated fabric in several modes and compares them.

``plain`` is what a cluster does without us: a parameter server sharded over all workers, unmarked, fair sharing. ``mlnet`` is the
planned trees and levels. Both use the same agents, the same library and the same queues; only the plan differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from . import cleanup, stopping
from .bounds import round_bound_seconds, serial_seconds
from .fabric import Fabric, FabricError
from .ownership import handing_back
from .postgres import DatabaseError, Postgres
from .run_lock import FabricBusy, RunLock
from .scenario import Scenario, ScenarioError, load
from .stack import Stack, StackError
from .terminal import Terminal, table
from .training import JobOutcome, Training


@dataclass(frozen=True)
class Mode:
    """How the controller plans during a run."""

    name: str
    strategy: str
    policy: str


PLAIN = Mode("plain", "direct-sharded", "fair")
MLNET = Mode("mlnet", "rack", "srpt")
# IPv4 without options and TCP with timestamps: what every segment of a Linux socket carries besides its payload.
HEADER_BYTES = 20 + 32


@dataclass(frozen=True)
class Trained:
    """What came of running all jobs of a scenario once."""

    outcomes: List[JobOutcome]
    plans: Dict[int, Dict[str, Any]]  # by job id, as the controller tells them
    link_bytes: Dict[Tuple[str, str], int]  # carried from the start to the end, by directed link
    busy_share: float  # of all processors' time


class Evaluation:
    """A fabric with controller, agents and database, on which scenarios run mode by mode."""

    def __init__(self, scenario: Scenario, state: Path, directory: Path, terminal: Terminal) -> None:
        self.scenario = scenario
        self.directory = directory
        self.terminal = terminal
        self.fabric = Fabric(scenario.fabric, uuid.uuid4().hex[:8])
        self._state = state
        self._cache = state / "data"
        self._postgres: Optional[Postgres] = None
        self._stack: Optional[Stack] = None
        self._training: Optional[Training] = None

    @property
    def postgres(self) -> Postgres:
        """The database, once started."""
        assert self._postgres is not None, "start() comes first"
        return self._postgres

    @property
    def stack(self) -> Stack:
        """Controller and agents, once started."""
        assert self._stack is not None, "start() comes first"
        return self._stack

    def start(self) -> None:
        """Brings up database, fabric, controller and agents; whatever comes of it, :meth:`stop` takes it down."""
        self._cache.mkdir(parents=True, exist_ok=True)
        self._postgres = Postgres.open(self._state)
        self._stack = Stack(self.fabric, self.directory, self._state / "bin", self._postgres.connection)
        shape = self.scenario.fabric
        self.fabric.start()
        self.terminal.say(
            f"fabric up: {len(self.fabric.hosts)} hosts at {shape.host_mbps:g} Mbit/s, {shape.k // 2} x {shape.rack_uplink_mbps:g} Mbit/s up from each rack")
        self.postgres.withdraw_leftovers(prefix=self.scenario.name + "-")
        self.stack.start_controller()
        self.terminal.say(f"controller up: http://127.0.0.1:{self.stack.port}/")
        self.stack.start_agents()
        self.stack.wait_for_agents()
        self.terminal.say(f"{len(self.fabric.hosts)} agents connected")

    def run(self, mode: Mode) -> Dict[str, Any]:
        """Trains all jobs of the scenario once and returns what was seen."""
        since = self._database_now()
        trained = self.train(mode)
        self._await_history([o.job_id for o in trained.outcomes])
        return self._report(mode, trained, since)

    def train(self, mode: Mode) -> Trained:
        """Trains all jobs of the scenario once."""
        directory = self.directory / "training" / self.scenario.name / mode.name
        shutil.rmtree(directory, ignore_errors=True)
        self.stack.call("PUT", "planning", {"strategy": mode.strategy, "policy": mode.policy})
        training = self._training = Training(self.stack, self._cache, directory)
        training.submit(list(self.scenario.jobs), lambda job: f"{self.scenario.name}-{job.name}-{mode.name}")
        for running in training.jobs:
            plan = self.stack.job(running.job_id)["plan"]
            self.terminal.say(f"{mode.name}: {running.name}: {plan['treeReason']}")
            self.terminal.say(f"{mode.name}: {running.name}: {plan['levelReason']}")
        plans = {j.job_id: self.stack.job(j.job_id)["plan"] for j in training.jobs}
        training.launch()
        before = self.fabric.link_bytes()
        busy = CpuMeter()
        training.start()
        try:
            training.wait(lambda text: self.terminal.progress(f"{mode.name}: {text}"), limit_seconds=900)
            busy_share = busy.busy_share()
        finally:
            training.end()
        link_bytes = {link: count - before.get(link, 0) for link, count in self.fabric.link_bytes().items()}
        outcomes = training.outcomes()
        for outcome in outcomes:
            accuracy = "" if outcome.test_accuracy is None else f", test accuracy {outcome.test_accuracy:.3f}"
            self.terminal.say(f"{mode.name}: {outcome.name} done in {outcome.seconds:.1f} s{accuracy}")
        return Trained(outcomes, plans, link_bytes, busy_share)

    def stop(self) -> None:
        """Takes everything down that :meth:`start` brought up, however far it came; one part's failure keeps no other up."""
        with stopping.put_off(), contextlib.ExitStack() as last_first:
            if self._postgres is not None:
                last_first.callback(self._postgres.stop)
            last_first.callback(self.fabric.stop)
            if self._stack is not None:
                last_first.callback(self._stack.stop)
            if self._training is not None:
                last_first.callback(self._training.end)

    # What was seen

    def _report(self, mode: Mode, trained: Trained, since: str) -> Dict[str, Any]:
        outcomes = trained.outcomes
        rates = {}
        for link in self.fabric.topology()["links"]:
            rates[link["source"], link["target"]] = rates[link["target"], link["source"]] = float(link["rateBitsPerSecond"])
        fabric_bytes = {link: count for link, count in trained.link_bytes.items() if link in rates}
        longest, where = serial_seconds(fabric_bytes, rates)
        makespan = max(o.seconds for o in outcomes)
        compute = max(o.compute_seconds for o in outcomes)
        return {
            "strategy": mode.strategy, "policy": mode.policy,
            "jobs": [self._job_report(outcome, trained.plans[outcome.job_id]) for outcome in outcomes],
            "meanSeconds": statistics.fmean(o.seconds for o in outcomes),
            "makespanSeconds": makespan,
            "computeSeconds": compute,
            "longestLink": {"link": "->".join(where), "bytes": fabric_bytes[where], "secondsAtRawRate": longest},
            "makespanOverLongestLink": makespan / (longest + compute),
            "bytes": {tier: sum(c for link, c in fabric_bytes.items() if tier_of(link) == tier) for tier in ("host", "rack", "core")},
            "linkBytes": {"->".join(link): count for link, count in sorted(fabric_bytes.items())},
            "cpuBusyShare": trained.busy_share,
            "history": self._history([o.job_id for o in outcomes], since),
        }

    def _job_report(self, outcome: JobOutcome, plan: Dict[str, Any]) -> Dict[str, Any]:
        job = next(j for j in self._training.jobs if j.job_id == outcome.job_id) if self._training else None
        workers = self._training.workers_of(job.job) if self._training and job else []
        bound = outcome.rounds * round_bound_seconds(self.scenario.fabric, workers, outcome.message_bytes)
        report = {camel(k): v for k, v in asdict(outcome).items()}
        report.update({"boundSeconds": bound, "secondsOverBound": outcome.seconds / bound if bound else None, "level": plan["level"], "dscp": plan["dscp"],
                   "levelReason": plan["levelReason"], "treeReason": plan["treeReason"]})
        return report

    def _history(self, job_ids: List[int], since: str) -> Dict[str, Any]:
        ids = ",".join(map(str, job_ids))
        per_job = []
        for row in self.postgres.query(
                f"select job_id, octets, socket_bytes, socket_segments from mlnet.v_job_traffic where job_id in ({ids}) order by job_id"):
            sockets = int(row["socket_bytes"]) + HEADER_BYTES * int(row["socket_segments"])
            per_job.append({"jobId": int(row["job_id"]), "octets": int(row["octets"]), "socketOctets": sockets, "ratio": int(row["octets"]) / sockets})
        between_hosts = "direction = 'egress' and source_host is not null and destination_host is not null"
        shares = self.postgres.query(
            f"select coalesce(sum(octets) filter (where job_id is null), 0) as strangers, coalesce(sum(octets), 0) as everything "
            f"from mlnet.v_flow where {between_hosts} and time >= '{since}'")[0]
        flow = "source_address, source_port, destination_address, destination_port, protocol"
        marks = self.postgres.query(
            f"with sent as (select distinct {flow}, dscp from mlnet.v_flow where direction = 'egress' and time >= '{since}'), "
            f"marked as (select {flow} from sent group by {flow} having bool_and(dscp <> 'CS0')) "
            f"select coalesce(sum(a.octets), 0) as arrived, coalesce(sum(a.octets) filter (where exists (select 1 from sent s where "
            f"(s.source_address, s.source_port, s.destination_address, s.destination_port, s.protocol, s.dscp) = "
            f"(a.source_address, a.source_port, a.destination_address, a.destination_port, a.protocol, a.dscp))), 0) as intact "
            f"from mlnet.v_flow a join marked using ({flow}) where a.direction = 'ingress' and a.time >= '{since}'")[0]
        everything, arrived = int(shares["everything"]), int(marks["arrived"])
        return {
            "jobs": per_job,
            "octetsBetweenHosts": everything,
            "shareWithoutJob": int(shares["strangers"]) / everything if everything else None,
            "octetsArrivedOnMarkedFlows": arrived,
            "shareArrivedAsSent": int(marks["intact"]) / arrived if arrived else None,
        }

    def await_end(self, job_ids: List[int]) -> None:
        """Waits until the controller has heard that the jobs are over, half a minute at most."""
        deadline = time.monotonic() + 30
        while any(self.stack.job(j)["state"] in ("Pending", "Placed") for j in job_ids) and time.monotonic() < deadline:
            time.sleep(0.5)

    def _await_history(self, job_ids: List[int]) -> None:
        """Waits until the last flow records are stored: agents report ended flows at once, others within ten seconds."""
        self.await_end(job_ids)
        deadline = time.monotonic() + 40
        ids, last, steady = ",".join(map(str, job_ids)), None, 0
        while steady < 6 and time.monotonic() < deadline:
            time.sleep(1)
            now = self.postgres.query(f"select coalesce(sum(octets), 0) as octets from mlnet.v_flow where job_id in ({ids})")[0]["octets"]
            steady, last = (steady + 1 if now == last else 0), now

    def _database_now(self) -> str:
        return self.postgres.query("select now() as now")[0]["now"]


class CpuMeter:
    """Share of all processors' time that was busy since construction (/proc/stat)."""

    def __init__(self) -> None:
        self._before = self._read()

    def busy_share(self) -> float:
        idle, total = (now - then for now, then in zip(self._read(), self._before))
        return 1 - idle / total if total else 0.0

    @staticmethod
    def _read() -> Tuple[int, int]:
        fields = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return fields[3] + fields[4], sum(fields)


def tier_of(link: Tuple[str, str]) -> str:
    """``host``, ``rack`` (edge to aggregation) or ``core`` (aggregation to core: the links between pods)."""
    kinds = {end[0] for end in link}
    return "host" if "h" in kinds else "core" if "c" in kinds else "rack"


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


# What a person can do something about: said in one line, without a trace.
FAULTS = (ScenarioError, StackError, DatabaseError, FabricError, FabricBusy)


def say_stopped(stopped: stopping.Stopped) -> int:
    """Says that a run was ended and is gone; returns the exit code."""
    print(f"\nstopped by {stopped}; everything that was started is gone", flush=True)
    return 130


def prepare(state: Path, directory: Path) -> None:
    """Removes what an earlier run left, running or written."""
    with RunLock():
        removed = cleanup.remove_leftovers()
    if removed.processes or removed.links or removed.routes:
        print(f"removed what an earlier run left: {removed}", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def main(arguments: List[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run evaluate", description="runs a scenario plain and through MLNet, several times, and compares")
    parser.add_argument("--state", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("scenario", type=Path, help="a scenario file (mininet/scenarios/*.json)")
    parser.add_argument("--runs", type=int, default=1, help="how often each mode runs, interleaved (default 1)")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error(f"--runs {options.runs}: must be at least 1")
    terminal = Terminal()
    directory = options.state / "evaluate"
    stopping.raise_when_told()
    try:
        scenario = load(options.scenario)
        prepare(options.state, directory)
        evaluation = Evaluation(scenario, options.state, directory, terminal)
        results: Dict[str, List[Dict[str, Any]]] = {PLAIN.name: [], MLNET.name: []}
        try:
            evaluation.start()
            for _ in range(options.runs):
                for mode in (PLAIN, MLNET):
                    results[mode.name].append(evaluation.run(mode))
        finally:
            evaluation.stop()
    except stopping.Stopped as stopped:
        return say_stopped(stopped)
    except FAULTS as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    path = directory / "result.json"
    path.write_text(json.dumps({"scenario": scenario.name, "runs": results}, indent=1))
    rows = [[name, *(f"{statistics.median(r[key] for r in runs):.2f}" for key in ("meanSeconds", "makespanSeconds", "cpuBusyShare"))] for name, runs in results.items()]
    terminal.show("\n" + table(["mode", "mean s", "makespan s", "CPU busy"], rows) + f"\n\nevery figure: {os.path.relpath(path)}")
    return 0


if __name__ == "__main__":
    sys.exit(handing_back(main))
