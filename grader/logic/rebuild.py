"""A submitted notebook made whole: locked cells and all metadata as they were released, the student's text as it stands.

Students' notebooks come back with cells duplicated, deleted, split, retyped, and with metadata lost or edited. nbgrader
believes that metadata. Here nothing of it is believed but the name that a cell claims, and that only to find its place.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from grader.logic.inert import inert
from grader.logic.notebook import METADATA, code_of
from grader.model.types import KnownCell

SCHEMA = 3
KINDS = ("code", "markdown", "raw")
OURS = "ours"


@dataclass(frozen=True)
class Piece:
    """A cell that was handed in: its type, its text, the name that its metadata claims."""

    kind: str
    source: str
    claim: str = ""


@dataclass
class Rebuilt:
    """The notebook (nbformat 4.5) and a sentence for everything that was put right."""

    notebook: dict[str, Any]
    said: list[str] = field(default_factory=list)


def pieces_of(data: object) -> list[Piece]:
    """The cells of parsed JSON, whatever it is; what is no cell is left out."""
    cells = data.get("cells") if isinstance(data, dict) else None
    found = []
    for cell in cells if isinstance(cells, list) else ():
        if not isinstance(cell, dict) or cell.get("cell_type") not in KINDS:
            continue
        source = cell.get("source", "")
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if isinstance(source, str):
            found.append(Piece(cell["cell_type"], _plain(source), _claim(cell)))
    return found


def rebuilt(pieces: Sequence[Piece], known: Sequence[KnownCell], problem: str = "") -> Rebuilt:
    """The notebook that was released with the student's cells in it.

    ``known`` stand in the order in which they were released. Each locked cell is there exactly once, with the text that
    was released; where it was missing it comes back after the one before it, in front of the next that is known. What a
    student wrote into one stays, as a cell of its own in front of it. Every other cell stays as it is, without outputs
    and metadata; the last of those that claim a solution cell's name is that cell. An answer that a person grades comes
    back as it was released where it is missing. ``problem``: why nothing could be read.
    """
    said = [problem] if problem else []
    locked = {cell.name: cell for cell in known if _is_locked(cell)}
    open_cells = {cell.name: cell for cell in known if not _is_locked(cell)}
    places, kept = _places(pieces, locked, said)
    solutions = _last_claims(pieces, kept, open_cells, said)
    there = {*places.values(), *solutions.values()}
    missing = [cell.name for cell in known if (_is_locked(cell) or cell.grade) and cell.name not in there]
    if missing and not problem:
        said.append(f"Missing, and put back: {_listed(missing)}.")
    first, after = _missing_after(known, there, set(missing))
    out = [_released(cell) for cell in first]
    waiting: list[KnownCell] = []
    for number, piece in enumerate(pieces):
        name = places.get(number) or solutions.get(number, "")
        if name:
            out += map(_released, waiting)
            waiting = after[name]
        if number in kept:
            solution = open_cells.get(solutions.get(number, ""))
            out.append(_cell(piece.kind, piece.source, _metadata(solution) if solution else {}))
        if number in places:
            out.append(_released(locked[places[number]]))
    out += map(_released, waiting)
    if said:
        out.insert(0, _cell("markdown", "\n".join(f"- {inert(line)}" for line in said), {OURS: True}))
    return Rebuilt(
        {"cells": _numbered(out), "metadata": copy.deepcopy(METADATA), "nbformat": 4, "nbformat_minor": 5}, said
    )


def is_ours(cell: dict[str, Any]) -> bool:
    """Whether a rebuilt notebook's cell was written by the course and not by the student."""
    metadata = cell["metadata"]
    nbgrader = metadata.get("nbgrader", {})
    return bool(
        metadata.get(OURS) or nbgrader.get("locked") or (nbgrader.get("grade") and not nbgrader.get("solution"))
    )


def _is_locked(cell: KnownCell) -> bool:
    """Whether students write nothing in it; what they write in a grade cell that is a solution cell too, people grade."""
    return cell.locked or (cell.grade and not cell.solution)


def _missing_after(
    known: Sequence[KnownCell], there: set[str], missing: set[str]
) -> tuple[list[KnownCell], dict[str, list[KnownCell]]]:
    """The missing cells that were released before every cell that is there, and by each that is there those behind it."""
    first: list[KnownCell] = []
    after: dict[str, list[KnownCell]] = {}
    group = first
    for cell in known:
        if cell.name in there:
            group = after[cell.name] = []
        elif cell.name in missing:
            group.append(cell)
    return first, after


# ---------------------------------------------------------------- who is who


def _places(pieces: Sequence[Piece], locked: dict[str, KnownCell], said: list[str]) -> tuple[dict[int, str], set[int]]:
    """Which piece stands where which locked cell belongs, and which pieces stay as the student's."""
    texts: dict[str, list[str]] = {}  # steps with as many hidden checks have the same text
    for name, cell in locked.items():
        texts.setdefault(_plain(cell.source).strip(), []).append(name)
    claimed = {name for piece in pieces if (name := _rightly_claimed(piece, locked))}
    exact: dict[str, list[int]] = {}
    edited: dict[str, list[int]] = {}
    kept = set(range(len(pieces)))
    for number, piece in enumerate(pieces):
        name = piece.claim if piece.claim in locked else ""
        same = texts.get(piece.source.strip(), [])
        if same and not _rightly_claimed(piece, locked):  # its metadata is gone, or is another cell's
            name = next((one for one in same if one not in claimed), same[-1])
            claimed.add(name)
        if name and piece.source.strip() == _plain(locked[name].source).strip():
            exact.setdefault(name, []).append(number)
            kept.discard(number)
        elif name:
            edited.setdefault(name, []).append(number)
    places = {}
    for name, cell in locked.items():
        copies, changed = exact.get(name, []), edited.get(name, [])
        if len(copies) > 1:
            said.append(f"{name} was there {len(copies)} times; one is left.")
        if copies:
            places[copies[0]] = name
            if pieces[copies[0]].kind != cell.cell_type:
                said.append(f"{name} had become a {pieces[copies[0]].kind} cell; it is a {cell.cell_type} cell again.")
        elif changed:
            places[changed[-1]] = name
        if changed:
            said.append(
                f"{name} is locked, and was changed; it is as it was released, and what you wrote stands above it."
            )
            kept -= {number for number in changed if _is_part(pieces[number], cell)}
    return places, kept


def _rightly_claimed(piece: Piece, locked: dict[str, KnownCell]) -> str:
    """The name that a piece claims where it has that cell's text, else an empty one."""
    cell = locked.get(piece.claim)
    return piece.claim if cell and _plain(cell.source).strip() == piece.source.strip() else ""


def _is_part(piece: Piece, whole: KnownCell) -> bool:
    """Whether a piece was split off a locked cell, with nothing in it that the student wrote."""
    if piece.kind == "code" != whole.cell_type and code_of(piece.source).strip():
        return False  # lines of a text that are code now, and count
    lines = {line.strip() for line in _plain(whole.source).split("\n")}
    return all(line.strip() in lines for line in piece.source.split("\n") if line.strip())


def _last_claims(
    pieces: Sequence[Piece], kept: set[int], open_cells: dict[str, KnownCell], said: list[str]
) -> dict[int, str]:
    by_name: dict[str, list[int]] = {}
    for number in sorted(kept):
        if pieces[number].claim in open_cells:
            by_name.setdefault(pieces[number].claim, []).append(number)
    chosen = {}
    for name, numbers in by_name.items():
        right = [number for number in numbers if pieces[number].kind == open_cells[name].cell_type]
        if len(numbers) > 1:
            said.append(
                f"{name} was there {len(numbers)} times; all of them count, the last definition of a name wins."
            )
        if right:
            chosen[right[-1]] = name
        else:
            wrong, wanted = pieces[numbers[-1]].kind, open_cells[name].cell_type
            said.append(f"{name} is a {wrong} cell now, so its text is no code; make it a {wanted} cell again.")
    return chosen


# ---------------------------------------------------------------- cells


def _released(cell: KnownCell) -> dict[str, Any]:
    return _cell(cell.cell_type, cell.source, _metadata(cell))


def _metadata(cell: KnownCell) -> dict[str, Any]:
    nbgrader = {
        "schema_version": SCHEMA,
        "grade": cell.grade,
        "solution": cell.solution,
        "locked": cell.locked,
        "task": cell.task,
        "grade_id": cell.name,
        "cell_type": cell.cell_type,
        "checksum": cell.checksum,
    }
    if cell.points is not None:
        nbgrader["points"] = cell.points
    return {"nbgrader": nbgrader}


def _cell(kind: str, source: str, metadata: dict[str, Any]) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": metadata, "source": source}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell


def _numbered(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ids of our own: a student's may be missing, doubled or no ids at all."""
    return [{**cell, "id": f"cell-{number}"} for number, cell in enumerate(cells)]


def _claim(cell: dict[str, Any]) -> str:
    metadata = cell.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return name if isinstance(name, str) else ""


def _plain(text: str) -> str:
    """With the line ends that a notebook has, and in characters that every file takes."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", "replace").decode("utf-8")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
