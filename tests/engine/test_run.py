"""An experiment runs on the learner's code once that is right, and says what was guessed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from grader.logic.stub import cut_stub
from grader.model.errors import UsageError
from grader.system.course import Course
from grader.verbs.build import build
from grader.verbs.check import named_file
from grader.verbs.run import run
from lab import launch

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
    for name, which in (((), "counter sizes"), (("other",), "counter other")):
        said = command("run", "counter", *name, "--solution", "--mine")

        assert said.code == 0
        assert f"--mine changes nothing here: {which} uses no parts of other exercises." in said.out


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


# ---------------------------------------------------------------------------------------------- --mine

WITH_PARTS = """
from lab.experiment import Experiment, Result


def tallies(context):
    names = [f"{name} of {part.exercise} is a {type(part.value).__name__}" for name, part in sorted(context.parts.items())]
    codes = {part.code for part in context.parts.values()}
    return Result(f"{', '.join(names) or 'no parts'}; {len(codes)} files", "a table", {}, [])


wanted = {"tally": {"shares": "shares", "Counter": "counting"}}
EXPERIMENTS = {"tallies": Experiment("tallies", "Tallies", "", tallies, parts=wanted)}
"""


@pytest.fixture
def tally(toy: Path, module: Path, solution: str) -> Path:
    """An experiment that can use parts of another exercise, and the learner's file for that one, which is right."""
    for folder in ("solutions", "exercises"):
        shutil.copytree(toy / folder / "ex01_counter", toy / folder / "ex02_tally")
    (module.parent / "experiment.py").write_text(WITH_PARTS, encoding="utf-8")
    module.write_text(solution, encoding="utf-8")
    file = toy / "exercises" / "ex02_tally" / "counter.py"
    file.write_text(solution, encoding="utf-8")
    return file


def test_mine_hands_over_what_has_passed(tally, command):
    said = command("run", "counter", "--mine")

    assert said.code == 0
    assert "Yours: shares and Counter (tally)." in said.out
    assert "PyTorch's" not in said.out
    assert "Counter of tally is a type, shares of tally is a function; 1 files" in said.out


def test_without_mine_no_part_is_handed_over(tally, command):
    said = command("run", "counter")

    assert said.code == 0
    assert "no parts; 0 files" in said.out and "Yours" not in said.out


def test_mine_works_on_the_solution_too(tally, command, module):
    module.unlink()

    said = command("run", "counter", "--mine", "--solution")

    assert said.code == 0
    assert "shares of tally is a function" in said.out


@pytest.mark.parametrize(
    "right, wrong, yours, why",
    [
        ("found = np.bincount", "found = 1 + np.bincount", "shares", "Counter (step counting"),
        ("/ max(total, 1)", "/ (total + 1)", "Counter", "shares (step shares"),
        ("/ max(total, 1)", "/ total", "Counter", "shares (step shares"),  # which only hidden checks see
    ],
)
def test_a_part_whose_step_fails_is_pytorchs(tally, command, solution, right, wrong, yours, why):
    assert solution.count(right) == 1
    tally.write_text(solution.replace(right, wrong), encoding="utf-8")

    said = command("run", "counter", "--mine")

    assert said.code == 0
    assert f"Yours: {yours} (tally)." in said.out
    assert f"PyTorch's: {why} of tally has not passed)." in said.out
    assert f"{yours} of tally is a" in said.out and said.out.count(" of tally is a") == 1


def test_every_step_that_has_not_passed_is_named(tally, command, solution):
    text = solution.replace("/ max(total, 1)", "/ (total + 1)").replace("found = np", "found = 1 + np")
    tally.write_text(text, encoding="utf-8")

    said = command("run", "counter", "--mine")

    assert "Yours: none." in said.out
    assert "PyTorch's: shares (step shares of tally has not passed), Counter (step counting" in said.out
    assert "no parts" in said.out


@pytest.mark.parametrize(
    "state, why",
    [
        ("untouched", "tally is not started"),
        ("broken", "counter.py cannot be graded"),
        ("gone", "counter.py"),
        ("no exercise", "There is no exercise 'tally'"),
    ],
)
def test_parts_that_are_not_to_be_had_are_pytorchs(tally, toy, command, state, why):
    if state == "untouched":
        stub = (toy / "solutions" / "ex02_tally" / "counter.py").read_text(encoding="utf-8")
        tally.write_text(cut_stub(stub, Course(toy).find("tally").blanked), encoding="utf-8")
    elif state == "broken":
        tally.write_text("def shares(:\n", encoding="utf-8")
    elif state == "gone":
        tally.unlink()
        tally.with_suffix(".ipynb").unlink()
    else:
        shutil.rmtree(toy / "solutions" / "ex02_tally")
        shutil.rmtree(toy / "exercises" / "ex02_tally")

    said = command("run", "counter", "--mine")

    assert said.code == 0
    assert "Yours: none." in said.out
    line = next(line for line in said.out.splitlines() if line.startswith("PyTorch's: "))
    assert line.startswith("PyTorch's: shares and Counter (") and why in line and line.endswith(").")
    assert "no parts" in said.out


def test_parts_come_from_a_notebook_too(tally, command, solution):
    cells = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": solution}]
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    tally.unlink()
    tally.with_suffix(".ipynb").write_text(json.dumps(book), encoding="utf-8")

    said = command("run", "counter", "--mine")

    assert said.code == 0
    assert "shares of tally is a function" in said.out


def test_in_a_kit_the_public_checks_decide(tally, toy, command, module, solution):
    build(Course(toy), say=lambda text: None)
    (module.parent / "experiment.py").write_text(WITH_PARTS, encoding="utf-8")
    shutil.rmtree(toy / "solutions")
    (toy / "grader").mkdir()  # a kit brings the engine along
    tally.write_text(solution.replace("/ max(total, 1)", "/ total"), encoding="utf-8")

    said = command("run", "counter", "--mine")

    assert said.code == 0
    assert "Yours: shares and Counter (tally)." in said.out


def test_a_part_that_cannot_be_loaded_is_left_out(tmp_path, capsys):
    (tmp_path / "good.py").write_text("def one(): ...\ndef two(): ...\n")
    (tmp_path / "bad.py").write_text("import no_such_package\n")
    given = [f"{name}={tmp_path / name}.py:one,two" for name in ("good", "bad", "gone")]

    parts = launch.parts_of(given)

    assert {name: part.exercise for name, part in parts.items()} == {"one": "good", "two": "good"}
    said = capsys.readouterr().err
    assert "bad.py of bad cannot be loaded (ModuleNotFoundError" in said and "gone.py of gone cannot" in said
