"""The solution of `rope` against oracles that share no code with it: complex numbers, other people's conventions, loops.

The rewrites of the exercise are held against the solution here too, and each wrong idea in them against its rewrite.
"""

from __future__ import annotations

import cmath
import copy
import math
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

from grader.logic.variants import apply, parse_variants
from grader.system.course import read_toml
from lab.launch import load

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
FILE = next((ROOT / "solutions").glob("ex*_rope")) / "rope.py"
PAIRINGS = ["interleaved", "half"]
STYLES = ["complex_numbers", "rotation_matrices", "as_hugging_face"]
FILES = {style: FILE.parent / "rewrites" / f"{style}.py" for style in STYLES}
INTEGERS = ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]


rope = load(FILE, "rope_solution")
REWRITES = {style: load(path, f"rope_{style}") for style, path in FILES.items()}
FORMS = {"solution": rope, **REWRITES}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(7)


@pytest.fixture
def in_double():
    """Frequencies and angles in float64, as the reference computes them."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def normal(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=torch.float64).to(dtype)


def somewhere(*shape, low=-60, high=60):
    return torch.randint(low, high, shape)


def close(got, expected, tolerance=1e-12):
    expected = torch.as_tensor(expected)
    torch.testing.assert_close(got.detach(), expected.to(got.dtype), rtol=0, atol=tolerance)


def layer_of(module, d_model, n_heads, weights=None, dtype=None, **settings):
    """A layer of a module, in split or fused layout, with four weights by their names."""
    layer = module.RotaryAttention(d_model, n_heads, **settings)
    weights = dict(weights or random_weights(d_model))
    if hasattr(layer, "qkv_proj"):
        weights["qkv_proj"] = torch.cat([weights.pop(name) for name in ("q_proj", "k_proj", "v_proj")])
    layer.load_state_dict({f"{name}.weight": weight for name, weight in weights.items()})
    return layer if dtype is None else layer.to(dtype)


def random_weights(d_model):
    return {f"{name}_proj": normal(d_model, d_model) * 0.6 for name in ("q", "k", "v", "out")}


# ---------------------------------------------------------------------------------------------- oracles, numpy, float64


def planes_of(d, pairing):
    """Which two numbers span each plane."""
    if pairing == "interleaved":
        return [(2 * i, 2 * i + 1) for i in range(d // 2)]
    return [(i, d // 2 + i) for i in range(d // 2)]


def turned_as_complex(x, positions, base=10000.0, pairing="interleaved"):
    """Each plane is a complex number, and is multiplied by e^(i·angle), one vector after the other, in complex128."""
    x = np.asarray(x, np.float64)
    answer, d = x.copy(), x.shape[-1]
    for where in np.ndindex(x.shape[:-1]):
        position = int(positions[where[-1]] if np.ndim(positions) == 1 else positions[where[0]][where[-1]])
        for i, (a, b) in enumerate(planes_of(d, pairing)):
            z = complex(x[where][a], x[where][b]) * cmath.exp(1j * position * base ** (-2 * i / d))
            answer[where][a], answer[where][b] = z.real, z.imag
    return answer


def turned_by_hugging_face(x, positions, base=10000.0):
    """Angles twice side by side, and a copy of x whose halves change places, the one from behind with a minus."""
    d = x.shape[-1]
    slow = base ** (np.arange(0, d, 2) / d)
    angles = np.asarray(positions, np.float64)[:, None] / slow
    angles = np.concatenate([angles, angles], axis=-1)
    moved = np.concatenate([-x[..., d // 2 :], x[..., : d // 2]], axis=-1)
    return np.cos(angles) * x + np.sin(angles) * moved


def turned_by_meta(x, positions, base=10000.0):
    """Memory read as complex numbers, number for number with its neighbour."""
    d = x.shape[-1]
    angles = np.outer(np.asarray(positions, np.float64), base ** -(np.arange(d // 2) / (d // 2)))
    as_complex = np.ascontiguousarray(x, np.float64).view(np.complex128)
    return (as_complex * np.exp(1j * angles)).view(np.float64)


def rows_permuted_by_hugging_face(weight, n_heads):
    """From neighbours to halves, as the conversion script does it: (head, pair, two) with the last two changed."""
    out, d_in = weight.shape
    return weight.reshape(n_heads, out // n_heads // 2, 2, d_in).swapaxes(1, 2).reshape(out, d_in)


def attended(x, weights, n_heads, positions, causal, base=10000.0, pairing="interleaved"):
    """The whole layer, one query of one head of one sample after the other."""
    x = x.numpy()
    q, k, v = (x @ weights[name].numpy().T for name in ("q_proj", "k_proj", "v_proj"))
    batch, length, d_model = x.shape
    d_head = d_model // n_heads
    mixed = np.zeros_like(x)
    for sample in range(batch):
        rows = positions if np.ndim(positions) == 1 else positions[sample]
        for head in range(n_heads):
            own = slice(head * d_head, (head + 1) * d_head)
            queries = turned_as_complex(q[sample, :, own], rows, base, pairing)
            keys = turned_as_complex(k[sample, :, own], rows, base, pairing)
            for token in range(length):
                read = token + 1 if causal else length
                scores = keys[:read] @ queries[token] / math.sqrt(d_head)
                share = np.exp(scores - scores.max())
                mixed[sample, token, own] = share / share.sum() @ v[sample, :read, own]
    return mixed @ weights["out_proj"].numpy().T


# ---------------------------------------------------------------------------------------------- by hand


def test_the_example_of_four_numbers():
    x, first = torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([1])

    neighbours, halves = rope.apply_rope(x, first), rope.apply_rope(x, first, pairing="half")

    close(neighbours, [[-1.14263966, 1.92207560, 2.95985067, 4.02979950]], 1e-6)
    close(halves, [[-1.98411065, 1.95990067, 2.46237790, 4.01979967]], 1e-6)
    assert math.cos(1) - 2 * math.sin(1) == pytest.approx(-1.14263966)
    assert math.cos(1) - 3 * math.sin(1) == pytest.approx(-1.98411065)


def test_rows_of_the_sinusoids():
    narrow, wide = rope.sinusoidal_positions(2, 4), rope.sinusoidal_positions(4, 8)

    close(narrow[0], [0.0, 1, 0, 1], 0)
    close(narrow[1], [0.84147098, 0.54030231, 0.00999983, 0.99995000], 1e-7)
    by_hand = [0.14112001, -0.98999250, 0.29552021, 0.95533649, 0.02999550, 0.99955003, 0.00300000, 0.99999550]
    close(wide[3], by_hand, 1e-7)


def test_frequencies_of_width_eight_are_powers_of_ten():
    frequencies = rope.rope_frequencies(8)

    close(frequencies, [1, 0.1, 0.01, 0.001], 1e-7)
    assert frequencies.dtype == torch.float32
    assert rope.rope_frequencies(2, base=7).tolist() == [1]
    assert rope.rope_frequencies(6, base=1).tolist() == [1, 1, 1]
    close(rope.rope_frequencies(4, base=100), [1, 0.1], 1e-7)


def test_angles_are_not_reduced():
    angles = rope.rope_angles(torch.tensor([0, 1, -7, 4096]), torch.tensor([1.0, 0.125]))

    assert angles.tolist() == [[0, 0], [1, 0.125], [-7, -0.875], [4096, 512]]


def test_a_plane_is_turned_by_the_given_function():
    position, d = 5, 6
    x = normal(1, d)

    for pairing in PAIRINGS:
        got = rope.apply_rope(x, torch.tensor([position]), base=50.0, pairing=pairing)[0]

        for i, (a, b) in enumerate(planes_of(d, pairing)):
            expected = rope.turned(x[0, a].item(), x[0, b].item(), position * 50 ** (-2 * i / d))
            assert (got[a].item(), got[b].item()) == pytest.approx(expected, abs=2e-6)


# ---------------------------------------------------------------------------------------------- sinusoids


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n, d", [(1, 2), (1, 8), (7, 2), (50, 6), (300, 64)])
def test_the_sinusoids_are_those_of_the_paper(form, n, d):
    got = FORMS[form].sinusoidal_positions(n, d)

    expected = [
        [(math.sin if column % 2 == 0 else math.cos)(p / 10000 ** (2 * (column // 2) / d)) for column in range(d)]
        for p in range(n)
    ]
    assert got.dtype == torch.float32
    close(got, expected, 2e-5)


@pytest.mark.parametrize("k", [1, 3, 17])
def test_a_step_is_the_same_turn_from_wherever_it_begins(in_double, k):
    n, d = 40, 10
    table = rope.sinusoidal_positions(n, d).numpy()

    turn = np.zeros((d, d))
    for i in range(d // 2):
        angle = k * 10000 ** (-2 * i / d)
        block = [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
        turn[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = block

    np.testing.assert_allclose(table[:-k] @ turn.T, table[k:], rtol=0, atol=1e-12)


# ---------------------------------------------------------------------------------------------- turning


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("shape", [(5, 2), (5, 6), (3, 5, 8), (2, 3, 5, 4), (2, 1, 3, 5, 4), (1, 1, 1, 12)])
@pytest.mark.parametrize("base", [10000.0, 7, 500000])
def test_turning_is_multiplying_complex_numbers(in_double, form, pairing, shape, base):
    x, positions = normal(*shape), somewhere(shape[-2])

    got = FORMS[form].apply_rope(x, positions, base, pairing)

    close(got, turned_as_complex(x.numpy(), positions.numpy(), base, pairing))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (3, 3, 5, 6), (4, 1, 1, 8), (1, 3, 5, 4), (5, 5, 5, 2)])
def test_a_row_of_positions_for_each_sample(in_double, form, pairing, shape):
    x, positions = normal(*shape), somewhere(shape[0], shape[2])

    got = FORMS[form].apply_rope(x, positions, pairing=pairing)

    close(got, turned_as_complex(x.numpy(), positions.numpy(), pairing=pairing))


@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_two_models_conventions(in_double, form):
    x, positions = normal(2, 3, 7, 10), somewhere(7)

    halves = FORMS[form].apply_rope(x, positions, 5e5, "half")
    neighbours = FORMS[form].apply_rope(x, positions, 5e5, "interleaved")

    close(halves, turned_by_hugging_face(x.numpy(), positions.numpy(), 5e5))
    close(neighbours, turned_by_meta(x.numpy(), positions.numpy(), 5e5))


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_scores_depend_on_the_distance_alone(in_double, rng, pairing):
    q, k = normal(1, 12), normal(1, 12)

    def score(query_at, key_at):
        turned = [
            rope.apply_rope(x, torch.tensor([int(at)]), pairing=pairing) for x, at in ((q, query_at), (k, key_at))
        ]
        return (turned[0] * turned[1]).sum().item()

    for query_at, key_at, offset in rng.integers(-500, 500, size=(30, 3)):
        assert score(query_at + offset, key_at + offset) == pytest.approx(score(query_at, key_at), abs=1e-10)
    assert abs(score(3, 0) - score(0, 3)) > 0.1


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_lengths_are_kept_in_every_plane(in_double, pairing):
    x, positions = normal(2, 3, 9, 8), somewhere(9, low=-5000, high=5000)

    got = rope.apply_rope(x, positions, pairing=pairing)

    for a, b in planes_of(8, pairing):
        close(torch.hypot(got[..., a], got[..., b]), torch.hypot(x[..., a], x[..., b]))
    close(got.norm(dim=-1), x.norm(dim=-1))


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_turns_add_up_and_can_be_taken_back(in_double, pairing):
    x, there, on = normal(5, 6), somewhere(5), somewhere(5)

    twice = rope.apply_rope(rope.apply_rope(x, there, pairing=pairing), on, pairing=pairing)
    back = rope.apply_rope(rope.apply_rope(x, there, pairing=pairing), -there, pairing=pairing)

    close(twice, rope.apply_rope(x, there + on, pairing=pairing))
    close(back, x)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_positions_of_every_integer_dtype(form, dtype):
    module, positions = FORMS[form], torch.tensor([3, 0, 100, 7])
    cast = positions.to(getattr(torch, dtype))
    x = normal(2, 4, 8, dtype=torch.float32)
    layer = layer_of(module, 8, 2)

    assert module.rope_angles(cast, torch.ones(3)).dtype == torch.float32
    close(module.apply_rope(x, cast), module.apply_rope(x, positions), 0)
    close(layer(x, cast), layer(x, positions).detach(), 0)


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("batched", [False, True])
def test_gradients_agree_with_finite_differences(in_double, pairing, batched):
    x = normal(2, 3, 4, 6).requires_grad_()
    positions = somewhere(2, 4) if batched else somewhere(4)

    assert torch.autograd.gradcheck(lambda x: rope.apply_rope(x, positions, pairing=pairing), (x,))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_of_the_layer_agree_with_finite_differences(in_double, form, pairing, causal):
    layer = layer_of(FORMS[form], 8, 2, pairing=pairing)
    x, positions = normal(2, 3, 8).requires_grad_(), somewhere(2, 3)
    parameters = dict(layer.named_parameters())

    def output(x, *weights):
        given = dict(zip(parameters, weights, strict=True))
        return torch.func.functional_call(layer, given, (x, positions, causal))

    assert torch.autograd.gradcheck(output, (x, *parameters.values()), atol=1e-8)


# ---------------------------------------------------------------------------------------------- precision


def largest_error(got, expected):
    return (np.abs(got.detach().double().numpy() - expected) / np.abs(expected).max()).max()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("dtype, tolerance", [("bfloat16", 1e-2), ("float16", 4e-3), ("float32", 4e-3)])
@pytest.mark.parametrize("position", [4096, 100000])
def test_angles_are_precise_far_away_whatever_the_dtype_of_x(form, pairing, dtype, tolerance, position):
    x = normal(2, 3, 16, dtype=getattr(torch, dtype))
    positions = torch.tensor([position, position + 1, position - 5])

    got = FORMS[form].apply_rope(x, positions, pairing=pairing)

    assert got.dtype == x.dtype
    assert largest_error(got, turned_as_complex(x.double().numpy(), positions.numpy(), pairing=pairing)) < tolerance


def test_angles_in_bfloat16_would_be_seen():
    positions = torch.tensor([4096, 4097, 4091])
    x = normal(2, 3, 16)

    angles = positions.bfloat16()[:, None] * rope.rope_frequencies(16).bfloat16()
    a, b = x[..., ::2], x[..., 1::2]
    cos, sin = angles.double().cos(), angles.double().sin()
    coarse = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)

    assert largest_error(coarse, turned_as_complex(x.numpy(), positions.numpy())) > 0.5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype, tolerance", [("bfloat16", 4e-2), ("float16", 4e-3)])
@pytest.mark.parametrize("position", [0, 4096])
def test_a_layer_that_was_cast_keeps_precise_angles(form, dtype, tolerance, position):
    dtype = getattr(torch, dtype)
    weights = {name: weight.to(dtype).double() for name, weight in random_weights(12).items()}
    layer = layer_of(FORMS[form], 12, 2, weights, dtype)
    x, positions = normal(2, 5, 12, dtype=dtype), torch.arange(5) + position
    layer(x)

    got = layer(x, positions)

    assert got.dtype == dtype
    assert largest_error(got, attended(x.double(), weights, 2, positions.numpy(), True)) < tolerance


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_answers_have_the_dtype_of_x(dtype):
    dtype = getattr(torch, dtype)
    x = normal(2, 3, 5, 4, dtype=dtype)

    assert {rope.apply_rope(x, somewhere(5), pairing=pairing).dtype for pairing in PAIRINGS} == {dtype}
    assert rope.RotaryAttention(4, 2).to(dtype)(x[:, 0]).dtype == dtype


# ---------------------------------------------------------------------------------------------- converting


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_heads", [1, 2, 3, 6])
def test_to_halves_is_what_the_conversion_script_does(form, n_heads):
    weight = normal(12, 5)

    got = FORMS[form].convert_pairing(weight, n_heads, "half")

    assert got.equal(torch.as_tensor(rows_permuted_by_hugging_face(weight.numpy(), n_heads)))
    assert FORMS[form].convert_pairing(torch.arange(8), 1, "half").tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert FORMS[form].convert_pairing(torch.arange(8), 1, "interleaved").tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("to, back", [PAIRINGS, PAIRINGS[::-1]])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "int64", "bool", "complex64"])
@pytest.mark.parametrize("shape", [(24, 5), (24,), (24, 1)])
def test_converting_there_and_back_changes_nothing(form, to, back, dtype, shape):
    weight = (10 * normal(*shape)).to(getattr(torch, dtype))
    kept = weight.clone()

    there = FORMS[form].convert_pairing(weight, 3, to)
    again = FORMS[form].convert_pairing(there, 3, back)

    assert again.equal(weight) and again.dtype == weight.dtype
    assert weight.equal(kept)


def test_a_converted_bias_goes_with_the_rows_of_its_weight():
    weight, bias, x = normal(12, 5), normal(12), normal(4, 5)

    for to in PAIRINGS:
        converted = x @ rope.convert_pairing(weight, 2, to).T + rope.convert_pairing(bias, 2, to)

        close(converted, rope.convert_pairing((x @ weight.T + bias).T, 2, to).T)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_heads", [1, 2, 3])
@pytest.mark.parametrize("to, made_for", [PAIRINGS, PAIRINGS[::-1]])
def test_a_converted_layer_answers_as_before(in_double, form, n_heads, to, made_for):
    module, weights = FORMS[form], random_weights(12)
    converted = {
        **weights,
        **{name: module.convert_pairing(weights[name], n_heads, to) for name in ("q_proj", "k_proj")},
    }
    x, positions = normal(2, 6, 12), somewhere(2, 6)

    before = layer_of(module, 12, n_heads, weights, pairing=made_for)(x, positions)
    after = layer_of(module, 12, n_heads, converted, pairing=to)(x, positions)
    unconverted = layer_of(module, 12, n_heads, weights, pairing=to)(x, positions)

    close(after, before.detach())
    assert not torch.allclose(unconverted, before)


# ---------------------------------------------------------------------------------------------- the layer


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["none", "row", "a row each"])
@pytest.mark.parametrize("d_model, n_heads", [(12, 3), (8, 1), (6, 3)])
def test_the_layer_token_by_token(in_double, form, pairing, causal, kind, d_model, n_heads):
    weights = random_weights(d_model)
    x = normal(3, 5, d_model)
    positions = {"none": None, "row": somewhere(5), "a row each": somewhere(3, 5)}[kind]
    layer = layer_of(FORMS[form], d_model, n_heads, weights, base=100, pairing=pairing)

    got = layer(x, positions, causal)

    rows = np.arange(5) if positions is None else positions.numpy()
    close(got, attended(x, weights, n_heads, rows, causal, 100, pairing))


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("causal", [False, True])
def test_moving_all_positions_changes_nothing(in_double, pairing, causal):
    layer = layer_of(rope, 12, 2, pairing=pairing)
    x, positions = normal(2, 6, 12), somewhere(2, 6)
    by = torch.tensor([[1000], [-37]])  # each sample by its own

    close(layer(x, positions + by, causal), layer(x, positions, causal).detach(), 1e-11)
    close(layer(x, torch.arange(6) + 321, causal), layer(x, None, causal).detach(), 1e-11)


def test_without_a_mask_the_order_of_tokens_is_in_their_positions(in_double):
    layer, x, order = layer_of(rope, 12, 2), normal(2, 6, 12), torch.randperm(6)

    shuffled = layer(x[:, order], order, causal=False)

    close(shuffled, layer(x, causal=False)[:, order].detach())


def test_positions_hide_nothing():
    layer, x = layer_of(rope, 12, 2), normal(1, 6, 12, dtype=torch.float32)
    other = x.clone()
    other[:, 3:] += 1

    for positions in (torch.arange(6).flip(0), torch.tensor([5, 5, 5, 0, 0, 0])):
        changed = (layer(x, positions) - layer(other, positions)).abs().amax(-1)[0]

        assert changed[:3].max() == 0
        assert changed[3:].min() > 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_values_are_read_as_they_are(in_double, form):
    n = 6
    reads = torch.randperm(n)  # token t reads token reads[t], and no other
    weights = {**random_weights(n), "q_proj": 2000 * torch.eye(n)[reads].T.contiguous(), "k_proj": torch.eye(n)}
    layer = layer_of(FORMS[form], n, 1, weights)

    got = layer(torch.eye(n)[None], torch.full((n,), 11), causal=False)

    close(got[0], (weights["out_proj"] @ weights["v_proj"]).T[reads])


@pytest.mark.parametrize("form", FORMS)
def test_one_token_alone_reads_its_own_value(in_double, form):
    weights = random_weights(6)
    x, positions = normal(3, 1, 6), torch.tensor([[0], [9], [-400]])

    got = layer_of(FORMS[form], 6, 3, weights)(x, positions)

    close(got, x @ weights["v_proj"].T @ weights["out_proj"].T)


@pytest.mark.parametrize("form", FORMS)
def test_no_answer_depends_on_earlier_calls(form):
    layer = layer_of(FORMS[form], 8, 2)
    fresh = copy.deepcopy(layer)
    calls = [(3, None), (9, None), (2, somewhere(2, 2)), (4, torch.tensor([-1, 0, 5000, 20])), (40, None), (3, None)]

    for number, (length, positions) in enumerate(calls):
        x = normal(2, length, 8, dtype=torch.float32)
        with torch.inference_mode(mode=number % 2 == 0):
            layer(x, positions)
        x.requires_grad_()
        got, expected = layer(x, positions), copy.deepcopy(fresh)(x, positions)
        assert got.equal(expected)
        assert torch.autograd.grad(got.sum(), x)[0].equal(torch.autograd.grad(expected.sum(), x)[0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_the_state_holds_four_projections_and_nothing_else(form, pairing):
    layer = FORMS[form].RotaryAttention(12, 3, pairing=pairing)
    layer(normal(1, 5, 12, dtype=torch.float32))

    shapes = {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}

    split = {f"{name}_proj.weight": (12, 12) for name in "qkv"}
    fused = {"qkv_proj.weight": (36, 12)}
    assert shapes in ({**split, "out_proj.weight": (12, 12)}, {**fused, "out_proj.weight": (12, 12)})
    assert {name for name, _ in layer.named_parameters()} == set(shapes)


# ---------------------------------------------------------------------------------------------- edges


@pytest.mark.parametrize("form", FORMS)
def test_odd_widths_are_refused(form):
    module = FORMS[form]

    for d in (1, 3, 7):
        for call in (
            lambda d=d: module.sinusoidal_positions(4, d),
            lambda d=d: module.rope_frequencies(d),
            lambda d=d: module.apply_rope(torch.ones(4, d), torch.arange(4)),
            lambda d=d: module.apply_rope(torch.ones(4, d), torch.arange(4), pairing="half"),
            lambda d=d: module.convert_pairing(torch.ones(2 * d, 5), 2, "half"),
            lambda d=d: module.convert_pairing(torch.ones(2 * d), 2, "interleaved"),
            lambda d=d: module.RotaryAttention(2 * d, 2),
        ):
            with pytest.raises(ValueError):
                call()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width, n_heads", [(10, 3), (4, 8), (2, 4), (12, 5)])
def test_heads_that_do_not_divide_are_refused(form, width, n_heads):
    with pytest.raises(ValueError):
        FORMS[form].RotaryAttention(width, n_heads)
    with pytest.raises(ValueError):
        FORMS[form].convert_pairing(torch.ones(width, 3), n_heads, "half")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pairing", ["neighbours", "", "Half", None, "halves"])
def test_other_pairings_are_refused(form, pairing):
    module = FORMS[form]

    with pytest.raises(ValueError):
        module.apply_rope(torch.ones(3, 4), torch.arange(3), pairing=pairing)
    with pytest.raises(ValueError):
        module.convert_pairing(torch.ones(8, 4), 2, to=pairing)
    with pytest.raises(ValueError):
        module.RotaryAttention(8, 2, pairing=pairing)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_strides_do_not_matter_and_inputs_are_left_alone(form, pairing):
    module = FORMS[form]
    x = normal(5, 8, 3, 2).permute(3, 2, 0, 1).float()
    strided = normal(2, 3, 5, 16, dtype=torch.float32)[..., ::2]
    backwards = torch.arange(20).reshape(5, 4).T[:2]  # (batch, length) with strides (1, 4)
    once = normal(1, 1, 1, 8, dtype=torch.float32).expand(2, 3, 5, 8)
    weight = normal(5, 12).T

    for given in (x, strided, once):
        before, rows = given.clone(), backwards.clone()
        got = module.apply_rope(given, backwards, pairing=pairing)
        assert got.equal(module.apply_rope(given.clone(memory_format=torch.contiguous_format), rows, pairing=pairing))
        assert given.equal(before) and backwards.equal(rows)
    assert module.convert_pairing(weight, 2, pairing).equal(module.convert_pairing(weight.contiguous(), 2, pairing))
    layer, tokens = layer_of(module, 8, 2, pairing=pairing), x[:, 0]
    close(layer(tokens, backwards), layer(tokens.contiguous(), backwards.contiguous()).detach(), 1e-5)


# ---------------------------------------------------------------------------------------------- rewrites, wrong ideas


def answers(module):
    """What a file says to many questions, by a name for each; an exception's type where it raises."""
    draws = torch.Generator().manual_seed(3)
    asked = {}

    def ask(name, call, *args, **kwargs):
        try:
            answer = call(*args, **kwargs)
        except (ValueError, RuntimeError, IndexError) as raised:
            answer = type(raised)
        asked[name] = answer.detach() if isinstance(answer, torch.Tensor) else answer

    def draw(*shape, dtype=None):
        return torch.randn(*shape, generator=draws, dtype=torch.float64).to(dtype or torch.get_default_dtype())

    def places(*shape):
        return torch.randint(-40, 90, shape, generator=draws)

    for n, d in [(1, 2), (30, 6), (9, 16), (3, 5)]:
        ask(f"sinusoids {n} {d}", module.sinusoidal_positions, n, d)
    for d, base in [(2, 10000.0), (8, 10000.0), (6, 100), (12, 5e5), (5, 10.0)]:
        ask(f"frequencies {d} {base}", module.rope_frequencies, d, base)
    for shape in [(4,), (3, 4)]:
        ask(f"angles {shape}", module.rope_angles, places(*shape), draw(5))
    for pairing in [*PAIRINGS, "other"]:
        for shape in [(5, 2), (2, 5, 6), (2, 3, 5, 8), (3, 3, 5, 8), (4, 6)]:
            x = draw(*shape)
            ask(f"turned {pairing} {shape}", module.apply_rope, x, places(shape[-2]), 1000.0, pairing)
            if len(shape) == 4:
                ask(f"a row each {pairing} {shape}", module.apply_rope, x, places(shape[0], 5), pairing=pairing)
        x = draw(2, 3, 8, dtype=torch.bfloat16)
        ask(f"half precision {pairing}", module.apply_rope, x, torch.tensor([0, 1000, 333]), pairing=pairing)
        for shape, n_heads in [((12, 5), 3), ((16, 2), 2), ((8,), 1), ((12,), 4)]:
            ask(f"converted {pairing} {shape}", module.convert_pairing, draw(*shape), n_heads, pairing)
    for pairing in PAIRINGS:
        for d_model, n_heads, base in [(12, 2, 10000.0), (16, 2, 50), (8, 1, 10000.0), (6, 3, 9.0)]:
            weights = {f"{name}_proj": 0.6 * draw(d_model, d_model) for name in ("q", "k", "v", "out")}
            layer = layer_of(module, d_model, n_heads, weights, base=base, pairing=pairing)
            x = draw(2, 7, d_model)
            for kind, positions in [("none", None), ("row", places(7)), ("a row each", places(2, 7))]:
                for causal in (True, False):
                    ask(f"layer {pairing} {d_model} {kind} {causal}", layer, x, positions, causal)
    return asked


def differing(got, expected, tolerance):
    """The questions that two files answer differently."""
    assert got.keys() == expected.keys()
    different = []
    for name, answer in expected.items():
        other = got[name]
        if not isinstance(answer, torch.Tensor) or not isinstance(other, torch.Tensor):
            same = answer is other
        else:
            same = other.shape == answer.shape and other.dtype == answer.dtype
            limit = 1e-2 if answer.dtype == torch.bfloat16 else tolerance
            same = same and (other - answer).abs().max() <= limit * answer.abs().max()
        if not same:
            different.append(name)
    return different


@pytest.mark.parametrize("style", STYLES)
def test_a_rewrite_agrees_with_the_solution(style):
    assert differing(answers(REWRITES[style]), answers(rope), 2e-5) == []


@pytest.mark.parametrize("style", STYLES)
def test_a_rewrite_agrees_with_the_solution_to_the_last_digits_in_float64(in_double, style):
    assert differing(answers(REWRITES[style]), answers(rope), 1e-11) == []


IDEAS = {
    f"{style}, {entry['name']}": (style, parse_variants({"wrong": [{"says": "It is tried.", **entry}]})[0][0])
    for style, path in FILES.items()
    for entry in read_toml(path.with_suffix(".toml"))["wrong"]
}


@pytest.mark.parametrize("idea", IDEAS)
def test_a_wrong_idea_changes_answers(tmp_path, idea):
    style, variant = IDEAS[idea]
    file = tmp_path / "submission.py"
    file.write_text(apply(FILES[style].read_text(encoding="utf-8"), variant), encoding="utf-8")

    wrong = answers(load(file, f"rope_{variant.name}"))

    right = answers(REWRITES[style])
    different = differing(wrong, right, 1e-3)
    assert different
    assert len(different) < len(right)
    raised = {name for name in different if isinstance(wrong[name], type) or isinstance(right[name], type)}
    assert not raised, "an idea is to be told by its numbers"


def test_no_idea_is_tried_twice_and_each_rewrite_has_some():
    names = [variant.name for _, variant in IDEAS.values()]

    assert len(set(names)) == len(names) >= 14
    assert all(sum(style == used for style, _ in IDEAS.values()) >= 4 for used in STYLES)


# ---------------------------------------------------------------------------------------------- shapes, the file itself


@pytest.fixture
def checked(monkeypatch):
    """The solution with every signature enforced, between its own functions too."""
    beartype = pytest.importorskip("beartype").beartype
    jaxtyped = pytest.importorskip("jaxtyping").jaxtyped
    monkeypatch.setattr(typing, "TYPE_CHECKING", True)
    module = load(FILE, "rope_checked")
    for name in ("sinusoidal_positions", "rope_frequencies", "rope_angles", "apply_rope", "convert_pairing"):
        setattr(module, name, jaxtyped(typechecker=beartype)(getattr(module, name)))
    layer = module.RotaryAttention
    layer.forward = jaxtyped(typechecker=beartype)(layer.forward)
    return module


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_signatures_tell_the_truth(checked, pairing, dtype):
    dtype = getattr(torch, dtype)

    checked.sinusoidal_positions(3, 8)
    for shape in [(5, 8), (3, 5, 8), (2, 3, 5, 8)]:
        checked.apply_rope(normal(*shape, dtype=dtype), somewhere(5), 100.0, pairing)
    checked.apply_rope(normal(2, 3, 5, 8, dtype=dtype), somewhere(2, 5).int(), pairing=pairing)
    for weight in (normal(8, 3, dtype=dtype), normal(8, dtype=dtype), torch.arange(8)):
        checked.convert_pairing(weight, 2, to=pairing)
    layer = checked.RotaryAttention(12, 2, pairing=pairing).to(dtype)
    for positions in (None, somewhere(5), somewhere(2, 5)):
        layer(normal(2, 5, 12, dtype=dtype), positions, causal=False)


def test_the_signature_check_can_fail(checked):
    for call in (
        lambda: checked.apply_rope(torch.ones(4, 6), torch.arange(5)),
        lambda: checked.apply_rope(torch.ones(4, 6), torch.arange(4.0)),
        lambda: checked.rope_angles(torch.arange(4), torch.ones(3, 3)),
    ):
        with pytest.raises(Exception, match="Type-check"):
            call()


def test_the_file_runs_by_itself():
    run = subprocess.run([sys.executable, "-W", "error", str(FILE)], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    for numbers in (
        "-1.1426 1.9221",
        "0.8415, 0.5403, 0.0100, 0.9999",
        "1.0000, 0.0100",
        "-1.1426,  1.9221,  2.9599,  4.0298",
        "-1.9841,  1.9599,  2.4624,  4.0198",
        "[0, 2, 1, 3]",
    ):
        assert numbers in run.stdout, numbers
    assert len([part for part in run.stdout.split("\n\n") if part]) == 1 + 8
    assert "next:" not in run.stdout


STEPS = {
    "sinusoids": "sinusoidal_positions",
    "angles": "rope_frequencies",
    "rotate": "apply_rope",
    "convert": "convert_pairing",
    "layer": "RotaryAttention",
}


@pytest.mark.parametrize("step", STEPS)
def test_the_file_says_what_comes_next(monkeypatch, capsys, step):
    def not_yet(*args, **kwargs):
        raise NotImplementedError

    monkeypatch.setattr(rope, STEPS[step], not_yet)

    rope.main()

    printed = capsys.readouterr().out.splitlines()
    assert "-1.1426 1.9221" in printed[0]
    assert printed[-1] == f"next: step {step} of the task; then run this again"


@pytest.mark.parametrize("style", STYLES)
def test_the_examples_run_with_a_rewrite_too(monkeypatch, capsys, style):
    for name in STEPS.values():
        monkeypatch.setattr(rope, name, getattr(REWRITES[style], name))

    rope.main()

    assert "-1.9841,  1.9599,  2.4624,  4.0198" in capsys.readouterr().out
