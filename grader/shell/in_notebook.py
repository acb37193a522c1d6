"""Grading from inside a notebook: ``check("attention", "softmax")`` in a cell grades what has been run so far.

What is graded is the source of the notebook's cells, taken from the kernel's history, by the same rules as when the
file is graded. The kernel holds the student's code, so nothing is graded in it: it only hands the cells to a process of
its own, which stays warm until the kernel ends, and prints the verdict that comes back.
"""

from __future__ import annotations

import atexit
import contextlib
import difflib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.logic.history import Ran, defined, standing
from grader.model.errors import GraderError, UsageError
from grader.model.types import Cell, Exercise, Report, Step, Submission

if TYPE_CHECKING:
    from grader.system.host import Server

ENGINE_ROOT = Path(__file__).resolve().parents[2]
BOOTSTRAP = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from grader.shell.in_notebook import serve
serve()
"""
NAME = "this notebook"
OUTSIDE = """\
check(…) grades the cells of a notebook, so it works in one only.
A file is graded in a terminal: grader check {exercise}"""
NOT_ALL = """\
Not every public check of {what} passes. Validate was not started in the kit's
top folder: start JupyterLab or the command there, since only there the
cells of hidden checks are left out."""


class NotAllPass(AssertionError):
    """Not every check that a cell asked for passes, where nbgrader runs that cell and looks at nothing but errors."""

    def __init__(self, said: str, what: str) -> None:
        super().__init__(NOT_ALL.format(what=what))
        self._said = said

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback, which would be of this file: the verdict, and what it means here."""
        return [*self._said.split("\n"), "", *str(self).split("\n")]


def check(exercise: str, step: str = "") -> None:
    """Grade the cells run so far with the public checks and print the verdict: on ``step``, or the first unfinished.

    `NotAllPass` after it in a kernel in which nbgrader runs a notebook on its own, unless every check passes: without this
    course's configuration nbgrader calls a cell right that raises nothing.
    """
    shell = _shell()
    if shell is None:
        print(OUTSIDE.format(exercise=exercise))
        return
    _memory.listen(shell)
    _memory.hear_of_deleted()
    cells = [[cell.number, cell.source] for cell in standing(_memory.runs(shell), _memory.deleted)]
    request = {"folder": os.getcwd(), "exercise": str(exercise), "step": str(step), "cells": cells}
    passed = False
    try:
        said, passed = _process.ask(request)
    except KeyboardInterrupt:
        said = "Stopped."
    except OSError as error:
        said = f"The process that grades could not be reached ({error}).\nIn a terminal: grader check {exercise}"
    print(said)
    if not passed and _is_nbgraders(shell):
        raise NotAllPass(said, str(step or exercise))


@contextlib.contextmanager
def example() -> Iterator[None]:
    """Run the worked example; where it comes to what is not written or not run yet, say so and end without an error."""
    try:
        yield
    except NameError as missing:
        print(f"\nnext: {missing.name or 'it'} is not there yet: its cell stands further down")
    except NotImplementedError:
        print("\nnext: what comes now is not written yet")


# ---------------------------------------------------------------- in the kernel: what was run


def _shell() -> Any:
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def _is_nbgraders(shell: Any) -> bool:
    """Whether nbgrader runs this kernel, and no person: it says so to its kernels, which keep no history in a file.

    Not the first alone: where validation ends in an error, JupyterLab's kernels are told so from then on, too.
    """
    return bool(os.environ.get("NBGRADER_EXECUTION")) and shell.history_manager.hist_file == ":memory:"


class _Memory:
    """What the kernel tells of its cells beyond their text: which it was, whether it raised, which were deleted."""

    def __init__(self) -> None:
        self.deleted: set[str] = set()
        self._seen: dict[int, tuple[str, bool]] = {}
        self._heard: Any = None

    def listen(self, shell: Any) -> None:
        """Hear of every cell from now on; those run before have a text only."""
        if self._heard is not shell:
            shell.events.register("post_run_cell", self._ran)
            self._heard = shell

    def _ran(self, result: Any) -> None:
        self.hear_of_deleted()
        with contextlib.suppress(AttributeError):  # another IPython
            self._seen[result.execution_count] = (result.info.cell_id or "", not result.success)

    def hear_of_deleted(self) -> None:
        """JupyterLab says with each run which cells were deleted since the last."""
        with contextlib.suppress(AttributeError, TypeError, LookupError):  # another front end
            self.deleted |= set(self._heard.get_parent()["metadata"]["deletedCells"])

    def runs(self, shell: Any) -> list[Ran]:
        """Every run of a cell, in order."""
        raised = getattr(shell.history_manager, "exceptions", None)
        found = []
        for number, source in enumerate(shell.history_manager.input_hist_raw):
            cell, failed = self._seen.get(number, ("", None if raised is None else number in raised))
            if source.strip():
                found.append(Ran(number, source, cell, failed))
        return found


class _Process:
    """The process that grades: started when it is first needed, or early, and kept."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Execute it and return at once."""
        if self._process is not None and self._process.poll() is None:
            return
        here = os.getcwd()
        paths = [str(ENGINE_ROOT), *(path for path in sys.path if os.path.isabs(path) and path != here)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-c", BOOTSTRAP, json.dumps(paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # interrupting the kernel is not meant for it
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )

    def ask(self, request: dict[str, Any]) -> tuple[str, bool]:
        """What `verdict` gives for a request; a process that has ended meanwhile is started once more."""
        try:
            for _ in range(2):
                self.start()
                assert self._process is not None and self._process.stdin and self._process.stdout
                with contextlib.suppress(BrokenPipeError):
                    self._process.stdin.write(json.dumps(request).encode() + b"\n")
                    self._process.stdin.flush()
                    if answer := self._process.stdout.readline():
                        said, passed = json.loads(answer)
                        return said, passed
                self.close()
        except BaseException:  # an answer that nobody waited for must not be taken for the next one
            self.close()
            raise
        raise OSError("it ended twice before it answered")

    def close(self) -> None:
        """End it; it ends its own worker when its input ends."""
        if self._process is not None and self._process.stdin and self._process.stdout:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.terminate()
            self._process.wait()
            self._process.stdout.close()
        self._process = None


_memory = _Memory()
_process = _Process()
atexit.register(_process.close)
if (_running := _shell()) is not None:
    _memory.listen(_running)
    _process.start()


# ---------------------------------------------------------------- in the process that grades


def serve() -> None:
    """Answer requests, a line of JSON each, until standard input ends."""
    from grader.system.host import Server

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints here is no answer
    with Server() as server:
        for line in sys.stdin.buffer:
            passed = False
            try:
                text, passed = verdict(json.loads(line), server)
            except GraderError as problem:
                from grader.shell import screen

                text = screen.problem(problem)
            except Exception as error:
                text = f"This could not be graded ({type(error).__name__}: {error})."
            answers.write(json.dumps([text, passed]).encode() + b"\n")
            answers.flush()


def verdict(request: dict[str, Any], server: Server) -> tuple[str, bool]:
    """The text for a request, and whether every check passes that it asks for; `GraderError` where there is no such
    exercise or step."""
    from grader.shell import screen
    from grader.system.course import find_course
    from grader.verbs.grading import make_plan

    course = find_course(Path(request["folder"]))
    exercise = course.find(request["exercise"])
    step = _step(exercise, request["step"]) if request["step"] else None
    submission = Submission(NAME, tuple(Cell(source, number) for number, source in request["cells"]))
    if (text := _not_run(exercise, step, submission)) is not None:
        return text, False
    plan = make_plan(course, exercise, scope="public")
    report = plan.run(server, lambda session: session.grade(submission))
    report = _with_brackets(report)
    here = Path(request["folder"]).resolve()
    own = here == course.root or course.exercises in here.parents
    following = _following(report, exercise, step, own)
    if step is None:
        return screen.verdict(report, exercise, following=following), report.status == "passed"
    graded = report.status not in ("broken", "not_started")
    passed = graded and screen.is_done(screen.of_step(report, step))
    return screen.one_step(report, exercise, step, following=following), passed


def _step(exercise: Exercise, name: str) -> Step:
    names = [step.name for step in exercise.steps]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(names)}."
        raise UsageError(f"{exercise.name} has no step {name!r}.", hint)
    return exercise.steps[names.index(name)]


def _not_run(exercise: Exercise, step: Step | None, submission: Submission) -> str | None:
    """What to run first, where nothing of what is to be graded has been run; else None."""
    wanted = (step.functions or step.deals_with) if step else exercise.blanked
    tops = dict.fromkeys(name.partition(".")[0] for name in wanted)
    known = set().union(*(defined(cell.source) for cell in submission.cells))
    bound = [name for name in tops if name in known or re.search(rf"\b{name}\b\s*=", submission.source)]
    missing = [name for name in tops if name not in bound]
    if not missing or (step is None and bound):
        return None
    if step is None:
        return f"{exercise.name}: nothing of it has been run yet. Run the notebook's cells first."
    what = f"{' and '.join(missing)} {'has' if len(missing) == 1 else 'have'}"
    return f"{exercise.name}: {what} not been run yet. Run the cell first."


def _with_brackets(report: Report) -> Report:
    """Cells are named as they are in a notebook, by the number in brackets beside them."""

    def named(text: str) -> str:
        return re.sub(rf"\b{NAME}, cell (\d+)", r"cell [\1]", text)

    checks = [replace(check, message=named(check.message)) for check in report.checks]
    return replace(report, checks=checks, message=named(report.message))


def _following(report: Report, exercise: Exercise, step: Step | None, own: bool) -> str:
    """What to do next; a notebook that is not the learner's ``own`` of this course was handed out by an instructor."""
    from grader.shell import screen

    if report.status == "passed":
        return (
            f"save the notebook, then in a terminal: grader check {exercise.name}" if own else "save, Validate, submit"
        )
    if report.status in ("broken", "not_started"):
        return ""
    at = step or screen.first_unfinished(report, exercise)
    if at is None or screen.is_done(screen.of_step(report, at)):
        following = screen.first_unfinished(report, exercise)
        return following.title if following else ""
    if all(map(screen.to_do, screen.of_step(report, at))):
        return ""
    return f"save the notebook, then in a terminal: grader hint {exercise.name}" if own else ""
