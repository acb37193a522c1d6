"""An experiment runs on the learner's code once that is right, and says what was guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grader.model.errors import UsageError
from grader.system.course import Course
from grader.verbs.check import named_file
from grader.verbs.run import run

EXPERIMENT = """
from lab.experiment import Experiment, Result


def sizes(context):
    counts = context.module.np.array([1, 3])
    largest = float(context.module.shares(counts).max())
    context.out.joinpath("numbers.json").write_text(str(largest))
    return Result(f"the largest share is {largest}, quick {context.quick}", "a table", {}, [])


def other(context):
    return Result("nothing", "another table", {}, [])


EXPERIMENTS = {
    "sizes": Experiment("sizes", "How large shares get", "How large is the largest share?", sizes),
    "other": Experiment("other", "Something else", "", other),
}
"""


@pytest.fixture
def with_experiment(toy: Path) -> Path:
    (toy / "exercises" / "ex01_counter" / "experiment.py").write_text(EXPERIMENT, encoding="utf-8")
    return toy


def test_the_learners_code_has_to_pass_its_public_checks_first(with_experiment, command):
    said = command("run", "counter")

    assert said.code == 1
    assert "not started" in said.out
    assert "once the public checks pass" in said.err
    assert not (with_experiment / "runs").exists()


def test_it_runs_on_the_learners_code_and_leaves_its_results(with_experiment, command, module, solution):
    module.write_text(solution, encoding="utf-8")

    said = command("run", "counter", "--quick")

    assert said.code == 0
    assert "How large shares get" in said.out
    assert "the largest share is 0.75, quick True" in said.out
    assert (with_experiment / "runs" / "counter" / "sizes" / "quick" / "numbers.json").read_text() == "0.75"


def test_only_public_checks_are_asked_for(with_experiment, command, module, solution):
    module.write_text(solution.replace("/ max(total, 1)", "/ total"), encoding="utf-8")

    assert command("check", "counter").code == 1
    assert command("run", "counter").code == 0


def test_it_runs_on_the_solution_when_told_to(with_experiment, command):
    said = command("run", "counter", "other", "--solution")

    assert said.code == 0
    assert "another table" in said.out


@pytest.mark.parametrize(
    "words, where",
    [
        ([], "."),
        (["--quick"], "quick"),
        (["--solution"], "solution"),
        (["--solution", "--quick"], "solution/quick"),
    ],
)
def test_only_a_whole_run_on_the_learners_file_writes_over_one(
    with_experiment, command, module, solution, words, where
):
    module.write_text(solution, encoding="utf-8")
    folder = with_experiment / "runs" / "counter" / "sizes"
    folder.mkdir(parents=True)
    (folder / "numbers.json").write_text("of a long run", encoding="utf-8")

    said = command("run", "counter", *words)

    assert said.code == 0
    assert (folder / where / "numbers.json").read_text() == "0.75"
    assert (where == ".") == ((folder / "numbers.json").read_text() != "of a long run")


def test_mine_says_that_there_is_nothing_to_put_in(with_experiment, command):
    said = command("run", "counter", "--solution", "--mine")

    assert said.code == 0
    assert "counter uses no parts of other exercises" in said.out


def test_an_unknown_name_is_answered_with_those_there_are(with_experiment, command):
    for more in ((), ("--solution",)):  # nothing is graded for it either
        said = command("run", "counter", "nothing", *more)

        assert said.code == 2 and not said.out
        assert "There is: sizes, other." in said.err


def test_a_notebook_can_be_run_too(with_experiment, command, module, solution):
    cells = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": solution}]
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    module.with_suffix(".ipynb").write_text(json.dumps(book), encoding="utf-8")
    folder = with_experiment / "runs" / "counter" / "sizes"
    folder.mkdir(parents=True)
    (folder / module.name).write_text("what an experiment has left", encoding="utf-8")

    said = command("run", "counter")

    assert said.code == 0
    assert "0.75" in said.out
    assert (folder / "numbers.json").read_text() == "0.75"
    assert (folder / module.name).read_text() == "what an experiment has left"
    assert [path.name for path in (folder / "notebook").iterdir() if path.name != "__pycache__"] == [module.name]


def test_the_guess_is_asked_for_and_printed_beside_the_result(with_experiment, capfd, module, solution):
    module.write_text(solution, encoding="utf-8")
    course, asked = Course(with_experiment), []

    def ask(question: str) -> str:
        asked.append(question)
        return "a half"

    code = run(course, course.find("counter"), None, named_file(module), ask=ask)

    out = capfd.readouterr().out
    assert code == 0
    assert asked == ["How large is the largest share?"]
    assert out.index("You guessed  a half") < out.index("the largest share is 0.75")


def test_nothing_is_asked_where_there_is_nothing_to_guess(with_experiment, module, solution):
    module.write_text(solution, encoding="utf-8")
    course = Course(with_experiment)

    def ask(question: str) -> str:
        raise AssertionError(question)

    assert run(course, course.find("counter"), "other", named_file(module), ask=ask) == 0


def test_without_solutions_the_authors_code_cannot_be_run(with_experiment, command):
    (with_experiment / "grader").mkdir()
    course = Course(with_experiment)
    exercise = course.find("counter")
    (with_experiment / "solutions").rename(with_experiment.parent / "kept away")

    with pytest.raises(UsageError, match="not part of this kit"):
        run(course, exercise, None, None)
