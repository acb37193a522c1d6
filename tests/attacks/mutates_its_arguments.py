# expect: status=failed score=0
"""Overwrites what it is given, so that the right answer, worked out from the same array afterwards, is an easy one."""

import numpy as np


def softmax(x, axis=-1):
    x[...] = 0
    return np.full(x.shape, 1 / x.shape[axis])
