"""The solution of `multihead` against oracles that share no code with it: PyTorch's module, differences, numbers from hand."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from lab import launch

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
FILE = next((ROOT / "solutions").glob("ex*_multihead")) / "multihead.py"


multihead = launch.load(FILE, "multihead_solution")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(7)


def normal(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=torch.float64).to(dtype)


def bottom_right(n_queries, n_keys):
    """The causal mask, pair by pair."""
    pairs = itertools.product(range(n_queries), range(n_keys))
    allowed = [n_keys - 1 - j >= n_queries - 1 - i for i, j in pairs]
    return torch.tensor(allowed, dtype=torch.bool).reshape(n_queries, n_keys)


def layer_and_torchs(d_model, n_heads, bias=True, dtype=torch.float64):
    """The solution's layer and nn.MultiheadAttention with the same weights."""
    ours = multihead.MultiHeadAttention(d_model, n_heads, bias=bias).to(dtype)
    theirs = torch.nn.MultiheadAttention(d_model, n_heads, bias=bias, batch_first=True).to(dtype)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(normal(*parameter.shape) * 0.5)
        packed = [ours.q_proj, ours.k_proj, ours.v_proj]
        theirs.in_proj_weight.copy_(torch.cat([projection.weight for projection in packed]))
        theirs.out_proj.weight.copy_(ours.out_proj.weight)
        if bias:
            theirs.in_proj_bias.copy_(torch.cat([projection.bias for projection in packed]))
            theirs.out_proj.bias.copy_(ours.out_proj.bias)
    return ours, theirs


# ---------------------------------------------------------------------------------------------- by hand


def test_two_heads_by_hand():
    x = torch.tensor([[[1.0, 0, 0, 0], [0, 1, 2, 0]]])
    w_out = torch.eye(4)
    w_out[0, 2] = 1.0
    layer = multihead.MultiHeadAttention(4, 2, bias=False)
    multihead.copy_weights(layer, torch.eye(4), torch.eye(4), torch.eye(4), w_out)

    loops = multihead.heads_in_loops(x, torch.eye(4), torch.eye(4), torch.eye(4), w_out, 2)

    third = 1 / (1 + math.exp(2 * math.sqrt(2)))
    expected = [[1.66976155, 0.33023845, 1, 0], [0.33023845 + 2 * (1 - third), 0.66976155, 2 * (1 - third), 0]]
    torch.testing.assert_close(loops, torch.tensor([expected]))
    torch.testing.assert_close(layer(x).detach(), torch.tensor([expected]))
    assert [round(number, 4) for number in expected[1]] == [2.2186, 0.6698, 1.8884, 0]


def test_the_split_of_the_task_text():
    numbers = torch.arange(12.0).reshape(1, 3, 4)

    split = multihead.split_heads(numbers, 2)

    assert split[0, 0].tolist() == [[0, 1], [4, 5], [8, 9]]
    assert split[0, 1].tolist() == [[2, 3], [6, 7], [10, 11]]
    assert numbers.view(1, 2, 3, 2)[0, 0].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert multihead.merge_heads(split).equal(numbers)


def test_the_layer_agrees_with_the_loops():
    x, weights = normal(2, 5, 12), [normal(12, 12) for _ in range(4)]
    layer = multihead.MultiHeadAttention(12, 3, bias=False).double()
    multihead.copy_weights(layer, *weights)

    got = layer(x)

    torch.testing.assert_close(got, multihead.heads_in_loops(x, *weights, 3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_heads", [1, 2, 3, 4, 6, 12])
def test_every_number_of_a_split_is_where_the_contract_says(n_heads):
    x = normal(2, 5, 12)
    d_head = 12 // n_heads

    split = multihead.split_heads(x, n_heads)

    assert split.shape == (2, n_heads, 5, d_head)
    for sample, head, position, column in itertools.product(range(2), range(n_heads), range(5), range(d_head)):
        assert split[sample, head, position, column] == x[sample, position, head * d_head + column]
    assert multihead.merge_heads(split).equal(x)


# ---------------------------------------------------------------------------------------------- PyTorch


def draw_mask(kind, batch, heads, n_queries, n_keys):
    """A mask that leaves every query at least the first key, which no causal mask hides from a query that sees any."""
    if kind == "none":
        return None
    if kind == "float":
        numbers = torch.where(torch.rand(n_queries, n_keys) < 0.8, normal(n_queries, n_keys), -math.inf)
        numbers[:, 0] = 0.5
        return numbers
    shape = {
        "boolean": (n_queries, n_keys),
        "keys only": (n_keys,),
        "padding": (batch, 1, 1, n_keys),
        "per head": (heads, 1, n_keys),
        "full": (batch, heads, n_queries, n_keys),
    }[kind]
    mask = torch.rand(shape) < 0.6
    mask[..., 0] = True
    return mask


def as_torchs(mask, causal, shape):
    """A mask as nn.MultiheadAttention takes it: (batch · heads, query, key), True = blocked, or added."""
    batch, heads, n_queries, n_keys = shape
    mask = torch.ones(n_queries, n_keys, dtype=torch.bool) if mask is None else mask
    seen = bottom_right(n_queries, n_keys) if causal else torch.ones(n_queries, n_keys, dtype=torch.bool)
    mask = mask & seen if mask.dtype == torch.bool else mask + torch.where(seen, 0.0, -math.inf)
    mask = mask.expand(shape).reshape(batch * heads, n_queries, n_keys)
    return ~mask if mask.dtype == torch.bool else mask


@pytest.mark.parametrize("kind", ["none", "boolean", "float", "keys only", "padding", "per head", "full"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n_keys", [None, 4, 7])
@pytest.mark.parametrize("d_model, n_heads, bias", [(12, 3, True), (8, 1, True), (6, 6, False), (20, 4, True)])
def test_agrees_with_pytorchs_module(d_model, n_heads, bias, n_keys, causal, kind):
    ours, theirs = layer_and_torchs(d_model, n_heads, bias)
    x = normal(2, 4, d_model).requires_grad_()
    memory = None if n_keys is None else normal(2, n_keys, d_model).requires_grad_()
    shape = (2, n_heads, 4, n_keys or 4)
    mask = draw_mask(kind, *shape)
    d_out = normal(2, 4, d_model)

    got = ours(x, memory, mask, causal)
    leaves = [x] if memory is None else [x, memory]
    gradients = torch.autograd.grad(got, [*leaves, *ours.parameters()], d_out)

    read = x if memory is None else memory
    expected, _ = theirs(x, read, read, attn_mask=as_torchs(mask, causal, shape))
    parameters = [theirs.in_proj_weight, theirs.in_proj_bias, theirs.out_proj.weight, theirs.out_proj.bias]
    parameters = [parameter for parameter in parameters if parameter is not None]
    torchs = torch.autograd.grad(expected, [*leaves, *parameters], d_out)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    for mine, his in zip(gradients[: len(leaves)], torchs, strict=False):
        torch.testing.assert_close(mine, his, rtol=0, atol=1e-11)
    by_name = dict(zip([name for name, _ in ours.named_parameters()], gradients[len(leaves) :], strict=True))
    for kind_of, position in (("weight", 0), ("bias", 1)) if bias else (("weight", 0),):
        stacked = torch.cat([by_name[f"{name}.{kind_of}"] for name in ("q_proj", "k_proj", "v_proj")])
        torch.testing.assert_close(stacked, torchs[len(leaves) + position], rtol=0, atol=1e-11)
    torch.testing.assert_close(by_name["out_proj.weight"], torchs[len(leaves) + (2 if bias else 1)], rtol=0, atol=1e-11)
    if bias:
        torch.testing.assert_close(by_name["out_proj.bias"], torchs[-1], rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
def test_agrees_with_pytorchs_module_in_other_precisions(dtype, tolerance):
    ours, theirs = layer_and_torchs(24, 3, dtype=dtype)
    x = normal(2, 5, 24, dtype=dtype)

    got = ours(x, causal=True)

    expected, _ = theirs(x, x, x, attn_mask=~bottom_right(5, 5))
    assert got.dtype == dtype
    scale = expected.detach().abs().max().item()
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance * scale)


SHAPES = {
    "same batch": [(2, 3, 4, 7), (2, 3, 6, 7), (2, 3, 6, 5)],
    "no batch": [(4, 7), (6, 7), (6, 5)],
    "keys shared by heads": [(2, 3, 4, 7), (2, 1, 6, 7), (2, 1, 6, 5)],
    "queries without batch": [(4, 7), (2, 3, 6, 7), (3, 6, 5)],
    "values with a batch of their own": [(4, 7), (6, 7), (2, 3, 6, 5)],
}


@pytest.mark.parametrize("kind", ["none", "boolean", "float"])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_attend_agrees_with_pytorchs_function(shapes, kind):
    q, k, v = (normal(*shape).requires_grad_() for shape in shapes)
    mask = draw_mask(kind, 2, 3, 4, 6)

    got = multihead.attend(q, k, v, mask)

    d_out = normal(*got.shape)
    widest = torch.broadcast_shapes(*[shape[:-2] for shape in shapes])
    wide = [x.expand(*widest, *x.shape[-2:]) for x in (q, k, v)]
    expected = torch.nn.functional.scaled_dot_product_attention(*wide, attn_mask=mask)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)
    mine, his = (torch.autograd.grad(output, [q, k, v], d_out) for output in (got, expected))
    for one, other in zip(mine, his, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


# ---------------------------------------------------------------------------------------------- differences


@pytest.mark.parametrize("n_keys", [None, 3, 6])
def test_gradients_agree_with_finite_differences(n_keys):
    layer = multihead.MultiHeadAttention(6, 2).double()
    x = normal(2, 5, 6).requires_grad_()
    memory = None if n_keys is None else normal(2, n_keys, 6).requires_grad_()
    mask = torch.where(torch.rand(2, 1, 1, n_keys or 5) < 0.3, -math.inf, normal(2, 1, 1, n_keys or 5))
    parameters = dict(layer.named_parameters())

    def output(x, memory, *weights):
        given = dict(zip(parameters, weights, strict=True))
        return torch.func.functional_call(layer, given, (x, memory, mask, True))

    assert torch.autograd.gradcheck(output, (x, memory, *parameters.values()), atol=1e-8)


def test_queries_with_nothing_to_read_pass_gradcheck():
    q, k, v = (normal(*shape).requires_grad_() for shape in [(3, 4, 2), (3, 5, 2), (3, 5, 3)])
    allowed = torch.rand(3, 4, 5) < 0.6
    allowed[0, 1] = allowed[2] = False
    added = torch.where(allowed, normal(3, 4, 5), -math.inf)

    for mask in (allowed, added):
        assert torch.autograd.gradcheck(lambda q, k, v, mask=mask: multihead.attend(q, k, v, mask), (q, k, v))
        output = multihead.attend(q, k, v, mask)
        d_q, d_k, d_v = torch.autograd.grad(output.sum(), [q, k, v])
        assert not output[0, 1].any() and not output[2].any()
        assert not d_q[0, 1].any() and not d_q[2].any() and not d_k[2].any() and not d_v[2].any()


# ---------------------------------------------------------------------------------------------- edges


@pytest.mark.parametrize("mask", [torch.zeros(2, 1, 1, 3, dtype=torch.bool), torch.full((5, 3), -math.inf)])
def test_who_may_listen_to_nobody_outputs_the_bias(mask):
    layer = multihead.MultiHeadAttention(6, 2)
    x, memory = normal(2, 5, 6).float().requires_grad_(), normal(2, 3, 6).float().requires_grad_()

    output = layer(x, memory, mask)

    torch.testing.assert_close(output, layer.out_proj.bias.expand(2, 5, 6))
    for gradient in torch.autograd.grad(output.sum(), [x, memory]):
        assert not gradient.any()
    bare = multihead.MultiHeadAttention(6, 2, bias=False)
    assert not bare(x, memory, mask).any()


@pytest.mark.parametrize("n_queries, n_keys", list(itertools.product([1, 2, 3, 5], repeat=2)))
def test_causal_is_bottom_right(n_queries, n_keys):
    layer = multihead.MultiHeadAttention(6, 2)
    x, memory = normal(2, n_queries, 6).float(), normal(2, n_keys, 6).float()

    got = layer(x, memory, causal=True)

    torch.testing.assert_close(got, layer(x, memory, bottom_right(n_queries, n_keys)))
    unseeing = max(n_queries - n_keys, 0)
    torch.testing.assert_close(got[:, :unseeing], layer.out_proj.bias.expand(2, unseeing, 6))


def test_scores_of_a_hundred_thousand_are_survived():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x = torch.tensor([[316.0], [-316.0]], dtype=dtype)
        assert multihead.attend(x, x, x).tolist() == x.tolist()


def test_half_precision_is_rounded_once_only():
    for dtype in (torch.float16, torch.bfloat16):
        q, k, v = (3 * normal(50, 16, dtype=dtype) for _ in range(3))

        got = multihead.attend(q, k, v)

        assert got.dtype == dtype
        assert got.equal(multihead.attend(q.float(), k.float(), v.float()).to(dtype))


@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("causal", [False, True])
def test_a_mask_does_not_change_the_dtype(dtype, mask_dtype, causal):
    layer = multihead.MultiHeadAttention(6, 2).to(dtype)
    mask = torch.ones(4, 4).to(mask_dtype)

    got = layer(normal(2, 4, 6, dtype=dtype), mask=mask, causal=causal)

    assert got.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.complex64])
@pytest.mark.parametrize("causal", [False, True])
def test_masks_of_other_dtypes_raise(dtype, causal):
    mask, x = torch.ones(4, 4).to(dtype), normal(2, 4, 6).float()

    with pytest.raises(TypeError, match="True = may attend"):
        multihead.attend(x, x, x, mask)
    with pytest.raises(TypeError):
        multihead.MultiHeadAttention(6, 2)(x, mask=mask, causal=causal)


@pytest.mark.parametrize("d_model, n_heads", [(10, 3), (3, 10), (7, 2)])
def test_widths_that_do_not_divide_raise(d_model, n_heads):
    with pytest.raises(ValueError, match="does not split"):
        multihead.MultiHeadAttention(d_model, n_heads)
    with pytest.raises(ValueError, match="does not split"):
        multihead.split_heads(torch.zeros(2, 4, d_model), n_heads)


@pytest.mark.parametrize("d_model, n_heads", [(12, 1), (12, 3), (12, 12), (20, 4)])
def test_parameters(d_model, n_heads):
    with_bias = multihead.MultiHeadAttention(d_model, n_heads)
    without = multihead.MultiHeadAttention(d_model, n_heads, bias=False)

    theirs = torch.nn.MultiheadAttention(d_model, n_heads)
    assert sum(p.numel() for p in with_bias.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert sum(p.numel() for p in with_bias.parameters()) == 4 * d_model**2 + 4 * d_model
    assert [name for name, _ in without.named_parameters()] == [
        f"{name}_proj.weight" for name in ("q", "k", "v", "out")
    ]


def test_train_and_eval_agree_and_inputs_are_left_alone():
    layer = multihead.MultiHeadAttention(6, 2)
    x, memory, mask = normal(2, 4, 6).float(), normal(2, 5, 6).float(), normal(4, 5).float()
    kept = [tensor.clone() for tensor in (x, memory, mask)]

    training = layer.train()(x, memory, mask, causal=True)
    evaluating = layer.eval()(x, memory, mask, causal=True)

    assert training.equal(evaluating)
    assert all(before.equal(after) for before, after in zip(kept, (x, memory, mask), strict=True))


def test_a_saved_layer_answers_as_before():
    layer, other = multihead.MultiHeadAttention(6, 2), multihead.MultiHeadAttention(6, 2)
    x = normal(2, 4, 6).float()

    other.load_state_dict(layer.state_dict())

    assert other(x).equal(layer(x))


# ---------------------------------------------------------------------------------------------- shapes, the file itself


@pytest.fixture
def checked(monkeypatch):
    """The solution with every signature enforced, between its own functions too."""
    beartype = pytest.importorskip("beartype").beartype
    jaxtyped = pytest.importorskip("jaxtyping").jaxtyped
    monkeypatch.setattr(typing, "TYPE_CHECKING", True)
    module = launch.load(FILE, "multihead_solution")
    for name in ("attend", "split_heads", "merge_heads", "heads_in_loops", "combine_masks"):
        setattr(module, name, jaxtyped(typechecker=beartype)(getattr(module, name)))
    layer = module.MultiHeadAttention
    layer.forward = jaxtyped(typechecker=beartype)(layer.forward)
    return module


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("mask", [None, torch.ones(6, dtype=torch.bool), torch.zeros(4, 1)])
def test_signatures_tell_the_truth(checked, shapes, mask):
    q, k, v = (normal(*shape) for shape in shapes)

    checked.attend(q, k, v, mask)
    layer = checked.MultiHeadAttention(6, 2).double()
    layer(normal(2, 4, 6), normal(2, 6, 6), mask, causal=True)
    checked.heads_in_loops(normal(2, 4, 6), *(normal(6, 6) for _ in range(4)), 2)


def test_the_signature_check_can_fail(checked):
    with pytest.raises(Exception, match="Type-check"):
        checked.attend(torch.ones(4, 3), torch.ones(6, 2), torch.ones(6, 2))


def test_the_file_runs_by_itself():
    run = subprocess.run([sys.executable, "-W", "error", str(FILE)], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    assert run.stdout.count("1.6698, 0.3302, 1.0000, 0.0000") == 2
    assert "next:" not in run.stdout


STEPS = {
    "attend": ["attend"],
    "split": ["split_heads", "merge_heads"],
    "layer": ["MultiHeadAttention"],
    "self": ["MultiHeadAttention.forward"],
}


@pytest.mark.parametrize("step", STEPS)
def test_the_file_says_what_comes_next(monkeypatch, capsys, step):
    def not_yet(*args, **kwargs):
        raise NotImplementedError

    for name in itertools.chain(*list(STEPS.values())[list(STEPS).index(step) :]):
        owner, _, method = name.rpartition(".")
        monkeypatch.setattr(multihead.MultiHeadAttention if owner else multihead, method, not_yet)
        if name == "MultiHeadAttention":
            break

    multihead.main()

    printed = capsys.readouterr().out.splitlines()
    assert "1.6698, 0.3302, 1.0000, 0.0000" in printed[1]
    assert printed[-1] == f"next: step {step} of the task; then run this again"


def test_the_file_takes_the_fused_layout_too(monkeypatch, capsys):
    class Fused(torch.nn.Module):
        def __init__(self, d_model, n_heads, bias):
            super().__init__()
            self.qkv_proj = torch.nn.Linear(d_model, 3 * d_model, bias=bias)
            self.out_proj = torch.nn.Linear(d_model, d_model, bias=bias)

        def forward(self, x, memory=None, causal=False):
            weights = self.qkv_proj.weight.chunk(3)
            if memory is not None or causal:
                return x
            return multihead.heads_in_loops(x, *weights, self.out_proj.weight, 2)

    monkeypatch.setattr(multihead, "MultiHeadAttention", Fused)

    multihead.main()

    assert capsys.readouterr().out.count("1.6698, 0.3302, 1.0000, 0.0000") == 2
