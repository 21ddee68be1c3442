"""Running a load against a contestant: the generator in its own process, processor time of every part around it."""

import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.contestants import Running
from bench.ground import PROJECT_ROOT
from bench.streams import Load, LoadReport


@dataclass(frozen=True, slots=True)
class Measured:
    """A report, and the processor seconds that each part took meanwhile."""

    report: LoadReport
    processor_s: Mapping[str, float]


def measure(contestant: Running, load: Load) -> Measured:
    """Run a load: warm up, then measure. Raises RuntimeError when the generator fails."""
    with TemporaryDirectory(prefix="bench-") as directory:
        load_path, report_path = Path(directory, "load.json"), Path(directory, "report.json")
        load_path.write_text(load.to_json(), encoding="utf-8")
        processor_s = _generate(contestant, [str(load_path), str(report_path)])
        return Measured(LoadReport.from_json(report_path.read_text(encoding="utf-8")), processor_s)


def _generate(contestant: Running, arguments: Sequence[str]) -> dict[str, float]:
    """Run the generator; returns the processor seconds of each part while it measured."""
    command = [sys.executable, "-m", "bench.generator", *arguments]
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as generator:
        assert generator.stdin is not None
        assert generator.stdout is not None
        generator.stdout.readline()
        before = contestant.processor_times()
        with contextlib.suppress(BrokenPipeError):
            generator.stdin.write(b"go\n")
            generator.stdin.flush()
        generator.wait()
        after = contestant.processor_times()
    if generator.returncode != 0:
        message = f"the load generator ended with {generator.returncode}"
        raise RuntimeError(message)
    return {part: after[part] - before[part] for part in after}
