"""A relay: a state that goes from cell to cell, each of which also takes an input."""

import numpy as np


def states(cell, xs):
    """All states of a relay.

    ``cell(state, x)`` gives the next state, an array of x's shape; before the first one, the state is zero. The cell is asked once
    for each of ``xs``, and nothing is kept but the states.

    Returns an array of shape (inputs, *state).
    """
    found, state = [], np.zeros(xs[0].shape)
    for x in xs:
        state = cell(state, x)
        found.append(state)
    return np.stack(found)
