"""The next hint for the step that a learner is at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from grader.logic.hints import parse_hints
from grader.model.types import Exercise, Step
from grader.system.course import Course, read_toml
from grader.system.progress import HINT_TIERS, Progress


@dataclass(frozen=True)
class Help:
    """What an exercise can tell: the tiers of each step, and the question of each wrong idea."""

    tiers: Mapping[str, list[str]]
    questions: Mapping[str, str]


@dataclass(frozen=True)
class Hint:
    """One hint: for which step, its place among how many, the text, and what comes after it."""

    step: Step | None
    number: int
    total: int
    text: str
    after: str = ""


def help_of(course: Course, exercise: Exercise) -> Help:
    """From the exercise's own files, or from its tape where there is no solution."""
    if course.has_solution(exercise):
        folder = course.solution_folder(exercise)
        wrong = read_toml(folder / "variants.toml").get("wrong", [])
        tiers = parse_hints((folder / "task.md").read_text(encoding="utf-8"))
        return Help(tiers, {entry["name"]: entry.get("hint", "") for entry in wrong})
    from grader.system.tape import read_header

    header = read_header(course.tape_file(exercise))
    return Help(header["hints"], {name: idea["hint"] for name, idea in header["ideas"].items()})


def next_hint(course: Course, exercise: Exercise, progress: Progress, regrade: Callable[[], Any]) -> Hint:
    """The next hint; ``regrade`` is called when the last grading may not be of the file as it is now."""
    regrade()
    last = progress.of(exercise)["last"]
    if last.get("status") == "broken":
        return Hint(None, 0, 0, "The file cannot be graded yet.\n" + last.get("message", ""))
    step, ideas = unfinished(exercise, last)
    if step is None:
        after = f"grader solution {exercise.name}"
        return Hint(None, 0, 0, f"Every step of {exercise.name} is done: there is nothing to hint at.", after)
    known = help_of(course, exercise)
    question = next((name for name in ideas if known.questions.get(name)), "")
    number, asks = progress.next_hint(exercise, step, question)
    tiers = known.tiers.get(step.name, [])
    total = min(len(tiers), HINT_TIERS) or 1
    spoil = f"grader solution {exercise.name} --spoil" if course.has_solution(exercise) else ""
    if asks:
        return Hint(step, number, total, known.questions[question])
    if number > len(tiers):
        again = "\n".join(f"{place}  {text}" for place, text in enumerate(tiers, start=1))
        return Hint(step, total, total, f"All hints for this step have been told.\n{again}".strip(), spoil)
    return Hint(step, number, total, tiers[number - 1], spoil if number == total else "")


def unfinished(exercise: Exercise, last: Mapping[str, Any]) -> tuple[Step | None, list[str]]:
    """The first step with a check that has not passed, stretch steps last, and the ideas seen in it."""
    open_checks = last.get("unfinished", [])
    for step in sorted(exercise.steps, key=lambda step: step.stretch):
        mine = [check for check in open_checks if check["step"] == step.name]
        if mine:
            return step, [name for check in mine for name in check["looks_like"]]
    return None, []
