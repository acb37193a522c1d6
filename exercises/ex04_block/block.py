"""What a transformer is stacked from: the norms, the activations, the feed-forward layer, and the block around them.

Axis words, used in every signature below:

    *batch    any leading axes (batch, position, ...), none too; what happens to one vector never depends on another
    batch     sequences that are computed side by side
    position  places in a sequence, n_positions of them
    width     numbers in the vector that is normalised, 1 or more
    d_model   width of the residual stream, the vectors that go from block to block
    d_ff      width inside a feed-forward layer

Precision: x and the weights are floating point. `layer_norm`, `rms_norm` and `gelu` compute in float32 where x is
bfloat16 or float16, in x's own dtype otherwise (the given `widen`): float64 keeps its digits. They return x's dtype,
whatever dtype the weights have, more precise or less. In `swiglu`, `FeedForward` and `Block` x and all weights have
one dtype, which the answer has too, and matrix products run in it.

Inputs are never written to. An answer depends on what x and the weights hold at the time of the call, and they may
have been changed in place since the last one. Everything can be differentiated by x and by every weight, in every
precision, and gradients are finite wherever the answer is. NaN and infinities are outside this exercise, and so are
numbers whose square or cube leaves the dtype that is computed in.

Sources:
    Vaswani et al. 2017, Attention Is All You Need, sections 3.1 and 3.3 (the block, norm after the addition)
        https://arxiv.org/abs/1706.03762
    Ba, Kiros and Hinton 2016, Layer Normalization: https://arxiv.org/abs/1607.06450
    Zhang and Sennrich 2019, Root Mean Square Layer Normalization: https://arxiv.org/abs/1910.07467
    Hendrycks and Gimpel 2016, Gaussian Error Linear Units: https://arxiv.org/abs/1606.08415
    Shazeer 2020, GLU Variants Improve Transformer: https://arxiv.org/abs/2002.05202
    Xiong et al. 2020, On Layer Normalization in the Transformer Architecture: https://arxiv.org/abs/2002.04745
    GPT-2, src/model.py (norm before the sublayer, tanh GELU): https://github.com/openai/gpt-2/blob/master/src/model.py
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float


# ---------------------------------------------------------------------------------------------- given: small helpers


def widen(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x in the precision to compute in: float32 for bfloat16 and float16, x itself for float32 and float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


# ---------------------------------------------------------------------------------------------- yours: norms


def layer_norm(
    x: Float[Tensor, "*batch width"],
    weight: Float[Tensor, " width"],
    bias: Float[Tensor, " width"],
    eps: float = 1e-5,
) -> Float[Tensor, "*batch width"]:
    """Every vector along the last axis, brought to mean 0 and variance 1, then times weight, plus bias.

    (x - mean) / √(variance + eps) · weight + bias. Mean and variance are those of one vector alone, and the variance
    is the population variance: the mean squared distance from the mean, divided by width, not by width - 1. eps
    is any number ≥ 0, added to the variance inside the root; 0.0 is taken as it is. A vector of equal numbers becomes
    the bias (with eps > 0), and its gradient is finite. Right also for vectors whose mean is a thousand times their
    spread.

    Shape and dtype are those of x, whatever dtype weight and bias have; bfloat16 and float16 are computed in float32
    and rounded once, at the end, after the bias. The gradient by x flows through mean and variance too.

    Source: Layer Normalization, section 3; eps as in GPT-2's `norm`.
    """
    # write your code here
    raise NotImplementedError


def rms_norm(
    x: Float[Tensor, "*batch width"],
    weight: Float[Tensor, " width"],
    eps: float = 1e-6,
) -> Float[Tensor, "*batch width"]:
    """Every vector along the last axis, divided by its root mean square, then times weight.

    x / √(mean of x² + eps) · weight. No mean is taken off, there is no bias, and the weight multiplies as it is (1 for
    "unchanged", not 0). eps is any number ≥ 0, added to the mean square inside the root; 0.0 is taken as it is.
    A vector of zeros stays zeros (with eps > 0), and its gradient is finite.

    Shape and dtype are those of x, whatever dtype the weight has; bfloat16 and float16 are computed in float32. Whether
    they are rounded before they meet the weight (itself rounded or not), as in Llama, or after it, is left open: the
    checks allow for either. The gradient by x flows through the root mean square too.

    Source: Root Mean Square Layer Normalization, equation 4. Models differ in eps: Llama has 1e-5, Qwen 2.5 has 1e-6.
    """
    # write your code here
    raise NotImplementedError


# ---------------------------------------------------------------------------------------------- yours: activations


def gelu(x: Float[Tensor, "*shape"], approximate: str = "none") -> Float[Tensor, "*shape"]:
    """Every number times the share of the standard normal distribution that lies below it: x · Φ(x).

    approximate  "none": Φ itself, Φ(x) = (1 + erf(x / √2)) / 2.
                 "tanh": in place of Φ(x), (1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2, the form that GPT-2 was
                 trained with. The two differ by up to 0.0005, so they are two functions, not one.

    Shape and dtype are those of x; bfloat16 and float16 are computed in float32, the cube too, and rounded at the end.
    Raises ValueError for any other value of `approximate`; "Tanh" and None are others.

    Source: Gaussian Error Linear Units, section 2; `gelu` in GPT-2's src/model.py.
    """
    # write your code here
    raise NotImplementedError


def swiglu(
    x: Float[Tensor, "*batch d_model"],
    w_gate: Float[Tensor, "d_ff d_model"],
    w_up: Float[Tensor, "d_ff d_model"],
    w_down: Float[Tensor, "d_out d_ff"],
) -> Float[Tensor, "*batch d_out"]:
    """The gated feed-forward layer of Llama: W_down (SiLU(W_gate x) ⊙ W_up x), for every vector along the last axis.

    SiLU(z) = z · σ(z), also called swish, and here `torch.nn.functional.silu` may be used. ⊙ multiplies number by
    number. The weights are stored as nn.Linear stores them, (out, in); there are no biases. Nothing is clamped: answer
    and gradients are right and finite where W_gate x is -1,000 or 1,000, too. All four tensors have one dtype, which the
    answer has too, and everything may be computed in it.

    Source: GLU Variants Improve Transformer, equation 6; `FeedForward` in Llama's model.py.
    """
    # write your code here
    raise NotImplementedError


# ---------------------------------------------------------------------------------------------- yours: feed-forward


class FeedForward(nn.Module):
    """GPT-2's feed-forward layer: up to d_ff numbers, tanh GELU, down again, for each position by itself.

    Its parts are `up` and `down`, each an nn.Linear with bias; there is no other parameter and no dropout.

    Source: Attention Is All You Need, section 3.3; GPT-2, `mlp` in src/model.py.
    """

    def __init__(self, d_model: int, d_ff: int | None = None) -> None:
        """Make `up`, from d_model to d_ff, and `down`, from d_ff to d_model. d_ff is 4 · d_model unless given.

        d_ff is 1 or more, and never rounded up. The weights start as nn.Linear starts them, not as GPT-2's do.
        """
        # write your code here
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Up, the tanh form of GELU, down. x is not added to it: the residual path belongs to the block.

        Training and evaluating (`eval()`) are the same.
        """
        # write your code here
        raise NotImplementedError


# ---------------------------------------------------------------------------------------------- given: parts of a block


class LayerNorm(nn.Module):
    """Your `layer_norm` with a weight and a bias to be trained, which start at ones and zeros; eps is 1e-5."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Every vector normalised."""
        return layer_norm(x, self.weight, self.bias)


class MultiHeadAttention(nn.Module):
    """Multi-head self-attention, as the exercise `multihead` builds it, on PyTorch's own attention: you have earned it.

    With causal=True a position reads itself and earlier ones, else all. ValueError where n_heads does not divide
    d_model.
    """

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"{n_heads} heads cannot share out a width of {d_model} evenly")
        self.n_heads = n_heads
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(
        self, x: Float[Tensor, "batch position d_model"], causal: bool = False
    ) -> Float[Tensor, "batch position d_model"]:
        """What every position reads from the others."""
        q, k, v = (self._split(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)  # (batch, head, position, d_head)
        return self.out_proj(rearrange(mixed, "batch head position d_head -> batch position (head d_head)"))

    def _split(self, x: Float[Tensor, "batch position d_model"]) -> Float[Tensor, "batch head position d_head"]:
        return rearrange(x, "batch position (head d_head) -> batch head position d_head", head=self.n_heads)


# ---------------------------------------------------------------------------------------------- yours: the block


class Block(nn.Module):
    """One layer of a transformer: attention, then a feed-forward layer, each added to what comes in.

    Its parts are `attention_norm` (a LayerNorm), `attention` (a MultiHeadAttention), `feed_forward_norm` (a LayerNorm
    of its own) and `feed_forward` (a FeedForward, exactly four times as wide inside); there is no other
    parameter and no dropout. Their weights start as the parts start them.

    Source: Attention Is All You Need, section 3.1; On Layer Normalization in the Transformer Architecture, table 1.
    """

    def __init__(self, d_model: int, n_heads: int, norm: str = "pre") -> None:
        """Make the four parts, and remember where the norms stand: norm is "pre" or "post".

        Raises ValueError for any other value of `norm`, and (by the attention) where n_heads does not divide d_model.
        """
        # write your code here
        raise NotImplementedError

    def forward(
        self, x: Float[Tensor, "batch position d_model"], causal: bool = True
    ) -> Float[Tensor, "batch position d_model"]:
        """Two sublayers in turn, f first the attention, then the feed-forward layer, each with the norm of its name.

        "pre":  x becomes x + f(norm(x)): the sublayer reads the normalised stream, and is added to the stream as it
                is. No norm follows the second addition.
        "post": x becomes norm(x + f(x)): the sublayer reads the stream as it is, and the sum is normalised.

        causal is handed on to the attention: True, the default, lets no position read later ones. Training and evaluating
        (`eval()`) are the same.
        """
        # write your code here
        raise NotImplementedError


# ---------------------------------------------------------------------------------------------- given: the example


def normalised() -> Tensor:
    """A vector by `layer_norm`, with nothing to multiply and to add."""
    return layer_norm(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.ones(4), torch.zeros(4))


def gated() -> Tensor:
    """SwiGLU with gates 1 and 0: the second number of the inner vector does not get through."""
    w_gate, w_up = torch.tensor([[1.0, 0.0], [2.0, -1.0]]), torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    return swiglu(torch.tensor([1.0, 2.0]), w_gate, w_up, torch.tensor([[1.0, 1.0], [-1.0, 2.0]]))


def fed_forward() -> Tensor:
    """A feed-forward layer that adds up GELU(x) and GELU(-x), for x = 1."""
    layer = FeedForward(1, d_ff=2)
    layer.load_state_dict(
        {
            "up.weight": torch.tensor([[1.0], [-1.0]]),
            "up.bias": torch.zeros(2),
            "down.weight": torch.ones(1, 2),
            "down.bias": torch.zeros(1),
        }
    )
    return layer(torch.tensor([1.0]))


def silenced(norm: str) -> Tensor:
    """What a block does to a vector when both sublayers give zeros: only residual path and norms are left."""
    block = Block(4, n_heads=2, norm=norm)
    for last in (block.attention.out_proj, block.feed_forward.down):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return block(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]))[0, 0]


def numbers_in_a_block() -> Tensor:
    """How many numbers one block of GPT-2's smallest model learns."""
    return torch.tensor([sum(weight.numel() for weight in Block(768, n_heads=12).parameters())])


def main() -> None:
    """The worked examples of the task, by as many of your functions as are written."""
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    steps = torch.tensor([-1.0, 0.0, 1.0])
    print("the vector of the worked example")
    print(*(f"{number:.0f}" for number in x.tolist()), end="\n\n")

    examples = [
        ("layer_norm", "layer_norm of 1, 2, 3, 4", normalised),
        ("rms_norm", "rms_norm of 1, 2, 3, 4", lambda: rms_norm(x, torch.ones(4))),
        ("gelu", "gelu of -1, 0, 1", lambda: gelu(steps)),
        ("gelu", "gelu of -1, 0, 1, tanh form", lambda: gelu(steps, approximate="tanh")),
        ("swiglu", "swiglu of 1, 2", gated),
        ("feed_forward", "FeedForward: GELU(1) + GELU(-1), tanh form", fed_forward),
        ("block", "Block, pre-norm, with silent sublayers", lambda: silenced("pre")),
        ("block", "Block, post-norm, with silent sublayers", lambda: silenced("post")),
        ("block", "numbers in one block of GPT-2 124M", numbers_in_a_block),
    ]
    for step, title, example in examples:
        try:
            with torch.no_grad():
                result = example()
        except NotImplementedError:
            print(f"next: step {step} of the task; then run this again")
            return
        print(title)
        print(*(f"{number:.6g}" if number % 1 else f"{number:.0f}" for number in result.tolist()), end="\n\n")


if __name__ == "__main__":
    main()
