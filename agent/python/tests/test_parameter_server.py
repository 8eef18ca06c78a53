"""What a parameter server does with gradients. Training with one through real agents is tried beside the agents' own tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mlnet
import numpy as np
import pytest
from mlnet.job import Job
from mlnet.parameter_server import _values
from mlnet.parameters import Layout
from scripted_agent import Peer, Script


def apply(optimiser: Any, values: dict[str, Any], rounds: int = 5) -> dict[str, Any]:
    for number in range(rounds):
        for key, v in values.items():
            optimiser.update(key, v, np.cos(v * (number + 1)).astype(v.dtype))
    return values


def parameters() -> dict[str, Any]:
    return {"a": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), "b": np.linspace(0, 2, 5)}


def test_sgd_by_hand() -> None:
    values = {"a": np.array([1.0, 2.0])}
    optimiser = mlnet.SGD(0.5, momentum=0.5, weight_decay=1.0)
    optimiser.update("a", values["a"], np.array([1.0, 0.0]))  # velocity 2, 2
    assert values["a"].tolist() == [0.0, 1.0]
    optimiser.update("a", values["a"], np.array([1.0, 1.0]))  # velocity 1 + 1 + 0, 1 + 1 + 1
    assert values["a"].tolist() == [-1.0, -0.5]


@pytest.mark.parametrize("mine, theirs", [(lambda: mlnet.SGD(0.1, 0.9, 0.01), ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01})), (lambda: mlnet.Adam(0.01), ("Adam", {"lr": 0.01}))])
def test_optimisers_do_what_those_of_pytorch_do_and_those_are_taken_too(mine: Any, theirs: Any) -> None:
    torch = pytest.importorskip("torch")
    tensors = {key: torch.nn.Parameter(torch.from_numpy(v.copy())) for key, v in parameters().items()}
    name, options = theirs
    values, adapted = _values(tensors, getattr(torch.optim, name)(list(tensors.values()), **options))
    expected = apply(mine(), parameters())
    apply(adapted, values)
    for key, v in expected.items():
        # One parameter's update leaves the others alone, and the tensors are what is served.
        np.testing.assert_allclose(values[key], v, rtol=1e-5, atol=1e-6)
        assert values[key].tobytes() == tensors[key].detach().numpy().tobytes()


def test_tensors_that_the_optimiser_does_not_have_are_refused() -> None:
    torch = pytest.importorskip("torch")
    one, other = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    with pytest.raises(ValueError, match="'w' is not among those of the optimiser"):
        _values({"w": other}, torch.optim.SGD([one], lr=1))
    with pytest.raises(ValueError, match="'w' must be a tensor on the CPU"):
        _values({"w": np.zeros(3)}, torch.optim.SGD([one], lr=1))


def test_streams_of_all_parameters_and_rounds_under_way_are_apart() -> None:
    layout = Layout.of(parameters(), staleness=2)
    under_way = [layout.push_stream(i, r) for i in range(2) for r in range(7, 10)] + [layout.pull_stream(i, v) for i in range(2) for v in range(7, 10)]
    assert sorted(under_way) == list(range(12))
    assert layout.push_stream(1, 7) == layout.push_stream(1, 10)


def test_worker_of_a_job_that_is_withdrawn_before_the_server_serves_hears_it_and_asks_no_more(agent: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    exchange = Job._exchange
    monkeypatch.setattr(Job, "_exchange", lambda job, array, op, stream: asked.append(op) or exchange(job, array, op, stream))

    def script(peer: Peer) -> None:
        peer.admit(world_size=2, server=1)
        peer.give_area()
        peer.receive()
        peer.send(type="closed", code="job-closed", message="job j was withdrawn")

    with pytest.raises(mlnet.JobClosed, match="withdrawn"):
        mlnet.worker("j", socket=agent(script), timeout=1)
    assert asked == ["pull"]


def test_worker_asks_again_after_a_pause_when_another_gave_up(agent: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("mlnet.parameters.time", SimpleNamespace(monotonic=time.monotonic, sleep=pauses.append))

    def script(peer: Peer) -> None:
        peer.admit(world_size=2, server=1)
        peer.give_area()
        for number in range(3):
            assert peer.receive()["round"] == number
            assert len(pauses) == number
            peer.send(type="failed", stream=2**32 - 1, round=number, code="worker-gone", message="rank 1 is gone")
        peer.receive()
        peer.send(type="closed", code="job-closed", message="job j was withdrawn")

    with pytest.raises(mlnet.JobClosed):
        mlnet.worker("j", socket=agent(script), timeout=60)
    assert len(pauses) == 3 and min(pauses) > 0
