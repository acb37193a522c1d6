"""A class of sixty notebooks three ways, one core each and start-up included: by nbgrader, by nbgrader with our plug-in, by `grader batch`.

For nbgrader's own side the same checks are written as ordinary tests, as an instructor would without this kit: each grade cell calls
the student's functions with the inputs that its checks ask with and compares with the right answers, which stand in a file beside the
notebook. A cell stops at its first failure, so nothing is named and nothing earned in part: less work than on our side.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.logic.marks import HIDDEN, PUBLIC, cell_id
from grader.logic.notebook import dump
from grader.model.types import Value
from grader.system.course import Course
from grader.system.host import Server
from grader.verbs.grading import Sources, make_plan
from grader.verbs.nbcourse import make_course
from grader.verbs.session import Session
from tests.instructors.classroom import EXERCISE, Classroom, Student, hand_in

ROOT = Path(__file__).resolve().parents[1]
COUNT = 60
RIGHT = 36  # of a class as classes are: three in five; each wrong answer is that of two students
BATCHES = 3
TESTS = """\
import pickle, numpy as np
for name, args, kwargs, expected in pickle.load(open("tests.pickle", "rb"))[{cell!r}]:
    if isinstance(expected, str):
        try:
            globals()[name](*args, **kwargs)
        except Exception as error:
            assert expected in [base.__name__ for base in type(error).__mro__]
        else:
            raise AssertionError(name)
    else:
        got = globals()[name](*args, **kwargs)
        for one, wanted in zip(got if isinstance(got, tuple) else [got], expected if isinstance(expected, tuple) else [expected]):
            if isinstance(wanted, np.ndarray):
                np.testing.assert_allclose(one, wanted, rtol=1e-5, atol=1e-6)"""
PLAIN = """
import os
c = get_config()
c.CourseDirectory.course_id = "plain"
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
"""


@dataclass(frozen=True)
class Class:
    """Seconds for the whole command, by who graded: once each, `grader batch` the median of several."""

    nbgrader: float
    plugin: float
    batch: float
    count: int

    @property
    def times(self) -> float:
        """How many times as fast as nbgrader the batch is."""
        return self.nbgrader / self.batch


def measure() -> tuple[Class, Class]:
    """A class as classes are, and one in which no two answers are alike; in folders that are gone afterwards."""
    right, wrong = _answers()
    usual = [right[number % len(right)] for number in range(RIGHT)]
    usual += [wrong[number % ((COUNT - RIGHT) // 2)] for number in range(COUNT - RIGHT)]
    return _measured(usual), _measured([*right, *wrong][:COUNT])


def _answers() -> tuple[list[Student], list[Student]]:
    """Right answers in all their forms, and wrong ones."""
    with tempfile.TemporaryDirectory() as folder:
        release = _released(Path(folder, "course"))
        classroom = Classroom(Course(ROOT), Course(ROOT).find(EXERCISE), release)
        students = [one for one in classroom.students() if not one.same_as]
    return tuple([one for one in students if one.kind == kind] for kind in ("right", "wrong"))  # type: ignore[return-value]


def _released(root: Path) -> dict[str, Any]:
    make_course(Course(ROOT), root, [Course(ROOT).find(EXERCISE)], say=lambda text: None)
    _run(["-m", "nbgrader", "generate_assignment", EXERCISE], root)
    return _read(root / "release" / EXERCISE / f"{EXERCISE}.ipynb")


def _measured(answers: list[Student]) -> Class:
    with tempfile.TemporaryDirectory() as folder:
        ours, plain, graded = Path(folder, "ours"), Path(folder, "plain"), Path(folder, "graded")
        _released(ours)
        students = [one.called(f"student{number:02}") for number, one in enumerate(answers)]
        hand_in(students, ours)
        _make_plain(plain, ours, students)
        gradebook, fresh = ours / "gradebook.db", Path(folder, "fresh.db")
        shutil.copy(gradebook, fresh)
        command = ["-m", "grader", "batch", str(ours), EXERCISE, "--workers", "1", "--out", str(graded)]

        def batch() -> float:
            shutil.rmtree(graded, ignore_errors=True)
            shutil.copy(fresh, gradebook)
            return _run([*command, "--gradebook", f"sqlite:///{gradebook}"], ROOT, codes=(0, 1))

        batch()  # compiles what is imported, and records what wrong ideas answer
        before = [batch() for _ in range(BATCHES)]
        nbgrader = _run(["-m", "nbgrader", "autograde", EXERCISE], plain)
        after = [batch() for _ in range(BATCHES)]
        plugin = _run(["-m", "nbgrader", "autograde", EXERCISE], ours)
        return Class(nbgrader, plugin, statistics.median([*before, *after]), len(students))


def _make_plain(root: Path, ours: Path, students: list[Student]) -> None:
    """The same assignment and submissions for nbgrader alone."""
    (root / "source" / EXERCISE).mkdir(parents=True)
    (root / "nbgrader_config.py").write_text(PLAIN, encoding="utf-8")
    source = _read(ours / "source" / EXERCISE / f"{EXERCISE}.ipynb")
    (root / "source" / EXERCISE / f"{EXERCISE}.ipynb").write_text(dump(_with_tests(source)), encoding="utf-8")
    (root / "source" / EXERCISE / "tests.pickle").write_bytes(pickle.dumps(_tests()))
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


def _tests() -> dict[str, list[tuple[str, tuple, dict, Any]]]:
    """The calls of each grade cell's checks with the right answers; the name of the exception where one is asked for."""
    sources = Sources(Course(ROOT), Course(ROOT).find(EXERCISE))
    live = sources.live()

    def calls(session: Session) -> dict[str, list[tuple[str, tuple, dict, Any]]]:
        found: dict[str, list[tuple[str, tuple, dict, Any]]] = {}
        for check in session.checks:
            cell = cell_id(EXERCISE, check.step, HIDDEN if check.hidden else PUBLIC)
            run = session.run_check(check, live.solution())
            for call, outcome in zip(run.calls, run.outcomes, strict=True):
                expected = outcome.value if isinstance(outcome, Value) else getattr(outcome, "type", "")
                found.setdefault(cell, []).append((call.name, call.args, call.kwargs, expected))
        return found

    with Server() as server:
        return make_plan(Course(ROOT), sources.exercise).run(server, calls)


def _with_tests(book: dict[str, Any]) -> dict[str, Any]:
    cells = [{**cell, "source": TESTS.format(cell=_name(cell))} if _is_grade(cell) else cell for cell in book["cells"]]
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
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as it is for those who use either
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    taken = time.perf_counter() - began
    if done.returncode not in codes:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return taken
