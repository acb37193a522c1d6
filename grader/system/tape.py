"""Tapes: recorded calls with what the solution and the wrong variants answered.

A tape is one line of JSON (the header: what the exercise is, its stub, the sentences of its variants, hints, the seed, and the
fingerprint of what it was made from), a line break, and a compressed body with the answers. No code of the solution or of a variant
is in it. ``tapes/NAME.tape`` holds the public checks; a cache of the same form makes the author's verdicts cheap.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from grader.logic import wire
from grader.logic.diagnose import SOLUTION
from grader.model.errors import CourseError, WireError
from grader.model.types import Call, Outcome, Raised, Value

FORMAT = 2


class TapeMiss(LookupError):
    """The tape does not hold this call: another seed, other checks, or a check that depends on earlier answers."""


def digest(call: Call) -> bytes:
    """A short name for a call and all of its arguments, equal on every machine."""
    content = [call.kind, call.name, call.args, call.kwargs, call.target, call.echo]
    content = wire.encode([*content, call.source] if call.source else content)
    return hashlib.blake2b(content, digest_size=8).digest()


def fingerprint(texts: Iterable[str | bytes]) -> str:
    """What a tape was made from, as a short text."""
    state = hashlib.blake2b(b"1", digest_size=12)  # as in all that are written down, in docs/proofs.md too
    for text in texts:
        data = text.encode() if isinstance(text, str) else text
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()


class Recorder:
    """Collects what a tape will hold."""

    def __init__(self) -> None:
        self._checks: dict[str, dict[str, Any]] = {}

    def check(self, name: str, calls: list[Call], solution: list[Outcome], wrong: dict[str, list[Outcome]]) -> None:
        """One check's calls and what everybody answers to them, as lists of the same length."""
        pool: dict[bytes, int] = {}

        def number(outcome: Outcome) -> int:
            return pool.setdefault(packed(outcome), len(pool))

        entry = self._checks.setdefault(name, {"references": []})
        everybody = {SOLUTION: solution, **wrong}
        numbers = [[number(outcome) for outcome in outcomes] for outcomes in everybody.values()]
        entry["calls"] = b"".join(digest(call) for call in calls)
        entry["who"] = list(everybody)
        entry["numbers"] = np.array(numbers, np.int32).reshape(len(everybody), len(calls))
        entry["pool"] = list(pool)

    def script(self, name: str, culprits: Iterable[tuple[str, ...]], frames: bytes) -> None:
        """One check's calls as they are sent ahead (`careful.Script`). They hold its inputs: for a cache alone."""
        self._checks[name]["script"] = (tuple(culprits), frames)

    def reference(self, name: str, call: Call, value: Any, dtypes: Any) -> None:
        """One answer of the reference within a check, in the order asked."""
        entry = self._checks.setdefault(name, {"references": []})
        entry["references"].append((digest(call), wire.encode((value, dtypes))))

    def written(self, header: dict[str, Any]) -> bytes:
        """The tape's bytes."""
        # Not sorted: of two ideas that explain the same, the one that its author put first is named, live and by tape.
        first = json.dumps(header | {"format": FORMAT}, ensure_ascii=False)
        return first.encode() + b"\n" + zlib.compress(wire.encode(self._checks), 9)


class Tape:
    """An oracle that reads: the same questions as `oracle.Live`, answered from a recording."""

    def __init__(self, header: dict[str, Any], body: bytes) -> None:
        self.header = header
        self._checks: dict[str, dict[str, Any]] = wire.decode(zlib.decompress(body))
        if not isinstance(self._checks, dict):
            raise WireError("the answers are missing")
        self.wrong: tuple[str, ...] = tuple(header["ideas"])
        self._verified: dict[str, int] = {}
        self._answers: dict[str, Recorded] = {}

    @property
    def seed(self) -> int:
        """The seed whose inputs are recorded."""
        return self.header["seed"]

    def reference(self, check: str, index: int, call: Call) -> tuple[Any, Any]:
        """The solution's exact answer and the dtypes that go with it, for the check's ``index``-th question to it."""
        references = self._entry(check)["references"]
        if index >= len(references) or references[index][0] != digest(call):
            raise TapeMiss(check)
        value, dtypes = wire.decode(references[index][1])
        return value, dtypes

    def answers(self, check: str, calls: list[Call]) -> Recorded | None:
        """What the wrong variants answer to the check's calls; None when other calls were recorded, or none.

        A check that asked once what was recorded is not compared again: with one seed it always asks the same.
        """
        entry = self._checks.get(check)
        if entry is None or "calls" not in entry:
            return None
        if self._verified.get(check, 0) < len(calls):
            if not entry["calls"].startswith(b"".join(digest(call) for call in calls)):
                return None
            self._verified[check] = len(calls)
        if check not in self._answers:
            self._answers[check] = Recorded(entry)
        return self._answers[check]

    def script(self, check: str) -> tuple[tuple[tuple[str, ...], ...], bytes] | None:
        """What the check's calls are when they are sent ahead; None where that was not recorded."""
        return self._checks.get(check, {}).get("script")

    def recorded(self, variant: str = "") -> Iterator[list[Outcome]]:
        """For each check, all answers of a wrong variant, or of the solution."""
        for entry in self._checks.values():
            if "calls" in entry:
                numbers = entry["numbers"][entry["who"].index(variant)]
                yield [_unpacked(entry["pool"][number]) for number in numbers]

    def _entry(self, check: str) -> dict[str, Any]:
        entry = self._checks.get(check)
        if entry is None or "calls" not in entry:
            raise TapeMiss(check)
        return entry


class Recorded:
    """The recorded answers to one check's calls (`diagnose.Answers`), each unpacked once."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self._numbers = dict(zip(entry["who"], entry["numbers"].tolist(), strict=True))
        self._pool = entry["pool"]
        self._unpacked: dict[int, Outcome] = {}

    def number(self, variant: str, position: int) -> int:
        """Which answer a variant, or the solution, gives at a position."""
        return self._numbers[variant][position]

    def answer(self, number: int) -> Outcome:
        """The answer behind a number."""
        if number not in self._unpacked:
            self._unpacked[number] = _unpacked(self._pool[number])
        return self._unpacked[number]


def read_header(path: Path) -> dict[str, Any]:
    """The first line of a tape."""
    with path.open("rb") as file:
        return _header(file.readline(), path)


def read_tape(path: Path) -> Tape:
    """A whole tape; `CourseError` where it cannot be read."""
    return parse_tape(path.read_bytes(), path)


def parse_tape(data: bytes, path: Path) -> Tape:
    """The same from a tape's bytes; ``path`` is named in errors."""
    first, _, body = data.partition(b"\n")
    try:
        return Tape(_header(first, path), body)
    except (zlib.error, WireError, KeyError) as error:
        raise CourseError(f"{path} is damaged: {error}.", "Run `make build` to record it again.") from error


def _header(line: bytes, path: Path) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except ValueError as error:
        raise CourseError(f"{path} is no tape: {error}.", "Run `make build` to record it again.") from error
    found = header.get("format") if isinstance(header, dict) else None
    if found != FORMAT:
        raise CourseError(f"{path} has format {found}, not {FORMAT}.", "Run `make build`.")
    return header


def packed(outcome: Outcome) -> bytes:
    """An answer as bytes, equal for answers that a diagnosis need not tell apart."""
    if isinstance(outcome, Value):
        return wire.encode(("v", outcome.value, outcome.after))
    if isinstance(outcome, Raised):
        return wire.encode(("r", outcome.type, list(outcome.bases)))
    return wire.encode(("d",))


def _unpacked(data: bytes) -> Outcome:
    kind, *content = wire.decode(data)
    if kind == "v":
        return Value(*content)
    return Raised(content[0], tuple(content[1]), "", ()) if kind == "r" else Raised("Died", (), "", ())
