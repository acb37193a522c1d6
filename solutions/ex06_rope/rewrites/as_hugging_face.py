"""Rotary positions as the models of Hugging Face have them: tables of cosines and sines, and half of the numbers moved."""

import torch
from torch import nn
from torch.nn import functional as F


def check_width(dim):
    if dim % 2 != 0:
        raise ValueError(f"dim must be even, got {dim}")


def check_pairing(pairing):
    if pairing not in {"interleaved", "half"}:
        raise ValueError(f"unknown pairing {pairing}")


def sinusoidal_positions(n, d):
    check_width(d)
    angles = torch.arange(n).unsqueeze(1) * (1.0 / 10000 ** (torch.arange(0, d, 2) / d))
    table = torch.zeros(n, d)
    table[:, 0::2] = torch.sin(angles)
    table[:, 1::2] = torch.cos(angles)
    return table


def rope_frequencies(d_head, base=10000.0):
    check_width(d_head)
    return 1.0 / base ** (torch.arange(0, d_head, 2) / d_head)


def rope_angles(positions, frequencies):
    inv_freq = frequencies.to(torch.promote_types(frequencies.dtype, torch.float32))
    return torch.matmul(positions.unsqueeze(-1).to(inv_freq.dtype), inv_freq.unsqueeze(0))


def rotate_half(x):
    x1, x2 = x.chunk(2, dim=-1)
    return torch.cat((-x2, x1), dim=-1)


def rotate_every_two(x):
    x1, x2 = x[..., ::2], x[..., 1::2]
    return torch.stack((-x2, x1), dim=-1).flatten(-2)


def tables(positions, inv_freq):
    """Cosines and sines, (..., length, pair)."""
    angles = rope_angles(positions, inv_freq)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin, pairing):
    if cos.ndim == 3:
        cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    if pairing == "half":
        cos, sin = torch.cat((cos, cos), dim=-1), torch.cat((sin, sin), dim=-1)
        turned = x * cos + rotate_half(x) * sin
    else:
        cos, sin = cos.repeat_interleave(2, dim=-1), sin.repeat_interleave(2, dim=-1)
        turned = x * cos + rotate_every_two(x) * sin
    return turned.to(x.dtype)


def apply_rope(x, positions, base=10000.0, pairing="interleaved"):
    check_pairing(pairing)
    cos, sin = tables(positions, rope_frequencies(x.shape[-1], base).to(x.device))
    return rotate(x, cos, sin, pairing)


def convert_pairing(weight, n_heads, to):
    check_pairing(to)
    if weight.shape[0] % n_heads != 0:
        raise ValueError(f"{weight.shape[0]} rows for {n_heads} heads")
    d_head = weight.shape[0] // n_heads
    check_width(d_head)
    split = (d_head // 2, 2) if to == "half" else (2, d_head // 2)
    return weight.reshape(n_heads, *split, -1).transpose(1, 2).reshape(weight.shape)


class RotaryEmbedding:
    """Cosines and sines of the first positions, kept, and made anew when later ones are asked for.

    No module, so that a cast of the layer leaves the tables as precise as they are.
    """

    max_positions = 4096

    def __init__(self, dim, base):
        self.dim, self.base = dim, base
        self.kept = {}

    def __call__(self, positions):
        positions = positions.long()
        key = positions.device, torch.get_default_dtype()
        last = int(positions.max())
        inv_freq = rope_frequencies(self.dim, self.base).to(positions.device)
        if positions.min() < 0 or last >= self.max_positions:
            return tables(positions, inv_freq)
        cos, sin = self.kept.get(key, ((), ()))
        if last >= len(cos):
            cos, sin = self.kept[key] = tables(torch.arange(last + 1, device=positions.device), inv_freq)
        return cos[positions], sin[positions]


class RotaryAttention(nn.Module):
    def __init__(self, d_model, n_heads, base=10000.0, pairing="interleaved"):
        super().__init__()
        if d_model % n_heads != 0:
            raise ValueError(f"d_model {d_model} is not divisible by n_heads {n_heads}")
        check_width(d_model // n_heads)
        check_pairing(pairing)
        self.n_heads = n_heads
        self.head_dim = d_model // n_heads
        self.pairing = pairing
        self.rotary = RotaryEmbedding(self.head_dim, base)
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, d_model, bias=False)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, positions=None, causal=True):
        bsz, q_len, d_model = x.shape
        if positions is None:
            positions = torch.arange(q_len, device=x.device)
        query = self.q_proj(x).view(bsz, q_len, self.n_heads, self.head_dim).transpose(1, 2)
        key = self.k_proj(x).view(bsz, q_len, self.n_heads, self.head_dim).transpose(1, 2)
        value = self.v_proj(x).view(bsz, q_len, self.n_heads, self.head_dim).transpose(1, 2)
        cos, sin = self.rotary(positions)
        query = rotate(query, cos, sin, self.pairing)
        key = rotate(key, cos, sin, self.pairing)
        output = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
        output = output.transpose(1, 2).reshape(bsz, q_len, d_model)
        return self.out_proj(output)
