"""Rotary positions as one matrix for each position, with planes, heads and sinusoids in loops."""

import math

import torch
import torch.nn as nn


def planes(d, pairing):
    """The two numbers of each plane."""
    if d % 2 == 1:
        raise ValueError("planes need an even number of numbers")
    if pairing == "interleaved":
        return [(i, i + 1) for i in range(0, d, 2)]
    if pairing == "half":
        return [(i, i + d // 2) for i in range(d // 2)]
    raise ValueError("pairings are interleaved and half")


def sinusoidal_positions(n, d):
    rows = []
    for p in range(n):
        row = [0.0] * d
        for even, odd in planes(d, "interleaved"):
            angle = p / math.pow(10000, even / d)
            row[even] = math.sin(angle)
            row[odd] = math.cos(angle)
        rows.append(row)
    return torch.tensor(rows)


def rope_frequencies(d_head, base=10000.0):
    if d_head % 2 == 1:
        raise ValueError("planes need an even number of numbers")
    return torch.tensor([1 / base ** (2 * i / d_head) for i in range(d_head // 2)])


def rope_angles(positions, frequencies):
    frequencies = frequencies.to(torch.promote_types(frequencies.dtype, torch.float32))
    return torch.stack([positions * frequency for frequency in frequencies], dim=-1)


def rotation_matrices(angles, pairing):
    """The block matrices of the paper's equation 15, (..., d, d)."""
    d = 2 * angles.shape[-1]
    cos, sin = torch.cos(angles), torch.sin(angles)
    matrices = angles.new_zeros(*angles.shape[:-1], d, d)
    for i, (a, b) in enumerate(planes(d, pairing)):
        matrices[..., a, a] = cos[..., i]
        matrices[..., a, b] = -sin[..., i]
        matrices[..., b, a] = sin[..., i]
        matrices[..., b, b] = cos[..., i]
    return matrices


def apply_rope(x, positions, base=10000.0, pairing="interleaved"):
    angles = rope_angles(positions, rope_frequencies(x.shape[-1], base).to(x.device))
    matrices = rotation_matrices(angles, pairing)
    kind = torch.promote_types(x.dtype, matrices.dtype)
    shape = "bnij,bhnj->bhni" if positions.ndim == 2 else "nij,...nj->...ni"
    return torch.einsum(shape, matrices.to(kind), x.to(kind)).to(x.dtype)


def convert_pairing(weight, n_heads, to):
    other = {"half": "interleaved", "interleaved": "half"}.get(to)
    if other is None:
        raise ValueError("pairings are interleaved and half")
    d, rest = divmod(weight.shape[0], n_heads)
    if rest != 0:
        raise ValueError("each head needs as many rows")
    rows = list(range(n_heads * d))
    for head in range(n_heads):
        for source, target in zip(planes(d, other), planes(d, to), strict=True):
            for old, new in zip(source, target, strict=True):
                rows[head * d + new] = head * d + old
    return torch.stack([weight[row] for row in rows])


class RotaryAttention(nn.Module):
    def __init__(self, d_model, n_heads, base=10000.0, pairing="interleaved"):
        super().__init__()
        self.d_head, rest = divmod(d_model, n_heads)
        if rest != 0:
            raise ValueError("each head needs as many numbers")
        planes(self.d_head, pairing)
        self.n_heads = n_heads
        self.base = base
        self.pairing = pairing
        for name in ["q_proj", "k_proj", "v_proj", "out_proj"]:
            self.add_module(name, nn.Linear(d_model, d_model, bias=False))

    def turn(self, x, positions):
        return apply_rope(x.unsqueeze(1), positions, self.base, self.pairing).squeeze(1)

    def forward(self, x, positions=None, causal=True):
        length = x.shape[1]
        if positions is None:
            positions = torch.arange(length, device=x.device)
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        allowed = torch.ones(length, length, dtype=torch.bool, device=x.device)
        if causal:
            allowed = allowed.tril()
        heads = []
        for head in range(self.n_heads):
            own = slice(head * self.d_head, (head + 1) * self.d_head)
            query = self.turn(q[:, :, own], positions)
            key = self.turn(k[:, :, own], positions)
            scores = torch.einsum("bqd,bkd->bqk", query, key) * self.d_head**-0.5
            powers = torch.where(allowed, scores, -torch.inf).softmax(2)
            heads.append(torch.einsum("bqk,bkd->bqd", powers, v[:, :, own]))
        return self.out_proj(torch.cat(heads, 2))
