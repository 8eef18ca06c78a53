"""Scenario files: what is read, and what is said of one that cannot be used."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

from mlnet_eval import scenario
from mlnet_eval.scenario import FabricShape, ScenarioError, load, parse

SCENARIOS = Path(__file__).parents[1] / "scenarios"
GOOD: Dict[str, Any] = {
    "name": "two racks",
    "fabric": {"k": 4, "pods": 1, "hostsPerRack": 3, "hostMbps": 20, "rackUplinkMbps": 10.5, "coreMbps": 5},
    "jobs": [{"name": "a", "hidden": 8, "rounds": 5}, {"name": "b", "workers": ["h0-1-2", "h0-0-0"], "hidden": 9, "rounds": 6, "startSeconds": 2.5}],
}


@pytest.mark.parametrize("path", sorted(path.name for path in SCENARIOS.glob("*.json")))
def test_load_every_scenario_of_the_project_is_valid(path: str) -> None:
    assert load(SCENARIOS / path).jobs


def test_parse_good_document_gives_its_values_and_defaults() -> None:
    read = parse(GOOD)

    assert read.fabric == FabricShape(host_mbps=20, rack_uplink_mbps=10.5, core_mbps=5, k=4, pods=1, hosts_per_rack=3)
    first, second = read.jobs
    assert (first.batch_per_worker, first.seed, first.learning_rate, first.start_seconds, first.workers) == (64, 1, 0.05, 0.0, None)
    assert first.worker_hosts(read.fabric) == ["h0-0-0", "h0-0-1", "h0-0-2", "h0-1-0", "h0-1-1", "h0-1-2"]
    assert second.worker_hosts(read.fabric) == ["h0-1-2", "h0-0-0"]
    assert second.start_seconds == 2.5


def test_parse_replayed_job_has_bytes_and_computation_instead_of_a_model() -> None:
    job = parse({**GOOD, "jobs": [{"name": "r", "gradientBytes": 4_000_000, "computeSeconds": 0.25, "rounds": 3}]}).jobs[0]

    assert (job.hidden, job.message_bytes, job.compute_seconds) == (None, 4_000_000, 0.25)


def test_parse_shape_without_counts_is_a_full_tree() -> None:
    shape = parse({**GOOD, "fabric": {"k": 6, "hostMbps": 1, "rackUplinkMbps": 1, "coreMbps": 1}, "jobs": GOOD["jobs"][:1]}).fabric

    assert (shape.pod_count, shape.rack_size) == (6, 3)


Change = Callable[[Dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "field", "value", "words"),
    [
        (lambda d: d.update(speed=1), "speed", "1", "known are name, fabric, jobs"),
        (lambda d: d["fabric"].update(hostMbits=1), "fabric.hostMbits", "1", "hostMbps"),
        (lambda d: d["jobs"][1].update(batch=1), "jobs[1].batch", "1", "batchPerWorker"),
        (lambda d: d.pop("name"), "name", "(missing)", "is required"),
        (lambda d: d["fabric"].pop("coreMbps"), "fabric.coreMbps", "(missing)", "is required"),
        (lambda d: d["fabric"].update(k=5), "fabric.k", "5", "even"),
        (lambda d: d["fabric"].update(k=4.0), "fabric.k", "4.0", "whole number"),
        (lambda d: d["fabric"].update(k=True), "fabric.k", "true", "whole number"),
        (lambda d: d["fabric"].update(pods=5), "fabric.pods", "5", "1 to k (4)"),
        (lambda d: d["fabric"].update(hostsPerRack=65), "fabric.hostsPerRack", "65", "1 to 64"),
        (lambda d: d["fabric"].update(hostMbps=0), "fabric.hostMbps", "0", "0.1 to 10000"),
        (lambda d: d["fabric"].update(hostMbps=float("nan")), "fabric.hostMbps", "NaN", "0.1 to 10000"),
        (lambda d: d["fabric"].update(hostMbps="20"), "fabric.hostMbps", '"20"', "0.1 to 10000"),
        (lambda d: d.update(jobs=[]), "jobs", "[]", "at least one"),
        (lambda d: d.update(jobs={}), "jobs", "{}", "at least one"),
        (lambda d: d["jobs"].append(7), "jobs[2]", "7", "object"),
        (lambda d: d["jobs"][0].update(name="Big Job"), "jobs[0].name", '"Big Job"', "a-z"),
        (lambda d: d["jobs"][1].update(name="a"), "jobs[1].name", '"a"', "earlier job"),
        (lambda d: d["jobs"][0].update(workers=[]), "jobs[0].workers", "[]", "at least one"),
        (lambda d: d["jobs"][0].update(workers=["h0-0-0", "h0-2-0"]), "jobs[0].workers[1]", '"h0-2-0"', "no host"),
        (lambda d: d["jobs"][0].update(hidden=0), "jobs[0].hidden", "0", "1 to 65536"),
        (lambda d: d["jobs"][0].update(gradientBytes=4), "jobs[0].hidden", "8", "leave out gradientBytes"),
        (lambda d: d["jobs"].append({"name": "r", "gradientBytes": 6, "rounds": 1}), "jobs[2].gradientBytes", "6", "multiple of 4"),
        (lambda d: d["jobs"].append({"name": "r", "gradientBytes": 8, "computeSeconds": -1, "rounds": 1}), "jobs[2].computeSeconds", "-1", "0 to 3600"),
        (lambda d: d["jobs"][0].update(computeSeconds=1), "jobs[0].computeSeconds", "1", "shows by training"),
        (lambda d: d["jobs"][0].update(rounds=-3), "jobs[0].rounds", "-3", "1 to 1000000"),
        (lambda d: d["jobs"][0].update(batchPerWorker=10_001), "jobs[0].batchPerWorker", "10001", "60000 training samples"),
        (lambda d: d["jobs"][0].update(learningRate=0), "jobs[0].learningRate", "0", "above 0"),
        (lambda d: d["jobs"][0].update(startSeconds=-1), "jobs[0].startSeconds", "-1", "0 to 86400"),
        (lambda d: d["jobs"][0].update(seed=2**31), "jobs[0].seed", "2147483648", "2147483647"),
    ],
)
def test_parse_one_fault_names_field_value_and_remedy(change: Change, field: str, value: str, words: str) -> None:
    document = copy.deepcopy(GOOD)
    change(document)

    with pytest.raises(ScenarioError) as caught:
        parse(document)

    (fault,) = caught.value.faults
    assert (fault.field, fault.value) == (field, value)
    assert words in fault.message
    assert field in str(caught.value) and value in str(caught.value)


def test_parse_many_faults_are_all_told_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        parse({"name": 7, "fabric": {"k": 3, "hostMbps": 1, "rackUplinkMbps": 1, "coreMbps": 1}, "jobs": [{"rounds": 0}], "x": None})

    assert [fault.field for fault in caught.value.faults] == ["x", "name", "fabric.k", "jobs[0].name", "jobs[0].hidden", "jobs[0].rounds"]


@pytest.mark.parametrize("document", [None, [], 3, "text"])
def test_parse_document_that_is_no_object_is_refused(document: Any) -> None:
    with pytest.raises(ScenarioError):
        parse(document)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"name": "a", "name": "b"}', b"[" * 100_000])
def test_load_broken_file_is_refused_with_its_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)

    with pytest.raises(ScenarioError, match="broken.json"):
        load(path)


def test_load_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="absent.json"):
        load(tmp_path / "absent.json")


def test_check_shape_tells_faults_of_a_shape_made_in_code() -> None:
    assert scenario.check_shape(FabricShape(20, 10, 10)) == []
    assert [fault.field for fault in scenario.check_shape(FabricShape(20, 10, -1, k=4, pods=9))] == ["fabric.pods", "fabric.coreMbps"]
    (fault,) = scenario.check_shape(FabricShape(20, 10, 10, k=16, hosts_per_rack=8))
    assert fault.field == "fabric.hostsPerRack" and "more than 1000 hosts" in fault.message


def test_demo_scenario_takes_what_the_demonstration_promises() -> None:
    demo = json.loads((SCENARIOS / "demo.json").read_text())["fabric"]

    assert demo == {"k": 4, "pods": 2, "hostsPerRack": 4, "hostMbps": 20, "rackUplinkMbps": 10, "coreMbps": 10}
