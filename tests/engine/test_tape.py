"""Tapes: they judge and name as the live oracle does, and hold no code of the solution or of a variant."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grader.logic import stub, wire
from grader.logic.variants import apply
from grader.model.errors import CourseError
from grader.model.types import Call, Cell, Died, Raised, Submission, Value
from grader.system.course import Course
from grader.system.host import Server
from grader.system.tape import FORMAT, Recorder, Tape, TapeMiss, digest, fingerprint, parse_tape, read_header, read_tape
from grader.verbs.grading import Plan, Sources, make_plan, record_tape, texts_from

TOY = Path(__file__).resolve().parents[1] / "toy_course"
COURSE = Course(TOY)
COUNTER = COURSE.find("counter")
SOURCES = Sources(COURSE, COUNTER)
FILES = [SOURCES.folder / name for name in ("test_public.py", "test_hidden.py")]


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def tapes(server):
    """The tape of all checks, by seed."""
    return {seed: record_tape(SOURCES, "all", server, seed) for seed in (7, 8)}


def submissions():
    sources = {variant.name: apply(SOURCES.solution, variant) for variant in SOURCES.variants}
    sources["the solution"] = SOURCES.solution
    sources["two at once"] = SOURCES.solution.replace("counts.sum()", "counts.max(initial=0)").replace(
        "argmax", "argmin"
    )
    sources["raises"] = SOURCES.solution.replace("return counts", "return counts[100]")
    sources["nobody's idea"] = SOURCES.solution.replace("max(total, 1)", "(max(total, 1) + 17)")
    return [Submission(name, (Cell(source),)) for name, source in sources.items()]


def verdicts(oracle, seed, server, files=FILES):
    """Everything that is said of each submission but how long it took."""
    header = SOURCES.header(seed, "all")
    plan = Plan(COUNTER, files, oracle, texts_from(COUNTER, header), header, seed, "all")
    reports = plan.run(server, lambda session: [session.grade(submission) for submission in submissions()])
    return [replace(report, seconds=0) for report in reports]


# ---------------------------------------------------------------- the same verdicts


@pytest.mark.parametrize("seed", [7, 8])
def test_live_and_taped_give_the_same_verdicts(tapes, seed, server):
    tape = parse_tape(tapes[seed], Path("tape"))

    taped = verdicts(tape, seed, server)

    assert tape.seed == seed
    assert taped == verdicts(SOURCES.live(), seed, server)
    assert {report.status for report in taped} == {"passed", "failed"}
    named = {report.submission: {name for check in report.checks for name in check.looks_like} for report in taped}
    assert {name for name, looks in named.items() if looks == {name}} == set(tape.wrong)
    assert named["nobody's idea"] == named["raises"] == set()


def test_verdicts_that_differ_are_seen_to_differ(tapes, server):
    header, body = json.loads(tapes[7].partition(b"\n")[0]), tapes[7].partition(b"\n")[2]
    checks = wire.decode(zlib.decompress(body))
    for entry in checks.values():
        who, numbers = entry["who"], entry["numbers"].copy()
        numbers[who.index("least_common")] = numbers[who.index("")]
        entry["numbers"] = numbers
    edited = Tape(header, zlib.compress(wire.encode(checks)))

    assert verdicts(edited, 7, server) != verdicts(SOURCES.live(), 7, server)


def test_what_is_recorded_is_what_each_variant_answers(tapes):
    tape, live = parse_tape(tapes[7], Path("tape")), SOURCES.live()

    for name in ("", *tape.wrong):
        subject = live.variant(name) if name else live.solution()
        shares = next(outcome for outcomes in tape.recorded(name) for outcome in outcomes)
        expected = subject.answer(Call("shares", (np.array([1, 0, 2]),)))
        np.testing.assert_array_equal(shares.value, expected.value)


# ---------------------------------------------------------------- misses


def test_a_tape_of_another_seed_misses(tapes, server):
    tape = parse_tape(tapes[8], Path("tape"))

    with pytest.raises(CourseError, match="does not hold the check 'shares of many counts add up to one' with seed 7"):
        verdicts(tape, 7, server)


def test_other_calls_than_recorded_are_misses(tapes):
    tape = parse_tape(tapes[7], Path("tape"))
    check = "public:shares are the counts divided by their sum"
    asked = Call("shares", (np.array([1, 0, 2]),))

    assert tape.reference(check, 0, asked)[0].tolist() == pytest.approx([1 / 3, 0, 2 / 3])
    assert tape.answers(check, [asked]).answer(tape.answers(check, [asked]).number("divides_by_the_largest", 0))
    for other in (
        Call("shares", (np.array([1, 0, 3]),)),
        Call("shares", (np.array([1, 0, 2], "int32"),)),
        Call("shares", (np.array([[1, 0, 2]]),)),
        Call("share", asked.args),
        Call("shares", (), {"counts": asked.args[0]}),
        replace(asked, echo=True),
        replace(asked, target=1),
    ):
        fresh = parse_tape(tapes[7], Path("tape"))
        with pytest.raises(TapeMiss):
            fresh.reference(check, 0, other)
        assert fresh.answers(check, [other]) is None
    with pytest.raises(TapeMiss):
        tape.reference(check, 1, asked)
    with pytest.raises(TapeMiss):
        tape.reference("public:no such check", 0, asked)
    assert tape.answers("public:no such check", [asked]) is None


def test_a_check_that_asks_more_than_was_recorded_misses(tapes):
    tape = parse_tape(tapes[7], Path("tape"))
    check = "public:shares are the counts divided by their sum"
    asked = Call("shares", (np.array([1, 0, 2]),))

    assert tape.answers(check, [asked]) is not None
    assert tape.answers(check, [asked, asked]) is None


# ---------------------------------------------------------------- what is written and read


def test_every_kind_of_outcome_is_recorded_and_read_back():
    call = Call("f", (1,))
    outcomes = [
        Value({"a": [np.ones((2, 0)), None, "ü", True]}, [3.5]),
        Value((1, 2.0)),
        Raised("MyError", ("ValueError", "Exception"), "a secret message", (("file.py", 3, "f"),)),
        Died("timeout"),
    ]
    recorder = Recorder()
    recorder.check("c", [call] * 4, outcomes, {"w": outcomes[::-1]})
    recorder.reference("c", call, np.float32(2), ["float32"])

    data = recorder.written({"seed": 3, "ideas": {"w": {}}})
    tape = parse_tape(data, Path("tape"))

    (solution,), (wrong,) = tape.recorded(), tape.recorded("w")
    assert repr(solution[:2]) == repr(outcomes[:2])
    assert solution[2] == Raised("MyError", ("ValueError", "Exception"), "", ())
    assert not isinstance(solution[3], Value)
    assert repr(wrong) == repr(solution[::-1])
    assert tape.reference("c", 0, call) == (np.float32(2), ["float32"])
    assert b"a secret message" not in zlib.decompress(data.partition(b"\n")[2])


def test_equal_answers_are_kept_once():
    calls = [Call("f", (number,)) for number in range(50)]
    recorder = Recorder()

    recorder.check("c", calls, [Value(np.ones(100))] * 50, {"w": [Value(np.ones(100))] * 50})

    body = zlib.decompress(recorder.written({"ideas": {"w": {}}}).partition(b"\n")[2])
    assert body.count(np.ones(100).tobytes()) == 1


def test_a_digest_depends_on_everything_in_a_call():
    calls = [
        Call("f", (1,)), Call("f", (1.0,)), Call("f", (True,)), Call("f", ([1],)), Call("f", ((1,),)), Call("g", (1,)),
        Call("f", (), {"a": 1}), Call("f", (1,), target=1), Call("f", (1,), echo=True), Call("f", (1,), kind="set"),
        Call("f", (np.ones((2, 3)),)), Call("f", (np.ones((3, 2)),)), Call("f", (np.ones((2, 3), "float32"),)),
    ]  # fmt: skip

    assert len({digest(call) for call in calls}) == len(calls)
    assert digest(Call("f", (np.ones((4, 3))[::2],))) == digest(Call("f", (np.ones((2, 3)),)))


def test_a_fingerprint_depends_on_every_text_and_where_it_ends():
    assert fingerprint(["ab", "c"]) == fingerprint([b"ab", "c"])
    assert len({fingerprint(texts) for texts in (["ab", "c"], ["a", "bc"], ["abc"], ["ab", "d"], ["c", "ab"])}) == 5


# ---------------------------------------------------------------- damage


def damaged(data):
    head, _, body = data.partition(b"\n")
    header = json.loads(head)
    yield "empty", b""
    yield "no header", body
    yield "half", data[: len(data) // 2]
    yield "half a header", data[:100]
    yield "no body", head + b"\n"
    yield "one byte off", data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
    yield "cut by one", data[:-1]
    yield "another format", json.dumps(header | {"format": FORMAT + 1}).encode() + b"\n" + body
    yield "no format", json.dumps({k: v for k, v in header.items() if k != "format"}).encode() + b"\n" + body
    yield "a list", b"[1]\n" + body
    yield "a number", b"7\n" + body
    yield "no ideas", json.dumps({k: v for k, v in header.items() if k != "ideas"}).encode() + b"\n" + body
    yield "another body", head + b"\n" + zlib.compress(wire.encode([1, 2]))
    yield "a page of the web", b"<!DOCTYPE html>\n<html></html>"
    yield "a pointer of git lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"


def test_a_damaged_tape_is_named_with_its_mend(tapes, tmp_path):
    for what, data in damaged(tapes[7]):
        path = tmp_path / f"{what}.tape"
        path.write_bytes(data)

        with pytest.raises(CourseError) as caught:
            read_tape(path)

        assert str(path) in caught.value.message, what
        assert "make build" in caught.value.mend, what


def test_a_damaged_cache_or_a_damaged_tape_is_no_obstacle_where_the_solution_is(toy, server):
    course = Course(toy)
    exercise = course.find("counter")
    course.tape_file(exercise).write_bytes(b"rubbish")

    plan = make_plan(course, exercise, scope="public")
    report = plan.run(server, lambda session: session.grade(submissions()[0]))

    assert report.status == "failed"


# ---------------------------------------------------------------- secrecy


def squeezed(text):
    return "".join(text.split())


def secrets():
    """Lines of the solution that were taken out, what variants put in their place, and the hidden checks."""
    lines = [line for body in stub.bodies(SOURCES.solution, COUNTER.blanked).values() for line in body.split("\n")]
    for variant in SOURCES.variants:
        lines += [line for edit in variant.edits for line in edit.put.split("\n")] + variant.replace.split("\n")
    lines += SOURCES.text("test_hidden.py").split("\n")
    handed_out = squeezed(SOURCES.stub + SOURCES.text("test_public.py"))
    return {line for line in map(squeezed, lines) if len(line) > 11 and line not in handed_out}


def leaks(tape_bytes):
    head, _, body = tape_bytes.partition(b"\n")
    content = squeezed(json.dumps(json.loads(head), ensure_ascii=False) + zlib.decompress(body).decode("latin-1"))
    return [secret for secret in secrets() if secret in content or secret.replace('"', '\\"') in content]


@pytest.mark.parametrize("scope", ["public", "all"])
def test_no_code_of_solution_variant_or_hidden_check_is_in_a_tape(scope, server):
    data = record_tape(SOURCES, scope, server)

    assert leaks(data) == []


def test_a_leak_would_be_found(tapes):
    head, _, body = tapes[7].partition(b"\n")
    line = "return len(self.counts) - 1 - int(np.argmax(self.counts[::-1]))"
    in_header = json.dumps(json.loads(head) | {"more": line}).encode() + b"\n" + body
    in_body = head + b"\n" + zlib.compress(zlib.decompress(body) + wire.encode(line))

    assert len(secrets()) > 30
    assert leaks(in_header) == leaks(in_body) == [squeezed(line)]


def test_the_public_tape_knows_nothing_of_hidden_checks(toy):
    tape = read_tape(Course(toy).tape_file(COUNTER))

    assert tape.header["scope"] == "public"
    with pytest.raises(TapeMiss):
        tape.reference("hidden:where nothing was counted the shares are zero", 0, Call("shares", (np.zeros(4, int),)))
    assert all(name.startswith("public:") for name in tape._checks)


def test_the_header_can_be_read_alone(toy):
    path = Course(toy).tape_file(COUNTER)

    header = read_header(path)

    assert (header["exercise"], header["seed"], header["format"]) == ("counter", 7, FORMAT)
    assert set(header["ideas"]) == {variant.name for variant in SOURCES.variants if variant.kind == "wrong"}
    assert header["ideas"]["last_of_a_tie"]["convention"] == "the smallest token wins"
