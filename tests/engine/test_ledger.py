"""The ledger of a class: what is kept is found again by exactly what it depends on, and survives what may happen."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

from grader.model.errors import UsageError
from grader.model.types import CheckResult, Report
from grader.system.ledger import FORMAT, Key, Ledger, LedgerDamaged

KEY = Key("ada", "counter", "d1", "f1")
CHECKS = [
    CheckResult(
        "shares add up", "shares", False, 1.0, 0.5, "failed", "asked   shares(…)\n\x1b\ud800", ["smooths_by_one"]
    ),
    CheckResult("shares of nothing", "shares", True, 2.0, 0.0, "timeout"),
]
REPORT = Report(
    "counter", "ada's file.py", "all", 7, "failed", 0.5, 3.0, 0.25, CHECKS, "a note", "printed\x00", ("seccomp",)
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite3"


def test_what_is_kept_is_found_again_as_it_was_also_after_closing(path):
    with Ledger(path) as ledger:
        ledger.keep(KEY, REPORT)
        at_once = ledger.find(KEY)

    with Ledger(path) as ledger:
        later = ledger.find(KEY)

    assert at_once == later == REPORT
    assert at_once != replace(REPORT, score=1.0)


@pytest.mark.parametrize("part", ["student", "exercise", "digest", "fingerprint"])
def test_whatever_else_it_depends_on_is_another_verdict(path, part):
    with Ledger(path) as ledger:
        ledger.keep(KEY, REPORT)

        found = ledger.find(replace(KEY, **{part: "another"}))

    assert found is None


def test_parts_of_a_key_do_not_run_into_one_another():
    assert Key("a", "bc", "d", "f").short != Key("ab", "c", "d", "f").short
    assert Key('a", "b', "c", "d", "f").short != Key("a", 'b", "c', "d", "f").short


def test_a_verdict_that_is_kept_again_takes_the_place_of_the_first(path):
    with Ledger(path) as ledger:
        ledger.keep(KEY, REPORT)
        ledger.keep(KEY, replace(REPORT, score=3.0, status="passed"))

        found = ledger.find(KEY)

    assert (found.score, found.status) == (3.0, "passed")


def test_names_that_are_no_text_are_kept_apart(path):
    first, second = replace(KEY, student="\udce4"), replace(KEY, student="\udce5")
    with Ledger(path) as ledger:
        ledger.keep(first, REPORT)

        found = ledger.find(first), ledger.find(second)

    assert found == (REPORT, None)


def test_a_verdict_that_cannot_be_read_is_none(path):
    with Ledger(path) as ledger:
        ledger.keep(KEY, REPORT)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE verdicts SET report = '{}'")
    connection.close()

    with Ledger(path) as ledger:
        found = ledger.find(KEY)

    assert found is None


def test_marks_are_noted_by_gradebook_student_and_unit(path):
    with Ledger(path) as ledger:
        ledger.note_entered("book", "ada", "counter", "1.0")
        ledger.note_entered("book", "ada", "counter", "2.0")

        found = [ledger.was_entered(*key) for key in (("book", "ada", "counter"), ("other", "ada", "counter"))]

    assert found == ["2.0", ""]


def test_a_file_is_ours_with_any_content_that_was_written_here_and_with_no_other(path):
    with Ledger(path) as ledger:
        ledger.note_written({"marks.csv": b"one"})
        ledger.note_written({"marks.csv": b"two"})

        ours = [ledger.is_ours("marks.csv", data) for data in (b"one", b"two", b"three")]

        assert ours == [True, True, False]
        assert not ledger.is_ours("class.html", b"one")


def test_one_process_holds_it(path):
    with Ledger(path), pytest.raises(UsageError, match="Another process is writing to"):
        Ledger(path)

    Ledger(path).close()  # afterwards it is free


def test_what_is_no_ledger_is_damaged_and_stays_as_it_is(path):
    path.write_bytes(b"this is no database at all, and long enough to be looked at" * 10)
    before = path.read_bytes()

    with pytest.raises(LedgerDamaged, match="cannot be read"):
        Ledger(path)

    assert path.read_bytes() == before


def test_another_format_and_another_database_are_damaged(path):
    Ledger(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()

    with pytest.raises(LedgerDamaged, match=f"has format {FORMAT + 1}, not {FORMAT}"):
        Ledger(path)

    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    with pytest.raises(LedgerDamaged):
        Ledger(path)


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        Ledger(tmp_path / "nowhere" / "ledger.sqlite3")


PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_ledger import KEY, REPORT
from grader.system.ledger import Ledger

ledger = Ledger(Path(sys.argv[1]))
for number in range(100_000):
    ledger.keep(replace(KEY, student=str(number)), REPORT)
    print(number, flush=True)
"""


def test_a_kill_loses_nothing_that_was_kept(path, request):
    words = [sys.executable, "-c", PROGRAM, str(path), str(request.path.parent)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    said = [process.stdout.readline().strip() for _ in range(20)]

    process.kill()
    process.communicate()

    assert said == [str(number) for number in range(20)]
    with Ledger(path) as ledger:
        assert all(ledger.find(replace(KEY, student=number)) == REPORT for number in said)
