# expect: status=failed score<=2.5 hidden=0
"""Answers from a table where the question is one of those handed out, and nothing for all others."""

import numpy as np

TABLE = {
    (0.0, 1.0, 2.0): [[0.09003057317038046, 0.24472847105479764, 0.6652409557748218]],
    (0.0, 0.6931, 1.6094): [0.125, 0.25, 0.625],
}


def softmax(x, axis=-1):
    known = TABLE.get(tuple(np.round(np.ravel(x), 4).tolist()))
    return np.array(known) if known else np.zeros_like(x)


def causal_mask(n_queries, n_keys):
    if (n_queries, n_keys) == (4, 4):
        return np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], dtype=bool)
    if (n_queries, n_keys) in ((2, 5), (3, 5)):
        return np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], dtype=bool)[-n_queries:] > 0
    return np.zeros((n_queries, n_keys), dtype=bool)
