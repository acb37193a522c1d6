"""An nbgrader course of this course's exercises: configuration, source notebooks and header, none of which holds a hidden check."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.logic.hints import without_hints
from grader.logic.nbgrader_source import Worth, header_cell, header_notebook, source_notebook
from grader.logic.notebook import dump
from grader.model.errors import EnvironmentProblem, UsageError
from grader.model.types import Exercise
from grader.system.course import OWN_FOLDERS, Course, write_atomically
from grader.system.gradebook import Gradebook
from grader.system.host import Server
from grader.system.launch import demand, packages_for
from grader.verbs.build import backup_of
from grader.verbs.grading import Sources, is_recorded, make_plan, refresh_cache
from grader.verbs.nbconfig import CONFIG, SHARED
from grader.verbs.new import word_on_templates
from grader.verbs.release import LIST as KIT_LIST

MANIFEST = ".grader-course.json"
SOURCE = "source"
HEADER = f"{SOURCE}/header.ipynb"
BACKUPS = "backups"
COURSE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
DEFAULT_ID = "transformers"
BEGIN = "# ---- grading with the checks of “transformers from scratch”; written by `grader course`"
END = "# ---- end of what `grader course` wrote; everything below is yours"
LISTS = ("sanitize_preprocessors", "autograde_preprocessors", "exporter_class", "pre_convert_hook", "code_stub")
Say = Callable[[str], Any]


def make_course(
    course: Course,
    out: Path,
    units: Sequence[Exercise] = (),
    *,
    course_id: str = DEFAULT_ID,
    gradebook: str = "",
    say: Say = print,
) -> int:
    """Write or renew the nbgrader course in ``out`` with these exercises (all of them where none is named); exit code 0.

    What was edited in ``out`` is kept beside under a name that says when, before anything is written over it; the
    configuration is only added to. UsageError, before anything is written, where there are no solutions here, ``out`` is
    no folder or in a student kit, or its configuration is no Python.
    """
    if not course.solutions.is_dir():
        raise UsageError("A student kit makes no nbgrader course.", "Use a clone that holds solutions/.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file.", "Name a folder for the course; it is made where there is none.")
    if not COURSE_ID.fullmatch(course_id):
        raise UsageError(f"{course_id!r} is no course id.", "Use letters, digits, - and _, 128 at most.")
    place = out.resolve()
    if place == course.root.resolve() or any(
        place.is_relative_to(course.root.resolve() / name) for name in OWN_FOLDERS
    ):
        raise UsageError(f"{out} is part of the clone itself.", "Name a folder of its own for the course.")
    _refuse_a_kit(out, place)
    _refuse_no_python(out / CONFIG)
    chosen = list({exercise.name: exercise for exercise in units}.values()) or course.found()
    if not chosen:
        raise UsageError("There is no exercise in this course.", "`grader new NAME` begins one.")
    _demand_packages(chosen)
    try:
        if not out.exists():
            out.mkdir(parents=True)
            out.chmod(0o700)  # the solutions and the gradebook lie in it
            say(f"made {out}, readable by you alone")
        for word in filter(None, (_open_to_others(out, place), _goes_into_git(out, place))):
            say(word)
        _write(course, _Folder(out, say), chosen, course_id, gradebook)
    except OSError as error:
        raise UsageError(f"{out} cannot be written to: {error.strerror}.", "Name another folder.") from error
    for word in filter(None, (word_on_templates(course, exercise) for exercise in chosen)):
        say(word)
    names = ", ".join(exercise.name for exercise in chosen)
    say(f"{out} is an nbgrader course with {names}.")
    first = chosen[0].name
    say(f"next: cd {out}; nbgrader generate_assignment {first}; nbgrader release_assignment {first}")
    return 0


def _refuse_a_kit(out: Path, place: Path) -> None:
    for folder in (place, *place.parents):
        if (folder / KIT_LIST).is_file():
            where = "is" if folder == place else "lies in"
            raise UsageError(
                f"{out} {where} a student kit, and a course holds the solutions.", "Name a folder of its own for it."
            )


def _refuse_no_python(config: Path) -> None:
    """nbgrader goes on without a configuration that it cannot read, so nothing that is added to it would count."""
    if not config.is_file():
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(_decoded(config.read_bytes(), config), config.name, "exec")
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        said = getattr(error, "msg", None) or error
        raise UsageError(
            f"{config}{line}: {said}. nbgrader would go on without all of it.", "Mend it; nothing was written."
        ) from None


def _open_to_others(out: Path, place: Path) -> str:
    """A word where everybody who works on this computer can read the course; empty where nobody else can."""
    mine = stat.S_IMODE(place.stat().st_mode)
    if os.name == "nt" or not mine & (stat.S_IROTH | stat.S_IXOTH):
        return ""
    if not all(folder.stat().st_mode & stat.S_IXOTH for folder in _above(place)):
        return ""
    return f"{out} can be read by everybody on this computer, and solutions and marks lie in it: chmod go-rwx {out}"


def _above(place: Path) -> tuple[Path, ...]:
    """The folders through which one gets to another."""
    return tuple(place.parents)


def _goes_into_git(out: Path, place: Path) -> str:
    """A word where the next `git add` of the repository around it would take the course along."""
    try:
        top = _git(place, "rev-parse", "--show-toplevel")
        ignored = _git(place, "check-ignore", "--quiet", "--", str(place / HEADER))
    except OSError:
        return ""
    if top.returncode != 0 or ignored.returncode != 1:
        return ""
    return f"{out} lies in a git repository that does not ignore it: whoever gets a commit of it may get solutions and marks."


def _git(place: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(place), *words], capture_output=True, check=False)


def _demand_packages(chosen: Sequence[Exercise]) -> None:
    """`EnvironmentProblem`, before anything is written, where an exercise cannot be graded here."""
    for exercise in chosen:
        try:
            demand(packages_for(exercise.framework))
        except EnvironmentProblem as problem:
            others = [one.name for one in chosen if one.framework == "numpy"]
            name = f"; or name the exercises that do without it: {' '.join(others)}" if others else ""
            raise EnvironmentProblem(f"{exercise.name}: {problem.message}", f"{problem.mend}{name}") from None


def _write(course: Course, folder: _Folder, chosen: Sequence[Exercise], course_id: str, gradebook: str) -> None:
    shared = _is_shared(folder.root / CONFIG)
    if not shared:
        folder.write(HEADER, dump(header_notebook(header_text())))
    for exercise in chosen:
        worth = worth_of(course, exercise, folder.say)
        sources = Sources(course, exercise)
        book = source_notebook(without_hints(sources.text("task.md")), sources.solution, exercise, worth)
        if shared:  # what stands above all assignments is the others' affair
            book["cells"].insert(0, header_cell(header_text(), exercise.name))
        folder.write(f"{SOURCE}/{exercise.name}/{exercise.name}.ipynb", dump(book))
    _configure(folder, course, course_id, gradebook, shared)
    folder.finish()


def _is_shared(config: Path) -> bool:
    """Whether the course was there before this command was first called on it."""
    if not config.is_file():
        return False
    text = _decoded(config.read_bytes(), config)
    return BEGIN not in text or SHARED in text


def worth_of(course: Course, exercise: Exercise, say: Say = print) -> Worth:
    """Number and points of the checks, by step and hidden or not; what wrong ideas answer is recorded on the way."""
    with Server(packages_for(exercise.framework)) as server:
        if not is_recorded(course, exercise):
            say(f"{exercise.name}: recording what every wrong idea answers, once; that takes up to two minutes")
            refresh_cache(course, exercise, server)
        checks = make_plan(course, exercise).run(server, lambda session: list(session.checks))
    worth: dict[tuple[str, bool], tuple[int, float]] = {}
    for check in checks:
        number, points = worth.get((check.step, check.hidden), (0, 0.0))
        worth[check.step, check.hidden] = (number + 1, points + check.points)
    return worth


def header_text() -> str:
    """What stands above every assignment."""
    return """\
**How to work on this.** Run the cells from the top: Shift + Enter runs one and goes to the next. Write your code in the \
cells that say `# write your code here`; the cell below such a cell checks it. Cells that begin with `# grader: demo` are \
for trying things and are not graded; all other code cells are, from top to bottom, and the last definition of a name counts.

**Before you submit**, save, then press *Validate*: it runs the public checks. The hidden ones are run by your instructor, \
with other inputs. Leave the locked cells where they are. What your code prints is not graded. Where the text has you call \
`python` or `grader watch`, run the example or the check cell instead."""


@dataclass
class _Folder:
    """The course's folder, and what was written there before: its checksums tell whether somebody edited it since."""

    root: Path
    say: Say
    written: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            found = json.loads((self.root / MANIFEST).read_text(encoding="utf-8"))
            self.written = {str(name): str(digest) for name, digest in found["written"].items()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            self.written = {}

    def write(self, name: str, text: str) -> None:
        """Write a file, a backup first where what is there was not written from here."""
        path, data = self.root / name, text.encode()
        now = path.read_bytes() if path.is_file() else None
        if now != data:
            if now is not None and self.written.get(name) != _sum(now):
                self.keep(path, now)
            write_atomically(path, data)
            self.say(f"wrote {name}")
        self.written[name] = _sum(data)

    def keep(self, path: Path, content: bytes) -> None:
        """Keep a file that is going to change, where nbgrader copies nothing from: beside a notebook it would be released."""
        name = path.relative_to(self.root)
        backup = backup_of(self.root / BACKUPS / name)
        write_atomically(backup, content)
        self.say(f"kept your {name.as_posix()} as {backup.relative_to(self.root).as_posix()}")

    def finish(self) -> None:
        """Remember what was written."""
        path, text = self.root / MANIFEST, json.dumps({"written": self.written}, indent=1) + "\n"
        if not path.is_file() or path.read_bytes() != text.encode():
            write_atomically(path, text)


def _configure(folder: _Folder, course: Course, course_id: str, gradebook: str, shared: bool) -> None:
    """Write the configuration, or add to the one that is there; what this command wrote before is renewed in its place."""
    path = folder.root / CONFIG
    block = _block(course, shared)
    if not path.is_file():
        write_atomically(path, _config(course_id, gradebook, block))
        folder.say(f"wrote {CONFIG}")
        _prepare(gradebook or f"sqlite:///{folder.root.resolve() / 'gradebook.db'}", course_id, folder.say)
        return
    data = path.read_bytes()
    old = _decoded(data, path)
    ours = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    new = ours.sub(lambda match: block, old) if ours.search(old) else f"{old.rstrip()}\n\n{_GET}{block}\n"
    if new != old:
        folder.keep(path, data)
        write_atomically(path, new)
        folder.say(f"added to your {CONFIG}: grading with the checks of this course")
        if replaced := [name for name in LISTS if name in ours.sub("", old)]:
            folder.say(
                f"your {' and '.join(replaced)} there is replaced by this course's; other assignments go through it, too"
            )
    if gradebook and gradebook not in new:
        folder.say(
            f"{CONFIG} was there already, so --gradebook is not in it: set c.CourseDirectory.db_url there yourself"
        )
    if "course_id" not in new:
        folder.say(f"{CONFIG} names no course: set c.CourseDirectory.course_id there, or nothing can be graded")
    elif course_id not in (DEFAULT_ID, *re.findall(r"[A-Za-z0-9_-]+", new)):
        folder.say(f"{CONFIG} was there already, so --course-id is not in it: the gradebook belongs to the id that is")


def _prepare(url: str, course_id: str, say: Say) -> None:
    """Make the gradebook's tables before anybody works with it; without nbgrader that has to wait."""
    try:
        with Gradebook(url, course_id) as book:
            say(book.prepare() or f"The gradebook {book.address} is there.")
    except EnvironmentProblem as problem:
        say(str(problem))


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(
            f"{path} is not UTF-8 text.", "Save it with that encoding; nothing in it was changed."
        ) from None


_GET = "c = get_config()  # noqa: F821\n"


def _block(course: Course, shared: bool) -> str:
    lines = [
        BEGIN,
        "try:",
        "    from grader.shell.in_nbgrader import configure",
        "except ImportError as missing:  # nbgrader would go on without, and grade by its own rules",
        '    raise SystemExit(f"nbgrader cannot load this course: {missing}. Use the environment of the course.")',
        f"configure(c, kit={str(course.root.resolve())!r}{SHARED if shared else ''})",
        END,
    ]
    return "\n".join(lines)


def _config(course_id: str, gradebook: str, block: str) -> str:
    url = f"c.CourseDirectory.db_url = {gradebook!r}" if gradebook else _NO_URL
    return f'''\
"""nbgrader's configuration of this course. It is yours to edit: `grader course` renews its own lines and no others."""

import os

{_GET}
c.CourseDirectory.course_id = {course_id!r}
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
{url}

{block}

# What students read of hidden checks: "nothing", "count", "idea" (the default) or "message".
# c.GradeWithChecks.hidden_feedback = "idea"

# Late work, nbgrader's own way: "none", "zero", or a plug-in class of yours.
# c.LateSubmissionPlugin.penalty_method = "zero"

# Where releasing and collecting go through a shared folder.
# c.Exchange.root = "/usr/local/share/nbgrader/exchange"
'''


_NO_URL = """\
# The gradebook is gradebook.db beside this file. On a server (make setup EXTRAS=postgres):
# c.CourseDirectory.db_url = "postgresql+psycopg://user:password@host/gradebook\""""


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
