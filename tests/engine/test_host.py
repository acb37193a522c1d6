"""A worker may hang, die, flood or send rubbish: what comes of it is an outcome, and the next worker is fine."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from grader.logic import wire
from grader.model.errors import EnvironmentProblem
from grader.model.types import Call, Cell, Died, Limits, Raised, Submission, Value
from grader.system import host
from grader.system.host import Server
from grader.system.launch import can_fork
from grader.system.sandbox import LAYERS
from grader.verbs.check import missing_layers

SOURCE = """
import os, sys, time
import numpy as np

state = []


def twice(x):
    state.append(1)
    return 2 * x


def hang():
    while True:
        pass


def sleep():
    time.sleep(1000)


def leave(how, status):
    if how == "sys.exit":
        sys.exit(status)
    if how == "os._exit":
        os._exit(status)
    os.kill(os.getpid(), status)


def channel():
    for number in reversed(range(3, 64)):
        try:
            os.fstat(number)
            return number
        except OSError:
            pass


def send(data, then=None):
    os.write(channel(), data)
    return then


def flood(data):
    number = channel()
    while True:
        os.write(number, data)


def close_and_stay():
    os.close(channel())
    while True:
        pass


def say(text, times):
    for _ in range(times):
        print(text)
    return "said"


def how_often():
    return len(state)


def torch_is_loaded():
    return "torch" in sys.modules


def fails(depth):
    if depth:
        return fails(depth - 1)
    raise LookupError("nothing here")
"""
ALLOWED = ("os", "sys", "time", "numpy")
SHORT = Limits(call_seconds=0.3)
STARTS = [pytest.param(True, marks=pytest.mark.skipif(not can_fork(), reason="no fork here")), False]


@pytest.fixture(scope="module", params=STARTS, ids=["fork", "spawn"])
def server(request):
    with Server(fork=request.param) as server:
        yield server


def opened(server, source=SOURCE, limits=None):
    worker = server.open(limits or Limits())
    worker.loaded = worker.load(Submission("s.py", (Cell(source),)), "toy", ALLOWED, "s.py")
    return worker


def outcome(server, name, *args, limits=None):
    with opened(server, limits=limits) as worker:
        assert worker.loaded.died is None and worker.loaded.failures == []
        return worker.answer(Call(name, args))


def is_fine(server):
    """The next worker answers, and knows nothing of the one before."""
    with opened(server) as worker:
        return worker.answer(Call("how_often")) == Value(0) and worker.answer(Call("twice", (4,))) == Value(8)


# ---------------------------------------------------------------- answers


def test_answers_come_in_order(server):
    with opened(server) as worker:
        answers = [worker.answer(Call("twice", (x,))) for x in (1, 2.5, "ab", [1])]
        often = worker.answer(Call("how_often"))

    assert [answer.value for answer in answers] == [2, 5.0, "abab", [1, 1]]
    assert often == Value(4)


def test_calls_sent_ahead_are_answered_in_order(server):
    calls = [Call("twice", (np.full(3, x),)) for x in range(20)]
    with opened(server) as worker:
        worker.send_ahead(b"".join(map(host.request_frame, calls)))
        answers = [worker.collect(call) for call in calls]

    assert [answer.value.tolist() for answer in answers] == [[2 * x] * 3 for x in range(20)]


def test_large_arrays_cross_both_ways(server):
    x = np.arange(2_000_000.0)

    answer = outcome(server, "twice", x)

    np.testing.assert_array_equal(answer.value, 2 * x)


def test_loading_tells_the_callables_and_the_cells_that_failed(server):
    cells = (
        Cell("def f(): pass", 1),
        Cell("1 / 0", 2),
        Cell("import socket", 3),
        Cell("def g(:", 4),
        Cell("h = len", 5),
    )

    with server.open(Limits()) as worker:
        loaded = worker.load(Submission("a.ipynb", cells), "toy", ALLOWED, "a.ipynb")

    assert {"f", "h"} <= set(loaded.names) and "g" not in loaded.names
    assert [label for label, _ in loaded.failures] == ["a.ipynb, cell 2", "a.ipynb, cell 3", "a.ipynb, cell 4"]
    assert [raised.type for _, raised in loaded.failures] == ["ZeroDivisionError", "ForbiddenImport", "SyntaxError"]
    assert loaded.failures[1][1].forbidden == "socket"


def test_an_exception_tells_its_type_and_its_lines_in_the_student_s_file(server):
    raised = outcome(server, "fails", 3)

    line = SOURCE.split("\n").index('    raise LookupError("nothing here")') + 1
    assert isinstance(raised, Raised)
    assert (raised.type, raised.message, raised.depth) == ("LookupError", "nothing here", 4)
    assert raised.frames[-1] == ("s.py", line, "fails")
    assert raised.is_a("LookupError") and raised.is_a("Exception") and not raised.is_a("KeyError")


def test_a_worker_has_no_torch(server):
    assert outcome(server, "torch_is_loaded") == Value(False)


# ---------------------------------------------------------------- no answer


@pytest.mark.parametrize("name", ["hang", "sleep"])
def test_no_answer_in_time_is_a_timeout(server, name):
    died = outcome(server, name, limits=SHORT)

    assert died == Died("timeout", "0.3")
    assert is_fine(server)


def test_a_file_that_does_not_end_loading_is_a_timeout(server):
    with opened(server, "while True: pass", Limits(load_seconds=0.5)) as worker:
        loaded = worker.loaded
        later = worker.answer(Call("twice", (1,)))

    assert loaded.died == later == Died("timeout", "0.5")
    assert is_fine(server)


def test_to_end_the_program_politely_is_an_exception(server):
    raised = outcome(server, "leave", "sys.exit", 0)

    assert isinstance(raised, Raised) and raised.is_a("SystemExit")


@pytest.mark.parametrize("status", [0, 1, 77])
def test_an_exit_is_told_with_its_status(server, status):
    assert outcome(server, "leave", "os._exit", status) == Died("exited", str(status))
    assert is_fine(server)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (11, "SIGSEGV")])
def test_a_kill_is_told_with_its_signal(server, number, name):
    assert outcome(server, "leave", "os.kill", number) == Died("killed", name)
    assert is_fine(server)


def test_once_dead_a_worker_stays_dead(server):
    with opened(server) as worker:
        first = worker.answer(Call("leave", ("os._exit", 3)))
        second = worker.answer(Call("twice", (1,)))

    assert first == second == Died("exited", "3")


def test_a_worker_that_closes_its_end_and_stays_is_ended(server):
    died = outcome(server, "close_and_stay", limits=Limits(call_seconds=5))

    assert isinstance(died, Died)
    assert is_fine(server)


# ---------------------------------------------------------------- rubbish


def framed(value):
    return wire.frame(value)


RUBBISH = {
    "too long a frame": b"\xff" * 8,
    "a frame of no value": b"\0" * 8,
    "an unknown tag": b"\0" * 7 + b"\1?",
    "a value and more": b"\0" * 7 + b"\2NN",
    "an array that is not there": b"\0" * 7 + b"\x0ba" + b"\x0b\x01" + b"\0" * 7 + b"\x09",
    "no tuple": framed(["value", 1]),
    "half an answer": framed(("value",)),
    "an unknown word": framed(("answer", 1)),
    "a word that is none": framed((1, 2)),
    "an exception without a type": framed(("raised", {})),
    "an exception with wrong frames": framed(
        ("raised", {"type": "A", "bases": [], "message": "", "frames": [(1, 2)], "forbidden": "", "depth": 1})
    ),
    "an exception whose message is a number": framed(
        ("raised", {"type": "A", "bases": [], "message": 3, "frames": [], "forbidden": "", "depth": 1})
    ),
    "the answer to another question": framed(("loaded", ([], []))),
    "printed numbers": framed(("printed", 3)),
}


def test_rubbish_instead_of_an_answer_is_garbled(server):
    came = {what: outcome(server, "send", data) for what, data in RUBBISH.items()}

    assert {what: getattr(died, "reason", died) for what, died in came.items()} == dict.fromkeys(RUBBISH, "garbled")
    assert is_fine(server)


def test_a_well_formed_forgery_is_an_answer_like_any_other(server):
    assert outcome(server, "send", framed(("value", 42))) == Value(42)  # it may answer wrongly; the check will see


def test_an_echo_that_does_not_fit_the_question_is_garbled(server):
    with opened(server) as worker:
        died = worker.answer(Call("send", (framed(("value", 1, [])),), echo=True))

    assert died == Died("garbled", "what it sent was not an answer")


def test_half_a_frame_and_an_end_is_an_exit(server):
    source = SOURCE.replace("return then", "os._exit(5)")
    with opened(server, source) as worker:
        died = worker.answer(Call("send", (framed(("value", 42))[:-3],)))

    assert died == Died("exited", "5")


@pytest.mark.parametrize(
    ("data", "reason"),
    [(framed(("printed", "x" * 1000)), "timeout"), (b"\0" * 65536, "garbled"), (framed(("value", 1)), None)],
    ids=["printed", "zeros", "answers"],
)
def test_a_flood_is_stopped(server, data, reason):
    with opened(server, limits=SHORT) as worker:
        came = worker.answer(Call("flood", (data,)))
        printed = sum(map(len, worker.printed))

    assert getattr(came, "reason", None) == reason
    assert printed <= SHORT.output_kb * 1024
    assert is_fine(server)


@pytest.mark.parametrize("text", ["x" * 99, "ü" * 99_999])
def test_what_is_printed_is_cut(server, text):
    limits = Limits(output_kb=2)
    with opened(server, limits=limits) as worker:
        answer = worker.answer(Call("say", (text, 1000)))
        printed = "".join(worker.printed)

    assert answer == Value("said")
    assert 1900 <= len(printed) <= 2048
    assert printed.startswith(text[:1900])


@pytest.mark.parametrize(
    "expression",
    [
        "np.zeros(3, dtype=np.longdouble)", "np.longdouble(1)", "np.zeros(2, dtype=object)", "np.array(['a'])",
        "np.datetime64('2026-01-01')", "np.ma.masked_array([1.0])", "np.asmatrix([1.0])", "{object(): 1}", "{1, 2}",
        "[[[object()]]]", "10 ** 100_000", "lambda: 1", "nested", "itself", "'\\ud800'", "type('L', (list,), {})([1])",
    ],
)  # fmt: skip
def test_values_of_every_kind_are_answers_and_nobody_dies_of_them(server, expression):
    source = f"""
import numpy as np
nested = []
for _ in range(200):
    nested = [nested]
itself = []
itself.append(itself)
def f():
    return {expression}
def g():
    return 1
"""
    with opened(server, source) as worker:
        first, second = worker.answer(Call("f")), worker.answer(Call("g"))

    assert isinstance(first, (Value, Raised)), first
    assert second == Value(1)


# ---------------------------------------------------------------- starting


def test_spawned_and_forked_workers_answer_alike():
    if not can_fork():
        pytest.skip("no fork here")
    calls = [("twice", (np.arange(3),)), ("fails", (2,)), ("leave", ("sys.exit", 3)), ("send", (b"\xff" * 8,))]

    answers = []
    for fork in (True, False):
        with Server(fork=fork) as server:
            answers.append([repr(outcome(server, name, *args)) for name, args in calls])

    assert answers[0] == answers[1]


@pytest.mark.skipif(not can_fork(), reason="no fork here")
@pytest.mark.parametrize("layer", LAYERS)
def test_with_a_layer_hidden_it_answers_and_says_what_is_missing(layer):
    with Server() as whole, opened(whole) as worker:
        usual = set(worker.layers)
    if layer not in usual:
        pytest.skip(f"{layer} does not hold on this system anyway")

    with Server(without=frozenset({layer})) as server, opened(server) as worker:
        answer = worker.answer(Call("twice", (21,)))

    assert answer == Value(42)
    assert layer in missing_layers(worker.layers)
    assert set(worker.layers) < usual


@pytest.mark.parametrize("fork", STARTS)
def test_with_every_layer_hidden_it_still_answers(fork):
    with Server(fork=fork, without=frozenset(LAYERS)) as server:
        with opened(server) as worker:
            answer = worker.answer(Call("twice", (21,)))
        hung = outcome(server, "hang", limits=SHORT)

        assert answer == Value(42)
        assert missing_layers(worker.layers) == list(LAYERS)
        assert hung == Died("timeout", "0.3")
        assert is_fine(server)


def test_a_spawned_worker_leaves_no_folder_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(host.tempfile, "tempdir", str(tmp_path))

    with Server(fork=False) as server, opened(server) as worker:
        assert len(os.listdir(tmp_path)) == 1
        worker.answer(Call("leave", ("os._exit", 1)))

    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not can_fork(), reason="no fork here")
def test_a_server_that_cannot_start_is_an_environment_problem(monkeypatch):
    monkeypatch.setattr("grader.system.launch.BOOTSTRAP", "raise SystemExit('no numpy here')")

    with Server() as server, pytest.raises(EnvironmentProblem, match="no numpy here") as caught:
        server.open(Limits())

    assert "grader doctor" in caught.value.mend


@pytest.mark.skipif(not can_fork(), reason="no fork here")
def test_a_closed_server_leaves_no_process():
    server = Server().start()
    with opened(server):
        process = server._process.pid

    server.close()

    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
