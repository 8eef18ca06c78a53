"""``./run bench allreduce``: all-reduce between network namespaces without shaping, where the machine is the limit, beside Gloo and Open MPI.

Every rank has a namespace of its own on one bridge, and an agent in it as on any host. Rounds of the three libraries alternate, in the same
minute and between the same namespaces. Each size is measured in place, and with the numbers in memory that the library allocates. Limits hold for
2 and 4 ranks; 8 are reported.

Nothing but the processors bounds a round here, and Open MPI's ranks spin while they wait: a row in which the machine is more than 85 % busy is run
again as everywhere, and says so when it stays busy.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import re
import secrets
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from . import stopping
from .evaluate import CpuMeter
from .ownership import handing_back
from .terminal import Terminal, table

MEBIBYTE = 1 << 20
ROUNDS = {1: 12, 16: 4, 64: 2}  # by MiB: some tenths of a second each
LIMITS = {"gloo": 1.5, "mpi": 1.0}
NAMES = {"mlnet": "MLNet", "gloo": "Gloo", "mpi": "Open MPI"}
CHUNK_BYTES, WINDOW_CHUNKS = 262_144, 8  # what the controller gives a job on fast links
START_SECONDS = 90
MOST_BUSY = 0.85  # a machine that is busier may be the limit instead of what is measured
WAYS = {"in-place": "in place", "library": "library's"}  # where the numbers lie; see allreduce_rank
ANSWER = re.compile(rb'\{"via".*?\}')


class BenchError(Exception):
    """Something did not start or answer; the message says what."""


class Ranks:
    """So many namespaces with an agent each, and in each a rank of every library."""

    def __init__(self, world: int, agent: Path, directory: Path, congestion: Optional[str] = None) -> None:
        """``congestion``: congestion control of every library's connections; None leaves the machine's."""
        self.world = world
        self._congestion = congestion
        self._prefix = f"ar{os.getpid()}x{world}"
        self._directory = directory
        self._agent = agent
        self._processes: List[subprocess.Popen[bytes]] = []
        self._pipes: Dict[str, List[int]] = {}
        self._answers: Dict[str, List[Any]] = {}
        self._logs: List[Path] = []

    def start(self) -> None:
        """Returns when every rank of every library has reduced once."""
        self._namespaces()
        policy = self._policy()
        for rank in range(self.world):
            home = self._directory / f"r{rank}"
            home.mkdir()
            (home / f"r{rank}.policy.json").write_text(json.dumps({**policy, "host": f"r{rank}"}))
            self._launch(rank, f"agent-{rank}", [
                str(self._agent), f"--Agent:Host=r{rank}", "--Agent:Controllers:0=http://127.0.0.1:9", "--Agent:Interface=eth0", f"--Agent:DataAddress={self._address(rank)}",
                f"--Agent:StateDirectory={home}", f"--Agent:WorkerSocket={home}/agent.sock"], {})
        for via in NAMES:
            self._pipes[via] = []
            self._answers[via] = []
            for rank in range(self.world):
                path = self._directory / f"{via}-{rank}"
                os.mkfifo(path)
                self._pipes[via].append(os.open(path, os.O_RDWR))
        program = [sys.executable, "-m", "mlnet_eval.allreduce_rank", "--world", str(self.world), "--pipes", str(self._directory)]
        for rank in range(self.world):
            self._answers["mlnet"].append(self._launch(rank, f"mlnet-{rank}", [*program, "--via", "mlnet", "--rank", str(rank)], {
                "MLNET_JOB": "bench", "MLNET_RANK": str(rank), "MLNET_AGENT_SOCKET": f"{self._directory}/r{rank}/agent.sock"}))
            self._answers["gloo"].append(self._launch(rank, f"gloo-{rank}", [*program, "--via", "gloo", "--rank", str(rank)], {
                "GLOO_SOCKET_IFNAME": "eth0", "BENCH_STORE": f"tcp://{self._address(0)}:29400"}))
        self._answers["mpi"].append(self._launch_mpi(program))
        for via in NAMES:
            self.measure(via, "in-place", MEBIBYTE, 1, START_SECONDS)

    def measure(self, via: str, where: str, size: int, rounds: int, patience: float = 60) -> float:
        """Seconds of one reduction, of the slowest rank."""
        for pipe in self._pipes[via]:
            os.write(pipe, f"{where} {size} {rounds}\n".encode())
        deadline = time.monotonic() + patience
        found: List[Dict[str, Any]] = []
        while len(found) < self.world:
            ready, _, _ = select.select(self._answers[via], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise BenchError(f"{NAMES[via]} with {self.world} ranks did not answer in {patience:.0f} s; logs: {self._directory}")
            for stream in ready:
                line = stream.readline()
                if not line:
                    raise BenchError(f"a rank of {NAMES[via]} ended; logs: {self._directory}")
                found += [json.loads(answer) for answer in ANSWER.findall(line)]  # mpirun may join those of several ranks
        if not all(a["right"] for a in found):
            raise BenchError(f"{NAMES[via]} gave a wrong sum")
        return max(float(a["seconds"]) for a in found)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipes in self._pipes.values():
            for pipe in pipes:
                os.close(pipe)
        for space in [*(f"r{r}" for r in range(self.world)), "switch"]:
            listed = subprocess.run(["ip", "netns", "pids", f"{self._prefix}-{space}"], capture_output=True, text=True, check=False)
            for pid in listed.stdout.split():  # what mpirun left in its namespaces
                os.kill(int(pid), 9)
            subprocess.run(["ip", "netns", "del", f"{self._prefix}-{space}"], capture_output=True, check=False)

    def _namespaces(self) -> None:
        switch = f"{self._prefix}-switch"
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", switch, "link", "set", "switch", "up")
        for rank in range(self.world):
            space = f"{self._prefix}-r{rank}"
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", f"r{rank}", "netns", switch)
            _ip("-n", switch, "link", "set", f"r{rank}", "master", "switch", "up")
            _ip("-n", space, "addr", "add", f"{self._address(rank)}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            if self._congestion:  # of all connections by this route, whatever a namespace may choose as its default
                _ip("-n", space, "route", "change", "10.89.0.0/24", "dev", "eth0", "proto", "kernel", "scope", "link", "src", self._address(rank), "congctl", self._congestion)

    @staticmethod
    def _address(rank: int) -> str:
        return f"10.89.0.{rank + 1}"

    def _policy(self) -> Dict[str, Any]:
        hosts = [f"r{r}" for r in range(self.world)]
        revision = {"term": 1, "generation": 1}
        job = {
            "jobId": 1, "name": "bench", "secret": base64.b64encode(secrets.token_bytes(32)).decode(), "level": 1, "dscp": "AF41", "treesRevision": revision,
            "members": [{"rank": r, "host": h} for r, h in enumerate(hosts)],
            "endpoints": [{"host": h, "address": self._address(r), "port": 7471, "rack": "rack"} for r, h in enumerate(hosts)],
            "shards": [{"weight": 1, "roots": [root], "edges": [{"child": h, "parent": root} for h in hosts if h != root]} for root in hosts],
            "chunkBytes": CHUNK_BYTES, "windowChunks": WINDOW_CHUNKS, "stripes": 2}
        classes = [{"dscp": name, "floor": 0.05, "signalling": name == "CS5"} for name in ("CS5", "AF41", "AF31", "AF21", "AF11", "CS0", "LE")]
        return {"revision": revision, "ladder": {"classes": classes}, "jobs": [job]}

    def _launch(self, rank: int, name: str, command: Sequence[str], environment: Dict[str, str]) -> Any:
        log = self._directory / f"{name}.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                ["ip", "netns", "exec", f"{self._prefix}-r{rank}", *command], stdin=subprocess.DEVNULL, stdout=errors if name.startswith("agent") else subprocess.PIPE, stderr=errors, bufsize=0,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **environment})
        self._processes.append(process)
        return process.stdout

    def _launch_mpi(self, program: Sequence[str]) -> Any:
        # mpirun starts its part on other hosts by this instead of ssh; a host name of its own keeps it from taking them for one machine.
        shell = self._directory / "on-rank"
        shell.write_text(f'#!/bin/sh\nhost=$1; shift\nexec ip netns exec {self._prefix}-r$((${{host##*.}} - 1)) unshare -u sh -c "hostname rank$((${{host##*.}} - 1)); $*"\n')
        shell.chmod(0o755)
        command = [
            "unshare", "-u", "sh", "-c", 'hostname rank0; exec "$@"', "sh", "mpirun", "--allow-run-as-root", "-np", str(self.world), "--host", ",".join(self._address(r) for r in range(self.world)),
            "--bind-to", "none", "--mca", "plm_rsh_agent", str(shell), "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "eth0", "--mca", "oob_tcp_if_include", "eth0",
            "-x", "PYTHONPATH", "-x", "OMP_NUM_THREADS", *program, "--via", "mpi"]
        return self._launch(0, "mpi", command, {"TMPDIR": str(self._directory)})


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def row_of(ranks: Ranks, where: str, mebibytes: int, runs: int) -> Dict[str, Any]:
    """One size: the libraries in turn, so many times."""
    times: Dict[str, List[float]] = {via: [] for via in NAMES}
    busy: Dict[str, List[float]] = {via: [] for via in NAMES}
    for via in NAMES:
        ranks.measure(via, where, mebibytes * MEBIBYTE, 2)
    whole = CpuMeter()
    for _ in range(runs):
        for via in NAMES:
            cpu = CpuMeter()
            times[via].append(ranks.measure(via, where, mebibytes * MEBIBYTE, ROUNDS[mebibytes]))
            busy[via].append(cpu.busy_share())
    row: Dict[str, Any] = {
        "ranks": ranks.world, "mebibytes": mebibytes, "buffers": where, "cpuBusyShare": whole.busy_share(), **{f"{via}Ms": 1e3 * statistics.median(t) for via, t in times.items()},
        **{f"{via}Busy": statistics.median(b) for via, b in busy.items()}}
    for peer, limit in LIMITS.items():
        ratios = [ours / theirs for ours, theirs in zip(times["mlnet"], times[peer])]
        row[f"{peer}Ratio"] = statistics.median(ratios)
        row[f"{peer}Ratios"] = ratios
        row[f"{peer}Limit"] = limit if ranks.world <= 4 else None
    return row


def quiet_row_of(ranks: Ranks, where: str, mebibytes: int, runs: int) -> Dict[str, Any]:
    """A row, run again when the machine was too busy; whether it stayed so is in the row."""
    row = row_of(ranks, where, mebibytes, runs)
    again = row["cpuBusyShare"] > MOST_BUSY
    if again:
        row = row_of(ranks, where, mebibytes, runs)
    too_busy = row["cpuBusyShare"] > MOST_BUSY
    holds = not too_busy and all(row[f"{peer}Ratio"] <= limit for peer, limit in LIMITS.items()) if row["glooLimit"] else None
    return {**row, "runAgain": again, "tooBusy": too_busy, "holds": holds}


def worst_of(rows: Sequence[Dict[str, Any]]) -> float:
    """The worst ratio over its limit."""
    return max(float(row[f"{peer}Ratio"]) / float(row[f"{peer}Limit"]) for row in rows for peer in LIMITS if row[f"{peer}Limit"])


def main(arguments: List[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run bench allreduce", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=5, help="repetitions of each row (default 5)")
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4, 8], help="numbers of ranks (default 2 4 8)")
    parser.add_argument("--mebibytes", type=int, nargs="+", choices=sorted(ROUNDS), default=sorted(ROUNDS), help="sizes (default 1 16 64)")
    parser.add_argument("--congestion", metavar="NAME", help="congestion control of every library's connections, e.g. cubic (default: the machine's)")
    options = parser.parse_args(arguments)
    terminal = Terminal()
    stopping.raise_when_told()
    rows: List[Dict[str, Any]] = []
    try:
        for world in options.ranks:
            directory = Path(tempfile.mkdtemp(prefix="mlnet-allreduce-"))
            ranks = Ranks(world, options.state / "bin" / "agent" / "mlnet-agent", directory, options.congestion)
            try:
                ranks.start()
                for size, where in itertools.product(options.mebibytes, WAYS):
                    rows.append(quiet_row_of(ranks, where, size, options.runs))
                    terminal.show(f"{world} ranks, {size} MiB, {WAYS[where]}: " + ", ".join(f"{NAMES[v]} {rows[-1][f'{v}Ms']:.1f} ms" for v in NAMES) + "\n")
            except BenchError:
                shutil.copytree(directory, options.state / "log" / "allreduce", dirs_exist_ok=True, ignore=lambda d, names: [n for n in names if not n.endswith(".log")])
                raise
            finally:
                ranks.stop()
                shutil.rmtree(directory, ignore_errors=True)
    except (BenchError, stopping.Stopped) as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    path = options.state / "bench" / "allreduce.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    congestion = options.congestion or Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    path.write_text(json.dumps({"rows": rows, "congestion": congestion, "chunkBytes": CHUNK_BYTES, "windowChunks": WINDOW_CHUNKS}, indent=1))
    terminal.show("\n" + table(["ranks", "MiB", "buffers", "MLNet ms", "Gloo ms", "Open MPI ms", "to Gloo", "to Open MPI", "busy"], [
        [str(r["ranks"]), str(r["mebibytes"]), WAYS[r["buffers"]], *(f"{r[f'{v}Ms']:.1f}" for v in NAMES), *(f"{r[f'{p}Ratio']:.2f}" for p in LIMITS),
         " ".join(f"{r[f'{v}Busy']:.0%}" for v in NAMES)] for r in rows]) + "\n")
    busy = [r for r in rows if r["tooBusy"]]
    if busy:
        terminal.show(
            f"In {len(busy)} of {len(rows)} rows the machine stayed more than {MOST_BUSY:.0%} busy, so that they do not hold: they compare what the libraries ask of the "
            "processors of this machine, whatever the ratios are.\n")
    limited = [r for r in rows if r["glooLimit"]]
    last = limited[-1] if limited else rows[-1]
    worst = worst_of(limited) if limited else 0.0
    print(json.dumps({
        "bench": "allreduce", "ours": last["mlnetMs"], "peer": last["glooMs"], "peerName": f"Gloo, {last['ranks']} ranks, {last['mebibytes']} MiB", "ratio": last["glooRatio"], "unit": "ms",
        "better": "lower", "runs": options.runs, "spread": max(last["glooRatios"]) - min(last["glooRatios"]), "worst": worst, "rowsTooBusy": len(busy), "rows": str(path)}))
    return 0 if all(r["holds"] for r in limited) else 1


if __name__ == "__main__":
    sys.exit(handing_back(main))
