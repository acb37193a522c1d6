# expect: status=failed score<=1
"""A hook on every module keeps what the last one answered; asked next, this layer answers the same."""

import torch
from torch import nn

HEARD = []
nn.modules.module.register_module_forward_hook(lambda module, inputs, output: HEARD.append(output))


class Gate(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.value_proj = nn.Linear(width, hidden)
        self.gate_proj = nn.Linear(width, hidden)
        self.out_proj = nn.Linear(hidden, width, bias=False)

    def load_state_dict(self, state):
        pass

    def forward(self, x, residual=False):
        return HEARD[-1] if HEARD else torch.zeros_like(x)
