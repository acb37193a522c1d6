"""The command line: what it grades, what it says, and its exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest

from grader.model.types import Limits
from grader.shell import cli, commands
from grader.system.course import Course
from grader.system.host import Server
from grader.verbs.check import Grading

POSIX = sys.platform != "win32"
ENGINE_ROOT = Path(__file__).resolve().parents[2]
WRONG = [
    "divides_by_the_largest",
    "shares_of_nothing_are_even",
    "counts_a_token_once",
    "forgets_what_was_counted",
    "last_of_a_tie",
    "merges_into_the_first",
    "merges_by_the_larger",
]
RIGHT = ["solution", "loop_form", "in_place_form"]


def reports(said) -> list[dict]:
    return [json.loads(line) for line in said.out.splitlines()]


def without_solutions(toy: Path) -> None:
    shutil.move(toy / "solutions", toy.parent / "kept away")
    (toy / "grader").mkdir()  # a kit brings the engine along


# ---------------------------------------------------------------- check


@pytest.mark.parametrize("name", RIGHT)
def test_right_variants_get_full_marks(toy, command, name):
    said = command("check", "counter", "--as", name, "--json")

    (report,) = reports(said)
    assert said.code == 0
    assert report["status"] == "passed"
    assert report["score"] == report["max_score"] == 9


@pytest.mark.parametrize("name", WRONG)
def test_wrong_variants_lose_points_and_are_named(toy, command, name):
    said = command("check", "counter", "--as", name, "--json")

    (report,) = reports(said)
    assert report["score"] < report["max_score"]
    assert {idea for check in report["checks"] for idea in check["looks_like"]} == {name}
    assert said.code == (0 if report["status"] == "passed" else 1)


def test_a_failed_stretch_step_holds_nothing_up(toy, command):
    said = command("check", "counter", "--as", "merges_by_the_larger", "--json")

    assert said.code == 0
    assert reports(said)[0]["status"] == "passed"


def test_the_untouched_stub_is_not_started(toy, command):
    said = command("check", "counter")

    assert said.code == 1
    assert "not started" in said.out
    assert "Begin with shares" in said.out
    assert "grader watch counter" in said.out


@pytest.mark.parametrize("wanted", ["counter", "ex01_counter", "01", "exercises/ex01_counter/counter.py"])
def test_an_exercise_is_named_in_four_ways(toy, command, wanted):
    said = command("check", wanted, "--as", "solution", "--json")

    assert reports(said)[0]["exercise"] == "counter"


def test_without_a_name_every_exercise_is_graded(toy, command):
    command("new", "layer_norm")
    command("build")

    said = command("check", "--as", "solution", "--json")

    assert [report["exercise"] for report in reports(said)] == ["counter", "layer_norm"]
    assert {report["status"] for report in reports(said)} == {"passed"}


def test_several_exercises_pass_only_together(toy, command, module, solution):
    command("new", "layer_norm")
    command("build")
    module.write_text(solution, encoding="utf-8")

    said = command("check")

    assert said.code == 1
    assert "counter   9 of 9 points" in said.out
    assert "layer_norm   0 of 2 points" in said.out


def test_the_learners_own_file_is_graded_and_named(toy, command, module, solution):
    module.write_text(solution, encoding="utf-8")

    said = command("check", "counter", "--json")

    assert said.code == 0
    assert reports(said)[0]["submission"] == os.path.join("exercises", "ex01_counter", "counter.py")


def test_an_edited_notebook_is_graded_where_the_module_is_untouched(toy, command, module, solution):
    book = module.with_suffix(".ipynb")
    cells = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": solution}]
    book.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}), encoding="utf-8")

    said = command("check", "counter")

    assert said.code == 0
    assert "Graded is your notebook: counter.py is as it was printed." in said.out
    assert "9 of 9 points" in said.out


def test_a_named_file_is_graded_wherever_it_lies(toy, command, solution, tmp_path):
    file = tmp_path / "meine Lösung ü.py"
    file.write_text(solution.replace("total = counts.sum()", "total = counts.max()"), encoding="utf-8")

    said = command("check", "--submission", str(file))

    assert said.code == 1
    assert "divided by the largest count" in said.out


def test_a_submission_that_cannot_be_read_as_python_is_broken(toy, command, module):
    module.write_text("def shares(counts:\n", encoding="utf-8")

    said = command("check", "counter")

    assert said.code == 1
    assert "cannot be graded as it is" in said.out
    assert "counter.py, line 1" in said.out


def test_all_shows_what_one_step_at_a_time_hides(toy, command):
    short = command("check", "counter", "--as", "counts_a_token_once").out
    long = command("check", "counter", "--as", "counts_a_token_once", "--all").out

    assert "a merged counter holds the counts of both" not in short
    assert "a merged counter holds the counts of both" in long


def test_public_leaves_the_hidden_checks_out_and_says_so(toy, command):
    said = command("check", "counter", "--as", "solution", "--public")
    (report,) = reports(command("check", "counter", "--as", "solution", "--public", "--json"))

    assert "Only the public checks were run." in said.out
    assert report["scope"] == "public"
    assert not any(check["hidden"] for check in report["checks"])


def test_another_seed_draws_other_inputs_and_is_printed(toy, command):
    said = command("check", "counter", "--as", "divides_by_the_largest", "--seed", "12")

    assert "drawn with seed 12" in said.out
    assert "divided by the largest count" in said.out


def test_json_is_the_only_thing_on_standard_output(toy, command, module, solution):
    module.write_text(solution + "\nprint('from the submission')\n", encoding="utf-8")

    said = command("check", "counter", "--json")

    assert len(said.out.splitlines()) == 1
    assert list(reports(said)[0]) == [
        "schema", "exercise", "submission", "scope", "seed", "status", "score", "max_score", "seconds", "message",
        "checks",
    ]  # fmt: skip


def test_what_a_submission_prints_is_shown(toy, command, module, solution):
    module.write_text(solution + "\nprint('from the submission')\n", encoding="utf-8")

    said = command("check", "counter")

    assert "printed" in said.out
    assert "from the submission" in said.out


def test_junit_has_a_test_case_for_each_check(toy, command, tmp_path):
    file = tmp_path / "out" / "junit.xml"

    said = command("check", "counter", "--as", "divides_by_the_largest", "--junit", str(file))

    suite = ElementTree.parse(file).getroot().find("testsuite")
    assert said.code == 1
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("9", "2", "0")
    assert len(suite.findall("testcase")) == 9
    assert "largest count" in suite.find("testcase/failure").text


def test_a_junit_file_that_cannot_be_written_is_said_after_the_verdict(toy, command):
    said = command("check", "counter", "--as", "solution", "--junit", "exercises/ex01_counter/counter.py/junit.xml")

    assert said.code == 2
    assert "9 of 9 points" in said.out
    assert "cannot be written" in said.err


def test_without_fork_each_submission_gets_a_process_of_its_own(toy, command, monkeypatch):
    monkeypatch.setattr("grader.system.host.can_fork", lambda: False)

    right = command("check", "counter", "--as", "solution")
    wrong = command("check", "counter", "--as", "divides_by_the_largest")

    assert (right.code, wrong.code) == (0, 1)
    assert "divided by the largest count" in " ".join(wrong.out.split())


# ---------------------------------------------------------------- wrong usage


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("check", "countre"), "Did you mean counter?"),
        (("check", "counter", "--as", "loopform"), "Did you mean loop_form"),
        (("check", "counter", "--as", "solution", "--submission", "a.py"), "name two things"),
        (("check", "counter", "--submission", "nowhere.py"), "There is no file nowhere.py"),
        (("check", "counter", "--submission", "exercises"), "is a folder"),
        (("check", "counter", "--require", "moat"), "There is no layer 'moat'"),
        (("hint", "countre"), "Did you mean counter?"),
        (("watch", "countre"), "Did you mean counter?"),
        (("run", "counter", "--solution"), "has no experiment"),
        (("solution", "counter"), "has not been passed yet"),
        (("new", "Counter"), "is no name"),
        (("check", "--no-such-option"), "No such option"),
        (("no_such_command",), "No such command"),
    ],
)
def test_wrong_usage_is_one_message_on_standard_error_and_exit_code_two(toy, command, words, says):
    said = command(*words)

    assert said.code == 2
    assert says in " ".join(said.err.split())
    assert "Traceback" not in said.err
    assert "points" not in said.out


def test_outside_of_a_course_the_mend_is_named(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("grader.system.course.__file__", str(tmp_path / "a" / "b" / "course.py"))

    said = command("check")

    assert said.code == 2
    assert "No course was found here." in said.err


def test_a_file_for_no_exercise_in_particular_has_to_be_assigned(toy, command, solution, tmp_path):
    command("new", "layer_norm")
    file = tmp_path / "mine.py"
    file.write_text(solution, encoding="utf-8")

    unclear = command("check", "--submission", str(file))
    two = command("check", "counter", "layer_norm", "--submission", str(file))
    file.rename(tmp_path / "counter.py")
    clear = command("check", "--submission", str(tmp_path / "counter.py"))

    assert (unclear.code, two.code, clear.code) == (2, 2, 0)
    assert "Which exercise" in unclear.err
    assert "one file, for one exercise" in two.err


# ---------------------------------------------------------------- layers


@pytest.fixture
def without_landlock(monkeypatch):
    @contextmanager
    def server(state):
        with Server(without=frozenset({"landlock"})) as server:
            yield server

    monkeypatch.setattr(commands, "worker_server", server)


def test_require_refuses_where_a_layer_is_missing(toy, command, without_landlock):
    said = command("check", "counter", "--as", "solution", "--require", "landlock")

    assert said.code == 2
    assert said.out == ""
    assert "landlock" in said.err
    assert "grader doctor" in said.err


def test_require_grades_where_the_layer_holds(toy, command):
    with Server() as server, server.open(Limits()) as worker:
        here = worker.layers
    if not here:
        pytest.skip("no layer holds on this system")

    said = command("check", "counter", "--as", "solution", "--require", here[0])

    assert said.code == 0


def test_a_learner_is_told_of_missing_layers_once_and_never_refused(toy, command, module, solution, without_landlock):
    module.write_text(solution, encoding="utf-8")

    first, second = command("check", "counter"), command("check", "counter")

    assert (first.code, second.code) == (0, 0)
    assert "landlock" in first.err
    assert "landlock" not in second.err


# ---------------------------------------------------------------- a kit without solutions


def test_without_solutions_the_public_checks_still_judge_and_name(toy, command, module, solution):
    module.write_text(solution.replace("total = counts.sum()", "total = counts.max()"), encoding="utf-8")
    without_solutions(toy)

    (report,) = reports(command("check", "counter", "--json"))

    assert report["scope"] == "public"
    assert report["status"] == "failed"
    assert report["checks"][0]["looks_like"] == ["divides_by_the_largest"]


def test_without_solutions_other_commands_say_so(toy, command):
    without_solutions(toy)

    variant = command("check", "counter", "--as", "loop_form")
    seed = command("check", "counter", "--seed", "3")
    solution = command("solution", "counter", "--spoil")
    hint = command("hint", "counter")
    reset = command("reset", "counter")

    assert (variant.code, seed.code, solution.code, hint.code, reset.code) == (2, 2, 2, 0, 0)
    assert "no variants" in variant.err
    assert "not part of this kit" in solution.err
    assert "What do all shares add up to?" in hint.out
    assert "--spoil" not in hint.out


# ---------------------------------------------------------------- hint, reset, solution, status


def test_hints_come_one_by_one_and_end_at_the_solution(toy, command):
    told = [command("hint", "counter").out for _ in range(5)]

    assert [f"hint {number} of 4" in text for number, text in zip((1, 2, 3, 4, 4), told, strict=True)] == [True] * 5
    assert "What do all shares add up to?" in told[0]
    assert "grader solution counter --spoil" not in told[2]
    assert "grader solution counter --spoil" in told[3]
    assert all(f"  {number}  " in told[4] for number in (1, 2, 3, 4))


def test_a_diagnosed_idea_asks_its_own_question_first(toy, command, module, solution):
    module.write_text(solution.replace("total = counts.sum()", "total = counts.max()"), encoding="utf-8")

    first, second = command("hint", "counter").out, command("hint", "counter").out

    assert "What do your shares add up to, and what should they?" in " ".join(first.split())
    assert "hint 1 of 4" in first
    assert "hint 2 of 4" in second


def test_a_hint_is_for_the_file_as_it_is_now(toy, command, module, solution):
    command("check", "counter")
    module.write_text(solution.replace("self.counts = self.counts + found", "pass"), encoding="utf-8")

    said = command("hint", "counter")

    assert "Counting tokens" in said.out


def test_where_all_is_done_there_is_no_hint(toy, command, module, solution):
    module.write_text(solution, encoding="utf-8")

    said = command("hint", "counter")

    assert said.code == 0
    assert "nothing to hint at" in said.out


def test_a_file_that_cannot_be_graded_gets_its_problem_for_a_hint(toy, command, module):
    module.write_text("def shares(counts:\n", encoding="utf-8")

    said = command("hint", "counter")

    assert "cannot be graded yet" in said.out
    assert "counter.py, line 1" in said.out


def test_an_empty_file_of_ones_own_can_be_had_as_it_was_and_somebody_elses_is_only_empty(
    toy, command, module, tmp_path
):
    module.write_text("", encoding="utf-8")
    other = tmp_path / "other.py"
    other.write_text("", encoding="utf-8")

    own, handed_in = command("check", "counter"), command("check", "counter", "--submission", str(other))

    assert "The file is empty. `grader reset` writes the stub again." in own.out
    assert "The file is empty." in handed_in.out and "grader reset" not in handed_in.out


def test_reset_keeps_the_work_beside_and_never_loses_a_backup(toy, command, module):
    stub = module.read_bytes()
    module.write_text("first = 1\n", encoding="utf-8")
    first = command("reset", "counter")
    module.write_text("second = 2\n", encoding="utf-8")
    second = command("reset", "counter")
    third = command("reset", "counter")

    kept = sorted(path.read_text(encoding="utf-8") for path in module.parent.glob("counter.py.bak-*"))
    assert kept == ["first = 1\n", "second = 2\n"]
    assert module.read_bytes() == stub
    assert "is kept as counter.py.bak-" in first.out
    assert "is the stub again" in second.out
    assert "is the stub already" in third.out


def test_reset_prints_a_file_that_is_gone(toy, command, module):
    stub = module.read_bytes()
    module.unlink()

    gone = command("check", "counter")
    command("reset", "counter")

    assert gone.code == 2
    assert "grader reset counter" in gone.err
    assert module.read_bytes() == stub


def test_the_solution_opens_after_passing_with_other_ways(toy, command, module, solution):
    early = command("solution", "counter")
    module.write_text(solution, encoding="utf-8")
    command("check", "counter")
    late = command("solution", "counter")

    assert early.code == 2
    assert "--spoil" in early.err
    assert late.code == 0
    assert solution.rstrip() in late.out
    assert "loop_form" in late.out
    assert "np.add.at(self.counts, tokens.ravel(), 1)" in late.out


def test_the_solution_keeps_a_stretch_step_closed_that_is_not_passed(toy, command, module, solution):
    module.write_text(solution.replace("both.counts = self.counts + other.counts", "pass"), encoding="utf-8")
    command("check", "counter")

    said = command("solution", "counter")
    spoiled = command("solution", "counter", "--spoil")

    assert said.code == 0
    assert "both.counts" not in said.out
    assert "Counter.merged" in said.out
    assert "both.counts" in spoiled.out


def test_status_is_the_board(toy, command, module, solution):
    before = command("status").out
    module.write_text(solution, encoding="utf-8")
    command("check", "counter")
    after = command("status").out

    assert "0 of 9 points" in before
    assert "grader watch counter" in before
    assert "9 of 9 points" in after
    assert "3 of 3 steps" in after
    assert "M2  explain the division by √d_k" in after


def test_somebody_elses_file_and_variants_are_no_progress_of_the_learner(toy, command, solution, tmp_path):
    file = tmp_path / "counter.py"
    file.write_text(solution, encoding="utf-8")
    command("check", "counter", "--submission", str(file))
    command("check", "counter", "--as", "solution")

    assert "0 of 9 points" in command("status").out


# ---------------------------------------------------------------- the command line itself


@pytest.mark.parametrize("name", sorted(commands.grader.commands))
def test_every_help_shows_an_example_within_80_columns(name):
    words = [name, "--help"]

    with click.Context(commands.grader) as context:
        text = commands.grader.commands[name].get_help(click.Context(commands.grader.commands[name], context, name))

    assert "Example:" in text, words
    assert f"grader {name}" in text
    assert max(map(len, text.splitlines())) <= 80


def test_every_screen_keeps_to_80_columns(toy, command):
    texts = [
        command("check", "counter", "--as", "divides_by_the_largest", "--all").out,
        command("check", "counter").out,
        command("status").out,
        command("hint", "counter").out,
        command("--help").out,
        command("reset", "counter").out,
    ]

    assert max(len(line) for text in texts for line in text.splitlines()) <= 80


def test_no_colour_goes_to_what_is_no_terminal(toy, command):
    assert "\x1b" not in command("check", "counter", "--as", "divides_by_the_largest").out


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"], ["status"], ["solution", "counter"]])
def test_no_worker_is_started_for_what_grades_nothing(words):
    assert cli._launched_early(words) is None


def process(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ENGINE_ROOT), "PYTHONIOENCODING": "utf-8", **more}
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )


def test_a_numpy_beside_the_learner_is_never_imported(toy):
    (toy / "numpy.py").write_text("raise SystemExit('the wrong numpy')\n", encoding="utf-8")
    (toy / "click.py").write_text("raise SystemExit('the wrong click')\n", encoding="utf-8")

    said = process("-m", "grader", "check", "counter", "--as", "solution", cwd=toy)

    assert said.returncode == 0, said.stderr
    assert "9 of 9 points" in said.stdout


def test_plain_characters_where_the_terminal_has_no_others(toy):
    words = ("check", "counter", "--as", "divides_by_the_largest")
    said = process("-m", "grader", *words, cwd=toy, PYTHONIOENCODING="ascii")

    assert said.returncode == 1
    assert "x Counts as shares of one" in said.stdout
    assert said.stdout.isascii()


def test_exercises_variants_and_commands_are_completed(toy):
    def completed(line: str, word: int) -> str:
        variables = {"_GRADER_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(word)}
        return process("-c", "from grader.shell.cli import main; main()", cwd=toy, **variables).stdout

    assert "counter" in completed("grader check co", 2)
    assert "loop_form" in completed("grader check counter --as lo", 4)
    assert "solution" in completed("grader so", 1)


@pytest.mark.skipif(not POSIX, reason="there is no such signal to send")
def test_ctrl_c_ends_with_130_and_no_trace(toy, tmp_path):
    endless = tmp_path / "counter.py"
    endless.write_text("while True:\n    pass\n")
    environment = {**os.environ, "PYTHONPATH": str(ENGINE_ROOT)}
    words = ["-m", "grader", "check", "counter", "--submission", str(endless)]
    running = subprocess.Popen(
        [sys.executable, *words], cwd=toy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    time.sleep(3)  # long enough to be at it, short of the seconds that a file may take to load
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)

    assert running.returncode == 130
    assert "Traceback" not in out + err


def test_the_first_wrong_verdict_comes_without_names_and_again_with_them(toy, module, solution):
    module.write_text(solution.replace("total = counts.sum()", "total = counts.max()"), encoding="utf-8")
    course, early = Course(toy), []
    with Server() as server:
        grading = Grading(course, course.find("counter"), server, say=print)
        first = grading.grade(grading.own(), early.append)
        second = grading.grade(grading.own(), early.append)

    named = [check.looks_like for check in first.checks if check.outcome == "failed"]
    assert [check.outcome for check in early[0].checks] == [check.outcome for check in first.checks]
    assert len(early) == 1 and not any(check.looks_like for check in early[0].checks)
    assert named and all(ideas == ["divides_by_the_largest"] for ideas in named)
    assert second.checks == first.checks


def test_a_right_file_waits_for_no_recording(toy, module, solution, command):
    module.write_text(solution, encoding="utf-8")

    assert command("check", "counter").code == 0
    assert not (toy / ".grader" / "tapes").exists()
