"""Tensors as plain data: what crosses the border for a torch tensor, and how the grader's side reads it without torch.

A `Tensor` is an array and the name of a dtype. Where numpy has that dtype, the array holds the numbers; bfloat16, which
numpy does not have, is held as its bits, and read as the float32 numbers that these stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

BFLOAT16 = "bfloat16"


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor's numbers. ``raw`` is what crosses: bits as uint16 for bfloat16, else an array of that dtype."""

    raw: np.ndarray
    dtype: str
    __hash__ = None  # type: ignore[assignment]  # no key of a dict, as an array is none

    @property
    def array(self) -> np.ndarray:
        """The numbers: float32 for bfloat16."""
        return from_bfloat16(self.raw) if self.dtype == BFLOAT16 else self.raw

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.raw.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.raw.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.raw.size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.array if dtype is None else self.array.astype(dtype)
        return array.copy() if copy else array


def tensor(array: Any, dtype: str | None = None) -> Tensor:
    """A `Tensor` of an array's numbers, rounded to ``dtype`` where another one is wanted."""
    numbers = array.array if isinstance(array, Tensor) else np.asarray(array)
    if dtype == BFLOAT16:
        return Tensor(to_bfloat16(numbers.astype(np.float32)), BFLOAT16)
    numbers = numbers if dtype is None else numbers.astype(dtype)
    return Tensor(numbers, name_of(numbers.dtype))


def to_bfloat16(array: np.ndarray) -> np.ndarray:
    """The bits of float32 numbers rounded to bfloat16, to the nearest, ties to even; NaN stays NaN, and the layout what it is."""
    bits = np.asarray(array, np.float32).view(np.uint32)
    rounded = ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(array), np.uint16(0x7FC0), rounded)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """The float32 numbers that bfloat16 bits stand for."""
    return np.asarray(bits.astype(np.uint32) << np.uint32(16)).view(np.float32)  # of a number, << makes no array


def numbers_of(value: Any) -> Any:
    """The array in a tensor; anything else as it is."""
    return value.array if isinstance(value, Tensor) else value


def dtype_name(value: Any) -> str:
    """The name of the dtype of a tensor, an array or a numpy number."""
    return value.dtype if isinstance(value, Tensor) else name_of(value.dtype)


@lru_cache(maxsize=64)
def name_of(dtype: np.dtype) -> str:
    """The name of numpy's dtype, which numpy makes anew each time."""
    return dtype.name
