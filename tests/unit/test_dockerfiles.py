"""The images keep their promises, as far as that can be read from their recipes without a container engine."""

import importlib.util
import json
import re

import pytest

from tests.conftest import REPOSITORY

DOCKERFILES = ("Dockerfile.api", "Dockerfile.worker")


def instructions(dockerfile: str) -> list[str]:
    """The instructions of a Dockerfile, continued lines joined, comments left out."""
    lines = (REPOSITORY / dockerfile).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return [line for line in text.replace("\\\n", "").splitlines() if line.strip()]


def of_kind(dockerfile: str, word: str) -> list[str]:
    """What the instructions of one kind say."""
    return [line.split(maxsplit=1)[1] for line in instructions(dockerfile) if line.split()[0] == word]


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_a_base_image_is_pinned(dockerfile: str) -> None:
    """To one release of Python on one release of Debian; what is built and what is run are two stages."""
    bases = of_kind(dockerfile, "FROM")
    assert len(bases) == 2
    for base in bases:
        assert re.match(r"python:3\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?( AS \w+)?$", base)


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_runs_as_an_unprivileged_user_with_a_fixed_id(dockerfile: str) -> None:
    """The last word on the user is not root's."""
    assert of_kind(dockerfile, "USER")[-1] == "10001:10001"


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_signals_reach_the_process_itself(dockerfile: str) -> None:
    """The commands are in exec form, for a shell in between would swallow SIGTERM."""
    command = json.loads(of_kind(dockerfile, "CMD")[-1])
    check = json.loads(of_kind(dockerfile, "HEALTHCHECK")[-1].split("CMD", 1)[1])
    assert command[0] != "sh"
    assert check[0] == "python"
    if check[1] == "-c":
        compile(check[2], dockerfile, "exec")
    else:
        assert importlib.util.find_spec(check[2])
    assert of_kind(dockerfile, "STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_what_an_image_leaves_out_is_named_as_in_the_requirements(dockerfile: str) -> None:
    """Else a renamed requirement would slip back in unseen."""
    left_out = re.search(r"grep -vE '\^\(([^)]+)\)=='", "\n".join(instructions(dockerfile)))
    assert left_out
    required = re.findall(r"^([\w-]+)", (REPOSITORY / "requirements.txt").read_text(), re.MULTILINE)
    assert set(left_out[1].split("|")) <= set(required)


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_whatever_an_image_copies_is_let_into_the_build(dockerfile: str) -> None:
    """.dockerignore lets in what it names and nothing else, secrets least of all."""
    rules = (REPOSITORY / ".dockerignore").read_text().splitlines()
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {source.split()[0] for source in of_kind(dockerfile, "COPY") if not source.startswith("--from")}
    assert copied <= let_in
    assert "*" in rules
    assert not {".env", ".git", "tests"} & let_in
