"""A form that a learner fills in after a run, and that is compared with the run's own numbers.

The form is TOML. Whatever is written into it stays: a form is laid out only where none is.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.experiment import CannotRun, Refused
from lab.runs import write_atomically


@dataclass(frozen=True)
class Claim:
    """One line of a form: what it says, and what is wrong with it; nothing where it holds."""

    name: str
    said: Any
    wrong: str = ""

    @property
    def line(self) -> str:
        """The line for the screen."""
        said = self.name if blank(self.said) else f"{self.name} = {json.dumps(self.said, default=str)}"
        return f"✗ {said}\n    {self.wrong}" if self.wrong else f"✓ {said}  holds"


def lay_out(path: Path, form: str) -> list[Path]:
    """Write the form where no file is; what was written."""
    return [] if path.exists() else [write_atomically(path, form)]


def read(path: Path) -> dict[str, Any]:
    """What a form says. CannotRun where there is none, Refused where it is no TOML any more."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise CannotRun(f"There is no {path}. The experiment lays it out at its end: run it again.") from None
    except ValueError as problem:  # of TOML, or of UTF-8
        raise Refused(
            f"{path} cannot be read: {problem}.\n"
            "A word stands in quotation marks, a number and true or false stand without. To begin anew, delete the\n"
            "file and run the experiment again."
        ) from None


def said(form: dict[str, Any], name: str) -> Any:
    """What the form says under a name, with a dot for each table on the way; None where that is missing."""
    found: Any = form
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def blank(value: Any) -> bool:
    """Whether nothing is filled in yet."""
    return value is None or (isinstance(value, str) and not value.strip())


def number(value: Any) -> bool:
    """Whether it is a finite number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def judged(claims: Sequence[Claim], notes: Sequence[str] = ()) -> str:
    """A line for each claim. Refused, with these lines, where not all of them hold."""
    holding = sum(not claim.wrong for claim in claims)
    lines = [*notes, *(claim.line for claim in claims)]
    if holding < len(claims):
        raise Refused("\n".join([*lines, "", f"{holding} of {len(claims)} claims hold."]))
    return "\n".join(lines)
