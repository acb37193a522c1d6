# expect: status=failed score=0 leaks=nothing
"""Asks a service that trusts whoever is on the same machine; looks a name up, too, which is a way out for data."""

import dataclasses

import numpy as np

sys = dataclasses.sys
os = sys.modules["os"]
libc = np.ctypeslib.ctypes.CDLL(None)
port = int(os.environ.get("GRADER_SERVICE", "22"))
descriptor = libc.socket(2, 1, 0)
address = (2).to_bytes(2, "little") + port.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
if descriptor >= 0 and libc.connect(descriptor, address, 16) == 0:
    print(os.read(descriptor, 1000))


def softmax(x, axis=-1):
    return x
