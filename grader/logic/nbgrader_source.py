"""The notebook that an instructor gives to nbgrader: made of the solution, from which nbgrader makes what students get.

Per step: its task, its code between solution markers, one grade cell for its public checks and one for its hidden ones.
No cell holds a check's code: nbgrader keeps what is in hidden cells in the gradebook, in the graded notebook and in the
feedback. A hidden cell is a line of text and the number 0.0: should nbgrader ever run the notebook itself, because its
configuration could not be read, say, it gives nothing for that, where it would give full marks for a comment alone.
Names of cells are those of `marks.cell_id` and never change.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from grader.logic.marks import CODE, HIDDEN, PUBLIC, cell_id
from grader.logic.notebook import CHECK, METADATA, compose
from grader.logic.stub import BEGIN_MARKER, STUB_COMMENT, STUB_RAISE, with_markers
from grader.model.errors import CourseError
from grader.model.types import Exercise, Step

SCHEMA = 3
LONGEST_ID = 100
CODE_STUB = f"{STUB_COMMENT}\n{STUB_RAISE}"
HOW = "how"  # the cell of a learner's notebook that speaks of the terminal; the course's header stands in its place
CHECK_CELL = "check"

# What the checks of a step are worth: by step and hidden or not, their number and their points.
Worth = Mapping[tuple[str, bool], tuple[int, float]]


def source_notebook(task: str, solution: str, exercise: Exercise, worth: Worth) -> dict[str, Any]:
    """The source notebook of one exercise, as nbformat 4.5; ``task`` is its text without hints.

    The same input gives the same notebook. Raises CourseError where a name would be longer than nbgrader's databases
    take, and as `notebook.compose` does.
    """
    book = compose(task, with_markers(solution, exercise.blanked), exercise.steps, exercise.name)
    by_check = {f"{step.name}-{CHECK_CELL}": step for step in exercise.steps}
    by_code = {f"{step.name}-{CODE}": step for step in exercise.steps}
    cells = []
    for cell in book["cells"]:
        if cell["id"] in by_check and cell["source"].startswith(f"# {CHECK}"):
            step = by_check[cell["id"]]
            cells.append(_public(cell, exercise, step, worth))
            cells.append(_hidden(cell, exercise, step, worth))
        elif cell["id"] in by_code:
            cells.append(_named(cell, cell_id(exercise.name, by_code[cell["id"]].name, CODE), solution=True))
        elif cell["cell_type"] == "markdown" and cell["id"] != HOW:
            cells.append(_named(cell, f"{exercise.name}-text-{cell['id']}", locked=True))
        elif cell["cell_type"] == "code":
            cells.append(cell)  # given code stays open: a learner may import more there
    _demand_names(cells, exercise)
    return {**book, "cells": cells}


def _demand_names(cells: list[dict[str, Any]], exercise: Exercise) -> None:
    """CourseError where a step's cells were not told from others: their points, or its solution's marks, would be lost."""
    found = {meta["grade_id"]: cell for cell in cells if (meta := cell["metadata"].get("nbgrader"))}
    lost = [cell_id(exercise.name, step.name, kind) for step in exercise.steps for kind in (PUBLIC, HIDDEN)]
    lost = [name for name in lost if name not in found]
    for cell in cells:
        if BEGIN_MARKER in cell["source"] and not cell["metadata"].get("nbgrader", {}).get("solution"):
            lost.append(f"for its cell {cell['id']}")
    if lost:
        raise CourseError(
            f"The notebook of {exercise.name} has no name {lost[0]}.",
            "A step's name is too long, or a part of the solution has the title of a step's cell: change one of them.",
        )


def header_cell(text: str, exercise: str = "") -> dict[str, Any]:
    """The locked cell that stands above an assignment: every one of a course, or that of one exercise."""
    cell = {"cell_type": "markdown", "id": "course-header", "metadata": {}, "source": text}
    return _named(cell, f"{exercise}-text-header" if exercise else "course-header", locked=True)


def header_notebook(text: str) -> dict[str, Any]:
    """The notebook whose cells nbgrader puts above every assignment."""
    return {
        "cells": [header_cell(text)],
        "metadata": copy.deepcopy(METADATA),
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _named(
    cell: dict[str, Any], name: str, *, grade: bool = False, solution: bool = False, locked: bool = False
) -> dict[str, Any]:
    if len(name) > LONGEST_ID:
        raise CourseError(
            f"The cell name {name} is longer than {LONGEST_ID} characters.", "Give the step a shorter name."
        )
    nbgrader = {
        "schema_version": SCHEMA,
        "grade": grade,
        "solution": solution,
        "locked": locked,
        "task": False,
        "grade_id": name,
    }
    return {**cell, "metadata": {**cell["metadata"], "nbgrader": nbgrader}}


def _grade_cell(cell: dict[str, Any], name: str, source: str, points: float) -> dict[str, Any]:
    made = _named({**cell, "id": name[-64:], "source": source}, name, grade=True, locked=True)
    made["metadata"]["nbgrader"]["points"] = points
    return made


def _public(cell: dict[str, Any], exercise: Exercise, step: Step, worth: Worth) -> dict[str, Any]:
    first, _, rest = cell["source"].partition("\n")
    said = _counted(*worth.get((step.name, False), (0, 0.0)), "public")
    source = f"{first}\n# {said}: run this cell for the verdict\n{rest}"
    return _grade_cell(
        cell, cell_id(exercise.name, step.name, PUBLIC), source, worth.get((step.name, False), (0, 0.0))[1]
    )


def _hidden(cell: dict[str, Any], exercise: Exercise, step: Step, worth: Worth) -> dict[str, Any]:
    said = _counted(*worth.get((step.name, True), (0, 0.0)), "hidden")
    source = f"# {CHECK}\n# {said}, run by your instructor. Run here, this cell gives\n0.0"
    return _grade_cell(
        cell, cell_id(exercise.name, step.name, HIDDEN), source, worth.get((step.name, True), (0, 0.0))[1]
    )


def _counted(number: int, points: float, kind: str) -> str:
    """As in “3 hidden checks, 2 points”."""
    return f"{number} {kind} check{'s' * (number != 1)}, {points:g} point{'s' * (points != 1)}"
