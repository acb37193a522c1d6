# expect: status=failed score=0 leaks=nothing
"""Each exception has the question as its message."""


def softmax(x, axis=-1):
    raise ValueError(str(x.tolist()))


def attention_weights(q, k, mask=None, scale=None):
    raise TypeError(str(q.tolist()))


def scaled_dot_product_attention(q, k, v, mask=None, *, causal=False, scale=None):
    raise NotImplementedError(str(q.tolist()))


def score_statistics(d_k, n, seed):
    raise SystemExit(f"{d_k} {n} {seed}")
