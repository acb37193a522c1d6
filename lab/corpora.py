"""Texts to train on: Tiny Shakespeare, any text of your own, and a made-up text whose entropy rate is known exactly.

Where Tiny Shakespeare comes from, in this order: the folder that `GRADER_DATA` names, this user's cache, its home on
the network (kept in the cache from then on). Without a network the made-up text stands in, and says so.

Sources:
    Karpathy's Tiny Shakespeare: https://github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare
    Shannon 1948, A Mathematical Theory of Communication, section 7, the entropy of a Markov source:
        https://people.math.harvard.edu/~ctm/home/text/others/shannon/entropy/entropy.pdf
    SplitMix64: Steele, Lea, Flood 2014, Fast Splittable Pseudorandom Number Generators
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import sys
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lab.experiment import CannotRun

TINY_SHAKESPEARE = "Tiny Shakespeare"
FILE = "tinyshakespeare.txt"
URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
LENGTH = 1_115_394  # characters
MEGABYTES = 1.1

MADE_UP = "the made-up text"


@dataclass(frozen=True)
class Corpus:
    """A text, cut by characters: the first nine tenths to train on, the rest to validate."""

    name: str
    text: str = field(repr=False)
    entropy_rate: float | None = None  # nats per character; None where nobody knows it
    note: str = ""  # what a user should be told about where it comes from

    @property
    def train(self) -> str:
        """The first 90 %, rounded down."""
        return self.text[: self._cut]

    @property
    def validation(self) -> str:
        """The last 10 %."""
        return self.text[self._cut :]

    @property
    def fingerprint(self) -> str:
        """Short: numbers measured on another text are not this text's numbers."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @property
    def _cut(self) -> int:
        return 9 * len(self.text) // 10  # int(0.9 * n), without its rounding


# ---------------------------------------------------------------------------------------------- Tiny Shakespeare


def tiny_shakespeare() -> Corpus:
    """Tiny Shakespeare, checked against its checksum; where it cannot be had, the made-up text with a note."""
    given = os.environ.get("GRADER_DATA")
    if given and (Path(given) / FILE).is_file():
        return _shakespeare(_from_data_folder(Path(given) / FILE))
    cached = cache_folder() / FILE
    if cached.is_file() and _is_right(data := cached.read_bytes()):
        return _shakespeare(data)
    try:
        return _shakespeare(_download(cached))
    except _NotToBeHad as problem:
        return made_up(
            note=f"{problem} A made-up text stands in for it, with a ladder of losses of its own.\n"
            f"For the real one, put {URL}\ninto {cached.parent} as {FILE}."
        )


def cache_folder() -> Path:
    """Where this user's programs keep what they can fetch again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "transformers-from-scratch"


class _NotToBeHad(Exception):
    """Why the text could not be downloaded, in a sentence."""


def _shakespeare(data: bytes) -> Corpus:
    return Corpus(TINY_SHAKESPEARE, data.decode("ascii"))


def _is_right(data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == SHA256


def _from_data_folder(path: Path) -> bytes:
    """A damaged file in the folder that somebody named is theirs to mend, not to be passed over."""
    data = path.read_bytes()
    if not _is_right(data):
        raise CannotRun(
            f"{path} is not Tiny Shakespeare as published: {len(data):,} bytes, another checksum.\n"
            f"Put the file from {URL} in its place, or unset GRADER_DATA to have it downloaded."
        )
    return data


def _download(path: Path) -> bytes:
    """The text from its home, whole and right, now at `path`."""
    try:
        import pooch
    except ImportError:
        raise _NotToBeHad(
            "Tiny Shakespeare is not here, and downloading it needs pooch (python -m pip install pooch)."
        ) from None
    print(f"Downloading Tiny Shakespeare, {MEGABYTES} MB, to {path}", file=sys.stderr)
    pooch.get_logger().setLevel("ERROR")
    try:
        pooch.retrieve(
            URL,
            known_hash=f"sha256:{SHA256}",
            fname=path.name,
            path=path.parent,
            downloader=pooch.HTTPDownloader(timeout=10),
        )
        return path.read_bytes()
    except ValueError:  # pooch's word for another checksum; it has thrown the file away
        raise _NotToBeHad(f"What {URL} answers is not Tiny Shakespeare (another checksum).") from None
    except OSError as error:  # requests' errors are OSErrors too
        raise _NotToBeHad(f"Tiny Shakespeare could not be downloaded ({type(error).__name__}).") from None


# ---------------------------------------------------------------------------------------------- any text


def load_text(path: str | Path) -> Corpus:
    """A text file of your own, or a folder's `*.txt` files one after another by name; UTF-8."""
    path = Path(path)
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise CannotRun(f"There is no .txt file in {path}.")
    try:
        text = "\n".join(file.read_text(encoding="utf-8-sig") for file in files)
    except OSError as error:
        raise CannotRun(f"{error.filename} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CannotRun(f"{path} is not text in UTF-8. Save it as UTF-8 and try again.") from None
    if len(set(text)) < 2:
        raise CannotRun(f"{path} has no two different characters: there is nothing to learn.")
    return Corpus(path.stem, text)


# ---------------------------------------------------------------------------------------------- the made-up text


def made_up(length: int = LENGTH, seed: int = 0, note: str = "") -> Corpus:
    """`length` characters of the made-up language: the same on every machine, for the same seed."""
    language = Language()
    return Corpus(MADE_UP, language.write(length, seed), language.entropy_rate(), note)


# From each kind to the kinds that may follow, with weights.
FOLLOWS = {
    "speaker": {"opening": 1},
    "opening": {"the_o": 5, "the_a": 5, "verb": 4, "adverb": 2},
    "the_o": {"which_o": 4, "what_o": 6, "pause_o": 2, "end_o": 3},
    "the_a": {"which_a": 4, "what_a": 6, "pause_a": 2, "end_a": 3},
    "which_o": {"which_o": 1, "what_o": 6, "pause_o": 2, "end_o": 3},
    "which_a": {"which_a": 1, "what_a": 6, "pause_a": 2, "end_a": 3},
    "what_o": {"verb": 8, "link": 2, "adverb": 2},
    "what_a": {"verb": 8, "link": 2, "adverb": 2},
    "verb": {"the_o": 6, "the_a": 6, "adverb": 3, "price": 1},
    "adverb": {"the_o": 4, "the_a": 4, "verb": 3},
    "link": {"the_o": 4, "the_a": 4, "which_o": 1, "which_a": 1},
    "price": {"link": 3, "verb": 1},
    "pause_o": {"link": 2, "verb": 3, "the_a": 2},
    "pause_a": {"link": 2, "verb": 3, "the_o": 2},
    "end_o": {"opening": 5, "speaker": 2},
    "end_a": {"opening": 5, "speaker": 2},
}


class Language:
    """A Markov source of words. A word's kind alone decides which kinds may follow, and how often.

    A word is written with what comes after it, so that no word is the beginning of another. Characters and words
    then tell the same story, and the entropy of a word given the last one, over its mean length, is exactly the
    entropy rate per character. Two genders have to agree, so that predicting the end of a word takes its beginning,
    and predicting its beginning takes the words before.
    """

    def __init__(self) -> None:
        self.words = _lexicon()  # {kind: {what is written: weight}}
        self.kinds = list(FOLLOWS)
        self.follows = np.array([[FOLLOWS[a].get(b, 0) for b in self.kinds] for a in self.kinds], float)
        self.follows /= self.follows.sum(axis=1, keepdims=True)

    def write(self, length: int, seed: int) -> str:
        """So many characters, from the start of a speech on. Integers alone decide, so every machine agrees."""
        draws = split_mix(seed)
        next_kind = {kind: _Urn(after) for kind, after in FOLLOWS.items()}
        next_word = {kind: _Urn(words) for kind, words in self.words.items()}
        kind, written, size = "speaker", [], 0
        while size < length:
            word = next_word[kind].draw(next(draws))
            written.append(word)
            size += len(word)
            kind = next_kind[kind].draw(next(draws))
        return "".join(written)[:length]

    def entropy_rate(self) -> float:
        """Nats per character: what a reader who knows the language still cannot foresee."""
        share = self.shares()
        of_next_kind = -np.sum(share[:, None] * self.follows * np.log(np.where(self.follows > 0, self.follows, 1)))
        of_word = sum(part * _entropy(self.words[kind]) for part, kind in zip(share, self.kinds, strict=True))
        mean_length = sum(part * _mean_length(self.words[kind]) for part, kind in zip(share, self.kinds, strict=True))
        return float((of_next_kind + of_word) / mean_length)

    def shares(self) -> np.ndarray:
        """How often each kind occurs in the long run: the shares that one more word leaves as they are."""
        n = len(self.kinds)
        unchanged = np.vstack([self.follows.T - np.eye(n), np.ones(n)])
        return np.linalg.lstsq(unchanged, np.append(np.zeros(n), 1.0), rcond=None)[0]


class _Urn:
    """Draws keys in proportion to their weights."""

    def __init__(self, weights: dict[str, int]) -> None:
        self.keys = list(weights)
        self.upto = list(itertools.accumulate(weights.values()))

    def draw(self, bits: int) -> str:
        """The key that 64 random bits fall on; uneven by less than one in a billion."""
        return self.keys[bisect_right(self.upto, bits % self.upto[-1])]


def split_mix(seed: int) -> Iterator[int]:
    """SplitMix64: random integers of 64 bits, the same for ever."""
    mask = 2**64 - 1
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        bits = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & mask
        yield bits ^ (bits >> 31)


def _entropy(weights: dict[str, int]) -> float:
    total = sum(weights.values())
    return -math.fsum(weight / total * math.log(weight / total) for weight in weights.values())


def _mean_length(weights: dict[str, int]) -> float:
    return sum(weight * len(word) for word, weight in weights.items()) / sum(weights.values())


LETTERS = "abcdefghijklmnopqrstuvwxyz"
BEGINNINGS = [*"bcdfghjklmnpqrstvwxyz", "br", "ch", "dr", "fl", "gr", "kl", "pr", "sh", "st", "th", "tr"]
MIDDLES = [*"aeiou", "ai", "ea", "ou"]
ENDINGS = ["", "", "", "l", "m", "n", "r", "s", "th", "nd"]


def _lexicon() -> dict[str, dict[str, int]]:
    """Every kind's words as they are written, with weights; no stem occurs in two kinds, genders apart."""
    stems = _stems()

    def take(count: int) -> list[str]:
        return list(itertools.islice(stems, count))

    # Names and openings begin with each letter in turn, so that every capital is in the text.
    names = [f"{letter}a{stem}".upper() for letter, stem in zip(LETTERS, take(26), strict=True)]
    openings = [f"{letter}e{stem}".capitalize() for letter, stem in zip(LETTERS, take(26), strict=True)]
    which, of_o, of_a = take(60), take(90), take(90)
    ends = {".\n": 8, "!\n": 2, "?\n": 2, ";\n": 1}
    return {
        "speaker": _often([f"\n{name}" for name in names], after=":\n"),
        "opening": _often(openings),
        "the_o": {"lo ": 6, "uno ": 2, "mio ": 2, "suo ": 1},
        "the_a": {"la ": 6, "una ": 2, "mia ": 2, "sua ": 1},
        "which_o": _often([stem + "-o" for stem in which]),
        "which_a": _often([stem + "-a" for stem in which]),
        "what_o": _often(of_o),
        "what_a": _often(of_a),
        "verb": _often([stem + "et" for stem in take(120)]),
        "adverb": _often([stem + "'ly" for stem in take(30)]),
        "link": {"e ": 5, "ma ": 3, "che ": 3, "& ": 1},
        "price": {"$3 ": 3, "$33 ": 1},
        "pause_o": _often(of_o, after=", "),
        "pause_a": _often(of_a, after=", "),
        "end_o": {word + end: weight * often for end, often in ends.items() for word, weight in _zipf(of_o)},
        "end_a": {word + end: weight * often for end, often in ends.items() for word, weight in _zipf(of_a)},
    }


def _often(stems: list[str], after: str = " ") -> dict[str, int]:
    return {stem + after: weight for stem, weight in _zipf(stems)}


def _zipf(stems: list[str]) -> list[tuple[str, int]]:
    """Each with its weight: the first are the most frequent, the last still occur."""
    return [(stem, 60_000 // (k + 20)) for k, stem in enumerate(stems)]


def _stems() -> Iterator[str]:
    """Words that can be pronounced, each once; never one of the little words."""
    draws = split_mix(1)
    seen = {"lo", "la", "uno", "una", "mio", "mia", "suo", "sua", "e", "ma", "che"}
    while True:
        syllables = 2 if next(draws) % 8 == 0 else 1
        parts = (one for _ in range(syllables) for one in (BEGINNINGS, MIDDLES, ENDINGS))
        stem = "".join(part[next(draws) % len(part)] for part in parts)
        if stem not in seen:
            seen.add(stem)
            yield stem
