"""Measures every claim, writes ``benchmarks/results/*.json`` and a table, and exits with 1 when one is missed.

    python -m benchmarks [SECTION ...]      warm, cold, many, classes, torch, training; all of them unless some are named

What is not measured anew stays in the table as it was measured last.

Machines are noisy and differ, so a claim is a ratio: milliseconds count at the speed of a machine on which a fresh Python with numpy
takes `REFERENCE_START` milliseconds, measured again in every run; several times are compared with others of the same run.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import classes, cold, many, training, warm, with_torch
from benchmarks.timing import REFERENCE_START, Floor, Row, measure_floor

RESULTS = Path(__file__).with_name("results")
TABLE = RESULTS / "README.md"


def main(wanted: Sequence[str]) -> int:
    """Run the benchmarks named, or all that can run here; 0 when every claim holds."""
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown:
        print(f"There is no section {unknown[0]!r}; there is: {', '.join(SECTIONS)}.", file=sys.stderr)
        return 2
    floor = measure_floor()
    RESULTS.mkdir(exist_ok=True)
    missed = False
    for name in wanted or SECTIONS:
        if name in NEED_TORCH and not with_torch.available():
            print(f"{name}: not measured, PyTorch is not installed.")
            continue
        rows, more = SECTIONS[name](floor)
        missed |= not all(row.holds for row in rows)
        content = {
            "python": platform.python_version(),
            "floor": asdict(floor),
            "rows": [asdict(row) | {"holds": row.holds} for row in rows],
            **more,
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    table = _table()
    TABLE.write_text(table, encoding="utf-8")
    print(table)
    return 1 if missed else 0


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


def _classes(usual: classes.Class, different: classes.Class) -> list[Row]:
    unit = "× nbgrader's own time"

    def note(one: classes.Class) -> str:
        return (
            f"{one.count} notebooks, one core each: nbgrader {one.nbgrader:.1f} s, with our plug-in {one.plugin:.1f} s, "
            f"`grader batch` {one.batch:.2f} s: {one.times:.1f} times as fast"
        )

    return [
        Row("`grader batch`, the gradebook written", usual.batch / usual.nbgrader, 1 / 40, unit, note(usual)),
        Row("nbgrader with our plug-in", usual.plugin / usual.nbgrader, 1, unit, note(usual)),
        Row(
            "`grader batch`, no two answers alike", different.batch / different.nbgrader, 1 / 30, unit, note(different)
        ),
    ]


def _with_torch(floor: Floor, start: with_torch.Start, verdicts: list[with_torch.Verdicts]) -> list[Row]:
    share = f"a fork {start.fork:.0f} ms, a cold `import torch` {start.fresh:.0f} ms"
    rows = [Row("a fork's first answer, PyTorch loaded", start.fork / start.fresh, 0.1, "× a cold import", share)]
    for one in verdicts:
        note = (
            f"right {one.right:.0f} ms, wrong {one.wrong:.0f} ms, less {one.checks:.0f} ms: the checks run on the "
            "solution in this process (its computing, their drawing and comparing, no border)"
        )
        beside = max(one.right, one.wrong) - one.checks
        rows.append(Row(f"change to verdict, {one.name}, beside the checks", floor.scaled(beside), 200, "ms", note))
    return rows


def _training(measured: training.Training) -> tuple[list[Row], dict[str, Any]]:
    return training.rows(measured), {"table": training.table(measured), **asdict(measured)}


SECTIONS: dict[str, Callable[[Floor], tuple[list[Row], dict[str, Any]]]] = {
    "warm": lambda floor: (_warm(floor, warm.measure()), {}),
    "cold": lambda floor: (_cold(cold.measure()), {}),
    "many": lambda floor: (_many(floor, many.measure()), {}),
    "classes": lambda floor: (_classes(*classes.measure()), {}),
    "torch": lambda floor: (_with_torch(floor, with_torch.start(), list(with_torch.verdicts())), {}),
    "training": lambda floor: _training(training.measure()),
}
NEED_TORCH = {"torch", "training"}


def _table() -> str:
    """The page of all results, read from their files."""
    found = {name: RESULTS / f"{name}.json" for name in SECTIONS}
    results = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items() if path.is_file()}
    out = [
        "# What was measured",
        "",
        "Written by `make bench`: medians of one run, milliseconds at the speed of a machine that starts Python with numpy in "
        f"{REFERENCE_START:.0f} ms.",
    ]
    for name, result in results.items():
        floor = result["floor"]
        out += [
            "",
            f"## {name}",
            "",
            f"Here Python with numpy started in {floor['fresh']:.0f} ms; the floor, from a warm process and with all layers of isolation, "
            f"for a file and 40 calls, was {floor['warm']:.1f} ms.",
            "",
            "| claim | measured | allowed | | |",
            "|---|---|---|---|---|",
        ]
        for row in result["rows"]:
            verdict = "holds" if row["holds"] else "MISSED"
            measured = f"{row['measured']:.3g} {row['unit']}"
            out.append(f"| {row['claim']} | {measured} | {row['allowed']:.3g} | {verdict} | {row['note']} |")
        if result.get("table"):
            out += ["", result["table"]]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
