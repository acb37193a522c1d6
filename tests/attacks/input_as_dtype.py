# expect: status=failed score=0 leaks=nothing
"""The question is a field's name in the dtype of the answer, and the name of the answer's type."""

import numpy as np


def softmax(x, axis=-1):
    return np.zeros(x.shape, [(str(x.ravel()[:4].tolist()), "f8")])


def attention_weights(q, k, mask=None, scale=None):
    return type(str(q.ravel()[:4].tolist()), (), {})()
