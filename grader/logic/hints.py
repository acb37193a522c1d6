"""Hints, as they stand in an exercise's ``task.md``: four tiers a step, none of them code."""

from __future__ import annotations

import re

_SECTION = re.compile(r"^## Hints\s*$", re.MULTILINE)
_STEP = re.compile(r"^### +`?([a-z0-9_]+)`?\s*$", re.MULTILINE)
_TIER = re.compile(r"^\d+\. +", re.MULTILINE)


def parse_hints(task: str) -> dict[str, list[str]]:
    """The tiers of each step, by the step's name, from ``## Hints`` on to the next section of that level."""
    start = _SECTION.search(task)
    if start is None:
        return {}
    section = re.split(r"^## ", task[start.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    pieces = _STEP.split(section)
    return {name: _tiers(text) for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def without_hints(task: str) -> str:
    """The task without its hints, which are told one by one."""
    start = _SECTION.search(task)
    if start is None:
        return task
    rest = re.split(r"^(?=## )", task[start.end() :], maxsplit=1, flags=re.MULTILINE)
    return task[: start.start()].rstrip() + "\n" + ("\n" + rest[1] if len(rest) > 1 else "")


def _tiers(text: str) -> list[str]:
    return [" ".join(piece.split()) for piece in _TIER.split(text)[1:]]
