"""What a class handed in is found in every kind of folder; nothing in it can harm the one who looks."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
import zipfile
from dataclasses import replace
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path

import pytest

from grader.model.errors import UsageError
from grader.model.types import Step
from grader.system import inbox
from grader.system.course import Course
from grader.system.inbox import look_through

TOY = Path(__file__).resolve().parents[1] / "toy_course"
COUNTER = Course(TOY).find("counter")
OTHER = replace(
    COUNTER, name="heads", folder="ex02_heads", module="heads.py", steps=(Step("a", "A", ("split", "merge"), 10, 2.0),)
)
MODULE = (TOY / "solutions" / "ex01_counter" / "counter.py").read_text(encoding="utf-8")
HEADS = "def split(x):\n    return x\n\ndef merge(x):\n    return x\n"


def notebook(source=MODULE, exercise="counter", grade_id=""):
    metadata = {"nbgrader": {"grade_id": grade_id}} if grade_id else {}
    cells = [
        {"cell_type": "code", "source": source, "metadata": metadata},
        {"cell_type": "code", "source": f'# grader: check\ncheck("{exercise}", "a")', "metadata": {}},
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})


BOOK = notebook()


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def archive(files, compress=zipfile.ZIP_DEFLATED):
    data = BytesIO()
    with zipfile.ZipFile(data, "w", compress) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return data.getvalue()


def lay(folder, files):
    """The files in a new folder; None makes a folder."""
    folder.mkdir()
    for name, content in files.items():
        path = folder / name
        (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            path.write_text(content, encoding="utf-8", newline="")
    return folder


@pytest.fixture
def look(tmp_path):
    """Lay out a folder and look through it; or, with a name ending in .zip, through an archive of it."""

    def look(files, name="class", exercises=(COUNTER, OTHER), **more):
        target = tmp_path / name
        if name.endswith(".zip"):
            target.write_bytes(archive(files))
        elif not target.exists():
            lay(target, files)
        return look_through(target, exercises, **more)

    return look


def rows(found):
    return [(one.student, one.file, one.exercise, one.note) for one in found.handed]


def problems(found):
    return {one.student: one.submission.problem for one in found.handed}


def why(found):
    return {one.file: one.why for one in found.left_out}


# ---------------------------------------------------------------- kinds of folder


@pytest.mark.parametrize("base", ["submitted/", ""])
def test_nbgrader_s_tree_gives_student_unit_and_time(look, base):
    files = {
        "anna/counter/counter.ipynb": BOOK,
        "anna/counter/timestamp.txt": "2015-02-02 15:58:23.948203 America/Los_Angeles",
        "anna/ex02_heads/heads.ipynb": notebook(HEADS, "heads"),
        "ben/counter/counter (1).ipynb": BOOK + " ",
        "ben/counter/timestamp.txt": "no time",
        "cleo/counter/Untitled.ipynb": "{",
        "dora/counter/report.pdf": "x",
        "emil/counter": None,
    }
    files = {base + name: content for name, content in files.items()} | (
        {"source/counter/counter.ipynb": BOOK} if base else {}
    )

    found = look(files, name="class" if base else "submitted")

    assert found.kind == "nbgrader"
    assert rows(found) == [
        ("anna", f"{base}anna/counter/counter.ipynb", "counter", ""),
        ("anna", f"{base}anna/ex02_heads/heads.ipynb", "heads", ""),
        ("ben", f"{base}ben/counter/counter (1).ipynb", "counter", "matched by its name and its check cells"),
        ("cleo", f"{base}cleo/counter/Untitled.ipynb", "counter", "matched by its folder alone"),
        ("dora", f"{base}dora/counter", "counter", "nothing usable"),
        ("emil", f"{base}emil/counter", "counter", "nothing usable"),
    ]
    first = found.handed[0]
    assert first.timestamp == datetime(2015, 2, 2, 23, 58, 23, 948203, tzinfo=timezone.utc)
    assert first.digest == sha(BOOK) and "class Counter" in first.submission.source
    assert found.handed[2].timestamp is None
    assert "cannot be read" in problems(found)["cleo"]
    assert problems(found)["emil"] == "Nothing in this folder is a notebook or module of counter."
    assert "report.pdf" in problems(found)["dora"]


def test_nbgrader_s_tree_is_found_in_a_zip_of_the_course_too(look):
    found = look({"c/submitted/anna/counter/counter.ipynb": BOOK, "c/source/counter/counter.ipynb": BOOK}, "course.zip")

    assert found.kind == "nbgrader"
    assert [(one.student, one.file) for one in found.handed] == [
        ("anna", "course.zip!c/submitted/anna/counter/counter.ipynb")
    ]


def test_a_notebook_is_matched_by_the_ids_of_nbgrader_s_cells(look):
    book = notebook("x = 1", exercise="nothing", grade_id="heads-a-code")

    found = look({"submitted/anna/unit 1/renamed.ipynb": book})

    assert rows(found) == [("anna", "submitted/anna/unit 1/renamed.ipynb", "heads", "matched by its nbgrader cells")]


MOODLE = {
    "Full Name_1_assignsubmission_file_/counter.ipynb": BOOK,
    "José García_2_assignsubmission_file/homework/Counter_final.ipynb": BOOK,
    "Ann O'Hara_3_assignsubmission_file_hw 1.py": MODULE,
    "No One_4_assignsubmission_onlinetext_/onlinetext.html": "<p>",
    "Zip Per_5_assignsubmission_file_/all.zip": archive(
        {"kit/exercises/ex01_counter/counter.py": MODULE, "kit/grader/x.py": HEADS}
    ),
}


@pytest.mark.parametrize("name", ["class", "download.zip"])
def test_a_download_from_moodle_gives_the_names_of_participants(look, name):
    found = look(MOODLE, name)

    start = "download.zip!" if name.endswith(".zip") else ""
    assert found.kind == "moodle"
    assert [(one.student, one.file.removeprefix(start), one.note) for one in found.handed] == [
        ("Ann O'Hara", "Ann O'Hara_3_assignsubmission_file_hw 1.py", "matched by its functions (4 of 4)"),
        ("Full Name", "Full Name_1_assignsubmission_file_/counter.ipynb", ""),
        (
            "José García",
            "José García_2_assignsubmission_file/homework/Counter_final.ipynb",
            "matched by its name and its check cells",
        ),
        ("No One", "No One_4_assignsubmission_onlinetext_" + ("/onlinetext.html" if start else ""), "nothing usable"),
        ("Zip Per", "Zip Per_5_assignsubmission_file_/all.zip!kit/exercises/ex01_counter/counter.py", ""),
    ]
    assert all(one.file.startswith(start) for one in found.handed)


def test_a_folder_may_hold_moodle_s_zips_as_they_were_downloaded(look):
    one = {"An Na_1_assignsubmission_file_/counter.ipynb": BOOK}
    two = {"An Na_77_assignsubmission_file_/heads.py": HEADS}

    found = look({"counter-9.zip": archive(one), "heads-10.zip": archive(two)})

    assert [(row[0], row[2]) for row in rows(found)] == [("An Na", "counter"), ("An Na", "heads")]


def test_two_participants_of_one_name_are_told_apart(look):
    files = {f"Participant_{number}_assignsubmission_file_/counter.py": MODULE + f"# {number}" for number in (7, 8)}

    found = look(files)

    assert [one.student for one in found.handed] == ["Participant (7)", "Participant (8)"]
    assert not any(problems(found).values())


def test_a_download_from_canvas_gives_the_newest_upload_and_says_late(look):
    files = {
        "doejane_12_100_counter.ipynb": BOOK,
        "doejane_LATE_12_105_counter-1.ipynb": BOOK + " ",
        "roerichard_13_101_hw.py": MODULE,
        "anon_Ab3_102_counter.py": MODULE,
        "paperpaul_14_103_scan.pdf": "x",
        "zipzoe_15_104_work.zip": archive({"__MACOSX/._counter.ipynb": BOOK, "work/counter.ipynb": BOOK}),
    }

    found = look(files)

    assert found.kind == "canvas"
    assert rows(found) == [
        ("anon_Ab3", "anon_Ab3_102_counter.py", "counter", ""),
        (
            "doejane",
            "doejane_LATE_12_105_counter-1.ipynb",
            "counter",
            "the newest upload; late, as Canvas says; upload 2",
        ),
        ("paperpaul", "paperpaul_14_103_scan.pdf", "counter", "nothing usable"),
        ("roerichard", "roerichard_13_101_hw.py", "counter", "matched by its functions (4 of 4)"),
        ("zipzoe", "zipzoe_15_104_work.zip!work/counter.ipynb", "counter", ""),
    ]
    assert why(found)["doejane_12_100_counter.ipynb"] == "is older than doejane_LATE_12_105_counter-1.ipynb"


def clone(name, counter=MODULE, heads=HEADS):
    start = f"{name}/" if name else ""
    return {
        f"{start}exercises/ex01_counter/counter.py": counter,
        f"{start}exercises/ex01_counter/counter.ipynb": BOOK,
        f"{start}exercises/ex01_counter/experiment.py": MODULE,
        f"{start}exercises/ex02_heads/heads.py": heads,
        f"{start}exercises/ex09_gone/counter.py": MODULE,
        f"{start}grader/logic/counter.py": MODULE,
        f"{start}README.md": "x",
        f"{start}.git/counter.py": MODULE,
    }


STUBS = {"counter": {sha(MODULE), sha(BOOK)}, "heads": {sha(HEADS)}}


def test_clones_of_github_classroom_give_users_and_the_file_that_was_worked_in(look):
    files = clone("unit-1-anna", MODULE + "# mine") | clone("unit-1-ben-b", MODULE.replace("\n", "\r\n"))

    found = look(
        {f"unit-1-submissions/{name}": text for name, text in files.items()} | {"unit-1-submissions/unit-1-cy": None},
        stubs=STUBS,
    )

    start = "unit-1-submissions/unit-1"
    assert found.kind == "classroom"
    assert rows(found) == [
        ("anna", f"{start}-anna/exercises/ex01_counter/counter.py", "counter", ""),
        ("ben-b", f"{start}-ben-b/exercises/ex01_counter/counter.ipynb", "counter", ""),
        ("cy", f"{start}-cy", "counter", "nothing usable"),
    ]
    assert why(found) == {"exercises/ex02_heads": "is as handed out in all clones"}


def test_one_clone_is_one_student(look):
    found = look(clone("", MODULE + "# mine"), "counter-anna", stubs=STUBS)

    assert rows(found) == [("anna", "exercises/ex01_counter/counter.py", "counter", "")]


def test_clones_in_which_nothing_was_begun_are_all_there(look):
    found = look(clone("counter-anna"), stubs=STUBS)

    assert [(one.student, one.exercise) for one in found.handed] == [("anna", "counter"), ("anna", "heads")]


def test_loose_files_give_the_rest_of_their_names_as_students(look):
    files = {
        "counter_anna.ipynb": BOOK,
        "heads-anna.py": HEADS,
        "Ben (2).ipynb": BOOK + " ",
        "counter.py": MODULE,
        "grades.csv": "x",
        "images/a.png": "x",
    }

    found = look(files, "monday")

    assert found.kind == "loose"
    assert rows(found) == [
        ("Ben", "Ben (2).ipynb", "counter", "matched by its check cells; student by the file's name"),
        (
            "anna",
            "counter_anna.ipynb",
            "counter",
            "matched by its name and its check cells; student by the file's name",
        ),
        (
            "anna",
            "heads-anna.py",
            "heads",
            "matched by its name and its functions (2 of 2); student by the file's name",
        ),
        ("monday", "counter.py", "counter", "student by the folder's name"),
    ]
    assert "grades.csv" in why(found)


def test_folders_by_student_by_exercise_and_by_both(look):
    files = {
        "hw/anna/counter.py": MODULE,
        "hw/ben/counter/counter.ipynb": BOOK,
        "hw/cy/deep/er/x.ipynb": BOOK,
        "hw/dan": None,
    }
    by_exercise = {"counter/anna.ipynb": BOOK, "heads/anna.py": HEADS}
    by_both = {"anna_counter/work.ipynb": BOOK, "ben_counter/work.ipynb": BOOK}

    assert [row[0] for row in rows(look(files))] == ["anna", "ben", "cy", "dan"]
    assert [(row[0], row[2]) for row in rows(look(by_exercise, "second"))] == [("anna", "counter"), ("anna", "heads")]
    assert [row[0] for row in rows(look(by_both, "third"))] == ["anna", "ben"]


def test_zips_of_students_are_students(look):
    found = look({"anna.zip": archive({"counter.ipynb": BOOK}), "ben.zip": archive({"x/counter.py": MODULE})})

    assert [one.file for one in found.handed] == ["anna.zip!counter.ipynb", "ben.zip!x/counter.py"]
    assert [one.student for one in found.handed] == ["anna", "ben"]


def test_accents_composed_in_two_ways_are_one_student(look):
    found = look({"José/counter.py": MODULE, "Jose\u0301/heads.py": HEADS, "b/heads.py": HEADS})

    assert {one.student for one in found.handed} == {"José", "b"}


# ---------------------------------------------------------------- one of several


def test_two_candidates_are_a_question_with_the_option_that_settles_it(look):
    files = {"An Na/counter.py": MODULE, "An Na/counter (1).ipynb": BOOK, "ben/counter.py": MODULE}
    asked = look(files).handed[0]

    found = look(files, take={("An Na", "counter"): "An Na/counter.py"})

    assert asked.candidates == ("An Na/counter (1).ipynb", "An Na/counter.py")
    assert asked.submission.problem == (
        "2 files may be the work for counter: An Na/counter (1).ipynb or An Na/counter.py. "
        "Say which one counts: --take 'An Na/counter=An Na/counter (1).ipynb'"
    )
    assert not asked.submission.cells and asked.digest not in (sha(MODULE), sha(BOOK))
    assert asked.digest != look(files | {"An Na/counter.py": MODULE + "#"}, "changed").handed[0].digest
    assert rows(found)[0] == ("An Na", "An Na/counter.py", "counter", "chosen with --take")
    assert found.handed[0].digest == sha(MODULE) and not problems(found)["An Na"]
    assert why(found) == {"An Na/counter (1).ipynb": "--take says that An Na/counter.py counts"}


def test_take_can_name_a_file_that_nothing_tells_the_exercise_of(look):
    files = {"anna/notes.py": "x = 1", "ben/counter.py": MODULE}
    before = look(files)

    found = look(files, take={("anna", "counter"): "anna/notes.py"})

    assert "If it is one of them: --take anna/counter=anna/notes.py" in problems(before)["anna"]
    assert rows(found)[0] == ("anna", "anna/notes.py", "counter", "chosen with --take")


@pytest.mark.parametrize(
    ("key", "file", "message"),
    [
        (("anna", "count"), "anna/counter.py", "no exercise"),
        (("ana", "counter"), "anna/counter.py", "Did you mean anna?"),
        (("anna", "counter"), "ben/counter.py", "anna/b/old.py, anna/counter.py"),
        (("anna", "counter"), "ounter.py", "anna/b/old.py, anna/counter.py"),
        (("anna", "counter"), "old.py", "names several notebooks or modules"),
    ],
)
def test_take_that_names_what_is_not_there_is_wrong_usage(look, key, file, message):
    with pytest.raises(UsageError) as caught:
        files = {
            "anna/counter.py": MODULE,
            "anna/a/old.py": "x = 1",
            "anna/b/old.py": "x = 2",
            "ben/counter.py": MODULE,
        }
        look(files, take={key: file})

    assert message in str(caught.value)


TWO = {"an na/counter (1).py": MODULE, "an na/counter (2).py": MODULE + "\n# 2", "ben/counter.py": MODULE}


def test_the_end_of_a_files_name_is_enough_where_only_one_ends_so(look):
    found = look(TWO, take={("an na", "counter"): "counter (2).py"})

    assert rows(found)[0] == ("an na", "an na/counter (2).py", "counter", "chosen with --take")


def test_what_was_taken_before_counts_as_far_as_it_still_fits(look):
    before = {
        ("an na", "counter"): "an na/counter (1).py",
        ("ben", "counter"): "ben/gone.py",
        ("zoe", "counter"): "zoe/counter.py",
        ("ben", "third"): "ben/counter.py",
    }

    found = look(TWO, taken_before=before)
    changed = look(TWO, taken_before=before, take={("an na", "counter"): "an na/counter (2).py"})

    assert [row[1] for row in rows(found)] == ["an na/counter (1).py", "ben/counter.py"]
    assert [row[1] for row in rows(changed)] == ["an na/counter (2).py", "ben/counter.py"]


def test_a_file_that_cannot_be_read_is_a_submission_where_one_exercise_is_graded(look):
    files = {"anna.py": "", "ben.ipynb": "{", "counter_zoe.py": MODULE}

    found, of_two = look(files, exercises=(COUNTER,)), look(files)

    assert why(of_two).keys() == {"anna.py", "ben.ipynb"}
    assert [row[0] for row in rows(found)] == ["anna", "ben", "zoe"]
    assert problems(found)["anna"] == "The file is empty."
    assert why(found) == {}


def test_identical_files_are_no_question(look):
    found = look({"anna/counter.py": MODULE, "anna/old/counter (1).py": MODULE, "ben/counter.py": MODULE})

    assert rows(found)[0] == ("anna", "anna/counter.py", "counter", "the same bytes twice")
    assert "anna/old/counter (1).py" in why(found)


def test_a_file_as_handed_out_does_not_count_beside_one_that_was_worked_in(look):
    files = {"anna/counter.py": MODULE, "anna/counter.ipynb": BOOK + " ", "ben/counter.py": MODULE}
    without = look(files)

    found = look(files, stubs=STUBS)

    assert "2 files" in problems(without)["anna"]
    assert rows(found)[0] == ("anna", "anna/counter.ipynb", "counter", "the others are as handed out")
    assert rows(found)[1][:2] == ("ben", "ben/counter.py")


def test_a_helper_with_a_function_of_another_exercise_is_not_taken_for_that(look):
    files = {"anna/heads.py": HEADS, "anna/tools.py": "def shares(x): pass", "ben/tools.py": "def shares(x): pass"}

    found = look(files)

    assert [(row[0], row[2]) for row in rows(found)] == [("anna", "heads"), ("ben", "counter")]
    assert "some functions of counter" in why(found)["anna/tools.py"]


def test_the_order_is_by_student_exercise_and_file_and_the_same_each_time(look):
    files = {f"{name}/{file}": text for name in "cab" for file, text in (("heads.py", HEADS), ("counter.py", MODULE))}

    found = look(files)

    keys = [(one.student, one.exercise, one.file) for one in found.handed]
    assert len(keys) == 6 and keys == sorted(keys)
    assert look(files) == found


# ---------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"{", "not JSON"),
        (b"\x89PNG\0\0", "binary"),
        (b"\xff\xfe\xff", "not UTF-8"),
        (b"[" * 200_000, "too deep"),
        (b'{"cells": []}', "no code cells"),
    ],
)
@pytest.mark.parametrize("name", ["class", "class.zip"])
def test_a_broken_notebook_is_handed_in_with_its_problem_and_harms_nobody(look, name, content, problem):
    found = look({"anna/counter.ipynb": content, "ben/counter.ipynb": BOOK}, name)

    assert [one.student for one in found.handed] == ["anna", "ben"]
    assert problem in problems(found)["anna"] and not problems(found)["ben"]


def test_a_file_that_is_too_big_is_not_read(look, monkeypatch):
    monkeypatch.setattr(inbox, "MAX_BYTES", 3_000_000)
    big = "#" * 3_000_001
    files = {"anna/counter.py": big, "ben/counter.py": MODULE, "cy.zip": archive({"counter.py": big})}

    found = look(files)

    expected = "The file has 2 MB; 2 MB are the most that is read here."
    assert problems(found) == {"anna": expected, "ben": "", "cy": expected}
    assert found.handed[0].digest == found.handed[2].digest == hashlib.sha256(b"").hexdigest()


def test_two_files_of_which_neither_can_be_read_are_still_two(look, monkeypatch):
    monkeypatch.setattr(inbox, "MAX_BYTES", 2000)

    found = look(
        {"anna/counter.py": "#" * 3000, "anna/counter.ipynb": "#" * 4000, "ben/counter.ipynb": notebook("x = 1")}
    )

    assert found.handed[0].candidates == ("anna/counter.ipynb", "anna/counter.py")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="all may read everything here")
def test_a_file_without_permission_is_handed_in_with_its_problem(look, tmp_path):
    folder = lay(tmp_path / "class", {"anna/counter.py": MODULE, "ben/counter.py": MODULE, "cy/counter.py": MODULE})
    (folder / "anna" / "counter.py").chmod(0)
    (folder / "cy").chmod(0)

    found = look({})

    (folder / "cy").chmod(0o700)
    assert "Permission denied" in problems(found)["anna"] and not problems(found)["ben"]
    assert "Permission denied" in why(found)["cy"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_is_not_waited_for(look, tmp_path):
    folder = lay(tmp_path / "class", {"anna": None, "ben/counter.py": MODULE})
    os.mkfifo(folder / "anna" / "counter.py")

    found = look({})

    assert "no ordinary file" in problems(found)["anna"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_are_not_followed(look, tmp_path):
    secret = lay(tmp_path / "secret", {"counter.py": MODULE})
    folder = lay(tmp_path / "class", {"ben/counter.py": MODULE, "anna": None})
    (folder / "anna" / "counter.py").symlink_to(secret / "counter.py")
    (folder / "cy").symlink_to(secret)
    (folder / "loop").symlink_to(folder)

    found = look({})

    assert [(one.student, one.note) for one in found.handed] == [("anna", "nothing usable"), ("ben", "")]
    assert {name for name, said in why(found).items() if "link" in said} == {"anna/counter.py", "cy", "loop"}
    lay(tmp_path / "course", {"nbgrader_config.py": ""})
    (tmp_path / "course" / "submitted").symlink_to(secret)
    with pytest.raises(UsageError, match="is a link"):
        look({}, "course")


def test_litter_of_systems_is_ignored_without_a_word(look):
    litter = ["__MACOSX/a/._counter.ipynb", "anna/.DS_Store", "anna/.ipynb_checkpoints/counter-checkpoint.ipynb"]
    litter += [
        "anna/._counter.ipynb",
        "anna/desktop.ini",
        "Thumbs.db",
        "anna/__pycache__/counter.py",
        "anna/~$counter.py",
    ]
    files = {**dict.fromkeys(litter, BOOK + " "), "anna/counter.ipynb": BOOK, "ben/counter.py": MODULE}

    for name in ("class", "class.zip"):
        found = look(files, name)

        assert [one.student for one in found.handed] == ["anna", "ben"]
        assert not found.left_out and not any(problems(found).values())


@pytest.mark.skipif(sys.platform == "win32", reason="such names cannot be there")
def test_odd_names_break_nothing(look, tmp_path):
    odd = ["a\nb", "\x1b[31mred", "‮evil", "🙂", "a'b\"c", "-take", "x" * 200, "{taken}"]
    folder = lay(tmp_path / "class", {f"{name}/counter.py": MODULE for name in odd})
    os.mkdir(os.fsencode(folder) + b"/\xff\xfe")
    (folder / os.fsdecode(b"\xff\xfe") / "counter.py").write_text(MODULE)

    found = look({})

    assert {one.student for one in found.handed} == {*odd, "��"}
    assert all(one.digest == sha(MODULE) for one in found.handed)
    json.dumps([one.file for one in found.handed], ensure_ascii=False).encode("utf-8")


# ---------------------------------------------------------------- archives


def test_members_that_lead_out_of_an_archive_are_left_out_and_nothing_is_unpacked(look, tmp_path):
    names = ["../counter.py", "a/../../counter.py", "/etc/counter.py", "C:\\counter.py", "..\\x\\counter.py"]

    found = look({**dict.fromkeys(names, MODULE), "anna/counter.py": MODULE, "ben\\counter.py": MODULE}, "class.zip")

    assert [one.student for one in found.handed] == ["anna", "ben"]
    assert len(found.left_out) == len(names) and all("leads out" in one.why for one in found.left_out)
    assert [path.name for path in tmp_path.iterdir()] == ["class.zip"]


def test_links_in_an_archive_are_not_followed(look):
    info = zipfile.ZipInfo("anna/counter.py")
    info.external_attr = 0o120777 << 16

    found = look({info: "/etc/passwd", "ben/counter.py": MODULE}, "class.zip")

    assert why(found) == {"class.zip!anna/counter.py": "is a link, which is not followed"}
    assert [one.student for one in found.handed] == ["ben"]


def test_an_archive_is_opened_in_an_archive_but_no_deeper(look):
    inner = archive({"counter.py": MODULE})
    files = {
        "An Na_1_assignsubmission_file_/a.zip": inner,
        "B_2_assignsubmission_file_/b.zip": archive({"deep.zip": inner}),
    }

    found = look(files, "class.zip")

    assert found.handed[0].file == "class.zip!An Na_1_assignsubmission_file_/a.zip!counter.py"
    assert "archive in an archive in an archive" in problems(found)["B"]


def test_a_bomb_by_declared_size_is_not_unpacked(look, monkeypatch):
    monkeypatch.setattr(inbox, "MAX_UNPACKED_INSIDE", 50_000)
    bomb = archive({f"{number}/counter{number}.py": MODULE + "#" * 18_000 for number in range(4)})

    found = look({"anna.zip": archive({"bomb.zip": bomb}), "ben.zip": archive({"counter.py": MODULE})})

    assert found.handed[0].student == "anna" and not problems(found)["ben"]
    read = [one for one in found.left_out if "cannot be read" in one.why]
    assert read, "not all of it was unpacked"


def lying(declared):
    """An archive whose member says that it has another size than it has."""
    data = bytearray(archive({"counter.py": "#" * 100_000}))
    at = data.rfind(b"PK\1\2")
    struct.pack_into("<L", data, at + 24, declared)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (lying(10), "is damaged in its archive"),
        (lying(200_000), "is damaged in its archive"),
        (lying(4_000_000_000), "are the most that is read here"),
    ],
)
def test_a_member_that_lies_about_its_size_is_found_out(look, data, problem):
    found = look({"anna.zip": data, "ben/counter.py": MODULE})

    assert problem in problems(found)["anna"] and not problems(found)["ben"]


def encrypted():
    data = bytearray(archive({"counter.py": MODULE}))
    data[6] |= 1
    data[data.rfind(b"PK\1\2") + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (encrypted(), "password"),
        (archive({"counter.py": MODULE}, zipfile.ZIP_LZMA), "compressed in a way"),
        (archive({"counter.py": MODULE})[:-30], "cannot be taken for a zip"),
        (b"Rar!", "cannot be taken for a zip"),
        (b"", "cannot be taken for a zip"),
    ],
)
def test_an_archive_that_cannot_be_read_is_a_student_s_problem_alone(look, data, problem):
    found = look({"anna.zip": data, "ben/counter.py": MODULE})

    assert problem in problems(found)["anna"] and not problems(found)["ben"]


def test_an_archive_with_too_many_entries_is_refused(look, monkeypatch):
    monkeypatch.setattr(inbox, "MAX_ENTRIES", 20)
    monkeypatch.setattr(inbox, "MAX_ENTRIES_INSIDE", 5)
    six = archive({f"{number}/counter.py": MODULE for number in range(6)})

    found = look({"anna.zip": archive({"six.zip": six}), "ben.zip": archive({"counter.py": MODULE})})

    assert "more than 5 files" in problems(found)["anna"] and not problems(found)["ben"]
    with pytest.raises(UsageError, match="more than 20 files"):
        look({f"{number}/counter.py": MODULE for number in range(21)}, "many.zip")
    with pytest.raises(UsageError, match="more than 20 files and folders"):
        look({f"{number}/counter.py": MODULE for number in range(21)}, "many")


def with_zip64_end(data):
    """The same archive with its sizes in the end record of zip64 alone, as large downloads have it."""
    at = data.rfind(b"PK\5\6")
    count, size, start = struct.unpack_from("<HLL", data, at + 10)
    record = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:at] + record + locator + end


def test_a_zip64_archive_is_read(tmp_path):
    (tmp_path / "class.zip").write_bytes(with_zip64_end(archive({"anna/counter.py": MODULE, "ben/counter.py": MODULE})))

    found = look_through(tmp_path / "class.zip", (COUNTER,))

    assert [one.student for one in found.handed] == ["anna", "ben"]


def test_a_long_list_of_entries_is_refused_before_it_is_read(tmp_path, monkeypatch):
    data = archive({f"{number}/counter.py": "" for number in range(50)})
    (few, many), zip64 = (archive({"counter.py": ""}), data), with_zip64_end(data)
    opened = []
    monkeypatch.setattr(inbox, "MAX_DIRECTORY", 1000)
    monkeypatch.setattr(inbox.zipfile, "ZipFile", lambda file: opened.append(file) or pytest.fail("it was opened"))

    for bad in (many, zip64):
        with pytest.raises(UsageError, match="list of files is too long"):
            (tmp_path / "class.zip").write_bytes(bad)
            look_through(tmp_path / "class.zip", (COUNTER,))

    assert not opened and inbox._directory_size(BytesIO(few)) < 1000
    assert zipfile.is_zipfile(BytesIO(zip64))


def test_of_two_members_of_one_name_the_last_counts(look, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "class.zip", "w") as made:
        for text in ("x = 1", MODULE):
            made.writestr("anna/counter.py", text)
        made.writestr("ben/counter.py", MODULE)

    found = look_through(tmp_path / "class.zip", (COUNTER,))

    assert [one.digest for one in found.handed] == [sha(MODULE)] * 2
    assert why(found) == {"class.zip!anna/counter.py": "is there twice under this name; the last counts"}


# ---------------------------------------------------------------- wrong usage


@pytest.mark.parametrize(
    ("files", "name", "message"),
    [
        ({}, "nowhere/class", "There is no"),
        ({}, "n/" + "x" * 5000, "xxxx"),
        ({}, "class", "is empty"),
        ({"readme.txt": "x"}, "class", "readme.txt: is neither a notebook nor a module"),
        ({"a.py": "x = 1"}, "class", "Nothing in"),
        ({"nbgrader_config.py": "", "source/counter/counter.ipynb": BOOK}, "class", "nbgrader zip_collect"),
        ({}, "class.zip", "Nothing in"),
    ],
)
def test_a_folder_with_nothing_to_grade_is_wrong_usage_with_a_mend(tmp_path, files, name, message):
    if name.endswith(".zip"):
        (tmp_path / name).write_bytes(archive(files))
    elif "/" not in name:  # else it is not there
        lay(tmp_path / name, files)

    with pytest.raises(UsageError) as caught:
        look_through(tmp_path / name, (COUNTER, OTHER))

    assert message in str(caught.value) and caught.value.mend


@pytest.mark.parametrize(
    ("name", "message"), [("a.tar", "cannot be taken for a zip"), ("a.ipynb", "single submission")]
)
def test_a_file_that_is_no_zip_is_wrong_usage(tmp_path, name, message):
    (tmp_path / name).write_text(BOOK)

    with pytest.raises(UsageError, match=message) as caught:
        look_through(tmp_path / name, (COUNTER,))

    assert caught.value.mend
