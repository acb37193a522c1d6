# expect: status=failed score=0 leaks=nothing
"""The question is the name of a module, and the refusal to import it names it."""


def softmax(x, axis=-1):
    __import__("inputs" + str(x.ravel()[:4].tolist()))


def attention_weights(q, k, mask=None, scale=None):
    raise ImportError(str(q.tolist()), name=str(q.tolist()))
