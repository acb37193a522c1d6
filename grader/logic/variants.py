"""Variants: edits of the solution, read from ``variants.toml`` (VARIANTS) and applied to its text."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from grader.logic.stub import (
    FUNCTIONS,
    Function,
    definitions,
    docstring_of,
    parse,
    the_definition,
    without_docstrings,
)
from grader.model.errors import CourseError
from grader.model.types import Edit, Variant

HINT_WORDS = 25
_KEYS = {"name", "says", "find", "put", "edits", "replace", "convention", "hint"}
_ONLY_WRONG = ("convention", "hint")


@dataclass(frozen=True)
class Equivalent:
    """A mutant (by its name) that no check can tell from the solution, and why."""

    mutant: str
    why: str


def parse_variants(toml_data: dict[str, Any]) -> tuple[list[Variant], list[Equivalent]]:
    """The variants, wrong ones first, and the equivalent mutants of a parsed ``variants.toml``.

    Raises CourseError, naming the entry, for an unknown or missing key, a value of the wrong type, an empty ``says``,
    a name used twice or not in snake_case, none or several of find/put, edits and replace, an edit that
    puts what it finds, a hint of more than `HINT_WORDS` words, and a hint or convention on a right variant.
    """
    for key in toml_data:
        if key not in ("wrong", "right", "equivalent"):
            raise _error("", f"unknown table “{key}”", "Tables are [[wrong]], [[right]] and [[equivalent]].")
    variants = [_variant(kind, entry) for kind in ("wrong", "right") for entry in _entries(toml_data, kind)]
    equivalents = [_equivalent(entry) for entry in _entries(toml_data, "equivalent")]
    _demand_unique("variant", [variant.name for variant in variants])
    _demand_unique("equivalent mutant", [equivalent.mutant for equivalent in equivalents])
    return variants, equivalents


@lru_cache(maxsize=1024)
def apply(source: str, variant: Variant) -> str:
    """The solution as the variant has it.

    Each ``find`` must occur exactly once in the source. With ``replace``, each function of the replacement text
    takes the place of the source's function of that name, decorators and docstring included (without a docstring of its
    own it keeps the source's); so does each method given in a ``class Name:`` body, and each assigned constant.
    Names that the source lacks are helpers: functions, classes and constants come before the source's first
    definition, imports after its imports, methods at the end of their class. Raises CourseError where that cannot
    be done, where the outcome is not valid Python, and where it says the same as the source.
    """
    edited = _spliced(source, _changes(source, variant).splices)
    try:
        tree = parse(edited)
        compile(edited, variant.name, "exec", dont_inherit=True)
    except SyntaxError as problem:
        raise _error(variant.name, f"the edited solution is not valid Python ({problem})") from None
    if _dump(tree) == _dump(parse(source)):
        raise _error(variant.name, "the edited solution says the same as the solution", "Change something.")
    return edited


def apply_pair(source: str, a: Variant, b: Variant) -> str | None:
    """The solution with both variants' edits, the same in either order; None where they collide.

    They collide when they touch the same text, when one replaces a function that the other one touches,
    when they bring different helpers of one name, and when one of them or the outcome is not valid.
    """
    try:
        first, second = _changes(source, a), _changes(source, b)
    except CourseError:
        return None
    if any(one.overlaps(other) for one in first.splices for other in second.splices):
        return None
    if any(first.helpers[name] != second.helpers[name] for name in first.helpers.keys() & second.helpers.keys()):
        return None
    known = set(first.splices)
    edited = _spliced(source, first.splices + tuple(splice for splice in second.splices if splice not in known))
    try:
        parse(edited)
    except SyntaxError:
        return None
    return edited


def changed_functions(source: str, edited: str) -> set[str]:
    """Top-level functions and methods (``Class.method``) that differ in more than formatting and docstrings.

    Functions that only one of the two defines count as changed. Neither source may be invalid (SyntaxError).
    """
    before, after = _dumps(source), _dumps(edited)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


class _Splice(NamedTuple):
    """source[start:end] becomes text; an insertion where start == end."""

    start: int
    end: int
    text: str

    def overlaps(self, other: _Splice) -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class _Changes:
    splices: tuple[_Splice, ...]
    helpers: dict[str, str] = field(default_factory=dict)


def _entries(toml_data: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    entries = toml_data.get(kind, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _error("", f"“{kind}” is not a list of tables", f"Write [[{kind}]] with two brackets.")
    return entries


def _variant(kind: Literal["wrong", "right"], entry: dict[str, Any]) -> Variant:
    name = _text(entry, "name", f"[[{kind}]]")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise _error(name, "the name is not in snake_case", "Use small letters, digits and underscores.")
    for key in entry:
        if key not in _KEYS:
            raise _error(name, f"unknown key “{key}”", f"Keys are {', '.join(sorted(_KEYS))}.")
        if key in _ONLY_WRONG and kind == "right":
            raise _error(name, f"a right variant has no “{key}”", "It is never diagnosed.")
    says = _text(entry, "says", name)
    hint = _text(entry, "hint", name) if "hint" in entry else ""
    if len(hint.split()) > HINT_WORDS:
        raise _error(name, f"the hint has {len(hint.split())} words", f"{HINT_WORDS} are the most.")
    forms = [form for form, keys in _FORMS.items() if any(key in entry for key in keys)]
    if len(forms) != 1:
        found = " and ".join(forms) if forms else "no edit"
        raise _error(name, f"it has {found}", "Give one of find/put, edits, replace.")
    convention = _text(entry, "convention", name) if "convention" in entry else ""
    replace = _text(entry, "replace", name) if "replace" in entry else ""
    return Variant(name, kind, says, _edits(entry, name), replace, convention, hint)


_FORMS = {"find/put": ("find", "put"), "edits": ("edits",), "replace": ("replace",)}


def _edits(entry: dict[str, Any], name: str) -> tuple[Edit, ...]:
    if "find" in entry or "put" in entry:
        return (_edit({key: entry[key] for key in ("find", "put") if key in entry}, name),)
    if "edits" not in entry:
        return ()
    edits = entry["edits"]
    if not isinstance(edits, list) or not edits or not all(isinstance(edit, dict) for edit in edits):
        raise _error(name, "“edits” is not a list of {find, put}")
    return tuple(_edit(edit, name) for edit in edits)


def _edit(edit: dict[str, Any], name: str) -> Edit:
    for key in edit:
        if key not in ("find", "put"):
            raise _error(name, f"unknown key “{key}” in an edit", "An edit has find and put.")
    find = _text(edit, "find", name)
    put = edit.get("put")
    if not isinstance(put, str):
        raise _error(name, "“put” is missing" if put is None else "“put” is not a text")
    if find == put:
        raise _error(name, "“put” is the same as “find”")
    return Edit(find, put)


def _equivalent(entry: dict[str, Any]) -> Equivalent:
    for key in entry:
        if key not in ("mutant", "why"):
            raise _error("[[equivalent]]", f"unknown key “{key}”", "Keys are mutant, why.")
    mutant = _text(entry, "mutant", "[[equivalent]]")
    return Equivalent(mutant, _text(entry, "why", mutant))


def _text(entry: dict[str, Any], key: str, name: str) -> str:
    value = entry.get(key)
    if value is None:
        raise _error(name, f"“{key}” is missing")
    if not isinstance(value, str):
        raise _error(name, f"“{key}” is not a text")
    if not value.strip():
        raise _error(name, f"“{key}” is empty")
    return value


def _demand_unique(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _error(twice[0], f"there is more than one {what} of this name")


def _error(name: str, message: str, mend: str = "") -> CourseError:
    return CourseError(f"variants.toml{f', {name}' if name else ''}: {message}.", mend)


@lru_cache(maxsize=1024)
def _changes(source: str, variant: Variant) -> _Changes:
    changes = _replacement(source, variant) if variant.replace else _textual(source, variant)
    ordered = sorted(changes.splices)
    for one, other in pairwise(ordered):
        if one.overlaps(other):
            raise _error(variant.name, "two of its edits touch the same text")
    return changes


def _textual(source: str, variant: Variant) -> _Changes:
    if not variant.edits:
        raise _error(variant.name, "it has no edit")
    return _Changes(tuple(_find(source, edit, variant.name) for edit in variant.edits))


def _find(source: str, edit: Edit, name: str) -> _Splice:
    starts = [match.start() for match in re.finditer(f"(?={re.escape(edit.find)})", source)]
    if len(starts) != 1:
        lines = ", ".join(str(source.count("\n", 0, start) + 1) for start in starts)
        where = f" (lines {lines})" if starts else ""
        raise _error(
            name, f"“{edit.find.strip()}” occurs {len(starts)} times in the solution{where}", "It must occur once."
        )
    return _Splice(starts[0], starts[0] + len(edit.find), edit.put)


def _replacement(source: str, variant: Variant) -> _Changes:
    text = textwrap.dedent(variant.replace).strip("\n")
    try:
        tree, new = parse(source), parse(text)
    except SyntaxError as problem:
        raise _error(variant.name, f"the replacement or the solution is not valid Python ({problem})") from None
    if not new.body:
        raise _error(variant.name, "the replacement defines nothing")
    page = _Page(source, tree)
    splices: list[_Splice] = []
    helpers: dict[str, str] = {}
    for node in new.body:
        splices.extend(_placed(page, node, text, variant.name, helpers))
    repeated = [name for name, times in _count(new) if times > 1]
    if repeated:
        raise _error(variant.name, f"the replacement defines “{repeated[0]}” twice")
    if helpers:
        at = page.first_definition()
        splices.append(_Splice(at, at, "".join(f"{helper}\n\n\n" for helper in helpers.values())))
    return _Changes(tuple(splices), helpers)


def _count(tree: ast.Module) -> Iterator[tuple[str, int]]:
    names = [name for name, _ in definitions(tree)]
    return ((name, names.count(name)) for name in names)


class _Page:
    """A source with its tree, and where its lines begin."""

    def __init__(self, source: str, tree: ast.Module) -> None:
        self.source = source
        self.tree = tree
        self.lines = source.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def span(self, node: ast.stmt) -> tuple[int, int]:
        """The whole lines of a statement, its decorators included, without the last line's end."""
        return self.starts[_first_line(node) - 1], min(self.starts[node.end_lineno] - 1, len(self.source))

    def first_definition(self) -> int:
        """Where helpers go: before the first function or class; the end where there is none."""
        for node in self.tree.body:
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                return self.span(node)[0]
        return len(self.source)

    def after_imports(self) -> int:
        """Where imports go: after the last import or docstring that stands before the first definition."""
        at = 0
        for node in self.tree.body:
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                break
            if isinstance(node, (ast.Import, ast.ImportFrom)) or node is docstring_of(self.tree):
                at = min(self.span(node)[1] + 1, len(self.source))
        return at

    def class_named(self, name: str) -> ast.ClassDef | None:
        return next((node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)

    def constant(self, target: str) -> ast.stmt | None:
        return next((node for node in self.tree.body if _target(node) == target), None)


def _placed(page: _Page, node: ast.stmt, text: str, name: str, helpers: dict[str, str]) -> Iterator[_Splice]:
    """Where a statement of the replacement goes; helpers are only noted."""
    if isinstance(node, FUNCTIONS):
        if node.name in dict(definitions(page.tree)):
            yield _function_splice(page, the_definition(page.tree, node.name), node, text)
        else:
            helpers[node.name] = _lines_of(text, node)
    elif isinstance(node, ast.ClassDef):
        owner = page.class_named(node.name)
        if owner is None:
            helpers[node.name] = _lines_of(text, node)
        else:
            yield from _method_splices(page, owner, node, text, name)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        if ast.dump(node) not in {ast.dump(other) for other in page.tree.body}:
            at = page.after_imports()
            yield _Splice(at, at, _lines_of(text, node) + "\n")
    elif target := _target(node):
        constant = page.constant(target)
        if constant is None:
            helpers[target] = _lines_of(text, node)
        else:
            yield _Splice(*page.span(constant), _lines_of(text, node))
    else:
        raise _error(name, f"the replacement's line {node.lineno} is no definition, import or constant")


def _target(node: ast.stmt) -> str:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else ""


def _method_splices(page: _Page, owner: ast.ClassDef, new: ast.ClassDef, text: str, name: str) -> Iterator[_Splice]:
    known = {node.name for node in owner.body if isinstance(node, FUNCTIONS)}
    for node in new.body:
        if not isinstance(node, FUNCTIONS):
            raise _error(name, f"the replacement's class “{new.name}” holds more than methods", "Use find and put.")
        if node.name in known:
            yield _function_splice(page, the_definition(page.tree, f"{new.name}.{node.name}"), node, text)
        else:
            end = page.span(owner)[1]
            yield _Splice(end, end, "\n\n" + _at_column(_lines_of(text, node), node, owner.body[0].col_offset))


def _function_splice(page: _Page, old: Function, new: Function, text: str) -> _Splice:
    written = _lines_of(text, new)
    docstring = docstring_of(old)
    if docstring and not docstring_of(new):
        written = _with_docstring(text, new, ast.get_source_segment(page.source, docstring))
    return _Splice(*page.span(old), _at_column(written, new, old.col_offset))


def _with_docstring(text: str, node: Function, docstring: str) -> str:
    """The function's lines with that docstring before the first statement."""
    lines = text.split("\n")
    first = node.body[0]
    number = _first_line(first) - 1
    line = lines[number].encode()
    before, after = line[: first.col_offset].decode(), line[first.col_offset :].decode()
    if before.strip():
        indent = " " * (node.col_offset + 4)
        lines[number] = f"{before.rstrip()}\n{indent}{docstring}\n{indent}{after}"
    else:
        lines[number] = f"{before}{docstring}\n{lines[number]}"
    return "\n".join(lines[_first_line(node) - 1 : node.end_lineno])


def _at_column(written: str, node: Function, column: int) -> str:
    if node.col_offset == column:
        return written
    return textwrap.indent(ast.unparse(parse(textwrap.dedent(written))), " " * column)


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])


def _lines_of(text: str, node: ast.stmt) -> str:
    return "\n".join(text.split("\n")[_first_line(node) - 1 : node.end_lineno])


def _spliced(source: str, splices: tuple[_Splice, ...]) -> str:
    for splice in sorted(splices, reverse=True):
        source = source[: splice.start] + splice.text + source[splice.end :]
    return source


def _dump(tree: ast.Module) -> str:
    return ast.dump(without_docstrings(tree))


def _dumps(source: str) -> dict[str, str]:
    tree = without_docstrings(parse(source))
    return {name: ast.dump(node) for name, node in definitions(tree)}
