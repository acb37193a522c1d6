"""Executes the server from which workers are forked.

Nothing heavy is imported here, so that a command can start the server first and get ready itself in the meantime.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

from grader.model.errors import EnvironmentProblem

ENGINE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRATCH = "/scratch"
# float16 in PyTorch asks once what the processor can do, and the server's view holds neither /proc nor /sys.
PROCESSOR = ["/proc/cpuinfo", "/sys/devices/system/cpu/possible", "/sys/devices/system/cpu/present"]
PEEK_BYTES = 1 << 16
PACKAGES = ("numpy", "einops")
TORCH_PACKAGES = ("numpy", "torch", "einops", "jaxtyping")
BOOTSTRAP = (
    "import gc, json, sys\n"
    "gc.disable()\n"  # until everything is imported
    "config = json.loads(sys.argv[1])\n"
    "sys.path[:0] = config['packages'] + [config['engine']]\n"
    "from grader.system import worker\n"
    "sys.path.remove(config['engine'])\n"
    "del sys.argv[1:]\n"
    "worker.main(config)\n"
)


class Launched(NamedTuple):
    """A server that is on its way, and our end of its control socket."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    packages: tuple[str, ...] = PACKAGES


def can_fork() -> bool:
    """Whether this system has what a server needs; else each worker is a process of its own."""
    return sys.platform.startswith("linux") and hasattr(os, "pidfd_open") and hasattr(socket, "send_fds")


def launch(packages: tuple[str, ...] = PACKAGES, without: frozenset[str] = frozenset()) -> Launched:
    """Execute the server and return at once."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        config = configuration("fork", SCRATCH, packages, without) | {"control_fd": theirs.fileno()}
        process = subprocess.Popen(
            command(config),
            env=clean_environment(),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )
    return Launched(process, ours, packages)


def packages_for(framework: str) -> tuple[str, ...]:
    """What a worker has loaded before a submission comes, by the exercise's framework."""
    return TORCH_PACKAGES if framework == "torch" else PACKAGES


def demand(packages: tuple[str, ...]) -> None:
    """`EnvironmentProblem` where an exercise needs PyTorch and it is not installed."""
    if "torch" in packages and importlib.util.find_spec("torch") is None:
        raise EnvironmentProblem(
            "This exercise needs PyTorch, which is not installed here.",
            "`make setup EXTRAS=torch` installs its CPU build (about 200 MB) into .venv; without make: "
            "python3 tools/bootstrap.py torch",
        )


def framework_of(word: str, start: Path) -> str:
    """The framework of the exercise that a word of a command line seems to mean, found without reading the course."""
    path = Path(word).resolve().parent if word.endswith((".py", ".ipynb")) else Path(word)
    name = re.sub(r"^ex\d\d_", "", path.name or path.resolve().name)
    for folder in (start, *start.parents) if name.isidentifier() else ():
        for path in (*folder.glob(f"solutions/ex[0-9][0-9]_{name}/exercise.toml"), folder / "tapes" / f"{name}.tape"):
            try:
                with path.open("rb") as file:
                    head = file.read(PEEK_BYTES)
            except OSError:
                continue
            return "torch" if re.search(rb'framework"?\s*[=:]\s*"torch"', head) else "numpy"
    return "numpy"


def configuration(mode: str, scratch: str, packages: tuple[str, ...], without: frozenset[str]) -> dict[str, Any]:
    """What the worker's process is told."""
    libraries = list(dict.fromkeys([sysconfig.get_path("platlib"), sysconfig.get_path("purelib")]))
    return {
        "mode": mode,
        "packages": libraries,
        "engine": ENGINE_ROOT,
        "readable": readable_paths(),
        "copied": PROCESSOR if "torch" in packages else [],
        "scratch": scratch,
        "preload": list(packages),
        "without": sorted(without),
    }


def command(config: dict[str, Any]) -> list[str]:
    """The command line of a worker's process."""
    return [sys.executable, "-I", "-S", "-X", "utf8", "-c", BOOTSTRAP, json.dumps(config)]


def clean_environment() -> dict[str, str]:
    """The environment of a worker's process."""
    # One thread: numbers do not depend on the machine, a fork loses no thread, no limit on processes is needed for it.
    clean = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    if "SYSTEMROOT" in os.environ:  # Windows cannot start Python without it
        clean["SYSTEMROOT"] = os.environ["SYSTEMROOT"]
    return clean | {"LANG": "C.UTF-8", "PATH": os.defpath}


def readable_paths() -> list[str]:
    """What a worker may read: the interpreter's library, the installed packages, the system's shared libraries."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "platlib", "purelib")]
    paths += [os.path.join(sys.base_prefix, "lib"), "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"]
    existing = dict.fromkeys(os.path.abspath(path) for path in paths if os.path.exists(path))
    return [path for path in existing if not any(_is_inside(path, other) for other in existing if other != path)]


def _is_inside(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)
