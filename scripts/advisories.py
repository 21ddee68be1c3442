"""`python -m scripts.advisories`: known advisories against the pinned packages, and never a quiet "nothing found".

pip-audit ends well when its database knows nothing of a package, and with the same code for an advisory and for no
network. Here what could not be checked is said, and counts as a failure of its own.
"""

import json
import subprocess
import sys
from typing import Any

# Resolved already, so that what is looked up is what is installed.
REQUIREMENTS = ["--requirement", "constraints.txt", "--no-deps", "--disable-pip"]
LIMIT_S = 600
EXIT_CLEAN, EXIT_ADVISORIES, EXIT_NOT_CHECKED = 0, 1, 2
WORDS_MAX = 300


def main() -> int:
    """Print what is known, and return EXIT_CLEAN, EXIT_ADVISORIES or EXIT_NOT_CHECKED."""
    command = [sys.executable, "-m", "pip_audit", *REQUIREMENTS]
    command += ["--format", "json", "--progress-spinner", "off"]
    try:
        finished = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return tell(*not_checked(f"no answer within {LIMIT_S} s"))
    return tell(*verdict(finished.stdout, finished.stderr))


def verdict(report: str, errors: str) -> tuple[int, list[str]]:
    """The exit code and the lines to print, from pip-audit's JSON and what it wrote to stderr."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return not_checked((errors.strip().splitlines() or ["pip-audit said nothing"])[-1])
    found = [_advisory(package, one) for package in packages for one in package.get("vulns", ())]
    unknown = [str(package["skip_reason"]) for package in packages if "skip_reason" in package]
    if found:
        return EXIT_ADVISORIES, [*found, *unknown]
    if unknown or not packages:
        code, lines = not_checked(f"{len(unknown)} of {len(packages)} packages are in no database asked")
        return code, [*unknown, *lines]
    return EXIT_CLEAN, [f"{len(packages)} packages, no known advisory"]


def not_checked(why: str) -> tuple[int, list[str]]:
    """The outcome when no database could be asked, or not about everything."""
    return EXIT_NOT_CHECKED, [f"NOT CHECKED: {why[:WORDS_MAX]}"]


def _advisory(package: dict[str, Any], advisory: dict[str, Any]) -> str:
    fixed = ", ".join(advisory.get("fix_versions", ())) or "no release yet"
    return f"{package['name']} {package['version']}: {advisory['id']}, fixed in {fixed}"


def tell(code: int, lines: list[str]) -> int:
    """Print the lines; returns the code."""
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
