"""Imports that an exercise does not allow are found by line."""

from textwrap import dedent

import pytest

from grader.logic.imports import forbidden_imports

ALLOWED = ("numpy", "math", "__future__", "typing", "os.path")


@pytest.mark.parametrize(
    ("line", "modules"),
    [
        ("import numpy as np, math", []),
        ("import numpy.linalg", []),
        ("from numpy.linalg import norm", []),
        ("import attention", []),
        ("import torch", ["torch"]),
        ("import torch.nn.functional as F", ["torch"]),
        ("import sys, math, subprocess", ["subprocess", "sys"]),
        ("from scipy.special import softmax, expit", ["scipy"]),
        ("from . import other", ["."]),
        ("from ..grader import checks", ["."]),
        ("from os import path", []),
        ("from os.path import join", []),
        ("import os.path", []),
        ("import os", ["os"]),
        ("from os import path, remove", ["os"]),
        ("import numpyx", ["numpyx"]),
        ("__import__('torch')", ["torch"]),
        ("__import__(name='torch')", ["torch"]),
        ("__import__('numpy')", []),
        ("__import__(chosen)", []),
        ("numpy.importlib.import_module('torch.nn')", ["torch"]),
        ("import_module('.x', 'y')", ["."]),
        ("importlib.import_module('numpy')", []),
        ("print('import torch')  # import torch", []),
        ("x = (", []),
        ("", []),
    ],
)
def test_what_is_not_allowed_is_listed_by_its_top_module(line, modules):
    assert forbidden_imports(line, ALLOWED, "attention") == [(1, module) for module in modules]


def test_imports_are_found_wherever_they_stand():
    source = dedent(
        """\
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from jaxtyping import Float
        def f():
            import torch
            try:
                import torch, torch.nn
            except ImportError:
                from importlib import import_module
                return import_module("einops")
        """
    )

    got = forbidden_imports(source, ALLOWED, "attention")

    assert got == [(3, "jaxtyping"), (5, "torch"), (7, "torch"), (9, "importlib"), (10, "einops")]
