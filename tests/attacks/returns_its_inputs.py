# expect: status=failed score=0 leaks=nothing
"""Returns the question as the answer: who shows what came shows what was asked."""


def softmax(x, axis=-1):
    return x


def attention_weights(q, k, mask=None, scale=None):
    return q


def scaled_dot_product_attention(q, k, v, mask=None, *, causal=False, scale=None):
    return v


def attention_backward(q, k, v, d_out, mask=None, *, causal=False, scale=None):
    return q, k, v
