"""Beginning an exercise: a folder under ``solutions/`` that is small, and valid as it stands."""

from __future__ import annotations

import re

from grader.model.errors import UsageError
from grader.model.types import Exercise
from grader.system.course import FOLDER, Course, write_atomically

NAME = re.compile(r"[a-z][a-z0-9_]*$")
# Sentences of the templates that mean nothing in any exercise.
TO_REPLACE = (
    ": replace this by one sentence.",
    "Afterwards you can do the first thing of this exercise.",
    "What it is, and why anybody wants it.",
)


def new(course: Course, name: str) -> list[str]:
    """Write the folder; what was done and what comes next, in sentences."""
    if not NAME.match(name):
        raise UsageError(f"{name!r} is no name for an exercise.", "Use small letters, digits and _, as in layer_norm.")
    taken = _taken(course)
    if name in taken.values():
        raise UsageError(f"There is an exercise {name} already.", "Choose another name.")
    number = max(taken, default=0) + 1
    if number > 99:
        raise UsageError("There are 99 exercises already.", "Rename a folder to make room.")
    folder = course.solutions / f"ex{number:02d}_{name}"
    for file, text in files(name).items():
        write_atomically(folder / file, text)
    where = folder.relative_to(course.root).as_posix()
    return [
        f"Begun {where}: exercise.toml, task.md, {name}.py, variants.toml, test_public.py, test_hidden.py, rewrites/.",
        f"Write the solution, and a line in reading_path.md that says where `{name}`, in backticks, stands on the path.",
        f"Then: grader build, grader verify {name}.",
    ]


def left_of_templates(course: Course, exercise: Exercise) -> list[str]:
    """The files of an exercise that are as `new` wrote them, or hold a sentence that was to be replaced."""
    folder = course.solution_folder(exercise)
    found = []
    for name, template in files(exercise.name).items():
        try:
            text = (folder / name).read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
        if text == template or any(sentence in text for sentence in TO_REPLACE):
            found.append(name)
    return found


def word_on_templates(course: Course, exercise: Exercise) -> str:
    """One sentence for who hands an exercise out that was not finished; empty where nothing of the templates is left."""
    left = left_of_templates(course, exercise)
    return f"{exercise.name} still holds text of `grader new`, in {', '.join(left)}: is it finished?" if left else ""


def _taken(course: Course) -> dict[int, str]:
    """Name by number, of every folder in ``solutions/`` and ``exercises/``."""
    taken = {}
    for parent in (course.exercises, course.solutions):
        for path in parent.iterdir() if parent.is_dir() else ():
            match = FOLDER.match(path.name)
            if match:
                taken[int(match[1])] = match[2]
    return taken


def files(name: str) -> dict[str, str]:
    """Name and text of each file of a new exercise."""
    texts = {
        "exercise.toml": EXERCISE,
        "task.md": TASK,
        f"{name}.py": MODULE,
        "variants.toml": VARIANTS,
        "test_public.py": PUBLIC,
        "test_hidden.py": HIDDEN,
        "rewrites/in_loops.py": REWRITE,
        "rewrites/in_loops.toml": REWRITE_IDEAS,
    }
    title = name.replace("_", " ").capitalize()
    return {file: text.lstrip("\n").replace("NAME", name).replace("TITLE", title) for file, text in texts.items()}


EXERCISE = """
title = "TITLE"
module = "NAME.py"
difficulty = 1                     # 1 to 5
needs = []                         # names of exercises
sources = ["https://numpy.org/doc/stable/reference/generated/numpy.mean.html"]
allowed_imports = ["numpy", "math", "__future__", "typing"]

[tolerances]                       # largest error allowed, by the dtype of the expected result
float64 = 1e-9

[[step]]
name = "centre"
title = "Rows around zero"
functions = ["centre"]
minutes = 15
points = 2
"""

MODULE = '''
"""TITLE: replace this by one sentence.

Source: https://numpy.org/doc/stable/reference/generated/numpy.mean.html
"""

from __future__ import annotations

import numpy as np


def centre(x: np.ndarray) -> np.ndarray:
    """Each row of x, shape (row, column), less the row's mean.

    Source: numpy.mean.
    """
    mean = x.mean(axis=-1, keepdims=True)
    return x - mean


def main() -> None:
    """The worked example of the task."""
    x = np.array([[1.0, 3.0], [2.0, 6.0]])
    print("x", *x)
    try:
        print("centred", *centre(x))
    except NotImplementedError:
        print("next: write centre, then run this file again")


if __name__ == "__main__":
    main()
'''

TASK = """
# TITLE

Afterwards you can do the first thing of this exercise. 15 minutes. Needs: numpy.

## The idea

What it is, and why anybody wants it.

## One example by hand

Rows [1, 3] and [2, 6] have the means 2 and 4: [-1, 1] and [-2, 2].

## Axis names

| name | is |
|---|---|
| `row` | one example |
| `column` | one number of it |

## Step centre: Rows around zero

**Why** What comes later is easier around zero.

**By hand** [1, 3] becomes [-1, 1].

**Build** `centre(x)`: each row less its own mean, for shape (row, column).

**See it** `python NAME.py`

**Check it** `grader watch NAME`

**Think** What is the mean of the result?

## The experiment

There is none yet.

## Reading

- numpy.mean, 5 minutes: https://numpy.org/doc/stable/reference/generated/numpy.mean.html

## Hints

### centre

1. What should the mean of each row be afterwards?
2. Subtract from each row its own mean.
3. `x.mean` over the last axis, with `keepdims`.
4. Take the mean of each row as a column; subtract it from x.
"""

VARIANTS = '''
[[wrong]]
name = "mean_of_all"
says = "The mean of all numbers is subtracted instead of each row's own."
hint = "Over which numbers does the mean of the second row run?"
find = "mean = x.mean(axis=-1, keepdims=True)"
put = "mean = x.mean()"

[[wrong]]
name = "mean_of_columns"
says = "Each column's mean is subtracted instead of each row's."
find = "mean = x.mean(axis=-1, keepdims=True)"
put = "mean = x.mean(axis=0, keepdims=True)"

[[right]]
name = "sum_form"
says = "The mean as a sum over a count."
replace = """
def centre(x):
    return x - x.sum(axis=-1, keepdims=True) / x.shape[-1]
"""
'''

PUBLIC = '''
"""Checks to hand out."""

import pytest

from grader.checks import assert_close


@pytest.mark.step("centre")
@pytest.mark.points(1)
def test_each_row_is_less_its_own_mean(student, reference, draw):
    x = draw(2, 3)

    got = student.centre(x)

    assert_close(got, reference.centre(x))
'''

HIDDEN = '''
"""Checks to keep."""

import pytest

from grader.checks import assert_close


@pytest.mark.step("centre")
@pytest.mark.points(1)
def test_rows_of_another_length_are_centred_too(student, reference, draw):
    x = draw(5, 4)

    got = student.centre(x)

    assert_close(got, reference.centre(x))
'''

REWRITE = '''
"""The exercise in another form, written from scratch and right."""

import numpy as np


def centre(x):
    result = np.zeros_like(x)
    for row in range(x.shape[0]):
        average = sum(x[row]) / len(x[row])
        for column in range(x.shape[1]):
            result[row, column] = x[row, column] - average
    return result
'''

REWRITE_IDEAS = """
[[wrong]]
name = "mean_of_all"
find = "average = sum(x[row]) / len(x[row])"
put = "average = sum(sum(x)) / x.size"

[[wrong]]
name = "mean_of_columns"
find = "average = sum(x[row]) / len(x[row])\\n        for column in range(x.shape[1]):\\n"
put = "for column in range(x.shape[1]):\\n            average = sum(x[:, column]) / len(x)\\n"
"""
