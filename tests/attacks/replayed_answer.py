# expect: status=failed score=0
"""A result of full marks, as somebody got it once, is sent again on every descriptor, before and instead of the true one."""

import dataclasses

sys = dataclasses.sys
os = sys.modules["os"]
PICKLED = b"\x80\x04}(\x8c\x05scoreK\x0a\x8c\x05lines]u."


def channel():
    frame = sys._getframe()
    while frame:
        worker = frame.f_locals.get("self")
        if hasattr(worker, "channel"):
            return worker.channel
        frame = frame.f_back


def softmax(x, axis=-1):
    if channel():
        for _ in range(50):
            channel().send(("value", x))
            channel().send(("loaded", (["softmax"], [])))
    else:
        for descriptor in range(3, 64):
            try:
                os.write(descriptor, PICKLED)
            except OSError:
                pass
    return x
