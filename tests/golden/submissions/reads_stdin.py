# on top of right.py
def causal_mask(n_queries, n_keys):
    offset = int(input())
    return np.tri(n_queries, n_keys, offset, dtype=bool)
