"""Grading in nbgrader fails closed, keeps what people entered, and goes on after a kill. On the toy course."""

from __future__ import annotations

import json
import os
import shutil
import signal

import numpy as np
import pytest

from grader.logic import marks
from grader.shell import in_nbgrader
from grader.system.course import Course
from grader.system.gradebook import Gradebook
from grader.verbs.grading import Sources
from tests.instructors.conftest import in_process

FULL = {
    "counter-shares-public": 1.0, "counter-shares-hidden": 2.0, "counter-counting-public": 1.0,
    "counter-counting-hidden": 3.0, "counter-merging-public": 1.0, "counter-merging-hidden": 1.0,
}  # fmt: skip
HIDDEN = "counter-counting-hidden"


@pytest.fixture
def solution(toy):
    course = Course(toy.kit)
    return Sources(course, course.find(toy.unit)).solution


@pytest.fixture
def handed(toy, filled, solution):
    """A course with two submissions, one all right, one with a wrong idea."""
    toy.hand_in("ada", filled(solution))
    toy.hand_in("bob", filled(solution.replace("np.argmax(self.counts)", "np.argmin(self.counts)")))
    return toy


def outputs(taught, student, name):
    cell = next(c for c in taught.graded(student)["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == name)
    return cell["outputs"]


def autos(taught, student):
    return {name: score.auto for name, score in taught.scores()[student].items()}


# ---------------------------------------------------------------- marks


def test_a_right_answer_gets_every_mark_and_a_wrong_one_what_it_earned(handed):
    done = handed.nbgrader("autograde", "counter")

    assert done.returncode == 0, done.stderr
    assert autos(handed, "ada") == FULL
    assert autos(handed, "bob") != FULL and handed.totals()["bob"] > 0
    assert outputs(handed, "bob", HIDDEN)[-1]["data"] == {"text/plain": [repr(autos(handed, "bob")[HIDDEN])]}
    assert [out["output_type"] for out in outputs(handed, "ada", HIDDEN)] == ["stream", "execute_result"]


@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(float("nan"), id="not a number"),
        pytest.param(float("inf"), id="infinite"),
        pytest.param(-0.1, id="negative"),
        pytest.param(np.float64(1.5), id="numpy's float"),
        pytest.param(1000.0, id="above the maximum"),
        pytest.param(True, id="a truth value"),
        pytest.param(2, id="a whole number"),
        pytest.param("2.0", id="text"),
        pytest.param(None, id="nothing"),
    ],
)
def test_whatever_is_no_mark_stops_that_student_at_nothing_and_nobody_else(handed, monkeypatch, mark):
    assert in_process(handed).autograde("counter", "bob")["success"]
    assert handed.totals()["bob"] > 0
    right = marks.marks_of

    def wrong_for_bob(report, maxima, exercise):
        found = right(report, maxima, exercise)
        return found if report.status == "passed" else {**found, HIDDEN: mark}

    monkeypatch.setattr(in_nbgrader.marks, "marks_of", wrong_for_bob)
    said = in_process(handed).autograde("counter", "*", force=True)

    assert not said["success"] and HIDDEN in said["log"] and "CannotMark" in said["log"]
    assert autos(handed, "ada") == FULL
    assert set(autos(handed, "bob").values()) == {0.0}
    assert all(score.needs_manual_grade for score in handed.scores()["bob"].values())
    assert not (handed.root / "autograded" / "bob" / "counter").exists()


@pytest.mark.parametrize("change", ["one is missing", "one too many"])
def test_marks_for_other_cells_than_the_gradebooks_stop_the_student(handed, monkeypatch, change):
    right = marks.marks_of

    def changed(report, maxima, exercise):
        found = right(report, maxima, exercise)
        if change == "one is missing":
            del found[HIDDEN]
        else:
            found["counter-more-hidden"] = 1.0
        return found

    monkeypatch.setattr(in_nbgrader.marks, "marks_of", changed)

    assert not in_process(handed).autograde("counter", "ada")["success"]
    assert set(autos(handed, "ada").values()) == {0.0}


def test_an_error_of_ours_leaves_no_score_behind(handed, monkeypatch):
    assert in_process(handed).autograde("counter", "ada")["success"]

    def fails(*_):
        raise RuntimeError("the grader is broken")

    monkeypatch.setattr(in_nbgrader.Autograder, "grade", fails)
    said = in_process(handed).autograde("counter", "ada", force=True)

    assert not said["success"] and "the grader is broken" in said["log"]
    assert set(autos(handed, "ada").values()) == {0.0}


def test_a_gradebook_that_holds_something_else_afterwards_is_noticed(handed, monkeypatch):
    from nbgrader.preprocessors import SaveAutoGrades

    def saves_full_marks(self, cell, resources):
        grade = self.gradebook.find_grade(
            cell.metadata["nbgrader"]["grade_id"], self.notebook_id, self.assignment_id, self.student_id
        )
        grade.auto_score = grade.max_score
        self.gradebook.db.commit()

    monkeypatch.setattr(SaveAutoGrades, "_add_score", saves_full_marks)
    said = in_process(handed).autograde("counter", "bob")

    assert not said["success"] and "where the checks gave" in said["log"]
    assert set(autos(handed, "bob").values()) == {0.0}


@pytest.mark.parametrize("change", ["raise ValueError('a typing error')", "c.Exchange.root = 'never closed"])
def test_where_nbgrader_cannot_read_the_configuration_nothing_of_a_students_is_run(handed, filled, solution, change):
    """nbgrader goes on with its own rules then, and would run what was handed in with the instructor's rights."""
    trace = handed.root / "it_was_run"
    book = filled(f"open({str(trace)!r}, 'w').close()\n{solution}")
    handed.hand_in("mallory", book)
    config = handed.root / "nbgrader_config.py"
    sound = config.read_text()
    config.write_text(f"{sound}\n{change}\n")

    done = handed.nbgrader("autograde", "counter", "--CourseDirectory.course_id=transformers")
    again = handed.grader("regrade", str(handed.root))

    assert done.returncode == 1 and "graded-by-the-checks" in done.stderr
    assert not trace.exists() and not list((handed.root / "autograded").rglob("*.ipynb"))
    assert all(score.auto is None for cells in handed.scores().values() for score in cells.values())
    assert again.returncode == 2 and "cannot be read" in " ".join(again.stderr.split())
    config.write_text(sound)
    assert handed.grader("regrade", str(handed.root)).returncode == 0
    assert autos(handed, "ada") == FULL and not trace.exists()


def test_students_get_a_kernel_that_there_is(toy):
    assert toy.release()["metadata"]["kernelspec"]["name"] == "python3"


def test_grading_again_takes_the_pages_that_show_other_marks(handed):
    assert handed.nbgrader("autograde", "counter").returncode == 0
    assert handed.nbgrader("generate_feedback", "counter").returncode == 0
    shutil.rmtree(handed.root / "autograded" / "bob")
    records = handed.root / "records" / "counter" / "bob" / "counter.json"
    records.write_text(records.read_text().replace('"counter-shares-public": 1.0', '"counter-shares-public": 0.0'))

    done = handed.grader("regrade", str(handed.root))

    assert done.returncode == 0 and "1 feedback pages showed other marks" in done.stdout
    assert not (handed.root / "feedback" / "bob" / "counter").exists() and handed.feedback("ada")


def test_without_the_courses_environment_nbgrader_stops_with_a_sentence(handed, tmp_path):
    (tmp_path / "grader").mkdir()
    (tmp_path / "grader" / "__init__.py").write_text("raise ImportError('No module named grader')")

    done = handed.nbgrader("autograde", "counter", PYTHONPATH=str(tmp_path))

    assert done.returncode == 1 and "nbgrader cannot load this course" in done.stderr
    assert not (handed.root / "autograded").exists()


# ---------------------------------------------------------------- what people entered


def test_manual_marks_comments_and_extra_credit_survive_grading_again(handed):
    assert in_process(handed).autograde("counter", "bob")["success"]
    from nbgrader.api import Gradebook as Theirs

    with Theirs(handed.url, "transformers") as book:
        grade = book.find_grade(HIDDEN, "counter", "counter", "bob")
        grade.manual_score, grade.extra_credit = 2.5, 0.75
        book.find_comment("counter-shares-code", "counter", "counter", "bob").manual_comment = "well argued"
        book.db.commit()

    assert in_process(handed).autograde("counter", "bob", force=True)["success"]

    score = handed.scores()["bob"][HIDDEN]
    assert (score.manual, score.extra_credit, score.total) == (2.5, 0.75, 3.25)
    with Theirs(handed.url, "transformers") as book:
        assert book.find_comment("counter-shares-code", "counter", "counter", "bob").comment == "well argued"
    assert in_process(handed).generate_feedback("counter", "bob")["success"]
    assert "well argued" in handed.feedback("bob") and "Score: 3.25 / 3" in handed.feedback("bob")


LATE_PLUGIN = """
from nbgrader.plugins import LateSubmissionPlugin

class AThirdADay(LateSubmissionPlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return score / 3 * (total_seconds_late // 86400)
"""


@pytest.mark.parametrize(("method", "penalty"), [("none", None), ("zero", 9.0), ("own", 3.0)])
def test_late_work_is_penalised_nbgraders_own_way(handed, filled, solution, monkeypatch, tmp_path, method, penalty):
    handed.hand_in("ada", filled(solution), "2026-10-02 13:00:00 UTC")
    config = {"LateSubmissionPlugin": {"penalty_method": method}} if method != "own" else {}
    if method == "own":
        (tmp_path / "late_plugin.py").write_text(LATE_PLUGIN)
        monkeypatch.syspath_prepend(str(tmp_path))
        config = {"AssignLatePenalties": {"plugin_class": "late_plugin.AThirdADay"}}
    from nbgrader.api import Gradebook as Theirs

    with Theirs(handed.url, "transformers") as book:
        book.update_or_create_assignment("counter", duedate="2026-10-01 12:00:00 UTC")

    assert in_process(handed, **config).autograde("counter", "ada")["success"]

    with Theirs(handed.url, "transformers") as book:
        assert book.find_submission_notebook("counter", "counter", "ada").late_submission_penalty == penalty


@pytest.mark.parametrize(("lines", "penalty"), [("", None), ('c.LateSubmissionPlugin.penalty_method = "zero"\n', 9.0)])
def test_a_batch_takes_off_what_nbgrader_takes_off_for_late_work(handed, filled, solution, lines, penalty):
    from nbgrader.api import Gradebook as Book

    config = handed.root / "nbgrader_config.py"
    config.write_text(config.read_text(encoding="utf-8") + lines, encoding="utf-8")
    handed.hand_in("ada", filled(solution), timestamp="2026-10-02 12:00:00.000000 UTC")
    with Book(handed.url, "transformers") as book:
        book.update_or_create_assignment("counter", duedate="2026-10-01 11:00:00.000000 UTC")

    assert handed.nbgrader("autograde", "counter").returncode == 0
    with Book(handed.url, "transformers") as book:
        before = book.find_submission_notebook("counter", "counter", "ada").late_submission_penalty
    done = handed.grader("batch", str(handed.root), "counter", "--gradebook", handed.url, "--workers", "1")

    assert done.returncode == 0, done.stderr
    with Book(handed.url, "transformers") as book:
        after = book.find_submission_notebook("counter", "counter", "ada").late_submission_penalty
    assert before == after == penalty


# ---------------------------------------------------------------- kills, and grading again

KILLER = """
import os, signal
from nbgrader.preprocessors import NbGraderPreprocessor

class Killer(NbGraderPreprocessor):
    def preprocess(self, nb, resources):
        if resources["nbgrader"]["student"] == "bob":
            os.kill(os.getpid(), signal.SIGKILL)
        return nb, resources
"""
POINTS = [("sanitize", 0), ("sanitize", 1), ("autograde", 0), ("autograde", 1), ("autograde", 3), ("autograde", 5)]


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
@pytest.mark.parametrize(("stage", "place"), POINTS, ids=lambda value: str(value))
def test_after_a_kill_one_command_finds_the_half_done_and_grades_them(handed, filled, solution, stage, place):
    handed.hand_in("cleo", filled(solution))
    assert handed.nbgrader("autograde", "counter", "--student", "ada").returncode == 0
    (handed.root / "killer.py").write_text(KILLER)
    config = handed.root / "nbgrader_config.py"
    sound = config.read_text()
    config.write_text(f"{sound}\nimport killer\nc.Autograde.{stage}_preprocessors.insert({place}, killer.Killer)\n")
    killed = handed.nbgrader("autograde", "counter", PYTHONPATH=f"{handed.kit}{os.pathsep}{handed.root}")
    assert killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), killed.stderr
    config.write_text(sound)

    listed = handed.grader("regrade", str(handed.root), "counter", "--list")
    mended = handed.grader("regrade", str(handed.root), "counter")

    assert listed.returncode == 1 and "ada" not in listed.stdout
    assert "bob: grading it was interrupted" in listed.stdout or "bob: not graded yet" in listed.stdout
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert autos(handed, "ada") == autos(handed, "cleo") == FULL
    assert 0 < handed.totals()["bob"] < sum(FULL.values())
    assert not any(score.needs_manual_grade for cells in handed.scores().values() for score in cells.values())


def test_a_check_that_was_mended_moves_marks_and_says_whose_and_why(handed):
    assert handed.nbgrader("autograde", "counter").returncode == 0
    before = autos(handed, "bob")[HIDDEN]
    checks = handed.kit / "solutions" / "ex01_counter" / "test_hidden.py"
    sound = checks.read_text()
    more = """

@pytest.mark.step("counting")
@pytest.mark.points(3)
def test_a_new_check(student, reference):
    counter = student.Counter(3)
    counter.add(np.array([2, 2, 0, 1, 1, 1]))
    assert_close(counter.most_common(), 1)
"""
    checks.write_text(sound + more)

    again = handed.grader("regrade", str(handed.root), "counter", "--all")
    checks.write_text(sound)

    assert again.returncode == 0, again.stderr
    assert "ada:" not in again.stdout and autos(handed, "ada") == FULL
    assert "bob: " in again.stdout and "the check “a new check” is new, and fails now" in again.stdout
    assert autos(handed, "bob")[HIDDEN] == before / 2  # the checks carry twice the points, the cell what was released


def test_a_submission_without_a_notebook_is_named(handed):
    folder = handed.root / "submitted" / "dora" / "counter"
    folder.mkdir(parents=True)
    (folder / "counter.txt").write_text("def shares")

    done = handed.grader("regrade", str(handed.root))

    assert done.returncode == 1
    assert "dora: no notebook was handed in" in done.stdout
    assert autos(handed, "ada") == FULL


def test_a_submission_without_a_notebook_is_settled_once_the_gradebook_holds_marks_for_it(handed):
    folder = handed.root / "submitted" / "dora" / "counter"
    folder.mkdir(parents=True)
    (folder / "counter.py").write_text("def shares")
    assert handed.grader("regrade", str(handed.root)).returncode == 1
    with Gradebook(handed.url, "transformers") as book:  # as `grader batch --gradebook` does
        book.enter("dora", "counter", "counter", dict.fromkeys(FULL, 0.5))

    listed = handed.grader("regrade", str(handed.root), "--list")
    done = handed.grader("regrade", str(handed.root))

    assert listed.returncode == done.returncode == 0
    points = 0.5 * len(FULL)
    assert (
        f"dora: no notebook was handed in, so nbgrader passes it over; the gradebook holds {points:g} points"
        in done.stdout
    )
    assert "3 of 3 submissions have their verdict" in listed.stdout


def test_a_mark_that_a_kill_left_in_the_gradebook_is_listed_when_it_moves(handed):
    assert handed.nbgrader("autograde", "counter").returncode == 0
    whole = handed.totals()["bob"]
    with Gradebook(handed.url, "transformers") as book:
        book.enter("bob", "counter", "counter", dict.fromkeys(FULL, 0.0) | {HIDDEN: 0.25})
    shutil.rmtree(handed.root / "autograded" / "bob")

    done = handed.grader("regrade", str(handed.root))

    assert done.returncode == 0 and handed.totals()["bob"] == whole > 0.25
    assert f"bob: {whole:g} points, before 0.25 in the gradebook: not graded yet." in done.stdout
    assert "ada:" not in done.stdout


def test_marks_that_moved_against_each_other_in_the_gradebook_are_listed_by_their_cells():
    from grader.system.gradebook import Score
    from grader.verbs.regrade import _moved_in_gradebook as moved

    scores = [{name: Score(mark, None, None, False, 3.0) for name, mark in one.items()} for one in (
        {"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 1.0}, {"a": 1.0, "b": None})]  # fmt: skip

    assert moved(scores[0], scores[1], "") == "3 points, before 3 in the gradebook (a, b)."
    assert moved(scores[0], scores[0], "killed") == moved({}, scores[0], "killed") == ""
    assert moved(scores[2], scores[0], "killed") == "3 points, before 1 in the gradebook: killed."


def test_without_its_gradebook_nobody_has_a_verdict_and_it_can_be_made_again(handed):
    assert handed.nbgrader("autograde", "counter").returncode == 0
    totals = handed.totals()
    (handed.root / "gradebook.db").unlink()

    refused = [handed.grader("regrade", str(handed.root), *words) for words in ((), ("--list",))]
    there = (handed.root / "gradebook.db").exists()
    assert handed.nbgrader("generate_assignment", "counter", "--force").returncode == 0
    listed = handed.grader("regrade", str(handed.root), "--list")
    done = handed.grader("regrade", str(handed.root))

    assert [one.returncode for one in refused] == [2, 2] and not there
    for one in refused:
        said = " ".join(one.stderr.split())
        assert "There is no gradebook at" in said and "nbgrader generate_assignment UNIT --force" in said
        assert "have their verdict" not in one.stdout
    assert listed.returncode == 1 and "ada: the gradebook has no marks of it" in listed.stdout
    assert "0 of 2 submissions have their verdict" in listed.stdout
    assert done.returncode == 0 and handed.totals() == totals


def test_a_gradebooks_address_is_meant_in_the_courses_folder(handed):
    with (handed.root / "nbgrader_config.py").open("a") as config:
        config.write("c.CourseDirectory.db_url = 'sqlite:///gradebook.db'\n")

    done = handed.grader("regrade", str(handed.root), "--list")

    assert done.returncode == 1 and "0 of 2 submissions have their verdict" in done.stdout


def test_an_assignment_of_another_name_with_two_exercises_is_graded_as_well(toy, filled, solution):
    source = toy.root / "source"
    (source / "ps1").mkdir()
    (source / "ps1" / "counter.ipynb").write_bytes((source / "counter" / "counter.ipynb").read_bytes())
    assert in_process(toy).generate_assignment("ps1")["success"]
    handed = toy.root / "submitted" / "ada" / "ps1"
    handed.mkdir(parents=True)
    (handed / "counter.ipynb").write_text(json.dumps(filled(solution)))

    listed = toy.grader("regrade", str(toy.root), "ps1", "--list")
    done = toy.grader("regrade", str(toy.root), "ps1")

    assert "ada: not graded yet" in listed.stdout
    assert done.returncode == 0 and "1 of 1 submissions" in done.stdout
    with Gradebook(toy.url, "transformers") as gradebook:
        assert {name: score.auto for name, score in gradebook.scores("ps1")["ada"].items()} == FULL


def test_a_step_that_is_gone_since_the_release_stops_everybody_rather_than_cost_them_marks(handed):
    description = handed.kit / "solutions" / "ex01_counter" / "exercise.toml"
    sound = description.read_text()
    changed = sound.replace('name = "merging"', 'name = "joining"')
    checks = [
        handed.kit / "solutions" / "ex01_counter" / name for name in ("test_public.py", "test_hidden.py", "task.md")
    ]
    texts = [path.read_text() for path in checks]
    try:
        description.write_text(changed)
        for path, text in zip(checks, texts, strict=True):
            for mark in ('step("{}")', "Step {}", "### {}"):
                text = text.replace(mark.format("merging"), mark.format("joining"))
            path.write_text(text)
        done = handed.nbgrader("autograde", "counter")
    finally:
        description.write_text(sound)
        for path, text in zip(checks, texts, strict=True):
            path.write_text(text)

    assert done.returncode == 1
    assert "counter-merging-hidden is not in the exercise counter" in done.stderr, done.stderr[-3000:]
    assert set(handed.totals().values()) == {0.0}


def test_what_is_no_course_is_refused(toy, tmp_path):
    empty = toy.grader("regrade", str(tmp_path / "nowhere"))
    unknown = toy.grader("regrade", str(toy.root), "attention")

    assert empty.returncode == unknown.returncode == 2
    assert "no nbgrader course" in " ".join(empty.stderr.split()) and "There is: counter" in unknown.stderr


def test_an_assignment_of_another_course_is_graded_by_nbgrader_as_ever(toy):
    cell = {"cell_type": "code", "id": "a", "execution_count": None, "outputs": [], "source": "assert 1 + 1 == 2"}
    meta = {"schema_version": 3, "grade": True, "solution": False, "locked": True, "task": False, "points": 2}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel},
            "cells": [{**cell, "metadata": {"nbgrader": {**meta, "grade_id": "theirs"}}}]}  # fmt: skip
    folder = toy.root / "source" / "other"
    folder.mkdir()
    (folder / "other.ipynb").write_text(json.dumps(book))
    assert in_process(toy).generate_assignment("other")["success"]
    handed = toy.root / "submitted" / "ada" / "other"
    handed.mkdir(parents=True)
    (handed / "other.ipynb").write_bytes((toy.root / "release" / "other" / "other.ipynb").read_bytes())

    said = in_process(toy).autograde("other", "ada")

    assert said["success"], said["log"]
    with Gradebook(toy.url, "transformers") as gradebook:
        assert gradebook.scores("other")["ada"]["theirs"].auto == 2.0
