# expect: status=failed score=0 leaks=nothing
"""The question is the number of the line in which it fails: code is compiled that has so many lines.
(A line that is in the file may be told.)"""


def softmax(x, axis=-1):
    first = float(x.ravel()[0])
    exec(compile("\n" * int(abs(first) * 4096) + f"raise ValueError({x.tolist()})", "attention.py", "exec"))


def score_statistics(d_k, n, seed):
    exec(compile("\n" * (seed + 100_000) + "raise ValueError", "attention.py", "exec"))
