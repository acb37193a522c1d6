"""Answers requests over one namespace: calls, attributes of objects that stay here, modules with their weights.

The same code answers in the worker, over a submission, and in the grader's process, over the solution and its variants, so
that both mean the same by a gradient or by the name of a weight.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from grader.logic import wire
from grader.logic.tensors import Tensor
from grader.logic.wire import Handle, NotPlain
from grader.system import modules

PLAIN_DTYPES = frozenset(wire.DTYPES)
Fused = dict[str, tuple[str, ...]]


class Objects:
    """A namespace that is asked things; what is not plain data stays here, and a `Handle` goes instead.

    ``fused`` names layers that may stand in the place of several (see `modules`); ``copies``: arrays that arrive are
    somebody else's; ``exact``: whatever would lower the precision of a module is left out.
    """

    def __init__(
        self, namespace: dict[str, Any], fused: Fused | None = None, *, copies: bool = False, exact: bool = False
    ) -> None:
        self.namespace = namespace
        self.objects: dict[int, Any] = {}
        self._fused = fused or {}
        self._copies = copies
        self._exact = exact
        self._helpers: dict[str, dict[str, Any]] = {}

    def answer(
        self,
        kind: str,
        name: str,
        args: tuple = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
        target: int | None = None,
        echo: bool = False,
        source: str = "",
    ) -> tuple[Any, ...]:
        """(result,) of one request, or (result, arguments afterwards) with ``echo``; raises what the code raises."""
        if "torch" in sys.modules:
            modules.begin()
        arguments = [self._arrived(item) for item in args]
        keywords = {key: self._arrived(item) for key, item in kwargs.items()}
        result = self._leaving(self._result(kind, name, target, source, arguments, keywords))
        if echo:
            return result, self._leaving([*arguments, *keywords.values()])
        return (result,)

    def _result(self, kind: str, name: str, target: int | None, source: str, args: list[Any], kwargs: dict) -> Any:
        if kind == "call":
            return self._function(name, target)(*args, **kwargs)
        if kind == "get":
            return getattr(self.objects[target], name)  # type: ignore[index]
        if kind == "set":
            return setattr(self.objects[target], name, args[0])  # type: ignore[index]
        if kind == "through":
            return self._helper(source, name)(*args, **kwargs)
        if kind == "gradients":
            return modules.gradients(self._function(name, target), self.objects.get(target), self._fused, args, kwargs)
        module = self.objects[target]  # type: ignore[index]
        if kind == "weights":
            return modules.weights(module, self._fused)
        if kind == "set_weights":
            return modules.set_weights(module, self._fused, args[0])
        if kind == "count":
            return modules.count(module)
        if kind == "cast":
            return None if self._exact else modules.cast(module, args[0])
        raise ValueError(f"there is no request {kind!r}")

    def _function(self, name: str, target: int | None) -> Callable[..., Any]:
        if target:
            found = self.objects[target]
            return found if name == "__call__" else getattr(found, name)
        try:
            return self.namespace[name]
        except KeyError:
            raise AttributeError(f"the file has no {name}") from None

    def _helper(self, source: str, name: str) -> Callable[..., Any]:
        """A function of a check's own, which sees the submission's module as ``submission``."""
        if source not in self._helpers:
            submission = types.SimpleNamespace(**self.namespace)
            helpers = {"submission": submission, "__name__": "helpers"}
            exec(compile(source, "<the check's helper>", "exec", dont_inherit=True), helpers)
            self._helpers[source] = helpers
        return self._helpers[source][name]

    def _arrived(self, value: Any) -> Any:
        """What came over the border, with handles turned back into the objects that they stand for."""
        kind = type(value)
        if kind is np.ndarray:
            return value.copy("K") if self._copies else value
        if kind is Tensor:
            return modules.to_torch(Tensor(value.raw.copy("K"), value.dtype) if self._copies else value)
        if kind is Handle:
            return self.objects[value.number]
        if kind in (list, tuple):
            return kind(self._arrived(item) for item in value)
        if kind is dict:
            return {key: self._arrived(item) for key, item in value.items()}
        return value

    def _leaving(self, value: Any) -> Any:
        """The same for the way back: what is not plain stays here, and a handle goes."""
        kind = type(value)
        if kind is np.ndarray and value.dtype in PLAIN_DTYPES:
            return value
        if isinstance(value, (list, tuple)):  # a named tuple or an ordered dict goes as what it holds
            plain: Any = list if isinstance(value, list) else tuple
            return plain(self._leaving(item) for item in plain.__iter__(value))
        if isinstance(value, dict):
            return {key: self._leaving(item) for key, item in dict.items(value)}
        if "torch" in sys.modules and modules.is_tensor(value):
            return modules.from_torch(value)
        try:
            wire.encode(value)
        except NotPlain:
            number = len(self.objects) + 1
            self.objects[number] = value
            return Handle(number, _name_of(value))
        return value


def _name_of(value: Any) -> str:
    """The name of a type; for an array or a tensor that cannot cross, with the reason."""
    kind = type(value)
    if kind is np.ndarray:
        return f"ndarray[{value.dtype.name}]"
    if "torch" in sys.modules and (reason := modules.why_not(value)):
        return f"{kind.__name__}[{reason}]"
    return kind.__name__
