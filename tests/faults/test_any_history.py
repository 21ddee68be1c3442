"""Whatever students do and whatever is killed meanwhile, in any order: Hypothesis looks for a history that ends wrongly.

`ANY_HISTORY_EXAMPLES=200 python -m pytest tests/faults/test_any_history.py` looks longer.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.e2e.campus import Campus
from tests.e2e.stack import Stack
from tests.faults.any_history import AnyHistory

EXAMPLES = int(os.environ.get("ANY_HISTORY_EXAMPLES") or 6)
STEPS = int(os.environ.get("ANY_HISTORY_STEPS") or 15)
REAL_PROCESSES = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


# A failure is replayed until it is as short as can be, for five minutes at the most.
@pytest.mark.timeout(600 + 20 * EXAMPLES)
def test_any_history_ends_as_the_reference_model_says(stack: Stack, campus: Campus) -> None:
    """P1 to P4, P7, P10 and P11: every accepted request can always be seen, once final it stays, and all is as replayed."""
    run_state_machine_as_test(lambda: AnyHistory(stack, campus), settings=REAL_PROCESSES)
    stack.mend()
    assert "0 differences" in stack.audit()
