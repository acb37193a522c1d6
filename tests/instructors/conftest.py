"""nbgrader courses in folders of their own, and nbgrader's commands as a person types them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TOY = REPOSITORY / "tests" / "toy_course" / "solutions"
# Neither the environment's scripts nor anybody's settings: nbgrader has to work where nothing was switched on.
BARE_PATH = os.pathsep.join(["/usr/local/bin", "/usr/bin", "/bin"])

pytest.importorskip("nbgrader", reason="nbgrader is not installed: make setup EXTRAS=nbgrader")


@dataclass
class Taught:
    """A course of nbgrader's, made from a clone, and what was said while it was worked with."""

    root: Path
    kit: Path
    unit: str
    home: Path
    log: list[str] = field(default_factory=list)
    autograded: Any = None

    def nbgrader(self, *words: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """Run one of nbgrader's commands in the course's folder."""
        return self.run([sys.executable, "-m", "nbgrader", *words], cwd or self.root, more)

    def grader(self, *words: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """Run one of ours in the clone."""
        return self.run([sys.executable, "-m", "grader", *words], cwd or self.kit, more)

    def run(self, command: list[str], cwd: Path, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
        environment = {
            "HOME": str(self.home),
            "PATH": BARE_PATH,
            "PYTHONPATH": str(REPOSITORY),
            "LANG": "C.UTF-8",
            **more,
        }
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8")
        self.log += [done.stdout, done.stderr]
        return done

    def release(self) -> dict[str, Any]:
        """The notebook that students get."""
        return json.loads((self.root / "release" / self.unit / f"{self.unit}.ipynb").read_text(encoding="utf-8"))

    def graded(self, student: str) -> dict[str, Any]:
        """A graded notebook."""
        path = self.root / "autograded" / student / self.unit / f"{self.unit}.ipynb"
        return json.loads(path.read_text(encoding="utf-8"))

    def feedback(self, student: str) -> str:
        """A student's feedback page."""
        return (self.root / "feedback" / student / self.unit / f"{self.unit}.html").read_text(encoding="utf-8")

    def hand_in(self, student: str, book: dict[str, Any], timestamp: str = "") -> None:
        """Put a submission where `nbgrader collect` puts it."""
        folder = self.root / "submitted" / student / self.unit
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.unit}.ipynb").write_text(json.dumps(book), encoding="utf-8")
        if timestamp:
            (folder / "timestamp.txt").write_text(timestamp, encoding="utf-8")

    @property
    def url(self) -> str:
        """The gradebook's address."""
        return f"sqlite:///{self.root / 'gradebook.db'}"

    def scores(self) -> dict[str, dict[str, Any]]:
        """Every student's scores by cell."""
        from grader.system.gradebook import Gradebook

        with Gradebook(self.url, "transformers") as book:
            return book.scores(self.unit)

    def totals(self) -> dict[str, float]:
        """Every student's automatic points."""
        return {student: sum(score.auto for score in cells.values()) for student, cells in self.scores().items()}


def teach(kit: Path, unit: str, folder: Path) -> Taught:
    """A course with one unit, made and released as the instructor's page says."""
    taught = Taught(folder / "a course", kit, unit, folder / "home")
    taught.home.mkdir(parents=True)
    made = taught.grader("course", str(taught.root), unit)
    assert made.returncode == 0, made.stderr
    released = taught.nbgrader("generate_assignment", unit)
    assert released.returncode == 0, released.stderr
    return taught


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nbgrader leaves in the environment when it stops at an error does not reach the next test."""
    for name in ("NBGRADER_EXECUTION", "NBGRADER_VALIDATING"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def toy_taught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taught]:
    """The toy course in nbgrader, released; not to be written to."""
    folder = tmp_path_factory.mktemp("taught")
    kit = folder / "clone"
    shutil.copytree(TOY, kit / "solutions")
    (kit / "exercises").mkdir()
    yield teach(kit, "counter", folder)


@pytest.fixture
def toy(toy_taught: Taught, tmp_path: Path) -> Taught:
    """A copy of it of one's own."""
    root = tmp_path / "a course"
    shutil.copytree(toy_taught.root, root)
    return Taught(root, toy_taught.kit, toy_taught.unit, toy_taught.home)


@pytest.fixture
def filled(toy: Taught) -> Callable[[str], dict[str, Any]]:
    """The toy's released notebook with a module's code in its cells."""
    from grader.system.course import Course
    from tests.instructors.classroom import Classroom

    course = Course(toy.kit)
    return Classroom(course, course.find(toy.unit), toy.release()).filled


def in_process(taught: Taught, **config: dict[str, Any]) -> Any:
    """nbgrader's own programming interface on a course, with its configuration; ``config`` adds to it by class."""
    from nbgrader.apps.api import NbGraderAPI
    from traitlets.config import PyFileConfigLoader

    loaded = PyFileConfigLoader("nbgrader_config.py", path=str(taught.root)).load_config()
    for name, values in config.items():
        loaded[name].update(values)
    return NbGraderAPI(config=loaded)
