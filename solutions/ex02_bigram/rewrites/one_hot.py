"""Bigrams by one-hot vectors and matrix products."""

from itertools import product

import torch
from einops import rearrange, reduce


def build_vocab(text):
    return list(map(chr, sorted({ord(letter) for letter in text})))


def encode(text, vocab):
    lookup = dict(zip(vocab, range(len(vocab)), strict=True))
    missing = [letter for letter in dict.fromkeys(text) if letter not in lookup]
    if missing:
        raise ValueError("vocabulary lacks: " + " ".join(missing))
    return torch.LongTensor([lookup[letter] for letter in text])


def decode(ids, vocab):
    text = ""
    for number in ids:
        text = text + vocab[number.item()]
    return text


def get_batch(ids, starts, context):
    length = ids.shape[0]
    if bool(torch.any(starts < 0)) or bool(torch.any(starts > length - 1 - context)):
        raise ValueError("not inside the text")
    x = torch.zeros(len(starts), context, dtype=torch.int64)
    y = torch.zeros(len(starts), context, dtype=torch.int64)
    for b, t in product(range(len(starts)), range(context)):
        x[b, t] = ids[starts[b] + t]
        y[b, t] = ids[starts[b] + t + 1]
    return x, y


def cross_entropy(logits, targets):
    logits = logits.type(torch.promote_types(torch.float32, logits.dtype))
    normaliser = torch.logsumexp(logits, dim=-1)
    mask = torch.arange(logits.shape[-1]) == targets.unsqueeze(-1)
    picked = torch.where(mask, logits, torch.zeros_like(logits)).sum(dim=-1)
    surprise = normaliser - picked
    return surprise.sum() / surprise.numel()


def bigram_logits(ids, vocab_size, smoothing=1.0):
    hot = torch.eye(vocab_size)[ids]
    pairs = torch.einsum("tp,tn->pn", hot[:-1], hot[1:]) + smoothing
    total = reduce(pairs, "previous next -> previous 1", "sum")
    uniform = torch.full_like(pairs, 1.0 / vocab_size)
    return torch.where(total > 0, pairs / total.clamp(min=1e-30), uniform).log()


def sample_next(logits, temperature, seed):
    if temperature < 0:
        raise ValueError(f"temperature {temperature} < 0")
    shape = logits.shape[:-1]
    rows = rearrange(logits, "... v -> (...) v")
    if temperature == 0:
        best = rows == rows.max(dim=-1, keepdim=True).values
        return best.to(torch.uint8).argmax(dim=-1).reshape(shape)
    generator = torch.Generator()
    generator.manual_seed(seed)
    noise = torch.empty(rows.shape, dtype=torch.float64).exponential_(generator=generator)
    race = torch.softmax(rows.double() / temperature, dim=-1) / noise
    return race.argmax(dim=-1).reshape(shape)
