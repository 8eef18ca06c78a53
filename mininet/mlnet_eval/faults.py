"""Faults that a fabric can be given, as nftables rules in a router's own namespace; they go with it."""

from __future__ import annotations


def dscp_table(interface: str) -> str:
    """The table of ours that changes marks of what arrives on an interface."""
    # In the names of tables nft takes letters, digits and '_' everywhere, '-' not in every version.
    return "mlnet_fault_" + interface.replace("-", "_")


def clear_dscp(interface: str) -> str:
    """Rules for ``nft -f`` that set everything that arrives on an interface to forward back to best effort (CS0); ECN bits stay."""
    return _change(interface, "ip dscp set cs0")


def rewrite_dscp(interface: str, sent: str, arrives: str) -> str:
    """Rules that make one code point another, such as ``af41`` to ``cs1``, and leave the others; ECN bits stay."""
    return _change(interface, f"ip dscp {sent.lower()} ip dscp set {arrives.lower()}")


def _change(interface: str, rule: str) -> str:
    return (
        f"table ip {dscp_table(interface)} {{\n"
        "  chain forward {\n"
        "    type filter hook forward priority 0; policy accept;\n"
        f'    iifname "{interface}" {rule}\n'
        "  }\n"
        "}\n"
    )


def restore_dscp(interface: str) -> str:
    """Rules that undo it. Adding the table first makes the deletion good whether or not it is there."""
    return f"add table ip {dscp_table(interface)}\ndelete table ip {dscp_table(interface)}\n"
