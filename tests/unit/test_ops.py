"""What watches the system asks only for metrics that exist, and every alert leads to a page that tells what to do."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from shared import metrics

REPOSITORY = Path(__file__).parents[2]
KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
PROMETHEUS = REPOSITORY / "ops" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((REPOSITORY / "ops" / "grafana" / "dashboards" / "registration.json").read_text())
DASHBOARD_EXPRESSIONS = [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])
]
SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "summary": ("_sum", "_count"),
    "histogram": ("_bucket", "_sum", "_count"),
}
# Grafana's own metrics dashboard 12196, made for rq-exporter, asks for these.
RQ_EXPORTER_NAMES = {
    "rq_jobs",
    "rq_workers",
    "rq_workers_success_total",
    "rq_workers_failed_total",
    "rq_workers_working_time_total",
    "rq_request_processing_seconds_sum",
    "rq_request_processing_seconds_count",
}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)


def series_names() -> Iterator[str]:
    """Every series name that `shared.metrics` can give."""
    for value in vars(metrics).values():
        if isinstance(value, metrics.Reading):
            yield value.name
        elif isinstance(value, MetricWrapperBase):
            described = value.describe()[0]
            yield from (described.name + suffix for suffix in SUFFIXES[described.type])


def labels_of_series() -> dict[str, set[str]]:
    """Every such series name, with the labels that it has."""
    return {
        name: {*labels, *({"le"} if name.endswith("_bucket") else ())}
        for family, labels in labels_of_metrics().items()
        for name in series_names()
        if name == family or name in {family + suffix for suffix in ("_bucket", "_sum", "_count")}
    }


def labels_of_metrics() -> dict[str, set[str]]:
    """Every metric by the name that the documentation uses: counters with `_total`, histograms and summaries bare."""
    found = {}
    for value in vars(metrics).values():
        if isinstance(value, metrics.Reading):
            found[value.name] = set(value.labels)
        elif isinstance(value, MetricWrapperBase):
            described = value.describe()[0]
            ending = "_total" if described.type == "counter" else ""
            found[described.name + ending] = set(value._labelnames)
    return found


def asked_for(expression: str) -> set[str]:
    """The series of ours that a PromQL expression names."""
    return set(re.findall(r"\b(?:registration|rq)_\w+", expression))


def labels_asked_for(expression: str) -> set[str]:
    """The labels by which a PromQL expression selects or groups."""
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    grouped = re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", expression)
    return {*selected, *re.findall(r"\w+", " ".join(grouped))}


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in RULES), *DASHBOARD_EXPRESSIONS])
def test_rules_and_dashboard_select_and_group_by_labels_that_their_metrics_have(expression: str) -> None:
    """By a label that is not there an alert would find nothing, and a panel show one line for everything."""
    there = set().union(*(labels_of_series()[name] for name in asked_for(expression)))
    assert labels_asked_for(expression) <= there | ({"job"} if "up{" in expression else set())


def test_the_page_of_metrics_names_every_metric_with_its_labels_and_no_other() -> None:
    """Its table shortens the names that follow another of the same thing: `_waiting`."""
    page = (REPOSITORY / "docs" / "metrics.md").read_text()
    there, named = labels_of_metrics(), set()
    for row in re.findall(r"^\| `((?:registration|rq)_.*)\|$", page, re.MULTILINE):
        first, labels = ("`" + row).split("|")[:2]
        names = re.findall(r"`(\w+)`", first)
        thing = "_".join(names[0].split("_")[:2])
        full = {thing + name if name.startswith("_") else name for name in names}
        assert full <= set(there)
        assert set(re.findall(r"\w+", labels)) == set().union(*(there[name] for name in full))
        named |= full
    assert named == set(there)


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in RULES), *DASHBOARD_EXPRESSIONS])
def test_rules_and_dashboard_ask_for_metrics_that_exist(expression: str) -> None:
    """A renamed metric would make an alert silent for ever."""
    assert asked_for(expression) <= set(series_names())
    assert asked_for(expression) or "up" in expression


def test_the_names_of_rq_exporter_are_there() -> None:
    """Dashboards made for it find what they look for."""
    assert set(series_names()) >= RQ_EXPORTER_NAMES


def test_every_metric_of_ours_says_what_it_means_and_bears_its_unit() -> None:
    """Seconds, bytes, requests or plain counts; nobody has to guess."""
    for name in series_names():
        assert re.fullmatch(r"(registration|rq)_[a-z_]+", name)
        assert "milli" not in name
        assert "_ms" not in name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_leads_to_a_page_that_exists(rule: dict[str, Any]) -> None:
    """The runbook link is a heading of one of our documents, and the severity one of two."""
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (REPOSITORY / path).read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert anchor in anchors
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_every_alert_is_tested() -> None:
    """Once raised, and once not."""
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for raised in (True, False):
        assert {case["alertname"] for case in cases if bool(case.get("exp_alerts")) is raised} == {
            rule["alert"] for rule in RULES
        }


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [
        ("test", "rules", "ops/prometheus/alerts_test.yml"),
        ("check", "config", "ops/prometheus/local.yml"),
        ("check", "config", "--syntax-only", "ops/prometheus/prometheus.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing(arguments: tuple[str, ...]) -> None:
    """The rules fire and keep silent as their tests say, and Prometheus takes every configuration."""
    run_promtool(*arguments)


@needs_promtool
def test_prometheus_finds_api_and_workers_in_kubernetes_by_the_job_that_alerts_ask_for(
    tmp_path: Path,
) -> None:
    """Its own relabelling, on what Kubernetes would tell of every pod in the manifests, one target for each port."""
    configuration = kubernetes_configuration()
    [job] = configuration["scrape_configs"]
    job["static_configs"] = [{"targets": ["192.0.2.1:80"], "labels": labels} for labels in discovered_pods()]
    path = tmp_path / "prometheus.yml"
    path.write_text(json.dumps(configuration))
    run_promtool("check", "config", "--syntax-only", str(path))
    command = ["promtool", "check", "service-discovery", "--timeout=2s", str(path), job["job_name"]]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    found = [each for each in json.loads(told) if each.get("labels")]
    assert {each["labels"]["job"]: port_of(each) for each in found} == {"api": "8500", "worker": "8501"}
    assert len(found) == 2
    assert all(each["labels"]["__metrics_path__"] == "/metrics" for each in found)


def kubernetes_configuration() -> dict[str, Any]:
    """The file without its one line that Debian's promtool does not know: how the pods are listed."""
    configuration: dict[str, Any] = yaml.safe_load((PROMETHEUS / "kubernetes.yml").read_text())
    [job] = configuration["scrape_configs"]
    [discovery] = job.pop("kubernetes_sd_configs")
    namespace = yaml.safe_load((KUBERNETES / "overlays" / "production" / "namespace.yaml").read_text())
    assert discovery == {"role": "pod", "namespaces": {"names": [namespace["metadata"]["name"]]}}
    return configuration


def discovered_pods() -> Iterator[dict[str, str]]:
    """The labels that Kubernetes gives to the ports of the manifests' pods, of those that have ended too."""
    for path in KUBERNETES.rglob("*.yaml"):
        for manifest in yaml.safe_load_all(path.read_text()):
            if "template" in manifest.get("spec", {}):
                for phase in ("Running", "Succeeded"):
                    yield from labels_of(manifest["spec"]["template"], phase)


def labels_of(pod: dict[str, Any], phase: str) -> Iterator[dict[str, str]]:
    """One target for each port of the pod, and one for a pod without any."""
    [container] = pod["spec"]["containers"]
    told = {
        **{f"annotation_{name}": value for name, value in pod["metadata"].get("annotations", {}).items()},
        **{f"label_{name}": value for name, value in pod["metadata"]["labels"].items()},
        "phase": phase,
    }
    for port in container.get("ports", [{}]):
        every = {**told, "container_port_number": str(port.get("containerPort", ""))}
        yield {
            f"__meta_kubernetes_pod_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}": text
            for name, text in every.items()
        }


def port_of(found: dict[str, Any]) -> str:
    """The port that was discovered with the target."""
    return str(found["discoveredLabels"]["__meta_kubernetes_pod_container_port_number"])


@needs_promtool
def test_the_expressions_of_the_dashboard_are_promql(tmp_path: Path) -> None:
    """Each of them is taken as a recording rule."""
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(DASHBOARD_EXPRESSIONS)
    ]
    path = tmp_path / "dashboard.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    run_promtool("check", "rules", str(path))


def run_promtool(*arguments: str) -> None:
    """Run promtool from the project's root; fails with what it says."""
    finished = subprocess.run(
        ["promtool", *arguments], check=False, cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
