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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.logic.marks import refusal
from grader.model.errors import CannotMark, EnvironmentProblem, UsageError
from grader.model.types import KnownCell
from grader.system.database import Connection, Database, as_text, span_of, time_of

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection as EngineConnection
    from sqlalchemy import MetaData, Row, Select, Table

# The points that a late submission loses, or None: of the student's id, the notebook's score and the seconds.
Late = Callable[[str, float, float], "float | None"]

REVISION = "e43177bfe90b"  # the newest schema of nbgrader RELEASE
RELEASE = "0.9"
LONGEST_ID = 128  # PostgreSQL refuses longer ones, SQLite does not
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
CELLS_OF_A_UNIT = """
SELECT unit.id, unit.duedate, book.id, book.name, cell.id, cell.name, cell.type, COALESCE(graded.max_score, task.max_score)
FROM assignment AS unit
LEFT JOIN notebook AS book ON book.assignment_id = unit.id
LEFT JOIN base_cell AS cell ON cell.notebook_id = book.id
LEFT JOIN grade_cells AS graded ON graded.id = cell.id
LEFT JOIN task_cells AS task ON task.id = cell.id
WHERE unit.name = :unit
ORDER BY book.name, cell.name, cell.type
"""
SUBMISSION = """
SELECT id, timestamp, extension FROM submitted_assignment WHERE assignment_id = :unit AND student_id = :student
"""
SUBMITTED = "SELECT notebook_id, id FROM submitted_notebook WHERE assignment_id = :submission"
SCORE = """
SELECT COALESCE(SUM(CASE
    WHEN manual_score IS NOT NULL THEN manual_score + COALESCE(extra_credit, 0.0)
    WHEN auto_score IS NOT NULL THEN auto_score + COALESCE(extra_credit, 0.0)
    ELSE 0.0
END), 0.0)
FROM grade WHERE notebook_id = :submitted
"""
SCORES = """
SELECT handed_in.student_id, grade.cell_id, auto_score, manual_score, extra_credit, needs_manual_grade
FROM submitted_assignment AS handed_in
JOIN submitted_notebook AS submitted ON submitted.assignment_id = handed_in.id
JOIN grade ON grade.notebook_id = submitted.id
WHERE handed_in.assignment_id = :unit
"""
LATE = """
SELECT handed_in.student_id, handed_in.timestamp, handed_in.extension, COALESCE(SUM(late_submission_penalty), 0.0)
FROM submitted_assignment AS handed_in
LEFT JOIN submitted_notebook AS submitted ON submitted.assignment_id = handed_in.id
WHERE handed_in.assignment_id = :unit
GROUP BY handed_in.id, handed_in.student_id, handed_in.timestamp, handed_in.extension
"""


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
        _demand("sqlalchemy", "nbgrader")
        self._database = Database(url)
        self.address = self._database.address  # for messages: without password
        self._file = self._database.file
        self._seen = False
        self._has_course = False

    def __enter__(self) -> Gradebook:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go. A later call makes a new one."""
        self._database.close()

    # ------------------------------------------------------------ the schema

    def prepare(self) -> str:
        """Make the schema or bring it up to date, and add the course's row; what was done, empty where it was all there.

        Any number of processes may ask for it at once: they take turns. The schema is made whole or not at all. Before an older
        schema is changed, a SQLite file is copied to one beside it. `EnvironmentProblem` where the database belongs to
        something else or to a newer nbgrader, and where nbgrader's own steps from the older schema fail.
        """
        if self._file and not self._file.parent.is_dir():
            raise EnvironmentProblem(
                f"There is no folder {self._file.parent}.", "Make it, or mend the gradebook's address."
            )
        done = "" if self._is_in_place() else self._make()
        self._seen = True
        with self._transaction("write") as connection:
            connection.insert("course", [{"id": self.course_id}])
        self._has_course = True
        return done

    def _is_in_place(self) -> bool:
        """Whether all of the newest schema is there."""
        if self._file and not self._file.is_file():
            return False
        with self._database.transaction("read") as connection:
            if not self._database.tables(connection) >= {"alembic_version", *TABLES}:
                return False
            stamps = connection.rows("SELECT version_num FROM alembic_version")
        return stamps == [(REVISION,)] and _installed().startswith(f"{RELEASE}.")

    def _make(self) -> str:
        from sqlalchemy import inspect

        with self._database.engine_transaction("write") as connection:
            if not self._database.is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
            tables = set(inspect(connection).get_table_names())
            stamp = None
            if "alembic_version" in tables:
                stamp = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            return self._bring_up_to_date(connection, tables, stamp)

    def is_prepared(self) -> bool:
        """Whether there is a gradebook; `EnvironmentProblem` where that cannot be found out."""
        try:
            with self._transaction("read"):
                return True
        except _Unprepared:
            return False

    def _bring_up_to_date(self, connection: EngineConnection, tables: Collection[str], stamp: str | None) -> str:
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

    def _upgrade(self, connection: EngineConnection, metadata: MetaData, script: ScriptDirectory) -> str:
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
                f"nbgrader's own steps from an older schema fail for {self.address}: {self._database.reason(error)}. "
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
        order = "rowid" if self._database.is_sqlite else "ctid"
        asked = f"SELECT name, cell_type, source, checksum, locked FROM source_cell WHERE notebook_id = :book ORDER BY {order}"
        with self._transaction("read") as connection:
            found = self._unit(connection, unit).notebook(notebook)
            rows = connection.rows(asked, book=found.id)
        kinds: dict[str, dict[str, float | None]] = {}
        for cell in found.cells:
            kinds.setdefault(cell.name, {})[cell.type] = cell.max_score
        return [_known_cell(row, kinds.get(row[0], {})) for row in rows]

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
        if not self._has_course:
            connection.insert("course", [{"id": self.course_id}])
        connection.insert("student", [{"id": student}])
        connection.insert("submitted_assignment", [{"id": _new_id(), "assignment_id": unit.id, "student_id": student}])
        locking = "" if self._database.is_sqlite else "FOR UPDATE"  # others wait until this transaction ends
        [(submission, stamp, extension)] = connection.rows(f"{SUBMISSION}{locking}", unit=unit.id, student=student)
        stamp = time_of(stamp)
        if timestamp is not None:
            stamp = _utc(timestamp)
            connection.change(
                "UPDATE submitted_assignment SET timestamp = :value WHERE id = :row",
                row=submission,
                value=as_text(stamp),
            )
        books = self._complete(connection, submission, unit)
        return _Submitted(books[notebook.id], _seconds_late(stamp, unit.duedate, span_of(extension)))

    def _complete(self, connection: Connection, submission: str, unit: _Unit) -> dict[str, str]:
        """Add the rows that nbgrader would make for a submission; its notebooks, by the id of the released one."""
        books = dict(connection.rows(SUBMITTED, submission=submission))
        are_new = not books
        start = {"assignment_id": submission, "flagged": False}
        new = [start | {"notebook_id": book.id} for book in unit.notebooks if book.id not in books]
        if new:
            connection.insert("submitted_notebook", [row | {"id": _new_id()} for row in new])
            books = dict(connection.rows(SUBMITTED, submission=submission))
        kinds = {"grade": ({GRADE, TASK}, {"needs_manual_grade": True}), "comment": ({SOLUTION, TASK}, {})}
        for table, (types, start) in kinds.items():
            there: set[tuple[str, str]] = set()
            if not are_new:
                of_books = f"SELECT notebook_id, cell_id FROM {table} WHERE notebook_id IN ({_names('book', books)})"
                there = set(connection.rows(of_books, **_numbered("book", books.values())))
            cells = [(books[book.id], cell.id) for book in unit.notebooks for cell in book.cells if cell.type in types]
            new = [start | {"notebook_id": book, "cell_id": cell} for book, cell in cells if (book, cell) not in there]
            if new:
                connection.insert(table, [row | {"id": _new_id()} for row in new])
        return books

    # ------------------------------------------------------------ reading

    def students(self, unit: str) -> list[str]:
        """The ids of those with a submission of this assignment, sorted."""
        asked = "SELECT student_id FROM submitted_assignment WHERE assignment_id = :unit"
        with self._transaction("read") as connection:
            rows = connection.rows(asked, unit=self._unit(connection, unit).id)
        return sorted(student for (student,) in rows)

    def scores(self, unit: str, notebook: str | None = None) -> dict[str, dict[str, Score]]:
        """The scores of every submission by student and cell, both sorted; tasks are there too.

        Two notebooks of an assignment may use a name twice; then `UsageError` asks for the notebook.
        """
        with self._transaction("read") as connection:
            released = self._unit(connection, unit)
            wanted = released.notebooks if notebook is None else [released.notebook(notebook)]
            rows = connection.rows(SCORES, unit=released.id)
        cells = {cell.id: cell for book in wanted for cell in book.cells}
        scored = [cell.name for cell in cells.values() if cell.type != SOLUTION]
        for name in scored:
            if scored.count(name) > 1:
                raise UsageError(f"Several notebooks of {unit} have a cell {name}.", "Ask for one notebook at a time.")
        found: dict[str, dict[str, Score]] = {student: {} for student in sorted({student for student, *_ in rows})}
        known = (row for row in rows if row[1] in cells)
        for student, cell_id, *scores, look in sorted(known, key=lambda row: cells[row[1]].name):
            cell = cells[cell_id]
            found[student][cell.name] = Score(*scores, bool(look), cell.max_score or 0.0)
        return found

    def late(self, unit: str) -> dict[str, Lateness]:
        """Those who came late, and those who lost points for it when they still counted as late, sorted by student."""
        with self._transaction("read") as connection:
            released = self._unit(connection, unit)
            rows = connection.rows(LATE, unit=released.id)
        found = {
            student: Lateness(_seconds_late(time_of(stamp), released.duedate, span_of(extension)), penalty)
            for student, stamp, extension, penalty in rows
        }
        return {student: found[student] for student in sorted(found) if found[student] != Lateness(0.0, 0.0)}

    def snapshot(self) -> dict[str, Any]:
        """All that a gradebook says, as plain data without its rows' ids: equal for two that say the same.

        Penalties are rounded to a billionth of a point, because databases add a notebook's scores in orders of their own.
        """
        if not self.is_prepared():
            raise self._unprepared()
        with self._database.engine_transaction("read") as connection:
            return {
                what: sorted((_plain(row) for row in connection.execute(asked)), key=repr)
                for what, asked in _everything().items()
            }

    # ------------------------------------------------------------ the database

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[Connection]:
        """To "read" one state of the whole database, or to "write" all of it or nothing; `_Unprepared` where there is none."""
        if self._file and not self._seen and not self._file.is_file():
            raise self._unprepared()
        with self._database.transaction(kind) as connection:
            if not self._seen:
                if "submitted_assignment" not in self._database.tables(connection):
                    raise self._unprepared()
                self._seen = True
            yield connection

    def _unprepared(self) -> _Unprepared:
        return _Unprepared(
            f"There is no gradebook at {self.address}.",
            "Mend the address, or release the first assignment: nbgrader generate_assignment NAME",
        )

    def _unit(self, connection: Connection, name: str) -> _Unit:
        """An assignment with its notebooks and their cells."""
        rows = connection.rows(CELLS_OF_A_UNIT, unit=name)
        if not rows:
            names = sorted(name for (name,) in connection.rows("SELECT name FROM assignment"))
            raise UsageError(
                f"The gradebook {self.address} has no assignment {name!r}.",
                _hint(name, names) or "Release it first: nbgrader generate_assignment NAME",
            )
        books: dict[str, _Notebook] = {}
        for *_, book_id, book_name, cell_id, cell_name, kind, most in rows:
            if book_id is not None:
                notebook = books.setdefault(book_id, _Notebook(book_id, book_name))
                notebook.cells += [_Cell(cell_id, cell_name, kind, most)] if cell_id is not None else []
        return _Unit(rows[0][0], name, time_of(rows[0][1]), list(books.values()))


# ---------------------------------------------------------------- one notebook's rows


def _update_grades(
    connection: Connection, submitted: _Submitted, marks: Mapping[str, float], answers: Collection[str], *, look: bool
) -> None:
    """Write automatic scores by the cell's id, and have a person look at answers, and where ``look`` at everything."""
    cells = [*marks, *answers]
    written = connection.change(
        _grading(len(marks), len(answers), look),
        submitted=submitted.id,
        **_numbered("cell", marks),
        **_numbered("mark", marks.values()),
        **_numbered("answer", answers),
    )
    if written != len(cells):
        raise EnvironmentProblem(
            f"The gradebook took {written} of {len(cells)} marks, so none was written.",
            "Is the submission being removed by another process? Try again.",
        )


@functools.lru_cache(maxsize=64)
def _grading(marks: int, answers: int, look: bool) -> str:
    """That statement, for so many cells with marks and so many answers."""
    which = ", ".join(filter(None, [_names("cell", range(marks)), _names("answer", range(answers))]))
    score = " ".join(f"WHEN :cell{number} THEN CAST(:mark{number} AS DOUBLE PRECISION)" for number in range(marks))
    looked = "TRUE" if look else "manual_score IS NOT NULL"
    if answers and not look:
        looked += f" OR cell_id IN ({_names('answer', range(answers))})"
    return (
        f"UPDATE grade SET auto_score = {f'CASE cell_id {score} END' if marks else 'NULL'}, needs_manual_grade = ({looked}) "
        f"WHERE notebook_id = :submitted AND cell_id IN ({which or 'NULL'})"
    )


def _names(name: str, values: Collection[Any]) -> str:
    """What stands in a statement for so many values."""
    return ", ".join(f":{name}{number}" for number in range(len(values)))


def _numbered(name: str, values: Iterable[Any]) -> dict[str, Any]:
    return {f"{name}{number}": value for number, value in enumerate(values)}


def _penalty(connection: Connection, submitted: _Submitted, student: str, late: Late | None) -> float | None:
    """What a late submission loses, within 0 and the notebook's score; None where nothing was decided."""
    if late is None or not submitted.seconds_late > 0:
        return None
    [(score,)] = connection.rows(SCORE, submitted=submitted.id)
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
    connection.change(
        "UPDATE submitted_notebook SET late_submission_penalty = :value WHERE id = :row",
        row=submitted.id,
        value=penalty,
    )


def _seconds_late(timestamp: datetime | None, due: datetime | None, extension: timedelta | None) -> float:
    if timestamp is None or due is None:
        return 0.0
    return max(0.0, (timestamp - due - (extension or timedelta())).total_seconds())


def _utc(timestamp: datetime) -> datetime:
    """In the way nbgrader keeps times: in UTC, without saying so."""
    return timestamp.astimezone(timezone.utc).replace(tzinfo=None) if timestamp.tzinfo else timestamp


def _known_cell(row: Sequence[Any], kinds: Mapping[str, float | None]) -> KnownCell:
    name, cell_type, source, checksum, locked = row
    return KnownCell(
        name=name,
        cell_type=cell_type,
        source=source or "",
        checksum=checksum,
        locked=bool(locked),
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


# ---------------------------------------------------------------- tables


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


def _is_complete(connection: EngineConnection, metadata: MetaData) -> bool:
    """Whether every table of the newest schema is there with every column."""
    from sqlalchemy import inspect

    seen = inspect(connection)
    there = set(seen.get_table_names())
    return there >= metadata.tables.keys() and all(
        {column["name"] for column in seen.get_columns(name)} >= set(table.c.keys())
        for name, table in metadata.tables.items()
    )


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
