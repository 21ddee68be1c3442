"""A Prometheus that watches the drill's system by the rules of `ops/prometheus`, with a tenth of their patience."""

import json
import re
import shutil
from pathlib import Path

import httpx

from scripts.server_process import ServerProcess

RULES = Path(__file__).resolve().parents[1] / "ops" / "prometheus" / "alerts.yml"
HTTP_LIMIT_S = 5.0
HASTE = 10
MILLISECONDS = {"s": 1000, "m": 60_000}
NONE = "no alert is active"


def installed() -> bool:
    """Whether this machine has the program."""
    return shutil.which("prometheus") is not None


def hastened(rules: str) -> str:
    """The rules with every `for:` and every range at a tenth; thresholds and all else stay."""

    def shorten(match: re.Match[str]) -> str:
        return f"{match[1]}{int(match[2]) * MILLISECONDS[match[3]] // HASTE}ms"

    return re.sub(r"(for: |\[)(\d+)([sm])\b", shorten, rules)


class LocalPrometheus(ServerProcess):
    """Scrapes and evaluates every second; its data are in `directory`."""

    name = "Prometheus"

    def __init__(self, directory: Path, port: int, targets: dict[str, list[int]]) -> None:
        super().__init__(port, directory / "prometheus.log")
        self._directory = directory
        self._targets = targets
        self._url = f"http://127.0.0.1:{port}"

    def alerts(self) -> str:
        """Every active alert with its state, such as `RedisNotReady firing`, or else NONE."""
        answer = httpx.get(f"{self._url}/api/v1/alerts", timeout=HTTP_LIMIT_S).json()
        active = {f"{each['labels']['alertname']} {each['state']}" for each in answer["data"]["alerts"]}
        return ", ".join(sorted(active)) or NONE

    @property
    def alerts_page(self) -> str:
        """Where a person sees them; Debian's Prometheus has only the page of earlier ones."""
        classic = f"{self._url}/classic/alerts"
        has_it = httpx.get(classic, timeout=HTTP_LIMIT_S).is_success
        return classic if has_it else f"{self._url}/alerts"

    def targets(self) -> str:
        """How many of the targets answered at their last scrape, such as `3 of 3 up`; of one never scraped, none."""
        query = {"query": "up"}
        answer = httpx.get(f"{self._url}/api/v1/query", params=query, timeout=HTTP_LIMIT_S).json()
        up = [each["value"][1] for each in answer["data"]["result"]].count("1")
        return f"{up} of {sum(map(len, self._targets.values()))} up"

    def _prepare(self, deadline: float) -> None:  # noqa: ARG002 - nothing here takes long
        self._directory.mkdir(exist_ok=True)
        rules = self._directory / "alerts.yml"
        rules.write_text(hastened(RULES.read_text(encoding="utf-8")), encoding="utf-8")
        # YAML takes JSON.
        configuration = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
                for job, ports in self._targets.items()
            ],
        }
        (self._directory / "prometheus.yml").write_text(json.dumps(configuration), encoding="utf-8")

    def _launch(self) -> None:
        options = {
            "config.file": "prometheus.yml",
            "storage.tsdb.path": "data",
            "web.listen-address": f"127.0.0.1:{self.port}",
            "log.level": "warn",
        }
        program = shutil.which("prometheus") or "prometheus"
        self._spawn([program, *(f"--{name}={value}" for name, value in options.items())], self._directory)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self._url}/-/ready", timeout=HTTP_LIMIT_S).is_success
        except httpx.TransportError:
            return False
