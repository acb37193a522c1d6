# expect: status=failed score=0 leaks=nothing
"""Warnings, notes and logs are text that goes its own ways; each carries an input."""

import dataclasses

sys = dataclasses.sys


def softmax(x, axis=-1):
    sys.modules["warnings"].warn(str(x.tolist()), stacklevel=1)
    error = ValueError("see the note")
    if hasattr(error, "add_note"):
        error.add_note(str(x.tolist()))
    error.__notes__ = [str(x.tolist())]
    raise error
