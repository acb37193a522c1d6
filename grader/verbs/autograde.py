"""Grading for nbgrader: one submission at a time, in the course that holds the checks, with a record of every verdict."""

from __future__ import annotations

import contextlib
import glob
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grader.logic.feedback import Graded
from grader.logic.rebuild import pieces_of
from grader.logic.table import json_lines, read_json_lines
from grader.logic.words import Idea
from grader.model.errors import UsageError
from grader.model.types import Exercise, Report, Scope, Submission
from grader.system.course import Course, write_atomically
from grader.system.host import Server
from grader.system.launch import packages_for
from grader.system.submission import MAX_BYTES
from grader.verbs.grading import Plan, Sources, make_plan, refresh_cache

RECORDS = "records"
# What a notebook in nbgrader's folder ``autograded`` carries once it was graded to the end.
STAMP = "graded"


class Autograder:
    """The exercises of one course, graded in this process as often as asked; submissions run in the worker."""

    def __init__(self, course: Course) -> None:
        self.course = course
        self._servers: dict[tuple[str, ...], Server] = {}
        self._plans: dict[tuple[str, Scope], tuple[str, Plan]] = {}

    def exercise(self, unit: str) -> Exercise:
        """The exercise of that name; UsageError where there is none."""
        return self.course.find(unit)

    def plan(self, exercise: Exercise, scope: Scope = "all") -> Plan:
        """How it is graded; what wrong ideas answer is recorded first where that was not done yet.

        A server that runs for weeks, as that of formgrader and of the Validate button does, sees that checks were mended.
        """
        key = (exercise.name, scope)
        made_from = self._made_from(exercise)
        if key not in self._plans or self._plans[key][0] != made_from:
            if scope == "all" and not self.course.has_solution(exercise):
                raise UsageError(
                    f"{self.course.root} has no hidden checks of {exercise.name}.",
                    "Grade from a clone that holds solutions/, not from a student kit.",
                )
            if self.course.has_solution(exercise):
                refresh_cache(self.course, exercise, self.server(exercise))
            self._plans[key] = made_from, make_plan(self.course, exercise, scope=scope)
        return self._plans[key][1]

    def _made_from(self, exercise: Exercise) -> str:
        """A mark of everything that a plan is made from."""
        if self.course.has_solution(exercise):
            return Sources(self.course, exercise).fingerprint("all")
        tape = self.course.tape_file(exercise)
        return str(tape.stat().st_mtime_ns) if tape.is_file() else ""

    def server(self, exercise: Exercise) -> Server:
        """The warm process in which submissions run."""
        packages = packages_for(exercise.framework)
        if packages not in self._servers:
            self._servers[packages] = Server(packages).start()
        return self._servers[packages]

    def grade(self, exercise: Exercise, submission: Submission, scope: Scope = "all") -> Report:
        """The report on one submission."""
        plan = self.plan(exercise, scope)
        return plan.run(self.server(exercise), lambda session: session.grade(submission))

    def ideas(self, exercise: Exercise, scope: Scope = "all") -> Mapping[str, Idea]:
        """What is said of each wrong idea, by name."""
        return self.plan(exercise, scope).texts.ideas

    def close(self) -> None:
        """Let the workers go."""
        while self._servers:
            self._servers.popitem()[1].close()


@dataclass(frozen=True)
class Records:
    """What was found in every submission, kept beside the course's other folders: instructors read it, students never.

    nbgrader copies nothing from there, so a record may hold what feedback leaves out.
    """

    root: Path

    def path(self, unit: str, student: str, notebook: str) -> Path:
        """Where the record of one student's notebook lies."""
        return self.root / RECORDS / unit / student / f"{notebook}.json"

    def write(self, unit: str, notebook: str, graded: Graded) -> None:
        """Keep what came of a submission, readable by its owner and group only."""
        path = self.path(unit, graded.entry.student, notebook)
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            (self.root / RECORDS).chmod(0o770)
        write_atomically(path, json_lines([graded.entry]) + json.dumps(graded.marks) + "\n")

    def read(self, unit: str, student: str, notebook: str) -> Graded | None:
        """What was kept last, or None where there is nothing that can be read."""
        try:
            entry, marks = self.path(unit, student, notebook).read_text(encoding="utf-8").splitlines()
            found = {str(name): float(mark) for name, mark in json.loads(marks).items()}
            return Graded(read_json_lines(f"{entry}\n")[0], found)
        except (OSError, ValueError, TypeError, AttributeError, IndexError):
            return None


def resembling(folder: Path, unit: str, name: str = "*.ipynb") -> list[Path]:
    """The notebooks in a folder that were made from an assignment's, by the names of their cells and what they call."""
    found = []
    for path in sorted(folder.glob(glob.escape(name) if name != "*.ipynb" else name)):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            if not path.is_symlink() and path.stat().st_size <= MAX_BYTES:
                pieces = pieces_of(json.loads(path.read_text("utf-8-sig")))
                called = f'check("{unit}"'
                if any(piece.claim.startswith(f"{unit}-") or called in piece.source for piece in pieces):
                    found.append(path)
    return found
