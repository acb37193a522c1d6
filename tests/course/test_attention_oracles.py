"""The solution of `attention` against oracles that share no code with it: PyTorch, differences, numbers from hand."""

from __future__ import annotations

import importlib.util
import itertools
import math
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = next((ROOT / "solutions").glob("ex*_attention")) / "attention.py"
BLANKED = [
    "softmax",
    "attention_weights",
    "causal_mask",
    "scaled_dot_product_attention",
    "score_statistics",
    "why_scale",
    "attention_backward",
]


def load():
    spec = importlib.util.spec_from_file_location("attention_solution", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


attention = load()


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def bottom_right(n_queries, n_keys):
    """The causal mask, pair by pair."""
    pairs = itertools.product(range(n_queries), range(n_keys))
    return np.array([n_keys - 1 - j >= n_queries - 1 - i for i, j in pairs], dtype=bool).reshape(n_queries, n_keys)


# ---------------------------------------------------------------------------------------------- by hand


def test_one_query_on_two_keys_by_hand():
    q, k, v = np.array([[1.0, 0.0]]), np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]])

    weights, output = attention.attend_one(q[0], k, v)

    for got in (weights, attention.attention_weights(q, k)[0]):
        np.testing.assert_allclose(got, [0.66976155, 0.33023845], atol=5e-9)
    for got in (output, attention.scaled_dot_product_attention(q, k, v)[0]):
        np.testing.assert_allclose(got, [1.66047690, 2.66047690], atol=5e-9)


def test_three_tokens_among_themselves_by_hand():
    x = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])

    weights = attention.attention_weights(x, x, attention.causal_mask(3, 3))
    output = attention.scaled_dot_product_attention(x, x, x, causal=True)

    expected = [[1, 0, 0], [0.47527145, 0.52472855, 0], [0.28302325, 0.33066062, 0.38631613]]
    np.testing.assert_allclose(weights, expected, atol=5e-9)
    np.testing.assert_allclose(output, [[0.1, 0.2], [0.20494571, 0.30494571], [0.32065858, 0.42065858]], atol=5e-9)


def test_the_numbers_in_the_task_text():
    logs = np.log([[1.0, 2.0, 5.0]])
    identity = np.eye(3)

    np.testing.assert_allclose(attention.softmax(logs), [[1 / 8, 2 / 8, 5 / 8]])
    np.testing.assert_allclose(attention.softmax(1000 + logs), [[1 / 8, 2 / 8, 5 / 8]])
    assert attention.causal_mask(2, 4).astype(int).tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    boolean = attention.attention_weights(logs, identity, np.array([True, False, True]), scale=1.0)
    np.testing.assert_allclose(boolean, [[1 / 6, 0, 5 / 6]])
    added = attention.attention_weights(logs, identity, np.array([0, -np.inf, math.log(2)]), scale=1.0)
    np.testing.assert_allclose(added, [[1 / 11, 0, 10 / 11]])
    statistics = attention.score_statistics(256, 64, seed=0)
    assert round(statistics["variance_raw"]) == 266
    assert round(statistics["variance_scaled"], 2) == 1.04
    q, v = np.array([[1.0, 0.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])
    dq, _, _ = attention.attention_backward(q, np.eye(2), v, np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(dq, [[-0.3128, 0.3128]], atol=5e-5)


def test_every_query_of_a_batch_agrees_with_the_loops(rng):
    q, k, v = rng.normal(size=(2, 3, 5, 7)), rng.normal(size=(2, 3, 4, 7)), rng.normal(size=(2, 3, 4, 6))

    weights = attention.attention_weights(q, k)
    output = attention.scaled_dot_product_attention(q, k, v)

    for batch, head, query in np.ndindex(2, 3, 5):
        expected = attention.attend_one(q[batch, head, query], k[batch, head], v[batch, head])
        np.testing.assert_allclose(weights[batch, head, query], expected[0], atol=1e-14)
        np.testing.assert_allclose(output[batch, head, query], expected[1], atol=1e-14)


# ---------------------------------------------------------------------------------------------- PyTorch

MASKS = ["none", "boolean", "float", "keys only", "per head"]


def draw_mask(kind, rng, n_queries, n_keys):
    """A mask that leaves every query at least the last key, the only one that is safe under any causal mask too."""
    if kind == "none":
        return None
    if kind == "float":
        return np.where(rng.random((n_queries, n_keys)) < 0.8, rng.normal(size=(n_queries, n_keys)), -np.inf)
    shape = {"boolean": (2, 1, n_queries, n_keys), "keys only": (n_keys,), "per head": (3, 1, n_keys)}[kind]
    return rng.random(shape) < 0.7


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-13), ("float32", 3e-6)])
@pytest.mark.parametrize("scale", [None, 0.0, 0.3, -1.5])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", MASKS)
def test_agrees_with_pytorch(rng, kind, causal, scale, dtype, tolerance):
    torch = pytest.importorskip("torch")
    q, k, v = (rng.normal(size=shape).astype(dtype) for shape in [(2, 3, 4, 7), (2, 3, 6, 7), (2, 3, 6, 5)])
    mask = draw_mask(kind, rng, 4, 6)

    got = attention.scaled_dot_product_attention(q, k, v, mask, causal=causal, scale=scale)

    blocked = np.zeros((2, 3, 4, 6))
    if mask is not None:
        blocked = blocked + (mask if mask.dtype != bool else np.where(mask, 0, -np.inf))
    if causal:
        blocked = blocked + np.where(bottom_right(4, 6), 0, -np.inf)
    empty = np.all(np.isneginf(blocked), axis=-1)[..., np.newaxis]
    tensors = [torch.from_numpy(array) for array in (q, k, v)]
    bias = torch.from_numpy(blocked.astype(dtype))
    expected = torch.nn.functional.scaled_dot_product_attention(*tensors, attn_mask=bias, scale=scale).numpy()
    assert got.dtype == dtype
    np.testing.assert_allclose(got, np.where(empty, 0, expected), atol=tolerance, rtol=0)


def test_square_causal_attention_is_pytorchs_is_causal(rng):
    torch = pytest.importorskip("torch")
    q, k, v = (rng.normal(size=(2, 5, 6)) for _ in range(3))

    got = attention.scaled_dot_product_attention(q, k, v, causal=True)

    tensors = [torch.from_numpy(array) for array in (q, k, v)]
    expected = torch.nn.functional.scaled_dot_product_attention(*tensors, is_causal=True).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-14)


SHAPES = {
    "same batch": [(2, 3, 4, 7), (2, 3, 6, 7), (2, 3, 6, 5)],
    "no batch": [(4, 7), (6, 7), (6, 5)],
    "keys shared by heads": [(2, 3, 4, 7), (2, 1, 6, 7), (2, 1, 6, 5)],
    "queries without batch": [(4, 7), (2, 3, 6, 7), (3, 6, 5)],
    "values with a batch of their own": [(4, 7), (6, 7), (2, 3, 6, 5)],
    "both ways": [(2, 1, 4, 7), (3, 6, 7), (2, 1, 6, 5)],
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_gradients_agree_with_autograd(rng, shapes, masked, causal):
    torch = pytest.importorskip("torch")
    q, k, v = (rng.normal(size=shape) for shape in shapes)
    mask = np.array([True, True, False, True, True, True]) if masked else None
    output = attention.scaled_dot_product_attention(q, k, v, mask, causal=causal, scale=0.4)
    d_out = rng.normal(size=output.shape)

    got = attention.attention_backward(q, k, v, d_out, mask, causal=causal, scale=0.4)

    leaves = [torch.from_numpy(array).requires_grad_() for array in (q, k, v)]
    scores = leaves[0] @ leaves[1].transpose(-1, -2) * 0.4
    allowed = (bottom_right(4, 6) if causal else np.ones((4, 6), dtype=bool)) & (mask if masked else True)
    weights = torch.softmax(scores.masked_fill(torch.from_numpy(~allowed), -math.inf), dim=-1)
    (weights @ leaves[2]).backward(torch.from_numpy(d_out))
    for gradient, leaf in zip(got, leaves, strict=True):
        assert gradient.shape == tuple(leaf.shape)
        np.testing.assert_allclose(gradient, leaf.grad.numpy(), atol=1e-12)


def test_the_gradient_statistic_is_the_norm_of_autograds_jacobian():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    q, k = rng.standard_normal((6, 5)), rng.standard_normal((6, 5))

    got = attention.score_statistics(5, 6, seed=3)

    for name, factor in (("raw", 1), ("scaled", 5**-0.5)):
        rows = torch.from_numpy(q @ k.T * factor)
        jacobians = [torch.autograd.functional.jacobian(lambda x: torch.softmax(x, dim=0), row) for row in rows]
        norms = [float(torch.linalg.norm(jacobian)) for jacobian in jacobians]
        assert got[f"gradient_{name}"] == pytest.approx(np.mean(norms), rel=1e-12)


# ---------------------------------------------------------------------------------------------- differences


@pytest.mark.parametrize("mask", [None, "float"])
def test_gradients_agree_with_finite_differences(rng, mask):
    inputs = [rng.normal(size=shape) for shape in [(3, 1, 4, 3), (2, 5, 3), (5, 2)]]
    mask = None if mask is None else np.where(rng.random((4, 5)) < 0.3, -np.inf, rng.normal(size=(4, 5)))
    d_out = rng.normal(size=(3, 2, 4, 2))

    def loss():
        return np.sum(d_out * attention.scaled_dot_product_attention(*inputs, mask, causal=True))

    gradients = attention.attention_backward(*inputs, d_out, mask, causal=True)

    step = 1e-5
    for array, gradient in zip(inputs, gradients, strict=True):
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + step
            above = loss()
            array[index] = kept - step
            below = loss()
            array[index] = kept
            assert gradient[index] == pytest.approx((above - below) / (2 * step), abs=1e-8)


def test_the_gradient_of_a_repeated_input_is_the_sum_over_the_copies(rng):
    q, k, v = rng.normal(size=(2, 3, 4, 7)), rng.normal(size=(1, 6, 7)), rng.normal(size=(2, 1, 6, 5))
    d_out = rng.normal(size=(2, 3, 4, 5))
    full_k, full_v = np.broadcast_to(k, (2, 3, 6, 7)), np.broadcast_to(v, (2, 3, 6, 5))

    dq, dk, dv = attention.attention_backward(q, k, v, d_out)

    full_dq, full_dk, full_dv = attention.attention_backward(q, full_k, full_v, d_out)
    np.testing.assert_allclose(dq, full_dq, atol=1e-14)
    np.testing.assert_allclose(dk, full_dk.sum(axis=(0, 1))[np.newaxis], atol=1e-13)
    np.testing.assert_allclose(dv, full_dv.sum(axis=1, keepdims=True), atol=1e-13)


# ---------------------------------------------------------------------------------------------- edges


@pytest.mark.filterwarnings("error")
def test_softmax_at_the_edges():
    inf = np.inf
    x = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -inf], [-inf, -inf, -inf]])

    assert attention.softmax(x).tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 0]]
    assert attention.softmax(x.T, axis=0).T.tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 0]]
    assert attention.softmax(np.zeros((2, 0, 3)), axis=1).shape == (2, 0, 3)
    for dtype in ("float16", "float32"):
        assert attention.softmax(x.astype(dtype)).tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 0]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mask", [np.zeros((4, 6), dtype=bool), np.full((4, 6), -np.inf)], ids=["boolean", "float"])
def test_who_may_listen_to_nobody_hears_nothing(rng, mask):
    q, k, v = rng.normal(size=(4, 7)), rng.normal(size=(6, 7)), rng.normal(size=(6, 5))
    mask[1:] = True if mask.dtype == bool else 0.0

    output = attention.scaled_dot_product_attention(q, k, v, mask)
    dq, dk, dv = attention.attention_backward(q, k, v, np.ones((4, 5)), mask)

    rest = attention.attention_backward(q[1:], k, v, np.ones((3, 5)))
    assert not attention.attention_weights(q, k, mask)[0].any()
    assert not output[0].any()
    assert not dq[0].any()
    np.testing.assert_allclose(output[1:], attention.scaled_dot_product_attention(q[1:], k, v), atol=1e-14)
    for got, expected in zip((dq[1:], dk, dv), rest, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-14)


@pytest.mark.parametrize("n_queries, n_keys", list(itertools.product([0, 1, 2, 3, 5], repeat=2)))
def test_the_causal_mask_pair_by_pair(n_queries, n_keys):
    got = attention.causal_mask(n_queries, n_keys)

    assert got.dtype == bool
    assert got.shape == (n_queries, n_keys)
    assert (got == bottom_right(n_queries, n_keys)).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_queries, n_keys", [(5, 2), (3, 0), (0, 3), (0, 0)])
def test_more_queries_than_keys_and_none_at_all(rng, n_queries, n_keys):
    q, k, v = rng.normal(size=(2, n_queries, 3)), rng.normal(size=(n_keys, 3)), rng.normal(size=(2, n_keys, 4))
    unseeing = max(n_queries - n_keys, 0)

    output = attention.scaled_dot_product_attention(q, k, v, causal=True)
    gradients = attention.attention_backward(q, k, v, np.ones((2, n_queries, 4)), causal=True)

    assert output.shape == (2, n_queries, 4)
    assert not output[:, :unseeing].any()
    assert output[:, unseeing:].all()
    assert not gradients[0][:, :unseeing].any()
    assert [gradient.shape for gradient in gradients] == [q.shape, k.shape, v.shape]


@pytest.mark.filterwarnings("error")
def test_scores_of_ten_thousand_are_survived_in_every_precision():
    q = np.array([[100.0], [-100.0]])
    for dtype in ("float16", "float32", "float64"):
        x = q.astype(dtype)
        assert attention.scaled_dot_product_attention(x, x, x, scale=1.0).tolist() == q.tolist()


@pytest.mark.parametrize("mask", [np.ones((4, 6), dtype=int), np.ones((4, 6), dtype=complex)], ids=["int", "complex"])
@pytest.mark.parametrize("causal", [False, True])
def test_masks_of_other_dtypes_raise(mask, causal):
    q, k = np.ones((4, 2)), np.ones((6, 2))

    with pytest.raises(TypeError, match="True = may attend"):
        attention.attention_weights(q, k, mask)
    with pytest.raises(TypeError):
        attention.scaled_dot_product_attention(q, k, k, mask, causal=causal)
    with pytest.raises(TypeError):
        attention.attention_backward(q, k, k, q, mask, causal=causal)


@pytest.mark.parametrize("dtype", [bool, float])
@pytest.mark.parametrize("shape", [(6, 4), (5,), (3, 4, 6)])
@pytest.mark.parametrize("causal", [False, True])
def test_masks_that_do_not_fit_raise(dtype, shape, causal):
    q, k = np.ones((2, 4, 2)), np.ones((2, 6, 2))

    with pytest.raises(ValueError, match="broadcast"):
        attention.scaled_dot_product_attention(q, k, k, np.ones(shape, dtype=dtype), causal=causal)
    with pytest.raises(ValueError, match="broadcast"):
        attention.attention_backward(q, k, k, q, np.ones(shape, dtype=dtype), causal=causal)


# ---------------------------------------------------------------------------------------------- dtypes

DTYPES = [
    (("float16", "float16", "float16"), "float16"),
    (("float32", "float32", "float32"), "float32"),
    (("float64", "float64", "float64"), "float64"),
    (("int64", "int64", "int64"), "float64"),
    (("int8", "bool", "uint8"), "float64"),
    (("float16", "float32", "float16"), "float32"),
    (("float32", "float32", "float64"), "float64"),
    (("float16", "int8", "bool"), "float16"),
    (("float32", "int64", "float32"), "float64"),
]


@pytest.mark.parametrize("given, answer", DTYPES, ids=str)
@pytest.mark.parametrize("mask_dtype", [None, "bool", "float16", "float64"])
def test_the_dtype_table(rng, given, answer, mask_dtype):
    shapes = [(4, 7), (6, 7), (6, 5)]
    exact = [rng.integers(0, 2, size=shape) for shape in shapes]
    q, k, v = (array.astype(dtype) for array, dtype in zip(exact, given, strict=True))
    mask = None if mask_dtype is None else np.ones(6, dtype=mask_dtype)
    kept = [array.copy() for array in (q, k, v)]

    output = attention.scaled_dot_product_attention(q, k, v, mask, causal=True)
    weights = attention.attention_weights(q, k, mask)
    gradients = attention.attention_backward(q, k, v, np.ones((4, 5)), mask, causal=True)

    expected = attention.scaled_dot_product_attention(*(array.astype("float64") for array in exact), causal=True)
    both = np.result_type(q, k)
    assert output.dtype == answer
    assert weights.dtype == (both if both.kind == "f" else "float64")
    assert {gradient.dtype.name for gradient in gradients} == {answer}
    np.testing.assert_allclose(output, expected, atol={"float16": 6e-4, "float32": 1e-6, "float64": 1e-14}[answer])
    for before, after in zip(kept, (q, k, v), strict=True):
        assert before.dtype == after.dtype
        assert (before == after).all()


@pytest.mark.parametrize("dtype", ["bool", "int32", "float16", "float32", "float64"])
def test_softmax_dtypes(dtype):
    got = attention.softmax(np.array([0, 1, 1], dtype=dtype))

    assert got.dtype == (dtype if dtype.startswith("float") else "float64")
    np.testing.assert_allclose(got, np.array([1, math.e, math.e]) / (1 + 2 * math.e), atol=5e-4)


def test_float16_is_rounded_once_only(rng):
    q, k, v = (rng.normal(size=(50, 16), scale=3).astype("float16") for _ in range(3))

    got = attention.scaled_dot_product_attention(q, k, v)

    raised = attention.scaled_dot_product_attention(*(array.astype("float32") for array in (q, k, v)))
    assert (got == raised.astype("float16")).all()


# ---------------------------------------------------------------------------------------------- why


def test_statistics_by_other_formulas():
    got = attention.score_statistics(12, 9, seed=5)

    rng = np.random.default_rng(5)
    q, k = rng.standard_normal((9, 12)), rng.standard_normal((9, 12))
    scores = np.array([[sum(a * b for a, b in zip(x, y, strict=True)) for y in k] for x in q])
    expected = {}
    for name, s in (("raw", scores), ("scaled", scores / 12**0.5)):
        p = np.array([[1 / sum(math.exp(other - own) for other in row) for own in row] for row in s])
        squares = (p**2).sum(axis=1)
        expected[f"variance_{name}"] = (s**2).mean() - s.mean() ** 2
        expected[f"entropy_{name}"] = np.mean([-sum(x * math.log(x) for x in row) for row in p])
        expected[f"gradient_{name}"] = np.sqrt(squares - 2 * (p**3).sum(axis=1) + squares**2).mean()
    assert got == pytest.approx(expected, rel=1e-9)
    assert {type(value) for value in got.values()} == {float}


@pytest.mark.filterwarnings("error")
def test_statistics_at_the_edges():
    wide, alone = attention.score_statistics(4096, 16, seed=0), attention.score_statistics(3, 1, seed=0)

    assert all(math.isfinite(value) for value in wide.values())
    assert wide["variance_scaled"] == pytest.approx(wide["variance_raw"] / 4096)
    assert set(alone.values()) == {0.0}


def test_every_answer_to_why_is_what_a_simulation_shows(rng):
    answers = attention.why_scale()

    q, k = rng.normal(size=(2, 20_000, 256))
    narrow = np.sum(q[:, :64] * k[:, :64], axis=1)
    query, keys = np.ones((1, 64)), np.stack([np.full(64, math.log(3) / 8), np.zeros(64)])
    a, b = attention.attention_weights(query, keys)[0]
    raw_a, raw_b = attention.attention_weights(query, keys, scale=1.0)[0]
    bump = attention.softmax(np.array([1e-6, 0.0]))[0] - attention.softmax(np.array([-1e-6, 0.0]))[0]
    assert answers["variance"] == pytest.approx(narrow.var(), rel=0.05)
    assert answers["deviation"] == pytest.approx(np.sum(q * k, axis=1).std(), rel=0.05)
    assert answers["variance_of_halves"] == pytest.approx((narrow / 4).var(), rel=0.05)
    assert answers["scale_of_a_head"] == 1 / math.sqrt(512 / 8)
    assert a / b == pytest.approx(3)
    assert answers["ratio_without_scale"] == pytest.approx(raw_a / raw_b)
    assert answers["gradient_of_an_even_bet"] == pytest.approx(bump / 2e-6)
    assert len(answers) == 6


# ---------------------------------------------------------------------------------------------- shapes, the file itself


@pytest.fixture
def checked(monkeypatch):
    """The solution with every signature enforced, between its own functions too."""
    beartype = pytest.importorskip("beartype").beartype
    jaxtyped = pytest.importorskip("jaxtyping").jaxtyped
    monkeypatch.setattr(typing, "TYPE_CHECKING", True)
    module = load()
    for name in [*BLANKED, "attend_one", "combine_masks"]:
        setattr(module, name, jaxtyped(typechecker=beartype)(getattr(module, name)))
    return module


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", ["none", "boolean", "float"])
def test_signatures_tell_the_truth(rng, checked, shapes, kind):
    q, k, v = (rng.normal(size=shape) for shape in shapes)
    mask = {"none": None, "boolean": np.ones(6, dtype=bool), "float": np.zeros((4, 1))}[kind]

    output = checked.scaled_dot_product_attention(q, k, v, mask, causal=True)
    gradients = checked.attention_backward(q, k, v, output, mask, causal=True)

    assert [gradient.shape for gradient in gradients] == list(shapes)
    checked.attend_one(np.ones(3), np.ones((2, 3)), np.ones((2, 4)))
    checked.score_statistics(4, 3, 0)
    checked.why_scale()


def test_the_signature_check_can_fail(checked):
    with pytest.raises(Exception, match="Type-check"):
        checked.attention_weights(np.ones((4, 3)), np.ones((6, 2)))


def test_the_file_runs_by_itself():
    run = subprocess.run([sys.executable, "-W", "error", str(FILE)], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[1:3] == ["[0.66976155 0.33023845]", "[1.6604769 2.6604769]"]
    assert "next:" not in run.stdout


@pytest.mark.parametrize("written", range(len(BLANKED)))
def test_the_file_says_what_comes_next(monkeypatch, capsys, written):
    def not_yet(*args, **kwargs):
        raise NotImplementedError

    for name in BLANKED[written:]:
        monkeypatch.setattr(attention, name, not_yet)

    attention.main()

    printed = capsys.readouterr().out.splitlines()
    steps = ["softmax", "weights", "causal", "attention", "why", "why", "backward"]
    assert printed[1:3] == ["[0.66976155 0.33023845]", "[1.6604769 2.6604769]"]
    assert printed[-1] == f"next: step {steps[written]} of the task; then run this again"
