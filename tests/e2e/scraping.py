"""Reading metrics the way Prometheus does."""

from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

SCRAPE_LIMIT_S = 10.0


class Scrape:
    """All samples of one scrape."""

    def __init__(self, url: str) -> None:
        answer = httpx.get(f"{url}/metrics", timeout=SCRAPE_LIMIT_S)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/plain")
        self.samples = [
            sample for family in text_string_to_metric_families(answer.text) for sample in family.samples
        ]

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return sum(value for _, value in self.series(name, **labels))

    def series(self, name: str, **labels: str) -> list[tuple[Mapping[str, str], float]]:
        """(labels, value) of a metric's samples that have these labels."""
        return [
            (sample.labels, sample.value)
            for sample in self.samples
            if sample.name == name and sample.labels.items() >= labels.items()
        ]
