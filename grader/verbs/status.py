"""The board: how far each exercise is, which milestones are reached, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass

from grader.model.types import Exercise
from grader.system.course import Course
from grader.system.progress import Milestone, Progress


@dataclass(frozen=True)
class Row:
    """One exercise on the board."""

    exercise: Exercise
    best: float
    of: float
    steps: int
    steps_passed: int
    done: str


@dataclass(frozen=True)
class Board:
    """All of it; ``following`` is the command to go on with."""

    rows: tuple[Row, ...]
    milestones: tuple[Milestone, ...]
    following: str


def board(course: Course, progress: Progress) -> Board:
    """What is noted so far; nothing is graded for it."""
    exercises = course.found()
    rows = tuple(_row(exercise, progress) for exercise in exercises)
    now = next_exercise(exercises, progress)
    following = f"grader watch {now.name}" if now else "every exercise is done: reading_path.md has more to read"
    return Board(rows, tuple(progress.milestones(exercises)), following)


def next_exercise(exercises: list[Exercise], progress: Progress) -> Exercise | None:
    """The first exercise that is not done."""
    return next((exercise for exercise in exercises if not progress.is_done(exercise)), None)


def _row(exercise: Exercise, progress: Progress) -> Row:
    entry = progress.of(exercise)
    core = [step.name for step in exercise.steps]
    whole = entry["of"] or sum(step.points for step in exercise.steps)
    return Row(exercise, entry["best"], whole, len(core), len(entry["passed"].keys() & set(core)), entry["done"])
