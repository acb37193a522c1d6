"""Diagnosis over a toy oracle: a line, scale · x + offset, whose knobs the wrong ideas turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grader.logic import diagnose as module
from grader.logic.diagnose import SOLUTION, Evidence, diagnose, matches, same_outcome
from grader.logic.wire import Handle
from grader.model.types import Call, Died, Raised, Value

TABLE = {"float64": 1e-9}
UNWRITTEN = Raised("NotImplementedError", ("NotImplementedError", "RuntimeError", "Exception"), "", ())
KEY_ERROR = Raised("KeyError", ("KeyError", "LookupError", "Exception"), "", ())
RIGHT = {"scale": 2.0, "offset": 3.0, "power": 1, "error": None, "root": 0.5}


def program(**knobs):
    """Answers of a program with these knobs: `line`, `root`, and `look`, which raises where the knob says so."""
    knob = RIGHT | knobs

    def answer(call):
        (x,) = call.args
        if call.name == "root":
            return Value(x ** knob["root"])
        if call.name == "look" and knob["error"] is not None:
            return knob["error"]
        return Value(knob["scale"] * x ** knob["power"] + knob["offset"])

    return answer


class Toy:
    """The oracle: each idea is the knobs that it turns; two ideas at once collide when they turn the same knob."""

    def __init__(self, **ideas):
        self.ideas = {name: knobs for name, knobs in ideas.items()}
        self.wrong = tuple(ideas)
        self.pairs_asked = []

    def answers(self, check, calls):
        return ToyAnswers(self, calls)

    def pair(self, first, second, calls):
        self.pairs_asked.append((first, second))
        one, two = self.ideas[first], self.ideas[second]
        if one.keys() & two.keys():
            return None
        answer = program(**one, **two)
        return lambda position: answer(calls[position])


class ToyAnswers:
    def __init__(self, oracle, calls):
        self.oracle, self.calls = oracle, calls

    def number(self, variant, position):
        return variant, position

    def answer(self, number):
        variant, position = number
        knobs = {} if variant == SOLUTION else self.oracle.ideas[variant]
        return program(**knobs)(self.calls[position])


class WithoutPairs:
    """A tape answers for single ideas only."""

    def __init__(self, toy):
        self.wrong, self.answers = toy.wrong, toy.answers


def asked(answer, *calls):
    """One check's evidence: its calls, a program's answers, and whether it fails: where they are not the right ones."""
    calls = [Call(name, (x,)) for name, x in calls]
    outcomes = [answer(call) for call in calls]
    right = [program()(call) for call in calls]
    failed = not all(same_outcome(mine, theirs, TABLE) for mine, theirs in zip(outcomes, right, strict=True))
    return Evidence(f"check of {calls}", calls, outcomes, failed)


IDEAS = Toy(no_scale={"scale": 1.0}, no_offset={"offset": 0.0}, squares={"power": 2}, cube_root={"root": 1 / 3})
X = np.array([1.0, -2.0, 5.0])


# ---------------------------------------------------------------- what costs too much


def test_what_is_right_and_costs_too_much_is_named_only_where_nothing_passed_speaks_against_it():
    slow = Toy(works_it_out_again={"error": None}, squares={"power": 2})  # the first answers as the right one does
    line, root = asked(program(), ("line", X)), asked(program(), ("root", np.abs(X)))
    costly = replace(root, failed=True, measured=True)

    assert diagnose([line, costly], slow, TABLE) == {1: ("works_it_out_again",)}
    assert diagnose([line, costly], IDEAS, TABLE) == {}
    assert diagnose([line, replace(costly, measured=False)], IDEAS, TABLE) != {}


# ---------------------------------------------------------------- one idea


@pytest.mark.parametrize("name", IDEAS.wrong)
def test_the_one_idea_that_gives_these_numbers_is_named(name):
    submission = program(**IDEAS.ideas[name])
    evidence = [asked(submission, ("line", X), ("line", 7.0)), asked(submission, ("root", np.abs(X)))]

    named = diagnose(evidence, IDEAS, TABLE)

    failing = [number for number, item in enumerate(evidence) if item.failed]
    assert failing
    assert named == dict.fromkeys(failing, (name,))


def test_a_right_answer_needs_no_name():
    assert diagnose([asked(program(), ("line", X), ("root", 4.0))], IDEAS, TABLE) == {}


def test_rounding_does_not_hide_an_idea_and_more_than_that_does():
    for error, expected in ((1e-12, {0: ("no_scale",)}), (1e-6, {})):
        submission = program(scale=1.0 + error)

        assert diagnose([asked(submission, ("line", X))], IDEAS, TABLE) == expected


def test_an_idea_has_to_explain_every_call_of_the_check():
    both, one = asked(program(scale=1.0), ("line", X), ("line", 7.0)), asked(program(offset=0.0), ("line", 7.0))
    mixed = Evidence(both.check, both.calls, [both.outcomes[0], one.outcomes[0]], failed=True)

    assert diagnose([both], WithoutPairs(IDEAS), TABLE) == {0: ("no_scale",)}
    assert diagnose([mixed], WithoutPairs(IDEAS), TABLE) == {}


def test_nothing_explains_what_nobody_thought_of():
    submission = program(scale=17.0, offset=-4.0, power=3)

    assert diagnose([asked(submission, ("line", X))], IDEAS, TABLE) == {}


# ---------------------------------------------------------------- more than one that fits


AMBIGUOUS = Toy(
    at_ones_alone={"power": 2, "scale": 1.0},
    no_scale={"scale": 1.0},
    and_no_root={"scale": 1.0, "root": 1},
)
ONES = np.ones(3)


@pytest.mark.parametrize("name", ["at_ones_alone", "no_scale", "and_no_root"])
def test_of_several_the_one_that_agrees_with_the_other_checks_is_named(name):
    submission = program(**AMBIGUOUS.ideas[name])
    ambiguous = asked(submission, ("line", ONES))
    telling = [asked(submission, ("line", X)), asked(submission, ("root", np.abs(X)))]

    for evidence in ([ambiguous, *telling], [*telling, ambiguous]):
        named = diagnose(evidence, AMBIGUOUS, TABLE)

        assert named[evidence.index(ambiguous)] == (name,)
        assert set(named.values()) == {(name,)}


def test_without_other_checks_several_that_fit_are_not_told_apart():
    named = diagnose([asked(program(scale=1.0), ("line", ONES))], AMBIGUOUS, TABLE)

    assert named[0][0] in AMBIGUOUS.wrong
    assert len(named[0]) == 1


def test_two_mistakes_in_two_functions_are_named_where_they_show():
    submission = program(scale=1.0, root=1 / 3)

    named = diagnose([asked(submission, ("line", X)), asked(submission, ("root", np.abs(X)))], IDEAS, TABLE)

    assert named == {0: ("no_scale",), 1: ("cube_root",)}


# ---------------------------------------------------------------- two at once


def test_two_ideas_at_once_are_named_together():
    submission = program(scale=1.0, offset=0.0)

    named = diagnose([asked(submission, ("line", X)), asked(submission, ("root", 4.0))], IDEAS, TABLE)

    assert set(named) == {0}
    assert set(named[0]) == {"no_scale", "no_offset"}


def test_a_pair_found_for_one_check_is_tried_first_on_the_next():
    toy = Toy(**IDEAS.ideas)
    submission = program(scale=1.0, offset=0.0)

    named = diagnose([asked(submission, ("line", X)), asked(submission, ("line", X * 3))], toy, TABLE)

    assert {frozenset(pair) for pair in named.values()} == {frozenset({"no_scale", "no_offset"})}
    assert toy.pairs_asked[-1] == named[0]
    assert len(named) == 2


def test_a_single_idea_is_named_without_a_look_at_pairs():
    toy = Toy(**IDEAS.ideas)

    diagnose([asked(program(scale=1.0), ("line", X))], toy, TABLE)

    assert toy.pairs_asked == []


def test_ideas_that_collide_are_no_pair():
    toy = Toy(no_scale={"scale": 1.0}, half_scale={"scale": 0.5})

    assert diagnose([asked(program(scale=1.5), ("line", X))], toy, TABLE) == {}


def test_without_an_oracle_for_pairs_nothing_is_said():
    submission = program(scale=1.0, offset=0.0)

    assert diagnose([asked(submission, ("line", X))], WithoutPairs(IDEAS), TABLE) == {}


def test_when_the_time_for_pairs_is_spent_nothing_is_said(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock) * module.PAIR_SECONDS * 2)

    assert diagnose([asked(program(scale=1.0, offset=0.0), ("line", X))], IDEAS, TABLE) == {}


# ---------------------------------------------------------------- exceptions and silence


ERRORS = Toy(looks_in_vain={"error": KEY_ERROR}, no_scale={"scale": 1.0})


def test_an_idea_that_answers_as_the_solution_does_explains_no_failure():
    class Alike(ToyAnswers):
        """Numbers as a tape gives them: one number, one answer."""

        def number(self, variant, position):
            answer = self.answer((variant, position)).value.tobytes()
            return (
                (SOLUTION, position)
                if answer == self.answer((SOLUTION, position)).value.tobytes()
                else (variant, position)
            )

    toy = Toy(wrong_root={"root": 0.25})
    toy.answers = lambda check, calls: Alike(toy, calls)
    x = np.array([1.0, 2.0])
    off_by_little = Value(RIGHT["scale"] * x + RIGHT["offset"] + 1e-11)  # the check is stricter than the table

    found = diagnose([Evidence("strict", [Call("line", (x,))], [off_by_little], failed=True)], toy, TABLE)

    assert found == {}


def test_an_exception_is_an_answer():
    submission = program(error=Raised("KeyError", ("KeyError", "LookupError", "Exception"), "other words", ()))

    named = diagnose([asked(submission, ("line", X), ("look", X))], ERRORS, TABLE)

    assert named == {0: ("looks_in_vain",)}


def test_another_exception_is_another_answer():
    submission = program(error=Raised("TypeError", ("TypeError", "Exception"), "", ()))

    assert diagnose([asked(submission, ("look", X))], ERRORS, TABLE) == {}


def test_a_name_that_rests_on_an_exception_must_not_be_contradicted_by_what_passed():
    submission = program(error=KEY_ERROR)
    failing, passing = asked(submission, ("look", X)), asked(program(), ("look", X))

    assert diagnose([failing], ERRORS, TABLE) == {0: ("looks_in_vain",)}
    assert diagnose([failing, passing], ERRORS, TABLE) == {}


@pytest.mark.parametrize("outcome", [UNWRITTEN, Died("timeout", "5"), Died("killed", "SIGKILL")])
def test_unwritten_code_and_dead_workers_look_like_nothing(outcome):
    oracle = Toy(never_written={"error": UNWRITTEN})
    call = Call("look", (X,))

    assert diagnose([Evidence("c", [call], [outcome], failed=True)], oracle, TABLE) == {}


def test_a_check_that_asked_nothing_looks_like_nothing():
    assert diagnose([Evidence("c", [], [], failed=True)], IDEAS, TABLE) == {}


# ---------------------------------------------------------------- the comparing itself


def test_the_same_outcomes_are_the_same():
    assert same_outcome(Value(1.0), Value(1.0 + 1e-12), TABLE)
    assert same_outcome(Value(Handle(1, "A")), Value(Handle(7, "B")), TABLE)
    assert same_outcome(Value(None, [X]), Value(None, [X.copy()]), TABLE)
    assert same_outcome(KEY_ERROR, Raised("MyKeyError", KEY_ERROR.bases, "", ()), TABLE)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (Value(1.0), Value(1.1)),
        (Value(None), Value(1.0)),
        (Value(None, [X]), Value(None, [X + 1])),
        (Value(None, [X]), Value(None)),
        (Value(None), KEY_ERROR),
        (KEY_ERROR, Raised("ValueError", ("ValueError", "Exception"), "", ())),
        (Raised("Mine", (), "", ()), Raised("Theirs", (), "", ())),
        (Died("timeout"), Died("timeout")),
        (Died("timeout"), Value(1.0)),
    ],
)
def test_different_outcomes_are_not(mine, theirs):
    assert not same_outcome(mine, theirs, TABLE)
    assert not same_outcome(theirs, mine, TABLE)


def test_sequences_match_at_every_position_or_not_at_all():
    outcomes = [Value(1.0), Value(2.0), Value(3.0)]

    assert matches(outcomes, [Value(1.0), Value(2.0), Value(3.0)].__getitem__, TABLE)
    for position in range(3):
        other = list(outcomes)
        other[position] = Value(9.0)
        assert not matches(outcomes, other.__getitem__, TABLE)
    assert not matches([], [].__getitem__, TABLE)
