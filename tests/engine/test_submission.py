"""Reading a student's file: whatever it is, it is read once, or the reason why not is said."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from grader.model.errors import UsageError
from grader.model.types import Cell
from grader.system import submission
from grader.system.submission import parse_submission, read_submission

SOURCE = "def f():\n    return 'ü'\n"


def notebook(*cells, **more):
    code = [{"cell_type": "code", "source": source} for source in cells]
    return json.dumps({"nbformat": 4, "cells": [{"cell_type": "markdown", "source": "# Text"}, *code], **more}).encode()


# ---------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: None, "There is no file"),
        pytest.param(
            lambda path: os.mkfifo(path),
            "is no ordinary file",
            marks=pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here"),
        ),
        pytest.param(
            lambda path: path.symlink_to("nowhere"),
            "There is no file",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows"),
        ),
        pytest.param(
            lambda path: path.symlink_to("/dev/zero"),
            "is no ordinary file",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="there is no such device"),
        ),
    ],
)
def test_what_is_no_file_is_wrong_usage_with_a_mend(tmp_path, make, message):
    path = tmp_path / "a b ü.py"
    make(path)

    with pytest.raises(UsageError, match=message) as caught:
        read_submission(path)

    assert str(path) in caught.value.message
    assert caught.value.mend


def refused(*args, **kwargs):
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("step", ["read_bytes", "stat"])
def test_a_file_that_may_not_be_read_is_wrong_usage(tmp_path, monkeypatch, step):
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    monkeypatch.setattr(Path, step, refused)

    with pytest.raises(UsageError, match=r"a\.py cannot be read: Permission denied\."):
        read_submission(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_permissions_of_the_file_are_respected(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    path.chmod(0)

    with pytest.raises(UsageError, match="cannot be read"):
        read_submission(path)


@pytest.mark.parametrize("name", ["x" * 300 + ".py", "a.py/b.py"])
def test_a_name_that_no_file_can_have_is_wrong_usage(tmp_path, name):
    (tmp_path / "a.py").write_text(SOURCE)

    with pytest.raises(UsageError):
        read_submission(tmp_path / name)


# ---------------------------------------------------------------- what is no submission, said in words


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("a.py", b"", "The file is empty."),
        ("a.py", b" \n\t\r\n", "The file is empty."),
        ("a.py", b"\xef\xbb\xbf", "The file is empty."),
        ("a.ipynb", b"", "The file is empty."),
        ("a.py", b"\x7fELF\x02\x01\0\0", "The file is binary, not text."),
        ("a.py", b"def f(): pass\n\0", "The file is binary, not text."),
        ("a.py", b"x = 1\ny = '\xfc'\n", "Line 2 is not UTF-8 text. Save the file with the encoding UTF-8."),
        ("a.py", "x = 1\n".encode("utf-16"), "Line 1 is not UTF-8 text. Save the file with the encoding UTF-8."),
        ("a.ipynb", b"\xff{}", "Line 1 is not UTF-8 text. Save the file with the encoding UTF-8."),
    ],
)
def test_bytes_that_are_no_text_are_a_submission_with_a_problem(name, data, problem, tmp_path):
    (tmp_path / name).write_bytes(data)

    read = read_submission(tmp_path / name)

    assert (read.name, read.cells) == (name, ())
    assert read.problem.startswith(problem)


@pytest.mark.parametrize(
    "data",
    [
        b"{", b"[]", b"null", b"3", b'"text"', b"{}", b'{"nbformat": 4}', b'{"nbformat": 4, "cells": 3}',
        b'{"nbformat": 4, "cells": []}', b'{"nbformat": 3, "worksheets": [{"cells": []}]}',
        b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 3}]}',
        b'{"nbformat": 4, "cells": [{"cell_type": "markdown", "source": "x"}]}',
        b"def f(): pass", b"[" * 100_000, b'{"cells": NaN}', b'{"nbformat": 4, "cells": [[], null, 3]}',
    ],
    ids=lambda data: data[:60].decode(),
)  # fmt: skip
def test_a_notebook_that_is_rubbish_is_a_submission_with_a_problem(data):
    read = parse_submission("a.ipynb", data)

    assert read.cells == ()
    assert "notebook" in read.problem
    assert "Traceback" not in read.problem and "Error" not in read.problem


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(submission, "MAX_BYTES", 1 << 20)
    path = tmp_path / "a.py"
    path.write_bytes(b"#" * ((1 << 20) + 1))

    assert read_submission(path).problem == "The file has 1 MB; at most 1 MB are read."
    path.write_bytes(b"#" * (1 << 20))
    assert not read_submission(path).problem


# ---------------------------------------------------------------- what is one


@pytest.mark.parametrize(
    "data",
    [
        SOURCE.encode(),
        SOURCE.encode("utf-8-sig"),
        SOURCE.replace("\n", "\r\n").encode(),
        SOURCE.replace("\n", "\r").encode(),
        SOURCE.replace("\n", "\r\n").encode("utf-8-sig"),
    ],
    ids=["plain", "BOM", "CRLF", "CR", "BOM and CRLF"],
)
def test_marks_and_line_ends_of_other_systems_make_no_difference(data, tmp_path):
    path = tmp_path / "ein Ordner" / "übung.py"
    path.parent.mkdir()
    path.write_bytes(data)

    read = read_submission(path)

    assert (read.name, read.cells, read.problem) == ("übung.py", (Cell(SOURCE),), "")


def test_a_file_that_is_no_valid_python_is_a_submission():
    assert parse_submission("a.py", b"def f(:\n").cells == (Cell("def f(:\n"),)


@pytest.mark.parametrize("encoded", [lambda data: data, lambda data: b"\xef\xbb\xbf" + data])
def test_a_notebook_is_its_code_cells_with_their_numbers(encoded):
    data = encoded(notebook("x = 1", ["y = 2\n", "z = 3"], "# grader: check\ncheck()", "last = 4"))

    read = parse_submission("a.ipynb", data)

    assert read.cells == (Cell("x = 1", 1), Cell("y = 2\nz = 3", 2), Cell("last = 4", 4))
    assert read.source == "x = 1\n\ny = 2\nz = 3\n\nlast = 4"


def test_the_ending_decides_what_a_file_is():
    assert parse_submission("a.py", notebook("x = 1")).cells[0].number is None
    assert parse_submission("a.ipynb", notebook("x = 1")).cells[0].number == 1
    assert parse_submission("A.IPYNB", notebook("x = 1")).cells[0].number == 1


# ---------------------------------------------------------------- syntax
