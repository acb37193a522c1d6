# on top of right.py
def scaled_dot_product_attention(q, k, v, mask=None, *, causal=False, scale=None):
    answer, (q, k, v) = promote(q, k, v)
    if causal:
        mask = combine_masks(mask, causal_mask(q.shape[-2], k.shape[-2]))
    weights = attention_weights(q, k, mask, scale)
    return (weights[..., None] * v[..., None, :, :]).astype(answer)
