"""A notebook made whole again: whatever was handed in, locked cells are what was released, and no code of a student's is lost."""

from __future__ import annotations

import copy
import hashlib
import html
import itertools
import json
import logging
import re

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbgrader.nbgraderformat import MetadataValidator

from grader.logic.notebook import cells_of
from grader.logic.rebuild import OURS, Piece, is_ours, pieces_of, rebuilt
from grader.model.types import KnownCell
from grader.system.course import Course
from grader.system.gradebook import Gradebook
from tests.instructors.classroom import Classroom

RELAXED = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
FEWER = settings(RELAXED, max_examples=25)


def known_cell(name, kind="markdown", source="text", **more):
    values = {"locked": True, "grade": False, "solution": False, "points": None}
    return KnownCell(name, kind, source, hashlib.md5(name.encode()).hexdigest(), task=False, **{**values, **more})


def grade_cell(name, source):
    return known_cell(name, "code", source, grade=True, points=1.5)


# Two steps with as many hidden checks have hidden cells with the same text, as in every real exercise.
KNOWN = [
    known_cell("x-header", source="# How to work\non this"),
    known_cell("x-text-intro", source="Given\nimport os\nends"),
    known_cell("x-one-code", "code", "def one():\n    raise NotImplementedError", locked=False, solution=True),
    grade_cell("x-one-public", '# grader: check\n# 1 public check\ncheck("x", "one")'),
    grade_cell("x-one-hidden", "# grader: check\n# 3 hidden checks, 2 points. Until then\n0.0"),
    known_cell("x-text-two", source="Step two"),
    known_cell("x-two-code", "code", "def two():\n    raise NotImplementedError", locked=False, solution=True),
    grade_cell("x-two-public", '# grader: check\n# 1 public check\ncheck("x", "two")'),
    grade_cell("x-two-hidden", "# grader: check\n# 3 hidden checks, 2 points. Until then\n0.0"),
    known_cell("x-essay", source="YOUR ANSWER HERE", locked=False, grade=True, solution=True, points=4.0),
]  # fmt: skip
ANSWERS = {"x-essay"}
LOCKED = {cell.name: cell for cell in KNOWN if cell.locked}
TEXTS = {cell.source for cell in LOCKED.values()}


def cell(kind, source, claim=None, **metadata):
    nbgrader = {} if claim is None else {"nbgrader": {"grade_id": claim, **metadata}}
    return {"cell_type": kind, "source": source, "metadata": nbgrader}


def book_of(*cells):
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)}


def as_cells(known):
    return [cell(one.cell_type, one.source, one.name) for one in known]


def names_of(made, note=False):
    """The names in a rebuilt notebook's order; a student's cells are dots."""
    cells = made.notebook["cells"]
    return [c["metadata"].get("nbgrader", {}).get("grade_id", ".") for c in cells if note or OURS not in c["metadata"]]


def counting(sources):
    """Those with a statement in them."""
    return [
        text for text in sources if any(line.strip() and not line.strip().startswith("#") for line in text.split("\n"))
    ]


def code_handed_in(pieces, known=KNOWN):
    """The code of what is neither a locked cell nor a part that was split off the code cell whose name it bears."""
    texts = {one.source.strip() for one in known if one.locked}
    lines = {one.name: set(one.source.split("\n")) for one in known if one.locked and one.cell_type == "code"}
    kept = []
    for piece in pieces:
        is_part = {line.strip() for line in piece.source.split("\n")} <= {*lines.get(piece.claim, ()), ""}
        if piece.source.strip() not in texts and not (piece.claim in lines and is_part):
            kept.append(cell(piece.kind, piece.source))
    return counting(source.source for source in cells_of(book_of(*kept, cell("code", "#"))))


def code_in(made, known=KNOWN):
    names = {one.name for one in known if one.locked}
    kept = [c for c in made.notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") not in names]
    return counting(source.source for source in cells_of(book_of(*kept, cell("code", "#"))))


def refuse_lies(made, pieces, known=KNOWN):
    """Every promise of `rebuilt` about one notebook."""
    cells = made.notebook["cells"]
    by_name = {}
    for place, one in enumerate(cells):
        assert set(one["metadata"]) <= {"nbgrader", OURS}
        by_name.setdefault(one["metadata"].get("nbgrader", {}).get("grade_id"), []).append(place)
    for one in known:
        places = by_name.get(one.name, [])
        assert len(places) == 1 or (len(places) == 0 and not one.locked and not one.grade), one.name
        if one.locked:
            released = cells[places[0]]
            meta = {"schema_version": 3, "grade": one.grade, "solution": one.solution, "locked": True, "task": False,
                    "grade_id": one.name, "cell_type": one.cell_type, "checksum": one.checksum}  # fmt: skip
            meta |= {"points": one.points} if one.points is not None else {}
            assert (released["cell_type"], released["source"]) == (one.cell_type, one.source)
            assert released["metadata"] == {"nbgrader": meta}
        assert all(cells[place].get("outputs", []) == [] for place in places)
    assert code_in(made, known) == code_handed_in(pieces, known)
    seen = {piece.claim for piece in pieces} | {
        one.name for one in known for piece in pieces if piece.source.strip() == one.source.strip()
    }
    there = [one.name for one in known if one.name in by_name]
    for before, name in itertools.pairwise(there):
        if name not in seen:
            assert by_name[before][0] < by_name[name][0], f"{name} came back in front of {before}"
    nbformat.validate(json.loads(json.dumps(made.notebook)))
    assert len({one["id"] for one in cells}) == len(cells)
    MetadataValidator().validate_nb(nbformat.from_dict(made.notebook))
    json.dumps(made.notebook, ensure_ascii=False).encode("utf-8")  # as nbconvert writes it


# ---------------------------------------------------------------- anything at all

SIGNS = st.text(st.characters(codec=None), max_size=30)
SNIPPETS = st.sampled_from(
    [*TEXTS, *(f"  {text}\n" for text in TEXTS), *(text.replace("\n", "\r\n") for text in TEXTS)]
    + [f"{text}\nmine = 1" for text in TEXTS]
    + [line for text in TEXTS for line in text.split("\n")]
    + ["import os", "def one():\n    return 1", "def broken(:", "%matplotlib inline", "lone \ud800", "", "\0", "YOUR ANSWER HERE"]
)  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | SIGNS,
    lambda inner: st.lists(inner) | st.dictionaries(SIGNS, inner),
    max_leaves=4,
)
CLAIMS = st.one_of(st.none(), st.sampled_from([*(one.name for one in KNOWN), "unknown"]), JUNK)
CELLS = st.builds(
    lambda kind, source, claim, more: cell(kind, source, claim, **more),
    st.sampled_from(["code", "markdown", "raw", "heading"]),
    st.one_of(SNIPPETS, SIGNS, st.lists(SNIPPETS, max_size=3), JUNK),
    CLAIMS,
    st.sampled_from([{}, {"grade": True, "points": 1000, "locked": False}, {"schema_version": 99}]),
)


@RELAXED
@given(st.lists(CELLS | JUNK, max_size=14))
def test_whatever_is_handed_in_locked_cells_are_as_released_and_code_is_kept_in_order(cells):
    pieces = pieces_of(book_of(*cells))

    made = rebuilt(pieces, KNOWN)

    refuse_lies(made, pieces)


@RELAXED
@given(st.permutations(as_cells(KNOWN)), st.data())
def test_released_cells_in_any_order_with_some_gone_are_whole_again(cells, data):
    kept = [one for one in cells if data.draw(st.booleans())]
    bare = [{**one, "metadata": {}} if data.draw(st.booleans()) else one for one in kept]
    pieces = pieces_of(book_of(*bare))

    made = rebuilt(pieces, KNOWN)

    refuse_lies(made, pieces)


@RELAXED
@given(st.lists(CELLS, max_size=14))
def test_rebuilding_what_was_rebuilt_changes_nothing_but_notes(cells):
    once = rebuilt(pieces_of(book_of(*cells)), KNOWN)

    note = once.notebook["cells"][: bool(once.said)]
    again = rebuilt(pieces_of(once.notebook), KNOWN)

    assert again.said == []
    assert [one["metadata"] for one in note] == [{OURS: True}] * len(note)
    plain = [{**one, "metadata": {}} for one in note]
    assert again.notebook["cells"] == [*plain, *once.notebook["cells"][len(note) :]]


@RELAXED
@given(JUNK | st.dictionaries(st.sampled_from(["cells", "nbformat", "worksheets"]), JUNK))
def test_json_of_any_kind_has_pieces_or_none(data):
    for piece in pieces_of(data):
        assert piece.kind in ("code", "markdown", "raw") and isinstance(piece.source, str)


@pytest.mark.parametrize(
    "lie",
    [
        lambda cells: cells.pop(3),
        lambda cells: cells.append(dict(cells[3], id="twice")),
        lambda cells: cells[3].update(source="1.5"),
        lambda cells: cells[3].update(outputs=[{"output_type": "execute_result"}]),
        lambda cells: cells[3]["metadata"]["nbgrader"].update(points=1000),
        lambda cells: cells[2]["metadata"].update(tags=["theirs"]),
        lambda cells: cells[2].update(source="def another(): pass"),
        lambda cells: cells[0].update(id=cells[1]["id"]),
    ],
)
def test_the_comparison_of_these_tests_finds_a_lie(lie):
    pieces = pieces_of(book_of(*as_cells(KNOWN)))
    made = rebuilt(pieces, KNOWN)
    refuse_lies(made, pieces)

    lie(made.notebook["cells"])

    with pytest.raises((AssertionError, nbformat.ValidationError)):
        refuse_lies(made, pieces)


def test_the_comparison_of_these_tests_finds_a_cell_that_came_back_in_the_wrong_place():
    pieces = pieces_of(book_of(*as_cells(one for one in KNOWN if one.name != "x-two-public")))
    made = rebuilt(pieces, KNOWN)
    refuse_lies(made, pieces)

    cells = made.notebook["cells"]
    cells.insert(1, cells.pop(next(n for n, c in enumerate(cells) if "x-two-public" in str(c["metadata"]))))

    with pytest.raises(AssertionError, match="came back in front of"):
        refuse_lies(made, pieces)


# ---------------------------------------------------------------- nbgrader's own preprocessors


@pytest.fixture(scope="module")
def released(toy_taught):
    with Gradebook(toy_taught.url, "transformers") as book:
        return book.cells("counter", "counter")


@FEWER
@given(st.data())
def test_nbgraders_own_sanitising_has_nothing_left_to_complain_of(toy_taught, released, data):
    from nbgrader.preprocessors import CheckCellMetadata, DeduplicateIds, OverwriteCells

    cells = [dict(one) for one in data.draw(st.permutations(as_cells(released)))]
    cells = [one for one in cells if data.draw(st.integers(0, 3))]
    for one in cells:
        change = data.draw(st.sampled_from(["", "", "kind", "text", "bare", "claim"]))
        if change == "kind":
            one["cell_type"] = data.draw(st.sampled_from(["code", "markdown", "raw"]))
        elif change == "text":
            one["source"] += "\n1000.0"
        elif change:
            one["metadata"] = {} if change == "bare" else {"nbgrader": {"grade_id": data.draw(st.sampled_from(released)).name}}  # fmt: skip
    made = rebuilt(pieces_of(book_of(*cells, *cells[:2])), released)
    book, resources = nbformat.from_dict(made.notebook), {
        "nbgrader": {"notebook": "counter", "assignment": "counter", "db_url": toy_taught.url}
    }  # fmt: skip
    complaints = []
    log = logging.Logger("sanitising")
    log.addHandler(logging.Handler(logging.WARNING))
    log.handlers[0].emit = complaints.append

    for stage in (DeduplicateIds, OverwriteCells, CheckCellMetadata):
        book, resources = stage(log=log).preprocess(book, resources)

    assert complaints == []
    assert json.loads(json.dumps(book)) == json.loads(json.dumps(made.notebook))


def test_they_do_complain_of_what_was_not_rebuilt(toy_taught, released):
    from nbgrader.preprocessors import OverwriteCells

    made = rebuilt([], released)
    book = nbformat.from_dict(made.notebook)
    next(one for one in book.cells if one.metadata.get("nbgrader", {}).get("grade")).source = "1000.0"
    complaints = []
    log = logging.Logger("sanitising")
    log.addHandler(logging.Handler(logging.WARNING))
    log.handlers[0].emit = complaints.append

    OverwriteCells(log=log).preprocess(
        book, {"nbgrader": {"notebook": "counter", "assignment": "counter", "db_url": toy_taught.url}}
    )

    assert [record.args[0] for record in complaints] == ["checksum"]


# ---------------------------------------------------------------- what happens in a class

SAID = {
    "public_twice": "counter-shares-public was there 2 times; one is left.",
    "hidden_twice": "counter-shares-hidden was there 2 times; one is left.",
    "code_twice": "counter-shares-code was there 2 times; all of them count",
    "public_deleted": "Missing, and put back: counter-shares-public.",
    "hidden_deleted": "Missing, and put back: counter-shares-hidden.",
    "all_locked_deleted": "Missing, and put back: course-header, .* and \\d+ more.",
    "code_deleted": "",
    "public_split": "counter-shares-public is locked, and was changed",
    "hidden_split": "counter-shares-hidden is locked, and was changed",
    "public_retyped": "counter-shares-public had become a markdown cell; it is a code cell again.",
    "hidden_retyped": "counter-shares-hidden had become a raw cell; it is a code cell again.",
    "code_retyped": "counter-shares-code is a markdown cell now, so its text is no code; make it a code cell again.",
    "solution_true": "",
    "grade_false": "",
    "grade_on_code": "",
    "foreign_points": "",
    "unknown_schema": "",
    "schema_is_text": "",
    "no_metadata": "",
    "locked_rewritten": "counter-shares-public is locked, and was changed",
    "renamed_cell": "",
    "renamed_file": "",
}


@pytest.fixture(scope="module")
def classroom(toy_taught):
    course = Course(toy_taught.kit)
    return Classroom(course, course.find("counter"), toy_taught.release())


@pytest.fixture(scope="module")
def damaged(classroom):
    return {student.name.removeprefix("damaged_"): student for student in classroom.students() if student.kind == "damaged"}  # fmt: skip


@pytest.fixture(scope="module")
def solved(classroom, released):
    return rebuilt(pieces_of(classroom.filled(classroom.sources.solution)), released)


def test_every_damage_of_the_class_is_looked_at_here(damaged):
    assert set(damaged) == set(SAID)


@pytest.mark.parametrize("damage", SAID)
def test_what_is_damaged_is_whole_again_and_the_student_is_told(damaged, released, solved, damage):
    pieces = pieces_of(json.loads(damaged[damage].data))

    made = rebuilt(pieces, released)

    refuse_lies(made, pieces, released)
    assert re.search(SAID[damage], "\n".join(made.said)) and bool(made.said) == bool(SAID[damage])
    if damage not in (
        "all_locked_deleted",
        "code_twice",
        "code_deleted",
        "code_retyped",
        "locked_rewritten",
        "no_metadata",
    ):
        assert names_of(made) == names_of(solved)
        assert [one["source"] for one in made.notebook["cells"] if not is_ours(one)] == [
            one["source"] for one in solved.notebook["cells"] if not is_ours(one)
        ]


def test_without_any_metadata_every_locked_cell_is_found_in_its_own_place(damaged, released, solved):
    made = rebuilt(pieces_of(json.loads(damaged["no_metadata"].data)), released)

    locked = {one.name for one in released if one.locked}
    assert [name if name in locked else "." for name in names_of(made)] == [
        name if name in locked else "." for name in names_of(solved)
    ]


def test_two_hidden_cells_with_the_same_text_and_no_metadata_are_two_cells():
    cells = [{**one, "metadata": {}} for one in as_cells(KNOWN)]

    made = rebuilt(pieces_of(book_of(*cells)), KNOWN)

    locked = [name for name in names_of(made) if name in LOCKED]
    assert locked == list(LOCKED)
    assert made.said == ["Missing, and put back: x-essay."]


def test_what_was_written_into_a_locked_cell_stands_above_it_and_is_no_longer_locked(damaged, released):
    made = rebuilt(pieces_of(json.loads(damaged["locked_rewritten"].data)), released)

    cells = made.notebook["cells"]
    place = names_of(made, note=True).index("counter-shares-public")
    assert cells[place - 1]["source"] == "1.5" and cells[place - 1]["metadata"] == {}
    assert not is_ours(cells[place - 1]) and is_ours(cells[place])


def test_a_missing_cell_never_comes_back_in_front_of_the_one_before_it():
    order = ["x-two-public", "x-text-two", "x-one-public"]  # moved about, and all between them gone
    known = {one.name: one for one in KNOWN}

    made = rebuilt(pieces_of(book_of(*as_cells(known[name] for name in order))), KNOWN[:-1])

    names = names_of(made)
    assert names.index("x-one-public") < names.index("x-one-hidden")
    assert names.index("x-two-public") < names.index("x-two-hidden")


def test_where_only_the_students_code_is_left_each_locked_cell_is_beside_it():
    left = [one for one in KNOWN if not one.locked]

    made = rebuilt(pieces_of(book_of(*as_cells(left))), KNOWN)

    assert names_of(made) == [one.name for one in KNOWN]


def test_an_answer_that_a_person_grades_stays_the_students_text():
    cells = as_cells(KNOWN)
    cells[-1]["source"] = "Because the scores grow. <script>alert(1)</script>"

    made = rebuilt(pieces_of(book_of(*cells)), KNOWN)

    answer = made.notebook["cells"][-1]
    assert made.said == []
    assert answer["source"] == cells[-1]["source"]
    assert answer["metadata"]["nbgrader"] | {"grade": True, "solution": True, "points": 4.0} == answer["metadata"]["nbgrader"]  # fmt: skip
    assert not is_ours(answer)  # so that feedback shows it as text


# ---------------------------------------------------------------- strange files


def test_line_ends_lists_of_lines_and_blanks_around_do_not_make_a_locked_cell_another():
    cells = as_cells(KNOWN)
    cells[3]["source"] = cells[3]["source"].replace("\n", "\r\n") + "\r\n"
    cells[4]["source"] = cells[4]["source"].splitlines(keepends=True)
    cells[0]["source"] = f"\n\n{cells[0]['source']}"

    made = rebuilt(pieces_of(book_of(*cells)), KNOWN)

    assert made.said == [] and names_of(made) == [one.name for one in KNOWN]


def test_what_is_no_cell_is_passed_over():
    strange = [None, 3, "cell", [], {}, {"cell_type": ["code"]}]
    strange += [{"cell_type": "code", "source": source} for source in ([1], None, {"a": 1})]

    pieces = pieces_of(book_of(*strange, {"cell_type": "code", "source": "x = 1", "metadata": [1]}))

    assert pieces == [Piece("code", "x = 1")]
    assert pieces_of(None) == pieces_of([]) == pieces_of({"cells": {}}) == []


def test_half_a_character_can_be_written_to_a_file():
    pieces = pieces_of(json.loads('{"cells": [{"cell_type": "markdown", "source": "lone \\ud800 half"}]}'))

    made = rebuilt(pieces, KNOWN)

    assert "lone ? half" in json.dumps(made.notebook, ensure_ascii=False).encode("utf-8").decode("utf-8")


def test_a_notebook_of_five_megabytes_is_as_any_other():
    big = cell("markdown", "word " * 1_000_000)

    made = rebuilt(pieces_of(book_of(*as_cells(KNOWN), big)), KNOWN)

    assert made.said == [] and made.notebook["cells"][-1]["source"] == big["source"]


def test_why_nothing_could_be_read_is_the_only_note_and_every_cell_is_there():
    made = rebuilt([], KNOWN, "The notebook cannot be read. It is not JSON.")

    assert made.said == ["The notebook cannot be read. It is not JSON."]
    assert names_of(made) == [one.name for one in KNOWN if one.locked or one.grade]


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "[a](javascript:alert(1))", "$\\href{javascript:alert(1)}{x}$", "1. one", "a\n\n# b"],
)
def test_a_note_shows_what_a_student_chose_as_text(name):
    made = rebuilt([], KNOWN, f"{name}.ipynb cannot be read.")

    shown = rendered(made.notebook["cells"][0]["source"])

    assert set(re.findall(r"</?([a-z]+)", shown)) <= {"ul", "li", "span"}
    assert html.unescape(re.sub(r"<[^>]*>", "", shown)).strip() == f"{' '.join(name.split())}.ipynb cannot be read."
    assert not re.search(r"\$.*\$", html.unescape(shown)) or "<span>$</span>" in html.unescape(shown)


def rendered(text):
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    return markdown2html_mistune(text)


def test_a_student_cannot_pass_a_cell_off_as_the_courses():
    forged = {"cell_type": "markdown", "source": "<b>mine</b>", "metadata": {OURS: True, "nbgrader": {"locked": True}}}

    made = rebuilt(pieces_of(book_of(*as_cells(KNOWN), copy.deepcopy(forged))), KNOWN)

    assert made.notebook["cells"][-1]["metadata"] == {}
    assert not is_ours(made.notebook["cells"][-1])
