"""What tests of the library share."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_agent import Peer, Script


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the surroundings of the tests say is not what they are about."""
    for name in list(os.environ):
        if name.startswith(("MLNET_", "SLURM_", "OMPI_", "TORCHELASTIC_")) or name in ("RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Callable[[Script], str]]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = str(tmp_path / "agent.sock")
    faults: list[BaseException] = []
    threads: list[threading.Thread] = []

    def run(script: Script) -> None:
        try:
            connection, _ = listener.accept()
            peer = Peer(connection)
            script(peer)
            peer.close()
        except BaseException as fault:  # reported by the fixture, in the test's thread
            faults.append(fault)

    def start(script: Script) -> str:
        listener.bind(path)
        listener.listen()
        threads.append(threading.Thread(target=run, args=(script,)))
        threads[0].start()
        return path

    yield start
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    listener.close()
    assert faults == []
