"""Notebooks: reading the code of a student's, and writing the one that a student starts from."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from grader.logic.stub import FUNCTIONS, definitions, is_main_block, parse
from grader.model.errors import CourseError
from grader.model.types import Cell, Step

CHECK = "grader: check"
DEMO = "grader: demo"

_MARKED = re.compile(r"#\s*grader:\s*(check|demo)\b")
_PYTHON_MAGICS = {"time", "timeit", "capture", "prun"}
_CELL_MAGIC = re.compile(r"%%\s*(\w+)?")
_MAGIC_LINE = re.compile(
    r"""\s*(?: [%!]                                         # %magic, !command
            | [A-Za-z_][\w., \[\]]*=\s*(?:![^=]|%[A-Za-z])  # name = !command, name = %magic
            | \?{1,2}\s*[%\w]                               # ?name
            | [%A-Za-z_][\w.*\[\]'"]*\?{1,2}\s*;?\s*$       # name?
        )""",
    re.VERBOSE,
)


def cells_of(data: object) -> list[Cell]:
    """The code of a notebook (parsed JSON) as the NOTEBOOK contract has it, in order.

    A cell's number is its place among the code cells, from 1; left-out cells are counted. Left out are cells
    that are tagged, or begin with, ``# grader: check`` or ``# grader: demo``, cells of another language
    (``%%bash``), and cells without code. In a cell that is not Python as it is, each magic, shell and help line
    that begins a statement becomes an empty line (``pass`` in a block), so line numbers stay. Missing metadata, ids
    and outputs do not matter. Raises ValueError, with a sentence for the student, where the data is not a
    notebook, of a format before 4, or without code cells.
    """
    found = [(number, cell, _source_of(cell, number)) for number, cell in enumerate(_code_cells(data), start=1)]
    cells = [Cell(_python_of(source), number) for number, cell, source in found if not _is_marked(cell, source)]
    return [cell for cell in cells if cell.source.strip()]


def compose(task_markdown: str, stub_source: str, steps: Sequence[Step], exercise: str) -> dict[str, Any]:
    """The notebook, as nbformat 4.5, that a student starts from.

    In order: the task up to its first step; a code cell with what the stub gives (docstring, imports, constants,
    helpers); per step its section of the task, its functions, and a cell that checks it; a cell that runs
    the worked example (the stub's ``if __name__ == "__main__"`` block, or ``main()``), where there is one; the rest of
    the task, hints left out. Every other statement of the stub is in exactly one cell; a class that several steps
    fill in comes with the first of them. ``exercise`` is the exercise's name. The same input gives the same notebook,
    ids included. Raises CourseError where steps and sections do not match one to one.
    """
    task = _sections(task_markdown, steps)
    given, by_step = _split(stub_source, steps)
    cells = [_markdown("intro", task.intro), _code("given", given)]
    for step in steps:
        cells.append(_markdown(f"{step.name}-task", task.steps[step.name]))
        if by_step[step.name]:
            cells.append(_code(f"{step.name}-code", by_step[step.name]))
        call = f'check("{exercise}", "{step.name}")'
        text = f"# {CHECK}\nfrom grader.shell.in_notebook import check\n\n{call}"
        cells.append(_code(f"{step.name}-check", text, CHECK))
    if demo := _demo(stub_source):
        cells.append(_code("demo", f"# {DEMO}\n{demo}", DEMO))
    cells += [_markdown(f"rest-{_slug(title)}", text) for title, text in task.rest]
    return {
        "cells": _with_unique_ids([cell for cell in cells if cell["source"]]),
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def dump(notebook: dict[str, Any]) -> str:
    """The notebook's file, laid out as Jupyter itself saves one."""
    cells = [{**cell, "source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    return json.dumps({**notebook, "cells": cells}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _code_cells(data: object) -> list[dict[str, Any]]:
    if not isinstance(data, dict):
        raise ValueError("This is not a notebook: it is JSON of another kind.")
    version = data.get("nbformat")
    if "worksheets" in data or (isinstance(version, (int, float)) and version < 4):
        raise ValueError("This notebook has a format older than 4; open it in Jupyter and save it again.")
    cells = data.get("cells")
    if not isinstance(cells, list):
        raise ValueError("This is not a notebook: it has no list of cells.")
    codes = [cell for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    if not codes:
        raise ValueError("This notebook has no code cells.")
    return codes


def _source_of(cell: dict[str, Any], number: int) -> str:
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise ValueError(f"The source of code cell {number} of this notebook is not text.")
    return source.replace("\r\n", "\n").replace("\r", "\n")


def _is_marked(cell: dict[str, Any], source: str) -> bool:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    names = [re.sub(r"[^a-z]+", " ", tag.lower()).strip() for tag in tags or () if isinstance(tag, str)]
    return bool({"grader check", "grader demo"} & set(names) or _MARKED.match(source.lstrip()))


def _python_of(source: str) -> str:
    if _parses(source):
        return source
    magic = _CELL_MAGIC.match(source.lstrip())
    if magic and magic[1] not in _PYTHON_MAGICS:
        return ""
    return _without_magics(source)


def _parses(source: str) -> bool:
    try:
        parse(source)
    except SyntaxError:
        return False
    return True


def _without_magics(source: str) -> str:
    kept: list[str] = []
    state = _State()
    in_magic = False
    for line in source.split("\n"):
        in_magic = in_magic or (state.is_between_statements and bool(_MAGIC_LINE.match(line)))
        if in_magic:
            indent = line[: len(line) - len(line.lstrip())]
            kept.append(f"{indent}pass" if indent else "")
            in_magic = line.endswith("\\")
        else:
            kept.append(line)
            state = state.after(line)
    return "\n".join(kept)


_TOKENS = re.compile(r"#.*|'''|\"\"\"|'|\"|[\[({]|[\])}]|\\(?=$)|\\.")


class _State(NamedTuple):
    """Where the reading of a source stands at the beginning of a line."""

    depth: int = 0
    quote: str = ""
    continued: bool = False

    @property
    def is_between_statements(self) -> bool:
        return not (self.depth or self.quote or self.continued)

    def after(self, line: str) -> _State:
        depth, quote, continued, at = self.depth, self.quote, False, 0
        while (match := _TOKENS.search(line, at)) is not None:
            token, at = match[0], match.end()
            if quote:
                if token.startswith("#"):
                    at = match.start() + 1
                elif token.startswith(quote):
                    at, quote = match.start() + len(quote), ""
                elif len(token) == 3 and len(quote) == 1:
                    at = match.start() + 1
            elif token[0] in "'\"":
                quote = token
            elif token in "([{":
                depth += 1
            elif token in ")]}":
                depth = max(0, depth - 1)
            continued = token == "\\"
        return _State(depth, quote if len(quote) == 3 or continued else "", continued)


class _Task(NamedTuple):
    """A task's text in parts: before the steps, each step's, and titles with texts of what follows."""

    intro: str
    steps: dict[str, str]
    rest: list[tuple[str, str]]


def _sections(markdown: str, steps: Sequence[Step]) -> _Task:
    intro: list[str] = []
    by_step: dict[str, str] = {}
    rest: list[tuple[str, str]] = []
    for title, text in _headed(markdown):
        name = re.match(r"Step\s+([\w-]+)", title)
        if name and name[1] in by_step:
            raise CourseError(f"task.md has two sections for step “{name[1]}”.", "Leave one.")
        if name:
            by_step[name[1]] = text
        elif title != "Hints":
            if by_step:
                rest.append((title, text))
            else:
                intro.append(text)
    names = [step.name for step in steps]
    for name in names:
        if name not in by_step:
            raise CourseError(f"task.md has no section for step “{name}”.", f"Write “## Step {name}: …”.")
    for name in by_step:
        if name not in names:
            raise CourseError(
                f"task.md has a section for a step “{name}” that exercise.toml lacks.", "Mend one of them."
            )
    return _Task("\n\n".join(text for text in intro if text), by_step, rest)


def _headed(markdown: str) -> Iterator[tuple[str, str]]:
    """(title, text with its heading) of what precedes the first heading of level 2 and of each such section."""
    title, lines, fence = "", [], ""
    for line in markdown.split("\n"):
        mark = re.match(r"\s{0,3}(`{3,}|~{3,})", line)
        if mark:
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        if line.startswith("## ") and not fence:
            yield title, "\n".join(lines).strip()
            title, lines = line[3:].strip(), []
        lines.append(line)
    yield title, "\n".join(lines).strip()


def _split(source: str, steps: Sequence[Step]) -> tuple[str, dict[str, str]]:
    """The stub's text that is given, and by step what is to be written; main blocks are in neither."""
    tree = parse(source)
    owner = _owners(tree, steps)
    places = {name: number for number, name in enumerate(step.name for step in steps)}
    given: list[str] = []
    by_step: dict[str, list[str]] = {step.name: [] for step in steps}
    step_of_name: dict[str, str] = {}
    for nodes, text in _chunks(source, tree):
        if all(is_main_block(node) for node in nodes):
            continue
        wanted = [owner[id(node)] for node in nodes if id(node) in owner]
        wanted = wanted or [step_of_name[name] for node in nodes for name in _needed(node) if name in step_of_name]
        if wanted:
            step = max(wanted, key=places.__getitem__)
            step_of_name |= {name: step for node in nodes for name in _bound(node)}
            by_step[step].append(text)
        else:
            given.append(text)
    return _joined(given), {name: _joined(texts) for name, texts in by_step.items()}


def _joined(chunks: list[str]) -> str:
    return "\n".join(chunks).strip("\n").rstrip()


def _owners(tree: ast.Module, steps: Sequence[Step]) -> dict[int, str]:
    """The step of each top-level function or class that holds a blanked function; of several the first."""
    top = {node.name: node for node in tree.body if isinstance(node, (*FUNCTIONS, ast.ClassDef))}
    known = {name for name, _ in definitions(tree)}
    owners: dict[int, str] = {}
    for step in steps:
        for function in step.functions:
            if function not in known:
                raise CourseError(f"The stub defines no function “{function}” for step “{step.name}”.")
            owners.setdefault(id(top[function.split(".")[0]]), step.name)
    return owners


def _chunks(source: str, tree: ast.Module) -> list[tuple[list[ast.stmt], str]]:
    """Top-level statements with their text, what stands above them included; those that share a line go together."""
    lines = source.split("\n")
    groups: list[list[ast.stmt]] = []
    for node in tree.body:
        if groups and groups[-1][-1].end_lineno == node.lineno:
            groups[-1].append(node)
        else:
            groups.append([node])
    ends = [_chunk_end(group[-1], lines) for group in groups]
    ends[-1:] = [len(lines)]
    return [
        (group, "\n".join(lines[start:end])) for group, start, end in zip(groups, [0, *ends[:-1]], ends, strict=True)
    ]


def _chunk_end(node: ast.stmt, lines: list[str]) -> int:
    """The number of lines up to a statement's end, indented comments below it included."""
    end = node.end_lineno
    for number in range(end, len(lines)):
        if lines[number].strip() and not re.match(r"\s+#", lines[number]):
            break
        if lines[number].strip():
            end = number + 1
    return end


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return {node.name}
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}


def _needed(node: ast.AST) -> set[str]:
    """Names that must exist when a statement runs: all that it reads but in bodies of functions."""
    if isinstance(node, FUNCTIONS):
        parts = [*node.decorator_list, *node.args.defaults, *(value for value in node.args.kw_defaults if value)]
    elif isinstance(node, ast.Lambda):
        parts = [*node.args.defaults, *(value for value in node.args.kw_defaults if value)]
    else:
        parts = list(ast.iter_child_nodes(node))
    own = {node.id} if isinstance(node, ast.Name) else set()
    return own.union(*map(_needed, parts))


def _demo(source: str) -> str:
    tree = parse(source)
    for node in filter(is_main_block, tree.body):
        if node.body[0].lineno == node.lineno:
            return "\n".join(map(ast.unparse, node.body))
        return textwrap.dedent("\n".join(source.split("\n")[node.lineno : node.end_lineno])).strip("\n")
    return "main()" if "main" in dict(definitions(tree)) else ""


def _markdown(identity: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": identity, "metadata": {}, "source": text}


def _code(identity: str, text: str, tag: str = "") -> dict[str, Any]:
    metadata = {"tags": [tag]} if tag else {}
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": identity,
        "metadata": metadata,
        "outputs": [],
        "source": text,
    }


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] or "section"


def _with_unique_ids(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ids as nbformat wants them: letters, digits, - and _, 64 at most, each once."""
    used: set[str] = set()
    for cell in cells:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", cell["id"])[:56]
        identity, number = plain, 1
        while identity in used:
            number += 1
            identity = f"{plain}-{number}"
        used.add(identity)
        cell["id"] = identity
    return cells
