"""The solution, for who has passed or asks to be spoiled, and other ways to write it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from grader.logic.stub import cut_stub, definitions, docstring_of, parse
from grader.logic.variants import apply, changed_functions
from grader.model.errors import UsageError
from grader.model.types import Exercise, Variant
from grader.system.course import Course
from grader.system.progress import Progress
from grader.verbs.grading import Sources

OTHER_WAYS = 3


@dataclass(frozen=True)
class Shown:
    """The solution's text, what was left out of it, and other ways: (name, what it says, code)."""

    source: str
    left_out: tuple[str, ...]
    others: tuple[tuple[str, str, str], ...]


def solution(course: Course, exercise: Exercise, progress: Progress, spoil: bool) -> Shown:
    """`UsageError` where it may not be shown yet, or is not there."""
    if not course.has_solution(exercise):
        raise UsageError(
            "The solutions are not part of this kit.",
            f"`grader hint {exercise.name}` helps one step further; ask whoever gave you the kit.",
        )
    passed = progress.of(exercise)["passed"]
    if not spoil and not progress.is_done(exercise):
        left = [step.name for step in exercise.steps if not step.stretch and step.name not in passed]
        raise UsageError(
            f"{exercise.name} has not been passed yet: {', '.join(left) or 'nothing was graded so far'}.",
            f"`grader hint {exercise.name}` helps one step further; "
            f"`grader solution {exercise.name} --spoil` shows it now.",
        )
    sources = Sources(course, exercise)
    closed = [] if spoil else [name for step in exercise.steps if step.name not in passed for name in step.functions]
    text = cut_stub(sources.solution, closed) if closed else sources.solution
    others = _of_different_functions(sources, set(closed))[:OTHER_WAYS]
    return Shown(text, tuple(closed), tuple(_other_way(sources.solution, variant) for variant in others))


def _of_different_functions(sources: Sources, closed: set[str]) -> list[Variant]:
    """The right variants that touch nothing closed; those first that show a function for the first time."""
    first, more = [], []
    seen: set[str] = set()
    for variant in sources.variants:
        if variant.kind == "right":
            changed = changed_functions(sources.solution, apply(sources.solution, variant))
            if not changed & closed:
                (more if changed <= seen else first).append(variant)
                seen |= changed
    return first + more


def _other_way(source: str, variant: Variant) -> tuple[str, str, str]:
    """The functions that a right variant writes differently, without their docstrings."""
    edited = apply(source, variant)
    changed = changed_functions(source, edited)
    nodes = [node for name, node in definitions(parse(edited)) if name in changed]
    return variant.name, variant.says, "\n\n".join(_without_docstring(edited, node) for node in nodes)


def _without_docstring(source: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    lines = source.split("\n")
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    docstring = docstring_of(node)
    kept = [
        line
        for number, line in enumerate(lines[first - 1 : node.end_lineno], start=first)
        if docstring is None or not docstring.lineno <= number <= (docstring.end_lineno or number)
    ]
    indent = len(kept[0]) - len(kept[0].lstrip())
    return "\n".join(line[indent:] if line[:indent].isspace() else line for line in kept)
