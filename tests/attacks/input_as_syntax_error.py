# expect: status=failed score=0 leaks=nothing
"""The question is the source line that a syntax error shows."""


def softmax(x, axis=-1):
    raise SyntaxError(str(x.tolist()), ("attention.py", int(abs(x.ravel()[0]) * 512) + 77_000, 1, str(x.tolist())))
