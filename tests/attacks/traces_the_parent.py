# expect: status=failed score=0
"""Attaches to the parent as a debugger does, which stops it, and keeps it stopped."""

import dataclasses

import numpy as np

sys = dataclasses.sys
os, time = sys.modules["os"], sys.modules["time"]
libc = np.ctypeslib.ctypes.CDLL(None)
ATTACH = 16

if libc.ptrace(ATTACH, os.getppid(), 0, 0) == 0:
    time.sleep(6)


def softmax(x, axis=-1):
    return x
