"""A submission at work under one grading: its worker, opened again when it died, and fed ahead where its calls are known."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from grader.logic.wire import Handle
from grader.model.types import Call, Died, Exercise, Outcome, Submission
from grader.system.host import Loaded, Server, Worker, request_frame
from grader.system.launch import packages_for

# Each function dies once only, so this ends nothing that time does not: one that hangs must not cost the others their marks.
MAX_DEATHS = 12
# What is sent ahead has to fit into the socket's buffer beside what the worker answers meanwhile.
AHEAD_BYTES = 32 * 1024


@dataclass(frozen=True)
class Script:
    """The calls of one check, as the worker reads them: with one seed, a check asks every submission the same."""

    check: str
    culprits: tuple[tuple[str, ...], ...]
    frames: bytes


def script_of(check: str, calls: Sequence[Call]) -> Script | None:
    """What can be sent ahead of a check's calls; None where they name objects of one submission, or are too large."""
    if any(call.target or call.kind != "call" or _holds_handle((call.args, call.kwargs)) for call in calls):
        return None
    frames = b"".join(map(request_frame, calls))
    return Script(check, tuple(map(_culprit, calls)), frames) if len(frames) <= AHEAD_BYTES else None


def _culprit(call: Call) -> tuple[str, ...]:
    """What is not called again once it hung: the function; of a helper that is told by name what to call, that too."""
    told = [value for value in (*call.args, *call.kwargs.values()) if type(value) is str] if call.source else []
    return (call.function, call.source, *told)


def _holds_handle(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_handle, value))
    if isinstance(value, dict):
        return any(map(_holds_handle, value.values()))
    return isinstance(value, Handle)


class Careful:
    """A submission's worker, opened again when it died, so that one bad function does not take the others along."""

    def __init__(self, server: Server, exercise: Exercise, submission: Submission, label: str) -> None:
        self._server = server
        self._exercise = exercise
        self._submission = submission
        self._label = Path(label).name
        self._deadline = time.monotonic() + exercise.limits.total_seconds
        self._fatal: dict[tuple[str, ...], Died] = {}
        self._deaths = 0
        self._worker: Worker | None = None
        self._ahead: deque[Script] = deque()
        self._collected = 0
        self.layers: tuple[str, ...] = ()
        self.printed = ""

    def load(self) -> Loaded:
        """Open a worker and run the submission's cells in it."""
        exercise = self._exercise
        self._worker = self._server.open(exercise.limits, packages_for(exercise.framework))
        self.layers = self._worker.layers
        return self._worker.load(
            self._submission,
            Path(exercise.module).stem,
            exercise.allowed_imports,
            self._label,
            refused=exercise.refused,
            fused=exercise.fused,
        )

    def note_printed(self, shown: bool) -> None:
        """Take what was printed since the last time, to show it or not."""
        if self._worker is not None:
            if shown:
                self.printed += "".join(self._worker.printed)
            self._worker.printed.clear()

    def begin(self, script: Script | None, following: Iterable[Script | None] = ()) -> None:
        """A check begins whose calls are known, and maybe those of the next: send them ahead, so that nobody waits in between."""
        while self._ahead and (script is None or self._ahead[0].check != script.check):
            self._skip_rest()
        if self._is_late():
            self.close()
        if len(self._ahead) > 1:
            return
        new: list[Script] = []
        size = sum(len(known.frames) for known in self._ahead)
        for number, known in enumerate(chain((script,), following)):
            if known is None or self._worker is None or not self._fatal.keys().isdisjoint(known.culprits):
                break
            if number < len(self._ahead):
                continue
            size += len(known.frames)
            if number > 1 and size > AHEAD_BYTES:
                break
            new.append(known)
        if new and self._worker is not None:
            self._worker.send_ahead(b"".join(known.frames for known in new))
            self._ahead.extend(new)

    def replies(self) -> bytes | None:
        """All answers of the check that began, as they came; None where its calls were not sent ahead, or one has no answer.

        `answer` gives them afterwards all the same.
        """
        if not self._ahead or self._collected or self._worker is None:
            return None
        return self._worker.fetch(len(self._ahead[0].culprits), self._deadline)

    def skip(self) -> None:
        """The answers that `replies` gave are all that is wanted."""
        assert self._worker is not None
        self._worker.drop_fetched()
        self._ahead.popleft()

    def answer(self, call: Call) -> Outcome:
        """What the submission answers; once a function hung or killed its process, it is not called again."""
        if (known := self._fatal.get(_culprit(call))) is not None:
            return known
        if self._is_late():
            return Died("timeout", "total")
        if self._deaths >= MAX_DEATHS:
            return Died("timeout", "deaths")
        if self._worker is None:
            self.load()
        assert self._worker is not None
        assert call.kind != "cost" or not self._ahead  # nothing else may be under way while it is measured
        if self._ahead and self._collected < len(self._ahead[0].culprits):
            self._collected += 1
            outcome = self._worker.collect(call)
        else:
            outcome = self._worker.answer(call)
        if isinstance(outcome, Died):
            self._died(_culprit(call), outcome)
        return outcome

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _skip_rest(self) -> None:
        """Answers that a check did not ask for, because it failed before: nothing that comes of them counts."""
        script = self._ahead[0]
        for function, *_ in script.culprits[self._collected :]:
            assert self._worker is not None
            if self._is_late() or isinstance(self._worker.collect(Call(function)), Died):
                self.close()
                return
        assert self._worker is not None
        self._worker.printed.clear()
        self._ahead.popleft()
        self._collected = 0

    def _died(self, culprit: tuple[str, ...], outcome: Died) -> None:
        self._deaths += 1
        self._fatal[culprit] = outcome
        self.close()

    def close(self) -> None:
        """Let the worker go."""
        self._ahead.clear()
        self._collected = 0
        if self._worker is not None:
            self._worker.close()
            self._worker = None
