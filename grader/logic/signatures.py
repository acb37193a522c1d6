"""The names of parameters, read from source without running it."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

from grader.model.types import Call

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parameters_of(source: str) -> dict[str, list[str]]:
    """The parameter names of each top-level function and method, without ``self``; a class has its ``__init__``'s."""
    found = {}
    for name, node in functions_of(source):
        given = node.args
        names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        owner, _, method = name.rpartition(".")
        found[name] = names[1:] if owner else names
        if method == "__init__":
            found[owner] = found[name]
    return found


def functions_of(source: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Top-level functions by name, methods as ``Class.method``."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    yield f"{node.name}.{item.name}", item


@functools.lru_cache(maxsize=64)
def _of_helper(source: str) -> dict[str, list[str]]:
    return parameters_of(source)


def of_call(call: Call, parameters: dict[str, list[str]]) -> list[str]:
    """The parameter names of what a call calls: a helper's that goes along, or the exercise's."""
    return (_of_helper(call.source) if call.source else parameters).get(call.function, [])


def used_by(call: Call) -> list[str]:
    """The names of the submission that a call needs."""
    if call.source:
        return re.findall(r"\bsubmission\.(\w+)", call.source)
    return [] if call.target else [call.name]
