# expect: status=failed score<=1
"""Whoever asks PyTorch for a gradient gets zeros, for this file's functions and for the right ones alike."""

import torch


def zeros(outputs, inputs, *args, **kwargs):
    inputs = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs)
    return tuple(torch.zeros_like(one) for one in inputs)


torch.autograd.grad = torch.autograd.backward = zeros
torch.Tensor.backward = lambda self, *args, **kwargs: None


def gated(x):
    return x[..., : x.shape[-1] // 2] * 1


class Gate(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.value_proj = torch.nn.Linear(width, hidden)
        self.gate_proj = torch.nn.Linear(width, hidden)
        self.out_proj = torch.nn.Linear(hidden, width, bias=False)

    def forward(self, x, residual=False):
        return x
