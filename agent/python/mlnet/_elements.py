"""Which arrays can be reduced, and how the agent names their elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import ShapeMismatch

SIZES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "int32": 4, "int64": 8}


def name_of(dtype: np.dtype[Any], named: str | None) -> str:
    """The agent's name for the elements of an array.

    :param dtype: of the array.
    :param named: what the caller says the bits are, for types that numpy does not know: ``"bfloat16"`` for an array of 16-bit integers.
    """
    if named is not None:
        if named not in SIZES:
            raise ValueError(f"dtype is {named!r}; it must be one of {', '.join(SIZES)}")
        # Integers stand for bits; anything else must be what it is said to be.
        if dtype.name != named and not (dtype.kind in "iu" and named == "bfloat16" and dtype.itemsize == 2):
            raise ShapeMismatch(f"an array of {dtype} does not hold {named}; pass it without dtype, or bfloat16 as uint16")
        name = named
    else:
        name = dtype.name  # that of ml_dtypes.bfloat16 is "bfloat16"
    if name not in SIZES or not dtype.isnative:
        raise ShapeMismatch(f"arrays of {dtype} cannot be reduced: convert with array.astype(), to one of {', '.join(SIZES)} in native byte order")
    return name
