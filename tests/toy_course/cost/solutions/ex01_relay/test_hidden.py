"""Checks to keep."""

import pytest
from test_public import HELPERS

from grader.checks import assert_close, assert_that, cost_of, through

WIDTH, LENGTH, LONGER = 60, 24, 40
FACTOR = 4


@pytest.mark.step("relay")
@pytest.mark.points(1)
def test_the_cell_is_asked_once_for_each_input(student, reference, draw):
    weight, xs = draw(3, 3), draw(7)

    got = through(student, HELPERS, "relayed_at_length", weight, xs, 2)

    assert_close(got, through(reference, HELPERS, "relayed_at_length", weight, xs, 2))


@pytest.mark.untaped
@pytest.mark.step("relay")
@pytest.mark.points(1)
def test_a_long_relay_takes_no_more_work_than_it_needs(student, reference, draw):
    given = (draw(3, 3), draw(LENGTH), WIDTH)

    same = cost_of(reference, HELPERS, "relayed_at_length", *given)
    cost = cost_of(student, HELPERS, "relayed_at_length", *given)

    assert_close(cost.value, same.value)
    assert_that(
        cost.seconds < FACTOR * same.seconds,
        asked=f"a relay of {LENGTH}",
        expected=f"less than {FACTOR * same.seconds:.2f} s",
        got=f"{cost.seconds:.2f} s",
    )


@pytest.mark.untaped
@pytest.mark.step("relay")
@pytest.mark.points(1)
def test_a_long_relay_keeps_no_more_than_its_states(student, reference, draw):
    given = (draw(3, 3), draw(LONGER), WIDTH)

    same = cost_of(reference, HELPERS, "relayed_at_length", *given)
    cost = cost_of(student, HELPERS, "relayed_at_length", *given)

    assert_close(cost.value[0], same.value[0])
    assert_that(
        cost.peak_bytes < FACTOR * same.peak_bytes,
        asked=f"a relay of {LONGER}",
        expected=f"less than {FACTOR * same.peak_bytes >> 20} MB",
        got=f"{cost.peak_bytes >> 20} MB",
    )
