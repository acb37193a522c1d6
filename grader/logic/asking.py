"""What a check may ask of modules and functions beside calling them; the same words for ``student`` and ``reference``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What a helper returned, and what the kernel says that its process spent on it."""

    value: Any
    seconds: float
    peak_bytes: int


class NotMeasured(Exception):
    """A check asked for a cost where no system tells it; it ends as skipped."""


def set_weights(module: Any, weights: Mapping[str, Any]) -> None:
    """Write numbers into all weights of a module, by their canonical names (fused layers under those of their parts).

    The submission fails where a name or shape is not its own, or a weight of its own is left out.
    """
    module._request("set_weights", (dict(weights),), {})


def weights_of(module: Any) -> dict[str, Any]:
    """The weights of a module by their canonical names, shared ones once."""
    return module._request("weights", (), {})


def parameter_count(module: Any) -> int:
    """How many numbers a module trains, shared ones counted once."""
    return module._request("count", (), {})


def cast(module: Any, dtype: str) -> None:
    """Turn a module's weights into another dtype; the reference's numbers stay exact, only its dtypes follow."""
    module._request("cast", (dtype,), {})


def gradients_of(function: Any, cotangent: Any, *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """Gradients of the sum of result × cotangent: by each floating positional argument, and by each weight by name.

    ``function`` is a function (``student.attend``: no weights), a method, or a module. What is not depended on has zeros.
    """
    return function._request("gradients", (cotangent, *args), kwargs)


def through(face: Any, source: str, name: str, *args: Any, **kwargs: Any) -> Any:
    """Call a helper of the check's own beside the submission, which it knows as ``submission``.

    ``source`` runs in the submission's process, so no secret may be in it; ``name`` and its parameters appear in messages.
    """
    return face._call(name, args, kwargs, kind="through", source=source)


def cost_of(face: Any, source: str, name: str, *args: Any, **kwargs: Any) -> Cost:
    """Call a helper as `through` does, and say what that cost: its value, CPU seconds, and how far memory went up.

    Both are read from outside the process in which it runs: user and system time of all threads; the peak of its memory
    during the request over what it held before. A helper makes its own objects and returns plain data; what it leaves
    behind is not to be relied on. What it returns should depend on inputs that nobody can foresee, and has to be judged,
    too: what is worked out before the request costs nothing in it.

    The check has to be hidden and `untaped`, since no two costs are equal. Where nothing is measured it is skipped.
    """
    told = face._call(name, args, kwargs, kind="cost", source=source)
    if told["seconds"] is None:
        raise NotMeasured("Work is not measured on this system.")
    return Cost(told["value"], told["seconds"], told["peak_bytes"])
