"""Checks to hand out: one idea each, with sizes that are all different."""

import numpy as np
import pytest

from grader.checks import (
    assert_close,
    assert_raises,
    assert_that,
    gradients_of,
    parameter_count,
    set_weights,
    tensor,
)

INF = np.inf
NAMES = ("q_proj", "k_proj", "v_proj", "out_proj")


def two_layers(student, reference, draw, d_model, n_heads):
    """The student's layer and the reference's with the same weights, exact in every precision."""
    layers = student.MultiHeadAttention(d_model, n_heads), reference.MultiHeadAttention(d_model, n_heads)
    few_digits = {"dtype": "bfloat16", "low": -0.5, "high": 0.5}
    weights = {}
    for name in NAMES:
        weights[f"{name}.weight"] = np.asarray(draw(d_model, d_model, **few_digits))
        weights[f"{name}.bias"] = np.asarray(draw(d_model, **few_digits))
    for layer in layers:
        set_weights(layer, weights)
    return layers


def single(numbers):
    """A tensor of float32 numbers."""
    return tensor(np.array(numbers), "float32")


# ---------------------------------------------------------------------------------------------- attend


@pytest.mark.step("attend")
@pytest.mark.points(1)
def test_attend_mixes_the_values_by_the_softmax_of_scaled_scores(student, reference, draw):
    x = np.array([[1.0, 0.0], [0.0, 1.0]], dtype="float32")
    q, k, v = draw(2, 3, 4, 6), draw(2, 3, 5, 6), draw(2, 3, 5, 7)

    by_hand = student.attend(x, x, x)
    mixed = student.attend(q, k, v)

    assert_close(by_hand, single([[0.66976155, 0.33023845], [0.33023845, 0.66976155]]))
    assert_close(mixed, reference.attend(q, k, v))


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_reads_only_where_a_boolean_mask_says_true(student, reference, draw):
    q, k, v = draw(2, 3, 6), draw(2, 5, 6), draw(2, 5, 4)
    mask = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1], [0, 0, 1, 0, 0]], dtype=bool)

    mixed = student.attend(q, k, v, mask)

    assert_close(mixed, reference.attend(q, k, v, mask))


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_adds_a_float_mask_to_the_scaled_scores(student, reference, draw):
    q, k, v = draw(2, 3, 6), draw(2, 5, 6), draw(2, 5, 4)
    mask = single([[0.5, -1.0, 0.0, 2.0, -INF], [-INF, 1.5, -0.5, -INF, 0.0], [0.0, -2.0, 0.0, 1.0, -1.5]])

    mixed = student.attend(q, k, v, mask=mask)

    assert_close(mixed, reference.attend(q, k, v, mask=mask))


@pytest.mark.step("attend")
@pytest.mark.points(1)
def test_attend_gives_zeros_and_zero_gradients_where_there_is_nothing_to_read(student, reference, draw):
    q, k, v, d_out = draw(3, 6), draw(5, 6), draw(5, 4), draw(3, 4)
    mask = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 1, 1, 0, 1]], dtype=bool)

    mixed = student.attend(q, k, v, mask)
    assert_close(mixed, reference.attend(q, k, v, mask))
    gradients, _ = gradients_of(student.attend, d_out, q, k, v, mask=mask)

    assert_close(gradients, gradients_of(reference.attend, d_out, q, k, v, mask=mask)[0])


# ---------------------------------------------------------------------------------------------- split


@pytest.mark.step("split")
@pytest.mark.points(1)
def test_split_gives_each_head_its_own_columns_of_every_position(student, reference, draw):
    numbers = np.arange(12, dtype="float32").reshape(1, 3, 4)
    x = draw(2, 5, 12)

    by_hand = student.split_heads(numbers, 2)
    split = student.split_heads(x, n_heads=3)

    assert_close(by_hand, single([[[[0, 1], [4, 5], [8, 9]], [[2, 3], [6, 7], [10, 11]]]]))
    assert_close(split, reference.split_heads(x, n_heads=3))


@pytest.mark.step("split")
@pytest.mark.points(0.5)
def test_merge_puts_the_heads_side_by_side(student, reference, draw):
    x = draw(2, 3, 5, 4)

    merged = student.merge_heads(x)

    assert_close(merged, reference.merge_heads(x))


# ---------------------------------------------------------------------------------------------- layer


@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_layer_has_as_many_parameters_with_any_number_of_heads(student):
    for n_heads in (1, 3, 12):
        layer = student.MultiHeadAttention(12, n_heads)
        got = parameter_count(layer)
        assert_that(
            got == 4 * 12 * 12 + 4 * 12,
            asked=f"parameters of MultiHeadAttention(12, {n_heads})",
            expected="624",
            got=f"{got}",
        )


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_refuses_a_width_that_does_not_divide(student):
    assert_raises(ValueError, student.MultiHeadAttention, 10, 3)


# ---------------------------------------------------------------------------------------------- self


@pytest.mark.step("self")
@pytest.mark.points(1)
def test_self_attention_goes_through_all_heads_and_the_output_projection(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x = draw(2, 5, 12)

    out = mine(x)

    assert_close(out, theirs(x))


@pytest.mark.step("self")
@pytest.mark.points(1)
def test_self_attention_hands_its_input_a_gradient(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 8, 2)
    x, d_out = draw(3, 5, 8), draw(3, 5, 8)

    gradients, _ = gradients_of(mine, d_out, x)

    assert_close(gradients, gradients_of(theirs, d_out, x)[0])


# ---------------------------------------------------------------------------------------------- masks


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_layer_does_not_read_padding(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x = draw(2, 5, 12)
    padding = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]], dtype=bool)[:, None, None, :]

    out = mine(x, mask=padding)

    assert_close(out, theirs(x, mask=padding))


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_layer_with_causal_reads_nothing_later(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x = draw(2, 5, 12)

    out = mine(x, causal=True)

    assert_close(out, theirs(x, causal=True))


@pytest.mark.step("masks")
@pytest.mark.points(1)
def test_layer_with_a_mask_and_causal_reads_what_both_allow(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x = draw(2, 5, 12)
    mask = np.array([False, True, True, False, True])  # nobody is left for the first query

    out = mine(x, mask=mask, causal=True)

    assert_close(out, theirs(x, mask=mask, causal=True))


# ---------------------------------------------------------------------------------------------- cross


@pytest.mark.step("cross")
@pytest.mark.points(1)
def test_layer_reads_a_memory_of_another_length(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, memory = draw(2, 5, 12), draw(2, 7, 12)

    out = mine(x, memory)

    assert_close(out, theirs(x, memory))


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_with_causal_lets_the_newest_query_read_all_of_the_memory(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, memory = draw(2, 4, 12), draw(2, 7, 12)

    out = mine(x, memory, causal=True)

    assert_close(out, theirs(x, memory, causal=True))
