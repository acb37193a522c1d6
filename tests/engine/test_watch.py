"""Watching, driven through a pseudo-terminal as a learner at a keyboard would."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from grader.system.course import Course
from grader.system.host import Server
from grader.verbs.grading import refresh_cache

pexpect = pytest.importorskip("pexpect")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a matter of POSIX")

ENGINE_ROOT = Path(__file__).resolve().parents[2]
FOOT = "Enter grade again"
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ENGINE_ROOT),
    "PYTHONIOENCODING": "utf-8",
    "TERM": "xterm",
    "NO_COLOR": "1",
}
PATIENCE = 60  # seconds until a test gives up; nothing here measures time


@pytest.fixture(scope="module")
def recorded(printed_toy, tmp_path_factory):
    """The toy course's folder of what was recorded of the answers of wrong ideas."""
    root = Path(shutil.copytree(printed_toy, tmp_path_factory.mktemp("recorded") / "course"))
    with Server() as server:
        refresh_cache(Course(root), Course(root).find("counter"), server)
    return root / ".grader"


@pytest.fixture
def watcher(toy, recorded):
    """A watcher in a terminal of its own, as soon as it has shown its first verdict; nothing is left to record."""
    started = []
    shutil.copytree(recorded, toy / ".grader")

    def start(*words: str, **more: str):
        child = pexpect.spawn(
            sys.executable,
            ["-m", "grader", "watch", *words],
            cwd=str(toy),
            env={**ENVIRONMENT, **more},
            encoding="utf-8",
            dimensions=(40, 100),
            timeout=PATIENCE,
        )
        started.append(child)
        child.expect(FOOT)
        return child

    yield start
    for child in started:
        child.close(force=True)


def leave(child) -> int:
    child.send("q")
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def save(path: Path, text: str) -> None:
    """As vim and many others do: a new file takes the place of the old one."""
    new = path.with_name(f".{path.name}.swp")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def wrong(solution: str) -> str:
    return solution.replace("total = counts.sum()", "total = counts.max()")


def test_a_save_is_graded_and_the_time_is_shown(watcher, module, solution):
    child = watcher("counter")

    module.write_text(wrong(solution), encoding="utf-8")
    child.expect("divided by the largest count")
    child.expect(r"verdict \d+\.\d\d s after the change was seen")
    child.expect(FOOT)
    module.write_text(solution, encoding="utf-8")
    child.expect("9 of 9 points")
    child.expect(FOOT)

    assert leave(child) == 0


def test_while_nothing_is_written_yet_the_answers_of_wrong_ideas_are_recorded(watcher, toy, module, solution):
    shutil.rmtree(toy / ".grader")
    child = watcher("counter")

    child.expect("Recording what every wrong idea answers")
    child.expect("Done.")
    assert list((toy / ".grader" / "tapes").glob("counter-*.tape"))
    save(module, wrong(solution))
    child.expect("divided by the largest count")
    child.expect(FOOT)

    assert leave(child) == 0


def test_an_editors_atomic_save_is_seen_time_and_again(watcher, module, solution):
    child = watcher("counter")

    for points, text in [(7, wrong(solution)), (9, solution), (7, wrong(solution)), (9, solution)]:
        save(module, text)
        child.expect(f"{points} of 9 points")
        child.expect(FOOT)

    assert leave(child) == 0


def test_a_half_saved_file_is_named_and_graded_again_when_it_is_whole(watcher, module, solution):
    child = watcher("counter")

    module.write_text(solution[: solution.index("bincount(tokens") + 12], encoding="utf-8")
    child.expect("cannot be graded as it is")
    child.expect("not valid Python")
    child.expect(FOOT)
    module.write_text(solution, encoding="utf-8")
    child.expect("9 of 9 points")
    child.expect(FOOT)

    assert leave(child) == 0


def test_a_deleted_file_is_waited_for(watcher, module, solution):
    child = watcher("counter")

    module.unlink()
    child.expect(r"waiting for \S*counter\.py")
    child.expect(FOOT)
    save(module, solution)
    child.expect("9 of 9 points")
    child.expect(FOOT)

    assert leave(child) == 0


def test_a_folder_that_is_taken_away_and_put_back_is_watched_on(watcher, module, solution):
    child = watcher("counter")

    away = module.parent.with_name("away")
    module.parent.rename(away)
    child.expect("waiting for")
    away.rename(module.parent)
    child.expect("not started")
    save(module, solution)
    child.expect("9 of 9 points")

    assert leave(child) == 0


def test_the_notebook_is_watched_too(watcher, module, solution):
    import json

    child = watcher("counter")

    cells = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": wrong(solution)}]
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    save(module.with_suffix(".ipynb"), json.dumps(book))
    child.expect("7 of 9 points")
    child.expect("Graded is your notebook")

    assert leave(child) == 0


def test_keys_give_a_hint_the_next_step_and_the_list(watcher, module, solution):
    two_open = wrong(solution).replace("self.counts = self.counts + found", "self.counts = found")
    module.write_text(two_open, encoding="utf-8")
    child = watcher("counter")

    child.send("h")
    child.expect("hint 1 of 4")
    child.expect("What do your shares add up to")
    child.send("n")
    child.expect("counts of two calls add up")
    child.expect(FOOT)
    child.send("l")
    child.expect("a merged counter holds the counts of both")
    child.expect("milestones")
    child.expect(FOOT)
    child.send("\r")
    child.expect(r"verdict in \d")
    child.expect(FOOT)

    assert leave(child) == 0


def test_reset_asks_first_and_keeps_the_work(watcher, module, solution):
    stub = module.read_text(encoding="utf-8")
    module.write_text(solution, encoding="utf-8")
    child = watcher("counter")

    child.send("r")
    child.expect("any other key no")
    child.send("x")
    child.expect("Nothing was changed.")
    untouched = module.read_text(encoding="utf-8")
    child.send("r")
    child.expect("any other key no")
    child.send("y")
    child.expect("is the stub again")
    leave(child)

    assert untouched == solution
    assert module.read_text(encoding="utf-8") == stub
    (backup,) = module.parent.glob("counter.py.bak-*")
    assert backup.read_text(encoding="utf-8") == solution


def test_next_goes_on_to_the_next_exercise_after_passing(watcher, command, module, solution):
    command("new", "layer_norm")
    command("build")
    module.write_text(solution, encoding="utf-8")
    child = watcher("counter")

    child.send("n")
    child.expect("layer_norm   0 of 2 points")
    child.expect(FOOT)

    assert leave(child) == 0


def test_without_a_name_the_first_unfinished_exercise_is_watched(watcher, command, module, solution):
    command("new", "layer_norm")
    command("build")
    module.write_text(solution, encoding="utf-8")
    command("check", "counter")

    child = watcher()

    assert "layer_norm" in child.before
    assert leave(child) == 0


def test_ctrl_c_leaves_with_130_without_a_trace_and_the_terminal_as_it_was(toy):
    # A shell of our own holds the terminal, to look at its modes before and after.
    script = textwrap.dedent(
        """
        import subprocess, sys, termios
        before = termios.tcgetattr(0)
        running = subprocess.Popen([sys.executable, "-m", "grader", "watch", "counter"])
        while True:
            try:
                code = running.wait()
                break
            except KeyboardInterrupt:
                continue
        print("code", code, "same modes", termios.tcgetattr(0) == before)
        """
    )
    settings = {"cwd": str(toy), "env": ENVIRONMENT, "encoding": "utf-8", "timeout": PATIENCE}
    child = pexpect.spawn(sys.executable, ["-c", script], dimensions=(40, 100), **settings)

    child.expect(FOOT)
    child.sendintr()
    child.expect(r"code (\d+) same modes (\w+)")

    assert child.match.groups() == ("130", "True")
    assert "Traceback" not in child.before
    child.close(force=True)


def test_without_a_terminal_it_grades_at_every_save_and_takes_no_keys(toy, module, solution, tmp_path):
    log = tmp_path / "log"
    with log.open("w") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", "grader", "watch", "counter"],
            cwd=toy, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            waited_for(log, "not started")
            module.write_text(solution, encoding="utf-8")
            text = waited_for(log, "9 of 9 points")
        finally:
            running.send_signal(signal.SIGTERM)
            code = running.wait(PATIENCE)

    assert code == 143
    assert "\x1b" not in text
    assert FOOT not in text


def waited_for(log: Path, text: str) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        said = log.read_text(encoding="utf-8")
        if re.search(text, said):
            return said
        time.sleep(0.05)
    raise AssertionError(f"{text!r} never came; there was:\n{log.read_text(encoding='utf-8')}")
