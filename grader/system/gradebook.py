"""nbgrader's gradebook: its schema made once, and the marks of one submission written whole or not at all.

nbgrader commits after every cell, so a process that is killed leaves some marks new and some old. The tables are nbgrader's
and so is the meaning of every column, but the transactions are made here. nbgrader itself is loaded only to make the schema,
since loading it takes longer than writing the marks of a whole class.
"""

from __future__ import annotations

import difflib
import functools
import math
import numbers
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from grader.logic.marks import refusal
from grader.model.errors import CannotMark, EnvironmentProblem, UsageError
from grader.model.types import KnownCell

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory
    from sqlalchemy import URL, Connection, Engine, Insert, MetaData, Row, Select, Table, Update

# The points that a late submission loses, or None: of the student's id, the notebook's score and the seconds.
Late = Callable[[str, float, float], "float | None"]

REVISION = "e43177bfe90b"  # the newest schema of nbgrader RELEASE
RELEASE = "0.9"
LONGEST_ID = 128  # PostgreSQL refuses longer ones, SQLite does not
WAIT_SECONDS = 60  # for another process that is writing
CONNECT_SECONDS = 10
LOCK = int.from_bytes(b"nbgrader", "big")  # by which processes mean the same lock of PostgreSQL's
GRADE, SOLUTION, TASK = "GradeCell", "SolutionCell", "TaskCell"

# nbgrader's tables as far as they are read and written here: each column, and what it holds.
TABLES = {
    "course": "id:text",
    "assignment": "id:text name:text duedate:time course_id:text",
    "notebook": "id:text name:text assignment_id:text kernelspec:text",
    "base_cell": "id:text name:text notebook_id:text type:text",
    "grade_cells": "id:text max_score:number cell_type:text",
    "solution_cells": "id:text",
    "task_cells": "id:text max_score:number cell_type:text",
    "source_cell": "id:text name:text cell_type:text locked:flag source:text checksum:text notebook_id:text",
    "student": "id:text first_name:text last_name:text email:text lms_user_id:text",
    "submitted_assignment": "id:text assignment_id:text student_id:text timestamp:time extension:span",
    "submitted_notebook": "id:text assignment_id:text notebook_id:text flagged:flag late_submission_penalty:number",
    "grade": "id:text notebook_id:text cell_id:text auto_score:number manual_score:number extra_credit:number "
    "needs_manual_grade:flag",
    "comment": "id:text notebook_id:text cell_id:text auto_comment:text manual_comment:text",
}
RELEASED = ("assignment", "notebook", "base_cell", "grade_cells", "task_cells")


class MarkRefused(CannotMark):
    """A mark that must not stand in a gradebook. Nothing of that submission was written."""


class _Unprepared(EnvironmentProblem):
    """There is no gradebook at the address yet."""


@dataclass(frozen=True)
class Score:
    """What the gradebook holds for one cell of one submission; None where nothing was entered."""

    auto: float | None
    manual: float | None
    extra_credit: float | None
    needs_manual_grade: bool
    max_score: float

    @property
    def total(self) -> float:
        """What counts: the manual score before the automatic one, and extra credit on top of either, as in nbgrader."""
        score = self.auto if self.manual is None else self.manual
        return 0.0 if score is None else score + (self.extra_credit or 0.0)


@dataclass(frozen=True)
class Lateness:
    """By how much a submission came too late, extensions counted, and the points that it lost."""

    seconds: float
    penalty: float


@dataclass(frozen=True)
class _Cell:
    id: str
    name: str
    type: str
    max_score: float | None


@dataclass
class _Notebook:
    id: str
    name: str
    cells: list[_Cell] = field(default_factory=list)

    def automatic(self) -> dict[str, _Cell]:
        """The cells that the grader gives marks to: all grade cells but those of `answers`."""
        answers = self.answers()
        return {cell.name: cell for cell in self.cells if cell.type == GRADE and cell.id not in answers}

    def answers(self) -> set[str]:
        """The ids of grade cells that are solution cells too: what students write there, people grade."""
        solutions = {cell.name for cell in self.cells if cell.type == SOLUTION}
        return {cell.id for cell in self.cells if cell.type == GRADE and cell.name in solutions}


@dataclass(frozen=True)
class _Unit:
    """An assignment as it was released."""

    id: str
    name: str
    duedate: datetime | None
    notebooks: list[_Notebook]

    def notebook(self, name: str) -> _Notebook:
        for notebook in self.notebooks:
            if notebook.name == name:
                return notebook
        names = [notebook.name for notebook in self.notebooks]
        raise UsageError(
            f"The assignment {self.name} has no notebook {name!r} in the gradebook.",
            _hint(name, names) or f"Release it first: nbgrader generate_assignment {self.name}",
        )


@dataclass(frozen=True)
class _Submitted:
    """A notebook of a submission whose rows are all there and belong to this transaction until it ends."""

    id: str
    seconds_late: float


class Gradebook:
    """One course's gradebook, in SQLite or PostgreSQL, at an address as SQLAlchemy writes it.

    Nothing is connected before it is used. Not for two threads at once, nor for both sides of a fork. Every method
    raises `EnvironmentProblem` where the database cannot be reached, was never prepared, or refuses a statement.
    """

    def __init__(self, url: str, course_id: str) -> None:
        if not course_id:
            raise UsageError(
                "A gradebook needs the course's id.", "Set c.CourseDirectory.course_id in nbgrader_config.py."
            )
        _check_id("The course's id", course_id)
        self.course_id = course_id
        self._url = _parsed(url)
        self.address = _shown(self._url)  # for messages: without password
        self._engine = _engine(self._url)
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        self._file = _file_of(self._url) if self._is_sqlite else None
        self._seen = False
        self._has_course = False

    def __enter__(self) -> Gradebook:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go. A later call makes a new one."""
        self._engine.dispose()

    # ------------------------------------------------------------ the schema

    def prepare(self) -> str:
        """Make the schema or bring it up to date, and add the course's row; what was done, empty where it was all there.

        Any number of processes may ask for it at once: they take turns. All of it happens or nothing. Before an older
        schema is changed, a SQLite file is copied to one beside it. `EnvironmentProblem` where the database belongs to
        something else or to a newer nbgrader, and where nbgrader's own steps from the older schema fail.
        """
        from sqlalchemy import inspect

        if self._file and not self._file.parent.is_dir():
            raise EnvironmentProblem(
                f"There is no folder {self._file.parent}.", "Make it, or mend the gradebook's address."
            )
        self._seen = True
        with self._transaction("write") as connection:
            if not self._is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
            tables = set(inspect(connection).get_table_names())
            stamp = None
            if "alembic_version" in tables:
                stamp = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            in_place = stamp == REVISION and tables >= TABLES.keys() and _installed().startswith(f"{RELEASE}.")
            done = "" if in_place else self._bring_up_to_date(connection, tables, stamp)
            self._insert(connection, "course", [{"id": self.course_id}])
        self._has_course = True
        return done

    def is_prepared(self) -> bool:
        """Whether there is a gradebook; `EnvironmentProblem` where that cannot be found out."""
        try:
            with self._transaction("read"):
                return True
        except _Unprepared:
            return False

    def _bring_up_to_date(self, connection: Connection, tables: Collection[str], stamp: str | None) -> str:
        metadata, script = _nbgraders_schema()
        head = script.get_current_head()
        if stamp is not None and stamp not in {step.revision for step in script.walk_revisions()}:
            raise EnvironmentProblem(
                f"The database {self.address} is not one of nbgrader {_installed()}: its revision is {stamp}.",
                "Mend the gradebook's address; where a newer nbgrader made it, install that one.",
            )
        was_there = bool(metadata.tables.keys() & set(tables))
        if (stamp is None and was_there and not _is_complete(connection, metadata)) or stamp not in (None, head):
            return self._upgrade(connection, metadata, script)
        metadata.create_all(connection)
        if stamp is None:
            if "alembic_version" not in tables:
                connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            connection.exec_driver_sql(f"INSERT INTO alembic_version (version_num) VALUES ('{head}')")
        return "" if stamp else f"The gradebook {self.address} was {'completed' if was_there else 'made'}."

    def _upgrade(self, connection: Connection, metadata: MetaData, script: ScriptDirectory) -> str:
        from alembic.config import Config
        from alembic.runtime.environment import EnvironmentContext

        def steps(revision: Any, context: Any) -> Any:
            return script._upgrade_revs("head", revision)  # what `alembic upgrade head` does, in this transaction

        backup = self._copy_beside() if self._file else None
        try:
            metadata.create_all(connection)  # as nbgrader does whenever it connects
            with EnvironmentContext(Config(), script, fn=steps) as environment:
                environment.configure(connection=connection, target_metadata=metadata)
                environment.run_migrations()
        except Exception as error:
            if backup:
                backup.unlink()
            raise EnvironmentProblem(
                f"nbgrader's own steps from an older schema fail for {self.address}: {self._reason(error)}. "
                "Nothing was changed.",
                "Use a new gradebook, or ask for help where nbgrader is developed: its command is `nbgrader db upgrade`.",
            ) from None
        kept = f"; what it was is kept as {backup.name}" if backup else ""
        return f"The gradebook {self.address} now has the schema of nbgrader {_installed()}{kept}."

    def _copy_beside(self) -> Path:
        import sqlite3

        now = datetime.now()
        backup = self._file.with_name(f"{self._file.name}.bak-{now:%Y%m%d-%H%M%S}-{now.microsecond:06}")
        source, target = sqlite3.connect(self._file), sqlite3.connect(backup)
        source.backup(target)
        source.close()
        target.close()
        return backup

    # ------------------------------------------------------------ what was released

    def cells(self, unit: str, notebook: str) -> list[KnownCell]:
        """The cells of a released notebook that nbgrader knows, in the order in which they were released.

        SQLite keeps that order. On PostgreSQL a cell that a later release changed may come after those it left alone.
        Points are those of grade cells and of tasks.
        """
        from sqlalchemy import select, text

        source = _tables()["source_cell"]
        order = text("source_cell.rowid" if self._is_sqlite else "source_cell.ctid")
        with self._transaction("read") as connection:
            found = self._unit(connection, unit).notebook(notebook)
            rows = connection.execute(select(source).where(source.c.notebook_id == found.id).order_by(order)).all()
        kinds: dict[str, dict[str, float | None]] = {}
        for cell in found.cells:
            kinds.setdefault(cell.name, {})[cell.type] = cell.max_score
        return [_known_cell(row, kinds.get(row.name, {})) for row in rows]

    # ------------------------------------------------------------ one submission

    def reset(self, student: str, unit: str, notebook: str, *, timestamp: datetime | None = None) -> None:
        """Set every automatic score of a notebook to 0.0, and all of it to be looked at by a person.

        Student and submission are there afterwards. Manual scores, extra credit and comments stay; the late penalty,
        which was one of the scores before, goes. Without a timestamp the submission keeps the one that it has.
        """
        with self._transaction("write") as connection:
            released = self._unit(connection, unit)
            book = released.notebook(notebook)
            submitted = self._submitted(connection, student, released, book, timestamp)
            zeros = dict.fromkeys((cell.id for cell in book.automatic().values()), 0.0)
            _update_grades(connection, submitted, zeros, book.answers(), look=True)
            _update_penalty(connection, submitted, None)

    def enter(
        self,
        student: str,
        unit: str,
        notebook: str,
        marks: Mapping[str, float],
        *,
        timestamp: datetime | None = None,
        late: Late | None = None,
    ) -> None:
        """Write the automatic scores of a submission, and nothing at all where one of them is refused.

        ``marks`` has exactly the notebook's grade cells, each with a float from 0 to its maximum, else `MarkRefused`.
        Cells whose answers people grade are not among them; these have to be looked at afterwards and, as in nbgrader,
        so has a cell with a manual score. The late penalty is what ``late`` says where the submission is late, within 0
        and the notebook's score.
        Student and submission are there afterwards. Without a timestamp the submission keeps the one that it has.
        """
        with self._transaction("write") as connection:
            released = self._unit(connection, unit)
            book = released.notebook(notebook)
            cells = book.automatic()
            why = refusal(marks, {name: cell.max_score for name, cell in cells.items()})
            if why:
                raise MarkRefused(f"{student} gets no marks for {notebook} of {unit}: {why}.")
            submitted = self._submitted(connection, student, released, book, timestamp)
            by_cell = {cell.id: marks[name] + 0.0 for name, cell in cells.items()}  # -0.0 is 0.0 everywhere
            _update_grades(connection, submitted, by_cell, book.answers(), look=False)
            _update_penalty(connection, submitted, _penalty(connection, submitted, student, late))

    def _submitted(
        self, connection: Connection, student: str, unit: _Unit, notebook: _Notebook, timestamp: datetime | None
    ) -> _Submitted:
        """The rows of a submission: those that are missing are made, and other processes wait until this one is done."""
        _check_id("The student's id", student)
        key = {"assignment_id": unit.id, "student_id": student}
        if not self._has_course:
            self._insert(connection, "course", [{"id": self.course_id}])
        self._insert(connection, "student", [{"id": student}])
        self._insert(connection, "submitted_assignment", [key | {"id": _new_id()}])
        row = connection.execute(_asking_for_a_submission(), {"unit": unit.id, "student": student}).one()
        stamp = row.timestamp
        if timestamp is not None:
            stamp = _utc(timestamp)
            connection.execute(_setting("submitted_assignment", "timestamp"), {"row": row.id, "value": stamp})
        books = self._complete(connection, row.id, unit)
        return _Submitted(books[notebook.id], _seconds_late(stamp, unit.duedate, row.extension))

    def _complete(self, connection: Connection, submission: str, unit: _Unit) -> dict[str, str]:
        """Add the rows that nbgrader would make for a submission; its notebooks, by the id of the released one."""
        from sqlalchemy import select

        tables = _tables()
        asked = _asking_for_notebooks(), {"submission": submission}
        books = dict(tuple(row) for row in connection.execute(*asked))
        are_new = not books
        start = {"assignment_id": submission, "flagged": False}
        new = [start | {"notebook_id": book.id} for book in unit.notebooks if book.id not in books]
        if new:
            self._insert(connection, "submitted_notebook", [row | {"id": _new_id()} for row in new])
            books = dict(tuple(row) for row in connection.execute(*asked))
        kinds = {"grade": ({GRADE, TASK}, {"needs_manual_grade": True}), "comment": ({SOLUTION, TASK}, {})}
        for name, (types, start) in kinds.items():
            rows = tables[name]
            there: set[tuple[str, str]] = set()
            if not are_new:
                known = select(rows.c.notebook_id, rows.c.cell_id).where(rows.c.notebook_id.in_(books.values()))
                there = {(book, cell) for book, cell in connection.execute(known)}
            cells = [(books[book.id], cell.id) for book in unit.notebooks for cell in book.cells if cell.type in types]
            new = [start | {"notebook_id": book, "cell_id": cell} for book, cell in cells if (book, cell) not in there]
            if new:
                self._insert(connection, name, [row | {"id": _new_id()} for row in new])
        return books

    # ------------------------------------------------------------ reading

    def students(self, unit: str) -> list[str]:
        """The ids of those with a submission of this assignment, sorted."""
        from sqlalchemy import select

        submissions = _tables()["submitted_assignment"]
        with self._transaction("read") as connection:
            released = self._unit(connection, unit)
            asked = select(submissions.c.student_id).where(submissions.c.assignment_id == released.id)
            return sorted(connection.execute(asked).scalars())

    def scores(self, unit: str, notebook: str | None = None) -> dict[str, dict[str, Score]]:
        """The scores of every submission by student and cell, both sorted; tasks are there too.

        Two notebooks of an assignment may use a name twice; then `UsageError` asks for the notebook.
        """
        from sqlalchemy import select

        tables = _tables()
        submissions, books, grades = tables["submitted_assignment"], tables["submitted_notebook"], tables["grade"]
        asked = (
            select(submissions.c.student_id, grades)
            .join(books, books.c.assignment_id == submissions.c.id)
            .join(grades, grades.c.notebook_id == books.c.id)
        )
        with self._transaction("read") as connection:
            released = self._unit(connection, unit)
            wanted = released.notebooks if notebook is None else [released.notebook(notebook)]
            rows = connection.execute(asked.where(submissions.c.assignment_id == released.id)).all()
        cells = {cell.id: cell for book in wanted for cell in book.cells}
        scored = [cell.name for cell in cells.values() if cell.type != SOLUTION]
        for name in scored:
            if scored.count(name) > 1:
                raise UsageError(f"Several notebooks of {unit} have a cell {name}.", "Ask for one notebook at a time.")
        found: dict[str, dict[str, Score]] = {student: {} for student in sorted({row.student_id for row in rows})}
        for row in sorted((row for row in rows if row.cell_id in cells), key=lambda row: cells[row.cell_id].name):
            cell = cells[row.cell_id]
            score = (row.auto_score, row.manual_score, row.extra_credit, bool(row.needs_manual_grade))
            found[row.student_id][cell.name] = Score(*score, cell.max_score or 0.0)
        return found

    def late(self, unit: str) -> dict[str, Lateness]:
        """Those who came late, and those who lost points for it when they still counted as late, sorted by student."""
        from sqlalchemy import func, select

        tables = _tables()
        submissions, books = tables["submitted_assignment"], tables["submitted_notebook"]
        penalty = func.coalesce(func.sum(books.c.late_submission_penalty), 0.0).label("penalty")
        asked = (
            select(submissions.c.student_id, submissions.c.timestamp, submissions.c.extension, penalty)
            .outerjoin(books, books.c.assignment_id == submissions.c.id)
            .group_by(submissions.c.id, submissions.c.student_id, submissions.c.timestamp, submissions.c.extension)
            .order_by(submissions.c.student_id)
        )
        with self._transaction("read") as connection:
            released = self._unit(connection, unit)
            rows = connection.execute(asked.where(submissions.c.assignment_id == released.id)).all()
        found = {
            row.student_id: Lateness(_seconds_late(row.timestamp, released.duedate, row.extension), row.penalty)
            for row in rows
        }
        return {student: found[student] for student in sorted(found) if found[student] != Lateness(0.0, 0.0)}

    def snapshot(self) -> dict[str, Any]:
        """All that a gradebook says, as plain data without its rows' ids: equal for two that say the same.

        Penalties are rounded to a billionth of a point, because databases add a notebook's scores in orders of their own.
        """
        with self._transaction("read") as connection:
            return {
                what: sorted((_plain(row) for row in connection.execute(asked)), key=repr)
                for what, asked in _everything().items()
            }

    # ------------------------------------------------------------ the database

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[Connection]:
        """To "read" one state of the whole database, or to "write" all of it or nothing."""
        from sqlalchemy import inspect
        from sqlalchemy.exc import DBAPIError

        if self._file and not self._seen and not self._file.is_file():
            raise self._unprepared()
        try:
            with self._engine.connect() as connection, connection.begin():
                if self._is_sqlite:
                    connection.exec_driver_sql("BEGIN IMMEDIATE" if kind == "write" else "BEGIN")
                elif kind == "write":
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_SECONDS}s'")
                else:
                    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                if not self._seen:
                    if not inspect(connection).has_table("submitted_assignment"):
                        raise self._unprepared()
                    self._seen = True
                yield connection
        except DBAPIError as error:
            raise EnvironmentProblem(
                f"The gradebook {self.address} cannot be used: {self._reason(error)}.",
                "Where another process is writing to it, try again; else look at its address, and whether it is running.",
            ) from None

    def _unprepared(self) -> _Unprepared:
        return _Unprepared(
            f"There is no gradebook at {self.address}.",
            "Mend the address, or release the first assignment: nbgrader generate_assignment NAME",
        )

    def _reason(self, error: Exception) -> str:
        """What a driver says, in one line, without any password of the address."""
        text = " ".join(str(getattr(error, "orig", None) or error).split()).rstrip(".")
        passwords = [self._url.password, *_many(self._url.query.get("password"))]
        for password in filter(None, passwords):
            for spelled in (str(password), quote(str(password)), quote(str(password), safe="")):
                text = text.replace(spelled, "***")
        return text

    def _insert(self, connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows; one that is there already, or that another process is adding just now, stays as it is."""
        connection.execute(_inserting(self._engine.dialect.name, table), rows)

    def _unit(self, connection: Connection, name: str) -> _Unit:
        """An assignment with its notebooks and their cells."""
        rows = [tuple(row) for row in connection.execute(_asking_for_a_unit(), {"unit": name})]
        if not rows:
            from sqlalchemy import select

            names = sorted(connection.execute(select(_tables()["assignment"].c.name)).scalars())
            raise UsageError(
                f"The gradebook {self.address} has no assignment {name!r}.",
                _hint(name, names) or "Release it first: nbgrader generate_assignment NAME",
            )
        books: dict[str, _Notebook] = {}
        for *_, book_id, book_name, cell_id, cell_name, kind, most in rows:
            if book_id is not None:
                notebook = books.setdefault(book_id, _Notebook(book_id, book_name))
                notebook.cells += [_Cell(cell_id, cell_name, kind, most)] if cell_id is not None else []
        return _Unit(rows[0][0], name, rows[0][1], list(books.values()))


# ---------------------------------------------------------------- one notebook's rows


def _update_grades(
    connection: Connection, submitted: _Submitted, marks: Mapping[str, float], answers: Collection[str], *, look: bool
) -> None:
    """Write automatic scores by the cell's id, and have a person look at answers, and where ``look`` at everything."""
    cells = [*marks, *answers]
    given = {f"mark{number}": mark for number, mark in enumerate(marks.values())}
    statement = _grading(tuple(marks), tuple(answers), look)
    written = connection.execute(statement, {"submitted": submitted.id, **given}).rowcount
    if written != len(cells):
        raise EnvironmentProblem(
            f"The gradebook took {written} of {len(cells)} marks, so none was written.",
            "Is the submission being removed by another process? Try again.",
        )


@functools.lru_cache(maxsize=64)
def _grading(cells: tuple[str, ...], answers: tuple[str, ...], look: bool) -> Update:
    """That statement, where the marks of the cells are given as ``mark0``, ``mark1``, …; slow to make."""
    from sqlalchemy import Float, bindparam, case, cast, or_, true

    grades = _tables()["grade"]
    by_cell = {cell: cast(bindparam(f"mark{number}"), Float(53)) for number, cell in enumerate(cells)}
    looked = or_(grades.c.manual_score.is_not(None), grades.c.cell_id.in_(answers))
    return (
        grades.update()
        .where((grades.c.notebook_id == bindparam("submitted")) & grades.c.cell_id.in_([*cells, *answers]))
        .values(
            auto_score=case(by_cell, value=grades.c.cell_id) if cells else None,  # none for an answer
            needs_manual_grade=true() if look else looked,
        )
    )


def _penalty(connection: Connection, submitted: _Submitted, student: str, late: Late | None) -> float | None:
    """What a late submission loses, within 0 and the notebook's score; None where nothing was decided."""
    from sqlalchemy import case, func, select

    if late is None or not submitted.seconds_late > 0:
        return None
    grades = _tables()["grade"]
    extra = func.coalesce(grades.c.extra_credit, 0.0)
    counts = case(
        (grades.c.manual_score.is_not(None), grades.c.manual_score + extra),
        (grades.c.auto_score.is_not(None), grades.c.auto_score + extra),
        else_=0.0,
    )
    asked = select(func.coalesce(func.sum(counts), 0.0)).where(grades.c.notebook_id == submitted.id)
    score = float(connection.execute(asked).scalar_one())
    try:
        penalty = late(student, score, submitted.seconds_late)
    except Exception as error:
        raise MarkRefused(
            f"{student} gets no marks: the plug-in for late submissions raised {type(error).__name__}: {error}"
        ) from error
    if penalty is None:
        return None
    if not isinstance(penalty, numbers.Real) or not math.isfinite(penalty):
        raise MarkRefused(
            f"{student} gets no marks: the plug-in for late submissions returned {penalty!r}.",
            "It has to return a number of points, or None.",
        )
    return min(max(float(penalty), 0.0), score)


def _update_penalty(connection: Connection, submitted: _Submitted, penalty: float | None) -> None:
    statement = _setting("submitted_notebook", "late_submission_penalty")
    connection.execute(statement, {"row": submitted.id, "value": penalty})


def _seconds_late(timestamp: datetime | None, due: datetime | None, extension: timedelta | None) -> float:
    if timestamp is None or due is None:
        return 0.0
    return max(0.0, (timestamp - due - (extension or timedelta())).total_seconds())


def _utc(timestamp: datetime) -> datetime:
    """In the way nbgrader keeps times: in UTC, without saying so."""
    return timestamp.astimezone(timezone.utc).replace(tzinfo=None) if timestamp.tzinfo else timestamp


def _known_cell(row: Row, kinds: Mapping[str, float | None]) -> KnownCell:
    return KnownCell(
        name=row.name,
        cell_type=row.cell_type,
        source=row.source or "",
        checksum=row.checksum,
        locked=bool(row.locked),
        grade=GRADE in kinds,
        solution=SOLUTION in kinds,
        task=TASK in kinds,
        points=kinds.get(GRADE, kinds.get(TASK)),
    )


def _hint(wanted: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]}?"
    return f"There is: {', '.join(names)}." if names else ""


def _check_id(what: str, name: str) -> None:
    """Refuse a name that one of the databases would not take."""
    problem = ""
    if not name:
        problem = "is empty"
    elif len(name) > LONGEST_ID:
        problem = f"has {len(name)} characters, and {LONGEST_ID} are the most"
    elif "\0" in name or name != name.encode("utf-8", "replace").decode("utf-8"):
        problem = f"has characters that no database takes: {name!a}"
    if problem:
        raise UsageError(f"{what} {problem}.")


def _new_id() -> str:
    return uuid.uuid4().hex


# ---------------------------------------------------------------- all that a gradebook says


def _everything() -> dict[str, Select]:
    """A query for each kind of row, with the names of what a row belongs to in place of ids.

    Joins are outer ones, so that a row that belongs to nothing is seen.
    """
    from sqlalchemy import func, select

    tables = _tables()
    unit, book, cell = tables["assignment"], tables["notebook"], tables["base_cell"]
    source, grade_cell, task_cell = tables["source_cell"], tables["grade_cells"], tables["task_cells"]
    submission, submitted = tables["submitted_assignment"], tables["submitted_notebook"]
    grade, comment, student = tables["grade"], tables["comment"], tables["student"]
    names = (unit.c.name.label("assignment"), book.c.name.label("notebook"))
    whose = (submission.c.student_id.label("student"), *names)
    which = (cell.c.name.label("cell"), cell.c.type)
    in_book = book.outerjoin(unit, unit.c.id == book.c.assignment_id)
    handed_in = (
        submitted.outerjoin(submission, submission.c.id == submitted.c.assignment_id)
        .outerjoin(book, book.c.id == submitted.c.notebook_id)
        .outerjoin(unit, unit.c.id == submission.c.assignment_id)
    )

    def of_cells(rows: Table, *columns: str) -> Select:
        joined = rows.outerjoin(handed_in, submitted.c.id == rows.c.notebook_id)
        joined = joined.outerjoin(cell, cell.c.id == rows.c.cell_id)
        return select(*whose, *which, *(rows.c[name] for name in columns)).select_from(joined)

    points = func.coalesce(grade_cell.c.max_score, task_cell.c.max_score).label("max_score")
    kind = func.coalesce(_text(grade_cell.c.cell_type), _text(task_cell.c.cell_type)).label("cell_type")
    cells = cell.outerjoin(in_book, book.c.id == cell.c.notebook_id)
    cells = cells.outerjoin(grade_cell, grade_cell.c.id == cell.c.id).outerjoin(task_cell, task_cell.c.id == cell.c.id)
    sources = source.outerjoin(in_book, book.c.id == source.c.notebook_id)
    submissions = submission.outerjoin(unit, unit.c.id == submission.c.assignment_id)
    return {
        "courses": select(tables["course"]),
        "students": select(student),
        "assignments": select(unit.c.name, unit.c.course_id.label("course"), unit.c.duedate),
        "notebooks": select(*names, book.c.kernelspec).select_from(in_book),
        "cells": select(*names, *which, points, kind).select_from(cells),
        "sources": select(
            *names, source.c.name, source.c.cell_type, source.c.locked, source.c.source, source.c.checksum
        ).select_from(sources),
        "submissions": select(
            unit.c.name.label("assignment"),
            submission.c.student_id.label("student"),
            submission.c.timestamp,
            submission.c.extension,
        ).select_from(submissions),
        "submitted": select(*whose, submitted.c.flagged, submitted.c.late_submission_penalty).select_from(handed_in),
        "grades": of_cells(grade, "auto_score", "manual_score", "extra_credit", "needs_manual_grade"),
        "comments": of_cells(comment, "auto_comment", "manual_comment"),
    }


def _text(column: Any) -> Any:
    from sqlalchemy import String, cast

    return cast(column, String)


def _plain(row: Row) -> dict[str, Any]:
    plain = {}
    for name, value in row._mapping.items():
        if isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, timedelta):
            value = value.total_seconds()
        elif name == "late_submission_penalty" and value is not None:
            value = round(value, 9)
        plain[name] = value
    return plain


# ---------------------------------------------------------------- addresses, drivers, tables


def _parsed(url: str) -> URL:
    _demand("sqlalchemy", "nbgrader")
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    unreadable = UsageError(
        "The gradebook's address cannot be read.",
        "It looks like sqlite:///gradebook.db or postgresql+psycopg://USER:PASSWORD@HOST/NAME. "
        "In a password write %40 for @, %3A for :, %2F for / and %25 for %.",
    )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise unreadable from None  # the error quotes the address, with the password in it
    if "@" in (parsed.host or "") or "@" in (parsed.database or "") * bool(parsed.host):
        raise unreadable
    kind = parsed.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise UsageError(
            f"A gradebook's address begins with sqlite or postgresql, not with {kind}.",
            "It looks like sqlite:///gradebook.db or postgresql+psycopg://USER:PASSWORD@HOST/NAME.",
        )
    return parsed


def _shown(url: URL) -> str:
    """The address without its password and without its options, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)


def _engine(url: URL) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    is_sqlite = url.get_backend_name() == "sqlite"
    waiting = {"timeout": WAIT_SECONDS} if is_sqlite else {"connect_timeout": CONNECT_SECONDS}
    if "connect_timeout" in url.query:
        waiting = {}
    try:
        return create_engine(url, connect_args=waiting)
    except ImportError as error:
        raise EnvironmentProblem(
            f"The driver {error.name or url.drivername} of {_shown(url)} is not installed here.",
            "make setup EXTRAS=postgres",
        ) from None
    except (ArgumentError, NoSuchModuleError):
        raise UsageError(
            f"The gradebook's address names a driver that is not known: {url.drivername}.",
            "For PostgreSQL write postgresql+psycopg or postgresql+psycopg2.",
        ) from None


def _file_of(url: URL) -> Path | None:
    """The file of a SQLite database; None for one in memory."""
    name = url.database or ""
    return None if name in ("", ":memory:") or name.startswith("file:") else Path(name)


def _demand(module: str, extra: str) -> None:
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise EnvironmentProblem("nbgrader is not installed here.", f"make setup EXTRAS={extra}")


def _installed() -> str:
    """The release of nbgrader that is installed; `EnvironmentProblem` without one."""
    import importlib.metadata

    try:
        return importlib.metadata.version("nbgrader")
    except importlib.metadata.PackageNotFoundError:
        raise EnvironmentProblem("nbgrader is not installed here.", "make setup EXTRAS=nbgrader") from None


def _nbgraders_schema() -> tuple[MetaData, ScriptDirectory]:
    """The tables of the nbgrader that is installed, and its steps from older schemas."""
    _demand("nbgrader", "nbgrader")
    from alembic.script import ScriptDirectory
    from nbgrader.api import Base
    from nbgrader.dbutil import ALEMBIC_DIR

    return Base.metadata, ScriptDirectory(ALEMBIC_DIR)


def _is_complete(connection: Connection, metadata: MetaData) -> bool:
    """Whether every table of the newest schema is there with every column."""
    from sqlalchemy import inspect

    seen = inspect(connection)
    there = set(seen.get_table_names())
    return there >= metadata.tables.keys() and all(
        {column["name"] for column in seen.get_columns(name)} >= set(table.c.keys())
        for name, table in metadata.tables.items()
    )


@functools.cache
def _asking_for_a_unit() -> Select:
    """The cells of an assignment's notebooks, of the assignment that is given as ``unit``."""
    from sqlalchemy import bindparam, func, select

    unit, book, cell, grade, task = (_tables()[name] for name in RELEASED)
    points = func.coalesce(grade.c.max_score, task.c.max_score).label("max_score")
    return (
        select(unit.c.id, unit.c.duedate, book.c.id, book.c.name, cell.c.id, cell.c.name, cell.c.type, points)
        .outerjoin(book, book.c.assignment_id == unit.c.id)
        .outerjoin(cell, cell.c.notebook_id == book.c.id)
        .outerjoin(grade, grade.c.id == cell.c.id)
        .outerjoin(task, task.c.id == cell.c.id)
        .where(unit.c.name == bindparam("unit"))
        .order_by(book.c.name, cell.c.name, cell.c.type)
    )


@functools.cache
def _inserting(dialect: str, table: str) -> Insert:
    """A dialect's own insert, which leaves rows that are there as they are. Each dialect is slow to import."""
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert
    return insert(_tables()[table]).on_conflict_do_nothing()


@functools.cache
def _asking_for_a_submission() -> Select:
    """The row of a ``student``'s submission of an assignment, given as ``unit``; others wait until this transaction ends."""
    from sqlalchemy import bindparam, select

    table = _tables()["submitted_assignment"]
    found = (table.c.assignment_id == bindparam("unit")) & (table.c.student_id == bindparam("student"))
    return select(table).where(found).with_for_update()


@functools.cache
def _asking_for_notebooks() -> Select:
    """The notebooks of a ``submission``, by the id of the released one."""
    from sqlalchemy import bindparam, select

    table = _tables()["submitted_notebook"]
    return select(table.c.notebook_id, table.c.id).where(table.c.assignment_id == bindparam("submission"))


@functools.cache
def _setting(table: str, column: str) -> Update:
    """An update of one column to ``value``, in the row with the id ``row``."""
    from sqlalchemy import bindparam

    rows = _tables()[table]
    return rows.update().where(rows.c.id == bindparam("row")).values({column: bindparam("value")})


@functools.cache
def _tables() -> dict[str, Table]:
    from sqlalchemy import Boolean, Column, DateTime, Float, Interval, MetaData, String, Table

    types = {"text": String, "number": Float, "flag": Boolean, "time": DateTime, "span": Interval}
    metadata = MetaData()
    found = {}
    for name, line in TABLES.items():
        columns = (pair.split(":") for pair in line.split())
        found[name] = Table(name, metadata, *(Column(column, types[kind]) for column, kind in columns))
    return found


def _many(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())
