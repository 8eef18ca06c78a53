"""Mininet nodes, typed. Mininet is imported when the first node starts, so that scenarios can be read without it."""

from __future__ import annotations

import importlib.util
from typing import Any


def available() -> bool:
    """Whether this Python interpreter finds Mininet."""
    return importlib.util.find_spec("mininet") is not None


def start_node(name: str) -> Any:
    """A Mininet node in a network namespace of its own; its shell inherits this process's environment, the run id with it."""
    from mininet.node import Node

    return Node(name, inNamespace=True)
