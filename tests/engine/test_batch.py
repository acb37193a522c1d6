"""Many submissions in one go: the same reports as one by one, in order, and one broken file harms nobody."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest

from grader.logic.variants import apply
from grader.model.types import Cell, Limits, Submission
from grader.system.course import Course
from grader.system.host import Server
from grader.system.submission import parse_submission
from grader.verbs import batch
from grader.verbs.batch import grade_many
from grader.verbs.grading import Plan, Sources, texts_from

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


def rubbish():
    """Files that cannot be graded, or that do harm while they are."""
    files = {
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
    return [parse_submission(name, data) for name, data in files.items()]


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
