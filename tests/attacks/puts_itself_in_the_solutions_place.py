# expect: status=failed score=0
"""In sys.modules the submission stands where the solution will be looked for: it is compared with itself."""

import dataclasses

import numpy as np

sys = dataclasses.sys


class Mine(type(sys)):
    @staticmethod
    def softmax(x, axis=-1):
        return np.zeros(x.shape)


for name in ("solution", "reference", "answers", "solutions", "solutions.ex01_attention.attention"):
    sys.modules[name] = Mine(name)


def softmax(x, axis=-1):
    return np.zeros(x.shape)
