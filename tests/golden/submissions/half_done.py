# on top of right.py
def causal_mask(n_queries, n_keys):
    raise NotImplementedError


def attention_weights(q, k, mask=None, scale=None):
    answer, (q, k) = promote(q, k)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    return softmax(q @ k.mT * scale).astype(answer)


def scaled_dot_product_attention(q, k, v, mask=None, *, causal=False, scale=None):
    # write your code here
    raise NotImplementedError


def why_scale():
    # write your code here
    raise NotImplementedError


def score_statistics(d_k, n, seed):
    # write your code here
    raise NotImplementedError


def attention_backward(q, k, v, d_out, mask=None, *, causal=False, scale=None):
    # write your code here
    raise NotImplementedError
