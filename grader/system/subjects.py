"""The two faces that a check sees: ``student`` over a submission, ``reference`` over the solution.

A *subject* answers requests: a `host.Worker` for a submission, an `InProcess` for trusted code of the course (the
solution, a variant). Both number the objects that do not cross in the same order, so that recorded requests can be
replayed on either.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from grader.logic import wire
from grader.logic.asserting import Asked, Record, StudentFailure
from grader.logic.tensors import Tensor, dtype_name, tensor
from grader.logic.wire import Handle
from grader.model.types import COST, Call, Kind, Outcome, Raised, Value
from grader.system import meter, modules
from grader.system.objects import Fused, Objects

LOW_PRECISION = {"float16", "bfloat16", "float32"}


class Subject(Protocol):
    """Whatever can be asked."""

    def answer(self, call: Call) -> Outcome:
        """What comes of one request."""


class InProcess:
    """Trusted code as a subject: arguments are copied, exceptions become plain data.

    ``exact``: what the code makes itself is float64 too, where the framework has a default dtype.
    """

    def __init__(self, namespace: dict[str, Any], fused: Fused | None = None, *, exact: bool = False) -> None:
        self._objects = Objects(namespace, fused, copies=True, exact=exact)
        self._exact = exact

    def answer(self, call: Call) -> Outcome:
        return self._measured(call) if call.kind == "cost" else self._answer(call)

    def _measured(self, call: Call) -> Outcome:
        """The answer with its cost, worked out in a fork of this process, which is measured as a worker is."""
        try:
            data, spent = meter.apart(lambda: _told(self._answer(replace(call, kind="through"))))
        except meter.NotMeasured:
            return Value(dict(COST))
        kind, *content = wire.decode(data)
        return Value({"value": content[0], **spent._asdict()}) if kind == "value" else Raised(*content, frames=())

    def _answer(self, call: Call) -> Outcome:
        exact = self._exact and "torch" in sys.modules
        try:
            if exact:
                modules.exactly(True)
            with np.errstate(all="ignore"):
                request = (call.kind, call.name, call.args, call.kwargs, call.target, call.echo, call.source)
                return Value(*self._objects.answer(*request))
        except Exception as error:
            bases = tuple(base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins")
            return Raised(type(error).__name__, bases, str(error), ())
        finally:
            if exact:
                modules.exactly(False)


def _told(outcome: Outcome) -> bytes:
    """What comes out of a fork: objects stay there, and are lost."""
    if isinstance(outcome, Value) and not _holds_handle(outcome.value):
        return wire.encode(("value", outcome.value))
    if not isinstance(outcome, Raised):
        outcome = Raised("TypeError", ("TypeError",), "what is measured has to return plain data", ())
    return wire.encode(("raised", outcome.type, outcome.bases, outcome.message))


def _holds_handle(value: Any) -> bool:
    found: list[Handle] = []
    _with_handles(value, lambda handle: found.append(handle) or handle)
    return bool(found)


class Face:
    """What a check sees of a subject: attribute access gives functions that ask it.

    ``framework``: arrays in arguments cross as tensors where that is torch.
    """

    def __init__(self, framework: str) -> None:
        self._framework = framework

    def __getattr__(self, name: str) -> Function:
        if name.startswith("_"):
            raise AttributeError(name)
        return Function(self, name)

    def _call(self, name: str, args: tuple, kwargs: dict, **more: Any) -> Any:
        return self._ask(Call(name, self._plain(args), self._plain(kwargs), **more))

    def _ask(self, call: Call) -> Any:
        raise NotImplementedError

    def _plain(self, value: Any) -> Any:
        """Arguments as they cross: arrays copied (a check may go on to use its own), remote objects as their handles."""
        kind = type(value)
        if kind is np.ndarray:
            return tensor(value.copy("K")) if self._framework == "torch" else value.copy("K")
        if kind is Remote:
            if value._face is not self:
                raise TypeError("an object of the student's was given to the reference, or the other way round")
            return value._handle
        if kind in (list, tuple):
            return kind(self._plain(item) for item in value)
        if kind is dict:
            return {key: self._plain(item) for key, item in value.items()}
        return value

    def _wrapped(self, value: Any, call: Call) -> Any:
        kind = type(value)
        if kind is Handle:
            return Remote(self, value, call.name)
        if kind in (list, tuple):
            return kind(self._wrapped(item, call) for item in value)
        if kind is dict:
            return {key: self._wrapped(item, call) for key, item in value.items()}
        return value


class Function:
    """A function or method on the other side; calling it asks."""

    def __init__(self, face: Face, name: str, target: Remote | None = None) -> None:
        self._face = face
        self._name = name
        self._target = target

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._request("call", args, kwargs)

    def _request(self, kind: Kind, args: tuple, kwargs: dict) -> Any:
        behind = {"target": self._target._handle.number, "made_by": self._target._made_by} if self._target else {}
        return self._face._call(self._name, args, kwargs, kind=kind, **behind)


class Remote:
    """An object that stayed on the other side: call its methods, get and set its attributes, pass it as an argument."""

    def __init__(self, face: Face, handle: Handle, made_by: str) -> None:
        self._face = face
        self._handle = handle
        self._made_by = made_by

    @property
    def type_name(self) -> str:
        """What the submission calls the object's type; its word only."""
        return self._handle.type_name

    def get(self, name: str) -> Any:
        """The attribute's value: plain data, or another handle."""
        return Function(self._face, name, self)._request("get", (), {})

    def set(self, name: str, value: Any) -> None:
        """Set an attribute to plain data or to the object behind a handle."""
        Function(self._face, name, self)._request("set", (value,), {})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return Function(self._face, "__call__", self)(*args, **kwargs)

    def __getattr__(self, name: str) -> Function:
        if name.startswith("_"):
            raise AttributeError(name)
        return Function(self._face, name, self)

    def _request(self, kind: Kind, args: tuple, kwargs: dict) -> Any:
        return Function(self._face, "__call__", self)._request(kind, args, kwargs)


class Student(Face):
    """The fixture ``student``: the submission in its worker.

    Objects that stay with the submission are numbered here, from 1 in each check and in the order in which they came: a
    replay on a variant counts the same way, and a number that a submission makes up means nothing.
    """

    def __init__(self, subject: Subject, record: Record, framework: str = "numpy") -> None:
        super().__init__(framework)
        self._subject = subject
        self._record = record
        self._theirs: list[Handle] = []

    def with_inputs_after(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, list[Any]]:
        """Call a function; its result and its arguments (positional, then keywords) as they are afterwards."""
        result = self._call(name, args, kwargs, echo=True)
        outcome = self._record.asked[-1].outcome
        assert isinstance(outcome, Value)
        return result, outcome.after or []

    def _ask(self, call: Call) -> Any:
        outcome = self._numbered(self._subject.answer(self._sent(call)))
        asked = Asked(call, outcome)
        self._record.asked.append(asked)
        if not isinstance(outcome, Value):
            raise StudentFailure(call, outcome)
        result = self._wrapped(outcome.value, call)
        asked.result = result["value"] if call.kind == "cost" else result
        return result

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


class Reference(Face):
    """The fixture ``reference``: the solution's answers in float64, with the dtypes for the inputs as they are.

    The arrays in an answer are read-only: one answer serves all submissions of a session.
    """

    def __init__(self, answer: Callable[[Call], tuple[Any, Any]], record: Record, framework: str = "numpy") -> None:
        super().__init__(framework)
        self._answer = answer
        self._record = record

    def _ask(self, call: Call) -> Any:
        value, dtypes = self._answer(call)
        wrapped = self._wrapped(value, call)
        self._record.references.append((wrapped, dtypes))
        return wrapped


class Referee:
    """The solution twice: as it is, for the dtypes that it returns, and in float64, for the numbers.

    Once, as it is, where its cost is asked for.
    """

    def __init__(self, native: InProcess, exact: InProcess) -> None:
        self._native = native
        self._exact = exact

    def ask(self, call: Call) -> tuple[Any, Any]:
        """The solution's value with all floating inputs raised to float64, and its dtypes for the inputs as given."""
        native = _value_of(self._native.answer(call), call)
        if call.kind == "cost":
            return native, _dtypes(native)
        args, kwargs = _raised_to_float64(call.args), _raised_to_float64(call.kwargs)
        exact = _value_of(self._exact.answer(replace(call, args=args, kwargs=kwargs)), call)
        return exact, _dtypes(native)


def frozen(value: Any) -> Any:
    """The same value with its arrays made read-only."""
    if isinstance(value, (np.ndarray, Tensor)):
        (value.raw if isinstance(value, Tensor) else value).setflags(write=False)
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


def _raised_to_float64(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_raised_to_float64, value))
    if isinstance(value, dict):
        return {key: _raised_to_float64(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic, Tensor)) and dtype_name(value) in LOW_PRECISION:
        return tensor(value, "float64") if isinstance(value, Tensor) else value.astype(np.float64)
    return value


def _dtypes(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_dtypes(item) for item in value]
    if isinstance(value, dict):
        return {key: _dtypes(item) for key, item in value.items()}
    return dtype_name(value) if isinstance(value, (np.ndarray, np.generic, Tensor)) else None
