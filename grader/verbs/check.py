"""What is graded: the learner's own file, a file named, or a variant of the solution."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from grader.logic.stub import is_untouched
from grader.model.errors import EnvironmentProblem, UsageError
from grader.model.types import Cell, Exercise, Limits, Submission
from grader.system.course import Course
from grader.system.submission import read_submission

SOLUTION = "solution"


@dataclass(frozen=True)
class Chosen:
    """A submission, what it is called on the screen, where it lies, and a word on why it was chosen."""

    submission: Submission
    label: str
    path: Path | None = None
    note: str = ""


def own_files(course: Course, exercise: Exercise) -> tuple[Path, Path]:
    """The two files in which a learner may work: the module and the notebook."""
    module = course.exercise_folder(exercise) / exercise.module
    return module, module.with_suffix(".ipynb")


def own_submission(course: Course, exercise: Exercise, stub: str) -> Chosen:
    """The learner's file: the module, or the notebook where that was edited and the module was not."""
    module, notebook = own_files(course, exercise)
    if not module.exists() and not notebook.exists():
        raise UsageError(
            f"There is no {shown(module)}.",
            f"`grader reset {exercise.name}` prints it anew, or name a file with --submission.",
        )
    if not notebook.is_file():
        return named_file(module)
    if module.exists() and not is_untouched((chosen := named_file(module)).submission.source, stub):
        return chosen
    book = named_file(notebook)
    if not book.submission.problem and is_untouched(book.submission.source, stub):
        return named_file(module) if module.exists() else book
    gone = "is not there" if not module.exists() else "is as it was printed"
    return Chosen(book.submission, book.label, notebook, f"Graded is your notebook: {module.name} {gone}.")


def named_file(path: Path) -> Chosen:
    """A file that was named."""
    return Chosen(read_submission(path), shown(path), path)


def variant_submission(course: Course, exercise: Exercise, name: str) -> Chosen:
    """A variant of the solution, or the solution itself, as if it were handed in."""
    if not course.has_solution(exercise):
        raise UsageError("There are no solutions here, so there are no variants to grade.", "Leave --as out.")
    from grader.logic.variants import apply
    from grader.verbs.grading import Sources

    sources = Sources(course, exercise)
    text = sources.solution
    if name != SOLUTION:
        text = apply(text, sources.variant(name))
    return Chosen(Submission(exercise.module, (Cell(text),)), f"{exercise.module} as {name}")


def shown(path: Path) -> str:
    """A path as short as it can be named from here."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive, on Windows
        return str(path)
    return str(path) if relative.startswith(os.pardir) else relative


def demand_layers(wanted: str, server: object) -> None:
    """Refuse where a layer of isolation is asked for that a worker does not have here.

    What counts is what a worker says of itself once it is up, not what the system could do.
    """
    from grader.system import sandbox

    names = [name.strip() for name in wanted.split(",") if name.strip()]
    unknown = [name for name in names if name not in sandbox.LAYERS]
    if unknown:
        raise UsageError(f"There is no layer {unknown[0]!r}.", f"Layers are: {', '.join(sandbox.LAYERS)}.")
    with server.open(Limits()) as worker:  # type: ignore[attr-defined]
        missing = [name for name in names if name not in worker.layers]
    if missing:
        reasons = sandbox.probe()
        why = "; ".join(f"{name}: {reasons.get(name) or 'not in force'}" for name in missing)
        raise EnvironmentProblem(
            f"Fewer layers hold here than --require asks for. Missing: {', '.join(missing)}.",
            f"{why}. `grader doctor` says more.",
        )


def missing_layers(layers: tuple[str, ...]) -> list[str]:
    """The layers that a worker ran without."""
    from grader.system import sandbox

    return [name for name in sandbox.LAYERS if name not in layers]
