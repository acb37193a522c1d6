"""The course on disk: finding exercises, reading what they say of themselves, writing files whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grader.model.errors import CourseError, UsageError
from grader.model.types import Limits, MilestoneRule
from grader.system.course import Course, find_course, parse_exercise, read_exercise, read_toml, write_atomically

ENGINE = Path(__file__).resolve().parents[2]
TOML = """
title = "Rotary positions"
module = "rope.py"
difficulty = 3
sources = ["https://arxiv.org/abs/2104.09864"]
allowed_imports = ["numpy"]

[[milestone]]
name = "M3"
checkpoint = "Rope"
band = [1.4, 1.95]

[limits]
call_seconds = 1.5

[tolerances]
float64 = 1e-9

[[step]]
name = "angles"
title = "Angles"
functions = ["angles"]
minutes = 10
points = 2

[[step]]
name = "turning"
title = "Turning"
functions = ["Rope.turn", "Rope.back"]
deals_with = ["angles"]
minutes = 20
points = 3.5
stretch = true
"""


def write_exercise(course: Course, folder: str, toml: str = TOML) -> Path:
    path = course.solutions / folder
    path.mkdir(parents=True)
    (path / "exercise.toml").write_text(toml, encoding="utf-8")
    (path / "rope.py").write_text("", encoding="utf-8")
    return path


@pytest.fixture
def course(tmp_path):
    """Three exercises, and folders that are none."""
    course = Course(tmp_path)
    for folder in ("ex10_rope", "ex02_attention", "ex05_feed_forward", "notes", "ex7_short", "exAB_letters"):
        write_exercise(course, folder)
    (course.solutions / "ex09_empty").mkdir()
    (course.solutions / "ex08_file").write_text("", encoding="utf-8")
    return course


# ---------------------------------------------------------------- finding


def test_exercises_are_found_in_the_order_of_their_numbers(course):
    found = [(exercise.name, exercise.number, exercise.folder) for exercise in course.found()]

    assert found == [
        ("attention", "02", "ex02_attention"),
        ("feed_forward", "05", "ex05_feed_forward"),
        ("rope", "10", "ex10_rope"),
    ]


@pytest.mark.parametrize(
    "wanted",
    [
        "rope", "ex10_rope", "10", "ex10", "exercises/ex10_rope", "exercises/ex10_rope/", "./solutions/ex10_rope",
        "exercises/ex10_rope/rope.py", "exercises/ex10_rope/rope.ipynb", "/somewhere/else/ex10_rope",
    ],
)  # fmt: skip
def test_an_exercise_is_found_by_name_folder_number_and_path(course, wanted):
    assert course.find(wanted).folder == "ex10_rope"


@pytest.mark.parametrize("wanted", [".", "rope.py", "./rope.py"])
def test_an_exercise_is_found_from_within_its_folder(course, wanted, monkeypatch):
    monkeypatch.chdir(course.solutions / "ex10_rope")

    assert course.find(wanted).name == "rope"


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("atention", "Did you mean attention?"),
        ("Attention", "Did you mean attention?"),
        ("ropes", "Did you mean rope?"),
        ("feedforward", "Did you mean feed_forward?"),
        ("99", "There is: attention, feed_forward, rope."),
        ("zzz", "There is: attention, feed_forward, rope."),
        ("", "There is: attention, feed_forward, rope."),
    ],
)
def test_an_unknown_exercise_is_wrong_usage_with_a_mend(course, wanted, hint):
    with pytest.raises(UsageError) as caught:
        course.find(wanted)

    assert caught.value.message == f"There is no exercise {wanted!r}."
    assert caught.value.mend == hint
    assert caught.value.exit_code == 2


def test_an_empty_course_says_so(tmp_path):
    with pytest.raises(UsageError, match="no exercise here"):
        Course(tmp_path).find("attention")


def test_two_folders_with_one_name_are_refused(course):
    write_exercise(course, "ex11_rope")

    with pytest.raises(CourseError, match="Two folders hold an exercise named rope"):
        course.found()


def test_without_solutions_the_tape_describes_an_exercise(toy):
    course = Course(toy)
    described = course.find("counter")
    shutil.rmtree(course.solutions)

    from_tape = course.find("counter")

    assert from_tape == described
    assert not course.has_solution(from_tape)
    (course.tape_file(from_tape)).unlink()
    assert course.found() == []


def test_after_a_renumbering_the_solutions_say_where_an_exercise_is(toy):
    course = Course(toy)
    (toy / "solutions" / "ex01_counter").rename(toy / "solutions" / "ex04_counter")

    (exercise,) = course.found()

    assert exercise.folder == "ex04_counter"


# ---------------------------------------------------------------- the course


def test_a_course_is_found_from_any_folder_in_it(toy):
    inside = toy / "exercises" / "ex01_counter"

    assert find_course(toy) == find_course(inside) == Course(toy.resolve())


def test_a_kit_without_solutions_is_a_course_too(toy):
    shutil.rmtree(toy / "solutions")
    (toy / "grader").mkdir()

    assert find_course(toy / "exercises").root == toy.resolve()


def test_elsewhere_the_engine_s_own_clone_is_the_course(tmp_path):
    (tmp_path / "exercises").mkdir()  # some other project's

    assert find_course(tmp_path).root == ENGINE


# ---------------------------------------------------------------- exercise.toml


def test_an_exercise_says_what_stands_in_its_file(course):
    rope = read_exercise(course.solutions / "ex10_rope")

    assert (rope.title, rope.module, rope.difficulty, rope.needs) == ("Rotary positions", "rope.py", 3, ())
    assert rope.limits == Limits(call_seconds=1.5)
    assert rope.tolerances == {"float64": 1e-9}
    assert rope.milestones == (MilestoneRule("M3", checkpoint="Rope", band=(1.4, 1.95)),)
    assert (rope.framework, rope.refused, rope.fused) == ("numpy", (), {})
    assert rope.blanked == ("angles", "Rope.turn", "Rope.back")
    angles, turning = rope.steps
    assert (angles.points, angles.stretch, angles.deals_with) == (2.0, False, ())
    assert (turning.points, turning.stretch, turning.deals_with) == (3.5, True, ("angles",))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("difficulty = 3", "dificulty = 3", "unknown field 'dificulty'"),
        ("call_seconds", "call_second", "unknown field 'call_second'"),
        ("stretch = true", "optional = true", "unknown field 'optional'"),
        ('module = "rope.py"\n', "", "lacks module"),
        ('name = "angles"\n', "", "lacks name"),
        ("[[step]]", "[[steps]]", "unknown field 'steps'"),
        ("difficulty = 3", "difficulty = ", "cannot be read"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_the_file(tmp_path, old, new, problem):
    folder = write_exercise(Course(tmp_path), "ex10_rope", TOML.replace(old, new))

    with pytest.raises(CourseError) as caught:
        read_exercise(folder)

    assert problem in caught.value.message
    assert str(folder / "exercise.toml") in caught.value.message


def test_a_missing_or_undecodable_file_is_named(tmp_path):
    (tmp_path / "latin.toml").write_bytes("title = 'Übung'".encode("latin-1"))

    for name in ("none.toml", "latin.toml"):
        with pytest.raises(CourseError, match=re.escape(name)):
            read_toml(tmp_path / name)


def test_a_folder_s_name_has_two_digits(tmp_path):
    with pytest.raises(CourseError, match="exNN_name"):
        parse_exercise("ex1_rope", {}, tmp_path)


# ---------------------------------------------------------------- writing


def test_writing_makes_folders_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "a" / "b" / "ü c.txt"

    write_atomically(path, "größer\r\n")
    write_atomically(path, b"\xff\x00")

    assert path.read_bytes() == b"\xff\x00"
    assert os.listdir(path.parent) == ["ü c.txt"]


def test_text_is_written_as_utf_8_with_its_own_line_ends(tmp_path):
    write_atomically(tmp_path / "t", "ü\r\n\n")

    assert (tmp_path / "t").read_bytes() == b"\xc3\xbc\r\n\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_permissions_stay_and_new_files_can_be_read_by_all(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("")
    old.chmod(0o750)

    write_atomically(old, "more")
    write_atomically(new, "more")

    assert [path.stat().st_mode & 0o777 for path in (old, new)] == [0o750, 0o644]


@pytest.mark.parametrize("broken", ["fsync", "chmod", "replace"])
def test_a_failure_in_the_middle_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, broken):
    path = tmp_path / "progress.json"
    path.write_text("old")

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new and longer")

    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["progress.json"]


CRASH = """
import os, signal, sys
sys.path.insert(0, {engine!r})
from pathlib import Path
from grader.system.course import write_atomically
os.{moment} = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path({path!r}), "x" * 1_000_000)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_crash_in_the_middle_leaves_the_old_file_whole(tmp_path, moment):
    path = tmp_path / "progress.json"
    path.write_text("old")

    done = subprocess.run(
        [sys.executable, "-c", CRASH.format(engine=str(ENGINE), moment=moment, path=str(path))], check=False
    )

    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    write_atomically(path, "new")
    assert path.read_text() == "new"
