"""A real headless Chromium for the tests of pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

# Without these it looks for updates and for Google at every start.
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
)
WINDOW = "--window-size=1500,900"
SCREENSHOTS_VARIABLE = "SCREENSHOTS"
PAGE_LIMIT_S = 30


def missing() -> str:
    """What this machine lacks for a browser test, in words; '' when nothing."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    packages = "on Debian: apt-get install chromium chromium-driver"
    return f"no {' and no '.join(absent)} on this machine ({packages})" if absent else ""


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """A browser with an empty profile, closed when the block ends."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless", "--disable-gpu", "--hide-scrollbars", WINDOW, *QUIET):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    driver = Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))
    try:
        driver.set_page_load_timeout(PAGE_LIMIT_S)
        yield driver
    finally:
        driver.quit()


def send_with_every_request(driver: Chrome, headers: dict[str, str]) -> None:
    """Headers of every request from now on, such as a password that a person would type into a dialogue."""
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": headers})


def keep_screenshot(driver: Chrome, name: str) -> None:
    """Save what the window shows as `<name>.png`, if somebody asked for pictures."""
    folder = os.environ.get(SCREENSHOTS_VARIABLE)
    if folder:
        path = Path(folder) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert driver.save_screenshot(str(path))
