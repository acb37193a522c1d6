import importlib.util
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def repository() -> Path:
    return REPOSITORY


def load_bootstrap(path: Path):
    spec = importlib.util.spec_from_file_location("bootstrap", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bootstrap():
    """tools/bootstrap.py as a module; it is no part of a package."""
    return load_bootstrap(REPOSITORY / "tools" / "bootstrap.py")


@pytest.fixture
def clone_folder(tmp_path) -> Path:
    """What bootstrap.py needs of a clone, in a folder of its own, not set up yet."""
    folder = tmp_path / "my clone"
    (folder / "tools").mkdir(parents=True)
    (folder / "grader").mkdir()
    shutil.copy(REPOSITORY / "tools" / "bootstrap.py", folder / "tools")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, folder)
    return folder
