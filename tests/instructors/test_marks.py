"""Marks of nbgrader's grade cells: what the checks earned, a share where the checks changed, and nothing else at all."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grader.logic.feedback import Graded
from grader.logic.marks import cell_id, demand_marks, exercise_of, grade_cells, marks_of, of_cell
from grader.logic.nbgrader_source import source_notebook
from grader.model.errors import CannotMark, UsageError
from grader.model.types import CheckResult, Entry, Exercise, Limits, Report, Step
from grader.system.course import Course
from grader.system.submission import parse_submission
from grader.verbs import autograde
from grader.verbs.autograde import Autograder, Records, resembling
from grader.verbs.grading import Sources
from grader.verbs.nbcourse import worth_of
from grader.verbs.regrade import unfinished

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = Path(__file__).with_name("grade_cells.txt")

EXERCISE = Exercise(
    name="toy",
    folder="ex01_toy",
    title="Toy",
    module="toy.py",
    steps=(Step("one", "One", ("one",), 10, 3.0, False), Step("two", "Two", ("two",), 10, 4.0, False)),
    difficulty=1,
    needs=(),
    sources=(),
    limits=Limits(),
    allowed_imports=(),
    tolerances={},
)
MAXIMA = {"toy-one-public": 1.0, "toy-one-hidden": 2.0, "toy-two-public": 1.5, "toy-two-hidden": 2.5}
CHECKS = (
    CheckResult("a", "one", False, 1.0, 1.0, "passed"),
    CheckResult("b", "one", True, 0.5, 0.0, "failed"),
    CheckResult("c", "one", True, 1.5, 1.5, "passed"),
    CheckResult("d", "two", False, 1.5, 1.5, "passed"),
    CheckResult("e", "two", True, 1.25, 0.0, "timeout"),
    CheckResult("f", "two", True, 1.25, 1.25, "passed"),
)


def report_of(*checks):
    counted = [check for check in checks if check.outcome != "skipped"]
    earned, points = sum(check.earned for check in counted), sum(check.points for check in counted)
    return Report("toy", "toy.ipynb", "all", 7, "failed", earned, points, 0.1, list(checks))


def changed(name, **values):
    return [replace(check, **values) if check.name == name else check for check in CHECKS]


# ---------------------------------------------------------------- marks


def test_the_marks_of_all_cells_are_the_score_where_nothing_changed_since_the_release():
    report = report_of(*CHECKS)

    marks = marks_of(report, MAXIMA, EXERCISE)

    assert marks == {"toy-one-public": 1.0, "toy-one-hidden": 1.5, "toy-two-public": 1.5, "toy-two-hidden": 1.25}
    assert sum(marks.values()) == report.score
    assert all(type(mark) is float for mark in marks.values())


def test_a_sum_that_only_rounding_keeps_from_the_maximum_is_full_marks():
    tenths = [CheckResult(f"t{n}", "one", True, 0.1, 0.1, "passed") for n in range(3)]

    marks = marks_of(report_of(*tenths, *changed("a")[:1], *CHECKS[3:]), MAXIMA | {"toy-one-hidden": 0.3}, EXERCISE)

    assert sum(check.points for check in tenths) != 0.3  # or there is nothing to round
    assert marks["toy-one-hidden"] == 0.3


def test_checks_with_other_weights_than_were_released_give_their_share_of_the_maximum():
    doubled = [replace(check, points=check.points * 2, earned=check.earned * 2) for check in CHECKS]

    marks = marks_of(report_of(*doubled), MAXIMA, EXERCISE)

    assert marks == marks_of(report_of(*CHECKS), MAXIMA, EXERCISE)


def test_a_check_that_was_added_after_collecting_takes_its_share():
    added = CheckResult("new", "one", True, 2.0, 0.0, "failed")

    marks = marks_of(report_of(*CHECKS, added), MAXIMA, EXERCISE)

    assert marks["toy-one-hidden"] == 2.0 * 1.5 / 4.0


def test_a_skipped_check_leaves_what_the_others_earned_of_the_maximum():
    marks = marks_of(report_of(*changed("b", outcome="skipped")), MAXIMA, EXERCISE)

    assert marks["toy-one-hidden"] == 2.0


def test_a_cell_without_points_gets_no_mark_whatever_its_checks_say():
    marks = marks_of(report_of(*CHECKS), MAXIMA | {"toy-two-hidden": 0.0}, EXERCISE)

    assert marks["toy-two-hidden"] == 0.0


def test_a_cell_without_points_needs_no_checks():
    marks = marks_of(report_of(*CHECKS[:4]), MAXIMA | {"toy-two-hidden": 0.0}, EXERCISE)

    assert marks["toy-two-hidden"] == 0.0


@pytest.mark.parametrize(
    ("checks", "maxima", "said"),
    [
        pytest.param(CHECKS[:4], MAXIMA, "No check was run for the grade cell toy-two-hidden, which is worth 2.5", id="no check left"),
        pytest.param([replace(check, outcome="skipped") for check in CHECKS], MAXIMA, "No check was run", id="all skipped"),
        pytest.param(CHECKS, {**MAXIMA, "toy-three-public": 1.0}, "toy-three-public is not in the exercise toy", id="an unknown cell"),
        pytest.param(changed("b", earned=math.nan), MAXIMA, "earned nan of 2 points", id="not a number"),
        pytest.param(changed("b", earned=math.inf), MAXIMA, "earned inf of 2 points", id="infinite"),
        pytest.param(changed("b", earned=-3.0), MAXIMA, "earned -1.5 of 2 points", id="less than nothing"),
        pytest.param(changed("b", earned=0.6), MAXIMA, "earned 2.1 of 2 points", id="more than there is"),
        pytest.param(changed("b", earned=np.float64(0.5), points=1.0), MAXIMA, "is not a float but of type float64", id="numpy's float"),
        pytest.param(CHECKS, MAXIMA | {"toy-one-hidden": math.nan}, "toy-one-hidden", id="a maximum that is no number"),
        pytest.param(CHECKS, MAXIMA | {"toy-one-hidden": -2.0}, "toy-one-hidden", id="a negative maximum"),
        pytest.param([], MAXIMA, "No check was run", id="no checks at all"),
    ],
)  # fmt: skip
def test_where_nothing_tells_what_a_cell_is_worth_there_is_no_mark(checks, maxima, said):
    with pytest.raises(CannotMark, match=re.escape(said)):
        marks_of(report_of(*checks), maxima, EXERCISE)


# ---------------------------------------------------------------- what is a mark

RIGHT = {"toy-one-public": 0.0, "toy-one-hidden": 2.0}
HIGHEST = {"toy-one-public": 1.0, "toy-one-hidden": 2.0}


def test_nothing_and_the_maximum_are_marks():
    demand_marks(RIGHT, HIGHEST)


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        pytest.param(math.nan, "is nan", id="not a number"),
        pytest.param(math.inf, "is inf", id="infinite"),
        pytest.param(-math.inf, "is -inf", id="infinitely little"),
        pytest.param(-1e-9, "which is below 0", id="negative"),
        pytest.param(2.0000001, "and its maximum is 2.0", id="above the maximum"),
        pytest.param(np.float64(1.5), "is not a float but of type float64", id="numpy's float"),
        pytest.param(np.float32(1.5), "is not a float but of type float32", id="numpy's short float"),
        pytest.param(2, "is not a float but of type int", id="a whole number"),
        pytest.param(True, "is not a float but of type bool", id="a truth value"),
        pytest.param("2.0", "is not a float but of type str", id="text"),
        pytest.param(None, "is not a float but of type NoneType", id="nothing"),
        pytest.param(1 + 0j, "is not a float but of type complex", id="complex"),
        pytest.param([1.0], "is not a float but of type list", id="a list"),
        pytest.param(type("Sly", (float,), {})(1.0), "is not a float but of type Sly", id="a subclass of float"),
    ],
)
def test_whatever_is_no_plain_float_within_the_maximum_is_refused(mark, said):
    with pytest.raises(CannotMark, match=re.escape(said)):
        demand_marks(RIGHT | {"toy-one-hidden": mark}, HIGHEST)


def test_a_missing_mark_is_refused():
    with pytest.raises(CannotMark, match="toy-one-hidden has no mark"):
        demand_marks({"toy-one-public": 1.0}, HIGHEST)


def test_a_mark_without_a_cell_is_refused():
    with pytest.raises(CannotMark, match="'toy-two-hidden' is no cell that is graded automatically"):
        demand_marks(RIGHT | {"toy-two-hidden": 0.0}, HIGHEST)


def test_no_marks_at_all_are_refused_where_there_are_cells():
    with pytest.raises(CannotMark):
        demand_marks({}, HIGHEST)


# ---------------------------------------------------------------- names, which never change once released


def test_the_checks_of_a_cell_are_those_of_its_step_and_kind():
    found = of_cell(report_of(*CHECKS), "one", True)

    assert [check.name for check in found] == ["b", "c"]


def test_every_grade_cell_tells_which_exercise_it_belongs_to():
    cells = grade_cells(EXERCISE)

    assert list(cells) == list(MAXIMA)
    assert {exercise_of(name) for name in cells} == {"toy"}
    assert [exercise_of(name) for name in ("toy-one-code", "toy", "", "public", "toy-text-one")] == [""] * 5
    assert cell_id("toy", "one", "hidden") == "toy-one-hidden"


def printed_names(course):
    """A line for each cell that nbgrader will know by its name, for the file that keeps them."""
    lines = []
    for exercise in sorted(course.found(), key=lambda one: one.name):
        task = (course.solution_folder(exercise) / "task.md").read_text(encoding="utf-8")
        solution = (course.solution_folder(exercise) / exercise.module).read_text(encoding="utf-8")
        named = [cell["metadata"].get("nbgrader") for cell in source_notebook(task, solution, exercise, {})["cells"]]
        lines += [meta["grade_id"] for meta in named if meta and (meta["grade"] or meta["solution"])]
    return lines


def test_no_name_of_a_cell_that_was_once_released_is_gone():
    released = NAMES.read_text(encoding="utf-8").split()
    now = printed_names(Course(REPOSITORY))

    gone = [name for name in released if name not in now]

    assert len(released) > 50
    assert not gone, f"nbgrader cannot rename a cell once there are submissions: give their names back to {gone}"


def test_every_name_is_one_that_nbgrader_and_postgresql_take():
    names = printed_names(Course(REPOSITORY))

    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name) for name in names)
    assert len(set(names)) == len(names)


# ---------------------------------------------------------------- who is graded, and what is kept of it


@pytest.fixture
def kit(toy_taught, tmp_path):
    """A clone of the toy course of one's own, and its solution as a submission."""
    shutil.copytree(toy_taught.kit, tmp_path / "clone")
    course = Course(tmp_path / "clone")
    return course, parse_submission("counter.py", Sources(course, course.find("counter")).solution.encode())


def test_checks_that_are_mended_while_a_server_runs_are_the_ones_that_judge(kit):
    course, submission = kit
    graders = Autograder(course)
    try:
        assert graders.grade(course.find("counter"), submission).status == "passed"
        checks = course.solution_folder(course.find("counter")) / "test_hidden.py"
        impossible = "def test_nobody_passes_this(student):\n    assert_that(False, asked='a', expected='b', got='c')\n"
        marks = '@pytest.mark.step("shares")\n@pytest.mark.points(1)\n@pytest.mark.untaped\n'
        text = checks.read_text(encoding="utf-8").replace("import assert_close", "import assert_close, assert_that")
        checks.write_text(f"{text}\n\n{marks}{impossible}", encoding="utf-8")

        report = graders.grade(course.find("counter"), submission)
    finally:
        graders.close()

    assert [check.name for check in report.checks if check.outcome != "passed"] == ["nobody passes this"]


def test_exercises_of_two_frameworks_have_a_worker_each_in_one_process(kit, monkeypatch):
    course, _ = kit
    started = []

    class Pretended:
        def __init__(self, packages):
            started.append(packages)

        def start(self):
            return self

        def close(self):
            started.remove(started[-1])

    monkeypatch.setattr(autograde, "Server", Pretended)
    graders = Autograder(course)
    numpy, torch = course.find("counter"), replace(course.find("counter"), framework="torch")
    first, second = graders.server(numpy), graders.server(torch)

    assert first is graders.server(numpy) and second is graders.server(torch) and first is not second
    assert "torch" not in started[0] and "torch" in started[1]
    graders.close()
    assert started == []


def test_a_student_kit_grades_with_no_hidden_checks(kit):
    course, submission = kit
    shutil.rmtree(course.solutions)
    course.solutions.mkdir()

    with pytest.raises(UsageError):
        Autograder(course).grade(EXERCISE, submission)


@pytest.mark.parametrize(
    "text", ["", "{}", "{}\n{}\n", "no\nrecord\n", "\n\n\n", '{"schema": 1}\n{"a": null}\n', "\xff"]
)
def test_a_record_that_cannot_be_read_is_none(tmp_path, text):
    records = Records(tmp_path)
    path = records.path("toy", "ada", "counter")
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))

    assert records.read("toy", "ada", "counter") is None
    assert records.read("toy", "nobody", "counter") is None


def test_a_record_is_read_as_it_was_written_whatever_a_student_called_things(tmp_path):
    report = replace(report_of(*changed("b", message="line\u2028 and \x85 and \n end \U0001f642")), message="\r\n\x0b")
    graded = Graded(Entry("ada", "a\u2028b.ipynb", "", "d", report), {"toy-one-public": 1.0})
    records = Records(tmp_path)

    records.write("toy", "counter", graded)

    assert records.read("toy", "ada", "counter").entry.as_json() == graded.entry.as_json()
    assert records.read("toy", "ada", "counter").marks == graded.marks


def test_a_notebook_is_recognised_by_its_cells_or_its_calls_and_by_nothing_else(toy_taught, tmp_path):
    book = toy_taught.release()
    bare = {**book, "cells": [{**cell, "metadata": {}} for cell in book["cells"]]}
    texts = {
        "as released.ipynb": json.dumps(book),
        "bare (1).ipynb": "\ufeff" + json.dumps(bare),
        "another.ipynb": json.dumps(book).replace("counter", "kounter"),
        "no json.ipynb": "counter-shares-public",
        "deep.ipynb": "[" * 100_000,
        "list.ipynb": '["counter-shares-public"]',
        "counter.txt": json.dumps(book),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "as released.ipynb")

    found = [path.name for path in resembling(tmp_path, "counter")]

    assert found == ["as released.ipynb", "bare (1).ipynb"]
    assert [path.name for path in resembling(tmp_path, "counter", "bare (1).ipynb")] == ["bare (1).ipynb"]
    assert resembling(tmp_path / "nowhere", "counter") == []


def test_a_file_that_was_handed_in_after_grading_is_graded_again(toy, filled, kit):
    course, _ = kit
    solution = Sources(course, course.find("counter")).solution
    toy.hand_in("ada", filled(solution.replace("total = counts.sum()", "total = counts.max()")))
    assert toy.nbgrader("autograde", "counter").returncode == 0
    assert list(unfinished(toy.root, "counter")) == [] and toy.totals()["ada"] < 9.0

    toy.hand_in("ada", filled(solution))
    found = list(unfinished(toy.root, "counter"))
    done = toy.grader("regrade", str(toy.root), "counter")

    assert [one.why for one in found] == ["another file was handed in since it was graded"]
    assert done.returncode == 0 and toy.totals()["ada"] == 9.0
    assert "ada: 9 points, before" in done.stdout


def test_a_toys_checks_are_worth_what_its_cells_are(toy_taught):
    course = Course(toy_taught.kit)
    exercise = course.find("counter")

    worth = worth_of(course, exercise)

    points = {
        cell["metadata"]["nbgrader"]["grade_id"]: cell["metadata"]["nbgrader"].get("points")
        for cell in toy_taught.release()["cells"]
        if cell["metadata"].get("nbgrader", {}).get("grade")
    }
    assert points == {name: worth[key][1] for name, key in grade_cells(exercise).items()}


def test_a_step_that_came_after_the_release_counts_nothing():
    released = dict(list(MAXIMA.items())[1:])

    found = marks_of(report_of(*CHECKS), released, EXERCISE)

    assert found.keys() == released.keys()
    assert found == {
        name: mark for name, mark in marks_of(report_of(*CHECKS), MAXIMA, EXERCISE).items() if name in released
    }
