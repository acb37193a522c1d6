"""Text that nobody vouches for, made to be read and nothing else: no Markdown, no HTML, no link, no formula."""

from __future__ import annotations

import html

from grader.logic.table import one_line

_HARMLESS = frozenset(" ,")
_MATH = frozenset("$\\")
NO_SUCH = "&#65533;"  # stands for what no page can show: control characters, halves of characters


def inert(text: str) -> str:
    """The text on one line, for a place where Markdown or HTML is read: every sign but a few is written by its number.

    Signs that begin formulas stand in elements of their own, across which MathJax does not read.
    """
    line = one_line(" ".join(text.split()))
    return "".join(f"<span>{_coded(sign)}</span>" if sign in _MATH else _coded(sign) for sign in line)


def as_text(text: str) -> str:
    """The text as a block of its own, lines and blanks as they are.

    Markdown finds no sign of its own in it, HTML no tag, and MathJax leaves ``pre`` alone.
    """
    return f"<pre>{_coded(text)}</pre>"


def _coded(text: str) -> str:
    return "".join(sign if sign.isalnum() or sign in _HARMLESS else _numbered(sign) for sign in text)


def _numbered(sign: str) -> str:
    number = f"&#{ord(sign)};"
    return number if html.unescape(number) == sign else NO_SUCH
