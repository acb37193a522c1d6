"""Proving a course: every line of what its exercises promise, with the evidence.

Each proof is a function that returns a `Proof`: what was looked at, and what is wrong. Nothing is taken from the exercise's
own word: variants and mutants are graded in the sandbox, as a student's file is.
"""

from __future__ import annotations

import ast
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from grader.logic import diagnose, stub
from grader.logic.hints import parse_hints, without_hints
from grader.logic.judge import relative_error, tolerance_for
from grader.logic.mutants import Mutant, mutants
from grader.logic.variants import apply, parse_variants
from grader.model.errors import CourseError
from grader.model.types import Cell, Exercise, Report, Submission, Value, Variant
from grader.system.course import HIDDEN_CHECKS, PUBLIC_CHECKS, Course, read_toml, write_atomically
from grader.system.host import Server
from grader.system.tape import fingerprint, parse_tape
from grader.verbs.build import EXPERIMENT, build, printed_files
from grader.verbs.grading import Plan, Sources, Taped, record_tape, texts_from
from grader.verbs.session import PUBLISHED_SEED, Session

Say = Callable[[str], Any]
FRESH_SEEDS = 5
REWRITES = "rewrites"
REWRITES_NEEDED = 10
TASK_WORDS = 1200
HINT_WORDS = 25
SOLUTION_FILES = {"exercise.toml", "task.md", "variants.toml", PUBLIC_CHECKS, HIDDEN_CHECKS, EXPERIMENT, REWRITES}
MARGIN = 4.0
MUTANTS_SAMPLED = 40
MUTANT_SECONDS = 2.0  # for a call: some mutants never end
SEEDS_MEASURED = 2  # how far off wrong variants are; right ones are measured with every seed
PROOFS, TOLERANCES = "docs/proofs.md", "docs/tolerances.md"
PAGES = {
    PROOFS: """# Proofs

Written by `grader verify --full`: what it saw of each exercise. *Files* is a fingerprint of the exercise's folder; the tests compare it.
""",
    TOLERANCES: """# Tolerances

Written by `grader verify --full`. Errors are the largest of an answer, over the largest magnitude expected. *Needed*: the
worst of the solution and all right variants; *nearest wrong*: the wrong variant that fails this check by least.
Orders of magnitude, because machines round differently.
""",
}
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


@dataclass
class Proof:
    """One line of the table: what is claimed, what was looked at, and what contradicts it."""

    claim: str
    seen: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.problems


@dataclass
class Margin:
    """What right answers need and the nearest wrong one exceeds, for one check and dtype."""

    check: str
    dtype: str
    tolerance: float
    needed: float = 0.0
    nearest: float = float("inf")
    nearest_name: str = ""


@dataclass
class Evidence:
    """What was measured on one exercise."""

    exercise: Exercise
    proofs: list[Proof]
    margins: list[Margin]
    seconds: float

    @property
    def holds(self) -> bool:
        return all(proof.holds for proof in self.proofs)


def verify(course: Course, names: Iterable[str] = (), *, full: bool = False, say: Say = print) -> int:
    """Prove the exercises named, or all, and print the evidence as a table; the exit code (1: something does not hold)."""
    exercises = [course.find(name) for name in names] or course.found()
    held = True
    for exercise in exercises:
        evidence = prove(course, exercise, full=full, say=say)
        held &= evidence.holds
        for line in table(evidence):
            say(line)
        if full and evidence.holds:
            write_pages(course, evidence)
            say(f"written: {' and '.join(PAGES)}")
    return 0 if held else 1


def write_pages(course: Course, evidence: Evidence) -> None:
    """Put one exercise's section into the pages of proofs and of tolerances; the other sections stay."""
    sections = {PROOFS: proof_section(course, evidence), TOLERANCES: tolerance_section(evidence)}
    for page, introduction in PAGES.items():
        path = course.root / page
        found = sections_of(path.read_text(encoding="utf-8")) if path.is_file() else {}
        found[evidence.exercise.name] = sections[page]
        known = [exercise.name for exercise in course.found() if exercise.name in found]
        write_atomically(path, "\n".join([introduction, *(found[name] for name in known)]))


def sections_of(page: str) -> dict[str, str]:
    """The sections of a generated page by the exercise's name."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    return {part.split("\n", 1)[0].removeprefix("## "): part.rstrip("\n") + "\n" for part in parts}


def proof_section(course: Course, evidence: Evidence) -> str:
    """What a full proof of one exercise saw, with the fingerprint of the files that it was made of."""
    of = proved_files(Sources(course, evidence.exercise))
    lines = [re.sub(r" \(\d+ s\)$", "", line) for line in table(evidence)]
    return "\n".join([f"## {evidence.exercise.name}", "", f"Files: `{of}`", "", "```", *lines, "```", ""])


def proved_files(sources: Sources) -> str:
    """A fingerprint of all files that a proof is made of; the engine is not among them."""
    files = [path for path in sorted(sources.folder.rglob("*")) if path.suffix in (".py", ".toml", ".md")]
    return fingerprint(part for path in files for part in (path.name, path.read_bytes()))


def prove(
    course: Course, exercise: Exercise, *, full: bool = True, say: Say = lambda text: None, seeds: int = FRESH_SEEDS
) -> Evidence:
    """All proofs for one exercise."""
    began = time.perf_counter()
    sources = Sources(course, exercise)
    documented = _documented(sources)
    try:
        _ = sources.stub
    except CourseError:  # nothing can be printed, and nothing else be looked at
        if documented.holds:
            raise
        return Evidence(exercise, [documented], [], time.perf_counter() - began)
    proofs = [documented, *_about_files(course, sources)]
    margins: list[Margin] = []
    with Server() as server:
        fresh = random.SystemRandom()
        for number, seed in enumerate([PUBLISHED_SEED, *(fresh.randrange(1 << 31) for _ in range(seeds))]):
            say(f"  {exercise.name}: seed {seed}")
            proofs += _with_seed(sources, server, seed, margins, measured=number < SEEDS_MEASURED)
        say(f"  {exercise.name}: mutants")
        proofs.append(_mutants(sources, server, full))
        proofs.append(_by_public_tape(course, sources, server))
    proofs.append(_tolerances(margins))
    return Evidence(exercise, _merged(proofs), margins, time.perf_counter() - began)


def table(evidence: Evidence) -> Iterator[str]:
    """The evidence as lines of text."""
    yield f"{evidence.exercise.name}: {'all holds' if evidence.holds else 'NOT PROVED'} ({evidence.seconds:.0f} s)"
    for proof in evidence.proofs:
        yield f"  {'holds' if proof.holds else 'FAILS'}  {proof.claim:<58} {proof.seen}"
        for problem in proof.problems[:12]:
            yield f"           {problem}"
        if len(proof.problems) > 12:
            yield f"           and {len(proof.problems) - 12} more"


def _merged(proofs: list[Proof]) -> list[Proof]:
    """Proofs of the same claim (one for each seed) as one line."""
    merged: dict[str, Proof] = {}
    for proof in proofs:
        if proof.claim not in merged:
            merged[proof.claim] = Proof(proof.claim, proof.seen, list(proof.problems))
        else:
            merged[proof.claim].problems += proof.problems
    counts = {claim: sum(proof.claim == claim for proof in proofs) for claim in merged}
    for claim, proof in merged.items():
        if counts[claim] > 1:
            proof.seen += f", {counts[claim]} seeds"
    return list(merged.values())


# ---------------------------------------------------------------- proofs by grading


def _with_seed(sources: Sources, server: Server, seed: int, margins: list[Margin], measured: bool) -> list[Proof]:
    tape = parse_tape(record_tape(sources, "all", server, seed), Path(f"tape of seed {seed}"))
    files = [sources.folder / PUBLIC_CHECKS, sources.folder / HIDDEN_CHECKS]
    oracle = Taped(tape, sources.live, sources.exercise.framework)
    plan = Plan(sources.exercise, files, oracle, texts_from(sources.exercise, tape.header), tape.header, seed, "all")

    def body(session: Session) -> list[Proof]:
        marks = _Marks(sources, session)
        proofs = [
            _stub_earns_nothing(sources, session),
            _right_answers(marks),
            _wrong_answers(marks),
            _named_as_themselves(marks),
            _every_hidden_check_fails(marks),
        ]
        if seed == PUBLISHED_SEED:
            proofs += [
                _points(session),
                _told_apart(sources, tape),
                _silent(sources, tape),
                _rewrites(sources, session),
            ]
        _measure(marks, margins, wrong=measured)
        return proofs

    return plan.run(server, body)


class _Marks:
    """Every variant graded once."""

    def __init__(self, sources: Sources, session: Session) -> None:
        self.session = session
        self.right = {"the solution": session.grade(_submission("the solution", sources.solution))}
        self.wrong: dict[str, Report] = {}
        self.sources = sources
        for variant in sources.variants:
            reports = self.right if variant.kind == "right" else self.wrong
            reports[variant.name] = session.grade(_submission(variant.name, apply(sources.solution, variant)))
        for path in _styles(sources):
            name = f"{REWRITES}/{path.name}"
            self.right[name] = session.grade(_submission(name, path.read_text(encoding="utf-8")))


def _submission(name: str, source: str) -> Submission:
    return Submission(name, (Cell(source),))


def _stub_earns_nothing(sources: Sources, session: Session) -> Proof:
    proof = Proof("the untouched stub earns 0 and passes nothing", f"{len(session.checks)} checks")
    untouched = session.grade(_submission("stub", sources.stub))
    if untouched.status != "not_started" or untouched.score:
        proof.problems.append(f"graded as {untouched.status} with {untouched.score:g} points")
    run = session.grade(_submission("stub, run", sources.stub + "\n_touched = True\n"))
    proof.problems += [f"passes: {check.name}" for check in run.checks if check.outcome == "passed"]
    return proof


def _right_answers(marks: _Marks) -> Proof:
    proof = Proof("the solution and every right variant earn full marks", f"{len(marks.right)} files")
    for name, report in marks.right.items():
        failed = [check.name for check in report.checks if check.outcome != "passed"]
        if failed or report.score != report.max_score:
            proof.problems.append(f"{name} fails with seed {report.seed}: {failed[0] if failed else report.message}")
    return proof


def _wrong_answers(marks: _Marks) -> Proof:
    proof = Proof("every wrong variant fails a hidden check", f"{len(marks.wrong)} variants")
    for name, report in marks.wrong.items():
        if not any(check.hidden and check.outcome != "passed" for check in report.checks):
            proof.problems.append(f"{name} survives with seed {report.seed}")
    return proof


def _named_as_themselves(marks: _Marks) -> Proof:
    proof = Proof("every wrong variant is diagnosed as itself", f"{len(marks.wrong)} variants")
    for name, report in marks.wrong.items():
        for check in report.checks:
            if check.outcome != "passed" and check.looks_like != [name]:
                shown = ", ".join(check.looks_like) or "nothing"
                proof.problems.append(f"{name} is called {shown} by {check.name!r} (seed {report.seed})")
    return proof


def _every_hidden_check_fails(marks: _Marks) -> Proof:
    hidden = [check.name for check in marks.session.checks if check.hidden]
    failing = {c.name for report in marks.wrong.values() for c in report.checks if c.hidden and c.outcome != "passed"}
    proof = Proof("every hidden check fails for some wrong variant", f"{len(hidden)} hidden checks")
    proof.problems += [f"nothing fails {name!r}" for name in hidden if name not in failing]
    return proof


def _points(session: Session) -> Proof:
    proof = Proof("the points of each step's checks are the step's points", f"{len(session.exercise.steps)} steps")
    for step in session.exercise.steps:
        total = sum(check.points for check in session.checks if check.step == step.name)
        if abs(total - step.points) > 1e-9:
            proof.problems.append(f"{step.name}: {total:g} instead of {step.points:g}")
        for hidden in (False, True):
            if not any(check.step == step.name and check.hidden == hidden for check in session.checks):
                proof.problems.append(f"{step.name} has no {'hidden' if hidden else 'public'} check")
    return proof


def _told_apart(sources: Sources, tape: Any) -> Proof:
    names = list(tape.wrong)
    proof = Proof("wrong variants are told apart pairwise", f"{len(names) * (len(names) - 1) // 2} pairs")
    answers = {name: list(tape.recorded(name)) for name in names}
    tolerances = sources.exercise.tolerances
    for one, two in combinations(names, 2):
        pairs = zip(answers[one], answers[two], strict=True)
        if all(diagnose.matches(mine, theirs.__getitem__, tolerances) for mine, theirs in pairs if mine):
            proof.problems.append(f"{one} and {two} answer every call alike")
    return proof


def _silent(sources: Sources, tape: Any) -> Proof:
    solution = list(tape.recorded())
    silent = [name for name in tape.wrong if all(map(_same_form, solution, tape.recorded(name)))]
    proof = Proof(
        "four fifths of the wrong variants raise nothing, shapes right", f"{len(silent)} of {len(tape.wrong)}"
    )
    if len(silent) * 5 < len(tape.wrong) * 4:
        proof.problems.append("too many give themselves away: " + ", ".join(n for n in tape.wrong if n not in silent))
    return proof


def _same_form(right: list[Any], wrong: list[Any]) -> bool:
    pairs = [(a, b) for a, b in zip(right, wrong, strict=True) if isinstance(a, Value)]
    return all(isinstance(b, Value) and _form(a.value) == _form(b.value) for a, b in pairs)


def _form(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_form(item) for item in value]
    if isinstance(value, dict):
        return {key: _form(item) for key, item in value.items()}
    return (value.shape, value.dtype) if hasattr(value, "shape") else type(value)


def _styles(sources: Sources) -> list[Path]:
    """The files of the whole exercise in another form; beside each one lie the ideas that it is tried with, as variants."""
    return sorted((sources.folder / REWRITES).glob("*.py"))


def _rewrites(sources: Sources, session: Session) -> Proof:
    """Ideas put into files that were written from scratch, in another form, must be called by the same names."""
    says = {variant.name: variant.says for variant in sources.variants if variant.kind == "wrong"}
    needed = min(REWRITES_NEEDED, len(says))
    tried = 0
    proof = Proof("ideas written from scratch get the same name")
    for path in _styles(sources):
        entries = read_toml(path.with_suffix(".toml"))
        strange = [entry["name"] for entry in entries["wrong"] if entry["name"] not in says]
        proof.problems += [f"{path.stem}: {name} is no wrong variant" for name in strange]
        known = [{"says": says[entry["name"]], **entry} for entry in entries["wrong"] if entry["name"] in says]
        for idea in parse_variants({**entries, "wrong": known})[0]:
            tried += 1
            report = session.grade(_submission(path.name, apply(path.read_text(encoding="utf-8"), idea)))
            names = {name for check in report.checks for name in check.looks_like}
            unnamed = [check.name for check in report.checks if check.outcome != "passed" and not check.looks_like]
            if names != {idea.name} or unnamed:
                shown = ", ".join(sorted(names)) or "nothing"
                behind = f"; unnamed in {unnamed[0]!r}" if unnamed else ""
                proof.problems.append(f"{path.stem}: {idea.name} is called {shown}{behind}")
    if tried < needed:
        proof.problems.append(f"{needed} are needed in {REWRITES}/")
    proof.seen = f"{tried} ideas"
    return proof


def _mutants(sources: Sources, server: Server, full: bool) -> Proof:
    """Every machine-made mutant fails a hidden check, or stands under [[equivalent]] with its reason."""
    exercise = replace(sources.exercise, limits=replace(sources.exercise.limits, call_seconds=MUTANT_SECONDS))
    made = mutants(sources.solution, exercise.blanked)
    equivalent = {item.mutant: item.why for item in parse_variants(read_toml(sources.folder / "variants.toml"))[1]}
    sampled = random.Random(PUBLISHED_SEED).sample(made, min(len(made), MUTANTS_SAMPLED))
    chosen = made if full else sampled
    proof = Proof("every machine-made mutant fails a hidden check", f"{len(chosen)} of {len(made)} mutants")
    files = [sources.folder / HIDDEN_CHECKS]
    header = sources.header(PUBLISHED_SEED, "all")
    plan = Plan(exercise, files, sources.live(), texts_from(exercise, header), header, PUBLISHED_SEED, "all")

    def body(session: Session) -> list[Mutant]:
        if not session.passes_all(_submission("the solution", sources.solution)):
            proof.problems.append(f"the solution itself fails where a call may take {MUTANT_SECONDS:g} seconds")
        return [mutant for mutant in chosen if session.passes_all(_mutated(mutant))]

    survivors = plan.run(server, body)
    for mutant in survivors:
        if mutant.name not in equivalent:
            proof.problems.append(f"survives: {mutant.name}   {mutant.description}")
    names = {mutant.name for mutant in made}
    living = {mutant.name for mutant in survivors}
    for name in equivalent:
        if name not in names:
            proof.problems.append(f"[[equivalent]] names no mutant: {name}")
        elif name in {mutant.name for mutant in chosen} and name not in living:
            proof.problems.append(f"[[equivalent]] names a mutant that fails: {name}")
    proof.seen += f", {len(equivalent)} equivalent"
    return proof


def _mutated(mutant: Mutant) -> Submission:
    return _submission(mutant.name, mutant.source)


def _by_public_tape(course: Course, sources: Sources, server: Server) -> Proof:
    """The committed tape judges and names as the live oracle does, for what public checks can fail."""
    proof = Proof("the public tape names what public checks can fail")
    path = course.tape_file(sources.exercise)
    if not path.is_file():
        proof.problems.append("there is no tape; run `make build`")
        return proof
    tape = parse_tape(path.read_bytes(), path)
    files = [sources.folder / PUBLIC_CHECKS]
    exercise = sources.exercise
    plan = Plan(exercise, files, tape, texts_from(exercise, tape.header), tape.header, tape.seed, "public")

    def body(session: Session) -> int:
        failing = 0
        if session.grade(_submission("the solution", sources.solution)).status != "passed":
            proof.problems.append("the solution fails by the tape")
        for variant in sources.variants:
            if variant.kind == "wrong":
                report = session.grade(_submission(variant.name, apply(sources.solution, variant)))
                failed = [check for check in report.checks if check.outcome != "passed"]
                failing += bool(failed)
                for check in failed:
                    if variant.name not in check.looks_like and not _public_twin(tape, check, variant):
                        proof.problems.append(f"{variant.name} is called {check.looks_like} by {check.name!r}")
        return failing

    failing = plan.run(server, body)
    proof.seen = f"{failing} of {len(tape.wrong)} variants fail in public"
    return proof


def _public_twin(tape: Any, check: Any, variant: Variant) -> bool:
    """Another variant answers all public calls alike, so that the public checks cannot tell the two apart."""
    mine = list(tape.recorded(variant.name))
    for name in check.looks_like:
        theirs = list(tape.recorded(name))
        if all(diagnose.matches(a, b.__getitem__, {}) for a, b in zip(mine, theirs, strict=True) if a):
            return True
    return False


# ---------------------------------------------------------------- tolerances


def _measure(marks: _Marks, margins: list[Margin], wrong: bool) -> None:
    """Add what right variants needed, and with ``wrong`` what wrong ones exceeded, to the margins, one row a check and dtype."""
    session, sources = marks.session, marks.sources
    rows = {(row.check, row.dtype, row.tolerance): row for row in margins}
    live = sources.live()
    subjects = [("", live.solution())]
    subjects += [
        (variant.name if variant.kind == "wrong" else "", live.edited(apply(sources.solution, variant)))
        for variant in sources.variants
        if wrong or variant.kind == "right"
    ]
    for name, subject in subjects:
        for check in session.checks:
            run = session.run_check(check, subject)
            if name and run.error is None:
                continue
            compared = run.record.compared[-1:] if name else run.record.compared
            for got, expected, dtypes, tolerance in compared:
                errors: dict[str, float] = {}  # an answer may hold several arrays of one dtype
                for dtype, error in relative_error(got, expected, dtypes):
                    errors[dtype] = max(errors.get(dtype, 0.0), error)
                for dtype, error in errors.items():
                    allowed = tolerance_for(dtype, sources.exercise.tolerances) if tolerance is None else tolerance
                    row = rows.setdefault((check.name, dtype, allowed), Margin(check.name, dtype, allowed))
                    if not name:
                        row.needed = max(row.needed, error)
                    elif row.tolerance < error < row.nearest:
                        row.nearest, row.nearest_name = error, name
    margins[:] = list(rows.values())


def _tolerances(margins: list[Margin]) -> Proof:
    proof = Proof(f"tolerances lie {MARGIN:g} times off on both sides", f"{len(margins)} pairs of check and dtype")
    for row in margins:
        if row.needed * MARGIN > row.tolerance:
            proof.problems.append(
                f"{row.check!r}, {row.dtype}: a right answer needs {row.needed:.1e} of {row.tolerance:.0e}"
            )
        if row.nearest < row.tolerance * MARGIN:
            proof.problems.append(
                f"{row.check!r}, {row.dtype}: {row.nearest_name} is off by {row.nearest:.1e}, allowed is {row.tolerance:.0e}"
            )
    return proof


def tolerance_section(evidence: Evidence) -> str:
    """Every tolerance of an exercise with what right answers need and the nearest wrong variant."""
    out = [
        f"## {evidence.exercise.name}",
        "",
        "| check | dtype | needed | allowed | nearest wrong | which |",
        "|---|---|---|---|---|---|",
    ]
    for row in sorted(evidence.margins, key=lambda row: (row.check, row.dtype)):
        nearest = _magnitude(row.nearest) if row.nearest_name else "–"
        out.append(
            f"| {row.check} | {row.dtype} | {_magnitude(row.needed)} | {row.tolerance:.0e} | {nearest} | {row.nearest_name or '–'} |"
        )
    return "\n".join([*out, ""])


def _magnitude(error: float) -> str:
    return "0" if error == 0 else "1e{:+03d}".format(int(f"{error:e}".partition("e")[2]))


# ---------------------------------------------------------------- proofs by reading


def _about_files(course: Course, sources: Sources) -> Iterator[Proof]:
    yield _printed(course, sources)
    yield _no_leak(sources)
    yield _same_as_nbgrader(sources)
    yield _conventions(sources)
    yield _task(sources)
    yield _named_in_path(course, sources)
    yield _no_stray_file(course, sources)


def _printed(course: Course, sources: Sources) -> Proof:
    proof = Proof("exercises/ is what build prints now", "README, stub, notebook, public checks")
    said: list[str] = []
    if build(course, check=True, say=said.append):
        proof.problems += [line for line in said if sources.exercise.folder in line or sources.exercise.name in line]
    return proof


def _no_leak(sources: Sources) -> Proof:
    """No blanked body, hidden check or variant's edit is in what students get."""
    given = {name: _squeezed(content.decode()) for name, content in printed_files(sources).items()}
    needles: list[tuple[str, str]] = []
    for name, body in stub.bodies(sources.solution, sources.exercise.blanked).items():
        needles.append((f"the body of {name}", body))
        needles += [(f"a line of {name}", line) for line in body.split("\n") if len(line.strip()) > 30]
    tree = ast.parse(sources.text(HIDDEN_CHECKS))
    hidden = sources.text(HIDDEN_CHECKS)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            needles.append((f"the hidden check {node.name}", ast.get_source_segment(hidden, node) or ""))
            needles.append(("a hidden check's name", f"def {node.name}"))
    for variant in sources.variants:
        needles += [
            (f"the edit of {variant.name}", text) for text in (*[edit.put for edit in variant.edits], variant.replace)
        ]
    allowed = _squeezed(sources.stub)
    proof = Proof(
        "no body, hidden check or variant's edit is handed out", f"{len(needles)} texts in {len(given)} files"
    )
    for what, text in needles:
        needle = _squeezed(text)
        if len(needle) < 25 or needle in allowed:
            continue
        proof.problems += [f"{what} is in {name}" for name, content in given.items() if needle in content]
    return proof


def _squeezed(text: str) -> str:
    return re.sub(r'\s+|\\n|\\"', "", text)


def _same_as_nbgrader(sources: Sources) -> Proof:
    proof = Proof("our stub is what nbgrader leaves")
    try:
        from nbformat.v4 import new_code_cell, new_notebook
        from nbgrader.preprocessors import ClearSolutions
    except ImportError:
        proof.seen = "not checked: nbgrader is not installed"
        return proof
    cell = new_code_cell(stub.with_markers(sources.solution, sources.exercise.blanked))
    cell.metadata["nbgrader"] = {
        "solution": True,
        "grade": False,
        "locked": False,
        "schema_version": 3,
        "grade_id": "a",
    }
    clear = ClearSolutions()
    clear.code_stub = {"python": f"{stub.STUB_COMMENT}\n{stub.STUB_RAISE}"}
    cleared, _ = clear.preprocess(new_notebook(cells=[cell], metadata={"kernelspec": KERNEL}), {})
    proof.seen = f"{len(sources.exercise.blanked)} functions cleared by nbgrader"
    if cleared.cells[0].source.rstrip() != sources.stub.rstrip():
        proof.problems.append("clearing the marked solution gives another text than our stub")
    return proof


def _documented(sources: Sources) -> Proof:
    tree = ast.parse(sources.solution)
    blanked = sources.exercise.blanked
    proof = Proof("every blanked function has a docstring, the module a link", f"{len(blanked)} functions")
    if "https://" not in (ast.get_docstring(tree) or ""):
        proof.problems.append(f"{sources.exercise.module} names no source with a link")
    for name, node in stub.definitions(tree):
        if name in blanked and not ast.get_docstring(node):
            proof.problems.append(f"{name} has no docstring")
    for name in set(blanked) - {name for name, _ in stub.definitions(tree)}:
        proof.problems.append(f"{name} is not in {sources.exercise.module}")
    return proof


def _conventions(sources: Sources) -> Proof:
    task = " ".join(sources.text("task.md").split())
    named = [variant for variant in sources.variants if variant.convention]
    proof = Proof("every convention is fixed in the task's text", f"{len(named)} variants of convention")
    proof.problems += [f"{v.name}: {v.convention!r} is not in task.md" for v in named if v.convention not in task]
    return proof


def _task(sources: Sources) -> Proof:
    task = sources.text("task.md")
    words = len(re.findall(r"\S*\w\S*", without_hints(task)))
    hints = parse_hints(task)
    proof = Proof("the task is short and has four hints a step", f"{words} words, {len(hints)} steps with hints")
    if words > TASK_WORDS:
        proof.problems.append(f"{words} words; {TASK_WORDS} are allowed")
    for step in sources.exercise.steps:
        tiers = hints.get(step.name, [])
        if len(tiers) != 4:
            proof.problems.append(f"{step.name} has {len(tiers)} hints")
        elif len(tiers[0].split()) > HINT_WORDS:
            proof.problems.append(f"the first hint of {step.name} has over {HINT_WORDS} words")
        if not re.search(rf"^## Step `?{step.name}\b", task, re.MULTILINE):
            proof.problems.append(f"task.md has no section for {step.name}")
    return proof


def _named_in_path(course: Course, sources: Sources) -> Proof:
    proof = Proof("reading_path.md names the exercise", "reading_path.md")
    path = course.root / "reading_path.md"
    if not path.is_file() or f"`{sources.exercise.name}`" not in path.read_text(encoding="utf-8"):
        proof.problems.append(
            f"reading_path.md has no line with `{sources.exercise.name}`, in backticks: write one where the exercise stands "
            "on the path (the generated table does not count)"
        )
    return proof


def _no_stray_file(course: Course, sources: Sources) -> Proof:
    proof = Proof("there is no stray file", "the exercise's two folders")
    allowed = SOLUTION_FILES | {sources.exercise.module, *sources.exercise.besides}
    here = {name.split("/")[0] for name in _kept_files(course, sources.folder)}
    proof.problems += [f"solutions/{sources.exercise.folder}/{name}" for name in sorted(here - allowed)]
    printed = set(printed_files(sources))
    there = _kept_files(course, course.exercise_folder(sources.exercise))
    proof.problems += [f"exercises/{sources.exercise.folder}/{name}" for name in sorted(there - printed)]
    return proof


def _kept_files(course: Course, folder: Path) -> set[str]:
    """The files that belong to the course: those that git tracks, or, without git, all but caches and backups."""
    if (course.root / ".git").exists():
        listed = subprocess.run(["git", "-C", str(folder), "ls-files"], capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            return set(listed.stdout.split())
    found = set()
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        found |= {Path(parent, name).relative_to(folder).as_posix() for name in files if ".bak-" not in name}
    return found
