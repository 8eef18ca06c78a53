"""What the soak makes of what it saw."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from mlnet_eval.rounds_soak import Soak, faults, redone_by_kill
from mlnet_eval.training import JobOutcome

_NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def _at(seconds: float) -> datetime:
    return _NOON + timedelta(seconds=seconds)


def _outcome(name: str, *hashes: str) -> JobOutcome:
    return JobOutcome(name, 1, 2, 10, 4096, 1.0, 0.1, 0.5, 0.5, None, None, hashes)


def test_rounds_tried_again_count_for_the_kill_before_them() -> None:
    assert redone_by_kill([_at(1), _at(5), _at(9)], [_at(1.2), _at(5.1), _at(8.9)]) == (1, 2, 0)


def test_one_round_for_each_kill_is_no_fault_and_two_for_one_are() -> None:
    def seen(*of_each_kill: int, killed: int = 2, calm: int = 0) -> Soak:
        return Soak(2, _outcome("killed", "a"), _outcome("calm", "b"), {"killed": killed + 1, "calm": calm}, {"killed": killed, "calm": calm}, of_each_kill)

    assert faults(seen(1, 1)) == []
    assert faults(seen(2, 0)) == ["2 rounds were redone for kill 1"]
    assert faults(seen(1, 0)) == ["1 rounds were redone before the first kill"]
    assert faults(seen(1, 1, calm=1)) == ["1 rounds of the job on other hosts were tried again"]


def test_workers_that_differ_are_a_fault() -> None:
    assert faults(Soak(0, _outcome("killed", "a", "b"), _outcome("calm", "b"), {"killed": 0, "calm": 0}, {"killed": 0, "calm": 0}, ())) == ["workers of killed have different results: 2 kinds"]
