# expect: status=failed score=0
"""A signal handler runs in the middle of the grader's own code a moment later, and ends it with a good exit status."""

import dataclasses

import numpy as np

sys = dataclasses.sys
signal = sys.modules["builtins"].__import__("signal")


def ring(number, frame):
    sys.modules["os"]._exit(0)


signal.signal(signal.SIGALRM, ring)


def softmax(x, axis=-1):
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    return np.zeros(x.shape)


def attention_weights(q, k, mask=None, scale=None):
    sys.modules["time"].sleep(0.1)
