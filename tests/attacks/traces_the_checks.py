# expect: status=failed score=0 leaks=nothing
"""A profile function set for the whole process sees every function of the grader return, and prints what."""

import dataclasses

import numpy as np

sys = dataclasses.sys


def watch(frame, event, value):
    if event == "return" and isinstance(value, np.ndarray) and value.size > 1:
        print(value.ravel().tolist())


sys.setprofile(watch)


def softmax(x, axis=-1):
    return np.zeros(x.shape)
