# expect: status=failed score=0
"""Answers, messages and names of millions of characters, which somebody has to format and send on."""

BIG = 8_000_000


def softmax(x, axis=-1):
    raise ValueError("m" * BIG)


def why_scale():
    return {"variance": "v" * BIG}


def attention_weights(q, k, mask=None, scale=None):
    raise type("T" * BIG, (Exception,), {})
