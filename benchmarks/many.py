"""A class: many submissions in one go, as many processes as there are cores."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass

from benchmarks import subjects
from grader.model.types import Submission
from grader.verbs.batch import grade_many
from grader.verbs.grading import Plan

ROUNDS = 5
COUNT = 100


@dataclass(frozen=True)
class Many:
    """Milliseconds for each submission, the whole command's time shared out."""

    right: float
    wrong: float
    count: int
    processes: int


def measure() -> Many:
    """Medians over rounds of a class that is all right, and of one that is all wrong."""
    plan = subjects.plan()
    right = [subjects.right(number) for number in range(COUNT)]
    wrong = (subjects.wrong_variants() * COUNT)[:COUNT]
    return Many(_each(plan, right), _each(plan, wrong), COUNT, os.cpu_count() or 1)


def _each(plan: Plan, submissions: list[Submission]) -> float:
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        grade_many(plan, submissions)
        taken.append((time.perf_counter() - began) * 1e3 / len(submissions))
    return statistics.median(taken)
