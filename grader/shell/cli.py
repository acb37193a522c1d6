"""The entry point: starts what takes longest, then reads the command line.

The worker's process needs a moment until numpy, or PyTorch, is loaded in it. It is executed before anything else is imported here,
and gets ready while this process does.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

GRADING = ("check", "watch")
# Nearly all that a command makes stays until it ends; looking through it again and again takes a tenth of its time.
COLLECT_AFTER = (300_000, 20, 50)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 all passed, 1 not all, 2 wrong usage or environment, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    gc.set_threshold(*COLLECT_AFTER)
    try:
        launched = _launched_early(words)
        from grader.shell.commands import run

        code = run(words, launched)
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # the reader, a pager say, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 1
    gc.freeze()  # at its end Python looks for garbage once more, which takes longer than many a command
    sys.exit(code)


def _launched_early(words: list[str]) -> object:
    """The worker's server, for the commands that will grade something; None for others and where there is no fork."""
    commands = [word for word in words if not word.startswith("-")]
    if any(name.startswith("_GRADER_COMPLETE") for name in os.environ) or "--help" in words:
        return None
    if commands[:1] and commands[0] not in GRADING:
        return None
    from grader.system.launch import can_fork, framework_of, launch, packages_for

    if not can_fork():
        return None
    frameworks = [framework_of(word, Path.cwd()) for word in commands[1:2]]
    return launch(packages_for(*frameworks or ["numpy"]))


if __name__ == "__main__":
    main()
