"""Multi-head attention in loops over samples and heads."""

import itertools

import torch


def check_mask(mask):
    if mask.dtype != torch.bool and not mask.dtype.is_floating_point:
        raise TypeError(f"no mask: {mask.dtype}")


def one_head(q, k, v, mask):
    """(query, d), (key, d), (key, e) and a mask of shape (query, key) or None."""
    kind = torch.promote_types(q.dtype, torch.float32)
    rows = []
    for i in range(q.shape[0]):
        s = (k.to(kind) * q[i].to(kind)).sum(1) / q.shape[1] ** 0.5
        keep = torch.ones_like(s, dtype=torch.bool)
        if mask is not None and mask.dtype == torch.bool:
            keep = mask[i]
        elif mask is not None:
            keep = mask[i] > -torch.inf
            s = s + torch.where(keep, mask[i], 0.0).to(kind)
        row = torch.zeros(v.shape[1], dtype=kind)
        if keep.any():
            e = torch.exp(s[keep] - s[keep].max().detach())
            row = (e / e.sum()) @ v[keep].to(kind)
        rows.append(row + 0 * (q[i].sum() + k.sum() + v.sum()).to(kind))
    return torch.stack(rows).to(q.dtype)


def attend(q, k, v, mask=None):
    lead = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = [t.expand(*lead, *t.shape[-2:]) for t in (q, k, v)]
    if mask is not None:
        check_mask(mask)
        mask = mask.expand(*lead, q.shape[-2], k.shape[-2])
    found = [
        one_head(q[at], k[at], v[at], None if mask is None else mask[at])
        for at in itertools.product(*(range(n) for n in lead))
    ]
    return torch.stack(found).reshape(*lead, q.shape[-2], v.shape[-1])


def split_heads(x, n_heads):
    if x.shape[2] % n_heads:
        raise ValueError("the heads do not fit")
    width = x.shape[2] // n_heads
    return torch.stack([x[:, :, i * width : i * width + width] for i in range(n_heads)], dim=1)


def merge_heads(x):
    return torch.cat([x[:, i] for i in range(x.shape[1])], dim=2)


class MultiHeadAttention(torch.nn.Module):
    def __init__(self, d_model, n_heads, bias=True):
        super().__init__()
        if n_heads * (d_model // n_heads) != d_model:
            raise ValueError("the heads do not fit")
        self.h = n_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (
            torch.nn.Linear(d_model, d_model, bias=bias) for _ in range(4)
        )

    def forward(self, x, memory=None, mask=None, causal=False):
        source = x if memory is None else memory
        q = split_heads(self.q_proj(x), self.h)
        k = split_heads(self.k_proj(source), self.h)
        v = split_heads(self.v_proj(source), self.h)
        n, m = x.shape[1], source.shape[1]
        if causal:
            seen = torch.tensor([[m - j >= n - i for j in range(m)] for i in range(n)])
            if mask is None:
                mask = seen
            elif mask.dtype == torch.bool:
                mask = torch.logical_and(mask, seen)
            else:
                check_mask(mask)
                mask = mask.masked_fill(~seen.expand(torch.broadcast_shapes(mask.shape, seen.shape)), -torch.inf)
        return self.out_proj(merge_heads(attend(q, k, v, mask)))
