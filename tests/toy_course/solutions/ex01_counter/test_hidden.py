"""Checks to keep."""

import numpy as np
import pytest

from grader.checks import assert_close


@pytest.mark.step("shares")
@pytest.mark.points(1)
def test_shares_of_many_counts_add_up_to_one(student, reference, rng):
    many, single = rng.integers(0, 50, size=7), np.array([0, 1, 0, 0])

    for counts in (many, single):
        assert_close(student.shares(counts), reference.shares(counts))


@pytest.mark.step("shares")
@pytest.mark.points(1)
def test_where_nothing_was_counted_the_shares_are_zero(student, reference):
    nothing = np.zeros(4, dtype=np.int64)

    got = student.shares(nothing)

    assert_close(got, reference.shares(nothing))


@pytest.mark.step("counting")
@pytest.mark.points(1)
def test_counts_of_two_calls_add_up(student, rng):
    first, second = rng.integers(0, 6, size=(2, 5)), rng.integers(0, 6, size=3)
    counter = student.Counter(6)

    counter.add(first)
    counter.add(second)

    assert_close(counter.get("counts"), np.bincount([*first.ravel(), *second], minlength=6))


@pytest.mark.step("counting")
@pytest.mark.points(1)
def test_the_most_common_token_is_the_one_seen_most_often(student):
    counter = student.Counter(4)
    counter.set("counts", np.array([3, 1, 7, 2]))

    assert_close(counter.most_common(), 2)


@pytest.mark.step("counting")
@pytest.mark.points(1)
def test_on_a_tie_the_smallest_token_is_the_most_common(student):
    counter = student.Counter(5)
    counter.set("counts", np.array([1, 4, 0, 4, 2]))

    assert_close(counter.most_common(), 1)


@pytest.mark.step("merging")
@pytest.mark.points(1)
def test_merging_changes_neither_counter(student, rng):
    ours, theirs = rng.integers(1, 9, size=4), rng.integers(1, 9, size=4)
    first, second = student.Counter(4), student.Counter(4)
    first.set("counts", ours)
    second.set("counts", theirs)

    both = first.merged(second)

    assert_close(both.get("counts"), ours + theirs)
    assert_close(first.get("counts"), ours)
    assert_close(second.get("counts"), theirs)
