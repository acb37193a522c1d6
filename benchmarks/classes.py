"""A class of sixty notebooks three ways, one core each and start-up included: by nbgrader, by nbgrader with our checks, by `grader batch`.

nbgrader's own side is favoured: its grade cells hold one trivial assertion each, in the place of the checks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.logic.notebook import dump
from grader.system.course import Course
from grader.verbs.nbcourse import make_course
from tests.instructors.classroom import EXERCISE, Classroom, Student, hand_in

ROOT = Path(__file__).resolve().parents[1]
COUNT = 60
TRIVIAL = "assert callable(softmax)"
PLAIN = """
import os
c = get_config()
c.CourseDirectory.course_id = "plain"
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
"""


@dataclass(frozen=True)
class Classes:
    """Seconds for the whole command, by who graded."""

    nbgrader: float
    plugin: float
    batch: float
    count: int


def measure() -> Classes:
    """One run of each, in folders that are gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        ours, plain = Path(folder, "ours"), Path(folder, "plain")
        make_course(Course(ROOT), ours, [Course(ROOT).find(EXERCISE)], say=lambda text: None)
        _run(["-m", "nbgrader", "generate_assignment", EXERCISE], ours)
        release = _read(ours / "release" / EXERCISE / f"{EXERCISE}.ipynb")
        students = _class(release)
        hand_in(students, ours)
        _make_plain(plain, ours, students)
        gradebook = f"sqlite:///{ours / 'gradebook.db'}"
        batch = ["-m", "grader", "batch", str(ours), EXERCISE, "--workers", "1", "--gradebook", gradebook]
        return Classes(
            nbgrader=_run(["-m", "nbgrader", "autograde", EXERCISE], plain),
            batch=_run([*batch, "--out", str(Path(folder, "graded"))], ROOT, codes=(0, 1)),
            plugin=_run(["-m", "nbgrader", "autograde", EXERCISE], ours),
            count=len(students),
        )


def _class(release: dict[str, Any]) -> list[Student]:
    """Right answers in all their forms, and wrong ones."""
    students = Classroom(Course(ROOT), Course(ROOT).find(EXERCISE), release).students()
    return [one for one in students if one.kind in ("right", "wrong") and not one.same_as][:COUNT]


def _make_plain(root: Path, ours: Path, students: list[Student]) -> None:
    """The same assignment and submissions for nbgrader alone."""
    (root / "source" / EXERCISE).mkdir(parents=True)
    (root / "nbgrader_config.py").write_text(PLAIN, encoding="utf-8")
    source = _read(ours / "source" / EXERCISE / f"{EXERCISE}.ipynb")
    (root / "source" / EXERCISE / f"{EXERCISE}.ipynb").write_text(dump(_trivial(source)), encoding="utf-8")
    _run(["-m", "nbgrader", "generate_assignment", EXERCISE], root)
    released = _read(root / "release" / EXERCISE / f"{EXERCISE}.ipynb")
    locked = {_name(cell): cell for cell in released["cells"] if _name(cell)}
    for student in students:
        book = json.loads(student.data)
        code = [cell for cell in book["cells"] if not _name(cell).startswith("course-header")]
        book["cells"] = [locked[_name(c)] if _is_grade(c) else c for c in code]
        folder = root / "submitted" / student.name / EXERCISE
        folder.mkdir(parents=True)
        (folder / f"{EXERCISE}.ipynb").write_text(json.dumps(book), encoding="utf-8")


def _trivial(book: dict[str, Any]) -> dict[str, Any]:
    cells = [{**cell, "source": TRIVIAL} if _is_grade(cell) else cell for cell in book["cells"]]
    return {**book, "cells": [{**cell, "source": "".join(cell["source"])} for cell in cells]}


def _is_grade(cell: dict[str, Any]) -> bool:
    return bool(cell["metadata"].get("nbgrader", {}).get("grade"))


def _name(cell: dict[str, Any]) -> str:
    return str(cell["metadata"].get("nbgrader", {}).get("grade_id", ""))


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _run(arguments: list[str], folder: Path, codes: tuple[int, ...] = (0,)) -> float:
    """Seconds that a command takes on one core."""
    core = min(os.sched_getaffinity(0))
    command = [
        sys.executable,
        "-c",
        f"import os; os.sched_setaffinity(0, {{{core}}}); os.execv({sys.executable!r}, {[sys.executable, *arguments]!r})",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    taken = time.perf_counter() - began
    if done.returncode not in codes:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return taken
