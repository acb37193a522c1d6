"""The course proves itself.

Every exercise is proved here with the published seed and a sample of its mutants. The whole proof, with five fresh seeds and
all mutants, is `grader verify --full`; what it saw is committed, and the tests below compare what it was made of.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from grader.system.course import Course
from grader.verbs.grading import Sources
from grader.verbs.verify import PROOFS, TOLERANCES, Evidence, prove, proved_files, sections_of, table

ROOT = Path(__file__).resolve().parents[2]
COURSE = Course(ROOT)
EXERCISES = {exercise.name: exercise for exercise in COURSE.found()}


def section_of(page: str, name: str) -> str:
    """An exercise's section of a generated page; the test is skipped where nothing has been proved in full yet."""
    path = ROOT / page
    found = sections_of(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if name not in found:
        pytest.skip(f"`grader verify {name} --full` has not been written to {page} yet")
    return found[name]


def not_listed(evidence: Evidence, section: str) -> set[tuple[str, str]]:
    """The checks and dtypes that were measured and do not stand in the section, or stand there and were not measured."""
    listed = set(re.findall(r"^\| (.+?) \| (b?float\d+) \|", section, flags=re.MULTILINE))
    return listed ^ {(row.check, row.dtype) for row in evidence.margins}


@pytest.mark.parametrize("name", EXERCISES)
def test_the_whole_proof_was_made_of_the_files_that_are_here(name):
    section = section_of(PROOFS, name)

    assert f"`{proved_files(Sources(COURSE, EXERCISES[name]))}`" in section, f"run `grader verify {name} --full`"
    assert "all holds" in section
    assert " FAILS " not in section
    [(done, of)] = re.findall(r"every machine-made mutant fails a hidden check +(\d+) of (\d+) mutants", section)
    assert done == of
    assert "6 seeds" in section


@pytest.mark.last
@pytest.mark.parametrize("name", EXERCISES)
def test_every_line_of_verify_holds(name):
    exercise = EXERCISES[name]
    if exercise.framework == "torch" and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    section = section_of(TOLERANCES, name)  # skips what has not been proved in full yet

    evidence = prove(COURSE, exercise, full=False, seeds=0)

    assert evidence.holds, "\n".join(["", *table(evidence)])
    assert not_listed(evidence, section) == set(), f"run `grader verify {name} --full`"
