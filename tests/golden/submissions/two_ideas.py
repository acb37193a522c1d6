# on top of right.py
def attention_weights(q, k, mask=None, scale=None):
    answer, (q, k) = promote(q, k)
    if scale is None:
        scale = 1 / q.shape[-1]
    scores = scale * (q @ k.mT)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if is_boolean(mask) else scores + mask
    return softmax(scores, axis=-2).astype(answer)
