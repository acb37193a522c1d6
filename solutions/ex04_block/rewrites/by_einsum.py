"""A block by einsum."""

from math import pi

import torch
from einops import rearrange, reduce
from torch import einsum, nn


def up_to_single(t):
    return t if t.dtype in [torch.float32, torch.float64] else t.to(torch.float32)


def mean_of(t):
    return reduce(t, "... d -> ... 1", "mean")


def layer_norm(x, weight, bias, eps=1e-5):
    t = up_to_single(x)
    t = t - mean_of(t)
    t = t * (mean_of(t**2) + eps) ** -0.5
    return (t * up_to_single(weight) + up_to_single(bias)).type_as(x)


def rms_norm(x, weight, eps=1e-6):
    t = up_to_single(x)
    t = t * (mean_of(t**2) + eps) ** -0.5
    return (t * up_to_single(weight)).type_as(x)


def gelu(x, approximate="none"):
    t = up_to_single(x)
    if approximate == "none":
        return (t * torch.special.ndtr(t)).type_as(x)
    if approximate == "tanh":
        z = (2 / pi) ** 0.5 * t * (1 + 0.044715 * t**2)
        return (t * (z.tanh() + 1) / 2).type_as(x)
    raise ValueError(f"{approximate}?")


def swiglu(x, w_gate, w_up, w_down):
    a = einsum("...i,oi->...o", x, w_gate)
    b = einsum("...i,oi->...o", x, w_up)
    return einsum("...i,oi->...o", a * a.sigmoid() * b, w_down)


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff=None):
        super().__init__()
        d_ff = d_ff or 4 * d_model
        self.up = nn.Linear(d_model, d_ff)
        self.down = nn.Linear(d_ff, d_model)

    def forward(self, x):
        return self.down(gelu(self.up(x), "tanh"))


class LayerNorm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.register_parameter("weight", nn.Parameter(torch.ones(d)))
        self.register_parameter("bias", nn.Parameter(torch.zeros(d)))

    def forward(self, x):
        return layer_norm(x, weight=self.weight, bias=self.bias)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        if d_model / n_heads != d_model // n_heads:
            raise ValueError("no even split")
        self.out_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.q_proj = nn.Linear(d_model, d_model)

    def forward(self, x, causal=False):
        split = [
            rearrange(f(x), "b t (h d) -> b h t d", h=self.n_heads) for f in (self.q_proj, self.k_proj, self.v_proj)
        ]
        q, k, v = split
        scores = einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
        if causal:
            later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, float("-inf"))
        read = einsum("bhij,bhjd->bhid", scores.softmax(-1), v)
        return self.out_proj(rearrange(read, "b h t d -> b t (h d)"))


class Block(nn.Module):
    def __init__(self, d_model, n_heads, norm="pre"):
        super().__init__()
        if norm not in ["pre", "post"]:
            raise ValueError(norm)
        self.attention_norm, self.feed_forward_norm = LayerNorm(d_model), LayerNorm(d_model)
        self.attention, self.feed_forward = MultiHeadAttention(d_model, n_heads), FeedForward(d_model)
        self.before = norm == "pre"

    def forward(self, x, causal=True):
        x = self.step(x, self.attention_norm, lambda t: self.attention(t, causal=causal))
        return self.step(x, self.feed_forward_norm, self.feed_forward)

    def step(self, x, norm, sublayer):
        return x + sublayer(norm(x)) if self.before else norm(x + sublayer(x))
