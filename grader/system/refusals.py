"""What a submission may not call: refused at the moment of the call, under whatever name, and only then.

An entry is the dotted name of a Python function of the framework, or ``aten::`` and a pattern for the names of PyTorch's
kernels. Kernels are refused at the dispatcher, so it does not matter which of the many functions that lead there was called.
This holds against mistakes and shortcuts, not against malice: it stands in the submission's own process.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import re
import sys
import warnings
from typing import Any, NoReturn

KERNEL = "aten::"
# vmap and nested tensors have ways of their own to what is made of other kernels.
KEYS = ("CPU", "AutogradCPU", "FuncTorchVmapMode", "NestedTensorCPU", "AutogradNestedTensor", "MkldnnCPU")
_kept: list[Any] = []  # a library's kernels are taken out again when it is forgotten


class Refused(RuntimeError):
    """The submission called what its exercise is about; ``entry`` is the refusal that it met."""

    def __init__(self, entry: str) -> None:
        super().__init__(f"{entry} may not be called in this exercise")
        self.entry = entry


def install(entries: tuple[str, ...] | list[str]) -> None:
    """From now on, calling one of these raises `Refused` in this process."""
    kernels = [entry for entry in entries if entry.startswith(KERNEL)]
    if kernels and "torch" in sys.modules:
        _refuse_kernels(kernels)
    for entry in entries:
        if entry not in kernels:
            _refuse_function(entry)


def _refuse_function(entry: str) -> None:
    path, _, name = entry.rpartition(".")
    holder = _resolved(path)
    original = getattr(holder, name, None)
    if original is not None:
        refusing = functools.wraps(original)(lambda *args, **kwargs: _refuse(entry))
        del refusing.__wrapped__  # that would be the way in
        setattr(holder, name, refusing)


def _resolved(path: str) -> Any:
    """A module, or a class in one; None where there is none, as of a package that is not installed."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        above, _, name = path.rpartition(".")
        return getattr(_resolved(above), name, None) if above else None


def _refuse_kernels(entries: list[str]) -> None:
    import torch

    libraries = [torch.library.Library("aten", "IMPL", key) for key in KEYS]
    _kept.extend(libraries)
    for entry in entries:
        pattern = re.compile(fnmatch.translate(entry.removeprefix(KERNEL)))
        names = [name for name in kernel_names() if pattern.match(name.partition(".")[0])]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that another kernel is put in its place is what is meant
            for name in names:
                for library in libraries:
                    library.impl(name, functools.partial(_refuse, entry))


@functools.cache
def kernel_names() -> tuple[str, ...]:
    """The names of all of PyTorch's kernels, overloads included. Asked once in a server, before the fork."""
    import torch

    names = torch._C._dispatch_get_all_op_names()
    return tuple(name.removeprefix(KERNEL) for name in names if name.startswith(KERNEL))


def _refuse(entry: str, *args: Any, **kwargs: Any) -> NoReturn:
    raise Refused(entry)
