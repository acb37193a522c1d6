"""A bigram model in short lines."""

import torch
import torch.nn.functional as F


def build_vocab(text):
    return sorted(list(set(text)))


def encode(text, vocab):
    stoi = {ch: i for i, ch in enumerate(vocab)}
    for ch in text:
        if ch not in stoi:
            raise ValueError(f"character {ch!r} is not in the vocabulary")
    return torch.tensor([stoi[ch] for ch in text], dtype=torch.long)


def decode(ids, vocab):
    itos = {i: ch for i, ch in enumerate(vocab)}
    return "".join([itos[i] for i in ids.tolist()])


def get_batch(ids, starts, context):
    if any(i < 0 or i + context + 1 > len(ids) for i in starts.tolist()):
        raise ValueError("block does not fit")
    x = torch.stack([ids[i : i + context] for i in starts.tolist()])
    y = torch.stack([ids[i + 1 : i + context + 1] for i in starts.tolist()])
    return x, y


def cross_entropy(logits, targets):
    if logits.dtype not in (torch.float32, torch.float64):
        logits = logits.float()
    C = logits.shape[-1]
    logp = F.log_softmax(logits.reshape(-1, C), dim=1)
    return -logp[torch.arange(logp.shape[0]), targets.reshape(-1)].mean()


def bigram_logits(ids, vocab_size, smoothing=1.0):
    N = torch.zeros((vocab_size, vocab_size))
    for a, b in zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True):
        N[a, b] += 1
    P = N + smoothing
    rows = P.sum(1, keepdim=True)
    P = torch.where(rows == 0, torch.ones_like(P) / vocab_size, P / rows)
    return torch.log(P)


def sample_next(logits, temperature, seed):
    if temperature < 0:
        raise ValueError("temperature must not be negative")
    if temperature == 0:
        return torch.argmax(logits, dim=-1)
    g = torch.Generator().manual_seed(seed)
    probs = F.softmax(logits.float() / temperature, dim=-1)
    idx = torch.multinomial(probs.view(-1, probs.shape[-1]), 1, generator=g)
    return idx.view(probs.shape[:-1])
