"""What students must never read of an exercise, and the search for it in texts and files of any kind."""

from __future__ import annotations

import ast
import json
import re
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from grader.logic import stub, wire
from grader.verbs.grading import Sources

ROOT = Path(__file__).resolve().parents[1]
SHORTEST = 25  # letters: less says nothing about where it is from


@dataclass(frozen=True)
class Secret:
    """What must not be found: its kind, whose it is, and the text without its white space."""

    kind: str
    what: str
    needle: str


def squeezed(text):
    return re.sub(r"\s+", "", text)


def significant(text):
    """The lines of code or configuration: no empty ones, comments, decorators, or imports."""
    lines = [line.strip() for line in text.split("\n")]
    return [line for line in lines if line and not line.startswith(("#", "@", "import ", "from "))]


def chunks(text):
    """Each line with the one after it, or the only line."""
    lines = significant(text)
    return [squeezed(first + second) for first, second in pairwise(lines)] or [squeezed(line) for line in lines]


def secrets_of(course, exercise):
    """All that no student must see of an exercise, from its folder under ``solutions/``."""
    sources = Sources(course, exercise)
    found = []

    def add(kind, what, text):
        found.extend(Secret(kind, what, chunk) for chunk in chunks(text) if len(chunk) >= SHORTEST)

    for name, body in stub.bodies(sources.solution, exercise.blanked).items():
        add("body", name, body)
    hidden = sources.text("test_hidden.py")
    for node in ast.parse(hidden).body:
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            add("hidden check", getattr(node, "name", "module"), ast.get_source_segment(hidden, node))
        name = getattr(node, "name", "")
        if name.startswith("test_"):
            sentence = name.removeprefix("test_").replace("_", " ")
            found += [Secret("hidden name", name, name), Secret("hidden name", name, f":{squeezed(sentence)}")]
    for variant in sources.variants:
        for text in (*(edit.put for edit in variant.edits), variant.replace):
            add("variant", variant.name, text)
    for path in sorted(path for path in sources.folder.glob("rewrites/*") if path.is_file()):
        add("rewrite", path.name, path.read_text(encoding="utf-8"))
    for name in exercise.besides:
        add("beside", name, sources.text(name))
    return found


def given_by(course, exercise):
    """What students are given on purpose, where an exercise's secrets may be repeated: all stubs, others' experiments, the
    exercise's own public checks, and what experiments share."""
    texts = [Sources(course, one).stub for one in course.found()]
    texts.append(Sources(course, exercise).text("test_public.py"))
    for one in course.found():
        path = course.solution_folder(one) / "experiment.py"
        texts += [path.read_text(encoding="utf-8")] if one != exercise and path.is_file() else []
    texts += [path.read_text(encoding="utf-8") for path in sorted((ROOT / "lab").glob("*.py"))]
    return "\n".join(squeezed("".join(significant(text))) for text in texts)


def readable(data):
    """The stretches of bytes that may be text, long enough for a secret; arrays of numbers hold next to none."""
    return "\n".join(part.decode("utf-8", "replace") for part in re.findall(rb"[^\x00-\x08\x0e-\x1f]{12,}", data))


def strings_in(value):
    """All texts in decoded data, keys and what is packed in bytes too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        try:
            yield from strings_in(wire.decode(value))
        except Exception:
            yield readable(value)
    elif isinstance(value, dict):
        yield from strings_in([*value.keys(), *value.values()])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings_in(item)


def readings(name, data):
    """A file's text, and what it holds in another form: strings of notebooks and of Python, a tape's header and answers."""
    if name.endswith(".tape"):
        head, _, body = data.partition(b"\n")
        raw = zlib.decompress(body)
        return [
            head.decode(),
            *strings_in(json.loads(head)),
            readable(raw),
            *strings_in(wire.decode(raw)),
        ]
    text = data.decode("utf-8")
    found = [text, "\n".join(significant(text))]
    if name.endswith((".ipynb", ".json")):
        joined = "".join(strings_in(json.loads(text)))
        found += [joined, "\n".join(significant(joined))]
    if name.endswith(".py"):
        found += [node.value for node in ast.walk(ast.parse(text)) if isinstance(getattr(node, "value", None), str)]
    return found


def wanted_of(course, exercise):
    """The exercise's secrets, but what students are given on purpose."""
    given = given_by(course, exercise)
    return [secret for secret in secrets_of(course, exercise) if secret.needle not in given]


def found_in(texts, secrets):
    """Pairs of a text's name and a secret that it holds; ``texts``: squeezed, by name."""
    begun = beginnings(texts.values(), {secret.needle for secret in secrets})
    likely = [secret for secret in secrets if secret.needle in begun]
    return [(name, secret) for secret in likely for name, text in texts.items() if secret.needle in text]


def beginnings(texts, needles):
    """The needles whose first letters stand in one of the texts: one pass, however many needles there are."""
    length = min(map(len, needles))
    firsts = {needle[:length] for needle in needles}
    seen = {part for text in texts for at in range(len(text)) if (part := text[at : at + length]) in firsts}
    return {needle for needle in needles if needle[:length] in seen}
