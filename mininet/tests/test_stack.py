"""The whole system on a small fabric: real controller, agents, database, trainers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Dict, List, Set

import pytest

from mlnet_eval.demo import CHECK_FAILED
from mlnet_eval.evaluate import MLNET, PLAIN, Evaluation, Mode, prepare
from mlnet_eval.fabric import Fabric
from mlnet_eval.rounds_soak import faults, soak
from mlnet_eval.scenario import Scenario, load
from mlnet_eval.terminal import Terminal
from mlnet_eval.training import Training

pytestmark = pytest.mark.root

TOP = Path(__file__).parents[2]
SCENARIO = TOP / "mininet" / "scenarios" / "small.json"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state directory as ``./run`` makes it, with the built programs, that user postgres can enter."""
    binaries = TOP / ".run" / "bin"
    if not (binaries / "agent" / "mlnet-agent").exists():
        pytest.fail("the programs are not built; run this by ./run test")
    home = Path("/var/tmp") / f"mlnet-test-{os.getpid()}-{time.monotonic_ns()}"
    home.mkdir(mode=0o755)
    (home / "bin").symlink_to(binaries)
    (home / "data").symlink_to(_shared_cache())
    try:
        yield home
    finally:
        subprocess.run([sys.executable, "-m", "mlnet_eval.postgres", "--state", str(home), "--remove"], check=False)
        shutil.rmtree(home, ignore_errors=True)


def _shared_cache() -> Path:
    cache = TOP / ".run" / "data"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.3)


@pytest.fixture
def evaluation(state: Path) -> Iterator[Evaluation]:
    directory = state / "demo"
    prepare(state, directory)
    running = Evaluation(load(SCENARIO), state, directory, Terminal())
    try:
        running.start()
        yield running
    finally:
        running.stop()


def begin(evaluation: Evaluation, mode: Mode, rounds: int) -> Training:
    """One job with many rounds on every host, training."""
    evaluation.stack.call("PUT", "planning", {"strategy": mode.strategy, "policy": mode.policy})
    training = Training(evaluation.stack, evaluation.directory.parent / "data", evaluation.directory / "training")
    training.submit([replace(evaluation.scenario.jobs[0], rounds=rounds)], lambda job: f"test-{job.name}")
    training.launch()
    training.start()
    return training


def test_controller_killed_in_mid_training_disturbs_nothing(evaluation: Evaluation) -> None:
    training = begin(evaluation, MLNET, rounds=150)
    stack, job = evaluation.stack, training.jobs[0]
    try:
        until(lambda: job.rounds_done() >= 10, 60, "ten rounds")
        before = stack.job(job.job_id)
        agents_before = {h: stack.agent_pid(h) for h in evaluation.fabric.hosts}
        stack.kill_controller()
        at_kill = job.rounds_done()
        marked = MarkCounter(evaluation.fabric)
        until(lambda: job.rounds_done() >= at_kill + 20, 60, "twenty more rounds without a controller")
        assert marked.octets(before["plan"]["dscp"]) > 20 * 1000, "marks are gone with the controller"
        assert marked.octets("CS0") < 0.05 * marked.octets(before["plan"]["dscp"]), "job traffic went unmarked"
        stack.start_controller()
        stack.wait_for_agents()
        after = stack.job(job.job_id)
        assert after["state"] == "Placed"
        assert after["plan"]["treesRevision"] == before["plan"]["treesRevision"]
        assert after["plan"]["dscp"] == before["plan"]["dscp"]
        training.wait(lambda _: None, 120)
        outcome = training.outcomes()[0]
        assert len(outcome.weight_hashes) == 1
        assert outcome.rounds == 150
        assert agents_before == {h: stack.agent_pid(h) for h in evaluation.fabric.hosts}
        until(lambda: stack.job(job.job_id)["state"] == "Finished", 20, "the job to be finished")
    finally:
        training.end()


def test_connections_between_racks_share_their_uplinks_evenly(evaluation: Evaluation) -> None:
    # Two connections an edge: on ports of chance, both would take the same of two uplinks every other time.
    training = begin(evaluation, MLNET, rounds=150)
    try:
        until(lambda: training.jobs[0].rounds_done() >= 5, 60, "five rounds")
        before = evaluation.fabric.link_bytes()
        training.wait(lambda _: None, 120)
        carried = {link: count - before[link] for link, count in evaluation.fabric.link_bytes().items()}
    finally:
        training.end()
    for rack in ("e0-0", "e0-1"):
        for uplinks in ([(rack, "a0-0"), (rack, "a0-1")], [("a0-0", rack), ("a0-1", rack)]):
            low, high = sorted(carried[link] for link in uplinks)
            assert high > 1_000_000
            assert low > 0.8 * high, f"{uplinks}: {low} and {high} bytes"


def test_routers_that_clear_or_rewrite_marks_are_named_by_pairs_and_as_suspects(evaluation: Evaluation) -> None:
    # h ──── edge ──  what comes from one host of the first rack loses its mark there; AF41 of one host of the second rack becomes CS1
    fabric, stack = evaluation.fabric, evaluation.stack
    edges = [n["id"] for n in fabric.topology()["nodes"] if n.get("tier") == "edge"][:2]
    clearing = ChangedPairs(fabric, edges[0], first_host(fabric, edges[0]), "!= cs0", fabric.clear_dscp)
    rewriting = ChangedPairs(fabric, edges[1], first_host(fabric, edges[1]), "af41", lambda router, peer: fabric.rewrite_dscp(router, peer, "AF41", "CS1"))
    training = begin(evaluation, Mode("marked-direct", "direct-sharded", "srpt"), rounds=100_000)
    try:
        assert stack.job(training.jobs[0].job_id)["plan"]["dscp"] == "AF41"
        until(lambda: all(c.octets() != {} and min(c.octets().values()) > 1_100_000 for c in (clearing, rewriting)), 90, "a megabyte between each pair")
        expected = clearing.named("CS0") | rewriting.named("CS1")
        assert {arrived for _, _, arrived in expected} == {"CS0", "CS1"}
        named: set[tuple[str, str, str]] = set()

        def all_named() -> bool:
            named.clear()
            named.update((f["source"], f["destination"], f["arrived"]) for f in stack.get("marking-faults"))
            return expected <= named

        until(all_named, 30, f"{expected} to be named; named: {named}")
        time.sleep(12)  # a whole report interval more: nobody else may be named later either
        all_named()
        assert named == clearing.named("CS0") | rewriting.named("CS1")
        assert {f["sent"] for f in stack.get("marking-faults") if f["arrived"] == "CS1"} == {"AF41"}
        until(lambda: {s["switch"] for s in stack.get("marking-suspects")[:2]} == set(edges), 30, f"{edges} to be suspected first: {stack.get('marking-suspects')}")
    finally:
        training.end()


def test_demo_killed_in_mid_run_leaves_nothing_after_the_next(state: Path) -> None:
    foreign = "mlnettestbr0"
    subprocess.run(["ip", "link", "add", foreign, "type", "bridge"], check=True)
    subprocess.run(["ip", "netns", "add", "mlnettestns"], check=True)
    subprocess.run(["nft", "add", "table", "inet", "mlnettestforeign"], check=True)
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        before = machine_state()
        demo = [sys.executable, "-m", "mlnet_eval.demo", "--state", str(state), str(SCENARIO)]
        first = subprocess.Popen(demo, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert first.stdout is not None
        for line in first.stdout:
            if "rounds" in line:
                break
        time.sleep(1)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        second = subprocess.run(demo, capture_output=True, text=True, timeout=240, check=False)
        # The scenario is small: its model learns too little for the demo's own limit on accuracy, and little is gained on two racks.
        assert second.returncode in (0, CHECK_FAILED), second.stdout + second.stderr
        result = json.loads((state / "demo" / "result.json").read_text())
        assert all(len(j["weightHashes"]) == 1 for mode in result["modes"].values() for j in mode["jobs"])
        held = {c["check"]: c["holds"] for c in result["checks"]}
        assert all(held[c] for c in held if "history" in c or "without a job" in c or "marked" in c or "weights" in c), held
        after = machine_state()
        assert {kind: after[kind] - before[kind] for kind in before} == {kind: set() for kind in before}
        assert foreign in after["links"] and "mlnettestns" in after["namespaces"] and "table inet mlnettestforeign {" in after["rules"]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        subprocess.run(["nft", "delete", "table", "inet", "mlnettestforeign"], check=False)
        subprocess.run(["ip", "netns", "del", "mlnettestns"], check=False)
        subprocess.run(["ip", "link", "del", foreign], check=False)


def machine_state() -> Dict[str, Set[str]]:
    """Links, namespaces, rules, routes and processes of this machine, without what changes by itself."""
    def lines(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    names = re.compile(rb"mlnet-agent|mlnet-controller|mlnet_eval\.trainer|mininet:")
    ours = []
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            if names.search((proc / "cmdline").read_bytes()):
                ours.append(proc.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return {
        "links": set(re.findall(r"^\d+: ([^:@]+)", "\n".join(lines("ip", "-o", "link")), re.M)), "namespaces": {n.split()[0] for n in lines("ip", "netns")},
        "rules": set(lines("nft", "list", "ruleset")), "routes": set(lines("ip", "route", "show", "table", "all")), "processes": set(ours)}


class MarkCounter:
    """Counts forwarded octets by code point in every edge router, by nftables."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._routers = [n["id"] for n in fabric.topology()["nodes"] if n.get("tier") == "edge"]
        for router in self._routers:
            counters = [f"ip protocol tcp ip length > 500 ip dscp {name.lower()} counter" for name in ("CS0", "AF41", "AF31", "AF21", "AF11")]
            nft(fabric, router, chain("mlnetcount", "10", counters))

    def octets(self, dscp: str) -> int:
        total = 0
        for router in self._routers:
            text = nft_out(self._fabric, router, "list", "table", "ip", "mlnetcount")
            total += sum(int(n) for n in re.findall(rf"ip dscp {dscp.lower()} counter packets \d+ bytes (\d+)", text))
        return total


def first_host(fabric: Fabric, edge: str) -> str:
    ends = [{link["source"], link["target"]} for link in fabric.topology()["links"]]
    return next(h for h in fabric.hosts if {edge, h} in ends)


class ChangedPairs:
    """Makes a router change marks of what it gets from one neighbour, and counts by source and destination what it changes: the truth to compare with."""

    def __init__(self, fabric: Fabric, router: str, neighbour: str, codes: str, change: Callable[[str, str], None]) -> None:
        self._fabric, self._router = fabric, router
        self._names = {fabric.host_address(h): h for h in fabric.hosts}
        pairs = "set pairs { type ipv4_addr . ipv4_addr; flags dynamic; counter; size 1024; }"
        count = f'iifname "{fabric.interface_towards(router, neighbour)}" ip dscp {codes} update @pairs {{ ip saddr . ip daddr }}'
        nft(fabric, router, chain("mlnettruth", "-300", [count], before=pairs))  # before the marks are changed
        change(router, neighbour)

    def octets(self) -> dict[tuple[str, str], int]:
        text = nft_out(self._fabric, self._router, "list", "set", "ip", "mlnettruth", "pairs")
        found = re.findall(r"([\d.]+) \. ([\d.]+) counter packets \d+ bytes (\d+)", text)
        return {(self._names[a], self._names[b]): int(n) for a, b, n in found if a in self._names and b in self._names}

    def named(self, arrives: str) -> set[tuple[str, str, str]]:
        """Pairs that should be named: with a megabyte changed."""
        return {(source, destination, arrives) for (source, destination), count in self.octets().items() if count >= 1_000_000}


def chain(table: str, priority: str, rules: List[str], before: str = "") -> str:
    """A table of our own with one chain in the forward hook."""
    return "\n".join([f"table ip {table} {{", before, f"chain f {{ type filter hook forward priority {priority};", *rules, "}", "}", ""])


def nft(fabric: Fabric, router: str, rules: str) -> None:
    fabric.run(router, ["nft", "-f", "-"], stdin=rules)


def nft_out(fabric: Fabric, router: str, *arguments: str) -> str:
    return fabric.run(router, ["nft", *arguments])


def test_agents_killed_under_a_job_cost_time_and_nothing_else(state: Path) -> None:
    seen = soak(state / "bin", state / "soak", rounds=40, kills=5, seed=3)

    assert faults(seen) == []
