"""The commands for instructors. What they do stands in `grader.verbs`; imports wait until a command is called."""

from __future__ import annotations

import os
from pathlib import Path

import click

from grader.shell.shared import exercises_argument, plain, say, the_course

FOLDER = click.Path(path_type=Path)


def add_to(group: click.Group) -> None:
    """Make the commands known to the command line."""
    for command in (course, regrade):
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
    added to, with a backup of every file of yours that changes.

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

    DIR is the nbgrader course. Says whose mark moved, from what to what, and why.
    Manual marks, comments and extra credit stay.

    \b
    Example:
      grader regrade ~/teaching/transformers attention
      grader regrade ~/teaching/transformers attention --all
    """
    from grader.verbs.regrade import regrade as grade_again

    return grade_again(Path(os.path.abspath(folder)), units, everything=everything, only_list=only_list, say=say)
