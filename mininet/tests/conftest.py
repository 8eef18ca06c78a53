"""What all tests of the emulation share."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "root: needs root, Mininet and the kernel's network namespaces")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") is None:
        return
    lacking = []
    if os.geteuid() != 0:
        lacking.append("root")
    lacking += [tool for tool in ("mnexec", "ip", "tc", "nft", "iperf3") if shutil.which(tool) is None]
    if lacking:
        reason = "needs " + ", ".join(lacking)
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{reason}; in CI nothing may be left out", pytrace=False)
        pytest.skip(reason)
