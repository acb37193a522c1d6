# expect: status=failed score=0 leaks=nothing
"""The generator from which the questions are drawn is everybody's who shares the process: it foretells them."""

import torch


def foretell():
    state = torch.get_rng_state()
    print([torch.randn(4, 6).tolist() for _ in range(3)], state[:40].tolist(), torch.initial_seed())
    torch.set_rng_state(state)


foretell()


def gated(x):
    foretell()
    return torch.zeros(*x.shape[:-1], x.shape[-1] // 2)
