"""Patterns in wrong numbers: what simple thing turns the expected array into the one that came.

Used where no named variant explains an answer. A pattern is only reported when it accounts for every element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np

from grader.logic.judge import wrong_elements


def name_pattern(got: np.ndarray, expected: np.ndarray, tolerance: float, numbers: bool = True) -> str:
    """A phrase such as "the last two axes are swapped", or nothing; without ``numbers``, it holds none of ``got``'s."""
    if got.dtype.kind not in "biufc" or expected.dtype.kind not in "biufc" or expected.size < 2:
        return ""
    if got.shape != expected.shape:
        return _shape_pattern(got, expected, tolerance)
    for phrase, produce in _CANDIDATES:
        for detail, candidate in produce(got, expected):
            fits = candidate.shape == got.shape and _same(got, candidate, tolerance)
            if fits and not _same(expected, candidate, tolerance):
                return phrase.format(detail if numbers else _without_number(detail))
    return _not_finite(got, expected)


def _without_number(detail: str) -> str:
    """A detail that was measured in the answer, in words only; an axis is none."""
    if match := re.match(r"[-+.\de]+ (times|too large|too small)", detail):
        return "the same multiple of what it should be" if match[1] == "times" else f"{match[1]}, all by as much"
    return detail


def _same(got: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    bad, _ = wrong_elements(got, expected, max(tolerance, 1e-12))
    return not bad.any()


def _shape_pattern(got: np.ndarray, expected: np.ndarray, tolerance: float) -> str:
    if got.ndim == expected.ndim >= 2 and got.shape == np.swapaxes(expected, -1, -2).shape:
        if _same(got, np.swapaxes(expected, -1, -2), tolerance):
            return "the right numbers with the last two axes swapped"
        return "the last two axes are swapped"
    if got.size == expected.size:
        if _same(got.reshape(expected.shape), expected, tolerance):
            return "the right numbers in another shape"
        return "as many numbers as expected, in another shape"
    return _axis_pattern(got.shape, expected.shape)


def _axis_pattern(got: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """Which axis is too many, or missing."""
    for longer, shorter, words in ((got, expected, "is one too many"), (expected, got, "is missing")):
        if len(longer) == len(shorter) + 1:
            axes = [axis for axis in range(len(longer)) if longer[:axis] + longer[axis + 1 :] == shorter]
            if axes:
                return f"axis {' or '.join(map(str, axes))}, of length {longer[axes[0]]}, {words}"
    return ""


def _not_finite(got: np.ndarray, expected: np.ndarray) -> str:
    if got.dtype.kind not in "fc" or np.isfinite(got).all() or not np.isfinite(expected).all():
        return ""
    if got.ndim >= 1:
        rows = ~np.isfinite(got).reshape(-1, got.shape[-1])
        if rows.all():
            return "nothing is finite"
        if (rows.all(axis=1) | ~rows.any(axis=1)).all():
            empty = ~np.asarray(expected).reshape(-1, expected.shape[-1]).any(axis=1)
            if (rows.all(axis=1) == empty).all():
                return "exactly the rows that should be zeros are NaN"
            return "whole rows are NaN, the others are not"
    return ""


def _negated(got: np.ndarray, expected: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if expected.dtype.kind == "b":
        yield "True and False have changed places", ~expected
    else:
        yield "every sign is flipped", -expected


def _transposed(got: np.ndarray, expected: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if expected.ndim >= 2 and expected.shape[-1] == expected.shape[-2]:
        yield "", np.swapaxes(expected, -1, -2)


def _shifted(got: np.ndarray, expected: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for axis in range(expected.ndim):
        for step in (1, -1):
            yield str(axis - expected.ndim), np.roll(expected, step, axis)


def _reversed(got: np.ndarray, expected: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for axis in range(expected.ndim):
        yield str(axis - expected.ndim), np.flip(expected, axis)


def _constant(got: np.ndarray, expected: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if expected.dtype.kind in "biu" or expected.size < 5:  # of so few numbers, anything is a constant away
        return
    largest = np.unravel_index(np.argmax(np.abs(np.where(np.isfinite(expected), expected, 0))), expected.shape)
    if expected[largest] == 0 or not np.isfinite(got[largest]):
        return
    factor = float(np.real(got[largest] / expected[largest]))
    if factor not in (0.0, 1.0):
        yield f"{factor:.4g} times what it should be", expected * factor
    offset = float(np.real(got[largest] - expected[largest]))
    if offset:
        yield f"{abs(offset):.4g} too {'large' if offset > 0 else 'small'}", expected + offset


def _normalised(got: np.ndarray, expected: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if expected.dtype.kind != "f" or expected.ndim < 2:
        return
    with np.errstate(all="ignore"):
        for axis in range(expected.ndim - 1):
            if np.allclose(got.sum(axis=axis), 1) and not np.allclose(got.sum(axis=-1), 1):
                yield str(axis - expected.ndim), got


def _zeros(got: np.ndarray, expected: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "", np.zeros_like(expected)


def _one_value(got: np.ndarray, expected: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if got.size > 2 and expected.dtype.kind != "b" and np.isfinite(got.reshape(-1)[0]):
        yield "", np.full(got.shape, got.reshape(-1)[0])


_CANDIDATES: tuple[tuple[str, Callable[[np.ndarray, np.ndarray], Iterator[tuple[str, np.ndarray]]]], ...] = (
    ("every number is zero", _zeros),
    ("every number is the same", _one_value),
    ("{}", _negated),
    ("the last two axes are swapped", _transposed),
    ("shifted by one position along axis {}", _shifted),
    ("in reversed order along axis {}", _reversed),
    ("every number is {}", _constant),
    ("sums to one along axis {} instead of the last", _normalised),
)
