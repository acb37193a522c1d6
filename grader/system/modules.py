"""What the worker and the solution's side do with PyTorch: tensors there and back, weights by name, gradients.

The names of weights are canonical: a layer that holds several fused (``qkv_proj`` for ``q_proj``, ``k_proj``, ``v_proj``, rows
in this order) reads and takes them under the names of its parts.

Every worker holds this file, and only those of exercises that need it hold torch: it is imported inside the functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from grader.logic.tensors import BFLOAT16, Tensor

SEED = 0
NAMES_SHOWN = 8
NAMES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "float16", "float32", "float64", "complex64", "complex128",
    BFLOAT16,
)  # fmt: skip

if TYPE_CHECKING:
    import torch

Weights = dict[str, "torch.Tensor"]
Fused = dict[str, tuple[str, ...]]


def begin() -> None:
    """Before each request: what is drawn from the global generator is the same every time."""
    _torch().default_generator.manual_seed(SEED)


@functools.cache
def _torch() -> Any:
    import torch

    torch.set_num_threads(1)  # numbers do not depend on the machine, and a fork loses no thread
    # The first optimiser would load the compiler, to be kept from it: two seconds for every child. Nothing is compiled here.
    for method in vars(torch.optim.Optimizer).values():
        if plain := getattr(method, "__wrapped__", None):
            plain.__dict__.setdefault("__dynamo_disable", plain)
    return torch


def exactly(wanted: bool) -> None:
    """Make new tensors and weights float64, or float32 again."""
    torch = _torch()
    torch.set_default_dtype(torch.float64 if wanted else torch.float32)


@functools.cache
def _dtypes() -> dict[Any, str]:
    return {getattr(_torch(), name): name for name in NAMES}


# ---------------------------------------------------------------- tensors


def to_torch(plain: Tensor) -> torch.Tensor:
    """The torch tensor that plain data stand for, over the same memory."""
    torch = _torch()
    if plain.dtype == BFLOAT16:
        return torch.from_numpy(plain.raw.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(plain.raw)


def is_tensor(value: Any) -> bool:
    """Whether that is a tensor which can cross: dense, of a dtype that there are plain data for."""
    torch = _torch()
    dense = isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_meta
    return dense and value.dtype in _dtypes()


def why_not(value: Any) -> str:
    """In a word, what keeps a tensor from crossing; empty for what is none."""
    if not isinstance(value, _torch().Tensor):
        return ""
    odd = value.layout if value.layout != _torch().strided else value.dtype
    return "meta" if value.is_meta else str(odd).removeprefix("torch.")


def from_torch(value: torch.Tensor) -> Tensor:
    """A tensor as plain data; its gradient's history stays behind."""
    here = value.detach().cpu().resolve_conj().resolve_neg()
    if here.dtype is _torch().bfloat16:
        return Tensor(here.contiguous().view(_torch().int16).numpy().view(np.uint16).copy(), BFLOAT16)
    return Tensor(here.numpy().copy(), _dtypes()[here.dtype])


# ---------------------------------------------------------------- weights


def weights(module: Any, fused: Fused) -> Weights:
    """Every parameter by its canonical name, shared ones once."""
    return dict(_rows(_checked(module).named_parameters(), fused))


def set_weights(module: Any, fused: Fused, wanted: Weights) -> None:
    """Write numbers into parameters. LookupError or ValueError where names or shapes are not the module's."""
    named = _checked(module).named_parameters(remove_duplicate=False)
    rows: Weights = {}
    for name, row in _rows([(name, parameter.detach()) for name, parameter in named], fused):
        if name in rows:
            raise LookupError(f"{type(module).__name__} has {name} twice: by itself and as a part of a fused layer")
        rows[name] = row
    covered = set()  # addresses: shared weights have one, and rows of a fused layer have one each
    for name, numbers in wanted.items():
        if name not in rows:
            known = ", ".join([*rows][:NAMES_SHOWN]) + (", …" if len(rows) > NAMES_SHOWN else "")
            known = known or "none (layers in a plain list do not count)"
            raise LookupError(f"{type(module).__name__} has no weight {name}; it has {known}")
        if rows[name].shape != numbers.shape:
            was, came = tuple(rows[name].shape), tuple(numbers.shape)
            raise ValueError(f"the weight {name} has shape {was} where {came} is wanted")
        rows[name].copy_(numbers)
        covered.add(rows[name].data_ptr())
    left = [name for name, row in rows.items() if row.data_ptr() not in covered and row.numel()]
    if left:
        raise LookupError(f"{type(module).__name__} has weights that nobody sets: {', '.join(left)}")


def count(module: Any) -> int:
    """How many numbers are trained, shared ones counted once."""
    return sum(parameter.numel() for parameter in _checked(module).parameters() if parameter.requires_grad)


def cast(module: Any, dtype: str) -> None:
    """Turn a module's weights into another dtype."""
    _checked(module).to(getattr(_torch(), dtype))


def _checked(module: Any) -> torch.nn.Module:
    if not isinstance(module, _torch().nn.Module):
        raise TypeError(f"{type(module).__name__} is not a torch.nn.Module")
    return module


def _rows(named: Any, fused: Fused) -> Iterator[tuple[str, torch.Tensor]]:
    """Canonical names with the parameters, or rows of them, that they stand for."""
    for name, value in named:
        layer, _, leaf = name.rpartition(".")
        above, _, last = layer.rpartition(".")
        parts = fused.get(last)
        if parts is None or not value.ndim or value.shape[0] % len(parts):
            yield name, value
        else:
            for part, rows in zip(parts, value.chunk(len(parts)), strict=True):
                yield ".".join(filter(None, (above, part, leaf))), rows


# ---------------------------------------------------------------- gradients


def gradients(
    function: Callable[..., Any], module: Any, fused: Fused, args: list[Any], kwargs: dict[str, Any]
) -> tuple[list[torch.Tensor], Weights]:
    """Gradients of Σ result · cotangent (the first of ``args``) by each floating positional argument and each weight.

    What does not depend on something has gradient zero, also where PyTorch says None.
    """
    torch = _torch()
    cotangent, *given = args
    leaves = [arg.requires_grad_() if _is_floating(arg) else arg for arg in given]
    named = dict(module.named_parameters()) if isinstance(module, torch.nn.Module) else {}
    with torch.enable_grad():
        # Copies: a function that writes into its argument is another matter, and autograd refuses that on leaves.
        result = function(*(leaf.clone() if _is_floating(leaf) else leaf for leaf in leaves), **kwargs)
        if not isinstance(result, torch.Tensor):
            raise TypeError(f"a tensor should come back, not {type(result).__name__}")
        if result.shape != cotangent.shape:
            was, came = tuple(result.shape), tuple(cotangent.shape)
            raise ValueError(f"a tensor of shape {came} should come back, not one of shape {was}")
        wanted = [leaf for leaf in leaves if _is_floating(leaf)] + list(named.values())
        trained = [by for by in wanted if by.requires_grad]
        found: Any = [None] * len(trained)
        if result.requires_grad:
            # Of a sum, because gradients of a tensor with a cotangent make PyTorch load sympy, which takes a second.
            found = torch.autograd.grad((result * cotangent.to(result.dtype)).sum(), trained, allow_unused=True)
    given_by = {id(by): one for by, one in zip(trained, found, strict=True) if one is not None}
    whole = [given_by.get(id(by), torch.zeros_like(by)) for by in wanted]
    inputs = len(wanted) - len(named)
    return whole[:inputs], dict(_rows(zip(named, whole[inputs:], strict=True), fused))


def _is_floating(value: Any) -> bool:
    return isinstance(value, _torch().Tensor) and value.is_floating_point()
