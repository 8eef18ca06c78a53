"""Lower bounds of a job's communication time, from raw link rates alone.

No plan can beat them: every host must send and receive its share, and every rack's and pod's uplinks must carry theirs, in each direction
(push and pull together).
"""

from __future__ import annotations

from typing import Mapping, Sequence, Tuple

from .scenario import FabricShape


def pod_and_rack(host: str) -> Tuple[str, str]:
    """``h1-0-3`` is in pod ``1`` and rack ``1-0``."""
    pod, edge, _ = host[1:].split("-")
    return pod, f"{pod}-{edge}"


def round_bound_seconds(shape: FabricShape, workers: Sequence[str], message_bytes: int, helpers: Sequence[str] = ()) -> float:
    """Seconds that a round of ``message_bytes`` needs at least, one worker per entry of ``workers``; hosts of ``helpers`` may sum too."""
    hosts, idle = set(workers), set(helpers) - set(workers)
    bits = message_bytes * 8
    half = shape.k // 2  # uplinks of an edge and of an aggregation switch
    host_rate = shape.host_mbps * 1e6
    rack_rate = shape.rack_uplink_mbps * 1e6 * half
    pod_rate = shape.core_mbps * 1e6 * half * half
    racks, idle_racks = ({pod_and_rack(h)[1] for h in group} for group in (hosts, idle))
    pods, idle_pods = ({pod_and_rack(h)[0] for h in group} for group in (hosts, idle))
    return max(
        least_copies(len(hosts), len(idle)) * bits / host_rate,
        least_copies(len(racks), len(idle_racks - racks)) * bits / rack_rate,
        least_copies(len(pods), len(idle_pods - pods)) * bits / pod_rate)


def least_copies(sites: int, idle: int = 0) -> float:
    """Copies of the message that the busiest of equal sites sends at least, sums and results together.

    A tree over ``sites`` crosses between them ``sites - 1`` times each way; with ``idle`` sites that only help it is what Y. Jiang et al. found, "A
    Unified Architecture for Accelerating Distributed DNN Training in Heterogeneous GPU/CPU Clusters" (BytePS), OSDI 2020: 2n(n-1)/(n^2 + kn - 2k),
    for k up to n. Every site sends its own part once in any case.
    """
    if sites < 2:
        return 0.0
    n, k = sites, min(idle, sites)
    return max(1.0, 2 * n * (n - 1) / (n * n + k * n - 2 * k))


def serial_seconds(link_bytes: Mapping[Tuple[str, str], int], rates_bits_per_second: Mapping[Tuple[str, str], float]) -> Tuple[float, Tuple[str, str]]:
    """The longest time that any one link needs for what it carried, and that link."""
    worst = max(link_bytes, key=lambda link: link_bytes[link] / rates_bits_per_second[link])
    return link_bytes[worst] * 8 / rates_bits_per_second[worst], worst
