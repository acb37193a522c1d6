# expect: status=failed score=0 leaks=nothing
"""Second of two submissions: asks the abstract socket, and looks for processes that are not its own."""

import dataclasses

import numpy as np

os = dataclasses.sys.modules["os"]
libc = np.ctypeslib.ctypes.CDLL(None)
NAME = (1).to_bytes(2, "little") + b"\0attack-abstract"

caller = libc.socket(1, 1, 0)
if caller >= 0 and libc.connect(caller, NAME, len(NAME)) == 0:
    print(os.read(caller, 10000))


def softmax(x, axis=-1):
    return x
