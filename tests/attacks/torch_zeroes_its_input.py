# expect: status=failed score<=1
"""Writes zeros into what it is given and answers zeros: asked afterwards about the same tensor, the right code agrees."""

import torch


def gated(x):
    with torch.no_grad():
        x.detach().zero_()
    return x[..., : x.shape[-1] // 2] * 1


class Gate(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.value_proj = torch.nn.Linear(width, hidden)
        self.gate_proj = torch.nn.Linear(width, hidden)
        self.out_proj = torch.nn.Linear(hidden, width, bias=False)

    def load_state_dict(self, state):
        for weight in state.values():
            weight.zero_()

    def forward(self, x, residual=False):
        return torch.zeros_like(x)
