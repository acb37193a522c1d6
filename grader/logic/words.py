"""All text that a learner reads about a submission.

A message is a few lines, each with a label of ten characters. While a check is hidden, nothing that the submission
computed, printed or said is repeated: no numbers, no messages of exceptions, no names but those of built-in types.
"""

from __future__ import annotations

import builtins
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from grader.logic.asserting import StudentFailure
from grader.logic.judge import Finding
from grader.logic.patterns import name_pattern
from grader.logic.wire import Handle
from grader.model.types import Call, Died, Exercise, Raised, Submission

WIDTH = 80
LABEL = 11
ROW = 6
MAP_SIDE = 8
SHADES = " ░▒▓█"
PLAIN_TYPES = {
    "NoneType", "bool", "int", "float", "complex", "str", "bytes", "list", "tuple", "dict", "ndarray",
    "set", "frozenset", "generator", "function", "method", "map", "zip", "range", "matrix", "MaskedArray",
}  # fmt: skip


@dataclass(frozen=True)
class Idea:
    """What a learner may know of a wrong variant."""

    says: str
    hint: str = ""
    convention: str = ""


@dataclass
class Texts:
    """Everything that verdicts on one exercise are worded with."""

    exercise: Exercise
    stub: str
    ideas: dict[str, Idea]
    parameters: dict[str, list[str]] = field(default_factory=dict)

    # ------------------------------------------------------------ whole submissions

    def not_started(self) -> str:
        """For an untouched stub."""
        first = self.exercise.steps[0]
        what = " and ".join(first.functions) or first.title
        return f"Nothing is written yet. Begin with {what} ({first.title}, about {first.minutes} minutes)."

    def broken(self, loaded: Any, submission: Submission) -> str:
        """Why nothing of a file could be graded; empty when something can."""
        if loaded.died is not None:
            return lines(("problem", self._death(loaded.died, "The file", hidden=False, loading=True)))
        if not loaded.failures:
            return ""
        if len(submission.cells) == 1 and submission.cells[0].number is None:
            return self._failed_loading(*loaded.failures[0], submission)
        wanted = set(self.exercise.blanked)
        return "" if wanted & set(loaded.names) else self.notes(loaded, submission)

    def notes(self, loaded: Any, submission: Submission) -> str:
        """What a learner should know beside the checks: cells of a notebook that failed."""
        return "\n".join(self._failed_loading(label, raised, submission) for label, raised in loaded.failures)

    def _failed_loading(self, label: str, raised: Raised, submission: Submission) -> str:
        if raised.forbidden:
            return lines(("problem", self._forbidden(raised)), ("where", self._place(raised, submission)))
        if raised.is_a("SyntaxError"):
            return lines(
                ("problem", f"{label} is not valid Python: {raised.message}"), ("where", self._place(raised, submission))
            )
        said = self._what_happened(raised, "loading", hidden=False)
        return lines(("problem", f"{label} stops while it is loaded. {said}"), ("where", self._place(raised, submission)))

    # ------------------------------------------------------------ one check

    def mismatch(self, finding: Finding, hidden: bool, ideas: Sequence[str]) -> str:
        """For an answer that is not what it should be."""
        rows: list[tuple[str, str]] = []
        if "asked" in finding.notes and not hidden:
            rows.append(("asked", finding.notes["asked"]))
        elif finding.call is not None:
            rows.append(("asked", self.asked(finding.call, hidden)))
        rows += _found(finding, hidden)
        return lines(*rows, *self._looks_like(ideas))

    def failure(self, failure: StudentFailure, hidden: bool, loaded: Any, ideas: Sequence[str]) -> str:
        """For a call that gave no answer."""
        call, outcome = failure.call, failure.outcome
        if isinstance(outcome, Died):
            return lines(("asked", self.asked(call, hidden)), ("problem", self._death(outcome, call.name, hidden)))
        if outcome.is_a("NotImplementedError"):
            return lines(("to do", f"{_where_unwritten(outcome, call)} is not written yet."))
        if not outcome.frames and outcome.is_a("AttributeError") and not call.target and call.name not in loaded.names:
            return lines(("problem", self._missing(call.name, loaded.names)))
        rows = [("asked", self.asked(call, hidden))]
        if not outcome.frames and outcome.is_a("TypeError"):
            rows.append(("problem", self._signature(call, outcome, hidden)))
        else:
            rows.append(("problem", self._what_happened(outcome, call.name, hidden)))
            if outcome.frames:
                rows.append(("where", self._place(outcome, None)))
        return lines(*rows, *self._looks_like(ideas))

    def asked(self, call: Call, hidden: bool) -> str:
        """A call with the names of its arguments, and what they are."""
        names = self.parameters.get(call.name, [])
        shown, details = [], []
        for position, value in enumerate(call.args):
            name = names[position] if position < len(names) else ""
            text, detail = _argument(name, value, hidden)
            shown.append(text)
            details += detail
        for name, value in call.kwargs.items():
            text, detail = _argument(name, value, hidden)
            shown.append(text if text == name else f"{name}={text}")
            details += detail
        function = call.name if call.kind == "call" else f"{call.kind} {call.name}"
        return "   ".join([f"{function}({', '.join(shown)})", "  ".join(details)]).rstrip()

    def _looks_like(self, ideas: Sequence[str]) -> list[tuple[str, str]]:
        known = [self.ideas[name] for name in ideas if name in self.ideas]
        label = "another" if known and all(idea.convention for idea in known) else "looks like"
        rows = []
        for number, idea in enumerate(known):
            text = f"convention: {idea.says}" if label == "another" else idea.says
            rows.append((label if number == 0 else "and", text))
        return rows

    # ------------------------------------------------------------ what went wrong

    def _missing(self, name: str, names: Iterable[str]) -> str:
        own = [candidate for candidate in names if candidate not in self.exercise.blanked]
        close = difflib.get_close_matches(name, own, n=1, cutoff=0.6)
        hint = f" Did you mean to call {close[0]} so?" if close else ""
        return f"There is no function {name} in the file.{hint}"

    def _signature(self, call: Call, outcome: Raised, hidden: bool) -> str:
        wanted = ", ".join(self.parameters.get(call.name, []))
        said = "" if hidden else f" ({outcome.message})"
        return f"{call.name} does not take these arguments{said}. Its parameters are: {wanted}."

    def _what_happened(self, raised: Raised, name: str, hidden: bool) -> str:
        limits = self.exercise.limits
        if raised.forbidden:
            return self._forbidden(raised)
        if raised.is_a("RecursionError"):
            return f"RecursionError: {name} calls itself without an end."
        if raised.is_a("MemoryError"):
            return f"MemoryError: {name} needs more than the {limits.memory_mb} MB that it may use."
        if raised.is_a("EOFError"):
            return "EOFError: it waits for something to be typed, and nobody types while it is graded."
        if raised.is_a("SystemExit"):
            return "SystemExit: it ends the program (exit, quit or sys.exit) instead of returning."
        kind = raised.type if not hidden or hasattr(builtins, raised.type) else (raised.bases or ("Exception",))[0]
        outside = raised.is_a("OSError")
        note = " Files, network and other processes are out of reach while it is graded." if outside else ""
        if hidden or not raised.message:
            return f"{kind}.{note}" if note else kind
        return f"{kind}: {raised.message}{'.' if note and not raised.message.endswith('.') else ''}{note}"

    def _forbidden(self, raised: Raised) -> str:
        allowed = ", ".join(name for name in self.exercise.allowed_imports if not name.startswith("__"))
        return f"{raised.forbidden} may not be imported in this exercise. Allowed are: {allowed}."

    def _death(self, died: Died, what: str, hidden: bool, loading: bool = False) -> str:
        limits = self.exercise.limits
        if died.reason == "timeout" and died.detail == "total":
            return f"Not run: the whole file may take {limits.total_seconds:g} seconds, and they are spent."
        if died.reason == "timeout":
            seconds = limits.load_seconds if loading else limits.call_seconds
            doing = "is still loading" if loading else "gave no answer"
            return f"{what} {doing} after {seconds:g} seconds. Look for a loop that does not end."
        if died.reason == "garbled":
            return f"{what} sent something that is not an answer{'' if hidden else f' ({died.detail})'}."
        if died.reason == "killed" and died.detail in ("SIGSEGV", "SIGABRT", "SIGBUS"):
            return f"{what} crashed Python ({died.detail}): memory or recursion ran out in compiled code."
        if died.reason == "killed":
            return f"{what} was killed ({died.detail}) before it answered."
        return f"{what} ended the process before it answered."

    def _place(self, raised: Raised, submission: Submission | None) -> str:
        if not raised.frames:
            return ""
        label, line, function = raised.frames[-1]
        inside = "" if function == "<module>" else f" in {function}"
        text = f"{label}, line {line}{inside}"
        source = _source_line(label, line, submission)
        return f"{text}: {source}" if source else text


def lines(*rows: tuple[str, str]) -> str:
    """Labelled lines; a text with line breaks goes on below itself."""
    out = []
    for label, text in rows:
        if text:
            first, *rest = text.split("\n")
            out.append(f"{label:<{LABEL}}{first}".rstrip())
            out += [(" " * LABEL + line).rstrip() for line in rest]
    return "\n".join(out)


def _where_unwritten(outcome: Raised, call: Call) -> str:
    function = outcome.frames[-1][2] if outcome.frames else call.name
    return function if function == call.name else f"{function}, which {call.name} uses,"


def _source_line(label: str, line: int, submission: Submission | None) -> str:
    if submission is None:
        return ""
    for cell in submission.cells:
        if cell.number is None or label.endswith(f"cell {cell.number}"):
            found = cell.source.split("\n")[line - 1 : line]
            return found[0].strip()[:WIDTH] if found else ""
    return ""


# ---------------------------------------------------------------- findings in words


def _found(finding: Finding, hidden: bool) -> list[tuple[str, str]]:
    where = f"{finding.where}: " if finding.where else ""
    if finding.kind in ("value", "nan") and isinstance(finding.expected, np.ndarray):
        return _numbers(finding, where, hidden)
    if finding.kind == "value":
        return [("expected", where + _short(finding.expected, hidden)), ("got", _short(finding.got, hidden))]
    if finding.kind == "shape":
        return _shapes(finding, where, hidden)
    if finding.kind == "dtype":
        got = np.asarray(finding.got).dtype
        return [("expected", f"{where}dtype {finding.expected.dtype}"), ("got", f"dtype {got}")]
    if finding.kind == "type":
        return [("expected", where + _kind_of(finding.expected)), ("got", _type_name(finding.got, hidden))]
    if finding.kind == "keys":
        return _keys(finding, where, hidden)
    if finding.kind == "raised":
        said = finding.got.type if hasattr(builtins, finding.got.type) else "another exception"
        text = said if hidden or not finding.got.message else f"{said}: {finding.got.message}"
        return [("expected", f"{finding.expected} is raised"), ("got", text)]
    if finding.kind == "did_not_raise":
        return [("expected", f"{finding.expected} is raised"), ("got", f"an answer ({_type_name(finding.got, hidden)})")]
    if finding.kind == "changed":
        return [("expected", f"{finding.notes['what']} is left as it was"), ("got", "the call wrote into it")]
    if hidden:
        return [("expected", "another answer")]
    return [("expected", finding.notes["expected"]), ("got", _cut(finding.notes["got"]))]


def _cut(text: str) -> str:
    return text if len(text) <= 4 * WIDTH else text[: 4 * WIDTH - 1] + "…"


def _numbers(finding: Finding, where: str, hidden: bool) -> list[tuple[str, str]]:
    pattern = name_pattern(finding.got, finding.expected, finding.tolerance)
    how_many = _how_many(finding, hidden)
    if hidden:
        if any(character.isdigit() for character in pattern.partition("axis")[0]):
            pattern = "off by one constant everywhere"
        rows = [("expected", f"{where}other numbers (hidden check: they are not shown)"), ("differs", how_many)]
        return rows + ([("pattern", pattern)] if pattern else [])
    index = finding.index or ()
    expected, got = _rows_at(finding.expected, finding.got, index)
    at = f"   at [{', '.join(map(str, index[:-1]))}]" if len(index) > 1 else ""
    rows = [("expected", f"{where}{expected}{at}"), ("got", f"{got}   {how_many}")]
    drawn = _maps(finding.expected, finding.got, index)
    if drawn:
        rows.append(("picture", drawn))
    if pattern:
        rows.append(("pattern", pattern))
    return rows


def _how_many(finding: Finding, hidden: bool) -> str:
    if hidden:
        share = finding.wrong / max(finding.size, 1)
        return "everywhere" if share == 1 else "in most places" if share > 0.5 else "in some places"
    if finding.size == 1:
        return ""
    numbers = f"{finding.wrong} of {finding.size} numbers differ"
    if finding.got.dtype.kind == "b" or not np.isfinite(finding.worst):
        return numbers
    return f"{numbers}, by up to {finding.worst:.2g}"


def _rows_at(expected: np.ndarray, got: np.ndarray, index: tuple[int, ...]) -> tuple[str, str]:
    """The row of the first wrong element in both arrays, cut to a few numbers around it, aligned."""
    if not index:
        return _digits([expected.item()], [got.item()])
    mine, theirs = got[index[:-1]], expected[index[:-1]]
    start = min(max(index[-1] - ROW + 2, 0), max(len(theirs) - ROW, 0))
    piece = slice(start, start + ROW)
    ahead, behind = "… " if start else "", " …" if start + ROW < len(theirs) else ""
    one, two = _digits(theirs[piece].tolist(), mine[piece].tolist())
    return f"{ahead}{one}{behind}", f"{ahead}{two}{behind}"


def _digits(expected: list[Any], got: list[Any]) -> tuple[str, str]:
    """Two lists of numbers in columns, with as many digits as it takes to see the difference."""
    for digits in (4, 6, 9, 12, 17):
        one = [_number(value, digits) for value in expected]
        two = [_number(value, digits) for value in got]
        if one != two:
            break
    widths = [max(len(a), len(b)) for a, b in zip(one, two, strict=True)]
    pairs = [[text.rjust(width) for text, width in zip(row, widths, strict=True)] for row in (one, two)]
    return " ".join(pairs[0]), " ".join(pairs[1])


def _number(value: Any, digits: int) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, complex):
        return f"{value:.{digits}g}"
    magnitude = abs(value)
    return f"{value:.{digits}f}" if 1e-3 <= magnitude < 1e4 or value == 0 else f"{value:.{digits}g}"


def _maps(expected: np.ndarray, got: np.ndarray, index: tuple[int, ...]) -> str:
    """Two small maps side by side, for matrices of weights or truth values up to 8 × 8."""
    if expected.ndim < 2 or max(expected.shape[-2:]) > MAP_SIDE or min(expected.shape[-2:]) < 2:
        return ""
    one, two = expected[index[:-2]].astype(float), got[index[:-2]].astype(float)
    if not (np.isfinite(one).all() and one.min() >= 0 and one.max() <= 1):
        return ""
    left = ["expected", *_shaded(one)]
    right = ["got", *_shaded(two)]
    width = max(map(len, left)) + 4
    return "\n".join(f"{a:<{width}}{b}".rstrip() for a, b in zip(left, right, strict=True))


def _shaded(matrix: np.ndarray) -> list[str]:
    rows = []
    for row in matrix:
        cells = ["?" if not np.isfinite(x) else SHADES[int(np.clip(np.ceil(x * 4), 0, 4))] for x in row]
        rows.append("│" + "".join(cell * 2 for cell in cells) + "│")
    return rows


def _shapes(finding: Finding, where: str, hidden: bool) -> list[tuple[str, str]]:
    expected, got = np.asarray(finding.expected), np.asarray(finding.got)
    rows = [("expected", f"{where}shape {expected.shape}")]
    # A shape made for it could carry a hidden number to the outside: in a hidden check, only one close to the right one is told.
    safe = not hidden or _is_near(got.shape, expected.shape, {1, *expected.shape, *_sizes(finding.call)})
    rows.append(("got", f"shape {got.shape}" if safe else "another shape"))
    pattern = name_pattern(got, expected, finding.tolerance) if not hidden else ""
    return rows + ([("pattern", pattern)] if pattern else [])


def _is_near(got: tuple[int, ...], expected: tuple[int, ...], known: set[int]) -> bool:
    """The same sizes in another order, or one size of the question in place of another, or one axis too many or too few."""
    if len(got) == len(expected):
        changed = sum(mine != theirs for mine, theirs in zip(got, expected, strict=True))
        return sorted(got) == sorted(expected) or (changed == 1 and known.issuperset(got))
    longer, shorter = sorted((got, expected), key=len, reverse=True)
    without_one = [longer[:axis] + longer[axis + 1 :] for axis in range(len(longer))]
    return len(longer) == len(shorter) + 1 and shorter in without_one and known.issuperset(got)


def _sizes(call: Call | None) -> set[int]:
    values = [*call.args, *call.kwargs.values()] if call else []
    return {size for value in values if isinstance(value, np.ndarray) for size in value.shape}


def _keys(finding: Finding, where: str, hidden: bool) -> list[tuple[str, str]]:
    if isinstance(finding.expected, dict):
        missing = [str(key) for key in finding.expected if key not in finding.got]
        extra = len([key for key in finding.got if key not in finding.expected])
        text = f"without {', '.join(missing)}" if missing else "with more" if hidden else f"with {extra} more"
        return [("expected", f"{where}a dict with the keys {', '.join(map(str, finding.expected))}"), ("got", f"one {text}")]
    count = "another number" if hidden else str(len(finding.got))
    return [("expected", f"{where}{len(finding.expected)} items"), ("got", f"{count} items" if not hidden else count)]


def _kind_of(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.ndim:
        return f"a numpy array of shape {value.shape}, dtype {value.dtype}"
    if isinstance(value, (bool, np.bool_)):
        return "a bool"
    if isinstance(value, (int, float, np.number, np.ndarray)):
        return "a number"
    return f"a {type(value).__name__}"


def _type_name(value: Any, hidden: bool) -> str:
    if isinstance(value, np.ndarray):
        return f"a numpy array of dtype {value.dtype}" if hidden else f"a numpy array of shape {value.shape}"
    handle = getattr(value, "_handle", value)
    name = handle.type_name if isinstance(handle, Handle) else type(value).__name__
    if value is None:
        return "None (is there a return?)"
    if hidden and name not in PLAIN_TYPES:
        return "an object of another type"
    return f"an object of type {name}" if isinstance(handle, Handle) else f"a {name}"


def _argument(name: str, value: Any, hidden: bool) -> tuple[str, list[str]]:
    """How an argument stands in the call, and what is said about it behind the call."""
    if isinstance(value, np.ndarray) and value.ndim:
        label = name or "array"
        small = value.size <= 6 and value.ndim == 1 and not hidden
        numbers = f" = {_short(value, hidden)}" if small else ""
        return label, [f"{label} {'×'.join(map(str, value.shape)) or 'scalar'} {value.dtype}{numbers}"]
    return _short(value, hidden), []


def _short(value: Any, hidden: bool) -> str:
    if hidden and value is not None and not isinstance(value, (bool, np.bool_)):
        return "…"
    if isinstance(value, np.ndarray):
        return np.array2string(value, precision=4, threshold=8, max_line_width=WIDTH * 2)
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else text[:57] + "…"
