"""Text that nobody vouches for, made to be read and nothing else: no Markdown, no HTML, no link, no formula."""

from __future__ import annotations

_HARMLESS = frozenset(" ,.")


def inert(text: str) -> str:
    """The text on one line, for a place where Markdown or HTML is read: every sign but a few is written by its number."""
    return _coded(" ".join(text.split()))


def as_text(text: str) -> str:
    """The text as a block of its own, lines and blanks as they are.

    Markdown finds no sign of its own in it, HTML no tag, and MathJax leaves ``pre`` alone.
    """
    return f"<pre>{_coded(text)}</pre>"


def _coded(text: str) -> str:
    return "".join(sign if sign.isalnum() or sign in _HARMLESS else f"&#{ord(sign)};" for sign in text)
