"""What a learner has done so far, in one small file that survives crashes and damage.

``.grader/progress.json`` holds, by the exercise's name: the best score, the steps passed and when, the hints told, and
the last grading; and the milestones that no step gives. It is read anew for every change, so that a watcher and a
command beside it do not undo each other's notes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import blake2b
from typing import Any

from grader.model.types import Exercise, Report, Step, Submission
from grader.system.course import Course, write_atomically

SCHEMA = 1
HINT_TIERS = 4

MILESTONES = {
    "M1": "implement a transformer from memory in under an hour",
    "M2": "explain the division by √d_k",
    "M3": "train a model to an actual loss number on actual data",
    "M4": "spot what is different in the architecture of a modern paper",
    "M5": "debug attention by its patterns",
}


@dataclass(frozen=True)
class Milestone:
    """Something observable that a learner has done, with the evidence; ``when`` is empty until then."""

    name: str
    title: str
    when: str = ""
    evidence: str = ""


def digest_of(submission: Submission) -> str:
    """A short name for what was handed in."""
    text = "\0".join([submission.name, submission.problem, *(cell.source for cell in submission.cells)])
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class Progress:
    """The learner's notes in one course."""

    def __init__(self, course: Course, say: Callable[[str], Any] | None = None) -> None:
        self.path = course.cache / "progress.json"
        self._say = say or (lambda text: None)

    # ------------------------------------------------------------ reading

    def of(self, exercise: Exercise) -> dict[str, Any]:
        """What is noted of one exercise; every key is there."""
        return _entry(self._read(), exercise.name)

    def is_done(self, exercise: Exercise) -> bool:
        """Whether every step but stretch ones has been passed, at whatever time."""
        return bool(self.of(exercise)["done"])

    def milestones(self, exercises: Sequence[Exercise]) -> list[Milestone]:
        """All milestones, with the evidence for those that are reached."""
        noted = self._read().get("milestones", {})
        found = {name: self._by_a_step(name, exercises) or noted.get(name, {}) for name in MILESTONES}
        return [
            Milestone(name, title, found[name].get("when", ""), found[name].get("evidence", ""))
            for name, title in MILESTONES.items()
        ]

    def _by_a_step(self, name: str, exercises: Sequence[Exercise]) -> dict[str, str] | None:
        for exercise in exercises:
            for rule in exercise.milestones:
                passed = self.of(exercise)["passed"].get(rule.step) if rule.name == name and rule.step else None
                if passed:
                    evidence = f"step {rule.step} of {exercise.name}, {passed['points']:g} points"
                    return {"when": passed["when"], "evidence": evidence}
        return None

    # ------------------------------------------------------------ writing

    def note(self, exercise: Exercise, report: Report, digest: str) -> list[str]:
        """Keep what a grading of the learner's own file showed; the steps that were passed for the first time."""
        now = _now()
        new = []
        with self._changing() as data:
            entry = _entry(data, exercise.name)
            for step in exercise.steps:
                mine = [check for check in report.checks if check.step == step.name]
                checks = [check for check in mine if check.outcome != "skipped"]
                done = bool(checks) and all(check.outcome == "passed" for check in checks)
                if done and step.name not in entry["passed"]:
                    entry["passed"][step.name] = {"when": now, "points": sum(check.earned for check in checks)}
                    new.append(step.name)
            if report.score > entry["best"] or not entry["of"]:
                entry["best"], entry["of"] = max(report.score, entry["best"]), report.max_score
            if report.status == "passed" and not entry["done"]:
                entry["done"] = now
            entry["last"] = {
                "digest": digest,
                "when": now,
                "submission": report.submission,
                "status": report.status,
                "score": report.score,
                "max_score": report.max_score,
                "message": report.message,
                "unfinished": [
                    {"step": check.step, "looks_like": check.looks_like}
                    for check in report.checks
                    if check.outcome not in ("passed", "skipped")
                ],
            }
        return new

    def reach(self, milestone: str, evidence: str) -> None:
        """Keep the evidence for a milestone; the latest counts, the first time stays."""
        with self._changing() as data:
            when = data["milestones"].get(milestone, {}).get("when") or _now()
            data["milestones"][milestone] = {"when": when, "evidence": evidence}

    def next_hint(self, exercise: Exercise, step: Step, question: str = "") -> tuple[int, bool]:
        """Count one more hint for a step: its tier, and whether ``question`` (the name of a wrong idea) is due.

        A question that has not been asked yet comes first, and stands in for the first tier. The number goes past
        `HINT_TIERS` when there are no more.
        """
        with self._changing() as data:
            told = _entry(data, exercise.name)["hints"].setdefault(step.name, {"tiers": 0, "questions": []})
            if question and question not in told["questions"]:
                told["questions"].append(question)
                told["tiers"] = max(told["tiers"], 1)
                return told["tiers"], True
            told["tiers"] = min(told["tiers"] + 1, HINT_TIERS + 1)
            return told["tiers"], False

    def say_once(self, notice: str) -> bool:
        """Whether this notice is said for the first time."""
        with self._changing() as data:
            if notice in data["notices"]:
                return False
            data["notices"].append(notice)
            return True

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        data = self._read()
        yield data
        try:
            write_atomically(self.path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            self._say(f"Your progress could not be saved: {self.path}: {error.strerror}.")

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            if _is_sound(data):
                return {**_empty(), **data}
        except FileNotFoundError:
            return _empty()
        except OSError as error:
            self._say(f"Your progress cannot be read: {self.path}: {error.strerror}.")
            return _empty()
        except ValueError:
            pass
        self._keep_aside()
        return _empty()

    def _keep_aside(self) -> None:
        """A damaged file, or one of a later version, is never written over."""
        aside = self.path.with_name(self.path.name + ".bad")
        number = 1
        while aside.exists():
            number += 1
            aside = self.path.with_name(f"{self.path.name}.bad{number}")
        try:
            os.replace(self.path, aside)
        except OSError:
            return
        self._say(f"Your progress file could not be understood. It is kept as {aside.name}, and a new one is begun.")


def _empty() -> dict[str, Any]:
    return {"schema": SCHEMA, "exercises": {}, "milestones": {}, "notices": []}


def _entry(data: dict[str, Any], name: str) -> dict[str, Any]:
    fresh = {"best": 0.0, "of": 0.0, "done": "", "passed": {}, "hints": {}, "last": {}}
    entry = data["exercises"].setdefault(name, {})
    for key, value in fresh.items():
        entry.setdefault(key, value)
    return entry


def _is_sound(data: Any) -> bool:
    """Whether this is what `_changing` writes, as far as a reader relies on it."""
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or not isinstance(data.get("notices"), list):
        return False
    exercises, milestones = data.get("exercises"), data.get("milestones", {})
    if not isinstance(milestones, dict) or not all(isinstance(item, dict) for item in milestones.values()):
        return False
    return isinstance(exercises, dict) and all(map(_entry_is_sound, exercises.values()))


def _entry_is_sound(entry: Any) -> bool:
    kinds = {"best": (int, float), "of": (int, float), "done": str, "passed": dict, "hints": dict, "last": dict}
    if not isinstance(entry, dict):
        return False
    if not all(isinstance(entry[key], kind) for key, kind in kinds.items() if key in entry):
        return False
    items = {"passed": {"when", "points"}, "hints": {"tiers", "questions"}}
    return all(
        isinstance(item, dict) and keys <= item.keys()
        for name, keys in items.items()
        for item in entry.get(name, {}).values()
    )


def _now() -> str:
    return datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")
