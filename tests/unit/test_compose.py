"""The Compose file keeps its promises, as far as that can be read from it without a container engine."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.make_secrets import EMPTY_NAMES, NAMES, make_secrets
from shared.course_queue.connection import DURABLE_SETTINGS
from shared.settings import Settings

REPOSITORY = Path(__file__).parents[2]
COMPOSE_TEXT = (REPOSITORY / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ENV_EXAMPLE = (REPOSITORY / ".env.example").read_text()
OWN_SERVICES = ("migrate", "api", "worker", "rq-dashboard")
LOCUST_SERVICES = ("locust-master", "locust-worker")
OBSERVABILITY = ("prometheus", "grafana")
PROFILES = {"locust": {*LOCUST_SERVICES}, "observability": {*OBSERVABILITY}}


def redis_options() -> dict[str, str]:
    """The options on the command line of Redis; each has one value."""
    words = SERVICES["redis"]["command"][2:]
    return {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}


def secrets_of(service: str) -> dict[str, str]:
    """Secret -> the name of its file in the service's container."""
    given = [
        {"source": each, "target": each} if isinstance(each, str) else each
        for each in SERVICES[service].get("secrets", [])
    ]
    return {each["source"]: each["target"] for each in given}


def test_the_file_follows_the_compose_specification() -> None:
    """Checked against the specification's own schema, which a package brings along."""
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
    checked = subprocess.run(
        [*command, str(REPOSITORY / "docker-compose.yml")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def compose_program() -> list[str] | None:
    """Compose itself, with docker or by itself; None where there is neither, or only its first version."""
    for program in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(program[0]) is not None:
            told = subprocess.run(
                [*program, "version", "--short"], capture_output=True, text=True, check=False
            )
            if told.returncode == 0 and int(told.stdout.strip().removeprefix("v").partition(".")[0]) > 1:
                return program
    return None


@pytest.mark.parametrize(
    "profiles", [(), ("locust",), ("observability",), ("locust", "observability")], ids=str
)
def test_compose_itself_takes_the_file_and_starts_what_was_asked_for(profiles: tuple[str, ...]) -> None:
    """Without a warning, with the variables as .env.example has them; that needs no engine."""
    program = compose_program()
    if program is None:
        pytest.skip("docker compose is not installed (Debian 13: apt-get install docker-compose)")
    chosen = [f"--profile={profile}" for profile in profiles]
    rendered = subprocess.run(
        [*program, "--env-file=.env.example", *chosen, "config", "--format=json"],
        cwd=REPOSITORY,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (rendered.returncode, rendered.stderr) == (0, "")
    asked_for = {"db", "redis", *OWN_SERVICES}.union(*(PROFILES[profile] for profile in profiles))
    assert set(json.loads(rendered.stdout)["services"]) == asked_for


def test_every_part_of_the_system_is_a_service() -> None:
    """One command starts everything."""
    assert set(SERVICES) == {*OWN_SERVICES, *LOCUST_SERVICES, *OBSERVABILITY, "db", "redis"}


def test_watching_is_started_on_request_and_needs_no_password() -> None:
    """Prometheus and Grafana belong to a profile; Grafana has no account, so no default one either."""
    for name in OBSERVABILITY:
        assert SERVICES[name]["profiles"] == ["observability"]
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


def test_prometheus_finds_every_api_and_worker() -> None:
    """The targets of its configuration are our services, on the ports that they listen on, over a network they share."""
    jobs = yaml.safe_load((REPOSITORY / "ops/prometheus/prometheus.yml").read_text())["scrape_configs"]
    ports = {job["job_name"]: job["dns_sd_configs"][0]["port"] for job in jobs}
    assert ports == {"api": 8500, "worker": SERVICES["worker"]["environment"]["METRICS_PORT"]}
    for job in jobs:
        assert job["dns_sd_configs"][0]["names"] == [job["job_name"]]
        assert "metrics" in SERVICES[job["job_name"]]["networks"]
    assert "metrics" in SERVICES["prometheus"]["networks"]


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
    assert options["maxmemory"]
    assert SERVICES["redis"]["command"][1] == f"/run/secrets/{secrets_of('redis')['redis.conf']}"


@pytest.mark.parametrize(("service", "folder"), [("db", "/var/lib/postgresql"), ("redis", "/data")])
def test_data_outlive_their_container(service: str, folder: str) -> None:
    """The folders that the images keep data in are named volumes."""
    volumes = dict(volume.split(":")[:2] for volume in SERVICES[service]["volumes"])
    assert folder in {volumes[name] for name in COMPOSE["volumes"] if name in volumes}


def test_secrets_are_files_and_each_part_gets_only_its_own() -> None:
    """A worker cannot log in as the API, nor either of them as the owner of the tables."""
    assert {name: each["file"] for name, each in COMPOSE["secrets"].items()} == {
        name: f"./secrets/{name}" for name in (*NAMES, *EMPTY_NAMES, "redis.conf")
    }
    owned = {"database_password", "database_api_password", "database_worker_password"}
    logins = {service: {*secrets_of(service)} & owned for service in OWN_SERVICES}
    assert logins == {
        "migrate": {"database_password"},
        "api": {"database_api_password"},
        "worker": {"database_worker_password"},
        "rq-dashboard": set(),
    }
    common = {"secret_key", "database_password", "redis_password"}
    for service, more in (("migrate", set()), ("api", {"secret_keys_previous"}), ("worker", set())):
        assert set(secrets_of(service).values()) == common | more


def test_no_secret_stands_in_an_environment() -> None:
    """Whoever may list containers would read it there. Locust's password is no secret of ours."""
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            assert not re.search("SECRET(?!URITY)|PASSWORD|AUTH$|TOKEN", variable) or (
                name in LOCUST_SERVICES or variable.endswith("_FILE")
            )
            assert not re.search(r"://[^@/]*:[^@/]*@", str(value))
        assert "ALLOW_UNSAFE_REDIS" not in service.get("environment", {})
    assert not re.search("^#?(SECRET_KEY|.*PASSWORD)=.", ENV_EXAMPLE, re.MULTILINE)


def test_made_secrets_are_what_compose_wants_and_are_made_once(tmp_path: Path) -> None:
    """Readable to the containers' users in a folder that nobody else may enter; a second run changes nothing."""
    folder = tmp_path / "secrets"
    make_secrets(folder)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert {f"./secrets/{name}" for name in made} == {each["file"] for each in COMPOSE["secrets"].values()}
    assert made["redis.conf"] == f"requirepass {made['redis_password']}"
    assert len({*made.values()}) == len(made)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    make_secrets(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == made


def test_an_empty_list_of_previous_keys_is_no_key(tmp_path: Path) -> None:
    """As `make secrets` leaves it, the API starts and accepts no token but those of its own key."""
    make_secrets(tmp_path)
    settings = Settings(_secrets_dir=tmp_path)
    assert settings.secret_keys_previous == ()
    assert settings.secret_key == (tmp_path / "secret_key").read_text().strip()


def test_the_migration_grants_to_the_roles_that_are_made_and_used() -> None:
    """One name each for the login, the grant and the script that makes it."""
    script = (REPOSITORY / "deploy" / "compose" / "make_roles.sh").read_text()
    assert 'role="registration_$part"' in script
    assert "for part in api worker;" in script
    for part in ("api", "worker"):
        role = SERVICES["migrate"]["environment"][f"DATABASE_{part.upper()}_ROLE"]
        assert role == f"registration_{part}"
        assert SERVICES[part]["environment"]["DATABASE_URL"].startswith(f"postgresql://{role}@db")


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_limits_and_comes_back(service: str) -> None:
    """One that runs wild takes nothing from the others; one that dies is started again, but for the migration."""
    limits = SERVICES[service]["deploy"]["resources"]["limits"]
    assert {"cpus", "memory"} <= set(limits)
    assert SERVICES[service]["restart"] == ("no" if service == "migrate" else "unless-stopped")


def test_load_tests_run_only_when_asked_for() -> None:
    """`--profile locust`; everything else has no profile."""
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert {name: profiles[name] for name in LOCUST_SERVICES} == {
        name: ["locust"] for name in LOCUST_SERVICES
    }


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
    assert environment.items() >= COMPOSE["x-settings"].items()


@pytest.mark.parametrize("service", [*OWN_SERVICES, "locust-master", "locust-worker", *OBSERVABILITY])
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


def test_traces_can_be_asked_for_in_the_environment_alone() -> None:
    """The packages come with the build, the collector with the settings, and both parts can reach it."""
    for part in ("api", "worker"):
        assert SERVICES[part]["build"]["args"] == {"REQUIREMENTS": "${REQUIREMENTS:-requirements.txt}"}
        assert {"OTLP_ENDPOINT", "OTLP_TRACE_RATIO"} <= set(SERVICES[part]["environment"])
        assert "metrics" in SERVICES[part]["networks"]


def test_workers_can_be_scaled() -> None:
    """Neither a fixed name nor a port stands in the way of a second one."""
    assert not {"container_name", "ports", "hostname"} & set(SERVICES["worker"])


def test_images_are_pinned() -> None:
    """Tomorrow's `up` starts what today's did."""
    others = {name: service["image"] for name, service in SERVICES.items() if "build" not in service}
    for image in others.values():
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", image)


def test_the_locust_folder_does_not_hide_the_locust_package() -> None:
    """With an __init__.py it would."""
    assert not (REPOSITORY / "locust" / "__init__.py").exists()
