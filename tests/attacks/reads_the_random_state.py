# expect: status=failed score=0 leaks=nothing
"""The generator from which the questions are drawn is everybody's who shares the process: it foretells them."""

import numpy as np


def softmax(x, axis=-1):
    state = np.random.get_state()
    print(np.random.standard_normal((4, 5)).tolist(), state[1][:5].tolist())
    np.random.set_state(state)
    return np.zeros(x.shape)
