"""Variants: read, applied, put together."""

import pytest

from grader.logic.variants import Equivalent, apply, apply_pair, changed_functions, parse_variants
from grader.model.errors import CourseError
from grader.model.types import Edit, Variant

SOURCE = '''\
"""Attention."""
from __future__ import annotations

import numpy as np

TINY = 1e-9


def softmax(x, axis=-1):
    """Weights."""
    peak = x.max(axis=axis, keepdims=True)
    raised = np.exp(x - peak)
    return raised / raised.sum(axis=axis, keepdims=True)


# how much of everything
@np.errstate(all="ignore")
def weights(q, k, scale=None):
    """Softmax of
    the scores."""
    scores = q @ k.T
    return softmax(scores * scale)


class Layer:
    """A layer."""

    def forward(self, x):
        """Forward."""
        return x + TINY

    def backward(self, x):
        """Backward."""
        return x
'''


def wrong(*edits, name="one", replace=""):
    return Variant(name, "wrong", "Says.", tuple(Edit(*edit) for edit in edits), replace)


NO_SCALE = wrong(("scores * scale", "scores"), name="no_scale")
NO_PEAK = wrong(("x - peak", "x"), name="no_peak")
TRANSPOSED = wrong(("k.T", "k"), name="transposed")


def loaded(source):
    space = {}
    exec(compile(source, "variant", "exec"), space)
    return space


# reading


def test_both_kinds_and_equivalents_are_read():
    data = {
        "wrong": [
            {
                "name": "no_scale",
                "says": "No scale.",
                "find": "a",
                "put": "",
                "hint": "Why?",
                "convention": "the scale",
            },
            {"name": "two_edits", "says": "Two.", "edits": [{"find": "a", "put": "b"}, {"find": "c", "put": "d"}]},
        ],
        "right": [{"name": "other_form", "says": "Loops.", "replace": "def f(): ..."}],
        "equivalent": [{"mutant": "f: a -> b", "why": "Same."}],
    }

    variants, equivalents = parse_variants(data)

    assert variants == [
        Variant("no_scale", "wrong", "No scale.", (Edit("a", ""),), "", "the scale", "Why?"),
        Variant("two_edits", "wrong", "Two.", (Edit("a", "b"), Edit("c", "d"))),
        Variant("other_form", "right", "Loops.", (), "def f(): ..."),
    ]
    assert equivalents == [Equivalent("f: a -> b", "Same.")]
    assert parse_variants({}) == ([], [])


FINE = {"name": "one", "says": "Says.", "find": "a", "put": "b"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"nmae": "x"}, "unknown key “nmae”"),
        ({"name": None}, "“name” is missing"),
        ({"name": "Not Snake"}, "snake_case"),
        ({"says": None}, "one: “says” is missing"),
        ({"says": " "}, "one: “says” is empty"),
        ({"says": 3}, "“says” is not a text"),
        ({"find": None}, "“find” is missing"),
        ({"put": None}, "“put” is missing"),
        ({"put": 1}, "“put” is not a text"),
        ({"find": ""}, "“find” is empty"),
        ({"put": "a"}, "the same as “find”"),
        ({"replace": "def f(): ..."}, "find/put and replace"),
        ({"edits": [{"find": "a", "put": "b"}]}, "find/put and edits"),
        ({"find": None, "put": None}, "no edit"),
        ({"find": None, "put": None, "edits": []}, "not a list of"),
        ({"find": None, "put": None, "edits": [{"find": "a", "to": "b"}]}, "unknown key “to”"),
        ({"hint": "word " * 26}, "26 words"),
    ],
)
def test_a_faulty_variant_is_refused_by_name(entry, words):
    data = {key: value for key, value in {**FINE, **entry}.items() if value is not None}

    with pytest.raises(CourseError) as raised:
        parse_variants({"wrong": [data]})

    assert words in raised.value.message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"wrogn": []}, "unknown table “wrogn”"),
        ({"wrong": {"name": "one"}}, "not a list of tables"),
        ({"wrong": [FINE], "right": [FINE]}, "more than one variant of this name"),
        ({"right": [{**FINE, "hint": "Why?"}]}, "a right variant has no “hint”"),
        ({"equivalent": [{"mutant": "m"}]}, "“why” is missing"),
        ({"equivalent": [{"mutant": "m", "why": "w", "because": "b"}]}, "unknown key “because”"),
        ({"equivalent": [{"mutant": "m", "why": "w"}] * 2}, "more than one equivalent mutant"),
    ],
)
def test_a_faulty_file_is_refused(data, words):
    with pytest.raises(CourseError) as raised:
        parse_variants(data)

    assert words in raised.value.message


# applying


def test_an_edit_changes_its_text_and_nothing_else():
    assert apply(SOURCE, NO_SCALE) == SOURCE.replace("scores * scale", "scores")


def test_edits_look_at_the_source_and_not_at_one_another():
    swapped = wrong(("x - peak", "k.T"), ("q @ k.T", "x - peak"))

    edited = apply(SOURCE, swapped)

    assert "np.exp(k.T)" in edited
    assert "scores = x - peak" in edited


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        (wrong(("raised", "r")), "“raised” occurs 3 times in the solution (lines 12, 13, 13)"),
        (wrong(("gone", "r")), "“gone” occurs 0 times"),
        (wrong(("x - peak", "x -")), "not valid Python"),
        (wrong(("    return x\n", "return x\n")), "not valid Python"),
        (wrong(("x - peak", "(x - peak)")), "says the same"),
        (wrong(("Weights.", "Heights.")), "says the same"),
        (wrong(("x - peak", "x"), ("exp(x - peak)", "exp(peak)")), "touch the same text"),
        (wrong(), "no edit"),
        (wrong(replace="def f(:"), "not valid Python"),
        (wrong(replace="# nothing"), "defines nothing"),
        (wrong(replace="print(1)"), "line 1 is no definition"),
        (wrong(replace="def softmax(x): ...\ndef softmax(x): ..."), "defines “softmax” twice"),
        (wrong(replace="class Layer:\n    size = 3"), "more than methods"),
    ],
)
def test_what_cannot_be_applied_is_said_with_the_variants_name(variant, words):
    with pytest.raises(CourseError) as raised:
        apply(SOURCE, variant)

    assert raised.value.message.startswith("variants.toml, one: ")
    assert words in raised.value.message


def test_overlapping_occurrences_are_counted():
    with pytest.raises(CourseError, match="occurs 2 times"):
        apply("x = 'aaa'", wrong(("aa", "b")))


def test_a_replacement_takes_the_functions_place_and_keeps_its_docstring():
    variant = wrong(replace="\ndef weights(q, k):\n  # plainly\n  return q\n\ndef softmax(x): return x\n")

    edited = apply(SOURCE, variant)

    assert edited == (
        SOURCE[: SOURCE.index("def softmax")]
        + 'def softmax(x):\n    """Weights."""\n    return x\n\n\n# how much of everything\n'
        + 'def weights(q, k):\n  # plainly\n  """Softmax of\n    the scores."""\n  return q\n\n\n'
        + SOURCE[SOURCE.index("class Layer") :]
    )
    assert loaded(edited)["softmax"](3) == 3
    assert loaded(edited)["softmax"].__doc__ == "Weights."


def test_a_docstring_and_decorators_of_its_own_count():
    variant = wrong(replace="import functools\n@functools.cache\ndef softmax(x):\n    'Mine.'\n    return x")

    space = loaded(apply(SOURCE, variant))

    assert space["softmax"].__doc__ == "Mine."
    assert space["softmax"].cache_info().hits == 0


def test_a_signature_over_several_lines_keeps_the_docstring_too():
    variant = wrong(replace="def softmax(\n    x,\n    axis=0,\n): return x")

    assert loaded(apply(SOURCE, variant))["softmax"].__doc__ == "Weights."


def test_methods_are_replaced_in_their_class():
    variant = wrong(
        replace="class Layer:\n  def forward(self, x):\n    return self.twice(x)\n\n"
        "  def twice(self, x):\n    return 2 * x\n"
    )

    edited = apply(SOURCE, variant)
    layer = loaded(edited)["Layer"]

    assert layer().forward(4) == 8
    assert layer.forward.__doc__ == "Forward."
    assert layer().backward(4) == 4
    assert changed_functions(SOURCE, edited) == {"Layer.forward", "Layer.twice"}


def test_helpers_imports_and_constants_come_before_their_use():
    variant = wrong(
        replace="from math import exp\nimport numpy as np\nBLOCK = 2\nTINY = 5\n"
        "class Box:\n    size = BLOCK\n"
        "def helper(x):\n    return exp(x) + Box.size\n"
        "def softmax(x, axis=helper(0)):\n    return axis"
    )

    edited = apply(SOURCE, variant)
    space = loaded(edited)

    assert space["softmax"](0) == 3.0
    assert space["Layer"]().forward(1) == 6
    assert edited.count("import numpy as np") == 1
    assert (
        edited.index("from __future__")
        < edited.index("from math")
        < edited.index("BLOCK")
        < edited.index("def softmax")
    )


def test_a_last_function_without_a_newline_is_replaced():
    assert apply("def f():\n    return 1", wrong(replace="def f():\n    return 2")) == "def f():\n    return 2"


# pairs


def test_two_edits_in_one_function_go_together_in_either_order():
    pair = apply_pair(SOURCE, NO_SCALE, TRANSPOSED)

    assert pair == apply_pair(SOURCE, TRANSPOSED, NO_SCALE)
    assert pair == apply(apply(SOURCE, NO_SCALE), TRANSPOSED)


def test_an_edit_goes_with_another_functions_replacement():
    other = wrong(replace="def helper(x):\n    return x\n\ndef softmax(x):\n    return helper(x)")

    pair = apply_pair(SOURCE, NO_SCALE, other)

    assert changed_functions(SOURCE, pair) == {"helper", "softmax", "weights"}
    assert pair == apply_pair(SOURCE, other, NO_SCALE)


@pytest.mark.parametrize(
    "other",
    [
        NO_SCALE,
        wrong(("scores * scale", "scale")),
        wrong(("softmax(scores * scale)", "scores")),
        wrong(replace="def weights(q, k):\n    return q"),
        wrong(("not there", "scale")),
        wrong(("return x\n", "return (\n")),
    ],
)
def test_variants_that_collide_make_no_pair(other):
    assert apply_pair(SOURCE, NO_SCALE, other) is None
    assert apply_pair(SOURCE, other, NO_SCALE) is None


def test_different_helpers_of_one_name_collide_and_equal_ones_do_not():
    def with_helper(function, value):
        return wrong(replace=f"def helper():\n    return {value}\n\ndef {function}(x):\n    return helper()")

    assert apply_pair(SOURCE, with_helper("softmax", 1), with_helper("weights", 2)) is None
    assert apply_pair(SOURCE, with_helper("softmax", 1), with_helper("weights", 1)).count("def helper") == 1


def test_what_changed_is_told_by_function():
    assert changed_functions(SOURCE, apply(SOURCE, NO_PEAK)) == {"softmax"}
    assert changed_functions(SOURCE, SOURCE.replace("Weights.", "W").replace("q @ k.T", "(q @ k.T)  # same")) == set()
    assert changed_functions(SOURCE, SOURCE.replace("def backward", "def forward")) == {
        "Layer.backward",
        "Layer.forward",
    }
    assert changed_functions(SOURCE, SOURCE.replace("@np", "# @np")) == {"weights"}
