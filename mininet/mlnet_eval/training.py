"""Runs the training jobs of a scenario on the hosts of a fabric, and collects what the workers report."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from .scenario import ScenarioJob
from .stack import Stack, StackError


@dataclass(frozen=True)
class JobOutcome:
    """What the workers of one job reported."""

    name: str
    job_id: int
    workers: int
    rounds: int
    message_bytes: int
    seconds: float  # from the common start to the last worker's last round
    seconds_per_round: float
    compute_seconds: float  # mean over workers, all rounds
    communication_seconds: float
    test_accuracy: Optional[float]  # of training jobs only, as is the loss
    final_loss: Optional[float]
    weight_hashes: Tuple[str, ...]  # distinct ones, of the final weights or of all results; one when all workers agree


@dataclass
class RunningJob:
    """A job whose workers have been started."""

    job: ScenarioJob
    name: str
    job_id: int
    directory: Path
    processes: List[subprocess.Popen[bytes]] = field(default_factory=list)

    def rounds_done(self) -> int:
        """Rounds that rank 0 has finished."""
        try:
            return int((self.directory / "progress").read_text() or 0)
        except (FileNotFoundError, ValueError):
            return 0


class Training:
    """The jobs of one run. Every worker waits for the same start signal, so that start-up is in no figure."""

    def __init__(self, stack: Stack, data_cache: Path, directory: Path) -> None:
        self._stack = stack
        self._cache = data_cache
        self._directory = directory
        self._go = directory / "go"
        self.jobs: List[RunningJob] = []

    def submit(self, jobs: List[ScenarioJob], name_of: Callable[[ScenarioJob], str]) -> None:
        """Tells the controller of the jobs and waits until all are placed."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for job in jobs:
            name = name_of(job)
            job_id = self._stack.submit({
                "name": name, "workers": self.workers_of(job), "gradientBytes": job.message_bytes, "computeSeconds": job.compute_seconds,
                "rounds": job.rounds, "ownerUid": os.getuid()})
            directory = self._directory / name
            directory.mkdir(parents=True, exist_ok=True)
            self.jobs.append(RunningJob(job, name, job_id, directory))
        self._stack.wait_placed([j.job_id for j in self.jobs])

    def workers_of(self, job: ScenarioJob) -> List[str]:
        """Host of each rank; one worker on every host unless the scenario says otherwise."""
        return job.worker_hosts(self._stack.fabric.shape)

    def launch(self) -> None:
        """Starts all workers and returns when each has joined its job and waits for the start."""
        for running in self.jobs:
            for rank, host in enumerate(self.workers_of(running.job)):
                log = (running.directory / f"rank{rank}.log").open("wb")
                environment = {
                    "MLNET_JOB": running.name, "MLNET_RANK": str(rank), "MLNET_AGENT_SOCKET": str(self._stack.worker_socket(host)),
                    "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
                command = [
                    sys.executable, "-m", *self._program(running.job), "--rounds", str(running.job.rounds), "--result", str(running.directory / f"rank{rank}.json"),
                    "--ready", str(running.directory / f"rank{rank}.ready"), "--go", str(self._go), "--start-after", str(running.job.start_seconds)]
                if rank == 0:
                    command += ["--progress", str(running.directory / "progress")]
                with log:
                    running.processes.append(self._stack.fabric.popen(host, command, env=environment, stdout=log, stderr=log))
        deadline = time.monotonic() + 90
        while True:
            waiting = [str(ready) for ready in self._ready_files() if not ready.exists()]
            if not waiting:
                return
            self._check()
            if time.monotonic() > deadline:
                raise StackError(f"workers did not join: {', '.join(waiting[:4])}; their logs lie beside")
            time.sleep(0.1)

    def _program(self, job: ScenarioJob) -> List[str]:
        if job.hidden is None:
            return ["mlnet_eval.replay", "--bytes", str(job.message_bytes), "--compute", str(job.compute_seconds)]
        return [
            "mlnet_eval.trainer", "--hidden", str(job.hidden), "--batch", str(job.batch_per_worker), "--seed", str(job.seed),
            "--learning-rate", str(job.learning_rate), "--cache", str(self._cache)]

    def start(self) -> None:
        """Lets all workers go, each job after its ``startSeconds``."""
        self._go.touch()

    def wait(self, progress: Callable[[str], None], limit_seconds: float) -> None:
        """Returns when all workers have ended in good order."""
        deadline = time.monotonic() + limit_seconds
        while any(p.poll() is None for j in self.jobs for p in j.processes):
            self._check()
            progress("   ".join(f"{j.name}: {min(j.rounds_done(), j.job.rounds)}/{j.job.rounds} rounds" for j in self.jobs))
            if time.monotonic() > deadline:
                raise StackError(f"training did not end within {limit_seconds:.0f} s; logs: {self._directory}")
            time.sleep(0.25)
        self._check()

    def end(self) -> None:
        """Ends whatever still runs."""
        for running in self.jobs:
            for process in running.processes:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
        for running in self.jobs:
            for process in running.processes:
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def outcomes(self) -> List[JobOutcome]:
        """What the workers reported, one entry per job."""
        return [self._outcome(running) for running in self.jobs]

    def _outcome(self, running: RunningJob) -> JobOutcome:
        reports: List[Dict[str, Any]] = [json.loads((running.directory / f"rank{r}.json").read_text()) for r in range(len(running.processes))]
        started = min(float(r["startedAt"]) for r in reports)
        finished = max(float(r["finishedAt"]) for r in reports)
        return JobOutcome(
            name=running.name, job_id=running.job_id, workers=len(reports), rounds=running.job.rounds, message_bytes=running.job.message_bytes,
            seconds=finished - started, seconds_per_round=(finished - started) / running.job.rounds,
            compute_seconds=statistics.fmean(float(r["computeSeconds"]) for r in reports),
            communication_seconds=statistics.fmean(float(r["communicationSeconds"]) for r in reports),
            test_accuracy=reports[0].get("testAccuracy"), final_loss=reports[0].get("finalLoss"),
            weight_hashes=tuple(sorted({str(r.get("weightsSha256") or r["resultsSha256"]) for r in reports})))

    def _ready_files(self) -> List[Path]:
        return [j.directory / f"rank{r}.ready" for j in self.jobs for r in range(len(j.processes))]

    def _check(self) -> None:
        for running in self.jobs:
            for rank, process in enumerate(running.processes):
                if process.poll() not in (None, 0):
                    log = running.directory / f"rank{rank}.log"
                    words = log.read_text(errors="replace").strip().splitlines()
                    raise StackError(f"worker {rank} of {running.name} ended with code {process.returncode}: {words[-1] if words else 'no output'} (log: {log})")
        self._stack.check_alive()
