"""How often each token was seen, for the engine's own tests: one function, and one class with methods and an attribute.

Source: https://numpy.org/doc/stable/reference/generated/numpy.bincount.html
"""

from __future__ import annotations

import numpy as np


def shares(counts: np.ndarray) -> np.ndarray:
    """Counts, an array (n_tokens,), as shares of one in float64; zeros where nothing was counted.

    Source: numpy.bincount.
    """
    total = counts.sum()
    return counts / max(total, 1)


class Counter:
    """How often each of `n_tokens` tokens was seen; `counts` is an int64 array (n_tokens,), all zero at first."""

    def __init__(self, n_tokens: int) -> None:
        self.counts = np.zeros(n_tokens, dtype=np.int64)

    def add(self, tokens: np.ndarray) -> None:
        """Count `tokens`, an integer array of any shape, on top of what was counted before.

        Source: numpy.bincount.
        """
        found = np.bincount(tokens.ravel(), minlength=len(self.counts))
        self.counts = self.counts + found

    def most_common(self) -> int:
        """The token seen most often; the smallest token wins a tie.

        Source: numpy.argmax.
        """
        return int(np.argmax(self.counts))

    def merged(self, other: Counter) -> Counter:
        """A new counter with the counts of both; neither of the two is changed.

        Source: numpy.bincount.
        """
        both = Counter(len(self.counts))
        both.counts = self.counts + other.counts
        return both


def main() -> None:
    """The worked example of the task."""
    tokens = np.array([2, 0, 2])
    print("tokens", tokens)
    try:
        counter = Counter(3)
        counter.add(tokens)
        print("counts", counter.counts)
        print("shares", shares(counter.counts))
    except NotImplementedError:
        print("next: write the first function, then run this file again")


if __name__ == "__main__":
    main()
