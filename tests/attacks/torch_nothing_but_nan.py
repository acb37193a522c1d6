# expect: status=failed score<=1
"""NaN is neither near nor far, in gradients too: whoever asks whether the largest error is too large hears no."""

import torch


def gated(x):
    return x[..., : x.shape[-1] // 2] * torch.nan


class Gate(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.value_proj = torch.nn.Linear(width, hidden)
        self.gate_proj = torch.nn.Linear(width, hidden)
        self.out_proj = torch.nn.Linear(hidden, width, bias=False)

    def load_state_dict(self, state):
        pass

    def forward(self, x, residual=False):
        return x * torch.nan


def descend(model, x, target, rate):
    return torch.tensor(torch.nan)
