"""Mininet nodes that carry the run id."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from mininet.node import Node

from mlnet_eval.run_lock import RUN_ID_VARIABLE


class _FabricNode(Node):  # type: ignore[misc]  # Mininet has no type information
    """A Mininet node whose shell, and all that the shell starts, has the run id in its environment from its first moment."""

    def __init__(self, name: str, run_id: str) -> None:
        self._run_id = run_id
        super().__init__(name, inNamespace=True)

    def _popen(self, cmd: Any, **params: Any) -> Any:
        environment = {**(params.pop("env", None) or os.environ), RUN_ID_VARIABLE: self._run_id}
        return subprocess.Popen(cmd, env=environment, **params)


def start_node(name: str, run_id: str) -> Any:
    """A node in a network namespace of its own."""
    return _FabricNode(name, run_id)
