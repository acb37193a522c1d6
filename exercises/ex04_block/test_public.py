"""Checks to hand out: one idea each, with numbers small enough to follow by hand."""

import numpy as np
import pytest

from grader.checks import assert_close, assert_raises, gradients_of, parameter_count, set_weights, tensor


def one_to_four():
    """The vector of the worked examples."""
    return np.array([1.0, 2.0, 3.0, 4.0], dtype="float32")


def vectors(draw, rng, *shape):
    """Vectors with numbers far apart, so that no default eps can be seen in them, around a mean near 2."""
    apart = np.tile(np.linspace(-4, 8, shape[-1]), (*shape[:-1], 1))
    return rng.permuted(apart, axis=-1).astype("float32") + draw(*shape)


def stream(draw, rng, *shape):
    """Vectors as `vectors`, of the size that a block meets."""
    return vectors(draw, rng, *shape) / 2


def linear(draw, name, d_in, d_out, **how):
    """Numbers for one nn.Linear."""
    weight, bias = draw(d_out, d_in, low=-0.5, high=0.5, **how), draw(d_out, low=-0.5, high=0.5, **how)
    return {f"{name}.weight": weight, f"{name}.bias": bias}


def of_feed_forward(draw, d_model, d_ff, name="", **how):
    """Numbers for a feed-forward layer. GELU sees numbers near -2.5, where its two forms differ most."""
    weights = linear(draw, f"{name}up", d_model, d_ff, **how) | linear(draw, f"{name}down", d_ff, d_model, **how)
    weights[f"{name}up.bias"] = draw(d_ff, low=-3, high=-2, **how)
    return weights


def of_block(draw, d_model, **how):
    """Numbers for a block."""
    weights = of_feed_forward(draw, d_model, 4 * d_model, "feed_forward.", **how)
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        weights |= linear(draw, f"attention.{name}", d_model, d_model, **how)
    for name in ("attention_norm", "feed_forward_norm"):
        weights[f"{name}.weight"] = draw(d_model, low=1, high=2, **how)
        weights[f"{name}.bias"] = draw(d_model, low=-0.5, high=0.5, **how)
    return weights


# ---------------------------------------------------------------------------------------------- layer_norm


@pytest.mark.step("layer_norm")
@pytest.mark.points(1)
def test_layer_norm_gives_every_vector_mean_0_and_variance_1(student, reference, draw, rng):
    x, ones, zeros = vectors(draw, rng, 2, 3, 5), np.ones(5, dtype="float32"), np.zeros(5, dtype="float32")

    by_hand = student.layer_norm(one_to_four(), np.ones(4, dtype="float32"), np.zeros(4, dtype="float32"))
    normal = student.layer_norm(x, ones, zeros)

    assert_close(by_hand, tensor(np.array([-1.34163542, -0.44721181, 0.44721181, 1.34163542]), "float32"))
    assert_close(normal, reference.layer_norm(x, ones, zeros))


@pytest.mark.step("layer_norm")
@pytest.mark.points(1)
def test_layer_norm_multiplies_by_the_weight_and_then_adds_the_bias(student, reference, draw, rng):
    x, weight, bias = vectors(draw, rng, 4, 6), draw(6), draw(6)

    got = student.layer_norm(x, weight, bias)

    assert_close(got, reference.layer_norm(x, weight, bias))


@pytest.mark.step("layer_norm")
@pytest.mark.points(0.5)
def test_layer_norm_of_nearly_equal_numbers_is_tamed_by_eps(student, reference, draw, rng):
    equal, weight, bias = np.full((2, 6), 0.75, dtype="float32"), draw(6), draw(6)
    nearly = (0.0003 * vectors(draw, rng, 4, 6)).astype("float32")

    without_spread = student.layer_norm(equal, weight, bias)
    with_little = student.layer_norm(nearly, weight, bias)

    assert_close(without_spread, reference.layer_norm(equal, weight, bias))
    assert_close(with_little, reference.layer_norm(nearly, weight, bias))


# ---------------------------------------------------------------------------------------------- rms_norm


@pytest.mark.step("rms_norm")
@pytest.mark.points(1)
def test_rms_norm_divides_every_vector_by_its_root_mean_square(student, reference, draw, rng):
    x, weight = vectors(draw, rng, 2, 3, 5), draw(5)

    by_hand = student.rms_norm(one_to_four(), np.ones(4, dtype="float32"))
    got = student.rms_norm(x, weight)

    assert_close(by_hand, tensor(np.array([0.36514835, 0.73029669, 1.09544504, 1.46059339]), "float32"))
    assert_close(got, reference.rms_norm(x, weight))


@pytest.mark.step("rms_norm")
@pytest.mark.points(0.5)
def test_rms_norm_adds_eps_to_the_mean_square(student, reference, draw, rng):
    x, weight = vectors(draw, rng, 4, 6), draw(6)
    tiny = (0.0003 * x).astype("float32")

    with_its_own = student.rms_norm(tiny, weight)
    with_a_large_one = student.rms_norm(x, weight, eps=32.0)

    assert_close(with_its_own, reference.rms_norm(tiny, weight))
    assert_close(with_a_large_one, reference.rms_norm(x, weight, eps=32.0))


# ---------------------------------------------------------------------------------------------- gelu


@pytest.mark.step("gelu")
@pytest.mark.points(1)
def test_gelu_is_x_times_the_share_of_a_normal_distribution_below_x(student, reference, draw):
    x = draw(3, 5, low=-4, high=4)
    x.flat[0] = 2.7  # where the two forms differ most

    by_hand = student.gelu(np.array([-1.0, 0.0, 1.0], dtype="float32"))
    got = student.gelu(x)

    assert_close(by_hand, tensor(np.array([-0.1586552539, 0.0, 0.8413447461]), "float32"))
    assert_close(got, reference.gelu(x))


@pytest.mark.step("gelu")
@pytest.mark.points(1)
def test_gelu_by_tanh_is_the_form_of_gpt2(student, reference, draw):
    x = draw(3, 5, low=-4, high=4)
    x.flat[0] = 2.7  # where the two forms differ most

    by_hand = student.gelu(np.array([-1.0, 0.0, 1.0], dtype="float32"), approximate="tanh")
    got = student.gelu(x, approximate="tanh")

    assert_close(by_hand, tensor(np.array([-0.1588080094, 0.0, 0.8411919906]), "float32"))
    assert_close(got, reference.gelu(x, approximate="tanh"))


# ---------------------------------------------------------------------------------------------- swiglu


@pytest.mark.step("swiglu")
@pytest.mark.points(1)
def test_swiglu_multiplies_a_gate_and_a_projection_and_goes_down(student, reference, draw):
    w_gate, w_up = np.array([[1, 0], [2, -1]], dtype="float32"), np.array([[1, 1], [0, 1]], dtype="float32")
    w_down = np.array([[1, 1], [-1, 2]], dtype="float32")
    x, more_gate, more_up, more_down = draw(3, 4), draw(7, 4), draw(7, 4), draw(5, 7)

    by_hand = student.swiglu(np.array([1.0, 2.0], dtype="float32"), w_gate, w_up, w_down)
    got = student.swiglu(x, more_gate, more_up, more_down)

    assert_close(by_hand, tensor(np.array([2.1931757359, -2.1931757359]), "float32"))
    assert_close(got, reference.swiglu(x, more_gate, more_up, more_down))


# ---------------------------------------------------------------------------------------------- feed_forward


@pytest.mark.step("feed_forward")
@pytest.mark.points(1)
def test_feed_forward_goes_up_through_gelu_and_down(student, reference, draw):
    weights, x = of_feed_forward(draw, 5, 20), draw(2, 3, 5)
    layer, same = student.FeedForward(5), reference.FeedForward(5)
    set_weights(layer, weights)
    set_weights(same, weights)

    got = layer(x)

    assert_close(got, same(x))


@pytest.mark.step("feed_forward")
@pytest.mark.points(0.5)
def test_feed_forward_is_four_times_as_wide_inside_unless_told(student, reference):
    by_default = parameter_count(student.FeedForward(10))
    odd = parameter_count(student.FeedForward(9))
    narrow = parameter_count(student.FeedForward(10, d_ff=7))

    assert_close(by_default, 850)
    assert_close(odd, 9 * 36 + 36 + 36 * 9 + 9)
    assert_close(narrow, parameter_count(reference.FeedForward(10, d_ff=7)))


# ---------------------------------------------------------------------------------------------- block


@pytest.mark.step("block")
@pytest.mark.points(1)
def test_a_pre_norm_block_adds_to_the_untouched_stream_what_it_read_from_the_normalised_one(
    student, reference, draw, rng
):
    weights, x = of_block(draw, 8), stream(draw, rng, 2, 5, 8)
    layer, same = student.Block(8, n_heads=2), reference.Block(8, n_heads=2)
    set_weights(layer, weights)
    set_weights(same, weights)

    got = layer(x)

    assert_close(got, same(x))


@pytest.mark.step("block")
@pytest.mark.points(1)
def test_a_post_norm_block_normalises_each_sum(student, reference, draw, rng):
    weights, x = of_block(draw, 8), stream(draw, rng, 2, 5, 8)
    layer, same = student.Block(8, n_heads=2, norm="post"), reference.Block(8, n_heads=2, norm="post")
    set_weights(layer, weights)
    set_weights(same, weights)

    got = layer(x)

    assert_close(got, same(x))


@pytest.mark.step("block")
@pytest.mark.points(0.5)
def test_a_block_reads_later_positions_only_when_causal_is_false(student, reference, draw, rng):
    weights, x = of_block(draw, 8), stream(draw, rng, 2, 5, 8)
    layer, same = student.Block(8, n_heads=2), reference.Block(8, n_heads=2)
    set_weights(layer, weights)
    set_weights(same, weights)

    both_ways = layer(x, causal=False)
    backwards = layer(x, causal=True)
    layer.eval()
    evaluated = layer(x, causal=True)

    assert_close(both_ways, same(x, causal=False))
    assert_close(backwards, same(x, causal=True))
    assert_close(evaluated, same(x, causal=True))


@pytest.mark.step("block")
@pytest.mark.points(0.5)
def test_a_block_with_silent_sublayers_hands_the_stream_on(student, draw, rng):
    weights, x = of_block(draw, 8), stream(draw, rng, 2, 5, 8)
    for name in ("attention.out_proj", "feed_forward.down"):
        weights[f"{name}.weight"] = 0 * weights[f"{name}.weight"]
        weights[f"{name}.bias"] = 0 * weights[f"{name}.bias"]
    layer = student.Block(8, n_heads=2, norm="pre")
    set_weights(layer, weights)

    assert_close(layer(x), tensor(x))


@pytest.mark.step("block")
@pytest.mark.points(0.5)
def test_a_block_hands_the_gradient_on(student, reference, draw, rng):
    weights, x, cotangent = of_block(draw, 8), stream(draw, rng, 2, 5, 8), draw(2, 5, 8)
    layer, same = student.Block(8, n_heads=2), reference.Block(8, n_heads=2)
    set_weights(layer, weights)
    set_weights(same, weights)

    answer = layer(x)
    by_x, _ = gradients_of(layer, cotangent, x)

    assert_close(answer, same(x))
    assert_close(by_x, gradients_of(same, cotangent, x)[0], tolerance=2e-3)


@pytest.mark.step("block")
@pytest.mark.points(0.5)
def test_a_block_refuses_a_norm_that_does_not_exist(student):
    assert_raises(ValueError, student.Block, 8, 2, norm="before")
