"""Grading from inside a notebook: ``check("attention", "softmax")`` in a cell grades what has been run so far.

The code that is graded is the source of the notebook's own cells, taken from the kernel's history, by the same rules as when the file is
graded; it runs in a worker, not in the kernel.
"""

from __future__ import annotations

from typing import Any

from grader.logic.notebook import cells_of
from grader.model.types import Submission


def check(exercise: str, step: str = "") -> None:
    """Grade the cells run so far with the public checks and print the verdict; with ``step``, on this step alone."""
    from grader.model.errors import GraderError
    from grader.shell import screen
    from grader.system.course import find_course
    from grader.system.host import Server
    from grader.verbs.grading import make_plan

    try:
        course = find_course()
        found = course.find(exercise)
        with Server() as server:
            plan = make_plan(course, found, scope="public")
            report = plan.run(server, lambda session: session.grade(_so_far(_sources())))
    except GraderError as problem:
        print(problem)
        return
    screen.put(screen.verdict(report, found, focus=step))


def _sources() -> list[str]:
    """The source of every cell that was run, in order, each cell's latest version last."""
    try:
        from IPython import get_ipython
    except ImportError:
        return []
    shell: Any = get_ipython()
    return [] if shell is None else [text for text in shell.history_manager.input_hist_raw if text.strip()]


def _so_far(sources: list[str]) -> Submission:
    cells = [{"cell_type": "code", "source": source} for source in sources]
    try:
        return Submission("this notebook", tuple(cells_of({"nbformat": 4, "cells": cells})))
    except ValueError as error:
        return Submission("this notebook", (), str(error))
