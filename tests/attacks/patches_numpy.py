# expect: status=failed score=0
"""numpy's own comparisons are replaced by functions that are always content."""

import numpy as np

for name in ("all", "allclose", "array_equal", "isclose"):
    setattr(np, name, lambda *args, **kwargs: True)
np.testing.assert_allclose = np.testing.assert_array_equal = lambda *args, **kwargs: None


def softmax(x, axis=-1):
    return x


def attention_weights(q, k, mask=None, scale=None):
    return q
