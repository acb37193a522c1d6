"""An exercise's experiment on the learner's file or on the solution, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from grader.model.errors import CourseError, UsageError
from grader.model.types import Exercise
from grader.system.course import Course, write_atomically
from grader.verbs.check import Chosen

ENGINE_ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = "experiment.py"
RUNS = "runs"

Ask = Callable[[str], str]
Say = Callable[[str], Any]


def run(
    course: Course,
    exercise: Exercise,
    name: str | None,
    chosen: Chosen | None,
    *,
    quick: bool = False,
    mine: bool = False,
    ask: Ask | None = None,
    say: Say = print,
) -> int:
    """Run one experiment (the first where no name is given) on a submission, or on the solution where that is None.

    ``ask`` is called with the question to guess at; without it nobody is asked. The exit code is the experiment's:
    0 done, 1 the code under test raised, 2 something is missing.
    """
    name, guess = experiment_named(course, exercise, name)
    out = course.root / RUNS / exercise.name / name
    out = out if chosen is not None else out / "solution"  # neither a run on the solution nor a quick one writes over
    out = out / "quick" if quick else out  # what a long run on the learner's file has left
    out.mkdir(parents=True, exist_ok=True)
    file = _module_file(course, exercise, chosen, out)
    if mine:
        say(f"--mine changes nothing here: {exercise.name} uses no parts of other exercises.")
    guess = ask(guess) if ask is not None and guess else ""
    arguments = [str(_folder(course, exercise)), str(file), name, str(out), "--guess", guess]
    return _launch([*arguments, "--quick"] if quick else arguments)


def experiment_named(course: Course, exercise: Exercise, name: str | None) -> tuple[str, str]:
    """An experiment's name and the question to guess at; the first one's without a name, UsageError for an unknown one."""
    known = {entry["name"]: entry["guess"] for entry in _described(_folder(course, exercise))}
    wanted = next(iter(known)) if name is None else name
    if wanted not in known:
        raise UsageError(f"{exercise.name} has no experiment {wanted!r}.", f"There is: {', '.join(known)}.")
    return wanted, known[wanted]


def _folder(course: Course, exercise: Exercise) -> Path:
    for folder in (course.exercise_folder(exercise), course.solution_folder(exercise)):
        if (folder / EXPERIMENT).is_file():
            return folder.resolve()
    raise UsageError(f"{exercise.name} has no experiment.", f"`grader check {exercise.name}` grades your file.")


@cache  # it takes a process
def _described(folder: Path) -> list[dict[str, str]]:
    command = [sys.executable, "-m", "lab.launch", str(folder), "--describe"]
    result = subprocess.run(command, cwd=ENGINE_ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    try:
        found = json.loads(result.stdout)
    except ValueError:
        found = []
    if result.returncode or not found:
        said = result.stderr.strip().split("\n")[-1]
        raise CourseError(f"The experiments of {folder.name} cannot be listed: {said or 'there are none'}")
    return found


def _module_file(course: Course, exercise: Exercise, chosen: Chosen | None, out: Path) -> Path:
    """A Python file with what is to be run; a notebook's cells are written into one."""
    if chosen is None:
        if not course.has_solution(exercise):
            raise UsageError("The solutions are not part of this kit.", "Leave --solution out.")
        return (course.solution_folder(exercise) / exercise.module).resolve()
    if chosen.path is not None and chosen.path.suffix == ".py":
        return chosen.path.resolve()
    # Not beside the results: an experiment may have a file of that name there.
    path = out / "notebook" / exercise.module
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, chosen.submission.source + "\n")
    return path.resolve()


def _launch(arguments: list[str]) -> int:
    process = subprocess.Popen([sys.executable, "-m", "lab.launch", *arguments], cwd=ENGINE_ROOT)
    try:
        return process.wait()
    except KeyboardInterrupt:  # the experiment was interrupted by the same key, and tidies up
        process.wait()
        raise
