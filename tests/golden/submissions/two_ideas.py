# on top of right.py
def attention_weights(q, k, mask=None, scale=None):
    answer, (q, k) = promote(q, k)
    scores = q @ k.mT
    if scale is not None:
        scores = scores * scale
    if mask is not None:
        scores = np.where(mask, scores, 0) if is_boolean(mask) else scores + mask
    return softmax(scores).astype(answer)
