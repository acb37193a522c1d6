# on top of right.py
del causal_mask
