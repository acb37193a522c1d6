import math

import numpy as np


def promote(*arrays):
    common = np.result_type(*(array.dtype for array in arrays))
    answer = common if np.issubdtype(common, np.floating) else np.dtype(np.float64)
    working = np.promote_types(answer, np.float32)
    return answer, [array.astype(working) for array in arrays]


def is_boolean(mask):
    if mask.dtype == bool:
        return True
    if np.issubdtype(mask.dtype, np.floating):
        return False
    raise TypeError(f"a mask is boolean or float, not {mask.dtype}")


def combine_masks(mask, allowed):
    if mask is None:
        return allowed
    return mask & allowed if is_boolean(mask) else np.where(allowed, mask, -np.inf)


def sum_to(grad, shape):
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return grad.sum(axis=repeated, keepdims=True)


def softmax(x, axis=-1):
    answer, (x,) = promote(x)
    largest = np.max(x, axis=axis, keepdims=True, initial=np.finfo(x.dtype).min)
    e = np.exp(x - largest)
    return (e / np.maximum(e.sum(axis=axis, keepdims=True), 1)).astype(answer)


def attention_weights(q, k, mask=None, scale=None):
    answer, (q, k) = promote(q, k)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    scores = scale * (q @ k.mT)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if is_boolean(mask) else scores + mask
    return softmax(scores).astype(answer)


def causal_mask(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)


def scaled_dot_product_attention(q, k, v, mask=None, *, causal=False, scale=None):
    answer, (q, k, v) = promote(q, k, v)
    if causal:
        mask = combine_masks(mask, causal_mask(q.shape[-2], k.shape[-2]))
    return (attention_weights(q, k, mask, scale) @ v).astype(answer)


def score_statistics(d_k, n, seed):
    rng = np.random.default_rng(seed)
    q, k = rng.standard_normal((n, d_k)), rng.standard_normal((n, d_k))
    found = {}
    for name, scale in (("raw", 1), ("scaled", 1 / math.sqrt(d_k))):
        scores = q @ k.T * scale
        p = softmax(scores)
        logs = np.log(np.where(p > 0, p, 1))
        jacobians = np.eye(n) * p[:, None] - p[:, :, None] * p[:, None]
        found[f"variance_{name}"] = float(scores.var())
        found[f"entropy_{name}"] = float(-(p * logs).sum() / n)
        found[f"gradient_{name}"] = float(np.sqrt((jacobians**2).sum(axis=(1, 2))).mean())
    return found


def why_scale():
    return {
        "variance": 64,
        "deviation": 16,
        "variance_of_halves": 4,
        "scale_of_a_head": 0.125,
        "ratio_without_scale": 3**8,
        "gradient_of_an_even_bet": 0.25,
    }


def attention_backward(q, k, v, d_out, mask=None, *, causal=False, scale=None):
    answer, (q, k, v) = promote(q, k, v)
    d_out = d_out.astype(v.dtype)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    if causal:
        mask = combine_masks(mask, causal_mask(q.shape[-2], k.shape[-2]))
    p = attention_weights(q, k, mask, scale)
    d_p = d_out @ v.mT
    d_s = p * (d_p - (p * d_p).sum(axis=-1, keepdims=True)) * scale
    grads = [(d_s @ k, q), (d_s.mT @ q, k), (p.mT @ d_out, v)]
    return tuple(sum_to(grad, x.shape).astype(answer) for grad, x in grads)
