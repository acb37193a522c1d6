"""What a learner sees, by running the real thing: one text in `tests/golden/` for each kind of submission.

``python -m tests.golden.regenerate`` writes the texts anew. A submission is a file in `tests/golden/submissions/`; one that
begins with ``# on top of right.py`` changes some functions of that one, as the last definition of a name counts. Files
that git or an editor would change (line ends, encodings, names) are made here.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from grader.logic import diagnose
from grader.model.types import Exercise, Report
from grader.shell import screen
from grader.system.course import Course
from grader.system.host import Server
from grader.system.submission import read_submission
from grader.verbs.check import Grading
from grader.verbs.session import Session

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
SUBMISSIONS = GOLDEN / "submissions"
ON_TOP = "# on top of right.py"
WRITE = bool(os.environ.get("UPDATE_GOLDEN"))
QUICK = {"call_seconds": 1.0, "load_seconds": 1.0}


def source(name: str) -> str:
    """The text of a submission."""
    text = (SUBMISSIONS / f"{name}.py").read_text(encoding="utf-8")
    if not text.startswith(ON_TOP):
        return text
    return (SUBMISSIONS / "right.py").read_text(encoding="utf-8") + "\n" + text.removeprefix(ON_TOP)


def notebook(*cells: str) -> bytes:
    """A notebook with these code cells."""
    codes = [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None} for cell in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": codes}).encode()


def stub() -> str:
    """The stub as it is printed; found by the exercise's name, as its folder's number may change."""
    (folder,) = (ROOT / "exercises").glob("ex*_attention")
    return (folder / "attention.py").read_text(encoding="utf-8")


RIGHT = source("right")
FAILING_CELL = ["import numpy as np\nimport math", "softmax(np.arange(3))", RIGHT, "x = np.arange(3)\nsoftmax(x)[3]"]
MADE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "stub_untouched": ("attention.py", lambda: stub().encode()),
    "binary": ("attention.py", lambda: b"\x7fELF\x02\x01\x01\0\0\0" + bytes(range(256))),
    "not_utf8": ("attention.py", lambda: "import numpy as np\n\n# f\u00fcr alle\n".encode("latin-1")),
    "notebook_without_the_function": ("attention.ipynb", lambda: notebook("import numpy as np", "x = np.zeros(3)\nx")),
    "notebook_with_a_failing_cell": ("attention.ipynb", lambda: notebook(*FAILING_CELL)),
    "notebook_that_is_none": ("attention.ipynb", lambda: b'{"cells": ['),
    "spaces_and_umlauts_in_the_path": ("Übung 1/meine Lösung.py", lambda: source("exception_inside").encode()),
}
# Graded as if nothing were odd about them.
SAME_AS_RIGHT: dict[str, tuple[str, Callable[[], bytes]]] = {
    "line_ends_crlf": ("attention.py", lambda: RIGHT.replace("\n", "\r\n").encode()),
    "line_ends_cr": ("attention.py", lambda: RIGHT.replace("\n", "\r").encode()),
    "byte_order_mark": ("attention.py", lambda: b"\xef\xbb\xbf" + RIGHT.encode()),
    "spaces_and_umlauts": ("Übung 1/meine Lösung.py", lambda: RIGHT.encode()),
    "in_a_notebook": ("attention.ipynb", lambda: notebook(RIGHT)),
}
# Nothing is gained by waiting for what hangs.
HANGS = {"infinite_loop", "loop_at_import"}
IN_FILES = sorted(path.stem for path in SUBMISSIONS.glob("*.py"))


@dataclass
class Screen:
    """The open session, and a way to see what a learner would."""

    session: Session
    grading: Grading
    folder: Path

    def report(self, name: str, data: bytes, **limits: float) -> Report:
        """Hand in a file."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        with self.limited(**limits):
            report = self.session.grade(read_submission(path), name)
        return replace(report, seconds=0.1)

    @contextmanager
    def limited(self, **limits: float) -> Iterator[None]:
        """Other limits for a while."""
        usual: Exercise = self.session.exercise
        self.session.exercise = self.session.texts.exercise = replace(usual, limits=replace(usual.limits, **limits))
        try:
            yield
        finally:
            self.session.exercise = self.session.texts.exercise = usual

    def shown(self, report: Report, **how: bool) -> str:
        """The screen for a report."""
        exercise = self.session.exercise
        text = screen.verdict(report, exercise, colour=False, following=self.grading.following(report), **how)
        return text.replace(exercise.folder, f"exNN_{exercise.name}") + "\n"


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Callable[[Screen], None]], None]]:
    """One server; calls a function with the screen of an open session."""
    folder = tmp_path_factory.mktemp("golden")
    course = Course(ROOT)
    with Server() as server:
        grading = Grading(course, course.find("attention"), server, say=print)
        screens: list[Screen] = []

        def within(body: Callable[[Screen], None]) -> None:
            if screens:
                body(screens[0])
            else:
                grading.plan.run(server, lambda session: screens.append(Screen(session, grading, folder)) or body(screens[0]))

        yield within


def compare(name: str, text: str) -> None:
    """The text is what the golden file holds, which is written where that is wanted; and it keeps to the rules for all."""
    wide = [line for line in text.splitlines() if len(line) > screen.WIDTH]
    assert not wide, wide
    assert "!" not in text.replace("!=", ""), text
    assert "Traceback" not in text and "grader/" not in text, text
    path = GOLDEN / f"{name}.txt"
    if WRITE:
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; python -m tests.golden.regenerate {name}"
