"""Diagnosis: which named wrong ideas give exactly the answers that the submission gave.

A variant explains a failed check when it answers every call of that check as the submission did, within the check's
tolerance. The variant that agrees with most of the other checks too is the one that is named; where no variant explains a
check alone, pairs of them are tried, those first that the rest of the submission does not contradict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

from grader.logic.judge import agree
from grader.model.types import Call, Outcome, Raised, Value

PAIR_SECONDS = 0.8


@dataclass(frozen=True)
class Evidence:
    """One check's calls and what the submission answered."""

    check: str
    calls: list[Call]
    outcomes: list[Outcome]
    failed: bool


class Oracle(Protocol):
    """Where the variants' answers come from (`oracle.Live`, `tape.Tape`)."""

    wrong: tuple[str, ...]

    def answers(self, check: str, variant: str, calls: list[Call]) -> Callable[[int], Outcome]:
        """A variant's answer to the check's calls, by position."""


def diagnose(evidence: Sequence[Evidence], oracle: Any, tolerances: Mapping[str, float]) -> dict[int, tuple[str, ...]]:
    """For each failed check, by position, the names of the ideas that explain its numbers: one, or a pair."""
    failed = [number for number, item in enumerate(evidence) if item.failed and _says_something(item)]
    if not failed:
        return {}
    matcher = _Matcher(evidence, oracle, tolerances)
    singles = {number: [name for name in oracle.wrong if matcher.explains(number, name)] for number in failed}
    named: dict[int, tuple[str, ...]] = {}
    ranking = _ranking(singles, matcher, len(evidence))
    for number, names in singles.items():
        if names:
            named[number] = (max(names, key=ranking.__getitem__),)
    unexplained = [number for number in failed if number not in named]
    if unexplained and hasattr(oracle, "pair"):
        named.update(_pairs(unexplained, named, evidence, oracle, matcher, tolerances))
    return named


def _says_something(item: Evidence) -> bool:
    """Whether there are answers to compare: a check that only met unwritten code has none."""
    return any(isinstance(outcome, Value) or _real_error(outcome) for outcome in item.outcomes)


def _real_error(outcome: Outcome) -> bool:
    return isinstance(outcome, Raised) and not outcome.is_a("NotImplementedError")


class _Matcher:
    """Compares a submission's answers with the variants', each pair of check and variant once."""

    def __init__(self, evidence: Sequence[Evidence], oracle: Oracle, tolerances: Mapping[str, float]) -> None:
        self.evidence = evidence
        self.oracle = oracle
        self.tolerances = tolerances
        self._known: dict[tuple[int, str], bool] = {}

    def explains(self, number: int, variant: str) -> bool:
        key = (number, variant)
        if key not in self._known:
            item = self.evidence[number]
            answers = self.oracle.answers(item.check, variant, item.calls)
            self._known[key] = matches(item.outcomes, answers, self.tolerances)
        return self._known[key]


def matches(outcomes: Sequence[Outcome], answers: Callable[[int], Outcome], tolerances: Mapping[str, float]) -> bool:
    """Whether the answers equal the outcomes at every position; the last call, the one that failed, is compared first."""
    order = [len(outcomes) - 1, *range(len(outcomes) - 1)] if outcomes else []
    return bool(order) and all(same_outcome(outcomes[at], answers(at), tolerances) for at in order)


def same_outcome(mine: Outcome, theirs: Outcome, tolerances: Mapping[str, float]) -> bool:
    """Both raised the same built-in type, or both gave the same numbers (and left the same in their arguments)."""
    if isinstance(mine, Raised) and isinstance(theirs, Raised):
        return mine.type == theirs.type or (mine.bases[:1] == theirs.bases[:1] and bool(mine.bases))
    if isinstance(mine, Value) and isinstance(theirs, Value):
        return agree(mine.value, theirs.value, tolerances) and agree(mine.after, theirs.after, tolerances)
    return False


def _ranking(singles: dict[int, list[str]], matcher: _Matcher, checks: int) -> dict[str, tuple[int, int]]:
    """How well each candidate fits: failed checks that it explains, then agreement over all checks."""
    candidates = {name for names in singles.values() for name in names}
    explained = {name: sum(name in names for names in singles.values()) for name in candidates}
    if len(candidates) < 2:
        return {name: (explained[name], 0) for name in candidates}
    return {
        name: (explained[name], sum(_agrees(matcher, number, name) for number in range(checks))) for name in candidates
    }


def _agrees(matcher: _Matcher, number: int, name: str) -> bool:
    return bool(matcher.evidence[number].calls) and matcher.explains(number, name)


def _pairs(
    unexplained: list[int],
    named: dict[int, tuple[str, ...]],
    evidence: Sequence[Evidence],
    oracle: Any,
    matcher: _Matcher,
    tolerances: Mapping[str, float],
) -> dict[int, tuple[str, ...]]:
    """Two ideas at once, within a time limit; a pair found once is tried first on the other checks."""
    found: dict[int, tuple[str, ...]] = {}
    deadline = time.perf_counter() + PAIR_SECONDS
    already = {name for names in named.values() for name in names}
    candidates = _possible(evidence, matcher, oracle.wrong)
    order = sorted(combinations(candidates, 2), key=lambda pair: -len(already.intersection(pair)))
    for number in unexplained:
        item = evidence[number]
        for pair in [*dict.fromkeys(found.values()), *order]:
            if time.perf_counter() > deadline:
                return found
            answers = oracle.pair(*pair, item.calls)
            if answers is not None and matches(item.outcomes, answers, tolerances):
                found[number] = pair
                break
    return found


def _possible(evidence: Sequence[Evidence], matcher: _Matcher, names: Sequence[str]) -> list[str]:
    """Ideas that no passed check contradicts."""
    passed = [number for number, item in enumerate(evidence) if not item.failed and item.calls]
    return [name for name in names if all(matcher.explains(number, name) for number in passed)]
