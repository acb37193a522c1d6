"""Submissions to an exercise in PyTorch that try to earn marks without the work, or to learn a hidden number.

The claims are those of `test_attacks.py`, of which these attacks are more: each begins with its verdict, and each fools the
grader without defences in `torch_defenceless.py`. What it does not defend against is the same too; for exercises in PyTorch it comes
to this:

- Whether a function that an exercise refuses was called is found out in the submission's own process, and holds against shortcuts,
  not against malice (`grader/system/refusals.py`).
- How many weights a layer has, what they are called and what they hold is the layer's own word. What it computes with the weights that
  a check sets is not: so a layer is judged by its answers and gradients, and a check that only counts is worth little.
- A helper of a check's own runs in the submission's process. So it returns numbers that are compared outside, not a verdict.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from test_attacks import KEY, ROOT, Brief, Naive, Outcome, Secrets, expected_of

from grader.logic.tensors import Tensor
from grader.model.types import Cell, Report, Submission
from grader.shell import screen
from grader.system import sandbox
from grader.system.course import Course
from grader.system.host import Server
from grader.system.launch import TORCH_PACKAGES
from grader.verbs.grading import make_plan
from grader.verbs.session import Session

HERE = Path(__file__).parent
TOY = HERE.parent / "toy_course" / "torch"
ATTACKS = sorted(path for path in HERE.glob("torch_*.py") if path.stem != "torch_defenceless")
LIMITS = {"call_seconds": 1.0, "load_seconds": 3.0, "total_seconds": 5.0}
WRONG = "def gated(x):\n    return 0 * x[..., : x.shape[-1] // 2]\n"

pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(bool(sandbox.probe()["seccomp"]), reason="without seccomp the claims are fewer")


@dataclass
class Results:
    """All attacks on both graders, and what must not come out of the real one."""

    exercise: Any
    solution: str
    secrets: Secrets
    real: dict[str, Outcome] = field(default_factory=dict)
    naive: dict[str, Naive] = field(default_factory=dict)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    """One session and one server for all attacks; the defenceless grader is attacked at the same time."""
    course = Course(TOY)
    exercise = course.find("gate")
    exercise = dataclasses.replace(exercise, limits=dataclasses.replace(exercise.limits, **LIMITS))
    solution = (course.solution_folder(exercise) / exercise.module).read_text(encoding="utf-8")
    found = Results(exercise, solution, Secrets([f"secret-{secrets.token_hex(8)}", "root:x:"]))
    os.environ[KEY] = found.secrets.texts[0]
    try:
        with Server(TORCH_PACKAGES) as server:
            defenceless = _attack_the_defenceless(tmp_path_factory.mktemp("defenceless"), solution)
            plan = make_plan(course, exercise)
            live = getattr(plan.oracle, "_live", plan.oracle)
            plan = dataclasses.replace(plan, exercise=exercise, oracle=Brief(live))
            plan.texts.exercise = exercise
            plan.run(server, lambda session: _attack_all(session, found, live))
            found.naive = defenceless()
            yield found
    finally:
        del os.environ[KEY]


def _attack_the_defenceless(folder: Path, solution: str) -> Any:
    """Starts it on all submissions; the function that is returned waits for what came of each."""
    sources = {path.stem: path.read_text(encoding="utf-8") for path in ATTACKS}
    sources |= {"honest": solution, "empty": "# to do\n", "wrong": WRONG}
    for name, source in sources.items():
        (folder / name).mkdir()
        (folder / name / "gate.py").write_text(source, encoding="utf-8")
        (folder / name / "solution.py").write_text(solution, encoding="utf-8")
    command = [sys.executable, str(HERE / "torch_defenceless.py"), *(str(folder / name) for name in sources)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish() -> dict[str, Naive]:
        said = process.communicate(timeout=120)[1]
        assert process.returncode == 0, said.decode()
        return {name: _verdict(folder / name) for name in sources}

    return finish


def _verdict(folder: Path) -> Naive:
    found = Naive()
    if (folder / "verdict").exists():
        verdict = json.loads((folder / "verdict").read_text())
        found.score, found.shown = verdict["score"], "\n".join(verdict["lines"])
    else:
        found.stopped = "dies or hangs"
    found.shown += (folder / "output").read_text()
    known = Secrets([])
    if (folder / "told").exists():
        known.add([json.loads(line) for line in (folder / "told").read_text().splitlines()])
    found.leaks = known.found_in(found.shown[:1_000_000])
    return found


def _attack_all(session: Session, found: Results, live: Any) -> None:
    for check in session.checks:
        if check.hidden:
            run = session.run_check(check, live.solution())
            for asked in run.record.asked:
                found.secrets.add(_arrays([asked.call.args, asked.call.kwargs]))
            found.secrets.add(_arrays([value for value, _ in run.record.references]))
    _graded(session, found.solution)  # from now on the calls are known, and sent ahead
    for path in ATTACKS:
        found.real[path.stem] = _graded(session, path.read_text(encoding="utf-8"))
        found.real[path.stem].after = _graded(session, found.solution).report


def _arrays(value: Any) -> Any:
    """The same with the numbers of its tensors."""
    if isinstance(value, (list, tuple)):
        return [_arrays(item) for item in value]
    if isinstance(value, dict):
        return {key: _arrays(item) for key, item in value.items()}
    return value.array if isinstance(value, Tensor) else value


def _graded(session: Session, source: str) -> Outcome:
    outcome, began = Outcome(), time.perf_counter()
    try:
        outcome.report = session.grade(Submission("gate.py", (Cell(source),)))
    except Exception as error:
        outcome.problem = error
    outcome.seconds = time.perf_counter() - began
    return outcome


def report_on(results: Results, name: str) -> Report:
    """The real grader's report, which there must be."""
    outcome = results.real[name]
    assert outcome.problem is None, f"the grader itself fell over it: {outcome.problem!r}"
    assert outcome.report is not None
    return outcome.report


def names() -> Any:
    """Every attack, by name."""
    return pytest.mark.parametrize("name", [path.stem for path in ATTACKS])


# ---------------------------------------------------------------- the claims


def test_there_are_enough_attacks_and_secrets(results: Results) -> None:
    assert len(ATTACKS) >= 10
    assert len(results.secrets._threes) > 2_000 and len(results.secrets._bytes) > 300
    long = next(three for three in results.secrets._threes.values() if all(len(repr(number)) > 6 for number in three))
    assert results.secrets.found_in(f"It was asked {long}.") and not results.secrets.found_in(
        "It was asked [1.0, 2.0]."
    )


@names()
def test_the_verdict_is_the_expected_one(results: Results, name: str) -> None:
    expected = expected_of(HERE / f"{name}.py")
    report = report_on(results, name)

    assert report.score <= expected.score, [check.name for check in report.checks if check.earned]
    assert report.status == expected.status


@names()
def test_it_is_not_stopped_before_it_begins(results: Results, name: str) -> None:
    """A layer whose weights cannot be set fails every check before it is asked anything."""
    said = [check.message for check in report_on(results, name).checks if not check.hidden]

    assert not any("has no weight" in message or "that nobody sets" in message for message in said)


@names()
def test_no_secret_comes_out_and_nothing_is_drawn(results: Results, name: str) -> None:
    report = report_on(results, name)

    drawn = screen.verdict(report, results.exercise, everything=True)
    shown = "\n".join([json.dumps(report.as_json(), ensure_ascii=False), drawn, report.printed])
    assert not results.secrets.found_in(shown)
    assert all(character == "\n" or character.isprintable() for character in drawn)
    assert len(drawn.split("\n")) < 500 and len(report.printed) <= results.exercise.limits.output_kb * 1024


@names()
def test_the_next_submission_gets_its_marks(results: Results, name: str) -> None:
    after = results.real[name].after

    assert after is not None and (after.status, after.score) == ("passed", after.max_score)


@names()
def test_an_attack_takes_little_time(results: Results, name: str) -> None:
    assert results.real[name].seconds < LIMITS["total_seconds"] + 3 * (LIMITS["call_seconds"] + LIMITS["load_seconds"])


def test_the_defenceless_grader_is_right_about_honest_work(results: Results) -> None:
    assert results.naive["honest"].score == pytest.approx(10) and not results.naive["honest"].leaks
    for name in ("empty", "wrong"):
        assert not results.naive[name].effects, results.naive[name].shown


@names()
def test_it_is_an_attack(results: Results, name: str) -> None:
    naive = results.naive[name]

    assert naive.effects, f"it does nothing to a grader without defences: {naive.shown[:2000]}"
    if "leaks=nothing" in (HERE / f"{name}.py").read_text(encoding="utf-8").split("\n", 1)[0]:
        assert naive.leaks
