"""The metrics of the drill's system, read from the API and from every worker as Prometheus would."""

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

SCRAPE_LIMIT_S = 10.0

# (metric, labels) -> value
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class DrillMetrics:
    """Reads all targets; a target that does not answer has no samples."""

    def __init__(self, ports: list[int]) -> None:
        self._urls = [f"http://127.0.0.1:{port}/metrics" for port in ports]
        self._marked: dict[str, Samples] = {}

    def mark(self) -> None:
        """From now on `moved` counts anew."""
        self._marked = self._scrape()

    def now(self, name: str, **labels: str) -> str:
        """The sum of a metric's samples that have these labels, in words."""
        found = [
            value for samples in self._scrape().values() for value in _having(samples, name, labels).values()
        ]
        return f"is {sum(found):g} now" if found else "is left out"

    def moved(self, name: str, at_least: int, **labels: str) -> str:
        """By how much a counter has grown since the mark, in words."""
        scraped = self._scrape()
        grown = sum(
            growth(_having(self._marked.get(url, {}), name, labels), _having(samples, name, labels))
            for url, samples in scraped.items()
        )
        return f"+{grown:g}" + (f", at least {at_least} more" if grown >= at_least else "")

    def _scrape(self) -> dict[str, Samples]:
        return {url: _samples(url) for url in self._urls}


def _samples(url: str) -> Samples:
    try:
        text = httpx.get(url, timeout=SCRAPE_LIMIT_S).text
    except httpx.TransportError:
        return {}
    families: list[Metric] = list(text_string_to_metric_families(text))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def _having(samples: Samples, name: str, labels: dict[str, str]) -> Samples:
    return {key: value for key, value in samples.items() if key[0] == name and labels.items() <= key[1]}


def growth(before: Samples, after: Samples) -> float:
    """A counter that fell belongs to a process that was started anew: it began at zero."""
    return sum(
        value - (before.get(key, 0) if before.get(key, 0) <= value else 0) for key, value in after.items()
    )
