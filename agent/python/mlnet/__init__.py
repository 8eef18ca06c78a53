"""Reductions for data-parallel training through the MLNet SDN agent of this host.

A trainer in three lines::

    import mlnet

    with mlnet.join() as job:                      # job, rank and agent from the environment
        gradient = job.allreduce(gradient, "mean")

With a parameter server, on the host that the job names for it and at each worker::

    mlnet.serve(optimiser=mlnet.SGD(0.1), parameters={"w": w})

    with mlnet.worker() as worker:
        worker.push("w", gradient)
        w = worker.pull("w")

PyTorch's DistributedDataParallel in one: ``mlnet.torch.register(model)``, see :mod:`mlnet.torch`.

The array goes to the agent through shared memory; the agents sum along trees that follow the fabric and bring the
result back. Every worker gets the same bits. When a worker or a host is lost, the others get a :class:`RoundFailed`
that names it, within seconds.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy.typing as npt

from . import joining
from ._version import __version__
from .errors import AgentUnavailable, JobClosed, MlnetError, NotReady, Refused, RoundFailed, ShapeMismatch, UnknownJob
from .job import FloatArray, Job, Operation
from .optimisers import SGD, Adam, Optimiser
from .parameter_server import serve
from .parameter_worker import Worker, worker
from .parameters import Parameter
from .reduction import Reduction, ScalarT

__all__ = [
    "__version__",
    "Adam",
    "AgentUnavailable",
    "FloatArray",
    "Job",
    "JobClosed",
    "MlnetError",
    "NotReady",
    "Operation",
    "Optimiser",
    "Parameter",
    "Reduction",
    "Refused",
    "RoundFailed",
    "SGD",
    "ShapeMismatch",
    "UnknownJob",
    "Worker",
    "allreduce",
    "join",
    "reduce_async",
    "serve",
    "worker",
]

_current: Job | None = None


def join(job: str | None = None, rank: int | None = None, socket: str | None = None, timeout: float = 60.0, *, deterministic: bool = False) -> Job:
    """Joins a job; see :func:`mlnet.joining.join`. It becomes the current job of :func:`allreduce`."""
    global _current
    _current = joining.join(job, rank, socket, timeout, deterministic=deterministic)
    return _current


def allreduce(array: npt.NDArray[ScalarT], op: Operation = "sum", stream: int = 0, out: npt.NDArray[ScalarT] | None = None) -> npt.NDArray[ScalarT]:
    """:meth:`Job.allreduce` of the job joined last."""
    return _joined().allreduce(array, op, stream, out)


def reduce_async(array: npt.NDArray[ScalarT], op: Operation = "sum", stream: int = 0, out: npt.NDArray[ScalarT] | None = None) -> Reduction[ScalarT]:
    """:meth:`Job.reduce_async` of the job joined last."""
    return _joined().reduce_async(array, op, stream, out)


def _joined() -> Job:
    if _current is None:
        raise MlnetError("no job was joined: call mlnet.join() first")
    return _current


def __getattr__(name: str) -> Any:
    # Without PyTorch the rest of the library works all the same, so this part is loaded when it is named.
    if name == "torch":
        return importlib.import_module(".torch", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
