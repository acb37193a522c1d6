"""Checks to hand out: one idea each, with numbers small enough to follow by hand.

Draws are counted in tenths: of 5,000 draws, the share of each id, rounded to a tenth. A right answer never crosses the
margin of half a tenth (chance does in fewer than one of 10¹⁰ gradings).
"""

import numpy as np
import pytest

from grader.checks import assert_close, assert_raises, gradients_of, through

BANANA = np.array([1, 0, 2, 0, 2, 0])

HELPERS = """
import torch

def tenths_drawn(logits, temperature, draws, seed):
    rows = logits.repeat(draws, *[1] * logits.ndim)
    drawn = submission.sample_next(rows, temperature, seed)
    shares = (drawn[..., None] == torch.arange(logits.shape[-1])).double().mean(dim=0)
    return (10 * shares).round().to(torch.int64)

def repeats_and_tenths_by_another_seed(logits, draws, seed, another_seed, temperature=1.0):
    rows, drawn = logits.repeat(draws, 1), []
    for global_seed, chosen in [(41, seed), (43, seed), (43, another_seed)]:
        torch.manual_seed(global_seed)
        drawn.append(submission.sample_next(rows, temperature, chosen))
    once, again, other = drawn
    return [torch.equal(once, again), round(10 * (again == other).double().mean().item())]
"""


def logits_of(*tenths, times=1.0):
    """Logits, float32, whose softmax is so many tenths; `times` moves them all up or down and changes nothing."""
    return np.log(np.array(tenths) * times / 10).astype("float32")


# ---------------------------------------------------------------------------------------------- vocabulary


@pytest.mark.step("vocabulary")
@pytest.mark.points(1)
def test_vocabulary_is_every_character_once_in_sorted_order(student, reference):
    banana = student.build_vocab("banana")
    lines = student.build_vocab("Six zebras nap\r\nat noon? Zzz\n")

    assert_close(banana, ["a", "b", "n"])
    assert_close(lines, reference.build_vocab("Six zebras nap\r\nat noon? Zzz\n"))


@pytest.mark.step("vocabulary")
@pytest.mark.points(0.5)
def test_an_id_is_a_character_s_place_in_the_vocabulary(student, reference):
    vocab = list(" abcdefg")

    ids = student.encode("nab", ["a", "b", "n"])
    more = student.encode("a faded cabbage", vocab)

    assert_close(ids, reference.encode("nab", ["a", "b", "n"]))
    assert_close(more, reference.encode("a faded cabbage", vocab))


@pytest.mark.step("vocabulary")
@pytest.mark.points(0.5)
def test_decoding_gives_the_text_back(student, reference):
    ids = np.array([3, 1, 2, 0, 1, 2, 2, 5])

    text = student.decode(ids, list(" abcdef"))

    assert_close(text, reference.decode(ids, list(" abcdef")))


# ---------------------------------------------------------------------------------------------- batch


@pytest.mark.step("batch")
@pytest.mark.points(1)
def test_a_batch_holds_windows_and_beside_each_id_the_next_one(student, reference, rng):
    ids, starts = rng.permutation(23), np.array([12, 0, 5])

    by_hand = student.get_batch(BANANA, np.array([2, 0]), 3)
    pair = student.get_batch(ids, starts, 4)

    assert_close(by_hand, reference.get_batch(BANANA, np.array([2, 0]), 3))
    assert_close(pair, reference.get_batch(ids, starts, 4))


@pytest.mark.step("batch")
@pytest.mark.points(0.5)
def test_the_window_that_ends_the_text_is_the_last(student, reference, rng):
    ids, last = rng.permutation(23), 23 - 4 - 1

    pair = student.get_batch(ids, np.array([3, last]), 4)

    assert_close(pair, reference.get_batch(ids, np.array([3, last]), 4))
    assert_raises(ValueError, student.get_batch, ids, np.array([3, last + 1]), 4)


# ---------------------------------------------------------------------------------------------- loss


@pytest.mark.step("loss")
@pytest.mark.points(1)
def test_the_loss_is_the_mean_surprise_at_the_targets_in_nats(student, reference, draw):
    logits, targets = np.log(np.array([[1, 2, 5]] * 3, "float32")), np.array([0, 1, 2])
    more, of_more = draw(4, 7), np.array([6, 0, 3, 3])

    by_hand = student.cross_entropy(logits, targets)
    loss = student.cross_entropy(more, of_more)

    assert_close(by_hand, (np.log(8) + np.log(4) + np.log(1.6)) / 3, tolerance=2e-5)
    assert_close(loss, reference.cross_entropy(more, of_more))


@pytest.mark.step("loss")
@pytest.mark.points(0.5)
def test_every_place_of_every_window_counts(student, reference, draw, rng):
    logits, targets = draw(3, 4, 7), rng.integers(0, 7, size=(3, 4))

    loss = student.cross_entropy(logits, targets)

    assert_close(loss, reference.cross_entropy(logits, targets))


@pytest.mark.step("loss")
@pytest.mark.points(0.5)
def test_large_logits_cost_what_they_should(student, reference, draw):
    logits = draw(3, 5)
    logits[0, 1] += 1e4
    targets = np.array([2, 4, 0])

    loss = student.cross_entropy(logits, targets)

    assert_close(loss, reference.cross_entropy(logits, targets))


@pytest.mark.step("loss")
@pytest.mark.points(0.5)
def test_gradients_flow_back_to_the_logits(student, reference, draw):
    logits, targets = draw(4, 5), np.array([2, 4, 0, 1])

    by_loss = np.array(1, "float32")

    (gradient,), _ = gradients_of(student.cross_entropy, by_loss, logits, targets)

    (expected,), _ = gradients_of(reference.cross_entropy, by_loss, logits, targets)
    assert_close(gradient, expected)


# ---------------------------------------------------------------------------------------------- counts


@pytest.mark.step("counts")
@pytest.mark.points(1)
def test_the_table_is_counted_from_neighbours(student, reference, rng):
    ids = rng.integers(0, 4, size=57) * rng.integers(0, 2, size=57)

    banana = student.bigram_logits(BANANA, 3)
    table = student.bigram_logits(ids, 4)

    assert_close(banana, reference.bigram_logits(BANANA, 3))
    assert_close(table, reference.bigram_logits(ids, 4))


@pytest.mark.step("counts")
@pytest.mark.points(1)
def test_the_table_follows_the_smoothing_asked_for(student, reference, rng):
    ids = rng.integers(0, 4, size=57) * rng.integers(0, 2, size=57)

    for smoothing in (0.25, 8.0):
        table = student.bigram_logits(ids, 4, smoothing)
        assert_close(table, reference.bigram_logits(ids, 4, smoothing))


# ---------------------------------------------------------------------------------------------- sample


@pytest.mark.step("sample")
@pytest.mark.points(1)
def test_at_temperature_zero_the_first_of_the_largest_logits_wins(student, reference, rng):
    logits = rng.permuted(np.tile(np.array([-1, 0.5, 2, 3, 1], "float32"), (3, 4, 1)), axis=-1)
    ties = np.array([[0, 2, -1, 2, 1], [1, -2, 0, 0.5, 1]], "float32")

    ids = student.sample_next(logits, 0.0, 1)
    tenths = through(student, HELPERS, "tenths_drawn", ties, 0.0, draws=5_000, seed=1)

    assert_close(ids, reference.sample_next(logits, 0.0, 1))
    assert_close(tenths, through(reference, HELPERS, "tenths_drawn", ties, 0.0, draws=5_000, seed=1))


@pytest.mark.step("sample")
@pytest.mark.points(1)
def test_ids_are_drawn_by_their_probabilities(student, reference):
    logits = logits_of(1, 3, 2, 2, 2, times=8)
    hot = 5 * logits

    for given, temperature in [(logits, 1.0), (hot, 5.0)]:
        tenths = through(student, HELPERS, "tenths_drawn", given, temperature, draws=5_000, seed=3)
        assert_close(tenths, through(reference, HELPERS, "tenths_drawn", given, temperature, draws=5_000, seed=3))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_a_seed_decides_the_draw(student, reference):
    logits = logits_of(1, 6, 1, 1, 1, times=8)

    for another_seed in (4, -3):
        asked = {"draws": 5_000, "seed": 3, "another_seed": another_seed}
        agree = through(student, HELPERS, "repeats_and_tenths_by_another_seed", logits, **asked)
        assert_close(agree, through(reference, HELPERS, "repeats_and_tenths_by_another_seed", logits, **asked))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_a_temperature_below_zero_is_refused(student, reference, draw):
    logits = draw(3, 5)

    assert_close(student.sample_next(logits, 0.0, 1), reference.sample_next(logits, 0.0, 1))
    assert_raises(ValueError, student.sample_next, logits, -1.0, 1)
