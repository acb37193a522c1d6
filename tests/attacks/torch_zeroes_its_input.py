# expect: status=failed score=0
"""Writes zeros into what it is given and answers zeros: asked afterwards about the same tensor, the right code agrees."""

import torch


def gated(x):
    with torch.no_grad():
        x.detach().zero_()
    return x[..., : x.shape[-1] // 2] * 1


class Gate(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()

    def load_state_dict(self, state):
        for weight in state.values():
            weight.zero_()

    def forward(self, x, residual=False):
        return torch.zeros_like(x)
