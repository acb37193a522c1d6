"""Checks to keep: every argument on both sides of its threshold, every weight's gradient, models made to trip a habit."""

import numpy as np
import pytest
from test_public import (
    GROUPS,
    READER,
    SHARES,
    SIZES,
    TALKER,
    TRAIN,
    TWO_LARGE,
    block_weights,
    causal,
    model_weights,
)

from grader.checks import assert_close, assert_raises, gradients_of, parameter_count, set_weights, through

# ---------------------------------------------------------------------------------------------- block


@pytest.mark.step("block")
@pytest.mark.points(1)
def test_block_passes_gradients_to_its_input_and_to_every_weight(student, reference, draw):
    weights, x, cotangent = block_weights(draw, 8), draw(2, 5, 8, low=-3, high=3), draw(2, 5, 8)
    block, same = student.Block(8, n_heads=2), reference.Block(8, n_heads=2)
    for module in (block, same):
        set_weights(module, weights)

    by_input, by_weight = gradients_of(block, cotangent, x)

    expected_by_input, expected_by_weight = gradients_of(same, cotangent, x)
    assert_close(by_input, expected_by_input)
    assert_close(by_weight, expected_by_weight)


@pytest.mark.step("block")
@pytest.mark.points(1)
def test_block_of_every_number_of_heads_reads_streams_of_every_size(student, reference, draw):
    for d_model, n_heads, length, size in [(10, 5, 4, 0.002), (12, 4, 7, 2.0), (8, 2, 1, 2.0), (4, 4, 3, 50.0)]:
        weights, x = block_weights(draw, d_model), draw(2, length, d_model) * np.float32(size)
        block, same = student.Block(d_model, n_heads), reference.Block(d_model, n_heads)
        for module in (block, same):
            set_weights(module, weights)
        assert_close(block(x), same(x))
        for module in (block, same):
            module.eval()
        assert_close(block(x), same(x))


@pytest.mark.step("block")
@pytest.mark.points(1)
def test_block_has_twelve_squares_and_thirteen_widths_of_parameters(student, reference):
    for d_model, n_heads in [(6, 3), (20, 4)]:
        got = parameter_count(student.Block(d_model=d_model, n_heads=n_heads))
        assert_close(got, parameter_count(reference.Block(d_model=d_model, n_heads=n_heads)))


# ---------------------------------------------------------------------------------------------- init

FIRST_WEIGHTS = (
    SIZES
    + '''
def sizes_after_init_weights_on_used_parts(n_layers):
    parts = Parts(n_layers)
    with torch.no_grad():
        for name, p in parts.named_parameters():
            if "norm" not in name:
                p.fill_(3.0)
    submission.init_weights(parts)
    biases = [p for name, p in parts.named_parameters() if name.endswith("bias") and "norm" not in name]
    return sizes_in(parts), sorted({p.abs().max().item() for p in biases})

def biases_and_norms(model):
    named = dict(model.named_parameters())
    biases = {x for name, p in named.items() if name.endswith("bias") for x in p.flatten().tolist()}
    norms = {x for name, p in named.items() if name.endswith("norm.weight") for x in p.flatten().tolist()}
    return {"biases": sorted(biases)[:9], "weights of norms": sorted(norms)[:9]}

def biases_and_norms_of_parts():
    parts = Parts(2)
    submission.init_weights(parts)
    return biases_and_norms(parts)

def biases_and_norms_of_a_new_model():
    return biases_and_norms(submission.TransformerLM(9, 5, 2, 2, 8))

def twentieths_beyond_two_deviations():
    """One of twenty numbers of a normal distribution lies further than two deviations from its mean.

    The last number is the deviation of 8,192 weights, in tenths of 0.02.
    """
    model = Parts(2)
    submission.init_weights(model)
    inside = torch.cat([block.feed_forward.up.weight.detach().double().flatten() for block in model.blocks])
    tails = []
    for weights in (model.token_embedding.weight, model.blocks[1].feed_forward.up.weight):
        numbers = weights.detach().double().flatten()
        far = ((numbers - numbers.mean()).abs() > 2 * numbers.std()).double().mean().item()
        tails.append(round(20 * far))
        tails.append(round(4 * (numbers.mean() / numbers.std()).item()))
    return [*tails, round(10 * (inside.std() / 0.02).item())]

def initialised_parts():
    parts = Parts(1)
    submission.init_weights(parts)
    return parts

def new_model():
    return submission.TransformerLM(9, 5, 1, 2, 8)

def repeats_with_the_same_seed_and_not_with_another(made):
    first = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        first.append({"parts": initialised_parts, "model": new_model}[made]().position_embedding.weight.detach().clone())
    return torch.equal(first[0], first[2]), torch.equal(first[0], first[1])
'''
)


@pytest.mark.step("init")
@pytest.mark.points(1)
def test_first_weights_shrink_with_the_depth_where_they_add_to_the_stream(student, reference):
    for n_layers in (1, 8):
        got = through(student, FIRST_WEIGHTS, "sizes_of_the_first_weights", n_layers=n_layers)
        assert_close(got, through(reference, FIRST_WEIGHTS, "sizes_of_the_first_weights", n_layers=n_layers))
    got = through(student, FIRST_WEIGHTS, "sizes_after_init_weights_on_used_parts", n_layers=2)
    assert_close(got, through(reference, FIRST_WEIGHTS, "sizes_after_init_weights_on_used_parts", n_layers=2))


@pytest.mark.step("init")
@pytest.mark.points(1)
def test_first_weights_are_normal_biases_zero_and_the_seed_is_the_callers(student, reference):
    for helper in ("biases_and_norms_of_parts", "twentieths_beyond_two_deviations"):
        assert_close(through(student, FIRST_WEIGHTS, helper), through(reference, FIRST_WEIGHTS, helper))
    got = through(student, FIRST_WEIGHTS, "repeats_with_the_same_seed_and_not_with_another", made="parts")
    assert_close(
        got, through(reference, FIRST_WEIGHTS, "repeats_with_the_same_seed_and_not_with_another", made="parts")
    )


# ---------------------------------------------------------------------------------------------- model

EMBEDDING = """
import torch

def gradient_of_the_token_embedding(model, ids, cotangent):
    (model(ids) * cotangent.to(model.token_embedding.weight.dtype)).sum().backward()
    return model.token_embedding.weight.grad
"""


@pytest.mark.step("model")
@pytest.mark.points(0.5)
def test_model_reads_every_length_up_to_its_context_and_refuses_longer_ones(student, reference, draw, rng):
    weights, ids = model_weights(draw, 7, 5, 1, 8), rng.integers(7, size=(2, 6))
    apart = np.tile(np.linspace(-6, 6, 8, dtype="float32"), (7, 1))  # no vector so small that a norm's eps would show
    weights["token_embedding.weight"] += rng.permuted(apart, axis=1)
    model, same = student.TransformerLM(7, 5, 1, 2, 8), reference.TransformerLM(7, 5, 1, 2, 8)
    for module in (model, same):
        set_weights(module, weights)

    for length in (1, 2, 3, 4, 5):  # the form of GELU shows little here
        assert_close(model(ids[:, :length]), same(ids[:, :length]), tolerance=5e-6)
    assert_raises(ValueError, model, ids)
    assert_close(model.get("context"), same.get("context"))


@pytest.mark.step("model")
@pytest.mark.points(1)
def test_model_runs_through_all_its_blocks_in_order(student, reference, draw, rng):
    for vocab_size, context, n_layers, n_heads, d_model in [(5, 6, 3, 2, 8), (9, 4, 1, 5, 10), (13, 3, 2, 1, 9)]:
        weights = model_weights(draw, vocab_size, context, n_layers, d_model)
        ids = rng.integers(vocab_size, size=(2, context))
        model = student.TransformerLM(vocab_size, context, n_layers, n_heads, d_model)
        same = reference.TransformerLM(vocab_size, context, n_layers, n_heads, d_model)
        for module in (model, same):
            set_weights(module, weights)
        assert_close(model(ids), same(ids))
        for module in (model, same):
            module.eval()
        assert_close(model(ids), same(ids))


@pytest.mark.step("model")
@pytest.mark.points(1)
def test_model_passes_gradients_to_every_weight_and_twice_to_the_tied_one(student, reference, draw, rng):
    weights, ids, cotangent = model_weights(draw, 9, 6, 2, 8), rng.integers(9, size=(3, 5)), draw(3, 5, 9)
    ids[0, 0] = 0  # no id is special
    model, same = student.TransformerLM(9, 6, 2, 2, 8), reference.TransformerLM(9, 6, 2, 2, 8)
    for module in (model, same):
        set_weights(module, weights)

    tied = through(student, EMBEDDING, "gradient_of_the_token_embedding", model, ids, cotangent)
    _, by_weight = gradients_of(model, cotangent, ids)

    assert_close(tied, through(reference, EMBEDDING, "gradient_of_the_token_embedding", same, ids, cotangent))
    _, expected = gradients_of(same, cotangent, ids)
    for name in {*by_weight, *expected}:
        if not name.startswith(("blocks", "position", "final")):  # the tied weight, which may go by the head's name
            by_weight.pop(name, None), expected.pop(name, None)
    assert_close(by_weight, expected)


@pytest.mark.step("model")
@pytest.mark.points(0.5)
def test_a_new_model_of_every_depth_has_the_first_weights(student, reference):
    for n_layers in (1, 8):
        got = through(student, FIRST_WEIGHTS, "sizes_in_a_new_model", n_layers=n_layers)
        assert_close(got, through(reference, FIRST_WEIGHTS, "sizes_in_a_new_model", n_layers=n_layers))
    got = through(student, FIRST_WEIGHTS, "biases_and_norms_of_a_new_model")
    assert_close(got, through(reference, FIRST_WEIGHTS, "biases_and_norms_of_a_new_model"))
    got = through(student, FIRST_WEIGHTS, "repeats_with_the_same_seed_and_not_with_another", made="model")
    assert_close(
        got, through(reference, FIRST_WEIGHTS, "repeats_with_the_same_seed_and_not_with_another", made="model")
    )


@pytest.mark.step("model")
@pytest.mark.points(0.5)
def test_model_of_every_shape_has_exactly_its_parameters(student, reference):
    for shape in [(11, 7, 1, 3, 12), (23, 5, 3, 2, 8)]:
        got = parameter_count(student.TransformerLM(*shape))
        assert_close(got, parameter_count(reference.TransformerLM(*shape)))


# ---------------------------------------------------------------------------------------------- leak

FORGETFUL_READER = (
    READER
    + '''
class ForgetfulReader(Reader):
    """In training it forgets some of what it has read."""

    def __init__(self, table, sees):
        super().__init__(table, sees)
        self.dropout = torch.nn.Dropout(0.25)
        self.with_gradients = False

    def forward(self, ids):
        self.with_gradients |= torch.is_grad_enabled()
        return self.dropout(super().forward(ids))

def what_the_test_leaves(table, sees, ids, training):
    model = ForgetfulReader(table, sees).train(training)
    before, writes = ids.clone(), ids._version
    answer = submission.looks_ahead(model, ids)
    return {
        "looks ahead": answer if answer is None else bool(answer),
        "still in training": model.training,
        "asked with gradients": model.with_gradients,
        "ids unchanged": torch.equal(ids, before),
        "ids never written to": ids._version == writes,
    }
'''
)


@pytest.mark.step("leak")
@pytest.mark.points(0.5)
def test_leaks_of_every_reach_at_any_position_and_in_any_row_are_found(student, reference, draw, rng):
    table, ids = draw(9, 9), rng.integers(9, size=(3, 6))

    for row, other, reader, read in [
        (0, 0, 0, 5),
        (2, 2, 4, 5),
        (1, 1, 0, 1),
        (2, 2, 1, 3),
        (0, 2, 2, 4),
        (1, 1, 2, 3),
    ]:
        sees = causal(3, 6)
        sees[row, other, reader, read] = 0.125
        for shown in (ids, np.zeros_like(ids)):
            got = through(student, READER, "does_it_look_ahead", table, sees, shown)
            assert_close(got, through(reference, READER, "does_it_look_ahead", table, sees, shown))


@pytest.mark.step("leak")
@pytest.mark.points(0.5)
def test_leaks_are_told_from_rounding_whatever_the_size_of_the_logits(student, reference, draw, rng):
    sees, nearly_clean, ids = causal(3, 5), causal(3, 5), rng.integers(9, size=(3, 5))
    sees[1, 1, 0, 4], nearly_clean[1, 1, 0, 4] = 0.125, 2.0**-20
    negative, falling = draw(9, 9, low=-3, high=-1), np.array([[2.0, 1.5], [-1.0, 0.5]], dtype="float32")
    negative[:, 3] = 0.0
    one_large = draw(9, 9)
    one_large[ids[1, 0]] = [0, 0, 0, 0, 4, 0, 0, 0, 0]  # beside it any change of the zeros by 2⁻²⁰ is rounding
    only_a_fall = np.ones((3, 5), dtype="int64")
    only_a_fall[1, 4] = 0  # of two ids, the other one lowers all logits

    for table, seen, read in [
        (draw(9, 9) * np.float32(2.0**-14), sees, ids),
        (negative, nearly_clean, ids),
        (np.zeros((9, 9), dtype="float32"), np.ones_like(sees), ids),
        (falling, sees, only_a_fall),
        (one_large, nearly_clean, ids),
    ]:
        got = through(student, READER, "does_it_look_ahead", table, seen, read)
        assert_close(got, through(reference, READER, "does_it_look_ahead", table, seen, read))


@pytest.mark.step("leak")
@pytest.mark.points(0.5)
def test_models_without_a_leak_in_time_are_cleared_and_left_as_they_were(student, reference, draw, rng):
    table, ids = draw(9, 9), rng.integers(9, size=(3, 5))
    among_rows = np.einsum("bc,ts->bcts", np.ones((3, 3)), np.tri(5)).astype("float32")

    for sees, length in [(causal(3, 5), 5), (among_rows, 5), (causal(3, 5), 1)]:
        got = through(student, READER, "does_it_look_ahead", table, sees, ids[:, :length])
        assert_close(got, through(reference, READER, "does_it_look_ahead", table, sees, ids[:, :length]))
    for training in (True, False):
        got = through(student, FORGETFUL_READER, "what_the_test_leaves", table, causal(3, 5), ids, training)
        assert_close(
            got, through(reference, FORGETFUL_READER, "what_the_test_leaves", table, causal(3, 5), ids, training)
        )


@pytest.mark.step("leak")
@pytest.mark.points(0.5)
def test_a_leak_in_training_mode_is_found_and_the_mode_comes_back(student, reference, draw, rng):
    table, ids, sees = draw(9, 9), rng.integers(9, size=(3, 5)), causal(3, 5)
    sees[0, 0, 1, 3] = 1.0

    for training in (True, False):
        got = through(student, FORGETFUL_READER, "what_the_test_leaves", table, sees, ids, training)
        assert_close(got, through(reference, FORGETFUL_READER, "what_the_test_leaves", table, sees, ids, training))


# ---------------------------------------------------------------------------------------------- sample

WRITING = (
    TALKER
    + '''
def written(table, prompt, n_new, **settings):
    return submission.generate(Talker(table), prompt, n_new, **settings)

def tenths_of_pairs(shares):
    """How many tenths of 4,000 texts of two ids each pair gets, all prompts being 0."""
    ids = submission.generate(Talker(torch.log(shares)), torch.zeros(4_000, 1, dtype=torch.int64), 2)[:, 1:]
    pairs = torch.bincount(ids[:, 0] * len(shares) + ids[:, 1], minlength=len(shares) ** 2)
    return pairs.mul(10).div(4_000).round().to(torch.int64)

class Watched(torch.nn.Module):
    def __init__(self, vocab_size):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(vocab_size))
        self.dropout = torch.nn.Dropout(0.5)
        self.context, self.modes = 4, []

    def forward(self, ids):
        self.modes.append((self.training, torch.is_grad_enabled()))
        return self.dropout(self.logits + torch.zeros(*ids.shape, len(self.logits)))

def what_writing_leaves(prompt, training):
    model = Watched(5).train(training)
    before = prompt.clone()
    ids = submission.generate(model, prompt, 3)
    return {
        "training or gradients while it writes": [mode or gradients for mode, gradients in model.modes],
        "still in training": model.training,
        "prompt unchanged": torch.equal(prompt, before),
        "prompt kept": torch.equal(ids[:, : prompt.shape[1]], before),
        "new ids": ids.shape[1] - prompt.shape[1],
    }

def what_the_seed_does():
    """Are they equal, with: one seed twice; other global states; seed 0 and none; two seeds. Is the global state kept?
    And in how many quarters are neighbouring steps, and neighbouring rows, equal, where four ids are equally likely?"""
    model, prompt = Talker(torch.zeros(4, 4)), torch.zeros(500, 1, dtype=torch.int64)
    torch.manual_seed(11)
    state = torch.get_rng_state()
    first = submission.generate(model, prompt, 6, seed=3)
    kept = torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(12)
    again = submission.generate(model, prompt, 6, seed=3)
    unset, zero = submission.generate(model, prompt, 6), submission.generate(model, prompt, 6, seed=0)
    steps = (first[:, 1:-1] == first[:, 2:]).double().mean().item()
    rows = (first[:-1, 1:] == first[1:, 1:]).double().mean().item()
    equal = [torch.equal(first, again), torch.equal(unset, zero), torch.equal(first, zero)]
    return {"equal": equal, "global state kept": kept, "steps": round(4 * steps), "rows": round(4 * rows)}
'''
)
# As in SHARES, right answers lie at whole tenths.
TIES = np.array([[1, 2, 1, 0.5, 1], [4, 1, 4, 1, 0.25]], dtype="float32")
FIVE = np.array([[0.2, 0.4, 0.1, 0.2, 0.1], [0.1, 0.1, 0.3, 0.1, 0.4]], dtype="float32")


@pytest.mark.step("sample")
@pytest.mark.points(1)
def test_generate_shows_the_model_the_last_context_ids_and_keeps_the_whole_prompt(student, reference, draw, rng):
    table, places = draw(11, 11), np.array([1.0, -0.5, 2.0, 0.25], dtype="float32")

    for length, n_new in [(1, 9), (3, 5), (4, 2), (7, 4), (6, 0)]:
        prompt = rng.integers(11, size=(3, length))
        got = through(student, TALKER, "written_from_a_window", table, places, prompt, n_new)
        assert_close(got, through(reference, TALKER, "written_from_a_window", table, places, prompt, n_new))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_generate_at_temperature_0_takes_the_first_of_equal_logits(student, reference):
    table = np.array([[1, 3, 0, 3], [2, 2, 2, 2], [-1, -1, -2, -1], [0, 1, 1, 1]], dtype="float32")
    prompt = np.array([[0], [1], [2], [3]])

    for settings in ({"temperature": 0}, {"temperature": 0.0, "top_k": 2, "seed": 5}):
        got = through(student, WRITING, "written", table, prompt, n_new=1, **settings)
        assert_close(got, through(reference, WRITING, "written", table, prompt, n_new=1, **settings))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_generate_divides_the_logits_by_the_temperature(student, reference):
    starts = np.array([0, 1])

    for shares, settings in [
        (SHARES, {"flatter": 0.5, "temperature": 0.5}),
        (SHARES, {"flatter": 2.0, "temperature": 2.0}),
        (TWO_LARGE, {"flatter": 0.25, "temperature": 0.25, "top_k": 2}),
        (SHARES, {"temperature": 1e-3}),
    ]:
        got = through(student, TALKER, "tenths", shares, starts, **settings)
        assert_close(got, through(reference, TALKER, "tenths", shares, starts, **settings))


@pytest.mark.step("sample")
@pytest.mark.points(1)
def test_generate_keeps_every_tie_at_the_edge_of_top_k_in_each_row(student, reference):
    starts = np.array([0, 1])

    for shares, top_k in [(TIES, 1), (TIES, 2), (TIES, 4), (FIVE, 5), (FIVE, 7)]:
        got = through(student, TALKER, "tenths", shares, starts, top_k=top_k)
        assert_close(got, through(reference, TALKER, "tenths", shares, starts, top_k=top_k))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_generate_draws_rows_and_steps_independently_from_its_own_seed(student, reference):
    chain = np.array([[0.3, 0.7], [3 / 7, 4 / 7]], dtype="float32")

    pairs = through(student, WRITING, "tenths_of_pairs", chain)
    seeds = through(student, WRITING, "what_the_seed_does")

    assert_close(pairs, through(reference, WRITING, "tenths_of_pairs", chain))
    assert_close(seeds, through(reference, WRITING, "what_the_seed_does"))


@pytest.mark.step("sample")
@pytest.mark.points(0.5)
def test_generate_asks_in_evaluation_mode_and_leaves_everything_as_it_was(student, reference, rng):
    prompt = rng.integers(5, size=(2, 3))

    for training in (True, False):
        got = through(student, WRITING, "what_writing_leaves", prompt, training)
        assert_close(got, through(reference, WRITING, "what_writing_leaves", prompt, training))


# ---------------------------------------------------------------------------------------------- schedule


@pytest.mark.step("schedule")
@pytest.mark.points(1)
def test_learning_rate_of_every_step_of_a_short_run_is_right(student, reference):
    for step in (0, 1, 3, 4, 5, 9, 16, 17, 18, 30):
        got = student.lr_at(step=step, max_lr=0.5, min_lr=0.125, warmup=4, total=17)
        assert_close(got, reference.lr_at(step=step, max_lr=0.5, min_lr=0.125, warmup=4, total=17))


@pytest.mark.step("schedule")
@pytest.mark.points(1)
def test_learning_rate_without_warmup_and_with_nothing_else(student, reference):
    for step, warmup, total in [(0, 0, 5), (1, 0, 5), (2, 6, 6), (5, 6, 6), (6, 6, 6), (8, 6, 6), (0, 0, 0), (6, 6, 7)]:
        got = student.lr_at(step, 0.5, 0.0, warmup, total)
        assert_close(got, reference.lr_at(step, 0.5, 0.0, warmup, total))


# ---------------------------------------------------------------------------------------------- groups

MIXED_GROUPS = (
    GROUPS
    + '''
class Mixed(nn.Module):
    """Vectors before matrices, a shared layer, a tied weight, axes from 0 to 3, frozen ones among them."""

    def __init__(self, frozen):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.shift = nn.Parameter(torch.zeros(1, 5))
        self.norm = nn.LayerNorm(4)
        self.embedding = nn.Embedding(7, 4)
        self.first = nn.Linear(4, 4)
        self.second = self.first
        self.convolution = nn.Conv1d(4, 3, 2)
        self.scale_weight = nn.Parameter(torch.ones(6))
        self.bias_table = nn.Parameter(torch.ones(3, 2))
        self.head = nn.Linear(4, 7)
        self.head.weight = self.embedding.weight
        for name, p in self.named_parameters():
            p.requires_grad_(name not in frozen)

def groups_of_a_mixed_model(frozen, weight_decay):
    return names_in_each_group(Mixed(frozen), weight_decay)

def names_where_one_list_is_empty(weight_decay):
    listed = []
    for model in (nn.Linear(3, 2, bias=False), nn.LayerNorm(3)):
        groups = submission.param_groups(model, weight_decay)
        listed.append([[len(list(group["params"])), group["weight_decay"]] for group in groups])
    return listed
'''
)


@pytest.mark.step("groups")
@pytest.mark.points(1)
def test_groups_go_by_the_number_of_axes_and_hold_every_parameter_once(student, reference):
    got = through(student, MIXED_GROUPS, "groups_of_a_mixed_model", frozen=[], weight_decay=0.5)

    assert_close(got, through(reference, MIXED_GROUPS, "groups_of_a_mixed_model", frozen=[], weight_decay=0.5))
    for decay in (0.125, 0.0):
        got = through(student, MIXED_GROUPS, "names_where_one_list_is_empty", weight_decay=decay)
        assert_close(got, through(reference, MIXED_GROUPS, "names_where_one_list_is_empty", weight_decay=decay))


@pytest.mark.step("groups")
@pytest.mark.points(1)
def test_groups_leave_out_what_is_frozen(student, reference):
    frozen = ["norm.weight", "embedding.weight", "convolution.bias"]

    got = through(student, MIXED_GROUPS, "groups_of_a_mixed_model", frozen, weight_decay=0.1)

    assert_close(got, through(reference, MIXED_GROUPS, "groups_of_a_mixed_model", frozen, weight_decay=0.1))


# ---------------------------------------------------------------------------------------------- clip

CLIP = '''
import torch

def norm_and_gradients_afterwards(gradients, max_norm, of_an_iterator=False):
    """None stands for a parameter without a gradient."""
    params = [torch.nn.Parameter(torch.zeros(2) if g is None else torch.zeros_like(g)) for g in gradients]
    for p, gradient in zip(params, gradients):
        p.grad = None if gradient is None else gradient.clone()
    held = [p.grad for p in params]
    norm = submission.clip_gradients(iter(params) if of_an_iterator else params, max_norm)
    return norm, [p.grad for p in params], {"in place": all(p.grad is g for p, g in zip(params, held))}

def norm_without_any_gradient():
    return float(submission.clip_gradients([torch.nn.Parameter(torch.ones(3))], 1.0))
'''


@pytest.mark.step("clip")
@pytest.mark.points(1)
def test_clipping_changes_nothing_at_or_below_the_limit(student, reference, draw):
    three, four = np.array([[3.0]], "float32"), np.array([4.0], "float32")
    gradients = [draw(2, 3), draw(4)]
    cases = [((three, four), 5.0), (gradients, 60.0), (gradients, float("inf")), (gradients, 0.5)]

    for given, max_norm in cases:
        got = through(student, CLIP, "norm_and_gradients_afterwards", list(given), max_norm)
        assert_close(got, through(reference, CLIP, "norm_and_gradients_afterwards", list(given), max_norm))


@pytest.mark.step("clip")
@pytest.mark.points(1)
def test_clipping_takes_an_iterator_and_skips_missing_gradients(student, reference, draw):
    gradients = [None, draw(2, 3, 2), None, draw(4), draw(1)]

    for max_norm in (0.75, 100.0):
        got = through(student, CLIP, "norm_and_gradients_afterwards", gradients, max_norm, of_an_iterator=True)
        expected = through(reference, CLIP, "norm_and_gradients_afterwards", gradients, max_norm, of_an_iterator=True)
        assert_close(got, expected)
    assert_close(through(student, CLIP, "norm_without_any_gradient"), 0.0)


# ---------------------------------------------------------------------------------------------- adamw

ADAMW = '''
import torch

def weights_after_each_step(groups, gradients, changes=(), **settings):
    """``gradients``: for every step one for each parameter, None where there is none. ``changes``: (step, group, new)."""
    params = [[torch.nn.Parameter(weight.clone()) for weight in group["params"]] for group in groups]
    flat = [p for of_group in params for p in of_group]
    optimizer = submission.AdamW([group | {"params": ps} for group, ps in zip(groups, params)], **settings)
    path = []
    for step, of_step in enumerate(gradients):
        for when, number, new in changes:
            if when == step:
                optimizer.param_groups[number].update(new)
        for p, gradient in zip(flat, of_step):
            p.grad = None if gradient is None else gradient.clone()
        optimizer.step()
        path.append([p.detach().clone() for p in flat])
    return path

def weights_with_a_group_added_later(start, gradients, lr):
    first, second = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    optimizer = submission.AdamW([first], lr)
    for step, gradient in enumerate(gradients):
        if step == 2:
            optimizer.add_param_group({"params": [second], "lr": 2 * lr, "weight_decay": 0.5})
        for p in (first, second):
            p.grad = gradient.clone()
        optimizer.step()
    return [first, second]

def weights_after_a_break(start, gradients, lr):
    """After two steps everything but the weight and ``state_dict()`` is forgotten."""
    weight = torch.nn.Parameter(start.clone())
    optimizer = submission.AdamW([weight], lr, betas=(0.5, 0.75), weight_decay=0.25)
    for step, gradient in enumerate(gradients):
        if step == 2:
            saved = optimizer.state_dict()
            weight = torch.nn.Parameter(weight.detach().clone())
            optimizer = submission.AdamW([weight], lr=100.0)
            optimizer.load_state_dict(saved)
        weight.grad = gradient.clone()
        optimizer.step()
    return weight

def what_two_steps_leave(start, gradients, lr):
    weight = torch.nn.Parameter(start.clone())
    place = weight.data_ptr()
    optimizer = submission.AdamW(iter([weight]), lr=lr)
    for gradient in gradients:
        weight.grad = gradient.clone()
        answer = optimizer.step()
    return {"gradient": weight.grad, "in place": weight.data_ptr() == place, "nothing comes back": answer is None}

def steps_with_a_closure(start, target, n_steps, **settings):
    """Gradient and loss come from the closure; it notes each call, and how far the weight was then."""
    weight = torch.nn.Parameter(start.clone())
    optimizer = submission.AdamW([weight], **settings)
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = ((weight - target) ** 2).sum()
        seen.append([torch.is_grad_enabled(), weight.detach().clone()])
        if loss.requires_grad:
            loss.backward()
        return loss.detach()

    with torch.no_grad():
        losses = [optimizer.step(closure) for _ in range(n_steps)]
    return {"losses": losses, "calls": seen, "weight": weight}
'''


@pytest.mark.step("adamw")
@pytest.mark.points(1)
def test_adamw_takes_each_groups_settings_as_they_are_now(student, reference, draw):
    groups = [
        {"params": [draw(3, 4), draw(5)], "weight_decay": 0.5, "lr": 0.125},
        {"params": [draw(2, 1)], "betas": [0.5, 0.75], "eps": 0.25},
        {"params": [draw(4)], "weight_decay": 0.0},
    ]
    gradients = [[draw(3, 4), draw(5), draw(2, 1), draw(4)] for _ in range(9)]
    changes = [(3, 0, {"lr": 0.03125}), (5, 2, {"weight_decay": 0.75, "lr": 0.5}), (6, 1, {"betas": [0.75, 0.5]})]

    got = through(student, ADAMW, "weights_after_each_step", groups, gradients, changes, lr=0.0625, weight_decay=0.25)

    expected = through(
        reference, ADAMW, "weights_after_each_step", groups, gradients, changes, lr=0.0625, weight_decay=0.25
    )
    assert_close(got, expected)


@pytest.mark.step("adamw")
@pytest.mark.points(0.5)
def test_adamw_leaves_parameters_without_a_gradient_alone(student, reference, draw):
    groups = [{"params": [draw(2, 3), draw(3)]}, {"params": [draw(4)]}]
    gradients = [[draw(2, 3), draw(3), None], [draw(2, 3), None, None], [None, None, None], [None, draw(3), draw(4)]]
    gradients += [[draw(2, 3), draw(3), draw(4)], [draw(2, 3), None, draw(4)]]
    gradients += [[np.zeros(shape, dtype="float32") for shape in [(2, 3), 3, 4]]]  # a gradient all the same

    got = through(student, ADAMW, "weights_after_each_step", groups, gradients, lr=0.125, weight_decay=0.5)

    expected = through(reference, ADAMW, "weights_after_each_step", groups, gradients, lr=0.125, weight_decay=0.5)
    assert_close(got, expected)


@pytest.mark.step("adamw")
@pytest.mark.points(1)
def test_adamw_knows_small_gradients_from_eps_and_uses_its_defaults(student, reference, draw):
    groups = [{"params": [draw(3, 5)]}]
    small = [[draw(3, 5) * np.float32(2.0**-26)] for _ in range(5)]
    plain = [[draw(3, 5)] for _ in range(12)]

    for gradients, settings in [(small, {"lr": 0.5}), (plain, {"lr": 0.25}), (plain, {"lr": 0.25, "eps": 0.5})]:
        got = through(student, ADAMW, "weights_after_each_step", groups, gradients, **settings)
        assert_close(got, through(reference, ADAMW, "weights_after_each_step", groups, gradients, **settings))


@pytest.mark.step("adamw")
@pytest.mark.points(1)
def test_adamw_goes_on_from_its_state_dict_and_takes_new_groups(student, reference, draw):
    start, gradients = draw(3, 2), draw(6, 3, 2)

    after_breaks = through(student, ADAMW, "weights_after_a_break", start, gradients, lr=0.125)
    with_more = through(student, ADAMW, "weights_with_a_group_added_later", start, gradients, lr=0.125)

    assert_close(after_breaks, through(reference, ADAMW, "weights_after_a_break", start, gradients, lr=0.125))
    assert_close(with_more, through(reference, ADAMW, "weights_with_a_group_added_later", start, gradients, lr=0.125))


@pytest.mark.step("adamw")
@pytest.mark.points(0.5)
def test_adamw_calls_a_closure_once_first_and_with_gradients(student, reference, draw):
    start, target, gradients = draw(4), draw(4), draw(2, 4)

    with_closure = through(student, ADAMW, "steps_with_a_closure", start, target, n_steps=3, lr=0.125, weight_decay=0.5)
    without = through(student, ADAMW, "what_two_steps_leave", start, gradients, lr=0.125)

    expected = through(reference, ADAMW, "steps_with_a_closure", start, target, n_steps=3, lr=0.125, weight_decay=0.5)
    assert_close(with_closure, expected)
    assert_close(without, through(reference, ADAMW, "what_two_steps_leave", start, gradients, lr=0.125))


# ---------------------------------------------------------------------------------------------- train

TRAIN_PLACES = (
    TRAIN
    + '''
class PlacedLearner(Learner):
    """The place of an id counts too; one parameter is never used."""

    def __init__(self, table, places):
        super().__init__(table)
        self.places = torch.nn.Parameter(places.clone())
        self.unused = torch.nn.Parameter(torch.ones(3))
        self.seen = []

    def forward(self, ids):
        self.seen.append([self.training, torch.is_grad_enabled(), len(ids)])
        return super().forward(ids) + self.places[: ids.shape[1]]

class Rolling(Descent):
    """With momentum: a step depends on all steps before it."""

    def __init__(self, params, lr, momentum):
        super().__init__(params, lr)
        self.momentum, self.velocity = momentum, {}

    def step(self):
        for p in self.param_groups[0]["params"]:
            if p.grad is not None:
                self.velocity[p] = p.grad.detach() + self.momentum * self.velocity.get(p, 0.0)
                p.data.sub_(self.param_groups[0]["lr"] * self.velocity[p])

def result_of_a_step(table, places, micro_batches, max_norm, training=True, stale=0.0, n_steps=1, momentum=0.0):
    model = PlacedLearner(table, places).train(training)
    for p in (model.table, model.places):
        p.grad = torch.full_like(p, stale) if stale else None
    optimizer = Rolling(model.parameters(), lr=1.0, momentum=momentum)
    losses = [submission.train_step(model, optimizer, micro_batches, max_norm) for _ in range(n_steps)]
    return {
        "losses": torch.tensor([float(loss) for loss in losses], dtype=torch.float32),
        "plain floats": all(isinstance(loss, float) for loss in losses),
        "weights": [model.table, model.places],
        "how the model was asked: training, gradients, rows": model.seen,
        "still in training": model.training,
    }
'''
)


@pytest.mark.step("train")
@pytest.mark.points(1)
def test_train_step_forgets_old_gradients_and_leaves_the_mode_alone(student, reference, draw, rng):
    table, places = draw(7, 7), draw(5, 7)
    batch = rng.integers(7, size=(2, 5)), rng.integers(7, size=(2, 5))

    for settings in ({"stale": 3.0}, {"training": False}, {"n_steps": 3}):
        got = through(student, TRAIN_PLACES, "result_of_a_step", table, places, [batch], 100.0, **settings)
        assert_close(
            got, through(reference, TRAIN_PLACES, "result_of_a_step", table, places, [batch], 100.0, **settings)
        )


@pytest.mark.step("train")
@pytest.mark.points(1.5)
def test_train_step_of_many_micro_batches_is_one_step_of_their_mean(student, reference, draw, rng):
    table, places = draw(7, 7), draw(5, 7)

    for n, max_norm, settings in [
        (4, 50.0, {}),
        (3, 0.125, {}),
        (2, 8.0, {"n_steps": 3, "momentum": 0.5}),
        (5, 0.5, {}),
    ]:
        batches = [(rng.integers(7, size=(3, 5)), rng.integers(7, size=(3, 5))) for _ in range(n)]
        got = through(student, TRAIN_PLACES, "result_of_a_step", table, places, batches, max_norm, **settings)
        assert_close(
            got, through(reference, TRAIN_PLACES, "result_of_a_step", table, places, batches, max_norm, **settings)
        )


# ---------------------------------------------------------------------------------------------- evaluate

TEXT = '''
import torch

class Placed(torch.nn.Module):
    """Logits by the ids of the window so far, each weighed by its place; in training it forgets some."""

    def __init__(self, table, places):
        super().__init__()
        self.table, self.places, self.context = table, places, len(places)
        self.dropout = torch.nn.Dropout(0.5)
        self.with_gradients = False

    def forward(self, ids):
        self.with_gradients |= torch.is_grad_enabled()
        return self.dropout(torch.cumsum(self.table[ids] * self.places[: ids.shape[1], None], dim=1))

def loss_of_a_text(table, places, ids, context, training=False):
    model = Placed(table, places).train(training)
    loss = submission.estimate_loss(model, ids, context)
    return {
        "loss": torch.tensor(float(loss), dtype=torch.float32),
        "a plain float": isinstance(loss, float),
        "still in training": model.training,
        "asked with gradients": model.with_gradients,
    }
'''


@pytest.mark.step("evaluate")
@pytest.mark.points(1)
def test_loss_of_texts_of_every_length_leaves_out_the_rest_only(student, reference, draw, rng):
    table, places = draw(6, 6), draw(8)

    for n_ids, context in [(13, 4), (12, 4), (5, 4), (9, 1), (17, 8), (400, 3), (2, 1)]:
        ids = rng.integers(6, size=n_ids)
        got = through(student, TEXT, "loss_of_a_text", table, places, ids, context)
        assert_close(got, through(reference, TEXT, "loss_of_a_text", table, places, ids, context))
    for n_ids, context in [(4, 4), (1, 1), (3, 8)]:
        assert_raises(ValueError, through, student, TEXT, "loss_of_a_text", table, places, np.arange(n_ids), context)


@pytest.mark.step("evaluate")
@pytest.mark.points(1)
def test_loss_of_a_text_is_measured_quietly(student, reference, draw, rng):
    table, places, ids = draw(6, 6), draw(4), rng.integers(6, size=23)

    for training in (True, False):
        got = through(student, TEXT, "loss_of_a_text", table, places, ids, context=4, training=training)
        assert_close(got, through(reference, TEXT, "loss_of_a_text", table, places, ids, context=4, training=training))
