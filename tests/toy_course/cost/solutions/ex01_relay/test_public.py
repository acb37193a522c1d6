"""Checks to hand out."""

import pytest

from grader.checks import assert_close, through

HELPERS = '''
import time
import numpy as np


class Cell:
    """Mixes state and input, and counts how often."""

    def __init__(self, weight, rounds=1):
        self.weight, self.rounds, self.asked = weight, rounds, 0

    def __call__(self, state, x):
        self.asked += 1
        for _ in range(self.rounds):
            state = np.tanh(self.weight @ state + x)
        return state


def relayed(weight, xs):
    """All states."""
    return submission.states(Cell(weight), xs)


def relayed_at_length(weight, xs, width):
    """Of wide states, which are a lot of work: the last one's beginning, and how often the cell was asked."""
    cell = Cell(np.kron(np.eye(width), weight), rounds=4)
    states = submission.states(cell, [np.full((len(cell.weight), 200), x) for x in xs])
    return states[-1, :3, 0], cell.asked


def judged_inside(weight, xs, width, seconds):
    """Whether the work was done as it should be, as far as the submission's own process knows."""
    began = time.process_time()
    _, asked = relayed_at_length(weight, xs, width)
    return asked == len(xs) and time.process_time() - began < seconds
'''


@pytest.mark.step("relay")
@pytest.mark.points(1)
def test_each_state_comes_from_the_one_before(student, reference, draw):
    weight, xs = draw(3, 3), draw(5, 3, 2)

    got = through(student, HELPERS, "relayed", weight, xs)

    assert_close(got, through(reference, HELPERS, "relayed", weight, xs))
