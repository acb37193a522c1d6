"""Attention in loops."""

import itertools
import math

import numpy as np


def answer_dtype(*arrays):
    dtype = np.result_type(*arrays)
    return dtype if dtype.kind == "f" else np.dtype("float64")


def inner_dtype(*arrays):
    return np.promote_types(answer_dtype(*arrays), "float32")


def row_softmax(row):
    row = [float(x) for x in row]
    top = max(row, default=0.0)
    if top == -math.inf:
        return [0.0] * len(row)
    powers = [math.exp(x - top) for x in row]
    return [power / sum(powers) for power in powers]


def softmax(x, axis=-1):
    rows = np.moveaxis(x, axis, -1)
    shares = np.zeros(rows.shape)
    for at in np.ndindex(rows.shape[:-1]):
        shares[at] = row_softmax(rows[at])
    return np.moveaxis(shares, -1, axis).astype(answer_dtype(x))


def flat(*arrays):
    batch = np.broadcast_shapes(*[a.shape[:-2] for a in arrays])
    return batch, [np.broadcast_to(a, batch + a.shape[-2:]) for a in arrays]


def scores_of(q, k, mask, scale):
    dtype = inner_dtype(q, k)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    batch, (q, k) = flat(q.astype(dtype), k.astype(dtype))
    scores = np.zeros((*batch, q.shape[-2], k.shape[-2]))
    for at in itertools.product(*map(range, batch)):
        for i, query in enumerate(q[at]):
            for j, key in enumerate(k[at]):
                scores[(*at, i, j)] = float(np.dot(query, key)) * scale
    if mask is None:
        return scores
    if mask.dtype.kind not in "bf":
        raise TypeError("boolean or float masks only")
    whole = np.broadcast_to(mask, scores.shape)
    for at in np.ndindex(scores.shape):
        if mask.dtype != bool:
            scores[at] += whole[at]
        elif not whole[at]:
            scores[at] = -math.inf
    return scores


def attention_weights(q, k, mask=None, scale=None):
    return softmax(scores_of(q, k, mask, scale)).astype(answer_dtype(q, k))


def causal_mask(n_queries, n_keys):
    mask = np.zeros((n_queries, n_keys), dtype=bool)
    for i in range(n_queries):
        for j in range(n_keys):
            mask[i, j] = n_keys - j >= n_queries - i
    return mask


def with_causal(q, k, mask):
    seen = causal_mask(q.shape[-2], k.shape[-2])
    if mask is None:
        return seen
    if mask.dtype == bool:
        return mask & seen
    if mask.dtype.kind != "f":
        raise TypeError("boolean or float masks only")
    return np.where(seen, mask, -np.inf)


def scaled_dot_product_attention(q, k, v, mask=None, *, causal=False, scale=None):
    dtype = answer_dtype(q, k, v)
    inner = inner_dtype(q, k, v)
    mask = with_causal(q, k, mask) if causal else mask
    weights = attention_weights(q.astype(inner), k.astype(inner), mask, scale)
    batch, (weights, v) = flat(weights, v.astype(inner))
    out = np.zeros((*batch, weights.shape[-2], v.shape[-1]))
    for at in np.ndindex(*batch):
        for i in range(weights.shape[-2]):
            for j in range(v.shape[-2]):
                out[at][i] += weights[at][i, j] * v[at][j]
    return out.astype(dtype)


def score_statistics(d_k, n, seed):
    rng = np.random.default_rng(seed)
    q = rng.standard_normal((n, d_k))
    k = rng.standard_normal((n, d_k))
    found = {}
    for name, factor in (("raw", 1.0), ("scaled", 1 / math.sqrt(d_k))):
        rows = [[float(a @ b) * factor for b in k] for a in q]
        everything = [score for row in rows for score in row]
        mean = sum(everything) / len(everything)
        found[f"variance_{name}"] = sum((score - mean) ** 2 for score in everything) / len(everything)
        entropies, gradients = [], []
        for row in rows:
            p = row_softmax(row)
            entropies.append(-sum(x * math.log(x) for x in p if x > 0))
            squares = [((i == j) * p[i] - p[i] * p[j]) ** 2 for i in range(n) for j in range(n)]
            gradients.append(math.sqrt(sum(squares)))
        found[f"entropy_{name}"] = sum(entropies) / n
        found[f"gradient_{name}"] = sum(gradients) / n
    return found


def why_scale():
    return {
        "variance": 64.0,
        "deviation": math.sqrt(256),
        "variance_of_halves": 64 * 0.25 * 0.25,
        "scale_of_a_head": 1 / math.sqrt(512 // 8),
        "ratio_without_scale": 3.0 ** math.sqrt(64),
        "gradient_of_an_even_bet": 0.5 * (1 - 0.5),
    }


def summed_to(grad, shape):
    extra = grad.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(extra + i for i, size in enumerate(shape) if size == 1)
    return grad.sum(axis=axes).reshape(shape)


def attention_backward(q, k, v, d_out, mask=None, *, causal=False, scale=None):
    dtype, inner = answer_dtype(q, k, v), inner_dtype(q, k, v)
    q, k, v, d_out = (a.astype(inner) for a in (q, k, v, d_out))
    mask = with_causal(q, k, mask) if causal else mask
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    shapes = q.shape, k.shape, v.shape
    weights = attention_weights(q, k, mask, scale)
    batch, (q, k, v, d_out, weights) = flat(q, k, v, d_out, weights)
    dq, dk, dv = np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
    for at in np.ndindex(*batch):
        for i in range(q.shape[-2]):
            p, gains = weights[at][i], [float(d_out[at][i] @ value) for value in v[at]]
            mean = sum(a * b for a, b in zip(p, gains, strict=True))
            for j in range(k.shape[-2]):
                slope = p[j] * (gains[j] - mean) * scale
                dq[at][i] += slope * k[at][j]
                dk[at][j] += slope * q[at][i]
                dv[at][j] += p[j] * d_out[at][i]
    return tuple(summed_to(g, s).astype(dtype) for g, s in zip((dq, dk, dv), shapes, strict=True))
