"""An image works with the packages that are installed in it, which are fewer than those of a development machine."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY
from tests.unit.test_dockerfiles import instructions
from tests.unit.test_pinning import pins_in

COMMANDS = {
    "api": ["seed_student", "import_catalogue", "import_students", "make_courses", "make_students"],
    "worker": ["dashboard"],
}
IMPORT_ALL = """
import importlib, json, pkgutil, sys
absent, parts, commands = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(absent))
for part in parts:
    package = importlib.import_module(part)
    for module in pkgutil.walk_packages(package.__path__, part + "."):
        importlib.import_module(module.name)
for command in commands:
    importlib.import_module("scripts." + command)
"""


def installed_in(part: str) -> set[str]:
    """The packages of an image, with all that they need in turn."""
    recipe = "\n".join(instructions(f"Dockerfile.{part}"))
    left_out = re.search(r"'/\^\(([^)]+)\)==/d'", recipe)
    assert left_out
    wanted = [pin for pin in pins_in("requirements.txt") if pin.name not in left_out[1].split("|")]
    found: set[tuple[str, str]] = set()
    while wanted:
        pin = wanted.pop()
        new = {(canonicalize_name(pin.name), extra) for extra in ("", *pin.extras)} - found
        found |= new
        for name, extra in new:
            wanted += needs_of(name, extra)
    return {name for name, _extra in found}


def needs_of(name: str, extra: str) -> Iterator[Requirement]:
    """What a package needs by itself, or for one of its extras, on this machine."""
    for line in distribution(name).requires or ():
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"extra": extra}):
            yield needed


@pytest.mark.parametrize("part", COMMANDS)
def test_everything_an_image_runs_can_be_imported_with_its_own_packages(part: str) -> None:
    """What only the load generator or the tests bring along is not there."""
    present = installed_in(part)
    absent = [
        module
        for module, owners in packages_distributions().items()
        if not {canonicalize_name(owner) for owner in owners} & present
    ]
    assert {"locust", "pytest"} <= set(absent)
    told = json.dumps([absent, [part, "shared"], COMMANDS[part]])
    imported = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, told], check=False, cwd=REPOSITORY, capture_output=True, text=True
    )
    assert imported.returncode == 0, imported.stderr
