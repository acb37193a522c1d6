"""Parts that a learner has built in other exercises, for experiments that can use them in place of PyTorch's.

An experiment names them: `parts={"block": {"gelu": "gelu"}}` is the function `gelu` of the exercise `block`, and the step
that has to be passed for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """A function or class of the learner's: from which exercise it is, and the fingerprint of the file."""

    value: Any
    exercise: str
    code: str


def pick(parts: Mapping[str, Part], name: str, otherwise: Any) -> Any:
    """The learner's part of that name, or what stands in for it."""
    return parts[name].value if name in parts else otherwise


def fingerprints(parts: Mapping[str, Part]) -> dict[str, str]:
    """For a run's settings: rows measured with other parts are not this run's rows."""
    return {name: f"{part.exercise} {part.code}" for name, part in sorted(parts.items())}
