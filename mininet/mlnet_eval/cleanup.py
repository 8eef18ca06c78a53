"""Removes what an earlier run left behind, and nothing else.

A run that is killed cannot clean up after itself: its namespaces go once their last process ends, but processes in them keep
running, and bridges and routes stay. Everything of ours is recognisable whatever the moment of death: processes by the run id
in their environment, links by name prefix and group number together, routes by protocol number.

    python3 -m mlnet_eval.cleanup            what earlier runs left
    python3 -m mlnet_eval.cleanup --running  also a run that is still alive
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Optional, Set

from mlnet_eval.run_lock import RUN_ID_VARIABLE, FabricBusy, RunLock, holder

__all__ = ["FabricBusy", "Removed", "clean", "remove_leftovers"]

LINK_PREFIX = "mlf-"
LINK_GROUP = 19_788  # "ML" in ASCII; links of others are in group 0 unless somebody says otherwise
ROUTE_PROTOCOL = 177  # free in /etc/iproute2/rt_protos

SOCKET_FOLDERS = Path("/run/mlnet-eval")  # one per run whose own folder's path is too long for a socket

_GRACE_SECONDS = 3.0  # between asking and killing
_RUN_GRACE_SECONDS = 20.0  # for a run that stops agents, controller and database in their order
_PASSES = 5  # a process caught between fork and exec shows its mark only in the next pass


@dataclass
class Removed:
    """What a clean-up took away."""

    processes: Set[int] = field(default_factory=set)
    links: Set[str] = field(default_factory=set)
    routes: Set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return f"{len(self.processes)} processes, {len(self.links)} links, {len(self.routes)} routes"


def clean() -> List[str]:
    """What ``remove_leftovers`` does, unless a run is alive; returns what was removed, in words, one entry per kind.

    Raises:
        FabricBusy: a fabric runs; nothing was touched.
    """
    with RunLock():
        removed = remove_leftovers()
    counts = {"processes": len(removed.processes), "links": len(removed.links), "routes": len(removed.routes)}
    return [f"{count} {kind}" for kind, count in counts.items() if count]


def remove_leftovers(keep_run_id: Optional[str] = None) -> Removed:
    """Ends every process of ours and removes our links and routes.

    Args:
        keep_run_id: processes of this run are spared; its links and routes are not. None spares nobody but this process and its ancestors.

    Raises:
        RuntimeError: something of ours is still there after several passes.
    """
    removed = Removed()
    for _ in range(_PASSES):
        processes = end_processes(lambda pid, run_id: run_id != keep_run_id)
        links, routes = remove_links(), remove_routes()
        removed.processes |= processes
        removed.links |= links
        removed.routes |= routes
        if not processes and not links and not routes:
            remove_socket_folders(lambda run_id: run_id != keep_run_id)
            return removed
        time.sleep(0.05)
    raise RuntimeError(f"clean-up did not finish in {_PASSES} passes ({removed} so far): something keeps starting processes with {RUN_ID_VARIABLE} set.")


def marked_processes() -> Dict[int, str]:
    """Run id by process, of all processes that carry one, except this one and its ancestors."""
    spared = _lineage()
    found: Dict[int, str] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) not in spared:
            run_id = _run_id_of(int(entry))
            if run_id is not None:
                found[int(entry)] = run_id
    return found


def end_processes(chosen: Callable[[int, str], bool]) -> Set[int]:
    """Asks the chosen marked processes to end, kills those that have not after a few seconds; returns all of them."""
    targets = {pid: run_id for pid, run_id in marked_processes().items() if chosen(pid, run_id)}
    ended = set(targets)
    for pid, run_id in targets.items():
        _signal(pid, run_id, signal.SIGTERM)
        if is_node_shell(pid):
            _signal(pid, run_id, signal.SIGHUP)  # an interactive shell ignores SIGTERM
    deadline = time.monotonic() + _GRACE_SECONDS
    while targets and time.monotonic() < deadline:
        targets = {pid: run_id for pid, run_id in targets.items() if _run_id_of(pid) == run_id}
        if targets:
            time.sleep(0.02)
    for pid, run_id in targets.items():
        _signal(pid, run_id, signal.SIGKILL)
    while targets:
        targets = {pid: run_id for pid, run_id in targets.items() if _run_id_of(pid) == run_id}
        if time.monotonic() > deadline + _GRACE_SECONDS:
            raise RuntimeError(f"processes {sorted(targets)} survive SIGKILL; they wait in the kernel.")
        time.sleep(0.02)
    return ended


def remove_links() -> Set[str]:
    """Deletes our links in this network namespace; returns their names."""
    names = our_links()
    if names:
        # -force: deleting one end of a pair may already have taken another line's link.
        batch = "".join(f"link delete dev {name}\n" for name in sorted(names))
        subprocess.run(["ip", "-force", "-batch", "-"], input=batch, text=True, capture_output=True, check=False)
    return names


def our_links() -> Set[str]:
    """Names of our links in this network namespace."""
    listing = subprocess.run(["ip", "-j", "link", "show"], capture_output=True, text=True, check=True).stdout
    return {
        link["ifname"]
        for link in json.loads(listing or "[]")
        if link.get("ifname", "").startswith(LINK_PREFIX) and str(link.get("group")) == str(LINK_GROUP)
    }


def remove_routes() -> Set[str]:
    """Deletes our routes in this network namespace; returns them as text."""
    routes = our_routes()
    if routes:
        subprocess.run(["ip", "route", "flush", "type", "unreachable", "proto", str(ROUTE_PROTOCOL)], capture_output=True, check=True)
    return routes


def our_routes() -> Set[str]:
    """Our routes in this network namespace, as ``ip route`` prints them."""
    command = ["ip", "route", "show", "type", "unreachable", "proto", str(ROUTE_PROTOCOL)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {line.strip() for line in listing.splitlines() if line.strip()}


def remove_socket_folders(chosen: Callable[[str], bool]) -> None:
    """Removes the chosen runs' folders of sockets; the runs must have ended."""
    if SOCKET_FOLDERS.is_symlink() or not SOCKET_FOLDERS.is_dir():
        return
    for folder in SOCKET_FOLDERS.iterdir():
        if chosen(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
    try:
        SOCKET_FOLDERS.rmdir()
    except OSError:
        pass  # another run's are in it


def _lineage() -> Set[int]:
    spared: Set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in spared:
        spared.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
    return spared


def _run_id_of(pid: int) -> Optional[str]:
    """The run id in a process's environment; None when it has none, is a zombie or is gone."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    prefix = RUN_ID_VARIABLE.encode() + b"="
    for entry in environment.split(b"\0"):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode(errors="replace")
    return None


def is_node_shell(pid: int) -> bool:
    """Whether the process is the shell of a Mininet node."""
    try:
        return any(part.startswith(b"mininet:") for part in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
    except OSError:
        return False


def _signal(pid: int, run_id: str, number: signal.Signals) -> None:
    if _run_id_of(pid) == run_id:  # the number may belong to somebody else by now
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # it ended by itself, which is what was wanted


def _end_run() -> None:
    """Ends the process that holds the lock: asks it, so that it takes down what it alone knows of, then kills it."""
    pid = holder()
    if pid is None or pid <= 0 or pid in _lineage():
        return
    for number, seconds in ((signal.SIGTERM, _RUN_GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
        if holder() == pid:
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while holder() == pid and time.monotonic() < deadline:
            time.sleep(0.2)


def main(arguments: Optional[List[str]] = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="mlnet_eval.cleanup", description="Removes what earlier runs of the emulated fabric left behind.")
    parser.add_argument("--running", action="store_true", help="also end a run that is still alive")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print("clean-up needs root: links and processes of a run belong to it. Run it with sudo.", file=sys.stderr)
        return 1
    if options.running:
        _end_run()
    try:
        print("removed: " + (", ".join(clean()) or "nothing was left"))
    except FabricBusy as error:
        print(f"{error} Ctrl-C where it runs ends it, as does ./run clean --force. Nothing was removed.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
