"""Marks into the tables of other systems: a gradebook exported from Canvas, a grading worksheet of Moodle.

A table stays as it was written: only the cells that get a mark change, and all others keep their bytes, quotes and line
ends. A mark is the share of the points that the checks gave, times what the column is worth, rounded to two decimals
(halves up). Students are matched by whole values and never by likeness; whoever is not found, or found twice, is said.

Sources: https://github.com/instructure/canvas-lms, lib/gradebook_exporter.rb and lib/gradebook_importer.rb;
https://github.com/moodle/moodle, mod/assign/feedback/offline/importgradeslib.php.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from grader.logic.table import plain_number, points_of, problem_of
from grader.model.errors import UsageError
from grader.model.types import Entry

CENT = Decimal("0.01")
BOM = "\ufeff"
# What a spreadsheet takes for the beginning of a formula, https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
MOST_NAMED = 12
QUESTION = re.compile(r"\d+ files, none chosen(;|$)")  # how a table notes that several files could be meant
FAILED = "The grader failed over this file"  # how its message begins where a failure of the grader's is no verdict
CANVAS_TITLE = re.compile(r"^(?P<title>.*) \((?P<id>\d+)\)$", re.DOTALL)
CANVAS_KEYS = ("ID", "SIS User ID", "SIS Login ID", "Integration ID")
CANVAS_POINTS = "Points Possible"
CANVAS_SETTLED = ("EX", "N/A")  # excused; not assigned to this student
MOODLE_NEEDS = ("Identifier", "Grade", "Last modified (grade)")  # without these its importer refuses the file
MOODLE_KEYS = ("Identifier", "Full name", "ID number", "Email address", "Username")


@dataclass
class Sheet:
    """A table of separated values, whose cells keep the text that they are written with."""

    rows: list[list[str]]
    ends: list[str]
    separator: str
    begin: str = ""

    @classmethod
    def parse(cls, text: str) -> Sheet:
        """The table in a file's text; commas or semicolons, whichever the first line holds more of.

        `UsageError` where a quote is not closed.
        """
        begin, text = (BOM, text[1:]) if text.startswith(BOM) else ("", text)
        first = re.split(r"[\r\n]", re.sub(r'"[^"]*"', "", text), maxsplit=1)[0]
        separator = ";" if first.count(";") > first.count(",") else ","
        # A cell is quoted as a whole, or it ends before the next separator or line end.
        cell = re.compile(
            rf'(?P<raw>"(?:[^"]|"")*"[^{separator}\r\n]*|[^{separator}\r\n]*)(?P<end>{separator}|\r\n|\r|\n|\Z)'
        )
        sheet, row, at = cls([], [], separator, begin), [], 0
        while at < len(text) or row:
            match = cell.match(text, at)
            if match is None or (match["raw"].startswith('"') and match["raw"].count('"') % 2):
                line = text.count("\n", 0, at) + 1
                raise UsageError(f"A quote in line {line} of the table is not closed.", "Export the table anew.")
            row.append(match["raw"])
            at = match.end()
            if match["end"] != separator:
                sheet.rows.append(row)
                sheet.ends.append(match["end"])
                row = []
        return sheet

    def text(self) -> str:
        """The table as a file's text."""
        lines = (self.separator.join(row) + end for row, end in zip(self.rows, self.ends, strict=True))
        return self.begin + "".join(lines)

    def value(self, row: int, column: int) -> str:
        """What a cell says; empty where the row is too short."""
        cells = self.rows[row]
        return unquoted(cells[column]) if column < len(cells) else ""

    def put(self, row: int, column: int, value: str) -> None:
        """Write a cell."""
        cells = self.rows[row]
        cells += [""] * (column + 1 - len(cells))
        cells[column] = quoted(value, self.separator)

    def head(self) -> list[str]:
        """The titles of the columns."""
        return [unquoted(cell) for cell in self.rows[0]] if self.rows else []

    def formulas(self, below: int = 1) -> int:
        """How many cells a spreadsheet would take for formulas; negative numbers and a lone dash are none."""
        cells = (unquoted(cell) for row in self.rows[below:] for cell in row)
        return sum(is_formula(cell) for cell in cells)


def unquoted(raw: str) -> str:
    """What the written form of a cell says."""
    if not raw.startswith('"'):
        return raw
    end = raw.rindex('"')
    return raw[1:end].replace('""', '"') + raw[end + 1 :]


def quoted(value: str, separator: str = ",") -> str:
    """A value as it is written into a cell."""
    if any(mark in value for mark in (separator, '"', "\r", "\n")) or value != value.strip():
        return '"' + value.replace('"', '""') + '"'
    return value


def is_formula(value: str) -> bool:
    """Whether a spreadsheet may calculate a cell instead of showing it."""
    return bool(FORMULA.match(value)) and not re.fullmatch(r"\s*[-+]?[\d.,]*%?\s*", value)


def harmless(value: str) -> str:
    """A value that no spreadsheet calculates: an apostrophe goes before what would begin a formula."""
    return f"'{value}" if is_formula(value) else value


def scaled(score: float, out_of: float, worth: Decimal, extra_credit: bool = False) -> Decimal | None:
    """A score as a mark in a column that is worth so much; None where there is no sound score to scale.

    Above ``out_of`` a score is sound only with ``extra_credit``.
    """
    if not all(map(math.isfinite, (score, out_of))) or out_of <= 0 or score < 0:
        return None
    if score > out_of and not extra_credit:
        return None
    return (Decimal(repr(score)) / Decimal(repr(out_of)) * worth).quantize(CENT, ROUND_HALF_UP)


def unsettled(entry: Entry) -> str:
    """Why a line of a class's table holds no verdict, so that its 0 points are no mark; empty where it holds one."""
    if entry.report.status != "broken":
        return ""
    if QUESTION.match(entry.note):
        return "which of several files counts is an open question, see --take of `grader batch`"
    if problem_of(entry.report).startswith(FAILED):
        return "the grader failed over it, grade the batch again"
    return ""


def number_in(text: str) -> Decimal | None:
    """The number that a cell says, with a point or a comma for its decimals; None where it says none."""
    text = text.strip()
    if not re.fullmatch(r"-?[\d.,]+", text):
        return None
    whole, mark, decimals = re.fullmatch(r"(.*?)(?:([.,])(\d*))?", text).groups()  # type: ignore[union-attr]
    try:
        return Decimal(re.sub(r"[.,]", "", whole) + (f".{decimals}" if mark else ""))
    except InvalidOperation:
        return None


# ---------------------------------------------------------------- the two systems


def canvas(
    entries: Sequence[Entry],
    gradebook_csv: str,
    column: str,
    *,
    exercise: str = "",
    known_as: Mapping[str, str] | None = None,
    extra_credit: bool = False,
) -> tuple[str, list[str]]:
    """A gradebook exported from Canvas with one assignment's column filled, and what has to be said about it.

    ``column``: the assignment's title, its number, or both as the head of the column has them, "Attention (1234)". Students
    are found by ID, SIS User ID, SIS Login ID or name ("Last, First" and "First Last"); ``known_as`` gives a student of the
    class table another such value. Cells of excused students and of those who were not assigned stay, and so do those of
    entries without a verdict (see `unsettled`). ``extra_credit``: whether scores may be above the maximum; then marks are.

    `UsageError` for a file that is no gradebook, a column that is not there or cannot be written to, and a class table with
    several exercises where ``exercise`` names none.
    """
    sheet = Sheet.parse(gradebook_csv)
    head = sheet.head()
    names = ("LastName", "FirstName") if head[:2] == ["LastName", "FirstName"] else ("Student",)
    if any(name not in head for name in (*names, "ID", "Section")):
        raise UsageError(
            "This is no gradebook of Canvas: the columns Student, ID and Section are not all there.",
            "In Canvas: Grades, Export, Export Entire Gradebook. Name that file.",
        )
    at = _canvas_column(head, column)
    points = [row for row in range(1, len(sheet.rows)) if CANVAS_POINTS in sheet.value(row, 0)]
    said_worth = sheet.value(points[0], at) if points else ""
    worth = number_in(said_worth)
    if worth is None or worth <= 0:
        raise UsageError(
            f"What {head[at]!r} is worth is not known: its row {CANVAS_POINTS!r} says {said_worth!r}.",
            "Give the assignment points in Canvas, and export the gradebook anew.",
        )
    columns = [head.index(name) for name in CANVAS_KEYS if name in head]
    people: dict[int, set[str]] = {}
    for row in range((points[0] if points else 0) + 1, len(sheet.rows)):
        named = [sheet.value(row, head.index(name)) for name in names]
        if any(named):
            keys = [*(sheet.value(row, index) for index in columns), *_spellings(named)]
            people[row] = {_key(key) for key in keys if key.strip()}
    filling = _Filling(sheet, people, head.index(names[0]), extra_credit)
    for row, entry in filling.matched(_of_one_exercise(entries, exercise), known_as or {}):
        if sheet.value(row, at).strip().upper() in CANVAS_SETTLED:
            filling.left.append((entry.student, f"Canvas says {sheet.value(row, at).strip()}"))
        else:
            filling.mark(row, at, entry, worth, "," if "," in said_worth else ".")
    return sheet.text(), filling.words(head[at], worth)


def moodle(
    entries: Sequence[Entry],
    grading_worksheet_csv: str,
    *,
    exercise: str = "",
    known_as: Mapping[str, str] | None = None,
    maximum: float | None = None,
    feedback: Callable[[Entry], str] | None = None,
    extra_credit: bool = False,
) -> tuple[str, list[str]]:
    """A grading worksheet of a Moodle assignment with its grades filled, and what has to be said about it.

    Students are found by identifier ("Participant 12" or its number), full name, ID number or email address; ``known_as``
    gives a student of the class table another such value. ``maximum`` is what the assignment is worth, where the worksheet
    has no column for it. ``feedback`` words the comment that goes into an empty cell of "Feedback comments"; by default
    the points of each step, and nothing of any check. ``extra_credit``: whether scores may be above the maximum; Moodle
    passes over marks above it, so that is what these become. Entries without a verdict get no mark (see `unsettled`).

    `UsageError` for a file that is no worksheet in English, for one whose assignment has no points, and for a class table
    with several exercises where ``exercise`` names none.
    """
    sheet = Sheet.parse(grading_worksheet_csv)
    head = sheet.head()
    missing = [name for name in MOODLE_NEEDS if name not in head]
    if missing:
        raise UsageError(
            f"This is no grading worksheet of Moodle in English: it lacks {', '.join(missing)}.",
            "Moodle reads these titles in the language that you use it in: set that to English, download the worksheet "
            "(the assignment, View all submissions, Download grading worksheet), and upload it before you set it back.",
        )
    index = {name.casefold(): number for number, name in enumerate(head)}
    at, worth_at, comment_at = head.index("Grade"), index.get("maximum grade"), index.get("feedback comments")
    changeable_at = index.get("grade can be changed")
    if worth_at is None and maximum is None:
        raise UsageError("The worksheet has no column Maximum grade.", "Say what the assignment is worth.")
    columns = [index[name.casefold()] for name in MOODLE_KEYS if name.casefold() in index]
    people: dict[int, set[str]] = {}
    for row in range(1, len(sheet.rows)):
        keys = [sheet.value(row, column) for column in columns]
        keys.append(re.sub(r"^\D+(?=\d+$)", "", keys[0].strip()))
        people[row] = {_key(key) for key in keys if key.strip()}
    filling = _Filling(sheet, people, columns[0], extra_credit, capped=True)
    worths: list[Decimal] = []
    for row, entry in filling.matched(_of_one_exercise(entries, exercise), known_as or {}):
        said_worth = sheet.value(row, worth_at) if worth_at is not None and maximum is None else repr(maximum)
        worth = number_in(said_worth)
        if worth is None or worth <= 0:
            filling.left.append((entry.student, f"Moodle says the assignment is worth {said_worth!r}"))
        elif changeable_at is not None and sheet.value(row, changeable_at).strip().casefold() == "no":
            filling.left.append((entry.student, "Moodle says that the grade cannot be changed"))
        elif filling.mark(row, at, entry, worth, "," if "," in said_worth else "."):
            worths.append(worth)
            if comment_at is not None:
                _comment(filling, row, comment_at, (feedback or by_step)(entry), entry)
    return sheet.text(), filling.words("Grade", max(worths, default=None))


def by_step(entry: Entry) -> str:
    """The points of each step in a line, of all its checks that count: a comment that tells nothing of hidden ones."""
    checks = entry.report.checks
    parts = []
    for step in dict.fromkeys(check.step for check in checks):
        earned, points = points_of(check for check in checks if check.step == step)
        if points:
            parts.append(f"{step}: {plain_number(earned)} of {plain_number(points)}")
    return "; ".join(parts)


def _comment(filling: _Filling, row: int, column: int, text: str, entry: Entry) -> None:
    """Moodle takes a comment for HTML, and a spreadsheet may take it for a formula; a comment that is there stays."""
    if not text:
        return
    ready = harmless(html.escape(text, quote=False))
    there = filling.sheet.value(row, column)
    if there.strip():
        if there != ready:
            filling.commented.append(entry.student)
    else:
        filling.sheet.put(row, column, ready)


def _canvas_column(head: Sequence[str], wanted: str) -> int:
    titled = {number: match for number, title in enumerate(head) if (match := CANVAS_TITLE.match(title))}
    wanted = wanted.strip()
    for names in (
        lambda match: match[0].strip(),
        lambda match: match["id"],
        lambda match: match["title"].strip(),
    ):
        found = [number for number, match in titled.items() if names(match) == wanted]
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(repr(head[number]) for number in found)
            raise UsageError(f"{wanted!r} is the title of several assignments.", f"Name one as a whole: {listed}.")
    listed = ", ".join(repr(head[number]) for number in titled) or "none"
    raise UsageError(f"The gradebook has no assignment {wanted!r}.", f"Its assignments are: {listed}.")


def _spellings(named: Sequence[str]) -> list[str]:
    """A name in both orders and in one word, from one cell "Last, First" or from two cells."""
    last, comma, first = named[0].partition(",") if len(named) == 1 else (named[0], ",", named[1])
    if not comma:
        return [named[0]]
    joined = "".join(letter for letter in last + first if letter.isalnum())  # as in the names of Canvas's downloads
    return [named[0], f"{first.strip()} {last.strip()}", f"{last.strip()}, {first.strip()}", joined]


def _key(text: str) -> str:
    """What two writings of one value have in common."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _of_one_exercise(entries: Sequence[Entry], wanted: str) -> list[Entry]:
    names = list(dict.fromkeys(entry.report.exercise for entry in entries))
    if not names:
        raise UsageError("The class table is empty.", "`grader batch` makes one.")
    if wanted and wanted not in names:
        raise UsageError(f"The class table has nothing of {wanted}.", f"It holds: {', '.join(names)}.")
    if not wanted and len(names) > 1:
        raise UsageError(f"The class table holds several exercises: {', '.join(names)}.", "Name one of them.")
    return [entry for entry in entries if entry.report.exercise == (wanted or names[0])]


@dataclass
class _Filling:
    """One column being filled, and what came of it."""

    sheet: Sheet
    people: dict[int, set[str]]
    name_at: int
    extra_credit: bool = False
    capped: bool = False  # the system takes no mark above the maximum
    filled: int = 0
    above: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    commented: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    public: bool = False
    left: list[tuple[str, str]] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    already_formulas: int = 0

    def __post_init__(self) -> None:
        self.already_formulas = self.sheet.formulas()

    def matched(self, entries: Sequence[Entry], known_as: Mapping[str, str]) -> list[tuple[int, Entry]]:
        """The row of each entry that has exactly one, where no other entry has the same."""
        rows: dict[int, list[Entry]] = {}
        for entry in entries:
            key = _key(known_as.get(entry.student, entry.student))
            found = [row for row, keys in self.people.items() if key and key in keys]
            self.touched.update(found)
            if len(found) == 1:
                rows.setdefault(found[0], []).append(entry)
            else:
                self.left.append((entry.student, f"fits {len(found)} rows" if found else "not found"))
        for several in rows.values():
            if len(several) > 1:
                files = ", ".join(entry.file for entry in several)
                self.left.append((several[0].student, f"has several submissions ({files})"))
        return [(row, several[0]) for row, several in rows.items() if len(several) == 1]

    def mark(self, row: int, column: int, entry: Entry, worth: Decimal, point: str) -> bool:
        """Write one mark; whether there was a sound one to write."""
        report = entry.report
        if why := unsettled(entry):
            self.left.append((entry.student, why))
            return False
        mark = scaled(report.score, report.max_score, worth, self.extra_credit)
        if mark is None:
            self.left.append((entry.student, f"a score of {report.score:g} of {report.max_score:g} is none"))
            return False
        if mark > worth:
            self.above.append(entry.student)
            mark = worth.quantize(CENT) if self.capped else mark
        before = self.sheet.value(row, column).strip()
        text = str(mark).replace(".", point)
        if number_in(before) != mark:
            if before not in ("", "-"):
                self.changed.append(f"{entry.student} {before} → {text}")
            self.sheet.put(row, column, text)
        self.filled += 1
        self.public = self.public or report.scope == "public"
        if report.status == "broken":
            self.broken.append(entry.student)
        return True

    def words(self, title: str, worth: Decimal | None) -> list[str]:
        """What an instructor has to know about the column; `UsageError` where it has nobody of the class."""
        if self.left and not self.touched:
            raise UsageError(
                f"{title}: nobody of the class table is in this file, so nothing was filled in.",
                f"Not found: {listed([f'{student} ({why})' for student, why in self.left])}.",
            )
        rule = f", scaled to {worth.normalize():f} points and rounded to two decimals" if worth is not None else ""
        said = [f"{title}: {_count(self.filled, 'mark')} filled in{rule}."]
        if self.changed:
            said.append(f"Another mark stood there before: {listed(self.changed)}.")
        if self.left:
            said.append(f"Not filled in: {listed([f'{student} ({why})' for student, why in self.left])}.")
        idle = [self.sheet.value(row, self.name_at).strip() for row in self.people if row not in self.touched]
        if idle:
            said.append(f"Without a submission in the class table, left as they are: {listed(idle)}.")
        if self.broken:
            said.append(f"0 because the file could not be graded, so look at it: {listed(self.broken)}.")
        if self.above and self.capped:
            said.append(
                f"The maximum, since with extra credit it is more and Moodle takes no more: {listed(self.above)}."
            )
        elif self.above:
            said.append(f"Above the maximum, with extra credit: {listed(self.above)}.")
        if self.commented:
            said.append(f"A comment was there already and stays: {listed(self.commented)}.")
        if self.public:
            said.append("The class table holds verdicts of the public checks alone.")
        if self.already_formulas:
            said.append(
                f"{_count(self.already_formulas, 'cell')} of the file itself a spreadsheet may take for a formula; "
                "such cells were left as they are. Upload the file without opening it in one."
            )
        return said


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def listed(items: Sequence[str]) -> str:
    """All of a short list, the beginning of a long one and how many more there are; on one line."""
    some = [" ".join(item.split()) for item in items[:MOST_NAMED]]
    more = len(items) - len(some)
    return "; ".join(some) + (f"; and {more} more" if more else "")
