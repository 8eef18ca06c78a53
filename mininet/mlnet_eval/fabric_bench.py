"""``./run bench fabric``: how close gradient aggregation comes to what the links allow, and Gloo beside it in the same minutes.

A fat-tree of 16 hosts at 20 Mbit/s, with full bisection and with a quarter of it. Workers exchange gradients without computing, several
rounds without a pause: through controller and agents, and through Gloo's all-reduce, pair by pair in turn. The bound of a row is counted
from raw link rates alone (:mod:`mlnet_eval.bounds`); frame headers and acknowledgements are part of what is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import select
import statistics
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from . import stopping
from .bounds import round_bound_seconds
from .evaluate import FAULTS, CpuMeter, prepare, say_stopped
from .fabric import Fabric
from .fat_tree import host_names
from .ownership import handing_back
from .scenario import FabricShape
from .stack import Stack, StackError
from .terminal import Terminal, table

MEBIBYTE = 1 << 20
BUSY_LIMIT = 0.85  # of all processors' time; above it a row shows the machine, not the network
RUN_SECONDS = 3.0  # a run has as many rounds as the bound allows in this time, and at least two
SETTLED_BUSY = 0.2  # with so little running, what is left are agents that report and look around
SETTLE_SECONDS = 20.0
PEER_ROUND_SECONDS = 4.0  # a peer whose rounds take longer than this gets one of them in a run
SHUFFLE_SEED = 7

FABRICS = {
    "full": FabricShape(host_mbps=20, rack_uplink_mbps=20, core_mbps=20),
    "41": FabricShape(host_mbps=20, rack_uplink_mbps=5, core_mbps=5),
}


@dataclass(frozen=True)
class Row:
    """Some workers on one fabric."""

    fabric: str
    mebibytes: int
    workers: int
    placement: str  # aligned: ranks follow racks; shuffled: they do not; helped: aligned, the other hosts may help

    @property
    def name(self) -> str:
        return f"{self.fabric}-{self.mebibytes}m-{self.workers}-{self.placement}"

    @property
    def bytes(self) -> int:
        return self.mebibytes * MEBIBYTE

    def hosts(self) -> List[str]:
        """Host of each rank."""
        hosts = host_names(FABRICS[self.fabric])[: self.workers]
        if self.placement == "shuffled":
            random.Random(SHUFFLE_SEED).shuffle(hosts)
        return hosts

    def helpers(self) -> List[str]:
        """Other hosts that may sum."""
        return host_names(FABRICS[self.fabric])[self.workers :] if self.placement == "helped" else []

    def bound_seconds(self) -> float:
        """What no plan can beat."""
        return round_bound_seconds(FABRICS[self.fabric], self.hosts(), self.bytes, self.helpers())

    def over_bound_limit(self) -> Optional[float]:
        if self.placement == "helped":
            return None
        return 1.2 if self.fabric == "full" else 1.3

    def over_peer_limit(self) -> Optional[float]:
        full = self.fabric == "full"
        if self.placement == "aligned":
            return 1.08 if full else 0.55
        if self.placement == "helped":
            return 0.65 if full else 0.4
        return None if self.workers < 8 else 0.6 if full else 0.3


def all_rows() -> List[Row]:
    """In the order in which they run."""
    found = []
    for fabric in FABRICS:
        found += [Row(fabric, size, workers, placement) for size in (1, 4) for workers in (4, 8, 16) for placement in ("aligned", "shuffled")]
        found += [Row(fabric, size, 8, "helped") for size in (1, 4)]
    return found


class Party:
    """All workers of a row that exchange by one way."""

    def __init__(self, fabric: Fabric, directory: Path, via: str, row: Row, options: Dict[str, List[str]]) -> None:
        self._logs = directory
        self._via = via
        self._processes: List[subprocess.Popen[bytes]] = []
        directory.mkdir(parents=True, exist_ok=True)
        hosts = row.hosts()
        for rank, host in enumerate(hosts):
            environment = {
                "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": fabric.data_interface(host)}
            command = [
                sys.executable, "-m", "mlnet_eval.exchange", "--via", via, "--rank", str(rank), "--world", str(len(hosts)), "--bytes", str(row.bytes),
                *options.get(host, options.get("", []))]
            with self._log(rank).open("wb") as log:
                self._processes.append(fabric.popen(host, command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log))

    def await_ready(self, seconds: float = 180) -> None:
        """Returns once every worker has exchanged once."""
        for line in self._answers(time.monotonic() + seconds):
            if line != "ready":
                raise StackError(f"a worker said {line!r} instead of ready; logs: {self._logs}")

    def run(self, rounds: int, seconds: float) -> float:
        """Exchanges; returns the seconds of a round."""
        at = time.monotonic() + 0.2
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{rounds} {at!r}\n".encode())
            process.stdin.flush()
        reports = [json.loads(line) for line in self._answers(at + seconds)]
        return (max(float(r["ended"]) for r in reports) - min(float(r["begun"]) for r in reports)) / rounds

    def end(self) -> None:
        """Lets the workers go."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _answers(self, deadline: float) -> List[str]:
        lines = []
        for rank, process in enumerate(self._processes):
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise StackError(f"worker {rank} does not answer; its log: {self._log(rank)}")
            line = process.stdout.readline().decode().strip()
            if not line:
                words = self._log(rank).read_text(errors="replace").strip().splitlines()
                raise StackError(f"worker {rank} ended: {words[-1] if words else 'no output'} (log: {self._log(rank)})")
            lines.append(line)
        return lines

    def _log(self, rank: int) -> Path:
        return self._logs / f"{self._via}-rank{rank}.log"


@dataclass
class Measured:
    """Runs of one row."""

    ours: List[float] = field(default_factory=list)  # seconds of a round
    peer: List[float] = field(default_factory=list)
    ours_busy: List[float] = field(default_factory=list)  # share of all processors' time
    peer_busy: List[float] = field(default_factory=list)

    @property
    def busy(self) -> float:
        return max(statistics.median(self.ours_busy), statistics.median(self.peer_busy or [0.0]))


class FabricBench:
    """One fabric with controller and agents, on which rows are measured one after the other."""

    def __init__(self, name: str, state: Path, directory: Path, strategy: str, terminal: Terminal) -> None:
        self._terminal = terminal
        self._directory = directory / name
        self._directory.mkdir(parents=True, exist_ok=True)
        self._strategy = strategy
        self.fabric = Fabric(FABRICS[name], uuid.uuid4().hex[:8])
        self._stack = Stack(self.fabric, self._directory, state / "bin", None)  # history would cost processor time and show nothing here
        self._parties: List[Party] = []

    def start(self) -> None:
        self.fabric.start()
        self._stack.start_controller()
        self._stack.start_agents()
        self._stack.wait_for_agents()
        self._stack.call("PUT", "planning", {"strategy": self._strategy, "policy": "srpt"})
        self._terminal.say(f"fabric up: {len(self.fabric.hosts)} hosts at {self.fabric.shape.host_mbps:g} Mbit/s, 2 x {self.fabric.shape.rack_uplink_mbps:g} Mbit/s up from each rack")

    def stop(self) -> None:
        with stopping.put_off():
            try:
                self._end_parties()
                self._stack.stop()
            finally:
                self.fabric.stop()

    def measure(self, row: Row, runs: int, with_peer: bool) -> Measured:
        """Runs of ours and of the peer in turn."""
        directory = self._directory / row.name
        name = f"{row.name}-{uuid.uuid4().hex[:6]}"
        job = self._stack.submit({
            "name": name, "workers": row.hosts(), "helpers": row.helpers() or None, "gradientBytes": row.bytes, "computeSeconds": 0.0, "ownerUid": os.getuid()})
        try:
            self._stack.wait_placed([job])
            self._terminal.say(f"{row.name}: {self._stack.job(job)['plan']['treeReason']}")
            ours = self._party(directory, "mlnet", row, {h: ["--job", name, "--socket", str(self._stack.worker_socket(h))] for h in row.hosts()})
            peer = self._party(directory, "gloo", row, {"": ["--store", str(directory / f"store-{name}")]}) if with_peer else None
            settle()
            return self._pairs(row, ours, peer, runs)
        finally:
            self._end_parties()
            self._await_end(job)

    def _pairs(self, row: Row, ours: Party, peer: Optional[Party], runs: int) -> Measured:
        bound = row.bound_seconds()
        rounds = max(2, math.floor(RUN_SECONDS / bound))
        seen = Measured()
        peer_rounds = rounds
        for number in range(runs):
            seen.ours.append(self._timed(ours, rounds, seen.ours_busy))
            if peer is not None:
                if number == 0:
                    # How long its rounds are shows the first.
                    peer_rounds = 1 if peer.run(1, 600) > PEER_ROUND_SECONDS else rounds
                seen.peer.append(self._timed(peer, peer_rounds, seen.peer_busy))
            self._terminal.progress(f"{row.name}: {number + 1}/{runs} runs, {seen.ours[-1]:.2f} s")
        return seen

    @staticmethod
    def _timed(party: Party, rounds: int, busy: List[float]) -> float:
        meter = CpuMeter()
        seconds = party.run(rounds, 600)
        busy.append(meter.busy_share())
        return seconds

    def _party(self, directory: Path, via: str, row: Row, options: Dict[str, List[str]]) -> Party:
        party = Party(self.fabric, directory, via, row, options)
        self._parties.append(party)
        party.await_ready()
        return party

    def _end_parties(self) -> None:
        while self._parties:
            self._parties.pop().end()

    def _await_end(self, job: int) -> None:
        deadline = time.monotonic() + 30
        while self._stack.job(job)["state"] in ("Pending", "Placed") and time.monotonic() < deadline:
            time.sleep(0.3)


def settle() -> None:
    """Waits until nothing runs beside the exchange: after its start the controller compiles for some seconds what it runs often."""
    deadline = time.monotonic() + SETTLE_SECONDS
    busy = 1.0
    while busy > SETTLED_BUSY and time.monotonic() < deadline:
        meter = CpuMeter()
        time.sleep(0.5)
        busy = meter.busy_share()


def reported(row: Row, seen: Measured) -> Dict[str, Any]:
    """A row of the table. ``held`` is its worst figure over its limit."""
    bound, ours, peer = row.bound_seconds(), statistics.median(seen.ours), statistics.median(seen.peer) if seen.peer else None
    over_bound, over_peer = ours / bound, statistics.median(a / b for a, b in zip(seen.ours, seen.peer)) if seen.peer else None
    figures = [(over_bound, row.over_bound_limit()), (over_peer, row.over_peer_limit()), (seen.busy if seen.busy > BUSY_LIMIT else None, BUSY_LIMIT)]
    held = max((figure / limit for figure, limit in figures if figure is not None and limit is not None), default=0.0)
    return {
        "row": row.name, "boundSeconds": bound, "seconds": ours, "peerSeconds": peer, "overBound": over_bound, "overBoundLimit": row.over_bound_limit(),
        "overPeer": over_peer, "overPeerLimit": row.over_peer_limit(), "busy": seen.busy, "held": held,
        "allSeconds": seen.ours, "allPeerSeconds": seen.peer, "oursBusy": seen.ours_busy, "peerBusy": seen.peer_busy}


def run(chosen: Sequence[Row], before: Sequence[Dict[str, Any]], options: argparse.Namespace, terminal: Terminal) -> List[Dict[str, Any]]:
    """The rows, with those measured before; written after each, so that a run that is stopped loses one at most. Each fabric is brought up once."""
    rows: List[Dict[str, Any]] = []
    path = options.state / "bench" / "fabric.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    directory = options.state / "fabric"
    prepare(options.state, directory)
    for fabric in FABRICS:
        mine = [r for r in chosen if r.fabric == fabric]
        if not mine:
            continue
        bench = FabricBench(fabric, options.state, directory, options.strategy, terminal)
        try:
            bench.start()
            for row in mine:
                seen = bench.measure(row, options.runs, not options.alone)
                if seen.busy > BUSY_LIMIT:
                    terminal.say(f"{row.name}: the machine was {seen.busy:.0%} busy; once more")
                    seen = bench.measure(row, options.runs, not options.alone)
                rows.append(reported(row, seen))
                path.write_text(json.dumps({"rows": joined(before, rows)}, indent=1))
                terminal.say(line_of(rows[-1]))
        finally:
            bench.stop()
    return joined(before, rows)


def joined(before: Sequence[Dict[str, Any]], now: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Rows measured now, and of those measured before the others, in the order of the table."""
    rows = {r["row"]: r for r in (*before, *now)}
    return [rows[row.name] for row in all_rows() if row.name in rows]


def line_of(row: Dict[str, Any]) -> str:
    """A row in words."""
    peer = "" if row["peerSeconds"] is None else f"; Gloo {row['peerSeconds']:.2f} s, ratio {row['overPeer']:.2f}"
    return f"{row['row']}: {row['seconds']:.3f} s, {row['overBound']:.3f} of the bound{peer}; {row['busy']:.0%} busy; {', '.join(f'{s:.2f}' for s in row['allSeconds'])}"


def main(arguments: List[str]) -> int:
    known = all_rows()
    parser = argparse.ArgumentParser(prog="./run bench fabric", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=5, help="pairs of each row (default 5)")
    parser.add_argument("--alone", action="store_true", help="without Gloo: to look at some rows quickly")
    parser.add_argument("--strategy", default="optimized", help="how trees are planned (default optimized)")
    parser.add_argument("--join", action="store_true", help="keep the rows of earlier runs that are not measured now: the table can be measured in parts")
    parser.add_argument("names", nargs="*", help=f"only these rows (default: all): {', '.join(r.name for r in known)}")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {r.name for r in known}
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}; known are {', '.join(r.name for r in known)}")
    if options.runs < 1:
        parser.error(f"--runs {options.runs}: must be at least 1")
    path = options.state / "bench" / "fabric.json"
    before: List[Dict[str, Any]] = json.loads(path.read_text())["rows"] if options.join and path.exists() else []
    terminal = Terminal()
    stopping.raise_when_told()
    try:
        rows = run([r for r in known if not options.names or r.name in options.names], before, options, terminal)
    except stopping.Stopped as stopped:
        return say_stopped(stopped)
    except FAULTS as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    compared = [r for r in rows if r["overPeer"] is not None]

    def cell(value: Optional[float], limit: Optional[float] = None) -> str:
        return "" if value is None else f"{value:.2f}" + ("" if limit is None else f" (<= {limit:g})")

    terminal.show("\n" + table(["row", "bound s", "MLNet s", "over bound", "Gloo s", "over Gloo", "CPU busy", "holds"], [
        [r["row"], cell(r["boundSeconds"]), cell(r["seconds"]), cell(r["overBound"], r["overBoundLimit"]), cell(r["peerSeconds"]), cell(r["overPeer"], r["overPeerLimit"]),
         f"{r['busy']:.0%}", "yes" if r["held"] <= 1 else "no"] for r in rows]) + "\n")
    print(json.dumps({
        "bench": "fabric", "ours": statistics.geometric_mean(r["overBound"] for r in rows),
        "peer": statistics.geometric_mean(r["peerSeconds"] / r["boundSeconds"] for r in compared) if compared else None,
        "peerName": "Gloo all-reduce (PyTorch), same hosts, pairs in turn" if compared else None,
        "ratio": statistics.geometric_mean(r["overPeer"] for r in compared) if compared else None,
        "unit": "time over bound", "better": "lower", "runs": min(len(r["allSeconds"]) for r in rows),
        "spread": max((max(r["allSeconds"]) - min(r["allSeconds"])) / r["seconds"] for r in rows), "worst": max(r["held"] for r in rows), "rows": str(path)}))
    return 0


if __name__ == "__main__":
    sys.exit(handing_back(main))
