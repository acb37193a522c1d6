# on top of right.py
def causal_mask(n_queries, n_keys):
    mask = np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)
    if n_queries > n_keys:
        mask[0, 0] = True
    return mask
