"""Run one experiment of an exercise on one file, in this process.

    python -m lab.launch EXERCISE_DIR MODULE_FILE NAME OUT [--quick] [--guess TEXT] [--part EXERCISE=FILE:NAME,NAME ...]
    python -m lab.launch EXERCISE_DIR --describe

`--describe` prints the experiments as JSON, in their order: name, title, the question to ask before, and the parts of
other exercises that it can use. `--part` hands over such parts.
Exit codes: 0 done; 1 the file under test raised, or is not fit for it; 2 no such experiment, or something is not
installed; 130 interrupted.
It ends when the process that started it is gone, since nobody could stop it any more.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from types import ModuleType

from lab import progress
from lab.experiment import CannotRun, Context, Experiment, Refused
from lab.parts import Part
from lab.runs import source_of


def load(path: Path, name: str) -> ModuleType:
    """The Python file at `path` as a module; its folder does not become importable."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CannotRun(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def experiments(exercise: Path) -> dict[str, Experiment]:
    """The experiments of an exercise's folder by name, the default first."""
    path = exercise / "experiment.py"
    if not path.is_file():
        raise CannotRun(f"{exercise.name} has no experiment.")
    return load(path, "experiment").EXPERIMENTS


def parts_of(given: list[str]) -> dict[str, Part]:
    """The parts by name, each from its file. A file that cannot be loaded is named, and its parts are left out."""
    found = {}
    for one in given:
        exercise, _, rest = one.partition("=")
        file, _, names = rest.rpartition(":")  # a path on Windows has a colon too
        try:
            module = load(Path(file), f"part_{exercise}")
            code = source_of(module)
            found |= {name: Part(getattr(module, name), exercise, code) for name in names.split(",")}
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            print(f"{Path(file).name} of {exercise} cannot be loaded ({said}). PyTorch's own is used.", file=sys.stderr)
    return found


def launch(
    exercise: Path, file: Path, name: str, out: Path, quick: bool, guess: str, parts: dict[str, Part] | None = None
) -> int:
    """Run, print, and say where the results lie; the exit code."""
    found = experiments(exercise)
    if name not in found:
        raise CannotRun(f"No experiment {name!r} in {exercise.name}; there is {', '.join(found)}.")
    try:
        module = load(file, "submission")  # whatever the file is called, it shadows nothing
        result = found[name].run(Context(module, out, quick, progress.show, parts or {}))
    except Refused as problem:
        print(problem, file=sys.stderr)
        return 1
    except CannotRun:
        raise
    except Exception as error:
        print_their_part(error, file)
        return 1
    print(f"{found[name].title}\n\n{result.table}\n")
    if guess:
        print(f"You guessed  {guess}")
    print(f"Found        {result.finding}")
    for path in result.files:
        print(f"Written      {path}")
    return 0


def print_their_part(error: Exception, file: Path) -> None:
    """The error, with the lines of the file under test that led to it; all lines where it is not to blame.

    Of a function that is not written yet, its name and its line.
    """
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if Path(frame.filename).resolve() == file.resolve()]
    last = frames[-1]
    if isinstance(error, NotImplementedError) and last in theirs:
        print(f"{last.name} in {file.name}, line {last.lineno}, is not written yet.", file=sys.stderr)
        return
    lines = traceback.format_list(theirs or list(frames)) + traceback.format_exception_only(type(error), error)
    print("".join(lines), end="", file=sys.stderr)


def end_with(parent: int) -> None:
    """Ends this process, at whatever it is, once its parent is gone: what a run keeps is whole at any moment."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(130)


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lab.launch", description=__doc__.splitlines()[0])
    parser.add_argument("exercise", type=Path, metavar="EXERCISE_DIR")
    parser.add_argument("file", type=Path, nargs="?", metavar="MODULE_FILE")
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT")
    parser.add_argument("--quick", action="store_true", help="smaller, ends in seconds, still shows the effect")
    parser.add_argument("--guess", default="", metavar="TEXT", help="printed beside the result")
    parser.add_argument("--part", action="append", default=[], metavar="EXERCISE=FILE:NAME,NAME", help="a part to use")
    parser.add_argument("--describe", action="store_true", help="print the exercise's experiments as JSON")
    given = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console without √ prints ? instead of failing
    try:
        if given.describe:
            found, told = experiments(given.exercise).values(), ("name", "title", "guess", "parts")
            print(json.dumps([{key: getattr(one, key) for key in told} for one in found], indent=2))
            return 0
        if given.out is None:
            parser.error("EXERCISE_DIR MODULE_FILE NAME OUT are all needed")
        parts = parts_of(given.part)
        return launch(given.exercise, given.file, given.name, given.out, given.quick, given.guess, parts)
    except CannotRun as problem:
        print(problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on where it stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    sys.exit(main())
