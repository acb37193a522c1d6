# expect: status=failed score=0
"""Megabytes of rubbish on every descriptor that takes them."""

import dataclasses

os = dataclasses.sys.modules["os"]


def softmax(x, axis=-1):
    for descriptor in range(1, 64):
        try:
            os.set_blocking(descriptor, False)
            for _ in range(200):
                os.write(descriptor, b"\xff0123456789abcdef" * 4096)
        except OSError:
            pass
    return x
