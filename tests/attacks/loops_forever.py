# expect: status=failed score=0 outcome=timeout
"""One call to a C function that takes years, holds the interpreter's lock, and hears no Python signal handler."""


def softmax(x, axis=-1):
    return pow(7, 10**100000, 10**100000 + 1)
