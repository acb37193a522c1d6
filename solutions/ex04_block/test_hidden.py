"""Checks to keep: every axis, eps on both sides of what it can be seen at, gradients, every precision, tensors that change
between two calls, fresh weights, both kinds of block, trained and evaluated."""

import numpy as np
import pytest
from test_public import of_block, of_feed_forward, stream, vectors

from grader.checks import (
    assert_close,
    assert_raises,
    assert_unchanged,
    cast,
    gradients_of,
    parameter_count,
    set_weights,
    tensor,
    through,
)

HELPERS = '''
import torch


def answers_as_numbers_change(function, *tensors, **options):
    """What a function of the submission answers at first, and once each of its tensors in turn holds other numbers."""
    answers = [getattr(submission, function)(*tensors, **options)]
    for tensor in tensors:
        tensor.mul_(1.5).add_(0.25)
        answers.append(getattr(submission, function)(*tensors, **options))
    return answers


def answers_as_numbers_change_in(layer, x):
    """What the layer answers at first, once x holds other numbers, and once its weights do."""
    answers = [layer(x)]
    with torch.no_grad():
        x.mul_(-0.5)
        answers.append(layer(x))
        for weight in layer.parameters():
            weight.mul_(1.25)
    return [*answers, layer(x)]


def how_weights_start(layer):
    """Spread and largest number of each weight and bias of a linear layer, by the root of how many numbers come in."""
    weights = dict(layer.named_parameters())
    found = {}
    for name, weight in weights.items():
        into = weights[name.replace("bias", "weight")]
        if into.ndim == 2:
            parts = 10 if weight.ndim == 2 else 2  # of few numbers the spread is not as certain
            numbers = weight.detach() * into.shape[1] ** 0.5
            found[name] = [round(parts * float(one)) / parts for one in (numbers.std(), numbers.abs().max())]
        else:
            found[name] = [float(weight.min()), float(weight.max())]
    return found


def names_and_shapes(layer):
    """The names of everything that a checkpoint of the layer holds, with the shapes."""
    return {name: list(weight.shape) for name, weight in layer.state_dict().items()}


def answer_and_input_afterwards(layer, x):
    """What the layer answers, and what the tensor that it was given holds then."""
    answer = layer(x)
    return [answer, x]


def through_two_blocks(first, second, x):
    """The stream after two blocks."""
    return second(first(x))
'''


def half(arrays, dtype):
    """Arrays as tensors in half precision."""
    return [tensor(one, dtype) for one in arrays]


HALVES = ("bfloat16", "float16")
DTYPES = [  # of x, and of the weights
    ("float32", "float32"),
    ("float32", "float64"),
    ("float32", "bfloat16"),
    ("bfloat16", "float64"),
    ("float16", "float32"),
]


def both(student, reference, weights, *args, **kwargs):
    """The student's block and the solution's, with the same numbers."""
    layer, same = student.Block(*args, **kwargs), reference.Block(*args, **kwargs)
    set_weights(layer, weights)
    set_weights(same, weights)
    return layer, same


# ---------------------------------------------------------------------------------------------- layer_norm


@pytest.mark.step("layer_norm")
@pytest.mark.points(1)
def test_layer_norm_normalises_every_vector_by_itself_and_leaves_its_input_alone(student, reference, draw, rng):
    for shape in [(5,), (4, 6), (2, 3, 4, 7), (3, 1), (2, 1, 3), (7, 7)]:
        given = vectors(draw, rng, *shape), draw(shape[-1]), draw(shape[-1])
        got, after = student.with_inputs_after("layer_norm", *given)
        assert_close(got, reference.layer_norm(*given))
        for what, before, now in zip(("x", "weight", "bias"), given, after, strict=True):
            assert_unchanged(before, now, what=what)
    by_columns = np.asfortranarray(vectors(draw, rng, 4, 6))  # in memory the other way round, as when transposed
    weight, bias = draw(6), draw(6)
    assert_close(student.layer_norm(by_columns, weight, bias), reference.layer_norm(by_columns, weight, bias))


@pytest.mark.step("layer_norm")
@pytest.mark.points(0.5)
def test_layer_norm_adds_any_eps_to_the_variance(student, reference, draw, rng):
    x, weight, bias = vectors(draw, rng, 4, 6), draw(6), draw(6)
    equal = np.repeat(draw(3, 1), 6, axis=1)
    cases = [(x, 32.0), (x, 8.0), (0.03 * x, 0.03), (0.001 * x, 1e-5), (x, 0.0), (0.001 * x, 1e-12), (equal, 2.0)]
    cases = [(given.astype("float32"), weight, bias, eps) for given, eps in cases]
    cases += [(0.001 * x, weight, bias, 0.0), (0.001 * x, weight, bias), (equal, weight, bias)]  # the default

    answers = [student.layer_norm(*case) for case in cases]

    for got, case in zip(answers, cases, strict=True):
        assert_close(got, reference.layer_norm(*case))


@pytest.mark.step("layer_norm")
@pytest.mark.points(0.5)
def test_layer_norm_of_a_mean_far_above_the_spread_loses_nothing(student, reference, draw, rng):
    near, weight, bias = vectors(draw, rng, 8, 9) / 4, draw(9), draw(9)
    far = 1000 + near

    assert_close(student.layer_norm(near, weight, bias), reference.layer_norm(near, weight, bias))
    # The mean itself is rounded, by up to 3e-5.
    assert_close(student.layer_norm(far, weight, bias), reference.layer_norm(far, weight, bias), tolerance=3e-4)


@pytest.mark.step("layer_norm")
@pytest.mark.points(1)
def test_layer_norm_hands_gradients_to_the_input_weight_and_bias(student, reference, draw, rng):
    x, weight, bias, cotangent = vectors(draw, rng, 2, 4, 6) / 4, draw(6, low=0.5), draw(6), draw(2, 4, 6)
    equal = np.repeat(np.repeat(draw(2, 1, 1), 4, axis=1), 6, axis=2)
    halves = [half((x, weight, bias), dtype) for dtype in HALVES]
    mixed = [(tensor(x, "bfloat16"), weight, bias), (x, weight.astype("float64"), bias.astype("float64"))]

    for given in [(x, weight, bias), (x, weight, bias, 2.0), (equal, weight, bias)]:
        inputs, _ = gradients_of(student.layer_norm, cotangent, *given)
        assert_close(inputs, gradients_of(reference.layer_norm, cotangent, *given)[0])
    for given in [*halves, *mixed]:
        inputs, _ = gradients_of(student.layer_norm, cotangent, *given)
        assert_close(inputs, gradients_of(reference.layer_norm, cotangent, *given)[0], tolerance=4e-2)


@pytest.mark.step("layer_norm")
@pytest.mark.points(0.5)
def test_layer_norm_computes_half_precision_in_float32(student, reference, draw, rng):
    x, weight, bias = vectors(draw, rng, 3, 6), draw(6, low=0.5), draw(6) / 4
    far = 200 + rng.permuted(np.tile([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0], (3, 1)), axis=1)  # exact in bfloat16
    large = 3000 * x.astype("float16")

    assert_close(student.layer_norm(x, weight, bias), reference.layer_norm(x, weight, bias))
    for of_x, of_weights in [("bfloat16", "bfloat16"), ("bfloat16", "float32")]:
        inputs = tensor(far, of_x), tensor(weight, of_weights), tensor(bias, of_weights)
        assert_close(student.layer_norm(*inputs), reference.layer_norm(*inputs))
    inputs = large, weight.astype("float16"), bias.astype("float16")
    assert_close(student.layer_norm(*inputs), reference.layer_norm(*inputs))
    four, nearly_one = np.array([16.0, 32.0, 48.0, 64.0]), np.full(4, 1.0003, dtype="float32")
    opposite = np.array([1.3405, 0.447, -0.447, -1.3405], dtype="float32")  # only what is not rounded is left
    for dtype in HALVES:
        for inputs in [
            half((four, np.ones(4), opposite), dtype),
            (tensor(four, dtype), nearly_one, opposite),
        ]:
            assert_close(student.layer_norm(*inputs), reference.layer_norm(*inputs))


@pytest.mark.step("layer_norm")
@pytest.mark.points(0.5)
def test_layer_norm_has_the_dtype_of_x_beside_any_weights(student, reference, draw, rng):
    x, weight, bias = vectors(draw, rng, 3, 6), draw(6, low=0.5), draw(6) / 4

    for of_x, of_weights in DTYPES:
        inputs = tensor(x, of_x), tensor(weight, of_weights), tensor(bias, of_weights)
        assert_close(student.layer_norm(*inputs), reference.layer_norm(*inputs))
    for size in (2.0**80, 1.0):  # the squares of the larger ones are beyond float32
        for of_weights in ("float64", "float32"):
            inputs = size * x.astype("float64"), weight.astype(of_weights), bias.astype(of_weights)
            assert_close(student.layer_norm(*inputs), reference.layer_norm(*inputs))


@pytest.mark.step("layer_norm")
@pytest.mark.points(0.5)
def test_layer_norm_takes_tensors_as_they_are_now(student, reference, draw, rng):
    given = vectors(draw, rng, 2, 3, 5), draw(5), draw(5)

    got = through(student, HELPERS, "answers_as_numbers_change", "layer_norm", *given)

    assert_close(got, through(reference, HELPERS, "answers_as_numbers_change", "layer_norm", *given))


# ---------------------------------------------------------------------------------------------- rms_norm


@pytest.mark.step("rms_norm")
@pytest.mark.points(1)
def test_rms_norm_normalises_every_vector_by_itself_and_leaves_its_input_alone(student, reference, draw, rng):
    for shape in [(5,), (4, 6), (2, 3, 4, 7), (3, 1), (2, 1, 3), (7, 7)]:
        given = 12 + vectors(draw, rng, *shape), draw(shape[-1])
        got, after = student.with_inputs_after("rms_norm", *given)
        assert_close(got, reference.rms_norm(*given))
        for what, before, now in zip(("x", "weight"), given, after, strict=True):
            assert_unchanged(before, now, what=what)
    by_columns, weight = np.asfortranarray(vectors(draw, rng, 4, 6)), draw(6)
    assert_close(student.rms_norm(by_columns, weight), reference.rms_norm(by_columns, weight))


@pytest.mark.step("rms_norm")
@pytest.mark.points(0.5)
def test_rms_norm_adds_any_eps_to_the_mean_square(student, reference, draw, rng):
    x, weight, zeros = vectors(draw, rng, 4, 6), draw(6), np.zeros((2, 6), dtype="float32")
    cases = [(x, 32.0), (x, 8.0), (0.03 * x, 0.03), (0.001 * x, 1e-5), (x, 0.0), (0.001 * x, 1e-12), (zeros, 2.0)]
    cases = [(given.astype("float32"), weight, eps) for given, eps in cases]
    cases += [(0.0003 * x, weight, 0.0), (0.0003 * x, weight), (zeros, weight)]  # the default

    answers = [student.rms_norm(*case) for case in cases]

    for got, case in zip(answers, cases, strict=True):
        assert_close(got, reference.rms_norm(*case))


@pytest.mark.step("rms_norm")
@pytest.mark.points(0.5)
def test_rms_norm_hands_gradients_to_the_input_and_the_weight(student, reference, draw, rng):
    x, weight, cotangent = vectors(draw, rng, 2, 4, 6) / 4, draw(6, low=0.5), draw(2, 4, 6)
    halves = [half((x, weight), dtype) for dtype in HALVES]
    mixed = [(tensor(x, "bfloat16"), weight), (x, weight.astype("float64"))]

    for given in [(x, weight), (x, weight, 2.0), (0 * x, weight)]:
        inputs, _ = gradients_of(student.rms_norm, cotangent, *given)
        assert_close(inputs, gradients_of(reference.rms_norm, cotangent, *given)[0])
    for given in [*halves, *mixed]:
        inputs, _ = gradients_of(student.rms_norm, cotangent, *given)
        assert_close(inputs, gradients_of(reference.rms_norm, cotangent, *given)[0], tolerance=4e-2)


@pytest.mark.step("rms_norm")
@pytest.mark.points(0.5)
def test_rms_norm_computes_half_precision_in_float32(student, reference, draw, rng):
    x, weight = 12 + vectors(draw, rng, 3, 6), draw(6, low=0.5)
    large = (100 * x).astype("float16")  # its squares are beyond float16

    assert_close(student.rms_norm(x, weight), reference.rms_norm(x, weight))
    assert_close(student.rms_norm(large, weight.astype("float16")), reference.rms_norm(large, weight.astype("float16")))
    for of_weight in ("bfloat16", "float32"):
        inputs = tensor(x, "bfloat16"), tensor(weight, of_weight)
        assert_close(student.rms_norm(*inputs), reference.rms_norm(*inputs))


@pytest.mark.step("rms_norm")
@pytest.mark.points(0.5)
def test_rms_norm_has_the_dtype_of_x_beside_any_weight(student, reference, draw, rng):
    x, weight = vectors(draw, rng, 3, 6), draw(6, low=0.5)

    for of_x, of_weight in DTYPES:
        inputs = tensor(x, of_x), tensor(weight, of_weight)
        assert_close(student.rms_norm(*inputs), reference.rms_norm(*inputs))
    for size in (2.0**80, 1.0):  # the squares of the larger ones are beyond float32
        for of_weight in ("float64", "float32"):
            inputs = size * x.astype("float64"), weight.astype(of_weight)
            assert_close(student.rms_norm(*inputs), reference.rms_norm(*inputs))


@pytest.mark.step("rms_norm")
@pytest.mark.points(0.5)
def test_rms_norm_takes_tensors_as_they_are_now(student, reference, draw, rng):
    given = vectors(draw, rng, 2, 3, 5), draw(5)

    got = through(student, HELPERS, "answers_as_numbers_change", "rms_norm", *given)

    assert_close(got, through(reference, HELPERS, "answers_as_numbers_change", "rms_norm", *given))


# ---------------------------------------------------------------------------------------------- gelu


@pytest.mark.step("gelu")
@pytest.mark.points(0.5)
def test_gelu_keeps_any_shape_and_leaves_its_input_alone(student, reference, draw):
    for shape, form in [((5,), ["none"]), ((2, 3, 4), ["tanh"]), ((3, 1), []), ((0, 4), ["tanh"])]:
        x = draw(*shape, low=-4, high=4)
        x.flat[:1] = 2.7  # where the two forms differ most
        got, after = student.with_inputs_after("gelu", x, *form)
        assert_close(got, reference.gelu(x, *form))
        assert_unchanged(x, after[0], what="x")
    by_columns = np.asfortranarray(draw(4, 5, low=-4, high=4))
    assert_close(student.gelu(by_columns), reference.gelu(by_columns))


@pytest.mark.step("gelu")
@pytest.mark.points(0.5)
def test_gelu_refuses_a_form_that_does_not_exist(student, reference, draw):
    x = draw(3, 5, low=-4, high=4)
    x.flat[0] = -2.7

    for form in ("exact", "Tanh", " tanh", "None", "", None):
        assert_raises(ValueError, student.gelu, x, approximate=form)
    assert_close(student.gelu(x, approximate="none"), reference.gelu(x, approximate="none"))


@pytest.mark.step("gelu")
@pytest.mark.points(0.5)
def test_gelu_hands_on_the_gradient_of_both_forms(student, reference, draw):
    x, cotangent = draw(3, 5, low=-4, high=4), draw(3, 5)
    x.flat[0], cotangent.flat[0] = 2.1, 2.0  # where the derivatives of the two forms differ most

    large = np.array([-60000.0, -3000.0, -200.0, -50.0, -1.5, 0.75, 45.0, 200.0, 3000.0, 60000.0])
    ones = np.ones(10, dtype="float32")

    for form in ("none", "tanh"):
        inputs, _ = gradients_of(student.gelu, cotangent, x, approximate=form)
        assert_close(inputs, gradients_of(reference.gelu, cotangent, x, approximate=form)[0])
    for form in ("none", "tanh"):
        for dtype in ("float32", *HALVES):
            given = tensor(large, dtype)
            inputs, _ = gradients_of(student.gelu, ones, given, approximate=form)
            assert_close(inputs, gradients_of(reference.gelu, ones, given, approximate=form)[0], tolerance=2e-2)


@pytest.mark.step("gelu")
@pytest.mark.points(0.5)
def test_gelu_computes_half_precision_in_float32(student, reference, draw):
    x = draw(3, 5, low=-4, high=4)
    x.flat[0] = 2.7
    below = draw(3, 5, low=-4, high=-3, dtype="bfloat16")
    halves = [below, tensor(below, "float16"), tensor(x, "bfloat16"), tensor(x, "float16")]

    for form in ("none", "tanh"):
        assert_close(student.gelu(x, form), reference.gelu(x, form))
    for given in halves:
        for form in ("none", "tanh"):
            assert_close(student.gelu(given, form), reference.gelu(given, form))


@pytest.mark.step("gelu")
@pytest.mark.points(0.5)
def test_gelu_keeps_the_digits_of_float64_and_takes_tensors_as_they_are_now(student, reference, draw):
    x = draw(3, 5, low=-2.5, high=2.5, dtype="float64")
    x.flat[:2] = 2.7, 1.63  # where the two forms differ most, at first and as changed

    for form in ("none", "tanh"):
        got = through(student, HELPERS, "answers_as_numbers_change", "gelu", x.astype("float32"), approximate=form)
        again = through(reference, HELPERS, "answers_as_numbers_change", "gelu", x.astype("float32"), approximate=form)
        assert_close(got, again)
    for form in ("none", "tanh"):
        assert_close(student.gelu(x, form), reference.gelu(x, form))


# ---------------------------------------------------------------------------------------------- swiglu


@pytest.mark.step("swiglu")
@pytest.mark.points(1)
def test_swiglu_takes_any_leading_axes_and_widths(student, reference, draw):
    for shape, d_ff, d_out in [((6,), 3, 6), ((2, 3, 4), 7, 5), ((5, 1), 4, 1), ((0, 4), 6, 4), ((2, 1, 3, 5), 6, 2)]:
        given = draw(*shape), draw(d_ff, shape[-1]), draw(d_ff, shape[-1]), draw(d_out, d_ff)
        got, after = student.with_inputs_after("swiglu", *given)
        assert_close(got, reference.swiglu(*given))
        for what, before, now in zip(("x", "w_gate", "w_up", "w_down"), given, after, strict=True):
            assert_unchanged(before, now, what=what)
    by_columns = [np.asfortranarray(draw(*shape)) for shape in [(3, 4), (7, 4), (7, 4), (5, 7)]]
    assert_close(student.swiglu(*by_columns), reference.swiglu(*by_columns))


@pytest.mark.step("swiglu")
@pytest.mark.points(0.5)
def test_swiglu_takes_gates_of_any_size_and_tensors_as_they_are_now(student, reference, draw):
    given = draw(3, 4), draw(7, 4), draw(7, 4), draw(5, 7)
    x, cotangent = np.array([[1.0], [-1.0]], dtype="float32"), np.array([[1, -1], [0.5, 2]], dtype="float32")
    w_gate = np.array([[-1000], [-100], [90], [20], [3]], dtype="float32")
    large = x, w_gate, draw(5, 1, low=0.5), draw(2, 5)

    got = through(student, HELPERS, "answers_as_numbers_change", "swiglu", *given)

    assert_close(got, through(reference, HELPERS, "answers_as_numbers_change", "swiglu", *given))
    assert_close(student.swiglu(*large), reference.swiglu(*large))
    inputs, _ = gradients_of(student.swiglu, cotangent, *large)
    assert_close(inputs, gradients_of(reference.swiglu, cotangent, *large)[0])


@pytest.mark.step("swiglu")
@pytest.mark.points(1)
def test_swiglu_hands_gradients_to_all_four_and_keeps_bfloat16(student, reference, draw):
    inputs, cotangent = (draw(3, 4), draw(7, 4), draw(7, 4), draw(5, 7)), draw(3, 5)
    halves = half(inputs, "bfloat16")

    by_inputs, _ = gradients_of(student.swiglu, cotangent, *inputs)

    assert_close(by_inputs, gradients_of(reference.swiglu, cotangent, *inputs)[0])
    assert_close(student.swiglu(*halves), reference.swiglu(*halves), tolerance=0.1)  # every product may be rounded
    by_inputs, _ = gradients_of(student.swiglu, cotangent, *halves)
    expected = gradients_of(reference.swiglu, cotangent, *halves)[0]
    assert_close(by_inputs[1], expected[1], tolerance=0.1)  # w_gate's by its own size, however small beside the others
    assert_close(by_inputs, expected, tolerance=0.1)


# ---------------------------------------------------------------------------------------------- feed_forward


@pytest.mark.step("feed_forward")
@pytest.mark.points(1)
def test_feed_forward_is_as_wide_inside_as_told(student, reference, draw):
    for d_model, d_ff, shape in [(5, 3, (5,)), (4, 16, (2, 3, 4)), (3, 1, (7, 3)), (6, None, (2, 6))]:
        weights, x = of_feed_forward(draw, d_model, d_ff or 4 * d_model), draw(*shape)
        layer, same = student.FeedForward(d_model, d_ff), reference.FeedForward(d_model, d_ff)
        set_weights(layer, weights)
        set_weights(same, weights)
        assert_close(layer(x), same(x))


@pytest.mark.step("feed_forward")
@pytest.mark.points(1)
def test_feed_forward_hands_gradients_to_its_input_and_weights(student, reference, draw):
    weights, x, cotangent = of_feed_forward(draw, 4, 9), draw(2, 3, 4), draw(2, 3, 4)
    layer, same = student.FeedForward(4, d_ff=9), reference.FeedForward(4, d_ff=9)
    set_weights(layer, weights)
    set_weights(same, weights)

    by_x, by_weights = gradients_of(layer, cotangent, x)

    expected_by_x, expected_by_weights = gradients_of(same, cotangent, x)
    assert_close(by_x, expected_by_x)
    assert_close(by_weights, expected_by_weights)


@pytest.mark.step("feed_forward")
@pytest.mark.points(0.5)
def test_feed_forward_holds_two_linear_layers_and_nothing_else(student, reference):
    for args in [(5,), (9,), (6, 10)]:
        shapes = through(student, HELPERS, "names_and_shapes", student.FeedForward(*args))
        assert_close(shapes, through(reference, HELPERS, "names_and_shapes", reference.FeedForward(*args)))


@pytest.mark.step("feed_forward")
@pytest.mark.points(0.5)
def test_feed_forward_starts_as_linear_layers_start(student, reference):
    start = through(student, HELPERS, "how_weights_start", student.FeedForward(64))

    assert_close(start, through(reference, HELPERS, "how_weights_start", reference.FeedForward(64)))


@pytest.mark.step("feed_forward")
@pytest.mark.points(0.5)
def test_feed_forward_is_one_function_evaluated_too_of_what_tensors_hold_now(student, reference, draw):
    weights, x = of_feed_forward(draw, 4, 9), draw(2, 3, 4)
    layer, same = student.FeedForward(4, d_ff=9), reference.FeedForward(4, d_ff=9)
    set_weights(layer, weights)
    set_weights(same, weights)

    assert_close(layer(x), same(x))
    layer.eval()
    assert_close(layer(x), same(x))
    got = through(student, HELPERS, "answers_as_numbers_change_in", layer, x)
    assert_close(got, through(reference, HELPERS, "answers_as_numbers_change_in", same, x))


# ---------------------------------------------------------------------------------------------- block


@pytest.mark.step("block")
@pytest.mark.points(1)
def test_blocks_of_both_kinds_are_right_for_every_number_of_heads(student, reference, draw, rng):
    cases = [(12, 3, "pre", (2, 5)), (12, 4, "post", (3, 7)), (5, 1, "pre", (1, 1)), (9, 3, "post", (1, 4))]
    for d_model, n_heads, norm, shape in cases:
        layer, same = both(student, reference, of_block(draw, d_model), d_model, n_heads, norm)
        x = stream(draw, rng, *shape, d_model)
        assert_close(layer(x), same(x))


@pytest.mark.step("block")
@pytest.mark.points(1)
def test_blocks_of_both_kinds_hand_causal_on(student, reference, draw, rng):
    weights, x = of_block(draw, 12), stream(draw, rng, 2, 5, 12)

    for norm in ("pre", "post"):
        layer, same = both(student, reference, weights, 12, n_heads=3, norm=norm)
        for causal in (True, False):
            assert_close(layer(x, causal), same(x, causal))
        layer.eval()
        for causal in (True, False):
            assert_close(layer(x, causal), same(x, causal))


@pytest.mark.step("block")
@pytest.mark.points(1)
def test_blocks_of_both_kinds_hand_gradients_to_their_input_and_weights(student, reference, draw, rng):
    weights, x, cotangent = of_block(draw, 8), stream(draw, rng, 2, 5, 8), draw(2, 5, 8)

    for norm in ("pre", "post"):
        layer, same = both(student, reference, weights, 8, 2, norm=norm)
        assert_close(layer(x), same(x))
        by_x, by_weights = gradients_of(layer, cotangent, x)
        expected_by_x, expected_by_weights = gradients_of(same, cotangent, x)
        assert_close(by_x, expected_by_x, tolerance=1e-2)  # what eps and the form of GELU change is for other checks
        assert_close(by_weights, expected_by_weights, tolerance=1e-2)


@pytest.mark.step("block")
@pytest.mark.points(0.5)
def test_a_block_holds_four_parts_and_nothing_else(student, reference):
    for args in [(8, 2), (9, 3, "post"), (5, 1)]:
        layer, same = student.Block(*args), reference.Block(*args)
        shapes = through(student, HELPERS, "names_and_shapes", layer)
        assert_close(shapes, through(reference, HELPERS, "names_and_shapes", same))
        assert_close(parameter_count(layer), parameter_count(same))


@pytest.mark.step("block")
@pytest.mark.points(0.5)
def test_a_block_refuses_other_norms_and_heads_that_do_not_fit(student, reference, draw, rng):
    for norm in ("Pre", "none", "", None):
        assert_raises(ValueError, student.Block, 8, 2, norm=norm)
    assert_raises(ValueError, student.Block, 8, 3)
    layer, same = both(student, reference, of_block(draw, 8), 8, 2)
    x = stream(draw, rng, 2, 3, 8)
    assert_close(layer(x), same(x))


@pytest.mark.step("block")
@pytest.mark.points(0.5)
def test_blocks_stack_and_leave_what_they_read_alone(student, reference, draw, rng):
    x = stream(draw, rng, 2, 5, 8)

    for norm in ("pre", "post"):
        first, same_first = both(student, reference, of_block(draw, 8), 8, 2, norm)
        second, same_second = both(student, reference, of_block(draw, 8), 8, 4, norm)
        got = through(student, HELPERS, "through_two_blocks", first, second, x)
        assert_close(got, through(reference, HELPERS, "through_two_blocks", same_first, same_second, x))
        got = through(student, HELPERS, "answer_and_input_afterwards", first, x)
        assert_close(got, through(reference, HELPERS, "answer_and_input_afterwards", same_first, x))


@pytest.mark.step("block")
@pytest.mark.points(0.5)
def test_a_block_takes_tensors_as_they_are_now(student, reference, draw, rng):
    weights, x = of_block(draw, 8), stream(draw, rng, 2, 5, 8)

    for norm in ("pre", "post"):
        layer, same = both(student, reference, weights, 8, 2, norm)
        by_columns = np.asfortranarray(x)
        assert_close(layer(by_columns), same(by_columns))
        got = through(student, HELPERS, "answers_as_numbers_change_in", layer, x)
        assert_close(got, through(reference, HELPERS, "answers_as_numbers_change_in", same, x))


@pytest.mark.step("block")
@pytest.mark.points(0.5)
def test_a_block_starts_as_its_parts_start(student, reference):
    start = through(student, HELPERS, "how_weights_start", student.Block(64, 4))

    assert_close(start, through(reference, HELPERS, "how_weights_start", reference.Block(64, 4)))


@pytest.mark.step("block")
@pytest.mark.points(0.5)
def test_blocks_of_both_kinds_work_in_every_precision(student, reference, draw, rng):
    weights, x = of_block(draw, 8, dtype="bfloat16"), tensor(stream(draw, rng, 2, 5, 8), "bfloat16")
    exact = {name: np.asarray(weight) for name, weight in weights.items()}

    for norm in ("pre", "post"):
        layer, same = both(student, reference, exact, 8, 2, norm)
        assert_close(layer(np.asarray(x)), same(np.asarray(x)))
        for dtype in ("float64", *HALVES):
            cast(layer, dtype)
            cast(same, dtype)
            given = tensor(np.asarray(x), dtype)
            tolerance = 1e-9 if dtype == "float64" else 0.1  # every product may be rounded
            assert_close(layer(given), same(given), tolerance=tolerance)
