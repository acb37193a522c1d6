"""The run on Tiny Shakespeare: *classic* and *fast*, whole processes in turn on one core, and each ingredient's worth.

`python -m benchmarks training` takes about fifteen minutes on a quiet core. Both configurations evaluate once, at
the end, over the whole validation part. Settings were chosen on the end of the training part, and the ablation is
measured there too. Where `transformers` is installed, a step of classic is compared with one of its `GPT2LMHeadModel`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lab.corpora import TINY_SHAKESPEARE, load_text, tiny_shakespeare
from lab.launch import load

if TYPE_CHECKING:
    from benchmarks.timing import Row

ROOT = Path(__file__).resolve().parents[1]
SEEDS = 3  # of each configuration, and of each edit of fast
STEPS = 40  # of classic that are timed beside Hugging Face's

# What stands in for each ingredient of fast when it is left out; the names are those of its settings.
ABLATION: tuple[tuple[str, dict[str, object]], ...] = (
    ("everything", {}),
    ("without the table of pairs", {"bigrams": False}),
    ("without the smear", {"smear": False}),
    ("without either", {"bigrams": False, "smear": False}),
    ("AdamW for Muon, its rate tuned", {"muon": False}),
    ("learned positions for rotary ones", {"rotary": False}),
    ("without normalised queries and keys", {"qk_norm": False}),
    ("small random first weights for zeros", {"zero_init": False}),
    ("GELU for relu²", {"relu_squared": False}),
    ("warm-up and cosine for the straight line", {"linear_schedule": False}),
    ("float32 for bfloat16", {"bfloat16": False}),
    ("PyTorch's fused attention for our own", {"own_attention": False}),
    ("RMSNorm for LayerNorm without weights", {"rms_norm": True}),
    ("4 heads for 2", {"heads": 4}),
    ("feed-forward layer 4 times as wide for 2", {"expansion": 4}),
    ("1 layer for 2", {"layers": 1}),
    ("4 layers for 2", {"layers": 4}),
    ("batches half the size, twice as many", {"batch": 12, "steps": 200}),
    ("with a table of triples besides", {"trigrams": 8192}),
)


@dataclass(frozen=True)
class Run:
    """One whole process: its validation loss, what a clock on the wall says, and what the processor spent on it."""

    seed: int
    loss: float
    seconds: float
    processor: float


@dataclass(frozen=True)
class Ablation:
    """Means over seeds of one edit of fast, on the end of the training part, after the same number of steps."""

    name: str
    settings: dict[str, object]
    loss: float
    processor: float


@dataclass(frozen=True)
class Training:
    """Everything measured; `step_ratio` is classic's step over Hugging Face's, None where that is not installed."""

    classic: list[Run]
    fast: list[Run]
    ablation: list[Ablation]
    step_ratio: float | None


def measure() -> Training:
    """Classic and fast in turn for each seed, so that a slow minute meets both; then the rest."""
    seeds = range(1, SEEDS + 1)
    itself = [sys.executable, "-m", "benchmarks.training"]
    classic, fast, ablation, ratio = [], [], [], None
    with tempfile.TemporaryDirectory() as folder:
        text = _text(Path(folder))
        for seed in seeds:
            fast.append(_process(seed, _fast(text)))
            classic.append(_process(seed, [*itself, "--classic", str(text)]))
        for name, settings in ABLATION:
            changes = [f"--set={setting}={value}" for setting, value in settings.items()]
            runs = [_process(seed, [*_fast(text), "--tune", *changes]) for seed in seeds]
            ablation.append(Ablation(name, settings, _mean(r.loss for r in runs), _mean(r.processor for r in runs)))
    if importlib.util.find_spec("transformers"):
        ratio = _json([*itself, "--steps"])[0]["ratio"]
    return Training(classic, fast, ablation, ratio)


def rows(measured: Training) -> list[Row]:
    """The claims."""
    from benchmarks.timing import Row  # not at the top, where the processes that are measured would load it too

    classic, fast = _mean(r.loss for r in measured.classic), _mean(r.loss for r in measured.fast)
    seconds = [_mean(r.seconds for r in runs) for runs in (measured.classic, measured.fast)]
    processor = [_mean(r.processor for r in runs) for runs in (measured.classic, measured.fast)]
    note = f"{seconds[0]:.1f} s and {seconds[1]:.1f} s; processor {processor[0]:.1f} s and {processor[1]:.1f} s"
    found = [
        Row(f"classic's loss, mean of {SEEDS} seeds", classic, 1.92, "nats", _losses(measured.classic)),
        Row("fast's loss, beside classic's", fast, classic, "nats", _losses(measured.fast)),
        Row("fast's time, whole processes", seconds[1] / seconds[0], 1 / 7, "of classic's", note),
    ]
    if measured.step_ratio is not None:
        found.append(Row("a step of classic", measured.step_ratio, 1, "of GPT2LMHeadModel's", "medians, in turn"))
    return found


def table(measured: Training) -> str:
    """The ablation as a table: what the loss and the processor's time become when one thing is another."""
    whole = measured.ablation[0]
    lines = ["| fast, with one thing changed | loss | more | processor seconds |", "|---|---|---|---|"]
    for one in measured.ablation:
        lines.append(f"| {one.name} | {one.loss:.3f} | {one.loss - whole.loss:+.3f} | {one.processor:.1f} |")
    return "\n".join(lines)


def _losses(runs: list[Run]) -> str:
    return ", ".join(f"{run.loss:.4f}" for run in runs)


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


# ---------------------------------------------------------------------------------------------- processes


def _folder() -> Path:
    return next((ROOT / "solutions").glob("ex*_transformer"))


def _text(folder: Path) -> Path:
    """Tiny Shakespeare, its checksum seen to, as a file in that folder: every process reads the same one."""
    corpus = tiny_shakespeare()
    if corpus.name != TINY_SHAKESPEARE:
        raise RuntimeError(corpus.note)
    path = folder / "text.txt"
    path.write_bytes(corpus.text.encode())
    return path


def _fast(text: Path) -> list[str]:
    return [sys.executable, str(_folder() / "fast.py"), "--data", str(text)]


def _process(seed: int, command: list[str]) -> Run:
    command = [*command, "--seed", str(seed)]
    answer, seconds, processor = _json(command)
    run = Run(seed, answer["loss"], seconds, processor)
    print(f"{' '.join(command[1:])}: {run.loss:.4f}, {seconds:.1f} s", file=sys.stderr, flush=True)
    return run


def _json(command: list[str]) -> tuple[dict[str, Any], float, float]:
    """What a process prints last, as JSON; its seconds from start to end; its processor time, its children's included.

    It has one core, the same for all, and one thread.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True, preexec_fn=_pin()
    )
    seconds, after = time.perf_counter() - began, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return json.loads(done.stdout.splitlines()[-1]), seconds, spent


def _pin() -> Callable[[], None] | None:
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {core})


# ---------------------------------------------------------------------------------------------- classic, in a process


def _exercise() -> tuple[ModuleType, Any]:
    """The solution, and the settings of classic."""
    solution, experiment = (load(_folder() / f"{name}.py", name) for name in ("transformer", "experiment"))
    return solution, experiment.CLASSIC


def _classic(text: Path, seed: int) -> float:
    """The run of the exercise's experiment, less what one sees of it: samples, checkpoints, evaluations on the way."""
    import torch

    ours, s = _exercise()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    corpus = load_text(text)
    place = {character: i for i, character in enumerate(sorted(set(corpus.text)))}
    parts = corpus.train, corpus.validation
    train_ids, validation_ids = (torch.tensor([place[character] for character in part]) for part in parts)
    model = ours.TransformerLM(len(place), s.context, s.n_layers, s.n_heads, s.d_model)
    optimizer = ours.AdamW(ours.param_groups(model, s.weight_decay), lr=s.max_lr, betas=s.betas)
    starts = torch.randint(len(train_ids) - s.context, (s.steps, s.batch))
    stretches = train_ids.unfold(0, s.context + 1, 1)  # a view: one row for every place to begin at
    for step in range(s.steps):
        for group in optimizer.param_groups:
            group["lr"] = ours.lr_at(step, s.max_lr, s.min_lr, s.warmup, s.steps)
        sequences = stretches[starts[step]]
        pair = sequences[:, :-1].contiguous(), sequences[:, 1:].contiguous()
        ours.train_step(model, optimizer, [pair], s.max_norm)
    return ours.estimate_loss(model, validation_ids, s.context)


def _steps() -> float:
    """A step of classic over one of Hugging Face's model of the same shape, in a bare loop with PyTorch's AdamW."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    ours, s = _exercise()
    torch.set_num_threads(1)
    x, y = (torch.randint(65, (s.batch, s.context)) for _ in range(2))
    model = ours.TransformerLM(65, s.context, s.n_layers, s.n_heads, s.d_model)
    optimizer = ours.AdamW(ours.param_groups(model, s.weight_decay), lr=s.max_lr, betas=s.betas)
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=65,
            n_positions=s.context,
            n_embd=s.d_model,
            n_layer=s.n_layers,
            n_head=s.n_heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    their_optimizer = torch.optim.AdamW(theirs.parameters(), lr=s.max_lr)

    def our_step() -> None:
        ours.train_step(model, optimizer, [(x, y)], s.max_norm)

    def their_step() -> None:
        their_optimizer.zero_grad()
        logits = theirs(x).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten()).backward()
        their_optimizer.step()

    taken: list[list[float]] = [[], []]
    for _ in range(STEPS + 5):
        for action, times in zip((our_step, their_step), taken, strict=True):
            began = time.process_time()
            action()
            times.append(time.process_time() - began)
    mine, others = (statistics.median(times[5:]) for times in taken)
    return mine / others


def main() -> None:
    """One of the processes that are measured; prints a line of JSON."""
    parser = argparse.ArgumentParser(description="What `python -m benchmarks training` runs in processes of their own.")
    parser.add_argument("--classic", type=Path, metavar="TEXT", help="train classic on this file, print its loss")
    parser.add_argument("--steps", action="store_true", help="time classic's step beside GPT2LMHeadModel's")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    answer = {"loss": _classic(arguments.classic, arguments.seed)} if arguments.classic else {"ratio": _steps()}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
