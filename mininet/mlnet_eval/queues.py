"""The queue of a port: a rate, and the classes of the priority ladder within it. Pure; renders lines for ``tc -batch``.

HTB with u32 filters, because every kernel tried has them: strict order among the classes for what they borrow, and a
guaranteed floor each, so that no class starves. Work-conserving: an idle class costs the others nothing.
"""

from __future__ import annotations

from typing import List, Tuple

# Highest first, as the controller's standard ladder: signalling, the four marked job levels, everything unmarked, and
# less than best effort (RFC 8622). Any other code point is served as CS0.
LADDER: Tuple[Tuple[str, int], ...] = (("CS5", 40), ("AF41", 34), ("AF31", 26), ("AF21", 18), ("AF11", 10), ("CS0", 0), ("LE", 1))
FLOOR = 0.05  # of the port's rate, for each class

# A router's queue per class: a hundred full frames, 120 ms at 10 Mbit/s. Real ports hold more frames and drain them sooner; but
# frames cannot be scaled down with the rates, and each flow needs a few in flight. With the 96 flows that a sharded server of 16
# hosts puts on one 10 Mbit/s uplink, 60 kB made TCP send 7.5 % of its segments twice, this 5 %, 1 MB 0.6 %, at equal goodput.
ROUTER_QUEUE_BYTES = 150_000

# A host's own queue must never drop: a local drop is counted by TCP as sent, yet nobody sees it leave. TCP small queues keep
# each socket to about two segments (of at most GSO_BYTES) here, so this holds several hundred sockets.
HOST_QUEUE_BYTES = 4_000_000

# Largest segment a host hands to its port. With the default 64 kB one segment would fill a router's queue.
GSO_BYTES = 6_000

_FRAME_BYTES = 1_514
_BURST_BYTES = 3_200  # two frames: the rate holds within a frame or two


def batch_lines(interface: str, rate_mbps: float, queue_bytes: int) -> List[str]:
    """Lines that give an interface its rate and classes."""
    rate = round(rate_mbps * 1_000_000)
    floor = round(rate * FLOOR)
    shape = f"ceil {rate}bit burst {_BURST_BYTES} cburst {_BURST_BYTES}"
    default = _minor([name for name, _ in LADDER].index("CS0"))
    lines = [
        f"qdisc add dev {interface} root handle 1: htb default {default}",
        f"class add dev {interface} parent 1: classid 1:1 htb rate {rate}bit {shape} quantum {_FRAME_BYTES}",
    ]
    for order, (name, dscp) in enumerate(LADDER):
        minor = _minor(order)
        lines.append(f"class add dev {interface} parent 1:1 classid 1:{minor} htb rate {floor}bit {shape} prio {order} quantum {_FRAME_BYTES}")
        lines.append(f"qdisc add dev {interface} parent 1:{minor} handle {minor}: bfifo limit {queue_bytes}")
        if name != "CS0":
            lines.append(
                f"filter add dev {interface} parent 1: protocol ip prio 1 u32 match ip dsfield {dscp << 2:#04x} 0xfc flowid 1:{minor}"
            )
    return lines


def _minor(order: int) -> int:
    return 10 + order
