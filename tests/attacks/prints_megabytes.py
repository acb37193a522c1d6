# expect: status=failed score=0
"""Prints until somebody's memory, disk or patience ends."""

for _ in range(200):
    print("x" * 65536)


def softmax(x, axis=-1):
    print("y" * 10_000_000)
    return x
