"""The source notebook of every exercise of the course: nbgrader makes of it exactly what a learner starts from, and no more."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

from grader.logic.hints import without_hints
from grader.logic.marks import CODE, HIDDEN, PUBLIC, cell_id, grade_cells
from grader.logic.nbgrader_source import CODE_STUB, LONGEST_ID, header_notebook, source_notebook
from grader.logic.notebook import cells_of, compose, dump
from grader.logic.stub import cut_stub, definitions, parse
from grader.model.errors import CourseError
from grader.system.course import HIDDEN_CHECKS, PUBLIC_CHECKS, Course
from grader.verbs.grading import Plan, Sources, texts_from
from grader.verbs.nbcourse import header_text
from grader.verbs.session import PUBLISHED_SEED

COURSE = Course(Path(__file__).resolve().parents[2])
EXERCISES = [exercise.name for exercise in COURSE.found()]


@cache
def made(name):
    """An exercise, its sources, what its checks are worth, and its source notebook."""
    exercise = COURSE.find(name)
    sources = Sources(COURSE, exercise)
    header = sources.header(PUBLISHED_SEED, "all")
    files = [sources.folder / PUBLIC_CHECKS, sources.folder / HIDDEN_CHECKS]
    plan = Plan(exercise, files, None, texts_from(exercise, header), header, PUBLISHED_SEED, "all")
    worth: dict = {}
    for check in plan.run(None, lambda session: list(session.checks)):
        number, points = worth.get((check.step, check.hidden), (0, 0.0))
        worth[check.step, check.hidden] = (number + 1, points + check.points)
    return exercise, sources, worth, source_notebook(without_hints(sources.text("task.md")), sources.solution, exercise, worth)  # fmt: skip


@cache
def generated(name):
    """What nbgrader's own preprocessors make of the source notebook, and the cells that it keeps in the gradebook."""
    from nbgrader.converters import GenerateAssignment
    from nbgrader.preprocessors import ClearSolutions, IncludeHeaderFooter, SaveCells
    from traitlets.config import Config

    book = nbformat.reads(dump(made(name)[3]), as_version=4)
    book.cells = [*nbformat.from_dict(header_notebook(header_text())).cells, *book.cells]
    config = Config({"ClearSolutions": {"code_stub": {"python": CODE_STUB}}})
    kept = []
    resources = {"nbgrader": {}}
    stages = GenerateAssignment.preprocessors.default_args[0]
    assert ClearSolutions in stages
    for stage in stages:
        if stage is SaveCells:
            kept = [cell for cell in book.cells if "nbgrader" in cell.metadata]
        elif stage is not IncludeHeaderFooter:  # it reads files; the header is there already
            book, resources = stage(config=config).preprocess(book, resources)
    nbformat.validate(book)
    return json.loads(json.dumps(book)), kept


def by_name(book):
    return {one["metadata"]["nbgrader"]["grade_id"]: one for one in book["cells"] if "nbgrader" in one["metadata"]}


def bodies(source, names):
    """The lines of functions' bodies without their docstrings."""
    found = dict(definitions(parse(source)))
    lines = []
    for name in names:
        for node in found[name].body[1:]:
            lines += source.split("\n")[node.lineno - 1 : node.end_lineno]
    return [line.strip() for line in lines if line.strip()]


def secret_lines(exercise, sources):
    """Lines of blanked bodies that neither the stub nor the task says, less those that say nothing."""
    told = cut_stub(sources.solution, exercise.blanked) + without_hints(sources.text("task.md"))
    found = [line for line in bodies(sources.solution, exercise.blanked) if len(line) > 12 and line not in told]
    assert len(found) > len(exercise.steps)
    return found


# ---------------------------------------------------------------- what students get


@pytest.mark.parametrize("name", EXERCISES)
def test_nbgrader_leaves_exactly_the_stub_that_a_learner_starts_from(name):
    exercise, sources, _, _ = made(name)
    task = without_hints(sources.text("task.md"))
    learner = compose(task, cut_stub(sources.solution, exercise.blanked), exercise.steps, exercise.name)

    release, _ = generated(name)

    assert [one.source for one in cells_of(release)] == [one.source for one in cells_of(learner)]
    assert len(cells_of(release)) > len(exercise.steps) / 2


@pytest.mark.parametrize("name", EXERCISES)
def test_the_released_code_is_the_stub_and_nothing_is_lost_of_what_is_given(name):
    exercise, sources, _, _ = made(name)
    stub = cut_stub(sources.solution, exercise.blanked)

    whole = "\n".join(one.source for one in cells_of(generated(name)[0]))

    released, wanted = (
        sorted(ast.dump(node) for node in ast.parse(text).body if not is_main(node)) for text in (whole, stub)
    )
    assert released == wanted


def is_main(node):
    """Whether it is the worked example."""
    return (isinstance(node, ast.If) and "__main__" in ast.dump(node.test)) or getattr(node, "name", "") == "main"


@pytest.mark.parametrize("name", EXERCISES)
def test_no_line_of_a_blanked_body_is_in_the_release(name):
    exercise, sources, _, source = made(name)
    secret = secret_lines(exercise, sources)

    text = json.dumps(generated(name)[0], ensure_ascii=False)

    assert [line for line in secret if json.dumps(line, ensure_ascii=False)[1:-1] in text] == []
    assert all(
        json.dumps(line, ensure_ascii=False)[1:-1] in dump(source) for line in secret
    )  # or nothing was looked for
    assert "BEGIN SOLUTION" not in text and "END SOLUTION" not in text


@pytest.mark.parametrize("name", EXERCISES)
def test_every_step_has_one_public_and_one_hidden_cell_worth_what_their_checks_are(name):
    exercise, _, worth, _ = made(name)

    released = by_name(generated(name)[0])

    nbgrader = {key: cell["metadata"]["nbgrader"] for key, cell in released.items()}
    points = {key: meta["points"] for key, meta in nbgrader.items() if meta["grade"]}
    assert points == {key: worth[place][1] for key, place in grade_cells(exercise).items()}
    assert sum(points.values()) == sum(step.points for step in exercise.steps)
    order = [one for one in released if one in points]
    assert order == list(grade_cells(exercise))


@pytest.mark.parametrize("name", EXERCISES)
def test_a_hidden_cell_holds_a_sentence_and_no_code_but_the_mark_of_who_did_nothing(name):
    exercise, sources, worth, source = made(name)
    hidden_names = re.findall(r"def (test_\w+)", sources.text(HIDDEN_CHECKS))

    cells = by_name(source)

    for step in exercise.steps:
        cell = cells[cell_id(name, step.name, HIDDEN)]
        number, points = worth[step.name, True]
        first, said, *rest = cell["source"].split("\n")
        assert first == "# grader: check"
        counted = f"# {number} hidden check{'s' * (number != 1)}, {points:g} point{'s' * (points != 1)}"
        assert said.startswith(f"{counted}, run by your instructor")
        assert rest in ([], ["0.0"])
        assert cells_of({"cells": [cell, {"cell_type": "code"}]}) == []
    assert hidden_names and not any(test in dump(source) for test in hidden_names)


@pytest.mark.parametrize("name", EXERCISES)
def test_a_public_cell_calls_the_grader_for_its_step(name):
    exercise, _, worth, source = made(name)

    cells = by_name(source)

    for step in exercise.steps:
        text = cells[cell_id(name, step.name, PUBLIC)]["source"]
        assert text.startswith("# grader: check\n# ") and text.endswith(f'check("{name}", "{step.name}")')
        assert f"# {worth[step.name, False][0]} public check" in text
        assert cells_of({"cells": [cells[cell_id(name, step.name, PUBLIC)]]}) == []


@pytest.mark.parametrize("name", EXERCISES)
def test_students_write_in_solution_cells_and_everything_else_that_has_a_name_is_locked(name):
    exercise, _, _, _ = made(name)

    released = by_name(generated(name)[0])

    for key, cell in released.items():
        meta = cell["metadata"]["nbgrader"]
        is_code = key in {cell_id(name, step.name, CODE) for step in exercise.steps}
        assert (meta["solution"], meta["locked"]) == (is_code, not is_code)
        assert meta["checksum"]
        assert cell["metadata"].get("deletable", True) is (is_code and meta.get("deletable", False))
    assert any(cell["metadata"]["nbgrader"]["solution"] for cell in released.values())


@pytest.mark.parametrize("name", EXERCISES)
def test_what_goes_to_the_gradebook_holds_no_solution(name):
    exercise, sources, _, _ = made(name)
    secret = secret_lines(exercise, sources)

    _, kept = generated(name)

    text = "\n".join(cell.source for cell in kept)
    assert len(kept) > 3 * len(exercise.steps)
    assert [line for line in secret if line in text] == []


@pytest.mark.parametrize("name", EXERCISES)
def test_the_same_sources_give_the_same_notebook_with_ids_that_nbformat_takes(name):
    exercise, sources, worth, source = made(name)

    again = source_notebook(without_hints(sources.text("task.md")), sources.solution, exercise, worth)

    assert dump(again) == dump(source)
    ids = [cell["id"] for cell in again["cells"]]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", one) for one in ids)
    nbformat.validate(json.loads(dump(again)))


@pytest.mark.parametrize("name", EXERCISES)
def test_no_hint_is_in_the_notebook(name):
    _, sources, _, source = made(name)
    hints = sources.text("task.md").split("## Hints", 1)[1]

    lines = [line.split(". ", 1)[1] for line in hints.split("\n") if re.match(r"\d\. .{30}", line)]

    assert lines and not any(json.dumps(line, ensure_ascii=False)[1:-1] in dump(source) for line in lines)


# ---------------------------------------------------------------- what cannot be made


@pytest.mark.parametrize("length", [60, LONGEST_ID])
def test_a_name_that_is_too_long_for_a_notebook_or_a_gradebook_is_refused(length):
    from dataclasses import replace

    exercise, sources, worth, _ = made(EXERCISES[0])
    first = exercise.steps[0]
    long = "s" * length
    renamed = replace(exercise, steps=(replace(first, name=long), *exercise.steps[1:]))
    task = without_hints(sources.text("task.md")).replace(f"## Step {first.name}:", f"## Step {long}:")

    with pytest.raises(CourseError, match=r"has no name|longer than"):
        source_notebook(task, sources.solution, renamed, worth)


@pytest.mark.parametrize("title", ["softmax check", "softmax code"])
def test_a_part_that_is_named_as_a_steps_cell_is_refused_before_it_costs_points(title):
    exercise, sources, worth, _ = made("attention")
    solution = sources.solution.replace("given: small helpers", title)
    assert solution != sources.solution

    with pytest.raises(CourseError, match="has no name"):
        source_notebook(without_hints(sources.text("task.md")), solution, exercise, worth)


def test_checks_that_nobody_counted_are_none():
    exercise, sources, _, _ = made(EXERCISES[0])

    book = source_notebook(without_hints(sources.text("task.md")), sources.solution, exercise, {})

    hidden = by_name(book)[cell_id(exercise.name, exercise.steps[0].name, HIDDEN)]
    assert "0 hidden checks, 0 points" in hidden["source"]
    assert hidden["metadata"]["nbgrader"]["points"] == 0.0
