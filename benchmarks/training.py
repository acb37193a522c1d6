"""The run on Tiny Shakespeare: *classic* and *fast*, whole processes in turn on one core, and what each ingredient brings.

`python -m benchmarks training` takes about fifteen minutes on a quiet core. Both configurations evaluate once, at
the end, over the whole validation part. Settings were chosen on the end of the training part, and the ablation is
measured there too. Where `transformers` is installed, a step of classic is compared with one of its `GPT2LMHeadModel`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SEEDS, ABLATION_SEEDS = 3, 3

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
    ablation: list[Ablation] = field(default_factory=list)
    step_ratio: float | None = None


def measure(seeds: int = SEEDS, ablation_seeds: int = ABLATION_SEEDS, compiled: bool = False) -> Training:
    """Classic and fast in turn for each seed, so that a slow minute meets both; then the rest."""
    classic, fast = [], []
    for seed in range(1, seeds + 1):
        fast.append(_process(seed, _fast()))
        classic.append(_process(seed, [sys.executable, "-m", "benchmarks.training", "--classic", "--seed"]))
    edits = [*ABLATION, ("compiled, from an empty cache", {"compiled": True})] if compiled else ABLATION
    ablation = []
    for name, settings in edits if ablation_seeds else ():
        runs = [_process(seed, _fast(settings, tune=True)) for seed in range(1, ablation_seeds + 1)]
        ablation.append(Ablation(name, dict(settings), _mean(r.loss for r in runs), _mean(r.processor for r in runs)))
    ratio = None
    if importlib.util.find_spec("transformers"):
        ratio = _json([sys.executable, "-m", "benchmarks.training", "--steps"])[0]["ratio"]
    return Training(classic, fast, ablation, ratio)


def rows(measured: Training) -> list[dict[str, Any]]:
    """The claims, as the keyword arguments of a `Row`: claim, measured, allowed, unit, note."""
    classic, fast = _mean(r.loss for r in measured.classic), _mean(r.loss for r in measured.fast)
    seconds = [_mean(r.seconds for r in runs) for runs in (measured.classic, measured.fast)]
    processor = [_mean(r.processor for r in runs) for runs in (measured.classic, measured.fast)]
    note = f"{seconds[0]:.1f} s and {seconds[1]:.1f} s; processor {processor[0]:.1f} s and {processor[1]:.1f} s"
    found = [
        _row("classic's loss, mean of three seeds", classic, 1.92, "nats", _losses(measured.classic)),
        _row("fast's loss, beside classic's", fast, classic, "nats", _losses(measured.fast)),
        _row("fast's time, whole processes", seconds[1] / seconds[0], 1 / 7, "of classic's", note),
    ]
    if measured.step_ratio is not None:
        found.append(_row("a step of classic", measured.step_ratio, 1, "of GPT2LMHeadModel's", "medians, in turn"))
    return found


def table(measured: Training) -> str:
    """The ablation as a table: what the loss and the processor's time become when one thing is another."""
    if not measured.ablation:
        return ""
    whole = measured.ablation[0]
    lines = ["| fast, with one thing changed | loss | more | processor seconds |", "|---|---|---|---|"]
    for one in measured.ablation:
        lines.append(f"| {one.name} | {one.loss:.3f} | {one.loss - whole.loss:+.3f} | {one.processor:.1f} |")
    return "\n".join(lines)


def _row(claim: str, measured: float, allowed: float, unit: str, note: str) -> dict[str, Any]:
    return {"claim": claim, "measured": measured, "allowed": allowed, "unit": unit, "note": note}


def _losses(runs: list[Run]) -> str:
    return ", ".join(f"{run.loss:.4f}" for run in runs)


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


# ---------------------------------------------------------------------------------------------- processes


def _folder() -> Path:
    return next((ROOT / "solutions").glob("ex*_transformer"))


def _fast(settings: dict[str, object] | None = None, tune: bool = False) -> list[str]:
    """The command of fast, but for the seed's number."""
    command = [sys.executable, str(_folder() / "fast.py"), "--data", str(_text())]
    for name, value in (settings or {}).items():
        command += ["--set", f"{name}={value}"]
    return [*command, *(["--tune"] if tune else []), "--seed"]


def _process(seed: int, command: list[str]) -> Run:
    answer, seconds, processor = _json([*command, str(seed)])
    run = Run(seed, answer["loss"], seconds, processor)
    print(f"{' '.join(command[1:])} {seed}: {run.loss:.4f}, {seconds:.1f} s", file=sys.stderr, flush=True)
    return run


def _json(command: list[str]) -> tuple[dict[str, Any], float, float]:
    """What a process prints last, as JSON; its seconds from start to end; its processor time, its children's included.

    It has one core, the same for all, one thread, and an empty cache of compiled code.
    """
    cache = tempfile.mkdtemp()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": cache}
    before, began = os.times(), time.perf_counter()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True, preexec_fn=_pin()
        )
        seconds, after = time.perf_counter() - began, os.times()
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return json.loads(done.stdout.splitlines()[-1]), seconds, spent


def _pin() -> Callable[[], None] | None:
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {core})


# ---------------------------------------------------------------------------------------------- classic, in a process


def _text() -> Path:
    """Where Tiny Shakespeare lies; fetched first where it does not yet."""
    from lab import corpora

    given = Path(os.environ.get("GRADER_DATA", ""), corpora.FILE)
    if given.is_file():
        return given
    if corpora.tiny_shakespeare().name != corpora.TINY_SHAKESPEARE:
        raise RuntimeError("Tiny Shakespeare could not be had; put it into the folder that GRADER_DATA names")
    return corpora.cache_folder() / corpora.FILE


def _module(name: str) -> ModuleType:
    """A file of the exercise, under its own name."""
    specification = importlib.util.spec_from_file_location(name, _folder() / f"{name}.py")
    assert specification is not None and specification.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _classic(seed: int) -> float:
    """The run of the exercise's experiment, less what one sees of it: samples, checkpoints, evaluations on the way."""
    import torch

    ours, s = _module("transformer"), _module("experiment").CLASSIC
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    text = _text().read_text(encoding="ascii")
    place = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([place[character] for character in text])
    cut = 9 * len(ids) // 10
    train_ids, validation_ids = ids[:cut], ids[cut:]
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


def _steps(rounds: int = 40) -> float:
    """A step of classic over one of Hugging Face's model of the same shape, in a bare loop with PyTorch's AdamW."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    ours, s = _module("transformer"), _module("experiment").CLASSIC
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
    for _ in range(rounds + 5):
        for action, times in zip((our_step, their_step), taken, strict=True):
            began = time.process_time()
            action()
            times.append(time.process_time() - began)
    mine, others = (statistics.median(times[5:]) for times in taken)
    return mine / others


def main() -> None:
    """One of the processes that are measured; prints a line of JSON."""
    parser = argparse.ArgumentParser(description="What `python -m benchmarks training` runs in processes of their own.")
    parser.add_argument("--classic", action="store_true", help="train classic, print its loss")
    parser.add_argument("--steps", action="store_true", help="time classic's step beside GPT2LMHeadModel's")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps({"loss": _classic(arguments.seed)} if arguments.classic else {"ratio": _steps()}))


if __name__ == "__main__":
    main()
