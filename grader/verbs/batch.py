"""Grading many submissions in one go: the checks are collected once, and as many processes as asked for share the work.

What is done is kept in a ledger, so that a second run grades only what is new or was graded with other checks, and a run that
was stopped goes on. One process judges or hears of verdicts, and writes; a submission's failure is its own.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import multiprocessing
import os
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from grader.logic.table import csv_of, json_lines, one_line, problem_of
from grader.logic.words import Idea
from grader.model.errors import CannotMark, CourseError, EnvironmentProblem, UsageError
from grader.model.types import Call, Entry, Exercise, Outcome, Report, Submission
from grader.system.course import PUBLIC_CHECKS, Course, write_atomically
from grader.system.host import Server
from grader.system.launch import packages_for
from grader.verbs.session import PUBLISHED_SEED, AtWork, Session

if TYPE_CHECKING:
    from grader.system.gradebook import Gradebook, Late, Lateness
    from grader.system.inbox import Handed, Inbox
    from grader.system.ledger import Key, Ledger
    from grader.system.remote import Asked, Nodes, Recording
    from grader.verbs.grading import Plan

CSV, LINES, PAGE, LEDGER = "marks.csv", "marks.jsonl", "class.html", "ledger.sqlite3"
INTERRUPTED = 130
SHOWN = 20  # lines of one kind in the summary
RECENT = 20  # verdicts whose median time is taken for the next
ATTEMPTS = 2  # for a submission in which a process of the grader's ended
LAYERS_THAT_JUDGE = ("model", "logic", "system", "verbs")
ENGINE = Path(__file__).resolve().parents[1]
Say = Callable[[str], Any]


class Progress(Protocol):
    """Told of every verdict: how many are done of how many, and about how many seconds are left."""

    def __call__(self, done: int, total: int, seconds_left: float) -> None: ...


@dataclass(frozen=True)
class Failure:
    """The grader failed over one submission: why. It is no verdict, and is tried again at the next run."""

    why: str


# ---------------------------------------------------------------- many submissions of one exercise


def grade_many(plan: Plan, submissions: Sequence[Submission], workers: int | None = None) -> list[Report]:
    """The reports, in the order of the submissions.

    ``workers`` processes grade at the same time (default: one for each core). Each is a fork of the process that collected the
    checks and has a worker server of its own; where there is no fork, one process does it all.
    """
    with contextlib.closing(Server()) as server:

        def body(session: Session) -> list[Report]:
            foresee(session)
            with _settled():
                verdicts = {number: verdict for number, verdict, _ in _graded(session, submissions, workers)}
            return [_report_of(session, submissions[number], verdicts[number]) for number in range(len(submissions))]

        return plan.run(server, body) if submissions else []


@contextlib.contextmanager
def _settled() -> Iterator[None]:
    """While many are graded, this process gives way to the worker, and what stays is not looked through for garbage.

    Else every answer would wake it at once, where it shares a core with the worker.
    """
    policy = os.sched_getscheduler(0) if hasattr(os, "SCHED_BATCH") else None
    gc.freeze()
    _schedule(getattr(os, "SCHED_BATCH", None))
    try:
        yield
    finally:
        _schedule(policy)
        gc.unfreeze()


def _schedule(policy: int | None) -> None:
    with contextlib.suppress(OSError):  # a container may not allow it
        if policy is not None:
            os.sched_setscheduler(0, policy, os.sched_param(0))


def _report_of(session: Session, submission: Submission, verdict: Report | Failure) -> Report:
    return session.unjudged(submission.name, failed(verdict.why)) if isinstance(verdict, Failure) else verdict


def failed(why: str) -> str:
    """What a report says where the grader itself failed."""
    return f"The grader failed over this file ({why}). That is no verdict on it; the next run tries again."


Graded = tuple[int, "Report | Failure", float]  # which submission, what came of it, in how many seconds


def _graded(session: Session, submissions: Sequence[Submission], workers: int | None) -> Iterator[Graded]:
    """Verdicts as they come."""
    count = processes(workers, len(submissions))
    if count > 1:
        yield from _shared(session, submissions, count)
        return
    for number, submission in enumerate(submissions):
        began = time.perf_counter()
        yield number, _verdict(session, submission), time.perf_counter() - began


def processes(workers: int | None, submissions: int) -> int:
    """How many processes grade: as many as asked for, or as there are cores; never more than submissions."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return 1
    return min(workers or len(_cores()), submissions)


def _verdict(session: Session, submission: Submission, subject: AtWork | None = None) -> Report | Failure:
    try:
        return session.grade(submission, subject=subject)
    except EnvironmentProblem:  # it will be so for all of them
        raise
    except Exception as error:
        session.server.close()  # in whatever state it is; the next one that needs it starts it anew
        return Failure(f"{type(error).__name__}: {one_line(str(error))[:200]}")


class _Right:
    """The solution as a subject, by what an oracle has recorded of it or computes."""

    def __init__(self, oracle: Any, check: str) -> None:
        self._calls: list[Call] = []
        self._answers = oracle.answers(check, self._calls)

    def answer(self, call: Call) -> Outcome:
        from grader.logic.diagnose import SOLUTION

        self._calls.append(call)
        return self._answers.answer(self._answers.number(SOLUTION, len(self._calls) - 1))


def foresee(session: Session, for_nodes: bool = False) -> list[Asked]:
    """Find out what each check asks, from a recording or by running them on a right answer.

    The session sends these calls ahead from then on, so that every submission is asked the same, whichever comes first.
    Given back is what nodes are told to ask, in the order in which the checks run; nothing where there are none.
    """
    asked = []
    for check in session.order():
        if not for_nodes and session.recall(check):
            continue
        run = session.run_check(check, _Right(session.oracle, session.key(check)))
        if run.error is not None:
            raise CourseError(f"The solution of {session.exercise.name} fails its check {check.name!r}: {run.error!r}")
        session.foresee(run)
        if not for_nodes:
            continue
        from grader.system.remote import asked_by

        asked.append(asked_by(run.calls, run.outcomes, hidden=check.hidden, untaped=check.untaped))
    return asked


# ---------------------------------------------------------------- several processes here


@dataclass
class _Process:
    """A fork that grades, and our end of the pipe to it; ``number``: the submission that it is at."""

    process: Any
    connection: Any
    number: int = -1


def _shared(session: Session, submissions: Sequence[Submission], count: int) -> Iterator[Graded]:
    from multiprocessing.connection import wait

    context = multiprocessing.get_context("fork")
    waiting = deque(range(len(submissions)))
    tried: Counter[int] = Counter()
    crew: dict[Any, _Process] = {}

    def start(turn: int) -> _Process:
        ours, theirs = context.Pipe()
        others = [ours, *crew]
        process = context.Process(target=_serve, args=(session, submissions, theirs, others, turn), daemon=True)
        process.start()
        theirs.close()
        crew[ours] = _Process(process, ours)
        return crew[ours]

    def give(one: _Process) -> None:
        one.number = waiting.popleft() if waiting else -1
        if one.number >= 0:
            tried[one.number] += 1
            with contextlib.suppress(OSError):  # it has ended: that is seen when its answer is waited for
                one.connection.send(one.number)

    try:
        for turn in range(count):
            give(start(turn))
        while busy := [one.connection for one in crew.values() if one.number >= 0]:
            for connection in wait(busy):
                one = crew[connection]
                try:
                    verdict, seconds = connection.recv()
                except (EOFError, OSError):
                    turn = list(crew).index(connection)
                    _end(crew.pop(connection))
                    if tried[one.number] < ATTEMPTS:
                        waiting.appendleft(one.number)
                    else:
                        why = f"the process that graded it ended, exit code {one.process.exitcode}"
                        yield one.number, Failure(why), 0.0
                    if waiting:
                        give(start(turn))
                    continue
                if isinstance(verdict, EnvironmentProblem):
                    raise EnvironmentProblem(verdict.message, verdict.mend)
                number = one.number
                give(one)  # before the caller writes anything, so that nobody waits for that
                yield number, verdict, seconds
    finally:
        for one in crew.values():
            _end(one)


def _end(one: _Process) -> None:
    one.connection.close()
    one.process.terminate()
    one.process.join()


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _serve(session: Session, submissions: Sequence[Submission], connection: Any, others: list[Any], turn: int) -> None:
    """In a new process: a server of its own, on one core with it; questions and answers take turns, so they share it well."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's processes; one of them decides
    for other in others:
        other.close()
    cores = _cores()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cores[turn % len(cores)]})
    session.server = Server(session.server.packages, fork=session.server.fork, without=session.server.without).start()
    with contextlib.closing(session.server), contextlib.suppress(EOFError, OSError):
        while True:
            number = connection.recv()
            began = time.perf_counter()
            try:
                verdict: Any = _verdict(session, submissions[number])
            except EnvironmentProblem as problem:
                verdict = problem
            connection.send((verdict, time.perf_counter() - began))


# ---------------------------------------------------------------- on other machines


def _on_nodes(
    session: Session, submissions: Sequence[Submission], nodes: Nodes, foreseen: Sequence[Asked]
) -> Iterator[Graded]:
    """Verdicts as they come; submissions run on the nodes, and are judged here."""
    from grader.system import remote

    waiting = deque(range(len(submissions)))
    running: dict[int, tuple[Sequence[Asked], int, float]] = {}

    def judged(
        number: int, asked: Sequence[Asked], recording: Recording | None
    ) -> tuple[Report | Failure, Sequence[Asked] | None]:
        submission = submissions[number]
        subject = remote.Replayed(session.exercise, submission, submission.name, asked, recording)
        verdict = _verdict(session, submission, subject)
        return verdict, subject.more()

    def ask(number: int, asked: Sequence[Asked], rounds: int, began: float) -> None:
        submission = submissions[number]
        running[number] = asked, rounds, began
        nodes.hand_in(number, remote.payload_of(session.exercise, submission, submission.name, asked))

    while waiting or running:
        for _ in range(min(len(waiting), 2 * nodes.size - len(running))):
            number, began = waiting.popleft(), time.perf_counter()
            verdict, more = judged(number, foreseen, None)
            if more is None:
                yield number, verdict, time.perf_counter() - began
            else:
                ask(number, more, 1, began)
        if not running:
            continue
        number, answer = nodes.take_out()
        asked, rounds, began = running.pop(number)
        if isinstance(answer, remote.Lost):
            yield number, Failure(answer.why), time.perf_counter() - began
            continue
        submission = submissions[number]
        recording = remote.recording_of(answer, session.exercise, submission, submission.name)
        verdict, more = judged(number, asked, recording)
        if more is not None and rounds < remote.MAX_ROUNDS:
            ask(number, more, rounds + 1, began)
        elif more is not None:
            why = f"its answers are others each time, so its calls were never known in {rounds} rounds"
            yield number, Failure(why), time.perf_counter() - began
        else:
            yield number, verdict, time.perf_counter() - began


# ---------------------------------------------------------------- a class


def batch(
    course: Course,
    folder: Path,
    out: Path,
    *,
    exercises: Sequence[Exercise] = (),
    workers: int | None = None,
    cluster: str | None = None,
    take: Mapping[tuple[str, str], str] | None = None,
    gradebook: Gradebook | None = None,
    late: Late | None = None,
    seed: int | None = None,
    say: Say = print,
    progress: Progress | None = None,
) -> int:
    """Grade what a class handed in for these exercises (all of the course where none is named), and write tables to ``out``.

    ``workers`` processes here, or the nodes of the Dask cluster whose scheduler is at ``cluster``; ``take`` settles
    questions, as in `inbox.look_through`, and is remembered; marks go into ``gradebook`` where one is given, and the points
    that ``late`` says a late submission loses; without it they stay what they are. The exit code: 0 every submission has a
    verdict; 1 some have none, because they are broken, a question, refused by the gradebook, or because the grader
    failed over them; 130 stopped by Ctrl-C. In every case the tables hold what is done, and the same command goes on.
    """
    from grader.system.inbox import look_through

    if workers is not None and workers < 1:
        raise UsageError(f"{workers} processes grade nothing.", "Ask for one at least, or leave --workers out.")
    if workers is not None and cluster is not None:
        raise UsageError("--workers is for this machine, --cluster for others.", "Leave one of them out.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file.", "Name a folder for the tables; it is made where there is none.")
    chosen = list(exercises) or course.found()
    stubs = {one.name: _printed(course, one) for one in chosen}
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(_ledger(out / LEDGER, say)) if (out / LEDGER).is_file() else None
        inbox = look_through(folder, chosen, take=take, taken_before=ledger.taken() if ledger else {}, stubs=stubs)
        marks = None
        if gradebook is not None:  # whose schema is made before any worker starts
            _demand_gradebook(gradebook)
            gradebook.prepare()
        nodes = stack.enter_context(_nodes(cluster)) if cluster is not None else None
        _make(out)
        ledger = ledger or stack.enter_context(_ledger(out / LEDGER, say))
        for handed in inbox.handed:
            if (handed.student, handed.exercise) in (take or {}):
                ledger.note_taken(handed.student, handed.exercise, handed.file)
        if gradebook is not None:
            wanted = {one.name for one in chosen} & {handed.exercise for handed in inbox.handed}
            marks = _Marks(gradebook, ledger, [one for one in chosen if one.name in wanted], late)
        graded = _Class(course, inbox, ledger, marks, seed, progress or (lambda done, total, seconds_left: None))
        grading = _Grading(graded, workers, nodes, say)
        made = f"{folder.resolve().name}, {datetime.now():%Y-%m-%d %H:%M}"
        try:
            for exercise in chosen:
                grading.grade(exercise)
        except KeyboardInterrupt:
            _write_tables(graded, chosen, out, made, say)
            left = len(inbox.handed) - len(graded.entries)
            say(
                f"Stopped: {len(graded.entries)} of {len(inbox.handed)} are done and in the tables in {out}; {left} are left."
            )
            say("The same command goes on from here.")
            return INTERRUPTED
        except BaseException:
            with contextlib.suppress(OSError):
                _write_tables(graded, chosen, out, made, say)
            raise
        _write_tables(graded, chosen, out, made, say)
        _summarise(graded, chosen, out, say)
        return 1 if graded.without_verdict() else 0


def _demand_gradebook(gradebook: Gradebook) -> None:
    if not gradebook.is_prepared():
        raise UsageError(
            f"There is no gradebook at {gradebook.address}.",
            "Check the address. nbgrader makes one when it releases the first assignment: nbgrader generate_assignment NAME",
        )


def _make(folder: Path) -> None:
    """Names, marks and the names of hidden checks lie in it, so a new one is readable by its owner alone."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(0o700)


def fingerprint_of(course: Course, exercise: Exercise, seed: int | None) -> str:
    """Of everything that a verdict depends on beside the submission: checks, engine, seed, and the packages' versions."""
    from grader.system.remote import engine
    from grader.system.tape import fingerprint
    from grader.verbs.grading import Sources

    files = sorted(path for layer in LAYERS_THAT_JUDGE for path in (ENGINE / layer).glob("*.py"))
    parts: list[str | bytes] = [path.read_bytes() for path in files]
    if course.has_solution(exercise):
        parts.append(Sources(course, exercise).fingerprint("all"))
    else:
        parts.append(course.tape_file(exercise).read_bytes())
        parts.append((course.exercise_folder(exercise) / PUBLIC_CHECKS).read_bytes())
    parts += [json.dumps(engine(exercise.framework), sort_keys=True), str(PUBLISHED_SEED if seed is None else seed)]
    return fingerprint(parts)


@dataclass
class _Class:
    """What was handed in, and what came of it so far; ``entries`` by the place in the inbox."""

    course: Course
    inbox: Inbox
    ledger: Ledger
    marks: _Marks | None
    seed: int | None
    progress: Progress
    entries: dict[int, Entry] = field(default_factory=dict)
    keys: dict[int, Key] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    layers: tuple[str, ...] | None = None
    ideas: dict[str, dict[str, Idea]] = field(default_factory=dict)  # by exercise, of those that were graded now
    known: int = 0
    fresh: int = 0

    def __post_init__(self) -> None:
        from grader.system.ledger import Key

        wanted = {handed.exercise for handed in self.inbox.handed}
        found = [exercise for exercise in self.course.found() if exercise.name in wanted]
        prints = {exercise.name: fingerprint_of(self.course, exercise, self.seed) for exercise in found}
        for at, handed in enumerate(self.inbox.handed):
            key = Key(handed.student, handed.exercise, _digest(handed), prints[handed.exercise])
            self.keys[at] = key

    def left(self, exercise: Exercise) -> list[int]:
        """The places of those whose verdict is not known; what is known becomes an entry on the way."""
        places = [at for at, handed in enumerate(self.inbox.handed) if handed.exercise == exercise.name]
        for at in places:
            report = self.ledger.find(self.keys[at])
            if report is not None:
                self.known += 1
                self._enter(at, report, exercise)
        return [at for at in places if at not in self.entries]

    def take(self, at: int, verdict: Report | Failure, exercise: Exercise, session: Session) -> None:
        """A verdict has come: keep it, enter its marks."""
        self.fresh += 1
        if isinstance(verdict, Failure):
            self.failures[at] = verdict.why
            handed = self.inbox.handed[at]
            self._put(at, _report_of(session, handed.submission, verdict), handed.note)
            return
        self.layers = verdict.layers if verdict.layers else self.layers
        self.ledger.keep(self.keys[at], verdict)
        self._enter(at, verdict, exercise)

    def _enter(self, at: int, report: Report, exercise: Exercise) -> None:
        handed = self.inbox.handed[at]
        why = self.marks.enter(handed, report, exercise) if self.marks else ""
        if why:
            self.refused[at] = why
        note = "; ".join(filter(None, [handed.note, why and f"not in the gradebook: {why}"]))
        self._put(at, report, note)

    def _put(self, at: int, report: Report, note: str) -> None:
        handed = self.inbox.handed[at]
        self.entries[at] = Entry(handed.student, handed.file, note, handed.digest, report)

    def in_order(self) -> list[Entry]:
        """The entries that there are, as the inbox has them."""
        return [self.entries[at] for at in sorted(self.entries)]

    def without_verdict(self) -> list[int]:
        """The places of broken submissions, questions, failures and refused marks."""
        return [at for at in sorted(self.entries) if self.entries[at].report.status == "broken" or at in self.refused]


def _digest(handed: Handed) -> str:
    """Of what is graded: the bytes, and the name, which stands in messages and says what the bytes are."""
    parts = [handed.digest, handed.submission.name, handed.submission.problem]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass
class _Grading:
    """How a class is graded."""

    graded: _Class
    workers: int | None
    nodes: Nodes | None
    say: Say

    def grade(self, exercise: Exercise) -> None:
        """Everything that was handed in for one exercise and has no verdict yet."""
        left = self.graded.left(exercise)
        if not left:
            return
        server = Server(packages_for(exercise.framework))
        if self._here(left):  # it gets ready while everything else does
            server.start()
        with contextlib.closing(server):
            plan = self._plan(exercise, server)
            self.graded.ideas[exercise.name] = plan.texts.ideas
            plan.run(server, lambda session: self._grade(session, exercise, left))

    def _here(self, left: list[int]) -> bool:
        """Whether submissions run under this process itself."""
        return self.nodes is None and processes(self.workers, len(left)) == 1

    def _plan(self, exercise: Exercise, server: Server) -> Plan:
        """How it is graded: what wrong ideas answer is recorded first, so that they are named and each verdict is fast."""
        from grader.system.tape import parse_tape
        from grader.verbs.check import RECORDING
        from grader.verbs.grading import Sources, Taped, make_plan, record_tape, refresh_cache

        course, seed = self.graded.course, self.graded.seed
        plan = make_plan(course, exercise, seed=seed)
        if not course.has_solution(exercise) or isinstance(plan.oracle, Taped):
            return plan
        self.say(f"{exercise.name}: {RECORDING}")
        if plan.seed == PUBLISHED_SEED:
            refresh_cache(course, exercise, server)
            plan = make_plan(course, exercise)
        if not isinstance(plan.oracle, Taped):  # another seed, or nothing can be written: it is kept in memory
            sources = Sources(course, exercise)
            tape = parse_tape(record_tape(sources, "all", server, plan.seed), Path("the recording"))
            plan = replace(plan, oracle=Taped(tape, sources.live, exercise.framework))
        return plan

    def _grade(self, session: Session, exercise: Exercise, left: list[int]) -> None:
        foreseen = foresee(session, for_nodes=self.nodes is not None)
        submissions = [self.graded.inbox.handed[at].submission for at in left]
        if self.nodes is None:
            verdicts, at_once = _graded(session, submissions, self.workers), processes(self.workers, len(left))
        else:
            verdicts, at_once = _on_nodes(session, submissions, self.nodes, foreseen), 2 * self.nodes.size
        recent: deque[float] = deque(maxlen=RECENT)
        total = len(self.graded.inbox.handed)
        with _settled(), contextlib.closing(verdicts):
            for number, verdict, seconds in verdicts:
                self.graded.take(left[number], verdict, exercise, session)
                recent.append(seconds)
                done = len(self.graded.entries)
                self.graded.progress(done, total, estimate(recent, total - done, at_once))


def estimate(recent: Sequence[float], left: int, at_once: int) -> float:
    """About how many seconds are left: as long as the last ones took in the middle, by as many as go at once."""
    return statistics.median(recent) * left / max(at_once, 1) if recent else 0.0


def _nodes(address: str) -> Nodes:
    from grader.system.remote import Nodes

    return Nodes(address)


def _ledger(path: Path, say: Say) -> Ledger:
    """The ledger; one that cannot be read is kept beside, and a new one is begun."""
    from grader.system.ledger import Ledger, LedgerDamaged
    from grader.verbs.build import backup_of

    try:
        return Ledger(path)
    except LedgerDamaged as damaged:
        backup = backup_of(path)
        path.rename(backup)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        say(f"{damaged.message} It was kept as {backup.name}, and everything is graded anew.")
        return Ledger(path)


def _printed(course: Course, exercise: Exercise) -> set[str]:
    """The sha256 of the exercise's files as they were handed out, by its tape."""
    from grader.system.tape import read_header

    try:
        return set(read_header(course.tape_file(exercise)).get("printed", {}).values())
    except (OSError, CourseError):
        return set()


def _ideas(course: Course, exercise: Exercise) -> dict[str, Idea]:
    """What is said of each wrong idea, by name."""
    from grader.system.tape import read_header
    from grader.verbs.grading import Sources, texts_from

    if course.has_solution(exercise):
        header = Sources(course, exercise).header(PUBLISHED_SEED, "all")
    else:
        header = read_header(course.tape_file(exercise))
    return texts_from(exercise, header).ideas


# ---------------------------------------------------------------- the gradebook


class _Marks:
    """The way of marks into a gradebook, where assignment and notebook have the exercise's name."""

    def __init__(
        self, gradebook: Gradebook, ledger: Ledger, exercises: Sequence[Exercise], late: Late | None = None
    ) -> None:
        self._late = late
        self._lost: dict[str, dict[str, Lateness]] = {}
        self._gradebook = gradebook
        self._ledger = ledger
        self._name = f"{gradebook.address} {gradebook.course_id}"
        self._maxima: dict[str, dict[str, float]] = {}
        self._scores: dict[str, dict[str, dict[str, Any]]] = {}
        for exercise in exercises:
            unit = exercise.name
            cells = gradebook.cells(unit, unit)
            self._maxima[unit] = {cell.name: cell.points or 0.0 for cell in cells if cell.grade and not cell.solution}
            self._scores[unit] = gradebook.scores(unit, unit)
            self._lost[unit] = gradebook.late(unit)

    def enter(self, handed: Handed, report: Report, exercise: Exercise) -> str:
        """Enter the marks, unless they are there already; why they were refused, or nothing."""
        from grader.logic.marks import marks_of

        if handed.candidates:
            return "which file counts is a question"
        unit = exercise.name
        try:
            marks = marks_of(report, self._maxima[unit], exercise)
            what = json.dumps([marks, handed.timestamp.isoformat() if handed.timestamp else None], sort_keys=True)
            there = self._scores[unit].get(handed.student, {})
            is_there = all(name in there and there[name].auto == mark for name, mark in marks.items())
            if is_there and self._ledger.was_entered(self._name, handed.student, unit) == what:
                return ""
            late = self._late or self._as_before(unit)
            self._gradebook.enter(handed.student, unit, unit, marks, timestamp=handed.timestamp, late=late)
        except CannotMark as error:
            return error.message
        except UsageError as error:  # such as a student whose name no gradebook takes
            return error.message
        self._ledger.note_entered(self._name, handed.student, unit, what)
        return ""

    def _as_before(self, unit: str) -> Late:
        """The points that were lost for being late stay lost: whoever took them off is not known here."""
        lost = self._lost[unit]
        return lambda student, score, seconds: lost[student].penalty or None if student in lost else None


# ---------------------------------------------------------------- what is written and said


def _write_tables(graded: _Class, chosen: Sequence[Exercise], out: Path, made: str, say: Say) -> None:
    from grader.logic.class_page import page
    from grader.verbs.build import backup_of

    entries = graded.in_order()
    names = {entry.report.exercise for entry in entries}
    exercises = {exercise.name: exercise for exercise in chosen if exercise.name in names}
    ideas = {name: graded.ideas.get(name) or _ideas(graded.course, exercise) for name, exercise in exercises.items()}
    title = ", ".join(exercise.title for exercise in exercises.values()) or "Nothing graded yet"
    texts = {
        CSV: csv_of(entries, exercises),
        LINES: json_lines(entries),
        PAGE: page(entries, exercises, ideas, title, made),
    }
    files = {name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()}
    for name, data in files.items():
        path = out / name
        current = path.read_bytes() if path.is_file() else data
        if current != data and not graded.ledger.is_ours(name, current):
            backup = backup_of(path)
            write_atomically(backup, current)
            say(f"Kept {name} as {backup.name}: it is not as it was written here.")
    graded.ledger.note_written(files)
    for name, data in files.items():
        write_atomically(out / name, data)


def _summarise(graded: _Class, chosen: Sequence[Exercise], out: Path, say: Say) -> None:
    from grader.system.inbox import KINDS
    from grader.verbs.check import missing_layers

    inbox = graded.inbox
    say(f"{len(inbox.handed)} {_many(len(inbox.handed), 'submission')} in {KINDS[inbox.kind]}; {_how_new(graded)}.")
    for exercise in chosen:
        statuses = Counter(entry.report.status for entry in graded.in_order() if entry.report.exercise == exercise.name)
        known = ("passed", "failed", "not_started", "broken")
        counted = ", ".join(f"{statuses[name]} {name.replace('_', ' ')}" for name in known if statuses[name])
        if counted:
            say(f"  {exercise.name}: {counted}")
    guesses = [handed for handed in inbox.handed if handed.note and not handed.candidates]
    _list(say, "Taken, and worth a look:", [f"{_whose(one)}: {shown(one.file)} ({shown(one.note)})" for one in guesses])
    questions = [f"{_whose(one)}: {shown(one.submission.problem, 300)}" for one in inbox.handed if one.candidates]
    _list(say, "Questions:", questions)
    troubled = [at for at in graded.without_verdict() if not inbox.handed[at].candidates]
    broken = [at for at in troubled if at not in graded.failures and graded.entries[at].report.status == "broken"]
    told = [f"{_whose(inbox.handed[at])}: {shown(problem_of(graded.entries[at].report), 200)}" for at in broken]
    _list(say, "Broken:", told)
    failures = [f"{_whose(inbox.handed[at])}: {shown(why, 200)}" for at, why in sorted(graded.failures.items())]
    _list(say, "The grader failed over these; the next run tries them again:", failures)
    refused = [f"{_whose(inbox.handed[at])}: {shown(why, 200)}" for at, why in sorted(graded.refused.items())]
    _list(say, "Not in the gradebook:", refused)
    _list(say, "Left out:", [f"{shown(one.file)}: {shown(one.why)}" for one in inbox.left_out])
    missing = missing_layers(graded.layers) if graded.layers else []
    if missing:
        say(f"Submissions ran without these layers of isolation: {', '.join(missing)}. `grader doctor` says why.")
    say(f"Tables: {out / CSV}, {out / LINES}, {out / PAGE}")


def _how_new(graded: _Class) -> str:
    if not graded.known:
        return f"{graded.fresh} graded now"
    return f"{graded.fresh} graded now, {graded.known} were graded before"


def _many(count: int, what: str) -> str:
    return what if count == 1 else f"{what}s"


def _whose(handed: Handed) -> str:
    return f"{shown(handed.student)}, {handed.exercise}"


def _list(say: Say, title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    say(title)
    for line in lines[:SHOWN]:
        say(f"  {line}")
    if len(lines) > SHOWN:
        say(f"  and {len(lines) - SHOWN} more")


def shown(text: str, longest: int = 100) -> str:
    """Text of a student's, as it may go to a terminal: one line, nothing that a terminal obeys, not too long."""
    line = "".join(char if char.isprintable() else " " for char in one_line(text))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


@contextlib.contextmanager
def bar(stream: Any) -> Iterator[Progress]:
    """Progress on a stream: a bar where that is a terminal, else a plain line at every tenth part."""
    if not stream.isatty():
        yield _Lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("graded"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    # Not refreshed by a thread: processes are forked meanwhile.
    with Bar(*columns, console=Console(file=stream), auto_refresh=False, transient=True) as display:
        task = display.add_task("", total=None)

        def progress(done: int, total: int, seconds_left: float) -> None:
            display.update(task, completed=done, total=total, description=_about(seconds_left, done < total))
            display.refresh()

        yield progress


class _Lines:
    """Plain lines, ten at most and one at the end."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._tenth = 0

    def __call__(self, done: int, total: int, seconds_left: float) -> None:
        tenth = 10 * done // max(total, 1)
        if tenth > self._tenth:
            self._tenth = tenth
            about = _about(seconds_left, done < total)
            self._stream.write(f"{done} of {total}{', ' if about else ''}{about}\n")
            self._stream.flush()


def _about(seconds: float, is_going_on: bool) -> str:
    if not is_going_on:
        return ""
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"
