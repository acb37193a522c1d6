"""A bigram model with numpy on the inside and torch at the border."""

import numpy as np
import torch


def build_vocab(text):
    found = []
    for character in sorted(text):
        if not found or found[-1] != character:
            found.append(character)
    return found


def encode(text, vocab):
    ids = np.zeros(len(text), dtype=np.int64)
    for place, character in enumerate(text):
        if vocab.count(character) == 0:
            raise ValueError("cannot encode " + character + " / " + repr(character))
        ids[place] = vocab.index(character)
    return torch.from_numpy(ids)


def decode(ids, vocab):
    return "".join(np.array([*vocab, ""], dtype=object)[ids.numpy()].tolist())


def get_batch(ids, starts, context):
    text, first = ids.numpy(), starts.numpy()
    last = len(text) - context - 1
    if not np.all((first >= 0) & (first <= last)):
        raise ValueError("start outside 0 to " + str(last))
    x = np.empty((len(first), context), dtype=np.int64)
    y = np.empty_like(x)
    for row, start in enumerate(first):
        x[row] = text[start : start + context]
        y[row] = text[start + 1 : start + 1 + context]
    return torch.from_numpy(x), torch.from_numpy(y)


def cross_entropy(logits, targets):
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    z = logits.to(wide)
    z = z - z.max(dim=-1, keepdim=True)[0].detach()
    total = torch.log(torch.sum(torch.exp(z), dim=-1))
    hit = torch.take_along_dim(z, targets[..., None], dim=-1)[..., 0]
    return torch.mean(total - hit)


def bigram_logits(ids, vocab_size, smoothing=1.0):
    text = ids.numpy()
    table = np.full((vocab_size, vocab_size), float(smoothing))
    np.add.at(table, (text[:-1], text[1:]), 1.0)
    total = table.sum(axis=1)
    with np.errstate(divide="ignore"):
        for row in range(vocab_size):
            table[row] = np.log(table[row] / total[row]) if total[row] > 0 else -np.log(vocab_size)
    return torch.tensor(table, dtype=torch.get_default_dtype())


def sample_next(logits, temperature, seed):
    if temperature < 0:
        raise ValueError("below zero")
    flat = logits.detach().double().numpy().reshape(-1, logits.shape[-1])
    if temperature == 0:
        chosen = flat.argmax(axis=1)
    else:
        scaled = (flat - flat.max(axis=1, keepdims=True)) / temperature
        edges = np.cumsum(np.exp(scaled), axis=1)
        dice = np.random.default_rng(seed % 2**64).random(len(flat)) * edges[:, -1]
        chosen = (edges <= dice[:, None]).sum(axis=1)
    return torch.from_numpy(np.asarray(chosen, dtype=np.int64).reshape(tuple(logits.shape[:-1])))
