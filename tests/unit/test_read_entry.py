"""Whatever stands in a queue is read without harm: as a request of ours, or as Poisoned."""

import json
import os
import pickle
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.course_queue import keys
from shared.course_queue.rounds import read_entry
from shared.requests import Poisoned, Submission, moment
from shared.rules import Operation

COURSE = "b81e2c55-0c39-4d42-8a8a-2f6f6f7c0a11"
REQUEST = "3f0e9c2a-6d1b-4f0e-9a51-0c7f4f1e2b8d"
STUDENT = "5a1f7a9c-51a0-4a70-b7a8-77a4a5d3c111"
GENERATION = "6b0df6a3-7c61-43f3-8a1a-0d1d2a6b8b11"
PAYLOAD: dict[str, Any] = {
    "version": 1,
    "request_id": REQUEST,
    "course_id": COURSE,
    "student_id": STUDENT,
    "operation": "REGISTER",
    "generation": GENERATION,
    "sequence": 7,
    "accepted_at_us": 1_788_249_600_000_213,
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)


def job_data(*, function: Any = "registration.apply", instance: Any = None, **changed: Any) -> bytes:
    """The data of one of our jobs, with parts of its payload changed."""
    return json.dumps([function, instance, [], PAYLOAD | changed]).encode()


def read(data: bytes | None, raw_id: bytes = REQUEST.encode()) -> Submission | Poisoned | None:
    """Read an element of COURSE's queue."""
    return read_entry(COURSE, raw_id, data)


def test_a_job_of_ours_is_read_as_the_request_it_is() -> None:
    """Every field arrives, exactly."""
    assert read(job_data()) == Submission(
        REQUEST.encode(),
        REQUEST,
        COURSE,
        STUDENT,
        Operation.REGISTER,
        GENERATION,
        7,
        moment(1_788_249_600_000_213),
    )


@given(raw_id=st.binary(max_size=60), data=st.none() | st.binary(max_size=200))
def test_arbitrary_bytes_are_poisoned_and_never_raise(raw_id: bytes, data: bytes | None) -> None:
    """P9: the entry gets a ledger id that PostgreSQL takes, and keeps the element by which it is removed."""
    entry = read(data, raw_id)
    assert isinstance(entry, Poisoned)
    assert entry.raw_id == raw_id
    assert str(UUID(entry.request_id)) == entry.request_id
    assert entry.problem


@given(field=st.sampled_from(sorted(PAYLOAD)), value=anything)
@example(field="request_id", value=5)
@example(field="student_id", value=[])
@example(field="sequence", value=True)
@example(field="accepted_at_us", value=10**30)
@example(field="version", value=2)
def test_any_value_in_any_field_never_raises(field: str, value: Any) -> None:
    """P9: a payload of ours with one field replaced by any JSON value is read, is poisoned, or left to another release."""
    entry = read(job_data(**{field: value}))
    assert isinstance(entry, Submission | Poisoned) or (field == "version" and entry is None)


@given(anything)
def test_any_json_value_in_place_of_a_job_is_poisoned(value: Any) -> None:
    """P9: valid JSON of any other shape."""
    assert isinstance(read(json.dumps(value).encode()), Poisoned)


@given(anything)
def test_any_json_value_in_place_of_the_payload_is_poisoned(value: Any) -> None:
    """P9: our function name, with something else to apply."""
    data = json.dumps(["registration.apply", None, [], value]).encode()
    assert isinstance(read(data), Poisoned)


class Destroyer:
    """What an attacker would put into a pickle."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self._trace),)


def test_a_pickle_is_not_unpickled(tmp_path: Path) -> None:
    """RQ's default format is code; here it is just not JSON. The control: whoever does unpickle it runs it."""
    data = pickle.dumps(("os.system", None, [Destroyer(tmp_path / "run")], {}))
    assert isinstance(read(data), Poisoned)
    assert not (tmp_path / "run").exists()
    pickle.loads(data)
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "data",
    [
        job_data(function="os.system"),
        job_data(function="shutil.rmtree"),
        job_data(function="registration.apply "),
        job_data(function=None),
        job_data(instance="registration"),
        json.dumps(["registration.apply", None, ["rm -rf /"], PAYLOAD]).encode(),
        json.dumps(["registration.apply", None, [], PAYLOAD, "more"]).encode(),
    ],
)
def test_only_our_one_function_is_taken(data: bytes) -> None:
    """JSON does not stop a hostile job from naming any function; we name none to call."""
    assert isinstance(read(data), Poisoned)


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 0},
        {"version": -1},
        {"version": "1"},
        {"version": None},
        {"operation": "SWAP"},
        {"operation": "register"},
        {"student_id": STUDENT.upper()},
        {"student_id": "{" + STUDENT + "}"},
        {"student_id": STUDENT.replace("-", "")},
        {"student_id": "'; DROP TABLE students; --"},
        {"generation": "1"},
        {"sequence": 0},
        {"sequence": -1},
        {"sequence": 1.5},
        {"sequence": "7"},
        {"sequence": True},
        {"sequence": 2**63},
        {"sequence": float("nan")},
        {"sequence": float("inf")},
        {"accepted_at_us": 0},
        {"accepted_at_us": 10**40},
        {"accepted_at_us": float("nan")},
        {"accepted_at_us": -float("inf")},
    ],
    ids=str,
)
def test_a_payload_with_a_value_of_another_kind_is_poisoned(changed: dict[str, Any]) -> None:
    """Versions that no release has, other forms of ids, and numbers that no counter of ours gives."""
    entry = read(job_data(**changed))
    assert isinstance(entry, Poisoned)
    assert entry.request_id == REQUEST


def test_a_request_of_another_release_is_neither_read_nor_poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next release's waits for a worker that reads it, whatever else its payload holds or lacks."""
    monkeypatch.setattr(keys, "JOB_VERSION", 5)
    monkeypatch.setattr(keys, "JOB_VERSIONS_READ", frozenset({4, 5}))
    assert read(job_data(version=6)) is None
    assert read(json.dumps(["registration.apply", None, [], {"version": 6}]).encode()) is None


@pytest.mark.parametrize("version", [1, 3, 7, 999, 2**53 - 1])
def test_a_version_of_no_release_beside_this_one_is_poisoned(
    monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """P9: beyond the next one or no longer read, nobody would ever come to read it (ADR 0015)."""
    monkeypatch.setattr(keys, "JOB_VERSION", 5)
    monkeypatch.setattr(keys, "JOB_VERSIONS_READ", frozenset({4, 5}))
    assert isinstance(read(job_data(version=4)), Submission)
    entry = read(job_data(version=version))
    assert isinstance(entry, Poisoned)
    assert entry.request_id == REQUEST
    assert str(version) in entry.problem


@pytest.mark.parametrize("field", sorted(PAYLOAD))
def test_a_payload_without_one_of_its_fields_is_poisoned(field: str) -> None:
    """Nothing is guessed."""
    payload = {name: value for name, value in PAYLOAD.items() if name != field}
    assert isinstance(read(json.dumps(["registration.apply", None, [], payload]).encode()), Poisoned)


def test_a_missing_payload_is_poisoned_under_its_own_id() -> None:
    """The id alone is enough to end the request that the client polls."""
    entry = read(None)
    assert isinstance(entry, Poisoned)
    assert entry.request_id == REQUEST


@pytest.mark.parametrize("changed", [{"course_id": str(uuid4())}, {"request_id": str(uuid4())}])
def test_an_entry_of_another_course_or_request_gets_an_id_of_its_own(changed: dict[str, str]) -> None:
    """So it cannot end the real request that waits elsewhere under that id."""
    entry = read(job_data(**changed))
    assert isinstance(entry, Poisoned)
    assert entry.request_id not in {REQUEST, *changed.values()}


def test_a_poisoned_entry_has_the_same_ledger_id_each_time_it_is_read() -> None:
    """P4: read again after a crash it is the same row; in another course it is another."""
    first, again = read(None, b"not an id"), read(None, b"not an id")
    assert first is not None
    assert again is not None
    assert first.request_id == again.request_id
    elsewhere = read_entry(REQUEST, b"not an id", None)
    assert elsewhere is not None
    assert elsewhere.request_id != first.request_id


def test_a_problem_is_short_however_large_the_payload() -> None:
    """A poisoned payload of a megabyte must not become a log line of a megabyte."""
    entry = read(b"\xff" + b"x" * 1_000_000)
    assert isinstance(entry, Poisoned)
    assert len(entry.problem) < 2_000


def test_deeply_nested_json_is_poisoned() -> None:
    """The parser's recursion limit is reached, not the worker's end."""
    assert isinstance(read(b"[" * 100_000), Poisoned)
