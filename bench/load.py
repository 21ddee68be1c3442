"""Running a load against a contestant: the generator in its own process, processor time of every part around it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.contestants import Running
from bench.ground import PROJECT_ROOT
from bench.streams import Load, LoadReport

PRIORITY_LOWEST = 19


@dataclass(frozen=True, slots=True)
class Measured:
    """A report, and the processor seconds that each part took meanwhile."""

    report: LoadReport
    processor_s: Mapping[str, float]


def measure(contestant: Running, load: Load, beside: Load | None = None) -> Measured:
    """Run a load: warm up, then measure. Raises RuntimeError when the generator fails.

    `beside` begins at the same moment, from another process, so that sending it holds no call of the load up. What
    becomes of it is not measured, and it ends with the load.
    """
    with TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as running:
        generator, report_path = _started(load, Path(directory, "load"), running)
        others = [] if beside is None else [_started(beside, Path(directory, "beside"), running)[0]]
        for one in others:
            _give_way(one.pid)
        before = contestant.processor_times()
        for one in (*others, generator):
            _let_go(one)
        generator.wait()
        after = contestant.processor_times()
        if generator.returncode != 0:
            message = f"the load generator ended with {generator.returncode}"
            raise RuntimeError(message)
        report = LoadReport.from_json(report_path.read_text(encoding="utf-8"))
        return Measured(report, {part: after[part] - before[part] for part in after})


def _started(load: Load, path: Path, running: contextlib.ExitStack) -> tuple[subprocess.Popen[bytes], Path]:
    """A generator that has warmed up and waits for its go, killed at the latest with `running`; where it will report."""
    report_path = path.with_suffix(".report")
    path.write_text(load.to_json(), encoding="utf-8")
    command = [sys.executable, "-m", "bench.generator", str(path), str(report_path)]
    generator = running.enter_context(
        subprocess.Popen(
            command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
    )
    running.callback(generator.kill)
    assert generator.stdout is not None
    generator.stdout.readline()
    return generator, report_path


def _give_way(pid: int) -> None:
    """Leave the processor to what is measured: in real life these clients are on machines of their own."""
    os.setpriority(os.PRIO_PROCESS, pid, PRIORITY_LOWEST)
    # Linux may divide the processor among sessions first.
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(PRIORITY_LOWEST), encoding="ascii")


def _let_go(generator: subprocess.Popen[bytes]) -> None:
    assert generator.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        generator.stdin.write(b"go\n")
        generator.stdin.flush()
