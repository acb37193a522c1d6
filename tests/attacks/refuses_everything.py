# expect: status=failed score=0
"""Raises one exception that is every kind of error at once: checks that only want a refusal are content."""


class Every(TypeError, ValueError, AssertionError, KeyError):
    pass


def attention_weights(q, k, mask=None, scale=None):
    raise Every


def scaled_dot_product_attention(q, k, v, mask=None, *, causal=False, scale=None):
    raise Every
