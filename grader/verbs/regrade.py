"""Finishing what an interrupted `nbgrader autograde` left half done, and grading a class again: whose mark moved, and why.

nbgrader skips every student who has a folder under ``autograded/``, however far it got before it was killed, and leaves
the marks that were there. Here a submission counts as graded when its notebook carries our stamp, which is written last,
there is a record of the file that was handed in, and the gradebook holds marks for it. What cannot be graded here counts
when the gradebook holds marks for it from elsewhere: from a person, or from `grader batch`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.logic.feedback import moved
from grader.model.errors import EnvironmentProblem, UsageError
from grader.system.gradebook import Gradebook, Score
from grader.verbs.autograde import STAMP, Records, resembling
from grader.verbs.nbconfig import demand_course, gradebook_of
from grader.verbs.nbcourse import SOURCE

SUBMITTED = "submitted"
AUTOGRADED = "autograded"
FEEDBACK = "feedback"
NO_MARKS = "the gradebook has no marks of it"
Say = Callable[[str], Any]
Marks = Mapping[tuple[str, str], Mapping[str, Score]]  # by student and notebook


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

    Says whose mark moved, against the record of the last verdict and against the gradebook. Exit code 0 when every
    submission has its verdict afterwards, else 1. ``only_list``: change nothing. UsageError where ``root`` is no nbgrader
    course, has no such assignment or a configuration that cannot be read; EnvironmentProblem without a gradebook.
    """
    demand_course(root)
    known = sorted(path.name for path in (root / SOURCE).glob("*") if path.is_dir())
    for unit in units:
        if unit not in known:
            raise UsageError(f"{root} has no assignment {unit!r}.", f"There is: {', '.join(known) or 'none yet'}.")
    left = 0
    with _opened(root) as book:
        for unit in units or [name for name in known if notebooks_of(root, name)]:
            left += _one_unit(root, unit, book, everything, only_list, say)
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


def _one_unit(root: Path, unit: str, book: Gradebook, everything: bool, only_list: bool, say: Say) -> int:
    """How many of an assignment's submissions have no verdict afterwards."""
    marks = _marks(root, unit, book)
    found = list(_without_verdict(root, unit, marks, say))
    for one in found:
        say(f"{unit}   {one.student}: {one.why}")
    todo = [one.student for one in found if one.gradable]
    if not only_list and (todo or everything):
        records = Records(root)
        students = sorted(folder.parent.name for folder in _handed_in(root, unit))
        handed_in = [(student, notebook) for student in students for notebook in notebooks_of(root, unit)]
        before = {one: records.read(unit, *one) for one in handed_in}
        for student in todo:
            if (graded := root / AUTOGRADED / student / unit).exists():
                shutil.rmtree(graded, onerror=_make_writable)
        _nbgrader(root, unit, everything)
        old, marks = marks, _marks(root, unit, book)
        reasons = {one.student: one.why for one in found}
        changed = []
        for one in handed_in:
            after = records.read(unit, *one)
            changed += [one] if after != before[one] else []
            said = moved(before[one], after) if after is not None else ""
            if said := said or _moved_in_gradebook(old.get(one, {}), marks.get(one, {}), reasons.get(one[0], "")):
                say(f"{unit}   {one[0]}: {said}")
        _drop_stale_pages(root, unit, changed, say)
        found = list(_without_verdict(root, unit, marks))
        if left := [one.student for one in found if one.gradable]:
            say(f"{unit}   nbgrader could not grade {', '.join(left)}: its log above says why")
    handed = len(_handed_in(root, unit))
    say(f"{unit}   {handed - len(found)} of {handed} submissions have their verdict")
    return len(found)


def _handed_in(root: Path, unit: str) -> list[Path]:
    return [path for path in (root / SUBMITTED).glob(f"*/{unit}") if path.is_dir()]


# ---------------------------------------------------------------- the gradebook


def _opened(root: Path) -> Gradebook:
    """The course's gradebook, which is there."""
    book = gradebook_of(root)
    if not book.is_prepared():
        raise EnvironmentProblem(
            f"There is no gradebook at {book.address}, so nobody has a mark.",
            "Put it back from a backup. Without one: `nbgrader generate_assignment UNIT --force` for each assignment, then "
            "this again grades everybody; marks by hand have to be given again.",
        )
    return book


def _marks(root: Path, unit: str, book: Gradebook) -> Marks:
    """What the gradebook holds for this course's notebooks of an assignment; nothing where nobody handed anything in."""
    if not _handed_in(root, unit):
        return {}
    books = {notebook: book.scores(unit, notebook) for notebook in notebooks_of(root, unit)}
    return {(student, name): scores for name, found in books.items() for student, scores in found.items()}


def _without_verdict(root: Path, unit: str, marks: Marks, say: Say = lambda text: None) -> Iterator[Unfinished]:
    """As `unfinished`, by what the gradebook holds, too; says who has marks for what cannot be graded here."""
    notebooks = notebooks_of(root, unit)
    open_ones = {one.student: one for one in unfinished(root, unit)}
    for folder in sorted(_handed_in(root, unit) if notebooks else []):
        student = folder.parent.name
        held = [marks.get((student, notebook), {}) for notebook in notebooks]
        has_marks = all(map(_is_marked, held))
        one = open_ones.get(student)
        if one is None and not has_marks:
            yield Unfinished(student, NO_MARKS)
        elif one is not None and has_marks and not one.gradable:
            points = sum(score.total for scores in held for score in scores.values())
            say(f"{unit}   {student}: {one.why}; the gradebook holds {points:g} points for it")
        elif one is not None:
            yield one


def _is_marked(scores: Mapping[str, Score]) -> bool:
    return any(score.auto is not None or score.manual is not None for score in scores.values())


def _moved_in_gradebook(before: Mapping[str, Score], after: Mapping[str, Score], why: str) -> str:
    """How a student's automatic marks moved where no record tells of it; empty where they did not, or there were none."""
    old, new = ({name: score.auto for name, score in one.items() if score.auto is not None} for one in (before, after))
    if not old or old == new:
        return ""
    cells = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    of_cells = f" ({', '.join(cells)})" if sum(old.values()) == sum(new.values()) else ""
    said = f"{sum(new.values()):g} points, before {sum(old.values()):g} in the gradebook{of_cells}"
    return f"{said}: {why}." if why else f"{said}."


def _drop_stale_pages(root: Path, unit: str, changed: list[tuple[str, str]], say: Say) -> None:
    """nbgrader keeps a feedback page that is there; one that shows other marks than the gradebook must not stay."""
    stale = [root / FEEDBACK / student / unit for student in sorted({student for student, _ in changed})]
    stale = [folder for folder in stale if folder.is_dir()]
    for folder in stale:
        shutil.rmtree(folder, onerror=_make_writable)
    if stale:
        say(f"{unit}   {len(stale)} feedback pages showed other marks and are gone: nbgrader generate_feedback {unit}")


def _nbgrader(root: Path, unit: str, everything: bool) -> None:
    command = [sys.executable, "-m", "nbgrader", "autograde", unit, *(["--force"] if everything else [])]
    subprocess.run(command, cwd=root, check=False)


def _make_writable(function: Callable[[str], Any], path: str, problem: Any) -> None:
    """nbgrader leaves graded files read-only."""
    import os

    if os.path.exists(path):
        os.chmod(path, 0o700)
        function(path)
