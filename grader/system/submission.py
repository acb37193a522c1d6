"""Reading a student's file, once, whatever it is."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

from grader.logic.notebook import cells_of
from grader.model.errors import UsageError
from grader.model.types import Cell, Submission

MAX_BYTES = 20 * 1024 * 1024
EMPTY = "The file is empty."


def read_submission(path: Path) -> Submission:
    """The submission in a ``.py`` or ``.ipynb`` file.

    `UsageError` when there is no such file, it is a folder or cannot be opened. Content that is no Python or no notebook
    is a submission all the same: its ``problem`` says what is wrong with it.
    """
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder.", "Name the file in it: a .py file or a notebook.")
        if not path.exists():
            raise UsageError(
                f"There is no file {path}.", "Check the name; the current folder counts for relative names."
            )
        if not path.is_file():  # reading a pipe or a device may never end
            raise UsageError(f"{path} is no ordinary file.", "Name a .py file or a notebook.")
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Check its name and its permissions.") from error
    if size > MAX_BYTES:
        return Submission(path.name, (), f"The file has {size >> 20} MB; at most {MAX_BYTES >> 20} MB are read.")
    return parse_submission(path.name, data)


def parse_submission(name: str, data: bytes) -> Submission:
    """The same from a file's bytes."""
    return parse_with_book(name, data)[0]


def parse_with_book(name: str, data: bytes) -> tuple[Submission, object]:
    """The same, with a notebook's parsed JSON; None where it is none, or cannot be read."""
    if b"\0" in data and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        problem = "The file is binary, not text. Hand in the .py file or the notebook itself."
        return Submission(name, (), problem), None
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return Submission(name, (), f"Line {line} is not UTF-8 text. Save the file with the encoding UTF-8."), None
    if not text.strip():
        return Submission(name, (), EMPTY), None
    if not name.lower().endswith(".ipynb"):
        return Submission(name, (Cell(text),)), None
    try:
        book = json.loads(text)
        return of_notebook(name, book), book
    except ValueError as error:
        return Submission(name, (), f"The notebook cannot be read. It is not JSON ({error})."), None
    except RecursionError:
        return Submission(name, (), "The notebook cannot be read. It is nested too deep."), None


def of_notebook(name: str, data: object) -> Submission:
    """The same from a notebook's parsed JSON."""
    try:
        return Submission(name, tuple(cells_of(data)))
    except ValueError as error:
        return Submission(name, (), f"The notebook cannot be read. {error}")
