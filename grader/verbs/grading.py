"""Putting a grading together: which checks, which oracle, which texts; and the recording of tapes."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from grader.logic.diagnose import Answers
from grader.logic.hints import parse_hints
from grader.logic.signatures import parameters_of
from grader.logic.stub import cut_stub
from grader.logic.variants import parse_variants
from grader.logic.words import Idea, Texts
from grader.model.errors import CourseError, UsageError
from grader.model.types import Call, Exercise, Outcome, Scope, Variant
from grader.system.careful import script_of
from grader.system.course import HIDDEN_CHECKS, PUBLIC_CHECKS, Course, read_toml, write_atomically
from grader.system.host import Server
from grader.system.launch import demand, packages_for
from grader.system.oracle import Live, replay
from grader.system.tape import Recorder, Tape, TapeMiss, fingerprint, read_tape
from grader.verbs.session import PUBLISHED_SEED, Session, open_session

Result = TypeVar("Result")
ORACLE_FILES = ("subjects.py", "objects.py", "modules.py", "tape.py", "oracle.py", "careful.py", "host.py")
ENGINE = Path(__file__).resolve().parents[1]


class Sources:
    """The files of an exercise under ``solutions/``, read when they are needed."""

    def __init__(self, course: Course, exercise: Exercise) -> None:
        self.exercise = exercise
        self.folder = course.solution_folder(exercise)

    def text(self, name: str) -> str:
        """One file's text."""
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except OSError as error:
            raise CourseError(f"{self.folder / name} cannot be read: {error.strerror}.") from error

    @cached_property
    def solution(self) -> str:
        """The solution's source."""
        return self.text(self.exercise.module)

    @cached_property
    def stub(self) -> str:
        """What a learner starts from."""
        return cut_stub(self.solution, self.exercise.blanked)

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """All variants, wrong and right."""
        return tuple(parse_variants(read_toml(self.folder / "variants.toml"))[0])

    def variant(self, name: str) -> Variant:
        """One variant; `UsageError` for a name that is none."""
        found = {variant.name: variant for variant in self.variants}
        if name not in found:
            close = difflib.get_close_matches(name, found, n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(close)}?" if close else f"All {len(found)} stand in its variants.toml."
            raise UsageError(f"{self.exercise.name} has no variant {name!r}.", hint)
        return found[name]

    def live(self) -> Live:
        """The live oracle; `EnvironmentProblem` where what the solution needs is not installed."""
        demand(packages_for(self.exercise.framework))
        return Live(self.exercise.name, self.solution, self.variants, self.exercise.fused)

    def header(self, seed: int, scope: Scope) -> dict[str, Any]:
        """What a tape says about the exercise in its first line."""
        return {
            "exercise": self.exercise.name,
            "seed": seed,
            "scope": scope,
            "fingerprint": self.fingerprint(scope),
            "description": read_toml(self.folder / "exercise.toml"),
            "stub": self.stub,
            "hints": parse_hints(self.text("task.md")),
            "ideas": {
                variant.name: {"says": variant.says, "hint": variant.hint, "convention": variant.convention}
                for variant in self.variants
                if variant.kind == "wrong"
            },
        }

    def fingerprint(self, scope: Scope) -> str:
        """Of everything that a tape with this scope is made from."""
        names = ["exercise.toml", self.exercise.module, "variants.toml", "task.md", PUBLIC_CHECKS]
        if scope == "all":
            names.append(HIDDEN_CHECKS)
        return fingerprint(self.text(name) for name in names)


def texts_from(exercise: Exercise, header: dict[str, Any]) -> Texts:
    """The words for verdicts, from a tape's header or `Sources.header`."""
    ideas = {name: Idea(**content) for name, content in header["ideas"].items()}
    return Texts(exercise, header["stub"], ideas, parameters_of(header["stub"]))


class Taped:
    """A tape with the live oracle behind it, which is only made when the tape does not hold what is asked.

    Two ideas at once are looked for in numpy exercises only: no tape holds them, and loading PyTorch to compute them
    would take longer than everything else on the way to a verdict.
    """

    def __init__(self, tape: Tape, live: Callable[[], Live], framework: str) -> None:
        self._tape = tape
        self._make = live
        self.wrong = tape.wrong
        if framework == "numpy":
            self.pair = self._pair

    @cached_property
    def _live(self) -> Live:
        return self._make()

    def reference(self, check: str, index: int, call: Call) -> tuple[Any, Any]:
        """As in `tape.Tape`."""
        try:
            return self._tape.reference(check, index, call)
        except TapeMiss:
            return self._live.reference(check, index, call)

    def answers(self, check: str, calls: list[Call]) -> Answers:
        """As in `oracle.Live`, from the tape where it has them."""
        return self._tape.answers(check, calls) or self._live.answers(check, calls)

    def script(self, check: str) -> tuple[tuple[tuple[str, ...], ...], bytes] | None:
        """As in `tape.Tape`."""
        return self._tape.script(check)

    def _pair(self, first: str, second: str, calls: list[Call]) -> Callable[[int], Outcome] | None:
        """As in `oracle.Live`."""
        return self._live.pair(first, second, calls)


class Unnamed:
    """An oracle that judges and names no idea, since nothing of what ideas answer is recorded and computing it takes long."""

    wrong: tuple[str, ...] = ()

    def __init__(self, live: Live) -> None:
        self._live = live

    def reference(self, check: str, index: int, call: Call) -> tuple[Any, Any]:
        """As in `oracle.Live`."""
        return self._live.reference(check, index, call)

    def answers(self, check: str, calls: list[Call]) -> None:
        """Nobody knows them."""


@dataclass
class Plan:
    """Everything that a session needs for one exercise."""

    exercise: Exercise
    check_files: list[Path]
    oracle: Any
    texts: Texts
    header: dict[str, Any]
    seed: int
    scope: Scope

    def run(self, server: Server, body: Callable[[Session], Result]) -> Result:
        """Open a session and run ``body`` in it."""
        return open_session(
            self.exercise,
            self.check_files,
            body,
            oracle=self.oracle,
            server=server,
            texts=self.texts,
            seed=self.seed,
            scope=self.scope,
        )


def make_plan(course: Course, exercise: Exercise, *, scope: Scope = "all", seed: int | None = None) -> Plan:
    """How the exercise is graded here: with hidden checks where the solution is, else with the public ones by tape."""
    if not course.has_solution(exercise):
        return _taped_plan(course, exercise, seed)
    sources = Sources(course, exercise)
    files = [sources.folder / PUBLIC_CHECKS] + ([sources.folder / HIDDEN_CHECKS] if scope == "all" else [])
    wanted = PUBLISHED_SEED if seed is None else seed
    tape = _cached_tape(course, sources) if wanted == PUBLISHED_SEED else None
    if tape is None and scope == "public" and wanted == PUBLISHED_SEED:
        tape = _committed_tape(course, sources)
    oracle = Taped(tape, sources.live, exercise.framework) if tape else sources.live()
    header = tape.header if tape else sources.header(wanted, scope)
    return Plan(exercise, files, oracle, texts_from(exercise, header), header, wanted, scope)


def _taped_plan(course: Course, exercise: Exercise, seed: int | None) -> Plan:
    tape = read_tape(course.tape_file(exercise))
    if seed not in (None, tape.seed):
        raise UsageError(
            f"Without the solutions, {exercise.name} is graded by its tape, which was recorded with seed {tape.seed}.",
            "Leave --seed out.",
        )
    files = [course.exercise_folder(exercise) / PUBLIC_CHECKS]
    return Plan(exercise, files, tape, texts_from(exercise, tape.header), tape.header, tape.seed, "public")


# ---------------------------------------------------------------- recording


class _Listening:
    """An oracle that writes down what the reference is asked."""

    def __init__(self, live: Live, recorder: Recorder) -> None:
        self._live = live
        self._recorder = recorder
        self.wrong = live.wrong

    def reference(self, check: str, index: int, call: Call) -> tuple[Any, Any]:
        value, dtypes = self._live.reference(check, index, call)
        self._recorder.reference(check, call, value, dtypes)
        return value, dtypes

    def answers(self, check: str, calls: list[Call]) -> Answers:
        return self._live.answers(check, calls)


def record_tape(sources: Sources, scope: Scope, server: Server, seed: int = PUBLISHED_SEED) -> bytes:
    """The tape of an exercise's checks with one seed."""
    live, recorder = sources.live(), Recorder()
    files = [sources.folder / PUBLIC_CHECKS] + ([sources.folder / HIDDEN_CHECKS] if scope == "all" else [])
    header = sources.header(seed, scope)

    def record(session: Session) -> None:
        for check in session.checks:
            if check.untaped:
                continue
            run = session.run_check(check, live.solution())
            if run.error is not None:
                raise CourseError(
                    f"The solution of {sources.exercise.name} fails its check {check.name!r}: {run.error!r}"
                )
            wrong = {}
            for name in live.wrong:
                answer = replay(live.variant(name), run.calls)
                wrong[name] = [answer(position) for position in range(len(run.calls))]
            recorder.check(session.key(check), run.calls, run.outcomes, wrong)
            script = script_of(check.name, run.calls) if scope == "all" else None
            if script is not None:
                recorder.script(session.key(check), script.culprits, script.frames)

    texts = texts_from(sources.exercise, header)
    plan = Plan(sources.exercise, files, _Listening(live, recorder), texts, header, seed, scope)
    plan.run(server, record)
    return recorder.written(header)


def _cache_file(course: Course, sources: Sources) -> Path:
    engine = [path.read_bytes() for path in sorted((ENGINE / "logic").glob("*.py"))]
    engine += [(ENGINE / "system" / name).read_bytes() for name in ORACLE_FILES]
    versions = [np.__version__] if sources.exercise.framework == "numpy" else [np.__version__, _version_of("torch")]
    name = fingerprint([sources.fingerprint("all"), *versions, *engine])
    return course.cache / "tapes" / f"{sources.exercise.name}-{name}.tape"


def _version_of(package: str) -> str:
    """Empty where it is not installed: that is told where the package is needed, with the command that mends it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cached_tape(course: Course, sources: Sources) -> Tape | None:
    try:
        return read_tape(_cache_file(course, sources))
    except (OSError, CourseError):
        return None


def _committed_tape(course: Course, sources: Sources) -> Tape | None:
    """The tape of the public checks that is handed out, where it was made from what the sources say now."""
    try:
        tape = read_tape(course.tape_file(sources.exercise))
    except (OSError, CourseError):
        return None
    return tape if tape.header["fingerprint"] == sources.fingerprint("public") else None


def is_recorded(course: Course, exercise: Exercise) -> bool:
    """Whether the cache of all checks is there."""
    return _cache_file(course, Sources(course, exercise)).exists()


def refresh_cache(course: Course, exercise: Exercise, server: Server) -> bool:
    """Record the cache of all checks unless it is there; whether it was recorded. Never fails because of the disk."""
    sources = Sources(course, exercise)
    path = _cache_file(course, sources)
    if path.exists():
        return False
    data = record_tape(sources, "all", server)
    with contextlib.suppress(OSError):
        for old in path.parent.glob(f"{exercise.name}-*.tape"):
            old.unlink()
        write_atomically(path, data)
    return True
