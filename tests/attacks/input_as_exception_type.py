# expect: status=failed score=0 leaks=nothing
"""The question is the name of the exception's type, and of its base, which claims to be a built-in one."""


def softmax(x, axis=-1):
    name = str(x.ravel()[:4].tolist())
    base = type(name, (Exception,), {"__module__": "builtins"})
    raise type(name, (base,), {"__module__": "builtins"})
