"""A round under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from .errors import MlnetError

if TYPE_CHECKING:
    from .job import Job

ScalarT = TypeVar("ScalarT", bound=np.generic)


class Reduction(Generic[ScalarT]):
    """One round that was begun by :meth:`mlnet.Job.reduce_async`. Thread-safe."""

    def __init__(self, job: Job, stream: int, number: int, view: npt.NDArray[ScalarT], shape: tuple[int, ...], out: npt.NDArray[ScalarT] | None, copy: bool) -> None:
        self._job = job
        self._view: npt.NDArray[Any] | None = view
        self._shape = shape
        self._out = out
        self._copy = copy
        self._result: npt.NDArray[ScalarT] | None = None
        self._error: MlnetError | None = None
        self._over = False
        self._callbacks: list[Callable[[Reduction[ScalarT]], None]] = []
        self._collecting = threading.Lock()
        self.stream = stream
        self.number = number

    def done(self) -> bool:
        """Whether the round is over, well or not. Looks at what the agent has said; does not wait."""
        return self._job._await(self, 0)

    def wait(self, timeout: float | None = None) -> npt.NDArray[ScalarT]:
        """Waits for the result.

        :param timeout: seconds; None waits as long as it takes. The round goes on when they have passed.
        :returns: the array given as ``out``, or a new one; a view of shared memory when ``copy=False`` was asked for.
        :raises TimeoutError: the round is not over in time.
        :raises MlnetError: as :meth:`mlnet.Job.allreduce`.
        """
        if not self._job._await(self, timeout):
            raise TimeoutError(f"round {self.number} of stream {self.stream} is not over after {timeout:g} s")
        return self._collect()

    def add_done_callback(self, callback: Callable[[Reduction[ScalarT]], None]) -> None:
        """Calls ``callback(self)`` once the round is over, from a thread of the library; at once when it is. It must not block."""
        if not self._job._call_back(self, callback):
            callback(self)

    def _collect(self) -> npt.NDArray[ScalarT]:
        """The result of a round that is over, copied before its place in shared memory is used again."""
        with self._collecting:
            if self._error is not None:
                raise self._error
            if self._result is None:
                assert self._view is not None
                if self._out is not None:
                    self._out.reshape(-1)[:] = self._view
                    self._result = self._out
                elif self._copy:
                    self._result = self._view.reshape(self._shape).copy()
                else:
                    self._result = self._view.reshape(self._shape)
                self._view = None
            return self._result

    def _end(self, error: MlnetError | None) -> list[Callable[[Reduction[ScalarT]], None]]:
        """Ends the round; returns whom to call."""
        self._error = error
        self._over = True
        if error is not None:
            self._view = None
        callbacks, self._callbacks = self._callbacks, []
        return callbacks
