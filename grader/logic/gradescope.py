"""A verdict as Gradescope's ``results.json``.

Public checks are shown as they are. Hidden ones are one test a step: their points, and in words what `feedback.hidden_text` says
by the instructor's choice, which without another is how many pass, and the idea that the answers look like with its question.

Source: https://gradescope-autograders.readthedocs.io/en/latest/specs/
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from grader.logic.feedback import POLICIES, Policy, hidden_text
from grader.logic.table import points_of
from grader.logic.words import Texts
from grader.model.errors import CourseError, UsageError
from grader.model.types import CheckResult, Exercise, Report, Step

# When students see a test. "hidden" is never; Gradescope means that one for tests without points.
VISIBILITIES = ("hidden", "after_due_date", "after_published", "visible")
PLAIN = {"output_format": "text", "test_output_format": "text", "test_name_format": "text"}
SLACK = 1e-6
NO_VERDICT = "This submission could not be graded, and that is no fault of it. Your instructor can see why."


def results_of(
    report: Report, exercise: Exercise, texts: Texts, hidden: str = "after_published", policy: Policy = "idea"
) -> dict[str, Any]:
    """The object to be written to ``results.json``.

    ``hidden`` is the visibility of the hidden checks' tests, ``policy`` what these say. What the submission printed is not in
    it. `UsageError` for a visibility or a policy that there is not; `CourseError` where the points do not add up: such a
    verdict is none.
    """
    refuse_unknown(hidden, policy)
    _refuse_unsound(report, exercise)
    tests = []
    for number, step in enumerate(exercise.steps, 1):
        checks = [check for check in report.checks if check.step == step.name]
        shown = [_public_test(check, step) for check in checks if not check.hidden]
        kept = [check for check in checks if check.hidden]
        if any(check.outcome != "skipped" for check in kept):
            shown.append(_hidden_test(kept, step, texts, hidden, policy))
        tests += [test | {"number": f"{number}.{place}"} for place, test in enumerate(shown, 1)]
    return {
        "score": report.score,
        "execution_time": round(report.seconds, 2),
        "output": _clean(report.message or _said(report)),
        **PLAIN,
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }


def refuse_unknown(hidden: str, policy: str) -> None:
    """`UsageError` for a visibility that Gradescope does not know, or a way of wording that `feedback` does not."""
    if hidden not in VISIBILITIES:
        raise UsageError(f"Gradescope knows no visibility {hidden!r}.", f"There is: {', '.join(VISIBILITIES)}.")
    if policy not in POLICIES:
        raise UsageError(f"Nothing is told of hidden checks by {policy!r}.", f"There is: {', '.join(POLICIES)}.")


def no_verdict(reason: str) -> dict[str, Any]:
    """What is written where there is no verdict: nothing earned, and a reason that only instructors see."""
    test = {"name": "Why there is no verdict", "score": 0.0, "output": _clean(reason), "visibility": "hidden"}
    return {
        "score": 0.0,
        "output": NO_VERDICT,
        **PLAIN,
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [test],
    }


def not_accepted(message: str) -> dict[str, Any]:
    """What is written where there is nothing to grade in what was handed in: nothing earned, and what to do about it."""
    return {"score": 0.0, "output": _clean(message), **PLAIN, "visibility": "visible", "stdout_visibility": "hidden"}


def _refuse_unsound(report: Report, exercise: Exercise) -> None:
    steps = {step.name for step in exercise.steps}
    counted = [check for check in report.checks if check.outcome != "skipped"]
    numbers = [report.score, report.max_score, report.seconds]
    numbers += [number for check in report.checks for number in (check.points, check.earned)]
    sound = (
        bool(counted)
        and all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        and all(0 <= check.earned <= check.points and check.step in steps for check in report.checks)
        and abs(sum(check.earned for check in counted) - report.score) < SLACK
        and abs(sum(check.points for check in counted) - report.max_score) < SLACK
    )
    if not sound:
        raise CourseError(f"The points of a verdict on {exercise.name} do not add up, so it is not handed on.")


def _public_test(check: CheckResult, step: Step) -> dict[str, Any]:
    test: dict[str, Any] = {"name": f"{step.title}: {_clean(check.name)}", "visibility": "visible"}
    if check.outcome == "skipped":
        return test | {"score": 0.0, "max_score": 0.0, "output": _clean(f"Not run here. {check.message}".strip())}
    status = "passed" if check.outcome == "passed" else "failed"
    points = {"score": check.earned, "max_score": check.points, "status": status}
    return test | points | ({"output": _clean(check.message)} if check.message else {})


def _hidden_test(
    checks: Sequence[CheckResult], step: Step, texts: Texts, visibility: str, policy: Policy
) -> dict[str, Any]:
    earned, points = points_of(checks)
    passed = all(check.outcome in ("passed", "skipped") for check in checks)
    text = _clean(hidden_text(checks, texts.ideas, policy))
    return {
        "name": f"{step.title}: hidden checks",
        "score": round(earned, 6),
        "max_score": round(points, 6),
        "status": "passed" if passed else "failed",
        **({"output": text} if text else {}),
        "visibility": visibility,
    }


def _said(report: Report) -> str:
    """A line for the whole submission; without points, since those of hidden checks may not be for students yet."""
    return {
        "passed": "All of it passed.",
        "failed": "Not all of it passed.",
        "not_started": "Nothing is written yet.",
        "broken": "The file could not be graded.",
    }[report.status]


def _clean(text: str) -> str:
    """Text that every reader of JSON takes: no half characters, no control characters but line ends and tabs."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(sign for sign in whole if sign in "\n\t" or (ord(sign) >= 32 and not 0x7F <= ord(sign) < 0xA0))
