"""A report as text: what is shown, in which order, and in what room."""

from __future__ import annotations

import io
import re

import pytest

from grader.model.types import CheckResult, Exercise, Limits, Report, Step
from grader.shell import screen

LONG = "the weights of every query over all the keys of every head of every batch are the softmax of its scaled scores"
MISMATCH = "\n".join(
    [
        "asked      weights(q, k)   q 2×3×5×7 float64  k 2×3×4×7 float64  mask 5×4 bool",
        "expected   0.2312 0.2790 0.2441 0.2457 0.1111 0.2222 …   at [0, 0, 0]",
        "got        0.1902 0.3341 0.2240 0.2517 0.1111 0.2222 …   60 of 60 numbers differ, by up to 0.21",
        "looks like The scores are not divided by √d_k, so that the softmax saturates as soon as vectors are wide.",
    ]
)
TO_DO = "to do      causal_mask is not written yet."


@pytest.fixture
def exercise() -> Exercise:
    steps = (
        Step("softmax", "Softmax along any axis", ("softmax",), 15, 2.0),
        Step("weights", "Attention weights", ("weights",), 20, 2.0),
        Step("causal", "The causal mask", ("causal_mask",), 10, 1.0),
        Step("why", "Why divide", ("why",), 30, 1.0),
        Step("backward", "Gradients", ("backward",), 60, 3.0, stretch=True),
    )
    return Exercise("attention", "ex01_attention", "Attention", "attention.py", steps, 2, (), (), Limits(), (), {})


def check(step: str, outcome: str = "passed", message: str = "", name: str = "", hidden: bool = False, ideas=()):
    earned = 1.0 if outcome == "passed" else 0.0
    return CheckResult(name or f"a check of {step}", step, hidden, 1.0, earned, outcome, message, list(ideas))


def report(*checks: CheckResult, status: str = "failed", **more) -> Report:
    counted = [one for one in checks if one.outcome != "skipped"]
    score, whole = sum(one.earned for one in counted), sum(one.points for one in counted)
    return Report("attention", "attention.py", "all", 7, status, score, whole, 0.41, list(checks), **more)


def half_way(**more) -> Report:
    return report(
        check("softmax"),
        check("weights", "failed", MISMATCH, "hidden one", hidden=True, ideas=["no_scale"]),
        check("weights", "failed", MISMATCH, LONG, ideas=["no_scale"]),
        check("weights", name="another one"),
        check("causal", "failed", TO_DO),
        check("why", "failed", TO_DO.replace("causal_mask", "why")),
        check("backward", "failed", TO_DO.replace("causal_mask", "backward")),
        **more,
    )


def lines(text: str) -> list[str]:
    return text.split("\n")


def test_the_header_names_exercise_points_and_time(exercise):
    text = screen.verdict(half_way(), exercise)

    assert lines(text)[0] == "attention   2 of 7 points   0.4 s"


def test_one_step_is_shown_in_full_the_others_in_a_line_each(exercise):
    text = screen.verdict(half_way(), exercise)

    assert "  ✓ Softmax along any axis" in text
    assert "a check of softmax" not in text
    assert "  ✗ Attention weights" in text
    assert "another one" in text
    assert "a check of causal" not in text
    assert "  · The causal mask" in text
    assert "3 more steps, about 100 minutes" in text


def test_public_checks_come_first(exercise):
    text = screen.verdict(half_way(), exercise)

    assert text.index("the weights of every query") < text.index("hidden one")


def test_messages_are_indented_and_keep_their_label_column(exercise):
    shown = lines(screen.verdict(half_way(), exercise))

    labels = [line for line in shown if re.match(r" {6}(asked|expected|got|looks like) ", line)]
    assert len(labels) == 4
    start = next(number for number, line in enumerate(shown) if "looks like" in line)
    assert shown[start].startswith("      looks like The scores")
    assert shown[start + 1].startswith(" " * 17 + "saturates")


def test_the_same_idea_is_explained_once(exercise):
    once = screen.verdict(half_way(), exercise)
    everything = screen.verdict(half_way(), exercise, everything=True)

    assert once.count("looks like") == 1
    assert "the same idea" in once
    assert everything.count("looks like") == 2
    assert "the same idea" not in everything


def test_no_more_than_three_messages_but_with_all(exercise):
    checks = [check("softmax", "failed", f"problem    number {number}", f"check {number}") for number in range(5)]

    short = screen.verdict(report(*checks), exercise)
    long = screen.verdict(report(*checks), exercise, everything=True)

    assert short.count("problem") == 3
    assert "2 more messages with --all" in short
    assert long.count("problem") == 5


def test_a_step_that_is_only_unwritten_shows_to_do_and_no_cross(exercise):
    shown = report(
        check("softmax"), check("weights"), check("causal", "failed", TO_DO), check("causal", "failed", TO_DO, "second")
    )

    text = screen.verdict(shown, exercise)

    assert "✗" not in text
    assert re.search(r"· a check of causal +to do", text)
    assert text.count("causal_mask is not written yet.") == 1


def test_all_shows_every_step(exercise):
    text = screen.verdict(half_way(), exercise, everything=True)

    assert all(f"a check of {name}" in text for name in ("softmax", "causal", "why", "backward"))
    assert "more step" not in text


def test_a_focus_shows_another_step_in_full(exercise):
    text = screen.verdict(half_way(), exercise, focus="why")

    assert "a check of why" in text
    assert "another one" not in text
    assert "· Attention weights" in text


def test_a_stretch_step_comes_after_all_others(exercise):
    done = [check(name) for name in ("softmax", "weights", "causal")]
    shown = report(*done, check("backward", "failed"), check("why", "failed", MISMATCH))

    assert screen.first_unfinished(shown, exercise).name == "why"


def test_what_was_not_checked_is_said(exercise):
    skipped = check("softmax", "skipped", "einops is not installed", "einsum agrees")
    shown = report(skipped, check("weights"), status="passed")
    shown.scope = "public"

    text = screen.verdict(shown, exercise, everything=True)

    assert "Not checked: einsum agrees (einops is not installed). Its points are left out." in text
    assert "Only the public checks were run." in text
    assert "1 of 1 points" in text


def test_broken_and_not_started_show_their_message(exercise):
    problem = "problem    attention.py is not valid Python: x"
    broken = report(check("softmax", "failed"), status="broken", message=problem)
    untouched = report(check("softmax", "failed"), status="not_started", message="Nothing is written yet.")

    assert "cannot be graded as it is" in screen.verdict(broken, exercise)
    assert "  problem    attention.py is not valid Python: x" in screen.verdict(broken, exercise)
    assert "not started" in screen.verdict(untouched, exercise)
    assert "· Gradients" in screen.verdict(untouched, exercise)


def test_printed_text_is_cut_to_twenty_lines(exercise):
    shown = half_way(printed="\n".join(f"line {number} " + "x" * 100 for number in range(50)))

    text = screen.verdict(shown, exercise)

    assert "line 19 " in text
    assert "line 20 " not in text
    assert "… 30 more lines" in text
    assert max(map(len, lines(text))) <= 80


def test_what_a_submission_prints_cannot_draw_on_the_screen(exercise):
    forged = "\x1b[2J\x1b[H\rattention   7 of 7 points\x07\u202e"

    text = screen.verdict(half_way(printed=forged, message=f"problem    {forged}"), exercise)

    assert "\x1b" not in text
    assert "\r" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert lines(text)[0] == "attention   2 of 7 points   0.4 s"


@pytest.mark.parametrize("everything", [False, True])
def test_nothing_is_wider_than_80_columns(exercise, everything):
    shown = half_way(printed="y" * 300, message="problem    " + "word " * 60)
    notes = ["note " * 40]
    text = screen.verdict(shown, exercise, everything=everything, notes=notes, following="grader hint attention")

    assert max(map(len, lines(text))) <= 80


def test_colour_adds_nothing_but_colour(exercise):
    plain = screen.verdict(half_way(), exercise, everything=True)
    coloured = screen.verdict(half_way(), exercise, everything=True, colour=True)

    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


def test_characters_that_an_encoding_lacks_get_stand_ins(exercise):
    text = screen.verdict(half_way(), exercise)

    plain = screen.fitting(text, "ascii")

    assert plain.isascii()
    assert "  + Softmax along any axis" in plain
    assert "sqrt d_k" in plain
    assert screen.fitting(text, "utf-8") == text
    assert screen.fitting("│█│", None) == "|#|"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "refused", "wanted"),
    [({}, False, True), ({"NO_COLOR": "1"}, False, False), ({"TERM": "dumb"}, False, False), ({}, True, False)],
)
def test_colour_is_for_terminals_where_nobody_said_no(environment, refused, wanted):
    assert screen.wants_colour(Terminal(), environment, refused) is wanted
    assert screen.wants_colour(io.StringIO(), environment, refused) is False


def test_fold_breaks_between_parts_first():
    text = "0.1111 0.2222 0.3333   60 of 60 numbers differ"

    assert screen.fold(text, 80) == [text]
    assert screen.fold(text, 30) == ["0.1111 0.2222 0.3333", "60 of 60 numbers differ"]
    assert max(map(len, screen.fold(text, 16))) <= 16


def test_a_bar_is_full_only_when_all_is_done():
    assert screen.bar(0, 4) == "░░░░"
    assert screen.bar(0.99, 4) == "███░"
    assert screen.bar(1, 4) == "████"
