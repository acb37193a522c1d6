"""Which packages a worker has loaded, and what is said where PyTorch is missing."""

from __future__ import annotations

import importlib.util
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from grader.model.errors import EnvironmentProblem
from grader.model.types import Limits
from grader.shell import cli, commands
from grader.system import launch
from grader.system.course import Course
from grader.system.host import Server
from grader.system.launch import PACKAGES, TORCH_PACKAGES, can_fork, demand, framework_of, packages_for
from grader.verbs import grading

TORCH_TOY = Path(__file__).resolve().parents[1] / "toy_course" / "torch"
HEAD = '{{"exercise": "{}", "description": {{"title": "T", "framework": "{}"}}, "format": 1}}\n'
WORDS = [
    "gate", "ex03_gate", "exercises/ex03_gate", "exercises/ex03_gate/", "./exercises/ex03_gate", "solutions/ex03_gate",
    "exercises/ex03_gate/gate.py", "exercises/ex03_gate/gate.ipynb", "/elsewhere/ex09_gate",
]  # fmt: skip
OTHERS = [
    "counter", "exercises/ex01_counter/counter.py", "old", "nothing", "ex03_", "gat", "*", "g[a]te", "", ".", "..", "/",
    "ex03_gate.toml", "gate\0", "a folder", "ex77_folder",
]  # fmt: skip


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course with exercises in both frameworks; one says none, as the first ones did."""
    root = tmp_path / "a course"
    descriptions = {"ex01_counter": "numpy", "ex02_old": None, "ex03_gate": "torch", "ex77_folder": "a folder"}
    for name, framework in descriptions.items():
        (root / "solutions" / name).mkdir(parents=True)
        (root / "exercises" / name).mkdir(parents=True)
        path = root / "solutions" / name / "exercise.toml"
        if framework == "a folder":
            path.mkdir()
            continue
        line = f'framework = "{framework}"\n' if framework else ""
        path.write_text(f'title = "torch, and more"\n{line}allowed_imports = ["torch"]\n', encoding="utf-8")
    return root


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """The same without solutions: tapes say it."""
    root = tmp_path / "a kit"
    (root / "tapes").mkdir(parents=True)
    for name, framework in [("gate", "torch"), ("counter", "numpy")]:
        (root / "exercises" / f"ex03_{name}").mkdir(parents=True)
        (root / "tapes" / f"{name}.tape").write_bytes(HEAD.format(name, framework).encode() + b"\xff of a body")
    return root


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system on which PyTorch is not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "torch" else find(name, *more))


# ---------------------------------------------------------------- what a word means


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("where", ["course", "kit"])
def test_a_word_for_a_torch_exercise_is_known(word, where, request, monkeypatch):
    root = request.getfixturevalue(where)
    monkeypatch.chdir(root)

    assert framework_of(word, root) == "torch"
    assert packages_for(framework_of(word, root)) == TORCH_PACKAGES


@pytest.mark.parametrize("word", OTHERS)
@pytest.mark.parametrize("where", ["course", "kit"])
def test_any_other_word_means_numpy(word, where, request, monkeypatch):
    root = request.getfixturevalue(where)
    monkeypatch.chdir(root)

    assert framework_of(word, root) == "numpy"
    assert packages_for("numpy") == PACKAGES


@pytest.mark.parametrize("word", [".", "gate.py", "gate"])
def test_the_folder_that_one_stands_in_counts(course, word, monkeypatch):
    here = course / "exercises" / "ex03_gate"
    monkeypatch.chdir(here)

    assert framework_of(word, here) == "torch"


def test_outside_of_a_course_everything_is_numpy(tmp_path):
    assert framework_of("gate", tmp_path) == "numpy"


@pytest.mark.skipif(not can_fork(), reason="nothing is launched early here")
@pytest.mark.parametrize(
    ("words", "packages"),
    [
        (["check", "gate"], TORCH_PACKAGES),
        (["check", "--public", "gate", "--json"], TORCH_PACKAGES),
        (["watch", "exercises/ex03_gate/gate.py"], TORCH_PACKAGES),
        (["check", "counter"], PACKAGES),
        (["check"], PACKAGES),
        ([], PACKAGES),
    ],
)
def test_the_server_that_starts_early_has_what_the_exercise_needs(course, words, packages, monkeypatch):
    monkeypatch.chdir(course)
    monkeypatch.setattr(launch, "launch", lambda packages: packages)

    assert cli._launched_early(words) == packages


# ---------------------------------------------------------------- without PyTorch


def test_numpy_is_never_demanded_in_vain(no_torch):
    demand(PACKAGES)
    demand(())


def test_a_missing_torch_is_told_with_what_installs_it(no_torch):
    with pytest.raises(EnvironmentProblem, match="needs PyTorch, which is not installed here") as caught:
        demand(TORCH_PACKAGES)

    assert "make setup EXTRAS=torch" in caught.value.mend and caught.value.exit_code == 2


def test_naming_a_recording_needs_no_torch(no_torch, monkeypatch):
    """Its version is part of the name; that it is missing is told by what computes with it."""

    def version(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(grading, "version", version)
    course = Course(TORCH_TOY)

    with pytest.raises(EnvironmentProblem, match="needs PyTorch"):
        grading.make_plan(course, course.find("gate"))


def test_an_installed_torch_is_no_problem():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("it is not installed here")

    demand(TORCH_PACKAGES)


@pytest.mark.parametrize("fork", [True, False])
def test_no_worker_is_opened_without_what_it_needs(no_torch, fork):
    with Server(fork=fork and can_fork()) as server, pytest.raises(EnvironmentProblem, match="PyTorch"):
        server.open(Limits(), TORCH_PACKAGES)
    with Server(fork=fork and can_fork()) as server, pytest.raises(EnvironmentProblem, match="PyTorch"):
        server.start(TORCH_PACKAGES)


@pytest.fixture(params=["with solutions", "by tape"])
def torch_course(request, torch_kit, tmp_path, monkeypatch):
    """The toy course in PyTorch, and the current folder."""
    root = Path(shutil.copytree(torch_kit, tmp_path / "course"))
    if request.param == "with solutions":
        shutil.copytree(TORCH_TOY / "solutions", root / "solutions")
    solution = TORCH_TOY / "solutions" / "ex01_gate" / "gate.py"
    shutil.copy(solution, root / "exercises" / "ex01_gate" / "gate.py")
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize("words", [["check", "gate"], ["check", "gate", "--json"], ["check"]], ids=" ".join)
def test_the_command_line_says_that_pytorch_is_missing(torch_course, command, no_torch, words):
    said = command(*words)

    assert said.code == 2
    assert "This exercise needs PyTorch, which is not installed here." in said.err
    assert "make setup EXTRAS=torch" in said.err and "Traceback" not in said.err + said.out
    assert "passed" not in said.out


@pytest.mark.skipif(not can_fork(), reason="nothing is launched early here")
def test_a_server_that_was_started_early_without_torch_grades_nothing(torch_course, no_torch, capfd):
    launched = launch.launch(("numpy",))._replace(packages=TORCH_PACKAGES)  # as it is where torch cannot be loaded

    code = commands.run(["check", "gate"], launched)

    assert code == 2 and "needs PyTorch" in capfd.readouterr().err
    assert launched.process.poll() is not None
