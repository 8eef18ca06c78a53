"""Joining a job."""

from __future__ import annotations

import glob
import os
import time

from . import _environment
from ._admission import admitted, request_to_join
from ._connection import Connection
from .errors import AgentUnavailable
from .job import Job

_DEFAULT_DIRECTORY = "/run/mlnet"

# An agent that is just starting is waited for so long; a missing one is worth an error soon.
_AGENT_SECONDS = 3.0


def join(
    job: str | None = None,
    rank: int | None = None,
    socket: str | None = None,
    timeout: float = 60.0,
    *,
    deterministic: bool = False,
) -> Job:
    """Joins a job as one of its workers and makes it the current job of :func:`mlnet.allreduce`.

    Waits until the agent knows the job and is connected to the agents it exchanges gradients with.

    :param job: the job's name; when unset ``MLNET_JOB``, else torchrun's ``TORCHELASTIC_RUN_ID``, else ``slurm-`` and ``SLURM_JOB_ID``.
    :param rank: this worker's rank; when unset the first of ``MLNET_RANK``, ``RANK``, ``OMPI_COMM_WORLD_RANK`` and ``SLURM_PROCID``, else any
        free rank of this host.
    :param socket: path of the agent's socket; ``MLNET_AGENT_SOCKET`` when unset, else the only ``.sock`` in ``/run/mlnet``.
    :param timeout: seconds to wait for the job. For an agent that does not listen this waits no longer than three.
    :param deterministic: default of the calls, see :meth:`Job.allreduce`.
    :raises AgentUnavailable: no agent listens on the socket.
    :raises UnknownJob: no job was named, or the agent did not hear of it in time.
    :raises NotReady: the agents of the job were not connected in time.
    :raises Refused: this process may not take part, or its launcher counts other workers than the job has; the message says why.
    """
    return join_as(job, rank, socket, timeout, deterministic, None)


def join_as(job: str | None, rank: int | None, socket: str | None, timeout: float, deterministic: bool, role: str | None) -> Job:
    """Joins; with a role a job that has a parameter server, as that server or as a worker of it, without one a job that has none."""
    name = job or _environment.job_name()
    if rank is None and role != "server":
        rank = _environment.rank()
    expected = _environment.world_size()
    path = socket or os.environ.get("MLNET_AGENT_SOCKET") or _default_socket()
    deadline = time.monotonic() + timeout
    connection = Connection(path)
    try:
        connection.connect(min(deadline, time.monotonic() + _AGENT_SECONDS))
        connection.send(request_to_join(name, rank, role) | ({} if expected is None else {"workers": expected}))
        joined = admitted(connection, name, deadline, timeout)
        size = int(joined["worldSize"]) - (0 if joined.get("server") is None else 1)
        return Job(connection, name, int(joined["rank"]), size, deterministic, role)
    except BaseException:
        connection.close()
        raise


def _default_socket() -> str:
    """The agent names its socket after the host; a machine has one, unless hosts are emulated on it."""
    found = sorted(glob.glob(_DEFAULT_DIRECTORY + "/*.sock"))
    if len(found) > 1:
        raise AgentUnavailable(f"several agents listen in {_DEFAULT_DIRECTORY} ({', '.join(found)}): pass socket=... or set MLNET_AGENT_SOCKET")
    return found[0] if found else _DEFAULT_DIRECTORY + "/agent.sock"
