# on top of right.py
casual_mask = causal_mask
del causal_mask
