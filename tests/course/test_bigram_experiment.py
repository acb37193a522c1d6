"""The experiment of `bigram`: quick runs on a small text, the rungs on the real one where it is at hand, pictures."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import sys
from pathlib import Path

import pytest

from lab import launch, plots
from lab.corpora import FILE as TEXT
from lab.corpora import Corpus
from lab.experiment import CannotRun, Context

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
FOLDER = next((ROOT / "solutions").glob("ex*_bigram"))
FILE = FOLDER / "bigram.py"
DATA = Path(os.environ.get("GRADER_DATA", "/nowhere"))


def untitled(items, title):
    return iter(list(items))


def context(out, show=untitled):
    return Context(launch.load(FILE, "bigram_solution"), out, True, show)


def small():
    """A text of words drawn at random, of which half the letters are foreseeable; bo and ob occur at its end alone."""
    draw = random.Random(0)
    words = ["quite", "quick", "the", "then", "other", "banana", "Anna", "and", "no", "on,\n", "this.\n\n"]
    text = " ".join([draw.choice(words) for _ in range(6000)] + ["bob"])
    return Corpus("a small text", text, note="A small text stands in.")


@pytest.fixture
def found():
    return launch.experiments(FOLDER)


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr("lab.corpora.tiny_shakespeare", small)
    return launch.experiments(FOLDER)["counted"].run


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One run on the small text: its folder and what came out."""
    out = tmp_path_factory.mktemp("counted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.corpora.tiny_shakespeare", small)
        return out, launch.experiments(FOLDER)["counted"].run(context(out))


def test_there_is_one_experiment_and_it_asks_for_a_guess(found):
    assert list(found) == ["counted"]
    assert found["counted"].guess.endswith("?")


def test_quick_shows_that_training_ends_where_counting_stands(done):
    out, result = done

    numbers = json.loads((out / "numbers.json").read_text())
    assert numbers["nothing"] == pytest.approx(math.log(numbers["characters"]), rel=1e-5)
    assert numbers["counted"] < numbers["letters"] - 0.5 < numbers["nothing"] - 0.5
    assert numbers["trained"] == pytest.approx(numbers["counted"], abs=0.02)
    assert numbers["curve"][0] == [0, pytest.approx(numbers["nothing"], rel=1e-5)]
    assert numbers["apart"] < 0.05
    assert result.numbers["trained"] == numbers["trained"]
    assert f"counted {numbers['counted']:.3f}, trained {numbers['trained']:.3f}" in result.finding
    assert "A small text stands in." in result.table
    assert max(len(line) for line in result.table.splitlines()) <= 100


def test_losses_are_what_pytorch_computes_on_the_pairs_at_once(done):
    out, _ = done

    text = small()
    vocab = sorted(set(text.text))
    train, validation = (torch.tensor([vocab.index(c) for c in part]) for part in (text.train, text.validation))
    counts = torch.zeros(len(vocab), len(vocab), dtype=torch.float64)
    counts.index_put_((train[:-1], train[1:]), torch.ones(len(train) - 1).double(), accumulate=True)
    table, smooth = (((counts + added) / (counts + added).sum(1, keepdim=True)).log() for added in (1, 10))
    letters = (torch.bincount(train, minlength=len(vocab)) + 1.0).log().expand(len(validation) - 1, -1)
    loss = torch.nn.functional.cross_entropy
    numbers = json.loads((out / "numbers.json").read_text())
    assert numbers["counted"] == pytest.approx(loss(table[validation[:-1]], validation[1:]).item(), rel=1e-5)
    assert numbers["letters"] == pytest.approx(loss(letters, validation[1:]).item(), rel=1e-5)
    assert numbers["counted_train"] == pytest.approx(loss(table[train[:-1]], train[1:]).item(), rel=1e-5)
    smoothed = dict(numbers["smoothing"])
    assert smoothed[10.0] == pytest.approx(loss(smooth[validation[:-1]], validation[1:]).item(), rel=1e-5)
    assert smoothed[0.0] is None
    assert numbers["pairs"] == len(validation) - 1
    assert numbers["unseen"] == (counts[validation[:-1], validation[1:]] == 0).sum().item() == 2


def test_samples_are_written_by_tables_that_know_more_and_more(done):
    out, _ = done

    pages = (out / "samples.txt").read_text().split("=== ")[1:]
    assert [page.split("\n")[0] for page in pages] == [
        "knows nothing, temperature 1",
        "letter counts, temperature 1",
        "bigram, counted, temperature 1",
        "bigram, counted, temperature 0.5",
        "bigram, counted, temperature 0",
    ]
    pairs = set(itertools.pairwise(small().train))
    coldest, evenly = (list(itertools.pairwise(page)) for page in (pages[-1][40:], pages[0][40:]))
    assert sum(pair in pairs for pair in coldest) > 0.9 * len(coldest)
    assert sum(pair in pairs for pair in evenly) < 0.5 * len(evenly)


def test_the_pictures_are_pngs_of_a_readable_size(done):
    pytest.importorskip("matplotlib")
    _, result = done

    assert [path.name for path in result.files] == ["numbers.json", "samples.txt", "table.png", "losses.png"]
    for path in result.files[2:]:
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG")
        assert int.from_bytes(data[16:20], "big") > 1300


def test_without_matplotlib_the_table_is_drawn_in_characters(run, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "available", lambda: False)

    result = run(context(tmp_path))

    vocab = sorted(set(small().text))
    lines = (tmp_path / "table.txt").read_text().splitlines()
    assert result.files[-1] == tmp_path / "table.txt"
    assert len(lines) == 4 + len(vocab)
    row = next(line for line in lines[4:] if line.startswith("q"))
    assert row[2 + vocab.index("u")] == "@"
    assert row.count("@") == 1


def test_an_interrupted_run_keeps_what_it_has(run, tmp_path):
    def stops_while_training(items, title):
        for item in items:
            if title == "steps of gradient descent" and item == 50:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        run(context(tmp_path, stops_while_training))
    seen = []

    def noting(items, title):
        seen.append(title)
        return iter(list(items))

    run(context(tmp_path, noting))

    assert seen == ["steps of gradient descent", "samples"]
    assert not (tmp_path / "partial.jsonl").exists()


def test_a_run_interrupted_while_it_draws_keeps_what_it_has(run, tmp_path, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(plots, "available", interrupted)

    with pytest.raises(KeyboardInterrupt):
        run(context(tmp_path))

    lines = (tmp_path / "partial.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines[1:]] == ["measured", "trained", "written"]


def test_what_is_not_written_yet_is_named(tmp_path, capsys, monkeypatch):
    file = tmp_path / "bigram.py"
    file.write_text("def build_vocab(text):\n    raise NotImplementedError\n")
    monkeypatch.setattr("lab.corpora.tiny_shakespeare", small)

    assert launch.main([str(FOLDER), str(file), "counted", str(tmp_path / "out"), "--quick"]) == 1

    assert "build_vocab in bigram.py, line 2, is not written yet." in capsys.readouterr().err


def test_without_pytorch_it_says_how_to_get_it(found, tmp_path, monkeypatch):
    made = context(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(CannotRun, match=r"pip install torch --index-url .*/cpu"):
        found["counted"].run(made)


@pytest.mark.skipif(not (DATA / TEXT).is_file(), reason="Tiny Shakespeare is not in the folder that GRADER_DATA names")
def test_the_rungs_on_tiny_shakespeare(found, tmp_path):
    result = found["counted"].run(context(tmp_path))

    assert result.numbers["nothing"] == pytest.approx(4.174, abs=5e-4)
    assert result.numbers["letters"] == pytest.approx(3.347, abs=5e-4)
    assert result.numbers["counted"] == pytest.approx(2.482, abs=5e-4)
    assert result.numbers["trained"] == pytest.approx(2.482, abs=0.01)
    assert result.numbers["smoothing"][0] == [0.0, None]
    assert result.numbers["unseen"] == 187
    assert "→  2.48  your bigram, counted" in result.table
