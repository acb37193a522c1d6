"""Many submissions in one go: the same reports as one by one, in order, and one broken file harms nobody.

A class that was stopped goes on; what is done is not done again; nothing is written over, and marks go in once.
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from grader.logic.marks import grade_cells
from grader.logic.variants import apply
from grader.model.errors import CannotMark, UsageError
from grader.model.types import Cell, KnownCell, Limits, Submission
from grader.system.course import Course
from grader.system.gradebook import Gradebook, Lateness
from grader.system.host import Server
from grader.system.submission import parse_submission
from grader.verbs import batch
from grader.verbs.batch import grade_many
from grader.verbs.grading import Plan, Sources, refresh_cache, texts_from
from grader.verbs.session import Session

TOY = Path(__file__).resolve().parents[1] / "toy_course"
SOURCES = Sources(Course(TOY), Course(TOY).find("counter"))
SOLUTION = SOURCES.solution


def plan():
    exercise = replace(SOURCES.exercise, limits=Limits(call_seconds=0.5, load_seconds=1))
    header = SOURCES.header(7, "all")
    files = [SOURCES.folder / "test_public.py", SOURCES.folder / "test_hidden.py"]
    return Plan(exercise, files, SOURCES.live(), texts_from(exercise, header), header, 7, "all")


def variants():
    return [
        Submission(f"{number}_{variant.name}.py", (Cell(apply(SOLUTION, variant)),))
        for number, variant in enumerate(SOURCES.variants)
    ]


def rubbish_files():
    """Files that cannot be graded, or that do harm while they are."""
    return {
        "empty.py": b"",
        "binary.py": b"\x7fELF\0",
        "latin.py": "ü".encode("latin-1"),
        "syntax.py": b"def f(:",
        "notebook.ipynb": b"{}",
        "hangs.py": b"while True: pass",
        "hog.py": b"x = [0] * 10 ** 10",
        "recursion.py": b"def f(): return f()\nf()",
        "names.py": ("\n".join(f"x{i} = 1" for i in range(3000))).encode(),
        "deep.py": b"x = " + b"(" * 5000 + b")" * 5000,
        "exit.py": SOLUTION.encode() + b"\nraise SystemExit(0)\n",
        "huge_answer.py": SOLUTION.replace("return counts / max(total, 1)", "return 10 ** 400").encode(),
        "strange_answer.py": SOLUTION.replace("return counts / max(total, 1)", "return {(): [shares, {}]}").encode(),
        "loud.py": SOLUTION.encode() + b"\nfor i in range(10 ** 5): print('x' * 100)\n",
    }


def rubbish():
    """The same as submissions."""
    return [parse_submission(name, data) for name, data in rubbish_files().items()]


def without_time(reports):
    return [replace(report, seconds=0) for report in reports]


@pytest.fixture(scope="module")
def one_by_one():
    """Each submission with a server and a session of its own."""
    reports = {}
    for submission in [*variants(), *rubbish()]:
        with Server() as server:
            reports[submission.name] = plan().run(server, lambda session, it=submission: session.grade(it))
    return reports


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_reports_are_those_of_one_by_one_and_in_order(one_by_one, workers):
    submissions = variants()

    reports = grade_many(plan(), submissions, workers)

    assert [report.submission for report in reports] == [submission.name for submission in submissions]
    assert without_time(reports) == without_time(one_by_one[submission.name] for submission in submissions)
    assert len({str(report.checks) for report in reports}) > 5


@pytest.mark.parametrize("workers", [1, 2])
def test_rubbish_between_them_harms_nobody(one_by_one, workers):
    mixed = [item for pair in zip(rubbish(), variants() * 2, strict=False) for item in pair]

    reports = grade_many(plan(), mixed, workers)

    assert without_time(reports) == without_time(one_by_one[submission.name] for submission in mixed)
    assert {report.status for report in reports} == {"passed", "failed", "broken"}


def test_where_there_is_no_fork_one_process_does_it_all(one_by_one, monkeypatch):
    submissions = variants()[:4]
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    monkeypatch.setattr(batch, "Server", lambda: Server(fork=False))

    reports = grade_many(plan(), submissions, 4)

    expected = [
        replace(one_by_one[submission.name], seconds=0, layers=report.layers)
        for submission, report in zip(submissions, reports, strict=True)
    ]
    assert without_time(reports) == expected


def test_no_submissions_give_no_reports():
    assert grade_many(plan(), []) == []


def test_the_process_that_asks_keeps_its_cores(one_by_one):
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("there is no such thing here")
    before = os.sched_getaffinity(0)

    grade_many(plan(), variants()[:3], 2)

    assert os.sched_getaffinity(0) == before


def test_a_process_that_ends_is_replaced_and_its_submission_tried_once_more(one_by_one, monkeypatch):
    deadly = Submission("deadly.py", (Cell("# deadly\n" + SOLUTION),))
    grade = Session.grade

    def dies(self, submission, *more, **options):
        return os._exit(3) if submission is deadly else grade(self, submission, *more, **options)

    monkeypatch.setattr(Session, "grade", dies)
    submissions = [*variants()[:2], deadly, *variants()[2:4]]

    reports = grade_many(plan(), submissions, 2)

    assert reports.pop(2).message == batch.failed("the process that graded it ended, exit code 3")
    assert without_time(reports) == without_time(one_by_one[item.name] for item in variants()[:4])


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_graders_own_is_one_submissions_and_no_verdict(one_by_one, monkeypatch, workers):
    grade = Session.grade
    unlucky = variants()[1].name

    def stumbles(self, submission, *more, **options):
        return 1 / 0 if submission.name == unlucky else grade(self, submission, *more, **options)

    monkeypatch.setattr(Session, "grade", stumbles)

    reports = grade_many(plan(), variants()[:4], workers)

    assert (reports[1].status, reports[1].score) == ("broken", 0)
    assert "The grader failed over this file (ZeroDivisionError: division by zero)" in reports.pop(1).message
    others = [submission for submission in variants()[:4] if submission.name != unlucky]
    assert without_time(reports) == without_time(one_by_one[submission.name] for submission in others)


# ---------------------------------------------------------------- a class


@dataclass
class Class:
    """A course and what a class handed in, with a short way to grade it."""

    course: Course
    folder: Path
    said: list[str] = field(default_factory=list)

    def hand_in(self, student, text, name="counter.py"):
        path = self.folder / "submitted" / student / "counter" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def grade(self, out, **options):
        self.said.clear()
        return batch.batch(self.course, self.folder, out, say=self.said.append, **options)


def tables(out):
    """The two tables as they lie there."""
    return (out / batch.CSV).read_bytes(), (out / batch.LINES).read_bytes()


def rows(out):
    """The table for a spreadsheet, by student."""
    return {row["student"]: row for row in csv.DictReader(io.StringIO((out / batch.CSV).read_text("utf-8")))}


def hand_in_variants(handed):
    """A class of variants, the solution among them, and the stub."""
    handed.hand_in("solution", SOLUTION)
    for variant in SOURCES.variants:
        handed.hand_in(variant.name, apply(SOLUTION, variant))
    handed.hand_in("stub", SOURCES.stub)


def hand_in_rubbish(handed):
    """What cannot be graded, or does harm while it is."""
    for number, (name, data) in enumerate(rubbish_files().items()):
        handed.hand_in(f"rubbish{number:02}", data, name)


@pytest.fixture(scope="module")
def recorded_toy(printed_toy, tmp_path_factory):
    """The toy course with its cache recorded."""
    root = Path(shutil.copytree(printed_toy, tmp_path_factory.mktemp("recorded") / "course"))
    description = root / "solutions/ex01_counter/exercise.toml"
    text = description.read_text(encoding="utf-8").replace("call_seconds = 2.0", "call_seconds = 1.0")
    description.write_text(text.replace("load_seconds = 4.0", "load_seconds = 2.0"), encoding="utf-8")
    with Server() as server:
        refresh_cache(Course(root), Course(root).find("counter"), server)
    return Course(root)


@pytest.fixture
def handed(recorded_toy, tmp_path):
    return Class(recorded_toy, tmp_path / "handed in")


def count_gradings(monkeypatch):
    """The names of what is graded from now on, as it is graded."""
    graded, grade = [], Session.grade

    def counted(self, submission, *more, **options):
        graded.append(submission.source)
        return grade(self, submission, *more, **options)

    monkeypatch.setattr(Session, "grade", counted)
    return graded


def test_one_and_two_workers_write_the_same_tables(handed, tmp_path):
    hand_in_variants(handed)
    hand_in_rubbish(handed)

    codes = [handed.grade(tmp_path / f"with{workers}", workers=workers) for workers in (1, 2)]

    assert codes == [1, 1]
    assert tables(tmp_path / "with1") == tables(tmp_path / "with2")
    table = rows(tmp_path / "with1")
    assert {table[name]["status"] for name in table} == {"passed", "failed", "not_started", "broken"}
    assert table["solution"]["score"] == table["loop_form"]["score"] == "9"
    wrong = [variant.name for variant in SOURCES.variants if variant.kind == "wrong"]
    assert [table[name]["looks_like"] for name in wrong] == wrong
    assert (tmp_path / "with1" / batch.PAGE).read_text("utf-8").startswith("<!doctype html>")


def test_exit_code_zero_where_each_has_a_verdict(handed, tmp_path):
    handed.hand_in("ada", SOLUTION)
    handed.hand_in("bob", apply(SOLUTION, SOURCES.variants[0]))

    code = handed.grade(tmp_path / "out", workers=1)

    assert code == 0
    assert "  counter: 1 passed, 1 failed" in handed.said


def test_a_second_run_grades_only_what_is_new_or_has_changed(handed, tmp_path, monkeypatch):
    out = tmp_path / "out"
    hand_in_variants(handed)
    handed.grade(out, workers=1)
    graded = count_gradings(monkeypatch)

    handed.grade(out, workers=1)
    again = list(graded)
    handed.hand_in("solution", SOLUTION + "\n# a second thought\n")
    handed.hand_in("zoe", SOLUTION)
    handed.grade(out, workers=1)

    assert again == []
    assert graded == [SOLUTION + "\n# a second thought\n", SOLUTION]
    assert f"2 graded now, {len(SOURCES.variants) + 1} were graded before" in handed.said[0]
    handed.grade(tmp_path / "afresh", workers=1)
    assert tables(out) == tables(tmp_path / "afresh")


def test_other_checks_another_seed_or_another_name_are_graded_anew(handed, tmp_path, monkeypatch):
    handed.course = Course(Path(shutil.copytree(handed.course.root, tmp_path / "course")))
    handed.hand_in("ada", SOLUTION)
    handed.grade(tmp_path / "out", workers=1)
    graded = count_gradings(monkeypatch)
    counts = []

    handed.grade(tmp_path / "out", workers=1, seed=8)
    counts.append(len(graded))
    hidden = handed.course.solutions / "ex01_counter/test_hidden.py"
    hidden.write_text(hidden.read_text("utf-8") + "\n# mended\n", encoding="utf-8")
    handed.grade(tmp_path / "out", workers=1)
    counts.append(len(graded))
    (handed.folder / "submitted/ada/counter/counter.py").rename(handed.folder / "submitted/ada/counter/counter (1).py")
    handed.grade(tmp_path / "out", workers=1)
    counts.append(len(graded))

    assert counts == [1, 2, 3]
    assert "counter (1).py" in rows(tmp_path / "out")["ada"]["file"]


def test_a_failure_of_the_graders_own_is_not_kept_as_done(handed, tmp_path, monkeypatch):
    handed.hand_in("ada", SOLUTION)
    handed.hand_in("bob", SOLUTION + "\n# bob\n")
    grade = Session.grade

    def stumbles(self, submission, *more, **options):
        return 1 / 0 if "bob" in submission.source else grade(self, submission, *more, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Session, "grade", stumbles)
        first = handed.grade(tmp_path / "out", workers=1)
        said = "\n".join(handed.said)
    status = rows(tmp_path / "out")["bob"]["status"]
    second = handed.grade(tmp_path / "out", workers=1)

    assert (first, status, second) == (1, "broken", 0)
    assert "bob, counter: ZeroDivisionError: division by zero" in said
    assert handed.said[0].endswith("1 graded now, 1 were graded before.")
    assert rows(tmp_path / "out")["bob"]["status"] == "passed"


# ---------------------------------------------------------------- stopped

PROGRAM = """
import sys
from pathlib import Path
from grader.system.course import Course
from grader.system.gradebook import Gradebook, Lateness
from grader.verbs.batch import batch

def progress(done, total, seconds_left):
    print(done, flush=True)

code = batch(
    Course(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]), workers=int(sys.argv[4]), progress=progress,
    say=lambda text: print(text, flush=True),
)
raise SystemExit(code)
"""


def started(handed, out, workers):
    """A process that grades the class and says so after each verdict."""
    words = [sys.executable, "-c", PROGRAM, str(handed.course.root), str(handed.folder), str(out), str(workers)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)


def kept(out):
    """Whose verdicts are in the ledger, with the text of each."""
    connection = sqlite3.connect(out / batch.LEDGER)
    found = dict(connection.execute("SELECT student, report FROM verdicts").fetchall())
    connection.close()
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="signals there are others")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_tables(handed, tmp_path, monkeypatch, workers):
    hand_in_variants(handed)
    out = tmp_path / "out"
    process = started(handed, out, workers)
    while process.stdout.readline().strip() != "5":
        assert process.poll() is None
    process.kill()
    process.wait()
    process.stdout.close()
    before = kept(out)
    graded = count_gradings(monkeypatch)

    code = handed.grade(out, workers=1)

    assert code == 0
    assert 5 <= len(before) < len(rows(out)) == len(SOURCES.variants) + 2
    assert len(graded) == len(rows(out)) - len(before)
    assert {student: kept(out)[student] for student in before} == before
    handed.grade(tmp_path / "afresh", workers=1)
    assert tables(out) == tables(tmp_path / "afresh")


@pytest.mark.skipif(sys.platform == "win32", reason="signals there are others")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_writes_the_tables_of_what_is_done_and_says_how_to_go_on(handed, tmp_path, workers):
    hand_in_variants(handed)
    out = tmp_path / "out"
    process = started(handed, out, workers)
    while process.stdout.readline().strip() != "4":
        assert process.poll() is None

    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to all of them
    rest, _ = process.communicate()

    assert process.returncode == 130
    done = rows(out)
    assert 4 <= len(done) < len(SOURCES.variants) + 2
    assert done.keys() == kept(out).keys()
    assert f"Stopped: {len(done)} of {len(SOURCES.variants) + 2} are done and in the tables" in rest
    assert "The same command goes on from here." in rest
    assert handed.grade(out, workers=1) == 0
    assert f"{len(done)} were graded before" in handed.said[0]


def test_two_runs_at_once_do_not_write_to_the_same_folder(handed, tmp_path):
    handed.hand_in("ada", SOLUTION)
    refused = []

    def progress(done, total, seconds_left):
        with pytest.raises(UsageError, match="Another process is writing to") as caught:
            handed.grade(tmp_path / "out", workers=1)
        refused.append(caught.value)

    code = handed.grade(tmp_path / "out", workers=1, progress=progress)

    assert (code, len(refused)) == (0, 1)


# ---------------------------------------------------------------- what is written, and said


def test_a_table_that_somebody_edited_is_kept_beside(handed, tmp_path):
    out = tmp_path / "out"
    handed.hand_in("ada", SOLUTION)
    handed.grade(out, workers=1)
    handed.hand_in("bob", SOLUTION)
    handed.grade(out, workers=1)
    quiet = list(handed.said)
    (out / batch.CSV).write_text("my own notes", encoding="utf-8")

    handed.grade(out, workers=1)

    assert not any("Kept" in text for text in quiet)
    backup = next(out.glob("marks.csv.bak-*"))
    assert backup.read_text("utf-8") == "my own notes"
    assert f"Kept {batch.CSV} as {backup.name}: it is not as it was written here." in handed.said
    assert rows(out).keys() == {"ada", "bob"}


def test_a_ledger_that_is_none_is_kept_beside_and_everything_graded_anew(handed, tmp_path):
    out = tmp_path / "out"
    handed.hand_in("ada", SOLUTION)
    out.mkdir()
    (out / batch.LEDGER).write_text("no database, by no means", encoding="utf-8")

    code = handed.grade(out, workers=1)

    assert code == 0
    assert next(out.glob(f"{batch.LEDGER}.bak-*")).read_text("utf-8") == "no database, by no means"
    assert "everything is graded anew" in handed.said[0]


def test_names_that_a_terminal_would_obey_are_shown_as_text(handed, tmp_path):
    handed.hand_in("ada\x1b[2J\nbob", b"def shares(:")

    code = handed.grade(tmp_path / "out", workers=1)

    said = "".join(handed.said)
    assert code == 1
    assert "Broken:" in handed.said
    assert "ada" in said and "is not valid Python" in said
    assert all(char.isprintable() for char in said)


def test_two_candidates_are_a_question_and_no_choice_and_get_no_marks(handed, book, tmp_path):
    handed.hand_in("ada", SOLUTION, "counter (1).py")
    handed.hand_in("ada", apply(SOLUTION, SOURCES.variants[0]), "counter (2).py")
    handed.hand_in("bob", SOLUTION)

    asked = handed.grade(tmp_path / "out", workers=1, gradebook=book)
    said, entered = "\n".join(handed.said), list(book.entered)
    take = {("ada", "counter"): "submitted/ada/counter/counter (1).py"}
    settled = handed.grade(tmp_path / "out", workers=1, gradebook=book, take=take)

    remembered = handed.grade(tmp_path / "out", workers=1, gradebook=book)

    assert (asked, settled, remembered) == (1, 0, 0)
    assert "Questions:" in said and "--take" in said
    assert (entered, book.entered) == (["bob"], ["bob", "ada"])
    assert rows(tmp_path / "out")["ada"]["status"] == "passed"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "0 processes grade nothing"),
        ({"workers": -3}, "-3 processes grade nothing"),
        ({"workers": 2, "cluster": "tcp://127.0.0.1:1"}, "--workers is for this machine"),
        ({"take": {("nobody", "counter"): "x.py"}}, "nobody"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_written(handed, tmp_path, options, said):
    handed.hand_in("ada", SOLUTION)

    with pytest.raises(UsageError, match=said):
        handed.grade(tmp_path / "out", **options)

    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there_and_a_file_to_write_to_are_wrong_usage(handed, tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="There is no "):
        handed.grade(tmp_path / "out")
    handed.hand_in("ada", SOLUTION)
    with pytest.raises(UsageError, match="is a file"):
        handed.grade(tmp_path / "file")

    assert (tmp_path / "file").read_text("utf-8") == "x"


def test_without_solutions_the_tape_grades(handed, tmp_path):
    handed.course = Course(Path(shutil.copytree(handed.course.root, tmp_path / "kit")))
    shutil.rmtree(handed.course.solutions)
    handed.hand_in("ada", SOLUTION)
    handed.hand_in("bob", apply(SOLUTION, SOURCES.variant("divides_by_the_largest")))

    code = handed.grade(tmp_path / "out", workers=1)

    assert code == 0
    assert rows(tmp_path / "out")["bob"]["looks_like"] == "divides_by_the_largest"
    lines = [json.loads(line) for line in (tmp_path / "out" / batch.LINES).read_text("utf-8").splitlines()]
    assert [line["scope"] for line in lines] == ["public", "public"]


def test_an_estimate_is_the_middle_of_the_last_verdicts_shared_out():
    assert batch.estimate([1.0, 2.0, 60.0], left=10, at_once=4) == 5.0
    assert batch.estimate([], left=10, at_once=4) == 0.0


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "lines"), [(io.StringIO(), 10), (Terminal(), None)])
def test_progress_is_a_bar_on_a_terminal_and_ten_lines_elsewhere(stream, lines):
    with batch.bar(stream) as progress:
        for done in range(1, 61):
            progress(done, 60, (60 - done) * 3.0)

    text = stream.getvalue()
    assert ("\x1b" in text) == (lines is None)
    assert lines is None or text.splitlines()[0] == "6 of 60, about 3 min left"
    assert lines is None or (len(text.splitlines()), text.splitlines()[-1]) == (lines, "60 of 60")


# ---------------------------------------------------------------- marks


class Book:
    """A gradebook in memory that takes what the real one takes."""

    address, course_id = "memory:", "toy"

    def __init__(self, exercise, refused=()):
        self.points = {name: 4.0 if "shares" in name else 2.0 for name in grade_cells(exercise)}
        self.refused = refused
        self.entered = []
        self.marks = {}
        self.lost = {}

    def is_prepared(self):
        return True

    def late(self, unit):
        return {student: Lateness(60.0, lost) for student, lost in self.lost.items()}

    def prepare(self):
        self.prepared = True

    def cells(self, unit, notebook):
        assert self.prepared and unit == notebook == "counter"
        kinds = {"locked": True, "grade": True, "solution": False, "task": False}
        return [KnownCell(name, "code", "", None, points=points, **kinds) for name, points in self.points.items()]

    def scores(self, unit, notebook):
        scores = {
            name: {cell: SimpleNamespace(auto=mark) for cell, mark in marks.items()}
            for name, marks in self.marks.items()
        }
        return scores

    def enter(self, student, unit, notebook, marks, *, timestamp=None, late=None):
        if student in self.refused:
            raise CannotMark(f"{student} is not enrolled.")
        self.entered.append(student)
        self.marks[student] = dict(marks)
        if student in self.lost:
            self.lost[student] = late(student, sum(marks.values()), 60.0)


@pytest.fixture
def book(handed):
    return Book(handed.course.find("counter"))


def test_marks_are_entered_once_and_again_where_they_have_changed(handed, book, tmp_path):
    out = tmp_path / "out"
    handed.hand_in("ada", SOLUTION)
    handed.hand_in("bob", apply(SOLUTION, SOURCES.variant("divides_by_the_largest")))
    entered = []

    for change in (None, None, "bob handed in anew", "the gradebook lost ada's"):
        if change and change.startswith("bob"):
            handed.hand_in("bob", SOLUTION)
        elif change:
            book.marks["ada"]["counter-shares-public"] = 0.0
        handed.grade(out, workers=1, gradebook=book)
        entered.append(tuple(book.entered))
        book.entered.clear()

    assert entered == [("ada", "bob"), (), ("bob",), ("ada",)]
    assert book.marks["ada"] == book.marks["bob"] == book.points


def test_what_is_lost_for_being_late_stays_lost_unless_somebody_says_what_is(handed, book, tmp_path):
    handed.hand_in("ada", SOLUTION)
    handed.hand_in("bob", SOLUTION)
    book.lost = {"ada": 3.0}

    handed.grade(tmp_path / "one", workers=1, gradebook=book)
    unknown = dict(book.lost)
    handed.grade(tmp_path / "two", workers=1, gradebook=book, late=lambda student, score, seconds: score / 2)

    assert unknown == {"ada": 3.0}
    assert book.lost == {"ada": sum(book.points.values()) / 2}


def test_a_gradebook_that_is_not_there_is_not_made(handed, tmp_path):
    pytest.importorskip("nbgrader")
    handed.hand_in("ada", SOLUTION)

    with pytest.raises(UsageError, match="There is no gradebook at sqlite:"):
        handed.grade(tmp_path / "out", gradebook=Gradebook(f"sqlite:///{tmp_path}/gradebok.db", "toy"))

    assert not list(tmp_path.glob("gradebok.db*")) and not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_the_tables_of_a_class_are_for_their_owner_alone(handed, tmp_path):
    handed.hand_in("ada", SOLUTION)

    handed.grade(tmp_path / "out", workers=1)

    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


def test_marks_of_a_verdict_from_before_are_entered_too(handed, book, tmp_path):
    handed.hand_in("ada", SOLUTION)
    handed.grade(tmp_path / "out", workers=1)

    handed.grade(tmp_path / "out", workers=1, gradebook=book)

    assert book.entered == ["ada"]
    assert "1 were graded before" in handed.said[0]


def test_marks_that_are_refused_are_told_and_stop_nobody(handed, book, tmp_path):
    book.refused = ("bob",)
    for student in ("ada", "bob", "cem"):
        handed.hand_in(student, SOLUTION)

    code = handed.grade(tmp_path / "out", workers=1, gradebook=book)

    assert (code, book.entered) == (1, ["ada", "cem"])
    assert handed.said[handed.said.index("Not in the gradebook:") + 1] == "  bob, counter: bob is not enrolled."
    assert {name: row["note"] for name, row in rows(tmp_path / "out").items()} == {
        "ada": "",
        "bob": "not in the gradebook: bob is not enrolled.",
        "cem": "",
    }


def test_a_failure_of_the_graders_own_enters_no_marks(handed, book, tmp_path, monkeypatch):
    handed.hand_in("ada", SOLUTION)
    monkeypatch.setattr(Session, "grade", lambda self, submission, subject=None: 1 / 0)

    code = handed.grade(tmp_path / "out", workers=1, gradebook=book)

    assert (code, book.entered) == (1, [])


def test_marks_are_in_a_real_gradebook(handed, tmp_path):
    pytest.importorskip("nbgrader")
    from nbgrader.api import Gradebook as Theirs

    from grader.system.gradebook import Gradebook

    exercise = handed.course.find("counter")
    url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    handed.hand_in("ada", SOLUTION)
    handed.hand_in("bob", b"def shares(:")
    with Gradebook(url, "toy") as ours:
        ours.prepare()
        with Theirs(url, "toy") as theirs:
            theirs.add_assignment("counter")
            theirs.add_notebook("counter", "counter")
            for name, points in Book(exercise).points.items():
                theirs.add_grade_cell(name, "counter", "counter", max_score=points, cell_type="code")
                theirs.add_source_cell(name, "counter", "counter", cell_type="code", source="", locked=True)

        codes = [handed.grade(tmp_path / "out", workers=1, gradebook=ours) for _ in range(2)]

        scores = ours.scores("counter")
    assert codes == [1, 1], handed.said
    assert "ada" in scores, handed.said
    assert sum(score.auto for score in scores["ada"].values()) == sum(Book(exercise).points.values())
    assert {score.auto for score in scores["bob"].values()} == {0.0}
