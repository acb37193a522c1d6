"""The clock of the benchmarks, the floor that they are compared with, and a claim beside what was measured."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from grader.model.types import Call, Cell, Limits, Submission
from grader.system.host import Server

REFERENCE_START = 67.0
FLOOR_FILE = "import numpy as np\n" + "\n".join(f"\ndef f{n}(x):\n    return np.exp(x) + {n}" for n in range(20)) + "\n"


@dataclass(frozen=True)
class Floor:
    """What the least costs on this machine, in milliseconds."""

    fresh: float
    warm: float
    reference: float = REFERENCE_START

    def scaled(self, milliseconds: float) -> float:
        """What a time here would be on the reference machine."""
        return milliseconds * self.reference / self.fresh


@dataclass(frozen=True)
class Row:
    """One claim: what was measured, what is allowed, both in the same unit."""

    claim: str
    measured: float
    allowed: float
    unit: str
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether it was met; never by a number that is none."""
        return self.measured <= self.allowed


def median_ms(action: Callable[[], Any], times: int, before: Callable[[], Any] = lambda: None) -> float:
    """Median wall-clock milliseconds of an action; ``before`` runs ahead of each and does not count."""
    taken = []
    for _ in range(times):
        before()
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken)


def measure_floor() -> Floor:
    """A fresh Python with numpy; and a fork, a 60-line file and 40 calls with all layers on."""
    fresh = median_ms(lambda: subprocess.run([sys.executable, "-I", "-S", "-c", _import_numpy()], check=True), 15)
    submission = Submission("floor.py", (Cell(FLOOR_FILE),))
    x = np.linspace(0, 1, 12).reshape(3, 4)
    with Server() as server:

        def exchange() -> None:
            with server.open(Limits()) as worker:
                worker.load(submission, "floor", ("numpy",), "floor.py")
                for number in range(40):
                    worker.answer(Call(f"f{number % 20}", (x,)))

        exchange()
        return Floor(fresh, median_ms(exchange, 15))


def _import_numpy() -> str:
    import sysconfig

    return f"import sys; sys.path.append({sysconfig.get_path('platlib')!r}); import numpy"
