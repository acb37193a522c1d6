"""`grader course`: an nbgrader course in a folder, where there was none and where there was one. On the toy course."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from grader.model.errors import UsageError
from grader.system.course import Course
from grader.verbs import nbcourse
from grader.verbs.nbcourse import BEGIN, CONFIG, END, HEADER, MANIFEST, make_course
from grader.verbs.new import new
from tests.instructors.conftest import TOY, Taught, in_process

NOTEBOOK = "source/counter/counter.ipynb"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone of the toy course whose name has blanks and quotes in it; not to be written to."""
    root = tmp_path_factory.mktemp("clones") / 'toy\'s "clone" für alle'
    shutil.copytree(TOY, root / "solutions")
    (root / "exercises").mkdir()
    return Course(root)


@pytest.fixture
def made(clone, tmp_path):
    """Make the course in a folder and give back the words that were said."""

    def made(*units, out=tmp_path / "a course", **more):
        said = []
        assert make_course(clone, out, [clone.find(unit) for unit in units], say=said.append, **more) == 0
        return said

    return made


@pytest.fixture
def out(tmp_path):
    return tmp_path / "a course"


def content(folder):
    """Every file below a folder: its bytes, and when it was written."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def loaded(folder):
    """A configuration as nbgrader reads it."""
    from traitlets.config import PyFileConfigLoader

    return PyFileConfigLoader(CONFIG, path=str(folder)).load_config()


def backups(folder):
    return sorted(path.name for path in folder.rglob("*.bak-*"))


# ---------------------------------------------------------------- a new course


def test_a_new_folder_holds_a_whole_course_and_nothing_else(made, out):
    said = made()

    assert sorted(content(out)) == sorted([CONFIG, MANIFEST, HEADER, NOTEBOOK, "gradebook.db"])
    assert said[-2] == f"{out} is an nbgrader course with counter."
    assert "nbgrader generate_assignment counter" in said[-1]


def test_no_check_of_any_kind_lies_in_the_course(made, out):
    made("counter")

    text = "\n".join(data.decode("utf-8", "replace") for data, _ in content(out).values())
    checks = [
        (TOY / "ex01_counter" / name).read_text(encoding="utf-8") for name in ("test_public.py", "test_hidden.py")
    ]
    tests = [line for check in checks for line in check.split("\n") if line.startswith("def test_")]

    assert len(tests) > 4 and not any(line in text for line in tests)


def test_a_second_run_writes_nothing(made, out):
    made("counter")
    before = content(out)

    said = made("counter")

    assert content(out) == before
    assert [line for line in said if "wrote" in line or "kept" in line or "added" in line] == []


def test_a_unit_that_is_named_twice_is_made_once(made):
    said = made("counter", "01")

    assert said[-2].endswith("with counter.")


def test_the_gradebooks_address_and_the_courses_id_are_in_the_configuration(made, out):
    made(course_id="term-3_b", gradebook="postgresql+psycopg://u:p'w@host/a b")

    config = loaded(out)

    assert config.CourseDirectory.db_url == "postgresql+psycopg://u:p'w@host/a b"
    assert config.CourseDirectory.course_id == "term-3_b"


def test_without_an_address_the_gradebook_is_nbgraders_own_file(made, out):
    made()

    assert "db_url" not in loaded(out).CourseDirectory
    assert loaded(out).CourseDirectory.root == str(out.resolve())


@pytest.mark.parametrize("name", ["two words", "it's", 'a "quoted" one', "größe", "a%20b", "{braces}", "-dash"])
def test_any_name_of_a_folder_will_do(clone, made, tmp_path, name):
    if os.name == "nt" and '"' in name:
        pytest.skip("Windows has no such names")
    folder = tmp_path / name

    made("counter", out=folder)

    config = loaded(folder)
    assert config.CourseDirectory.root == str(folder.resolve())
    assert config.GradeWithChecks.kit == config.ValidateWithChecks.kit == str(clone.root.resolve())


def test_nbgrader_releases_from_a_folder_with_blanks_and_quotes(clone, made, tmp_path):
    from types import SimpleNamespace

    folder = tmp_path / "it's a course" if os.name == "nt" else tmp_path / 'it\'s "a" course'
    made("counter", out=folder)

    said = in_process(SimpleNamespace(root=folder)).generate_assignment("counter")

    assert said["success"], said["log"]
    assert (folder / "release" / "counter" / "counter.ipynb").is_file()


def test_a_relative_folder_is_one_of_the_current_folder(clone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    make_course(clone, Path("below/deep"), say=lambda text: None)

    assert (tmp_path / "below" / "deep" / CONFIG).is_file()


# ---------------------------------------------------------------- a course that is there already


def test_an_edited_notebook_is_kept_beside_with_a_word(made, out):
    made("counter")
    edited = (out / NOTEBOOK).read_bytes().replace(b"Counts as shares of one", b"My own words")
    (out / NOTEBOOK).write_bytes(edited)

    said = made("counter")

    kept = list((out / "backups" / NOTEBOOK).parent.glob("counter.ipynb.bak-*"))
    assert len(kept) == 1 and kept[0].read_bytes() == edited
    assert b"My own words" not in (out / NOTEBOOK).read_bytes()
    assert (
        f"kept your {NOTEBOOK} as backups/{Path(NOTEBOOK).parent}/{kept[0].name}" in said
        and f"wrote {NOTEBOOK}" in said
    )


def test_a_notebook_that_was_written_from_here_and_not_edited_is_renewed_without_a_backup(clone, made, out, tmp_path):
    made("counter")
    later = tmp_path / "later"
    shutil.copytree(clone.root, later)
    task = later / "solutions" / "ex01_counter" / "task.md"
    task.write_text(
        task.read_text(encoding="utf-8").replace("Texts differ in length.", "Books differ."), encoding="utf-8"
    )
    said = []

    make_course(Course(later), out, say=said.append)

    kept = [line.rsplit("/", 1)[1] for line in said if line.startswith(f"kept your {CONFIG}")]
    assert backups(out) == kept
    assert f"wrote {NOTEBOOK}" in said and b"Books differ." in (out / NOTEBOOK).read_bytes()
    assert loaded(out).GradeWithChecks.kit == str(later.resolve())


def test_a_notebook_that_was_kept_is_not_released(made, out):
    """nbgrader copies whatever lies beside a source notebook to the students."""
    made("counter")
    (out / NOTEBOOK).write_text((out / NOTEBOOK).read_text(encoding="utf-8") + " ", encoding="utf-8")
    made("counter")
    assert backups(out)

    assert in_process(Taught(out, out, "counter", out)).generate_assignment("counter")["success"]

    assert [path.name for path in (out / "release").rglob("*") if path.is_file()] == ["counter.ipynb"]


@pytest.mark.parametrize("lost", ["gone", "{", "[]", '{"written": 3}', '{"written": {"a": null}}'])
def test_where_it_is_not_known_what_was_written_everything_that_would_change_is_kept(made, out, lost):
    made("counter")
    (out / NOTEBOOK).write_text("mine", encoding="utf-8")
    if lost == "gone":
        (out / MANIFEST).unlink()
    else:
        (out / MANIFEST).write_text(lost, encoding="utf-8")

    made("counter")

    kept = list((out / "backups" / NOTEBOOK).parent.glob("*.bak-*"))
    assert [path.read_text(encoding="utf-8") for path in kept] == ["mine"]


def test_other_units_and_files_of_the_course_stay_as_they_are(made, out):
    made("counter")
    mine = {"source/other/other.ipynb": b"theirs", "submitted/ada/counter/counter.ipynb": b"{}", "gradebook.db": b"db"}
    for name, data in mine.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)

    made("counter")

    assert all((out / name).read_bytes() == data for name, data in mine.items())
    assert backups(out) == []


FOREIGN = """\
# our course, since 2019 — Größe
c = get_config()
c.CourseDirectory.course_id = "ours"
c.Exchange.root = "/srv/exchange"
if True:
    c.Execute.timeout = 99
"""


@pytest.fixture
def foreign(out):
    out.mkdir()
    (out / CONFIG).write_bytes(FOREIGN.encode())
    return out / CONFIG


def test_a_configuration_that_was_there_is_added_to_and_works_on(made, out, foreign):
    said = made("counter")

    text = foreign.read_text(encoding="utf-8")
    assert text.startswith(FOREIGN) and text.count(BEGIN) == text.count(END) == 1
    assert [path.read_bytes() for path in (out / "backups").glob(f"{CONFIG}.bak-*")] == [FOREIGN.encode()]
    assert any(line.startswith(f"added to your {CONFIG}") for line in said)
    config = loaded(out)
    assert (config.CourseDirectory.course_id, config.Exchange.root, config.Execute.timeout) == (
        "ours",
        "/srv/exchange",
        99,
    )
    assert config.Autograde.sanitize_preprocessors[0].endswith(".RebuildCells")


def test_other_assignments_of_a_course_that_was_there_keep_their_header(made, out, foreign):
    header = out / "source" / "header.ipynb"
    header.parent.mkdir(exist_ok=True)
    header.write_text("theirs", encoding="utf-8")

    for _ in range(2):
        made("counter")

        assert header.read_text(encoding="utf-8") == "theirs"
        assert loaded(out).IncludeHeaderFooter == {}
        first = json.loads((out / NOTEBOOK).read_text(encoding="utf-8"))["cells"][0]
        assert first["metadata"]["nbgrader"]["grade_id"] == "counter-text-header"


def test_what_a_course_that_was_there_loses_of_its_configuration_is_told(made, foreign):
    foreign.write_text("c = get_config()\nc.Autograde.sanitize_preprocessors = ['theirs']\n", encoding="utf-8")

    said = made("counter")

    assert any("your sanitize_preprocessors there is replaced" in line for line in said)


def test_the_clone_itself_is_no_place_for_a_course(clone):
    for place in (clone.root, clone.root / "solutions" / "course", clone.root / "exercises"):
        with pytest.raises(UsageError, match="part of the clone itself"):
            make_course(clone, place, say=lambda text: None)


def test_a_student_kit_is_no_place_for_a_course(clone, tmp_path):
    kit = tmp_path / "kit"
    (kit / "below").mkdir(parents=True)
    (kit / ".kit.json").write_text("{}", encoding="utf-8")
    before = content(kit)

    for place, says in ((kit, "is a student kit"), (kit / "below" / "course", "lies in a student kit")):
        with pytest.raises(UsageError, match=says):
            make_course(clone, place, say=lambda text: None)

    assert content(kit) == before and not (kit / "below" / "course").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_folder_that_everybody_can_read_is_told_with_the_command_that_mends_it(made, out, monkeypatch):
    out.mkdir()
    closed = out.parent / "closed"
    closed.mkdir(mode=0o700)
    words = {}
    for above, folders in (("open", ()), ("closed", (closed,))):
        monkeypatch.setattr(nbcourse, "_above", lambda place, folders=folders: folders)
        for mode in (0o755, 0o701, 0o750, 0o700):
            out.chmod(mode)
            words[above, mode] = [line for line in made("counter") if "can be read by everybody" in line]

    assert {key for key, lines in words.items() if lines} == {("open", 0o755), ("open", 0o701)}
    assert words["open", 0o755][0].endswith(f"chmod go-rwx {out}")


def test_the_folders_above_are_looked_at(tmp_path):
    assert nbcourse._above(tmp_path) == tuple(tmp_path.parents)


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
def test_a_course_that_git_would_take_along_is_told(made, tmp_path):
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)

    beside, inside, itself = (made("counter", out=place) for place in (tmp_path / "b", repository / "c", repository))
    (repository / ".gitignore").write_text("/c/\n", encoding="utf-8")
    ignored = made("counter", out=repository / "c")

    told = ["git repository that does not ignore it" in " ".join(said) for said in (beside, inside, itself, ignored)]
    assert told == [False, True, True, False]


def test_an_exercise_that_was_only_begun_is_told(clone, tmp_path):
    later = tmp_path / "later"
    shutil.copytree(clone.root, later)
    new(Course(later), "layer_norm")
    said = []

    make_course(Course(later), tmp_path / "course", say=said.append)

    told = [line for line in said if "still holds text of `grader new`" in line]
    assert len(told) == 1 and told[0].startswith("layer_norm ")


def test_a_recording_that_takes_its_time_is_announced_once(made, clone, out):
    shutil.rmtree(clone.cache, ignore_errors=True)

    assert any("recording what every wrong idea answers" in line for line in made("counter"))
    assert not any("recording what" in line for line in made("counter"))


def test_it_is_not_added_to_twice(made, foreign):
    made("counter")
    once = foreign.read_bytes()

    said = made("counter")

    assert foreign.read_bytes() == once and len(backups(foreign.parent)) == 1
    assert not any(line.startswith("added") for line in said)


def test_what_people_wrote_around_our_lines_stays_when_they_are_renewed(made, out):
    made("counter")
    path = out / CONFIG
    text = path.read_text(encoding="utf-8")
    renewed = text.replace("configure(c, kit=", "configure(c, kit='/elsewhere' or ")
    path.write_text(f"# mine above\n{renewed}\nc.Exchange.root = '/mine'\n", encoding="utf-8")

    made("counter")

    assert path.read_text(encoding="utf-8") == f"# mine above\n{text}\nc.Exchange.root = '/mine'\n"
    assert len(backups(out)) == 1


def test_a_configuration_with_other_line_ends_is_kept_byte_by_byte(made, out, foreign):
    foreign.write_bytes(FOREIGN.replace("\n", "\r\n").encode())

    made("counter")
    once = foreign.read_bytes()
    made("counter")

    assert [path.read_bytes() for path in (out / "backups").glob(f"{CONFIG}.bak-*")] == [
        FOREIGN.replace("\n", "\r\n").encode()
    ]
    assert foreign.read_bytes() == once
    assert loaded(out).Exchange.root == "/srv/exchange"


def test_a_configuration_that_is_no_utf8_is_refused_and_left_alone(made, foreign):
    data = FOREIGN.encode("latin-1", "replace")
    foreign.write_bytes(data)

    with pytest.raises(UsageError, match="not UTF-8"):
        made("counter")

    assert foreign.read_bytes() == data and backups(foreign.parent) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [("c.Exchange.root = 'never closed", "line 2: "), ("c.x = (", "line 2: "), ("x = '\0'", "null bytes")],
)
def test_a_configuration_that_is_no_python_is_refused_before_anything_is_written(made, foreign, line, says):
    foreign.write_text(f"c = get_config()\n{line}\n", encoding="utf-8")
    before = content(foreign.parent)

    with pytest.raises(UsageError, match=says) as refusal:
        made("counter")

    assert content(foreign.parent) == before and foreign.name in refusal.value.message
    assert "nothing was written" in refusal.value.mend


def test_a_configuration_that_only_nbgrader_can_run_is_no_reason_to_refuse(made, foreign):
    foreign.write_text("c = get_config()\nc.A.b = r'\\d' + '\\d'\nimport something_of_theirs\n", encoding="utf-8")

    made("counter")

    assert BEGIN in foreign.read_text(encoding="utf-8")


def test_an_address_or_an_id_for_a_course_that_has_a_configuration_is_not_passed_over_in_silence(made, foreign):
    said = made("counter", gradebook="sqlite:///other.db", course_id="another")

    assert any("--gradebook is not in it" in line for line in said)
    assert any("--course-id is not in it" in line for line in said)
    assert loaded(foreign.parent).CourseDirectory.course_id == "ours"


def test_a_configuration_without_a_courses_id_is_told_to_need_one(made, foreign):
    foreign.write_text("c = get_config()\n", encoding="utf-8")

    said = made("counter")

    assert any("c.CourseDirectory.course_id" in line for line in said)


# ---------------------------------------------------------------- wrong usage


def refused(taught, *words):
    done = taught.grader("course", *words)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_a_file_in_the_place_of_the_folder_is_refused(toy, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("mine", encoding="utf-8")

    assert "is a file" in refused(toy, str(file))
    assert "cannot be written to" in refused(toy, str(file / "below"))
    assert file.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("wrong", ["", "a b", "a/b", "..", "größe", "a\n", "'", "a" * 129])
def test_an_id_that_nbgrader_or_a_database_would_not_take_is_refused(clone, tmp_path, wrong):
    with pytest.raises(UsageError, match="course id"):
        make_course(clone, tmp_path / "course", course_id=wrong, say=lambda text: None)

    assert not (tmp_path / "course").exists()


def test_a_wrong_id_on_the_command_line_ends_with_two(toy, tmp_path):
    assert "is no course id" in refused(toy, str(tmp_path / "course"), "--course-id", "a b")


def test_an_unknown_unit_is_refused_before_anything_is_written(toy, tmp_path):
    said = refused(toy, str(tmp_path / "course"), "counter", "cuonter")

    assert "no exercise 'cuonter'" in said and "Did you mean counter?" in said
    assert not (tmp_path / "course").exists()


def test_a_student_kit_makes_no_course(printed_kit, tmp_path):
    with pytest.raises(UsageError, match="student kit"):
        make_course(printed_kit, tmp_path / "course", say=lambda text: None)

    assert not (tmp_path / "course").exists()


@pytest.fixture
def printed_kit(clone, tmp_path):
    root = tmp_path / "kit"
    shutil.copytree(clone.root, root)
    shutil.rmtree(root / "solutions")
    return Course(root)


def test_a_course_without_exercises_is_refused(tmp_path):
    (tmp_path / "empty" / "solutions").mkdir(parents=True)

    with pytest.raises(UsageError, match="no exercise"):
        make_course(Course(tmp_path / "empty"), tmp_path / "course", say=lambda text: None)


def test_the_manifest_tells_each_file_that_was_written(made, out):
    made("counter")

    assert sorted(json.loads((out / MANIFEST).read_text(encoding="utf-8"))["written"]) == sorted([HEADER, NOTEBOOK])
