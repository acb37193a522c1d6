"""Hints: read from a task, tier by tier, and left out of what is handed out."""

from grader.logic.hints import parse_hints, without_hints

TASK = """# A task

## Step softmax: Softmax

Text with 1. a number.

## Hints

Preface, not a hint.

### softmax

1. What do the
   numbers add up to?
2. Divide by the sum.
3. `np.sum` with `axis`.
10. Take the sum; divide.

### `causal_mask`

1. Who sees whom?

## Reading

1. A paper.
"""


def test_hints_are_read_by_step_and_tier():
    hints = parse_hints(TASK)

    assert hints == {
        "softmax": [
            "What do the numbers add up to?",
            "Divide by the sum.",
            "`np.sum` with `axis`.",
            "Take the sum; divide.",
        ],
        "causal_mask": ["Who sees whom?"],
    }


def test_the_task_without_its_hints_keeps_what_stands_around_them():
    rest = without_hints(TASK)

    assert rest == TASK[: TASK.index("\n## Hints")] + TASK[TASK.index("\n## Reading") :]
    assert parse_hints(rest) == {}


def test_hints_at_the_end_leave_one_line_break():
    task = TASK[: TASK.index("\n## Reading")]

    assert without_hints(task) == TASK[: TASK.index("\n## Hints")]


def test_a_task_without_hints_is_left_as_it_is():
    task = "# A task\n\n## Step softmax\n\n### Hints\n\n1. No.\n"

    assert parse_hints(task) == {}
    assert without_hints(task) == task


def test_a_step_without_tiers_has_no_hints():
    assert parse_hints("## Hints\n\n### softmax\n\nJust text.\n") == {"softmax": []}
