"""The experiments of `rope`: that the four models differ in their positions alone, what is concluded from a run, and that
a learner's conclusion is held against it."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from grader.system.course import Course
from lab import launch, plots
from lab.bands import Band, band
from lab.corpora import made_up
from lab.experiment import CannotRun, Context, Refused
from lab.parts import Part
from lab.runs import source_of

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
FOLDER = next((ROOT / "solutions").glob("ex*_rope"))
FILE = FOLDER / "rope.py"
KINDS = ("learned", "sinusoidal", "rotary", "none")


@pytest.fixture(scope="module")
def experiment():
    return launch.load(FOLDER / "experiment.py", "experiment_of_rope")


@pytest.fixture(scope="module")
def module():
    return launch.load(FILE, "rope_solution")


@pytest.fixture(scope="module")
def corpus():
    return made_up(6000)


@pytest.fixture(scope="module")
def tiny(experiment):
    """A run of a second, with everything in it that the real one has."""
    small = {"n_layers": 1, "n_heads": 2, "d_model": 16, "trained": 32, "longest": 96, "batch": 2}
    return experiment.Settings(**small, steps=4, warmup=1, seeds=(0, 1), evaluate_every=2, evaluate_on=200, end_on=400)


@pytest.fixture
def short(experiment, tiny, corpus, monkeypatch):
    """The experiment with such trainings."""
    monkeypatch.setattr(experiment, "QUICK", tiny)
    monkeypatch.setattr(experiment, "tiny_shakespeare", lambda: corpus)
    return experiment


def untitled(items, title):
    return iter(list(items))


def context(module, out, show=untitled, parts=None):
    return Context(module, out, True, show, parts or {})


def trained(experiment, module, corpus, how, kind, seed=0, parts=None):
    return experiment.train(module, corpus, how, kind, seed, parts or {})


def test_the_default_experiment_is_swap(experiment):
    assert list(experiment.EXPERIMENTS) == ["swap", "conclude"]
    assert all(name == one.name for name, one in experiment.EXPERIMENTS.items())
    assert experiment.EXPERIMENTS["swap"].guess.endswith("?")
    assert len(experiment.FULL.seeds) >= 3 and len(experiment.QUICK.seeds) >= 3


# ---------------------------------------------------------------------------------------------- the four models


def test_the_first_weights_depend_on_the_seed_and_not_on_the_kind(experiment, module, tiny):
    first = {kind: experiment.model_of(module, tiny, kind, 30, seed=3) for kind in KINDS}
    other = experiment.model_of(module, tiny, "rotary", 30, seed=4)

    weights = {kind: dict(model.named_parameters()) for kind, model in first.items()}
    assert weights["learned"].keys() - weights["rotary"].keys() == {"table.weight"}
    for kind in ("learned", "sinusoidal", "none"):
        assert all(torch.equal(weights[kind][name], value) for name, value in weights["rotary"].items())
    assert not torch.equal(first["rotary"].head.weight, other.head.weight)


def test_one_seed_is_the_same_batches_for_all_kinds(experiment, module, corpus, tiny, monkeypatch):
    seen, batches = [], experiment.batches

    def recorded(ids, how, seed):
        batch = batches(ids, how, seed)
        seen.append([])
        return lambda step: seen[-1].append(batch(step)) or batch(step)

    monkeypatch.setattr(experiment, "batches", recorded)
    for seed, kind in itertools.product((0, 1), KINDS):
        trained(experiment, module, corpus, tiny, kind, seed)

    read = [torch.stack([inputs for inputs, _ in one]) for one in seen]
    assert read[0].shape == (4, 2, 32)
    assert all(torch.equal(one, read[0]) for one in read[:4])
    assert all(torch.equal(one, read[4]) for one in read[4:])
    assert not torch.equal(read[0], read[4])
    inputs, targets = seen[0][0]
    assert torch.equal(inputs[:, 1:], targets[:, :-1])


def test_only_rotary_positions_turn_queries_and_keys(experiment, module, tiny, monkeypatch):
    given = []
    forward = module.RotaryAttention.forward
    monkeypatch.setattr(
        module.RotaryAttention, "forward", lambda self, x, at: given.append(at.tolist()) or forward(self, x, at)
    )

    for kind in KINDS:
        experiment.model_of(module, tiny, kind, 30, seed=0)(torch.zeros(1, 5, dtype=torch.int64))

    assert given == [[0] * 5, [0] * 5, [0, 1, 2, 3, 4], [0] * 5]


def test_tokens_and_positions_begin_equally_large(experiment, module):
    models = {kind: experiment.model_of(module, experiment.FULL, kind, 65, seed=0) for kind in KINDS}
    width = experiment.FULL.d_model

    tokens = (width * models["none"].tokens.weight.square()).mean()
    learned = (width * models["learned"].table.weight.square()).mean()
    sinusoids = models["sinusoidal"].sinusoids.square().mean()
    beyond = (width * models["learned"].beyond.square()).mean()
    torch.testing.assert_close(torch.stack([tokens, learned, sinusoids, beyond]), torch.ones(4), rtol=0.1, atol=0)


def test_positions_make_a_difference_where_there_are_any(experiment, module, tiny):
    ids = torch.tensor([[1, 2, 3, 4], [2, 1, 3, 4]])  # the last position reads the same letters in another order
    differ = {}
    for kind in KINDS:
        with torch.no_grad():
            logits = experiment.model_of(module, tiny, kind, 30, seed=0)(ids)[:, -1]
        differ[kind] = (logits[0] - logits[1]).abs().max().item()

    assert differ["none"] < 1e-5
    assert min(differ[kind] for kind in ("learned", "sinusoidal", "rotary")) > 1e-3


def test_learned_rows_beyond_the_trained_length_stay_as_they_were_drawn(experiment, module, corpus, tiny, monkeypatch):
    made, model_of = [], experiment.model_of
    monkeypatch.setattr(experiment, "model_of", lambda *given: made.append(model_of(*given)) or made[-1])

    trained(experiment, module, corpus, tiny, "learned")

    fresh = model_of(module, tiny, "learned", len(set(corpus.text)), 0)
    assert torch.equal(made[0].beyond, fresh.beyond)
    assert (made[0].table.weight != fresh.table.weight).all()
    assert made[0].table.weight.shape[0] + made[0].beyond.shape[0] == tiny.longest
    ids = torch.zeros(1, tiny.longest, dtype=torch.int64)
    before = made[0](ids)
    made[0].beyond += 1.0
    moved = (made[0](ids) - before).abs().amax(dim=(0, 2))
    assert (moved[: tiny.trained] == 0).all() and (moved[tiny.trained :] > 0).all()


def test_a_training_is_repeatable(experiment, module, corpus, tiny):
    first, second = (trained(experiment, module, corpus, tiny, "rotary") for _ in range(2))

    assert first | {"seconds": 0} == second | {"seconds": 0}


def test_losses_by_position_are_those_of_each_position(experiment):
    class Knows(torch.nn.Module):
        """Is right at even positions and knows nothing at odd ones; ids are all 0."""

        def forward(self, ids):
            logits = torch.zeros(*ids.shape, 4)
            logits[:, ::2, 0] = 100.0
            return logits

    ids = torch.zeros(1000, dtype=torch.int64)

    found = experiment.losses_by_position(Knows(), ids, 6, 10**6)

    torch.testing.assert_close(found, torch.tensor([0.0, 1.3863] * 3, dtype=torch.float64), rtol=0, atol=1e-4)


def test_so_many_windows_are_read_as_hold_that_many_characters(experiment):
    class Reads(torch.nn.Module):
        rows = 0

        def forward(self, ids):
            Reads.rows += len(ids)
            return torch.zeros(*ids.shape, 4)

    for characters in (64, 10**6):
        experiment.losses_by_position(Reads(), torch.zeros(1000, dtype=torch.int64), 16, characters)

    assert Reads.rows == 64 // 16 + 999 // 16


@pytest.mark.last
@pytest.mark.parametrize("text", ["the real one", "made up"])
def test_quick_still_shows_the_effect(experiment, module, text):
    corpus = experiment.tiny_shakespeare() if text == "the real one" else made_up()
    if text == "the real one" and corpus.note:
        pytest.skip(corpus.note)

    learned, rotary = (trained(experiment, module, corpus, experiment.QUICK, kind) for kind in ("learned", "rotary"))

    assert rotary["loss"] < learned["loss"] - 0.1
    ends, beyond = slice(48, 64), slice(64, 80)
    rise = {
        row["kind"]: band(row["by_position"][beyond]).mean - band(row["by_position"][ends]).mean
        for row in (learned, rotary)
    }
    assert rise["rotary"] < experiment.WORSE < rise["learned"]


# ---------------------------------------------------------------------------------------------- refused


def test_a_layer_that_looks_ahead_is_not_trained(short, tmp_path):
    source = FILE.read_text(encoding="utf-8")
    assert source.count("is_causal=causal") == 1
    file = tmp_path / "rope.py"
    file.write_text(source.replace("is_causal=causal", "is_causal=False"), encoding="utf-8")

    with pytest.raises(Refused, match="changes when only later tokens"):
        short.swap(context(launch.load(file, "leaking"), tmp_path / "out"))

    assert not (tmp_path / "out").exists()


def test_a_layer_that_looks_ahead_only_beyond_the_trained_length_is_found_too(
    short, module, tiny, tmp_path, monkeypatch
):
    forward = module.RotaryAttention.forward
    monkeypatch.setattr(
        module.RotaryAttention, "forward", lambda self, x, at: forward(self, x, at, causal=x.shape[1] <= tiny.trained)
    )

    with pytest.raises(Refused, match="not trained"):
        short.swap(context(module, tmp_path / "out"))


def test_a_loss_that_is_no_number_ends_the_run(experiment, module, corpus, tiny):
    with pytest.raises(Refused, match="With rotary positions the loss of step 1 is nan"):
        trained(experiment, module, corpus, replace(tiny, max_lr=float("inf"), warmup=0), "rotary")


def test_without_pytorch_it_says_how_to_get_it(experiment, module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(CannotRun, match=r"pip install torch --index-url .*/cpu"):
        experiment.swap(context(module, tmp_path))


# ---------------------------------------------------------------------------------------------- what is written


def test_what_is_written(short, module, tmp_path):
    pytest.importorskip("matplotlib")

    result = short.swap(context(module, tmp_path))

    names = ["numbers.json", "table.txt", "swap.png", "conclusion.toml"]
    assert result.files == [tmp_path / name for name in names]
    data = (tmp_path / "swap.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20], "big") > 1500
    assert max(len(line) for line in (tmp_path / "table.txt").read_text().splitlines()) <= 80
    assert (tmp_path / "table.txt").read_text().strip() in result.table
    assert not (tmp_path / "partial.jsonl").exists()
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert [(row["seed"], row["kind"]) for row in numbers["rows"]] == list(itertools.product((0, 1), KINDS))
    for row in numbers["rows"]:
        assert [step for step, _ in row["curve"]] == [0, 2, 4]
        assert len(row["by_position"]) == 96
    assert numbers["finding"] == result.finding


def test_without_matplotlib_there_is_a_chart_in_characters(short, module, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "available", lambda: False)

    result = short.swap(context(module, tmp_path))

    lines = (tmp_path / "swap.txt").read_text().splitlines()
    assert tmp_path / "swap.txt" in result.files
    assert sorted(line.split()[0] for line in lines[2:6]) == sorted(KINDS)
    assert sum("loss by position" in line for line in lines) == 4
    assert sum("==" in line for line in lines) == 4 * 2 and sum("##" in line for line in lines) == 4 + 4 * 4
    assert max(len(line) for line in lines) <= 80


def test_an_interrupted_run_goes_on_where_it_stopped(short, module, tmp_path, monkeypatch):
    def stops_in_the_third(items, title):
        for done, item in enumerate(items):
            if done == 2:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        short.swap(context(module, tmp_path, show=stops_in_the_third))
    cases, train = [], short.train
    monkeypatch.setattr(short, "train", lambda *case: cases.append(case[4:2:-1]) or train(*case))

    result = short.swap(context(module, tmp_path))

    assert cases == list(itertools.product((0, 1), KINDS))[2:]
    assert len(result.numbers["rows"]) == 8


def test_a_text_that_stands_in_says_so(short, module, corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(short, "tiny_shakespeare", lambda: replace(corpus, note="It is made up."))

    short.swap(context(module, tmp_path))

    assert "It is made up." in capsys.readouterr().err


def test_a_conclusion_that_somebody_wrote_is_not_written_over(short, module, tmp_path):
    (tmp_path / "conclusion.toml").write_text('winner = "rotary"\n')

    result = short.swap(context(module, tmp_path))

    assert (tmp_path / "conclusion.toml").read_text() == 'winner = "rotary"\n'
    assert tmp_path / "conclusion.toml" not in result.files


# ---------------------------------------------------------------------------------------------- bands


def test_an_interval_is_students():
    """His own example, hours of sleep gained: R's t.test gives 0.7001142 to 2.4598858."""
    gained = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]

    found = band(gained)

    assert found.mean == pytest.approx(1.58)
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=2e-4)
    assert band([1.0, 2.0, 3.0]).half == pytest.approx(2.484, abs=1e-3)
    assert band([0.0, 1.0] * 10).half == pytest.approx(2.262 * 0.512989 / 20**0.5, abs=1e-5)


def test_decided_is_an_interval_on_one_side_of_zero():
    assert Band(0.2, 0.1).decided and Band(-0.2, 0.1).decided
    assert not Band(0.1, 0.2).decided and not Band(-0.1, 0.2).decided


def test_words_beside_lines_are_moved_apart_and_keep_their_order():
    assert plots.apart([3.0, 1.0, 2.0], room=0.5) == [3.0, 1.0, 2.0]
    assert plots.apart([1.0, 1.0], room=0.5) == [0.75, 1.25]
    moved = plots.apart([1.02, 1.0, 1.4, 5.0], room=0.5)
    assert moved[1] < moved[0] < moved[2] < moved[3] == 5.0
    assert moved[0] - moved[1] == pytest.approx(0.5) and moved[2] - moved[0] == pytest.approx(0.5)


# ---------------------------------------------------------------------------------------------- what was found

# Losses at the trained length by seed: the seeds differ more than the kinds do.
FINAL = {
    "learned": [2.20, 2.32, 2.41],
    "sinusoidal": [2.15, 2.27, 2.36],
    "rotary": [2.00, 2.11, 2.20],
    "none": [2.40, 2.52, 2.61],
}
BREAKS = {"learned": 65, "sinusoidal": 81, "rotary": 113, "none": "never"}


def rows_of(final, breaks):
    """Rows as trainings leave them: from the position at which it breaks down, a loss is 0.5 higher."""
    rows = []
    for seed, kind in itertools.product(range(3), KINDS):
        loss, start = final[kind][seed], breaks[kind]
        by_position = [loss + (0.5 if start != "never" and at >= start else 0.0) for at in range(1, 257)]
        row = {"kind": kind, "seed": seed, "loss": loss, "curve": [[0, 4.2], [100, 3.0], [500, loss]]}
        rows.append(row | {"by_position": by_position, "parameters": 100, "seconds": 1.0})
    return rows


def found_in(experiment, final=FINAL, breaks=BREAKS):
    return experiment.Found.of(rows_of(final, breaks), replace(experiment.FULL, seeds=(0, 1, 2)))


def undecided():
    """Sinusoids as good as rotary positions, but for the seeds."""
    return FINAL | {"sinusoidal": [2.03, 2.09, 2.24]}


def test_kinds_are_compared_seed_by_seed(experiment):
    found = found_in(experiment)

    assert found.ranking == ["rotary", "sinusoidal", "learned", "none"]
    assert found.lead.mean == pytest.approx(0.1566667) and found.lead.half == pytest.approx(0.01434, abs=1e-4)
    assert band(FINAL["rotary"]).high > band(FINAL["sinusoidal"]).low  # side by side they would not be told apart
    assert found.lead.decided


def test_the_finding_has_the_numbers(experiment):
    said = experiment.what_happened(found_in(experiment))

    assert said.startswith("rotary ends at 2.10, 0.157 ± 0.014 nats ahead of sinusoidal; ")
    assert "at 65 (learned), 81 (sinusoidal), 113 (rotary), never up to 256 (none)." in said


def test_a_lead_that_may_be_nothing_is_said_to_be(experiment, corpus, tmp_path):
    found = found_in(experiment, undecided())

    said = experiment.what_happened(found)

    assert not found.lead.decided
    assert said.startswith("rotary ends at 2.10, sinusoidal at 2.12, but 3 seeds do not decide between them")
    if plots.available():
        assert experiment.draw(found, corpus, tmp_path / "swap.png").exists()


def test_a_model_has_broken_down_where_a_bin_is_much_worse_than_the_last_trained_one(experiment):
    found = found_in(experiment, breaks=BREAKS | {"learned": 75, "none": 249})

    assert found.starts[0] == 65 and found.starts[-1] == 241
    assert found.breaks_down("learned") == 81  # six of the sixteen positions from 65 on: 0.19 worse
    assert found.breaks_down("rotary") == 113
    assert found.breaks_down("none") == 241
    assert found_in(experiment).breaks_down("none") == "never"


def test_the_table_has_a_line_for_each_kind_twice(experiment, corpus):
    lines = experiment.tables(found_in(experiment), corpus).splitlines()

    assert [line.split()[0] for line in lines[2:6]] == list(KINDS)
    assert lines[2].split()[1:7] == ["2.310", "±", "0.262", "0.207", "±", "0.014"]
    assert lines[4].split()[1:] == ["2.103", "±", "0.249", "2.10", "2.10", "2.10", "2.55"]
    assert lines[9].split() == [str(start) for start in range(49, 257, 16)]
    assert lines[12].split() == ["rotary", *["2.10"] * 4, *["2.60"] * 9]
    assert max(map(len, lines)) <= 80


# ---------------------------------------------------------------------------------------------- the conclusion

RIGHT = {"winner": '"rotary"', "gap": "0.2", "sure": "true"}
RIGHT |= {"learned": "65", "sinusoidal": "81", "rotary": "113", "none": '"never"'}


@pytest.fixture
def concluded(experiment, module, tmp_path):
    """Hold a form, filled in with these values, against a finished run; what comes back or is raised."""
    folder = tmp_path / "rope" / "swap" / "quick"
    folder.mkdir(parents=True)

    def concluded(changed=None, text=None, final=FINAL, code=None, breaks=BREAKS):
        how = asdict(replace(experiment.FULL, seeds=(0, 1, 2)))
        numbers = {**how, "code": code or source_of(module), "rows": rows_of(final, breaks)}
        (folder / "numbers.json").write_text(json.dumps(numbers))
        form = experiment.form(context(module, folder))
        for name, value in {**RIGHT, **(changed or {})}.items():
            assert form.count(f'\n{name} = ""') == 1
            form = form.replace(f'\n{name} = ""', f"\n{name} = {value}")
        (folder / "conclusion.toml").write_text(form if text is None else text, encoding="utf-8")
        return experiment.conclude(context(module, tmp_path / "rope" / "conclude" / "quick"))

    concluded.folder = folder
    return concluded


def test_a_right_conclusion_holds(concluded):
    result = concluded()

    assert result.finding == "all 7 claims hold."
    assert result.table.count("✓") == 7 and "✗" not in result.table
    assert '✓ winner = "rotary"  holds' in result.table
    assert "another version" not in result.table


@pytest.mark.parametrize(
    "name, value, look",
    [
        ("winner", '"learned"', "the first column of the table"),
        ("gap", "0.5", "column `behind rotary`"),
        ("gap", "-0.207", "column `behind rotary`"),
        ("sure", "false", "line `sinusoidal` of the table, column `behind rotary`"),
        ("learned", "97", "line `learned` of the second table"),
        ("sinusoidal", "120", "line `sinusoidal` of the second table"),
        ("rotary", "65", "right panel"),
        ("rotary", '"never"', "right panel"),
        ("none", "200", "line `none` of the second table"),
    ],
)
def test_a_claim_that_the_log_contradicts_is_told_where_to_look(concluded, name, value, look):
    with pytest.raises(Refused) as problem:
        concluded({name: value})

    said = str(problem.value)
    assert said.count("✗") == 1 and said.count("✓") == 6
    wrong = said[said.index("✗") :].split("\n")
    assert f"{name} = {value}" in wrong[0] and "your log says otherwise: look at" in wrong[1]
    assert look in wrong[1]
    assert RIGHT[name].strip('"') not in wrong[1].replace("behind rotary", "")
    assert "6 of 7 claims hold." in said


@pytest.mark.parametrize(
    "name, value, why",
    [
        ("winner", '"rope"', "it is one of learned, sinusoidal, rotary, none."),
        ("winner", "3", "it is one of learned"),
        ("gap", '"0.2"', "without quotation marks"),
        ("gap", "true", "it is a number"),
        ("gap", "nan", "it is a number"),
        ("sure", '"true"', "without quotation marks"),
        ("sure", "1", "it is true or false"),
        ("learned", "64", 'it is a position from 65 to 256, or "never".'),
        ("learned", "257", "it is a position from 65 to 256"),
        ("learned", '"65"', "it is a position"),
        ("none", "true", "it is a position"),
        ("none", "[65]", "it is a position"),
    ],
)
def test_what_is_no_claim_is_told_what_one_looks_like(concluded, name, value, why):
    with pytest.raises(Refused) as problem:
        concluded({name: value})

    assert why in str(problem.value) and str(problem.value).count("✗") == 1


def test_a_form_that_is_not_filled_in(concluded, experiment, module):
    with pytest.raises(Refused) as problem:
        concluded(text=experiment.form(context(module, concluded.folder)))

    assert str(problem.value).count("still blank") == 7


@pytest.mark.parametrize("text", ["", "breaks_down = 5\n", "[breaks_down]\nrotary = '  '\n"])
def test_a_form_with_lines_missing(concluded, text):
    with pytest.raises(Refused) as problem:
        concluded(text=text)

    assert str(problem.value).count("still blank") == 7


@pytest.mark.parametrize("text", ["winner = rotary\n", "gap = \n", "winner = 'rotary\n", "gap = 0,2\n"])
def test_a_form_that_is_no_toml(concluded, text):
    with pytest.raises(Refused, match=r"conclusion\.toml cannot be read: .+\nA word stands in quotation marks"):
        concluded(text=text)


def test_a_form_as_a_windows_editor_saves_it(concluded, experiment, module):
    concluded()
    text = (concluded.folder / "conclusion.toml").read_text(encoding="utf-8")

    assert concluded(text="\ufeff" + text.replace("\n", "\r\n")).finding == "all 7 claims hold."


@pytest.mark.parametrize("said", ["0.188", "0.226"])
def test_a_gap_may_be_a_little_off(concluded, said):
    assert concluded({"gap": said})


def test_a_gap_may_be_as_far_off_as_its_own_interval(concluded):
    final = FINAL | {"learned": [2.20, 2.42, 2.41]}  # 0.24 ± 0.15

    assert concluded({"gap": "0.36"}, final=final)
    with pytest.raises(Refused, match="6 of 7"):
        concluded({"gap": "0.4"}, final=final)


@pytest.mark.parametrize("said, near", [("97", True), ("112", True), ("144", True), ("145", False), ("96", False)])
def test_a_position_may_be_one_bin_off(concluded, said, near):
    if near:
        assert concluded({"rotary": said})
    else:
        with pytest.raises(Refused, match="6 of 7"):
            concluded({"rotary": said})


def test_seeds_that_do_not_decide_ask_for_doubt(concluded):
    assert concluded({"sure": "false"}, final=undecided())
    with pytest.raises(Refused, match="is 0 within the ±"):
        concluded(final=undecided())


def test_where_learned_positions_win_the_gap_is_zero(concluded):
    final = FINAL | {"learned": [1.9, 2.01, 2.1]}

    assert concluded({"winner": '"learned"', "gap": "0.0"}, final=final)


def test_a_run_of_other_code_counts_with_a_word(concluded):
    result = concluded(code="of yesterday")

    assert "made with another version of your file" in result.table
    assert result.finding == "all 7 claims hold."


@pytest.mark.parametrize("flavour", [(), ("quick",), ("solution",), ("solution", "quick")])
def test_a_conclusion_belongs_to_the_run_of_its_flavour(experiment, module, tmp_path, flavour):
    where = tmp_path / "runs" / "rope"
    asked = Context(module, where.joinpath("conclude", *flavour), "quick" in flavour, untitled)
    words = " ".join(["", *(f"--{word}" for word in flavour)])

    with pytest.raises(CannotRun) as problem:
        experiment.conclude(asked)

    assert str(where.joinpath("swap", *flavour, "numbers.json")) in str(problem.value)
    assert str(problem.value).endswith(f"First: grader run rope{words.rstrip()}")
    assert f"\n#     grader run rope conclude{words.rstrip()}\n" in experiment.form(asked)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"rows": 3}'])
def test_a_damaged_run_is_to_be_made_again(concluded, experiment, module, text):
    concluded()
    (concluded.folder / "numbers.json").write_text(text)

    with pytest.raises(CannotRun, match="Once more: grader run rope --quick"):
        experiment.conclude(context(module, concluded.folder.parents[1] / "conclude" / "quick"))


def test_without_a_form_the_run_lays_one_out(concluded, experiment, module):
    concluded()
    (concluded.folder / "conclusion.toml").unlink()

    with pytest.raises(CannotRun, match="run it again"):
        experiment.conclude(context(module, concluded.folder.parents[1] / "conclude" / "quick"))


def test_from_run_to_conclusion(short, module, tmp_path):
    """What the table of a real run says passes; the exit code is that of the launcher."""
    result = short.swap(context(module, tmp_path / "swap"))
    numbers = result.numbers
    form = tmp_path / "swap" / "conclusion.toml"
    gap = numbers["behind"].get("learned", {"mean": 0.0})["mean"]
    answers = {"winner": json.dumps(numbers["winner"]), "gap": f"{gap:.3f}"}
    lead = numbers["lead"]
    answers["sure"] = json.dumps(lead["mean"] - lead["half"] > 0)
    answers |= {kind: json.dumps(at) for kind, at in numbers["breaks_down"].items()}
    text = form.read_text(encoding="utf-8")
    for name, value in answers.items():
        text = text.replace(f'\n{name} = ""', f"\n{name} = {value}")
    form.write_text(text, encoding="utf-8")

    assert short.conclude(context(module, tmp_path / "conclude")).finding == "all 7 claims hold."


# ---------------------------------------------------------------------------------------------- parts


def parts_of_the_solutions(experiment):
    found = {}
    for exercise, names in experiment.PARTS.items():
        file = next((ROOT / "solutions").glob(f"ex*_{exercise}")) / f"{exercise}.py"
        found |= {name: Part(getattr(launch.load(file, f"part_{exercise}"), name), exercise, "1") for name in names}
    return found


def test_parts_are_what_a_learner_writes_in_those_steps(experiment):
    course = Course(ROOT)
    assert experiment.EXPERIMENTS["swap"].parts == experiment.PARTS
    for wanted, names in experiment.PARTS.items():
        steps = {step.name: step for step in course.find(wanted).steps}
        for name, step in names.items():
            assert name in {function.split(".")[0] for function in steps[step].functions}


def test_every_part_is_used_and_gives_what_pytorch_gives(experiment, module, corpus, tiny):
    parts, called = parts_of_the_solutions(experiment), set()

    def listening(name, part):
        def call(*args, **kwargs):
            called.add(name)
            return part.value(*args, **kwargs)

        return replace(part, value=call)

    plain = replace(tiny, weight_decay=0.0)  # PyTorch's optimiser is not told what should not decay
    heard = {name: listening(name, part) for name, part in parts.items()}

    yours = trained(experiment, module, corpus, plain, "rotary", parts=heard)
    theirs = trained(experiment, module, corpus, plain, "rotary")

    assert called == {name for names in experiment.PARTS.values() for name in names}
    assert yours["by_position"] == pytest.approx(theirs["by_position"], abs=2e-3)


def test_rows_of_other_parts_are_not_taken_up(short, module, tmp_path, monkeypatch):
    class Trained(Exception):
        pass

    class AtTheTable(Exception):
        pass

    def raises(error):
        def instead(*_):
            raise error

        return instead

    gelu = {"gelu": Part(torch.nn.functional.gelu, "block", "1")}
    monkeypatch.setattr(short, "tables", raises(AtTheTable))
    with pytest.raises(AtTheTable):
        short.swap(context(module, tmp_path, parts=gelu))
    monkeypatch.setattr(short, "train", raises(Trained))

    with pytest.raises(AtTheTable):  # the same parts: all rows are there, and it comes to the table
        short.swap(context(module, tmp_path, parts=gelu))
    kept = (tmp_path / "partial.jsonl").read_bytes()
    for parts in ({}, {"gelu": replace(gelu["gelu"], code="2")}):
        (tmp_path / "partial.jsonl").write_bytes(kept)
        with pytest.raises(Trained):
            short.swap(context(module, tmp_path, parts=parts))
