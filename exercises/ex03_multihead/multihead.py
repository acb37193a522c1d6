"""Multi-head attention in PyTorch: one attention for all heads at once, and the layer that models are built from.

Axis words, used in every signature below:

    batch      samples, independent of each other
    head       n_heads parallel attentions, each with its own view of the same positions
    length     positions of a sequence; `query` where they ask, `key` where they are read
    d_model    width of a position's vector, n_heads · d_head
    d_head     width of one head
    *batch     any leading axes (batch, head, ...), none too; they broadcast against each other as in PyTorch

Precision: the answer has the dtype of what comes in. In half precision (bfloat16, float16) `attend` raises q, k and v
to float32 as they are, does everything there, scaling, scores, softmax and mixing, and rounds once, at its end; the
projections run in the dtype of x, which is that of their weights; more precision is allowed. float32 is computed in
float32 at least, float64 in float64. Masks may have another floating dtype and take no part in the answer's.
Every axis is at least 1 long, and none has an upper limit. Inputs, masks too, may have any strides and are never
written to. NaN and infinities in q, k, v, x and memory are outside this exercise; minus infinity in float masks is
inside.

Sources:
    Vaswani et al. 2017, Attention Is All You Need, section 3.2.2 and figure 2, right half
        https://arxiv.org/abs/1706.03762
    torch.nn.MultiheadAttention, the same layer with another mask convention
        https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html
    nanoGPT, CausalSelfAttention in model.py, the fused layout
        https://github.com/karpathy/nanoGPT/blob/master/model.py
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Shaped
    from torch import Tensor

    Mask = Bool[Tensor, "..."] | Float[Tensor, "..."]


# ---------------------------------------------------------------------------------------------- given: the whole idea


def heads_in_loops(
    x: Float[Tensor, "batch length d_model"],
    w_q: Float[Tensor, "d_model d_model"],
    w_k: Float[Tensor, "d_model d_model"],
    w_v: Float[Tensor, "d_model d_model"],
    w_out: Float[Tensor, "d_model d_model"],
    n_heads: int,
) -> Float[Tensor, "batch length d_model"]:
    """Multi-head self-attention, one sample and one head after the other, without biases and masks.

    The weights are stored as nn.Linear stores them: row i makes output i, so a layer computes x Wᵀ. The functions below
    do the same for all samples and heads at once, and more.
    """
    d_head = x.shape[-1] // n_heads
    answers = []
    for tokens in x:  # (length, d_model)
        found = []
        for head in range(n_heads):
            rows = slice(head * d_head, (head + 1) * d_head)  # this head's rows of each projection
            q = tokens @ w_q[rows].T  # (length, d_head), made from the whole width of x
            k = tokens @ w_k[rows].T
            v = tokens @ w_v[rows].T
            weights = torch.softmax(q @ k.T / math.sqrt(d_head), dim=-1)  # (query, key)
            found.append(weights @ v)  # (length, d_head)
        joined = torch.cat(found, dim=-1)  # (length, d_model): head 0 first
        answers.append(joined @ w_out.T)  # where the heads' findings meet
    return torch.stack(answers)


# ---------------------------------------------------------------------------------------------- given: small helpers


def is_boolean(mask: Tensor) -> bool:
    """True for a boolean mask, False for a float mask of any precision; TypeError for any other dtype."""
    if mask.dtype == torch.bool:
        return True
    if mask.is_floating_point():
        return False
    raise TypeError(f"a mask is boolean (True = may attend) or float (added to the scores), not {mask.dtype}")


def combine_masks(mask: Mask | None, allowed: Bool[Tensor, "query key"]) -> Mask:
    """The mask that lets through what `mask` and the boolean `allowed` both let through; None lets everything through.

    A boolean mask gives a boolean one, a float mask a float one; TypeError for any other dtype.
    """
    if mask is None:
        return allowed
    return mask & allowed if is_boolean(mask) else torch.where(allowed, mask, -math.inf)


# ---------------------------------------------------------------------------------------------- yours


def attend(
    q: Float[Tensor, "*#batch query d_head"],
    k: Float[Tensor, "*#batch key d_head"],
    v: Float[Tensor, "*#batch key d_value"],
    mask: Mask | None = None,
) -> Float[Tensor, "*#batch query d_value"]:
    """Scaled dot-product attention: softmax(q kᵀ / √d_head + mask) v, the softmax running over the keys.

    mask   any shape that broadcasts to (*batch, query, key), aligned from the right as always in PyTorch.
           Boolean: True = may attend, False = gets weight 0 (the opposite of nn.MultiheadAttention).
           Float of any precision: added to the scaled scores in float32 (or more), not rounded to half precision
           before; only -inf blocks, not the lowest finite float32 number. Finite numbers lie within float32, and what
           a huge one swallows of its score is lost. A float64 mask may be rounded to float32 unless q is float64.
           None: everything is allowed.

    Gradients reach q, k, v and a float mask. A query that may attend to nothing reads zeros, and all gradients stay
    finite: such a query gets and gives zero gradient. Scores of ±1e5 are survived. q, k and v have one dtype, and so
    has the answer; half precision is computed in float32 and rounded once, at the end.

    Raises TypeError for a mask that is neither boolean nor float. PyTorch's own attention may not be called.

    Source: Attention Is All You Need, section 3.2.1, equation 1.
    """
    # write your code here
    raise NotImplementedError


def split_heads(
    x: Shaped[Tensor, "batch length d_model"], n_heads: int
) -> Shaped[Tensor, "batch {n_heads} length d_head"]:
    """The width cut into heads: head h takes columns h·d_head to (h + 1)·d_head - 1 of every position.

    (batch, length, d_model) -> (batch, n_heads, length, d_head) with d_head = d_model / n_heads; n_heads ≥ 1. Works on
    tensors of any dtype and any strides. Raises ValueError where n_heads does not divide d_model.

    Source: Attention Is All You Need, section 3.2.2.
    """
    # write your code here
    raise NotImplementedError


def merge_heads(x: Shaped[Tensor, "batch head length d_head"]) -> Shaped[Tensor, "batch length d_model"]:
    """The heads side by side again, head 0 first: the inverse of `split_heads`, for any dtype and any strides.

    (batch, n_heads, length, d_head) -> (batch, length, n_heads · d_head).

    Source: Attention Is All You Need, section 3.2.2: Concat(head_1, ..., head_h).
    """
    # write your code here
    raise NotImplementedError


class MultiHeadAttention(nn.Module):
    """Concat(head_1, ..., head_h) W_out, each head an attention on its own projection of x, or of x and a memory.

    Source: Attention Is All You Need, section 3.2.2; nn.MultiheadAttention computes the same.
    """

    def __init__(self, d_model: int, n_heads: int, bias: bool = True) -> None:
        """Projections of width d_model to d_model: `q_proj`, `k_proj`, `v_proj` and `out_proj`, each an nn.Linear.

        Or `qkv_proj`, one nn.Linear from d_model to 3·d_model in place of the first three, with their rows stacked in
        the order q, k, v. There are no other parameters, and `state_dict()` holds nothing else, after calls neither
        (buffers: persistent=False). bias=False: none of them has a bias. Any initialisation.
        n_heads ≥ 1. Raises ValueError where n_heads does not divide d_model.
        """
        # write your code here
        raise NotImplementedError

    def forward(
        self,
        x: Float[Tensor, "batch query d_model"],
        memory: Float[Tensor, "batch key d_model"] | None = None,
        mask: Mask | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "batch query d_model"]:
        """What each position of x reads, through all heads: from x itself, or from `memory` where there is one.

        memory  what is read, of any length, with x's batch, width and dtype; None means x.
        mask    as in `attend`, for scores of shape (batch, n_heads, query, key).
        causal  True: nobody sees later positions. The queries are the newest of the n_keys positions: the last query
                lines up with the last key (bottom-right), and each sees its own position. Surplus queries, the first
                n_queries - n_keys, see nothing. Where there is a mask too, a key must be allowed by both.

        A head in which a query may attend to nothing gives it zeros; where all do, its output is `out_proj`'s bias. A
        mask takes keys away, never queries. Output and gradients are the same in train and eval mode. No answer depends
        on earlier calls, and none leaves a graph on the layer: copy.deepcopy works after it. Raises TypeError for a
        mask that is neither boolean nor float.

        Source: Attention Is All You Need, sections 3.2.2 and 3.2.3.
        """
        # write your code here
        raise NotImplementedError


# ---------------------------------------------------------------------------------------------- given: the example


def copy_weights(layer: nn.Module, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_out: Tensor) -> None:
    """Copy four weight matrices into a layer, whichever of the two layouts it has."""
    with torch.no_grad():
        if hasattr(layer, "qkv_proj"):
            layer.qkv_proj.weight.copy_(torch.cat([w_q, w_k, w_v]))
        else:
            layer.q_proj.weight.copy_(w_q)
            layer.k_proj.weight.copy_(w_k)
            layer.v_proj.weight.copy_(w_v)
        layer.out_proj.weight.copy_(w_out)


def main() -> None:
    """The worked example of the task, by loops first, then by as many of your functions as are written."""
    torch.set_printoptions(precision=4, sci_mode=False)
    x = torch.tensor([[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 2.0, 0.0]]])  # one sample, two tokens, width 4
    same = torch.eye(4)
    w_out = torch.eye(4)
    w_out[0, 2] = 1.0  # output 0 adds what head 1 found first
    numbers = torch.arange(12.0).reshape(1, 3, 4)  # three tokens

    def layer() -> nn.Module:
        made = MultiHeadAttention(4, n_heads=2, bias=False)
        copy_weights(made, same, same, same, w_out)
        return made

    print("two heads, in loops")
    print(heads_in_loops(x, same, same, same, w_out, n_heads=2)[0])

    examples = [
        ("attend", "attend: columns 0 and 1 of x, head 0", lambda: attend(x[0, :, :2], x[0, :, :2], x[0, :, :2])),
        ("split", "split_heads of 0 ... 11: head 0, then head 1", lambda: split_heads(numbers, 2)[0]),
        ("split", "merged again", lambda: merge_heads(split_heads(numbers, 2))[0]),
        ("layer", "MultiHeadAttention(4, 2): its parameters", lambda: sum(p.numel() for p in layer().parameters())),
        ("self", "the loops' answer, by the layer", lambda: layer()(x)[0].detach()),
        ("masks", "the same, causal", lambda: layer()(x, causal=True)[0].detach()),
        ("cross", "the second token alone asks", lambda: layer()(x[:, 1:], memory=x)[0].detach()),
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
