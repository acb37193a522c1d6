"""A new exercise is small, and valid as it stands."""

from __future__ import annotations

import json

import pytest

from grader.verbs.new import files


def test_a_new_exercise_can_be_built_graded_and_told_apart_at_once(toy, command):
    begun = command("new", "layer_norm")
    built = command("build")

    def status(variant: str) -> tuple[str, set[str]]:
        report = json.loads(command("check", "layer_norm", "--as", variant, "--json").out)
        return report["status"], {idea for check in report["checks"] for idea in check["looks_like"]}

    assert (begun.code, built.code) == (0, 0)
    assert (toy / "exercises" / "ex02_layer_norm" / "layer_norm.py").is_file()
    assert status("solution") == status("sum_form") == ("passed", set())
    assert status("mean_of_all") == ("failed", {"mean_of_all"})
    assert status("mean_of_columns") == ("failed", {"mean_of_columns"})
    assert command("hint", "layer_norm").out.startswith("layer_norm   Rows around zero   hint 1 of 4")


def test_the_next_free_number_is_taken(toy, command):
    (toy / "solutions" / "ex07_later").mkdir()

    command("new", "layer_norm")

    assert (toy / "solutions" / "ex08_layer_norm" / "exercise.toml").is_file()


@pytest.mark.parametrize("name", ["counter", "Layer", "1st", "a-b", "", "ü"])
def test_names_that_are_taken_or_none_are_refused(toy, command, name):
    before = sorted(toy.rglob("*"))

    said = command("new", name)

    assert said.code == 2
    assert said.out == ""
    assert sorted(toy.rglob("*")) == before


def test_the_name_stands_everywhere():
    texts = files("layer_norm")

    assert "layer_norm.py" in texts
    assert not any("NAME" in text or "TITLE" in text for text in texts.values())
