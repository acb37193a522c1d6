"""The course proves itself: what `grader verify --full` looks at holds for every exercise, with five fresh seeds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grader.system.course import Course
from grader.verbs.verify import FRESH_SEEDS, Evidence, prove, table

ROOT = Path(__file__).resolve().parents[2]
COURSE = Course(ROOT)
NAMES = [exercise.name for exercise in COURSE.found()]
PAGE = ROOT / "docs" / "tolerances.md"


def not_listed(evidence: Evidence, page: str) -> set[tuple[str, str]]:
    """The checks and dtypes that were measured and do not stand on the page, or stand there and were not measured."""
    section = page.partition(f"## {evidence.exercise.name}\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| (.+?) \| (float\d+) \|", section, flags=re.MULTILINE))
    return listed ^ {(row.check, row.dtype) for row in evidence.margins}


@pytest.mark.last
@pytest.mark.parametrize("name", NAMES)
def test_every_line_of_verify_holds(name, capsys):
    exercise = COURSE.find(name)

    evidence = prove(COURSE, exercise, full=True, seeds=FRESH_SEEDS)

    assert evidence.holds, "\n".join(["", *table(evidence)])
    assert not PAGE.exists() or not_listed(evidence, PAGE.read_text(encoding="utf-8")) == set(), (
        "run `grader verify --full`"
    )
