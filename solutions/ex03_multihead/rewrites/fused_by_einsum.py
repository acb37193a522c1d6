"""Multi-head attention, fused and by einsum."""

import math

import torch
import torch.nn as nn


def wide(dtype):
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype


def penalty(mask, dtype):
    if mask.dtype == torch.bool:
        return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -math.inf)
    if not torch.is_floating_point(mask):
        raise TypeError("masks are boolean or float")
    return mask.to(dtype)


def attend(q, k, v, mask=None):
    dtype = q.dtype
    q, k, v = q.to(wide(dtype)), k.to(wide(dtype)), v.to(wide(dtype))
    scores = torch.einsum("...id,...jd->...ij", q, k) / math.sqrt(q.size(-1))
    if mask is not None:
        scores = scores + penalty(mask, scores.dtype)
    gone = (scores == -math.inf).all(-1, keepdim=True)
    p = torch.softmax(torch.where(gone, torch.zeros_like(scores), scores), dim=-1)
    p = torch.where(gone, torch.zeros_like(p), p)
    return torch.einsum("...ij,...jd->...id", p, v).to(dtype)


def split_heads(x, n_heads):
    b, n, d = x.shape
    if d % n_heads:
        raise ValueError(f"{d} is no multiple of {n_heads}")
    return x.reshape(b, n, n_heads, d // n_heads).permute(0, 2, 1, 3)


def merge_heads(x):
    b, h, n, d = x.shape
    return x.permute(0, 2, 1, 3).reshape(b, n, h * d)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, n_heads, bias=True):
        if d_model % n_heads:
            raise ValueError(f"{d_model} is no multiple of {n_heads}")
        super().__init__()
        self.heads = n_heads
        self.qkv_proj = nn.Linear(d_model, 3 * d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x, memory=None, mask=None, causal=False):
        read = x if memory is None else memory
        q = self.qkv_proj(x).tensor_split(3, -1)[0]
        k, v = self.qkv_proj(read).tensor_split(3, -1)[1:]
        q, k, v = split_heads(q, self.heads), split_heads(k, self.heads), split_heads(v, self.heads)
        if causal:
            n, m = x.size(1), read.size(1)
            future = torch.triu(torch.full((n, m), -math.inf, dtype=wide(x.dtype)), 1 + m - n)
            mask = future if mask is None else future + penalty(mask, future.dtype)
        return self.out_proj(merge_heads(attend(q, k, v, mask)))
