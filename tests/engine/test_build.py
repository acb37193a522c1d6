"""Printing exercises/: what is printed, what is stale, and how a learner's edited file fares."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from grader.logic.hints import parse_hints
from grader.logic.stub import cut_stub
from grader.model.errors import CourseError
from grader.system.course import Course
from grader.system.tape import read_tape
from grader.verbs.build import backup_of, build, exercise_table

EXERCISE = "exercises/ex01_counter"
STUB = f"{EXERCISE}/counter.py"
PRINTED = {f"{EXERCISE}/{name}" for name in ("README.md", "counter.py", "counter.ipynb", "test_public.py")}
TAPE = "tapes/counter.tape"
NEW_DOCSTRING = ("most often; the smallest", "most often of all; the smallest")
NEW_BODY = ("    total = counts.sum()\n", "    total = np.sum(counts)\n")
WORK = "\n\n# what a learner wrote\n"


def said_by(course, **options):
    said = []
    code = build(course, say=said.append, **options)
    return code, said


def printed(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for part in ("exercises", "tapes")
        for path in (folder / part).rglob("*")
        if path.is_file()
    }


def edit(path, find, put):
    text = path.read_text(encoding="utf-8")
    assert text.count(find) >= 1, find
    path.write_text(text.replace(find, put, 1), encoding="utf-8")


def solution_of(folder):
    return next((folder / "solutions").glob("ex*_counter")) / "counter.py"


def git(folder, *words):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    person = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "core.autocrlf=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *person, *words], env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def commit(folder):
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "all")


@pytest.fixture(
    params=["without git", pytest.param("with git", marks=pytest.mark.skipif(not shutil.which("git"), reason="no git"))]
)
def clone(request, toy):
    """A course as a learner has it: printed, and committed where there is git."""
    if request.param == "with git":
        commit(toy)
    return Course(toy)


# ---------------------------------------------------------------- what is printed


def test_each_printed_file_is_made_from_its_source(toy):
    source, folder = toy / "solutions" / "ex01_counter", toy / EXERCISE
    exercise = Course(toy).find("counter")

    book = json.loads((folder / "counter.ipynb").read_text(encoding="utf-8"))
    readme = (folder / "README.md").read_text(encoding="utf-8")

    assert set(printed(toy)) == {*PRINTED, TAPE}
    assert (folder / "test_public.py").read_bytes() == (source / "test_public.py").read_bytes()
    assert (folder / "counter.py").read_text() == cut_stub((source / "counter.py").read_text(), exercise.blanked)
    assert any("def shares" in "".join(cell["source"]) for cell in book["cells"])
    assert "np.bincount" not in json.dumps(book) and "np.bincount" not in readme.split("## Reading")[0]
    assert "edit the source instead" in readme.split("\n")[0]
    assert all(f"`grader {verb} counter`" in readme for verb in ("watch", "hint", "reset"))
    hints = [hint for tiers in parse_hints((source / "task.md").read_text()).values() for hint in tiers]
    assert hints and not any(hint in readme for hint in hints)


def test_an_experiment_is_handed_out_where_there_is_one(toy):
    (toy / "solutions" / "ex01_counter" / "experiment.py").write_text("print('an experiment')\n")

    code, said = said_by(Course(toy))

    assert code == 0
    assert (toy / EXERCISE / "experiment.py").read_text() == "print('an experiment')\n"
    assert any("experiment.py" in line for line in said)


def test_a_tape_of_the_public_checks_is_recorded(toy):
    tape = read_tape(toy / TAPE)

    assert (tape.header["exercise"], tape.header["scope"], tape.header["seed"]) == ("counter", "public", 7)
    assert set(tape.header["printed"]) == {Path(name).name for name in PRINTED}
    assert [len(list(tape.recorded(name))) for name in ("", "least_common")] == [3, 3]


def test_building_twice_changes_nothing(clone):
    before = printed(clone.root)

    code, said = said_by(clone)

    assert (code, said) == (0, [])
    assert printed(clone.root) == before


def test_without_solutions_there_is_nothing_to_print(toy):
    shutil.rmtree(toy / "solutions")

    with pytest.raises(CourseError, match="Only a clone with solutions/"):
        build(Course(toy), say=print)


# ---------------------------------------------------------------- --check


def test_check_says_that_all_is_as_printed(clone):
    assert said_by(clone, check=True) == (0, ["exercises/ is what build prints: 1 exercise."])


@pytest.mark.parametrize(
    ("source", "find", "put", "stale"),
    [
        ("counter.py", *NEW_DOCSTRING, {STUB, f"{EXERCISE}/counter.ipynb", TAPE}),
        ("counter.py", *NEW_BODY, {TAPE}),
        ("test_public.py", "[1, 0, 2]", "[1, 0, 3]", {f"{EXERCISE}/test_public.py", TAPE}),
        ("test_hidden.py", "size=7", "size=8", set()),
        ("variants.toml", "On a tie the largest token wins.", "The largest token wins a tie.", {TAPE}),
        ("variants.toml", "total = counts.max(initial=0)", "total = counts.max(initial=1)", {TAPE}),
        (
            "task.md",
            "Texts differ in length.",
            "Texts differ.",
            {f"{EXERCISE}/README.md", f"{EXERCISE}/counter.ipynb", TAPE},
        ),
        ("task.md", "What do all shares add up to?", "What is the sum of all?", {TAPE}),
        ("exercise.toml", 'title = "A counter of tokens"', 'title = "Counting"', {TAPE}),
    ],
)
def test_check_names_what_a_changed_source_makes_stale_and_writes_nothing(clone, source, find, put, stale):
    edit(clone.root / "solutions" / "ex01_counter" / source, find, put)
    before = printed(clone.root)

    code, said = said_by(clone, check=True)

    assert {line.removeprefix("not what build prints now: ") for line in said} - {
        "exercises/ is what build prints: 1 exercise."
    } == stale
    assert code == bool(stale)
    assert printed(clone.root) == before


def test_after_building_what_was_stale_is_not(clone):
    edit(solution_of(clone.root), *NEW_DOCSTRING)

    code, said = said_by(clone)

    assert code == 0
    assert {line.split()[-1] for line in said} == {STUB, f"{EXERCISE}/counter.ipynb", TAPE}
    assert NEW_DOCSTRING[1] in (clone.root / STUB).read_text()
    if not (clone.root / ".git").exists():  # with git, what counts is what will be committed
        assert said_by(clone, check=True)[0] == 0
    else:
        git(clone.root, "commit", "--quiet", "-am", "built")
        assert said_by(clone, check=True)[0] == 0


@pytest.mark.parametrize("missing", sorted({*PRINTED, TAPE}))
def test_a_missing_file_is_stale_and_printed_anew(toy, missing):
    content = (toy / missing).read_bytes()
    (toy / missing).unlink()

    code, said = said_by(Course(toy), check=True)
    build(Course(toy), say=lambda text: None)

    assert code == 1 and any(missing in line for line in said)
    assert (toy / missing).read_bytes() == content


# ---------------------------------------------------------------- a learner's work


def test_an_edited_stub_is_not_stale_and_is_kept(clone):
    stub = clone.root / STUB
    mine = stub.read_text() + WORK
    stub.write_text(mine)

    assert said_by(clone, check=True)[0] == 0
    code, said = said_by(clone)

    assert code == 0
    assert stub.read_text() == mine
    assert not list(stub.parent.glob("*.bak-*"))
    assert all("kept" in line and STUB in line for line in said)


def test_an_edited_stub_is_kept_while_another_file_changes(clone):
    stub = clone.root / STUB
    mine = stub.read_text() + WORK
    stub.write_text(mine)
    edit(solution_of(clone.root).with_name("task.md"), "Texts differ in length.", "Texts differ.")

    build(clone, say=lambda text: None)

    assert stub.read_text() == mine
    assert "Texts differ." in (stub.parent / "README.md").read_text()


def test_an_edited_stub_whose_source_changed_is_kept_beside(clone):
    stub = clone.root / STUB
    mine = stub.read_text() + WORK
    stub.write_text(mine)
    edit(solution_of(clone.root), *NEW_DOCSTRING)

    _, said = said_by(clone)

    (backup,) = stub.parent.glob("*.bak-*")
    assert backup.read_text() == mine
    assert NEW_DOCSTRING[1] in stub.read_text() and WORK not in stub.read_text()
    assert any("kept your" in line and backup.name in line for line in said)


def test_an_untouched_stub_is_replaced_without_a_backup(clone):
    edit(solution_of(clone.root), *NEW_DOCSTRING)

    build(clone, say=lambda text: None)

    assert not list((clone.root / EXERCISE).glob("*.bak-*"))


@pytest.fixture
def committed_work(toy):
    """A clone whose learner has committed half an exercise, as the README's way of updating begins."""
    if not shutil.which("git"):
        pytest.skip("no git")
    mine = (toy / STUB).read_text() + WORK
    (toy / STUB).write_text(mine)
    commit(toy)
    return Course(toy), mine


def test_work_that_was_committed_is_not_stale_and_is_kept(committed_work):
    course, mine = committed_work

    assert said_by(course, check=True)[0] == 0
    build(course, say=lambda text: None)

    assert (course.root / STUB).read_text() == mine


def test_work_that_was_committed_is_kept_beside_when_its_source_changed(committed_work):
    course, mine = committed_work
    edit(solution_of(course.root), *NEW_DOCSTRING)

    build(course, say=lambda text: None)

    (backup,) = (course.root / EXERCISE).glob("counter.py.bak-*")
    assert backup.read_text() == mine
    assert NEW_DOCSTRING[1] in (course.root / STUB).read_text()


def test_a_printed_file_that_no_learner_works_in_is_stale_when_it_was_committed_by_hand(toy):
    if not shutil.which("git"):
        pytest.skip("no git")
    readme = toy / EXERCISE / "README.md"
    edit(readme, "Texts differ in length.", "By hand.")
    commit(toy)

    assert said_by(Course(toy), check=True) == (1, [f"not what build prints now: {EXERCISE}/README.md"])
    build(Course(toy), say=lambda text: None)

    assert "By hand." not in readme.read_text()


def test_a_backup_never_takes_a_name_that_is_taken(tmp_path):
    path = tmp_path / "a.py"
    names = []
    for _ in range(4):
        backup = backup_of(path)
        backup.write_text("")
        names.append(backup.name)

    assert len(set(names)) == 4
    assert all(re.fullmatch(r"a\.py\.bak-\d{8}-\d{6}(-\d+)?", name) for name in names)


def test_a_renumbering_carries_the_learner_s_folder_along(clone):
    stub = clone.root / STUB
    mine = stub.read_text() + WORK
    stub.write_text(mine)
    (stub.parent / "notes.txt").write_text("mine")
    (clone.root / "solutions" / "ex01_counter").rename(clone.root / "solutions" / "ex04_counter")

    _, said = said_by(clone)

    moved = clone.root / "exercises" / "ex04_counter"
    assert "moved exercises/ex01_counter to exercises/ex04_counter" in said
    assert not stub.parent.exists()
    assert (moved / "counter.py").read_text() == mine
    assert (moved / "notes.txt").read_text() == "mine"
    assert "ex04_counter" in (moved / "README.md").read_text()
    assert not list(moved.glob("counter.py.bak-*"))


def test_two_exercises_may_change_places(toy):
    solutions = toy / "solutions"
    shutil.copytree(solutions / "ex01_counter", solutions / "ex02_adder")
    build(Course(toy), say=lambda text: None)
    for name in ("ex01_counter", "ex02_adder"):
        path = toy / "exercises" / name / "counter.py"
        path.write_text(path.read_text() + f"# my {name[5:]}\n")
    (solutions / "ex01_counter").rename(solutions / "ex03_counter")
    (solutions / "ex02_adder").rename(solutions / "ex01_adder")
    (solutions / "ex03_counter").rename(solutions / "ex02_counter")

    build(Course(toy), say=lambda text: None)

    assert sorted(path.name for path in (toy / "exercises").iterdir()) == ["ex01_adder", "ex02_counter"]
    for folder in ("ex01_adder", "ex02_counter"):
        assert f"# my {folder[5:]}\n" in (toy / "exercises" / folder / "counter.py").read_text()


# ---------------------------------------------------------------- the table

PAGE = "# Path\n\n<!-- exercises: generated by make build -->\n\nold\n\n<!-- end of exercises -->\n\nRest.\n"


def test_the_table_stands_between_its_marks_and_nothing_else_changes(toy):
    path = toy / "reading_path.md"
    path.write_text(PAGE)
    course = Course(toy)

    assert said_by(course, check=True) == (1, ["not what build prints now: reading_path.md"])
    build(course, say=lambda text: None)

    before, after = PAGE.split("old")
    assert path.read_text() == before + exercise_table(course, course.found()) + after
    assert said_by(course, check=True)[0] == 0


def test_the_table_has_a_row_an_exercise(toy):
    course = Course(toy)

    *_, row = exercise_table(course, course.found()).split("\n")

    assert row == "| [counter](exercises/ex01_counter/README.md) | A counter of tokens | 25 | 10 | – | 7 + 2 | – |"


def test_a_page_without_the_marks_is_refused(toy):
    (toy / "reading_path.md").write_text("# Path\n")

    with pytest.raises(CourseError, match="lacks the two marker lines"):
        build(Course(toy), say=lambda text: None)
