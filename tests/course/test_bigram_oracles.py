"""The solution of `bigram` against oracles that share no code with it: PyTorch's own losses, loops, numbers from hand.

The checks that count draws are looked at too: how improbable it is that chance fails a right answer.
"""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys
import typing
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from lab import launch

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
FOLDER = next((ROOT / "solutions").glob("ex*_bigram"))
FILE = FOLDER / "bigram.py"
BLANKED = ["build_vocab", "encode", "decode", "get_batch", "cross_entropy", "bigram_logits", "sample_next"]


bigram = launch.load(FILE, "bigram_solution")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


# ---------------------------------------------------------------------------------------------- by hand


def test_banana_by_hand():
    vocab = bigram.build_vocab("banana")
    ids = bigram.encode("banana", vocab)
    table = bigram.bigram_logits(ids, 3)

    assert vocab == ["a", "b", "n"]
    assert ids.tolist() == [1, 0, 2, 0, 2, 0]
    assert bigram.encode("nab", vocab).tolist() == [2, 0, 1]
    expected = torch.tensor([[1 / 5, 1 / 5, 3 / 5], [2 / 4, 1 / 4, 1 / 4], [3 / 5, 1 / 5, 1 / 5]])
    torch.testing.assert_close(table.exp(), expected)
    assert bigram.cross_entropy(table[ids[:-1]], ids[1:]).item() == pytest.approx(0.5473, abs=5e-5)
    assert bigram.what_follows("banana", "a") == {"n": 1.0}
    assert bigram.what_follows("banana", "x") == {}


def test_the_other_numbers_in_the_task_text():
    ids = torch.tensor([1, 0, 2, 0, 2, 0])

    x, y = bigram.get_batch(ids, torch.tensor([2]), 3)

    assert (x.tolist(), y.tolist()) == ([[2, 0, 2]], [[0, 2, 0]])
    for target, cost in enumerate([8, 4, 1.6]):
        loss = bigram.cross_entropy(torch.tensor([1.0, 2.0, 5.0]).log(), torch.tensor(target))
        assert loss.item() == pytest.approx(math.log(cost), rel=1e-6)
    odds = torch.tensor([0.2, 0.8]).log()
    for temperature, share in [(0.5, 0.059), (2, 1 / 3)]:
        drawn = bigram.sample_next(odds.repeat(100_000, 1), temperature, seed=0)
        assert (drawn == 0).double().mean().item() == pytest.approx(share, abs=0.01)


def test_the_table_holds_what_the_loops_count(generator):
    letters = torch.randint(0, 5, (300,), generator=generator)
    text = "".join("abcde"[i] for i in letters.tolist())

    shares = bigram.bigram_logits(letters, 5, smoothing=0).exp()

    for i, previous in enumerate("abcde"):
        follows = bigram.what_follows(text, previous)
        assert shares[i].tolist() == pytest.approx([follows.get(character, 0.0) for character in "abcde"], rel=1e-6)


# ---------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    "text",
    ["", "a", "Zebra, apple\n\t", "ßé√🙂🙂Aa", "banana" * 50, " a\r\nb\r\n", "\0a\0\0", "\x85\u2028e\u0301\v\f "],
)
def test_a_text_survives_the_way_there_and_back(text):
    vocab = bigram.build_vocab(text)
    other = [*reversed(vocab), "unused"]

    assert vocab == sorted(Counter(text))
    for one in (vocab, other):
        ids = bigram.encode(text, one)
        assert (ids.dtype, ids.shape) == (torch.int64, (len(text),))
        assert ids.tolist() == [one.index(character) for character in text]
        assert bigram.decode(ids, one) == text


def test_a_vocabulary_counts_as_it_is_at_the_call():
    vocab = ["a", "b"]
    before = bigram.encode("ab", vocab).tolist()
    vocab.reverse()

    assert (before, bigram.encode("ab", vocab).tolist()) == ([0, 1], [1, 0])


@pytest.mark.parametrize("text, unknown", [("ab#", "#"), ("\n", "\\n"), ("aXb", "X")])
def test_unknown_characters_are_named(text, unknown):
    with pytest.raises(ValueError, match=re.escape(unknown)):
        bigram.encode(text, ["a", "b"])


# ---------------------------------------------------------------------------------------------- batch


@pytest.mark.parametrize("starts, context", [([0, 4, 4, 2], 3), ([6], 1), ([0], 7)])
def test_windows_place_by_place(starts, context):
    ids = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])

    x, y = bigram.get_batch(ids, torch.tensor(starts), context)

    assert x.dtype == y.dtype == torch.int64
    for row, start in enumerate(starts):
        assert x[row].tolist() == ids.tolist()[start : start + context]
        assert y[row].tolist() == ids.tolist()[start + 1 : start + context + 1]


@pytest.mark.parametrize("starts, context", [([5], 3), ([0, 5], 3), ([-1], 3), ([0], 8), ([7], 1)])
def test_windows_outside_the_text_are_refused(starts, context):
    with pytest.raises(ValueError, match="lie inside 8 ids"):
        bigram.get_batch(torch.arange(8), torch.tensor(starts), context)


def test_views_with_any_strides_are_read_as_what_they_show(generator):
    ids = torch.randint(0, 4, (60,), generator=generator)
    column = ids.reshape(-1, 4)[:, 2]

    for view in (ids[::2], column, ids[:1].expand(9)):
        starts = torch.tensor([5, 9, 0, 9, 2])[::2]
        same = view.clone()
        pairs = zip(bigram.get_batch(view, starts, 3), bigram.get_batch(same, starts.clone(), 3), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
        assert torch.equal(bigram.bigram_logits(view, 4), bigram.bigram_logits(same, 4))
        assert bigram.decode(view, list("abcd")) == bigram.decode(same, list("abcd"))


# ---------------------------------------------------------------------------------------------- loss


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("axes", [(), (5,), (2, 3), (2, 1, 4, 3)])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_agrees_with_pytorchs_cross_entropy(generator, axes, dtype, scale):
    logits = (scale * torch.randn(*axes, 7, generator=generator)).to(dtype)
    targets = torch.randint(0, 7, axes, generator=generator)

    loss = bigram.cross_entropy(logits, targets)

    exact = torch.nn.functional.cross_entropy(logits.double().reshape(-1, 7), targets.reshape(-1))
    assert loss.shape == ()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(loss.double(), exact, rtol=1e-6, atol=1e-9)


def test_its_gradient_is_softmax_less_the_target(generator):
    logits = torch.randn(2, 3, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 7, (2, 3), generator=generator)

    bigram.cross_entropy(logits, targets).backward()

    by_hand = (logits.detach().softmax(-1) - torch.eye(7, dtype=torch.float64)[targets]) / 6
    torch.testing.assert_close(logits.grad, by_hand, rtol=1e-12, atol=1e-14)
    assert torch.autograd.gradcheck(lambda x: bigram.cross_entropy(x, targets), (logits,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_gradients_hold_in_half_precision_and_after_underflow(generator, dtype, scale):
    logits = (scale * torch.randn(6, 5, generator=generator)).to(dtype).requires_grad_()
    targets = torch.tensor([0, 1, 2, 3, 4, 0])

    bigram.cross_entropy(logits, targets).backward()

    by_hand = (logits.detach().double().softmax(-1) - torch.eye(5, dtype=torch.float64)[targets]) / 6
    assert logits.grad.dtype == dtype
    torch.testing.assert_close(logits.grad.double(), by_hand, rtol=0, atol=1e-8 if dtype == torch.float32 else 1e-3)


def test_forbidden_characters_and_a_model_that_knows_nothing():
    inf = math.inf
    logits = torch.tensor([[0.0, -inf, 0.0], [5.0, -inf, -inf]])

    assert bigram.cross_entropy(logits, torch.tensor([2, 0])).item() == pytest.approx(math.log(2) / 2)
    assert bigram.cross_entropy(logits, torch.tensor([1, 0])).item() == inf
    assert bigram.cross_entropy(torch.zeros(4, 65), torch.arange(4)).item() == pytest.approx(4.1744, abs=1e-4)


# ---------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize("smoothing", [0, 1, 0.5, 40.0])
@pytest.mark.parametrize("length, vocab_size", [(0, 1), (1, 3), (2, 3), (90, 4), (300, 7)])
def test_every_entry_is_its_exact_fraction(generator, length, vocab_size, smoothing):
    ids = torch.randint(0, max(vocab_size - 1, 1), (length,), generator=generator)

    table = bigram.bigram_logits(ids, vocab_size, smoothing)

    numbers, added = ids.tolist(), Fraction(smoothing)
    pairs = Counter(itertools.pairwise(numbers))
    assert (table.dtype, table.shape) == (torch.float32, (vocab_size, vocab_size))
    for previous in range(vocab_size):
        row = [pairs[previous, following] + added for following in range(vocab_size)]
        for following, weight in enumerate(row):
            p = weight / sum(row) if sum(row) else Fraction(1, vocab_size)
            expected = math.log(p) if p else -math.inf
            assert table[previous, following].item() == pytest.approx(expected, abs=1e-6)


def test_smoothing_is_one_unless_given(generator):
    ids = torch.randint(0, 4, (50,), generator=generator)

    assert torch.equal(bigram.bigram_logits(ids, 4), bigram.bigram_logits(ids, 4, 1))


def test_counting_is_what_gradient_descent_ends_at(generator):
    ids = torch.randint(0, 4, (400,), generator=generator)
    weights = torch.zeros(4, 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = bigram.cross_entropy(weights[ids[:-1]], ids[1:])
        loss.backward()
        return loss

    optimizer.step(closure)

    counted = bigram.bigram_logits(ids, 4, smoothing=0)
    torch.testing.assert_close(weights.detach().log_softmax(-1).float(), counted, atol=1e-3, rtol=0)


def test_a_pair_may_occur_very_often():
    ids = torch.cat([torch.zeros(70_000, dtype=torch.int64), torch.tensor([1])])

    assert bigram.bigram_logits(ids, 2)[0].exp().tolist() == pytest.approx([70_000 / 70_002, 2 / 70_002], rel=1e-5)


# ---------------------------------------------------------------------------------------------- sample


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_draws_follow_the_softmax_by_a_chi_squared_test(temperature):
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0, -math.inf, 1.1])
    n = 200_000

    drawn = bigram.sample_next(logits.expand(n // 4, 4, 6), temperature, seed=5)

    weights = [math.exp(x / temperature) for x in logits.tolist()]
    expected = [n * weight / sum(weights) for weight in weights]
    counts = torch.bincount(drawn.flatten(), minlength=6).tolist()
    assert counts[4] == 0
    statistic = sum((count - mean) ** 2 / mean for count, mean in zip(counts, expected, strict=True) if mean)
    assert statistic < 60  # four degrees of freedom: chance exceeds this once in 10¹¹


def test_temperature_zero_takes_the_first_of_the_largest():
    logits = torch.tensor([[[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], [[0.0, -1.0, 0.0], [1e4, -math.inf, 2e4]]])

    for seed in range(3):
        assert bigram.sample_next(logits, 0.0, seed).tolist() == [[1, 0], [0, 2]]
        assert bigram.sample_next(logits[0, 0], 0, seed).tolist() == 1


def test_argmax_takes_the_first_of_many_equal_ones(generator):
    for size in (2, 7, 16, 33, 257, 50_257):
        rows = torch.randint(0, 2, (50, size), generator=generator).float()
        rows[:, -1] = 1
        assert bigram.sample_next(rows, 0, 0).tolist() == [row.index(1.0) for row in rows.tolist()]


def test_seeds_rows_and_the_global_generator():
    rows = torch.zeros(40, 50, 5)
    state = torch.random.get_rng_state()

    one, same, other = (bigram.sample_next(rows, 1.0, seed) for seed in (3, 3, 4))

    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one, same)
    assert (one == other).double().mean().item() == pytest.approx(0.2, abs=0.08)
    assert (one[1:] == one[:-1]).double().mean().item() == pytest.approx(0.2, abs=0.08)
    assert (one[:, 1:] == one[:, :-1]).double().mean().item() == pytest.approx(0.2, abs=0.08)


def test_every_int64_is_a_seed_and_the_global_seed_has_no_say():
    rows = torch.zeros(2000, 5)
    seeds = [3, 259, 1003, 65_539, -3, 2**31 + 3, 2**62 + 5, -(2**63), 2**63 - 1]
    drawn = []
    for number, seed in enumerate(seeds):
        torch.manual_seed(number)
        drawn.append(bigram.sample_next(rows, 1.0, seed))
        torch.manual_seed(number + 1)
        assert torch.equal(bigram.sample_next(rows, 1.0, seed), drawn[-1])

    for one, other in itertools.combinations(drawn, 2):
        assert (one == other).double().mean().item() == pytest.approx(0.2, abs=0.08)


def test_torchs_generator_takes_the_last_32_bits_of_a_seed():
    states = [torch.rand(9, generator=torch.Generator().manual_seed(seed)) for seed in (7, 7 + 2**32, 7 - 2**32, 8)]

    assert [torch.equal(states[0], state) for state in states] == [True, True, True, False]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_half_precision_is_no_bar(dtype):
    large = torch.tensor([0, 9500, 1e4]).to(dtype).repeat(500, 1)
    coarse = torch.tensor([256, 258]).to(dtype).repeat(100_000, 1)

    assert set(bigram.sample_next(large, 0.1, 0).tolist()) == {2}
    assert (bigram.sample_next(coarse, 2 / math.log(4), 0) == 0).double().mean().item() == pytest.approx(0.2, abs=0.01)


def test_minus_infinity_is_never_drawn_beside_low_logits_or_when_hot():
    rows = torch.tensor([-1e4, -math.inf] * 5).repeat(4000, 1)

    for temperature in (0.01, 1.0, 1e10, 1e30):
        assert set(bigram.sample_next(rows, temperature, 0).tolist()) == {0, 2, 4, 6, 8}


@pytest.mark.parametrize("temperature", [-1, -1e-9, -math.inf])
def test_temperatures_below_zero_are_refused(temperature):
    with pytest.raises(ValueError, match="at least 0"):
        bigram.sample_next(torch.zeros(3), temperature, 0)


def test_large_logits_are_drawn_from_as_well():
    logits = torch.tensor([[1e4, 1e4, -1e4], [-1e4, -1e4, -1e4 - 50]]).repeat(500, 1, 1)

    drawn = bigram.sample_next(logits, 1.0, 0)

    assert set(drawn.flatten().tolist()) == {0, 1}


# ---------------------------------------------------------------------------------------------- how improbable


def outside(n: int, p: float, low: float, high: float) -> float:
    """The probability that a share of n draws, each a success with probability p, leaves [low, high]: exact."""
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
        for k in range(n + 1)
        if not low < k / n < high
    ]
    return math.fsum(math.exp(log) for log in logs)


def test_chance_fails_a_right_answer_less_than_once_in_ten_billion():
    n = draws_in_the_checks()
    ids_drawn = [3, 1, 2, 2, 2] * 3 + [3, 3, 1, 1, 2] + [5, 1, 1, 1, 2] + [2] * 5 * 3 + [4, 4, 2] * 2 + [2, 8]
    rows_that_agree = [4, 4, 4] + [2] * 9

    chances = [outside(n, tenths / 10, tenths / 10 - 0.05, tenths / 10 + 0.05) for tenths in ids_drawn]
    chances += [outside(n - 100, tenths / 10, tenths / 10 - 0.05, tenths / 10 + 0.05) for tenths in rows_that_agree]

    assert sum(chances) < 1e-10


def test_the_probability_of_leaving_a_margin_is_right():
    assert outside(2, 0.5, 0.4, 0.6) == pytest.approx(0.5)
    assert outside(1, 0.3, -1, 0.5) == pytest.approx(0.3)
    assert outside(100, 0.5, 0.4, 0.6) == pytest.approx(0.0569, abs=1e-4)


def draws_in_the_checks():
    """The number of draws that every check of both files asks for."""
    texts = [(FOLDER / name).read_text(encoding="utf-8") for name in ("test_public.py", "test_hidden.py")]
    found = {int(number.replace("_", "")) for text in texts for number in re.findall(r"\bdraws\"?[=:] ?([\d_]+)", text)}
    found |= {int(a) * int(b) for text in texts for a, b in re.findall(r'"rows": (\d+), "columns": (\d+)', text)}
    (draws,) = found
    return draws


# ---------------------------------------------------------------------------------------------- shapes, the file itself


@pytest.fixture
def checked(monkeypatch):
    """The solution with every signature enforced, between its own functions too."""
    beartype = pytest.importorskip("beartype").beartype
    jaxtyped = pytest.importorskip("jaxtyping").jaxtyped
    monkeypatch.setattr(typing, "TYPE_CHECKING", True)
    module = launch.load(FILE, "bigram_solution")
    for name in [*BLANKED, "what_follows"]:
        setattr(module, name, jaxtyped(typechecker=beartype)(getattr(module, name)))
    return module


@pytest.mark.parametrize("axes", [(), (4,), (2, 3)])
def test_signatures_tell_the_truth(checked, axes):
    vocab = checked.build_vocab("banana")
    ids = checked.encode("banana", vocab)
    logits = torch.zeros(*axes, 3)

    x, y = checked.get_batch(ids, torch.tensor([0, 1]), 4)
    table = checked.bigram_logits(ids, 3)

    checked.decode(ids, vocab)
    checked.cross_entropy(table[x], y)
    checked.cross_entropy(logits, torch.zeros(axes, dtype=torch.int64))
    for temperature in (0.0, 1.0):
        assert checked.sample_next(logits, temperature, 0).shape == axes


def test_the_signature_check_can_fail(checked):
    with pytest.raises(Exception, match="Type-check"):
        checked.cross_entropy(torch.zeros(4, 3), torch.zeros(5, dtype=torch.int64))


def test_inputs_are_left_alone(generator):
    logits = torch.randn(4, 5, generator=generator)
    ids, starts = torch.tensor([4, 0, 3, 3]), torch.tensor([1, 0])
    kept = [one.clone() for one in (logits, ids, starts)]

    bigram.cross_entropy(logits, ids)
    bigram.sample_next(logits, 0.5, 0)
    bigram.sample_next(logits, 0, 0)
    bigram.bigram_logits(ids, 5)
    x, y = bigram.get_batch(ids, starts, 2)
    x += 1

    assert all(torch.equal(before, after) for before, after in zip(kept, (logits, ids, starts), strict=True))
    assert y.tolist() == [[3, 3], [0, 3]]


def ten_lines(text):
    """The numbered lines of torch in ten lines, without their indentation."""
    return [line.strip() for line in text.splitlines() if re.search(r"#\s+\d+  ", line)]


def test_task_and_stub_give_the_same_ten_lines():
    in_the_task, in_the_stub = (ten_lines((FOLDER / name).read_text(encoding="utf-8")) for name in ("task.md", FILE))

    assert in_the_task == in_the_stub
    assert [int(re.search(r"#\s+(\d+)", line)[1]) for line in in_the_task] == list(range(1, 11))


def test_what_the_ten_lines_say_of_torch_is_so():
    names = {"torch": torch}
    exec("\n".join(ten_lines(FILE.read_text(encoding="utf-8"))), names)
    x, w = names["x"], names["w"]

    assert x.dtype == torch.float32 and torch.tensor([]).dtype == torch.float32
    assert names["ids"].dtype == torch.int64
    assert torch.equal(names["totals"], x.sum(axis=-1, keepdims=True))
    assert torch.equal(names["largest"], x.amax(dim=-1)) and names["where"].tolist() == [1, 2]
    assert torch.equal(names["named"], torch.take_along_dim(x, names["ids"][:, None], -1))
    assert names["double"].dtype == torch.float64
    names["numbers"][2][0, 0] = 9
    assert x[0, 0].item() == 9
    ((w - 1) ** 2).sum().backward()
    assert w.grad.tolist() == [-2, -2, -2]


def test_the_file_runs_by_itself():
    run = subprocess.run([sys.executable, "-W", "error", str(FILE)], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    assert "{'n': 1.0}" in run.stdout
    assert "tensor(0.5473)" in run.stdout
    assert "next:" not in run.stdout


@pytest.mark.parametrize("written", range(len(BLANKED)))
def test_the_file_says_what_comes_next(monkeypatch, capsys, written):
    def not_yet(*args, **kwargs):
        raise NotImplementedError

    for name in BLANKED[written:]:
        monkeypatch.setattr(bigram, name, not_yet)

    bigram.main()

    printed = capsys.readouterr().out.splitlines()
    steps = ["vocabulary", "vocabulary", "vocabulary", "batch", "loss", "counts", "sample"]
    assert printed[-1] == f"next: step {steps[written]} of the task; then run this again"
