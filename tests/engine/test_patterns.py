"""Patterns in wrong numbers: each is named where it explains every number, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from grader.logic.patterns import name_pattern

RNG = np.random.default_rng(7)
GRID = RNG.standard_normal((2, 3, 4))
SQUARE = RNG.standard_normal((4, 4))
SHARES = RNG.dirichlet(np.ones(3), size=5)
TRUTH = np.tri(3, 4, dtype=bool)
NAN = np.nan

CASES = [
    (np.zeros_like(GRID), GRID, "every number is zero"),
    (np.full_like(GRID, 0.25), GRID, "every number is the same"),
    (-GRID, GRID, "the opposite everywhere (sign or truth value flipped)"),
    (~TRUTH, TRUTH, "the opposite everywhere (sign or truth value flipped)"),
    (SQUARE.T, SQUARE, "the last two axes are swapped"),
    (np.swapaxes(GRID, -1, -2), GRID, "the right numbers with the last two axes swapped"),
    (np.swapaxes(GRID, -1, -2) * 2, GRID, "the last two axes are swapped"),
    (GRID.reshape(6, 4), GRID, "the right numbers in another shape"),
    (GRID.reshape(6, 4) * 2, GRID, "as many numbers as expected, in another shape"),
    (np.roll(GRID, 1, -1), GRID, "shifted by one position along axis -1"),
    (np.roll(GRID, -1, 1), GRID, "shifted by one position along axis -2"),
    (np.flip(GRID, -1), GRID, "in reversed order along axis -1"),
    (GRID * 0.125, GRID, "off by one constant everywhere: 0.125"),
    (GRID + 3, GRID, "off by one constant everywhere: +3 (added)"),
    (GRID - 0.5, GRID, "off by one constant everywhere: -0.5 (added)"),
    ((SHARES / SHARES.sum(axis=0)), SHARES, "sums to one along axis -2 instead of the last"),
    (GRID * NAN, GRID, "nothing is finite"),
    (np.where(np.arange(5)[:, None] == 2, NAN, SHARES), SHARES, "whole rows are NaN, the others are not"),
]


@pytest.mark.parametrize(("got", "expected", "phrase"), CASES, ids=[case[2] for case in CASES])
def test_a_pattern_is_named(got, expected, phrase):
    assert name_pattern(got, expected, 1e-9) == phrase


@pytest.mark.parametrize(("got", "expected", "phrase"), CASES, ids=[case[2] for case in CASES])
def test_one_other_number_and_it_is_named_no_more(got, expected, phrase):
    spoilt = got.copy()
    where = (0,) * (got.ndim - 1) + (1,)
    spoilt[where] = not spoilt[where] if spoilt.dtype == bool else 7.25

    assert name_pattern(spoilt, expected, 1e-9) in ("", phrase) and (
        name_pattern(spoilt, expected, 1e-9) == "" or phrase in OF_SHAPES_ONLY or phrase.startswith("the right numbers")
    )


OF_SHAPES_ONLY = {"the last two axes are swapped", "as many numbers as expected, in another shape"}


def test_rows_in_which_nothing_may_be_attended_to():
    expected = SHARES.copy()
    expected[1] = 0
    got = expected.copy()
    got[1] = NAN

    assert name_pattern(got, expected, 1e-9) == "exactly the rows in which nothing may be attended to are NaN"
    got[2] = NAN
    assert name_pattern(got, expected, 1e-9) == "whole rows are NaN, the others are not"


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (GRID, GRID),
        (GRID + 1e-12, GRID),
        (RNG.standard_normal((2, 3, 4)), GRID),
        (np.array([3.0]), np.array([1.0])),
        (np.array(3.0), np.array(1.0)),
        (np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0])),  # of so few numbers, anything is a constant away
        (np.ones(5), GRID),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.where(GRID > 0, NAN, GRID), GRID),
        (GRID * NAN, GRID * NAN),
    ],
)
def test_where_nothing_explains_it_nothing_is_said(got, expected):
    assert name_pattern(got, expected, 1e-9) == ""


def test_the_tolerance_decides_what_counts_as_explained():
    noisy = 2 * GRID + RNG.uniform(-1e-6, 1e-6, GRID.shape)

    assert name_pattern(noisy, GRID, 1e-4) == "off by one constant everywhere: 2"
    assert name_pattern(noisy, GRID, 1e-9) == ""


def test_infinite_expected_numbers_do_no_harm():
    expected = np.where(np.tri(4, 4, dtype=bool), SQUARE, -np.inf)

    assert name_pattern(expected.T, expected, 1e-9) == "the last two axes are swapped"
    assert name_pattern(expected * 2, expected, 1e-9) == "off by one constant everywhere: 2"
    assert name_pattern(np.zeros((4, 4)), expected, 1e-9) == "every number is zero"
