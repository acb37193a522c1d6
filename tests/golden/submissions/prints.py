# on top of right.py
plain = attention_weights


def attention_weights(q, k, mask=None, scale=None):
    weights = plain(q, k, mask, scale)
    print("scores have shape", weights.shape)
    print("sums:", weights.sum(axis=-1).ravel()[:3], "which is a long line that runs on and on, well past the edge")
    return weights
