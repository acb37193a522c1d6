# expect: status=failed score=0
"""Closes everything that is open, so that its reader sees the end, and lives on."""

import dataclasses

sys = dataclasses.sys
os, time = sys.modules["os"], sys.modules["time"]


def softmax(x, axis=-1):
    os.closerange(0, 256)
    time.sleep(6)
