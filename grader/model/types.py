"""The types that the layers hand to one another. All of them are plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

INSIDE_ZIP = "!"  # between a zip's name and a file's in it
Verdict = Literal["passed", "failed", "error", "timeout", "skipped"]
Status = Literal["passed", "failed", "not_started", "broken"]
Scope = Literal["all", "public"]
# What PyTorch says in a NotImplementedError.
NOT_SUPPORTED = (
    "not implemented for", "not been implemented", "support", "Could not run", "meta tensor", "Module [ModuleList]",
    "Module [ModuleDict]",
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What a submission may use: seconds for one call, for loading, and in all; memory; text printed."""

    call_seconds: float = 5.0
    load_seconds: float = 10.0
    total_seconds: float = 60.0
    memory_mb: int = 1024
    output_kb: int = 64


@dataclass(frozen=True)
class Step:
    """A part of an exercise: its blanked functions, minutes, points; ``stretch`` holds nothing up.

    ``deals_with`` names functions of earlier steps that this step goes on with.
    """

    name: str
    title: str
    functions: tuple[str, ...]
    minutes: int
    points: float
    stretch: bool = False
    deals_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class MilestoneRule:
    """How an exercise gives a milestone, by one of three: a step passed; steps passed from an empty file within the hour;
    a trained model of the class ``checkpoint`` whose loss on held-out text lies within ``band``."""

    name: str
    step: str = ""
    from_memory: tuple[str, ...] = ()
    checkpoint: str = ""
    band: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Exercise:
    """One graded unit. ``name`` is its identity; the number in ``folder`` is only its place.

    ``framework``: what arrays are on the submission's side, numpy or torch. ``refused``: what may not be called there.
    ``fused``: layers that may stand in the place of several, with these, whose rows they hold in this order.
    ``besides``: other files of the solution's folder, which are kept there.
    """

    name: str
    folder: str
    title: str
    module: str
    steps: tuple[Step, ...]
    difficulty: int
    needs: tuple[str, ...]
    sources: tuple[str, ...]
    limits: Limits
    allowed_imports: tuple[str, ...]
    tolerances: dict[str, float]
    milestones: tuple[MilestoneRule, ...] = ()
    framework: str = "numpy"
    refused: tuple[str, ...] = ()
    fused: dict[str, tuple[str, ...]] = field(default_factory=dict)
    besides: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """The two digits of the folder's name."""
        return self.folder[2:4]

    @property
    def blanked(self) -> tuple[str, ...]:
        """Every function or method (``Class.method``) whose body the learner writes, in order of the steps."""
        return tuple(name for step in self.steps for name in step.functions)


@dataclass(frozen=True)
class Cell:
    """A piece of a submission's source: a whole ``.py`` file (number None) or one notebook cell."""

    source: str
    number: int | None = None


@dataclass(frozen=True)
class Submission:
    """A student's file, read once: nothing is read again while it is graded."""

    name: str
    cells: tuple[Cell, ...]
    problem: str = ""

    @property
    def source(self) -> str:
        """All cells as one text."""
        return "\n\n".join(cell.source for cell in self.cells)


@dataclass(frozen=True)
class Edit:
    """One textual replacement in a solution; ``find`` must occur exactly once."""

    find: str
    put: str


@dataclass(frozen=True)
class Variant:
    """An edit of the solution: a wrong idea with the sentence that explains it, or another right form."""

    name: str
    kind: Literal["wrong", "right"]
    says: str
    edits: tuple[Edit, ...] = ()
    replace: str = ""
    convention: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Value:
    """The submission answered with plain data; ``after`` holds the arguments after the call where they were asked for."""

    value: Any
    after: list[Any] | None = None


@dataclass(frozen=True)
class Raised:
    """The submission's code raised: type, built-in base types, message, (file label, line, function) frames.

    ``forbidden``: the import that was not allowed; ``refused``: the entry of the exercise's list that was called.
    """

    type: str
    bases: tuple[str, ...]
    message: str
    frames: tuple[tuple[str, int, str], ...]
    forbidden: str = ""
    depth: int = 0
    refused: str = ""

    def is_a(self, name: str) -> bool:
        """Whether the exception is of that built-in type or derived from it."""
        return name == self.type or name in self.bases

    @property
    def is_unwritten(self) -> bool:
        """Whether a body is still blank; PyTorch raises the same for what it cannot do, as with a dtype without a kernel."""
        return self.is_a("NotImplementedError") and not any(phrase in self.message for phrase in NOT_SUPPORTED)


@dataclass(frozen=True)
class Died:
    """No answer: ``reason`` is timeout, exited, killed, memory or garbled; ``detail`` a number or a word for it."""

    reason: str
    detail: str = ""


Outcome = Value | Raised | Died


# The answer to a cost request: what the helper returned, CPU seconds and the peak of memory; here of nothing measured.
COST: dict[str, Any] = {"value": None, "seconds": None, "peak_bytes": None}
Kind = Literal["call", "get", "set", "through", "cost", "gradients", "weights", "set_weights", "count", "cast"]


@dataclass(frozen=True)
class Call:
    """One request to a submission.

    ``kind``: call a function or method; get or set an attribute behind a handle; call a helper of the check's own, whose
    ``source`` goes along; the same with what it costs (`COST`); take gradients of what a call gives; read or set the
    weights of a module, count them, or cast it. ``target`` is the handle's number, and ``made_by`` the name by which the
    check got that object.
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    target: int | None = None
    echo: bool = False
    kind: Kind = "call"
    source: str = ""
    made_by: str = ""

    @property
    def function(self) -> str:
        """The function or ``Class.method`` that is called, as a learner calls it; the class where only weights are touched."""
        if not self.target:
            return self.name
        if self.kind in ("weights", "set_weights", "count", "cast"):
            return self.made_by
        return f"{self.made_by}.{'forward' if self.name == '__call__' else self.name}"


@dataclass
class CheckResult:
    """One check's verdict on one submission (REPORT)."""

    name: str
    step: str
    hidden: bool
    points: float
    earned: float
    outcome: Verdict
    message: str = ""
    looks_like: list[str] = field(default_factory=list)


@dataclass
class Report:
    """The outcome of grading one submission (REPORT)."""

    exercise: str
    submission: str
    scope: Scope
    seed: int
    status: Status
    score: float
    max_score: float
    seconds: float
    checks: list[CheckResult]
    message: str = ""
    printed: str = ""
    layers: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints; its keys are a contract, ``message`` an addition."""
        return {
            "schema": 1,
            "exercise": self.exercise,
            "submission": self.submission,
            "scope": self.scope,
            "seed": self.seed,
            "status": self.status,
            "score": self.score,
            "max_score": self.max_score,
            "seconds": round(self.seconds, 4),
            "message": self.message,
            "checks": [
                {
                    "name": check.name,
                    "step": check.step,
                    "hidden": check.hidden,
                    "points": check.points,
                    "earned": check.earned,
                    "outcome": check.outcome,
                    "message": check.message,
                    "looks_like": list(check.looks_like),
                }
                for check in self.checks
            ],
        }


@dataclass(frozen=True)
class Entry:
    """One line of a class's table: whose work it is, from which file, and its report.

    ``file``: relative to the folder of submissions, with ``/`` between its parts, ``archive.zip!member`` inside a zip.
    ``note``: why this file was taken, where its name alone does not say so. ``digest``: sha256 of the bytes that were read.
    """

    student: str
    file: str
    note: str
    digest: str
    report: Report

    def as_json(self) -> dict[str, Any]:
        """A line of the table; no times in it, so that the same class gives the same table."""
        known = {"student": self.student, "file": self.file, "note": self.note, "digest": self.digest}
        report = {key: value for key, value in self.report.as_json().items() if key not in ("schema", "seconds")}
        return {"schema": 1, **known, **report}


@dataclass(frozen=True)
class KnownCell:
    """A cell of a released notebook as nbgrader's gradebook knows it; ``points``: of a grade cell, else None."""

    name: str
    cell_type: str
    source: str
    checksum: str | None
    locked: bool
    grade: bool
    solution: bool
    task: bool
    points: float | None
