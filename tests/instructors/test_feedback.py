"""What students read: of hidden checks what was chosen and no more, and nothing of anybody's text but the text."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.logic.feedback import POLICIES, Graded, hidden_text, moved
from grader.logic.inert import as_text, inert
from grader.logic.words import Idea
from grader.model.types import CheckResult, Entry, Report

SECRET = "asked counter.add([3, 1]) expected 0.4711 printed by me: hello RuntimeError"
IDEAS = {
    "no_scale": Idea("The scores are not divided by √d_k.", "What happens to a softmax of large numbers?"),
    "upper": Idea("The mask hides the past.", "", convention="hides the future"),
}
PASSED = CheckResult("adds in the order given", "one", True, 1.0, 1.0, "passed", SECRET)
FAILED = CheckResult("counts ties", "one", True, 1.0, 0.0, "failed", SECRET, ["no_scale"])
UNKNOWN = CheckResult("never raises", "one", True, 1.0, 0.0, "error", SECRET)
SKIPPED = CheckResult("needs a GPU", "one", True, 1.0, 0.0, "skipped", SECRET)


# ---------------------------------------------------------------- of hidden checks


def test_nothing_is_nothing():
    assert hidden_text([PASSED, FAILED], IDEAS, "nothing") == ""


@pytest.mark.parametrize("policy", POLICIES)
def test_a_step_without_hidden_checks_says_nothing(policy):
    assert hidden_text([], IDEAS, policy) == ""


def test_count_counts_those_that_were_run():
    said = hidden_text([PASSED, FAILED, UNKNOWN, SKIPPED], IDEAS, "count")

    assert said == "1 of 3 hidden checks passed\n1 could not be run here, and do not count"


def test_idea_names_each_idea_once_with_its_question_and_nothing_else():
    said = hidden_text([PASSED, FAILED, FAILED], IDEAS, "idea")

    lines = [" ".join(line.split()) for line in said.split("\n")]
    assert lines == [
        "1 of 3 hidden checks passed",
        "looks like the scores are not divided by √d_k.",
        "think What happens to a softmax of large numbers?",
    ]


def test_another_convention_is_called_one_and_not_a_mistake():
    said = hidden_text([replace(FAILED, looks_like=["upper"])], IDEAS, "idea")

    assert "another convention: the mask hides the past." in said


@pytest.mark.parametrize("names", [[], ["an idea that was taken out"]])
def test_an_answer_that_no_known_idea_gives_says_so(names):
    said = hidden_text([replace(FAILED, looks_like=names)], IDEAS, "idea")

    assert said == "0 of 1 hidden checks passed\nNo idea that is known gives exactly these answers."


def test_where_all_pass_there_is_nothing_to_look_for():
    assert hidden_text([PASSED, SKIPPED], IDEAS, "idea").split("\n")[0] == "1 of 1 hidden checks passed"
    assert "No idea" not in hidden_text([PASSED, SKIPPED], IDEAS, "idea")


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy != "message"])
def test_neither_messages_nor_names_of_hidden_checks_are_in_what_is_not_message(policy):
    said = hidden_text([PASSED, FAILED, UNKNOWN, SKIPPED], IDEAS, policy)

    assert not any(
        word in said
        for word in [
            "counter.add",
            "0.4711",
            "hello",
            "RuntimeError",
            PASSED.name,
            FAILED.name,
            UNKNOWN.name,
            SKIPPED.name,
        ]
    )


def test_message_gives_names_and_messages_of_those_that_failed_only():
    said = hidden_text([PASSED, FAILED, SKIPPED], IDEAS, "message")

    assert f"✗ {FAILED.name}\n{SECRET}" in said and said.count(SECRET) == 1
    assert PASSED.name not in said and SKIPPED.name not in said


# ---------------------------------------------------------------- whose mark moved


def graded(*checks, marks=None, status="failed", digest="d"):
    report = Report("toy", "toy.ipynb", "all", 7, status, 0.0, 0.0, 0.1, list(checks))
    return Graded(Entry("ada", "toy.ipynb", "", digest, report), marks or {"toy-one-hidden": sum(c.earned for c in checks)})  # fmt: skip


BEFORE = graded(PASSED, FAILED)
MENDED = replace(FAILED, outcome="passed", earned=1.0)
LATE = replace(PASSED, outcome="timeout", earned=0.0)


def test_a_first_grading_and_one_that_gives_the_same_say_nothing():
    assert moved(None, BEFORE) == ""
    assert moved(BEFORE, graded(PASSED, FAILED)) == ""
    assert moved(BEFORE, graded(PASSED, FAILED, digest="another file, the same marks")) == ""


@pytest.mark.parametrize(
    ("after", "why"),
    [
        pytest.param(graded(PASSED, MENDED), "one: “counts ties” failed and passes now", id="passes now"),
        pytest.param(graded(LATE, FAILED), "one: “adds in the order given” passed and fails now", id="fails now"),
        pytest.param(graded(replace(PASSED, outcome="skipped", earned=0.0), FAILED), "passed and is not run now", id="skipped now"),
        pytest.param(graded(PASSED, FAILED, replace(PASSED, name="more")), "the check “more” is new, and passes now", id="a new check"),
        pytest.param(graded(FAILED), "the check “adds in the order given” is gone, which had earned 1", id="a check gone"),
        pytest.param(graded(replace(PASSED, points=2.0, earned=2.0), FAILED), "is worth 2 and was worth 1", id="another weight"),
        pytest.param(graded(digest="e", status="broken"), "another file was handed in; it was failed and is broken", id="broken now"),
        pytest.param(graded(PASSED, FAILED, marks={"toy-one-hidden": 0.5}), "no check says why", id="no reason"),
    ],
)  # fmt: skip
def test_a_mark_that_moved_is_told_from_what_to_what_and_why(after, why):
    said = moved(BEFORE, after)

    assert said.startswith(f"{after.points:g} points, before 1: ") and why in said


def test_marks_that_moved_against_each_other_are_told_though_the_points_are_the_same():
    before = graded(marks={"toy-one-public": 2.0, "toy-one-hidden": 1.0, "toy-two-hidden": 1.0})
    after = graded(marks={"toy-one-public": 1.0, "toy-one-hidden": 2.0, "toy-two-hidden": 1.0})

    said = moved(before, after)

    assert said.startswith("4 points, before 4: toy-one-public has 1 and had 2; toy-one-hidden has 2 and had 1; ")
    assert "toy-two" not in said


def test_in_a_log_that_travels_no_hidden_check_is_named():
    public = replace(PASSED, name="is public", hidden=False)
    after = graded(replace(PASSED, outcome="failed", earned=0.0), replace(public, outcome="failed", earned=0.0))

    said = moved(graded(PASSED, public), after, name_hidden=False)

    assert "one: a hidden one passed and fails now" in said and "“is public”" in said
    assert PASSED.name not in said


# ---------------------------------------------------------------- text that nobody vouches for

HOSTILE = [
    "<script>alert(1)</script>",
    "</pre><script>alert(1)</script><pre>",
    "<img src=x onerror=alert(1)>",
    "&lt;script&gt; &amp;lt; &#60;b&#62; &lt",
    "[a](javascript:alert(1)) ![b](http://x/y.png) <http://x.org> http://x.org www.x.org a@b.org",
    "[a]: javascript:alert(1)\n\n[a]",
    "$x$ $$y$$ \\(z\\) \\[w\\] $\\href{javascript:alert(1)}{x}$ \\begin{equation}a\\end{equation}",
    "`code` ```\nfence\n``` ~~~\nfence\n~~~",
    "    indented\n\n\ttabbed\n\n\n# heading\n=====\n* item\n1. one\n> quoted\n---\n| a | b |\n|---|---|\n",
    "1. one",
    "10) ten",
    "- item",
    "+ item",
    "_a_ *b* **c** ~~d~~ \\* ",
    "right\u202eto left\u2066 isolated\u2069 \u200f",
    "a\x00b\x07\x1b[31mred\x85next\u2028line\ufdd0\uffff",
    "lone \ud800 half",
    "line\r\nends\rhere\n",
    "{{ cell.source }} {% raw %} {% endraw %}",
    "<!-- --><![CDATA[ ]]><?php ?>",
    "\n\nleading and trailing\n\n",
    "attachment:a.svg data:text/html,<b>",
    "Größe 数 ٣ ½ ① 🙂 e\u0301",
]
ANY = st.text(st.one_of(st.sampled_from("<>&$\\`*_[](){}!#|~\"'=:/;.-+1 \n\t\r"), st.characters(codec=None)), max_size=60)  # fmt: skip
RELAXED = settings(deadline=None, max_examples=200)


def rendered(text):
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    return markdown2html_mistune(text)


def shown(page):
    """What a reader sees: the text, without elements."""
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def representable(text):
    """The text with the one sign for all that no page can show."""
    return "".join(sign if html.unescape(f"&#{ord(sign)};") == sign else "\ufffd" for sign in text)


def elements(page):
    return re.findall(r"<[^>]*>", page)


def refuse_all_but_text(text):
    page = rendered(as_text(text)).strip()

    assert elements(page) == ["<pre>", "</pre>"]
    assert page.startswith("<pre>") and page.endswith("</pre>")
    assert shown(page) == representable(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_it_is_and_is_nothing_else(text):
    refuse_all_but_text(text)


@RELAXED
@given(ANY)
def test_any_text_is_shown_as_it_is_and_is_nothing_else(text):
    refuse_all_but_text(text)


@pytest.mark.parametrize("text", ["<b>", "[a](javascript:alert(1))", "<http://x.org>", "# heading"])
def test_the_comparison_of_these_tests_finds_text_that_was_not_made_harmless(monkeypatch, text):
    monkeypatch.setitem(globals(), "as_text", lambda told: f"<pre>\n\n</pre>\n\n{told}")

    with pytest.raises(AssertionError):
        refuse_all_but_text(text)


def refuse_all_but_a_line(text):
    page = rendered(f"- It could be {inert(text)}: rename it.\n- second").strip()

    assert set(elements(page)) <= {"<ul>", "</ul>", "<li>", "</li>", "<span>", "</span>"}
    assert page.count("<li>") == 2
    apart = re.sub(r"<span>[^<]*</span>", "", page)
    assert "$" not in html.unescape(apart) and "\\" not in html.unescape(apart)  # MathJax does not read across elements


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_a_sentence_stays_on_its_line_and_is_nothing_else(text):
    refuse_all_but_a_line(text)


@RELAXED
@given(ANY)
def test_any_text_in_a_sentence_stays_on_its_line_and_is_nothing_else(text):
    refuse_all_but_a_line(text)


@pytest.mark.parametrize("text", [text for text in HOSTILE if text.isprintable()])
def test_what_can_be_shown_on_a_line_is_shown(text):
    page = rendered(f"- {inert(text)}").strip()

    assert shown(page).strip() == " ".join(text.split())


def test_what_turns_the_direction_of_a_line_is_shown_as_a_dot():
    assert shown(inert("a\u202eb")) == "a·b"
    assert inert("") == ""
