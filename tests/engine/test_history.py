"""What stands in a notebook, told from everything that was run in it."""

from __future__ import annotations

import pytest

from grader.logic.history import Ran, defined, standing


def kept(*runs, deleted=()):
    """The numbers of the runs that are kept; a run is (text, raised) or (text, raised, cell)."""
    numbered = [Ran(number, run[0], *run[2:3], raised=run[1]) for number, run in enumerate(runs, start=1)]
    return [cell.number for cell in standing(numbered, deleted)]


def test_what_ran_is_kept_in_its_order_with_the_numbers_of_the_notebook():
    cells = standing([Ran(3, "x = 1", raised=False), Ran(7, "%time\ny = x", raised=False), Ran(8, "z", raised=False)])

    assert [(cell.number, cell.source) for cell in cells] == [(3, "x = 1"), (7, "\ny = x"), (8, "z")]


@pytest.mark.parametrize("text", ["# grader: check\nx = 1", "# grader: demo\nx", 'check("a")', "%%bash\nls", "  "])
def test_check_cells_and_what_is_not_python_are_left_out(text):
    assert kept((text, False), ("x = 1", False)) == [2]


@pytest.mark.parametrize("raised", [True, None])
@pytest.mark.parametrize("attempt", ["def f(x):\n  return x\n1 / 0", "def f(x)\n  return x", "class f(x): pass\n"])
def test_a_failed_attempt_is_left_out_when_its_definitions_were_made_again(attempt, raised):
    assert kept((attempt, raised), ("def f(x):\n    return 1", False)) == [2]


def test_it_is_kept_while_some_of_them_were_not():
    assert kept(("def f(): pass\ndef g(): pass\n1 / 0", True), ("def f(): pass", False)) == [1, 2]


def test_a_failed_attempt_is_left_out_when_the_cell_was_run_again():
    assert kept(("x = 1 / 0", True, "a"), ("y = 2", False, "a"), ("z", False, "b")) == [2, 3]
    assert kept(("x = y", True), ("y = 1", False), ("x = y", False)) == [2, 3]


def test_a_failed_try_of_an_unknown_cell_that_defines_nothing_is_left_out():
    assert kept(("f(3)", True), ("x = = 1", True), ("x = 1 / 0", True)) == []


def test_a_failing_cell_that_is_known_to_stand_there_is_kept():
    assert kept(("f(3)", True, "a"), ("x = = 1", True, "b"), ("x = 2", False, "c")) == [1, 2, 3]


def test_whether_it_raised_may_be_unknown_and_then_it_is_kept():
    assert kept(("f(3)", None), ("x = 1", None)) == [1, 2]


def test_earlier_versions_that_ran_are_kept_because_cells_between_may_have_used_them():
    assert kept(("x = 1", False, "a"), ("y = x", False, "b"), ("z = 1", False, "a")) == [1, 2, 3]


def test_a_cell_that_only_shows_something_is_kept_once():
    assert kept(("slow()", False, "a"), ("slow()", False, "a"), ("x", False, "b"), ("slower()", False, "a")) == [3, 4]
    assert kept(("slow()", False), ("slow()\n", False)) == [2]


def test_a_definition_that_a_syntax_error_has_replaced_is_not_graded():
    assert kept(("def f(): pass", False), ("def f(: pass", True)) == [2]
    assert kept(("def f(): pass\nx = 1", False), ("def f(: pass", True), ("def f(): return 1", False)) == [1, 3]


def test_deleted_cells_are_left_out():
    assert kept(("x = 1", False, "a"), ("y = 1", False, "b"), deleted={"a"}) == [2]


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def f(): pass\nasync def g(): pass\nclass C:\n    def inner(self): pass\nx = 1", {"f", "g", "C"}),
        ("def f(:\n    pass\nasync def g(): pass\nclass C(", {"f", "g", "C"}),
        ("", set()),
    ],
)
def test_definitions_are_found_where_there_is_a_syntax_error_too(code, names):
    assert defined(code) == names
