"""A database by its address, in transactions that take statements as text: PostgreSQL through SQLAlchemy, a file of SQLite without.

SQLAlchemy knows the drivers and their ways, and takes longer to load than it takes to write the marks of a class.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from grader.model.errors import EnvironmentProblem, UsageError

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine
    from sqlalchemy import Connection as EngineConnection

WAIT_SECONDS = 60  # for another process that is writing
CONNECT_SECONDS = 10
EXAMPLE = "It looks like sqlite:///gradebook.db or postgresql+psycopg://USER:PASSWORD@HOST/NAME."
EPOCH = datetime(1970, 1, 1)  # SQLite has no spans of time: SQLAlchemy keeps the end of one that begins here
_FILE = re.compile(r"sqlite:///(?!:memory:$|file:)([^?]+)")


class Connection(Protocol):
    """Statements within one transaction; ``:name`` in them stands for what is given under that name."""

    def rows(self, statement: str, **given: Any) -> list[tuple[Any, ...]]:
        """What a query finds."""

    def change(self, statement: str, **given: Any) -> int:
        """How many rows a statement changed."""

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows with the same columns; one that is there already, or that another process is adding, stays as it is."""


class Database:
    """SQLite or PostgreSQL at an address as SQLAlchemy writes it. Nothing is connected before it is used.

    `UsageError` where the address cannot be read, `EnvironmentProblem` where its driver is missing or the database
    cannot be reached or refuses a statement. No message has a password in it.
    """

    def __init__(self, url: str) -> None:
        self._raw: sqlite3.Connection | None = None
        self._engine: Engine | None = None
        self._url: URL | None = None  # none for a file of SQLite, which needs no driver of SQLAlchemy's
        if plain := _FILE.fullmatch(url):
            self.address, self.is_sqlite, self.file = url, True, Path(plain[1])
            return
        self._url = _parsed(url)
        self.address = _shown(self._url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self.file = _file_of(self._url)
        self._with_engine()

    def close(self) -> None:
        """Let the connections go. A later call makes new ones."""
        if self._raw:
            self._raw.close()
        if self._engine:
            self._engine.dispose()
        self._raw = None

    @contextmanager
    def transaction(self, kind: str) -> Iterator[Connection]:
        """To "read" one state of the whole database, or to "write" all of it or nothing."""
        if self._url is not None:
            with self.engine_transaction(kind) as connection:
                yield _Through(connection)
            return
        try:
            connection = self._raw = self._raw or sqlite3.connect(
                self.file.absolute(), timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.execute(_BEGIN[kind])
            try:
                yield _Direct(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._problem(error) from None

    @contextmanager
    def engine_transaction(self, kind: str) -> Iterator[EngineConnection]:
        """The same as SQLAlchemy has it, for what text is too little for."""
        from sqlalchemy.exc import DBAPIError

        engine = self._with_engine()
        try:
            with engine.connect() as connection, connection.begin():
                if self.is_sqlite:
                    connection.exec_driver_sql(_BEGIN[kind])
                elif kind == "write":
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_SECONDS}s'")
                else:
                    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                yield connection
        except DBAPIError as error:
            raise self._problem(error) from None

    def tables(self, connection: Connection) -> set[str]:
        """The names of all tables."""
        in_sqlite, in_postgres = (
            "SELECT name FROM sqlite_master WHERE type = 'table'",
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
        )
        return {name for (name,) in connection.rows(in_sqlite if self.is_sqlite else in_postgres)}

    def reason(self, error: Exception) -> str:
        """What a driver says, in one line, without any password of the address."""
        text = " ".join(str(getattr(error, "orig", None) or error).split()).rstrip(".")
        if self._url is None:
            return text
        passwords = [self._url.password, *_many(self._url.query.get("password"))]
        for password in filter(None, passwords):
            for spelled in (str(password), quote(str(password)), quote(str(password), safe="")):
                text = text.replace(spelled, "***")
        return text

    def _problem(self, error: Exception) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"The gradebook {self.address} cannot be used: {self.reason(error)}.",
            "Where another process is writing to it, try again; else look at its address, and whether it is running.",
        )

    def _with_engine(self) -> Engine:
        if self._engine is None:
            self._engine = _engine(self._url or _parsed(self.address))
        return self._engine


_BEGIN = {"write": "BEGIN IMMEDIATE", "read": "BEGIN"}  # of SQLite


class _Direct:
    """A file of SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, **given: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, given).fetchall()

    def change(self, statement: str, **given: Any) -> int:
        return self._connection.execute(statement, given).rowcount

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self._connection.executemany(_inserting(table, rows[0]), rows)


class _Through:
    """Whatever SQLAlchemy is connected to."""

    def __init__(self, connection: EngineConnection) -> None:
        from sqlalchemy import text

        self._connection = connection
        self._text = text

    def rows(self, statement: str, **given: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._connection.execute(self._text(statement), given)]

    def change(self, statement: str, **given: Any) -> int:
        return self._connection.execute(self._text(statement), given).rowcount

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self._connection.execute(self._text(_inserting(table, rows[0])), [dict(row) for row in rows])


def _inserting(table: str, columns: Mapping[str, Any]) -> str:
    values = ", ".join(f":{column}" for column in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values}) ON CONFLICT DO NOTHING"


# ---------------------------------------------------------------- times


def as_text(time: datetime) -> str:
    """A time as SQLAlchemy keeps it in SQLite, and as PostgreSQL takes it."""
    return time.isoformat(" ", "microseconds")


def time_of(value: str | datetime | None) -> datetime | None:
    """A time as it was kept."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def span_of(value: str | timedelta | None) -> timedelta | None:
    """A span of time as it was kept."""
    return datetime.fromisoformat(value) - EPOCH if isinstance(value, str) else value


# ---------------------------------------------------------------- addresses and drivers


def _parsed(url: str) -> URL:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    unreadable = UsageError(
        "The gradebook's address cannot be read.",
        f"{EXAMPLE} In a password write %40 for @, %3A for :, %2F for / and %25 for %.",
    )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise unreadable from None  # the error quotes the address, with the password in it
    if "@" in (parsed.host or "") or "@" in (parsed.database or "") * bool(parsed.host):
        raise unreadable
    kind = parsed.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise UsageError(f"A gradebook's address begins with sqlite or postgresql, not with {kind}.", EXAMPLE)
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
    if url.get_backend_name() != "sqlite" or name in ("", ":memory:") or name.startswith("file:"):
        return None
    return Path(name)


def _many(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())
