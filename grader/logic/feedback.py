"""What a student reads of a step's checks in nbgrader: public ones in full, of hidden ones what the instructor chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from grader.logic.words import Idea, begun_small, lines
from grader.model.types import CheckResult, Entry

Policy = Literal["nothing", "count", "idea", "message"]
POLICIES: tuple[Policy, ...] = ("nothing", "count", "idea", "message")


def hidden_text(checks: Sequence[CheckResult], ideas: Mapping[str, Idea], policy: Policy) -> str:
    """Of a step's hidden checks.

    ``nothing``: the mark says it all. ``count``: how many pass. ``idea``: besides, which ideas the numbers look like, and
    the question that goes with each. ``message``: the names of the checks that fail with their messages, in which no
    numbers stand. Whatever a submission printed or raised is in none of them but the last, which names the exception's type.
    """
    if policy == "nothing" or not checks:
        return ""
    passed = sum(check.outcome == "passed" for check in checks)
    counted = [check for check in checks if check.outcome != "skipped"]
    said = [f"{passed} of {len(counted)} hidden checks passed"]
    if len(counted) < len(checks):
        said.append(f"{len(checks) - len(counted)} could not be run here, and do not count")
    if policy == "idea":
        named = list(dict.fromkeys(name for check in checks for name in check.looks_like if name in ideas))
        said += [_idea(ideas[name]) for name in named]
        failed = [check for check in checks if check.outcome not in ("passed", "skipped")]
        unwritten = [check for check in failed if check.message.startswith("to do ")]
        if unwritten:
            said.append(f"{len(unwritten)} call something that is not written yet")
        if len(failed) > len(unwritten) and not named:
            said.append("No idea that is known gives exactly these answers.")
    if policy == "message":
        for check in checks:
            if check.outcome not in ("passed", "skipped"):
                said += ["", f"✗ {check.name}", check.message]
    return "\n".join(said)


def _idea(idea: Idea) -> str:
    says = ("another convention: " if idea.convention else "") + begun_small(idea.says)
    return lines(("looks like", says), *([("think", idea.hint)] if idea.hint else []))


@dataclass(frozen=True)
class Graded:
    """What came of a submission: its report, and the marks that went into the gradebook by grade cell."""

    entry: Entry
    marks: dict[str, float]

    @property
    def points(self) -> float:
        """All marks together."""
        return round(sum(self.marks.values()), 6)


def moved(before: Graded | None, after: Graded, *, name_hidden: bool = True) -> str:
    """How a student's points moved between two gradings, and why, in one sentence; empty where no mark did.

    Marks that moved against each other leave the points as they were, and are told too. Without ``name_hidden`` hidden
    checks are only counted by their step, for logs that travel.
    """
    if before is None or before.marks == after.marks:
        return ""
    why = _reasons(before.entry, after.entry, name_hidden) or ["no check says why"]
    return f"{after.points:g} points, before {before.points:g}: {'; '.join([*_against(before, after), *why])}."


def _against(before: Graded, after: Graded) -> list[str]:
    """The cells whose marks moved, where all together are as many points as before."""
    if before.points != after.points:
        return []
    names = dict.fromkeys([*before.marks, *after.marks])
    pairs = [(name, before.marks.get(name, 0.0), after.marks.get(name, 0.0)) for name in names]
    return [f"{name} has {new:g} and had {old:g}" for name, old, new in pairs if old != new]


def _reasons(before: Entry, after: Entry, name_hidden: bool) -> list[str]:
    reasons = [] if before.digest == after.digest else ["another file was handed in"]
    statuses = [entry.report.status.replace("_", " ") for entry in (before, after)]
    if statuses[0] != statuses[1] and "broken" in statuses:
        reasons.append(f"it was {statuses[0]} and is {statuses[1]}")
    old, new = ({(c.step, c.hidden, c.name): c for c in entry.report.checks} for entry in (before, after))
    for key in dict.fromkeys([*old, *new]):
        step, hidden, name = key
        name = f"“{name}”" if name_hidden or not hidden else "a hidden one"
        if key not in new:
            reasons.append(f"{step}: the check {name} is gone, which had earned {old[key].earned:g}")
        elif key not in old:
            reasons.append(f"{step}: the check {name} is new, and {_became(new[key])}")
        elif old[key].outcome != new[key].outcome:
            reasons.append(f"{step}: {name} {_was(old[key])} and {_became(new[key])}")
        elif old[key].points != new[key].points:
            reasons.append(f"{step}: {name} is worth {new[key].points:g} and was worth {old[key].points:g}")
    return list(dict.fromkeys(reasons))


def _was(check: CheckResult) -> str:
    return {"passed": "passed", "skipped": "was not run"}.get(check.outcome, "failed")


def _became(check: CheckResult) -> str:
    return {"passed": "passes now", "skipped": "is not run now"}.get(check.outcome, "fails now")
