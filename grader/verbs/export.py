"""The course for other systems: an autograder for Gradescope, a workflow for GitHub Classroom, a set of files for JPlag.

What each was checked against stands in docs/exports.md. Grade tables for Canvas and Moodle are `logic/grade_tables.py`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import traceback
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.logic.feedback import Policy
from grader.logic.grade_tables import harmless, listed
from grader.logic.gradescope import no_verdict, not_accepted, refuse_unknown, results_of
from grader.logic.stub import is_untouched
from grader.logic.table import plain_number
from grader.model.errors import CourseError, EnvironmentProblem, GraderError, UsageError
from grader.model.types import Entry, Exercise, Report, Submission
from grader.system.course import Course, write_atomically
from grader.system.submission import read_submission

if TYPE_CHECKING:
    from grader.system.gradebook import Gradebook

ENGINE = Path(__file__).resolve().parents[1]
SCRIPTS = Path(__file__).with_name("gradescope")
ENGINE_FILES = (".py", ".ini")
NOT_NEEDED = ("__pycache__", "rewrites")
SETTINGS = "settings.json"
RESULTS = Path("results") / "results.json"
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
MOST_FILES = 2000
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same course gives the same archive
Files = dict[str, bytes]

# ---------------------------------------------------------------- Gradescope


def gradescope(
    course: Course, exercise: Exercise, out: Path, hidden: str = "after_published", policy: Policy = "idea"
) -> list[str]:
    """An autograder for one exercise, to be uploaded to Gradescope; what was written and what to do with it.

    ``out``: a name ending in ``.zip`` gives the archive, any other a folder with the same files. It holds the solution and the
    hidden checks, so it is for the instructor alone. ``hidden``: when students see the tests of hidden checks (one of
    `logic.gradescope.VISIBILITIES`); ``policy``: what these tell (one of `logic.feedback.POLICIES`).

    `UsageError` where there is something at ``out`` already, or no such visibility or policy; `CourseError` without a solution.
    """
    refuse_unknown(hidden, policy)
    if not course.has_solution(exercise):
        raise CourseError(f"There is no solution of {exercise.name} here.", "A student kit cannot make an autograder.")
    _demand_new(out)
    files = _autograder(course, exercise, hidden, policy)
    if out.suffix.lower() == ".zip":
        write_atomically(out, _zipped(files))
    else:
        for name, content in files.items():
            write_atomically(out / name, content)
            os.chmod(out / name, _mode(name))
    points = sum(step.points for step in exercise.steps)
    said = [
        f"Wrote {out}: an autograder for {exercise.name}. It holds the solution: hand it to nobody.",
        f"Gradescope: a Programming Assignment with {points:g} autograder points; upload "
        + ("the file" if out.suffix.lower() == ".zip" else "what is in the folder, zipped without the folder itself,")
        + " under Configure Autograder.",
        f"Students hand in {exercise.module} or {Path(exercise.module).stem}.ipynb.",
    ]
    if hidden == "visible":
        said.append("Students see the points of hidden checks at once, and what is told of them.")
    return said


def on_gradescope(source: Path, root: Path, *, record: bool = False) -> int:
    """In Gradescope's container: grade ``root/submission`` by what ``source`` holds, and write the results.

    Whatever goes wrong, nothing is earned then: the results say so, with the reason for instructors. With ``record``, which
    set-up does once, what wrong ideas answer is recorded instead, so that verdicts come faster.
    """
    try:
        settings = json.loads((source / SETTINGS).read_text(encoding="utf-8"))
        course = Course(source)
        exercise = course.find(settings["exercise"])
        if record:
            _record(course, exercise)
            return 0
        results = _results(course, exercise, root / "submission", settings["hidden"], settings["policy"])
    except Exception as error:
        if record:
            print(f"Nothing was recorded, so verdicts take longer: {error}")
            return 0
        traceback.print_exc(file=sys.stdout)  # Gradescope shows it to instructors alone
        results = no_verdict(str(error) if isinstance(error, GraderError) else f"{type(error).__name__}: {error}")
    write_atomically(root / RESULTS, json.dumps(results, indent=1, allow_nan=False))
    return 0


def _record(course: Course, exercise: Exercise) -> None:
    from grader.system.host import Server
    from grader.verbs.grading import refresh_cache

    with Server() as server:
        refresh_cache(course, exercise, server)


def _results(course: Course, exercise: Exercise, folder: Path, hidden: str, policy: Policy) -> dict[str, Any]:
    from grader.system.host import Server
    from grader.system.launch import packages_for
    from grader.verbs.grading import make_plan

    plan = make_plan(course, exercise)
    if plan.scope != "all":
        raise CourseError(f"The autograder of {exercise.name} lacks its hidden checks.", "Export it anew.")
    submission, problem = _handed_in(folder, exercise, plan.texts.stub)
    if submission is None:
        print(problem)
        return not_accepted(problem)
    with Server() as server:
        with server.open(exercise.limits, packages_for(exercise.framework)) as worker:
            _demand_fences(worker.layers, course.root)
            print("layers of isolation:", ", ".join(worker.layers))
        report = plan.run(server, lambda session: session.grade(submission))
    print(f"{submission.name}: {report.status}, {report.score:g} of {report.max_score:g} points, seed {report.seed}")
    return results_of(report, exercise, plan.texts, hidden, policy)


def _demand_fences(layers: Sequence[str], source: Path) -> None:
    """Refuse to run student code that could read the solution beside it, or send away what it is asked."""
    held = set(layers)
    info = source.stat()
    closed = os.name == "posix" and info.st_uid == os.geteuid() == 0 and not info.st_mode & 0o077
    unfenced = []
    if not (held & {"root", "landlock"} or ("user" in held and closed)):
        unfenced.append("files")
    if not held & {"namespaces", "seccomp"}:
        unfenced.append("the network")
    if unfenced:
        raise EnvironmentProblem(
            f"In this container student code cannot be kept from {' and '.join(unfenced)}, so it is not run.",
            f"Layers in force: {', '.join(layers) or 'none'}. Grade on a computer of your own with `grader batch`.",
        )


def _handed_in(folder: Path, exercise: Exercise, stub: str) -> tuple[Submission | None, str]:
    """The one file that is meant, or what to tell the student where it is none or not clear which.

    Links are passed over: what they lead to was not handed in.
    """
    module, stem = exercise.module, Path(exercise.module).stem
    found = [path for path in _ordinary_files(folder) if path.suffix.lower() in (".py", ".ipynb")]
    named = [path for path in found if path.name.lower() in (module.lower(), f"{stem}.ipynb".lower())]
    wanted = f"Hand in {module} or {stem}.ipynb, one of the two."
    candidates = named or found
    if not candidates:
        return None, f"There is no Python file and no notebook in this submission. {wanted}"
    read = [(path, read_submission(path)) for path in candidates[:MOST_FILES]]
    written = [(path, one) for path, one in read if not _untouched(one, stub)]
    chosen = written or read[:1]
    if len(chosen) == 1:
        return chosen[0][1], ""
    names = ", ".join(path.relative_to(folder).as_posix() for path, _ in chosen[:6])
    return None, f"Which file is meant? There are {len(chosen)}: {names}. {wanted}"


def _ordinary_files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


def _untouched(submission: Submission, stub: str) -> bool:
    try:
        return not submission.problem and is_untouched(submission.source, stub)
    except RecursionError:  # nested so deep that its tree cannot be walked: no stub
        return False


def _autograder(course: Course, exercise: Exercise, hidden: str, policy: Policy) -> Files:
    settings = {"exercise": exercise.name, "hidden": hidden, "policy": policy}
    files: Files = {
        "setup.sh": _script("setup.sh").replace(b"@CPU_WHEELS@", CPU_WHEELS.encode()),
        "run_autograder": _script("run_autograder"),
        "grade.py": _script("grade"),
        SETTINGS: json.dumps(settings).encode(),
        "no_verdict.json": json.dumps(
            no_verdict("The autograder was stopped before it had a verdict."), indent=1
        ).encode(),
        "requirements.txt": "".join(f"{line}\n" for line in _requirements(exercise)).encode(),
        "constraints.txt": _beside_engine("constraints.txt"),
    }
    files |= _tree(ENGINE, ENGINE.name, ENGINE_FILES)
    files |= _tree(course.solution_folder(exercise), f"solutions/{exercise.folder}")
    return files


def _script(name: str) -> bytes:
    return (SCRIPTS / name).read_bytes()


def _tree(folder: Path, name: str, suffixes: Sequence[str] = ()) -> Files:
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        wanted = not suffixes or path.suffix in suffixes
        if wanted and path.is_file() and not any(part in NOT_NEEDED or part.startswith(".") for part in parts):
            found["/".join((name, *parts))] = path.read_bytes()
    return found


def _requirements(exercise: Exercise) -> list[str]:
    """What the engine and the exercise import, as pyproject.toml or the installed package says it."""
    text = _beside_engine("pyproject.toml")
    if text:
        from grader.system.course import read_toml

        project = read_toml(ENGINE.parent / "pyproject.toml")["project"]
        extras = project.get("optional-dependencies", {})
        return [*project["dependencies"], *(extras["torch"] if exercise.framework == "torch" else ())]
    from importlib.metadata import requires

    listed = requires("transformers-from-scratch-kit") or []
    torch = [line.split(";")[0].strip() for line in listed if line.startswith("torch")]
    core = [line for line in listed if "extra ==" not in line]
    return core + (torch if exercise.framework == "torch" else [])


def _beside_engine(name: str) -> bytes:
    path = ENGINE.parent / name
    return path.read_bytes() if path.is_file() else b""


def _zipped(files: Files) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.create_system = 3  # Unix, so that the mode counts wherever this was made
            entry.external_attr = (0o100000 | _mode(name)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return data.getvalue()


def _mode(name: str) -> int:
    return 0o755 if name in ("setup.sh", "run_autograder") else 0o644


# ---------------------------------------------------------------- GitHub Classroom

WORKFLOW = Path(".github") / "workflows" / "classroom.yml"
POINTS_SCRIPT = Path(".github") / "classroom_points.py"
# Both are meant by GitHub Classroom's own generated workflows; its education/… names lead to the same.
COMMAND_GRADER = "classroom-resources/autograding-command-grader@v1"
REPORTER = "classroom-resources/autograding-grading-reporter@v1"
MINUTES = 10


def github(course: Course, exercise_names: Sequence[str], out: Path, python: str = "3.12") -> list[str]:
    """A workflow for GitHub Classroom that runs the public checks at every push; what was written, and what to know.

    ``out`` is the folder of the student kit, which is to become the template repository. Each step of an exercise is a test
    with its own points. Without names: every exercise. A file of these names is kept beside with the time in its name.

    `UsageError` for an exercise that is not there.
    """
    exercises = [course.find(name) for name in exercise_names] or course.found()
    named = {exercise.name: exercise for exercise in exercises}
    if not named:
        raise UsageError("There is no exercise in this course.", "`grader new NAME` begins one.")
    worth = {
        (exercise.name, step): points
        for exercise in named.values()
        for step, points in _public_points(course, exercise)
    }
    if not worth:
        raise UsageError("None of these exercises has public checks.", "Name one that has.")
    factor = _whole(worth.values())
    tests = [(named[name], step, int(points * factor)) for (name, step), points in worth.items()]
    torch = any(exercise.framework == "torch" for exercise in exercises)
    workflow = _workflow(tests, python, torch, (out / "constraints.txt").is_file())
    said = []
    for path, text in ((WORKFLOW, workflow), (POINTS_SCRIPT, CLASSROOM_POINTS)):
        said += _write_with_backup(out / path, text)
    said.append(f"{len(tests)} tests, {sum(points for *_, points in tests)} points in all.")
    if factor != 1:
        said.append(f"Points are times {factor} there, since GitHub Classroom counts whole points only.")
    said.append(
        "A student may edit what runs in the student's own repository: count `grader batch` on a clone, not this."
    )
    if not (out / "pyproject.toml").is_file():
        said.append(f"{out} is no student kit: the workflow installs what pyproject.toml there names.")
    return said


def _public_points(course: Course, exercise: Exercise) -> list[tuple[str, Fraction]]:
    """The points of the public checks of each step that has any, counted as pytest collects them."""
    from grader.system.host import Server
    from grader.verbs.grading import make_plan

    plan = make_plan(course, exercise, scope="public")
    counted: dict[str, Fraction] = {}
    for check in plan.run(Server(), lambda session: session.checks):
        if not check.hidden:
            counted[check.step] = counted.get(check.step, Fraction()) + Fraction(repr(check.points))
    return [(step.name, counted[step.name]) for step in exercise.steps if counted.get(step.name)]


def _whole(points: Iterable[Fraction]) -> int:
    """The smallest number that makes all of them whole: the action reads points as an integer."""
    factor = 1
    for one in points:
        factor *= (one * factor).denominator
    return factor


def _workflow(tests: Sequence[tuple[Exercise, str, int]], python: str, torch: bool, constrained: bool) -> str:
    install = ["python -m pip install"]
    install += [f"--extra-index-url {CPU_WHEELS}"] if torch else []
    install += ["--constraint constraints.txt"] if constrained else []
    install.append("--editable '.[torch]'" if torch else "--editable .")
    lines = [
        "# Public checks of the course kit, for GitHub Classroom. Written by `grader`; docs/exports.md says how it was checked.",
        "name: Autograding Tests",
        '"on":',
        "  - push",
        "  - workflow_dispatch",
        "  - repository_dispatch",
        "permissions:",
        "  checks: write",
        "  actions: read",
        "  contents: read",
        "jobs:",
        "  run-autograding-tests:",  # the reporter looks for a job of this name
        "    runs-on: ubuntu-latest",
        "    if: github.actor != 'github-classroom[bot]'",
        "    steps:",
        "      - name: Check out",
        "        uses: actions/checkout@v4",
        "      - name: Set up Python",
        "        uses: actions/setup-python@v5",
        "        with:",
        f"          python-version: {json.dumps(python)}",
        "      - name: Set up the course kit",
        f"        run: {' '.join(install)}",
    ]
    runners = []
    for exercise, step, points in tests:
        runner = f"{exercise.name}-{re.sub(r'[^A-Za-z0-9_-]', '-', step)}"
        runners.append(runner)
        title = next(one.title for one in exercise.steps if one.name == step)
        lines += [
            f"      - name: {json.dumps(f'{exercise.title}: {title}', ensure_ascii=False)}",
            f"        id: {runner}",
            f"        uses: {COMMAND_GRADER}",
            "        with:",
            f"          test-name: {json.dumps(runner)}",
            f"          command: {json.dumps(f'python {POINTS_SCRIPT.as_posix()} {exercise.name} {step}')}",
            f"          timeout: {MINUTES}",
            f"          max-score: {points}",
        ]
    lines += ["      - name: Autograding Reporter", f"        uses: {REPORTER}", "        env:"]
    for runner in runners:
        lines.append(f'          {runner.upper()}_RESULTS: "${{{{steps.{runner}.outputs.result}}}}"')
    lines += ["        with:", f"          runners: {','.join(runners)}"]
    return "\n".join(lines) + "\n"


CLASSROOM_POINTS = '''"""The public checks of one step: prints what they say; ends with 0 if all passed, else with 1.

    python .github/classroom_points.py EXERCISE STEP
"""

import json
import subprocess
import sys

exercise, step = sys.argv[1:]
sys.stdout.reconfigure(encoding="utf-8", errors="replace")
command = [sys.executable, "-m", "grader", "check", exercise, "--public", "--json"]
done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
try:
    report = json.loads(done.stdout)
except ValueError:
    sys.exit(print(done.stdout, done.stderr) or 1)
checks = [check for check in report["checks"] if check["step"] == step]
if report["message"]:
    print(report["message"])
for check in checks:
    print(f"{check['outcome']}: {check['name']}")
    if check["message"]:
        print("    " + check["message"].replace("\\n", "\\n    "))
sys.exit(0 if checks and all(check["outcome"] in ("passed", "skipped") for check in checks) else 1)
'''

# ---------------------------------------------------------------- marks of nbgrader's gradebook


def marks_in_course(folder: Path, unit: str = "") -> tuple[list[Entry], list[str]]:
    """`marks_in_gradebook` of the nbgrader course in ``folder``; `UsageError` where there is none that nbgrader can read."""
    from grader.verbs.nbconfig import demand_course, gradebook_of

    demand_course(folder)
    with gradebook_of(folder) as book:
        return marks_in_gradebook(book, unit)


def marks_in_gradebook(gradebook: Gradebook, unit: str = "") -> tuple[list[Entry], list[str]]:
    """What each student has for an assignment by nbgrader's own count, and what has to be said about it.

    That is, for every cell, the mark given by hand, or else the automatic one, and extra credit; less what the submission
    lost for being late, and never below 0. The entries are as a class's table has them, without checks, and without those
    who have a submission and no marks. Without ``unit``: the only assignment that there is.

    `UsageError` where there is no such assignment, several and none is named, or nobody has marks for it.
    """
    if not unit:
        names = sorted(row["name"] for row in gradebook.snapshot()["assignments"])
        if len(names) != 1:
            there = f"There is: {', '.join(names)}." if names else "Release it first: nbgrader generate_assignment NAME"
            raise UsageError("Which assignment of the gradebook is meant? Name it with --unit.", there)
        unit = names[0]
    scores, late = gradebook.scores(unit), gradebook.late(unit)
    without = [student for student in gradebook.students(unit) if not scores.get(student)]
    most = sum({name: score.max_score for cells in scores.values() for name, score in cells.items()}.values())
    entries, lost, waiting = [], [], []
    for student, cells in scores.items():
        if not cells:
            continue
        whole = sum(score.total for score in cells.values())
        penalty = late[student].penalty if student in late else 0.0
        score = max(0.0, whole - penalty)
        status = "passed" if score >= most else "failed"
        entries.append(Entry(student, "", "", "", Report(unit, "", "all", 0, status, score, most, 0.0, [])))
        if penalty:
            lost.append(f"{student} {plain_number(whole)} → {plain_number(score)}")
        if any(score.needs_manual_grade for score in cells.values()):
            waiting.append(student)
    if not entries:
        raise UsageError(f"Nobody has marks for {unit} in the gradebook.", f"Grade first: nbgrader autograde {unit}")
    said = [f"{unit}: marks by hand, extra credit and lateness as nbgrader counts them."]
    if lost:
        said.append(f"Less for being late: {listed(lost)}.")
    if waiting:
        said.append(
            f"nbgrader has these wait for a person to look at them, and their marks may change: {listed(waiting)}."
        )
    if without:
        said.append(f"Handed in and not graded, so left out: {listed(without)}.")
    return entries, said


# ---------------------------------------------------------------- JPlag

# No file may be named so on Windows, whatever its ending.
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
LONGEST_NAME = 60


def jplag(handed: Iterable[tuple[str, str, Submission]], out: Path, course: Course) -> list[str]:
    """A class's code in the layout that JPlag compares; what was written, and whose file is not in it.

    ``handed``: student, name of the exercise, submission. Under ``out``, each exercise has a folder with ``submissions/``, in
    it one folder a student, and ``base_code/`` with the stub, whose lines do not count. Notebooks become the Python of the
    cells that count. ``names.csv`` says whose folder is whose, README.md the command.

    `UsageError` where ``out`` holds something, or nothing was handed in.
    """
    _demand_new(out)
    handed = list(handed)
    if not handed:
        raise UsageError("There are no submissions to compare.", "Name a folder that holds some.")
    folders = folder_names(student for student, _, _ in handed)
    exercises = {name: course.find(name) for name in dict.fromkeys(name for _, name, _ in handed)}
    written: dict[str, int] = {}
    without = []
    for student, name, submission in handed:
        if submission.problem or not submission.source.strip():
            without.append(f"{student} ({submission.name})")
            continue
        exercise = exercises[name]
        path = _free(out / exercise.name / "submissions" / folders[student] / exercise.module)
        write_atomically(path, submission.source.rstrip("\n").encode("utf-8", "replace") + b"\n")
        written[name] = written.get(name, 0) + (path.name == exercise.module)
    if not written:
        raise UsageError("None of the submissions holds code that can be read.", "Look at the files.")
    for name in written:
        exercise = exercises[name]
        write_atomically(out / exercise.name / "base_code" / exercise.module, _stub(course, exercise))
    write_atomically(out / "names.csv", _names_table(folders))
    write_atomically(out / "README.md", _jplag_readme([exercises[name] for name in written]))
    said = [f"Wrote {out}: {', '.join(f'{name} of {count}' for name, count in written.items())}; see its README.md."]
    said += [f"Only one student handed in {name}: nothing to compare." for name, count in written.items() if count < 2]
    if without:
        said.append(f"Not in it, since no code could be read: {'; '.join(without)}.")
    return said


def folder_names(students: Iterable[str]) -> dict[str, str]:
    """A folder's name for each student that every system takes; two students never share one, in capitals or not."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for student in dict.fromkeys(students):
        text = unicodedata.normalize("NFC", student)
        text = "".join(sign if sign.isalnum() or sign in "-_ ." else "_" for sign in text)
        text = re.sub(r"\.{2,}", ".", text)[:LONGEST_NAME].strip(" .") or "student"
        if RESERVED.match(text) or text.startswith("-"):
            text = f"_{text}"
        name, number = text, 1
        while _folded(name) in taken:
            number += 1
            name = f"{text}-{number}"
        taken.add(_folded(name))
        names[student] = name
    return names


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKD", name).casefold()


def _free(path: Path) -> Path:
    """The path, or one with a number before its ending where it is taken: two files of one student."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return candidate


def _stub(course: Course, exercise: Exercise) -> str:
    if course.has_solution(exercise):
        from grader.verbs.grading import Sources

        return Sources(course, exercise).stub
    from grader.system.tape import read_header

    return read_header(course.tape_file(exercise))["stub"]


def _names_table(folders: dict[str, str]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["folder", "student"])
    table.writerows([harmless(folder), harmless(student)] for student, folder in folders.items())
    return text.getvalue()


def _jplag_readme(exercises: Sequence[Exercise]) -> str:
    lines = [
        "# For JPlag",
        "",
        "JPlag (https://github.com/jplag/JPlag) compares each two submissions on this computer; nothing is uploaded. It needs",
        "Java, version 6 of it Java 21. In this folder, with the release's file as `jplag.jar`:",
        "",
        "```",
    ]
    for exercise in exercises:
        name = exercise.name
        lines.append(f"java -jar jplag.jar -l python3 -bc {name}/base_code -r {name}-result {name}/submissions")
    lines += [
        "```",
        "",
        "`names.csv` says whose folder is whose. What is in `base_code/`, the stub, does not count as alike. Short exercises are",
        "alike by nature: read the pairs before you speak to anyone. JPlag's Python is that of its own grammar; a file",
        "that it cannot read is named in what it prints.",
    ]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- what they share


def _demand_new(out: Path) -> None:
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(f"There is something at {out} already.", "Name a new folder or file; nothing is written over.")


def _write_with_backup(path: Path, text: str) -> list[str]:
    from grader.verbs.build import backup_of

    current = path.read_bytes() if path.is_file() else None
    if current == text.encode("utf-8"):
        return [f"{path} is as it should be already."]
    said = []
    if current is not None:
        backup = backup_of(path)
        write_atomically(backup, current)
        said.append(f"What was {path} is kept as {backup.name}.")
    write_atomically(path, text)
    return [*said, f"Wrote {path}."]
