"""A new exercise is small, and valid as it stands."""

from __future__ import annotations

import json

import pytest

from grader.system.course import Course
from grader.verbs.new import TO_REPLACE, files, left_of_templates, word_on_templates


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


def test_what_is_said_names_the_one_line_that_a_proof_wants_besides(toy, command):
    said = command("new", "layer_norm").out

    assert "a line in reading_path.md" in said and "`layer_norm`, in backticks" in said


def test_what_is_left_of_the_templates_is_seen_until_the_last_sentence_is_replaced(toy, command):
    command("new", "layer_norm")
    course = Course(toy)
    exercise = course.find("layer_norm")
    everything = left_of_templates(course, exercise)
    folder = course.solution_folder(exercise)

    left = []
    for name in files("layer_norm"):
        path = folder / name
        text = path.read_text(encoding="utf-8")
        path.write_text(f"{text}\n# mine\n", encoding="utf-8")
        left.append(left_of_templates(course, exercise))
        for sentence in TO_REPLACE:
            text = text.replace(sentence, "mine")
        path.write_text(f"{text}\n# mine\n", encoding="utf-8")

    assert everything == list(files("layer_norm"))
    assert ["task.md" in found for found in left] == [True, True, *[False] * 6]
    assert left_of_templates(course, exercise) == [] and word_on_templates(course, exercise) == ""


def test_an_exercise_that_somebody_wrote_has_nothing_of_a_template(toy):
    course = Course(toy)

    assert left_of_templates(course, course.find("counter")) == []


def test_every_sentence_that_is_to_be_replaced_stands_in_a_template():
    texts = files("layer_norm").values()

    assert all(sum(sentence in text for text in texts) == 1 for sentence in TO_REPLACE)
