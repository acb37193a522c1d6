"""JupyterLab and a browser for tests: a server that is ready when it is handed over, pages that reach nothing else.

Everything waits for a condition, and for no longer than `PATIENCE`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 60.0  # seconds that something may take which takes one or two where nothing else runs
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HERE = "127.0.0.1"
ARGUMENTS = (
    "--no-sandbox",  # as root, in a container, there is no other way; what is shown are files of these tests
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HERE}",
)


def why_not() -> str:
    """Why no browser can be had here; empty where one can."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: make test sets it up"
    return "" if _executable() else f"none of {', '.join(BROWSERS)} is installed (Debian: apt install chromium)"


def _executable() -> str:
    return next(filter(None, map(shutil.which, BROWSERS)), "")


# ---------------------------------------------------------------- JupyterLab


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    log: Path

    def page(self, path: str) -> str:
        """The address of a page, with what lets one in."""
        return f"{self.url}{path}?token={self.token}"


@contextlib.contextmanager
def jupyter_lab(folder: Path, home: Path, **environment: str) -> Iterator[Lab]:
    """JupyterLab in ``folder``, on a port of its own, until the block is left; its kernels end with it.

    ``home`` holds its settings and its log. RuntimeError, with the log, where it does not come up.
    """
    runtime, log = home / "runtime", home / "jupyterlab.log"
    settings = home / ".jupyter" / "labconfig"
    settings.mkdir(parents=True, exist_ok=True)
    asks_for_news = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (settings / "page_config.json").write_text(json.dumps(asks_for_news), encoding="utf-8")
    token = secrets.token_hex(16)
    words = [
        *(
            "--no-browser",
            "--allow-root",
            f"--ip={HERE}",
            f"--port={_free_port()}",
            f"--IdentityProvider.token={token}",
        ),
        "--LabApp.extension_manager=readonly",  # the other one asks PyPI
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *words],
            cwd=folder,
            env={"HOME": str(home), "LANG": "C.UTF-8", "JUPYTER_RUNTIME_DIR": str(runtime), **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Lab(_when_ready(process, runtime, token, log), token, log)
    finally:
        _end(process)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind((HERE, 0))
        return int(held.getsockname()[1])


def _when_ready(process: subprocess.Popen[bytes], runtime: Path, token: str, log: Path) -> str:
    """Its address, which it writes down itself, since it takes another port where that one is in use by now."""
    written = runtime / f"jpserver-{process.pid}.json"
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError, KeyError, urllib.error.URLError):
            url = str(json.loads(written.read_text(encoding="utf-8"))["url"])
            with urllib.request.urlopen(f"{url}api/status?token={token}", timeout=5):
                return url
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
            break
    raise RuntimeError(f"JupyterLab did not come up:\n{log.read_text(encoding='utf-8', errors='replace')}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, which ends its kernels; a kernel whose server was killed ends by itself."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# ---------------------------------------------------------------- a browser


@dataclass
class Seen:
    """A page, what opened on it by itself, and what it asked of other hosts, none of which was answered."""

    page: Any
    dialogs: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    windows: list[str] = field(default_factory=list)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as plays:
        browser = plays.chromium.launch(executable_path=_executable(), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser: Any) -> Iterator[Seen]:
    """An empty page with cookies of its own; its errors do not end the test, what it asks of other hosts is refused."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    seen = Seen(page)

    def decide(route: Any) -> None:
        if urlsplit(route.request.url).hostname == HERE:
            route.continue_()
        else:
            seen.foreign.append(route.request.url)
            route.abort()

    def dismiss(dialog: Any) -> None:
        seen.dialogs.append(dialog.message)
        dialog.dismiss()

    context.route(lambda url: urlsplit(url).scheme in ("http", "https"), decide)
    page.on("dialog", dismiss)
    page.on("popup", lambda popup: seen.windows.append(popup.url))
    try:
        yield seen
    finally:
        context.close()


# Elements by tag, with handlers, addresses that are programs, and other hosts' addresses counted apart.
_CONTENT = r"""() => [...document.querySelectorAll("*")].flatMap(element => {
    const tag = element.localName;
    return [tag, ...[...element.attributes].flatMap(({name, value}) => {
        if (name.startsWith("on")) return [`${tag} ${name}`];
        if (/^\s*(javascript|vbscript|data):/i.test(value)) return [`${tag} ${name}: a program`];
        if (/^\s*(https?:)?\/\//i.test(value)) return [`${tag} ${name} ${value}`];
        return [];
    })];
})"""
_OUTSIDE = r"""sign => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    while (texts.nextNode()) {
        const {data, parentElement} = texts.currentNode;
        if (data.includes(sign) && !parentElement.closest("pre, code")) found.push(data);
    }
    return found;
}"""


def content_of(page: Any) -> Counter[str]:
    """What a page is made of: its tags, and `tag onclick`, `a href: a program`, `img src http://…` for what is no mere text."""
    return Counter(page.evaluate(_CONTENT))


def formulas_with(page: Any, sign: str) -> list[str]:
    """Texts with ``sign`` where MathJax would make formulas of them: it passes over ``pre`` and ``code``."""
    return list(page.evaluate(_OUTSIDE, sign))
