"""One running system for all end-to-end tests of a process, whole again before each test."""

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.campus import Campus, Student
from tests.e2e.contract import Contract
from tests.e2e.operators import Operator
from tests.e2e.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder runs the whole system over HTTP."""
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def lasting_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The system, for as long as this process runs tests."""
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        contract = Contract(stack.http.get("/openapi.json").json())
        stack.http.event_hooks["response"].append(contract.check)
        yield stack


@pytest.fixture(scope="session")
def lasting_campus(lasting_stack: Stack) -> Campus:
    """What the database is filled with."""
    return Campus(lasting_stack)


@pytest.fixture
def stack(lasting_stack: Stack) -> Stack:
    """The system with every part running as usual."""
    lasting_stack.mend()
    return lasting_stack


@pytest.fixture
def campus(stack: Stack, lasting_campus: Campus) -> Campus:
    """What the database is filled with, on a system that is whole."""
    return lasting_campus


@pytest.fixture
def http(stack: Stack) -> httpx.Client:
    """A client without a token; every response it gets is held against the OpenAPI document."""
    return stack.http


@pytest.fixture
def student(campus: Campus) -> Student:
    """A new student with a token."""
    return campus.student()


@pytest.fixture
def semester_id(campus: Campus) -> str:
    """A new semester, open from yesterday until tomorrow."""
    return campus.semester()


@pytest.fixture
def course_id(campus: Campus, semester_id: str) -> str:
    """A new course of that semester with one seat and two reserve positions."""
    return campus.course(seats=1, reserve=2, semester_id=semester_id)


@pytest.fixture
def operator(stack: Stack) -> Iterator[Operator]:
    """Leaves no pause behind."""
    yield Operator(stack)
    stack.valkey.start()
    with stack.redis() as client:
        client.delete("cr:paused")
