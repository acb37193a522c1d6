"""pyproject.toml holds the one list of dependencies; the others say the same."""

import importlib.metadata
import re
import sys

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONDA_NAMES = {
    "torch": "pytorch", "matplotlib": "matplotlib-base", "psycopg2-binary": "psycopg2", "playwright": "playwright-python",
}  # fmt: skip
NOT_FROM_PYPROJECT = {"python", "pip"}
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
SYSTEMS = {
    "linux": {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "x86_64"},
    "macos": {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows", "platform_machine": "AMD64"},
}


def project_of(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements_of(project) -> list[Requirement]:
    texts = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        texts += extra
    return [Requirement(text) for text in texts]


def conda_list(text: str) -> dict[str, str]:
    """{name: bound} of environment.yml's dependencies, pip's section left out."""
    body = text.split("\ndependencies:\n", 1)[1]
    entries = re.findall(r"^  - ([a-z][a-z0-9_-]*)([<>=!~].*)?$", body, re.MULTILINE)
    return {name: bound for name, bound in entries}


def differences(requirements: list[Requirement], conda: dict[str, str]) -> list[str]:
    wanted = {CONDA_NAMES.get(item.name, item.name): str(item.specifier) for item in requirements}
    listed = {name: bound for name, bound in conda.items() if name not in NOT_FROM_PYPROJECT}
    found = [f"{name} is missing" for name in wanted.keys() - listed.keys()]
    found += [f"{name} is in no list of pyproject.toml" for name in listed.keys() - wanted.keys()]
    both = wanted.keys() & listed.keys()
    found += [f"{name}{listed[name]} should be {wanted[name]}" for name in both if wanted[name] != listed[name]]
    return sorted(found)


def pins_of(text: str) -> list[Requirement]:
    return [Requirement(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def uncovered(requirements: list[Requirement], pins: list[Requirement], environment: dict[str, str]) -> list[str]:
    """Requirements that hold here without one exact pin that satisfies them."""

    def holds(requirement):
        return requirement.marker is None or requirement.marker.evaluate(environment)

    found = []
    for requirement in filter(holds, requirements):
        name = canonicalize_name(requirement.name)
        versions = [str(pin.specifier) for pin in pins if canonicalize_name(pin.name) == name and holds(pin)]
        if len(versions) != 1 or not re.fullmatch(r"==[^*,]+", versions[0]):
            found.append(f"{name}: {versions}")
        elif not requirement.specifier.contains(versions[0].removeprefix("==")):
            found.append(f"{name}: {versions[0]} is outside {requirement.specifier}")
    return found


def environment_for(python: str, system: str) -> dict[str, str]:
    return {"python_version": python, "python_full_version": f"{python}.9", "extra": "", **SYSTEMS[system]}


def test_environment_yml_lists_what_pyproject_lists(repository):
    conda = conda_list((repository / "environment.yml").read_text(encoding="utf-8"))

    assert differences(requirements_of(project_of(repository)), conda) == []


def test_environment_yml_takes_the_pythons_of_pyproject(repository):
    conda = conda_list((repository / "environment.yml").read_text(encoding="utf-8"))
    pythons = [f"3.{minor}" for minor in range(7, 15)]

    admitted = [python for python in pythons if SpecifierSet(conda["python"]).contains(python)]

    assert admitted == PYTHONS
    assert project_of(repository)["requires-python"] == ">=3.10"


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("  - einops>=0.8\n", "", "einops is missing"),
        ("  - einops>=0.8\n", "  - einops>=0.9\n", "einops>=0.9 should be >=0.8"),
        ("  - pytorch>=2.5\n", "  - torch>=2.5\n", "pytorch is missing"),
        ("  - pip\n", "  - pip\n  - scipy>=1.15\n", "scipy is in no list of pyproject.toml"),
    ],
)
def test_a_lie_in_environment_yml_is_seen(repository, before, after, complaint):
    text = (repository / "environment.yml").read_text(encoding="utf-8")
    assert before in text

    conda = conda_list(text.replace(before, after))

    assert complaint in differences(requirements_of(project_of(repository)), conda)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_has_one_exact_version_everywhere(repository, python, system):
    pins = pins_of((repository / "constraints.txt").read_text(encoding="utf-8"))

    assert uncovered(requirements_of(project_of(repository)), pins, environment_for(python, system)) == []


@pytest.mark.parametrize(
    ("pins", "complaint"),
    [
        ([], "numpy: []"),
        (["numpy>=2.2"], "numpy: ['>=2.2']"),
        (["numpy==2.2.6", "numpy==2.4.6; python_version >= '3.11'"], "numpy: ['==2.2.6', '==2.4.6']"),
        (["numpy==2.4.6; python_version < '3.11'"], "numpy: []"),
        (["numpy==1.26.4"], "numpy: ==1.26.4 is outside >=2.1"),
    ],
)
def test_a_lie_in_the_constraints_is_seen(pins, complaint):
    found = uncovered([Requirement("numpy>=2.1")], [Requirement(pin) for pin in pins], environment_for("3.12", "linux"))

    assert found == [complaint]


def test_what_the_dependencies_need_in_their_turn_is_pinned_too(repository):
    pinned = {
        canonicalize_name(pin.name) for pin in pins_of((repository / "constraints.txt").read_text(encoding="utf-8"))
    }
    waiting = [canonicalize_name(item.name) for item in requirements_of(project_of(repository))]
    seen = set()

    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed here, or another system's
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(need.name))

    assert {"pytest", "pluggy"} <= seen
    cuda_build = {
        name for name in seen if name.startswith("nvidia-") or name in ("triton", "cuda-toolkit", "cuda-bindings")
    }
    assert seen - pinned - cuda_build == set()
