"""The README's way of updating a clone keeps the learner's work and takes the course's changes."""

import json
import os
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")

STUB = '''"""Attention."""
import numpy as np


def attend_one(query, keys, values):
    """Given."""
    return values.mean(axis=0)


def softmax(x, axis=-1):
    """The softmax of x along axis."""
    raise NotImplementedError("softmax")


def attention_weights(q, k):
    """The weights of keys for queries."""
    raise NotImplementedError("attention_weights")
'''
MINE = STUB.replace(
    '    raise NotImplementedError("softmax")\n',
    "    powers = np.exp(x - x.max(axis=axis, keepdims=True))\n"
    "    return powers / powers.sum(axis=axis, keepdims=True)\n",
)
# The text right above the learner's lines, the line that they replaced, and two places that they left alone.
THEIRS = (
    STUB.replace("The softmax of x along axis.", "The softmax of x along axis; a row of -inf gives zeros.")
    .replace('raise NotImplementedError("softmax")', 'raise NotImplementedError("step softmax")')
    .replace("The weights of keys for queries.", "The weights of the keys for each query.")
    .replace('"""Given."""', '"""Given; runs already."""')
)


def notebook(source: str) -> str:
    cells = [{"cell_type": "code", "id": "one", "metadata": {}, "outputs": [], "source": [source]}]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


class Clone:
    def __init__(self, folder, home):
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
            "GIT_EDITOR": "false",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def run(self, command, check=True):
        done = subprocess.run(
            command,
            shell=isinstance(command, str),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 or not check, f"{command}\n{done.stdout}{done.stderr}"
        return done

    def write(self, files: dict[str, str]):
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def read(self, name):
        return (self.folder / name).read_text(encoding="utf-8")

    def commit(self, files: dict[str, str]):
        self.write(files)
        self.run(["git", "add", "--all"])
        self.run(["git", "commit", "--quiet", "-m", "change"])


def readme_commands(repository) -> list[str]:
    section = (repository / "README.md").read_text(encoding="utf-8").split("## Updating", 1)[1]
    return section.split("```")[1].strip().splitlines()


@pytest.fixture
def course_and_learner(repository, tmp_path):
    """The course, and a learner's clone of it, both without a change yet."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "gitconfig").write_text("[user]\n\tname = Someone\n\temail = someone@example.org\n")
    course = Clone(tmp_path / "course", home)
    course.folder.mkdir()
    course.run(["git", "init", "--quiet"])
    course.commit(
        {
            ".gitattributes": (repository / ".gitattributes").read_text(encoding="utf-8"),
            "exercises/ex01_attention/attention.py": STUB,
            "exercises/ex01_attention/attention.ipynb": notebook("raise NotImplementedError"),
            "grader/engine.py": "VERSION = 1\n",
        }
    )
    learner = Clone(tmp_path / "learner", home)
    learner.folder.mkdir()
    learner.run(["git", "clone", "--quiet", str(course.folder), "."])
    return course, learner


def test_the_learners_lines_stay_and_the_rest_is_new(repository, course_and_learner):
    course, learner = course_and_learner
    learner.write(
        {
            "exercises/ex01_attention/attention.py": MINE,
            "exercises/ex01_attention/attention.ipynb": notebook("return mine"),
        }
    )
    course.commit(
        {
            "exercises/ex01_attention/attention.py": THEIRS,
            "exercises/ex01_attention/attention.ipynb": notebook("raise NotImplementedError  # reworded"),
            "grader/engine.py": "VERSION = 2\n",
            "exercises/ex02_rope/rope.py": "# new\n",
        }
    )

    for command in readme_commands(repository):
        learner.run(command)

    stub = learner.read("exercises/ex01_attention/attention.py")
    compile(stub, "attention.py", "exec")
    assert "return powers / powers.sum(axis=axis, keepdims=True)" in stub
    assert "The weights of the keys for each query." in stub
    assert '"""Given; runs already."""' in stub
    assert learner.read("exercises/ex01_attention/attention.ipynb") == notebook("return mine")
    assert learner.read("grader/engine.py") == "VERSION = 2\n"
    assert learner.read("exercises/ex02_rope/rope.py") == "# new\n"
    assert learner.run(["git", "status", "--porcelain"]).stdout == ""


def test_without_the_option_this_update_would_leave_conflicts(course_and_learner):
    course, learner = course_and_learner
    name = "exercises/ex01_attention/attention.py"
    learner.write({name: MINE, "exercises/ex01_attention/attention.ipynb": notebook("return mine")})
    course.commit({name: THEIRS, "exercises/ex01_attention/attention.ipynb": notebook("reworded")})

    learner.run(["git", "stash"])
    learner.run(["git", "pull", "--no-rebase"])
    popped = learner.run(["git", "stash", "pop"], check=False)

    assert popped.returncode != 0
    assert "<<<<<<<" in learner.read(name)


def test_work_moves_along_when_an_exercise_is_renumbered(repository, course_and_learner):
    course, learner = course_and_learner
    learner.write({"exercises/ex01_attention/attention.py": MINE})
    course.run(["git", "mv", "exercises/ex01_attention", "exercises/ex02_attention"])
    course.commit({"exercises/ex02_attention/attention.py": THEIRS, "exercises/ex01_tokens/tokens.py": "# new\n"})

    for command in readme_commands(repository):
        learner.run(command)

    assert "return powers / powers.sum" in learner.read("exercises/ex02_attention/attention.py")
    assert not (learner.folder / "exercises/ex01_attention").exists()


def test_a_clone_without_work_is_simply_brought_up_to_date(repository, course_and_learner):
    course, learner = course_and_learner
    course.commit({"exercises/ex01_attention/attention.py": THEIRS})
    commit, pull = readme_commands(repository)

    nothing_to_commit = learner.run(commit, check=False)
    learner.run(pull)

    assert nothing_to_commit.returncode == 1
    assert learner.read("exercises/ex01_attention/attention.py") == THEIRS
