"""The images keep their promises, as far as that can be read from their recipes without a container engine."""

import importlib.util
import json
import re

import pytest
import yaml

from tests.conftest import REPOSITORY

DOCKERFILES = ("Dockerfile.api", "Dockerfile.worker")
API_COMMAND = "python -m api --host 0.0.0.0 --port 8500"
COMPILE = "compileall -q --invalidation-mode checked-hash"


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
    left_out = re.search(r"'/\^\(([^)]+)\)==/d' requirements\.txt", "\n".join(instructions(dockerfile)))
    assert left_out
    required = re.findall(r"^([\w-]+)", (REPOSITORY / "requirements.txt").read_text(), re.MULTILINE)
    assert set(left_out[1].split("|")) <= set(required)


@pytest.mark.parametrize(("part", "command"), [("api", API_COMMAND), ("worker", "python -m worker")])
def test_what_an_image_starts_is_what_compose_and_kubernetes_start(part: str, command: str) -> None:
    """As its own documentation says; neither has a command of its own to differ in."""
    assert " ".join(json.loads(of_kind(f"Dockerfile.{part}", "CMD")[-1])) == command
    service = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"][part]
    manifests = yaml.safe_load_all((REPOSITORY / f"deploy/kubernetes/base/{part}.yaml").read_text())
    [deployment] = [each for each in manifests if each["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert not {"command", "entrypoint"} & set(service)
    assert not {"command", "args"} & set(container)


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_bytecode_is_made_with_the_image_and_valid_whatever_times_its_files_have(dockerfile: str) -> None:
    """Packages', Python's and our own: builders round times, and a container that may not write would compile at each start."""
    commands = " && ".join(of_kind(dockerfile, "RUN"))
    for folder in ("/venv/lib", 'get_path("stdlib")', "/app"):
        assert re.search(f"{COMPILE}[^&]* \\S*{re.escape(folder)}", commands)


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_packages_for_traces_are_installed_when_asked_for(dockerfile: str) -> None:
    """By a build argument, whose default leaves them out."""
    assert of_kind(dockerfile, "ARG") == ["REQUIREMENTS=requirements.txt"]
    assert '-r "$REQUIREMENTS"' in " ".join(of_kind(dockerfile, "RUN"))


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_whatever_an_image_copies_is_let_into_the_build(dockerfile: str) -> None:
    """.dockerignore lets in what it names and nothing else, secrets least of all."""
    rules = (REPOSITORY / ".dockerignore").read_text().splitlines()
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    own = [words.split()[:-1] for words in of_kind(dockerfile, "COPY") if not words.startswith("--from")]
    copied = {source for sources in own for source in sources}
    assert copied <= let_in
    assert "*" in rules
    assert not {".env", ".git", "tests"} & let_in
