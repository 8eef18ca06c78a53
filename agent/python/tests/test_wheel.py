"""The library as it is handed out: a wheel that builds from this folder, installs into a virtual environment and imports."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_SOURCE = Path(__file__).parents[1]


def test_wheel_builds_installs_and_imports(tmp_path: Path) -> None:
    missing = [name for name in ("pip", "setuptools", "wheel", "venv") if importlib.util.find_spec(name) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"{', '.join(missing)} missing for {sys.executable}: apt-get install {' '.join(f'python3-{name}' for name in missing)}")
    source = tmp_path / "source"  # setuptools leaves its traces where it builds
    shutil.copytree(_SOURCE, source, ignore=shutil.ignore_patterns("tests", "__pycache__", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)])
    (wheel,) = tmp_path.glob("mlnet-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"mlnet/__init__.py", "mlnet/torch.py", "mlnet/py.typed"} <= set(names)

    environment = tmp_path / "venv"
    _run([sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", str(environment)])
    python = environment / "bin" / "python"
    _run([*pip, "--python", str(python), "install", "--no-index", "--no-deps", str(wheel)])
    found = _run([str(python), "-I", "-c", "import mlnet; print(mlnet.__file__, mlnet.join.__doc__ is not None, mlnet.__version__)"]).split()
    assert Path(found[0]).is_relative_to(environment)
    assert found[1:] == ["True", wheel.name.split("-")[1]]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout
