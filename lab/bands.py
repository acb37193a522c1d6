"""How sure a mean over a few trainings is: intervals by Student's t.

Source: Student 1908, The Probable Error of a Mean, https://doi.org/10.1093/biomet/6.1.1
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Of Student's distribution with 1, 2, … 9 degrees of freedom lies 95 % within ± this. From any table of it.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Band:
    """A mean and the half-width of its 95 % interval."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        """The lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + self.half

    @property
    def decided(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def band(values: Sequence[float]) -> Band:
    """The mean of two values or more, and its 95 % interval; with more than ten, the interval is a little too wide."""
    spread = statistics.stdev(values) / math.sqrt(len(values))
    return Band(statistics.fmean(values), T95[min(len(values) - 1, len(T95)) - 1] * spread)


def bands(rows: Sequence[Sequence[float]]) -> list[Band]:
    """A band for each place of rows that are equally long: one row for each training."""
    return [band(values) for values in zip(*rows, strict=True)]
