"""The loss of *classic* in less than a tenth of its time, on one core of a CPU: what has been learned since.

    python fast.py [--seed N] [--data FILE] [--tune] [--set NAME=VALUE ...]

trains on Tiny Shakespeare, reads the whole validation part once, at the end, and prints one line of JSON with the
loss and the seconds. It is still a transformer: two blocks of attention and feed-forward layer. Every ingredient is
a setting of its own, so that each can be left out (`--set muon=False`) and its worth be measured.

Three ideas do the work:

1. Get more from each character read. Muon instead of AdamW for the matrices, learning rates at the edge of what
   holds, rotary positions, relu². So 153,600 characters teach what classic needs 1,536,000 for. Layers that begin as
   the identity, normalised queries and keys, and a learning rate that falls in a straight line bring nothing here that
   stands out from the seeds; they stay because the longer runs that this was learned from are built with them.
2. Do not let layers learn what a table can hold. What comes next depends most on the last two characters, so each
   pair of characters has a vector of its own, and each position is handed some of the vector before it (a smear).
   Attention need not learn to look one place back first. Lookups cost next to nothing.
3. Pay less for each character. Two layers, not four; bfloat16, which doubles the speed of matrix products where the
   processor has instructions for it; attention written out, since PyTorch's fused kernel is slow backwards in bfloat16
   on a CPU; nothing compiled, as compiling takes several times as long as the whole run; none of torch.optim, whose
   first use loads more than a second's worth of compiler.

Axis words, used in every signature below:

    batch     sequences that are worked on at once and never see one another
    length    positions of a sequence, at most 64
    width     of the stream that runs through the model
    head      attention heads; each has d_head = width / heads numbers
    vocab     characters

Sources:
    Jordan et al., modded-nanogpt (zero init, relu², normalised q and k, the smear, the table of pairs, the schedule)
        https://github.com/KellerJordan/modded-nanogpt
    Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks
        https://kellerjordan.github.io/posts/muon/
    Su et al. 2021, RoFormer, section 3.2.2 (rotary positions): https://arxiv.org/abs/2104.09864
    Henry et al. 2020, Query-Key Normalization for Transformers: https://arxiv.org/abs/2010.04245
    So et al. 2021, Primer (squared ReLU): https://arxiv.org/abs/2109.08668
    Pagnoni et al. 2024, Byte Latent Transformer, section 3.2.1 (tables of n-grams): https://arxiv.org/abs/2412.09871
"""

from __future__ import annotations

import time

BEGAN = time.perf_counter()  # before PyTorch is imported: its second counts

import argparse  # noqa: E402
import ast  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
from dataclasses import dataclass, fields, replace  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


@dataclass(frozen=True)
class Settings:
    """The whole configuration. Chosen on the last tenth of the training part (`--tune`), not on the validation part."""

    # The model.
    layers: int = 2
    heads: int = 2
    width: int = 128
    expansion: int = 2  # the feed-forward layer is this many times as wide inside
    context: int = 64
    # The ingredients. False is what classic does.
    bigrams: bool = True  # a vector for each pair of characters, beside one for each character
    smear: bool = True  # each position is handed some of the vector of the position before
    rotary: bool = True  # positions by rotating queries and keys, else by vectors that are learned
    qk_norm: bool = True  # queries and keys of equal length
    zero_init: bool = True  # what writes into the stream, and the head, begins at zero; else small and random
    relu_squared: bool = True  # else GELU
    muon: bool = True  # for the matrices; else AdamW, as for everything else
    linear_schedule: bool = True  # from the first step down to zero; else a warm-up, then a cosine to a tenth
    bfloat16: bool = True  # the stream and the matrix products; else float32
    own_attention: bool = True  # written out; else PyTorch's fused kernel
    # What was tried and left out.
    trigrams: int = 0  # rows of a table for three characters, shared by hashing
    rms_norm: bool = False  # RMSNorm in place of LayerNorm without weights
    compiled: bool = False  # torch.compile
    # The training.
    steps: int = 100
    batch: int = 24  # sequences a step
    table_lr: float = 0.1
    head_lr: float = 0.02
    matrix_lr: float = 0.05
    adam_lr: float = 0.006  # of the matrices, where Muon is left out
    momentum: float = 0.9
    betas: tuple[float, float] = (0.8, 0.95)


# ---------------------------------------------------------------------------------------------- the model


def norm(x: Float[Tensor, "*batch width"], rms: bool = False) -> Float[Tensor, "*batch width"]:
    """Every vector at the same length, with no weights to learn: the matrix that follows can scale it as well.

    LayerNorm rather than RMSNorm, because PyTorch has a fast backward pass for it on CPUs; the losses are alike.
    """
    return F.rms_norm(x, x.shape[-1:], eps=1e-6) if rms else F.layer_norm(x, x.shape[-1:])


def previous(x: Tensor) -> Tensor:
    """What stood one position before, along axis 1; zeros at the first position."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)


def rotation(length: int, d_head: int) -> tuple[Float[Tensor, "length d_head"], Float[Tensor, "length d_head"]]:
    """Cosines and signed sines for `rotate`; the pairs' wavelengths go from 2π to nearly 2000π positions."""
    half = d_head // 2
    speeds = 1000.0 ** -(torch.arange(half) / half)
    angles = torch.outer(torch.arange(length).float(), speeds)  # (length, half)
    return torch.cat([angles.cos(), angles.cos()], dim=-1), torch.cat([-angles.sin(), angles.sin()], dim=-1)


def rotate(x: Float[Tensor, "batch head length d_head"], cos: Tensor, sin: Tensor) -> Tensor:
    """Turns each pair (number i, number i + d_head/2) by its position's angle, so that q·k depends on distance."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)


class Linear(nn.Module):
    """A matrix without a bias, kept in float32 and used in the dtype of what it is given."""

    def __init__(self, d_in: int, d_out: int, zero: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(d_out, d_in) if zero else torch.randn(d_out, d_in) / d_in**0.5)

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        return F.linear(x, self.weight.to(x.dtype))


class Attention(nn.Module):
    """Causal self-attention with rotary positions and normalised queries and keys."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.s = s
        self.q_proj = Linear(s.width, s.width)
        self.k_proj = Linear(s.width, s.width)
        self.v_proj = Linear(s.width, s.width)
        self.out_proj = Linear(s.width, s.width, zero=s.zero_init)
        cos, sin = rotation(s.context, s.width // s.heads)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)
        self.register_buffer("mask", torch.full((s.context, s.context), -torch.inf).triu(1))

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        batch, length, width = x.shape
        heads, d_head = self.s.heads, width // self.s.heads
        q, k, v = (
            project(x).view(batch, length, heads, d_head).transpose(1, 2)  # (batch, head, length, d_head)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        if self.s.qk_norm:
            q, k = norm(q, self.s.rms_norm), norm(k, self.s.rms_norm)
        if self.s.rotary:
            cos, sin = self.cos[:length].to(x.dtype), self.sin[:length].to(x.dtype)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if self.s.own_attention:
            q, k, v = (each.reshape(batch * heads, length, d_head) for each in (q, k, v))
            mask = self.mask[:length, :length].to(x.dtype).expand(batch * heads, -1, -1)
            scores = torch.baddbmm(mask, q, k.mT, alpha=d_head**-0.5)  # mask + scale · q kᵀ
            mixed = (scores.softmax(-1) @ v).view(batch, heads, length, d_head)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, length, width))


class FeedForward(nn.Module):
    """Wider, through a nonlinearity, and back."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.relu_squared = s.relu_squared
        self.up = Linear(s.width, s.expansion * s.width)
        self.down = Linear(s.expansion * s.width, s.width, zero=s.zero_init)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        inside = self.up(x)
        return self.down(F.relu(inside).square() if self.relu_squared else F.gelu(inside))


class Transformer(nn.Module):
    """Vectors of characters and of pairs, two pre-norm blocks, a head."""

    def __init__(self, vocab_size: int, s: Settings) -> None:
        super().__init__()
        self.s, self.vocab_size = s, vocab_size
        self.characters = nn.Parameter(torch.randn(vocab_size, s.width))
        self.pairs = nn.Parameter(torch.zeros(vocab_size**2, s.width)) if s.bigrams else None
        self.triples = nn.Parameter(torch.zeros(s.trigrams, s.width)) if s.trigrams else None
        self.positions = None if s.rotary else nn.Parameter(torch.zeros(s.context, s.width))
        self.smear = nn.Parameter(torch.zeros(s.width)) if s.smear else None
        self.attentions = nn.ModuleList(Attention(s) for _ in range(s.layers))
        self.feed_forwards = nn.ModuleList(FeedForward(s) for _ in range(s.layers))
        self.head = Linear(s.width, vocab_size, zero=s.zero_init)

    def forward(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab"]:
        """Raw logits, float32; each depends on its position's character and on earlier ones, never on later ones."""
        x = self.embed(ids)
        for attention, feed_forward in zip(self.attentions, self.feed_forwards, strict=True):
            x = x + attention(norm(x, self.s.rms_norm))
            x = x + feed_forward(norm(x, self.s.rms_norm))
        return self.head(norm(x, self.s.rms_norm)).float()

    def embed(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length width"]:
        """What a position knows before any attention: its character, the pair it ends, a share of the one before."""
        before = previous(ids)
        x = F.embedding(ids, self.characters)
        if self.pairs is not None:
            x = x + F.embedding(before * self.vocab_size + ids, self.pairs)
        if self.triples is not None:
            triple = (previous(before) * 36313 + before * 27191 + ids * 51307) % len(self.triples)
            x = x + F.embedding(triple, self.triples)
        if self.positions is not None:
            x = x + self.positions[: ids.shape[1]]
        if self.smear is not None:
            x = x + previous(x) * self.smear
        return norm(x.bfloat16() if self.s.bfloat16 else x, self.s.rms_norm)


# ---------------------------------------------------------------------------------------------- the optimisers


def orthogonal(g: Float[Tensor, "matrix row column"]) -> Float[Tensor, "matrix row column"]:
    """For each matrix U S Vᵀ roughly U Vᵀ: the same directions, each with about the same weight (0.7 to 1.2).

    Five rounds of an odd polynomial that drives all singular values between 0 and 1 towards 1: a Newton–Schulz
    iteration, with matrix products alone.

    Source: Jordan et al. 2024, Muon.
    """
    x = g.mT if g.shape[-2] > g.shape[-1] else g  # the smaller side first: smaller products
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        polynomial = torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, polynomial, x, beta=3.4445)
    return x.mT if g.shape[-2] > g.shape[-1] else x


class Muon:
    """Steps of equal size in every direction of a matrix: momentum, made orthogonal. Equal shapes go together."""

    def __init__(self, matrices: list[Tensor], lr: float, momentum: float, dtype: torch.dtype) -> None:
        self.lr, self.momentum, self.dtype = lr, momentum, dtype
        shapes = {p.shape for p in matrices}
        self.groups = [[p for p in matrices if p.shape == shape] for shape in sorted(shapes)]
        self.means = [torch.zeros(len(group), *group[0].shape) for group in self.groups]

    def step(self, scale: float) -> None:
        """One update of all matrices, in place; `scale` is the schedule's share of the learning rate."""
        for group, mean in zip(self.groups, self.means, strict=True):
            gradient = torch.stack([p.grad for p in group])
            mean.lerp_(gradient, 1 - self.momentum)
            ahead = gradient.lerp_(mean, self.momentum)  # Nesterov: where the mean is going
            rows, columns = group[0].shape
            size = scale * self.lr * max(1, rows / columns) ** 0.5
            for p, update in zip(group, orthogonal(ahead.to(self.dtype)), strict=True):
                p.add_(update, alpha=-size)


class Adam:
    """Adam as published, for tables, vectors and the head. (Weights this far from over-fitting need no decay.)"""

    def __init__(self, groups: list[tuple[list[Tensor], float]], betas: tuple[float, float]) -> None:
        self.betas, self.steps = betas, 0
        self.state = [(p, lr, torch.zeros_like(p), torch.zeros_like(p)) for group, lr in groups for p in group]

    def step(self, scale: float) -> None:
        """One update of all parameters, in place; `scale` is the schedule's share of the learning rate."""
        self.steps += 1
        beta1, beta2 = self.betas
        correction1, correction2 = 1 - beta1**self.steps, 1 - beta2**self.steps
        for p, lr, mean, square in self.state:
            mean.lerp_(p.grad, 1 - beta1)
            square.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            spread = square.sqrt().add_(1e-10)
            p.addcdiv_(mean, spread, value=-scale * lr * correction2**0.5 / correction1)


def schedule(step: int, s: Settings) -> float:
    """The share of its full learning rate that a step has."""
    if s.linear_schedule:
        return 1 - step / s.steps
    warmup = s.steps // 20
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / (s.steps - warmup)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * progress))


def optimizers(model: Transformer, s: Settings) -> list[Muon | Adam]:
    """Muon for the matrices of the blocks, Adam for what is looked up and for the head."""
    matrices = [p for part in (model.attentions, model.feed_forwards) for p in part.parameters()]
    head = [model.head.weight]
    theirs = {id(p) for p in matrices + head}
    tables = [p for p in model.parameters() if id(p) not in theirs]
    if not s.muon:
        return [Adam([(tables, s.table_lr), (head, s.head_lr), (matrices, s.adam_lr)], s.betas)]
    dtype = torch.bfloat16 if s.bfloat16 else torch.float32
    return [Muon(matrices, s.matrix_lr, s.momentum, dtype), Adam([(tables, s.table_lr), (head, s.head_lr)], s.betas)]


# ---------------------------------------------------------------------------------------------- the run


def read(path: Path, tune: bool) -> tuple[Int[Tensor, " n_train"], Int[Tensor, " n_held_out"], int]:
    """The text as ids in two parts, the last tenth held out, and how many characters there are.

    tune  leave the validation part alone, and hold out the last tenth of the training part in its place
    """
    codes = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)  # one byte a character
    vocab = torch.unique(codes)
    place = torch.zeros(256, dtype=torch.int64)
    place[vocab.long()] = torch.arange(len(vocab))
    ids = place[codes.long()]
    if tune:
        ids = ids[: 9 * len(ids) // 10]
    cut = 9 * len(ids) // 10
    return ids[:cut], ids[cut:], len(vocab)


def train(model: Transformer, ids: Int[Tensor, " n_ids"], s: Settings) -> None:
    """Reads stretches of the text in random order, none twice before all were read, with one update for each batch."""
    predict = torch.compile(model) if s.compiled else model
    updates = optimizers(model, s)
    stretches = ids[: (len(ids) - 1) // s.context * s.context].view(-1, s.context)
    targets = ids[1:][: stretches.numel()].view(-1, s.context)
    passes = -(-s.steps * s.batch // len(stretches))
    order = torch.cat([torch.randperm(len(stretches)) for _ in range(passes)])
    for step in range(s.steps):
        chosen = order[step * s.batch : (step + 1) * s.batch]
        logits = predict(stretches[chosen])  # (batch, length, vocab)
        F.cross_entropy(logits.flatten(0, 1), targets[chosen].flatten()).backward()
        with torch.no_grad():
            for update in updates:
                update.step(schedule(step, s))
        model.zero_grad()


@torch.no_grad()
def evaluate(model: Transformer, ids: Int[Tensor, " n_ids"], context: int) -> float:
    """The mean loss in nats per character over all full windows of `context` inputs that do not overlap."""
    n_windows = (len(ids) - 1) // context
    x = ids[: n_windows * context].view(-1, context)
    y = ids[1 : n_windows * context + 1].view(-1, context)
    total = 0.0
    for some, following in zip(x.split(32), y.split(32), strict=True):
        total += F.cross_entropy(model(some).flatten(0, 1), following.flatten(), reduction="sum").item()
    return total / y.numel()


def main() -> None:
    """Trains, evaluates once, prints a line of JSON."""
    given = os.environ.get("GRADER_DATA")
    default = Path(given or ".") / "tinyshakespeare.txt"
    parser = argparse.ArgumentParser(description="Train the fast configuration; print its loss and its seconds.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=default, help="the text (%(default)s)")
    parser.add_argument("--tune", action="store_true", help="hold out the end of the training part instead")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another setting")
    arguments = parser.parse_args()
    known = {field.name for field in fields(Settings)}
    changes = dict(change.partition("=")[::2] for change in arguments.set)
    if unknown := changes.keys() - known:
        parser.error(f"there is no setting {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    if not arguments.data.is_file():
        parser.error(f"there is no {arguments.data}; name the text with --data")
    s = replace(Settings(), **{name: ast.literal_eval(value) for name, value in changes.items()})

    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    train_ids, held_out, vocab_size = read(arguments.data, arguments.tune)
    model = Transformer(vocab_size, s)
    train(model, train_ids, s)
    trained = time.perf_counter()
    loss = evaluate(model, held_out, s.context)
    line = {
        "loss": round(loss, 4),
        "seconds": round(time.perf_counter() - BEGAN, 2),
        "of_it_evaluating": round(time.perf_counter() - trained, 2),
        "processor_seconds": round(time.process_time(), 2),
        "seed": arguments.seed,
        "steps": s.steps,
        "characters_read": s.steps * s.batch * s.context,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
