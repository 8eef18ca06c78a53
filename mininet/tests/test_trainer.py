"""The trainer: data set, model, data-parallel equivalence and report. Nothing here needs root or an agent."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import pytest

from mlnet_eval import fashion_mnist, scenario, trainer
from mlnet_eval.fashion_mnist import DatasetError, Floats, Samples
from mlnet_eval.perceptron import NesterovDescent, Perceptron, parameter_count

MININET = Path(__file__).parents[1]


def idx(array: "np.typing.NDArray[np.uint8]") -> bytes:
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def made_up(count: int, seed: int) -> Tuple["np.typing.NDArray[np.uint8]", "np.typing.NDArray[np.uint8]"]:
    """Images whose class is the bright band of rows, with noise: learnable, and not trivially."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count).astype(np.uint8)
    images = random.integers(0, 120, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels):
        image[2 * label + 3 : 2 * label + 6] += 60
    return images, labels


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in the files of the real one, smaller."""
    directory = tmp_path_factory.mktemp("idx")
    for part, count, seed in (("train", 2_000, 1), ("t10k", 500, 2)):
        images, labels = made_up(count, seed)
        (directory / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (directory / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return directory


@pytest.fixture
def samples(source: Path, tmp_path: Path) -> Samples:
    return fashion_mnist.load(tmp_path / "cache", "train", source)


# Data set


def test_load_maps_what_the_files_hold(source: Path, tmp_path: Path) -> None:
    images, labels = made_up(500, 2)

    read = fashion_mnist.load(tmp_path, "t10k", source)

    assert isinstance(read.images, np.memmap)
    assert np.array_equal(read.images, images.reshape(500, 784)) and np.array_equal(read.labels, labels)


def test_load_second_time_needs_no_source(source: Path, tmp_path: Path) -> None:
    first = fashion_mnist.load(tmp_path, "train", source)

    second = fashion_mnist.load(tmp_path, "train", Path("/nowhere"))

    assert np.array_equal(first.images, second.images)


def test_load_by_many_at_once_unpacks_whole_files(source: Path, tmp_path: Path) -> None:
    lengths: List[int] = []
    threads = [threading.Thread(target=lambda: lengths.append(len(fashion_mnist.load(tmp_path, "train", source)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert lengths == [2_000] * 8
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "train-images.npy", "train-labels.npy"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "install the Debian package"),
        (b"not gzip", "cannot be unpacked"),
        (gzip.compress(b"\0\0\x08\x03" + bytes(12) + b"x" * 9), "holds 9 bytes"),
        (gzip.compress(b"\0\0\x0d\x03" + bytes(12)), "no IDX file"),
        (gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 1, 2, 2) + bytes(4)), "not Fashion-MNIST"),
        (gzip.compress(b"ab")[:-6], "cannot be unpacked"),
    ],
)
def test_load_broken_source_is_a_clear_error(source: Path, tmp_path: Path, content: bytes, words: str) -> None:
    broken = tmp_path / "source"
    broken.mkdir()
    (broken / "train-labels-idx1-ubyte.gz").write_bytes((source / "train-labels-idx1-ubyte.gz").read_bytes())
    if content is not None:
        (broken / "train-images-idx3-ubyte.gz").write_bytes(content)

    with pytest.raises(DatasetError, match=words):
        fashion_mnist.load(tmp_path / "cache", "train", broken)


def test_take_scales_pixels_to_zero_mean_and_unit_variance() -> None:
    pixels = np.array([[0] * 784, [255] * 784], np.uint8)

    taken = Samples(pixels, np.zeros(2, np.uint8)).take(np.array([1, 0]))

    assert taken.dtype == np.float32
    assert taken[0, 0] == pytest.approx((1 - 0.2860) / 0.3530, rel=1e-5) and taken[1, 0] == pytest.approx(-0.2860 / 0.3530, rel=1e-5)


# Order of samples


@pytest.mark.parametrize("world", [1, 3, 8])
def test_order_workers_share_each_epoch_without_overlap(world: int) -> None:
    orders = [trainer.SampleOrder(1_000, 20, rank, world, seed=5) for rank in range(world)]
    rounds = 1_000 // (20 * world)

    epochs = [np.concatenate([order.of_round(e * rounds + r) for r in range(rounds) for order in orders]) for e in range(2)]

    for epoch in epochs:
        assert len(np.unique(epoch)) == len(epoch) == rounds * 20 * world
    assert set(epochs[0]) != set(epochs[1]) or list(epochs[0]) != list(epochs[1])


def test_order_global_batch_does_not_depend_on_how_many_share_it() -> None:
    together = trainer.SampleOrder(500, 40, 0, 1, seed=3)
    apart = [trainer.SampleOrder(500, 10, rank, 4, seed=3) for rank in range(4)]

    for number in (0, 7, 11, 12, 30, 5):
        assert sorted(np.concatenate([order.of_round(number) for order in apart])) == list(together.of_round(number))


def test_order_batch_beyond_the_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="batch = 51: times 2 workers exceeds the 100 samples"):
        trainer.SampleOrder(100, 51, 0, 2, seed=1)


# Model


def test_gradient_is_the_slope_of_the_loss(samples: Samples) -> None:
    model = Perceptron(12, seed=4)
    indices = np.arange(30)
    images, labels = samples.take(indices), samples.labels[indices]
    model.loss_and_gradient(images, labels)
    gradient = model.gradient.copy()
    random = np.random.default_rng(0)

    for _ in range(5):
        direction = random.standard_normal(gradient.size).astype(np.float32)
        direction /= np.linalg.norm(direction)
        step = np.float32(2e-3)
        start = model.parameters.copy()
        model.parameters[:] = start + step * direction
        above = model.loss_and_gradient(images, labels)
        model.parameters[:] = start - step * direction
        below = model.loss_and_gradient(images, labels)
        model.parameters[:] = start
        assert (above - below) / (2 * float(step)) == pytest.approx(float(gradient @ direction), rel=0.03, abs=2e-4)


def test_perceptron_same_seed_same_weights_other_seed_others() -> None:
    assert np.array_equal(Perceptron(9, 1).parameters, Perceptron(9, 1).parameters)
    assert not np.array_equal(Perceptron(9, 1).parameters, Perceptron(9, 2).parameters)
    assert Perceptron(9, 1).parameters.size == parameter_count(9) == 784 * 9 + 9 + 90 + 10
    assert scenario.ScenarioJob("a", 1, hidden=9).message_bytes == Perceptron(9, 1).gradient.nbytes


def test_descent_follows_its_equations() -> None:
    parameters = np.array([1.0, -2.0], np.float32)
    descent = NesterovDescent(parameters, learning_rate=0.5, momentum=0.9)
    expected, velocity = np.array([1.0, -2.0]), np.zeros(2)

    for gradient in ([0.4, -0.2], [1.0, 3.0], [-2.0, 0.1]):
        descent.apply(np.array(gradient, np.float32))
        velocity = 0.9 * velocity - 0.5 * np.array(gradient)
        expected = expected + 0.9 * velocity - 0.5 * np.array(gradient)

    assert parameters == pytest.approx(expected, rel=1e-6)


# Training


class Meeting:
    """Workers in threads that meet to average their gradients: what the network does, without one."""

    def __init__(self, world_size: int) -> None:
        self.world_size = world_size
        self.given: Dict[int, Floats] = {}
        self.barrier = threading.Barrier(world_size)


class Member:
    def __init__(self, meeting: Meeting, rank: int) -> None:
        self._meeting, self.rank, self.world_size = meeting, rank, meeting.world_size

    def mean(self, gradient: Floats) -> Floats:
        self._meeting.given[self.rank] = gradient
        self._meeting.barrier.wait(30)
        total: Floats = np.sum([self._meeting.given[rank] for rank in range(self.world_size)], axis=0, dtype=np.float32)
        total *= np.float32(1 / self.world_size)
        self._meeting.barrier.wait(30)
        return total

    def close(self) -> None:
        pass


def train_alone(samples: Samples, model: Perceptron, rounds: int, batch: int, seed: int, learning_rate: float = 0.05) -> trainer.Measurements:
    order = trainer.SampleOrder(len(samples), batch, 0, 1, seed)
    return trainer.train(trainer.LocalExchange(), samples, order, model, rounds, learning_rate)


def test_train_four_workers_agree_and_do_what_one_would(samples: Samples) -> None:
    meeting = Meeting(4)
    models = [Perceptron(16, seed=2) for _ in range(4)]
    threads = [
        threading.Thread(
            target=trainer.train,
            args=(Member(meeting, rank), samples, trainer.SampleOrder(len(samples), 32, rank, 4, seed=9), models[rank], 25, 0.05),
        )
        for rank in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = Perceptron(16, seed=2)
    train_alone(samples, alone, rounds=25, batch=128, seed=9)

    assert len({hashlib.sha256(model.parameters.tobytes()).hexdigest() for model in models}) == 1
    assert models[0].parameters == pytest.approx(alone.parameters, abs=2e-3)


def test_train_lowers_the_loss_and_learns(samples: Samples, source: Path, tmp_path: Path) -> None:
    model = Perceptron(24, seed=1)
    test = fashion_mnist.load(tmp_path / "cache", "t10k", source)
    before = trainer.accuracy(model, test)

    seen = train_alone(samples, model, rounds=60, batch=200, seed=1)

    assert before < 0.4 and trainer.accuracy(model, test, batch=128) > 0.9
    assert np.mean(seen.losses[-5:]) < 0.5 * seen.losses[0]
    assert len(seen.losses) == len(seen.compute_seconds) == len(seen.communication_seconds) == 60


def run_trainer(source: Path, cache: Path, *arguments: str, path: str = "") -> "subprocess.CompletedProcess[str]":
    # The data set is taken from the cache alone: filled here, for the command knows only where Debian keeps it.
    for part in ("train", "t10k"):
        fashion_mnist.load(cache, part, source)
    return subprocess.run(
        [sys.executable, "-m", "mlnet_eval.trainer", "--cache", str(cache), *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(MININET), *([path] if path else [])])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_command_alone_reports_and_repeats_itself(source: Path, tmp_path: Path) -> None:
    reports = []
    for name in ("first", "second"):
        result, progress, ready = tmp_path / f"{name}.json", tmp_path / f"{name}.progress", tmp_path / f"{name}.ready"
        go = tmp_path / "go"
        go.touch()
        done = run_trainer(
            source, tmp_path / "cache", "--local", "4", "--hidden", "8", "--rounds", "7", "--batch", "16", "--seed", "3",
            "--result", str(result), "--progress", str(progress), "--ready", str(ready), "--go", str(go),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert progress.read_text() == "7" and ready.exists()
        reports.append(json.loads(result.read_text()))

    first, second = reports
    assert first["weightsSha256"] == second["weightsSha256"] and first["losses"] == second["losses"]
    assert (first["rank"], first["worldSize"], first["rounds"], len(first["losses"])) == (0, 1, 7, 7)
    assert first["messageBytes"] == 4 * parameter_count(8)
    assert 0 <= first["testAccuracy"] <= 1 and first["finalLoss"] == pytest.approx(first["losses"][-1], abs=1e-5)
    assert first["finishedAt"] - first["startedAt"] >= first["computeSeconds"] + first["communicationSeconds"]
    assert first["roundSeconds"]["p50"] <= first["roundSeconds"]["max"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_command_waits_for_the_start_signal(source: Path, tmp_path: Path) -> None:
    for part in ("train", "t10k"):
        fashion_mnist.load(tmp_path / "cache", part, source)
    result, ready, go = tmp_path / "r.json", tmp_path / "ready", tmp_path / "go"
    process = subprocess.Popen(
        [sys.executable, "-m", "mlnet_eval.trainer", "--cache", str(tmp_path / "cache"), "--local", "1", "--hidden", "4", "--rounds", "1",
         "--batch", "8", "--result", str(result), "--ready", str(ready), "--go", str(go)],
        env={**os.environ, "PYTHONPATH": str(MININET)},
    )  # fmt: skip
    try:
        while not ready.exists():
            assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        assert not result.exists()
        go.touch()
        assert process.wait(30) == 0 and result.exists()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--hidden", "0", "--rounds", "1"), "argument --hidden: 0 must be at least 1"),
        (("--hidden", "4", "--rounds", "1", "--learning-rate", "nan"), "argument --learning-rate"),
        (("--hidden", "4"), "--rounds"),
        (("--hidden", "4", "--rounds", "1", "--local", "1", "--batch", "2001"), "trainer: batch = 2001"),
        (("--hidden", "4", "--rounds", "1", "--seed", "-1"), "argument --seed: -1 must be at least 0"),
    ],
)
def test_command_bad_arguments_are_named(source: Path, tmp_path: Path, arguments: Tuple[str, ...], words: str) -> None:
    done = run_trainer(source, tmp_path / "cache", "--result", str(tmp_path / "r.json"), *arguments)

    assert done.returncode != 0 and words in done.stderr
    assert not (tmp_path / "r.json").exists()


def test_command_without_the_library_or_a_job_says_what_is_missing(source: Path, tmp_path: Path) -> None:
    arguments = ("--hidden", "4", "--rounds", "1", "--result", str(tmp_path / "r.json"))

    without_library = run_trainer(source, tmp_path / "cache", *arguments)
    without_job = run_trainer(source, tmp_path / "cache", *arguments, path=str(MININET.parent / "agent" / "python"))

    for done, words in ((without_library, "No module named 'mlnet'; put agent/python on PYTHONPATH"), (without_job, "MLNET_JOB")):
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("trainer: ") and words in done.stderr


@pytest.mark.parametrize("index", [0, 1])
def test_demo_jobs_reach_80_percent_in_their_rounds(index: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    if not fashion_mnist.SOURCE.exists():
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("the Debian package dataset-fashion-mnist is missing")
        pytest.skip("needs the Debian package dataset-fashion-mnist")
    demo = scenario.load(MININET / "scenarios" / "demo.json")
    shape, job = demo.fabric, demo.jobs[index]
    cache = tmp_path_factory.getbasetemp() / "fashion-mnist"
    model = Perceptron(job.hidden, job.seed)

    batch = job.batch_per_worker * len(job.worker_hosts(shape))
    train_alone(fashion_mnist.load(cache, "train"), model, job.rounds, batch, job.seed, job.learning_rate)

    assert trainer.accuracy(model, fashion_mnist.load(cache, "t10k")) >= 0.80
