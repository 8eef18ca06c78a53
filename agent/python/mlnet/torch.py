"""PyTorch: gradients of a DistributedDataParallel model go through MLNet.

One line after the model is wrapped::

    model = torch.nn.parallel.DistributedDataParallel(model)
    mlnet.torch.register(model)

Buckets are handed over as the backward pass fills them, each on a stream of its own, so several are under way at once; the result is the mean over
all workers, as DDP's own reduction gives. The process group (Gloo, say) still starts the model, but carries no gradients any more.
"""

# No postponed annotations here: DistributedDataParallel looks at those of its hook.
import atexit
import os
import sys
from typing import Any, Optional

import torch
import torch.distributed as dist
from torch.futures import Future

from . import joining
from .errors import Refused, ShapeMismatch
from .job import Job
from .reduction import Reduction

# What numpy can look at without a copy, and what the agent is to take it for.
_VIEWS = {
    torch.float32: (torch.float32, "float32"),
    torch.float64: (torch.float64, "float64"),
    torch.float16: (torch.float16, "float16"),
    torch.bfloat16: (torch.int16, "bfloat16"),
    torch.int32: (torch.int32, "int32"),
    torch.int64: (torch.int64, "int64"),
}

# Streams of models begin here, so that a trainer's own calls on low streams stay apart.
_FIRST_STREAM = 1 << 16
_STREAMS_PER_MODEL = 1 << 12


class _Buckets:
    """The buckets of one model."""

    def __init__(self, job: Job, first_stream: int, deterministic: Optional[bool]) -> None:
        self._job = job
        self._first_stream = first_stream
        self._deterministic = deterministic

    def reduce(self, bucket: dist.GradBucket) -> Future[torch.Tensor]:
        buffer = bucket.buffer()
        if buffer.dtype not in _VIEWS:
            raise ShapeMismatch(f"gradients of {buffer.dtype} cannot be reduced: use one of {', '.join(str(d) for d in _VIEWS)}")
        view, element = _VIEWS[buffer.dtype]
        stream = self._first_stream + bucket.index()
        bits = buffer.view(view)
        place = self._job.contribution(bits.numel(), str(view).removeprefix("torch."), stream)
        torch.from_numpy(place).copy_(bits)
        reduction = self._job.reduce_async(place, "mean", stream, dtype=element, deterministic=self._deterministic, copy=False)
        over: Future[None] = Future(devices=[buffer.device]) if buffer.is_cuda else Future()

        def finish(_: Future[None]) -> torch.Tensor:
            # Raises what went wrong in the round, which then() passes on to whoever waits for the backward pass.
            mean = torch.from_numpy(reduction.wait())
            if buffer.is_cuda:
                bits.copy_(mean)
                return buffer
            # Where it lies: DDP copies it into the gradients at the end of this backward pass, long before the place is used again.
            return mean.view(buffer.dtype)

        def end(_: Reduction[Any]) -> None:
            over.set_result(None)

        result: Future[torch.Tensor] = over.then(finish)
        reduction.add_done_callback(end)
        return result


_models = 0


def _hook(state: _Buckets, bucket: dist.GradBucket) -> Future[torch.Tensor]:
    return state.reduce(bucket)


def register(model: torch.nn.parallel.DistributedDataParallel, job: Optional[Job] = None, *, deterministic: Optional[bool] = None) -> Job:
    """Lets MLNet reduce the gradients of a model from now on.

    Call it at all workers, for the same models in the same order, before the first backward pass.

    :param model: a model wrapped in ``DistributedDataParallel``.
    :param job: the job; without one the job of the environment is joined, see :func:`mlnet.join`, with the rank of the process group.
    :param deterministic: add in a fixed order; default as the job was joined.
    :returns: the job. It is left by itself when the process ends.
    :raises AgentUnavailable: no agent listens; the message names its socket and what to do.
    :raises MlnetError: the job cannot be joined, or has other workers than the process group; see :func:`mlnet.join`.
    """
    global _models
    if job is None:
        job = joining.join(rank=None if os.environ.get("MLNET_RANK") else dist.get_rank())
        _leave_at_exit(job)
    if job.world_size != dist.get_world_size() or job.rank != dist.get_rank():
        raise Refused(
            f"this process is rank {dist.get_rank()} of {dist.get_world_size()} in the process group, but rank {job.rank} of {job.world_size} in job {job.name}: "
            "submit the job with its workers in the order of the ranks"
        )
    model.register_comm_hook(_Buckets(job, _FIRST_STREAM + _models * _STREAMS_PER_MODEL, deterministic), _hook)
    _models += 1
    return job


def _leave_at_exit(job: Job) -> None:
    failed = False
    before = sys.excepthook

    def note(*what: Any) -> None:
        nonlocal failed
        failed = True
        before(*what)

    def leave() -> None:
        # Not a goodbye after a crash: the others must hear that this worker failed.
        if not failed:
            job.leave()

    sys.excepthook = note
    atexit.register(leave)
