"""Fashion-MNIST as memory-mapped arrays.

H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017:
60,000 training and 10,000 test images of 28 x 28 grey pixels in ten classes. Debian's ``dataset-fashion-mnist`` brings it as
gzipped IDX files. They are unpacked once into a cache directory, so that tens of workers on one machine share one copy of the
pixels in the page cache and start without unpacking 47 MB each.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SOURCE = Path("/usr/share/datasets/fashion-mnist")
PIXELS = 28 * 28
CLASSES = 10

# Mean and standard deviation of the training pixels, scaled to 0..1.
_MEAN, _DEVIATION = 0.2860, 0.3530

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class DatasetError(RuntimeError):
    """The data set is missing or broken."""


@dataclass(frozen=True)
class Samples:
    """Images (one row of 784 bytes each) and their classes (0..9), mapped from files."""

    images: Bytes
    labels: Bytes

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    def take(self, indices: npt.NDArray[np.int64]) -> Floats:
        """The chosen images with zero mean and unit variance, float32."""
        pixels = self.images[indices].astype(np.float32)
        pixels *= 1.0 / (255.0 * _DEVIATION)
        pixels -= _MEAN / _DEVIATION
        return pixels


def load(cache: Path, part: str, source: Path = SOURCE) -> Samples:
    """Maps one part of the data set, unpacking it first if no worker has yet.

    Args:
        cache: directory for the unpacked arrays; made when missing. Any number of processes may share it.
        part: ``train`` or ``t10k``.
        source: directory of the gzipped IDX files.

    Raises:
        DatasetError: a file is missing or is not what its name says.
    """
    images = _mapped(cache / f"{part}-images.npy", source / f"{part}-images-idx3-ubyte.gz", dimensions=3)
    labels = _mapped(cache / f"{part}-labels.npy", source / f"{part}-labels-idx1-ubyte.gz", dimensions=1)
    if images.ndim != 2 or images.shape[1] != PIXELS or labels.shape != (images.shape[0],) or int(labels.max(initial=0)) >= CLASSES:
        raise DatasetError(f"{source}: {part} holds {images.shape} images and {labels.shape} labels, which is not Fashion-MNIST.")
    return Samples(images, labels)


def _mapped(target: Path, source: Path, dimensions: int) -> Bytes:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target.parent / ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                _unpack(source, target, dimensions)
    mapped: Bytes = np.load(target, mmap_mode="r", allow_pickle=False)
    return mapped


def _unpack(source: Path, target: Path, dimensions: int) -> None:
    """IDX: two zero bytes, type (8: unsigned byte), number of dimensions, each dimension as a big-endian 32-bit number, then the data."""
    try:
        content = gzip.decompress(source.read_bytes())
    except FileNotFoundError as error:
        raise DatasetError(f"{source} is missing; install the Debian package dataset-fashion-mnist.") from error
    except (OSError, EOFError) as error:
        raise DatasetError(f"{source} cannot be unpacked: {error}.") from error
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, 8, dimensions]):
        raise DatasetError(f"{source} is no IDX file of bytes in {dimensions} dimensions.")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    data: npt.NDArray[Any] = np.frombuffer(content, np.uint8, offset=header)
    if data.size != int(np.prod(shape, dtype=np.int64)):
        raise DatasetError(f"{source} says it holds {shape} and holds {data.size} bytes.")
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    with open(partial, "wb") as file:
        np.save(file, data.reshape(shape[0], -1) if dimensions > 1 else data)
    os.replace(partial, target)
