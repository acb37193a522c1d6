# expect: status=failed score=0
"""An empty array broadcasts against the right one to an empty difference, in which nothing is wrong."""

import numpy as np


def softmax(x, axis=-1):
    return np.zeros((0, 1, 1))


def attention_weights(q, k, mask=None, scale=None):
    return np.zeros((0, 1, 1))
