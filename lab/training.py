"""What a training run needs besides training: checkpoints, a live line, a plot of the losses.

A checkpoint is one file, replaced in one go, so that a run killed at any moment finds the old one or the new one:
tensors as safetensors, everything else as JSON in that file's header. Nothing is ever pickled.

PyTorch and safetensors are imported when something is saved or loaded, never before.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lab import plots
from lab.ladder import Rung
from lab.runs import write_atomically

if TYPE_CHECKING:
    import torch


# ---------------------------------------------------------------------------------------------- weights


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A model's parameters and saved buffers by name; what it shares between two places comes once."""
    kept: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen:  # a shared parameter is one object under two names
            seen.add(id(value))
            kept[name] = value.detach().contiguous()
    return kept


def put_weights(model: torch.nn.Module, values: dict[str, torch.Tensor]) -> None:
    """Writes values as `weights` gave them into a model of the same make."""
    own = model.state_dict()
    for name, value in values.items():
        own[name].copy_(value)


def save_weights(model: torch.nn.Module, path: Path) -> Path:
    """`model.safetensors`: every weight once, and nothing else."""
    import safetensors.torch

    return write_atomically(path, safetensors.torch.save(weights(model)))


# ---------------------------------------------------------------------------------------------- checkpoints


class Checkpoint:
    """How a run stood after some step: model, optimiser, PyTorch's random state, and whatever JSON can hold.

    It is taken up again only under equal settings, so put into these whatever the run depends on.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.settings = json.loads(json.dumps(settings))  # as it will look when read back

    def save(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, story: dict[str, Any]) -> None:
        """Replace the checkpoint by this one. `story` is the run's own: the step, the losses so far."""
        import safetensors.torch
        import torch

        state = optimizer.state_dict()
        tensors = {f"model/{name}": value for name, value in weights(model).items()}
        tensors["random"] = torch.get_rng_state()
        numbers: dict[str, dict[str, Any]] = {}
        for which, entries in state["state"].items():
            numbers[str(which)] = {}
            for name, value in entries.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer/{which}/{name}"] = value.contiguous()
                else:
                    numbers[str(which)][name] = value
        header = {"settings": self.settings, "story": story, "groups": state["param_groups"], "numbers": numbers}
        write_atomically(self.path, safetensors.torch.save(tensors, {"run": json.dumps(header)}))

    def load(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        """Put everything back as it was and return the story; None where there is nothing to go on from."""
        import torch

        header, tensors = self._read()
        if header is None or header["settings"] != self.settings:
            return None
        put_weights(model, {name[len("model/") :]: value for name, value in tensors.items() if name[:6] == "model/"})
        state: dict[int, dict[str, Any]] = {int(which): dict(entries) for which, entries in header["numbers"].items()}
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                _, which, what = name.split("/", 2)
                state[int(which)][what] = value
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for which, entries in state.items():
            optimizer.state[parameters[which]] = entries
        for group, saved in zip(optimizer.param_groups, header["groups"], strict=True):
            group.update({key: _tuple(value) for key, value in saved.items() if key != "params"})
        torch.set_rng_state(tensors["random"])
        return header["story"]

    def remove(self) -> None:
        """The run is done."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, Any] | None, dict[str, torch.Tensor]]:
        import safetensors

        for half_written in self.path.parent.glob(f".{self.path.name}.*"):  # by a process that was killed meanwhile
            half_written.unlink()
        if not self.path.exists():
            return None, {}
        try:
            with safetensors.safe_open(self.path, "pt") as file:
                header = json.loads(file.metadata()["run"])
                return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
        except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError):
            return None, {}


def _tuple(value: Any) -> Any:
    """JSON knows lists only; an optimiser's settings (betas) are tuples."""
    return tuple(value) if isinstance(value, list) else value


# ---------------------------------------------------------------------------------------------- what one sees meanwhile


class Live:
    """How a run is doing: one line that is drawn over itself, where somebody watches, and lines that stay."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.begin(0, 0)
        self.width = 0

    def begin(self, total: int, done: int) -> None:
        """So many steps there are, and so many an earlier process has done."""
        self.total, self.first = total, done
        self.start = self.drawn = time.monotonic()

    def step(self, done: int, text: str) -> None:
        """So many steps are done; `text` says how it goes. Drawn five times a second at most."""
        now = time.monotonic()
        if self.stream.isatty() and now - self.drawn >= 0.2:
            self.drawn = now
            self._draw(f"step {done:,} of {self.total:,}  {text}{self.left(done)}")

    def say(self, text: str) -> None:
        """Lines that stay."""
        if self.width:
            self._draw("")
        self.stream.write(text + "\n")
        self.stream.flush()

    def left(self, done: int) -> str:
        """Minutes and seconds until the end at the pace so far, as the end of a line; nothing before the first step."""
        if done <= self.first:
            return ""
        pace = (time.monotonic() - self.start) / (done - self.first)
        seconds = round(pace * (self.total - done))
        return f"  {seconds // 60}:{seconds % 60:02} left"

    def _draw(self, line: str) -> None:
        self.stream.write("\r" + line.ljust(self.width) + ("" if line else "\r"))
        self.stream.flush()
        self.width = len(line)


# ---------------------------------------------------------------------------------------------- the losses, drawn


def draw_losses(
    path: Path,
    title: str,
    subtitle: str,
    train: list[float],
    validation: list[tuple[int, float]],
    rungs: tuple[Rung, ...],
) -> Path:
    """The losses over the steps, with the ladder's rungs as thin lines: a PNG, or characters without matplotlib.

    train       the loss of every step's batch, from step 0 on
    validation  (steps done, loss) pairs
    """
    if not plots.available():
        return write_atomically(path.with_suffix(".txt"), chart_losses(title, validation, rungs))
    made, (axes,) = plots.figure(title, subtitle, panels=1, panel=7.4)
    plots.heading(axes, "Loss, nats per character")
    steps = len(train)
    every = max(1, steps // 200)
    means = [sum(train[i : i + every]) / every for i in range(0, steps - every + 1, every)]
    middles = [(i + 0.5) * every for i in range(len(means))]
    axes.plot(middles, means, color=plots.BLUE, linewidth=1.2, alpha=0.8, zorder=3)
    axes.plot(*zip(*validation, strict=True), "o", color=plots.ORANGE, markersize=7, clip_on=False, zorder=4)

    losses = [rung.loss for rung in rungs] + [loss for _, loss in validation]
    axes.grid(visible=False)
    axes.set_ylim(min(losses) - 0.2, max(losses) + 0.2)
    axes.set_xlim(0, 1.3 * steps)  # room for the rungs' names
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= steps])
    axes.spines["bottom"].set_bounds(0, steps)
    room = (max(losses) - min(losses)) / 20  # what a line of text takes
    height = math.inf
    for rung in sorted(rungs, key=lambda rung: -rung.loss):
        height = min(rung.loss, height - room)  # names of rungs that are close move apart
        axes.plot([0, steps], [rung.loss] * 2, color=plots.FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        name = f"{rung.loss:.2f}  {rung.short}"
        plots.label(axes, 1.025 * steps, height, name, plots.FAINT, va="center", fontsize=9)
    middle, loss = validation[len(validation) // 2]
    beside = {"ha": "center", "textcoords": "offset points"}
    plots.label(axes, middle, loss, "validation", plots.ORANGE, xytext=(0, 12), **beside)
    early = len(means) // 8
    plots.label(axes, middles[early], means[early], "training batches", plots.BLUE, xytext=(0, -26), **beside)
    axes.set_xlabel("steps", fontsize=9.5, color=plots.INK)
    axes.xaxis.set_label_coords(0.5 / 1.3, -0.09)
    return plots.save(made, path)


def chart_losses(title: str, validation: list[tuple[int, float]], rungs: tuple[Rung, ...], width: int = 48) -> str:
    """The validation losses as bars of characters, and the rungs among them, for machines without matplotlib."""
    bars = [(f"{done:,} steps", loss, "#") for done, loss in validation]
    bars += [(rung.short, rung.loss, ".") for rung in rungs]
    most = max(loss for _, loss, _ in bars)
    broad = max(len(name) for name, _, _ in bars)
    lines = [title, ""]
    lines += [f"{name:>{broad}}  {mark * round(width * loss / most):{width}}  {loss:.2f}" for name, loss, mark in bars]
    return "\n".join(lines) + "\n"
