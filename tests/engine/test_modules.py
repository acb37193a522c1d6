"""Modules, their weights and gradients: in a real worker and in this process, where both must say the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grader.checks import cast, gradients_of, parameter_count, set_weights, tensor, through, weights_of
from grader.logic.asserting import Record, StudentFailure
from grader.logic.tensors import Tensor
from grader.logic.wire import Handle
from grader.model.types import Cell, Limits, Raised, Submission
from grader.system import modules
from grader.system.host import Server
from grader.system.launch import TORCH_PACKAGES
from grader.system.oracle import replay
from grader.system.subjects import InProcess, Referee, Reference, Student

torch = pytest.importorskip("torch")

SOURCE = """
import sys

import torch
from torch import nn


class Split(nn.Module):
    def __init__(self, width, hidden=2):
        super().__init__()
        self.a_proj = nn.Linear(width, hidden)
        self.b_proj = nn.Linear(width, hidden, bias=False)
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("seen", torch.zeros(()))

    def parts(self, x):
        return self.a_proj(x), self.b_proj(x)

    def forward(self, x, *, plus=0):
        self.seen += 1
        a, b = self.parts(x)
        return self.scale * a * b + plus

    def first(self, x):
        return self.parts(x)[0]


class Fused(Split):
    def __init__(self, width, hidden=2):
        nn.Module.__init__(self)
        self.ab_proj = nn.Linear(width, 2 * hidden, bias=False)
        self.a_bias = nn.Parameter(torch.zeros(hidden))
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("seen", torch.zeros(()))

    def parts(self, x):
        a, b = self.ab_proj(x).chunk(2, dim=-1)
        return a + self.a_bias, b


class Both(Split):
    def __init__(self, width):
        super().__init__(width)
        self.ab_proj = nn.Linear(width, 4)


class Stack(nn.Module):
    def __init__(self, kind, count):
        super().__init__()
        self.layers = nn.ModuleList([globals()[kind](3, 3) for _ in range(count)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(4, 3)
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(x) + self.embed.weight.sum()


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.used = nn.Parameter(torch.ones(3))
        self.unused = nn.Parameter(torch.ones(2))
        self.frozen = nn.Parameter(torch.full((3,), 5.0), requires_grad=False)
        self.ab_proj = nn.Module()
        self.ab_proj.gain = nn.Parameter(torch.tensor(3.0))
        self.ab_proj.odd = nn.Parameter(torch.ones(3))
        self.empty = nn.Parameter(torch.ones(0, 2))

    def forward(self, x):
        return x * self.used * self.frozen * self.ab_proj.gain


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.weight = nn.Parameter(torch.rand(3))

    def forward(self, x):
        return self.drop(x) * self.weight


class Plain:
    def twice(self, x):
        return 2 * x


def scaled(x, y, by=3):
    return x * y * by


def masked(x, mask, index, y):
    return torch.where(mask, x * y, 0.0)[index]


def in_place(x):
    x.mul_(2)
    x += 1
    return x * x


def detached(x):
    return (x * 3).detach()


def without(x):
    with torch.no_grad():
        return x * 3


def constant(x):
    return torch.ones(2)


def rounded(x):
    return x.long()


def several(x):
    return x, x


def noise():
    return torch.rand(3)


def reseeds():
    torch.manual_seed(5)
    return noise()


def strides(x, xs=()):
    return [list(one.stride()) for one in (x, *xs)]


def kinds(*args, **kwargs):
    return [type(value).__name__ for value in (*args, *kwargs.values())]


def forms(x):
    return {
        "shape": x.shape,
        "sum": x.sum(),
        "item": x.sum().item(),
        "parameter": nn.Parameter(x),
        "with a history": x.clone().requires_grad_() * 2,
        "numpy": x.numpy(),
        "list": [x, (x.bool(),)],
        "dtype": x.dtype,
    }


def is_loaded(name):
    return name in sys.modules


def own():
    return torch.eye(2).to_sparse(), torch.zeros(1, device="meta"), torch.zeros(1, dtype=torch.float8_e5m2)
"""
FUSED = {"ab_proj": ("a_proj", "b_proj")}
LIMITS = Limits(memory_mb=4096)


def in_worker(server, source=SOURCE):
    worker = server.open(LIMITS)
    loaded = worker.load(Submission("m.py", (Cell(source),)), "m", ("torch", "numpy", "sys"), "m.py", fused=FUSED)
    assert not loaded.failures and loaded.died is None
    return worker


def namespace():
    found = {"__name__": "m"}
    exec(SOURCE, found)
    return found


def in_process(*, exact=False):
    return InProcess(namespace(), FUSED, exact=exact)


@pytest.fixture(params=["worker", "in process"])
def subject(request, torch_server):
    if request.param == "in process":
        yield in_process()
    else:
        with in_worker(torch_server) as worker:
            yield worker


@pytest.fixture
def record():
    return Record({})


@pytest.fixture
def student(subject, record):
    return Student(subject, record, "torch")


@pytest.fixture
def reference(record):
    return Reference(Referee(in_process(), in_process(exact=True)).ask, record, "torch")


def numbers(*shape, seed=0):
    return (np.random.default_rng(seed).integers(-64, 65, shape) / 32).astype(np.float32)


WIDTHS = {"a_proj.weight": (2, 3), "a_proj.bias": (2,), "b_proj.weight": (2, 3), "scale": ()}
WEIGHTS = {name: numbers(*shape, seed=at) for at, (name, shape) in enumerate(WIDTHS.items())}
OF_FUSED = {"a_bias" if name == "a_proj.bias" else name: value for name, value in WEIGHTS.items()}


def answer_of(weights, x):
    """What a layer with these weights answers, in numpy."""
    a = x @ weights["a_proj.weight"].T + weights["a_proj.bias"]
    return weights["scale"] * a * (x @ weights["b_proj.weight"].T)


def failure(function, *args, **kwargs):
    """What a submission raises."""
    with pytest.raises(StudentFailure) as caught:
        function(*args, **kwargs)
    assert isinstance(caught.value.outcome, Raised)
    return caught.value.outcome


# ---------------------------------------------------------------- weights by name


def test_weights_that_are_set_are_what_the_layer_computes_with(student):
    layer, x = student.Split(3), numbers(4, 3, seed=9)

    set_weights(layer, WEIGHTS)

    np.testing.assert_allclose(layer(x).array, answer_of(WEIGHTS, x), rtol=1e-5)
    got = weights_of(layer)
    assert {name: weight.array.tolist() for name, weight in got.items()} == {
        name: value.tolist() for name, value in WEIGHTS.items()
    }
    assert all(type(weight) is Tensor and weight.dtype == "float32" for weight in got.values())


def test_two_layers_are_two(student):
    one, two = student.Split(3), student.Split(3)
    set_weights(two, WEIGHTS)

    set_weights(one, {name: 0 * value for name, value in WEIGHTS.items()})

    assert weights_of(two)["scale"].array == WEIGHTS["scale"] != 0
    assert not weights_of(one)["scale"].array.any()


def test_a_fused_layer_reads_and_takes_the_names_of_its_parts(student):
    layer, x = student.Fused(3), numbers(2, 5, 3, seed=8)

    set_weights(layer, OF_FUSED)

    assert set(weights_of(layer)) == set(OF_FUSED)
    for name, value in OF_FUSED.items():
        assert weights_of(layer)[name].array.tolist() == value.tolist()
    np.testing.assert_allclose(layer(x).array, answer_of(WEIGHTS, x), rtol=1e-5)


def test_fused_and_split_have_the_same_gradients_at_any_depth(student):
    x, cotangent = numbers(2, 3, seed=5), numbers(2, 3, seed=6)
    split, fused = student.Stack("Split", 2), student.Stack("Fused", 2)
    weights = {
        f"layers.{at}.{name}": numbers(*(3,) * len(shape), seed=at) for at in range(2) for name, shape in WIDTHS.items()
    }
    set_weights(split, weights)
    set_weights(fused, {name.replace("a_proj.bias", "a_bias"): value for name, value in weights.items()})

    (one,), by_split = gradients_of(split, cotangent, x)
    (other,), by_fused = gradients_of(fused, cotangent, x)

    np.testing.assert_allclose(one.array, other.array, rtol=1e-5)
    assert set(by_split) == set(weights) and len(by_fused) == len(by_split)
    for name, gradient in by_split.items():
        same = by_fused[name.replace("a_proj.bias", "a_bias")]
        np.testing.assert_allclose(gradient.array, same.array, rtol=1e-5)
        assert gradient.array.any()


def test_shared_weights_are_one_under_either_name(student):
    layer, value = student.Tied(), numbers(4, 3)

    assert list(weights_of(layer)) == ["embed.weight"] and parameter_count(layer) == 12
    for name in ("embed.weight", "head.weight"):
        set_weights(layer, {name: value + len(name)})
        assert weights_of(layer)["embed.weight"].array.tolist() == (value + len(name)).tolist()
    set_weights(layer, {"embed.weight": value, "head.weight": value})


def test_shared_weights_have_one_gradient_for_all_their_uses(student):
    layer, x = student.Tied(), numbers(2, 3, seed=1)

    _, weights = gradients_of(layer, np.ones((2, 4), np.float32), x)

    assert list(weights) == ["embed.weight"]
    np.testing.assert_allclose(weights["embed.weight"].array, np.tile(x.sum(0), (4, 1)) + 8, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"c_proj.weight": np.ones((2, 3))}, "LookupError", "has no weight c_proj.weight; it has "),
        ({"A_proj.weight": np.ones((2, 3))}, "LookupError", "has no weight A_proj.weight"),
        ({"ab_proj.weight": np.ones((4, 3))}, "LookupError", "has no weight ab_proj.weight"),
        ({"scale": None}, "LookupError", "weights that nobody sets: scale"),
        ({"a_proj.weight": None, "b_proj.weight": None}, "LookupError", "nobody sets: a_proj.weight, b_proj.weight"),
        ({"a_proj.weight": np.ones((3, 2))}, "ValueError", "the weight a_proj.weight has shape (2, 3) where (3, 2)"),
        ({"a_proj.bias": np.ones(())}, "ValueError", "the weight a_proj.bias has shape (2,) where ()"),
        ({"scale": np.ones(1)}, "ValueError", "the weight scale has shape () where (1,)"),
    ],
)
@pytest.mark.parametrize("layer", ["Split", "Fused"])
def test_weights_that_do_not_fit_are_the_submission_s_failure(student, layer, change, kind, said):
    wanted = {
        name if layer == "Split" or name != "a_proj.bias" else "a_bias": value
        for name, value in (WEIGHTS | change).items()
        if value is not None
    }
    made = getattr(student, layer)(3)

    raised = failure(set_weights, made, wanted)

    assert raised.is_a(kind)
    assert (said if layer == "Split" else said.replace("a_proj.bias", "a_bias")) in raised.message


def test_a_weight_that_there_is_twice_is_not_set_at_random(student):
    raised = failure(set_weights, student.Both(3), WEIGHTS)

    assert raised.is_a("LookupError") and raised.message.startswith("Both has a_proj.weight twice")


def test_nothing_but_a_module_has_weights(student):
    plain = student.Plain()

    for ask in (
        weights_of,
        parameter_count,
        lambda thing: cast(thing, "float64"),
        lambda thing: set_weights(thing, {}),
    ):
        raised = failure(ask, plain)
        assert raised.is_a("TypeError") and "Plain is not a torch.nn.Module" in raised.message


def test_what_is_named_like_a_fused_layer_and_has_no_such_rows_keeps_its_name(student):
    layer = student.Odd()

    weights = {name: weight.shape for name, weight in weights_of(layer).items()}

    assert weights["ab_proj.gain"] == () and weights["ab_proj.odd"] == (3,)
    assert not {"a_proj.gain", "a_proj.odd"} & set(weights)


def test_a_weight_without_numbers_need_not_be_set(student):
    layer = student.Odd()
    shapes = {name: weight.shape for name, weight in weights_of(layer).items()}

    set_weights(layer, {name: np.full(shape, 7.0) for name, shape in shapes.items() if name != "empty"})

    assert weights_of(layer)["used"].array.tolist() == [7.0] * 3
    assert weights_of(layer)["frozen"].array.tolist() == [7.0] * 3


def test_only_what_is_trained_is_counted(student):
    assert parameter_count(student.Split(3)) == parameter_count(student.Fused(3)) == 6 + 2 + 6 + 1
    assert parameter_count(student.Odd()) == 3 + 2 + 1 + 3


# ---------------------------------------------------------------- gradients


def test_a_function_s_gradients_by_each_floating_argument(student):
    x, y, cotangent = numbers(2, 3, seed=1), numbers(3, seed=2), numbers(2, 3, seed=3)

    inputs, weights = gradients_of(student.scaled, cotangent, x, y, by=2)

    assert weights == {} and [gradient.shape for gradient in inputs] == [(2, 3), (3,)]
    np.testing.assert_allclose(inputs[0].array, 2 * y * cotangent, rtol=1e-6)
    np.testing.assert_allclose(inputs[1].array, (2 * x * cotangent).sum(0), rtol=1e-5, atol=1e-6)


def test_what_is_no_floating_tensor_has_no_gradient(student):
    x, y = numbers(3, seed=1), numbers(3, seed=2)
    mask, index = np.array([True, False, True]), np.array([2, 1])

    inputs, _ = gradients_of(student.masked, np.float32([5, 7]), x, mask, index, y)

    assert [gradient.array.tolist() for gradient in inputs] == [[0, 0, 5 * y[2]], [0, 0, 5 * x[2]]]
    inputs, _ = gradients_of(student.scaled, np.ones(3, np.float32), x, 4.0)
    assert [gradient.array.tolist() for gradient in inputs] == [[12.0] * 3]


@pytest.mark.parametrize("name", ["detached", "without", "constant", "rounded"])
def test_where_nothing_is_depended_on_the_gradients_are_zeros(student, name):
    inputs, _ = gradients_of(getattr(student, name), np.ones(2, np.float32), np.ones(2, np.float32))

    assert [(gradient.dtype, gradient.array.tolist()) for gradient in inputs] == [("float32", [0.0, 0.0])]


def test_weights_that_are_not_used_or_not_trained_have_zeros(student):
    x = numbers(3, seed=1)

    (by_x,), weights = gradients_of(student.Odd(), np.ones(3, np.float32), x)

    assert by_x.array.tolist() == [15.0] * 3
    assert weights["used"].array.tolist() == (15 * x).tolist()
    assert weights["ab_proj.gain"].array == pytest.approx(5 * x.sum())
    for name, shape in [("unused", (2,)), ("frozen", (3,)), ("ab_proj.odd", (3,)), ("empty", (0, 2))]:
        assert weights[name].shape == shape and not weights[name].array.any()


def test_a_function_may_write_into_what_it_is_given(student):
    x = numbers(4, seed=3)

    (gradient,), _ = gradients_of(student.in_place, np.ones(4, np.float32), x)

    np.testing.assert_allclose(gradient.array, 4 * (2 * x + 1), rtol=1e-6)


def test_gradients_of_methods_and_modules(student):
    layer, x, cotangent = student.Split(3), numbers(4, 3, seed=1), numbers(4, 2, seed=2)
    set_weights(layer, WEIGHTS)

    (by_x,), weights = gradients_of(layer.first, cotangent, x)
    (by_all,), every = gradients_of(layer, cotangent, x, plus=7)

    np.testing.assert_allclose(by_x.array, cotangent @ WEIGHTS["a_proj.weight"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(weights["a_proj.weight"].array, cotangent.T @ x, rtol=1e-5, atol=1e-5)
    assert not weights["b_proj.weight"].array.any() and not weights["scale"].array.any()
    assert set(every) == set(weights) == set(WEIGHTS) and every["b_proj.weight"].array.any()
    by_scale = (cotangent * answer_of(WEIGHTS | {"scale": 1.0}, x)).sum()
    assert every["scale"].shape == () and every["scale"].array == pytest.approx(by_scale, rel=1e-5)
    assert by_all.shape == (4, 3)
    (by_plain,), none = gradients_of(student.Plain().twice, np.ones(2, np.float32), np.ones(2, np.float32))
    assert none == {} and by_plain.array.tolist() == [2.0, 2.0]


def test_gradients_do_without_what_takes_long_to_load(torch_server):
    with in_worker(torch_server) as worker:
        student = Student(worker, Record({}), "torch")
        gradients_of(student.scaled, np.ones(2, np.float32), np.ones(2, np.float32), 1.0)

        assert student.is_loaded("torch") and not student.is_loaded("sympy")


def test_gradients_leave_nothing_behind(student):
    layer, x = student.Split(3), numbers(4, 3, seed=1)

    first = gradients_of(layer, np.ones((4, 2), np.float32), x)
    second = gradients_of(layer, np.ones((4, 2), np.float32), x)

    assert first[0][0].array.tolist() == second[0][0].array.tolist()
    assert through(student, HELPERS, "gradients_left", layer) == [None] * 4


def test_a_gradient_needs_one_tensor(student):
    raised = failure(gradients_of, student.several, np.ones(2, np.float32), np.ones(2, np.float32))
    other = failure(gradients_of, student.scaled, np.ones(3, np.float32), np.ones(2, np.float32), 1.0)

    assert raised.is_a("TypeError") and "a tensor should come back, not tuple" in raised.message
    assert (
        other.is_a("ValueError") and other.message == "a tensor of shape (3,) should come back, not one of shape (2,)"
    )


# ---------------------------------------------------------------- dtypes


def test_a_layer_in_bfloat16_answers_in_bfloat16(student):
    layer, x = student.Split(3), tensor(numbers(4, 3, seed=1), "bfloat16")
    set_weights(layer, WEIGHTS)

    cast(layer, "bfloat16")

    assert {weight.dtype for weight in weights_of(layer).values()} == {"bfloat16"}
    got = layer(x)
    assert got.dtype == "bfloat16" and np.abs(got.array - answer_of(WEIGHTS, x.array)).max() < 0.2
    (by_x,), weights = gradients_of(layer, np.ones((4, 2), np.float32), x)
    assert {gradient.dtype for gradient in (by_x, *weights.values())} == {"bfloat16"}
    set_weights(layer, WEIGHTS)
    assert weights_of(layer)["a_proj.weight"].dtype == "bfloat16"


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16", "int64", "bool"])
def test_every_dtype_arrives_as_itself_and_comes_back(student, dtype):
    x = tensor(np.array([[0, 1, 2], [3, 4, 5]]), dtype)

    got = through(student, HELPERS, "itself", x)

    assert type(got) is Tensor and (got.dtype, got.raw.tolist()) == (dtype, x.raw.tolist())


# ---------------------------------------------------------------- what crosses, and how


def test_arrays_arrive_as_tensors_wherever_they_stand(student):
    x = np.ones(2, np.float32)

    kinds = student.kinds(x, [x], 1.5, True, None, "text", np.float32(2), key=x)

    assert kinds == ["Tensor", "list", "float", "bool", "NoneType", "str", "float32", "Tensor"]
    assert through(student, HELPERS, "kinds_within", [x, {"k": (x,)}]) == ["Tensor", "Tensor"]


def test_answers_of_every_form_cross(student):
    got = student.forms(np.arange(6, dtype=np.float32).reshape(2, 3))

    assert got["shape"] == (2, 3) and type(got["shape"]) is tuple
    assert (got["sum"].shape, got["sum"].array, got["item"]) == ((), 15.0, 15.0)
    assert got["parameter"].array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert got["with a history"].array.tolist() == [[0, 2, 4], [6, 8, 10]]
    assert type(got["numpy"]) is np.ndarray and type(got["parameter"]) is Tensor
    assert got["list"][1][0].dtype == "bool"
    assert got["dtype"].type_name == "dtype"


def test_a_tensor_that_cannot_cross_stays_where_it_is(student):
    names = [thing.type_name for thing in student.own()]

    assert names == ["Tensor[sparse_coo]", "Tensor[meta]", "Tensor[float8_e5m2]"]


def test_columns_arrive_as_columns(student):
    x = numbers(2, 3)

    got = student.strides(x, [np.asfortranarray(x), x.T, tensor(np.asfortranarray(x), "bfloat16")])

    assert got == [[3, 1], [1, 2], [1, 3], [1, 2]]


def test_nobody_writes_into_a_check_s_array(student, record):
    x = np.ones(3, np.float32)

    _, (after,) = student.with_inputs_after("in_place", x)

    assert after.array.tolist() == [3.0] * 3
    assert x.tolist() == [1.0] * 3 and record.asked[0].call.args[0].array.tolist() == [1.0] * 3


def test_what_is_drawn_is_drawn_the_same_every_time(student):
    layer, x = student.Noisy(), np.ones(3, np.float32)

    first, answer = student.noise(), layer(x)
    student.reseeds()

    assert student.noise().array.tolist() == first.array.tolist() == student.noise().array.tolist()
    assert layer(x).array.tolist() == answer.array.tolist()
    assert weights_of(layer)["weight"].array.tolist() == weights_of(student.Noisy())["weight"].array.tolist()
    assert student.reseeds().array.tolist() != first.array.tolist()


def test_training_and_evaluation_are_methods_like_any_other(student):
    layer, x = student.Noisy(), np.ones(64, np.float32)[:3]
    weight = weights_of(layer)["weight"].array

    layer.eval()
    still = layer(x).array
    layer.train()
    dropped = [gradients_of(layer, x, x)[0][0].array.tolist() for _ in range(2)]

    assert still.tolist() == weight.tolist()
    assert dropped[0] == dropped[1] != still.tolist()


# ---------------------------------------------------------------- state


def test_a_state_dict_goes_out_and_in_again(student):
    layer, other = student.Split(3), student.Split(3)
    set_weights(layer, WEIGHTS)
    layer(numbers(1, 3))

    state = layer.state_dict()
    other.load_state_dict(state)

    assert set(state) == {*WEIGHTS, "seen"} and state["seen"].array == 1.0
    assert other.get("seen").array == 1.0
    for name, weight in weights_of(other).items():
        assert weight.array.tolist() == WEIGHTS[name].tolist()


def test_a_state_dict_that_does_not_fit_is_refused(student):
    raised = failure(student.Split(3).load_state_dict, {"scale": np.ones((), np.float32)})

    assert raised.is_a("RuntimeError") and "Missing key" in raised.message


def test_weights_are_saved_and_loaded_through_a_file_s_bytes(student):
    layer, x = student.Fused(3), numbers(2, 3, seed=4)
    set_weights(layer, OF_FUSED)

    data = through(student, HELPERS, "saved", layer)
    again = through(student, HELPERS, "loaded", student.Fused(3), data)

    assert type(data) is bytes and len(data) > 500
    assert again(x).array.tolist() == layer(x).array.tolist()


# ---------------------------------------------------------------- helpers of a check's own

HELPERS = """
import io

import torch


def itself(x):
    return x


def kinds_within(value):
    return [type(value[0]).__name__, type(value[1]["k"][0]).__name__]


def gradients_left(layer):
    return [weight.grad for weight in layer.parameters()]


def saved(layer):
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    return file.getvalue()


def loaded(layer, data):
    layer.load_state_dict(torch.load(io.BytesIO(data), weights_only=True))
    return layer


class Shifted(torch.nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = torch.nn.Parameter(by.clone())

    def forward(self, x):
        return submission.scaled(x, self.by)


def shifted(by):
    return Shifted(by)


def answer(layer, *, x):
    return {"of the layer": layer(x), "of the submission": submission.constant(x)}


def names():
    return sorted(name for name in vars(submission) if not name.startswith("__"))


def fails():
    raise LookupError("not here")
"""


def test_a_helper_sees_the_submission_and_its_objects(student):
    layer, x = student.Split(3), numbers(2, 3, seed=7)
    set_weights(layer, WEIGHTS)

    got = through(student, HELPERS, "answer", layer, x=x)

    np.testing.assert_allclose(got["of the layer"].array, answer_of(WEIGHTS, x), rtol=1e-5)
    assert got["of the submission"].array.tolist() == [1.0, 1.0]
    assert {"Split", "noise", "torch"} <= set(through(student, HELPERS, "names"))


def test_a_helper_s_own_module_is_a_module_like_any_other(student):
    made = through(student, HELPERS, "shifted", np.float32([1, 2]))

    assert made.type_name == "Shifted" and weights_of(made)["by"].array.tolist() == [1.0, 2.0]
    (by_x,), weights = gradients_of(made, np.ones(2, np.float32), np.float32([5, 7]))
    assert by_x.array.tolist() == [3.0, 6.0] and weights["by"].array.tolist() == [15.0, 21.0]


def test_a_helper_s_names_are_not_the_submission_s(student):
    through(student, HELPERS, "names")

    assert failure(getattr(student, "saved")).is_a("AttributeError")  # noqa: B009
    assert failure(through, student, HELPERS, "missing").is_a("KeyError")
    assert failure(through, student, HELPERS, "fails").message == "'not here'".strip("'")
    for _ in range(2):
        assert failure(through, student, "1 / 0", "f").is_a("ZeroDivisionError")


# ---------------------------------------------------------------- the same on both sides


def scenario(student):
    """Every kind of request, with objects that stay behind."""
    x, cotangent = numbers(2, 3, seed=1), numbers(2, 2, seed=2)
    layer, fused = student.Split(3), student.Fused(3)
    set_weights(layer, WEIGHTS)
    set_weights(fused, OF_FUSED)
    cast(fused, "bfloat16")
    for made in (layer, fused):
        weights_of(made), parameter_count(made), made.state_dict()
    layer(x), fused(tensor(x, "bfloat16"))
    gradients_of(layer, cotangent, x)
    gradients_of(student.scaled, numbers(2, 3), x, x)
    through(
        student,
        HELPERS,
        "answer",
        through(student, HELPERS, "loaded", layer, through(student, HELPERS, "saved", layer)),
        x=x,
    )
    student.noise(), student.Noisy()(x[0]), student.own()


def form(value):
    """Numbers, types and dtypes of an outcome, to be compared."""
    if isinstance(value, Tensor):
        return ["tensor", value.dtype, value.raw.tolist()]
    if isinstance(value, dict):
        return {key: form(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(form, value)]
    return repr(value)


def forms(record):
    return [(asked.call.kind, asked.call.name, form(asked.outcome.value)) for asked in record.asked]


def test_a_worker_a_replay_and_a_spawned_worker_answer_alike(torch_server):
    records = {}
    with in_worker(torch_server) as worker, Server(TORCH_PACKAGES, fork=False) as other, in_worker(other) as spawned:
        for name, subject in {"worker": worker, "here": in_process(), "spawned": spawned}.items():
            records[name] = Record({})
            scenario(Student(subject, records[name], "torch"))
    replayed = replay(in_process(), [asked.call for asked in records["worker"].asked])

    assert forms(records["worker"]) == forms(records["here"]) == forms(records["spawned"])
    answers = [form(replayed(at).value) for at in range(len(records["worker"].asked))]
    assert answers == [answer for _, _, answer in forms(records["worker"])]
    assert sum("tensor" in str(answer) for answer in answers) > 8
    assert [asked.outcome.value.number for asked in records["here"].asked if type(asked.outcome.value) is Handle] == [
        1,
        2,
        3,
        4,
    ]


# ---------------------------------------------------------------- the reference


def test_the_reference_computes_in_float64_and_demands_what_the_solution_returns(reference, record):
    layer, x = reference.Split(3), numbers(4, 3, seed=3)
    set_weights(layer, WEIGHTS)

    got = layer(x)

    assert got.dtype == "float64" and record.dtypes_of(got) == "float32"
    exact = answer_of({name: value.astype("float64") for name, value in WEIGHTS.items()}, x.astype("float64"))
    np.testing.assert_allclose(got.array, exact, rtol=1e-14)


def test_to_cast_the_reference_changes_the_dtype_demanded_and_no_number(reference, record):
    layer, x = reference.Split(3), tensor(numbers(4, 3, seed=3), "bfloat16")
    set_weights(layer, {name: value + np.float32(1 / 512) for name, value in WEIGHTS.items()})
    before = layer(x.array)

    cast(layer, "bfloat16")
    after = layer(x)

    assert after.array.tolist() == before.array.tolist()
    assert (record.dtypes_of(before), record.dtypes_of(after)) == ("float32", "bfloat16")


def test_the_reference_s_gradients_are_exact(reference, record):
    layer, x, cotangent = reference.Split(3), numbers(4, 3, seed=3), numbers(4, 2, seed=4)
    set_weights(layer, WEIGHTS)

    answer = gradients_of(layer, cotangent, x)

    wide = {name: value.astype("float64") for name, value in WEIGHTS.items()}
    by_scale = (cotangent * answer_of(wide | {"scale": 1.0}, x.astype("float64"))).sum()
    np.testing.assert_allclose(answer[1]["scale"].array, by_scale, rtol=1e-14)
    assert record.dtypes_of(answer) == [["float32"], dict.fromkeys(WEIGHTS, "float32")]
    assert record.dtypes_of([answer[0][0], answer[1]["scale"]]) == ["float32", "float32"]


def test_what_the_solution_makes_itself_is_exact_only_while_it_runs(reference):
    assert reference.constant(1.0).dtype == "float64"
    with pytest.raises(RuntimeError, match="LookupError"):
        through(reference, HELPERS, "fails")

    assert torch.get_default_dtype() == torch.float32
    assert torch.ones(1).dtype == torch.float32


def test_an_object_of_the_one_side_is_none_of_the_other(student, reference):
    with pytest.raises(TypeError, match="given to the reference"):
        through(reference, HELPERS, "itself", student.Split(3))
    with pytest.raises(TypeError, match="given to the reference"):
        through(student, HELPERS, "itself", reference.Split(3))


def test_one_thread_computes_everything(student):
    assert through(student, "import torch\ndef threads():\n    return torch.get_num_threads()", "threads") == 1


def test_one_thread_computes_everything_from_the_first_use_on():
    program = "import torch; torch.set_num_threads(2); from grader.system import modules; modules.begin(); "
    modules._torch.cache_clear()

    exec(program)

    assert torch.get_num_threads() == 1


# ---------------------------------------------------------------- what is put off until it is first used

AN_OPTIMISER = """
import sys
from grader.system import modules

modules.begin()
import torch

class Descent(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {"lr": 0.5})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad

weight = torch.nn.Parameter(torch.ones(2))
optimizer = Descent([weight])
optimizer.zero_grad()
(weight**2).sum().backward()
optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
print(weight.tolist(), "torch._dynamo" in sys.modules)
"""


def test_an_optimiser_of_one_s_own_does_not_load_the_compiler():
    """It takes two seconds, which every child of the worker server would spend."""
    run = subprocess.run(
        [sys.executable, "-c", AN_OPTIMISER], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )

    assert run.stdout.split("\n")[0] == "[0.0, 0.0] False"
