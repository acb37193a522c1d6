"""Grading: one pytest session for one exercise, in which any number of submissions are judged.

The checks are collected once. For each submission a worker is opened, every check is run by pytest's own protocol with the
fixtures ``student`` and ``reference`` bound to it, failures are diagnosed, and a `Report` is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pytest
from _pytest.runner import runtestprotocol

from grader.logic import asserting, diagnose, words
from grader.logic.asking import NotMeasured
from grader.logic.asserting import Mismatch, Record, StudentFailure
from grader.logic.stub import STUB_RAISE, is_untouched
from grader.logic.tensors import BFLOAT16, tensor
from grader.model.errors import CourseError
from grader.model.types import Call, CheckResult, Died, Exercise, Outcome, Raised, Report, Scope, Submission
from grader.system.careful import Careful, Script, script_of
from grader.system.course import PUBLIC_CHECKS
from grader.system.host import Loaded, Server, request_frame
from grader.system.subjects import Reference, Student, Subject, frozen
from grader.system.tape import TapeMiss

PUBLISHED_SEED = 7
MAX_KEPT = 1 << 26  # bytes of answers whose runs are kept for other submissions
DEFAULT_DTYPES = {"numpy": "float64", "torch": "float32"}
EMPTY_CONFIG = Path(__file__).with_name("pytest.ini")
Result = TypeVar("Result")

# What a session of checks has no use for; each costs start-up time.
UNUSED_PLUGINS = (
    "cacheprovider", "terminal", "logging", "capture", "junitxml", "pastebin", "doctest", "faulthandler", "stepwise",
    "setuponly", "setupplan", "debugging", "unraisableexception", "threadexception", "legacypath", "recwarn", "tmpdir",
    "monkeypatch", "warnings", "unittest", "nose", "subtests", "assertion", "reports",
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One collected check."""

    item: pytest.Function = field(repr=False)
    name: str
    step: str
    points: float
    hidden: bool
    untaped: bool


@dataclass
class Run:
    """What one check did with one submission.

    ``explained`` and ``messages`` are kept for the next submission with the same answers: which ideas explain the run, and how it
    is told with which ideas named.
    """

    check: Check
    record: Record
    error: BaseException | None = None
    skipped: str = ""
    explained: dict[str, bool] = field(default_factory=dict)
    messages: dict[tuple[str, ...], str] = field(default_factory=dict)

    @property
    def depends_on_answers_alone(self) -> bool:
        """Whether the same answers of another submission give the same run: told of an exception are lines of its own."""
        if self.skipped or any(isinstance(outcome, Died) for outcome in self.outcomes):
            return False
        raised = any(isinstance(outcome, Raised) for outcome in self.outcomes)
        return self.error is None or (isinstance(self.error, Mismatch) and not raised)

    @property
    def is_measured(self) -> bool:
        """Whether it asked what something costs."""
        return any(asked.call.kind == "cost" for asked in self.record.asked)

    @property
    def calls(self) -> list[Call]:
        """The calls that were made, in order."""
        return [asked.call for asked in self.record.asked]

    @property
    def outcomes(self) -> list[Outcome]:
        """What they gave."""
        return [asked.outcome for asked in self.record.asked]


def open_session(
    exercise: Exercise,
    check_files: list[Path],
    body: Callable[[Session], Result],
    *,
    oracle: Any,
    server: Server,
    texts: words.Texts,
    seed: int = PUBLISHED_SEED,
    scope: Scope = "all",
) -> Result:
    """Collect the checks, then run ``body`` with the open session; its result.

    `CourseError` when the check files cannot be collected.
    """
    plugin = _Plugin(exercise, body, oracle, server, texts, seed, scope)
    arguments = [str(path) for path in check_files]
    arguments += ["-c", str(EMPTY_CONFIG), "--noconftest", "--import-mode=importlib"]
    arguments += ["--rootdir", str(check_files[0].parent)]
    for name in UNUSED_PLUGINS:
        arguments += ["-p", f"no:{name}"]
    with _quiet_environment(), _own_modules(check_files), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's about what a wrong variant computes
        code = pytest.main(arguments, plugins=[plugin])
    if code == pytest.ExitCode.INTERRUPTED:  # pytest takes Ctrl-C for itself while it collects
        raise KeyboardInterrupt
    if plugin.problems:
        raise CourseError(f"The checks of {exercise.name} cannot be collected.\n{plugin.problems[0]}")
    if plugin.raised is not None:
        raise plugin.raised
    if not plugin.finished:
        raise CourseError(f"pytest ended with code {code} before anything was graded.")
    return plugin.result


class _PublicChecks(MetaPathFinder):
    """Lets hidden checks say `from test_public import …`: the public checks that lie beside them, and nothing else there."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / PUBLIC_CHECKS

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        wanted = name == self.file.stem and self.file.is_file()
        return importlib.util.spec_from_file_location(name, self.file) if wanted else None


@contextlib.contextmanager
def _own_modules(check_files: list[Path]) -> Iterator[None]:
    """Check files have the same names in every exercise, and pytest takes a module that is there for the one it wants."""
    public = _PublicChecks(check_files[0].parent)
    names = {public.file.stem, *(path.stem for path in check_files)}

    def taken_out() -> dict[str, Any]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.rpartition(".")[2] in names}

    others = taken_out()
    sys.meta_path.insert(0, public)
    try:
        yield
    finally:
        sys.meta_path.remove(public)
        taken_out()
        sys.modules.update(others)


class _quiet_environment:
    """No pytest option, plugin or byte code from outside finds its way into a session."""

    names = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")

    def __enter__(self) -> None:
        self.kept = {name: os.environ.pop(name) for name in self.names if name in os.environ}
        self.autoload = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        self.write = sys.dont_write_bytecode

    def __exit__(self, *_: object) -> None:
        os.environ.update(self.kept)
        if self.autoload is None:
            del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        else:
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = self.autoload
        sys.dont_write_bytecode = self.write


class _Plugin:
    """The pytest plug-in: fixtures, marks, and a run loop that hands over to ``body``."""

    def __init__(self, exercise: Exercise, body: Any, oracle: Any, server: Server, texts: Any, seed: int, scope: Scope):
        self.session = Session(exercise, oracle, server, texts, seed, scope)
        self.body = body
        self.result: Any = None
        self.finished = False
        self.raised: BaseException | None = None
        self.problems: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        config.addinivalue_line("markers", "step(name): the step of the exercise that a check belongs to")
        config.addinivalue_line("markers", "points(n): what passing it earns")
        config.addinivalue_line(
            "markers", "untaped: its calls depend on earlier answers, or it measures work: no tape can hold it"
        )

    @pytest.fixture
    def student(self) -> Student:
        return self.session.current.student

    @pytest.fixture
    def reference(self) -> Reference:
        return self.session.current.reference

    @pytest.fixture
    def rng(self) -> np.random.Generator:
        return self.session.current.rng

    @pytest.fixture
    def draw(self) -> Callable[..., Any]:
        return self.session.current.draw

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.problems.append(str(report.longrepr))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
        # pytest would format a stack trace for every failure; nobody reads it, and it is slow.
        if call.excinfo is not None:
            self.session.current.error = self.session.current.error or call.excinfo.value
        outcome: Any = "passed" if call.excinfo is None else "failed"
        return pytest.TestReport(item.nodeid, item.location, {}, outcome, None, call.when, (), call.duration)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if self.problems:
            return True
        try:
            self.session.collected(session.items)
            with np.errstate(all="ignore"):  # what a submission's NaN does to a comparison is no news
                self.result = self.body(self.session)
            self.finished = True
        except BaseException as error:  # pytest would swallow or print it; the caller gets it unchanged
            self.raised = error
        return True


@dataclass
class _Current:
    """What the fixtures give to the check that is running."""

    student: Student
    reference: Reference
    rng: np.random.Generator
    framework: str = "numpy"
    error: BaseException | None = None

    def draw(self, *shape: int, dtype: str | None = None, low: float = -2.0, high: float = 2.0) -> Any:
        """Numbers that are the same in every floating dtype: multiples of 1/512, for bfloat16 (a `Tensor`) of 1/64.

        Without a dtype, the framework's own: float64 for numpy, float32 for torch.
        """
        dtype = dtype or DEFAULT_DTYPES[self.framework]
        parts = 64 if dtype == BFLOAT16 else 512
        numbers = self.rng.integers(int(low * parts), int(high * parts), size=shape, endpoint=True) / parts
        return tensor(numbers, dtype) if dtype == BFLOAT16 else numbers.astype(dtype)


class AtWork(Subject, Protocol):
    """A submission that is graded: in a worker (`Careful`), or what was recorded of one elsewhere."""

    layers: tuple[str, ...]
    printed: str

    def load(self) -> Loaded:
        """Run the submission's cells."""

    def note_printed(self, shown: bool) -> None:
        """Take what was printed since the last time, to show it or not."""

    def begin(self, script: Script | None, following: Iterable[Script | None] = ()) -> None:
        """The next check of `Session.order` begins."""

    def replies(self) -> bytes | None:
        """All answers of that check as bytes, where they are known before it asks."""

    def skip(self) -> None:
        """The check is not run: `replies` were enough."""

    def close(self) -> None:
        """Nothing more is asked."""


class Session:
    """Collected checks, ready to grade submissions."""

    def __init__(self, exercise: Exercise, oracle: Any, server: Server, texts: Any, seed: int, scope: Scope) -> None:
        self.exercise = exercise
        self.oracle = oracle
        self.server = server
        self.texts = texts
        self.seed = seed
        self.scope = scope
        self.checks: list[Check] = []
        self._answers: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._states: dict[str, Any] = {}
        self._scripts: dict[str, Script | None] = {}
        self._unproved: dict[str, bytes] = {}  # recalled scripts whose check has not asked them yet
        self._runs: dict[tuple[str, bytes], Run] = {}
        self._kept_bytes = 0
        self._rng = np.random.Generator(np.random.PCG64(0))
        self.current: _Current

    def collected(self, items: list[pytest.Item]) -> None:
        """Take over what pytest collected, in the order of the exercise's steps."""
        steps = [step.name for step in self.exercise.steps]
        for item in items:
            step, points = item.get_closest_marker("step"), item.get_closest_marker("points")
            if step is None or points is None or step.args[0] not in steps:
                raise CourseError(f"The check {item.name} needs a step of {self.exercise.name} and points.")
            name = item.name.removeprefix("test_").replace("_", " ")
            hidden = item.path.name == "test_hidden.py"
            untaped = item.get_closest_marker("untaped") is not None
            self.checks.append(Check(item, name, step.args[0], float(points.args[0]), hidden, untaped))  # type: ignore[arg-type]
        names = [check.name for check in self.checks]
        for name in names:
            if names.count(name) > 1:
                raise CourseError(f"Two checks of {self.exercise.name} are named {name!r}.", "Rename one of them.")
        self.checks.sort(key=lambda check: (steps.index(check.step), check.hidden))

    @staticmethod
    def key(check: Check) -> str:
        """What a check is called on a tape."""
        return f"{'hidden' if check.hidden else 'public'}:{check.name}"

    def run_check(self, check: Check, subject: Subject) -> Run:
        """Run one check against a subject: pytest's set-up, call and tear-down, nothing printed."""
        record = Record(self.exercise.tolerances)
        asked = iter(range(1 << 30))
        framework = self.exercise.framework
        reference = Reference(lambda call: self._reference(check, next(asked), call), record, framework)
        self.current = _Current(Student(subject, record, framework), reference, self._generator(check), framework)
        asserting.begin(record)
        self._run_item(check)
        run = Run(check, record, self.current.error)
        if isinstance(run.error, (pytest.skip.Exception, NotMeasured)):
            run.skipped, run.error = str(run.error), None
        if run.is_measured and not (check.untaped and check.hidden):
            raise CourseError(
                f"The check {check.name!r} asks what something costs, and costs are never twice the same.",
                "Mark it untaped, and keep it in test_hidden.py.",
            )
        return run

    def _generator(self, check: Check) -> np.random.Generator:
        """A generator seeded by the run's seed and the check's name; seeding is slow, so its first state is kept."""
        if check.name not in self._states:
            seeded = np.random.PCG64([self.seed, zlib.crc32(check.name.encode())])
            self._states[check.name] = seeded.state
        self._rng.bit_generator.state = self._states[check.name]
        return self._rng

    def _reference(self, check: Check, index: int, call: Call) -> tuple[Any, Any]:
        """The oracle's answer; asked once in a session, because a check asks the same of every submission."""
        key = (check.name, index)
        if check.untaped or key not in self._answers:
            value, dtypes = self.oracle.reference(self.key(check), index, call)
            self._answers[key] = frozen(value), dtypes
        return self._answers[key]

    def _run_item(self, check: Check) -> None:
        """The check itself: called at once where it needs no fixtures but ours, else by pytest's whole protocol."""
        names = check.item._fixtureinfo.names_closure
        parameters = check.item.callspec.params if hasattr(check.item, "callspec") else {}
        if not all(hasattr(self.current, name) or name in parameters for name in names):
            runtestprotocol(check.item, nextitem=None, log=False)
            return
        wanted = {
            name: parameters.get(name, getattr(self.current, name, None)) for name in check.item._fixtureinfo.argnames
        }
        try:
            check.item.obj(**wanted)
        except (Exception, pytest.skip.Exception) as error:
            self.current.error = error

    def grade(self, submission: Submission, label: str | None = None, subject: AtWork | None = None) -> Report:
        """Judge one submission; ``subject``: by what this answers, where that is not a worker here."""
        began = time.perf_counter()
        name = label or submission.name
        if submission.problem:
            return self._report(name, "broken", [], began, message=submission.problem)
        if self._is_untouched(submission):
            return self._report(name, "not_started", [], began, message=self.texts.not_started())
        subject = subject or Careful(self.server, self.exercise, submission, name)
        try:
            loaded = subject.load()
            subject.note_printed(shown=True)
            broken = self.texts.broken(loaded, submission)
            if broken:
                return self._report(name, "broken", [], began, message=broken, subject=subject)
            runs = self._run_all(subject)
            subject.close()
            ideas = diagnose.diagnose(self._evidence(runs), self.oracle, self.exercise.tolerances)
            results = [self._judged(run, ideas.get(number, ()), loaded, submission) for number, run in enumerate(runs)]
            notes = self.texts.notes(loaded, submission)
            return self._report(name, None, results, began, message=notes, subject=subject)
        finally:
            subject.close()

    def _is_untouched(self, submission: Submission) -> bool:
        # Comparing syntax trees costs more than grading does; a file with fewer blanks than the stub need not be compared.
        if submission.source.count(STUB_RAISE) < self.texts.stub.count(STUB_RAISE):
            return False
        try:
            return is_untouched(submission.source, self.texts.stub)
        except RecursionError:  # nested so deep that its tree cannot be walked
            return False

    def passes_all(self, submission: Submission) -> bool:
        """Whether every check passes; stops at the first that does not, and makes no report."""
        subject = Careful(self.server, self.exercise, submission, submission.name)
        try:
            loaded = subject.load()
            if self.texts.broken(loaded, submission):
                return False
            return all(self.run_check(check, subject).error is None for check in self.checks)
        finally:
            subject.close()

    def unjudged(self, name: str, message: str) -> Report:
        """The report on a submission on which no check was run, for the reason in ``message``."""
        return self._report(name, "broken", [], time.perf_counter(), message=message)

    def order(self) -> list[Check]:
        """The checks as they run: public ones first.

        What a submission prints or returns in a public check is shown, so it must not have seen a hidden one's inputs yet.
        """
        return sorted(self.checks, key=lambda check: check.hidden)

    def foresee(self, run: Run) -> None:
        """From now on, send ahead to every submission what this run asked: with one seed a check asks all the same."""
        if not run.check.untaped:
            self._scripts[run.check.name] = script_of(run.check.name, run.calls)

    def recall(self, check: Check) -> bool:
        """The same by what the oracle has recorded of the check's calls; whether it has."""
        script = self.oracle.script(self.key(check)) if hasattr(self.oracle, "script") else None
        if script is not None:
            self._scripts[check.name] = Script(check.name, *script)
            self._unproved[check.name] = script[1]
        return script is not None

    def _prove(self, run: Run) -> None:
        """A check that asks something else than what was recorded of it would take answers to other questions for its own."""
        recorded = self._unproved.get(run.check.name)
        if recorded is None:
            return
        asked = b"".join(map(request_frame, run.calls))
        if not recorded.startswith(asked):
            raise CourseError(
                f"What was recorded of the check {run.check.name!r} is not what it asks.",
                "Remove .grader/tapes in the course's folder, and grade again.",
            )
        if len(asked) == len(recorded):
            del self._unproved[run.check.name]

    def _run_all(self, subject: AtWork) -> list[Run]:
        """Every check, in the checks' order."""
        order = self.order()
        runs: dict[str, Run] = {}
        for at, check in enumerate(order):
            following = (self._script(after) for after in order[at + 1 :] if after.hidden == check.hidden)
            subject.begin(self._script(check), following)
            runs[check.name] = run = self._run(check, subject)
            subject.note_printed(shown=not check.hidden)
            if check.name not in self._scripts and run.error is None:
                self.foresee(run)
        return [runs[check.name] for check in self.checks]

    def _run(self, check: Check, subject: AtWork) -> Run:
        """One check of one submission; where another gave the very same answers, its run."""
        replies = subject.replies()
        key = check.name, hashlib.sha256(replies or b"").digest()
        if replies is not None and key in self._runs:
            subject.skip()
            return self._runs[key]
        run = self.run_check(check, subject)
        self._prove(run)
        if replies is not None and run.depends_on_answers_alone:
            self._remember(key, run, len(replies))
        return run

    def _remember(self, key: tuple[str, bytes], run: Run, size: int) -> None:
        if self._kept_bytes + size > MAX_KEPT:
            self._runs.clear()
            self._kept_bytes = 0
        if run.error is not None:
            run.error.with_traceback(None)  # which holds on to all that was there
        self._runs[key] = run
        self._kept_bytes += size

    def _script(self, check: Check) -> Script | None:
        return self._scripts.get(check.name)

    def _evidence(self, runs: list[Run]) -> list[diagnose.Evidence]:
        """What speaks for and against ideas; a check that met unwritten code says nothing."""
        evidence = []
        for run in runs:
            unwritten = isinstance(run.error, StudentFailure) and _is_unwritten(run.error.outcome)
            calls, outcomes = ([], []) if unwritten else diagnose.without_costs(run.calls, run.outcomes)
            known = {} if unwritten else run.explained
            failed = run.error is not None
            evidence.append(diagnose.Evidence(self.key(run.check), calls, outcomes, failed, known, run.is_measured))
        return evidence

    def _judged(self, run: Run, ideas: tuple[str, ...], loaded: Loaded, submission: Submission) -> CheckResult:
        check = run.check
        result = CheckResult(check.name, check.step, check.hidden, check.points, 0.0, "failed", looks_like=list(ideas))
        error = run.error
        if run.skipped:
            result.outcome, result.message = "skipped", run.skipped
        elif error is None:
            result.outcome, result.earned = "passed", check.points
        elif isinstance(error, Mismatch):
            if ideas not in run.messages:
                run.messages[ideas] = self.texts.mismatch(error.finding, check.hidden, ideas, submission)
            result.message = run.messages[ideas]
        elif isinstance(error, StudentFailure):
            result.outcome = _outcome_of(error.outcome)
            result.message = self.texts.failure(error, check.hidden, loaded, ideas, submission)
        elif isinstance(error, TapeMiss):
            raise CourseError(
                f"The tape of {self.exercise.name} does not hold the check {check.name!r} with seed {self.seed}.",
                "Use the seed that the tape was recorded with, or a clone that has the solutions.",
            )
        elif self._fails_the_solution(check):
            raise CourseError(f"The check {check.name!r} is broken: {type(error).__name__}: {error}") from error
        else:  # it judges the solution, so it is this answer that it stumbles over
            result.outcome = "error"
            result.message = self.texts.unjudged(ideas)
        return result

    def _fails_the_solution(self, check: Check) -> bool:
        """Whether the check fails the solution itself; False without the solution: no tape is recorded of such a check."""
        if not hasattr(self.oracle, "solution"):
            return False
        return self.run_check(check, self.oracle.solution()).error is not None

    def _report(
        self,
        name: str,
        status: Any,
        results: list[CheckResult],
        began: float,
        *,
        message: str = "",
        subject: AtWork | None = None,
    ) -> Report:
        if not results:
            results = [
                CheckResult(check.name, check.step, check.hidden, check.points, 0.0, "failed", "")
                for check in self.checks
            ]
        needed = {step.name for step in self.exercise.steps if not step.stretch}
        counted = [result for result in results if result.outcome != "skipped"]
        if status is None:
            done = all(result.outcome == "passed" for result in counted if result.step in needed)
            status = "passed" if done else "failed"
        return Report(
            exercise=self.exercise.name,
            submission=name,
            scope=self.scope,
            seed=self.seed,
            status=status,
            score=round(sum(result.earned for result in counted), 6),
            max_score=round(sum(result.points for result in counted), 6),
            seconds=time.perf_counter() - began,
            checks=results,
            message=message,
            printed=subject.printed if subject else "",
            layers=subject.layers if subject else (),
        )


def _outcome_of(outcome: Raised | Died) -> Any:
    if isinstance(outcome, Died):
        return "timeout" if outcome.reason == "timeout" else "error"
    return "failed" if _is_unwritten(outcome) else "error"


def _is_unwritten(outcome: Raised | Died) -> bool:
    return isinstance(outcome, Raised) and outcome.is_unwritten
