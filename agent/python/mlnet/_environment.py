"""Job, rank and number of workers as launchers tell them."""

from __future__ import annotations

import os

from .errors import Refused, UnknownJob

# By launcher: MLNet's own names first, then torchrun and other users of PyTorch's, Open MPI's mpirun, Slurm's srun.
_RANK = ("MLNET_RANK", "RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
_WORLD_SIZE = ("MLNET_WORLD_SIZE", "WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS")


def job_name() -> str:
    """``MLNET_JOB``; else the run of torchrun, else the job of Slurm as ``slurm-ID``."""
    name = os.environ.get("MLNET_JOB")
    if not name and os.environ.get("TORCHELASTIC_RUN_ID", "none") != "none":
        name = os.environ["TORCHELASTIC_RUN_ID"]
    if not name and os.environ.get("SLURM_JOB_ID"):
        name = f"slurm-{os.environ['SLURM_JOB_ID']}"
    if not name:
        raise UnknownJob("no job was named: pass job=... or set MLNET_JOB to the name under which it was submitted")
    return name


def rank() -> int | None:
    """This worker's rank; None when no launcher says."""
    return _number(_RANK, 0)


def world_size() -> int | None:
    """Number of workers; None when no launcher says."""
    return _number(_WORLD_SIZE, 1)


def _number(names: tuple[str, ...], least: int) -> int | None:
    for name in names:
        text = os.environ.get(name)
        if text:
            if not text.isdecimal() or int(text) < least:
                raise Refused(f"{name} is {text!r}; it must be a number from {least}")
            return int(text)
    return None
