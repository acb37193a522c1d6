"""Stubs: bodies go, every other byte stays."""

import ast

import pytest

from grader.logic.stub import bodies, cut_stub, is_untouched, with_markers
from grader.model.errors import CourseError

PLAIN = '''\
"""A module."""
import numpy as np  # kept

LIMIT = 3  # kept


def softmax(x, axis=-1):
    """Weights along ``axis``."""
    peak = x.max(axis=axis, keepdims=True)
    return np.exp(x - peak)  # gone


def given(x):  # kept
    """Stays."""
    return x


class Layer:
    """A layer."""

    size = 3

    def forward(self, x):
        """Forward."""

        def inner(y):
            """Inner."""
            return y * 2

        return inner(x)

    def given(self):
        return 1


if __name__ == "__main__":
    print(given(2))
'''

PLAIN_STUB = '''\
"""A module."""
import numpy as np  # kept

LIMIT = 3  # kept


def softmax(x, axis=-1):
    """Weights along ``axis``."""
    # write your code here
    raise NotImplementedError


def given(x):  # kept
    """Stays."""
    return x


class Layer:
    """A layer."""

    size = 3

    def forward(self, x):
        """Forward."""

        # write your code here
        raise NotImplementedError

    def given(self):
        return 1


if __name__ == "__main__":
    print(given(2))
'''

NASTY = '''\
import functools


@functools.lru_cache(
    maxsize=None,
)
@functools.wraps(print)
def größe(
    x: "Float[np.ndarray, 'batch head']",  # ein Wert — „x“
    /,
    *,
    axis: int = -1,
) -> "tuple[int, int]":
    # a comment between signature and docstring

    """Ein Satz mit ‘Umlauten’: äöü 😀.

      indented, with a tab\there
    """  # beside the docstring


    # the solution's comment
    text = """
def not_a_function():
    pass
"""
    return (  # closing
        text,
        x,
    )
    # after the last statement

    # and once more
# of the module


async def awaited(x):
  """Two spaces."""
  async def inner(): return await x
  return inner
x = 1; y = 2
def last():
\t"""Tab."""
\treturn 1; pass'''

NASTY_STUB = '''\
import functools


@functools.lru_cache(
    maxsize=None,
)
@functools.wraps(print)
def größe(
    x: "Float[np.ndarray, 'batch head']",  # ein Wert — „x“
    /,
    *,
    axis: int = -1,
) -> "tuple[int, int]":
    # a comment between signature and docstring

    """Ein Satz mit ‘Umlauten’: äöü 😀.

      indented, with a tab\there
    """  # beside the docstring


    # write your code here
    raise NotImplementedError
# of the module


async def awaited(x):
  """Two spaces."""
  # write your code here
  raise NotImplementedError
x = 1; y = 2
def last():
\t"""Tab."""
\t# write your code here
\traise NotImplementedError'''

CASES = [
    pytest.param(PLAIN, PLAIN_STUB, ["softmax", "Layer.forward"], id="plain"),
    pytest.param(NASTY, NASTY_STUB, ["größe", "awaited", "last"], id="nasty"),
]


def as_nbgrader_clears(source: str) -> str:
    """What nbgrader's ClearSolutions does, read off its source: the words are looked for anywhere in a line."""
    kept, inside = [], False
    for line in source.split("\n"):
        if "BEGIN SOLUTION" in line:
            assert not inside
            inside = True
            indent = line[: len(line) - len(line.lstrip())]
            kept += [indent + text for text in ("# write your code here", "raise NotImplementedError")]
        elif "END SOLUTION" in line:
            inside = False
        elif not inside:
            kept.append(line)
    assert not inside
    return "\n".join(kept)


@pytest.mark.parametrize(("source", "stub", "blanked"), CASES)
def test_a_stub_is_the_source_less_the_blanked_bodies(source, stub, blanked):
    got = cut_stub(source, blanked)

    assert got == stub
    compile(got, "stub", "exec")


@pytest.mark.parametrize(("source", "stub", "blanked"), CASES)
def test_cutting_twice_or_in_another_order_changes_nothing(source, stub, blanked):
    assert cut_stub(stub, blanked) == stub
    assert cut_stub(source, blanked[::-1]) == stub


@pytest.mark.parametrize(("source", "stub", "blanked"), CASES)
def test_nbgrader_makes_the_same_stub_of_the_marked_source(source, stub, blanked):
    marked = with_markers(source, blanked)

    assert as_nbgrader_clears(marked) == stub
    assert cut_stub(marked, blanked) == stub
    assert ast.dump(ast.parse(marked)) == ast.dump(ast.parse(source))


def test_only_what_is_named_is_cut():
    assert cut_stub(PLAIN, []) == PLAIN
    assert "peak" in cut_stub(PLAIN, ["Layer.forward"])


def test_a_function_that_is_only_a_docstring_gets_a_body_to_write():
    source = 'def f():\n    """Doc."""\n\n\ndef g():\n    """Doc."""\n'

    stub = cut_stub(source, ["f", "g"])

    assert stub == (
        'def f():\n    """Doc."""\n    # write your code here\n    raise NotImplementedError\n\n\n'
        'def g():\n    """Doc."""\n    # write your code here\n    raise NotImplementedError\n'
    )
    assert as_nbgrader_clears(with_markers(source, ["f", "g"])) == stub


@pytest.mark.parametrize("separator", ["\x0c", "\u2028", "\x85"])
def test_only_a_newline_ends_a_line(separator):
    source = f'# one{separator}two\ndef f():\n    """Doc{separator}doc."""\n    return "{separator}"\n# end\n'

    assert cut_stub(source, ["f"]).endswith(
        'doc."""\n    # write your code here\n    raise NotImplementedError\n# end\n'
    )


@pytest.mark.parametrize(
    ("source", "blanked", "words"),
    [
        (PLAIN, ["softmaks"], "defines no function “softmaks”"),
        (PLAIN, ["forward"], "defines no function “forward”"),
        (PLAIN, ["Layer.forward.inner"], "defines no function"),
        (PLAIN, ["softmax", "softmax"], "2 times"),
        (PLAIN, ["Layer.given"], "no docstring"),
        (PLAIN.replace("given(x)", "softmax(x)"), ["softmax"], "2 times, in lines 7, 13"),
        ("def f(): 'doc'", ["f"], "begins on the line of its signature"),
        ("def f(x,\n      y): 'doc'; return 1", ["f"], "begins on the line of its signature"),
        ("def f(x):\n    'doc'; return 1", ["f"], "begins on the line of its docstring"),
        ("def f(x):\n    f'doc'\n    return 1", ["f"], "no docstring"),
        ("def f(:", ["f"], "not valid Python"),
    ],
)
def test_what_cannot_be_cut_is_said(source, blanked, words):
    with pytest.raises(CourseError) as raised:
        cut_stub(source, blanked)

    assert words in raised.value.message


def test_a_source_with_markers_is_not_marked_again():
    with pytest.raises(CourseError, match="BEGIN SOLUTION"):
        with_markers(with_markers(PLAIN, ["softmax"]), ["softmax"])


def test_bodies_are_what_the_stub_lacks():
    taken = bodies(PLAIN, ["Layer.forward", "softmax"])

    assert taken["softmax"] == ("    peak = x.max(axis=axis, keepdims=True)\n    return np.exp(x - peak)  # gone")
    assert sorted(taken) == ["Layer.forward", "softmax"]
    assert all(text in PLAIN and text not in PLAIN_STUB for text in taken.values())


def test_formatting_comments_docstrings_and_order_leave_a_stub_untouched():
    softmax = PLAIN_STUB[PLAIN_STUB.index("def softmax") : PLAIN_STUB.index("def given")]
    moved = PLAIN_STUB.replace(softmax, "").replace("LIMIT = 3", "LIMIT = (3)") + "\n\n# mine\n" + softmax
    rewritten = moved.replace("Weights along", "My notes on")
    without_main = PLAIN_STUB[: PLAIN_STUB.index("if __name__")]

    assert is_untouched(PLAIN_STUB, PLAIN_STUB)
    assert is_untouched(rewritten, PLAIN_STUB)
    assert is_untouched(without_main, PLAIN_STUB)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("raise NotImplementedError\n\n\ndef", "return x\n\n\ndef"),
        ("raise NotImplementedError\n\n\ndef", "return (\n\n\ndef"),
        ("return x\n", "return x + 0\n"),
    ],
)
def test_code_touches_a_stub(old, new):
    assert PLAIN_STUB.count(old) == 1
    assert not is_untouched(PLAIN_STUB.replace(old, new), PLAIN_STUB)
