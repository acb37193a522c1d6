"""Checks to hand out: one idea each, on small shapes and invented models whose right answer can be worked out by hand."""

import numpy as np
import pytest

from grader.checks import assert_close, parameter_count, set_weights, tensor, through


def block_weights(draw, d_model, prefix=""):
    """Numbers for all weights of a block, by name."""
    shapes = {f"attention.{name}.weight": (d_model, d_model) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
    shapes |= {f"attention.{name}.bias": (d_model,) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
    shapes |= {"feed_forward.up.weight": (4 * d_model, d_model), "feed_forward.up.bias": (4 * d_model,)}
    shapes |= {"feed_forward.down.weight": (d_model, 4 * d_model), "feed_forward.down.bias": (d_model,)}
    weights = {prefix + name: draw(*shape, low=-0.5, high=0.5) for name, shape in shapes.items()}
    weights[f"{prefix}feed_forward.down.weight"] *= 4  # so that the form of GELU shows
    for norm in ("attention_norm", "feed_forward_norm"):
        weights |= norm_weights(draw, d_model, prefix + norm)
    return weights


def norm_weights(draw, d_model, name):
    return {f"{name}.weight": draw(d_model, low=0.5, high=1.5), f"{name}.bias": draw(d_model, low=-0.5, high=0.5)}


def model_weights(draw, vocab_size, context, n_layers, d_model):
    """Numbers for all weights of a model, by name."""
    weights = {"token_embedding.weight": draw(vocab_size, d_model, low=-3, high=3)}
    weights |= {"position_embedding.weight": draw(context, d_model, low=-3, high=3)}
    for layer in range(n_layers):
        weights |= block_weights(draw, d_model, f"blocks.{layer}.")
    return weights | norm_weights(draw, d_model, "final_norm")


# ---------------------------------------------------------------------------------------------- block


@pytest.mark.step("block")
@pytest.mark.points(1.5)
def test_block_adds_to_the_stream_what_attention_and_feed_forward_read_from_it(student, reference, draw):
    weights, x = block_weights(draw, 12), draw(2, 5, 12, low=-3, high=3)
    block, same = student.Block(12, 3), reference.Block(12, 3)
    for module in (block, same):
        set_weights(module, weights)

    got = block(x)

    assert_close(got, same(x))


@pytest.mark.step("block")
@pytest.mark.points(0.5)
def test_block_of_one_head_lets_a_position_read_itself_and_what_came_before(student, reference, draw):
    weights, x = block_weights(draw, 9), draw(3, 4, 9, low=-3, high=3)
    block, same = student.Block(9, 1), reference.Block(9, 1)
    for module in (block, same):
        set_weights(module, weights)

    got = block(x)

    assert_close(got, same(x))


# ---------------------------------------------------------------------------------------------- init

SIZES = '''
import math
import torch

def nearest_half_power_of_two(weight):
    """0 for a standard deviation of 0.02, 2 for twice that, -2 for half of it; -99 for nothing but zeros."""
    deviation = weight.detach().double().std().item()
    return round(2 * math.log2(deviation / 0.02)) if deviation else -99

class Parts(torch.nn.Module):
    """What a model is made of, under the same names."""

    def __init__(self, n_layers):
        super().__init__()
        self.token_embedding = torch.nn.Embedding(50, 32)
        self.position_embedding = torch.nn.Embedding(40, 32)
        self.blocks = torch.nn.ModuleList(submission.Block(32, 4) for _ in range(n_layers))
        self.final_norm = torch.nn.LayerNorm(32)

def sizes_in(model):
    named = dict(model.named_parameters(remove_duplicate=False))
    into_the_stream = [w for name, w in named.items() if name.endswith(("out_proj.weight", "down.weight"))]
    inside = [w for name, w in named.items() if name.endswith(("_proj.weight", "up.weight"))]
    inside = [w for w in inside if not any(w is other for other in into_the_stream)]
    return {
        "token_embedding": nearest_half_power_of_two(named["token_embedding.weight"]),
        "position_embedding": nearest_half_power_of_two(named["position_embedding.weight"]),
        "out_proj and down": sorted({nearest_half_power_of_two(w) for w in into_the_stream}),
        "q_proj, k_proj, v_proj and up": sorted({nearest_half_power_of_two(w) for w in inside}),
    }

def sizes_of_the_first_weights(n_layers):
    parts = Parts(n_layers)
    submission.init_weights(parts)
    return sizes_in(parts)

def sizes_in_a_new_model(n_layers):
    return sizes_in(submission.TransformerLM(50, 40, n_layers, 4, 32))
'''


@pytest.mark.step("init")
@pytest.mark.points(1)
def test_first_weights_have_deviation_0_02_and_less_where_they_add_to_the_stream(student, reference):
    got = through(student, SIZES, "sizes_of_the_first_weights", n_layers=2)

    assert_close(got, through(reference, SIZES, "sizes_of_the_first_weights", n_layers=2))


# ---------------------------------------------------------------------------------------------- model


@pytest.mark.step("model")
@pytest.mark.points(1.5)
def test_model_turns_ids_into_logits(student, reference, draw, rng):
    weights, ids = model_weights(draw, 11, 7, 2, 12), rng.integers(11, size=(3, 7))
    model, same = student.TransformerLM(11, 7, 2, 3, 12), reference.TransformerLM(11, 7, 2, 3, 12)
    for module in (model, same):
        set_weights(module, weights)

    logits = model(ids)

    assert_close(logits, same(ids))


@pytest.mark.step("model")
@pytest.mark.points(0.5)
def test_model_of_the_classic_run_has_809856_parameters(student):
    model = student.TransformerLM(vocab_size=65, context=64, n_layers=4, n_heads=4, d_model=128)

    assert_close(parameter_count(model), 809_856)


@pytest.mark.step("model")
@pytest.mark.points(0.5)
def test_a_new_model_has_the_first_weights(student, reference):
    got = through(student, SIZES, "sizes_in_a_new_model", n_layers=2)

    assert_close(got, through(reference, SIZES, "sizes_in_a_new_model", n_layers=2))


# ---------------------------------------------------------------------------------------------- leak

READER = '''
import torch

class Reader(torch.nn.Module):
    """Row b reads at position t from row c at position s with the weight sees[b, c, t, s]."""

    def __init__(self, table, sees):
        super().__init__()
        self.table, self.sees = table, sees
        self.context = sees.shape[-1]

    def forward(self, ids):
        length = ids.shape[1]
        return torch.einsum("bcts,csv->btv", self.sees[:, :, :length, :length], self.table[ids])

def does_it_look_ahead(table, sees, ids):
    answer = submission.looks_ahead(Reader(table, sees), ids)
    return answer if answer is None else bool(answer)
'''


def causal(n_rows, length):
    """Every row reads itself, and nothing later."""
    return np.einsum("bc,ts->bcts", np.eye(n_rows), np.tri(length)).astype("float32")


@pytest.mark.step("leak")
@pytest.mark.points(1)
def test_leaks_are_found_at_one_place_too_and_a_causal_model_is_cleared(student, reference, draw, rng):
    table, ids, clean = draw(9, 9), rng.integers(9, size=(2, 5)), causal(2, 5)
    everywhere, at_one_place = np.ones_like(clean), clean.copy()
    at_one_place[0, 0, 1, 3] = 0.125  # the first row's position 1 sees position 3

    for sees in (clean, everywhere, at_one_place):
        got = through(student, READER, "does_it_look_ahead", table, sees, ids)
        assert_close(got, through(reference, READER, "does_it_look_ahead", table, sees, ids))


# ---------------------------------------------------------------------------------------------- sample

TALKER = '''
import torch

class Talker(torch.nn.Module):
    """What it says next depends on the last id alone: the logits are that id's row of a table."""

    def __init__(self, table):
        super().__init__()
        self.table, self.context = table, 100

    def forward(self, ids):
        return self.table[ids]

class Rememberer(torch.nn.Module):
    """Every id that it sees counts, by its place in the window; it has no places beyond its context."""

    def __init__(self, table, places):
        super().__init__()
        self.table, self.places, self.context = table, places, len(places)

    def forward(self, ids):
        places = self.places[torch.arange(ids.shape[1])]
        return torch.cumsum(self.table[ids] * places[:, None], dim=1)

def written_from_a_window(table, places, prompt, n_new):
    return submission.generate(Rememberer(table, places), prompt, n_new, temperature=0)

def tenths(shares, prompt, flatter=1.0, **settings):
    """How many tenths of 4,000 draws each id gets, for each id of the prompt, where the logits are ln(shares) · flatter."""
    model = Talker(torch.log(shares) * flatter)
    ids = submission.generate(model, prompt.repeat(4_000, 1).T.reshape(-1, 1), 1, **settings)
    counts = [torch.bincount(row, minlength=len(shares.T)) for row in ids[:, -1].reshape(len(prompt), -1)]
    return torch.stack(counts).mul(10).div(4_000).round().to(torch.int64)
'''
# Right answers lie at whole tenths, so that luck cannot push them to the next one.
SHARES = np.array([[0.2, 0.4, 0.1, 0.3], [0.4, 0.1, 0.3, 0.2]], dtype="float32")
TWO_LARGE = np.array([[6, 1, 4, 3], [1, 4, 2, 6]], dtype="float32")


@pytest.mark.step("sample")
@pytest.mark.points(1)
def test_generate_at_temperature_0_takes_the_largest_logit_and_never_reads_more_than_the_context(
    student, reference, draw, rng
):
    table, places, prompt = draw(8, 8), np.array([1.0, -0.5, 2.0], dtype="float32"), rng.integers(8, size=(3, 2))

    got = through(student, TALKER, "written_from_a_window", table, places, prompt, n_new=4)

    assert_close(got, through(reference, TALKER, "written_from_a_window", table, places, prompt, n_new=4))


@pytest.mark.step("sample")
@pytest.mark.points(1)
def test_generate_draws_by_the_softmax_and_from_the_k_largest_only(student, reference):
    starts = np.array([1, 0])

    for shares, settings in [(SHARES, {}), (TWO_LARGE, {"top_k": 2}), (SHARES, {"flatter": 2.0, "temperature": 2.0})]:
        got = through(student, TALKER, "tenths", shares, starts, **settings)
        assert_close(got, through(reference, TALKER, "tenths", shares, starts, **settings))


# ---------------------------------------------------------------------------------------------- schedule


@pytest.mark.step("schedule")
@pytest.mark.points(1)
def test_learning_rate_warms_up_and_falls_along_a_cosine(student, reference):
    expected = {0: 9.900990e-6, 99: 9.900990e-4, 100: 1e-3, 2550: 5.5e-4, 5000: 1e-4}

    for step, by_hand in expected.items():
        assert_close(student.lr_at(step, 1e-3, 1e-4, 100, 5000), by_hand, tolerance=1e-6)
    for step in (40, 700, 4000, 7000):
        assert_close(student.lr_at(step, 1e-3, 1e-4, 100, 5000), reference.lr_at(step, 1e-3, 1e-4, 100, 5000))


# ---------------------------------------------------------------------------------------------- groups

GROUPS = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.norm = nn.LayerNorm(4)
        self.layer = nn.Linear(4, 3)
        self.again = self.layer

def names_in_each_group(model, weight_decay):
    names = {id(p): name for name, p in model.named_parameters()}
    groups = submission.param_groups(model, weight_decay)
    return [{"weight_decay": group["weight_decay"], "names": [names[id(p)] for p in group["params"]]} for group in groups]

def groups_of_a_small_model(weight_decay):
    return names_in_each_group(Small(), weight_decay)
"""


@pytest.mark.step("groups")
@pytest.mark.points(1)
def test_groups_let_matrices_decay_and_nothing_else(student, reference):
    got = through(student, GROUPS, "groups_of_a_small_model", weight_decay=0.25)

    assert_close(got, through(reference, GROUPS, "groups_of_a_small_model", weight_decay=0.25))


# ---------------------------------------------------------------------------------------------- clip

CLIP = """
import torch

def norm_and_gradients_afterwards(gradients, max_norm):
    params = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for p, gradient in zip(params, gradients):
        p.grad = gradient.clone()
    norm = submission.clip_gradients(params, max_norm)
    return norm, [p.grad for p in params]
"""


@pytest.mark.step("clip")
@pytest.mark.points(1)
def test_clipping_scales_all_gradients_by_one_factor(student, reference, draw):
    three, four = np.array([3.0], "float32"), np.array([4.0], "float32")
    gradients = [draw(3, 4), draw(5)]

    got = through(student, CLIP, "norm_and_gradients_afterwards", [three, four], 1.0)
    more = through(student, CLIP, "norm_and_gradients_afterwards", gradients, 2.5)

    assert_close(got, through(reference, CLIP, "norm_and_gradients_afterwards", [three, four], 1.0))
    assert_close(more, through(reference, CLIP, "norm_and_gradients_afterwards", gradients, 2.5))


# ---------------------------------------------------------------------------------------------- adamw

ADAMW = """
import torch

def weights_after_each_step(start, gradients, lr, **settings):
    weight = torch.nn.Parameter(start.clone())
    optimizer = submission.AdamW([weight], lr, **settings)
    path = []
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
        path.append(weight.detach().clone())
    return torch.stack(path)

def weights_while_the_rate_changes(start, gradients, rates, **settings):
    weight = torch.nn.Parameter(start.clone())
    optimizer = submission.AdamW([weight], lr=1.0, **settings)
    for gradient, rate in zip(gradients, rates):
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = gradient.clone()
        optimizer.step()
    return weight
"""


@pytest.mark.step("adamw")
@pytest.mark.points(1)
def test_adamw_takes_its_first_step_by_the_sign_and_decays_beside_it(student):
    one, half = np.array([1.0], "float32"), np.array([[0.5]], "float32")

    got = through(student, ADAMW, "weights_after_each_step", one, half, lr=1e-3, weight_decay=0.1)

    assert_close(got, tensor(np.array([[0.9989]], "float32")), tolerance=1e-6)


@pytest.mark.step("adamw")
@pytest.mark.points(1)
def test_adamw_remembers_earlier_gradients_over_several_steps(student, reference, draw):
    start, gradients, rates = draw(3, 4), draw(6, 3, 4), [0.25, 0.125, 0.5]
    settings = {"eps": 0.25, "weight_decay": 0.5}

    got = through(student, ADAMW, "weights_after_each_step", start, gradients, lr=0.05, **settings)
    changing = through(student, ADAMW, "weights_while_the_rate_changes", start, gradients[:3], rates)

    assert_close(got, through(reference, ADAMW, "weights_after_each_step", start, gradients, lr=0.05, **settings))
    assert_close(changing, through(reference, ADAMW, "weights_while_the_rate_changes", start, gradients[:3], rates))


# ---------------------------------------------------------------------------------------------- train

TRAIN = '''
import torch

class Learner(torch.nn.Module):
    """The logits of what comes after an id: its row of a table."""

    def __init__(self, table):
        super().__init__()
        self.table = torch.nn.Parameter(table.clone())

    def forward(self, ids):
        return self.table[ids]

class Descent(torch.optim.Optimizer):
    """Plain gradient descent. (The first step of torch.optim.SGD loads torch.compile: two seconds.)"""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    def step(self):
        for p in (p for group in self.param_groups for p in group["params"]):
            if p.grad is not None:
                p.data.sub_(self.defaults["lr"] * p.grad)

def losses_and_weights_after_two_steps(table, micro_batches, max_norm):
    model = Learner(table)
    optimizer = Descent(model.parameters(), lr=1.0)
    losses = [submission.train_step(model, optimizer, micro_batches, max_norm) for _ in range(2)]
    plain = all(isinstance(loss, float) for loss in losses)
    losses = torch.tensor([float(loss) for loss in losses], dtype=torch.float32)
    return {"losses": losses, "plain floats": plain, "weights": model.table}
'''


@pytest.mark.step("train")
@pytest.mark.points(0.5)
def test_train_step_on_one_batch_goes_down_its_gradient(student, reference, draw, rng):
    table, batch = draw(7, 7), (rng.integers(7, size=(2, 5)), rng.integers(7, size=(2, 5)))

    got = through(student, TRAIN, "losses_and_weights_after_two_steps", table, [batch], max_norm=100.0)

    assert_close(got, through(reference, TRAIN, "losses_and_weights_after_two_steps", table, [batch], max_norm=100.0))


@pytest.mark.step("train")
@pytest.mark.points(1)
def test_train_step_averages_over_three_micro_batches_and_clips(student, reference, draw, rng):
    table = draw(7, 7)
    batches = [(rng.integers(7, size=(2, 5)), rng.integers(7, size=(2, 5))) for _ in range(3)]

    for max_norm in (100.0, 0.0625):
        got = through(student, TRAIN, "losses_and_weights_after_two_steps", table, batches, max_norm)
        assert_close(got, through(reference, TRAIN, "losses_and_weights_after_two_steps", table, batches, max_norm))


# ---------------------------------------------------------------------------------------------- evaluate

TEXT = '''
import torch

class Placed(torch.nn.Module):
    """Logits by the id and by its place in the window."""

    def __init__(self, table, places):
        super().__init__()
        self.table, self.places = table, places
        self.context = len(places)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, ids):
        return self.dropout(self.table[ids] + self.places[: ids.shape[1]])

def loss_of_a_text(table, places, ids, context):
    model = Placed(table, places).train()
    loss = submission.estimate_loss(model, ids, context)
    plain, number = isinstance(loss, float), torch.tensor(float(loss), dtype=torch.float32)
    return {"loss": number, "a plain float": plain, "in training again": model.training}
'''


@pytest.mark.step("evaluate")
@pytest.mark.points(1)
def test_loss_of_a_text_counts_every_full_window_once(student, reference, draw, rng):
    table, places = draw(6, 6), draw(3, 6)

    for n_ids in (10, 9):
        ids = rng.integers(6, size=n_ids)
        got = through(student, TEXT, "loss_of_a_text", table, places, ids, context=3)
        assert_close(got, through(reference, TEXT, "loss_of_a_text", table, places, ids, context=3))
