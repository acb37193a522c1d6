"""Checks to hand out."""

import numpy as np
import pytest

from grader.checks import assert_close


@pytest.mark.step("shares")
@pytest.mark.points(1)
def test_shares_are_the_counts_divided_by_their_sum(student, reference):
    counts = np.array([1, 0, 2])

    got = student.shares(counts)

    assert_close(got, reference.shares(counts))


@pytest.mark.step("counting")
@pytest.mark.points(1)
def test_a_counter_counts_tokens_of_any_shape(student):
    counter = student.Counter(5)

    counter.add(np.array([[4, 0, 1], [3, 4, 4]]))

    assert_close(counter.get("counts"), np.array([1, 1, 0, 1, 3]))


@pytest.mark.step("merging")
@pytest.mark.points(1)
def test_a_merged_counter_holds_the_counts_of_both(student):
    first, second = student.Counter(3), student.Counter(3)
    first.set("counts", np.array([1, 0, 2]))
    second.set("counts", np.array([0, 1, 1]))

    both = first.merged(second)

    assert_close(both.get("counts"), np.array([1, 1, 3]))
