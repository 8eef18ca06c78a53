"""A worker's part in a job."""

from __future__ import annotations

import glob
import os
import threading
import time
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ._connection import Connection
from ._memory import StreamMemory
from .errors import AgentUnavailable, MlnetError, NotReady, Refused, ShapeMismatch, UnknownJob, from_code

Operation = Literal["sum", "mean"]
FloatArray = npt.NDArray[np.float32]

_PROTOCOL = 1
_DEFAULT_DIRECTORY = "/run/mlnet"


def _default_socket() -> str:
    """The agent names its socket after the host; a machine has one, unless hosts are emulated on it."""
    found = sorted(glob.glob(_DEFAULT_DIRECTORY + "/*.sock"))
    if len(found) > 1:
        raise AgentUnavailable(f"several agents listen in {_DEFAULT_DIRECTORY} ({', '.join(found)}): pass socket=... or set MLNET_AGENT_SOCKET")
    return found[0] if found else _DEFAULT_DIRECTORY + "/agent.sock"


class _Stream:
    def __init__(self) -> None:
        self.memory: StreamMemory | None = None
        self.next_round = 0


class Job:
    """A worker that has joined a job. Made by :func:`mlnet.join`.

    All workers call :meth:`allreduce` in the same order with arrays of the same size; each call on a stream is one
    round. A job is used by one thread at a time; calls from several threads wait for each other.
    """

    def __init__(self, connection: Connection, name: str, rank: int, world_size: int) -> None:
        self._connection = connection
        self._name = name
        self._rank = rank
        self._world_size = world_size
        self._streams: dict[int, _Stream] = {}
        self._lock = threading.Lock()
        self._ended: MlnetError | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def rank(self) -> int:
        """This worker's number, 0 to ``world_size - 1``."""
        return self._rank

    @property
    def world_size(self) -> int:
        """Number of workers of the job."""
        return self._world_size

    def allreduce(
        self,
        array: npt.ArrayLike,
        op: Operation = "sum",
        stream: int = 0,
        out: FloatArray | None = None,
    ) -> FloatArray:
        """Sums (or averages) an array over all workers; every worker gets the same bits.

        Blocks until all workers have contributed and the result is here; Ctrl-C interrupts the wait, after which the
        job must be left. The array must be float32 and of the same size at every worker.

        :param array: this worker's contribution; not changed unless it is also ``out``.
        :param op: ``"sum"`` or ``"mean"``.
        :param stream: rounds of different streams are independent of each other; 0 to 2**32 - 1.
        :param out: where to put the result, a C-contiguous float32 array of the same size; a new array otherwise.
        :returns: ``out``, or a new array of the shape of ``array``.
        :raises ShapeMismatch: the workers' arrays differ; the message says which. The next call is a new round.
        :raises RoundFailed: a worker or a host is gone; the message names it.
        :raises AgentUnavailable: the agent of this host ended.
        """
        source = np.asarray(array)
        if source.dtype != np.float32:
            raise ShapeMismatch(f"allreduce takes float32 arrays, not {source.dtype}: convert with array.astype(numpy.float32)")
        if op not in ("sum", "mean"):
            raise ValueError(f"op is {op!r}; it must be 'sum' or 'mean'")
        if not 0 <= stream < 2**32:
            raise ValueError(f"stream is {stream}; it must be 0 to 2**32 - 1")
        if out is not None and (out.dtype != np.float32 or out.size != source.size or not out.flags.c_contiguous or not out.flags.writeable):
            raise ShapeMismatch(f"out must be a writable, C-contiguous float32 array of {source.size} elements; it is {out.dtype} of {out.size}")
        if source.size == 0:
            return out if out is not None else np.empty(source.shape, np.float32)
        with self._lock:
            if self._ended is not None:
                raise self._ended
            try:
                return self._allreduce(source, op, stream, out)
            except (KeyboardInterrupt, AgentUnavailable) as error:
                # Replies of the interrupted round would be taken for those of the next one.
                self._end(error if isinstance(error, MlnetError) else MlnetError("the worker was interrupted in a round; join the job again"))
                raise

    def leave(self) -> None:
        """Says goodbye, so that the others do not take this worker for dead. Idempotent."""
        with self._lock:
            if self._ended is None:
                try:
                    self._connection.send({"type": "leave"})
                except AgentUnavailable:
                    pass
                self._end(MlnetError(f"this worker has left job {self._name}; join it again"))

    def __enter__(self) -> Job:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.leave()
        else:
            # Not a goodbye: the others must hear that this worker failed.
            with self._lock:
                self._end(MlnetError(f"this worker's part in job {self._name} ended with {kind.__name__}"))

    def _allreduce(self, source: npt.NDArray[Any], op: Operation, stream: int, out: FloatArray | None) -> FloatArray:
        state = self._open(stream, source.nbytes)
        memory = state.memory
        assert memory is not None
        number = state.next_round
        contribution = memory.contribution(number, source.dtype, source.size)
        contribution[:] = source.ravel()
        self._connection.send(
            {"type": "reduce", "stream": stream, "round": number, "bytes": source.nbytes, "dtype": "float32", "op": op}
        )
        state.next_round = number + 1
        self._await_reply("done", stream, number)
        result = memory.result(number, source.dtype, source.size)
        if out is None:
            return result.reshape(source.shape).copy()
        out.reshape(-1)[:] = result
        return out

    def _open(self, stream: int, size: int) -> _Stream:
        state = self._streams.setdefault(stream, _Stream())
        if state.memory is None or state.memory.capacity < size:
            self._connection.send({"type": "open", "stream": stream, "bytes": size})
            reply = self._await_reply("area", stream, None)
            memory = StreamMemory(self._connection.take_descriptor(), int(reply["bytes"]), int(reply["capacity"]))
            if state.memory is not None:
                state.memory.close()
            state.memory = memory
            state.next_round = int(reply["round"])
        return state

    def _await_reply(self, kind: str, stream: int, number: int | None) -> dict[str, Any]:
        while True:
            message = self._connection.receive()
            assert message is not None
            if message["type"] == "closed" or (message["type"] == "refused"):
                error = from_code(str(message.get("code")), str(message.get("message")))
                self._end(error)
                raise error
            if message.get("stream") != stream or (number is not None and message.get("round") != number):
                continue
            if message["type"] == "failed":
                raise from_code(str(message["code"]), f"round {number} of stream {stream}: {message['message']}")
            if message["type"] == kind:
                return message

    def _end(self, error: MlnetError) -> None:
        if self._ended is None:
            self._ended = error
            self._connection.close()
            for stream in self._streams.values():
                if stream.memory is not None:
                    stream.memory.close()
            self._streams.clear()


def join(job: str | None = None, rank: int | None = None, socket: str | None = None, timeout: float = 60.0) -> Job:
    """Joins a job as one of its workers and makes it the current job of :func:`mlnet.allreduce`.

    Waits until the agent knows the job and is connected to the agents it exchanges gradients with.

    :param job: the job's name; ``MLNET_JOB`` when unset.
    :param rank: this worker's rank; ``MLNET_RANK`` when unset, else any free rank of this host.
    :param socket: path of the agent's socket; ``MLNET_AGENT_SOCKET`` when unset, else the only ``.sock`` in ``/run/mlnet``.
    :param timeout: seconds to wait.
    :raises AgentUnavailable: no agent listens on the socket.
    :raises UnknownJob: no job was named, or the agent did not hear of it in time.
    :raises NotReady: the agents of the job were not connected in time.
    :raises Refused: this process may not take part; the message says why.
    """
    name = job or os.environ.get("MLNET_JOB")
    if not name:
        raise UnknownJob("no job was named: pass job=... or set MLNET_JOB")
    if rank is None and os.environ.get("MLNET_RANK"):
        text = os.environ["MLNET_RANK"]
        if not text.isdecimal():
            raise Refused(f"MLNET_RANK is {text!r}; it must be a number from 0")
        rank = int(text)
    path = socket or os.environ.get("MLNET_AGENT_SOCKET") or _default_socket()
    deadline = time.monotonic() + timeout
    connection = Connection(path)
    try:
        connection.connect(deadline)
        request: dict[str, Any] = {"type": "join", "protocol": _PROTOCOL, "job": name}
        if rank is not None:
            request["rank"] = rank
        connection.send(request)
        return _admitted(connection, name, deadline, timeout)
    except BaseException:
        connection.close()
        raise


def _admitted(connection: Connection, name: str, deadline: float, timeout: float) -> Job:
    waiting: dict[str, Any] = {"code": "unknown-job", "message": "the agent did not answer"}
    while True:
        message = connection.receive(deadline)
        if message is None:
            kind = UnknownJob if waiting.get("code") == "unknown-job" else NotReady
            raise kind(f"{waiting['message']} (waited {timeout:g} s)")
        if message["type"] == "waiting":
            waiting = message
        elif message["type"] == "joined":
            return Job(connection, name, int(message["rank"]), int(message["worldSize"]))
        elif message["type"] in ("refused", "closed"):
            raise from_code(str(message.get("code")), str(message.get("message")))
