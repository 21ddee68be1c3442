"""Pictures of the drill's system for the documentation: pages in Chromium, and `manage top`."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from scripts.drill_dashboard import DrillDashboard
from scripts.drill_prometheus import LocalPrometheus
from scripts.drill_stack import DrillStack
from scripts.server_process import ServerError

PICTURE_LIMIT_S = 60.0
# The page's own clock runs ahead by this, so that its tables are there.
PAGE_TIME_MS = 8000
CHROMIUM = (
    "chromium",
    "--headless",
    "--disable-gpu",
    "--hide-scrollbars",
    "--window-size=1500,520",
    f"--virtual-time-budget={PAGE_TIME_MS}",
)
# Instead of a page of the dashboard.
TOP = "manage top"
ALERTS = "Prometheus' alerts"


def require_chromium() -> None:
    """Raises ServerError where it is not installed."""
    if shutil.which(CHROMIUM[0]) is None:
        message = "no chromium on this machine, which takes the pictures (Debian: apt-get install chromium)"
        raise ServerError(message)


class DrillPictures:
    """Files in `folder`, taken by Chromium while a step's state lasts; of Prometheus only where it is installed."""

    def __init__(
        self, stack: DrillStack, dashboard: DrillDashboard, prometheus: LocalPrometheus | None, folder: Path
    ) -> None:
        self._stack = stack
        self._dashboard = dashboard
        self._prometheus = prometheus
        self._folder = folder

    def take(self, name: str, shown: str) -> None:
        """Write one picture: of the dashboard's page at the path `shown`, of TOP, or of ALERTS."""
        if shown == TOP:
            self._stack.manage("top", "--svg", str((self._folder / f"{name}.svg").resolve()))
        elif shown != ALERTS:
            self._take_page(name, self._dashboard.url(shown))
        elif self._prometheus is not None:
            self._take_page(name, self._prometheus.alerts_page)

    def _take_page(self, name: str, url: str) -> None:
        target = (self._folder / f"{name}.png").resolve()
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        with tempfile.TemporaryDirectory(prefix="drill-browser-", ignore_cleanup_errors=True) as profile:
            options = [*sandbox, f"--user-data-dir={profile}", f"--screenshot={target}"]
            subprocess.run(
                [*CHROMIUM, *options, url], check=True, capture_output=True, timeout=PICTURE_LIMIT_S
            )
