"""The first minute: `python -m grader.shell.start`."""

from __future__ import annotations

import shutil

from grader.shell import start


def test_it_shows_numbers_a_verdict_a_wrong_answer_and_what_comes_next(toy, capfd):
    code = start.main()

    out = capfd.readouterr().out
    assert code == 0
    places = [
        "tokens [2 0 2]",
        "counter   0 of 9 points",
        "grader check counter --as divides_by_the_largest",
        "looks like",
        "What to do next",
        "grader watch counter",
        "exercises/ex01_counter/counter.py",
    ]
    assert [out.index(text) for text in places[:-1]] == sorted(out.index(text) for text in places[:-1])
    assert places[-1] in out[out.index("What to do next") :].replace("\\", "/")


def test_a_kit_without_solutions_shows_no_wrong_answer_and_still_ends_well(toy, capfd):
    (toy / "grader").mkdir()
    shutil.move(toy / "solutions", toy.parent / "kept away")

    code = start.main()

    out = capfd.readouterr().out
    assert code == 0
    assert "--as" not in out
    assert "What to do next" in out


def test_a_learner_who_is_half_way_is_greeted_with_that(toy, module, solution, capfd):
    module.write_text(solution.replace("both.counts = self.counts + other.counts", "pass"), encoding="utf-8")

    code = start.main()

    assert code == 0
    assert "7 of 9 points" in capfd.readouterr().out


def test_a_given_part_that_never_ends_stops_nothing(toy, module, monkeypatch, capfd):
    module.write_text("while True:\n    pass\n", encoding="utf-8")
    monkeypatch.setattr(start, "EXAMPLE_SECONDS", 0.5)

    code = start.main()

    assert code == 0
    assert "does not end by itself" in capfd.readouterr().out
