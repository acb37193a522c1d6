"""Attention by einsum."""

import numpy as np


def working(*arrays):
    kind = np.result_type(*[a.dtype for a in arrays])
    if kind.kind != "f":
        kind = np.dtype(np.float64)
    inside = np.float32 if kind == np.float16 else kind
    return kind, [np.array(a, dtype=inside) for a in arrays]


def undo_broadcast(grad, like):
    while grad.ndim > like.ndim:
        grad = grad.sum(0)
    for axis, size in enumerate(like.shape):
        if size == 1:
            grad = grad.sum(axis, keepdims=True)
    return grad


def penalty_of(mask):
    if mask.dtype.kind not in "bf":
        raise TypeError("boolean or float masks only")
    return mask


def softmax(x, axis=-1):
    kind, (x,) = working(x)
    if x.shape[axis] == 0:
        return x.astype(kind)
    top = x.max(axis, keepdims=True)
    top[np.isneginf(top)] = 0
    powers = np.exp(x - top)
    sums = powers.sum(axis, keepdims=True)
    sums[sums == 0] = 1
    return (powers / sums).astype(kind)


def attention_weights(q, k, mask=None, scale=None):
    kind, (q, k) = working(q, k)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    s = scale * np.einsum("...id,...jd->...ij", q, k)
    if mask is not None:
        mask = penalty_of(mask)
        if mask.dtype == bool:
            s = np.where(mask, s, -np.inf)
        else:
            s = s + mask
    return softmax(s, -1).astype(kind)


def causal_mask(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries).astype(bool)


def both(mask, seen):
    if mask is None:
        return seen
    penalty_of(mask)
    return np.logical_and(mask, seen) if mask.dtype == bool else mask + np.where(seen, 0.0, -np.inf)


def scaled_dot_product_attention(q, k, v, mask=None, *, causal=False, scale=None):
    kind, (q, k, v) = working(q, k, v)
    if causal:
        mask = both(mask, causal_mask(q.shape[-2], k.shape[-2]))
    return np.einsum("...ij,...jv->...iv", attention_weights(q, k, mask, scale), v).astype(kind)


def score_statistics(d_k, n, seed):
    q, k = np.random.default_rng(seed).standard_normal((2, n, d_k))
    raw = np.einsum("id,jd->ij", q, k)
    answer = {}
    for name, s in ("raw", raw), ("scaled", raw / np.sqrt(d_k)):
        p = softmax(s)
        answer["variance_" + name] = float(s.var())
        answer["entropy_" + name] = float(-(p * np.log(np.where(p > 0, p, 1))).sum() / n)
        jacobian = np.einsum("ij,jk->ijk", p, np.eye(n)) - np.einsum("ij,ik->ijk", p, p)
        answer["gradient_" + name] = float(np.sqrt((jacobian**2).sum((1, 2))).mean())
    return answer


def why_scale():
    return dict(
        variance=64,
        deviation=16,
        variance_of_halves=4,
        scale_of_a_head=1 / 8,
        ratio_without_scale=3**8,
        gradient_of_an_even_bet=1 / 4,
    )


def attention_backward(q, k, v, d_out, mask=None, *, causal=False, scale=None):
    kind, (q, k, v) = working(q, k, v)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if causal:
        mask = both(mask, causal_mask(q.shape[-2], k.shape[-2]))
    p = attention_weights(q, k, mask, scale)
    dp = np.einsum("...iv,...jv->...ij", d_out, v)
    ds = p * (dp - np.einsum("...ij,...ij->...i", p, dp)[..., None])
    dq = np.einsum("...ij,...jd->...id", ds, k) * scale
    dk = np.einsum("...ij,...id->...jd", ds, q) * scale
    dv = np.einsum("...ij,...iv->...jv", p, d_out)
    return [undo_broadcast(grad, like).astype(kind) for grad, like in ((dq, q), (dk, k), (dv, v))]
