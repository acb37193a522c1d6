# on top of right.py
def causal_mask(n_queries, n_keys):
    offset = int(input("offset? "))
    return np.tri(n_queries, n_keys, offset, dtype=bool)
