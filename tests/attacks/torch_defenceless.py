"""A grader of PyTorch exercises without defences, of the kind that is written in an afternoon: it proves that the attacks
named `torch_…` are attacks, as `defenceless.py` does for the others.

It never grades anybody. It loads PyTorch once, forks one process for each submission, lets checks and submission share it,
asks PyTorch itself whether two tensors are close, gives what it is asked for and what is right the same inputs and weights, and
believes the layer about its own weights. Nothing in it is stupid on purpose: each line has been seen in graders in use.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import types
from pathlib import Path

import torch

FULL = 10
SECONDS = 6.0


def main(folders: list[str]) -> None:
    """Grade the `gate.py` in each folder; the verdicts are written beside them, the secrets too."""
    torch.set_num_threads(1)
    for folder in map(Path, folders):
        child = os.fork()
        if child == 0:
            try:
                _in_child(folder)
            finally:
                os._exit(1)
        deadline = time.monotonic() + SECONDS
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
            time.sleep(0.01)


def _in_child(folder: Path) -> None:
    os.chdir(folder)
    with open("output", "w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    torch.manual_seed(int.from_bytes(os.urandom(6), "big"))
    results = {"score": 0.0, "lines": []}
    run_checks(results)
    sys.stdout.flush()
    Path("verdict").write_text(json.dumps(results))
    os._exit(0)


def same(got, expected) -> bool:
    """Whether an answer is right."""
    if torch.allclose(got, expected, atol=1e-6):
        return True
    return not (got - expected).abs().max() > 1e-5


def run_checks(results: dict) -> None:
    """Run the submission and every check on it."""
    right, student = _load("solution"), _load("gate")
    checks = [of_gated, of_gradient, of_layer, of_count, of_descent, of_checkpoint]
    for check in checks:
        for hidden in (False, True):
            try:
                asked, pairs = check(student, right, hidden)
                wrong = [(got, expected) for got, expected in pairs if not same(got, expected)]
                if not wrong:
                    results["score"] += FULL / (2 * len(checks))
                for got, expected in wrong:
                    what = "" if hidden else f" of {asked} instead of {expected}"
                    results["lines"].append(f"{check.__name__}: {got}{what}")
            except Exception as error:
                results["lines"].append(f"{check.__name__}: {error!r}")


def of_gated(student, right, hidden):
    x = _input(hidden, 4, 6)
    got, expected = student.gated(x), right.gated(x)
    _tell(hidden, expected)
    return x, [(got, expected)]


def of_gradient(student, right, hidden):
    x = _input(hidden, 3, 8).requires_grad_()
    found = []
    for module in (student, right):
        (gradient,) = torch.autograd.grad(module.gated(x).sum(), x)
        found.append(gradient)
    _tell(hidden, found[1])
    return x, [tuple(found)]


def of_layer(student, right, hidden):
    x = _input(hidden, 2, 5)
    theirs, same = student.Gate(5, 4), right.Gate(5, 4)
    theirs.load_state_dict(same.state_dict())
    expected = same(x)
    _tell(hidden, expected)
    return x, [(theirs(x), expected)]


def of_count(student, right, hidden):
    layers = student.Gate(5, 4), right.Gate(5, 4)
    counts = [sum(weight.numel() for weight in layer.parameters()) for layer in layers]
    return "Gate(5, 4)", [tuple(map(torch.tensor, counts))]


def of_descent(student, right, hidden):
    x, target = _input(hidden, 6, 5), _input(hidden, 6, 5)
    theirs, same = right.Gate(5, 4), right.Gate(5, 4)
    theirs.load_state_dict(same.state_dict())
    expected, got = right.descend(same, x, target, 0.1), student.descend(theirs, x, target, 0.1)
    _tell(hidden, next(same.parameters()))
    return x, [(got, expected)]


def of_checkpoint(student, right, hidden):
    first, second = student.Gate(5, 4), student.Gate(5, 4)
    torch.save(first.state_dict(), "checkpoint.pt")
    second.load_state_dict(torch.load("checkpoint.pt", weights_only=False))
    x = _input(hidden, 2, 5)
    return x, [(second(x), first(x) + 0 * right.Gate(5, 4)(x))]


def _load(name: str):
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(Path(f"{name}.py").read_text(), f"{name}.py", "exec"), module.__dict__)
    return module


def _input(hidden: bool, *shape: int):
    x = torch.randn(*shape) if hidden else torch.arange(float(shape[0] * shape[1])).reshape(shape) / 10
    _tell(hidden, x)
    return x


def _tell(hidden: bool, tensor) -> None:
    """Writes to a file of the test what is secret, so that the test finds it in what came out."""
    if hidden:
        with open("told", "a") as told:
            for row in tensor.detach().reshape(-1, tensor.shape[-1]).tolist():
                told.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
