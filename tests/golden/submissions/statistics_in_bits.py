# on top of right.py
def score_statistics(d_k, n, seed):
    rng = np.random.default_rng(seed)
    q, k = rng.standard_normal((n, d_k)), rng.standard_normal((n, d_k))
    found = {}
    for name, scale in (("raw", 1), ("scaled", 1 / math.sqrt(d_k))):
        scores = q @ k.T * scale
        p = softmax(scores)
        found[f"variance_{name}"] = float(scores.var())
        found[f"entropy_{name}"] = float(-(p * np.log2(np.where(p > 0, p, 1))).sum() / n)
        found[f"gradient_{name}"] = float(np.mean([np.linalg.norm(np.diag(r) - np.outer(r, r)) for r in p]))
    return found
