"""Run folders: results that are whole or absent, and partial results that an interrupted run goes on from.

    with Run(out, settings) as run:
        for width in widths:
            row = run.row(str(width), lambda: measure(width))
        run.finish({"rows": ...})

Finished rows wait in `partial.jsonl`. They are taken up again only under equal settings, so put into these whatever
the rows depend on, `source_of(module)` for one. Once `numbers.json` is written, `partial.jsonl` is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from lab.experiment import CannotRun


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Put `content` into `path` so that a reader finds the old file or the new one, never half of it."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """A `with` block in which no other process is in such a block for that folder; one that was killed is out of it."""
    with (folder / ".lock").open("w") as file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotRun(f"Another run is at work in {folder}. Wait until it ends, or stop it.") from None
        yield


def source_of(module: ModuleType) -> str:
    """A short fingerprint of a module's file: rows measured with other code are not this run's rows."""
    return hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()[:16]


class Run:
    """One run's folder, for one process at a time (CannotRun for another); see the module's docstring."""

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.out = out
        self.settings = json.loads(json.dumps(settings))  # as it will look when read back
        self.partial = out / "partial.jsonl"
        self.rows: dict[str, Any] = {}

    def __enter__(self) -> Run:
        self.out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            opened.enter_context(alone(self.out))
            self.rows = self._rows_left_behind()
            lines = [{"settings": self.settings}, *({"key": key, "row": row} for key, row in self.rows.items())]
            write_atomically(self.partial, "".join(json.dumps(line) + "\n" for line in lines))
            self._file = opened.enter_context(self.partial.open("a", encoding="utf-8"))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._opened.close()

    def row(self, key: str, measure: Callable[[], Any]) -> Any:
        """The row of that key: from the interrupted run if it got that far, else measured now and kept."""
        if key not in self.rows:
            self.rows[key] = measure()
            self._file.write(json.dumps({"key": key, "row": self.rows[key]}) + "\n")
            self._file.flush()
        return self.rows[key]

    def finish(self, numbers: dict[str, Any]) -> Path:
        """Write `numbers.json`, settings included; the next run starts afresh."""
        path = write_atomically(self.out / "numbers.json", json.dumps({**self.settings, **numbers}, indent=2) + "\n")
        self._file.close()
        self.partial.unlink()
        return path

    def _rows_left_behind(self) -> dict[str, Any]:
        lines = []
        if self.partial.exists():
            for text in self.partial.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    lines.append(json.loads(text))
                except ValueError:  # the line that was being written when the run was killed
                    break
        if not lines or lines[0] != {"settings": self.settings}:
            return {}
        return {line["key"]: line["row"] for line in lines[1:]}
