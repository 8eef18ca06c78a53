"""A worker of a job whose parameter server does not wait for late workers."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import MlnetError
from .parameter_worker import Worker
from .parameters import Parameter
from .reduction import Reduction


class _Gathered:
    """One parameter: what was pushed and has not gone out yet, the round under way, and the values that came last."""

    def __init__(self, index: int, parameter: Parameter) -> None:
        self.index = index
        self.parameter = parameter
        self.sum = np.zeros(parameter.count, parameter.dtype)
        self.gradients = 0  # in the sum
        self.due = 0.0  # by the monotonic clock: when a round begins also without a gradient
        self.under_way: tuple[Reduction[Any], Reduction[Any]] | None = None
        self.unfinished = 0  # of the two
        self.version = -1
        self.values: npt.NDArray[Any] | None = None
        self.final = False


class AsynchronousWorker(Worker):
    """A worker whose pushes wait for nobody. Made by :func:`mlnet.worker` where the server was given a deadline; used like any :class:`Worker`.

    A thread of the library takes part in the rounds: with the sum of what was pushed since the round before, or, when nothing was pushed by the deadline, with
    nothing. So a late gradient goes into a later round and holds up nobody, and each is in exactly one.
    """

    def _begin(self) -> None:
        deadline = self._layout.deadline
        assert deadline is not None
        self._deadline = deadline
        self._changed = threading.Condition()  # guards what follows and all of each parameter
        self._leaving = False
        self._gathered = {p.key: _Gathered(i, p) for i, p in enumerate(self._layout.parameters)}
        first = [(state, self._ask(state)) for state in self._gathered.values()]
        for state, pull in first:
            self._arrived(state, pull)
        self._thread = threading.Thread(target=self._run, name="mlnet-pushes", daemon=True)
        self._thread.start()

    def push(self, key: str, gradient: npt.ArrayLike) -> None:
        state = self._of(key)
        array = self._checked(state.parameter, gradient)
        with self._changed:
            self._usable()
            if self._leaving:
                # Nobody would send it.
                raise self._job._left()
            state.sum += array.reshape(-1)
            state.gradients += 1
            self._changed.notify_all()

    def pull(self, key: str, out: npt.NDArray[Any] | None = None, *, copy: bool = True) -> npt.NDArray[Any]:
        state = self._of(key)
        self._check_out(state.parameter, out)
        with self._changed:
            self._usable()
            values = state.values
        assert values is not None
        if out is not None:
            out[...] = values
            return out
        return values.copy() if copy else values

    def version(self, key: str) -> int:
        state = self._of(key)
        with self._changed:
            return state.version

    def _say_goodbye(self) -> None:
        with self._changed:
            self._leaving = True
            self._changed.notify_all()
        self._thread.join()
        self._usable()

    def _of(self, key: str) -> _Gathered:
        state = self._gathered.get(key)
        if state is None:
            raise self._unknown(key)
        return state

    def _usable(self) -> None:
        if self._failed is not None:
            self._failure_told = True
            raise self._failed

    def _run(self) -> None:
        error: MlnetError = MlnetError(f"this worker's part in job {self._job.name} ended before its last gradients were applied")
        try:
            while self._step():
                pass
            return
        except MlnetError as fault:
            error = fault
        finally:
            with self._changed:
                if not all(state.final for state in self._gathered.values()):
                    self._failed = error

    def _step(self) -> bool:
        """One step of one parameter's round; waits until there is one to make. False when all rounds are over."""
        with self._changed:
            while True:
                states = [state for state in self._gathered.values() if not state.final]
                if not states:
                    return False
                over = next((s for s in states if s.under_way is not None and s.unfinished == 0), None)
                if over is not None:
                    break
                now = time.monotonic()
                gathering = [s for s in states if s.under_way is None]
                ready = next((s for s in gathering if s.gradients > 0 or self._leaving or s.due <= now), None)
                if ready is not None:
                    break
                self._changed.wait(min((s.due - now for s in gathering), default=None))
        if over is not None:
            assert over.under_way is not None
            push, pull = over.under_way
            push.wait()
            self._arrived(over, pull)
        else:
            assert ready is not None
            self._send(ready)
        return True

    def _send(self, state: _Gathered) -> None:
        parameter, stream = state.parameter, self._layout.push_stream(state.index, 0)
        place = self._job.contribution(parameter.count + 2, parameter.dtype, stream)
        with self._changed:
            place[: parameter.count] = state.sum
            place[parameter.count] = state.gradients
            place[parameter.count + 1] = self._leaving  # everything that was pushed before is in this round
            state.sum[...] = 0
            state.gradients = 0
            state.unfinished = 2
        state.under_way = (self._job._exchange(place, "push", stream), self._ask(state))

        def told(_: Reduction[Any]) -> None:
            with self._changed:
                state.unfinished -= 1
                self._changed.notify_all()

        for reduction in state.under_way:
            reduction.add_done_callback(told)

    def _ask(self, state: _Gathered) -> Reduction[Any]:
        parameter, stream = state.parameter, self._layout.pull_stream(state.index, 0)
        return self._job._exchange(self._job.contribution(parameter.count + 1, parameter.dtype, stream), "pull", stream)

    def _arrived(self, state: _Gathered, pull: Reduction[Any]) -> None:
        result = pull.wait()
        values = result[: state.parameter.count].reshape(state.parameter.shape).copy()
        values.flags.writeable = False
        with self._changed:
            state.under_way = None
            state.values = values
            state.version += 1
            state.final = bool(result[state.parameter.count] != 0)
            state.due = time.monotonic() + self._deadline
