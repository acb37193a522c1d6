"""A course without solutions/: the public checks still judge, and name every variant that they can fail."""

from __future__ import annotations

import importlib.util
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from grader.logic.diagnose import matches
from grader.logic.variants import apply
from grader.model.errors import UsageError
from grader.model.types import Cell, Submission
from grader.system.course import Course
from grader.system.host import Server
from grader.system.tape import Tape
from grader.verbs.build import build
from grader.verbs.grading import Plan, Sources, make_plan, texts_from

ROOT = Path(__file__).resolve().parents[2]
TORCH = importlib.util.find_spec("torch") is not None
REAL = [exercise.name for exercise in Course(ROOT).found() if TORCH or exercise.framework != "torch"]


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def kits(tmp_path_factory, printed_toy):
    """Courses as printed, and copies without solutions/, by the exercise's name; the working copy is left alone."""
    found = {}
    for names, solutions in ((REAL, ROOT / "solutions"), (["counter"], printed_toy / "solutions")):
        whole = tmp_path_factory.mktemp("whole")
        for path in solutions.iterdir():
            if path.name.partition("_")[2] in names:
                shutil.copytree(path, whole / "solutions" / path.name)
        build(Course(whole), say=lambda text: None)
        kit = tmp_path_factory.mktemp("kit")
        for part in ("exercises", "tapes"):
            shutil.copytree(whole / part, kit / part)
        found |= dict.fromkeys(names, (Course(whole), Course(kit)))
    return found


def variants_of(course, name):
    sources = Sources(course, course.find(name))
    return sources, {variant.name: apply(sources.solution, variant) for variant in sources.variants}


def public_reports(plan, sources, server):
    """What public checks say of each source, less what names the place and takes the time."""

    def body(session):
        return {name: session.grade(Submission("s.py", (Cell(text),))) for name, text in sources.items()}

    return {name: replace(report, seconds=0) for name, report in plan.run(server, body).items()}


def live_plan(sources):
    header = sources.header(7, "public")
    exercise = sources.exercise
    return Plan(
        exercise, [sources.folder / "test_public.py"], sources.live(), texts_from(exercise, header), header, 7, "public"
    )


@pytest.mark.parametrize("name", [*REAL, "counter"])
def test_every_variant_gets_the_verdict_that_the_solutions_would_give(kits, name, server):
    whole, kit = kits[name]
    sources, variants = variants_of(whole, name)
    some = random.Random(7).sample(sorted(variants), min(len(variants), 12))  # `grader verify` looks at all of them
    variants = {variant: variants[variant] for variant in some}
    plan = make_plan(kit, kit.find(name))

    by_tape = public_reports(plan, variants, server)

    assert isinstance(plan.oracle, Tape) and plan.scope == "public" and not kit.solutions.exists()
    assert by_tape == public_reports(live_plan(sources), variants, server)


@pytest.mark.parametrize("name", [*REAL, "counter"])
def test_every_variant_that_fails_is_named(kits, name, server):
    whole, kit = kits[name]
    sources, variants = variants_of(whole, name)
    kinds = {variant.name: variant.kind for variant in sources.variants}

    reports = public_reports(make_plan(kit, kit.find(name)), variants, server)

    failing = {variant: report for variant, report in reports.items() if report.status == "failed"}
    failing |= {variant: report for variant, report in reports.items() if report.score < report.max_score}
    assert {kinds[variant] for variant in failing} == {"wrong"}
    assert len(failing) >= 3
    for variant, report in failing.items():
        for check in report.checks:
            if check.outcome != "passed":
                assert len(check.looks_like) == 1, (variant, check.name)
                assert variant == check.looks_like[0] or alike(kit, name, variant, check.looks_like[0]), (
                    variant,
                    check,
                )


def alike(kit, name, one, two):
    """Whether two variants answer every public call alike, so that no public check can tell them apart."""
    plan = make_plan(kit, kit.find(name))
    pairs = zip(plan.oracle.recorded(one), plan.oracle.recorded(two), strict=True)
    return all(matches(mine, theirs.__getitem__, plan.exercise.tolerances) for mine, theirs in pairs if mine)


def test_two_variants_that_differ_in_public_are_not_alike(kits):
    _, kit = kits["counter"]

    assert not alike(kit, "counter", "divides_by_the_largest", "merges_by_the_larger")
    assert alike(kit, "counter", "last_of_a_tie", "least_common")


def test_of_ideas_that_fit_alike_the_first_in_the_author_s_order_is_named(kits):
    whole, kit = kits["counter"]
    wrong = tuple(variant.name for variant in Sources(whole, whole.find("counter")).variants if variant.kind == "wrong")

    assert make_plan(kit, kit.find("counter")).oracle.wrong == wrong != tuple(sorted(wrong))


def test_stub_and_solution_are_judged(kits, server):
    whole, kit = kits["counter"]
    sources, _ = variants_of(whole, "counter")

    reports = public_reports(
        make_plan(kit, kit.find("counter")), {"stub": sources.stub, "solution": sources.solution}, server
    )

    assert (reports["stub"].status, reports["stub"].score) == ("not_started", 0)
    assert (reports["solution"].status, reports["solution"].score) == ("passed", 3)


def test_another_seed_is_refused_with_the_one_to_take(kits):
    _, kit = kits["counter"]

    assert make_plan(kit, kit.find("counter"), seed=7).seed == 7
    with pytest.raises(UsageError, match="recorded with seed 7") as caught:
        make_plan(kit, kit.find("counter"), seed=8)
    assert "--seed" in caught.value.mend


def test_objects_that_the_solution_does_not_have_are_judged_too(toy, server):
    """A method that returns its object shifts the numbers of all objects after it: the tape holds no such calls."""
    checks = toy / "solutions" / "ex01_counter" / "test_public.py"
    asked = "    counter.add(np.array([[4, 0, 1], [3, 4, 4]]))\n"
    text = checks.read_text()
    assert asked in text
    checks.write_text(text.replace(asked, asked + "    counter = counter.merged(student.Counter(5))\n"))
    build(Course(toy), say=lambda text: None)
    sources, _ = variants_of(Course(toy), "counter")
    source = sources.solution.replace(
        "self.counts = self.counts + found\n", "self.counts = found * 2\n        return self\n"
    )
    shutil.rmtree(toy / "solutions")

    course = Course(toy)
    report = public_reports(make_plan(course, course.find("counter")), {"it": source}, server)["it"]

    failed = [check for check in report.checks if check.outcome != "passed"]
    assert [(check.step, check.looks_like) for check in failed] == [("counting", [])]
    assert "expected" in failed[0].message
