"""The live oracle: runs the solution and its variants in the grader's process.

Only code of the course is run here. Checks and diagnosis ask an oracle and do not look behind it: this one and
`tape.Tape` answer the same questions.
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Callable
from typing import Any

from grader.logic.diagnose import SOLUTION
from grader.logic.variants import apply, apply_pair
from grader.model.errors import CourseError
from grader.model.types import Call, Outcome, Variant
from grader.system.objects import Fused
from grader.system.subjects import InProcess, Referee
from grader.system.tape import digest, packed


class Live:
    """Answers from the solution's source and its wrong variants."""

    def __init__(self, name: str, source: str, variants: tuple[Variant, ...], fused: Fused | None = None) -> None:
        self.name = name
        self._fused = fused or {}
        self.source = source
        self.variants = {variant.name: variant for variant in variants if variant.kind == "wrong"}
        self.wrong = tuple(self.variants)
        self._code = compile(source, f"<solution of {name}>", "exec", dont_inherit=True)
        self._texts = frozenset(text for _, text in _statements(source))
        self._referees: dict[str, tuple[Referee, int]] = {}
        self._patches: dict[str, types.CodeType] = {}
        self._replays: dict[str, tuple[list[bytes], Replays]] = {}
        self._pairs: dict[tuple[str, str], types.CodeType | None] = {}

    def reference(self, check: str, index: int, call: Call) -> tuple[Any, Any]:
        """The solution's exact answer and the dtypes that go with it, for the check's ``index``-th question to it.

        Objects that a check made stay here until it asks again from the start.
        """
        if index == 0:
            native, exact = (namespace_of(self._code, self.name) for _ in range(2))
            self._referees[check] = (
                Referee(InProcess(native, self._fused), InProcess(exact, self._fused, exact=True)),
                0,
            )
        referee, asked = self._referees.get(check, (None, 0))
        if referee is None or index != asked:
            raise CourseError(f"The check {check!r} asks its reference in another order than before.")
        self._referees[check] = referee, asked + 1
        return referee.ask(call)

    def solution(self) -> InProcess:
        """The solution as a subject, with no objects yet."""
        return self._subject(namespace_of(self._code, self.name))

    def variant(self, name: str) -> InProcess:
        """A wrong variant as a subject."""
        namespace = namespace_of(self._code, self.name)
        exec(self._patch(name), namespace)
        return self._subject(namespace)

    def edited(self, source: str) -> InProcess:
        """Any edit of the solution as a subject."""
        namespace = namespace_of(self._code, self.name)
        exec(_changes(self._texts, source, "an edit"), namespace)
        return self._subject(namespace)

    def pair(self, first: str, second: str, calls: list[Call]) -> Callable[[int], Outcome] | None:
        """What two wrong variants at once answer to the calls; None where their edits collide."""
        if (first, second) not in self._pairs:
            edited = apply_pair(self.source, self.variants[first], self.variants[second])
            code = None if edited is None else _changes(self._texts, edited, f"{first}+{second}")
            self._pairs[first, second] = code
        patch = self._pairs[first, second]
        if patch is None:
            return None
        namespace = namespace_of(self._code, self.name)
        exec(patch, namespace)
        return replay(self._subject(namespace), calls)

    def answers(self, check: str, calls: list[Call]) -> Replays:
        """What the wrong variants answer to the check's calls; each is computed when it is asked for.

        Helpers may do much work, so what was replayed of them last is kept for the next submission that is asked the same.
        """
        if not any(call.source for call in calls):
            return Replays(self, calls)
        asked = [digest(call) for call in calls]
        if check not in self._replays or self._replays[check][0] != asked:
            self._replays[check] = asked, Replays(self, calls)
        return self._replays[check][1]

    def _subject(self, namespace: dict[str, Any]) -> InProcess:
        return InProcess(namespace, self._fused)

    def _patch(self, name: str) -> types.CodeType:
        # A variant changes a function or two: compiling these alone costs a tenth of compiling the module.
        if name not in self._patches:
            self._patches[name] = _changes(self._texts, apply(self.source, self.variants[name]), name)
        return self._patches[name]


class Replays:
    """The answers of all wrong variants to one sequence of calls."""

    def __init__(self, live: Live, calls: list[Call]) -> None:
        self._live = live
        self._calls = calls
        self._running: dict[str, Callable[[int], Outcome]] = {}
        self._given: dict[bytes, Outcome] = {}

    def number(self, variant: str, position: int) -> bytes:
        """As in `diagnose.Answers`."""
        answer = self._answer(variant, position)
        number = packed(answer)
        self._given.setdefault(number, answer)
        return number

    def answer(self, number: bytes) -> Outcome:
        """As in `diagnose.Answers`."""
        return self._given[number]

    def _answer(self, variant: str, position: int) -> Outcome:
        if variant not in self._running:
            subject = self._live.variant(variant) if variant != SOLUTION else self._live.solution()
            self._running[variant] = replay(subject, self._calls)
        return self._running[variant](position)


def replay(subject: InProcess, calls: list[Call]) -> Callable[[int], Outcome]:
    """The subject's answers to a sequence of calls, by position, computed in order and once."""
    answered: list[Outcome] = []

    def at(position: int) -> Outcome:
        while len(answered) <= position:
            answered.append(subject.answer(calls[len(answered)]))
        return answered[position]

    return at


def namespace_of(code: types.CodeType, name: str) -> dict[str, Any]:
    """The namespace that running a module's code leaves."""
    module = types.ModuleType(name)
    sys.modules.setdefault(name, module)  # dataclasses look their module up
    exec(code, module.__dict__)
    return module.__dict__


def _statements(source: str) -> list[tuple[ast.stmt, str]]:
    """The top-level statements with their text, decorators included."""
    lines = source.split("\n")
    found = []
    for node in ast.parse(source).body:
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
        found.append((node, "\n".join(lines[first - 1 : node.end_lineno])))
    return found


def _changes(before: frozenset[str], edited: str, name: str) -> types.CodeType:
    """Code that turns the solution's namespace into the edited one: its changed and added top-level statements."""
    statements = _statements(edited)
    future = [node for node, _ in statements if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    changed = [node for node, text in statements if text not in before and node not in future]
    return compile(ast.Module(future + changed, []), f"<variant {name}>", "exec", dont_inherit=True)
