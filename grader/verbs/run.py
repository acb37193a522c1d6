"""An exercise's experiment on the learner's file or on the solution, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.model.errors import CourseError, GraderError, UsageError
from grader.model.types import Exercise, Report
from grader.system.course import Course, write_atomically
from grader.verbs.check import Chosen, Grading

if TYPE_CHECKING:
    from grader.system.host import Server

ENGINE_ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = "experiment.py"
RUNS = "runs"

Ask = Callable[[str], str]
Say = Callable[[str], Any]


@dataclass(frozen=True)
class Parts:
    """What an experiment gets of another exercise: names in the learner's file whose steps have passed."""

    exercise: Exercise
    chosen: Chosen
    names: tuple[str, ...]


def run(
    course: Course,
    exercise: Exercise,
    name: str | None,
    chosen: Chosen | None,
    *,
    quick: bool = False,
    parts: Sequence[Parts] = (),
    ask: Ask | None = None,
) -> int:
    """Run one experiment (the first where no name is given) on a submission, or on the solution where that is None.

    ``parts`` of other exercises are handed to it. ``ask`` is called with the question to guess at; without it nobody is
    asked. The exit code is the experiment's: 0 done, 1 the code under test raised, 2 something is missing.
    """
    name, guess = experiment_named(course, exercise, name)
    out = course.root / RUNS / exercise.name / name
    out = out if chosen is not None else out / "solution"  # neither a run on the solution nor a quick one writes over
    out = out / "quick" if quick else out  # what a long run on the learner's file has left
    out.mkdir(parents=True, exist_ok=True)
    file = _module_file(course, exercise, chosen, out)
    guess = ask(guess) if ask is not None and guess else ""
    arguments = [str(_folder(course, exercise)), str(file), name, str(out), "--guess", guess]
    for part in parts:
        theirs = _module_file(course, part.exercise, part.chosen, out)
        arguments += ["--part", f"{part.exercise.name}={theirs}:{','.join(part.names)}"]
    return _launch([*arguments, "--quick"] if quick else arguments)


def experiment_named(course: Course, exercise: Exercise, name: str | None) -> tuple[str, str]:
    """An experiment's name and the question to guess at; the first one's without a name, UsageError for an unknown one."""
    entry = _entry(course, exercise, name)
    return entry["name"], entry["guess"]


def _entry(course: Course, exercise: Exercise, name: str | None) -> dict[str, Any]:
    known = {entry["name"]: entry for entry in _described(_folder(course, exercise))}
    wanted = next(iter(known)) if name is None else name
    if wanted not in known:
        raise UsageError(f"{exercise.name} has no experiment {wanted!r}.", f"There is: {', '.join(known)}.")
    return known[wanted]


# ---------------------------------------------------------------- --mine


def own_parts(course: Course, exercise: Exercise, name: str | None, server: Server, say: Say = print) -> list[Parts]:
    """The learner's own parts of other exercises that an experiment can use: those whose steps pass now.

    Says which are theirs, which are PyTorch's, and why.
    """
    entry = _entry(course, exercise, name)
    if not entry["parts"]:
        say(f"--mine changes nothing here: {exercise.name} {entry['name']} uses no parts of other exercises.")
        return []
    found, missing = [], []
    for wanted, steps in entry["parts"].items():
        try:
            parts, why = _passed_parts(course, wanted, steps, server)
        except GraderError as problem:  # no such exercise here, no file, nothing that grades it
            parts, why = None, {problem.message.rstrip("."): list(steps)}
        found += [parts] if parts else []
        missing += [f"{in_words(names)} ({reason})" for reason, names in why.items()]
    yours = ", ".join(f"{in_words(part.names)} ({part.exercise.name})" for part in found)
    say(f"Yours: {yours or 'none'}.")
    if missing:
        say(f"PyTorch's: {', '.join(missing)}.")
    return found


def _passed_parts(
    course: Course, wanted: str, steps: Mapping[str, str], server: Server
) -> tuple[Parts | None, dict[str, list[str]]]:
    """The parts of one exercise whose steps pass; the others by the reason why they are not taken."""
    exercise = course.find(wanted)
    grading = Grading(course, exercise, server, lambda text: None)
    chosen = grading.own()
    report = grading.hurried().run(server, lambda session: session.grade(chosen.submission, chosen.label))
    if report.status == "not_started":
        return None, {f"{wanted} is not started": list(steps)}
    if report.status == "broken":
        return None, {f"{chosen.label} cannot be graded": list(steps)}
    names, why = [], {}
    for name, step in steps.items():
        if has_passed(report, step):
            names.append(name)
        else:
            why.setdefault(f"step {step} of {wanted} has not passed", []).append(name)
    return (Parts(exercise, chosen, tuple(names)) if names else None), why


def has_passed(report: Report, step: str) -> bool:
    """Whether all checks of a step have passed."""
    checks = [check for check in report.checks if check.step == step]
    return bool(checks) and all(check.outcome == "passed" for check in checks)


def in_words(names: Sequence[str]) -> str:
    """One, two and three."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


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
