"""Outside the worker: opens one job per submission, and asks it things with a deadline.

`Server` is warm and reusable; `Server.open` gives a `Worker`, the running submission. Whatever a submission does (hang,
die, flood, send rubbish), the answer is an `Outcome`; nothing here raises because of what a student wrote.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from grader.logic import wire
from grader.logic.told import NOT_AN_ANSWER, Source, arguments_of, cells_of, raised_of, source_of, text_of
from grader.model.errors import EnvironmentProblem, WireError
from grader.model.types import COST, Call, Died, Limits, Outcome, Raised, Submission, Value
from grader.system import meter
from grader.system.launch import PACKAGES, Launched, can_fork, clean_environment, command, configuration, demand, launch

START_SECONDS = 60.0
LINGER_SECONDS = 1.0
# One answer may have a sixteenth of the memory: this side holds it several times over while it is read.
ANSWER_SHIFT = 4
NOT_A_FRAME = (WireError, TimeoutError, EOFError, OSError)
PRINTED = wire.encode(("printed", ""))[:-5]  # less the length and the kind of an empty text
MAX_FETCHED = 1 << 20  # bytes of all answers of one check


@dataclass
class Loaded:
    """What loading the cells gave: the callables' names, and (label, Raised) for each cell that failed."""

    names: list[str] = field(default_factory=list)
    failures: list[tuple[str, Raised]] = field(default_factory=list)
    died: Died | None = None


class Server:
    """A warm process from which workers are forked; where that cannot be, each worker is a process of its own."""

    def __init__(
        self,
        packages: tuple[str, ...] = PACKAGES,
        *,
        fork: bool | None = None,
        without: frozenset[str] = frozenset(),
        launched: Launched | None = None,
    ) -> None:
        self.fork = can_fork() if fork is None else fork
        self.without = without
        self.packages = packages if launched is None else launched.packages
        self.layers: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._others: dict[tuple[str, ...], Server] = {}
        if launched is not None:
            self._adopt(launched)

    def start(self, packages: tuple[str, ...] = ()) -> Server:
        """Execute the server and return at once; the first `open` waits until it is warm."""
        if packages and packages != self.packages:
            return self._beside(packages).start()
        if self.fork and self._process is None:
            self._adopt(launch(self.packages, self.without))
        return self

    def _adopt(self, launched: Launched) -> None:
        self._process, self._control, self._ready = launched.process, launched.control, False

    def _wait_until_ready(self) -> None:
        if self._ready:
            return
        assert self._control is not None and self._process is not None
        self._control.settimeout(START_SECONDS)
        message = self._control.recv(65536)
        if message[:1] != b"R":
            self._process.kill()
            assert self._process.stderr is not None
            said = self._process.stderr.read().decode(errors="replace").strip()
            raise EnvironmentProblem(
                "The process in which submissions run could not start.",
                f"Run `grader doctor`. It said: {said[-1500:] or 'nothing'}",
            )
        self.layers = tuple(json.loads(message[1:]))
        self._ready = True

    def open(self, limits: Limits, packages: tuple[str, ...] = ()) -> Worker:
        """A fresh worker process for one submission; ``packages``: what it should have loaded, where that is something else."""
        if packages and packages != self.packages:
            return self._beside(packages).open(limits)
        demand(self.packages)
        if not self.fork:
            return Worker(self._spawn(limits), None, limits, self.layers)
        self.start()
        self._wait_until_ready()
        assert self._control is not None
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"J" + json.dumps(_resources(limits)).encode()], [theirs.fileno()])
        return Worker(_SocketChannel(ours, limits.call_seconds), self._control, limits, self.layers)

    def _beside(self, packages: tuple[str, ...]) -> Server:
        """A server that has other packages loaded."""
        demand(packages)
        if packages not in self._others:
            self._others[packages] = Server(packages, fork=self.fork, without=self.without)
        return self._others[packages]

    def _spawn(self, limits: Limits) -> _PipeChannel:
        scratch = tempfile.mkdtemp(prefix="grader-")
        config = configuration("spawn", scratch, self.packages, self.without) | {"limits": _resources(limits)}
        process = subprocess.Popen(
            command(config),
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=scratch,
        )
        return _PipeChannel(process, scratch)

    def close(self) -> None:
        """End the server and everything under it."""
        while self._others:
            self._others.popitem()[1].close()
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stderr is not None:
                self._process.stderr.close()
            self._process = None

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


class Worker:
    """One submission at work."""

    def __init__(
        self, channel: _Channel, control: socket.socket | None, limits: Limits, layers: tuple[str, ...]
    ) -> None:
        self._channel = channel
        self._control = control
        self._limits = limits
        self.layers = layers
        self.printed: list[str] = []
        self._may_print = limits.output_kb * 1024
        self._source = Source("", {})
        self._waiting: deque[bytes] = deque()  # frames that were fetched and not read yet
        self.died: Died | None = None
        self.cpu_seconds: float | None = None
        self._ended = False
        self._end_told = b""  # by the server, where it was asked something else
        self._meter: meter.Meter | None = None
        hello = self._receive(START_SECONDS)
        if not isinstance(hello, Died) and hello[0] == "layers":
            self.layers = tuple(dict.fromkeys([*layers, *map(str, hello[1])]))
        if control is None:
            with contextlib.suppress(OSError, meter.NotMeasured):
                self._meter = channel.own_meter()

    def load(
        self,
        submission: Submission,
        name: str,
        allowed: tuple[str, ...],
        label: str,
        *,
        refused: tuple[str, ...] = (),
        fused: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Loaded:
        """Run the submission's cells in the worker as the module ``name``; ``label`` is what its lines are called in messages.

        What may be imported, what may not be called, and which layers may stand for several: see `types.Exercise`.
        """
        cells = cells_of(submission, label)
        self._source = source_of(submission, label, refused)
        self.send_ahead(wire.frame(("load", cells, name, list(allowed), list(refused), dict(fused or {}))))
        reply = self._receive(self._limits.load_seconds)
        if isinstance(reply, Died):
            return Loaded(died=reply)
        try:
            names, failures = reply[1]
            found = [(text_of(label, 200), raised_of(description, self._source)) for label, description in failures]
            if not {label for label, _ in found} <= self._source.lines.keys() or len(found) > len(cells):
                raise ValueError("cells failed that there are not")
            return Loaded([item for item in names if type(item) is str and item.isidentifier()], found)
        except NOT_AN_ANSWER:
            return Loaded(died=self._give_up("garbled", "what it sent was not an answer"))

    def answer(self, call: Call) -> Outcome:
        """Call a function or method of the submission, or get or set an attribute of the object behind a handle.

        A request for a cost is to be made only when every earlier one has its answer.
        """
        if call.kind == "cost" and not self.died:
            return self._measured(call)
        self.send_ahead(request_frame(call))
        return self.collect(call)

    def _measured(self, call: Call) -> Outcome:
        """An answer with its cost, by the kernel's word alone: the submission is not even told that it is measured."""
        spent = None
        try:
            running = self._started_meter()
        except meter.NotMeasured:
            return Value(dict(COST))
        except OSError:  # it has gone; asking it finds out how
            running = None
        outcome = self.answer(replace(call, kind="through"))
        if not isinstance(outcome, Value):
            return outcome
        with contextlib.suppress(OSError):
            spent = running.read() if running else None
        if spent is None:  # it answered, and was gone before anybody could look
            return self._give_up("exited", "")
        return Value({"value": outcome.value, **spent._asdict()})

    def _started_meter(self) -> meter.Meter:
        meter.demand()
        if self._meter is None:
            self._meter = self._found()
        self._meter.start()
        return self._meter

    def _found(self) -> meter.Meter:
        """A meter of the process that the server forked; what that held then is what the server holds."""
        if self._control is None:
            raise meter.NotMeasured
        self._control.send(b"P")
        self._control.settimeout(START_SECONDS)
        message, handles, _, _ = socket.recv_fds(self._control, 65536, 2)
        if message[:1] != b"P":
            self._end_told = message
            raise ProcessLookupError
        try:
            process, server = map(meter.process_of, handles)
            return meter.Meter(process, meter.held_by(server))
        finally:
            for handle in handles:
                os.close(handle)

    def send_ahead(self, frames: bytes) -> None:
        """Send whole frames of requests; their answers are collected one by one, in order."""
        if self.died is None:
            seconds = self._limits.call_seconds
            try:
                self._channel.send(frames, time.monotonic() + seconds)
            except TimeoutError:  # it does not read what it is asked
                self._give_up("timeout", f"{seconds:g}")
            except OSError:
                pass  # it has gone; `collect` finds out, after what it had answered before

    def collect(self, call: Call) -> Outcome:
        """The answer to the oldest request that was sent and not collected yet, which was ``call``."""
        reply = self._receive(self._limits.call_seconds)
        if isinstance(reply, Died):
            return reply
        try:
            if reply[0] == "value":
                value, *after = reply[1:]
                return Value(value, arguments_of(after[0], call) if call.echo else None)
            return raised_of(reply[1], self._source)
        except NOT_AN_ANSWER:
            return self._give_up("garbled", "what it sent was not an answer")

    def fetch(self, count: int, until: float) -> bytes | None:
        """The next ``count`` answers as they came, which `collect` still gives afterwards.

        None where one of them is missing or late (``until``, as of `time.monotonic`), something was printed, or they are too large.
        """
        left = MAX_FETCHED
        while len(self._waiting) < count and not self.died and time.monotonic() < until:
            try:
                frame = self._frame(time.monotonic() + self._limits.call_seconds)
            except NOT_A_FRAME as error:
                self._lose(error, self._limits.call_seconds)
                return None
            self._waiting.append(frame)
            left -= len(frame)
            if frame.startswith(PRINTED) or left < 0:
                return None
        return b"".join(map(wire.framed, self._waiting)) if len(self._waiting) == count else None

    def drop_fetched(self) -> None:
        """Nobody wants to hear the answers that were fetched."""
        self._waiting.clear()

    def _receive(self, seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        try:
            while self._waiting or not self.died:
                frame = self._waiting.popleft() if self._waiting else self._frame(deadline)
                reply = wire.decode(frame)
                if type(reply) is not tuple or len(reply) < 2 or type(reply[0]) is not str:
                    raise WireError("a frame holds no answer")
                if reply[0] != "printed":
                    return reply
                self._keep_printed(reply[1])
                if time.monotonic() > deadline:
                    raise TimeoutError
        except NOT_A_FRAME as error:
            return self._lose(error, seconds)
        return self.died

    def _frame(self, deadline: float) -> bytes:
        head = self._channel.receive(wire.LENGTH.size, deadline)
        length = wire.frame_length(head, min(wire.MAX_FRAME, self._limits.memory_mb << 20 >> ANSWER_SHIFT))
        return self._channel.receive(length, deadline)

    def _lose(self, error: Exception, seconds: float) -> Died:
        if isinstance(error, WireError):
            self._waiting.clear()
            return self._give_up("garbled", str(error))
        return self._give_up("timeout", f"{seconds:g}") if isinstance(error, TimeoutError) else self._find_out()

    def _keep_printed(self, text: object) -> None:
        if type(text) is not str:
            raise WireError("printed text is not text")
        if kept := text[: self._may_print]:
            self._may_print -= len(kept)
            self.printed.append(kept)

    def _give_up(self, reason: str, detail: str) -> Died:
        self.died = Died(reason, detail)
        self._end(kill=True)
        return self.died

    def _find_out(self) -> Died:
        status = self._end(kill=False)
        if status is None:
            self.died = Died("exited", "")
        elif status < 0:
            self.died = Died("killed", _signal_name(-status))
        else:
            self.died = Died("exited", str(status))
        return self.died

    def _end(self, kill: bool) -> int | None:
        """Make sure that the worker is gone; its exit status (negative: the signal), where it can be known."""
        if self._ended:
            return None
        self._ended = True
        if self._control is None:
            return self._channel.close(kill)
        self._channel.close(kill)
        if kill:
            with contextlib.suppress(OSError):
                self._control.send(b"K")
        self._control.settimeout(5.0 if kill else LINGER_SECONDS)
        try:
            message = self._end_told or self._control.recv(65536)
        except TimeoutError:  # it closed its end, and lives on
            with contextlib.suppress(OSError):
                self._control.send(b"K")
            self._control.settimeout(5.0)
            message = self._control.recv(65536)
        end = json.loads(message[1:]) if message[:1] == b"E" else {}
        self.cpu_seconds = end.get("cpu")
        status = end.get("status")
        return None if status is None else os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """Let the worker end; everything that it started is gone afterwards."""
        if not self._ended:
            self._end(kill=True)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def request_frame(call: Call) -> bytes:
    """A call as the worker reads it: of its last parts, those that say nothing are left out."""
    request = [call.kind, call.name, call.args, call.kwargs, call.target, call.echo, call.source]
    while not request[-1]:
        request.pop()
    return wire.frame(("ask", *request))


class _Channel:
    """Bytes to and from a worker."""

    def send(self, data: bytes, deadline: float) -> None:
        raise OSError("closed")

    def receive(self, count: int, deadline: float) -> bytes:
        raise EOFError

    def close(self, kill: bool) -> int | None:
        return None

    def own_meter(self) -> meter.Meter:
        """Of the process at the other end, as long as none of the submission's code ran in it."""
        raise meter.NotMeasured


class _SocketChannel(_Channel):
    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._socket = connection
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(seconds))
        self._arrived = b""
        self._at = 0  # how much of it was taken
        self._timeout = 0.0

    def send(self, data: bytes, deadline: float) -> None:
        sent = self._send_some(data)
        while sent < len(data):
            if time.monotonic() > deadline:
                raise TimeoutError
            sent += self._send_some(memoryview(data)[sent:])

    def _send_some(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:  # nothing went for as long as a call may take
            return 0

    def receive(self, count: int, deadline: float) -> bytes:
        if len(self._arrived) - self._at < count:
            self._wait_for(count, deadline)
        start = self._at
        self._at += count
        return self._arrived[start : self._at]

    def _wait_for(self, count: int, deadline: float) -> None:
        pieces = [self._arrived[self._at :]]
        have = len(pieces[0])
        while have < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._limit_waiting(left)
            try:
                piece = self._socket.recv(1 << 20 if count > 1 << 16 else 1 << 16)
            except BlockingIOError:
                continue
            if not piece:
                raise EOFError
            pieces.append(piece)
            have += len(piece)
        self._arrived, self._at = b"".join(pieces), 0

    def _limit_waiting(self, seconds: float) -> None:
        # The kernel's own timeout costs one system call where Python's costs three a call; it is renewed when it is too long or
        # has become much too short. A wait that ends early is begun again until the deadline.
        if not seconds / 2 <= self._timeout <= seconds:
            self._timeout = seconds * 0.75
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(self._timeout))

    def close(self, kill: bool) -> int | None:
        self._socket.close()
        return None


class _PipeChannel(_Channel):
    """Pipes cannot be waited for with a deadline everywhere, so a thread reads and this side waits for the thread."""

    def __init__(self, process: subprocess.Popen[bytes], scratch: str) -> None:
        self._process = process
        self._scratch = scratch
        self._buffer = bytearray()
        self._closed = False
        self._news = threading.Condition()
        self._given_up = False
        self._pumping = threading.Thread(target=self._pump, daemon=True)
        self._pumping.start()

    def _pump(self) -> None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while True:
            try:
                piece = os.read(descriptor, 1 << 16)
            except OSError:
                piece = b""
            with self._news:
                self._buffer += piece
                self._closed = not piece
                self._news.notify()
                while len(self._buffer) > wire.MAX_FRAME and not self._given_up:
                    self._news.wait()
                if not piece or self._given_up:
                    return

    def send(self, data: bytes, deadline: float) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def receive(self, count: int, deadline: float) -> bytes:
        with self._news:
            while len(self._buffer) < count:
                left = deadline - time.monotonic()
                if self._closed:
                    raise EOFError
                if left <= 0:
                    raise TimeoutError
                self._news.wait(left)
            data = bytes(self._buffer[:count])
            del self._buffer[:count]
            self._news.notify()
            return data

    def own_meter(self) -> meter.Meter:
        meter.demand()
        return meter.Meter(self._process.pid, meter.held_by(self._process.pid))

    def close(self, kill: bool) -> int | None:
        if not kill:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LINGER_SECONDS)
        if self._process.poll() is None:
            _kill_group(self._process)
        status = self._process.wait()
        with self._news:
            self._given_up = True
            self._news.notify()
        self._pumping.join(LINGER_SECONDS)
        # A descriptor that the thread may still read must stay open: its number could go to the next worker's pipe.
        done = [self._process.stdin] if self._pumping.is_alive() else [self._process.stdin, self._process.stdout]
        for stream in done:
            with contextlib.suppress(OSError):
                stream.close() if stream else None
        shutil.rmtree(self._scratch, ignore_errors=True)
        return status


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        import signal

        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _timeval(seconds: float) -> bytes:
    whole, part = divmod(seconds, 1)
    return struct.pack("ll", int(whole), max(int(part * 1e6), 1))


def _signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _resources(limits: Limits) -> dict[str, Any]:
    return {
        "memory_mb": limits.memory_mb,
        "cpu_seconds": int(limits.total_seconds) + 1,
        "file_mb": 16,
        "open_files": 64,
        "processes": 64,
        "output_bytes": limits.output_kb * 1024,
    }
