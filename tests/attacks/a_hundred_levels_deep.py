# expect: status=failed score=0
"""Lists in lists, a million tiny values, a list that holds itself: whoever follows them runs out of something."""

import dataclasses

sys = dataclasses.sys
os = sys.modules["os"]


def softmax(x, axis=-1):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    if sys._getframe(1).f_globals["__name__"] == "defenceless":
        for descriptor in range(3, 64):
            try:
                os.write(descriptor, b"\x80\x04" + b"]" * 30_000 + b"a" * 29_999 + b".")
            except OSError:
                pass
    return deep


def attention_weights(q, k, mask=None, scale=None):
    return [None] * 1_500_000


def causal_mask(n_queries, n_keys):
    itself = []
    itself.append(itself)
    return itself
