"""The worker that goes through the motions of a training job."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from mlnet_eval import replay
from mlnet_eval.trainer import await_start


@pytest.mark.parametrize("world_size", [1, 2, 7])
@pytest.mark.parametrize("number", [0, 6, 100])
def test_total_is_the_exact_sum_of_all_contributions(world_size: int, number: int) -> None:
    parts = [replay.contribution(1_000, rank, number) for rank in range(world_size)]

    assert np.array_equal(sum(part.astype(np.float64) for part in parts), replay.total(1_000, world_size, number))


def test_contributions_differ_by_rank_and_round() -> None:
    assert not np.array_equal(replay.contribution(10, 0, 0), replay.contribution(10, 1, 0))
    assert not np.array_equal(replay.contribution(10, 0, 0), replay.contribution(10, 0, 1))


def test_await_start_counts_from_the_files_time(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.touch()
    os.utime(go, (time.time() - 60, time.time() - 60))
    begun = time.monotonic()
    await_start(go, 60.2)

    assert time.monotonic() - begun >= 0.15


def test_bytes_that_are_no_floats_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        replay.main(["--bytes", "6", "--rounds", "1", "--result", str(tmp_path / "r")])
    assert "--bytes 6: must be a multiple of 4" in capsys.readouterr().err
