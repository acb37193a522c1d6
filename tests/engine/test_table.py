"""A class's table: what a spreadsheet opens is harmless and plain, and what is kept is read again exactly."""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import replace

import pytest

from grader.logic.table import (
    TableError,
    csv_of,
    in_order,
    json_lines,
    one_line,
    plain_number,
    problem_of,
    read_json_lines,
)
from grader.model.types import CheckResult, Entry, Exercise, Limits, Report, Step

HOSTILE = [
    '<script>alert("1")</script>',
    '"onmouseover="alert(1)',
    "\u202etxt.exe",
    "x" * 500,
    "👩‍💻 Zoë, Åsa; \"quoted\" 'twice'",
    "two\nlines\r\nand\rmore\x00\x1b[31m\u2028\x85",
    "half a character \udc80",
    "",
    "{}\\",
]
FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "＝1",
    "=cmd|' /C calc'!A0",
]


def exercise(name: str, *steps: str) -> Exercise:
    all_steps = tuple(Step(step, f"Title of {step}", (step,), 10, 2.0) for step in steps)
    return Exercise(name, f"ex01_{name}", name.title(), f"{name}.py", all_steps, 1, (), (), Limits(), (), {})


EXERCISES = {"attention": exercise("attention", "softmax", "weights"), "bigram": exercise("bigram", "counts")}


def check(step: str, earned: float = 1.0, outcome: str = "passed", ideas: tuple[str, ...] = (), **more) -> CheckResult:
    given = {"name": f"{step} is right", "hidden": False, "points": 1.0, **more}
    return CheckResult(step=step, earned=earned, outcome=outcome, looks_like=list(ideas), **given)


def entry(student: str = "ada", exercise: str = "attention", checks=None, **more) -> Entry:
    checks = [check("softmax"), check("weights", 0.0, "failed", ("no_scale",))] if checks is None else checks
    known = {name: more.pop(name, default) for name, default in (("file", f"{student}.py"), ("note", ""))}
    score, most = sum(one.earned for one in checks), sum(one.points for one in checks if one.outcome != "skipped")
    given = {"status": "failed", "score": score, "max_score": most, **more}
    report = Report(
        exercise, known["file"], "all", 7, seconds=0.25, checks=checks, printed="…", layers=("root",), **given
    )
    return Entry(student, digest="0" * 64, report=report, **known)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def kept(one: Entry) -> Entry:
    """An entry without what a line does not hold."""
    return replace(one, report=replace(one.report, seconds=0.0, printed="", layers=()))


# ---------------------------------------------------------------- CSV


def test_one_exercise_has_a_column_for_each_of_its_steps():
    checks = [check("softmax"), check("softmax", 0.5), check("weights", 0.0, "failed", ("no_scale", "other"))]

    text = csv_of([entry(checks=checks, note="guessed", message="problem    It is odd.\nwhere")], EXERCISES)

    header = "student,exercise,file,status,score,max_score,softmax,weights,looks_like,problem,note"
    assert text == f"{header}\nada,attention,ada.py,failed,1.5,3,1.5,0,no_scale; other,It is odd.,guessed\n"


def test_of_several_exercises_the_columns_say_which_and_what_is_not_theirs_is_empty():
    entries = [entry("ben", "bigram", [check("counts")]), entry("ada")]

    rows = rows_of(csv_of(entries, EXERCISES))

    columns = ["attention.softmax", "attention.weights", "bigram.counts"]
    assert [name for name in rows[0] if "." in name] == columns
    assert [[row[name] for name in ("student", *columns)] for row in rows] == [
        ["ada", "1", "0", ""],
        ["ben", "", "", "1"],
    ]


def test_a_step_of_which_nothing_was_checked_is_empty_and_one_without_points_is_zero():
    skipped = [check("softmax", 0.0, "skipped"), check("weights", 0.0, "failed")]

    (row,) = rows_of(csv_of([entry(checks=skipped)], EXERCISES))

    assert (row["softmax"], row["weights"], row["max_score"]) == ("", "0", "1")


def test_an_exercise_or_a_step_that_the_course_does_not_have_any_more_is_shown_all_the_same():
    gone = entry("cy", "gone", [check("first")])
    renamed = entry("ada", checks=[check("softmax"), check("scores")])

    rows = rows_of(csv_of([gone, renamed], EXERCISES))

    assert (rows[0]["attention.scores"], rows[0]["attention.weights"], rows[1]["gone.first"]) == ("1", "", "1")


def test_no_entries_give_the_header_alone():
    assert csv_of([], {"bigram": EXERCISES["bigram"]}) == (
        "student,exercise,file,status,score,max_score,counts,looks_like,problem,note\n"
    )


def test_a_step_called_like_a_column_is_named_with_its_exercise():
    odd = {"odd": exercise("odd", "score")}

    header = csv_of([entry("ada", "odd", [check("score")])], odd).splitlines()[0].split(",")

    assert header.count("score") == 1
    assert "odd.score" in header


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("where", ["student", "file", "note", "message"])
def test_what_a_spreadsheet_would_run_is_text(text, where):
    given = {"student": "ada", **{where: text}}

    (row,) = rows_of(csv_of([entry(**given)], EXERCISES))

    cells = {"message": "problem"}
    shown = row[cells.get(where, where)]
    assert shown.startswith("'")
    assert not any(cell.strip()[:1] in set("=+-@＝\t\r\n") - {""} for cell in row.values() if cell)
    assert shown.removeprefix("'").strip("· ").endswith(text.strip())


@pytest.mark.parametrize("text", ["\thello", "\rhello", "\nhello"])
def test_a_cell_that_begins_with_a_tab_or_a_new_line_is_text_too(text):
    (row,) = rows_of(csv_of([entry(text, note=text)], EXERCISES))

    assert (row["student"], row["note"]) == ("'·hello", "'·hello")


@pytest.mark.parametrize("text", ["Ågren, Åsa", 'the "quoted"', "a=b", "1-2", "o'hara", "عمر", "naïve 👩‍💻"])
def test_other_texts_stay_as_they_are(text):
    (row,) = rows_of(csv_of([entry(text)], EXERCISES))

    assert row["student"] == text


def test_every_line_is_an_entry_whatever_the_names_are():
    entries = [entry(name, file=name, note=name, message=name) for name in HOSTILE + FORMULAS]

    text = csv_of(entries, EXERCISES)

    assert text.count("\n") == text.encode().count(b"\n") == len(text.splitlines()) == len(entries) + 1
    assert [set(row) for row in rows_of(text)] == [set(text.splitlines()[0].split(","))] * len(entries)
    assert "\r" not in text and "\x00" not in text and "\x1b" not in text and "\u202e" not in text


def test_rows_do_not_depend_on_the_order_in_which_they_came():
    entries = [entry(student, name) for student in ("b", "a", "c") for name in ("bigram", "attention")]
    shuffled = random.Random(1).sample(entries, len(entries))

    texts = {csv_of(entries, EXERCISES), csv_of(shuffled, EXERCISES)}

    assert shuffled != entries
    assert len(texts) == 1
    assert [row["student"] for row in rows_of(texts.pop())] == ["a", "b", "c"] * 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (17.5, "17.5"),
        (17.50000001, "17.5"),
        (0.1 + 0.2, "0.3"),
        (30.0, "30"),
        (100, "100"),
        (0.0, "0"),
        (-0.0, "0"),
        (1e-9, "0"),
        (1e7, "10000000"),
        (1234567.25, "1234567.25"),
    ],
)
def test_numbers_are_plain(value, text):
    assert plain_number(value) == text


def test_one_line_keeps_letters_of_every_script_and_what_joins_them():
    assert one_line("عمر Żółć 👩‍💻 \u200f") == "عمر Żółć 👩‍💻 \u200f"
    assert one_line("a\nb\tc\u202ed\u2066e\ud800f") == "a·b·c·d·e·f"


@pytest.mark.parametrize(
    ("message", "first"),
    [
        ("problem    cell 3 is not valid Python: odd.\nwhere      cell 3, line 1", "cell 3 is not valid Python: odd."),
        ("The file is empty.", "The file is empty."),
        ("\n  The second.\nAnd more", "The second."),
        ("problem with it", "problem with it"),
        ("", ""),
    ],
)
def test_a_problem_is_the_first_line_without_its_label(message, first):
    assert problem_of(entry(message=message).report) == first


# ---------------------------------------------------------------- JSON lines


def test_what_is_written_is_read_again_exactly_but_for_what_is_not_kept():
    checks = [check("softmax", message=text, ideas=(text, "b")) for text in HOSTILE]
    checks += [check("weights", 0.1 + 0.2, outcome, hidden=True) for outcome in ("error", "timeout", "skipped")]
    entries = [entry(text, file=text, note=text, message=text, checks=checks) for text in HOSTILE]
    entries += [entry(status=status, file=status) for status in ("passed", "not_started", "broken")]

    text = json_lines(entries)

    assert read_json_lines(text) == in_order(map(kept, entries))
    assert json_lines(read_json_lines(text)) == text
    assert read_json_lines(text) != in_order(entries)


def test_a_line_is_an_entry_in_ascii_with_a_stable_order_and_no_time():
    entries = [entry(name) for name in HOSTILE]
    later = [replace(one, report=replace(one.report, seconds=9.0)) for one in entries]

    text = json_lines(entries)

    assert text.isascii()
    assert [json.loads(line)["student"] for line in text.splitlines()] == sorted(HOSTILE)
    assert json_lines(reversed(later)) == text


def test_nothing_is_read_from_nothing():
    assert read_json_lines("") == [] == read_json_lines(json_lines([]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_not_written(value):
    with pytest.raises(ValueError, match="JSON"):
        json_lines([entry(score=value)])


def test_whole_numbers_and_line_ends_of_another_tool_are_read_too():
    text = json_lines([entry()]).replace('"score": 1.0', '"score": 1').replace("\n", "\r\n")

    (one,) = read_json_lines(text)

    assert one == kept(entry())
    assert type(one.report.score) is float


def changed(**put) -> str:
    """An entry's line with other values; those that are … are taken out."""
    data = {**entry().as_json(), **put}
    return json.dumps({name: value for name, value in data.items() if value is not ...})


def changed_check(**put) -> str:
    """The same, of its second check."""
    data = entry().as_json()
    data["checks"][1].update(put)
    data["checks"][1] = {name: value for name, value in data["checks"][1].items() if value is not ...}
    return json.dumps(data)


WRONG = {
    "empty": ("", "is empty"),
    "blank": ("   ", "is empty"),
    "not JSON": ("student,file", "is not JSON"),
    "cut": (changed()[:-5], "is not JSON"),
    "two": (changed() * 2, "is not JSON"),
    "a list": ("[]", "this is a list"),
    "null": ("null", "this is null"),
    "deep": ("[" * 100_000, "nested too deep"),
    "another schema": (changed(schema=2), "schema 2 is not known"),
    "schema true": (changed(schema=True), "schema True is not known"),
    "missing": (changed(status=...), "status is missing"),
    "unknown": (changed(grade=1), "'grade' is no part of an entry"),
    "seconds": (changed(seconds=0.1), "'seconds' is no part of an entry"),
    "student": (changed(student=3), "student should be a text and is a number"),
    "note": (changed(note=None), "note should be a text and is null"),
    "status": (changed(status="late"), "status should be one of passed, failed, not_started, broken and is 'late'"),
    "status list": (changed(status=["passed"]), "status should be one of"),
    "scope": (changed(scope="hidden"), "scope should be one of all, public"),
    "seed": (changed(seed=7.0), "seed should be a whole number"),
    "seed true": (changed(seed=True), "seed should be a whole number"),
    "score text": (changed(score="1"), "score should be a number and is a text"),
    "score true": (changed(score=True), "score should be a number and is true or false"),
    "score negative": (changed(score=-1), "score should be 0 or more"),
    "score huge": (changed(score=10**400), "score should be 0 or more, and finite"),
    "score 1e999": (changed().replace('"score": 1.0', '"score": 1e999'), "score should be 0 or more, and finite"),
    "score NaN": (changed(max_score=float("nan")), "NaN is not a number"),
    "twice": (changed().replace('"seed": 7', '"seed": 7, "seed": 8'), "it has 'seed' twice"),
    "checks": (changed(checks={}), "checks should be a list and is an object"),
    "a check": (changed(checks=[1]), "checks[0]: a check is an object, and this is a number"),
    "hidden": (changed_check(hidden=0), "checks[1]: hidden should be true or false"),
    "outcome": (changed_check(outcome="late"), "checks[1]: outcome should be one of"),
    "points": (changed_check(points=None), "checks[1]: points should be a number and is null"),
    "no message": (changed_check(message=...), "checks[1]: message is missing"),
    "more": (changed_check(hint=""), "checks[1]: 'hint' is no part of a check"),
    "ideas": (changed_check(looks_like="no_scale"), "looks_like should be a list and is a text"),
    "an idea": (changed_check(looks_like=["a", 1]), "looks_like[1] should be a text"),
}


@pytest.mark.parametrize("name", WRONG)
def test_any_other_line_is_refused_with_its_number_and_the_reason(name):
    line, reason = WRONG[name]
    good = json_lines([entry()])

    with pytest.raises(TableError) as caught:
        read_json_lines(f"{good}{line}\n{good}")

    assert str(caught.value).startswith("Line 2 ")
    assert reason in str(caught.value)
    assert (caught.value.line, caught.value.cut_short) == (2, False)
    assert len(str(caught.value)) < 300


def test_what_is_changed_in_these_lines_is_all_that_is_wrong_with_them():
    assert read_json_lines(f"{changed()}\n{changed_check()}\n") == [kept(entry())] * 2


def test_a_last_line_that_is_cut_short_is_told_as_such_wherever_it_ends():
    first, last = json_lines([entry("ada"), entry("👩‍💻")]).splitlines()

    for end in range(1, len(last)):
        with pytest.raises(TableError) as caught:
            read_json_lines(f"{first}\n{last[:end]}")
        assert (caught.value.line, caught.value.cut_short) == (2, True)
        assert "cut short" in str(caught.value)


def test_a_last_line_that_only_lacks_its_end_is_whole():
    entries = [entry("ada"), entry("ben")]

    assert read_json_lines(json_lines(entries).rstrip("\n")) == list(map(kept, entries))


@pytest.mark.parametrize("last", ["hello", changed(score="1"), "[]"])
def test_a_last_line_of_another_kind_is_not_called_cut_short(last):
    with pytest.raises(TableError) as caught:
        read_json_lines(f"{json_lines([entry()])}{last}")

    assert (caught.value.line, caught.value.cut_short) == (2, False)
