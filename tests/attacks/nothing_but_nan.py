# expect: status=failed score=0
"""NaN is neither near nor far: whoever asks whether an error is too large, and not whether it is small, hears no."""

import numpy as np


def softmax(x, axis=-1):
    return np.full(x.shape, np.nan, x.dtype)


def attention_weights(q, k, mask=None, scale=None):
    return np.full((*q.shape[:-1], k.shape[-2]), np.nan)
