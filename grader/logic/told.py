"""What a worker, or a node, told of a submission, piece by piece: nothing in it is what it says it is until it was looked at."""

from __future__ import annotations

import builtins
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from grader.model.types import COST, Call, Raised, Submission

NOT_AN_ANSWER = (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError)
DEFINITION = re.compile(r"\b(?:def|class)\s+(\w+)")
UNNAMED = {"<module>", "<lambda>", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


@dataclass
class Source:
    """The submission's text and the labels of its cells, each with the last line that a message may name."""

    text: str
    lines: dict[str, int]
    refused: tuple[str, ...] = ()

    @cached_property
    def functions(self) -> set[str]:
        """The names of all functions and classes in the text."""
        return {*DEFINITION.findall(self.text), *UNNAMED}


def cells_of(submission: Submission, label: str) -> list[tuple[str, str]]:
    """The cells' labels, which their lines are called by in messages, and their texts."""
    named = [(label if cell.number is None else f"{label}, cell {cell.number}", cell) for cell in submission.cells]
    return [(name, cell.source) for name, cell in named]


def source_of(submission: Submission, label: str, refused: tuple[str, ...]) -> Source:
    """What a message about the submission may name; ``refused``: what its exercise does not let it call."""
    lines = {name: text.count("\n") + 2 for name, text in cells_of(submission, label)}
    return Source(submission.source, lines, refused)


def raised_of(description: Any, source: Source) -> Raised:
    """Checks a description of an exception piece by piece; one of `NOT_AN_ANSWER` when it is none.

    All but the message and the type's name is shown in hidden checks too. So only places and names are kept that there are
    in the submission's text, and bases that are built-in exceptions: none of them can be a number in disguise.
    """
    frames = []
    for label, line, function in description["frames"][-20:]:
        if type(line) is int and type(label) is str and 0 <= line <= source.lines.get(label, -1):
            frames.append((label, line, function if function in source.functions else "<module>"))
    forbidden, refused = text_of(description["forbidden"], 200), text_of(description["refused"], 200)
    return Raised(
        type=text_of(description["type"], 100),
        bases=tuple(base for base in description["bases"][:30] if is_exception(base)),
        message=text_of(description["message"], 2000),
        frames=tuple(frames),
        forbidden=forbidden if forbidden in source.text else "",
        refused=refused if refused in source.refused else "",
        depth=int(description["depth"]),
    )


def is_exception(name: object) -> bool:
    """Whether that is the name of a built-in exception."""
    kind = getattr(builtins, name, None) if type(name) is str else None
    return isinstance(kind, type) and issubclass(kind, BaseException)


def arguments_of(values: Any, call: Call) -> list[Any]:
    """The arguments after a call: as many as before, each of the type that it had, else TypeError."""
    before = [*call.args, *call.kwargs.values()]
    if type(values) is not list or len(values) != len(before):
        raise TypeError("the arguments of the call were expected")
    if any(type(now) is not type(then) for now, then in zip(values, before, strict=True)):
        raise TypeError("an argument has become something else")
    return values


def cost_of(value: Any) -> dict[str, Any]:
    """An answer to a cost request (`types.COST`), checked; else one of `NOT_AN_ANSWER`."""
    if type(value) is not dict or value.keys() != COST.keys():
        raise TypeError("a value with its cost was expected")
    seconds, peak = value["seconds"], value["peak_bytes"]
    if (seconds, peak) != (None, None) and (type(seconds) is not float or type(peak) is not int):
        raise TypeError("a cost is two numbers")
    if seconds is not None and not (0 <= seconds < math.inf and peak >= 0):
        raise ValueError("nothing costs that")
    return value


def text_of(value: object, longest: int) -> str:
    """Text, cut to a length; TypeError for anything else."""
    if type(value) is not str:
        raise TypeError("text was expected")
    return value[:longest]
