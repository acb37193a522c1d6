"""What the commands of the command line share: their state, the course, the worker's server, and how words are said."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from grader.model.errors import GraderError

if TYPE_CHECKING:
    from grader.system.course import Course
    from grader.system.host import Server
    from grader.system.launch import Launched

SETTINGS = {"max_content_width": 80, "help_option_names": ["-h", "--help"]}


@dataclass
class State:
    """What the commands share."""

    launched: Launched | None = None
    colour: bool = True


def the_course() -> Course:
    """The course of the current folder."""
    from grader.system.course import find_course

    return find_course()


def say(text: str = "") -> None:
    """A line of the answer."""
    from grader.shell import screen

    screen.put(text)


def aside(text: str) -> None:
    """A word that is no part of the answer."""
    from grader.shell import screen

    screen.put(text, sys.stderr)


@contextmanager
def worker_server(state: State) -> Iterator[Server]:
    """The server that was launched early, or a new one."""
    from grader.system.host import Server

    launched, state.launched = state.launched, None
    with Server(launched=launched) as server:
        yield server


def names_of_exercises(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    try:
        names = [exercise.name for exercise in the_course().found()]
    except GraderError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def names_of_variants(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from grader.system.course import read_toml

    try:
        course = the_course()
        wanted = context.params.get("exercises") or ()
        exercises = [course.find(name) for name in wanted] or course.found()
        folders = [course.solution_folder(one) for one in exercises if course.has_solution(one)]
        data = [read_toml(folder / "variants.toml") for folder in folders]
    except GraderError:
        return []
    entries = [entry["name"] for one in data for kind in ("wrong", "right") for entry in one.get(kind, [])]
    return [name for name in ["solution", *entries] if name.startswith(incomplete)]


def _no_colour(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and isinstance(context.obj, State):
        context.obj.colour = False


def plain(command: Callable[..., Any]) -> Callable[..., Any]:
    """--no-color, which every command takes; NO_COLOR in the environment says the same."""
    option = click.option(
        "--no-color", is_flag=True, expose_value=False, callback=_no_colour, is_eager=True, help="Plain text."
    )
    return option(command)


exercise_argument = click.argument("exercise", shell_complete=names_of_exercises)
exercises_argument = click.argument("exercises", nargs=-1, metavar="[EXERCISE]...", shell_complete=names_of_exercises)
