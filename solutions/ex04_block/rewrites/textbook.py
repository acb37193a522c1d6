"""A block in the style of a textbook."""

import math

import torch
import torch.nn as nn

HALF = {torch.float16, torch.bfloat16}


class in_full_precision:
    """Runs a function on float32 where its first argument is half precision, and rounds what it gives."""

    def __init__(self, function):
        self.function = function

    def __call__(self, x, *others, **named):
        if x.dtype not in HALF:
            return self.function(x, *others, **named).to(x.dtype)
        others = [other.float() if isinstance(other, torch.Tensor) else other for other in others]
        return self.function(x.float(), *others, **named).to(x.dtype)


@in_full_precision
def layer_norm(x, weight, bias, eps=1e-5):
    average = torch.mean(x, dim=-1, keepdim=True)
    spread = torch.var(x, dim=-1, keepdim=True, unbiased=False)
    standardised = (x - average) / torch.sqrt(spread + eps)
    return weight * standardised + bias


@in_full_precision
def rms_norm(x, weight, eps=1e-6):
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    root_mean_square = torch.sqrt(size**2 / x.shape[-1] + eps) if x.ndim else x
    return weight * (x / root_mean_square)


def exact(x):
    return 0.5 * torch.erfc(-x / math.sqrt(2.0))


def by_tanh(x):
    polynomial = x + 0.044715 * x * x * x
    return 0.5 + 0.5 * torch.tanh(math.sqrt(2.0 / math.pi) * polynomial)


@in_full_precision
def gelu(x, approximate="none"):
    factors = {"none": exact, "tanh": by_tanh}
    if approximate not in factors:
        raise ValueError("unknown: " + str(approximate))
    return x * factors[approximate](x)


def swiglu(x, w_gate, w_up, w_down):
    linear = nn.functional.linear
    gated = linear(x, w_gate)
    gated = gated * torch.sigmoid(gated)
    return linear(gated * linear(x, w_up), w_down)


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff=None):
        nn.Module.__init__(self)
        if d_ff is None:
            d_ff = d_model + d_model + d_model + d_model
        self.up = nn.Linear(in_features=d_model, out_features=d_ff)
        self.down = nn.Linear(in_features=d_ff, out_features=d_model)

    def forward(self, x):
        return self.down(self.activation(self.up(x)))

    @staticmethod
    def activation(x):
        return gelu(x, approximate="tanh")


class LayerNorm(nn.Module):
    def __init__(self, width):
        nn.Module.__init__(self)
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return layer_norm(x, self.weight, self.bias)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, n_heads):
        nn.Module.__init__(self)
        self.n_heads, rest = n_heads, d_model % n_heads
        if rest:
            raise ValueError("the heads do not fit")
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, causal=False):
        heads = [
            p(x).unflatten(-1, (self.n_heads, -1)).movedim(-2, -3) for p in (self.q_proj, self.k_proj, self.v_proj)
        ]
        read = nn.functional.scaled_dot_product_attention(*heads, is_causal=causal)
        return self.out_proj(read.movedim(-3, -2).flatten(-2))


class Block(nn.Module):
    def __init__(self, d_model, n_heads, norm="pre"):
        nn.Module.__init__(self)
        kinds = {"pre": self.pre_norm, "post": self.post_norm}
        if norm not in kinds:
            raise ValueError("norm: pre or post")
        self.kind = norm
        self.attention_norm = LayerNorm(d_model)
        self.attention = MultiHeadAttention(d_model, n_heads)
        self.feed_forward_norm = LayerNorm(d_model)
        self.feed_forward = FeedForward(d_model, 4 * d_model)

    def forward(self, x, causal=True):
        branch = self.pre_norm if self.kind == "pre" else self.post_norm
        return branch(x, causal)

    def pre_norm(self, x, causal):
        attended = x + self.attention(self.attention_norm(x), causal)
        return attended + self.feed_forward(self.feed_forward_norm(attended))

    def post_norm(self, x, causal):
        attended = self.attention_norm(x + self.attention(x, causal))
        return self.feed_forward_norm(attended + self.feed_forward(attended))
