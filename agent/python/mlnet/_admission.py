"""How a worker asks its agent to be let into a job."""

from __future__ import annotations

from typing import Any

from ._connection import Connection
from .errors import NotReady, UnknownJob, from_code

_PROTOCOL = 2


def request_to_join(name: str, rank: int | None, role: str | None) -> dict[str, Any]:
    request: dict[str, Any] = {"type": "join", "protocol": _PROTOCOL, "job": name}
    if rank is not None:
        request["rank"] = rank
    if role is not None:
        request["role"] = role
    return request


def admitted(connection: Connection, name: str, deadline: float, timeout: float) -> dict[str, Any]:
    waiting: dict[str, Any] = {"code": "unknown-job", "message": "the agent did not answer"}
    while True:
        message = connection.receive(deadline)
        if message is None:
            kind = UnknownJob if waiting.get("code") == "unknown-job" else NotReady
            raise kind(f"{waiting['message']} (waited {timeout:g} s)")
        if message["type"] == "waiting":
            waiting = message
        elif message["type"] == "joined":
            return message
        elif message["type"] in ("refused", "closed"):
            raise from_code(str(message.get("code")), str(message.get("message")))
