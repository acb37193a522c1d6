"""Grading in one pytest session: marks, order, what is shown, and what a report holds."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grader.logic.variants import apply
from grader.model.errors import CourseError
from grader.model.types import Cell, Limits, Submission
from grader.system.course import Course
from grader.system.host import Server
from grader.system.oracle import Live
from grader.system.tape import parse_tape
from grader.verbs.grading import Plan, Sources, Taped, record_tape, texts_from

TOY = Path(__file__).resolve().parents[1] / "toy_course"
SOURCES = Sources(Course(TOY), Course(TOY).find("counter"))
SOLUTION = SOURCES.solution


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    """The toy exercise's folder, to be changed."""
    return Path(shutil.copytree(TOY / "solutions" / "ex01_counter", tmp_path / "solutions" / "ex01_counter"))


def plan(folder=SOURCES.folder, scope="all", seed=7, limits=None):
    """A plan over the live oracle, so that nothing depends on what is cached."""
    course = Course(folder.parents[1])
    exercise = course.find("counter")
    sources = Sources(course, exercise)
    exercise = replace(exercise, limits=limits or exercise.limits)
    files = [folder / "test_public.py"] + ([folder / "test_hidden.py"] if scope == "all" else [])
    header = sources.header(seed, scope)
    return Plan(exercise, files, sources.live(), texts_from(exercise, header), header, seed, scope)


def submission(source=SOLUTION, name="counter.py"):
    return Submission(name, (Cell(source),))


def edited(*edits):
    source = SOLUTION
    for find, put in edits:
        assert source.count(find) == 1
        source = source.replace(find, put)
    return submission(source)


def graded(source, server, **options):
    return plan(**options).run(server, lambda session: session.grade(source))


def edit(folder, name, find, put):
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert text.count(find) == 1
    path.write_text(text.replace(find, put), encoding="utf-8")


def outcomes(report):
    return {check.name: check.outcome for check in report.checks}


# ---------------------------------------------------------------- marks


def test_the_solution_passes_with_all_points(server):
    report = graded(submission(), server)

    assert (report.status, report.score, report.max_score) == ("passed", 9.0, 9.0)
    assert set(outcomes(report).values()) == {"passed"}


def test_marks_are_partial_by_check(server):
    report = graded(edited(("return int(np.argmax(self.counts))", "return 1")), server)

    assert (report.status, report.score, report.max_score) == ("failed", 8.0, 9.0)
    failed = [check for check in report.checks if check.outcome != "passed"]
    assert [(check.name, check.points, check.earned) for check in failed] == [
        ("the most common token is the one seen most often", 1.0, 0.0)
    ]
    assert report.score == sum(check.earned for check in report.checks)


def test_a_stretch_step_holds_nothing_up(server):
    report = graded(edited(("both.counts = self.counts + other.counts", "pass")), server)

    assert (report.status, report.score, report.max_score) == ("passed", 7.0, 9.0)


def test_the_stub_is_not_started_and_earns_nothing(server):
    report = graded(submission(SOURCES.stub), server)

    assert (report.status, report.score, report.max_score) == ("not_started", 0.0, 9.0)
    assert "shares" in report.message
    assert set(outcomes(report).values()) == {"failed"}


def test_a_stub_with_one_step_done_is_failed_with_its_points(server):
    body = "    total = counts.sum()\n    return counts / max(total, 1)\n"
    blank = "    # write your code here\n    raise NotImplementedError\n"
    report = graded(submission(SOURCES.stub.replace(blank, body, 1)), server)

    assert (report.status, report.score) == ("failed", 3.0)
    unwritten = [check for check in report.checks if check.step != "shares"]
    assert all("is not written yet" in check.message and not check.looks_like for check in unwritten)


@pytest.mark.parametrize(
    "broken",
    [
        submission("def f(:"),
        submission("1 / 0"),
        submission("import socket"),
        Submission("a.py", (), "The file is empty."),
    ],
)
def test_a_file_that_cannot_be_graded_is_broken_with_the_reason(server, broken):
    report = graded(broken, server)

    assert (report.status, report.score, report.max_score) == ("broken", 0.0, 9.0)
    assert report.message


def test_a_cell_that_fails_does_not_hide_functions_defined_elsewhere(server):
    cells = (Cell("x = 1", 1), Cell(SOLUTION, 2), Cell("1 / 0", 3))

    report = graded(Submission("a.ipynb", cells), server)

    assert (report.status, report.score) == ("passed", 9.0)
    assert "cell 3" in report.message


def test_only_public_checks_are_run_where_only_these_are_asked_for(server):
    report = graded(submission(), server, scope="public")

    assert (report.scope, report.status, report.max_score) == ("public", "passed", 3.0)
    assert not any(check.hidden for check in report.checks)


# ---------------------------------------------------------------- no answer


def test_a_function_that_hangs_takes_no_other_along(server):
    hanging = edited(("total = counts.sum()", "while True: pass"))

    report = graded(hanging, server, limits=Limits(call_seconds=0.3))

    by_step = {check.step: set() for check in report.checks}
    for check in report.checks:
        by_step[check.step].add(check.outcome)
    assert by_step == {"shares": {"timeout"}, "counting": {"passed"}, "merging": {"passed"}}
    assert report.score == 6.0


OS = "next(c for c in object.__subclasses__() if c.__name__ == '_wrap_close').__init__.__globals__"


@pytest.mark.parametrize("deed", [f"{OS}['_exit'](0)", f"{OS}['kill']({OS}['getpid'](), 9)"])
def test_a_function_that_ends_its_process_takes_no_other_along(server, deed):
    report = graded(edited(("total = counts.sum()", deed)), server)

    dead = [check for check in report.checks if check.step == "shares"]
    assert report.score == 6.0
    assert {check.outcome for check in dead} == {"error"}
    assert all("before it answered" in check.message for check in dead)


# ---------------------------------------------------------------- order and secrecy


PRINTING = (
    ("    total = counts.sum()", "    print('saw', counts.tolist())\n    total = counts.sum()"),
    ("found = np.bincount", "print('added', tokens.tolist())\n        found = np.bincount"),
)


def hidden_inputs(server):
    """What the hidden checks ask, as the submission would print it."""
    seen = []

    def body(session):
        for check in session.checks:
            run = session.run_check(check, session.oracle.solution())
            seen.extend(
                (check.hidden, value.tolist()) for call in run.calls for value in call.args if hasattr(value, "tolist")
            )

    plan().run(server, body)
    public = [value for hidden, value in seen if not hidden]
    return [value for hidden, value in seen if hidden and value not in public]


def test_printed_text_comes_from_loading_and_from_public_checks_only(server):
    loud = submission(edited(*PRINTING).source + "\nprint('loaded')\n")

    first, second = plan().run(server, lambda session: [session.grade(loud), session.grade(loud)])

    assert first.printed == second.printed == "loaded\nsaw [1, 0, 2]\nadded [[4, 0, 1], [3, 4, 4]]\n"
    assert len(hidden_inputs(server)) >= 5
    assert not any(str(value) in first.printed for value in hidden_inputs(server))


def test_no_hidden_input_is_seen_before_every_public_check_is_answered(server):
    """The submission answers with all that it has seen, so an early hidden input would stand in a public answer."""
    spying = edited(
        (
            "    total = counts.sum()\n    return counts / max(total, 1)",
            "    SEEN.append(counts.tolist())\n    return str(SEEN)",
        ),
        (
            "        found = np.bincount(tokens.ravel(), minlength=len(self.counts))\n",
            "        SEEN.append(tokens.tolist())\n",
        ),
        ("        self.counts = self.counts + found\n", "        self.counts = str(SEEN)\n"),
        ("import numpy as np\n", "import numpy as np\nSEEN = []\n"),
    )
    answers = []

    def body(session):
        session.grade(submission())  # from now on the calls are known, and sent ahead
        run_check = session.run_check

        def listening(check, subject):
            run = run_check(check, subject)
            answers.append((check.hidden, str([getattr(outcome, "value", None) for outcome in run.outcomes])))
            return run

        session.run_check = listening
        return session.grade(spying)

    report = plan().run(server, body)

    order = [hidden for hidden, _ in answers]
    assert order == sorted(order) and len(order) == len(report.checks)
    shown = (
        "".join(text for hidden, text in answers if not hidden)
        + "".join(c.message for c in report.checks)
        + report.printed
    )
    unseen = [value for value in hidden_inputs(server) if len(str(value)) > 8]
    assert unseen and not any(str(value) in shown for value in unseen)
    assert any(str(unseen[0]) in text for hidden, text in answers if hidden)  # it does spy


# ---------------------------------------------------------------- calls sent ahead


TOTAL = "    total = counts.sum()"
# In the hidden check with two calls, the first is answered wrongly, so that the second is not reached one by one.
WRONG_AND_THEN = "    if counts.shape == (4,) and counts.sum() == 1: {}\n    total = counts.sum() + (len(counts) > 4)"
NASTY = {
    "the solution": (),
    "prints": PRINTING,
    "wrong at once, then hangs": ((TOTAL, WRONG_AND_THEN.format("while True: pass")),),
    "wrong at once, then exits": ((TOTAL, WRONG_AND_THEN.format("raise SystemExit")),),
    "wrong at once, then dies": ((TOTAL, WRONG_AND_THEN.format(f"{OS}['_exit'](1)")),),
    "wrong and printing": (*PRINTING, ("return counts / max(total, 1)", "return counts / max(total, 3)")),
    "raises": (("return counts / max(total, 1)", "raise KeyError(str(counts))"),),
    "hangs": (("total = counts.sum()", "while True: pass"),),
    "of another type": (("return counts / max(total, 1)", "return None"),),
    "without a function": (("def shares", "def share"),),
}


@pytest.mark.parametrize("what", NASTY)
def test_calls_sent_ahead_give_the_same_report_as_calls_one_by_one(server, what):
    nasty = edited(*NASTY[what])
    limits = Limits(call_seconds=2.0)  # on a busy machine an answer may take a while

    def ahead(session):
        session.grade(submission())
        assert all(session._scripts.get(check.name) for check in session.checks if check.step == "shares")
        return [session.grade(nasty), session.grade(nasty)]

    one_by_one = graded(nasty, server, limits=limits)
    sent_ahead, once_more = plan(limits=limits).run(server, ahead)

    assert replace(sent_ahead, seconds=0) == replace(one_by_one, seconds=0)
    assert replace(once_more, seconds=0) == replace(one_by_one, seconds=0)


def recalling(server, tape, *sources, checks=slice(None)):
    """Reports of submissions whose calls are sent ahead from the first on, as the tape has recorded them."""

    def body(session):
        known = [session.recall(check) for check in session.checks if check.step == "shares"]
        assert not any(session.recall(check) for check in session.checks if check.step != "shares")  # they hold objects
        return known, [session.grade(source) for source in sources]

    live = plan()
    return replace(live, oracle=Taped(tape, SOURCES.live, "numpy")).run(server, body)


@pytest.fixture(scope="module")
def tape(server):
    return parse_tape(record_tape(SOURCES, "all", server, 7), Path("tape"))


@pytest.mark.parametrize("what", ["the solution", "prints", "wrong and printing", "raises", "without a function"])
def test_calls_that_were_recorded_give_the_same_report_as_calls_one_by_one(server, tape, what):
    source = edited(*NASTY[what])

    known, reports = recalling(server, tape, source, source)

    assert all(known)
    assert [replace(report, seconds=0) for report in reports] == [replace(graded(source, server), seconds=0)] * 2


def test_calls_that_were_recorded_of_another_check_are_noticed_before_their_answers_count(server, tape):
    names = sorted(name for name, entry in tape._checks.items() if "script" in entry)
    scripts = {name: tape._checks[name]["script"] for name in names}
    mixed = copy.copy(tape)
    turned = dict(zip(names, [*names[1:], names[0]], strict=True))
    mixed._checks = tape._checks | {name: tape._checks[name] | {"script": scripts[turned[name]]} for name in names}

    with pytest.raises(CourseError, match=r"is not what it asks\.\n  Remove"):
        recalling(server, mixed, submission())


def test_what_is_handed_out_has_no_calls_recorded(server):
    public = parse_tape(record_tape(SOURCES, "public", server, 7), Path("tape"))

    assert {public.script(name) for name in public._checks} == {None}


# ---------------------------------------------------------------- the same answers again

SHARES = [
    "shares are the counts divided by their sum",
    "shares of many counts add up to one",
    "where nothing was counted the shares are zero",
]


def runs_of(server, *sources, **options):
    """For each submission that is graded after the solution in one session: which checks were run, and the report."""

    def body(session):
        session.grade(submission())
        session.grade(submission())  # the calls are known since the first; from this one on, so are answers
        run_check, ran = session.run_check, []
        session.run_check = lambda check, subject: ran.append(check.name) or run_check(check, subject)
        reports = []
        for source in sources:
            ran.clear()
            report = session.grade(source)
            reports.append(([name for name in SHARES if name in ran], report))
        return reports

    return plan(**options).run(server, body)


def test_a_check_that_gets_the_same_answers_is_not_run_again(server):
    other = edited((TOTAL, "    total = np.sum(counts)"))
    wrong = edited(("return counts / max(total, 1)", "return counts / max(total, 3)"))
    alike = edited(("return counts / max(total, 1)", "return (counts / max(3, total))"))

    (first, _), (second, known), (third, again) = runs_of(server, other, wrong, alike)

    assert (first, second, third) == ([], SHARES[1:2], [])  # max(total, 3) shows where the sum is one
    assert known.score < 9.0
    assert replace(known, seconds=0) == replace(again, seconds=0)


@pytest.mark.parametrize("deed", ["print('here')", "raise KeyError(4)", f"{OS}['_exit'](0)"])
def test_what_is_printed_raised_or_dead_is_looked_at_each_time(server, deed):
    nasty = edited((TOTAL, f"    {deed}\n    total = counts.sum()"))

    (first, one), (second, two) = runs_of(server, nasty, nasty)

    assert first == second == SHARES
    assert replace(one, seconds=0) == replace(two, seconds=0)


def test_no_more_answers_are_kept_than_fit(server, monkeypatch):
    monkeypatch.setattr("grader.verbs.session.MAX_KEPT", 150)

    for ran, report in runs_of(server, submission(), submission()):
        assert report.score == 9.0
        assert ran  # some were thrown out again


# ---------------------------------------------------------------- checks


def test_the_points_of_a_skipped_check_leave_the_maximum(server, folder):
    edit(
        folder,
        "test_hidden.py",
        "    nothing = np.zeros(4, dtype=np.int64)\n",
        '    pytest.skip("no zeros today")\n    nothing = 1\n',
    )

    report = graded(submission(), server, folder=folder)

    assert (report.status, report.score, report.max_score) == ("passed", 8.0, 8.0)
    (skipped,) = [check for check in report.checks if check.outcome == "skipped"]
    assert (skipped.points, skipped.earned, skipped.message) == (1.0, 0.0, "no zeros today")


@pytest.mark.parametrize(
    ("find", "put", "said"),
    [
        ("    nothing = np.zeros(4, dtype=np.int64)\n", "    nothing = nowhere\n", "NameError"),
        ("student.shares(nothing)\n", "student.shares(nothing)\n    1 / 0\n", "ZeroDivisionError"),
        ("reference.shares(nothing)", "reference.share(nothing)", "RuntimeError"),
        ("reference.shares(nothing)", "reference.shares(nothing)[17]", "IndexError"),
    ],
)
def test_a_check_that_is_broken_itself_is_the_course_s_error(server, folder, find, put, said):
    edit(folder, "test_hidden.py", find, put)

    with pytest.raises(CourseError, match=f"where nothing was counted the shares are zero' is broken: {said}"):
        graded(edited(("return counts / max(total, 1)", "return counts / max(total, 2)")), server, folder=folder)


def test_an_answer_that_a_check_stumbles_over_is_the_submission_s_error(server):
    report = graded(edited(("        return both\n", "        return 3\n")), server)

    assert report.score == 7.0
    assert {check.outcome for check in report.checks if check.step == "merging"} == {"error"}
    assert all("cannot judge" in check.message for check in report.checks if check.step == "merging")


MARKED = '@pytest.mark.step("shares")\n@pytest.mark.points(1)\ndef test_where'
PUBLIC = "test_shares_are_the_counts_divided_by_their_sum"


@pytest.mark.parametrize(
    ("find", "put", "said"),
    [
        (MARKED, "def test_where", "needs a step"),
        ('@pytest.mark.points(1)\ndef test_where', "def test_where", "and points"),
        (MARKED, MARKED.replace("shares", "share"), "needs a step"),
        ("import numpy as np\n", "import numpy as np\nimport nowhere_to_be_found\n", "nowhere_to_be_found"),
        ("def test_where_nothing", "def test_where_nothing(:\n", "cannot be collected"),
        ("test_shares_of_many_counts_add_up_to_one", PUBLIC, "Two checks of counter are named"),
    ],
)  # fmt: skip
def test_check_files_that_contradict_themselves_are_the_course_s_error(server, folder, find, put, said):
    edit(folder, "test_hidden.py", find, put)

    with pytest.raises(CourseError, match=said):
        graded(submission(), server, folder=folder)


def test_the_next_session_is_fine_after_a_broken_one(server, folder):
    edit(folder, "test_hidden.py", "import numpy as np\n", "import nowhere_to_be_found\n")
    with pytest.raises(CourseError):
        graded(submission(), server, folder=folder)

    assert graded(submission(), server).status == "passed"


def test_what_body_raises_comes_out_unchanged(server):
    class Own(Exception):
        pass

    def body(session):
        raise Own

    with pytest.raises(Own):
        plan().run(server, body)


def test_checks_may_be_parametrized_and_use_pytest_s_fixtures(server, folder):
    more = """

@pytest.mark.step("merging")
@pytest.mark.points(0.5)
@pytest.mark.parametrize("n", [2, 3])
def test_a_new_counter_is_empty(student, n, tmp_path_factory, request):
    assert request.node.name.endswith(f"[{n}]")
    assert_close(student.Counter(n).get("counts"), np.zeros(n, dtype=int))
"""
    with (folder / "test_hidden.py").open("a") as file:
        file.write(more.replace(", tmp_path_factory", ""))

    report = graded(submission(), server, folder=folder)

    assert report.score == report.max_score == 10.0
    assert {"a new counter is empty[2]", "a new counter is empty[3]"} <= outcomes(report).keys()


@pytest.mark.parametrize("alone", [False, True])
def test_hidden_checks_may_use_what_stands_in_the_public_ones_beside_them(server, folder, alone):
    with (folder / "test_public.py").open("a") as public, (folder / "test_hidden.py").open("a") as hidden:
        public.write("\n\ndef secret_of_this_folder():\n    return 1\n")
        hidden.write("\n\nfrom test_public import secret_of_this_folder as one\n\nassert one() == 1\n")
    used = plan(folder)
    used.check_files = used.check_files[alone:]

    report = used.run(server, lambda session: session.grade(submission()))

    assert report.status == "passed" and any(not check.hidden for check in report.checks) != alone
    assert plan().run(server, lambda session: session.grade(submission())).status == "passed"


def test_nothing_but_public_checks_can_be_imported_from_beside_hidden_ones(server, folder):
    (folder / "beside.py").write_text("")
    with (folder / "test_hidden.py").open("a") as hidden:
        hidden.write("\n\nimport beside\n")

    with pytest.raises(CourseError, match="No module named 'beside'"):
        plan(folder).run(server, lambda session: session.grade(submission()))


def test_checks_come_in_the_order_of_the_steps_with_public_ones_first(server):
    report = graded(submission(), server)

    assert [(check.step, check.hidden) for check in report.checks] == [
        ("shares", False), ("shares", True), ("shares", True),
        ("counting", False), ("counting", True), ("counting", True), ("counting", True),
        ("merging", False), ("merging", True),
    ]  # fmt: skip


# ---------------------------------------------------------------- seeds


def drawn(server, folder, seed):
    """What the fixture draw gives to two checks."""
    with (folder / "test_hidden.py").open("a") as file:
        for name in ("one", "two"):
            file.write(
                f'\n\n@pytest.mark.step("shares")\n@pytest.mark.points(1)\n'
                f"def test_{name}(student, draw):\n    student.shares(draw(50))\n"
            )
    calls = {}

    def body(session):
        for check in session.checks:
            if check.name in ("one", "two"):
                calls[check.name] = session.run_check(check, session.oracle.solution()).calls[0].args[0]

    plan(folder, seed=seed).run(server, body)
    return calls


def test_draws_depend_on_the_seed_and_on_the_check_and_are_exact_in_float16(server, tmp_path):
    draws = []
    for number, seed in enumerate((7, 7, 8)):
        copy = shutil.copytree(SOURCES.folder, tmp_path / str(number) / "solutions" / "ex01_counter")
        draws.append(drawn(server, Path(copy), seed))

    np.testing.assert_array_equal(draws[0]["one"], draws[1]["one"])
    assert not np.array_equal(draws[0]["one"], draws[0]["two"])
    assert not np.array_equal(draws[0]["one"], draws[2]["one"])
    x = draws[0]["one"]
    assert np.array_equal(x, x.astype("float16")) and -2 <= x.min() < -1 < 1 < x.max() <= 2


def test_a_report_names_its_seed(server):
    assert graded(submission(), server, seed=12345).seed == 12345


# ---------------------------------------------------------------- REPORT


REPORT = {
    "schema": int, "exercise": str, "submission": str, "scope": str, "seed": int, "status": str, "score": float,
    "max_score": float, "seconds": float, "message": str, "checks": list,
}  # fmt: skip
CHECK = {
    "name": str, "step": str, "hidden": bool, "points": float, "earned": float, "outcome": str, "message": str,
    "looks_like": list,
}  # fmt: skip


def contradictions(report):
    """What of a parsed report is not as the contract says; ``message`` of the whole is the one addition to it."""
    found = []
    for what, content, wanted in [("report", report, REPORT), *(("check", check, CHECK) for check in report["checks"])]:
        found += [f"{what}: {name}" for name in content.keys() ^ wanted.keys()]
        found += [f"{what}: type of {name}" for name, kind in wanted.items() if type(content.get(name)) is not kind]
    found += ["schema"] if report["schema"] != 1 else []
    found += ["scope"] if report["scope"] not in ("all", "public") else []
    found += ["status"] if report["status"] not in ("passed", "failed", "not_started", "broken") else []
    for check in report["checks"]:
        found += ["outcome"] if check["outcome"] not in ("passed", "failed", "error", "timeout", "skipped") else []
        found += ["earned"] if check["earned"] not in (0.0, check["points"]) else []
        found += ["looks_like"] if not all(type(name) is str for name in check["looks_like"]) else []
    counted = [check for check in report["checks"] if check["outcome"] != "skipped"]
    found += ["score"] if abs(report["score"] - sum(check["earned"] for check in counted)) > 1e-6 else []
    found += ["max_score"] if abs(report["max_score"] - sum(check["points"] for check in counted)) > 1e-6 else []
    return found


@pytest.mark.parametrize(
    "source",
    [SOLUTION, SOURCES.stub, "def f(:", edited(("total = counts.sum()", "total = counts.max()")).source],
    ids=["passed", "not_started", "broken", "failed"],
)
def test_a_report_is_as_the_contract_says(server, source, request):
    report = graded(submission(source, "übung.py"), server)

    parsed = json.loads(json.dumps(report.as_json()))
    assert contradictions(parsed) == []
    assert parsed["status"] == request.node.callspec.id
    assert (parsed["exercise"], parsed["submission"], parsed["scope"], parsed["seed"]) == (
        "counter",
        "übung.py",
        "all",
        7,
    )


def test_a_report_that_lies_is_found_out(server):
    true = json.loads(json.dumps(graded(submission(), server).as_json()))

    assert contradictions(true | {"score": 10.0}) == ["score"]
    assert contradictions(true | {"status": "ok"}) == ["status"]
    assert contradictions(true | {"seed": "7"}) == ["report: type of seed"]
    assert contradictions(true | {"printed": ""}) == ["report: printed"]
    for name, value, problem in [
        ("looks_like", [3], "looks_like"),
        ("outcome", "ok", "outcome"),
        ("earned", 0.5, "earned"),
        ("points", 7.0, "max_score"),
        ("hidden", 1, "check: type of hidden"),
        ("hint", "", "check: hint"),
    ]:
        first, *others = true["checks"]
        assert problem in contradictions(true | {"checks": [first | {name: value}, *others]})


def test_a_wrong_idea_is_named_in_the_report(server):
    variant = next(variant for variant in SOURCES.variants if variant.name == "last_of_a_tie")

    report = graded(submission(apply(SOLUTION, variant)), server)

    (failed,) = [check for check in report.as_json()["checks"] if check["outcome"] != "passed"]
    assert failed["looks_like"] == ["last_of_a_tie"]
    assert variant.says.split()[-1] in failed["message"]


def test_the_oracle_s_own_code_is_never_the_submission_s(server):
    """A submission named and built like the solution is still run in the worker only."""
    assert isinstance(plan().oracle, Live)
    marker = submission(SOLUTION + "\nimport builtins\nbuiltins.planted = True\n")

    report = graded(marker, server)

    import builtins

    assert report.status == "broken" and not hasattr(builtins, "planted")
