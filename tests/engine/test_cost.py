"""What work costs, read from outside: the numbers, on every side; who may be measured and when; and what is made of it.

No time on the wall is asserted, and CPU times with wide factors only: the machine that runs this may be busy.
"""

from __future__ import annotations

import os
import select
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grader.checks import cost_of, through
from grader.logic import diagnose, wire
from grader.logic.asking import NotMeasured
from grader.logic.asserting import Record, StudentFailure
from grader.logic.variants import apply
from grader.model.errors import CourseError
from grader.model.types import COST, Call, Cell, Died, Limits, Raised, Submission, Value
from grader.system import host, meter, remote
from grader.system.careful import script_of
from grader.system.course import Course
from grader.system.host import Server
from grader.system.launch import can_fork
from grader.system.subjects import InProcess, Referee, Reference, Student
from grader.verbs.grading import Plan, Sources, record_tape, texts_from

MB = 1 << 20
SOURCE = """
import numpy as np

KEPT = []


class Thing:
    size = 3
"""
HELPERS = """
import threading
import time

import numpy as np


def spins(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return seconds


def sleeps(seconds):
    time.sleep(seconds)
    return seconds


def spins_beside(seconds):
    beside = threading.Thread(target=spins, args=(seconds,))
    beside.start()
    beside.join()
    return seconds


def takes(megabytes):
    return float(np.ones(megabytes << 17).sum())


def takes_in_parts(megabytes):
    return len([np.ones(1 << 16) for _ in range(2 * megabytes)])


def keeps(megabytes):
    submission.KEPT.append(np.ones(megabytes << 17))


def uses_what_it_keeps():
    submission.KEPT[0][...] = 2
    return float(submission.KEPT[0][-1])


def multiplies(x, times):
    for _ in range(times):
        x = x @ x / len(x)
    return x[:2, :2]


def size_of(thing):
    return thing.size


def thing():
    return submission.Thing()


def fails():
    raise LookupError("nothing here")
"""


def is_told():
    try:
        meter.demand()
    except meter.NotMeasured:
        return False
    return True


pytestmark = pytest.mark.skipif(not is_told(), reason="work is not measured on this system")


# ---------------------------------------------------------------- the numbers


def in_worker(server):
    worker = server.open(Limits(call_seconds=20.0))
    loaded = worker.load(Submission("a.py", (Cell(SOURCE),)), "a", ("numpy",), "a.py")
    assert not loaded.failures and loaded.died is None
    return worker


def in_process():
    namespace = {}
    exec(SOURCE, namespace)
    return InProcess(namespace)


NEEDS_FORK = pytest.mark.skipif(not can_fork(), reason="no fork here")
SIDES = [*(pytest.param(side, marks=NEEDS_FORK) for side in ("forked", "without layers")), "spawned", "in process"]


@pytest.fixture(scope="module", params=SIDES)
def side(request):
    return request.param


@pytest.fixture(scope="module")
def servers(side):
    """A server of the side's kind; None for the grader's own process."""
    if side == "in process":
        yield None
        return
    without = frozenset({"user", "landlock", "seccomp", "rlimits"}) if side == "without layers" else frozenset()
    with Server(fork=side != "spawned", without=without) as server:
        yield server


@pytest.fixture
def student(servers):
    if servers is None:
        yield Student(in_process(), Record({}))
        return
    with in_worker(servers) as worker:
        yield Student(worker, Record({}))


def can_be_set_back(side):
    """Whether the mark of the highest peak can: it cannot by an ordinary user, where the process hides its memory."""
    return side == "in process" or os.geteuid() == 0


def test_what_computes_costs_its_time_and_what_sleeps_costs_none(student):
    spinning, sleeping = cost_of(student, HELPERS, "spins", 0.5), cost_of(student, HELPERS, "sleeps", 0.5)

    assert (spinning.value, sleeping.value) == (0.5, 0.5)
    assert 0.45 < spinning.seconds < 2
    assert 0 <= sleeping.seconds < 0.12


def test_a_thread_that_has_ended_counts(student, side):
    if side in ("forked", "spawned"):
        with pytest.raises(StudentFailure):  # no threads in there
            cost_of(student, HELPERS, "spins_beside", 0.5)
        return

    assert 0.45 < cost_of(student, HELPERS, "spins_beside", 0.5).seconds < 2


def test_the_cost_is_that_of_one_request(student):
    through(student, HELPERS, "spins", 0.5)

    assert cost_of(student, HELPERS, "spins", 0.05).seconds < 0.25


def test_a_peak_shows_though_it_is_gone_and_an_earlier_one_does_not(student, side):
    small = cost_of(student, HELPERS, "takes", 1)
    first = cost_of(student, HELPERS, "takes", 200)
    through(student, HELPERS, "takes", 400)
    again = cost_of(student, HELPERS, "takes", 200)

    assert small.peak_bytes < 20 * MB
    assert 190 * MB <= first.peak_bytes < 260 * MB
    assert 190 * MB <= again.peak_bytes < (260 if can_be_set_back(side) else 460) * MB


def test_what_is_taken_in_advance_counts_all_the_same(student, side):
    if side == "in process":  # trusted code, in a fork that ends
        return
    through(student, HELPERS, "keeps", 300)

    assert cost_of(student, HELPERS, "uses_what_it_keeps").peak_bytes > 200 * MB


def test_objects_made_before_can_be_used(student):
    thing = student.Thing()

    assert cost_of(student, HELPERS, "size_of", thing).value == 3


def test_an_exception_is_one_as_ever(student):
    with pytest.raises(StudentFailure) as caught:
        cost_of(student, HELPERS, "fails")

    assert isinstance(caught.value.outcome, Raised)
    assert (caught.value.outcome.type, caught.value.outcome.message) == ("LookupError", "nothing here")
    assert through(student, HELPERS, "sleeps", 0) == 0


def test_the_solution_costs_what_the_same_submission_costs(student):
    x = np.full((400, 400), 0.5, np.float32)
    record = Record({})
    reference = Reference(Referee(in_process(), in_process()).ask, record)

    for _ in range(2):  # the first time takes what is kept for the next
        mine = cost_of(student, HELPERS, "multiplies", x, 60)
        theirs = cost_of(reference, HELPERS, "multiplies", x, 60)

    assert theirs.seconds / 4 < mine.seconds < theirs.seconds * 4
    assert abs(theirs.peak_bytes - mine.peak_bytes) < 40 * MB
    np.testing.assert_allclose(mine.value, theirs.value, rtol=1e-5)


# ---------------------------------------------------------------- the grader's own process


def test_the_solution_is_asked_once_and_as_it_is():
    record = Record({})
    reference = Reference(Referee(in_process(), object()).ask, record)

    cost = cost_of(reference, HELPERS, "multiplies", np.eye(4, dtype=np.float32), 1)

    assert cost.value.dtype == np.float32 and record.dtypes_of(cost.value) == "float32"


def test_what_is_measured_apart_changes_nothing_here():
    subject = in_process()

    subject.answer(Call("keeps", (1,), kind="cost", source=HELPERS))

    outcome = subject.answer(Call("uses_what_it_keeps", kind="through", source=HELPERS))
    assert isinstance(outcome, Raised) and outcome.type == "IndexError"


def test_an_object_does_not_come_back_from_apart():
    outcome = in_process().answer(Call("thing", kind="cost", source=HELPERS))

    assert isinstance(outcome, Raised) and "plain data" in outcome.message


@pytest.mark.parametrize("deed", [lambda: os._exit(1), lambda: os.kill(os.getpid(), 9)])
def test_work_apart_that_ends_without_an_answer_is_told(deed):
    with pytest.raises(RuntimeError, match="ended before it answered"):
        meter.apart(deed)


def test_work_apart_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(meter, "APART_SECONDS", 0.2)

    with pytest.raises(RuntimeError, match=r"longer than 0\.2 seconds"):
        meter.apart(lambda: [0 for _ in iter(int, 1)])


def test_memory_that_was_freed_before_does_not_hide_a_peak():
    np.ones(1 << 21)  # once it was freed, blocks of up to that size come from a heap, and are kept there
    blocks = [np.ones(1 << 16) for _ in range(500)]
    some = blocks[::8]
    del blocks

    cost = cost_of(Student(in_process(), Record({})), HELPERS, "takes_in_parts", 200)

    assert cost.peak_bytes > 190 * MB and some


def open_here():
    return len(os.listdir("/proc/self/fd"))


def children_here():
    """Of this process, ended ones too; it may have servers."""
    parents = [Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1] for name in numbers()]
    return parents.count(str(os.getpid()))


def numbers():
    return [name for name in os.listdir("/proc") if name.isdigit() and os.path.exists(f"/proc/{name}/stat")]


def test_nothing_of_work_apart_is_left():
    before = open_here(), children_here()

    data, spent = meter.apart(lambda: bytes(3 * MB))

    assert data == bytes(3 * MB) and spent.seconds >= 0
    assert (open_here(), children_here()) == before


# ---------------------------------------------------------------- where nothing is told


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


def test_where_there_is_no_proc_nothing_is_measured(server, monkeypatch, tmp_path):
    monkeypatch.setattr(meter, "PROC", str(tmp_path))

    with in_worker(server) as worker:
        for subject in (worker, in_process()):
            assert subject.answer(Call("spins", (0.1,), kind="cost", source=HELPERS)) == Value(COST)
            with pytest.raises(NotMeasured, match="not measured on this system"):
                cost_of(Student(subject, Record({})), HELPERS, "spins", 0.1)


def test_a_process_that_is_hidden_is_not_measured_and_lives_on(server, monkeypatch):
    def hidden(process):
        raise FileNotFoundError

    with in_worker(server) as worker:
        worker._meter = worker._found()
        with monkeypatch.context() as patched:
            patched.setattr(meter, "held_by", hidden)
            assert worker.answer(Call("spins", (0.1,), kind="cost", source=HELPERS)) == Value(COST)

        assert worker.answer(Call("spins", (0.1,), kind="through", source=HELPERS)) == Value(0.1)


def test_who_answers_and_is_gone_has_no_answer(server, monkeypatch):
    def gone(self):
        raise ProcessLookupError

    monkeypatch.setattr(meter.Meter, "read", gone)

    with in_worker(server) as worker:
        assert worker.answer(Call("sleeps", (0,), kind="cost", source=HELPERS)) == Died("exited", "")


LEAVES = "import sys\n\n\ndef leave():\n    sys.modules['os']._exit(3)\n"


def test_who_is_gone_before_is_found_out_as_ever(server):
    with server.open(Limits()) as worker:
        worker.load(Submission("a.py", (Cell(LEAVES),)), "a", ("sys",), "a.py")
        worker.send_ahead(host.request_frame(Call("leave")))  # its end is not heard of yet
        assert select.select([worker._control], [], [], 30.0)[0]  # the server has told by now
        outcome = worker.answer(Call("spins", (0,), kind="cost", source=HELPERS))

        assert outcome == Died("exited", "3")

    with in_worker(server) as worker:  # and the server was asked too late, to no harm
        assert 0.04 < cost_of(Student(worker, Record({})), HELPERS, "spins", 0.05).seconds < 1


# ---------------------------------------------------------------- grading

TOY = Path(__file__).resolve().parents[1] / "toy_course" / "cost"
SOURCES = Sources(Course(TOY), Course(TOY).find("relay"))
SUBMISSIONS = {variant.name: apply(SOURCES.solution, variant) for variant in SOURCES.variants}
SUBMISSIONS |= {"solution": SOURCES.solution}
WORK = "a long relay takes no more work than it needs"
MEMORY = "a long relay keeps no more than its states"
AGAIN = """
    for end in range(len(xs)):
        state, asked = np.zeros(xs[0].shape), cell.asked
        for x in xs[: end + 1]:
            state = cell(state, x)
        cell.asked = asked + 1
        found.append(state)
    return np.stack(found)
"""
LOOP = SOURCES.solution[SOURCES.solution.index("    for x in xs") :]
HOARDS = LOOP.replace("found.append(state)", "found.append(state)\n        hoard.append(np.stack(found))")
HOARDS = "    hoard = []\n" + HOARDS
SUBMISSIONS |= {
    "counts for itself": SOURCES.solution.replace(LOOP, AGAIN.lstrip("\n")),
    "hoards": SOURCES.solution.replace(LOOP, HOARDS),
    "wrong and slow": SOURCES.solution.replace(LOOP, AGAIN.lstrip("\n")).replace(
        "np.stack(found)", "np.stack(found) + 1"
    ),
}


def plan(folder=SOURCES.folder):
    sources = Sources(Course(folder.parents[1]), Course(folder.parents[1]).find("relay"))
    header = sources.header(7, "all")
    files = [folder / "test_public.py", folder / "test_hidden.py"]
    return Plan(sources.exercise, files, sources.live(), texts_from(sources.exercise, header), header, 7, "all")


def graded(*names):
    return lambda session: [session.grade(Submission("relay.py", (Cell(SUBMISSIONS[name]),))) for name in names]


def failed(report):
    return {check.name: check for check in report.checks if check.outcome != "passed"}


def test_what_is_right_passes_and_what_costs_too_much_fails(server):
    right, form, slow, large = plan().run(server, graded("solution", "filled_in", "counts for itself", "hoards"))

    assert [report.status for report in (right, form)] == ["passed"] * 2, failed(right) | failed(form)
    assert list(failed(slow)) == [WORK] and list(failed(large)) == [MEMORY]
    for check in (failed(slow)[WORK], failed(large)[MEMORY]):
        assert check.outcome == "failed" and not check.looks_like
        assert "What that costs, in time or in memory, is not what is expected." in check.message
        assert not any(character.isdigit() for character in check.message.replace("(3, 3)", "").split("\n", 1)[1])


def test_ideas_are_named_by_what_their_helpers_return(server):
    reports = plan().run(server, graded("starts_again", "forgets", "wrong and slow"))

    for name, report in zip(("starts_again", "forgets"), reports, strict=False):
        assert WORK in failed(report)
        assert {tuple(check.looks_like) for check in failed(report).values()} == {(name,)}
    assert not any(check.looks_like for check in failed(reports[2]).values())


def test_each_submission_is_measured_anew(server):
    measured = []

    def body(session):
        run_check = session.run_check

        def listening(check, subject):
            run = run_check(check, subject)
            measured.append(
                (check.name, [asked.outcome.value["seconds"] for asked in run.record.asked if run.is_measured])
            )
            return run

        session.run_check = listening
        return graded("solution", "solution", "solution")(session)

    reports = plan().run(server, body)

    assert [report.status for report in reports] == ["passed"] * 3, (list(map(failed, reports)), measured)
    for check in (WORK, MEMORY):
        seconds = [numbers[0] for name, numbers in measured if name == check]
        assert len(seconds) == len(set(seconds)) == 3


def test_nothing_else_is_under_way_while_work_is_measured(server, monkeypatch):
    events = []
    send_ahead, frame, start, read = host.Worker.send_ahead, host.Worker._frame, meter.Meter.start, meter.Meter.read

    def sending(self, frames):
        at = 0
        while at < len(frames):
            at += wire.LENGTH.size + wire.frame_length(frames[at : at + wire.LENGTH.size])
            events.append("asked")
        send_ahead(self, frames)

    def receiving(self, deadline):
        data = frame(self, deadline)
        events.append("answered")
        return data

    monkeypatch.setattr(host.Worker, "send_ahead", sending)
    monkeypatch.setattr(host.Worker, "_frame", receiving)
    monkeypatch.setattr(meter.Meter, "start", lambda self: (events.append("start"), start(self))[1])
    monkeypatch.setattr(meter.Meter, "read", lambda self: (events.append("read"), read(self))[1])

    def body(session):
        graded("solution")(session)
        events.clear()
        return graded("solution")(session)

    plan().run(server, body)

    starts = [at for at, event in enumerate(events) if event == "start"]
    assert len(starts) == 4  # of the solution in the grader's process, and of the submission, twice
    for at in starts:
        before = events[:at]
        assert before.count("asked") == before.count("answered") - 1  # the first answer says that it is there
    theirs = [events[at : at + 4] for at in starts if events[at + 1] != "read"]
    assert theirs == [["start", "asked", "answered", "read"]] * 2


def test_where_nothing_is_measured_the_points_leave_the_sum(server, monkeypatch, tmp_path):
    monkeypatch.setattr(meter, "PROC", str(tmp_path))

    (report,) = plan().run(server, graded("counts for itself"))

    assert (report.status, report.score, report.max_score) == ("passed", 2.0, 2.0)
    skipped = [check for check in report.checks if check.outcome == "skipped"]
    assert [check.name for check in skipped] == [WORK, MEMORY]
    assert {check.message for check in skipped} == {"Work is not measured on this system."}


def test_a_check_of_costs_has_to_be_marked(server, tmp_path):
    folder = Path(shutil.copytree(SOURCES.folder, tmp_path / "solutions" / SOURCES.folder.name))
    path = folder / "test_hidden.py"
    path.write_text(path.read_text(encoding="utf-8").replace("@pytest.mark.untaped\n", ""), encoding="utf-8")

    with pytest.raises(CourseError, match="costs are never twice the same"):
        plan(folder).run(server, graded("solution"))


def test_no_tape_and_no_script_holds_a_cost(server):
    call = Call("relayed", kind="cost", source="")

    assert script_of("a check", [call]) is None
    assert b"hidden:" + WORK.encode() not in record_tape(SOURCES, "all", server)


def test_a_diagnosis_sees_no_costs():
    calls = [Call("f"), Call("g", kind="cost", source="s"), Call("g", kind="cost", source="s")]
    outcomes = [Value(1), Value({"value": 2, "seconds": 0.5, "peak_bytes": 7}), Died("timeout")]

    plain = diagnose.without_costs(calls, outcomes)

    assert plain == ([calls[0], *[replace(calls[1], kind="through")] * 2], [Value(1), Value(2), Died("timeout")])


# ---------------------------------------------------------------- on a node


def asked_of_nodes(session):
    runs = [session.run_check(check, session.oracle.solution()) for check in session.order()]
    return [
        remote.asked_by(run.calls, run.outcomes, hidden=run.check.hidden, untaped=run.check.untaped) for run in runs
    ]


@pytest.fixture
def no_server_stays():
    yield
    while remote._idle:
        remote._idle.pop().close()


def test_what_ran_on_a_node_is_judged_by_what_it_cost_there(server, no_server_stays):
    def body(session):
        asked, reports = asked_of_nodes(session), []
        for name in ("solution", "counts for itself"):
            submission = Submission("relay.py", (Cell(SUBMISSIONS[name]),))
            answer = remote.run(remote.payload_of(session.exercise, submission, "relay.py", asked))
            recording = remote.recording_of(answer, session.exercise, submission, "relay.py")
            subject = remote.Replayed(session.exercise, submission, "relay.py", asked, recording)
            reports.append(session.grade(submission, subject=subject))
            assert subject.more() is None or name != "solution"
        return reports

    right, slow = plan().run(server, body)

    assert right.status == "passed", failed(right)
    assert list(failed(slow)) == [WORK]


@pytest.mark.parametrize(
    ("told", "is_one"),
    [
        ({"value": 1, "seconds": 0.5, "peak_bytes": 7}, True),
        ({"value": 1, "seconds": None, "peak_bytes": None}, True),
        ({"value": 1, "seconds": None, "peak_bytes": 7}, False),
        ({"value": 1, "seconds": float("nan"), "peak_bytes": 7}, False),
        ({"value": 1, "seconds": -1.0, "peak_bytes": 7}, False),
        ({"value": 1, "seconds": 1.0, "peak_bytes": -7}, False),
        ({"value": 1, "seconds": "0", "peak_bytes": 7}, False),
        ({"value": 1, "seconds": 0.5}, False),
        (1, False),
    ],
)
def test_a_cost_from_a_node_is_one_or_no_answer(told, is_one):
    call = Call("f", kind="cost", source="s")
    asked = remote.asked_by([call], [Value(1)], hidden=True, untaped=True)
    submission = Submission("relay.py", (Cell("x = 1"),))
    recording = remote.Recording(host.Loaded(), outcomes=[[("value", told, None)]], printed=[""])
    subject = remote.Replayed(SOURCES.exercise, submission, "relay.py", [asked], recording)
    subject.begin(None)

    assert subject.answer(call) == (Value(told) if is_one else Died("garbled", remote.NO_ANSWER))
