"""Whatever students do and whatever is killed meanwhile, in any order: Hypothesis looks for a history that ends wrongly.

`ANY_HISTORY_EXAMPLES=200 python -m pytest tests/faults/test_any_history.py` looks longer.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import engine
from hypothesis.stateful import run_state_machine_as_test

from tests.e2e.campus import Campus
from tests.e2e.stack import Stack
from tests.faults.any_history import AnyHistory

EXAMPLES = int(os.environ.get("ANY_HISTORY_EXAMPLES") or 6)
STEPS = int(os.environ.get("ANY_HISTORY_STEPS") or 15)
# A failure is replayed until it is as short as can be, for so long at the most; Hypothesis has no setting for it.
SHRINKING_LIMIT_S = 90
REAL_PROCESSES = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    report_multiple_bugs=False,
    # All but explaining, which would play a failure many times more.
    phases=(Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(300 + SHRINKING_LIMIT_S + 20 * EXAMPLES)
def test_any_history_ends_as_the_reference_model_says(
    stack: Stack, campus: Campus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1 to P4, P7, P10 and P11: every accepted request can always be seen, once final it stays, and all is as replayed."""
    monkeypatch.setattr(engine, "MAX_SHRINKING_SECONDS", SHRINKING_LIMIT_S)
    run_state_machine_as_test(lambda: AnyHistory(stack, campus, tmp_path), settings=REAL_PROCESSES)
    stack.mend()
    assert "0 differences" in stack.audit()
