# expect: status=failed score=0
"""An object that, asked to become an array, looks up the right answer in the frame of whoever asks."""

import dataclasses

import numpy as np

sys = dataclasses.sys


class Thief:
    def __array__(self, dtype=None, copy=None):
        frame = sys._getframe(1)
        while frame:
            if isinstance(frame.f_locals.get("expected"), np.ndarray):
                return frame.f_locals["expected"]
            frame = frame.f_back
        return np.zeros(1)

    def __eq__(self, other):
        return False


def softmax(x, axis=-1):
    return Thief()
