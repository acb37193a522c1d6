"""Notebooks: reading the code of a student's, and writing the one that a student starts from."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from grader.logic.stub import FUNCTIONS, definitions, is_main_block, parse
from grader.model.errors import CourseError
from grader.model.types import Cell, Step

CHECK = "grader: check"
DEMO = "grader: demo"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

_MARKED = re.compile(r"#\s*grader:\s*(check|demo)\b")
_PYTHON_MAGICS = {"time", "timeit", "capture", "prun"}
_CELL_MAGIC = re.compile(r"%%\s*(\w+)?")
_MAGIC = r"""\s*(?: [%!]                                         # %magic, !command
            | get_ipython\(\)\.                              # the same, as Jupyter exports it
            | [A-Za-z_][\w., \[\]]*=\s*(?:![^=]|%[A-Za-z])  # name = !command, name = %magic
            | \?{1,2}\s*[%\w]                               # ?name
            | [%A-Za-z_][\w.*\[\]'"]*\?{1,2}[\s;]*$         # name?
        )"""
_MAGIC_LINE = re.compile(_MAGIC, re.VERBOSE)
_HOLDS_MAGIC = re.compile(f"^{_MAGIC}", re.VERBOSE | re.MULTILINE)


def cells_of(data: object) -> list[Cell]:
    """The code of a notebook (parsed JSON) as the NOTEBOOK contract has it, in order.

    A cell's number is its place among the code cells, from 1; left-out cells are counted. Left out are cells
    that are tagged, or begin with, ``# grader: check`` or ``# grader: demo``, cells of another language
    (``%%bash``), and cells without code. In a cell that is not Python as it is, or that calls IPython, each magic,
    shell and help line that begins a statement becomes an empty line (``pass`` in a block), so line numbers stay.
    Missing metadata, ids and outputs do not matter. Raises ValueError, with a sentence for the student, where the data
    is not a notebook, of a format before 4, or without code cells.
    """
    found = [(number, cell, _source_of(cell, number)) for number, cell in enumerate(_code_cells(data), start=1)]
    cells = [Cell(code_of(source), number) for number, cell, source in found if not _is_tagged(cell)]
    return [cell for cell in cells if cell.source.strip()]


def code_of(source: str) -> str:
    """What counts of one code cell's text; empty where nothing does.

    A cell that does nothing but call the grader (``check(...)``) is a check cell without its first line, too.
    """
    if _MARKED.match(source.lstrip()) or _only_calls_the_grader(source):
        return ""
    return _python_of(source)


def compose(task_markdown: str, stub_source: str, steps: Sequence[Step], exercise: str) -> dict[str, Any]:
    """The notebook, as nbformat 4.5, that a student starts from.

    In order: the task up to its first step; how to go on; what the stub gives (docstring, imports, constants,
    helpers), a heading and a cell for each part that a ruled comment (``# ------ given: helpers``) begins; the worked
    example (the stub's ``if __name__ == "__main__"`` block, or ``main()``), where there is one; per step its section of
    the task, its functions, and a cell that checks it; the example again; the rest of the task, hints left out. Every
    other statement of the stub is in exactly one cell; a class that several steps fill in comes with the first of them.
    ``exercise`` is the exercise's name. The same input gives the same notebook, ids included. Raises CourseError where
    steps and sections do not match one to one.
    """
    task = _sections(task_markdown, steps)
    given, by_step = _split(stub_source, steps)
    demo = _demo(stub_source)
    cells = [_markdown("intro", task.intro), _markdown("how", _how(exercise, bool(demo)))]
    for title, text in given:
        cells += [_markdown(f"{_slug(title)}-title", f"## {title[:1].upper()}{title[1:]}")] if title else []
        cells.append(_code(_slug(title) if title else "given", text))
    cells += [_code("example", demo, DEMO)] if demo else []
    for step in steps:
        cells.append(_markdown(f"{step.name}-task", task.steps[step.name]))
        if by_step[step.name]:
            cells.append(_code(f"{step.name}-code", by_step[step.name]))
        call = f'check("{exercise}", "{step.name}")'
        text = f"# {CHECK}\nfrom grader.shell.in_notebook import check\n\n{call}"
        cells.append(_code(f"{step.name}-check", text, CHECK))
    if demo:
        cells += [_markdown("demo-title", "## The example again"), _code("demo", demo, DEMO)]
    cells += [_markdown(f"rest-{_slug(title)}", text) for title, text in task.rest]
    return {
        "cells": _with_unique_ids([cell for cell in cells if cell["source"]]),
        "metadata": copy.deepcopy(METADATA),
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


def _is_tagged(cell: dict[str, Any]) -> bool:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    names = [re.sub(r"[^a-z]+", " ", tag.lower()).strip() for tag in tags or () if isinstance(tag, str)]
    return bool({"grader check", "grader demo"} & set(names))


def _only_calls_the_grader(source: str) -> bool:
    if "check" not in source:
        return False
    try:
        return all(_is_of_the_grader(node) for node in parse(source).body)
    except SyntaxError:
        return False


def _is_of_the_grader(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] == "grader"
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"


def _python_of(source: str) -> str:
    if not _HOLDS_MAGIC.search(source):  # whether it parses or not; parsing takes its time
        return source
    if _parses(source):
        return _without_magics(source) if "get_ipython()." in source else source
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


_RULE = re.compile(r"# ?[-=]{8,} *(.*?) *[-=]*$")


def _split(source: str, steps: Sequence[Step]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The stub's text that is given, in titled parts, and by step what is to be written; main blocks are in neither."""
    tree = parse(source)
    owner = _owners(tree, steps)
    places = {name: number for number, name in enumerate(step.name for step in steps)}
    given: list[tuple[str, list[str]]] = [("", [])]
    by_step: dict[str, list[str]] = {step.name: [] for step in steps}
    step_of_name: dict[str, str] = {}
    for nodes, chunk in _chunks(source, tree):
        if all(is_main_block(node) for node in nodes):
            continue
        title, text = _without_rule(chunk)
        wanted = [owner[id(node)] for node in nodes if id(node) in owner]
        wanted = wanted or [step_of_name[name] for node in nodes for name in _needed(node) if name in step_of_name]
        if wanted:
            step = max(wanted, key=places.__getitem__)
            step_of_name |= {name: step for node in nodes for name in _bound(node)}
            by_step[step].append(text)
        else:
            if title:
                given.append((title, []))
            given[-1][1].append(text)
    parts = [(title, _joined(texts)) for title, texts in given]
    return [(title, text) for title, text in parts if text], {name: _joined(texts) for name, texts in by_step.items()}


def _without_rule(chunk: str) -> tuple[str, str]:
    """The title in the ruled comment above a statement, and the chunk without that comment."""
    lines = chunk.split("\n")
    for number, line in enumerate(lines):
        if line.strip() and not line.startswith("#"):
            break
        if (rule := _RULE.match(line)) is not None:
            return rule[1], "\n".join(lines[:number] + lines[number + 1 :])
    return "", chunk


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
    """The cell that runs the worked example; `example` says what is missing while functions are."""
    if not (body := _example(source)):
        return ""
    return f"# {DEMO}\nfrom grader.shell.in_notebook import example\n\nwith example():\n{body}"


def _example(source: str) -> str:
    """The main block's text, indented as it is."""
    tree = parse(source)
    for node in filter(is_main_block, tree.body):
        if node.body[0].lineno == node.lineno:
            return "\n".join(f"    {ast.unparse(statement)}" for statement in node.body)
        return "\n".join(source.split("\n")[node.lineno : node.end_lineno]).strip("\n")
    return "    main()" if "main" in dict(definitions(tree)) else ""


def _how(exercise: str, has_example: bool) -> str:
    example = " Where the text has you run the file, run the example below again." if has_example else ""
    return f"""\
## How to go on

Run the cells from the top: Shift + Enter runs one and goes to the next. In each step, write your code in the cell \
that says `# write your code here`, run it, then run the cell below it, which checks it. A step without such a cell \
goes on with an earlier one.{example}

- Try things in cells that begin with `# {DEMO}`: they are not graded. All other cells are, from top to bottom.
- Stuck? Save, and say `grader hint {exercise}` in a terminal. At the end: `grader check {exercise}`.
- *No module named 'grader'*? Then Jupyter runs outside this course. In the course's folder: \
`make setup EXTRAS=nbgrader`, then `.venv/bin/jupyter lab`."""


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
