"""What the pages tell operators to type can be typed: it parses, and names only what is there."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from shared.manage.__main__ import app
from tests.conftest import REPOSITORY

PAGES = [
    *(REPOSITORY / "docs").rglob("*.md"),
    REPOSITORY / "README.md",
    REPOSITORY / "deploy" / "README.md",
]
KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
SERVICES = set(yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"])
# Sub-commands of `docker compose` that run something within one service, and those that take any number of them.
WITHIN_ONE = {"exec", "run"}
OF_ANY = {"up", "stop", "start", "restart", "logs", "create"}
OBJECT = re.compile(
    r"\b(deployment|statefulset|service|job|cronjob|configmap|cluster|pod)[/ ]([a-z][a-z0-9-]*)"
)
# What a StatefulSet makes of its name.
ORDINAL = re.compile(r"-\d+$")


def blocks() -> Iterator[tuple[Path, str]]:
    """Every block of shell commands in the pages."""
    for page in PAGES:
        for block in re.findall(r"^( *)```sh\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL):
            yield page, block[1]


def lines() -> Iterator[str]:
    """Their lines, each with what is continued on the next."""
    for _, block in blocks():
        yield from block.replace("\\\n", " ").splitlines()


def objects() -> set[tuple[str, str]]:
    """Kind and name of everything in the manifests."""
    documents = [each for path in KUBERNETES.rglob("*.yaml") for each in yaml.safe_load_all(path.read_text())]
    return {(each["kind"].lower(), each["metadata"]["name"]) for each in documents if "metadata" in each}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_parse(page: Path) -> None:
    """By bash itself, which runs nothing."""
    for found, block in blocks():
        if found == page:
            checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
            assert checked.returncode == 0, block + checked.stderr


def test_compose_commands_name_services_that_exist() -> None:
    """Options with a value are written with `=`, so that the first word without a dash is the service."""
    named = set()
    for line in lines():
        for sub_command, rest in re.findall(r"docker compose (?:--\S+ )?(\w+)([^|;&<>]*)", line):
            words = [word for word in shlex.split(rest.replace("'", "")) if not word.startswith("-")]
            words = [word for word in words if "=" not in word]
            named |= {*words[:1]} if sub_command in WITHIN_ONE else set()
            named |= {*words} if sub_command in OF_ANY else set()
    assert named
    assert named <= SERVICES


def test_kubectl_commands_name_objects_that_exist() -> None:
    """Kind and name stand in the manifests; a pod is one of a StatefulSet, and a job may be made of a pattern."""
    there = objects()
    there |= {("pod", name) for kind, name in there if kind == "statefulset"}
    there |= {("job", name) for line in lines() for name in re.findall(r"create job (\S+) --from", line)}
    named = {
        (kind, ORDINAL.sub("", name))
        for line in lines()
        if "kubectl" in line
        for kind, name in OBJECT.findall(line)
    }
    assert named
    assert named <= there


def test_our_own_commands_exist() -> None:
    """Those of `shared.manage`, and modules that are run by their name."""
    commands = {command.name for command in app.registered_commands} | {"COMMAND"}
    for page in PAGES:
        for module, word in re.findall(
            r"python -m ((?:shared|scripts|api|worker)(?:\.\w+)*) ?([\w-]*)", page.read_text()
        ):
            assert find_spec(module), (page, module)
            assert module != "shared.manage" or not word or word in commands, (page, word)
