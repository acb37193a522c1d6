"""What `grader doctor` says of nbgrader, where that is installed: its release, alembic, the exchange folder, the gradebook."""

from __future__ import annotations

import difflib
import importlib.metadata
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from grader.verbs.doctor import Finding, install_command
from grader.verbs.nbconfig import CONFIG, settings


def examine() -> Iterator[Finding]:
    """Everything in turn; nothing where nbgrader is not installed. The course is the one of the current folder."""
    try:
        release = importlib.metadata.version("nbgrader")
    except importlib.metadata.PackageNotFoundError:
        return
    beside = shutil.which("alembic", path=str(Path(sys.executable).parent)) or shutil.which("alembic")
    seen = f"{release}, and alembic, which it calls for the gradebook" if beside else f"{release}, without alembic"
    yield Finding("nbgrader", seen, "" if beside else install_command(["nbgrader"]))
    if not Path(CONFIG).is_file():
        yield Finding("", f"No {CONFIG} here. In a course's folder this looks at its exchange and its gradebook, too.")
        return
    try:
        said = settings(Path(), names=True)
    except ValueError as reason:
        seen = f"{CONFIG} cannot be read by nbgrader, which goes on without it: {reason}"
        yield Finding("nbgrader", seen, f"Mend {CONFIG}; grade nothing before.", needed=True)
        return
    yield from _misspelt(said["set"], said["classes"], said["settings"])
    yield _exchange(Path(said["exchange"]))
    yield _gradebook(said)


def _misspelt(
    named: Mapping[str, Sequence[str]], classes: Sequence[str], known: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    """What is set for a class that there is not, or is no setting of nbgrader's class: traitlets passes over both.

    Some of what was once set for its applications nbgrader moves to where it belongs now, with a word of its own.
    """
    for name, keys in sorted(named.items()):
        if name not in classes:
            seen = f"c.{name} in {CONFIG} has no effect: no class that nbgrader uses has this name"
            yield Finding("nbgrader", seen, _meant("c.", name, classes))
            continue
        if name in known and not name.endswith("App"):
            for key in sorted(set(keys) - set(known[name])):
                seen = f"c.{name}.{key} in {CONFIG}: nbgrader's {name} has no such setting"
                yield Finding("nbgrader", seen, _meant(f"c.{name}.", key, known[name]))


def _meant(prefix: str, wrong: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.7)
    return f"Did you mean {prefix}{close[0]}?" if close else "Take the line out, or mend its name."


def _exchange(root: Path) -> Finding:
    mend = f"mkdir -p {root}; chmod ugo+rwx {root} — or set c.Exchange.root in {CONFIG}"
    if not root.is_dir():
        return Finding("exchange", f"{root} is no folder: release, fetch, submit and collect need it", mend)
    if not os.access(root, os.W_OK | os.X_OK):
        return Finding("exchange", f"{root} cannot be written to by you", mend)
    if not root.stat().st_mode & stat.S_IWOTH:
        return Finding("exchange", f"{root} is yours alone: students with accounts of their own cannot submit", mend)
    return Finding("exchange", f"{root} can be written to by everybody, as nbgrader wants it")


def _gradebook(said: dict[str, Any]) -> Finding:
    from grader.model.errors import GraderError
    from grader.system.gradebook import Gradebook

    if not said["course"]:
        return Finding(
            "gradebook", "no course id is set", f'Set c.CourseDirectory.course_id in {CONFIG}: "transformers", say.'
        )
    try:
        with Gradebook(said["url"], said["course"]) as book:
            ready = book.is_prepared()
            where = book.address
    except GraderError as error:
        return Finding("gradebook", error.message, error.mend)
    return Finding(
        "gradebook", f"{where}, course {said['course']}" + ("" if ready else "; it is made when it is first needed")
    )
