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
    (-GRID, GRID, "every sign is flipped"),
    (~TRUTH, TRUTH, "True and False have changed places"),
    (SQUARE.T, SQUARE, "the last two axes are swapped"),
    (np.swapaxes(GRID, -1, -2), GRID, "the right numbers with the last two axes swapped"),
    (GRID.reshape(6, 4), GRID, "the right numbers in another shape"),
    (GRID.reshape(6, 4) * 2, GRID, "as many numbers as expected, in another shape"),
    (np.roll(GRID, 1, -1), GRID, "shifted by one position along axis -1"),
    (np.roll(GRID, -1, 1), GRID, "shifted by one position along axis -2"),
    (np.flip(GRID, -1), GRID, "in reversed order along axis -1"),
    (GRID * 0.125, GRID, "every number is 0.125 times what it should be"),
    (GRID + 3, GRID, "every number is 3 too large"),
    (GRID - 0.5, GRID, "every number is 0.5 too small"),
    ((SHARES / SHARES.sum(axis=0)), SHARES, "sums to one along axis -2 instead of the last"),
    (GRID * NAN, GRID, "nothing is finite"),
    (np.where(np.arange(5)[:, None] == 2, NAN, SHARES), SHARES, "whole rows are NaN, the others are not"),
]


@pytest.mark.parametrize(("got", "expected", "phrase"), CASES, ids=[case[2] for case in CASES])
def test_a_pattern_is_named(got, expected, phrase):
    assert name_pattern(got, expected, 1e-9) == phrase


@pytest.mark.parametrize(("got", "expected", "phrase"), CASES, ids=[case[2] for case in CASES])
def test_with_one_other_number_it_explains_no_more(got, expected, phrase):
    spoilt = got.copy()
    where = np.unravel_index(7, got.shape)
    spoilt[where] = not spoilt[where] if spoilt.dtype == bool else 7.25

    assert name_pattern(spoilt, expected, 1e-9) == OF_THE_SHAPE_ALONE.get(phrase, "")


OF_THE_SHAPE_ALONE = {
    "the right numbers with the last two axes swapped": "the last two axes are swapped",
    "the right numbers in another shape": "as many numbers as expected, in another shape",
    "as many numbers as expected, in another shape": "as many numbers as expected, in another shape",
}


def test_a_shape_with_the_last_two_axes_swapped_is_named_whatever_the_numbers():
    assert name_pattern(np.swapaxes(GRID, -1, -2) * 2, GRID, 1e-9) == "the last two axes are swapped"


def test_rows_in_which_nothing_may_be_attended_to():
    expected = SHARES.copy()
    expected[1] = 0
    got = expected.copy()
    got[1] = NAN

    assert name_pattern(got, expected, 1e-9) == "exactly the rows that should be zeros are NaN"
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

    assert name_pattern(noisy, GRID, 1e-4) == "every number is 2 times what it should be"
    assert name_pattern(noisy, GRID, 1e-9) == ""


def test_infinite_expected_numbers_do_no_harm():
    expected = np.where(np.tri(4, 4, dtype=bool), SQUARE, -np.inf)

    assert name_pattern(expected.T, expected, 1e-9) == "the last two axes are swapped"
    assert name_pattern(expected * 2, expected, 1e-9) == "every number is 2 times what it should be"
    assert name_pattern(np.zeros((4, 4)), expected, 1e-9) == "every number is zero"
