# expect: status=failed score=0
"""Climbs the stack to the grader's own variables and writes a better score into the results it finds there."""

import dataclasses

sys = dataclasses.sys


def softmax(x, axis=-1):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if isinstance(value, dict) and "score" in value:
                value["score"] = 10
        frame = frame.f_back
    return x
