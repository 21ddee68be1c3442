"""Errors explain themselves."""

import inspect

import pytest

from shared import errors

ERRORS = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, errors.RegistrationSystemError)
]
SELF_EXPLAINING = [error for error in ERRORS if "__init__" not in vars(error) or error.__doc__ is None]


@pytest.mark.parametrize("error", SELF_EXPLAINING)
def test_the_docstring_of_an_error_is_its_default_message(
    error: type[errors.RegistrationSystemError],
) -> None:
    """Nobody writes the same sentence twice."""
    assert str(error()) == (error.__doc__ or "").strip() != ""


def test_a_message_of_ones_own_replaces_the_default() -> None:
    """For what only the raiser knows."""
    assert str(errors.UnsafeRedisError("appendonly is no")) == "appendonly is no"


def test_a_full_queue_says_when_to_come_back() -> None:
    """P8."""
    error = errors.QueueFullError(retry_after_s=7)
    assert error.retry_after_s == 7
    assert str(error) == errors.QueueFullError.__doc__


def test_an_import_error_lists_every_problem() -> None:
    """One line each."""
    error = errors.ImportFileError(["line 1: bad", "line 2: worse"])
    assert str(error).splitlines() == error.problems


def test_operational_errors_are_a_category() -> None:
    """What may be retried can be caught at once."""
    assert issubclass(errors.QueueUnavailableError, errors.OperationalError)
    assert issubclass(errors.DatabaseUnavailableError, errors.OperationalError)
    assert not issubclass(errors.UnsafeRedisError, errors.OperationalError)
