"""The outcome of a suite of runs: the tables, the failover times, and the same as JSON."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from tests.faults.failover import percentile
from tests.faults.injections.fault import Fault
from tests.faults.runner import LANDED, NOT_RUN, Run
from tests.faults.site import WIRES

NO_TURN = "it was never its turn"

# Kind of failover -> seconds that must hold at the 99th percentile, and seconds to aim for.
LIMITS_S = {
    "killed": (0.5, 0.2),
    "terminated": (0.5, 0.2),
    "frozen": (2.0, 1.2),
    "cut off": (2.0, 1.2),
}


def faults_table(faults: Sequence[Fault], runs: Sequence[Run]) -> Table:
    """Fault x runs x landed x violations."""
    table = Table(title="Faults")
    for heading, justify in (("fault", "left"), ("what", "left"), ("runs", "right"), ("landed", "right")):
        table.add_column(heading, justify=justify)
    table.add_column("violations", justify="right")
    for row in fault_rows(faults, runs):
        table.add_row(
            row["fault"],
            row["not_run"] or row["what"],
            *(str(row[name]) for name in ("runs", "landed", "violations")),
        )
    return table


def fault_rows(faults: Sequence[Fault], runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The same as values; `not_run` says why a fault was not done here, or is empty."""
    rows = []
    for fault in faults:
        mine = [run for run in runs if run.fault == fault.name]
        done = [run for run in mine if run.state != NOT_RUN]
        rows.append(
            {
                "fault": fault.name,
                "what": fault.what,
                "runs": len(done),
                "landed": sum(run.state == LANDED for run in done),
                "violations": sum(len(run.violations) for run in done),
                "not_run": "" if done else f"not run: {mine[0].where if mine else NO_TURN}",
            }
        )
    return rows


def complaints(faults: Sequence[Fault], runs: Sequence[Run], *, require_all: bool) -> list[str]:
    """Why the suite is no success. With `require_all`, also for each fault that never landed, for whatever reason."""
    bad = sum(not run.good for run in runs)
    found = [f"{bad} of {len(runs)} runs did not land or broke a promise"] if bad else []
    found += [
        f"failover of a worker {row['kind']} takes {row['p99_s']} s (p99), must be below {row['must_p99_s']} s"
        for row in failover_rows(faults, runs)
        if not row["kept"]
    ]
    if require_all:
        found += [
            f"{row['fault']} never landed ({row['not_run'] or row['what']})"
            for row in fault_rows(faults, runs)
            if not row["landed"]
        ]
    return found


def wires_table(faults: Sequence[Fault], runs: Sequence[Run]) -> Table:
    """Fault x wire: in how many runs it landed there; a dash where it has no business."""
    table = Table(title="Wires: in how many runs each was broken")
    table.add_column("fault", overflow="fold")
    for wire in WIRES:
        table.add_column(wire, justify="right", overflow="fold")
    for row in wire_rows(faults, runs):
        table.add_row(row["fault"], *(str(row["landed"].get(wire, "-")) for wire in WIRES))
    return table


def wire_rows(faults: Sequence[Fault], runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The same as values: each fault of wires with all its wires, those too that no run has broken."""
    return [
        {
            "fault": fault.name,
            "landed": {
                wire: sum((run.fault, run.wire, run.state) == (fault.name, wire, LANDED) for run in runs)
                for wire in fault.wires
            },
        }
        for fault in faults
        if fault.wires
    ]


def failover_rows(faults: Sequence[Fault], runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Kind of failover -> how many courses were timed, and for how many seconds they stood still."""
    kinds = {fault.name: fault.failover for fault in faults}
    rows = []
    for kind, (must_s, goal_s) in LIMITS_S.items():
        times_s = [time_s for run in runs if kinds.get(run.fault) == kind for time_s in run.stood_still_s]
        if times_s:
            p50_s, p99_s = (round(percentile(times_s, share), 3) for share in (0.5, 0.99))
            rows.append(
                {
                    "kind": kind,
                    "courses": len(times_s),
                    "p50_s": p50_s,
                    "p99_s": p99_s,
                    "max_s": round(max(times_s), 3),
                    "must_p99_s": must_s,
                    "goal_p99_s": goal_s,
                    "kept": p99_s < must_s,
                }
            )
    return rows


def failover_table(rows: Sequence[dict[str, Any]]) -> Table:
    """From the fault to the next commit on a course of the victim, in seconds."""
    table = Table(title="Failover: seconds from the fault to the next commit on each of the victim's courses")
    names = ("kind", "courses", "p50_s", "p99_s", "max_s", "must_p99_s", "goal_p99_s")
    for name in names:
        table.add_column(name, justify="left" if name == "kind" else "right")
    for row in rows:
        table.add_row(*(str(row[name]) for name in names), style="" if row["kept"] else "red")
    return table


def report_document(faults: Sequence[Fault], runs: Sequence[Run], command: str, seed: int) -> dict[str, Any]:
    """Everything, for machines."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "seed": seed,
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "faults": fault_rows(faults, runs),
        "wires": wire_rows(faults, runs),
        "failover": failover_rows(faults, runs),
        "runs": [run.document() for run in runs],
    }
