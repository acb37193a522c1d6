"""What has been done in grading a class, so that it goes on where it stopped: an SQLite file beside the tables.

One process writes, one transaction for each submission. A verdict is found again by whose it is, of which exercise, by what
was handed in and by what it was graded with; anything else is graded anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grader.model.errors import GraderError, UsageError
from grader.model.types import CheckResult, Report

FORMAT = 1
WAIT_SECONDS = 1.0
SCHEMA = """
CREATE TABLE verdicts (
    key TEXT PRIMARY KEY, student TEXT NOT NULL, exercise TEXT NOT NULL, digest TEXT NOT NULL, fingerprint TEXT NOT NULL,
    graded TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, report TEXT NOT NULL
);
CREATE TABLE entered (
    gradebook TEXT NOT NULL, student TEXT NOT NULL, unit TEXT NOT NULL, what TEXT NOT NULL,
    PRIMARY KEY (gradebook, student, unit)
);
CREATE TABLE written (name TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (name, digest));
"""
TAKEN = """
CREATE TABLE IF NOT EXISTS taken (
    student TEXT NOT NULL, exercise TEXT NOT NULL, file TEXT NOT NULL, PRIMARY KEY (student, exercise)
)
"""


class LedgerDamaged(GraderError):
    """The file is no ledger, or one that this version cannot read."""


@dataclass(frozen=True)
class Key:
    """What a verdict depends on. ``digest``: of the submission; ``fingerprint``: of checks, engine and seed."""

    student: str
    exercise: str
    digest: str
    fingerprint: str

    @property
    def short(self) -> str:
        """All of it as one text."""
        parts = json.dumps(dataclasses.astuple(self))
        return hashlib.sha256(parts.encode()).hexdigest()


class Ledger:
    """The file, open for one process alone.

    `UsageError` where another process holds it, or the folder cannot be written to; `LedgerDamaged` where it is no ledger.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_new = not path.exists()
        try:
            self._connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise self._problem(error) from None
        try:
            self._open()
        except sqlite3.Error as error:
            self._connection.close()
            raise self._problem(error) from None
        except BaseException:
            self._connection.close()
            raise

    def _open(self) -> None:
        # Alone with the file, a write-ahead log needs no shared memory, so folders on a network will do.
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("BEGIN EXCLUSIVE")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0 and not self._connection.execute("SELECT name FROM sqlite_master").fetchall():
            for statement in filter(str.strip, SCHEMA.split(";")):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")
        elif version != FORMAT:
            self._connection.execute("ROLLBACK")
            raise LedgerDamaged(f"{self.path} has format {version}, not {FORMAT}.")
        self._connection.execute(TAKEN)
        self._connection.execute("COMMIT")

    def _problem(self, error: sqlite3.Error) -> GraderError:
        if "locked" in str(error):
            return UsageError(
                f"Another process is writing to {self.path.parent}.", "Wait until it is done, or name another folder."
            )
        if isinstance(error, sqlite3.OperationalError):
            return UsageError(f"{self.path} cannot be written: {error}.", "Name a folder that can be written to.")
        return LedgerDamaged(f"{self.path} cannot be read: {error}.")

    def find(self, key: Key) -> Report | None:
        """The verdict that is kept, or None; one that cannot be read counts as none."""
        row = self._connection.execute("SELECT report FROM verdicts WHERE key = ?", (key.short,)).fetchone()
        try:
            return _report(row[0]) if row else None
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def keep(self, key: Key, report: Report) -> None:
        """Keep a verdict: it is there after whatever happens next, unless the power fails."""
        row = (key.short, _plain(key.student), key.exercise, key.digest, key.fingerprint, _text(report))
        statement = "INSERT OR REPLACE INTO verdicts (key, student, exercise, digest, fingerprint, report)"
        self._write(f"{statement} VALUES (?, ?, ?, ?, ?, ?)", row)

    def was_entered(self, gradebook: str, student: str, unit: str) -> str:
        """What was last entered into a gradebook, as `note_entered` was told; empty for nothing."""
        statement = "SELECT what FROM entered WHERE gradebook = ? AND student = ? AND unit = ?"
        row = self._connection.execute(statement, (gradebook, _plain(student), unit)).fetchone()
        return row[0] if row else ""

    def note_entered(self, gradebook: str, student: str, unit: str, what: str) -> None:
        """Note what was entered into a gradebook."""
        self._write("INSERT OR REPLACE INTO entered VALUES (?, ?, ?, ?)", (gradebook, _plain(student), unit, what))

    def taken(self) -> dict[tuple[str, str], str]:
        """Which of several files was said to be meant, by student and exercise."""
        rows = self._connection.execute("SELECT student, exercise, file FROM taken").fetchall()
        return {(student, exercise): file for student, exercise, file in rows}

    def note_taken(self, student: str, exercise: str, file: str) -> None:
        """Note which file is meant."""
        self._write("INSERT OR REPLACE INTO taken VALUES (?, ?, ?)", (_plain(student), exercise, _plain(file)))

    def is_ours(self, name: str, data: bytes) -> bool:
        """Whether a file holds what was written there from here, once."""
        row = (name, hashlib.sha256(data).hexdigest())
        return bool(self._connection.execute("SELECT 1 FROM written WHERE name = ? AND digest = ?", row).fetchone())

    def note_written(self, files: Mapping[str, bytes]) -> None:
        """Note what is about to be written, by the files' names."""
        for name, data in files.items():
            row = (name, hashlib.sha256(data).hexdigest())
            self._write("INSERT OR IGNORE INTO written VALUES (?, ?)", row)

    def _write(self, statement: str, row: tuple[str, ...]) -> None:
        try:
            self._connection.execute(statement, row)
        except sqlite3.Error as error:
            raise self._problem(error) from None

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _plain(text: str) -> str:
    """Text that a database takes: a file's name may hold what is no text."""
    return text.encode("utf-8", "backslashreplace").decode()


def _text(report: Report) -> str:
    return json.dumps({**vars(report), "checks": [vars(check) for check in report.checks]})


def _report(text: str) -> Report:
    data = json.loads(text)
    checks = [CheckResult(**check) for check in data["checks"]]
    return Report(**{**data, "checks": checks, "layers": tuple(data["layers"])})
