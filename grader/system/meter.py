"""What a process spends on one piece of work: CPU time and the peak of memory, as the kernel tells it to others.

CPU time is the clock of the whole process (clock_getcpuclockid(3)): user and system time of all its threads, ended ones
too, in nanoseconds. The peak is the mark VmHWM of proc_pid_status(5), which is set back first (a 5 in clear_refs).
What is mapped from files is left out: the first use of a library is not the work's.

Where the mark cannot be set back, because the grader is an ordinary user and the process hides its memory, it is one
from before: the peak is exact if it exceeds all earlier ones, else too large, by what the largest of these exceeded it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import struct
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

PROC = "/proc"
# What a process may hold of its own beforehand. The rest counts as taken now, or it would be taken in advance.
MAY_HOLD = 64 << 20
APART_SECONDS = 300.0
COLLECT_AFTER = (700, 10, 10)  # as a worker does; the grader collects garbage less often
LENGTH = struct.Struct(">Q")


class Spent(NamedTuple):
    """CPU seconds, and by how many bytes the peak exceeded what was held before."""

    seconds: float
    peak_bytes: int


class NotMeasured(Exception):
    """This system does not say what a process spends."""


class Meter:
    """Reads one process. ``floor``: the bytes that it held before any code ran in it that could take some in advance.

    `start` and `read` raise OSError once the process is gone; `start` raises `NotMeasured` where nobody may look at it.
    """

    def __init__(self, process: int, floor: int | None = None) -> None:
        self._process = process
        self._floor = floor
        self._held = 0
        self._seconds = 0.0

    def start(self) -> None:
        """From now on."""
        with contextlib.suppress(OSError), open(f"{PROC}/{self._process}/clear_refs", "wb", 0) as marks:
            marks.write(b"5")
        try:
            self._held = held_by(self._process)
        except (FileNotFoundError, PermissionError):
            _cpu_seconds(self._process)  # it lives, then, and is hidden
            raise NotMeasured from None
        if self._floor is not None:
            self._held = min(self._held, self._floor + MAY_HOLD)
        self._seconds = _cpu_seconds(self._process)

    def read(self) -> Spent:
        """What was spent since `start`."""
        seconds = _cpu_seconds(self._process) - self._seconds
        memory = _memory(self._process)
        return Spent(seconds, max(0, memory["VmHWM"] - memory["RssFile"] - self._held))


def held_by(process: int) -> int:
    """The bytes that a process has in memory now, without what is mapped from files."""
    memory = _memory(process)
    return memory["VmRSS"] - memory["RssFile"]


def _memory(process: int) -> dict[str, int]:
    with open(f"{PROC}/{process}/status", encoding="ascii", errors="replace") as status:
        fields = dict(line.split(":", 1) for line in status)
    try:
        return {name: int(fields[name].split()[0]) << 10 for name in ("VmHWM", "VmRSS", "RssFile")}
    except KeyError:  # it has ended, and nobody has waited for it yet
        raise ProcessLookupError(process) from None


def _cpu_seconds(process: int) -> float:
    return time.clock_gettime(~process << 3 | 2)  # MAKE_PROCESS_CPUCLOCK of the kernel, with CPUCLOCK_SCHED


def process_of(handle: int) -> int:
    """A process's number here, by a handle on it (pidfd_open(2)) that came from another namespace."""
    with open(f"{PROC}/self/fdinfo/{handle}", encoding="ascii") as info:
        fields = dict(line.split(":", 1) for line in info)
    process = int(fields["Pid"])
    if process <= 0:
        raise ProcessLookupError(process)
    return process


def demand() -> None:
    """`NotMeasured` where this system does not tell what a process spends; found out by reading this one."""
    if not _is_told(PROC):
        raise NotMeasured


@functools.cache
def _is_told(proc: str) -> bool:
    own = os.getpid()
    try:
        _memory(own)
        _cpu_seconds(own)
        return os.readlink(f"{proc}/self") == str(own)  # else its numbers are those of another namespace
    except (OSError, AttributeError):
        return False


# ---------------------------------------------------------------- trusted code, in a process of its own


def apart(task: Callable[[], bytes]) -> tuple[bytes, Spent]:
    """What a task of ours gives in a fork of this process, and what it spent. What it changed is gone with the fork.

    `NotMeasured` where there is no fork or nothing is told; RuntimeError where the fork gave no answer.
    """
    demand()
    answers, to_answer = os.pipe()
    signals, to_signal = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: if it hangs, time will be up
        child = os.fork()
    if child == 0:
        _in_fork(task, signals, to_answer, (answers, to_signal))
    os.close(to_answer)
    os.close(signals)
    try:
        return _answer_of(child, answers, to_signal)
    finally:
        os.close(answers)
        os.close(to_signal)
        _end(child)


def _answer_of(child: int, answers: int, to_signal: int) -> tuple[bytes, Spent]:
    deadline = time.monotonic() + APART_SECONDS
    _exactly(answers, 1, deadline)
    meter = Meter(child)
    meter.start()
    os.write(to_signal, b"g")
    (length,) = LENGTH.unpack(_exactly(answers, LENGTH.size, deadline))
    data = _exactly(answers, length, deadline)
    return data, meter.read()


def _in_fork(task: Callable[[], bytes], signals: int, to_answer: int, others: tuple[int, ...]) -> Any:
    try:
        for descriptor in others:
            os.close(descriptor)
        _let_go_of_free_memory()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        gc.enable()
        os.write(to_answer, b"r")
        os.read(signals, 1)
        data = task()
        data = LENGTH.pack(len(data)) + data
        while data:
            data = data[os.write(to_answer, data) :]
        os.read(signals, 1)  # which comes when this process has been read, or never
    finally:
        os._exit(0)


def _let_go_of_free_memory() -> None:
    """What this process had freed and its allocator kept would be used first, and no peak be seen."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)


def _exactly(descriptor: int, count: int, deadline: float) -> bytes:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    pieces, left = [], count
    while left:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise RuntimeError(f"the work took longer than {APART_SECONDS:g} seconds")
        piece = os.read(descriptor, min(left, 1 << 20))
        if not piece:
            raise RuntimeError("the process that did the work ended before it answered")
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _end(child: int) -> None:
    import signal

    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
