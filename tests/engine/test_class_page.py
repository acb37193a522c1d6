"""A class's page: what is on it, for whom, and that nothing of a submission's becomes markup."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from grader.logic.class_page import STYLE, _tag, page
from grader.logic.variants import apply
from grader.logic.words import Idea
from grader.model.types import Cell, CheckResult, Entry, Exercise, Limits, Report, Step, Submission
from grader.system.course import Course
from grader.verbs.batch import grade_many
from grader.verbs.grading import Sources, make_plan

VOID = {"meta", "br"}
TAGS = """html head meta title style body header nav main section h1 h2 h3 p a ul li table caption thead tbody tfoot tr
    th td div span bdi small strong details summary"""
ATTRIBUTES = """lang charset http-equiv content name id class href style scope colspan tabindex role aria-label
    aria-hidden aria-labelledby open"""
HOSTILE = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "'><img src=x onerror=alert(1)>",
    "</style></bdi></td></table><h1>",
    "<!--",
    "&lt;b&gt;&#60;i&#62;",
    "\u202eevil\u202c",
    "x" * 500,
    "👩‍💻🎓 Zoë",
    "عمر",
    "a\x00\x1b[31m\n\ud800b",
    "javascript:alert(1)",
    "]]><![CDATA[",
    "",
]
STEPS = (
    Step("softmax", "Softmax along any axis", ("softmax",), 15, 2.0),
    Step("weights", "Attention weights", ("weights",), 20, 2.0),
    Step("backward", "Gradients", ("backward",), 60, 3.0, stretch=True),
)
EXERCISES = {
    name: Exercise(name, f"ex0{number}_{name}", title, f"{name}.py", STEPS, 2, (), (), Limits(), (), {})
    for number, (name, title) in enumerate([("attention", "Scaled attention"), ("bigram", "A bigram model")], start=1)
}
IDEAS = {
    "attention": {
        "no_scale": Idea("The scores are not divided by √d_k.", "How large is a dot product?"),
        "axis": Idea("The axis asked for is ignored.", "Which axis?", "axis = -1"),
    }
}


def check(step: str, earned: float = 1.0, outcome: str = "", ideas: tuple[str, ...] = (), **more) -> CheckResult:
    given = {"name": f"{step} is right", "hidden": False, "points": 1.0, **more}
    outcome = outcome or ("passed" if earned == given["points"] else "failed")
    return CheckResult(step=step, earned=earned, outcome=outcome, looks_like=list(ideas), **given)


def entry(student: str, *checks: CheckResult, status: str = "failed", exercise: str = "attention", **more) -> Entry:
    known = {"file": f"{student}/work.py", "note": "", **more}
    file, note = known.pop("file"), known.pop("note")
    if not checks:
        earned = 1.0 if status == "passed" else 0.0
        checks = tuple(check(step.name, earned) for step in STEPS)
    counted = [one for one in checks if one.outcome != "skipped"]
    score, most = sum(one.earned for one in counted), sum(one.points for one in counted)
    given = {"scope": "all", "score": score, "max_score": most, **known}
    return Entry(
        student, file, note, "", Report(exercise, file, seed=7, status=status, seconds=0.1, checks=[*checks], **given)
    )


def made(*entries: Entry, exercises=EXERCISES, ideas=IDEAS, title: str = "Autumn", when: str = "today") -> Page:
    return read(page(entries, exercises, ideas, title, when))


# ---------------------------------------------------------------- reading a page


@dataclass
class Page(HTMLParser):
    """What a browser sees: the elements with their attributes, the texts, and tables as rows under the last heading."""

    elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = field(default_factory=list)
    tables: list[tuple[str, list[list[str]]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    heading: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.heading = ""
        elif tag == "table":
            self.tables.append((self.heading, []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            return
        self.texts.append(data)
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.heading += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][1][-1][-1] += data

    def handle_comment(self, data):
        self.others.append(data)

    def unknown_decl(self, data):
        self.others.append(data)

    def handle_pi(self, data):
        self.others.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))

    def under(self, heading: str) -> list[list[str]]:
        """The rows, heads included, of all tables under a heading; texts of one cell as one."""
        return [row for title, rows in self.tables if title.startswith(heading) for row in rows]

    def attributes(self, name: str) -> list[str | None]:
        return [value for _, pairs in self.elements for key, value in pairs if key == name]


def read(text: str) -> Page:
    """The page, parsed to its end with every element closed."""
    found = Page()
    found.feed(text)
    found.close()
    assert found.open == []
    return found


def skeleton(found: Page) -> list:
    """Every element and attribute, but for widths and the texts in between."""
    return [(tag, [pair for pair in pairs if pair[0] != "style"]) for tag, pairs in found.elements]


# ---------------------------------------------------------------- nothing of a submission's becomes markup


def class_of(names: list[str]) -> list[Entry]:
    """Each name in every place that a submission can fill; a number in front keeps the order."""
    entries = []
    for number, name in enumerate(names):
        text = f"{number:03}{name}"
        for status in ("passed", "failed", "broken", "not_started"):
            given = {"file": text, "note": text, "message": f"problem    {text}", "status": status}
            checks = [
                check("softmax", 1.0),
                check("weights", 0.0, ideas=(text,), message=text, name=text),
                check("weights", 0.0, message=text, name=text),
                check("backward", 0.0, "skipped", message=text, name=text),
            ]
            entries.append(entry(f"{text} {status}", *checks, **given))
            unnamed = [replace(one, looks_like=[]) for one in checks]
            entries.append(entry(f"{text} {status} unnamed", *unnamed, **given))
    return entries


def test_hostile_texts_leave_the_elements_and_attributes_as_harmless_ones_do():
    harmless = made(*class_of(["harmless"] * len(HOSTILE)))

    hostile = made(*class_of(HOSTILE))

    assert skeleton(hostile) == skeleton(harmless)
    assert hostile.others == []
    assert all(hostile.text.count(text) > 5 for text in HOSTILE[:6])


def test_titles_and_what_an_author_wrote_are_escaped_too():
    course = {
        "attention": replace(EXERCISES["attention"], title="<b>", steps=(replace(STEPS[0], title="<i>", name="<u>"),))
    }
    bad = entry("ada", check("<u>", 0.0, ideas=("no_scale",)))

    found = made(
        bad, exercises=course, ideas={"attention": {"no_scale": Idea("<s>", "<q>")}}, title="<h1>", when="<hr>"
    )

    assert {tag for tag, _ in found.elements} <= set(TAGS.split())
    assert all(text in found.text for text in ("<b>", "<i>", "<u>", "<s>", "<q>", "<h1>", "<hr>"))


def test_a_page_that_did_not_escape_would_be_seen():
    text = page(class_of(["harmless"]), EXERCISES, IDEAS, "", "")

    assert skeleton(read(text.replace("000harmless broken<", "<b>x</b><"))) != skeleton(read(text))
    assert skeleton(read(text.replace("<bdi>000", "<bdi class='x'>000"))) != skeleton(read(text))
    with pytest.raises(AssertionError, match="closes nothing"):
        read(text.replace("000harmless broken<", "</td><", 1))


def test_what_makes_markup_escapes_texts_and_attributes_alike():
    made_by_hand = _tag("a", "<b>", [_tag("i", "&")], None, 3, href='"><b onclick=x', class_="x'y", title=None)

    assert made_by_hand == ('<a href="&quot;&gt;&lt;b onclick=x" class="x&#x27;y">&lt;b&gt;<i>&amp;</i>3</a>')
    assert _tag("p", _tag("i", "x").upper(), _tag("i", "y") + "") == "<p>&lt;I&gt;X&lt;/I&gt;&lt;i&gt;y&lt;/i&gt;</p>"


def test_elements_and_attributes_are_of_few_kinds_and_nothing_is_loaded():
    found = made(*class_of(HOSTILE), entry("ada", exercise="bigram"))

    assert {tag for tag, _ in found.elements} <= set(TAGS.split())
    assert {name for _, pairs in found.elements for name, _ in pairs} <= set(ATTRIBUTES.split())
    assert all(re.fullmatch(r"width:\d{1,3}\.\d\d%", value) for value in found.attributes("style"))
    assert not re.search(r"url\(|@import|expression|https?:", STYLE)
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    assert ("meta", (("http-equiv", "Content-Security-Policy"), ("content", policy))) in found.elements


def test_ids_are_counted_and_every_link_leads_to_one():
    found = made(*class_of(HOSTILE), entry("ada", exercise="bigram"))

    ids, links = found.attributes("id"), found.attributes("href")

    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"exercises|x\d+(r\d+|-(scores|ideas|talk|map))?", name) for name in ids)
    assert {link[1:] for link in links} <= set(ids)
    assert len(links) > len(HOSTILE)
    assert set(found.attributes("aria-labelledby")) <= set(ids)


def test_what_would_turn_or_break_a_line_is_shown_as_a_dot():
    found = made(entry("\u202eevil\x00\n\ud800"), title="a\x1bb")

    assert "·evil···" in found.text
    assert "a·b" in found.text
    assert page([entry("\ud800")], EXERCISES, IDEAS, "\udc00", "").encode()


def test_messages_of_hidden_checks_are_never_shown():
    secret = "expected   0.66981234"
    outcomes = [("failed", 0.0), ("error", 0.0), ("timeout", 0.0), ("skipped", 0.0), ("passed", 1.0)]
    checks = [
        check("weights", earned, outcome, message=secret, hidden=True, name=f"kept {outcome}", ideas=ideas)
        for outcome, earned in outcomes
        for ideas in ((), ("no_scale",))
    ]
    entries = [entry(f"s{number}", *checks[number:]) for number in range(8)] + [entry("unnamed", checks[0])]

    found = made(*entries, entry("cy", check("weights", 0.0, "skipped", message="no such thing here")))

    assert "0.6698" not in found.text
    assert "Fails 1 of 1 check: kept failed." in found.text and "kept skipped (hidden check)" in found.text
    assert "no such thing here" in found.text


# ---------------------------------------------------------------- what is on it


def test_a_table_has_heads_for_its_columns_and_rows():
    found = made(*class_of(HOSTILE), entry("ada", exercise="bigram"))

    heads = [dict(pairs).get("scope") for tag, pairs in found.elements if tag == "th"]
    assert set(heads) == {"col", "row"}
    tags = Counter(tag for tag, _ in found.elements)
    assert tags["table"] == tags["thead"] == tags["tbody"] > 5
    assert tags["title"] == tags["h1"] == tags["main"] == 1
    assert found.attributes("lang") == ["en"]


def test_every_coloured_cell_says_its_number():
    entries = [entry(f"s{number}", check("softmax", number / 8)) for number in range(9)]

    text = page(entries, EXERCISES, IDEAS, "", "")

    cells = re.findall(r'<td class="(h\d)">([^<]*)</td>', text.partition("</tbody><tfoot>")[0])
    shades = {number: shade for shade, number in cells}
    assert len(cells) == 9
    assert shades == {
        **{"0": "h0", "13": "h1", "25": "h2", "38": "h2", "50": "h3"},
        **{"63": "h3", "75": "h4", "88": "h4", "100": "h5"},
    }


def test_how_many_passed_failed_are_not_started_or_broken():
    statuses = ["passed"] * 4 + ["failed"] * 3 + ["not_started"] * 2 + ["broken"]

    found = made(*(entry(f"s{number}", status=status) for number, status in enumerate(statuses)))

    tiles = re.search(r"4✓ passed.*?3✗ failed.*?2○ not started.*?1! broken", found.text)
    assert tiles
    assert "Broken or not started, and left out here: 3." in found.text


def test_scores_are_shared_out_to_tenths_and_full_marks_stand_alone():
    earned = [0.0, 0.05, 0.1, 0.5, 0.7, 0.999, 1.0, 1.0]

    found = made(*(entry(f"s{number}", check("softmax", score)) for number, score in enumerate(earned)))

    rows = {label: int(count) for label, count, _ in found.under("Scores")[1:]}
    assert rows == {
        **dict.fromkeys(["20 to 29 %", "30 to 39 %", "40 to 49 %", "60 to 69 %", "80 to 89 %"], 0),
        **dict.fromkeys(["10 to 19 %", "50 to 59 %", "70 to 79 %", "90 to 99 %"], 1),
        "under 10 %": 2,
        "100 %": 2,
    }
    assert "Median 0.6 of 1 point. The middle half lies between 0.09 and 1." in found.text


def test_steps_show_who_earned_how_much_of_their_points_stretch_steps_too():
    def one(student, softmax, weights, backward):
        return entry(student, check("softmax", softmax), check("weights", weights), check("backward", backward))

    found = made(one("a", 1, 0, 0.2), one("b", 1, 0.5, 0.9), one("c", 1, 0, 1), entry("d", status="broken"))

    head, *rows = found.under("Points step by step")
    assert head == ["Step", "none", "under ½", "from ½", "all"]
    assert [[row[0].split(" ")[0], *map(int, row[1:])] for row in rows] == [
        ["Softmax", 0, 0, 0, 3],
        ["Attention", 2, 0, 1, 0],
        ["Gradients", 0, 1, 1, 1],
    ]
    assert ["stretch" in row[0] for row in rows] == [False, False, True]


def test_ideas_count_students_not_checks_and_the_most_frequent_comes_first():
    wrong = [check("weights", 0.0, ideas=("no_scale", "axis")), check("weights", 0.0, ideas=("no_scale",))]
    entries = [entry(f"s{number:02}", *wrong[1:] * 3) for number in range(13)]
    entries += [entry("both", *wrong), entry("both", *wrong, file="again.py")]
    passed = entry("fine", check("weights", 1.0, ideas=("axis",)), status="passed")

    found = made(*entries, passed)

    head, *rows = found.under("Misconceptions")
    assert head[0] == "Of 15 students"
    assert [row[0] for row in rows] == ["14 students", "1 student"]
    assert rows[0][1].startswith("The scores are not divided by √d_k.Ask: How large is a dot product?")
    assert all(f"s{number:02}" in rows[0][1] for number in range(13)) and "both" in rows[0][1]
    assert "another convention" in rows[1][1] and "another convention" not in rows[0][1]
    assert rows[0][2] == "weights"


def test_an_idea_links_to_its_students_lines():
    text = page([entry("ada", check("weights", 0.0, ideas=("no_scale",)))], EXERCISES, IDEAS, "", "")

    (anchor,) = re.findall(r'<tr id="([^"]*)"><th[^>]*><div[^>]*><bdi>ada</bdi>', text)

    ideas = text.partition('id="x1-ideas"')[2].partition("</table>")[0]
    assert f'<a href="#{anchor}" class="who"><bdi>ada</bdi></a>' in ideas


def test_many_ideas_are_folded_after_the_first_ten():
    entries = [entry(f"s{number}", check("weights", 0.0, ideas=(f"idea {number}",))) for number in range(12)]

    found = made(*entries)

    assert "2 more ideas, each of 1 student" in found.text
    assert len({row[1] for row in found.under("Misconceptions") if row[1].startswith("idea")}) == 12


def talks(found: Page) -> dict[str, list[str]]:
    """Who is listed under which rule."""
    text = found.text.partition("Who needs a talk")[2]
    names = ["Broken", "Not started", "Stuck, and no misconception has a name for it", "Lowest third"]
    rows = iter([row[0] for row in found.under("Who needs a talk") if row[0] != "Student"])
    counts = [re.search(rf"{re.escape(name)}: (\d+|nobody)", text)[1] for name in names]
    return {
        name: [next(rows) for _ in range(int(count.replace("nobody", "0")))]
        for name, count in zip(names, counts, strict=True)
    }


def test_who_needs_a_talk_is_listed_once_under_the_first_rule_that_holds():
    to_do = {"message": "to do      weights is not written yet."}
    entries = [
        entry("broken", status="broken", message="problem    broken.py is not valid Python.\nwhere"),
        entry("untouched", status="not_started"),
        entry("unnamed", check("softmax"), check("weights", 0.0), check("backward", 0.0, ideas=("axis",))),
        entry("half way", check("softmax"), check("weights", 0.0, **to_do)),
        entry("low", check("softmax", 0.0, ideas=("axis",)), check("weights", 0.0)),
        entry("better", check("softmax", 0.5, ideas=("axis",)), check("weights", 1.0)),
        *(entry(f"fine {number}", status="passed") for number in range(4)),
    ]

    found = made(*entries)

    assert talks(found) == {
        "Broken": ["broken"],
        "Not started": ["untouched"],
        "Stuck, and no misconception has a name for it": ["unnamed", "half way"],
        "Lowest third": ["low"],
    }
    what = {row[0]: row[2] for row in found.under("Who needs a talk")}
    assert what["broken"].startswith("broken.py is not valid Python.")
    assert what["unnamed"].startswith("Attention weights. Fails 1 of 1 check: weights is right.")
    assert what["half way"].startswith("Attention weights. Not written yet.")
    assert what["low"].startswith("Softmax along any axis. The axis asked for is ignored.")
    assert (
        "a score among the lowest third of those that could be graded (3 of 8; equal scores count together)"
        in found.text
    )


def test_a_stretch_step_holds_nobody_up():
    first_stretch = {"attention": replace(EXERCISES["attention"], steps=STEPS[::-1])}
    row = entry("ada", check("backward", 0.0), check("softmax"), check("weights", 0.0, ideas=("no_scale",)))

    found = made(row, exercises=first_stretch)

    assert talks(found)["Stuck, and no misconception has a name for it"] == []
    assert talks(found)["Lowest third"] == ["ada"]


@pytest.mark.parametrize(
    ("scores", "listed"), [([1, 2, 3, 4, 5, 6], 2), ([1, 1, 1, 1, 5, 6], 4), ([3], 1), ([3, 4], 1)]
)
def test_the_lowest_third_takes_equal_scores_together(scores, listed):
    entries = [entry(f"s{number}", check("softmax", score / 8, ideas=("axis",))) for number, score in enumerate(scores)]

    assert len(talks(made(*entries))["Lowest third"]) == listed >= math.ceil(len(scores) / 3)


def test_a_student_without_a_name_can_be_followed_too():
    assert talks(made(entry(" ", status="broken")))["Broken"] == ["(no name)"]


def test_a_class_that_passed_needs_no_talk():
    found = made(*(entry(f"s{number}", status="passed") for number in range(9)))

    assert set(map(len, talks(found).values())) == {0}


def test_the_map_is_sorted_by_score_and_ends_with_those_without_one():
    found = made(
        entry("none", status="broken"),
        entry("zero", *(check(step.name, 0.0) for step in STEPS)),
        entry("low", check("softmax", 0.25), check("weights", 0.0), check("backward", 0.0)),
        entry("best", status="passed"),
        entry("middle", check("softmax"), check("weights", 0.999), check("backward", 0.0, "skipped")),
    )

    assert found.under("Students and steps") == [
        ["Student", "Points", "Status", "softmax", "weights", "backwardstretch"],
        ["best", "3", "✓ passed", "100", "100", "100"],
        ["middle", "1.999", "✗ failed", "100", "99", "–"],
        ["low", "0.25", "✗ failed", "25", "0", "0"],
        ["zero", "0", "✗ failed", "0", "0", "0"],
        ["none", "0", "! broken", "–", "–", "–"],
        ["Mean of 4 graded", "1.3", "", "56", "50", "33"],
    ]


def test_what_was_not_checked_is_said():
    skipped = [check("softmax"), check("weights", 0.0, "skipped", message="there is no fork here", name="weights fork")]
    fully = [[skipped[0], replace(skipped[1], hidden=True, message=message)] for message in ("0.1", "0.2")]

    found = made(
        entry("a", *skipped), entry("b", *skipped), entry("c", *fully[0], scope="public"), entry("d", *fully[1])
    )

    assert "Not checked: these points count neither as earned nor as lost" in found.text
    assert "weights: weights fork (there is no fork here), in 2 submissions" in found.text
    assert "weights: weights fork (hidden check), in 2 submissions" in found.text
    assert "The hidden checks, in 1 submission: only public ones were run." in found.text
    (row,) = [row for row in found.under("Points step by step") if row[0].startswith("Attention")]
    assert row[1:] == ["not checked"]


def test_nothing_is_said_of_that_where_all_was_checked():
    assert "Not checked" not in made(entry("a")).text


def test_a_submission_of_which_nothing_was_checked_harms_no_sum():
    found = made(entry("a", *(check(step.name, 0.0, "skipped") for step in STEPS)))

    assert "Nothing could be graded." in found.text
    assert found.under("Students and steps")[1] == ["a", "0", "✗ failed", "–", "–", "–"]


def test_points_are_in_percent_where_not_all_could_earn_the_same():
    less = [check("softmax", 0.5), check("weights", 0.0, "skipped")]

    found = made(entry("a", check("softmax", 0.5), check("weights", 0.5)), entry("b", *less))

    assert "Median 50 %." in found.text


def test_several_exercises_have_an_overview_and_a_section_each_in_the_course_s_order():
    found = made(entry("a", exercise="bigram"), entry("b"), entry("a"), entry("z", exercise="gone", status="passed"))

    head, *rows = found.under("Exercises")
    assert head[0] == "Exercise"
    assert [row[:2] for row in rows] == [["Scaled attention", "2"], ["A bigram model", "1"], ["gone", "1"]]
    assert "3 students, 4 submissions, 3 exercises." in found.text
    assert found.attributes("id").count("x3") == 1
    assert made(entry("b")).under("Exercises") == []


def test_files_that_were_guessed_are_listed_with_the_reason():
    found = made(entry("ada", note="guessed by its functions"), entry("ben"))

    assert found.under("Files") == [
        ["Student", "File", "Why this file"],
        ["ada", "ada/work.py", "guessed by its functions"],
    ]
    assert made(entry("ben")).under("Files") == []


def test_an_empty_class_has_a_page_too():
    for exercises in ({}, EXERCISES):
        found = made(exercises=exercises)

        assert "No submissions, so there is nothing to show." in found.text
        assert found.tables == []


def test_one_submission_and_three_hundred():
    one = made(entry("ada"))
    many = made(*(entry(f"s{number:03}", check("softmax", number / 300)) for number in range(300)))

    assert "1 student, 1 submission, 1 exercise." in one.text
    rows = many.under("Students and steps")
    assert [row[0] for row in rows[1:-1]] == [f"s{number:03}" for number in reversed(range(300))]
    assert len(many.attributes("id")) == len(set(many.attributes("id"))) == 305


def test_the_page_does_not_depend_on_the_order_of_the_entries():
    entries = class_of(HOSTILE)

    assert page(entries, EXERCISES, IDEAS, "", "") == page(entries[::-1], EXERCISES, IDEAS, "", "")


def test_reports_as_the_grader_makes_them_show_the_ideas_that_it_named(printed_toy: Path):
    course = Course(printed_toy)
    exercise = course.find("counter")
    sources = Sources(course, exercise)
    wrong = [variant for variant in sources.variants if variant.kind == "wrong"]
    submissions = [Submission(f"{one.name}.py", (Cell(apply(sources.solution, one)),)) for one in wrong]
    submissions += [Submission("stub.py", (Cell(sources.stub),)), Submission("right.py", (Cell(sources.solution),))]
    reports = grade_many(make_plan(course, exercise), submissions, 1)
    ideas = {exercise.name: {one.name: Idea(one.says, one.hint, one.convention) for one in wrong}}
    entries = [Entry(report.submission, report.submission, "", "", report) for report in reports]

    found = made(*entries, exercises={exercise.name: exercise}, ideas=ideas)

    named = {row[1] for row in found.under("Misconceptions")}
    assert len(wrong) > 2
    assert all(any(row.startswith(one.says) and f"{one.name}.py" in row for row in named) for one in wrong)
    assert talks(found)["Not started"] == ["stub.py"]
    assert found.under("Students and steps")[1][0] == "right.py"
