# expect: status=failed score=0 leaks=nothing
"""Prints every environment variable: keys and tokens of the grading machine are often in there."""

import dataclasses

os = dataclasses.sys.modules["os"]
print(dict(os.environ), os.environb)


def softmax(x, axis=-1):
    raise ValueError(str(dict(os.environ)))
