"""Two experiments on your own attention.py: what width does to softmax, and how you compare with PyTorch.

`grader run attention` runs the first, `grader run attention against_torch` the second.

Sources:
    Vaswani et al. 2017, Attention Is All You Need, section 3.2.1, footnote 4: https://arxiv.org/abs/1706.03762
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from lab import plots
from lab.experiment import Context, Experiment, Result, need
from lab.runs import Run, source_of, write_atomically
from lab.timing import median_seconds

QUANTITIES = ("variance", "entropy", "gradient")


# ---------------------------------------------------------------------------------------------- scale


def scale(context: Context) -> Result:
    """Variance of the scores, entropy and gradient of the softmax, from d_k = 1 to 4,096, raw and scaled."""
    n = 64
    seeds = list(range(16 if context.quick else 64))
    widths = [2**power for power in range(0, 13, 2 if context.quick else 1)]
    settings = {"experiment": "scale", "n": n, "seeds": seeds, "code": source_of(context.module)}

    with Run(context.out, settings) as run:
        rows = []
        for d_k in context.progress(widths, "width of a head"):
            rows.append(run.row(str(d_k), lambda d_k=d_k: measure(context.module, d_k, n, seeds)))
        finding = what_happened(rows)
        if plots.available():
            picture = draw(rows, n, len(seeds), context.out / "scale.png")
        else:
            picture = write_atomically(context.out / "scale.txt", chart(rows))
        files = [run.finish({"finding": finding, "rows": rows}), picture]
    return Result(finding, scale_table(rows, n), {**settings, "rows": rows}, files)


def measure(module: Any, d_k: int, n: int, seeds: list[int]) -> dict[str, float]:
    """The learner's statistics at one width, averaged over the seeds."""
    samples = [module.score_statistics(d_k, n, seed) for seed in seeds]
    means = {key: float(np.mean([sample[key] for sample in samples])) for key in sorted(samples[0])}
    return {"d_k": d_k, **means}


def what_happened(rows: list[dict[str, float]]) -> str:
    """One sentence with this run's numbers, from d_k = 64 on as in the guess."""
    at = {row["d_k"]: row for row in rows}
    shrinks = {name: at[64][f"gradient_{name}"] / at[4096][f"gradient_{name}"] for name in ("raw", "scaled")}
    return (
        f"from d_k = 64 to 4,096 the gradient shrinks by a factor of {shrinks['raw']:.1f} without the scale, about as"
        f" 1/√d_k, and {shrinks['scaled']:.1f} with it."
    )


def scale_table(rows: list[dict[str, float]], n: int) -> str:
    """All numbers, a line for each width."""
    lines = [
        f"{'':6}{'variance of scores':^22}{f'entropy, at most {math.log(n):.2f}':^22}{'gradient of softmax':^22}",
        f"{'d_k':>6}" + f"{'raw':>11}{'scaled':>11}" * 3,
    ]
    for row in rows:
        variance = f"{row['variance_raw']:11.2f}{row['variance_scaled']:11.2f}"
        entropy = f"{row['entropy_raw']:11.2f}{row['entropy_scaled']:11.2f}"
        gradient = f"{row['gradient_raw']:11.4f}{row['gradient_scaled']:11.4f}"
        lines.append(f"{row['d_k']:6}{variance}{entropy}{gradient}")
    return "\n".join(lines)


def chart(rows: list[dict[str, float]]) -> str:
    """The gradient as bars of characters, for machines without matplotlib."""
    most = max(row[f"gradient_{name}"] for row in rows for name in ("raw", "scaled"))
    lines = ["gradient of the softmax: # without the scale, = with it", ""]
    for row in rows:
        for name, mark in (("raw", "#"), ("scaled", "=")):
            value = row[f"gradient_{name}"]
            lines.append(f"{row['d_k'] if name == 'raw' else '':>6} {mark * round(48 * value / most):48} {value:.4f}")
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, float]], n: int, seeds: int, path: Path) -> Path:
    """Three panels over the width, each with the raw and the scaled line."""
    widths = [row["d_k"] for row in rows]
    figure, panels = plots.figure(
        "Without 1/√d_k, the wider the head, the more one key takes all, and the gradient fades",
        f"{n} random queries on {n} random keys, components of variance 1; mean of {seeds} draws; your own softmax",
        panels=3,
    )
    for axes, quantity in zip(panels, QUANTITIES, strict=True):
        for name, colour in (("raw", plots.ORANGE), ("scaled", plots.BLUE)):
            values = [row[f"{quantity}_{name}"] for row in rows]
            axes.plot(widths, values, "o-", color=colour, linewidth=2, markersize=4.5, clip_on=False, zorder=3)
        axes.set_xscale("log", base=2)
        axes.set_xlim(1, widths[-1])
        axes.set_xticks([1, 4, 16, 64, 256, 1024, 4096], ["1", "4", "16", "64", "256", "1,024", "4,096"])
        axes.minorticks_off()
        axes.set_xlabel("d_k, width of a head", fontsize=9.5, color=plots.INK)

    variance, entropy, gradient = panels
    plots.heading(variance, "Scores spread: variance = d_k")
    variance.set_yscale("log")
    variance.set_ylim(0.4, 1e4)
    variance.set_yticks([1, 10, 100, 1000, 10000], ["1", "10", "100", "1,000", "10,000"])
    variance.minorticks_off()
    plots.label(variance, 90, 220, "without scale", plots.ORANGE, ha="right")
    plots.label(variance, 256, 1.4, "with 1/√d_k", plots.BLUE, ha="center")

    plots.heading(entropy, "Softmax picks one key: entropy, in nats")
    entropy.set_ylim(0, math.log(n) * 1.12)
    entropy.axhline(math.log(n), color=plots.FAINT, linewidth=1, linestyle=(0, (4, 3)))
    plots.label(entropy, 24, 1.6, "without scale", plots.ORANGE)
    plots.label(entropy, 256, 3.3, "with 1/√d_k", plots.BLUE, ha="center")
    plots.label(entropy, 4096, math.log(n) + 0.07, f"ln {n}: all keys alike", plots.FAINT, ha="right", fontsize=9)

    plots.heading(gradient, "Its gradient fades: norm of diag(p) − p·pᵀ")
    gradient.set_yscale("log")
    low = min(row[f"gradient_{name}"] for row in rows for name in ("raw", "scaled"))
    gradient.set_ylim(max(low / 1.4, 1e-6), 0.5)
    ticks = [tick for tick in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3) if tick >= low / 1.4]
    gradient.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    gradient.minorticks_off()
    peak = max(rows, key=lambda row: row["gradient_raw"])
    plots.label(gradient, peak["d_k"], peak["gradient_raw"] * 1.12, "without scale", plots.ORANGE, ha="center")
    plots.label(gradient, 24, rows[-1]["gradient_scaled"] / 1.16, "with 1/√d_k", plots.BLUE, ha="center", va="top")
    return plots.save(figure, path)


# ---------------------------------------------------------------------------------------------- against_torch


def against_torch(context: Context) -> Result:
    """The learner's attention beside PyTorch's on the same numbers: the largest difference, and the time."""
    need("torch")
    import torch

    sizes = [256] if context.quick else [256, 512, 1024]
    repeats = 5 if context.quick else 11
    settings = {"experiment": "against_torch", "repeats": repeats, "code": source_of(context.module)}
    settings |= {"torch": torch.__version__, "torch_threads": torch.get_num_threads()}
    cases = [(size, causal) for size in sizes for causal in (False, True)]

    with Run(context.out, settings) as run:
        rows = []
        for size, causal in context.progress(cases, "shapes"):
            case = (size, causal, repeats)
            rows.append(run.row(f"{size} {causal}", lambda case=case: compare(context.module, *case)))
        corner = run.row("corner", lambda: causal_corner(context.module))
        largest = max(row["difference"] for row in rows)
        slowest = max(row["ratio"] for row in rows)
        finding = f"at most {largest:.0e} apart; yours takes up to {slowest:.1f} times as long."
        files = [run.finish({"finding": finding, "rows": rows, "corner": corner})]
    table = torch_table(rows, corner, settings["torch_threads"])
    return Result(finding, table, {**settings, "rows": rows, "corner": corner}, files)


def compare(module: Any, size: int, causal: bool, repeats: int) -> dict[str, Any]:
    """One shape, float32: both answers to the same question, and the median time of each."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((1, 12, size, 64)).astype(np.float32) for _ in range(3))
    tensors = [torch.from_numpy(array) for array in (q, k, v)]

    def yours() -> np.ndarray:
        return module.scaled_dot_product_attention(q, k, v, causal=causal)

    def theirs() -> np.ndarray:
        with torch.inference_mode():
            return scaled_dot_product_attention(*tensors, is_causal=causal).numpy()

    difference = float(np.max(np.abs(yours() - theirs())))
    seconds, torch_seconds = median_seconds(yours, repeats), median_seconds(theirs, repeats)
    return {
        "size": size,
        "causal": causal,
        "difference": difference,
        "seconds": seconds,
        "torch_seconds": torch_seconds,
        "ratio": seconds / torch_seconds,
    }


def causal_corner(module: Any) -> dict[str, float]:
    """One query, eight keys, causal: how far apart the two conventions are, and that the mask alone explains it."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    rng = np.random.default_rng(1)
    q, k, v = (rng.standard_normal((1, 1, length, 16)) for length in (1, 8, 8))
    tensors = [torch.from_numpy(array) for array in (q, k, v)]
    yours = module.scaled_dot_product_attention(q, k, v, causal=True)
    mask = torch.from_numpy(module.causal_mask(1, 8))
    top_left = scaled_dot_product_attention(*tensors, is_causal=True).numpy()
    bottom_right = scaled_dot_product_attention(*tensors, attn_mask=mask).numpy()
    return {
        "is_causal": float(np.max(np.abs(yours - top_left))),
        "your_mask": float(np.max(np.abs(yours - bottom_right))),
    }


def torch_table(rows: list[dict[str, Any]], corner: dict[str, float], threads: int) -> str:
    """The comparison, a line for each shape, and the causal corner in words."""
    lines = [f"{'q, k, v in float32':22}{'causal':8}{'difference':>12}{'yours':>12}{'PyTorch':>12}{'ratio':>8}"]
    for row in rows:
        shape = f"(1, 12, {row['size']}, 64)"
        times = f"{1000 * row['seconds']:9.1f} ms{1000 * row['torch_seconds']:9.1f} ms{row['ratio']:8.1f}"
        lines.append(f"{shape:22}{'yes' if row['causal'] else 'no':8}{row['difference']:12.1e}{times}")
    lines += [
        f"Medians. PyTorch takes {threads} threads; numpy takes what its matrix library takes.",
        "",
        "1 query, 8 keys, causal: PyTorch's is_causal counts from the top left and lets the query see key 0 alone,",
        f"{corner['is_causal']:.1e} away from yours; with your causal_mask as attn_mask: {corner['your_mask']:.1e}.",
    ]
    return "\n".join(lines)


EXPERIMENTS = {
    "scale": Experiment(
        name="scale",
        title="What the width of a head does to softmax, without and with 1/√d_k",
        guess="From d_k = 64 to 4,096, by what factor does softmax's gradient shrink without the scale, and with it?",
        run=scale,
    ),
    "against_torch": Experiment(
        name="against_torch",
        title="Your scaled_dot_product_attention beside PyTorch's",
        guess="At 1,024 tokens and 12 heads, how many times as long as PyTorch does your numpy code take?",
        run=against_torch,
    ),
}
