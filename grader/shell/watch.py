"""Grading at every save, from a process that stays warm."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from grader.model.errors import UsageError
from grader.model.types import Exercise, Report
from grader.shell import screen
from grader.shell.keys import Keys
from grader.system.course import Course
from grader.system.host import Server
from grader.system.progress import Progress, digest_of
from grader.verbs.check import RECORDING, Chosen, Grading, own_files, shown
from grader.verbs.hint import next_hint
from grader.verbs.reset import reset
from grader.verbs.session import Session
from grader.verbs.status import board, next_exercise

STEP_MS = 10  # a save is reported when nothing more has changed for this long
GROUP_MS = 50  # and at the latest after this long
LOOK_MS = 1000  # how often the folder is looked at itself: some file systems report nothing
KEYS = "h hint   n next   l list   r reset   q quit   Enter grade again"


class Event(NamedTuple):
    """Something to react to: a key, or a change seen at a time."""

    kind: str
    key: str = ""
    seen: float = 0.0


def watch_course(course: Course, wanted: str | None, server: Server, colour: bool) -> int:
    """Watch one exercise after the other until the learner quits; the exit code."""
    progress = Progress(course, _aside)
    exercise = course.find(wanted) if wanted else next_exercise(course.found(), progress)
    if exercise is None:
        screen.put(screen.board(board(course, progress), colour))
        return 0
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with _terminate_as_interrupt(), Keys(lambda key: events.put(Event("key", key))) as keys:
        following: Exercise | None = exercise
        while following is not None:
            following = Watcher(course, following, server, events, colour, keys.there).run()
    return 0


class Watcher:
    """One exercise being watched."""

    def __init__(
        self,
        course: Course,
        exercise: Exercise,
        server: Server,
        events: queue.SimpleQueue[Event],
        colour: bool,
        keys: bool,
    ) -> None:
        self.course = course
        self.exercise = exercise
        self.events = events
        self.colour = colour
        self.keys = keys
        self.grading = Grading(course, exercise, server, _aside)
        self.report: Report | None = None
        self.chosen: Chosen | None = None
        self.digest = ""
        self.focus = ""
        self.asking = False
        self.has_recorded = False

    def run(self) -> Exercise | None:
        """Grade now and at every save; the exercise to go on with, or None to leave."""
        with _watched(self.course.exercise_folder(self.exercise), self._names(), self.events):
            while True:
                plan = self.grading.plan if self.has_recorded else self.grading.hurried()
                following = plan.run(self.grading.server, self._loop)
                if following is not self.exercise:
                    return following
                _line(RECORDING)
                self.grading.refresh()
                self.has_recorded = True
                _line("Done.")

    def _names(self) -> set[str]:
        return {path.name for path in own_files(self.course, self.exercise)}

    def _loop(self, session: Session) -> Exercise | None:
        """React to events; the same exercise is returned to open the session anew, from what was recorded meanwhile."""
        self._grade(session, None, always=self.report is None or bool(self.report.checks))  # now ideas are named
        while True:
            if self.report is not None and self._has_time_to_record(self.report):
                return self.exercise
            event = _next(self.events)
            if event.kind == "change":
                self._grade(session, event.seen)
            elif self.asking:
                self._answered(session, event.key)
            elif event.key in ("q", "Q", "\x04"):
                return None
            elif event.key in ("\r", "\n"):
                self._grade(session, None, always=True)
            elif event.key.lower() == "h":
                self._hint()
            elif event.key.lower() == "l":
                self._list()
            elif event.key.lower() == "r":
                self._ask_for_reset()
            elif event.key.lower() == "n":
                following = self._next_exercise()
                if following is not None:
                    return following
                self._next_step()

    def _has_time_to_record(self, report: Report) -> bool:
        """Before anything is written there is a task to read; after a wrong verdict there is something to think about."""
        waits = (report.status == "not_started" and self.grading.can_record()) or self.grading.lacks_names(report)
        return waits and not self.has_recorded

    # ------------------------------------------------------------ grading

    def _grade(self, session: Session, seen: float | None, always: bool = False) -> None:
        """Grade the file as it is now; nothing is done when it is the one graded last."""
        began = time.time()
        chosen = self._choose()
        if chosen is None:
            self._wait_for_file()
            return
        digest = digest_of(chosen.submission)
        if digest == self.digest and not always:
            return
        report = session.grade(chosen.submission, chosen.label)
        if digest != self.digest:
            self.focus = ""
        self.report, self.chosen, self.digest = report, chosen, digest
        self._show()
        _line(self._timing(chosen, seen, began))
        self._foot()
        for line in self.grading.keep(report, chosen):
            _line(line)

    def _choose(self) -> Chosen | None:
        """The learner's file; one that is away or caught empty is given a moment to be written."""
        for patience in (0.03, 0.1):
            chosen = self._own()
            if chosen is not None and not _is_empty(chosen.path):
                return chosen
            time.sleep(patience)
        return self._own()

    def _own(self) -> Chosen | None:
        try:
            return self.grading.own()
        except UsageError:
            return None

    def _wait_for_file(self) -> None:
        self.digest, self.report = "", None
        self._clear()
        _line(f"waiting for {shown(own_files(self.course, self.exercise)[0])}")
        self._foot()

    @staticmethod
    def _timing(chosen: Chosen, seen: float | None, began: float) -> str:
        now = time.time()
        clock = time.strftime("%H:%M:%S", time.localtime(now))
        if seen is None or chosen.path is None:
            return f"{clock}   verdict in {now - began:.2f} s"
        text = f"{clock}   verdict {now - seen:.2f} s after the change was seen"
        delay = seen - _saved(chosen.path)
        return f"{text}, which took {delay:.2f} s" if 0 <= delay < LOOK_MS / 500 else text

    # ------------------------------------------------------------ screens

    def _show(self, everything: bool = False) -> None:
        if self.report is None or self.chosen is None:
            return
        self._clear()
        notes = [self.chosen.note] if self.chosen.note else []
        text = screen.verdict(
            self.report,
            self.exercise,
            colour=self.colour,
            everything=everything,
            focus=self.focus,
            notes=notes,
            following="" if self.keys else self.grading.following(self.report),
        )
        _line(text)

    def _clear(self) -> None:
        if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            sys.stdout.write("\x1b[2J\x1b[H")
        else:
            _line("")

    def _foot(self) -> None:
        if self.keys:
            _line(screen.Ink(self.colour).faint(KEYS))

    def _hint(self) -> None:
        if self.report is None:
            return
        told = next_hint(self.course, self.exercise, self.grading.progress, lambda: None)
        _line("")
        _line(screen.hint(told, self.exercise, self.colour))

    def _list(self) -> None:
        self._show(everything=True)
        _line("")
        _line(screen.board(board(self.course, self.grading.progress), self.colour))
        self._foot()

    # ------------------------------------------------------------ reset

    def _ask_for_reset(self) -> None:
        self.asking = True
        path = shown(own_files(self.course, self.exercise)[0])
        _line(f"Write {path} as the stub again? What is there is kept beside it.   y yes   any other key no")

    def _answered(self, session: Session, key: str) -> None:
        self.asking = False
        if key.lower() != "y":
            _line("Nothing was changed.")
            return
        said = reset(self.course, self.exercise)
        self._grade(session, None)
        for line in said:
            _line(line)

    # ------------------------------------------------------------ going on

    def _next_exercise(self) -> Exercise | None:
        """After passing, the next one that is not done."""
        if self.report is None or self.report.status != "passed":
            return None
        exercises = self.course.found()
        later = [one for one in exercises if one.folder > self.exercise.folder]
        return next_exercise(later, self.grading.progress) or next_exercise(exercises, self.grading.progress)

    def _next_step(self) -> None:
        """The next unfinished step in full, then round again."""
        if self.report is None:
            return
        report = self.report
        open_steps = [step for step in self.exercise.steps if not screen.is_done(screen.of_step(report, step))]
        if not open_steps or report.status in ("broken", "not_started"):
            _line("Every step is done." if report.status == "passed" else "This step comes first.")
            return
        names = [step.name for step in open_steps]
        current = self.focus or getattr(screen.first_unfinished(report, self.exercise), "name", "")
        place = names.index(current) if current in names else -1
        self.focus = names[(place + 1) % len(names)]
        self._show()
        self._foot()


# ---------------------------------------------------------------- events


@contextmanager
def _watched(folder: Path, names: set[str], events: queue.SimpleQueue[Event]) -> Iterator[None]:
    """Report every change of these files in the folder, also when an editor puts a new file in an old one's place."""
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(folder, names, events, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(2.0)


def _watch(folder: Path, names: set[str], events: queue.SimpleQueue[Event], stop: threading.Event) -> None:
    from watchfiles import watch

    last = _signature(folder, names)

    def look(reported: object = ()) -> None:
        """A change that was reported, or that is plain to see."""
        nonlocal last
        before, last = last, _signature(folder, names)
        if reported or last != before:
            events.put(Event("change", seen=time.time()))

    while not stop.is_set():
        identity = _identity(folder)
        look()
        if identity is None:
            stop.wait(0.2)
            continue
        try:
            changes = watch(
                folder,
                watch_filter=lambda change, path: Path(path).name in names,
                debounce=GROUP_MS,
                step=STEP_MS,
                rust_timeout=LOOK_MS,
                yield_on_timeout=True,
                stop_event=stop,
                raise_interrupt=False,
                recursive=False,
            )
            for reported in changes:
                look(reported)
                if _identity(folder) != identity:
                    break
        except (OSError, RuntimeError):  # the folder went away under it
            stop.wait(0.2)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _signature(folder: Path, names: set[str]) -> list[tuple[int, int, int]]:
    found = []
    for name in sorted(names):
        try:
            stat = (folder / name).stat()
        except OSError:
            continue
        found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return found


def _next(events: queue.SimpleQueue[Event]) -> Event:
    if os.name != "nt":
        return events.get()
    while True:  # on Windows, waiting without an end cannot be interrupted by Ctrl-C
        try:
            return events.get(timeout=0.25)
        except queue.Empty:
            continue


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """A watcher that is told to end leaves the terminal as it was."""

    def leave(*_: object) -> None:
        raise SystemExit(143)

    before: Any = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_empty(path: Path | None) -> bool:
    try:
        return path is not None and path.stat().st_size == 0
    except OSError:
        return True


def _saved(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _line(text: str) -> None:
    screen.put(text)


def _aside(text: str) -> None:
    screen.put(text)
