"""Diagnosis: which named wrong ideas give exactly the answers that the submission gave.

A variant explains a failed check when it answers every call of that check as the submission did, within the check's
tolerance. The variant that agrees with most of the other checks too is the one that is named; where no variant explains a
check alone, pairs of them are tried, those first that the rest of the submission does not contradict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Protocol

from grader.logic.judge import agree, differ_in_numbers, farthest
from grader.logic.tensors import dtype_name
from grader.model.types import Call, Outcome, Raised, Value

SOLUTION = ""  # as the name of a variant: the solution itself
PAIR_SECONDS = 0.7
PAIRS_TRIED = 40


@dataclass(frozen=True)
class Evidence:
    """One check's calls and what the submission answered; ``explained``: what is known of which ideas explain it.

    ``measured``: the check judges what answers cost, too.
    """

    check: str
    calls: list[Call]
    outcomes: list[Outcome]
    failed: bool
    explained: dict[str, bool] = field(default_factory=dict, compare=False)
    measured: bool = False


def without_costs(calls: Sequence[Call], outcomes: Sequence[Outcome]) -> tuple[list[Call], list[Outcome]]:
    """The same as if nothing had been measured: no two costs are equal, so ideas are told by what their helpers return."""
    plain_calls, plain_outcomes = list(calls), list(outcomes)
    for at, (call, outcome) in enumerate(zip(calls, outcomes, strict=True)):
        if call.kind == "cost":
            plain_calls[at] = replace(call, kind="through")
            if isinstance(outcome, Value):
                plain_outcomes[at] = Value(outcome.value["value"])
    return plain_calls, plain_outcomes


class Answers(Protocol):
    """What all wrong variants answer to one check's calls. Equal numbers stand for the same answer."""

    def number(self, variant: str, position: int) -> Hashable:
        """Which answer a variant, or `SOLUTION`, gives at a position."""

    def answer(self, number: Any) -> Outcome:
        """The answer behind a number."""


class Oracle(Protocol):
    """Where the variants' answers come from (`oracle.Live`, `tape.Tape`)."""

    wrong: tuple[str, ...]

    def answers(self, check: str, calls: list[Call]) -> Answers | None:
        """The variants' answers to the check's calls; None where nobody knows them."""


def diagnose(evidence: Sequence[Evidence], oracle: Any, tolerances: Mapping[str, float]) -> dict[int, tuple[str, ...]]:
    """For each failed check, by position, the names of the ideas that explain its numbers: one, or a pair."""
    failed = [number for number, item in enumerate(evidence) if item.failed and _says_something(item)]
    if not failed:
        return {}
    matcher = _Matcher(evidence, oracle, tolerances)
    singles = {}
    for number in failed:
        names = [name for name in matcher.explaining(number, oracle.wrong) if matcher.can_fail(number, name)]
        singles[number] = _credible(number, names, matcher)
    named: dict[int, tuple[str, ...]] = {}
    ranking = _ranking(singles, matcher, len(evidence))
    for number, names in singles.items():
        if names:
            named[number] = (max(names, key=ranking.__getitem__),)
    unexplained = [number for number in failed if number not in named and _has_wrong_numbers(number, matcher)]
    if unexplained and hasattr(oracle, "pair"):
        named.update(_pairs(unexplained, evidence, oracle, matcher))
    return named


def _says_something(item: Evidence) -> bool:
    """Whether there are answers to compare: a check that only met unwritten code has none."""
    return any(isinstance(outcome, Value) or _real_error(outcome) for outcome in item.outcomes)


def _real_error(outcome: Outcome) -> bool:
    return isinstance(outcome, Raised) and not outcome.is_unwritten


class _Matcher:
    """Which variants answer a check's calls as the submission did."""

    def __init__(self, evidence: Sequence[Evidence], oracle: Oracle, tolerances: Mapping[str, float]) -> None:
        self.evidence = evidence
        self.oracle = oracle
        self.tolerances = tolerances
        self._answers: dict[int, Answers | None] = {}
        # Whether an answer is as good as the submission's, by check and position.
        self._same: dict[tuple[int, int], dict[Hashable, bool]] = {}

    def answers(self, number: int) -> Answers | None:
        """The variants' answers to one check's calls, asked for once; None where nothing was asked or nobody knows."""
        if number not in self._answers:
            item = self.evidence[number]
            self._answers[number] = self.oracle.answers(item.check, item.calls) if item.calls else None
        return self._answers[number]

    def explaining(self, number: int, names: Sequence[str]) -> list[str]:
        """Those of the variants that explain one check. The last call, the one that failed, is compared first."""
        known = self.evidence[number].explained
        left = [name for name in names if name not in known]
        if left:
            known.update(dict.fromkeys(left, False))
            known.update(dict.fromkeys(self._explaining(number, left), True))
        return [name for name in names if known[name]]

    def can_fail(self, number: int, name: str) -> bool:
        """Whether the idea may fail a check at all: what answers as the solution does cannot, except by what it costs.

        Without this, numbers that only a check stricter than the table finds wrong would look like any idea of another step.
        """
        item, answers = self.evidence[number], self.answers(number)
        if answers is None or item.measured:
            return True
        everywhere = range(len(item.outcomes))
        return any(answers.number(name, at) != answers.number(SOLUTION, at) for at in everywhere)

    def _explaining(self, number: int, left: list[str]) -> list[str]:
        item = self.evidence[number]
        answers = self.answers(number)
        if answers is None:
            return []
        for position in _order(len(item.outcomes)):
            mine, right = item.outcomes[position], answers.answer(answers.number(SOLUTION, position))
            tolerances = as_coarse_as(right, self.tolerances)
            place = farthest(mine.value, right.value) if isinstance(mine, Value) and isinstance(right, Value) else None
            same = self._same.setdefault((number, position), {})
            numbers = [answers.number(name, position) for name in left]
            for which in numbers:
                if which not in same:
                    theirs = answers.answer(which)
                    is_other = (
                        place is not None and isinstance(theirs, Value) and place.differs(theirs.value, tolerances)
                    )
                    same[which] = not is_other and same_outcome(mine, theirs, tolerances)
            left = [name for name, which in zip(left, numbers, strict=True) if same[which]]
            if not left:
                break
        return left


def _order(count: int) -> list[int]:
    return [count - 1, *range(count - 1)]


def matches(outcomes: Sequence[Outcome], answers: Callable[[int], Outcome], tolerances: Mapping[str, float]) -> bool:
    """Whether the answers equal the outcomes at every position; the last call, the one that failed, is compared first."""
    return bool(outcomes) and all(same_outcome(outcomes[at], answers(at), tolerances) for at in _order(len(outcomes)))


def as_coarse_as(right: Outcome, tolerances: Mapping[str, float]) -> Mapping[str, float]:
    """Tolerances for answers that should have the right one's dtype: what should be float32 is not exact to more than that."""
    dtypes = _dtypes(right.value) if isinstance(right, Value) else ()
    coarsest = max((tolerances.get(dtype, 0.0) for dtype in dtypes), default=0.0)
    if all(allowed >= coarsest for allowed in tolerances.values()):
        return tolerances
    return {dtype: max(allowed, coarsest) for dtype, allowed in tolerances.items()}


def _dtypes(value: Any) -> Iterator[str]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _dtypes(item)
    elif isinstance(value, dict):
        yield from _dtypes(list(value.values()))
    elif hasattr(value, "dtype"):
        yield dtype_name(value)


def same_outcome(mine: Outcome, theirs: Outcome, tolerances: Mapping[str, float]) -> bool:
    """Both raised the same built-in type, or both gave the same numbers (and left the same in their arguments)."""
    if isinstance(mine, Raised) and isinstance(theirs, Raised):
        if mine.refused or mine.forbidden:  # no idea's doing: nothing is refused where the variants run
            return False
        return mine.type == theirs.type or (mine.bases[:1] == theirs.bases[:1] and bool(mine.bases))
    if isinstance(mine, Value) and isinstance(theirs, Value):
        return agree(mine.value, theirs.value, tolerances) and agree(mine.after, theirs.after, tolerances)
    return False


def _credible(number: int, names: list[str], matcher: _Matcher) -> list[str]:
    """Those names that coincidence does not explain as well.

    Equal wrong numbers are no coincidence. An exception of the same type, another dtype or shape, or a NaN can come from anywhere, so
    such a name stands only if no passed check that calls the same functions speaks against it. What is right and costs too
    much says still less: there no passed check at all may speak against it.
    """
    if not names or _has_wrong_numbers(number, matcher):
        return names
    functions = {call.function for call in matcher.evidence[number].calls}
    every = matcher.evidence[number].measured
    for other, item in enumerate(matcher.evidence):
        if not item.failed and (every or not functions.isdisjoint(call.function for call in item.calls)):
            names = matcher.explaining(other, names)
    return names


def _has_wrong_numbers(number: int, matcher: _Matcher) -> bool:
    """Whether some answer of the check holds finite numbers that are not the solution's."""
    item = matcher.evidence[number]
    answers = matcher.answers(number)
    if answers is None:
        return False
    for position, outcome in enumerate(item.outcomes):
        right = answers.answer(answers.number(SOLUTION, position))
        if isinstance(outcome, Value) and isinstance(right, Value) and differ_in_numbers(outcome.value, right.value):
            return True
    return False


def _ranking(singles: dict[int, list[str]], matcher: _Matcher, checks: int) -> dict[str, tuple[int, int]]:
    """How well each candidate fits: failed checks that it explains, then agreement over all checks."""
    candidates = sorted({name for names in singles.values() for name in names})
    agreed = dict.fromkeys(candidates, 0)
    if len(candidates) > 1:
        for number in range(checks):
            for name in matcher.explaining(number, candidates):
                agreed[name] += 1
    return {name: (sum(name in names for names in singles.values()), agreed[name]) for name in candidates}


def _pairs(
    unexplained: list[int], evidence: Sequence[Evidence], oracle: Any, matcher: _Matcher
) -> dict[int, tuple[str, ...]]:
    """Two ideas at once, within a time limit; a pair found for one check is tried first on the next."""
    found: dict[int, tuple[str, ...]] = {}
    deadline = time.perf_counter() + PAIR_SECONDS
    order = _likely_pairs(evidence, oracle, matcher)
    for number in unexplained:
        item = evidence[number]
        for pair in [*dict.fromkeys(found.values()), *order]:
            if time.perf_counter() > deadline:
                return found
            answers = oracle.pair(*pair, item.calls)
            if answers is not None and matches(item.outcomes, answers, matcher.tolerances):
                found[number] = pair
                break
    return found


def _likely_pairs(evidence: Sequence[Evidence], oracle: Any, matcher: _Matcher) -> list[tuple[str, str]]:
    """Pairs of ideas, the likeliest first: what one of them leaves unexplained is just what the other changes.

    Each set of calls is a number with one bit a call.
    """
    changed = dict.fromkeys(oracle.wrong, 0)  # the calls that a variant answers otherwise than the solution
    left = dict.fromkeys(oracle.wrong, 0)  # the calls that the submission answers otherwise than a variant
    differs, bit = 0, 1
    for number, item in enumerate(evidence):
        answers = matcher.answers(number)
        if answers is None:
            continue
        for position, outcome in enumerate(item.outcomes):
            right = answers.number(SOLUTION, position)
            numbers = {name: answers.number(name, position) for name in oracle.wrong}
            same = {
                which: same_outcome(outcome, answers.answer(which), matcher.tolerances)
                for which in {right, *numbers.values()}
            }
            differs |= 0 if same[right] else bit
            for name, which in numbers.items():
                changed[name] |= 0 if which == right else bit
                left[name] |= 0 if same[which] else bit
            bit <<= 1
    useful = [name for name in oracle.wrong if changed[name] & differs]

    def unlikely(pair: tuple[str, str]) -> int:
        one, two = pair
        return (changed[two] ^ left[one]).bit_count() + (changed[one] ^ left[two]).bit_count()

    return sorted(combinations(useful, 2), key=unlikely)[:PAIRS_TRIED]
