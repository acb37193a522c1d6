# expect: status=failed score=0 leaks=nothing
"""Keeps all questions, and prints and returns them when a public check, of which everything is shown, comes along."""

import numpy as np

KEPT = []


def softmax(x, axis=-1):
    KEPT.append(x.tolist())
    print(KEPT)
    return np.array(KEPT[0][0])


def attention_weights(q, k, mask=None, scale=None):
    KEPT.append(q.tolist())
    print(KEPT)
    raise ValueError(str(KEPT))


def why_scale():
    print(KEPT)
    return {"variance": str(KEPT)}
