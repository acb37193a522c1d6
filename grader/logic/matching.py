"""Which exercise a file is for, and whose it is: by its name, its place and what it holds. Pure; nothing is read here.

A learner hands in what they like under what name they like. So a name is believed where it is exactly what the exercise's
file is called; else what the file holds counts more, and every guess comes with a note that says what it rests on.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from typing import NamedTuple

from grader.model.types import Exercise

# How sure it is that a file is the work for an exercise. Files of one level are equals: choosing among them is a question.
PRESCRIBED = 4  # the name that is asked for, at the place where it is asked for
NAMED = 3  # named after the exercise, or holding all of it
PARTLY = 2  # holding some of its functions
PLACED = 1  # only lying where the exercise's file belongs


# ---------------------------------------------------------------- names


class Named(NamedTuple):
    """An exercise that a name names: whether the name is nothing else, and what is left of the name without it."""

    exercise: Exercise
    is_exact: bool
    rest: str


def names_in(text: str, exercises: Sequence[Exercise]) -> list[Named]:
    """The exercises that a file's name without its suffix, or a folder's name, names, in the order of ``exercises``.

    By name, module or folder, in any case and as a word of its own (``Multi-Head (1)`` names multihead); where there is
    no such word, by number (``exNN``, ``exercise 1``).
    """
    for forms in (_words, _numbers):
        found = [(exercise, _spans(text, forms(exercise))) for exercise in exercises]
        named = [
            Named(exercise, text.casefold() in _words(exercise), _without(text, spans))
            for exercise, spans in found
            if spans
        ]
        if named:
            return named
    return []


def exactly_named(text: str, exercises: Sequence[Exercise]) -> Exercise | None:
    """The exercise of that name, module or folder; of a renumbered one too (``exNN_attention``)."""
    bare = re.sub(r"^ex\d\d_", "", text.casefold())
    return next((exercise for exercise in exercises if {text.casefold(), bare} & set(_words(exercise))), None)


def code_suffix(name: str) -> str:
    """``.ipynb`` or ``.py`` for what may be a submission, else nothing; browsers save ``attention.ipynb.txt``, too."""
    match = re.search(r"\.(ipynb|py)(?:\.txt|\.json)?$", name, re.IGNORECASE)
    return f".{match[1].lower()}" if match else ""


def stem_of(name: str) -> str:
    """A file's name without what `code_suffix` reads."""
    return re.sub(r"\.(ipynb|py)(?:\.txt|\.json)?$", "", name, flags=re.IGNORECASE)


_NOISE = "final|copy|of|by|new|old|submission|solution|solved|done|version|kopie|abgabe|homework|hw|exercise|v?\\d{1,2}"
_ENDS = re.compile(
    rf"^(?:[\W_]|(?:{_NOISE})(?=[\W_]|$))+|(?:[\W_]|(?<![^\W_])(?:{_NOISE})(?=[\W_]*$))+$", re.IGNORECASE
)


def without_noise(text: str) -> str:
    """A name less separators and words such as ``final``, ``v2`` or ``(1)`` at both of its ends; maybe nothing."""
    before = ""
    while before != text:
        before, text = text, _ENDS.sub("", text)
    return text


def _words(exercise: Exercise) -> tuple[str, ...]:
    return exercise.folder.casefold(), exercise.name.casefold(), exercise.module.rpartition(".")[0].casefold()


def _numbers(exercise: Exercise) -> tuple[str, ...]:
    number = exercise.number.lstrip("0") or "0"
    return tuple(f"ex{more}{zeros}{number}" for more in ("", "ercise") for zeros in ("", "0"))


def _spans(text: str, words: Iterable[str]) -> list[tuple[int, int]]:
    """Where one of the words stands in the text as a word of its own; characters between its letters do not matter."""
    spans: list[tuple[int, int]] = []
    for word in words:
        for match in _spelled(word).finditer(text):
            inside = any(start <= match.start() < end for start, end in spans)
            if not inside and _ends_at(text, match.start()) and _ends_at(text, match.end()):
                spans.append(match.span())
    return spans


@functools.cache
def _spelled(word: str) -> re.Pattern[str]:
    return re.compile(r"[\W_]*".join(re.escape(letter) for letter in word if letter.isalnum()), re.IGNORECASE)


def _ends_at(text: str, at: int) -> bool:
    """Whether one word ends and another begins there."""
    if not 0 < at < len(text):
        return True
    left, right = text[at - 1], text[at]
    if left.isdigit() and right.isdigit():
        return False
    return not (left.isalpha() and right.isalpha()) or (left.islower() and right.isupper())


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    kept, at = [], 0
    for start, end in sorted(spans):
        kept.append(text[at:start])
        at = end
    return without_noise("".join([*kept, text[at:]]))


# ---------------------------------------------------------------- content


class Likeness(NamedTuple):
    """The exercise that a file's content speaks of, what says so, and whether that leaves no doubt."""

    exercise: Exercise
    by: str
    is_sure: bool


class Content(NamedTuple):
    """What of a file tells its exercise: the source of its cells, and nbgrader's ids of cells."""

    sources: tuple[str, ...]
    grade_ids: tuple[str, ...] = ()


def content_of(data: object) -> Content:
    """The same of a notebook (parsed JSON), whatever else is wrong with it."""
    cells = data.get("cells") if isinstance(data, dict) else None
    sources, ids = [], []
    for cell in cells if isinstance(cells, list) else ():
        if not isinstance(cell, dict):
            continue
        source = cell.get("source", "")
        if isinstance(source, list):
            source = "".join(line for line in source if isinstance(line, str))
        if isinstance(source, str) and cell.get("cell_type") == "code":
            sources.append(source)
        metadata = cell.get("metadata")
        nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        identity = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
        ids += [identity] if isinstance(identity, str) and len(identity) <= 200 else []
    return Content(tuple(sources), tuple(ids))


_CHECK = re.compile(r"""\bcheck\(\s*["'](\w+)["']""")
_GRADE_ID = re.compile(r"(\w+)-.+-(?:code|public|hidden)$")
_DEFINED = re.compile(r"^([ \t]*)(?:(class)|(?:async[ \t]+)?def)[ \t]+(\w+)", re.MULTILINE)


def likeness(content: Content, exercises: Sequence[Exercise]) -> Likeness | None:
    """The one exercise that the content speaks of most; None where it speaks of none, or of two alike.

    Asked are, in this order, nbgrader's cells, the cells that call ``check("attention", …)``, and which of an exercise's
    functions are defined. The last leaves no doubt where all of them are.
    """
    by_name = {exercise.name: exercise for exercise in exercises}
    ids = (match[1] for identity in content.grade_ids if (match := _GRADE_ID.match(identity)))
    checks = (name for source in content.sources for name in _CHECK.findall(source))
    for names, by in ((ids, "its nbgrader cells"), (checks, "its check cells")):
        counts = Counter(name for name in names if name in by_name)
        best = _most((by_name[name], count) for name, count in counts.items())
        if best is not None:
            return Likeness(best, by, True)
    known = {name for source in content.sources for name in defined(source)}
    shares = [(exercise, len(known.intersection(exercise.blanked)) / len(exercise.blanked)) for exercise in exercises]
    best = _most((exercise, share) for exercise, share in shares if share)
    if best is None:
        return None
    count = len(known.intersection(best.blanked))
    functions = f"its functions ({count} of {len(best.blanked)})"
    return Likeness(best, functions, count == len(best.blanked))


def defined(source: str) -> set[str]:
    """Functions and methods (``Class.method``) that a source defines, as far as its lines tell; it need not be Python."""
    names: set[str] = set()
    outer = ""
    for indent, is_class, name in _DEFINED.findall(source):
        if is_class:
            outer = "" if indent else name
        elif not indent:
            outer = ""
            names.add(name)
        elif outer:
            names.add(f"{outer}.{name}")
    return names


def _most(counted: Iterable[tuple[Exercise, float]]) -> Exercise | None:
    ordered = sorted(counted, key=lambda pair: -pair[1])
    if not ordered or (len(ordered) > 1 and ordered[0][1] == ordered[1][1]):
        return None
    return ordered[0][0]


# ---------------------------------------------------------------- both together


class Match(NamedTuple):
    """The exercise that a file is taken for, how sure that is, and the note that shows a guess."""

    exercise: Exercise
    level: int
    note: str


def match(
    stem: str,
    content: Likeness | None,
    place: Exercise | None,
    exercises: Sequence[Exercise],
    *,
    is_prescribed: bool = False,
) -> Match | None:
    """What a file is for: ``stem`` is its name without suffix and a system's additions, ``place`` what its folder is for.

    An exact name is believed, even against the content; the content, against a name that says more than the exercise's.
    Some functions of an exercise say nothing in another one's folder. ``is_prescribed``: at this place a file of this kind
    is asked for by name.
    """
    exact = exactly_named(stem, exercises)
    if exact is not None:
        odd = f"its content looks like {content.exercise.name}" if content and content.exercise is not exact else ""
        return Match(exact, PRESCRIBED if is_prescribed and exact is place else NAMED, odd)
    named = [found.exercise for found in names_in(stem, exercises)]
    if len(named) > 1 and place in named:
        named = [place]
    elsewhere = place is not None and content is not None and content.exercise is not place
    if content is not None and (content.exercise in named or content.is_sure or not elsewhere):
        name = "its name and " if content.exercise in named else ""
        though = f", though its name says {named[0].name}" if named and not name else ""
        return Match(
            content.exercise, NAMED if name or content.is_sure else PARTLY, f"matched by {name}{content.by}{though}"
        )
    if len(named) == 1:
        return Match(named[0], NAMED, "matched by its name alone")
    return Match(place, PLACED, "matched by its folder alone") if place is not None and not named else None


# ---------------------------------------------------------------- who


class Owner(NamedTuple):
    """Whose a file is by a system's naming: the name, the system's number for them, and what remains of the name."""

    name: str
    number: str
    rest: str
    is_late: bool = False
    file_number: int = 0


# PREFIX_assignsubmission_TYPE as a folder (before Moodle 4 with one more underscore) or before the file's name; PREFIX is
# the name without underscores and the participant's number in this assignment, in groups the group's:
# https://github.com/moodle/moodle/blob/main/public/mod/assign/classes/downloader.php
_MOODLE = re.compile(
    r"(?P<name>.+?)(?:_(?P<number>\d+))?_assignsubmission_(?:file|onlinetext)(?:_(?P<rest>.*))?$", re.DOTALL
)

# NAME_[LATE_]USER_FILE_TITLE, or [LATE_]anon_ID_FILE_TITLE where marking is anonymous:
# https://github.com/instructure/canvas-lms/blob/master/lib/content_zipper.rb
_CANVAS = re.compile(
    r"(?:(?P<name>\w+?)_(?P<late>LATE_)?(?P<number>\d+)|(?P<late2>LATE_)?(?P<anonymous>anon_[^\W_]+))"
    r"_(?P<file>\d+)_(?P<rest>.+)$",
    re.DOTALL,
)
# Canvas makes a title unique among a user's files by -1, -2, …: https://github.com/instructure/canvas-lms/blob/master/app/models/attachment.rb
_AGAIN = re.compile(r"-(\d{1,3})$")


def moodle_owner(part: str) -> Owner | None:
    """Whose a folder or file of Moodle's download is; ``rest`` is the file's own name, empty for a folder."""
    match = _MOODLE.match(part)
    return Owner(match["name"].strip(), match["number"] or "", match["rest"] or "") if match else None


def canvas_owner(part: str) -> Owner | None:
    """Whose a file of Canvas's download is; ``rest`` is the file's own name."""
    match = _CANVAS.match(part)
    if not match:
        return None
    late = bool(match["late"] or match["late2"])
    return Owner(match["name"] or match["anonymous"], match["number"] or "", match["rest"], late, int(match["file"]))


def resubmission(stem: str) -> tuple[str, int]:
    """A Canvas title without its ``-1``, and that number, 0 where there is none."""
    match = _AGAIN.search(stem)
    return (stem[: match.start()], int(match[1])) if match and match.start() else (stem, 0)


def username(repository: str, slug: str, exercises: Sequence[Exercise]) -> str:
    """The user of a GitHub Classroom repository, ``SLUG-USERNAME``; the whole name where the slug is not known.

    An exercise's name counts as a slug. https://github.com/github/gh-classroom clones into ``SLUG-submissions/``.
    """
    slugs = [slug, *(word for exercise in exercises for word in _words(exercise))]
    for known in slugs:
        if known and repository.casefold().startswith(f"{known.casefold()}-") and len(repository) > len(known) + 1:
            return repository[len(known) + 1 :]
    return repository


def common_slug(repositories: Sequence[str]) -> str:
    """What the names of several repositories have in common up to a hyphen; nothing for fewer than two."""
    if len(repositories) < 2:
        return ""
    first, last = min(repositories), max(repositories)
    length = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return first[:length].rpartition("-")[0]


# ---------------------------------------------------------------- one of several


@dataclass(frozen=True)
class Candidate:
    """A file that may be one student's work for one exercise.

    ``is_stub``: as handed out. ``again`` and ``file_number``: Canvas's count of uploads and its number for the file.
    """

    file: str
    digest: str
    level: int
    is_readable: bool = True
    is_stub: bool = False
    again: int = 0
    file_number: int = 0

    @property
    def is_expected(self) -> bool:
        """Whether it is the half of a pair, module and notebook, that a learner does not work in: nothing to speak of."""
        return self.is_stub and self.level == PRESCRIBED


@dataclass(frozen=True)
class Choice:
    """The file taken, or None where several equals remain in ``rivals``; why, where others were there; and those others."""

    taken: Candidate | None
    why: str
    rivals: tuple[Candidate, ...]
    others: tuple[tuple[Candidate, str], ...]


def choose(candidates: Sequence[Candidate]) -> Choice:
    """The one of a student's files for an exercise that counts, where a rule says so.

    In this order: one for which not only its folder speaks; one that was worked in before one as handed out; one that can
    be read before one that cannot; the surer match; of files with the same bytes the first; of Canvas's uploads the newest,
    if its count and its number agree. What is left then is a question. ``candidates`` has one or more.
    """
    left = sorted(candidates, key=lambda one: (-one.level, one.file))
    others: list[tuple[Candidate, str]] = []
    whys: list[str] = []

    def keep(kept: list[Candidate], of_others: str, why: str) -> None:
        if kept and len(kept) < len(left):
            dropped = [one for one in left if one not in kept]
            others.extend((one, of_others) for one in dropped)
            if not all(one.is_expected for one in dropped):
                whys.append(why)
            left[:] = kept

    keep([one for one in left if one.level > PLACED], "fits less well than {taken}", "")
    keep([one for one in left if not one.is_stub], "is as handed out, unlike {taken}", "the others are as handed out")
    keep([one for one in left if one.is_readable], "cannot be read, unlike {taken}", "the others cannot be read")
    if all(one.is_stub for one in left):
        keep(left[:1], "is as handed out, too", "all are as handed out")
    keep(
        [one for one in left if one.level == left[0].level],
        "fits less well than {taken}",
        "the best match of several files",
    )
    first_of = {one.digest: one for one in reversed(left)}
    keep([one for one in left if first_of[one.digest] is one], "has the same bytes as {taken}", "the same bytes twice")
    newest = max(left, key=lambda one: (one.again, one.file_number))
    older = [one for one in left if one is not newest]
    if all(one.again < newest.again and one.file_number < newest.file_number for one in older):
        keep([newest], "is older than {taken}", "the newest upload")
    others = [(one, why.replace("{taken}", left[0].file)) for one, why in others]
    if len(left) > 1:
        return Choice(None, "", tuple(left), tuple(others))
    return Choice(left[0], "; ".join(filter(None, whys)), (), tuple(others))


# ---------------------------------------------------------------- when


def timestamp(text: str) -> datetime | None:
    """The time in nbgrader's ``timestamp.txt``, in UTC; None for anything that is no time.

    ``2015-02-02 15:58:23.948203`` with nothing or a zone behind it: ``UTC``, ``America/Los_Angeles``, ``+0100``. As
    nbgrader does, a short name that is no zone's (``PST``) is passed over and the time taken for UTC; a place that is not
    known gives None.
    """
    found = re.match(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,6})\d*)?)?\s*(.*)$", text.strip())
    if not found:
        return None
    try:
        moment = datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00'}").replace(
            microsecond=int((found[3] or "0").ljust(6, "0"))
        )
        zone = _zone(found[4])
        return None if zone is None else moment.replace(tzinfo=zone).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _zone(name: str) -> tzinfo | None:
    from zoneinfo import ZoneInfo

    offset = re.fullmatch(r"([+-])(\d\d):?(\d\d)", name)
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3])
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    if name in ("", "Z", "UTC", "UCT", "GMT"):
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return timezone.utc if re.fullmatch(r"[A-Za-z]{1,5}", name) else None
