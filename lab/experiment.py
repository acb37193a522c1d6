"""The shape of an experiment: what it is given and what it hands back.

An exercise's `experiment.py` names its experiments in `EXPERIMENTS`, a dictionary; the first is the default.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeVar

from lab.parts import Part

Item = TypeVar("Item")


class Progress(Protocol):
    """Wraps an iterable and shows how far the loop over it has come."""

    def __call__(self, items: Iterable[Item], title: str) -> Iterator[Item]: ...


class CannotRun(Exception):
    """The experiment lacks something on this machine; the message says what, and how to get it."""


class Refused(Exception):
    """The code under test is not fit for the experiment, and running it would mislead; the message says why."""


INSTALL = {
    "torch": "python -m pip install torch --index-url https://download.pytorch.org/whl/cpu",
    "safetensors": "python -m pip install safetensors",
}


def need(*packages: str) -> None:
    """Raises CannotRun, with the commands that bring them, where one of these packages of `INSTALL` is missing."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            commands = "\n".join(f"    {INSTALL[one]}" for one in packages)
            names = " and ".join("PyTorch" if one == "torch" else one for one in packages)
            raise CannotRun(f"This experiment needs {names}. The CPU build is enough:\n{commands}") from None


@dataclass(frozen=True)
class Context:
    """What an experiment may use: the learner's module, a folder for its results, how long it may take.

    `parts` holds the learner's own passed parts of other exercises by name, where they are wanted.
    """

    module: ModuleType
    out: Path
    quick: bool
    progress: Progress
    parts: Mapping[str, Part] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What came out: one sentence, a table to print, the numbers, and the files written."""

    finding: str
    table: str
    numbers: dict[str, Any]
    files: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Experiment:
    """One experiment. `guess` is the question that a learner answers before the result is shown.

    `parts`: which functions and classes of other exercises it can use, and the step to be passed for each; see lab/parts.py.
    """

    name: str
    title: str
    guess: str
    run: Callable[[Context], Result]
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
