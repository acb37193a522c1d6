"""What `grader doctor` says of nbgrader, where that is installed: its release, alembic, the exchange folder, the gradebook."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grader.verbs.doctor import ENGINE_ROOT, Finding, install_command
from grader.verbs.nbcourse import CONFIG

# nbgrader reads its configuration as it does for its own commands; nothing is changed.
ASK = """
import json, logging
from nbgrader.apps import NbGrader
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange.default.exchange import Exchange
app = NbGrader()
app.log.setLevel(logging.CRITICAL)
app.raise_config_file_errors = True  # nbgrader's commands go on without a configuration that they cannot read
app.load_config_file()
course = CourseDirectory(config=app.config)
if "GradeWithChecks" in app.config:
    from grader.shell.in_nbgrader import GradeWithChecks
    GradeWithChecks(config=app.config)
print(json.dumps({"exchange": Exchange(config=app.config).root, "course": course.course_id, "url": course.db_url}))
"""


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
        said = settings(Path())
    except ValueError as reason:
        seen = f"{CONFIG} cannot be read by nbgrader, which goes on without it: {reason}"
        yield Finding("nbgrader", seen, f"Mend {CONFIG}; grade nothing before.", needed=True)
        return
    yield _exchange(Path(said["exchange"]))
    yield _gradebook(said)


def settings(course: Path) -> dict[str, Any]:
    """What nbgrader takes from the configuration in a course's folder; ValueError, with the reason, where it cannot read it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ENGINE_ROOT), os.environ.get("PYTHONPATH", "")])}
    try:
        done = subprocess.run(
            [sys.executable, "-c", ASK],
            cwd=course,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        raise ValueError((getattr(error, "stderr", "") or str(error)).strip().split("\n")[-1]) from error


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
