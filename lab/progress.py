"""A progress bar on standard error: rich's where it is installed, else a plain one; one line when nobody watches."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO, TypeVar

Item = TypeVar("Item")


def show(items: Iterable[Item], title: str) -> Iterator[Item]:
    """Each of `items` in turn, with a bar that says how many are done."""
    items = list(items)
    if not sys.stderr.isatty():
        return quiet(items, title, sys.stderr)
    if importlib.util.find_spec("rich") is None:
        return plain(items, title, sys.stderr)
    return with_rich(items, title)


def with_rich(items: Sequence[Item], title: str) -> Iterator[Item]:
    """A bar by rich, taken away when the loop is done."""
    import rich.console
    import rich.progress

    console = rich.console.Console(stderr=True)
    columns = [
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(bar_width=32),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(compact=True),
    ]
    with rich.progress.Progress(*columns, console=console, transient=True) as bar:
        yield from bar.track(items, description=title)


def plain(items: Sequence[Item], title: str, stream: TextIO, width: int = 32) -> Iterator[Item]:
    """A bar of # and . drawn over itself."""
    for done, item in enumerate(items):
        full = width * done // len(items)
        stream.write(f"\r{title} {'#' * full}{'.' * (width - full)} {done}/{len(items)}")
        stream.flush()
        yield item
    stream.write("\r" + " " * (len(title) + width + 24) + "\r")
    stream.flush()


def quiet(items: Sequence[Item], title: str, stream: TextIO) -> Iterator[Item]:
    """For logs: one line when all is done."""
    start = time.perf_counter()
    yield from items
    stream.write(f"{title}: {len(items)} in {time.perf_counter() - start:.1f} s\n")
    stream.flush()
