"""Writes the golden texts anew: ``python -m tests.golden.regenerate [NAME…]``. What changed is then seen in review."""

import os
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    os.environ["UPDATE_GOLDEN"] = "1"
    chosen = ["-k", " or ".join(sys.argv[1:])] if sys.argv[1:] else []
    sys.exit(pytest.main([str(Path(__file__).parents[1] / "engine" / "test_golden.py"), "-q", *chosen]))
