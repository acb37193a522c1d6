"""The student kit: a folder with all that a learner needs, and nothing that a student must not see.

What goes in is an allow-list. The exercises are printed anew from ``solutions/``, so nothing that was solved in this clone goes
along; of ``grader/`` there are the files that a learner's commands import, and a sentence in place of what other commands want.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any

from grader.logic import wire
from grader.model.errors import CourseError, UsageError
from grader.model.types import Exercise
from grader.system.course import FOLDER, OWN_FOLDERS, Course, write_atomically
from grader.system.tape import FORMAT, read_tape
from grader.verbs.build import backup_of, printed_files
from grader.verbs.grading import Sources
from grader.verbs.new import word_on_templates
from grader.verbs.session import PUBLISHED_SEED

ENGINE_ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = Path(__file__).with_name("kit")
LIST = ".kit.json"
LIST_FORMAT = 1

COPIED = ("LICENSE", "constraints.txt", "environment.yml", "pyproject.toml", "reading_path.md", "tools/bootstrap.py")
WRITTEN = {
    "README.md": "README.md",
    "Makefile": "Makefile",
    ".gitignore": "gitignore",
    "nbgrader_config.py": "nbgrader_config",
    ".gitattributes": "gitattributes",
}
OTHERS_EXTRAS = ("postgres", "cluster", "dev")  # no learner is offered what grades a class or tests the engine

# A learner's commands, and what is started or imported by name: by Python, notebooks, nbgrader's validation, checks, the worker.
LEARNERS = frozenset({"check", "watch", "status", "hint", "reset", "solution", "run", "doctor"})
ENTRIES = (
    "grader.__main__",
    "grader.shell.cli",
    "grader.shell.start",
    "grader.shell.in_notebook",
    "grader.shell.in_nbgrader",
    "grader.checks",
    "grader.system.worker",
)
ENGINE_DATA = ("grader/verbs/pytest.ini",)
STAND_IN = '''"""Left out of the student kit: no command of a learner's needs it."""

from grader.model.errors import UsageError

raise UsageError(
    "This command is for authors and instructors; the student kit comes without it.",
    "`grader check` grades your files, `grader status` says what to do next.",
)
'''

PYTORCH = (
    "These exercises use PyTorch: $names.\nBefore the first of them, `make setup EXTRAS=torch` adds "
    "its CPU build (about 200 MB to download) to `.venv`.\n"
)

Say = Callable[[str], Any]
Files = dict[str, bytes]


def release(course: Course, out: Path, *, only: Sequence[Exercise] = (), remove: bool = False, say: Say = print) -> int:
    """Write the student kit into ``out``, which is new, empty, or a kit that was released earlier; the exit code 0.

    ``only``: the exercises that go in, beside those that an earlier kit has already; all of the course where none is named.
    In an earlier kit a file that somebody has edited is left alone, or, where the kit has something new in its place, kept
    under a name that says when. An exercise that this clone does not have is taken out only with ``remove``: the kit may be
    another clone's; with ``remove`` nothing but ``only`` stays. `UsageError` without it, where ``out`` is something else, where
    an exercise has no solution, and as `kit_files` does, before anything is written; also where writing fails, and then the
    same command takes it up again.
    """
    if not course.solutions.is_dir():
        raise UsageError("Only a clone with solutions/ can release a student kit.", "A kit can be copied as it is.")
    out = out.resolve()
    say(f"from the course at {course.root}")
    with _writing():
        earlier = _earlier(course, out)
    exercises = _chosen(course, only, {} if remove else earlier or {})
    files = kit_files(course, exercises)
    with _writing():
        _refuse_to_remove(course, out, [] if remove else _exercises_gone(earlier or {}, files))
        if earlier is None:
            _write_list(out, {})  # from now on an interrupted release can be taken up again
        for exercise in course.found():
            if not course.has_solution(exercise):
                say(f"left out {exercise.name}: solutions/ has nothing of it")
        unasked = [exercise.name for exercise in _solved(course) if exercise not in exercises]
        if unasked:
            say(f"left out, not asked for: {', '.join(unasked)}")
        for word in filter(None, (word_on_templates(course, exercise) for exercise in exercises)):
            say(word)
        before = _carry_renumbered(out, exercises, earlier or {}, say)
        count = _write(out, files, before, say)
        _remove(out, [name for name in before if name not in files], before, say)
        _write_list(out, {name: _sum(content) for name, content in files.items()})
    number = len(exercises)
    say(f"{out}: the student kit, {number} exercise{'s' * (number != 1)}; {count} of {len(files)} files written.")
    foreign = _not_printed(out, files)
    if foreign:
        say(f"It holds somebody's work: {', '.join(foreign)}. To hand a kit out, release it into a new folder.")
    else:
        say(
            f"See it as a student does: copy it, then `make start` in the copy. What it needs stands in {out.name}/README.md."
        )
    return 0


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"The kit could not be written: {error.strerror}: {error.filename}.", "Mend that, then release again."
        ) from error


def kit_files(course: Course, exercises: Sequence[Exercise]) -> Files:
    """Every file of a kit of these exercises: its path from the kit's folder, with slashes, and its content. Nothing is written.

    `UsageError` where a tape holds anything but the public checks as they are now, `CourseError` where a file that belongs
    into every kit is missing.
    """
    files: Files = {}
    for exercise in exercises:
        sources = Sources(course, exercise)
        printed = printed_files(sources)
        files |= {f"exercises/{exercise.folder}/{name}": content for name, content in printed.items()}
        files[f"tapes/{exercise.name}.tape"] = _tape(course, sources, printed)
    files |= _lab(course) | engine_files()
    files |= {name: _copied(course, name) for name in COPIED}
    return files | _texts(exercises)


def _chosen(course: Course, only: Sequence[Exercise], earlier: Mapping[str, str]) -> list[Exercise]:
    """The exercises that go into the kit, in the course's order."""
    solved = _solved(course)
    if not solved:
        raise UsageError("There is no exercise in this course.", "`grader new NAME` begins one.")
    for exercise in only:
        if exercise not in solved:
            raise UsageError(f"solutions/ has nothing of {exercise.name}, so it cannot be released.", "Leave it out.")
    names = {exercise.name for exercise in only} | (_exercises_among(earlier) if only else set())
    return [exercise for exercise in solved if not only or exercise.name in names]


def _solved(course: Course) -> list[Exercise]:
    """The exercises that this clone holds the solutions of."""
    return [exercise for exercise in course.found() if course.has_solution(exercise)]


# ---------------------------------------------------------------- what goes in


def _tape(course: Course, sources: Sources, printed: Mapping[str, bytes]) -> bytes:
    """The tape's bytes, once it is sure that nothing else is in it than what `grader build` records now."""
    path = course.tape_file(sources.exercise)
    shown = path.relative_to(course.root).as_posix()
    mend = "Run `grader build`, then release again."
    try:
        data, tape = path.read_bytes(), read_tape(path)
    except FileNotFoundError as error:
        raise UsageError(f"There is no {shown}, and a kit grades by it.", mend) from error
    answered = wire.decode(zlib.decompress(data.partition(b"\n")[2]))
    if tape.header.get("scope") != "public" or any(not name.startswith("public:") for name in answered):
        raise UsageError(f"{shown} holds more than the public checks.", mend)
    sums = {"printed": {name: _sum(content) for name, content in printed.items()}, "format": FORMAT}
    if _ordered(tape.header) != _ordered(sources.header(PUBLISHED_SEED, "public") | sums):
        raise UsageError(f"{shown} was recorded before the exercise was changed.", mend)
    return data


def _ordered(header: Mapping[str, Any]) -> str:
    """As text. The order of the ideas counts: of two that explain the same, the first is named."""
    return json.dumps({name: header[name] for name in sorted(header)})


def _lab(course: Course) -> Files:
    root = course.root if (course.root / "lab").is_dir() else ENGINE_ROOT
    paths = [path.relative_to(root) for path in sorted((root / "lab").rglob("*.py"))]
    shown = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    return {path.as_posix(): (root / path).read_bytes() for path in shown}


def _copied(course: Course, name: str) -> bytes:
    roots = [course.root] if name == "reading_path.md" else [course.root, ENGINE_ROOT]
    for root in roots:
        if (root / name).is_file():
            return _for_learners(name, (root / name).read_text(encoding="utf-8")).encode("utf-8")
    raise CourseError(
        f"There is no {course.root / name}, which belongs into every kit.", "Write one, or take the course's."
    )


def _for_learners(name: str, text: str) -> str:
    """The two lists of packages without the extras that are of no use in a kit."""
    for extra in OTHERS_EXTRAS:
        if name == "pyproject.toml":
            text = re.sub(rf"^{extra} = \[(?:\n(?:[ \t].*\n)*\]|.*\]).*\n", "", text, flags=re.MULTILINE)
        elif name == "environment.yml":
            text = re.sub(rf"^  # {extra}\n(?:  - (?!pip:).*\n)*", "", text, flags=re.MULTILINE)
    return text


def _texts(exercises: Sequence[Exercise]) -> Files:
    """What is written for kits alone."""
    first = exercises[0]
    pytorch = ", ".join(f"`{exercise.name}`" for exercise in exercises if exercise.framework == "torch")
    values = {
        "name": first.name,
        "folder": first.folder,
        "module": first.module,
        "notebook": Path(first.module).with_suffix(".ipynb").name,
        "pytorch": Template(PYTORCH).substitute(names=pytorch) if pytorch else "",
    }
    files = {}
    for name, template in WRITTEN.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        files[name] = (Template(text).substitute(values) if name.endswith(".md") else text).encode("utf-8")
    return files


# ---------------------------------------------------------------- what of the engine goes in


def engine_files() -> Files:
    """The files of ``grader/`` in a kit: what a learner's commands import at any time, and stand-ins for what others import."""
    needed, wanted_by_others = set[str](), set[str]()
    left = list(ENTRIES)
    while left:
        for module in _with_parents(left.pop()):
            path = _file_of(module)
            if path is None or module in needed:
                continue
            needed.add(module)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for statement in tree.body:
                (wanted_by_others.update if _is_for_others(statement) else left.extend)(_imports(statement))
    files = {_place(module): (ENGINE_ROOT / _place(module)).read_bytes() for module in needed}
    files |= {name: (ENGINE_ROOT / name).read_bytes() for name in ENGINE_DATA}
    for wanted in wanted_by_others:
        for module in _with_parents(wanted):
            if module not in needed and _file_of(module):
                files[_place(module)] = STAND_IN.encode()
    return dict(sorted(files.items()))


def _is_for_others(statement: ast.stmt) -> bool:
    """Whether it is a command, a function decorated with ``….command(…)``, and none of a learner's."""
    for decorator in getattr(statement, "decorator_list", ()):
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "attr", "") == "command":
            named = [part.value for part in decorator.args if isinstance(part, ast.Constant)]
            return (named[0] if named else getattr(statement, "name", "")) not in LEARNERS
    return False


def _imports(statement: ast.stmt) -> Iterator[str]:
    """The engine's modules that a statement imports, wherever in it."""
    for node in ast.walk(statement):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name.partition(".")[0] == "grader")


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _file_of(module: str) -> Path | None:
    """None for a name that is no module, a function say."""
    folder = ENGINE_ROOT.joinpath(*module.split("."))
    return next((path for path in (folder.with_suffix(".py"), folder / "__init__.py") if path.is_file()), None)


def _place(module: str) -> str:
    path = _file_of(module)
    assert path is not None
    return path.relative_to(ENGINE_ROOT).as_posix()


# ---------------------------------------------------------------- into the folder


def _earlier(course: Course, out: Path) -> dict[str, str] | None:
    """The checksums of the kit that lies in ``out``, by name; None where there is nothing; `UsageError` for all else."""
    if any(out.is_relative_to(course.root.resolve() / name) for name in OWN_FOLDERS):
        raise UsageError(f"{out} is inside of the course's own files.", "Name a new folder outside of the course.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is no folder.", "Name a new or an empty folder.")
    if (out / LIST).is_file():
        return _read_list(out / LIST)
    if out.is_dir() and any(path.name != ".git" for path in out.iterdir()):
        raise UsageError(f"{out} is neither empty nor an earlier student kit.", "Name a new or an empty folder.")
    return None


def _exercises_gone(earlier: Mapping[str, str], files: Files) -> list[str]:
    """The exercises of an earlier kit that the new one has not, whatever their numbers."""
    return sorted(_exercises_among(earlier) - _exercises_among(files))


def _exercises_among(names: Iterable[str]) -> set[str]:
    """The names of the exercises that files of a kit belong to."""
    return {match[2] for name in names if name.startswith("exercises/") and (match := FOLDER.match(name.split("/")[1]))}


def _refuse_to_remove(course: Course, out: Path, names: list[str]) -> None:
    if names:
        them = "it" if len(names) == 1 else "them"
        raise UsageError(
            f"The kit in {out} holds {', '.join(names)}, and the course at {course.root} does not. Nothing was written.",
            f"If another clone released it, go there. `grader release --remove {out}` takes {them} out of the kit.",
        )


def _read_list(path: Path) -> dict[str, str]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != LIST_FORMAT:
            raise ValueError(f"its format is {data['format']}, not {LIST_FORMAT}")
        return {str(name): str(digest) for name, digest in data["files"].items() if _is_inside(name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path}, the list of an earlier kit's files, cannot be read: {error}.", "Name a new folder."
        ) from error


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name


def _write_list(out: Path, sums: Mapping[str, str]) -> None:
    text = json.dumps({"format": LIST_FORMAT, "files": dict(sorted(sums.items()))}, indent=1)
    write_atomically(out / LIST, text + "\n")


def _carry_renumbered(out: Path, exercises: list[Exercise], earlier: dict[str, str], say: Say) -> dict[str, str]:
    """An exercise whose number has changed keeps its folder and the work in it; the checksums, under the new names."""
    for exercise in exercises:
        wanted = out / "exercises" / exercise.folder
        for path in sorted((out / "exercises").glob("ex*")):
            match = FOLDER.match(path.name)
            if match and match[2] == exercise.name and not wanted.exists():
                os.rename(path, wanted)
                say(f"moved exercises/{path.name} to exercises/{wanted.name}")
                old, new = f"exercises/{path.name}/", f"exercises/{wanted.name}/"
                earlier = {new + n.removeprefix(old) if n.startswith(old) else n: s for n, s in earlier.items()}
    return earlier


def _write(out: Path, files: Files, earlier: Mapping[str, str], say: Say) -> int:
    """How many files were written."""
    count = 0
    for name, content in files.items():
        path = out / name
        current = path.read_bytes() if path.is_file() else None
        if current == content:
            continue
        if current is not None and _sum(current) != earlier.get(name):
            if earlier.get(name) == _sum(content):
                say(f"kept {name}: it was edited, and the kit has nothing new in its place")
                continue
            backup = backup_of(path)
            write_atomically(backup, current)
            say(f"kept the edited {name} as {backup.name}: the kit has something new in its place")
        write_atomically(path, content)
        count += 1
    return count


def _remove(out: Path, names: list[str], earlier: Mapping[str, str], say: Say) -> None:
    """What belonged to the earlier kit and not to this one goes, unless it was edited."""
    for name in names:
        path = out / name
        if not path.is_file():
            continue
        if _sum(path.read_bytes()) != earlier[name]:
            say(f"kept {name}: it was edited, and is no part of the kit any more")
            continue
        path.unlink()
        say(f"removed {name}: it is no part of the kit any more")
        with contextlib.suppress(OSError):  # a folder with anything in it stays
            for parent in list(path.relative_to(out).parents)[:-1]:
                (out / parent).rmdir()


def _not_printed(out: Path, files: Files) -> list[str]:
    """What lies among the exercises and is not as the kit has it."""
    found = []
    for path in sorted((out / "exercises").rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and path.read_bytes() != files.get(name):
            found.append(name)
    return found


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
