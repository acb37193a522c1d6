# expect: status=failed score=0 leaks=nothing
"""The exit status and the number of a signal are part of a question; and the first of them means success."""

import dataclasses

os = dataclasses.sys.modules["os"]


def softmax(x, axis=-1):
    os._exit(int(abs(float(x.ravel()[0])) * 512) % 256 if x.shape != (1, 3) else 0)
