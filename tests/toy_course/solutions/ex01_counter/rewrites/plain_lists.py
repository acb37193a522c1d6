"""A counter that thinks in lists."""

import numpy as np


def shares(counts):
    numbers = counts.tolist()
    total = 0
    for number in numbers:
        total += number
    return np.array([number / total if total else 0.0 for number in numbers])


class Counter:
    def __init__(self, n_tokens):
        self.counts = np.zeros(n_tokens, dtype=np.int64)

    def add(self, tokens):
        numbers = self.counts.tolist()
        for token in tokens.flat:
            numbers[token] += 1
        self.counts = np.array(numbers)

    def most_common(self):
        numbers = self.counts.tolist()
        return numbers.index(max(numbers))

    def merged(self, other):
        both = Counter(len(self.counts))
        both.counts = np.array([sum(pair) for pair in zip(self.counts.tolist(), other.counts.tolist(), strict=True)])
        return both
