"""Multi-head attention on flattened batches."""

import torch
from torch import nn
from torch.nn.functional import linear


def row_softmax(scores):
    top = scores.detach().max(dim=-1, keepdim=True).values
    top = torch.where(torch.isinf(top), torch.zeros_like(top), top)
    powers = (scores - top).exp()
    total = powers.sum(dim=-1, keepdim=True)
    return powers / torch.where(total == 0, torch.ones_like(total), total)


def attend(q, k, v, mask=None):
    inner = q.dtype if q.dtype.itemsize > 2 else torch.float32
    outer = q.dtype
    q, k, v = q.type(inner), k.type(inner), v.type(inner)
    scores = torch.matmul(q * q.size(-1) ** -0.5, k.transpose(-1, -2))
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, float("-inf"))
        elif mask.dtype.is_floating_point:
            scores = scores + mask.type(inner)
        else:
            raise TypeError(mask.dtype)
    weights = row_softmax(scores)
    return torch.matmul(weights, v).type(outer)


def split_heads(x, n_heads):
    if x.size(-1) % n_heads > 0:
        raise ValueError(n_heads)
    return x.unflatten(-1, (n_heads, x.size(-1) // n_heads)).transpose(-2, -3)


def merge_heads(x):
    return x.transpose(-2, -3).flatten(-2)


def later(n, m):
    return torch.arange(m)[None, :] > torch.arange(m - n, m)[:, None]


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, n_heads, bias=True):
        super().__init__()
        if d_model % n_heads > 0:
            raise ValueError(n_heads)
        self.n_heads = n_heads
        self.q_proj = nn.Linear(d_model, d_model, bias)
        self.k_proj = nn.Linear(d_model, d_model, bias)
        self.v_proj = nn.Linear(d_model, d_model, bias)
        self.out_proj = nn.Linear(d_model, d_model, bias)

    def project(self, name, x):
        layer = getattr(self, name)
        return split_heads(linear(x, layer.weight, layer.bias), self.n_heads)

    def forward(self, x, memory=None, mask=None, causal=False):
        other = memory
        if other is None:
            other = x
        if causal:
            hidden = later(x.size(1), other.size(1))
            if mask is None:
                mask = ~hidden
            elif mask.dtype == torch.bool:
                mask = mask & ~hidden
            elif mask.dtype.is_floating_point:
                mask = torch.where(hidden, float("-inf"), mask)
            else:
                raise TypeError(mask.dtype)
        found = attend(self.project("q_proj", x), self.project("k_proj", other), self.project("v_proj", other), mask)
        return linear(merge_heads(found), self.out_proj.weight, self.out_proj.bias)
