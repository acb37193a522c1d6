"""Checks to keep: every argument on both sides of its thresholds, leading axes, strides, precision, seeds, what must never
be drawn. Draws are counted in tenths, as in the public checks."""

import numpy as np
import pytest
from test_public import HELPERS as PUBLIC_HELPERS
from test_public import logits_of

from grader.checks import assert_close, assert_raises, assert_unchanged, gradients_of, tensor, through

INF = np.inf

HELPERS = (
    PUBLIC_HELPERS
    + """
def draws_a_forbidden_id(logits, temperature, draws, seed):
    drawn = submission.sample_next(logits.repeat(draws, 1), temperature, seed)
    return bool(logits[drawn].isneginf().any())

def tenths_of_neighbours_that_agree(logits, rows, columns, seed, axis):
    drawn = submission.sample_next(logits.repeat(rows, columns, 1), 1.0, seed).movedim(axis, 0)
    return round(10 * (drawn[1:] == drawn[:-1]).double().mean().item())

def the_global_generator_is_left_alone(logits, temperature, seed):
    torch.manual_seed(17)
    before = torch.random.get_rng_state()
    submission.sample_next(logits, temperature, seed)
    return torch.equal(torch.random.get_rng_state(), before)

def windows_of_every_other_id(ids, starts, context):
    x, y = submission.get_batch(ids[::2], starts[::3], context)
    return [x, y]

def windows_of_a_column(ids, starts, context):
    x, y = submission.get_batch(ids.reshape(-1, 3)[:, 1], starts.expand(4), context)
    return [x, y]

def table_of_every_other_id(ids, vocab_size):
    return submission.bigram_logits(ids[::2], vocab_size)

def dtype_of_the_loss(numbers, targets, dtype):
    return str(submission.cross_entropy(numbers.to(getattr(torch, dtype)), targets).dtype)

def hundred_thousandths_of_the_loss(logits, targets):
    return round(1e5 * submission.cross_entropy(logits, targets).item())

def encoded_before_and_after_the_vocabulary_is_reversed(text, vocab):
    before = submission.encode(text, vocab)
    vocab.reverse()
    return [before, submission.encode(text, vocab)]

def the_error_names_it(text, vocab, unknown):
    try:
        submission.encode(text, vocab)
    except ValueError as error:
        return any(name in str(error) for one in unknown for name in (one, repr(one)[1:-1]))
    return False
"""
)


# ---------------------------------------------------------------------------------------------- vocabulary


@pytest.mark.step("vocabulary")
@pytest.mark.points(0.5)
def test_the_vocabulary_of_any_text_is_sorted_by_code_points(student, reference, rng):
    characters = list("azAZ09 \n\t-'\"ñéÉ√🙂bB\0\r\v\f\x1c\x85\u2028\u0301") + list("zzz🙂🙂BB  \n")
    text = "".join(characters[i] for i in rng.permutation(len(characters)))

    for given in (text, "zzz", "B a", "a b\n", "b\r\na"):
        assert_close(student.build_vocab(given), reference.build_vocab(given))
    assert_close(student.build_vocab(""), reference.build_vocab(""))


@pytest.mark.step("vocabulary")
@pytest.mark.points(0.5)
def test_ids_and_texts_follow_a_vocabulary_in_any_order(student, reference):
    vocab = list("nQ a\nb√🙂z\r\0")
    text, ids = " ab √\0🙂\r\nban\r\n", np.array([2, 8, 0, 10, 5, 5, 7, 1, 10, 9, 4])

    encoded, (_, after) = student.with_inputs_after("encode", text, vocab)
    assert_close(encoded, reference.encode(text, vocab))
    assert_close(after, vocab)
    decoded, after = student.with_inputs_after("decode", ids, vocab)
    assert_close(decoded, reference.decode(ids, vocab))
    assert_unchanged(ids, after[0], what="ids")
    asked = "encoded_before_and_after_the_vocabulary_is_reversed"
    pair = through(student, HELPERS, asked, text, vocab)
    assert_close(pair, through(reference, HELPERS, asked, text, vocab))


@pytest.mark.step("vocabulary")
@pytest.mark.points(0.5)
def test_characters_that_the_vocabulary_lacks_are_refused_by_name(student, reference):
    vocab = list(" abn")

    known = student.encode("ban an", vocab)
    assert_close(known, reference.encode("ban an", vocab))
    for text in ("ban#", "\nban", "B", "banaNa #√"):
        assert_raises(ValueError, student.encode, text, vocab)
    assert_raises(ValueError, student.encode, "a", [])
    for text, unknown in [("ban#an", "#"), ("√", "√"), ("nab\nba", "\n"), ("aXbY", "XY")]:
        named = through(student, HELPERS, "the_error_names_it", text, vocab, unknown)
        assert_close(named, through(reference, HELPERS, "the_error_names_it", text, vocab, unknown))


@pytest.mark.step("vocabulary")
@pytest.mark.points(0.5)
def test_an_empty_text_has_no_ids_and_no_ids_are_an_empty_text(student, reference):
    nothing = np.zeros(0, "int64")

    assert_close(student.encode("a", ["a"]), reference.encode("a", ["a"]))
    assert_close(student.encode("", ["b", "a"]), reference.encode("", ["b", "a"]))
    assert_close(student.decode(nothing, ["b", "a"]), reference.decode(nothing, ["b", "a"]))


# ---------------------------------------------------------------------------------------------- batch


@pytest.mark.step("batch")
@pytest.mark.points(0.5)
def test_windows_of_every_width_begin_where_they_are_asked_to(student, reference, rng):
    ids = 2 + rng.permutation(31)

    for starts, context in [([7, 3, 3, 19, 0], 6), ([29, 4, 0], 1), ([0], 30), ([1, 0, 1], 29)]:
        given = np.array(starts)
        pair, (ids_after, starts_after, _) = student.with_inputs_after("get_batch", ids, given, context)
        assert_close(pair, reference.get_batch(ids, given, context))
        assert_unchanged(ids, ids_after, what="ids")
        assert_unchanged(given, starts_after, what="starts")


@pytest.mark.step("batch")
@pytest.mark.points(0.5)
def test_windows_are_cut_from_views_with_any_strides(student, reference, rng):
    ids, starts = rng.permutation(30), np.array([3, 14, 14, 7, 14, 14, 0])

    for view, begun in [("windows_of_every_other_id", starts), ("windows_of_a_column", starts[:1])]:
        pair = through(student, HELPERS, view, ids, begun, 5)
        assert_close(pair, through(reference, HELPERS, view, ids, begun, 5))


@pytest.mark.step("batch")
@pytest.mark.points(0.5)
def test_windows_that_run_out_of_the_text_are_refused(student, reference, rng):
    ids = rng.permutation(19)

    for starts, context in [([13, 0], 5), ([0, 17], 1), ([0], 18)]:
        pair = student.get_batch(ids, np.array(starts), context)
        assert_close(pair, reference.get_batch(ids, np.array(starts), context))
    for starts, context in [([0, 14], 5), ([14, 0], 5), ([0, 14, 1], 5), ([18], 1), ([0], 19), ([25], 2)]:
        assert_raises(ValueError, student.get_batch, ids, np.array(starts), context)


@pytest.mark.step("batch")
@pytest.mark.points(0.5)
def test_windows_that_begin_before_the_text_are_refused(student, reference, rng):
    ids = rng.permutation(19)

    assert_close(student.get_batch(ids, np.array([3, 0]), 5), reference.get_batch(ids, np.array([3, 0]), 5))
    for starts, context in [([3, -1], 5), ([-1, 3], 5), ([0, -1, 3], 5), ([-19], 1), ([-20], 1)]:
        assert_raises(ValueError, student.get_batch, ids, np.array(starts), context)


# ---------------------------------------------------------------------------------------------- loss


@pytest.mark.step("loss")
@pytest.mark.points(1)
def test_the_loss_takes_any_leading_axes_or_none_and_leaves_its_inputs_alone(student, reference, draw, rng):
    for axes in [(), (1,), (2, 3, 4), (6, 1)]:
        logits, targets = 2 * draw(*axes, 5), rng.integers(0, 5, size=axes)
        loss, after = student.with_inputs_after("cross_entropy", logits, targets)
        assert_close(loss, reference.cross_entropy(logits, targets))
        assert_unchanged(logits, after[0], what="logits")
        assert_unchanged(targets, after[1], what="targets")
    square, zeros = draw(3, 4, 4), np.zeros((3, 4), "int64")
    by_columns = np.asfortranarray(square)  # in memory the other way round, as a transposed tensor is
    assert_close(student.cross_entropy(by_columns, zeros), reference.cross_entropy(by_columns, zeros))


@pytest.mark.step("loss")
@pytest.mark.points(0.5)
def test_the_loss_of_rows_that_lie_far_apart_is_right(student, reference, draw):
    apart = np.array([[1e4], [-1e4], [0.0]], "float32") + draw(3, 5)
    apart[2, 1] = -1e4
    wide, steep = 5000 * draw(4, 6), 40 * draw(4, 6)

    for logits, targets in [(apart, [0, 3, 1]), (wide, [5, 0, 2, 2]), (steep, [1, 1, 4, 0])]:
        loss = student.cross_entropy(logits, np.array(targets))
        assert_close(loss, reference.cross_entropy(logits, np.array(targets)))


@pytest.mark.step("loss")
@pytest.mark.points(0.5)
def test_forbidden_characters_cost_nothing_beside_the_target_and_inf_as_the_target(student, reference, draw):
    logits = draw(2, 3, 5)
    logits[0, 0, 2] = logits[1, 2, :4] = logits[0, 1, 0] = -INF
    allowed, forbidden = np.array([[1, 4, 0], [3, 2, 4]]), np.array([[2, 4, 0], [3, 2, 4]])

    for targets in (allowed, forbidden):
        loss = student.cross_entropy(logits, targets)
        assert_close(loss, reference.cross_entropy(logits, targets))


@pytest.mark.step("loss")
@pytest.mark.points(0.5)
def test_gradients_reach_every_window_and_place(student, reference, draw, rng):
    by_loss = np.array(-1.5, "float32")

    for axes in [(2, 3), (4,), ()]:
        logits, targets = draw(*axes, 5), rng.integers(0, 5, size=axes)
        (gradient,), _ = gradients_of(student.cross_entropy, by_loss, logits, targets)
        (expected,), _ = gradients_of(reference.cross_entropy, by_loss, logits, targets)
        assert_close(gradient, expected)


@pytest.mark.step("loss")
@pytest.mark.points(1)
def test_the_loss_of_half_precision_is_computed_in_single(student, reference):
    numbers = np.sin(np.arange(28.0).reshape(4, 7) ** 2) * 4
    targets = np.array([3, 0, 6, 2])

    for times, dtype in [(1, "bfloat16"), (16, "bfloat16"), (16, "float16")]:
        logits = tensor(times * numbers, dtype)
        loss = student.cross_entropy(logits, targets)
        assert_close(loss, reference.cross_entropy(logits, targets))


@pytest.mark.step("loss")
@pytest.mark.points(0.5)
def test_the_loss_of_double_precision_keeps_its_digits(student, reference):
    numbers, targets = 1e4 + np.sin(np.arange(28.0).reshape(4, 7) ** 2), np.array([3, 0, 6, 2])

    for dtype in ("float64", "float32", "bfloat16", "float16"):
        came = through(student, HELPERS, "dtype_of_the_loss", numbers, targets, dtype)
        assert_close(came, through(reference, HELPERS, "dtype_of_the_loss", numbers, targets, dtype))
    digits = through(student, HELPERS, "hundred_thousandths_of_the_loss", numbers, targets)
    assert_close(digits, through(reference, HELPERS, "hundred_thousandths_of_the_loss", numbers, targets))
    assert_close(student.cross_entropy(numbers, targets), reference.cross_entropy(numbers, targets))


@pytest.mark.step("loss")
@pytest.mark.points(0.5)
def test_gradients_come_through_half_precision(student, reference, draw):
    by_loss, targets = np.array(2, "float32"), np.array([3, 0, 2, 2])

    for dtype in ("bfloat16", "float16"):
        logits = draw(4, 5, dtype=dtype)
        (gradient,), _ = gradients_of(student.cross_entropy, by_loss, logits, targets)
        (expected,), _ = gradients_of(reference.cross_entropy, by_loss, logits, targets)
        assert_close(gradient, expected)


@pytest.mark.step("loss")
@pytest.mark.points(0.5)
def test_gradients_are_right_where_probabilities_underflow(student, reference, draw, rng):
    by_loss, targets = np.array(1, "float32"), np.array([3, 0, 2])
    apart = rng.permuted(np.tile(np.array([1e4, 5e3, 0, -5e3, -1e4], "float32"), (3, 1)), axis=-1)
    deep = draw(3, 5)
    deep[0, 1] = deep[1, 0] = deep[2, 4] = -300

    for logits in (deep, apart):
        (gradient,), _ = gradients_of(student.cross_entropy, by_loss, logits, targets)
        (expected,), _ = gradients_of(reference.cross_entropy, by_loss, logits, targets)
        assert_close(gradient, expected)


# ---------------------------------------------------------------------------------------------- counts


@pytest.mark.step("counts")
@pytest.mark.points(1)
def test_without_smoothing_unseen_pairs_are_impossible_and_unseen_rows_even(student, reference, rng):
    ids = np.array([0, 2, 0, 0, 4, 2, 2, 0, 2, 5])

    table = student.bigram_logits(ids, 7, 0.0)
    longer = rng.permutation(np.repeat([0, 1, 3], [40, 20, 9]))

    assert_close(table, reference.bigram_logits(ids, 7, 0.0))
    assert_close(student.bigram_logits(longer, 5, 0.0), reference.bigram_logits(longer, 5, 0.0))


@pytest.mark.step("counts")
@pytest.mark.points(1)
def test_the_table_is_right_for_every_smoothing_and_size(student, reference, rng):
    for length, largest, size, smoothing in [(211, 5, 5, 0.5), (90, 3, 6, 1.0), (34, 6, 6, 20.0), (60, 2, 3, 1e-3)]:
        ids = rng.integers(0, largest, size=length)
        table, (after, *_) = student.with_inputs_after("bigram_logits", ids, size, smoothing=smoothing)
        assert_close(table, reference.bigram_logits(ids, size, smoothing=smoothing))
        assert_unchanged(ids, after, what="ids")
    ids = rng.integers(0, 3, size=90)
    table = through(student, HELPERS, "table_of_every_other_id", ids, 4)
    assert_close(table, through(reference, HELPERS, "table_of_every_other_id", ids, 4))


@pytest.mark.step("counts")
@pytest.mark.points(0.5)
def test_pairs_may_occur_thousands_of_times(student, reference, rng):
    ids = np.repeat(rng.permutation(3), [2601, 4, 301])

    table = student.bigram_logits(ids, 3)

    assert_close(table, reference.bigram_logits(ids, 3))


@pytest.mark.step("counts")
@pytest.mark.points(1)
def test_the_table_of_a_very_short_text_holds_what_little_there_is(student, reference):
    for ids in ([2, 2], [3, 1], [1, 2, 1, 2, 1]):
        table = student.bigram_logits(np.array(ids), 4)
        assert_close(table, reference.bigram_logits(np.array(ids), 4))
    for ids, smoothing in [([2], 1.0), ([], 1.0), ([0], 0.0), ([], 0.0)]:
        given = np.array(ids, "int64")
        assert_close(student.bigram_logits(given, 3, smoothing), reference.bigram_logits(given, 3, smoothing))


# ---------------------------------------------------------------------------------------------- sample


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_each_row_is_drawn_from_its_own_distribution(student, reference):
    both = np.stack([logits_of(3, 3, 1, 1, 2, times=8), logits_of(5, 1, 1, 1, 2, times=10)])

    tenths = through(student, HELPERS, "tenths_drawn", both, 1.0, draws=5_000, seed=11)

    assert_close(tenths, through(reference, HELPERS, "tenths_drawn", both, 1.0, draws=5_000, seed=11))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_rows_are_drawn_independently(student, reference):
    asked = {"rows": 50, "columns": 100, "seed": 23}
    logits = logits_of(2, 2, 2, 2, 2, times=8)

    for axis in (0, 1):
        tenths = through(student, HELPERS, "tenths_of_neighbours_that_agree", logits, **asked, axis=axis)
        assert_close(tenths, through(reference, HELPERS, "tenths_of_neighbours_that_agree", logits, **asked, axis=axis))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_a_seed_repeats_its_draw_whatever_was_drawn_between(student, reference):
    asked = {"draws": 5_000, "seed": 0, "another_seed": 1, "temperature": 3.0}
    logits = 3 * logits_of(1, 1, 1, 1, 6, times=16)

    agree = through(student, HELPERS, "repeats_and_tenths_by_another_seed", logits, **asked)

    assert_close(agree, through(reference, HELPERS, "repeats_and_tenths_by_another_seed", logits, **asked))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_every_digit_of_a_seed_counts(student, reference):
    logits = logits_of(2, 2, 2, 2, 2, times=8)

    for seed, another_seed in [(3, 4), (3, 259), (3, 1003), (2**62 + 3, 2**62 + 65_539)]:
        asked = {"draws": 5_000, "seed": seed, "another_seed": another_seed}
        agree = through(student, HELPERS, "repeats_and_tenths_by_another_seed", logits, **asked)
        assert_close(agree, through(reference, HELPERS, "repeats_and_tenths_by_another_seed", logits, **asked))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_a_seed_may_be_negative_and_its_sign_counts(student, reference):
    logits = logits_of(2, 2, 2, 2, 2, times=8)

    for seed, another_seed in [(-7, 8), (-7, 7), (-(2**63), 2**63 - 1)]:
        asked = {"draws": 5_000, "seed": seed, "another_seed": another_seed}
        agree = through(student, HELPERS, "repeats_and_tenths_by_another_seed", logits, **asked)
        assert_close(agree, through(reference, HELPERS, "repeats_and_tenths_by_another_seed", logits, **asked))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_drawing_leaves_torch_s_global_generator_alone(student, reference, draw):
    logits = draw(3, 5)

    for temperature in (1.0, 0.0):
        alone = through(student, HELPERS, "the_global_generator_is_left_alone", logits, temperature, seed=5)
        assert_close(
            alone, through(reference, HELPERS, "the_global_generator_is_left_alone", logits, temperature, seed=5)
        )


@pytest.mark.step("sample")
@pytest.mark.points(1)
def test_cold_draws_are_the_likeliest_and_hot_ones_nearly_even(student, reference, rng):
    steps = np.array([-4, -2, 0, 2, 4], "float32")
    rows = rng.permuted(np.tile(steps, (2, 3, 1)), axis=-1)
    logits = logits_of(1, 3, 2, 2, 2, times=8)

    for given, temperature in [(logits / 5, 0.2), (steps, 1000.0), (rows, 0.0625), (2500 * rows, 0.0625)]:
        tenths = through(student, HELPERS, "tenths_drawn", given, temperature, draws=5_000, seed=31)
        assert_close(tenths, through(reference, HELPERS, "tenths_drawn", given, temperature, draws=5_000, seed=31))
    for given in (rows[1], rows[0, 2]):
        cold, (after, *_) = student.with_inputs_after("sample_next", given, 0.0625, 29)
        assert_close(cold, reference.sample_next(given, 0.0625, 29))
        assert_unchanged(given, after, what="logits")


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_half_precision_is_drawn_from_in_single(student, reference):
    large = tensor(np.array([[0, 9952, 1e4], [1e4, 9952, 9992]]), "float16")
    coarse = tensor(np.array([256, 258]), "bfloat16")  # 1 : 4 at this temperature, 1 : 7 after rounding the quotients

    for given, temperature in [(large, 0.1), (coarse, 2 / np.log(4).item()), (large, 0.0)]:
        tenths = through(student, HELPERS, "tenths_drawn", given, temperature, draws=5_000, seed=41)
        assert_close(tenths, through(reference, HELPERS, "tenths_drawn", given, temperature, draws=5_000, seed=41))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_an_id_of_minus_infinity_is_never_drawn(student, reference):
    asked = {"draws": 5_000, "seed": 37}
    with np.errstate(divide="ignore"):
        logits = logits_of(4, 0, 4, 0, 2, times=8)
    low = np.array([-1e4, -INF] * 5, "float32")

    for given, temperature in [(logits, 1.0), (logits / 5, 0.2), (logits, 0.0), (low, 1.0), (low, 1e10)]:
        for question in ("tenths_drawn", "draws_a_forbidden_id"):
            answer = through(student, HELPERS, question, given, temperature, **asked)
            assert_close(answer, through(reference, HELPERS, question, given, temperature, **asked))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_temperature_zero_takes_the_lowest_id_of_ties_in_every_row_and_below_zero_nothing(student, reference, rng):
    numbers = np.array([1e4, 9990, -1e4, 0, 9000, -INF], "float32")
    rows = rng.permuted(np.tile(numbers, (3, 2, 4, 1)), axis=-1)
    ties = np.where(rows == 9990, np.float32(1e4), rows)

    for given, seed in [(rows, 1), (rows[2, 1], 2), (rows[0, 0, 1], 2)]:
        ids = student.sample_next(given, 0.0, seed)
        assert_close(ids, reference.sample_next(given, 0.0, seed))
    tenths = through(student, HELPERS, "tenths_drawn", ties[1], 0.0, draws=5_000, seed=2)
    assert_close(tenths, through(reference, HELPERS, "tenths_drawn", ties[1], 0.0, draws=5_000, seed=2))
    for temperature in (-1.0, -1e-3, -2.0):
        assert_raises(ValueError, student.sample_next, rows[0], temperature, 1)
