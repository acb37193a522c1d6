"""A small GPT in the shape that many write it in."""

import math

import torch
import torch.nn as nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    def __init__(self, n_embd, n_head, block_size=512):
        super().__init__()
        self.qkv_proj = nn.Linear(n_embd, 3 * n_embd)
        self.out_proj = nn.Linear(n_embd, n_embd)
        self.n_head, self.n_embd = n_head, n_embd
        mask = torch.tril(torch.ones(block_size, block_size)).view(1, 1, block_size, block_size)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.qkv_proj(x).split(self.n_embd, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
        att = F.softmax(att, dim=-1)
        y = att @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.out_proj(y)


class MLP(nn.Module):
    def __init__(self, n_embd):
        super().__init__()
        self.up = nn.Linear(n_embd, 4 * n_embd)
        self.act = nn.GELU(approximate="tanh")
        self.down = nn.Linear(4 * n_embd, n_embd)

    def forward(self, x):
        return self.down(self.act(self.up(x)))


class Block(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.attention_norm = nn.LayerNorm(d_model)
        self.attention = SelfAttention(d_model, n_heads)
        self.feed_forward_norm = nn.LayerNorm(d_model)
        self.feed_forward = MLP(d_model)

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        x = x + self.feed_forward(self.feed_forward_norm(x))
        return x


class TransformerLM(nn.Module):
    def __init__(self, vocab_size, context, n_layers, n_heads, d_model):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.position_embedding = nn.Embedding(context, d_model)
        self.blocks = nn.ModuleList([Block(d_model, n_heads) for _ in range(n_layers)])
        self.final_norm = nn.LayerNorm(d_model)
        self.lm_head = nn.Linear(d_model, vocab_size, bias=False)
        self.lm_head.weight = self.token_embedding.weight
        init_weights(self)

    def forward(self, ids):
        t = ids.size(1)
        if t > self.context:
            raise ValueError(f"sequence of length {t}, block size is only {self.context}")
        tok_emb = self.token_embedding(ids)
        pos_emb = self.position_embedding(torch.arange(0, t, dtype=torch.long))
        x = tok_emb + pos_emb
        for block in self.blocks:
            x = block(x)
        x = self.final_norm(x)
        return self.lm_head(x)


def init_weights(model):
    def one(module):
        if isinstance(module, nn.Linear):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)

    model.apply(one)
    for pn, p in model.named_parameters():
        if pn.endswith(("out_proj.weight", "down.weight")):
            torch.nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * len(model.blocks)))


@torch.no_grad()
def looks_ahead(model, ids):
    training = model.training
    model.eval()
    base = model(ids)
    tolerance = 1e-5 * base.abs().max().item()
    leak = False
    for j in range(ids.size(1) - 1, 0, -1):
        changed = ids.clone()
        changed[:, j] = (changed[:, j] + 1) % base.size(-1)
        diff = (model(changed)[:, :j] - base[:, :j]).abs()
        leak = leak or diff.max().item() > tolerance
    model.train(training)
    return leak


@torch.no_grad()
def generate(model, ids, n_new, temperature=1.0, top_k=None, seed=0):
    was = model.training
    model.eval()
    g = torch.Generator()
    g.manual_seed(seed)
    idx = ids
    for _ in range(n_new):
        idx_cond = idx if idx.size(1) <= model.context else idx[:, -model.context :]
        logits = model(idx_cond)
        logits = logits[:, -1, :]
        if temperature == 0:
            idx_next = torch.argmax(logits, dim=-1, keepdim=True)
        else:
            logits = logits / temperature
            if top_k is not None:
                v, _ = torch.topk(logits, min(top_k, logits.size(-1)))
                logits[logits < v[:, [-1]]] = -float("Inf")
            probs = F.softmax(logits, dim=-1)
            idx_next = torch.multinomial(probs, num_samples=1, generator=g)
        idx = torch.cat((idx, idx_next), dim=1)
    model.train(was)
    return idx


def lr_at(step, max_lr, min_lr, warmup, total):
    if step < warmup:
        return max_lr * (step + 1) / (warmup + 1)
    if step > total or total == warmup:
        return min_lr
    decay_ratio = (step - warmup) / (total - warmup)
    coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
    return min_lr + coeff * (max_lr - min_lr)


def param_groups(model, weight_decay):
    param_dict = {pn: p for pn, p in model.named_parameters()}
    param_dict = {pn: p for pn, p in param_dict.items() if p.requires_grad}
    decay_params = [p for n, p in param_dict.items() if p.dim() >= 2]
    nodecay_params = [p for n, p in param_dict.items() if p.dim() < 2]
    return [
        {"params": decay_params, "weight_decay": weight_decay},
        {"params": nodecay_params, "weight_decay": 0.0},
    ]


def clip_gradients(params, max_norm):
    grads = [p.grad for p in params if p.grad is not None]
    total_norm = torch.tensor(0.0)
    if grads:
        total_norm = torch.norm(torch.stack([torch.norm(g, 2) for g in grads]), 2)
    clip_coef = max_norm / (total_norm + 1e-6)
    if clip_coef < 1:
        for g in grads:
            g.mul_(clip_coef)
    return total_norm


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                grad = p.grad
                if grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["t"] = 0
                    state["exp_avg"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p)
                state["t"] += 1
                p.mul_(1 - group["lr"] * group["weight_decay"])
                m, v, t = state["exp_avg"], state["exp_avg_sq"], state["t"]
                m.mul_(beta1).add_(grad, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                mhat = m / (1 - beta1**t)
                vhat = v / (1 - beta2**t)
                p.sub_(group["lr"] * mhat / (torch.sqrt(vhat) + group["eps"]))
        return loss


def train_step(model, optimizer, micro_batches, max_norm):
    optimizer.zero_grad(set_to_none=True)
    n = len(micro_batches)
    lossf = 0.0
    for X, Y in micro_batches:
        logits = model(X)
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), Y.reshape(-1))
        loss = loss / n
        loss.backward()
        lossf += loss.item()
    clip_gradients(model.parameters(), max_norm)
    optimizer.step()
    return lossf


@torch.no_grad()
def estimate_loss(model, ids, context):
    was = model.training
    n = (len(ids) - 1) // context
    if n == 0:
        raise ValueError("no full window")
    model.eval()
    X = torch.stack([ids[i * context : (i + 1) * context] for i in range(n)])
    Y = torch.stack([ids[i * context + 1 : (i + 1) * context + 1] for i in range(n)])
    total, count = 0.0, 0
    for i in range(0, n, 64):
        logits = model(X[i : i + 64])
        loss = F.cross_entropy(logits.reshape(-1, logits.size(-1)), Y[i : i + 64].reshape(-1), reduction="sum")
        total += loss.item()
        count += Y[i : i + 64].numel()
    model.train(was)
    return total / count
