"""What root leaves in a user's folder goes back to the user, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlnet_eval.ownership import give_back

pytestmark = pytest.mark.root

USER, OTHER = 64_001, 64_002


def owner(path: Path) -> int:
    return path.lstat().st_uid


def test_only_what_is_roots_inside_changes_hands(tmp_path: Path) -> None:
    checkout, outside = tmp_path / "checkout", tmp_path / "outside"
    (checkout / ".run" / "bin").mkdir(parents=True)
    outside.mkdir()
    for path in (checkout / ".run" / "bin" / "agent", checkout / ".run" / "other", checkout / "mine", outside / "file"):
        path.write_text("x")
    (checkout / "link").symlink_to(outside)
    (checkout / "shared").hardlink_to(outside / "file")
    os.chown(checkout, USER, USER)
    os.chown(checkout / ".run" / "other", OTHER, OTHER)

    give_back(checkout)

    assert {owner(p) for p in (checkout / ".run", checkout / ".run" / "bin", checkout / ".run" / "bin" / "agent", checkout / "mine", checkout / "link")} == {USER}
    assert owner(checkout / ".run" / "other") == OTHER
    assert {owner(outside), owner(outside / "file")} == {0}
    assert give_back(checkout) == 0


def test_in_a_folder_of_roots_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.chown(tmp_path / "file", OTHER, OTHER)

    assert give_back(tmp_path) == 0
    assert owner(tmp_path / "file") == OTHER


def test_a_file_system_that_refuses_keeps_no_result_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.chown(tmp_path, USER, USER)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)

    assert give_back(tmp_path) == 0
