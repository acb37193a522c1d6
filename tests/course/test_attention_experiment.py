"""The experiments of `attention`, quick, on the solution; and what `lab` promises about runs that are interrupted."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import launch, plots, progress, runs
from lab.experiment import INSTALL, CannotRun, Context, need

ROOT = Path(__file__).resolve().parents[2]
FOLDER = next((ROOT / "solutions").glob("ex*_attention"))
FILE = FOLDER / "attention.py"


def untitled(items, title):
    return iter(list(items))


def context(out, file=FILE, show=untitled):
    return Context(launch.load(file, "attention_solution"), out, True, show)


@pytest.fixture
def found():
    return launch.experiments(FOLDER)


# ---------------------------------------------------------------------------------------------- scale


def test_the_default_experiment_is_scale(found):
    assert list(found) == ["scale", "against_torch"]
    assert all(name == one.name and one.guess.endswith("?") for name, one in found.items())


def test_quick_still_shows_the_effect(found, tmp_path):
    result = found["scale"].run(context(tmp_path))

    numbers = json.loads((tmp_path / "numbers.json").read_text())
    first, last = numbers["rows"][0], numbers["rows"][-1]
    assert (first["d_k"], last["d_k"]) == (1, 4096)
    assert numbers["rows"] == result.numbers["rows"]
    for quantity in ("variance", "entropy", "gradient"):
        assert first[f"{quantity}_raw"] == pytest.approx(first[f"{quantity}_scaled"])
    assert last["variance_raw"] == pytest.approx(4096, rel=0.1)
    assert last["variance_scaled"] == pytest.approx(1, rel=0.1)
    assert last["entropy_raw"] < 0.1 < 3.5 < last["entropy_scaled"]
    assert last["gradient_raw"] < last["gradient_scaled"] / 3
    assert max(len(line) for line in result.table.splitlines()) <= 80
    assert not (tmp_path / "partial.jsonl").exists()


def test_the_plot_is_a_png_of_a_readable_size(found, tmp_path):
    pytest.importorskip("matplotlib")

    result = found["scale"].run(context(tmp_path))

    assert result.files == [tmp_path / "numbers.json", tmp_path / "scale.png"]
    data = (tmp_path / "scale.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20], "big") > 1500


def test_without_matplotlib_there_is_a_chart_in_characters(found, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "available", lambda: False)

    result = found["scale"].run(context(tmp_path))

    chart = (tmp_path / "scale.txt").read_text().splitlines()
    assert result.files[1] == tmp_path / "scale.txt"
    assert len(chart) == 2 + 2 * 7
    assert chart[-2].count("#") < chart[-1].count("=")
    assert max(len(line) for line in chart) <= 80


def test_an_interrupted_run_goes_on_where_it_stopped(found, tmp_path):
    def stops_in_the_fourth(items, title):
        for done, item in enumerate(items):
            if done == 3:
                raise KeyboardInterrupt
            yield item

    whole = found["scale"].run(context(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        found["scale"].run(context(tmp_path / "cut", show=stops_in_the_fourth))
    with (tmp_path / "cut" / "partial.jsonl").open("a") as file:
        file.write('{"key": "64", "ro')  # killed while it wrote
    again = context(tmp_path / "cut")
    measured, statistics = [], again.module.score_statistics
    again.module.score_statistics = lambda d_k, n, seed: measured.append(d_k) or statistics(d_k, n, seed)

    result = found["scale"].run(again)

    assert sorted(set(measured)) == [64, 256, 1024, 4096]
    assert result.numbers == whole.numbers


def test_a_run_that_is_stopped_while_it_draws_keeps_its_rows(found, tmp_path, monkeypatch):
    def stop():
        raise KeyboardInterrupt

    with monkeypatch.context() as stopping, pytest.raises(KeyboardInterrupt):
        stopping.setattr(plots, "available", stop)
        found["scale"].run(context(tmp_path))
    again = context(tmp_path)
    monkeypatch.delattr(again.module, "score_statistics")

    assert len(found["scale"].run(again).numbers["rows"]) == 7


def test_rows_of_other_code_are_not_taken_up(tmp_path):
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text("answer = 1\n")
    second.write_text("answer = 2\n")
    modules = [launch.load(file, file.stem) for file in (first, second)]

    for module in modules:
        with runs.Run(tmp_path / "out", {"code": runs.source_of(module)}) as run:
            assert run.row("a", lambda module=module: module.answer) == module.answer


def test_a_second_run_in_the_same_folder_is_refused_and_spoils_nothing(tmp_path):
    with runs.Run(tmp_path, {}) as first:
        first.row("a", lambda: 1)
        with pytest.raises(CannotRun, match="Another run is at work in"), runs.Run(tmp_path, {"other": True}):
            raise AssertionError("it has begun")
        assert first.row("b", lambda: 2) == 2
        kept = [json.loads(line) for line in (tmp_path / "partial.jsonl").read_text().splitlines()]
        first.finish({"rows": first.rows})

    assert kept == [{"settings": {}}, {"key": "a", "row": 1}, {"key": "b", "row": 2}]
    assert json.loads((tmp_path / "numbers.json").read_text()) == {"rows": {"a": 1, "b": 2}}
    with runs.Run(tmp_path, {"other": True}) as after:
        assert after.row("a", lambda: 3) == 3


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = runs.write_atomically(tmp_path / "numbers.json", "old")

    def full_disk(*args):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        runs.write_atomically(path, "new")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------------------------------------- against_torch


def test_beside_pytorch(found, tmp_path):
    pytest.importorskip("torch")

    result = found["against_torch"].run(context(tmp_path))

    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert [(row["size"], row["causal"]) for row in numbers["rows"]] == [(256, False), (256, True)]
    assert all(row["difference"] < 1e-5 and row["ratio"] > 0 for row in numbers["rows"])
    assert numbers["corner"]["your_mask"] < 1e-12 < 0.1 < numbers["corner"]["is_causal"]
    assert max(len(line) for line in result.table.splitlines()) <= 110


def test_what_is_needed_is_named_with_all_its_commands(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)

    need()
    with pytest.raises(CannotRun) as caught:
        need("torch", "safetensors")

    said = str(caught.value).splitlines()
    assert said[0].startswith("This experiment needs PyTorch and safetensors.")
    assert [line.strip() for line in said[1:]] == [INSTALL["torch"], INSTALL["safetensors"]]


def test_the_second_of_two_packages_is_missed_too(monkeypatch):
    monkeypatch.setitem(INSTALL, "json", "get json")
    monkeypatch.setitem(sys.modules, "safetensors", None)

    with pytest.raises(CannotRun, match=r"json and safetensors(?s:.*)get json(?s:.*)install safetensors"):
        need("json", "safetensors")


def test_without_pytorch_it_says_how_to_get_it(found, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(CannotRun, match=r"pip install torch --index-url .*/cpu"):
        found["against_torch"].run(context(tmp_path))


# ---------------------------------------------------------------------------------------------- the launcher


def run_launcher(*arguments):
    command = [sys.executable, "-m", "lab.launch", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)


def test_one_command_runs_it(tmp_path):
    run = run_launcher(FOLDER, FILE, "scale", tmp_path / "a b", "--quick", "--guess", "8 and 1")

    assert run.returncode == 0, run.stderr
    assert "You guessed  8 and 1\nFound        from d_k = 64" in run.stdout
    assert f"Written      {tmp_path / 'a b' / 'numbers.json'}" in run.stdout
    assert run.stderr.startswith("width of a head: 7 in ")


def test_it_can_be_asked_what_there_is(capsys):
    assert launch.main([str(FOLDER), "--describe"]) == 0

    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["scale", "against_torch"]


def test_an_unknown_experiment_is_named_with_those_that_exist(tmp_path, capsys):
    assert launch.main([str(FOLDER), str(FILE), "scales", str(tmp_path)]) == 2

    assert "No experiment 'scales'" in capsys.readouterr().err


def test_an_exercise_without_experiment(tmp_path, capsys):
    assert launch.main([str(tmp_path), str(FILE), "scale", str(tmp_path)]) == 2

    assert "has no experiment" in capsys.readouterr().err


def test_what_is_not_written_yet_is_named(tmp_path, capsys):
    file = tmp_path / "attention.py"
    file.write_text("def score_statistics(d_k, n, seed):\n    raise NotImplementedError\n")

    assert launch.main([str(FOLDER), str(file), "scale", str(tmp_path), "--quick"]) == 1

    assert capsys.readouterr().err == "score_statistics in attention.py, line 2, is not written yet.\n"


def test_what_a_library_has_not_written_is_an_error_like_others(tmp_path, capsys):
    file = tmp_path / "attention.py"
    file.write_text(
        "import random\n\n\ndef score_statistics(d_k, n, seed):\n    return random.SystemRandom().getstate()\n"
    )

    assert launch.main([str(FOLDER), str(file), "scale", str(tmp_path), "--quick"]) == 1

    printed = capsys.readouterr().err
    assert "not written yet" not in printed
    assert "line 5, in score_statistics" in printed
    assert printed.splitlines()[-1].startswith("NotImplementedError: ")


def test_an_error_shows_the_learners_lines_alone(tmp_path, capsys):
    file = tmp_path / "attention.py"
    file.write_text("def score_statistics(d_k, n, seed):\n    return 1 / 0\n")

    assert launch.main([str(FOLDER), str(file), "scale", str(tmp_path), "--quick"]) == 1

    printed = capsys.readouterr().err
    assert "return 1 / 0" in printed
    assert printed.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "experiment.py" not in printed


# ---------------------------------------------------------------------------------------------- progress


def test_a_plain_bar_grows_and_goes_away():
    stream = io.StringIO()

    assert list(progress.plain(["a", "b"], "widths", stream, width=4)) == ["a", "b"]

    drawn = stream.getvalue().split("\r")
    assert drawn[1:3] == ["widths .... 0/2", "widths ##.. 1/2"]
    assert drawn[-2].strip() == drawn[-1] == ""


def test_where_nobody_watches_there_is_one_line():
    stream = io.StringIO()

    assert list(progress.quiet([1, 2, 3], "widths", stream)) == [1, 2, 3]

    assert stream.getvalue().startswith("widths: 3 in ")
    assert stream.getvalue().count("\n") == 1


def test_richs_bar_hands_on_every_item():
    pytest.importorskip("rich")

    assert list(progress.with_rich([1, 2, 3], "widths")) == [1, 2, 3]
