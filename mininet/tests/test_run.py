"""The one command: where it looks for files, what it builds again, and what it hands to root."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "run"


def program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of a few files with a dotnet whose builds take no time."""
    top = tmp_path / "checkout"
    for folder in ("controller/MLNet.SDN.Cli", "agent/MLNet.SDN.Agent", "agent/MLNet.SDN.Aggregation", "tests/MLNet.SDN.Benchmarks", "mininet/mlnet_eval"):
        (top / folder).mkdir(parents=True)
        (top / folder / "source").touch()
    for file in ("Directory.Build.props", "Directory.Packages.props", "global.json"):
        (top / file).touch()
    shutil.copy(RUN, top / "run")
    (top / "mininet/mlnet_eval/ownership.py").touch()
    # What stands for the build: it notes that it ran, lets a test change a source meanwhile, and makes a program that says where it runs.
    program(top / "tools/dotnet", f"""[ "$1" = publish ] || exit 0
echo build >>{top}/builds
while [ "$1" != -o ]; do shift; done
mkdir -p "$2"; printf '#!/bin/sh\\npwd; echo "$*"\\n' >"$2/mlnetctl"; chmod +x "$2/mlnetctl"
sh -c "$DURING_BUILD"; mkdir -p {top}/controller/MLNet.SDN.Cli/obj""")
    return top


def run(checkout: Path, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / "run"), *arguments], cwd=cwd or checkout, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PATH": f"{checkout / 'tools'}:{os.environ['PATH']}", **environment})


def builds(checkout: Path) -> int:
    return len((checkout / "builds").read_text().splitlines())


def test_simulate_runs_where_the_caller_is(checkout: Path, tmp_path: Path) -> None:
    done = run(checkout, "simulate", "my.json", "--json", "out.json", cwd=tmp_path)
    assert done.stdout.splitlines() == [str(tmp_path), "simulate my.json --json out.json"], done.stderr


def test_builds_again_only_what_changed(checkout: Path) -> None:
    source = checkout / "controller/MLNet.SDN.Cli/source"
    for expected in (1, 1):  # what a build leaves beside the sources is none of them
        run(checkout, "simulate", "x")
        assert builds(checkout) == expected
    time.sleep(0.02)
    source.write_text("changed")
    run(checkout, "simulate", "x")
    assert builds(checkout) == 2
    source.unlink()
    run(checkout, "simulate", "x")
    assert builds(checkout) == 3, "a deleted file was not noticed"
    run(checkout, "simulate", "x")
    assert builds(checkout) == 3


def test_what_is_saved_during_a_build_is_built_again(checkout: Path) -> None:
    run(checkout, "simulate", "x", DURING_BUILD=f"sleep 0.05; echo new >{checkout}/agent/MLNet.SDN.Agent/source")
    run(checkout, "simulate", "x")
    assert builds(checkout) == 2
    run(checkout, "simulate", "x")
    assert builds(checkout) == 2


def test_root_finds_the_callers_dotnet(checkout: Path, tmp_path: Path) -> None:
    # A user's sudo: an environment of its own but for what it is told to keep.
    program(checkout / "tools/id", "echo 1000")
    program(checkout / "tools/sudo", """keep=${1#--preserve-env=}; shift; set -- /usr/bin/env "$@"
echo "$PWD"
IFS=,; for name in $keep; do eval "value=\\${$name-unset}"; [ "$value" = unset ] || echo "$name=$value"; done; echo "${2##*/} $3 $4" """)
    done = run(checkout, "demo", "my.json", cwd=tmp_path, DOTNET_ROOT="/home/user/.dotnet")
    lines = done.stdout.splitlines()
    assert lines[0] == str(tmp_path) and lines[-1] == "run demo my.json", done.stderr
    assert "DOTNET_ROOT=/home/user/.dotnet" in lines
    folders = next(line for line in lines if line.startswith("MLNET_RUN_PATH="))
    assert str(checkout / "tools") in folders.split("=")[1].split(":") and "/usr/bin" not in folders.split("=")[1].split(":")

    # What root then sees first is the caller's.
    (checkout / "tools/id").unlink()
    done = run(checkout, "simulate", "x", PATH="/usr/sbin:/usr/bin:/sbin:/bin", MLNET_RUN_PATH=str(checkout / "tools"))
    assert done.returncode == 0 and builds(checkout) == 1, done.stderr
