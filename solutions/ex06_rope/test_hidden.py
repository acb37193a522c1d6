"""Checks to keep: every width, position and pairing, precision, gradients, conversions, the layer over its life."""

import numpy as np
import pytest
from test_public import HELPERS, two_layers

from grader.checks import (
    assert_close,
    assert_raises,
    assert_that,
    assert_unchanged,
    cast,
    gradients_of,
    parameter_count,
    tensor,
    through,
)

PAIRINGS = ("interleaved", "half")

MORE_HELPERS = """
import copy

import torch


def names_saved_beside_the_parameters(layer, x):
    parameters = {name for name, _ in layer.named_parameters()}
    before = len(set(layer.state_dict()) - parameters)
    layer(x)
    layer(x, torch.arange(x.shape[1]) + 3)
    return [before, len(set(layer.state_dict()) - parameters)]


def copied_after_a_call(layer, other, x):
    with torch.enable_grad():
        layer(x)
        copied = copy.deepcopy(layer)
    other.load_state_dict(layer.state_dict())
    return [copied(x).detach(), other(x).detach()]


def answers_one_after_the_other(layer, xs, positions):
    answers = []
    for modes in (torch.inference_mode(), torch.no_grad(), torch.enable_grad()):
        with modes:
            answers += [layer(x).clone() for x in xs]
            answers += [layer(xs[0], at).clone() for at in positions]
            answers += [layer(xs[0], causal=False).clone(), layer(xs[0]).clone()]
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(-0.75)
            positions[0].add_(2)
    return [answer.detach() for answer in [*answers, layer(xs[0]), layer(xs[0], positions[0])]]


def cast_there_and_back(layer, x, positions):
    before = layer(x, positions).detach()
    layer.to(torch.bfloat16)(x.bfloat16(), positions)
    return [before, layer.to(x.dtype)(x, positions).detach()]


def apart_from_given_positions(layer, x):
    counted, given = (layer(x, *positions).detach() for positions in [(), (torch.arange(x.shape[1]),)])
    return (counted - given).abs().max() / given.abs().max()


def all_but_the_last(layer, x):
    return layer(x)[:, :-1].detach()


def after_its_answer_was_changed(function, *given):
    first = getattr(submission, function)(*given)
    kept = first.clone()
    first.mul_(0.5).add_(1)
    second = getattr(submission, function)(*given).clone()
    first.copy_(kept)
    return [kept, second]


def turned_at_one_place_after_the_other(x, positions):
    first = submission.apply_rope(x, positions)
    positions.add_(3)
    return [first, submission.apply_rope(x, positions), submission.apply_rope(x, positions, pairing="half")]


def scores_of_converted_projections(w_q, w_k, x, positions, n_heads, to):
    weights = [submission.convert_pairing(weight, n_heads, to=to) for weight in (w_q, w_k)]
    turned = []
    for weight in weights:
        heads = (x @ weight.mT).unflatten(-1, (n_heads, -1)).transpose(-3, -2)
        half = heads.shape[-1] // 2
        points = heads.unflatten(-1, (half, 2) if to == "interleaved" else (2, half))
        points = torch.view_as_complex((points if to == "interleaved" else points.mT).contiguous())
        angles = positions[:, None] / 10000 ** (torch.arange(half) / half)
        turned.append(points * torch.polar(torch.ones_like(angles), angles))
    return (turned[0] @ turned[1].mH).real


def through_views(x, positions, pairing):
    wider = torch.cat([x[..., :1], x], dim=-1)
    every_other = torch.stack([x, -x], dim=-1).flatten(-2)
    views = [x.transpose(-3, -2).contiguous().transpose(-3, -2), wider[..., 1:], every_other[..., ::2]]
    return [submission.apply_rope(view, positions, pairing=pairing) for view in views]
"""


def some_positions(rng, *shape, low=-40, high=40):
    """Positions in no order, some of them negative, as int64."""
    return rng.integers(low, high, size=shape)


# ---------------------------------------------------------------------------------------------- sinusoids


@pytest.mark.step("sinusoids")
@pytest.mark.points(1)
def test_sinusoids_of_every_size_are_right(student, reference):
    for n, d in [(1, 2), (6, 2), (9, 4), (5, 6), (30, 14), (4, 64), (16, 16)]:
        assert_close(student.sinusoidal_positions(n, d), reference.sinusoidal_positions(n, d))


@pytest.mark.step("sinusoids")
@pytest.mark.points(1)
def test_sinusoids_of_a_long_table_are_right_to_its_end(student, reference):
    # Angles of a thousand radians: float32 knows them to a thousandth, half precision not to a radian.
    table = through(student, COARSE, "coarse", "sinusoidal_positions", 1200, 12)

    assert_close(table, through(reference, COARSE, "coarse", "sinusoidal_positions", 1200, 12))


COARSE = """
import torch


def coarse(function, *given):
    return getattr(submission, function)(*given).to(torch.bfloat16)
"""


@pytest.mark.step("sinusoids")
@pytest.mark.points(0.5)
def test_sinusoids_refuse_every_odd_width(student):
    for d in (1, 3, 11):
        assert_raises(ValueError, student.sinusoidal_positions, 5, d)


# ---------------------------------------------------------------------------------------------- angles


@pytest.mark.step("angles")
@pytest.mark.points(1)
def test_frequencies_of_every_width_and_base_are_right(student, reference):
    for d_head in (2, 4, 6, 16, 64, 128):
        assert_close(student.rope_frequencies(d_head), reference.rope_frequencies(d_head))
    for d_head, base in [(6, 10), (8, 500000.0), (12, 1000000), (10, 1.0), (4, 37.5), (2, 3.0)]:
        assert_close(student.rope_frequencies(d_head, base), reference.rope_frequencies(d_head, base))


@pytest.mark.step("angles")
@pytest.mark.points(1)
def test_slow_frequencies_are_right_too(student, reference):
    # Each is compared by itself: beside the first, which is 1, the last ones would be lost.
    for given in [(16, 10000.0), (128, 500000.0), (128,)]:
        got = through(student, SLOWEST, "slowest", *given)
        assert_close(got, through(reference, SLOWEST, "slowest", *given))


SLOWEST = """
def slowest(*given):
    slow = submission.rope_frequencies(*given)[-2:]
    return [slow[-1:] / 2**-13, slow[:1] / 2**-13]
"""


@pytest.mark.step("angles")
@pytest.mark.points(0.5)
def test_frequencies_are_the_callers_own(student, reference):
    for given in [("rope_frequencies", 6), ("rope_frequencies", 6, 500.0)]:
        got = through(student, MORE_HELPERS, "after_its_answer_was_changed", *given)
        assert_close(got, through(reference, MORE_HELPERS, "after_its_answer_was_changed", *given))


@pytest.mark.step("angles")
@pytest.mark.points(0.5)
def test_frequencies_refuse_every_odd_width(student):
    for d_head in (1, 3, 7):
        assert_raises(ValueError, student.rope_frequencies, d_head)
        assert_raises(ValueError, student.rope_frequencies, d_head, 500.0)


@pytest.mark.step("angles")
@pytest.mark.points(1)
def test_angles_of_any_positions_and_frequencies_are_right(student, reference, draw, rng):
    frequencies = draw(5, low=0, high=1)

    for shape in [(1,), (7,), (2, 3), (5, 5), (1, 4), (3, 1)]:
        for dtype in ("int64", "int32", "int8"):
            positions = some_positions(rng, *shape).astype(dtype)
            assert_close(student.rope_angles(positions, frequencies), reference.rope_angles(positions, frequencies))
    positions = np.array([70000, 4097, -8195, 131071, 0])
    for plane in range(5):
        one = frequencies[plane : plane + 1]
        assert_close(student.rope_angles(positions, one), reference.rope_angles(positions, one))


# ---------------------------------------------------------------------------------------------- rotate


@pytest.mark.step("rotate")
@pytest.mark.points(1)
def test_rotate_of_every_shape_is_right(student, reference, draw):
    shapes = [(1, 2), (5, 2), (3, 4), (2, 5, 6), (2, 3, 4, 10), (3, 2, 1, 4, 8), (4, 4, 4, 4), (2, 3, 7, 64)]

    for shape in shapes:
        x, positions = draw(*shape), np.arange(shape[-2])
        for pairing in PAIRINGS:
            got = student.apply_rope(x, positions, pairing=pairing)
            assert_close(got, reference.apply_rope(x, positions, pairing=pairing))


@pytest.mark.step("rotate")
@pytest.mark.points(1)
def test_rotate_takes_positions_in_any_order(student, reference, draw, rng):
    x = draw(2, 3, 6, 8)

    for dtype in ("int64", "int32", "int16", "int8", "uint8"):
        positions = some_positions(rng, 6, low=0 if dtype == "uint8" else -40).astype(dtype)
        for pairing in PAIRINGS:
            got = student.apply_rope(x, positions, pairing=pairing)
            assert_close(got, reference.apply_rope(x, positions, pairing=pairing))
    for positions in (np.array([0, 2, 1, 3, 4, 5]), np.array([7, 7, 7, 0, 0, 12])):  # ends as far apart as in order
        assert_close(student.apply_rope(x, positions), reference.apply_rope(x, positions))
    one_new_token, at = draw(2, 3, 1, 8), np.array([37])
    assert_close(student.apply_rope(one_new_token, at), reference.apply_rope(one_new_token, at))


@pytest.mark.step("rotate")
@pytest.mark.points(1)
def test_rotate_gives_every_sample_its_own_positions_whatever_the_sizes(student, reference, draw, rng):
    for shape in [(2, 3, 5, 4), (3, 3, 3, 4), (4, 4, 2, 4), (1, 3, 5, 6), (5, 1, 5, 8), (3, 5, 1, 2)]:
        x, positions = draw(*shape), some_positions(rng, shape[0], shape[2])
        for pairing in PAIRINGS:
            got = student.apply_rope(x, positions, pairing=pairing)
            assert_close(got, reference.apply_rope(x, positions, pairing=pairing))
    x, positions = draw(3, 2, 4, 6), np.array([[0, 1, 2, 3], [9, 5, 30, 6], [0, 1, 2, 3]])
    assert_close(student.apply_rope(x, positions), reference.apply_rope(x, positions))


@pytest.mark.step("rotate")
@pytest.mark.points(0.5)
def test_rotate_takes_every_base(student, reference, draw):
    x, by_sample = draw(2, 3, 5, 8), np.array([[0, 3, 1, 12, 7], [4, 9, 2, 0, 31]])

    for base in (10, 500000.0, 37.5, 1.0):
        for positions in (by_sample[0], by_sample):
            for pairing in PAIRINGS:
                got = student.apply_rope(x, positions, base, pairing)
                assert_close(got, reference.apply_rope(x, positions, base, pairing))


@pytest.mark.step("rotate")
@pytest.mark.points(0.5)
def test_rotate_keeps_scores_when_all_positions_move(student, reference, draw, rng):
    q, k, positions = draw(3, 7, 8), draw(3, 7, 8), some_positions(rng, 7)

    for offset in (0, *(int(n) for n in rng.integers(1, 60, size=2))):
        for pairing in PAIRINGS:
            scores = through(student, HELPERS, "scores_at", q, k, positions + offset, pairing)
            assert_close(scores, through(reference, HELPERS, "scores_at", q, k, positions, pairing), tolerance=8e-5)


@pytest.mark.step("rotate")
@pytest.mark.points(0.5)
def test_rotate_keeps_every_length(student, draw, rng):
    x, positions = draw(5, 12), some_positions(rng, 5)
    right = tensor((x.astype("float64") ** 2).sum(axis=-1).astype("float32"))

    for pairing in PAIRINGS:
        lengths = through(student, SQUARES, "squared_lengths", x, positions, pairing)
        assert_close(lengths, right)


SQUARES = """
def squared_lengths(x, positions, pairing):
    return submission.apply_rope(x, positions, pairing=pairing).square().sum(dim=-1)
"""


@pytest.mark.step("rotate")
@pytest.mark.points(1)
def test_rotate_computes_angles_of_half_precision_in_float32(student, reference, draw):
    # None of these positions is a number of bfloat16, and their angles are far from those of its neighbours.
    positions = np.array([257, 259, 515, 1027, 2051, 4099, 0])
    for dtype, tolerance in [("bfloat16", 4e-2), ("float16", 8e-3)]:
        x = tensor(draw(2, 7, 8), dtype)
        for pairing in PAIRINGS:
            got = student.apply_rope(x, positions, pairing=pairing)
            assert_close(got, reference.apply_rope(x, positions, pairing=pairing), tolerance=tolerance)


@pytest.mark.step("rotate")
@pytest.mark.points(0.5)
def test_rotate_reaches_positions_far_out(student, reference, draw):
    # A float32 angle of 70,000 radians is known to a hundredth.
    x, positions = draw(3, 5, 6), np.array([70001, 131073, -40003, 9999, 65539])

    for pairing in PAIRINGS:
        given = ("apply_rope", x, positions, 10000.0, pairing)
        got = through(student, COARSE, "coarse", *given)
        assert_close(got, through(reference, COARSE, "coarse", *given))


@pytest.mark.step("rotate")
@pytest.mark.points(0.5)
def test_rotate_of_float64_gives_float64(student, reference, draw):
    x, positions = draw(2, 5, 6, dtype="float64"), np.arange(5)

    got = student.apply_rope(x, positions)

    assert_close(got, reference.apply_rope(x, positions), tolerance=2e-5)


@pytest.mark.step("rotate")
@pytest.mark.points(0.5)
def test_rotate_hands_back_right_gradients(student, reference, draw, rng):
    x, d_out = draw(2, 3, 5, 6), draw(2, 3, 5, 6)

    for positions in (some_positions(rng, 5), some_positions(rng, 2, 5)):
        for pairing in PAIRINGS:
            got, _ = gradients_of(student.apply_rope, d_out, x, positions, pairing=pairing)
            assert_close(got, gradients_of(reference.apply_rope, d_out, x, positions, pairing=pairing)[0])


@pytest.mark.step("rotate")
@pytest.mark.points(0.5)
def test_rotate_leaves_its_inputs_alone_whatever_their_strides(student, reference, draw, rng):
    x, positions = draw(2, 3, 5, 6), some_positions(rng, 5)

    for given in (x, np.asfortranarray(x), x.astype("float64")):
        for pairing in PAIRINGS:
            got, after = student.with_inputs_after("apply_rope", given, positions, pairing=pairing)
            assert_close(got, reference.apply_rope(given, positions, pairing=pairing), tolerance=2e-5)
            assert_unchanged(given, after[0], what="x")
            assert_unchanged(positions, after[1], what="positions")
            got = through(student, MORE_HELPERS, "through_views", x, positions, pairing)
            assert_close(got, through(reference, MORE_HELPERS, "through_views", x, positions, pairing))
    got = through(student, MORE_HELPERS, "turned_at_one_place_after_the_other", x, positions)
    assert_close(got, through(reference, MORE_HELPERS, "turned_at_one_place_after_the_other", x, positions))


@pytest.mark.step("rotate")
@pytest.mark.points(0.5)
def test_rotate_refuses_odd_widths_and_unknown_pairings(student, draw):
    for shape in [(5, 3), (2, 3, 5, 7), (4, 1)]:
        for pairing in PAIRINGS:
            assert_raises(ValueError, student.apply_rope, draw(*shape), np.arange(shape[-2]), pairing=pairing)
    for pairing in ("halves", "Half", ""):
        assert_raises(ValueError, student.apply_rope, draw(2, 5, 6), np.arange(5), pairing=pairing)


# ---------------------------------------------------------------------------------------------- convert


@pytest.mark.step("convert")
@pytest.mark.points(1)
def test_convert_of_every_size_is_right(student, reference, draw):
    for out, d_in, n_heads in [(12, 5, 1), (12, 12, 3), (16, 6, 2), (8, 9, 4), (24, 7, 2), (30, 3, 3), (12, 1, 2)]:
        weight, bias = draw(out, d_in), draw(out)
        for to in PAIRINGS:
            for given in (weight, bias):
                got = student.convert_pairing(given, n_heads, to)
                assert_close(got, reference.convert_pairing(given, n_heads, to))


@pytest.mark.step("convert")
@pytest.mark.points(0.5)
def test_convert_takes_every_dtype_and_leaves_its_input_alone(student, reference, draw, rng):
    weight = draw(12, 4)
    numbers = [weight, draw(12, 4, dtype="bfloat16"), 1 / 3 + draw(12, 4, dtype="float64")]
    numbers.append(2**40 + rng.integers(-9, 9, size=(12, 4)))

    for given in (*numbers, np.asfortranarray(weight)):
        for to in PAIRINGS:
            got, after = student.with_inputs_after("convert_pairing", given, 2, to)
            assert_close(got, reference.convert_pairing(given, 2, to), tolerance=1e-14)
            assert_unchanged(given, after[0], what="weight")


@pytest.mark.step("convert")
@pytest.mark.points(1)
def test_convert_makes_both_pairings_agree_on_every_score(student, reference, draw, rng):
    for d_model, n_heads in [(12, 1), (24, 3), (16, 4)]:
        weights, x, positions = (draw(d_model, 5), draw(d_model, 5)), draw(2, 6, 5), some_positions(rng, 6)
        for to in PAIRINGS:
            given = (*weights, x, positions, n_heads, to)
            scores = through(student, MORE_HELPERS, "scores_of_converted_projections", *given)
            assert_close(scores, through(reference, MORE_HELPERS, "scores_of_converted_projections", *given))


@pytest.mark.step("convert")
@pytest.mark.points(1)
def test_convert_refuses_what_does_not_split(student, draw):
    for out, n_heads in [(10, 3), (9, 3), (6, 6), (12, 8), (5, 1)]:
        for to in PAIRINGS:
            assert_raises(ValueError, student.convert_pairing, draw(out, 4), n_heads, to)
            assert_raises(ValueError, student.convert_pairing, draw(out), n_heads, to)
    for out in (12, 4):
        for to in ("halves", "Half", "neighbours"):
            assert_raises(ValueError, student.convert_pairing, draw(out, 4), 2, to)


# ---------------------------------------------------------------------------------------------- layer


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_counts_its_parameters_whatever_its_shape(student):
    for d_model, n_heads in [(12, 1), (8, 4), (24, 6)]:
        for pairing in PAIRINGS:
            layer = student.RotaryAttention(d_model, n_heads, base=500.0, pairing=pairing)
            got, right = parameter_count(layer), 4 * d_model**2
            asked = f"parameters of RotaryAttention({d_model}, {n_heads}, base=500.0, pairing={pairing!r})"
            assert_that(got == right, asked=asked, expected=f"{right}", got=f"{got}")


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_refuses_what_does_not_split_and_unknown_pairings(student):
    for d_model, n_heads in [(10, 3), (9, 3), (6, 6), (15, 1)]:
        assert_raises(ValueError, student.RotaryAttention, d_model, n_heads)
    for pairing in ("halves", "neighbours", "Half", ""):
        assert_raises(ValueError, student.RotaryAttention, 12, 2, pairing=pairing)


@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_layer_of_every_shape_base_and_pairing_is_right(student, reference, draw):
    for d_model, n_heads in [(12, 1), (8, 4), (24, 3), (16, 2)]:
        for more in ({}, {"pairing": "half"}, {"base": 100.0}, {"base": 500000.0, "pairing": "half"}):
            mine, theirs = two_layers(student, reference, draw, d_model, n_heads, **more)
            for batch, length in [(2, 5), (3, 7), (1, 1)]:
                x = draw(batch, length, d_model)
                assert_close(mine(x), theirs(x))
    for given in [(12, 3, 500.0), (12, 3, 100, "half")]:  # in this order
        mine, theirs = two_layers(student, reference, draw, *given)
        x = draw(2, 5, 12)
        assert_close(mine(x), theirs(x))


@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_layer_takes_any_positions_for_all_or_for_each(student, reference, draw, rng):
    for pairing in PAIRINGS:
        mine, theirs = two_layers(student, reference, draw, 12, 3, pairing=pairing)
        for batch, length in [(2, 5), (3, 3), (3, 4), (5, 1)]:
            x = draw(batch, length, 12)
            for positions in (some_positions(rng, length), some_positions(rng, batch, length)):
                assert_close(mine(x, positions), theirs(x, positions))
        x, far_apart = draw(2, 3, 12), np.array([-100, 100, 0], dtype="int8")
        assert_close(mine(x, far_apart), theirs(x, far_apart))


@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_layer_hides_by_place_and_not_by_position(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 2)
    x = draw(2, 6, 12)

    for positions in (np.arange(6)[::-1].copy(), np.array([3, 3, 3, 0, 8, 8]), None):
        for causal in (True, False):
            assert_close(mine(x, positions=positions, causal=causal), theirs(x, positions=positions, causal=causal))


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_gives_the_same_when_all_positions_move(student, reference, draw, rng):
    for pairing in PAIRINGS:
        mine, theirs = two_layers(student, reference, draw, 16, 2, pairing=pairing)
        x, positions = draw(2, 5, 16), some_positions(rng, 5)
        for offset in rng.integers(1, 60, size=2):
            assert_close(mine(x, positions + offset), theirs(x, positions), tolerance=8e-5)


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_has_right_gradients_by_every_weight(student, reference, draw, rng):
    for d_model, n_heads, pairing in [(12, 3, "interleaved"), (8, 2, "half"), (6, 1, "half")]:
        mine, theirs = two_layers(student, reference, draw, d_model, n_heads, pairing=pairing)
        x, d_out = draw(2, 5, d_model), draw(2, 5, d_model)
        for positions in (some_positions(rng, 2, 5), None):
            got, right = (gradients_of(layer, d_out, x, positions) for layer in (mine, theirs))
            assert_close(got[0], right[0])
            for name, weight in right[1].items():
                assert_close(got[1][name], weight)


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_cast_to_half_precision_keeps_its_angles(student, reference, draw):
    positions = np.array([257, 4099, 20011, 50021, 33333])

    for pairing in PAIRINGS:
        mine, theirs = two_layers(student, reference, draw, 16, 2, pairing=pairing)
        for layer in (mine, theirs):
            cast(layer, "float16")
        x = draw(2, 5, 16, dtype="float16", low=-1, high=1)
        assert_close(mine(x, positions), theirs(x, positions))


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_counts_its_own_positions_in_whole_numbers(student, reference, draw):
    # In bfloat16 there is no 257, and planes that turn slowly or fast alike would be off.
    mine, theirs = two_layers(student, reference, draw, 8, 2)
    for layer in (mine, theirs):
        cast(layer, "bfloat16")
    x = draw(1, 600, 8, dtype="bfloat16", low=-4, high=4)

    got = through(student, MORE_HELPERS, "apart_from_given_positions", mine, x)

    assert_close(got, through(reference, MORE_HELPERS, "apart_from_given_positions", theirs, x))


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_keeps_its_angles_when_it_is_cast_there_and_back(student, reference, draw):
    positions = np.array([257, 4099, 11, 2021, 3333])

    for pairing in PAIRINGS:
        mine, theirs = two_layers(student, reference, draw, 16, 2, pairing=pairing)
        x = draw(2, 5, 16, dtype="bfloat16")
        x = np.asarray(x.array, dtype="float32")
        got = through(student, MORE_HELPERS, "cast_there_and_back", mine, x, positions)
        right = through(reference, MORE_HELPERS, "cast_there_and_back", theirs, x, positions)
        assert_close(got, right, tolerance=4e-3)


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_hides_later_tokens_however_loud_they_are(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 2)
    x = draw(3, 5, 12)
    x[:, -1] *= 100000

    got = through(student, MORE_HELPERS, "all_but_the_last", mine, x)

    assert_close(got, through(reference, MORE_HELPERS, "all_but_the_last", theirs, x))


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_saves_nothing_but_its_weights(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x = draw(2, 5, 12)

    beside = through(student, MORE_HELPERS, "names_saved_beside_the_parameters", mine, x)
    assert_that(beside == [0, 0], asked="entries of state_dict() beside the weights", expected="none", got=f"{beside}")
    others = [face.RotaryAttention(12, 3) for face in (student, reference)]
    got = through(student, MORE_HELPERS, "copied_after_a_call", mine, others[0], x)
    assert_close(got, through(reference, MORE_HELPERS, "copied_after_a_call", theirs, others[1], x))


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_remembers_nothing_from_call_to_call(student, reference, draw, rng):
    xs, positions = (
        [draw(2, length, 12) for length in (3, 9, 1, 5)],
        [some_positions(rng, 3), some_positions(rng, 2, 3)],
    )

    for pairing in PAIRINGS:
        mine, theirs = two_layers(student, reference, draw, 12, 3, pairing=pairing)
        got = through(student, MORE_HELPERS, "answers_one_after_the_other", mine, xs, positions)
        assert_close(got, through(reference, MORE_HELPERS, "answers_one_after_the_other", theirs, xs, positions))
