"""tools/bootstrap.py: what it runs, when it leaves all alone, and what it says when something is missing.

Nothing here installs anything: the programs that would are replaced, inside by `Programs`, outside by shell scripts.
"""

import ast
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

posix = pytest.mark.skipif(os.name == "nt", reason="the stand-in programs are shell scripts")


class Programs:
    """Stands for the programs that bootstrap starts: notes each command, makes the venv's interpreter, answers."""

    def __init__(self, clone, torch="", fails=None):
        self.clone = clone
        self.torch = torch
        self.fails = fails or {}
        self.commands = []

    def __call__(self, command, cwd):
        self.commands.append([str(part) for part in command])
        line = " ".join(self.commands[-1])
        for words, output in self.fails.items():
            if words in line:
                return 1, output
        if "venv" in command:
            Path(self.clone.python).parent.mkdir(parents=True, exist_ok=True)
            Path(self.clone.python).touch()
        if "version('torch')" in line:
            return (0, self.torch + "\n") if self.torch else (1, "PackageNotFoundError")
        if "sys.version_info" in line:
            return 0, "3 12 1\n"
        if "torch==" in line:
            self.torch = command[-1].split("==")[1]
        return 0, ""

    def installs(self):
        return [command for command in self.commands if "install" in command]


@pytest.fixture
def clone(bootstrap, clone_folder):
    return bootstrap.Clone(str(clone_folder))


@pytest.fixture
def set_up(bootstrap, clone):
    """set_up(*extras, programs=…, …) as main calls it, without a word on the screen."""

    def call(*extras, programs, clone=clone, **options):
        return bootstrap.set_up(clone, set(extras), run=programs, say=lambda line: None, **options)

    return call


# ---- what it installs, and when


def test_a_fresh_clone_gets_a_venv_and_then_the_core_under_the_constraints(clone, set_up):
    programs = Programs(clone)

    changed = set_up(programs=programs)

    assert changed
    assert programs.commands[0] == [sys.executable, "-m", "venv", clone.venv]
    (install,) = programs.installs()
    assert install[:3] == [clone.python, "-m", "pip"]
    assert install[-4:] == ["-c", clone.constraints, "-e", "."]


def test_what_is_set_up_is_left_alone(clone, set_up):
    set_up("dev", programs=Programs(clone))
    again = Programs(clone)

    assert not set_up("dev", programs=again)
    assert not set_up(programs=again)
    assert again.commands == []


def test_a_new_extra_is_added_to_those_that_are_there(clone, set_up):
    set_up("dev", programs=Programs(clone))
    programs = Programs(clone)

    changed = set_up("plots", programs=programs)

    assert changed
    assert programs.installs()[0][-1] == ".[dev,plots]"
    assert not any("venv" in command for command in programs.commands)


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_list_is_installed_anew_with_the_extras_that_are_there(clone, clone_folder, set_up, name):
    set_up("nbgrader", programs=Programs(clone))
    with open(clone_folder / name, "a") as file:
        file.write("# changed\n")
    programs = Programs(clone)

    changed = set_up(programs=programs)

    assert changed
    assert programs.installs()[0][-1] == ".[nbgrader]"
    assert not set_up(programs=Programs(clone))


def test_a_new_package_folder_is_installed_anew(clone, clone_folder, set_up):
    set_up(programs=Programs(clone))
    (clone_folder / "lab").mkdir()

    assert set_up(programs=Programs(clone))


def test_a_clone_that_was_moved_gets_a_new_venv_with_its_old_extras(bootstrap, clone, clone_folder, set_up):
    set_up("dev", programs=Programs(clone))
    moved = bootstrap.Clone(str(clone_folder.rename(clone_folder.with_name("moved"))))
    programs = Programs(moved)

    changed = set_up(programs=programs, clone=moved)

    assert changed
    assert programs.commands[0] == [sys.executable, "-m", "venv", "--clear", moved.venv]
    assert programs.installs()[0][-1] == ".[dev]"


def test_a_venv_whose_interpreter_is_gone_is_made_anew(clone, set_up):
    set_up(programs=Programs(clone))
    os.remove(clone.python)
    programs = Programs(clone)

    changed = set_up(programs=programs)

    assert changed
    assert "--clear" in programs.commands[0]


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00", '{"extras": []}'])
def test_a_damaged_stamp_counts_for_nothing(clone, set_up, content):
    set_up(programs=Programs(clone))
    Path(clone.stamp_file).write_text(content)

    assert set_up(programs=Programs(clone))
    assert not set_up(programs=Programs(clone))


def test_a_set_up_that_failed_is_tried_again(bootstrap, clone, set_up):
    with pytest.raises(bootstrap.Problem):
        set_up(programs=Programs(clone, fails={"-e .": "ERROR: no"}))

    assert set_up(programs=Programs(clone))


@pytest.mark.parametrize("taken_back", [False, True])
def test_after_an_update_that_failed_nothing_counts_as_set_up(bootstrap, clone, clone_folder, set_up, taken_back):
    before = (clone_folder / "constraints.txt").read_text()
    set_up("dev", programs=Programs(clone))
    (clone_folder / "constraints.txt").write_text("torch==2.13.0\n")
    with pytest.raises(bootstrap.Problem):
        set_up(programs=Programs(clone, fails={"-e .": "ERROR: no"}))
    if taken_back:
        (clone_folder / "constraints.txt").write_text(before)
    programs = Programs(clone)

    assert set_up(programs=programs)
    assert programs.installs()[0][-1] == ".[dev]"


def test_uv_does_the_work_where_it_is(clone, set_up):
    programs = Programs(clone)

    set_up("dev", programs=programs, uv="/bin/uv")

    assert programs.commands[0] == ["/bin/uv", "venv", "--python", sys.executable, clone.venv]
    (install,) = programs.installs()
    assert install[:5] == ["/bin/uv", "pip", "install", "--python", clone.python]
    assert install[-4:] == ["-c", clone.constraints, "-e", ".[dev]"]


def test_a_venv_of_uvs_without_pip_gets_one_when_uv_is_gone(clone, set_up):
    programs = Programs(clone, fails={"import pip": "No module named pip"})

    set_up(programs=programs)

    assert [clone.python, "-m", "ensurepip"] in programs.commands


# ---- PyTorch: the CPU build or none, by pip, never a newer one


@pytest.fixture
def on_linux(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Linux")


def torch_installs(programs):
    return [command for command in programs.installs() if command[-1].startswith("torch")]


@pytest.mark.parametrize("uv", ["", "/bin/uv"])
def test_on_linux_the_cpu_build_is_asked_for_by_name_and_by_pip(clone, set_up, on_linux, uv):
    programs = Programs(clone)

    set_up("dev", programs=programs, torch="if at hand", uv=uv)

    (install,) = torch_installs(programs)
    assert install[:3] == [clone.python, "-m", "pip"]
    assert install[-3:] == ["-c", clone.constraints, "torch==2.13.0+cpu"]


def test_elsewhere_the_plain_name_is_the_cpu_build(clone, set_up, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    programs = Programs(clone)

    set_up(programs=programs, torch="if at hand")

    assert torch_installs(programs)[0][-1] == "torch==2.13.0"


def test_the_tests_go_on_without_it_and_say_so_once(bootstrap, clone, on_linux):
    said = []
    programs = Programs(clone, fails={"torch==": "ERROR: No matching distribution found for torch==2.13.0+cpu"})

    changed = bootstrap.set_up(clone, {"dev"}, "if at hand", run=programs, say=said.append)
    again = Programs(clone)
    changed_again = bootstrap.set_up(clone, {"dev"}, "if at hand", run=again, say=said.append)

    assert changed and not changed_again
    assert again.commands == []
    assert sum("No CPU build of PyTorch" in line for line in said) == 1


def test_asked_for_by_name_and_not_to_be_had_names_two_ways_out(bootstrap, clone, set_up, on_linux):
    programs = Programs(clone, fails={"torch==": "ERROR: No matching distribution found for torch==2.13.0+cpu"})

    with pytest.raises(bootstrap.Problem) as problem:
        set_up(programs=programs, torch="needed")

    assert "--index-url https://download.pytorch.org/whl/cpu" in str(problem.value)
    assert "--any-torch-build" in str(problem.value)
    assert len(torch_installs(programs)) == 1
    assert not set_up(programs=Programs(clone)), "the rest is set up"
    assert set_up(programs=Programs(clone), torch="needed"), "and this is tried again"


def test_another_build_comes_only_when_asked_for_and_pinned_too(clone, set_up, on_linux):
    programs = Programs(clone)

    set_up(programs=programs, torch="needed", any_torch_build=True)

    assert torch_installs(programs)[0][-1] == "torch==2.13.0"


def test_a_torch_that_is_there_is_kept(clone, set_up, on_linux):
    programs = Programs(clone, torch="2.9.1")

    set_up(programs=programs, torch="needed")

    assert torch_installs(programs) == []
    assert not set_up(programs=Programs(clone), torch="needed")


def test_without_its_pin_it_is_not_installed_at_all(bootstrap, clone, clone_folder, set_up, on_linux):
    (clone_folder / "constraints.txt").write_text("numpy==2.4.6\n")
    programs = Programs(clone)

    with pytest.raises(bootstrap.Problem, match="does not pin torch"):
        set_up(programs=programs, torch="needed")

    assert torch_installs(programs) == []


# ---- what is missing, with its mend


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "The disk is full.",
        ),
        ("WARNING: NewConnectionError(...): [Errno -3] Temporary failure in name resolution", "could not be reached"),
        ("error: Failed to fetch: `https://pypi.org/simple/numpy/`\n  Caused by: dns error", "could not be reached"),
        (
            "Collecting numpy\nERROR: No matching distribution found for numpy==9",
            "could not install what the kit needs",
        ),
    ],
)
def test_a_failed_installation_says_why_in_one_message(bootstrap, clone, set_up, output, words):
    with pytest.raises(bootstrap.Problem) as problem:
        set_up(programs=Programs(clone, fails={"-e .": output}))

    assert words in str(problem.value)
    assert len(str(problem.value).splitlines()) <= 4
    assert Path(clone.log).read_text(encoding="utf-8") == output


def test_a_failed_installation_by_uv_names_the_way_back_to_pip(bootstrap, clone, set_up):
    with pytest.raises(bootstrap.Problem, match="--no-uv"):
        set_up(programs=Programs(clone, fails={"-e .": "error: no"}), uv="/bin/uv")


def test_only_the_lines_that_say_what_went_wrong_are_shown(bootstrap):
    output = "\n".join(["Collecting numpy"] * 50 + ["ERROR: no such version", "and so on"])

    assert bootstrap.excerpt(output).split() == ["ERROR:", "no", "such", "version"]


@pytest.mark.parametrize(
    ("version", "words"), [("3 8 18\n", "is Python 3.8.18"), ("", "does not start"), (None, "does not start")]
)
def test_somebody_elses_venv_that_will_not_do_is_named(bootstrap, clone, set_up, version, words):
    Path(clone.python).parent.mkdir(parents=True)
    Path(clone.python).touch()
    answer = (1, "") if version is None else (0, version)

    with pytest.raises(bootstrap.Problem, match=words) as problem:
        set_up(programs=lambda command, cwd: answer)

    assert "Delete that folder" in str(problem.value)


def call(folder, *arguments, before="", path=None):
    """bootstrap.py as a program of its own, after the lines `before`, with `path` as its PATH."""
    script = folder / "tools" / "bootstrap.py"
    code = (
        f"import runpy, sys\nsys.argv[0] = {str(script)!r}\n{before}\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    )
    environment = {**os.environ, "PATH": str(folder / "nothing") if path is None else str(path)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder.parent, env=environment, capture_output=True, text=True
    )


def test_too_old_a_python_is_told_which_it_needs(clone_folder):
    done = call(clone_folder, before="sys.version_info = (3, 8, 18, 'final', 0)")

    assert done.returncode == 2
    assert done.stderr.startswith("Python 3.10 or newer is needed; this is 3.8.18 (")
    assert "make start PYTHON=python3.12" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert not (clone_folder / ".venv").exists()


@posix
def test_too_old_a_python_is_told_of_a_newer_one_that_is_there(clone_folder, tmp_path):
    newer = tmp_path / "python3.11"
    newer.write_text("#!/bin/sh\n")
    newer.chmod(0o755)

    done = call(clone_folder, before="sys.version_info = (3, 8, 18, 'final', 0)", path=tmp_path)

    assert "python3.11 is here: make start PYTHON=python3.11" in done.stderr


def test_every_line_is_python_3_6_so_that_an_old_one_gets_the_sentence(clone_folder):
    source = (clone_folder / "tools" / "bootstrap.py").read_text(encoding="utf-8")

    tree = ast.parse(source, feature_version=(3, 6))

    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported <= {name for name in sys.stdlib_module_names} | {"importlib.util"}
    with pytest.raises(SyntaxError):
        ast.parse(source + "\nif (n := 1):\n    pass\n", feature_version=(3, 6))


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_the_venv_module_says_what_to_install(clone_folder, module):
    done = call(clone_folder, before=f"sys.modules[{module!r}] = None")

    assert done.returncode == 2
    assert f"no module {module}," in done.stderr
    assert f"sudo apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in done.stderr
    assert "install uv" in done.stderr
    assert not (clone_folder / ".venv").exists()


@posix
def test_a_python_without_the_venv_module_is_enough_where_uv_is(clone_folder, tmp_path):
    uv = tmp_path / "uv"
    uv.write_text(
        '#!/bin/sh\necho "$@" >> "$0.notes"\n'
        'if [ "$1" = venv ]; then\n'
        "    for folder; do :; done\n"
        '    /bin/mkdir -p "$folder/bin" && : > "$folder/bin/python"\n'
        "fi\n"
    )
    uv.chmod(0o755)

    done = call(clone_folder, "core", before="sys.modules['ensurepip'] = None", path=tmp_path)

    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in Path(f"{uv}.notes").read_text().splitlines()] == ["venv", "pip"]


def put_interpreter(folder, body):
    """A .venv in the clone whose `python` is the shell script `body`."""
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n" + body)
    python.chmod(0o755)
    return python


@posix
def test_pip_failing_ends_with_code_2_and_one_message(clone_folder):
    put_interpreter(
        clone_folder,
        'case "$*" in\n'
        '    *install*) echo "Collecting numpy"; echo "ERROR: No matching distribution found for numpy" >&2; exit 1;;\n'
        "    *version_info*) echo 3 12 1;;\n"
        "esac\n",
    )

    done = call(clone_folder, "core")

    assert done.returncode == 2
    assert "pip could not install what the kit needs." in done.stderr
    assert "No matching distribution found for numpy" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Collecting" not in done.stdout + done.stderr


def test_an_unknown_extra_is_named_with_those_there_are(clone_folder):
    done = call(clone_folder, "tensorflow")

    assert done.returncode == 2
    assert "no such extra: tensorflow" in done.stderr
    assert "nbgrader" in done.stderr


# ---- run


@posix
def test_run_calls_the_venvs_programs_with_their_arguments_and_exit_status(bootstrap, clone_folder):
    python = put_interpreter(clone_folder, 'echo "$VIRTUAL_ENV"; printf "%s|" "$@"; exit 7\n')
    bootstrap.Clone(os.path.realpath(clone_folder)).write_stamp([], None)

    done = call(clone_folder, "run", "--", "python", "-m", "pytest", "a file", "--flag")

    assert done.returncode == 7, done.stderr
    assert done.stdout.splitlines() == [os.path.realpath(python.parent.parent), "-m|pytest|a file|--flag|"]


@posix
def test_run_sets_up_the_core_first_where_it_is_missing(clone_folder):
    put_interpreter(clone_folder, 'case "$*" in *version_info*) echo 3 12 1;; *) echo "$@" >> "$0.notes";; esac\n')

    done = call(clone_folder, "run", "--", "python", "-m", "grader")

    assert done.returncode == 0, done.stderr
    calls = (clone_folder / ".venv" / "bin" / "python.notes").read_text().splitlines()
    assert calls[-3].endswith("-e .")
    assert calls[-2] == "-m compileall -q grader"
    assert calls[-1] == "-m grader"


@posix
def test_run_names_a_program_that_is_not_there(bootstrap, clone_folder):
    put_interpreter(clone_folder, "")
    bootstrap.Clone(os.path.realpath(clone_folder)).write_stamp([], None)

    done = call(clone_folder, "run", "--", "no_such_program")

    assert done.returncode == 2
    assert "There is no program no_such_program" in done.stderr


def test_run_without_a_command_is_wrong_usage(clone_folder):
    done = call(clone_folder, "run")

    assert done.returncode == 2
    assert "usage" in done.stderr
