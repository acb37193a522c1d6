"""From everything that was run in a notebook to the code that stands there now.

A kernel remembers what was run, in order, an edited cell once for each time; which of it still stands in the notebook
can only be inferred. What ran without an error is kept in its order, so the last definition of a name counts and
nothing loses a name that it had when it ran. An earlier attempt at a cell that has been mended since is left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from grader.logic.notebook import code_of
from grader.logic.stub import FUNCTIONS, parse
from grader.model.types import Cell

_DEFINES = re.compile(r"^(?:async\s+def|def|class)\s+(\w+)", re.MULTILINE)
_DEFINITIONS = (*FUNCTIONS, ast.ClassDef)


@dataclass(frozen=True)
class Ran:
    """One run of a cell: the number in brackets beside it, its text, which cell and whether it raised, where known."""

    number: int
    source: str
    cell: str = ""
    raised: bool | None = None


def standing(runs: Sequence[Ran], deleted: Collection[str] = ()) -> list[Cell]:
    """The code that stands in the notebook now, as far as it was run, numbered as the cells are; check cells left out.

    ``deleted`` are cells that were taken out of the notebook.
    """
    kept: list[Cell] = []
    later = _Later()
    for ran in reversed(runs):
        code = code_of(ran.source)
        if code.strip() and ran.cell not in deleted and not _is_past(ran, code, later):
            kept.append(Cell(code, ran.number))
        later.add(ran, code)
    return kept[::-1]


class _Later:
    """What was run after a run: which cells, which texts, what they define, what of it a syntax error lost."""

    def __init__(self) -> None:
        self.cells: set[str] = set()
        self.sources: set[str] = set()
        self.names: set[str] = set()
        self.lost: set[str] = set()

    def add(self, ran: Ran, code: str) -> None:
        names = defined(code)
        if not _is_python(code):
            self.lost |= names - self.names
        self.cells |= {ran.cell} - {""}
        self.sources.add(ran.source.strip())
        self.names |= names


def _is_past(ran: Ran, code: str, later: _Later) -> bool:
    names = defined(code)
    again = ran.cell in later.cells or ran.source.strip() in later.sources
    if names and names <= later.lost:  # in the notebook, this text is not there any more
        return True
    if ran.raised is False:
        return again and _binds_nothing(code)
    if again or (names and names <= later.names):
        return True
    return bool(ran.raised) and not ran.cell and not names


def defined(code: str) -> set[str]:
    """The functions and classes that some code defines, also where it is not valid Python."""
    try:
        tree = parse(code)
    except SyntaxError:
        return set(_DEFINES.findall(code))
    return {node.name for node in tree.body if isinstance(node, _DEFINITIONS)}


def _binds_nothing(code: str) -> bool:
    """Whether it only computes or shows something."""
    return _is_python(code) and all(isinstance(node, ast.Expr) for node in parse(code).body)


def _is_python(code: str) -> bool:
    try:
        parse(code)
    except SyntaxError:
        return False
    return True
