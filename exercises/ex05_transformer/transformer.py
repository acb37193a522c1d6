"""A small GPT and everything that trains it: the model, its first weights, its samples, its optimiser, its loss.

Axis words, used in every signature below:

    batch     sequences that are worked on at once and never see one another
    length    positions of a sequence, at most `context`
    d_model   width of the stream that runs through the model
    head      attention heads; each has d_head = d_model / n_heads numbers
    d_ff      width inside the feed-forward layer, 4 · d_model
    vocab     ids a token can have, 0 to vocab_size - 1

Token ids are int64 tensors. Losses are cross-entropies in nats per token. Functions do not change the ids they are
given. "Evaluation mode" is what `model.eval()` switches on.

Sources:
    Radford et al. 2019, Language Models are Unsupervised Multitask Learners (GPT-2), section 2.3, and its src/model.py
        https://github.com/openai/gpt-2/blob/master/src/model.py
    nanoGPT, model.py and train.py (init, schedule, groups of parameters)
        https://github.com/karpathy/nanoGPT
    Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2
        https://arxiv.org/abs/1711.05101
    torch.optim.AdamW
        https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


# ---------------------------------------------------------------------------------------------- given: a small helper


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A `with` block in which `model` is in evaluation mode and no gradients are kept; its mode comes back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


# ---------------------------------------------------------------------------------------------- the block


class Attention(nn.Module):
    """Causal multi-head self-attention: q_proj, k_proj, v_proj and out_proj are Linear(d_model, d_model) with biases.

    One `qkv_proj` of 3 · d_model rows (q, then k, then v) may stand in place of the first three. d_model must be
    divisible by n_heads.
    """

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"a width of {d_model} cannot be shared out evenly among {n_heads} heads")
        self.n_heads = n_heads
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x: Float[Tensor, "batch length d_model"]) -> Float[Tensor, "batch length d_model"]:
        """What each position reads from itself and from earlier positions, the heads' findings combined by out_proj.

        Scores are scaled by 1/√d_head. Head 0 has the first d_head numbers of the projected q, k and v, head 1 the
        next, and so on; the heads are joined again in this order.

        Source: src/model.py of GPT-2, attn; Attention Is All You Need, section 3.2.2.
        """
        # write your code here
        raise NotImplementedError


class FeedForward(nn.Module):
    """A layer that works on each position by itself: `up` to 4 · d_model, GELU in its tanh form, `down` again."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, 4 * d_model)
        self.down = nn.Linear(4 * d_model, d_model)

    def forward(self, x: Float[Tensor, "batch length d_model"]) -> Float[Tensor, "batch length d_model"]:
        """The same small network for every position.

        Source: src/model.py of GPT-2, mlp.
        """
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """One layer of GPT-2: two sublayers, each reading the normalised stream and adding what it finds to the stream."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        """Makes, under these names: attention_norm, attention, feed_forward_norm, feed_forward.

        The norms are LayerNorms of width d_model with eps 1e-5, weights and biases. attention is causal, with n_heads
        heads; feed_forward is 4 · d_model wide inside. All Linear layers have biases.
        """
        # write your code here
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "batch length d_model"]) -> Float[Tensor, "batch length d_model"]:
        """The stream after this layer: pre-norm, attention first, then the feed-forward layer.

        Source: src/model.py of GPT-2, block; GPT-2 paper, section 2.3.
        """
        # write your code here
        raise NotImplementedError


# ---------------------------------------------------------------------------------------------- the model


def init_weights(model: nn.Module) -> None:
    """Sets all Linear and Embedding weights of a model anew, in place, drawing from PyTorch's global state.

    `model` has the parts of a `TransformerLM` under their names, and nothing else of it may be relied on.

    Weights are normal with mean 0 and standard deviation 0.02, in the position embedding too; those of the residual
    projections (`attention.out_proj` and `feed_forward.down` in every block) have 0.02 / √(2 · n_layers). Biases of
    Linear layers become 0. Norms keep the 1 and 0 that they are made with.

    Source: GPT-2 paper, section 2.3; nanoGPT's model.py. (GPT-2's own code has 0.01 for positions.)
    """
    # write your code here
    raise NotImplementedError


class TransformerLM(nn.Module):
    """A language model of GPT-2's design: at every position, the logits of the token that comes next.

    `context`, the longest sequence it can read, is an attribute.
    """

    def __init__(self, vocab_size: int, context: int, n_layers: int, n_heads: int, d_model: int) -> None:
        """Makes, under these names: token_embedding, position_embedding, blocks (a ModuleList), final_norm, context.

        token_embedding is an Embedding of vocab_size rows, position_embedding one of context rows, final_norm a
        LayerNorm as in the blocks. The head shares the token embedding's weight and has no bias, so it adds no
        parameters. At the end `init_weights` gives the first weights.
        """
        # write your code here
        raise NotImplementedError

    def forward(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab"]:
        """Raw logits; those at a position depend on the tokens up to and including that position, on no later one.

        Token and position embeddings are added, position 0 being the first of `ids`; then the blocks in order, the
        final norm, the head. Any length from 1 to context; ValueError if `ids` is longer.

        Source: src/model.py of GPT-2, model; GPT-2 paper, section 2.3.
        """
        # write your code here
        raise NotImplementedError


# ---------------------------------------------------------------------------------------------- using the model


def looks_ahead(model: nn.Module, ids: Int[Tensor, "batch length"]) -> bool:
    """Whether logits at some position change when tokens at later positions change: a test to run before training.

    `model` maps ids (batch, length) to finite logits (batch, length, vocab) and is asked in evaluation mode, without
    gradients; its mode is restored. A leak of any reach, at any position, in any row is found; so is one that takes
    its later token from another row. A change at the same or an earlier position is none, in whichever row. One other
    id at each place is change enough: what only certain ids would show need not be found. Changes of up to 1e-5 times
    the largest logit (by magnitude, of those for `ids`) count as rounding. `ids` is not longer than the context.

    Source: the definition of a causal language model.
    """
    # write your code here
    raise NotImplementedError


def choose_next(
    logits: Float[Tensor, "batch vocab"], temperature: float, top_k: int | None, generator: torch.Generator
) -> Int[Tensor, "batch 1"]:
    """One id for each row of logits, chosen as `generate` says; all draws come from `generator`.

    Source: nanoGPT's model.py, generate.
    """
    # write your code here
    raise NotImplementedError


def generate(
    model: nn.Module,
    ids: Int[Tensor, "batch length"],
    n_new: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> Int[Tensor, "batch length+{n_new}"]:
    """The prompt and n_new more ids in every row, each drawn from what the model says about the ids before it.

    For each new id the model, which has an attribute `context`, reads the last `context` ids (all, if there are
    fewer), in evaluation mode, without gradients; its mode is restored. The prompt may be longer than the context
    and comes back whole. n_new may be 0.

    temperature  the logits are divided by it; 0 means the largest logit, of several equal ones the first.
    top_k        only logits at least as large as the k-th largest of their row stay, so ties with it all do; None, or
                 more than there are ids, keeps all.
    seed         draws come from a generator of this function's own: the same seed gives the same ids, and PyTorch's
                 global random state is neither read nor changed. Rows and steps draw independently.

    Source: nanoGPT's model.py, generate.
    """
    # write your code here
    raise NotImplementedError


# ---------------------------------------------------------------------------------------------- training


def lr_at(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    """The learning rate of a step, counted from 0: a linear warm-up, half a cosine down, then flat.

    Steps below `warmup` have max_lr · (step + 1) / (warmup + 1). Step `warmup` has max_lr, from where half a cosine
    falls to min_lr at step `total`; later steps have min_lr. 0 ≤ warmup ≤ total; where they are equal, min_lr follows
    the warm-up at once.

    Source: nanoGPT's train.py, get_lr.
    """
    # write your code here
    raise NotImplementedError


def param_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimiser, each a dict with "params" (a list) and "weight_decay".

    The first holds the parameters with two axes or more and decays by `weight_decay`, the second the rest (biases,
    norms) with 0.0. Every parameter that requires a gradient is in exactly one group and only once, also if the model
    uses it in several places; others are in none. Either list may be empty; in each, the order is the model's.

    Source: nanoGPT's model.py, configure_optimizers.
    """
    # write your code here
    raise NotImplementedError


def clip_gradients(params: Iterable[Tensor], max_norm: float) -> Float[Tensor, ""]:
    """Scales all gradients in place by one factor, so that their norm is at most max_norm; returns the norm before.

    The norm is that of all gradients together: the root of the sum of the squares of all their numbers. At or below
    max_norm nothing changes. Parameters without a gradient are skipped; where none has one, the norm is 0. `params`
    may be an iterator, such as `model.parameters()`. max_norm > 0, infinity allowed. A number or a tensor comes back.
    A millionth added to the norm before dividing, as PyTorch has it, passes.

    Source: Pascanu et al. 2013, On the difficulty of training recurrent neural networks, algorithm 1.
    """
    # write your code here
    raise NotImplementedError


class AdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay, a drop-in for torch.optim.AdamW (without its further options).

    params  parameters, or a list of groups: dicts that may have an lr, betas, eps and weight_decay of their own

    Groups may be edited and added between steps. What `state_dict()` gives lets a new AdamW go on where this one stood.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient, with the settings that its group has now.

        Given a closure, calls it once, before anything else and with gradients enabled, and returns what it returns;
        without one returns None. A parameter without a gradient stays as it is, undecayed, and this step does not
        count for it.

        Source: Decoupled Weight Decay Regularization, algorithm 2; torch.optim.AdamW.
        """
        # write your code here
        raise NotImplementedError

    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        """One step of one parameter, in place; what must be kept until its next step is in `self.state[p]`, a dict.

        With g = p.grad and t = 1 at the parameter's first step: m ← β₁·m + (1 - β₁)·g and v ← β₂·v + (1 - β₂)·g²,
        both from 0; m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ); p ← p - lr·weight_decay·p - lr·m̂ / (√v̂ + eps), where
        both terms use p from before the step. p.grad is not changed.

        Source: Decoupled Weight Decay Regularization, algorithm 2; torch.optim.AdamW.
        """
        # write your code here
        raise NotImplementedError


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    micro_batches: list[tuple[Int[Tensor, "batch length"], Int[Tensor, "batch length"]]],
    max_norm: float,
) -> float:
    """One step of the optimiser on several micro-batches as if they were one batch; returns their mean loss.

    Each micro-batch is a pair (x, y) of the same size as the others: ids, and for each of them the id that comes next
    (already shifted). The model reads one micro-batch at a time; all its trained parameters are in the optimiser. The
    gradient is that of the mean cross-entropy over all tokens of all micro-batches; it is clipped to max_norm over all
    the model's parameters, once, before the step. Gradients from before the call do not count. The model's mode is
    left to the caller. The loss is a plain float, from before the step and before clipping.

    Source: nanoGPT's train.py.
    """
    # write your code here
    raise NotImplementedError


def estimate_loss(model: nn.Module, ids: Int[Tensor, " n_ids"], context: int) -> float:
    """The mean loss per token over a whole text, read in windows of `context` inputs that do not overlap.

    Window i has the inputs ids[i · context : (i + 1) · context] and as targets the ids one place later, so it needs
    context + 1 ids; there are (n_ids - 1) // context windows. What is left at the end does not count. Windows are rows
    for the model, as many at once as you like, in evaluation mode, without gradients; the mode is restored. A plain
    float; ValueError if there is no full window.

    Source: nanoGPT's train.py, estimate_loss (there on random windows).
    """
    # write your code here
    raise NotImplementedError


# ---------------------------------------------------------------------------------------------- given: the examples


class Guesser(nn.Module):
    """Not a transformer: after any token it says the same logits, whatever came before."""

    def __init__(self, logits: list[float], context: int) -> None:
        super().__init__()
        self.context = context
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab"]:
        return self.logits.expand(*ids.shape, -1)


def main() -> None:
    """The worked examples of the task, by as many of your functions as are written."""
    torch.manual_seed(0)
    ids = torch.randint(65, (12, 64))
    guesser = Guesser([2.0, 1.0, 1.0, 0.0], context=3)
    prompts = torch.zeros(10_000, 1, dtype=torch.int64)
    weight = nn.Parameter(torch.tensor([1.0]))
    weight.grad = torch.tensor([0.5])
    three, four = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    three.grad, four.grad = torch.tensor([3.0]), torch.tensor([4.0])

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    def peeks() -> float:
        block, x = Block(128, 4), torch.randn(1, 9, 128)
        longer = torch.cat([x, torch.randn(1, 5, 128)], dim=1)
        return round((block(longer)[:, :9] - block(x)).abs().max().item(), 5)

    def deviations() -> list[float]:
        parts = nn.ModuleDict({"token_embedding": nn.Embedding(65, 128), "position_embedding": nn.Embedding(64, 128)})
        parts["blocks"] = nn.ModuleList([Block(128, 4) for _ in range(4)])
        parts["final_norm"] = nn.LayerNorm(128)
        init_weights(parts)
        return [
            round(layer.weight.std().item(), 5) for layer in (parts.token_embedding, parts.blocks[0].feed_forward.down)
        ]

    def first_loss() -> float:
        logits = TransformerLM(65, 64, 4, 4, 128)(ids)
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()

    def shares(top_k: int | None) -> list[float]:
        chosen = generate(guesser, prompts, 1, top_k=top_k)[:, 1]
        return [round(n / len(chosen), 4) for n in torch.bincount(chosen, minlength=4).tolist()]

    def rates() -> list[float]:
        return [round(lr_at(step, 1e-3, 1e-4, 100, 5000), 9) for step in (0, 99, 2550)]

    def first_step() -> float:
        AdamW([weight], lr=1e-3, weight_decay=0.1).step()
        return weight.item()

    def numbers(groups: list[dict[str, Any]]) -> list[int]:
        return [sum(p.numel() for p in group["params"]) for group in groups]

    def clipped() -> list[float]:
        return [float(clip_gradients([three, four], 1.0)), three.grad.item(), four.grad.item()]

    def steps() -> list[float]:
        halves = [(ids[:6, :-1] % 4, ids[:6, 1:] % 4), (ids[6:, :-1] % 4, ids[6:, 1:] % 4)]
        return [train_step(guesser, torch.optim.SGD(guesser.parameters(), lr=1.0), halves, 1.0) for _ in range(3)]

    print("given: the bets that logits 2 1 1 0 are, by softmax")
    bets = torch.softmax(guesser.logits.detach(), dim=0)
    print([round(share, 4) for share in bets.tolist()])

    examples = [
        ("block", "the parameters of one block", lambda: count(Block(128, 4))),
        ("block", "later tokens change what this position reads by", peeks),
        ("init", "standard deviations: token_embedding, down", deviations),
        ("model", "the parameters of the whole model", lambda: count(TransformerLM(65, 64, 4, 4, 128))),
        ("model", "the first loss, near ln 65 = 4.174", first_loss),
        ("leak", "does the model look ahead?", lambda: looks_ahead(TransformerLM(65, 64, 4, 4, 128), ids)),
        ("sample", "shares of logits 2 1 1 0 in 10,000 draws", lambda: shares(None)),
        ("sample", "the same with top_k = 2", lambda: shares(2)),
        ("schedule", "steps 0, 99, 2550", rates),
        ("groups", "numbers that decay and that do not", lambda: numbers(param_groups(Block(128, 4), 0.1))),
        ("clip", "gradients 3 and 4 clipped to 1: norm, and what they are now", clipped),
        ("adamw", "one step from 1.0", first_step),
        ("train", "three steps on the guesser: its loss", steps),
        ("evaluate", "its loss over a text", lambda: estimate_loss(guesser, ids.flatten() % 4, 3)),
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
