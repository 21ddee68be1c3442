"""Somebody at a terminal of the running system, who types `python -m shared.manage`."""

import json
from typing import Any

from tests.e2e.stack import Stack

# What the commands end with.
NOT_AS_WISHED, UNKNOWN, UNAVAILABLE = 1, 2, 3


class Operator:
    """Somebody at a terminal of the running system."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def run(self, *arguments: str, code: int = 0, **settings: str) -> str:
        """What a command prints; fails unless it ends with that exit code."""
        program = self._stack.launch(["shared.manage", *arguments], **settings)
        returncode = program.wait(60)
        output = program.log_path.read_text(encoding="utf-8")
        assert returncode == code, f"{arguments} ended with {returncode}:\n{output}"
        return output

    def json(self, *arguments: str, code: int = 0, **settings: str) -> Any:
        """The same as a document, which is all of what it prints but for lines about what is missing."""
        printed = self.run(*arguments, "--json", code=code, **settings)
        return json.loads(printed[printed.index("{") :])
