"""Which exercise a file is for, whose it is, and which of several counts: from names and content alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from grader.logic import matching
from grader.logic.matching import NAMED, PARTLY, PLACED, PRESCRIBED, Candidate, Content, choose, match, names_in
from grader.model.types import Step
from grader.system.course import Course

COUNTER = Course(Path(__file__).resolve().parents[1] / "toy_course").find("counter")
STEPS = (Step("heads", "Heads", ("split", "Layer.forward"), 10, 2.0), Step("more", "More", ("Counter.add",), 10, 2.0))
MULTIHEAD = replace(COUNTER, name="multihead", folder="ex03_multihead", module="multihead.py", steps=STEPS)
BOTH = (COUNTER, MULTIHEAD)


def named(text):
    return [(found.exercise.name, found.is_exact, found.rest) for found in names_in(text, BOTH)]


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("counter", [("counter", True, "")]),
        ("Counter", [("counter", True, "")]),
        ("ex01_counter", [("counter", True, "")]),
        ("counter (1)", [("counter", False, "")]),
        ("Counter_final", [("counter", False, "")]),
        ("Copy of counter", [("counter", False, "")]),
        ("counter2", [("counter", False, "")]),
        ("anna_counter_v2", [("counter", False, "anna")]),
        ("counter-José García", [("counter", False, "José García")]),
        ("counter_123456", [("counter", False, "123456")]),
        ("CounterAnna", [("counter", False, "Anna")]),
        ("counter_by_finn", [("counter", False, "finn")]),
        ("Multi-Head anna", [("multihead", False, "anna")]),
        ("ex01_anna", [("counter", False, "anna")]),
        ("Exercise 3", [("multihead", False, "")]),
        ("ex01_multihead", [("multihead", False, "ex01")]),
        ("multihead_counter", [("counter", False, "multihead"), ("multihead", False, "counter")]),
        ("encounter", []),
        ("counters", []),
        ("ex11", []),
        ("homework", []),
        ("", []),
    ],
)
def test_a_name_names_an_exercise_as_a_word_of_its_own_and_leaves_the_student(text, expected):
    assert named(text) == expected


@pytest.mark.parametrize(
    ("name", "suffix", "stem"),
    [
        ("a.ipynb", ".ipynb", "a"),
        ("A.IPYNB", ".ipynb", "A"),
        ("a (1).ipynb.txt", ".ipynb", "a (1)"),
        ("a.ipynb.json", ".ipynb", "a"),
        ("a.b.py", ".py", "a.b"),
        ("a.pyc", "", "a.pyc"),
        ("notes.txt", "", "notes.txt"),
        ("ipynb", "", "ipynb"),
    ],
)
def test_notebooks_and_modules_are_known_by_their_suffix(name, suffix, stem):
    assert (matching.code_suffix(name), matching.stem_of(name)) == (suffix, stem)


def test_very_long_names_take_no_time_worth_speaking_of():
    for text in ("_" * 500, "counter_" * 60, "a" * 500, "(1) " * 120 + "x", "ex0" * 160):
        assert all(found.exercise in BOTH for found in names_in(text, BOTH))
        assert len(matching.without_noise(text)) <= len(text)


# ---------------------------------------------------------------- content

ALL = "def shares(x): pass\nclass Counter:\n    def add(self): pass\n    def most_common(self): pass\n    def merged(self): pass\n"


def likeness(*sources, ids=()):
    found = matching.likeness(Content(sources, ids), BOTH)
    return found and (found.exercise.name, found.by, found.is_sure)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (likeness(ALL), ("counter", "its functions (4 of 4)", True)),
        (likeness("def shares(x):\n  oops(", "x = 1"), ("counter", "its functions (1 of 4)", False)),
        (likeness("async def split(): pass"), ("multihead", "its functions (1 of 3)", False)),
        (likeness(ALL, "check('multihead', 'heads')"), ("multihead", "its check cells", True)),
        (likeness("# check( \"counter\", 'shares')"), ("counter", "its check cells", True)),
        (likeness("check('other')", ALL), ("counter", "its functions (4 of 4)", True)),
        (likeness(ids=("multihead-heads-code", "x", "counter-")), ("multihead", "its nbgrader cells", True)),
        (likeness("check('counter')", ids=("multihead-a-b-hidden",)), ("multihead", "its nbgrader cells", True)),
        (
            likeness("check('counter')", ids=("counter-a-code", "multihead-a-code")),
            ("counter", "its check cells", True),
        ),
        (likeness("def add(self): pass"), None),
        (likeness("class Other:\n    def add(self): pass"), None),
        (likeness("class Counter: pass\n\ndef f():\n    def add(): pass"), None),
        (likeness("precheck('counter')"), None),
        (likeness(), None),
    ],
)
def test_content_speaks_of_an_exercise_by_its_cells_or_its_functions(found, expected):
    assert found == expected


def test_two_exercises_alike_are_no_likeness():
    twin = replace(COUNTER, name="twin", folder="ex02_twin", module="twin.py")

    found = matching.likeness(Content((ALL,)), (COUNTER, twin))

    assert found is None


@pytest.mark.parametrize("data", [None, [], {}, {"cells": 3}, {"cells": [1, {}, {"cell_type": "code", "source": 4}]}])
def test_what_is_no_notebook_has_no_content_and_does_no_harm(data):
    content = matching.content_of(data)

    assert set(content.sources) <= {""} and content.grade_ids == ()


def test_a_notebook_s_code_and_grade_ids_are_found_in_damaged_cells_too():
    cells = [
        {"cell_type": "markdown", "source": "check('no')", "metadata": {"nbgrader": {"grade_id": "a-b-public"}}},
        {"cell_type": "code", "source": ["x = 1\n", 5, "y"], "metadata": {"nbgrader": {"grade_id": 7}}},
        {"cell_type": "code", "metadata": [], "source": "z"},
        {"cell_type": "code", "source": "", "metadata": {"nbgrader": {"grade_id": "a-" * 1000}}},
    ]

    content = matching.content_of(json.loads(json.dumps({"cells": cells})))

    assert content.sources == ("x = 1\ny", "z", "") and content.grade_ids == ("a-b-public",)


# ---------------------------------------------------------------- both together

SURE = matching.Likeness(COUNTER, "its check cells", True)
UNSURE = matching.Likeness(COUNTER, "its functions (1 of 4)", False)


@pytest.mark.parametrize(
    ("stem", "content", "place", "expected"),
    [
        ("counter", None, None, ("counter", NAMED, "")),
        ("counter", None, COUNTER, ("counter", PRESCRIBED, "")),
        ("multihead", SURE, None, ("multihead", NAMED, "its content looks like counter")),
        ("multihead", None, COUNTER, ("multihead", NAMED, "")),
        ("counter (1)", SURE, None, ("counter", NAMED, "matched by its name and its check cells")),
        ("counter (1)", None, None, ("counter", NAMED, "matched by its name alone")),
        ("hw1", SURE, None, ("counter", NAMED, "matched by its check cells")),
        ("hw1", UNSURE, None, ("counter", PARTLY, "matched by its functions (1 of 4)")),
        ("hw1", UNSURE, MULTIHEAD, ("multihead", PLACED, "matched by its folder alone")),
        ("hw1", SURE, MULTIHEAD, ("counter", NAMED, "matched by its check cells")),
        ("hw1", None, MULTIHEAD, ("multihead", PLACED, "matched by its folder alone")),
        (
            "anna_multihead",
            SURE,
            None,
            ("counter", NAMED, "matched by its check cells, though its name says multihead"),
        ),
        ("multihead counter", None, MULTIHEAD, ("multihead", NAMED, "matched by its name alone")),
        ("multihead counter", None, None, None),
        ("hw1", None, None, None),
    ],
)
def test_an_exact_name_is_believed_then_the_content_then_the_rest_of_the_name_then_the_place(
    stem, content, place, expected
):
    found = match(stem, content, place, BOTH, is_prescribed=True)

    assert (found and (found.exercise.name, found.level, found.note)) == expected


def test_a_renumbered_exercise_s_folder_still_names_it():
    assert matching.exactly_named("ex07_counter", BOTH) is COUNTER
    assert matching.exactly_named("ex01_counters", BOTH) is None


# ---------------------------------------------------------------- who


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("Full Name_12345_assignsubmission_file_", ("Full Name", "12345", "")),
        ("Full Name_12345_assignsubmission_file", ("Full Name", "12345", "")),
        ("Full Name_12345_assignsubmission_file_my_counter.ipynb", ("Full Name", "12345", "my_counter.ipynb")),
        ("Full Name_12345_assignsubmission_onlinetext_", ("Full Name", "12345", "")),
        ("Default group_assignsubmission_file_a.py", ("Default group", "", "a.py")),
        ("assignsubmission_file_", None),
        ("Full Name_12345_a.py", None),
    ],
)
def test_moodle_s_folders_and_files_tell_whose_they_are(part, expected):
    owner = matching.moodle_owner(part)

    assert (owner and (owner.name, owner.number, owner.rest)) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("lastfirst_12_678_counter-1.ipynb", ("lastfirst", "12", "counter-1.ipynb", False, 678)),
        ("lastfirst_LATE_12_678_a_b.py", ("lastfirst", "12", "a_b.py", True, 678)),
        ("müllerjörg_12_678_a.py", ("müllerjörg", "12", "a.py", False, 678)),
        ("anon_Ab3xY_678_a.py", ("anon_Ab3xY", "", "a.py", False, 678)),
        ("LATE_anon_Ab3xY_678_a.py", ("anon_Ab3xY", "", "a.py", True, 678)),
        ("counter_anna.ipynb", None),
        ("counter_12.ipynb", None),
    ],
)
def test_canvas_s_files_tell_whose_they_are_and_whether_late(part, expected):
    owner = matching.canvas_owner(part)

    assert (owner and (owner.name, owner.number, owner.rest, owner.is_late, owner.file_number)) == expected


def test_canvas_s_suffix_is_the_count_of_uploads():
    assert matching.resubmission("counter-2") == ("counter", 2)
    assert matching.resubmission("counter") == ("counter", 0)
    assert matching.resubmission("-2") == ("-2", 0)


def test_a_repository_of_github_classroom_ends_with_its_user():
    assert matching.username("unit-1-anna-b", "unit-1", BOTH) == "anna-b"
    assert matching.username("counter-anna", "", BOTH) == "anna"
    assert matching.username("somebody-else", "", BOTH) == "somebody-else"
    assert matching.username("counter-", "", BOTH) == "counter-"
    assert matching.common_slug(["hw-1-anna", "hw-1-andy"]) == "hw-1"
    assert matching.common_slug(["anna", "ben"]) == matching.common_slug(["hw-anna"]) == ""


# ---------------------------------------------------------------- one of several


def file(name, digest="", level=NAMED, **more):
    return Candidate(name, digest or name, level, **more)


def outcome(*candidates):
    choice = choose(candidates)
    return (choice.taken and choice.taken.file, choice.why, [one.file for one in choice.rivals])


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([file("a")], ("a", "", [])),
        ([file("b"), file("a")], (None, "", ["a", "b"])),
        ([file("a", level=PRESCRIBED), file("b", level=PRESCRIBED)], (None, "", ["a", "b"])),
        ([file("b", "same"), file("a", "same")], ("a", "the same bytes twice", [])),
        ([file("a"), file("b", level=PRESCRIBED)], ("b", "the best match of several files", [])),
        ([file("a", level=PARTLY), file("b", level=PLACED)], ("a", "", [])),
        ([file("a", is_readable=False), file("b")], ("b", "the others cannot be read", [])),
        ([file("a", is_readable=False), file("b", is_readable=False)], (None, "", ["a", "b"])),
        ([file("a", is_readable=False), file("b", level=PLACED)], ("a", "", [])),
        ([file("a", is_stub=True), file("b")], ("b", "the others are as handed out", [])),
        ([file("a", is_stub=True), file("b", level=PLACED)], ("a", "", [])),
        ([file("a", is_stub=True), file("b", is_readable=False)], ("b", "the others are as handed out", [])),
        ([file("a", is_stub=True), file("b", is_stub=True)], ("a", "all are as handed out", [])),
        ([file("a", level=PRESCRIBED, is_stub=True), file("b", level=PRESCRIBED)], ("b", "", [])),
        ([file("a", is_stub=True), file("b"), file("c")], (None, "", ["b", "c"])),
        ([file("a", again=1, file_number=9), file("b", file_number=8)], ("a", "the newest upload", [])),
        ([file("a", again=1, file_number=7), file("b", file_number=8)], (None, "", ["a", "b"])),
        ([file("a", file_number=7), file("b", file_number=8)], (None, "", ["a", "b"])),
    ],
)
def test_a_file_is_chosen_where_a_rule_says_so_and_else_it_is_a_question(candidates, expected):
    assert outcome(*candidates) == expected
    assert outcome(*reversed(candidates)) == expected


def test_each_file_not_chosen_is_named_with_its_reason():
    candidates = [file("x{taken}", is_stub=True), file("a", "same"), file("b", "same"), file("c", level=PLACED)]

    choice = choose(candidates)

    assert choice.taken is candidates[1]
    assert {(one.file, why) for one, why in choice.others} == {
        ("x{taken}", "is as handed out, unlike a"),
        ("b", "has the same bytes as a"),
        ("c", "fits less well than a"),
    }


# ---------------------------------------------------------------- when


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2015-02-02 15:58:23.948203 America/Los_Angeles\n", datetime(2015, 2, 2, 23, 58, 23, 948203)),
        ("2015-02-02 15:58:23.948203 UTC", datetime(2015, 2, 2, 15, 58, 23, 948203)),
        ("2015-02-02 15:58:23.5 CET", datetime(2015, 2, 2, 14, 58, 23, 500000)),
        ("2015-02-02 15:58:23 +0130", datetime(2015, 2, 2, 14, 28, 23)),
        ("2015-02-02T15:58:23-08:00", datetime(2015, 2, 2, 23, 58, 23)),
        ("2015-02-02T15:58Z", datetime(2015, 2, 2, 15, 58)),
        ("2015-02-02 15:58:23", datetime(2015, 2, 2, 15, 58, 23)),
        ("2015-02-02 15:58:23 PST", datetime(2015, 2, 2, 15, 58, 23)),
        ("2015-02-02", datetime(2015, 2, 2)),
        ("2015-02-02 15:58:23 Nowhere/Land", None),
        ("2015-02-02 15:58:23 ../../etc/passwd", None),
        ("2015-02-30 15:58:23", None),
        ("2015-02-02 25:58:23", None),
        ("0001-01-01 00:00:00 +0100", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_nbgrader_s_timestamps_are_read_as_times_in_utc(text, expected):
    assert matching.timestamp(text) == (expected and expected.replace(tzinfo=timezone.utc))


def test_they_are_the_times_that_nbgrader_itself_reads():
    utils = pytest.importorskip("nbgrader.utils")
    texts = [
        "2015-02-02 15:58:23.948203 America/Los_Angeles",
        "2015-07-02 15:58:23 Europe/Berlin",
        "2015-02-02 15:58:23 PST",
    ]

    ours = [matching.timestamp(text).replace(tzinfo=None) for text in texts]

    assert ours == [utils.parse_utc(text) for text in texts]
