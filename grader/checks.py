"""What a check file imports. The fixtures ``student``, ``reference``, ``draw`` and ``rng`` come by name.

`cost_of` is for checks that are hidden and `untaped`: what it says is the kernel's word and no two times the same.
"""

from grader.logic.asking import cast, cost_of, gradients_of, parameter_count, set_weights, through, weights_of
from grader.logic.asserting import assert_close, assert_raises, assert_that, assert_unchanged
from grader.logic.tensors import Tensor, tensor

__all__ = [
    "Tensor",
    "assert_close",
    "assert_raises",
    "assert_that",
    "assert_unchanged",
    "cast",
    "cost_of",
    "gradients_of",
    "parameter_count",
    "set_weights",
    "tensor",
    "through",
    "weights_of",
]
