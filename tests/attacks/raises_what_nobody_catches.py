# expect: status=failed score=0
"""Exceptions that do not derive from Exception pass by `except Exception` and end a grader that trusted it."""


class Unheard(BaseException):
    pass


def softmax(x, axis=-1):
    raise Unheard


def causal_mask(n_queries, n_keys):
    raise GeneratorExit


def attention_weights(q, k, mask=None, scale=None):
    raise KeyboardInterrupt
