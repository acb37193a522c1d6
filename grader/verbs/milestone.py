"""Milestones that no check gives: a model written from memory, and a model trained to a loss on text it has not seen.

A trained model is judged by what it answers, never by what it claims. The weights go into the learner's own class in the
worker, ids are sent, logits come back, and the loss is computed here. First each position is asked with nothing after
it, then, in another process, with the whole window: a model that reads the next character off its input answers
differently, because in the first process there was none.

What this cannot see: a model that was trained on the held-out text itself, or that remembers it in some other way, and
stops short of giving itself away by a loss below the band. Whoever judges a class looks at the run's log, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from grader.logic.asserting import Record, StudentFailure
from grader.logic.tensors import Tensor, tensor
from grader.model.errors import EnvironmentProblem, UsageError
from grader.model.types import Exercise, Limits, MilestoneRule, Report, Submission
from grader.system.careful import Careful
from grader.system.host import Loaded, Server
from grader.system.progress import Progress
from grader.system.subjects import Student
from grader.verbs.check import shown
from lab.clock import CLOCK, clock_started

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
MOST_SOURCE = 64 * 1024
MOST_WEIGHTS = 128 * 1024 * 1024
LIMITS = Limits(call_seconds=60.0, load_seconds=20.0, total_seconds=600.0, memory_mb=8192)
MEMORY_MINUTES = 60
ALONE = 8  # positions asked with nothing after them, for each length of a window
TOGETHER = 64  # windows in one call
SAME = 2e-2  # by how much two answers about one character may differ, in nats: rounding, also in half precision
BELOW_ENTROPY = 0.02  # what chance may do on a text of finite length
ABOVE_BEST = 0.15  # the made-up text: counted triples end 0.52 above the best in windows, classic's settings 0.05

HELPERS = """
import torch

def model_with(config, weights):
    model = submission.CLASS(**config)
    found = model.load_state_dict(weights, strict=False)
    model.eval()
    return model, list(found.unexpected_keys)

def logits(model, ids):
    with torch.no_grad():
        return model(ids).float()
"""


@dataclass(frozen=True)
class HeldOut:
    """A text to judge by: its characters as ids, and the losses between which a model has learned and not copied."""

    name: str
    ids: np.ndarray
    characters: int
    band: tuple[float, float]


@dataclass(frozen=True)
class Judged:
    """The loss in nats per character where there is one; ``problem`` says why it does not count."""

    loss: float | None = None
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Whether the milestone is reached."""
        return self.loss is not None and not self.problem


class _Unfit(Exception):
    """Why a checkpoint cannot be judged, or does not count, in words."""


def held_out(rule: MilestoneRule) -> HeldOut:
    """The last tenth of Tiny Shakespeare; of the made-up text, judged against its entropy, where there is no network."""
    from lab.corpora import tiny_shakespeare
    from lab.ladder import WINDOWED

    corpus = tiny_shakespeare()
    characters = sorted(set(corpus.text))
    numbers = {character: number for number, character in enumerate(characters)}
    ids = np.array([numbers[character] for character in corpus.validation], np.int64)
    band = rule.band
    if corpus.entropy_rate is not None:
        band = (corpus.entropy_rate - BELOW_ENTROPY, WINDOWED.loss + ABOVE_BEST)
    return HeldOut(corpus.name, ids, len(characters), band)


def judge_checkpoint(
    exercise: Exercise, rule: MilestoneRule, submission: Submission, folder: Path, server: Server, text: HeldOut
) -> Judged:
    """What the weights in a folder are worth in the submission's own class, on a text that is held out."""
    try:
        if len(submission.source.encode()) > MOST_SOURCE:
            raise _Unfit(
                f"{submission.name} is longer than {MOST_SOURCE // 1024} KB, which is room for a text to copy from."
            )
        config, weights = _read_config(folder / CONFIG), _read_weights(folder / WEIGHTS)
        context = config.get("context")
        if type(context) is not int or not 2 <= context <= len(text.ids) - 1:
            raise _Unfit(f"{CONFIG} says no context that windows could have.")
        trained_on = str(config.get("corpus", text.name))[:80]
        if trained_on != text.name:
            raise _Unfit(f"This model was trained on {trained_on}; judged is {text.name}. Train it again.")
        n = (len(text.ids) - 1) // context * context  # each character of these windows has one after it
        x, y = (ids.reshape(-1, context) for ids in (text.ids[:n], text.ids[1 : n + 1]))
        asking = _Asking(exercise, rule, submission, server, config, weights, text.characters)
        alone = asking.alone(x, y)
        losses = asking.together(x, y)
    except _Unfit as unfit:
        return Judged(None, str(unfit))
    rows, columns = np.array(list(alone)).T
    difference = np.abs(np.array(list(alone.values())) - losses[rows, columns])
    loss = float(losses.mean())
    if difference.mean() > SAME:
        return Judged(
            loss,
            "The model looks ahead: what it says of a character changes when the characters after it are not there."
            f" Over {len(alone)} characters asked both ways, its loss differs by {difference.mean():.2f} on average.",
        )
    return Judged(loss, _outside(loss, text))


def _outside(loss: float, text: HeldOut) -> str:
    low, high = text.band
    if loss > high:
        return f"The milestone asks for at most {high:.2f} on {text.name}."
    if loss < low:
        return f"Below {low:.2f} is better than any model does that has not seen {text.name}."
    return ""


class _Asking:
    """The learner's model in a worker, asked for the cost of characters. Nothing it says of itself is used."""

    def __init__(
        self,
        exercise: Exercise,
        rule: MilestoneRule,
        submission: Submission,
        server: Server,
        config: dict[str, Any],
        weights: dict[str, Tensor],
        characters: int,
    ) -> None:
        self._exercise = replace(exercise, limits=LIMITS)
        self._helpers = HELPERS.replace("CLASS", rule.checkpoint)
        self._submission = submission
        self._server = server
        self._config = {name: value for name, value in config.items() if name not in ("vocab", "corpus")}
        self._weights = weights
        self._characters = characters

    def alone(self, x: np.ndarray, y: np.ndarray) -> dict[tuple[int, int], float]:
        """The cost of some characters, (window, position), where nothing that comes after them is sent."""
        chosen = np.random.default_rng()  # nobody can foretell where it will be asked
        costs = {}
        with self._opened() as (student, model):
            for position in range(x.shape[1]):
                rows = chosen.choice(len(x), min(ALONE, len(x)), replace=False)
                logits = self._logits(student, model, x[rows, : position + 1])
                for row, cost in zip(rows, _costs(logits[:, -1], y[rows, position]), strict=True):
                    costs[int(row), position] = float(cost)
        return costs

    def together(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The cost of every character, in whole windows."""
        with self._opened() as (student, model):
            parts = [slice(at, at + TOGETHER) for at in range(0, len(x), TOGETHER)]
            return np.concatenate([_costs(self._logits(student, model, x[part]), y[part]) for part in parts])

    @contextmanager
    def _opened(self) -> Iterator[tuple[Student, Any]]:
        """A worker with the model in it, closed at the end."""
        subject = Careful(self._server, self._exercise, self._submission, self._submission.name)
        try:
            yield self._model(subject)
        finally:
            subject.close()

    def _model(self, subject: Careful) -> tuple[Student, Any]:
        loaded = subject.load()
        if loaded.died is not None or not loaded.names:
            raise _Unfit(f"{self._submission.name} cannot be loaded: {_why_not(self._submission, loaded)}.")
        student = Student(subject, Record({}), "torch")
        arguments = (self._config, self._weights)
        try:
            model, unknown = student._call("model_with", arguments, {}, kind="through", source=self._helpers)
        except (StudentFailure, ValueError, TypeError, RecursionError) as failure:
            raise _Unfit(f"The weights do not go into your model: {_said(failure)}") from None
        if unknown:
            raise _Unfit(f"Your model has no weight {str(unknown[0])[:80]}, which the checkpoint holds.")
        return student, model

    def _logits(self, student: Student, model: Any, ids: np.ndarray) -> np.ndarray:
        try:
            got = student._call("logits", (model, ids), {}, kind="through", source=self._helpers)
        except StudentFailure as failure:
            raise _Unfit(f"Your model gives no logits: {_said(failure)}") from None
        wanted = (*ids.shape, self._characters)
        if not isinstance(got, Tensor) or got.shape != wanted or not np.isfinite(got.array).all():
            raise _Unfit(f"Your model's logits should be finite numbers of shape {wanted}.")
        return got.array


def _costs(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """-ln of the probability of each target, in float64."""
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=-1, keepdims=True)
    right = np.take_along_axis(exact, targets[..., None], axis=-1)[..., 0]
    return np.log(np.exp(exact).sum(axis=-1)) - right


def _why_not(submission: Submission, loaded: Loaded) -> str:
    if submission.problem:
        return submission.problem.rstrip(".")
    if loaded.died is not None:
        return f"it ended before it was loaded ({loaded.died.reason})"
    if loaded.failures:
        label, raised = loaded.failures[0]
        return f"{label} stops with {_said(raised)}".rstrip(".: ")
    return "it defines nothing"


def _said(failure: Any) -> str:
    outcome = getattr(failure, "outcome", failure)
    if hasattr(outcome, "message"):
        return f"{outcome.type}: {outcome.message[:400]}"
    return f"it gave no answer ({getattr(outcome, 'reason', outcome)})"


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _Unfit(f"{path.name} cannot be read: {error}.") from None
    if not isinstance(config, dict):
        raise _Unfit(f"{path.name} does not hold the arguments of a model.")
    return config


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise EnvironmentProblem(
            "Judging a trained model needs safetensors, which is not installed here.", "`make setup EXTRAS=torch`"
        ) from None
    try:
        if path.stat().st_size > MOST_WEIGHTS:
            raise _Unfit(f"{path.name} is larger than {MOST_WEIGHTS >> 20} MB.")
        return {name: tensor(array) for name, array in load_file(path).items()}
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise _Unfit(f"{path.name} cannot be read: {error}.") from None


# ---------------------------------------------------------------- from memory


def minutes_taken(folder: Path, file: Path) -> float | None:
    """From the start of the clock in a folder to the last save of the file; None where no clock runs, or no file is."""
    started = clock_started(folder)
    return None if started is None or not file.is_file() else (file.stat().st_mtime - started) / 60


def from_memory(rule: MilestoneRule, report: Report, minutes: float) -> str:
    """Why a file written from memory does not reach the milestone; empty where it does."""
    left = [step for step in rule.from_memory if not _passed(report, step)]
    if left:
        return f"Still to pass: {', '.join(left)}."
    if minutes < 0:
        return "The file was last saved before the clock started."
    if minutes > MEMORY_MINUTES:
        return f"It passes, after {math.ceil(minutes)} minutes. The milestone asks for {MEMORY_MINUTES}."
    return ""


def _passed(report: Report, step: str) -> bool:
    checks = [check for check in report.checks if check.step == step]
    return bool(checks) and all(check.outcome == "passed" for check in checks)


# ---------------------------------------------------------------- what the commands do with it


def rule_with(exercise: Exercise, kind: str) -> MilestoneRule | None:
    """The exercise's milestone of a kind, ``checkpoint`` or ``from_memory``, where it gives one."""
    return next((rule for rule in exercise.milestones if getattr(rule, kind)), None)


def checkpoint(
    exercise: Exercise, submission: Submission, folder: Path, server: Server, progress: Progress | None
) -> tuple[bool, list[str]]:
    """Judge a folder's checkpoint: whether the milestone is reached, and what to say. With ``progress`` that is kept."""
    rule = rule_with(exercise, "checkpoint")
    if rule is None:
        raise UsageError(
            f"{exercise.name} has no milestone that a trained model reaches.", "`grader status` lists them."
        )
    if not (folder / WEIGHTS).is_file():
        raise UsageError(f"There is no {WEIGHTS} in {folder}.", f"`grader run {exercise.name}` trains one.")
    text = held_out(rule)
    judged = judge_checkpoint(exercise, rule, submission, folder, server, text)
    lines = []
    if judged.loss is not None:
        lines.append(
            f"By the grader's own count: {judged.loss:.3f} nats per character on the held-out tenth of {text.name}."
        )
    if judged.holds and progress is not None:
        progress.reach(rule.name, f"{exercise.name} trained to {judged.loss:.3f} nats per character on {text.name}")
    return judged.holds, [*lines, _verdict(rule, judged.problem)]


def memory(
    exercise: Exercise, grade: Callable[[Path], Report], folder: Path, progress: Progress
) -> tuple[bool, list[str]]:
    """The same for a file written from memory beside a running clock; nothing to say where nothing has been written."""
    rule = rule_with(exercise, "from_memory")
    file = folder / exercise.module
    minutes = minutes_taken(folder, file)
    if rule is None or minutes is None:
        return False, []
    report = grade(file)
    if report.score == 0:
        as_laid_out = file.stat().st_mtime <= (folder / CLOCK).stat().st_mtime  # the clock is written after the file
        why = f"`grader check {exercise.name} --submission {shown(file)}` says why."
        return False, [] if as_laid_out else [f"It passes no check yet; {why}"]
    problem = from_memory(rule, report, minutes)
    if not problem:
        taken = math.ceil(minutes)
        progress.reach(rule.name, f"{exercise.name} from memory in {taken} minute{'s' if taken != 1 else ''}")
    return not problem, [
        f"The grader gives it {report.score:g} of {report.max_score:g} points.",
        _verdict(rule, problem),
    ]


def _verdict(rule: MilestoneRule, problem: str) -> str:
    return f"Milestone {rule.name} is {f'not reached. {problem}' if problem else 'reached.'}"
