"""The management network: how hosts reach the controller, apart from the fabric under test.

A bridge in the root namespace with one isolated port per host: hosts reach the root namespace and not each other. The root
namespace itself has no way into the fabric, so a measured byte is never one that took a short cut.
"""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
from pathlib import Path
from typing import Dict, List, Optional

from mlnet_eval.cleanup import LINK_GROUP, LINK_PREFIX, ROUTE_PROTOCOL
from mlnet_eval.fat_tree import FatTree, pod_prefix, router_link_prefix

# RFC 2544 sets 198.18.0.0/15 apart for benchmarks of network devices: nobody's real network.
NETWORK = ipaddress.ip_network("198.18.0.0/16")
CONTROLLER_ADDRESS = "198.18.0.1"
BRIDGE = LINK_PREFIX + "bridge"
_FIRST_HOST = 257  # 198.18.1.1 on, so that the controller's neighbourhood stays free


def host_address(index: int) -> str:
    """Management address of the host with this index."""
    return str(NETWORK[_FIRST_HOST + index])


def host_interface(host: str) -> str:
    """The management interface within a host."""
    return f"{host}-mgmt"


def conflicting_address() -> Optional[str]:
    """An address of this machine that lies in the management network; None when it is free."""
    listing = subprocess.run(["ip", "-j", "-4", "address", "show"], capture_output=True, text=True, check=True).stdout
    for link in json.loads(listing or "[]"):
        for entry in link.get("addr_info", []):
            if ipaddress.ip_network(f"{entry['local']}/{entry['prefixlen']}", strict=False).overlaps(NETWORK):
                return f"{entry['local']}/{entry['prefixlen']} on {link['ifname']}"
    return None


def barred_peer(tree: FatTree) -> Optional[str]:
    """Something this machine talks to whose address the emulated hosts would take; None when there is nothing."""
    used = [(word, "name server") for line in _lines("/etc/resolv.conf") for key, *words in [line.split() or [""]] if key == "nameserver" for word in words[:1]]
    used += [(word, "peer of this login") for word in os.environ.get("SSH_CONNECTION", "").split()[:1]]
    listing = subprocess.run(["ip", "-j", "-4", "route", "show"], capture_output=True, text=True, check=True).stdout
    used += [(route["gateway"], "gateway") for route in json.loads(listing or "[]") if "gateway" in route]
    prefixes = [ipaddress.ip_network(prefix) for prefix in _barred_prefixes(tree)]
    for text, what in used:
        try:
            address = ipaddress.ip_address(text.split("%")[0])
        except ValueError:
            continue
        for prefix in prefixes:
            if address in prefix:
                return f"{what} {address} of this machine lies in {prefix}"
    return None


def _lines(path: str) -> List[str]:
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return []


def _barred_prefixes(tree: FatTree) -> List[str]:
    links = sum(1 for link in tree.links if not link.lower.node.startswith("h"))
    return [pod_prefix(pod) for pod in range(tree.pods)] + [router_link_prefix(links)]


def root_lines(tree: FatTree) -> List[str]:
    """Bridge and barrier routes of the root namespace, as lines for ``ip -batch``.

    Only the prefixes in use are barred, not all of 10/8: the machine's own name server may live there. The high metric lets
    a route that the machine already has for the same prefix stand.
    """
    return [f"route add unreachable {prefix} metric 9999 proto {ROUTE_PROTOCOL}" for prefix in _barred_prefixes(tree)] + [
        f"link add name {BRIDGE} group {LINK_GROUP} type bridge mcast_snooping 0",
        f"address add {CONTROLLER_ADDRESS}/{NETWORK.prefixlen} dev {BRIDGE}",
        f"link set dev {BRIDGE} up",
    ]


def port_lines(hosts: List[str], pids: Dict[str, int]) -> List[str]:
    """One isolated bridge port per host."""
    lines = []
    for host in hosts:
        port = LINK_PREFIX + host
        lines += [
            f"link add name {port} group {LINK_GROUP} type veth peer name {host_interface(host)} netns {pids[host]}",
            f"link set dev {port} addrgenmode none master {BRIDGE}",
            f"link set dev {port} type bridge_slave isolated on",
            f"link set dev {port} up",
        ]
    return lines


def host_lines(host: str, index: int) -> List[str]:
    """The host's side."""
    return [
        f"address add {host_address(index)}/{NETWORK.prefixlen} dev {host_interface(host)}",
        f"link set dev {host_interface(host)} up",
    ]


def silence_ipv6(interface: str) -> None:
    """Turns IPv6 off on an interface of the root namespace, where the kernel has it."""
    setting = Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6")
    if setting.exists():
        setting.write_text("1")
