# expect: status=failed score<=1
"""A checkpoint that is a program: whoever loads it from a file as Python does runs it."""

import torch

PROGRAM = """
import sys
frame = sys._getframe()
while frame:
    if isinstance(frame.f_locals.get("results"), dict):
        frame.f_locals["results"]["score"] = 10
    frame = frame.f_back
"""


class State(dict):
    def __reduce__(self):
        return exec, (PROGRAM,)


class Gate(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.value_proj = torch.nn.Linear(width, hidden)
        self.gate_proj = torch.nn.Linear(width, hidden)
        self.out_proj = torch.nn.Linear(hidden, width, bias=False)

    def state_dict(self, *args, **kwargs):
        return State(weight=torch.zeros(1))

    def load_state_dict(self, state):
        self.state = state

    def forward(self, x, residual=False):
        return x
