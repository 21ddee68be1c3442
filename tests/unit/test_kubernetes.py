"""The Kubernetes manifests keep their promises, as far as that can be read from them without a cluster."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from shared.course_queue.connection import DURABLE_SETTINGS
from shared.settings import Settings
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "kubernetes"
PRODUCTION = FOLDER / "overlays" / "production"
TRACES = FOLDER / "traces"
KUBERNETES = "1.37"
POD_NAME = "statefulset.kubernetes.io/pod-name"
NAME = "app.kubernetes.io/name"
# Defined by an operator, whose schema comes with no package.
FOREIGN_KINDS = {"Cluster"}

Manifest = dict[str, Any]


def manifests_in(folder: Path) -> list[Manifest]:
    """Every manifest that the folder's own files hold, as written."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    files = [folder / name for name in kustomization["resources"] if name.endswith(".yaml")]
    return [document for path in files for document in yaml.safe_load_all(path.read_text())]


MANIFESTS = [
    manifest
    for folder in (FOLDER / "base", FOLDER / "servers", PRODUCTION)
    for manifest in manifests_in(folder)
]
# A CronJob makes jobs, so the job is what there is to look at.
WORKLOADS = {
    manifest["metadata"]["name"]: manifest["spec"].get("jobTemplate", manifest)
    for manifest in MANIFESTS
    if manifest["kind"] in {"Deployment", "StatefulSet", "Job", "CronJob"}
}
SERVING = [name for name in WORKLOADS if name not in {"migrate", "load"}]


def identity(manifest: Manifest) -> str:
    """Kind and name, for the names of tests."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pod_of(workload: str) -> Manifest:
    """The specification of a workload's pods."""
    pod: Manifest = WORKLOADS[workload]["spec"]["template"]["spec"]
    return pod


def container_of(workload: str) -> Manifest:
    """The one container of a workload's pods."""
    [container] = pod_of(workload)["containers"]
    return dict(container)


def named(kind: str, name: str) -> Manifest:
    """One manifest."""
    [found] = [each for each in MANIFESTS if identity(each) == f"{kind}/{name}"]
    return found


def follows_the_schema(manifest: Manifest) -> None:
    """Raises ValidationError where it does not, unknown fields included."""
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("manifest", [*MANIFESTS, *manifests_in(TRACES)], ids=identity)
def test_every_manifest_follows_the_schema_of_its_kind(manifest: Manifest) -> None:
    """That of Kubernetes itself, strictly: a misspelt field is an error."""
    if manifest["kind"] not in FOREIGN_KINDS:
        follows_the_schema(manifest)


def test_the_schema_does_bite() -> None:
    """A wrong type and an unknown field are noticed."""
    for spoilt in ({"replicas": "two"}, {"replica": 2}):
        worker = json.loads(json.dumps(WORKLOADS["worker"]))
        worker["spec"] |= spoilt
        with pytest.raises(kubernetes_validate.ValidationError):
            follows_the_schema(worker)


@pytest.mark.skipif(
    not shutil.which("kubectl"), reason="no kubectl on this machine, which renders kustomizations"
)
def test_the_production_overlay_renders_to_valid_manifests() -> None:
    """As `kubectl apply --kustomize` would send it: one namespace, real images, settings under a name of their content."""
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(PRODUCTION)], capture_output=True, text=True, check=True
    ).stdout
    manifests = list(yaml.safe_load_all(rendered))
    assert len(manifests) == len(MANIFESTS) + len({"settings", "valkey"})
    for manifest in manifests:
        if manifest["kind"] not in FOREIGN_KINDS:
            follows_the_schema(manifest)
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == "course-registration"
    images = set(re.findall(r"image: (.+)", rendered))
    assert {image for image in images if "course-registration" in image} == {
        "registry.example.edu/course-registration-api:0.1.0",
        "registry.example.edu/course-registration-worker:0.1.0",
    }
    assert re.search(r"name: settings-\w+", rendered)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_no_pod_has_a_privilege_it_does_not_need(workload: str) -> None:
    """What the namespace's `restricted` standard demands, and a root file system that nobody can write to."""
    pod, container = pod_of(workload), container_of(workload)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10_001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_container_says_what_it_needs_and_has_a_limit_of_memory(workload: str) -> None:
    """Else the scheduler guesses, and one that runs wild takes its neighbours along."""
    resources = container_of(workload)["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("workload", SERVING)
def test_whatever_serves_is_probed(workload: str) -> None:
    """Ready to be used, and alive at all."""
    assert {"readinessProbe", "livenessProbe"} <= set(container_of(workload))


@pytest.mark.parametrize("workload", ["api", "worker"])
def test_rolling_upgrades_keep_the_old_until_the_new_is_ready(workload: str) -> None:
    """And each has the time to end what it has in hand."""
    manifest, pod = WORKLOADS[workload], pod_of(workload)
    assert manifest["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    pause_s = container_of(workload)["lifecycle"]["preStop"]["sleep"]["seconds"]
    ending_s = 15
    assert pod["terminationGracePeriodSeconds"] >= pause_s + ending_s
    budget = named("PodDisruptionBudget", workload)["spec"]
    assert budget["selector"]["matchLabels"] == manifest["spec"]["selector"]["matchLabels"]
    assert budget["maxUnavailable"] == 1


def test_the_api_scales_and_workers_may() -> None:
    """The autoscaler's count is not fought over by the deployment; workers are as many as one says."""
    assert "replicas" not in WORKLOADS["api"]["spec"]
    assert named("HorizontalPodAutoscaler", "api")["spec"]["minReplicas"] >= 2
    assert WORKLOADS["worker"]["spec"]["replicas"] >= 2


@pytest.mark.parametrize("workload", ["migrate", "load", "api", "worker"])
def test_every_variable_is_a_setting(workload: str) -> None:
    """A misspelt one would do nothing, silently. The API has one more, of uvicorn."""
    known = {name.upper() for name in Settings.model_fields} | {"FORWARDED_ALLOW_IPS"}
    literals = [
        literal.partition("=")[0]
        for folder in (FOLDER / "base", PRODUCTION, TRACES)
        for generator in yaml.safe_load((folder / "kustomization.yaml").read_text())["configMapGenerator"]
        for literal in generator.get("literals", [])
    ]
    assert {each["name"] for each in container_of(workload).get("env", [])} | set(literals) <= known


@pytest.mark.parametrize(
    ("workload", "login"),
    [("migrate", "owner"), ("load", "owner"), ("api", "api"), ("worker", "worker"), ("rq-dashboard", None)],
)
def test_each_part_gets_only_its_own_database_password(workload: str, login: str | None) -> None:
    """And every secret is a file, where the settings look for it."""
    [volume] = [each for each in pod_of(workload)["volumes"] if each["name"] == "secrets"]
    sources = dict.fromkeys(each["secret"]["name"] for each in volume["projected"]["sources"])
    assert [*sources] == ["registration-secrets", *([f"registration-{login}"] if login else [])]
    [mount] = [each for each in container_of(workload)["volumeMounts"] if each["name"] == "secrets"]
    assert mount["mountPath"] == "/run/secrets"


def test_the_previous_keys_are_optional_and_reach_the_api_alone() -> None:
    """Nobody needs them but who reads tokens, and only while the key is being changed."""
    given = {
        workload: [
            each["secret"].get("optional", False)
            for volume in pod_of(workload)["volumes"]
            for each in volume.get("projected", {}).get("sources", [])
            if "secret_keys_previous" in {item["path"] for item in each["secret"]["items"]}
        ]
        for workload in ("migrate", "load", "api", "worker", "rq-dashboard")
    }
    assert given == {"migrate": [], "load": [], "api": [True], "worker": [], "rq-dashboard": []}


@pytest.mark.parametrize(("workload", "port"), [("api", 8500), ("worker", 8501)])
def test_prometheus_finds_and_reaches_every_api_and_worker(workload: str, port: int) -> None:
    """The annotation, the container and the network policy name the same port."""
    annotations = WORKLOADS[workload]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    assert annotations["prometheus.io/port"] == str(port)
    assert [each["containerPort"] for each in container_of(workload)["ports"]] == [port]
    policies = [each["spec"] for each in MANIFESTS if each["kind"] == "NetworkPolicy"]
    selected = {"matchLabels": {"app.kubernetes.io/name": workload}}
    [watched] = [each for each in policies if each["podSelector"] == selected and "ingress" in each]
    [rule] = watched["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": port}]
    sources = [
        each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for each in rule["from"]
    ]
    assert "monitoring" in sources


@pytest.mark.parametrize("held_back", ["api", "worker"])
def test_an_upgrade_can_hold_back_the_api_and_the_workers_alone(held_back: str) -> None:
    """By the selectors that the runbooks of upgrades and of restoring give, which look at an object's own labels."""
    labelled = [each for each in MANIFESTS if each["metadata"].get("labels", {}).get(NAME) == held_back]
    assert [identity(each) for each in labelled] == [f"Deployment/{held_back}"]


def test_nothing_is_loaded_until_somebody_asks() -> None:
    """The pattern of such jobs is suspended for good."""
    assert named("CronJob", "load")["spec"]["suspend"] is True


def test_workers_listen_for_prometheus_on_every_address() -> None:
    """The default is loopback, where nobody outside the pod would reach them."""
    given = {each["name"]: each["value"] for each in container_of("worker")["env"]}
    assert given.items() >= {"METRICS_PORT": "8501", "METRICS_HOST": "0.0.0.0"}.items()


def test_redis_and_postgresql_have_the_durable_settings() -> None:
    """Those without which the API and the workers do not start, and a second copy of every commit."""
    lines = (FOLDER / "servers" / "valkey.conf").read_text().splitlines()
    configured = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    assert configured.items() >= DURABLE_SETTINGS.items()
    database = named("Cluster", "registration-db")["spec"]
    assert database["postgresql"]["synchronous"]["dataDurability"] == "required"
    assert database["postgresql"]["parameters"]["synchronous_commit"] == "on"
    roles = {role["name"] for role in database["managed"]["roles"]}
    granted = {each["value"] for each in container_of("migrate")["env"] if each["name"].endswith("_ROLE")}
    assert granted == roles


def test_traces_get_out_to_the_collector_that_the_settings_name() -> None:
    """From those who send them, on the port and to the namespace of the endpoint, as plain HTTP in the cluster."""
    [generator] = yaml.safe_load((TRACES / "kustomization.yaml").read_text())["configMapGenerator"]
    endpoint = dict(literal.split("=", 1) for literal in generator["literals"])["OTLP_ENDPOINT"]
    [policy] = manifests_in(TRACES)
    [sender] = policy["spec"]["podSelector"]["matchExpressions"]
    assert sender["values"] == ["api", "worker"]
    [rule] = policy["spec"]["egress"]
    [collector] = rule["to"]
    namespace = collector["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert urlsplit(endpoint).hostname == f"collector.{namespace}"
    assert [each["port"] for each in rule["ports"]] == [urlsplit(endpoint).port]


@pytest.mark.parametrize(("host", "follows"), [("valkey-1", ""), ("valkey-0", "valkey-1.valkey-all 6379")])
def test_a_valkey_follows_the_primary_that_is_named_when_it_starts(
    host: str, follows: str, tmp_path: Path
) -> None:
    """Its own script, run with another root: the primary follows nobody, so a promotion outlives every restart."""
    for path, text in {
        "run/secrets/redis_password": "secret",
        "etc/valkey/valkey.conf": "appendonly yes\n",
        "etc/valkey-primary/primary": "valkey-1",
        "bin/valkey-server": '#!/bin/sh\ncat "$1"\n',
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "bin" / "valkey-server").chmod(0o755)
    *shell, script = container_of("valkey")["command"]
    script = re.sub(r"(?<=[\s>])/(?=run|etc|tmp)", f"{tmp_path}/", script)
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOSTNAME": host}
    configuration = subprocess.run(
        [*shell, script], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "appendonly yes\nrequirepass secret\nprimaryauth secret\n" in configuration
    assert re.findall(r"^replicaof (.+)$", configuration, re.MULTILINE) == ([follows] if follows else [])


def test_one_edit_of_the_overlay_names_another_primary() -> None:
    """As the promotion does it: for the servers themselves and for the service that leads to it."""
    overlay = (PRODUCTION / "kustomization.yaml").read_text()
    patches = [yaml.safe_load(each["patch"]) for each in yaml.safe_load(overlay)["patches"]]
    mapped, served = (named(each["kind"], each["metadata"]["name"]) for each in patches)
    assert patches[0]["data"] == mapped["data"] == {"primary": "valkey-0"}
    assert patches[1]["spec"]["selector"] == served["spec"]["selector"] == {POD_NAME: "valkey-0"}
    changed = overlay.replace("valkey-0", "valkey-1")
    assert changed.count("valkey-1") == len(patches)


def test_nobody_reaches_anybody_but_by_name() -> None:
    """All traffic is denied first; then each way that is needed has its policy."""
    denied = named("NetworkPolicy", "nobody-but")["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policies = [each for each in MANIFESTS if each["kind"] == "NetworkPolicy"]
    opened = [rule for each in policies for rule in each["spec"].get("ingress", [])]
    assert all(rule["from"] and rule["ports"] for rule in opened)
