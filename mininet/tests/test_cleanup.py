"""What is left after a run's death is removed, whenever it died; what belongs to others stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List, Optional

import pytest

from mlnet_eval import cleanup
from mlnet_eval.fabric import Fabric
from mlnet_eval.run_lock import RUN_ID_VARIABLE, FabricBusy, RunLock, holder
from mlnet_eval.scenario import FabricShape

pytestmark = pytest.mark.root

MININET = Path(__file__).parents[1]
SHAPE = FabricShape(20, 10, 10, k=4, pods=2, hosts_per_rack=2)

# A run with all that can outlive it: a process in a host, one that left its group, one in a router with rules, one in the root namespace.
RUN = """
import subprocess, sys, time
from mlnet_eval.fabric import Fabric
from mlnet_eval.scenario import FabricShape
fabric = Fabric(FabricShape(20, 10, 10, k=4, pods=2, hosts_per_rack=2), sys.argv[1])
print("starting", flush=True)
fabric.start()
fabric.popen("h0-0-0", ["sleep", "1009"])
fabric.popen("h1-1-1", ["sh", "-c", "trap '' TERM; setsid sleep 1009 & while :; do sleep 1009; done"])
fabric.clear_dscp("e0-0", "h0-0-0")
subprocess.Popen(["sleep", "1009"], start_new_session=True)
print("running", flush=True)
time.sleep(1009)
"""


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def machine() -> List[str]:
    """What might be of a run, by its looks, in the root namespace: names and addresses as ours have them. Other things come and go there."""
    commands = (
        ("ip", "-br", "link", "show"),
        ("ip", "-br", "address", "show"),
        ("ip", "route", "show", "table", "all"),
        ("ip", "netns", "list"),
        ("nft", "list", "tables"),
    )
    looks = re.compile(r"mlf-|mlnet|stranger|198\.18\.|\b10\.\d+\.0\.0/")
    return [line for command in commands for line in output(*command).splitlines() if looks.search(line)]


def inhabitants() -> Dict[int, str]:
    """Processes outside the root network namespace that look like those of a run, marked or not."""
    found = {}
    for entry in os.listdir("/proc"):
        try:
            command = Path(f"/proc/{entry}/cmdline").read_bytes() if entry.isdigit() else b""
            if (b"mininet:" in command or b"sleep\0001009" in command) and os.readlink(f"/proc/{entry}/ns/net") != os.readlink("/proc/self/ns/net"):
                found[int(entry)] = command.replace(b"\0", b" ").decode()
        except OSError:
            pass  # ended while we looked
    return found


@pytest.fixture
def strangers() -> Iterator[None]:
    """Things of others that look as much like ours as they can."""
    environment = {key: value for key, value in os.environ.items() if key != RUN_ID_VARIABLE}
    process = subprocess.Popen(["sh", "-c", "exec sleep 1009 # mininet: mlnet_eval mlf-"], env=environment)
    commands: List[List[str]] = [
        ["ip", "link", "add", "name", "mlf-stranger", "type", "bridge"],
        ["ip", "link", "add", "name", "brstranger", "group", str(cleanup.LINK_GROUP), "type", "bridge"],
        ["ip", "netns", "add", "mlnet-stranger"],
        ["ip", "route", "add", "unreachable", "10.77.0.0/16", "metric", "9999"],
        ["nft", "add", "table", "ip", "mlnet_fault_stranger"],
    ]
    for command in commands:
        subprocess.run(command, check=True)
    try:
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        for command in (
            ["ip", "link", "delete", "dev", "mlf-stranger"],
            ["ip", "link", "delete", "dev", "brstranger"],
            ["ip", "netns", "delete", "mlnet-stranger"],
            ["ip", "route", "delete", "unreachable", "10.77.0.0/16", "metric", "9999"],
            ["nft", "delete", "table", "ip", "mlnet_fault_stranger"],
        ):
            subprocess.run(command, check=True)


def start_run(run_id: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", RUN, run_id],
        env={**os.environ, "PYTHONPATH": str(MININET)},
        stdout=subprocess.PIPE,
        text=True,
    )


def kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def wait_for(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdout is not None
    while True:
        line = process.stdout.readline()
        assert line, "the run ended early"
        if line.strip() == word:
            return


def clean(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mlnet_eval.cleanup", *arguments],
        env={**os.environ, "PYTHONPATH": str(MININET)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_all_gone(before: List[str]) -> None:
    assert cleanup.marked_processes() == {}
    assert machine() == before
    deadline = time.monotonic() + 5  # a killed process leaves /proc a moment later
    while left := inhabitants():
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def test_cleanup_after_kill_of_a_running_fabric_leaves_only_what_is_of_others(strangers: None) -> None:
    before = machine()
    run = start_run("test-killed")
    wait_for(run, "running")
    kill(run)
    assert len(cleanup.marked_processes()) >= 4, "the test has nothing to clean"
    assert cleanup.our_links() and cleanup.our_routes() and inhabitants()
    assert len([line for line in before if "stranger" in line]) >= 5

    done = clean()

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("removed: ") and "1 links, 3 routes" in done.stdout
    assert_all_gone(before)
    assert clean().stdout == "removed: nothing was left\n"


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6])
def test_cleanup_after_kill_in_the_midst_of_building_is_whole(seconds: float) -> None:
    before = machine()
    run = start_run("test-unborn")
    wait_for(run, "starting")
    time.sleep(seconds)
    kill(run)

    assert clean().returncode == 0

    assert_all_gone(before)


def test_start_removes_what_a_killed_run_left_and_spares_its_own_processes() -> None:
    before = machine()
    run = start_run("test-former")
    wait_for(run, "running")
    kill(run)
    own = subprocess.Popen(["sleep", "1009"], env={**os.environ, RUN_ID_VARIABLE: "test-new"})
    try:
        with Fabric(SHAPE, "test-new") as fabric:
            assert set(cleanup.marked_processes().values()) == {"test-new"}
            assert "10." in fabric.run("h0-0-0", ["ip", "route", "get", fabric.host_address("h1-1-1")])
            assert own.poll() is None
        assert own.poll() is None, "stop ended a process outside the fabric"
    finally:
        own.kill()
        own.wait()
    assert_all_gone(before)


def test_stop_ends_everything_in_the_fabric_even_what_resists() -> None:
    before = machine()
    fabric = Fabric(SHAPE, "test-stop")
    with fabric:
        fabric.popen("h0-0-0", ["sleep", "1009"])
        stubborn = fabric.popen("h0-0-1", ["sh", "-c", "trap '' TERM; setsid sh -c \"trap '' TERM; sleep 1009; sleep 1009\" & echo; while :; do sleep 1; done"],
                                stdout=subprocess.PIPE)  # fmt: skip
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
    stubborn.stdout.close()

    assert_all_gone(before)
    assert RUN_ID_VARIABLE not in os.environ
    fabric.stop()  # again does nothing


def test_start_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = machine()
    fabric = Fabric(SHAPE, "test-failing")

    def fail(*_: object) -> None:
        raise OSError("made up")

    monkeypatch.setattr(fabric, "_configure", fail)
    with pytest.raises(OSError, match="made up"):
        fabric.start()

    assert_all_gone(before)
    assert holder() is None


def test_start_where_the_management_network_is_taken_is_refused() -> None:
    subprocess.run(["ip", "link", "add", "name", "mltaken", "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "198.18.7.1/24", "dev", "mltaken"], check=True)
        with pytest.raises(RuntimeError, match=r"198\.18\.7\.1/24 on mltaken"):
            Fabric(SHAPE, "test-taken").start()
    finally:
        subprocess.run(["ip", "link", "delete", "dev", "mltaken"], check=True)
    assert cleanup.our_links() == set() and holder() is None


def test_cleanup_running_ends_a_live_run() -> None:
    before = machine()
    run = start_run("test-alive")
    wait_for(run, "running")
    assert holder() == run.pid

    assert clean().returncode == 2
    assert run.poll() is None
    assert clean("--running").returncode == 0
    run.wait(10)

    kill(run)
    assert_all_gone(before)


def test_run_lock_has_one_holder_even_within_a_process() -> None:
    with RunLock() as lock:
        for _ in range(200):  # asking does not wear it out
            assert holder() == os.getpid()
        with pytest.raises(FabricBusy, match=f"process {os.getpid()}:"):
            RunLock().acquire(patience_seconds=0)
        with pytest.raises(FabricBusy):
            cleanup.clean()
        lock.release()
        assert holder() is None


def test_cleanup_never_ends_itself_or_its_ancestors() -> None:
    script = f"{sys.executable} -m mlnet_eval.cleanup && echo alive"

    done = subprocess.run(
        ["sh", "-c", script], env={**os.environ, RUN_ID_VARIABLE: "old", "PYTHONPATH": str(MININET)}, capture_output=True, text=True, check=False
    )

    assert done.stdout.endswith("alive\n"), done.stderr


def test_folders_of_sockets_go_with_their_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders = tmp_path / "mlnet-eval"
    for name in ("dead", "alive"):
        (folders / name).mkdir(parents=True)
        (folders / name / "h0-0-0.sock").touch()
    monkeypatch.setattr(cleanup, "SOCKET_FOLDERS", folders)

    cleanup.remove_socket_folders(lambda run_id: run_id != "alive")
    assert [f.name for f in folders.iterdir()] == ["alive"]

    cleanup.remove_socket_folders(lambda _: True)
    assert not folders.exists()
    cleanup.remove_socket_folders(lambda _: True)
