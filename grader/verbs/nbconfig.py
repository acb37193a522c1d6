"""The configuration of an nbgrader course, as nbgrader reads it: the clone and the gradebook that it names."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from grader.model.errors import UsageError
from grader.system.course import Course
from grader.system.gradebook import Gradebook
from grader.system.launch import ENGINE_ROOT

SHARED = ", header=False"  # in the call of `configure`: other assignments are in the course, too
CONFIG = "nbgrader_config.py"
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
said = {"exchange": Exchange(config=app.config).root, "course": course.course_id, "url": course.db_url}
"""
SAY = "print(json.dumps(said))\n"
# The same, and the names: what the configuration sets, which classes can be configured, and what nbgrader's and ours take.
ASK_NAMES = """
import contextlib, importlib
from traitlets.config import Config, Configurable
for name in ("grader.shell.in_nbgrader", "nbgrader.server_extensions.assignment_list.handlers",
             "nbgrader.server_extensions.course_list.handlers", "nbgrader.server_extensions.formgrader.formgrader",
             "nbgrader.server_extensions.validate_assignment.handlers", "nbconvert.exporters", "nbconvert.nbconvertapp",
             "nbconvert.postprocessors", "nbconvert.preprocessors", "nbconvert.writers", "ipykernel.kernelapp",
             "jupyter_server.serverapp", "jupyterlab.labapp", "notebook.app"):
    with contextlib.suppress(Exception):  # what cannot be loaded is not there to be configured
        importlib.import_module(name)
def below(kind):
    for one in kind.__subclasses__():
        yield one
        yield from below(one)
def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from texts(one)
classes, settings = set(), {}
for kind in below(Configurable):
    for base in kind.__mro__:  # what is set for a class is set for those that inherit from it
        classes.add(base.__name__)
        if base.__module__.split(".")[0] in ("nbgrader", "grader") and issubclass(base, Configurable):
            settings.setdefault(base.__name__, set()).update(kind.class_trait_names(config=True))
sections = {name: section for name, section in app.config.items() if isinstance(section, Config) and section}
for section in sections.values():  # a plug-in that is named is loaded when it is needed
    classes.update(text.rpartition(".")[2] for value in section.values() for text in texts(value) if "." in text)
said["set"] = {name: list(map(str, section)) for name, section in sections.items()}
said["classes"] = sorted(classes)
said["settings"] = {name: sorted(found) for name, found in settings.items()}
"""


def clone_of(root: Path) -> Course | None:
    """The clone whose checks an nbgrader course is graded with, by its configuration; None where that names none."""
    try:
        text = (root / CONFIG).read_text(encoding="utf-8")
    except OSError:
        return None
    named = re.search(rf"^configure\(c, kit=(.+?)(?:{SHARED})?\)$", text, re.MULTILINE)
    try:
        kit = Path(ast.literal_eval(named[1])) if named else None
    except (ValueError, SyntaxError, TypeError):
        return None
    return Course(kit) if kit and kit.is_dir() else None


def demand_course(root: Path) -> None:
    """UsageError unless nbgrader's course lies in ``root``."""
    if not (root / CONFIG).is_file():
        raise UsageError(f"{root} is no nbgrader course: there is no {CONFIG} in it.", "`grader course DIR` makes one.")


def gradebook_of(root: Path) -> Gradebook:
    """The gradebook that the course's configuration names, whether it is there or not.

    nbgrader goes on without a configuration that it cannot read, and would grade by its own rules: then UsageError.
    """
    try:
        said = settings(root)
    except ValueError as reason:
        raise UsageError(f"{root / CONFIG} cannot be read: {reason}", "Mend it; nothing was changed.") from None
    return Gradebook(_from_folder(said["url"], root), said["course"] or "default_course")  # as nbgrader has it


def _from_folder(url: str, root: Path) -> str:
    """An address as it is meant in the course's folder, where nbgrader is called."""
    from sqlalchemy import make_url

    found = make_url(url)
    if not found.drivername.startswith("sqlite") or not found.database or found.database.startswith((":", "file:")):
        return url
    return found.set(database=str(root / found.database)).render_as_string(hide_password=False)


def settings(course: Path, *, names: bool = False) -> dict[str, Any]:
    """What nbgrader takes from the configuration in a course's folder; ValueError, with the reason, where it cannot read it.

    With ``names`` also which classes and settings the configuration names, and which there are.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([ENGINE_ROOT, os.environ.get("PYTHONPATH", "")])}
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"{ASK}{ASK_NAMES if names else ''}{SAY}"],
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
