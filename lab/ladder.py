"""One ladder of validation losses for the whole path, so that every run knows its place.

All are cross-entropies in nats per character over the last tenth of a text. Those on Tiny Shakespeare:

    knows nothing, letter counts, bigram   computed; the counts are those of the training part, with 1 added to each
    nanoGPT's CPU configuration            its own code, measured over the whole last tenth: 1.898. Its README says
                                           1.88, an estimate on 20 random batches
    nanoGPT's GPU configuration            its README's figure, 1.4697, an estimate too

Source: https://github.com/karpathy/nanoGPT#quick-start
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lab.corpora import TINY_SHAKESPEARE, Corpus


@dataclass(frozen=True)
class Rung:
    """A loss that somebody or something reaches; `short` is what fits beside a line of a plot."""

    loss: float
    name: str
    short: str


SHAKESPEARE = (
    Rung(4.17, "knows nothing: all 65 characters alike", "knows nothing"),
    Rung(3.35, "letter counts", "letter counts"),
    Rung(2.48, "bigram, counted", "bigram, counted"),
    Rung(1.90, "nanoGPT's CPU configuration (published 1.88, an estimate)", "nanoGPT, CPU"),
    Rung(1.47, "nanoGPT's GPU configuration (published, an estimate)", "nanoGPT, GPU"),
)

WINDOWED = Rung(0.82, "the best that anybody can do in windows of 64 characters", "best in windows")


def rungs(corpus: Corpus | None = None) -> tuple[Rung, ...]:
    """The ladder of a corpus, from the top; without one, Tiny Shakespeare's."""
    if corpus is None or corpus.name == TINY_SHAKESPEARE:
        return SHAKESPEARE
    characters = len(set(corpus.text))
    nothing = Rung(math.log(characters), f"knows nothing: all {characters} characters alike", "knows nothing")
    if corpus.entropy_rate is None:
        return (nothing,)
    return (
        nothing,
        Rung(3.21, "letter counts", "letter counts"),
        Rung(2.00, "bigram, counted", "bigram, counted"),
        WINDOWED,
        Rung(corpus.entropy_rate, "the entropy rate: below it is chance or a mistake", "entropy rate"),
    )


def ladder(loss: float, name: str, corpus: Corpus | None = None) -> str:
    """The rungs, a line each, with this run's line in its place: above all rungs that it has not reached."""
    steps = rungs(corpus)
    reached = [rung for rung in steps if round(loss, 2) <= round(rung.loss, 2)]
    left = [rung for rung in steps if rung not in reached]
    lines = [f"Validation loss on {TINY_SHAKESPEARE if corpus is None else corpus.name}, nats per character"]
    lines += [f"  {rung.loss:5.2f}  {rung.name}" for rung in reached]
    lines += [f"→ {loss:5.2f}  {name}"]
    lines += [f"  {rung.loss:5.2f}  {rung.name}" for rung in left]
    if corpus is not None and corpus.entropy_rate is not None:
        above = loss - corpus.entropy_rate
        lines += [f"That is {abs(above):.2f} {'above' if above >= 0 else 'below'} the entropy rate of this text."]
    return "\n".join(lines)
