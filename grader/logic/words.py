"""All text that a learner reads about a submission.

A message is a few lines, each with a label of ten characters. While a check is hidden, nothing that the submission
computed, printed or said is repeated: no numbers, no messages of exceptions, no names but those of built-in types and
those that stand in its source. What a worker tells (frames, types, names) counts as said by the submission.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from grader.logic import signatures
from grader.logic.asserting import StudentFailure
from grader.logic.judge import Finding, as_array
from grader.logic.patterns import name_pattern
from grader.logic.tensors import Tensor, dtype_name
from grader.logic.wire import Handle
from grader.model.types import Call, Cell, Died, Exercise, Raised, Submission

WIDTH = 80
LABEL = 11
ROOM = WIDTH - 6 - LABEL  # beside the label, where a screen indents messages by 6
ROW = 6
SMALL = 6
FRAMES = 3
MAP_SIDE = 8
MOST_NAMES = 1000  # to look through for one that is nearly right
SHADES = " ░▒▓█"
PLAIN_TYPES = {
    "NoneType", "bool", "int", "float", "complex", "str", "bytes", "list", "tuple", "dict", "ndarray",
    "set", "frozenset", "generator", "function", "method", "map", "zip", "range", "matrix", "MaskedArray",
}  # fmt: skip
ARRAYS = (np.ndarray, Tensor)
OF_MODULES = {
    "weights": "the weights of {}, by name",
    "set_weights": "{} with these weights, by name",
    "count": "how many weights {} trains",
    "cast": "{} in another dtype",
}
FORWARD = re.compile(r'Module \[(\w+)\] is missing the required "forward" function')  # so PyTorch
PHRASES = {"gradients": "gradients of {}", "get": "the attribute {}", "set": "to set {}"}
Rows = list[tuple[str, str]]


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
        if loaded.failures and not _is_notebook(submission):
            return self._failed_loading(*loaded.failures[0], submission)
        wanted = list(dict.fromkeys(name.split(".")[0] for name in self.exercise.blanked))
        if set(wanted) & set(loaded.names):
            return ""
        return "\n".join(filter(None, [self._nothing_wanted(wanted, submission), self._failures(loaded, submission)]))

    def notes(self, loaded: Any, submission: Submission) -> str:
        """What a learner should know beside the checks: cells of a notebook that failed."""
        if not loaded.failures:
            return ""
        said = lines(("", "What the other cells define is graded all the same."))
        return f"{self._failures(loaded, submission)}\n{said}"

    def _failures(self, loaded: Any, submission: Submission) -> str:
        return "\n".join(self._failed_loading(label, raised, submission) for label, raised in loaded.failures)

    def _nothing_wanted(self, wanted: list[str], submission: Submission) -> str:
        what = "notebook" if _is_notebook(submission) else "file"
        some = ", ".join(wanted[:3]) + (", …" if len(wanted) > 3 else "")
        said = f"The {what} defines none of this exercise's functions ({some}). Is it the one you meant to hand in?"
        return lines(("problem", said))

    def _failed_loading(self, label: str, raised: Raised, submission: Submission) -> str:
        where = ("where", self._place(raised, submission, hidden=False))
        if raised.forbidden:
            return lines(("problem", self._forbidden(raised, submission, hidden=False)), where)
        if raised.is_a("SyntaxError"):
            return lines(("problem", f"{label} is not valid Python: {raised.message}."), where)
        said = self._what_happened(raised, "the file", submission, hidden=False)
        return lines(("problem", f"{label} stops while it is loaded. {said}"), where)

    # ------------------------------------------------------------ one check

    def mismatch(
        self, finding: Finding, hidden: bool, ideas: Sequence[str], submission: Submission | None = None
    ) -> str:
        """For an answer that is not what it should be."""
        rows: Rows = []
        if "asked" in finding.notes and not hidden:
            rows.append(("asked", finding.notes["asked"]))
        elif finding.call is not None:
            rows.append(("asked", self.asked(finding.call, hidden)))
        rows.append(("in", self._part(finding)))
        looks_like = self._looks_like(ideas)
        rows += _found(finding, hidden, is_explained=bool(looks_like))
        if finding.kind == "raised":
            rows.append(("where", self._place(finding.got, submission, hidden)))
        return lines(*rows, *looks_like)

    def failure(
        self,
        failure: StudentFailure,
        hidden: bool,
        loaded: Any,
        ideas: Sequence[str],
        submission: Submission | None = None,
    ) -> str:
        """For a call that gave no answer."""
        call, outcome = failure.call, failure.outcome
        if isinstance(outcome, Died):
            return lines(("asked", self.asked(call, hidden)), ("problem", self._death(outcome, call.function, hidden)))
        if outcome.is_unwritten:
            return lines(("to do", f"{self._unwritten(outcome, call, hidden)} is not written yet."))
        wanted = next((name for name in signatures.used_by(call) if name not in loaded.names), "")
        if not outcome.frames and outcome.is_a("AttributeError") and wanted:
            return lines(("problem", self._missing(wanted, loaded.names)))
        rows = [("asked", self.asked(call, hidden))]
        if not outcome.frames and outcome.is_a("TypeError") and "argument" in outcome.message:
            rows += self._signature(call, outcome, submission, hidden)
        else:
            rows.append(("problem", self._what_happened(outcome, call.function, submission, hidden)))
            rows.append(("where", self._place(outcome, submission, hidden)))
        return lines(*rows, *self._looks_like(ideas))

    def unjudged(self, ideas: Sequence[str]) -> str:
        """For an answer that a check stumbles over."""
        problem = "The answer is of a kind that this check cannot judge."
        return lines(("problem", problem), *self._looks_like(ideas))

    def asked(self, call: Call, hidden: bool) -> str:
        """A call with the names of its arguments, and what they are: shapes, and the numbers where they are few."""
        if call.kind in OF_MODULES:
            return OF_MODULES[call.kind].format(call.made_by)
        names = signatures.of_call(call, self.parameters)
        args = call.args[1:] if call.kind == "gradients" else call.args  # the first is not handed on
        given = [(names[at] if at < len(names) else "", value, False) for at, value in enumerate(args)]
        given += [(name, value, True) for name, value in call.kwargs.items()]
        shown: list[str] = []
        large: list[tuple[str, Any]] = []
        small: list[str] = []
        for name, value, by_keyword in given:
            if isinstance(value, ARRAYS) and value.ndim:
                label = name or ("tensor" if isinstance(value, Tensor) else "array")
                shown.append(f"{label}={label}" if by_keyword else label)
                if not hidden and 0 < value.size <= SMALL:
                    small.append(f"  {label} = {_listed(value)}")
                else:
                    large.append((label, value))
            elif hidden and name and not by_keyword and not _is_open(value):
                shown.append(name)
            else:
                text = _short(value, hidden)
                shown.append(f"{name}={text}" if name and (by_keyword or _is_scalar(value)) else text)
        arguments = {"get": "", "set": f" to {', '.join(shown)}"}.get(call.kind, f"({', '.join(shown)})")
        asked = PHRASES.get(call.kind, "{}").format(f"{call.function}{arguments}")
        first = "   ".join([asked, *_shapes_of(large)])
        return "\n".join([first, *small])

    def _part(self, finding: Finding) -> str:
        """Which part of a result of several: its key, or its name in the docstring."""
        names = self._results.get(finding.call.function, []) if finding.call else []
        words = []
        for number, step in enumerate(re.findall(r"\[('[^']*'|\d+)\]", finding.where)):
            if not step.isdigit():
                words.append(step.strip("'"))
            elif number == 0 and int(step) < len(names):
                words.append(f"{names[int(step)]}, result {int(step) + 1} of {len(names)}")
            else:
                words.append(f"result {int(step) + 1}")
        return ", ".join(words)

    def _looks_like(self, ideas: Sequence[str]) -> Rows:
        rows = []
        for number, idea in enumerate(self.ideas[name] for name in ideas if name in self.ideas):
            text = ("another convention: " if idea.convention else "") + begun_small(idea.says)
            rows.append(("looks like" if number == 0 else "and", text))
        return rows

    # ------------------------------------------------------------ what the stub says

    @cached_property
    def _functions(self) -> dict[str, ast.FunctionDef]:
        return dict(signatures.functions_of(self.stub))

    @cached_property
    def _results(self) -> dict[str, list[str]]:
        """The names of several results, of functions whose docstring lists them in brackets in its first paragraph."""
        found = {}
        for name, node in self._functions.items():
            listed = re.search(r"\((\w+(?:, \w+)+)\)", (ast.get_docstring(node) or "").split("\n\n")[0])
            if listed:
                found[name] = listed[1].split(", ")
        return found

    def _wanted_signature(self, name: str) -> str:
        node = self._functions.get(name)
        return _signature_of(node) if node else f"{name}({', '.join(self.parameters.get(name, []))})"

    # ------------------------------------------------------------ what went wrong

    def _missing(self, name: str, names: Iterable[str]) -> str:
        own = [candidate for candidate in names if candidate not in self.parameters][:MOST_NAMES]
        close = difflib.get_close_matches(name, own, n=1, cutoff=0.7)
        what = "class" if any(known.startswith(f"{name}.") for known in self._functions) else "function"
        if close:
            return f"There is no {what} {name} in the file, but there is {close[0]}. Did you mean that one?"
        return f"There is no {what} {name} in the file."

    def _signature(self, call: Call, outcome: Raised, submission: Submission | None, hidden: bool) -> Rows:
        name = f"{call.function}.__init__" if f"{call.function}.__init__" in self._functions else call.function
        said = f"{call.function} does not take these arguments." if hidden else f"TypeError: {outcome.message}."
        rows = [("problem", said), ("expected", f"def {self._wanted_signature(name)}")]
        own = _own_signature(name, submission)
        return [*rows, ("got", f"def {own}")] if own else rows

    def _what_happened(self, raised: Raised, name: str, submission: Submission | None, hidden: bool) -> str:
        limits = self.exercise.limits
        if raised.forbidden:
            return self._forbidden(raised, submission, hidden)
        if raised.refused:
            what = f"PyTorch's own kernels {raised.refused}" if "::" in raised.refused else raised.refused
            return f"{what} may not be called in this exercise: it is the part to write yourself."
        if raised.is_a("RecursionError"):
            return f"RecursionError: {name} calls itself without an end. Which call should be the last?"
        if raised.is_a("MemoryError"):
            return f"MemoryError: {name} needs more than the {limits.memory_mb} MB that it may use."
        if raised.is_a("EOFError"):
            return "EOFError: it waits for something to be typed, and nobody types while it is graded."
        if raised.is_a("SystemExit"):
            return "SystemExit: it ends the program (exit, quit or sys.exit) instead of returning."
        outside = raised.is_a("OSError")
        note = " Files, network and other processes are out of reach while it is graded." if outside else ""
        if hidden:
            return f"{_open_type(raised)}. Hidden checks do not show its message.{note}"
        if not raised.message:
            return f"{raised.type}.{note}" if note else raised.type
        return f"{raised.type}: {raised.message}{'.' if note and not raised.message.endswith('.') else ''}{note}"

    def _forbidden(self, raised: Raised, submission: Submission | None, hidden: bool) -> str:
        known = not hidden or (submission is not None and raised.forbidden in submission.source)
        module = raised.forbidden if known else "That module"
        allowed = ", ".join(name for name in self.exercise.allowed_imports if not name.startswith("__"))
        return f"{module} may not be imported in this exercise. Allowed are: {allowed}."

    def _death(self, died: Died, what: str, hidden: bool, loading: bool = False) -> str:
        limits = self.exercise.limits
        if died.reason == "timeout" and died.detail == "total":
            return f"Not run: the whole file may take {_seconds(limits.total_seconds)}, and they are spent."
        if died.reason == "timeout" and died.detail == "deaths":
            return "Not run: too many functions have hung or ended their process before this one."
        if died.reason == "timeout" and loading:
            spent = _seconds(limits.load_seconds)
            return f"The file is still loading after {spent}. Look for a loop that does not end."
        if died.reason == "timeout":
            spent = _seconds(limits.call_seconds)
            return f"{what} gave no answer in {spent}. Look for a loop that does not end, here or in what it calls."
        if died.reason == "garbled":
            return f"{what} sent something that is not an answer{'' if hidden else f' ({died.detail})'}."
        when = "while it was loaded" if loading else "before it answered"
        if died.reason != "killed":
            return f"{what} ended its process {when}, as os._exit does."
        if hidden:
            return f"{what} was killed {when}."
        if died.detail in ("SIGSEGV", "SIGABRT", "SIGBUS"):
            return f"{what} crashed Python ({died.detail}): memory or recursion ran out in compiled code."
        return f"{what} was killed ({died.detail}) {when}."

    def _unwritten(self, outcome: Raised, call: Call, hidden: bool) -> str:
        without = FORWARD.match(outcome.message)
        if without and f"{without[1]}.forward" in self._functions:
            return f"{without[1]}.forward"
        function = outcome.frames[-1][2] if outcome.frames else call.name
        own = {call.name, call.function.rpartition(".")[2], "<module>", "__init__"}
        if function in own or (hidden and function not in self.parameters):
            return call.function
        return f"{function}, which {call.function} uses,"

    def _place(self, raised: Raised, submission: Submission | None, hidden: bool) -> str:
        """The lines of the submission that led to an exception, the last one first; for a hidden check, that alone."""
        frames = _frames(raised)
        if not frames:
            return ""
        if hidden:
            return _hidden_place(*frames[-1], submission)
        out: list[str] = []
        for number, (label, line, function) in enumerate(reversed(frames[-FRAMES:])):
            place = f"{label}, line {line}" if number == 0 else f"called from line {line}"
            out.append(place if function.startswith("<") else f"{place}, in {function}")
            out.append(_source_line(_cell_of(label, submission), line))
        return "\n".join(filter(None, out))


def lines(*rows: tuple[str, str]) -> str:
    """Labelled lines; a text with line breaks goes on below itself, an empty one is left out."""
    out = []
    for label, text in rows:
        if text:
            first, *rest = text.split("\n")
            out.append(f"{label:<{LABEL}}{first}".rstrip())
            out += [(" " * LABEL + line).rstrip() for line in rest]
    return "\n".join(out)


def begun_small(sentence: str) -> str:
    """A sentence as it goes on after "looks like": its first letter small, but for names and Python's own words."""
    first = sentence.split(" ", 1)[0]
    if first in ("True", "False", "None") or not first.isalpha() or not (first[1:].islower() or first == "A"):
        return sentence
    return sentence[0].lower() + sentence[1:]


def _seconds(count: float) -> str:
    return f"{count:g} second{'' if count == 1 else 's'}"


# ---------------------------------------------------------------- places in a submission


def _is_notebook(submission: Submission) -> bool:
    return any(cell.number is not None for cell in submission.cells)


def _frames(raised: Raised) -> list[tuple[str, int, str]]:
    """The frames, each once; those of comprehensions count as their function's, as they do from Python 3.12 on."""
    out: list[tuple[str, int, str]] = []
    for label, line, function in raised.frames:
        if out and function.startswith("<") and function != "<module>":
            label, _, function = out.pop()
        out.append((label, line, function))
    return list(dict.fromkeys(out))


def _cell_of(label: str, submission: Submission | None) -> Cell | None:
    for cell in submission.cells if submission else ():
        if cell.number is None or label.endswith(f"cell {cell.number}"):
            return cell
    return None


def _source_line(cell: Cell | None, line: int) -> str:
    """One line of the source, indented, cut to what fits."""
    found = cell.source.split("\n")[line - 1 : line] if cell and line > 0 else []
    text = found[0].strip() if found else ""
    return "  " + (text if len(text) <= ROOM - 2 else text[: ROOM - 3] + "…") if text else ""


def _hidden_place(label: str, line: int, function: str, submission: Submission | None) -> str:
    """The same for a hidden check: nothing but a line that exists, in a function that stands in the source."""
    cell = _cell_of(label, submission)
    if cell is None or not 0 < line <= cell.source.count("\n") + 1:
        return ""
    place = f"line {line}" if cell.number is None else f"cell {cell.number}, line {line}"
    known = function.isidentifier() and re.search(rf"\bdef {re.escape(function)}\b", cell.source)
    return "\n".join(filter(None, [f"{place}, in {function}" if known else place, _source_line(cell, line)]))


def _own_signature(name: str, submission: Submission | None) -> str:
    """The signature in a submission's last definition of a function; empty where there is none."""
    for cell in reversed(submission.cells if submission else ()):
        try:
            functions = list(signatures.functions_of(cell.source))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        found = [node for known, node in functions if known == name]
        if found:
            try:
                text = _signature_of(found[-1])
            except RecursionError:  # a default value that is nested too deep
                return ""
            return text if len(text) <= 2 * ROOM else ""
    return ""


def _signature_of(function: ast.FunctionDef) -> str:
    """A function's name and parameters with their defaults, without annotations."""

    def bare(argument: ast.arg) -> ast.arg:
        return ast.arg(argument.arg)

    given = function.args
    plain = ast.arguments(
        posonlyargs=[bare(argument) for argument in given.posonlyargs],
        args=[bare(argument) for argument in given.args],
        vararg=bare(given.vararg) if given.vararg else None,
        kwonlyargs=[bare(argument) for argument in given.kwonlyargs],
        kw_defaults=given.kw_defaults,
        kwarg=bare(given.kwarg) if given.kwarg else None,
        defaults=given.defaults,
    )
    return f"{function.name}({ast.unparse(plain)})"


def _open_type(raised: Raised) -> str:
    """The exception's type where it is a built-in one, else the nearest built-in one that it is derived from."""
    for name in (raised.type, *raised.bases):
        kind = getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, BaseException):
            return name
    return "Exception"


# ---------------------------------------------------------------- findings in words


def _found(finding: Finding, hidden: bool, is_explained: bool) -> Rows:
    """What was found; without patterns where an idea explains it, which says more."""
    kind = finding.kind
    if kind in ("value", "nan") and isinstance(finding.expected, np.ndarray):
        return _hidden_numbers(finding, is_explained) if hidden else _numbers(finding, is_explained)
    if kind == "claim" and hidden and finding.call is not None and finding.call.kind == "cost":
        return [("problem", "What that costs, in time or in memory, is not what is expected.")]
    if kind in ("value", "claim") and hidden:
        return [("problem", "It is another answer that is expected. Hidden checks do not show which.")]
    if kind == "value":
        return [("expected", _short(finding.expected, hidden)), ("got", _short(finding.got, hidden))]
    if kind == "shape":
        return _shapes(finding, hidden, is_explained)
    if kind == "dtype":
        return [("expected", f"dtype {finding.expected}"), ("got", f"dtype {finding.got}")]
    if kind == "type":
        expected = _kind_of(finding.expected, hidden, finding.notes.get("dtype", ""))
        return [("expected", expected), ("got", _type_name(finding.got, hidden))]
    if kind == "keys":
        return _keys(finding, hidden)
    if kind == "raised":
        said = _open_type(finding.got) if hidden else finding.got.type
        text = said if hidden or not finding.got.message else f"{said}: {finding.got.message}"
        return [("expected", f"{finding.expected} is raised"), ("got", text)]
    if kind == "did_not_raise":
        return [("expected", f"{finding.expected} is raised"), ("got", f"an answer, {_type_name(finding.got, hidden)}")]
    if kind == "changed":
        what = finding.notes["what"]
        return [("problem", f"The call wrote into its argument {what}: the caller finds other numbers in it.")]
    return [("expected", finding.notes["expected"]), ("got", _cut(finding.notes["got"]))]


def _cut(text: str) -> str:
    return text if len(text) <= 4 * WIDTH else text[: 4 * WIDTH - 1] + "…"


def _hidden_numbers(finding: Finding, is_explained: bool) -> Rows:
    what, whats = ("entry", "entries") if finding.expected.dtype.kind == "b" else ("number", "numbers")
    share = finding.wrong / max(finding.size, 1)
    which = f"{'All' if share == 1 else 'Most' if share > 0.5 else 'Some'} {whats} are"
    nan = ", and NaN is among them" if finding.kind == "nan" else ""
    said = f"{which} wrong{nan}. Hidden checks do not show them."
    if finding.size == 1:
        said = f"The {what} is wrong. Hidden checks do not show it."
    return [("problem", said), ("pattern", _pattern(finding, is_explained, numbers=False))]


def _numbers(finding: Finding, is_explained: bool) -> Rows:
    index = finding.index or ()
    expected, got, pointer = _rows_at(finding.expected, finding.got, index)
    return [
        ("expected", expected),
        ("got", f"{got}\n{pointer}".rstrip()),
        ("differs", _how_far(finding)),
        ("picture", _maps(finding.expected, finding.got, index)),
        ("pattern", _pattern(finding, is_explained)),
    ]


def _pattern(finding: Finding, is_explained: bool, numbers: bool = True) -> str:
    return "" if is_explained else name_pattern(finding.got, finding.expected, finding.tolerance, numbers)


def _how_far(finding: Finding) -> str:
    far = finding.got.dtype.kind != "b" and np.isfinite(finding.worst) and finding.worst > 0
    if finding.size == 1:
        return f"by {finding.worst:.2g}" if far else ""
    what = "entries" if finding.expected.dtype.kind == "b" else "numbers"
    text = f"{finding.wrong} of {finding.size} {what}" + (f", by up to {finding.worst:.2g}" if far else "")
    return f"{text}, first at [{', '.join(map(str, finding.index or ()))}]"


def _rows_at(expected: np.ndarray, got: np.ndarray, index: tuple[int, ...]) -> tuple[str, str, str]:
    """The row of the first wrong element in both arrays, cut to what fits around it, aligned, and what points at it."""
    if not index:
        (one,), (two,) = _columns([expected.item()], [got.item()])
        return one.strip(), two.strip(), ""
    theirs, mine, wrong = expected[index[:-1]], got[index[:-1]], index[-1]
    for count in range(min(ROW, len(theirs)), 0, -1):
        start = min(max(wrong - count + 2, 0), len(theirs) - count, wrong)
        one, two = _columns(theirs[start : start + count].tolist(), mine[start : start + count].tolist())
        ahead, behind = "…  " if start else "", "  …" if start + count < len(theirs) else ""
        if len(ahead + "  ".join(one) + behind) <= ROOM:
            break
    before = ahead + "".join(text + "  " for text in two[: wrong - start])
    column = two[wrong - start]
    width = len(column.strip())
    pointer = " " * (len(before) + len(column) - width) + "^" * width if len(theirs) > 1 else ""
    return f"{ahead}{'  '.join(one)}{behind}", f"{ahead}{'  '.join(two)}{behind}", pointer


def _columns(expected: list[Any], got: list[Any]) -> tuple[list[str], list[str]]:
    """Two lists of numbers in columns, with as many digits as it takes to see a difference."""
    for digits in (4, 6, 9, 12, 17):
        one = [_number(value, digits) for value in expected]
        two = [_number(value, digits) for value in got]
        if one != two:
            break
    widths = [max(len(a), len(b)) for a, b in zip(one, two, strict=True)]
    first, second = ([text.rjust(width) for text, width in zip(row, widths, strict=True)] for row in (one, two))
    return first, second


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
    """Two small maps side by side, of weights or truth values up to 8 × 8, where they show a difference."""
    if expected.ndim < 2 or max(expected.shape[-2:]) > MAP_SIDE or min(expected.shape[-2:]) < 2:
        return ""
    if "c" in (expected.dtype.kind, got.dtype.kind):
        return ""
    one, two = expected[index[:-2]].astype(float), got[index[:-2]].astype(float)
    if not np.isfinite(two).any() or not (expected.dtype.kind == "b" or _are_weights(one)):
        return ""
    left, right = ["expected", *_shaded(one)], ["got", *_shaded(two)]
    if left[1:] == right[1:]:
        return ""
    legend = "full is True" if expected.dtype.kind == "b" else "darker is larger"
    legend += "" if np.isfinite(two).all() else ", ? not finite"
    legend += f"; at [{', '.join(map(str, index[:-2]))}]" if index[:-2] else ""
    width = max(map(len, left)) + 2
    pairs = [f"{a:<{width}}{b}" for a, b in zip(left, right, strict=True)]
    pairs[0] = f"{pairs[0]:<{2 * width}}{legend}"
    return "\n".join(pairs)


def _are_weights(matrix: np.ndarray) -> bool:
    """Whether rows or columns are shares of one, or empty."""
    if not np.isfinite(matrix).all() or matrix.min() < 0 or matrix.max() > 1:
        return False
    along = (matrix.sum(axis=0), matrix.sum(axis=1))
    return any(bool(np.all(np.isclose(sums, 1, atol=1e-2) | (sums == 0))) for sums in along)


def _shaded(matrix: np.ndarray) -> list[str]:
    rows = []
    for row in matrix:
        cells = ["?" if not np.isfinite(x) else SHADES[int(np.clip(np.ceil(x * 4), 0, 4))] for x in row]
        rows.append("│" + "".join(cell * 2 for cell in cells) + "│")
    return rows


def _shapes(finding: Finding, hidden: bool, is_explained: bool) -> Rows:
    expected, got = as_array(finding.expected), as_array(finding.got)
    if not hidden:
        pattern = "" if is_explained else name_pattern(got, expected, finding.tolerance)
        return [("expected", f"shape {expected.shape}"), ("got", f"shape {got.shape}"), ("pattern", pattern)]
    # A shape made for it could carry a hidden number to the outside: it is told when its sizes occur in the question,
    # and when it is close to the right one.
    known = _sizes(finding.call)
    if known.issuperset(expected.shape) and known.issuperset(got.shape) and _is_near(got.shape, expected.shape):
        return [("expected", f"shape {expected.shape}"), ("got", f"shape {got.shape}")]
    axes = "as many axes" if got.ndim == expected.ndim else "more axes" if got.ndim > expected.ndim else "fewer axes"
    return [("problem", f"The shape is another one than expected, with {axes}. Hidden checks do not show it.")]


def _is_near(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """The same sizes in another order, another size in one place, or one axis too many or too few."""
    if len(one) == len(other):
        return sorted(one) == sorted(other) or sum(a != b for a, b in zip(one, other, strict=True)) == 1
    longer, shorter = sorted((one, other), key=len, reverse=True)
    return shorter in [longer[:axis] + longer[axis + 1 :] for axis in range(len(longer))]


def _sizes(call: Call | None) -> set[int]:
    values = [*call.args, *call.kwargs.values()] if call else []
    return {1} | {size for value in values if isinstance(value, ARRAYS) for size in value.shape}


def _keys(finding: Finding, hidden: bool) -> Rows:
    if not isinstance(finding.expected, dict):
        got = "another number of them" if hidden else f"{len(finding.got)}"
        return [("expected", f"{len(finding.expected)} results"), ("got", got)]
    missing = [str(key) for key in finding.expected if key not in finding.got]
    extra = [str(key) for key in finding.got if key not in finding.expected]
    if missing:
        text = f"a dict without {', '.join(missing)}"
    else:
        named = "" if hidden else f": {', '.join(extra[:5])}{', …' if len(extra) > 5 else ''}"
        text = _cut(f"others besides{named}")
    return [("expected", f"a dict with the keys {', '.join(map(str, finding.expected))}"), ("got", text)]


def _kind_of(value: Any, hidden: bool, dtype: str = "") -> str:
    if isinstance(value, ARRAYS) and value.ndim:
        what = "torch tensor" if isinstance(value, Tensor) else "numpy array"
        return f"a {what} of dtype {dtype or dtype_name(value)}" + ("" if hidden else f" and shape {value.shape}")
    if isinstance(value, (bool, np.bool_)):
        return "a bool"
    if isinstance(value, (int, float, np.number, *ARRAYS)):
        return "a number"
    return f"a {type(value).__name__}"


def _type_name(value: Any, hidden: bool) -> str:
    if isinstance(value, ARRAYS):
        return _kind_of(value, hidden)
    handle = getattr(value, "_handle", value)
    name = handle.type_name if isinstance(handle, Handle) else type(value).__name__
    if value is None:
        return "None, as from a function without a return"
    if hidden and name not in PLAIN_TYPES:
        return "an object of another type"
    if isinstance(handle, Handle):
        return f"an object of type {name}"
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"


# ---------------------------------------------------------------- arguments


def _is_open(value: Any) -> bool:
    """Whether a value tells nothing even of a hidden check's inputs."""
    return value is None or isinstance(value, (bool, np.bool_))


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, complex, str, np.generic))


def _shapes_of(arrays: Sequence[tuple[str, Any]]) -> Iterator[str]:
    """Names and shapes of arrays, those of one dtype together."""
    for dtype in dict.fromkeys(dtype_name(array) for _, array in arrays):
        yield "  ".join([*(f"{name} {array.shape}" for name, array in arrays if dtype_name(array) == dtype), dtype])


def _listed(array: Any) -> str:
    """A small array or tensor as one would type it, and its dtype where that does not show."""
    text = _typed(np.asarray(array).tolist())
    usual = {"int64", "bool", "float32" if isinstance(array, Tensor) else "float64"}
    return text if dtype_name(array) in usual else f"{text}   {dtype_name(array)}"


def _typed(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_typed, value))}]"
    if isinstance(value, float):
        text = f"{value:.8g}"
        return text if re.search(r"[.ein]", text) else f"{text}.0"
    return repr(value)


def _short(value: Any, hidden: bool) -> str:
    if hidden and not _is_open(value):
        return "…"
    if isinstance(value, ARRAYS):
        return np.array2string(np.asarray(value), precision=4, threshold=8, max_line_width=WIDTH * 2)
    if isinstance(value, Handle):
        return f"a {value.type_name}"
    text = _inside(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else text[:57] + "…"


def _inside(value: Any) -> str:
    """What stands in a list or a dict: arrays and tensors by their numbers where they are few, else by dtype and shape."""
    if isinstance(value, ARRAYS):
        few = 0 < value.size <= SMALL
        return _typed(np.asarray(value).tolist()) if few else f"{dtype_name(value)} {value.shape}"
    if type(value) in (list, tuple):
        inside = ", ".join(map(_inside, value))
        return f"[{inside}]" if type(value) is list else f"({inside}{',' * (len(value) == 1)})"
    if type(value) is dict:
        return f"{{{', '.join(f'{key!r}: {_inside(inner)}' for key, inner in value.items())}}}"
    return repr(value)
