# expect: status=failed score=0 leaks=nothing
"""Prints each array that it is given, on every stream it can find."""

import dataclasses

sys = dataclasses.sys
os = sys.modules["os"]


def softmax(x, axis=-1):
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            print("given:", x.tolist(), x.tobytes().hex(), file=stream, flush=True)
        except Exception:
            pass
    for descriptor in (1, 2):
        os.write(descriptor, repr(x.tolist()).encode())
    return x


def attention_weights(q, k, mask=None, scale=None):
    print(q.tolist(), flush=True)
    return q


def score_statistics(d_k, n, seed):
    print("seed", seed)
    return {}
