"""A small GPT with little taken from PyTorch."""

import math
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim import Optimizer


@contextmanager
def quiet(net):
    mode = net.training
    net.train(False)
    try:
        with torch.inference_mode():
            yield net
    finally:
        net.train(mode)


class Heads(nn.Module):
    def __init__(self, width, count):
        super().__init__()
        self.count = count
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(width, width))

    def forward(self, x):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        size = x.shape[-1] // self.count
        outputs = []
        for h in range(self.count):
            columns = slice(h * size, (h + 1) * size)
            scores = torch.einsum("bqd,bkd->bqk", q[..., columns], k[..., columns]) / size**0.5
            n = scores.shape[-1]
            future = torch.arange(n)[None, :] > torch.arange(n)[:, None]
            scores = scores.masked_fill(future, -torch.inf)
            outputs.append(torch.einsum("bqk,bkd->bqd", scores.softmax(-1), v[..., columns]))
        return self.out_proj(torch.cat(outputs, -1))


class Wide(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(width, width * 4), nn.Linear(width * 4, width)

    def forward(self, x):
        x = self.up(x)
        return self.down(x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


class Block(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.attention, self.feed_forward = Heads(d_model, n_heads), Wide(d_model)

    def forward(self, x):
        after = x + self.attention(self.attention_norm(x))
        return after + self.feed_forward(self.feed_forward_norm(after))


class TransformerLM(nn.Module):
    def __init__(self, vocab_size, context, n_layers, n_heads, d_model):
        super().__init__()
        self.context, self.depth = context, n_layers
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.position_embedding = nn.Embedding(context, d_model)
        self.blocks = nn.Sequential(*(Block(d_model, n_heads) for _ in range(n_layers)))
        self.final_norm = nn.LayerNorm(d_model)
        init_weights(self)

    def forward(self, ids):
        if ids.shape[-1] > self.context:
            raise ValueError("does not fit into the context")
        places = self.position_embedding.weight[: ids.shape[-1]]
        stream = self.blocks(self.token_embedding.weight[ids] + places)
        return self.final_norm(stream) @ self.token_embedding.weight.T


@torch.no_grad()
def init_weights(model):
    small = (2 * len(model.blocks)) ** -0.5
    for name, p in model.named_parameters():
        if "norm" in name:
            continue
        if name.endswith("bias"):
            p.zero_()
        else:
            p.normal_(0, 0.02)
            if "out_proj" in name or "down" in name:
                p.mul_(small)


def looks_ahead(model, ids):
    with quiet(model):
        full = model(ids)
        limit = full.abs().max() * 1e-5
        for n in range(1, ids.shape[1]):
            if ((model(ids[:, :n]) - full[:, :n]).abs() > limit).any():
                return True
    return False


def pick(row, temperature, top_k, luck):
    if temperature == 0:
        return int(row.argmax())
    if top_k is not None and top_k < len(row):
        edge = sorted(row.tolist(), reverse=True)[top_k - 1]
        row = torch.where(row >= edge, row, -math.inf)
    sums = (row / temperature).softmax(0).cumsum(0)
    return min(int((sums <= luck * sums[-1]).sum()), len(row) - 1)


def generate(model, ids, n_new, temperature=1.0, top_k=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with quiet(model):
        for _ in range(n_new):
            last = model(ids[:, -model.context :])[:, -1]
            luck = torch.rand(len(ids), generator=generator, dtype=torch.float64).tolist()
            chosen = [pick(row, temperature, top_k, luck[i]) for i, row in enumerate(last)]
            ids = torch.cat([ids, torch.tensor(chosen)[:, None]], dim=1)
    return ids.clone()


def lr_at(step, max_lr, min_lr, warmup, total):
    if step < warmup:
        return (step + 1) / (warmup + 1) * max_lr
    if step >= total:
        return min_lr
    angle = math.pi * (step - warmup) / (total - warmup)
    return (max_lr + min_lr) / 2 + (max_lr - min_lr) / 2 * math.cos(angle)


def param_groups(model, weight_decay):
    decayed, spared = [], []
    for p in model.parameters():
        if p.requires_grad:
            (decayed if len(p.shape) > 1 else spared).append(p)
    return [dict(params=decayed, weight_decay=weight_decay), dict(params=spared, weight_decay=0.0)]


def clip_gradients(params, max_norm):
    squares, found = 0.0, []
    for p in params:
        if p.grad is not None:
            found.append(p.grad)
            squares = squares + (p.grad * p.grad).sum()
    length = float(squares) ** 0.5
    if length > max_norm:
        for g in found:
            g.mul_(max_norm / length)
    return length


class AdamW(Optimizer):
    def __init__(self, params, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        Optimizer.__init__(self, params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def step(self, closure=None):
        answer = None
        if closure:
            with torch.enable_grad():
                answer = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    with torch.no_grad():
                        self.move(p, p.grad, self.state[p], group)
        return answer

    def move(self, p, g, s, settings):
        (a, b), lr = settings["betas"], settings["lr"]
        eps, weight_decay = settings["eps"], settings["weight_decay"]
        t = s["t"] = s.get("t", 0) + 1
        s["m"] = a * s.get("m", 0.0) + (1 - a) * g
        s["v"] = b * s.get("v", 0.0) + (1 - b) * g**2
        direction = s["m"] / (1 - a**t) / ((s["v"] / (1 - b**t)) ** 0.5 + eps)
        p -= lr * (direction + weight_decay * p)


def surprise(logits, targets):
    logs = logits - logits.logsumexp(-1, keepdim=True)
    return -logs.gather(-1, targets[..., None]).squeeze(-1)


def train_step(model, optimizer, micro_batches, max_norm):
    for p in model.parameters():
        p.grad = None
    total = 0.0
    for x, y in micro_batches:
        loss = surprise(model(x), y).mean() / len(micro_batches)
        loss.backward()
        total += float(loss)
    clip_gradients(list(model.parameters()), max_norm)
    optimizer.step()
    return total


def estimate_loss(model, ids, context):
    count = (len(ids) - 1) // context
    if count < 1:
        raise ValueError("too few ids")
    x, y = ids[: count * context].view(count, context), ids[1 : count * context + 1].view(count, context)
    with quiet(model):
        return float(surprise(model(x), y).double().mean())
