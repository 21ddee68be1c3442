"""What is installed today is what is installed next month: constraints.txt names every package, and no other."""

import re
from importlib.metadata import distributions

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY

CONSTRAINTS = REPOSITORY / "constraints.txt"
REQUIREMENTS = ("requirements.txt", "requirements-otel.txt", "requirements-dev.txt")
PYTHONS = ("3.11.0", "3.11.9", "3.12.4", "3.13.5", "3.14.0")
CURE = "run `make lock` after changing a requirement; `make clean` clears what an old one has left behind"


def pins_in(name: str) -> list[Requirement]:
    """The lines of a requirements file that name a package."""
    lines = (REPOSITORY / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-r"))]


def pinned(python: str | None = None) -> dict[str, str]:
    """Package -> version, as constraints.txt has it for this Python, or for another one on this system."""
    environment = default_environment()
    if python is not None:
        environment |= {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin in pins_in(CONSTRAINTS.name)
        if pin.marker is None or pin.marker.evaluate({**environment})
    }


def test_every_installed_package_is_pinned_and_none_besides() -> None:
    """Those below the requirements as well, each at its one version."""
    installed = {canonicalize_name(found.name): found.version for found in distributions()}
    assert installed == pinned(), CURE


@pytest.mark.parametrize("python", PYTHONS)
def test_the_requirements_and_the_constraints_name_the_same_versions(python: str) -> None:
    """On every Python that is supported; else pip would refuse both together."""
    wanted = {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for name in REQUIREMENTS
        for pin in pins_in(name)
    }
    assert pinned(python).items() >= wanted.items(), CURE


@pytest.mark.parametrize("recipe", ["Makefile", "Dockerfile.api", "Dockerfile.worker"])
def test_nothing_is_installed_without_the_constraints(recipe: str) -> None:
    """Wherever pip is given requirements."""
    text = (REPOSITORY / recipe).read_text().replace("\\\n", "")
    installs = re.findall(r"pip install .*? -r .*", text)
    assert installs
    assert all("-c constraints.txt" in install for install in installs)
