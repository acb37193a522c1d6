"""The commands for instructors. What they do stands in `grader.verbs`; imports wait until a command is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grader.model.errors import UsageError
from grader.shell.shared import exercise_argument, exercises_argument, plain, say, the_course

if TYPE_CHECKING:
    from grader.model.types import Entry
    from grader.system.gradebook import Late

FOLDER = click.Path(path_type=Path)


def add_to(group: click.Group) -> None:
    """Make the commands known to the command line."""
    for command in (course, regrade, release, batch, export):
        group.add_command(command)


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@exercises_argument
@click.option("--course-id", metavar="NAME", default="transformers", show_default=True, help="nbgrader's course id.")
@click.option("--gradebook", metavar="URL", default="", help="The gradebook's database; without it SQLite in DIR.")
@plain
def course(folder: Path, exercises: tuple[str, ...], course_id: str, gradebook: str) -> int:
    """An nbgrader course of the exercises: configuration, source notebooks, points.

    All exercises are units of it where none is named. An existing course is only
    added to, with a backup of every file of yours that changes. Solutions and
    marks lie in it: name a folder that others cannot read, outside of any kit.

    \b
    Example:
      grader course ~/teaching/transformers attention bigram
    """
    from grader.verbs.nbcourse import make_course

    here = the_course()
    chosen = [here.find(name) for name in exercises]
    return make_course(here, folder, chosen, course_id=course_id, gradebook=gradebook, say=say)


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.argument("units", nargs=-1, metavar="[UNIT]...")
@click.option("--all", "everything", is_flag=True, help="Grade every submission again, not only what is missing.")
@click.option("--list", "only_list", is_flag=True, help="Only say which submissions have no whole verdict.")
@plain
def regrade(folder: Path, units: tuple[str, ...], everything: bool, only_list: bool) -> int:
    """Finish what an interrupted `nbgrader autograde` left, or grade a class again.

    DIR is the nbgrader course. Says whose mark moved, from what to what, and why,
    also against marks that were left half done in the gradebook. Manual marks,
    comments and extra credit stay. Ends with 1 as long as a submission has no
    verdict; one without a notebook has it once the gradebook holds marks for it.

    \b
    Example:
      grader regrade ~/teaching/transformers attention
      grader regrade ~/teaching/transformers attention --all
    """
    from grader.verbs.regrade import regrade as grade_again

    return grade_again(Path(os.path.abspath(folder)), units, everything=everything, only_list=only_list, say=say)


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@exercises_argument
@click.option("--remove", is_flag=True, help="Take out of an earlier kit what is not asked for, or not in this clone.")
@plain
def release(folder: Path, exercises: tuple[str, ...], remove: bool) -> int:
    """The student kit, in a new or empty folder: no solutions, no hidden checks.

    All exercises go in where none is named. Called again on an earlier kit it
    renews it, adds what is named, and keeps what was edited there. It is made
    from the clone of the current folder, which is named first.

    \b
    Example:
      grader release ~/teaching/student-kit
      grader release ~/teaching/student-kit attention bigram
    """
    from grader.verbs.release import release as write_kit

    here = the_course()
    return write_kit(here, folder, only=[here.find(name) for name in exercises], remove=remove, say=say)


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@exercises_argument
@click.option("--out", metavar="DIR", type=FOLDER, help="Where the table goes.  [default: DIR-graded beside DIR]")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes on this computer; else one a core.")
@click.option("--cluster", metavar="ADDRESS", help="Run the submissions on this Dask scheduler's workers.")
@click.option("--take", metavar="STUDENT/EXERCISE=FILE", multiple=True, help="Which of several files is meant.")
@click.option("--gradebook", metavar="URL", help="Enter the marks into this nbgrader gradebook, too.")
@click.option(
    "--course-id", metavar="NAME", default="transformers", show_default=True, help="The gradebook's course id."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), metavar="N", help="Draw other inputs than the published.")
@plain
def batch(
    folder: Path,
    exercises: tuple[str, ...],
    out: Path | None,
    workers: int | None,
    cluster: str | None,
    take: tuple[str, ...],
    gradebook: str | None,
    course_id: str,
    seed: int | None,
) -> int:
    """Grade a folder of submissions into one table: CSV, JSON lines and a page.

    DIR is nbgrader's course, a zip or folder from Moodle or Canvas, clones from
    GitHub Classroom, or loose files. What was graded is not graded again: after
    Ctrl-C or a crash, the same command goes on.

    \b
    Example:
      grader batch ~/Downloads/submissions.zip attention
      grader batch ~/teaching/transformers --workers 2
    """
    if workers and cluster:
        raise UsageError("--workers and --cluster name two places to grade at.", "Give one of them.")
    from contextlib import ExitStack

    from grader.verbs.batch import bar
    from grader.verbs.batch import batch as grade_class
    from grader.verbs.nbconfig import clone_of

    folder = Path(os.path.abspath(folder))
    here = clone_of(folder) or the_course()
    chosen = [here.find(name) for name in exercises]
    with ExitStack() as stack:
        progress = stack.enter_context(bar(sys.stderr))
        book = None
        if gradebook:
            from grader.system.gradebook import Gradebook

            book = stack.enter_context(Gradebook(gradebook, course_id))
        return grade_class(
            here,
            folder,
            out or folder.with_name(f"{folder.stem}-graded"),
            exercises=chosen,
            workers=workers,
            cluster=cluster,
            take=dict(map(_taken, take)),
            gradebook=book,
            late=_late(folder) if book else None,
            seed=seed,
            say=say,
            progress=progress,
        )


def _late(folder: Path) -> Late | None:
    """What the plug-in of an nbgrader course takes off for being late, loaded when somebody is; None where there is no course."""
    from grader.verbs.nbconfig import CONFIG

    if not (folder / CONFIG).is_file():
        return None

    def late(student: str, score: float, seconds: float) -> float | None:
        from grader.shell.in_nbgrader import late_plugin

        return late_plugin(folder).late_submission_penalty(student, score, seconds)

    return late


def _taken(text: str) -> tuple[tuple[str, str], str]:
    whose, equals, file = text.partition("=")
    student, slash, exercise = whose.rpartition("/")
    if not (equals and slash and file):
        raise UsageError(f"--take {text} is not STUDENT/EXERCISE=FILE.", "As in --take ada/attention=ada/second.ipynb")
    return (student, exercise), file


# ---------------------------------------------------------------- exports


@click.group()
@plain
def export() -> None:
    """The course and its marks for other systems.

    docs/exports.md says what each was checked against.

    \b
    Example:
      grader export gradescope attention autograder.zip
    """


@export.command()
@exercise_argument
@click.argument("out", type=FOLDER)
@click.option(
    "--hidden", default="after_published", show_default=True, help="When students see tests of hidden checks."
)
@click.option("--tell", default="idea", show_default=True, help="What these say: nothing, count, idea or message.")
@plain
def gradescope(exercise: str, out: Path, hidden: str, tell: str) -> int:
    """An autograder for Gradescope: OUT is a folder, or a zip by its name.

    It holds the solution and the hidden checks: for the instructor alone.

    \b
    Example:
      grader export gradescope attention autograder.zip
    """
    from grader.verbs.export import gradescope as write_autograder

    here = the_course()
    return _said(write_autograder(here, here.find(exercise), out, hidden, tell))  # type: ignore[arg-type]


@export.command()
@click.argument("kit", type=FOLDER)
@exercises_argument
@plain
def github(kit: Path, exercises: tuple[str, ...]) -> int:
    """A workflow for GitHub Classroom in a student kit: the public checks, with points.

    \b
    Example:
      grader export github ~/teaching/student-kit attention bigram
    """
    from grader.verbs.export import github as write_workflow

    return _said(write_workflow(the_course(), exercises, kit))


UNIT = click.option(
    "--unit", "--exercise", "unit", metavar="NAME", default="", help="Whose marks, where MARKS has several assignments."
)


@export.command()
@click.argument("marks", type=FOLDER)
@click.argument("table", type=FOLDER)
@click.argument("column")
@UNIT
@click.option("--out", metavar="FILE", type=FOLDER, help="Where the filled table goes.  [default: beside TABLE]")
@plain
def canvas(marks: Path, table: Path, column: str, unit: str, out: Path | None) -> int:
    """Fill COLUMN of a gradebook exported from Canvas.

    MARKS is the folder of an nbgrader course: then marks given by hand, extra
    credit and lateness count as in its gradebook. Or it is the marks.jsonl of
    `grader batch`, what the checks gave. TABLE is the CSV from Canvas.

    \b
    Example:
      grader export canvas ~/teaching/transformers canvas.csv 4711 --unit attention
      grader export canvas graded/marks.jsonl canvas.csv "Attention (4711)"
    """
    from grader.logic.grade_tables import canvas as fill

    entries, words = _entries(marks, unit)
    return _filled(
        table, out, words, lambda text: fill(entries, text, column, exercise=unit, extra_credit=marks.is_dir())
    )


@export.command()
@click.argument("marks", type=FOLDER)
@click.argument("worksheet", type=FOLDER)
@UNIT
@click.option("--out", metavar="FILE", type=FOLDER, help="Where the filled table goes.  [default: beside WORKSHEET]")
@plain
def moodle(marks: Path, worksheet: Path, unit: str, out: Path | None) -> int:
    """Fill Moodle's offline grading worksheet.

    MARKS is the folder of an nbgrader course: then marks given by hand, extra
    credit and lateness count as in its gradebook. Or it is the marks.jsonl of
    `grader batch`, what the checks gave. WORKSHEET is the CSV from Moodle.

    \b
    Example:
      grader export moodle ~/teaching/transformers Grades.csv --unit attention
      grader export moodle graded/marks.jsonl Grades.csv
    """
    from grader.logic.grade_tables import moodle as fill

    entries, words = _entries(marks, unit)
    return _filled(worksheet, out, words, lambda text: fill(entries, text, exercise=unit, extra_credit=marks.is_dir()))


@export.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.argument("out", type=FOLDER)
@exercises_argument
@plain
def jplag(folder: Path, out: Path, exercises: tuple[str, ...]) -> int:
    """The submissions in DIR as JPlag wants them, to be compared with one another.

    \b
    Example:
      grader export jplag ~/teaching/transformers/submitted similar attention
    """
    from grader.system.inbox import look_through
    from grader.verbs.export import jplag as write_set

    here = the_course()
    wanted = {here.find(name).name for name in exercises} or {exercise.name for exercise in here.found()}
    handed = [one for one in look_through(folder, here.found()).handed if one.exercise in wanted]
    return _said(write_set([(one.student, one.exercise, one.submission) for one in handed], out, here))


def _said(lines: Iterable[str]) -> int:
    for line in lines:
        say(line)
    return 0


def _entries(marks: Path, unit: str) -> tuple[list[Entry], list[str]]:
    """The marks of an nbgrader course's gradebook or of a batch's table, and what has to be said about them."""
    from grader.logic.table import read_json_lines

    if marks.is_dir():
        from grader.verbs.export import marks_in_course

        return marks_in_course(Path(os.path.abspath(marks)), unit)
    try:
        return read_json_lines(marks.read_text(encoding="utf-8")), []
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{marks} is neither the marks.jsonl of a batch nor an nbgrader course: {error}",
            "`grader batch` writes one.",
        ) from error


def _filled(source: Path, out: Path | None, words: list[str], fill: Callable[[str], tuple[str, list[str]]]) -> int:
    """Fill a table that another system exported; the export itself is left as it is, and so is what lies at ``out``."""
    from grader.system.course import write_atomically

    out = out or source.with_name(f"{source.stem}-filled{source.suffix}")
    if out.exists():
        raise UsageError(f"{out} is there already.", "Name another file with --out, or move it away.")
    try:
        text = source.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{source} cannot be read: {error}", "Name the CSV that the other system exported.") from error
    filled, more = fill(text)
    write_atomically(out, filled.encode("utf-8"))
    return _said([*words, *more, f"wrote {out}"])
