"""Cutting a stub out of a solution: blanked bodies are found by syntax tree, all other text stays as it is.

Also what other modules need of a source's syntax tree: `parse`, `definitions`, `the_definition`, `without_docstrings`.
Sources have ``\\n`` line ends; whoever reads a file normalises it.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from grader.model.errors import CourseError

STUB_COMMENT = "# write your code here"
STUB_RAISE = "raise NotImplementedError"
BEGIN_MARKER = "### BEGIN SOLUTION"
END_MARKER = "### END SOLUTION"

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Body(NamedTuple):
    """Where a function's body lies: lines[first:end] without its docstring, and the body's indentation."""

    name: str
    first: int
    end: int
    indent: str


def cut_stub(source: str, blanked: Sequence[str]) -> str:
    """The source with each blanked body replaced by `STUB_COMMENT` and `STUB_RAISE`.

    ``blanked`` names functions and methods (``Class.method``). Signatures, decorators, docstrings and the
    blank lines after them stay, as does every byte outside the bodies; comments inside a body, before its
    first or after its last statement go with it. Raises CourseError for a name that the source does not
    define or defines twice, a name given twice, a function without docstring, and a body that begins
    on the line of the signature or of the docstring.
    """
    lines = source.split("\n")
    for body in reversed(_bodies(source, blanked)):
        lines[body.first : body.end] = [body.indent + STUB_COMMENT, body.indent + STUB_RAISE]
    return "\n".join(lines)


def with_markers(source: str, blanked: Sequence[str]) -> str:
    """The source with nbgrader's solution markers around each blanked body.

    nbgrader's ClearSolutions with the code stub ``STUB_COMMENT + "\\n" + STUB_RAISE`` makes exactly
    `cut_stub`'s result of it. Raises CourseError as `cut_stub` does, and where the source has markers already.
    """
    for marker in (BEGIN_MARKER, END_MARKER):
        words = marker.strip("# ")
        if words in source:
            raise CourseError(f"The solution contains the words “{words}”.", "nbgrader would take them for a marker.")
    lines = source.split("\n")
    for body in reversed(_bodies(source, blanked)):
        lines.insert(body.end, body.indent + END_MARKER)
        lines.insert(body.first, body.indent + BEGIN_MARKER)
    return "\n".join(lines)


def bodies(source: str, blanked: Sequence[str]) -> dict[str, str]:
    """The text that `cut_stub` takes out, by name, with its indentation; raises CourseError as `cut_stub` does."""
    lines = source.split("\n")
    return {body.name: "\n".join(lines[body.first : body.end]) for body in _bodies(source, blanked)}


def is_untouched(source: str, stub: str) -> bool:
    """Whether the source still says what the stub says.

    Comments, formatting, docstrings, the order of top-level statements and ``if __name__ == "__main__"`` blocks
    do not count, so the cells of an untouched notebook are untouched too. A source that does not parse, or is nested
    too deep to be compared, is touched.
    """
    try:
        return _statements(source) == _statements(stub)
    except (SyntaxError, RecursionError):
        return False


def parse(source: str) -> ast.Module:
    """The syntax tree, without warnings; SyntaxError whatever keeps the source from being one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (ValueError, RecursionError, MemoryError) as problem:
            raise SyntaxError(str(problem) or "too deeply nested") from None


def definitions(tree: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Top-level functions and the methods of classes, as (name, node), in order of the text."""
    for node in tree.body:
        if isinstance(node, FUNCTIONS):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from definitions(node, f"{prefix}{node.name}.")


def the_definition(tree: ast.Module, name: str) -> Function:
    """The one function or method of that name; CourseError when there is none or more than one."""
    found = [node for known, node in definitions(tree) if known == name]
    if not found:
        raise CourseError(
            f"The solution defines no function “{name}”.", "Name a top-level function or a “Class.method”."
        )
    if len(found) > 1:
        places = ", ".join(str(node.lineno) for node in found)
        raise CourseError(f"The solution defines “{name}” {len(found)} times, in lines {places}.", "Leave one.")
    return found[0]


def docstring_of(node: ast.AST) -> ast.Expr | None:
    """The statement that is the docstring of a module, class or function."""
    first = node.body[0] if getattr(node, "body", None) else None
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return first if is_text else None


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The same tree (changed in place) less all docstrings; bodies may be empty then."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)) and docstring_of(node):
            node.body = node.body[1:]
    return tree


def is_main_block(node: ast.stmt) -> bool:
    """Whether a statement is ``if __name__ == "__main__":``."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def _bodies(source: str, blanked: Sequence[str]) -> list[Body]:
    try:
        tree = parse(source)
    except SyntaxError as problem:
        raise CourseError(f"The solution is not valid Python: {problem}.") from None
    for name, times in Counter(blanked).items():
        if times > 1:
            raise CourseError(f"“{name}” is to be blanked {times} times.", "A function may be blanked once only.")
    lines = source.split("\n")
    return sorted((_body(the_definition(tree, name), name, lines) for name in blanked), key=lambda body: body.first)


def _body(node: Function, name: str, lines: list[str]) -> Body:
    docstring = docstring_of(node)
    if docstring is None:
        raise CourseError(
            f"“{name}” has no docstring.", "A blanked function's docstring is what the learner works from."
        )
    indent = _indent(lines[docstring.lineno - 1])
    if docstring.col_offset != len(indent.encode()):
        raise CourseError(f"The body of “{name}” begins on the line of its signature.", "Give it lines of its own.")
    if len(node.body) > 1 and node.body[1].lineno == docstring.end_lineno:
        raise CourseError(f"The body of “{name}” begins on the line of its docstring.", "Give it lines of its own.")
    end = _end_with_comments(node, lines)
    first = docstring.end_lineno
    while first < end and not lines[first].strip():
        first += 1
    return Body(name, first, end, indent)


def _end_with_comments(node: Function, lines: list[str]) -> int:
    end = node.end_lineno
    for number in range(end, len(lines)):
        text = lines[number].strip()
        if text and not (text.startswith("#") and _width(lines[number]) > _width(lines[node.lineno - 1])):
            break
        if text:
            end = number + 1
    return end


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t\f"))]


def _width(line: str) -> int:
    return len(_indent(line).expandtabs())


def _statements(source: str) -> Counter[str]:
    tree = without_docstrings(parse(source))
    return Counter(ast.dump(node) for node in tree.body if not is_main_block(node))
