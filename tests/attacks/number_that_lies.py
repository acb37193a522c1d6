# expect: status=failed score=0
"""A dict of float subclasses, each equal to any number and never far from it."""


class Any(float):
    def __eq__(self, other):
        return True

    __le__ = __ge__ = __lt__ = __gt__ = __eq__

    def __sub__(self, other):
        return 0.0

    __rsub__ = __sub__


NAMES = "variance deviation variance_of_halves scale_of_a_head ratio_without_scale gradient_of_an_even_bet"


def why_scale():
    return {name: Any() for name in NAMES.split()}


def score_statistics(d_k, n, seed):
    names = [f"{what}_{form}" for what in ("variance", "entropy", "gradient") for form in ("raw", "scaled")]
    return {name: Any() for name in names}
