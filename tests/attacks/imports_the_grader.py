# expect: status=failed score=0
"""Fetches the grader's own modules and the solution behind the rule about imports, by the import function that it wraps."""

import dataclasses

import numpy as np

builtins = dataclasses.sys.modules["builtins"]
found = {}
for name in ("solution", "grader.system.oracle", "grader.verbs.session", "solutions.ex01_attention.attention"):
    try:
        found[name] = builtins.__import__(name, fromlist=["x"])
    except ImportError as error:
        print(error)


def softmax(x, axis=-1):
    for module in found.values():
        if hasattr(module, "softmax"):
            return module.softmax(x)
    return np.zeros(x.shape)
