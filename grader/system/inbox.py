"""What a class handed in: a folder or an archive, whoever made it, as one list of submissions.

Nothing is unpacked to disk, no link is followed, and no student's file stops the rest: what cannot be read is a submission
with a problem, or is left out with a reason.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import json
import os
import re
import shlex
import stat
import unicodedata
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import IO

from grader.logic import matching
from grader.logic.matching import Candidate, Content, Likeness
from grader.model.errors import UsageError
from grader.model.types import INSIDE_ZIP, Exercise, Submission
from grader.system.course import FOLDER
from grader.system.submission import MAX_BYTES, parse_with_book

KINDS = {
    "nbgrader": "what nbgrader collected",
    "moodle": "a download from Moodle",
    "canvas": "a download from Canvas",
    "classroom": "clones of the course",
    "loose": "loose files",
}

MAX_ENTRIES = 20_000  # in an archive, or in a folder with all below it
MAX_ENTRIES_INSIDE = 2_000  # in an archive in an archive
MAX_DIRECTORY = 8 * 1024 * 1024  # bytes of an archive's list of its entries
MAX_UNPACKED = 512 * 1024 * 1024  # bytes taken out of one archive
MAX_UNPACKED_INSIDE = 64 * 1024 * 1024  # bytes of an archive in an archive, and as many taken out of it
MAX_NAME = 500
MAX_DEPTH = 30

_LITTER = re.compile(
    r"\.|~\$|(?:__MACOSX|__pycache__|desktop\.ini|Thumbs\.db|node_modules|site-packages|venv)$", re.IGNORECASE
)
_HANDED_OUT = {"readme.md", "test_public.py", "experiment.py", "timestamp.txt", "submission_secret.txt"}
_PACKED = re.compile(r"\.(?:tar|tgz|gz|bz2|xz|7z|rar)$", re.IGNORECASE)
_NOTHING = hashlib.sha256(b"").hexdigest()

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Handed:
    """One student's work for one exercise.

    ``file``: relative to the folder, with ``/`` between its parts, ``archive.zip!member`` inside a zip. ``note``: what a
    guess rests on, and what else is worth a look. ``digest``: sha256 of the file's bytes; of nothing where they could not
    be had; of all digests where it is a question which of ``candidates`` counts: then the submission's ``problem`` asks.
    ``timestamp``: nbgrader's, in UTC.
    """

    student: str
    file: str
    exercise: str
    note: str
    submission: Submission
    digest: str
    timestamp: datetime | None = None
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A file that is not graded, and why."""

    file: str
    why: str


@dataclass(frozen=True)
class Inbox:
    """What was found, in order of student, exercise and file; ``kind`` is one of `KINDS`."""

    kind: str
    handed: tuple[Handed, ...]
    left_out: tuple[LeftOut, ...]


def look_through(
    folder: Path,
    exercises: Sequence[Exercise],
    *,
    take: Mapping[tuple[str, str], str] | None = None,
    taken_before: Mapping[tuple[str, str], str] | None = None,
    stubs: Mapping[str, set[str]] | None = None,
) -> Inbox:
    """What was handed in for these exercises, in a folder or a zip of one of the `KINDS`.

    ``take`` settles questions: from (student, exercise's name) to a file, as the inbox names them; the end of its name will
    do. ``taken_before`` says the same of an earlier time, and counts as far as it still fits. ``stubs``: by exercise's
    name the sha256 of its files as handed out; such a file does not count where the student has another. An exercise that
    is as handed out in all clones is left out where another is not. `UsageError` where there is no such folder or zip,
    nothing in it is for one of the exercises, or ``take`` names what is not there.
    """
    listing = _Listing(tuple(exercises))
    base = _open(folder, listing)
    inbox = _Sorting(folder, tuple(exercises), listing, base, stubs or {}).inbox(take or {}, taken_before or {})
    if not inbox.handed:
        found = "".join(f"\n  {one.file}: {one.why}" for one in inbox.left_out[:5])
        raise UsageError(
            f"Nothing in {folder} is a notebook or module of {_names(exercises)}.{found}",
            "Name the folder or zip with what students handed in.",
        )
    return inbox


def _open(folder: Path, listing: _Listing) -> Parts | None:
    """List what is there; the place of the students' folders where nbgrader's own are."""
    mend = "Name the folder or zip with what students handed in."
    try:
        is_there = folder.exists()
    except OSError as error:
        raise UsageError(f"{folder} cannot be opened: {error.strerror}.", mend) from error
    if not is_there:
        raise UsageError(f"There is no {folder}.", "Check the name; the current folder counts for relative names.")
    if matching.code_suffix(folder.name) and folder.is_file():
        raise UsageError(f"{folder} is a single submission.", "Name its folder, or grade it with `grader check`.")
    if not folder.is_dir():
        problem = listing.add_zip(folder.resolve(), (), folder.name)
        if problem:
            raise UsageError(f"{folder} cannot be taken for a zip: {problem}.", mend)
        return None
    submitted = folder / "submitted"
    if submitted.is_symlink():
        raise UsageError(f"{submitted} is a link, which is not followed.", "Name the folder that it leads to.")
    if submitted.is_dir():
        listing.add_folder(submitted, ("submitted",))
    elif (folder / "nbgrader_config.py").exists():
        raise UsageError(
            f"{folder} is an nbgrader course without submissions.",
            "Collect them first: `nbgrader collect` or `nbgrader zip_collect`.",
        )
    else:
        listing.add_folder(folder, ())
    if not listing.items and not listing.left_out:
        raise UsageError(f"{folder} is empty.", mend)
    if submitted.is_dir():
        return ("submitted",)
    three_deep = any(item.read and len(item.parts) > 2 for item in listing.items)
    return () if folder.resolve().name == "submitted" and three_deep else None


# ---------------------------------------------------------------- what is there


class _Unreadable(Exception):
    """A file's bytes cannot be had; the message goes on from the file's name."""


@dataclass(frozen=True)
class _Read:
    """What is kept of a notebook or module; ``plain`` is the digest with ``\\n`` for all line ends."""

    submission: Submission
    digest: str
    plain: str
    likeness: Likeness | None


@dataclass(frozen=True)
class _Item:
    """A file or folder. An archive is a folder with its members; ``text`` is there for timestamps only."""

    parts: Parts
    file: str
    is_folder: bool = False
    read: _Read | None = None
    text: str = ""


@dataclass
class _Listing:
    """Everything in a folder or archive that may matter, notebooks and modules read."""

    exercises: tuple[Exercise, ...]
    items: list[_Item] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def add_folder(self, folder: Path, parts: Parts) -> None:
        """A folder with all below it; of a clone of the course only its ``exercises/``."""
        left = [(folder, parts)]
        count = 0
        while left:
            path, parts = left.pop()
            try:
                with os.scandir(path) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
                folders = {
                    entry.name for entry in entries if not _is_link(entry) and entry.is_dir(follow_symlinks=False)
                }
            except OSError as error:
                self.leave(_shown(parts), f"cannot be opened: {error.strerror}")
                continue
            is_course = "exercises" in folders and _has_exercises(path / "exercises")
            for entry in entries:
                if _LITTER.match(entry.name) or (is_course and entry.name != "exercises"):
                    continue
                count += 1
                if count > MAX_ENTRIES:
                    raise UsageError(
                        f"{folder} holds more than {MAX_ENTRIES} files and folders.",
                        "Name the folder that holds only what students handed in.",
                    )
                inner = (*parts, _printable(entry.name))
                if _is_link(entry):
                    self.leave(_shown(inner), "is a link, which is not followed")
                elif len(inner) > MAX_DEPTH:
                    self.leave(_shown(inner), "lies too deep")
                elif entry.name in folders:
                    self.items.append(_Item(inner, _shown(inner), is_folder=True))
                    left.append((path / entry.name, inner))
                else:
                    self._add_file(path / entry.name, inner)

    def add_zip(self, path: Path, parts: Parts, shown: str) -> str:
        """The members of a zip on disk; why it cannot be read, or nothing."""
        try:
            with _opened(path) as file:
                return self._add_archive(file, parts, shown + INSIDE_ZIP, is_inside=False)
        except OSError as error:
            return str(error.strerror)

    def leave(self, file: str, why: str) -> None:
        """Name a file that nothing more is done with."""
        self.left_out.append(LeftOut(file, why))

    def _add_file(self, path: Path, parts: Parts) -> None:
        shown = _shown(parts)
        if _is_zip(parts[-1]):
            self.items.append(_Item(parts, shown, is_folder=True))
            if problem := self.add_zip(path, parts, shown):
                self.leave(shown, f"cannot be taken for a zip: {problem}")
        elif not _is_wanted(parts[-1]):
            self.items.append(_Item(parts, shown))
        else:
            data: bytes | _Unreadable
            try:
                with _opened(path) as file:
                    data = _at_most(file, os.fstat(file.fileno()).st_size, MAX_BYTES)
            except OSError as error:
                data = _Unreadable(f"cannot be read: {error.strerror}")
            except _Unreadable as problem:
                data = problem
            self._add_bytes(parts, shown, data)

    def _add_bytes(self, parts: Parts, shown: str, data: bytes | _Unreadable) -> None:
        if matching.code_suffix(parts[-1]):
            self.items.append(_Item(parts, shown, read=_taken_in(parts[-1], data, self.exercises)))
        else:
            text = "" if isinstance(data, _Unreadable) else data[:200].decode("utf-8", "replace")
            self.items.append(_Item(parts, shown, text=text))

    def _add_archive(self, file: IO[bytes], parts: Parts, shown: str, *, is_inside: bool) -> str:
        most = MAX_ENTRIES_INSIDE if is_inside else MAX_ENTRIES
        budget = MAX_UNPACKED_INSIDE if is_inside else MAX_UNPACKED
        try:
            if _directory_size(file) > MAX_DIRECTORY:
                return "its list of files is too long"
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                if len(members) > most:
                    return f"it holds more than {most} files"
                for member in members:
                    budget -= self._add_member(archive, member, parts, shown, budget, is_inside)
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            return f"it is damaged, or another kind of file ({error})"
        return ""

    def _add_member(
        self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, parts: Parts, shown: str, budget: int, is_inside: bool
    ) -> int:
        """One member of an archive; how many bytes were unpacked for it."""
        name = _printable(_name_of(member))
        inner = tuple(part for part in re.split(r"[/\\]", name) if part not in ("", "."))
        file, parts = shown + "/".join(inner), (*parts, *inner)
        if not inner or any(_LITTER.match(part) for part in inner if part != ".."):
            return 0
        if ".." in inner or re.match(r"[/\\]|[A-Za-z]:", name):
            self.leave(file[:MAX_NAME], "has a name that leads out of the archive")
        elif len(name) > MAX_NAME or len(parts) > MAX_DEPTH:
            self.leave(file[:MAX_NAME], "has a name that is too long")
        elif name.endswith(("/", "\\")):
            self.items.append(_Item(parts, file, is_folder=True))
        elif stat.S_ISLNK(member.external_attr >> 16):
            self.leave(file, "is a link, which is not followed")
        elif _is_zip(name) and is_inside:
            self.leave(file, "is an archive in an archive in an archive, which is not opened")
        elif not _is_zip(name) and not _is_wanted(inner[-1]):
            self.items.append(_Item(parts, file))
        else:
            return self._unpack(
                archive, member, parts, file, min(budget, MAX_UNPACKED_INSIDE if _is_zip(name) else MAX_BYTES)
            )
        return 0

    def _unpack(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, parts: Parts, file: str, most: int) -> int:
        data: bytes | _Unreadable
        try:
            data = _member_bytes(archive, member, most)
        except _Unreadable as problem:
            data = problem
        if not _is_zip(file):
            self._add_bytes(parts, file, data)
        else:
            self.items.append(_Item(parts, file, is_folder=True))
            if isinstance(data, _Unreadable):
                self.leave(file, str(data))
            elif problem := self._add_archive(BytesIO(data), parts, file + INSIDE_ZIP, is_inside=True):
                self.leave(file, f"cannot be taken for a zip: {problem}")
        return member.file_size if member.file_size <= most else 0


def _name_of(member: zipfile.ZipInfo) -> str:
    """A member's name. Without the flag for UTF-8 a zip's names are said to be in code page 437, but many tools write UTF-8."""
    if not member.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            return member.filename.encode("cp437").decode("utf-8")
    return member.filename


def _taken_in(name: str, data: bytes | _Unreadable, exercises: Sequence[Exercise]) -> _Read:
    suffix = matching.code_suffix(name)
    called = matching.stem_of(name) + suffix
    if isinstance(data, _Unreadable):
        return _Read(Submission(called, (), f"The file {data}."), _NOTHING, _NOTHING, None)
    digest = _sum(data)
    plain = _sum(data.replace(b"\r\n", b"\n")) if b"\r\n" in data else digest
    submission, book = parse_with_book(called, data)
    text = data.decode("utf-8-sig", "replace") if book is None else ""
    if suffix == ".ipynb" and book is None:  # it cannot be graded; what it is for can be told all the same
        with contextlib.suppress(ValueError, RecursionError):
            book = json.loads(text)
    content = matching.content_of(book) if suffix == ".ipynb" else Content((text,))
    return _Read(submission, digest, plain, matching.likeness(content, exercises))


def _opened(path: Path) -> IO[bytes]:
    """An ordinary file, open for reading; OSError for a link, a pipe or a device, which may never end."""
    flags = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))
    descriptor = os.open(path, os.O_RDONLY | flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no ordinary file")
    return os.fdopen(descriptor, "rb")


def _at_most(file: IO[bytes], size: int, most: int) -> bytes:
    """All of a file, whatever size it claims to have."""
    data = file.read(most + 1) if size <= most else b""
    if max(size, len(data)) > most:
        raise _Unreadable(f"has {max(size, len(data)) >> 20} MB; {most >> 20} MB are the most that is read here")
    return data


def _member_bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    if member.flag_bits & 1:
        raise _Unreadable("is protected by a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Unreadable("is compressed in a way that is not read here")
    try:
        with archive.open(member) as file:
            data = _at_most(file, member.file_size, most)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise _Unreadable(f"is damaged in its archive ({error})") from error
    if len(data) != member.file_size:
        raise _Unreadable("is damaged in its archive (it ends too early)")
    return data


def _directory_size(file: IO[bytes]) -> int:
    """How long a zip's list of its entries is, which `zipfile` reads whole whatever it claims to hold."""
    size = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, size - 66_000))
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0:
        return 0
    listed = int.from_bytes(tail[end + 12 : end + 16], "little")
    if tail[max(0, end - 20) : end].startswith(b"PK\6\7"):  # the end of a zip64 stands right before
        file.seek(max(0, start + end - 76))
        record = file.read(56)
        listed = max(listed if listed < 0xFFFFFFFF else 0, int.from_bytes(record[40:48], "little"))
    return listed


def _has_exercises(folder: Path) -> bool:
    try:
        return any(FOLDER.match(name) for name in os.listdir(folder))
    except OSError:
        return False


def _is_link(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() or bool(getattr(entry, "is_junction", lambda: False)())


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _is_wanted(name: str) -> bool:
    """Whether a file's bytes are needed."""
    return bool(matching.code_suffix(name)) or name == "timestamp.txt"


def _printable(name: str) -> str:
    """A file's name as text that can be written anywhere; what is no text in it is replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _shown(parts: Parts) -> str:
    return "/".join(parts)


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------- whose it is


@dataclass(frozen=True)
class _Person:
    """Whose something is, by a system's naming or by a folder: ``scope`` is where the number means this person."""

    name: str
    number: str = ""
    scope: Parts = ()


@dataclass(frozen=True)
class _Owned:
    """An item with its owner, None where only the file's own name can tell; ``stem`` is that name less a system's additions.

    ``place`` is the exercise that its folder is for, or that it is the folder of, where ``is_place``.
    """

    item: _Item
    person: _Person | None
    stem: str
    place: Exercise | None
    is_place: bool = False
    is_prescribed: bool = False
    is_late: bool = False
    again: int = 0
    file_number: int = 0


class _Sorting:
    """From a listing to what each student handed in for each exercise."""

    def __init__(
        self,
        folder: Path,
        exercises: tuple[Exercise, ...],
        listing: _Listing,
        base: Parts | None,
        stubs: Mapping[str, set[str]],
    ) -> None:
        self.exercises = exercises
        self.listing = listing
        self.stubs = stubs
        self.items = _last_of_each(listing)
        self.roots = {root for item in self.items if (root := _root(item.parts)) is not None}
        self.folder_name = _bare(_printable(folder.resolve().name))
        self.is_canvas = _is_canvas(self.items)
        self.kind, self.prefix = ("nbgrader", base) if base is not None else self._recognised()
        self.slug = self._slug()
        self.times = {item.parts[:-1]: matching.timestamp(item.text) for item in self.items if item.text}
        self.untouched: set[tuple[str, str]] = set()

    def inbox(self, take: Mapping[tuple[str, str], str], taken_before: Mapping[tuple[str, str], str]) -> Inbox:
        """All of it: sorted by owner, matched with exercises, one file chosen for each."""
        owned = [one for item in self.items if (one := self._owned(item)) is not None]
        students = self._students(owned)
        found: dict[tuple[str, str], list[tuple[_Owned, Candidate, str]]] = defaultdict(list)
        whose: dict[str, str] = {}
        for one in owned:
            read, name = one.item.read, one.item.parts[-1]
            if read is None:
                self._leave_other(one.item)
                continue
            match = matching.match(one.stem, read.likeness, one.place, self.exercises, is_prescribed=one.is_prescribed)
            if match is None and read.submission.problem and len(self.exercises) == 1:
                match = matching.Match(self.exercises[0], matching.PLACED, "cannot be read, and nothing else is graded")
            is_guess = match is None or match.level == matching.PLACED
            if name.lower() in _HANDED_OUT and (is_guess or _root(one.item.parts) is not None):
                continue
            student, how = students[one.person], ""
            if one.person is None:
                student, how = self._student_of(one.stem, match.exercise if match else None)
            whose[one.item.file] = student
            if match is None:
                self.listing.leave(
                    one.item.file, f"neither its name nor its content tells that it is for {self._names}"
                )
            else:
                note = _joined(match.note, how)
                found[student, match.exercise.name].append((one, self._candidate(one, match), note))
        self._leave_helpers(found)
        taken = self._taken_before(taken_before, owned, whose)
        taken |= self._taken(take, owned, whose, {*students.values(), *whose.values()} - {""})
        handed = [self._handed(*key, found.get(key, []), taken.get(key)) for key in {**found, **taken}]
        handed = self._begun(handed)
        handed += self._missing(owned, students, handed)
        return Inbox(
            self.kind,
            tuple(sorted(handed, key=lambda one: (one.student, one.exercise, one.file))),
            tuple(sorted(set(self.listing.left_out), key=lambda one: (one.file, one.why))),
        )

    @property
    def _names(self) -> str:
        return _names(self.exercises)

    # ------------------------------------------------ the folder as a whole

    def _recognised(self) -> tuple[str, Parts]:
        """The kind, and the folders that everything lies in and that are nobody's."""
        prefix: Parts = ()
        while True:
            depth = len(prefix)
            below = [item for item in self.items if item.parts[:depth] == prefix and len(item.parts) > depth]
            folders = {item.parts[depth] for item in below if item.is_folder or len(item.parts) > depth + 1}
            if any(item.read and item.parts[depth] == "submitted" and len(item.parts) > depth + 3 for item in below):
                return "nbgrader", (*prefix, "submitted")
            only = next(iter(folders)) if len(folders) == 1 else ""
            if not only or any(item.read and len(item.parts) == depth + 1 for item in below):
                break
            if only == "exercises" or matching.moodle_owner(only) or (self.is_canvas and matching.canvas_owner(only)):
                break
            prefix = (*prefix, only)
        if any(matching.moodle_owner(part) for item in self.items for part in item.parts):
            return "moodle", prefix
        if self.is_canvas:
            return "canvas", prefix
        return "classroom" if self.roots else "loose", prefix

    def _slug(self) -> str:
        if self.kind != "classroom":
            return ""
        for name in (self.folder_name, *map(_bare, self.prefix)):
            if name.endswith("-submissions"):
                return name.removesuffix("-submissions")
        depth = len(self.prefix)
        return matching.common_slug(sorted({root[depth] for root in self.roots if len(root) > depth}))

    @property
    def _nobodys(self) -> str:
        """Who handed in what no folder and no name speaks for."""
        names = [_bare(part) for part in reversed(self.prefix)]
        if self.kind == "classroom":
            return _tidy(matching.username((*names, self.folder_name)[0], self.slug, self.exercises))
        return _tidy(next((name for name in names if not matching.names_in(name, self.exercises)), self.folder_name))

    # ------------------------------------------------ one file or folder

    def _owned(self, item: _Item) -> _Owned | None:
        """The item with its owner; None for what does not matter."""
        parts, depth = item.parts, len(self.prefix)
        if parts[:depth] != self.prefix or len(parts) == depth:
            return None
        root = _root(parts)
        if root is not None and len(parts) != len(root) + (2 if item.is_folder else 3):
            return None
        if root is None and any(parts[:length] in self.roots for length in range(len(parts))):
            return None  # a clone of the course, of which only exercises/exNN_name/ is theirs
        place = self._place(parts if item.is_folder else parts[:-1])
        if root is not None and place is None:
            return None
        is_place = item.is_folder and place is not None and self._place(parts[:-1]) is None
        named = _Owned(item, None, matching.stem_of(parts[-1]), place, is_place, is_prescribed=root is not None)
        if self.kind == "nbgrader":
            if len(parts) == depth + 1 and not item.is_folder:
                self.listing.leave(item.file, "lies beside the students' folders")
                return None
            is_asked = len(parts) == depth + 3 and matching.code_suffix(parts[-1]) == ".ipynb"
            return replace(named, person=_Person(_bare(parts[depth])), is_prescribed=is_asked or named.is_prescribed)
        return self._by_system(named) or self._by_folder(named, root)

    def _by_system(self, named: _Owned) -> _Owned | None:
        parts = named.item.parts
        for at, part in enumerate(parts):
            is_own_name = at == len(parts) - 1
            if (owner := matching.moodle_owner(part)) is not None:
                stem = matching.stem_of(owner.rest) if is_own_name else named.stem
                return replace(named, person=_Person(owner.name, owner.number, parts[:at]), stem=stem)
            if self.is_canvas and (owner := matching.canvas_owner(part)) is not None:
                stem, again = matching.resubmission(matching.stem_of(_bare(owner.rest)))
                return replace(
                    named,
                    person=_Person(owner.name, owner.number),
                    stem=stem if is_own_name else named.stem,
                    is_late=owner.is_late,
                    again=again,
                    file_number=owner.file_number,
                )
        return None

    def _by_folder(self, named: _Owned, root: Parts | None) -> _Owned:
        parts, depth = named.item.parts, len(self.prefix)
        folders = root[depth:] if root is not None else parts[depth : len(parts) - (not named.item.is_folder)]
        for part in map(_bare, folders):
            if not matching.exactly_named(part, self.exercises):
                return replace(named, person=_Person(part))
        return named if root is None else replace(named, person=_Person(self._nobodys))

    def _place(self, folders: Parts) -> Exercise | None:
        root = _root(folders)
        if root is not None:
            return matching.exactly_named(folders[len(root) + 1], self.exercises)
        depth = len(self.prefix)
        if self.kind == "nbgrader" and len(folders) > depth + 1:
            units = matching.names_in(_bare(folders[depth + 1]), self.exercises)
            if len(units) == 1:
                return units[0].exercise
        for part in (*map(_bare, reversed(folders)), self.folder_name):
            if (exercise := matching.exactly_named(part, self.exercises)) is not None:
                return exercise
        return None

    def _candidate(self, one: _Owned, match: matching.Match) -> Candidate:
        read = one.item.read
        assert read is not None
        stubs = self.stubs.get(match.exercise.name, set())
        return Candidate(
            one.item.file,
            read.digest if read.digest != _NOTHING else f"none of {one.item.file}",
            match.level,
            is_readable=not read.submission.problem,
            is_stub=bool({read.digest, read.plain} & stubs),
            again=one.again,
            file_number=one.file_number,
        )

    def _leave_other(self, item: _Item) -> None:
        name = item.parts[-1]
        if item.is_folder or name.lower() in _HANDED_OUT:
            return
        packed = "is an archive of a kind that is not opened; unpack it where it lies"
        self.listing.leave(item.file, packed if _PACKED.search(name) else "is neither a notebook nor a module")

    # ------------------------------------------------ students

    def _students(self, owned: Sequence[_Owned]) -> dict[_Person | None, str]:
        """The name that each owner gets, nothing for None: with the number where two share it in one download."""
        people = sorted({one.person for one in owned if one.person is not None}, key=lambda one: (one.name, one.number))
        numbers: dict[tuple[Parts, str], set[str]] = defaultdict(set)
        for person in people:
            numbers[person.scope, person.name].add(person.number)
        shared = {name for (_, name), known in numbers.items() if len(known) > 1}
        plain = [person.name for person in people if not person.number]
        rests = {name: named[0].rest for name in plain if (named := matching.names_in(name, self.exercises))}
        all_name_one = self.kind == "loose" and bool(plain) and all(rests.get(name) for name in plain)
        names: dict[_Person | None, str] = {None: ""}
        for person in people:
            name = person.name
            if self.kind == "classroom":
                name = matching.username(name, self.slug, self.exercises)
            elif all_name_one:
                name = rests[name]
            names[person] = _tidy(f"{name} ({person.number})" if name in shared and person.number else name)
        return names

    def _student_of(self, stem: str, exercise: Exercise | None) -> tuple[str, str]:
        """The student that a file's own name tells, with a note."""
        named = matching.names_in(stem, (exercise,)) if exercise else ()
        rest = named[0].rest if named else matching.without_noise(stem)
        return (_tidy(rest), "student by the file's name") if rest else (self._nobodys, "student by the folder's name")

    # ------------------------------------------------ what counts

    def _leave_helpers(self, found: dict[tuple[str, str], list[tuple[_Owned, Candidate, str]]]) -> None:
        """Take no file that has some function of another exercise for that exercise, where the student has serious files."""
        levels = {key: max(candidate.level for _, candidate, _ in part) for key, part in found.items()}
        serious = {student for (student, _), level in levels.items() if level >= matching.NAMED}
        for student, exercise in [
            key for key, level in levels.items() if level == matching.PARTLY and key[0] in serious
        ]:
            for one, _, _ in found.pop((student, exercise)):
                self.listing.leave(
                    one.item.file, f"holds some functions of {exercise}, but another file is this student's work"
                )

    def _handed(
        self, student: str, exercise: str, found: list[tuple[_Owned, Candidate, str]], taken: _Owned | None
    ) -> Handed:
        if taken is not None:
            for one, _, _ in found:
                if one is not taken:
                    self.listing.leave(one.item.file, f"--take says that {taken.item.file} counts")
            return self._counted(student, exercise, taken, "chosen with --take")
        choice = matching.choose([candidate for _, candidate, _ in found])
        for other, why in choice.others:
            if not other.is_expected:
                self.listing.leave(other.file, why)
        if choice.taken is None:
            return self._asked(student, exercise, choice.rivals)
        one, candidate, note = next(part for part in found if part[1] is choice.taken)
        if candidate.is_stub:
            self.untouched.add((student, exercise))
        return self._counted(student, exercise, one, _joined(note, choice.why))

    def _counted(self, student: str, exercise: str, one: _Owned, note: str) -> Handed:
        read = one.item.read
        assert read is not None
        note = _joined(
            note, "late, as Canvas says" if one.is_late else "", f"upload {one.again + 1}" if one.again else ""
        )
        time = self.times.get(one.item.parts[: len(self.prefix) + 2]) if self.kind == "nbgrader" else None
        return Handed(student, one.item.file, exercise, note, read.submission, read.digest, time)

    def _asked(self, student: str, exercise: str, rivals: Sequence[Candidate]) -> Handed:
        files = tuple(one.file for one in rivals)
        shown = f"{', '.join(files[:-1])} or {files[-1]}" if len(files) < 6 else f"{', '.join(files[:5])} or another"
        problem = (
            f"{len(files)} files may be the work for {exercise}: {shown}. "
            f"Say which one counts: {_option(student, exercise, files[0])}"
        )
        submission = Submission(files[0].rpartition("/")[2], (), problem)
        digest = _sum("\n".join(one.digest for one in rivals).encode())
        return Handed(student, files[0], exercise, f"{len(files)} files, none chosen", submission, digest, None, files)

    def _taken(
        self, take: Mapping[tuple[str, str], str], owned: Sequence[_Owned], whose: Mapping[str, str], students: set[str]
    ) -> dict[tuple[str, str], _Owned]:
        found: dict[tuple[str, str], _Owned] = {}
        for (student, exercise), file in take.items():
            asked = f"{student}/{exercise}={file}"
            if exercise not in {one.name for one in self.exercises}:
                raise UsageError(f"--take {asked} names no exercise that is graded here.", f"There is: {self._names}.")
            if student not in students:
                close = difflib.get_close_matches(student, students, n=3, cutoff=0.5)
                mend = f"Did you mean {' or '.join(close)}?" if close else "Students are named as in the table."
                raise UsageError(f"--take {asked} names no student who handed something in.", mend)
            meant = _meant(file, student, owned, whose)
            if len(meant) != 1:
                own = sorted(name for name, owner in whose.items() if owner == student)
                several = "several notebooks or modules" if meant else "no notebook or module"
                raise UsageError(
                    f"--take {asked} names {several} of that student's.",
                    f"There is: {', '.join(own) or 'none'}. The end of a name is enough where only one ends so.",
                )
            found[student, exercise] = meant[0]
        return found

    def _taken_before(
        self, before: Mapping[tuple[str, str], str], owned: Sequence[_Owned], whose: Mapping[str, str]
    ) -> dict[tuple[str, str], _Owned]:
        names = {one.name for one in self.exercises}
        return {
            (student, exercise): one
            for (student, exercise), file in before.items()
            for one in _meant(file, student, owned, whose)
            if one.item.file == file and exercise in names
        }

    def _begun(self, handed: list[Handed]) -> list[Handed]:
        """Less the exercises of a course that nobody has begun, where another has been begun."""
        begun = {one.exercise for one in handed if (one.student, one.exercise) not in self.untouched}
        if self.kind != "classroom" or not begun:
            return handed
        for exercise in self.exercises:
            count = sum(one.exercise == exercise.name for one in handed)
            if count and exercise.name not in begun:
                whose = "in all clones" if count > 1 else "here"
                self.listing.leave(f"exercises/{exercise.folder}", f"is as handed out {whose}")
        return [one for one in handed if one.exercise in begun]

    # ------------------------------------------------ what is missing

    def _missing(
        self, owned: Sequence[_Owned], students: Mapping[_Person | None, str], handed: Sequence[Handed]
    ) -> list[Handed]:
        """A problem for each exercise's folder and each student's without anything usable."""
        done = {(one.student, one.exercise) for one in handed}
        wanted = {one.exercise for one in handed} or {exercise.name for exercise in self.exercises}
        by_student: dict[str, list[_Owned]] = defaultdict(list)
        for one in owned:
            if one.person is not None:
                by_student[students[one.person]].append(one)
        loose_files = any(one.item.read and one.person is None for one in owned)
        missing: list[Handed] = []
        for student, own in by_student.items():
            places = [one for one in own if one.is_place and one.place]
            missing += [
                self._nothing(student, one.place.name, one.item, own)
                for one in places
                if one.place
                and (student, one.place.name) not in done
                and (self.kind != "classroom" or one.place.name in wanted)
            ]
            if any(one.student == student for one in (*handed, *missing)):
                continue
            if len(wanted) == 1 and not loose_files:
                missing.append(self._nothing(student, min(wanted), own[0].item, own))
            else:
                self.listing.leave(own[0].item.file, f"holds nothing that is for {self._names}")
        return missing

    def _nothing(self, student: str, exercise: str, item: _Item, own: Sequence[_Owned]) -> Handed:
        inside = [one.item for one in own if one.item.parts[: len(item.parts)] == item.parts or not item.is_folder]
        starts = tuple(one.file + more for one in inside for more in ("/", INSIDE_ZIP))
        files = {one.file for one in inside}
        left = sorted(
            {one for one in self.listing.left_out if one.file in files or one.file.startswith(starts)}, key=str
        )
        shown = [f"{one.file} {one.why}" for one in left]
        read = [one for one in inside if one.read is not None]
        place = "in this folder" if item.is_folder else "handed in"
        problem = f"Nothing {place} is a notebook or module of {exercise}."
        if shown:
            problem += f" {'; '.join(shown[:3])}{'; …' if len(shown) > 3 else ''}."
        if read:
            problem += f" If it is one of them: {_option(student, exercise, read[0].file)}"
        return Handed(student, item.file, exercise, "nothing usable", Submission(item.parts[-1], (), problem), _NOTHING)


def _meant(file: str, student: str, owned: Sequence[_Owned], whose: Mapping[str, str]) -> list[_Owned]:
    """The files of a student's that are named so: the one of this name, else those whose names end with it."""
    own = [one for one in owned if whose.get(one.item.file) == student]
    exact = [one for one in own if one.item.file == file]
    return exact or [one for one in own if one.item.file.endswith((f"/{file}", f"{INSIDE_ZIP}{file}"))]


def _last_of_each(listing: _Listing) -> list[_Item]:
    """The items, of two members of one name in an archive the last, as when it is unpacked; folders before their files."""
    last = {(item.parts, item.is_folder): item for item in listing.items}
    for item in listing.items:
        if last[item.parts, item.is_folder] is not item and not item.is_folder:
            listing.leave(item.file, "is there twice under this name; the last counts")
    return sorted(last.values(), key=lambda item: (item.parts, not item.is_folder))


def _is_canvas(items: Sequence[_Item]) -> bool:
    """Whether at least half of what can be a submission is named by Canvas."""
    files = [item for item in items if item.read or (item.is_folder and _is_zip(item.parts[-1]))]
    named = Counter(any(matching.canvas_owner(part) for part in item.parts) for item in files)
    return named[True] > 0 and named[True] >= named[False]


def _root(parts: Parts) -> Parts | None:
    """The folder of the course that something in ``exercises/exNN_name`` belongs to."""
    for at in range(len(parts) - 1):
        if parts[at] == "exercises" and FOLDER.match(parts[at + 1]):
            return parts[:at]
    return None


def _bare(part: str) -> str:
    """A folder's name; of an archive without its suffix."""
    return part[:-4] if _is_zip(part) else part


def _tidy(name: str) -> str:
    """A person's name in one spelling: systems differ in how they compose accents."""
    return unicodedata.normalize("NFC", name).strip() or "?"


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _names(exercises: Sequence[Exercise]) -> str:
    return ", ".join(exercise.name for exercise in exercises)


def _option(student: str, exercise: str, file: str) -> str:
    return f"--take {shlex.quote(f'{student}/{exercise}={file}')}"
