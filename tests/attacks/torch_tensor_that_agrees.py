# expect: status=failed score=0
"""A real tensor of the right shape, of a subclass that takes over PyTorch's functions and answers all of them with True."""

import torch


class Yes(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in ("allclose", "equal", "eq"):
            return True
        return super().__torch_function__(function, types, args, kwargs or {})


def gated(x):
    return torch.zeros(*x.shape[:-1], x.shape[-1] // 2).as_subclass(Yes)


def descend(model, x, target, rate):
    return torch.zeros(()).as_subclass(Yes)
