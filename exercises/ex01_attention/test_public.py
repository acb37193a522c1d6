"""Checks to hand out: one idea each, with numbers small enough to follow by hand."""

import numpy as np
import pytest

from grader.checks import assert_close, assert_that

INF = np.inf


def only(answer, *names):
    """These entries of a dict, as far as it has them; anything else as it is."""
    return {name: answer[name] for name in names if name in answer} if type(answer) is dict else answer


def is_near(given, expected):
    """Whether that is a number, and this positive one but for rounding."""
    a_number = isinstance(given, (int, float, np.integer, np.floating))
    return bool(a_number and expected * (1 - 1e-9) <= given <= expected * (1 + 1e-9))


# ---------------------------------------------------------------------------------------------- softmax


@pytest.mark.step("softmax")
@pytest.mark.points(1)
def test_softmax_gives_shares_of_one_along_the_axis_asked_for(student, reference, draw):
    row = np.log([1.0, 2.0, 5.0])
    x = draw(2, 3, 5)

    shares = student.softmax(row)
    down = student.softmax(x, axis=1)

    assert_close(shares, np.array([0.125, 0.25, 0.625]))
    assert_close(down, reference.softmax(x, axis=1))


@pytest.mark.step("softmax")
@pytest.mark.points(0.5)
def test_softmax_of_large_numbers_is_finite_and_right(student, reference, draw):
    x = 1e4 + draw(2, 5)

    got = student.softmax(x)

    assert_close(got, reference.softmax(x))


# ---------------------------------------------------------------------------------------------- weights


@pytest.mark.step("weights")
@pytest.mark.points(1)
def test_weights_are_the_softmax_of_scaled_scores(student, reference, draw):
    q, k = np.array([[1.0, 0.0]]), np.eye(2)
    more_q, more_k = draw(4, 6), draw(5, 6)

    by_hand = student.attention_weights(q, k)
    weights = student.attention_weights(more_q, more_k)

    assert_close(by_hand, np.array([[0.66976155, 0.33023845]]), tolerance=1e-8)
    assert_close(weights, reference.attention_weights(more_q, more_k))


@pytest.mark.step("weights")
@pytest.mark.points(0.5)
def test_weights_of_every_head_of_every_batch_are_its_own(student, reference, draw):
    q, k = draw(2, 3, 4, 6), draw(2, 3, 5, 6)

    weights = student.attention_weights(q, k)

    assert_close(weights, reference.attention_weights(q, k))


@pytest.mark.step("weights")
@pytest.mark.points(0.5)
def test_weights_with_a_scale_of_your_own_use_that_instead_of_the_default(student, reference, draw):
    q, k = draw(4, 6), draw(5, 6)

    weights = student.attention_weights(q, k, scale=0.75)

    assert_close(weights, reference.attention_weights(q, k, scale=0.75))


# ---------------------------------------------------------------------------------------------- causal


@pytest.mark.step("causal")
@pytest.mark.points(0.5)
def test_causal_mask_shows_each_position_itself_and_all_before_it(student, reference):
    mask = student.causal_mask(4, 4)

    assert_close(mask, reference.causal_mask(4, 4))


@pytest.mark.step("causal")
@pytest.mark.points(1)
def test_causal_mask_lets_the_last_query_see_the_last_key(student, reference):
    two = student.causal_mask(2, 5)
    one = student.causal_mask(1, 4)

    assert_close(two, reference.causal_mask(2, 5))
    assert_close(one, reference.causal_mask(1, 4))


# ---------------------------------------------------------------------------------------------- masks


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_weights_go_only_where_a_boolean_mask_says_true(student, reference, draw):
    q, k = draw(3, 6), draw(5, 6)
    mask = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1], [0, 0, 1, 0, 0]], dtype=bool)

    weights = student.attention_weights(q, k, mask)

    assert_close(weights, reference.attention_weights(q, k, mask))


@pytest.mark.step("masks")
@pytest.mark.points(1)
def test_weights_follow_a_float_mask_that_is_added_to_the_scaled_scores(student, reference, draw):
    q, k = draw(3, 6), draw(5, 6)
    mask = np.array([[0.5, -1.0, 0.0, 2.0, -INF], [-INF, 1.5, -0.5, -INF, 0.0], [0.0, -2.0, 0.0, 1.0, -1.5]])

    weights = student.attention_weights(q, k, mask=mask)

    assert_close(weights, reference.attention_weights(q, k, mask=mask))


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_weights_of_a_query_that_may_attend_to_nothing_are_zeros(student, reference, draw):
    q, k = draw(3, 4), draw(5, 4)
    mask = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 1, 1, 0, 1]], dtype=bool)

    weights = student.attention_weights(q, k, mask)

    assert_close(weights, reference.attention_weights(q, k, mask))


# ---------------------------------------------------------------------------------------------- attention


@pytest.mark.step("attention")
@pytest.mark.points(0.5)
def test_attention_mixes_the_values_by_the_weights(student, reference, draw):
    q, k, v = np.array([[1.0, 0.0]]), np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]])
    more_q, more_k, more_v = draw(2, 3, 4, 6), draw(2, 3, 5, 6), draw(2, 3, 5, 7)

    by_hand = student.scaled_dot_product_attention(q, k, v)
    mixed = student.scaled_dot_product_attention(more_q, more_k, more_v)

    assert_close(by_hand, np.array([[1.66047690, 2.66047690]]), tolerance=1e-8)
    assert_close(mixed, reference.scaled_dot_product_attention(more_q, more_k, more_v))


@pytest.mark.step("attention")
@pytest.mark.points(0.5)
def test_attention_with_causal_reads_nothing_later(student, reference, draw):
    q, k, v = draw(2, 4, 6), draw(2, 5, 6), draw(2, 5, 3)

    mixed = student.scaled_dot_product_attention(q, k, v, causal=True)

    assert_close(mixed, reference.scaled_dot_product_attention(q, k, v, causal=True))


@pytest.mark.step("attention")
@pytest.mark.points(0.5)
def test_attention_with_a_mask_and_causal_reads_what_both_allow(student, reference, draw):
    q, k, v = draw(4, 6), draw(5, 6), draw(5, 3)
    mask = np.array([True, False, True, True, True])

    mixed = student.scaled_dot_product_attention(q, k, v, mask, causal=True)

    assert_close(mixed, reference.scaled_dot_product_attention(q, k, v, mask, causal=True))


# ---------------------------------------------------------------------------------------------- why


@pytest.mark.step("why")
@pytest.mark.points(0.5)
def test_statistics_measure_the_variance_of_raw_and_scaled_scores(student, reference, rng):
    d_k, n, seed = 16, 6, int(rng.integers(1000))

    got = student.score_statistics(d_k, n, seed)

    expected = reference.score_statistics(d_k, n, seed)
    names = ("variance_raw", "variance_scaled")
    assert_close(only(got, *names), only(expected, *names))


@pytest.mark.step("why")
@pytest.mark.points(0.5)
def test_statistics_measure_the_entropy_of_the_weights_in_nats(student, reference, rng):
    d_k, n, seed = 16, 6, int(rng.integers(1000))

    got = student.score_statistics(d_k, n, seed)

    expected = reference.score_statistics(d_k, n, seed)
    names = ("entropy_raw", "entropy_scaled")
    assert_close(only(got, *names), only(expected, *names))


@pytest.mark.step("why")
@pytest.mark.points(0.5)
def test_statistics_measure_the_size_of_the_softmax_gradient(student, reference, rng):
    d_k, n, seed = 16, 6, int(rng.integers(1000))

    got = student.score_statistics(d_k, n, seed)

    expected = reference.score_statistics(d_k, n, seed)
    names = ("gradient_raw", "gradient_scaled")
    assert_close(only(got, *names), only(expected, *names), tolerance=1e-8)


@pytest.mark.step("why")
@pytest.mark.points(0.5)
def test_why_scale_knows_how_large_a_score_is(student, reference):
    got, expected = student.why_scale(), reference.why_scale()

    for name in ("variance", "deviation"):
        given = got.get(name) if type(got) is dict else None
        right = is_near(given, expected[name])
        assert_that(right, asked=f"why_scale()[{name!r}]", expected="another number", got=str(given))


# ---------------------------------------------------------------------------------------------- backward


@pytest.mark.step("backward")
@pytest.mark.points(1)
def test_gradients_of_plain_attention_are_right(student, reference, draw):
    q, k, v, d_out = draw(3, 6), draw(5, 6), draw(5, 4), draw(3, 4)

    gradients = student.attention_backward(q, k, v, d_out)

    assert_close(gradients, reference.attention_backward(q, k, v, d_out))


@pytest.mark.step("backward")
@pytest.mark.points(1)
def test_gradients_do_not_pass_through_a_mask(student, reference, draw):
    q, k, v, d_out = draw(2, 3, 6), draw(2, 5, 6), draw(2, 5, 4), draw(2, 3, 4)
    mask = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1], [1, 0, 1, 1, 1]], dtype=bool)

    gradients = student.attention_backward(q, k, v, d_out, mask)
    causal = student.attention_backward(q, k, v, d_out, causal=True)

    assert_close(gradients, reference.attention_backward(q, k, v, d_out, mask))
    assert_close(causal, reference.attention_backward(q, k, v, d_out, causal=True))
