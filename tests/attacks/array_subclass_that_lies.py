# expect: status=failed score=0 says="an object of type Liar"
"""A real array of the right shape, of a subclass that takes over numpy's functions and answers all of them with True."""

import numpy as np


class Liar(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return True

    def __array_function__(self, function, types, args, kwargs):
        return True


def softmax(x, axis=-1):
    return np.zeros(x.shape).view(Liar)


def attention_weights(q, k, mask=None, scale=None):
    return np.zeros((q.shape[-2], k.shape[-2])).view(Liar)
