"""A short block."""

import math

import torch
from torch import nn
from torch.nn import functional as F


def layer_norm(x, weight, bias, eps=1e-5):
    h = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    d = h.shape[-1]
    h = h - h.sum(-1, keepdim=True) / d
    h = h / torch.sqrt((h * h).sum(-1, keepdim=True) / d + eps)
    return torch.addcmul(bias.to(h.dtype), h, weight.to(h.dtype)).to(x.dtype)


def rms_norm(x, weight, eps=1e-6):
    h = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    h = h / (h.pow(2).mean(-1, keepdim=True) + eps).pow(0.5)
    return (h * weight.to(h.dtype)).to(x.dtype)


def gelu(x, approximate="none"):
    assert_known(approximate)
    h = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    if approximate == "tanh":
        y = 0.5 * h * (1 + torch.tanh(0.7978845608028654 * (h + 0.044715 * torch.pow(h, 3))))
    else:
        y = h * 0.5 * (1.0 + torch.erf(h * math.sqrt(0.5)))
    return y.to(x.dtype)


def assert_known(form):
    if form not in ("none", "tanh"):
        raise ValueError(form)


def swiglu(x, w_gate, w_up, w_down):
    return (F.silu(x @ w_gate.t()) * (x @ w_up.t())) @ w_down.t()


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff=None):
        super().__init__()
        width = d_model * 4 if d_ff is None else d_ff
        self.up, self.down = nn.Linear(d_model, width), nn.Linear(width, d_model)

    def forward(self, x):
        h = self.up(x)
        h = gelu(h, "tanh")
        return self.down(h)


class LayerNorm(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(n)), nn.Parameter(torch.zeros(n))

    def forward(self, x):
        return layer_norm(x, self.weight, self.bias)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        if d_model % n_heads != 0:
            raise ValueError("heads")
        self.h = n_heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(d_model, d_model))

    def forward(self, x, causal=False):
        b, t, d = x.shape
        q, k, v = [
            f(x).view(b, t, self.h, d // self.h).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj)
        ]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out_proj(y.transpose(1, 2).reshape(b, t, d))


class Block(nn.Module):
    def __init__(self, d_model, n_heads, norm="pre"):
        super().__init__()
        if norm != "pre" and norm != "post":
            raise ValueError("norm must be pre or post")
        self.pre = norm == "pre"
        self.attention_norm = LayerNorm(d_model)
        self.feed_forward_norm = LayerNorm(d_model)
        self.attention = MultiHeadAttention(d_model, n_heads)
        self.feed_forward = FeedForward(d_model)

    def forward(self, x, causal=True):
        if self.pre:
            h = self.attention_norm(x)
            x = self.attention(h, causal=causal) + x
            h = self.feed_forward_norm(x)
            x = self.feed_forward(h) + x
        else:
            h = self.attention(x, causal=causal)
            x = self.attention_norm(h + x)
            h = self.feed_forward(x)
            x = self.feed_forward_norm(h + x)
        return x
