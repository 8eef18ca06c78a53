"""The programs as ``./run`` publishes them for hosts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

BINARIES = Path(__file__).parents[2] / ".run" / "bin"


def test_agent_is_one_file_that_starts_and_checks_its_configuration(tmp_path: Path) -> None:
    published = BINARIES / "agent"
    if not (published / "mlnet-agent").exists():
        pytest.fail("the agent is not built; run this by ./run test")
    assert [f.name for f in published.iterdir() if f.suffix in (".dll", ".so", ".json")] == [], "the agent needs more than its one file"
    # A host gets the file alone.
    agent = tmp_path / "mlnet-agent"
    agent.write_bytes((published / "mlnet-agent").read_bytes())
    agent.chmod(0o755)
    settings = ["--Agent:Host=h0", "--Agent:Controllers:0=http://127.0.0.1:1", "--Agent:Interface=lo", "--Agent:DataAddress=127.0.0.1"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(agent), *arguments], capture_output=True, text=True, timeout=60, check=False)

    assert run("--version").returncode == 0
    good = run("--check-config", *settings)
    assert (good.returncode, good.stdout, good.stderr) == (0, "The configuration is good.\n", "")
    bad = run("--check-config", *settings, "--Agent:DataPort=70000")
    assert bad.returncode == 1 and "Agent:DataPort" in bad.stderr
