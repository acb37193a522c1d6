"""A learner saves: from the watcher's report of the change to the verdict's last byte, in a process that is warm."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import subjects
from benchmarks.timing import median_ms
from grader.model.types import Submission
from grader.shell import screen
from grader.system.host import Server
from grader.system.submission import read_submission
from grader.verbs.session import Session

TIMES = 21


@dataclass(frozen=True)
class Warm:
    """Milliseconds."""

    right: float
    wrong: float
    pair: float
    delay: float


def measure() -> Warm:
    """The three verdicts, and how long the watcher takes to report a change."""
    plan = subjects.plan()
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        file = Path(folder) / "attention.py"

        def body(session: Session) -> Warm:
            def verdict() -> str:
                report = session.grade(read_submission(file))
                return screen.verdict(report, plan.exercise)

            def time_of(submissions: list[Submission], times: int) -> float:
                turn = iter(submissions * times)
                return median_ms(verdict, times, before=lambda: file.write_text(next(turn).source, encoding="utf-8"))

            time_of([subjects.right()], 3)
            return Warm(
                right=time_of([subjects.right(n) for n in range(TIMES)], TIMES),
                wrong=time_of(subjects.wrong_variants(), len(subjects.wrong_variants())),
                pair=time_of([subjects.pair()], 7),
                delay=_watcher_delay(Path(folder)),
            )

        return plan.run(server, body)


def _watcher_delay(folder: Path) -> float:
    """From a change of the file to watchfiles' report, with the settings of `grader watch`."""
    from watchfiles import watch

    from grader.shell.watch import GROUP_MS, STEP_MS

    delays: list[float] = []
    saved = [0.0]
    stop = threading.Event()
    seen = threading.Event()

    def listen() -> None:
        for _ in watch(folder, debounce=GROUP_MS, step=STEP_MS, stop_event=stop, yield_on_timeout=False):
            delays.append((time.perf_counter() - saved[0]) * 1e3)
            seen.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    time.sleep(0.5)
    for number in range(9):
        seen.clear()
        saved[0] = time.perf_counter()
        (folder / "attention.py").write_text(f"# {number}\n", encoding="utf-8")
        seen.wait(5)
        time.sleep(0.1)
    stop.set()
    listener.join(5)
    return statistics.median(delays) if delays else float("nan")
