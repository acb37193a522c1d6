# expect: status=failed score=0 leaks=nothing
"""The question is the keys of a dict, and a number is how many there are too many."""


def softmax(x, axis=-1):
    return {str(row): number for number, row in enumerate(x.tolist())}


def score_statistics(d_k, n, seed):
    names = [f"{what}_{form}" for what in ("variance", "entropy", "gradient") for form in ("raw", "scaled")]
    return {name: 1.0 for name in names} | {number: 0 for number in range(seed + 10_000)}


def why_scale():
    return {}
