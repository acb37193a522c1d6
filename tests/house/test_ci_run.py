""".ci/run calls the README's test command, from anywhere, with the data folder where there is one."""

import os
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="there is no POSIX bash here")


@pytest.fixture
def checkout(repository, tmp_path):
    """A folder with .ci/run alone, and a `make` first on PATH that notes how it was called."""
    folder = tmp_path / "work" / "main"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(repository / ".ci" / "run", folder / ".ci" / "run")
    make = tmp_path / "programs" / "make"
    make.parent.mkdir()
    make.write_text(
        "#!/bin/sh\n"
        'printf "%s\\n" "$*" "$(pwd -P)" "${GRADER_DATA-unset}" > "$NOTES"\n'
        'echo "12 passed in 3.45s"\n'
        'exit "${MAKE_ENDS_WITH:-0}"\n'
    )
    make.chmod(0o755)
    return folder


def call(checkout, tmp_path, **environment):
    notes = tmp_path / "notes"
    path = f"{tmp_path / 'programs'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(checkout / ".ci" / "run")],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "NOTES": str(notes), "GRADER_DATA": "/somewhere/else", **environment},
        capture_output=True,
        text=True,
    )
    return done, notes.read_text().splitlines()


def test_it_calls_make_test_in_the_clone_wherever_it_is_called_from(checkout, tmp_path):
    done, (arguments, folder, data) = call(checkout, tmp_path)

    assert done.returncode == 0
    assert arguments == "test"
    assert folder == str(checkout.resolve())
    assert data == "unset"
    assert done.stdout.endswith("12 passed in 3.45s\n")


def test_it_names_the_data_folder_beside_the_clone(checkout, tmp_path):
    shared = checkout.parent / "shared" / "data"
    shared.mkdir(parents=True)

    _, (_, _, data) = call(checkout, tmp_path)

    assert os.path.realpath(data) == str(shared.resolve())


def test_it_fails_when_the_tests_fail(checkout, tmp_path):
    done, _ = call(checkout, tmp_path, MAKE_ENDS_WITH="2")

    assert done.returncode == 2
