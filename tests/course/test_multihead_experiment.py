"""The experiments of `multihead`, quick, on the solution: one head against many, and beside PyTorch's module."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lab import launch, plots
from lab.experiment import CannotRun, Context

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
FOLDER = next((ROOT / "solutions").glob("ex*_multihead"))
FILE = FOLDER / "multihead.py"


def untitled(items, title):
    return iter(list(items))


def context(out, module=None, show=untitled):
    return Context(module or launch.load(FILE, "multihead_solution"), out, True, show)


@pytest.fixture
def found():
    return launch.experiments(FOLDER)


@pytest.fixture
def untrained(found, monkeypatch):
    """Experiments whose trainings are short: for what is written and drawn, not for what is learned."""
    names = found["heads"].run.__globals__
    train = names["train"]
    monkeypatch.setitem(names, "train", lambda module, n_heads, seed, steps: train(module, n_heads, seed, 2))
    return found


def test_the_default_experiment_is_heads(found):
    assert list(found) == ["heads", "against_torch"]
    assert all(name == one.name and one.guess.endswith("?") for name, one in found.items())


# ---------------------------------------------------------------------------------------------- heads


@pytest.mark.last
def test_quick_still_shows_the_effect(found, tmp_path):
    result = found["heads"].run(context(tmp_path))

    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["rows"] == result.numbers["rows"]
    right = {n_heads: [row["right"] for row in numbers["rows"] if row["heads"] == n_heads] for n_heads in (1, 2, 4, 32)}
    assert max(right[1]) < 0.5 < min(right[2])
    assert max(right[2]) < 0.95 < min(right[4])
    assert max(right[32]) < 0.97
    assert {row["parameters"] for row in numbers["rows"]} == {4 * 32 * 32 + 4 * 32}
    four = torch.tensor(next(row["maps"] for row in numbers["rows"] if row["heads"] == 4 and "maps" in row))
    looks_back = [(torch.arange(16) - head.argmax(dim=-1))[4:].mode().values.item() for head in four]
    assert sorted(looks_back) == [1, 2, 3, 4]
    one, four = (sum(right[n_heads]) / len(right[n_heads]) for n_heads in (1, 4))
    assert f"one head of width 32 names {one:.0%}" in result.finding
    assert f"four heads of width 8 name {four:.0%}" in result.finding


def test_what_is_written(untrained, tmp_path):
    pytest.importorskip("matplotlib")

    result = untrained["heads"].run(context(tmp_path))

    assert result.files == [tmp_path / "numbers.json", tmp_path / "heads.png"]
    data = (tmp_path / "heads.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20], "big") > 1500
    assert max(len(line) for line in result.table.splitlines()) <= 80
    assert not (tmp_path / "partial.jsonl").exists()
    for row in result.numbers["rows"]:
        for head in row.get("maps", []):
            sums = torch.tensor(head).sum(dim=-1)
            torch.testing.assert_close(sums, torch.ones(16), rtol=0, atol=2e-3)
            assert torch.tensor(head).triu(1).count_nonzero() == 0


def test_without_matplotlib_there_are_charts_in_characters(untrained, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "available", lambda: False)

    result = untrained["heads"].run(context(tmp_path))

    lines = (tmp_path / "heads.txt").read_text().splitlines()
    assert result.files[1] == tmp_path / "heads.txt"
    assert [line.split()[0] for line in lines[2:6]] == ["1", "2", "4", "32"]
    assert sum(line.startswith("head ") for line in lines) == 1 + 4
    assert sum(line.startswith("|") and len(line) == 34 for line in lines) == 16 * 5
    assert max(len(line) for line in lines) <= 80


def test_an_interrupted_run_goes_on_where_it_stopped(untrained, tmp_path, monkeypatch):
    def stops_in_the_third(items, title):
        for done, item in enumerate(items):
            if done == 2:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        untrained["heads"].run(context(tmp_path, show=stops_in_the_third))
    names = untrained["heads"].run.__globals__
    trained, train = [], names["train"]
    monkeypatch.setitem(names, "train", lambda *case: trained.append(case[1:3]) or train(*case))

    result = untrained["heads"].run(context(tmp_path))

    assert trained == [(2, 0), (2, 1), (4, 0), (4, 1), (32, 0), (32, 1)]
    assert len(result.numbers["rows"]) == 8


def test_a_run_interrupted_while_it_draws_keeps_its_trainings(untrained, tmp_path, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(plots, "available", interrupted)

    with pytest.raises(KeyboardInterrupt):
        untrained["heads"].run(context(tmp_path))

    assert len((tmp_path / "partial.jsonl").read_text().splitlines()) == 1 + 8


def test_a_training_is_repeatable(untrained):
    train = untrained["heads"].run.__globals__["train"]
    module = launch.load(FILE, "multihead_solution")

    first, second = (train(module, 4, 0, 2) for _ in range(2))

    assert first["loss"] == second["loss"]
    assert first["maps"] == second["maps"]


# ---------------------------------------------------------------------------------------------- the fused layout


class Fused(torch.nn.Module):
    """The other layout, around the solution's functions."""

    def __init__(self, d_model, n_heads, bias=True):
        super().__init__()
        self.n_heads = n_heads
        self.qkv_proj = torch.nn.Linear(d_model, 3 * d_model, bias=bias)
        self.out_proj = torch.nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x, memory=None, mask=None, causal=False):
        module = self.module
        inner = module.MultiHeadAttention(x.shape[-1], self.n_heads)
        parts = dict(zip(("q_proj", "k_proj", "v_proj"), self.qkv_proj.weight.chunk(3), strict=True))
        biases = dict(zip(("q_proj", "k_proj", "v_proj"), self.qkv_proj.bias.chunk(3), strict=True))
        given = {f"{name}.weight": rows for name, rows in parts.items()}
        given |= {f"{name}.bias": rows for name, rows in biases.items()}
        given |= {"out_proj.weight": self.out_proj.weight, "out_proj.bias": self.out_proj.bias}
        return torch.func.functional_call(inner, given, (x, memory, mask, causal))


@pytest.fixture
def fused(monkeypatch):
    module = launch.load(FILE, "multihead_solution")
    layer = type("MultiHeadAttention", (Fused,), {"module": launch.load(FILE, "inner_solution")})
    monkeypatch.setattr(module, "MultiHeadAttention", layer)
    return module


def test_both_experiments_take_the_fused_layout(untrained, fused, tmp_path):
    drawn = untrained["heads"].run(context(tmp_path / "heads", fused))
    beside = untrained["against_torch"].run(context(tmp_path / "against_torch", fused))

    assert drawn.numbers["rows"][0]["parameters"] == 4 * 32 * 32 + 4 * 32
    assert all(row["difference"] < 1e-5 for row in beside.numbers["rows"])


# ---------------------------------------------------------------------------------------------- against_torch


def test_beside_pytorch(found, tmp_path):
    result = found["against_torch"].run(context(tmp_path))

    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert [row["case"] for row in numbers["rows"]] == ["self", "causal", "padding", "memory"]
    assert all(row["difference"] < 1e-5 and row["ratio"] > 0 for row in numbers["rows"])
    assert numbers["corner"]["turned_round"] < 1e-5 < 0.1 < numbers["corner"]["as_it_is"]
    assert max(len(line) for line in result.table.splitlines()) <= 80


def test_a_layer_that_is_wrong_is_far_away(found, tmp_path, monkeypatch):
    module = launch.load(FILE, "multihead_solution")
    monkeypatch.setattr(module, "merge_heads", lambda x: x.reshape(x.shape[0], x.shape[2], -1))

    result = found["against_torch"].run(context(tmp_path, module))

    assert all(row["difference"] > 0.1 for row in result.numbers["rows"])


@pytest.mark.parametrize("name", ["heads", "against_torch"])
def test_without_pytorch_it_says_how_to_get_it(found, tmp_path, monkeypatch, name):
    solution = context(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(CannotRun, match=r"pip install torch --index-url .*/cpu"):
        found[name].run(solution)
