"""A class's results as one HTML page for whoever teaches it: no script, nothing loaded from elsewhere.

What comes from submissions is untrusted: names, files, messages, notes. So markup is made by `_tag` alone, which escapes
every text that is put into it; only what `_tag` returned is taken as markup. Attributes and ids hold nothing but
numbers and words of this module. Messages of hidden checks are never shown, because numbers may be in them.
"""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from grader.logic.table import ideas_of, in_order, one_line, plain_number, points_of, problem_of, steps_of
from grader.logic.words import Idea
from grader.model.types import CheckResult, Entry, Exercise, Report, Step

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STATUSES = {
    "passed": ("✓", "passed", "every check of every step but stretch ones"),
    "failed": ("✗", "failed", "some check failed"),
    "not_started": ("○", "not started", "the file is as it was handed out"),
    "broken": ("!", "broken", "nothing in it can be graded"),
}
SHORT = 10  # ideas, notes and the like that stand in the open; the rest is folded
LONG = 20  # the same for students who need a talk
FEW = 5  # names that stand in the open
LONGEST = 240  # characters of a message


# ---------------------------------------------------------------- markup


class _Markup(str):
    """Text that is markup already. What `str` methods make of it is plain text again, and is escaped."""


def _tag(name: str, /, *inside: object, **attributes: object) -> _Markup:
    """An element. Texts are escaped, None is left out, lists are taken apart; ``class_`` is the attribute class, an
    attribute that is True stands without a value."""
    shown = ""
    for key, value in attributes.items():
        word = key.rstrip("_").replace("_", "-")
        if value is True:
            shown += f" {word}"
        elif value not in (None, False, ""):
            shown += f' {word}="{html.escape(str(value))}"'
    if name == "meta":
        return _Markup(f"<{name}{shown}>")
    return _Markup(f"<{name}{shown}>{_inner(inside)}</{name}>")


def _inner(inside: Iterable[object]) -> str:
    out = []
    for one in inside:
        if isinstance(one, _Markup):
            out.append(str(one))
        elif isinstance(one, (list, tuple)):
            out.append(_inner(one))
        elif one is not None:
            out.append(html.escape(one_line(str(one))))
    return "".join(out)


def _theirs(text: str, longest: int = 10_000) -> _Markup:
    """A text of somebody else's: its direction of writing ends where it does."""
    return _tag("bdi", text if len(text) <= longest else f"{text[: longest - 1]}…")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _mark(status: str) -> _Markup:
    sign, word, _ = STATUSES[status]
    return _tag("span", _tag("span", sign, class_=f"sign {status}", aria_hidden="true"), f" {word}", class_="status")


def _scrolling(label: str, table: _Markup, class_: str = "") -> _Markup:
    """A table that scrolls by itself where it is wider than the screen, by keyboard too."""
    classes = f"scrolls {class_}".strip()
    return _tag("div", table, class_=classes, tabindex="0", role="region", aria_label=label)


def _folded(title: object, *inside: object, opened: bool = False) -> _Markup:
    return _tag("details", _tag("summary", title), *inside, open=opened)


def _head(*titles: object) -> _Markup:
    return _tag("thead", _tag("tr", [_tag("th", title, scope="col") for title in titles]))


# ---------------------------------------------------------------- what is shown


@dataclass
class _Row:
    """One submission, and the id of its line in the map."""

    entry: Entry
    anchor: str
    steps: Sequence[Step]

    @property
    def report(self) -> Report:
        """What came of it."""
        return self.entry.report

    @property
    def graded(self) -> bool:
        """Whether its checks say anything."""
        return self.report.status in ("passed", "failed")

    @cached_property
    def share(self) -> float | None:
        """Of the points that could be had; None where there were none."""
        return _share(self.report.score, self.report.max_score)

    @cached_property
    def by_step(self) -> dict[str, list[CheckResult]]:
        """Its checks, by step."""
        return {step.name: [check for check in self.report.checks if check.step == step.name] for step in self.steps}

    @cached_property
    def shares(self) -> dict[str, float | None]:
        """The share of each step's points; None where nothing of a step was checked."""
        return {name: _share(*points_of(checks)) for name, checks in self.by_step.items()}

    @cached_property
    def stopped_at(self) -> Step | None:
        """The first step with a failed check; stretch steps come after all others."""
        steps = sorted(self.steps, key=lambda step: step.stretch)
        return next((step for step in steps if _failed(self.by_step[step.name])), None)

    @property
    def student(self) -> _Markup:
        """Whose it is."""
        return _theirs(self.entry.student.strip() or "(no name)")

    @property
    def link(self) -> _Markup:
        """The student, with a way to the line in the map."""
        return _tag("a", self.student, href=f"#{self.anchor}", class_="who")


@dataclass
class _Part:
    """One exercise of the page."""

    number: int
    name: str
    title: str
    steps: Sequence[Step]
    rows: list[_Row]
    ideas: Mapping[str, Idea]

    @property
    def anchor(self) -> str:
        """The section's id."""
        return f"x{self.number}"

    @cached_property
    def graded(self) -> list[_Row]:
        """Those whose checks say anything, and that could earn points."""
        return [row for row in self.rows if row.graded and row.share is not None]

    @cached_property
    def talks(self) -> list[tuple[str, str, list[_Row]]]:
        """Who needs a talk, each under the first rule that holds: the rule's title, the rule, and those that it names."""
        return _talks(self)

    def with_status(self, status: str) -> list[_Row]:
        """The submissions of one status."""
        return [row for row in self.rows if row.report.status == status]


def _share(earned: float, points: float) -> float | None:
    return min(earned / points, 1.0) if points > 0 else None


def _failed(checks: Iterable[CheckResult]) -> list[CheckResult]:
    return [check for check in checks if check.outcome not in ("passed", "skipped")]


def _percent(share: float) -> int:
    """In whole percent; 0 and 100 only where it is nothing and all."""
    return int(share * 100) if share in (0.0, 1.0) else min(max(int(share * 100 + 0.5), 1), 99)


def _shade(share: float) -> str:
    """One of six colours: nothing, four quarters, all."""
    percent = _percent(share)
    return "h0" if percent == 0 else "h5" if percent == 100 else f"h{1 + percent // 25}"


def _parts(
    entries: Sequence[Entry], exercises: Mapping[str, Exercise], ideas: Mapping[str, Mapping[str, Idea]]
) -> list[_Part]:
    ordered = in_order(entries)
    names = list(dict.fromkeys(entry.report.exercise for entry in ordered))
    names = [name for name in exercises if name in names] + [name for name in names if name not in exercises]
    return [_part(number, name, ordered, exercises.get(name), ideas) for number, name in enumerate(names, start=1)]


def _part(
    number: int,
    name: str,
    ordered: Sequence[Entry],
    exercise: Exercise | None,
    ideas: Mapping[str, Mapping[str, Idea]],
) -> _Part:
    own = [entry for entry in ordered if entry.report.exercise == name]
    known = {step.name: step for step in exercise.steps} if exercise else {}
    listed = steps_of([entry.report for entry in own], exercise)
    steps = [known.get(step) or Step(step, step, (), 0, 0.0) for step in listed]
    rank = {"passed": 0, "failed": 0, "not_started": 1, "broken": 2}
    own.sort(
        key=lambda entry: (rank[entry.report.status], -(_share(entry.report.score, entry.report.max_score) or 0.0))
    )
    rows = [_Row(entry, f"x{number}r{place}", steps) for place, entry in enumerate(own, start=1)]
    title = exercise.title if exercise else name
    return _Part(number, name, title, steps, rows, ideas.get(name, {}))


def _talks(part: _Part) -> list[tuple[str, str, list[_Row]]]:
    stuck, rest = [], []
    for row in part.with_status("failed"):
        at = row.stopped_at
        named = at is not None and any(check.looks_like for check in _failed(row.by_step[at.name]))
        (rest if named or at is None else stuck).append(row)
    third = math.ceil(len(part.graded) / 3)
    lowest = sorted(row.share or 0.0 for row in part.graded)[:third]
    low = [row for row in rest if lowest and row.share is not None and row.share <= lowest[-1]]

    def lowest_first(rows: list[_Row]) -> list[_Row]:
        return sorted(rows, key=lambda row: row.share or 0.0)

    return [
        ("Broken", "Nothing in the file can be graded.", part.with_status("broken")),
        ("Not started", "The file is as it was handed out.", part.with_status("not_started")),
        (
            "Stuck, and no misconception has a name for it",
            "No failed check of the first unfinished step looks like a known idea. Those who have not written that step "
            "yet are among them.",
            lowest_first(stuck),
        ),
        (
            "Lowest third",
            f"Not passed, and a score among the lowest third of those that could be graded ({third} of "
            f"{len(part.graded)}; equal scores count together).",
            lowest_first(low),
        ),
    ]


# ---------------------------------------------------------------- the page


def page(
    entries: Sequence[Entry],
    exercises: Mapping[str, Exercise],
    ideas: Mapping[str, Mapping[str, Idea]],
    title: str,
    made: str,
) -> str:
    """The page: ``title`` is its heading, ``made`` says when and from what it was made.

    ``ideas`` by exercise and name. An entry of an exercise that is not among ``exercises``, and an idea that is not among
    ``ideas``, are shown by their names.
    """
    parts = _parts(entries, exercises, ideas)
    students = len({entry.student for entry in entries})
    said = f"{_count(students, 'student')}, {_count(len(entries), 'submission')}, {_count(len(parts), 'exercise')}."
    head = _tag(
        "head",
        _tag("meta", charset="utf-8"),
        _tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        _tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _tag("meta", name="color-scheme", content="light dark"),
        _tag("meta", name="referrer", content="no-referrer"),
        _tag("title", title),
        _Markup(f"<style>{STYLE}</style>"),
    )
    body = _tag(
        "body",
        _tag(
            "header",
            _tag("h1", _theirs(title)),
            _tag("p", _theirs(made), class_="quiet") if made else None,
            _tag("p", said if entries else "No submissions, so there is nothing to show."),
            _tag(
                "p",
                "For instructors. Names of hidden checks and of students are on this page: it is not for handing on.",
                class_="quiet",
            ),
        ),
        _overview(parts) if len(parts) > 1 else None,
        _tag("main", [_section(part) for part in parts]),
    )
    return f"<!doctype html>\n{_tag('html', head, body, lang='en')}\n"


def _overview(parts: Sequence[_Part]) -> _Markup:
    rows = [
        _tag(
            "tr",
            _tag("th", _tag("a", part.title, href=f"#{part.anchor}"), scope="row"),
            _tag("td", len(part.rows)),
            [_tag("td", len(part.with_status(status))) for status in STATUSES],
            _tag("td", _median(part) + _of(part), class_="nobreak"),
            _tag("td", sum(len(rows) for _, _, rows in part.talks)),
        )
        for part in parts
    ]
    titles = ["Exercise", "Submissions", *(_mark(status) for status in STATUSES), "Median", "Need a talk"]
    table = _tag("table", _head(*titles), _tag("tbody", rows), class_="numbers")
    return _tag("nav", _tag("h2", "Exercises", id="exercises"), _scrolling("Exercises", table), aria_label="Exercises")


def _section(part: _Part) -> _Markup:
    a = part.anchor
    return _tag(
        "section",
        _tag("h2", part.title, _tag("small", f" {part.name}"), id=a),
        _tag(
            "p",
            _tag("a", "Scores", href=f"#{a}-scores"),
            " · ",
            _tag("a", "Misconceptions", href=f"#{a}-ideas"),
            " · ",
            _tag("a", "Who needs a talk", href=f"#{a}-talk"),
            " · ",
            _tag("a", "Students and steps", href=f"#{a}-map"),
            class_="jump",
        ),
        _statuses(part),
        _not_checked(part),
        _tag("div", _scores(part), _steps(part), class_="two"),
        _misconceptions(part),
        _needs_a_talk(part),
        _map(part),
        _notes(part),
        aria_labelledby=a,
    )


def _statuses(part: _Part) -> list[_Markup]:
    tiles, pieces = [], []
    for status, (_, _, meaning) in STATUSES.items():
        count = len(part.with_status(status))
        share = 100 * count / len(part.rows)
        number = _tag("span", count, class_="big")
        tiles.append(_tag("li", number, _mark(status), _tag("span", meaning, class_="quiet"), class_=f"edge {status}"))
        pieces.append(_tag("span", class_=f"fill {status}", style=f"width:{share:.2f}%") if count else None)
    return [_tag("ul", tiles, class_="tiles"), _tag("div", pieces, class_="stack", aria_hidden="true")]


def _not_checked(part: _Part) -> _Markup | None:
    """What was skipped, of how many; the reason of a public check, since that of a hidden one is a message of it."""
    skipped: dict[tuple[str, str, bool, str], int] = {}
    for row in part.rows:
        for check in row.report.checks:
            if check.outcome == "skipped":
                key = (check.step, check.name, check.hidden, "" if check.hidden else check.message.split("\n")[0])
                skipped[key] = skipped.get(key, 0) + 1
    lines = []
    for (step, name, hidden, reason), count in skipped.items():
        why = "hidden check" if hidden else reason or "no reason given"
        lines.append(_tag("li", f"{step}: {name} ({why}), in {_count(count, 'submission')}"))
    public = sum(row.report.scope == "public" for row in part.rows)
    if public:
        lines.insert(0, _tag("li", f"The hidden checks, in {_count(public, 'submission')}: only public ones were run."))
    if not lines:
        return None
    title = "Not checked: these points count neither as earned nor as lost"
    if len(lines) <= SHORT:
        return _tag("div", _tag("p", _tag("strong", title)), _tag("ul", lines), class_="notice")
    return _tag("div", _folded(f"{title} ({len(lines)})", _tag("ul", lines)), class_="notice")


# ---------------------------------------------------------------- scores


def _median(part: _Part) -> str:
    return _points_text(part, statistics.median(row.share or 0.0 for row in part.graded)) if part.graded else "–"


def _points_text(part: _Part, share: float) -> str:
    """A share as points where all could earn the same, else in percent."""
    most = {row.report.max_score for row in part.graded}
    if len(most) != 1:
        return f"{_percent(share)} %"
    (points,) = most
    return plain_number(round(share * points, 2))


def _of(part: _Part) -> str:
    """The points that could be earned, as the end of a sentence on some that were; empty where these differed."""
    most = {row.report.max_score for row in part.graded}
    return f" of {plain_number(*most)} point{'' if most == {1} else 's'}" if len(most) == 1 else ""


def _bar(count: int, most: int) -> _Markup:
    """As long as ``count`` is of ``most``; the number itself has to stand beside it."""
    filled = _tag("span", class_="fill plain", style=f"width:{100 * count / max(most, 1):.2f}%") if count else None
    return _tag("span", filled, class_="bar", aria_hidden="true")


def _scores(part: _Part) -> _Markup:
    title = _tag("h3", "Scores", id=f"{part.anchor}-scores")
    left_out = len(part.rows) - len(part.graded)
    said = _tag("p", f"Broken or not started, and left out here: {left_out}.", class_="quiet") if left_out else None
    if not part.graded:
        return _tag("div", title, _tag("p", "Nothing could be graded."), said)
    shares = sorted(row.share or 0.0 for row in part.graded)
    middle = ""
    if len(shares) > 3:
        low, _, high = statistics.quantiles(shares, n=4, method="inclusive")
        middle = f" The middle half lies between {_points_text(part, low)} and {_points_text(part, high)}."
    bins = [0] * 11
    for share in shares:
        bins[int(share * 10)] += 1
    labels = ["under 10 %", *(f"{low} to {low + 9} %" for low in range(10, 90, 10)), "90 to 99 %", "100 %"]
    rows = [
        _tag("tr", _tag("th", label, scope="row"), _tag("td", count), _tag("td", _bar(count, max(bins)), class_="bars"))
        for label, count in zip(labels, bins, strict=True)
    ]
    rows.reverse()
    caption = _tag("caption", f"Median {_median(part)}{_of(part)}.{middle}")
    head = _tag(
        "thead", _tag("tr", _tag("th", "Score", scope="col"), _tag("th", "Submissions", scope="col", colspan="2"))
    )
    table = _tag("table", caption, head, _tag("tbody", rows), class_="histogram")
    return _tag("div", title, _tag("div", table, class_="scrolls"), said)


def _steps(part: _Part) -> _Markup:
    title = _tag("h3", "Points step by step")
    if not part.graded:
        return _tag("div", title, _tag("p", "Nothing could be graded."))
    rows = []
    for step in part.steps:
        shares = [row.shares[step.name] for row in part.graded]
        known = [share for share in shares if share is not None]
        counts = [
            sum(share <= 0 for share in known),
            sum(0 < share < 0.5 for share in known),
            sum(0.5 <= share < 1 for share in known),
            sum(share >= 1 for share in known),
        ]
        stack = [
            _tag("span", class_=f"fill {shade}", style=f"width:{100 * count / max(len(known), 1):.2f}%")
            for count, shade in zip(counts, ("h0", "h2", "h4", "h5"), strict=True)
            if count
        ]
        stretch = _tag("span", "stretch", class_="chip") if step.stretch else None
        name = _tag("span", step.name, class_="quiet") if step.name != step.title else None
        bar = _tag("span", stack, class_="stack", aria_hidden="true")
        cells = [_tag("td", count) for count in counts] if known else [_tag("td", "not checked", colspan="4")]
        rows.append(_tag("tr", _tag("th", _tag("div", step.title, " ", name, " ", stretch), bar, scope="row"), cells))
    sign = [_tag("span", class_=f"swatch {shade}", aria_hidden="true") for shade in ("h0", "h2", "h4", "h5")]
    titles = [["Step"], [sign[0], "none"], [sign[1], "under ½"], [sign[2], "from ½"], [sign[3], "all"]]
    caption = _tag("caption", f"How many of {len(part.graded)} earned which share of a step's points.")
    table = _tag("table", caption, _head(*titles), _tag("tbody", rows), class_="numbers steps")
    return _tag("div", title, _scrolling("Points step by step", table))


# ---------------------------------------------------------------- misconceptions


def _misconceptions(part: _Part) -> _Markup:
    title = _tag("h3", "Misconceptions", id=f"{part.anchor}-ideas")
    found: dict[str, dict[str, _Row]] = {}
    where: dict[str, set[str]] = {}
    for row in part.rows:
        for name in ideas_of(row.report):
            found.setdefault(name, {}).setdefault(row.entry.student, row)
        for check in _failed(row.report.checks):
            for name in check.looks_like:
                where.setdefault(name, set()).add(check.step)
    if not found:
        return _tag("div", title, _tag("p", "No failed check looks like a known idea."))
    order = {step.name: number for number, step in enumerate(part.steps)}
    names = sorted(found, key=lambda name: (-len(found[name]), min(order[step] for step in where[name]), name))
    students = len({row.entry.student for row in part.rows})
    most = len(found[names[0]])
    lines = []
    for name in names:
        idea = part.ideas.get(name, Idea(name))
        links = [row.link for row in found[name].values()]
        who = _tag("ul", [_tag("li", link) for link in links], class_="names")
        steps = sorted(where[name], key=order.__getitem__)
        cells = [
            _tag("th", _count(len(links), "student"), _bar(len(links), most), scope="row", class_="share"),
            _tag(
                "td",
                idea.says,
                [" ", _tag("span", "another convention", class_="chip")] if idea.convention else None,
                _tag("div", f"Ask: {idea.hint}", class_="quiet") if idea.hint else None,
                who if len(links) <= FEW else _folded("their names", who),
                class_="prose",
            ),
            _tag("td", steps[0], _tag("span", f" and {len(steps) - 1} more", class_="quiet") if steps[1:] else None),
        ]
        lines.append(_tag("tr", cells))
    head = _head(f"Of {_count(students, 'student')}", "What the answers look like", "First seen in")
    said = f"Answers that equal those of a known wrong idea, most frequent first. {_count(len(names), 'idea')}; "
    said += "each student counts once for an idea, and may have several."
    shown = [_scrolling("Misconceptions", _tag("table", head, _tag("tbody", lines[:SHORT]), class_="ideas"))]
    if len(lines) > SHORT:
        more = _scrolling("More misconceptions", _tag("table", head, _tag("tbody", lines[SHORT:]), class_="ideas"))
        left = len(found[names[SHORT]])
        each = "each of 1 student" if left == 1 else f"of {left} students or fewer"
        shown.append(_folded(f"{_count(len(lines) - SHORT, 'more idea')}, {each}", more))
    return _tag("div", title, _tag("p", said, class_="quiet"), shown)


# ---------------------------------------------------------------- who needs a talk


def _needs_a_talk(part: _Part) -> _Markup:
    title = _tag("h3", "Who needs a talk", id=f"{part.anchor}-talk")
    said = "Each is listed once, under the first of these rules that holds."
    groups = []
    for name, rule, rows in part.talks:
        heading = [_tag("strong", name), f": {len(rows)}"]
        if not rows:
            groups.append(_tag("p", _tag("strong", name), ": nobody. ", _tag("span", rule, class_="quiet")))
            continue
        lines = [_tag("tr", _tag("th", row.link, scope="row"), _what(part, row)) for row in rows]
        table = _tag("table", _head("Student", "Points", "Where, and what"), _tag("tbody", lines), class_="talk")
        groups.append(
            _folded(heading, _tag("p", rule, class_="quiet"), _scrolling(name, table), opened=len(rows) <= LONG)
        )
    return _tag("div", title, _tag("p", said, class_="quiet"), groups)


def _what(part: _Part, row: _Row) -> list[_Markup]:
    report = row.report
    points = _tag("td", f"{plain_number(report.score)} of {plain_number(report.max_score)}", class_="nobreak")
    file = _tag("div", _theirs(row.entry.file), class_="quiet file") if row.entry.file else None
    if report.status == "not_started":
        return [points, _tag("td", file, class_="prose")]
    if report.status == "broken":
        return [points, _tag("td", _tag("div", _theirs(problem_of(report), LONGEST)), file, class_="prose")]
    at = row.stopped_at
    if at is None:
        return [points, _tag("td", file, class_="prose")]
    checks = [check for check in row.by_step[at.name] if check.outcome != "skipped"]
    failed = _failed(checks)
    named = list(dict.fromkeys(name for check in failed for name in check.looks_like))
    if named:
        said: object = " ".join(part.ideas.get(name, Idea(name)).says for name in named)
    elif all(_unwritten(check) for check in failed):
        said = "Not written yet."
    else:
        first = next(check for check in failed if not _unwritten(check))
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        said = f"Fails {len(failed)} of {_count(len(checks), 'check')}: {first.name}{more}."
    return [points, _tag("td", _tag("div", _tag("strong", at.title), ". ", said), file, class_="prose")]


def _unwritten(check: CheckResult) -> bool:
    """Whether a check fails only because what it calls is not written yet."""
    return check.outcome == "failed" and check.message.startswith("to do ")


# ---------------------------------------------------------------- students and steps


def _map(part: _Part) -> _Markup:
    title = _tag("h3", "Students and steps", id=f"{part.anchor}-map")
    said = "Percent of each step's points, best score first. A dash: not checked, or not graded."
    signs = ("0", "1 to 24", "25 to 49", "50 to 74", "75 to 99", "100")
    legend = [_tag("li", _tag("span", class_=f"swatch h{place}"), text) for place, text in enumerate(signs)]
    titles: list[object] = ["Student", "Points", "Status"]
    titles += [[step.name, _tag("span", "stretch", class_="chip") if step.stretch else None] for step in part.steps]
    lines = [
        _tag(
            "tr",
            _tag("th", _tag("div", row.student, class_="clamp"), scope="row"),
            _tag("td", plain_number(row.report.score)),
            _tag("td", _mark(row.report.status)),
            [_heat(row.shares[step.name] if row.graded else None) for step in part.steps],
            id=row.anchor,
        )
        for row in part.rows
    ]
    means = []
    for step in part.steps:
        known = [share for row in part.graded if (share := row.shares[step.name]) is not None]
        means.append(_heat(statistics.fmean(known) if known else None))
    score = plain_number(round(statistics.fmean(row.report.score for row in part.graded), 1)) if part.graded else "–"
    foot = [_tag("th", f"Mean of {len(part.graded)} graded", scope="row"), _tag("td", score), _tag("td"), means]
    table = _tag("table", _head(*titles), _tag("tbody", lines), _tag("tfoot", _tag("tr", foot)), class_="map")
    return _tag(
        "div",
        title,
        _tag("p", said, class_="quiet"),
        _tag("ul", legend, class_="legend"),
        _scrolling("Students and steps", table, "high"),
    )


def _heat(share: float | None) -> _Markup:
    return _tag("td", "–") if share is None else _tag("td", _percent(share), class_=_shade(share))


def _notes(part: _Part) -> _Markup | None:
    noted = [row for row in part.rows if row.entry.note]
    if not noted:
        return None
    lines = [
        _tag(
            "tr",
            _tag("th", row.link, scope="row"),
            _tag("td", _theirs(row.entry.file)),
            _tag("td", _theirs(row.entry.note)),
        )
        for row in noted
    ]
    table = _tag("table", _head("Student", "File", "Why this file"), _tag("tbody", lines), class_="files")
    title = f"Files that were not chosen by name alone: {len(noted)}"
    return _tag("div", _tag("h3", "Files"), _folded(title, _scrolling("Files", table), opened=len(noted) <= SHORT))


STYLE = """
:root{--page:#fff;--text:#1b1f24;--quiet:#59636e;--line:#d5dae0;--soft:#f4f6f8;--link:#0b5cad;--plain:#5b7fa8;
--passed:#1a7f5a;--failed:#b4540a;--not_started:#5f6873;--broken:#9b2460;
--h0:#e98f52;--h1:#f3b483;--h2:#f9d5b5;--h3:#f8ecdc;--h4:#d3ebe6;--h5:#93cfc1;--focus:#fff3b8}
@media screen and (prefers-color-scheme:dark){:root{--page:#15181c;--text:#e7eaee;--quiet:#a0aab5;--line:#363d45;
--soft:#1e2329;--link:#7db7f5;--plain:#6f97c6;--passed:#4cc596;--failed:#f19a55;--not_started:#9aa4af;--broken:#ee82b4;
--h0:#9c4a14;--h1:#7a431f;--h2:#68482f;--h3:#454341;--h4:#28565a;--h5:#13655d;--focus:#4d4413}}
bdi{overflow-wrap:anywhere}
*{box-sizing:border-box}
html{color-scheme:light dark;-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0 auto;max-width:75rem;padding:1rem clamp(.4rem,3vw,2rem) 4rem;background:var(--page);color:var(--text);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:break-word;font-variant-numeric:tabular-nums}
h1,h2,h3{line-height:1.2;text-wrap:balance}
h1{font-size:clamp(1.3rem,4vw,2rem);margin:.5rem 0}
h2{font-size:clamp(1.15rem,3vw,1.5rem);margin:2.5rem 0 .5rem;padding-top:1rem;border-top:2px solid var(--line)}
h3{font-size:1.1rem;margin:2rem 0 .4rem}
h2 small{font-weight:400;color:var(--quiet)}
p{margin:.3rem 0;max-width:70ch}
a{color:var(--link)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.quiet,caption{color:var(--quiet);font-size:.875rem}
.nobreak{white-space:nowrap}
ul{padding-left:1.2rem}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
caption{text-align:left;padding:0 0 .4rem}
th,td{padding:.3rem .6rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{font-size:.8125rem;font-weight:600;color:var(--quiet);vertical-align:bottom}
tbody th{font-weight:400}
.scrolls{overflow-x:auto}
.numbers td,.numbers thead th+th{text-align:right}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));gap:0 3rem}
.two>div{min-width:0}
.tiles{list-style:none;margin:1rem 0 .5rem;padding:0;display:grid;gap:.6rem;
grid-template-columns:repeat(auto-fit,minmax(min(100%,11rem),1fr))}
.tiles li{align-content:start;padding:.5rem .8rem;background:var(--soft);border-radius:.4rem;border-left:.3rem solid;display:grid}
.big{font-size:1.6rem;font-weight:600;line-height:1.2}
.sign{display:inline-block;min-width:1em;text-align:center;font-weight:700}
.status{white-space:nowrap}
.sign.passed,.edge.passed{color:var(--passed)}.sign.failed,.edge.failed{color:var(--failed)}
.sign.not_started,.edge.not_started{color:var(--not_started)}.sign.broken,.edge.broken{color:var(--broken)}
.edge>*{color:var(--text)}.edge>.quiet{color:var(--quiet)}
.stack,.bar{display:flex;height:.7rem;border-radius:.2rem;overflow:hidden;gap:1px}
.bar{min-width:2rem}
.fill{display:block;height:100%;min-width:2px}
.fill,.swatch,.map td{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.fill.plain{background:var(--plain)}.fill.passed{background:var(--passed)}.fill.failed{background:var(--failed)}
.fill.not_started{background:var(--not_started)}.fill.broken{background:var(--broken)}
.h0{background:var(--h0)}.h1{background:var(--h1)}.h2{background:var(--h2)}
.h3{background:var(--h3)}.h4{background:var(--h4)}.h5{background:var(--h5)}
.swatch{display:inline-block;width:.9em;height:.9em;border-radius:.15em;margin-right:.35em;vertical-align:-.08em}
.chip{display:inline-block;font-size:.75rem;line-height:1.4;padding:0 .4em;border:1px solid var(--line);
border-radius:.6em;color:var(--quiet);font-weight:400;white-space:nowrap}
.notice{margin:1rem 0;padding:.5rem .8rem;background:var(--soft);border-left:.3rem solid var(--plain);font-size:.9375rem}
.notice ul{margin:.3rem 0}
.histogram th,.histogram td{padding-block:.15rem;border:0}
.histogram th{white-space:nowrap;width:1%}
.histogram td:nth-child(2){text-align:right;width:1%}
.bars{vertical-align:middle}
.steps .stack{margin-top:.2rem}
.steps thead th+th{white-space:nowrap}
.steps tbody th{min-width:min(9rem,40vw)}
.map thead .chip{display:block;width:fit-content;margin:auto}
.ideas .share{width:8rem}
.ideas .bar{margin-top:.2rem;max-width:7rem}
.ideas td:last-child{width:11rem}
.prose{min-width:min(14rem,45vw);max-width:75ch}
details{margin:.3rem 0}
summary{cursor:pointer;color:var(--link);width:fit-content}
.names{margin:.3rem 0;padding:0;list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1rem}
.talk{max-width:62rem}.talk th:first-child{width:14rem}.talk td:nth-child(2){width:7rem}
.legend{list-style:none;padding:0;margin:.3rem 0 .6rem;display:flex;flex-wrap:wrap;gap:.1rem 1rem;font-size:.875rem}
.high{max-height:85vh;overflow:auto;border:1px solid var(--line);border-radius:.3rem}
.map{border-collapse:separate;border-spacing:0;width:auto;min-width:100%}
.map td,.map thead th+th{text-align:center}
.map thead th:nth-child(3),.map td:nth-child(3){text-align:left}
.map td{vertical-align:middle;border-left:1px solid var(--page)}
.map tbody td,.map tbody th{padding-block:.15rem}
.map thead th{position:sticky;top:0;background:var(--page);z-index:2}
.map tfoot th,.map tfoot td{border-top:1px solid var(--line);border-bottom:0;font-weight:600}
.map th:first-child{position:sticky;left:0;background:var(--page);z-index:1;min-width:min(7rem,40vw);max-width:min(16rem,40vw)}
.map thead th:first-child{z-index:3}
.map tbody tr{scroll-margin-top:4rem}
.map tr:target th,.map tr:target td:nth-child(-n+3){background:var(--focus)}
.clamp,.who,.file{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;line-clamp:2;overflow:hidden;max-width:max-content}
@media (max-width:30rem){th,td{padding-inline:.3rem}.ideas td:last-child,.ideas .share{width:5rem}
.steps thead th+th{white-space:normal}.steps tbody th{min-width:7rem}}
@media (max-width:16rem){body{font-size:.8rem;overflow-wrap:anywhere}.status,.nobreak,.histogram th,.chip{white-space:normal}
.tiles li{padding:.3rem}.notice{padding:.3rem}ul{padding-left:.8rem}.map th:first-child{position:static}}
@media print{
body{max-width:none;padding:0;font-size:9pt}
.jump{display:none}
.high,.scrolls{max-height:none;overflow:visible;border:0}
.map thead th,.map th:first-child{position:static}
.clamp,.who,.file{display:block}
thead{display:table-header-group}tr,.tiles li{break-inside:avoid}h2,h3,summary{break-after:avoid}
details:not([open])::details-content{content-visibility:visible;display:block}
a{color:inherit;text-decoration:none}
}
""".strip()
