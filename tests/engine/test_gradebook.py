"""Marks in nbgrader's gradebook: what nbgrader itself would have written, whole or not at all, in every database."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("nbgrader", reason="nbgrader is not installed: make setup EXTRAS=nbgrader")

import sqlalchemy
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader import api
from nbgrader.plugins import BasePlugin
from nbgrader.preprocessors import AssignLatePenalties, SaveAutoGrades, SaveCells
from nbgrader.utils import compute_checksum
from postgres import NoServer, Server, running_server
from sqlalchemy import event

from grader.logic.marks import refusal
from grader.model.errors import EnvironmentProblem, UsageError
from grader.system import database, gradebook
from grader.system.gradebook import Gradebook, Lateness, MarkRefused, Score

COURSE, UNIT, BOOK = "course", "attention", "notebook"
DUE = datetime(2026, 3, 1, 12)
DATABASES = ["sqlite", "sqlite+pysqlite", "psycopg2", "psycopg"]  # a file itself, and the others through SQLAlchemy
MARKS = {"weights-public": 1.5, "weights-hidden": 2.0, "mask-public": 0.0}
OTHERS = {"weights-public": 0.5, "weights-hidden": 3.0, "mask-public": 1.0}
LONGEST = 60  # seconds that a test waits for another process before it fails
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

# name, type of the cell, points, and what it is; in an order that is not the alphabet's
RELEASED = [
    ("words", "markdown", None, {"locked"}),
    ("weights-code", "code", None, {"solution"}),
    ("weights-public", "code", 2, {"grade", "locked"}),
    ("weights-hidden", "code", 3, {"grade", "locked"}),
    ("mask-code", "code", None, {"solution"}),
    ("mask-public", "code", 1.25, {"grade", "locked"}),
    ("essay", "markdown", 4, {"grade", "solution"}),
    ("drawing", "markdown", 5, {"task", "locked"}),
]


# ---------------------------------------------------------------- what nbgrader does, by nbgrader itself


def book_of(cells: list[tuple[str, str, float | None, set[str]]], marks: dict[str, float] | None = None) -> Any:
    """A notebook as released, or with ``marks`` as it is once nbgrader has run it: every answer changed, results in it."""
    made = []
    for name, kind, points, roles in cells:
        meta = {role: role in roles for role in ("grade", "solution", "locked", "task")}
        meta |= {"grade_id": name, "schema_version": 3, "cell_type": kind} | ({"points": points} if points else {})
        new = new_code_cell if kind == "code" else new_markdown_cell
        cell = new(f"text of {name}", metadata={"nbgrader": meta})
        cell.metadata.nbgrader.checksum = compute_checksum(cell)
        if marks is not None and "solution" in roles:
            cell.source = "what the student wrote"
        if name in (marks or {}):
            cell.outputs = [new_output("execute_result", {"text/plain": repr(marks[name])})]
        made.append(cell)
    return new_notebook(cells=made)


def resources(url: str, unit: str, book: str, student: str = "") -> dict[str, Any]:
    """What nbgrader hands to its preprocessors."""
    return {"nbgrader": {"db_url": url, "assignment": unit, "notebook": book, "student": student}}


def release(url: str, cells: list[Any] = RELEASED, unit: str = UNIT, book: str = BOOK) -> None:
    """What `nbgrader generate_assignment` leaves in the gradebook."""
    with api.Gradebook(url, COURSE) as nbgraders:
        nbgraders.update_or_create_assignment(unit, duedate=DUE)
    SaveCells().preprocess(book_of(cells), resources(url, unit, book))


class Custom(BasePlugin):
    """A penalty that depends on all three."""

    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return custom(student_id, score, total_seconds_late)


class Zero(BasePlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return score


class Nothing(BasePlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return None


class TooMuch(BasePlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return score + 1


class Negative(BasePlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return -1


def custom(student: str, score: float, seconds: float) -> float:
    return len(student) / 16 + score / 4 + seconds / 28800


def graded_by_nbgrader(url: str, student: str, marks: dict[str, float], when: datetime | None, plugin: Any) -> None:
    """What `nbgrader autograde` leaves in the gradebook."""
    with api.Gradebook(url, COURSE) as nbgraders:
        nbgraders.update_or_create_student(student)
        nbgraders.update_or_create_submission(UNIT, student, **({"timestamp": when} if when else {}))
    book = book_of(RELEASED, marks)
    SaveAutoGrades().preprocess(book, resources(url, UNIT, BOOK, student))
    AssignLatePenalties(plugin_class=plugin).preprocess(book, resources(url, UNIT, BOOK, student))


def looked_at(url: str, student: str) -> None:
    """What a person enters in nbgrader's formgrader."""
    with api.Gradebook(url, COURSE) as nbgraders:
        public = nbgraders.find_grade("weights-public", BOOK, UNIT, student)
        public.manual_score, public.extra_credit, public.needs_manual_grade = 1.75, 0.5, False
        essay = nbgraders.find_grade("essay", BOOK, UNIT, student)
        essay.manual_score, essay.needs_manual_grade = 3.5, False
        nbgraders.find_grade("mask-public", BOOK, UNIT, student).extra_credit = 0.25
        nbgraders.find_comment("weights-code", BOOK, UNIT, student).manual_comment = "Näher an der Formel: √d_k"
        nbgraders.find_submission_notebook(BOOK, UNIT, student).flagged = True
        nbgraders.db.commit()


# ---------------------------------------------------------------- databases


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        with running_server() as server:
            yield server
    except NoServer as reason:
        pytest.skip(f"no PostgreSQL: {reason}")


@pytest.fixture
def new_url(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Addresses of databases that are empty."""
    number = iter(range(100))

    def new_url(kind: str = "sqlite") -> str:
        name = f"{request.node.name[:20].lower()}-{next(number)}"
        if kind.startswith("sqlite"):
            return f"sqlite:///{tmp_path}/{kind}-{name}.db"
        pytest.importorskip(kind, reason=f"{kind} is not installed: make setup EXTRAS=postgres")
        server = request.getfixturevalue("server")
        server.new(f"{kind}-{os.urandom(4).hex()}-{name}"[:63])
        return server.url(kind, server.databases[-1])

    return new_url


@pytest.fixture(params=DATABASES)
def empty(request: pytest.FixtureRequest, new_url: Callable[..., str]) -> str:
    """The address of an empty database of each kind."""
    return new_url(request.param)


@pytest.fixture
def url(empty: str) -> str:
    """The address of a gradebook with one notebook released."""
    with Gradebook(empty, COURSE) as book:
        book.prepare()
    release(empty)
    return empty


@pytest.fixture
def lite(new_url: Callable[..., str]) -> str:
    """The same in SQLite alone, for what no database has a part in."""
    url = new_url()
    with Gradebook(url, COURSE) as book:
        book.prepare()
    release(url)
    return url


def snapshot(url: str) -> dict[str, Any]:
    with Gradebook(url, COURSE) as book:
        return book.snapshot()


def execute(url: str, *statements: str) -> None:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def schema(url: str) -> dict[str, Any]:
    """Tables with their columns, keys and constraints."""
    engine = sqlalchemy.create_engine(url)
    seen = sqlalchemy.inspect(engine)
    found = {}
    for table in seen.get_table_names():
        columns = {(c["name"], str(c["type"]), c["nullable"]) for c in seen.get_columns(table)}
        keys = {(*k["constrained_columns"], k["referred_table"]) for k in seen.get_foreign_keys(table)}
        unique = {tuple(u["column_names"]) for u in seen.get_unique_constraints(table)}
        found[table] = (columns, keys, unique, tuple(seen.get_pk_constraint(table)["constrained_columns"]))
    with engine.connect() as connection:
        found["revision"] = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    engine.dispose()
    return found


# ---------------------------------------------------------------- the schema


def differing(described: dict[str, str], tables: dict[str, Any]) -> set[str]:
    """Columns that are described otherwise than nbgrader declares them, or not at all."""
    types = {"text": str, "number": float, "flag": bool, "time": datetime, "span": timedelta}
    ours = {
        (table, name, types[kind])
        for table, line in described.items()
        for name, kind in (pair.split(":") for pair in line.split())
    }
    theirs = {(name, column.name, column.type.python_type) for name, t in tables.items() for column in t.columns}
    return {f"{table}.{column}" for table, column, _ in ours ^ theirs}


def test_the_tables_described_here_are_those_of_nbgrader():
    tables = api.Base.metadata.tables

    assert differing(gradebook.TABLES, tables) == set()
    assert differing(gradebook.TABLES | {"course": "id:text name:text"}, tables) == {"course.name"}
    assert differing(gradebook.TABLES | {"course": "id:number"}, tables) == {"course.id"}
    assert differing({k: v for k, v in gradebook.TABLES.items() if k != "course"}, tables) == {"course.id"}


def test_the_revision_known_here_is_the_newest_of_the_nbgrader_that_is_installed():
    _, script = gradebook._nbgraders_schema()

    assert script.get_current_head() == gradebook.REVISION
    assert gradebook._installed().startswith(f"{gradebook.RELEASE}.")


@pytest.mark.parametrize("kind", DATABASES)
def test_prepare_makes_what_nbgraders_first_connection_makes_and_needs_no_alembic_on_the_path(
    kind, new_url, monkeypatch
):
    ours, theirs = new_url(kind), new_url(kind)
    scripts = str(Path(sys.executable).parent)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([scripts, os.environ["PATH"]]))
        api.Gradebook(theirs, COURSE).close()
    monkeypatch.setenv("PATH", os.defpath)

    with Gradebook(ours, COURSE) as book:
        said = [book.prepare(), book.prepare()]
    release(ours)

    assert said[0].startswith("The gradebook ") and said[0].endswith(" was made.") and said[1] == ""
    assert schema(ours) == schema(theirs)
    assert snapshot(ours)["courses"] == [{"id": COURSE}, {"id": "default_course"}]  # nbgrader's preprocessors add it
    with pytest.raises(FileNotFoundError):
        api.get_alembic_version()  # it could not have been found


def test_the_comparison_of_schemas_sees_a_missing_constraint_a_column_and_a_stamp(new_url):
    made = []
    for change in ("", "DROP TABLE comment", "ALTER TABLE student ADD COLUMN x TEXT", "DELETE FROM alembic_version"):
        url = new_url()
        Gradebook(url, COURSE).prepare()
        execute(url, *[change] * bool(change))
        made.append(schema(url))

    assert [made[0] == other for other in made] == [True, False, False, False]


def test_a_gradebook_whose_making_was_cut_short_is_completed(empty):
    execute(empty, "CREATE TABLE student (id VARCHAR(128) PRIMARY KEY, first_name VARCHAR(128), last_name VARCHAR(128), "
            "email VARCHAR(128), lms_user_id VARCHAR(128))")  # fmt: skip
    engine = sqlalchemy.create_engine(empty)
    api.Base.metadata.create_all(engine)  # where nbgrader is killed between its tables and its stamp
    engine.dispose()

    with Gradebook(empty, COURSE) as book:
        said = [book.prepare(), book.prepare()]

    assert (said[0].split()[-1], said[1]) == ("completed.", "")
    assert schema(empty)["revision"] == [gradebook.REVISION]


def make_old(url: str, revision: str = "282d30a0218e") -> None:
    """A gradebook of nbgrader before 0.6, to which a newer one has connected: assignments belong to no course."""
    execute(url, "CREATE TABLE assignment (id VARCHAR(32) NOT NULL PRIMARY KEY, name VARCHAR(128) UNIQUE, "
            "duedate TIMESTAMP)", "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
            f"INSERT INTO alembic_version VALUES ('{revision}')")  # fmt: skip


def test_an_older_schema_is_brought_up_to_date_and_a_file_is_kept_as_it_was(empty):
    make_old(empty)

    with Gradebook(empty, COURSE) as book:
        said = [book.prepare(), book.prepare()]
    release(empty)

    assert "now has the schema of nbgrader" in said[0] and said[1] == ""
    assert schema(empty)["revision"] == [gradebook.REVISION]
    assert snapshot(empty)["assignments"] == [{"name": UNIT, "course": COURSE, "duedate": DUE.isoformat()}]
    if empty.startswith("sqlite"):
        backup = Path(empty.removeprefix("sqlite:///")).with_name(said[0].split()[-1].rstrip("."))
        assert schema(f"sqlite:///{backup}")["revision"] == ["282d30a0218e"]


def test_where_nbgraders_steps_fail_nothing_is_changed(empty, tmp_path):
    make_old(empty, "724cde206c17")  # claims tables that are not there
    before = schema(empty)

    with pytest.raises(EnvironmentProblem, match=r"own steps from an older schema fail .* Nothing was changed"):
        Gradebook(empty, COURSE).prepare()

    assert schema(empty) == before
    assert len(list(tmp_path.glob("*.bak-*"))) == 0


def test_a_database_of_something_else_or_of_a_newer_nbgrader_is_left_alone(empty):
    make_old(empty, "ffffffffffff")
    before = schema(empty)

    with pytest.raises(EnvironmentProblem, match="its revision is ffffffffffff"):
        Gradebook(empty, COURSE).prepare()

    assert schema(empty) == before


# ---------------------------------------------------------------- what was released


def test_cells_are_told_in_the_order_in_which_they_were_released(url):
    with Gradebook(url, COURSE) as book:
        cells = book.cells(UNIT, BOOK)

    assert [cell.name for cell in cells] == [name for name, *_ in RELEASED]
    for cell, (name, kind, points, roles), node in zip(cells, RELEASED, book_of(RELEASED).cells, strict=True):
        assert (cell.cell_type, cell.points, cell.source) == (kind, points, f"text of {name}")
        assert cell.checksum == node.metadata.nbgrader.checksum
        assert {role for role in ("grade", "solution", "locked", "task") if getattr(cell, role)} == roles


def test_cells_of_another_notebook_and_of_a_later_release_are_kept_apart(url):
    release(url, [("mask-public", "code", 7, {"grade", "locked"})], UNIT, "second")
    release(url, [*reversed(RELEASED)])

    with Gradebook(url, COURSE) as book:
        first, second = book.cells(UNIT, BOOK), book.cells(UNIT, "second")

    assert [(cell.name, cell.points) for cell in second] == [("mask-public", 7)]
    assert [cell.name for cell in first] == [name for name, *_ in reversed(RELEASED)]


@pytest.mark.parametrize(
    ("unit", "book", "says"),
    [
        ("atention", BOOK, "no assignment 'atention'.\n  Did you mean attention?"),
        (UNIT, "nb", f"The assignment {UNIT} has no notebook 'nb' in the gradebook.\n  There is: {BOOK}."),
        ("", "", "no assignment ''.\n  There is: attention."),
    ],
)
def test_what_was_never_released_is_refused_with_the_names_that_were(lite, unit, book, says):
    before = snapshot(lite)
    with Gradebook(lite, COURSE) as own:
        for ask in (
            lambda: own.cells(unit, book),
            lambda: own.reset("ada", unit, book),
            lambda: own.enter("ada", unit, book, MARKS),
            lambda: own.scores(unit, book),
        ):
            with pytest.raises(UsageError) as refused:
                ask()
            assert says in str(refused.value)

    assert snapshot(lite) == before


# ---------------------------------------------------------------- marks as nbgrader writes them

EARLY, LATE = DUE - timedelta(days=1), DUE + timedelta(hours=2)


@pytest.mark.parametrize(
    ("plugin", "late"),
    [
        (Nothing, None),
        (Nothing, lambda student, score, seconds: None),
        (Zero, lambda student, score, seconds: score),
        (Custom, custom),
        (TooMuch, lambda student, score, seconds: score + 1),
        (Negative, lambda student, score, seconds: -1),
    ],
    ids=["no function", "none", "zero", "custom", "above the score", "below zero"],
)
def test_entering_leaves_what_nbgraders_own_autograding_leaves(empty, new_url, plugin, late):
    theirs = new_url()
    for url in (empty, theirs):
        Gradebook(url, COURSE).prepare()
        release(url)
        release(url, [("other", "code", 1, {"grade", "locked"})], UNIT, "second")

    with Gradebook(empty, COURSE) as book:
        for student, when in (("ada", EARLY), ("bob", LATE), ("cy", None)):
            book.enter(student, UNIT, BOOK, MARKS, timestamp=when, late=late)
        for student in ("ada", "bob"):
            looked_at(empty, student)
        for student, when in (("ada", LATE), ("bob", None), ("cy", LATE)):
            book.enter(student, UNIT, BOOK, OTHERS, timestamp=when, late=late)
        book.enter("dee", UNIT, BOOK, MARKS, timestamp=LATE, late=late)
        book.enter("dee", UNIT, BOOK, MARKS, timestamp=EARLY, late=late)
    for student, when in (("ada", EARLY), ("bob", LATE), ("cy", None)):
        graded_by_nbgrader(theirs, student, MARKS, when, plugin)
    for student in ("ada", "bob"):
        looked_at(theirs, student)
    for student, when in (("ada", LATE), ("bob", None), ("cy", LATE)):
        graded_by_nbgrader(theirs, student, OTHERS, when, plugin)
    graded_by_nbgrader(theirs, "dee", MARKS, LATE, plugin)
    graded_by_nbgrader(theirs, "dee", MARKS, EARLY, plugin)

    assert snapshot(empty) == snapshot(theirs)
    assert len(snapshot(theirs)["grades"]) == 4 * 6  # it is not two empty gradebooks that are equal


def test_a_snapshot_differs_wherever_two_gradebooks_say_something_else(lite):
    with Gradebook(lite, COURSE) as book:
        book.enter("ada", UNIT, BOOK, MARKS, timestamp=LATE, late=custom)
    changes = [
        "UPDATE assignment SET duedate = '2026-03-02 12:00:00.000000'",
        "UPDATE notebook SET kernelspec = 'x'",
        "UPDATE base_cell SET name = 'x' WHERE name = 'essay' AND type = 'GradeCell'",
        "UPDATE grade_cells SET max_score = 9",
        "UPDATE task_cells SET max_score = 9",
        "UPDATE source_cell SET locked = 0",
        "UPDATE source_cell SET checksum = 'x' WHERE name = 'words'",
        "UPDATE student SET email = 'x'",
        "UPDATE submitted_assignment SET timestamp = NULL",
        "UPDATE submitted_assignment SET extension = '1970-01-01 01:00:00.000000'",
        "UPDATE submitted_notebook SET flagged = 1",
        "UPDATE submitted_notebook SET late_submission_penalty = late_submission_penalty + 1e-6",
        "UPDATE grade SET auto_score = 0.1 WHERE auto_score = 1.5",
        "UPDATE grade SET manual_score = 0.1 WHERE auto_score = 2",
        "UPDATE grade SET extra_credit = 0.1 WHERE auto_score = 2",
        "UPDATE grade SET needs_manual_grade = 1 WHERE auto_score = 2",
        "UPDATE comment SET auto_comment = 'x'",
        "UPDATE comment SET manual_comment = 'x'",
        "DELETE FROM grade WHERE auto_score = 2",
        "INSERT INTO grade (id, needs_manual_grade) VALUES ('orphan', 0)",
        "INSERT INTO course VALUES ('x')",
    ]
    seen = [snapshot(lite)]

    for change in changes:
        execute(lite, change)
        seen.append(snapshot(lite))

    assert [change for change, one, next in zip(changes, seen, seen[1:], strict=False) if one == next] == []


def test_databases_hold_the_same_for_the_same_marks(new_url):
    made = []
    for kind in DATABASES:
        url = new_url(kind)
        Gradebook(url, COURSE).prepare()
        release(url)
        with Gradebook(url, COURSE) as book:
            for student, share in (("ada", 1 / 3), ("Ömür 北", 0.1), ("b@x.org", 1.0)):
                book.reset(student, UNIT, BOOK)
                marks = {"weights-public": 2 * share, "weights-hidden": 3 * share, "mask-public": 1.25 * share}
                book.enter(student, UNIT, BOOK, marks, timestamp=LATE, late=custom)
            book.reset("zoe", UNIT, BOOK, timestamp=EARLY)
            made.append((book.snapshot(), book.scores(UNIT), book.late(UNIT), book.students(UNIT)))

    assert made[0] == made[1] == made[2]
    assert made[0][3] == ["ada", "b@x.org", "zoe", "Ömür 北"]


def test_times_are_kept_in_utc_and_an_extension_counts(url):
    berlin = timezone(timedelta(hours=2))
    seconds = {}

    with Gradebook(url, COURSE) as book:
        book.enter("ada", UNIT, BOOK, MARKS, timestamp=datetime(2026, 3, 1, 14, 0, 30, tzinfo=berlin))
        seconds["on the day"] = book.late(UNIT)
        with api.Gradebook(url, COURSE) as nbgraders:
            nbgraders.grant_extension(UNIT, "ada", minutes=1)
        seconds["extended"] = book.late(UNIT)
        book.enter("ada", UNIT, BOOK, MARKS, timestamp=DUE + timedelta(seconds=90))
        seconds["after the extension"] = book.late(UNIT)

    assert seconds == {
        "on the day": {"ada": Lateness(30.0, 0.0)},
        "extended": {},
        "after the extension": {"ada": Lateness(30.0, 0.0)},
    }


def test_without_a_due_date_nobody_is_late(lite):
    execute(lite, "UPDATE assignment SET duedate = NULL")
    asked = []

    with Gradebook(lite, COURSE) as book:
        book.enter("ada", UNIT, BOOK, MARKS, timestamp=LATE, late=lambda *words: asked.append(words))

    assert (asked, book.late(UNIT)) == ([], {})


# ---------------------------------------------------------------- marks that are refused

REFUSED = {
    "a missing mark": ({"weights-public": 1.0, "mask-public": 1.0}, "weights-hidden has no mark"),
    "no marks at all": ({}, "weights-hidden has no mark|mask-public has no mark"),
    "a mark too many": (MARKS | {"weights": 0.0}, "'weights' is no cell that is graded automatically"),
    "a person's cell": (MARKS | {"essay": 4.0}, "'essay' is no cell that is graded automatically"),
    "a task": (MARKS | {"drawing": 5.0}, "'drawing' is no cell that is graded automatically"),
    "a solution": (MARKS | {"mask-code": 0.0}, "'mask-code' is no cell that is graded automatically"),
    "not a number": (MARKS | {"mask-public": float("nan")}, "the mark of mask-public is nan"),
    "infinite": (MARKS | {"mask-public": float("inf")}, "the mark of mask-public is inf"),
    "below zero": (MARKS | {"mask-public": -0.1}, "the mark of mask-public is -0.1, which is below 0"),
    "just below zero": (MARKS | {"mask-public": -5e-324}, "the mark of mask-public is -5e-324, which is below 0"),
    "above the maximum": (MARKS | {"mask-public": 1.26}, "the mark of mask-public is 1.26, and its maximum is 1.25"),
    "just above": (
        MARKS | {"mask-public": float(np.nextafter(1.25, 2))},
        "the mark of mask-public is 1.2500000000000002, and its maximum is 1.25",
    ),
    "an int": (MARKS | {"mask-public": 1}, "the mark of mask-public is not a float but of type int"),
    "a bool": (MARKS | {"mask-public": True}, "the mark of mask-public is not a float but of type bool"),
    "numpy's float": (
        MARKS | {"mask-public": np.float64(1)},
        "the mark of mask-public is not a float but of type float64",
    ),
    "an array": (MARKS | {"mask-public": np.ones(1)}, "the mark of mask-public is not a float but of type ndarray"),
    "text": (MARKS | {"mask-public": "1.0"}, "the mark of mask-public is not a float but of type str"),
    "nothing": (MARKS | {"mask-public": None}, "the mark of mask-public is not a float but of type NoneType"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mark_that_is_refused_keeps_the_whole_submission_as_it_was(lite, case):
    marks, why = REFUSED[case]
    with Gradebook(lite, COURSE) as book:
        book.enter("ada", UNIT, BOOK, OTHERS)
        before = book.snapshot()

        for student in ("ada", "new"):
            with pytest.raises(MarkRefused, match=f"^{student} gets no marks for {BOOK} of {UNIT}: ({why})"):
                book.enter(student, UNIT, BOOK, marks, timestamp=LATE)

        assert book.snapshot() == before
        book.enter("new", UNIT, BOOK, MARKS)  # and the next one is not held up
        assert book.students(UNIT) == ["ada", "new"]


def test_marks_at_the_borders_are_taken(url):
    with Gradebook(url, COURSE) as book:
        book.enter("ada", UNIT, BOOK, {"weights-public": 0.0, "weights-hidden": 3.0, "mask-public": -0.0})

        scores = book.scores(UNIT)["ada"]

    assert [repr(scores[name].auto) for name in MARKS] == ["0.0", "3.0", "0.0"]


def test_a_refusal_is_empty_for_marks_that_may_stand():
    assert refusal({"a": 1.0}, {"a": 1.0}) == ""
    assert refusal({}, {}) == ""
    assert refusal({"a": 1.0}, {}) == "'a' is no cell that is graded automatically"


@pytest.mark.parametrize("penalty", [float("nan"), float("inf"), "2", [1.0]])
def test_a_plug_in_that_returns_no_number_changes_nothing(lite, penalty):
    before = snapshot(lite)

    with (
        Gradebook(lite, COURSE) as book,
        pytest.raises(MarkRefused, match=r"^ada gets no marks: the plug-in .* returned"),
    ):
        book.enter("ada", UNIT, BOOK, MARKS, timestamp=LATE, late=lambda *words: penalty)

    assert snapshot(lite) == before


def test_a_plug_in_that_raises_changes_nothing(lite):
    before = snapshot(lite)

    with (
        Gradebook(lite, COURSE) as book,
        pytest.raises(MarkRefused, match="raised ZeroDivisionError: division by zero"),
    ):
        book.enter("ada", UNIT, BOOK, MARKS, timestamp=LATE, late=lambda *words: 1 / 0)

    assert snapshot(lite) == before


def test_a_plug_in_may_return_an_int_or_numpys_float(url):
    with Gradebook(url, COURSE) as book:
        book.enter("ada", UNIT, BOOK, MARKS, timestamp=LATE, late=lambda *words: 1)
        book.enter("bob", UNIT, BOOK, MARKS, timestamp=LATE, late=lambda *words: np.float32(0.5))

        assert book.late(UNIT) == {"ada": Lateness(7200.0, 1.0), "bob": Lateness(7200.0, 0.5)}


@pytest.mark.parametrize(
    ("student", "why"),
    [
        ("", "is empty"),
        ("x" * 129, "has 129 characters, and 128 are the most"),
        ("a\0b", "has characters that no database takes"),
        ("caf\udce9", r"has characters that no database takes: 'caf\\udce9'"),
    ],
)
def test_a_student_whom_one_of_the_databases_would_not_take_is_refused_by_all(url, student, why):
    before = snapshot(url)

    with Gradebook(url, COURSE) as book:
        with pytest.raises(UsageError, match=f"The student's id {why}"):
            book.enter(student, UNIT, BOOK, MARKS)
        with pytest.raises(UsageError, match=f"The student's id {why}"):
            book.reset(student, UNIT, BOOK)
        assert book.snapshot() == before
        book.enter("x" * 128, UNIT, BOOK, MARKS)
        assert book.students(UNIT) == ["x" * 128]


# ---------------------------------------------------------------- marks that people gave


def rows(url: str, kind: str, *columns: str) -> dict[str, tuple[Any, ...]]:
    return {row["cell"]: tuple(row[name] for name in columns) for row in snapshot(url)[kind]}


def test_what_a_person_entered_survives_a_reset_and_new_marks(url):
    persons = ("manual_score", "extra_credit")
    with Gradebook(url, COURSE) as book:
        book.enter("ada", UNIT, BOOK, MARKS, timestamp=LATE, late=custom)
        looked_at(url, "ada")
        given, comments = rows(url, "grades", *persons), rows(url, "comments", "manual_comment", "auto_comment")

        book.reset("ada", UNIT, BOOK)
        after_reset = [rows(url, "grades", *persons), rows(url, "comments", "manual_comment", "auto_comment")]
        zeros = rows(url, "grades", "auto_score", "needs_manual_grade")
        reset_late = book.late(UNIT)
        book.enter("ada", UNIT, BOOK, OTHERS)
        after_marks = [rows(url, "grades", *persons), rows(url, "comments", "manual_comment", "auto_comment")]
        marks = rows(url, "grades", "auto_score", "needs_manual_grade")

    assert given["weights-public"] == (1.75, 0.5) and comments["weights-code"] == ("Näher an der Formel: √d_k", None)
    assert after_reset == after_marks == [given, comments]
    assert zeros == dict.fromkeys(MARKS, (0.0, True)) | {"essay": (None, True), "drawing": (None, True)}
    assert reset_late == {"ada": Lateness(7200.0, 0.0)}
    assert marks == {
        "weights-public": (0.5, True),  # a person's score stands over another one now
        "weights-hidden": (3.0, False),
        "mask-public": (1.0, False),
        "essay": (None, True),
        "drawing": (None, True),
    }
    assert snapshot(url)["submitted"][0]["flagged"] is True


def test_a_reset_makes_a_submission_that_is_there_and_worth_nothing(url):
    with Gradebook(url, COURSE) as book:
        book.reset("ada", UNIT, BOOK, timestamp=LATE)

        scores = book.scores(UNIT)["ada"]

    assert {name: scores[name] for name in MARKS} == {
        "weights-public": Score(0.0, None, None, True, 2.0),
        "weights-hidden": Score(0.0, None, None, True, 3.0),
        "mask-public": Score(0.0, None, None, True, 1.25),
    }
    assert (scores["essay"], scores["drawing"]) == (
        Score(None, None, None, True, 4.0),
        Score(None, None, None, True, 5.0),
    )
    assert book.late(UNIT) == {"ada": Lateness(7200.0, 0.0)}


def test_the_total_of_a_score_is_what_nbgrader_counts(lite):
    cases = [
        (None, None, None),
        (None, None, 1.0),
        (2.0, None, None),
        (2.0, None, 0.5),
        (2.0, 1.0, 0.5),
        (None, 1.5, None),
    ]
    totals = []
    with Gradebook(lite, COURSE) as book:
        book.reset("ada", UNIT, BOOK)
    with api.Gradebook(lite, COURSE) as nbgraders:
        for auto, manual, extra in cases:
            grade = nbgraders.find_grade("essay", BOOK, UNIT, "ada")
            grade.auto_score, grade.manual_score, grade.extra_credit = auto, manual, extra
            nbgraders.db.commit()
            totals.append(nbgraders.find_grade("essay", BOOK, UNIT, "ada").score)

    assert [Score(*case, True, 4.0).total for case in cases] == totals == [0.0, 0.0, 2.0, 2.5, 1.5, 1.5]


def test_scores_of_two_notebooks_are_told_apart(lite):
    release(lite, [("mask-public", "code", 7, {"grade", "locked"})], UNIT, "second")
    with Gradebook(lite, COURSE) as book:
        book.enter("ada", UNIT, BOOK, MARKS)
        book.enter("ada", UNIT, "second", {"mask-public": 7.0})

        with pytest.raises(UsageError, match="Several notebooks of attention have a cell mask-public"):
            book.scores(UNIT)
        first, second = book.scores(UNIT, BOOK)["ada"], book.scores(UNIT, "second")["ada"]

    assert (first["mask-public"].auto, len(first)) == (0.0, 5)
    assert second == {"mask-public": Score(7.0, None, None, False, 7.0)}


def test_cells_and_notebooks_released_later_get_their_rows(url):
    with Gradebook(url, COURSE) as book:
        book.enter("ada", UNIT, BOOK, MARKS)
        with api.Gradebook(url, COURSE) as nbgraders:
            nbgraders.add_grade_cell("why-public", BOOK, UNIT, max_score=2.0, cell_type="code")
            nbgraders.add_solution_cell("why-code", BOOK, UNIT)
        release(url, [("other", "code", 1, {"grade", "locked"})], UNIT, "second")

        with pytest.raises(MarkRefused, match="why-public has no mark"):
            book.enter("ada", UNIT, BOOK, MARKS)
        book.enter("ada", UNIT, BOOK, MARKS | {"why-public": 2.0})
        grades, comments = book.snapshot()["grades"], book.snapshot()["comments"]

    assert sorted((row["notebook"], row["cell"], row["auto_score"]) for row in grades if row["auto_score"]) == [
        (BOOK, "weights-hidden", 2.0),
        (BOOK, "weights-public", 1.5),
        (BOOK, "why-public", 2.0),
    ]
    assert sorted(row["cell"] for row in grades) == sorted([*MARKS, "essay", "drawing", "why-public", "other"])
    assert sorted(row["cell"] for row in comments) == sorted(
        ["weights-code", "mask-code", "essay", "drawing", "why-code"]
    )


# ---------------------------------------------------------------- several processes, and ends of processes


class Told(sqlite3.Connection):
    """A connection that says each statement before it executes it."""

    to: ClassVar[list[Callable[[str], Any]]] = []

    def execute(self, statement: str, *given: Any) -> sqlite3.Cursor:
        self.tell(statement)
        return super().execute(statement, *given)

    def executemany(self, statement: str, *given: Any) -> sqlite3.Cursor:
        self.tell(statement)
        return super().executemany(statement, *given)

    @classmethod
    def tell(cls, statement: str) -> None:
        for listener in cls.to:
            listener(statement)


@pytest.fixture(autouse=True)
def files_of_sqlite_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(database.sqlite3, "connect", lambda *words, **more: connect(*words, factory=Told, **more))


def listen(listener: Callable[[str], Any]) -> Callable[[], None]:
    """Call with every statement before it is executed, commits among them, whichever way it goes to a database; what ends it."""

    def execute(connection: Any, cursor: Any, statement: str, *details: Any) -> None:
        listener(statement)

    def commit(connection: Any) -> None:
        listener("COMMIT")

    event.listen(sqlalchemy.Engine, "before_cursor_execute", execute)
    event.listen(sqlalchemy.Engine, "commit", commit)
    Told.to.append(listener)

    def end() -> None:
        Told.to.remove(listener)
        event.remove(sqlalchemy.Engine, "before_cursor_execute", execute)
        event.remove(sqlalchemy.Engine, "commit", commit)

    return end


def stop_at(wanted: int, meet: Callable[[], Any]) -> None:
    """In a process of its own: call ``meet`` before the statement or commit with this number, counted from 0."""
    seen = iter(range(10**6))

    def count(statement: str) -> None:
        if next(seen) == wanted:
            meet()

    listen(count)


def in_a_process(body: Callable[..., Any], *words: Any) -> tuple[Any, Any]:
    """The process, which runs ``body(channel, *words)``, and our end of its channel."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=body, args=(theirs, *words), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def pause(channel: Any) -> None:
    channel.send("here")
    if not channel.poll(LONGEST):
        os._exit(1)
    channel.recv()


def received(channel: Any) -> Any:
    """What a process said, or that it said nothing."""
    return channel.recv() if channel.poll(LONGEST) else "nothing"


def held_up(url: str, channel: Any, request: pytest.FixtureRequest) -> bool:
    """Whether a process comes to wait for another one, before it says something; SQLite does not tell."""
    if url.startswith("sqlite"):
        return True
    server = request.getfixturevalue("server")
    for _ in range(100 * LONGEST):
        if channel.poll(0.01):
            return False
        if server.waiting():
            return True
    return False


def prepare(channel: Any, url: str, at: int) -> None:
    stop_at(at, lambda: pause(channel))
    channel.send("begins")
    with Gradebook(url, COURSE) as book:
        book.prepare()
    channel.send("done")


def connect(channel: Any, url: str, at: int) -> None:
    """What nbgrader's processes do when they find an empty database."""
    stop_at(at, lambda: pause(channel))
    channel.send("begins")
    try:
        api.Gradebook(url, COURSE).close()
        channel.send("done")
    except Exception as error:
        channel.send(type(error).__name__)


def statements_of(body: Callable[[], Any]) -> list[str]:
    """The statements that something executes, and its commits, in order."""
    seen: list[str] = []
    end = listen(seen.append)
    try:
        body()
    finally:
        end()
    return seen


def number_of(statements: list[str], begin: str) -> int:
    """The number of the first statement that begins so."""
    return next(number for number, text in enumerate(statements) if text.lstrip().startswith(begin))


@FORKS
@pytest.mark.parametrize("kind", DATABASES)
def test_two_first_connections_at_once_make_one_schema(kind, new_url, request):
    url, scratch = new_url(kind), new_url(kind)
    at = number_of(statements_of(Gradebook(scratch, COURSE).prepare), "CREATE")

    first, to_first = in_a_process(prepare, url, at)
    begun = [received(to_first), received(to_first)]  # it holds the lock, and has made nothing yet
    second, to_second = in_a_process(prepare, url, -1)
    begun += [received(to_second), held_up(url, to_second, request)]
    to_first.send("go on")
    first.join(LONGEST)
    second.join(LONGEST)

    assert begun == ["begins", "here", "begins", True]
    assert (received(to_first), received(to_second)) == ("done", "done")
    assert schema(url) == schema(scratch)


@FORKS
@pytest.mark.parametrize("kind", DATABASES)
def test_nbgraders_own_two_first_connections_collide_in_the_same_harness(kind, new_url, monkeypatch):
    monkeypatch.setattr(api, "get_alembic_version", lambda: gradebook.REVISION)
    empty, scratch = new_url(kind), new_url(kind)
    at = number_of(statements_of(lambda: api.Gradebook(scratch, COURSE).close()), "CREATE")

    first, to_first = in_a_process(connect, empty, at)
    begun = [received(to_first), received(to_first)]
    second, to_second = in_a_process(connect, empty, -1)
    ended = [received(to_second), received(to_second)]  # nothing holds it up
    second.join(LONGEST)
    to_first.send("go on")
    ended.append(received(to_first))
    first.join(LONGEST)

    assert (begun, ended[:2]) == (["begins", "here"], ["begins", "done"])
    assert ended[2] in ("OperationalError", "ProgrammingError", "IntegrityError")


def enter(channel: Any, url: str, marks: dict[str, float], at: int) -> None:
    stop_at(at, lambda: pause(channel))
    channel.send("begins")
    with Gradebook(url, COURSE) as book:
        book.enter("ada", UNIT, BOOK, marks)
    channel.send("done")


@FORKS
@pytest.mark.parametrize("known", [False, True], ids=["a new student", "a known student"])
def test_of_two_processes_that_enter_one_student_the_later_one_counts_and_nothing_is_there_twice(
    url, new_url, known, request
):
    scratch = new_url()
    for address in (url, scratch):
        with Gradebook(address, COURSE) as book:
            book.prepare()
            if address == scratch:
                release(scratch)
            for _ in range(known):
                book.reset("ada", UNIT, BOOK)
    with Gradebook(url, COURSE) as book:
        book.reset("zoe", UNIT, BOOK)
        at = number_of(statements_of(lambda: book.enter("zoe", UNIT, BOOK, MARKS)), "UPDATE grade")
        at += 0 if known else 3  # the rows that are added for a new one

    first, to_first = in_a_process(enter, url, MARKS, at)
    begun = [received(to_first), received(to_first)]
    second, to_second = in_a_process(enter, url, OTHERS, -1)
    begun += [received(to_second), held_up(url, to_second, request)]
    to_first.send("go on")
    first.join(LONGEST)
    second.join(LONGEST)
    with Gradebook(scratch, COURSE) as book:
        book.reset("zoe", UNIT, BOOK)
        book.enter("zoe", UNIT, BOOK, MARKS)
        book.enter("ada", UNIT, BOOK, OTHERS)

    assert begun == ["begins", "here", "begins", True]
    assert (received(to_first), received(to_second)) == ("done", "done")
    assert snapshot(url) == snapshot(scratch)


def enter_and_die(channel: Any, url: str, at: int) -> None:
    stop_at(at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    with Gradebook(url, COURSE) as book:
        book.enter("ada", UNIT, BOOK, OTHERS, timestamp=LATE, late=custom)
    os.kill(os.getpid(), signal.SIGKILL)


def save_and_die(channel: Any, url: str, at: int) -> None:
    """The same marks by nbgrader's own preprocessor."""
    stop_at(at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    SaveAutoGrades().preprocess(book_of(RELEASED, OTHERS), resources(url, UNIT, BOOK, "ada"))
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(body: Callable[..., Any], url: str, points: int) -> list[dict[str, Any]]:
    """What is in the gradebook after a process was killed before each of its statements, and at last after all."""
    seen = []
    for at in range(points + 1):
        process, _ = in_a_process(body, url, at)
        process.join(LONGEST)
        assert process.exitcode == -signal.SIGKILL, (at, process.exitcode)
        seen.append(snapshot(url))
    return seen


@FORKS
@pytest.mark.parametrize("known", [False, True], ids=["a new student", "a known student"])
def test_a_process_that_is_killed_leaves_the_old_marks_or_the_new_ones(url, new_url, known):
    scratch = new_url()
    Gradebook(scratch, COURSE).prepare()
    release(scratch)
    for address in (url, scratch):
        with Gradebook(address, COURSE) as book:
            for _ in range(known):
                book.enter("ada", UNIT, BOOK, MARKS)
    before = snapshot(url)
    with Gradebook(scratch, COURSE) as book:
        book.scores(UNIT)
        done = statements_of(lambda: book.enter("ada", UNIT, BOOK, OTHERS, timestamp=LATE, late=custom))
        after = book.snapshot()

    points = len(done) + 1  # and one more, that looks for the tables when a process begins
    seen = killed_at(enter_and_die, url, points)

    assert done[-1] == "COMMIT" and len(done) > 10
    assert before != after
    assert [state == before for state in seen] == [True] * points + [False]
    assert seen[-1] == after


@FORKS
def test_nbgraders_own_preprocessor_leaves_a_mix_in_the_same_harness(lite):
    with Gradebook(lite, COURSE) as book:
        book.enter("ada", UNIT, BOOK, MARKS)
    before = snapshot(lite)

    seen = killed_at(save_and_die, lite, 40)

    assert seen[0] == before and seen[-1] != before
    assert any(state not in (before, seen[-1]) for state in seen)


# ---------------------------------------------------------------- addresses, and what is not there

SECRET = "pa55-wörd"


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql+psycopg://me:{SECRET}@localhost:1/db",
        f"postgresql+psycopg2://me:{SECRET}@localhost:1/db",
        f"postgresql+psycopg://localhost:1/db?user=me&password={SECRET}",
        f"postgresql+psycopg2://localhost:1/db?user=me&password={SECRET}&nonsense={SECRET}",
        f"postgresql+psycopg://me:x@{SECRET}@localhost:1/db",
        f"postgresql+psycopg://me:x/{SECRET}@localhost:1/db",
        f"postgresql+psycopg://me:x/y@{SECRET}@localhost:1/db",
        f"postgresql+psycopg://me:x?{SECRET}@localhost:1/db",
        f"postgresql+psycopg://me:x#{SECRET}@localhost:1/db",
        f"postgresql+psycopg://me:@{SECRET}:@localhost:1/db",
        f"postgresql+psycopg://me:{SECRET}@localhost:port/db",
        f"postgresql+psycopg://localhost:{SECRET}/db",
        f"postgresql+nonsense://me:{SECRET}@localhost/db",
        f"postgres://me:{SECRET}@localhost/db",
        f"mysql://me:{SECRET}@localhost/db",
        f"me:{SECRET}@localhost/db",
        f"postgresql+psycopg:me:{SECRET}@localhost/db",
    ],
)
def test_no_message_holds_a_password(address):
    pytest.importorskip("psycopg", reason="psycopg is not installed: make setup EXTRAS=postgres")
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed: make setup EXTRAS=postgres")

    with pytest.raises((EnvironmentProblem, UsageError)) as problem, Gradebook(address, COURSE) as book:
        book.prepare()

    shown = "".join(traceback.format_exception(problem.value)) + str(problem.value)
    assert "gradebook" in str(problem.value)
    assert [text for text in (SECRET, SECRET[2:], SECRET.replace("ö", "%C3%B6")) if text in shown] == []


@pytest.mark.parametrize("spelled", ["pa55-w%C3%B6rd%2F", "pa55-wörd/"])
def test_what_a_driver_says_is_shown_without_the_password_however_it_is_spelled(monkeypatch, spelled):
    pytest.importorskip("psycopg", reason="psycopg is not installed: make setup EXTRAS=postgres")

    def refuse(*words: Any, **options: Any) -> None:
        raise sqlalchemy.exc.OperationalError(
            "", {}, Exception(f"cannot log in as me with {spelled}, at all.\n  Sorry")
        )

    book = Gradebook("postgresql+psycopg://me:pa55-w%C3%B6rd%2F@localhost/db", COURSE)
    monkeypatch.setattr(book._database._engine, "connect", refuse)

    with pytest.raises(EnvironmentProblem) as problem:
        book.students(UNIT)

    assert problem.value.message.endswith("cannot be used: cannot log in as me with ***, at all. Sorry.")


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_database_that_is_not_there_is_named_without_the_password(driver, request):
    pytest.importorskip(driver, reason=f"{driver} is not installed: make setup EXTRAS=postgres")
    server = request.getfixturevalue("server")

    with pytest.raises(EnvironmentProblem) as problem:
        Gradebook(server.url(driver, "missing", "s3cret"), COURSE).prepare()

    assert 'database "missing" does not exist' in problem.value.message
    assert f"postgresql+{driver}://grader:***@/missing" in problem.value.message
    assert "s3cret" not in str(problem.value)


def test_a_gradebook_that_was_never_made_is_named_and_not_made_by_reading(tmp_path, new_url):
    url = f"sqlite:///{tmp_path}/typo.db"
    with Gradebook(url, COURSE) as book:
        for ask in (book.snapshot, lambda: book.students(UNIT), lambda: book.enter("ada", UNIT, BOOK, MARKS)):
            with pytest.raises(EnvironmentProblem, match=r"There is no gradebook at sqlite:///.*typo\.db"):
                ask()

    assert list(tmp_path.iterdir()) == []


def test_a_database_without_a_gradebook_in_it_is_named(empty):
    execute(empty, "CREATE TABLE other (id INTEGER)")

    with Gradebook(empty, COURSE) as book, pytest.raises(EnvironmentProblem, match="There is no gradebook at"):
        book.students(UNIT)
    with Gradebook(empty, COURSE) as book:
        book.prepare()
        assert book.snapshot()["courses"] == [{"id": COURSE}]


def test_a_folder_that_is_not_there_and_a_file_that_is_no_database_are_named(tmp_path):
    (tmp_path / "text.db").write_text("no database " * 100, encoding="utf-8")

    with pytest.raises(EnvironmentProblem, match=r"There is no folder .*nowhere"):
        Gradebook(f"sqlite:///{tmp_path}/nowhere/gradebook.db", COURSE).prepare()
    with pytest.raises(EnvironmentProblem, match="file is not a database"):
        Gradebook(f"sqlite:///{tmp_path}/text.db", COURSE).prepare()


def test_a_file_that_another_process_is_writing_to_is_waited_for_and_then_named(lite, monkeypatch):
    monkeypatch.setattr(database, "WAIT_SECONDS", 0)
    other = sqlite3.connect(lite.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with Gradebook(lite, COURSE) as book:
        with pytest.raises(EnvironmentProblem, match="database is locked") as problem:
            book.enter("ada", UNIT, BOOK, MARKS)
        other.execute("ROLLBACK")
        book.enter("ada", UNIT, BOOK, MARKS)

    assert "try again" in problem.value.mend
    other.close()


def test_a_course_without_an_id_is_refused(lite):
    with pytest.raises(UsageError, match="A gradebook needs the course's id"):
        Gradebook(lite, "")


@pytest.mark.parametrize("missing", ["sqlalchemy", "nbgrader"])
def test_without_nbgrader_the_extra_that_brings_it_is_named(tmp_path, monkeypatch, missing):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *words: None if name == missing else find(name, *words)
    )

    with pytest.raises(EnvironmentProblem, match=r"nbgrader is not installed here\.\n  make setup EXTRAS=nbgrader"):
        Gradebook(f"sqlite:///{tmp_path}/gradebook.db", COURSE).prepare()


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_without_a_driver_the_extra_that_brings_it_is_named(monkeypatch, driver):
    monkeypatch.setitem(sys.modules, driver, None)

    with pytest.raises(EnvironmentProblem, match=rf"driver {driver} .*\n  make setup EXTRAS=postgres") as problem:
        Gradebook(f"postgresql+{driver}://me:s3cret@localhost/db", COURSE)

    assert "s3cret" not in str(problem.value)


def test_marks_go_into_a_file_of_sqlite_without_loading_what_takes_longer(lite):
    code = f"""
import sys
from grader.system.gradebook import Gradebook
with Gradebook({lite!r}, {COURSE!r}) as book:
    book.prepare()
    book.cells({UNIT!r}, {BOOK!r})
    book.enter("ada", {UNIT!r}, {BOOK!r}, {MARKS!r})
    before = "sqlalchemy" in sys.modules, "nbgrader" in sys.modules
    book.snapshot()
    print(before, "sqlalchemy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "(False, False) True\n"
    with Gradebook(lite, COURSE) as book:
        assert {name: score.auto for name, score in book.scores(UNIT)["ada"].items() if name in MARKS} == MARKS


def test_whether_there_is_a_gradebook_is_told_without_making_one(tmp_path):
    with Gradebook(f"sqlite:///{tmp_path / 'new.db'}", "a course") as book:
        assert not book.is_prepared()
        assert not (tmp_path / "new.db").exists()

        book.prepare()

        assert book.is_prepared()
