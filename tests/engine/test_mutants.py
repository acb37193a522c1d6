"""Machine-made mutants: small, named for good, none twice."""

import ast
from textwrap import dedent, indent

import pytest

from grader.logic.mutants import mutants
from grader.logic.variants import changed_functions
from grader.model.errors import CourseError

SOURCE = '''\
"""Attention."""
import math

import numpy as np


def given(x):
    """Not mutated.    """
    return ( x  + 1 )  # as it is


@np.errstate(all="ignore")
def softmax(x: "Float[np.ndarray, '3 4']", axis: int = -1, *, keep=True, name="axis") -> "int | None":
    """Weights: 1 + 1.

    Two lines."""
    if x.size == 0 and not keep:
        raise ValueError(f"nothing in {axis + 1}", 3)
    peak = np.max(x, axis=axis, keepdims=True)
    raised = np.exp(x - peak)
    return raised / raised.sum(axis=axis, keepdims=True)


class Layer:
    """A layer."""

    def forward(self, x):
        """Forward.

        More."""
        text = """two
lines"""
        for i in range(2):
            x[i:] += self.size
        return x, text
'''


def of(body, functions=("f",)):
    """Descriptions of the mutants of a function f(x, y) with this body."""
    source = "import numpy as np\n\ndef f(x, y):\n" + indent(dedent(body).strip(), "    ")
    return [mutant.description for mutant in mutants(source, functions)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return x + y", "x + y -> x - y"),
        ("return x @ y", "x @ y -> x * y"),
        ("return x ** 2", "x ** 2 -> x * 2"),
        ("return x // y", "x // y -> x / y"),
        ("return x % y", "x % y -> x // y"),
        ("return -x", "-x -> x"),
        ("return not x", "not x -> x"),
        ("return ~x", "~x -> x"),
        ("return x < y", "x < y -> x <= y"),
        ("return x < y", "x < y -> x >= y"),
        ("return x == y", "x == y -> x != y"),
        ("return x is None", "x is None -> x is not None"),
        ("return x not in y", "x not in y -> x in y"),
        ("return 0 < x < y", "0 < x < y -> 0 < x <= y"),
        ("return x and y", "x and y -> x or y"),
        ("return x and y", "x and y -> y"),
        ("return 3 * x", "3 * x -> 4 * x"),
        ("return 3 * x", "3 * x -> -3 * x"),
        ("return 0 * x", "0 * x -> 1 * x"),
        ("return 1e300 * x", "1e+300 * x -> 2e+300 * x"),
        ("return np.sum(x, axis=-1)", "np.sum(x, axis=-1) -> np.sum(x, axis=-2)"),
        ("return np.sum(x, axis=-1)", "np.sum(x, axis=-1) -> np.sum(x, axis=0)"),
        ("return np.sum(x, axis=-1)", "np.sum(x, axis=-1) -> np.sum(x)"),
        ("return np.sum(x, axis=(0, 1))", "np.sum(x, axis=(0, 1)) -> np.sum(x, axis=(-1, 1))"),
        ("return np.sum(x, axis=y)", "np.sum(x, axis=y) -> np.sum(x, axis=-1)"),
        ("return np.sum(x)", "np.sum(x) -> np.mean(x)"),
        ("return np.sum(x, keepdims=True)", "np.sum(x, keepdims=True) -> np.sum(x, keepdims=False)"),
        ("return np.exp(x)", "np.exp(x) -> x"),
        ("return np.full(x, np.inf)", "np.full(x, np.inf) -> np.full(x, -np.inf)"),
        ("return np.full(x, -np.inf)", "np.full(x, -np.inf) -> np.full(x, np.inf)"),
        ("return np.power(x, y)", "np.power(x, y) -> np.power(y, x)"),
        ("return np.where(x, y, z)", "np.where(x, y, z) -> np.where(x, z, y)"),
        ("return np.swapaxes(x, -1, y)", "np.swapaxes(x, -1, y) -> x"),
        ("return x.swapaxes(-1, -2)", "x.swapaxes(-1, -2) -> x"),
        ("return (x + y).sum()", "(x + y).sum() -> x + y"),
        ("return x.mT @ y", "x.mT @ y -> x @ y"),
        ("return np.maximum.accumulate(x)", "np.maximum.accumulate -> np.minimum.accumulate"),
        ("return max(x)", "max(x) -> min(x)"),
        ("return np.tril(x, k=1)", "np.tril(x, k=1) -> np.triu(x, k=1)"),
        ("return x[y:]", "x[y:] -> x[y + 1:]"),
        ("return x[:-1]", "x[:-1] -> x[:0]"),
        ("if x:\n    return y", "x -> True"),
        ("if x:\n    return y", "x -> False"),
        ("while x:\n    y()", "x -> False"),
        ("return [a for a in x if a > y]", "a > y -> True"),
        ("return x if y else 0", "x if y else 0 -> x if True else 0"),
        ("raise TypeError('no')", "raise TypeError(…) -> raise ValueError(…)"),
        ("raise TypeError('no')", "raise TypeError(…) -> pass"),
        ("x += y", "x += y -> x -= y"),
        ("x += y", "x += y -> x = y"),
        ("x += y", "x += y -> pass"),
        ("x = y", "x = y -> pass"),
        ("x[0] = y", "x[0] = y -> pass"),
        ("for i in x:\n    break", "break -> pass"),
        ("x.sort()", "x.sort() -> pass"),
        ("def inner(z=1):\n    return z\nreturn inner(x)", "z=1 -> z=2"),
    ],
)
def test_the_mistakes_that_people_make_are_made(body, expected):
    found = [text.replace("return ", "") for text in of(body)]

    assert expected.replace("return ", "") in found


@pytest.mark.parametrize(
    ("body", "absent"),
    [
        ("while x:\n    y()", "x -> True"),
        ("z = y", "z = y -> pass"),
        ("z, x = y", "z, x = y -> pass"),
        ("return 'axis' + str(x)", "'axis' -> ''"),
        ("return np.maximum(x, y)", "np.maximum(x, y) -> np.maximum(y, x)"),
        ("for i in range(x):\n    y()", "range(x) -> x"),
        ("return '%d' % x", "'%d' % x -> '%d' // x"),
    ],
)
def test_pointless_mistakes_are_not_made(body, absent):
    assert absent not in of(body)


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        "'''Doc 1 + 1.'''\nreturn x",
        "z: 'int[3]' = x\nreturn z",
        "raise KeyError(3, x + 1)",
        "return f'{x + 1:>{y + 2}}'",
    ],
)
def test_docstrings_annotations_messages_and_texts_are_left_alone(body):
    whole_statements = {"return x -> pass", "return z -> pass", "raise KeyError(…) -> pass"}
    left = [text for text in of(body) if text not in whole_statements and not text.startswith(("return f", "raise"))]

    assert left == []


def test_a_mutants_source_differs_in_its_function_alone():
    found = mutants(SOURCE, ["softmax", "Layer.forward"])

    assert {mutant.function for mutant in found} == {"softmax", "Layer.forward"}
    for mutant in found:
        assert changed_functions(SOURCE, mutant.source) == {mutant.function}, mutant.name
        assert "    return ( x  + 1 )  # as it is" in mutant.source
        assert '@np.errstate(all="ignore")' in mutant.source or mutant.function == "softmax"
        compile(mutant.source, mutant.name, "exec")


def test_texts_over_several_lines_survive_in_methods():
    for mutant in mutants(SOURCE, ["Layer.forward"]):
        constants = [node.value for node in ast.walk(ast.parse(mutant.source)) if isinstance(node, ast.Constant)]

        assert "two\nlines" in constants


def test_no_mutant_is_there_twice():
    found = mutants(SOURCE, ["softmax", "Layer.forward", "softmax"])
    trees = [ast.dump(ast.parse(mutant.source)) for mutant in found]

    assert len(set(trees)) == len(trees) > 30
    assert ast.dump(ast.parse(SOURCE)) not in trees
    assert len({mutant.name for mutant in found}) == len(found)


def test_names_tell_what_happens_and_survive_edits_elsewhere():
    moved = SOURCE.replace("import math\n", "import math\n\nBIG = 3\n").replace("( x  + 1 )", "x - 1")
    moved = moved.replace(
        "    peak = np.max(x, axis=axis,", "    # a comment\n    peak = np.max(\n        x, axis=axis,"
    )
    names = [mutant.name for mutant in mutants(SOURCE, ["softmax"])]

    assert [mutant.name for mutant in mutants(moved, ["softmax"])] == names
    assert "softmax: np.exp(x - peak) -> np.exp(x + peak)" in names
    assert "softmax: axis=-1 -> axis=0" in names
    assert "softmax: keep=True -> keep=False" in names
    assert all("\n" not in name and len(name) < 150 for name in names)


def test_equal_changes_are_counted_within_a_function():
    source = "def f(x):\n    x = given(x + one)\n    return given(x + one)\n\n\ndef g(x):\n    return given(x + one)\n"

    names = [mutant.name for mutant in mutants(source, ["f", "g"])]

    assert [name for name in names if "x + one" in name.split(" -> ")[0] and "x - one" in name] == [
        "f: given(x + one) -> given(x - one)",
        "f: given(x + one) -> given(x - one) #2",
        "g: given(x + one) -> given(x - one)",
    ]


def test_making_mutants_leaves_no_trace():
    assert mutants(SOURCE, ["softmax"]) == mutants(SOURCE, ["softmax"])


def test_an_unknown_function_is_refused():
    with pytest.raises(CourseError, match="softmaks"):
        mutants(SOURCE, ["softmaks"])
