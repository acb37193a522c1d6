"""What other systems get: results for Gradescope, a workflow for GitHub Classroom, grades for Canvas and Moodle, files for JPlag."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.logic import grade_tables
from grader.logic.feedback import POLICIES
from grader.logic.grade_tables import Sheet, harmless, is_formula, scaled
from grader.logic.gradescope import VISIBILITIES, no_verdict, not_accepted, results_of
from grader.logic.variants import apply
from grader.logic.words import Idea, Texts
from grader.model.errors import CourseError, EnvironmentProblem, UsageError
from grader.model.types import Cell, CheckResult, Entry, Report, Submission
from grader.system.course import Course
from grader.system.sandbox import LAYERS
from grader.verbs import export
from grader.verbs.grading import Sources

ROOT = Path(__file__).resolve().parents[2]
TOY = ROOT / "tests" / "toy_course"
COUNTER = Course(TOY).find("counter")
SOURCES = Sources(Course(TOY), COUNTER)

# https://gradescope-autograders.readthedocs.io/en/latest/specs/, "Output format": every key that is named there, and no other.
VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
GRADESCOPE = {
    "type": "object",
    "additionalProperties": False,
    "anyOf": [{"required": ["score"]}, {"required": ["tests"]}],
    "properties": {
        "score": {"type": "number"},
        "execution_time": {"type": "number"},
        "output": {"type": "string"},
        "output_format": FORMAT,
        "test_output_format": FORMAT,
        "test_name_format": FORMAT,
        "visibility": VISIBILITY,
        "stdout_visibility": VISIBILITY,
        "extra_data": {"type": "object"},
        "leaderboard": {"type": "array"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "score": {"type": "number"},
                    "max_score": {"type": "number"},
                    "status": {"enum": ["passed", "failed"]},
                    "name": {"type": "string"},
                    "name_format": FORMAT,
                    "number": {"type": "string"},
                    "output": {"type": "string"},
                    "output_format": FORMAT,
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "visibility": VISIBILITY,
                    "extra_data": {"type": "object"},
                },
            },
        },
    },
}


def misfits(results):
    """What of an object is not as Gradescope documents it."""
    jsonschema = pytest.importorskip("jsonschema", reason="it comes with the extra nbgrader")
    validator = jsonschema.Draft202012Validator(GRADESCOPE)
    return [error.message for error in validator.iter_errors(json.loads(json.dumps(results, allow_nan=False)))]


def check(name="c", step="shares", hidden=False, points=1.0, earned=0.0, outcome="failed", message="", looks_like=()):
    return CheckResult(name, step, hidden, points, earned, outcome, message, list(looks_like))


def report_of(*checks, **changes):
    counted = [one for one in checks if one.outcome != "skipped"]
    score, most = sum(one.earned for one in counted), sum(one.points for one in counted)
    report = Report("counter", "counter.py", "all", 7, "failed", score, most, 0.25, list(checks))
    return replace(report, **changes)


TEXTS = Texts(COUNTER, SOURCES.stub, {"last_one": Idea("the last token is taken.", "Which of the tokens is it?")})
HIDDEN_NUMBERS = "expected 0.8675309"
MIXED = report_of(
    check("a", points=1, earned=1, outcome="passed"),
    check("b", points=1, message="got 3"),
    check("kept secret", hidden=True, points=1, message=HIDDEN_NUMBERS, looks_like=["last_one", "unheard_of"]),
    check("kept too", hidden=True, points=0.5, earned=0.5, outcome="passed"),
    check("counts", "counting", hidden=True, points=2, outcome="skipped", message=HIDDEN_NUMBERS),
    check("shown", "counting", points=2, outcome="skipped", message="No torch here."),
)

# ---------------------------------------------------------------- Gradescope: the object


def test_results_are_as_documented_and_their_points_add_up():
    results = results_of(MIXED, COUNTER, TEXTS)

    assert misfits(results) == []
    assert results["score"] == 1.5 == sum(test["score"] for test in results["tests"])
    assert [test["number"] for test in results["tests"]] == ["1.1", "1.2", "1.3", "2.1"]
    assert [test.get("status") for test in results["tests"]] == ["passed", "failed", "failed", None]
    assert results["stdout_visibility"] == "hidden"


def test_the_schema_refuses_what_is_not_documented():
    assert misfits(results_of(MIXED, COUNTER, TEXTS) | {"secret": 1})
    assert misfits({"output": "no score and no tests"})
    assert misfits({"score": "1"})
    assert misfits({"score": 1, "tests": [{"visibility": "sometimes"}]})


@pytest.mark.parametrize("visibility", VISIBILITIES)
def test_hidden_checks_are_one_test_a_step_that_names_the_idea_and_tells_no_number(visibility):
    results = results_of(MIXED, COUNTER, TEXTS, visibility)

    [hidden] = [test for test in results["tests"] if "hidden" in test["name"]]
    assert (hidden["visibility"], hidden["score"], hidden["max_score"]) == (visibility, 0.5, 1.5)
    assert "Which of the tokens is it?" in hidden["output"]
    assert {test["visibility"] for test in results["tests"] if test is not hidden} == {"visible"}
    for secret in (HIDDEN_NUMBERS, "kept secret", "kept too", "unheard_of"):
        assert secret not in json.dumps(results)


def test_an_instructor_may_tell_less_or_more_of_them():
    told = {policy: json.dumps(results_of(MIXED, COUNTER, TEXTS, "visible", policy)) for policy in POLICIES}

    assert HIDDEN_NUMBERS in told["message"]  # so it would have been found in the others
    assert all(HIDDEN_NUMBERS not in told[policy] for policy in POLICIES if policy != "message")
    assert "Which of the tokens" in told["idea"] and "Which of the tokens" not in told["count"]
    assert "1 of 2 hidden checks passed" in told["count"] and "of 2 hidden" not in told["nothing"]


@pytest.mark.parametrize(
    "lie",
    [
        {"score": 99.0},
        {"score": float("nan")},
        {"max_score": 2.0},
        {"checks": []},
        {"checks": [check(points=1, earned=2)], "score": 2.0, "max_score": 1.0},
        {"checks": [check(points=1, earned=-1)], "score": -1.0, "max_score": 1.0},
        {"checks": [check(step="elsewhere", earned=1)], "score": 1.0, "max_score": 1.0},
        {"seconds": float("inf")},
    ],
)
def test_a_verdict_whose_points_do_not_add_up_is_not_handed_on(lie):
    assert results_of(MIXED, COUNTER, TEXTS)["score"] == MIXED.score

    with pytest.raises(CourseError, match="do not add up"):
        results_of(replace(MIXED, **lie), COUNTER, TEXTS)


def test_a_visibility_or_policy_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="after_published"):
        results_of(MIXED, COUNTER, TEXTS, "never")
    with pytest.raises(UsageError, match="count"):
        results_of(MIXED, COUNTER, TEXTS, "hidden", "everything")


def test_without_a_verdict_nothing_is_earned_and_only_instructors_see_why():
    results = no_verdict("The disk is full. \x1b[31m\ud800")

    assert misfits(results) == []
    assert (results["score"], results["stdout_visibility"]) == (0.0, "hidden")
    assert [test["visibility"] for test in results["tests"]] == ["hidden"]
    assert results["tests"][0]["output"] == "The disk is full. [31m?"
    assert "disk" not in results["output"]
    assert misfits(not_accepted("Which file?")) == []


# ---------------------------------------------------------------- Gradescope: the autograder, run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An unpacked autograder for the toy exercise; not to be written to."""
    out = tmp_path_factory.mktemp("gradescope") / "autograder.zip"
    export.gradescope(Course(TOY), COUNTER, out)
    folder = out.with_suffix("")
    with zipfile.ZipFile(out) as archive:
        archive.extractall(folder)
        for entry in archive.infolist():  # unzip keeps what is executable, extractall does not
            os.chmod(folder / entry.filename, entry.external_attr >> 16 & 0o777)
    return folder


@pytest.fixture
def autograder(made, tmp_path):
    """Gradescope's folder: the autograder in source/; returns what running it on files gives, and all that it printed."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here, which Gradescope's containers have")
    shutil.copytree(made, tmp_path / "source")
    (tmp_path / "submission").mkdir()

    def run(files=(), python=sys.executable):
        for name, text in dict(files).items():
            path = tmp_path / "submission" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        environment = {"GRADER_ROOT": str(tmp_path), "GRADER_PYTHON": str(python), "PATH": os.environ["PATH"]}
        program = [str(tmp_path / "source" / "run_autograder")]
        done = subprocess.run(program, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
        results = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))
        assert (done.returncode, misfits(results)) == (0, [])
        return results, done.stdout + done.stderr

    run.root = tmp_path
    return run


def test_the_archive_has_both_scripts_at_its_root_executable_and_is_the_same_each_time(tmp_path):
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"

    said = [export.gradescope(Course(TOY), COUNTER, out) for out in (first, second)]

    with zipfile.ZipFile(first) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o111 for entry in archive.infolist()}
    assert modes["setup.sh"] and modes["run_autograder"] and not modes["grade.py"]
    assert {"solutions/ex01_counter/test_hidden.py", "grader/verbs/session.py", "requirements.txt"} <= modes.keys()
    assert not any("rewrites" in name or "__pycache__" in name for name in modes)
    assert first.read_bytes() == second.read_bytes()
    assert "9 autograder points" in said[0][1]


def test_both_scripts_are_valid_bash(made):
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")

    for name in ("setup.sh", "run_autograder"):
        done = subprocess.run(["bash", "-n", str(made / name)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert subprocess.run(["bash", "-n"], input="if", capture_output=True, text=True, check=False).returncode != 0


def test_the_solution_earns_everything(autograder):
    results, printed = autograder({"counter.py": SOURCES.solution})

    assert results["score"] == 9.0 == sum(test["max_score"] for test in results["tests"])
    assert {test["status"] for test in results["tests"]} == {"passed"}
    assert "counter.py: passed" in printed


def test_a_wrong_idea_loses_its_points_and_is_named(autograder):
    wrong = apply(SOURCES.solution, SOURCES.variant("least_common"))

    results, _ = autograder({"work/counter.py": wrong, "notes.txt": "hello"})

    assert 0 < results["score"] < 9
    named = [test["name"] for test in results["tests"] if "looks like" in test.get("output", "")]
    assert named == ["Counting tokens: hidden checks"]


def test_what_a_submission_says_while_hidden_checks_run_reaches_nobody(autograder):
    telling = SOURCES.solution.replace(
        "return int(np.argmax(self.counts))",
        "print('seen', self.counts.tolist())\n        raise ValueError(f'seen {self.counts.tolist()}')",
    )

    results, _ = autograder({"counter.py": telling})

    assert 0 < results["score"] < 9
    assert "[3, 1, 7, 2]" in SOURCES.text("test_hidden.py")  # which is what it was asked
    for secret in ("seen", "3, 1, 7, 2", "most common token is the one"):
        assert secret not in json.dumps(results)


def test_files_that_were_not_handed_in_are_not_graded(autograder):
    link = autograder.root / "submission" / "counter.py"
    link.symlink_to(autograder.root / "source" / "solutions" / "ex01_counter" / "counter.py")

    results, _ = autograder()

    assert (results["score"], results.get("tests")) == (0.0, None)
    assert "no Python file" in results["output"]


def test_two_files_are_a_question_unless_one_is_the_stub(autograder):
    both = {"a/counter.py": SOURCES.solution, "b/counter.py": SOURCES.solution + "\nx = 1\n"}

    unclear, _ = autograder(both)
    clear, _ = autograder({"b/counter.py": SOURCES.stub})

    assert (unclear["score"], clear["score"]) == (0.0, 9.0)
    assert "Which file is meant? There are 2: a/counter.py, b/counter.py." in unclear["output"]


@pytest.mark.parametrize(
    ("text", "said"), [("def shares(:", "not valid Python"), ("", "empty"), (SOURCES.stub, "Nothing is written yet")]
)
def test_a_file_that_cannot_be_graded_earns_nothing_and_says_why(autograder, text, said):
    results, _ = autograder({"counter.py": text})

    assert results["score"] == 0.0 == sum(test["score"] for test in results["tests"])
    assert sum(test["max_score"] for test in results["tests"]) == 9.0
    assert said in results["output"]


def test_after_a_failure_of_ours_nothing_is_earned_even_where_results_lay_already(autograder):
    (autograder.root / "results").mkdir()
    (autograder.root / "results" / "results.json").write_text('{"score": 9.0}')
    hidden = autograder.root / "source" / "solutions" / "ex01_counter" / "test_hidden.py"
    hidden.write_text("import nothing_of_this_name\n")

    results, printed = autograder({"counter.py": SOURCES.solution})

    assert results["score"] == 0.0
    assert [(test["visibility"], "nothing_of_this_name" in test["output"]) for test in results["tests"]] == [
        ("hidden", True)
    ]
    assert "nothing_of_this_name" not in results["output"] and "nothing_of_this_name" in printed


def test_where_python_does_not_even_start_nothing_is_earned(autograder):
    results, printed = autograder({"counter.py": SOURCES.solution}, python="/nowhere/python")

    assert results == no_verdict("The autograder was stopped before it had a verdict.")
    assert "ended with" in printed


def test_student_code_does_not_run_where_it_could_read_the_solution(made, tmp_path, monkeypatch, capsys):
    from grader.system import host

    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "counter.py").write_text(SOURCES.solution, encoding="utf-8")
    server = host.Server
    monkeypatch.setattr(host, "Server", lambda: server(without=frozenset(LAYERS)))

    export.on_gradescope(made, tmp_path)

    results = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))
    assert results["score"] == 0.0
    assert "cannot be kept from files and the network" in results["tests"][0]["output"]
    assert "Traceback" in capsys.readouterr().out


def test_files_and_network_must_both_be_fenced(tmp_path):
    for enough in (("root", "seccomp"), ("landlock", "namespaces"), LAYERS):
        export._demand_fences(enough, tmp_path)

    for few in ((), ("root",), ("seccomp",), ("rlimits", "environment", "descriptors")):
        with pytest.raises(EnvironmentProblem, match="is not run"):
            export._demand_fences(few, tmp_path)


def test_another_user_is_a_fence_where_only_root_may_read_the_solution(tmp_path):
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root, as in Gradescope's containers, can become another user")
    tmp_path.chmod(0o700)
    export._demand_fences(("user", "seccomp"), tmp_path)

    tmp_path.chmod(0o755)

    with pytest.raises(EnvironmentProblem, match="files"):
        export._demand_fences(("user", "seccomp"), tmp_path)


def test_an_autograder_is_written_over_nothing_and_needs_the_solution(tmp_path, toy):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("mine")

    with pytest.raises(UsageError, match="already"):
        export.gradescope(Course(TOY), COUNTER, tmp_path / "there")
    with pytest.raises(UsageError, match="no visibility"):
        export.gradescope(Course(TOY), COUNTER, tmp_path / "new", "secret")
    shutil.rmtree(toy / "solutions")
    with pytest.raises(CourseError, match="no solution"):
        export.gradescope(Course(toy), Course(toy).find("counter"), tmp_path / "new")

    assert [path.name for path in (tmp_path / "there").iterdir()] == ["mine.txt"]
    assert not (tmp_path / "new").exists()


def test_a_folder_is_written_as_the_archive_is(tmp_path, made):
    export.gradescope(Course(TOY), COUNTER, tmp_path / "folder")

    def tree(folder):
        return {
            path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mode & 0o111)
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    assert tree(tmp_path / "folder") == tree(made)


# ---------------------------------------------------------------- GitHub Classroom


@pytest.fixture
def workflow(toy):
    """The workflow that is written into the toy course, as YAML reads it."""
    yaml = pytest.importorskip("yaml", reason="it comes with the extra nbgrader")
    said = export.github(Course(toy), [], toy)
    return yaml.safe_load((toy / export.WORKFLOW).read_text(encoding="utf-8")), said


def test_the_workflow_is_what_classroom_and_its_reporter_look_for(workflow):
    data, _ = workflow

    # The reporter's README and source: names of the job and of the variables; GitHub's syntax of workflows: the rest.
    assert set(data) == {"name", "on", "permissions", "jobs"}
    assert data["permissions"] == {"checks": "write", "actions": "read", "contents": "read"}
    [(name, job)] = data["jobs"].items()
    assert (name, set(job)) == ("run-autograding-tests", {"runs-on", "if", "steps"})
    assert all(set(step) <= {"name", "id", "uses", "with", "env", "run"} for step in job["steps"])
    assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    graders = [step for step in job["steps"] if "command-grader@v1" in step.get("uses", "")]
    runners = job["steps"][-1]["with"]["runners"].split(",")
    assert runners == [step["id"] for step in graders] == ["counter-shares", "counter-counting", "counter-merging"]
    assert job["steps"][-1]["env"] == {
        f"{runner.upper()}_RESULTS": "${{steps." + runner + ".outputs.result}}" for runner in runners
    }
    for step in graders:
        assert set(step["with"]) == {"test-name", "command", "timeout", "max-score"}
        assert type(step["with"]["max-score"]) is int


def test_points_of_public_checks_become_whole_numbers(toy):
    public = toy / "solutions" / "ex01_counter" / "test_public.py"
    public.write_text(public.read_text().replace("points(1)", "points(0.25)", 1))

    said = export.github(Course(toy), ["counter"], toy)

    text = (toy / export.WORKFLOW).read_text(encoding="utf-8")
    assert [line.split()[1] for line in text.splitlines() if "max-score" in line] == ["1", "4", "4"]
    assert any("times 4" in line for line in said)


def run_points(toy, step):
    """The command of one test of the workflow, as the action runs it."""
    program = [sys.executable, str(toy / export.POINTS_SCRIPT), "counter", step]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(program, cwd=toy, env=environment, capture_output=True, text=True, check=False)


def test_each_test_of_the_workflow_passes_with_its_step_and_only_then(workflow, toy, module, solution):
    module.write_text(solution.replace("return counts / max(total, 1)", "return counts"), encoding="utf-8")

    wrong, right, unknown = (run_points(toy, step) for step in ("shares", "counting", "elsewhere"))

    assert (wrong.returncode, right.returncode, unknown.returncode) == (1, 0, 1)
    assert "failed: shares are the counts divided by their sum" in wrong.stdout
    assert "expected" in wrong.stdout and (wrong.stderr, right.stderr) == ("", "")
    assert "hidden" not in wrong.stdout and "add up to one" not in wrong.stdout


def test_a_workflow_of_ones_own_is_kept_beside(toy):
    own = toy / export.WORKFLOW
    own.parent.mkdir(parents=True)
    own.write_text("mine")

    said = export.github(Course(toy), ["counter"], toy)
    again = export.github(Course(toy), ["counter"], toy)

    kept = [path for path in own.parent.iterdir() if path != own]
    assert [path.read_text() for path in kept] == ["mine"]
    assert any(kept[0].name in line for line in said)
    assert sum("as it should be already" in line for line in again) == 2


def test_an_exercise_that_there_is_not_has_no_workflow(toy):
    with pytest.raises(UsageError, match="no exercise 'conter'"):
        export.github(Course(toy), ["conter"], toy)

    assert not (toy / ".github").exists()


# ---------------------------------------------------------------- grade tables


def entry(student, score=4.5, most=9.0, exercise="counter", file="", **changes):
    report = report_of(
        check(points=most, earned=score, outcome="passed"), exercise=exercise, score=score, max_score=most, **changes
    )
    return Entry(student, file or f"{student}.py", "", "", report)


# The rows and columns that lib/gradebook_exporter.rb writes: names sorted, a row of posting policies, one of points.
CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Essay (11),Counter (12),Counter (13),Current Score,Final Score\r\n"
    ",,,,,,Manual Posting,,,\r\n"
    "    Points Possible,,,,,10.00,20.00,5.00,(read only),(read only)\r\n"
    '"Lovelace, Ada",101,s1,ada@uni.edu,CS 1,9.00,,,90.00,45.00\r\n'
    '"Hopper, Grace",102,s2,grace,"CS 1 and ""CS 2""",8.50,3.00,,85.00,42.50\r\n'
    '"Turing, Alan",103,s3,alan,CS 1,7.00,EX,,70.00,35.00\r\n'
    '"Turing, Alan",104,s4,turing2,CS 1,6.00,,,60.00,30.00\r\n'
    '"=""=cmd()""",105,s5,formula,CS 1,5.00,N/A,,50.00,25.00\r\n'
    '"Student, Test",199,,test,CS 1,,,,,\r\n'
)


def cells(text):
    return list(
        csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=";" if ";" in text.split("\n")[0] else ",")
    )


def test_a_column_of_canvas_is_filled_and_all_else_keeps_its_bytes():
    entries = [entry("ada@uni.edu", 4.5), entry("s2", 9.0), entry("Test Student", 0.0)]

    text, said = grade_tables.canvas(entries, CANVAS, "Counter (12)")

    changed = {0: [], 3: [(6, "10.00")], 4: [(6, "20.00")], 8: [(6, "0.00")]}
    for number, (before, after) in enumerate(zip(CANVAS.split("\r\n"), text.split("\r\n"), strict=True)):
        if number not in changed:
            assert before == after
    for number, row in enumerate(cells(CANVAS)):
        assert cells(text)[number] == [dict(changed.get(number, [])).get(at, value) for at, value in enumerate(row)]
    assert text.split("\r\n")[4] == '"Hopper, Grace",102,s2,grace,"CS 1 and ""CS 2""",8.50,20.00,,85.00,42.50'
    assert "3 marks filled in, scaled to 20 points" in said[0]
    assert "s2 3.00 → 20.00" in said[1]


def test_whoever_is_not_clear_is_said_and_never_guessed():
    entries = [
        entry("Alan Turing"),
        entry("nobody"),
        entry("alan"),
        entry("formula"),
        entry("grace", file="a.py"),
        entry("Grace Hopper", file="b.py"),
        entry("hop"),
    ]

    text, said = grade_tables.canvas(entries, CANVAS, "12")

    assert text == CANVAS
    [left] = [line for line in said if line.startswith("Not filled in")]
    for words in (
        "Alan Turing (fits 2 rows)",
        "nobody (not found)",
        "alan (Canvas says EX)",
        "formula (Canvas says N/A)",
        "grace (has several submissions (a.py, b.py))",
        "hop (not found)",
    ):
        assert words in left
    assert any(line.endswith("left as they are: Lovelace, Ada; Student, Test.") for line in said)


def test_who_goes_by_another_name_can_be_named():
    text, _ = grade_tables.canvas([entry("Alan Turing")], CANVAS, "12", known_as={"Alan Turing": "104"})

    assert cells(text)[6][6] == "10.00"


@pytest.mark.parametrize("column", ["Counter", "Final Score", "Counters (12)", ""])
def test_a_column_that_is_not_clear_or_no_assignment_is_refused(column):
    with pytest.raises(UsageError, match=r"Counter \(12\)"):
        grade_tables.canvas([entry("ada@uni.edu")], CANVAS, column)


def test_other_ways_to_write_a_gradebook():
    german = "\ufeff" + CANVAS.replace(",", ";").replace(".00", ",00").replace('"Lovelace; Ada"', '"Lovelace, Ada"')
    two_names = "LastName,FirstName,ID,Section,Counter (12)\n    Points Possible,,,,3.00\nLovelace,Ada,101,CS 1,\n"

    in_german, _ = grade_tables.canvas([entry("Ada Lovelace", 3.0)], german, "12")
    in_two, _ = grade_tables.canvas([entry("lovelace,  ADA", 3.0)], two_names, "Counter")

    assert in_german.startswith("\ufeffStudent;ID") and cells(in_german)[3][6] == "6,67"
    assert in_two == two_names.replace("CS 1,\n", "CS 1,1.00\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no gradebook"),
        ("name;mark\nAda;1\n", "no gradebook"),
        (CANVAS.replace(",20.00,", ",,"), "worth is not known"),
        (CANVAS.replace("    Points Possible", "  Something"), "worth is not known"),
        (CANVAS.replace('"Turing, Alan",104', '"Turing, Alan,104'), "not closed"),
    ],
)
def test_a_file_that_is_no_gradebook_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        grade_tables.canvas([entry("ada@uni.edu")], text, "Counter (12)")


def test_several_exercises_are_a_question():
    entries = [entry("s1", exercise="counter"), entry("s1", 9.0, exercise="other")]

    with pytest.raises(UsageError, match="counter, other"):
        grade_tables.canvas(entries, CANVAS, "12")
    with pytest.raises(UsageError, match="nothing of third"):
        grade_tables.canvas(entries, CANVAS, "12", exercise="third")
    with pytest.raises(UsageError, match="empty"):
        grade_tables.canvas([], CANVAS, "12")
    text, _ = grade_tables.canvas(entries, CANVAS, "12", exercise="other")

    assert cells(text)[3][6] == "20.00"


@pytest.mark.parametrize(
    ("score", "out_of", "mark"),
    [(0.0, 9.0, "0.00"), (9.0, 9.0, "20.00"), (1.0, 3.0, "6.67"), (0.0005, 2.0, "0.01"), (0.1, 0.3, "6.67")],
)
def test_a_mark_is_the_share_of_the_points_rounded_half_up(score, out_of, mark):
    assert str(scaled(score, out_of, Decimal(20))) == mark


@pytest.mark.parametrize(("score", "out_of"), [(float("nan"), 9), (10, 9), (-1, 9), (0, 0), (1, float("inf"))])
def test_a_score_that_is_none_is_not_written(score, out_of):
    text, said = grade_tables.canvas([entry("s1", float(score), float(out_of))], CANVAS, "12")

    assert (scaled(score, out_of, Decimal(20)), text) == (None, CANVAS)
    assert any("s1 (a score of" in line for line in said)


def test_public_verdicts_and_broken_files_are_said():
    entries = [entry("s1", 0.0, status="broken"), entry("s2", scope="public")]

    _, said = grade_tables.canvas(entries, CANVAS, "12")

    assert any("0 because the file could not be graded" in line and "s1" in line for line in said)
    assert any("public checks alone" in line for line in said)


def questions(tmp_path):
    """An entry of which two files could be meant, as a class's table has it."""
    from grader.system.inbox import look_through

    (tmp_path / "ada").mkdir()
    for name, more in (("counter.py", ""), ("counter (1).py", "\nx = 1\n")):
        (tmp_path / "ada" / name).write_text(SOURCES.solution + more, encoding="utf-8")
    [handed] = look_through(tmp_path, [COUNTER]).handed
    assert handed.student == "ada" and len(handed.candidates) == 2
    report = report_of(status="broken", score=0.0, max_score=9.0, message=handed.submission.problem)
    return Entry("ada", handed.file, handed.note, handed.digest, report)


@pytest.mark.parametrize("note", ["", "; not in the gradebook: it has no notebook"])
def test_an_open_question_gets_no_mark_and_is_named(tmp_path, note):
    asked = questions(tmp_path)
    asked = replace(asked, note=asked.note + note)
    known = {"ada": "s1"}

    text, said = grade_tables.canvas([asked, entry("s2")], CANVAS, "12", known_as=known)
    worksheet, words = grade_tables.moodle([asked], MOODLE, known_as={"ada": "u1"})

    assert cells(text)[3][6] == "" and cells(text)[4][6] == "10.00" and worksheet == MOODLE
    for line in (said, words):
        assert any(part.startswith("Not filled in: ada (which of several files counts") for part in line)
    taken = replace(asked, note="chosen with --take")  # a verdict of 0 is a mark
    assert cells(grade_tables.canvas([taken], CANVAS, "12", known_as=known)[0])[3][6] == "0.00"


def test_where_the_grader_failed_there_is_no_mark():
    from grader.verbs.batch import failed

    failure = entry("s1", 0.0, status="broken", message=failed("OSError: the disk is full"))
    own = entry("s1", 0.0, status="broken", message="problem    The file is empty.")

    text, said = grade_tables.canvas([failure], CANVAS, "12")

    assert text == CANVAS and any("s1 (the grader failed over it" in line for line in said)
    assert cells(grade_tables.canvas([own], CANVAS, "12")[0])[3][6] == "0.00"


# The titles that Moodle's lang/en gives, and the rows of its grading table as a worksheet.
MOODLE = (
    "Identifier,Full name,ID number,Email address,Status,Grade,Maximum grade,Grade can be changed,"
    "Last modified (submission),Last modified (grade),Feedback comments\n"
    '"Participant 7","Ada Lovelace",u1,ada@uni.edu,"Submitted for grading",,10.00,Yes,"Monday, 2 November 2026",-,\n'
    'Participant 8,"Grace ""Amazing"" Hopper",u2,grace@uni.edu,Submitted,4.00,10.00,Yes,-,-,"Well done,\nGrace"\n'
    "Participant 9,Alan Turing,u3,alan@uni.edu,Submitted,,10.00,No,-,-,\n"
    "Participant 10,=HYPERLINK(1),u4,evil@uni.edu,Submitted,,10.00,Yes,-,-,\n"
)


def test_a_worksheet_of_moodle_is_filled_and_all_else_keeps_its_bytes():
    entries = [entry("Ada Lovelace"), entry("8", 9.0), entry("alan@uni.edu"), entry("Participant 10", 0.0), entry("x")]

    text, said = grade_tables.moodle(entries, MOODLE)

    before, after = cells(MOODLE), cells(text)
    assert [row[5] for row in after] == ["Grade", "5.00", "10.00", "", "0.00"]
    assert [row[10] for row in after[1:]] == ["shares: 4.5 of 9", "Well done,\nGrace", "", "shares: 0 of 9"]
    for old, new in zip(before, after, strict=True):
        assert [value for at, value in enumerate(old) if at not in (5, 10)] == [
            value for at, value in enumerate(new) if at not in (5, 10)
        ]
    assert text.startswith(MOODLE.split("Submitted for grading")[0])
    words = "\n".join(said)
    for part in ("3 marks", "8 4.00 → 10.00", "cannot be changed", "x (not found)", "stays: 8", "1 cell of the file"):
        assert part in words


def test_comments_are_no_formula_no_html_and_only_where_wanted():
    entries = [entry("u1", 4.5), entry("u4", 4.5)]

    text, _ = grade_tables.moodle(entries, MOODLE, feedback=lambda one: '=1+1 <script>alert("x")</script>')

    assert cells(text)[1][10] == '\'=1+1 &lt;script&gt;alert("x")&lt;/script&gt;'
    assert grade_tables.by_step(Entry("u1", "", "", "", MIXED)) == "shares: 1.5 of 3.5"
    assert HIDDEN_NUMBERS not in grade_tables.moodle([Entry("u1", "", "", "", MIXED)], MOODLE)[0]


def test_worksheets_without_a_maximum_or_in_another_language_are_asked_about():
    older = MOODLE.replace(",Maximum grade", "").replace(",10.00", "")
    spanish = MOODLE.replace("Identifier", "Identificador").replace(",Grade,", ",Calificación,")

    with pytest.raises(UsageError, match="no column Maximum grade"):
        grade_tables.moodle([entry("u1")], older)
    with pytest.raises(UsageError, match="lacks Identifier, Grade") as refused:
        grade_tables.moodle([entry("u1")], spanish)
    text, _ = grade_tables.moodle([entry("u1")], older, maximum=100)

    assert "English" in refused.value.mend
    assert cells(text)[1][5] == "50.00"


def test_an_assignment_that_is_graded_in_words_gets_no_number():
    text, said = grade_tables.moodle([entry("u1")], MOODLE.replace("10.00", "Excellent"))

    assert text == MOODLE.replace("10.00", "Excellent")
    assert any("worth 'Excellent'" in line for line in said)


@given(
    st.lists(st.lists(st.text('a,;"\n\r ='), min_size=2, max_size=4), min_size=1, max_size=5), st.sampled_from("\r\n")
)
def test_a_table_is_read_as_python_reads_it_and_written_as_it_was(rows, end):
    text = io.StringIO()
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])

    sheet = Sheet.parse(text.getvalue())

    assert sheet.text() == text.getvalue()
    assert [[sheet.value(row, at) for at in range(len(cells))] for row, cells in enumerate(sheet.rows)] == [
        ["a", "b"],
        *rows,
    ]


@given(st.lists(st.text('a,"\n ='), min_size=2, max_size=4), st.text('a,"\n ='))
def test_a_cell_that_is_written_is_read_back(cells, value):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["a", "b"], cells])
    sheet = Sheet.parse(text.getvalue())

    sheet.put(1, 1, value)

    assert next(iter(list(csv.reader(io.StringIO(sheet.text(), newline="")))[1:])) == [cells[0], value, *cells[2:]]


@pytest.mark.parametrize("value", ["=1+1", "@SUM(A1)", "+1+cmd", "-2+3", "\t=1", " =1", "＝1", "\r=1"])
def test_what_a_spreadsheet_would_calculate_is_made_harmless(value):
    assert is_formula(value) and harmless(value) == f"'{value}"


@pytest.mark.parametrize("value", ["", "-", "-5.00", "+3", "7 of 9", "a=b", "'=1"])
def test_what_it_would_not_calculate_stays(value):
    assert not is_formula(value) and harmless(value) == value


# ---------------------------------------------------------------- marks of nbgrader's gradebook


@pytest.fixture
def course(tmp_path):
    """A folder with a gradebook of nbgrader's in which people have marked by hand, given extra credit and come late."""
    pytest.importorskip("nbgrader", reason="nbgrader is not installed: make setup EXTRAS=nbgrader")
    from nbgrader import api

    (tmp_path / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.course_id = 'term'\nc.CourseDirectory.db_url = 'sqlite:///marks.db'\n"
    )
    with api.Gradebook(f"sqlite:///{tmp_path / 'marks.db'}", "term") as book:
        book.add_assignment("counter")
        book.add_notebook("counter", "counter")
        for name, points, kind in (("a", 2.0, "code"), ("b", 3.0, "code"), ("essay", 4.0, "markdown")):
            book.add_grade_cell(name, "counter", "counter", max_score=points, cell_type=kind)
        book.add_task_cell("drawing", "counter", "counter", max_score=1.0, cell_type="markdown")
        for student, given, penalty in (
            ("s1", {"a": (2.0, None, None), "b": (1.0, 2.5, None), "essay": (None, 3.0, 0.5)}, None),
            ("s2", {"a": (2.0, 1.25, None), "b": (3.0, None, None)}, 1.75),
            ("u1", {"a": (2.0, 0.0, None), "b": (1.0, None, None)}, 4.0),
            ("u2", {name: (None, most, 2.0) for name, most in (("a", 2.0), ("b", 3.0), ("essay", 4.0))}, None),
        ):
            book.add_student(student)
            with book.db.no_autoflush:
                submission = book.add_submission("counter", student)
            submission.notebooks[0].late_submission_penalty = penalty
            for grade in submission.notebooks[0].grades:
                auto, manual, extra = given.get(grade.name, (None, None, None))
                grade.auto_score, grade.manual_score, grade.extra_credit = auto, manual, extra
                grade.needs_manual_grade = student == "s1" and grade.name == "drawing"
        book.add_student("never")
        book.db.commit()
    return tmp_path


def counted_by_nbgrader(course):
    """The column `score` of what `nbgrader export` writes, by student, for those who have a submission."""
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", "export"], cwd=course, capture_output=True, text=True, check=True
    )
    assert "grades.csv" in done.stderr
    rows = list(csv.DictReader((course / "grades.csv").read_text(encoding="utf-8").splitlines()))
    return {row["student_id"]: float(row["score"]) for row in rows if row["student_id"] != "never"}, rows


def test_marks_of_a_gradebook_are_those_that_nbgrader_counts(course):
    entries, said = export.marks_in_course(course)

    theirs, rows = counted_by_nbgrader(course)
    assert {one.student: one.report.score for one in entries} == theirs == {"s1": 8.0, "s2": 2.5, "u1": 0.0, "u2": 15.0}
    assert {float(row["max_score"]) for row in rows} == {10.0} == {one.report.max_score for one in entries}
    assert "Less for being late: s2 4.25 → 2.5; u1 1 → 0." in said
    assert any(line.endswith("their marks may change: s1.") for line in said)


def test_canvas_and_moodle_are_filled_from_a_gradebook(course, command):
    (course / "canvas.csv").write_text(CANVAS, newline="")
    (course / "moodle.csv").write_text(MOODLE, newline="")

    canvas = command("export", "canvas", str(course), str(course / "canvas.csv"), "12", "--unit", "counter")
    moodle = command("export", "moodle", str(course), str(course / "moodle.csv"))

    filled = cells((course / "canvas-filled.csv").read_bytes().decode())
    worksheet = cells((course / "moodle-filled.csv").read_bytes().decode())
    assert (filled[3][6], filled[4][6]) == ("16.00", "5.00") and "u1 (not found)" in canvas.out
    assert [row[5] for row in worksheet[1:3]] == ["0.00", "10.00"]  # 15 of 10 points, of which Moodle takes 10
    assert [row[10] for row in worksheet[1:3]] == ["", "Well done,\nGrace"]
    assert "Moodle takes no more: u2" in " ".join(moodle.out.split())


def test_more_than_the_maximum_is_a_mark_only_with_extra_credit():
    above = [entry("s1", 12.0, 9.0)]

    refused, _ = grade_tables.canvas(above, CANVAS, "12")
    text, said = grade_tables.canvas(above, CANVAS, "12", extra_credit=True)

    assert refused == CANVAS and cells(text)[3][6] == "26.67"
    assert any("Above the maximum, with extra credit: s1." in line for line in said)


def test_a_gradebook_that_is_not_clear_or_not_there_is_a_question(course):
    from nbgrader import api

    with pytest.raises(UsageError, match="no assignment 'contour'") as misspelt:
        export.marks_in_course(course, "contour")
    with api.Gradebook(f"sqlite:///{course / 'marks.db'}", "term") as book:
        book.add_assignment("essay")
    with pytest.raises(UsageError, match="--unit") as several:
        export.marks_in_course(course)
    with pytest.raises(UsageError, match="Nobody has marks for essay"):
        export.marks_in_course(course, "essay")
    (course / "nbgrader_config.py").write_text("c = get_config(\n")
    with pytest.raises(UsageError, match="cannot be read"):
        export.marks_in_course(course, "counter")
    with pytest.raises(UsageError, match="no nbgrader course"):
        export.marks_in_course(course / "nothing", "counter")

    assert "counter" in misspelt.value.mend and "counter, essay" in several.value.mend


# ---------------------------------------------------------------- JPlag


def notebook(*sources):
    return Submission("counter.ipynb", tuple(Cell(source, number) for number, source in enumerate(sources, 1)))


def test_jplag_gets_a_folder_a_student_and_the_stub_as_base_code(tmp_path):
    handed = [
        ("Ada", "counter", Submission("counter.py", (Cell(SOURCES.solution),))),
        ("Grace", "counter", notebook("import numpy as np", "def shares(counts):\n    return counts")),
        ("Alan", "counter", Submission("counter.py", (), "The file is binary.")),
    ]

    said = export.jplag(handed, tmp_path / "out", Course(TOY))

    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {
        "README.md",
        "names.csv",
        "counter/base_code/counter.py",
        "counter/submissions/Ada/counter.py",
        "counter/submissions/Grace/counter.py",
    }
    assert (tmp_path / "out/counter/base_code/counter.py").read_text(encoding="utf-8") == SOURCES.stub
    compile((tmp_path / "out/counter/submissions/Grace/counter.py").read_text(encoding="utf-8"), "x", "exec")
    readme = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "-l python3 -bc counter/base_code -r counter-result counter/submissions" in readme
    assert any("Alan (counter.py)" in line for line in said)


def test_nothing_of_the_solution_goes_to_jplag(tmp_path):
    stub = Submission("counter.py", (Cell(SOURCES.stub),))

    export.jplag([("Ada", "counter", stub), ("Grace", "counter", stub)], tmp_path / "out", Course(TOY))

    everything = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert "np.bincount(tokens.ravel()" in SOURCES.solution
    assert "np.bincount(tokens.ravel()" not in everything


NAMES = [
    "../../etc",
    "a/b",
    "a\\b",
    "CON",
    "nul.txt",
    "Ada",
    "ADA",
    "ada ",
    "",
    "…",
    "-rf",
    "Zoë",
    "Zoe\u0308",
    "x" * 300,
]


def test_every_name_becomes_a_folder_of_its_own_on_every_system(tmp_path):
    names = export.folder_names([*NAMES, "Ada"])

    assert list(names) == NAMES
    made = list(names.values())
    assert len({export._folded(name) for name in made}) == len(made)
    for name in made:
        assert name == Path(name).name and name not in (".", "..") and name.strip(" .") == name
        assert not set(name) & set('<>:"/\\|?*') and not name.startswith("-") and len(name) < 80
        assert not export.RESERVED.match(name)
    assert names["Ada"] == "Ada" and names["Zoë"] == "Zoë"


def test_code_of_strange_names_stays_under_the_folder(tmp_path):
    code = Submission("counter.py", (Cell("x = 1"),))

    export.jplag([(name, "counter", code) for name in [*NAMES, "=cmd()"]], tmp_path / "a" / "b" / "out", Course(TOY))

    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    folder = tmp_path / "a" / "b" / "out"
    assert all(path.is_relative_to(folder) for path in written)
    assert len(list((folder / "counter" / "submissions").iterdir())) == len(NAMES) + 1
    assert "'=cmd()" in (folder / "names.csv").read_text(encoding="utf-8")


def test_two_files_of_one_student_stand_in_one_folder(tmp_path):
    files = [("Ada", "counter", Submission("counter.py", (Cell(f"x = {number}"),))) for number in (1, 2)]

    said = export.jplag(files, tmp_path / "out", Course(TOY))

    folder = tmp_path / "out" / "counter" / "submissions" / "Ada"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "counter.py": "x = 1\n",
        "counter_2.py": "x = 2\n",
    }
    assert any("Only one student" in line for line in said)


def test_jplag_needs_submissions_and_a_new_folder(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    broken = Submission("counter.py", (), "The file is empty.")

    with pytest.raises(UsageError, match="already"):
        export.jplag([("Ada", "counter", broken)], tmp_path, Course(TOY))
    with pytest.raises(UsageError, match="no submissions"):
        export.jplag([], tmp_path / "out", Course(TOY))
    with pytest.raises(UsageError, match="None of the submissions"):
        export.jplag([("Ada", "counter", broken)], tmp_path / "out", Course(TOY))
    with pytest.raises(UsageError, match="no exercise"):
        export.jplag([("Ada", "conter", broken)], tmp_path / "out", Course(TOY))
