"""Set up `.venv` in this clone and run commands in it; needs nothing but the standard library.

    python3 tools/bootstrap.py                  the core: all that the numpy part needs
    python3 tools/bootstrap.py test             all that the tests use; PyTorch only if a CPU build is at hand
    python3 tools/bootstrap.py plots torch      extras by name, as pyproject.toml lists them
    python3 tools/bootstrap.py run -- COMMAND   COMMAND inside .venv; `python` and `grader` are the ones in there

What is set up already is left alone, so calling this again costs next to nothing. uv does the work when it is on
PATH, else `python -m venv` and pip. To change the Python of an existing .venv, delete the folder.

Kept to the syntax of Python 3.6, so that an old interpreter gets a sentence and not a syntax error.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
OLDEST_PYTHON = (3, 10)
EXTRAS = ("torch", "data", "plots", "nbgrader", "postgres", "cluster", "dev")
TEST_EXTRAS = ("data", "plots", "nbgrader", "postgres", "cluster", "dev")
PACKAGES = ("grader", "lab")
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
LOG_NAME = "bootstrap.log"
WINDOWS = os.name == "nt"


class Problem(Exception):
    """What is missing, and its mend: the one message that the user gets, with exit code 2."""


def run_quietly(command, cwd):
    """(exit status, everything it printed); a program that is not there counts as status 127."""
    try:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def tell(line):
    print(line, flush=True)


class Clone:
    """One clone of the repository: its .venv, its stamp and the two lists that the stamp vouches for."""

    def __init__(self, root):
        self.root = root
        self.venv = os.path.join(root, ".venv")
        self.scripts = os.path.join(self.venv, "Scripts" if WINDOWS else "bin")
        self.python = os.path.join(self.scripts, "python.exe" if WINDOWS else "python")
        self.constraints = os.path.join(root, "constraints.txt")
        self.log = os.path.join(self.venv, LOG_NAME)
        self.stamp_file = os.path.join(self.venv, "bootstrap.json")

    def fingerprint(self):
        """Of all that an installation was made from; where a list or the set of packages changes, it is made again."""
        digest = hashlib.sha256()
        for name in ("pyproject.toml", "constraints.txt"):
            with open(os.path.join(self.root, name), "rb") as file:
                digest.update(file.read())
        here = [name for name in PACKAGES if os.path.isdir(os.path.join(self.root, name))]
        digest.update(repr(here).encode())
        return digest.hexdigest()

    def read_stamp(self):
        """What was set up last, or {} where nothing was, it was cut short, or the interpreter is gone."""
        if not os.path.exists(self.python):
            return {}
        try:
            with open(self.stamp_file, encoding="utf-8") as file:
                stamp = json.load(file)
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) and {"root", "made_from", "extras", "torch"} <= set(stamp) else {}

    def write_stamp(self, extras, torch, made_from=None):
        made_from = made_from or self.fingerprint()
        stamp = {"root": self.root, "made_from": made_from, "extras": sorted(extras), "torch": torch}
        with open(self.stamp_file, "w", encoding="utf-8") as file:
            json.dump(stamp, file)


class Installer:
    """Runs the commands of one set-up; `run` is what really starts a program."""

    def __init__(self, clone, uv, run):
        self.clone = clone
        self.uv = uv
        self.run = run

    def make_venv(self):
        clear = ["--clear"] if os.path.isdir(self.clone.venv) else []
        if self.uv:
            command = [self.uv, "venv", *clear, "--python", sys.executable, self.clone.venv]
        else:
            command = [sys.executable, "-m", "venv", *clear, self.clone.venv]
        status, output = self.run(command, self.clone.root)
        if status:
            raise Problem("The virtual environment .venv could not be made.\n" + excerpt(output))

    def install_kit(self, extras):
        wanted = ".[{}]".format(",".join(sorted(extras))) if extras else "."
        if self.uv:
            command = [self.uv, "pip", "install", "--python", self.clone.python]
        else:
            self.ensure_pip()
            command = self.pip_install()
        status, output = self.run([*command, "-c", self.clone.constraints, "-e", wanted], self.clone.root)
        if status:
            raise Problem(self.why_not(output))

    def compile_kit(self):
        """Once for all, also where Python is told to write no byte code; without it, only the start takes longer."""
        here = [name for name in PACKAGES if os.path.isdir(os.path.join(self.clone.root, name))]
        self.run([self.clone.python, "-m", "compileall", "-q", *here], self.clone.root)

    def install_torch(self, requirement):
        """pip's answer; never uv's, which does not look where pip is told to find wheels."""
        self.ensure_pip()
        return self.run([*self.pip_install(), "-c", self.clone.constraints, requirement], self.clone.root)

    def pip_install(self):
        return [self.clone.python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]

    def ensure_pip(self):
        status, _ = self.run([self.clone.python, "-c", "import pip"], self.clone.root)
        if status == 0:
            return
        by_uv = [self.uv, "pip", "install", "--python", self.clone.python, "pip"]
        by_python = [self.clone.python, "-m", "ensurepip"]
        status, output = self.run(by_uv if self.uv else by_python, self.clone.root)
        if status:
            raise Problem("There is no pip in .venv and none could be added.\n" + excerpt(output))

    def python_version(self):
        status, output = self.run(
            [self.clone.python, "-c", "import sys; print(*sys.version_info[:3])"], self.clone.root
        )
        found = re.search(r"(\d+) (\d+) (\d+)\s*$", output)
        return tuple(int(part) for part in found.groups()) if status == 0 and found else None

    def torch_version(self):
        ask = "import importlib.metadata as m; print(m.version('torch'))"
        status, output = self.run([self.clone.python, "-c", ask], self.clone.root)
        return output.strip() if status == 0 else ""

    def why_not(self, output):
        tool = "uv" if self.uv else "pip"
        try:
            with open(self.clone.log, "w", encoding="utf-8") as file:
                file.write(output)
            where = f"\nAll that {tool} said: {self.clone.log}"
        except OSError:
            where = ""
        if re.search("No space left on device", output):
            what, mend = "The disk is full.", "Free some space and run this again."
        elif re.search(NO_NETWORK, output):
            what = "The package index could not be reached."
            mend = "Check the network, and HTTPS_PROXY behind a proxy; then run this again."
        else:
            what = f"{tool} could not install what the kit needs.\n{excerpt(output)}"
            mend = "Mend what it names; then run this again."
        if self.uv:
            mend += "\n  Or leave uv out: python tools/bootstrap.py --no-uv ..."
        return f"{what}\n  {mend}{where}"


NO_NETWORK = (
    "NewConnectionError|Name or service not known|name resolution|getaddrinfo failed|Network is unreachable"
    "|Connection refused|ConnectTimeout|ProxyError|SSLError|dns error|error sending request|Failed to fetch"
)


def excerpt(output, lines=4):
    """The lines that say what went wrong, else the last ones."""
    said = [line.rstrip() for line in output.splitlines() if line.strip()]
    errors = [line for line in said if re.match(r"\s*(error|ERROR|fatal|Caused by|×|╰─▶)", line)]
    return "\n".join("    " + line for line in (errors or said)[-lines:])


def check_interpreter(uv):
    """Raises where a .venv cannot be made with this Python."""
    if tuple(sys.version_info[:2]) < OLDEST_PYTHON:
        newer = [name for name in ("python3.13", "python3.12", "python3.11", "python3.10") if shutil.which(name)]
        if newer:
            mend = "{0} is here: make start PYTHON={0}, or: {0} tools/bootstrap.py".format(newer[0])
        else:
            mend = "Install one, from https://www.python.org/downloads/ or with your system's packages;\n"
            mend += "  then: make start PYTHON=python3.12, or: python3.12 tools/bootstrap.py"
        version = ".".join(str(part) for part in sys.version_info[:3])
        raise Problem(f"Python 3.10 or newer is needed; this is {version} ({sys.executable}).\n  {mend}")
    if uv:
        return
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise Problem(
            "This Python has no module {}, so it can make no virtual environment.\n"
            "  Debian, Ubuntu: sudo apt install python{}.{}-venv. Or install uv: https://docs.astral.sh/uv/".format(
                " and no module ".join(missing), sys.version_info[0], sys.version_info[1]
            )
        )


def pinned_torch(clone):
    """torch==… as constraints.txt has it."""
    with open(clone.constraints, encoding="utf-8") as file:
        found = re.search(r"^torch==\S+", file.read(), re.MULTILINE)
    if not found:
        raise Problem("constraints.txt does not pin torch; nothing newer is taken in its place.")
    return found.group()


def add_torch(installer, needed, any_build):
    """The version of PyTorch in .venv afterwards, "" for none.

    On Linux the plain name brings several gigabytes of CUDA libraries, so that the build is named: +cpu. Other
    systems have no other build than the CPU's under the plain name.
    """
    there = installer.torch_version()
    if there:
        return there
    requirement = pinned_torch(installer.clone)
    if platform.system() == "Linux" and not any_build:
        requirement += "+cpu"
    status, output = installer.install_torch(requirement)
    if status == 0:
        return installer.torch_version()
    if needed:
        by_hand = f"{installer.clone.python} -m pip install {pinned_torch(installer.clone)} --index-url {CPU_WHEELS}"
        raise Problem(
            f"{requirement} could not be installed from where pip looks.\n{excerpt(output, 2)}\n"
            f"  The CPU build (200 MB): {by_hand}\n"
            "  The one of the package index, with CUDA on Linux (gigabytes): add --any-torch-build"
        )
    return ""


def set_up(clone, wanted, torch="no", uv="", any_torch_build=False, run=run_quietly, say=tell):
    """Brings .venv to hold the core, the extras wanted and those that were there before.

    torch is "no", "if at hand" or "needed". Returns False where all was there already.
    """
    stamp = clone.read_stamp()
    moved = bool(stamp) and stamp.get("root") != clone.root
    current = bool(stamp) and not moved and stamp.get("made_from") == clone.fingerprint()
    extras = set(wanted)
    if stamp:
        extras |= set(stamp["extras"])
    if moved and stamp["torch"] and torch == "no":
        torch = "if at hand"
    torch_settled = torch == "no" or stamp.get("torch") or (torch == "if at hand" and stamp.get("torch") == "")
    if current and extras == set(stamp["extras"]) and torch_settled:
        return False

    started = time.time()
    installer = Installer(clone, uv, run)
    make_anew = moved or not os.path.exists(clone.python)
    if make_anew:
        check_interpreter(uv)
    names = ", ".join(["the core", *sorted(extras)])
    say(f"Installing {names} into {os.path.relpath(clone.venv, clone.root)} ...")
    if make_anew:
        installer.make_venv()
    elif not stamp:
        version = installer.python_version()
        if version is None or version[:2] < OLDEST_PYTHON:
            has = "does not start" if version is None else "is Python " + ".".join(str(part) for part in version)
            raise Problem(f"The interpreter in {clone.venv} {has}.\n  Delete that folder and run this again.")
    if stamp:
        clone.write_stamp(extras, None if moved else stamp["torch"], made_from="cut short")
    installer.install_kit(extras)
    installer.compile_kit()
    torch_there = None if moved else stamp.get("torch")
    if torch != "no":
        clone.write_stamp(extras, torch_there)
        torch_there = add_torch(installer, torch == "needed", any_torch_build)
        if not torch_there:
            say("No CPU build of PyTorch is at hand for this Python: what needs it is skipped.")
    clone.write_stamp(extras, torch_there)
    say(f"Done in {time.time() - started:.0f} s.")
    return True


def run_inside(clone, command):
    """Runs the command with .venv's programs first on PATH; its exit status (on POSIX this process becomes it)."""
    environment = dict(os.environ)
    environment.pop("PYTHONHOME", None)
    environment["VIRTUAL_ENV"] = clone.venv
    environment["PATH"] = clone.scripts + os.pathsep + environment.get("PATH", "")
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise Problem(f"There is no program {command[0]} in {clone.scripts} or on PATH.")
    sys.stdout.flush()
    sys.stderr.flush()
    if WINDOWS:
        return subprocess.call([program, *command[1:]], env=environment)
    os.execve(program, [program, *command[1:]], environment)


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="bootstrap.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", metavar="core|test|EXTRA", help="extras: {}".format(", ".join(EXTRAS)))
    parser.add_argument("--no-uv", action="store_true", help="use venv and pip even where uv is on PATH")
    parser.add_argument(
        "--any-torch-build", action="store_true", help="PyTorch as the package index has it, CUDA included"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.what if name not in ("core", "test", *EXTRAS)]
    if unknown:
        parser.error("no such extra: {} (there are core, test, {})".format(", ".join(unknown), ", ".join(EXTRAS)))
    return options


def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command = None
    if arguments[:1] == ["run"]:
        command = arguments[2:] if arguments[1:2] == ["--"] else arguments[1:]
        if not command:
            sys.stderr.write("usage: bootstrap.py run -- COMMAND [ARGUMENT ...]\n")
            return 2
        arguments = []
    options = parse(arguments)
    clone = Clone(ROOT)
    extras = {name for name in options.what if name in EXTRAS and name != "torch"}
    if "torch" in options.what:  # whoever trains wants a text to train on, and a checkpoint
        extras.add("data")
    if "test" in options.what:
        extras.update(TEST_EXTRAS)
    torch = "needed" if "torch" in options.what else "if at hand" if "test" in options.what else "no"
    uv = "" if options.no_uv else shutil.which("uv") or ""
    try:
        changed = set_up(clone, extras, torch, uv, options.any_torch_build)
        if command:
            return run_inside(clone, command)
    except Problem as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    if not changed:
        print(f"Nothing to do: {os.path.relpath(clone.venv, clone.root)} holds it all.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
