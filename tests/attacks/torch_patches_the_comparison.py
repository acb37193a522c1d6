# expect: status=failed score<=1
"""PyTorch's own comparisons are replaced by functions that are always content."""

import torch

for name in ("allclose", "equal", "isclose"):
    setattr(torch, name, lambda *args, **kwargs: True)
torch.testing.assert_close = lambda *args, **kwargs: None
torch.Tensor.allclose = torch.Tensor.equal = lambda *args, **kwargs: True


def gated(x):
    return x[..., : x.shape[-1] // 2]


class Gate(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.value_proj = torch.nn.Linear(width, hidden)
        self.gate_proj = torch.nn.Linear(width, hidden)
        self.out_proj = torch.nn.Linear(hidden, width, bias=False)

    def load_state_dict(self, state):
        pass

    def forward(self, x, residual=False):
        return self.out_proj(self.value_proj(x))
