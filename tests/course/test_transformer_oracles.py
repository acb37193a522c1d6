"""The solution of `transformer` against oracles that share no code with it: PyTorch's own, loops, numbers from hand."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from lab.launch import load

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

ROOT = Path(__file__).resolve().parents[2]
FILE = next((ROOT / "solutions").glob("ex*_transformer")) / "transformer.py"
TASK = FILE.with_name("task.md").read_text(encoding="utf-8")


transformer = load(FILE, "transformer_solution")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(7)


def close(got, expected, tolerance=1e-12):
    assert got.dtype == expected.dtype
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)


def model_of(*shape):
    """A model with weights of every kind, in float64."""
    model = transformer.TransformerLM(*shape).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * 0.5)
    return model


class Table(nn.Module):
    """The logits of what comes next: the last id's row."""

    def __init__(self, table, context=10):
        super().__init__()
        self.table, self.context = nn.Parameter(table), context
        self.dropout = nn.Dropout(0.5)

    def forward(self, ids):
        return self.dropout(self.table[ids])


# ---------------------------------------------------------------------------------------------- by hand


def test_the_parameters_in_the_task_text():
    model = transformer.TransformerLM(65, 64, 4, 4, 128)

    sizes = [sum(p.numel() for p in part.parameters()) for part in (model.blocks[0].attention, model.blocks[0], model)]
    by_hand = 65 * 128 + 64 * 128 + 4 * (4 * (128**2 + 128) + 2 * 4 * 128**2 + 5 * 128 + 2 * 2 * 128) + 2 * 128
    assert sizes == [66_048, 198_272, by_hand]
    assert all(f"{size:,}" in TASK for size in sizes)


def test_the_parameters_of_gpt2_small():
    with torch.device("meta"):
        model = transformer.TransformerLM(50257, 1024, 12, 12, 768)

    assert sum(p.numel() for p in model.parameters()) == 124_439_808


def test_the_learning_rates_in_the_task_text():
    rates = [transformer.lr_at(step, 1e-3, 1e-4, 100, 5000) for step in (0, 99, 100, 2550, 5000, 9000)]

    assert rates == pytest.approx([9.900990e-6, 9.900990e-4, 1e-3, 5.5e-4, 1e-4, 1e-4], rel=1e-6)


def test_the_first_step_of_adamw_by_hand():
    for gradient in (0.5, 50.0):
        weight = nn.Parameter(torch.tensor([1.0]))
        weight.grad = torch.tensor([gradient])
        transformer.AdamW([weight], lr=1e-3, weight_decay=0.1).step()
        assert weight.item() == pytest.approx(0.9989, abs=1e-7)


def test_two_steps_of_adamw_by_hand():
    weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = transformer.AdamW([weight], lr=0.1, betas=(0.5, 0.75), eps=1.0, weight_decay=0.5)

    for gradient in (1.0, 3.0):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()

    # m̂ = 1, v̂ = 1: 2 - 0.1 - 0.1/2. Then m = 1.75, m̂ = 7/3, v = 2.4375, v̂ = 2.4375 / 0.4375.
    first = 2 - 0.05 * 2 - 0.1 * 1 / 2
    second = first * 0.95 - 0.1 * (7 / 3) / (math.sqrt(2.4375 / 0.4375) + 1)
    assert weight.item() == pytest.approx(second, rel=1e-12)


def test_windows_in_the_task_text():
    asked = []

    class Asked(Table):
        def forward(self, ids):
            asked.extend(ids.tolist())
            return super().forward(ids)

    for n_ids, windows in [(10, [[0, 1, 2], [3, 4, 5], [6, 7, 8]]), (9, [[0, 1, 2], [3, 4, 5]])]:
        asked.clear()
        transformer.estimate_loss(Asked(torch.randn(10, 10)), torch.arange(n_ids), 3)
        assert asked == windows


# ---------------------------------------------------------------------------------------------- the model


def by_pytorchs_layers(model, ids):
    """The same weights in PyTorch's own encoder layers."""
    width, n_heads = model.token_embedding.embedding_dim, model.blocks[0].attention.n_heads
    x = model.token_embedding(ids) + model.position_embedding.weight[: ids.shape[1]]
    mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1], dtype=x.dtype)
    for block in model.blocks:
        layer = nn.TransformerEncoderLayer(
            width, n_heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True, dtype=x.dtype,
            activation=lambda x: F.gelu(x, approximate="tanh"),
        )  # fmt: skip
        one, two = block.attention, block.feed_forward
        parts = {
            "self_attn.in_proj_weight": torch.cat([one.q_proj.weight, one.k_proj.weight, one.v_proj.weight]),
            "self_attn.in_proj_bias": torch.cat([one.q_proj.bias, one.k_proj.bias, one.v_proj.bias]),
            "self_attn.out_proj.weight": one.out_proj.weight,
            "self_attn.out_proj.bias": one.out_proj.bias,
            "linear1.weight": two.up.weight,
            "linear1.bias": two.up.bias,
            "linear2.weight": two.down.weight,
            "linear2.bias": two.down.bias,
            "norm1.weight": block.attention_norm.weight,
            "norm1.bias": block.attention_norm.bias,
            "norm2.weight": block.feed_forward_norm.weight,
            "norm2.bias": block.feed_forward_norm.bias,
        }
        layer.load_state_dict(parts)
        x = layer(x, src_mask=mask)
    x = F.layer_norm(x, (width,), model.final_norm.weight, model.final_norm.bias)
    return x @ model.token_embedding.weight.T


@pytest.mark.parametrize("shape", [(11, 7, 2, 3, 12), (5, 4, 3, 1, 6), (9, 6, 1, 4, 8)], ids=str)
def test_the_model_is_pytorchs_encoder_with_a_causal_mask(shape):
    model = model_of(*shape)

    for length in range(1, shape[1] + 1):
        ids = torch.randint(shape[0], (3, length))
        close(model(ids), by_pytorchs_layers(model, ids), 1e-10)


def test_one_position_after_the_other_by_loops():
    model = model_of(7, 5, 1, 2, 6)
    ids = torch.randint(7, (1, 4))
    block, attention = model.blocks[0], model.blocks[0].attention

    def norm(layer, x):
        return (x - x.mean()) / torch.sqrt(((x - x.mean()) ** 2).mean() + 1e-5) * layer.weight + layer.bias

    stream = [model.token_embedding.weight[i] + model.position_embedding.weight[t] for t, i in enumerate(ids[0])]
    read = [norm(block.attention_norm, x) for x in stream]
    expected = []
    for t, x in enumerate(stream):
        heads = []
        for columns in (slice(0, 3), slice(3, 6)):
            q = (attention.q_proj.weight @ read[t] + attention.q_proj.bias)[columns]
            keys = [(attention.k_proj.weight @ read[s] + attention.k_proj.bias)[columns] for s in range(t + 1)]
            values = [(attention.v_proj.weight @ read[s] + attention.v_proj.bias)[columns] for s in range(t + 1)]
            weights = torch.softmax(torch.stack([q @ k / math.sqrt(3) for k in keys]), dim=0)
            heads.append(sum(w * v for w, v in zip(weights, values, strict=True)))
        x = x + attention.out_proj.weight @ torch.cat(heads) + attention.out_proj.bias
        up = block.feed_forward.up.weight @ norm(block.feed_forward_norm, x) + block.feed_forward.up.bias
        bent = 0.5 * up * (1 + torch.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
        x = x + block.feed_forward.down.weight @ bent + block.feed_forward.down.bias
        expected.append(model.token_embedding.weight @ norm(model.final_norm, x))

    close(model(ids)[0], torch.stack(expected), 1e-12)


def test_gradients_agree_with_finite_differences():
    model = model_of(5, 3, 1, 2, 4)
    ids, targets = torch.randint(5, (2, 3)), torch.randint(5, (2, 3))

    def loss():
        return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())

    loss().backward()

    with torch.no_grad():
        for p in model.parameters():
            numbers, gradients = p.view(-1), p.grad.view(-1)
            for place in {0, len(numbers) // 2, len(numbers) - 1}:
                kept = numbers[place].item()
                numbers[place] = kept + 1e-5
                above = loss().item()
                numbers[place] = kept - 1e-5
                below = loss().item()
                numbers[place] = kept
                assert gradients[place].item() == pytest.approx((above - below) / 2e-5, abs=1e-8)


def test_a_text_longer_than_the_context_is_refused():
    model = transformer.TransformerLM(7, 5, 1, 2, 4)

    assert model(torch.zeros(1, 5, dtype=torch.int64)).shape == (1, 5, 7)
    with pytest.raises(ValueError, match="6 tokens"):
        model(torch.zeros(1, 6, dtype=torch.int64))


def test_the_head_has_no_weight_of_its_own():
    model = transformer.TransformerLM(7, 5, 2, 2, 4)

    assert [name for name in model.state_dict() if not name.startswith("blocks")] == [
        "token_embedding.weight",
        "position_embedding.weight",
        "final_norm.weight",
        "final_norm.bias",
    ]


# ---------------------------------------------------------------------------------------------- the first weights


@pytest.mark.parametrize("n_layers", [1, 3, 6])
def test_the_deviations_of_the_first_weights(n_layers):
    model = transformer.TransformerLM(65, 64, n_layers, 4, 128)

    for name, p in model.named_parameters():
        if name.endswith("norm.weight"):
            assert (p == 1).all()
        elif name.endswith("bias"):
            assert (p == 0).all()
        else:
            into_the_stream = name.endswith(("out_proj.weight", "down.weight"))
            expected = 0.02 / math.sqrt(2 * n_layers) if into_the_stream else 0.02
            assert p.std().item() == pytest.approx(expected, rel=0.06), name
            assert abs(p.mean().item()) < 0.1 * expected


def test_a_new_model_knows_nothing():
    model = transformer.TransformerLM(65, 64, 4, 4, 128)
    ids = torch.randint(65, (12, 65))

    loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).item()

    assert math.log(65) - 0.05 < loss < math.log(65) + 0.15


# ---------------------------------------------------------------------------------------------- looking ahead


class Leaky(nn.Module):
    """Every position sees itself, and the positions in `pairs` see a later one besides; it forgets in training."""

    def __init__(self, pairs, row=None):
        super().__init__()
        self.pairs, self.row = pairs, row
        self.table = torch.randn(9, 9)
        self.dropout = nn.Dropout(0.5)

    def forward(self, ids):
        logits = self.table[ids].clone()
        for seeing, seen in self.pairs:
            if max(seeing, seen) < ids.shape[1]:
                rows = slice(None) if self.row is None else slice(self.row, self.row + 1)
                logits[rows, seeing] += 0.01 * self.table[ids[rows, seen]]
        return self.dropout(logits)


@pytest.mark.parametrize("row", [None, 0, 2])
@pytest.mark.parametrize("pairs", [[(0, 1)], [(4, 5)], [(0, 5)], [(2, 4)], [(t, t + 1) for t in range(5)]], ids=str)
def test_every_leak_is_found(pairs, row):
    assert transformer.looks_ahead(Leaky(pairs, row), torch.randint(9, (3, 6))) is True


def test_the_past_is_no_leak():
    model = Leaky([(3, 1), (5, 0), (2, 2)])

    assert transformer.looks_ahead(model, torch.randint(9, (3, 6))) is False
    assert model.training
    assert transformer.looks_ahead(model.eval(), torch.randint(9, (3, 1))) is False
    assert not model.training


@pytest.mark.parametrize("shape", [(65, 64, 4, 4, 128), (11, 6, 1, 1, 4), (2, 9, 2, 2, 8)], ids=str)
def test_a_new_model_does_not_look_ahead_and_one_without_a_mask_does(monkeypatch, shape):
    model, ids = transformer.TransformerLM(*shape), torch.randint(shape[0], (2, shape[1]))
    assert not transformer.looks_ahead(model, ids)

    attend = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda q, k, v, is_causal: attend(q, k, v))

    assert transformer.looks_ahead(model, ids)


# ---------------------------------------------------------------------------------------------- writing


def test_greedy_writing_is_argmax_after_argmax():
    model = model_of(11, 5, 1, 2, 8)
    prompt = torch.randint(11, (2, 3))

    got = transformer.generate(model, prompt, 9, temperature=0)

    expected = prompt
    for _ in range(9):
        last = model(expected[:, -5:])[:, -1]
        expected = torch.cat([expected, torch.tensor([[row.tolist().index(max(row.tolist()))] for row in last])], dim=1)
    assert torch.equal(got, expected)


@pytest.mark.parametrize("temperature, top_k", [(1.0, None), (0.5, None), (2.0, 3), (1.0, 1), (1.0, 2), (0.7, 9)])
def test_shares_of_many_draws_are_what_the_softmax_says(temperature, top_k):
    logits = [0.5, 2.0, -1.0, 2.0, 1.0]
    model = Table(torch.tensor([logits] * 5, dtype=torch.float64))

    ids = transformer.generate(model, torch.zeros(40_000, 1, dtype=torch.int64), 1, temperature, top_k, seed=5)

    edge = sorted(logits, reverse=True)[min(top_k or 5, 5) - 1]
    powers = [math.exp(x / temperature) if x >= edge else 0.0 for x in logits]
    for i, power in enumerate(powers):
        share = (ids[:, 1] == i).double().mean().item()
        assert share == pytest.approx(power / sum(powers), abs=0.012)
        assert (share == 0) == (power == 0)


def test_the_seed_is_all_that_luck_depends_on():
    model, prompt = Table(torch.zeros(50, 50)), torch.zeros(4, 1, dtype=torch.int64)
    state = torch.get_rng_state()

    texts = [transformer.generate(model, prompt, 30, seed=seed) for seed in (1, 2, 1)]

    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(texts[0], texts[2])
    assert not torch.equal(texts[0], texts[1])
    assert len({tuple(row.tolist()) for row in texts[0]}) == 4
    assert model.training


# ---------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("warmup, total", [(0, 10), (4, 17), (6, 6), (0, 0), (3, 4)])
def test_the_schedule_piece_by_piece(warmup, total):
    rates = [transformer.lr_at(step, 0.5, 0.125, warmup, total) for step in range(total + 4)]

    for step in range(warmup):
        assert rates[step] == pytest.approx(0.5 * (step + 1) / (warmup + 1))
    if total > warmup:
        weight = nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=0.5)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warmup, eta_min=0.125)
        for step in range(warmup, total):
            assert rates[step] == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
            optimizer.step()
            cosine.step()
    assert rates[total:] == [0.125] * 4


def test_groups_of_the_classic_model():
    model = transformer.TransformerLM(65, 64, 4, 4, 128)
    model.blocks[1].attention.q_proj.weight.requires_grad_(False)
    model.head = nn.Linear(128, 65, bias=False)
    model.head.weight = model.token_embedding.weight

    decaying, others = transformer.param_groups(model, 0.1)

    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert sum(p.numel() for p in decaying["params"]) == (65 + 64) * 128 + 4 * 12 * 128**2 - 128**2
    assert sum(p.numel() for p in others["params"]) == 4 * 13 * 128 + 256
    assert len({id(p) for p in decaying["params"] + others["params"]}) == len(list(model.parameters())) - 1
    torch.optim.SGD([decaying, others], lr=0.1)


@pytest.mark.parametrize("max_norm", [0.5, 3.0, 1e6, math.inf])
def test_clipping_is_pytorchs(max_norm):
    shapes = [(3, 4), (5,), (2, 1, 2), ()]
    ours, theirs = ([nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for shape in shapes] for _ in range(2))
    for p, q in zip(ours[:-1], theirs[:-1], strict=True):
        p.grad = torch.randn_like(p)
        q.grad = p.grad.clone()

    norm = transformer.clip_gradients(iter(ours), max_norm)

    close(norm, nn.utils.clip_grad_norm_(theirs, max_norm))
    for p, q in zip(ours[:-1], theirs[:-1], strict=True):
        close(p.grad, q.grad, 1e-5)
    assert ours[-1].grad is None
    assert float(transformer.clip_gradients([], 1.0)) == 0


def twins():
    """The same parameters in the same groups, twice."""
    groups = []
    for _ in range(2):
        torch.manual_seed(3)
        made = [nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in [(3, 4), (5,), (2, 2, 2), (4, 1)]]
        groups.append((made, [{"params": made[:2], "lr": 0.03, "weight_decay": 0.4}, {"params": made[2:]}]))
    return groups


@pytest.mark.parametrize(
    "settings",
    [{}, {"weight_decay": 0.0}, {"betas": (0.5, 0.75)}, {"eps": 0.5}, {"eps": 1e-3, "weight_decay": 0.7}],
    ids=str,
)
def test_adamw_is_pytorchs_over_many_steps(settings):
    (ours, our_groups), (theirs, their_groups) = twins()
    mine = transformer.AdamW(our_groups, lr=0.1, **settings)
    other = torch.optim.AdamW(their_groups, lr=0.1, **settings)
    for step in range(60):
        for optimizer in (mine, other):
            optimizer.param_groups[1]["lr"] = transformer.lr_at(step, 0.2, 0.01, 10, 50)
        for number, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            missing = (step % 5 == 2 and number in (1, 3)) or (step < 4 and number == 2)
            p.grad = None if missing else torch.randn_like(p) * 10.0 ** (step % 7 - 3)
            q.grad = None if missing else p.grad.clone()
        if step == 30:  # saved, forgotten, loaded
            saved = copy.deepcopy(mine.state_dict())
            mine = transformer.AdamW([{"params": ours[:2]}, {"params": ours[2:]}], lr=9.0)
            mine.load_state_dict(saved)
        mine.step()
        other.step()
        for p, q in zip(ours, theirs, strict=True):
            close(p.detach(), q.detach(), 1e-10)


def test_adamw_with_a_closure_is_pytorchs():
    ends = []
    for make in (transformer.AdamW, torch.optim.AdamW):
        weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
        optimizer = make([weight], lr=0.1)

        def closure(weight=weight, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (weight**2).sum()
            loss.backward()
            return loss

        with torch.no_grad():
            losses = [optimizer.step(closure).item() for _ in range(5)]
        ends.append((losses, weight.tolist()))
    assert ends[0][0] == pytest.approx(ends[1][0])
    assert ends[0][1] == pytest.approx(ends[1][1])


@pytest.mark.parametrize("max_norm", [0.01, 100.0])
def test_micro_batches_are_one_large_batch(max_norm):
    model, ids = model_of(7, 5, 1, 2, 4), torch.randint(7, (6, 6))
    whole = copy.deepcopy(model)
    x, y = ids[:, :-1], ids[:, 1:]

    loss = transformer.train_step(
        model, torch.optim.SGD(model.parameters(), lr=0.5), list(zip(x.split(2), y.split(2), strict=True)), max_norm
    )

    expected = F.cross_entropy(whole(x).flatten(0, 1), y.flatten())
    expected.backward()
    nn.utils.clip_grad_norm_(whole.parameters(), max_norm)
    torch.optim.SGD(whole.parameters(), lr=0.5).step()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    assert type(loss) is float
    for p, q in zip(model.parameters(), whole.parameters(), strict=True):
        close(p.detach(), q.detach(), 1e-8 if max_norm < 1 else 1e-12)  # PyTorch adds a millionth to the norm


def test_a_model_learns_a_short_text_by_heart():
    model = transformer.TransformerLM(7, 8, 2, 2, 16)
    optimizer = transformer.AdamW(transformer.param_groups(model, 0.1), lr=1.0)
    text = torch.tensor([[0, 3, 1, 4, 1, 5, 2, 6, 5]])

    for step in range(120):
        for group in optimizer.param_groups:
            group["lr"] = transformer.lr_at(step, 1e-2, 1e-3, 10, 120)
        transformer.train_step(model, optimizer, [(text[:, :-1], text[:, 1:])] * 2, 1.0)

    assert transformer.estimate_loss(model, text[0], 8) < 0.05
    assert torch.equal(transformer.generate(model, text[:, :1], 8, temperature=0), text)
    assert not transformer.looks_ahead(model, text[:, :-1])


@pytest.mark.parametrize("n_ids, context", [(400, 3), (13, 4), (12, 4), (5, 4), (2, 1), (300, 1)])
def test_the_loss_of_a_text_token_by_token(n_ids, context):
    model, ids = Table(torch.randn(6, 6, dtype=torch.float64)), torch.randint(6, (n_ids,))

    got = transformer.estimate_loss(model, ids, context)

    losses = [
        -torch.log_softmax(model.table[ids[i]], dim=0)[ids[i + 1]].item()
        for i in range((n_ids - 1) // context * context)
    ]
    assert got == pytest.approx(sum(losses) / len(losses), rel=1e-12)
    assert model.training
    assert model.table.grad is None


@pytest.mark.parametrize("n_ids, context", [(4, 4), (1, 1), (0, 3)])
def test_a_text_without_a_window_is_refused(n_ids, context):
    with pytest.raises(ValueError, match="no window"):
        transformer.estimate_loss(Table(torch.randn(6, 6)), torch.zeros(n_ids, dtype=torch.int64), context)


# ---------------------------------------------------------------------------------------------- shapes, the file itself


@pytest.fixture
def checked(monkeypatch):
    """The solution with every signature enforced, between its own functions too."""
    beartype = pytest.importorskip("beartype").beartype
    jaxtyped = pytest.importorskip("jaxtyping").jaxtyped
    monkeypatch.setattr(typing, "TYPE_CHECKING", True)
    module = load(FILE, "another_transformer_solution")
    enforce = jaxtyped(typechecker=beartype)
    functions = (
        "init_weights looks_ahead choose_next generate lr_at param_groups clip_gradients train_step estimate_loss"
    )
    for name in functions.split():
        setattr(module, name, enforce(getattr(module, name)))
    for one in (module.Attention, module.FeedForward, module.Block, module.TransformerLM, module.AdamW):
        for name in ("__init__", "forward", "step", "update"):
            if name in vars(one):
                setattr(one, name, enforce(vars(one)[name]))
    return module


def test_signatures_tell_the_truth(checked):
    model, ids = checked.TransformerLM(7, 5, 2, 2, 4), torch.randint(7, (3, 5))

    assert model(ids).shape == (3, 5, 7)
    assert checked.generate(model, ids, 4, top_k=3).shape == (3, 9)
    assert not checked.looks_ahead(model, ids)
    optimizer = checked.AdamW(checked.param_groups(model, 0.1), lr=checked.lr_at(3, 0.1, 0.01, 2, 9))
    assert checked.train_step(model, optimizer, [(ids, ids)], 1.0) > 0
    assert checked.estimate_loss(model, ids.flatten(), 5) > 0


def test_the_signature_check_can_fail(checked):
    with pytest.raises(Exception, match="Type-check"):
        checked.TransformerLM(7, 5, 2, 2, 4)(torch.zeros(5, dtype=torch.int64))


def test_the_file_runs_by_itself():
    run = subprocess.run([sys.executable, "-W", "error", str(FILE)], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    printed = dict(zip(run.stdout.splitlines()[::3], run.stdout.splitlines()[1::3], strict=True))
    assert printed["the parameters of one block"] == "198272"
    assert printed["the parameters of the whole model"] == "809856"
    assert printed["does the model look ahead?"] == "False"
    assert printed["numbers that decay and that do not"] == "[196608, 1664]"
    assert printed["one step from 1.0"].startswith("0.99889")
    assert "next:" not in run.stdout


@pytest.mark.parametrize(
    "blank, step", [("Block", "block"), ("TransformerLM", "model"), ("init_weights", "init"), ("lr_at", "schedule")]
)
def test_the_file_says_what_comes_next(monkeypatch, capsys, blank, step):
    module = load(FILE, "another_transformer_solution")

    def unwritten(*args, **kwargs):
        raise NotImplementedError

    monkeypatch.setattr(module, blank, unwritten)
    module.main()

    assert f"next: step {step} of the task" in capsys.readouterr().out
