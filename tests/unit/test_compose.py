"""The container files keep their promises, as far as that can be read from them without a container engine."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.course_queue.connection import DURABLE_SETTINGS
from shared.settings import Settings

REPOSITORY = Path(__file__).parents[2]
COMPOSE_TEXT = (REPOSITORY / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ENV_EXAMPLE = (REPOSITORY / ".env.example").read_text()
DOCKERFILES = ("Dockerfile.api", "Dockerfile.worker")
OWN_SERVICES = ("migrate", "api", "worker", "rq-dashboard")
SECRETS = {"SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "RQ_DASHBOARD_PASSWORD"}


def instructions(dockerfile: str) -> list[str]:
    """The instructions of a Dockerfile, continued lines joined, comments left out."""
    lines = (REPOSITORY / dockerfile).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return [line for line in text.replace("\\\n", "").splitlines() if line.strip()]


def of_kind(dockerfile: str, word: str) -> list[str]:
    """What the instructions of one kind say."""
    return [line.split(maxsplit=1)[1] for line in instructions(dockerfile) if line.split()[0] == word]


def redis_options() -> dict[str, str]:
    """The options on the command line of Redis; each has one value."""
    words = SERVICES["redis"]["command"][1:]
    return {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}


def test_every_part_of_the_system_is_a_service() -> None:
    """One command starts everything."""
    assert set(SERVICES) == {*OWN_SERVICES, "db", "redis", "locust-master", "locust-worker"}


def test_only_the_api_and_locust_are_published_beyond_this_machine() -> None:
    """Whatever else has a port is bound to loopback."""
    published = {name: port for name, service in SERVICES.items() for port in service.get("ports", [])}
    beyond = {name for name, port in published.items() if not port.startswith("127.0.0.1:")}
    assert beyond == {"api", "locust-master"}
    assert published["api"] == "8500:8500"
    assert published["locust-master"] == "8585:8089"


def test_databases_are_reachable_by_those_who_need_them_and_have_no_way_out() -> None:
    """PostgreSQL and Redis stand in internal networks, and Locust in neither."""
    for server, network in (("db", "database"), ("redis", "queue")):
        assert SERVICES[server]["networks"] == [network]
        assert COMPOSE["networks"][network] == {"internal": True}
        assert network not in SERVICES["locust-master"]["networks"] + SERVICES["locust-worker"]["networks"]


def test_redis_has_every_setting_that_the_api_insists_on() -> None:
    """Else neither the API nor a worker would start."""
    options = redis_options()
    assert options.items() >= DURABLE_SETTINGS.items()
    assert options["no-appendfsync-on-rewrite"] == "no"
    assert options["requirepass"]
    assert options["maxmemory"]


@pytest.mark.parametrize(("service", "folder"), [("db", "/var/lib/postgresql"), ("redis", "/data")])
def test_data_outlive_their_container(service: str, folder: str) -> None:
    """The folders that the images keep data in are named volumes."""
    volume, target = SERVICES[service]["volumes"][0].split(":")
    assert target == folder
    assert volume in COMPOSE["volumes"]


def test_secrets_are_required_and_have_no_default() -> None:
    """A stack without its own secrets does not start."""
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE_TEXT))
    assert required == SECRETS
    with_default = set(re.findall(r"\$\{(\w+)(?::?-|\})", COMPOSE_TEXT))
    assert not [name for name in with_default if re.search("SECRET|PASSWORD|KEY|TOKEN", name)]


def test_secrets_reach_the_services_from_the_environment_file_only() -> None:
    """No value that looks like a secret stands in the file itself."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("SECRET|PASSWORD|AUTH", name):
                assert value is None or re.fullmatch(r"\$\{\w+:\?[^}]+\}", value)
        assert "ALLOW_UNSAFE_REDIS" not in service.get("environment", {})


def test_the_example_leaves_every_secret_empty() -> None:
    """It is in the repository, so whatever stood there would be no secret."""
    for name in SECRETS:
        assert re.search(rf"^{name}=$", ENV_EXAMPLE, re.MULTILINE)
    assert re.search(r"^#LOCUST_PASSWORD=$", ENV_EXAMPLE, re.MULTILINE)


def test_every_variable_that_compose_reads_is_documented() -> None:
    """In .env.example, set or commented out."""
    handed_on = {
        name
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }
    read = handed_on | set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT))
    documented = set(re.findall(r"^#?([A-Z_]+)=", ENV_EXAMPLE, re.MULTILINE))
    assert read == documented


def test_the_example_shows_the_true_defaults_of_the_settings() -> None:
    """A commented-out setting says what holds without it."""
    shown = dict(re.findall(r"^#([A-Z_]+)=(.*)$", ENV_EXAMPLE, re.MULTILINE))
    for name, field in Settings.model_fields.items():
        if name.upper() in shown:
            assert shown[name.upper()] == str(field.default)


@pytest.mark.parametrize("service", ["migrate", "api", "worker"])
def test_our_processes_run_as_in_production_on_the_same_settings(service: str) -> None:
    """The built-in secret is refused, and API and worker agree, on the number of shards above all."""
    environment = SERVICES[service]["environment"]
    assert environment["ENVIRONMENT"] == "production"
    assert environment.items() >= SERVICES["worker"]["environment"].items()


@pytest.mark.parametrize("service", [*OWN_SERVICES, "locust-master", "locust-worker"])
def test_our_processes_have_no_privileges(service: str) -> None:
    """No capability, no way to gain one, and nowhere to write but /tmp."""
    confined = SERVICES[service]
    assert confined["cap_drop"] == ["ALL"]
    assert confined["read_only"] is True
    assert confined["tmpfs"] == ["/tmp"]
    assert "no-new-privileges:true" in confined["security_opt"]


@pytest.mark.parametrize("service", ["api", "worker"])
def test_nothing_starts_before_what_it_needs(service: str) -> None:
    """The tables are there, and both servers answer."""
    conditions = {name: given["condition"] for name, given in SERVICES[service]["depends_on"].items()}
    assert conditions == {
        "migrate": "service_completed_successfully",
        "db": "service_healthy",
        "redis": "service_healthy",
    }


def test_workers_can_be_scaled() -> None:
    """Neither a fixed name nor a port stands in the way of a second one."""
    assert not {"container_name", "ports", "hostname"} & set(SERVICES["worker"])


def test_images_are_pinned() -> None:
    """Tomorrow's `up` starts what today's did."""
    others = {name: service["image"] for name, service in SERVICES.items() if "build" not in service}
    for image in others.values():
        assert re.search(r":\d+\.\d+(\.\d+)?(-\w+)?$", image)
    for dockerfile in DOCKERFILES:
        for base in of_kind(dockerfile, "FROM"):
            assert re.match(r"python:3\.\d+-slim-\w+( AS \w+)?$", base)


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
    assert check[:2] == ["python", "-c"]
    compile(check[2], dockerfile, "exec")
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


def test_the_locust_folder_does_not_hide_the_locust_package() -> None:
    """With an __init__.py it would."""
    assert not (REPOSITORY / "locust" / "__init__.py").exists()
