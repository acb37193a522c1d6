"""A real PostgreSQL server for tests: an ordinary user's, in a folder of its own, gone when the tests are."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PLACES = "/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin"
OWNER = "grader"
ORDINARY = "nobody"  # who runs it where the tests are run by root, whom PostgreSQL refuses
# It listens in its folder and not on the network. Once nobody holds its standard input any more, it is stopped and removed.
KEEPER = 'cat > /dev/null; "$0" -D "$1/data" -m immediate -w stop > /dev/null; cd /; rm -rf "$1"'


class NoServer(Exception):
    """Why there is no PostgreSQL here."""


@dataclass
class Server:
    """A running server, reached through a socket in its folder by whoever may enter that."""

    folder: Path
    databases: list[str] = field(default_factory=list)

    def url(self, driver: str, database: str, password: str = "") -> str:
        """The address of a database, for SQLAlchemy; any password is taken."""
        login = f"{OWNER}:{password}" if password else OWNER
        return f"postgresql+{driver}://{login}@/{database}?host={self.folder}"

    def new(self, database: str) -> None:
        """Make an empty database, the last of ``databases``."""
        self.databases.append(database)
        with _connection(self) as connection, connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{database}"')

    def waiting(self) -> int:
        """How many locks are asked for that another connection holds."""
        with _connection(self) as connection, connection.cursor() as cursor:
            return cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0]


@contextmanager
def running_server() -> Iterator[Server]:
    """Start one, and stop it in the end; `NoServer` says why there cannot be one."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    rights = _ordinary_user()
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    keeper = None
    try:
        if rights:
            os.chown(folder, rights["user"], rights["group"])
        data = folder / "data"
        options = f"-c unix_socket_directories='{folder}' -c listen_addresses='' -c fsync=off"
        _call(rights, folder, initdb, "-D", data, "-A", "trust", "-U", OWNER, "-E", "UTF8", "--no-locale", "--no-sync")
        _call(rights, folder, pg_ctl, "-D", data, "-l", folder / "log", "-o", options, "-w", "start")
        keeper = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER, pg_ctl, folder],
            stdin=subprocess.PIPE,
            cwd=folder,
            env=_environment(),
            start_new_session=True,  # what ends the tests must not end it before its work is done
            **rights,
        )
        yield Server(folder)
    finally:
        if keeper is not None:
            keeper.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str:
    for place in ["", *(str(path) for pattern in PLACES for path in sorted(Path("/").glob(pattern[1:]), reverse=True))]:
        found = shutil.which(name, path=place or None)
        if found:
            return found
    raise NoServer(f"{name} is not installed (Debian: postgresql)")


def _ordinary_user() -> dict[str, Any]:
    """What makes a process an ordinary user's: nothing where this one is."""
    if not hasattr(os, "geteuid"):
        raise NoServer("it is started on POSIX systems only")
    if os.geteuid() != 0:
        return {}
    import pwd

    try:
        user = pwd.getpwnam(ORDINARY)
    except KeyError:
        raise NoServer(f"root may not run it, and there is no user {ORDINARY}") from None
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _call(rights: dict[str, Any], folder: Path, *command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=_environment(),
        check=False,
        **rights,
    )
    if done.returncode:
        raise NoServer(f"{Path(command[0]).name} failed: {done.stdout.decode(errors='replace').strip()[-500:]}")


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


@contextmanager
def _connection(server: Server) -> Iterator[Any]:
    import psycopg

    with psycopg.connect(host=str(server.folder), user=OWNER, dbname="postgres", autocommit=True) as connection:
        yield connection
