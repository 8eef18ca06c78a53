"""The emulated fabric as packets see it: real namespaces, queues and routes."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List, Set

import pytest
from traffic import PROBE, Stream, added, answering, class_bytes, echo_services, transfer, unanswered_pairs

from mlnet_eval import cleanup, management
from mlnet_eval.fabric import Fabric, FabricError
from mlnet_eval.run_lock import FabricBusy
from mlnet_eval.scenario import FabricShape

pytestmark = pytest.mark.root

MININET = Path(__file__).parents[1]
# Uplinks as fast as hosts: two hosts that send to a third contend at its own link and nowhere else.
SHAPE = FabricShape(host_mbps=20, rack_uplink_mbps=20, core_mbps=20, k=4, pods=2, hosts_per_rack=4)


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric(SHAPE, f"test-{os.getpid()}") as running:
        yield running


@pytest.fixture(scope="module")
def echoing(fabric: Fabric) -> Iterator[Fabric]:
    with echo_services(fabric):
        yield fabric


# Reach


def test_every_host_reaches_every_other(echoing: Fabric) -> None:
    assert unanswered_pairs(echoing) == []


def test_management_network_joins_hosts_to_the_controller_and_not_to_each_other(echoing: Fabric) -> None:
    first, last = echoing.hosts[0], echoing.hosts[-1]
    others = [echoing.management_address(host) for host in echoing.hosts if host != first]

    assert answering(echoing, first, [echoing.controller_address], 10) == [echoing.controller_address]
    assert answering(echoing, last, [echoing.controller_address], 10) == [echoing.controller_address]
    assert answering(echoing, first, others, 1.5) == []


def test_root_namespace_has_no_way_into_the_fabric(echoing: Fabric) -> None:
    router = next(port.address for port, _, _ in echoing._ports_of["c0"])

    for address in [echoing.host_address(echoing.hosts[0]), echoing.host_address(echoing.hosts[-1]), router]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attempt, pytest.raises(OSError, match="unreachable|No route"):
            attempt.connect((address, 7000))


def test_routers_name_themselves_to_every_probe_of_a_path(echoing: Fabric) -> None:
    owner = {port.address: port.node for link in echoing.tree.links for port in (link.lower, link.upper)}

    lines = echoing.run("h0-0-0", [sys.executable, "-c", PROBE, echoing.host_address("h1-1-3"), "40", "5"], timeout=120).splitlines()

    seen: Dict[str, List[str]] = {}
    for port, _, address in (line.split() for line in lines):
        seen.setdefault(port, []).append(owner[address])
    assert len(lines) == 200, "a probe was not answered"
    for path in seen.values():
        first, up, core, down, last = path
        assert (first, last) == ("e0-0", "e1-1") and up.startswith("a0-") and down.startswith("a1-") and core.startswith("c")
        assert up[3:] == down[3:] and int(core[1:]) // 2 == int(up[3:]), path
    assert len({path[2] for path in seen.values()}) == 4, "40 ports do not reach all cores"


def test_hosts_are_called_and_addressed_as_the_topology_says(fabric: Fabric) -> None:
    nodes = {node["id"]: node for node in fabric.topology()["nodes"]}

    assert [node for node in nodes if nodes[node]["kind"] == "host"] == fabric.hosts
    for host in (fabric.hosts[0], fabric.hosts[-1]):
        assert nodes[host]["address"] == fabric.host_address(host)
        assert nodes[host]["rack"] == fabric.uplink_of(host)
        listing = json.loads(fabric.run(host, ["ip", "-j", "address", "show", "dev", fabric.data_interface(host)]))
        assert fabric.host_address(host) in [entry["local"] for entry in listing[0]["addr_info"]]


# Load


def test_flows_between_pods_spread_over_all_cores(fabric: Fabric) -> None:
    before = fabric.link_bytes()

    transfer(fabric, [(f"h0-{rack}-{index}", f"h1-{rack}-{index}") for rack in (0, 1) for index in (0, 1)], connections=16, size=100_000)

    grown = added(fabric.link_bytes(), before)
    cores = {core: sum(sent for (start, end), sent in grown.items() if end == core and start.startswith("a0")) for core in fabric.tree.cores}
    total = sum(cores.values())
    assert total >= 64 * 100_000
    assert all(0 < sent <= total / 2 for sent in cores.values()), cores
    # One TCP connection goes one way: 64 of them on 4 cores leave none with next to nothing.
    assert min(cores.values()) > total / 20, cores


def test_link_bytes_count_a_transfer_once_on_each_link_of_its_path(fabric: Fabric) -> None:
    before = fabric.link_bytes()
    sent = 3_000_000

    transfer(fabric, [("h0-0-0", "h1-1-3")], connections=1, size=sent)

    grown = added(fabric.link_bytes(), before)
    tiers = {
        "host": grown["h0-0-0", "e0-0"],
        "up to aggregation": sum(grown["e0-0", aggregation] for aggregation in ("a0-0", "a0-1")),
        "up to core": sum(count for (start, end), count in grown.items() if start.startswith("a0") and end.startswith("c")),
        "down from core": sum(count for (start, end), count in grown.items() if start.startswith("c") and end.startswith("a1")),
        "down to edge": sum(grown[aggregation, "e1-1"] for aggregation in ("a1-0", "a1-1")),
        "down to host": grown["e1-1", "h1-1-3"],
    }
    for tier, count in tiers.items():
        assert sent < count <= sent * 1.15, (tier, count, sent)
    elsewhere = {link: count for link, count in grown.items() if link[0].startswith("h") and link[0] not in ("h0-0-0", "h1-1-3")}
    assert max(elsewhere.values()) < 5_000, elsewhere


def test_marked_flow_keeps_the_link_and_unmarked_is_not_starved(fabric: Fabric) -> None:
    port = fabric.interface_towards("e1-0", "h1-0-0")
    streams = [
        Stream(fabric, "h0-0-0", "h1-0-0", 7103, "-t", "9"),
        Stream(fabric, "h0-1-0", "h1-0-0", 7104, "-t", "9", "-S", "0x88"),  # AF41
    ]
    time.sleep(2)  # both are past their start

    before, begun = class_bytes(fabric, "e1-0", port), time.monotonic()
    time.sleep(5)
    after, ended = class_bytes(fabric, "e1-0", port), time.monotonic()

    for stream in streams:
        stream.result()
    grown, capacity = added(after, before), 20e6 / 8 * (ended - begun)
    shares = {minor: sent / capacity for minor, sent in grown.items()}
    assert shares["11"] >= 0.85, shares
    assert shares["15"] >= 0.03, shares
    assert 0.9 <= sum(shares[minor] for minor in ("11", "15")) <= 1.02, shares


def test_host_port_drops_nothing_of_many_connections(fabric: Fabric) -> None:
    Stream(fabric, "h0-0-1", "h1-0-1", 7105, "-P", "60", "-t", "3").result()

    port = fabric.data_interface("h0-0-1")
    dropped = [int(count) for count in re.findall(r"dropped (\d+)", fabric.run("h0-0-1", ["tc", "-s", "qdisc", "show", "dev", port]))]
    assert sum(class_bytes(fabric, "h0-0-1", port).values()) > 5_000_000
    assert dropped and sum(dropped) == 0


def test_connections_use_cubic_whatever_the_machine_prefers(fabric: Fabric) -> None:
    stream = Stream(fabric, "h0-0-2", "h1-1-2", 7106, "-t", "2")
    seen: Set[str] = set()
    deadline = time.monotonic() + 10
    while not seen and time.monotonic() < deadline:
        for host in ("h0-0-2", "h1-1-2"):
            seen |= set(re.findall(r"\b(cubic|reno|bbr)\b", fabric.run(host, ["ss", "-Htin", "state", "established"])))
    stream.result()

    assert seen == {"cubic"}


# Marks


def test_clear_dscp_takes_marks_from_one_neighbour_only_and_is_undone(fabric: Fabric) -> None:
    edge, cleared, kept = "e0-0", "h0-0-0", "h0-0-1"
    target = "h0-0-3"
    port = fabric.interface_towards(edge, target)

    def marked_arrivals(source: str) -> float:
        """Share of what arrives in the class it was sent in."""
        before = class_bytes(fabric, edge, port)
        Stream(fabric, source, target, 7107, "-n", "500K", "-S", "0x68").result()  # AF31
        grown = added(class_bytes(fabric, edge, port), before)
        return grown["12"] / (grown["12"] + grown["15"])

    assert marked_arrivals(cleared) > 0.99
    fabric.clear_dscp(edge, cleared)
    fabric.clear_dscp(edge, cleared)
    assert marked_arrivals(cleared) < 0.01
    assert marked_arrivals(kept) > 0.99
    fabric.restore_dscp(edge, cleared)
    fabric.restore_dscp(edge, cleared)
    assert marked_arrivals(cleared) > 0.99
    fabric.rewrite_dscp(edge, cleared, "af21", "cs1")
    assert marked_arrivals(cleared) > 0.99  # another code point than the one rewritten
    fabric.rewrite_dscp(edge, cleared, "AF31", "AF21")
    before = class_bytes(fabric, edge, port)
    Stream(fabric, cleared, target, 7108, "-n", "500K", "-S", "0x68").result()
    grown = added(class_bytes(fabric, edge, port), before)
    assert grown["13"] / (grown["12"] + grown["13"] + grown["15"]) > 0.99
    fabric.restore_dscp(edge, cleared)
    assert fabric.run(edge, ["nft", "list", "ruleset"]) == ""


def test_clear_dscp_where_nothing_is_forwarded_is_refused(fabric: Fabric) -> None:
    with pytest.raises(FabricError, match="is a host"):
        fabric.clear_dscp("h0-0-0", "e0-0")
    with pytest.raises(FabricError, match="no link between 'e0-0' and 'c0'"):
        fabric.clear_dscp("e0-0", "c0")
    with pytest.raises(FabricError, match="is no code point"):
        fabric.rewrite_dscp("e0-0", "h0-0-0", "AF41", "cs0 accept; #")


# Processes


def test_popen_runs_in_the_node_with_the_run_id_and_a_group_of_its_own(fabric: Fabric) -> None:
    command = "echo $MLNET_RUN_ID $EXTRA $(ip -br link | cut -d'@' -f1 | tr -s '\\n ' ' '); sleep 100"
    process = fabric.popen("h1-0-2", ["sh", "-c", command], env={"EXTRA": "more"}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    words = process.stdout.readline().decode().split()

    assert words[:2] == [fabric.run_id, "more"]
    assert "h1-0-2-eth0" in words and "h1-0-2-mgmt" in words
    assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    os.killpg(process.pid, 15)
    assert process.wait(10) == -15


def test_run_failing_command_tells_what_it_said(fabric: Fabric) -> None:
    with pytest.raises(FabricError, match="no_such_device"):
        fabric.run("e0-0", ["ip", "link", "show", "no_such_device"])


@pytest.mark.parametrize("name", ["h9-0-0", "e0-0", ""])
def test_names_that_are_no_host_are_refused(fabric: Fabric, name: str) -> None:
    with pytest.raises(FabricError, match="is no host"):
        fabric.host_address(name)


# One at a time


def test_second_fabric_is_refused_by_name_of_the_first_and_harms_nothing(fabric: Fabric) -> None:
    script = "from mlnet_eval.fabric import Fabric; from mlnet_eval.scenario import FabricShape; Fabric(FabricShape(1, 1, 1), 'second').start()"
    second = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(MININET)}, capture_output=True, text=True, check=False)
    tidy = subprocess.run(
        [sys.executable, "-m", "mlnet_eval.cleanup"], env={**os.environ, "PYTHONPATH": str(MININET)}, capture_output=True, text=True, check=False
    )

    assert second.returncode == 1 and f"another fabric runs on this machine (process {os.getpid()}:" in second.stderr
    assert tidy.returncode == 2 and "./run clean --force" in tidy.stderr
    assert management.BRIDGE in cleanup.our_links()
    assert fabric.run("h0-0-0", ["ip", "route", "get", fabric.host_address("h1-0-0")])


def test_start_twice_or_use_while_down_is_refused(fabric: Fabric) -> None:
    with pytest.raises(FabricError, match="runs already"):
        fabric.start()
    with pytest.raises(FabricBusy, match=str(os.getpid())):
        Fabric(SHAPE, "beside").start()
    assert management.BRIDGE in cleanup.our_links()
    with pytest.raises(FabricError, match="does not run"):
        Fabric(SHAPE, "idle").popen("h0-0-0", ["true"])
    with pytest.raises(ValueError, match="run id"):
        Fabric(SHAPE, "not/a name")
    with pytest.raises(FabricError, match="fabric.k = 3"):
        Fabric(FabricShape(1, 1, 1, k=3), "odd")
