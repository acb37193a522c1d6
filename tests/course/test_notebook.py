"""Each exercise as a notebook: what is printed, what Jupyter and nbgrader make of it, and its marks."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest

from grader.logic.hints import without_hints
from grader.logic.notebook import cells_of, compose, dump
from grader.logic.stub import STUB_COMMENT, STUB_RAISE, is_untouched, with_markers
from grader.shell import screen
from grader.system.course import Course
from grader.system.host import Server
from grader.system.submission import read_submission
from grader.verbs.build import printed_files
from grader.verbs.grading import Sources, make_plan

COURSE = Course(Path(__file__).resolve().parents[2])
FAILING = "x = []\nx[3]"


@pytest.fixture(scope="module", params=COURSE.found(), ids=lambda exercise: exercise.name)
def exercise(request):
    return request.param


@pytest.fixture(scope="module")
def sources(exercise):
    return Sources(COURSE, exercise)


@pytest.fixture(scope="module")
def printed(exercise, sources):
    """The notebook as it is printed now; the copy in exercises/ may hold somebody's work."""
    return json.loads(printed_files(sources)[Path(exercise.module).stem + ".ipynb"])


@pytest.fixture(scope="module")
def filled(exercise, sources):
    """The same with the solution's code in its cells."""
    return json.loads(dump(made_from(exercise, sources, sources.solution)))


def made_from(exercise, sources, source):
    return compose(without_hints(sources.text("task.md")), source, exercise.steps, exercise.name)


def code(source, **metadata):
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": None}


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


# ---------------------------------------------------------------- the forms in which it may come back


def with_magics(notebook):
    """Lines of IPython around everything that stands in a cell."""
    for cell in code_cells(notebook):
        body = "".join(cell["source"])
        cell["source"] = f"%matplotlib inline\n!pip list\n{body}\n%timeit 1 + 1\nfiles = !ls\nnp?"
    return notebook


def without_metadata(notebook):
    """What is left when a tool has thrown everything away that is not the text."""
    bare = [{"cell_type": cell["cell_type"], "source": "".join(cell["source"])} for cell in notebook["cells"]]
    return {"nbformat": 4, "cells": bare}


def with_cells_that_do_not_count(notebook):
    """Cells that would break everything, if they were run."""
    breaking = "import os\nos._exit(1)"
    notebook["cells"] += [
        code(f"# grader: demo\n{breaking}"),
        code(f"# grader: check\n{breaking}"),
        code(breaking, tags=["grader: demo"]),
        code(breaking, tags=["grader: check"]),
        code("%%bash\nexit 1"),
        code('check("anything")'),
    ]
    return notebook


def with_a_failing_cell(notebook):
    """One that fails among the code cells, as the third."""
    third = [number for number, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code"][2]
    notebook["cells"].insert(third, code(FAILING))
    return notebook


def with_what_only_jupyter_knows(notebook):
    """Names that are always there in a notebook, beside definitions."""
    for cell in code_cells(notebook)[1:]:
        cell["source"] = "display(3)\nget_ipython().run_line_magic('time', '')\n" + "".join(cell["source"])
    return notebook


def after_other_definitions(notebook):
    """All that is defined was defined before, as something else: the last definition counts."""
    names = re.findall(r"(?m)^(?:def|class) (\w+)", "\n".join("".join(cell["source"]) for cell in code_cells(notebook)))
    others = [code(f"def {name}(*anything):\n    return 3") for name in names]
    return {**notebook, "cells": [*others, *notebook["cells"]]}


FORMS = [
    copy.deepcopy,
    with_magics,
    without_metadata,
    with_cells_that_do_not_count,
    with_a_failing_cell,
    with_what_only_jupyter_knows,
    after_other_definitions,
]


@pytest.fixture(scope="module")
def reports(exercise, sources, filled, tmp_path_factory):
    """Reports on the solution as a file (under the name "file") and as a notebook in each form."""
    folder = tmp_path_factory.mktemp("Übung 1")
    paths = {"file": folder / exercise.module}
    paths["file"].write_text(sources.solution, encoding="utf-8")
    for form in FORMS:
        paths[form.__name__] = folder / f"{form.__name__}.ipynb"
        paths[form.__name__].write_text(json.dumps(form(copy.deepcopy(filled))), encoding="utf-8")
    with Server() as server:

        def grade(session):
            return {name: session.grade(read_submission(path), path.name) for name, path in paths.items()}

        return make_plan(COURSE, exercise).run(server, grade)


@pytest.mark.parametrize("form", [form.__name__ for form in FORMS])
def test_a_notebook_gets_the_marks_of_the_file(reports, form):
    file, book = reports["file"].as_json(), reports[form].as_json()

    assert file["score"] == file["max_score"] > 0
    for key in ("status", "score", "max_score", "scope", "seed", "checks"):
        assert book[key] == file[key]


def test_a_failing_cell_is_named_by_its_number(reports):
    assert re.search(r"\bcell 3\b", reports["with_a_failing_cell"].message)
    assert "IndexError" in reports["with_a_failing_cell"].message
    for name in reports.keys() - {"with_a_failing_cell"}:
        assert reports[name].message == ""


def test_the_last_definition_counts_when_it_is_the_wrong_one(exercise, filled, tmp_path):
    name = next(name for name in exercise.blanked if "." not in name)
    path = tmp_path / "wrong.ipynb"
    path.write_text(json.dumps({**filled, "cells": [*filled["cells"], code(f"{name} = None")]}), encoding="utf-8")

    with Server() as server:
        passed = make_plan(COURSE, exercise, scope="public").run(
            server, lambda session: session.passes_all(read_submission(path))
        )

    assert not passed


# ---------------------------------------------------------------- as it is printed


def test_it_is_what_nbformat_allows(printed, filled):
    nbformat = pytest.importorskip("nbformat")

    for notebook in (printed, filled):
        nbformat.validate(notebook)
        assert [cell["id"] for cell in notebook["cells"]] == [cell["id"] for cell in printed["cells"]]


def test_its_cells_are_the_untouched_stub(sources, printed):
    assert is_untouched("\n\n".join(cell.source for cell in cells_of(printed)), sources.stub)


def test_nbgrader_leaves_the_same_cells(exercise, sources, printed):
    nbformat = pytest.importorskip("nbformat")
    preprocessors = pytest.importorskip("nbgrader.preprocessors")
    marked = made_from(exercise, sources, with_markers(sources.solution, exercise.blanked))
    clear = preprocessors.ClearSolutions(code_stub={"python": f"{STUB_COMMENT}\n{STUB_RAISE}"}, enforce_metadata=False)

    left, _ = clear.preprocess(nbformat.reads(dump(marked), as_version=4), {})

    assert [cell.source for cell in left.cells] == ["".join(cell["source"]) for cell in printed["cells"]]


def test_each_step_has_its_text_its_check_and_a_place_to_write(exercise, printed):
    ids = [cell["id"] for cell in printed["cells"]]
    places = [ids.index(f"{step.name}-task") for step in exercise.steps]

    assert places == sorted(places)
    for step in exercise.steps:
        assert ids.index(f"{step.name}-check") > ids.index(f"{step.name}-task")
    assert sum(STUB_COMMENT in "".join(cell["source"]) for cell in code_cells(printed)) >= 1


# ---------------------------------------------------------------- in Jupyter


@pytest.fixture(scope="module")
def executed(exercise, printed, filled, tmp_path_factory):
    """The untouched and the filled notebook, each run from top to bottom in a kernel of its own."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    folder = tmp_path_factory.mktemp("jupyter")
    done = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        patch.setenv("PYTHONPATH", str(COURSE.root))
        for name, notebook in (("untouched", printed), ("filled", filled)):
            book = nbformat.reads(json.dumps(notebook), as_version=4)
            where = {"metadata": {"path": str(COURSE.exercise_folder(exercise))}}
            done[name] = nbclient.NotebookClient(book, timeout=300, allow_errors=True, resources=where).execute()
    return done


def said_by(notebook, identity):
    cell = next(cell for cell in notebook.cells if cell.id == identity)
    return "".join(output.text for output in cell.outputs)


@pytest.mark.parametrize("which", ["untouched", "filled"])
def test_running_it_shows_no_error_and_keeps_to_the_width(executed, which):
    for cell in code_cells(executed[which]):
        for output in cell.outputs:
            assert output.output_type == "stream" and output.name == "stdout", output
            assert [line for line in output.text.splitlines() if len(line) > screen.WIDTH] == []
            assert "\x1b" not in output.text


def test_the_first_thing_that_a_newcomer_sees_are_numbers(executed):
    first = next(cell for cell in code_cells(executed["untouched"]) if cell.outputs)

    assert first.id == "example"
    assert re.search(r"\d", first.outputs[0].text)


def test_unwritten_steps_say_so(exercise, executed):
    for step in exercise.steps:
        said = said_by(executed["untouched"], f"{step.name}-check")
        words = " ".join(said.split())
        assert "not written yet" in words or "Nothing is written yet" in words
        assert len(said.splitlines()) <= 12


def test_the_solution_passes_every_step_at_its_check_cell(exercise, executed):
    for step in exercise.steps:
        said = said_by(executed["filled"], f"{step.name}-check")
        assert "✓" in said and "✗" not in said and "problem" not in said


def test_an_executed_notebook_reads_as_before(executed, filled):
    assert cells_of(json.loads(json.dumps(executed["filled"]))) == cells_of(filled)
