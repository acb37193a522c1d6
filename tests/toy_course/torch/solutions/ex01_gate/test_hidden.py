"""Checks to keep."""

import pytest

from grader.checks import assert_close, assert_that, gradients_of, parameter_count, set_weights, through, weights_of

WEIGHTS = {"value_proj.weight": (4, 6), "value_proj.bias": (4,), "gate_proj.weight": (4, 6), "gate_proj.bias": (4,)}
WEIGHTS |= {"out_proj.weight": (6, 4)}
HELPERS = '''
import torch


class Slope(torch.nn.Module):
    """A model of one weight each for every number."""

    def __init__(self, slope):
        super().__init__()
        self.slope = torch.nn.Parameter(slope.clone())

    def forward(self, x):
        return x * self.slope


def errors_and_slope_after(slope, x, target, rate, steps):
    """A model goes down a few steps: its errors on the way, and where it arrives."""
    model = Slope(slope)
    errors = [submission.descend(model, x, target, rate) for _ in range(steps)]
    return torch.stack(errors), model.slope
'''


def twins(student, reference, draw):
    """The student's layer and the solution's, with the same numbers."""
    weights = {name: draw(*shape) for name, shape in WEIGHTS.items()}
    layer, same = student.Gate(6, 4), reference.Gate(6, 4)
    set_weights(layer, weights)
    set_weights(same, weights)
    return layer, same


@pytest.mark.step("gating")
@pytest.mark.points(1)
def test_bfloat16_stays_bfloat16(student, reference, draw):
    x = draw(3, 10, dtype="bfloat16")

    got = student.gated(x)

    assert_close(got, reference.gated(x))


@pytest.mark.step("gating")
@pytest.mark.points(1)
def test_values_and_gates_have_gradients(student, reference, draw):
    x, cotangent = draw(5, 2, 6), draw(5, 2, 3)

    inputs, _ = gradients_of(student.gated, cotangent, x)

    assert_close(inputs, gradients_of(reference.gated, cotangent, x)[0])


@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_the_residual_is_added_where_it_is_asked_for(student, reference, draw):
    layer, same = twins(student, reference, draw)
    x = draw(2, 5, 6)

    for residual in (True, False):
        assert_close(layer(x, residual=residual), same(x, residual=residual))


@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_input_and_weights_have_gradients(student, reference, draw):
    layer, same = twins(student, reference, draw)
    x, cotangent = draw(3, 6), draw(3, 6)

    got = gradients_of(layer, cotangent, x)

    assert_close(got, gradients_of(same, cotangent, x))


@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_the_gated_values_can_be_asked_for(student, reference, draw):
    layer, same = twins(student, reference, draw)
    x = draw(7, 6)

    assert_close(layer.hidden(x), same.hidden(x))


@pytest.mark.untaped
@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_a_checkpoint_can_be_loaded(student, reference, draw):
    layer, same = twins(student, reference, draw)
    other, x = student.Gate(6, 4), draw(2, 6)

    other.load_state_dict(layer.state_dict())

    assert_close(other(x), same(x))


@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_nothing_is_trained_beside_the_weights(student, reference):
    layer, same = student.Gate(5, 2), reference.Gate(5, 2)

    count = parameter_count(layer)

    assert_that(count == parameter_count(same), asked="Gate(5, 2)", expected="34 numbers", got=f"{count} numbers")


@pytest.mark.step("training")
@pytest.mark.points(1)
def test_every_weight_moves_downhill(student, reference, draw):
    layer, same = twins(student, reference, draw)
    x, target = draw(4, 6), draw(4, 6)

    student.descend(layer, x, target, 0.25)
    reference.descend(same, x, target, 0.25)

    assert_close(weights_of(layer), weights_of(same))


@pytest.mark.step("training")
@pytest.mark.points(1)
def test_a_model_of_another_kind_goes_down_too(student, reference, draw):
    given = (draw(3), draw(5, 3), draw(5, 3), 0.125, 3)

    got = through(student, HELPERS, "errors_and_slope_after", *given)

    assert_close(got, through(reference, HELPERS, "errors_and_slope_after", *given))
