"""A class's table as text: CSV for spreadsheets, and JSON lines to keep and to read again."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

from grader.model.types import CheckResult, Entry, Exercise, Report, Scope, Status, Verdict

BEFORE_STEPS = ("student", "exercise", "file", "status", "score", "max_score")
AFTER_STEPS = ("looks_like", "problem", "note")

# What a spreadsheet takes for the beginning of a formula, full-width forms too (OWASP, "CSV Injection").
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
_UNSHOWN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of characters, line and paragraph separators
_TURNING = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}  # these turn what follows around
_LABEL = re.compile(r"problem {2,}")


class TableError(ValueError):
    """A line that is no entry. ``line`` counts from 1; ``cut_short``: it is the last one and its end was never written."""

    def __init__(self, line: int, reason: str, cut_short: bool = False) -> None:
        super().__init__(f"Line {line} {reason}")
        self.line = line
        self.cut_short = cut_short


# ---------------------------------------------------------------- what entries come down to


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """The entries by exercise, student and file, however they came."""
    return sorted(entries, key=lambda entry: (entry.report.exercise, entry.student, entry.file, entry.digest))


def steps_of(reports: Sequence[Report], exercise: Exercise | None) -> list[str]:
    """The names of the steps: the exercise's, then those that checks belong to and the exercise has no more."""
    known = [step.name for step in exercise.steps] if exercise else []
    return list(dict.fromkeys([*known, *(check.step for report in reports for check in report.checks)]))


def points_of(checks: Iterable[CheckResult]) -> tuple[float, float]:
    """Earned, and what could be earned; checks that were skipped count for neither."""
    counted = [check for check in checks if check.outcome != "skipped"]
    return sum(check.earned for check in counted), sum(check.points for check in counted)


def ideas_of(report: Report) -> list[str]:
    """The names of the wrong ideas that failed checks look like, each once."""
    failed = (check for check in report.checks if check.outcome not in ("passed", "skipped"))
    return list(dict.fromkeys(name for check in failed for name in check.looks_like))


def problem_of(report: Report) -> str:
    """The first line of a report's message, without its label."""
    first = report.message.strip().split("\n")[0]
    return _LABEL.sub("", first, count=1) if _LABEL.match(first) else first


def plain_number(value: float) -> str:
    """A number as one writes it: 17.5, 30, never 17.50000001 nor 1e+06."""
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def one_line(text: str) -> str:
    """The text with a dot for each character that would break the line, control a terminal, turn the direction of what
    follows around, or cannot be written as UTF-8."""
    return "".join("·" if _is_unshown(character) else character for character in text)


def _is_unshown(character: str) -> bool:
    return character in _TURNING or unicodedata.category(character) in _UNSHOWN


# ---------------------------------------------------------------- CSV


def csv_of(entries: Sequence[Entry], exercises: Mapping[str, Exercise]) -> str:
    """The table for a spreadsheet: a header, then one line for each entry, in the order of `in_order`.

    Each step has a column with the points earned in it, named after the step, or ``exercise.step`` where the table has
    several exercises; a cell is empty where the step is another exercise's or nothing of it was checked. A text that a
    spreadsheet would take for a formula gets an apostrophe in front, which says there that it is text. Every cell is a
    single line (see `one_line`); the exact texts are in `json_lines`.
    """
    rows = in_order(entries)
    by_exercise = {name: [entry.report for entry in rows if entry.report.exercise == name] for name in _names(rows)}
    listed = [name for name in exercises if name in by_exercise or not rows]
    listed += [name for name in by_exercise if name not in exercises]
    steps = [(name, step) for name in listed for step in steps_of(by_exercise.get(name, []), exercises.get(name))]
    taken = {*BEFORE_STEPS, *AFTER_STEPS}
    titles = [f"{name}.{step}" if len(listed) > 1 or step in taken else step for name, step in steps]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_cell, [*BEFORE_STEPS, *titles, *AFTER_STEPS]))
    for entry in rows:
        report = entry.report
        texts = [entry.student, report.exercise, entry.file, report.status]
        points = [report.score, report.max_score]
        last = ["; ".join(ideas_of(report)), problem_of(report), entry.note]
        earned = [_earned(report, step) if name == report.exercise else "" for name, step in steps]
        writer.writerow([*map(_cell, texts), *map(plain_number, points), *earned, *map(_cell, last)])
    return out.getvalue()


def _names(entries: Iterable[Entry]) -> list[str]:
    return list(dict.fromkeys(entry.report.exercise for entry in entries))


def _earned(report: Report, step: str) -> str:
    checks = [check for check in report.checks if check.step == step and check.outcome != "skipped"]
    return plain_number(points_of(checks)[0]) if checks else ""


def _cell(text: str) -> str:
    return ("'" if _FORMULA.match(text) else "") + one_line(text)


# ---------------------------------------------------------------- JSON lines


def json_lines(entries: Iterable[Entry]) -> str:
    """Each entry's `Entry.as_json` on a line of its own, in ASCII, in the order of `in_order`.

    The same class gives the same text, whoever graded it and in which order. ValueError for a number that is not finite.
    """
    return "".join(f"{_line(entry)}\n" for entry in in_order(entries))


def _line(entry: Entry) -> str:
    return json.dumps(entry.as_json(), allow_nan=False)


def read_json_lines(text: str) -> list[Entry]:
    """The entries of what `json_lines` wrote, in the order of the lines.

    What a line does not hold is empty: seconds are 0, nothing was printed, no layers are named. `TableError`, a ValueError
    with the line's number and the reason, for anything else than such a text: other keys, other types, an empty line. A
    last line whose end is missing, as after a crash, is told as ``cut_short``.
    """
    *whole, last = text.split("\n")
    entries = [_entry(number, line) for number, line in enumerate(whole, start=1)]
    if last:
        try:
            entries.append(_entry(len(whole) + 1, last))
        except TableError as error:
            if not last.startswith("{") or _is_json(last):
                raise
            reason = "is cut short, as after a crash while it was written. All lines before it are whole."
            raise TableError(error.line, reason, cut_short=True) from None
    return entries


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _entry(number: int, line: str) -> Entry:
    try:
        return _entry_of(json.loads(line, object_pairs_hook=_once, parse_constant=_refused))
    except json.JSONDecodeError as error:
        what = "is empty" if not line.strip() else f"is not JSON: {error.msg} at column {error.colno}"
        raise TableError(number, f"{what}.") from None
    except RecursionError:
        raise TableError(number, "is nested too deep to be an entry.") from None
    except ValueError as error:
        raise TableError(number, f"is not an entry of a class's table: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"it has {_shown(twice[0])} twice.")
    return dict(pairs)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not a number that a table holds.")


def _entry_of(data: object) -> Entry:
    fields = _fields(data, _ENTRY, "an entry")
    del fields["schema"]
    known = {name: fields.pop(name) for name in ("student", "file", "note", "digest")}
    return Entry(**known, report=Report(**fields, seconds=0.0))


def _fields(data: object, wanted: Mapping[str, Callable[[str, Any], Any]], what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{what} is an object, and this is {_kind(data)}.")
    missing, unknown = [name for name in wanted if name not in data], [name for name in data if name not in wanted]
    if missing:
        raise ValueError(f"{missing[0]} is missing.")
    if unknown:
        raise ValueError(f"{_shown(unknown[0])} is no part of {what}.")
    return {name: read(name, data[name]) for name, read in wanted.items()}


def _kind(value: object) -> str:
    names = {
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "null")


def _shown(text: object) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} should be a text and is {_kind(value)}.")
    return value


def _points(name: str, value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{name} should be a number and is {_kind(value)}.")
    if not 0 <= value <= sys.float_info.max:
        raise ValueError(f"{name} should be 0 or more, and finite, and is {_shown(value)}.")
    return float(value)


def _whole(name: str, value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{name} should be a whole number and is {_shown(value)}.")
    return value


def _schema(name: str, value: Any) -> int:
    if type(value) is not int or value != 1:
        raise ValueError(f"{name} {_shown(value)} is not known here; this reads 1.")
    return value


def _yes_or_no(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{name} should be true or false and is {_shown(value)}.")
    return value


def _one_of(kind: Any) -> Callable[[str, Any], str]:
    allowed = get_args(kind)

    def read(name: str, value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"{name} should be one of {', '.join(allowed)} and is {_shown(value)}.")
        return value

    return read


def _list_of(read: Callable[[str, Any], Any]) -> Callable[[str, Any], list[Any]]:
    def read_all(name: str, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError(f"{name} should be a list and is {_kind(value)}.")
        return [read(f"{name}[{number}]", one) for number, one in enumerate(value)]

    return read_all


def _check(name: str, value: Any) -> CheckResult:
    try:
        return CheckResult(**_fields(value, _CHECK, "a check"))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


_CHECK = {
    "name": _text,
    "step": _text,
    "hidden": _yes_or_no,
    "points": _points,
    "earned": _points,
    "outcome": _one_of(Verdict),
    "message": _text,
    "looks_like": _list_of(_text),
}
_ENTRY = {
    "schema": _schema,
    "student": _text,
    "file": _text,
    "note": _text,
    "digest": _text,
    "exercise": _text,
    "submission": _text,
    "scope": _one_of(Scope),
    "seed": _whole,
    "status": _one_of(Status),
    "score": _points,
    "max_score": _points,
    "message": _text,
    "checks": _list_of(_check),
}
