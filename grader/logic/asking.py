"""What a check may ask of modules and functions beside calling them; the same words for ``student`` and ``reference``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
