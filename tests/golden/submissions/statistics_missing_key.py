# on top of right.py
def score_statistics(d_k, n, seed):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((n, d_k)) @ rng.standard_normal((n, d_k)).T
    return {"variance": scores.var(), "variance_scaled": (scores / math.sqrt(d_k)).var()}
