"""The fabric on a kernel that cannot hash chosen fields: static routes by destination."""

from __future__ import annotations

import os

import pytest
from traffic import added, echo_services, transfer, unanswered_pairs

from mlnet_eval.fabric import Fabric
from mlnet_eval.scenario import FabricShape

pytestmark = pytest.mark.root


def test_static_routes_join_all_hosts_and_use_every_core() -> None:
    fabric = Fabric(FabricShape(20, 20, 20, k=4, pods=2, hosts_per_rack=2), f"test-{os.getpid()}")
    fabric.multipath = False
    with fabric:
        with echo_services(fabric):
            assert unanswered_pairs(fabric) == []
        before = fabric.link_bytes()

        transfer(fabric, [("h0-0-0", "h1-0-0"), ("h0-0-1", "h1-0-1"), ("h0-1-0", "h1-1-0"), ("h0-1-1", "h1-1-1")], connections=2, size=100_000)

        grown = added(fabric.link_bytes(), before)
        cores = [sum(sent for (start, end), sent in grown.items() if end == core and start.startswith("a0")) for core in fabric.tree.cores]
        assert all(200_000 < sent < 240_000 for sent in cores), cores
