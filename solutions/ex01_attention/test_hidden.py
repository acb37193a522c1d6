"""Checks to keep: every argument on both sides of its thresholds, every broadcast and dtype, nothing to attend to."""

import numpy as np
import pytest

from grader.checks import assert_close, assert_raises, assert_that, assert_unchanged

INF = np.inf


def only(answer, *names):
    """These entries of a dict, as far as it has them; anything else as it is."""
    return {name: answer[name] for name in names if name in answer} if type(answer) is dict else answer


def names_of(answer):
    """The keys of a dict in order; nothing for anything else."""
    return sorted(map(str, answer)) if type(answer) is dict else []


def assert_all_unchanged(before, after, names):
    """The first arguments of a call, by their names, hold what they held."""
    for one, other, name in zip(before, after, names.split(), strict=False):
        assert_unchanged(one, other, what=name)


# ---------------------------------------------------------------------------------------------- softmax


@pytest.mark.step("softmax")
@pytest.mark.points(0.5)
def test_softmax_of_rows_far_below_other_rows_is_right(student, reference, draw, rng):
    rows = np.array([[1e4], [-1e4], [0.0]]) + draw(3, 5)
    apart = np.array([[9e3], [-1e4]]) + 20 * rng.permuted(np.tile(np.arange(6.0), (2, 1)), axis=1)
    wide = 5000 * draw(4, 6)

    for x, axis in [(rows, -1), (wide, -1), (apart.astype("float32"), -1), (rows.T, 0)]:
        assert_close(student.softmax(x, axis=axis), reference.softmax(x, axis=axis))


@pytest.mark.step("softmax")
@pytest.mark.points(0.5)
def test_softmax_gives_minus_infinity_no_share_and_a_row_of_it_zeros(student, reference, draw):
    x = draw(4, 3, 5)
    x[0, 1, 2] = x[1, 0, :4] = x[2, 2] = x[3, :, 1] = -INF

    for axis in (2, 1):
        assert_close(student.softmax(x, axis=axis), reference.softmax(x, axis=axis))
    one_each = np.array([[0.5], [-INF], [3.0]])
    assert_close(student.softmax(one_each), reference.softmax(one_each))


@pytest.mark.step("softmax")
@pytest.mark.points(0.5)
def test_softmax_keeps_floating_dtypes_and_makes_integers_float64(student, reference, draw, rng):
    single, half, whole = draw(3, 5, dtype="float32"), draw(5, 3, dtype="float16"), rng.integers(-4, 5, size=(2, 6))
    unsigned = rng.permuted(np.tile(np.arange(5, dtype="uint8"), (3, 1)), axis=1)

    for x in (single, half, whole, unsigned):
        assert_close(student.softmax(x), reference.softmax(x))


@pytest.mark.step("softmax")
@pytest.mark.points(1)
def test_softmax_takes_any_axis_of_any_array_and_leaves_it_alone(student, reference, draw):
    x, single, nothing = draw(2, 3, 4, 5), draw(6, 4, dtype="float32"), draw(3, 0)

    for axis in (0, 2, -3, 3):
        got, (after, _) = student.with_inputs_after("softmax", x, axis)
        assert_close(got, reference.softmax(x, axis))
        assert_unchanged(x, after, what="x")
    got, (after,) = student.with_inputs_after("softmax", single)
    assert_close(got, reference.softmax(single))
    assert_unchanged(single, after, what="x")
    assert_close(student.softmax(nothing), reference.softmax(nothing))
    by_columns = np.asfortranarray(x)  # in memory the other way round, as a transposed array is
    assert_close(student.softmax(by_columns), reference.softmax(by_columns))


# ---------------------------------------------------------------------------------------------- weights


@pytest.mark.step("weights")
@pytest.mark.points(0.5)
def test_weights_broadcast_leading_axes_as_numpy_does(student, reference, draw):
    many_q, few_k, no_k = draw(2, 1, 4, 6), draw(3, 5, 6), draw(3, 0, 6)
    one_q, many_k = draw(1, 6), draw(3, 1, 2, 7, 6)

    square_k = draw(6, 6)  # as many keys as they are wide

    for q, k in [(many_q, few_k), (one_q, many_k), (many_q, no_k), (one_q, square_k)]:
        assert_close(student.attention_weights(q, k), reference.attention_weights(q, k))


@pytest.mark.step("weights")
@pytest.mark.points(0.5)
def test_weights_take_any_scale_as_it_is(student, reference, draw):
    q, k = draw(2, 4, 6), draw(2, 5, 6)

    for scale in (-1.5, 2, 0.0):
        assert_close(student.attention_weights(q, k, None, scale), reference.attention_weights(q, k, None, scale))


@pytest.mark.step("weights")
@pytest.mark.points(0.5)
def test_weights_of_very_large_scores_are_finite_and_right(student, reference, draw, rng):
    near_q, near_k = draw(3, 16), draw(5, 16)
    near_q[:, 0], near_k[:, 0] = [200, -200, 0], 200
    far_q = np.multiply.outer([25, -25, 5], np.ones(16)).astype("float32")
    far_k = np.multiply.outer(rng.permutation([-100, -70, 60, 80, 100]), np.ones(16)).astype("float32")

    for q, k in [(near_q, near_k), (far_q, far_k)]:
        assert_close(student.attention_weights(q, k), reference.attention_weights(q, k))
    turned = student.attention_weights(far_q, far_k, scale=-0.5)
    assert_close(turned, reference.attention_weights(far_q, far_k, scale=-0.5))


@pytest.mark.step("weights")
@pytest.mark.points(0.5)
def test_weights_have_the_dtype_of_queries_and_keys_together(student, reference, draw, rng):
    single, double, whole = draw(4, 6, dtype="float32"), draw(5, 6), rng.integers(-2, 3, size=(3, 6))
    half, far_q, far_k = (draw(*shape, dtype="float16") for shape in [(3, 6), (3, 4), (7, 4)])
    far_q[:, 0] = far_k[:, 0] = 60  # scores near 3,600, where neighbouring float16 numbers are 2 apart
    bytes_q, bytes_k = (rng.integers(-100, 101, size=(n, 6)).astype("int8") for n in (3, 5))  # products beyond int8

    pairs = [
        (single, single[:3]),
        (single, double),
        (far_q, far_k),
        (half, single),
        (whole, whole[:2]),
        (whole, single),
        (bytes_q, bytes_k),
    ]
    for q, k in pairs:
        assert_close(student.attention_weights(q, k), reference.attention_weights(q, k))
    numpys = np.float64(0.75)
    widened = student.attention_weights(single, single, scale=numpys)
    assert_close(widened, reference.attention_weights(single, single, scale=numpys))


# ---------------------------------------------------------------------------------------------- causal


@pytest.mark.step("causal")
@pytest.mark.points(1)
def test_causal_mask_leaves_the_first_rows_empty_when_queries_outnumber_keys(student, reference):
    for n_queries, n_keys in [(5, 3), (4, 1), (7, 6)]:
        assert_close(student.causal_mask(n_queries, n_keys), reference.causal_mask(n_queries, n_keys))


@pytest.mark.step("causal")
@pytest.mark.points(0.5)
def test_causal_mask_of_every_small_size_is_right(student, reference):
    for n_queries, n_keys in [(3, 7), (2, 3), (6, 6), (1, 1), (1, 8), (0, 3), (2, 0)]:
        assert_close(student.causal_mask(n_queries, n_keys), reference.causal_mask(n_queries, n_keys))


# ---------------------------------------------------------------------------------------------- masks


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_weights_broadcast_a_mask_of_any_shape_that_fits(student, reference, draw):
    q, k = draw(2, 3, 4, 6), draw(2, 3, 5, 6)
    keys = np.array([True, False, True, True, False])
    heads = np.array([[1, 0, 1, 1, 0], [0, 1, 1, 0, 1], [1, 1, 0, 1, 1]], dtype=bool)[:, None]
    batch = np.array([[0.0, 0.0, -INF, 0.0, -INF], [0.0, 0.5, 1.5, -1.0, 0.0]])[:, None, None]

    zeros_and_ones = keys.astype("float64")  # added like any other float mask

    for mask in (keys, heads, batch, keys[None], draw(4, 1), draw(3, 1, 5), zeros_and_ones):
        assert_close(student.attention_weights(q, k, mask), reference.attention_weights(q, k, mask))
    as_many_queries_as_heads, two_axes = q[0, :, :3], heads[:, 0]
    got = student.attention_weights(as_many_queries_as_heads, k[0], two_axes)
    assert_close(got, reference.attention_weights(as_many_queries_as_heads, k[0], two_axes))


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_weights_of_whole_heads_that_may_attend_to_nothing_are_zeros(student, reference, draw):
    q, k = draw(3, 6, 4), draw(3, 5, 4)
    some_queries = np.array([True, False, True, False, False, True])[:, None]
    no_second_head = np.array([0.5, -INF, 0.0])[:, None, None]

    for mask in (some_queries, no_second_head):
        assert_close(student.attention_weights(q, k, mask), reference.attention_weights(q, k, mask))


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_weights_ignore_blocked_keys_whose_scores_are_far_above_the_others(student, reference, draw):
    q, k = draw(3, 16), draw(5, 16)
    q[:, 0], k[:, 0] = [200, -200, 100], [200, 0, 0, 0, 200]
    allowed = np.array([[0, 1, 1, 1, 0], [1, 0, 0, 0, 1], [0, 1, 0, 1, 0]], dtype=bool)
    added = np.where(allowed, 0.25, -INF)

    for mask in (allowed, added):
        assert_close(student.attention_weights(q, k, mask), reference.attention_weights(q, k, mask))


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_weights_keep_their_dtype_whatever_the_precision_of_the_mask(student, reference, draw):
    q, k = draw(3, 6), draw(5, 6)
    bias = draw(3, 5)
    bias[1, 2] = -INF

    for of_weights, of_mask in [("float32", "float64"), ("float16", "float64"), ("float64", "float16")]:
        inputs = q.astype(of_weights), k.astype(of_weights), bias.astype(of_mask)
        assert_close(student.attention_weights(*inputs), reference.attention_weights(*inputs))
    only_very_low = q.astype("float32"), k.astype("float32"), np.where(np.arange(5) == 2, -1e300, -INF)
    assert_close(student.attention_weights(*only_very_low), reference.attention_weights(*only_very_low))


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_weights_refuse_masks_of_other_kinds_and_shapes(student, reference, draw):
    q, k = draw(2, 4, 6), draw(2, 5, 6)
    fitting = np.tri(4, 5, dtype=bool)

    assert_close(student.attention_weights(q, k, fitting), reference.attention_weights(q, k, fitting))
    for dtype in ("int64", "uint8"):
        assert_raises(TypeError, student.attention_weights, q, k, np.tri(4, 5, dtype=dtype))
    for shape in [(4, 6), (5, 4), (3, 4, 5), (6,)]:
        assert_raises(ValueError, student.attention_weights, q, k, np.ones(shape, dtype=bool))
        assert_raises(ValueError, student.attention_weights, q, k, np.zeros(shape))
    assert_raises(TypeError, student.attention_weights, q, k[:, :0], np.ones((4, 1), dtype="int64"))


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_weights_let_a_mask_count_in_full_whatever_the_scale_and_leave_the_inputs_alone(student, reference, draw):
    q, k, bias = draw(4, 6), draw(5, 6), draw(4, 5)
    blocked = np.array([True, True, False, True, False])
    low = np.array([0.0, -(2.0**30), -3e4, 0.0])[:, None]

    for mask, scale in [(bias, 0.25), (bias, 0.0), (blocked, -0.5), (blocked, 0.0)]:
        got, after = student.with_inputs_after("attention_weights", q, k, mask, scale)
        assert_close(got, reference.attention_weights(q, k, mask, scale))
        assert_all_unchanged((q, k, mask), after, "q k mask")
    lowered = student.attention_weights(q, k, low)
    assert_close(lowered, reference.attention_weights(q, k, low), tolerance=1e-6)  # a log-sum-exp rounds at 2³⁰


# ---------------------------------------------------------------------------------------------- attention


@pytest.mark.step("attention")
@pytest.mark.points(0.5)
def test_attention_broadcasts_leading_axes_of_queries_keys_and_values(student, reference, draw):
    shared = draw(2, 1, 4, 6), draw(3, 5, 6), draw(5, 1)
    padding = np.array([[True, True, False, True, True], [False, True, True, True, False]])[:, None, None]
    of_one = draw(1, 6), draw(5, 6), draw(3, 2, 5, 7)

    for (q, k, v), mask in [(shared, padding), (of_one, None)]:
        got = student.scaled_dot_product_attention(q, k, v, mask)
        assert_close(got, reference.scaled_dot_product_attention(q, k, v, mask))


@pytest.mark.step("attention")
@pytest.mark.points(0.5)
def test_attention_combines_causal_with_masks_of_both_kinds_and_leaves_them_alone(student, reference, draw):
    q, k, v = draw(2, 3, 4, 6), draw(2, 3, 5, 6), draw(2, 3, 5, 7)
    allowed = np.array([[1, 1, 0, 1, 1], [0, 1, 1, 0, 1], [1, 0, 1, 1, 0], [1, 1, 1, 0, 1]], dtype=bool)
    bias = draw(3, 4, 5)
    bias[1, 2, 0] = -INF

    for mask in (allowed, bias):
        got, after = student.with_inputs_after("scaled_dot_product_attention", q, k, v, mask, causal=True)
        assert_close(got, reference.scaled_dot_product_attention(q, k, v, mask, causal=True))
        assert_all_unchanged((q, k, v, mask), after, "q k v mask")
    assert_raises(TypeError, student.scaled_dot_product_attention, q, k, v, np.eye(4, 5, dtype="int64"), causal=True)
    assert_raises(ValueError, student.scaled_dot_product_attention, q, k, v, np.ones(4, dtype=bool), causal=True)


@pytest.mark.step("attention")
@pytest.mark.points(0.5)
def test_attention_over_very_large_scores_is_finite_and_right(student, reference, draw):
    q, k, v = draw(3, 16), draw(5, 16), draw(5, 4)
    q[:, 0], k[:, 0] = [200, -200, 100], [200, 0, 0, -200, 200]
    mask = np.array([True, True, False, True, True])

    for which, causal in [(None, False), (mask, True)]:
        got = student.scaled_dot_product_attention(q, k, v, which, causal=causal)
        assert_close(got, reference.scaled_dot_product_attention(q, k, v, which, causal=causal))


@pytest.mark.step("attention")
@pytest.mark.points(0.5)
def test_attention_reads_zeros_where_there_is_nothing_to_read(student, reference, draw):
    q, k, v = draw(2, 5, 4), draw(2, 3, 4), draw(2, 3, 6)
    mask = np.array([True, False, True])
    no_keys, no_values = k[:, :0], v[:, :0]

    for keys, values, which, causal in [
        (k, v, None, True),
        (k, v, mask, True),
        (no_keys, no_values, None, False),
        (no_keys, no_values, None, True),
    ]:
        got = student.scaled_dot_product_attention(q, keys, values, which, causal=causal)
        assert_close(got, reference.scaled_dot_product_attention(q, keys, values, which, causal=causal))
    unbatched = q[0], no_keys, no_values
    assert_close(student.scaled_dot_product_attention(*unbatched), reference.scaled_dot_product_attention(*unbatched))


@pytest.mark.step("attention")
@pytest.mark.points(0.5)
def test_attention_computes_in_the_dtype_of_all_three_and_hands_the_scale_on(student, reference, draw, rng):
    q, k, v, whole = draw(4, 6), draw(5, 6), draw(5, 3), rng.integers(-3, 4, size=(5, 3))
    bias = draw(4, 5)

    for of_q, of_k, values in [
        ("float32", "float32", v.astype("float32")),
        ("float32", "float32", v),
        ("float16", "float16", v.astype("float32")),
        ("float16", "float16", v.astype("float16")),
        ("float64", "float32", v.astype("float16")),
        ("float32", "float32", whole),
    ]:
        inputs = q.astype(of_q), k.astype(of_k), values, bias
        got = student.scaled_dot_product_attention(*inputs, scale=0.75)
        assert_close(got, reference.scaled_dot_product_attention(*inputs, scale=0.75))
    tiny_weight = np.array([[1.0]]), np.array([[0.0], [-17.5]]), np.array([[0.0], [60000.0]])
    halves = [array.astype("float16") for array in tiny_weight]  # a weight that float16 rounds to 0
    assert_close(student.scaled_dot_product_attention(*halves), reference.scaled_dot_product_attention(*halves))


# ---------------------------------------------------------------------------------------------- why


@pytest.mark.step("why")
@pytest.mark.points(0.5)
def test_statistics_of_every_width_count_and_seed_are_right(student, reference, rng):
    for d_k, n in [(1, 7), (9, 5), (25, 1)]:
        seed = int(rng.integers(1000))
        got = student.score_statistics(d_k=d_k, n=n, seed=seed)
        assert_close(got, reference.score_statistics(d_k=d_k, n=n, seed=seed))


@pytest.mark.step("why")
@pytest.mark.points(0.5)
def test_statistics_of_a_width_that_drives_a_weight_to_zero_are_finite(student, reference):
    seed = 5921  # its raw scores lie 827 apart for one query, more than exp can tell from 0

    got = student.score_statistics(16384, 2, seed)

    expected = reference.score_statistics(16384, 2, seed)
    names = ("variance_raw", "variance_scaled", "entropy_scaled", "gradient_scaled")
    assert_close(only(got, *names), only(expected, *names), tolerance=1e-8)
    assert_close(only(got, "entropy_raw"), only(expected, "entropy_raw"), tolerance=1e-3)
    got, expected = student.score_statistics(256, 5, 115), reference.score_statistics(256, 5, 115)
    # Rounding makes the square of one row's norm negative where it is a difference of large sums.
    assert_close(only(got, "gradient_raw"), only(expected, "gradient_raw"), tolerance=1e-5)


@pytest.mark.step("why")
@pytest.mark.points(1)
def test_why_scale_gives_six_right_answers(student, reference):
    got, expected = student.why_scale(), reference.why_scale()

    assert_that(names_of(got) == names_of(expected), asked="why_scale()", expected="six keys", got="others")
    for name in names_of(expected):
        assert_close(only(got, name), only(expected, name))


# ---------------------------------------------------------------------------------------------- backward


@pytest.mark.step("backward")
@pytest.mark.points(1)
def test_gradients_are_summed_over_the_axes_that_were_broadcast(student, reference, draw):
    shared = draw(2, 1, 4, 6), draw(3, 5, 6), draw(1, 5, 7), draw(2, 3, 4, 7)
    values_with_more_axes = draw(4, 6), draw(1, 5, 6), draw(2, 5, 3), draw(2, 4, 3)

    for inputs in (shared, values_with_more_axes):
        assert_close(student.attention_backward(*inputs), reference.attention_backward(*inputs))


@pytest.mark.step("backward")
@pytest.mark.points(1)
def test_gradients_follow_scale_mask_and_causal_together(student, reference, draw):
    q, k, v, d_out = draw(3, 4, 6), draw(3, 5, 6), draw(3, 5, 2), draw(3, 4, 2)
    allowed = np.array([[1, 1, 0, 1, 1], [0, 1, 1, 0, 1], [1, 0, 1, 1, 0], [1, 1, 1, 0, 1]], dtype=bool)
    bias = draw(3, 1, 5)
    bias[1, 0, 2] = -INF
    far_q, far_k = q.copy(), k.copy()
    far_q[..., 0], far_k[..., 0] = [60, -60, 30, -30], 60

    for mask, causal, scale in [(None, False, 0.75), (bias, True, -0.5), (None, True, 0.0)]:
        got = student.attention_backward(q, k, v, d_out, mask, causal=causal, scale=scale)
        assert_close(got, reference.attention_backward(q, k, v, d_out, mask, causal=causal, scale=scale))
    got, after = student.with_inputs_after("attention_backward", far_q, far_k, v, d_out, allowed, causal=True)
    assert_close(got, reference.attention_backward(far_q, far_k, v, d_out, allowed, causal=True))
    assert_unchanged(allowed, after[4], what="mask")


@pytest.mark.step("backward")
@pytest.mark.points(1)
def test_gradients_are_zero_where_there_is_nothing_to_read(student, reference, draw):
    q, k, v, d_out = draw(5, 4), draw(3, 4), draw(3, 6), draw(5, 6)
    some_queries = np.array([True, False, True, True, False])[:, None]

    for keys, values, mask, causal in [(k, v, some_queries, False), (k, v, None, True), (k[:0], v[:0], None, False)]:
        got = student.attention_backward(q, keys, values, d_out, mask, causal=causal)
        assert_close(got, reference.attention_backward(q, keys, values, d_out, mask, causal=causal))


@pytest.mark.step("backward")
@pytest.mark.points(1)
def test_gradients_have_the_dtype_of_the_output_and_leave_the_inputs_alone(student, reference, draw, rng):
    q, k, v, d_out = draw(4, 6), draw(5, 6), draw(5, 3), draw(4, 3)
    whole = rng.integers(-3, 4, size=(5, 3))

    for of_q, of_d_out, values in [
        ("float64", "float64", v),
        ("float32", "float64", v.astype("float32")),
        ("float32", "float32", v),
        ("float16", "float16", v.astype("float16")),
        ("float32", "float32", whole),
    ]:
        inputs = q.astype(of_q), k.astype(of_q), values, d_out.astype(of_d_out)
        got, after = student.with_inputs_after("attention_backward", *inputs)
        assert_close(got, reference.attention_backward(*inputs))
        assert_all_unchanged(inputs, after, "q k v d_out")
    assert_raises(TypeError, student.attention_backward, q, k, v, d_out, np.eye(4, 5, dtype="int64"))
    assert_raises(ValueError, student.attention_backward, q, k, v, d_out, np.ones((5, 4), dtype=bool))
