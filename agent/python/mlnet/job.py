"""A worker's part in a job."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ._admission import admitted, request_to_join
from ._connection import Connection
from ._elements import name_of
from ._memory import StreamMemory
from .errors import AgentUnavailable, MlnetError, NotReady, ShapeMismatch, UnknownJob, from_code
from .reduction import Reduction, ScalarT

Operation = Literal["sum", "mean", "min", "max"]
FloatArray = npt.NDArray[np.float32]

_OPERATIONS = ("sum", "mean", "min", "max")
# An agent that is started anew gets its workers back; so long the others wait for it.
_RESTART_SECONDS = 30.0


class _Stream:
    def __init__(self) -> None:
        self.lock = threading.Lock()  # held while a round is begun
        self.memory: StreamMemory | None = None
        self.previous: StreamMemory | None = None  # until a round in the newer one is done: others may still need what lies in it
        self.next_round = 0
        self.last: Reduction[Any] | None = None
        self.request: dict[str, Any] | None = None  # of the last round, or for memory; sent again to an agent that was started anew
        self.opening = False
        self.reply: dict[str, Any] | None = None

    def close(self) -> None:
        for memory in (self.previous, self.memory):
            if memory is not None:
                memory.close()
        self.previous = self.memory = None


class Job:
    """A worker that has joined a job. Made by :func:`mlnet.join`.

    All workers reduce the same streams with arrays of the same size and type; each call on a stream is one round.
    Rounds of one stream never overlap, those of different streams do. Thread-safe.
    """

    def __init__(self, connection: Connection, name: str, rank: int, world_size: int, deterministic: bool = False, role: str | None = None) -> None:
        self._connection = connection
        self._name = name
        self._rank = rank
        self._world_size = world_size
        self._role = role
        self._deterministic = deterministic
        self._streams: dict[int, _Stream] = {}
        self._pending: dict[tuple[int, int], Reduction[Any]] = {}
        self._ended: MlnetError | None = None
        self._sending = threading.Lock()
        # Guards what the agent's replies change. One thread at a time reads them, for all that wait.
        self._turn = threading.Condition()
        self._reading = False
        self._caller: threading.Thread | None = None
        self._process = os.getpid()
        # An agent may be started anew while this worker computes: it needs its memory back even when nobody waits for a reply.
        threading.Thread(target=self._watch, name="mlnet-agent", daemon=True).start()

    @property
    def name(self) -> str:
        return self._name

    @property
    def rank(self) -> int:
        """This worker's number, 0 to ``world_size - 1``; a parameter server has the next."""
        return self._rank

    @property
    def world_size(self) -> int:
        """Number of workers of the job."""
        return self._world_size

    def allreduce(
        self,
        array: npt.NDArray[ScalarT],
        op: Operation = "sum",
        stream: int = 0,
        out: npt.NDArray[ScalarT] | None = None,
        *,
        dtype: str | None = None,
        deterministic: bool | None = None,
        copy: bool = True,
    ) -> npt.NDArray[ScalarT]:
        """Reduces an array over all workers; every worker gets the same bits.

        Blocks until all workers have contributed and the result is here; Ctrl-C interrupts the wait, after which the
        job must be joined again. Arrays of float32, float64, float16, int32, int64 and ml_dtypes' bfloat16 can be reduced.

        :param array: this worker's contribution; not changed unless it is also ``out``.
        :param op: ``"sum"``, ``"mean"``, ``"min"`` or ``"max"``. Sums of integers wrap around, their means are cut towards zero;
            16-bit floats are added as float32 and rounded once; a NaN makes a minimum or maximum NaN.
        :param stream: rounds of different streams are independent of each other; 0 to 2**32 - 1.
        :param out: where to put the result, a C-contiguous array of the same size and type; a new array otherwise.
        :param dtype: ``"bfloat16"`` when the array holds its bits as 16-bit integers.
        :param deterministic: add in a fixed order, so that the same contributions under the same plan give the same bits in every
            run; the default is what :func:`mlnet.join` was told. The same at all workers.
        :param copy: False returns a view of shared memory instead of a new array; it holds until the second next round of the stream.
        :returns: ``out``, or an array of the shape of ``array``.
        :raises ShapeMismatch: the workers' arrays differ; the message says which. The next call is a new round.
        :raises RoundFailed: a worker or a host is gone; the message names it.
        :raises AgentUnavailable: the agent of this host ended and did not come back within half a minute. One that does gets the memory of the
            rounds in progress handed back, and they go on.
        """
        source = np.asarray(array)
        if source.size == 0 and self._ended is None:
            self._check(source, op, stream, out, dtype)
            return out if out is not None else np.empty(source.shape, source.dtype)
        return self.reduce_async(source, op, stream, out, dtype=dtype, deterministic=deterministic, copy=copy).wait()

    def reduce_async(
        self,
        array: npt.NDArray[ScalarT],
        op: Operation = "sum",
        stream: int = 0,
        out: npt.NDArray[ScalarT] | None = None,
        *,
        dtype: str | None = None,
        deterministic: bool | None = None,
        copy: bool = True,
    ) -> Reduction[ScalarT]:
        """Begins what :meth:`allreduce` does and returns at once; the array may be changed after that.

        Rounds of different streams run side by side. When the stream's round before is not over, this waits for it.

        :returns: the round; its :meth:`~mlnet.Reduction.wait` gives the result.
        """
        source = np.asarray(array)
        element = self._check(source, op, stream, out, dtype)
        if source.size == 0:
            raise ShapeMismatch("an empty array has nothing to reduce")
        return self._reduce(source, element, op, stream, out, deterministic, copy)

    def _exchange(self, array: npt.NDArray[ScalarT], op: str, stream: int) -> Reduction[ScalarT]:
        """A round with the parameter server; its result is a view. Whoever has nothing to say, or hears nothing, still says with what array."""
        return self._reduce(array, name_of(array.dtype, None), op, stream, None, None, False)

    def _reduce(
        self, source: npt.NDArray[Any], element: str, op: str, stream: int, out: npt.NDArray[Any] | None, deterministic: bool | None, copy: bool
    ) -> Reduction[Any]:
        with self._turn:
            if self._ended is not None:
                raise self._ended
            state = self._streams.setdefault(stream, _Stream())
        try:
            with state.lock:
                if state.last is not None:
                    self._await(state.last, None)
                    try:
                        state.last._collect()
                    except MlnetError:
                        pass  # its own wait() tells
                return self._begin(state, source, element, op, stream, out, self._deterministic if deterministic is None else deterministic, copy)
        except KeyboardInterrupt:
            self._interrupted()
            raise

    def contribution(self, count: int, dtype: npt.DTypeLike = np.float32, stream: int = 0) -> npt.NDArray[Any]:
        """The place in shared memory that the stream's next round sends from.

        An array that is written there and then reduced with the same count and type is not copied. Every round has another place than the one
        before; the content is undefined. Waits for the stream's round in progress.
        """
        kind = np.dtype(dtype)
        if count < 1:
            raise ValueError(f"count is {count}; it must be at least 1")
        with self._turn:
            if self._ended is not None:
                raise self._ended
            state = self._streams.setdefault(stream, _Stream())
        try:
            with state.lock:
                if state.last is not None:
                    self._await(state.last, None)
                memory = self._open(state, stream, count * kind.itemsize)
                return memory.contribution(state.next_round, kind, count)
        except KeyboardInterrupt:
            self._interrupted()
            raise

    def leave(self) -> None:
        """Says goodbye, so that the others do not take this worker for dead. Idempotent."""
        with self._turn:
            ended = self._ended is not None
        if not ended:
            if self._sending.acquire(timeout=1.0):  # longer only while the agent is away: then there is nobody to say goodbye to
                try:
                    self._send({"type": "leave"})
                finally:
                    self._sending.release()
            self._end(self._left())

    def _left(self) -> MlnetError:
        """What a call gets after the goodbye."""
        return MlnetError(f"this worker has left job {self._name}; join it again")

    def __enter__(self) -> Job:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.leave()
        else:
            # Not a goodbye: the others must hear that this worker failed.
            self._end(MlnetError(f"this worker's part in job {self._name} ended with {kind.__name__}"))

    @staticmethod
    def _check(source: npt.NDArray[Any], op: str, stream: int, out: npt.NDArray[Any] | None, dtype: str | None) -> str:
        element = name_of(source.dtype, dtype)
        if op not in _OPERATIONS:
            raise ValueError(f"op is {op!r}; it must be one of {', '.join(_OPERATIONS)}")
        if not 0 <= stream < 2**32:
            raise ValueError(f"stream is {stream}; it must be 0 to 2**32 - 1")
        if out is not None and (out.dtype != source.dtype or out.size != source.size or not out.flags.c_contiguous or not out.flags.writeable):
            raise ShapeMismatch(f"out must be a writable, C-contiguous {source.dtype} array of {source.size} elements; it is {out.dtype} of {out.size}")
        return element

    def _begin(
        self, state: _Stream, source: npt.NDArray[Any], element: str, op: str, stream: int, out: npt.NDArray[Any] | None, deterministic: bool, copy: bool
    ) -> Reduction[Any]:
        memory = self._open(state, stream, source.nbytes)
        number = state.next_round
        contribution = memory.contribution(number, source.dtype, source.size)
        if source.__array_interface__["data"][0] != contribution.__array_interface__["data"][0]:
            contribution.reshape(source.shape)[...] = source
        result = memory.result(number, source.dtype, source.size)
        reduction: Reduction[Any] = Reduction(self, stream, number, result, source.shape, out, copy)
        request = {"type": "reduce", "stream": stream, "round": number, "bytes": source.nbytes, "dtype": element, "op": op}
        if deterministic:
            request["deterministic"] = True
        with self._sending:
            with self._turn:
                if self._ended is not None:
                    raise self._ended
                self._pending[stream, number] = reduction
                state.request = request
                state.next_round = number + 1
                state.last = reduction
            self._send(request)
        return reduction

    def _open(self, state: _Stream, stream: int, size: int) -> StreamMemory:
        if state.memory is None or state.memory.capacity < size:
            request = {"type": "open", "stream": stream, "bytes": size}
            with self._sending:
                with self._turn:
                    if self._ended is not None:
                        raise self._ended
                    state.reply = None
                    state.request = request
                    state.opening = True
                self._send(request)
            self._advance(lambda: state.reply is not None, None)
            reply = state.reply
            assert reply is not None
            if reply["type"] == "failed":
                raise from_code(str(reply["code"]), f"stream {stream}: {reply['message']}")
        with self._turn:
            if self._ended is not None or state.memory is None:
                raise self._ended or MlnetError(f"stream {stream} has no memory")
            return state.memory

    def _send(self, message: dict[str, Any]) -> None:
        """Sends; to be called with the lock held. What does not arrive is sent again once the agent is back: whoever reads notices that it ended."""
        try:
            self._connection.send(message)
        except AgentUnavailable:
            pass  # not lost: _advance meets the end of the connection next, and _resume sends the message again or ends the job with an error

    def _resume(self, fault: AgentUnavailable) -> MlnetError | None:
        """Goes on with an agent that was started anew: hands the memory back and asks again for what is awaited. Returns why not."""
        if self._ended is not None or os.getpid() != self._process:
            return fault  # a forked child has no part in its parent's job
        deadline = time.monotonic() + _RESTART_SECONDS
        with self._sending:
            self._connection.close()
            while True:
                connection = Connection(self._connection.path)
                try:
                    connection.connect(deadline)
                    # One that does not read would hold this up for ever, as soon as there are many streams.
                    with connection.ended_at(deadline):
                        self._rejoin(connection, deadline)
                    if self._ended is not None:
                        connection.close()
                        return fault
                    self._connection = connection
                    return None
                except AgentUnavailable:
                    connection.close()
                    if time.monotonic() >= deadline or self._ended is not None:
                        return fault
                    time.sleep(0.1)
                except (NotReady, UnknownJob):
                    connection.close()
                    return fault
                except MlnetError as refusal:
                    connection.close()
                    return refusal
                except BaseException:
                    connection.close()
                    raise

    def _rejoin(self, connection: Connection, deadline: float) -> None:
        with self._turn:
            awaited = dict(self._pending)
            areas: list[tuple[int, int, StreamMemory]] = []
            requests: list[dict[str, Any]] = []
            for stream, state in self._streams.items():
                numbers = [number for pending, number in awaited if pending == stream]
                for memory in (state.previous, state.memory):
                    if memory is not None:
                        areas.append((stream, numbers[0] if numbers else state.next_round, memory))
                if state.request is not None and (numbers or state.opening):
                    requests.append(state.request)
        connection.send({**request_to_join(self._name, self._rank, self._role), "restore": len(areas)})
        for stream, number, memory in areas:
            connection.send({"type": "restore", "stream": stream, "round": number, "capacity": memory.capacity}, memory.descriptor)
        admitted(connection, self._name, deadline, _RESTART_SECONDS)
        for request in requests:
            connection.send(request)

    def _watch(self) -> None:
        while True:
            with self._turn:
                if self._ended is not None:
                    return
                connection = self._connection
            try:
                if connection.wait_for_end(1.0):
                    self._advance(lambda: self._connection is not connection, None)
            except MlnetError:
                return  # whoever calls next is told
            except OSError:
                continue  # closed under our feet, as a newer one took its place

    def _await(self, reduction: Reduction[Any], timeout: float | None) -> bool:
        """Waits for the end of a round. False when the time passed first."""
        try:
            return self._advance(lambda: reduction._over, None if timeout is None else time.monotonic() + timeout)
        except KeyboardInterrupt:
            self._interrupted()
            raise

    def _advance(self, over: Callable[[], bool], deadline: float | None) -> bool:
        """Takes replies of the agent until something is over. One thread reads for all; the others wait for what it reads."""
        while True:
            with self._turn:
                while True:
                    if over():
                        return True
                    if self._ended is not None:
                        raise self._ended
                    if not self._reading:
                        break
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        return False
                    self._turn.wait(left)
                self._reading = True
            message: dict[str, Any] | None = None
            error: MlnetError | None = None
            descriptor = -1
            resumed = False
            try:
                try:
                    message = self._connection.receive(deadline)
                    if message is not None and message.get("type") == "area":
                        descriptor = self._connection.take_descriptor()
                except AgentUnavailable as ended:
                    error = self._resume(ended)
                    resumed = error is None
                except MlnetError as fault:
                    error = fault
                if error is not None:
                    self._end(error)
            finally:
                with self._turn:
                    self._reading = False
                    if self._ended is not None:
                        self._connection.close()
                    self._turn.notify_all()
            if resumed or error is not None:
                continue
            if message is None:
                return over()
            else:
                self._take(message, descriptor)

    def _take(self, message: dict[str, Any], descriptor: int) -> None:
        kind = message.get("type")
        if kind in ("closed", "refused"):
            self._end(from_code(str(message.get("code")), str(message.get("message"))))
            return
        calls: list[tuple[Reduction[Any], Callable[[Reduction[Any]], None]]] = []
        with self._turn:
            stream, number = message.get("stream"), message.get("round")
            state = self._streams.get(stream) if isinstance(stream, int) else None
            if state is not None and state.opening and (kind == "area" or (kind == "failed" and number is None)):
                state.opening = False
                state.reply = message
                if kind == "area":
                    if state.previous is not None:
                        state.previous.close()
                    state.previous, state.memory = state.memory, StreamMemory(descriptor, int(message["bytes"]), int(message["capacity"]))
                    state.next_round = int(message["round"])
                    descriptor = -1
            elif isinstance(stream, int) and isinstance(number, int) and kind in ("done", "failed"):
                reduction = self._pending.pop((stream, number), None)
                if reduction is not None:
                    if state is not None and state.previous is not None and kind == "done":
                        state.previous.close()
                        state.previous = None
                    error = None if kind == "done" else from_code(str(message["code"]), f"round {number} of stream {stream}: {message['message']}")
                    calls = [(reduction, call) for call in reduction._end(error)]
            self._turn.notify_all()
        if descriptor >= 0:
            os.close(descriptor)
        for reduction, call in calls:
            call(reduction)

    def _call_back(self, reduction: Reduction[ScalarT], callback: Callable[[Reduction[ScalarT]], None]) -> bool:
        """Has a callback called at the end of a round. False when it is over."""
        with self._turn:
            if reduction._over:
                return False
            reduction._callbacks.append(callback)
            if self._caller is None:
                self._caller = threading.Thread(target=self._read_for_callbacks, name="mlnet-replies", daemon=True)
                self._caller.start()
            self._turn.notify_all()
            return True

    def _read_for_callbacks(self) -> None:
        def wanted() -> bool:
            return any(r._callbacks for r in self._pending.values())

        while True:
            with self._turn:
                while self._ended is None and not wanted():
                    self._turn.wait()
                if self._ended is not None:
                    return
            try:
                self._advance(lambda: not wanted(), None)
            except MlnetError:
                return  # everybody has been told

    def _interrupted(self) -> None:
        # The line being read may be cut in two.
        self._end(MlnetError("the worker was interrupted in a round; join the job again"))

    def _end(self, error: MlnetError) -> None:
        with self._turn:
            if self._ended is not None:
                return
            self._ended = error
            pending = list(self._pending.values())
            self._pending.clear()
            calls = [(reduction, call) for reduction in pending for call in reduction._end(error)]
            if self._reading:
                self._connection.shutdown()  # the thread that reads closes it: until then nothing else may get its number
            else:
                self._connection.close()
            for stream in self._streams.values():
                stream.close()
            self._streams.clear()
            self._turn.notify_all()
        for reduction, call in calls:
            call(reduction)
