# expect: status=failed score=0
"""Sends answers without ever reading a question, until both sides wait for the other to read."""

import dataclasses

sys = dataclasses.sys
os = sys.modules["os"]


def channel():
    frame = sys._getframe()
    while frame:
        worker = frame.f_locals.get("self")
        if hasattr(worker, "channel"):
            return worker.channel
        frame = frame.f_back


def softmax(x, axis=-1):
    if not channel():
        for descriptor in range(3, 64):
            try:
                os.write(descriptor, bytes(1 << 20))
            except OSError:
                pass
    while True:
        channel().send(("value", [0.0]))
