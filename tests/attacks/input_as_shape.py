# expect: status=failed score=0 leaks=nothing
"""The question is the shape of the answer: with one axis of length 0, the others may be as long as one likes."""

import numpy as np


def softmax(x, axis=-1):
    return np.zeros([*(100 + int(abs(number) * 128) for number in x.ravel()[:3].tolist()), 0], bool)


def attention_weights(q, k, mask=None, scale=None):
    return np.zeros([*(100 + int(abs(number) * 128) for number in q.ravel()[:3].tolist()), 0], bool)


def score_statistics(d_k, n, seed):
    return np.zeros(seed + 100_000, bool)
