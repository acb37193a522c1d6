"""The clock that runs beside a file which is written from memory."""

from __future__ import annotations

import json
import math
from pathlib import Path

CLOCK = "clock.json"


def clock_started(folder: Path) -> float | None:
    """When the clock in a folder was started, in seconds since 1970; None where none runs."""
    try:
        started = float(json.loads((folder / CLOCK).read_text(encoding="utf-8"))["started"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return started if math.isfinite(started) else None
