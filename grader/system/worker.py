"""Inside the worker: the server that forks one child per submission, and the child that runs the student's code.

This module and what it imports is all of the engine that a student's process ever holds. It knows no solution, check,
expected value or variant. What it reports is only as trustworthy as the student's code that shares its process.

The server is executed as ``python -I -S -c BOOTSTRAP CONFIG`` (see `host`), where CONFIG is a JSON object. It waits on
its control socket for jobs; a job is a datagram with the limits and one descriptor, the child's end of the data socket.
"""

from __future__ import annotations
import __future__ as future_statements

import builtins
import contextlib
import functools
import gc
import io
import json
import operator
import os
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from grader.logic import wire
from grader.logic.wire import NotPlain
from grader.system import modules, refusals, sandbox
from grader.system.objects import Objects
from grader.system.refusals import Refused

MESSAGE_LIMIT = 2000
FRAMES_LIMIT = 20
FILE_LIMIT = 1 << 18
FUTURE_FLAGS = functools.reduce(
    operator.or_, (getattr(future_statements, name).compiler_flag for name in future_statements.all_feature_names)
)
ENVIRONMENT = ("PATH", "LANG", "HOME", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class ForbiddenImport(ImportError):
    """The submission imported a package that its exercise does not allow."""


# ---------------------------------------------------------------- the server


def serve(config: dict[str, Any]) -> None:
    """Answer jobs on the control socket until it closes; never returns to the caller's stack in a child."""
    import socket

    control = socket.socket(fileno=config["control_fd"])
    without = frozenset(config["without"])
    layers = sandbox.enter_server(config["readable"], config["scratch"], without, _contents(config["copied"]))
    _preload(config["preload"])
    _warm_up()
    gc.enable()
    gc.collect()
    gc.freeze()
    control.send(b"R" + json.dumps(layers).encode())
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 65536, 1)
        if not message:
            os._exit(0)
        if message[:1] == b"J":
            _run_job(control, descriptors[0], json.loads(message[1:]), config, without)


def _contents(paths: list[str]) -> dict[str, bytes]:
    """What stands in small files, as far as they are there."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            found[path] = file.read(FILE_LIMIT)
    return found


def _preload(names: list[str]) -> None:
    for name in names:
        try:
            __import__(name)
        except ImportError:  # a package that this exercise would allow but that is not installed
            continue


def _warm_up() -> None:
    """Do once, before the fork, what is put off until it is first used: every child would pay for it again."""
    if "torch" in sys.modules:
        _warm_up_torch()
    rng = np.random.default_rng(0)
    square = rng.standard_normal((4, 4))
    np.linalg.norm(square @ square.T)
    np.einsum("ij,jk->ik", square, square)
    np.median(square)
    wire.decode(wire.encode({"warm": [square, 1.0, "up", (None, True)]}))


def _warm_up_torch() -> None:
    import torch

    layer = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.GELU(), torch.nn.LayerNorm(4))
    modules.begin()
    modules.gradients(layer, layer, {}, [torch.ones(2, 4), torch.ones(2, 4)], {})
    modules.from_torch(torch.ones(2, 4).bfloat16().softmax(-1))
    with contextlib.suppress(RuntimeError):  # no word on the processor here: then float16 does not work in a submission
        torch.ones(2, 4).half().float()
    refusals.kernel_names()


def _run_job(control: Any, data_fd: int, limits: dict[str, Any], config: dict[str, Any], without: frozenset) -> None:
    import select
    import signal
    import socket

    output_bytes = limits.pop("output_bytes")
    child = os.fork()
    if child == 0:
        try:
            layers = sandbox.enter_child(limits, config["scratch"], config["readable"], [data_fd], without=without)
            Child(_Descriptor(data_fd, data_fd), layers, output_bytes).run()
        finally:
            os._exit(70)
    os.close(data_fd)
    waiting = os.pidfd_open(child)
    poll = select.poll()
    poll.register(waiting, select.POLLIN)
    poll.register(control, select.POLLIN)
    ended = False
    while not ended:
        for descriptor, _ in poll.poll():
            if descriptor == waiting:
                ended = True
                continue
            message = control.recv(65536)
            if message == b"P":  # who is it? as a handle: its number is another one outside
                this = os.pidfd_open(os.getpid())
                socket.send_fds(control, [b"P"], [waiting, this])
                os.close(this)
            elif message in (b"K", b""):
                os.kill(child, signal.SIGKILL)
                poll.unregister(control)
    os.close(waiting)
    _, status, usage = os.wait4(child, 0)
    _kill_what_is_left()
    end = {"status": status, "cpu": usage.ru_utime + usage.ru_stime, "max_rss_kb": usage.ru_maxrss}
    control.send(b"E" + json.dumps(end).encode())
    # The kernel takes a while over that; the next job, whose folder it is, seldom comes at once.
    sandbox.fresh_scratch(config["scratch"])


def _kill_what_is_left() -> None:
    # Only process 1 of a namespace of its own may do this: anywhere else -1 means every process of the user.
    import signal

    if os.getpid() != 1:
        return
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.waitpid(-1, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def serve_once(config: dict[str, Any]) -> None:
    """The same without fork: this process runs one submission over its standard input and output."""
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    _preload(config["preload"])
    gc.enable()
    limits = config["limits"]
    output_bytes = limits.pop("output_bytes")
    without = frozenset(config["without"])
    os.chdir(config["scratch"])
    layers = sandbox.enter_child(limits, config["scratch"], config["readable"], [incoming, outgoing], without=without)
    Child(_Descriptor(incoming, outgoing), layers, output_bytes).run()


# ---------------------------------------------------------------- the child


class _Descriptor:
    """Frames over one or two file descriptors."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self.arrived = b""
        self.at = 0  # how much of it was taken

    def send(self, value: Any) -> None:
        data = wire.frame(value)
        written = os.write(self.outgoing, data)
        while written < len(data):
            written += os.write(self.outgoing, memoryview(data)[written:])

    def receive(self) -> Any:
        length = wire.frame_length(self._read(wire.LENGTH.size))
        return wire.decode(self._read(length))

    def _read(self, count: int) -> bytes:
        # A whole frame mostly arrives at once, so reading ahead saves every second system call.
        while len(self.arrived) - self.at < count:
            piece = os.read(self.incoming, max(1 << 16, min(count, 1 << 20)))
            if not piece:
                os._exit(0)
            self.arrived, self.at = self.arrived[self.at :] + piece, 0
        start = self.at
        self.at += count
        return self.arrived[start : self.at]


class _Printed(io.TextIOBase):
    """Stands in for standard output: sends what is printed as frames, up to a limit."""

    def __init__(self, channel: _Descriptor, limit: int) -> None:
        self.channel = channel
        self.left = limit
        self.pending: list[str] = []
        self.pending_length = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        kept = text[: self.left]
        self.left -= len(kept)
        if kept:
            self.pending.append(kept)
            self.pending_length += len(kept)
            if self.pending_length > 1024:
                self.flush()
        return len(text)

    def flush(self) -> None:
        if self.pending:
            text = "".join(self.pending)
            self.pending.clear()
            self.pending_length = 0
            self.channel.send(("printed", text))


class Child:
    """Runs one submission: loads its cells, then answers calls until the channel closes."""

    def __init__(self, channel: _Descriptor, layers: list[str], output_limit: int) -> None:
        self.channel = channel
        self.layers = layers
        self.printed = _Printed(channel, output_limit)
        self.objects = Objects({})
        self.module = types.ModuleType("submission")
        self.files: tuple[str, ...] = ()

    def run(self) -> None:
        sys.stdout = sys.stderr = self.printed
        sys.stdin = io.StringIO()
        self.channel.send(("layers", self.layers))
        operations: dict[str, Callable[..., Any]] = {
            "load": self.load,
            "ask": self.ask,
        }
        while True:
            request = self.channel.receive()
            try:
                reply = operations[request[0]](*request[1:])
            except BaseException as error:  # SystemExit and KeyboardInterrupt of the student's are answers too
                reply = ("raised", self.describe(error))
            self.printed.flush()
            try:
                self.channel.send(reply)
            except (NotPlain, RecursionError, MemoryError) as error:  # raised before the first byte goes
                self.channel.send(("raised", self.describe(ValueError(f"the answer cannot be handed over: {error}"))))

    def load(
        self, cells: list[tuple[str, str]], name: str, allowed: list[str], refused: list[str], fused: dict
    ) -> tuple[str, Any]:
        """Run all cells in one namespace; a cell that fails does not stop the later ones."""
        refusals.install(refused)
        self.module = types.ModuleType(name)
        sys.modules[name] = self.module
        namespace = self.module.__dict__
        self.objects = Objects(namespace, fused)
        namespace["__builtins__"] = _guarded_builtins(frozenset(allowed) | {name}, name)
        failures = []
        self.files = tuple(label for label, _ in cells)
        future = 0  # a __future__ import holds for the cells after it too, as in a notebook's kernel
        for label, source in cells:
            try:
                code = compile(source, label, "exec", flags=future, dont_inherit=True)
                future |= code.co_flags & FUTURE_FLAGS
                exec(code, namespace)
            except BaseException as error:
                failures.append((label, self.describe(error)))
        names = [key for key, value in namespace.items() if callable(value) and not key.startswith("__")]
        return "loaded", ([str(key) for key in names], failures)

    def ask(self, *request: Any) -> tuple[Any, ...]:
        """Any request but the first; see `objects.Objects.answer`."""
        return "value", *self.objects.answer(*request)

    def describe(self, error: BaseException) -> dict[str, Any]:
        """An exception as plain data: type, built-in bases, message, and the frames in the student's own file."""
        kind = type(error)
        try:
            message = str(error)[:MESSAGE_LIMIT]
        except BaseException:
            message = ""
        frames = []
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            if code.co_filename in self.files:
                frames.append((code.co_filename, trace.tb_lineno, code.co_name))
            trace = trace.tb_next
        if isinstance(error, SyntaxError) and error.filename in self.files:
            frames.append((error.filename, error.lineno or 0, "<module>"))
            message = error.msg or message
        return {
            "type": kind.__name__[:100],
            "bases": [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins"],
            "message": message,
            "frames": frames[-FRAMES_LIMIT:],
            "forbidden": error.name or "" if isinstance(error, ForbiddenImport) else "",
            "refused": error.entry if isinstance(error, Refused) else "",
            "depth": len(frames),
        }


def _guarded_builtins(allowed: frozenset[str], exercise: str) -> dict[str, Any]:
    """Built-ins whose ``import`` lets in only what the exercise allows, for the student's own import lines."""
    original = builtins.__import__

    def guarded(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        top = name.partition(".")[0]
        if level or top not in allowed:
            shown = "." * level + name
            raise ForbiddenImport(f"{shown} may not be imported in {exercise}", name=shown)
        return original(name, globals, locals, fromlist, level)

    def leave(code: object = None) -> None:
        raise SystemExit(code)

    own = {"__import__": guarded, "exit": leave, "quit": leave}
    return {**builtins.__dict__, **own, "display": _display, "get_ipython": _no_ipython}


def _display(*objects: object, **options: object) -> None:
    """Stands in for IPython's, which is always there in a notebook: prints."""
    print(*objects)


def _no_ipython() -> None:
    """Stands in for IPython's ``get_ipython``: outside of IPython it gives None."""


def main(config: dict[str, Any]) -> None:
    """Entry of the worker's process."""
    for name in list(os.environ):
        if name not in ENVIRONMENT:
            del os.environ[name]
    np.seterr(all="ignore")  # warnings are the student's business, and printing them costs time
    for name in [name for name in sys.modules if name == "grader" or name.startswith("grader.")]:
        del sys.modules[name]
    serve(config) if config["mode"] == "fork" else serve_once(config)
