"""Checks to hand out."""

import pytest

from grader.checks import assert_close, set_weights

WEIGHTS = {"value_proj.weight": (5, 3), "value_proj.bias": (5,), "gate_proj.weight": (5, 3), "gate_proj.bias": (5,)}
WEIGHTS |= {"out_proj.weight": (3, 5)}


@pytest.mark.step("gating")
@pytest.mark.points(1)
def test_the_first_half_is_gated_by_the_second(student, reference, draw):
    x = draw(2, 3, 8)

    got = student.gated(x)

    assert_close(got, reference.gated(x))


@pytest.mark.step("layer")
@pytest.mark.points(1)
def test_a_layer_projects_gates_and_projects_back(student, reference, draw):
    x, weights = draw(2, 4, 3), {name: draw(*shape) for name, shape in WEIGHTS.items()}
    layer, same = student.Gate(3, 5), reference.Gate(3, 5)
    set_weights(layer, weights)
    set_weights(same, weights)

    got = layer(x)

    assert_close(got, same(x))


@pytest.mark.step("training")
@pytest.mark.points(1)
def test_the_error_before_the_step_is_returned(student, reference, draw):
    x, target, weights = draw(4, 3), draw(4, 3), {name: draw(*shape) for name, shape in WEIGHTS.items()}
    layer, same = student.Gate(3, 5), reference.Gate(3, 5)
    set_weights(layer, weights)
    set_weights(same, weights)

    got = student.descend(layer, x, target, 0.5)

    assert_close(got, reference.descend(same, x, target, 0.5))
