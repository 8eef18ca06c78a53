"""A worker of a job with a parameter server."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import MlnetError, NotReady, ShapeMismatch
from .job import Job
from .joining import join_as
from .parameters import CONTROL, Layout, Parameter
from .reduction import Reduction


# The others are about to end too, as a rule. Who leaves before them leaves its contributions with the agent, which has to have taken them all.
_GOODBYE_SECONDS = 1.0


class _Key:
    """How far one parameter has come here."""

    def __init__(self, index: int, parameter: Parameter) -> None:
        self.index = index
        self.parameter = parameter
        self.clock = 0  # pushes made
        self.pushes: deque[Reduction[Any]] = deque()  # not known to be over
        self.requests: dict[int, Reduction[Any]] = {}  # by version, newer than what is here
        self.version = -1  # pushes of everybody that the values include
        self.values: npt.NDArray[Any] | None = None


class Worker:
    """A worker that has joined a job with a parameter server. Made by :func:`mlnet.worker`.

    Each worker pushes a gradient of each parameter once a round, in whatever order, and pulls values when it needs them; with a server that waits for nobody
    (:attr:`deadline`) as often as it likes. To be used by one thread at a time. An error of a round ends the worker's part: it is raised again by every later call, and the job has to be joined anew. An array of a wrong shape or an unknown key does not.
    """

    def __init__(self, job: Job, layout: Layout) -> None:
        self._job = job
        self._layout = layout
        self._failed: MlnetError | None = None
        self._failure_told = False  # to the trainer
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._keys = {p.key: _Key(i, p) for i, p in enumerate(self._layout.parameters)}
        with self._guard():
            for state in self._keys.values():
                self._request(state, 0)

    @property
    def job(self) -> Job:
        return self._job

    @property
    def rank(self) -> int:
        """This worker's number, 0 to ``world_size - 1``."""
        return self._job.rank

    @property
    def world_size(self) -> int:
        """Number of workers; the server is none."""
        return self._job.world_size

    @property
    def staleness(self) -> int:
        """Rounds that this worker may be ahead of the slowest, as the server says; 0 is bulk-synchronous."""
        return self._layout.staleness

    @property
    def deadline(self) -> float | None:
        """Seconds that the server's updates wait for late workers; None where they wait for all."""
        return self._layout.deadline

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Key, shape and dtype of each parameter, in the server's order."""
        return self._layout.parameters

    def push(self, key: str, gradient: npt.ArrayLike) -> None:
        """Adds this worker's gradient of a parameter to its next round. Returns at once, unless this worker is further ahead than it may be.

        The server gets the sum of all workers' gradients of the round, each exactly once, and applies it (divided by their number, unless it was told otherwise).
        Under a deadline those are the gradients that were pushed in time; what was pushed several times between two rounds goes as one sum.

        :param key: one of the server's parameters.
        :param gradient: an array (or CPU tensor) of the parameter's shape and type; it may be changed after the call.
        :raises KeyError: the server has no such parameter.
        :raises ShapeMismatch: the gradient is of another shape or type. Nothing was pushed.
        :raises RoundFailed: the server, a worker or a host is gone; the message names it.
        """
        state = self._state(key)
        parameter = state.parameter
        array = self._checked(parameter, gradient)
        with self._guard():
            if len(state.pushes) == self._layout.width:
                state.pushes.popleft().wait()
            stream = self._layout.push_stream(state.index, state.clock)
            place = self._job.contribution(parameter.count, parameter.dtype, stream)
            place.reshape(parameter.shape)[...] = array
            state.pushes.append(self._job._exchange(place, "push", stream))
            state.clock += 1
            self._request(state, state.clock)

    def pull(self, key: str, out: npt.NDArray[Any] | None = None, *, copy: bool = True) -> npt.NDArray[Any]:
        """The newest values of a parameter that are here, once they are new enough.

        After c pushes of the parameter by this worker they include the pushes of all workers up to round c - staleness; with a staleness of 0 exactly those of the c
        rounds, and all workers pull the same bits. Under a deadline they are those of the last round that is over, and this never waits.

        :param key: one of the server's parameters.
        :param out: where to put them, an array of the parameter's shape and type; a new array otherwise.
        :param copy: False returns a read-only view, valid until the next call of :meth:`push` for the key.
        :raises KeyError: the server has no such parameter.
        :raises ShapeMismatch: ``out`` is of another shape or type.
        :raises RoundFailed: the server, a worker or a host is gone; the message names it.
        """
        state = self._state(key)
        self._check_out(state.parameter, out)
        with self._guard():
            least = max(0, state.clock - self._layout.staleness)
            if state.version < least:
                self._settle(state, least)
            for version in sorted(state.requests, reverse=True):
                if version > state.version and state.requests[version].done():
                    self._settle(state, version)
        assert state.values is not None
        if out is not None:
            out[...] = state.values
            return out
        return state.values.copy() if copy else state.values

    def version(self, key: str) -> int:
        """How many rounds of pushes the values include that :meth:`pull` returned last, under a deadline those that it would return; -1 before the first."""
        return self._state(key).version

    def close(self) -> None:
        """Says goodbye, and waits for the end of what it pushed and a moment for the others to say it too, under a deadline until all have. When all workers have, the server ends with everything applied. Idempotent.

        :raises RoundFailed: the server, a worker or a host is gone that has not said goodbye, and no call has said so yet; the message names it. What was pushed last may not have been applied.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if not self._failure_told:
                self._say_goodbye()
        finally:
            self._job.leave()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            # Not a goodbye: the others must hear that this worker failed.
            self._closed = True
            self._job.__exit__(kind, error, trace)

    def _say_goodbye(self) -> None:
        clocks = np.array([state.clock for state in self._keys.values()], np.int64)
        with self._guard():
            # The least and the most that anyone pushed: a difference would be an unfinished round.
            goodbye = self._job._exchange(np.concatenate([clocks, -clocks]), "min", CONTROL)
            over = self._job._await(goodbye, _GOODBYE_SECONDS)
            # The others have more to do. A push that is over lies with the server, and does not need this process or its agent any more.
            pushes = [push for state in self._keys.values() for push in state.pushes]
            while pushes and not over:
                if self._job._await(pushes[0], _GOODBYE_SECONDS):
                    pushes.pop(0).wait()
                over = goodbye.done()
            if over:
                goodbye.wait()

    def _state(self, key: str) -> _Key:
        if self._failed is not None:
            raise self._failed
        if key not in self._keys:
            raise self._unknown(key)
        return self._keys[key]

    def _unknown(self, key: str) -> KeyError:
        return KeyError(f"the server of job {self._job.name} has no parameter {key!r}; it has {', '.join(sorted(p.key for p in self._layout.parameters)[:20])}")

    @staticmethod
    def _checked(parameter: Parameter, gradient: npt.ArrayLike) -> npt.NDArray[Any]:
        array = np.asarray(gradient)
        if array.shape != parameter.shape or array.dtype != np.dtype(parameter.dtype):
            raise ShapeMismatch(f"the gradient of {parameter.key!r} is {array.dtype} of shape {array.shape}; the parameter is {parameter}")
        return array

    @staticmethod
    def _check_out(parameter: Parameter, out: npt.NDArray[Any] | None) -> None:
        if out is not None and (out.shape != parameter.shape or out.dtype != np.dtype(parameter.dtype)):
            raise ShapeMismatch(f"out is {out.dtype} of shape {out.shape}; parameter {parameter.key!r} is {parameter}")

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except MlnetError as error:
            # Rounds of other keys may be half-way, and a server that comes back is another one.
            self._failed = error
            self._failure_told = True
            raise

    def _request(self, state: _Key, version: int) -> None:
        """Asks for values as they will be after so many pushes of everybody."""
        earlier = version - self._layout.width
        if earlier in state.requests:
            self._settle(state, earlier)
        stream = self._layout.pull_stream(state.index, version)
        place = self._job.contribution(state.parameter.count, state.parameter.dtype, stream)
        state.requests[version] = self._job._exchange(place, "pull", stream)

    def _settle(self, state: _Key, version: int) -> None:
        """Waits for values that were asked for."""
        view = state.requests[version].wait()
        if version > state.version:
            view = view.reshape(state.parameter.shape)
            view.flags.writeable = False
            state.version, state.values = version, view
        for known in [v for v in state.requests if v <= version]:
            if state.requests[known].done():
                del state.requests[known]


def worker(job: str | None = None, rank: int | None = None, socket: str | None = None, timeout: float = 60.0, *, deterministic: bool = False) -> Worker:
    """Joins a job with a parameter server as one of its workers, and waits for the server (:func:`mlnet.serve`).

    :param job: the job's name; from the environment when unset, as for :func:`mlnet.join`. So are ``rank`` and ``socket``.
    :param timeout: seconds to wait for the job, and again for its server and the other workers.
    :param deterministic: gradients are added in a fixed order, so that the same ones under the same plan give the same bits in every run; the same at all workers and at the server.
    :raises AgentUnavailable: no agent listens on the socket.
    :raises UnknownJob: no job was named, or the agent did not hear of it in time.
    :raises NotReady: the agents of the job were not connected in time, or not everybody began in time.
    :raises Refused: the job has no server, or this process may not take part; the message says why.
    """
    joined = join_as(job, rank, socket, timeout, deterministic, "worker")
    try:
        layout = Layout.learn(joined, timeout)
        if layout.deadline is None:
            return Worker(joined, layout)
        from .asynchronous_worker import AsynchronousWorker

        return AsynchronousWorker(joined, layout)
    except TimeoutError:
        joined.leave()
        raise NotReady(f"job {joined.name}: after {timeout:g} s its server does not serve yet, or some worker has not asked it: start mlnet.serve() and all workers") from None
    except BaseException as error:
        joined.__exit__(type(error), error, None)
        raise
