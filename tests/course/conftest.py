import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "last: takes long, so it runs after all other tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
