"""Handles on objects that stay with the submission, proved with a toy layer in a real worker and in this process."""

from __future__ import annotations

import numpy as np
import pytest

from grader.logic.asserting import Record, StudentFailure
from grader.logic.wire import Handle
from grader.model.types import Call, Cell, Limits, Raised, Submission, Value
from grader.system.host import Server
from grader.system.oracle import replay
from grader.system.subjects import InProcess, Referee, Reference, Remote, Student, frozen

SOURCE = """
import numpy as np


class Layer:
    def __init__(self, d_in, d_out=2):
        self.weight = np.arange(float(d_in * d_out)).reshape(d_in, d_out)
        self.inner = None
        self.steps = 0

    def __call__(self, x):
        self.steps += 1
        return x @ self.weight

    def scaled(self, by):
        new = Layer(*self.weight.shape)
        new.weight = self.weight * by
        return new

    def plus(self, other):
        self.weight = self.weight + other.weight

    def parts(self):
        return {"self": self, "list": [self.scaled(2), 7, (self.scaled(3),)]}


def stack(n):
    return [Layer(1, 1).scaled(i) for i in range(n)]


def total(layers, *, extra=None):
    return float(sum(layer.weight.sum() for layer in layers) + (extra["layer"].weight.sum() if extra else 0))


def overwrite(x, y=None, *, out=None):
    x[0] = 99
    if out is not None:
        out[...] = x + 1
    return x


def half(x):
    return (x / 3).astype(x.dtype)


def fails():
    raise KeyError("gone")
"""


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


def in_worker(server):
    worker = server.open(Limits())
    loaded = worker.load(Submission("layer.py", (Cell(SOURCE),)), "layer", ("numpy",), "layer.py")
    assert not loaded.failures and loaded.died is None
    return worker


def ask(call, namespace=None):
    return Referee(InProcess(namespace), InProcess(namespace, exact=True)).ask(call)


def in_process():
    namespace = {}
    exec(SOURCE, namespace)
    return InProcess(namespace)


@pytest.fixture(params=["worker", "in process"])
def subject(request, server):
    if request.param == "in process":
        yield in_process()
    else:
        with in_worker(server) as worker:
            yield worker


@pytest.fixture
def record():
    return Record({})


@pytest.fixture
def student(subject, record):
    return Student(subject, record)


# ---------------------------------------------------------------- objects


def test_an_object_is_made_and_stays_where_it_is(student):
    layer = student.Layer(3, d_out=4)

    assert isinstance(layer, Remote)
    assert layer.type_name == "Layer"
    np.testing.assert_array_equal(layer.get("weight"), np.arange(12.0).reshape(3, 4))


def test_its_arrays_are_set_and_it_is_called_with_them(student):
    layer = student.Layer(3)
    layer.set("weight", np.eye(3)[:, :2])

    got = layer(np.array([[5.0, 6.0, 7.0]]))

    assert got.tolist() == [[5.0, 6.0]]
    assert layer.get("steps") == 1


def test_methods_give_new_handles_that_can_be_arguments(student):
    one = student.Layer(1)
    three = one.scaled(3.0)

    answer = one.plus(three)

    assert answer is None
    assert one.get("weight").tolist() == [[0.0, 4.0]]
    assert three.get("weight").tolist() == [[0.0, 3.0]]


def test_handles_stand_inside_lists_and_dicts_on_both_ways(student):
    first, second, third = student.stack(3)
    parts = student.Layer(1).parts()

    totals = student.total([third, second], extra={"layer": parts["list"][2][0]})

    assert [layer.get("weight").item() for layer in (first, second, third)] == [0.0, 0.0, 0.0]
    assert totals == 3.0
    assert parts["list"][1] == 7
    assert isinstance(parts["list"][2], tuple)


def test_an_attribute_can_be_an_object(student):
    outer, inner = student.Layer(1), student.Layer(1)

    outer.set("inner", inner)
    inner.set("weight", np.array([[8.0]]))

    assert outer.get("inner").get("weight").item() == 8.0


def test_two_objects_are_two(student):
    one, two = student.Layer(2), student.Layer(2)

    one.set("weight", np.zeros((2, 2)))

    assert two.get("weight").sum() == 6.0


@pytest.mark.parametrize(
    "ask",
    [
        lambda student: student.Layer(1).missing(),
        lambda student: student.Layer(1).get("missing"),
        lambda student: student.missing(1),
        lambda student: student.fails(),
        lambda student: student.Layer(),
    ],
)
def test_what_does_not_work_is_the_student_s_failure(student, ask, record):
    with pytest.raises(StudentFailure) as caught:
        ask(student)

    assert isinstance(caught.value.outcome, Raised)
    assert record.asked[-1].outcome is caught.value.outcome
    assert caught.value.call == record.asked[-1].call


def test_a_check_s_own_names_are_never_asked_of_a_submission(student):
    for thing in (student, student.Layer(1)):
        with pytest.raises(AttributeError):
            _ = thing._private


# ---------------------------------------------------------------- the same numbers on both sides


def scenario(student):
    layer = student.Layer(2, 3)
    parts = layer.parts()
    layer.set("inner", parts["list"][0])
    layer.get("inner")(np.ones(2))
    stacked = student.stack(2)
    student.total([*stacked, layer], extra={"layer": parts["self"]})
    student.with_inputs_after("total", [layer])
    layer.scaled(2.5).get("weight")


def forms(outcomes):
    return [repr(outcome) for outcome in outcomes]


def test_a_worker_and_a_replay_number_their_objects_alike(server):
    record, replayed = Record({}), Record({})

    with in_worker(server) as worker:
        scenario(Student(worker, record))
    scenario(Student(in_process(), replayed))

    assert [asked.call for asked in record.asked][:3] == [asked.call for asked in replayed.asked][:3]
    assert forms(asked.outcome for asked in record.asked) == forms(asked.outcome for asked in replayed.asked)
    handles = [asked.outcome.value for asked in record.asked if isinstance(asked.outcome.value, Handle)]
    assert [handle.number for handle in handles] == sorted(handle.number for handle in handles)


def test_recorded_calls_are_replayed_as_they_are(server):
    record = Record({})
    with in_worker(server) as worker:
        scenario(Student(worker, record))

    answer = replay(in_process(), [asked.call for asked in record.asked])

    last = len(record.asked) - 1
    np.testing.assert_array_equal(answer(last).value, record.asked[last].outcome.value)
    assert forms([answer(0)]) == forms([record.asked[0].outcome])


def test_a_replay_of_another_program_shows_the_difference(server):
    record = Record({})
    with in_worker(server) as worker:
        scenario(Student(worker, record))
    namespace = {}
    exec(SOURCE.replace("self.weight * by", "self.weight + by"), namespace)

    answer = replay(InProcess(namespace), [asked.call for asked in record.asked])

    last = len(record.asked) - 1
    assert not np.array_equal(answer(last).value, record.asked[last].outcome.value)


def test_a_number_that_a_submission_makes_up_means_nothing(record):
    class Liar:
        def __init__(self):
            self.asked = []

        def answer(self, call):
            self.asked.append(call)
            return Value(Handle(99, "Layer") if call.name == "Layer" else None)

    liar = Liar()
    student = Student(liar, record)

    layer = student.Layer()
    layer.run(layer)

    assert [asked.call.target for asked in record.asked] == [None, 1]
    assert record.asked[1].call.args == (Handle(1, "Layer"),)
    assert liar.asked[1] == Call("run", (Handle(99, "Layer"),), target=99, made_by="Layer")


# ---------------------------------------------------------------- inputs


def test_inputs_are_copied_before_they_go(student, record):
    x = np.zeros(3)

    got = student.overwrite(x)
    x[1] = 5.0

    assert got.tolist() == [99.0, 0.0, 0.0]
    assert x.tolist() == [0.0, 5.0, 0.0]
    assert record.asked[0].call.args[0].tolist() == [0.0, 0.0, 0.0]


def test_inputs_after_the_call_come_in_order(student):
    x, y, out = np.zeros(2), np.ones(2), np.zeros(2)

    got, after = student.with_inputs_after("overwrite", x, y, out=out)

    assert got.tolist() == [99.0, 0.0]
    assert [array.tolist() for array in after] == [[99.0, 0.0], [1.0, 1.0], [100.0, 1.0]]
    assert out.tolist() == [0.0, 0.0]


def test_inputs_in_lists_come_back_too(student):
    _, ([first, second],) = student.with_inputs_after("overwrite", [np.zeros(1), np.ones(1)])

    assert (first, second.tolist()) == (99, [1.0])


# ---------------------------------------------------------------- the reference


def test_the_reference_answers_in_float64_and_remembers_the_dtype():
    record = Record({})
    reference = Reference(Referee(in_process(), in_process()).ask, record)
    x = np.array([1.0, 2.0], "float16")

    answer = reference.half(x)

    assert answer.dtype == np.float64
    np.testing.assert_allclose(answer, [1 / 3, 2 / 3], rtol=1e-15)
    assert record.dtypes_of(answer) == "float16"
    assert record.dtypes_of(answer.copy()) is None


def test_the_reference_raises_low_precision_inside_lists_and_dicts():
    solution = {"f": lambda xs, more: [xs[0].dtype.name, more["a"].dtype.name, more["n"].dtype.name]}

    value, _ = ask(Call("f", ([np.zeros(1, "float32")], {"a": np.float16(1), "n": np.arange(2)})), solution)

    assert value == ["float64", "float64", "int64"]


def test_the_dtypes_mirror_the_answer():
    solution = {"f": lambda: {"a": [np.zeros(1, "float32"), 3], "b": (np.int8(1),)}}

    _, dtypes = ask(Call("f"), solution)

    assert dtypes == {"a": ["float32", None], "b": ["int8"]}


def test_a_solution_that_gives_no_answer_is_no_reference():
    with pytest.raises(RuntimeError, match="KeyError"):
        Referee(in_process(), in_process()).ask(Call("fails"))


def test_an_answer_for_all_submissions_cannot_be_written_to():
    answer = frozen({"a": [np.zeros(2), (np.ones(1), 3)]})

    for array in (answer["a"][0], answer["a"][1][0]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
