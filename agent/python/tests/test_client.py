"""The client against an agent that follows docs/protocol.md as far as a script goes. The real agent is tried in the system tests."""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlnet
import numpy as np
import pytest
from scripted_agent import CAPACITY, Peer, Script


def test_allreduce_new_array_and_out_and_growth(agent: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        assert peer.admit(world_size=3, rank=2) == {"type": "join", "protocol": 2, "job": "j", "rank": 2}
        peer.give_area(first_round=7)
        assert peer.answer(3.0) == {"type": "reduce", "stream": 0, "round": 7, "bytes": 48, "dtype": "float32", "op": "sum"}
        second = peer.answer(0.5)
        assert (second["round"], second["op"]) == (8, "mean")
        peer.give_area(first_round=9, capacity=16384)
        third = peer.answer(2.0, capacity=16384)
        assert (third["round"], third["op"]) == (9, "sum")
        assert peer.receive() == {"type": "leave"}

    path = agent(script)
    with mlnet.join("j", rank=2, socket=path) as job:
        assert (job.rank, job.world_size, job.name) == (2, 3, "j")
        array = np.arange(12, dtype=np.float32).reshape(3, 4)
        result = job.allreduce(array)
        assert result.shape == (3, 4)
        np.testing.assert_array_equal(result, array * 3)
        np.testing.assert_array_equal(array, np.arange(12, dtype=np.float32).reshape(3, 4))
        out = np.empty((12,), np.float32)
        assert mlnet.allreduce(array[:, ::-1], "mean", out=out) is out
        np.testing.assert_array_equal(out, array[:, ::-1].ravel() * 0.5)
        np.testing.assert_array_equal(job.allreduce(np.ones(2000, np.float32)), np.full(2000, 2, np.float32))
        assert job.allreduce(np.empty((0, 3), np.float32)).shape == (0, 3)
    with pytest.raises(mlnet.MlnetError, match="has left job j"):
        job.allreduce(array)


def test_environment_names_job_rank_and_socket(agent: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch) -> None:
    def script(peer: Peer) -> None:
        assert peer.admit() == {"type": "join", "protocol": 2, "job": "from-env", "rank": 0}
        assert peer.receive() == {"type": "leave"}

    monkeypatch.setenv("MLNET_AGENT_SOCKET", agent(script))
    monkeypatch.setenv("MLNET_JOB", "from-env")
    monkeypatch.setenv("MLNET_RANK", "0")
    mlnet.join().leave()


@pytest.mark.parametrize(
    ("environment", "job", "rank", "launched"),
    [
        ({"TORCHELASTIC_RUN_ID": "run-7", "RANK": "3", "WORLD_SIZE": "4"}, "run-7", 3, {"workers": 4}),
        ({"SLURM_JOB_ID": "99", "SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, "slurm-99", 2, {"workers": 4}),
        ({"MLNET_JOB": "j", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4", "SLURM_PROCID": "0"}, "j", 1, {"workers": 4}),
        ({"MLNET_JOB": "j", "TORCHELASTIC_RUN_ID": "none", "MLNET_RANK": "2", "RANK": "0"}, "j", 2, {}),
    ],
)
def test_launchers_name_job_rank_and_size(
    agent: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], job: str, rank: int, launched: dict[str, int]
) -> None:
    def script(peer: Peer) -> None:
        assert peer.admit(world_size=4, rank=rank) == {"type": "join", "protocol": 2, "job": job, "rank": rank, **launched}
        peer.receive()

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    mlnet.join(socket=agent(script)).leave()


def test_launcher_with_another_number_of_workers_is_refused(agent: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch) -> None:
    def script(peer: Peer) -> None:
        assert peer.receive()["workers"] == 8
        peer.send(type="refused", code="refused", message="the launcher started 8 workers, but job j has 4: submit it with as many, or start as many")

    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(mlnet.Refused, match="started 8 workers, but job j has 4"):
        mlnet.join("j", socket=agent(script))


def test_every_type_and_operation_is_named_as_the_protocol_does(agent: Callable[[Script], str]) -> None:
    types = ["float32", "float64", "float16", "int32", "int64"]
    operations: list[mlnet.Operation] = ["sum", "mean", "min", "max"]
    def script(peer: Peer) -> None:
        peer.admit()
        peer.give_area()
        for name in types:
            for op in operations:
                request = peer.answer_copy()
                assert (request["dtype"], request["op"], request["deterministic"]) == (name, op, True)
        assert peer.answer_copy()["deterministic"] is True
        last = peer.answer_copy()
        assert {k: v for k, v in last.items() if k not in ("stream", "round")} == {"type": "reduce", "bytes": 4, "dtype": "bfloat16", "op": "sum"}

    job = mlnet.join("j", socket=agent(script), deterministic=True)
    for name in types:
        array = np.arange(5).astype(name)
        for op in operations:
            result = job.allreduce(array, op)
            assert result.dtype == array.dtype
            np.testing.assert_array_equal(result, array)
    bits = np.array([0x3F80, 0x4000], np.uint16)
    np.testing.assert_array_equal(job.allreduce(bits, dtype="bfloat16"), bits)
    job.allreduce(bits, dtype="bfloat16", deterministic=False)


def test_ml_dtypes_bfloat16(agent: Callable[[Script], str]) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")

    def script(peer: Peer) -> None:
        peer.admit()
        peer.give_area()
        assert peer.answer_copy()["dtype"] == "bfloat16"

    array = np.arange(5).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(mlnet.join("j", socket=agent(script)).allreduce(array), array)


def test_rounds_of_several_streams_are_under_way_at_once(agent: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.admit()
        areas = {}
        for stream in range(3):
            peer.give_area()
            areas[stream] = peer.memory
        requests = [peer.receive() for _ in range(3)]
        for request in reversed(requests):  # the last first
            peer.memory = areas[request["stream"]]
            peer.answer_to(request, lambda a: a * (request["stream"] + 2))

    job = mlnet.join("j", socket=agent(script))
    array = np.arange(4, dtype=np.float32)
    for stream in range(3):
        job.contribution(4, np.float32, stream)[:] = array + stream
    rounds = [job.reduce_async(job.contribution(4, np.float32, s), stream=s) for s in range(3)]
    called: list[int] = []
    for r in rounds:
        r.add_done_callback(lambda r: called.append(r.stream))
    for stream, r in enumerate(rounds):
        np.testing.assert_array_equal(r.wait(10), (array + stream) * (stream + 2))
        assert r.done()
    for _ in range(500):
        if len(called) == 3:
            break
        time.sleep(0.01)
    assert sorted(called) == [0, 1, 2]
    job.leave()


def test_wait_with_a_limit_leaves_the_round_going(agent: Callable[[Script], str]) -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        peer.admit()
        peer.give_area()
        request = peer.receive()
        go_on.wait(10)
        peer.answer_to(request, lambda a: a * 2)
        peer.answer(3.0)

    job = mlnet.join("j", socket=agent(script))
    first = job.reduce_async(np.ones(3, np.float32))
    assert not first.done()
    with pytest.raises(TimeoutError, match="round 0 of stream 0 is not over after 0.05 s"):
        first.wait(0.05)
    go_on.set()
    # The next round of the stream waits for the first, whose result stays to be had.
    second = job.reduce_async(np.ones(3, np.float32), copy=False)
    np.testing.assert_array_equal(second.wait(), [3, 3, 3])
    np.testing.assert_array_equal(first.wait(), [2, 2, 2])


def test_agent_gone_ends_every_round_under_way(agent: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlnet.job, "_RESTART_SECONDS", 0.2)

    def script(peer: Peer) -> None:
        peer.admit()
        for _ in range(2):
            peer.give_area()
            peer.receive()

    job = mlnet.join("j", socket=agent(script))
    ended = threading.Event()
    rounds = [job.reduce_async(np.ones(3, np.float32), stream=s) for s in range(2)]
    rounds[1].add_done_callback(lambda r: ended.set())
    assert ended.wait(10)
    for r in rounds:
        with pytest.raises(mlnet.AgentUnavailable, match="join again"):
            r.wait()


def test_join_without_agent_names_socket_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(mlnet.AgentUnavailable, match=r"no agent listens on .*/none.sock .*start mlnet-agent"):
        mlnet.join("j", socket=str(tmp_path / "none.sock"), timeout=0.2)


def test_join_waits_for_an_agent_that_is_starting(agent: Callable[[Script], str], tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.admit()

    timer = threading.Timer(0.3, lambda: agent(script))
    timer.start()
    mlnet.join("j", socket=str(tmp_path / "agent.sock"), timeout=10).leave()
    timer.join()


@pytest.mark.parametrize(("code", "error"), [("unknown-job", mlnet.UnknownJob), ("not-ready", mlnet.NotReady)])
def test_join_timeout_says_what_it_waited_for(agent: Callable[[Script], str], code: str, error: type[Exception]) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(type="waiting", code="unknown-job", message="first reason")
        peer.send(type="waiting", code=code, message="the last reason")
        assert peer.receive()["type"] == "eof"

    path = agent(script)
    with pytest.raises(error, match=r"the last reason \(waited 0.3 s\)"):
        mlnet.join("j", socket=path, timeout=0.3)


def test_refused(agent: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(type="refused", code="refused", message="rank 3 belongs on host b")

    with pytest.raises(mlnet.Refused, match="rank 3 belongs on host b"):
        mlnet.join("j", rank=3, socket=agent(script))


@pytest.mark.parametrize(("code", "error"), [("shape-mismatch", mlnet.ShapeMismatch), ("worker-gone", mlnet.RoundFailed), ("host-lost", mlnet.RoundFailed)])
def test_failed_round_raises_and_the_next_goes_on(agent: Callable[[Script], str], code: str, error: type[Exception]) -> None:
    def script(peer: Peer) -> None:
        peer.admit()
        peer.give_area()
        request = peer.receive()
        peer.send(type="failed", stream=0, round=request["round"], code=code, message="rank 1 on host b did it")
        peer.answer(2.0)

    with mlnet.join("j", socket=agent(script)) as job:
        with pytest.raises(error, match="round 0 of stream 0: rank 1 on host b did it"):
            job.allreduce(np.ones(3, np.float32))
        np.testing.assert_array_equal(job.allreduce(np.ones(3, np.float32)), [2, 2, 2])


def test_agent_gone_in_a_round(agent: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlnet.job, "_RESTART_SECONDS", 0.2)

    def script(peer: Peer) -> None:
        peer.admit()
        peer.give_area()
        peer.receive()

    job = mlnet.join("j", socket=agent(script))
    for _ in range(2):
        with pytest.raises(mlnet.AgentUnavailable, match="ended or was restarted; join again"):
            job.allreduce(np.ones(3, np.float32))


@pytest.mark.parametrize("awaited", [True, False])
def test_agent_started_anew_gets_the_memory_back_and_the_round_goes_on(tmp_path: Path, awaited: bool) -> None:
    path = str(tmp_path / "agent.sock")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    results: list[Any] = []

    def work() -> None:
        with mlnet.join("j", rank=1, socket=path) as job:
            results.append(job.allreduce(np.full(4, 5, np.float32)))
            if not awaited:
                handed_back.wait(10)  # while it computes
            results.append(job.allreduce(np.full(4, 7, np.float32)))

    handed_back = threading.Event()
    worker = threading.Thread(target=work)
    worker.start()
    peer = Peer(listener.accept()[0])
    peer.admit(rank=1)
    peer.give_area()
    peer.answer(2.0)
    if awaited:
        assert peer.receive()["round"] == 1  # and then the agent dies
    peer.close()

    connection = listener.accept()[0]
    received, descriptors, _, _ = socket.recv_fds(connection, 65536, 4)
    while received.count(b"\n") < 2:
        more, others, _, _ = socket.recv_fds(connection, 65536, 4)
        received, descriptors = received + more, descriptors + others
    join, restore = (json.loads(line) for line in received.splitlines()[:2])
    assert join == {"type": "join", "protocol": 2, "job": "j", "rank": 1, "restore": 1}
    assert restore == {"type": "restore", "stream": 0, "round": 1, "capacity": CAPACITY}
    again = Peer(connection)
    again.memory = mmap.mmap(descriptors[0], 8192 + 4 * CAPACITY)
    again.send(type="waiting", code="unknown-job", message="not yet")
    again.send(type="joined", protocol=2, job="j", jobId=1, rank=1, worldSize=2)
    handed_back.set()
    again.answer(3.0)
    worker.join(10)
    assert [list(r) for r in results] == [[10] * 4, [21] * 4]
    again.close()
    os.close(descriptors[0])
    listener.close()


def test_agent_started_anew_that_reads_nothing_is_waited_for_no_longer_than_another(agent: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlnet.job, "_RESTART_SECONDS", 1.0)
    streams = 400  # more to hand back than a socket holds

    def script(peer: Peer) -> None:
        peer.admit()
        for _ in range(streams):
            peer.give_area()
            assert peer.receive()["type"] == "reduce"

    job = mlnet.join("j", socket=agent(script))
    rounds = [job.reduce_async(np.ones(3, np.float32), stream=s) for s in range(streams)]
    for r in rounds:
        with pytest.raises(mlnet.AgentUnavailable, match="ended or was restarted"):
            r.wait()


def test_job_withdrawn(agent: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.admit()
        peer.give_area()
        peer.receive()
        peer.send(type="closed", code="job-closed", message="job j was withdrawn")

    job = mlnet.join("j", socket=agent(script))
    with pytest.raises(mlnet.JobClosed, match="withdrawn"):
        job.allreduce(np.ones(3, np.float32))


def test_wrong_arguments_are_refused_before_anything_is_sent(agent: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.admit()
        assert peer.receive() == {"type": "leave"}

    job = mlnet.join("j", socket=agent(script))
    ones = np.ones(3, np.float32)
    with pytest.raises(mlnet.ShapeMismatch, match="arrays of uint8 cannot be reduced"):
        job.allreduce(np.ones(3, np.uint8))
    with pytest.raises(mlnet.ShapeMismatch, match="native byte order"):
        job.allreduce(np.ones(3, ">f4"))
    with pytest.raises(mlnet.ShapeMismatch, match="int32 does not hold float32"):
        job.allreduce(np.ones(3, np.int32), dtype="float32")
    with pytest.raises(ValueError, match="dtype is 'float8'"):
        job.allreduce(ones, dtype="float8")
    with pytest.raises(mlnet.ShapeMismatch, match="float64 array of 3 elements; it is float32 of 3"):
        job.allreduce(np.ones(3), out=np.empty(3, np.float32))  # type: ignore[arg-type]
    with pytest.raises(mlnet.ShapeMismatch, match="float32 array of 3 elements; it is float32 of 4"):
        job.allreduce(ones, out=np.empty(4, np.float32))
    with pytest.raises(ValueError, match="op is 'product'"):
        job.allreduce(ones, "product")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="stream is -1"):
        job.allreduce(ones, stream=-1)
    job.leave()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C interrupts, also where the tests were started in the background, with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_interrupts_the_wait(agent: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.admit()
        peer.give_area()
        peer.receive()
        os.kill(os.getpid(), signal.SIGINT)
        assert peer.receive()["type"] == "eof"

    job = mlnet.join("j", socket=agent(script))
    with pytest.raises(KeyboardInterrupt):
        job.allreduce(np.ones(3, np.float32))
    with pytest.raises(mlnet.MlnetError, match="interrupted in a round"):
        job.allreduce(np.ones(3, np.float32))


def test_error_in_the_with_block_is_no_goodbye(agent: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.admit()
        assert peer.receive()["type"] == "eof"

    with pytest.raises(ZeroDivisionError), mlnet.join("j", socket=agent(script)):
        raise ZeroDivisionError


def test_forked_child_does_not_hide_the_death_of_the_worker(agent: Callable[[Script], str]) -> None:
    noticed = threading.Event()

    def script(peer: Peer) -> None:
        peer.admit()
        assert peer.receive()["type"] == "eof"
        noticed.set()

    job = mlnet.join("j", socket=agent(script))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)  # lives on until the parent has seen that the agent noticed
        os._exit(0)
    job._connection.release()  # what the kernel does when a worker dies
    in_time = noticed.wait(5)
    os.close(write)
    os.close(read)
    os.waitpid(child, 0)
    assert in_time


def test_forked_child_does_not_end_the_connection_of_the_worker(agent: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.admit()
        assert peer.receive() == {"type": "leave"}

    job = mlnet.join("j", socket=agent(script))
    child = os.fork()
    if child == 0:
        os._exit(0)  # what runs in a child at its beginning has run
    os.waitpid(child, 0)
    job.leave()


def test_goodbye_hangs_up_while_another_thread_watches(agent: Callable[[Script], str]) -> None:
    """Else a worker that starts anew at once would find its rank taken by the one that has just left."""
    over = threading.Event()

    def script(peer: Peer) -> None:
        peer.admit()
        over.wait(60)

    job = mlnet.join("j", socket=agent(script))
    connection = job._connection
    watching = threading.Event()

    def watch() -> None:
        watching.set()
        connection.wait_for_end(60)

    watcher = threading.Thread(target=watch)
    watcher.start()
    watching.wait(10)
    time.sleep(0.1)  # to be in the system call; if it is not, the test says less
    job.leave()
    watcher.join(10)
    hung_up = not watcher.is_alive()
    over.set()
    assert hung_up


def test_no_job_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLNET_JOB", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(mlnet.UnknownJob, match="set MLNET_JOB"):
        mlnet.join()
    monkeypatch.setenv("MLNET_RANK", "one")
    with pytest.raises(mlnet.Refused, match="MLNET_RANK is 'one'"):
        mlnet.join("j")
