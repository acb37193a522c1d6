"""`check` in a cell: what it says, of what has been run so far, in a real IPython and beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from grader.logic.notebook import cells_of, code_of
from grader.model.errors import UsageError
from grader.model.types import Call, Cell, Limits, Submission, Value
from grader.shell import in_notebook, screen
from grader.system.host import Server

ENGINE_ROOT = Path(__file__).resolve().parents[2]
IMPORT = "from grader.shell.in_notebook import check"
STUB = "raise NotImplementedError"
KERNEL = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

config = Config()
config.HistoryManager.hist_file = ":memory:"
shell = InteractiveShell.instance(config=config)
for cell_id, source in json.loads(sys.argv[1]):
    print(chr(30), end="")
    shell.run_cell(source, store_history=True, cell_id=cell_id)
"""


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture
def book(toy):
    """The printed notebook's code cells, in order."""
    data = json.loads((toy / "exercises" / "ex01_counter" / "counter.ipynb").read_text(encoding="utf-8"))
    return [cell.source for cell in cells_of(data)]


@pytest.fixture
def asked(toy, server):
    """The text for cells, a step, an exercise; ``asked.passed``: whether all passed, the last time."""

    def asked(cells, step="", exercise="counter", folder=toy):
        numbered = [[number, code_of(source)] for number, source in enumerate(cells, start=1)]
        request = {"folder": str(folder), "exercise": exercise, "step": step, "cells": numbered}
        said, asked.passed = in_notebook.verdict(request, server)
        return said

    return asked


@pytest.fixture
def kernel(toy, tmp_path):
    """Run cells in an IPython of their own; what each printed. A cell is a text, or (id, text)."""
    pytest.importorskip("IPython")

    def kernel(*cells, folder=toy / "exercises" / "ex01_counter"):
        wanted = [cell if isinstance(cell, tuple) else (None, cell) for cell in cells]
        # The folder of the notebook comes first on a kernel's path, as it does here with -c.
        environment = {**os.environ, "PYTHONPATH": str(ENGINE_ROOT), "IPYTHONDIR": str(tmp_path / "ipython")}
        ended = subprocess.run(
            [sys.executable, "-X", "utf8", "-c", KERNEL, json.dumps(wanted)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )
        assert ended.stderr == ""
        return ended.stdout.split(chr(30))[1:]

    return kernel


def call(step=""):
    words = ", ".join(json.dumps(word) for word in ("counter", step) if word)
    return f"# grader: check\n{IMPORT}\n\ncheck({words})"


def solved(cells, solution):
    """The cells with the solution's code behind them: the last definition counts."""
    return [*cells, solution.partition("def main")[0]]


# ---------------------------------------------------------------- what it says


def test_the_untouched_notebook_is_not_started(asked, book):
    text = asked(book, "shares")

    assert text.startswith("counter   0 of 3 points   not started")
    assert "Nothing is written yet. Begin with shares" in text
    assert len(text.splitlines()) <= 3


def test_a_step_that_is_not_written_says_so_before_the_others_were_run(asked, book):
    text = asked(book[: book.index(next(cell for cell in book if "def shares" in cell)) + 1], "shares")

    assert "to do      shares is not written yet." in text
    assert "Counting tokens" not in text


def test_a_right_step_passes_and_names_the_next(asked, book):
    text = asked([*book, "def shares(counts):\n    return counts / max(counts.sum(), 1)"], "shares")

    assert "✓ Counts as shares of one" in text
    assert "next       Counting tokens" in text
    assert text.splitlines()[0].endswith("public checks")


def test_a_wrong_one_gets_its_diagnosis_and_the_way_to_a_hint(asked, book):
    text = asked([*book, "def shares(counts):\n    return counts / counts.max()"], "shares")

    assert "✗ Counts as shares of one" in text
    assert "looks like" in text
    assert "grader hint counter" in text


def test_the_whole_solution_is_to_be_saved_and_checked(asked, book, solution):
    for step in ("shares", "merging", ""):
        text = asked(solved(book, solution), step)

        assert text.startswith("counter   3 of 3 points")
        assert "next       save the notebook, then in a terminal: grader check counter" in text


def test_without_a_step_the_first_unfinished_one_is_shown(asked, book):
    text = asked([*book, "def shares(counts):\n    return counts / max(counts.sum(), 1)"])

    assert "✓ Counts as shares of one" in text
    assert "to do      Counter.add is not written yet" in text or "add is not written yet" in text
    assert "Only the public checks were run." in text


def test_a_failing_cell_is_named_by_the_number_in_brackets_and_hides_nothing(asked, book, solution):
    text = asked([*solved(book, solution), "x = 1\nx[0]"], "shares")

    assert f"cell [{len(book) + 2}]" in text and "TypeError" in text
    assert "✓ Counts as shares of one" in text


def test_what_was_not_run_yet_is_to_be_run(asked, book):
    assert asked(book[:1], "counting") == "counter: Counter has not been run yet. Run the cell first."
    assert asked([]) == "counter: nothing of it has been run yet. Run the notebook's cells first."
    assert "✓ Counts as shares of one" in asked(["shares = lambda counts: counts / max(counts.sum(), 1)"], "shares")


def test_wrong_names_are_mended(asked, book):
    with pytest.raises(UsageError) as exercise:
        asked(book, exercise="conter")
    with pytest.raises(UsageError) as step:
        asked(book, "share")
    with pytest.raises(UsageError) as far_off:
        asked(book, "zzz")

    assert "Did you mean counter?" in screen.problem(exercise.value)
    assert "Did you mean shares?" in screen.problem(step.value)
    assert "There are: shares, counting, merging." in screen.problem(far_off.value)


@pytest.mark.parametrize("ending", ["shares = lambda counts: counts * 2", "print('x' * 500)", "def shares(c", "1/0"])
def test_every_screen_keeps_to_the_rules(asked, book, ending):
    for step in ("shares", "counting", ""):
        text = asked([*book, ending], step)

        assert [line for line in text.splitlines() if len(line) > screen.WIDTH] == []
        assert "\x1b" not in text and "Traceback" not in text and str(ENGINE_ROOT) not in text


def test_display_and_get_ipython_break_nothing(asked, book):
    cell = "display(3)\nget_ipython().run_line_magic('time', '')\nshell = get_ipython()\n\n\n"
    cell += "def shares(counts):\n    display(counts)\n    return counts / max(counts.sum(), 1)"

    text = asked([*book, cell], "shares")

    assert "✓ Counts as shares of one" in text
    assert "printed" in text and "problem" not in text


def test_a_future_import_and_type_hints_hold_across_cells(server):
    cells = (
        Cell("from __future__ import annotations\nimport dataclasses\nimport typing", 1),
        Cell("def twice(x: Nothing | Known) -> Nothing:\n    return Pair(x, x).sum()", 2),
        Cell("@dataclasses.dataclass\nclass Pair:\n    a: No\n    b: int = 0\n    sum = lambda p: p.a + p.b", 3),
        Cell("class Known(typing.NamedTuple):\n    pair: Pair\n\ndisplay(Known(Pair(1)))", 4),
    )

    with server.open(Limits()) as worker:
        loaded = worker.load(Submission("book", cells), "book", ("dataclasses", "typing", "__future__"), "book")
        answer = worker.answer(Call("twice", (3,)))

    assert loaded.failures == []
    assert answer == Value(6)
    assert "".join(worker.printed) == "Known(pair=Pair(a=1, b=0))\n"


# ---------------------------------------------------------------- in IPython


def test_a_session_at_work(kernel, book):
    right = "def shares(counts):\n    return counts / max(counts.sum(), 1)"
    wrong = right.replace("max(counts.sum(), 1)", "counts.max()")

    said = kernel(
        *book,
        call("shares"),
        ("a", wrong),
        call("shares"),
        ("a", f"{right}\nshares(3)"),
        call("shares"),
        ("a", right.replace("1)", "1")),
        call("shares"),
        ("a", right),
        call("shares"),
        "check('counter')",
        ("b", "%%time\n!true\nshares(np.array([1, 3]))"),
        call("counting"),
    )

    untouched, _, diagnosed, _, failing, _, syntax, _, mended, bare, _, counting = said[len(book) :]
    assert "not started" in untouched
    assert "looks like" in diagnosed
    assert f"cell [{len(book) + 4}] " in failing and "AttributeError" in failing and "✓ Counts" in failing
    assert f"cell [{len(book) + 6}] is not valid Python" in syntax and "✓ Counts" not in syntax
    assert "✓ Counts" in mended and "problem" not in mended
    assert "✓ Counts" in bare and "problem" not in bare
    assert "not written yet" in counting and "problem" not in counting


def test_the_process_stays_and_ends_with_the_kernel(kernel, book):
    pid = "print(in_notebook._process._process.pid)"

    said = kernel(*book, f"from grader.shell import in_notebook\n{pid}", call("shares"), call("shares"), pid)

    first, one, two, last = said[len(book) :]
    assert one.splitlines()[1:] == two.splitlines()[1:] != []
    assert first == last
    assert has_ended(int(first))


def has_ended(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="signals are a matter of POSIX")
def test_a_process_that_was_killed_is_started_again(kernel, book):
    kill = "import os\nfrom grader.shell import in_notebook\nos.kill(in_notebook._process._process.pid, 9)"

    said = kernel(*book, call("shares"), f"# grader: demo\n{kill}", call("shares"))

    assert "not started" in said[-1]


def test_the_kernels_folder_holds_no_trap(kernel, book, toy):
    folder = toy / "exercises" / "ex01_counter"
    (folder / "pytest.py").write_text("raise SystemExit('this is not pytest')", encoding="utf-8")

    assert "not started" in kernel(*book, call("shares"), folder=folder)[-1]


def test_it_works_from_another_folder_by_the_course_of_the_engine(kernel, tmp_path):
    (said,) = kernel(f"{IMPORT}\ncheck('attention', 'softmax')", folder=tmp_path)

    assert said == "attention: softmax has not been run yet. Run the cell first.\n"


def test_a_wrong_name_is_said_without_a_trace(kernel):
    (said,) = kernel(f"{IMPORT}\ncheck('conter')")

    assert said == "There is no exercise 'conter'.\n  Did you mean counter?\n"


def test_the_example_ends_without_an_error_whatever_is_missing(kernel):
    run = "# grader: demo\nfrom grader.shell.in_notebook import example\nwith example():\n    print(1)\n    "

    said = kernel(f"{run}later()", f"{run}raise NotImplementedError", f"{run}1 / 0")

    assert said[0] == "1\n\nnext: later is not there yet: its cell stands further down\n"
    assert said[1] == "1\n\nnext: what comes now is not written yet\n"
    assert "ZeroDivisionError" in said[2]


# ---------------------------------------------------------------- where nbgrader runs it

VALIDATING = "# grader: demo\nimport os\nos.environ['NBGRADER_EXECUTION'] = 'validate'"
RAISES = """\
# grader: demo
from grader.shell.in_notebook import check
try:
    check({words})
except AssertionError as error:
    print("raised", error)
    print(*error._render_traceback_(), sep="|")
"""


@pytest.mark.parametrize("words", ["'counter', 'shares'", "'counter'", "'counter', 'share'", "'conter'"])
def test_nbgraders_own_kernel_is_told_by_an_error_that_not_all_passes(kernel, book, words):
    wrong = "def shares(counts):\n    return counts / counts.max()"
    ask = RAISES.format(words=words)

    shown, raised = kernel(*book, wrong, ask, VALIDATING, ask)[-3::2]

    assert "raised" not in shown and shown.strip()
    verdict, _, told = raised.partition("raised ")
    assert verdict.splitlines()[1:] == shown.splitlines()[1:]  # the first line holds the time
    assert "Not every public check of " in told and "top folder" in told
    assert "|".join(verdict.splitlines()[1:]) in told


def test_nbgraders_own_kernel_goes_on_after_what_is_right(kernel, book):
    right = "def shares(counts):\n    return counts / max(counts.sum(), 1)"

    said = kernel(*book, right, VALIDATING, call("shares"), call("counting"))

    assert "✓ Counts" in said[-2] and "Not every" not in said[-2]
    assert "Not every public check of counting passes" in said[-1]


def test_what_is_broken_or_not_started_has_not_passed(asked, book, solution):
    asked(solved(book, solution), "shares")
    assert asked.passed
    asked(solved(book, solution))
    assert asked.passed
    for cells, step in (
        (book, "shares"),
        ([*book, "def shares(counts:"], "shares"),
        (book[:1], "shares"),
        ([*book, "def shares(counts):\n    return counts / max(counts.sum(), 1)"], ""),
    ):
        asked(cells, step)
        assert not asked.passed


def test_a_persons_kernel_shows_the_verdict_and_raises_nothing(monkeypatch, capsys):
    monkeypatch.setattr(in_notebook, "_process", SimpleNamespace(ask=lambda request: ("said", False)))
    monkeypatch.setenv(
        "NBGRADER_EXECUTION", "validate"
    )  # as after a validation in the same JupyterLab that ended in an error

    monkeypatch.setattr(in_notebook, "_shell", lambda: a_shell("x = 1"))
    in_notebook.check("attention", "softmax")
    monkeypatch.setattr(in_notebook, "_shell", lambda: a_shell("x = 1", history=":memory:"))
    with pytest.raises(AssertionError, match="public check of softmax"):
        in_notebook.check("attention", "softmax")
    monkeypatch.delenv("NBGRADER_EXECUTION")
    in_notebook.check("attention", "softmax")

    assert capsys.readouterr().out == "said\n" * 3


# ---------------------------------------------------------------- beside it


def test_outside_of_a_notebook_it_says_where_to_go(capsys):
    in_notebook.check("attention")

    assert capsys.readouterr().out == (
        "check(…) grades the cells of a notebook, so it works in one only.\n"
        "A file is graded in a terminal: grader check attention\n"
    )


def a_shell(*sources, exceptions=None, history="history.sqlite"):
    manager = SimpleNamespace(input_hist_raw=["", *sources], hist_file=history)
    if exceptions is not None:
        manager.exceptions = exceptions
    return SimpleNamespace(history_manager=manager, events=SimpleNamespace(register=lambda name, function: None))


def test_what_is_not_known_of_a_cell_stays_open():
    (old,) = in_notebook._Memory().runs(a_shell("x = 1"))
    one, two = in_notebook._Memory().runs(a_shell("x = 1", "1 / 0", exceptions={2: {}}))

    assert (old.number, old.cell, old.raised) == (1, "", None)
    assert (one.raised, two.raised) == (False, True)


@pytest.mark.parametrize("message", [{}, None, {"metadata": {}}, {"metadata": {"deletedCells": None}}])
def test_another_front_end_says_nothing_of_deleted_cells(message):
    shell, memory = a_shell("x = 1"), in_notebook._Memory()
    shell.get_parent = lambda: message
    memory.listen(shell)

    memory.hear_of_deleted()

    assert memory.deleted == set()


def test_jupyters_word_on_deleted_cells_is_heard():
    shell, memory = a_shell("x = 1"), in_notebook._Memory()
    shell.get_parent = lambda: {"metadata": {"deletedCells": ["a"]}}
    memory.listen(shell)

    memory._ran(SimpleNamespace(execution_count=1, success=False, info=SimpleNamespace(cell_id="b")))

    assert memory.deleted == {"a"}
    assert [(ran.cell, ran.raised) for ran in memory.runs(shell)] == [("b", True)]


def test_an_interrupted_call_leaves_no_answer_for_the_next(monkeypatch, capsys):
    process = in_notebook._Process()
    process.start()
    running = process._process
    monkeypatch.setattr(in_notebook, "_process", process)
    monkeypatch.setattr(in_notebook, "_shell", lambda: a_shell("x = 1"))
    monkeypatch.setattr(in_notebook.json, "loads", interrupted)

    in_notebook.check("attention")

    assert capsys.readouterr().out == "Stopped.\n"
    assert process._process is None and running.returncode is not None


def test_a_cell_that_was_deleted_before_the_call_does_not_count(monkeypatch, capsys):
    shell, asked = a_shell("x = 1", "y = 2"), []
    shell.get_parent = lambda: {"metadata": {"deletedCells": ["a"]}}
    monkeypatch.setattr(in_notebook, "_shell", lambda: shell)
    monkeypatch.setattr(in_notebook, "_memory", in_notebook._Memory())
    monkeypatch.setattr(
        in_notebook, "_process", SimpleNamespace(ask=lambda request: asked.append(request) or ("said", True))
    )
    in_notebook._memory._seen = {1: ("a", False), 2: ("b", False)}

    in_notebook.check("attention", "softmax")

    assert capsys.readouterr().out == "said\n"
    assert asked[0]["cells"] == [[2, "y = 2"]]


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_process_that_cannot_be_started_is_said(monkeypatch, capsys):
    monkeypatch.setattr(in_notebook, "_process", in_notebook._Process())
    monkeypatch.setattr(in_notebook, "_shell", lambda: a_shell("x = 1"))
    monkeypatch.setattr(in_notebook, "BOOTSTRAP", "raise SystemExit")

    in_notebook.check("attention")

    assert capsys.readouterr().out == (
        "The process that grades could not be reached (it ended twice before it answered).\n"
        "In a terminal: grader check attention\n"
    )
