"""What a submission imports that its exercise does not allow."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from grader.logic.stub import parse


def forbidden_imports(source: str, allowed: Collection[str], own: str) -> list[tuple[int, str]]:
    """(line, top-level module) of each import that is not allowed, in order of the text; "." for a relative one.

    Counted are import statements wherever they stand, under ``if TYPE_CHECKING`` too, and ``__import__`` and
    ``import_module`` with a literal name. A name in ``allowed`` allows the module with all that is in it, so
    "os.path" allows no other part of os. ``own``, the name of the exercise's module, is always allowed.
    A source that does not parse gives an empty list. This tells a learner of the rule; it keeps nobody out.
    """
    try:
        tree = parse(source)
    except SyntaxError:
        return []
    fine = {own, *allowed}
    found = {(line, module) for line, module in _imports(tree) if not _is_allowed(module, fine)}
    return sorted({(line, module.split(".")[0] or ".") for line, module in found})


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, "." if node.level else f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _imports_by_call(node.func) and (name := _literal_name(node)):
            yield node.lineno, "." if name.startswith(".") else name


def _imports_by_call(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("__import__", "import_module")


def _literal_name(node: ast.Call) -> str:
    values = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "name")]
    texts = [value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    return texts[0] if texts else ""


def _is_allowed(module: str, fine: Collection[str]) -> bool:
    if module.startswith("."):
        return False
    parts = module.split(".")
    return any(".".join(parts[:length]) in fine for length in range(1, len(parts) + 1))
