"""One experiment on your own bigram.py: the same table counted and trained, on Tiny Shakespeare, and what it writes.

`grader run bigram` runs it. Counted on the first nine tenths of the text, measured on the last tenth.

Sources:
    Shannon 1948, A Mathematical Theory of Communication, section 3, the series of approximations to English
        http://people.math.harvard.edu/~ctm/home/text/others/shannon/entropy/entropy.pdf
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import plots
from lab.corpora import Corpus, tiny_shakespeare
from lab.experiment import Context, Experiment, Result, need
from lab.ladder import ladder, rungs
from lab.runs import Run, source_of, write_atomically

if TYPE_CHECKING:
    import torch

SMOOTHINGS = (0.0, 0.01, 0.1, 1.0, 10.0, 100.0)
CONTEXT, BATCH = 64, 64  # 4,096 pairs a step
CHUNK = 1 << 16  # pairs measured at a time
SHADES = " .:-=+*#%@"


@dataclass(frozen=True)
class Text:
    """A corpus as the learner's functions see it, and the tables that are counted on its training part."""

    corpus: Corpus
    vocab: list[str]
    train: torch.Tensor
    validation: torch.Tensor
    letters: torch.Tensor  # logits by the counts of single characters: the same row everywhere
    counted: torch.Tensor  # logits by the counts of pairs, with smoothing 1


def counted_and_trained(context: Context) -> Result:
    """Losses of the table, counted and trained, beside what knows less; samples; a picture of the table."""
    need("torch")
    import torch

    module, corpus = context.module, tiny_shakespeare()
    steps = 400 if context.quick else 4000
    settings = {"experiment": "counted", "steps": steps, "code": source_of(module), "text": corpus.fingerprint}
    vocab = module.build_vocab(corpus.text)
    size = len(vocab)
    train, validation = (module.encode(part, vocab) for part in (corpus.train, corpus.validation))
    letters = (torch.bincount(train, minlength=size) + 1.0).log().repeat(size, 1)
    text = Text(corpus, vocab, train, validation, letters, module.bigram_logits(train, size))

    with Run(context.out, settings | {"torch": torch.__version__}) as run:
        measured = run.row("measured", lambda: measure(context, text))
        trained = run.row("trained", lambda: train_table(context, text, steps))
        written = run.row("written", lambda: write(context, text))
        numbers = {**measured, **trained, "corpus": corpus.name, "characters": size}
        finding = what_happened(numbers)

        files = [write_atomically(context.out / "samples.txt", pages(written))]
        table = text.counted.exp().tolist()
        if plots.available():
            files.append(draw_table(table, text, context.out / "table.png"))
            files.append(draw_losses(numbers, corpus, context.out / "losses.png"))
        else:
            files.append(write_atomically(context.out / "table.txt", chart(table, vocab)))
        files = [run.finish({"finding": finding, **numbers}), *files]
    return Result(finding, summary(numbers, written, corpus), {**settings, **numbers}, files)


# ---------------------------------------------------------------------------------------------- measuring


def loss_of(module: Any, table: torch.Tensor, ids: torch.Tensor) -> float:
    """The learner's loss of a table over all pairs of a text, a piece at a time."""
    import torch

    pairs, total = len(ids) - 1, 0.0
    for start in range(0, pairs, CHUNK):
        width = min(CHUNK, pairs - start)
        x, y = module.get_batch(ids, torch.tensor([start]), width)
        total += float(module.cross_entropy(table[x], y)) * width
    return total / pairs


def measure(context: Context, text: Text) -> dict[str, Any]:
    """The losses of all tables that are only counted."""
    import torch

    module, size = context.module, len(text.vocab)
    smoothed = {smoothing: module.bigram_logits(text.train, size, smoothing) for smoothing in SMOOTHINGS}
    smoothed[1.0] = text.counted
    tables = {"nothing": torch.zeros(size, size), "letters": text.letters, **smoothed}
    losses = {}
    for name, table in context.progress(list(tables.items()), "tables"):
        losses[name] = loss_of(module, table, text.validation)
    x, y = module.get_batch(text.validation, torch.tensor([0]), len(text.validation) - 1)
    return {
        "nothing": losses["nothing"],
        "letters": losses["letters"],
        "counted": losses[1.0],
        "counted_train": loss_of(module, text.counted, text.train),
        "smoothing": [[smoothing, finite(losses[smoothing])] for smoothing in SMOOTHINGS],
        "pairs": y.numel(),
        "unseen": int(torch.isneginf(tables[0.0][x, y]).sum()),
    }


def finite(loss: float) -> float | None:
    """A loss as JSON can hold it: None for inf."""
    return loss if math.isfinite(loss) else None


def train_table(context: Context, text: Text, steps: int) -> dict[str, Any]:
    """The same table from zeros by gradient descent, with the learner's batches and loss; its losses on the way."""
    import torch

    module, size, rate = context.module, len(text.vocab), 0.1
    generator = torch.Generator().manual_seed(0)
    weights = torch.zeros(size, size, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=rate)
    seen_at = {0, *(round(2 ** (k / 2)) for k in range(2 * steps.bit_length()))}
    curve = []
    for step in context.progress(range(steps), "steps of gradient descent"):
        if step in seen_at:
            curve.append([step, loss_of(module, weights.detach(), text.validation)])
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        starts = torch.randint(len(text.train) - CONTEXT, (BATCH,), generator=generator)
        x, y = module.get_batch(text.train, starts, CONTEXT)
        loss = module.cross_entropy(weights[x], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    curve.append([steps, loss_of(module, weights.detach(), text.validation)])

    trained = weights.detach().softmax(dim=-1)
    often = torch.bincount(text.train, minlength=size) / len(text.train)
    apart = float((often * (trained - text.counted.exp()).abs().sum(dim=-1) / 2).sum())
    return {"steps": steps, "curve": curve, "trained": curve[-1][1], "apart": apart}


# ---------------------------------------------------------------------------------------------- writing


def write(context: Context, text: Text) -> list[dict[str, Any]]:
    """Shannon's series: texts by tables that know more and more, then the last one at other temperatures."""
    import torch

    module, size = context.module, len(text.vocab)
    told = [
        ("knows nothing", torch.zeros(size, size), 1.0),
        ("letter counts", text.letters, 1.0),
        ("bigram, counted", text.counted, 1.0),
        ("bigram, counted", text.counted, 0.5),
        ("bigram, counted", text.counted, 0.0),
    ]
    first = next((i for i, character in enumerate(text.vocab) if character.isalpha()), 0)
    samples = []
    for number, (name, table, temperature) in enumerate(context.progress(told, "samples")):
        ids = [first]
        for place in range(400):
            following = module.sample_next(table[ids[-1]], temperature, seed=1000 * number + place)
            ids.append(int(following))
        written = module.decode(torch.tensor(ids), text.vocab)
        samples.append({"name": name, "temperature": temperature, "text": written})
    return samples


def pages(samples: list[dict[str, Any]]) -> str:
    """All samples, each under what wrote it."""
    return "\n\n".join(
        f"=== {one['name']}, temperature {one['temperature']:g}\n\n{one['text'].strip()}" for one in samples
    ).rstrip() + "\n"  # fmt: skip


# ---------------------------------------------------------------------------------------------- telling


def what_happened(numbers: dict[str, Any]) -> str:
    """One sentence with this run's numbers."""
    gain = numbers["counted"] - numbers["trained"]
    return (
        f"counted {numbers['counted']:.3f}, trained {numbers['trained']:.3f}: gradient descent ends"
        f" {abs(gain):.3f} {'below' if gain > 0 else 'above'} what one pass of counting gives."
    )


def summary(numbers: dict[str, Any], samples: list[dict[str, Any]], corpus: Corpus) -> str:
    """All losses, what smoothing does, a line from each writer, and the ladder."""
    lines = [corpus.note, ""] if corpus.note else []
    lines += [
        f"{corpus.name}: {len(corpus.text):,} characters, {numbers['characters']} distinct",
        "",
        f"{'table':32}{'validation loss':>16}",
        f"{'knows nothing':32}{numbers['nothing']:16.3f}",
        f"{'letter counts, every row alike':32}{numbers['letters']:16.3f}",
        f"{'bigram, counted':32}{numbers['counted']:16.3f}   (training part {numbers['counted_train']:.3f})",
        f"{'bigram, trained':32}{numbers['trained']:16.3f}   ({numbers['steps']:,} steps of {BATCH * CONTEXT:,} pairs)",
        "",
        f"Rows of the two, by how often they are used, differ in {100 * numbers['apart']:.1f} % of their probability.",
        "",
        "smoothing" + "".join(f"{smoothing:9g}" for smoothing, _ in numbers["smoothing"]),
        "loss     " + "".join(f"{'inf' if loss is None else f'{loss:.3f}':>9}" for _, loss in numbers["smoothing"]),
        f"{numbers['unseen']:,} of the {numbers['pairs']:,} validation pairs never occur in the training part.",
        "",
    ]
    for one in samples:
        words = " ".join(one["text"].split())
        lines.append(f"{one['name'] + ', t = ' + format(one['temperature'], 'g'):26}{words[:54]}")
    return "\n".join([*lines, "", ladder(numbers["counted"], "your bigram, counted", corpus)])


def shown(character: str) -> str:
    """A character as it can stand at an axis."""
    return {"\n": "↵", " ": "␣"}.get(character, character)


def chart(table: list[list[float]], vocab: list[str]) -> str:
    """The table in characters, for machines without matplotlib: darker is likelier."""
    lines = [f"rows: previous, columns: next; 0 to 1 is {SHADES!r}", "", "  " + "".join(map(shown, vocab)), ""]
    for previous, row in zip(vocab, table, strict=True):
        cells = "".join(SHADES[min(int(math.sqrt(p) * len(SHADES)), len(SHADES) - 1)] for p in row)
        lines.append(f"{shown(previous)} {cells}".rstrip())
    return "\n".join(lines) + "\n"


def surest(table: list[list[float]], text: Text) -> tuple[str, str, float]:
    """Of the letters that occur a hundred times and more, the one whose next character is surest; that one; how sure."""
    often = [i for i, c in enumerate(text.vocab) if c.isalpha() and int((text.train == i).sum()) >= 100]
    if not often:
        often = list(range(len(text.vocab)))
    best = max(often, key=lambda i: max(table[i]))
    following = max(range(len(table)), key=table[best].__getitem__)
    return text.vocab[best], text.vocab[following], table[best][following]


def draw_table(table: list[list[float]], text: Text, path: Path) -> Path:
    """The table as a heat map, a row for each previous character."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    names = [shown(character) for character in text.vocab]
    previous, following, share = surest(table, text)
    made = Figure(figsize=(9.6, 10.2), dpi=150, facecolor="white")
    FigureCanvasAgg(made)
    title = f"A row for each character: what follows it. After {shown(previous)} comes {shown(following)}"
    made.text(0.06, 0.982, title, ha="left", va="top", fontsize=15, fontweight="bold", color=plots.INK)
    told = (
        f"{text.corpus.name}, its first nine tenths; {shown(previous)} to {shown(following)}: {100 * share:.0f} %. "
        "Rows tinted throughout are rare: the 1 added to every count shows."
    )
    made.text(0.06, 0.952, told, ha="left", va="top", fontsize=10.5, color=plots.FAINT)
    axes = made.add_axes((0.06, 0.03, 0.83, 0.86))
    image = axes.imshow(table, cmap="Blues", norm=PowerNorm(0.4, vmin=0, vmax=1), aspect="auto")
    axes.set_xticks(range(len(names)), names, fontsize=7.5, color=plots.INK)
    axes.set_yticks(range(len(names)), names, fontsize=7.5, color=plots.INK)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False, pad=2)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_ylabel("previous character", fontsize=9.5, color=plots.INK)
    axes.set_xlabel("next character", fontsize=9.5, color=plots.INK)
    axes.xaxis.set_label_position("top")
    bar = made.colorbar(image, cax=made.add_axes((0.915, 0.03, 0.018, 0.86)), ticks=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 1])
    bar.outline.set_visible(False)
    bar.ax.set_yticklabels(["0", "1 %", "5 %", "10 %", "25 %", "50 %", "100 %"], fontsize=8.5, color=plots.INK)
    bar.ax.tick_params(length=0)
    return plots.save(made, path)


def draw_losses(numbers: dict[str, Any], corpus: Corpus, path: Path) -> Path:
    """The loss on the way of gradient descent, above the level of the counted table and between the rungs."""
    steps, losses = zip(*numbers["curve"], strict=True)
    figure, (axes,) = plots.figure(
        f"Gradient descent ends where counting stands: {numbers['trained']:.2f} and {numbers['counted']:.2f}",
        f"{corpus.name}: validation loss in nats per character; your own batches, loss and counts",
        panels=1,
        panel=8.2,
    )
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(0, steps[-1])
    axes.set_ylim(math.floor(10 * min(numbers["counted"], numbers["trained"])) / 10 - 0.2, numbers["nothing"] + 0.2)
    marks = [0, *(10**k for k in range(1, 9) if 2 * 10**k <= steps[-1]), steps[-1]]
    axes.set_xticks(marks, [f"{mark:,}" for mark in marks])
    axes.minorticks_off()
    axes.set_xlabel("steps of gradient descent", fontsize=9.5, color=plots.INK)
    for level, name in [(numbers["letters"], "letter counts"), (rungs(corpus)[0].loss, "knows nothing")]:
        axes.axhline(level, color=plots.FAINT, linewidth=1, linestyle=(0, (4, 3)))
        plots.label(axes, steps[-1], level + 0.03, f"{name}: {level:.2f}", plots.FAINT, ha="right", fontsize=9)
    axes.axhline(numbers["counted"], color=plots.ORANGE, linewidth=2)
    axes.plot(steps, losses, "o-", color=plots.BLUE, linewidth=2, markersize=4.5, clip_on=False, zorder=3)
    plots.label(axes, 0.1, numbers["counted"] - 0.14, f"counted: {numbers['counted']:.3f}", plots.ORANGE)
    plots.label(
        axes, steps[-1], numbers["trained"] + 0.07, f"trained: {numbers['trained']:.3f}", plots.BLUE, ha="right"
    )
    return plots.save(figure, path)


EXPERIMENTS = {
    "counted": Experiment(
        name="counted",
        title="A table of pairs, counted and trained: what it costs and what it writes",
        guess="Trained by gradient descent instead, how much better than counting does the same table get?",
        run=counted_and_trained,
    ),
}
