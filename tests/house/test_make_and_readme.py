"""What the README says of make, of the tree and of the closing line is so."""

import re
import shutil
import subprocess
import sys

import pytest

SETTINGS_OF_GIT = {".gitignore", ".gitattributes", ".gitmodules"}


def recipes(makefile: str) -> dict[str, list[str]]:
    """{target: its commands}, with the variables as the README writes them."""
    found: dict[str, list[str]] = {}
    target = None
    for line in makefile.splitlines():
        if head := re.match(r"([a-z]+):", line):
            target = found.setdefault(head[1], [])
        elif line.startswith("\t") and target is not None:
            target.append(line.strip().replace("$(PYTHON)", "python3").replace("$(EXTRAS)", "core"))
    return found


def table_rows(readme: str) -> dict[str, list[str]]:
    """{target: the plain commands beside it} of the README's table."""
    rows = re.findall(r"^\| `make ([a-z]+)` \| (.*?) \|", readme, re.MULTILINE)
    return {target: re.findall(r"`([^`]+)`", commands) for target, commands in rows}


def tree_names(readme: str) -> list[str]:
    block = readme.split("## The tree", 1)[1].split("```")[1]
    return [line.split()[0] for line in block.strip().splitlines()]


@pytest.fixture
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def makefile(repository):
    return (repository / "Makefile").read_text(encoding="utf-8")


def test_everything_that_make_does_has_its_plain_commands_in_the_readme(readme, makefile):
    by_make = recipes(makefile)
    del by_make["help"]

    assert table_rows(readme) == by_make
    assert set(by_make) == {"setup", "start", "check", "test", "build", "bench"}
    assert all(by_make.values())


def test_a_command_that_only_make_knows_is_seen(readme, makefile):
    changed = makefile.replace("bootstrap.py dev\n", "bootstrap.py dev\n\techo one more\n")

    assert table_rows(readme)["check"] != recipes(changed)["check"]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_bare_make_names_every_target_and_touches_nothing(repository, makefile):
    done = subprocess.run(["make", "-C", str(repository)], capture_output=True, text=True, check=True)

    assert not {target for target in recipes(makefile) if target != "help" and f"make {target} " not in done.stdout}
    assert "bootstrap" not in done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_the_interpreter_and_the_extras_can_be_chosen(repository):
    command = ["make", "-n", "-C", str(repository), "setup", "PYTHON=python3.12", "EXTRAS=plots torch"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "python3.12 tools/bootstrap.py plots torch" in done.stdout


def test_every_name_in_the_tree_exists(repository, readme):
    names = tree_names(readme)

    assert [name for name in names if not (repository / name).exists()] == []
    assert [name for name in names if name.endswith("/") != (repository / name).is_dir()] == []
    assert len(names) > 10


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
def test_the_tree_leaves_nothing_out(repository, readme):
    command = ["git", "-C", str(repository), "ls-files"]
    listing = subprocess.run(command, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("this is no git clone")
    named = {name.split("/")[0] for name in tree_names(readme)}

    present = {line.split("/")[0] for line in listing.stdout.splitlines() if (repository / line).exists()}

    assert present - named - SETTINGS_OF_GIT == set()


def test_every_relative_link_of_the_readme_leads_somewhere(repository, readme):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", readme) if "://" not in link]

    assert links
    assert [link for link in links if not (repository / link).exists()] == []


def test_pytest_ends_with_its_closing_line_under_our_settings(repository, tmp_path):
    (tmp_path / "test_one.py").write_text("def test_one():\n    assert True\n")
    shutil.copy(repository / "pyproject.toml", tmp_path)

    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_one.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert re.fullmatch(r"1 passed in [0-9.]+s", done.stdout.strip().splitlines()[-1])
