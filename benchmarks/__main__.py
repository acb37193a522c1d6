"""Measures every claim, writes ``benchmarks/results/*.json`` and a table, and exits with 1 when one is missed.

Machines are noisy and differ, so a claim is a ratio: milliseconds count at the speed of a machine on which a fresh Python with numpy
takes `REFERENCE_START` milliseconds, measured again in every run; several times are compared with others of the same run.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import cold, many, warm, with_torch
from benchmarks.timing import Floor, measure_floor

RESULTS = Path(__file__).with_name("results")
TABLE = RESULTS / "README.md"


@dataclass(frozen=True)
class Row:
    """One claim: what was measured, what is allowed, both in the same unit."""

    claim: str
    measured: float
    allowed: float
    unit: str
    note: str = ""

    @property
    def holds(self) -> bool:
        return self.measured <= self.allowed


def main() -> int:
    """Run all benchmarks; 0 when every claim holds."""
    floor = measure_floor()
    sections = {
        "warm": _warm(floor, warm.measure()),
        "cold": _cold(cold.measure()),
        "many": _many(floor, many.measure()),
    }
    if with_torch.available():
        sections["torch"] = _with_torch(floor, with_torch.start(), list(with_torch.verdicts()))
    RESULTS.mkdir(exist_ok=True)
    for name, rows in sections.items():
        content = {
            "python": platform.python_version(),
            "floor": asdict(floor),
            "rows": [asdict(row) | {"holds": row.holds} for row in rows],
        }
        (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    table = _table(floor, [row for rows in sections.values() for row in rows])
    TABLE.write_text(table, encoding="utf-8")
    print(table)
    return 0 if all(row.holds for rows in sections.values() for row in rows) else 1


def _warm(floor: Floor, times: warm.Warm) -> list[Row]:
    delay = f"the watcher's own delay: {times.delay:.0f} ms more"
    return [
        Row("change to verdict, right, all checks", floor.scaled(times.right), 100, "ms", delay),
        Row("change to verdict, wrong, one variant explains it", floor.scaled(times.wrong), 200, "ms", delay),
        Row("change to verdict, wrong, a pair explains it", floor.scaled(times.pair), 1000, "ms", delay),
    ]


def _cold(times: cold.Cold) -> list[Row]:
    note = f"empty pytest {times.empty:.0f} ms, right {times.right:.0f} ms, wrong {times.wrong:.0f} ms"
    return [
        Row("cold `grader check attention`, right", times.right / times.empty, 2, "× an empty pytest", note),
        Row("cold `grader check attention`, wrong, diagnosed", times.wrong / times.empty, 3, "× an empty pytest", note),
    ]


def _many(floor: Floor, times: many.Many) -> list[Row]:
    note = f"{times.count} submissions, {times.processes} processes"
    return [
        Row("each of many, right", floor.scaled(times.right), 30, "ms", note),
        Row("each of many, wrong, diagnosed by tape", floor.scaled(times.wrong), 50, "ms", note),
    ]


def _with_torch(floor: Floor, start: with_torch.Start, verdicts: list[with_torch.Verdicts]) -> list[Row]:
    share = f"a fork {start.fork:.0f} ms, a cold `import torch` {start.fresh:.0f} ms"
    rows = [Row("a fork's first answer, PyTorch loaded", start.fork / start.fresh, 0.1, "× a cold import", share)]
    for one in verdicts:
        note = (
            f"right {one.right:.0f} ms, wrong {one.wrong:.0f} ms, of these the checks' computing {one.computing:.0f} ms"
        )
        beside = max(one.right, one.wrong) - one.computing
        rows.append(Row(f"change to verdict, {one.name}, beside the computing", floor.scaled(beside), 200, "ms", note))
    return rows


def _table(floor: Floor, rows: Sequence[Row]) -> str:
    out = [
        "# What was measured",
        "",
        "Written by `make bench`: medians of one run, milliseconds at the speed of a machine that starts Python with numpy in "
        f"{floor.reference:.0f} ms (this one: {floor.fresh:.0f} ms). The floor, from a warm process and with all layers of "
        f"isolation, for a file and 40 calls: {floor.warm:.1f} ms here.",
        "",
        "| claim | measured | allowed | | |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        verdict = "holds" if row.holds else "MISSED"
        out.append(f"| {row.claim} | {row.measured:.3g} {row.unit} | {row.allowed:g} | {verdict} | {row.note} |")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    sys.exit(main())
