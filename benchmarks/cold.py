"""`grader check attention` from nothing, beside an empty pytest in the same interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import subjects
from benchmarks.timing import median_ms

TIMES = 15


@dataclass(frozen=True)
class Cold:
    """Milliseconds."""

    empty: float
    right: float
    wrong: float


def measure() -> Cold:
    """One empty test in an empty folder, with the plug-ins as installed; then a right and a wrong file."""
    subjects.plan()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "empty").mkdir()
        (here / "empty" / "test_empty.py").write_text("def test_empty():\n    pass\n", encoding="utf-8")
        right, wrong = here / "right.py", here / "wrong.py"
        right.write_text(subjects.right().source, encoding="utf-8")
        wrong.write_text(
            next(s for s in subjects.wrong_variants() if s.name.startswith("no_scale")).source, encoding="utf-8"
        )

        def run(arguments: list[str], cwd: Path, expected: int) -> None:
            done = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, check=False)
            if done.returncode != expected:
                raise RuntimeError(
                    f"{arguments} ended with {done.returncode}: {done.stdout.decode()}{done.stderr.decode()}"
                )

        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        grader = [str(Path(sys.executable).with_name("grader")), "check", subjects.EXERCISE, "--submission"]
        root = Path(__file__).resolve().parents[1]
        run([*grader, str(right)], root, 0)
        # One after the other in turn, so that a slow minute of the machine meets all three.
        times = [
            (
                median_ms(lambda: run(pytest, here / "empty", 0), 1),
                median_ms(lambda: run([*grader, str(right)], root, 0), 1),
                median_ms(lambda: run([*grader, str(wrong)], root, 1), 1),
            )
            for _ in range(TIMES)
        ]
    middle = [sorted(column)[TIMES // 2] for column in zip(*times, strict=True)]
    return Cold(*middle)
