"""The doctor: what it looks at, and that its exit code means something."""

from __future__ import annotations

import sys

import pytest

from grader.model.errors import EnvironmentProblem
from grader.system import sandbox
from grader.verbs import doctor


@pytest.fixture
def examined(toy):
    def examined() -> tuple[int, str]:
        lines: list[str] = []
        return doctor.doctor(lines.append), "\n".join(lines)

    return examined


def test_it_works_here_and_says_all_of_it(examined):
    code, text = examined()

    assert code == 0
    labels = ("Python", "packages", "layers", "course", "data", "terminal", "disk", "git", "grading")
    assert all(f"\n{label}" in "\n" + text for label in labels)
    assert "Grading works here." in text
    assert max(map(len, text.split("\n"))) <= 80 or "/" in text  # only a path may be longer


def test_a_missing_package_of_the_core_is_exit_code_two_with_one_command(examined, monkeypatch):
    monkeypatch.setattr(doctor, "requirements", lambda: ({"numpy": "1.0", "no-such-package": "3.1"}, {}))

    code, text = examined()

    assert code == 2
    assert "no-such-package missing" in text
    assert "pip install" in text or "tools/bootstrap.py" in text  # whichever set this interpreter up
    assert "Grading does not work here: packages." in text


def test_a_package_that_is_too_old_counts_as_missing(examined, monkeypatch):
    monkeypatch.setattr(doctor, "requirements", lambda: ({"numpy": "999.0"}, {}))

    assert examined()[0] == 2


def test_missing_extras_are_named_with_one_command_and_stop_nothing(examined, monkeypatch):
    extras = {"torch": {"no-such-torch": "2.5"}, "plots": {"no-such-plots": "1"}}
    monkeypatch.setattr(doctor, "requirements", lambda: ({"numpy": "1.0"}, extras))

    code, text = examined()

    assert code == 0
    assert "torch is not installed (no-such-torch)" in text
    assert "[torch,plots]" in text or "torch plots" in text


def test_layers_that_do_not_hold_come_with_their_reason(examined, monkeypatch):
    reasons = {name: "" for name in sandbox.LAYERS} | {"landlock": "the kernel has none"}
    monkeypatch.setattr(sandbox, "probe", lambda *_: reasons)

    code, text = examined()

    assert code == 0
    assert f"{len(sandbox.LAYERS) - 1} of {len(sandbox.LAYERS)} layers" in text
    assert "without landlock: the kernel has none" in text


def test_where_no_submission_can_run_the_reason_is_said(examined, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise EnvironmentProblem("No process can be started.", "Free some memory.")

    monkeypatch.setattr("grader.system.host.Server.open", refuse)

    code, text = examined()

    assert code == 2
    assert "No process can be started." in text
    assert "Grading does not work here: grading." in text


def test_an_old_python_is_named(examined, monkeypatch):
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (9, 0))

    code, text = examined()

    assert code == 2
    assert "Grading does not work here: Python." in text


def test_the_data_folder_is_looked_at(examined, monkeypatch, tmp_path):
    (tmp_path / "books.txt").write_text("x", encoding="utf-8")
    monkeypatch.setenv("GRADER_DATA", str(tmp_path))
    there = examined()[1]
    monkeypatch.setenv("GRADER_DATA", str(tmp_path / "nowhere"))
    gone = examined()[1]

    assert "1 file" in " ".join(there.split())
    assert "which is no folder" in " ".join(gone.split())


def test_the_list_of_packages_is_that_of_pyproject():
    core, extras = doctor.requirements()

    assert {"numpy", "pytest", "click", "watchfiles"} <= core.keys()
    assert ("tomli" in core) == (sys.version_info < (3, 11))
    assert set(doctor.EXTRAS) == extras.keys()
    assert all(low for low in core.values())
