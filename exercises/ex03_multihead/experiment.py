"""Two experiments on your own multihead.py: one head against many at equal cost, and your layer beside PyTorch's.

`grader run multihead` runs the first, `grader run multihead against_torch` the second.

Sources:
    Vaswani et al. 2017, Attention Is All You Need, section 3.2.2 and table 3, rows (A): https://arxiv.org/abs/1706.03762
"""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path
from typing import Any

from lab import plots
from lab.experiment import Context, Experiment, Result, need
from lab.runs import Run, source_of, write_atomically
from lab.timing import median_seconds

LETTERS = 8
LENGTH = 16
WIDTH = 32
BACK = (1, 2, 3, 4)
SHADES = " .:-=+*#%@"


# ---------------------------------------------------------------------------------------------- heads


def heads(context: Context) -> Result:
    """A layer has to name the letters 1, 2, 3 and 4 back: one width, cut into 1 to 32 heads."""
    need("torch")
    import torch

    counts = [1, 2, 4, 32] if context.quick else [1, 2, 4, 8, 16, 32]
    seeds = list(range(2 if context.quick else 5))
    steps = 250 if context.quick else 500
    settings = {"experiment": "heads", "width": WIDTH, "steps": steps, "seeds": seeds, "torch": torch.__version__}
    settings |= {"code": source_of(context.module)}
    cases = list(itertools.product(counts, seeds))

    with Run(context.out, settings) as run:
        rows = []
        for n_heads, seed in context.progress(cases, "trainings"):
            case = (n_heads, seed, steps)
            rows.append(run.row(f"{n_heads} {seed}", lambda case=case: train(context.module, *case)))
        finding = what_happened(rows)
        if plots.available():
            picture = draw(rows, steps, context.out / "heads.png")
        else:
            picture = write_atomically(context.out / "heads.txt", chart(rows))
        files = [run.finish({"finding": finding, "rows": rows}), picture]
    return Result(finding, heads_table(rows), {**settings, "rows": rows}, files)


def model_of(module: Any, n_heads: int) -> Any:
    """Letters and positions embedded, the learner's layer, and a linear layer that names four letters at each place."""
    from torch import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.letters = nn.Embedding(LETTERS, WIDTH)
            self.positions = nn.Embedding(LENGTH, WIDTH)
            self.attention = module.MultiHeadAttention(WIDTH, n_heads)
            self.names = nn.Linear(WIDTH, len(BACK) * LETTERS)

        def embed(self, ids: Any) -> Any:
            return self.letters(ids) + self.positions.weight  # (batch, length, width)

        def forward(self, ids: Any) -> Any:
            read = self.attention(self.embed(ids), causal=True)
            return self.names(read).unflatten(-1, (len(BACK), LETTERS))  # (batch, length, back, letter)

    return Model()


def batch_of(generator: Any, n: int) -> tuple[Any, Any]:
    """Random letters, and for every position from the fifth on the four letters before it."""
    import torch

    ids = torch.randint(LETTERS, (n, LENGTH), generator=generator)
    before = [ids[:, max(BACK) - back : LENGTH - back] for back in BACK]
    return ids, torch.stack(before, dim=-1)  # (batch, length - 4, back)


def train(module: Any, n_heads: int, seed: int, steps: int) -> dict[str, Any]:
    """Train one layer; its loss and share of right letters on text it has not seen, and where its heads look."""
    import torch
    from torch.nn.functional import cross_entropy

    started = time.perf_counter()
    torch.manual_seed(seed)
    model = model_of(module, n_heads)
    generator = torch.Generator().manual_seed(1000 + seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 20) * (1 - step / steps))
    for _ in range(steps):
        ids, before = batch_of(generator, 32)
        logits = model(ids)[:, max(BACK) :]
        loss = cross_entropy(logits.flatten(0, -2), before.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

    ids, before = batch_of(torch.Generator().manual_seed(99), 512)
    with torch.no_grad():
        logits = model(ids)[:, max(BACK) :]
        answer = {
            "heads": n_heads,
            "seed": seed,
            "parameters": sum(parameter.numel() for parameter in model.attention.parameters()),
            "loss": float(cross_entropy(logits.flatten(0, -2), before.flatten())),
            "right": float((logits.argmax(dim=-1) == before).float().mean()),
            "seconds": time.perf_counter() - started,
        }
        if seed == 0 and n_heads in (1, len(BACK)):
            answer["maps"] = maps(module, model, ids, n_heads)
    return answer


def maps(module: Any, model: Any, ids: Any, n_heads: int) -> list[Any]:
    """The weights of each head, mean over the samples: attention that reads an identity matrix hands out its weights."""
    import torch

    layer, x = model.attention, model.embed(ids)
    if hasattr(layer, "qkv_proj"):
        q, k, _ = layer.qkv_proj(x).chunk(3, dim=-1)
    else:
        q, k = layer.q_proj(x), layer.k_proj(x)
    q, k = module.split_heads(q, n_heads), module.split_heads(k, n_heads)
    allowed = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
    weights = module.attend(q, k, torch.eye(LENGTH), allowed)  # (batch, head, query, key)
    return [[[round(float(w), 4) for w in row] for row in head] for head in weights.mean(dim=0)]


def what_happened(rows: list[dict[str, Any]]) -> str:
    """One sentence with this run's numbers."""
    one, four, most = (mean(rows, n_heads, "right") for n_heads in (1, 4, WIDTH))
    return (
        f"one head of width {WIDTH} names {one:.0%} of the four letters, four heads of width {WIDTH // 4} name {four:.0%},"
        f" {WIDTH} heads of width 1 name {most:.0%}, all with the same {rows[0]['parameters']:,} parameters."
    )


def of_count(rows: list[dict[str, Any]], n_heads: int, key: str) -> list[float]:
    """That number of every training with so many heads."""
    return [row[key] for row in rows if row["heads"] == n_heads]


def mean(rows: list[dict[str, Any]], n_heads: int, key: str) -> float:
    """Its mean over the seeds."""
    return statistics.mean(of_count(rows, n_heads, key))


def counts_in(rows: list[dict[str, Any]]) -> list[int]:
    """The numbers of heads that were tried, in order."""
    return sorted({row["heads"] for row in rows})


def heads_table(rows: list[dict[str, Any]]) -> str:
    """A line for each number of heads."""
    lines = [
        f"{'heads':>5}{'width':>7}{'parameters':>12}{'right, mean':>13}{'worst':>8}{'best':>8}{'loss':>8}{'seconds':>9}"
    ]
    for n_heads in counts_in(rows):
        right = of_count(rows, n_heads, "right")
        lines.append(
            f"{n_heads:5}{WIDTH // n_heads:7}{rows[0]['parameters']:12,}{statistics.mean(right):13.1%}{min(right):8.1%}"
            f"{max(right):8.1%}{mean(rows, n_heads, 'loss'):8.3f}{mean(rows, n_heads, 'seconds'):9.1f}"
        )
    lines.append(f"Guessing names {1 / LETTERS:.1%}. {len(of_count(rows, 1, 'right'))} seeds each.")
    return "\n".join(lines)


def maps_in(rows: list[dict[str, Any]], n_heads: int) -> list[Any]:
    """Where the heads of the first such training looked."""
    return next(row["maps"] for row in rows if row["heads"] == n_heads and "maps" in row)


def chart(rows: list[dict[str, Any]]) -> str:
    """Shares as bars and heat maps as shades of characters, for machines without matplotlib."""
    lines = ["letters named right, mean over the seeds", ""]
    for n_heads in counts_in(rows):
        right = mean(rows, n_heads, "right")
        lines.append(f"{n_heads:3} heads {'#' * round(48 * right):48} {right:.1%}")
    for n_heads in (1, len(BACK)):
        for number, head in enumerate(maps_in(rows, n_heads)):
            lines += ["", f"head {number} of {n_heads}: a row for each query, a column for each key, dark is 1"]
            lines += ["|" + "".join(SHADES[min(int(w * 10), 9)] * 2 for w in row) + "|" for row in head]
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], steps: int, path: Path) -> Path:
    """The share of right letters by number of heads; where one head looks; where four look."""
    figure, (shares, single, several) = plots.figure(
        "Four letters to fetch: one head blurs them, four heads take one each",
        f"name the letters 1, 2, 3 and 4 back; width {WIDTH}, the same parameters for all; {steps} steps; your own layer",
        panels=3,
    )
    counts = counts_in(rows)
    for row in rows:
        shares.plot(row["heads"], row["right"], "o", color=plots.BLUE, markersize=4, alpha=0.45, zorder=3)
    means = [mean(rows, n_heads, "right") for n_heads in counts]
    shares.plot(counts, means, "-", color=plots.BLUE, linewidth=2, zorder=2)
    shares.axhline(1 / LETTERS, color=plots.FAINT, linewidth=1, linestyle=(0, (4, 3)))
    shares.set_xscale("log", base=2)
    shares.set_xticks(counts, [f"{n_heads}\n({WIDTH // n_heads})" for n_heads in counts])
    shares.minorticks_off()
    shares.set_ylim(0, 1.05)
    shares.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    shares.set_xlabel("heads (width of each)", fontsize=9.5, color=plots.INK)
    plots.heading(shares, "Letters named right")
    plots.label(shares, counts[-1], 1 / LETTERS + 0.02, "guessing", plots.FAINT, ha="right", fontsize=9)

    plots.heading(single, "Where the one head looks")
    heat(single, maps_in(rows, 1)[0])
    single.set_xlabel("key: position that is read", fontsize=9.5, color=plots.INK)
    single.set_ylabel("query", fontsize=9.5, color=plots.INK)
    plots.heading(several, "Where each of four heads looks")
    several.axis("off")
    for number, head in enumerate(maps_in(rows, len(BACK))):
        inset = several.inset_axes([0.53 * (number % 2), 0.53 * (1 - number // 2), 0.47, 0.47])
        heat(inset, head)
        inset.set_xticks([])
        inset.set_yticks([])
        inset.spines[:].set_color(plots.FAINT)
        plots.label(inset, 14.6, 1.6, f"head {number}", plots.INK, ha="right", fontsize=9)
    return plots.save(figure, path)


def heat(axes: Any, weights: list[list[float]]) -> None:
    """One head's weights, white for 0 and dark for 1."""
    axes.grid(False)
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")


# ---------------------------------------------------------------------------------------------- against_torch


def against_torch(context: Context) -> Result:
    """The learner's layer beside nn.MultiheadAttention with the same weights: the largest difference, and the time."""
    need("torch")
    import torch

    sizes = [128] if context.quick else [128, 512]
    repeats = 5 if context.quick else 11
    settings = {"experiment": "against_torch", "repeats": repeats, "code": source_of(context.module)}
    settings |= {"torch": torch.__version__, "torch_threads": torch.get_num_threads()}
    cases = list(itertools.product(sizes, CASES))

    with Run(context.out, settings) as run:
        rows = []
        for size, case in context.progress(cases, "shapes"):
            given = (size, case, repeats)
            rows.append(run.row(f"{size} {case}", lambda given=given: compare(context.module, *given)))
        corner = run.row("corner", lambda: polarity(context.module))
        largest = max(row["difference"] for row in rows)
        slowest = max(row["ratio"] for row in rows)
        finding = f"at most {largest:.0e} apart; yours takes up to {slowest:.1f} times as long."
        files = [run.finish({"finding": finding, "rows": rows, "corner": corner})]
    table = torch_table(rows, corner, settings["torch_threads"])
    return Result(finding, table, {**settings, "rows": rows, "corner": corner}, files)


CASES = ("self", "causal", "padding", "memory")
D_MODEL, N_HEADS, BATCH = 256, 8, 4


def the_same_layer_twice(module: Any) -> tuple[Any, Any]:
    """The learner's layer and PyTorch's, with PyTorch's weights in both: rows of its packed matrix in the order q, k, v."""
    import torch

    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(D_MODEL, N_HEADS, batch_first=True).eval()
    yours = module.MultiHeadAttention(D_MODEL, N_HEADS).eval()
    with torch.no_grad():
        theirs.in_proj_bias.normal_()  # PyTorch starts it at zero, where a forgotten bias would not show
        theirs.out_proj.bias.normal_()
        packed = {"weight": theirs.in_proj_weight, "bias": theirs.in_proj_bias}
        for kind, rows in packed.items():
            if hasattr(yours, "qkv_proj"):
                getattr(yours.qkv_proj, kind).copy_(rows)
            else:
                for name, block in zip(("q_proj", "k_proj", "v_proj"), rows.chunk(3), strict=True):
                    getattr(getattr(yours, name), kind).copy_(block)
            getattr(yours.out_proj, kind).copy_(getattr(theirs.out_proj, kind))
    return yours, theirs


def compare(module: Any, size: int, case: str, repeats: int) -> dict[str, Any]:
    """One shape, float32: both answers to the same question, and the median time of each."""
    import torch

    yours, theirs = the_same_layer_twice(module)
    x = torch.randn(BATCH, size, D_MODEL)
    memory = torch.randn(BATCH, size // 2, D_MODEL) if case == "memory" else x
    padding = torch.arange(size) < torch.tensor([[size], [size // 2], [size // 3], [1]])  # (batch, key), True = a token
    later = torch.ones(size, size, dtype=torch.bool).triu(1)
    your_way: dict[str, Any] = {
        "self": {},
        "causal": {"causal": True},
        "padding": {"mask": padding[:, None, None, :]},
        "memory": {"memory": memory},
    }[case]
    their_way: dict[str, Any] = {"causal": {"attn_mask": later}, "padding": {"key_padding_mask": ~padding}}.get(
        case, {}
    )

    def ask_yours() -> Any:
        with torch.inference_mode():
            return yours(x, **your_way)

    def ask_theirs() -> Any:
        with torch.inference_mode():
            return theirs(x, memory, memory, need_weights=False, **their_way)[0]

    difference = float((ask_yours() - ask_theirs()).abs().max())
    seconds, torch_seconds = median_seconds(ask_yours, repeats), median_seconds(ask_theirs, repeats)
    return {
        "size": size,
        "case": case,
        "difference": difference,
        "seconds": seconds,
        "torch_seconds": torch_seconds,
        "ratio": seconds / torch_seconds,
    }


def polarity(module: Any) -> dict[str, float]:
    """One boolean mask handed to both as it is, and turned round for PyTorch: True means opposite things to the two."""
    import torch

    yours, theirs = the_same_layer_twice(module)
    x = torch.randn(BATCH, 9, D_MODEL)
    mask = (torch.arange(9)[:, None] + torch.arange(9)) % 3 > 0  # two thirds of the keys for every query
    with torch.inference_mode():
        expected = yours(x, mask=mask)
        as_it_is, turned_round = (theirs(x, x, x, attn_mask=given)[0] for given in (mask, ~mask))
    return {
        "as_it_is": float((as_it_is - expected).abs().max()),
        "turned_round": float((turned_round - expected).abs().max()),
    }


def torch_table(rows: list[dict[str, Any]], corner: dict[str, float], threads: int) -> str:
    """The comparison, a line for each shape, and the polarity of masks in words."""
    lines = [f"{'x in float32':18}{'':10}{'difference':>12}{'yours':>12}{'PyTorch':>12}{'ratio':>8}"]
    for row in rows:
        shape = f"({BATCH}, {row['size']}, {D_MODEL})"
        times = f"{1000 * row['seconds']:9.1f} ms{1000 * row['torch_seconds']:9.1f} ms{row['ratio']:8.1f}"
        lines.append(f"{shape:18}{row['case']:10}{row['difference']:12.1e}{times}")
    lines += [
        f"{N_HEADS} heads, medians, {threads} threads.",
        "",
        f"A boolean mask given to nn.MultiheadAttention as it is: {corner['as_it_is']:.1e} away from yours,",
        f"since True means blocked there. Turned round: {corner['turned_round']:.1e}.",
    ]
    return "\n".join(lines)


EXPERIMENTS = {
    "heads": Experiment(
        name="heads",
        title="One head against many at equal cost: name the letters 1, 2, 3 and 4 back",
        guess="Which share of the letters do one head of width 32, four of width 8 and 32 of width 1 name?",
        run=heads,
    ),
    "against_torch": Experiment(
        name="against_torch",
        title="Your MultiHeadAttention beside nn.MultiheadAttention, with the same weights",
        guess="At 512 positions, how many times as long as PyTorch does your layer take?",
        run=against_torch,
    ),
}
