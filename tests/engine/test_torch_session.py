"""Grading in PyTorch: what is right passes, what is wrong is named, and what is said of it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from grader.logic.stub import cut_stub
from grader.logic.tensors import Tensor
from grader.logic.variants import apply
from grader.model.types import Call, Cell, Raised, Report, Submission, Value
from grader.system.careful import script_of
from grader.system.course import Course
from grader.system.tape import Tape, parse_tape
from grader.verbs.grading import Plan, Sources, Taped, make_plan, record_tape, texts_from

pytest.importorskip("torch")

TOY = Path(__file__).resolve().parents[1] / "toy_course" / "torch"
SOURCES = Sources(Course(TOY), Course(TOY).find("gate"))
SOLUTION = SOURCES.solution
WRONG = [variant.name for variant in SOURCES.variants if variant.kind == "wrong"]
RIGHT = [variant.name for variant in SOURCES.variants if variant.kind == "right"]


def edited(*edits: tuple[str, str], source: str = SOLUTION) -> str:
    for find, put in edits:
        assert source.count(find) == 1, find
        source = source.replace(find, put)
    return source


def blanked(*functions: str) -> str:
    """The solution with some bodies as the stub has them."""
    return cut_stub(SOLUTION, functions)


GATED = "    return (value * torch.sigmoid(gate)).to(x.dtype)\n"
RETURN = "return x + out if residual else out"
CLASS = SOLUTION[SOLUTION.index("class Gate") : SOLUTION.index("def descend")]
SUBMISSIONS = {variant.name: apply(SOLUTION, variant) for variant in SOURCES.variants} | {
    "solution": SOLUTION,
    "stub": SOURCES.stub,
    # answers of another type, dtype or shape
    "a numpy array": edited((GATED, GATED.replace(".to(x.dtype)", ".detach().float().numpy()"))),
    "a list": edited((GATED, GATED.replace(".to(x.dtype)", ".tolist()"))),
    "nothing": edited((GATED, GATED.replace("return ", "answer = "))),
    "a sparse tensor": edited((GATED, GATED.replace("\n", ".to_sparse()\n"))),
    "a pair": edited((RETURN, f"return ({RETURN.removeprefix('return ')}), 1")),
    "always float64": edited((GATED, GATED.replace("x.dtype", "torch.float64"))),
    "always bfloat16": edited((GATED, GATED.replace("x.dtype", "torch.bfloat16"))),
    "one too few": edited((GATED, GATED.replace("\n", "[..., :-1]\n"))),
    "nan": edited((GATED, GATED.replace("torch.sigmoid(gate)", "(gate - gate) / 0"))),
    "in bfloat16 all along": edited((GATED, "    value, gate = x.chunk(2, dim=-1)\n    return value * gate.sigmoid()\n")),
    # methods, classes, weights
    "without residual": edited((", *, residual: bool = False", ""), (RETURN, "return out")),
    "without hidden": edited(
        ("width: int, hidden: int", "width: int"), ("super().__init__()", "super().__init__()\n        hidden = 5")
    ),
    "no class": edited((CLASS, "")),
    "another class": SOLUTION.replace("class Gate(", "class Gated("),
    "no function": SOLUTION.replace("def descend", "def descended"),
    "no module": edited(("class Gate(nn.Module)", "class Gate"), ("        super().__init__()\n", "")),
    "no forward": edited(("def forward(", "def forwards(")),
    "no method": edited(("def hidden(self", "def gated_values(self"), ("self.hidden(x)", "self.gated_values(x)")),
    "other names": SOLUTION.replace("value_proj", "values"),
    "layers in a list": edited(
        ("self.value_proj = nn.Linear(width, hidden)", "self.layers = [nn.Linear(width, hidden), nn.Linear(width, hidden)]"),
        ("        self.gate_proj = nn.Linear(width, hidden)\n", ""),
        ("        self.out_proj = nn.Linear(hidden, width, bias=False)\n", ""),
    ),
    "a bias too many": edited((", bias=False", "")),
    "the other way round": edited(("nn.Linear(hidden, width, bias", "nn.Linear(width, hidden, bias")),
    "gating done": blanked("Gate.__init__", "Gate.hidden", "Gate.forward", "descend"),
    "layer begun": blanked("Gate.hidden", "Gate.forward"),
    "hidden blank": blanked("Gate.hidden"),
    # what PyTorch cannot do
    "whole numbers": edited(("torch.sigmoid(gate)", "torch.nn.functional.gelu(gate.long())")),
    "a sparse softmax": edited(("torch.sigmoid(gate)", "gate.to_sparse().exp()")),
    "a list of modules": edited(("return gated(torch.cat", "return nn.ModuleList([self.value_proj])(x) * (torch.cat")),
    # what is refused
    "glu": edited((GATED, "    return torch.nn.functional.glu(x, -1)\n")),
    "glu as a layer": edited((GATED, "    return nn.GLU()(x)\n")),
    "glu as a kernel": edited((GATED, "    return torch.ops.aten.glu(x, -1)\n")),
    "glu tried": edited((GATED, f"    try:\n        return nn.GLU()(x)\n    except RuntimeError:\n    {GATED}")),
    # gradients
    "detached": edited(("return x + out if residual else out", "return (x + out if residual else out).detach()")),
    "in place": edited((GATED, "    out = value.clone()\n    out.mul_(torch.sigmoid(gate))\n    return out.to(x.dtype)\n")),
}  # fmt: skip


# What is judged by public checks too, live and by tape.
IN_PUBLIC = [
    *WRONG[::2], "gates_are_not_learned", "solution", "fused_form", "a numpy array", "nan", "other names", "gating done",
    "glu",
]  # fmt: skip


def submission(source: str) -> Submission:
    return Submission("gate.py", (Cell(source),))


def plan(folder: Path = SOURCES.folder, scope: str = "all", seed: int = 7) -> Plan:
    """A plan over the live oracle, so that nothing depends on what is cached."""
    sources = Sources(Course(folder.parents[1]), Course(folder.parents[1]).find("gate"))
    files = [folder / "test_public.py"] + ([folder / "test_hidden.py"] if scope == "all" else [])
    header = sources.header(seed, scope)
    return Plan(sources.exercise, files, sources.live(), texts_from(sources.exercise, header), header, seed, scope)


def graded(names):
    return lambda session: {name: session.grade(submission(SUBMISSIONS[name])) for name in names}


@dataclass
class Results:
    """The reports on all submissions: by the live oracle with hidden checks, and by tape with public ones."""

    live: dict[str, Report] = field(default_factory=dict)
    public: dict[str, Report] = field(default_factory=dict)
    taped: dict[str, Report] = field(default_factory=dict)


@pytest.fixture(scope="module")
def results(torch_server, torch_kit):
    taped = make_plan(Course(torch_kit), Course(torch_kit).find("gate"))
    assert isinstance(taped.oracle, Tape)
    return Results(
        live=plan().run(torch_server, graded(SUBMISSIONS)),
        public=plan(scope="public").run(torch_server, graded(IN_PUBLIC)),
        taped=taped.run(torch_server, graded(IN_PUBLIC)),
    )


def failed(report: Report) -> dict[str, str]:
    """The messages of the checks that did not pass."""
    return {check.name: check.message for check in report.checks if check.outcome != "passed"}


FIRST = "the first half is gated by the second"
LAYER = "a layer projects gates and projects back"
HALF = "bfloat16 stays bfloat16"
RESIDUAL = "the residual is added where it is asked for"
GRADIENTS = "input and weights have gradients"


# ---------------------------------------------------------------- marks


@pytest.mark.parametrize("name", ["solution", *RIGHT, "glu tried", "in place"])
def test_what_is_right_gets_full_marks(results, name):
    report = results.live[name]

    assert (report.status, report.score, report.max_score) == ("passed", 12.0, 12.0), failed(report)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_fails_and_is_named(results, name):
    report = results.live[name]

    assert report.status == "failed" and report.score < 12.0
    assert {tuple(check.looks_like) for check in report.checks if check.outcome != "passed"} == {(name,)}
    says = next(variant.says for variant in SOURCES.variants if variant.name == name)
    assert all(says[1:].rstrip(".") in re.sub(r"\n +", " ", message) for message in failed(report).values())


def test_the_stub_is_not_started(results):
    report = results.live["stub"]

    assert (report.status, report.score) == ("not_started", 0.0) and "Begin with gated" in report.message


def test_public_checks_alone_fail_most_of_what_is_wrong(results):
    wrong = [name for name in IN_PUBLIC if name in WRONG]

    seen = [name for name in wrong if results.public[name].status == "failed"]

    assert len(seen) >= 4 and "gates_are_not_learned" in wrong and "gates_are_not_learned" not in seen


@pytest.mark.parametrize("name", IN_PUBLIC)
def test_without_solutions_the_verdict_is_the_same_by_tape(results, name):
    assert replace(results.taped[name], seconds=0) == replace(results.public[name], seconds=0)


def test_a_verdict_by_tape_names_wrong_ideas(results):
    for name in set(WRONG) & set(IN_PUBLIC):
        for check in results.taped[name].checks:
            assert check.outcome == "passed" or check.looks_like == [name]


# ---------------------------------------------------------------- types, dtypes, shapes


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("a numpy array", "a numpy array of dtype float32 and shape (2, 3, 4)"),
        ("a list", "a list"),
        ("nothing", "None, as from a function without a return"),
        ("a sparse tensor", "an object of type Tensor[sparse_coo]"),
    ],
)
def test_what_is_no_tensor_is_another_type(results, name, got):
    message = failed(results.live[name])[FIRST]

    assert message.split("\n") == [
        "asked      gated(x)   x (2, 3, 8)  float32",
        "expected   a torch tensor of dtype float32 and shape (2, 3, 4)",
        f"got        {got}",
    ]


def test_a_hidden_check_says_less_of_another_type(results):
    said = {name: failed(results.live[name])[HALF].split("\n")[1:] for name in ("a numpy array", "a sparse tensor")}

    assert said == {
        "a numpy array": ["expected   a torch tensor of dtype bfloat16", "got        a numpy array of dtype float32"],
        "a sparse tensor": ["expected   a torch tensor of dtype bfloat16", "got        an object of another type"],
    }


def test_the_dtype_demanded_is_the_solution_s_for_the_inputs_as_they_are(results):
    wide, narrow = failed(results.live["always float64"]), failed(results.live["always bfloat16"])

    assert wide[FIRST].endswith("expected   dtype float32\ngot        dtype float64")
    assert wide[HALF].endswith("expected   dtype bfloat16\ngot        dtype float64")
    assert narrow[FIRST].endswith("expected   dtype float32\ngot        dtype bfloat16")
    assert HALF not in narrow
    assert "expected   dtype bfloat16\ngot        dtype float32" in failed(results.live["stays_in_float32"])[HALF]


def test_rounding_of_a_dtype_is_within_its_tolerance(results):
    assert HALF not in failed(results.live["in bfloat16 all along"])


def test_another_shape_is_told(results):
    report = results.live["one too few"]

    assert "expected   shape (2, 3, 4)\ngot        shape (2, 3, 3)" in failed(report)[FIRST]
    assert "with as many axes" in failed(report)[HALF] and "(3, 5)" not in failed(report)[HALF]


def test_numbers_of_a_public_check_are_shown_and_those_of_a_hidden_one_are_not(results):
    report = results.live["nan"]

    assert re.search(r"expected +-?\d\.\d{4}.*\ngot +nan", failed(report)[FIRST])
    for check in report.checks:
        if check.hidden and check.outcome != "passed":
            assert not re.search(r"\d\.\d", check.message), check.message
    assert "the value" not in failed(report)[HALF] and "NaN is among them" in failed(report)[HALF]


def test_a_layer_that_returns_a_pair_is_told_so(results):
    assert "got        a tuple" in failed(results.live["a pair"])[LAYER]
    assert "TypeError" in failed(results.live["a pair"])[GRADIENTS]


# ---------------------------------------------------------------- methods, classes, weights


def test_a_call_of_a_method_is_named_by_its_class(results):
    nan, late = failed(results.live["nan"]), failed(results.live["climbs"])

    assert nan[LAYER].startswith("asked      Gate.forward(x)   x (2, 4, 3)  float32\n")
    assert nan[RESIDUAL].startswith("asked      Gate.forward(x, residual=True)   x (2, 5, 6)  float32\n")
    assert nan[GRADIENTS].startswith("asked      gradients of Gate.forward(x)   x (3, 6)  float32\n")
    assert nan["the gated values can be asked for"].startswith("asked      Gate.hidden(x)   x (7, 6)  float32\n")
    assert nan["values and gates have gradients"].startswith(
        "asked      gradients of gated(x)   x (5, 2, 6)  float32\n"
    )
    assert late["every weight moves downhill"].startswith(
        "asked      the weights of Gate, by name\nin         value_proj."
    )
    helper = "asked      errors_and_slope_after(slope, x, target, rate, steps)   slope (3,)  x (5, 3)  target (5, 3)"
    assert late["a model of another kind goes down too"].startswith(helper)


def test_another_signature_of_a_method_is_shown_beside_the_one_wanted(results):
    messages = failed(results.live["without residual"])

    assert list(messages) == [RESIDUAL]
    assert messages[RESIDUAL].endswith(
        "problem    Gate.forward does not take these arguments.\n"
        "expected   def forward(self, x, *, residual=False)\n"
        "got        def forward(self, x)"
    )


def test_another_signature_of_a_class_is_its_init_s(results):
    assert failed(results.live["without hidden"])[LAYER] == (
        "asked      Gate(width=3, hidden=5)\n"
        "problem    TypeError: Gate.__init__() takes 2 positional arguments but 3 were given.\n"
        "expected   def __init__(self, width, hidden)\n"
        "got        def __init__(self, width)"
    )


def test_a_class_that_is_missing_is_called_one(results):
    assert failed(results.live["no class"])[LAYER] == "problem    There is no class Gate in the file."
    assert "there is Gated. Did you mean that one?" in failed(results.live["another class"])[LAYER]
    assert results.live["no class"].score == results.live["another class"].score == 4.0


def test_a_function_that_a_helper_uses_is_missed_by_its_name(results):
    report = results.live["no function"]

    said = "problem    There is no function descend in the file, but there is descended. Did you mean that one?"
    assert failed(report)["a model of another kind goes down too"] == said
    assert report.score == 9.0


def test_a_class_that_is_no_module_has_no_weights(results):
    assert failed(results.live["no module"])[LAYER] == (
        "asked      Gate with these weights, by name\nproblem    TypeError: Gate is not a torch.nn.Module"
    )


def test_a_method_that_is_missing_is_not_there(results):
    report = results.live["no method"]

    assert list(failed(report)) == ["the gated values can be asked for"]
    assert "AttributeError" in failed(report)["the gated values can be asked for"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "other names",
            "LookupError: Gate has no weight value_proj.weight; it has values.weight, values.bias, gate_proj.",
        ),
        (
            "layers in a list",
            "LookupError: Gate has no weight value_proj.weight; it has none (layers in a plain list do not count)",
        ),
        ("a bias too many", "LookupError: Gate has weights that nobody sets: out_proj.bias"),
        ("the other way round", "ValueError: the weight out_proj.weight has shape (5, 3) where (3, 5) is wanted"),
    ],
)
def test_weights_that_are_others_are_told_by_name(results, name, problem):
    message = failed(results.live[name])[LAYER]

    assert message.startswith(f"asked      Gate with these weights, by name\nproblem    {problem}")
    assert not any(check.looks_like for check in results.live[name].checks)


@pytest.mark.parametrize(
    ("name", "check", "what"),
    [
        ("gating done", LAYER, "Gate is"),
        ("gating done", "a model of another kind goes down too", "descend, which errors_and_slope_after uses, is"),
        ("layer begun", LAYER, "Gate.forward is"),
        ("layer begun", GRADIENTS, "Gate.forward is"),
        ("layer begun", "the gated values can be asked for", "Gate.hidden is"),
        ("hidden blank", LAYER, "hidden, which Gate.forward uses, is"),
        ("no forward", LAYER, "Gate.forward is"),
        ("no forward", "the error before the step is returned", "Gate.forward is"),
    ],
)
def test_what_is_not_written_yet_is_told(results, name, check, what):
    report = results.live[name]

    assert failed(report)[check] == f"to do      {what} not written yet."
    assert next(one.outcome for one in report.checks if one.name == check) == "failed"


def test_what_is_not_written_yet_costs_nothing_else(results):
    assert results.live["gating done"].score == 3.0
    assert {check.step for check in results.live["layer begun"].checks if check.outcome != "passed"} == {
        "layer",
        "training",
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("whole numbers", "NotImplementedError: \"GeluKernelImpl\" not implemented for 'Long'"),
        (
            "a sparse softmax",
            "NotImplementedError: Could not run 'aten::exp' with arguments from the 'SparseCPU' backend",
        ),
    ],
)
def test_what_pytorch_cannot_do_is_not_taken_for_unwritten_code(results, name, said):
    report = results.live[name]

    assert said in failed(report)[FIRST] and "where      gate.py, line" in failed(report)[FIRST]
    assert "NotImplementedError. Hidden checks do not show its message." in failed(report)[HALF]
    assert not any("not written yet" in message for message in failed(report).values())
    assert {check.outcome for check in report.checks if check.step == "gating"} == {"error"}


def test_a_list_of_modules_that_is_called_is_not_taken_for_unwritten_code(results):
    message = failed(results.live["a list of modules"])[LAYER]

    assert "Module [ModuleList] is missing the required" in message and "in hidden" in message


@pytest.mark.parametrize(
    ("message", "unwritten"),
    [
        ("", True),
        ("step 2", True),
        ("write gated here", True),
        ('Module [Gate] is missing the required "forward" function', True),
        ("\"add_stub\" not implemented for 'Bool'", False),
        ("Trying to use forward AD with f that does not support it because it has not been implemented yet.", False),
        ("Cannot copy out of meta tensor; no data!", False),
        ("Padding size 4 is not supported for 2D input tensor.", False),
    ],
)
def test_an_exception_of_unwritten_code_is_told_from_pytorch_s(message, unwritten):
    assert Raised("NotImplementedError", ("NotImplementedError", "RuntimeError"), message, ()).is_unwritten is unwritten
    assert not Raised("RuntimeError", ("RuntimeError",), message, ()).is_unwritten


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("glu", "torch.nn.functional.glu"),
        ("glu as a layer", "torch.nn.functional.glu"),
        ("glu as a kernel", "PyTorch's own kernels aten::glu*"),
    ],
)
def test_what_is_refused_is_told_with_its_name_and_place(results, name, what):
    report = results.live[name]

    said = f"problem    {what} may not be called in this exercise: it is the part to write yourself."
    for check in (FIRST, HALF, LAYER, RESIDUAL):
        assert said in failed(report)[check] and "in gated" in failed(report)[check]
    assert not any(check.looks_like for check in report.checks)
    assert report.score == 2.0  # what needs no gating


def test_a_refusal_is_not_taken_for_an_idea_that_raises(torch_server, tmp_path):
    """A wrong idea that raises a RuntimeError where it is asked explains no refusal, which is one too."""
    folder = Path(shutil.copytree(SOURCES.folder, tmp_path / "solutions" / SOURCES.folder.name))
    text = (folder / "variants.toml").read_text(encoding="utf-8")
    raising = '\n[[wrong]]\nname = "raises"\nsays = "It raises."\n'
    raising += f"find = '''{GATED.strip()}'''\nput = 'return x.reshape(-1, 1, 999)'\n"
    (folder / "variants.toml").write_text(text + raising, encoding="utf-8")
    sources = [SUBMISSIONS["glu as a kernel"], edited((GATED, "    return x.reshape(1, -1, 998)\n"))]

    def body(session):
        return [session.grade(submission(source)) for source in sources]

    refused, same = plan(folder).run(torch_server, body)

    assert not any(check.looks_like for check in refused.checks)
    assert any(check.looks_like == ["raises"] for check in same.checks)


# ---------------------------------------------------------------- gradients


def test_a_result_without_a_history_has_gradients_of_zero(results):
    report = results.live["detached"]

    assert "pattern    every number is zero" in failed(report)[GRADIENTS]
    assert FIRST not in failed(report) and LAYER not in failed(report)


NEARLY_ZERO = """

@pytest.mark.step("gating")
@pytest.mark.points(1)
def test_shares_add_up_whatever_the_scores(student, reference, draw):
    x, scale, ones = draw(4, 57), draw(57, low=3, high=3), draw(4, 57, low=1, high=1)

    got = gradients_of(student.shares, ones, x, scale)

    assert_close(got, gradients_of(reference.shares, ones, x, scale))
"""
SHARES = '''

def shares(x, scale):
    """Shares of one, scaled."""
    return torch.softmax(x, -1) * scale
'''


def test_a_gradient_of_zero_has_the_rounding_errors_of_its_neighbours(torch_server, tmp_path):
    """All shares add up to one, so their sum has no gradient by the scores: in float32 there is only noise."""
    folder = Path(shutil.copytree(SOURCES.folder, tmp_path / "solutions" / SOURCES.folder.name))
    for name, more in {"test_hidden.py": NEARLY_ZERO, "gate.py": SHARES}.items():
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(more)
    right = SOLUTION + SHARES
    wrong = right.replace("torch.softmax(x, -1) * scale", "torch.softmax(x, -1) * scale + 1e-4 * x")
    noise = []

    def body(session):
        (check,) = [check for check in session.checks if check.name.startswith("shares")]
        run = session.run_check(check, session.oracle.solution())
        noise.extend([run.outcomes[-1].value[0][0].array, run.record.references[-1][0][0][0].array])
        return [session.grade(submission(source)) for source in (right, wrong)]

    passed, not_passed = plan(folder).run(torch_server, body)

    assert passed.score == passed.max_score == 13.0, failed(passed)
    assert list(failed(not_passed)) == ["shares add up whatever the scores"]
    assert 0 < np.abs(noise[0]).max() < 1e-6 and np.abs(noise[1]).max() < 1e-15


# ---------------------------------------------------------------- the session


def test_what_is_drawn_is_float32_unless_another_dtype_is_wanted(torch_server, tmp_path):
    folder = Path(shutil.copytree(SOURCES.folder, tmp_path / "solutions" / SOURCES.folder.name))
    with (folder / "test_hidden.py").open("a", encoding="utf-8") as file:
        file.write('\n\n@pytest.mark.step("gating")\n@pytest.mark.points(1)\ndef test_draws(student, draw):\n')
        for how in ("", ', dtype="float64"', ', dtype="bfloat16"', ', dtype="bfloat16", low=0, high=1'):
            file.write(f"    student.gated(draw(60, 4{how}))\n")

    def body(session):
        (check,) = [check for check in session.checks if check.name == "draws"]
        return [call.args[0] for call in session.run_check(check, session.oracle.solution()).calls]

    usual, wide, half, positive = plan(folder).run(torch_server, body)

    assert [type(x) for x in (usual, wide, half, positive)] == [Tensor] * 4
    assert [x.dtype for x in (usual, wide, half, positive)] == ["float32", "float64", "bfloat16", "bfloat16"]
    assert np.array_equal(half.array * 64, np.round(half.array * 64)) and -2 <= half.array.min() < -1.5
    assert np.array_equal(usual.array * 512, np.round(usual.array * 512)) and usual.array.max() > 1.5
    assert positive.array.min() >= 0 and positive.array.max() <= 1


def test_what_hangs_takes_along_only_what_needs_it(torch_server):
    brief = plan()
    brief.exercise = replace(brief.exercise, limits=replace(brief.exercise.limits, call_seconds=2.0))
    hanging = edited((RETURN, "while True:\n            pass"))

    report = brief.run(torch_server, lambda session: session.grade(submission(hanging)))

    passed = [check.name for check in report.checks if check.step == "layer" and check.outcome == "passed"]
    assert passed == ["the gated values can be asked for", "nothing is trained beside the weights"]


def test_attributes_are_asked_for_without_brackets():
    texts = texts_from(SOURCES.exercise, SOURCES.header(7, "all"))
    call = Call("width", target=1, kind="get", made_by="Gate")

    assert texts.asked(call, hidden=False) == "the attribute Gate.width"
    assert texts.asked(replace(call, kind="set", args=(3,)), hidden=False) == "to set Gate.width to 3"


def test_two_ideas_at_once_are_looked_for_where_that_loads_no_pytorch(torch_server):
    tape = parse_tape(record_tape(SOURCES, "public", torch_server), Path("tape"))

    assert not hasattr(Taped(tape, SOURCES.live, "torch"), "pair")
    assert Taped(tape, SOURCES.live, "numpy").pair(*WRONG[:2], []) is not None


@pytest.mark.parametrize("name", ["one too few", "glu", "gates_are_not_learned"])
def test_calls_sent_ahead_give_the_same_report_as_calls_one_by_one(results, torch_server, name):
    one_by_one = plan().run(torch_server, lambda session: session.grade(submission(SUBMISSIONS[name])))

    assert replace(one_by_one, seconds=0) == replace(results.live[name], seconds=0)


def test_only_calls_of_functions_are_sent_ahead():
    call = Call("gated", (Tensor(np.zeros(2, "float32"), "float32"),))

    assert script_of("a check", [call, call]).culprits == (("gated", ""), ("gated", ""))
    for kind in ("gradients", "through", "cost", "weights", "set_weights", "count", "cast", "get", "set"):
        assert script_of("a check", [call, replace(call, kind=kind)]) is None
    assert script_of("a check", [replace(call, target=1)]) is None


def test_the_reference_s_answers_are_exact_and_cannot_be_written_to(torch_server):
    def body(session):
        (check,) = [check for check in session.checks if check.name == FIRST]
        run = session.run_check(check, session.oracle.solution())
        return run.record.references[0], run.outcomes[0]

    (exact, dtype), native = plan().run(torch_server, body)

    assert (exact.dtype, dtype) == ("float64", "float32") and isinstance(native, Value)
    assert native.value.dtype == "float32"
    assert 0 < np.abs(exact.array - native.value.array).max() < 1e-6
    with pytest.raises(ValueError, match="read-only"):
        exact.array[...] = 0
