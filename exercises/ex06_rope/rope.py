"""Positions: sinusoids that are added, rotary positions that turn queries and keys, and the attention that uses them.

Axis words, used in every signature below:

    batch      samples, independent of each other
    head       attention heads; each has d_head = d_model / n_heads numbers
    length     positions of a sequence
    pair       the d_head / 2 planes in which a vector is turned, each spanned by two of its numbers
    d_model    width of a position's vector, n_heads · d_head
    d_head     width of one head, even

Positions are integers (int64, int32, int16, int8 or uint8), of size up to 2²⁴, in any order, negative ones too, on the
device of x. A pairing says which two numbers of a vector of width d_head span plane i, i from 0:

    "interleaved"  numbers 2i and 2i + 1       the paper, Meta's Llama code
    "half"         numbers i and i + d_head/2  GPT-NeoX, the Llama of Hugging Face

Precision: frequencies, angles, their sines and cosines are computed in float32, or better, whatever the dtype of x and of
the weights; frequencies, angles and the table of sinusoids come back as float32. Turned vectors and the layer's answers
have the dtype of x. Where x is bfloat16 or float16, sines and cosines may be rounded to it before they are multiplied, and
products in it are allowed; where x is float64, the turn may be computed in float32. A float32 angle far out is known less
well, and no more is asked. PyTorch's default dtype is float32. Every axis is at least 1 long. Inputs may have any strides
and are never written to; no answer depends on earlier calls, nor on what became of their answers. NaN and infinities are
outside this exercise.

Sources:
    Su et al. 2021, RoFormer: Enhanced Transformer with Rotary Position Embedding, sections 3.2 and 3.4
        https://arxiv.org/abs/2104.09864
    Vaswani et al. 2017, Attention Is All You Need, section 3.5, the sinusoids
        https://arxiv.org/abs/1706.03762
    Llama 3, apply_rotary_emb in model.py, neighbours paired; Hugging Face, rotate_half in modeling_llama.py, halves paired
        https://github.com/meta-llama/llama3/blob/main/llama/model.py
        https://github.com/huggingface/transformers/blob/main/src/transformers/models/llama/modeling_llama.py
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped
    from torch import Tensor

PAIRINGS = ("interleaved", "half")


# ---------------------------------------------------------------------------------------------- given: one plane


def turned(first: float, second: float, angle: float) -> tuple[float, float]:
    """A point of the plane, turned about the origin by `angle` radians, from the first axis towards the second."""
    return (
        first * math.cos(angle) - second * math.sin(angle),
        first * math.sin(angle) + second * math.cos(angle),
    )


# ---------------------------------------------------------------------------------------------- yours


def sinusoidal_positions(n: int, d: int) -> Float[Tensor, "{n} {d}"]:
    """The table of the 2017 paper, float32: row p, p from 0 to n - 1, is added to the embedding at position p.

    Column 2i holds sin(p / 10000^(2i/d)), column 2i + 1 the cosine of the same angle, for i from 0 to d/2 - 1.
    n ≥ 1, d ≥ 2. Raises ValueError for an odd d.

    Source: Attention Is All You Need, section 3.5.
    """
    # write your code here
    raise NotImplementedError


def rope_frequencies(d_head: int, base: float = 10000.0) -> Float[Tensor, " pair"]:
    """How far plane i turns from one position to the next, in radians: base^(-2i/d_head), float32, i from 0 on.

    d_head ≥ 2 and base ≥ 1 are any such numbers, base possibly an int. Raises ValueError for an odd d_head.

    Source: RoFormer, section 3.2.2: Θ, under equation 15.
    """
    # write your code here
    raise NotImplementedError


def rope_angles(
    positions: Int[Tensor, "*batch length"], frequencies: Float[Tensor, " pair"]
) -> Float[Tensor, "*batch length pair"]:
    """The angle of every plane at every position, in radians: position times frequency, float32, not reduced by 2π.

    positions    (length,) -> (length, pair), or (batch, length) -> (batch, length, pair).
    frequencies  float32, any: those of `rope_frequencies`, or others.

    Source: RoFormer, section 3.2.2, equation 15.
    """
    # write your code here
    raise NotImplementedError


def apply_rope(
    x: Float[Tensor, "*batch length d_head"],
    positions: Int[Tensor, "*rows length"],
    base: float = 10000.0,
    pairing: str = "interleaved",
) -> Float[Tensor, "*batch length d_head"]:
    """Each vector of x, turned in each of its planes by its position's angle: (a, b) by `turned`, as given above.

    x          (length, d_head) with any leading axes, (batch, n_heads, length, d_head) for one.
    positions  (length,), the same for all leading axes, or (batch, length), a row for each sample, with x of
               exactly four axes, (batch, n_heads, length, d_head). As long as x.
    pairing    which two numbers span plane i; see the module's docstring. Turned numbers stay in their places.

    Gradients reach x. Raises ValueError for an odd d_head and for any other pairing.

    Source: RoFormer, section 3.4.2, equation 34.
    """
    # write your code here
    raise NotImplementedError


def convert_pairing(weight: Shaped[Tensor, "out ..."], n_heads: int, to: str) -> Shaped[Tensor, "out ..."]:
    """The weight or bias of a query or key projection that was made for the other pairing, its rows reordered for `to`.

    weight   (out, in) as nn.Linear stores it, or a bias (out,), of any dtype; head h has rows h·d_head to
             (h + 1)·d_head - 1, d_head = out / n_heads.
    to       "half" or "interleaved", the pairing from now on; the weight was made for the other one.

    Every number stays exactly as it is; the answer may be a view.

    A layer whose queries and keys are converted, and that turns them with `to`, gives the same scores as before, and
    plane i of each head stays plane i. Raises ValueError where n_heads does not divide out, where d_head is odd,
    and for any other `to`.

    Source: the conversion script of Llama in Hugging Face's transformers, permute in convert_llama_weights_to_hf.py.
    """
    # write your code here
    raise NotImplementedError


class RotaryAttention(nn.Module):
    """Multi-head self-attention whose queries and keys are turned by their positions, in each head alike.

    Source: RoFormer, section 3.2.2, equation 16; the layer around it as in Attention Is All You Need, section 3.2.2.
    """

    def __init__(self, d_model: int, n_heads: int, base: float = 10000.0, pairing: str = "interleaved") -> None:
        """Projections of width d_model to d_model without biases: `q_proj`, `k_proj`, `v_proj` and `out_proj`.

        Each is an nn.Linear. Or `qkv_proj`, one nn.Linear from d_model to 3·d_model in place of the first three, with
        their rows stacked in the order q, k, v. There are no other parameters, and `state_dict()` holds nothing else
        (buffers: persistent=False, and a cast of the layer casts them too). Any initialisation. Raises ValueError, at
        construction, where n_heads does not divide d_model, where d_head is odd, and for a pairing that is neither
        "interleaved" nor "half".
        """
        # write your code here
        raise NotImplementedError

    def forward(
        self,
        x: Float[Tensor, "batch length d_model"],
        positions: Int[Tensor, "*rows length"] | None = None,
        causal: bool = True,
    ) -> Float[Tensor, "batch length d_model"]:
        """What each token of x reads from x through all heads, queries and keys turned by their tokens' positions.

        positions  (length,) or (batch, length), as in `apply_rope`; None means 0 to length - 1.
        causal     True: token t reads tokens 0 to t, in the order in which they stand in x. Positions say how far
                   queries and keys are turned, and hide nothing. False: every token reads all.

        Scores are scaled by 1/√d_head. Values are not turned. Head h has numbers h·d_head to (h + 1)·d_head - 1 of the
        projections. Any length, also longer than in earlier calls; no answer depends on earlier calls.

        Source: RoFormer, section 3.2.2, equation 16.
        """
        # write your code here
        raise NotImplementedError


# ---------------------------------------------------------------------------------------------- given: the example


def main() -> None:
    """The worked example of the task: one plane by hand, then as many of your functions as are written."""
    torch.set_printoptions(precision=4, sci_mode=False)
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])  # one token of width 4
    first = torch.tensor([1])  # at position 1
    rows = torch.arange(4)
    print("the plane (1, 2), turned by 1 radian:", "{:.4f} {:.4f}".format(*turned(1, 2, 1)))

    def score(query_at: int, key_at: int) -> Tensor:
        """The dot product of x as a query and of the numbers in reverse as a key, at two positions."""
        query, key = apply_rope(x, torch.tensor([query_at])), apply_rope(x.flip(-1), torch.tensor([key_at]))
        return (query @ key.T).squeeze()

    def shifted() -> Tensor:
        """The largest change of a layer's output when all positions move by 7."""
        torch.manual_seed(0)
        layer, tokens = RotaryAttention(8, n_heads=2), torch.randn(1, 5, 8)
        with torch.no_grad():
            return (layer(tokens, torch.arange(5) + 7) - layer(tokens)).abs().max()

    examples = [
        ("sinusoids", "sinusoidal_positions(2, 4), row 1", lambda: sinusoidal_positions(2, 4)[1]),
        ("angles", "the frequencies of width 4", lambda: rope_frequencies(4)),
        ("angles", "their angles at position 1", lambda: rope_angles(first, rope_frequencies(4))[0]),
        ("rotate", "1 2 3 4 at position 1, neighbours paired", lambda: apply_rope(x, first)[0]),
        ("rotate", "the same, halves paired", lambda: apply_rope(x, first, pairing="half")[0]),
        ("rotate", "scores 3 apart, at 5 and 2, at 105 and 102", lambda: torch.stack([score(5, 2), score(105, 102)])),
        ("convert", "rows 0 to 3 of one head, for halves", lambda: convert_pairing(rows, 1, to="half")),
        ("layer", "a layer's output moves by this with all positions", shifted),
    ]
    for step, title, example in examples:
        try:
            result = example()
        except NotImplementedError:
            print(f"\nnext: step {step} of the task; then run this again")
            return
        print(f"\n{title}")
        print(result)


if __name__ == "__main__":
    main()
