"""A report as text: one step at a time, at most 80 columns, readable without colour."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from grader.model.types import CheckResult, Exercise, Report, Step

if TYPE_CHECKING:
    from grader.verbs.hint import Hint
    from grader.verbs.solution import Shown
    from grader.verbs.status import Board

WIDTH = 80
LABEL = 11
PRINTED_LINES = 20
IN_FULL = 3
_LABEL = re.compile(rf"(?=.{{{LABEL}}})(looks like |[a-z]+(?: [a-z]+)? {{2,}})(?<=^.{{{LABEL}}})(?=\S)")

_GISTS = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^where +(?:.*?, )??((?:cell \d+, )?line \d+)",
        r"^expected +(def .*)",
        r"^expected +(dtype \w+|a numpy array of dtype \w+).*\ngot +(.*)",
        r"^problem +(?!.*Hidden checks)(.*?)(?: \(| before|$)",
    )
)

ASCII = {
    "✓": "+", "✗": "x", "·": "-", "…": "...", "–": "-", "—": "-", "−": "-", "“": '"', "”": '"', "’": "'",
    "√": "sqrt ", "×": "x", "ᵀ": "^T", "→": "->", "≥": ">=", "≤": "<=", "∞": "inf", "Σ": "sum ", "ᵢ": "_i", "ⱼ": "_j",
    "│": "|", "░": ".", "▒": ":", "▓": "%", "█": "#",
}  # fmt: skip


class Ink:
    """Colours, where they are wanted."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def _with(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and text else text

    def good(self, text: str) -> str:
        return self._with("32", text)

    def bad(self, text: str) -> str:
        return self._with("31", text)

    def strong(self, text: str) -> str:
        return self._with("1", text)

    def faint(self, text: str) -> str:
        return self._with("2", text)

    def telling(self, text: str) -> str:
        return self._with("33", text)


def wants_colour(stream: TextIO, environment: dict[str, str], refused: bool = False) -> bool:
    """Whether to colour what goes to ``stream``: a terminal that can, and nobody has said no."""
    if refused or environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return bool(getattr(stream, "isatty", lambda: False)())


def fitting(text: str, encoding: str | None) -> str:
    """The text in the characters that ``encoding`` has; others by their nearest ASCII."""
    try:
        text.encode(encoding or "ascii")
        return text
    except (UnicodeEncodeError, LookupError):
        plain = "".join(ASCII.get(character, character) for character in text)
        return plain.encode("ascii", "replace").decode("ascii")


def put(text: str, stream: TextIO | None = None, end: str = "\n") -> None:
    """Write text to a stream in characters that it can show."""
    stream = stream or sys.stdout
    stream.write(fitting(text, getattr(stream, "encoding", "utf-8")) + end)
    stream.flush()


# ---------------------------------------------------------------- a whole verdict


def verdict(
    report: Report,
    exercise: Exercise,
    *,
    colour: bool = False,
    everything: bool = False,
    focus: str = "",
    notes: Sequence[str] = (),
    following: str = "",
) -> str:
    """The screen for one report.

    Shown in full is the step named ``focus``, else the first unfinished one, or with ``everything`` all of them.
    ``notes`` are said below the header, ``following`` is what to do next.
    """
    ink = Ink(colour)
    out = [header(report, ink)]
    for note in notes:
        out += wrapped(note, "  ")
    if report.seed != 7:
        out.append(f"  drawn with seed {report.seed}")
    if report.status in ("broken", "not_started"):
        out += labelled(report.message, "  ", ink)
        if report.status == "not_started":
            out += [_title(step, ink) for step in exercise.steps]
    else:
        out += labelled(report.message, "  ", ink)
        out += _steps(report, exercise, ink, everything, focus)
    out += _not_checked(report)
    out += printed(report.printed, ink)
    if following:
        out += labelled(f"{'next':<{LABEL}}{following}", "  ", ink)
    return "\n".join(out)


def one_step(report: Report, exercise: Exercise, step: Step, *, following: str = "") -> str:
    """The screen for one report where nothing but one step is asked about, without colour."""
    ink = Ink(False)
    which = "   public checks" if report.scope == "public" else ""
    out = [header(report, ink) + which, *labelled(report.message, "  ", ink)]
    if report.status not in ("broken", "not_started"):
        out += _in_full(step, of_step(report, step), ink, everything=False)
    out += printed(report.printed, ink, limit=IN_FULL * 3)
    if following:
        out += labelled(f"{'next':<{LABEL}}{following}", "  ", ink)
    return "\n".join(out)


def of_checks(step: Step, checks: Sequence[CheckResult]) -> str:
    """Some of a step's checks with all that is to be said of each, without colour."""
    return "\n".join(_in_full(step, checks, Ink(False), everything=True))


def header(report: Report, ink: Ink) -> str:
    """One line: the exercise, its points, the time."""
    words = {"broken": "cannot be graded as it is", "not_started": "not started"}
    points = f"{report.score:g} of {report.max_score:g} points"
    seconds = f"{report.seconds:.1f} s" if report.seconds >= 0.1 else f"{report.seconds:.2f} s"
    parts = [points, words.get(report.status, ""), seconds]
    shown = ink.good if report.status == "passed" else ink.strong
    return f"{ink.strong(report.exercise)}   {shown(points)}   " + "   ".join(part for part in parts[1:] if part)


def of_step(report: Report, step: Step) -> list[CheckResult]:
    """A step's checks, public ones first."""
    return sorted((check for check in report.checks if check.step == step.name), key=lambda check: check.hidden)


def is_done(checks: Iterable[CheckResult]) -> bool:
    """Whether a step's checks leave nothing to do."""
    return all(check.outcome in ("passed", "skipped") for check in checks)


def to_do(check: CheckResult) -> bool:
    """Whether a check fails only because what it calls is not written yet."""
    return check.outcome == "failed" and check.message.startswith("to do ")


def first_unfinished(report: Report, exercise: Exercise) -> Step | None:
    """Where the learner is: the first step that is not done; stretch steps come after all others."""
    steps = sorted(exercise.steps, key=lambda step: step.stretch)
    return next((step for step in steps if not is_done(of_step(report, step))), None)


def _steps(report: Report, exercise: Exercise, ink: Ink, everything: bool, focus: str) -> list[str]:
    out: list[str] = []
    later: list[Step] = []
    current = focus or getattr(first_unfinished(report, exercise), "name", "")
    for step in exercise.steps:
        checks = of_step(report, step)
        if everything or step.name == current:
            out += _in_full(step, checks, ink, everything)
        elif is_done(checks):
            out.append(_line("✓", step.title, _points(checks), "  ", ink))
        else:
            out.append(_title(step, ink))
            later.append(step)
    if later:
        minutes = sum(step.minutes for step in later)
        out.append("  " + ink.faint(f"{len(later)} more step{'s' * (len(later) > 1)}, about {minutes} minutes"))
    return out


def _title(step: Step, ink: Ink) -> str:
    return _line("·", step.title, f"{step.minutes} min" + (", stretch" if step.stretch else ""), "  ", ink)


def _in_full(step: Step, checks: Sequence[CheckResult], ink: Ink, everything: bool) -> list[str]:
    mark = "✓" if is_done(checks) else "·" if all(map(to_do, checks)) else "✗"
    title = step.title + (" (stretch)" if step.stretch else "")
    out = [_line(mark, title, _points(checks), "  ", ink)]
    told: dict[tuple[str, ...], str] = {(): ""}  # what was explained, and how another check refers to it
    shown = 0
    left_out = 0
    for check in checks:
        gist = _gist(check)
        same = "" if everything else told.get(gist, "")
        out.append(_check_line(check, ink, same))
        if not check.message or check.outcome in ("passed", "skipped") or to_do(check) or same:
            continue
        if not everything and shown >= IN_FULL:
            left_out += 1
            continue
        told.setdefault(gist, "the same idea  " if check.looks_like else "as above  ")
        shown += 1
        out += labelled(check.message, "      ", ink)
    unwritten = list(dict.fromkeys(check.message for check in checks if to_do(check)))
    for message in unwritten[: None if everything else 2]:
        out += labelled(message, "      ", ink)
    if left_out:
        out.append("      " + ink.faint(f"{left_out} more message{'s' * (left_out > 1)} with --all"))
    return out


def _gist(check: CheckResult) -> tuple[str, ...]:
    """What a message comes down to, where it would only be said again; () where each tells something of its own.

    That is the idea it names; else the line that raised, the signature, the type of the answer, or why there is none.
    """
    if check.looks_like:
        return tuple(check.looks_like)
    for pattern in _GISTS:
        if found := pattern.search(check.message):
            return tuple(group or "" for group in found.groups())
    return ()


def _check_line(check: CheckResult, ink: Ink, remark: str = "") -> str:
    earned = f"{check.earned:g}/{check.points:g}"
    if check.outcome == "passed":
        return _line("✓", check.name, earned, "    ", ink)
    if check.outcome == "skipped":
        return _line("–", check.name, "not checked", "    ", ink)
    if to_do(check):
        return _line("·", check.name, "to do", "    ", ink)
    return _line("✗", check.name, remark + earned, "    ", ink)


def _points(checks: Sequence[CheckResult]) -> str:
    counted = [check for check in checks if check.outcome != "skipped"]
    return f"{sum(check.earned for check in counted):g}/{sum(check.points for check in counted):g}"


def _line(mark: str, title: str, right: str, indent: str, ink: Ink) -> str:
    """A mark, a title, and something at the right margin; a long title goes on below itself."""
    room = WIDTH - len(indent) - 2 - len(right) - 2
    first, *rest = textwrap.wrap(title, room) or [""]
    colour = {"✓": ink.good, "✗": ink.bad}.get(mark, ink.faint)
    lines = [f"{indent}{colour(mark)} {first:<{room}}  {ink.faint(right)}"]
    return "\n".join(lines + [f"{indent}  {line}" for line in rest])


def _not_checked(report: Report) -> list[str]:
    """What this verdict says nothing about."""
    out = []
    for check in report.checks:
        if check.outcome == "skipped":
            reason = check.message or "no reason given"
            out += wrapped(f"Not checked: {check.name} ({reason}). Its points are left out.", "  ")
    if report.scope == "public":
        out.append("  Only the public checks were run.")
    return out


def printed(text: str, ink: Ink, limit: int = PRINTED_LINES) -> list[str]:
    """What the submission printed, cut to a few lines."""
    if not text.strip():
        return []
    lines = [line.rstrip() for line in _harmless(text).rstrip("\n").split("\n")]
    out = ["  " + ink.faint("printed")]
    for line in lines[:limit]:
        out.append("    " + (line if len(line) <= WIDTH - 4 else line[: WIDTH - 5] + "…"))
    if len(lines) > limit:
        out.append("    " + ink.faint(f"… {len(lines) - limit} more lines"))
    return out


def _harmless(text: str) -> str:
    """Without what would move the cursor or colour the terminal: a submission draws no verdict of its own."""
    text = text.replace("\r\n", "\n").expandtabs(4)
    return "".join(character if character == "\n" or character.isprintable() else "·" for character in text)


# ---------------------------------------------------------------- messages


def labelled(message: str, indent: str, ink: Ink) -> list[str]:
    """A message of labelled lines, indented and wrapped; texts go on below themselves, labels keep their column."""
    out: list[str] = []
    for line in _harmless(message).split("\n") if message else ():
        match = _LABEL.match(line)
        if match is None and not line.startswith(" " * LABEL):
            out += wrapped(line, indent)
            continue
        label = match[1].rstrip() if match else ""
        paint = ink.telling if label in ("looks like", "another", "and") else str
        for number, piece in enumerate(fold(line[LABEL:], WIDTH - len(indent) - LABEL)):
            head = ink.faint(f"{label:<{LABEL}}") if label and number == 0 else " " * LABEL
            out.append(f"{indent}{head}{paint(piece)}".rstrip())
    return out


def fold(text: str, width: int) -> list[str]:
    """A text in lines of at most ``width``, broken between its parts (three spaces) where that is possible."""
    if len(text) <= width:
        return [text]
    lines: list[str] = []
    for part in re.split(r"(?<=\S) {3}(?=\S)", text):
        if lines and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += "   " + part
        elif len(part) <= width:
            lines.append(part)
        else:
            lines += textwrap.wrap(part, width, break_on_hyphens=False)
    return lines


def wrapped(text: str, indent: str) -> list[str]:
    """Plain sentences within the width."""
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def bar(share: float, width: int) -> str:
    """A bar of that many characters, filled to ``share``."""
    full = min(width, int(share * width + 1e-9))
    return "█" * full + "░" * (width - full)


# ---------------------------------------------------------------- other screens


def board(shown: Board, colour: bool = False) -> str:
    """`grader status`."""
    ink = Ink(colour)
    names = max((len(row.exercise.name) for row in shown.rows), default=0)
    out = [ink.strong("exercises")]
    for row in shown.rows:
        mark = ink.good("✓") if row.done else ink.faint("·")
        points = f"{row.best:g} of {row.of:g} points"
        steps = f"{row.steps_passed} of {row.steps} steps"
        filled = bar(row.best / row.of if row.of else 0.0, 20)
        out.append(f"  {mark} {row.exercise.name:<{names}}  {filled}  {points:<20}  {steps}")
    out.append(ink.strong("milestones"))
    for milestone in shown.milestones:
        mark = ink.good("✓") if milestone.when else ink.faint("·")
        out.append(f"  {mark} {milestone.name}  {milestone.title}")
        if milestone.when:
            out.append(ink.faint(f"        {milestone.when[:10]}, {milestone.evidence}"))
    return "\n".join([*out, *labelled(f"{'next':<{LABEL}}{shown.following}", "", ink)])


def hint(shown: Hint, exercise: Exercise, colour: bool = False) -> str:
    """`grader hint`."""
    ink = Ink(colour)
    title = f"   {shown.step.title}   hint {shown.number} of {shown.total}" if shown.step else ""
    out = [ink.strong(exercise.name) + title]
    for line in shown.text.split("\n"):
        out += labelled(line, "  ", ink)
    if shown.after:
        out += labelled(f"{'next':<{LABEL}}{shown.after}", "  ", ink)
    return "\n".join(out)


def solution(shown: Shown, exercise: Exercise, colour: bool = False) -> str:
    """`grader solution`."""
    ink = Ink(colour)
    out = [ink.faint(f"# {exercise.folder}/{exercise.module}"), shown.source.rstrip()]
    if shown.left_out:
        names = ", ".join(shown.left_out)
        out += ["", *wrapped(f"# Left out, as not passed yet: {names}. --spoil shows them too.", "")]
    if shown.others:
        out += ["", ink.strong("# Other ways to write it")]
    for name, says, code in shown.others:
        out += ["", ink.faint(f"# {name}: {says}"), code]
    return "\n".join(out)


def problem(error: Exception, colour: bool = False) -> str:
    """An error of ours as one message, with its mend."""
    ink = Ink(colour)
    message, mend = getattr(error, "message", str(error)), getattr(error, "mend", "")
    out = []
    for line in str(message).split("\n"):
        out += wrapped(line, "")
    for line in mend.split("\n") if mend else ():
        out += wrapped(line, "  ")
    return "\n".join([ink.bad(out[0]), *out[1:]])
