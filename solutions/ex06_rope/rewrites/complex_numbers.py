"""Rotary positions as products of complex numbers, with the projections in one layer."""

import math

import torch
from torch import nn


def half_of(width):
    if width % 2:
        raise ValueError(f"{width} numbers are no complex ones")
    return width // 2


def unit(angles):
    return torch.polar(torch.ones_like(angles), angles)


def sinusoidal_positions(n, d):
    slowness = torch.logspace(0, 1, half_of(d) + 1, base=1e4, dtype=torch.float64)[:-1]
    waves = unit(torch.arange(n).unsqueeze(1) / slowness)
    table = torch.empty(n, d)
    table[:, 0::2] = waves.imag
    table[:, 1::2] = waves.real
    return table


def rope_frequencies(d_head, base=10000.0):
    steps = torch.arange(half_of(d_head), dtype=torch.float64) / half_of(d_head)
    return torch.exp(-math.log(base) * steps).to(torch.get_default_dtype())


def rope_angles(positions, frequencies):
    precise = torch.promote_types(frequencies.dtype, torch.float32)
    return torch.einsum("...n,p->...np", positions.to(precise), frequencies.to(precise))


def to_complex(x, pairing):
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if pairing == "interleaved":
        return torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2).contiguous())
    if pairing == "half":
        return torch.complex(*x.chunk(2, dim=-1))
    raise ValueError(f"no such pairing: {pairing}")


def from_complex(z, pairing):
    if pairing == "interleaved":
        return torch.view_as_real(z).flatten(-2)
    return torch.cat([z.real, z.imag], dim=-1)


def apply_rope(x, positions, base=10000.0, pairing="interleaved"):
    turns = unit(rope_angles(positions, rope_frequencies(x.size(-1), base).to(x.device)))
    if turns.dim() == 3:
        turns = turns.unsqueeze(1)
    return from_complex(to_complex(x, pairing) * turns, pairing).to(x.dtype)


def convert_pairing(weight, n_heads, to):
    if to not in ("interleaved", "half"):
        raise ValueError(f"no such pairing: {to}")
    if len(weight) % n_heads:
        raise ValueError(f"{n_heads} heads do not share {len(weight)} rows")
    half = half_of(len(weight) // n_heads)
    if to == "half":
        per_head = weight.unflatten(0, (n_heads, half, 2))
    else:
        per_head = weight.unflatten(0, (n_heads, 2, half))
    return per_head.transpose(1, 2).flatten(0, 2)


class RotaryAttention(nn.Module):
    def __init__(self, d_model, n_heads, base=10000.0, pairing="interleaved"):
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"{n_heads} heads do not share {d_model} numbers")
        half_of(d_model // n_heads)
        if pairing not in ("interleaved", "half"):
            raise ValueError(f"no such pairing: {pairing}")
        self.heads = n_heads
        self.rope = dict(base=base, pairing=pairing)
        self.qkv_proj = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, positions=None, causal=True):
        n = x.size(1)
        places = torch.arange(n, device=x.device)
        if positions is None:
            positions = places
        q, k, v = self.qkv_proj(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q = apply_rope(q, positions, **self.rope)
        k = apply_rope(k, positions, **self.rope)
        precise = torch.promote_types(q.dtype, torch.float32)
        scores = q.to(precise) @ k.to(precise).mT / math.sqrt(q.size(-1))
        if causal:
            scores = scores.masked_fill(places > places[:, None], -math.inf)
        mixed = scores.softmax(dim=-1).to(v.dtype) @ v
        return self.out_proj(mixed.transpose(1, 2).flatten(2))
