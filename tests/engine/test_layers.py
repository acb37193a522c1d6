"""Imports point down only, nothing wants POSIX at its top, and grading numpy loads no torch."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.model.types import Call, Cell, Limits, Submission
from grader.system.launch import PACKAGES, TORCH_PACKAGES

GRADER = Path(__file__).parents[2] / "grader"
LAYERS = ["model", "logic", "system", "verbs", "shell"]
POSIX = {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix", "readline", "curses"}
FILES = {path.relative_to(GRADER).as_posix(): path.read_text(encoding="utf-8") for path in GRADER.rglob("*.py")}


def modules(node: ast.AST) -> list[str]:
    """What one statement imports, with the names that it takes from there."""
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def upward(name: str, text: str) -> list[str]:
    """The engine's imports of a file, anywhere in it, that are above its layer; `checks.py` may use `logic` alone."""
    own = LAYERS.index(name.split("/")[0]) if "/" in name else len(LAYERS)
    names = [module for node in ast.walk(ast.parse(text)) for module in modules(node)]
    used = [module.split(".")[1] for module in names if module.startswith("grader.")]
    allowed = ["logic"] if name == "checks.py" else [*LAYERS[: own + 1], "__version__"]
    return [layer for layer in used if layer not in allowed]


def wants_posix(text: str) -> list[str]:
    """What a file uses when it is imported and only POSIX has: modules, and numbers of signals."""
    found, left = [], [*ast.parse(text).body]
    while left:
        node = left.pop()
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):  # their bodies run later
            found += [name for name in modules(node) if name.split(".")[0] in POSIX or name.startswith("signal.SIG")]
            found += [node.attr] if isinstance(node, ast.Attribute) and node.attr.startswith("SIG") else []
            left += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_point_down_only_and_nothing_at_the_top_is_posix(name):
    assert upward(name, FILES[name]) == []
    assert wants_posix(FILES[name]) == []


def test_the_two_readers_find_what_is_wrong():
    assert upward("logic/a.py", "def f():\n    from grader.system.host import Server") == ["system"]
    assert upward("checks.py", "from grader.model import types") == ["model"]
    assert upward("logic/a.py", "import grader.model.types\nimport ast") == []
    assert wants_posix("try:\n    import fcntl\nexcept ImportError:\n    pass") == ["fcntl"]
    assert wants_posix("from signal import SIGKILL\nclass A:\n    x = signal.SIGALRM") == ["SIGALRM", "signal.SIGKILL"]
    assert wants_posix("import signal\ndef f():\n    import pwd\n    return signal.SIGKILL") == []


PROGRAM = """
import importlib, pathlib, sys
sys.path.insert(0, {root!r})
for name in {hidden!r}:
    sys.modules[name] = None
for path in sorted(pathlib.Path({root!r}, "grader").rglob("*.py")):
    if path.stem not in ("__main__", "in_nbgrader"):  # the latter is loaded by nbgrader alone, which wants what it wants
        importlib.import_module(".".join(path.relative_to({root!r}).with_suffix("").parts).removesuffix(".__init__"))
print(sorted({{"torch", "numpy"}} & set(sys.modules)))
"""


def test_every_module_loads_where_posix_modules_are_missing_and_none_loads_torch():
    hidden = sorted(POSIX - {"posix"})  # Python itself needs that one here
    program = PROGRAM.format(root=str(GRADER.parent), hidden=hidden)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr) == ("['numpy']", "")


GRADING = """
import sys
sys.path.insert(0, {root!r})
class Watch:
    asked = []
    def find_spec(self, name, path=None, target=None):
        self.asked += [name] if name.split(".")[0] in ("torch", "einops") else []
sys.meta_path.insert(0, Watch())
{body}
print(Watch.asked)
"""


def attempted(body, folder):
    """Which of torch and einops a program wanted to import, whether or not they are installed."""
    program = GRADING.format(root=str(GRADER.parent), body=body)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, check=True)
    return done.stdout.splitlines()[-1]


def test_grading_a_numpy_exercise_imports_no_torch(toy):
    grade = "from grader.shell.commands import run\nassert run(['check', 'counter', '--as', 'least_common']) == 1"

    assert attempted(grade, toy) == "[]"
    assert attempted("try:\n    import torch\nexcept ImportError:\n    pass", toy).startswith("['torch'")


def test_a_worker_has_torch_loaded_where_the_exercise_wants_it_and_only_there(torch_server):
    source = "import sys\n\ndef loaded():\n    return [name for name in ('numpy', 'torch') if name in sys.modules]\n"
    found = []

    for packages in (TORCH_PACKAGES, PACKAGES, TORCH_PACKAGES):
        with torch_server.open(Limits(memory_mb=4096), packages) as worker:
            worker.load(Submission("s.py", (Cell(source),)), "s", ("sys",), "s.py")
            found.append(worker.answer(Call("loaded")).value)

    assert found == [["numpy", "torch"], ["numpy"], ["numpy", "torch"]]


def test_a_verdict_by_tape_on_a_torch_exercise_loads_torch_in_the_worker_alone(torch_kit, tmp_path):
    root = Path(shutil.copytree(torch_kit, tmp_path / "kit"))
    solution = Path(__file__).parents[1] / "toy_course/torch/solutions/ex01_gate/gate.py"
    wrong = solution.read_text(encoding="utf-8").replace("torch.sigmoid(gate)", "torch.tanh(gate)")
    (root / "exercises/ex01_gate/gate.py").write_text(wrong, encoding="utf-8")
    body = f"""
import sys
sys.path.insert(0, {str(GRADER.parent)!r})
from grader.shell.commands import run
code = run(["check", "gate"])
print(code, [name for name in ("numpy", "torch") if name in sys.modules])
"""

    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, cwd=root, check=True)

    assert done.stdout.splitlines()[-1] == "1 ['numpy']", done.stderr
    assert "the gates go through tanh instead of the sigmoid" in done.stdout
