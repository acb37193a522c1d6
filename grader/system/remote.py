"""Submissions that run on another machine, which only runs them: bytes go there, bytes come back, and they are judged here.

What is sent is plain data of `wire`: the submission's cells, what it may use, and the calls of each check in order, without
the checks' names. No expected value, solution, variant, hint or tape is in it, and no pickle of our types. What comes back
was near a student's code, so it is checked as a worker's answers are.

A node does what grading here does, call by call (`Careful`). Which calls a check makes is foreseen from what it asks of a
right answer. Judging (`Replayed`) finds where that was wrong: a call that nobody foresaw, because the check's calls depend
on answers or because it goes on after an error; or calls that the check never came to, which may have left something behind
in the submission. Then the node is asked again, in another round, for exactly what judging asked.
"""

from __future__ import annotations

import contextlib
import functools
import platform
import queue
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

from grader.logic import wire
from grader.logic.asserting import Record, StudentFailure
from grader.logic.told import NOT_AN_ANSWER, arguments_of, cost_of, raised_of, source_of, text_of
from grader.model.errors import EnvironmentProblem, WireError
from grader.model.types import Call, Cell, Died, Exercise, Limits, Outcome, Raised, Submission, Value
from grader.system import host, sandbox
from grader.system.careful import MAX_DEATHS, Careful, Script, script_of
from grader.system.host import Loaded, Server
from grader.system.subjects import Student
from grader.system.tape import fingerprint

FORMAT = 1
MAX_ROUNDS = 32
MAX_ANSWER = wire.MAX_FRAME  # bytes of everything that a node says of one submission
CONNECT_SECONDS = 10.0
FETCH_SECONDS = 120.0
RETRIES = 2  # of a task that raised; a node that is lost is another matter, which Dask itself goes on from
# What of this kit runs on a node: this module, the worker, and all that these two import.
ENGINE_FILES = (
    "logic/asserting.py", "logic/diagnose.py", "logic/judge.py", "logic/tensors.py", "logic/told.py", "logic/wire.py",
    "model/errors.py", "model/types.py",
    "system/careful.py", "system/host.py", "system/launch.py", "system/meter.py", "system/modules.py", "system/objects.py",
    "system/refusals.py", "system/remote.py", "system/sandbox.py", "system/subjects.py", "system/tape.py",
    "system/worker.py",
)  # fmt: skip
REASONS = ("timeout", "exited", "killed", "garbled")
ENGINE = Path(__file__).resolve().parents[1]
NO_ANSWER = "what came from the node was not an answer"


# ---------------------------------------------------------------- what is asked


@dataclass(frozen=True)
class Asked:
    """What one check asks of a submission: its calls, each as bytes, with objects numbered as the check numbers them.

    ``take``: at how many of them the check stops. It also stops at one that gives no value, unless that one's place is in
    ``goes_on``. ``ahead``: all calls are sent before the first answer is read. ``hidden``: nothing printed is kept.
    """

    calls: tuple[bytes, ...]
    take: int
    goes_on: frozenset[int]
    ahead: bool
    hidden: bool


def asked_by(calls: Sequence[Call], outcomes: Sequence[Outcome], *, hidden: bool, untaped: bool) -> Asked:
    """What a check asks, from one run of it on a right answer."""
    ahead = not untaped and script_of("", calls) is not None
    goes_on = {at for at, outcome in enumerate(outcomes[:-1]) if not isinstance(outcome, Value)}
    return Asked(tuple(map(_bytes_of, calls)), len(calls), frozenset(goes_on), ahead, hidden)


def _bytes_of(call: Call) -> bytes:
    target = [call.target, call.echo, call.source, call.made_by]
    return wire.encode([call.kind, call.name, call.args, call.kwargs, *target])


def _call_of(data: bytes) -> Call:
    kind, name, args, kwargs, target, echo, source, made_by = wire.decode(data)
    return Call(name, args, kwargs, target, echo, kind, source, made_by)


def payload_of(exercise: Exercise, submission: Submission, label: str, asked: Sequence[Asked]) -> bytes:
    """Everything that a node is told about a submission."""
    checks = [[list(one.calls), one.take, sorted(one.goes_on), one.ahead, one.hidden] for one in asked]
    return wire.encode(
        {
            "format": FORMAT,
            "label": label,
            "cells": [(cell.number, cell.source) for cell in submission.cells],
            "module": exercise.module,
            "framework": exercise.framework,
            "limits": list(astuple(exercise.limits)),
            "allowed_imports": list(exercise.allowed_imports),
            "refused": list(exercise.refused),
            "fused": {name: list(parts) for name, parts in exercise.fused.items()},
            "checks": checks,
        }
    )


# ---------------------------------------------------------------- on the node

_idle: list[Server] = []


def run(payload: bytes) -> bytes:
    """Run one submission, and answer with everything that it said. What it leaves behind is gone afterwards.

    The servers stay warm in the process that runs this, one for each thread.
    """
    told = wire.decode(payload)
    framework = told.get("framework", "numpy")
    if told.get("format") != FORMAT:
        return wire.encode({"engine": engine(framework)})
    try:
        with _warm_server() as server:
            return wire.encode({"engine": engine(framework), **_work(server, told)})
    except EnvironmentProblem as problem:
        return wire.encode({"engine": engine(framework), "problem": str(problem)[:2000]})


@contextlib.contextmanager
def _warm_server() -> Iterator[Server]:
    try:
        server = _idle.pop()
    except IndexError:
        server = Server()
    try:
        yield server
    except BaseException:  # nobody knows in which state it is
        server.close()
        raise
    _idle.append(server)


def _work(server: Server, told: dict[str, Any]) -> dict[str, Any]:
    exercise = _exercise_of(told)
    submission = Submission(told["label"], tuple(Cell(source, number) for number, source in told["cells"]))
    subject = Careful(server, exercise, submission, told["label"])
    try:
        loaded = subject.load()
        printed = _printed(subject, shown=True)
        is_file = all(cell.number is None for cell in submission.cells)
        ran = [] if loaded.died or (loaded.failures and is_file) else _run_all(subject, told["checks"], exercise)
        died = [loaded.died.reason, loaded.died.detail] if loaded.died else None
        failures = [(label, _description(raised)) for label, raised in loaded.failures]
        return {
            "layers": list(subject.layers),
            "loaded": {"names": loaded.names, "failures": failures, "died": died, "printed": printed},
            "checks": ran,
        }
    finally:
        subject.close()


def _exercise_of(told: dict[str, Any]) -> Exercise:
    """As much of an exercise as running a submission needs."""
    return Exercise(
        name="",
        folder="",
        title="",
        module=told["module"],
        steps=(),
        difficulty=0,
        needs=(),
        sources=(),
        limits=Limits(*told["limits"]),
        allowed_imports=tuple(told["allowed_imports"]),
        tolerances={},
        framework=told["framework"],
        refused=tuple(told["refused"]),
        fused={name: tuple(parts) for name, parts in told["fused"].items()},
    )


def _run_all(subject: Careful, checks: list[Any], exercise: Exercise) -> list[list[Any]]:
    """Each check's outcomes and what was printed in it, by the same steps as `Session` takes."""
    known = [
        (tuple(map(_call_of, calls)), take, goes_on, ahead, hidden) for calls, take, goes_on, ahead, hidden in checks
    ]
    scripts = [script_of(str(at), calls) if ahead else None for at, (calls, _, _, ahead, _) in enumerate(known)]
    left, ran = MAX_ANSWER // 2, []
    for at, (calls, take, goes_on, _, hidden) in enumerate(known):
        subject.begin(scripts[at], [scripts[after] for after in range(at + 1, len(known)) if known[after][4] == hidden])
        outcomes: list[bytes] = []
        for outcome in _outcomes(subject, calls[:take], frozenset(goes_on), exercise.framework):
            data = wire.encode(_told(outcome))
            left -= len(data)
            outcomes.append(data if left > 0 else wire.encode(("died", "garbled", "all answers together are too long")))
        ran.append([outcomes, _printed(subject, shown=not hidden)])
    return ran


def _outcomes(subject: Careful, calls: Sequence[Call], goes_on: frozenset[int], framework: str) -> Iterator[Outcome]:
    """What comes of a check's calls, with objects numbered as the check numbers them."""
    record = Record({})
    student = Student(subject, record, framework)
    for at, call in enumerate(calls):
        try:
            student._ask(call)
        except StudentFailure:
            if at not in goes_on:
                yield record.asked[-1].outcome
                return
        except IndexError:  # the call is on an object that this submission did not give
            return
        yield record.asked[-1].outcome


def _printed(subject: Careful, shown: bool) -> str:
    subject.note_printed(shown)
    text, subject.printed = subject.printed, ""
    return text


def _told(outcome: Outcome) -> tuple[Any, ...]:
    if isinstance(outcome, Value):
        return "value", outcome.value, outcome.after
    if isinstance(outcome, Raised):
        return "raised", _description(outcome)
    return "died", outcome.reason, outcome.detail


def _description(raised: Raised) -> dict[str, Any]:
    """As a worker describes an exception."""
    return {
        "type": raised.type,
        "bases": list(raised.bases),
        "message": raised.message,
        "frames": list(raised.frames),
        "forbidden": raised.forbidden,
        "refused": raised.refused,
        "depth": raised.depth,
    }


@functools.cache
def engine(framework: str) -> dict[str, str]:
    """What the outcomes depend on beside the submission; the same on both sides, or their verdicts might differ."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"this kit": fingerprint((ENGINE / name).read_bytes() for name in ENGINE_FILES)}
    found["Python"] = ".".join(platform.python_version_tuple()[:2])
    for package in ("numpy", "einops", *(["torch"] if framework == "torch" else [])):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


# ---------------------------------------------------------------- judging what came back


@dataclass
class Recording:
    """What a node said of one submission, checked as far as it can be without the calls.

    ``outcomes``: of each check, what `_told` made, or what is left of it; ``printed`` in each check.
    """

    loaded: Loaded
    layers: tuple[str, ...] = ()
    printed_at_load: str = ""
    outcomes: list[list[tuple[Any, ...]]] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    @property
    def has_deaths(self) -> bool:
        """Whether the submission's process ended, or hung, in any call."""
        return any(outcome[0] == "died" for outcomes in self.outcomes for outcome in outcomes)


def recording_of(data: object, exercise: Exercise, submission: Submission, label: str) -> Recording:
    """A node's answer; whatever is no answer becomes `Died`, so that the submission is broken and nobody else is.

    `EnvironmentProblem` where the node cannot run submissions, or would run them otherwise than this machine.
    """
    try:
        told = _decoded(data)
        _demand_same_engine(told["engine"], exercise.framework)
        if "problem" in told:
            said = "".join(char if char.isprintable() else " " for char in text_of(told["problem"], 2000))
            raise EnvironmentProblem("A node of the cluster cannot run submissions.", f"It said: {said}")
        return _recording(told, exercise, submission, Path(label).name)
    except (WireError, *NOT_AN_ANSWER):
        return Recording(Loaded(died=Died("garbled", NO_ANSWER)))


def _decoded(data: object) -> dict[str, Any]:
    if type(data) is not bytes or len(data) > MAX_ANSWER:
        raise WireError("a node's answer is not bytes, or too many")
    told = wire.decode(data)
    if type(told) is not dict:
        raise WireError("a node's answer is no dict")
    return told


def _demand_same_engine(theirs: Any, framework: str) -> None:
    ours = engine(framework)
    shown = {name: text_of(theirs[name], 40) for name in ours}
    for name, version in shown.items():
        if version != ours[name]:
            plain = "".join(char if char.isprintable() else " " for char in version)
            raise EnvironmentProblem(
                f"A node of the cluster has another version of {name}: {plain} instead of {ours[name]}.",
                "Install the same on every node: the same clone, and `make setup EXTRAS=cluster` in it.",
            )


def _recording(told: dict[str, Any], exercise: Exercise, submission: Submission, label: str) -> Recording:
    source = source_of(submission, label, exercise.refused)
    loaded, printable = told["loaded"], exercise.limits.output_kb * 1024 * (MAX_DEATHS + 2)
    failures = [(text_of(cell, 200), raised_of(description, source)) for cell, description in loaded["failures"]]
    if not {cell for cell, _ in failures} <= source.lines.keys() or len(failures) > len(submission.cells):
        raise ValueError("cells failed that there are not")
    names = [name for name in loaded["names"] if type(name) is str and name.isidentifier()]
    recording = Recording(
        Loaded(names, failures, None if loaded["died"] is None else _died(*loaded["died"])),
        tuple(layer for layer in told["layers"] if layer in sandbox.LAYERS),
        text_of(loaded["printed"], printable),
    )
    longest = min(wire.MAX_FRAME, exercise.limits.memory_mb << 20 >> host.ANSWER_SHIFT)
    for outcomes, printed in told["checks"]:
        recording.outcomes.append([_outcome(data, longest) for data in outcomes])
        recording.printed.append(text_of(printed, printable))
    return recording


def _outcome(data: bytes, longest: int) -> tuple[Any, ...]:
    """One outcome as `_told` made it."""
    garbled = ("died", "garbled", NO_ANSWER)
    try:
        if type(data) is not bytes or len(data) > longest + 64:
            return garbled
        told = wire.decode(data)
        kinds = {"value": 3, "raised": 2, "died": 3}
        return told if type(told) is tuple and len(told) == kinds.get(told[0]) else garbled
    except (WireError, *NOT_AN_ANSWER):
        return garbled


def _died(reason: Any, detail: Any) -> Died:
    if reason not in REASONS:
        raise ValueError("nothing dies of that")
    return Died(reason, text_of(detail, 200))


class Replayed:
    """A submission that ran elsewhere, answering from what was recorded there (`session.AtWork`).

    Without a recording it answers nothing; `more` then says what to ask for first. A verdict counts once `more` is None.
    """

    def __init__(
        self,
        exercise: Exercise,
        submission: Submission,
        label: str,
        asked: Sequence[Asked],
        recording: Recording | None = None,
    ) -> None:
        self.layers: tuple[str, ...] = recording.layers if recording else ()
        self.printed = ""
        self._asked = tuple(asked)
        self._recording = recording
        self._source = source_of(submission, Path(label).name, exercise.refused)
        self._check = -1
        self._used: list[list[bytes]] = []
        self._missing: set[int] = set()
        self._was_loaded = False

    def load(self) -> Loaded:
        """What loading the cells gave there."""
        self._was_loaded = True
        return self._recording.loaded if self._recording else Loaded(died=Died("exited"))

    def note_printed(self, shown: bool) -> None:
        """As `Careful`: first for the loading of the cells, then for each check."""
        if self._recording is None or not shown:
            return
        if self._check < 0:
            self.printed += self._recording.printed_at_load
        elif self._check < len(self._recording.printed):
            self.printed += self._recording.printed[self._check]

    def begin(self, script: Script | None, following: Iterable[Script | None] = ()) -> None:
        """The next check begins; what can be sent ahead was decided when it was asked there."""
        self._check += 1
        self._used.append([])

    def replies(self) -> None:
        """Nothing: each answer is looked at."""

    def skip(self) -> None:
        """As `Careful`; without `replies` there is nothing to skip."""

    def answer(self, call: Call) -> Outcome:
        """What the submission answered there; nothing where it was not asked this."""
        data, at = _bytes_of(call), len(self._used[self._check])
        self._used[self._check].append(data)
        given, asked = self._given(self._check), self._asked[self._check].calls
        if self._check in self._missing or at >= len(given) or asked[at] != data:
            self._missing.add(self._check)
            return Died("exited")
        return self._outcome(given[at], call)

    def _given(self, check: int) -> list[tuple[Any, ...]]:
        """What came of a check's calls: not more than was asked, whatever a node says."""
        if self._recording is None or check >= min(len(self._recording.outcomes), len(self._asked)):
            return []
        return self._recording.outcomes[check][: self._asked[check].take]

    def _outcome(self, told: tuple[Any, ...], call: Call) -> Outcome:
        try:
            if told[0] == "value" and call.kind == "cost":
                return Value(cost_of(told[1]))
            if told[0] == "value":
                return Value(told[1], arguments_of(told[2], call) if call.echo else None)
            return raised_of(told[1], self._source) if told[0] == "raised" else _died(*told[1:])
        except NOT_AN_ANSWER:
            return Died("garbled", NO_ANSWER)

    def close(self) -> None:
        """Nothing is open here."""

    def more(self) -> tuple[Asked, ...] | None:
        """What to ask the node for, after judging; None where the verdict rests on exactly what grading here asks."""
        if self._recording is None:
            return self._asked if self._was_loaded else None
        if not self._missing and not any(map(self._asked_too_much, range(len(self._used)))):
            return None
        begun = len(self._used)
        return (*(self._asked_next(check) for check in range(begun)), *self._asked[begun:])

    def _asked_too_much(self, check: int) -> bool:
        """Whether the submission answered more there than was judged, and that may have changed what came later."""
        assert self._recording is not None
        if len(self._given(check)) <= len(self._used[check]):
            return False
        return not self._asked[check].ahead or self._recording.has_deaths or bool(self._recording.printed[check])

    def _asked_next(self, check: int) -> Asked:
        """What was asked this time; of a check that wanted more, what it may ask afterwards, too."""
        before, used = self._asked[check], self._used[check]
        count = len(used)
        rest = before.calls[count:]
        if check in self._missing:
            goes_on = frozenset(range(count - 1)) | {at for at in before.goes_on if at >= count - 1}
            return replace(before, calls=(*used, *rest), take=count + len(rest), goes_on=goes_on)
        return replace(
            before, calls=(*used, *(rest if before.ahead else ())), take=count, goes_on=frozenset(range(count))
        )


# ---------------------------------------------------------------- the cluster


@dataclass(frozen=True)
class Lost:
    """No answer came for a submission, however often it was tried: why."""

    why: str


class _SchedulerLost(EnvironmentProblem):
    """The scheduler does not answer, or what it was given is gone."""


class Nodes:
    """The nodes of a Dask cluster, by its scheduler's address: what is handed in comes out, in any order.

    A node that is lost is no matter: what ran there runs again elsewhere. Dask's own messages between its processes hold
    pickles, so who can write to the scheduler has to be trusted; a node's answers are taken as bytes only.
    """

    def __init__(self, address: str) -> None:
        distributed = _distributed()
        self.address = address
        self._finished: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        self._running: dict[Any, Any] = {}
        self._payloads: dict[Any, bytes] = {}
        self._lost_before: Counter[Any] = Counter()
        try:
            self._client = distributed.Client(
                address,
                timeout=CONNECT_SECONDS,
                set_as_default=False,
                deserializers=["dask", "error"],
                name="grader-batch",
            )
        except (OSError, ValueError, ImportError, distributed.TimeoutError) as error:
            raise EnvironmentProblem(
                f"No Dask scheduler answers at {address} ({_first_line(error)}).",
                "Start one with `dask scheduler`, and `dask worker ADDRESS` on each node; it prints its address, such as "
                "tcp://10.0.0.5:8786.",
            ) from None
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except (OSError, distributed.TimeoutError):
            self.close()
            raise EnvironmentProblem(
                f"The scheduler at {address} has no nodes.", f"Start some: `dask worker {address}` on each."
            ) from None

    @property
    def size(self) -> int:
        """How many submissions run at the same time."""
        with self._reaching():
            return max(1, sum(self._client.nthreads().values()))

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """Whatever is asked of the scheduler, it may be gone."""
        try:
            yield
        except (OSError, _distributed().TimeoutError, RuntimeError):  # the last from a client that was closed
            raise self._gone() from None

    def hand_in(self, number: Any, payload: bytes) -> None:
        """Have one payload run; ``number`` comes back with its answer."""
        with self._reaching():
            future = self._client.submit(run, payload, pure=False, retries=RETRIES)
        self._running[number], self._payloads[number] = future, payload
        future.add_done_callback(lambda done: self._finished.put((number, done)))

    def take_out(self) -> tuple[Any, bytes | Lost]:
        """The next answer, waiting for it. `EnvironmentProblem` where scheduler or nodes are gone, or lack this kit."""
        while True:
            number, future = self._next()
            del self._running[number]
            try:
                answer = self._answer(future)
            except _SchedulerLost:
                # A node may end between the end of a task and the fetching of its answer: that looks the same.
                self._lost_before[number] += 1
                if not self._is_reached() or self._lost_before[number] > RETRIES:
                    raise
                self.hand_in(number, self._payloads[number])
            else:
                del self._payloads[number]
                return number, answer

    def _is_reached(self) -> bool:
        try:
            with self._reaching():
                return self._client.status == "running" and self._client.nthreads() is not None
        except _SchedulerLost:
            return False

    def _next(self) -> tuple[Any, Any]:
        """The next task that has come to an end."""
        alone_since = time.monotonic()
        while True:
            try:
                return self._finished.get(timeout=1.0)
            except queue.Empty:
                if self._client.status != "running":
                    raise self._gone() from None
                with self._reaching():
                    are_there = self._client.nthreads()
                if are_there:
                    alone_since = time.monotonic()
                elif time.monotonic() - alone_since > 6 * CONNECT_SECONDS:
                    raise EnvironmentProblem(
                        f"The scheduler at {self.address} has lost all its nodes.",
                        f"Start some (`dask worker {self.address}`), and run the command again.",
                    ) from None

    def _answer(self, future: Any) -> bytes | Lost:
        if future.status in ("cancelled", "lost"):
            raise self._gone()
        if future.status == "error":
            return self._lost(future)
        with self._reaching():
            try:
                answer = future.result(timeout=FETCH_SECONDS)
            except TypeError:  # it was no bytes, and was not read
                return b""
        return answer if type(answer) is bytes else b""

    def _lost(self, future: Any) -> Lost:
        with self._reaching():
            try:
                error = future.exception(timeout=FETCH_SECONDS)
            except TypeError:
                return Lost("The node raised something that cannot be read.")
        if isinstance(error, _distributed().KilledWorker):
            return Lost("The nodes that ran it ended, one after the other.")
        if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == "grader":
            raise EnvironmentProblem(
                "A node of the cluster has no such kit installed.",
                "On each node: the same clone, and `make setup EXTRAS=cluster` in it; start `dask worker` from there.",
            )
        return Lost(f"The node raised {type(error).__name__}: {_first_line(error)}")

    def _gone(self) -> EnvironmentProblem:
        return _SchedulerLost(
            f"The scheduler at {self.address} was lost.",
            "Start it again, and run the command again: it goes on from here.",
        )

    def close(self) -> None:
        """Let the cluster go; what still runs there is of no use."""
        with contextlib.suppress(Exception):
            self._client.cancel(list(self._running.values()))
        self._running.clear()
        with contextlib.suppress(Exception):
            self._client.close(timeout=CONNECT_SECONDS)

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise EnvironmentProblem(
            "A cluster is reached through Dask, which is not installed here.",
            "`make setup EXTRAS=cluster` installs it, here and on every node.",
        ) from None
    import logging

    # What is wrong comes as an exception; the library would print stack traces beside it.
    for name in ("distributed", "distributed.protocol.core", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return distributed


def _first_line(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0]
    return "".join(char if char.isprintable() else " " for char in text)[:200] or type(error).__name__
