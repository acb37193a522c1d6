"""Checks to keep: every width, mask and length, precision, gradients, nothing to attend to."""

import numpy as np
import pytest
from test_public import INF, NAMES, two_layers

from grader.checks import (
    assert_close,
    assert_raises,
    assert_that,
    assert_unchanged,
    cast,
    gradients_of,
    parameter_count,
    set_weights,
    tensor,
    through,
)

LOWEST = float(np.finfo("float32").min)

HELPERS = """
import copy

import torch


def load_the_state_of(layer, other):
    other.load_state_dict(layer.state_dict())


def names_saved_beside_the_parameters(layer, x):
    parameters = {name for name, _ in layer.named_parameters()}
    before = len(set(layer.state_dict()) - parameters)
    layer(x, causal=True)
    layer(x, memory=x[:, 1:], causal=True)
    return [before, len(set(layer.state_dict()) - parameters)]


def copy_after_a_call(layer, x, memory, mask):
    with torch.enable_grad():
        layer(x, memory, mask, causal=True)
        layer(x, causal=True)
        return copy.deepcopy(layer)(x, memory, mask).detach()


def answers_while_numbers_change(layer, x, memory, mask):
    answers = []
    for graph in (False, True):
        with torch.set_grad_enabled(graph):
            answers.append(layer(x, memory, mask).detach().clone())
            answers.append(layer(x, memory, mask).detach().clone())
            for changing in (memory, x, mask):
                with torch.no_grad():
                    changing.copy_(changing.flip(-1).clone())
                answers.append(layer(x, memory, mask).detach().clone())
            with torch.no_grad():
                for parameter in layer.parameters():
                    parameter.mul_(-0.75)
            answers.append(layer(x, memory, mask).detach().clone())
            answers.append(layer(x, causal=True).detach().clone())
            with torch.no_grad():
                x.copy_(x.flip(1).clone())
            answers.append(layer(x, causal=True).detach().clone())
    return torch.stack(answers)


def attended_while_numbers_change(q, k, v, mask):
    answers = [submission.attend(q, k, v, mask).clone()]
    for changing in (q, k, v, mask):
        changing.copy_(changing.flip(-1).clone())
        answers.append(submission.attend(q, k, v, mask).clone())
    return torch.stack(answers)


def arguments_after(layer, x, memory, mask):
    layer(x, memory, mask=mask, causal=True)
    return [x, memory, mask]


def through_a_view(function, x, *rest):
    return getattr(submission, function)(x.transpose(0, 1).contiguous().transpose(0, 1), *rest)
"""


def drawn_mask(rng, *shape):
    """A boolean mask with a third of it False, in which every row keeps something."""
    mask = rng.random(shape) < 0.67
    mask[..., 0] |= ~mask.any(axis=-1)
    return mask


def drawn_bias(draw, rng, *shape):
    """A float mask: finite numbers, a zero, and -inf in places, with something left in every row."""
    bias = draw(*shape)
    bias[..., -1] = 0
    return np.where(drawn_mask(rng, *shape), bias, -INF).astype("float32")


def assert_same_gradients(got, expected):
    """Gradients by inputs and by weights; that by the keys' bias is nothing but rounding, so it is held against zero."""
    inputs, weights = got
    right_inputs, right_weights = expected
    assert_close(inputs, right_inputs)
    for name, right in right_weights.items():
        zeros = tensor(np.zeros(right.shape, dtype="float32"))
        assert_close(weights[name], zeros if name == "k_proj.bias" else right)


def half(numbers):
    """Numbers as a tensor of bfloat16."""
    return tensor(np.asarray(numbers, dtype="float32"), "bfloat16")


# ---------------------------------------------------------------------------------------------- attend


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_of_every_width_and_length_is_right(student, reference, draw):
    shapes = [((4, 6), (5, 6), (5, 3)), ((2, 1, 8), (2, 7, 8), (2, 7, 5)), ((2, 3, 6, 1), (2, 3, 4, 1), (2, 3, 4, 2))]
    shapes += [((5, 4, 3, 2), (5, 4, 1, 2), (5, 4, 1, 6)), ((2, 3, 4, 20), (2, 3, 5, 20), (2, 3, 5, 20))]
    shapes += [((6, 6), (6, 6), (6, 6)), ((2, 3, 1, 2, 5, 9), (2, 3, 1, 2, 4, 9), (2, 3, 1, 2, 4, 7))]
    shapes += [((70, 3), (133, 3), (133, 2))]

    for of_q, of_k, of_v in shapes:
        q, k, v = draw(*of_q), draw(*of_k), draw(*of_v)
        assert_close(student.attend(q, k, v), reference.attend(q, k, v))


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_broadcasts_leading_axes(student, reference, draw, rng):
    inputs = [
        (draw(2, 1, 4, 6), draw(3, 5, 6), draw(1, 5, 7)),
        (draw(4, 6), draw(2, 3, 5, 6), draw(2, 3, 5, 7)),
        (draw(2, 3, 4, 6), draw(2, 1, 5, 6), draw(5, 7)),
        (draw(4, 6), draw(5, 6), draw(3, 5, 2)),
    ]
    mask = drawn_mask(rng, 4, 5)

    for q, k, v in inputs:
        assert_close(student.attend(q, k, v), reference.attend(q, k, v))
        assert_close(student.attend(q, k, v, mask), reference.attend(q, k, v, mask))
    q, k, v = draw(2, 3, 1, 2, 5, 9), draw(3, 1, 2, 4, 9), draw(2, 3, 1, 2, 4, 7)
    for shape in [(4,), (2, 5, 4), (3, 1, 1, 5, 4), (2, 3, 1, 2, 5, 4)]:
        for mask in (drawn_mask(rng, *shape), drawn_bias(draw, rng, *shape)):
            assert_close(student.attend(q, k, v, mask), reference.attend(q, k, v, mask))


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_survives_very_large_scores(student, reference, rng):
    # Multiples of 1/4 and a width of 16: these scores are exact in float32, however they are added up.
    q, k = (rng.integers(-6, 7, size=shape).astype("float32") / 4 for shape in [(3, 16), (5, 16)])
    v = rng.integers(-8, 9, size=(5, 4)).astype("float32") / 4
    high_q, mixed_k, high_k = q.copy(), k.copy(), k.copy()
    high_q[:, 0], mixed_k[:, 0], high_k[:, 0] = [632, -632, 0], [632, -632, 632, 0, -632], 632
    allowed = np.array([[0, 1, 0, 1, 1], [1, 0, 1, 1, 0], [1, 1, 0, 1, 1]], dtype=bool)
    added = np.where(allowed, np.float32(0.25), np.float32(-INF))

    for keys in (mixed_k, high_k):
        for mask in (None, allowed, added):
            assert_close(student.attend(high_q, keys, v, mask), reference.attend(high_q, keys, v, mask))


@pytest.mark.step("attend")
@pytest.mark.points(1)
def test_attend_takes_masks_of_every_shape_that_fits(student, reference, draw, rng):
    q, k, v = draw(2, 3, 4, 6), draw(2, 3, 5, 6), draw(2, 3, 5, 7)
    shapes = [(5,), (1, 5), (4, 5), (1, 1, 4, 5), (2, 1, 1, 5), (3, 1, 5), (3, 4, 5), (2, 1, 4, 5), (2, 3, 4, 5)]

    for shape in shapes:
        for mask in (drawn_mask(rng, *shape), drawn_bias(draw, rng, *shape)):
            assert_close(student.attend(q, k, v, mask), reference.attend(q, k, v, mask))
    zeros_and_ones = drawn_mask(rng, 4, 5).astype("float32")  # added like any other float mask
    assert_close(student.attend(q, k, v, zeros_and_ones), reference.attend(q, k, v, zeros_and_ones))
    k, v, some_queries = draw(2, 3, 1, 6), draw(2, 3, 1, 7), np.array([True, False, True, False])[:, None]
    for mask in (some_queries, np.where(some_queries, np.float32(0.5), np.float32(-INF))):
        assert_close(student.attend(q, k, v, mask), reference.attend(q, k, v, mask))


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_lets_nothing_but_minus_infinity_block(student, reference, draw):
    q, k, v = draw(6, 6), draw(5, 6), draw(5, 7)
    q[3:5] = 0  # all scores alike
    added = [[LOWEST, -INF, -INF, -INF, -INF], [-INF, -1e9, -INF, -INF, -INF], [0.5, LOWEST, -1e9, -INF, 1]]
    added += [[LOWEST, -INF, LOWEST, LOWEST, -INF], [-1e9, -1e9, -INF, -INF, -1e9], [-INF, LOWEST, -INF, 0.25, LOWEST]]
    added = np.array(added, dtype="float32")

    for mask in (added, added[:, ::-1].copy()):
        assert_close(student.attend(q, k, v, mask), reference.attend(q, k, v, mask))


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_teaches_a_float_mask(student, reference, draw, rng):
    q, k, v, d_out = draw(2, 3, 4, 6), draw(2, 3, 5, 6), draw(2, 3, 5, 7), draw(2, 3, 4, 7)
    whole_head = drawn_bias(draw, rng, 2, 3, 4, 5)
    whole_head[1, 2] = whole_head[0, 0, 3] = -INF

    for mask in (drawn_bias(draw, rng, 4, 5), drawn_bias(draw, rng, 2, 1, 1, 5), whole_head):
        got, _ = gradients_of(student.attend, d_out, q, k, v, mask)
        assert_close(got, gradients_of(reference.attend, d_out, q, k, v, mask)[0])


@pytest.mark.step("attend")
@pytest.mark.points(1)
def test_attend_with_nothing_to_read_gives_zeros_and_finite_gradients(student, reference, draw, rng):
    q, k, v, d_out = draw(2, 3, 4, 6), draw(2, 3, 5, 6), draw(2, 3, 5, 7), draw(2, 3, 4, 7)
    some_queries = np.array([True, False, True, False])[:, None]
    whole_head = drawn_bias(draw, rng, 2, 3, 4, 5)
    whole_head[1, 2] = whole_head[0, 0, 3] = -INF
    nobody = np.zeros((1, 5), dtype=bool)

    for mask in (some_queries, whole_head, nobody):
        assert_close(student.attend(q, k, v, mask), reference.attend(q, k, v, mask))
        got, _ = gradients_of(student.attend, d_out, q, k, v, mask=mask)
        assert_close(got, gradients_of(reference.attend, d_out, q, k, v, mask=mask)[0])


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_has_right_gradients(student, reference, draw, rng):
    plain = draw(2, 3, 4, 6), draw(2, 3, 5, 6), draw(2, 3, 5, 7)
    shared = draw(2, 1, 4, 6), draw(3, 5, 6), draw(1, 5, 7)
    d_out = draw(2, 3, 4, 7)

    for inputs in (plain, shared):
        for mask in (None, drawn_mask(rng, 2, 1, 1, 5), drawn_bias(draw, rng, 4, 5)):
            got, _ = gradients_of(student.attend, d_out, *inputs, mask=mask)
            assert_close(got, gradients_of(reference.attend, d_out, *inputs, mask=mask)[0])


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_computes_half_precision_in_float32_and_gives_it_back(student, reference, rng):
    q, k, v = (rng.integers(-3, 4, size=shape) / 2 for shape in [(5, 16), (7, 16), (7, 4)])
    near_q, near_k = q.copy(), k.copy()
    near_q[:, 0], near_k[:, 0] = [40, -40, 32, -36, 28], 40  # scores near 400, where bfloat16 goes in steps of 2
    biases = [[4, 0, -2, -INF, 1, 3, 0], [0, -INF, -3, 4, -1, 0, 2], [-3, 1, 0, -4, 3, -INF, 2]]
    added = np.array([*biases, [2, -2, 4, -4, 0, 0, -1], [0, 3, -INF, -INF, -3, 1, 0]], dtype="float32")

    for inputs in ((q, k, v), (near_q, near_k, v)):
        inputs = [half(array) for array in inputs]
        assert_close(student.attend(*inputs), reference.attend(*inputs), tolerance=1.6e-2)
        for mask in (added, half(added)):
            assert_close(student.attend(*inputs, mask), reference.attend(*inputs, mask), tolerance=1.6e-2)


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_computes_float16_in_float32_too(student, reference, rng):
    q, k, v = (rng.integers(-3, 4, size=shape) / 2 for shape in [(5, 16), (7, 16), (7, 4)])
    q[:, 0], k[:, 0] = [160, -160, 128, -144, 112], 160  # scores near 6,400, where float16 goes in steps of 4
    high_q, high_k = q.copy(), k.copy()
    high_q[:, 0], high_k[:, 0] = [600, -600, 500, -550, 450], [600, -600, 600, -600, 600, 600, 600]  # none above 65,504

    for inputs in ((q, k, v), (high_q, high_k, v)):
        inputs = [array.astype("float16") for array in inputs]
        assert_close(student.attend(*inputs), reference.attend(*inputs))
    low = np.array([-INF, -70000, -INF, -INF, -70000, -INF, -INF], dtype="float32")  # below what float16 has
    inputs = [np.zeros_like(inputs[0]), *inputs[1:]]
    assert_close(student.attend(*inputs, low), reference.attend(*inputs, low))


@pytest.mark.step("attend")
@pytest.mark.points(1)
def test_attend_rounds_nothing_before_its_end(student, reference, rng):
    # Large values that cancel by their weights, large products that cancel in the scores, large numbers in the mask:
    # float32 holds them all, and one more rounding to half precision is off by a multiple of the answer.
    pairs = np.array([[3, 2], [9, 5], [6, 5]], dtype="float32")
    of_dtypes = [("bfloat16", 512, (40, 39), 1.6e-2), ("float16", 2048, (200, 195), 8e-3)]
    for dtype, values, (first, second), tolerance in of_dtypes:
        nothing, small = np.zeros((3, 2, 6)), rng.integers(-2, 3, size=(3, 2))
        v = np.stack([pairs[:, ::-1] * [values, -values], small + 0.5], axis=-1)
        inputs = [tensor(array.astype("float32"), dtype) for array in (nothing, nothing, v)]
        weighing = np.log(pairs)[:, None, :]
        assert_close(student.attend(*inputs, weighing), reference.attend(*inputs, weighing), tolerance=tolerance)

        q, k, v = (rng.integers(-2, 3, size=shape).astype("float32") for shape in [(3, 6), (15, 6), (15, 4)])
        q[:, :2], k[:, :2] = [first, second], np.outer(np.tile([1, -1, 0.5, -0.5, 0], 3), [39, -40])
        inputs = [tensor(array, dtype) for array in (q, k, v)]
        assert_close(student.attend(*inputs), reference.attend(*inputs), tolerance=tolerance)

        high = (4000 + rng.permuted(np.tile([0, 0.5, 1, 1.5, -0.5], (3, 3)), axis=1)).astype("float32")
        inputs = [tensor(array, dtype) for array in (q * 0, k, v)]
        assert_close(student.attend(*inputs, high), reference.attend(*inputs, high), tolerance=tolerance)


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_computes_float64_in_float64(student, reference, draw, rng):
    q, k, v, d_out = (draw(*shape, dtype="float64") for shape in [(2, 4, 6), (2, 5, 6), (2, 5, 7), (2, 4, 7)])
    added = drawn_bias(draw, rng, 4, 5).astype("float64")

    for mask in (None, drawn_mask(rng, 4, 5), added):
        assert_close(student.attend(q, k, v, mask), reference.attend(q, k, v, mask))
    got, _ = gradients_of(student.attend, d_out, q, k, v, added)
    assert_close(got, gradients_of(reference.attend, d_out, q, k, v, added)[0])


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_has_right_gradients_in_half_precision(student, reference, draw):
    shapes = [(2, 4, 3), (2, 7, 3), (2, 7, 8), (2, 4, 8)]
    q, k, v, d_out = (draw(*shape, dtype="bfloat16") for shape in shapes)
    few = np.array(
        [[1, 0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0, 1], [1, 0, 0, 0, 1, 0, 0]], dtype=bool
    )

    for mask in (None, few):
        got, _ = gradients_of(student.attend, d_out, q, k, v, mask)
        assert_close(got, gradients_of(reference.attend, d_out, q, k, v, mask)[0], tolerance=0.04)


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_leaves_its_inputs_alone_whatever_their_strides(student, reference, draw, rng):
    q, k, v = draw(2, 3, 4, 6), draw(2, 3, 5, 6), draw(2, 3, 5, 7)
    added = drawn_bias(draw, rng, 3, 4, 5)
    turned = [np.asfortranarray(array) for array in (q, k, v, added)]

    for inputs in ((q, k, v, added), turned):
        got, after = student.with_inputs_after("attend", *inputs)
        assert_close(got, reference.attend(*inputs))
        for array, now, name in zip(inputs, after, ("q", "k", "v", "mask"), strict=True):
            assert_unchanged(array, now, what=name)
    for allowed in (drawn_mask(rng, 2, 3, 4, 5), np.asfortranarray(drawn_mask(rng, 4, 5))):
        got, after = student.with_inputs_after("attend", q, k, v, allowed)
        assert_close(got, reference.attend(q, k, v, allowed))
        assert_unchanged(allowed, after[3], what="mask")


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_computes_anew_when_numbers_change_in_place(student, reference, draw, rng):
    q, k, v = draw(2, 4, 6), draw(2, 5, 6), draw(2, 5, 7)

    for mask in (drawn_mask(rng, 4, 5), drawn_bias(draw, rng, 4, 5)):
        got = through(student, HELPERS, "attended_while_numbers_change", q, k, v, mask)
        assert_close(got, through(reference, HELPERS, "attended_while_numbers_change", q, k, v, mask))


@pytest.mark.step("attend")
@pytest.mark.points(0.5)
def test_attend_takes_a_mask_in_any_precision_but_no_whole_numbers(student, reference, draw, rng):
    q, k, v = draw(4, 6), draw(5, 6), draw(5, 3)
    added = drawn_bias(draw, rng, 4, 5)

    for mask in (added.astype("float64"), half(added)):
        assert_close(student.attend(q, k, v, mask), reference.attend(q, k, v, mask))
    for dtype in ("int64", "uint8"):
        assert_raises(TypeError, student.attend, q, k, v, drawn_mask(rng, 4, 5).astype(dtype))


# ---------------------------------------------------------------------------------------------- split


@pytest.mark.step("split")
@pytest.mark.points(1)
def test_split_takes_every_number_of_heads(student, reference, draw, rng):
    for (batch, length, d_model), n_heads in [((2, 5, 12), 4), ((3, 4, 10), 1), ((2, 3, 7), 7), ((1, 1, 24), 6)]:
        x = draw(batch, length, d_model)
        assert_close(student.split_heads(x, n_heads), reference.split_heads(x, n_heads))
    square, whole = draw(4, 4, 16), rng.integers(-9, 10, size=(2, 3, 8))
    for x in (square, whole, whole > 0, draw(2, 3, 8, dtype="bfloat16"), draw(2, 3, 8, dtype="float64")):
        assert_close(student.split_heads(x, 4), reference.split_heads(x, 4))
    for x in (np.asfortranarray(draw(3, 5, 8)), np.asfortranarray(draw(5, 3, 8, dtype="float64"))):
        assert_close(student.split_heads(x, 4), reference.split_heads(x, 4))
    assert_close(
        through(student, HELPERS, "through_a_view", "split_heads", square, 2),
        through(reference, HELPERS, "through_a_view", "split_heads", square, 2),
    )


@pytest.mark.step("split")
@pytest.mark.points(1)
def test_merge_takes_every_number_of_heads(student, reference, draw, rng):
    wholes = rng.integers(-9, 10, size=(2, 3, 4, 5))
    shapes = [(2, 4, 5, 3), (3, 1, 4, 10), (2, 7, 3, 1), (1, 6, 1, 4), (3, 3, 3, 3)]

    for x in [*(draw(*shape) for shape in shapes), wholes, wholes > 0, draw(2, 3, 5, 4, dtype="bfloat16")]:
        assert_close(student.merge_heads(x), reference.merge_heads(x))
    x = np.asfortranarray(draw(2, 3, 5, 4))
    assert_close(student.merge_heads(x), reference.merge_heads(x))
    assert_close(
        through(student, HELPERS, "through_a_view", "merge_heads", x),
        through(reference, HELPERS, "through_a_view", "merge_heads", x),
    )


@pytest.mark.step("split")
@pytest.mark.points(0.5)
def test_split_refuses_a_width_that_does_not_divide(student, draw):
    for d_model, n_heads in [(10, 3), (4, 8), (7, 2)]:
        assert_raises(ValueError, student.split_heads, draw(2, 5, d_model), n_heads)


@pytest.mark.step("split")
@pytest.mark.points(1)
def test_split_and_merge_hand_gradients_to_the_right_places(student, reference, draw):
    x, d_split, d_merged = draw(2, 5, 12), draw(2, 3, 5, 4), draw(2, 5, 12)

    got, _ = gradients_of(student.split_heads, d_split, x, 3)
    assert_close(got, gradients_of(reference.split_heads, d_split, x, 3)[0])
    got, _ = gradients_of(student.merge_heads, d_merged, d_split)
    assert_close(got, gradients_of(reference.merge_heads, d_merged, d_split)[0])


# ---------------------------------------------------------------------------------------------- layer


@pytest.mark.step("layer")
@pytest.mark.points(0.5)
def test_layer_counts_its_parameters_with_and_without_biases(student):
    for d_model, n_heads in [(12, 4), (20, 5), (7, 1), (6, 6)]:
        for bias in (True, False):
            layer = student.MultiHeadAttention(d_model=d_model, n_heads=n_heads, bias=bias)
            got, right = parameter_count(layer), 4 * d_model**2 + 4 * d_model * bias
            asked = f"parameters of MultiHeadAttention({d_model}, {n_heads}, bias={bias})"
            assert_that(got == right, asked=asked, expected=f"{right}", got=f"{got}")


@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_layer_refuses_every_width_that_does_not_divide(student):
    for d_model, n_heads in [(10, 4), (3, 6), (13, 2)]:
        assert_raises(ValueError, student.MultiHeadAttention, d_model, n_heads)


# ---------------------------------------------------------------------------------------------- self


@pytest.mark.step("self")
@pytest.mark.points(1)
def test_self_attention_of_every_width_and_number_of_heads_is_right(student, reference, draw):
    for d_model, n_heads in [(12, 1), (12, 4), (6, 6), (20, 2), (24, 3), (16, 4)]:
        mine, theirs = two_layers(student, reference, draw, d_model, n_heads)
        for batch, length in [(2, 5), (3, 7), (1, 1)]:
            x = draw(batch, length, d_model)
            assert_close(mine(x), theirs(x))
    square, right_square = two_layers(student, reference, draw, 4, 2)
    x = draw(4, 4, 4)
    assert_close(square(x), right_square(x))


@pytest.mark.step("self")
@pytest.mark.points(1)
def test_self_attention_has_right_gradients_by_every_weight(student, reference, draw):
    for d_model, n_heads in [(12, 3), (8, 1), (10, 5)]:
        mine, theirs = two_layers(student, reference, draw, d_model, n_heads)
        x, d_out = draw(2, 5, d_model), draw(2, 5, d_model)
        assert_same_gradients(gradients_of(mine, d_out, x), gradients_of(theirs, d_out, x))


# ---------------------------------------------------------------------------------------------- masks


@pytest.mark.step("masks")
@pytest.mark.points(1)
def test_layer_takes_masks_of_every_shape_that_fits(student, reference, draw, rng):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x = draw(2, 5, 12)
    shapes = [(5,), (5, 5), (1, 1, 5, 5), (2, 1, 1, 5), (2, 1, 5, 5), (3, 1, 5), (3, 5, 5), (1, 3, 1, 5), (2, 3, 5, 5)]

    for shape in shapes:
        for mask in (drawn_mask(rng, *shape), drawn_bias(draw, rng, *shape)):
            assert_close(mine(x, None, mask), theirs(x, None, mask))


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_layer_survives_large_scores_and_the_lowest_numbers(student, reference, draw, rng):
    mine, theirs = (face.MultiHeadAttention(12, 3) for face in (student, reference))
    # Whole numbers, and heads of width 4: every score is exact.
    weights = {f"{name}.weight": rng.integers(-1, 2, size=(12, 12)).astype("float32") for name in NAMES}
    weights |= {f"{name}.bias": rng.integers(-1, 2, size=12).astype("float32") for name in NAMES}
    for layer in (mine, theirs):
        set_weights(layer, weights)
    x = rng.integers(-40, 41, size=(2, 5, 12)).astype("float32")
    lowest_first = np.array([LOWEST, LOWEST, 0, 0, 0], dtype="float32")
    allowed = drawn_mask(rng, 2, 1, 1, 5)

    for causal in (False, True):
        for mask in (None, allowed, lowest_first):
            assert_close(mine(x, mask=mask, causal=causal), theirs(x, mask=mask, causal=causal))
    blocked_and_lowest = np.where(drawn_mask(rng, 5, 5), np.float32(LOWEST), np.float32(-INF))
    assert_close(mine(x, mask=blocked_and_lowest), theirs(x, mask=blocked_and_lowest))
    assert_close(mine(x, mask=blocked_and_lowest, causal=True), theirs(x, mask=blocked_and_lowest, causal=True))


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_layer_aligns_masks_from_the_right_when_sizes_are_alike(student, reference, draw, rng):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    as_many_samples_as_heads, as_many_samples_as_queries = draw(3, 5, 12), draw(5, 5, 12)
    by_head, by_query = drawn_mask(rng, 3, 5, 5), drawn_mask(rng, 5, 5)
    by_head[1, 2], by_query[1] = [1, 0, 0, 1, 0], [0, 0, 1, 0, 1]

    for mask in (by_head, drawn_bias(draw, rng, 3, 5, 5)):
        assert_close(mine(as_many_samples_as_heads, mask=mask), theirs(as_many_samples_as_heads, mask=mask))
    for mask in (by_query, drawn_bias(draw, rng, 5, 5)):
        assert_close(mine(as_many_samples_as_queries, mask=mask), theirs(as_many_samples_as_queries, mask=mask))


@pytest.mark.step("masks")
@pytest.mark.points(1)
def test_layer_combines_every_kind_of_mask_with_causal(student, reference, draw, rng):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, d_out = draw(2, 5, 12), draw(2, 5, 12)

    for shape in [(5,), (5, 5), (2, 1, 1, 5), (3, 1, 5), (2, 3, 5, 5)]:
        for mask in (drawn_mask(rng, *shape), drawn_bias(draw, rng, *shape)):
            assert_close(mine(x, mask=mask, causal=True), theirs(x, mask=mask, causal=True))
    added = drawn_bias(draw, rng, 2, 1, 1, 5)
    got, right = (gradients_of(layer, d_out, x, mask=added, causal=True) for layer in (mine, theirs))
    assert_same_gradients(got, right)


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_layer_with_nothing_to_read_outputs_the_bias_of_its_projection(student, reference, draw, rng):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, d_out = draw(2, 5, 12), draw(2, 5, 12)
    whole_sample, one_head = drawn_mask(rng, 2, 1, 1, 5), drawn_bias(draw, rng, 2, 3, 5, 5)
    whole_sample[1], one_head[0, 2], one_head[1, :, 3] = False, -INF, -INF

    for mask in (whole_sample, one_head):
        assert_close(mine(x, mask=mask), theirs(x, mask=mask))
        got, right = (gradients_of(layer, d_out, x, mask=mask, causal=True) for layer in (mine, theirs))
        assert_same_gradients(got, right)


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_layer_refuses_masks_of_whole_numbers(student, reference, draw, rng):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, allowed = draw(2, 5, 12), drawn_mask(rng, 5, 5)

    assert_close(mine(x, mask=allowed), theirs(x, mask=allowed))
    for causal in (False, True):
        for dtype in ("int64", "uint8"):
            assert_raises(TypeError, mine, x, mask=allowed.astype(dtype), causal=causal)


@pytest.mark.step("masks")
@pytest.mark.points(0.5)
def test_layer_remembers_nothing_of_earlier_positions(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 3)

    for mode in ("eval", "train"):
        getattr(mine, mode)()
        for causal in (False, True):
            for length in (3, 1, 1, 2, 1, 3):
                x = draw(2, length, 12)
                assert_close(mine(x, causal=causal), theirs(x, causal=causal))


# ---------------------------------------------------------------------------------------------- cross


@pytest.mark.step("cross")
@pytest.mark.points(1)
def test_layer_reads_memories_of_every_length(student, reference, draw):
    for d_model, n_heads in [(12, 4), (10, 1), (6, 6)]:
        mine, theirs = two_layers(student, reference, draw, d_model, n_heads)
        for length, n_keys in [(5, 2), (3, 8), (1, 4), (4, 1), (5, 5)]:
            x, memory = draw(2, length, d_model), draw(2, n_keys, d_model)
            assert_close(mine(x, memory), theirs(x, memory))


@pytest.mark.step("cross")
@pytest.mark.points(1)
def test_layer_aligns_causal_with_the_end_of_the_memory(student, reference, draw, rng):
    mine, theirs = two_layers(student, reference, draw, 12, 3)

    for length, n_keys in [(2, 6), (1, 4), (6, 3), (5, 1), (4, 4)]:
        x, memory, d_out = draw(2, length, 12), draw(2, n_keys, 12), draw(2, length, 12)
        assert_close(mine(x, memory, causal=True), theirs(x, memory, causal=True))
        for mask in (drawn_mask(rng, n_keys), drawn_bias(draw, rng, 2, 1, 1, n_keys)):
            assert_close(mine(x, memory, mask, True), theirs(x, memory, mask, True))
        got, right = (gradients_of(layer, d_out, x, memory, causal=True) for layer in (mine, theirs))
        assert_same_gradients(got, right)


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_remembers_nothing_of_earlier_lengths(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, memory = draw(2, 6, 12), draw(2, 7, 12)

    for queries, keys in [(x, None), (x[:, :2], memory[:, :5]), (x[:, :1], memory), (x, memory[:, :3]), (x, None)]:
        assert_close(mine(queries, keys, causal=True), theirs(queries, keys, causal=True))
    for n_queries, n_keys in [(1, 5), (4, 5), (4, 3), (1, 3), (2, 6), (5, 7), (5, 4), (3, 3)]:
        queries, keys = x[:, :n_queries], memory[:, :n_keys]
        assert_close(mine(queries, keys, causal=True), theirs(queries, keys, causal=True))


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_computes_anew_when_numbers_change_in_place(student, reference, draw, rng):
    x, memory = draw(2, 5, 12), draw(2, 5, 12)

    for mask in (drawn_mask(rng, 5, 5), drawn_bias(draw, rng, 5, 5)):
        for mode in ("eval", "train"):
            mine, theirs = two_layers(student, reference, draw, 12, 3)
            getattr(mine, mode)()
            got = through(student, HELPERS, "answers_while_numbers_change", mine, x, memory, mask)
            assert_close(got, through(reference, HELPERS, "answers_while_numbers_change", theirs, x, memory, mask))


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_takes_sequences_of_any_length(student, reference, draw):
    mine, theirs = two_layers(student, reference, draw, 2, 1)
    # Not both at once: heads that attend to each other would make a thousand million scores of that.
    few, many, long = draw(1, 3, 2), draw(1, 2100, 2), draw(1, 5000, 2)
    long[:, -2:] *= 16  # which the first of three queries must not see

    assert_close(mine(many, few, causal=True), theirs(many, few, causal=True))
    assert_close(mine(few, long, causal=True), theirs(few, long, causal=True))


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_masks_the_memory_it_reads(student, reference, draw, rng):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, memory = draw(2, 5, 12), draw(2, 7, 12)

    for shape in [(7,), (5, 7), (2, 1, 1, 7), (3, 5, 7), (2, 3, 5, 7)]:
        for mask in (drawn_mask(rng, *shape), drawn_bias(draw, rng, *shape)):
            assert_close(mine(x, memory=memory, mask=mask), theirs(x, memory=memory, mask=mask))


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_teaches_the_memory_and_every_weight(student, reference, draw, rng):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, memory, d_out = draw(2, 5, 12), draw(2, 4, 12), draw(2, 5, 12)

    for mask in (None, drawn_mask(rng, 2, 1, 1, 4)):
        got, right = (gradients_of(layer, d_out, x, memory, mask=mask) for layer in (mine, theirs))
        assert_same_gradients(got, right)


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_can_be_copied_after_a_call(student, reference, draw, rng):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, memory, mask = draw(2, 5, 12), draw(2, 4, 12), drawn_bias(draw, rng, 5, 4)

    got = through(student, HELPERS, "copy_after_a_call", mine, x, memory, mask)

    assert_close(got, through(reference, HELPERS, "copy_after_a_call", theirs, x, memory, mask))


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_saves_its_parameters_and_nothing_else(student, draw):
    layer, x = student.MultiHeadAttention(12, 3), draw(2, 5, 12)

    got = through(student, HELPERS, "names_saved_beside_the_parameters", layer, x)

    asked = "names in state_dict() that are no parameters, before and after two causal calls"
    assert_that(list(got) == [0, 0], asked=asked, expected="0 and 0", got=f"{got}")


@pytest.mark.step("cross")
@pytest.mark.points(1)
def test_layer_loads_what_another_one_saved(student, reference, draw):
    x, memory = draw(2, 5, 12), draw(2, 4, 12)
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    copy, right_copy = student.MultiHeadAttention(12, 3), reference.MultiHeadAttention(12, 3)

    through(student, HELPERS, "load_the_state_of", mine, copy)
    through(reference, HELPERS, "load_the_state_of", theirs, right_copy)

    assert_close(copy(x), right_copy(x))
    assert_close(copy(x, memory), right_copy(x, memory))


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_without_biases_is_right(student, reference, draw):
    mine, theirs = (face.MultiHeadAttention(12, 3, bias=False) for face in (student, reference))
    weights = {f"{name}.weight": draw(12, 12, low=-0.5, high=0.5) for name in NAMES}
    for layer in (mine, theirs):
        set_weights(layer, weights)
    x, memory, d_out = draw(2, 5, 12), draw(2, 4, 12), draw(2, 5, 12)

    assert_close(mine(x), theirs(x))
    assert_close(mine(x, memory), theirs(x, memory))
    assert_same_gradients(gradients_of(mine, d_out, x), gradients_of(theirs, d_out, x))


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_is_the_same_in_train_and_eval_mode(student, reference, draw, rng):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, memory, d_out = draw(2, 6, 12), draw(2, 5, 12), draw(2, 6, 12)
    allowed, added = drawn_mask(rng, 2, 1, 1, 5), drawn_bias(draw, rng, 6, 6)

    for mode in ("train", "eval"):
        getattr(mine, mode)()
        assert_close(mine(x), theirs(x))
        assert_close(mine(x[:, :4], causal=True), theirs(x[:, :4], causal=True))
        assert_close(mine(x, memory, allowed, True), theirs(x, memory, allowed, True))
        assert_close(mine(x, mask=added), theirs(x, mask=added))
        assert_same_gradients(gradients_of(mine, d_out, x), gradients_of(theirs, d_out, x))
        got, right = (gradients_of(layer, d_out, x, memory, allowed, causal=True) for layer in (mine, theirs))
        assert_same_gradients(got, right)


@pytest.mark.step("cross")
@pytest.mark.points(1)
def test_layer_in_half_precision_gives_it_back(student, reference, draw):
    # With as many heads as keys and columns of a head, what is off is off by far more than half precision rounds.
    mine, theirs = two_layers(student, reference, draw, 16, 4)
    x, memory = draw(2, 4, 16, dtype="bfloat16"), draw(2, 4, 16, dtype="bfloat16", low=-0.75, high=0.75)
    added = np.array([0, -INF, 0, 0], dtype="float32")  # another dtype than x
    for layer in (mine, theirs):
        cast(layer, "bfloat16")

    assert_close(mine(x), theirs(x))
    assert_close(mine(x, causal=True), theirs(x, causal=True))
    assert_close(mine(x, memory), theirs(x, memory))
    assert_close(mine(x, mask=added, causal=True), theirs(x, mask=added, causal=True))
    high = np.array([4000, 4003, 3998, 4002], dtype="float32")  # in bfloat16 all alike
    for causal in (False, True):
        assert_close(mine(x, mask=high, causal=causal), theirs(x, mask=high, causal=causal), tolerance=0.05)


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_in_other_precisions_gives_them_back(student, reference, draw, rng):
    x, memory, d_out = draw(2, 4, 24), draw(2, 5, 24), draw(2, 4, 24)
    allowed = drawn_mask(rng, 2, 1, 1, 5)

    for dtype, tolerance in (("float64", None), ("float16", 8e-3)):  # several roundings follow one another
        mine, theirs = two_layers(student, reference, draw, 24, 6)
        for layer in (mine, theirs):
            cast(layer, dtype)
        inputs = [array.astype(dtype) for array in (x, memory)]
        assert_close(mine(inputs[0], causal=True), theirs(inputs[0], causal=True), tolerance=tolerance)
        assert_close(mine(*inputs, allowed), theirs(*inputs, allowed), tolerance=tolerance)
    mine, theirs = two_layers(student, reference, draw, 24, 6)
    for layer in (mine, theirs):
        cast(layer, "bfloat16")
    inputs = [half(array) for array in (d_out, x, memory)]
    got, right = (gradients_of(layer, *inputs, allowed) for layer in (mine, theirs))
    assert_close(got[0], right[0], tolerance=0.08)  # only whether gradients arrive, and whose


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_teaches_a_float_mask(student, reference, draw, rng):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, memory, d_out = draw(2, 5, 12), draw(2, 7, 12), draw(2, 5, 12)

    for shape in [(3, 5, 7), (2, 1, 1, 7), (7,)]:
        mask = drawn_bias(draw, rng, *shape)
        mask[..., 0] = 0  # so that nobody is left with nothing
        for causal in (False, True):
            got, right = (gradients_of(layer, d_out, x, memory, mask, causal=causal) for layer in (mine, theirs))
            assert_same_gradients(got, right)


@pytest.mark.step("cross")
@pytest.mark.points(0.5)
def test_layer_leaves_x_memory_and_mask_alone(student, reference, draw, rng):
    mine, theirs = two_layers(student, reference, draw, 12, 3)
    x, memory = draw(2, 5, 12), draw(2, 7, 12)
    turned, turned_memory = np.asfortranarray(x), np.asfortranarray(memory)

    for mask in (drawn_bias(draw, rng, 5, 7), drawn_bias(draw, rng, 2, 3, 5, 7), drawn_mask(rng, 5, 7)):
        after = through(student, HELPERS, "arguments_after", mine, x, memory, mask)
        for before, now, name in zip((x, memory, mask), after, ("x", "memory", "mask"), strict=True):
            assert_unchanged(before, now, what=name)
    assert_close(mine(turned, causal=True), theirs(turned, causal=True))
    assert_close(mine(turned, turned_memory), theirs(turned, turned_memory))
