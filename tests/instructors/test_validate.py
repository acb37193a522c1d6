"""`nbgrader validate` runs the public checks in the worker: no kernel, messages within its width, and what was not run is said."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

from grader.system.course import Course
from grader.verbs.grading import Sources
from tests.instructors.classroom import Classroom
from tests.instructors.conftest import REPOSITORY

NOT_RUN = "Only public checks were run. 6 hidden checks, 6 points, were not: your instructor runs them."
WIDTH = 87  # nbgrader cuts what is longer
KERNEL = "no-such-kernel"  # whatever asks for it fails


@dataclass
class Validated:
    """What was said of one notebook."""

    code: int
    out: str
    err: str

    @property
    def words(self):
        return " ".join(self.out.split())

    @property
    def failed(self):
        """The steps whose cells failed."""
        return [line.split('"')[3] for line in self.out.split("\n") if line.strip().startswith("check(")]


@pytest.fixture(scope="module")
def notebooks(toy_taught):
    """A right, a wrong, an untouched and a broken notebook; and one that hidden checks alone tell from a right one."""
    course = Course(toy_taught.kit)
    exercise = course.find("counter")
    solution = Sources(course, exercise).solution
    filled = Classroom(course, exercise, toy_taught.release()).filled
    found = {
        "right": filled(solution),
        "wrong": filled(solution.replace("total = counts.sum()", "total = counts.max()")),
        "only hidden": filled(solution.replace("np.argmax(self.counts)", "np.argmin(self.counts)")),
        "stub": toy_taught.release(),
        "broken": copy.deepcopy(toy_taught.release()),
    }
    for cell in found["broken"]["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            cell["source"] = "def broken(:"
    for book in found.values():
        book["metadata"]["kernelspec"] = {"name": KERNEL, "display_name": KERNEL, "language": "python"}
    return found


@pytest.fixture(scope="module")
def validated(toy_taught, notebooks, tmp_path_factory):
    """What nbgrader's command says of each notebook, asked once."""
    folder = tmp_path_factory.mktemp("to validate")
    said = {}

    def validated(name):
        if name not in said:
            path = folder / f"{name}.ipynb"
            path.write_text(json.dumps(notebooks[name]), encoding="utf-8")
            done = toy_taught.nbgrader("validate", str(path))
            said[name] = Validated(done.returncode, done.stdout, done.stderr)
        return said[name]

    return validated


def test_a_right_notebook_passes_and_is_told_what_was_not_run(validated):
    said = validated("right")

    assert said.code == 0 and "Success! Your notebook passes all the tests." in said.out
    assert NOT_RUN in said.words and said.failed == []


def test_what_only_hidden_checks_see_passes_and_is_told_so(validated):
    said = validated("only hidden")

    assert "Success!" in said.out and NOT_RUN in said.words


def test_a_wrong_notebook_fails_where_it_is_wrong_and_says_why(validated):
    said = validated("wrong")

    assert "VALIDATION FAILED ON 1 CELL(S)" in said.out and said.failed == ["shares"]
    assert "expected" in said.out and "got" in said.out and NOT_RUN in said.words


def test_an_untouched_notebook_fails_everywhere_and_says_where_to_begin(validated):
    said = validated("stub")

    assert said.failed == ["shares", "counting", "merging"]
    assert "Begin with shares" in said.words and "Traceback" not in said.out + said.err


def test_a_broken_notebook_fails_and_names_the_cell_and_the_line(validated):
    said = validated("broken")

    assert said.failed == ["shares", "counting", "merging"]
    assert "is not valid Python" in said.words and "def broken(:" in said.out and "Traceback" not in said.out + said.err


@pytest.mark.parametrize("name", ["right", "wrong", "stub", "broken"])
def test_nothing_that_is_said_is_cut(validated, name):
    lines = validated(name).out.split("\n")

    said = [line for line in lines if not set(line) <= {"="} and not line.isupper()]
    assert len(said) > 2 and all(len(line) <= 90 for line in said)
    assert not any(line.endswith("...") and len(line) > WIDTH for line in said)


def test_no_kernel_is_started_or_none_of_this_would_have_passed(toy, tmp_path):
    cell = {"cell_type": "code", "id": "a", "execution_count": None, "outputs": [], "source": "1 + 1", "metadata": {}}
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"name": KERNEL, "display_name": KERNEL}}}
    foreign = tmp_path / "foreign.ipynb"
    foreign.write_text(json.dumps({**book, "cells": [cell]}), encoding="utf-8")

    done = toy.nbgrader("validate", str(foreign))

    assert done.returncode != 0 and KERNEL in done.stderr


@pytest.mark.parametrize(("name", "code"), [("right", 0), ("only hidden", 0), ("wrong", 1), ("stub", 1), ("broken", 1)])
def test_grader_check_gives_the_exit_code_that_validation_does_not(toy_taught, notebooks, tmp_path, name, code):
    path = tmp_path / "counter.ipynb"
    path.write_text(json.dumps(notebooks[name]), encoding="utf-8")

    done = toy_taught.grader("check", "counter", "--public", "--submission", str(path))

    assert done.returncode == code, done.stdout + done.stderr


@pytest.fixture(scope="module")
def elsewhere(toy_taught, notebooks, tmp_path_factory):
    """What nbgrader says without this course's configuration, of a notebook with a kernel that there is."""

    def elsewhere(name):
        book = copy.deepcopy(notebooks[name])
        book["metadata"]["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        folder = toy_taught.kit / "fetched" / name
        folder.mkdir(parents=True)
        (folder / "counter.ipynb").write_text(json.dumps(book), encoding="utf-8")
        done = toy_taught.nbgrader("validate", "counter.ipynb", cwd=folder)
        return Validated(done.returncode, done.stdout, done.stderr)

    return elsewhere


def test_outside_of_the_top_folder_what_is_wrong_fails_all_the_same_and_says_why(elsewhere):
    right, wrong, stub = map(elsewhere, ("right", "wrong", "stub"))

    assert right.failed == [] and wrong.failed == ["shares"] and stub.failed == ["shares", "counting", "merging"]
    assert "expected" in wrong.out and "Traceback" not in wrong.out
    assert "Not every public check of shares passes." in wrong.words and "top folder" in wrong.words
    for said in (right, wrong, stub):  # hidden cells fail closed where nobody runs them
        assert said.out.count("Partial credit") == 3


GUARD = """
import traitlets
from nbgrader.validator import Validator
from traitlets.config import Config

def names(stages):
    return [f"{stage.__module__}.{stage.__name__}" for stage in stages]

trait = Validator.class_traits()["preprocessors"]
print(type(trait) is traitlets.List, bool(trait.metadata.get("config")))
print(*names(trait.default_args[0]), *names(Validator().preprocessors))
from grader.shell.in_nbgrader import configure
configure(Config())
print(*names(Validator().preprocessors))
"""


def test_nbgraders_validator_is_still_made_as_the_configuration_expects():
    done = subprocess.run([sys.executable, "-c", GUARD], cwd=REPOSITORY, capture_output=True, text=True, check=True)

    kind, theirs, ours = done.stdout.splitlines()
    stages = [f"nbgrader.preprocessors.{name}" for name in ("checkcellmetadata.CheckCellMetadata", "clearoutput.ClearOutput")]  # fmt: skip
    execute = "nbgrader.preprocessors.execute.Execute"
    assert kind == "True False", "Validator.preprocessors is no plain List any more, or can be configured now"
    assert theirs.split() == [*stages, execute] * 2
    assert ours.split() == [*stages, "grader.shell.in_nbgrader.ValidateWithChecks"]
