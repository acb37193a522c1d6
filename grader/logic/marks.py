"""From a report to the marks of nbgrader's grade cells: one public and one hidden cell for each step."""

from __future__ import annotations

import math
from collections.abc import Mapping

from grader.model.errors import CannotMark
from grader.model.types import CheckResult, Exercise, Report

PUBLIC = "public"
HIDDEN = "hidden"
CODE = "code"
ROUNDING = 1e-9  # of sums of points


def cell_id(exercise: str, step: str, kind: str) -> str:
    """The name of a step's cell in nbgrader, of the kind `CODE`, `PUBLIC` or `HIDDEN`; it never changes once released."""
    return f"{exercise}-{step}-{kind}"


def exercise_of(name: str) -> str:
    """The exercise whose grade cell has this name; empty where it is none of this course's."""
    exercise, _, rest = name.partition("-")
    return exercise if rest.rpartition("-")[2] in (PUBLIC, HIDDEN) else ""


def grade_cells(exercise: Exercise) -> dict[str, tuple[str, bool]]:
    """Step and hidden or not, by the name of each grade cell, in the order in which they stand in the notebook."""
    kinds = ((PUBLIC, False), (HIDDEN, True))
    return {
        cell_id(exercise.name, step.name, kind): (step.name, hidden)
        for step in exercise.steps
        for kind, hidden in kinds
    }


def of_cell(report: Report, step: str, hidden: bool) -> list[CheckResult]:
    """The checks whose points a cell holds."""
    return [check for check in report.checks if check.step == step and check.hidden == hidden]


def marks_of(report: Report, maxima: Mapping[str, float], exercise: Exercise) -> dict[str, float]:
    """A mark for every grade cell that was released: a plain float from 0 to the cell's maximum.

    ``maxima`` are the gradebook's. Where a cell's checks carry as many points as it was released with, its mark is what
    they earned; where checks were added, taken away or weighed anew since then, or some were skipped, it is their share
    of the maximum. A step that came after the release counts nothing. `CannotMark` where nothing tells what a cell is
    worth: one that the exercise does not know any more, one with points whose checks were all skipped or are gone, or
    checks that earned less than nothing or more than they carry.
    """
    known = grade_cells(exercise)
    for name in sorted(maxima.keys() - known.keys()):
        mend = "Grade with the clone from which the assignment was made, or release it anew under another name."
        raise CannotMark(f"The grade cell {name} is not in the exercise {exercise.name}.", mend)
    marks = {}
    for name in maxima:
        step, hidden = known[name]
        counted = [check for check in of_cell(report, step, hidden) if check.outcome != "skipped"]
        points, earned = sum(check.points for check in counted), sum(check.earned for check in counted)
        most = float(maxima[name])
        if most and not points:
            raise CannotMark(f"No check was run for the grade cell {name}, which is worth {most:g} points.")
        if not 0 <= earned <= points + ROUNDING:  # NaN is not
            raise CannotMark(f"The checks for {name} earned {earned!r} of {points:g} points.")
        mark = float(earned) if points == most else most * earned / points if points else 0.0
        marks[name] = min(round(mark, 6), most)
    demand_marks(marks, maxima)
    return marks


def demand_marks(marks: Mapping[str, float], maxima: Mapping[str, float]) -> None:
    """`CannotMark` unless there is exactly one mark for each grade cell: a plain float from 0 to the cell's maximum.

    nbgrader takes everything else, an empty output, NaN, a negative number or numpy's, for full marks.
    """
    if why := refusal(marks, maxima):
        raise CannotMark(f"No marks can be given: {why}.")


def refusal(marks: Mapping[str, float], maxima: Mapping[str, float | None]) -> str:
    """Why these marks may not stand for the cells with these maxima; empty where they may.

    A number that is no float is refused too, numpy's among them: what a gradebook makes of it is up to its driver.
    """
    for name, most in maxima.items():
        if name not in marks:
            return f"{name} has no mark"
        mark = marks[name]
        if type(mark) is not float:
            return f"the mark of {name} is not a float but of type {type(mark).__name__}"
        if not math.isfinite(mark):
            return f"the mark of {name} is {mark}"
        if mark < 0:
            return f"the mark of {name} is {mark!r}, which is below 0"
        if most is None or mark > most:
            return f"the mark of {name} is {mark!r}, and its maximum is {most!r}"
    foreign = [name for name in marks if name not in maxima]
    return f"{foreign[0]!r} is no cell that is graded automatically" if foreign else ""
