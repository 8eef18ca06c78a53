"""Route plans of the fat-tree: which next hops each node holds. Pure.

Two plans, by what the kernel can do:

* equal-cost multipath: a router hashes the 5-tuple over its uplinks. Spreads flows, but only where each tier can be told to
  hash different fields (``fib_multipath_hash_policy=3``): with one hash for all tiers, the flows that reach an aggregation
  router are those that the edge's hash sent there, so its own hash sends them all the same way and half of the cores stay idle.
* static two-level routes by destination (Al-Fares et al. §3.3) elsewhere: the destination's index picks the uplink.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple

from mlnet_eval.fat_tree import FatTree, host_subnet, pod_prefix, rack_prefix

# Bits of net.ipv4.fib_multipath_hash_fields: 0x01 source, 0x02 destination, 0x04 protocol, 0x10 source port, 0x20 destination port.
# Edge and aggregation must differ; the core has one path to each pod and only follows suit.
HASH_FIELDS = {"e": 0x37, "a": 0x33, "c": 0x37}

Plan = Dict[str, List["Route"]]


@dataclass(frozen=True)
class Hop:
    """A next hop: the neighbour, its address, and the interface towards it."""

    neighbour: str
    gateway: str
    interface: str


@dataclass(frozen=True)
class Route:
    """A prefix and its equal-cost next hops; none: unreachable, so that strays end here instead of circling."""

    prefix: str
    hops: Tuple[Hop, ...]


def kernel_spreads_by_fields(proc_sys: Path = Path("/proc/sys")) -> bool:
    """Whether this kernel can hash chosen fields; its setting is asked for, as distributions carry features between versions."""
    return (proc_sys / "net/ipv4/fib_multipath_hash_fields").exists()


def plan(tree: FatTree, multipath: bool) -> Plan:
    """The routes of every node: equal-cost multipath, or static by destination."""
    towards = _neighbours(tree)
    routes: Plan = {host: [Route("default", tuple(towards[host].values()))] for host in tree.hosts}
    for pod in range(tree.pods):
        for edge in range(tree.half):
            router = f"e{pod}-{edge}"
            ups = [towards[router][f"a{pod}-{agg}"] for agg in range(tree.half)]
            upward = [Route("default", tuple(ups))] if multipath else _edge_routes(tree, pod, edge, ups)
            routes[router] = upward + [Route(rack_prefix(pod, edge), ())]
        for agg in range(tree.half):
            router = f"a{pod}-{agg}"
            ups = [towards[router][f"c{agg * tree.half + offset}"] for offset in range(tree.half)]
            upward = [Route("default", tuple(ups))] if multipath else _aggregation_routes(tree, pod, agg, ups)
            downward = [Route(rack_prefix(pod, edge), (towards[router][f"e{pod}-{edge}"],)) for edge in range(tree.half)]
            routes[router] = upward + downward + [Route(pod_prefix(pod), ())]
    for core, router in enumerate(tree.cores):
        routes[router] = [Route(pod_prefix(pod), (towards[router][f"a{pod}-{core // tree.half}"],)) for pod in range(tree.pods)]
    return routes


def _edge_routes(tree: FatTree, pod: int, edge: int, ups: List[Hop]) -> List[Route]:
    return [Route(host_subnet(p, e, j), (ups[j % tree.half],)) for p, e, j in _hosts(tree) if (p, e) != (pod, edge)]


def _aggregation_routes(tree: FatTree, pod: int, agg: int, ups: List[Hop]) -> List[Route]:
    # Only hosts of this residue arrive here; their rack and the rest of their index spread them over this router's cores.
    return [
        Route(host_subnet(p, e, j), (ups[(e + j // tree.half) % tree.half],)) for p, e, j in _hosts(tree) if p != pod and j % tree.half == agg
    ]


def _hosts(tree: FatTree) -> List[Tuple[int, int, int]]:
    return [(int(p), int(e), int(j)) for p, e, j in (host[1:].split("-") for host in tree.hosts)]


def _neighbours(tree: FatTree) -> Dict[str, Dict[str, Hop]]:
    towards: Dict[str, Dict[str, Hop]] = {node: {} for node in tree.nodes}
    for link in tree.links:
        for mine, theirs in link.ports():
            towards[mine.node][theirs.node] = Hop(theirs.node, theirs.address, mine.interface)
    return towards


def batch_lines(routes: List[Route], options: str = "") -> List[str]:
    """The routes as lines for ``ip -batch``; options are put behind each route with a single next hop."""
    lines = []
    for route in routes:
        if not route.hops:
            lines.append(f"route add unreachable {route.prefix}")
        elif len(route.hops) == 1:
            lines.append(f"route add {route.prefix} via {route.hops[0].gateway} dev {route.hops[0].interface}{options}")
        else:
            lines.append(f"route add {route.prefix} " + " ".join(f"nexthop via {hop.gateway} dev {hop.interface}" for hop in route.hops))
    return lines
