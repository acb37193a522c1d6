"""Plots in one style: the title says the finding, lines carry their labels, colour-blind people tell them apart.

matplotlib is imported when a plot is made, never before; its windows and its global state are not touched.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.runs import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, the ones that also differ in lightness: https://jfly.uni-koeln.de/color/
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
INK = "#222222"
FAINT = "#8A8A8A"


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def figure(title: str, subtitle: str, panels: int, panel: float = 4.1) -> tuple[Figure, list[Axes]]:
    """A figure with that many panels side by side, each `panel` inches wide, under a title that says what was found."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = 0.9 + panel * panels, 4.9  # inches
    made = Figure(figsize=(width, height), dpi=150, facecolor="white")
    FigureCanvasAgg(made)
    left, right = 0.75 / width, 1 - 0.3 / width
    made.text(left, 1 - 0.2 / height, title, ha="left", va="top", fontsize=15, fontweight="bold", color=INK)
    made.text(left, 1 - 0.58 / height, subtitle, ha="left", va="top", fontsize=10.5, color=FAINT)
    grid = made.add_gridspec(1, panels, left=left, right=right, bottom=0.6 / height, top=1 - 1.35 / height, wspace=0.24)
    return made, [dress(made.add_subplot(grid[0, i])) for i in range(panels)]


def dress(axes: Axes) -> Axes:
    """No box, a faint grid, small ticks."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(which="both", colors=FAINT, labelcolor=INK, labelsize=9, length=3)
    axes.grid(which="major", color="#EBEBEB", linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def heading(axes: Axes, text: str) -> None:
    """What one panel shows, above its left edge."""
    axes.set_title(text, loc="left", fontsize=11, color=INK, pad=9)


def label(axes: Axes, x: float, y: float, text: str, colour: str, **where: object) -> None:
    """A word beside the line that it names, readable across grid and lines."""
    from matplotlib.patheffects import withStroke

    style = {"fontsize": 10, "color": colour, "path_effects": [withStroke(linewidth=3, foreground="white")], **where}
    axes.annotate(text, (x, y), **style)


def apart(heights: Sequence[float], room: float) -> list[float]:
    """Heights for words beside lines that end at these: as near as can be, at least `room` from one another."""
    order = sorted(range(len(heights)), key=lambda which: heights[which])
    places: list[list[int]] = []  # words that touch, lowest first
    middles: list[float] = []
    for which in order:
        places.append([which])
        middles.append(heights[which])
        while len(places) > 1 and middles[-1] - middles[-2] < room * (len(places[-1]) + len(places[-2])) / 2:
            places[-2:] = [places[-2] + places[-1]]
            middles[-2:] = [sum(heights[one] for one in places[-1]) / len(places[-1])]
    found = list(heights)
    for words, middle in zip(places, middles, strict=True):
        for number, which in enumerate(words):
            found[which] = middle + room * (number - (len(words) - 1) / 2)
    return found


def save(made: Figure, path: Path) -> Path:
    """The figure as a PNG, whole or not at all."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="png")
    return write_atomically(path, buffer.getvalue())
