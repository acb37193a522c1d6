"""The toy course, printed anew for each test in a folder of its own, and the command line over it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader.system.host import Server
from grader.system.launch import TORCH_PACKAGES

TOY = Path(__file__).resolve().parents[1] / "toy_course"
TORCH_TOY = TOY / "torch"


@dataclass
class Said:
    """What a command gave: its exit code, and both streams."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def torch_server() -> Iterator[Server]:
    """A server with PyTorch loaded. One for all files that ask for it, because it takes seconds to start."""
    pytest.importorskip("torch")
    with Server(TORCH_PACKAGES) as server:
        yield server


@pytest.fixture(scope="session")
def printed_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy course with what `grader build` prints from it; not to be written to."""
    from grader.system.course import Course
    from grader.verbs.build import build

    root = tmp_path_factory.mktemp("printed") / "toy course für alle"
    shutil.copytree(TOY / "solutions", root / "solutions")
    build(Course(root), say=lambda text: None)
    return root


@pytest.fixture(scope="session")
def torch_kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy course in PyTorch as printed, without its solutions; not to be written to."""
    from grader.system.course import Course
    from grader.verbs.build import build

    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("torch")
    shutil.copytree(TORCH_TOY / "solutions", root / "solutions")
    build(Course(root), say=lambda text: None)
    shutil.rmtree(root / "solutions")
    (root / "grader").mkdir()  # a kit brings the engine along
    return root


@pytest.fixture
def toy(printed_toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and the current folder."""
    root = tmp_path / printed_toy.name
    shutil.copytree(printed_toy, root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command line in this process."""
    from grader.shell.commands import run

    def command(*words: str) -> Said:
        capfd.readouterr()
        code = run(list(words))
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return command


@pytest.fixture
def solution(toy: Path) -> str:
    """The toy exercise's solution."""
    return (toy / "solutions" / "ex01_counter" / "counter.py").read_text(encoding="utf-8")


@pytest.fixture
def module(toy: Path) -> Path:
    """The file that a learner edits."""
    return toy / "exercises" / "ex01_counter" / "counter.py"
