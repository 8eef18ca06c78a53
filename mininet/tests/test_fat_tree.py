"""Names, addresses and links of the fat-tree, and the routes over them. Nothing here needs root."""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Dict, Iterator, List, Tuple

import networkx
import pytest

from mlnet_eval import cleanup, fat_tree, management, queues, routes
from mlnet_eval.fat_tree import FatTree
from mlnet_eval.scenario import FabricShape

SHAPES = [
    FabricShape(20, 10, 10, pods=2, hosts_per_rack=4),
    FabricShape(20, 10, 5),
    FabricShape(20, 10, 10, k=2),
    FabricShape(20, 10, 10, k=2, pods=1, hosts_per_rack=1),
    FabricShape(20, 10, 10, k=6, pods=4, hosts_per_rack=7),
    FabricShape(20, 10, 10, k=8),
    FabricShape(20, 10, 10, k=4, pods=1, hosts_per_rack=64),
]


@pytest.fixture(params=SHAPES, ids=lambda s: f"k{s.k}-pods{s.pod_count}-hosts{s.rack_size}")
def shape(request: pytest.FixtureRequest) -> FabricShape:
    chosen: FabricShape = request.param
    return chosen


def test_build_counts_follow_the_shape(shape: FabricShape) -> None:
    tree, half = fat_tree.build(shape), shape.k // 2

    assert len(tree.hosts) == shape.pod_count * half * shape.rack_size
    assert (len(tree.edges), len(tree.aggregations), len(tree.cores)) == (shape.pod_count * half, shape.pod_count * half, half * half)
    assert len(tree.links) == len(tree.hosts) + 2 * shape.pod_count * half * half


def test_build_every_name_address_and_mac_is_unique_and_fits(shape: FabricShape) -> None:
    tree = fat_tree.build(shape)
    ports = [port for link in tree.links for port in (link.lower, link.upper)]

    assert len({port.address for port in ports}) == len({port.mac for port in ports}) == len({port.interface for port in ports}) == len(ports)
    names = [port.interface for port in ports] + [management.host_interface(host) for host in tree.hosts]
    names += [cleanup.LINK_PREFIX + host for host in tree.hosts] + [management.BRIDGE]
    assert max(map(len, names)) <= 15


def test_build_largest_shape_still_has_names_and_addresses_that_fit() -> None:
    largest = FabricShape(1, 1, 1, k=fat_tree.MAX_K, hosts_per_rack=fat_tree.MAX_HOSTS_PER_RACK)
    host = fat_tree.host_names(largest)[-1]

    assert host == "h15-7-63"
    assert max(len(f"{host}-eth0"), len(management.host_interface(host)), len(cleanup.LINK_PREFIX + host), len("e15-7-eth71")) <= 15
    assert ipaddress.ip_address(management.host_address(fat_tree.MAX_HOSTS - 1)) in management.NETWORK


def test_build_both_ends_of_a_link_share_a_subnet_of_their_own(shape: FabricShape) -> None:
    tree = fat_tree.build(shape)
    subnets = []
    for link in tree.links:
        ends = [ipaddress.ip_interface(f"{port.address}/{port.prefix_length}").network for port in (link.lower, link.upper)]
        assert ends[0] == ends[1]
        subnets.append(ends[0])

    subnets.sort()
    assert not any(one.overlaps(other) for one, other in zip(subnets, subnets[1:]))


def test_build_host_addresses_are_those_documented() -> None:
    tree = fat_tree.build(SHAPES[0])
    addresses = {link.lower.node: (link.lower.address, link.upper.address) for link in tree.links if link.lower.node.startswith("h")}

    assert addresses["h0-0-0"] == ("10.0.0.2", "10.0.0.1")
    assert addresses["h1-1-3"] == ("10.1.1.14", "10.1.1.13")


def test_root_lines_bar_every_address_of_the_fabric_and_little_else(shape: FabricShape) -> None:
    tree = fat_tree.build(shape)
    barred = [ipaddress.ip_network(line.split()[3]) for line in management.root_lines(tree) if line.startswith("route add unreachable")]

    for link in tree.links:
        for port in (link.lower, link.upper):
            assert any(ipaddress.ip_address(port.address) in network for network in barred)
    assert sum(network.num_addresses for network in barred) <= shape.pod_count * 65_536 + 4 * len(tree.links)


def test_node_link_is_what_networkx_reads_and_the_controller_expects() -> None:
    shape = FabricShape(20, 10, 2.5, pods=2, hosts_per_rack=4)
    document = fat_tree.node_link(fat_tree.build(shape), "demo")

    graph = networkx.node_link_graph(document)
    assert networkx.is_connected(graph) and len(graph) == 16 + 4 + 4 + 4
    assert graph.nodes["h1-0-3"] == {"kind": "host", "address": "10.1.0.14", "rack": "e1-0", "pod": "p1"}
    switches = {n: graph.nodes[n].pop("addresses") for n, d in graph.nodes.items() if d["kind"] == "switch"}
    assert len(switches["e1-0"]) == 6 and "10.1.0.1" in switches["e1-0"]  # one a port: four hosts, two uplinks
    addresses = [address for of in switches.values() for address in of]
    assert len(addresses) == len(set(addresses))
    assert graph.nodes["e1-0"] == {"kind": "switch", "tier": "edge", "rack": "e1-0", "pod": "p1"}
    assert graph.nodes["a1-0"] == {"kind": "switch", "tier": "aggregation", "pod": "p1"}
    assert graph.nodes["c3"] == {"kind": "switch", "tier": "core"}
    assert [graph.edges[link]["rateBitsPerSecond"] for link in (("h0-0-0", "e0-0"), ("e0-0", "a0-1"), ("a0-1", "c2"))] == [20_000_000, 10_000_000, 2_500_000]
    assert all(isinstance(link["rateBitsPerSecond"], int) for link in document["links"])


# Routes


class Walk:
    """Forwards a packet by a plan, along every equal-cost branch, by the longest prefix, as a kernel would."""

    def __init__(self, tree: FatTree, plan: routes.Plan) -> None:
        self._owner = {port.address: port.node for link in tree.links for port in (link.lower, link.upper)}
        self._connected = {node: {} for node in tree.nodes}  # type: Dict[str, Dict[str, str]]
        for link in tree.links:
            for mine, theirs in link.ports():
                self._connected[mine.node][theirs.address] = theirs.node
        self._table = {node: sorted(map(self._entry, held), key=lambda entry: -entry[1]) for node, held in plan.items()}

    @staticmethod
    def _entry(route: routes.Route) -> Tuple[int, int, routes.Route]:
        """The prefix as two numbers: asking ipaddress anew at each hop would be most of the test's time."""
        network = ipaddress.ip_network("0.0.0.0/0" if route.prefix == "default" else route.prefix)
        return int(network.network_address), int(network.netmask), route

    def paths(self, source: str, address: str) -> List[List[str]]:
        """All paths; each ends at the owner of the address, or with '!' where the packet is refused."""
        return list(self._from([source], address, int(ipaddress.ip_address(address))))

    def _from(self, path: List[str], address: str, number: int) -> Iterator[List[str]]:
        node = path[-1]
        assert len(path) <= 8, f"circles: {path}"
        if self._owner.get(address) == node:
            yield path
        elif address in self._connected[node]:
            yield from self._from([*path, self._connected[node][address]], address, number)
        else:
            for network, mask, route in self._table[node]:
                if number & mask == network:
                    for hop in route.hops:
                        assert self._connected[node][hop.gateway] == hop.neighbour
                        yield from self._from([*path, hop.neighbour], address, number)
                    if not route.hops:
                        yield [*path, "!"]
                    return
            yield [*path, "!"]


def some_hosts(tree: FatTree) -> List[str]:
    """The first and last of each rack: all that routes can tell apart, without 64 x 64 pairs."""
    racks: Dict[str, List[str]] = {}
    for host in tree.hosts:
        racks.setdefault(host.rpartition("-")[0], []).append(host)
    return sorted({host for members in racks.values() for host in (members[0], members[-1])})


@pytest.mark.parametrize("multipath", [True, False], ids=["multipath", "static"])
def test_plan_every_pair_of_hosts_is_joined_by_shortest_paths(shape: FabricShape, multipath: bool) -> None:
    tree = fat_tree.build(shape)
    walk = Walk(tree, routes.plan(tree, multipath))
    address = {link.lower.node: link.lower.address for link in tree.links}

    for source in some_hosts(tree):
        for target in some_hosts(tree):
            if source == target:
                continue
            same_pod, same_rack = source.split("-")[0] == target.split("-")[0], source.rpartition("-")[0] == target.rpartition("-")[0]
            hops = 2 if same_rack else 4 if same_pod else 6
            half = shape.k // 2
            branches = 1 if not multipath or same_rack else half if same_pod else half * half
            paths = walk.paths(source, address[target])
            assert len(paths) == branches, (source, target)
            assert all(path[-1] == target and len(path) == hops + 1 for path in paths), paths


@pytest.mark.parametrize("multipath", [True, False], ids=["multipath", "static"])
def test_plan_addresses_of_nobody_are_refused_not_circled(shape: FabricShape, multipath: bool) -> None:
    tree = fat_tree.build(shape)
    walk = Walk(tree, routes.plan(tree, multipath))

    strangers = ["10.99.0.2", "192.0.2.1", "10.0.200.2"] + ([] if shape.rack_size == 64 else ["10.0.0.254", f"10.{shape.pod_count - 1}.0.254"])
    for source in some_hosts(tree):
        for address in strangers:
            assert all(path[-1] == "!" for path in walk.paths(source, address)), (source, address)


def test_plan_static_spreads_destinations_evenly_over_uplinks_and_cores() -> None:
    tree = fat_tree.build(FabricShape(20, 10, 10, k=4, pods=2, hosts_per_rack=4))
    walk = Walk(tree, routes.plan(tree, multipath=False))
    address = {link.lower.node: link.lower.address for link in tree.links}

    used = Counter(node for target in tree.hosts if target.startswith("h1") for node in walk.paths("h0-0-0", address[target])[0])

    assert [used[agg] for agg in ("a0-0", "a0-1")] == [4, 4]
    assert [used[core] for core in tree.cores] == [2, 2, 2, 2]


def test_plan_needs_multipath_hash_fields_that_differ_between_tiers() -> None:
    assert routes.HASH_FIELDS["e"] != routes.HASH_FIELDS["a"]


def test_batch_lines_say_each_kind_of_route() -> None:
    hops = (routes.Hop("a", "10.128.0.1", "x-eth0"), routes.Hop("b", "10.128.0.3", "x-eth1"))

    lines = routes.batch_lines([routes.Route("default", hops), routes.Route("10.0.0.0/24", hops[:1]), routes.Route("10.0.0.0/16", ())])

    assert lines == [
        "route add default nexthop via 10.128.0.1 dev x-eth0 nexthop via 10.128.0.3 dev x-eth1",
        "route add 10.0.0.0/24 via 10.128.0.1 dev x-eth0",
        "route add unreachable 10.0.0.0/16",
    ]


# Queues


def test_queue_lines_hold_every_class_of_the_ladder_in_order_within_the_rate() -> None:
    lines = queues.batch_lines("p-eth0", 12.5, 150_000)

    classes = [line.split() for line in lines if line.startswith("class") and "parent 1:1 " in line]
    assert [int(words[words.index("prio") + 1]) for words in classes] == list(range(7))
    assert all(words[words.index("rate") + 1] == "625000bit" and words[words.index("ceil") + 1] == "12500000bit" for words in classes)
    assert queues.FLOOR * len(queues.LADDER) < 1
    marks = {line.split()[line.split().index("dsfield") + 1]: line.split()[-1] for line in lines if line.startswith("filter")}
    assert marks == {"0xa0": "1:10", "0x88": "1:11", "0x68": "1:12", "0x48": "1:13", "0x28": "1:14", "0x04": "1:16"}
    assert lines[0].endswith("default 15")
