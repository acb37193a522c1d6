# expect: status=failed score<=1
"""A layer without weights that lists some, as many as are wanted: how many it has is its own word, what it computes is not."""

import torch


class Gate(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.listed = {
            "value_proj.weight": torch.zeros(hidden, width, requires_grad=True),
            "value_proj.bias": torch.zeros(hidden, requires_grad=True),
            "gate_proj.weight": torch.zeros(hidden, width, requires_grad=True),
            "gate_proj.bias": torch.zeros(hidden, requires_grad=True),
            "out_proj.weight": torch.zeros(width, hidden, requires_grad=True),
        }

    def named_parameters(self, *args, **kwargs):
        return self.listed.items()

    def parameters(self, *args, **kwargs):
        return self.listed.values()

    def load_state_dict(self, state):
        pass

    def forward(self, x, residual=False):
        return x

    def hidden(self, x):
        return x
