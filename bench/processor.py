"""Processor time and memory of process trees, by part."""

import contextlib
from collections.abc import Mapping

import psutil


def processor_times(pids: Mapping[str, int]) -> dict[str, float]:
    """Part -> seconds of processor time its process and all its children, ended ones included, have taken."""
    return {part: _tree_seconds(pid) for part, pid in pids.items()}


def _tree_seconds(pid: int) -> float:
    root = psutil.Process(pid)
    own = root.cpu_times()
    seconds = own.user + own.system + own.children_user + own.children_system
    for child in root.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            seconds += times.user + times.system
    return float(seconds)


def memory_mb(pid: int) -> float:
    """The proportional set size of a process tree: pages shared by several processes are counted once."""
    root = psutil.Process(pid)
    total = 0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 1_000_000
