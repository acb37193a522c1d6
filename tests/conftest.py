"""How the tests are shared out among processes (`-n 2 --dist loadgroup`)."""

import pytest


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests stay together, since they share what is dear to make; those that take long go one by one."""
    for item in items:
        if item.get_closest_marker("last") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
