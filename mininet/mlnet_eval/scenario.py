"""Scenario files: one JSON file says which fabric is built and which jobs run on it.

The keys are those of the controller's ``Scenario`` record (camelCase), so that planner, simulator and emulation read the
same file. Everything is checked at once, and each fault names the field, the value found and what would be right.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar, Union

from mlnet_eval.fat_tree import MAX_HOSTS, MAX_HOSTS_PER_RACK, MAX_K, host_names
from mlnet_eval.perceptron import parameter_count

_JOB_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_TRAINING_SAMPLES = 60_000  # of Fashion-MNIST: a round cannot use more
_MOST_BYTES = 1 << 30  # of a replayed gradient
_T = TypeVar("_T")


@dataclass(frozen=True)
class FabricShape:
    """Shape of an emulated fat-tree. Rates are Mbit/s (10^6 bit/s), each direction of a link."""

    host_mbps: float
    rack_uplink_mbps: float
    core_mbps: float
    k: int = 4
    pods: Optional[int] = None
    hosts_per_rack: Optional[int] = None

    @property
    def pod_count(self) -> int:
        """Pods built; k when unset."""
        return self.k if self.pods is None else self.pods

    @property
    def rack_size(self) -> int:
        """Hosts per rack; k/2 when unset."""
        return self.k // 2 if self.hosts_per_rack is None else self.hosts_per_rack


@dataclass(frozen=True)
class ScenarioJob:
    """A job of a scenario: one that trains a perceptron (``hidden``), or one that only goes through the motions of a job of known size (``gradient_bytes``)."""

    name: str
    rounds: int
    hidden: Optional[int] = None
    gradient_bytes: Optional[int] = None
    compute_seconds: float = 0.0  # of a round, with gradient_bytes only; of training it shows by training
    workers: Optional[Tuple[str, ...]] = None
    batch_per_worker: int = 64
    seed: int = 1
    learning_rate: float = 0.05
    start_seconds: float = 0.0

    @property
    def message_bytes(self) -> int:
        """Bytes of gradient that a worker contributes per round."""
        return 4 * parameter_count(self.hidden) if self.hidden is not None else self.gradient_bytes or 0

    def worker_hosts(self, shape: FabricShape) -> List[str]:
        """The host of each rank: one on every host when the scenario names none."""
        return host_names(shape) if self.workers is None else list(self.workers)


@dataclass(frozen=True)
class Scenario:
    """One file that feeds planner, simulator and emulation alike."""

    name: str
    fabric: FabricShape
    jobs: Tuple[ScenarioJob, ...]


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an input."""

    field: str
    value: str
    message: str

    def __str__(self) -> str:
        return f"{self.field} = {self.value}: {self.message}"


class ScenarioError(ValueError):
    """A scenario cannot be used; ``faults`` lists everything that is wrong with it."""

    def __init__(self, source: str, faults: List[Fault]) -> None:
        super().__init__("\n".join([f"{source} cannot be used:"] + [f"  {fault}" for fault in faults]))
        self.faults = faults


def load(path: Union[str, Path]) -> Scenario:
    """Reads and checks a scenario file.

    Raises:
        ScenarioError: the file is missing, is not JSON, or has faults (all of them are listed).
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(str(path), [Fault("file", str(path), f"cannot be read ({error}); give the path of a scenario file.")]) from error
    try:
        document = json.loads(text, object_pairs_hook=_object_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(str(path), [Fault("file", str(path), f"is not JSON: {error}.")]) from error
    return parse(document, source=str(path))


def parse(document: Any, source: str = "scenario") -> Scenario:
    """Checks a decoded JSON document and makes a scenario of it; raises ScenarioError with every fault."""
    reader = _Reader()
    scenario = _read_scenario(reader, document)
    if reader.faults or scenario is None:
        raise ScenarioError(source, reader.faults)
    return scenario


def check_shape(shape: FabricShape) -> List[Fault]:
    """The faults of a shape that was not read from a file."""
    reader = _Reader()
    _read_shape(
        reader,
        "fabric",
        {
            "k": shape.k,
            "pods": shape.pods,
            "hostsPerRack": shape.hosts_per_rack,
            "hostMbps": shape.host_mbps,
            "rackUplinkMbps": shape.rack_uplink_mbps,
            "coreMbps": shape.core_mbps,
        },
    )
    return reader.faults


def _object_without_duplicates(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"key {key!r} stands twice in one object; keep one")
    return dict(pairs)


class _Reader:
    """Collects faults while values are taken out of a document."""

    def __init__(self) -> None:
        self.faults: List[Fault] = []

    def fault(self, field: str, value: Any, message: str) -> None:
        text = json.dumps(value, default=str)
        self.faults.append(Fault(field, text if len(text) <= 80 else text[:77] + "...", message))

    def members(self, field: str, value: Any, known: Tuple[str, ...]) -> Optional[Dict[str, Any]]:
        if not isinstance(value, dict):
            self.fault(field, value, "must be an object.")
            return None
        for key in value:
            if key not in known:
                self.fault(f"{field}.{key}" if field else key, value[key], f"is not known here; known are {', '.join(known)}.")
        return value

    def take(
        self, owner: Dict[str, Any], prefix: str, key: str, check: Callable[[Any], Optional[_T]], expected: str, default: Optional[_T] = None
    ) -> Optional[_T]:
        """The checked value; the default when the key is absent or null; None, with a fault noted, when it is wrong."""
        field = f"{prefix}.{key}" if prefix else key
        value = owner.get(key)
        if value is None:
            if default is None:
                self.faults.append(Fault(field, "(missing)", f"is required: {expected}."))
            return default
        checked = check(value)
        if checked is None:
            self.fault(field, value, f"must be {expected}.")
        return checked


def _whole(low: int, high: int) -> Callable[[Any], Optional[int]]:
    def check(value: Any) -> Optional[int]:
        return value if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high else None

    return check


def _number(low: float, high: float) -> Callable[[Any], Optional[float]]:
    def check(value: Any) -> Optional[float]:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return None
        return float(value) if low <= value <= high else None

    return check


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and 0 < len(value.strip()) and len(value) <= 200 else None


def _job_name(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and _JOB_NAME.fullmatch(value) else None


def _read_scenario(reader: _Reader, document: Any) -> Optional[Scenario]:
    members = reader.members("", document, ("name", "fabric", "jobs"))
    if members is None:
        return None
    name = reader.take(members, "", "name", _text, "a text of 1 to 200 characters")
    shape: Optional[FabricShape] = None
    if members.get("fabric") is None:
        reader.fault("fabric", None, "is required: the shape of the fat-tree.")
    else:
        shape = _read_shape(reader, "fabric", members["fabric"])
    jobs: List[ScenarioJob] = []
    listed = members.get("jobs")
    if not isinstance(listed, list) or not listed:
        reader.fault("jobs", listed, "must be a list of at least one job.")
    else:
        for index, item in enumerate(listed):
            job = _read_job(reader, f"jobs[{index}]", item, shape)
            if job is not None and any(other.name == job.name for other in jobs):
                reader.fault(f"jobs[{index}].name", job.name, "is the name of an earlier job too; each job needs its own.")
            if job is not None:
                jobs.append(job)
    if reader.faults or name is None or shape is None:
        return None
    return Scenario(name, shape, tuple(jobs))


def _read_shape(reader: _Reader, field: str, value: Any) -> Optional[FabricShape]:
    members = reader.members(field, value, ("k", "pods", "hostsPerRack", "hostMbps", "rackUplinkMbps", "coreMbps"))
    if members is None:
        return None
    k = reader.take(members, field, "k", _whole(2, MAX_K), f"an even whole number of 2 to {MAX_K}", 4)
    if k is not None and k % 2:
        reader.fault(f"{field}.k", k, "must be even: half of a switch's ports go up, half go down.")
        k = None
    if k is None:
        return None
    pods = reader.take(members, field, "pods", _whole(1, k), f"a whole number of 1 to k ({k})", k)
    rack = reader.take(members, field, "hostsPerRack", _whole(1, MAX_HOSTS_PER_RACK), f"a whole number of 1 to {MAX_HOSTS_PER_RACK}", k // 2)
    if pods is not None and rack is not None and pods * (k // 2) * rack > MAX_HOSTS:
        reader.fault(f"{field}.hostsPerRack", rack, f"in {pods} pods of {k // 2} racks makes more than {MAX_HOSTS} hosts; lower one of them.")
    # 0.1 Mbit/s: below, one packet takes over 0.1 s. 10,000: above, no software router of one machine is the bottleneck by its queues.
    rates = [
        reader.take(members, field, key, _number(0.1, 10_000), "a rate of 0.1 to 10000 Mbit/s") for key in ("hostMbps", "rackUplinkMbps", "coreMbps")
    ]
    host, uplink, core = rates
    if pods is None or rack is None or host is None or uplink is None or core is None:
        return None
    return FabricShape(
        host_mbps=host,
        rack_uplink_mbps=uplink,
        core_mbps=core,
        k=k,
        pods=None if members.get("pods") is None else pods,
        hosts_per_rack=None if members.get("hostsPerRack") is None else rack,
    )


def _read_job(reader: _Reader, field: str, value: Any, shape: Optional[FabricShape]) -> Optional[ScenarioJob]:
    known = ("name", "workers", "hidden", "gradientBytes", "computeSeconds", "rounds", "batchPerWorker", "seed", "learningRate", "startSeconds")
    members = reader.members(field, value, known)
    if members is None:
        return None
    name = reader.take(members, field, "name", _job_name, "1-63 characters of a-z, 0-9, '-', '_' and '.', starting with a letter or digit")
    hidden, gradient, compute = _read_size(reader, field, members)
    rounds = reader.take(members, field, "rounds", _whole(1, 1_000_000), "a whole number of 1 to 1000000")
    batch = reader.take(members, field, "batchPerWorker", _whole(1, _TRAINING_SAMPLES), f"a whole number of 1 to {_TRAINING_SAMPLES}", 64)
    seed = reader.take(members, field, "seed", _whole(0, 2**31 - 1), "a whole number of 0 to 2147483647", 1)
    rate = reader.take(members, field, "learningRate", _number(1e-9, 100.0), "a number above 0, at most 100", 0.05)
    start = reader.take(members, field, "startSeconds", _number(0.0, 86_400.0), "seconds, 0 to 86400", 0.0)
    workers = _read_workers(reader, f"{field}.workers", members.get("workers"), shape)
    if shape is not None and batch is not None:
        world = len(host_names(shape)) if workers is None else len(workers)
        if world * batch > _TRAINING_SAMPLES:
            reader.fault(
                f"{field}.batchPerWorker",
                batch,
                f"times {world} workers must not exceed the {_TRAINING_SAMPLES} training samples; lower one of them.",
            )
    if name is None or rounds is None or batch is None or seed is None or rate is None or start is None:
        return None
    return ScenarioJob(name, rounds, hidden, gradient, compute, workers, batch, seed, rate, start)


def _read_size(reader: _Reader, field: str, members: Dict[str, Any]) -> Tuple[Optional[int], Optional[int], float]:
    """Either the perceptron's width, or bytes and computation of a job that is replayed."""
    if members.get("gradientBytes") is None:
        if members.get("computeSeconds") is not None:
            reader.fault(f"{field}.computeSeconds", members["computeSeconds"], "belongs to a job with gradientBytes; how long a perceptron computes shows by training.")
        return reader.take(members, field, "hidden", _whole(1, 65_536), "a whole number of 1 to 65536"), None, 0.0
    for key in ("hidden", "batchPerWorker", "seed", "learningRate"):
        if members.get(key) is not None:
            reader.fault(f"{field}.{key}", members[key], "belongs to a perceptron; leave it out, or leave out gradientBytes.")
    gradient = reader.take(members, field, "gradientBytes", _bytes_of_floats, f"bytes of float32 numbers, a multiple of 4 up to {_MOST_BYTES}")
    compute = reader.take(members, field, "computeSeconds", _number(0.0, 3_600.0), "seconds, 0 to 3600", 0.0)
    return None, gradient, compute or 0.0


def _bytes_of_floats(value: Any) -> Optional[int]:
    checked = _whole(4, _MOST_BYTES)(value)
    return checked if checked is None or checked % 4 == 0 else None


def _read_workers(reader: _Reader, field: str, value: Any, shape: Optional[FabricShape]) -> Optional[Tuple[str, ...]]:
    if value is None:
        return None
    if not isinstance(value, list) or not value:
        reader.fault(field, value, "must be a list of at least one host name, or be left out: one worker on every host.")
        return None
    hosts = set(host_names(shape)) if shape is not None else None
    for rank, host in enumerate(value):
        if not isinstance(host, str) or (hosts is not None and host not in hosts):
            reader.fault(f"{field}[{rank}]", host, "is no host of this fabric; hosts are named h{pod}-{rack}-{index}, counted from 0.")
    return tuple(host for host in value if isinstance(host, str))
