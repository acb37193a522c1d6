"""What an exercise refuses is refused when it is called, however it is reached, and nothing else is."""

from __future__ import annotations

import re

import numpy as np
import pytest

from grader.logic.wire import frame
from grader.model.types import Call, Cell, Limits, Raised, Submission, Value
from grader.system.launch import PACKAGES

torch = pytest.importorskip("torch")

SOURCE = '''
import functools
import sys

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.functional import multi_head_attention_forward as taken_before
from torch.nn.functional import scaled_dot_product_attention as attend

NAME = "scaled_dot_product" + "_attention"
MENTIONED = [F.scaled_dot_product_attention, torch.ops.aten.scaled_dot_product_attention, nn.MultiheadAttention]


def q(requires_grad=False, dtype=torch.float32):
    x = torch.linspace(-1, 1, 24, dtype=torch.float32).reshape(1, 2, 3, 4).to(dtype)
    return x.requires_grad_() if requires_grad else x


def own(x):
    """Attention in plain operations, scaled."""
    return torch.softmax(x @ x.mT / 2, -1) @ x


def scaled_dot_product_attention(x):
    """A function of the learner's own with that name."""
    return own(x)


class Own(nn.MultiheadAttention):
    """A subclass that does the work itself."""

    def forward(self, x):
        return own(x)


def heads(**how):
    torch.manual_seed(0)
    return nn.MultiheadAttention(4, 2, batch_first=True, **how)


def encoder():
    return nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)


def row():
    return q()[0]


# ------------------------------------------------------------ routes to attention

def by_name():
    return F.scaled_dot_product_attention(q(), q(), q())

def by_another_name():
    return attend(q(), q(), q())

def by_string():
    return getattr(F, NAME)(q(), q(), q())

def by_string_of_a_module():
    return getattr(sys.modules["torch.nn.functional"], NAME)(q(), q(), q())

def by_the_dictionary():
    return F.__dict__[NAME](q(), q(), q(), is_causal=True)

def by_a_list():
    return MENTIONED[0](q(), q(), q())

def by_partial():
    return functools.partial(attend, q(), q())(q())

def by_ops():
    return torch.ops.aten.scaled_dot_product_attention(q(), q(), q())

def by_the_overload():
    return torch.ops.aten.scaled_dot_product_attention.default(q(), q(), q())

def by_the_c_module():
    return torch._C._nn.scaled_dot_product_attention(q(), q(), q())

def by_the_kernel_below():
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q(), q(), q())[0]

def by_the_kernel_in_plain_operations():
    return torch._scaled_dot_product_attention_math(q(), q(), q())[0]

def in_autograd():
    return F.scaled_dot_product_attention(q(True), q(True), q(True))

def in_no_grad():
    with torch.no_grad():
        return F.scaled_dot_product_attention(q(True), q(True), q(True))

def in_inference_mode():
    with torch.inference_mode():
        return F.scaled_dot_product_attention(q(), q(), q())

def in_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return F.scaled_dot_product_attention(q(), q(), q())

def in_bfloat16():
    return attend(q(dtype=torch.bfloat16), q(dtype=torch.bfloat16), q(dtype=torch.bfloat16))

def in_vmap():
    return torch.func.vmap(lambda x: attend(x, x, x))(q()[0][None])

def in_a_gradient():
    return torch.func.grad(lambda x: attend(x, x, x).sum())(q())

def in_a_traced_function():
    return torch.jit.trace(lambda x: attend(x, x, x), (q(),), check_trace=False)(q())

def in_vmap_of_vmap():
    return torch.func.vmap(torch.func.vmap(lambda x: attend(x, x, x)))(q()[0][None])

def in_a_jacobian():
    return torch.func.jacrev(lambda x: attend(x, x, x))(q())

def in_nested_tensors():
    rows = torch.nested.nested_tensor([q()[0], q()[0, :, :2]])
    return attend(rows, rows, rows).to_padded_tensor(0.0)

def heads_with_weights():
    return heads()(row(), row(), row())[0]

def heads_without_weights():
    return heads()(row(), row(), row(), need_weights=False)[0]

def heads_in_evaluation():
    with torch.no_grad():
        return heads().eval()(row(), row(), row())[0]

def heads_with_other_widths():
    return heads(kdim=4, vdim=4)(row(), row(), row())[0]

def heads_in_sequence():
    return nn.ModuleList([heads()])[0](row(), row(), row())[0]

def layer_in_training():
    return encoder()(row())

def layer_in_evaluation():
    with torch.no_grad():
        return encoder().eval()(row())

def whole_transformer():
    return nn.Transformer(4, 2, 1, 1, 8, batch_first=True)(row(), row())

def unwrapped():
    import inspect
    layer = heads()
    return inspect.unwrap(F.multi_head_attention_forward)(
        row(), row(), row(), 4, 2, layer.in_proj_weight, layer.in_proj_bias, None, None, False, 0.0,
        layer.out_proj.weight, layer.out_proj.bias,
    )[0]

def taken_at_the_top():
    layer = heads()
    return taken_before(
        row(), row(), row(), 4, 2, layer.in_proj_weight, layer.in_proj_bias, None, None, False, 0.0,
        layer.out_proj.weight, layer.out_proj.bias,
    )[0]


# ------------------------------------------------------------ what may be done

def own_code():
    return own(q())

def own_code_in_vmap():
    return torch.func.vmap(own)(q()[0][None])

def own_name():
    return scaled_dot_product_attention(q())

def subclass():
    return Own(4, 2)(q())

def constructs():
    made = [heads(), encoder(), nn.Transformer(4, 2, 1, 1, 8)]
    return [type(layer).__name__ for layer in made]

def weights_of_theirs():
    layer = heads()
    return (row() @ layer.in_proj_weight.T + layer.in_proj_bias).sum()

def mentions():
    return [callable(thing) for thing in MENTIONED] + [F.scaled_dot_product_attention.__name__]

def other_kernels():
    x = q(True)
    y = F.layer_norm(F.gelu(F.softmax(x, -1)), (4,))
    return torch.autograd.grad(y.square().sum(), x)[0]

def swallows():
    try:
        return attend(q(), q(), q())
    except Exception:
        return own(q())

def swallows_and_tries_again():
    for way in (attend, F.scaled_dot_product_attention, torch.ops.aten.scaled_dot_product_attention):
        try:
            way(q(), q(), q())
        except RuntimeError:
            continue
        return "got through"
    return own(q())

def gelu():
    return F.gelu(q())

def gelu_layer():
    return nn.GELU()(q())

def gelu_in_another_layout():
    return F.gelu(q().to_mkldnn()).to_dense()

def norm():
    return nn.LayerNorm(4)(q())

def recurrent():
    return nn.GRU(4, 2)(row())[0]

def imports_it():
    from torch.nn.functional import multi_head_attention_forward as again
    return callable(again)
'''
ROUTES = re.findall(r"^def (\w+)", SOURCE.split("# ----")[1], re.MULTILINE)
ALLOWED = [
    "own_code", "own_code_in_vmap", "own_name", "subclass", "constructs", "weights_of_theirs", "mentions", "other_kernels", "gelu",
    "imports_it",
]  # fmt: skip
SWALLOWING = ["swallows", "swallows_and_tries_again"]
ATTENTION = (
    "torch.nn.functional.multi_head_attention_forward",
    "aten::*attention*",
    "aten::_transformer_encoder_layer_fwd*",
)
LIMITS = Limits(memory_mb=4096)


def opened(server, refused, source=SOURCE, packages=()):
    worker = server.open(LIMITS, packages)
    allowed = ("torch", "numpy", "functools", "inspect", "sys")
    loaded = worker.load(Submission("m.py", (Cell(source),)), "m", allowed, "m.py", refused=refused)
    assert loaded.died is None and not loaded.failures, loaded
    return worker


def answers(server, refused, names):
    with opened(server, refused) as worker:
        return {name: worker.answer(Call(name)) for name in names}


@pytest.fixture(scope="module")
def free(torch_server):
    """What a submission answers where nothing is refused."""
    return answers(torch_server, (), [*ROUTES, *ALLOWED])


@pytest.fixture(scope="module")
def refusing(torch_server):
    """What the same submission answers in an exercise that refuses attention."""
    return answers(torch_server, ATTENTION, [*ROUTES, *ALLOWED, *SWALLOWING])


def same(one, other):
    """Whether two answers were given, and are equal."""
    if isinstance(one, Value) and isinstance(one.value, list):
        return one == other
    return isinstance(one, Value) and np.array_equal(np.asarray(one.value), np.asarray(other.value))


# ---------------------------------------------------------------- refused, and only that


def test_the_routes_are_found_in_the_source():
    assert len(ROUTES) >= 29 and len(set(ROUTES)) == len(ROUTES)
    assert {"by_name", "in_nested_tensors", "taken_at_the_top"} <= set(ROUTES) and "own_code" not in ROUTES


@pytest.mark.parametrize("name", ROUTES)
def test_every_route_to_what_is_refused_is_closed(refusing, free, name):
    raised = refusing[name]

    assert isinstance(free[name], Value), f"it is no route: {free[name]}"
    assert isinstance(raised, Raised) and raised.refused in ATTENTION, raised
    assert raised.message == f"{raised.refused} may not be called in this exercise"
    assert raised.is_a("RuntimeError") and not raised.is_unwritten
    assert raised.frames[0][2] == name


@pytest.mark.parametrize("name", ALLOWED)
def test_what_only_looks_like_it_is_allowed(refusing, free, name):
    assert same(refusing[name], free[name]), refusing[name]


@pytest.mark.parametrize("name", SWALLOWING)
def test_who_catches_the_refusal_has_to_do_the_work(refusing, name):
    assert same(refusing[name], refusing["own_code"])


def test_a_refusal_says_which_entry_it_was(refusing):
    assert refusing["by_name"].refused == "aten::*attention*"
    assert refusing["heads_with_weights"].refused == "torch.nn.functional.multi_head_attention_forward"


# ---------------------------------------------------------------- by exercise


def refused_in(server, refused, names):
    """What each of these functions was refused for; each either answers or is refused."""
    found = answers(server, refused, names)
    assert all(isinstance(answer, Value) or getattr(answer, "refused", "") for answer in found.values()), found
    return {name: getattr(answer, "refused", "") for name, answer in found.items()}


def test_the_next_submission_has_the_list_of_its_own_exercise(torch_server):
    names = ("by_name", "heads_with_weights", "gelu", "gelu_layer", "gelu_in_another_layout", "norm", "recurrent")
    lists = [
        ("aten::scaled_dot_product_attention",),
        ("aten::gelu*", "torch.nn.GRU.forward"),
        (),
        ("torch.nn.functional.layer_norm",),
        ("aten::*layer_norm*", "torch.nn.functional.multi_head_attention_forward"),
    ]

    found = [[name for name, entry in refused_in(torch_server, refused, names).items() if entry] for refused in lists]

    assert found == [
        ["by_name"],
        ["gelu", "gelu_layer", "gelu_in_another_layout", "recurrent"],
        [],
        ["norm"],
        ["heads_with_weights", "norm"],
    ]


def test_two_entries_that_fit_name_one_of_them(torch_server):
    entries = ("aten::*attention*", "aten::scaled_dot_product_attention")

    assert refused_in(torch_server, entries, ["by_name"])["by_name"] in entries


@pytest.mark.parametrize(
    "entry",
    ["torch.nn.functional.nowhere", "torch.nowhere.f", "nowhere.at.all.f", "aten::nowhere*", "nowhere.f", "aten::"],
)
def test_an_entry_that_there_is_not_refuses_nothing(torch_server, entry):
    found = refused_in(torch_server, (entry,), ["by_name", "gelu", "norm", "own_code"])

    assert set(found.values()) == {""}


def test_a_pattern_means_the_whole_name(torch_server):
    found = refused_in(torch_server, ("aten::gel", "aten::layer"), ["gelu", "norm"])

    assert set(found.values()) == {""}


def test_a_name_means_every_overload_of_the_kernel(torch_server):
    found = refused_in(torch_server, ("aten::softmax",), ["own_code", "gelu"])

    assert found == {"own_code": "aten::softmax", "gelu": ""}


def test_functions_of_numpy_are_refused_where_there_is_no_torch(torch_server):
    source = (
        "import sys\nimport numpy as np\nfrom numpy import einsum as e\n"
        "def f():\n    return e('i,i', [1.0], [2.0])\n"
        "def g():\n    return np.dot([1.0], [2.0])\n"
        "def torch_is_there():\n    return 'torch' in sys.modules\n"
    )

    with opened(torch_server, ("numpy.einsum", "aten::dot"), source, PACKAGES) as worker:
        f, g, there = (worker.answer(Call(name)) for name in ("f", "g", "torch_is_there"))

    assert f.refused == "numpy.einsum" and g == Value(2.0) and there == Value(False)


# ---------------------------------------------------------------- what a submission says of itself


def test_a_refusal_that_a_submission_makes_up_names_no_entry_but_the_exercise_s(torch_server):
    source = """
import os
def send(data):
    for number in range(63, 2, -1):
        try:
            return os.write(number, data)
        except OSError:
            pass
"""
    forged = {"type": "A", "bases": [], "message": "", "frames": [], "forbidden": "", "depth": 1}
    said = {}
    for entry in ("aten::gelu*", "0.125 0.5 0.75"):
        with torch_server.open(LIMITS) as worker:
            worker.load(Submission("m.py", (Cell(source),)), "m", ("os",), "m.py", refused=("aten::gelu*",))
            said[entry] = worker.answer(Call("send", (frame(("raised", forged | {"refused": entry})),)))

    assert [said[entry].refused for entry in said] == ["aten::gelu*", ""]
