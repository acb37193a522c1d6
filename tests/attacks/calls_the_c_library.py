# expect: status=failed score=0 leaks=nothing
"""The C library's own open, system and getenv, through ctypes, past everything that Python could forbid."""

import dataclasses

import numpy as np

os = dataclasses.sys.modules["os"]
ctypes = np.ctypeslib.ctypes
libc = ctypes.CDLL(None)
libc.system(b"cat solution.py; env")
for path in (b"solution.py", b"/proc/self/environ", b"/etc/passwd"):
    buffer = ctypes.create_string_buffer(5000)
    descriptor = libc.open(path, 0)
    if descriptor >= 0:
        libc.read(descriptor, buffer, 4999)
        print(buffer.value)


def softmax(x, axis=-1):
    return x
