"""What is graded: the learner's own file, a file named, or a variant of the solution."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.logic.stub import is_untouched
from grader.model.errors import EnvironmentProblem, UsageError
from grader.model.types import Cell, Exercise, Limits, Report, Scope, Submission
from grader.system.course import Course
from grader.system.submission import EMPTY, read_submission

if TYPE_CHECKING:
    from grader.system.host import Server
    from grader.verbs.grading import Plan

SOLUTION = "solution"
RECORDING = "Recording what every wrong idea answers, once: ideas are named then, and fast."


class Grading:
    """One exercise being graded: what the commands that grade have in common."""

    def __init__(
        self,
        course: Course,
        exercise: Exercise,
        server: Server,
        say: Callable[[str], Any],
        *,
        scope: Scope = "all",
        seed: int | None = None,
    ) -> None:
        from grader.system.progress import Progress
        from grader.verbs.grading import make_plan

        self.course = course
        self.exercise = exercise
        self.server = server
        self.counts = scope == "all" and seed is None
        self.plan = make_plan(course, exercise, scope=scope, seed=seed)
        self.progress = Progress(course, say)

    def own(self) -> Chosen:
        """The learner's file."""
        return own_submission(self.course, self.exercise, self.plan.texts.stub)

    def variant(self, name: str) -> Chosen:
        """A variant of the solution."""
        return variant_submission(self.course, self.exercise, name)

    def grade(self, chosen: Chosen, early: Callable[[Report], Any] = lambda report: None) -> Report:
        """Open a session and judge one submission in it.

        Where something is wrong and what wrong ideas answer is not recorded, that is done now; ``early`` gets the verdict
        without names beforehand.
        """
        report = self._graded(self.hurried(), chosen)
        if self.lacks_names(report):
            early(report)
            self.refresh()
            report = self._graded(self.plan, chosen)
        return report

    def lacks_names(self, report: Report) -> bool:
        """Whether something failed, in a stretch step too, and ideas could be named if their answers were recorded."""
        return any(check.outcome not in ("passed", "skipped") for check in report.checks) and self.can_record()

    def hurried(self) -> Plan:
        """The plan for a first verdict: as long as nothing is recorded, no idea is named."""
        from grader.verbs.grading import Unnamed

        return replace(self.plan, oracle=Unnamed(self.plan.oracle)) if self.can_record() else self.plan

    def _graded(self, plan: Plan, chosen: Chosen) -> Report:
        return plan.run(self.server, lambda session: session.grade(chosen.submission, chosen.label))

    def keep(self, report: Report, chosen: Chosen) -> list[str]:
        """Note the progress of the learner's own file; what has to be said once beside the verdict."""
        from grader.system.progress import digest_of

        if not self.counts:
            return []
        self.progress.note(self.exercise, report, digest_of(chosen.submission))
        missing = missing_layers(report.layers) if report.layers else []
        if missing and self.progress.say_once(f"without layers: {', '.join(missing)}"):
            lines = [f"Your code ran without these layers of isolation: {', '.join(missing)}."]
            return [*lines, "For your own code that is fine. `grader doctor` says why; this is said once."]
        return []

    def regrade(self) -> None:
        """Grade the learner's file silently when it is another one than was graded last."""
        from grader.system.progress import digest_of

        chosen = self.own()
        if self.progress.of(self.exercise)["last"].get("digest") != digest_of(chosen.submission):
            self.keep(self.grade(chosen), chosen)

    def can_record(self) -> bool:
        """Whether there is anything to record that is not recorded yet."""
        from grader.verbs.grading import Taped
        from grader.verbs.session import PUBLISHED_SEED

        if self.plan.seed != PUBLISHED_SEED or isinstance(self.plan.oracle, Taped):
            return False
        return self.course.has_solution(self.exercise) and os.access(self.course.root, os.W_OK)

    def refresh(self) -> None:
        """Record the answers of all wrong ideas, so that the next verdict is read and not computed."""
        from grader.verbs.grading import make_plan, refresh_cache

        refresh_cache(self.course, self.exercise, self.server)
        self.plan = make_plan(self.course, self.exercise, scope=self.plan.scope)

    def following(self, report: Report) -> str:
        """The command to go on with after a verdict."""
        name = self.exercise.name
        if report.status == "passed":
            solved = self.course.has_solution(self.exercise)
            return f"grader solution {name}   shows other ways to write it" if solved else "grader"
        if report.status == "not_started":
            return f"edit {shown(own_files(self.course, self.exercise)[0])}   grader watch {name}"
        return f"grader hint {name}" if report.status == "failed" else f"grader check {name}"


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
    if module.exists():
        chosen = _with_a_way_out(named_file(module))
        if not notebook.is_file() or not is_untouched(chosen.submission.source, stub):
            return chosen
    if notebook.is_file():
        book = named_file(notebook)
        if book.submission.problem or not is_untouched(book.submission.source, stub):
            why = "is as it was printed" if module.exists() else "is not there"
            return Chosen(book.submission, book.label, notebook, f"Graded is your notebook: {module.name} {why}.")
    if module.exists():
        return chosen
    raise UsageError(
        f"There is no {shown(module)}.",
        f"`grader reset {exercise.name}` prints it anew; --submission names another file.",
    )


def _with_a_way_out(chosen: Chosen) -> Chosen:
    """An empty file of the learner's own can be had as it was."""
    if chosen.submission.problem != EMPTY:
        return chosen
    problem = f"{EMPTY} `grader reset` writes the stub again."
    return replace(chosen, submission=replace(chosen.submission, problem=problem))


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
    from grader.system.launch import PACKAGES

    names = [name.strip() for name in wanted.split(",") if name.strip()]
    unknown = [name for name in names if name not in sandbox.LAYERS]
    if unknown:
        raise UsageError(f"There is no layer {unknown[0]!r}.", f"Layers are: {', '.join(sandbox.LAYERS)}.")
    with server.open(Limits(), PACKAGES) as worker:  # type: ignore[attr-defined]
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
