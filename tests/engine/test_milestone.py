"""Milestones that no check gives: a trained model is judged by its answers, a file from memory by its checks and the clock."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grader.model.types import Cell, CheckResult, Exercise, Limits, MilestoneRule, Report, Step, Submission
from grader.system.course import Course
from grader.system.host import Server
from grader.system.launch import TORCH_PACKAGES
from grader.system.progress import Progress
from grader.verbs import milestone
from grader.verbs.milestone import HeldOut, from_memory, judge_checkpoint, minutes_taken
from lab import launch
from lab.corpora import Corpus, made_up

pytest.importorskip("torch")
numpy_files = pytest.importorskip("safetensors.numpy")

ROOT = Path(__file__).resolve().parents[2]
TORCH_TOY = ROOT / "tests" / "toy_course" / "torch"
CHARACTERS, CONTEXT = 5, 6
RULE = MilestoneRule("M3", checkpoint="Model", band=(0.5, 1.5))
EXERCISE = Exercise(
    "writer", "ex01_writer", "A", "writer.py", (Step("one", "One", ("Model",), 1, 1.0),), 1, (), (), Limits(), ("torch",),
    {}, (RULE,), framework="torch",
)  # fmt: skip
MODEL = """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, vocab_size, context):
        super().__init__()
        self.table = nn.Embedding(vocab_size, vocab_size)
        self.claimed_loss = 0.7

    def forward(self, ids):
        return self.table(ids)
"""
PEEKING = MODEL.replace(
    "        return self.table(ids)",
    "        logits = self.table(ids)\n"
    "        if ids.shape[1] > 1:\n"
    "            logits[:, :-1] += SURE * torch.nn.functional.one_hot(ids[:, 1:], logits.shape[-1])\n"
    "        return logits",
)


def text_of(seed: int = 3, length: int = 400) -> HeldOut:
    """A text in which mostly the next number follows."""
    rng = np.random.default_rng(seed)
    ids = [0]
    for _ in range(length):
        ids.append((ids[-1] + 1) % CHARACTERS if rng.random() < 0.7 else int(rng.integers(CHARACTERS)))
    return HeldOut("a toy text", np.array(ids, np.int64), CHARACTERS, RULE.band)


def table_of(text: HeldOut) -> np.ndarray:
    counts = np.ones((CHARACTERS, CHARACTERS))
    np.add.at(counts, (text.ids[:-1], text.ids[1:]), 1)
    return np.log(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def server():
    with Server(TORCH_PACKAGES) as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    """A checkpoint of the table that fits the text."""
    numpy_files.save_file({"table.weight": table_of(text_of())}, tmp_path / "model.safetensors")
    config = {"vocab_size": CHARACTERS, "context": CONTEXT, "vocab": "abcde", "corpus": "a toy text"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.fixture
def judge(server, folder):
    def judged(source=MODEL, text=None):
        submission = Submission("writer.py", (Cell(source),))
        return judge_checkpoint(EXERCISE, RULE, submission, folder, server, text or text_of())

    return judged


def loss_by_hand(text: HeldOut) -> float:
    table = table_of(text).astype(np.float64)
    count = (len(text.ids) - 1) // CONTEXT * CONTEXT
    return -table[text.ids[:count], text.ids[1 : count + 1]].mean()


def test_the_loss_is_computed_from_the_answers_over_whole_windows(judge):
    judged = judge()

    assert judged.loss == pytest.approx(loss_by_hand(text_of()), abs=1e-5)
    assert judged.holds


@pytest.mark.parametrize("length", [CONTEXT * 20, CONTEXT * 20 + 1, CONTEXT * 20 - 1])
def test_the_last_window_has_an_answer_to_each_of_its_questions(judge, length):
    text = text_of(length=length - 1)

    assert judge(text=text).loss == pytest.approx(-np.mean(expected_of(text)), abs=1e-5)


def expected_of(text):
    windows = (len(text.ids) - 1) // CONTEXT
    table = table_of(text_of()).astype(np.float64)
    return [table[text.ids[at], text.ids[at + 1]] for at in range(windows * CONTEXT)]


@pytest.mark.parametrize("sure", [0.5, 3, 20])
def test_a_model_that_reads_the_answer_off_its_input_is_caught(judge, sure):
    judged = judge(PEEKING.replace("SURE", str(sure)))

    assert not judged.holds
    assert "looks ahead" in judged.problem


def test_a_leak_that_only_whole_windows_have_is_caught(judge):
    source = PEEKING.replace("SURE", "4").replace("ids.shape[1] > 1", f"ids.shape[1] == {CONTEXT}")

    assert "looks ahead" in judge(source).problem


def test_a_model_that_remembers_what_it_was_sent_gains_nothing(judge):
    source = MODEL.replace("        return self.table(ids)", REMEMBERS)

    assert "looks ahead" in judge(source).problem


REMEMBERS = """
        seen = self.__dict__.setdefault("seen", {})
        logits = self.table(ids).clone()
        for row, line in enumerate(ids.tolist()):
            for at in range(len(line)):
                known = seen.get(tuple(line[: at + 1]))
                if known is not None:
                    logits[row, at, known] += 9
                if at + 1 < len(line):
                    seen[tuple(line[: at + 1])] = line[at + 1]
                    logits[row, at, line[at + 1]] += 9
        return logits"""


def test_rounding_is_no_leak(judge):
    assert judge(MODEL.replace("self.table(ids)", "self.table(ids).bfloat16()")).holds


@pytest.mark.parametrize(
    ("band", "said"),
    [
        ((0.0, 0.7), "asks for at most 0.70"),
        ((1.4, 1.95), "Below 1.40 is better than any model does that has not seen"),
    ],
)
def test_a_loss_outside_the_band_does_not_count(judge, band, said):
    text = text_of()

    judged = judge(text=HeldOut(text.name, text.ids, text.characters, band))

    assert judged.loss == pytest.approx(loss_by_hand(text), abs=1e-5)
    assert said in judged.problem


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (MODEL + "\n# " + "x" * 65536, "longer than 64 KB"),
        (MODEL.replace("self.table(ids)", "self.table(ids) * float('nan')"), "finite numbers of shape"),
        (MODEL.replace("self.table(ids)", "self.table(ids)[:, -1]"), "finite numbers of shape"),
        (MODEL.replace("self.table(ids)", "1 / 0"), "ZeroDivisionError"),
        (MODEL.replace("self.table =", "self.other ="), "no weight table.weight"),
        (MODEL.replace("nn.Embedding(vocab_size, vocab_size)", "nn.Embedding(2, 2)"), "do not go into your model"),
        (MODEL.replace("class Model", "class Other"), "do not go into your model"),
        ("raise ValueError", "writer.py cannot be loaded: writer.py stops with ValueError."),
        ("raise ValueError('so')", "writer.py cannot be loaded: writer.py stops with ValueError: so."),
        ("import os\n" + MODEL, "writer.py cannot be loaded: writer.py stops with"),
        ("x = 1", "writer.py cannot be loaded: it defines nothing."),
    ],
)
def test_what_cannot_be_judged_is_said(judge, source, said):
    judged = judge(source)

    assert judged.loss is None
    assert said in judged.problem


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", b"[1]", "does not hold the arguments"),
        ("config.json", b"{", "config.json cannot be read"),
        ("config.json", b"[" * 100_000, "config.json cannot be read"),
        ("config.json", b'{"context": 6, "x": ' + b"[" * 500 + b"]" * 500 + b"}", "do not go into your model"),
        ("config.json", b'{"vocab_size": 5, "context": 1000000}', "no context that windows could have"),
        ("config.json", b'{"vocab_size": 5, "context": true}', "no context that windows could have"),
        ("model.safetensors", b"rubbish", "model.safetensors cannot be read"),
        ("model.safetensors", b"\xff" * 64, "model.safetensors cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_said(judge, folder, name, content, said):
    (folder / name).write_bytes(content)

    assert said in judge().problem


def test_a_file_that_never_ends_loading_is_said_to_do_so(judge, monkeypatch):
    monkeypatch.setattr(milestone, "LIMITS", replace(milestone.LIMITS, load_seconds=0.5))

    said = judge("while True:\n    pass").problem

    assert said == "writer.py cannot be loaded: it ended before it was loaded (timeout)."


def test_a_file_that_could_not_be_read_is_said_to_be_so(server, folder):
    submission = Submission("writer.ipynb", (), "This is not a notebook.")

    judged = judge_checkpoint(EXERCISE, RULE, submission, folder, server, text_of())

    assert judged.problem == "writer.ipynb cannot be loaded: This is not a notebook."


def test_a_model_of_another_text_is_told_so(judge, folder):
    config = {"vocab_size": CHARACTERS, "context": CONTEXT, "vocab": "abcde"}
    (folder / "config.json").write_text(json.dumps(config | {"corpus": "another text"}))
    of_another = judge()
    (folder / "config.json").write_text(json.dumps(config))
    of_no_name = judge()

    assert of_another.problem == "This model was trained on another text; judged is a toy text. Train it again."
    assert of_another.loss is None
    assert of_no_name.holds


def test_where_a_model_is_asked_alone_is_another_place_each_time(judge, monkeypatch):
    places = []
    alone = milestone._Asking.alone

    def noted(self, x, y):
        found = alone(self, x, y)
        places.append(sorted(found))
        return found

    monkeypatch.setattr(milestone._Asking, "alone", noted)
    judge()
    judge()

    assert places[0] != places[1]


def test_a_checkpoint_that_is_too_large_is_not_read(judge, monkeypatch):
    monkeypatch.setattr(milestone, "MOST_WEIGHTS", 16)

    assert "larger than" in judge().problem


def test_what_holds_is_kept_and_what_does_not_is_not(server, folder, tmp_path, monkeypatch):
    progress = Progress(Course(tmp_path))
    submission = Submission("writer.py", (Cell(MODEL),))
    monkeypatch.setattr(milestone, "held_out", lambda rule: text_of())

    holds, said = milestone.checkpoint(EXERCISE, submission, folder, server, progress)
    leaking = Submission("writer.py", (Cell(PEEKING.replace("SURE", "9")),))
    again, complaint = milestone.checkpoint(EXERCISE, leaking, folder, server, progress)

    assert holds and not again
    assert said[-1] == "Milestone M3 is reached."
    assert complaint[-1].startswith("Milestone M3 is not reached. The model looks ahead")
    [reached] = [one for one in progress.milestones([EXERCISE]) if one.when]
    assert f"{loss_by_hand(text_of()):.3f} nats per character on a toy text" in reached.evidence


# ---------------------------------------------------------------- from memory

MEMORY = MilestoneRule("M1", from_memory=("block", "model"))


def graded(*passed: str) -> Report:
    checks = [
        CheckResult(f"{step} {n}", step, False, 1.0, 1.0 * (step in passed), "passed" if step in passed else "failed")
        for step in ("block", "model", "adamw")
        for n in range(2)
    ]
    return Report("writer", "writer.py", "all", 7, "failed", 2.0, 6.0, 0.1, checks)


@pytest.mark.parametrize(
    ("passed", "minutes", "problem"),
    [
        (("block", "model"), 42.0, ""),
        (("block", "model", "adamw"), 60.0, ""),
        (("block",), 10.0, "Still to pass: model."),
        (("block", "model"), 60.5, "It passes, after 61 minutes. The milestone asks for 60."),
        (("block", "model"), -5.0, "The file was last saved before the clock started."),
    ],
)
def test_a_file_from_memory_needs_its_steps_and_the_hour(passed, minutes, problem):
    said = from_memory(MEMORY, graded(*passed), minutes)

    assert bool(said) == bool(problem)
    assert problem in said


def test_the_minutes_end_with_the_last_save(tmp_path):
    file = tmp_path / "writer.py"
    file.write_text("x = 1\n")
    (tmp_path / "clock.json").write_text('{"started": 1000.0}')
    os.utime(file, (1000 + 1800, 1000 + 1800))

    assert minutes_taken(tmp_path, file) == 30
    assert minutes_taken(tmp_path, tmp_path / "none.py") is None
    for clock in ("rubbish", "[" * 100_000, '{"started": NaN}', '{"started": 1' + "0" * 400 + "}", "{}", "7"):
        (tmp_path / "clock.json").write_text(clock)
        assert minutes_taken(tmp_path, file) is None


WRITER = replace(EXERCISE, milestones=(RULE, MEMORY))


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A folder with a clock that was started 42 minutes before the file was saved, and what is said of it."""
    monkeypatch.chdir(tmp_path)
    folder, progress = tmp_path / "from_memory", Progress(Course(tmp_path))
    folder.mkdir()
    file, clock = folder / "writer.py", folder / "clock.json"
    file.write_text("x = 1\n")
    clock.write_text('{"started": 1000.0}')
    os.utime(file, (1000 + 60 * 41.5, 1000 + 60 * 41.5))
    os.utime(clock, (1000, 1000))

    def said(report):
        holds, lines = milestone.memory(WRITER, lambda path: report, folder, progress)
        return holds, lines, [(one.name, one.evidence) for one in progress.milestones([WRITER]) if one.when]

    said.file, said.clock = file, clock
    return said


def test_without_a_clock_nothing_is_said_of_a_file(written):
    written.clock.unlink()

    assert written(graded("block", "model")) == (False, [], [])


def test_of_a_file_that_is_as_it_was_laid_out_nothing_is_said(written):
    os.utime(written.file, (1000, 1000))

    assert written(replace(graded(), score=0.0)) == (False, [], [])


def test_a_file_that_passes_nothing_is_told_where_to_ask(written):
    holds, lines, reached = written(replace(graded(), score=0.0))

    where = os.path.join("from_memory", "writer.py")
    assert lines == [f"It passes no check yet; `grader check writer --submission {where}` says why."]
    assert not holds and not reached


def test_a_file_that_passes_in_time_reaches_the_milestone(written):
    holds, lines, reached = written(graded("block", "model"))

    assert holds
    assert lines == ["The grader gives it 2 of 6 points.", "Milestone M1 is reached."]
    assert reached == [("M1", "writer from memory in 42 minutes")]


def test_a_file_that_passes_in_part_or_late_does_not(written):
    part = written(graded("block"))
    os.utime(written.file, (1000 + 60 * 75, 1000 + 60 * 75))
    late = written(graded("block", "model"))

    assert part[1][-1] == "Milestone M1 is not reached. Still to pass: model."
    assert late[1][-1] == "Milestone M1 is not reached. It passes, after 75 minutes. The milestone asks for 60."
    assert not (part[0] or part[2] or late[0] or late[2])


# ---------------------------------------------------------------- the text, and the command

TEXT = "In the beginning was the word.\n" * 40


@pytest.mark.parametrize(
    ("corpus", "band"),
    [
        (Corpus("Tiny Shakespeare", TEXT), (0.5, 1.5)),
        (made_up(2_000), (made_up(2_000).entropy_rate - 0.02, 0.97)),
    ],
    ids=["published", "made up"],
)
def test_what_is_held_out_are_the_ids_that_the_run_trains_on(monkeypatch, corpus, band):
    monkeypatch.setattr("lab.corpora.tiny_shakespeare", lambda: corpus)
    launch.experiments(next((ROOT / "solutions").glob("ex*_transformer")))
    vocab, ids = sys.modules["experiment"].as_ids(corpus.text)

    text = milestone.held_out(RULE)

    assert np.array_equal(text.ids, ids[len(corpus.train) :])
    assert len(text.ids) == len(corpus.validation)
    assert (text.name, text.characters) == (corpus.name, len(vocab))
    assert text.band == pytest.approx(band)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course whose one exercise gives M3 to a trained model; the learner's file holds one."""
    root = tmp_path / "course"
    shutil.copytree(TORCH_TOY / "solutions", root / "solutions")
    with (root / "solutions" / "ex01_gate" / "exercise.toml").open("a", encoding="utf-8") as file:
        file.write('\n[[milestone]]\nname = "M3"\ncheckpoint = "Model"\nband = [0.5, 1.5]\n')
    (root / "exercises" / "ex01_gate").mkdir(parents=True)
    (root / "exercises" / "ex01_gate" / "gate.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(root)
    monkeypatch.setattr(milestone, "held_out", lambda rule: text_of())
    return root


def test_a_folder_is_judged_by_the_command(course, folder, command):
    said = command("check", "gate", "--checkpoint", str(folder))

    loss = f"{loss_by_hand(text_of()):.3f}"
    assert said.code == 0, said.err
    assert said.out.splitlines() == [
        f"By the grader's own count: {loss} nats per character on the held-out tenth of a toy text.",
        "Milestone M3 is reached.",
    ]
    [reached] = [one for one in Progress(Course(course)).milestones(Course(course).found()) if one.when]
    assert (reached.name, reached.evidence) == ("M3", f"gate trained to {loss} nats per character on a toy text")


def test_another_file_is_judged_by_the_command_and_not_noted(course, folder, command, tmp_path):
    leaking, sound = tmp_path / "leaking.py", tmp_path / "sound.py"
    leaking.write_text(PEEKING.replace("SURE", "9"), encoding="utf-8")
    sound.write_text(MODEL, encoding="utf-8")

    codes = [
        command("check", "gate", "--submission", str(file), "--checkpoint", str(folder)).code
        for file in (leaking, sound)
    ]

    assert codes == [1, 0]
    assert not [one for one in Progress(Course(course)).milestones(Course(course).found()) if one.when]


def test_a_folder_without_a_model_is_said_to_be_one(course, tmp_path, command):
    said = command("check", "gate", "--checkpoint", str(tmp_path))

    assert said.code == 2
    assert f"There is no model.safetensors in {tmp_path}." in " ".join(said.err.split())
    assert "`grader run gate` trains one." in said.err
