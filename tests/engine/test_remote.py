"""Submissions that run on other machines: the same tables, nothing secret on the way, and no trust in what comes back."""

from __future__ import annotations

import ast
import json
import queue
import shutil
import struct
import subprocess
import sys
import threading
from collections import Counter, deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_batch import SOLUTION, SOURCES, Class, hand_in_rubbish, hand_in_variants, recorded_toy, rows, tables

from grader.logic import wire
from grader.logic.variants import apply
from grader.model.errors import EnvironmentProblem
from grader.model.types import Call, Cell, Died, Raised, Submission, Value
from grader.system import remote
from grader.system.course import Course
from grader.system.host import Server
from grader.system.tape import packed
from grader.verbs import batch
from grader.verbs.grading import Sources, make_plan, refresh_cache

__all__ = ["recorded_toy"]
TORCH_TOY = Path(__file__).resolve().parents[1] / "toy_course" / "torch"
SECRET_NUMBER = 0.7304918265
EXTRA_CHECKS = f"""

from grader.checks import assert_raises


@pytest.mark.step("shares")
@pytest.mark.points(1)
def test_a_secret_stands_in_this_check_alone(student):
    assert_close(student.shares(np.array([3, 1, 0, 0])) * {SECRET_NUMBER}, np.array([0.75, 0.25, 0, 0]) * {SECRET_NUMBER})


@pytest.mark.step("shares")
@pytest.mark.points(1)
def test_a_new_counter_has_counted_nothing_and_then_counts(student):
    counter = student.Counter(3)

    assert_close(counter.get("counts"), np.zeros(3, dtype=np.int64))
    counter.add(np.array([1, 1]))
    assert_close(counter.get("counts"), np.array([0, 2, 0]))


@pytest.mark.step("shares")
@pytest.mark.points(1)
def test_what_is_not_there_raises_and_the_counter_goes_on(student):
    counter = student.Counter(2)

    assert_raises(AttributeError, counter.nothing_of_this_name)
    assert_raises(AttributeError, counter.nor_of_that)
    counter.add(np.array([1]))
    assert_close(counter.get("counts"), np.array([0, 1]))


@pytest.mark.untaped
@pytest.mark.step("shares")
@pytest.mark.points(1)
def test_shares_of_shares_of_shares(student, reference):
    got = student.shares(np.array([2.0, 1.0, 1.0]))
    for _ in range(3):
        got = student.shares(got * 8)
    assert_close(got, reference.shares(np.array([2.0, 1.0, 1.0])))
"""
# How often a counter has added before decides what it answers: other calls, or more of them, and the answer is another.
REMEMBERS = """
ADDED = 0


class Counter(Counter):
    def __init__(self, n_tokens):
        self.counts = np.full(n_tokens, {start}, dtype=np.int64)

    def add(self, tokens):
        global ADDED
        ADDED += 1
        {add}
        self.counts = self.counts + np.bincount(tokens.ravel(), minlength=len(self.counts))

    def most_common(self):
        return 2 if ADDED == {at} else 1
"""


class Here:
    """Nodes in this process, with an eye on everything that goes there and a hand on what comes back."""

    size = 2

    def __init__(self, change=lambda answer: answer):
        self.sent = []
        self._change = change
        self._answers = deque()

    def hand_in(self, number, payload):
        assert type(payload) is bytes
        self.sent.append((number, payload))
        self._answers.append((number, self._change(remote.run(payload))))

    def take_out(self):
        return self._answers.popleft()

    def __enter__(self):
        return self

    def __exit__(self, *details):
        pass


@pytest.fixture(autouse=True, scope="module")
def no_server_stays():
    yield
    while remote._idle:
        remote._idle.pop().close()


@pytest.fixture(scope="module")
def course(recorded_toy, tmp_path_factory):
    """The toy course with checks that are hard to foresee, its cache recorded."""
    root = Path(shutil.copytree(recorded_toy.root, tmp_path_factory.mktemp("extra") / "course"))
    hidden = root / "solutions/ex01_counter/test_hidden.py"
    hidden.write_text(hidden.read_text(encoding="utf-8") + EXTRA_CHECKS, encoding="utf-8")
    with Server() as server:
        refresh_cache(Course(root), Course(root).find("counter"), server)
    return Course(root)


@pytest.fixture
def handed(course, tmp_path):
    return Class(course, tmp_path / "handed in")


def hand_in_wayward(handed):
    """Submissions that answer otherwise when they are asked otherwise."""
    for at in range(9):
        handed.hand_in(f"remembers{at}", SOLUTION + REMEMBERS.format(start=1, add="pass", at=at))
    hangs = "\n        while ADDED == 2:\n            pass"
    handed.hand_in("hangs_the_second_time", SOLUTION + REMEMBERS.format(start=1, add=hangs, at=3))
    handed.hand_in("hangs_from_then_on", SOLUTION + REMEMBERS.format(start=0, add="while ADDED > 3: pass", at=3))
    handed.hand_in("prints", SOLUTION + REMEMBERS.format(start=1, add="print('added', ADDED)", at=4))
    unseen = "if len(counts) == 7:\n        return counts\n    while counts.tolist() == [0, 1, 0, 0]:\n        pass\n    return"
    handed.hand_in("hangs_where_nobody_looks", SOLUTION.replace("return", unseen, 1))
    handed.hand_in("more_objects", SOLUTION.replace("return counts / max(total, 1)", "return Counter(3), Counter(2)"))
    handed.hand_in("no_object", SOLUTION + "\n\ndef Counter(n):\n    return n\n")
    handed.hand_in("drifts", SOLUTION.replace("return counts / max(total, 1)", "return counts / max(total, 1) * 1.25"))
    handed.hand_in("unwritten", SOURCES.stub.replace("def shares", "def other():\n    pass\n\n\ndef shares"))


@pytest.fixture
def here(monkeypatch):
    nodes = Here()
    monkeypatch.setattr(batch, "_nodes", lambda address: nodes)
    return nodes


def sent_in_rounds(here):
    """How many rounds each submission took, most first."""
    numbers = [number for number, _ in here.sent]
    return sorted((numbers.count(number) for number in set(numbers)), reverse=True)


def outcomes(out, begin):
    """All different series of outcomes of students whose name begins so."""
    lines = [json.loads(line) for line in (out / batch.LINES).read_text("utf-8").splitlines()]
    return {tuple(check["outcome"] for check in one["checks"]) for one in lines if one["student"].startswith(begin)}


# ---------------------------------------------------------------- the same tables


@pytest.fixture(scope="module")
def cluster():
    """A real Dask cluster of two processes; its scheduler's address."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as running:
        yield running


def test_a_cluster_one_and_two_workers_write_the_same_tables(handed, cluster, tmp_path):
    hand_in_variants(handed)
    hand_in_rubbish(handed)
    hand_in_wayward(handed)
    ways = {"one": {"workers": 1}, "two": {"workers": 2}, "cluster": {"cluster": cluster.scheduler_address}}

    codes = [handed.grade(tmp_path / name, **options) for name, options in ways.items()]

    assert codes == [1, 1, 1]
    assert tables(tmp_path / "one") == tables(tmp_path / "two") == tables(tmp_path / "cluster")
    table = rows(tmp_path / "cluster")
    assert table["solution"]["score"] == "13"
    assert {table[name]["status"] for name in table} == {"passed", "failed", "not_started", "broken"}
    assert len(outcomes(tmp_path / "cluster", "remembers")) > 1  # so other calls would have shown


def test_what_was_not_foreseen_is_asked_in_another_round_and_only_then(handed, here, tmp_path):
    hand_in_wayward(handed)
    handed.hand_in("solution", SOLUTION)
    handed.grade(tmp_path / "here", workers=1)

    handed.grade(tmp_path / "there", cluster="anywhere")

    assert tables(tmp_path / "here") == tables(tmp_path / "there")
    assert 2 < sent_in_rounds(here)[0] <= 6
    assert sent_in_rounds(here)[-1] == 1
    last = max(number for number, _ in here.sent)  # in order of the students' names, of which this is the last but one
    order = sorted(rows(tmp_path / "here"))
    assert [number for number, _ in here.sent].count(order.index("solution")) == 1
    assert order[last] == "unwritten"


def test_answers_that_are_others_each_time_end_as_no_verdict(handed, here, tmp_path, monkeypatch):
    fickle = SOLUTION.replace("return counts / max(total, 1)", "return np.random.default_rng().random(3)")
    handed.hand_in("fickle", fickle)
    monkeypatch.setattr(remote, "MAX_ROUNDS", 3)

    code = handed.grade(tmp_path / "there", cluster="anywhere")

    assert (code, sent_in_rounds(here)) == (1, [3])
    assert "its answers are others each time" in "\n".join(handed.said)


def test_a_second_run_on_the_cluster_sends_nothing(handed, here, tmp_path):
    handed.hand_in("solution", SOLUTION)
    handed.grade(tmp_path / "out", cluster="anywhere")
    here.sent.clear()

    code = handed.grade(tmp_path / "out", cluster="anywhere")

    assert (code, here.sent) == (0, [])
    assert "1 were graded before" in handed.said[0]


def test_what_needs_no_running_is_not_sent(handed, here, tmp_path):
    handed.hand_in("stub", SOURCES.stub)
    handed.hand_in("empty", b"")

    handed.grade(tmp_path / "out", cluster="anywhere")

    assert here.sent == []
    assert {name: row["status"] for name, row in rows(tmp_path / "out").items()} == {
        "empty": "broken",
        "stub": "not_started",
    }


def test_a_torch_exercise_on_a_node_has_the_same_table(here, tmp_path):
    pytest.importorskip("torch")
    shutil.copytree(TORCH_TOY / "solutions", tmp_path / "course" / "solutions")
    course = Course(tmp_path / "course")
    sources = Sources(course, course.find("gate"))
    handed = Class(course, tmp_path / "handed in")
    texts = {variant.name: apply(sources.solution, variant) for variant in sources.variants}
    counts = "ASKED = []\n\n\nclass Gate(Gate):\n    def forward(self, x, **options):\n        ASKED.append(1)\n"
    counts += "        return super().forward(x, **options) + (len(ASKED) == {})\n"
    texts |= {f"counts{at}": f"{sources.solution}\n\n{counts.format(at)}" for at in range(1, 8)}
    for name, text in {"solution": sources.solution, **texts}.items():
        path = handed.folder / "submitted" / name / "gate" / "gate.py"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    handed.grade(tmp_path / "here", workers=1)

    handed.grade(tmp_path / "there", cluster="anywhere")

    assert tables(tmp_path / "here") == tables(tmp_path / "there")
    assert rows(tmp_path / "there")["solution"]["status"] == "passed"
    lines = [json.loads(line) for line in (tmp_path / "there" / batch.LINES).read_text("utf-8").splitlines()]
    outcomes = {
        str([check["outcome"] for check in one["checks"]]) for one in lines if one["student"].startswith("counts")
    }
    assert len(outcomes) > 1
    assert sent_in_rounds(here)[0] > 1


# ---------------------------------------------------------------- nothing secret on the way


def secrets_of(course):
    """What must not be sent, as bytes, by what it is."""
    exercise = course.find("counter")
    sources = Sources(course, exercise)
    stub_lines = {line.strip() for line in sources.stub.splitlines()}
    lines = [line.strip() for line in sources.solution.splitlines()]
    found = {f"solution: {line}": line for line in lines if len(line) > 12 and line not in stub_lines}
    for variant in sources.variants:
        found |= {f"name: {variant.name}": variant.name, f"says: {variant.says}": variant.says}
        found |= {f"edit of {variant.name}, {at}": edit.put.strip() for at, edit in enumerate(variant.edits)}
        found |= {f"replaced by {variant.name}": variant.replace.strip()} if variant.replace else {}
        found |= {f"hint: {variant.hint}": variant.hint} if variant.hint else {}
    hidden = sources.text("test_hidden.py").splitlines()
    found |= {f"check: {line}": line.strip() for line in hidden if line.strip().startswith(("def test", "assert"))}
    found |= {
        f"called {line}": line[9:].split("(")[0].replace("_", " ") for line in hidden if line.startswith("def test")
    }
    texts = {what: text.encode() for what, text in found.items()}
    numbers = {f"as {form}": struct.pack(form, SECRET_NUMBER) for form in (">d", "<d", "<f", ">f")}
    return texts | numbers | {"written": str(SECRET_NUMBER).encode()} | expected_of(course)


def expected_of(course):
    """The solution's answers and the reference's, as the bytes of their arrays, but for those that checks ask with."""
    plan = make_plan(course, course.find("counter"))
    inputs, outputs = set(), {}

    def arrays(value):
        if isinstance(value, np.ndarray) and value.size > 1 and np.count_nonzero(value):
            yield value
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from arrays(item)

    def body(session):
        for check in session.checks:
            run = session.run_check(check, batch._Right(session.oracle, session.key(check)))
            for call in run.calls:
                inputs.update(array.tobytes() for array in arrays([*call.args, *call.kwargs.values()]))
            values = [outcome.value for outcome in run.outcomes if isinstance(outcome, Value)]
            values += [expected for _, expected, *_ in run.record.compared]
            for array in arrays(values):
                outputs[f"expected in {check.name}: {array}"] = array.tobytes()

    with Server() as server:
        plan.run(server, body)
    return {what: data for what, data in outputs.items() if not any(data in given for given in inputs)}


def leaks(payload, secrets):
    """The secrets that a payload holds."""
    return sorted(what for what, data in secrets.items() if data in payload)


def test_nothing_secret_is_sent_to_a_node(handed, here, course, tmp_path):
    other = "import numpy as np\n\n\ndef shares(counts):\n    return np.zeros(len(counts))\n"
    handed.hand_in("ada", other)
    handed.hand_in("bob", other + "\n\nclass Counter:\n    def __init__(self, n):\n        self.counts = np.ones(n)\n")
    handed.grade(tmp_path / "out", cluster="anywhere")
    secrets = secrets_of(course)

    found = {what for _, payload in here.sent for what in leaks(payload, secrets)}

    assert found == set()
    assert len(here.sent) >= 2 and b"most_common" in here.sent[0][1]  # the calls are in there
    kinds = [
        sum(what.startswith(kind) for what in secrets) for kind in ("solution", "edit", "check", "expected", "hint")
    ]
    assert min(kinds) >= 2, kinds


def test_the_search_finds_each_secret_that_is_planted(handed, here, course, tmp_path):
    handed.hand_in("ada", "def shares(counts):\n    return counts\n")
    handed.grade(tmp_path / "out", cluster="anywhere")
    secrets = secrets_of(course)
    told = wire.decode(here.sent[0][1])

    for what, data in secrets.items():
        planted = wire.encode(told | {"label": data})
        assert what in leaks(planted, secrets)
    run = make_plan(course, course.find("counter"))
    text = Submission("planted.py", (Cell(run.oracle._live.source),))
    assert len(leaks(remote.payload_of(run.exercise, text, "planted.py", []), secrets)) > 5


def test_a_payload_holds_these_keys_and_plain_data_only(handed, here, tmp_path):
    handed.hand_in("ada", SOLUTION)

    handed.grade(tmp_path / "out", cluster="anywhere")

    told = wire.decode(here.sent[0][1])
    keys = {
        "format",
        "label",
        "cells",
        "module",
        "framework",
        "limits",
        "allowed_imports",
        "refused",
        "fused",
        "checks",
    }
    assert told.keys() == keys
    assert all(len(check) == 5 for check in told["checks"])
    calls = [call for check in told["checks"] for call in check[0]]
    assert all(len(wire.decode(call)) == 8 for call in calls) and len(calls) > 20


# ---------------------------------------------------------------- what comes back is not trusted

EXERCISE = replace(SOURCES.exercise)
SUBMISSION = Submission("a.py", (Cell(SOLUTION),))


def answer(**changes):
    """A node's honest answer on two checks of one call each, with some parts changed."""
    value = wire.encode(("value", 1.5, None))
    loaded = {"names": ["shares", "Counter"], "failures": [], "died": None, "printed": ""} | changes.pop("loaded", {})
    whole = {
        "engine": remote.engine("numpy"),
        "layers": ["seccomp"],
        "loaded": loaded,
        "checks": [[[value], ""], [[value], ""]],
    }
    return wire.encode(whole | changes)


def read(data):
    return remote.recording_of(data, EXERCISE, SUBMISSION, "a.py")


def replayed(outcome, call):
    """What judging gets for a call whose recorded outcome is these bytes."""
    recording = read(answer(checks=[[[outcome], ""]]))
    asked = remote.asked_by([call], [Value(1.0)], hidden=True, untaped=False)
    subject = remote.Replayed(EXERCISE, SUBMISSION, "a.py", [asked], recording)
    subject.load()
    subject.begin(None)
    return subject.answer(call), subject


def test_an_honest_answer_is_read_as_it_is():
    recording = read(answer())

    assert (recording.loaded.names, recording.loaded.died, recording.layers) == (
        ["shares", "Counter"],
        None,
        ("seccomp",),
    )
    assert recording.outcomes == [[("value", 1.5, None)]] * 2
    assert replayed(wire.encode(("value", 1.5, None)), Call("shares", (1,)))[0] == Value(1.5)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"rubbish",
        answer()[:-1],
        answer() + b"N",
        None,
        7,
        ["a list"],
        wire.encode([]),
        wire.encode({"engine": remote.engine("numpy")}),
        answer(loaded={"names": 3}),
        answer(loaded={"failures": [("another cell", {})]}),
        answer(loaded={"failures": [("a.py", {"type": 3})]}),
        answer(loaded={"died": ["of boredom", ""]}),
        answer(loaded={"died": ["timeout", 3]}),
        answer(loaded={"printed": b"x"}),
        answer(layers=3),
        answer(checks=3),
        answer(checks=[3]),
        answer(checks=[[["x"]]]),
        answer(checks=[[[b""], 3]]),
        wire.encode({"engine": 3}),
        wire.encode({"engine": {}}),
    ],
)
def test_what_is_no_answer_counts_as_garbled(data):
    recording = read(data)

    assert recording.loaded.died == Died("garbled", remote.NO_ANSWER)
    assert (recording.outcomes, recording.loaded.names, recording.layers) == ([], [], ())


@pytest.mark.parametrize(
    "outcome",
    [
        b"",
        b"\x80\x04\x95",
        wire.encode(("value", 1.5)),
        wire.encode(["value", 1.5, None]),
        wire.encode(("passed", 1.5, None)),
        wire.encode(("raised", {"type": "ValueError"})),
        wire.encode(("died", "of boredom", "")),
        wire.encode(([], 1, 2)),
        wire.encode(("value", 1.5, None)) + b"N",
    ],
)
def test_an_outcome_that_is_none_is_garbled_and_the_others_count(outcome):
    got, _ = replayed(outcome, Call("shares", (1,)))

    assert got == Died("garbled", remote.NO_ANSWER)


def test_arguments_afterwards_have_the_types_that_they_had():
    call = Call("shares", (np.zeros(2),), echo=True)

    honest, _ = replayed(wire.encode(("value", 1.5, [np.ones(2)])), call)
    lies = [replayed(wire.encode(("value", 1.5, after)), call)[0] for after in (None, [], ["a"], [np.ones(2), 1])]

    assert isinstance(honest, Value) and honest.after[0].tolist() == [1, 1]
    assert lies == [Died("garbled", remote.NO_ANSWER)] * 4


def test_an_exception_names_only_places_and_types_that_there_are():
    told = {"type": "ValueError", "bases": ["ValueError", "Passed", "Exception"], "message": "m", "depth": 1}
    told |= {"frames": [("a.py", 3, "shares"), ("b.py", 3, "shares"), ("a.py", 10**6, "shares"), ("a.py", 3, "s3cret")]}
    told |= {"forbidden": "0.123", "refused": "aten::add"}

    got, _ = replayed(wire.encode(("raised", told)), Call("shares", (1,)))

    assert isinstance(got, Raised)
    assert got.bases == ("ValueError", "Exception")
    assert got.frames == (("a.py", 3, "shares"), ("a.py", 3, "<module>"))
    assert (got.forbidden, got.refused) == ("", "")


def test_a_call_that_was_not_asked_there_has_no_answer_however_many_came():
    value = wire.encode(("value", 1.5, None))
    asked = remote.asked_by([Call("shares", (1,))], [Value(1.0)], hidden=True, untaped=False)
    subject = remote.Replayed(EXERCISE, SUBMISSION, "a.py", [asked], read(answer(checks=[[[value] * 9, ""]] * 9)))
    subject.begin(None)

    got = [subject.answer(Call("shares", (number,))) for number in (1, 1)]

    assert got == [Value(1.5), Died("exited")]
    assert subject.more() is not None


def test_more_answers_than_calls_were_asked_do_not_count():
    value = wire.encode(("value", 1.5, None))
    asked = remote.asked_by([Call("get", target=1)], [Value(1.0)], hidden=True, untaped=True)
    subject = remote.Replayed(EXERCISE, SUBMISSION, "a.py", [asked], read(answer(checks=[[[value] * 9, ""]] * 9)))
    subject.begin(None)

    got = subject.answer(Call("get", target=1))

    assert got == Value(1.5)
    assert subject.more() is None


def test_layers_that_there_are_not_and_floods_of_text_are_cut():
    longest = EXERCISE.limits.output_kb * 1024 * 20
    recording = read(answer(layers=["seccomp", "magic", 3], loaded={"printed": "x" * (longest + 1)}))

    assert recording.layers == ("seccomp",)
    assert 0 < len(recording.printed_at_load) < longest


def test_one_bad_node_spoils_one_submission(handed, monkeypatch, tmp_path):
    nodes = Here(lambda answer: b"\x80\x04N." if b"the bad one" in answer else answer)
    monkeypatch.setattr(batch, "_nodes", lambda address: nodes)
    handed.hand_in("ada", SOLUTION)
    handed.hand_in("bob", SOLUTION + "\nprint('the bad one')\n")
    handed.hand_in("cem", SOLUTION)

    code = handed.grade(tmp_path / "out", cluster="anywhere")

    assert code == 1
    assert [row["status"] for row in rows(tmp_path / "out").values()] == ["passed", "broken", "passed"]
    assert "sent something that is not an answer" in rows(tmp_path / "out")["bob"]["problem"]


# ---------------------------------------------------------------- what may be wrong with a cluster


def test_a_node_with_another_engine_is_named_before_its_answers_count(handed, monkeypatch, tmp_path):
    def older(data):
        return wire.encode(wire.decode(data) | {"engine": remote.engine("numpy") | {"numpy": "1.0\x1b"}})

    monkeypatch.setattr(batch, "_nodes", lambda address: Here(older))
    handed.hand_in("ada", SOLUTION)

    with pytest.raises(EnvironmentProblem, match=f"another version of numpy: 1.0  instead of {np.__version__}"):
        handed.grade(tmp_path / "out", cluster="anywhere")

    assert rows(tmp_path / "out") == {}


def imported_by(names):
    """The engine's files that these import, and what those import in turn, wherever in them."""
    found, left = set(), list(names)
    while left:
        name = left.pop()
        path = remote.ENGINE / f"{name.replace('.', '/')}.py"
        if name in found or not path.is_file():
            continue
        found.add(name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("grader."):
                inner = node.module.removeprefix("grader.")
                left += [inner, *(f"{inner}.{alias.name}" for alias in node.names)]
    return {f"{name.replace('.', '/')}.py" for name in found}


def test_what_both_sides_compare_is_all_that_runs_on_a_node():
    assert set(remote.ENGINE_FILES) == imported_by(["system.remote", "system.worker"])
    assert imported_by(["model.errors"]) == {"model/errors.py"}


def test_a_node_that_cannot_run_submissions_says_why(handed, monkeypatch, tmp_path):
    def refuses(self, *more):
        raise EnvironmentProblem("The process in which submissions run could not start.", "no namespaces")

    monkeypatch.setattr(Server, "open", refuses)
    monkeypatch.setattr(batch, "_nodes", lambda address: Here())
    handed.hand_in("ada", SOLUTION)

    with pytest.raises(EnvironmentProblem, match="A node of the cluster cannot run submissions") as caught:
        handed.grade(tmp_path / "out", cluster="anywhere")

    assert "no namespaces" in str(caught.value)


def test_a_scheduler_that_does_not_answer_is_named(handed, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(remote, "CONNECT_SECONDS", 0.5)
    handed.hand_in("ada", SOLUTION)

    for address in ("tcp://127.0.0.1:9", "nonsense::"):
        with pytest.raises(EnvironmentProblem) as caught:
            handed.grade(tmp_path / "out", cluster=address)
        assert f"No Dask scheduler answers at {address}" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_where_dask_is_missing_the_command_that_installs_it_is_named(handed, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    handed.hand_in("ada", SOLUTION)

    with pytest.raises(EnvironmentProblem, match="make setup EXTRAS=cluster"):
        handed.grade(tmp_path / "out", cluster="tcp://127.0.0.1:9")


def test_a_node_that_is_lost_costs_no_verdict(handed, cluster, tmp_path):
    for number in range(12):
        handed.hand_in(f"student{number:02}", SOLUTION + f"\n# {number}\n")
    handed.grade(tmp_path / "here", workers=1)
    killed = []

    def progress(done, total, seconds_left):
        if not killed:
            killed.append(cluster.workers[0].pid)
            cluster.workers[0].process.process.kill()

    code = handed.grade(tmp_path / "there", cluster=cluster.scheduler_address, progress=progress)

    assert (code, len(killed)) == (0, 1)
    assert tables(tmp_path / "here") == tables(tmp_path / "there")


def test_a_scheduler_that_is_lost_is_named_and_what_is_done_is_in_the_tables(handed, tmp_path):
    distributed = pytest.importorskip("distributed")
    for number in range(8):
        handed.hand_in(f"student{number}", SOLUTION + f"\n# {number}\n")
    running = distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None, silence_logs=50)
    done = []

    def progress(count, total, seconds_left):
        done.append(count)
        if count == 1:
            running.close()

    with pytest.raises(EnvironmentProblem, match=f"The scheduler at {running.scheduler_address} was lost"):
        handed.grade(tmp_path / "out", cluster=running.scheduler_address, progress=progress)

    assert len(rows(tmp_path / "out")) == done[-1] < 8


class Future:
    """A future of Dask's that has come to its end."""

    def __init__(self, status, value=None):
        self.status = status
        self.value = value

    def result(self, timeout):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    def exception(self, timeout):
        if isinstance(self.value, TypeError):
            raise self.value
        return self.value


def test_what_becomes_of_a_task_is_an_answer_or_the_reason_that_there_is_none():
    distributed = pytest.importorskip("distributed")
    nodes = object.__new__(remote.Nodes)
    nodes.address = "tcp://node:1"
    killed = distributed.KilledWorker("run", None, 3)

    got = [
        nodes._answer(future)
        for future in (
            Future("finished", b"bytes"),
            Future("finished", ["no bytes"]),
            Future("finished", TypeError("serialized with pickle")),
            Future("error", killed),
            Future("error", TypeError("serialized with pickle")),
            Future("error", BrokenPipeError("pipe\x1b\nmore")),
        )
    ]

    assert got[:3] == [b"bytes", b"", b""]
    assert [one.why for one in got[3:]] == [
        "The nodes that ran it ended, one after the other.",
        "The node raised something that cannot be read.",
        "The node raised BrokenPipeError: pipe ",
    ]
    lacking = Future("error", ModuleNotFoundError("No module named 'grader'", name="grader"))
    for future, said in ((lacking, "has no such kit"), (Future("cancelled"), "was lost"), (Future("lost"), "was lost")):
        with pytest.raises(EnvironmentProblem, match=said):
            nodes._answer(future)


class Client:
    """A client of Dask's whose tasks end with these futures, and whose scheduler may be gone."""

    status = "running"

    def __init__(self, *futures, is_there=True):
        self.futures = list(futures)
        self.is_there = is_there
        self.submitted = []

    def submit(self, function, payload, **options):
        self.submitted.append(payload)
        future = self.futures.pop(0)
        future.add_done_callback = lambda call: call(future)
        return future

    def nthreads(self):
        if not self.is_there:
            raise OSError("closed")
        return {"node": 1}


def nodes_with(client):
    nodes = object.__new__(remote.Nodes)
    nodes.address, nodes._client = "tcp://node:1", client
    nodes._finished, nodes._running, nodes._payloads = queue.SimpleQueue(), {}, {}
    nodes._lost_before = Counter()
    nodes.hand_in(7, b"payload")
    return nodes


def test_an_answer_that_was_lost_with_its_node_is_asked_for_again():
    pytest.importorskip("distributed")
    client = Client(Future("lost"), Future("cancelled"), Future("finished", b"bytes"))

    number, answer = nodes_with(client).take_out()

    assert (number, answer) == (7, b"bytes")
    assert client.submitted == [b"payload"] * 3


@pytest.mark.parametrize(
    "client",
    [Client(Future("lost"), is_there=False), Client(*[Future("lost") for _ in range(9)])],
    ids=["gone", "again"],
)
def test_where_the_scheduler_is_gone_or_it_happens_again_and_again_that_is_told(client):
    pytest.importorskip("distributed")

    with pytest.raises(EnvironmentProblem, match="was lost"):
        nodes_with(client).take_out()

    assert 1 <= len(client.submitted) <= 1 + remote.RETRIES


def test_a_pickle_from_a_node_is_not_read(cluster):
    distributed = pytest.importorskip("distributed")
    nodes = remote.Nodes(cluster.scheduler_address)
    with nodes, distributed.Client(cluster.scheduler_address, set_as_default=False) as trusting:
        future = nodes._client.submit(range, 3, pure=False)
        finished = threading.Event()
        future.add_done_callback(lambda done: finished.set())
        assert finished.wait(60)

        answer = nodes._answer(future)

        assert answer == b""
        assert trusting.submit(range, 3, pure=False).result() == range(3)  # so there was something to read


def test_importing_the_module_loads_no_dask():
    program = "import sys, grader.system.remote, grader.verbs.batch; print('distributed' in sys.modules)"

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "False"


def test_outcomes_are_told_and_read_without_a_difference():
    frames = (("a.py", 3, "shares"),)
    raised = Raised("ValueError", ("ValueError", "Exception", "BaseException"), "m", frames, depth=1)
    for outcome in (Value(np.arange(3)), raised, Died("timeout", "5")):
        got, _ = replayed(wire.encode(remote._told(outcome)), Call("shares", (1,)))
        assert packed(got) == packed(outcome)
        assert type(got) is type(outcome)
