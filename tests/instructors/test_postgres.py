"""nbgrader itself with our plug-in over PostgreSQL, from the release to the marks: the same gradebook as over SQLite."""

from __future__ import annotations

import shutil

import pytest

from grader.system.course import Course
from grader.system.gradebook import Gradebook
from grader.verbs.grading import Sources
from tests.engine.postgres import NoServer, running_server


@pytest.fixture(scope="module")
def server():
    try:
        with running_server() as server:
            yield server
    except NoServer as reason:
        pytest.skip(str(reason))


def graded(toy, filled, url):
    """The course with two submissions graded, and one of them again, with its gradebook at an address: all that is in it."""
    course = Course(toy.kit)
    solution = Sources(course, course.find(toy.unit)).solution
    toy.hand_in("ada", filled(solution), "2026-10-02 13:00:00 UTC")
    toy.hand_in("bob", filled(solution.replace("np.argmax", "np.argmin")), "2026-10-02 14:00:00 UTC")
    shutil.rmtree(toy.root / "autograded", ignore_errors=True)
    with (toy.root / "nbgrader_config.py").open("a") as config:
        config.write(f"c.CourseDirectory.db_url = {url!r}\n")
    for words in (["generate_assignment", "--force"], ["autograde"], ["autograde", "--student", "bob", "--force"]):
        done = toy.nbgrader(words[0], toy.unit, *words[1:])
        assert done.returncode == 0, done.stderr
    with Gradebook(url, "transformers") as book:
        return book.snapshot()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_nbgraders_own_commands_leave_the_same_gradebook(toy, filled, server, tmp_path, driver):
    pytest.importorskip(driver, reason=f"{driver} is not installed: make setup EXTRAS=postgres")
    server.new(driver)
    there = graded(toy, filled, server.url(driver, driver))

    here = graded(toy, filled, f"sqlite:///{tmp_path / 'gradebook.db'}")

    assert there == here
    assert {row["auto_score"] for row in here["grades"]} >= {1.0, 3.0}
