"""The solution of `block` against oracles that share no code with it: PyTorch's own, differences, numbers from hand."""

from __future__ import annotations

import math
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from lab import launch

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

ROOT = Path(__file__).resolve().parents[2]
FILE = next((ROOT / "solutions").glob("ex*_block")) / "block.py"
BLANKED = [
    "layer_norm",
    "rms_norm",
    "gelu",
    "swiglu",
    "FeedForward.__init__",
    "FeedForward.forward",
    "Block.__init__",
    "Block.forward",
]


block = launch.load(FILE, "block_solution")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(7)


def normal(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype)


def close(got, expected, tolerance=1e-12):
    assert got.dtype == expected.dtype
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)


# ---------------------------------------------------------------------------------------------- by hand


def test_the_numbers_in_the_task_text():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    ones, zeros = torch.ones_like(x), torch.zeros_like(x)

    close(block.layer_norm(x, ones, zeros), x.new_tensor([-1.3416, -0.4472, 0.4472, 1.3416]), 5e-5)
    close(block.rms_norm(x, ones), x.new_tensor([0.3651, 0.7303, 1.0954, 1.4606]), 5e-5)
    one = x.new_tensor([1.0, -1.0])
    close(block.gelu(one), x.new_tensor([0.8413, -0.1587]), 5e-5)
    close(block.gelu(one, approximate="tanh"), x.new_tensor([0.8412, -0.1588]), 5e-5)
    close(block.gated(), torch.tensor([2.1932, -2.1932]), 5e-5)
    close(block.fed_forward().detach(), torch.tensor([0.6824]), 5e-5)
    for norm, expected in [("pre", x.float()), ("post", block.normalised())]:
        close(block.silenced(norm).detach(), expected, 1e-5)
    assert block.numbers_in_a_block().item() == 7_087_872


def test_golden_values():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    one = x[:1]

    close(
        block.layer_norm(x, torch.ones_like(x), torch.zeros_like(x))[2:], x.new_tensor([0.44721181, 1.34163542]), 5e-9
    )
    expected = x.new_tensor([0.36514835, 0.73029669, 1.09544504, 1.46059339])
    close(block.rms_norm(x, torch.ones_like(x)), expected, 5e-9)
    close(block.gelu(one), x.new_tensor([0.8413447461]), 5e-11)
    close(block.gelu(one, approximate="tanh"), x.new_tensor([0.8411919906]), 5e-11)
    eye = torch.eye(1, dtype=torch.float64)
    close(block.swiglu(one, eye, eye, eye), x.new_tensor([0.7310585786]), 5e-11)


# ---------------------------------------------------------------------------------------------- PyTorch: functions

SHAPES = [(5,), (4, 6), (2, 3, 7), (2, 1, 3, 1), (0, 4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e3])
@pytest.mark.parametrize("eps", [1e-5, 0.5, 1e-12])
def test_norms_agree_with_pytorch(shape, spread, eps):
    x, weight, bias = spread * normal(*shape), normal(shape[-1]), normal(shape[-1])

    close(block.layer_norm(x, weight, bias, eps), F.layer_norm(x, shape[-1:], weight, bias, eps), 1e-11)
    close(block.rms_norm(x, weight, eps), F.rms_norm(x, shape[-1:], weight, eps), 1e-11)


def test_default_eps():
    x, ones, zeros = 1e-3 * normal(3, 8), torch.ones(8, dtype=torch.float64), torch.zeros(8, dtype=torch.float64)

    close(block.layer_norm(x, ones, zeros), F.layer_norm(x, (8,)))
    close(block.rms_norm(x, ones), F.rms_norm(x, (8,), eps=1e-6))


def test_norms_of_vectors_without_spread():
    weight, bias = normal(6), normal(6)

    close(block.layer_norm(torch.full((2, 6), 0.5, dtype=torch.float64), weight, bias), bias.expand(2, 6))
    close(block.rms_norm(torch.zeros(2, 6, dtype=torch.float64), weight), torch.zeros(2, 6, dtype=torch.float64))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_agrees_with_pytorch(approximate):
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64).reshape(1, 4001)

    close(block.gelu(x, approximate=approximate), F.gelu(x, approximate=approximate))
    close(block.gelu(x[0, 7], approximate), F.gelu(x[0, 7], approximate=approximate))


def test_the_two_forms_of_gelu_differ_as_the_docstring_says():
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)

    assert (block.gelu(x) - block.gelu(x, approximate="tanh")).abs().max().item() == pytest.approx(4.73e-4, rel=1e-3)


@pytest.mark.parametrize("approximate", ["exact", "Tanh", "", None, True])
def test_gelu_refuses_other_forms(approximate):
    with pytest.raises(ValueError, match="'none' or 'tanh'"):
        block.gelu(torch.ones(2), approximate=approximate)


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)], ids=str)
def test_swiglu_agrees_with_linear_layers(leading):
    gate, up, down = (nn.Linear(*sizes, bias=False, dtype=torch.float64) for sizes in [(5, 7), (5, 7), (7, 4)])
    x = normal(*leading, 5)

    got = block.swiglu(x, gate.weight, up.weight, down.weight)

    close(got, down(gate(x) * torch.sigmoid(gate(x)) * up(x)))


FUNCTIONS = {
    "layer_norm": (block.layer_norm, [(3, 5), (5,), (5,)]),
    "rms_norm": (block.rms_norm, [(3, 5), (5,)]),
    "gelu": (block.gelu, [(3, 5)]),
    "gelu, tanh": (lambda x: block.gelu(x, approximate="tanh"), [(3, 5)]),
    "swiglu": (block.swiglu, [(3, 4), (5, 4), (5, 4), (2, 5)]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_agree_with_differences(name):
    function, shapes = FUNCTIONS[name]

    assert torch.autograd.gradcheck(function, [normal(*shape).requires_grad_() for shape in shapes])


# ---------------------------------------------------------------------------------------------- precision

HALVES = [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)]
NAMES = ["layer_norm", "rms_norm", "gelu", "gelu, tanh"]


@pytest.mark.parametrize("dtype, rounding", HALVES, ids=str)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offset, spread", [(0, 1), (100, 1), (0, 1e-3), (0, 300), (-3, 0.01)])
def test_halves_are_computed_in_float32(name, dtype, rounding, offset, spread):
    function, shapes = FUNCTIONS[name]
    x, *weights = ((offset + spread * normal(*shapes[0])).to(dtype), *(normal(*shape) for shape in shapes[1:]))

    for of_weights in (dtype, torch.float32):
        kept = x.clone()
        rounded = [weight.to(of_weights) for weight in weights]
        got = function(x, *rounded)
        exact = function(x.double(), *(weight.double() for weight in rounded))
        assert got.dtype == dtype
        assert torch.equal(x, kept)
        torch.testing.assert_close(got.double(), exact, rtol=rounding, atol=1e-6 * exact.abs().max().item() + 1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_other_dtypes_stay(name, dtype):
    function, shapes = FUNCTIONS[name]

    assert function(*(normal(*shape, dtype=dtype) for shape in shapes)).dtype == dtype


@pytest.mark.parametrize("of_x", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("of_weights", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_norms_have_the_dtype_of_x_and_hand_gradients_to_weights_of_any(name, of_x, of_weights):
    function, shapes = FUNCTIONS[name]
    given = [normal(*shape).to(of_weights if number else of_x) for number, shape in enumerate(shapes)]
    exact = [one.double().requires_grad_() for one in given]
    given = [one.requires_grad_() for one in given]

    got = function(*given)
    got.sum().backward()
    function(*exact).sum().backward()

    assert got.dtype == of_x
    for mine, theirs in zip(given, exact, strict=True):
        assert mine.grad.dtype == mine.dtype
        torch.testing.assert_close(mine.grad.double(), theirs.grad, rtol=0, atol=0.02 * theirs.grad.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_wherever_answers_are(dtype):
    equal, zeros = torch.full((2, 6), 0.75, dtype=dtype), torch.zeros(2, 6, dtype=dtype)
    large = torch.tensor([-60000.0, -200.0, 200.0, 60000.0], dtype=dtype)
    ones = torch.ones(6, dtype=dtype)
    eye = torch.eye(4, dtype=dtype)
    cases = [
        (lambda x: block.layer_norm(x, ones, ones), equal),
        (lambda x: block.rms_norm(x, ones), zeros),
        (block.gelu, large),
        (lambda x: block.gelu(x, "tanh"), large),
        (lambda x: block.swiglu(x / 60, eye, eye, eye), large),
    ]

    for function, x in cases:
        x = x.clone().requires_grad_()
        answer = function(x)
        answer.sum().backward()
        assert answer.isfinite().all() and x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_layer_norm_is_rounded_once_after_the_bias(dtype):
    x, weight = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=dtype), torch.full((4,), 1.0003)
    bias = torch.tensor([1.3405, 0.447, -0.447, -1.3405])

    got = block.layer_norm(x, weight, bias)

    expected = F.layer_norm(x.double(), (4,), weight.double(), bias.double())
    torch.testing.assert_close(got.double(), expected, rtol=5e-3, atol=1e-6)


def test_weights_start_as_linear_layers_start():
    torch.manual_seed(3)
    made = block.Block(16, 2)
    torch.manual_seed(3)
    sizes = [(16, 16)] * 4 + [(16, 64), (64, 16)]
    layers = [nn.Linear(*size) for size in sizes]

    mine = [*(getattr(made.attention, f"{name}_proj") for name in ("q", "k", "v", "out"))]
    mine += [made.feed_forward.up, made.feed_forward.down]
    for ours, theirs in zip(mine, layers, strict=True):
        close(ours.weight, theirs.weight, 0)
        close(ours.bias, theirs.bias, 0)


def test_a_mean_far_above_the_spread_cancels_nothing():
    x = 1000 + torch.randint(-1024, 1025, (6, 64)) / 512

    got = block.layer_norm(x, torch.ones(64), torch.zeros(64))

    close(got.double(), F.layer_norm(x.double(), (64,)), 1e-4)


# ---------------------------------------------------------------------------------------------- PyTorch: modules


@pytest.mark.parametrize("d_ff", [None, 3, 20])
def test_feed_forward_agrees_with_pytorch(d_ff):
    layer = block.FeedForward(5, d_ff).double()
    x = normal(2, 3, 5)

    expected = nn.Sequential(nn.Linear(5, d_ff or 20), nn.GELU(approximate="tanh"), nn.Linear(d_ff or 20, 5)).double()
    expected.load_state_dict(dict(zip(expected.state_dict(), layer.state_dict().values(), strict=True)))
    assert list(layer.state_dict()) == ["up.weight", "up.bias", "down.weight", "down.bias"]
    close(layer(x), expected(x))


def torchs_own(d_model, n_heads, norm, weights):
    """PyTorch's encoder layer with the weights of one of our blocks."""
    theirs = nn.TransformerEncoderLayer(
        d_model,
        n_heads,
        4 * d_model,
        dropout=0.0,
        activation=lambda x: F.gelu(x, approximate="tanh"),
        batch_first=True,
        norm_first=norm == "pre",
        dtype=torch.float64,
    )
    packed = [torch.cat([weights[f"attention.{name}_proj.{part}"] for name in "qkv"]) for part in ("weight", "bias")]
    state = {"self_attn.in_proj_weight": packed[0], "self_attn.in_proj_bias": packed[1]}
    pairs = [
        ("self_attn.out_proj", "attention.out_proj"),
        ("linear1", "feed_forward.up"),
        ("linear2", "feed_forward.down"),
        ("norm1", "attention_norm"),
        ("norm2", "feed_forward_norm"),
    ]
    for their_name, our_name in pairs:
        for part in ("weight", "bias"):
            state[f"{their_name}.{part}"] = weights[f"{our_name}.{part}"]
    theirs.load_state_dict(state)
    return theirs


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("n_heads", [1, 2, 4])
@pytest.mark.parametrize("causal", [False, True])
def test_the_block_agrees_with_pytorchs_encoder_layer(norm, n_heads, causal):
    ours = block.Block(8, n_heads, norm=norm).double()
    for weight in ours.parameters():
        nn.init.normal_(weight, std=0.4)
    theirs = torchs_own(8, n_heads, norm, ours.state_dict())
    x, cotangent = normal(2, 5, 8), normal(2, 5, 8)

    mine, yours = x.clone().requires_grad_(), x.clone().requires_grad_()
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64) if causal else None
    got, expected = ours(mine, causal=causal), theirs(yours, src_mask=mask, is_causal=causal)
    got.backward(cotangent)
    expected.backward(cotangent)

    close(got, expected)
    close(mine.grad, yours.grad)
    for name, other in [("feed_forward_norm", "norm2"), ("attention_norm", "norm1"), ("feed_forward.up", "linear1")]:
        close(ours.get_submodule(name).weight.grad, theirs.get_submodule(other).weight.grad)


def test_the_block_is_causal_and_pre_norm_unless_told_otherwise():
    torch.manual_seed(0)
    plain = block.Block(8, 2)
    same = block.Block(8, 2, norm="pre")
    same.load_state_dict(plain.state_dict())
    x = normal(1, 4, 8, dtype=torch.float32)

    close(plain(x), same(x, causal=True), 0)


def test_a_block_of_gpt2_has_gpt2s_parts():
    made = block.Block(768, 12)

    names = [
        *(f"attention_norm.{part}" for part in ("weight", "bias")),
        *(f"attention.{name}_proj.{part}" for name in ("q", "k", "v", "out") for part in ("weight", "bias")),
        *(f"feed_forward_norm.{part}" for part in ("weight", "bias")),
        *(f"feed_forward.{name}.{part}" for name in ("up", "down") for part in ("weight", "bias")),
    ]
    assert list(made.state_dict()) == names
    assert sum(weight.numel() for weight in made.parameters()) == 7_087_872


@pytest.mark.parametrize("norm", ["Pre", "none", "", None, True])
def test_other_norms_are_refused(norm):
    with pytest.raises(ValueError, match="'pre' or 'post'"):
        block.Block(8, 2, norm=norm)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="3 heads"):
        block.Block(8, 3)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_block_in_bfloat16_answers_in_bfloat16(norm):
    made = block.Block(8, 2, norm=norm)
    x = normal(2, 5, 8, dtype=torch.float32).bfloat16()

    exact = made.double()(x.double())
    got = made.bfloat16()(x)

    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.double(), exact, rtol=0, atol=0.02 * exact.abs().max().item())


# ---------------------------------------------------------------------------------------------- shapes, the file itself


@pytest.fixture
def checked(monkeypatch):
    """The solution with every signature enforced, between its own functions too."""
    beartype = pytest.importorskip("beartype").beartype
    jaxtyped = pytest.importorskip("jaxtyping").jaxtyped
    monkeypatch.setattr(typing, "TYPE_CHECKING", True)
    module = launch.load(FILE, "block_solution_with_shapes")
    enforce = jaxtyped(typechecker=beartype)
    for name in ["widen", "layer_norm", "rms_norm", "gelu", "swiglu"]:
        setattr(module, name, enforce(getattr(module, name)))
    for one in (module.FeedForward, module.LayerNorm, module.MultiHeadAttention, module.Block):
        for name in ("__init__", "forward", "_split"):
            if name in vars(one):
                setattr(one, name, enforce(vars(one)[name]))
    return module


def test_signatures_tell_the_truth(checked):
    for name, (_, shapes) in FUNCTIONS.items():
        got = getattr(checked, name.split(",")[0])(*(normal(*shape) for shape in shapes))
        assert got.shape == (*shapes[0][:-1], shapes[-1][0] if name == "swiglu" else shapes[0][-1])
    for norm in ("pre", "post"):
        assert checked.Block(8, 2, norm=norm)(torch.ones(2, 3, 8), causal=False).shape == (2, 3, 8)
    assert checked.FeedForward(5, d_ff=3)(torch.ones(5)).shape == (5,)


def test_the_signature_check_can_fail(checked):
    with pytest.raises(Exception, match="Type-check"):
        checked.rms_norm(torch.ones(4, 3), torch.ones(4))


PRINTED = """the vector of the worked example
1 2 3 4

layer_norm of 1, 2, 3, 4
-1.34164 -0.447212 0.447212 1.34164

rms_norm of 1, 2, 3, 4
0.365148 0.730297 1.09545 1.46059

gelu of -1, 0, 1
-0.158655 0 0.841345

gelu of -1, 0, 1, tanh form
-0.158808 0 0.841192

swiglu of 1, 2
2.19318 -2.19318

FeedForward: GELU(1) + GELU(-1), tanh form
0.682384

Block, pre-norm, with silent sublayers
1 2 3 4

Block, post-norm, with silent sublayers
-1.34163 -0.447211 0.447211 1.34163

numbers in one block of GPT-2 124M
7087872
"""


def test_the_file_runs_by_itself():
    run = subprocess.run([sys.executable, "-W", "error", str(FILE)], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == PRINTED.strip()


STEPS = ["layer_norm", "rms_norm", "gelu", "swiglu", "feed_forward", "feed_forward", "block", "block"]


@pytest.mark.parametrize("written", range(len(BLANKED)))
def test_the_file_says_what_comes_next(monkeypatch, capsys, written):
    def not_yet(*args, **kwargs):
        raise NotImplementedError

    for name in BLANKED[written:]:
        owner, _, function = name.rpartition(".")
        monkeypatch.setattr(getattr(block, owner) if owner else block, function, not_yet)

    block.main()

    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"next: step {STEPS[written]} of the task; then run this again"


def test_spread_is_what_the_block_keeps():
    """Xiong et al.: at the start the stream of a pre-norm stack grows about as √depth, that of a post-norm one stays."""
    x = normal(4, 16, 64, dtype=torch.float32)

    spread = {}
    for norm in ("pre", "post"):
        stream = x
        for _ in range(24):
            layer = block.Block(64, 4, norm=norm)
            for weight in layer.parameters():
                if weight.dim() == 2:
                    nn.init.xavier_normal_(weight)
            stream = layer(stream)
        spread[norm] = stream.std().item()

    assert spread["post"] == pytest.approx(1, rel=0.01)
    assert math.sqrt(24) / 3 < spread["pre"] < math.sqrt(24) * 3
