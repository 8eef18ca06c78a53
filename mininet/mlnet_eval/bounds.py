"""Lower bounds of a job's communication time, from raw link rates alone.

No plan can beat them without helpers: every host must send and receive its share, and every rack's and pod's uplinks must carry
one copy less than there are racks and pods, in each direction (push and pull together).
"""

from __future__ import annotations

from collections import Counter
from typing import Mapping, Sequence, Tuple

from .scenario import FabricShape


def pod_and_rack(host: str) -> Tuple[str, str]:
    """``h1-0-3`` is in pod ``1`` and rack ``1-0``."""
    pod, edge, _ = host[1:].split("-")
    return pod, f"{pod}-{edge}"


def round_bound_seconds(shape: FabricShape, workers: Sequence[str], message_bytes: int) -> float:
    """Seconds that a round of ``message_bytes`` needs at least, one worker per entry of ``workers``."""
    hosts = sorted(set(workers))
    racks = Counter(pod_and_rack(h)[1] for h in hosts)
    pods = Counter(pod_and_rack(h)[0] for h in hosts)
    bits = message_bytes * 8
    half = shape.k // 2  # uplinks of an edge and of an aggregation switch
    host_rate = shape.host_mbps * 1e6
    rack_rate = shape.rack_uplink_mbps * 1e6 * half
    pod_rate = shape.core_mbps * 1e6 * half * half

    def share(parts: int) -> float:
        return 2 * (parts - 1) / parts if parts > 1 else 0.0

    return max(share(len(hosts)) * bits / host_rate, share(len(racks)) * bits / rack_rate, share(len(pods)) * bits / pod_rate)


def serial_seconds(link_bytes: Mapping[Tuple[str, str], int], rates_bits_per_second: Mapping[Tuple[str, str], float]) -> Tuple[float, Tuple[str, str]]:
    """The longest time that any one link needs for what it carried, and that link."""
    worst = max(link_bytes, key=lambda link: link_bytes[link] / rates_bits_per_second[link])
    return link_bytes[worst] * 8 / rates_bits_per_second[worst], worst
