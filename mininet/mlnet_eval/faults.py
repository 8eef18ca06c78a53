"""Faults that a fabric can be given, as nftables rules in a router's own namespace; they go with it."""

from __future__ import annotations


def dscp_table(interface: str) -> str:
    """The table of ours that clears what arrives on an interface."""
    # In the names of tables nft takes letters, digits and '_' everywhere, '-' not in every version.
    return "mlnet_fault_" + interface.replace("-", "_")


def clear_dscp(interface: str) -> str:
    """Rules for ``nft -f`` that set everything that arrives on an interface to forward back to best effort (CS0); ECN bits stay."""
    return (
        f"table ip {dscp_table(interface)} {{\n"
        "  chain forward {\n"
        "    type filter hook forward priority 0; policy accept;\n"
        f'    iifname "{interface}" ip dscp set cs0\n'
        "  }\n"
        "}\n"
    )


def restore_dscp(interface: str) -> str:
    """Rules that undo it. Adding the table first makes the deletion good whether or not it is there."""
    return f"add table ip {dscp_table(interface)}\ndelete table ip {dscp_table(interface)}\n"
