"""Submissions that try to earn marks without the work, or to learn a hidden number, and what comes of them.

What the grader defends against, one test for each claim (each file beside this one is an attack, its first line the verdict
that is expected of the real grader):

- `test_the_verdict_is_the_expected_one`: no attack earns a point that it has not worked for, whether it lies with its answers,
  patches what it shares a process with, forges reports, frames and exceptions, or ends, hangs, floods and multiplies.
- `test_no_secret_comes_out`: nothing of a hidden check's inputs and right answers, of the environment, of the solution and
  of the system's files stands in the report, on the screen or in what is shown as printed.
- `test_nothing_is_drawn_or_flooded`: no control character reaches the screen, and every report stays small.
- `test_the_next_submission_gets_its_marks`: after each attack, the same server and session give the solution full marks.
- `test_an_attack_takes_little_time`: no attack holds the grader up for longer than the limits that it is graded under.
- `test_files_beside_the_submission_are_not_used`: the command line, run in the submission's own folder, imports nothing there.
- `test_a_worker_that_does_not_read_is_given_up`, `test_odd_answers_are_judged`: the border holds where no file shows it.
- `test_it_is_an_attack`: each one fools, robs or stops the grader without defences in `defenceless.py`, which gives honest
  work what it deserves (`test_the_defenceless_grader_is_right_about_honest_work`); and whoever looks for secrets here finds them
  where they stand (`test_a_secret_is_found_where_it_stands`).

What it does not defend against, by design:

- A few bits of a hidden check always come out: whether it passed, how its answer was wrong in kind (pattern, dtype, one of a
  few shapes, built-in type of an exception, the line in the submission's own file), which named idea it looks like. Who
  hands in again and again can read an input out of these, bit by bit; the number of attempts is the instructor's to limit.
- Time and memory as a messenger: a submission can sleep as long as a hidden number is large, and the report says how long grading took.
- What a submission reports of itself (whether it left its arguments alone, say) holds against mistakes, not against malice.
- Where a layer of the sandbox is missing (`grader doctor` says which), the claims that rest on it do not hold there; the
  files of two submissions are kept apart by the root layer, processes that linger by namespaces or seccomp.
- Answers looked up somewhere else and written into the file are answers.

Attacks on exercises in PyTorch are in `test_torch_attacks.py`, those on checks that judge what work costs in
`test_cost_attacks.py`: no submission does more work or takes more memory than is allowed by deceiving what counts inside its own process.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grader.model.types import Call, Cell, Report, Submission
from grader.shell import screen
from grader.system import sandbox
from grader.system.course import Course
from grader.system.host import Server
from grader.verbs.grading import make_plan
from grader.verbs.session import Session

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NONE = ("test_attacks", "defenceless", "test_torch_attacks", "test_cost_attacks", "__init__")
ATTACKS = sorted(
    path for path in HERE.glob("*.py") if path.stem not in NONE and not path.stem.startswith(("torch_", "cost_"))
)  # those have files of tests of their own
KEY = "KEY-OF-THE-COURSE"
NEEDS_PID_NAMESPACE = {"kills_everything"}
NAIVE_SECONDS = 3.0  # an honest submission takes a tenth of that
LIMITS = {"call_seconds": 1.0, "load_seconds": 3.0, "total_seconds": 5.0}

pytestmark = pytest.mark.skipif(bool(sandbox.probe()["seccomp"]), reason="without seccomp the claims are fewer")


# ---------------------------------------------------------------- what the first lines say


@dataclass
class Expected:
    """An attack's first line: `# expect: status=… score=… (or score<=…) hidden=… outcome=… says="…" leaks=nothing`.

    `open="…"` says what is not mended yet: then the verdict is expected to be another one.
    """

    status: str = ""
    score: float = 0.0
    hidden: float | None = None
    outcome: str = ""
    says: list[str] = field(default_factory=list)
    open: str = ""


def expected_of(path: Path) -> Expected:
    """The verdict in the first line; a ValueError for a line that is not of the form."""
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    if not first.startswith("# expect: "):
        raise ValueError(f"{path.name} does not begin with its verdict")
    expected = Expected()
    for word in shlex.split(first.removeprefix("# expect: ")):
        name, _, value = word.replace("<=", "=").partition("=")
        if name in ("score", "hidden"):
            setattr(expected, name, float(value))
        elif name == "says":
            expected.says.append(value)
        elif name in ("status", "outcome", "open"):
            setattr(expected, name, value)
        elif word != "leaks=nothing":
            raise ValueError(f"{path.name} expects {word!r}, which is no field")
    return expected


def beside(source: str) -> dict[str, str]:
    """The files that an attack wants to have beside itself."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "BESIDE":
            return ast.literal_eval(node.value)
    return {}


# ---------------------------------------------------------------- secrets, and looking for them


class Secrets:
    """Rows of numbers and texts that must not come out.

    A single number may stand anywhere by chance; three that follow one another in a secret array and in the text do not.
    """

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.whole: set[int] = set()
        self._threes: dict[tuple[str, ...], list[float]] = {}
        self._bytes: dict[str, list[float]] = {}

    def add(self, value: Any) -> None:
        """All arrays and rows of numbers in a value."""
        if isinstance(value, np.ndarray):
            self._add_row([float(number) for number in value.ravel()])
        elif isinstance(value, dict):
            self.add(list(value.values()))
        elif type(value) is int and value > 99:
            self.whole.add(value)
        elif isinstance(value, (tuple, list)):
            self._add_row([number for number in value if isinstance(number, float)])
            for item in value:
                self.add(item)

    def _add_row(self, row: list[float]) -> None:
        for start in range(len(row) - 2):
            three = row[start : start + 3]
            if len(set(three)) < 3 or not np.isfinite(three).all():
                continue
            for form in FORMS:
                key = tuple(_digits_of(form(number)) for number in three)
                if all(len(digits) >= 3 for digits in key):
                    self._threes[key] = three
            for dtype in ("f8", "f4"):
                self._bytes[np.array(three, dtype).tobytes().hex()] = three

    def whole_in(self, text: str) -> list[int]:
        """Which of its whole numbers, or of these with a round number added, stand in a text that has few numbers."""
        there = {int(digits) for digits in re.findall(r"\d{3,18}", text)}
        return [number for number in self.whole if there & {number + plus for plus in (0, 10_000, 70_000, 100_000)}]

    def found_in(self, text: str) -> list[str]:
        """What of it stands in a text."""
        found = [secret for secret in self.texts if secret in text]
        digits = list(map(_digits_of, NUMBER.findall(text)))
        there = set(zip(digits, digits[1:], digits[2:], strict=False))
        found += [f"{self._threes[three]} as {three}" for three in there & self._threes.keys()]
        for run in HEXADECIMAL.findall(text):
            found += [f"{self._bytes[key]} as bytes" for key in self._bytes if key in run]
        return found


NUMBER = re.compile(r"\d+(?:\.\d*)?(?:e[+-]?\d+)?")
HEXADECIMAL = re.compile(r"[0-9a-f]{24,}")
TEXTS = ["Scaled dot-product attention in numpy, from one query", "root:x:"]  # of the solution, of /etc/passwd


def _digits_of(number: str) -> str:
    """The digits that count, wherever the point stands."""
    return number.partition("e")[0].replace(".", "").strip("-0")


def _scaled(scale: int, plus: int) -> Any:
    return lambda number: str(int(abs(number) * scale) + plus)


FORMS = [repr, *(f"{{:{form}}}".format for form in (".3f", ".4f", ".6f", ".8f", ".4g", ".6g", ".8g"))]
FORMS += [_scaled(scale, plus) for scale in (128, 512, 4096) for plus in (0, 100, 70_000, 100_000)]


# ---------------------------------------------------------------- the grader without defences


@dataclass
class Naive:
    """What came of an attack on the defenceless grader."""

    score: float = 0.0
    shown: str = ""
    stopped: str = ""
    leaks: list[str] = field(default_factory=list)

    @property
    def effects(self) -> list[str]:
        """In which ways it was fooled; empty when it was not."""
        found = [f"{self.score:g} points"] if self.score > 0 else []
        found += [f"leaks {leak[:60]}" for leak in self.leaks[:1]]
        found += [self.stopped] if self.stopped else []
        found += ["draws on the screen"] if "\x1b" in self.shown else []
        found += ["floods"] if len(self.shown) > 5_000_000 else []
        return found


def attack_the_defenceless(paths: list[Path], folder: Path, solution: str) -> list[Naive]:
    """The grader without defences on some submissions, one after the other."""
    return [_attack_once(path.read_text(encoding="utf-8"), folder / path.stem, solution) for path in paths]


def _attack_once(source: str, folder: Path, solution: str, seconds: float = NAIVE_SECONDS) -> Naive:
    folder.mkdir()
    for name, text in {"attention.py": source, "solution.py": solution, **beside(source)}.items():
        (folder / name).write_text(text, encoding="utf-8")
    known = Secrets([f"secret-{secrets.token_hex(8)}", *TEXTS])
    told, verdict = folder.with_suffix(".told"), folder.with_suffix(".verdict")
    environment = {
        **os.environ,
        KEY: known.texts[0],
        "SECRETS": str(told),
        "PYTHONPATH": str(ROOT),
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, str(HERE / "defenceless.py"), str(folder), str(verdict)]
    if folder.name in NEEDS_PID_NAMESPACE:
        command = [sys.executable, "-c", IN_A_PID_NAMESPACE, *command]
    result = Naive()
    front = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        output = front.communicate(timeout=seconds)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        output, result.stopped = "", "hangs"
    finally:
        _kill(front)
    if verdict.exists() and verdict.stat().st_size:
        said = json.loads(verdict.read_text())
        result.score, result.shown = said["score"], said["output"]
    elif not result.stopped:
        result.stopped = "dies"
    result.shown += output
    if told.exists():
        known.add([json.loads(line) for line in told.read_text().splitlines()])
    result.leaks = known.found_in(result.shown[:1_000_000])
    return result


def _kill(front: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(front.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    front.wait()
    if front.stdout is not None:
        front.stdout.close()


# Signals to all processes reach those of one namespace only. Process 1 of it stays, and ends when the front has.
IN_A_PID_NAMESPACE = """
import ctypes, os, subprocess, sys
if ctypes.CDLL(None).unshare(0x10000000 | 0x20000000):
    sys.exit("no pid namespace")
child = os.fork()
if child == 0:
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    os._exit(subprocess.call(sys.argv[1:]) and 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


# ---------------------------------------------------------------- everything is run once


class Brief:
    """The live oracle with a few of its variants: diagnosis takes its time."""

    def __init__(self, live: Any) -> None:
        self.wrong = live.wrong[:3]
        self.reference, self.answers, self.solution = live.reference, live.answers, live.solution


@dataclass
class Outcome:
    """One attack on the real grader."""

    report: Report | None = None
    problem: BaseException | None = None
    seconds: float = 0.0
    after: Report | None = None


@dataclass
class Results:
    """All attacks on both graders, and what must not come out of the real one."""

    real: dict[str, Outcome] = field(default_factory=dict)
    naive: dict[str, Future[list[Naive]]] = field(default_factory=dict)
    secrets: Secrets = field(default_factory=lambda: Secrets([f"secret-{secrets.token_hex(8)}", *TEXTS]))
    solution: str = ""
    exercise: Any = None
    odd: dict[str, Outcome] = field(default_factory=dict)
    honest: list[Future[Naive]] = field(default_factory=list)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    """One session and one server for all attacks; the defenceless grader is attacked at the same time."""
    course = Course(ROOT)
    exercise = course.find("attention")
    exercise = dataclasses.replace(exercise, limits=dataclasses.replace(exercise.limits, **LIMITS))
    found = Results(exercise=exercise)
    found.solution = (course.solution_folder(exercise) / exercise.module).read_text(encoding="utf-8")
    folder = tmp_path_factory.mktemp("defenceless")
    os.environ[KEY] = found.secrets.texts[0]
    try:
        with ThreadPoolExecutor(2) as pool, Server() as server:
            for name, text in _honest(found.solution).items():
                found.honest.append(pool.submit(_attack_once, text, folder / name, found.solution, 20.0))
            for paths in _groups():
                future = pool.submit(attack_the_defenceless, paths, folder, found.solution)
                for path in paths:
                    found.naive[path.stem] = future
            plan = make_plan(course, exercise)
            live = getattr(plan.oracle, "_live", plan.oracle)
            plan = dataclasses.replace(plan, exercise=exercise, oracle=Brief(live))
            plan.texts.exercise = exercise
            plan.run(server, lambda session: _attack_all(session, found, live))
            yield found
    finally:
        del os.environ[KEY]


def _honest(solution: str) -> dict[str, str]:
    """Submissions that try nothing: the solution, an empty one, and one that answers wrongly."""
    return {"solution": solution, "empty": "# to do\n", "wrong": "def softmax(x, axis=-1):\n    return 0 * x\n"}


def _groups() -> list[list[Path]]:
    """Attacks that need one another together, in order: `name_1`, `name_2`."""
    groups: dict[str, list[Path]] = {}
    for path in ATTACKS:
        groups.setdefault(re.sub(r"_\d$", "", path.stem), []).append(path)
    return list(groups.values())


def _attack_all(session: Session, found: Results, live: Any) -> None:
    for check in session.checks:
        if check.hidden:
            run = session.run_check(check, live.solution())
            for asked in run.record.asked:
                found.secrets.add([asked.call.args, asked.call.kwargs])
            found.secrets.add([value for value, _ in run.record.references])
    solution = Submission("attention.py", (Cell(found.solution),))
    session.grade(solution)  # from now on the calls are known, and sent ahead
    for group in _groups():
        for path in group:
            found.real[path.stem] = _graded(session, path.read_text(encoding="utf-8"))
        for path in group:
            found.real[path.stem].after = _graded(session, found.solution).report
    for name, body in ODD_ANSWERS.items():
        found.odd[name] = _graded(session, ODD.format(body=body))


def _graded(session: Session, source: str) -> Outcome:
    outcome, began = Outcome(), time.perf_counter()
    try:
        outcome.report = session.grade(Submission("attention.py", (Cell(source),)))
    except Exception as error:
        outcome.problem = error
    outcome.seconds = time.perf_counter() - began
    return outcome


def _shown(results: Results, report: Report) -> str:
    """All that anybody sees of a report."""
    drawn = screen.verdict(report, results.exercise, everything=True)
    return "\n".join([json.dumps(report.as_json(), ensure_ascii=False), drawn, report.printed])


# ---------------------------------------------------------------- the claims


def _open_of(path: Path) -> Any:
    reason = expected_of(path).open
    return [pytest.mark.xfail(reason=reason, strict=True)] if reason else []


def names() -> Any:
    """Every attack, by name."""
    return pytest.mark.parametrize("name", [path.stem for path in ATTACKS])


def report_on(results: Results, name: str) -> Report:
    """The real grader's report, which there must be."""
    outcome = results.real[name]
    assert outcome.problem is None, f"the grader itself fell over it: {outcome.problem!r}"
    assert outcome.report is not None
    return outcome.report


def test_there_are_secrets_to_be_found(results: Results) -> None:
    known = results.secrets

    assert len(known.texts) == 3 and known.texts[1] in results.solution
    assert len(known._threes) > 10_000 and len(known._bytes) > 2_000 and len(known.whole) > 3


def test_there_are_enough_attacks_and_each_has_a_verdict_and_an_idea() -> None:
    assert len(ATTACKS) >= 28
    for path in ATTACKS:
        expected_of(path)
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path.name


@pytest.mark.parametrize("name", [pytest.param(path.stem, marks=_open_of(path)) for path in ATTACKS])
def test_the_verdict_is_the_expected_one(results: Results, name: str) -> None:
    expected = expected_of(HERE / f"{name}.py")
    report = report_on(results, name)

    assert report.score <= expected.score, [check.name for check in report.checks if check.earned]
    assert report.status == expected.status or (not expected.status and report.status != "passed")
    if expected.hidden is not None:
        assert sum(check.earned for check in report.checks if check.hidden) <= expected.hidden
    if expected.outcome:
        assert expected.outcome in {check.outcome for check in report.checks}
    messages = "\n".join([report.message, *(check.message for check in report.checks)])
    for phrase in expected.says:
        assert phrase in messages


@names()
def test_no_secret_comes_out(results: Results, name: str) -> None:
    report = report_on(results, name)

    assert not results.secrets.found_in(_shown(results, report))
    assert not results.secrets.whole_in("\n".join(check.message for check in report.checks if check.hidden))


@pytest.mark.parametrize(
    "form",
    [
        repr,
        "{:.3f}".format,
        "{:.4f}".format,
        "{:.6g}".format,
        lambda x: str(int(abs(x) * 512)),
        lambda x: f"|{x:12.8f}",
    ],
)
def test_a_secret_is_found_where_it_stands(form: Any) -> None:
    known = Secrets(["secret-1"])
    rows = np.array([[-1.705078125, 0.591796875, 10001.17578125, -0.314453125], [1.25, 1.5, 1.75, 0.5]])
    known.add([{"q": rows}, (5, 421)])

    assert known.found_in(f"before 1.5 [{' '.join(map(form, rows[0].tolist()))}] after 3")
    assert known.found_in("in bytes: " + rows.tobytes().hex()) and known.found_in(
        "in bytes: " + rows.astype("f4").tobytes().hex()
    )
    assert known.found_in("xxsecret-1xx") and known.whole_in("with 10421 more") == [421]
    assert not known.found_in(
        "0.591796875 -1.705078125 10001.17578125 and shape (3, 4, 5), float64, 2 of 7 points, 0.125 0.250"
    )
    assert not known.whole_in("5 of 42 numbers, line 14210")


@names()
def test_nothing_is_drawn_or_flooded(results: Results, name: str) -> None:
    report = report_on(results, name)

    drawn = screen.verdict(report, results.exercise, everything=True)

    assert all(character == "\n" or character.isprintable() for character in drawn)
    assert len(drawn.split("\n")) < 500
    assert len(json.dumps(report.as_json())) < 200_000
    assert len(report.printed) <= results.exercise.limits.output_kb * 1024


@names()
def test_the_next_submission_gets_its_marks(results: Results, name: str) -> None:
    after = results.real[name].after

    assert after is not None and after.status == "passed" and after.score == after.max_score


@names()
def test_an_attack_takes_little_time(results: Results, name: str) -> None:
    limits = results.exercise.limits

    assert results.real[name].seconds < limits.total_seconds + 3 * (limits.call_seconds + limits.load_seconds)


def test_the_defenceless_grader_is_right_about_honest_work(results: Results) -> None:
    right, empty, wrong = (future.result() for future in results.honest)

    assert right.effects == ["10 points"], right.shown
    assert not empty.effects and not wrong.effects


@names()
def test_it_is_an_attack(results: Results, name: str) -> None:
    if name in NEEDS_PID_NAMESPACE and sandbox.probe()["namespaces"]:
        pytest.skip("it can be proved in a namespace only, and there is none here")

    group = results.naive[name].result()

    assert any(naive.effects for naive in group), "it does nothing to a grader without defences"


# ---------------------------------------------------------------- claims that need more than a file


@pytest.mark.parametrize("name", [path.stem for path in ATTACKS if "\nBESIDE = " in path.read_text()])
def test_files_beside_the_submission_are_not_used(name: str, tmp_path: Path) -> None:
    source = (HERE / f"{name}.py").read_text(encoding="utf-8")
    for other, text in {"attention.py": source, **beside(source)}.items():
        (tmp_path / other).write_text(text, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "grader",
        "check",
        "attention",
        "--public",
        "--submission",
        "attention.py",
        "--json",
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}

    found = subprocess.run(
        command, cwd=tmp_path, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60
    )

    assert json.loads(found.stdout)["score"] == 0, found.stderr.decode()
    assert {other.name for other in tmp_path.iterdir()} == {"attention.py", *beside(source)}


DEAF = """
import dataclasses
sys = dataclasses.sys
os = sys.modules["os"]

def f(x):
    frame = sys._getframe()
    while not hasattr(frame.f_locals.get("self"), "channel"):
        frame = frame.f_back
    for _ in range(3):
        frame.f_locals["self"].channel.send(("value", 0))
    sys.modules["time"].sleep(20)
"""


def test_a_worker_that_does_not_read_is_given_up(results: Results) -> None:
    big = np.zeros(1_000_000)
    began = time.perf_counter()

    with Server() as server, server.open(results.exercise.limits) as worker:
        worker.load(Submission("a.py", (Cell(DEAF),)), "a", ("dataclasses",), "a.py")
        outcomes = [worker.answer(Call("f", (big,))) for _ in range(3)]

    assert worker.died is not None and worker.died.reason == "timeout", outcomes
    assert time.perf_counter() - began < 10


ODD = """
import dataclasses
import numpy as np

def softmax(x, axis=-1):
    return {body}

def attention_weights(q, k, mask=None, scale=None):
    return {body}

def causal_mask(n_queries, n_keys):
    return {body}

def score_statistics(d_k=1, n=1, seed=1, x=np.ones(3)):
    names = [a + b for a in ("variance_", "entropy_", "gradient_") for b in ("raw", "scaled")]
    return dict.fromkeys(names, {body})

def why_scale(x=np.ones(3)):
    names = "variance deviation variance_of_halves scale_of_a_head ratio_without_scale gradient_of_an_even_bet"
    return dict.fromkeys(names.split(), {body})

def attention_backward(q, k, v, d_out, mask=None, *, causal=False, scale=None):
    return {body}, {body}, [{body}]
"""
ODD_ANSWERS = {
    "a huge whole number": "10**400",
    "a larger one than floats hold exactly": "2**70",
    "a whole number that does not cross": "1 << 100_000",
    "infinity": "float('inf')",
    "a number that is none": "float('nan')",
    "a complex number": "complex(0, 1)",
    "a complex array": "np.zeros((3, 5), complex)",
    "an array without axes": "np.array(1.0)",
    "negative strides": "np.arange(15.0).reshape(3, 5)[::-1, ::-1]",
    "a huge virtual array": "np.broadcast_to(np.float64(1), (10**6, 10**6))",
    "sixty axes": "np.zeros((1,) * 60)",
    "another byte order": "np.zeros((3, 5), '>f8')",
    "long doubles": "np.zeros((3, 5), np.longdouble)",
    "dates": "np.zeros((3, 5), 'M8[s]')",
    "fields": "np.zeros((3, 5), [('a', 'f8')])",
    "objects": "np.array([[None, 1], [2, 3]], object)",
    "texts": "np.array(['a', 'b'])",
    "a masked array": "np.ma.masked_array([1.0, 2.0], [True, False])",
    "a matrix": "np.matrix([[1.0]])",
    "a memory view": "memoryview(b'abc')",
    "a slice of everything": "slice(None)",
    "its own function": "softmax",
    "its own module": "dataclasses",
    "half a surrogate": "'\\ud800'",
    "control characters": "'\\x1b[2J\\x00'",
    "keys of all kinds": "{(1, 2.0): 1, None: 2, True: 3, b'x': 4, np.float64(2): 5}",
    "a list of lists": "[[[[]]], (), {}]",
    "lists of different lengths": "[[1.0], [1.0, 2.0]]",
    "the type of types": "type",
    "an exception": "ValueError('x')",
    "not implemented": "NotImplemented",
    "nothing": "None",
    "a generator": "(n for n in range(3))",
    "an iterator of the module's frames": "dataclasses.sys._getframe()",
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_odd_answers_are_judged(results: Results, name: str) -> None:
    outcome = results.odd[name]

    assert outcome.problem is None
    assert outcome.report is not None and outcome.report.status == "failed" and outcome.report.score == 0
    assert _shown(results, outcome.report)
