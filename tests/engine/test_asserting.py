"""What checks assert: each helper is tried with the truth, which it lets pass, and with lies, which it does not."""

from __future__ import annotations

import numpy as np
import pytest

from grader import checks
from grader.logic import asserting
from grader.logic.asserting import Asked, Mismatch, Record, StudentFailure
from grader.model.types import Call, Died, Raised, Value

X = np.linspace(-1, 1, 6).reshape(2, 3)
NAN, INF = np.nan, np.inf


@pytest.fixture(autouse=True)
def record():
    """The record of a check that is running."""
    record = Record({"float64": 1e-9, "float32": 1e-5})
    asserting.begin(record)
    return record


def answers(outcome, record=None):
    """A function of the student's that gives this outcome."""

    def function(*args, **kwargs):
        call = Call("f", args, kwargs)
        if record is not None:
            record.asked.append(Asked(call, outcome, getattr(outcome, "value", None)))
        if not isinstance(outcome, Value):
            raise StudentFailure(call, outcome)
        return outcome.value

    return function


def raised(name, *bases):
    return Raised(name, (*bases, "Exception", "BaseException", "object"), "said", ())


def test_check_files_get_the_assertions_and_what_they_ask_with_and_no_more():
    asks = {"Tensor", "cast", "cost_of", "gradients_of", "parameter_count", "set_weights", "tensor", "through"}
    asks |= {"weights_of"}
    assert {name for name in dir(checks) if name.startswith("assert")} | asks == set(checks.__all__)
    assert checks.assert_close is asserting.assert_close


# ---------------------------------------------------------------- assert_close


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (X, X.copy()),
        (X + 0.9e-9, X),
        (np.where(X > 0, NAN, X), np.where(X > 0, NAN, X)),
        (np.where(X > 0, INF, X), np.where(X > 0, INF, X)),
        (0.25, np.array(0.25)),
        (np.array(0.25), 0.25),
        (np.float32(0.25), 0.25),
        (3, 3.0),
        (True, np.bool_(True)),
        ((X, [1, {"a": X}]), [X, (1, {"a": X})]),
        (None, None),
    ],
)
def test_close_is_close(got, expected):
    asserting.assert_close(got, expected)


@pytest.mark.parametrize(
    ("got", "expected", "kind"),
    [
        (X + 1.1e-9, X, "value"),
        (X * (1 + 1e-8), X, "value"),
        (-X, X, "value"),
        (np.where(X > 0, NAN, X), X, "nan"),
        (np.where(X > 0, INF, X), X, "value"),
        (X, np.where(X > 0, NAN, X), "value"),
        (np.where(X > 0, -INF, X), np.where(X > 0, INF, X), "value"),
        (X.T, X, "shape"),
        (X[None], X, "shape"),
        (X.astype("float32"), X, "dtype"),
        (X.round().astype(int), X.round(), "dtype"),
        (X > 0, X, "dtype"),
        (1, True, "dtype"),
        (True, 1.0, "dtype"),
        (0.25, np.array([0.25]), "type"),
        (X.tolist(), X, "type"),
        (None, X, "type"),
        ((X, X), (X, X, X), "keys"),
        ({"a": X}, {"b": X}, "keys"),
        ((X, [1, {"a": X + 1}]), (X, [1, {"a": X}]), "value"),
        ("a", "b", "value"),
    ],
)
def test_a_lie_is_not_close(got, expected, kind):
    with pytest.raises(Mismatch) as caught:
        asserting.assert_close(got, expected)

    assert caught.value.finding.kind == kind


def test_a_mismatch_is_a_failed_assertion():
    assert issubclass(Mismatch, AssertionError)


@pytest.mark.parametrize(("error", "close"), [(0.99, True), (1.01, False)])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_the_edge_of_the_tolerance_moves_with_the_scale(error, close, scale):
    expected = np.array([4.0, 1.0]) * scale
    got = expected + np.array([0.0, error * 4e-9 * scale])

    verdict = nothing_raised(asserting.assert_close, got, expected)

    assert verdict is close


def nothing_raised(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Mismatch:
        return False
    return True


def test_a_given_tolerance_counts_instead_of_the_table():
    assert not nothing_raised(asserting.assert_close, X + 1e-4, X)
    assert nothing_raised(asserting.assert_close, X + 1e-4, X, tolerance=1e-3)
    assert not nothing_raised(asserting.assert_close, X + 1e-10, X, tolerance=1e-12)


def test_the_reference_s_dtype_is_demanded_of_its_own_answer_only(record):
    expected = X.copy()
    record.references.append((expected, "float32"))

    assert nothing_raised(asserting.assert_close, X.astype("float32"), expected)
    assert not nothing_raised(asserting.assert_close, X, expected)
    assert nothing_raised(asserting.assert_close, X, X.copy())
    assert nothing_raised(asserting.assert_close, X.astype("float16"), expected, tolerance=1e-2, dtype="float16")


def test_the_dtypes_of_several_answers_put_together_are_demanded_too(record):
    one, other = X.copy(), X + 1
    record.references += [(one, "float32"), ({"w": other, "n": 3}, {"w": "float64", "n": None})]
    half = X.astype("float32")

    assert record.dtypes_of([one, (other, 3), X.copy()]) == ["float32", ["float64", None], None]
    assert record.dtypes_of({"a": one, "b": 1}) == {"a": "float32", "b": None}
    assert nothing_raised(asserting.assert_close, [half, X + 1], [one, other])
    assert nothing_raised(asserting.assert_close, {"a": half}, {"a": one})
    assert not nothing_raised(asserting.assert_close, [half, half + 1], [one, other])
    assert not nothing_raised(asserting.assert_close, [X, X + 1], [one, other])


def test_what_was_compared_and_the_call_that_gave_it_are_kept(record):
    first = answers(Value(X), record)(1)
    answers(Value(X + 1), record)(2)

    with pytest.raises(Mismatch) as caught:
        asserting.assert_close(first, X + 2, tolerance=1e-3)

    assert caught.value.finding.call == Call("f", (1,))
    ((got, expected, dtypes, tolerance),) = record.compared
    assert got is first
    assert (expected == X + 2).all()
    assert (dtypes, tolerance) == (None, 1e-3)


def test_a_value_that_no_call_gave_belongs_to_the_last_call(record):
    answers(Value(1), record)(1)
    answers(Value(2), record)(2)

    assert record.call_of(object()) == Call("f", (2,))
    assert record.call_of(None) == Call("f", (2,))
    assert Record({}).call_of(3) is None


def test_a_new_record_forgets_the_old_one(record):
    asserting.begin(Record({}))
    asserting.assert_close(1, 1)

    assert record.compared == []


# ---------------------------------------------------------------- assert_raises


def test_the_error_or_a_subclass_of_it_is_right():
    asserting.assert_raises(ValueError, answers(raised("ValueError")))
    asserting.assert_raises(LookupError, answers(raised("KeyError", "LookupError")), 1, key=2)
    asserting.assert_raises(TypeError, answers(raised("MyError", "TypeError")))


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Value(None), "did_not_raise"),
        (Value(X), "did_not_raise"),
        (raised("TypeError"), "raised"),
        (raised("LookupError"), "raised"),
    ],
)
def test_an_answer_or_another_error_is_wrong(outcome, kind, record):
    with pytest.raises(Mismatch) as caught:
        asserting.assert_raises(KeyError, answers(outcome, record), 1)

    finding = caught.value.finding
    assert (finding.kind, finding.expected) == (kind, "KeyError")
    assert finding.call == Call("f", (1,))


@pytest.mark.parametrize(
    "outcome", [Died("timeout", "5"), Died("killed", "SIGKILL"), raised("NotImplementedError", "RuntimeError")]
)
def test_no_answer_and_unwritten_code_are_no_wrong_error(outcome):
    with pytest.raises(StudentFailure) as caught:
        asserting.assert_raises(RuntimeWarning, answers(outcome))

    assert caught.value.outcome == outcome


# ---------------------------------------------------------------- assert_unchanged


@pytest.mark.parametrize("before", [X, np.array([NAN, 1.0]), np.array([], int), 3, True])
def test_what_was_left_alone_is_unchanged(before):
    asserting.assert_unchanged(before, before.copy() if isinstance(before, np.ndarray) else before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (X, X + 1e-15),
        (X, np.where(X > 0, NAN, X)),
        (X, X.astype("float32")),
        (X, X.T),
        (X.reshape(3, 2), X),
        (np.array([0.0, 1.0]), np.array([0, 1])),
        (np.array([True]), np.array([False])),
    ],
)
def test_what_was_written_to_is_changed(before, after):
    with pytest.raises(Mismatch) as caught:
        asserting.assert_unchanged(before, after, what="q")

    finding = caught.value.finding
    assert (finding.kind, finding.notes["what"]) == ("changed", "q")


# ---------------------------------------------------------------- assert_that


@pytest.mark.parametrize("condition", [True, 1, np.bool_(True), [0]])
def test_what_holds_holds(condition):
    asserting.assert_that(condition, asked="?", expected="!", got="-")


@pytest.mark.parametrize("condition", [False, 0, None, np.bool_(False), []])
def test_what_does_not_hold_is_told_in_the_check_s_own_words(condition):
    with pytest.raises(Mismatch) as caught:
        asserting.assert_that(condition, asked="a sum", expected="1", got="2")

    finding = caught.value.finding
    assert (finding.kind, finding.notes) == ("claim", {"asked": "a sum", "expected": "1", "got": "2"})
