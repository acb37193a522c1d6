"""What `grader doctor` says in a course's folder."""

from __future__ import annotations

import pytest


def said(toy, code=0):
    done = toy.grader("doctor", cwd=toy.root)
    assert done.returncode == code, done.stderr
    return " ".join(done.stdout.split())


def with_exchange(toy, folder):
    with (toy.root / "nbgrader_config.py").open("a") as config:
        config.write(f"c.Exchange.root = {str(folder)!r}\n")


def test_alembic_is_found_where_the_environment_is_not_switched_on(toy):
    assert "and alembic, which it calls for the gradebook" in said(toy)


def test_an_exchange_that_there_is_not_comes_with_the_command_that_makes_it(toy, tmp_path):
    with_exchange(toy, tmp_path / "nowhere")

    text = said(toy)

    assert "is no folder: release, fetch, submit and collect need it" in text
    assert "chmod ugo+rwx" in text


def test_an_exchange_for_one_person_is_told_and_one_for_all_is_fine(toy, tmp_path):
    folder = tmp_path / "exchange"
    folder.mkdir()
    folder.chmod(0o755)
    with_exchange(toy, folder)
    alone = said(toy)
    folder.chmod(0o777)

    assert "students with accounts of their own cannot submit" in alone
    assert "can be written to by everybody" in said(toy)


def test_the_gradebook_is_named_and_a_missing_course_id_is_told(toy):
    assert "gradebook.db, course transformers" in said(toy)
    with (toy.root / "nbgrader_config.py").open("a") as config:
        config.write("c.CourseDirectory.course_id = ''\n")

    assert "no course id is set" in said(toy)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("raise ValueError('a typing error')", "ValueError: a typing error"),
        ("c.Exchange.root = 'never closed", "unterminated string literal"),
        ("c.GradeWithChecks.hidden_feedback = 'ideas'", "'ideas'"),
    ],
)
def test_a_configuration_that_is_broken_is_told_with_its_error(toy, line, reason):
    with (toy.root / "nbgrader_config.py").open("a") as config:
        config.write(f"{line}\n")

    text = said(toy, code=2)

    assert "nbgrader_config.py cannot be read by nbgrader, which goes on without it" in text and reason in text


def with_lines(toy, *lines):
    with (toy.root / "nbgrader_config.py").open("a") as config:
        config.write("".join(f"{line}\n" for line in lines))


def test_a_class_that_there_is_not_is_named_with_the_one_that_is_meant(toy, tmp_path):
    with_lines(toy, f"c.Exhange.root = {str(tmp_path)!r}", "c.Zebra.stripes = 3")

    text = said(toy)

    assert "c.Exhange in nbgrader_config.py has no effect: no class that nbgrader uses has this name" in text
    assert "Did you mean c.Exchange?" in text
    assert "c.Zebra in nbgrader_config.py has no effect" in text


def test_a_setting_that_there_is_not_is_named_with_the_one_that_is_meant(toy):
    with_lines(toy, "c.GradeWithChecks.hiden_feedback = 'nothing'", "c.Exchange.roots = '/srv'")

    text = said(toy)

    assert "GradeWithChecks has no such setting" in text and "c.GradeWithChecks.hidden_feedback?" in text
    assert "c.Exchange.roots in nbgrader_config.py:" in text and "Did you mean c.Exchange.root?" in text


def test_of_names_that_nbgrader_jupyter_and_plug_ins_know_nothing_is_said(toy):
    (toy.root / "ours.py").write_text("from nbgrader.plugins import LateSubmissionPlugin\n")
    with_lines(
        toy,
        "c.Exchange.cache = '/tmp/cache'",  # a setting of the exchange's parts
        "c.Exchange.path_includes_course = True",
        "c.ExchangeFactory.submit = 'nbgrader.exchange.default.ExchangeSubmit'",
        "c.CourseDirectory.ignore.append('*.bin')",
        "c.LateSubmissionPlugin.penalty_method = 'zero'",
        "c.AssignLatePenalties.plugin_class = 'ours.AThirdADay'",
        "c.AThirdADay.share = 3",
        "c.FileNameCollectorPlugin.named_regexp = '.*'",
        "c.ServerApp.port = 9999",
        "c.HTMLExporter.template_name = 'lab'",
        "c.AutogradeApp.force = True",  # of an older nbgrader, which it moves itself
        "c.Application.log_level = 30",
        "c.NbGrader.logfile = ''",
    )

    text = said(toy)

    assert "has no effect" not in text and "no such setting" not in text and "Grading works here" in text
