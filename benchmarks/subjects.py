"""The submissions that are timed."""

from __future__ import annotations

from grader.logic.variants import apply, apply_pair
from grader.model.types import Cell, Submission
from grader.system.course import find_course
from grader.system.host import Server
from grader.verbs.grading import Plan, Sources, make_plan, refresh_cache

EXERCISE = "attention"
PAIR = ("no_scale", "causal_from_the_top_left")


def in_torch() -> list[str]:
    """The names of the exercises in PyTorch."""
    return [exercise.name for exercise in find_course().found() if exercise.framework == "torch"]


def plan(name: str = EXERCISE) -> Plan:
    """An exercise, ready to be graded, its cache recorded."""
    course = find_course()
    exercise = course.find(name)
    with Server() as server:
        refresh_cache(course, exercise, server)
    return make_plan(course, exercise)


def sources_of(name: str = EXERCISE) -> Sources:
    """The exercise's files."""
    course = find_course()
    return Sources(course, course.find(name))


def right(mark: object = "", name: str = EXERCISE) -> Submission:
    """The solution, with a comment that makes it another file."""
    return _submission("right", sources_of(name).solution + f"\n# {mark}\n")


def wrong_variants(name: str = EXERCISE) -> list[Submission]:
    """Every wrong variant."""
    sources = sources_of(name)
    found = [variant for variant in sources.variants if variant.kind == "wrong"]
    return [_submission(variant.name, apply(sources.solution, variant)) for variant in found]


def pair() -> Submission:
    """Two wrong ideas at once, of the kind that only meet in one function's answers."""
    sources = sources_of()
    source = apply_pair(sources.solution, sources.variant(PAIR[0]), sources.variant(PAIR[1]))
    assert source is not None
    return _submission("pair", source)


def _submission(name: str, source: str) -> Submission:
    return Submission(f"{name}.py", (Cell(source),))
