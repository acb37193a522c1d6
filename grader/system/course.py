"""The course on disk: where it is, which exercises it has, what their files say."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from grader.model.errors import CourseError, UsageError
from grader.model.types import Exercise, Limits, MilestoneRule, Step

FOLDER = re.compile(r"ex(\d\d)_([a-z][a-z0-9_]*)$")
PUBLIC_CHECKS = "test_public.py"
HIDDEN_CHECKS = "test_hidden.py"
FRAMEWORKS = ("numpy", "torch")
# The folders of a clone that hold its parts: nothing else is written among them.
OWN_FOLDERS = ("exercises", "grader", "lab", "solutions", "tapes", "tools")


@dataclass(frozen=True)
class Course:
    """A clone or a student kit: a folder with ``exercises/`` and, for authors, ``solutions/``."""

    root: Path

    @property
    def solutions(self) -> Path:
        """What a student must not see yet; missing in a student kit."""
        return self.root / "solutions"

    @property
    def exercises(self) -> Path:
        """What students edit."""
        return self.root / "exercises"

    @property
    def tapes(self) -> Path:
        """Recorded answers to the public checks."""
        return self.root / "tapes"

    @property
    def cache(self) -> Path:
        """What can be made again; git-ignored."""
        return self.root / ".grader"

    def solution_folder(self, exercise: Exercise) -> Path:
        """The exercise's folder under ``solutions/``."""
        return self.solutions / exercise.folder

    def exercise_folder(self, exercise: Exercise) -> Path:
        """The exercise's folder under ``exercises/``."""
        return self.exercises / exercise.folder

    def has_solution(self, exercise: Exercise) -> bool:
        """Whether this course holds the exercise's solution and hidden checks."""
        return (self.solution_folder(exercise) / exercise.module).is_file()

    def tape_file(self, exercise: Exercise) -> Path:
        """The committed tape of the exercise's public checks."""
        return self.tapes / f"{exercise.name}.tape"

    def found(self) -> list[Exercise]:
        """All exercises, in the order of their folders' numbers: described by ``solutions/``, else by their tapes."""
        exercises = self._from_solutions()
        solved = {exercise.name for exercise in exercises}  # wherever these were printed before a renumbering
        exercises += [exercise for exercise in self._from_tapes() if exercise.name not in solved]
        exercises.sort(key=lambda exercise: exercise.folder)
        names = [exercise.name for exercise in exercises]
        for name in names:
            if names.count(name) > 1:
                raise CourseError(f"Two folders hold an exercise named {name}.", "Delete or rename one of them.")
        return exercises

    def _from_solutions(self) -> list[Exercise]:
        folders = self.solutions.iterdir() if self.solutions.is_dir() else ()
        return [
            read_exercise(path) for path in folders if FOLDER.match(path.name) and (path / "exercise.toml").is_file()
        ]

    def _from_tapes(self) -> list[Exercise]:
        from grader.system.tape import read_header

        exercises = []
        for path in self.exercises.iterdir() if self.exercises.is_dir() else ():
            match = FOLDER.match(path.name)
            tape = self.tapes / f"{match[2]}.tape" if match else None
            if tape is not None and tape.is_file() and not (self.solutions / path.name / "exercise.toml").is_file():
                exercises.append(parse_exercise(path.name, read_header(tape)["description"], tape))
        return exercises

    def find(self, wanted: str) -> Exercise:
        """The exercise that a person means by its name, folder, number or path; `UsageError` for anything else."""
        exercises = self.found()
        path = Path(wanted)
        if wanted.endswith((".py", ".ipynb")):
            path = path.resolve().parent
        tail = path.name if path.name or not wanted else path.resolve().name
        for exercise in exercises:
            if tail in (exercise.name, exercise.folder, exercise.number, f"ex{exercise.number}"):
                return exercise
        names = [exercise.name for exercise in exercises]
        close = difflib.get_close_matches(tail.lower(), names, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]}?" if close else f"There is: {', '.join(names) or 'no exercise here'}."
        raise UsageError(f"There is no exercise {wanted!r}.", hint)


def find_course(start: Path | None = None) -> Course:
    """The course that a folder belongs to: the nearest parent with ``exercises/``, else the clone of this engine."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "exercises").is_dir() and ((folder / "grader").is_dir() or (folder / "solutions").is_dir()):
            return Course(folder)
        if (folder / "solutions").is_dir() and any(
            FOLDER.match(path.name) for path in (folder / "solutions").iterdir()
        ):
            return Course(folder)
    own = Path(__file__).resolve().parents[2]
    if (own / "exercises").is_dir():
        return Course(own)
    raise UsageError("No course was found here.", "Go to the folder that holds `exercises/`, and try again.")


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file; `CourseError` names the file and the place where it cannot be read."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read: {error}") from error


def read_exercise(folder: Path) -> Exercise:
    """The exercise that a folder under ``solutions/`` describes in its ``exercise.toml``."""
    path = folder / "exercise.toml"
    return parse_exercise(folder.name, read_toml(path), path)


def parse_exercise(folder: str, data: Mapping[str, Any], path: Path) -> Exercise:
    """The same from the file's parsed content; ``path`` is named in errors."""
    match = FOLDER.match(folder)
    if not match:
        raise CourseError(f"{folder} is not named exNN_name.")
    known = {
        "title",
        "module",
        "difficulty",
        "needs",
        "sources",
        "allowed_imports",
        "limits",
        "tolerances",
        "step",
        "milestone",
        "framework",
        "refused",
        "fused",
        "besides",
    }
    _refuse_unknown(data, known, path)
    if data.get("framework", "numpy") not in FRAMEWORKS:
        raise CourseError(f"{path} names a framework that there is not.", f"Known are: {', '.join(FRAMEWORKS)}.")
    try:
        return Exercise(
            name=match[2],
            folder=folder,
            title=data["title"],
            module=data["module"],
            steps=tuple(_step(item, path) for item in data["step"]),
            difficulty=data["difficulty"],
            needs=tuple(data.get("needs", ())),
            sources=tuple(data["sources"]),
            limits=_limits(data.get("limits", {}), path),
            allowed_imports=tuple(data["allowed_imports"]),
            tolerances=dict(data.get("tolerances", {})),
            framework=data.get("framework", "numpy"),
            refused=tuple(data.get("refused", ())),
            fused={name: tuple(parts) for name, parts in data.get("fused", {}).items()},
            besides=tuple(data.get("besides", ())),
            milestones=tuple(_milestone(item, path) for item in data.get("milestone", ())),
        )
    except KeyError as error:
        raise CourseError(f"{path} lacks {error.args[0]}.") from error


def _limits(data: Mapping[str, Any], path: Path) -> Limits:
    _refuse_unknown(data, {field.name for field in fields(Limits)}, path)
    return Limits(**data)


def _milestone(data: Mapping[str, Any], path: Path) -> MilestoneRule:
    _refuse_unknown(data, {field.name for field in fields(MilestoneRule)}, path)
    listed = {name: tuple(data[name]) for name in ("from_memory", "band") if name in data}
    return MilestoneRule(**{**data, **listed})


def _step(data: Mapping[str, Any], path: Path) -> Step:
    _refuse_unknown(data, {field.name for field in fields(Step)}, path)
    return Step(
        name=data["name"],
        title=data["title"],
        functions=tuple(data["functions"]),
        minutes=data["minutes"],
        points=float(data["points"]),
        stretch=data.get("stretch", False),
        deals_with=tuple(data.get("deals_with", ())),
    )


def _refuse_unknown(data: Mapping[str, Any], known: set[str], path: Path) -> None:
    for key in data:
        if key not in known:
            raise CourseError(f"{path} has an unknown field {key!r}.", f"Known are: {', '.join(sorted(known))}.")


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a whole file or nothing: a reader or a crash never sees half of it."""
    import os
    import tempfile

    path.parent.mkdir(parents=True, exist_ok=True)
    content = data.encode("utf-8") if isinstance(data, str) else data
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
