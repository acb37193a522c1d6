"""What a learner sees, by running the real thing: one text in `tests/golden/` for each kind of submission.

``python -m tests.golden.regenerate`` writes the texts anew. A submission is a file in `tests/golden/submissions/`;
one that begins with ``# on top of right.py`` changes some functions of that one, as the last definition of a name
counts. Files that git or an editor would change (line ends, encodings, names) are made here.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from grader.logic import diagnose
from grader.logic.asserting import StudentFailure
from grader.logic.judge import compare as compare_answers
from grader.logic.wire import Handle
from grader.logic.words import Texts
from grader.model.types import Call, Cell, Died, Raised, Report, Submission
from grader.shell import screen
from grader.system.course import Course
from grader.system.host import Loaded, Server
from grader.system.submission import read_submission
from grader.system.tape import read_tape
from grader.verbs.check import Grading
from grader.verbs.grading import Sources, Taped, parameters_of, record_tape
from grader.verbs.session import Session

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
SUBMISSIONS = GOLDEN / "submissions"
ON_TOP = "# on top of right.py"
WRITE = bool(os.environ.get("UPDATE_GOLDEN"))


def source(name: str) -> str:
    """The text of a submission."""
    text = (SUBMISSIONS / f"{name}.py").read_text(encoding="utf-8")
    if not text.startswith(ON_TOP):
        return text
    return (SUBMISSIONS / "right.py").read_text(encoding="utf-8") + "\n" + text.removeprefix(ON_TOP)


def notebook(*cells: str) -> bytes:
    """A notebook with these code cells."""
    codes = [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells]
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
NAMES = [path.stem for path in SUBMISSIONS.glob("*.py")]
IN_FILES = {name: ("attention.py", lambda name=name: source(name).encode()) for name in NAMES}
GOLDENS = sorted(IN_FILES | MADE)
PAIR_SECONDS = {"two_ideas": 30.0}
QUICK = {"call_seconds": 1.0, "load_seconds": 1.0}
HANGS = {"infinite_loop": QUICK, "loop_at_import": QUICK}  # nothing is gained by waiting for them


@dataclass
class Seen:
    """A report, and the screens that a learner gets of it."""

    report: Report
    screen: str
    everything: str


class Reports:
    """Every submission that the chosen tests need, graded in one session."""

    def __init__(self, folder: Path, grading: Grading) -> None:
        self.folder = folder
        self.grading = grading
        self.seen: dict[str, Seen] = {}

    def grade_all(self, session: Session, wanted: dict[str, tuple[str, Callable[[], bytes]]]) -> None:
        """Hand them in one after the other. Pairs of ideas are looked for as long as it takes, or not at all."""
        usual = session.exercise
        for name, (file, content) in wanted.items():
            path = self.folder / name / file
            path.parent.mkdir(parents=True)
            path.write_bytes(content())
            exercise = replace(usual, limits=replace(usual.limits, **HANGS.get(name, {})))
            session.exercise = session.texts.exercise = exercise
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(diagnose, "PAIR_SECONDS", PAIR_SECONDS.get(name, 0.0))
                report = replace(session.grade(read_submission(path), file), seconds=0.1)
            self.seen[name] = Seen(report, self.shown(report), self.shown(report, everything=True))
        session.exercise = session.texts.exercise = usual

    def shown(self, report: Report, **how: bool) -> str:
        """The screen for a report."""
        exercise = self.grading.exercise
        text = screen.verdict(report, exercise, colour=False, following=self.grading.following(report), **how)
        return text.replace(exercise.folder, f"exNN_{exercise.name}") + "\n"


@pytest.fixture(scope="module")
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """What was seen of each submission that the chosen tests ask for."""
    chosen = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    everything = IN_FILES | MADE | SAME_AS_RIGHT
    wanted = {name: everything[name] for name in sorted(everything) if name in chosen}
    course = Course(ROOT)
    with Server() as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        grading = Grading(course, course.find("attention"), server, say=print)
        folder = tmp_path_factory.mktemp("golden")
        if not isinstance(grading.plan.oracle, Taped):  # what every variant answers is computed once for all
            sources = Sources(course, grading.exercise)
            (folder / "tape").write_bytes(record_tape(sources, "all", server))
            grading.plan.oracle = Taped(read_tape(folder / "tape"), sources.live, "numpy")
        reports = Reports(folder, grading)
        grading.plan.run(server, lambda session: reports.grade_all(session, wanted))
    return reports.seen


@pytest.fixture(scope="module")
def texts() -> Texts:
    """The words for verdicts on the exercise."""
    return Texts(Course(ROOT).find("attention"), stub(), {}, parameters_of(stub()))


def compare(name: str, text: str) -> None:
    """The text is what the golden file holds, which is written first where that is wanted."""
    path = GOLDEN / f"{name}.txt"
    if WRITE:
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; python -m tests.golden.regenerate {name}"


def keeps_the_rules(text: str) -> None:
    """At most 80 columns, no stack trace of ours, nobody is shouted at."""
    assert [line for line in text.splitlines() if len(line) > screen.WIDTH] == []
    assert "Traceback" not in text and "grader/" not in text
    assert "!" not in text.replace("!=", "")


@pytest.mark.parametrize("name", GOLDENS)
def test_the_learner_sees_the_golden_text(seen, name):
    keeps_the_rules(seen[name].screen)
    keeps_the_rules(seen[name].everything)
    compare(name, seen[name].screen)


@pytest.mark.parametrize("name", SAME_AS_RIGHT)
def test_what_is_odd_about_a_file_only_changes_nothing(seen, name):
    expected = (GOLDEN / "right.txt").read_text(encoding="utf-8")

    assert seen[name].report.status == "passed"
    assert seen[name].screen == expected


@pytest.mark.parametrize("golden", ["no_such_file", "a_folder"])
def test_the_command_line_says_what_is_wrong_with_a_path(golden, tmp_path):
    (tmp_path / "handed in").mkdir()
    path = {"no_such_file": "atention.py", "a_folder": "handed in"}[golden]
    words = [sys.executable, "-m", "grader", "check", "attention", "--submission", path, "--no-color"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}

    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, encoding="utf-8", env=environment)

    assert (ran.returncode, ran.stdout) == (2, "")
    keeps_the_rules(ran.stderr)
    compare(golden, ran.stderr)


def test_no_golden_is_left_over():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {*GOLDENS, "no_such_file", "a_folder"}


@pytest.mark.parametrize("name", ["infinite_loop", "kill_nine", "os_exit"])
def test_one_function_that_dies_costs_the_others_nothing(seen, name):
    passed = {check.step for check in seen[name].report.checks if check.outcome == "passed"}

    assert {"softmax", "weights", "masks", "why"} <= passed
    assert "Not run" not in seen[name].everything


def said(message: str) -> str:
    """A message without what is no secret: shapes, axes, dtypes, signatures, ideas, limits, the learner's own lines."""
    lines = [line for line in message.splitlines() if not line.startswith((" " * 13, "looks like", "and "))]
    return re.sub(NO_SECRET, "", "\n".join(lines))


NO_SECRET = r"""(?x) \( (?:\d+,\ ?)+ \d* \) | (?:float|int)\d+ | (?:line|cell|result)\ \d+ (?:\ of\ \d)? | axis\ -\d
    | def\ .* | 1024\ MB | 1\ second | d_k"""


@pytest.mark.parametrize("name", GOLDENS)
def test_a_message_on_a_hidden_check_holds_no_number(seen, name):
    hidden = [check for check in seen[name].report.checks if check.hidden and check.outcome != "passed"]

    assert [said(check.message) for check in hidden if re.search(r"\d", said(check.message))] == []


SECRET = "0.4711"
RAISED = Raised("ValueError", ("ValueError", "Exception"), SECRET, (("attention.py", 3, "softmax"),))
TOLD = [
    RAISED,
    replace(RAISED, type=SECRET, bases=(SECRET, "Exception")),
    replace(RAISED, frames=((SECRET, 4711, SECRET),)),
    replace(RAISED, frames=(("attention.py", 4, SECRET), ("attention.py", 4711, "<listcomp>"))),
    replace(RAISED, forbidden=SECRET),
    replace(RAISED, type="NotImplementedError", bases=(), frames=(("attention.py", 3, SECRET),)),
    replace(RAISED, type="TypeError", bases=(), message=f"argument {SECRET}", frames=()),
    Died("killed", SECRET),
    Died("garbled", SECRET),
    Died("exited", SECRET),
]


@pytest.mark.parametrize("outcome", TOLD)
def test_what_a_worker_tells_of_a_hidden_check_says_no_number(texts, outcome):
    call = Call("softmax", (np.full((2, 3), 0.4711), 4711), {"axis": [4711], "scale": np.float32(0.4711)})
    submission = Submission("attention.py", (Cell("import numpy as np\n\ndef softmax(x):\n    return x\n"),))

    said = texts.failure(StudentFailure(call, outcome), True, Loaded(["softmax"]), [], submission)

    assert "4711" not in said


@pytest.mark.parametrize(
    "got",
    [
        np.full((2, 3), 0.4711),
        np.zeros((4711, 3)),
        np.zeros((2, 3, 4711)),
        [0.4711] * 4711,
        {4711: 0.4711},
        "0.4711",
        4711,
        Handle(1, "Type4711"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("expected", [np.ones((2, 3)), 1.0, (np.ones(2), np.ones(3)), {"a": 1.0, "b": 2.0}, "text"])
def test_a_wrong_answer_to_a_hidden_check_is_not_repeated(texts, got, expected):
    finding = compare_answers(got, expected, {"float64": 1e-9})
    finding.call = Call("softmax", (np.ones((2, 3)),))

    assert "4711" not in texts.mismatch(finding, True, [])
    assert texts.mismatch(finding, True, [])
