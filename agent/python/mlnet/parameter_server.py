"""The parameter server of a job."""

from __future__ import annotations

import queue
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from .errors import RoundFailed
from .job import Job
from .joining import join_as
from .optimisers import Optimiser
from .parameters import CONTROL, Layout
from .reduction import Reduction

OnUpdate = Callable[[str, int], None]
_News = tuple[Optional[int], int, Reduction[Any]]  # a parameter's index, or None for the goodbye; the round


class _Torch:
    """An optimiser of PyTorch, one parameter at a time: it leaves those without gradient alone."""

    def __init__(self, optimiser: Any, tensors: Mapping[str, Any]) -> None:
        import torch

        known = {id(p) for group in optimiser.param_groups for p in group["params"]}
        for key, tensor in tensors.items():
            if not isinstance(tensor, torch.Tensor) or tensor.device.type != "cpu":
                raise ValueError(f"parameter {key!r} must be a tensor on the CPU for an optimiser of PyTorch")
            if id(tensor) not in known:
                raise ValueError(f"parameter {key!r} is not among those of the optimiser")
        self._torch = torch
        self._optimiser = optimiser
        self._tensors = tensors
        for tensor in tensors.values():
            tensor.grad = None

    def update(self, key: str, values: npt.NDArray[Any], gradient: npt.NDArray[Any]) -> None:
        tensor = self._tensors[key]
        tensor.grad = self._torch.from_numpy(gradient)
        self._optimiser.step()
        tensor.grad = None


class _Rounds(ABC):
    """What every way of serving has: the parameters, and the optimiser's step once gradients are here."""

    def __init__(self, job: Job, layout: Layout, values: Mapping[str, npt.NDArray[Any]], optimiser: Optimiser, average: bool, on_update: OnUpdate | None) -> None:
        self._job = job
        self._layout = layout
        self._values = [values[p.key] for p in layout.parameters]
        self._gradients = [np.empty(p.shape, p.dtype) for p in layout.parameters]
        self._optimiser = optimiser
        self._average = average
        self._on_update = on_update
        self._applied = [0] * len(layout.parameters)

    @abstractmethod
    def run(self) -> None:
        """Serves until all workers have said goodbye."""

    def _apply(self, index: int, total: npt.NDArray[Any], gradients: float) -> None:
        """One step with the sum of so many gradients."""
        parameter, gradient = self._layout.parameters[index], self._gradients[index]
        np.divide(total.reshape(parameter.shape), gradients if self._average else 1, out=gradient)
        self._optimiser.update(parameter.key, self._values[index], gradient)
        self._applied[index] += 1
        if self._on_update is not None:
            self._on_update(parameter.key, self._applied[index])


class _SynchronousServer(_Rounds):
    """Each round has a gradient of every worker."""

    def __init__(self, job: Job, layout: Layout, values: Mapping[str, npt.NDArray[Any]], optimiser: Optimiser, average: bool, on_update: OnUpdate | None) -> None:
        super().__init__(job, layout, values, optimiser, average, on_update)
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        self._early: list[dict[int, Reduction[Any]]] = [{} for _ in layout.parameters]
        self._published: dict[int, Reduction[Any]] = {}
        self._least: list[int] | None = None  # rounds that all workers pushed, once all have said goodbye
        self._most: list[int] = []

    def run(self) -> None:
        self._layout.announce(self._job)
        clocks = np.full(2 * len(self._values), np.iinfo(np.int64).max, np.int64)
        self._expect(None, 0, self._job._exchange(clocks, "min", CONTROL))
        for parameter in range(len(self._values)):
            for number in range(self._layout.width):
                self._await_push(parameter, number)
            self._publish(parameter, 0)
        failed: list[tuple[int, int, RoundFailed]] = []
        while self._least is None or self._applied != self._least:
            index, number, reduction = self._news.get()
            try:
                result = reduction.wait()
            except RoundFailed as error:
                # A worker that has said goodbye is gone too: so end the rounds that nobody means to finish. Whether all have is for the round of goodbyes to
                # say, which fails with the first that goes without.
                if index is None:
                    raise
                failed.append((index, number, error))
            else:
                self._take(index, number, reduction, result)
            for parameter, of, why in failed:
                if self._least is not None and of < self._least[parameter]:
                    raise why
        uneven = [(p.key, least, most) for p, least, most in zip(self._layout.parameters, self._least, self._most) if least != most]
        if uneven:
            key, least, most = uneven[0]
            raise RoundFailed(f"some workers pushed {key!r} {most} times and others {least} times: the rounds from {least} on were not applied")

    def _take(self, index: int | None, number: int, reduction: Reduction[Any], result: npt.NDArray[Any]) -> None:
        if index is None:
            self._least = [int(v) for v in result[: len(self._values)]]
            self._most = [-int(v) for v in result[len(self._values) :]]
            return
        early = self._early[index]
        early[number] = reduction
        while (applied := self._applied[index]) in early:
            self._apply(index, early.pop(applied).wait(), self._job.world_size)
            self._publish(index, applied + 1)
            self._await_push(index, applied + self._layout.width)

    def _await_push(self, index: int, number: int) -> None:
        parameter = self._layout.parameters[index]
        stream = self._layout.push_stream(index, number)
        self._expect(index, number, self._job._exchange(self._job.contribution(parameter.count, parameter.dtype, stream), "push", stream))

    def _publish(self, index: int, version: int) -> None:
        parameter = self._layout.parameters[index]
        stream = self._layout.pull_stream(index, version)
        if stream in self._published:
            self._published[stream].wait()
        place = self._job.contribution(parameter.count, parameter.dtype, stream)
        place.reshape(parameter.shape)[...] = self._values[index]
        self._published[stream] = self._job._exchange(place, "pull", stream)

    def _expect(self, index: int | None, number: int, reduction: Reduction[Any]) -> None:
        def told(over: Reduction[Any]) -> None:
            self._news.put((index, number, over))

        reduction.add_done_callback(told)


class _AsynchronousServer(_Rounds):
    """Rounds have the gradients that were there in time; a worker without one takes part with nothing, by its library."""

    def __init__(self, job: Job, layout: Layout, values: Mapping[str, npt.NDArray[Any]], optimiser: Optimiser, average: bool, on_update: OnUpdate | None) -> None:
        super().__init__(job, layout, values, optimiser, average, on_update)
        self._news: queue.SimpleQueue[tuple[int, Reduction[Any]]] = queue.SimpleQueue()

    def run(self) -> None:
        self._layout.announce(self._job)
        indices = range(len(self._values))
        published = [self._publish(index, False) for index in indices]
        for index in indices:
            self._await_push(index)
        going_on = len(published)
        while going_on > 0:
            index, push = self._news.get()
            total = push.wait()
            count = self._layout.parameters[index].count
            if total[count] > 0:
                self._apply(index, total[:count], total[count])
            # Whoever said goodbye to a parameter has nothing left to push of it.
            final = bool(total[count + 1] == self._job.world_size)
            published[index].wait()
            published[index] = self._publish(index, final)
            if final:
                going_on -= 1
            else:
                self._await_push(index)
        for pull in published:
            pull.wait()

    def _await_push(self, index: int) -> None:
        parameter, stream = self._layout.parameters[index], self._layout.push_stream(index, 0)
        push = self._job._exchange(self._job.contribution(parameter.count + 2, parameter.dtype, stream), "push", stream)
        push.add_done_callback(lambda over: self._news.put((index, over)))

    def _publish(self, index: int, final: bool) -> Reduction[Any]:
        parameter, stream = self._layout.parameters[index], self._layout.pull_stream(index, 0)
        place = self._job.contribution(parameter.count + 1, parameter.dtype, stream)
        place[: parameter.count] = self._values[index].reshape(-1)
        place[parameter.count] = final
        return self._job._exchange(place, "pull", stream)


def serve(
    job: str | None = None,
    *,
    optimiser: Any,
    parameters: Mapping[str, Any],
    staleness: int = 0,
    deadline: float | None = None,
    average: bool = True,
    on_update: OnUpdate | None = None,
    socket: str | None = None,
    timeout: float = 60.0,
    deterministic: bool = False,
) -> dict[str, npt.NDArray[Any]]:
    """Serves the parameters of a job until all its workers have said goodbye (:meth:`mlnet.Worker.close`). To be run on the host that the job names as its server.

    In each round the gradients that all workers pushed of a parameter arrive here as one sum, each of them exactly once, whatever agents or hosts die in between;
    the optimiser applies it, and the new values go down the same tree to all workers. Should this process die, every worker gets a :class:`RoundFailed` within seconds.

    :param job: the job's name; from the environment when unset, as for :func:`mlnet.join`. So is ``socket``.
    :param optimiser: an object with ``update(key, values, gradient)``, such as :class:`mlnet.SGD`; or an optimiser of PyTorch that was made with the tensors in ``parameters``.
    :param parameters: initial values by key: arrays of float32 or float64, or tensors for an optimiser of PyTorch. Updated in place.
    :param staleness: rounds that a worker may be ahead of the slowest; 0 is bulk-synchronous.
    :param deadline: seconds for which a round waits for workers that have nothing to push yet (asynchronous mode): their gradients go into later rounds. None waits for all.
    :param average: divide sums by the number of gradients in them.
    :param on_update: called with key and number of rounds applied after each update, before its values are sent: for checkpoints and learning rates.
    :param timeout: seconds to wait for the job; workers are waited for as long as it takes.
    :param deterministic: as the workers were told, see :func:`mlnet.worker`.
    :returns: the final values, by key: what was passed, or views of the tensors.
    :raises ValueError: a parameter cannot be served; the message names it. Nothing was begun.
    :raises RoundFailed: a worker or a host is gone, or workers pushed different numbers of rounds. What was applied until then stands in ``parameters``.
    :raises Refused: the job has no server, or its server belongs on another host; the message says which.
    """
    values, applied = _values(parameters, optimiser)
    layout = Layout.of(values, staleness, deadline)
    with join_as(job, None, socket, timeout, deterministic, "server") as joined:
        kind = _SynchronousServer if layout.deadline is None else _AsynchronousServer
        kind(joined, layout, values, applied, average, on_update).run()
    return values


def _values(parameters: Mapping[str, Any], optimiser: Any) -> tuple[dict[str, npt.NDArray[Any]], Optimiser]:
    torch = sys.modules.get("torch")  # without it nobody can have an optimiser of it
    if torch is not None and isinstance(optimiser, torch.optim.Optimizer):
        applied: Optimiser = _Torch(optimiser, parameters)
        return {key: tensor.detach().numpy() for key, tensor in parameters.items()}, applied
    if not callable(getattr(optimiser, "update", None)):
        raise ValueError(f"the optimiser is a {type(optimiser).__name__}; it must have update(key, values, gradient), or be one of PyTorch's")
    for key, value in parameters.items():
        if not isinstance(value, np.ndarray):
            raise ValueError(f"parameter {key!r} is a {type(value).__name__}; make it a numpy array, which is updated in place")
    return dict(parameters), optimiser
