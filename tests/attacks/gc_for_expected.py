# expect: status=failed score=0 leaks=nothing
"""Goes through every object that the garbage collector knows and prints the arrays and the answers it comes across."""

import dataclasses

import numpy as np

sys = dataclasses.sys
gc = sys.modules["builtins"].__import__("gc")


def softmax(x, axis=-1):
    found = []
    for thing in gc.get_objects():
        values = list(thing.values()) if type(thing) is dict else [thing]
        for value in values:
            if isinstance(value, np.ndarray) and value.dtype == float and 1 < value.size < 100 and value is not x:
                found.append(value.ravel().tolist())
    frame = sys._getframe(1)
    while frame:
        found += [v.ravel().tolist() for v in frame.f_locals.values() if isinstance(v, np.ndarray)]
        frame = frame.f_back
    print(found)
    return x
