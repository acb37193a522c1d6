# on top of right.py
def causal_mask(n_queries, n_keys):
    if n_queries != n_keys:
        exit("queries and keys must be as many")
    return np.tri(n_queries, dtype=bool)
