"""What the API has counted, summed over its processes when there are several.

Several processes keep their counts in files of one directory (`api.__main__` makes it), and whichever is asked adds up.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
LIVE_GAUGE_FILE = re.compile(r"gauge_live\w*_(\d+)\.db")


def text_of(state: Collector) -> bytes:
    """The metrics in Prometheus' text format: the counts of all processes, and then `state`."""
    registry = CollectorRegistry()
    registry.register(state)
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if directory is None:
        return generate_latest(REGISTRY) + generate_latest(registry)
    _forget_dead_processes(Path(directory))
    MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _forget_dead_processes(directory: Path) -> None:
    """A killed process has nothing in hand any more; what it had counted stays counted."""
    for path in directory.glob("gauge_live*.db"):
        match = LIVE_GAUGE_FILE.fullmatch(path.name)
        if match is None:
            continue
        with suppress(PermissionError):
            try:
                os.kill(int(match[1]), 0)
            except ProcessLookupError:
                mark_process_dead(match[1], str(directory))  # type: ignore[no-untyped-call]
