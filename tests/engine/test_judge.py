"""Judging one answer: every kind of lie is found, and what only looks different is not."""

from __future__ import annotations

import numpy as np
import pytest

from grader.logic.judge import (
    agree,
    compare,
    differ_in_numbers,
    error_size,
    farthest,
    least_scale,
    relative_error,
    tolerance_for,
    wrong_elements,
)
from grader.logic.tensors import tensor
from grader.logic.wire import Handle

TABLE = {"float64": 1e-9, "float32": 1e-5}
COARSE = {"float64": 1e-9, "float32": 1e-5, "float16": 1e-2}
NAN, INF = np.nan, np.inf
ONES = np.ones((2, 3))
COUNTS = np.array([1, 2, 3])


def finding(got, expected, **options):
    return compare(got, expected, TABLE, **options)


def kind(got, expected, **options):
    found = finding(got, expected, **options)
    return found and found.kind


# ---------------------------------------------------------------- truth


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (ONES, ONES.copy()),
        (np.array([NAN, 1.0]), np.array([NAN, 1.0])),
        (np.array([INF, -INF, 2.0]), np.array([INF, -INF, 2.0])),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (COUNTS, COUNTS),
        (np.array([True, False]), np.array([True, False])),
        (3, 3),
        (3, np.int64(3)),
        (np.float64(0.5), 0.5),
        (np.array(0.5), 0.5),
        (0.5, np.array(0.5)),
        (2, 2.0),
        (2.0, 2),
        (np.uint8(200), 200),
        (True, np.True_),
        (np.array(True), True),
        (1 + 2j, np.complex128(1 + 2j)),
        (None, None),
        ("left", "left"),
        (b"ab", b"ab"),
        ([1, 2.0], (1, 2.0)),
        ({"a": ONES, "b": [1, None]}, {"b": [1, None], "a": ONES}),
    ],
)
def test_the_same_is_the_same(got, expected):
    assert finding(got, expected) is None


@pytest.mark.parametrize(
    ("got", "expected", "wrong"),
    [
        (ONES + 1e-6, ONES, "value"),
        (ONES * NAN, ONES, "nan"),
        (ONES * INF, ONES, "value"),
        (ONES, ONES * NAN, "value"),
        (ONES, ONES * INF, "value"),
        (-ONES * INF, ONES * INF, "value"),
        (ONES * NAN, ONES * INF, "nan"),
        (ONES.T, ONES, "shape"),
        (ONES[0], ONES, "shape"),
        (ONES[None], ONES, "shape"),
        (np.ones(()), np.ones(1), "shape"),
        (1.0, np.ones(1), "type"),
        (np.ones(1), 1.0, "shape"),
        (ONES.astype("float32"), ONES, "dtype"),
        (ONES.astype("int64"), ONES, "dtype"),
        (ONES, ONES.astype("int64"), "dtype"),
        (ONES.astype("int32"), ONES.astype("int64"), "dtype"),
        (ONES.astype(bool), ONES, "dtype"),
        (ONES, ONES.astype(bool), "dtype"),
        (ONES.astype(complex), ONES, "dtype"),
        (COUNTS + 1, COUNTS, "value"),
        (np.array([True, True]), np.array([True, False]), "value"),
        (True, 1, "dtype"),
        (1, True, "dtype"),
        (1.0, True, "dtype"),
        (np.True_, 1.0, "dtype"),
        (np.array(1), True, "dtype"),
        (False, True, "value"),
        (2, 3, "value"),
        (2.0000001, 2, "value"),
        (0.5 + 1e-6, 0.5, "value"),
        (NAN, 0.5, "nan"),
        ("0.5", 0.5, "type"),
        (None, 0.5, "type"),
        ([0.5], 0.5, "type"),
        (ONES.tolist(), ONES, "type"),
        (Handle(1, "ndarray"), ONES, "type"),
        (Handle(1, "float"), 0.5, "type"),
        (0, None, "type"),
        (None, "left", "type"),
        ("right", "left", "value"),
        (b"ab", "ab", "type"),
        ((1, 2), (1, 3), "value"),
        ((1, 2, 3), (1, 2), "keys"),
        ((1,), (1, 2), "keys"),
        (ONES, (ONES, ONES), "type"),
        ((ONES, ONES), ONES, "type"),
        ({"a": 1}, {"a": 2}, "value"),
        ({"a": 1}, {"a": 1, "b": 2}, "keys"),
        ({"a": 1, "b": 2}, {"a": 1}, "keys"),
        ([1], {"a": 1}, "type"),
        ({"a": {"b": ONES + 1}}, {"a": {"b": ONES}}, "value"),
    ],
)
def test_a_lie_is_found_and_called_by_its_kind(got, expected, wrong):
    assert kind(got, expected) == wrong


# ---------------------------------------------------------------- tolerance


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e12])
def test_the_tolerance_is_relative_to_the_largest_number_expected(scale):
    expected = np.array([0.0, -1.0, 0.25]) * scale

    just_inside, just_outside = expected.copy(), expected.copy()
    just_inside[0] += 0.99e-9 * scale
    just_outside[0] += 1.01e-9 * scale

    assert finding(just_inside, expected) is None
    assert kind(just_outside, expected) == "value"


def test_infinities_do_not_stretch_the_scale():
    expected = np.array([INF, 1.0, NAN])

    assert kind(np.array([INF, 1.0 + 1e-8, NAN]), expected) == "value"
    assert finding(np.array([INF, 1.0 + 1e-10, NAN]), expected) is None


def test_where_nothing_but_zeros_is_expected_the_scale_is_one():
    zeros = np.zeros(3)

    assert finding(zeros + 0.9e-9, zeros) is None
    assert kind(zeros + 1.1e-9, zeros) == "value"


def test_whole_numbers_and_booleans_have_no_tolerance():
    large = np.array([10**15, 3])

    assert kind(large + np.array([1, 0]), large) == "value"
    assert kind(large + np.array([1, 0]), large, tolerance=0.5) == "value"
    assert tolerance_for("int64", TABLE) == tolerance_for("bool", TABLE) == 0


def test_the_tolerance_is_that_of_the_dtype_demanded_unless_one_is_given():
    expected = np.array([1.0, 2.0])
    got = (expected + 1e-6).astype("float32")

    assert finding(got, expected, dtypes="float32") is None
    assert kind(got, expected, dtypes="float32", tolerance=1e-8) == "value"
    assert kind(expected + 1e-6, expected) == "value"
    assert finding(expected + 1e-6, expected, tolerance=1e-5) is None
    assert tolerance_for("float16", TABLE) == TABLE["float64"]


def test_dtypes_mirror_the_structure_of_the_answer():
    expected = {"a": [np.ones(2), 3.0], "b": np.zeros(1)}
    dtypes = {"a": ["float32", None], "b": "float16"}

    right = {"a": [np.ones(2, "float32"), 3.0], "b": np.zeros(1, "float16")}
    wrong = {"a": [np.ones(2), 3.0], "b": np.zeros(1, "float16")}

    assert finding(right, expected, dtypes=dtypes) is None
    found = finding(wrong, expected, dtypes=dtypes)
    assert (found.kind, found.where, found.expected) == ("dtype", "['a'][0]", "float32")


# ---------------------------------------------------------------- what a finding says


def test_a_finding_says_where_how_many_and_how_far():
    expected = np.arange(6.0).reshape(2, 3)
    got = expected.copy()
    got[0, 2], got[1, 1] = 2.5, 3.0

    found = finding((0, {"k": got}), (0, {"k": expected}))

    assert (found.where, found.index, found.wrong, found.size) == ("[1]['k']", (0, 2), 2, 6)
    assert (found.worst, found.scale, found.tolerance) == (1.0, 5.0, 1e-9)


def test_the_worst_error_leaves_out_what_is_not_finite():
    found = finding(np.array([1.0, NAN, 3.5]), np.array([1.0, 2.0, 3.0]))

    assert (found.kind, found.index, found.wrong, found.worst) == ("nan", (1,), 2, 0.5)
    assert finding(np.array([NAN]), np.array([1.0])).worst == INF


@pytest.mark.parametrize("expected", [3, 0.5, ONES, COUNTS, np.float32(2), True])
@pytest.mark.parametrize("huge", [10**30, -(10**400), 10**3000], ids=["1e30", "-1e400", "1e3000"])
def test_a_whole_number_too_large_for_numpy_is_wrong_and_nothing_breaks(expected, huge):
    assert finding(huge, expected) is not None
    assert finding([huge], [expected]).where == "[0]"
    assert not agree(huge, expected, TABLE)
    assert not agree(expected, huge, TABLE)
    assert differ_in_numbers(huge, expected) is (np.ndim(expected) == 0)


# ---------------------------------------------------------------- elements


def test_which_elements_are_wrong():
    expected = np.array([[0.0, 1.0], [NAN, -INF]])
    got = np.array([[1e-3, 1.0], [NAN, INF]])

    bad, scale = wrong_elements(got, expected, 1e-6)

    assert bad.tolist() == [[True, False], [False, True]]
    assert scale == 1.0


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint64", "bool"])
def test_small_dtypes_do_not_wrap_around(dtype):
    largest, smallest = np.array([1, 0]).astype(dtype), np.array([0, 1]).astype(dtype)
    if dtype != "bool":
        largest, smallest = (np.array([value], dtype) for value in (np.iinfo(dtype).max, np.iinfo(dtype).min))

    bad, _ = wrong_elements(largest, smallest, 0.0)

    assert bad.all()


def test_error_sizes_are_computed_in_float64():
    errors = error_size(np.array([60000, -60000], "float16"), np.array([-60000.0, -60000.0]))

    assert errors.tolist() == pytest.approx([120000.0, 0.0], rel=1e-3)
    assert error_size(np.array([3 + 4j]), np.array([0j])).tolist() == [5.0]


def test_relative_errors_come_by_dtype():
    expected = {"a": np.array([2.0, -4.0]), "b": [np.array([1.0]), 7], "c": np.array([INF, 2.0])}
    got = {"a": np.array([2.0, -3.0]), "b": [np.array([1.5]), 7], "c": np.array([5.0, 2.5])}

    errors = list(relative_error(got, expected, {"a": None, "b": ["float32", None], "c": None}))

    assert errors == [("float64", 0.25), ("float32", 0.5), ("float64", 0.25)]
    assert list(relative_error(ONES, ONES.T, None)) == []
    of_b = relative_error({"b": got["b"]}, {"b": expected["b"]}, {"a": None, "b": ["float32", None]})
    assert list(of_b) == [("float32", 0.5)]


# ---------------------------------------------------------------- agreement, for diagnosis


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (ONES, ONES + 1e-10),
        (np.array([NAN, INF]), np.array([NAN, INF])),
        (Handle(1, "Mine"), Handle(4, "Theirs")),
        ([1, (2.0, None)], (1, [2.0, None])),
        ({"a": 1}, {"a": 1}),
        (1, np.int64(1)),
        (1, 1.0),
        (np.array(0.5), 0.5),
        ("text", "text"),
        (None, None),
    ],
)
def test_equal_answers_agree(mine, theirs):
    assert agree(mine, theirs, TABLE)
    assert agree(theirs, mine, TABLE)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (ONES, ONES + 1e-8),
        (ONES, ONES.astype("float32")),
        (ONES, ONES[0]),
        (np.array([NAN]), np.array([1.0])),
        (Handle(1, "Mine"), 1),
        (Handle(1, "Mine"), None),
        (Handle(1, "Mine"), ONES),
        ([1], [1, 2]),
        ([1], {"a": 1}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 2}),
        (1, 1.5),
        (1, True),
        (1, "1"),
        (None, 0),
        ("text", b"text"),
        ("text", "other"),
    ],
)
def test_different_answers_do_not_agree(mine, theirs):
    assert not agree(mine, theirs, TABLE)
    assert not agree(theirs, mine, TABLE)


# ---------------------------------------------------------------- numbers that differ


@pytest.mark.parametrize(
    ("mine", "theirs", "differ"),
    [
        (ONES, ONES * 1.2, True),
        (ONES, ONES * 1.001, False),
        (ONES, ONES[0] * 2, False),
        (ONES * NAN, ONES, False),
        (ONES.astype("float16"), ONES, False),
        (ONES.astype("float16") * 2, ONES, True),
        (1, 2, True),
        (True, 0.0, True),
        (True, 1, False),
        ({"a": 1, "b": 2}, {"a": 1, "c": 3}, False),
        ({"a": 1, "b": 2}, {"a": 2}, True),
        ([ONES, 3], (ONES, 4), True),
        ("text", "other", False),
        (None, 1, False),
        (Handle(1, "A"), 1, False),
    ],
)
def test_whether_finite_numbers_differ(mine, theirs, differ):
    assert differ_in_numbers(mine, theirs) is differ


def test_a_complex_number_is_no_real_one():
    expected = 64.0

    assert compare(64 + 0j, expected, {"float64": 1e-9}).kind == "dtype"
    assert compare(64, expected, {"float64": 1e-9}) is None


# ---------------------------------------------------------------- tensors

HALF = {"float64": 1e-9, "float32": 1e-5, "bfloat16": 1e-2}
T32 = tensor(np.ones((2, 3)), "float32")
T64 = tensor(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("got", "expected", "dtypes"),
    [
        (T32, T32, None),
        (T32, T64, "float32"),
        (tensor(np.full((2, 3), 1.001), "bfloat16"), T64, "bfloat16"),
        (tensor([NAN, INF, -INF, 1.0], "bfloat16"), tensor([NAN, INF, -INF, 1.0]), "bfloat16"),
        (tensor([1, 2]), tensor([1, 2]), None),
        (tensor([True, False]), tensor([True, False]), None),
        (tensor(np.zeros((0, 3)), "float32"), tensor(np.zeros((0, 3))), "float32"),
        (tensor(2.5), 2.5, None),
        (2.5, tensor(2.5), "float32"),
        (np.float32(2.5), tensor(2.5), "float32"),
        (np.array(2.5), tensor(2.5), "bfloat16"),
        (tensor(3), 3, None),
        (tensor(True), True, None),
        ({"w": T32, "n": [T32]}, {"w": T64, "n": [T64]}, {"w": "float32", "n": ["float32"]}),
    ],
)
def test_tensors_that_are_the_same_are_the_same(got, expected, dtypes):
    assert compare(got, expected, HALF, dtypes=dtypes) is None


@pytest.mark.parametrize(
    ("got", "expected", "dtypes", "wrong"),
    [
        (ONES, T64, None, "type"),
        (T64, ONES, None, "type"),
        (ONES.astype("float32"), T64, "float32", "type"),
        (ONES.tolist(), T64, None, "type"),
        (None, T64, None, "type"),
        (1.0, T64, None, "type"),
        (Handle(1, "Tensor[sparse_coo]"), T64, None, "type"),
        (T32, T64, None, "dtype"),
        (T64, T64, "float32", "dtype"),
        (tensor(ONES, "bfloat16"), T64, "float32", "dtype"),
        (tensor(ONES, "float16"), T64, "bfloat16", "dtype"),
        (tensor(ONES.astype(int)), T64, "float32", "dtype"),
        (tensor(ONES, "uint16"), tensor(ONES, "bfloat16"), None, "dtype"),
        (tensor(ONES.T, "float32"), T64, "float32", "shape"),
        (tensor(ONES[0], "float32"), T64, "float32", "shape"),
        (tensor([1.0]), 1.0, None, "shape"),
        (tensor(True), 1.0, None, "dtype"),
        (tensor(1 + 0j), 1.0, None, "dtype"),
        (tensor(ONES * 1.0001, "float32"), T64, "float32", "value"),
        (tensor(ONES * 1.02, "bfloat16"), T64, "bfloat16", "value"),
        (tensor(ONES * NAN, "bfloat16"), T64, "bfloat16", "nan"),
        (tensor([INF]), tensor([-INF]), None, "value"),
        (tensor([1, 3]), tensor([1, 2]), None, "value"),
        (tensor(2.6), 2.5, None, "value"),
        ({"w": T32}, {"w": T64, "b": T64}, {"w": "float32", "b": "float32"}, "keys"),
        ({"w": T32}, {"w": T64}, {"w": "bfloat16"}, "dtype"),
    ],
)
def test_a_lie_in_a_tensor_is_found_and_called_by_its_kind(got, expected, dtypes, wrong):
    found = compare(got, expected, HALF, dtypes=dtypes)

    assert found is not None and found.kind == wrong


def test_another_type_is_told_with_the_dtype_that_is_demanded():
    assert compare(ONES, T64, HALF, dtypes="bfloat16").notes == {"dtype": "bfloat16"}
    assert compare(T64, ONES, HALF).notes == {"dtype": "float64"}


def test_the_tolerance_of_a_tensor_is_that_of_the_dtype_demanded():
    off = np.array([1.0, 1.0 + 2**-7])

    assert compare(tensor(off, "bfloat16"), tensor([1.0, 1.0]), HALF, dtypes="bfloat16") is None
    assert compare(tensor(off, "float32"), tensor([1.0, 1.0]), HALF, dtypes="float32").kind == "value"
    assert tolerance_for("bfloat16", TABLE) == TABLE["float64"]


# Of two gradients in one answer the small one should be zero, and has the rounding errors of the large one.
LARGE = np.array([100.0, -3.0])


def gradients(small, large=LARGE, dtype="float32"):
    return [tensor(small, dtype)], {"w": tensor(large, dtype)}


def wrong_gradient(small, expected=(0.0, 1e-17), large=LARGE, dtype="float32"):
    return compare(
        gradients(small, large, dtype),
        gradients(np.asarray(expected, dtype="float64"), LARGE, "float64"),
        HALF,
        dtypes=[[dtype], {"w": dtype}],
    )


def test_what_is_zero_may_have_the_rounding_errors_of_its_neighbours():
    assert wrong_gradient([1e-6, -9e-5]) is None
    assert wrong_gradient([0.0, 0.0]) is None
    alone = compare(tensor([1e-6, -9e-5], "float32"), tensor([0.0, 1e-17]), HALF, dtypes="float32")
    assert alone.kind == "value" and alone.scale == 1e-17


@pytest.mark.parametrize(
    ("small", "expected"),
    [([1.1e-4, 0.0], [0.0, 0.0]), ([0.1, -0.1], [0.0, 0.0]), ([0.02, 0.01], [0.01, 0.01]), ([0.0, 0.0], [0.01, 0.01])],
)
def test_a_small_gradient_that_is_wrong_is_found_beside_a_large_one(small, expected):
    found = wrong_gradient(small, expected)

    assert (found.kind, found.where, found.scale) == ("value", "[0][0]", pytest.approx(10.0))


def test_the_large_gradient_is_judged_by_its_own_size():
    assert wrong_gradient([0.0, 0.0], large=LARGE + 9e-4) is None
    assert wrong_gradient([0.0, 0.0], large=LARGE + 2e-3).where == "[1]['w']"


def test_only_tensors_lend_and_borrow_a_scale():
    many = [tensor([1.0]), {"a": tensor([[-50.0, 2.0]]), "b": (tensor([INF, 7.0, -INF]), tensor([1000, 2000]))}]

    assert least_scale(many) == 5.0
    assert least_scale([np.array([100.0]), 3.0, None, "text"]) == 0.0
    assert least_scale(tensor([100.0])) == 0.0
    assert least_scale([tensor([NAN]), tensor(np.zeros((0, 2))), tensor([True])]) == 0.0
    arrays = compare([np.array([1e-9]), np.array([100.0])], [np.array([0.0]), np.array([100.0])], {"float64": 1e-10})
    assert arrays.where == "[0]" and arrays.scale == 1.0
    mixed = compare([np.array([1e-9]), tensor([100.0])], [np.array([0.0]), tensor([100.0])], {"float64": 1e-10})
    assert mixed.where == "[0]" and mixed.scale == 1.0
    assert compare([tensor([1]), tensor([100.0])], [tensor([2]), tensor([100.0])], HALF).where == "[0]"


def test_relative_errors_of_tensors_come_by_the_dtype_demanded():
    got, expected = gradients([1e-3, 0.0]), gradients([0.0, 0.0], dtype="float64")

    errors = list(relative_error(got, expected, [["float32"], {"w": "float32"}]))

    assert [name for name, _ in errors] == ["float32", "float32"]
    assert [error for _, error in errors] == [pytest.approx(1e-4, rel=1e-3), 0.0]
    assert list(relative_error(tensor([2.5], "bfloat16"), tensor([2.0]), "bfloat16")) == [("bfloat16", 0.25)]


@pytest.mark.parametrize(
    ("mine", "theirs", "alike"),
    [
        (T32, tensor(ONES + 1e-6, "float32"), True),
        (T32, tensor(ONES + 1e-4, "float32"), False),
        (T32, T64, False),
        (T32, ONES.astype("float32"), False),
        (T32, tensor(ONES.T, "float32"), False),
        (tensor(1.0, "float32"), tensor(1.0, "bfloat16"), True),
        (tensor(1.0), 1.0, True),
        (tensor(1.0), True, False),
        (tensor([1, 2]), tensor([1, 3]), False),
        (tensor([NAN], "bfloat16"), tensor([NAN], "bfloat16"), True),
        (gradients([5e-6, 0.0]), gradients([0.0, -5e-6]), True),
        (gradients([0.1, 0.0]), gradients([0.0, 0.0]), False),
        (gradients([0.0, 0.0]), gradients([0.0, 0.0], LARGE + 1), False),
        (Handle(1, "Tensor[meta]"), T32, False),
    ],
)
def test_tensors_agree_as_far_as_they_are_the_same(mine, theirs, alike):
    assert agree(mine, theirs, HALF) is alike
    assert agree(theirs, mine, HALF) is alike


@pytest.mark.parametrize(
    ("mine", "theirs", "differ"),
    [
        (T32, tensor(ONES * 1.2, "bfloat16"), True),
        (T32, tensor(ONES * 1.001, "bfloat16"), False),
        (tensor(ONES * NAN), T64, False),
        (T32, ONES * 1.2, True),
        (tensor(1.0), 2, True),
        (gradients([5.0, 0.0]), gradients([0.0, 0.0]), True),
    ],
)
def test_whether_numbers_of_tensors_differ(mine, theirs, differ):
    assert differ_in_numbers(mine, theirs) is differ


# ---------------------------------------------------------------- where an answer is farthest from the right one


def test_the_place_where_an_answer_is_farthest_tells_others_from_it():
    right = [np.zeros(3), np.array([[1.0, 2.0], [3.0, 4.0]])]
    mine = [np.array([0.0, 0.1, 0.0]), np.array([[1.0, 2.0], [3.5, 4.0]])]

    place = farthest(mine, right)

    assert (place.result, place.index, place.number) == (1, 2, 3.5)
    assert place.differs(right, COARSE)
    assert not place.differs([mine[0] + 7, mine[1]], COARSE)  # only one number is looked at


def test_what_agrees_never_differs_at_a_place():
    rng = np.random.default_rng(0)
    for _ in range(400):
        dtype = rng.choice(["float16", "float32", "float64"])
        right = (rng.standard_normal((3, 4)) * 10.0 ** rng.integers(-8, 4)).astype(dtype)
        mine = right + rng.choice([0, 1e-3, 1e-7, np.inf, np.nan], size=right.shape, p=[0.4, 0.2, 0.3, 0.05, 0.05])
        mine = mine.astype(dtype)
        close = (mine * (1 + COARSE[str(dtype)] * rng.uniform(-1.5, 1.5, mine.shape))).astype(dtype)
        place = farthest(mine, right)
        for theirs in (close, right, mine, mine.astype("float32"), mine[0], 3.0, [mine]):
            if place is not None and agree(mine, theirs, COARSE):
                assert not place.differs(theirs, COARSE)


@pytest.mark.parametrize(
    ("mine", "right"),
    [
        (np.ones(3), np.ones(3)),
        (np.ones(3), np.ones(4)),
        (np.ones(0), np.ones(0)),
        (np.ones(3, int), np.zeros(3, int)),
        ([np.ones(3)], [np.ones(3), np.ones(3)]),
        (np.full(3, np.nan), np.ones(3)),
        ("a", "b"),
    ],
)
def test_there_is_no_such_place_in_other_answers(mine, right):
    assert farthest(mine, right) is None
