# on top of right.py
forward = attention_backward


def attention_backward(q, k, v, d_out, mask=None, *, causal=False, scale=None):
    dq, dk, dv = forward(q, k, v, d_out, mask, causal=causal, scale=scale)
    return dq, -dk, dv
