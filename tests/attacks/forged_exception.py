# expect: status=failed score=0
"""The description of an exception is forged: infinite line numbers, a tag that is an array, types that are no types."""

import dataclasses

import numpy as np

sys = dataclasses.sys
os = sys.modules["os"]
INFINITE = float("inf")
TALES = [
    {"type": "E", "bases": [], "message": "", "frames": [("attention.py", INFINITE, "f")], "forbidden": "", "depth": 1},
    {"type": "E", "bases": ["V"], "message": "", "frames": [], "forbidden": "", "depth": INFINITE},
    {"type": 5, "bases": 5, "message": 5, "frames": 5, "forbidden": 5, "depth": 5},
]


def channel():
    frame = sys._getframe()
    while frame:
        worker = frame.f_locals.get("self")
        if hasattr(worker, "channel"):
            return worker.channel
        frame = frame.f_back


def lie(*values):
    if channel() is None:
        for descriptor in range(3, 64):
            try:
                os.write(descriptor, sys.modules["pickle"].dumps(values))
            except OSError:
                pass
        return
    for value in values:
        channel().send(value)


def softmax(x, axis=-1):
    lie(*[("raised", tale) for tale in TALES])


def attention_weights(q, k, mask=None, scale=None):
    lie((np.array(["value", "printed"]).view(np.int32), 1))


def causal_mask(n_queries, n_keys):
    lie(("value",), ("value", 1, 2, 3), 7)
