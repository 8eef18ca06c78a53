"""Controller and agents of an emulated fabric, as an operator would run them: real processes, real sockets."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from . import cleanup
from .fabric import Fabric
from .run_lock import RUN_ID_VARIABLE

DATA_PORT = 7471


class StackError(Exception):
    """Controller or agents do not do what they should; the message says where to look."""


class Stack:
    """One controller in the root namespace and one agent on every host of the fabric.

    Everything is written below ``directory``; ``binaries`` holds ``controller/`` and ``agent/``.
    """

    def __init__(self, fabric: Fabric, directory: Path, binaries: Path, postgres: Optional[str]) -> None:
        self.fabric = fabric
        self.directory = directory
        self._binaries = binaries
        self._postgres = postgres
        self._logs = directory / "log"
        self.token_file = directory / "agent.token"
        self._processes: Dict[str, subprocess.Popen[bytes]] = {}
        self.port = 0

    # Life

    def start_controller(self) -> None:
        """Starts the controller and returns when it answers."""
        self._logs.mkdir(parents=True, exist_ok=True)
        topology = self.directory / "topology.json"
        topology.write_text(json.dumps(self.fabric.topology(), indent=1))
        if self.port == 0:
            self.port = free_port(["127.0.0.1", self.fabric.controller_address], 8080)
        if not self.token_file.exists():
            # Others on this machine could open the management address too: agents prove themselves.
            descriptor = os.open(self.token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
        environment = {**os.environ, RUN_ID_VARIABLE: self.fabric.run_id}
        if self._postgres is not None:
            environment["Controller__Postgres"] = self._postgres  # not on the command line: that is public in /proc
        with (self._logs / "controller.log").open("ab") as log:
            self._processes["controller"] = subprocess.Popen(
                [str(self._binaries / "controller" / "mlnet-controller"), f"--urls=http://127.0.0.1:{self.port};http://{self.fabric.controller_address}:{self.port}",
                 f"--Controller:Topology={topology}", f"--Controller:AgentTokenFile={self.token_file}", "--Controller:Instance=emulation"],
                cwd=self._binaries / "controller", env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._until(lambda: self._healthy(), 60, "the controller does not answer", "controller")

    def start_agents(self) -> None:
        """Starts an agent on every host; returns at once."""
        for host in self.fabric.hosts:
            self.start_agent(host)

    def start_agent(self, host: str) -> None:
        """Starts a host's agent; returns at once."""
        home = self.host_directory(host)
        home.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"agent-{host}.log").open("ab") as log:
            self._processes[host] = self.fabric.popen(
                host,
                [str(self._binaries / "agent" / "mlnet-agent"), f"--Agent:Host={host}",
                 f"--Agent:Controllers:0=http://{self.fabric.controller_address}:{self.port}", f"--Agent:Interface={self.fabric.data_interface(host)}",
                 f"--Agent:DataAddress={self.fabric.host_address(host)}", f"--Agent:DataPort={DATA_PORT}", f"--Agent:StateDirectory={home}",
                 f"--Agent:WorkerSocket={self.worker_socket(host)}", f"--Agent:TokenFile={self.token_file}"],
                stdout=log, stderr=log)

    def kill_agent(self, host: str) -> None:
        """Ends a host's agent as a crash would."""
        process = self._processes.pop(host)
        process.kill()
        process.wait()

    def agent_log(self, host: str) -> str:
        """All that a host's agents have said so far."""
        return (self._logs / f"agent-{host}.log").read_text(errors="replace")

    def wait_for_agents(self, seconds: float = 90) -> None:
        """Returns when every agent is connected and has acknowledged what it should have."""
        def missing() -> List[str]:
            agents = {a["host"]: a for a in self.get("agents")}
            return [h for h in self.fabric.hosts
                    if agents.get(h, {}).get("state") != "connected" or agents[h].get("acknowledged") != agents[h].get("desired")]

        try:
            self._until(lambda: not missing(), seconds, "agents are not connected", "controller")
        except StackError as error:
            raise StackError(f"{error}; not connected, or without acknowledgement: {', '.join(missing()[:5]) or 'none now'}; their logs lie beside") from error

    def kill_controller(self) -> None:
        """Ends the controller as a crash would."""
        process = self._processes.pop("controller")
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Ends agents, then the controller: asked first, then killed."""
        names = [n for n in self._processes if n != "controller"] + ["controller"]
        for group in (names[:-1], names[-1:]):
            for name in group:
                if name in self._processes:
                    self._processes[name].send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 10
            for name in group:
                process = self._processes.pop(name, None)
                if process is None:
                    continue
                try:
                    process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

        cleanup.remove_socket_folders(lambda run_id: run_id == self.fabric.run_id)

    def agent_pid(self, host: str) -> int:
        """Process id of a host's agent."""
        return self._processes[host].pid

    def host_directory(self, host: str) -> Path:
        return self.directory / "hosts" / host

    def worker_socket(self, host: str) -> Path:
        """Where workers of this host find their agent."""
        path = self.host_directory(host) / "agent.sock"
        if len(os.fsencode(path)) > 100:  # sun_path holds 108 bytes
            short = cleanup.SOCKET_FOLDERS / self.fabric.run_id
            short.mkdir(parents=True, exist_ok=True)
            path = short / f"{host}.sock"
        return path

    # REST

    def get(self, path: str) -> Any:
        """The JSON of ``GET /api/v1/path``."""
        return self.call("GET", path)

    def call(self, method: str, path: str, body: Optional[object] = None) -> Any:
        """One REST call; a problem answer becomes a StackError with its words."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/{path}", method=method,
            data=None if body is None else json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            raise StackError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error

    def submit(self, job: Dict[str, Any]) -> int:
        """Submits a job and returns its id."""
        return int(self.call("POST", "jobs", job)["id"])

    def job(self, job_id: int) -> Dict[str, Any]:
        return dict(self.get(f"jobs/{job_id}"))

    def wait_placed(self, job_ids: List[int], seconds: float = 60) -> None:
        """Returns when every host has acknowledged the plans of these jobs."""
        self._until(lambda: all(self.job(j)["state"] == "Placed" for j in job_ids), seconds,
                    f"jobs {job_ids} are not placed", "controller")

    def check_alive(self) -> None:
        """Raises when a process has ended by itself."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise StackError(f"{name} ended with code {process.returncode}; its log: {self._log_of(name)}")

    def _healthy(self) -> bool:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{self.port}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _log_of(self, name: str) -> Path:
        return self._logs / (f"{name}.log" if name == "controller" else f"agent-{name}.log")

    def _until(self, done: Callable[[], bool], seconds: float, what: str, log: str) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            self.check_alive()
            if time.monotonic() > deadline:
                raise StackError(f"{what} after {seconds:.0f} s; see {self._logs / (log + '.log')}")
            time.sleep(0.2)


def free_port(addresses: List[str], first: int) -> int:
    """The first port from ``first`` on that is free on all the addresses."""
    for port in range(first, first + 200):
        try:
            for address in addresses:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((address, port))
        except OSError:
            continue
        return port
    raise StackError(f"no free port between {first} and {first + 199} on {', '.join(addresses)}")
