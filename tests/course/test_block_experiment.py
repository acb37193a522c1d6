"""The experiment of `block` on the solution: what it measures, that it shows the effect, and its plumbing on stand-ins."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from lab import launch, plots
from lab.experiment import CannotRun, Context

ROOT = Path(__file__).resolve().parents[2]
FOLDER = next((ROOT / "solutions").glob("ex*_block"))
FILE = FOLDER / "block.py"
TRAINING = {"layers": 10, "d_model": 32, "heads": 2, "lr": 2e-3, "steps": 150}


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def experiment():
    return launch.load(FOLDER / "experiment.py", "experiment_of_block")


@pytest.fixture
def solution(torch):
    return launch.load(FILE, "block_solution")


@pytest.fixture
def stand_ins(experiment, monkeypatch):
    """What is measured, as if: nothing is stacked and nothing trained. A list of what was asked for."""
    asked = []

    def measure(module, layers, norm, seed):
        asked.append(("fresh", layers, norm, seed))
        grows = norm == "post"
        stream = [1.0 if grows else math.sqrt(2 + block) for block in range(layers)]
        gradients = [0.5 * 1.03**block if grows else 1 / (1 + block) ** 0.5 for block in range(layers)]
        return {"layers": layers, "norm": norm, "stream": stream, "gradients": gradients}

    def train(module, how, norm, warm_up, seed):
        asked.append(("train", norm, warm_up, seed))
        bins = how["steps"] // experiment.BIN
        stuck = norm == "post" and not warm_up
        losses = [2.66 if stuck else 1.4 + 2 * 0.8**number for number in range(bins)]
        return {"norm": norm, "warm_up": warm_up, "seed": seed, "losses": losses}

    monkeypatch.setattr(experiment, "measure", measure)
    monkeypatch.setattr(experiment, "train", train)
    return asked


def untitled(items, title):
    return iter(list(items))


def context(out, module, quick=True, show=untitled):
    return Context(module, out, quick, show)


# ---------------------------------------------------------------------------------------------- what is measured


def test_the_language_costs_what_it_is_said_to(experiment, torch):
    table = experiment.transitions()
    texts = experiment.texts(4000, seed=1)

    of_letters, of_language = experiment.entropies()

    counts = torch.bincount(texts[:, -1], minlength=experiment.LETTERS).double()
    frequencies = counts / counts.sum()
    assert texts.shape == (4000, experiment.POSITIONS + 1)
    assert -(frequencies * frequencies.log()).sum().item() == pytest.approx(of_letters, abs=0.02)
    bits = -table[texts[:, -2], texts[:, -1]].log().mean().item()
    assert bits == pytest.approx(of_language, abs=0.06)
    assert of_language < of_letters < math.log(experiment.LETTERS)


def test_a_fresh_stack_is_measured_as_autograd_and_hooks_see_it(experiment, solution, torch):
    row = experiment.measure(solution, 3, "pre", seed=5)

    torch.manual_seed(5)
    stack = experiment.Stack(solution, 3, "pre", d_model=64, heads=4)
    seen = []
    for block in stack.parts["blocks"]:
        block.register_forward_hook(lambda module, inputs, output: seen.append(output.detach().norm().item()))
    ids = experiment.texts(experiment.SEQUENCES, 5)
    weights = [block.feed_forward.down.weight for block in stack.parts["blocks"]]
    gradients = torch.autograd.grad(stack.loss(ids), weights)
    numbers = math.sqrt(experiment.SEQUENCES * experiment.POSITIONS * 64)
    assert row["stream"] == pytest.approx([norm / numbers for norm in seen], rel=1e-5)
    assert row["gradients"] == pytest.approx([gradient.norm().item() for gradient in gradients], rel=1e-4)


def test_fresh_stacks_show_the_effect(experiment, solution):
    rows = [experiment.measure(solution, 24, norm, seed) for norm in ("pre", "post") for seed in (0, 1)]

    pre, post = experiment.averaged(rows)
    assert post["stream"] == pytest.approx([1.0] * 24, abs=0.01)
    assert pre["stream"][-1] > 3 * pre["stream"][0]
    assert pre["gradients"][-1] < pre["gradients"][0] / 2
    assert post["gradients"][-1] > 3 * pre["gradients"][-1]


@pytest.mark.last
def test_post_norm_learns_with_warm_up_and_not_without(experiment, solution):
    without, with_it = (experiment.train(solution, TRAINING, "post", warm_up, seed=0) for warm_up in (0, 100))

    of_letters, _ = experiment.entropies()
    assert without["losses"][-1] > of_letters - 0.1
    assert with_it["losses"][-1] < of_letters - 0.5


def test_the_first_steps_of_a_training_are_repeatable(experiment, solution):
    how = {**TRAINING, "layers": 2, "steps": 20}

    first, again = (experiment.train(solution, how, "pre", 5, seed=3) for _ in range(2))

    assert first == again
    assert len(first["losses"]) == 2
    assert first["losses"][1] < first["losses"][0]


# ---------------------------------------------------------------------------------------------- numbers and words


def test_there_is_one_experiment_with_a_question(experiment):
    assert list(experiment.EXPERIMENTS) == ["depth"]
    assert experiment.EXPERIMENTS["depth"].guess.endswith("?")


@pytest.mark.parametrize("quick", [True, False])
def test_numbers_table_and_finding(experiment, stand_ins, solution, tmp_path, quick):
    result = experiment.depth(context(tmp_path, solution, quick))

    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["by_depth"] == result.numbers["by_depth"]
    assert {row["layers"] for row in numbers["by_depth"]} >= {2, 48}
    assert [(row["norm"], row["warm_up"]) for row in numbers["curves"]] == [
        ("pre", 0),
        ("pre", 100),
        ("post", 0),
        ("post", 100),
    ]
    assert "becomes 0.2 times as large with pre-norm and 3.9 times with post-norm" in result.finding
    assert "post-norm at 2.66 and 1.4" in result.finding
    assert max(len(line) for line in result.table.splitlines()) <= 80
    assert not (tmp_path / "partial.jsonl").exists()


def test_means_are_geometric_over_seeds(experiment):
    rows = [{"layers": 2, "norm": "pre", "stream": [1.0, 4.0], "gradients": [one, 0.5]} for one in (1.0, 0.01, 0.0)]

    (mean,) = experiment.averaged(rows[:2])
    (with_zero,) = experiment.averaged(rows)

    assert mean["gradients"] == pytest.approx([0.1, 0.5])
    assert mean["last_to_first"] == pytest.approx(5)
    assert 0 < with_zero["gradients"][0] < 1e-10


@pytest.mark.parametrize(
    "ratio, said",
    [
        (0.84, "0.8"),
        (0.034, "0.03"),
        (4.26, "4.3"),
        (131.4, "131"),
        (2.4e5, "2·10⁵"),
        (3e-7, "3·10⁻⁷"),
        (9.4e4, "9·10⁴"),
        (9.7e4, "1·10⁵"),
        (9.7e-5, "1·10⁻⁴"),
        (3e12, "3·10¹²"),
    ],
)
def test_factors_in_few_digits(experiment, ratio, said):
    assert experiment.times(ratio) == said


# ---------------------------------------------------------------------------------------------- plots, interruptions


def test_the_plots_are_pngs_of_a_readable_size(experiment, stand_ins, solution, tmp_path):
    pytest.importorskip("matplotlib")

    result = experiment.depth(context(tmp_path, solution))

    assert [path.name for path in result.files] == ["numbers.json", "depth.png", "warm_up.png"]
    for path in result.files[1:]:
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG")
        assert int.from_bytes(data[16:20], "big") > 1500


def test_without_matplotlib_there_is_a_chart_in_characters(experiment, stand_ins, solution, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "available", lambda: False)

    result = experiment.depth(context(tmp_path, solution))

    chart = (tmp_path / "depth.txt").read_text().splitlines()
    assert result.files[1] == tmp_path / "depth.txt"
    assert max(len(line) for line in chart) <= 80
    pre, post = ([line.count(mark) for line in chart[2:26] if mark in line] for mark in "=#")
    assert pre[0] > pre[-1]
    assert post[0] < post[-1]
    assert chart[-2].count("#") > chart[-1].count("#")


def test_an_interrupted_run_goes_on_where_it_stopped(experiment, stand_ins, solution, tmp_path):
    def stops_in_the_second_training(items, title):
        for done, item in enumerate(items):
            if title == "training runs" and done == 1:
                raise KeyboardInterrupt
            yield item

    whole = experiment.depth(context(tmp_path / "whole", solution))
    with pytest.raises(KeyboardInterrupt):
        experiment.depth(context(tmp_path / "cut", solution, show=stops_in_the_second_training))
    stand_ins.clear()

    result = experiment.depth(context(tmp_path / "cut", solution))

    assert stand_ins == [("train", "pre", 100, 0), ("train", "post", 0, 0), ("train", "post", 100, 0)]
    assert result.numbers == whole.numbers


def test_a_run_that_is_stopped_while_it_draws_keeps_its_rows(experiment, stand_ins, solution, tmp_path, monkeypatch):
    def stop():
        raise KeyboardInterrupt

    with monkeypatch.context() as stopping, pytest.raises(KeyboardInterrupt):
        stopping.setattr(plots, "available", stop)
        experiment.depth(context(tmp_path, solution))
    stand_ins.clear()

    result = experiment.depth(context(tmp_path, solution))

    assert stand_ins == []
    assert result.files[0] == tmp_path / "numbers.json"


def test_without_pytorch_it_says_how_to_get_it(experiment, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(CannotRun, match=r"pip install torch --index-url .*/cpu"):
        experiment.depth(context(tmp_path, None))
