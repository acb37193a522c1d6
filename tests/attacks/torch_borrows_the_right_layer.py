# expect: status=failed score<=1
"""Looks among all objects for another layer of that name, which must be the right one, and lets it answer."""

import torch

gc = torch.sys.modules["builtins"].__import__("gc")


def others():
    found = []
    for thing in gc.get_objects():
        if type(thing).__name__ == "Gate" and type(thing).__module__ != __name__ and isinstance(thing, torch.nn.Module):
            found.append(thing)
    return found


class Gate(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.value_proj = torch.nn.Linear(width, hidden)
        self.gate_proj = torch.nn.Linear(width, hidden)
        self.out_proj = torch.nn.Linear(hidden, width, bias=False)

    def load_state_dict(self, state):
        pass

    def forward(self, x, residual=False):
        return others()[-1](x, residual=residual)

    def hidden(self, x):
        return others()[-1].hidden(x)


def gated(x):
    for thing in gc.get_objects():
        if getattr(thing, "__name__", "") == "gated" and thing is not gated and callable(thing):
            return thing(x)
    return x
