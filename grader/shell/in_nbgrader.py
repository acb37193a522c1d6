"""What stands in nbgrader's places: reading, rebuilding and grading submissions, validation, feedback.

`configure` puts everything there; a course's ``nbgrader_config.py`` calls it. No kernel is started for an exercise of this
course: students' cells run in the worker, and nothing that they print, raise or return reaches a score but through a
check. Assignments of other courses in the same gradebook are left to nbgrader as they were.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbgrader.preprocessors import CheckCellMetadata, ClearOutput, Execute, NbGraderPreprocessor
from nbgrader.validator import Validator
from traitlets import Enum, List, Unicode
from traitlets.config import Config

from grader.logic import feedback, marks
from grader.logic.inert import as_text
from grader.logic.nbgrader_source import CODE_STUB
from grader.logic.notebook import CHECK, METADATA
from grader.logic.rebuild import Piece, is_ours, pieces_of, rebuilt
from grader.model.errors import CannotMark, GraderError
from grader.model.types import Entry, Exercise, KnownCell, Report, Submission
from grader.shell import screen
from grader.system.course import Course, find_course
from grader.system.gradebook import Gradebook
from grader.system.submission import of_notebook, read_submission
from grader.verbs.autograde import STAMP, Autograder, Records, resembling
from grader.verbs.nbconfig import CONFIG

HERE = "grader.shell.in_nbgrader"
NO_KERNEL = "graded-by-the-checks-of-the-course"
CALLED = re.compile(rf'^# {CHECK}\n(?:.*\n)*check\("(\w+)"')
COUNTED = re.compile(r"(\d+) hidden checks?, ([\d.]+) points?")

_autograders: dict[str, Autograder] = {}


def configure(c: Config, kit: str = "", header: bool = True) -> None:
    """Have nbgrader grade with this course: for the ``nbgrader_config.py`` of a course or of a student's folder.

    ``kit`` is the clone that holds the checks; without it, the clone of this engine. ``header``: whether
    ``source/header.ipynb`` stands above every assignment.
    """
    make_alembic_known()
    warnings.filterwarnings("ignore", message=".*not in session", module=r"nbgrader\.api")  # of no use to an instructor
    c.ClearSolutions.code_stub = {"python": CODE_STUB}
    if header:
        c.IncludeHeaderFooter.header = "source/header.ipynb"
    c.GenerateAssignment.preprocessors = [
        "nbgrader.preprocessors.IncludeHeaderFooter",
        "nbgrader.preprocessors.InstantiateTests",
        "nbgrader.preprocessors.LockCells",
        "nbgrader.preprocessors.ClearSolutions",
        "nbgrader.preprocessors.ClearOutput",
        "nbgrader.preprocessors.CheckCellMetadata",
        "nbgrader.preprocessors.ComputeChecksums",
        f"{HERE}.NoKernelForGrading",
        "nbgrader.preprocessors.SaveCells",
        f"{HERE}.KernelForStudents",
        "nbgrader.preprocessors.ClearHiddenTests",
        "nbgrader.preprocessors.ClearMarkScheme",
        "nbgrader.preprocessors.ComputeChecksums",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    c.Autograde.exporter_class = f"{HERE}.ForgivingExporter"
    c.Autograde.pre_convert_hook = f"{HERE}.expect_notebooks"
    c.Autograde.sanitize_preprocessors = [
        f"{HERE}.RebuildCells",
        "nbgrader.preprocessors.ClearOutput",
        "nbgrader.preprocessors.DeduplicateIds",
        "nbgrader.preprocessors.OverwriteKernelspec",
        "nbgrader.preprocessors.OverwriteCells",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    c.Autograde.autograde_preprocessors = [
        f"{HERE}.GradeWithChecks",
        "nbgrader.preprocessors.LimitOutput",
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        f"{HERE}.ConfirmMarks",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    c.GenerateFeedback.preprocessors = [
        f"{HERE}.HarmlessText",
        "nbgrader.preprocessors.GetGrades",
        "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
    ]
    c.HTMLExporter.preprocessors = [f"{HERE}.HarmlessText"]  # formgrader's pages, which nobody can configure otherwise
    c.GradeWithChecks.kit = kit
    c.ValidateWithChecks.kit = kit
    # `Validator.preprocessors` cannot be configured, but its default can be another one.
    Validator.preprocessors.default_args = ([CheckCellMetadata, ClearOutput, ValidateWithChecks],)


def make_alembic_known() -> None:
    """nbgrader calls `alembic` by its name, which is found only where the environment is switched on."""
    scripts = str(Path(sys.executable).parent)
    folders = os.environ.get("PATH", "").split(os.pathsep)
    if scripts not in folders:
        os.environ["PATH"] = os.pathsep.join([scripts, *filter(None, folders)])


@functools.cache
def late_plugin(root: Path) -> Any:
    """The plug-in for late submissions that the course in ``root`` is configured with."""
    from nbgrader.preprocessors import AssignLatePenalties
    from traitlets.config import PyFileConfigLoader

    preprocessor = AssignLatePenalties(config=PyFileConfigLoader(CONFIG, path=str(root)).load_config())
    preprocessor.init_plugin()
    return preprocessor.plugin_inst


def _autograder(kit: str) -> Autograder:
    """The one of this process for a clone."""
    if kit not in _autograders:
        _autograders[kit] = Autograder(Course(Path(kit)) if kit else find_course())
        atexit.register(_autograders[kit].close)
    return _autograders[kit]


def _open_gradebook(coursedir: Any) -> Gradebook:
    return Gradebook(coursedir.db_url, coursedir.course_id or "default_course")  # as nbgrader has it


def _released(coursedir: Any, resources: Any) -> list[KnownCell]:
    """A notebook's cells as they were released; empty where it is no exercise of this course."""
    with _open_gradebook(coursedir) as book:
        cells = book.cells(resources["nbgrader"]["assignment"], resources["nbgrader"]["notebook"])
    return cells if any(map(_of_this_course, cells)) else []


def _of_this_course(cell: KnownCell) -> bool:
    return cell.grade and bool(marks.exercise_of(cell.name)) and cell.source.startswith(f"# {CHECK}")


# ---------------------------------------------------------------- releasing


class NoKernelForGrading(NbGraderPreprocessor):
    """Into the gradebook goes a kernel that there is not.

    Where nbgrader cannot read its configuration it goes on without, and would run what students handed in with the
    instructor's rights. It takes the kernel from the gradebook, finds none, and stops.
    """

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """The notebook with that kernel, where it is an exercise of this course."""
        if _is_exercise(nb):
            nb.metadata["kernelspec"] = METADATA["kernelspec"] | {"name": NO_KERNEL, "display_name": "graded by checks"}
        return nb, resources


class KernelForStudents(NbGraderPreprocessor):
    """Students get the kernel that everybody has."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """The notebook with Python's kernel, where it is an exercise of this course."""
        if _is_exercise(nb):
            nb.metadata["kernelspec"] = dict(METADATA["kernelspec"])
        return nb, resources


class _InCourse(NbGraderPreprocessor):
    """A preprocessor of `nbgrader autograde`: its parent is the exporter, whose parent is the converter."""

    @property
    def _coursedir(self) -> Any:
        return self.parent.parent.coursedir


# ---------------------------------------------------------------- reading what was handed in


def expect_notebooks(assignment: str, student: str, notebooks: list[str]) -> None:
    """nbgrader's hook before a submission: one whose notebook was renamed is not left without a verdict.

    Where nothing has the name of an exercise's notebook, that name is put on the list all the same; `ForgivingExporter`
    then looks for it among the other files.
    """
    folder = Path(notebooks[0]).parent
    wanted = str(folder / f"{folder.name}.ipynb")
    if wanted not in notebooks and all(resembling(folder, folder.name, Path(name).name) for name in notebooks):
        notebooks[:] = [wanted]


class ForgivingExporter(NotebookExporter):
    """Reads whatever was handed in as a notebook: one that cannot be read has no cells and says why.

    ``handed`` is the submission as `grader check` would read it, ``digest`` that of its bytes, ``note`` why another file was taken.
    """

    handed = Submission("", ())
    digest = ""
    note = ""

    def from_filename(self, filename: str, resources: Any = None, **more: Any) -> Any:
        """As in nbconvert, but that of what was handed in nothing counts but the text, the type and the claims of cells."""
        ours = self.parent._sanitizing and _released(self.parent.coursedir, resources)
        if not ours:  # another course's, or what was rebuilt and is on its way to be graded
            return super().from_filename(filename, resources, **more)
        path, self.note = _taken(Path(filename))
        self.handed = read_submission(path) if path else Submission(Path(filename).name, (), self.note)
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest() if path else ""
        pieces = [] if self.handed.problem or path is None else pieces_of(json.loads(path.read_text("utf-8-sig")))
        book = nbformat.v4.new_notebook(cells=list(map(_node, pieces)))
        return self.from_notebook_node(book, resources=resources, **more)


def _taken(wanted: Path) -> tuple[Path | None, str]:
    """The file to read for a notebook, and why where it has another name; none where that is not clear."""
    if wanted.is_file() and not wanted.is_symlink():
        return wanted, ""
    found = resembling(wanted.parent, wanted.stem)
    if len(found) == 1:
        return found[0], f"There is no {wanted.name}. By its content it is {found[0].name}, which was graded."
    if not found:
        return None, f"There is no {wanted.name}, and no file that could be it."
    names = " and ".join(path.name for path in found)
    return None, f"There is no {wanted.name}. It could be {names}: rename the one that is meant, and grade again."


def _node(piece: Piece) -> Any:
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    node = make.get(piece.kind, nbformat.v4.new_raw_cell)(piece.source)
    if piece.claim:
        node.metadata["nbgrader"] = {"grade_id": piece.claim}
    return node


class RebuildCells(_InCourse):
    """First of all: locked cells and metadata from the gradebook, and no earlier score left in it."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """The notebook that was released with the student's cells in it."""
        about = resources["nbgrader"]
        known = _released(self._coursedir, resources)
        if not known:
            return nb, resources
        with _open_gradebook(self._coursedir) as book:
            book.reset(about["student"], about["assignment"], about["notebook"])
        handed: Submission = self.parent.handed
        made = rebuilt(pieces_of(nb), known, handed.problem or self.parent.note)
        for line in made.said:
            self.log.warning("%s, %s: %s", about["student"], about["assignment"], line)
        return nbformat.from_dict(made.notebook), resources


# ---------------------------------------------------------------- grading


class GradeWithChecks(_InCourse):
    """In the place of nbgrader's Execute: the checks judge the submission in its worker; marks stand in the grade cells."""

    kit = Unicode("", help="The clone that holds checks and solutions; empty: the clone of this engine.").tag(
        config=True
    )
    hidden_feedback = Enum(
        feedback.POLICIES,
        "idea",
        help="What students read of hidden checks. nothing: the mark says it; count: how many passed; idea: besides, the "
        "idea that their answers look like, and a question; message: names and messages of those that failed.",
    ).tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """The notebook with a mark and its reasons in each grade cell; raises, with the reason, rather than guess one."""
        known = _released(self._coursedir, resources)
        if not known:
            return Execute(parent=self.parent).preprocess(nb, resources)
        about = resources["nbgrader"]
        maxima = {cell.name: cell.points or 0.0 for cell in known if _of_this_course(cell)}
        graders = _autograder(self.kit)
        exercise = graders.exercise(marks.exercise_of(next(iter(maxima))))
        cells: dict[str, Any] = {}
        for cell in nb.cells:
            if _is_grade(cell) and cell.cell_type == "code":
                cell.outputs = [_result(0.0)]
                cells[_name(cell)] = cell
        if not maxima.keys() <= cells.keys():
            raise CannotMark(f"This notebook lacks the grade cells {', '.join(maxima.keys() - cells.keys())}.")
        report = graders.grade(exercise, self.parent.handed)
        earned = marks.marks_of(report, maxima, exercise)
        marks.demand_marks(earned, maxima)
        texts = feedback_texts(report, exercise, graders, self.hidden_feedback)
        for name, mark in earned.items():
            cells[name].outputs = [*([_printed(texts[name])] if texts[name] else []), _result(mark)]
        self._keep(report, earned, about)
        nb.metadata[STAMP] = {"score": sum(earned.values()), "seed": report.seed, "status": report.status}
        resources["marks"] = earned
        return nb, resources

    def _keep(self, report: Report, earned: dict[str, float], about: Mapping[str, str]) -> None:
        """Write the record; say whose mark moved since the last one, and why."""
        student, unit = about["student"], about["assignment"]
        entry = Entry(student, self.parent.handed.name, self.parent.note, self.parent.digest, report)
        after = feedback.Graded(entry, earned)
        records = Records(Path(self._coursedir.root))
        before = records.read(unit, student, about["notebook"])
        records.write(unit, about["notebook"], after)
        if said := feedback.moved(before, after, name_hidden=False):
            self.log.warning("%s, %s: %s", student, unit, said)


class ConfirmMarks(_InCourse):
    """After nbgrader has saved them: the marks in the gradebook are those that the checks gave."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """The same notebook; `CannotMark`, and a score of nothing, where the gradebook holds something else."""
        wanted = resources.get("marks")
        if wanted is not None:
            about = resources["nbgrader"]
            with _open_gradebook(self._coursedir) as book:
                scores = book.scores(about["assignment"], about["notebook"]).get(about["student"], {})
                found = {name: scores[name].auto for name in wanted if name in scores}
                if found != wanted:
                    book.reset(about["student"], about["assignment"], about["notebook"])
                    raise CannotMark(f"The gradebook holds {found} where the checks gave {wanted}.")
        return nb, resources


def feedback_texts(report: Report, exercise: Exercise, graders: Autograder, policy: feedback.Policy) -> dict[str, str]:
    """What stands above the mark in each grade cell."""
    texts = dict.fromkeys(marks.grade_cells(exercise), "")
    if report.status not in ("broken", "not_started"):
        ideas = graders.ideas(exercise)
        for step in exercise.steps:
            public, hidden = (marks.of_cell(report, step.name, hidden) for hidden in (False, True))
            texts[marks.cell_id(exercise.name, step.name, marks.PUBLIC)] = screen.of_checks(step, public)
            said = feedback.hidden_text(hidden, ideas, policy)
            texts[marks.cell_id(exercise.name, step.name, marks.HIDDEN)] = _wrapped(said)
    if report.message:
        first = next(iter(texts))
        texts[first] = f"{_wrapped(report.message)}\n\n{texts[first]}".strip()
    return texts


def _wrapped(text: str) -> str:
    return "\n".join(screen.labelled(text, "  ", screen.Ink(False)))


# ---------------------------------------------------------------- validation and feedback


class ValidateWithChecks(NbGraderPreprocessor):
    """In the place of Execute in `nbgrader validate` and the Validate button: the public checks, in the worker."""

    kit = Unicode("", help="The clone or student kit that holds the checks; empty: that of this engine.").tag(
        config=True
    )

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """The notebook with an error in each public grade cell whose checks do not all pass."""
        public = {
            _name(cell): cell for cell in nb.cells if _is_grade(cell) and _name(cell).endswith(f"-{marks.PUBLIC}")
        }
        called = [match[1] for cell in nb.cells if (match := CALLED.search(cell.source))]
        units = [marks.exercise_of(name) for name in public] or called
        if not units:
            return Execute(parent=self.parent).preprocess(nb, resources)
        hidden = _not_run(nb)
        whole = _added(units[0]) if not public else None
        if whole is not None:  # a notebook of the kit's, or one whose metadata is lost
            nb.cells.append(whole)
            public = {_name(whole): whole}
        try:
            graders = _autograder(self.kit)
            exercise = graders.exercise(units[0])
            report = graders.grade(exercise, of_notebook("notebook.ipynb", nb), "public")
        except GraderError as error:
            for cell in public.values():
                cell.outputs = [_error(str(error))]
            return nb, resources
        if whole is not None and report.status != "passed":
            whole.outputs = [_error(screen.verdict(report, exercise))]
        for step in exercise.steps:
            cell = public.get(marks.cell_id(exercise.name, step.name, marks.PUBLIC))
            checks = marks.of_cell(report, step.name, False)
            if cell is None or all(check.outcome in ("passed", "skipped") for check in checks):
                continue
            nothing = report.status in ("broken", "not_started")
            said = _wrapped(report.message) if nothing else screen.of_checks(step, checks)
            cell.outputs = [_error("\n\n".join(filter(None, [said, hidden])))]
        if hidden and hasattr(self.parent, "stream"):
            self.parent.stream.write(f"{hidden}\n")
        return nb, resources


class HarmlessText(NbGraderPreprocessor):
    """First on the way to a page: what a student wrote is shown as text; nothing of it becomes HTML, a link or a formula."""

    display_data_priority = List(["text/plain"]).tag(config=True)  # nbconvert configures it, for all that it calls

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """The notebook with the course's cells as they are and all others as plain text, without outputs.

        Notebooks of other courses are left alone. Where it is called twice on the way, the first time counts.
        """
        if resources.get("harmless") or not any(
            _is_grade(cell) and marks.exercise_of(_name(cell)) for cell in nb.cells
        ):
            return nb, resources
        resources["harmless"] = True
        for cell in nb.cells:
            cell.pop("attachments", None)
            if cell.cell_type == "code":
                cell.outputs = cell.outputs if _is_grade(cell) else []
            elif not is_ours(cell):
                cell.cell_type = "markdown"
                cell.source = as_text(cell.source)
        return nb, resources


def _added(unit: str) -> Any:
    """A grade cell for a notebook that has none, in which validation shows the verdict on all of it."""
    cell = nbformat.v4.new_code_cell(f"# {CHECK}\n# all public checks of {unit}")
    cell.metadata["nbgrader"] = {
        "grade": True,
        "solution": False,
        "locked": True,
        "points": 1,
        "grade_id": f"{unit}-all",
    }
    return cell


def _not_run(nb: Any) -> str:
    """How many hidden checks a validation says nothing about, by the lines that stand in their cells."""
    found = [COUNTED.search(cell.source) for cell in nb.cells if _is_grade(cell)]
    number = sum(int(match[1]) for match in found if match)
    points = sum(float(match[2]) for match in found if match)
    if not number:
        return ""
    said = (
        f"Only public checks were run. {number} hidden checks, {points:g} points, were not: your instructor runs them."
    )
    return "\n".join(screen.wrapped(said, "  "))


# ---------------------------------------------------------------- cells


def _is_grade(cell: Any) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


def _is_exercise(nb: Any) -> bool:
    return any(_is_grade(cell) and marks.exercise_of(_name(cell)) for cell in nb.cells)


def _name(cell: Any) -> str:
    return str(cell.metadata["nbgrader"].get("grade_id", ""))


def _result(mark: float) -> Any:
    """The one output that nbgrader takes a score from."""
    return nbformat.v4.new_output("execute_result", {"text/plain": repr(mark)}, execution_count=None)


def _printed(text: str) -> Any:
    return nbformat.v4.new_output("stream", name="stdout", text=text + "\n")


def _error(text: str) -> Any:
    return nbformat.v4.new_output("error", ename="Checks", evalue="not all pass", traceback=_lines(text))


def _lines(text: str) -> Sequence[str]:
    return text.split("\n")
