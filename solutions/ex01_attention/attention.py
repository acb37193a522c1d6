"""Scaled dot-product attention in numpy, from one query in loops to whole batches, masks and gradients.

Axis words, used in every signature below:

    *batch   any leading axes (batch, head, ...), none too; broadcast against each other as numpy does
    query    the positions that ask, n_queries of them
    key      the positions that are read, n_keys of them; each key has one value
    d_k      width of a query and of a key
    d_v      width of a value

Precision, in every function: arrays are converted to one dtype before anything is computed. That dtype is
`np.result_type` of q, k and v; mask and d_out take no part in it. float32 and float64 stay as they are, integers and
booleans become float64, and float16 is computed in float32 and returned as float16. Inputs are never written to.
NaN and infinities in q, k and v are outside this exercise; minus infinity in scores and in masks is inside.

Sources:
    Vaswani et al. 2017, Attention Is All You Need, section 3.2.1, equation 1 and footnote 4
        https://arxiv.org/abs/1706.03762
    torch.nn.functional.scaled_dot_product_attention
        https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
    GPT-2, attention_mask in src/model.py (the causal mask counted from the bottom right)
        https://github.com/openai/gpt-2/blob/master/src/model.py
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

    Mask = Bool[np.ndarray, "..."] | Float[np.ndarray, "..."]


# ---------------------------------------------------------------------------------------------- given: the whole idea


def attend_one(
    query: Float[np.ndarray, " d_k"],
    keys: Float[np.ndarray, "key d_k"],
    values: Float[np.ndarray, "key d_v"],
) -> tuple[list[float], list[float]]:
    """What one query reads, in plain loops: its weight on every key, and the values mixed by these weights.

    Returns (weights, output) of lengths n_keys and d_v. For small scores and at least one key; the functions below
    do the same for all queries at once and for every input.
    """
    scores = []
    for key in keys:
        match = 0.0
        for i in range(len(query)):
            match += float(query[i]) * float(key[i])
        scores.append(match / math.sqrt(len(query)))

    exponentials = [math.exp(score) for score in scores]
    weights = [exponential / sum(exponentials) for exponential in exponentials]

    output = [0.0] * values.shape[1]
    for weight, value in zip(weights, values, strict=True):
        for i in range(len(output)):
            output[i] += weight * float(value[i])
    return weights, output


# ---------------------------------------------------------------------------------------------- given: small helpers


def promote(*arrays: np.ndarray) -> tuple[np.dtype, list[np.ndarray]]:
    """The dtype that an answer made from `arrays` has, and a copy of each array in the dtype to compute it in.

    The two differ for float16 only: answer in float16, compute in float32.
    """
    common = np.result_type(*(array.dtype for array in arrays))
    answer = common if np.issubdtype(common, np.floating) else np.dtype(np.float64)
    working = np.promote_types(answer, np.float32)
    return answer, [array.astype(working) for array in arrays]


def is_boolean(mask: np.ndarray) -> bool:
    """True for a boolean mask, False for a float mask of any precision; TypeError for any other dtype."""
    if mask.dtype == bool:
        return True
    if np.issubdtype(mask.dtype, np.floating):
        return False
    raise TypeError(f"a mask is boolean (True = may attend) or float (added to the scores), not {mask.dtype}")


def combine_masks(mask: Mask | None, allowed: Bool[np.ndarray, "query key"]) -> Mask:
    """The mask that lets through what `mask` and the boolean `allowed` both let through; None lets everything through.

    A boolean mask gives a boolean one, a float mask a float one; TypeError for any other dtype.
    """
    if mask is None:
        return allowed
    return mask & allowed if is_boolean(mask) else np.where(allowed, mask, -np.inf)


def sum_to(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`grad` summed over the axes along which an array of `shape` was repeated when numpy broadcast it."""
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return grad.sum(axis=repeated, keepdims=True)


# ---------------------------------------------------------------------------------------------- yours


def softmax(x: Float[np.ndarray, "*shape"], axis: int = -1) -> Float[np.ndarray, "*shape"]:
    """The numbers along `axis` as shares of one: exp(xᵢ) / Σⱼ exp(xⱼ), the sum running along `axis`.

    x has at least one axis, and `axis` names any of them, from the front or (negative) from the back. Shape and dtype
    are those of x (integers and booleans become float64). Finite and right for numbers as large as ±1e4, and for rows
    however far below other rows. An entry of minus infinity gets a share of exactly 0, and a row of nothing but minus
    infinity is zeros. An axis of length 0 is allowed: the answer is as empty as x.

    Source: Attention Is All You Need, section 3.2.1, equation 1.
    """
    answer, (x,) = promote(x)
    lowest = np.finfo(x.dtype).min  # finite: -inf minus it is -inf, where -inf minus -inf would be NaN
    largest = np.max(x, axis=axis, keepdims=True, initial=lowest)
    exponentials = np.exp(x - largest)  # the largest of each row becomes 1, so nothing overflows
    total = np.sum(exponentials, axis=axis, keepdims=True)  # therefore at least 1; 0 for a row of -inf only
    shares = exponentials / np.maximum(total, 1)
    return shares.astype(answer)


def attention_weights(
    q: Float[np.ndarray, "*#batch query d_k"],
    k: Float[np.ndarray, "*#batch key d_k"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[np.ndarray, "*#batch query key"]:
    """How much each query attends to each key: softmax(q kᵀ · scale + mask), each query's weights summing to one.

    scale  a number to multiply the scores by; None means 1/√d_k. Any number is taken as it is, 0.0 too. d_k ≥ 1.
    mask   any shape that broadcasts to (*batch, query, key). Boolean: True = may attend, False = gets weight 0.
           Float: added to the scaled scores; only -inf blocks. None: every query may attend to every key.

    A query that may attend to nothing gets zeros. Without keys the result has shape (*batch, query, 0).
    The dtype is that of q and k together; a float mask does not change it.

    Raises TypeError for a mask that is neither boolean nor float, ValueError for one whose shape does not broadcast
    with the scores; a mask that would enlarge the scores is outside this exercise.

    Source: Attention Is All You Need, section 3.2.1, equation 1.
    """
    answer, (q, k) = promote(q, k)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.mT  # (*batch, query, d_k) @ (*batch, d_k, key) -> (*batch, query, key)
    scores = scores * scale
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if is_boolean(mask) else scores + mask
    return softmax(scores).astype(answer)


def causal_mask(n_queries: int, n_keys: int) -> Bool[np.ndarray, "{n_queries} {n_keys}"]:
    """Who may attend to whom when nobody sees later positions: boolean (n_queries, n_keys), True = may attend.

    The queries are the newest of the n_keys positions: the last query lines up with the last key (bottom-right), and
    every query sees its own position. With more queries than keys, the first n_queries - n_keys rows are all False.
    Either number may be 0.

    Source: attention_mask in GPT-2's src/model.py. PyTorch's `is_causal` aligns top-left, another convention.
    """
    key_position = np.arange(n_keys)  # (key,)
    query_position = np.arange(n_queries) + (n_keys - n_queries)  # (query,)
    return key_position <= query_position[:, np.newaxis]  # (query, key)


def scaled_dot_product_attention(
    q: Float[np.ndarray, "*#batch query d_k"],
    k: Float[np.ndarray, "*#batch key d_k"],
    v: Float[np.ndarray, "*#batch key d_v"],
    mask: Mask | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Float[np.ndarray, "*#batch query d_v"]:
    """What each query reads: the values, mixed by the query's attention weights.

    mask, scale  as in `attention_weights`, errors included.
    causal       True: `causal_mask` holds as well; where there is a mask too, a key must be allowed by both.

    A query that may attend to nothing reads zeros; so does every query where there are no keys.
    The dtype is that of q, k and v together, and the weights are computed in it.

    Source: Attention Is All You Need, section 3.2.1, equation 1.
    """
    answer, (q, k, v) = promote(q, k, v)
    if causal:
        mask = combine_masks(mask, causal_mask(q.shape[-2], k.shape[-2]))
    weights = attention_weights(q, k, mask, scale)  # (*batch, query, key)
    mixed = weights @ v  # (*batch, query, key) @ (*batch, key, d_v) -> (*batch, query, d_v)
    return mixed.astype(answer)


def score_statistics(d_k: int, n: int, seed: int) -> dict[str, float]:
    """What width does to scores and softmax, measured on n random queries and n random keys, without and with 1/√d_k.

    With `rng = np.random.default_rng(seed)`, the queries are the first `rng.standard_normal((n, d_k))` and the keys
    the second. Raw scores are q kᵀ, shape (n, n); scaled scores are these times 1/√d_k. p is the softmax of one
    query's n scores. d_k ≥ 1, n ≥ 1. Returns plain floats under six keys:

        variance_raw  variance_scaled   variance of all n·n scores: mean squared distance from their mean
        entropy_raw   entropy_scaled    -Σ p ln p in nats, with 0 ln 0 = 0; mean over the queries
        gradient_raw  gradient_scaled   Frobenius norm of the softmax's Jacobian, the n × n matrix diag(p) - p pᵀ;
                                        mean over the queries. The derivative is by the softmax's own input.

    Source: Attention Is All You Need, section 3.2.1, footnote 4.
    """
    rng = np.random.default_rng(seed)
    q = rng.standard_normal((n, d_k))
    k = rng.standard_normal((n, d_k))
    raw = q @ k.T  # (query, key)
    statistics = {}
    for name, scores in [("raw", raw), ("scaled", raw / math.sqrt(d_k))]:
        weights = softmax(scores)
        used = weights[weights > 0]  # 0 ln 0 counts as 0
        jacobians = [np.diag(p) - np.outer(p, p) for p in weights]  # one (key, key) matrix a query
        statistics[f"variance_{name}"] = float(np.var(scores))
        statistics[f"entropy_{name}"] = float(-np.sum(used * np.log(used)) / n)
        statistics[f"gradient_{name}"] = float(np.mean([np.linalg.norm(jacobian) for jacobian in jacobians]))
    return statistics


def why_scale() -> dict[str, float]:
    """Six answers that together explain 1/√d_k: one number for each key below.

    In the first three, the components of q and k are all independent and have mean 0.

        variance                d_k = 64, components of variance 1: the variance of q·k
        deviation               d_k = 256, components of variance 1: the standard deviation of q·k
        variance_of_halves      d_k = 64, components of standard deviation 0.5: the variance of q·k
        scale_of_a_head         a model of width 512 with 8 heads of equal width: the default scale inside one head
        ratio_without_scale     d_k = 64; with the default scale, key A gets 3 times the weight of key B:
                                how many times B's weight does A get if the scale is left out?
        gradient_of_an_even_bet two keys with equal scores: the derivative of the first weight by its own score

    Source: Attention Is All You Need, section 3.2.1, footnote 4; section 3.2.2 for the width of a head.
    """
    return {
        "variance": 64.0,  # a sum of d_k independent terms, each of variance 1 · 1
        "deviation": 16.0,  # √256: the typical size of a score grows with √d_k
        "variance_of_halves": 4.0,  # 64 · 0.5² · 0.5²: 1/√d_k fits components of variance 1
        "scale_of_a_head": 0.125,  # 1/√64: a head's scores are sums of 512/8 terms
        "ratio_without_scale": 6561.0,  # 3⁸: scores √64 times as far apart, and softmax makes ratios of differences
        "gradient_of_an_even_bet": 0.25,  # p (1 - p) at p = 1/2, the steepest that softmax can be
    }


def attention_backward(
    q: Float[np.ndarray, "*#batch query d_k"],
    k: Float[np.ndarray, "*#batch key d_k"],
    v: Float[np.ndarray, "*#batch key d_v"],
    d_out: Float[np.ndarray, "*#batch query d_v"],
    mask: Mask | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> tuple[
    Float[np.ndarray, "*q_batch query d_k"],
    Float[np.ndarray, "*k_batch key d_k"],
    Float[np.ndarray, "*v_batch key d_v"],
]:
    """The gradients (dq, dk, dv) of a loss by q, k and v, given d_out, its gradient by the attention's output.

    d_out has the output's shape. The other arguments are those of `scaled_dot_product_attention`, errors included.
    Each gradient has the shape of what it belongs to: where q, k or v was broadcast along an axis, its gradient is
    summed over that axis. All three have the output's dtype. Blocked keys, and queries that may attend to nothing,
    contribute zero; without keys dq is zeros.

    Source: the chain rule on Attention Is All You Need, section 3.2.1, equation 1.
    """
    answer, (q, k, v) = promote(q, k, v)
    d_out = d_out.astype(v.dtype)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    if causal:
        mask = combine_masks(mask, causal_mask(q.shape[-2], k.shape[-2]))
    weights = attention_weights(q, k, mask, scale)  # (*batch, query, key)

    dv = weights.mT @ d_out  # (*batch, key, d_v)
    d_weights = d_out @ v.mT  # (*batch, query, key)
    mean = np.sum(weights * d_weights, axis=-1, keepdims=True)  # (*batch, query, 1)
    d_scores = weights * (d_weights - mean) * scale  # (*batch, query, key)
    dq = d_scores @ k  # (*batch, query, d_k)
    dk = d_scores.mT @ q  # (*batch, key, d_k)

    return tuple(sum_to(grad, x.shape).astype(answer) for grad, x in [(dq, q), (dk, k), (dv, v)])


# ---------------------------------------------------------------------------------------------- given: the example


def main() -> None:
    """The worked example of the task, by loops first, then by as many of your functions as are written."""
    q = np.array([[1.0, 0.0]])
    k = np.array([[1.0, 0.0], [0.0, 1.0]])
    v = np.array([[1.0, 2.0], [3.0, 4.0]])
    d_out = np.array([[1.0, 0.0]])
    only_first = np.array([True, False])

    weights, output = attend_one(q[0], k, v)
    print("one query, in loops: its weights and what it reads")
    print(np.round(weights, 8))
    print(np.round(output, 8))

    examples = [
        ("softmax", "softmax of ln 1, ln 2, ln 5", lambda: softmax(np.log([1.0, 2.0, 5.0]))),
        ("weights", "attention_weights: the weights above", lambda: attention_weights(q, k)),
        ("causal", "causal_mask, 2 queries and 4 keys", lambda: causal_mask(2, 4)),
        ("masks", "the same weights with key 1 blocked: 1 and 0", lambda: attention_weights(q, k, only_first)),
        ("attention", "scaled_dot_product_attention: the output above", lambda: scaled_dot_product_attention(q, k, v)),
        ("why", "score_statistics, d_k = 256", lambda: score_statistics(256, 64, seed=0)),
        ("why", "why_scale", lambda: why_scale()),
        ("backward", "attention_backward of the first output: dq, dk, dv", lambda: attention_backward(q, k, v, d_out)),
    ]
    for step, title, example in examples:
        try:
            result = example()
        except NotImplementedError:
            print(f"\nnext: step {step} of the task; then run this again")
            return
        if isinstance(result, dict):
            result = [f"{value:<12.6g} {name}" for name, value in result.items()]
        print(f"\n{title}")
        print(*result, sep="\n")


if __name__ == "__main__":
    main()
