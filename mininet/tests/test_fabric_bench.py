"""The bound of the fabric benchmark's rows, and what makes a row hold."""

from __future__ import annotations

import pytest

from mlnet_eval.bounds import least_copies, round_bound_seconds
from mlnet_eval.fabric_bench import FABRICS, Measured, Row, all_rows, joined, reported


@pytest.mark.parametrize("fabric, workers, seconds", [("full", 4, 2.52), ("full", 8, 2.94), ("full", 16, 3.15), ("41", 4, 3.36), ("41", 8, 5.03), ("41", 16, 5.87)])
def test_bound_counts_hosts_racks_and_pods(fabric: str, workers: int, seconds: float) -> None:
    assert Row(fabric, 4, workers, "aligned").bound_seconds() == pytest.approx(seconds, abs=0.005)


def test_shuffled_ranks_stand_on_the_same_hosts() -> None:
    aligned, shuffled = Row("full", 1, 8, "aligned"), Row("full", 1, 8, "shuffled")
    assert aligned.hosts() != shuffled.hosts()
    assert sorted(aligned.hosts()) == sorted(shuffled.hosts())
    assert aligned.bound_seconds() == shuffled.bound_seconds()


def test_helpers_lower_the_bound_to_one_copy_at_most() -> None:
    assert least_copies(8) == 2 * 7 / 8
    assert least_copies(8, 8) == 1
    assert least_copies(8, 100) == 1
    assert 1 < least_copies(8, 4) < least_copies(8, 1) < least_copies(8)
    assert least_copies(1, 5) == 0


def test_helpers_in_a_workers_rack_do_not_widen_its_uplinks() -> None:
    shape = FABRICS["41"]
    spread = [f"h{pod}-{rack}-0" for pod in range(4) for rack in range(2)]
    beside = [f"h{pod}-{rack}-1" for pod in range(4) for rack in range(2)]
    assert round_bound_seconds(shape, spread, 1 << 20, beside) == round_bound_seconds(shape, spread, 1 << 20)


def test_a_row_holds_when_every_limit_does() -> None:
    row = Row("full", 4, 16, "aligned")
    bound = row.bound_seconds()

    def held(over_bound: float, over_peer: float, busy: float) -> float:
        ours = [over_bound * bound] * 3
        return float(reported(row, Measured(ours, [s / over_peer for s in ours], [busy] * 3, [0.2] * 3))["held"])

    assert held(1.19, 1.07, 0.5) <= 1
    assert held(1.21, 1.07, 0.5) > 1
    assert held(1.19, 1.09, 0.5) > 1
    assert held(1.19, 1.07, 0.86) > 1


def test_a_table_measured_in_parts_has_each_row_once_in_order() -> None:
    first, second, third = ({"row": row.name, "seconds": 1.0} for row in all_rows()[:3])
    again = {**second, "seconds": 2.0}
    assert joined([third, second], [again, first]) == [first, again, third]
    assert joined([], [third]) == [third]


def test_rows_have_names_of_their_own() -> None:
    names = [row.name for row in all_rows()]
    assert len(set(names)) == len(names) == 28
