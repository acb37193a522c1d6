# expect: fails="a long relay takes no more work than it needs" score<=3
"""Works everything out again for each state, and switches off what counts in its process: counter, clocks, usage."""

import dataclasses

import numpy as np

sys = dataclasses.sys
time = sys.modules["time"]


def stands_still(*ignored):
    return 0.0


for name in ("process_time", "thread_time", "perf_counter", "monotonic", "clock_gettime"):
    setattr(time, name, stands_still)
try:
    resource = sys.modules["builtins"].__import__("resource")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    resource.getrusage = lambda who: usage
except ImportError:
    pass


def states(cell, xs):
    found = []
    for end in range(len(xs)):
        state = np.zeros(xs[0].shape)
        for x in xs[: end + 1]:
            state = cell(state, x)
        found.append(state)
    cell.asked = len(xs)
    return np.stack(found)
