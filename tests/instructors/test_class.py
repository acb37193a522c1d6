"""A class through real nbgrader, from source to feedback: everybody gets the marks that `grader check` gives, nothing leaks.

The class holds right answers in several forms, every wrong variant, and broken, late, hostile and damaged notebooks. Sixty of
them get feedback.
"""

from __future__ import annotations

import html
import json
import re
import sqlite3
from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest

from grader.logic.marks import HIDDEN, PUBLIC
from grader.logic.table import read_json_lines
from grader.model.types import Value
from grader.system.course import Course
from grader.system.gradebook import Gradebook
from grader.system.host import Server
from grader.system.submission import read_submission
from grader.verbs.batch import grade_many
from grader.verbs.grading import Sources, make_plan
from tests.engine.postgres import NoServer, running_server
from tests.instructors.classroom import EXERCISE, Classroom, hand_in
from tests.instructors.conftest import REPOSITORY, teach
from tests.secrets_of_course import found_in, readings, squeezed, wanted_of

COURSE = Course(REPOSITORY)
SIXTY = "class-"  # the students who get feedback
TAGS = re.compile(r"<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """The course with everybody's work graded, and the feedback of sixty released through an exchange."""
    folder = tmp_path_factory.mktemp("class")
    taught = teach(COURSE.root, EXERCISE, folder)
    exchange = folder / "exchange"
    exchange.mkdir()
    exchange.chmod(0o777)
    with (taught.root / "nbgrader_config.py").open("a") as config:
        config.write(f"c.Exchange.root = {str(exchange)!r}\n")
    hand_in(everybody(taught), taught.root)
    taught.autograded = taught.nbgrader("autograde", EXERCISE)
    taught.nbgrader("generate_feedback", EXERCISE, "--student", f"{SIXTY}*")
    taught.nbgrader("release_assignment", EXERCISE)
    taught.nbgrader("release_feedback", EXERCISE)
    return taught


def everybody(taught):
    """The class, the sixty first: all that is not a variant, and as many variants as there is room for."""
    room = Classroom(COURSE, COURSE.find(EXERCISE), taught.release())
    students = list(room.students())
    special = [one for one in students if not one.name.startswith(("right_", "wrong_"))]
    variants = [one for one in students if one not in special]
    first = [*special, *variants[:: len(variants) // (60 - len(special)) + 1]]
    first += [one for one in variants if one not in first][: 60 - len(first)]
    return [one.called(f"{SIXTY}{one.name}") if one in first else one for one in students]


@pytest.fixture(scope="module")
def students(taught):
    return everybody(taught)


@pytest.fixture(scope="module")
def reports(taught, students):
    """What `grader check` says of each file as it was handed in."""
    files = [read_submission(taught.root / "submitted" / one.name / EXERCISE / one.file) for one in students]
    found = grade_many(make_plan(COURSE, COURSE.find(EXERCISE)), files, 2)
    return dict(zip((one.name for one in students), found, strict=True))


# ---------------------------------------------------------------- marks


def test_the_class_is_what_it_claims_to_be(students):
    kinds = {one.kind for one in students}
    sixty = [one for one in students if one.name.startswith(SIXTY)]
    wrong = {variant.name for variant in Sources(COURSE, COURSE.find(EXERCISE)).variants if variant.kind == "wrong"}

    assert kinds == {"right", "wrong", "stub", "broken", "damaged", "hostile", "hostile_right"}
    assert len(sixty) == 60 and {one.idea for one in students} - {""} == wrong


def test_everybodys_marks_are_those_of_grader_check(taught, students, reports):
    assert taught.autograded.returncode == 0, taught.autograded.stderr

    totals = taught.totals()
    wanted = {one.name: reports[one.name].score for one in students}

    assert {name: round(total, 6) for name, total in totals.items()} == wanted
    assert {
        one.name for one in students if one.kind in ("right", "hostile_right") and totals[one.name] != 30.0
    } == set()
    assert {
        one.name for one in students if one.kind in ("stub", "broken", "hostile") and totals[one.name] != 0.0
    } == set()
    assert {one.name for one in students if one.kind == "wrong" and not 0 < totals[one.name] < 30.0} == set()


def test_every_cell_holds_what_its_checks_earned(taught, students, reports):
    scores = taught.scores()
    for one in students:
        for name, score in scores[one.name].items():
            _, step, kind = name.split("-")
            checks = [c for c in reports[one.name].checks if c.step == step and c.hidden == (kind == HIDDEN)]
            assert score.auto == pytest.approx(sum(check.earned for check in checks), abs=1e-6), (one.name, name)


def test_a_damaged_notebook_is_worth_what_is_left_of_it(taught, students):
    totals = {name.removeprefix(SIXTY): total for name, total in taught.totals().items()}
    damaged = [one for one in students if one.same_as]

    assert len(damaged) > 20
    assert {one.name: totals[one.name.removeprefix(SIXTY)] for one in damaged} == {
        one.name: totals[one.same_as] for one in damaged
    }


def test_every_bad_file_has_a_verdict_with_its_reason(taught, students):
    reasons = {
        "empty": "The file is empty",
        "not_json": "not",
        "other_json": "JSON of another kind",
        "old_format": "format older than 4",
        "no_cells": "no list of cells",
        "syntax_errors": "defines none of this exercise's functions",
        "damaged_public_twice": "attention-softmax-public was there 2 times",
        "damaged_hidden_deleted": "Missing, and put back: attention-softmax-hidden",
        "damaged_code_retyped": "attention-softmax-code is a markdown cell now",
        "damaged_locked_rewritten": "is locked, and was changed",
        "damaged_renamed_file": "By its content it is attention (1).ipynb",
        "stub": "Nothing is written yet",
    }
    for name, reason in reasons.items():
        assert reason in text_of(taught.feedback(SIXTY + name)), name


def test_each_wrong_idea_is_named_in_its_students_feedback(taught, students, reports):
    ideas = make_plan(COURSE, COURSE.find(EXERCISE)).texts.ideas
    wrong = [one for one in students if one.kind == "wrong" and one.name.startswith(SIXTY)]

    assert len(wrong) > 10
    for one in wrong:
        said = squeezed(text_of(taught.feedback(one.name)))
        assert squeezed(ideas[one.idea].says)[1:] in said, one.name


# ---------------------------------------------------------------- what leaks


def text_of(page):
    """What a page shows."""
    return html.unescape(TAGS.sub(" ", page))


def numbers_of(arrays):
    """Numbers as messages write them and as Python does, in pairs or in full, long enough to mean something."""
    found = set()
    for array in arrays:
        flat = np.asarray(array, dtype=float).ravel()[:400]
        shown = [f"{number:.4f}" for number in flat]
        found |= {f"{a} {b}" for a, b in pairwise(shown) if len({a, b, "0.0000", "1.0000"}) == 4}
        found |= {repr(float(number)) for number in flat if len(repr(float(number))) > 12}
    return found


def arrays_in(value):
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from arrays_in(item)
    elif isinstance(value, dict):
        yield from arrays_in(list(value.values()))


@pytest.fixture(scope="module")
def hidden_numbers():
    """The inputs and right answers of the hidden checks that no public check has."""
    sources = Sources(COURSE, COURSE.find(EXERCISE))
    plan = make_plan(COURSE, sources.exercise)
    live = sources.live()

    def numbers(session):
        found = {True: set(), False: set()}
        for check in session.checks:
            run = session.run_check(check, live.solution())
            for call, outcome in zip(run.calls, run.outcomes, strict=True):
                values = [*call.args, *call.kwargs.values(), outcome.value if isinstance(outcome, Value) else None]
                found[check.hidden] |= numbers_of(arrays_in(values))
        return found[True] - found[False]

    with Server() as server:
        return plan.run(server, numbers)


@pytest.fixture(scope="module")
def wanted():
    return wanted_of(COURSE, COURSE.find(EXERCISE))


def texts_of(taught):
    """Every file that students or others may come to see, as text: (name, whose it is, text)."""
    for folder in ("release", "autograded", "feedback"):
        for path in sorted((taught.root / folder).rglob("*")):
            if path.is_file():
                parts = path.relative_to(taught.root).parts
                yield "/".join(parts), parts[1] if folder != "release" else "", path.read_bytes()
    for path in sorted((taught.root.parent / "exchange").rglob("*")):
        if path.is_file():
            yield f"exchange/{path.name}", "*", path.read_bytes()
    with closing(sqlite3.connect(taught.root / "gradebook.db")) as book:
        yield "gradebook.db", "", "\n".join(book.iterdump()).encode()
    yield "log", "", "\n".join(taught.log).encode()


def shown_in(name, data):
    text = data.decode("utf-8")
    if name.endswith(".html"):
        return [text, text_of(text)]
    return readings(name, data)


def test_no_solution_check_or_variant_is_anywhere_that_students_look(taught, students, wanted):
    own = {
        one.name: squeezed("\n".join(shown_in("x.ipynb", one.data)) if one.data[:1] == b"{" else "") for one in students
    }
    everyones = "".join(own.values())
    texts, whose = {}, {}
    for name, student, data in texts_of(taught):
        texts[name], whose[name] = squeezed("\n".join(shown_in(name, data))), student

    leaks = [
        (name, secret)
        for name, secret in found_in(texts, wanted)
        if secret.needle.strip("()[]{},:") not in (everyones if whose[name] == "*" else own.get(whose[name], ""))
    ]

    assert leaks == []
    assert len(texts) > 200 and {"gradebook.db", "log"} < texts.keys()
    assert sum(name.startswith("feedback/") for name in texts) >= 60
    assert any(name.startswith("exchange/") and name.endswith(".html") for name in texts)


def test_no_number_of_a_hidden_check_is_anywhere_that_students_look(taught, hidden_numbers):
    assert len(hidden_numbers) > 500
    pattern = re.compile(r"-?\d+\.\d{4,}")
    for name, _, data in texts_of(taught):
        for text in shown_in(name, data):
            shown = pattern.findall(text)
            pairs = {f"{a} {b}" for a, b in pairwise(shown)}
            assert not hidden_numbers & (pairs | set(shown)), name


@pytest.mark.parametrize("where", ["a line of a hidden check", "a pair of hidden numbers", "a number in full"])
def test_the_search_finds_what_was_planted(taught, wanted, hidden_numbers, where):
    page = taught.feedback(f"{SIXTY}stub")
    if where == "a line of a hidden check":
        secret = next(one for one in wanted if one.kind == "hidden check")
        assert found_in({"page": squeezed(text_of(page + html.escape(secret.needle)))}, [secret])
    else:
        long = where == "a number in full"
        number = next(one for one in sorted(hidden_numbers) if (" " not in one) == long)
        shown = re.findall(r"-?\d+\.\d{4,}", text_of(f"{page} {number.replace(' ', '   ')}"))
        assert hidden_numbers & ({f"{a} {b}" for a, b in pairwise(shown)} | set(shown))


# ---------------------------------------------------------------- whose text it is


def test_no_tag_of_a_students_is_in_the_feedback(taught):
    hostile, plain = (taught.feedback(f"{SIXTY}{name}") for name in ("hostile_script", "solution"))

    def tags(page):
        found = re.findall(
            r"<\s*([a-zA-Z]+)([^>]*)>", re.sub(r"<(style|script)\b.*?</\1>", "<\\1>", page, flags=re.DOTALL)
        )
        return {name.lower() for name, _ in found}, {
            at.lower() for _, rest in found for at in re.findall(r"\s(on\w+)\s*=", rest)
        }

    assert tags(hostile)[0] <= tags(plain)[0] | {"pre"} and tags(hostile)[1] == tags(plain)[1]
    assert hostile.count("<script") == plain.count("<script")
    assert 'href="javascript:' not in hostile and "<script>document.title" in text_of(hostile)


def test_the_graded_notebook_holds_no_metadata_or_output_of_a_students(taught):
    book = taught.graded(f"{SIXTY}hostile_script")

    assert "owned" not in json.dumps(book["metadata"])
    for cell in book["cells"]:
        assert cell["metadata"].keys() <= {"nbgrader", "ours", "deletable", "editable"}
        assert "attachments" not in cell
        name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        if not name.endswith((f"-{PUBLIC}", f"-{HIDDEN}")):
            assert cell.get("outputs", []) == []


# ---------------------------------------------------------------- the same class without nbgrader


def table_of(taught, tmp_path_factory, *options):
    """The table that `grader batch` makes of the class, and the gradebook's address where it was asked to fill one."""
    out = tmp_path_factory.mktemp("graded") / "tables"
    done = taught.grader("batch", str(taught.root), EXERCISE, "--out", str(out), *options)
    assert done.returncode == 1, done.stderr  # some submissions are broken
    return (out / "marks.csv").read_text(), (out / "marks.jsonl").read_text()


@pytest.fixture(scope="module")
def with_one_worker(taught, tmp_path_factory):
    return table_of(taught, tmp_path_factory, "--workers", "1")


def test_a_batch_of_the_class_gives_the_marks_of_grader_check(with_one_worker, students, reports):
    entries = {entry.student: entry for entry in read_json_lines(with_one_worker[1])}

    assert {name: entry.report.score for name, entry in entries.items()} == {
        one.name: reports[one.name].score for one in students
    }
    assert {name: entry.report.status for name, entry in entries.items()} == {
        one.name: reports[one.name].status for one in students
    }


def test_two_workers_give_the_same_table(taught, with_one_worker, tmp_path_factory):
    assert table_of(taught, tmp_path_factory, "--workers", "2") == with_one_worker


def test_a_dask_cluster_gives_the_same_table(taught, with_one_worker, tmp_path_factory):
    distributed = pytest.importorskip("distributed", reason="distributed is not installed: make setup EXTRAS=cluster")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        assert table_of(taught, tmp_path_factory, "--cluster", cluster.scheduler_address) == with_one_worker


def gradebook_with(taught, url, out):
    """A gradebook into which a batch entered the class: all that matters in it, and the automatic marks."""
    made = taught.nbgrader("generate_assignment", EXERCISE, "--force", f"--CourseDirectory.db_url={url}")
    assert made.returncode == 0, made.stderr
    done = taught.grader("batch", str(taught.root), EXERCISE, "--out", str(out), "--gradebook", url)
    assert done.returncode == 1, done.stderr
    with Gradebook(url, "transformers") as book:
        return book.snapshot(), automatic(book.scores(EXERCISE))


def automatic(scores):
    return {student: {name: score.auto for name, score in cells.items()} for student, cells in scores.items()}


def test_sqlite_and_postgresql_hold_the_same_gradebook_and_it_is_nbgraders(taught, tmp_path):
    here, marks = gradebook_with(taught, f"sqlite:///{tmp_path / 'gradebook.db'}", tmp_path / "here")
    assert marks == automatic(taught.scores())
    try:
        with running_server() as server:
            server.new("class")
            there = gradebook_with(taught, server.url("psycopg", "class"), tmp_path / "there")
    except NoServer as reason:
        pytest.skip(str(reason))

    assert there == (here, marks)
