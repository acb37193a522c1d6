# expect: status=failed score=0
"""A finder at the head of sys.meta_path answers the grader's imports with a module of the submission's own."""

import dataclasses

import numpy as np

sys = dataclasses.sys


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("solution", "reference", "answers"):
            machinery = sys.modules["_frozen_importlib"]
            return machinery.ModuleSpec(name, Finder)

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        module.softmax = softmax


sys.meta_path.insert(0, Finder)


def softmax(x, axis=-1):
    return np.zeros(x.shape)
