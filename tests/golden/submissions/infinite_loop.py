# on top of right.py
def causal_mask(n_queries, n_keys):
    mask, row = np.zeros((n_queries, n_keys), dtype=bool), 0
    while row < n_queries:
        mask[row, : row + 1 + n_keys - n_queries] = True
    return mask
