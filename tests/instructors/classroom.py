"""A class for tests and benchmarks: students with right answers in several forms, every wrong variant, and what goes wrong in real classes.

Submissions are made from what `nbgrader generate_assignment` released, as a student's editing would.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grader.logic.hints import without_hints
from grader.logic.marks import CODE, HIDDEN, PUBLIC, cell_id
from grader.logic.notebook import compose
from grader.logic.variants import apply
from grader.model.types import Exercise
from grader.system.course import Course
from grader.verbs.grading import Sources

Notebook = dict[str, Any]
EXERCISE = "attention"
LINK = "$\\href{javascript:alert(1)}{x}$"


@dataclass(frozen=True)
class Student:
    """Who hands in what: the file's name, its bytes, its time; ``kind``: right, wrong, stub, broken, hostile or damaged."""

    name: str
    kind: str
    data: bytes
    file: str = f"{EXERCISE}.ipynb"
    timestamp: str = "2026-10-01 12:00:00.000000 UTC"
    idea: str = ""
    same_as: str = ""  # a damaged file that is worth as much as this student's

    def called(self, name: str) -> Student:
        """The same work under another name."""
        return replace(self, name=name)


class Classroom:
    """Submissions to one exercise, made of its release."""

    def __init__(self, course: Course, exercise: Exercise, release: Notebook) -> None:
        self.sources = Sources(course, exercise)
        self.exercise = exercise
        self.release = release
        self.task = without_hints(self.sources.text("task.md"))

    def filled(self, source: str) -> Notebook:
        """The released notebook with a module's code in its cells."""
        written = compose(self.task, source, self.exercise.steps, self.exercise.name)["cells"]
        texts = {cell["id"]: cell["source"] for cell in written if cell["cell_type"] == "code"}
        by_step = {cell_id(self.exercise.name, step.name, CODE): f"{step.name}-code" for step in self.exercise.steps}
        book = copy.deepcopy(self.release)
        for cell in book["cells"]:
            name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
            key = by_step.get(name, cell.get("id", ""))
            if key in texts and (not name or name in by_step):
                cell["source"] = texts[key]
        return book

    def students(self) -> Iterator[Student]:
        """Everybody, in a fixed order."""
        solution = self.sources.solution
        yield self._student("solution", "right", self.filled(solution))
        for variant in self.sources.variants:
            kind = "right" if variant.kind == "right" else "wrong"
            book = self.filled(apply(solution, variant))
            yield self._student(f"{kind}_{variant.name}", kind, book, idea=variant.name if kind == "wrong" else "")
        yield self._student("stub", "stub", self.release)
        yield from self._broken()
        yield from self._damaged(self.filled(solution))
        yield from self._hostile(self.filled(solution))
        late = "2026-10-09 12:00:00.000000 UTC"
        yield Student("late", "right", _bytes(self.filled(solution)), timestamp=late, same_as="solution")

    def _student(self, name: str, kind: str, book: Notebook, **more: Any) -> Student:
        return Student(name, kind, _bytes(book), **more)

    def _broken(self) -> Iterator[Student]:
        yield Student("empty", "broken", b"")
        yield Student("not_json", "broken", b"PK\x03\x04 this is no notebook")
        yield Student("other_json", "broken", b'["a", "list"]')
        yield Student("old_format", "broken", json.dumps({"nbformat": 3, "worksheets": [{"cells": []}]}).encode())
        yield Student("no_cells", "broken", json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}}).encode())
        book = copy.deepcopy(self.release)
        for cell in book["cells"]:
            if cell["cell_type"] == "code" and "nbgrader" in cell["metadata"]:
                cell["source"] = "def broken(:"
        yield self._student("syntax_errors", "broken", book)

    def _damaged(self, right: Notebook) -> Iterator[Student]:
        """What happens to notebooks by accident or on purpose; each is worth what it holds of the right answer."""

        def damaged(name: str, change: Callable[[Notebook], None], same_as: str = "solution", **more: Any) -> Student:
            book = copy.deepcopy(right)
            change(book)
            return self._student(f"damaged_{name}", "damaged", book, same_as=same_as, **more)

        step = self.exercise.steps[0].name
        public, hidden, code = (cell_id(self.exercise.name, step, kind) for kind in (PUBLIC, HIDDEN, CODE))

        def at(book: Notebook, name: str) -> int:
            named = [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in book["cells"]]
            return named.index(name)

        def twice(name: str) -> Callable[[Notebook], None]:
            def change(book: Notebook) -> None:
                book["cells"].insert(at(book, name), copy.deepcopy(book["cells"][at(book, name)]))

            return change

        def gone(name: str) -> Callable[[Notebook], None]:
            return lambda book: book["cells"].pop(at(book, name))

        def split(name: str) -> Callable[[Notebook], None]:
            def change(book: Notebook) -> None:
                place = at(book, name)
                whole = book["cells"][place]
                lines = "".join(whole["source"]).splitlines(keepends=True)
                middle = 1 if name != code else next(n for n, line in enumerate(lines) if n and line.startswith("def "))
                parts = [copy.deepcopy(whole), copy.deepcopy(whole)]
                parts[0]["source"], parts[1]["source"] = "".join(lines[:middle]), "".join(lines[middle:])
                book["cells"][place : place + 1] = parts

            return change

        def typed(name: str, kind: str) -> Callable[[Notebook], None]:
            def change(book: Notebook) -> None:
                cell = book["cells"][at(book, name)]
                cell["cell_type"] = kind
                for key in ("outputs", "execution_count"):
                    cell.pop(key, None)

            return change

        def marked(name: str, **values: Any) -> Callable[[Notebook], None]:
            return lambda book: book["cells"][at(book, name)]["metadata"]["nbgrader"].update(values)

        def without_metadata(book: Notebook) -> None:
            for cell in book["cells"]:
                cell["metadata"] = {}
            book["metadata"] = {}

        def rewritten(book: Notebook) -> None:
            book["cells"][at(book, public)]["source"] = "1.5"
            book["cells"][at(book, hidden)]["source"] = "print('2.5')\n2.5"

        def renamed_cells(book: Notebook) -> None:
            book["cells"][at(book, hidden)]["metadata"]["nbgrader"]["grade_id"] = "something_else"

        yield damaged("public_twice", twice(public))
        yield damaged("hidden_twice", twice(hidden))
        yield damaged("code_twice", twice(code))
        yield damaged("public_deleted", gone(public))
        yield damaged("hidden_deleted", gone(hidden))
        yield damaged("all_locked_deleted", lambda book: book.update(
            cells=[c for c in book["cells"] if not c["metadata"].get("nbgrader", {}).get("locked")]))  # fmt: skip
        yield damaged("code_deleted", gone(code), same_as="")
        yield damaged("public_split", split(public))
        yield damaged("hidden_split", split(hidden))
        yield damaged("public_retyped", typed(public, "markdown"))
        yield damaged("hidden_retyped", typed(hidden, "raw"))
        yield damaged("code_retyped", typed(code, "markdown"), same_as="damaged_code_deleted")
        yield damaged("solution_true", marked(hidden, solution=True))
        yield damaged("grade_false", marked(public, grade=False))
        yield damaged("grade_on_code", marked(code, grade=True, points=1000, locked=True))
        yield damaged("foreign_points", marked(hidden, points=1000))
        yield damaged("unknown_schema", marked(hidden, schema_version=99))
        yield damaged("schema_is_text", marked(public, schema_version="three"))
        yield damaged("no_metadata", without_metadata)
        yield damaged("locked_rewritten", rewritten)
        yield damaged("renamed_cell", renamed_cells)
        yield damaged("renamed_file", lambda book: None, file=f"{EXERCISE} (1).ipynb")

    def _hostile(self, right: Notebook) -> Iterator[Student]:
        """Submissions that try for marks, or for the instructor's browser; none earns more than the code that it holds."""
        code = [n for n, cell in enumerate(self.release["cells"]) if cell["cell_type"] == "code"]

        def stub_with(name: str, source: str) -> Student:
            book = copy.deepcopy(self.release)
            book["cells"][code[0]]["source"] += "\n\n" + source
            return self._student(f"hostile_{name}", "hostile", book)

        yield stub_with(
            "patches_pytest",
            "import sys\nsys.modules['pytest'] = None\nimport numpy\nnumpy.allclose = lambda *a, **k: True",
        )
        yield stub_with(
            "patches_ipython",
            "get_ipython = lambda: None\nclass G:\n    def __getattr__(self, n): return 30.0\nget_ipython().user_ns = G()",
        )
        yield stub_with(
            "patches_nbgrader",
            "try:\n    import nbgrader.utils\n    nbgrader.utils.determine_grade = lambda *a: (1.0, 1.0)\nexcept BaseException:\n    pass",
        )
        yield stub_with("prints_scores", "print('2.5')\n2.5")
        book = copy.deepcopy(self.release)
        for cell in book["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"] = [
                    {
                        "output_type": "execute_result",
                        "data": {"text/plain": "2.5"},
                        "metadata": {},
                        "execution_count": 1,
                    }
                ]
        yield self._student("hostile_stored_outputs", "stub", book)
        script = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
        book = copy.deepcopy(right)
        book["metadata"] = {"title": script, "kernelspec": {"name": script, "language": script, "display_name": script}}
        book["cells"].insert(2, {"cell_type": "markdown", "metadata": {"tags": [script]}, "id": "x1", "source": script,
                                 "attachments": {"a.svg": {"image/svg+xml": f"<svg>{script}</svg>"}}})  # fmt: skip
        book["cells"].insert(3, {"cell_type": "raw", "metadata": {"format": "text/html"}, "id": "x2", "source": script})
        book["cells"].insert(4, {"cell_type": "markdown", "metadata": {}, "id": "x3",
                                 "source": f"[click](javascript:document.title='owned') {LINK} ```\n{script}"})  # fmt: skip
        book["cells"].insert(5, {"cell_type": "code", "metadata": {}, "id": "x4", "execution_count": 1,
                                 "source": f"shown = {script!r}",
                                 "outputs": [{"output_type": "display_data", "data": {"text/html": script}, "metadata": {}}]})  # fmt: skip
        yield Student("hostile_script", "hostile_right", _bytes(book), same_as="solution")


def hand_in(students: list[Student], root: Path) -> None:
    """Put submissions where `nbgrader collect` puts them."""
    for student in students:
        folder = root / "submitted" / student.name / EXERCISE
        folder.mkdir(parents=True, exist_ok=True)
        (folder / student.file).write_bytes(student.data)
        (folder / "timestamp.txt").write_text(student.timestamp, encoding="utf-8")
        (folder / "submission_secret.txt").write_text(f"a secret of {student.name}'s", encoding="utf-8")


def _bytes(book: Notebook) -> bytes:
    return json.dumps(book, indent=1, ensure_ascii=False).encode()
