"""The two headers a submission may carry: Idempotency-Key and Prefer."""

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from api.dependencies import idempotency_key, preferred_wait_s

WAIT_MAX_S = 30


def headers_with(*lines: tuple[str, str]) -> Headers:
    """The headers of a request with these lines."""
    return Headers(raw=[(name.lower().encode(), value.encode("latin-1")) for name, value in lines])


def wait_of(*values: str) -> int | None:
    """What Prefer lines with these values ask for."""
    return preferred_wait_s(headers_with(*[("Prefer", value) for value in values]), WAIT_MAX_S)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (["wait=0"], 0),
        (["wait=30"], 30),
        (["WAIT=10"], 10),
        ([" wait = 10 "], 10),
        (['wait="10"'], 10),
        (["respond-async, wait=10"], 10),
        (["respond-async", "wait=10"], 10),
        (["wait=10; foo=bar"], 10),
        (["return=minimal"], None),
        (["waiting=10"], None),
        (["respond-async"], None),
        ([""], None),
    ],
)
def test_prefer_wait_is_found_as_rfc_7240_writes_it(values: list[str], seconds: int | None) -> None:
    """Any case, quoted or not, among other preferences, which are ignored."""
    assert wait_of(*values) == seconds


@pytest.mark.parametrize(
    "value",
    ["wait=31", "wait=-1", "wait=1.5", "wait=soon", "wait=", "wait=²", "wait=1e1", f"wait={'9' * 5_000}"],
    ids=lambda value: value[:12],
)
def test_a_wait_that_is_no_number_of_seconds_in_bounds_is_invalid(value: str) -> None:
    """422 rather than a guess."""
    with pytest.raises(RequestValidationError):
        wait_of(value)


@given(st.text(st.characters(codec="latin-1"), max_size=60))
def test_any_prefer_header_is_understood_ignored_or_invalid(value: str) -> None:
    """No header makes the server fail."""
    try:
        seconds = wait_of(value)
    except RequestValidationError:
        return
    assert seconds is None or 0 <= seconds <= 30


@pytest.mark.parametrize("key", ["k", "!", "~", "6f1c8f1e-opening-morning-1", "k" * 255])
def test_visible_ascii_up_to_255_characters_is_an_idempotency_key(key: str) -> None:
    """It arrives as it was sent."""
    assert idempotency_key(headers_with(("Idempotency-Key", key))) == key


def test_no_idempotency_key_is_no_key() -> None:
    """The header is optional."""
    assert idempotency_key(headers_with()) is None


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 256, "schlüssel", "a\tb", "a\n", "\x7f"])
def test_any_other_idempotency_key_is_invalid(key: str) -> None:
    """Empty, too long, or with characters that do not show."""
    with pytest.raises(RequestValidationError):
        idempotency_key(headers_with(("Idempotency-Key", key)))


def test_an_idempotency_key_given_twice_is_invalid() -> None:
    """It would not be clear which of them is meant."""
    with pytest.raises(RequestValidationError):
        idempotency_key(headers_with(("Idempotency-Key", "a"), ("Idempotency-Key", "a")))
