"""A language model that is one table, in torch: text as numbers, batches, a loss, counting the table, drawing from it.

Axis words, used in every signature below:

    length    the ids of a text, in order
    batch     windows cut from a text; *batch: any leading axes, none too
    context   the ids of one window
    vocab     the characters that there are, vocab_size of them: one logit for each
    previous  the character that is known, a row of the table
    next      the character that is asked for, a column of the table

An id is a whole number from 0 to vocab_size - 1, in a tensor of dtype int64. A logit is a number whose softmax, taken
over the whole vocabulary, is a probability; minus infinity is a probability of 0. Inputs are never written to, and may
be views with any strides: a transposed tensor, every other element of one, a column.

Sources:
    Shannon 1948, A Mathematical Theory of Communication, section 3 (letters drawn from counted pairs)
        http://people.math.harvard.edu/~ctm/home/text/others/shannon/entropy/entropy.pdf
    Karpathy, makemore, lecture 1 (bigrams by counting and by gradient descent, in torch)
        https://github.com/karpathy/nn-zero-to-hero
    torch.nn.functional.cross_entropy
        https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange

if TYPE_CHECKING:
    from jaxtyping import Float, Int64


# ---------------------------------------------------------------------------------------------- given: torch


def torch_in_ten_lines() -> None:
    """What to know about torch when you know numpy. `python bigram.py` runs it; change a line and run it again."""
    x = torch.tensor([[1.0, 5.0, 2.0], [4.0, 0.0, 6.0]])  # 1  float32, where numpy takes float64; x.dtype, x.shape
    ids = torch.tensor([2, 0])  # 2  whole numbers become int64, and index; torch.tensor([]) is float32
    totals = x.sum(dim=-1, keepdim=True)  # 3  dim and keepdim are numpy's axis and keepdims
    largest, where = x.max(dim=-1)  # 4  along an axis max gives two tensors; x.amax(dim=-1) the numbers alone
    named = x.gather(-1, ids.unsqueeze(-1))  # 5  take_along_axis; unsqueeze(-1) is ids[:, None]
    shares = x.softmax(dim=-1)  # 6  softmax, log_softmax and logsumexp are there, and do not overflow
    double = x.to(torch.float64)  # 7  another dtype, or another device: x.to("cuda")
    numbers = x.tolist(), x[0, 1].item(), x.numpy()  # 8  out of torch; numpy() shares x's memory
    luck = torch.rand(3, generator=torch.Generator().manual_seed(7))  # 9  a random generator of your own
    w = torch.zeros(3, requires_grad=True)  # 10  then ((w - 1) ** 2).sum().backward() puts the gradient into w.grad
    for value in (x, ids, totals, largest, where, named, shares, double, numbers, luck, w):
        print(value)


# ---------------------------------------------------------------------------------------------- given: the whole idea


def what_follows(text: str, previous: str) -> dict[str, float]:
    """What follows one character of a text, in plain loops: each next character's share of the times.

    Nothing is smoothed; {} where `previous` is followed by nothing. The table below holds this for every character.
    """
    counts = {}
    for i in range(len(text) - 1):
        if text[i] == previous:
            counts[text[i + 1]] = counts.get(text[i + 1], 0) + 1
    total = sum(counts.values())
    return {character: count / total for character, count in sorted(counts.items())}


# ---------------------------------------------------------------------------------------------- yours


def build_vocab(text: str) -> list[str]:
    """The distinct characters of a text as a list of one-character strings, sorted as Python sorts strings.

    Spaces, capitals and accents are characters like any other, and so are NUL, chr(0), and line ends: a carriage return
    with a line feed is two characters, a line end at the text's end counts too. Nothing is normalised or stripped, here
    or below. An empty text gives an empty list.
    """
    # write your code here
    raise NotImplementedError


def encode(text: str, vocab: list[str]) -> Int64[torch.Tensor, " length"]:
    """The text as ids: for each character its place in `vocab`, counted from 0.

    `vocab` holds distinct characters in any order, also such as the text lacks, and counts as it is at the call, whatever
    the same list held at an earlier one. int64, of shape (length,), also for an empty text.

    Raises ValueError for a text with a character that `vocab` lacks; the message holds this character, as it is or as
    `repr` writes it (one of them where there are several).
    """
    # write your code here
    raise NotImplementedError


def decode(ids: Int64[torch.Tensor, " length"], vocab: list[str]) -> str:
    """The text that `ids` stand for, the inverse of `encode` with the same vocabulary; "" where there are no ids.

    Every character comes back as it is, also NUL and white space at the ends. Ids outside 0 … len(vocab) - 1 are outside
    this exercise.
    """
    # write your code here
    raise NotImplementedError


def get_batch(
    ids: Int64[torch.Tensor, " length"],
    starts: Int64[torch.Tensor, " batch"],
    context: int,
) -> tuple[Int64[torch.Tensor, "batch {context}"], Int64[torch.Tensor, "batch {context}"]]:
    """Windows of a text and what is to be predicted at each place: (x, y), both int64 of shape (batch, context).

    Row b of x is the `context` ids from `starts[b]` on; y has beside each of them the id that comes next in the text,
    so it is the window that begins one place later. `starts` has any order and may repeat itself; batch ≥ 1,
    context ≥ 1, and axes of length 1 stay. `ids` and `starts` may have any strides.

    Raises ValueError unless every window and every target lies inside the text: 0 ≤ start ≤ length - context - 1.
    """
    # write your code here
    raise NotImplementedError


def cross_entropy(
    logits: Float[torch.Tensor, "*batch vocab"],
    targets: Int64[torch.Tensor, "*batch"],
) -> Float[torch.Tensor, ""]:
    """The mean over all targets of -ln p, in nats; p is the probability that softmax(logits) gives to the target.

    Any leading axes, none too; at least one target, and every target counts the same. A tensor without axes, through
    which gradients flow back to the logits, whatever their precision. float32 and float64 stay, the answer too: float64
    loses no digit on the way. Logits of less precision are converted to float32 first, and the answer is float32. Finite
    and right for finite logits as large as ±1e4, however far the rows lie apart; so are the gradients, also where a
    probability is so small that it becomes 0. A logit of minus infinity is a probability of 0: without effect on the loss
    beside the target; for the target itself the loss is inf. Rows without a finite logit are outside this exercise.

    Source: torch.nn.functional.cross_entropy, which may not be called here (axes: there the vocabulary is axis 1).
    """
    # write your code here
    raise NotImplementedError


def bigram_logits(
    ids: Int64[torch.Tensor, " length"],
    vocab_size: int,
    smoothing: float = 1.0,
) -> Float[torch.Tensor, "{vocab_size} {vocab_size}"]:
    """The bigram model of a text, counted: row = previous id, column = next id, entry = ln p(next | previous).

        p(next | previous) = (pairs (previous, next) + smoothing) / (pairs (previous, any) + smoothing · vocab_size)

    Pairs are neighbours in the text: length - 1 of them, overlapping (aaa holds aa twice), none from the end back to
    the beginning, and a pair may occur thousands of times. So every row holds the logarithms of probabilities that sum
    to one. `smoothing` ≥ 0. With 0, a pair that does not occur has minus infinity; but a row of an id that nothing
    follows is ln(1 / vocab_size) throughout, as it is for every other smoothing. `vocab_size` ≥ 1 may be larger than
    the ids in the text need; texts of no or one id have no pairs. The dtype is torch's default, float32.

    Source: Shannon 1948, section 3.
    """
    # write your code here
    raise NotImplementedError


def sample_next(
    logits: Float[torch.Tensor, "*batch vocab"],
    temperature: float,
    seed: int,
) -> Int64[torch.Tensor, "*batch"]:
    """One id for each row of logits, drawn from softmax(logits / temperature); int64 (*batch), any leading axes or none.

    temperature  above 0: the id is drawn. 0: the id of the row's largest logit, of equal ones the lowest id, whatever
                 the seed. Below 0: ValueError.
    seed         any int64, negative too. All randomness comes from it: equal arguments give equal ids, another seed other
                 draws (seeds with the same last 32 bits, all that torch's generator takes, may draw alike). The rows of
                 one call are drawn independently of each other. torch's global generator is neither used, its seed
                 included, nor changed.

    Right for logits as large as ±1e4, and an id whose logit is minus infinity is never drawn, at whatever temperature and
    beside whatever logits. Logits of less precision than float32 are converted to it before they are divided. Every row
    has a finite logit.
    """
    # write your code here
    raise NotImplementedError


# ---------------------------------------------------------------------------------------------- given: the example


def main() -> None:
    """Torch in ten lines, then the worked example of the task by as many of your functions as are written."""
    text, vocab = "banana", ["a", "b", "n"]
    ids = torch.tensor([1, 0, 2, 0, 2, 0])
    table = torch.tensor([[1 / 5, 1 / 5, 3 / 5], [2 / 4, 1 / 4, 1 / 4], [3 / 5, 1 / 5, 1 / 5]]).log()
    coin = torch.tensor([0.2, 0.2, 0.6]).log().repeat(10, 1)

    print("torch in ten lines")
    torch_in_ten_lines()
    print("\nwhat follows a in banana, in loops")
    print(what_follows(text, "a"))

    examples = [
        ("vocabulary", "build_vocab: a, b, n", lambda: build_vocab(text)),
        ("vocabulary", "encode", lambda: encode(text, vocab)),
        ("vocabulary", "decode", lambda: decode(ids, vocab)),
        ("batch", "get_batch: two windows of 3, then their targets", lambda: get_batch(ids, torch.tensor([2, 0]), 3)),
        ("loss", "cross_entropy of banana under the table: 0.5473", lambda: cross_entropy(table[ids[:-1]], ids[1:])),
        ("counts", "bigram_logits as probabilities: the table", lambda: bigram_logits(ids, 3).exp()),
        ("sample", "sample_next after a: ten draws, mostly 2", lambda: sample_next(coin, 1.0, seed=0)),
    ]
    for step, title, example in examples:
        try:
            result = example()
        except NotImplementedError:
            print(f"\nnext: step {step} of the task; then run this again")
            return
        print(f"\n{title}")
        print(*(result if isinstance(result, tuple) else [result]), sep="\n")


if __name__ == "__main__":
    main()
