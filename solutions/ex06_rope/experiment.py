"""Four ways to tell a transformer where its tokens stand: the same small model with learned, sinusoidal, rotary, no positions.

`grader run rope` trains the four on Tiny Shakespeare, with equal steps on equal batches, for several seeds: three to six
minutes on one core, `--quick` in less than two. It reads the validation part in windows as long as those of the
training, and in windows four times as long. At its end it lays out a form for your conclusion;
`grader run rope conclude` compares what you have written there with the numbers of your run.

All four models are built from your own `RotaryAttention`. Those without rotary positions give it position 0 for every
token, and an angle of 0 turns nothing: so the layers, their first weights and their arithmetic are the same in all four.

The learning rate is one for all, 0.01. Of 0.003, 0.006, 0.012 and 0.02, 600 steps of one seed like 0.012 best with
sinusoidal, rotary and no positions; learned positions would end 0.01 nats lower at 0.02, and still be third. Vectors of
tokens, learned positions and sinusoids all have mean square 1 at first. With learned positions at a fifth of that size,
or sinusoids at a third of it, 250 steps achieve hardly more than without positions.

Sources:
    Su et al. 2021, RoFormer: Enhanced Transformer with Rotary Position Embedding, section 4
        https://arxiv.org/abs/2104.09864
    Press et al. 2022, Train Short, Test Long, section 2, what happens beyond the trained length
        https://arxiv.org/abs/2108.12409
    Haviv et al. 2022, Transformer Language Models without Positional Encodings Still Learn Positional Information
        https://arxiv.org/abs/2203.16634
    Karpathy 2015, The Unreasonable Effectiveness of Recurrent Neural Networks, the text
        https://karpathy.github.io/2015/05/21/rnn-effectiveness/
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from lab import conclusions, plots
from lab.bands import Band, band, bands
from lab.conclusions import Claim
from lab.corpora import Corpus, tiny_shakespeare
from lab.experiment import CannotRun, Context, Experiment, Refused, Result, need
from lab.parts import Part, fingerprints, pick
from lab.runs import Run, source_of, write_atomically

if TYPE_CHECKING:
    import torch
    from torch import nn

KINDS = ("learned", "sinusoidal", "rotary", "none")
COLOURS = dict(zip(KINDS, (plots.BLUE, plots.GREEN, plots.ORANGE, plots.PURPLE), strict=True))
CONCLUSION = "conclusion.toml"
BIN = 16  # positions that one number of the loss by position averages
WORSE = 0.2  # nats: so far above its loss at the end of the trained length, a model has broken down
NEVER = "never"
GAP_WITHIN = 0.02  # nats

# Parts of other exercises that `--mine` puts in, and the step to be passed for each.
PARTS = {
    "block": {"layer_norm": "layer_norm", "gelu": "gelu"},
    "transformer": {"lr_at": "schedule", "param_groups": "groups", "clip_gradients": "clip", "AdamW": "adamw"},
}


@dataclass(frozen=True)
class Settings:
    """Everything that a run depends on, apart from the text and your code."""

    # The model.
    n_layers: int = 2
    n_heads: int = 4
    d_model: int = 64
    # The training.
    steps: int = 500
    batch: int = 16  # windows a step
    trained: int = 64  # characters of a window: the trained length
    max_lr: float = 1e-2
    min_lr: float = 1e-3
    warmup: int = 25
    weight_decay: float = 0.1
    max_norm: float = 1.0
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # of the first weights and of the batches
    # What is measured.
    longest: int = 256  # characters of the long windows
    evaluate_every: int = 100
    evaluate_on: int = 12_800  # characters of the validation part, while it is trained
    end_on: int = 200_000  # at the end, or as many as there are


FULL = Settings()
QUICK = replace(FULL, steps=220, warmup=11, seeds=(0, 1, 2), evaluate_every=55, evaluate_on=6_400, end_on=49_152)


# ---------------------------------------------------------------------------------------------- swap


def swap(context: Context) -> Result:
    """Train the four models with every seed; compare them where they were trained, and beyond."""
    need("torch")
    import torch

    torch.set_num_threads(1)  # so small a model gains little from more, and one thread always adds in the same order
    how = QUICK if context.quick else FULL
    corpus = tiny_shakespeare()
    if corpus.note:
        print(corpus.note, file=sys.stderr)
    refuse_a_leak(context.module, how, context.parts)
    settings = {"experiment": "swap", **asdict(how), "corpus": corpus.name, "text": corpus.fingerprint}
    settings |= {"code": source_of(context.module), "parts": fingerprints(context.parts), "torch": torch.__version__}

    with Run(context.out, settings) as run:
        rows = []
        for seed, kind in context.progress(list(itertools.product(how.seeds, KINDS)), "trainings"):
            case = (context.module, corpus, how, kind, seed, context.parts)
            rows.append(run.row(f"{kind} {seed}", lambda case=case: train(*case)))
        found = Found.of(rows, how)
        finding, table = what_happened(found), tables(found, corpus)
        if plots.available():
            picture = draw(found, corpus, context.out / "swap.png")
        else:
            picture = write_atomically(context.out / "swap.txt", chart(found))
        written = [write_atomically(context.out / "table.txt", table + "\n"), picture]
        numbers = {"finding": finding, **found.numbers(), "rows": rows}
        files = [run.finish(numbers), *written, *conclusions.lay_out(context.out / CONCLUSION, form(context))]
    following = f"Now fill in  {context.out / CONCLUSION}\nThen         {command(context)}"
    return Result(finding, f"{table}\n\n{following}", {**settings, **numbers}, files)


@cache
def as_ids(corpus: Corpus) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Training and validation part as numbers of characters, and how many characters there are."""
    import torch

    codes = np.frombuffer(corpus.text.encode("utf-32-le"), dtype="<u4")
    found, ids = np.unique(codes, return_inverse=True)
    train_ids, validation_ids = torch.from_numpy(ids.astype(np.int64)).split(
        [len(corpus.train), len(corpus.validation)]
    )
    return train_ids, validation_ids, len(found)


def model_of(
    module: ModuleType, how: Settings, kind: str, vocab: int, seed: int, parts: Mapping[str, Part] | None = None
) -> nn.Module:
    """A pre-norm transformer around your `RotaryAttention`, with positions of one kind. Its weights depend on the seed,
    and on the kind only in that learned positions have a table, drawn after all the rest."""
    import torch
    from torch import nn
    from torch.nn.functional import gelu, layer_norm

    parts, width = parts or {}, how.d_model
    norm_by, bent_by = pick(parts, "layer_norm", None), pick(parts, "gelu", gelu)

    class Norm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(width))
            self.bias = nn.Parameter(torch.zeros(width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if norm_by is None:
                return layer_norm(x, (width,), self.weight, self.bias)
            return norm_by(x, self.weight, self.bias)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention_norm, self.attention = Norm(), module.RotaryAttention(width, how.n_heads)
            self.feed_forward_norm = Norm()
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
            x = x + self.attention(self.attention_norm(x), positions)
            return x + self.down(bent_by(self.up(self.feed_forward_norm(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(vocab, width)
            self.blocks = nn.ModuleList(Block() for _ in range(how.n_layers))
            self.last_norm, self.head = Norm(), nn.Linear(width, vocab, bias=False)
            if kind == "learned":
                self.table = nn.Embedding(how.trained, width)
                # Rows that no training window reaches: they stay as they were drawn, and weight decay does not shrink them.
                self.register_buffer("beyond", torch.empty(how.longest - how.trained, width))
            elif kind == "sinusoidal":
                sinusoids = math.sqrt(2) * module.sinusoidal_positions(how.longest, width)  # mean square 1
                self.register_buffer("sinusoids", sinusoids)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            places = torch.arange(ids.shape[1])
            x = math.sqrt(width) * self.tokens(ids)  # (batch, length, width)
            if kind == "learned":
                x = x + math.sqrt(width) * torch.cat([self.table.weight, self.beyond])[places]
            elif kind == "sinusoidal":
                x = x + self.sinusoids[places]
            turned_by = places if kind == "rotary" else torch.zeros_like(places)
            for block in self.blocks:
                x = block(x, turned_by)
            return self.head(self.last_norm(x))  # (batch, length, vocab)

    model = Model()
    draw_weights(model, how, seed)
    return model


def draw_weights(model: nn.Module, how: Settings, seed: int) -> None:
    """First weights: a row of width n has numbers of variance 1/n, what ends a residual branch less; biases are 0."""
    import torch
    from torch import nn

    chance = torch.Generator().manual_seed(seed)
    beyond = [("beyond", model.beyond)] if hasattr(model, "beyond") else []
    for name, weight in [*model.named_parameters(), *beyond]:
        if weight.ndim == 2:
            ends_a_branch = name.endswith(("out_proj.weight", "down.weight"))
            spread = weight.shape[1] ** -0.5 / (math.sqrt(2 * how.n_layers) if ends_a_branch else 1)
            nn.init.normal_(weight, std=spread, generator=chance)
        elif name.endswith("bias"):
            nn.init.zeros_(weight)


def refuse_a_leak(module: ModuleType, how: Settings, parts: Mapping[str, Part]) -> None:
    """A layer that reads later characters reads the answers: its loss would mean nothing."""
    import torch

    model = model_of(module, how, "rotary", 2, seed=0, parts=parts)
    for length in (how.trained, how.longest):
        ids = torch.arange(length)[None] % 2
        other = torch.cat([ids[:, : length // 2], 1 - ids[:, length // 2 :]], dim=1)
        with torch.no_grad():
            logits, change = model(ids), (model(other) - model(ids))[:, : length // 2]
        if not change.abs().max() <= 1e-4 * logits.abs().max():
            raise Refused(
                "These models are not trained: the output of your `RotaryAttention` changes when only later tokens\n"
                "change. They could read each answer off their input, and the loss would fall with nothing learned.\n"
                "Look at the mask first: causal is True unless said otherwise."
            )


def batches(ids: torch.Tensor, how: Settings, seed: int) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    """A function that gives the inputs and targets of a step: the seed alone decides which, never the model."""
    import torch

    order = torch.Generator().manual_seed(1000 + seed)
    starts = torch.randint(len(ids) - how.trained, (how.steps, how.batch), generator=order)
    stretches = ids.unfold(0, how.trained + 1, 1)  # a view: one row for every place to begin at

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        windows = stretches[starts[step]]  # (batch, trained + 1)
        return windows[:, :-1], windows[:, 1:]

    return batch


def losses_by_position(model: nn.Module, ids: torch.Tensor, length: int, characters: int) -> torch.Tensor:
    """The mean loss at each position of windows of that length: as many as hold so many characters, spread evenly over the
    text, or all that do not overlap."""
    import torch
    from torch.nn.functional import cross_entropy

    windows = ids.unfold(0, length + 1, length)  # (windows, length + 1)
    count = min(len(windows), max(1, characters // length))
    windows = windows[torch.arange(count) * len(windows) // count]
    total = torch.zeros(length, dtype=torch.float64)
    model.eval()
    with torch.no_grad():
        for some in windows.split(8192 // length):
            losses = cross_entropy(model(some[:, :-1]).transpose(1, 2), some[:, 1:], reduction="none")
            total += losses.sum(dim=0)
    model.train()
    return total / len(windows)


def train(
    module: ModuleType, corpus: Corpus, how: Settings, kind: str, seed: int, parts: Mapping[str, Part]
) -> dict[str, Any]:
    """One training: the loss meanwhile and at the end, and the loss at each position of the long windows."""
    from torch.nn.functional import cross_entropy

    started = time.perf_counter()
    train_ids, validation_ids, vocab = as_ids(corpus)
    model = model_of(module, how, kind, vocab, seed, parts)
    optimizer, rate, clip = tools(model, how, parts)
    batch = batches(train_ids, how, seed)
    curve = []
    for step in range(how.steps):
        if step % how.evaluate_every == 0:
            some = losses_by_position(model, validation_ids, how.trained, how.evaluate_on)
            curve.append([step, round(some.mean().item(), 4)])
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        inputs, targets = batch(step)
        loss = cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        if not math.isfinite(loss.item()):
            raise Refused(f"With {kind} positions the loss of step {step:,} is {loss.item()}: nothing can be learned.")
        optimizer.zero_grad()
        loss.backward()
        clip(model.parameters(), how.max_norm)
        optimizer.step()
    loss = losses_by_position(model, validation_ids, how.trained, how.end_on).mean().item()
    by_position = losses_by_position(model, validation_ids, how.longest, how.end_on).tolist()
    return {
        "kind": kind,
        "seed": seed,
        "loss": loss,
        "curve": [*curve, [how.steps, round(loss, 4)]],
        "by_position": [round(one, 4) for one in by_position],
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "seconds": round(time.perf_counter() - started, 2),
    }


def tools(
    model: nn.Module, how: Settings, parts: Mapping[str, Part]
) -> tuple[torch.optim.Optimizer, Callable[[int], float], Callable[..., Any]]:
    """The optimiser, the learning rate of each step, and what clips gradients: yours where you bring them."""
    import torch

    groups = pick(parts, "param_groups", None)
    weights = groups(model, how.weight_decay) if groups else list(model.parameters())
    adamw = pick(parts, "AdamW", torch.optim.AdamW)
    optimizer = adamw(weights, lr=how.max_lr, betas=(0.9, 0.99), weight_decay=how.weight_decay)
    lr_at = pick(parts, "lr_at", None)
    if lr_at:

        def rate(step: int) -> float:
            return lr_at(step, how.max_lr, how.min_lr, how.warmup, how.steps)

    else:
        rate = torch_rates(how).__getitem__
    return optimizer, rate, pick(parts, "clip_gradients", torch.nn.utils.clip_grad_norm_)


def torch_rates(how: Settings) -> list[float]:
    """Warm-up and half a cosine, by PyTorch's own schedulers."""
    import torch
    from torch.optim import lr_scheduler

    nothing = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=how.max_lr)
    warm_up = lr_scheduler.LinearLR(nothing, 1 / (how.warmup + 1), total_iters=how.warmup)
    cosine = lr_scheduler.CosineAnnealingLR(nothing, how.steps - how.warmup, how.min_lr)
    both = lr_scheduler.SequentialLR(nothing, [warm_up, cosine], [how.warmup])
    rates = []
    for _ in range(how.steps):
        rates.append(both.get_last_lr()[0])
        nothing.step()
        both.step()
    return rates


# ---------------------------------------------------------------------------------------------- what was found


@dataclass(frozen=True)
class Found:
    """What the trainings of a run say, for a table, a plot and the conclusion.

    Kinds are compared seed by seed: the same seed is the same first weights and the same batches, so that what a seed
    does to all four cancels out of their differences.
    """

    seeds: int
    steps: int
    trained: int
    longest: int
    parameters: int
    final: dict[str, list[float]]  # the losses at the trained length, a number for each seed
    curves: dict[str, list[list[list[float]]]]
    by_position: dict[str, list[list[float]]]

    @classmethod
    def of(cls, rows: list[dict[str, Any]], how: Settings) -> Found:
        """From the rows of a run, which are in the order of the seeds."""

        def each(key: str) -> dict[str, list[Any]]:
            return {kind: [row[key] for row in rows if row["kind"] == kind] for kind in KINDS}

        sizes = (how.steps, how.trained, how.longest, min(row["parameters"] for row in rows))
        return cls(len(how.seeds), *sizes, each("loss"), each("curve"), each("by_position"))

    @property
    def ranking(self) -> list[str]:
        """The kinds by their mean loss at the trained length, the lowest first."""
        return sorted(KINDS, key=lambda kind: statistics.fmean(self.final[kind]))

    def ahead(self, first: str, other: str) -> Band:
        """By how many nats `first` is ahead of `other` at the trained length: the differences, seed by seed."""
        return band([theirs - ours for theirs, ours in zip(self.final[other], self.final[first], strict=True)])

    @property
    def lead(self) -> Band:
        """Of the winner over the second."""
        return self.ahead(*self.ranking[:2])

    def between(self, kind: str, first: int, last: int) -> Band:
        """The mean loss at positions first to last, both counted from 1 and included."""
        return band([statistics.fmean(losses[first - 1 : last]) for losses in self.by_position[kind]])

    @property
    def starts(self) -> list[int]:
        """The first positions of the bins beyond the trained length."""
        return list(range(self.trained + 1, self.longest + 1, BIN))

    def breaks_down(self, kind: str) -> int | str:
        """The start of the first bin in which the mean loss is `WORSE` above that of the last trained positions."""
        before = self.between(kind, self.trained - BIN + 1, self.trained).mean
        broken = (start for start in self.starts if self.between(kind, start, start + BIN - 1).mean > before + WORSE)
        return next(broken, NEVER)

    def numbers(self) -> dict[str, Any]:
        """The same for `numbers.json`."""
        return {
            "winner": self.ranking[0],
            "second": self.ranking[1],
            "lead": asdict(self.lead),
            "loss": {kind: asdict(band(self.final[kind])) for kind in KINDS},
            "behind": {kind: asdict(self.ahead(self.ranking[0], kind)) for kind in self.ranking[1:]},
            "breaks_down": {kind: self.breaks_down(kind) for kind in KINDS},
        }


def what_happened(found: Found) -> str:
    """One sentence with this run's numbers; where the seeds do not decide who is ahead, it says so."""
    first, second = found.ranking[:2]
    ends = {kind: f"{band(found.final[kind]).mean:.2f}" for kind in (first, second)}
    lead = f"{found.lead.mean:.3f} ± {found.lead.half:.3f}"
    if found.lead.decided:
        ahead = f"{first} ends at {ends[first]}, {lead} nats ahead of {second}"
    else:
        ahead = f"{first} ends at {ends[first]}, {second} at {ends[second]}, but {found.seeds} seeds do not decide"
        ahead += f" between them: the lead of {lead} nats may be 0"
    where = {kind: found.breaks_down(kind) for kind in KINDS}
    places = [f"{f'never up to {found.longest}' if at == NEVER else at} ({kind})" for kind, at in where.items()]
    return f"{ahead}; beyond {found.trained} characters they break down at {', '.join(places)}."


def tables(found: Found, corpus: Corpus) -> str:
    """A line for each kind: the loss at the trained length, then by position; then bins beyond the trained length."""
    best, trained, longest = found.ranking[0], found.trained, found.longest
    just_beyond = trained + 2 * BIN
    stretches = [(1, 8), (9, trained), (trained + 1, just_beyond), (just_beyond + 1, longest)]
    heads = "".join(f"{f'{first}-{last}':>8}" for first, last in stretches)
    lines = [
        f"{'':11}{'loss in windows':>17}{'behind':>17}{f'at positions, windows of {longest}':>32}",
        f"{'positions':11}{f'of {trained}':>17}{best:>17}{heads}",
    ]
    for kind in KINDS:
        loss, behind = band(found.final[kind]), found.ahead(best, kind)
        line = f"{kind:11}{f'{loss.mean:.3f} ± {loss.half:.3f}':>17}"
        line += f"{'' if kind == best else f'{behind.mean:.3f} ± {behind.half:.3f}':>17}"
        lines.append(line + "".join(f"{found.between(kind, *stretch).mean:8.2f}" for stretch in stretches))
    bins = [trained - BIN + 1, *found.starts]
    lines += [
        f"± are 95 % intervals over {found.seeds} seeds; `behind` compares seed by seed.",
        "",
        f"loss at {BIN} positions, from position",
        f"{'':11}" + "".join(f"{start:5}" for start in bins),
    ]
    for kind in KINDS:
        lines.append(f"{kind:11}" + "".join(f"{found.between(kind, at, at + BIN - 1).mean:5.2f}" for at in bins))
    lines.append(f"Up to {trained} is the trained length. Losses are in nats per character.")
    lines.append(f"{corpus.name}, {found.parameters:,} parameters, {found.steps:,} steps.")
    return "\n".join(lines)


def chart(found: Found, width: int = 48) -> str:
    """Losses as bars of characters, for machines without matplotlib."""
    lines = [f"loss in windows of {found.trained} characters, nats per character", ""]
    most = max(max(losses) for losses in found.final.values())
    for kind in found.ranking:
        loss = band(found.final[kind])
        bar = "#" * round(width * loss.mean / most)
        lines.append(f"{kind:>10} {bar:{width}} {loss.mean:.3f} ± {loss.half:.3f}")
    for kind in KINDS:
        lines += ["", f"{kind}: loss by position; = trained, # beyond", ""]
        for start in range(1, found.longest + 1, BIN):
            loss = found.between(kind, start, start + BIN - 1)
            bar = ("#" if start > found.trained else "=") * round(10 * loss.mean)
            lines.append(f"{start:>10} {bar:{width}} {loss.mean:.2f}")
    return "\n".join(lines) + "\n"


def draw(found: Found, corpus: Corpus, path: Path) -> Path:
    """The losses while the models are trained; the losses by position, with a line where the trained length ends."""
    first, second = found.ranking[:2]
    held = [kind for kind in KINDS if found.breaks_down(kind) == NEVER]
    title = f"{first.capitalize()} or {second}: these seeds do not decide"
    if found.lead.decided:
        title = f"{first.capitalize()} learns most"
        if len(held) == 1:
            only = "the model without positions" if held == ["none"] else held[0]
            title += f"; beyond the trained length only {only} holds"
    subtitle = f"{corpus.name}, {found.parameters:,} parameters, {found.seeds} seeds; shaded: 95 % intervals"
    figure, (meanwhile, places) = plots.figure(title, subtitle, panels=2, panel=5.4)

    plots.heading(meanwhile, f"Validation loss in windows of {found.trained}, nats per character")
    steps = [step for step, _ in found.curves[KINDS[0]][0]]
    shown = slice(1, None)  # what the first weights know would flatten all the rest
    curves = {kind: bands([[loss for _, loss in one] for one in found.curves[kind]])[shown] for kind in KINDS}
    lines_with_bands(meanwhile, steps[shown], curves, found.steps, "steps")

    plots.heading(places, f"Loss by position in windows of {found.longest}, means of {BIN // 2} positions")
    half = BIN // 2
    starts = range(1, found.longest + 1, half)
    by_bin = {kind: [found.between(kind, start, start + half - 1) for start in starts] for kind in KINDS}
    lines_with_bands(places, [start + (half - 1) / 2 for start in starts], by_bin, found.longest, "position")
    places.axvline(found.trained + 0.5, color=plots.FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    top = places.get_ylim()[1]
    plots.label(places, found.trained - 3, top, "trained", plots.FAINT, ha="right", va="top", fontsize=9)
    plots.label(places, found.trained + 5, top, "beyond", plots.FAINT, ha="left", va="top", fontsize=9)
    places.set_xticks(range(0, found.longest + 1, found.trained))
    return plots.save(figure, path)


def lines_with_bands(axes: Any, x: list[float], lines: dict[str, list[Band]], end: float, unit: str) -> None:
    """A line and its band for each kind, with the names at the right end, moved apart."""
    means = [one.mean for line in lines.values() for one in line]
    low, high = min(means), max(means)
    margin = 0.08 * (high - low)
    for kind, line in lines.items():
        axes.fill_between(
            x, [one.low for one in line], [one.high for one in line], color=COLOURS[kind], alpha=0.18, lw=0
        )
        axes.plot(x, [one.mean for one in line], color=COLOURS[kind], linewidth=2, zorder=3)
    axes.set_ylim(low - margin, high + 2 * margin)
    axes.set_xlim(0, 1.24 * end)  # room for the names
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= end])
    axes.spines["bottom"].set_bounds(0, end)
    heights = plots.apart([line[-1].mean for line in lines.values()], room=0.065 * (high - low + 3 * margin))
    for kind, height in zip(lines, heights, strict=True):
        plots.label(axes, 1.02 * end, height, kind, COLOURS[kind], va="center", fontweight="bold")
    axes.set_xlabel(unit, fontsize=9.5, color=plots.INK)
    axes.xaxis.set_label_coords(0.5 / 1.24, -0.09)


# ---------------------------------------------------------------------------------------------- conclude


FORM = f"""\
# Your conclusion from the run beside this file: from its table (table.txt), or from its plot.
# Put an answer in the place of each pair of empty quotation marks, a word in quotation marks, a number and true or
# false without. Save, and compare it with your numbers:
#
#     COMMAND
#
# The loss is the mean over all seeds, in nats per character. Nothing writes over this file.

# Which positions have the lowest loss in windows of the trained length: "learned", "sinusoidal", "rotary" or "none"?
winner = ""

# By how many nats is the winner ahead of "learned" there? 0.0 where "learned" itself wins.
# Right within {GAP_WITHIN}, or within the ± of that difference where that is more.
gap = ""

# Are you sure of the winner: does the 95 % interval of its lead over the second lie on one side of 0? true or false
sure = ""

# Where beyond the trained length does each break down? The first position of the first bin of {BIN} in which the loss is
# more than {WORSE} nats above the loss at the last {BIN} trained positions. "{NEVER}" where none is, as far as it was measured.
# Right within one bin.
[breaks_down]
learned = ""
sinusoidal = ""
rotary = ""
none = ""
"""


def form(context: Context) -> str:
    """The empty form, with the command that reads it."""
    return FORM.replace("COMMAND", command(context))


def command(context: Context) -> str:
    """How the conclusion of a run of this flavour is compared with its numbers."""
    on_the_solution = "solution" in (context.out.name, context.out.parent.name)
    words = ["grader run rope conclude", *["--solution"] * on_the_solution, *["--quick"] * context.quick]
    return " ".join(words)


def conclude(context: Context) -> Result:
    """Compare each claim of the learner's form with the numbers of the run that it lies beside."""
    folder = the_run(context.out)
    found, code = recorded(folder / "numbers.json", command(context).replace(" conclude", ""))
    notes = [f"From {folder / 'numbers.json'}: {found.seeds} seeds, {found.steps:,} steps."]
    if code != source_of(context.module):
        notes.append("That run was made with another version of your file. Its numbers count here all the same.")
    written = conclusions.read(folder / CONCLUSION)
    claims = [winner(found, written), gap(found, written), sure(found, written)]
    claims += [breakdown(found, written, kind) for kind in KINDS]
    table = conclusions.judged(claims, notes)
    return Result(f"all {len(claims)} claims hold.", table, {"claims": len(claims)})


def the_run(out: Path) -> Path:
    """The folder of `swap` that belongs to this one of `conclude`: of the same flavour, quick or on the solution."""
    parts = ["swap" if part == "conclude" else part for part in out.parts]
    return Path(*parts)


def recorded(path: Path, again: str) -> tuple[Found, str]:
    """What a finished run found, and the fingerprint of the code that it was made with."""
    try:
        numbers = json.loads(path.read_text(encoding="utf-8"))
        how = Settings(**{name: numbers[name] for name in asdict(FULL)})
        found = Found.of(numbers["rows"], how)
        found.numbers()
        return found, numbers["code"]
    except FileNotFoundError:
        raise CannotRun(f"There is no finished run to conclude from: {path} is missing. First: {again}") from None
    except (ValueError, KeyError, TypeError, IndexError, OSError):
        raise CannotRun(f"{path} does not hold the numbers of such a run any more. Once more: {again}") from None


BLANK = "still blank."
OTHERWISE = "your log says otherwise: look at"


def winner(found: Found, written: dict[str, Any]) -> Claim:
    """Which kind is ahead."""
    said = conclusions.said(written, "winner")
    if conclusions.blank(said):
        return Claim("winner", said, BLANK)
    if said not in KINDS:
        return Claim("winner", said, f"it is one of {', '.join(KINDS)}.")
    wrong = f"{OTHERWISE} the first column of the table, or the ends of the curves in the left panel."
    return Claim("winner", said, "" if said == found.ranking[0] else wrong)


def gap(found: Found, written: dict[str, Any]) -> Claim:
    """How far it is ahead of learned positions."""
    said = conclusions.said(written, "gap")
    if conclusions.blank(said):
        return Claim("gap", said, BLANK)
    if not conclusions.number(said):
        return Claim("gap", said, "it is a number of nats, without quotation marks.")
    first = found.ranking[0]
    ahead = found.ahead(first, "learned")
    near = abs(said - ahead.mean) <= max(GAP_WITHIN, ahead.half)
    wrong = f"{OTHERWISE} the line `learned` of the table, column `behind {first}`."
    return Claim("gap", said, "" if near else wrong)


def sure(found: Found, written: dict[str, Any]) -> Claim:
    """Whether the seeds decide it."""
    said = conclusions.said(written, "sure")
    if conclusions.blank(said):
        return Claim("sure", said, BLANK)
    if not isinstance(said, bool):
        return Claim("sure", said, "it is true or false, without quotation marks.")
    first, second = found.ranking[:2]
    wrong = f"{OTHERWISE} the line `{second}` of the table, column `behind {first}`: is 0 within the ±?"
    return Claim("sure", said, "" if said == found.lead.decided else wrong)


def breakdown(found: Found, written: dict[str, Any], kind: str) -> Claim:
    """From which position on the loss of a kind is high."""
    name = f"breaks_down.{kind}"
    said = conclusions.said(written, name)
    if conclusions.blank(said):
        return Claim(name, said, BLANK)
    places = [*found.starts, NEVER]
    if said == NEVER:
        which = len(found.starts)
    elif conclusions.number(said) and found.trained < said <= found.longest:
        which = int(said - found.trained - 1) // BIN
    else:
        return Claim(name, said, f'it is a position from {found.trained + 1} to {found.longest}, or "{NEVER}".')
    near = abs(which - places.index(found.breaks_down(kind))) <= 1
    wrong = f"{OTHERWISE} the line `{kind}` of the second table, or its line in the right panel."
    return Claim(name, said, "" if near else wrong)


EXPERIMENTS = {
    "swap": Experiment(
        name="swap",
        title="The same small transformer with learned, sinusoidal, rotary and no positions",
        guess="At equal steps on 64 characters: who is ahead, by how many nats, and where beyond 64 does each break down?",
        run=swap,
        parts=PARTS,
    ),
    "conclude": Experiment(
        name="conclude",
        title="Your conclusion beside the numbers of your run",
        guess="",
        run=conclude,
    ),
}
