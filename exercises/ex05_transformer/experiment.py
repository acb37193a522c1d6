"""The run: your own model, trained by your own code on Tiny Shakespeare. And the same from memory, against the clock.

`grader run transformer` trains *classic*, the configuration that nanoGPT's README gives for a CPU; two to four minutes
on one core. Stop it whenever you like: the same command goes on where it stopped, bit for bit. `--quick` is the same
model for fewer steps. `grader run transformer from_memory` lays out an empty file and starts a clock.

Sources:
    nanoGPT, README, "quick start", the settings for a CPU: https://github.com/karpathy/nanoGPT#quick-start
    Karpathy 2015, The Unreasonable Effectiveness of Recurrent Neural Networks, the text:
        https://karpathy.github.io/2015/05/21/rnn-effectiveness/
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lab.clock import CLOCK, clock_started
from lab.corpora import Corpus, tiny_shakespeare
from lab.experiment import Context, Experiment, Refused, Result, need
from lab.ladder import ladder, rungs
from lab.runs import alone, source_of, write_atomically
from lab.training import Checkpoint, Live, draw_losses, save_weights


@dataclass(frozen=True)
class Settings:
    """Everything that a run depends on, apart from the text and your code."""

    # The model. With 65 characters these are 809,856 parameters.
    n_layers: int = 4
    n_heads: int = 4
    d_model: int = 128
    context: int = 64
    # The training.
    steps: int = 2000
    batch: int = 12  # sequences of `context` characters a step
    max_lr: float = 1e-3
    min_lr: float = 1e-4
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.1
    max_norm: float = 1.0
    seed: int = 1  # of the first weights and of the batches
    at_most_seconds: int | None = None  # after which no step begins
    # What one sees of it.
    evaluate_every: int = 250
    evaluate_on: int = 12_800  # characters of the validation part; at the end, all of it
    save_every: int = 100
    sample: int = 200  # characters
    temperature: float = 0.8


CLASSIC = Settings()
QUICK = replace(CLASSIC, steps=400, max_lr=4e-3, warmup=40, evaluate_every=100, save_every=50, at_most_seconds=60)


# ---------------------------------------------------------------------------------------------- classic


def classic(context: Context) -> Result:
    """Train, and say where on the ladder it ends."""
    need("torch", "safetensors")
    live = Live()
    context.out.mkdir(parents=True, exist_ok=True)
    with alone(context.out):
        corpus = tiny_shakespeare()
        if corpus.note:
            live.say(corpus.note)
        return train(context.module, corpus, QUICK if context.quick else CLASSIC, context.out, live)


def train(module: Any, corpus: Corpus, settings: Settings, folder: Path, live: Live) -> Result:
    """The whole run, from the first weights or from where it was interrupted."""
    import torch

    torch.set_num_threads(1)  # so small a model gains little from more, and one thread always adds in the same order
    vocab, ids = as_ids(corpus.text)
    train_ids, validation_ids = torch.from_numpy(ids).split([len(corpus.train), len(corpus.validation)])
    some = validation_ids[: settings.evaluate_on + 1]

    torch.manual_seed(settings.seed)
    shape = {name: getattr(settings, name) for name in ("context", "n_layers", "n_heads", "d_model")}
    shape = {"vocab_size": len(vocab), **shape}
    model = module.TransformerLM(**shape)
    groups = module.param_groups(model, settings.weight_decay)
    optimizer = module.AdamW(groups, lr=settings.max_lr, betas=settings.betas)
    refuse_a_leak(module, model, train_ids[None, : settings.context])

    batch = batches(train_ids, settings)
    checkpoint = Checkpoint(folder / "checkpoint.safetensors", depends_on(settings, corpus, module))
    story = checkpoint.load(model, optimizer)
    if story is None:
        story = {"step": 0, "seconds": 0.0, "train": [], "validation": [], "samples": []}
        live.say(f"{parameters(model):,} parameters, {len(vocab)} characters, {settings.steps:,} steps.")
        if checkpoint.path.exists():
            live.say("The checkpoint found is of other code or settings; this run begins anew.")
    else:
        live.say(f"Going on after step {story['step']:,} of {settings.steps:,}.")
    began = time.monotonic() - story["seconds"]
    live.begin(settings.steps, story["step"])

    model.train()
    for step in range(story["step"], settings.steps):
        if settings.at_most_seconds is not None and time.monotonic() - began > settings.at_most_seconds:
            live.say(f"\nTime is up after {step:,} of {settings.steps:,} steps: this machine is slow or busy.")
            break
        if step % settings.evaluate_every == 0:
            loss = module.estimate_loss(model, some, settings.context)
            text = write(module, model, vocab, settings.sample, settings)
            story["validation"].append([step, loss])
            story["samples"].append([step, text])
            live.say(f"\nstep {step:,}  validation {loss:.3f}{live.left(step)}\n{indented(text)}")
        for group in optimizer.param_groups:
            group["lr"] = module.lr_at(step, settings.max_lr, settings.min_lr, settings.warmup, settings.steps)
        loss = module.train_step(model, optimizer, [batch(step)], settings.max_norm)
        if not math.isfinite(loss):
            raise Refused(f"The loss of step {step:,} is {loss}: nothing can be learned from here on.")
        if step == 0:
            live.say(first_loss(loss, len(vocab)))
        story["train"].append(loss)
        story["step"] = step + 1
        live.step(step + 1, f"loss {loss:.3f}")
        if story["step"] % settings.save_every == 0 or story["step"] == settings.steps:
            story["seconds"] = time.monotonic() - began
            checkpoint.save(model, optimizer, story)

    live.say("\nReading the whole validation part.")
    story["loss"] = module.estimate_loss(model, validation_ids, settings.context)
    story["text"] = write(module, model, vocab, 2 * settings.sample, settings)
    story["seconds"] = time.monotonic() - began
    config = {**shape, "vocab": vocab, "corpus": corpus.name}
    result = keep(story, model, config, corpus, settings, folder)
    checkpoint.remove()  # only now is nothing lost with it
    return result


def as_ids(text: str) -> tuple[str, np.ndarray]:
    """The characters that occur, sorted, and for each place of the text which of them stands there."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    found, ids = np.unique(codes, return_inverse=True)
    return "".join(map(chr, found)), ids.astype(np.int64)


def batches(ids: Any, settings: Settings) -> Callable[[int], tuple[Any, Any]]:
    """A function that gives the inputs and targets of a step: the same ones, however often the run is interrupted.

    All choices of the run are made here, before it begins.
    """
    import torch

    order = torch.Generator().manual_seed(settings.seed)
    starts = torch.randint(len(ids) - settings.context, (settings.steps, settings.batch), generator=order)
    stretches = ids.unfold(0, settings.context + 1, 1)  # a view: one row for every place to begin at

    def batch(step: int) -> tuple[Any, Any]:
        sequences = stretches[starts[step]]  # (batch, context + 1)
        return sequences[:, :-1].contiguous(), sequences[:, 1:].contiguous()

    return batch


def refuse_a_leak(module: Any, model: Any, ids: Any) -> None:
    """A model that reads the answers off its input would end with a loss that means nothing."""
    if module.looks_ahead(model, ids):
        raise Refused(
            "This model is not trained: your `looks_ahead` says that it looks ahead.\n"
            "Its logits change when only later characters change. It could read each answer off its input, and the\n"
            "loss would fall towards 0 with nothing learned. Look at the mask of its attention first."
        )


def depends_on(settings: Settings, corpus: Corpus, module: Any) -> dict[str, Any]:
    """What has to be the same for an interrupted run to go on."""
    import torch

    code = source_of(module)
    return {**asdict(settings), "text": corpus.fingerprint, "code": code, "torch": torch.__version__}


def parameters(model: Any) -> int:
    """How many numbers are trained; what is used in two places counts once."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def first_loss(loss: float, characters: int) -> str:
    """The loss before the first step beside that of somebody who knows nothing: the cheapest test of first weights."""
    nothing = math.log(characters)
    as_it_should = "as it should be" if abs(loss - nothing) < 0.3 else "it should be near: look at `init_weights`"
    return f"First loss {loss:.3f}; knowing nothing costs ln {characters} = {nothing:.3f}: {as_it_should}."


def write(module: Any, model: Any, vocab: str, n_new: int, settings: Settings) -> str:
    """What the model goes on with at the beginning of a line."""
    import torch

    prompt = torch.tensor([[max(vocab.find("\n"), 0)]])
    ids = module.generate(model, prompt, n_new, temperature=settings.temperature, seed=settings.seed)
    return "".join(vocab[i] for i in ids[0, 1:].tolist())


def indented(text: str) -> str:
    """A sample, set apart."""
    return "\n".join("    | " + line for line in text.strip("\n").split("\n"))


def keep(
    story: dict[str, Any], model: Any, config: dict[str, Any], corpus: Corpus, settings: Settings, folder: Path
) -> Result:
    """Write the trained model and everything that is known of it."""
    loss, steps = story["loss"], story["step"]
    finding = (
        f"{loss:.3f} over the whole validation part of {corpus.name}, after {steps:,} steps"
        f" and {story['seconds']:.0f} seconds."
    )
    numbers = {**asdict(settings), "steps": steps, "corpus": corpus.name}
    numbers |= {"parameters": parameters(model), "finding": finding}
    numbers |= {name: story[name] for name in ("loss", "seconds", "validation")}
    texts = [*story["samples"], [steps, story["text"]]]
    validation = [*story["validation"], [steps, loss]]
    title = f"Your transformer learned to write: {validation[0][1]:.2f} → {loss:.2f}"
    size = f"{settings.batch} × {settings.context} characters"
    subtitle = f"{parameters(model):,} parameters, {steps:,} batches of {size} of {corpus.name}"
    written = "".join(f"-- after {step:,} steps\n{text}\n\n" for step, text in texts)
    losses = "".join(f"{step},{one!r}\n" for step, one in enumerate(story["train"]))
    files = [
        save_weights(model, folder / "model.safetensors"),
        write_atomically(folder / "config.json", json.dumps(config, indent=2) + "\n"),
        write_atomically(folder / "numbers.json", json.dumps(numbers, indent=2) + "\n"),
        write_atomically(folder / "losses.csv", losses),
        write_atomically(folder / "samples.txt", written),
        draw_losses(folder / "loss.png", title, subtitle, story["train"], validation, rungs(corpus)),
    ]
    table = f"{indented(story['text'])}\n\n{ladder(loss, f'your transformer, {steps:,} steps', corpus)}"
    return Result(finding, table, numbers, files)


# ---------------------------------------------------------------------------------------------- from_memory

EMPTY_FILE = '''"""A small GPT from memory. For the milestone it has to define, within an hour:

    Block(d_model, n_heads)
    TransformerLM(vocab_size, context, n_layers, n_heads, d_model)
    init_weights(model)
    generate(model, ids, n_new, temperature=1.0, top_k=None, seed=0)

And for the rest of the exercise:

    looks_ahead(model, ids)
    lr_at(step, max_lr, min_lr, warmup, total)
    param_groups(model, weight_decay)
    clip_gradients(params, max_norm)
    AdamW(params, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    train_step(model, optimizer, micro_batches, max_norm)
    estimate_loss(model, ids, context)

Weights go by these names: token_embedding, position_embedding, blocks, final_norm; in a block attention_norm,
attention (q_proj, k_proj, v_proj, out_proj), feed_forward_norm, feed_forward (up, down).
"""
'''


def from_memory(context: Context) -> Result:
    """Lay out an empty file and start the clock; from then on, say how long it has taken. Never write over a file."""
    folder = one_folder(context.out)
    folder.mkdir(parents=True, exist_ok=True)
    file, clock = folder / "transformer.py", folder / CLOCK
    started = clock_started(folder)
    notes = []
    if started is None or not file.exists():
        if file.exists():
            kept = spare_name(file)
            file.rename(kept)
            notes.append(f"A file was there already; it is now {shown(kept)}.")
        started = time.time()
        write_atomically(file, EMPTY_FILE)  # before the clock: what is newer than that has been written by you
        write_atomically(clock, json.dumps({"started": started}) + "\n")
        finding = "the clock is running."
    else:
        finding = how_long(file, started)
    table = "\n".join(
        [
            *notes,
            f"Write      {shown(file)}",
            f"Grade      grader check transformer --submission {shown(file)}",
            "Milestone  grader run transformer from_memory   (up to your last save: run it before you go on)",
            f"Again      delete {shown(clock)}; what you wrote is kept under another name",
        ]
    )
    return Result(finding, table, {"started": started}, [file])


def one_folder(out: Path) -> Path:
    """The one clock's folder: a run on the solution and a quick one, which have folders below, show the same clock."""
    return next((folder for folder in (out, *out.parents) if folder.name == "from_memory"), out)


def how_long(file: Path, started: float) -> str:
    """From the start of the clock to when the file was last saved, or until now while it is empty."""
    if file.read_text(encoding="utf-8", errors="replace") == EMPTY_FILE:
        return f"nothing is written yet, {span(time.time() - started)} after the start."
    return f"{span(file.stat().st_mtime - started)} from the start to your last save."


def span(seconds: float) -> str:
    """Hours and minutes."""
    hours, minutes = divmod(max(0, round(seconds / 60)), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def spare_name(file: Path) -> Path:
    """The first of transformer-1.py, transformer-2.py, … that is free."""
    names = (file.with_stem(f"{file.stem}-{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def shown(path: Path) -> str:
    """A path as one types it from the current folder, where it lies below."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


EXPERIMENTS = {
    "classic": Experiment(
        name="classic",
        title="Your transformer, trained on Tiny Shakespeare",
        guess="Counted bigrams end at 2.48, and 4.17 knows nothing. Which validation loss will your model end at?",
        run=classic,
    ),
    "from_memory": Experiment(
        name="from_memory",
        title="The same from memory: an empty file and a clock",
        guess="",
        run=from_memory,
    ),
}
