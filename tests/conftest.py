"""How the tests are shared out among processes (`-n 2 --dist loadgroup`)."""

import os

import pytest

# One thread, as in a worker: threads that wait for work spend processor time, which tests of costs compare. numpy reads
# this once, when it is loaded.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests stay together, since they share what is dear to make; those that take long go one by one."""
    for item in items:
        if item.get_closest_marker("last") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
