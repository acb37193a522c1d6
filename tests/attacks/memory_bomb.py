# expect: status=failed score=0 outcome=timeout
"""Takes all memory there is, keeps it, and goes on asking."""


def softmax(x, axis=-1):
    hoard = []
    while True:
        try:
            hoard.append(bytearray(1 << 26))
        except MemoryError:
            pass
