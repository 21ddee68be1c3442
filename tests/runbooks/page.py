"""A runbook's own commands, run as they stand in its page: what operators are told is what is tested."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import REPOSITORY

PAGES = REPOSITORY / "docs" / "runbooks"
COMMAND_LIMIT_S = 60
# What the commands name by a path within the project. A directory of the project itself might hold a developer's `.env`.
NAMED_PATHS = ("alembic", "alembic.ini", "deploy")


class Runbook:
    """One page. Its commands run in `directory`, by bash, with exactly this environment."""

    def __init__(self, page: str, directory: Path, environment: Mapping[str, str]) -> None:
        self._text = (PAGES / page).read_text(encoding="utf-8")
        self._directory = directory
        directory.mkdir(parents=True)
        for name in NAMED_PATHS:
            (directory / name).symlink_to(REPOSITORY / name)
        programs = f"{self._own_programs()}:{Path(sys.executable).parent}"
        self.environment = {**environment, "PATH": f"{programs}:{environment['PATH']}"}

    def _own_programs(self) -> Path:
        """What the runbooks take for granted and a machine with nothing but the wheels lacks."""
        folder = self._directory / "bin"
        folder.mkdir()
        if shutil.which("valkey-cli") is None:
            stand_in = folder / "valkey-cli"
            stand_in.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.runbooks.valkey_cli "$@"\n')
            stand_in.chmod(0o755)
        return folder

    def run(self, section: str, step: int, *, may_fail: bool = False, **variables: str) -> str:
        """Run the commands of a section's numbered step; returns what they print. Fails when one of them does."""
        commands = self.commands(section, step)
        finished = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            check=False,
            cwd=self._directory,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
        )
        output = finished.stdout + finished.stderr
        assert may_fail or finished.returncode == 0, f"{section}, step {step}:\n{commands}\n{output}"
        return output

    def commands(self, section: str, step: int) -> str:
        """The commands of that step, as they stand in the page."""
        part = self._text.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
        steps = dict(re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^\S|\Z)", part, re.MULTILINE | re.DOTALL))
        blocks = re.findall(r"^   ```sh\n(.*?)^   ```$", steps[str(step)], re.MULTILINE | re.DOTALL)
        assert blocks, f"{section}, step {step} has no commands"
        return "".join(blocks)
