"""Judging one answer: is it what the reference says, and if not, what is the first thing that is wrong with it.

An element passes when its error is at most ``tolerance`` times the largest finite magnitude of the expected array
(times 1 where that is 0): rounding errors of one array grow with its largest terms. Of several tensors in one answer
(gradients by every weight, say), each counts at least a tenth of the largest of all: what is zero but for rounding errors
has those of its neighbours. Whole numbers and booleans are compared exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from grader.logic.tensors import Tensor, name_of
from grader.logic.wire import Handle
from grader.model.types import Call

SHARE_OF_LARGEST = 0.1
NUMBERS = (np.ndarray, np.generic, Tensor, bool, int, float, complex)
Kind = Literal["value", "nan", "shape", "dtype", "type", "keys", "raised", "did_not_raise", "changed", "claim"]


@dataclass
class Finding:
    """What is wrong with one answer. ``where`` is the path inside nested results, ``index`` the first wrong element."""

    kind: Kind
    expected: Any = None
    got: Any = None
    where: str = ""
    index: tuple[int, ...] | None = None
    wrong: int = 0
    size: int = 0
    worst: float = 0.0
    scale: float = 1.0
    tolerance: float = 0.0
    call: Call | None = None
    notes: dict[str, str] = field(default_factory=dict)


def compare(
    got: Any,
    expected: Any,
    tolerances: Mapping[str, float],
    *,
    dtypes: Any = None,
    tolerance: float | None = None,
) -> Finding | None:
    """None when ``got`` is ``expected``, else the first finding.

    ``dtypes`` mirrors the structure of ``expected`` and names the dtype demanded of each array (default: its own).
    Arrays, tensors and numbers are three things, but what has no axes may be any of them. An expected scalar float is
    compared with the tolerance of float64.
    """
    return _compare(got, expected, tolerances, dtypes, tolerance, "", least_scale(expected))


def least_scale(expected: Any) -> float:
    """What the scale of each tensor in an answer of several is at least; 0 for anything else."""
    if not isinstance(expected, (list, tuple, dict)):
        return 0.0
    largest = 0.0
    left = [expected]
    while left:
        value = left.pop()
        if isinstance(value, Tensor) and value.dtype.startswith(("float", "bfloat")) and value.size:
            array = np.abs(value.array)
            finite = array[np.isfinite(array)]
            largest = max(largest, float(finite.max()) if finite.size else 0.0)
        elif isinstance(value, (list, tuple)):
            left += value
        elif isinstance(value, dict):
            left += value.values()
    return SHARE_OF_LARGEST * largest


def _compare(
    got: Any, expected: Any, tolerances: Mapping, dtypes: Any, tolerance: float | None, where: str, least: float
) -> Finding | None:
    if isinstance(expected, (list, tuple)):
        if type(got) not in (list, tuple):
            return Finding("type", expected, got, where)
        if len(got) != len(expected):
            return Finding("keys", expected, got, where)
        for position, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
            wanted = dtypes[position] if isinstance(dtypes, (list, tuple)) else None
            found = _compare(mine, theirs, tolerances, wanted, tolerance, f"{where}[{position}]", least)
            if found:
                return found
        return None
    if isinstance(expected, dict):
        if type(got) is not dict:
            return Finding("type", expected, got, where)
        if set(got) != set(expected):
            return Finding("keys", expected, got, where)
        for key, theirs in expected.items():
            wanted = dtypes.get(key) if isinstance(dtypes, dict) else None
            found = _compare(got[key], theirs, tolerances, wanted, tolerance, f"{where}[{key!r}]", least)
            if found:
                return found
        return None
    if isinstance(expected, NUMBERS):
        return _compare_numbers(got, expected, tolerances, dtypes, tolerance, where, least)
    if type(got) is not type(expected) or got != expected:
        kind: Kind = "value" if type(got) is type(expected) else "type"
        return Finding(kind, expected, got, where, wrong=1, size=1)
    return None


def _compare_numbers(
    got: Any, expected: Any, tolerances: Mapping, dtype: Any, tolerance: float | None, where: str, least: float
) -> Finding | None:
    theirs = np.asarray(expected)
    a_number = theirs.ndim == 0
    wanted = str(dtype) if dtype is not None else _dtype_of(expected, theirs)
    if not (type(got) is type(expected) and not a_number) and not (a_number and isinstance(got, NUMBERS)):
        return Finding("type", expected, got, where, notes={"dtype": wanted})
    mine = as_array(got)
    if mine.shape != theirs.shape:
        return Finding("shape", expected, got, where)
    came = _dtype_of(got, mine)
    if (not a_number and came != wanted) or (a_number and not _kinds_agree(came, wanted)):
        return Finding("dtype", wanted, came, where)
    allowed = tolerance_for(wanted, tolerances) if tolerance is None else tolerance
    bad, scale = wrong_elements(mine, theirs, allowed, least if isinstance(expected, Tensor) else 0.0)
    if not bad.any():
        return None
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    error = error_size(mine, theirs)
    finite = error[np.isfinite(error)]
    finding = Finding("value", theirs, mine, where, index, int(bad.sum()), theirs.size, 0.0, scale, allowed)
    finding.worst = float(finite.max()) if finite.size else float("inf")
    if mine.dtype.kind in "fc" and not np.isfinite(mine[bad]).all() and np.isnan(mine[index]):
        finding.kind = "nan"
    return finding


def _dtype_of(value: Any, array: np.ndarray) -> str:
    return value.dtype if isinstance(value, Tensor) else name_of(array.dtype)


def _kinds_agree(came: str, wanted: str) -> bool:
    """Whether one number may stand for another: truth values are no numbers, and a real number has no imaginary part."""
    return (came == "bool") == (wanted == "bool") and (not came.startswith("c") or wanted.startswith("c"))


def as_array(value: Any) -> np.ndarray:
    """A number or an array as an array of numbers; a whole number too large for numpy's becomes the nearest float."""
    array = np.asarray(value)
    if array.dtype != object:
        return array
    largest = int(np.finfo(np.float64).max)
    return np.asarray(float(max(-largest, min(value, largest))))


def tolerance_for(dtype: str, tolerances: Mapping[str, float]) -> float:
    """The tolerance for a dtype: from the exercise's table for floating dtypes, 0 for whole numbers and booleans."""
    if not dtype.startswith(("float", "complex", "bfloat")):
        return 0.0
    return tolerances.get(dtype, tolerances.get("float64", 1e-9))


def wrong_elements(
    got: np.ndarray, expected: np.ndarray, tolerance: float, least: float = 0.0
) -> tuple[np.ndarray, float]:
    """Which elements are wrong, and the scale that the tolerance was multiplied with, ``least`` at least."""
    if expected.dtype.kind in "biu" and got.dtype.kind in "biu":
        return np.asarray(got != expected), 1.0
    if not expected.size:
        return np.zeros(expected.shape, bool), 1.0
    scale = max(float(np.abs(expected).max()), least) or 1.0
    if scale < np.inf:  # the usual case; what is not finite goes the long way
        bad = np.abs(got - expected) <= tolerance * scale
        return np.logical_not(bad, out=bad) if isinstance(bad, np.ndarray) else np.asarray(not bad), scale
    theirs = expected.astype(np.complex128 if expected.dtype.kind == "c" else np.float64)
    finite = np.abs(theirs[np.isfinite(theirs)])
    scale = max(float(finite.max()) if finite.size else 0.0, least) or 1.0
    with np.errstate(all="ignore"):
        close = np.abs(got - theirs) <= tolerance * scale
        same = (got == theirs) | (np.isnan(got) & np.isnan(theirs))
    return np.asarray(~np.where(np.isfinite(theirs), close, same)), scale


def error_size(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The absolute error of each element, in float64."""
    with np.errstate(all="ignore"):
        return np.abs(got.astype(np.complex128 if got.dtype.kind == "c" else np.float64) - expected)


def relative_error(got: Any, expected: Any, dtypes: Any, least: float | None = None) -> Iterator[tuple[str, float]]:
    """For each floating array or number of two answers of equal shape: its dtype and its largest error over its scale."""
    least = least_scale(expected) if least is None else least
    if isinstance(expected, dict) and isinstance(got, dict):
        dtypes = [dtypes.get(key) for key in expected] if isinstance(dtypes, dict) else None
        got, expected = [got.get(key) for key in expected], list(expected.values())
    if isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)):
        for position, (mine, theirs) in enumerate(zip(got, expected, strict=False)):
            wanted = dtypes[position] if isinstance(dtypes, (list, tuple)) else None
            yield from relative_error(mine, theirs, wanted, least)
        return
    name = str(dtypes) if dtypes else _dtype_of(expected, np.asarray(expected))
    mine, theirs = np.asarray(got), np.asarray(expected)
    if theirs.dtype.kind != "f" or mine.dtype.kind not in "biuf" or mine.shape != theirs.shape or not theirs.size:
        return
    finite = np.isfinite(theirs)
    if finite.any():
        largest = max(np.abs(theirs[finite]).max(), least if isinstance(expected, Tensor) else 0.0)
        error = error_size(mine, theirs)[finite].max() / (largest or 1.0)
        yield name, float(error)


def differ_in_numbers(mine: Any, theirs: Any, tolerance: float = 1e-2) -> bool:
    """Whether two answers of one form hold finite numbers that differ by more than rounding in any precision."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return any(differ_in_numbers(mine[key], theirs[key], tolerance) for key in mine.keys() & theirs.keys())
    if isinstance(mine, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return any(differ_in_numbers(a, b, tolerance) for a, b in zip(mine, theirs, strict=False))
    if not isinstance(mine, NUMBERS) or not isinstance(theirs, NUMBERS):
        return False
    a, b = as_array(mine), as_array(theirs)
    if a.shape != b.shape:
        return False
    bad, _ = wrong_elements(a.astype(np.float64) if a.dtype.kind == "b" else a, b, tolerance)
    return bool((bad & np.isfinite(a)).any())


def agree(mine: Any, theirs: Any, tolerances: Mapping[str, float], least: float | None = None) -> bool:
    """Whether two answers are the same within tolerance, dtype and shape included (for diagnosis)."""
    least = least_scale(theirs) if least is None else least
    kind = type(mine)
    if kind is Handle:
        return type(theirs) is Handle
    if kind in (list, tuple):
        return (
            type(theirs) in (list, tuple)
            and len(mine) == len(theirs)
            and all(agree(a, b, tolerances, least) for a, b in zip(mine, theirs, strict=True))
        )
    if kind is dict:
        return (
            type(theirs) is dict
            and set(mine) == set(theirs)
            and all(agree(mine[k], theirs[k], tolerances, least) for k in mine)
        )
    if isinstance(mine, NUMBERS):
        if not isinstance(theirs, NUMBERS):
            return False
        a, b = as_array(mine), as_array(theirs)
        if a.shape != b.shape or (a.ndim and kind is not type(theirs)):
            return False
        one, two = _dtype_of(mine, a), _dtype_of(theirs, b)
        if one != two if a.ndim else (one == "bool") != (two == "bool"):
            return False
        bad, _ = wrong_elements(a, b, tolerance_for(two, tolerances), least if kind is Tensor else 0.0)
        return not bad.any()
    return kind is type(theirs) and mine == theirs


@dataclass(frozen=True)
class Place:
    """Where an answer is farthest from the right one: in which of several results, and at which of its numbers."""

    shape: tuple[int, ...]
    index: int
    number: float
    result: int | None = None

    def differs(self, theirs: Any, tolerances: Mapping[str, float]) -> bool:
        """Whether another answer does not agree with this one for certain, by this number alone; see `agree`."""
        if self.result is not None:
            if type(theirs) not in (list, tuple) or self.result >= len(theirs):
                return False
            theirs = theirs[self.result]
        if type(theirs) is not np.ndarray or theirs.shape != self.shape or theirs.dtype.kind != "f":
            return False
        off = abs(theirs.item(self.index) - self.number)
        allowed = 2 * tolerance_for(name_of(theirs.dtype), tolerances)  # twice: `agree` rounds, too
        return off > allowed and off > allowed * float(np.abs(theirs).max())


def farthest(mine: Any, right: Any) -> Place | None:
    """That place of an answer of floating arrays; None where there is none, or the two are of different forms."""
    if type(mine) in (list, tuple) and type(right) in (list, tuple) and len(mine) == len(right):
        parts = [(at, a, b) for at, (a, b) in enumerate(zip(mine, right, strict=True))]
    else:
        parts = [(None, mine, right)]
    best, place = 0.0, None
    for at, a, b in parts:
        if not (
            type(a) is type(b) is np.ndarray and a.shape == b.shape and a.dtype.kind == b.dtype.kind == "f" and a.size
        ):
            continue
        error = np.abs(a - b)
        index = int(error.argmax())
        if error.item(index) > best:
            best, place = error.item(index), Place(a.shape, index, a.item(index), at)
    return place
