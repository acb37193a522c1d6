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
    through,
)

NAMES = ("q_proj", "k_proj", "v_proj", "out_proj")

HELPERS = """
import torch


def scores_at(q, k, positions, pairing):
    q = submission.apply_rope(q, positions, pairing=pairing)
    k = submission.apply_rope(k, positions, pairing=pairing)
    return q @ k.mT


def there_and_back(weight, n_heads, to, back):
    return submission.convert_pairing(submission.convert_pairing(weight, n_heads, to), n_heads, back)
"""


def single(numbers):
    """A tensor of float32 numbers."""
    return tensor(np.array(numbers), "float32")


def two_layers(student, reference, draw, d_model, *others, **more):
    """The student's layer and the reference's with the same weights, exact in every precision."""
    layers = [face.RotaryAttention(d_model, *others, **more) for face in (student, reference)]
    few_digits = {"dtype": "bfloat16", "low": -0.5, "high": 0.5}
    weights = {f"{name}.weight": np.asarray(draw(d_model, d_model, **few_digits)) for name in NAMES}
    for layer in layers:
        set_weights(layer, weights)
    return layers


# ---------------------------------------------------------------------------------------------- sinusoids


@pytest.mark.step("sinusoids")
@pytest.mark.points(1)
def test_sinusoids_alternate_sine_and_cosine_from_fast_to_slow(student, reference):
    by_hand = student.sinusoidal_positions(2, 4)
    table = student.sinusoidal_positions(n=7, d=10)

    assert_close(by_hand, single([[0, 1, 0, 1], [0.84147098, 0.54030231, 0.00999983, 0.99995000]]))
    assert_close(table, reference.sinusoidal_positions(n=7, d=10))


@pytest.mark.step("sinusoids")
@pytest.mark.points(0.5)
def test_sinusoids_refuse_an_odd_width(student):
    assert_raises(ValueError, student.sinusoidal_positions, 4, 7)


# ---------------------------------------------------------------------------------------------- angles


@pytest.mark.step("angles")
@pytest.mark.points(1)
def test_frequencies_fall_from_one_by_equal_factors(student, reference):
    by_hand = student.rope_frequencies(4)
    slower = student.rope_frequencies(10, base=500.0)

    assert_close(by_hand, single([1, 0.01]))
    assert_close(slower, reference.rope_frequencies(10, base=500.0))


@pytest.mark.step("angles")
@pytest.mark.points(0.5)
def test_frequencies_refuse_an_odd_width(student):
    assert_raises(ValueError, student.rope_frequencies, 5)


@pytest.mark.step("angles")
@pytest.mark.points(1)
def test_angles_are_positions_times_frequencies(student, reference):
    frequencies = np.array([1.0, 0.25, 0.0625], dtype="float32")

    by_hand = student.rope_angles(np.array([0, 1, 8, 3]), frequencies)
    batched = student.rope_angles(np.array([[5, 2, 9, 0], [1, 7, 3, 4]]), frequencies)

    assert_close(by_hand, single([[0, 0, 0], [1, 0.25, 0.0625], [8, 2, 0.5], [3, 0.75, 0.1875]]))
    assert_close(batched, reference.rope_angles(np.array([[5, 2, 9, 0], [1, 7, 3, 4]]), frequencies))


# ---------------------------------------------------------------------------------------------- rotate


@pytest.mark.step("rotate")
@pytest.mark.points(1)
def test_rotate_turns_neighbours_by_their_planes_angle(student, reference, draw):
    by_hand = student.apply_rope(single([[1, 2, 3, 4]]), np.array([1]))
    x, positions = draw(2, 3, 5, 8), np.array([0, 1, 2, 3, 4])

    turned = student.apply_rope(x, positions)

    assert_close(by_hand, single([[-1.14263966, 1.92207560, 2.95985067, 4.02979950]]))
    assert_close(turned, reference.apply_rope(x, positions))


@pytest.mark.step("rotate")
@pytest.mark.points(1)
def test_rotate_turns_halves_by_their_planes_angle(student, reference, draw):
    by_hand = student.apply_rope(single([[1, 2, 3, 4]]), np.array([1]), pairing="half")
    x, positions = draw(2, 3, 5, 8), np.array([0, 1, 2, 3, 4])

    turned = student.apply_rope(x, positions, pairing="half")

    assert_close(by_hand, single([[-1.98411065, 1.95990067, 2.46237790, 4.01979967]]))
    assert_close(turned, reference.apply_rope(x, positions, pairing="half"))


@pytest.mark.step("rotate")
@pytest.mark.points(1)
def test_rotate_makes_scores_depend_on_distances_alone(student, reference, draw):
    q, k = draw(2, 5, 6), draw(2, 5, 6)

    for positions in (np.array([3, 1, 4, 0, 9]), np.array([13, 11, 14, 10, 19])):
        scores = through(student, HELPERS, "scores_at", q, k, positions, "interleaved")
        assert_close(scores, through(reference, HELPERS, "scores_at", q, k, positions, "interleaved"))


@pytest.mark.step("rotate")
@pytest.mark.points(1)
def test_rotate_takes_a_row_of_positions_for_each_sample(student, reference, draw):
    x, positions = draw(2, 3, 5, 4), np.array([[0, 1, 2, 3, 4], [7, 8, 9, 10, 11]])

    turned = student.apply_rope(x, positions)

    assert_close(turned, reference.apply_rope(x, positions))


# ---------------------------------------------------------------------------------------------- convert


@pytest.mark.step("convert")
@pytest.mark.points(1)
def test_convert_moves_rows_inside_each_head(student):
    rows = np.arange(12, dtype="float32")

    halves = student.convert_pairing(rows, 2, to="half")
    neighbours = student.convert_pairing(rows, n_heads=2, to="interleaved")

    assert_close(halves, single([0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]))
    assert_close(neighbours, single([0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]))


@pytest.mark.step("convert")
@pytest.mark.points(0.5)
def test_convert_there_and_back_gives_the_old_weight(student, draw):
    weight = draw(12, 7)

    for to, back in [("half", "interleaved"), ("interleaved", "half")]:
        again = through(student, HELPERS, "there_and_back", weight, 2, to, back)
        assert_close(again, tensor(weight))


# ---------------------------------------------------------------------------------------------- layer


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_has_four_square_projections_and_nothing_else(student):
    got = parameter_count(student.RotaryAttention(12, 3))

    assert_that(got == 576, asked="parameters of RotaryAttention(12, 3)", expected="576", got=f"{got}")


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_refuses_heads_of_odd_width(student):
    assert_raises(ValueError, student.RotaryAttention, 12, 4)


@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_layer_attends_with_turned_queries_and_keys(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x = draw(2, 5, 12)

    out = mine(x)

    assert_close(out, theirs(x))


@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_layer_takes_positions_as_they_are_given(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, positions = draw(2, 5, 12), np.array([40, 0, 93, 21, 7])

    out = mine(x, positions)

    assert_close(out, theirs(x, positions))


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_hands_its_input_a_gradient(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 8, 2)
    x, d_out = draw(3, 5, 8), draw(3, 5, 8)

    gradients, _ = gradients_of(mine, d_out, x)

    assert_close(gradients, gradients_of(theirs, d_out, x)[0])
