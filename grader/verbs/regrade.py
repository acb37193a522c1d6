"""Finishing what an interrupted `nbgrader autograde` left half done, and grading a class again: whose mark moved, and why.

nbgrader skips every student who has a folder under ``autograded/``, however far it got before it was killed, and leaves
the marks that were there. Here a submission counts as graded when its notebook carries our stamp, which is written last,
and there is a record of the file that was handed in.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.logic.feedback import moved
from grader.model.errors import UsageError
from grader.verbs.autograde import STAMP, Records, resembling
from grader.verbs.doctor_nbgrader import settings
from grader.verbs.nbcourse import CONFIG, SOURCE

SUBMITTED = "submitted"
AUTOGRADED = "autograded"
FEEDBACK = "feedback"
Say = Callable[[str], Any]


@dataclass(frozen=True)
class Unfinished:
    """A submission without a whole verdict, and why; ``gradable``: whether nbgrader would find anything to grade."""

    student: str
    why: str
    gradable: bool = True


def regrade(
    root: Path, units: tuple[str, ...] = (), *, everything: bool = False, only_list: bool = False, say: Say = print
) -> int:
    """Grade what is not graded yet or was left half done in nbgrader's course ``root``; with ``everything`` all of it.

    Says whose mark moved. Exit code 0 when every submission has its verdict afterwards, else 1. ``only_list``: change
    nothing. UsageError where ``root`` is no nbgrader course or has no such assignment.
    """
    if not (root / CONFIG).is_file():
        raise UsageError(f"{root} is no nbgrader course: there is no {CONFIG} in it.", "`grader course DIR` makes one.")
    known = sorted(path.name for path in (root / SOURCE).glob("*") if path.is_dir())
    for unit in units:
        if unit not in known:
            raise UsageError(f"{root} has no assignment {unit!r}.", f"There is: {', '.join(known) or 'none yet'}.")
    left = 0
    for unit in units or [name for name in known if notebooks_of(root, name)]:
        left += _one_unit(root, unit, everything, only_list, say)
    return 1 if left else 0


def unfinished(root: Path, unit: str) -> Iterator[Unfinished]:
    """The students whose submission of an assignment has no whole verdict; nobody where it is another course's."""
    notebooks = notebooks_of(root, unit)
    for folder in sorted(path for path in (root / SUBMITTED).glob(f"*/{unit}") if path.is_dir() and notebooks):
        student = folder.parent.name
        done = root / AUTOGRADED / student / unit
        if not any(folder.glob("*.ipynb")):
            yield Unfinished(student, "no notebook was handed in, so nbgrader passes it over", gradable=False)
        elif not done.exists():
            yield Unfinished(student, "not graded yet")
        elif why := next(filter(None, (_lacks(root, folder, done, notebook) for notebook in notebooks)), ""):
            yield Unfinished(student, why)


def notebooks_of(root: Path, unit: str) -> list[str]:
    """The notebooks of an assignment that are exercises of this course."""
    source = root / SOURCE / unit
    return [path.stem for path in sorted(source.glob("*.ipynb")) if resembling(source, path.stem, path.name)]


def _lacks(root: Path, folder: Path, done: Path, notebook: str) -> str:
    """Why one notebook of a submission has no whole verdict; empty where it has."""
    record = Records(root).read(folder.name, folder.parent.name, notebook)
    if not _is_stamped(done / f"{notebook}.ipynb"):
        return "grading it was interrupted"
    if record is None:
        return "there is no record of what was found in it"
    changed = record.entry.digest and record.entry.digest != _digest(folder / record.entry.file)
    return "another file was handed in since it was graded" if changed else ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _is_stamped(notebook: Path) -> bool:
    try:
        return STAMP in json.loads(notebook.read_text(encoding="utf-8"))["metadata"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _one_unit(root: Path, unit: str, everything: bool, only_list: bool, say: Say) -> int:
    found = list(unfinished(root, unit))
    for one in found:
        say(f"{unit}   {one.student}: {one.why}")
    if only_list:
        _sum_up(root, unit, len(found), say)
        return len(found)
    todo = [one.student for one in found if one.gradable]
    if todo or everything:
        _demand_settings(root)
        records = Records(root)
        students = sorted(path.parent.name for path in (root / SUBMITTED).glob(f"*/{unit}"))
        handed_in = [(student, notebook) for student in students for notebook in notebooks_of(root, unit)]
        before = {one: records.read(unit, *one) for one in handed_in}
        for student in todo:
            shutil.rmtree(root / AUTOGRADED / student / unit, onerror=_make_writable)
        _nbgrader(root, unit, everything)
        for student, notebook in handed_in:
            after = records.read(unit, student, notebook)
            if after is not None and (said := moved(before[student, notebook], after)):
                say(f"{unit}   {student}: {said}")
        _drop_stale_pages(root, unit, [one for one in handed_in if records.read(unit, *one) != before[one]], say)
        found = list(unfinished(root, unit))
    _sum_up(root, unit, len(found), say)
    if left := [one.student for one in found if one.gradable]:
        say(f"{unit}   nbgrader could not grade {', '.join(left)}: its log above says why")
    return len(found)


def _demand_settings(root: Path) -> None:
    """nbgrader goes on without a configuration that it cannot read, and would grade by its own rules."""
    try:
        settings(root)
    except ValueError as reason:
        raise UsageError(f"{root / CONFIG} cannot be read: {reason}", "Mend it; nothing was graded.") from None


def _drop_stale_pages(root: Path, unit: str, changed: list[tuple[str, str]], say: Say) -> None:
    """nbgrader keeps a feedback page that is there; one that shows other marks than the gradebook must not stay."""
    stale = [root / FEEDBACK / student / unit for student in sorted({student for student, _ in changed})]
    stale = [folder for folder in stale if folder.is_dir()]
    for folder in stale:
        shutil.rmtree(folder, onerror=_make_writable)
    if stale:
        say(f"{unit}   {len(stale)} feedback pages showed other marks and are gone: nbgrader generate_feedback {unit}")


def _sum_up(root: Path, unit: str, missing: int, say: Say) -> None:
    handed_in = len([path for path in (root / SUBMITTED).glob(f"*/{unit}") if path.is_dir()])
    say(f"{unit}   {handed_in - missing} of {handed_in} submissions have their verdict")


def _nbgrader(root: Path, unit: str, everything: bool) -> None:
    command = [sys.executable, "-m", "nbgrader", "autograde", unit, *(["--force"] if everything else [])]
    subprocess.run(command, cwd=root, check=False)


def _make_writable(function: Callable[[str], Any], path: str, problem: Any) -> None:
    """nbgrader leaves graded files read-only."""
    import os

    if os.path.exists(path):
        os.chmod(path, 0o700)
        function(path)
