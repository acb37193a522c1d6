"""Single key presses from a terminal, on POSIX systems and on Windows; nothing where there is no terminal."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any


class Keys:
    """While it is entered, hands each key that is pressed to ``press``, from a thread; ``there``: whether keys come.

    The terminal is as it was before when this is left, on whatever way.
    """

    def __init__(self, press: Callable[[str], Any]) -> None:
        self._press = press
        self._stop = threading.Event()
        self._restore: Callable[[], Any] | None = None
        self._thread: threading.Thread | None = None
        self.there = False

    def __enter__(self) -> Keys:
        reader = self._windows() if os.name == "nt" else self._posix()
        if reader is not None:
            self.there = True
            self._thread = threading.Thread(target=reader, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1.0)
        if self._restore is not None:
            self._restore()

    def _posix(self) -> Callable[[], None] | None:
        try:
            import select
            import signal
            import termios
            import tty

            descriptor = sys.stdin.fileno()
            if not os.isatty(descriptor) or os.tcgetpgrp(descriptor) != os.getpgrp():
                return None
            before = termios.tcgetattr(descriptor)
        except (ImportError, OSError, ValueError, AttributeError):
            return None
        except Exception as error:  # termios.error is no OSError
            if type(error).__name__ == "error":
                return None
            raise
        tty.setcbreak(descriptor)
        continued = signal.signal(signal.SIGCONT, lambda *_: tty.setcbreak(descriptor))

        def restore() -> None:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
            signal.signal(signal.SIGCONT, continued)

        def read() -> None:
            while not self._stop.is_set():
                if select.select([descriptor], [], [], 0.2)[0]:
                    pressed = os.read(descriptor, 64)
                    if not pressed:
                        return
                    # An arrow or function key is a sequence that begins with escape: none of ours.
                    for character in "" if pressed[:1] == b"\x1b" else pressed.decode("utf-8", "ignore"):
                        self._press(character)

        self._restore = restore
        return read

    def _windows(self) -> Callable[[], None] | None:
        try:
            import msvcrt

            if not sys.stdin.isatty():
                return None
        except (ImportError, ValueError, AttributeError):
            return None

        def read() -> None:
            while not self._stop.wait(0.05):
                while msvcrt.kbhit():
                    character = msvcrt.getwch()
                    if character in "\x00\xe0":  # the first half of an arrow or function key
                        msvcrt.getwch()
                    elif character != "\x03":
                        self._press(character)

        return read
