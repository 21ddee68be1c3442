"""The same system with two workers as for the fault tests."""

from tests.faults.conftest import campus, lasting_stack, seed, stack  # noqa: F401 - fixtures
