"""`python -m benchmarks` fails when a claim is missed, by whatever number, and says so in its table."""

from __future__ import annotations

import importlib
import json
import math

import pytest


@pytest.fixture
def benchmarks(repository, tmp_path, monkeypatch):
    """The command's module on a machine as fast as the one it counts by, with a results folder of its own."""
    monkeypatch.syspath_prepend(repository)
    module = importlib.import_module("benchmarks.__main__")
    floor = importlib.import_module("benchmarks.timing").Floor(67.0, 10.0)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(module, "TABLE", tmp_path / "README.md")
    monkeypatch.setattr(module, "measure_floor", lambda: floor)
    return module


@pytest.fixture
def with_rows(benchmarks, monkeypatch):
    """The command where its sections measure so much, of 2 that are allowed each; returns how it ends."""

    def main(sections, wanted=()):
        def measures(numbers):
            return lambda floor: ([benchmarks.Row("so quick", number, 2.0, "ms") for number in numbers], {})

        monkeypatch.setattr(benchmarks, "SECTIONS", {name: measures(numbers) for name, numbers in sections.items()})
        return benchmarks.main(wanted)

    return main


def test_a_claim_that_holds(benchmarks, with_rows, tmp_path):
    assert with_rows({"sound": [1.0, 2.0]}) == 0

    table = benchmarks.TABLE.read_text(encoding="utf-8")
    assert "| so quick | 1 ms | 2 | holds |" in table
    assert "MISSED" not in table
    assert [row["holds"] for row in json.loads((tmp_path / "sound.json").read_text())["rows"]] == [True, True]


def test_a_claim_that_is_missed(benchmarks, with_rows):
    assert with_rows({"missed": [3.0], "sound": [1.0]}) == 1

    table = benchmarks.TABLE.read_text(encoding="utf-8")
    assert "| so quick | 3 ms | 2 | MISSED |" in table
    assert "| so quick | 1 ms | 2 | holds |" in table


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_no_number_misses_its_claim(benchmarks, with_rows, number):
    assert with_rows({"strange": [1.0, number]}) == 1

    assert f"| so quick | {number} ms | 2 | MISSED |" in benchmarks.TABLE.read_text(encoding="utf-8")


def test_a_section_that_is_not_run_stays_in_the_table_as_it_was(benchmarks, with_rows):
    with_rows({"first": [1.0], "second": [1.5]})

    assert with_rows({"first": [1.25], "second": [3.0]}, wanted=["first"]) == 0

    table = benchmarks.TABLE.read_text(encoding="utf-8")
    assert "| so quick | 1.25 ms |" in table
    assert "| so quick | 1.5 ms |" in table


def test_an_unknown_section(with_rows, capsys):
    assert with_rows({"first": [1.0]}, wanted=["frist"]) == 2

    assert "There is no section 'frist'; there is: first." in capsys.readouterr().err


def test_the_claims_of_the_training_are_met_by_means_of_its_seeds(benchmarks):
    training = benchmarks.training
    classic = [training.Run(seed, loss, 70.0, 60.0) for seed, loss in ((1, 1.90), (2, 1.92))]
    fast = [training.Run(seed, loss, 12.0, 9.0) for seed, loss in ((1, 1.91), (2, 1.92))]

    rows = training.rows(training.Training(classic, fast, [], 0.9))

    assert all(isinstance(row, benchmarks.Row) for row in rows)
    assert rows[0].claim == f"classic's loss, mean of {training.SEEDS} seeds"
    assert [row.holds for row in rows] == [True, False, False, True]
