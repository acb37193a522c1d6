"""The two faces that a check sees: ``student`` over a submission, ``reference`` over the solution.

A *subject* answers requests: a `host.Worker` for a submission, an `InProcess` for trusted code of the course (the
solution, a variant). Both number the objects that do not cross in the same order, so that recorded requests can be
replayed on either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from grader.logic.asserting import Asked, Record, StudentFailure
from grader.logic.wire import Handle, NotPlain, encode
from grader.model.types import Call, Outcome, Raised, Value


class Subject(Protocol):
    """Whatever can be asked."""

    def answer(self, call: Call) -> Outcome:
        """What comes of one request."""


class InProcess:
    """Trusted code as a subject: arguments are copied, exceptions become plain data."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.objects: dict[int, Any] = {}

    def answer(self, call: Call) -> Outcome:
        try:
            args, kwargs = self._arrived(call.args), self._arrived(call.kwargs)
            with np.errstate(all="ignore"):
                if call.kind == "get":
                    return Value(self._leaving(getattr(self.objects[call.target], call.name)))
                if call.kind == "set":
                    setattr(self.objects[call.target], call.name, args[0])
                    return Value(None)
                function = getattr(self.objects[call.target], call.name) if call.target else self.namespace[call.name]
                result = self._leaving(function(*args, **kwargs))
        except Exception as error:
            bases = tuple(base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins")
            return Raised(type(error).__name__, bases, str(error), ())
        return Value(result, self._leaving([*args, *kwargs.values()]) if call.echo else None)

    def _arrived(self, value: Any) -> Any:
        kind = type(value)
        if kind is np.ndarray:
            return value.copy("K")
        if kind is Handle:
            return self.objects[value.number]
        if kind in (list, tuple):
            return kind(self._arrived(item) for item in value)
        if kind is dict:
            return {key: self._arrived(item) for key, item in value.items()}
        return value

    def _leaving(self, value: Any) -> Any:
        kind = type(value)
        if kind is np.ndarray:
            return value
        if isinstance(value, (list, tuple)):
            plain: Any = list if isinstance(value, list) else tuple
            return plain(self._leaving(item) for item in value)
        if isinstance(value, dict):
            return {key: self._leaving(item) for key, item in value.items()}
        try:
            encode(value)
        except NotPlain:
            number = len(self.objects) + 1
            self.objects[number] = value
            return Handle(number, kind.__name__)
        return value


class Student:
    """The fixture ``student``: attribute access gives functions that call into the submission.

    Objects that stay with the submission are numbered here, from 1 in each check and in the order in which they came: a
    replay on a variant counts the same way, and a number that a submission makes up means nothing.
    """

    def __init__(self, subject: Subject, record: Record) -> None:
        self._subject = subject
        self._record = record
        self._theirs: list[Handle] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self._ask(Call(name, _plain(args), _plain(kwargs)))

    def with_inputs_after(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, list[Any]]:
        """Call a function; its result and its arguments (positional, then keywords) as they are afterwards."""
        call = Call(name, _plain(args), _plain(kwargs), echo=True)
        result = self._ask(call)
        outcome = self._record.asked[-1].outcome
        assert isinstance(outcome, Value)
        return result, outcome.after or []

    def _ask(self, call: Call) -> Any:
        outcome = self._numbered(self._subject.answer(self._sent(call)))
        asked = Asked(call, outcome)
        self._record.asked.append(asked)
        if not isinstance(outcome, Value):
            raise StudentFailure(call, outcome)
        asked.result = self._wrapped(outcome.value)
        return asked.result

    def _sent(self, call: Call) -> Call:
        """The call with the numbers that the subject itself gave to its objects."""
        if not self._theirs:
            return call
        target = self._theirs[call.target - 1].number if call.target else None
        args, kwargs = self._theirs_in(call.args), self._theirs_in(call.kwargs)
        return replace(call, args=args, kwargs=kwargs, target=target)

    def _theirs_in(self, value: Any) -> Any:
        return _with_handles(value, lambda handle: self._theirs[handle.number - 1])

    def _numbered(self, outcome: Outcome) -> Outcome:
        if not isinstance(outcome, Value):
            return outcome
        return Value(_with_handles(outcome.value, self._new), _with_handles(outcome.after, self._new))

    def _new(self, handle: Handle) -> Handle:
        self._theirs.append(handle)
        return Handle(len(self._theirs), handle.type_name)

    def _wrapped(self, value: Any) -> Any:
        kind = type(value)
        if kind is Handle:
            return Remote(self, value)
        if kind in (list, tuple):
            return kind(self._wrapped(item) for item in value)
        if kind is dict:
            return {key: self._wrapped(item) for key, item in value.items()}
        return value


class Remote:
    """An object that stayed in the worker: call its methods, get and set its attributes, pass it as an argument."""

    def __init__(self, student: Student, handle: Handle) -> None:
        self._student = student
        self._handle = handle

    @property
    def type_name(self) -> str:
        """What the submission calls the object's type; its word only."""
        return self._handle.type_name

    def get(self, name: str) -> Any:
        """The attribute's value: plain data, or another handle."""
        return self._student._ask(Call(name, target=self._handle.number, kind="get"))

    def set(self, name: str, value: Any) -> None:
        """Set an attribute to plain data or to the object behind a handle."""
        self._student._ask(Call(name, (_plain(value),), target=self._handle.number, kind="set"))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._student._ask(Call("__call__", _plain(args), _plain(kwargs), target=self._handle.number))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        number = self._handle.number
        return lambda *args, **kwargs: self._student._ask(Call(name, _plain(args), _plain(kwargs), target=number))


def _with_handles(value: Any, change: Callable[[Handle], Handle]) -> Any:
    """Plain data with each handle in it changed."""
    kind = type(value)
    if kind is Handle:
        return change(value)
    if kind in (list, tuple):
        return kind(_with_handles(item, change) for item in value)
    if kind is dict:
        return {key: _with_handles(item, change) for key, item in value.items()}
    return value


def _plain(value: Any) -> Any:
    """Arguments as they cross: arrays copied (a check may go on to use its own), remote objects as their handles."""
    kind = type(value)
    if kind is np.ndarray:
        return value.copy("K")
    if kind is Remote:
        return value._handle
    if kind in (list, tuple):
        return kind(_plain(item) for item in value)
    if kind is dict:
        return {key: _plain(item) for key, item in value.items()}
    return value


class Reference:
    """The fixture ``reference``: the solution's answers in float64, with the dtypes for the inputs as they are.

    The arrays in an answer are read-only: one answer serves all submissions of a session.
    """

    def __init__(self, answer: Callable[[Call], tuple[Any, Any]], record: Record) -> None:
        self._answer = answer
        self._record = record

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def ask(*args: Any, **kwargs: Any) -> Any:
            value, dtypes = self._answer(Call(name, args, kwargs))
            self._record.references.append((value, dtypes))
            return value

        return ask


def exact_answer(solution: InProcess, call: Call) -> tuple[Any, Any]:
    """The solution's value with all floating inputs raised to float64, and its dtypes for the inputs as given."""
    native = _value_of(solution.answer(call), call)
    raised = Call(call.name, _raised_to_float64(call.args), _raised_to_float64(call.kwargs))
    needed = _holds_low_precision(call.args) or _holds_low_precision(call.kwargs)
    exact = _value_of(solution.answer(raised), call) if needed else native
    return exact, _dtypes(native)


def frozen(value: Any) -> Any:
    """The same value with its arrays made read-only."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif isinstance(value, (list, tuple)):
        for item in value:
            frozen(item)
    elif isinstance(value, dict):
        frozen(list(value.values()))
    return value


def _value_of(outcome: Outcome, call: Call) -> Any:
    if not isinstance(outcome, Value):
        raise RuntimeError(f"the solution gave no answer to {call.name}: {outcome}")
    return outcome.value


def _low(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype in (np.float16, np.float32)


def _holds_low_precision(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_low_precision, value))
    if isinstance(value, dict):
        return any(map(_holds_low_precision, value.values()))
    return _low(value)


def _raised_to_float64(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_raised_to_float64, value))
    if isinstance(value, dict):
        return {key: _raised_to_float64(item) for key, item in value.items()}
    return value.astype(np.float64) if _low(value) else value


def _dtypes(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_dtypes(item) for item in value]
    if isinstance(value, dict):
        return {key: _dtypes(item) for key, item in value.items()}
    return value.dtype.name if isinstance(value, (np.ndarray, np.generic)) else None
