# on top of right.py
def causal_mask(n_queries, n_keys):
    if n_queries > n_keys:
        raise ValueError(f"cannot align {n_queries} queries with {n_keys} keys")
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)
