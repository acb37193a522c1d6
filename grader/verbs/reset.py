"""The stub again, with what was there kept beside it."""

from __future__ import annotations

from pathlib import Path

from grader.model.types import Exercise
from grader.system.course import Course, write_atomically
from grader.system.tape import read_header


def reset(course: Course, exercise: Exercise) -> list[str]:
    """Write the files that a learner edits as they were printed; what was done, in sentences."""
    from grader.verbs.build import backup_of

    fresh, kept = _printed(course, exercise)
    folder = course.exercise_folder(exercise)
    said = []
    for name, content in fresh.items():
        path = folder / name
        current = path.read_bytes() if path.is_file() else None
        if current == content:
            said.append(f"{_short(course, path)} is the stub already.")
            continue
        if current is not None:
            backup = backup_of(path)
            write_atomically(backup, current)
            said.append(f"Your {_short(course, path)} is kept as {backup.name}.")
        write_atomically(path, content)
        said.append(f"{_short(course, path)} is the stub again.")
    return said + kept


def _printed(course: Course, exercise: Exercise) -> tuple[dict[str, bytes], list[str]]:
    notebook = Path(exercise.module).with_suffix(".ipynb").name
    if course.has_solution(exercise):
        from grader.verbs.build import printed_files
        from grader.verbs.grading import Sources

        files = printed_files(Sources(course, exercise))
        return {name: files[name] for name in (exercise.module, notebook)}, []
    header = read_header(course.tape_file(exercise))
    left = []
    if (course.exercise_folder(exercise) / notebook).is_file():
        left = [f"{notebook} is left as it is; take a fresh one from the kit, or use {exercise.module}."]
    return {exercise.module: header["stub"].encode("utf-8")}, left


def _short(course: Course, path: Path) -> str:
    return path.relative_to(course.root).as_posix()
