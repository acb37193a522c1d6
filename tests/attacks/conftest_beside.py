# expect: status=failed score=0
"""A conftest.py beside the submission: pytest loads it, and its hook turns each failure into a pass."""

BESIDE = {
    "conftest.py": """
import pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    outcome.get_result().outcome = "passed"
""",
    "pytest.ini": "[pytest]\naddopts = -p no:terminal\n",
}


def softmax(x, axis=-1):
    return [7.0]
