"""One experiment on your own Block: what moving the norm does to a deep stack, before training and during it.

`grader run block` stacks 2 to 48 of your blocks and measures the stream and the gradients before the first step; then it
trains a stack of 10, pre-norm and post-norm, with and without warm-up, on a language of 16 letters whose entropy is
known. The language is drawn here, so nothing is downloaded.

Sources:
    Xiong et al. 2020, On Layer Normalization in the Transformer Architecture, sections 3.2 to 3.4 and figures 2 and 3
        https://arxiv.org/abs/2002.04745
"""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lab import plots
from lab.experiment import Context, Experiment, Result, need
from lab.runs import Run, source_of, write_atomically

if TYPE_CHECKING:
    import torch

NORMS = ("pre", "post")
LETTERS = 16
POSITIONS = 16
SEQUENCES = 16  # a batch
BIN = 10  # training steps that one point of a curve averages
COLOURS = {"pre": plots.BLUE, "post": plots.ORANGE}


def depth(context: Context) -> Result:
    """Stream and gradients by depth in fresh stacks; then losses with and without warm-up."""
    need("torch")
    import torch

    torch.set_num_threads(1)  # the tensors are small; more threads would only wait for one another
    depths = [2, 6, 12, 24, 48] if context.quick else [2, 4, 6, 8, 12, 16, 24, 32, 48]
    fresh_seeds = list(range(4 if context.quick else 16))
    training = {"layers": 10, "d_model": 32, "heads": 2, "lr": 2e-3, "steps": 200 if context.quick else 400}
    warm_up, seeds = 100, list(range(1 if context.quick else 3))
    settings = {"experiment": "depth", "depths": depths, "fresh_seeds": fresh_seeds, "training": training}
    settings |= {"warm_up": warm_up, "seeds": seeds, "code": source_of(context.module), "torch": torch.__version__}

    with Run(context.out, settings) as run:
        cases = [(layers, norm, seed) for layers in depths for norm in NORMS for seed in fresh_seeds]
        fresh = []
        for case in context.progress(cases, "fresh stacks"):
            fresh.append(run.row("fresh {} {} {}".format(*case), lambda case=case: measure(context.module, *case)))
        cases = [(norm, steps, seed) for norm in NORMS for steps in (0, warm_up) for seed in seeds]
        trained = []
        for case in context.progress(cases, "training runs"):
            row = run.row("train {} {} {}".format(*case), lambda case=case: train(context.module, training, *case))
            trained.append(row)
        by_depth, curves = averaged(fresh), mean_curves(trained)
        finding = what_happened(by_depth, curves, warm_up)
        known = dict(zip(("letters", "rate"), entropies(), strict=True))
        numbers = {"by_depth": by_depth, "curves": curves, "entropies": known}
        if plots.available():
            pictures = [
                draw_depth(by_depth, len(fresh_seeds), context.out / "depth.png"),
                draw_warm_up(curves, known, training, warm_up, context.out / "warm_up.png"),
            ]
        else:
            pictures = [write_atomically(context.out / "depth.txt", chart(by_depth, curves, warm_up))]
        files = [run.finish({"finding": finding, **numbers}), *pictures]
    return Result(finding, table(by_depth, curves, known, warm_up), {**settings, **numbers}, files)


# ---------------------------------------------------------------------------------------------- the model


class Stack:
    """A small language model around the learner's blocks, its weights by Glorot's rule as in the paper, biases zero."""

    def __init__(self, module: ModuleType, layers: int, norm: str, d_model: int, heads: int) -> None:
        import torch
        from torch import nn

        self.parts = nn.ModuleDict(
            {
                "letters": nn.Embedding(LETTERS, d_model),
                "positions": nn.Embedding(POSITIONS, d_model),
                "blocks": nn.ModuleList(module.Block(d_model, heads, norm=norm) for _ in range(layers)),
                "last_norm": module.LayerNorm(d_model) if norm == "pre" else nn.Identity(),
                "head": nn.Linear(d_model, LETTERS, bias=False),
            }
        )
        for name, weight in self.parts.named_parameters():
            if weight.dim() == 2:
                nn.init.xavier_normal_(weight)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)
        for name in ("letters", "positions"):  # so that their sum has variance 1
            nn.init.normal_(self.parts[name].weight, std=math.sqrt(0.5))
        self.places = torch.arange(POSITIONS)
        self.stream: list[torch.Tensor] = []

    def loss(self, ids: torch.Tensor) -> torch.Tensor:
        """The mean loss of guessing each next letter; the stream after every block is kept."""
        from torch.nn.functional import cross_entropy

        x = self.parts["letters"](ids[:, :-1]) + self.parts["positions"](self.places)
        self.stream = []
        for block in self.parts["blocks"]:
            x = block(x, causal=True)
            self.stream.append(x)
        logits = self.parts["head"](self.parts["last_norm"](x))
        return cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def transitions() -> torch.Tensor:
    """Which letter follows which in the language, as probabilities: one row for each letter."""
    import torch

    return torch.softmax(2.5 * torch.randn(LETTERS, LETTERS, generator=torch.Generator().manual_seed(0)), dim=1)


def entropies() -> tuple[float, float]:
    """What a guess costs in nats that knows the letters' frequencies alone, and one that knows the language."""
    import torch

    table = transitions().double()
    frequencies = torch.linalg.matrix_power(table, 200)[0]
    of_letters = -(frequencies * frequencies.log()).sum()
    of_language = -(frequencies[:, None] * table * table.log()).sum()
    return of_letters.item(), of_language.item()


def texts(count: int, seed: int) -> torch.Tensor:
    """So many sequences of the language, each one letter longer than the model reads."""
    import torch

    chance, table = torch.Generator().manual_seed(seed), transitions()
    letters = [torch.randint(LETTERS, (count,), generator=chance)]
    for _ in range(POSITIONS):
        letters.append(torch.multinomial(table[letters[-1]], 1, generator=chance)[:, 0])
    return torch.stack(letters, dim=1)


# ---------------------------------------------------------------------------------------------- what is measured


def measure(module: ModuleType, layers: int, norm: str, seed: int) -> dict[str, Any]:
    """A fresh stack: the stream's root mean square after each block, and the gradient by each block's last weight."""
    import torch

    torch.manual_seed(seed)
    stack = Stack(module, layers, norm, d_model=64, heads=4)
    stack.loss(texts(SEQUENCES, seed)).backward()
    stream = [x.detach().square().mean().sqrt().item() for x in stack.stream]
    gradients = [block.feed_forward.down.weight.grad.norm().item() for block in stack.parts["blocks"]]
    return {"layers": layers, "norm": norm, "stream": stream, "gradients": gradients}


def train(module: ModuleType, how: dict[str, Any], norm: str, warm_up: int, seed: int) -> dict[str, Any]:
    """A short training by Adam: the losses, averaged over every `BIN` steps."""
    import torch

    torch.manual_seed(seed)
    stack = Stack(module, how["layers"], norm, how["d_model"], how["heads"])
    optimizer = torch.optim.Adam(stack.parts.parameters(), lr=how["lr"], betas=(0.9, 0.98))
    batches = texts(SEQUENCES * how["steps"], seed + 1).split(SEQUENCES)
    losses = []
    for step, ids in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = how["lr"] * min(1.0, (step + 1) / (warm_up + 1))
        loss = stack.loss(ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    bins = [sum(losses[start : start + BIN]) / BIN for start in range(0, len(losses), BIN)]
    return {"norm": norm, "warm_up": warm_up, "seed": seed, "losses": bins}


def averaged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each depth and norm: geometric means over the seeds."""
    means = []
    for layers, norm in dict.fromkeys((row["layers"], row["norm"]) for row in rows):
        same = [row for row in rows if (row["layers"], row["norm"]) == (layers, norm)]
        mean = {name: geometric_means([row[name] for row in same]) for name in ("stream", "gradients")}
        ratio = mean["gradients"][-1] / mean["gradients"][0]
        means.append({"layers": layers, "norm": norm, **mean, "last_to_first": ratio})
    return means


def geometric_means(lists: list[list[float]]) -> list[float]:
    """The geometric mean of the first numbers of all lists, of the second ones, and so on."""
    smallest = 1e-45  # what float32 has above 0
    return [
        math.exp(sum(math.log(max(one, smallest)) for one in ones) / len(ones)) for ones in zip(*lists, strict=True)
    ]


def mean_curves(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One curve for each norm and warm-up: the mean over the seeds, and the curves that it was made of."""
    curves = []
    for norm, warm_up in dict.fromkeys((row["norm"], row["warm_up"]) for row in rows):
        runs = [row["losses"] for row in rows if (row["norm"], row["warm_up"]) == (norm, warm_up)]
        mean = [sum(ones) / len(ones) for ones in zip(*runs, strict=True)]
        curves.append({"norm": norm, "warm_up": warm_up, "losses": mean, "runs": runs})
    return curves


# ---------------------------------------------------------------------------------------------- in words and numbers


def times(ratio: float) -> str:
    """A factor in a few digits: 0.8, 130, 4·10⁵."""
    if 0.01 <= ratio < 10:
        return f"{ratio:.1f}" if ratio >= 0.1 else f"{ratio:.2f}"
    if 10 <= ratio < 1e4:
        return f"{ratio:,.0f}"
    digit, power = f"{ratio:.0e}".split("e")
    return f"{digit}·10" + str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def at(rows: list[dict[str, Any]], norm: str, **wanted: Any) -> dict[str, Any]:
    """The row of that norm, and of that depth or warm-up."""
    return next(row for row in rows if row["norm"] == norm and all(row[key] == value for key, value in wanted.items()))


def what_happened(by_depth: list[dict[str, Any]], curves: list[dict[str, Any]], warm_up: int) -> str:
    """One sentence with this run's numbers, in the order of the guess."""
    least, most = by_depth[0]["layers"], by_depth[-1]["layers"]
    growth = {}
    for norm in NORMS:
        small, large = (at(by_depth, norm, layers=layers)["gradients"][-1] for layers in (least, most))
        growth[norm] = times(large / small)
    ends = {(row["norm"], row["warm_up"]): row["losses"][-1] for row in curves}
    return (
        f"from {least} to {most} fresh blocks the gradient at the last one becomes {growth['pre']} times as large with"
        f" pre-norm and {growth['post']} times with post-norm; trained without and with warm-up, pre-norm ends at a"
        f" loss of {ends['pre', 0]:.2f} and {ends['pre', warm_up]:.2f}, post-norm at {ends['post', 0]:.2f} and"
        f" {ends['post', warm_up]:.2f}."
    )


def table(by_depth: list[dict[str, Any]], curves: list[dict[str, Any]], known: dict[str, float], warm_up: int) -> str:
    """All numbers: a line for each depth, then a line for each training."""
    lines = [
        f"{'fresh':8}{'stream after the':^18}{'gradient at the':^22}{'gradient, last':^22}",
        f"{'stacks':8}{'last block':^18}{'last block':^22}{'against first block':^22}",
        f"{'layers':8}" + f"{'pre':>8}{'post':>9} " + f"{'pre':>10}{'post':>11} " * 2,
    ]
    for layers in dict.fromkeys(row["layers"] for row in by_depth):
        pair = [at(by_depth, norm, layers=layers) for norm in NORMS]
        stream = "{:8.2f}{:9.2f} ".format(*(row["stream"][-1] for row in pair))
        gradient = "{:10.4f}{:11.4f} ".format(*(row["gradients"][-1] for row in pair))
        ratio = "{:>10}{:>11}".format(*(times(row["last_to_first"]) for row in pair))
        lines.append(f"{layers:<8}{stream}{gradient}{ratio}")
    lines += ["", f"{'trained':24}{'loss at first':>14}{'halfway':>10}{'at the end':>12}"]
    for row in curves:
        losses = row["losses"]
        name = f"{row['norm']}-norm, " + (f"warm-up {warm_up}" if row["warm_up"] else "no warm-up")
        lines.append(f"{name:24}{losses[0]:14.2f}{losses[len(losses) // 2]:10.2f}{losses[-1]:12.2f}")
    lines.append(f"Letter counts alone cost {known['letters']:.2f}; who knows the language pays {known['rate']:.2f}.")
    return "\n".join(lines)


def chart(by_depth: list[dict[str, Any]], curves: list[dict[str, Any]], warm_up: int) -> str:
    """Gradients and losses as bars of characters, for machines without matplotlib."""
    deepest = by_depth[-1]["layers"]
    pair = {norm: at(by_depth, norm, layers=deepest)["gradients"] for norm in NORMS}
    low, high = (pick(map(pick, pair.values())) for pick in (min, max))
    lines = [f"gradient by block in {deepest} fresh blocks, logarithmic: = pre-norm, # post-norm", ""]
    for block in range(0, deepest, max(1, deepest // 12)):
        for norm, mark in (("pre", "="), ("post", "#")):
            share = math.log(pair[norm][block] / low) / math.log(high / low) if high > low else 1.0
            name = block + 1 if norm == "pre" else ""
            lines.append(f"{name:>6} {mark * (1 + round(47 * share)):48} {pair[norm][block]:.1e}")
    lines += ["", "loss at the end of training", ""]
    most = max(row["losses"][-1] for row in curves)
    for row in curves:
        name = f"{row['norm']}, " + (f"warm-up {warm_up}" if row["warm_up"] else "no warm-up")
        mark = "=" if row["norm"] == "pre" else "#"
        lines.append(f"{name:>18} {mark * round(40 * row['losses'][-1] / most):40} {row['losses'][-1]:.2f}")
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------- in pictures


def draw_depth(by_depth: list[dict[str, Any]], seeds: int, path: Path) -> Path:
    """Three panels on fresh stacks: the stream by block, the gradient by block, the last gradient by depth."""
    depths = list(dict.fromkeys(row["layers"] for row in by_depth))
    deepest = depths[-1]
    figure, panels = plots.figure(
        "Deeper pre-norm stacks start with smaller gradients at the end; post-norm ones do not",
        f"Fresh stacks of your own Block, width 64, before the first step; geometric mean of {seeds} draws",
        panels=3,
    )
    stream, gradient, last = panels
    for norm in NORMS:
        row = at(by_depth, norm, layers=deepest)
        blocks, style = range(1, deepest + 1), {"color": COLOURS[norm], "linewidth": 2, "clip_on": False, "zorder": 3}
        stream.plot(blocks, row["stream"], **style)
        gradient.plot(blocks, row["gradients"], **style)
        ends = [at(by_depth, norm, layers=layers)["gradients"][-1] for layers in depths]
        last.plot(depths, ends, "o-", markersize=4.5, **style)

    pre, post = (at(by_depth, norm, layers=deepest) for norm in NORMS)
    there = round(0.72 * deepest)
    for axes in (stream, gradient):
        axes.set_xlim(1, deepest)
        axes.set_xticks([1, *range(8, deepest + 1, 8)])
        axes.set_xlabel(f"block, of {deepest}", fontsize=9.5, color=plots.INK)
    plots.heading(stream, "Size of the stream after each block")
    stream.set_ylim(0, 1.12 * max(*pre["stream"], *post["stream"]))
    beside(stream, there, outermost(pre["stream"], there, below=True), "pre-norm", "pre", below=True)
    beside(stream, there, outermost(post["stream"], there, below=False), "post-norm", "post", below=False)

    plots.heading(gradient, "Gradient by each block's last weight")
    by_block = {norm: at(by_depth, norm, layers=deepest)["gradients"] for norm in NORMS}
    at_the_last = {norm: at(by_depth, norm, layers=depths[-2])["gradients"][-1] for norm in NORMS}
    for axes, x, here in (
        (gradient, there, {norm: by_block[norm][there - 1] for norm in NORMS}),
        (last, depths[-2], at_the_last),
    ):
        for norm in NORMS:
            below = here[norm] < max(here.values())
            y = outermost(by_block[norm], there, below) if axes is gradient else here[norm]
            beside(axes, x, y, f"{norm}-norm", norm, below)
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.set_ylim(low / 1.3, high * 1.3)
        steps = [digit * 10**power for power in (1, 0, -1, -2, -3) for digit in (1, 2, 5)]
        ticks = [tick for tick in steps if low / 1.3 <= tick <= high * 1.3]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    plots.heading(last, "The same at the last block, by depth")
    last.set_xscale("log", base=2)
    last.set_xticks(depths, [str(layers) for layers in depths])
    last.set_xlabel("blocks in the stack", fontsize=9.5, color=plots.INK)
    for axes in (gradient, last):
        axes.minorticks_off()
    return plots.save(figure, path)


def outermost(values: list[float], there: int, below: bool) -> float:
    """The lowest or the highest of a line near a block: a word beyond it does not meet the line."""
    reach = max(1, len(values) // 8)
    near = values[max(0, there - 1 - reach) : there + reach]
    return min(near) if below else max(near)


def beside(axes: Any, x: float, y: float, text: str, norm: str, below: bool) -> None:
    """A word over or under a point of a line."""
    offset = {"xytext": (0, -14 if below else 10), "textcoords": "offset points", "va": "top" if below else "bottom"}
    plots.label(axes, x, y, text, COLOURS[norm], ha="center", **offset)


def draw_warm_up(
    curves: list[dict[str, Any]], known: dict[str, float], how: dict[str, Any], warm_up: int, path: Path
) -> Path:
    """Two panels, pre-norm and post-norm, each with the loss without and with warm-up."""
    several = any(len(row["runs"]) > 1 for row in curves)
    figure, panels = plots.figure(
        "Without warm-up post-norm stalls or trails; pre-norm needs none",
        f"{how['layers']} of your own blocks, width {how['d_model']}, Adam at {how['lr']:g}"
        + ("; faint lines are single seeds" if several else ""),
        panels=2,
        panel=5.2,
    )
    for axes, norm in zip(panels, NORMS, strict=True):
        for name, text in (("letters", "knows the letters' frequencies"), ("rate", "knows the language")):
            axes.axhline(known[name], color=plots.FAINT, linewidth=1, linestyle=(0, (1, 2)))
            plots.label(axes, how["steps"], known[name] - 0.03, text, plots.FAINT, ha="right", va="top", fontsize=9)
        for row in (row for row in curves if row["norm"] == norm):
            steps = [BIN * (number + 0.5) for number in range(len(row["losses"]))]
            dashes = {"linestyle": "-" if row["warm_up"] else (0, (3, 1.5)), "color": COLOURS[norm]}
            for losses in row["runs"] if several else []:
                axes.plot(steps, losses, linewidth=0.8, alpha=0.35, zorder=2, **dashes)
            name = f"{warm_up} steps of warm-up" if row["warm_up"] else "no warm-up"
            axes.plot(steps, row["losses"], linewidth=2, zorder=3, label=name, **dashes)
        axes.set_xlim(0, how["steps"])
        axes.set_ylim(known["rate"] - 0.2, max(row["losses"][0] for row in curves) + 0.1)
        axes.set_xlabel("step", fontsize=9.5, color=plots.INK)
        axes.legend(loc="upper right", frameon=False, fontsize=10, labelcolor=COLOURS[norm], handlelength=2.6)
        plots.heading(axes, f"{norm.capitalize()}-norm: loss in nats a letter")
    return plots.save(figure, path)


EXPERIMENTS = {
    "depth": Experiment(
        name="depth",
        title="What moving the norm does to a deep stack: pre-norm against post-norm",
        guess="From 2 to 48 blocks, how many times as large does the last one's gradient get, pre and post? Who needs warm-up?",
        run=depth,
    ),
}
