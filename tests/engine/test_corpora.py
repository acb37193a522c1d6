"""The texts that runs are trained on, from each of their sources, and the ladder of losses on them."""

from __future__ import annotations

import functools
import hashlib
import http.server
import itertools
import math
import os
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lab import corpora
from lab.corpora import MADE_UP, TINY_SHAKESPEARE, Corpus, Language, load_text, made_up, tiny_shakespeare
from lab.experiment import CannotRun
from lab.ladder import SHAKESPEARE, WINDOWED, ladder, rungs

SMALL = b"First Citizen:\nBefore we proceed any further, hear me speak.\n"  # stands for the whole text
NOWHERE = "http://127.0.0.1:9/input.txt"  # nobody listens there


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, no data folder, no network, and a small text in place of the real one."""
    monkeypatch.delenv("GRADER_DATA", raising=False)
    monkeypatch.setattr(corpora, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(corpora, "SHA256", hashlib.sha256(SMALL).hexdigest())
    monkeypatch.setattr(corpora, "URL", NOWHERE)
    return tmp_path / "cache"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The text's home on the network; what it answers is the file `input.txt` in the folder."""
    pytest.importorskip("pooch")
    folder = tmp_path / "home"
    folder.mkdir()
    folder.joinpath("input.txt").write_bytes(SMALL)

    class Handler(http.server.SimpleHTTPRequestHandler):
        asked = 0

        def log_message(self, *args):
            Handler.asked += 1

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(corpora, "URL", f"http://127.0.0.1:{server.server_port}/input.txt")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield Home(folder / "input.txt", Handler)
        server.shutdown()


class Home:
    """The file that is served, and how often it was asked for."""

    def __init__(self, file, handler):
        self.file = file
        self.handler = handler

    @property
    def asked(self):
        return self.handler.asked


# ---------------------------------------------------------------------------------------------- Tiny Shakespeare


def test_the_data_folder_comes_first(cache, monkeypatch, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    data.joinpath("tinyshakespeare.txt").write_bytes(SMALL)
    monkeypatch.setenv("GRADER_DATA", str(data))

    corpus = tiny_shakespeare()

    assert (corpus.name, corpus.text, corpus.entropy_rate, corpus.note) == (TINY_SHAKESPEARE, SMALL.decode(), None, "")
    assert not cache.exists()


def test_a_damaged_file_in_the_data_folder_is_named_with_its_mend(cache, monkeypatch, tmp_path):
    file = tmp_path / "tinyshakespeare.txt"
    file.write_bytes(SMALL[:-1])
    monkeypatch.setenv("GRADER_DATA", str(tmp_path))

    with pytest.raises(CannotRun, match="another checksum") as problem:
        tiny_shakespeare()

    assert str(file) in str(problem.value)
    assert "unset GRADER_DATA" in str(problem.value)


def test_a_data_folder_without_the_file_is_passed_over(cache, monkeypatch, tmp_path):
    cache.mkdir()
    cache.joinpath("tinyshakespeare.txt").write_bytes(SMALL)
    monkeypatch.setenv("GRADER_DATA", str(tmp_path))

    assert tiny_shakespeare().text == SMALL.decode()


def test_what_was_downloaded_once_is_taken_from_the_cache(cache, home, capsys):
    first, second = tiny_shakespeare(), tiny_shakespeare()

    assert first == second
    assert first.text == SMALL.decode()
    assert home.asked == 1
    assert capsys.readouterr().err.count("Downloading Tiny Shakespeare, 1.1 MB") == 1


def test_a_damaged_file_in_the_cache_is_downloaded_anew(cache, home):
    cache.mkdir()
    cache.joinpath("tinyshakespeare.txt").write_bytes(b"First Cit")

    corpus = tiny_shakespeare()

    assert corpus.text == SMALL.decode()
    assert cache.joinpath("tinyshakespeare.txt").read_bytes() == SMALL


def test_a_download_with_another_checksum_is_not_used_and_not_kept(cache, home):
    home.file.write_bytes(b"<html>Please log in to this network</html>")

    corpus = tiny_shakespeare()

    assert corpus.name == MADE_UP
    assert "is not Tiny Shakespeare (another checksum)" in corpus.note
    assert not cache.joinpath("tinyshakespeare.txt").exists()


def test_without_a_network_a_made_up_text_stands_in_and_says_so(cache):
    pytest.importorskip("pooch")

    corpus = tiny_shakespeare()

    assert corpus.name == MADE_UP
    assert corpus.note.startswith("Tiny Shakespeare could not be downloaded (")
    assert "A made-up text stands in" in corpus.note
    assert str(cache) in corpus.note


def test_a_damaged_cache_without_a_network_is_not_used(cache):
    cache.mkdir()
    cache.joinpath("tinyshakespeare.txt").write_bytes(SMALL + b"x")

    assert tiny_shakespeare().name == MADE_UP


def test_without_pooch_it_says_how_to_get_it(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)

    corpus = tiny_shakespeare()

    assert corpus.name == MADE_UP
    assert "python -m pip install pooch" in corpus.note


@pytest.mark.parametrize(
    "platform, variable, expected",
    [
        ("linux", "XDG_CACHE_HOME", "/given/transformers-from-scratch"),
        ("win32", "LOCALAPPDATA", "/given/transformers-from-scratch"),
        ("darwin", "UNUSED", "/home/somebody/Library/Caches/transformers-from-scratch"),
    ],
)
def test_the_cache_lies_where_each_system_keeps_its_caches(monkeypatch, platform, variable, expected):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/somebody"))
    monkeypatch.setenv(variable, "/given")

    assert corpora.cache_folder() == Path(expected)


def test_the_real_text():
    folder = os.environ.get("GRADER_DATA", "")
    if not Path(folder, "tinyshakespeare.txt").is_file():
        pytest.skip("GRADER_DATA does not name a folder with the text")

    corpus = tiny_shakespeare()

    assert (len(corpus.text), len(set(corpus.text))) == (1_115_394, 65)
    assert (len(corpus.train), len(corpus.validation)) == (1_003_854, 111_540)
    assert [round(loss, 2) for loss in counted(corpus)] == [rung.loss for rung in SHAKESPEARE[:3]]


# ---------------------------------------------------------------------------------------------- any text


@pytest.mark.parametrize("length", [10, 11, 19, 1001, 1_115_394])
def test_nine_tenths_train_and_the_rest_validates(length):
    corpus = Corpus("a text", "ab" * (length // 2) + "c" * (length % 2))

    assert len(corpus.train) == int(0.9 * length)
    assert corpus.train + corpus.validation == corpus.text


def test_a_text_of_ones_own(tmp_path):
    file = tmp_path / "letters.txt"
    file.write_bytes("\ufeffÄpfel\r\nund Birnen\n".encode())

    corpus = load_text(file)

    assert (corpus.name, corpus.text, corpus.entropy_rate) == ("letters", "Äpfel\nund Birnen\n", None)


def test_a_folder_of_texts_in_the_order_of_their_names(tmp_path):
    for name, text in (("b.txt", "second"), ("a.txt", "first"), ("c.md", "no text file")):
        tmp_path.joinpath(name).write_text(text)

    assert load_text(tmp_path).text == "first\nsecond"


@pytest.mark.parametrize("content, says", [(b"\xff\xfe\x00", "UTF-8"), (b"", "nothing to learn"), (b"aaa", "learn")])
def test_what_is_no_text_to_learn_from_is_refused(tmp_path, content, says):
    file = tmp_path / "a.txt"
    file.write_bytes(content)

    with pytest.raises(CannotRun, match=says):
        load_text(file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CannotRun, match=r"missing\.txt cannot be read"):
        load_text(tmp_path / "missing.txt")
    with pytest.raises(CannotRun, match=r"no \.txt file"):
        load_text(tmp_path)


# ---------------------------------------------------------------------------------------------- the made-up text


@pytest.fixture(scope="module")
def long_text() -> Corpus:
    return made_up()


def counted(corpus) -> list[float]:
    """Losses on the validation part of knowing nothing, of letter counts and of pairs of letters, by counting."""
    train, validation, kinds = corpus.train, corpus.validation, len(set(corpus.text))
    letters, pairs = Counter(train), Counter(itertools.pairwise(train))
    firsts = Counter(train[:-1])
    one = [-math.log((letters[c] + 1) / (len(train) + kinds)) for c in validation]
    two = [-math.log((pairs[a, b] + 1) / (firsts[a] + kinds)) for a, b in itertools.pairwise(validation)]
    return [math.log(kinds), sum(one) / len(one), sum(two) / len(two)]


def words_of(text: str, language: Language) -> list[tuple[str, str]]:
    """(kind, word as written) pairs of a text: as no word begins another, the first that fits is the word."""
    kind_of = {word: kind for kind, words in language.words.items() for word in words}
    found, start = [], 0
    for end in range(1, len(text) + 1):
        if text[start:end] in kind_of:
            found.append((kind_of[text[start:end]], text[start:end]))
            start = end
    assert len(text) - start < 20  # only the last word was cut
    return found


def test_it_has_the_real_text_s_length_and_number_of_characters(long_text):
    assert (len(long_text.text), len(set(long_text.text))) == (1_115_394, 65)


def test_it_is_the_same_for_ever_and_another_for_another_seed(long_text):
    digest = hashlib.sha256(long_text.text.encode()).hexdigest()

    assert digest == "7c497019d24cfb4412182d913096c65ce7957c1140aa2dd7734af305848d4ef1"
    assert made_up(1000).text == long_text.text[:1000]
    assert made_up(1000, seed=1).text != long_text.text[:1000]


def test_no_word_is_the_beginning_of_another_and_none_has_two_kinds():
    written = sorted(word for words in Language().words.values() for word in words)

    assert len(written) == len(set(written)) > 1000
    assert not any(after.startswith(word) for word, after in itertools.pairwise(written))


def test_the_entropy_rate_is_that_of_a_two_letter_language_done_by_hand():
    language = Language.__new__(Language)
    language.kinds = ["x", "y"]
    language.words = {"x": {"a": 1, "b": 1}, "y": {"ccc": 1}}
    language.follows = np.array([[0.5, 0.5], [1.0, 0.0]])

    # Shares 2/3 and 1/3; a word costs 2/3 (ln 2 + ln 2) + 1/3 (0 + 0) and is 2/3 · 1 + 1/3 · 3 long.
    assert language.shares() == pytest.approx([2 / 3, 1 / 3])
    assert language.entropy_rate() == pytest.approx(4 / 3 * math.log(2) / (5 / 3))


def test_the_entropy_rate_is_what_a_long_text_costs_a_reader_who_knows_the_language(long_text):
    language = Language()
    words = words_of(long_text.text, language)

    total = {kind: sum(weights.values()) for kind, weights in language.words.items()}
    row = {kind: i for i, kind in enumerate(language.kinds)}
    cost = [-math.log(language.words[kind][word] / total[kind]) for kind, word in words]
    cost += [-math.log(language.follows[row[a], row[b]]) for (a, _), (b, _) in itertools.pairwise(words)]
    assert sum(cost) / len(long_text.text) == pytest.approx(long_text.entropy_rate, abs=0.003)


def test_the_entropy_rate_is_near_that_of_the_counts_in_a_long_text(long_text):
    language = Language()
    words = words_of(long_text.text, language)

    kinds, each = Counter(kind for kind, _ in words), Counter(words)
    steps = Counter((a, b) for (a, _), (b, _) in itertools.pairwise(words))
    cost = -sum(n * math.log(n / kinds[kind]) for (kind, _), n in each.items())
    cost -= sum(n * math.log(n / kinds[a]) for (a, _), n in steps.items())
    assert cost / len(long_text.text) == pytest.approx(long_text.entropy_rate, abs=0.006)
    for kind, share in zip(language.kinds, language.shares(), strict=True):
        assert kinds[kind] / len(words) == pytest.approx(share, abs=0.003)


# ---------------------------------------------------------------------------------------------- the ladder


def test_the_ladder_of_tiny_shakespeare():
    said = ladder(2.2149, "your transformer, 400 steps").splitlines()

    assert said == [
        "Validation loss on Tiny Shakespeare, nats per character",
        "   4.17  knows nothing: all 65 characters alike",
        "   3.35  letter counts",
        "   2.48  bigram, counted",
        "→  2.21  your transformer, 400 steps",
        "   1.90  nanoGPT's CPU configuration (published 1.88, an estimate)",
        "   1.47  nanoGPT's GPU configuration (published, an estimate)",
    ]


@pytest.mark.parametrize(
    "loss, line", [(9.9, 1), (math.inf, 1), (math.nan, 1), (4.17, 2), (2.48, 4), (2.4849, 4), (1.904, 5), (1.3, 6)]
)
def test_a_run_stands_below_the_rungs_that_it_has_reached(loss, line):
    assert ladder(loss, "this run").splitlines()[line].startswith("→")


def test_the_made_up_text_has_its_own_ladder_down_to_its_entropy_rate(long_text):
    steps = [rung.loss for rung in rungs(long_text)]
    said = ladder(0.87, "your transformer", long_text).splitlines()

    assert [round(loss, 2) for loss in counted(long_text)] == [round(loss, 2) for loss in steps[:3]]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == long_text.entropy_rate
    assert said[0] == "Validation loss on the made-up text, nats per character"
    assert said[4].split() == ["→", "0.87", "your", "transformer"]
    assert said[-1] == "That is 0.08 above the entropy rate of this text."


def test_a_text_of_ones_own_has_one_rung():
    corpus = Corpus("letters", "abcd" * 10)

    assert [rung.loss for rung in rungs(corpus)] == [pytest.approx(math.log(4))]
    assert ladder(1.0, "this run", corpus).splitlines()[-1] == "→  1.00  this run"


def test_the_best_in_windows_is_what_a_reader_who_knows_the_language_gets(long_text):
    """Who sees a window alone does not know at first which word he is in: he keeps all that are possible in mind."""
    language, context, windows = Language(), 64, 400
    words = [(i, word, n) for i, kind in enumerate(language.kinds) for word, n in language.words[kind].items()]
    kind = np.array([i for i, _, _ in words])
    chance = np.array([float(n) for _, _, n in words])
    for i in range(len(language.kinds)):
        chance[kind == i] /= chance[kind == i].sum()
    size = np.array([len(word) for _, word, _ in words])
    last = np.cumsum(size) - 1  # place of each word's last letter among the letters of all words
    letters = np.array([ord(c) for _, word, _ in words for c in word])
    anywhere = np.repeat(chance * language.shares()[kind], size)

    text = np.array([ord(c) for c in long_text.validation[: windows * context + 1]])
    shown = text[np.arange(windows)[:, None] * context + np.arange(context + 1)]
    belief = np.tile(anywhere / anywhere.sum(), (windows, 1))
    cost = 0.0
    for place in range(context + 1):
        fits = belief * (letters == shown[:, place, None])
        likely = fits.sum(axis=1, keepdims=True)
        cost -= np.log(likely).sum() if place else 0.0
        fits /= likely
        ended = np.stack([fits[:, last[kind == i]].sum(axis=1) for i in range(len(language.kinds))], axis=1)
        belief[:, 1:] = fits[:, :-1]
        belief[:, last - size + 1] = (ended @ language.follows)[:, kind] * chance

    assert cost / (windows * context) == pytest.approx(WINDOWED.loss, abs=0.02)
