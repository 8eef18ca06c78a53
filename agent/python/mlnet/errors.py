"""What can go wrong, one class for each thing a trainer might treat differently."""

from __future__ import annotations


class MlnetError(Exception):
    """Base of all errors of this library. The message names the value at fault and the remedy."""


class AgentUnavailable(MlnetError):
    """No agent listens on the socket, or it went away."""


class UnknownJob(MlnetError):
    """The agent did not learn of the job within the timeout, or no job was named."""


class NotReady(MlnetError):
    """The job is known, but its agents were not all connected within the timeout."""


class Refused(MlnetError):
    """The agent does not let this process take part: wrong user, rank taken, rank of another host."""


class ShapeMismatch(MlnetError):
    """Workers called with arrays of different size, type or operation in the same round. The next round is not affected."""


class RoundFailed(MlnetError):
    """The round cannot be finished because a worker or a host is gone. No worker's result of it is to be used."""


class JobClosed(RoundFailed):
    """The job was withdrawn while the worker took part in it."""


_BY_CODE: dict[str, type[MlnetError]] = {
    "shape-mismatch": ShapeMismatch,
    "worker-gone": RoundFailed,
    "host-lost": RoundFailed,
    "job-closed": JobClosed,
    "refused": Refused,
}


def from_code(code: str, message: str) -> MlnetError:
    """The error for a code of the worker protocol; unknown codes become :class:`MlnetError`."""
    return _BY_CODE.get(code, MlnetError)(message)
