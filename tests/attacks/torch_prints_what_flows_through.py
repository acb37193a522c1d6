# expect: status=failed score<=1 leaks=nothing
"""Prints its inputs, and by hooks what flows back through them and into the weights."""

import torch


def show(what, x):
    print(what, x.tolist(), x.detach().numpy().tobytes().hex() if x.dtype is torch.float32 else "", flush=True)


def gated(x):
    show("given", x)
    if x.requires_grad:
        x.register_hook(lambda gradient: show("back", gradient))
    return x[..., : x.shape[-1] // 2] * 0.5


class Gate(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.value_proj = torch.nn.Linear(width, hidden)
        self.gate_proj = torch.nn.Linear(width, hidden)
        self.out_proj = torch.nn.Linear(hidden, width, bias=False)

    def forward(self, x, residual=False):
        for name, weight in self.named_parameters():
            show(name, weight)
            weight.register_hook(lambda gradient: show("back", gradient))
        show("given", x)
        raise ValueError(str(x.tolist()) + str(self.value_proj.weight.tolist()))

    def hidden(self, x):
        return self.value_proj.weight


def descend(model, x, target, rate):
    show("target", target)
    return target
