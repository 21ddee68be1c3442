"""One system with two workers for the fault tests of a process, whole again before each."""

import os
import random
from collections.abc import Iterator

import pytest

from tests.e2e.campus import Campus
from tests.e2e.stack import Stack

WORKERS = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder kills and freezes real processes."""
    for item in items:
        if "tests/faults" in str(item.path):
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="module")
def lasting_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The system, for the tests of one file."""
    with Stack(tmp_path_factory.mktemp("faults"), worker_processes=WORKERS) as stack:
        yield stack


@pytest.fixture(scope="module")
def campus(lasting_stack: Stack) -> Campus:
    """What the database is filled with."""
    return Campus(lasting_stack)


@pytest.fixture
def stack(lasting_stack: Stack) -> Stack:
    """The system with every part running."""
    lasting_stack.mend()
    return lasting_stack


@pytest.fixture
def seed() -> int:
    """What the load's chances come from: printed, and repeated with FAULT_SEED=<seed>."""
    seed = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**9))
    print(f"FAULT_SEED={seed}")  # noqa: T201 - pytest shows it when the test fails
    return seed
