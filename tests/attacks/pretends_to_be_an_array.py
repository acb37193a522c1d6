# expect: status=failed score=0 says="an object of type Pretender"
"""An object whose `__class__` says ndarray, so that isinstance is satisfied, and which equals everything."""

import numpy as np


class Pretender:
    __class__ = np.ndarray

    def __eq__(self, other):
        return True


def attention_weights(q, k, mask=None, scale=None):
    return Pretender()


def scaled_dot_product_attention(q, k, v, mask=None, *, causal=False, scale=None):
    return Pretender()
