"""What is installed here, what is missing, what holds, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.model.errors import GraderError
from grader.model.types import Call, Cell, Limits, Submission, Value
from grader.system.course import Course, find_course, read_toml

ENGINE_ROOT = Path(__file__).resolve().parents[2]
OLDEST_PYTHON = (3, 10)
FREE_MB = 200
LABEL = 11
WIDTH = 80
PROBE = Submission("probe.py", (Cell("def double(x):\n    return 2 * x\n"),))
EXTRAS = {
    "torch": "every exercise but the numpy ones",
    "data": "texts to train on, and trained models in files",
    "plots": "plots beside the numbers of experiments",
    "nbgrader": "notebooks in JupyterLab, and instructors' courses",
    "postgres": "a class's gradebook on a PostgreSQL server",
    "cluster": "grading a class on several machines",
    "dev": "the tests of this kit",
}


@dataclass
class Finding:
    """What was looked at and what was seen; ``mend`` where something can be done; ``needed``: grading fails without."""

    label: str
    seen: str
    mend: str = ""
    needed: bool = False
    more: list[str] = field(default_factory=list)


def doctor(say: Callable[[str], Any] = print) -> int:
    """Say everything; 0 when grading works here, else 2."""
    findings = list(examine())
    for finding in findings:
        mend = [f"to mend it: {finding.mend}"] if finding.mend else []
        label = finding.label
        for text in [finding.seen, *finding.more, *mend]:
            for line in textwrap.wrap(text, WIDTH - LABEL, break_long_words=False, break_on_hyphens=False):
                say(f"{label:<{LABEL}}{line}")
                label = ""
    broken = [finding for finding in findings if finding.needed]
    say("")
    if broken:
        say(f"Grading does not work here: {', '.join(finding.label for finding in broken)}.")
        return 2
    say("Grading works here.")
    return 0


def examine() -> Iterator[Finding]:
    """Everything in turn; nothing is changed."""
    from grader.verbs import doctor_nbgrader

    yield _python()
    yield from _packages()
    yield from _fence()
    yield _course()
    yield _data()
    yield _terminal()
    yield _disk()
    yield _git()
    yield from doctor_nbgrader.examine()
    yield _grading()


def _python() -> Finding:
    seen = f"{platform.python_version()} on {platform.system()} {platform.machine()}   {sys.executable}"
    if sys.version_info < OLDEST_PYTHON:
        return Finding("Python", seen, "Python 3.10 or newer is needed; see the README.", needed=True)
    return Finding("Python", seen)


# ---------------------------------------------------------------- packages


def _packages() -> Iterator[Finding]:
    core, extras = requirements()
    missing = [name for name in core if not _holds(name, core[name])]
    versions = [f"{name} {_version(name) or 'missing'}" for name in core]
    mend = install_command([]) if missing else ""
    yield Finding("packages", ", ".join(versions) or "unknown", mend, needed=bool(missing))
    for extra, purpose in EXTRAS.items():
        lacking = [name for name in extras.get(extra, {}) if not _holds(name, extras[extra][name])]
        if lacking:
            yield Finding("extra", f"{extra} is not installed ({', '.join(lacking)}): {purpose}")
        elif extra in extras:
            yield Finding("extra", f"{extra} is there: {purpose}")
    partial = [extra for extra in EXTRAS if any(not _holds(name, low) for name, low in extras.get(extra, {}).items())]
    if partial:
        yield Finding("", f"What is missing of the extras, in one command: {install_command(partial)}")


def requirements() -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The packages of the core and of each extra, with lower bounds: by pyproject.toml, else by what is installed."""
    path = ENGINE_ROOT / "pyproject.toml"
    if path.is_file():
        project = read_toml(path)["project"]
        optional = project.get("optional-dependencies", {})
        return _bounds(project["dependencies"]), {name: _bounds(lines) for name, lines in optional.items()}
    try:
        lines = importlib.metadata.requires("transformers-from-scratch-kit") or []
    except importlib.metadata.PackageNotFoundError:
        return {}, {}
    extras: dict[str, list[str]] = {}
    core = []
    for line in lines:
        match = re.search(r"extra\s*==\s*['\"](\w+)['\"]", line)
        (extras.setdefault(match[1], []) if match else core).append(line)
    return _bounds(core), {name: _bounds(found) for name, found in extras.items()}


def _bounds(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        requirement, _, marker = line.partition(";")
        match = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:>=\s*([0-9.]+))?", requirement)
        if match and _applies(marker):
            found[match[1]] = match[2] or ""
    return found


def _applies(marker: str) -> bool:
    """The two markers that the list of dependencies uses."""
    version = re.search(r"python_version\s*<\s*['\"]([0-9.]+)['\"]", marker)
    if version and sys.version_info[:2] >= _numbers(version[1])[:2]:
        return False
    return not ("sys_platform" in marker and "win32" in marker and "!=" in marker and sys.platform == "win32")


def _holds(name: str, lowest: str) -> bool:
    version = _version(name)
    return bool(version) and _numbers(version) >= _numbers(lowest)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])


def install_command(extras: list[str]) -> str:
    """One command that installs the core and these extras."""
    if (ENGINE_ROOT / "tools" / "bootstrap.py").is_file() and _own_venv():
        return f"python3 tools/bootstrap.py {' '.join(extras) or 'core'}"
    wanted = f"[{','.join(extras)}]" if extras else ""
    return f'"{sys.executable}" -m pip install -e "{ENGINE_ROOT}{wanted}"'


def _own_venv() -> bool:
    return Path(sys.prefix).resolve() == (ENGINE_ROOT / ".venv").resolve()


# ---------------------------------------------------------------- what holds


def _fence() -> Iterator[Finding]:
    from grader.system import sandbox

    reasons = sandbox.probe()
    here = [name for name in sandbox.LAYERS if not reasons.get(name)]
    count = f"{len(here)} of {len(sandbox.LAYERS)} layers of isolation hold"
    yield Finding("layers", f"{count}: {', '.join(here) or 'none'}")
    for name in sandbox.LAYERS:
        if reasons.get(name):
            yield Finding("", f"without {name}: {reasons[name]}")
    if len(here) < len(sandbox.LAYERS):
        yield Finding("", "For your own code that is fine. For others' code, use a Linux where all of them hold.")


def _course() -> Finding:
    try:
        course = find_course()
        exercises = course.found()
    except GraderError as error:
        return Finding("course", error.message, error.mend)
    kind = "with solutions" if course.solutions.is_dir() else "without solutions, graded by tape"
    names = ", ".join(exercise.name for exercise in exercises) or "no exercise"
    return Finding("course", f"{course.root}   {kind}", more=[names], mend=_unprinted(course))


def _unprinted(course: Course) -> str:
    missing = [one.name for one in course.found() if not course.exercise_folder(one).is_dir()]
    return f"grader build   (not printed yet: {', '.join(missing)})" if missing else ""


def _data() -> Finding:
    named = os.environ.get("GRADER_DATA")
    if not named:
        return Finding(
            "data",
            "GRADER_DATA is not set: an experiment that trains downloads its text when it first needs it (1.1 MB)",
        )
    if not Path(named).is_dir():
        return Finding("data", f"GRADER_DATA names {named}, which is no folder", "Set it to the folder of data files.")
    count = sum(1 for path in Path(named).iterdir() if path.is_file())
    return Finding("data", f"{named}   {count} file{'s' * (count != 1)}")


def _terminal() -> Finding:
    size = shutil.get_terminal_size()
    encoding = getattr(sys.stdout, "encoding", None) or "unknown"
    where = "a terminal" if sys.stdout.isatty() else "no terminal"
    seen = f"{where}, {size.columns} × {size.lines}, encoding {encoding}"
    try:
        "✓ √ █".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return Finding("terminal", seen, "Set PYTHONUTF8=1; until then plain characters are used.")
    return Finding("terminal", seen)


def _disk() -> Finding:
    free = shutil.disk_usage(ENGINE_ROOT).free >> 20
    if free < FREE_MB:
        return Finding("disk", f"{free} MB free", "Free some space: progress and results are written here.")
    return Finding("disk", f"{free / 1024:.1f} GB free")


def _git() -> Finding:
    found = shutil.which("git")
    return Finding("git", found) if found else Finding("git", "missing", "Install git, to update the course.")


def _grading() -> Finding:
    """The one proof that counts: a submission is loaded, asked, and answers."""
    try:
        from grader.system.host import Server

        with Server() as server:
            how = "forked from a warm process" if server.fork else "each in a new process, which is slower than a fork"
            with server.open(Limits()) as worker:
                loaded = worker.load(PROBE, "probe", (), PROBE.name)
                outcome = worker.answer(Call("double", (21,)))
    except (GraderError, ImportError, OSError) as error:
        return Finding("grading", f"{type(error).__name__}: {error}", install_command([]), needed=True)
    if outcome != Value(42):
        said = loaded.died or outcome
        return Finding("grading", f"two lines of code gave no answer: {said}", "Please report this.", needed=True)
    return Finding("grading", f"submissions run, {how}")
