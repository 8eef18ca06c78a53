"""The fat-tree as data: names, addresses, ports and links. Pure; nothing here touches the machine.

After M. Al-Fares, A. Loukissas and A. Vahdat, "A Scalable, Commodity Data Center Network Architecture", SIGCOMM 2008: k
pods of k/2 edge and k/2 aggregation switches, (k/2)^2 core switches. Hosts per rack may differ from k/2, which sets the
oversubscription of a rack together with the rates.

    core         c0   c1   c2   c3          aggregation switch i of each pod reaches cores i*k/2 ... i*k/2 + k/2 - 1
                 |  X  |   |  X  |
    aggregation  a0-0     a0-1     ...
                 |    X     |
    edge         e0-0     e0-1     ...      rack = edge switch
                 | |      | |
    hosts     h0-0-0 ...  h0-1-0 ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

if TYPE_CHECKING:
    from mlnet_eval.scenario import FabricShape

MAX_K = 16  # 320 routers; interface names stay within Linux's 15 characters
MAX_HOSTS = 1_000  # the management bridge takes 1024 ports
MAX_HOSTS_PER_RACK = 64  # as many /30 subnets fit into the /24 of a rack


@dataclass(frozen=True)
class Port:
    """One end of a link: a node's interface and its address."""

    node: str
    interface: str
    address: str
    prefix_length: int
    mac: str


@dataclass(frozen=True)
class Link:
    """A full-duplex link; ``upper`` is nearer to the core. The rate is Mbit/s (10^6 bit/s) in each direction."""

    lower: Port
    upper: Port
    rate_mbps: float

    def ports(self) -> Tuple[Tuple[Port, Port], Tuple[Port, Port]]:
        """Both directions, as (transmitting, receiving) port."""
        return (self.lower, self.upper), (self.upper, self.lower)


@dataclass(frozen=True)
class FatTree:
    """All nodes and links. Names: host ``h{pod}-{edge}-{j}``, routers ``e{pod}-{edge}``, ``a{pod}-{agg}``, ``c{i}``."""

    half: int
    pods: int
    hosts: Tuple[str, ...]
    edges: Tuple[str, ...]
    aggregations: Tuple[str, ...]
    cores: Tuple[str, ...]
    links: Tuple[Link, ...]

    @property
    def routers(self) -> Tuple[str, ...]:
        """Edge, aggregation and core routers, in that order."""
        return self.edges + self.aggregations + self.cores

    @property
    def nodes(self) -> Tuple[str, ...]:
        """Hosts, then routers."""
        return self.hosts + self.routers


def host_names(shape: FabricShape) -> List[str]:
    """Host names in pod, rack, index order."""
    return [f"h{p}-{e}-{j}" for p in range(shape.pod_count) for e in range(shape.k // 2) for j in range(shape.rack_size)]


def rack_prefix(pod: int, edge: int) -> str:
    """The subnet that holds all hosts of a rack."""
    return f"10.{pod}.{edge}.0/24"


def pod_prefix(pod: int) -> str:
    """The subnet that holds all hosts of a pod."""
    return f"10.{pod}.0.0/16"


def host_subnet(pod: int, edge: int, index: int) -> str:
    """The subnet of a host's own link."""
    return f"10.{pod}.{edge}.{4 * index}/30"


def router_link_prefix(link_count: int) -> str:
    """The shortest range from 10.128.0.0 on that holds the /31 subnets of all links between routers."""
    bits = max(1, (2 * max(1, link_count) - 1).bit_length())
    return f"10.128.0.0/{32 - bits}"


def build(shape: FabricShape) -> FatTree:
    """Lays out names, addresses and links of a checked shape. Deterministic."""
    half, pods = shape.k // 2, shape.pod_count
    edges = tuple(f"e{p}-{e}" for p in range(pods) for e in range(half))
    aggregations = tuple(f"a{p}-{a}" for p in range(pods) for a in range(half))
    cores = tuple(f"c{i}" for i in range(half * half))
    wiring = _Wiring()
    for pod in range(pods):
        for edge in range(half):
            for index in range(shape.rack_size):
                wiring.attach_host(pod, edge, index, shape.host_mbps)
    for pod in range(pods):
        for edge in range(half):
            for agg in range(half):
                wiring.join_routers(f"e{pod}-{edge}", f"a{pod}-{agg}", shape.rack_uplink_mbps)
    for pod in range(pods):
        for agg in range(half):
            for offset in range(half):
                wiring.join_routers(f"a{pod}-{agg}", f"c{agg * half + offset}", shape.core_mbps)
    return FatTree(half, pods, tuple(host_names(shape)), edges, aggregations, cores, tuple(wiring.links))


class _Wiring:
    """Hands out interface numbers, MAC addresses and link subnets in order."""

    def __init__(self) -> None:
        self.links: List[Link] = []
        self._ports: Dict[str, int] = {}
        self._router_links = 0

    def attach_host(self, pod: int, edge: int, index: int, rate_mbps: float) -> None:
        base = f"10.{pod}.{edge}."
        lower = self._port(f"h{pod}-{edge}-{index}", base + str(4 * index + 2), 30, 0)
        upper = self._port(f"e{pod}-{edge}", base + str(4 * index + 1), 30, 1)
        self.links.append(Link(lower, upper, rate_mbps))

    def join_routers(self, lower: str, upper: str, rate_mbps: float) -> None:
        low, high = 2 * self._router_links, 2 * self._router_links + 1
        self._router_links += 1
        ends = (self._port(lower, _router_address(low), 31, 0), self._port(upper, _router_address(high), 31, 1))
        self.links.append(Link(ends[0], ends[1], rate_mbps))

    def _port(self, node: str, address: str, prefix_length: int, end: int) -> Port:
        number = self._ports.get(node, 0)
        self._ports[node] = number + 1
        link = len(self.links)
        # 02: locally administered. Fixed addresses let every neighbour be entered for good: no ARP waits in a full data queue.
        mac = f"02:4d:{link >> 16 & 0xFF:02x}:{link >> 8 & 0xFF:02x}:{link & 0xFF:02x}:{end:02x}"
        return Port(node, f"{node}-eth{number}", address, prefix_length, mac)


def _router_address(offset: int) -> str:
    return f"10.{128 + (offset >> 16)}.{offset >> 8 & 0xFF}.{offset & 0xFF}"


def node_link(tree: FatTree, name: str) -> Dict[str, Any]:
    """The fabric in NetworkX node-link form, as the controller reads it."""
    addresses = {link.lower.node: link.lower.address for link in tree.links}
    # A probe is answered from any address of a router.
    answers: Dict[str, List[str]] = {}
    for link in tree.links:
        for port in (link.lower, link.upper):
            answers.setdefault(port.node, []).append(port.address)
    nodes: List[Dict[str, Any]] = []
    for host in tree.hosts:
        pod, edge, _ = host[1:].split("-")
        nodes.append({"id": host, "kind": "host", "address": addresses[host], "rack": f"e{pod}-{edge}", "pod": f"p{pod}"})
    for router in tree.edges:
        nodes.append({"id": router, "kind": "switch", "tier": "edge", "addresses": answers[router], "rack": router, "pod": f"p{router[1:].split('-')[0]}"})
    for router in tree.aggregations:
        nodes.append({"id": router, "kind": "switch", "tier": "aggregation", "addresses": answers[router], "pod": f"p{router[1:].split('-')[0]}"})
    for router in tree.cores:
        nodes.append({"id": router, "kind": "switch", "tier": "core", "addresses": answers[router]})
    links = [
        {"source": link.lower.node, "target": link.upper.node, "rateBitsPerSecond": round(link.rate_mbps * 1_000_000)} for link in tree.links
    ]
    return {"directed": False, "multigraph": False, "graph": {"name": name}, "nodes": nodes, "links": links}
