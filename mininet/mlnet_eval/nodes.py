"""Mininet nodes, typed."""

from __future__ import annotations

from typing import Any

from mininet.node import Node


def start_node(name: str) -> Any:
    """A Mininet node in a network namespace of its own; its shell inherits this process's environment, the run id with it."""
    return Node(name, inNamespace=True)
