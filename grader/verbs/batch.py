"""Grading many submissions in one go: the checks are collected once, and as many processes as asked for share the work."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from typing import Any

from grader.model.types import Report, Submission
from grader.system.host import Server
from grader.verbs.grading import Plan
from grader.verbs.session import Session

_session: list[Session] = []


def grade_many(plan: Plan, submissions: Sequence[Submission], workers: int | None = None) -> list[Report]:
    """The reports, in the order of the submissions.

    ``workers`` processes grade at the same time (default: one for each core). Each is a fork of the process that collected the
    checks and has a worker server of its own; where there is no fork, one process does it all.
    """
    count = min(workers or len(_cores()), len(submissions))
    with contextlib.closing(Server()) as server:
        return plan.run(server, lambda session: list(_graded(session, submissions, count)))


def _graded(session: Session, submissions: Sequence[Submission], count: int) -> Iterator[Report]:
    if count < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(session.grade, submissions)
        return
    _session[:] = [session]
    context = multiprocessing.get_context("fork")
    turns = context.Value("i", 0)
    with context.Pool(count, _start, (turns,)) as pool:
        yield from pool.imap(_grade, submissions, chunksize=1)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _start(turns: Any) -> None:
    """In a new process: a server of its own, on one core with it; questions and answers take turns, so they share it well."""
    with turns.get_lock():
        turn = turns.value
        turns.value += 1
    cores = _cores()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cores[turn % len(cores)]})
    session = _session[0]
    session.server = Server(session.server.packages, fork=session.server.fork, without=session.server.without).start()


def _grade(submission: Submission) -> Report:
    return _session[0].grade(submission)
