"""Submissions that do more work than they are allowed, and deceive whatever counts it in their own process.

An exercise whose checks judge what work costs (`cost_of`) withstands them, because the kernel is asked, from outside
(`grader/system/meter.py`). Each file named `cost_…` begins with the check that it has to fail. The claims are two more to
those of `test_attacks.py`:

- `test_it_fails_by_what_it_costs`: the answers are right and the counter inside says so, and that one check fails.
- `test_it_deceives_what_counts_inside`: judged by the counter and the clocks of its own process, it would have passed.

What this does not defend against: work done before a request, in an earlier one or by a timer, is not that request's. So what a
helper returns has to depend on inputs that cannot be foreseen, and has to be compared. Threads are counted, other processes
are not: none can be started where seccomp is in force. A process may hold 64 MB in advance. Who keeps the machine
busy makes everybody's work take longer, the solution's too, by a factor of two at most; limits should leave that room.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.model.types import Cell, Report, Submission
from grader.system import meter, sandbox
from grader.system.course import Course
from grader.system.host import Server
from grader.verbs.grading import Plan, Sources, texts_from

HERE = Path(__file__).parent
TOY = HERE.parent / "toy_course" / "cost"
SOURCES = Sources(Course(TOY), Course(TOY).find("relay"))
ATTACKS = sorted(HERE.glob("cost_*.py"))


def is_told() -> bool:
    """Whether this system says what work costs."""
    try:
        meter.demand()
    except meter.NotMeasured:
        return False
    return True


pytestmark = [
    pytest.mark.skipif(bool(sandbox.probe()["seccomp"]), reason="without seccomp the claims are fewer"),
    pytest.mark.skipif(not is_told(), reason="work is not measured on this system"),
]


def expected_of(path: Path) -> tuple[str, float]:
    """The check that fails and the points that are left, from the first line."""
    words = shlex.split(path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# expect: "))
    found = dict(word.replace("<=", "=").split("=", 1) for word in words)
    return found["fails"], float(found["score"])


def names() -> pytest.MarkDecorator:
    """Every attack, by name."""
    return pytest.mark.parametrize("name", [path.stem for path in ATTACKS])


@pytest.fixture(scope="module")
def reports() -> Iterator[dict[str, tuple[Report, Report]]]:
    """Each attack's report, and that of the solution after it."""
    header = SOURCES.header(7, "all")
    files = [SOURCES.folder / "test_public.py", SOURCES.folder / "test_hidden.py"]
    exercise = SOURCES.exercise
    plan = Plan(exercise, files, SOURCES.live(), texts_from(exercise, header), header, 7, "all")

    def grade(session):
        def graded(source: str) -> Report:
            return session.grade(Submission("relay.py", (Cell(source),)))

        graded(SOURCES.solution)  # from now on the calls are known, and sent ahead
        return {path.stem: (graded(path.read_text(encoding="utf-8")), graded(SOURCES.solution)) for path in ATTACKS}

    with Server() as server:
        yield plan.run(server, grade)


@names()
def test_it_fails_by_what_it_costs(reports: dict[str, tuple[Report, Report]], name: str) -> None:
    fails, score = expected_of(HERE / f"{name}.py")
    report = reports[name][0]

    assert [check.name for check in report.checks if check.outcome != "passed"] == [fails]
    assert (report.status, report.score) == ("failed", score)
    assert not any(check.looks_like for check in report.checks)


@names()
def test_the_next_submission_gets_its_marks(reports: dict[str, tuple[Report, Report]], name: str) -> None:
    after = reports[name][1]

    assert (after.status, after.score) == ("passed", after.max_score)


INSIDE = """
import sys, types
import numpy as np
sys.path.insert(0, {checks!r})
from test_public import HELPERS

namespace = {{}}
exec(open({attack!r}).read(), namespace)
helpers = {{"submission": types.SimpleNamespace(**namespace)}}
exec(HELPERS, helpers)
xs = np.linspace(-1, 1, 24)
print(helpers["judged_inside"](np.full((3, 3), 0.25), xs, 60, 1e-3 if {clocks} else 60.0))
"""


@names()
def test_it_deceives_what_counts_inside(name: str) -> None:
    """A thousandth of a second is less than the honest work takes."""
    clocks = name == "cost_counts_for_itself"
    program = INSIDE.format(checks=str(SOURCES.folder), attack=str(HERE / f"{name}.py"), clocks=clocks)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=HERE.parents[1])

    assert done.stdout.strip() == "True", done.stderr


def test_honest_work_is_no_less_than_that_and_there_are_attacks() -> None:
    assert len(ATTACKS) >= 2
    honest = str(SOURCES.folder / SOURCES.exercise.module)
    program = INSIDE.format(checks=str(SOURCES.folder), attack=honest, clocks=True)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=HERE.parents[1])

    assert done.stdout.strip() == "False", done.stderr
