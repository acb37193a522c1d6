# on top of right.py
plain = attention_weights


def attention_weights(q, k, mask=None, scale=None):
    weights = plain(q, k, mask, scale)
    print("weights", weights.shape, weights.sum(axis=-1).ravel()[:3], "a long line that runs on well past the edge")
    return weights
