"""All-reduce for data-parallel training through the MLNet SDN agent of this host.

A trainer in three lines::

    import mlnet

    with mlnet.join() as job:                      # MLNET_JOB, MLNET_RANK and MLNET_AGENT_SOCKET say which
        gradient = job.allreduce(gradient, "mean")

The array goes to the agent through shared memory; the agents sum along trees that follow the fabric and bring the
result back. Every worker gets the same bits. When a worker or a host is lost, the others get a :class:`RoundFailed`
that names it, within seconds.
"""

from __future__ import annotations

import numpy.typing as npt

from . import job as _job
from .errors import AgentUnavailable, JobClosed, MlnetError, NotReady, Refused, RoundFailed, ShapeMismatch, UnknownJob
from .job import FloatArray, Job, Operation

__all__ = [
    "AgentUnavailable",
    "Job",
    "JobClosed",
    "MlnetError",
    "NotReady",
    "Refused",
    "RoundFailed",
    "ShapeMismatch",
    "UnknownJob",
    "allreduce",
    "join",
]

_current: Job | None = None


def join(job: str | None = None, rank: int | None = None, socket: str | None = None, timeout: float = 60.0) -> Job:
    """Joins a job; see :func:`mlnet.job.join`. It becomes the current job of :func:`allreduce`."""
    global _current
    _current = _job.join(job, rank, socket, timeout)
    return _current


def allreduce(array: npt.ArrayLike, op: Operation = "sum", stream: int = 0, out: FloatArray | None = None) -> FloatArray:
    """:meth:`Job.allreduce` of the job joined last."""
    if _current is None:
        raise MlnetError("no job was joined: call mlnet.join() first")
    return _current.allreduce(array, op, stream, out)
