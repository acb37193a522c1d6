"""Patterns in wrong numbers: what simple thing turns the expected array into the one that came.

Used where no named variant explains an answer. A pattern is only reported when it accounts for every element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from grader.logic.judge import wrong_elements


def name_pattern(got: np.ndarray, expected: np.ndarray, tolerance: float) -> str:
    """A phrase such as "the sign is flipped", or an empty string."""
    if got.dtype.kind not in "biufc" or expected.dtype.kind not in "biufc" or expected.size < 2:
        return ""
    if got.shape != expected.shape:
        return _shape_pattern(got, expected, tolerance)
    for phrase, produce in _CANDIDATES:
        for detail, candidate in produce(got, expected):
            if candidate.shape == got.shape and _same(got, candidate, tolerance) and not _same(expected, candidate, tolerance):
                return phrase.format(detail)
    return _not_finite(got, expected)


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
                return "exactly the rows in which nothing may be attended to are NaN"
            return "whole rows are NaN, the others are not"
    return ""


def _negated(got: np.ndarray, expected: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if expected.dtype.kind == "b":
        yield "", ~expected
    else:
        yield "", -expected


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
        yield f"{factor:.4g}", expected * factor
    offset = float(np.real(got[largest] - expected[largest]))
    if offset:
        yield f"{offset:+.4g} (added)", expected + offset


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
    if got.size and expected.dtype.kind != "b" and np.isfinite(got.reshape(-1)[0]):
        yield "", np.full(got.shape, got.reshape(-1)[0])


_CANDIDATES: tuple[tuple[str, Callable[[np.ndarray, np.ndarray], Iterator[tuple[str, np.ndarray]]]], ...] = (
    ("every number is zero", _zeros),
    ("every number is the same", _one_value),
    ("the opposite everywhere (sign or truth value flipped)", _negated),
    ("the last two axes are swapped", _transposed),
    ("shifted by one position along axis {}", _shifted),
    ("in reversed order along axis {}", _reversed),
    ("off by one constant everywhere: {}", _constant),
    ("sums to one along axis {} instead of the last", _normalised),
)
