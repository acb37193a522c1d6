"""The learner's notes: what is kept, and what a crash or damage does to them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from grader.model.types import Cell, CheckResult, Exercise, Limits, MilestoneRule, Report, Step, Submission
from grader.system import progress as module
from grader.system.course import Course
from grader.system.progress import MILESTONES, Progress, digest_of


@pytest.fixture
def exercise() -> Exercise:
    steps = (
        Step("softmax", "Softmax", ("softmax",), 15, 2.0),
        Step("why", "Why divide", ("why",), 20, 1.0),
        Step("backward", "Gradients", ("backward",), 60, 3.0, stretch=True),
    )
    milestones = (MilestoneRule("M2", step="why"),)
    return Exercise("attention", "ex01_attention", "A", "attention.py", steps, 2, (), (), Limits(), (), {}, milestones)


@pytest.fixture
def notes(tmp_path) -> Progress:
    notes = Progress(Course(tmp_path), lambda text: notes.said.append(text))
    notes.said = []
    return notes


def graded(*passed: str, status: str = "failed") -> Report:
    checks = [
        CheckResult(f"of {step}", step, False, 1.5, 1.5 * (step in passed), "passed" if step in passed else "failed")
        for step in ("softmax", "why", "backward")
    ]
    score = sum(check.earned for check in checks)
    return Report("attention", "attention.py", "all", 7, status, score, 4.5, 0.1, checks)


def test_an_empty_course_has_no_notes(notes, exercise):
    assert notes.of(exercise)["best"] == 0
    assert not notes.is_done(exercise)
    assert not notes.path.exists()


def test_the_best_score_and_passed_steps_stay(notes, exercise):
    first = notes.note(exercise, graded("softmax", "why", status="passed"), "a")
    second = notes.note(exercise, graded("softmax"), "b")

    entry = notes.of(exercise)
    assert (first, second) == (["softmax", "why"], [])
    assert (entry["best"], entry["of"]) == (3.0, 4.5)
    assert set(entry["passed"]) == {"softmax", "why"}
    assert notes.is_done(exercise)
    assert entry["last"]["digest"] == "b"
    assert [check["step"] for check in entry["last"]["unfinished"]] == ["why", "backward"]


def test_a_skipped_check_neither_passes_nor_holds_a_step(notes, exercise):
    shown = graded("softmax")
    shown.checks[1].outcome = "skipped"

    notes.note(exercise, shown, "a")

    assert set(notes.of(exercise)["passed"]) == {"softmax"}
    assert [check["step"] for check in notes.of(exercise)["last"]["unfinished"]] == ["backward"]


def test_a_milestone_is_reached_by_its_step_with_the_evidence(notes, exercise):
    before = notes.milestones([exercise])
    notes.note(exercise, graded("softmax"), "a")
    between = notes.milestones([exercise])
    notes.note(exercise, graded("why"), "b")
    after = {milestone.name: milestone for milestone in notes.milestones([exercise])}

    assert [milestone.name for milestone in before] == list(MILESTONES)
    assert not any(milestone.when for milestone in (*before, *between))
    assert after["M2"].evidence == "step why of attention, 1.5 points"
    assert after["M2"].when
    assert not after["M1"].when


def test_a_milestone_that_no_step_gives_is_kept_with_its_first_time_and_last_evidence(notes, exercise, tmp_path):
    notes.reach("M3", "loss 1.93")
    first = notes.milestones([exercise])[2]
    notes.reach("M3", "loss 1.90")

    after = Progress(Course(tmp_path)).milestones([exercise])

    assert (first.name, first.evidence) == ("M3", "loss 1.93")
    assert (after[2].when, after[2].evidence) == (first.when, "loss 1.90")
    assert [milestone.name for milestone in after if milestone.when] == ["M3"]


def test_notes_of_before_there_were_milestones_are_taken_up(notes, exercise):
    notes.note(exercise, graded("softmax"), "a")
    data = json.loads(notes.path.read_text())
    del data["milestones"]
    notes.path.write_text(json.dumps(data))

    notes.reach("M1", "in 40 minutes")

    assert notes.of(exercise)["best"] == 1.5
    assert notes.milestones([exercise])[0].evidence == "in 40 minutes"


def test_hints_are_counted_by_step_and_end(notes, exercise):
    softmax, why, _ = exercise.steps

    numbers = [notes.next_hint(exercise, softmax)[0] for _ in range(6)]

    assert numbers == [1, 2, 3, 4, 5, 5]
    assert notes.next_hint(exercise, why) == (1, False)


def test_a_question_stands_in_for_the_first_tier_and_comes_once(notes, exercise):
    softmax = exercise.steps[0]

    asked = [notes.next_hint(exercise, softmax, question) for question in ("no_scale", "no_scale", "by_width", "")]

    assert asked == [(1, True), (2, False), (2, True), (3, False)]


def test_a_notice_is_said_once(notes):
    assert [notes.say_once("layers"), notes.say_once("layers"), notes.say_once("other")] == [True, False, True]


def test_notes_survive_the_process(notes, exercise, tmp_path):
    notes.note(exercise, graded("softmax"), "a")

    assert Progress(Course(tmp_path)).of(exercise)["best"] == 1.5


def test_two_writers_do_not_undo_each_other(notes, exercise, tmp_path):
    other = Progress(Course(tmp_path))
    notes.note(exercise, graded("softmax"), "a")
    other.next_hint(exercise, exercise.steps[0])
    notes.say_once("layers")

    assert other.of(exercise)["passed"].keys() == {"softmax"}
    assert notes.next_hint(exercise, exercise.steps[0])[0] == 2


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b'{"schema": 1, "exer',
        b"\xff\xfe rubbish",
        b"[]",
        b'{"schema": 2, "exercises": {}, "notices": []}',
        b'{"schema": 1, "exercises": {"attention": 7}, "notices": []}',
        b'{"schema": 1, "exercises": {"attention": {"best": "all"}}, "notices": []}',
        b'{"schema": 1, "exercises": {"attention": {"hints": {"softmax": 3}}}, "notices": []}',
    ],
)
def test_a_damaged_file_is_kept_aside_with_a_word(notes, exercise, damage):
    notes.path.parent.mkdir(parents=True)
    notes.path.write_bytes(damage)

    notes.note(exercise, graded("softmax"), "a")

    assert notes.path.with_name("progress.json.bad").read_bytes() == damage
    assert notes.of(exercise)["best"] == 1.5
    assert len(notes.said) == 1
    assert "progress.json.bad" in notes.said[0]


def test_a_second_damage_does_not_write_over_the_first(notes, exercise):
    notes.path.parent.mkdir(parents=True)
    for damage in (b"one", b"two"):
        notes.path.write_bytes(damage)
        notes.of(exercise)

    assert notes.path.with_name("progress.json.bad").read_bytes() == b"one"
    assert notes.path.with_name("progress.json.bad2").read_bytes() == b"two"


def test_a_crash_while_writing_leaves_the_old_notes(notes, exercise, monkeypatch):
    notes.note(exercise, graded("softmax"), "a")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", crash)
    with pytest.raises(KeyboardInterrupt):
        notes.note(exercise, graded("softmax", "why"), "b")
    monkeypatch.undo()

    assert notes.of(exercise)["best"] == 1.5
    assert [path.name for path in notes.path.parent.iterdir()] == ["progress.json"]


def test_notes_that_cannot_be_written_are_a_word_and_no_end(notes, exercise, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)

    notes.note(exercise, graded("softmax"), "a")

    assert "No space left" in notes.said[0]


def test_the_file_says_its_schema(notes, exercise):
    notes.note(exercise, graded("softmax"), "a")

    assert json.loads(notes.path.read_text(encoding="utf-8"))["schema"] == 1


def test_the_digest_is_of_all_that_was_handed_in():
    submission = Submission("a.py", (Cell("x = 1"),))

    others = [
        Submission("a.py", (Cell("x = 2"),)),
        Submission("a.ipynb", (Cell("x = 1"),)),
        Submission("a.py", (Cell("x"), Cell(" = 1"))),
        replace(submission, problem="The file is empty."),
    ]

    assert digest_of(submission) == digest_of(Submission("a.py", (Cell("x = 1"),)))
    assert len({digest_of(other) for other in [submission, *others]}) == 5
