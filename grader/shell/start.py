"""The first minute with the course: numbers, a verdict, what a wrong answer looks like, what to do next.

python -m grader.shell.start
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from grader.model.errors import GraderError
from grader.model.types import Exercise, Report
from grader.shell import screen
from grader.system.course import Course, find_course
from grader.system.host import Server
from grader.verbs.check import RECORDING, Grading, own_files, shown
from grader.verbs.grading import Sources

EXAMPLE_LINES = 20
EXAMPLE_SECONDS = 60
TRIES = 12


def main() -> int:
    """Show it all; 0 unless the course cannot be used here."""
    colour = screen.wants_colour(sys.stdout, dict(os.environ))
    ink = screen.Ink(colour)
    try:
        course = find_course()
        exercise = course.found()[0]
        with Server() as server:
            _example(course, exercise, ink)
            grading = Grading(course, exercise, server, screen.put)
            _first_verdict(grading, colour, ink)
            if grading.can_record():
                screen.put("\n" + RECORDING)
                grading.refresh()
            if course.has_solution(exercise):
                _wrong_answer(grading, colour, ink)
        _next(course, exercise, ink)
        return 0
    except GraderError as error:
        screen.put(screen.problem(error, colour), sys.stderr)
        return error.exit_code


def _example(course: Course, exercise: Exercise, ink: screen.Ink) -> None:
    """What is given already runs: numbers come first."""
    module = own_files(course, exercise)[0]
    _heading(f"1  What is given runs already: python {shown(module)}", ink)
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    try:
        result = subprocess.run(
            [sys.executable, str(module)], capture_output=True, text=True, encoding="utf-8", errors="replace",
            cwd=module.parent, env=environment, timeout=EXAMPLE_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        screen.put("   (it does not end by itself; your edits run here too)")
        return
    lines = (result.stdout or result.stderr).rstrip().split("\n")
    for line in lines[:EXAMPLE_LINES]:
        screen.put(f"   {line}".rstrip())
    if len(lines) > EXAMPLE_LINES:
        screen.put(f"   … {len(lines) - EXAMPLE_LINES} more lines")


def _first_verdict(grading: Grading, colour: bool, ink: screen.Ink) -> None:
    _heading(f"2  Your file as it lies there: grader check {grading.exercise.name}", ink)
    chosen = grading.own()
    report = grading.grade(chosen)
    screen.put(screen.verdict(report, grading.exercise, colour=colour, notes=[chosen.note] if chosen.note else []))
    for line in grading.keep(report, chosen):
        screen.put(f"   {line}")


def _wrong_answer(grading: Grading, colour: bool, ink: screen.Ink) -> None:
    found = a_telling_variant(grading)
    if found is None:
        return
    name, report = found
    _heading(f"3  What a wrong answer is told: grader check {grading.exercise.name} --as {name}", ink)
    screen.put(screen.verdict(report, grading.exercise, colour=colour))


def a_telling_variant(grading: Grading) -> tuple[str, Report] | None:
    """A wrong variant that a public check names, one that forgets a factor where there is such a one."""
    wrong = [one for one in Sources(grading.course, grading.exercise).variants if one.kind == "wrong"]
    wrong.sort(key=lambda one: "scale" not in one.name)
    for variant in wrong[:TRIES]:
        report = grading.grade(grading.variant(variant.name))
        if any(check.looks_like == [variant.name] and not check.hidden for check in report.checks):
            return variant.name, report
    return None


def _next(course: Course, exercise: Exercise, ink: screen.Ink) -> None:
    _heading("What to do next", ink)
    folder = course.exercise_folder(exercise)
    module = own_files(course, exercise)[0]
    if sys.prefix != sys.base_prefix:
        screen.put(f"   {activation():<42}  switch the environment on")
    screen.put(f"   {'grader watch ' + exercise.name:<42}  grades at every save; leave it open")
    screen.put(f"   read {shown(folder / 'README.md')}")
    screen.put(f"   edit {shown(module)}")
    program = Path(sys.executable).with_name("grader.exe" if os.name == "nt" else "grader")
    if program.exists():
        screen.put(f"   (without switching on: {shown(program)} watch {exercise.name})")


def activation() -> str:
    """The line that switches this environment on."""
    folder = Path(sys.prefix)
    if os.name == "nt":
        return str(Path(shown(folder)) / "Scripts" / "activate")
    return f". {shown(folder / 'bin' / 'activate')}"


def _heading(text: str, ink: screen.Ink) -> None:
    screen.put("\n" + ink.strong(text))


if __name__ == "__main__":
    sys.exit(main())
