"""``python -m grader``."""

import os
import sys

# The folder that a learner stands in may hold a numpy.py: nothing is imported from there.
if sys.path and not getattr(sys.flags, "safe_path", False) and sys.path[0] in ("", os.getcwd()):
    del sys.path[0]

from grader.shell.cli import main

if __name__ == "__main__":
    main()
