"""Exercises in PyTorch: what a warm verdict takes beside the checks themselves, and what a fork saves.

Subtracted are the checks run on the solution in this process: its computing, their drawing and comparing, no border.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import subjects
from benchmarks.timing import median_ms
from grader.model.types import Call, Cell, Limits, Submission
from grader.shell import screen
from grader.system.host import Server
from grader.system.launch import TORCH_PACKAGES
from grader.system.oracle import Live
from grader.system.submission import read_submission
from grader.verbs.session import Session

TIMES = 11
WRONG = 24  # variants that are timed, spread over the whole list
FILE = "import torch\n\n\ndef double(x):\n    return 2 * x\n"
BIG = Limits(memory_mb=4096)


@dataclass(frozen=True)
class Verdicts:
    """Milliseconds of one exercise: whole verdicts, and the checks run on the solution in this process."""

    name: str
    right: float
    wrong: float
    checks: float


@dataclass(frozen=True)
class Start:
    """Milliseconds until a first answer: from a fork of a process with torch loaded, and from a fresh interpreter."""

    fork: float
    fresh: float


def available() -> bool:
    """Whether PyTorch is installed here."""
    return importlib.util.find_spec("torch") is not None


def start() -> Start:
    """A fork's answer, and `import torch` in a new process."""
    submission = Submission("start.py", (Cell(FILE),))
    with Server(TORCH_PACKAGES) as server:

        def fork() -> None:
            with server.open(BIG) as worker:
                worker.load(submission, "start", ("torch",), "start.py")
                worker.answer(Call("double", (21,)))

        fork()
        program = f"import sys; sys.path.append({sysconfig.get_path('platlib')!r}); import torch"
        fresh = median_ms(lambda: subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True), 5)
        return Start(median_ms(fork, 21), fresh)


def verdicts() -> Iterator[Verdicts]:
    """Every exercise in PyTorch, right and wrong."""
    for name in subjects.in_torch():
        yield _verdicts(name)


def _verdicts(name: str) -> Verdicts:
    plan = subjects.plan(name)
    wrong = subjects.wrong_variants(name)
    chosen = wrong[:: max(1, len(wrong) // WRONG)]
    with tempfile.TemporaryDirectory() as folder, Server(TORCH_PACKAGES) as server:
        file = Path(folder) / plan.exercise.module

        def body(session: Session) -> Verdicts:
            def verdict() -> str:
                return screen.verdict(session.grade(read_submission(file)), plan.exercise)

            def time_of(submissions: list[Submission]) -> float:
                turn = iter(submissions)
                write = lambda: file.write_text(next(turn).source, encoding="utf-8")  # noqa: E731
                return median_ms(verdict, len(submissions), before=write)

            time_of([subjects.right(name=name)] * 3)
            solution = subjects.sources_of(name).live()
            checks = median_ms(lambda: _run_checks(session, solution), TIMES)
            return Verdicts(
                name=name,
                right=time_of([subjects.right(number, name) for number in range(TIMES)]),
                wrong=time_of(chosen),
                checks=checks,
            )

        return plan.run(server, body)


def _run_checks(session: Session, live: Live) -> None:
    for check in session.checks:
        session.run_check(check, live.solution())
