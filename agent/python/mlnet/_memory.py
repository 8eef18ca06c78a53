"""The memory shared with the agent for one stream. The layout is that of docs/protocol.md §5."""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np
import numpy.typing as npt

_PAGE = 4096
_SLOTS = 2


class StreamMemory:
    """Two slots, each with an area for the contribution and one for the result. The descriptor stays open: an agent that starts anew asks for it."""

    def __init__(self, descriptor: int, size: int, capacity: int) -> None:
        self.descriptor = descriptor
        self.capacity = capacity
        self._map = mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def contribution(self, round_number: int, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
        return self._area(round_number % _SLOTS * 2, dtype, count)

    def result(self, round_number: int, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
        return self._area(round_number % _SLOTS * 2 + 1, dtype, count)

    def close(self) -> None:
        try:
            self._map.close()
        except BufferError:
            # Somebody still holds a view; the mapping goes with it.
            pass
        os.close(self.descriptor)

    def _area(self, index: int, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
        return np.frombuffer(self._map, dtype=dtype, count=count, offset=2 * _PAGE + index * self.capacity)
