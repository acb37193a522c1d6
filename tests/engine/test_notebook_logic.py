"""Notebooks: what counts as a student's code, and what a student starts from."""

import ast
import json
from textwrap import dedent

import pytest

from grader.logic.notebook import cells_of, compose, dump
from grader.logic.stub import cut_stub, is_untouched, with_markers
from grader.model.errors import CourseError
from grader.model.types import Cell, Step


def code(source, **more):
    return {"cell_type": "code", "source": source, **more}


def notebook(*cells, **more):
    return {"cells": list(cells), "nbformat": 4, **more}


def read(source):
    """A single cell's code as the grader takes it."""
    cells = cells_of(notebook(code(source)))
    return cells[0].source if cells else None


# reading


def test_all_code_cells_are_read_in_order_and_numbered_among_code_cells():
    data = notebook(
        {"cell_type": "markdown", "source": "# Title"},
        code(["import numpy\n", "x = 1"], id="a", metadata={}, outputs=[], execution_count=3),
        code(""),
        {"cell_type": "raw", "source": "not code"},
        code("# grader: demo\nprint(x)"),
        code("x = 2\r\ny = 3\r\n"),
    )

    assert cells_of(data) == [Cell("import numpy\nx = 1", 1), Cell("x = 2\ny = 3\n", 4)]


@pytest.mark.parametrize(
    ("cell", "taken"),
    [
        (code("# grader: check\ncheck()"), False),
        (code("\n\n  # grader: check the softmax\ncheck()"), False),
        (code("#grader:demo\ncheck()"), False),
        (code("x = 1\n# grader: check"), True),
        (code("# grader: checkpoint\nx = 1"), True),
        (code("# see grader: check\nx = 1"), True),
        (code("x = 1", metadata={"tags": ["grader: check"]}), False),
        (code("x = 1", metadata={"tags": ["other", "grader-demo"]}), False),
        (code("x = 1", metadata={"tags": ["checked"]}), True),
        (code("x = 1", metadata={"tags": None}), True),
        (code("x = 1", metadata=[]), True),
        (code("x = 1", metadata={"tags": [3, {}]}), True),
        (code('check("attention")'), False),
        (code('from grader.shell.in_notebook import check\ncheck("attention")'), False),
        (code('check("attention")\nx = 1'), True),
        (code("y = check"), True),
        (code("check(x"), True),
    ],
)
def test_check_and_demo_cells_are_left_out_by_tag_or_first_line(cell, taken):
    assert bool(cells_of(notebook(cell))) == taken


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%matplotlib inline\nx = 1", "\nx = 1"),
        ("!pip install x 'it\nx = 1", "\nx = 1"),
        ("x = 1\n%time y = 2\nz = 3", "x = 1\n\nz = 3"),
        ("if x:\n    !ls\ny = 2", "if x:\n    pass\ny = 2"),
        ("files = !ls\nx = 1", "\nx = 1"),
        ("a, b = %run that\nx = 1", "\nx = 1"),
        ("!ls \\\n  -l\nx = 1", "\n  pass\nx = 1"),
        ("np.exp?\nx = 1", "\nx = 1"),
        ("?np.exp\nx = 1", "\nx = 1"),
        ("np.exp??\nx = 1", "\nx = 1"),
        ("%%time\nx = 1", "\nx = 1"),
        ("\n%%capture out\nx = 1", "\n\nx = 1"),
        ("%%timeit -n 1\nx = 1", "\nx = 1"),
        ("get_ipython().run_line_magic('matplotlib', 'inline')\nx = 1", "\nx = 1"),
        ("if x:\n    get_ipython().system('ls')\ny = 2", "if x:\n    pass\ny = 2"),
        ("%%bash\nls", None),
        ("%%writefile attention.py\nx = 1", None),
        ("%pip list", None),
        ("%%time\n%matplotlib inline", None),
    ],
)
def test_what_is_not_python_goes_and_line_numbers_stay(source, expected):
    assert read(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "x = (7\n% 3)",
        'x = """\n%matplotlib\n!ls\n"""',
        "x = 7 \\\n% 3",
        "x = 1  # why?",
        "shell = get_ipython()",
        's = """\nget_ipython().x\n"""',
        "def f(:\n    return 1",
        "x = (\n",
        "x = '\ud800'",
        "x = 1\0",
    ],
)
def test_a_cell_keeps_lines_that_only_look_like_magics(source):
    assert read(source) == source


@pytest.mark.parametrize(
    "rest",
    [
        "x = (7\n% 3)",
        'x = """it\'s\n%matplotlib\n!ls\n"""',
        "x = '''\\'''\n!ls\n'''",
        "x = 7 \\\n% 3",
        "x = ['#', \"'\", '(',  # (\n!= 3]",
        "x = 'a\\\n!b'",
        "f(x)  # is it so?",
        "y != x",
        "x = ''\ny = \"\"\nz = 1",
    ],
)
def test_they_are_kept_in_cells_with_magics_too(rest):
    assert read(f"%load_ext autoreload\n{rest}\n%time f()") == f"\n{rest}\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "not a notebook"),
        ("text", "not a notebook"),
        (None, "not a notebook"),
        ({}, "no list of cells"),
        ({"cells": {}}, "no list of cells"),
        ({"nbformat": 3, "worksheets": [{"cells": []}]}, "older than 4"),
        ({"nbformat": 3, "cells": []}, "older than 4"),
        (notebook(), "no code cells"),
        (notebook({"cell_type": "markdown", "source": "x"}), "no code cells"),
        (notebook(code("x"), code(["x", 3])), "code cell 2"),
        (notebook(code({"a": 1})), "code cell 1"),
    ],
)
def test_what_is_no_notebook_is_said_in_a_sentence(data, words):
    with pytest.raises(ValueError) as raised:
        cells_of(data)

    assert words in str(raised.value)
    assert str(raised.value).endswith(".")


def test_lost_metadata_changes_nothing():
    bare = {"cells": [{"cell_type": "code", "source": "x = 1"}, None, {"source": "y"}]}

    assert cells_of(bare) == [Cell("x = 1", 1)]


# writing

SOLUTION = '''\
"""Attention."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

TINY = 1e-9; HUGE = 1e9  # two


def given(x):
    """Given."""
    return x
    # still given


# Softmax.


@np.errstate(all="ignore")
def softmax(x, axis=-1):
    """Weights – „ä“."""
    return x + TINY


def between(x):
    return softmax(x)


class Layer:
    """A layer."""

    def forward(self, x):
        """Forward."""
        return x

    def backward(self, x):
        """Backward."""
        return x


class Deep(Layer):
    """Needs Layer when it is defined."""


def mask(n):
    """Mask."""
    return n


def main():
    print(given(1))


if __name__ == "__main__":
    # the worked example
    main()
    print(given(2))
'''

TASK = """\
# Attention

What you can do afterwards.

## The idea

```python
## Step fenced: not a heading
```

## Step softmax: weights

Build softmax.

## Step layer: forward

Build forward.

## Step again: more of it

Think.

## Step backward: back

Build backward.

## Experiment

Guess.

## Hints

### softmax
1. The answer.

## Reading

Read.
"""


def step(name, *functions):
    return Step(name, name.title(), functions, 15, 1.0)


STEPS = [
    step("softmax", "softmax"),
    step("layer", "Layer.forward", "mask"),
    step("again"),
    step("backward", "Layer.backward"),
]
BLANKED = [name for one in STEPS for name in one.functions]
STUB = cut_stub(SOLUTION, BLANKED)


def made(source=STUB, task=TASK, steps=STEPS):
    return compose(task, source, steps, "attention")


def cell(nb, identity):
    return next(one for one in nb["cells"] if one["id"] == identity)["source"]


def test_the_notebook_follows_the_task():
    ids = [one["id"] for one in made()["cells"]]

    assert ids == [
        "intro",
        "how",
        "given",
        "example",
        "softmax-task",
        "softmax-code",
        "softmax-check",
        "layer-task",
        "layer-code",
        "layer-check",
        "again-task",
        "again-check",
        "backward-task",
        "backward-check",
        "demo-title",
        "demo",
        "rest-experiment",
        "rest-reading",
    ]


def test_the_tasks_sections_are_the_markdown_cells_without_hints():
    nb = made()
    texts = [one["source"] for one in nb["cells"] if one["cell_type"] == "markdown"]

    assert cell(nb, "intro").startswith("# Attention\n") and cell(nb, "intro").endswith("not a heading\n```")
    assert cell(nb, "softmax-task") == "## Step softmax: weights\n\nBuild softmax."
    assert cell(nb, "rest-reading") == "## Reading\n\nRead."
    assert "The answer" not in "".join(texts)


def test_each_statement_of_the_stub_is_in_one_cell():
    nb = made()
    pieces = [ast.dump(node) for one in cells_of(nb) for node in ast.parse(one.source).body]

    expected = [ast.dump(node) for node in ast.parse(STUB).body[:-1]]
    assert sorted(pieces) == sorted(expected)
    assert is_untouched("\n\n".join(one.source for one in cells_of(nb)), STUB)


def test_what_is_given_comes_first_as_it_was_written():
    given = cell(made(), "given")

    assert given.startswith(
        '"""Attention."""\nfrom __future__ import annotations\n\nfrom typing import TYPE_CHECKING\n\nimport numpy'
    )
    assert "TINY = 1e-9; HUGE = 1e9  # two\n\n\ndef given(x):" in given
    assert "# still given\n\n\ndef between" in given
    assert given.endswith("def main():\n    print(given(1))")


def test_a_ruled_comment_begins_a_part_of_its_own_with_a_heading():
    rule = "# " + "-" * 60
    ruled = STUB.replace("\ndef between(x):", f"{rule} given: more\n\n\ndef between(x):").replace(
        "# Softmax.", f"{rule} yours\n\n# Softmax."
    )
    nb = made(ruled)

    assert cell(nb, "given-more-title") == "## Given: more"
    assert cell(nb, "given-more").startswith("def between(x):")
    assert cell(nb, "given").endswith("# still given")
    assert cell(nb, "softmax-code").startswith("# Softmax.")
    assert is_untouched("\n\n".join(one.source for one in cells_of(nb)), STUB)


def test_what_is_no_rule_stays_where_it_was():
    ruled = STUB.replace("# Softmax.", "# --- x\n# ------- y = 3\n# =")

    assert cell(made(ruled), "softmax-code").startswith("# --- x\n# ------- y = 3\n# =\n")


def test_how_to_go_on_names_the_exercise_and_the_example_where_there_is_one():
    assert "grader hint attention" in cell(made(), "how")
    assert "run the example" in cell(made(), "how")
    assert "run the example" not in cell(made(STUB[: STUB.index("def main")]), "how")


def test_functions_come_in_the_cell_of_their_step_with_the_comments_above():
    nb = made()

    assert cell(nb, "softmax-code") == dedent(
        '''\
        # Softmax.


        @np.errstate(all="ignore")
        def softmax(x, axis=-1):
            """Weights – „ä“."""
            # write your code here
            raise NotImplementedError'''
    )
    layer = cell(nb, "layer-code")
    assert layer.index("class Layer") < layer.index("class Deep") < layer.index("def mask")


DEMO_HEAD = "# grader: demo\nfrom grader.shell.in_notebook import example\n\nwith example():\n"


def test_checks_and_the_demo_are_marked_twice_and_not_read():
    nb = made()

    assert cell(nb, "softmax-check") == (
        '# grader: check\nfrom grader.shell.in_notebook import check\n\ncheck("attention", "softmax")'
    )
    assert cell(nb, "demo") == f"{DEMO_HEAD}    # the worked example\n    main()\n    print(given(2))"
    assert cell(nb, "example") == cell(nb, "demo")
    tags = {one["id"]: one["metadata"].get("tags") for one in nb["cells"]}
    assert tags["softmax-check"] == ["grader: check"] and tags["demo"] == ["grader: demo"] and tags["given"] is None
    assert all("grader" not in one.source for one in cells_of(nb))


@pytest.mark.parametrize(
    ("end", "demo"),
    [
        ('if __name__ == "__main__": main(); print(1)\n', "    main()\n    print(1)"),
        ("", "    main()"),
    ],
)
def test_the_demo_is_the_main_block_or_main(end, demo):
    source = STUB[: STUB.index("if __name__")] + end

    assert cell(made(source), "demo") == DEMO_HEAD + demo


def test_without_a_worked_example_there_is_no_demo():
    source = STUB[: STUB.index("def main")]

    assert not {"demo", "demo-title", "example"} & {one["id"] for one in made(source)["cells"]}


def test_nbgraders_source_notebook_splits_in_the_same_way():
    stub, marked = made(), made(with_markers(SOLUTION, BLANKED))

    for ours, source in zip(stub["cells"], marked["cells"], strict=True):
        assert ours["id"] == source["id"]
        assert source["source"].count("BEGIN SOLUTION") == source["source"].count("END SOLUTION")
        names = [name.split(".")[-1] for name in BLANKED if f"def {name.split('.')[-1]}(" in source["source"]]
        assert cut_back(source["source"]) == ours["source"]
        assert len(names) == source["source"].count("BEGIN SOLUTION")


def cut_back(text):
    """The marked regions replaced by the stub's two lines, as nbgrader does it."""
    kept, inside = [], False
    for line in text.split("\n"):
        if "BEGIN SOLUTION" in line:
            inside = True
            indent = line[: line.index("#")]
            kept += [f"{indent}# write your code here", f"{indent}raise NotImplementedError"]
        elif "END SOLUTION" in line:
            inside = False
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def test_the_file_is_json_as_jupyter_writes_it_and_always_the_same():
    text = dump(made())
    data = json.loads(text)

    assert dump(made()) == text
    assert text.endswith("}\n") and '\n "cells": [\n  {' in text and "–" in text
    assert data["nbformat"] == 4 and data["nbformat_minor"] == 5
    assert data["metadata"]["kernelspec"]["name"] == "python3"
    assert data["metadata"]["language_info"] == {"name": "python"}
    assert cells_of(data) == cells_of(made())
    assert all(isinstance(one["source"], list) for one in data["cells"])


def test_ids_are_what_nbformat_allows_and_each_once():
    task = TASK + "\n## Reading\n\nMore.\n\n## Größe?\n\nx\n\n## " + "long " * 30 + "\n\nx\n"
    ids = [one["id"] for one in made(task=task)["cells"]]

    assert len(set(ids)) == len(ids)
    assert all(1 <= len(one) <= 64 and one.replace("-", "").replace("_", "").isascii() for one in ids)


@pytest.mark.parametrize(
    ("task", "steps", "words"),
    [
        (TASK.replace("## Step again: more of it", "## More of it"), STEPS, "no section for step “again”"),
        (TASK + "\n## Step other: x\n", STEPS, "“other” that exercise.toml lacks"),
        (TASK + "\n## Step softmax: x\n", STEPS, "two sections"),
        (TASK, [*STEPS[:-1], step("backward", "Layer.sideways")], "no function “Layer.sideways”"),
    ],
)
def test_steps_and_sections_must_match(task, steps, words):
    with pytest.raises(CourseError) as raised:
        made(task=task, steps=steps)

    assert words in raised.value.message
