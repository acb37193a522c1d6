"""What a check may assert, and the record of the check that is running.

An assertion that fails raises `Mismatch` with a `Finding`; words for it are made later, because how much may be said
depends on whether the check is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from grader.logic.judge import Finding, compare
from grader.model.types import Call, Died, Outcome, Raised


@dataclass
class Asked:
    """One call that the running check made, and what came back."""

    call: Call
    outcome: Outcome
    result: Any = None


@dataclass
class Record:
    """All that the running check did: its calls, the reference's answers with the dtypes demanded, what it compared."""

    tolerances: Mapping[str, float]
    asked: list[Asked] = field(default_factory=list)
    references: list[tuple[Any, Any]] = field(default_factory=list)
    compared: list[tuple[Any, Any, Any, float | None]] = field(default_factory=list)

    def call_of(self, result: Any) -> Call | None:
        """The call that gave this very object, else the last call made."""
        for asked in reversed(self.asked):
            if asked.result is result and result is not None:
                return asked.call
        return self.asked[-1].call if self.asked else None

    def call_that_gave(self, result: Any) -> Call | None:
        """The same, where the first None that was given is meant by None: a check judges answers in their order."""
        if result is None:
            return next((asked.call for asked in self.asked if asked.result is None), None)
        return self.call_of(result)

    def dtypes_of(self, expected: Any) -> Any:
        """The dtypes that go with a reference's answer, with a part of one, of several put together; None for what is a check's own."""
        found = (_dtypes_within(value, dtypes, expected) for value, dtypes in self.references)
        known = next((dtypes for dtypes in found if dtypes is not None), None)
        if known is None and isinstance(expected, (list, tuple)):
            return [self.dtypes_of(item) for item in expected]
        if known is None and isinstance(expected, dict):
            return {key: self.dtypes_of(item) for key, item in expected.items()}
        return known


def _dtypes_within(value: Any, dtypes: Any, expected: Any) -> Any:
    if value is expected:
        return dtypes
    items: Any = ()
    if isinstance(value, (list, tuple)) and isinstance(dtypes, (list, tuple)):
        items = zip(value, dtypes, strict=False)
    elif isinstance(value, dict) and isinstance(dtypes, dict):
        items = ((item, dtypes.get(key)) for key, item in value.items())
    return next((found for item, part in items if (found := _dtypes_within(item, part, expected)) is not None), None)


class Mismatch(AssertionError):
    """An assertion of a check did not hold."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.kind)
        self.finding = finding


class StudentFailure(Exception):
    """The submission raised, or gave no answer, where the check needed one."""

    def __init__(self, call: Call, outcome: Raised | Died) -> None:
        super().__init__(outcome)
        self.call = call
        self.outcome = outcome


_records: list[Record] = []


def begin(record: Record) -> None:
    """From now on, assertions belong to this record."""
    _records[:] = [record]


def _record() -> Record:
    return _records[0] if _records else Record({})


def assert_close(got: Any, expected: Any, tolerance: float | None = None, dtype: Any = None) -> None:
    """``got`` has the type, dtype, shape and numbers of ``expected``.

    ``expected`` usually comes from ``reference``, which also knows the dtype to demand; ``dtype`` demands another.
    The tolerance comes from the exercise's table by dtype, or is given. Nested tuples, lists and dicts are compared
    item by item; a Python number and an array without axes count as the same.
    """
    record = _record()
    dtypes = dtype if dtype is not None else record.dtypes_of(expected)
    record.compared.append((got, expected, dtypes, tolerance))
    finding = compare(got, expected, record.tolerances, dtypes=dtypes, tolerance=tolerance)
    if finding is not None:
        finding.call = record.call_that_gave(got)
        raise Mismatch(finding)


def assert_raises(error: type[BaseException], function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Calling ``function`` (one of ``student``'s) raises ``error`` or a subclass of it."""
    try:
        got = function(*args, **kwargs)
    except StudentFailure as failure:
        if isinstance(failure.outcome, Raised) and failure.outcome.is_a(error.__name__):
            return
        if isinstance(failure.outcome, Died) or failure.outcome.is_unwritten:
            raise
        raise Mismatch(Finding("raised", error.__name__, failure.outcome, call=failure.call)) from None
    raise Mismatch(Finding("did_not_raise", error.__name__, got, call=_record().call_of(got)))


def assert_unchanged(before: Any, after: Any, what: str = "an input") -> None:
    """An array that was handed to the submission still holds what it held."""
    mine, theirs = np.asarray(after), np.asarray(before)
    if mine.shape != theirs.shape or mine.dtype != theirs.dtype or not np.array_equal(mine, theirs, equal_nan=True):
        raise Mismatch(Finding("changed", before, after, call=_record().call_of(None), notes={"what": what}))


def assert_that(condition: Any, *, asked: str, expected: str, got: str) -> None:
    """Anything else that has to hold; the three texts are shown where the check is public."""
    if not condition:
        notes = {"asked": asked, "expected": expected, "got": got}
        raise Mismatch(Finding("claim", call=_record().call_of(None), notes=notes))
